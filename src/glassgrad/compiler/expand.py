"""Expand: derivatives that are one operation, `tanh'0`, as nodes, so that they can be differentiated once more.

Pipeline: trace → differentiate → **expand** → differentiate again → lift; only where a second derivative is asked for.

`differentiate` leaves a rule that takes branches as one operation, for a program must hold for all numbers. Here it is
read under every answer to its comparisons (`branches`), once for all its uses in a program, and what the readings give
is joined by `where`. As an adjoint of 0 stays 0, what is not chosen does no harm in the derivatives either.

The largest of n operands, which softmax subtracts from all and which cancels, is *held*: a leaf, so that nothing is
differentiated by it, until `released` puts the node in its place.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any, NamedTuple

from .branches import Reading, Term, TooManyPaths, read, takes_any_number
from .differentiate import dependent
from .scalars import CONST, LEAF, Scalars

__all__ = ["Expanded", "TooManyPaths", "expand", "released"]


class Expanded:
    """A program of its own, in which derivatives have derivatives.

    Attributes:
        scalars: the program, without what its results do not need; all leaves are there, in their order.
        ids: for each node of the one before its node, -1 where there is none.
        start: the first node of the adjoint.
        held: for each held leaf the node that `released` puts in its place.
    """

    def __init__(self, scalars: Scalars, ids: Sequence[int], start: int, held: dict[int, int]) -> None:
        self.scalars, self.ids, self.start, self.held = scalars, ids, start, held

    def of(self, nodes: Iterable[int]) -> list[int]:
        """These nodes of the one before."""
        return [self.ids[i] for i in nodes]


def expand(scalars: Scalars, results: Sequence[int], by: Iterable[int], start: int) -> Expanded:
    """The program for some results, in which each derivative that depends on some leaves is expanded.

    Arguments:
        start: the first node of the adjoint, len(scalars) if there is none.

    Returns:
        the program itself where there is nothing to expand.

    Raises:
        TooManyPaths: a rule takes too many branches.
    """
    moving = dependent(scalars, set(by))
    if not any("'" in op and moving[i] for i, op in enumerate(scalars.ops)):
        return Expanded(scalars, range(len(scalars)), start, {})
    expansion = Expansion()

    def make(i: int, op: str, below: list[int]) -> int:
        name, _, place = op.partition("'")
        if place and moving[i]:
            return expansion.derivative(name, int(place), below)
        return expansion.scalars.node(op, *below)

    ids, first = copied(scalars, results, start, expansion.scalars, make, {})
    return Expanded(expansion.scalars, ids, first, expansion.held)


class Template(NamedTuple):
    """What a rule makes, to be made again on other operands."""

    scalars: Scalars
    results: list[int]
    top: int | None


class Expansion:
    """A program in which derivatives are expanded as they come."""

    def __init__(self) -> None:
        self.scalars = Scalars()
        self.held: dict[int, int] = {}  # for a held leaf the node that it stands for
        self.largest: dict[tuple[int, ...], int] = {}  # for operands the held leaf of the largest
        self.templates: dict[object, Template] = {}
        self.found: dict[object, list[int]] = {}  # the derivatives by all operands, which are made at once

    def derivative(self, name: str, place: int, below: list[int]) -> int:
        """The node of a derivative by one of an operation's operands, the last of `below` being its result."""
        if not takes_any_number(name):
            return self.made(name, place, below)[0]
        key = (name, *below)
        if key not in self.found:
            self.found[key] = self.made(name, -1, below)
        return self.found[key][place]

    def made(self, name: str, place: int, below: list[int]) -> list[int]:
        """What the rule gives on these operands."""
        distinct = list(dict.fromkeys(below))
        constants = [j if self.scalars.ops[j] == CONST else None for j in distinct]
        places = dict(zip(distinct, range(len(distinct)), strict=True))
        key = (name, place, *constants, *[places[j] for j in below])
        if key not in self.templates:
            self.templates[key] = self.template(name, place, below, distinct)
        scalars, results, top = self.templates[key]
        given = iter(distinct)
        ids: list[int] = []
        for i, (op, operands, x) in enumerate(zip(scalars.ops, scalars.operands, scalars.numbers, strict=True)):
            if i == top:
                ids.append(self.top(below[:-1]))
            elif op == LEAF:
                ids.append(next(given))
            elif op == CONST:
                ids.append(self.scalars.const(x))
            else:
                ids.append(self.scalars.node(op, *[ids[j] for j in operands]))
        return [ids[i] for i in results]

    def template(self, name: str, place: int, below: list[int], distinct: list[int]) -> Template:
        """What a rule makes on such operands: constants, or alike."""
        reading = Reading()
        terms: dict[int, Any] = {j: Term(reading.scalars.leaf(), reading) for j in distinct}
        for j in distinct:
            if self.scalars.ops[j] == CONST:
                terms[j] = self.scalars.numbers[j]
        *operands, result = [terms[j] for j in below]
        results = read(reading, name, place, operands, result)
        scalars = Scalars()
        ids, _ = copied(reading.scalars, results, 0, scalars, lambda _, op, nodes: scalars.node(op, *nodes), {})
        return Template(scalars, [ids[i] for i in results], None if reading.top is None else ids[reading.top])

    def top(self, operands: list[int]) -> int:
        """The largest of some operands, held."""
        nodes = tuple(sorted(set(operands)))
        if nodes not in self.largest:
            row = list(nodes)
            while len(row) > 1:  # in pairs, which are few levels
                pairs = [self.scalars.node("maximum", a, b) for a, b in zip(row[::2], row[1::2], strict=False)]
                row = pairs + row[2 * len(pairs) :]
            leaf = self.largest[nodes] = self.scalars.leaf()
            self.held[leaf] = row[0]
        return self.largest[nodes]


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
