"""Expand: derivatives that are one operation, `tanh'0`, as nodes, so that they can be differentiated once more.

Pipeline: trace → differentiate → **expand** → differentiate again → lift; only where a second derivative is asked for.

`differentiate` leaves a rule that takes branches as one operation, for a program must hold for all numbers. Here it is
read under every answer to its comparisons (`branches`), once for all its uses in a program, and what the readings give
is joined by `where`. As an adjoint of 0 stays 0, what is not chosen does no harm in the derivatives either.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

from .branches import Reading, Term, TooManyPaths, read
from .scalars import CONST, LEAF, MANY, Scalars

__all__ = ["Expanded", "TooManyPaths", "expand", "pruned"]


class Expanded:
    """A program of its own.

    Attributes:
        scalars: the program, without what its results do not need; all leaves are there, in their order.
        ids: for each node of the one before its node, -1 where there is none.
        start: the first node of the adjoint.
    """

    def __init__(self, scalars: Scalars, ids: Sequence[int], start: int) -> None:
        self.scalars, self.ids, self.start = scalars, ids, start

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
        return Expanded(scalars, range(len(scalars)), start)
    expansion = Expansion()

    def make(i: int, op: str, below: list[int]) -> int:
        name, _, place = op.partition("'")
        if place and moving[i]:
            return expansion.derivative(name, int(place), below)
        return expansion.scalars.node(op, *below)

    return copied(scalars, results, start, expansion.scalars, make)


def pruned(scalars: Scalars, results: Sequence[int], start: int) -> Expanded:
    """The program for some results, and nothing else."""
    into = Scalars()
    return copied(scalars, results, start, into, lambda _, op, below: into.node(op, *below))


class Expansion:
    """A program in which derivatives are expanded as they come."""

    def __init__(self) -> None:
        self.scalars = Scalars()
        self.templates: dict[object, tuple[Scalars, list[int]]] = {}  # what a rule makes, by its kind of operands
        self.found: dict[object, list[int]] = {}  # the derivatives by all operands, which are made at once

    def derivative(self, name: str, place: int, below: list[int]) -> int:
        """The node of a derivative by one of an operation's operands, the last of `below` being its result."""
        if name not in MANY:
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
        scalars, results = self.templates[key]
        given = iter(distinct)
        ids: list[int] = []
        for op, operands, x in zip(scalars.ops, scalars.operands, scalars.numbers, strict=True):
            if op == LEAF:
                ids.append(next(given))
            elif op == CONST:
                ids.append(self.scalars.const(x))
            else:
                ids.append(self.scalars.node(op, *[ids[j] for j in operands]))
        return [ids[i] for i in results]

    def template(self, name: str, place: int, below: list[int], distinct: list[int]) -> tuple[Scalars, list[int]]:
        """What a rule makes on such operands, which are constants, or alike: a program, and its results."""
        reading = Reading()
        terms: dict[int, Any] = {j: Term(reading.scalars.leaf(), reading) for j in distinct}
        for j in distinct:
            if self.scalars.ops[j] == CONST:
                terms[j] = self.scalars.numbers[j]
        *operands, result = [terms[j] for j in below]
        results = read(reading, name, place, operands, result)
        alone = pruned(reading.scalars, results, 0)
        return alone.scalars, alone.of(results)


def dependent(scalars: Scalars, leaves: set[int]) -> list[bool]:
    """For each node whether it depends on one of the leaves."""
    found: list[bool] = []
    for i, below in enumerate(scalars.operands):
        found.append(any(map(found.__getitem__, below)) if below else i in leaves)
    return found


def copied(
    scalars: Scalars,
    results: Sequence[int],
    start: int,
    into: Scalars,
    make: Callable[[int, str, list[int]], int],
) -> Expanded:
    """A copy of the leaves and of what the results need.

    Arguments:
        make: makes an operation anew, from its number, its name and its operands.
    """
    ops, operands = list(scalars.ops), list(scalars.operands)
    live = bytearray(len(ops))
    for i in results:
        live[i] = 1
    for i in range(len(ops) - 1, -1, -1):
        if live[i]:
            for j in operands[i]:
                live[j] = 1
    ids = [-1] * len(ops)
    first = None
    for i, op in enumerate(ops):
        if i == start:
            first = len(into)
        if op == LEAF:
            ids[i] = into.count() if i == scalars.examples else into.leaf(bool(scalars.rolled[i]))
        elif live[i]:
            is_const = op == CONST
            ids[i] = into.const(scalars.numbers[i]) if is_const else make(i, op, [ids[j] for j in operands[i]])
    return Expanded(into, ids, len(into) if first is None else first)
