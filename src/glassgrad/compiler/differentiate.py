"""Differentiate: the adjoint of a scalar program, as more nodes of the same program.

Pipeline: trace → **differentiate** → lift → program → evaluate.

The derivatives are those of `rules.py`, read on nodes. A program must hold for all numbers, so a rule that takes a
branch, by comparing an operand, cannot become nodes: it stays one operation, `tanh'0`, which is computed by the rule
itself and so has every digit that eager code has. Products, sums, exp, sin and the like become arithmetic, which lift
then finds the tensor products in.

A leaf with one number for all examples has a gradient that is a total over them.

A rule is read once for all nodes with its operation and constants in the same places: it becomes a `Template`, a few
nodes on the places of the operands, which is then filled in. Only where a rule looks at a constant's number, as that of
x**2 does, it is read for each number.

What holds: the nodes before stay as they are, and come first; each gradient is a sum over the node's uses; where the
derivative is the number 0 nothing is added. As in a sweep, an adjoint that is 0 stays 0 whatever it is multiplied with:
`evaluate` sees to that, for all nodes from `Adjoint.start` on.
"""

from __future__ import annotations

import functools
import math
from array import array
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from types import ModuleType
from typing import Any, Final, Self

try:
    import cython
except ImportError:
    from .. import _cython as cython

from .. import rules, symbolic
from . import columns
from .scalars import CODES, NAMES, TOTAL, Scalars, code_of

__all__ = ["Adjoint", "differentiate"]

MANY: Final = frozenset({"sum", "mean", "prod", "dot", "logsumexp", "softmax"})
QUICK: Final = 3  # operands up to which a template is found without a dict
UNASKED: Final = 0  # kinds of operands: a node that nobody differentiates by, one that somebody does, a constant
WANTED: Final = 1
GIVEN: Final = 2
ABSENT: Final = 3
NUMBER: Final = -1  # in the place of a node: it is a number
OF_LEAF: Final = CODES["leaf"]
OF_CONST: Final = CODES["const"]
OF_TOTAL: Final = CODES[TOTAL]
OF_SUM: Final = CODES["sum"]
OF_MUL: Final = CODES["mul"]
OF_NEG: Final = CODES["neg"]


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
    sweep = Sweep(scalars, by)
    for output, seed in zip(outputs, seeds, strict=True):
        sweep.seed(output, NUMBER if seed is None else seed)
    sweep.run()
    return Adjoint(start, [sweep.gradient(leaf) for leaf in by])


@cython.final
@cython.cclass
class Sweep:
    """The way back through a program. What a node's gradient is the sum of waits in a list of terms, nodes or numbers.

    Attributes:
        found: a second result of the methods that give a node, the number where they give NUMBER.
    """

    __slots__ = (
        "_begin", "_end", "_kinds", "_next", "_terms", "_totals", "_values", "_wanted", "begin", "end",
        "found", "kinds", "next", "quick", "room", "scalars", "start", "templates", "terms", "totals", "used", "values",
        "wanted",
    )  # fmt: skip

    def __init__(self, scalars: Scalars, by: Sequence[int]) -> None:
        self.scalars = scalars
        self.start = n = len(scalars)
        self.found = 0.0
        self.used, self.room = 1, n + 1000  # term 0 stands for none
        self._wanted, self._kinds = columns.zeros("B", n), columns.zeros("B", 16)
        self._begin, self._end, self._totals = columns.zeros("i", n), columns.zeros("i", n), columns.zeros("i", n)
        self._next, self._terms, self._values = (
            columns.zeros("i", self.room),
            columns.zeros("i", self.room),
            columns.zeros("d", self.room),
        )
        self.quick: list[Any] = [None] * (len(NAMES) << 2 * QUICK)
        self.templates: dict[tuple[object, ...], Template] = {}
        self.point()
        for i in by:
            self.wanted[i] = 1
        self.mark(self.scalars)

    def mark(self, scalars: Scalars) -> None:
        """Note which nodes depend on the leaves to differentiate by."""
        for i in range(self.start):
            for k in range(scalars.starts[i], scalars.starts[i + 1]):
                if self.wanted[scalars.below[k]]:
                    self.wanted[i] = 1

    def point(self) -> None:
        """Note where the columns are."""
        self.wanted, self.kinds = columns.flags(self._wanted), columns.flags(self._kinds)
        self.begin, self.end, self.totals = (
            columns.ints(self._begin),
            columns.ints(self._end),
            columns.ints(self._totals),
        )
        self.next, self.terms, self.values = (
            columns.ints(self._next),
            columns.ints(self._terms),
            columns.doubles(self._values),
        )

    def seed(self, output: int, seed: int) -> None:
        """Start at an output, with a node or, for NUMBER, with 1."""
        if self.wanted[output]:
            self.add(output, seed, 1.0)

    def gradient(self, leaf: int) -> int:
        """The gradient of a leaf."""
        return self.totals[leaf] - 1 if self.totals[leaf] else self.scalars.const(0.0)

    def add(self, i: int, term: int, value: float) -> None:
        """Let a term wait at a node."""
        if self.used == self.room:
            self.room *= 2
            self._next, self._terms = self._next + self._next, self._terms + self._terms
            self._values = self._values + self._values
            self.point()
        self.terms[self.used] = term
        self.values[self.used] = value
        self.next[self.used] = 0
        if self.begin[i]:
            self.next[self.end[i]] = self.used
        else:
            self.begin[i] = self.used
        self.end[i] = self.used
        self.used += 1

    def run(self) -> None:
        """Go over all nodes, from the last to the first."""
        scalars = self.scalars
        for i in range(self.start - 1, -1, -1):
            if not self.begin[i]:
                continue
            g = self.gathered(i)
            value = self.found
            first, count = scalars.starts[i], scalars.starts[i + 1] - scalars.starts[i]
            if not count:
                self.totals[i] = self.bare(g, value) + 1
                continue
            template = self.template(i, first, count)
            template.fill(scalars, first, i)
            for k in range(count):
                operand = scalars.below[first + k]
                if not self.wanted[operand]:
                    continue
                partial = template.result(scalars, first, i, k)
                if partial == NUMBER and template.found == 0.0:
                    continue
                term = self.times(g, value, partial, template.found)
                result = self.found
                ends = scalars.is_rolled[i] and not scalars.is_rolled[operand]
                if ends and (term == NUMBER or not scalars.is_rolled[term]):
                    term = scalars.total(self.bare(term, result))  # one for each example
                self.add(operand, term, result)

    def bare(self, node: int, value: float) -> int:
        """A node, or that of a number."""
        return self.scalars.const(value) if node == NUMBER else node

    def times(self, a: int, x: float, b: int, w: float) -> int:
        """A product of nodes or numbers, a number in `found`."""
        self.found = w if a == NUMBER else x
        if NUMBER not in (a, b):  # nearly always
            return self.scalars.binary(OF_MUL, a, b)
        if a == NUMBER and b == NUMBER:
            self.found = x * w
            return NUMBER
        node, number = (b, x) if a == NUMBER else (a, w)
        if number == 1.0:
            return node
        if number == -1.0:
            return self.scalars.unary(OF_NEG, node)
        return self.scalars.binary(OF_MUL, self.bare(a, x), self.bare(b, w))

    def gathered(self, i: int) -> int:
        """The gradient of a node, from its terms: where it has one number for all examples, theirs are summed."""
        scalars = self.scalars
        at, rolled, count = self.begin[i], 0, 0
        while at:
            count += 1
            if self.terms[at] != NUMBER and scalars.is_rolled[self.terms[at]] and not scalars.is_rolled[i]:
                rolled += 1
            at = self.next[at]
        if rolled:
            total = scalars.total(self.sum(i, rolled, True))
            if rolled == count:
                return total
            self.add(i, total, 0.0)
            count += 1
        return self.sum(i, count - rolled, False)

    def sum(self, i: int, count: int, rolled: bool) -> int:
        """The sum of so many of a node's terms: of those that are rolled though it is not, or of all others."""
        scalars = self.scalars
        at = self.begin[i]
        while at:
            if self.counts(at, i, rolled):
                if count == 1:
                    self.found = self.values[at]
                    return self.terms[at]
                self.terms[at] = self.bare(self.terms[at], self.values[at])
            at = self.next[at]
        scalars.reserve(count)
        at, k = self.begin[i], scalars.edges
        while at:
            if self.counts(at, i, rolled):
                scalars.below[k] = self.terms[at]
                k += 1
            at = self.next[at]
        return scalars.make(OF_SUM, count)

    def counts(self, at: int, i: int, rolled: bool) -> bool:
        """Whether one of node i's terms is in the sum: see there."""
        if self.scalars.is_rolled[i] or self.terms[at] == NUMBER:
            return not rolled
        return bool(self.scalars.is_rolled[self.terms[at]]) == rolled

    def template(self, i: int, first: int, count: int) -> Template:
        """What the rule of a node comes to."""
        scalars = self.scalars
        if count > len(self._kinds):
            self._kinds = columns.zeros("B", count)
            self.point()
        place = scalars.codes[i]
        if place > 255:
            raise ValueError(f"{scalars.op(i)} is a derivative, which has to be expanded before it is differentiated")
        for k in range(count):
            operand = scalars.below[first + k]
            kind = GIVEN if scalars.codes[operand] == OF_CONST else self.wanted[operand]
            self.kinds[k] = kind
            if count <= QUICK:
                place = 4 * place + kind
        if count <= QUICK:
            for _ in range(count, QUICK):
                place = 4 * place + ABSENT
            found: Template = self.quick[place]
            if found is None:
                found = self.quick[place] = self.read(i, False)
        else:
            found = self.kept(i, (scalars.codes[i], self._kinds[:count].tobytes()), False)
        if found.by_number:
            numbers = [scalars.values[j] for j in scalars.operands_of(i) if scalars.codes[j] == OF_CONST]
            key = (scalars.codes[i], self._kinds[:count].tobytes(), array("d", numbers).tobytes())
            found = self.kept(i, key, True)
        return found

    def kept(self, i: int, key: tuple[object, ...], by_number: bool) -> Template:
        """The template of a node, read if it has not been before."""
        found: Template | None = self.templates.get(key)
        if found is None:
            found = self.templates[key] = self.read(i, by_number)
        return found

    def read(self, i: int, by_number: bool) -> Template:
        """The template of a node, read from its rule."""
        scalars = self.scalars
        below = scalars.operands_of(i)
        kinds = list(self._kinds[: len(below)])
        return Template(len(below), Reading(scalars.op(i), kinds, [scalars.values[j] for j in below], by_number))


# ---- rules as templates ----------------------------------------------------------------------------------------------


@cython.final
@cython.cclass
class Template:
    """The nodes that a derivative consists of, for an operation with so many operands.

    Each operand of a step, and each result, is a place: that of an operand, then the operation's result, then the
    steps in their order; below 0 numbers of the rule's own.

    Attributes:
        by_number: whether the rule looked at a constant: then there is a template for each number, and this is none.
        found: a second result of `result`, the number where it gives NUMBER.
    """

    __slots__ = (
        "_codes", "_made", "_nodes", "_numbers", "_places", "_results", "_starts", "by_number", "codes", "count",
        "found", "made", "nodes", "numbers", "places", "results", "starts", "steps",
    )  # fmt: skip

    def __init__(self, count: int, reading: Reading) -> None:
        self.count = count
        self.found = 0.0
        self.by_number = reading.asked and not reading.by_number
        self.steps = len(reading.steps)
        self._codes = array("i", [code for code, _ in reading.steps] or [0])
        ends = [0]
        for _, places in reading.steps:
            ends.append(ends[-1] + len(places))
        self._starts = array("i", ends)
        self._places = array("i", [place for _, places in reading.steps for place in places] or [0])
        self._results = array("i", reading.results or [0])
        self._numbers = array("d", reading.numbers or [0.0])
        self._made = columns.zeros("i", len(self._numbers))  # one more than the node of each number, once there is one
        self._nodes = columns.zeros("i", self.steps + 1)
        self.codes, self.starts, self.places = (
            columns.ints(self._codes),
            columns.ints(self._starts),
            columns.ints(self._places),
        )
        self.results, self.numbers = columns.ints(self._results), columns.doubles(self._numbers)
        self.made, self.nodes = columns.ints(self._made), columns.ints(self._nodes)

    def fill(self, scalars: Scalars, first: int, i: int) -> None:
        """Make the nodes for an operation whose operands start there, and which is node i."""
        for step in range(self.steps):
            start, end = self.starts[step], self.starts[step + 1]
            for k in range(start, end):
                place = self.places[k]
                if place < 0 and not self.made[-1 - place]:
                    self.made[-1 - place] = scalars.const(self.numbers[-1 - place]) + 1
            scalars.reserve(end - start)
            for k in range(start, end):
                place = self.places[k]
                scalars.below[scalars.edges + k - start] = (
                    self.made[-1 - place] - 1
                    if place < 0
                    else scalars.below[first + place]
                    if place < self.count
                    else i
                    if place == self.count
                    else self.nodes[place - self.count - 1]
                )
            self.nodes[step] = scalars.make(self.codes[step], end - start)

    def result(self, scalars: Scalars, first: int, i: int, k: int) -> int:
        """The derivative by operand k, once the nodes are made: a node, or NUMBER and the number in `found`."""
        place = self.results[k]
        if place < 0:
            self.found = self.numbers[-1 - place]
            return NUMBER
        if place > self.count:
            return self.nodes[place - self.count - 1]
        if place == self.count:
            return i
        operand = scalars.below[first + place]
        if scalars.codes[operand] == OF_CONST:
            self.found = scalars.values[operand]
            return NUMBER
        return operand


class Branch(Exception):
    """A rule compares an operand: it ends the reading of the rule, and nobody sees it."""


class Reading:
    """A rule that is read: the steps that it takes, on places as in `Template`.

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

    def place(self, x: Any) -> int:
        """The place of what a rule meets or gives."""
        if isinstance(x, Place | Given):
            return x.place
        key = (x, math.copysign(1.0, x))
        if key not in self.made:
            self.numbers.append(x)
            self.made[key] = -len(self.numbers)
        return self.made[key]


class Place:
    """A node among the operands of a rule: arithmetic makes steps, and no comparison has an answer."""

    __slots__ = ("place", "reading")

    def __init__(self, place: int, reading: Reading) -> None:
        self.place = place
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


def apply(name: str, *operands: Any) -> Any:
    """An operation of the table on nodes and numbers; a number where there is no node among them."""
    reading = next((x.reading for x in operands if isinstance(x, Place)), None)
    if reading is None:
        return rules.RULES[name].value(*map(float, operands))
    return reading.step(name, [reading.place(x) for x in operands])


def is_number(x: Any, number: float) -> bool:
    return not isinstance(x, Place) and x == number


def add(a: Any, b: Any) -> Any:
    return b if is_number(a, 0.0) else a if is_number(b, 0.0) else apply("add", a, b)


def subtract(a: Any, b: Any) -> Any:
    return apply("neg", b) if is_number(a, 0.0) else a if is_number(b, 0.0) else apply("sub", a, b)


def multiply(a: Any, b: Any) -> Any:
    for x, w in ((a, b), (b, a)):
        if is_number(x, 1.0):
            return w
        if is_number(x, -1.0):
            return apply("neg", w)
        if is_number(x, 0.0):  # a correction of rounding errors, of which there are none here
            return 0.0
    return apply("mul", a, b)


@functools.cache
def rules_on_nodes() -> ModuleType:
    """The rules, every operation of the table a step that makes a node."""

    def step(name: str, _count: int) -> Callable[..., Any]:
        return functools.partial(apply, name)

    module = symbolic.load_rules("nodes", step, no_number)
    vars(module).update(is_constant=is_constant, largest=Operands.largest)
    return module
