"""Scalars: the scalar program between the stages, as plain columns in which equal operations are one node.

Pipeline: what trace makes, differentiate extends and lift reads.

    node   := leaf                          a number that is given at every call
            | const x                       a number of the program
            | name operand …                a row of `rules.RULES`
            | name'i operand … result       the derivative of such a row by its operand i, as an operation of its own

What holds: an operand's id is smaller than the node's own; no two nodes have the same operation and operands; 0.0 and
-0.0 are two constants, and all nan are one.
"""

from __future__ import annotations

import math
from typing import Final

from .. import rules

__all__ = ["COMMUTE", "CONST", "LEAF", "Scalars"]

LEAF: Final = "leaf"
CONST: Final = "const"
COMMUTE: Final = frozenset({"add", "mul", "hypot", "logaddexp", "maximum", "minimum"})


class Scalars:
    """A growing scalar program.

    Attributes:
        ops: what makes each node, as in the module's grammar.
        operands: the ids of its operands.
        numbers: of a const its number, else 0.0.
    """

    def __init__(self) -> None:
        self.ops: list[str] = []
        self.operands: list[tuple[int, ...]] = []
        self.numbers: list[float] = []
        self._made: dict[object, int] = {}

    def __len__(self) -> int:
        return len(self.ops)

    def _add(self, op: str, operands: tuple[int, ...], number: float) -> int:
        self.ops.append(op)
        self.operands.append(operands)
        self.numbers.append(number)
        return len(self.ops) - 1

    def leaf(self) -> int:
        """A new leaf."""
        return self._add(LEAF, (), 0.0)

    def const(self, x: float) -> int:
        """The node of a number."""
        key = (CONST, x, math.copysign(1.0, x)) if x == x else (CONST, "nan")
        found = self._made.get(key)
        if found is None:
            found = self._made[key] = self._add(CONST, (), x)
        return found

    def node(self, op: str, *operands: int) -> int:
        """The node of an operation."""
        key: object = (op, operands)
        if op in COMMUTE and operands[0] > operands[1]:
            key = (op, (operands[1], operands[0]))
        found = self._made.get(key)
        if found is None:
            found = self._made[key] = self._add(op, operands, 0.0)
        return found

    def check(self) -> None:
        """Raise ValueError unless the columns are as the module says; for tests."""
        for i, (op, below) in enumerate(zip(self.ops, self.operands, strict=True)):
            name = op.partition("'")[0]
            if name not in (LEAF, CONST) and name not in rules.RULES:
                raise ValueError(f"node {i} is {op!r}, no operation of the table")
            if (name in (LEAF, CONST)) != (not below):
                raise ValueError(f"node {i}, {op!r}, has {len(below)} operands")
            if not all(0 <= operand < i for operand in below):
                raise ValueError(f"node {i} has the operands {below}: they stand before it")
