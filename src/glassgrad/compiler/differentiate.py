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

from array import array
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

try:
    import cython
except ImportError:
    from .. import _cython as cython

from . import columns
from .readings import GIVEN, Reading
from .scalars import CODES, NAMES, TOTAL, Scalars

__all__ = ["Adjoint", "differentiate"]

QUICK: Final = 3  # operands up to which a template is found without a dict
ABSENT: Final = 3  # besides the kinds of operands
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
