"""Symbols: what the rules meet in place of numbers, when they are read and not computed.

Pipeline: what `readings` and `branches` share, which read a rule's derivatives once for all numbers and once for every
answer to its comparisons.

Arithmetic with a symbol asks its reading for an operation of the table; with plain numbers alone it is arithmetic.
Adding 0 is no operation, nor is multiplying by 0, 1 or -1. How a comparison is answered each kind of symbol says.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

from .. import rules

__all__ = ["Operands", "Symbol", "add", "apply", "multiply", "subtract"]


class Reading(Protocol):
    """What a symbol belongs to."""

    def operation(self, name: str, operands: Sequence[Any]) -> Symbol:
        """The symbol for an operation on symbols and numbers."""


class Symbol:
    """A node among the operands of a rule."""

    __slots__ = ("reading",)

    reading: Any  # a Reading, of which each kind of symbol has its own

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


class Operands(list[Any]):
    """The operands of a rule for any number of them."""

    _level: Any = None

    def largest(self) -> str:
        """The place of the largest: which one that is no program can say."""
        return "largest"

    def __getitem__(self, place: Any) -> Any:
        """What a rule takes off all exponents, to be finite: in exact arithmetic it is all one what."""
        if place != "largest":
            return super().__getitem__(place)
        if self._level is None:  # asked for with every operand, it is made once: else they would cost the square
            self._level = apply("logsumexp", *self)
        return self._level


def apply(name: str, *operands: Any) -> Any:
    """An operation of the table on symbols and numbers; a number where there is no symbol among them."""
    reading: Reading | None = next((x.reading for x in operands if isinstance(x, Symbol)), None)
    if reading is None:
        return rules.RULES[name].value(*map(float, operands))
    return reading.operation(name, operands)


def is_number(x: Any, number: float) -> bool:
    return not isinstance(x, Symbol) and x == number


def add(a: Any, b: Any) -> Any:
    return b if is_number(a, 0.0) else a if is_number(b, 0.0) else apply("add", a, b)


def subtract(a: Any, b: Any) -> Any:
    return apply("neg", b) if is_number(a, 0.0) else a if is_number(b, 0.0) else apply("sub", a, b)


def multiply(a: Any, b: Any) -> Any:
    """a * b; 0 times anything is 0, as in a sweep: most are corrections of rounding errors, of which there are none."""
    for x, w in ((a, b), (b, a)):
        if is_number(x, 0.0):
            return 0.0
        if is_number(x, 1.0):
            return w
        if is_number(x, -1.0):
            return apply("neg", w)
    return apply("mul", a, b)
