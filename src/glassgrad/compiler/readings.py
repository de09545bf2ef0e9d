"""Readings: the derivatives of a rule as steps on the places of its operands.

Pipeline: trace → **differentiate** → lift → program → evaluate; what differentiate makes its templates of.

A rule runs once, on places instead of numbers: each operation that it takes is a step. A comparison of a place has no
answer, and ends the reading. A constant's number may be handed on unseen; whether it was looked at is noted.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Sequence
from types import ModuleType
from typing import Any, Final, Self

from .. import symbolic
from .scalars import MANY, TOTAL, code_of
from .symbols import Operands, Symbol, apply

__all__ = ["GIVEN", "UNASKED", "WANTED", "Reading"]

UNASKED: Final = 0  # kinds of operands: a node that nobody differentiates by, one that somebody does, a constant
WANTED: Final = 1
GIVEN: Final = 2


class Branch(Exception):
    """A rule compares an operand: it ends the reading of the rule, and nobody sees it."""


class Reading:
    """A rule that is read: the steps that it takes, on places as in `differentiate.Template`.

    Arguments:
        kinds: of its operands.
        numbers: of the operands that are constants.
        by_number: whether the rule meets these numbers, or stands for all.

    Attributes:
        asked: whether it looked at the number of a constant, and did not only hand it on.
    """

    def __init__(self, op: str, kinds: list[int], numbers: list[float], by_number: bool) -> None:
        self.by_number = by_number
        self.asked = False
        self.steps: list[tuple[int, list[int]]] = []
        self.numbers: list[float] = []
        self.made: dict[tuple[object, ...], int] = {}  # by what makes it, the place of a step or a number
        self.count = len(kinds)
        self.results = [self.place(x) for x in self.derivatives(op, kinds, numbers)]

    def derivatives(self, op: str, kinds: list[int], numbers: list[float]) -> list[Any]:
        """The derivative by each operand, places or numbers; 0 for one that nobody asks for."""
        if op == TOTAL:
            return [1.0]
        count = self.count
        functions = rules_on_nodes().RULES[op].derivatives
        operands = Operands([Place(k, self) for k in range(count)])
        y = Place(count, self)
        for k, kind in enumerate(kinds):
            if kind == GIVEN:
                operands[k] = numbers[k] if self.by_number else Given(numbers[k], k, self)
        found: list[Any] = [0.0] * count
        branches = [False] * count
        if op in MANY or len(functions) < count:
            try:
                functions[0](operands, y, found)
            except Branch:
                branches = [True] * count
        else:
            for k in range(count):
                try:
                    found[k] = functions[k](*operands, y) if kinds[k] == WANTED else 0.0
                except Branch:
                    branches[k] = True
        for k in range(count):
            if branches[k] and kinds[k] == WANTED:
                found[k] = self.step(f"{op}'{k}", list(range(count + 1)))
        return found

    def step(self, op: str, places: list[int]) -> Place:
        """One more step, or the one that is the same."""
        key = (op, *places)
        if key not in self.made:
            self.steps.append((code_of(op), places))
            self.made[key] = self.count + len(self.steps)
        return Place(self.made[key], self)

    def operation(self, name: str, operands: Sequence[Any]) -> Place:
        """The place of an operation on places and numbers."""
        return self.step(name, list(map(self.place, operands)))

    def place(self, x: Any) -> int:
        """The place of what a rule meets or gives."""
        if isinstance(x, Place | Given):
            return x.place
        key = (x, math.copysign(1.0, x))
        if key not in self.made:
            self.numbers.append(x)
            self.made[key] = -len(self.numbers)
        return self.made[key]


class Place(Symbol):
    """A node among the operands of a rule, of which no comparison has an answer."""

    __slots__ = ("place",)

    def __init__(self, place: int, reading: Reading) -> None:
        self.place = place
        self.reading = reading

    def refuse(self, *_: object) -> bool:
        raise Branch

    __lt__ = __le__ = __gt__ = __ge__ = __bool__ = refuse
    __eq__ = __ne__ = refuse
    __hash__ = None  # type: ignore[assignment]


class Given(float):
    """A constant among the operands of a rule, which notes whether the rule looks at its number."""

    __slots__ = ("place", "reading")

    place: int
    reading: Reading

    def __new__(cls, number: float, place: int, reading: Reading) -> Self:
        made = super().__new__(cls, number)
        made.place = place
        made.reading = reading
        return made


def _looking(name: str) -> Callable[..., Any]:
    method = getattr(float, name)

    def look(self: Given, *others: Any) -> Any:
        self.reading.asked = True
        return method(self, *others)

    return look


LOOKS: Final = (
    "add", "radd", "sub", "rsub", "mul", "rmul", "truediv", "rtruediv", "pow", "rpow", "neg", "abs", "lt", "le", "gt",
    "ge", "eq", "ne", "bool", "float",
)  # fmt: skip
for _name in LOOKS:
    setattr(Given, f"__{_name}__", _looking(f"__{_name}__"))


def no_number(x: Any) -> Any:
    """The number that a rule asks for: of a node there is none."""
    if isinstance(x, Place):
        raise Branch
    return float(x)


def is_constant(x: Any) -> bool:
    """Whether it is a number, with this number for good."""
    if isinstance(x, Given):
        x.reading.asked = True
    return not isinstance(x, Place)


@functools.cache
def rules_on_nodes() -> ModuleType:
    """The rules, every operation of the table a step that makes a node."""

    def step(name: str, _count: int) -> Callable[..., Any]:
        return functools.partial(apply, name)

    module = symbolic.load_rules("nodes", step, no_number)
    vars(module).update(is_constant=is_constant, largest=Operands.largest)
    return module
