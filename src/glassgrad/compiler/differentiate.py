"""Differentiate: the adjoint of a scalar program, as more nodes of the same program.

Pipeline: trace → **differentiate** → lift → program → evaluate.

The derivatives are those of `rules.py`, read on nodes. A program must hold for all numbers, so a rule that takes a
branch, by comparing an operand, cannot become nodes: it stays one operation, `tanh'0`, which is computed by the rule
itself and so has every digit that eager code has. Products, sums, exp, sin and the like become arithmetic, which lift
then finds the tensor products in.

A leaf with one number for all examples has a gradient that is a total over them.

What holds: the nodes before stay as they are, and come first; each gradient is a sum over the node's uses; where the
derivative is the number 0 nothing is added. As in a sweep, an adjoint that is 0 stays 0 whatever it is multiplied with:
`evaluate` sees to that, for all nodes from `Adjoint.start` on.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from types import ModuleType
from typing import Any

from .. import rules, symbolic
from .scalars import CONST, TOTAL, Scalars

__all__ = ["Adjoint", "differentiate"]


@dataclass(frozen=True)
class Adjoint:
    """Where the derivatives are.

    Attributes:
        start: the first node that was made for them.
        gradients: the node for each of the leaves asked for.
    """

    start: int
    gradients: list[int]


def differentiate(scalars: Scalars, outputs: Sequence[int], seeds: Sequence[int | None], by: Sequence[int]) -> Adjoint:
    """Append the derivatives of the outputs' sum, each times its seed, by some leaves.

    Arguments:
        seeds: the node of each output's seed; None for 1.
        by: the leaves to differentiate by.
    """
    start = len(scalars)
    wanted = dependent(scalars, set(by))
    waiting: dict[int, list[Any]] = {}
    for output, seed in zip(outputs, seeds, strict=True):
        if wanted[output]:
            waiting.setdefault(output, []).append(1.0 if seed is None else Ref(seed, scalars))
    totals: dict[int, int] = {}
    for i in range(start - 1, -1, -1):
        if i not in waiting:
            continue
        g = gathered(waiting.pop(i), i, scalars)
        below = scalars.operands[i]
        if not below:
            totals[i] = bare(g, scalars)
            continue
        partials = partials_of(scalars, i, wanted)
        for operand, partial in zip(below, partials, strict=True):
            if wanted[operand] and not is_number(partial, 0.0):
                term = multiply(g, partial)
                if scalars.rolled[i] and not scalars.rolled[operand] and not is_rolled(term):
                    term = Ref(scalars.total(bare(term, scalars)), scalars)  # one for each example
                waiting.setdefault(operand, []).append(term)
    return Adjoint(start, [totals[leaf] if leaf in totals else scalars.const(0.0) for leaf in by])


def dependent(scalars: Scalars, leaves: set[int]) -> list[bool]:
    """For each node whether it depends on one of the leaves."""
    found: list[bool] = []
    for i, below in enumerate(scalars.operands):
        found.append(i in leaves if not below else any(found[operand] for operand in below))
    return found


def gathered(terms: list[Any], i: int, scalars: Scalars) -> Any:
    """The gradient of a node, from its terms: where it has one number for all examples, theirs are summed."""
    if not scalars.rolled[i] and any([is_rolled(x) for x in terms]):  # noqa: C419
        rolled = total([x for x in terms if is_rolled(x)], scalars)
        terms = [x for x in terms if not is_rolled(x)] + [Ref(scalars.total(rolled.node), scalars)]
    return total(terms, scalars)


def total(terms: list[Any], scalars: Scalars) -> Any:
    if len(terms) == 1:
        return terms[0]
    return Ref(scalars.node("sum", *[bare(x, scalars) for x in terms]), scalars)


def is_rolled(x: Any) -> bool:
    return type(x) is Ref and x.scalars.rolled[x.node]


# ---- the rules on nodes ----------------------------------------------------------------------------------------------


class Branch(Exception):
    """A rule compares an operand: it ends the reading of the rule, and nobody sees it."""


class Ref:
    """A node among the operands of a rule: arithmetic makes nodes, and no comparison has an answer."""

    __slots__ = ("node", "scalars")

    def __init__(self, node: int, scalars: Scalars) -> None:
        self.node = node
        self.scalars = scalars

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
        return 0.0 if is_number(other, 0.0) else apply("div", other, self)

    def __neg__(self) -> Any:
        return apply("neg", self)

    def refuse(self, *_: object) -> bool:
        raise Branch

    __lt__ = __le__ = __gt__ = __ge__ = __bool__ = refuse
    __eq__ = __ne__ = refuse
    __hash__ = None  # type: ignore[assignment]


class Operands(list[Any]):
    """The operands of a rule for any number of them."""

    def largest(self) -> str:
        """The place of the largest: which one that is no program can say."""
        return "largest"

    def __getitem__(self, place: Any) -> Any:
        """What a rule takes off all exponents, to be finite: in exact arithmetic it is all one what."""
        return apply("logsumexp", *self) if place == "largest" else super().__getitem__(place)


def no_number(x: Any) -> Any:
    """The number that a rule asks for: of a node there is none."""
    if isinstance(x, Ref):
        raise Branch
    return x


def apply(name: str, *operands: Any) -> Any:
    """An operation of the table on nodes and numbers; a number where there is no node among them."""
    scalars = next((x.scalars for x in operands if isinstance(x, Ref)), None)
    if scalars is None:
        return rules.RULES[name].value(*operands)
    return Ref(scalars.node(name, *[bare(x, scalars) for x in operands]), scalars)


def is_number(x: Any, number: float) -> bool:
    return not isinstance(x, Ref) and x == number


def add(a: Any, b: Any) -> Any:
    return b if is_number(a, 0.0) else a if is_number(b, 0.0) else apply("add", a, b)


def subtract(a: Any, b: Any) -> Any:
    return apply("neg", b) if is_number(a, 0.0) else a if is_number(b, 0.0) else apply("sub", a, b)


def multiply(a: Any, b: Any) -> Any:
    if type(a) is Ref and type(b) is Ref:  # nearly always, and half of the time of this stage
        return Ref(a.scalars.node("mul", a.node, b.node), a.scalars)
    for x, w in ((a, b), (b, a)):
        if is_number(x, 1.0):
            return w
        if is_number(x, -1.0):
            return apply("neg", w)
        if is_number(x, 0.0):  # a correction of rounding errors, of which there are none here
            return 0.0
    return apply("mul", a, b)


def bare(x: Any, scalars: Scalars) -> int:
    """The node of a Ref or of a number."""
    return x.node if isinstance(x, Ref) else scalars.const(x)


@functools.cache
def rules_on_nodes() -> ModuleType:
    """The rules, every operation of the table a step that makes a node."""

    def step(name: str, _count: int) -> Callable[..., Any]:
        return functools.partial(apply, name)

    rules_on_refs = symbolic.load_rules("nodes", step, no_number)
    vars(rules_on_refs)["largest"] = Operands.largest
    return rules_on_refs


def partials_of(scalars: Scalars, i: int, wanted: list[bool]) -> list[Any]:
    """The derivative of a node by each of its operands: nodes, or numbers; 0 for one that nobody asks for."""
    op, below = scalars.ops[i], scalars.operands[i]
    if op == TOTAL:
        return [1.0]
    derivatives = rules_on_nodes().RULES[op].derivatives
    operands = Operands([scalars.numbers[j] if scalars.ops[j] == CONST else Ref(j, scalars) for j in below])
    y = Ref(i, scalars)
    found: list[Any] = [0.0] * len(below)
    if len(derivatives) < len(below) or op in ("sum", "mean", "prod", "dot", "logsumexp", "softmax"):
        try:
            derivatives[0](operands, y, found)
        except Branch:
            for k, operand in enumerate(below):
                if wanted[operand]:
                    found[k] = Ref(scalars.node(f"{op}'{k}", *below, i), scalars)
        return found
    for k, operand in enumerate(below):
        if wanted[operand]:
            try:
                found[k] = derivatives[k](*operands, y)
            except Branch:
                found[k] = Ref(scalars.node(f"{op}'{k}", *below, i), scalars)
    return found
