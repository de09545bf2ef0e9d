"""Taylor coefficients, from power series that go through the recorded graph once.

Every node gets a series: its Taylor coefficients along the line that the inputs move on. Arithmetic on series is that
of polynomials. For every other operation y = f(x, w) the rules give the coefficients: the derivative of y along the
line is that of x times `f_dx` plus that of w times `f_dw`. These, evaluated on series, are series themselves, of which
a coefficient of y needs only those of lower order. So this module knows no derivative: all are in `rules`.

What holds here:

- The cost of a node is quadratic in the order; nested derivatives would cost 2**order.
- Coefficients are floats or, where they are to be differentiated again, the Terms of `symbolic`.
- Nothing recurses along the graph.
- 0 times anything is 0, as in a sweep.
"""

from __future__ import annotations

import functools
import operator
from collections.abc import Callable, Iterable, Iterator, Sequence
from types import ModuleType
from typing import Any, Literal, overload

from . import modes, sweep, symbolic, trees
from .engine import Value
from .errors import NonFiniteError, OperandError, shown
from .run import Argnums, Function, Run, as_values, places_of, positions, title
from .tape import Tape, release, variable

__all__ = ["taylor"]

Coefficient = Any  # a float or a Term


@overload
def taylor(
    f: Function,
    x: Any,
    order: int,
    *,
    direction: Any = None,
    argnums: Argnums | None = None,
    has_aux: Literal[False] = False,
) -> list[Any]: ...
@overload
def taylor(
    f: Function, x: Any, order: int, *, direction: Any = None, argnums: Argnums | None = None, has_aux: Literal[True]
) -> tuple[list[Any], Any]: ...
def taylor(
    f: Function, x: Any, order: int, *, direction: Any = None, argnums: Argnums | None = None, has_aux: bool = False
) -> Any:
    """The Taylor coefficients of `f` at `x`: [f(x), f'(x), f''(x) / 2!, ...], up to the derivative of this order.

    Arguments:
        f: a function that returns a scalar or a tree of scalars. It runs once.
        x: its argument: a number; with `direction`, any tree of numbers. With `argnums`, a tuple of its arguments.
        order: of the highest derivative, 0 or more. The cost grows with its square.
        direction: in the structure of `x`. The coefficients are then those of t -> f(x + t * direction) at t = 0.
        argnums: which of several arguments to expand in, by position, or a tuple of some, which takes a direction that
            is a tuple too.
        has_aux: whether `f` returns a pair: a tree of scalars, and something to hand out as it is.

    Returns:
        a list of order + 1 coefficients, each in the structure of what `f` returns; with `has_aux` a pair of that and
        what `f` returned besides.

    Raises:
        OperandError: `order` is no such number, `x` is no number, or `direction` has another structure.
        NonFiniteError: a result or a coefficient is undefined or infinite, as those of sqrt are at 0.
        GraphError: an operation written by hand is on the way, and `order` is 2 or more.

    Example:
        >>> taylor(lambda x: x**3, 2.0, 4)
        [8.0, 12.0, 6.0, 1.0, 0.0]
        >>> taylor(lambda p: p[0] * p[1], [2.0, 3.0], 2, direction=[1.0, 10.0])
        [6.0, 23.0, 10.0]
        >>> taylor(lambda a, x: a * x**2, (3.0, 1.0), 2, argnums=1)
        [3.0, 6.0, 3.0]
    """
    who = title("taylor", f)
    order = whole(order, who)
    if argnums is not None and not isinstance(x, tuple | list):
        raise OperandError(f"{who}: with argnums, x is a tuple of the arguments, as in (x, a), not {shown(x)}")
    args = (x,) if argnums is None else tuple(x)
    by = positions(0 if argnums is None else argnums, who)
    chosen = [args[place] for place in places_of(by, who, len(args))]
    moving: Any = chosen[0] if isinstance(by, int) else tuple(chosen)
    _, structure = trees.flatten(moving)
    velocities, values = [1.0], False
    if direction is not None:
        velocities, values = trees.leaves_like(structure, direction, f"{who}: the direction", "x")
    elif moving is not None and str(structure) != "number":
        raise OperandError(
            f"{who} expands along a line, and x is {trees.a(structure)}: give the direction to move in, in the "
            "structure of x, as in direction=v"
        )
    modes.guard(f"{who}, a series", None)
    run = Run(who, f, by, args, {}, has_aux)
    rows: Any = None
    if not values:
        with modes.Recording():  # of primitives and CALLs the derivatives are graphs, also under no_grad
            rows = run.numbers(run.tape, lambda: expand(run, velocities, order, None))
    if rows is None:
        rows = [as_values(row) for row in expand(run, velocities, order, symbolic.Table())]
    else:
        rows = [run.leaves(row) for row in rows]
    found = [trees.rebuild(run.made, row) for row in rows]
    return (found, run.aux) if has_aux else found


def whole(order: Any, who: str) -> int:
    """The order as an int."""
    if isinstance(order, bool) or not hasattr(order, "__index__") or operator.index(order) < 0:
        raise OperandError(f"{who}: the order of the highest derivative is an integer, 0 or more, not {shown(order)}")
    return operator.index(order)


def expand(run: Run, velocities: list[Any], order: int, table: symbolic.Table | None) -> list[list[Value | float]]:
    """For each order the coefficients of all results: Values that are made in `table`, or else numbers."""
    finite = modes.current().allow_nonfinite == 0
    tape = run.tape
    found: list[Any] = [None] * len(tape.nodes)
    with modes.AllowNonfinite():
        for i, x, velocity in zip(tape.ins, run.inputs, velocities, strict=True):
            if i >= 0:
                found[i] = Series([coefficient(x, table), coefficient(velocity, table), *[0.0] * order], zero, {})
        for k in range(len(found)):
            if found[k] is None:
                made: dict[Any, Series] = {}
                try:
                    known = node_series(tape, k, found, made, table).to(order)
                finally:  # series refer to each other, exp even to itself: none shall wait for the garbage collector
                    for series in made.values():
                        series.following = zero
                    made.clear()
                found[k] = Series(known, zero, {})
    results = []
    for output, k in zip(run.outputs, tape.outs, strict=True):
        if k >= 0 and finite and not is_finite(found[k]):
            raise no_series(tape, found, k)
        results.append(found[k] if k >= 0 else Series([coefficient(output, table)], zero, {}))
    return [[symbolic.bare(y[k]) for y in results] for k in range(order + 1)]


def node_series(
    tape: Tape, k: int, found: list[Series], made: dict[Any, Series], table: symbolic.Table | None
) -> Series:
    """The series of node k, from those found for its operands."""
    node: Value = tape.nodes[k]
    y0 = coefficient(node, table)
    name, rule = symbolic.kind_of(node)
    if rule is None and name != "custom":
        operands: list[Any] = [coefficient(x, table) for x in node._prev]
        for i, x in enumerate(operands):
            if type(x) is not float:  # a Term that does not move
                operands[i] = Series([x], zero, made)
        for e in range(tape.first[k], tape.first[k + 1]):
            x = found[tape.sources[e]]
            operands[tape.places[e]] = Series(x.known, x.following, made)
        y = apply(name, *operands) if name in ARITHMETIC else operation(name, operands, made)
        if type(y) is float:  # x * 0.0
            return Series([y0], zero, made)
        if y.known:  # x * 1.0 is x
            return Series([y0], y.__getitem__, made)
    elif name == "custom":
        y = by_hand(tape, k, found, made, table)
    elif name == "primitive":
        y = primitive(tape, k, rule, found, made, table)
    else:
        y = call(tape, k, rule, found, made, table)
    y.known.append(y0)
    return y


def by_hand(tape: Tape, k: int, found: list[Series], made: dict[Any, Series], table: symbolic.Table | None) -> Series:
    """The series of an operation written by hand, which has first derivatives only."""
    node: Value = tape.nodes[k]

    def refuse(_k: int) -> Coefficient:
        raise symbolic.no_second_derivative(node)

    def slopes() -> Iterator[tuple[Series, Any]]:
        for e in range(tape.first[k], tape.first[k + 1]):
            partial = tape.partials[e] if table is None else symbolic.once(node, tape.partials[e])
            yield found[tape.sources[e]], Series([coefficient(partial, table)], refuse, made)

    return integral(slopes, made)


def primitive(
    tape: Tape, k: int, rule: Any, found: list[Series], made: dict[Any, Series], table: symbolic.Table | None
) -> Series:
    """The series of a primitive, from the graphs of its derivatives, made on inputs of their own."""
    node: Value = tape.nodes[k]
    edges = range(tape.first[k], tape.first[k + 1])
    xs = [found[tape.sources[e]] for e in edges]

    @functools.cache
    def derivatives() -> list[Series]:
        operands = list(node._prev)
        inputs = [variable(x if table is not None else x.data) for x in (*tape_operands(tape, k), node)]
        for e, x in zip(edges, inputs, strict=False):
            operands[tape.places[e]] = x
        try:
            outputs = rule.slopes([tape.places[e] for e in edges], tuple(operands), inputs[-1])
        finally:
            release(inputs)
        return graph_series(outputs, inputs, [*xs, y], made, table, tape)

    def slope(i: int, e: int) -> Series:
        known = [tape.partials[e]] if table is None else []  # which may be all that there is: written with `math`
        return Series(known, lambda j: derivatives()[i][j], made)

    def slopes() -> Iterator[tuple[Series, Any]]:
        return ((xs[i], slope(i, e)) for i, e in enumerate(edges))

    y = integral(slopes, made)
    return y


def call(
    tape: Tape, k: int, rule: Any, found: list[Series], made: dict[Any, Series], table: symbolic.Table | None
) -> Series:
    """The series of a CALL that has one result, or of a PICK: from the graphs of its gradients, on its operands."""
    if hasattr(rule, "index"):  # a PICK
        k, index = tape.sources[tape.first[k]], rule.index
        _, rule = symbolic.kind_of(tape.nodes[k])
    elif rule.several:
        return Series([], zero, made)
    else:
        index = 0
    node: Value = tape.nodes[k]
    xs = [found[e] for e in tape.sources[tape.first[k] : tape.first[k + 1]]]

    def slopes() -> Iterator[tuple[Series, Any]]:
        gradients = rule.pull_values(node._prev, {index: 1.0})
        wanted = [gradients[place] for place in tape.places[tape.first[k] : tape.first[k + 1]]]
        yield from zip(xs, graph_series(wanted, tape_operands(tape, k), xs, made, table, tape), strict=True)

    return integral(slopes, made)


def graph_series(
    outputs: list[Any],
    inputs: list[Value],
    given: list[Series],
    made: dict[Any, Series],
    table: symbolic.Table | None,
    used: Tape,
) -> list[Series]:
    """The series of Values and numbers that were computed from these inputs, whose series are given.

    Where they depend on others that somebody may differentiate by, that is noted in `used`, the tape that asks.
    """
    roots = as_values(outputs)
    tape = Tape(roots, inputs)
    used.open = used.open or tape.open
    found: list[Any] = [None] * len(tape.nodes)
    for i, x in zip(tape.ins, given, strict=True):
        if i >= 0:
            found[i] = x
    for k in range(len(found)):
        if found[k] is None:
            found[k] = node_series(tape, k, found, made, table)
    return [
        found[k] if k >= 0 else Series([coefficient(x, table)], zero, made)
        for x, k in zip(roots, tape.outs, strict=True)
    ]


def tape_operands(tape: Tape, k: int) -> list[Value]:
    """The operands of node k that are on the tape, one for each edge."""
    return [tape.nodes[tape.sources[e]] for e in range(tape.first[k], tape.first[k + 1])]


def coefficient(x: Value | float, table: symbolic.Table | None) -> Coefficient:
    """A scalar as a coefficient."""
    if not isinstance(x, Value):
        return x
    return x.data if table is None else symbolic.as_term(x, table)


def is_finite(y: Series) -> bool:
    return all(x - x == 0.0 for x in map(symbolic.number, y.known))


def no_series(tape: Tape, found: list[Series], k: int) -> NonFiniteError:
    """The error for coefficients of node k that are not finite, naming the operation that began it."""
    e = tape.first[k]
    while e < tape.first[k + 1]:
        if is_finite(found[tape.sources[e]]):
            e += 1
        else:
            k = tape.sources[e]
            e = tape.first[k]
    node: Value = tape.nodes[k]
    numbers = list(map(symbolic.number, found[k].known))
    order = next(i for i, x in enumerate(numbers) if x - x != 0.0)
    return NonFiniteError(
        f"{sweep.called(node)} has no Taylor series to order {order}: the coefficient there is {numbers[order]!r}. "
        "Change the operands or the order, or let IEEE results through with glassgrad.allow_nonfinite()"
    )


# ---- series --------------------------------------------------------------------------------------------------------


class Series:
    """A power series: its coefficients so far, and how to get the next one.

    A number among the operands of a rule: arithmetic gives series, comparisons go by the coefficient of order 0.

    Arguments:
        known: the first coefficients.
        following: gives the coefficient of an order, when all of lower order are known.
        made: what was made of the series at hand: by operation, so that none is done twice, and every integral.
    """

    __slots__ = ("following", "known", "made")

    def __init__(
        self, known: list[Coefficient], following: Callable[[int], Coefficient], made: dict[Any, Series]
    ) -> None:
        self.known = known
        self.following = following
        self.made = made

    def to(self, k: int) -> list[Coefficient]:
        """The coefficients to order k at least."""
        known = self.known
        while len(known) <= k:
            known.append(self.following(len(known)))
        return known

    def __getitem__(self, k: int) -> Coefficient:
        return self.to(k)[k]

    def new(self, following: Callable[[int], Coefficient]) -> Series:
        """A series made from this one."""
        return Series([], following, self.made)

    def __neg__(self) -> Series:
        return self.new(lambda k: -self[k])

    def __add__(self, other: Any) -> Series:
        if isinstance(other, Series):
            return self.new(lambda k: self[k] + other[k])
        return self.new(lambda k: self[k] if k else self[0] + other) if other != 0.0 else self

    def __radd__(self, other: float) -> Series:
        return self + other

    def __sub__(self, other: Any) -> Series:
        if isinstance(other, Series):
            return self.new(lambda k: self[k] - other[k])
        return self.__add__(-other)

    def __rsub__(self, other: float) -> Series:
        return -self + other

    def __mul__(self, other: Any) -> Any:
        if isinstance(other, Series):
            return self.new(lambda k: products(self.to(k), other.to(k), 0, k))
        if other == 0.0:
            return 0.0
        return self.new(lambda k: self[k] * other) if other != 1.0 else self

    def __rmul__(self, other: float) -> Any:
        return self * other

    def __truediv__(self, other: Any) -> Series:
        if not isinstance(other, Series):
            return self.new(lambda k: quotient(self[k], other))
        found: list[Coefficient] = []  # times `other` it is this series

        def following(k: int) -> Coefficient:
            return quotient(self[k] - products(other.to(k), found, 1, k), other[0])

        return Series(found, following, self.made)

    def __rtruediv__(self, other: float) -> Any:
        return Series([other], zero, self.made) / self if other != 0.0 else 0.0

    def __lt__(self, other: Any) -> bool:
        return number(self) < number(other)

    def __le__(self, other: Any) -> bool:
        return number(self) <= number(other)

    def __gt__(self, other: Any) -> bool:
        return number(self) > number(other)

    def __ge__(self, other: Any) -> bool:
        return number(self) >= number(other)

    def __eq__(self, other: object) -> bool:
        return number(self) == number(other)

    def __ne__(self, other: object) -> bool:
        return number(self) != number(other)

    __hash__ = object.__hash__  # a key of `made` finds what was made from the very same series


def number(x: Any) -> float:
    """What a series, or a plain number, is compared by."""
    return symbolic.number(x[0] if isinstance(x, Series) else x)


def zero(_k: int) -> float:
    return 0.0


def undefined(_k: int) -> float:
    return float("nan")


def products(a: list[Coefficient], b: list[Coefficient], start: int, k: int) -> Coefficient:
    """a[start] * b[k - start] + ... + a[k] * b[0]."""
    total = 0.0
    for i in range(start, k + 1):
        x, w = a[i], b[k - i]
        if x and w:  # every Term is true: its number may be 0, its derivatives are not
            total = total + symbolic.times(x, w)
    return total


def quotient(a: Coefficient, b: Coefficient) -> Coefficient:
    return a / b if b != 0.0 else symbolic.apply("div", a, b)


# ---- the rules on series ---------------------------------------------------------------------------------------------

ARITHMETIC = {"identity", "add", "sub", "mul", "div", "neg", "square", "reciprocal"}  # that of series themselves
NARY = {"sum", "mean", "prod", "dot", "logsumexp", "softmax"}  # their derivatives are one function


@functools.cache
def rules_on_series() -> ModuleType:
    """The rules with every operation of the table as one that makes a series."""
    return symbolic.load_rules("series", lambda name, _count: functools.partial(apply, name), number)


def apply(name: str, *operands: Any) -> Any:
    """An operation of the table on series and numbers: a series if there is one among them."""
    if name in ARITHMETIC:
        return rules_on_series().RULES[name].value(*operands)
    for x in operands:
        if isinstance(x, Series):
            made = x.made.get((name, *operands))
            if made is None and name == "pow":
                made = power_below(x, operands[1])
            if made is None:
                made = operation(name, operands, x.made)
                made.known.append(symbolic.apply(name, *[x[0] if isinstance(x, Series) else x for x in operands]))
            return made
    return symbolic.apply(name, *operands)


def power_below(x: Any, w: Any) -> Series | None:
    """x**w as x**(w + 1) / x, where that is at hand: else x**0.5 would ask for x**-0.5, that for x**-1.5, and so on.

    Not where w is a small whole number: there the row ends, and all that comes after is exactly 0.
    """
    if not isinstance(w, float) or x == 0.0 or (0.0 <= w < 100.0 and w.is_integer()):
        return None
    y = x.made.get(("pow", x, w + 1.0))
    return None if y is None else y / x


def operation(name: str, operands: Sequence[Any], made: dict[Any, Series]) -> Series:
    """The series of an operation of the table, from its derivatives; its coefficient of order 0 is to be filled in."""
    key = (name, *operands)
    y = made[key] = integral(lambda: partials(name, operands, made[key]), made)
    return y


def integral(slopes: Callable[[], Iterable[tuple[Series, Any]]], made: dict[Any, Series]) -> Series:
    """The series whose derivative is the sum over some pairs (x, d) of d times the derivative of x.

    Its coefficient of order 0 is to be filled in. The pairs are asked for when it is: they may depend on it.
    """
    ways: list[tuple[Series, Any, list[tuple[int, Coefficient]]]] = []

    def following(k: int) -> Coefficient:
        if k == 1:
            ways.extend([(x, d, []) for x, d in slopes()])
        constant = moving = 0.0
        for x, d, steps in ways:
            c = x[k]
            if not c:  # 0 times anything is 0; every Term is true
                pass
            elif isinstance(d, Series):
                steps.append((k, k * c))  # of the derivative of x
            else:
                constant = constant + symbolic.times(c, d)
            for j, step in steps:
                moving = moving + symbolic.times(step, d[k - j])
        return constant + moving / k

    y = made[following] = Series([], following, made)
    return y


def partials(name: str, operands: Sequence[Any], y: Series) -> Iterator[tuple[Series, Any]]:
    """Each operand that is a series, and the derivative by it: a series or a number."""
    rule = rules_on_series().RULES[name]
    if name in NARY:
        by_each: list[Any] = [0.0] * len(operands)
        rule.derivatives[0](operands, y, by_each)
    else:
        by_each = [
            derivative(*operands, y) if isinstance(x, Series) else 0.0
            for x, derivative in zip(operands, rule.derivatives, strict=True)
        ]
    for x, d in zip(operands, by_each, strict=True):
        if isinstance(x, Series) and (isinstance(d, Series) or d != 0.0):
            pole = not isinstance(d, Series) and d - d != 0.0
            yield x, Series([d], undefined, y.made) if pole else d
