"""Branches: one derivative rule that takes branches, read under every answer to its comparisons.

Pipeline: trace → differentiate → **expand** → differentiate again → lift; the half of expand that knows one rule.

    tanh'0  →  where(y > -0.5 and y < 0.5, 1 - y·y, 4·e / (1 + e·(2 + e))),   e = exp(where(x >= 0, -2, 2)·x)

- A comparison asked before is not asked again, nor one of numbers; more than PATHS readings are refused.
- Readings that differ in one place only are joined there: in the exponent above. What is not chosen seldom overflows.
- What serves the last digits at the ends of the range is left out, as in `symbolic`: a number is compared with TINY and
  HUGE as if it were neither, and corrections of rounding errors are 0.
- What softmax takes off all exponents, to be finite, is their logsumexp, as in `differentiate`.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Sequence
from types import ModuleType, SimpleNamespace
from typing import Any, Final, NoReturn

from .. import _libm, symbolic
from .scalars import MANY, Scalars
from .symbols import Operands, Symbol, apply, multiply, subtract

__all__ = ["PATHS", "Reading", "Term", "TooManyPaths", "read"]

PATHS: Final = 64  # readings of one rule; of the table none has more than 5
HOLDS: Final = {"<": "<", "<=": "<=", ">": ">", ">=": ">=", "==": "=", "!=": "<>"}  # the relations, one letter each
MIRRORED: Final = {"<": ">", "<=": ">=", ">": "<", ">=": "<=", "==": "==", "!=": "!="}


class TooManyPaths(Exception):
    """A rule takes more branches than are worth a program; the caller goes on without one, and nobody sees this."""


class Fork(Exception):
    """A reading met a comparison without an answer: it ends there, and is taken up with each."""

    def __init__(self, pair: tuple[int, object], a: Term, b: Any, yes: str, no: str) -> None:
        self.pair, self.a, self.b, self.yes, self.no = pair, a, b, yes, no


# ---- what the rules meet ---------------------------------------------------------------------------------------------


class Reading:
    """The nodes that a rule makes, and what is known about them on the path that is being read."""

    def __init__(self) -> None:
        self.scalars = Scalars()
        self.known: dict[tuple[int, object], str] = {}  # for two that were compared the relations that are possible
        self.indicators: set[int] = set()  # nodes that are 1 or 0

    def under_all(self, rule: Callable[[], list[Any]]) -> list[int]:
        """The nodes of what a rule gives, under all answers."""
        room = [PATHS]

        def follow() -> list[int]:
            try:
                found = [self.bare(x) for x in rule()]
            except Fork as fork:
                before = self.known
                sides = []
                for possible in (fork.yes, fork.no):
                    self.known = before | {fork.pair: possible}
                    sides.append(follow())
                self.known = before
                return [self.join(fork, a, b) for a, b in zip(*sides, strict=True)]
            room[0] -= 1
            if room[0] < 0:
                raise TooManyPaths(f"a derivative takes more than {PATHS} branches")
            return found

        return follow()

    def join(self, fork: Fork, a: int, b: int) -> int:
        """What one answer gives and what the other gives, as one node."""
        if a == b:
            return a
        apart: dict[tuple[int, int], None] = {}
        self.compare(a, b, apart, set())
        pair = next(iter(apart)) if len(apart) == 1 else (a, b)
        return self.replaced(a, b, pair, self.choice(fork, *pair))

    def choice(self, fork: Fork, a: int, b: int) -> int:
        """`a` where the answer is yes, else `b`. The conditions are those of `trace.Tracer.compare`."""
        node = self.scalars.node
        if "=" in (fork.yes, fork.no):  # where they are equal the difference is 0
            difference = self.bare(subtract(fork.a, fork.b))
            return node("where", difference, *((b, a) if fork.yes == "=" else (a, b)))
        above = ">" in (fork.yes, fork.no)
        difference = self.bare(subtract(fork.a, fork.b) if above else subtract(fork.b, fork.a))
        condition = self.indicator("relu", node("sign", difference))
        return self.where(condition, b, a) if fork.no == "<>"[above] else self.where(condition, a, b)

    def where(self, c: int, a: int, b: int) -> int:
        """`a` where the indicator c is 1, else `b`; choices between the same two are one."""
        node, ops, operands = self.scalars.node, self.scalars.ops, self.scalars.operands
        zero, one = self.scalars.const(0.0), self.scalars.const(1.0)
        if (a, b) == (one, zero):
            return c
        if (a, b) == (zero, one):
            return self.indicator("sub", one, c)
        if b == zero and a in self.indicators:
            return self.indicator("mul", c, a)
        for inner, other in ((a, b), (b, a)):
            if ops[inner] != "where" or operands[inner][0] not in self.indicators or other not in operands[inner][1:]:
                continue
            d, p, q = operands[inner]  # inner is chosen, and in it what is not the other one
            chosen = c if inner == a else self.indicator("sub", one, c)
            chosen = self.indicator("mul", chosen, d if other == q else self.indicator("sub", one, d))
            return node("where", chosen, p if other == q else q, other)
        return node("where", c, a, b)

    def indicator(self, op: str, *operands: int) -> int:
        """A node that is 1 or 0."""
        found = self.scalars.node(op, *operands)
        self.indicators.add(found)
        return found

    def compare(self, a: int, b: int, apart: dict[tuple[int, int], None], seen: set[tuple[int, int]]) -> None:
        """Note in `apart` where two expressions differ that are alike otherwise."""
        if a == b or (a, b) in seen:
            return
        seen.add((a, b))
        ops, operands = self.scalars.ops, self.scalars.operands
        alike = ops[a] == ops[b] and len(operands[a]) == len(operands[b]) > 0
        if not alike:
            apart[a, b] = None
            return
        for x, w in zip(operands[a], operands[b], strict=True):
            self.compare(x, w, apart, seen)

    def replaced(self, a: int, b: int, pair: tuple[int, int], by: int) -> int:
        """The expression that two are which differ by one pair, with another node in its place."""
        if (a, b) == pair:
            return by
        if a == b:
            return a
        below = zip(self.scalars.operands[a], self.scalars.operands[b], strict=True)
        return self.scalars.node(self.scalars.ops[a], *[self.replaced(x, w, pair, by) for x, w in below])

    def operation(self, name: str, operands: Sequence[Any]) -> Term:
        """The Term of an operation on Terms and numbers."""
        return Term(self.scalars.node(name, *map(self.bare, operands)), self)

    def bare(self, x: Any) -> int:
        """The node of a Term or of a number."""
        return x.node if isinstance(x, Term) else self.scalars.const(x)


class Term(Symbol):
    """A node among the operands of a rule, whose comparisons are answered by the path."""

    __slots__ = ("node",)

    def __init__(self, node: int, reading: Reading) -> None:
        self.node = node
        self.reading = reading

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
        largest=Operands.largest,
    )
    return module


def read(reading: Reading, name: str, place: int, operands: list[Any], result: Any) -> list[int]:
    """The nodes of an operation's derivatives: by the operand at that place, or by all where it takes any number.

    Arguments:
        operands: Terms of the reading, and numbers for constants.

    Raises:
        TooManyPaths: the rule takes too many branches.
    """
    rule = rules_on_paths().RULES[name]
    if name not in MANY:
        return reading.under_all(lambda: [rule.derivatives[place](*operands, result)])

    def fill() -> list[Any]:
        out = [0.0] * len(operands)
        rule.derivatives[0](Operands(operands), result, out)
        return out

    return reading.under_all(fill)
