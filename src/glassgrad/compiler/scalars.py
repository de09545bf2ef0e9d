"""Scalars: the scalar program between the stages, as plain columns in which equal operations are one node.

Pipeline: what trace makes, differentiate extends and lift reads.

    node   := leaf                          a number that is given at every call
            | const x                       a number of the program
            | name operand …                a row of `rules.RULES`
            | total operand                 the sum of a rolled operand over the examples
            | name'i operand … result       the derivative of such a row by its operand i, as an operation of its own

A node that depends on a rolled leaf is rolled: it has a number for each of the examples that `vmap` goes over. A total
is not; what such a sum is made of counts once for each example, rolled or not.

What holds: an operand's id is smaller than the node's own; no two nodes have the same operation and operands; 0.0 and
-0.0 are two constants, and all nan are one.
"""

from __future__ import annotations

import math
from typing import Final

from .. import rules

__all__ = ["COMMUTE", "CONST", "LEAF", "TOTAL", "Scalars"]

LEAF: Final = "leaf"
CONST: Final = "const"
TOTAL: Final = "total"
COMMUTE: Final = frozenset({"add", "mul", "hypot", "logaddexp", "maximum", "minimum"})


class Scalars:
    """A growing scalar program.

    Attributes:
        ops: what makes each node, as in the module's grammar.
        operands: the ids of its operands.
        numbers: of a const its number, else 0.0.
        rolled: whether it has a number for each example.
        examples: the leaf for how many examples there are, None where nothing depends on it.
    """

    def __init__(self) -> None:
        self.ops: list[str] = []
        self.operands: list[tuple[int, ...]] = []
        self.numbers: list[float] = []
        self.rolled: list[bool] = []
        self.examples: int | None = None
        self._made: dict[object, int] = {}

    def __len__(self) -> int:
        return len(self.ops)

    def _add(self, op: str, operands: tuple[int, ...], number: float, rolled: bool) -> int:
        self.ops.append(op)
        self.operands.append(operands)
        self.numbers.append(number)
        self.rolled.append(rolled)
        return len(self.ops) - 1

    def leaf(self, rolled: bool = False) -> int:
        """A new leaf."""
        return self._add(LEAF, (), 0.0, rolled)

    def total(self, i: int) -> int:
        """The sum of a node over the examples."""
        if self.rolled[i]:
            return self.node(TOTAL, i)
        return self.node("mul", i, self.count())

    def count(self) -> int:
        """The leaf for how many examples there are."""
        if self.examples is None:
            self.examples = self.leaf()
        return self.examples

    def const(self, x: float) -> int:
        """The node of a number."""
        key = (CONST, x, math.copysign(1.0, x)) if x == x else (CONST, "nan")
        found = self._made.get(key)
        if found is None:
            found = self._made[key] = self._add(CONST, (), x, False)
        return found

    def node(self, op: str, *operands: int) -> int:
        """The node of an operation."""
        key: object = (op, operands)
        if op in COMMUTE and operands[0] > operands[1]:
            key = (op, (operands[1], operands[0]))
        found = self._made.get(key)
        if found is None:
            rolled = op != TOTAL and any([self.rolled[i] for i in operands])  # noqa: C419 - a third faster
            found = self._made[key] = self._add(op, operands, 0.0, rolled)
        return found

    def check(self) -> None:
        """Raise ValueError unless the columns are as the module says; for tests."""
        for i, (op, below) in enumerate(zip(self.ops, self.operands, strict=True)):
            name = op.partition("'")[0]
            if name not in (LEAF, CONST, TOTAL) and name not in rules.RULES:
                raise ValueError(f"node {i} is {op!r}, no operation of the table")
            if (name in (LEAF, CONST)) != (not below):
                raise ValueError(f"node {i}, {op!r}, has {len(below)} operands")
            if not all(0 <= operand < i for operand in below):
                raise ValueError(f"node {i} has the operands {below}: they stand before it")
            if below and self.rolled[i] != (op != TOTAL and any(self.rolled[operand] for operand in below)):
                raise ValueError(f"node {i}, {op!r}, has operands that say otherwise of whether it is rolled")
