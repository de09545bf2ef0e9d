"""Expand: derivatives that are one operation, `tanh'0`, as nodes, so that they can be differentiated once more.

Pipeline: trace → differentiate → **expand** → differentiate again → lift; only where a second derivative is asked for.

`differentiate` leaves a rule that takes branches as one operation, for a program must hold for all numbers. Here the
rule is read under every answer to each of its comparisons, and what the readings give is joined by `where`:

    tanh'0  →  where(y > -0.5, where(y < 0.5, 1 - y·y, s), s),   s = 4·e / (1 + e·(2 + e)),   e = exp(where(x >= 0, …))

- A comparison asked before is not asked again, nor one of numbers; more than PATHS readings are refused.
- Readings that differ in one place only are joined there: in the exponent above. What is not chosen seldom overflows.
- What serves the last digits at the ends of the range is left out, as in `symbolic`: a number is compared with TINY and
  HUGE as if it were neither, and corrections of rounding errors are 0.
- The largest of n operands, which softmax subtracts from all and which cancels, is *held*: a leaf, so that nothing is
  differentiated by it, until `released` puts the node in its place.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Iterable, Sequence
from types import ModuleType, SimpleNamespace
from typing import Any, Final, NoReturn

from .. import _libm, rules, symbolic
from ..errors import GlassgradError
from .differentiate import dependent
from .scalars import CONST, LEAF, Scalars

__all__ = ["PATHS", "Expanded", "TooManyPaths", "expand", "released"]

PATHS: Final = 64  # readings of one rule; gelu, the longest of the table, has 5
HOLDS: Final = {"<": "<", "<=": "<=", ">": ">", ">=": ">=", "==": "=", "!=": "<>"}  # the relations, one letter each
MIRRORED: Final = {"<": ">", "<=": ">=", ">": "<", ">=": "<=", "==": "==", "!=": "!="}


class TooManyPaths(GlassgradError):
    """A rule takes more branches than are worth a program; the caller goes on without one, and nobody sees this."""


class Fork(Exception):
    """A reading met a comparison without an answer: it ends there, and is taken up with each."""

    def __init__(self, pair: tuple[int, object], a: Term, b: Any, yes: str, no: str) -> None:
        self.pair, self.a, self.b, self.yes, self.no = pair, a, b, yes, no


# ---- what the rules meet ---------------------------------------------------------------------------------------------


class Reading:
    """The program that grows, and what is known about it on the path that is being read."""

    def __init__(self, scalars: Scalars) -> None:
        self.scalars = scalars
        self.known: dict[tuple[int, object], str] = {}  # for two that were compared the relations that are possible
        self.held: dict[int, int] = {}  # for a held leaf the node that it stands for
        self.largest: dict[tuple[int, ...], int] = {}  # for operands the leaf of the largest

    def under_all(self, read: Callable[[], list[Any]], stop: frozenset[int]) -> list[Any]:
        """What a rule gives, Terms and numbers, under all answers.

        Arguments:
            stop: its operands; what lies below them is not the rule's.
        """
        self.known = {}
        room = [PATHS]

        def follow() -> list[Any]:
            try:
                found = read()
            except Fork as fork:
                before = self.known
                sides = []
                for possible in (fork.yes, fork.no):
                    self.known = before | {fork.pair: possible}
                    sides.append(follow())
                self.known = before
                return [self.join(fork, a, b, stop) for a, b in zip(*sides, strict=True)]
            room[0] -= 1
            if room[0] < 0:
                raise TooManyPaths(f"a derivative takes more than {PATHS} branches")
            return found

        return follow()

    def join(self, fork: Fork, yes: Any, no: Any, stop: frozenset[int]) -> Any:
        """What one answer gives and what the other gives, as one node."""
        a, b = self.bare(yes), self.bare(no)
        if a == b:
            return yes
        apart: dict[tuple[int, int], None] = {}
        self.compare(a, b, stop, apart, set())
        pair = next(iter(apart)) if len(apart) == 1 else (a, b)
        return Term(self.replaced(a, b, pair, self.choice(fork, *pair)), self)

    def choice(self, fork: Fork, a: int, b: int) -> int:
        """`a` where the answer is yes, else `b`. The conditions are those of `trace.Tracer.compare`."""
        node, const = self.scalars.node, self.scalars.const
        difference = self.bare(subtract(fork.a, fork.b))
        if "=" in (fork.yes, fork.no):  # where they are equal the difference is 0
            condition, swap = difference, fork.yes == "="
        elif ">" in (fork.yes, fork.no):
            condition, swap = node("relu", node("sign", difference)), fork.no == ">"
        else:
            difference = self.bare(subtract(fork.b, fork.a))
            condition, swap = node("relu", node("sign", difference)), fork.no == "<"
        a, b = (b, a) if swap else (a, b)
        if "=" not in (fork.yes, fork.no):
            if (a, b) == (const(1.0), const(0.0)):
                return condition
            if (a, b) == (const(0.0), const(1.0)):
                return node("sub", const(1.0), condition)
        return node("where", condition, a, b)

    def compare(
        self, a: int, b: int, stop: frozenset[int], apart: dict[tuple[int, int], None], seen: set[tuple[int, int]]
    ) -> None:
        """Note in `apart` where two expressions differ that are alike otherwise."""
        if a == b or (a, b) in seen:
            return
        seen.add((a, b))
        ops, operands = self.scalars.ops, self.scalars.operands
        alike = ops[a] == ops[b] and len(operands[a]) == len(operands[b]) > 0
        if not alike or a in stop or b in stop:
            apart[a, b] = None
            return
        for x, w in zip(operands[a], operands[b], strict=True):
            self.compare(x, w, stop, apart, seen)

    def replaced(self, a: int, b: int, pair: tuple[int, int], by: int) -> int:
        """The expression that two are which differ by one pair, with another node in its place."""
        if (a, b) == pair:
            return by
        if a == b:
            return a
        below = zip(self.scalars.operands[a], self.scalars.operands[b], strict=True)
        return self.scalars.node(self.scalars.ops[a], *[self.replaced(x, w, pair, by) for x, w in below])

    def bare(self, x: Any) -> int:
        """The node of a Term or of a number."""
        return x.node if isinstance(x, Term) else self.scalars.const(x)

    def top(self, xs: Sequence[Any]) -> Term:
        """The largest of some operands, held."""
        nodes = tuple(sorted({self.bare(x) for x in xs}))
        if nodes not in self.largest:
            row = list(nodes)
            while len(row) > 1:  # in pairs, which are few levels
                pairs = [self.scalars.node("maximum", a, b) for a, b in zip(row[::2], row[1::2], strict=False)]
                row = pairs + row[2 * len(pairs) :]
            leaf = self.largest[nodes] = self.scalars.leaf()
            self.held[leaf] = row[0]
        return Term(self.largest[nodes], self)


class Term:
    """A node among the operands of a rule: arithmetic makes nodes, a comparison is answered by the path."""

    __slots__ = ("node", "reading")

    def __init__(self, node: int, reading: Reading) -> None:
        self.node = node
        self.reading = reading

    def __add__(self, other: Any) -> Any:
        return add(self, other)

    def __radd__(self, other: Any) -> Any:
        return add(other, self)

    def __sub__(self, other: Any) -> Any:
        return subtract(self, other)

    def __rsub__(self, other: Any) -> Any:
        return subtract(other, self)

    def __mul__(self, other: Any) -> Any:
        return multiply(self, other)

    def __rmul__(self, other: Any) -> Any:
        return multiply(other, self)

    def __truediv__(self, other: Any) -> Any:
        return apply("div", self, other)

    def __rtruediv__(self, other: Any) -> Any:
        return 0.0 if other == 0.0 else apply("div", other, self)

    def __neg__(self) -> Any:
        return apply("neg", self)

    def __lt__(self, other: Any) -> bool:
        return holds(self, "<", other)

    def __le__(self, other: Any) -> bool:
        return holds(self, "<=", other)

    def __gt__(self, other: Any) -> bool:
        return holds(self, ">", other)

    def __ge__(self, other: Any) -> bool:
        return holds(self, ">=", other)

    def __eq__(self, other: object) -> bool:
        return holds(self, "==", other)

    def __ne__(self, other: object) -> bool:
        return holds(self, "!=", other)

    __hash__ = None  # type: ignore[assignment]


def holds(a: Term, sign: str, b: Any) -> bool:
    """The answer to a comparison on the path that is being read."""
    if isinstance(b, Term):
        if a.node == b.node:
            return "=" in HOLDS[sign]
        if a.node > b.node:
            a, sign, b = b, MIRRORED[sign], a
    elif abs(b) in (rules_on_paths().TINY, rules_on_paths().HUGE):
        if (sign, b) != ("<", rules_on_paths().TINY):
            return False  # neither beyond HUGE nor, in `-TINY < y < TINY`, near 0
        sign, b = "<=", 0.0  # `y < TINY` of a y that is never negative
    pair = (a.node, b.node if isinstance(b, Term) else ("number", b))
    possible = a.reading.known.get(pair, "<=>")
    yes = "".join([relation for relation in possible if relation in HOLDS[sign]])
    no = "".join([relation for relation in possible if relation not in HOLDS[sign]])
    if yes and no:
        raise Fork(pair, a, b, yes, no)
    return bool(yes)


def apply(name: str, *operands: Any) -> Any:
    """An operation of the table on Terms and numbers; a number where there is no Term among them."""
    reading = next((x.reading for x in operands if isinstance(x, Term)), None)
    if reading is None:
        return rules.RULES[name].value(*operands)
    return Term(reading.scalars.node(name, *[reading.bare(x) for x in operands]), reading)


def is_number(x: Any, number: float) -> bool:
    return not isinstance(x, Term) and x == number


def add(a: Any, b: Any) -> Any:
    return b if is_number(a, 0.0) else a if is_number(b, 0.0) else apply("add", a, b)


def subtract(a: Any, b: Any) -> Any:
    return -b if is_number(a, 0.0) else a if is_number(b, 0.0) else apply("sub", a, b)


def multiply(a: Any, b: Any) -> Any:
    """a * b; 0 times anything is 0, as in a sweep."""
    for x, w in ((a, b), (b, a)):
        if is_number(x, 0.0):
            return 0.0
        if is_number(x, 1.0):
            return w
        if is_number(x, -1.0):
            return -w
    return apply("mul", a, b)


class Largest:
    """What `rules.largest` gives: no operand's place."""


LARGEST: Final = Largest()


class Operands(list[Any]):
    """The operands of a rule of any number of them."""

    def __getitem__(self, place: Any) -> Any:
        if place is not LARGEST:
            return super().__getitem__(place)
        reading: Reading = next(x.reading for x in self if isinstance(x, Term))
        return reading.top(self)


def no_number(x: Any) -> NoReturn:
    raise TypeError(f"a rule asks for the number of {x!r} otherwise than by a comparison")


def copysign(x: Any, w: Any) -> Any:
    """|x| with the sign of w, that of -0.0 being +."""
    size = apply("abs", x) if isinstance(x, Term) else abs(x)
    negative = w < 0.0 if isinstance(w, Term) else math.copysign(1.0, w) < 0.0
    return -size if negative else size


@functools.cache
def rules_on_paths() -> ModuleType:
    """The rules on Terms."""

    def step(name: str, _count: int) -> Callable[..., Any]:
        return functools.partial(apply, name)

    module = symbolic.load_rules("paths", step, no_number)
    vars(module).update(
        libm=SimpleNamespace(pow=step("pow", 2), copysign=copysign, INFINITY=_libm.INFINITY, NAN=_libm.NAN),
        is_finite=lambda x: isinstance(x, Term) or x - x == 0.0,  # a call with infinities runs eagerly
        exp_times=lambda x, factor: multiply(factor, apply("exp", x)),
        largest=lambda _: LARGEST,
    )
    return module


# ---- programs --------------------------------------------------------------------------------------------------------


class Expanded:
    """A program of its own, in which derivatives have derivatives.

    Attributes:
        scalars: the program, without what its results do not need; all leaves are there, in their order.
        ids: for each node of the one before its node, -1 where there is none.
        start: the first node of the adjoint.
        held: for each held leaf the node that `released` puts in its place.
    """

    def __init__(self, scalars: Scalars, ids: list[int], start: int, held: dict[int, int]) -> None:
        self.scalars, self.ids, self.start, self.held = scalars, ids, start, held

    def of(self, nodes: Iterable[int]) -> list[int]:
        """These nodes of the one before."""
        return [self.ids[i] for i in nodes]


def expand(scalars: Scalars, results: Sequence[int], by: Iterable[int], start: int) -> Expanded:
    """The program for some results, in which each derivative that depends on some leaves is expanded.

    Arguments:
        start: the first node of the adjoint, len(scalars) if there is none.

    Raises:
        TooManyPaths: a rule takes too many branches.
    """
    moving = dependent(scalars, set(by))
    reading = Reading(Scalars())
    found: dict[tuple[str, tuple[int, ...]], list[Any]] = {}  # by an n-ary operation all its derivatives, read at once

    def make(i: int, op: str, below: list[int]) -> int:
        name, _, place = op.partition("'")
        if not place or not moving[i]:
            return reading.scalars.node(op, *below)
        return reading.bare(read(reading, name, int(place), below, found))

    ids, first = copied(scalars, results, start, reading.scalars, make, {})
    return Expanded(reading.scalars, ids, first, reading.held)


def read(
    reading: Reading, name: str, place: int, below: list[int], found: dict[tuple[str, tuple[int, ...]], list[Any]]
) -> Any:
    """A derivative of an operation by one of its operands, the last of `below` being its result."""
    module = rules_on_paths()
    rule = module.RULES[name]
    ops, numbers = reading.scalars.ops, reading.scalars.numbers
    *operands, y = [numbers[j] if ops[j] == CONST else Term(j, reading) for j in below]
    stop = frozenset(below)
    if rule.value.__code__.co_varnames[:1] != ("xs",):
        return reading.under_all(lambda: [rule.derivatives[place](*operands, y)], stop)[0]
    key = (name, tuple(below))
    if key not in found:

        def fill() -> list[Any]:
            out = [0.0] * len(operands)
            rule.derivatives[0](Operands(operands), y, out)
            return out

        found[key] = reading.under_all(fill, stop)
    return found[key][place]


def released(expanded: Expanded, results: Sequence[int]) -> Expanded:
    """The program for some results with the nodes in place of the held leaves."""
    scalars = Scalars()

    def make(_i: int, op: str, below: list[int]) -> int:
        return scalars.node(op, *below)

    ids, start = copied(expanded.scalars, results, expanded.start, scalars, make, expanded.held)
    return Expanded(scalars, ids, start, {})


def copied(
    scalars: Scalars,
    results: Sequence[int],
    start: int,
    into: Scalars,
    make: Callable[[int, str, list[int]], int],
    held: dict[int, int],
) -> tuple[list[int], int]:
    """Copy the leaves and what the results need; for each node the new one, and the first node of the adjoint.

    Arguments:
        make: makes an operation anew, from its number, its name and its operands.
        held: for leaves that are not copied what stands for them.
    """
    live = bytearray(len(scalars))
    for i in results:
        live[i] = 1
    for i in range(len(scalars) - 1, -1, -1):
        if live[i]:
            for j in (held[i],) if i in held else scalars.operands[i]:
                live[j] = 1
    ids = [-1] * len(scalars)
    first = None
    for i, op in enumerate(scalars.ops):
        if i == start:
            first = len(into)
        if op == LEAF:
            ids[i] = ids[held[i]] if i in held else into.leaf()
        elif live[i]:
            ids[i] = (
                into.const(scalars.numbers[i]) if op == CONST else make(i, op, [ids[j] for j in scalars.operands[i]])
            )
    return ids, len(into) if first is None else first
