"""Derivatives as Values: the rules of `rules.py`, evaluated on Values instead of doubles.

The file of the rules is loaded a second time, its functions now meet Terms, and every step that they take becomes a
node. So a derivative is written once, serves doubles and Values, and can be differentiated again, to any order.

What holds here:

- Only what depends on an input is differentiated: the graph comes as a `tape.Tape`.
- Equal subexpressions are one node, those of the graph itself included; 0 + x, 1 * x, 0 * x and the like are no nodes.
- Corrections of rounding errors are left out, being 0 in exact arithmetic: a first derivative as a Value may differ
  from the one that `backward()` gives by some units in the last place.
- Nothing recurses along the graph.
"""

from __future__ import annotations

import functools
import importlib.util
import operator
from array import array
from collections.abc import Callable, Iterable
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

try:
    import cython
except ImportError:
    from . import _cython as cython

from . import _libm, engine, functions, modes, rules, sweep
from . import tape as tapes
from .engine import Value
from .errors import GraphError, named
from .modes import Info
from .tape import Tape

# ---- numbers that record ---------------------------------------------------------------------------------------------


@cython.final
@cython.cclass
class Table:
    """The operations of one derivative, or of some of one graph, so that none is made twice.

    Arguments:
        nodes: those of the graph that is differentiated.
    """

    __slots__ = ("made",)

    def __init__(self, nodes: Iterable[Value] = ()) -> None:
        self.made: dict[tuple[object, ...], Value] = {}
        for node in nodes:
            self.know(node)

    def know(self, node: Value) -> None:
        """Note an operation of the graph that is differentiated."""
        name = rules.NAMES[node._code]
        left = node._da if node._flags & engine.LEFT_NUMBER else node._a
        right = node._db if node._flags & engine.RIGHT_NUMBER else node._b
        if right is not None:
            if left != 0.0 and right != 0.0:
                self.keep((name, left, right), node)
        elif left is not None:
            self.keep((name, left), node)

    def operation(self, key: tuple[Any, ...]) -> Term:
        """The node of an operation, its name and then its operands, Values and numbers; a new one if there is none."""
        node = self.made.get(key)
        if node is None:
            node = MAKE[key[0]](*key[1:])
            for x in key:
                if type(x) is float and x == 0.0:  # 0.0 and -0.0 would be one key
                    return term(node, self)
            self.keep(key, node)
        return term(node, self)

    def keep(self, key: tuple[Any, ...], node: Value) -> None:
        """Note a node. The garbage collector need not visit its key, which is in no cycle: that takes half the time."""
        if cython.compiled:
            PyObject_GC_UnTrack(key)  # type: ignore[name-defined]  # noqa: F821 - symbolic.pxd
        self.made[key] = node


@cython.freelist(256)
@cython.no_gc  # a Term refers to older nodes, and nothing that lasts to it
@cython.final
@cython.cclass
class Term:
    """A Value among the operands of a rule: arithmetic makes nodes, comparisons go by its number."""

    __slots__ = ("node", "table")

    node: Value
    table: Table

    def __add__(self, other: Any) -> Any:
        return add(self, other)

    def __radd__(self, other: float) -> Any:
        return add(other, self)

    def __sub__(self, other: Any) -> Any:
        return subtract(self, other)

    def __rsub__(self, other: float) -> Any:
        return subtract(other, self)

    def __mul__(self, other: Any) -> Any:
        return multiply(self, other)

    def __rmul__(self, other: float) -> Any:
        return multiply(other, self)

    def __truediv__(self, other: Any) -> Any:
        return of_two("div", self, other)

    def __rtruediv__(self, other: float) -> Any:
        return of_two("div", other, self) if other != 0.0 else 0.0

    def __neg__(self) -> Any:
        return negate(self)

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

    __hash__ = None  # type: ignore[assignment]


def term(node: Value, table: Table) -> Term:
    out: Term = Term.__new__(Term)
    out.node = node
    out.table = table
    return out


def number(x: Any) -> float:
    """The number of a Term, or of a plain number."""
    return engine.data_of(cython.cast(Term, x).node) if isinstance(x, Term) else x


def apply(name: str, *operands: Any) -> Any:
    """An operation of the table on Terms and numbers; a number where there is no Term among them."""
    table: Table | None = None
    for x in operands:
        if isinstance(x, Term):
            table = cython.cast(Term, x).table
    if table is None:
        return rules.RULES[name].value(*operands)
    return table.operation((name, *[bare(x) for x in operands]))


def of_one(name: str, a: Any) -> Any:
    if isinstance(a, Term):
        x: Term = a
        return x.table.operation((name, x.node))
    return rules.RULES[name].value(a)


def of_two(name: str, a: Any, b: Any) -> Any:
    x: Term
    if isinstance(a, Term):
        x = a
        return x.table.operation((name, x.node, bare(b)))
    if isinstance(b, Term):
        x = b
        return x.table.operation((name, a, x.node))
    return rules.RULES[name].value(a, b)


def add(a: Any, b: Any) -> Any:
    if not isinstance(a, Term) and a == 0.0:
        return b
    if not isinstance(b, Term) and b == 0.0:
        return a
    return of_two("add", a, b)


def subtract(a: Any, b: Any) -> Any:
    if not isinstance(a, Term) and a == 0.0:
        return negate(b)
    if not isinstance(b, Term) and b == 0.0:
        return a
    return of_two("sub", a, b)


def multiply(a: Any, b: Any) -> Any:
    """a * b; 0 times anything is 0, as in a sweep."""
    if not isinstance(a, Term):
        if not isinstance(b, Term):
            return a * b
        return multiply(b, a)
    if not isinstance(b, Term):
        if b == 1.0:
            return a
        if b == -1.0:
            return negate(a)
        if b == 0.0:
            return 0.0
    return of_two("mul", a, b)


def negate(a: Any) -> Any:
    return of_one("neg", a) if isinstance(a, Term) else -a


def identity(x: Value) -> Value:
    return engine.unary(x, rules.IDENTITY, rules.identity, rules.identity_dx)


def gelu_slope(x: Value) -> Value:
    return engine.unary(x, rules.GELU_SLOPE, rules.gelu_slope, rules.gelu_slope_dx)


OPERATORS: dict[str, Callable[..., Value]] = {
    "add": operator.add, "sub": operator.sub, "mul": operator.mul, "div": operator.truediv, "pow": operator.pow,
    "neg": operator.neg, "identity": identity, "gelu_slope": gelu_slope,
}  # fmt: skip
MAKE: dict[str, Callable[..., Any]] = {name: OPERATORS.get(name) or getattr(functions, name) for name in rules.RULES}


# ---- the rules on Terms ----------------------------------------------------------------------------------------------


@functools.cache
def rules_on_terms() -> ModuleType:
    """The rules with every operation of the table as a step that makes a node."""
    return load_rules("terms", lambda name, count: functools.partial((of_one, of_two, apply)[count - 1], name), number)


def load_rules(kind: str, step: Callable[[str, int], Callable[..., Any]], number: Callable[[Any], float]) -> ModuleType:
    """The module of the rules, loaded again for another kind of numbers.

    Arguments:
        kind: what to call them in the module's name.
        step: what to call in place of an operation, given by its name and how many operands it has.
        number: the number by which one of them is compared.
    """
    path = Path(__file__).with_name("rules.py")
    spec = importlib.util.spec_from_file_location(f"{__package__}._rules_on_{kind}", path)
    module = importlib.util.module_from_spec(spec)  # type: ignore[arg-type]
    spec.loader.exec_module(module)  # type: ignore[union-attr]
    globals_ = vars(module)
    for name, rule in module.RULES.items():
        globals_[rule.value.__name__] = step(name, rule.value.__code__.co_argcount)
    globals_ |= {
        "libm": SimpleNamespace(
            pow=step("pow", 2),
            copysign=lambda x, w: _libm.copysign(number(x), number(w)),
            INFINITY=_libm.INFINITY,
            NAN=_libm.NAN,
        ),
        "is_finite": lambda x: number(x) - number(x) == 0.0,
        "is_constant": lambda x: type(x) is float,
        "sum_error": lambda x, w, y: 0.0,  # noqa: ARG005 - what rounding took off is 0 in exact arithmetic
        "product_error": lambda x, w, y: 0.0,  # noqa: ARG005
        "difference_error": lambda x, w: 0.0,  # noqa: ARG005
        "array": lambda kind, initial: [0.0] * (len(initial) // 8),  # noqa: ARG005 - of doubles elsewhere
        "stride": lambda x, k: x,  # noqa: ARG005 - intermediate results beyond the range of doubles are not rescued
        "strides": lambda x: 0,  # noqa: ARG005
    }
    return module


# ---- sweeps over a tape ----------------------------------------------------------------------------------------------


def pull(tape: Tape, seeds: Iterable[Value | float], table: Table | None = None) -> list[Value | float | None]:
    """The derivative by each input of the outputs' sum, each output times its seed: a sweep back.

    Arguments:
        table: of this tape's nodes, where other sweeps over it share their operations with this one.

    Returns:
        Values; numbers where a derivative does not depend on anything; None for an input that no output depends on.
    """
    tracer = modes.current().tracer
    if tracer is not None:  # a branch of a rule would be frozen into the program
        return tracer.pull(tape, list(seeds))  # type: ignore[no-any-return]
    if table is None:
        table = Table(tape.nodes)
    first, sources = tapes.ints(tape.first), tapes.ints(tape.sources)
    adjoints: list[Any] = [None] * len(tape.nodes)
    waiting: dict[int, dict[int, Any]] = {}
    for output, seed in zip(tape.outs, seeds, strict=True):
        if output >= 0:
            accumulate(adjoints, output, as_term(seed, table))
    with modes.AllowNonfinite():
        for k in range(len(tape.nodes) - 1, -1, -1):
            start, end = first[k], first[k + 1]
            g = adjoints[k]
            if k in tape.calls:
                pull_call(tape, k, adjoints, waiting, table)
            elif start < end and g is not None:
                partials = partials_of(tape, k, table)
                for e in range(start, end):
                    accumulate(adjoints, sources[e], product(g, partials[e - start], tape, k, e))
    return [bare(adjoints[i]) if i >= 0 else None for i in tape.ins]


def push(tape: Tape, tangents: Iterable[Value | float], table: Table | None = None) -> list[Value | float | None]:
    """The derivative of each output where the inputs move with these velocities: a sweep forward. As in `pull`."""
    tracer = modes.current().tracer
    if tracer is not None:
        return tracer.push(tape, list(tangents))  # type: ignore[no-any-return]
    if table is None:
        table = Table(tape.nodes)
    first, sources = tapes.ints(tape.first), tapes.ints(tape.sources)
    velocities: list[Any] = [None] * len(tape.nodes)
    waiting: dict[int, list[Any]] = {}
    tangents = list(tangents)
    for i, tangent in zip(tape.ins, tangents, strict=True):
        if i >= 0:
            accumulate(velocities, i, as_term(tangent, table))
    with modes.AllowNonfinite():
        for k in range(len(tape.nodes)):
            start, end = first[k], first[k + 1]
            if k in tape.calls:
                push_call(tape, k, velocities, waiting, table)
                continue
            partials: list[Any] = []
            for e in range(start, end):
                g = velocities[sources[e]]
                if g is not None:
                    partials = partials or partials_of(tape, k, table)
                    accumulate(velocities, k, times(g, partials[e - start]))
    found = [bare(velocities[output]) if output >= 0 else None for output in tape.outs]
    numbers = [engine.plain(x) or 0.0 for x in found]
    if tape.finite and not all([rules.is_finite(y) for y in numbers]):  # noqa: C419 - a C function has no generators
        tape.push(array("d", [engine.plain(t) for t in tangents]))  # raises the error
    return found


def pull_call(tape: Tape, k: int, adjoints: list[Any], waiting: dict[int, dict[int, Any]], table: Table) -> None:
    """A sweep back at a CALL, or a PICK: one of its results, whose adjoint waits for those of the others."""
    node: Value = tape.calls[k]
    info: Info = node._info  # type: ignore[assignment]
    start, end = tape.first[k], tape.first[k + 1]
    if node._code == rules.PICK:
        if adjoints[k] is not None:
            waiting.setdefault(tape.sources[start], {})[info.rule.index] = bare(adjoints[k])
    else:
        seeds = waiting.pop(k, {0: bare(adjoints[k])} if adjoints[k] is not None else {})
        grads = info.rule.pull_values(info.operands, seeds) if seeds else ()
        for e in range(start, end) if seeds else ():
            accumulate(adjoints, tape.sources[e], through_call(grads[tape.places[e]], tape, k, table))


def push_call(tape: Tape, k: int, velocities: list[Any], waiting: dict[int, list[Any]], table: Table) -> None:
    """The same for a sweep forward."""
    node: Value = tape.calls[k]
    info: Info = node._info  # type: ignore[assignment]
    start, end = tape.first[k], tape.first[k + 1]
    if node._code == rules.PICK:
        if tape.sources[start] in waiting:
            accumulate(velocities, k, through_call(waiting[tape.sources[start]][info.rule.index], tape, k, table))
    else:
        tangents: list[Value | float] = [0.0] * len(info.operands)  # type: ignore[arg-type]
        for e in range(start, end):
            tangents[tape.places[e]] = bare(velocities[tape.sources[e]])
        if any([isinstance(x, Value) or x != 0.0 for x in tangents]):  # noqa: C419 - no generators in C functions
            waiting[k] = info.rule.push_values(info.operands, tangents)
            if not info.rule.several:
                accumulate(velocities, k, through_call(waiting[k][0], tape, k, table))


def through_call(x: Any, tape: Tape, k: int, table: Table) -> Any:
    """What a CALL gives as a Term or a number; an error where `backward()` would raise one."""
    found = as_term(x, table)
    if found is not None:
        y = number(found)
        if y - y != 0.0 and tape.finite:
            raise sweep.call_not_differentiable(tape.nodes[k], y)
    return found


def accumulate(sums: list[Any], k: int, x: Any) -> None:
    """sums[k] += x, where nothing and 0.0 are None."""
    if isinstance(x, Term) or (x is not None and x != 0.0):
        sums[k] = x if sums[k] is None else add(sums[k], x)


def times(g: Any, partial: Any) -> Any:
    """g times a derivative. Where one is 0 and the other not finite it is 0, for derivatives of any order too."""
    x, d = number(g), number(partial)
    if (x == 0.0 and d - d != 0.0) or (d == 0.0 and x - x != 0.0):
        return 0.0
    return multiply(g, partial)


def product(g: Any, partial: Any, tape: Tape, k: int, e: int) -> Any:
    """g times the derivative on edge e of node k; an error where `backward()` would raise one."""
    c = times(g, partial)
    y = number(c)
    if y - y != 0.0 and tape.finite and number(partial) == number(partial):
        raise sweep.not_differentiable(tape.nodes[k], tape.nodes[tape.sources[e]], number(g), number(partial))
    return c


def as_term(x: Value | float | None, table: Table) -> Any:
    """A Term for a Value that requires a gradient, the number of any other."""
    if isinstance(x, Value):
        value: Value = x
        return term(value, table) if value._flags & engine.REQUIRES_GRAD else engine.data_of(value)
    return x


def bare(x: Any) -> Value | float:
    """The Value of a Term, or the number."""
    return cython.cast(Term, x).node if isinstance(x, Term) else 0.0 if x is None else x


def partials_of(tape: Tape, k: int, table: Table) -> list[Any]:
    """The derivatives on the edges of node k."""
    node: Value = tape.nodes[k]
    info: Info | None = node._info
    first, places = tapes.ints(tape.first), tapes.ints(tape.places)
    start, end = first[k], first[k + 1]
    if node._code == rules.CUSTOM:
        return [as_term(once(node, tape.partials[e]), table) for e in range(start, end)]
    if node._code == rules.PRIMITIVE:
        wanted = [places[e] for e in range(start, end)]
        found = info.rule.slopes(wanted, info.operands, node)  # type: ignore[union-attr]
        return [as_term(x, table) for x in found]
    derivatives = rules_on_terms().RULES[rules.NAMES[node._code]].derivatives
    y = term(node, table)
    if node._a is None and node._b is None and info is not None and info.operands is not None:
        operands = [as_term(x, table) for x in info.operands]
        if len(derivatives) > 1:
            return [derivatives[places[e]](*operands, y) for e in range(start, end)]
        by_all = [0.0] * len(operands)
        derivatives[0](operands, y, by_all)
        return [by_all[places[e]] for e in range(start, end)]
    left = node._da if node._flags & engine.LEFT_NUMBER else as_term(node._a, table)
    if len(derivatives) == 1:
        return [derivatives[0](left, y)]
    right = node._db if node._flags & engine.RIGHT_NUMBER else as_term(node._b, table)
    return [derivatives[places[e]](left, right, y) for e in range(start, end)]


def kind_of(node: Value) -> tuple[str, Any]:
    """The operation's name in `rules.NAMES`, and its rule if it is not in the table: `primitives`, `calls`."""
    info: Info | None = node._info
    return rules.NAMES[node._code], None if info is None else info.rule


def once(node: Value, partial: float) -> Value | float:
    """The derivative of an operation written by hand: a number, which refuses to be differentiated again."""
    operands = [x for x in node._prev if x.requires_grad]

    def refuse() -> None:
        raise no_second_derivative(node)

    out = Value(partial, operands, f"∂{node._op}")
    out._backward = refuse
    return out


def no_second_derivative(node: Value) -> GraphError:
    """The error for differentiating an operation written by hand more than once."""
    return GraphError(
        f"{named(node)} is an operation {node._op!r} written by hand, whose _backward gives numbers: no second "
        "derivative follows from them; write it as @glassgrad.primitive, with derivatives in glassgrad's functions"
    )
