"""Narrow groups: instructions for a few scalars each, found without arrays.

Pipeline: trace → differentiate → **lift** → program → evaluate; what lift does with groups in which no product can pay.

A recurrence has thousands of groups of one or two nodes, and NumPy would take a tenth of a millisecond for each. Here
they take microseconds, compiled. What comes out is what `lift` would find: terms in the same order, shorter sums filled
up with 0 · 1, rows in the order of their nodes. Groups that need more, such as numbers spread over the examples, are
left to it.
"""

from __future__ import annotations

from typing import Any

import numpy as np

try:
    import cython
except ImportError:
    from .. import _cython as cython

from . import columns
from .canonical import Canonical
from .products import PAYS, PLACE, PLACES, SECOND
from .program import Contract, Gather, Map, Operand, View
from .scalars import name_of

__all__ = ["Narrow", "described", "ranked"]


@cython.final
@cython.cclass
class Narrow:
    """Instructions for narrow groups.

    Arguments:
        ranks: of each node, as in `lift.Placing`.
        order: the groups' nodes, one group after the other.
    """

    __slots__ = (
        "_at", "_codes", "_firsts", "_left", "_minus", "_nodes", "_order", "_ranks", "_right", "_rows", "_signs", "_u",
        "_v", "_widths", "at", "canonical", "codes", "firsts", "left", "minus", "nodes", "notes", "order", "ranks",
        "right", "room", "rows", "scalars", "signs", "u", "v", "widths",
    )  # fmt: skip

    def __init__(self, canonical: Canonical, ranks: Any, order: Any) -> None:
        self.canonical, self.scalars = canonical, canonical.scalars
        self._ranks, self._order = ranks, order
        self._nodes, self._codes, self._widths = canonical.nodes, canonical.codes, canonical.widths
        self._firsts, self._left, self._right = canonical.firsts, canonical.left, canonical.right
        self._minus = canonical.negative
        self.notes: dict[tuple[int, int], str] = {}
        self.room = 2 * PAYS
        self.point()

    def point(self) -> None:
        """Note where the columns are, and make room for a group's terms."""
        self._u, self._v = columns.zeros("q", self.room), columns.zeros("q", self.room)
        self._signs = columns.zeros("i", self.room)
        self._at, self._rows = columns.zeros("i", self.room), columns.zeros("i", self.room)
        self.ranks, self.order = columns.longs(self._ranks), columns.longs(self._order)
        self.nodes, self.codes = columns.ints(self._nodes), columns.ints(self._codes)
        self.widths, self.firsts = columns.ints(self._widths), columns.ints(self._firsts)
        self.left, self.right = columns.ints(self._left), columns.ints(self._right)
        self.minus = columns.flags(self._minus)
        self.u, self.v, self.signs = columns.longs(self._u), columns.longs(self._v), columns.ints(self._signs)
        self.at, self.rows = columns.ints(self._at), columns.ints(self._rows)

    def look_at(self, ranks: Any) -> None:
        """Go on with these ranks: the column may have grown."""
        self._ranks = ranks
        self.ranks = columns.longs(self._ranks)

    def add(self, placing: Any, start: int, end: int, adjoint: bool, total: bool) -> bool:
        """Append the instructions for a group; whether it could be done."""
        if self.codes[self.order[start]]:
            return self.maps(placing, start, end)
        return self.sums(placing, start, end, adjoint, total)

    # ---- sums of products --------------------------------------------------------------------------------------------

    def sums(self, placing: Any, start: int, end: int, adjoint: bool, total: bool) -> bool:
        """Append the instructions for a group of sums; whether it could be done."""
        used = 0
        for k in range(start, end):
            used += self.widths[self.order[k]]
        if max(used, end - start + 1) > self.room:
            self.room = 2 * max(used, end - start + 1)
            self.point()
        used = 0
        for k in range(start, end):
            self.at[k - start] = used
            used = self.arrange(self.order[k], used)
        rolled_u, rolled_v = self.u[0] >> 2 * PLACE, self.v[0] >> 2 * PLACE
        for k in range(used):
            if self.u[k] >> 2 * PLACE != rolled_u or self.v[k] >> 2 * PLACE != rolled_v:
                return False
        self.sort(start, end - start)
        found = self.padded(start, end - start)
        if rolled_u or rolled_v:
            for rows in found:
                for row in rows:
                    if self.width(start, row) != self.width(start, rows[0]):
                        return False
        for rows in found:
            self.contract(placing, start, rows, adjoint, total, rolled_u, rolled_v)
        return True

    def width(self, start: int, row: int) -> int:
        """How many terms a row has."""
        return self.widths[self.order[start + row]]

    def arrange(self, member: int, used: int) -> int:
        """Put the terms of a sum in order, each with the lower factor first."""
        first = self.firsts[member]
        for k in range(self.widths[member]):
            u, v = self.ranks[self.left[first + k]], self.ranks[self.right[first + k]]
            if u > v:
                u, v = v, u
            sign = -1 if self.minus[first + k] else 1
            place = used + k
            while place > used and (
                self.u[place - 1] > u
                or (self.u[place - 1] == u and (
                    self.v[place - 1] > v or (self.v[place - 1] == v and self.signs[place - 1] > sign)
                ))
            ):  # fmt: skip
                self.u[place], self.v[place] = self.u[place - 1], self.v[place - 1]
                self.signs[place] = self.signs[place - 1]
                place -= 1
            self.u[place], self.v[place], self.signs[place] = u, v, sign
        return used + self.widths[member]

    def sort(self, start: int, count: int) -> None:
        """Put the rows in the order in which they are padded: the longest first, equal signs side by side."""
        for k in range(count):
            place = k
            while place > 0 and self.compare(start, self.rows[place - 1], k) > 0:
                self.rows[place] = self.rows[place - 1]
                place -= 1
            self.rows[place] = k

    def compare(self, start: int, a: int, b: int) -> int:
        """Whether a row is shorter than another one, or as long and with higher signs: 1; equal: 0; else -1."""
        wide, other = self.width(start, a), self.width(start, b)
        if wide != other:
            return 1 if wide < other else -1
        for k in range(wide):
            if self.signs[self.at[a] + k] != self.signs[self.at[b] + k]:
                return 1 if self.signs[self.at[a] + k] > self.signs[self.at[b] + k] else -1
        return 0

    def padded(self, start: int, count: int) -> list[list[int]]:
        """The rows of each instruction, the longest first: shorter ones stand with longer ones that begin alike."""
        found: list[list[int]] = []
        k = 0
        while k < count:
            row = self.rows[k]
            some: list[int] = []
            while k < count and self.compare(start, row, self.rows[k]) == 0:
                some.append(self.rows[k])
                k += 1
            short = self.width(start, row)
            for others in found:
                fill = self.width(start, others[0]) - short
                if fill * len(some) <= max(PAYS, len(some) * short) and self.begins(others[0], row, short):
                    others.extend(some)
                    break
            else:
                found.append(some)
        return found

    def begins(self, a: int, b: int, count: int) -> bool:
        """Whether two rows have the same signs so far."""
        k = 0
        while k < count and self.signs[self.at[a] + k] == self.signs[self.at[b] + k]:
            k += 1
        return k == count

    def contract(
        self, placing: Any, start: int, rows: list[int], adjoint: bool, total: bool, rolled_u: int, rolled_v: int
    ) -> None:
        """Append one instruction."""
        width = self.width(start, rows[0])
        at = self.at[rows[0]]
        signs = tuple([self.signs[at + k] for k in range(width)])
        nodes = sorted([(self.node(start, row), row) for row in rows])
        zero, one = self.ranks[self.canonical.zero] & PLACES, self.ranks[self.canonical.one] & PLACES
        left: list[int] = []
        right: list[int] = []
        for _, row in nodes:
            at, count = self.at[row], self.width(start, row)
            for k in range(width):
                left.append(self.u[at + k] & PLACES if k < count else zero)
                right.append(self.v[at + k] & PLACES if k < count else one)
        u = operand(left, len(rows), width, rolled_u == 1)
        v = operand(right, len(rows), width, rolled_v == 1)
        rolled = rolled_u == 1 or rolled_v == 1
        made = Contract.__new__(Contract)
        made.__dict__.update(
            offset=placing.sizes[rolled and not total], u=u, v=v, signs=signs, adjoint=adjoint, total=total and rolled
        )
        self.append(placing, made, [node for node, _ in nodes], rolled and not total)

    def node(self, start: int, row: int) -> int:
        """The node of a row."""
        return self.nodes[self.order[start + row]]

    # ---- other operations --------------------------------------------------------------------------------------------

    def maps(self, placing: Any, start: int, end: int) -> bool:
        """Append the instruction for a group of another operation; whether it could be done."""
        scalars = self.scalars
        count, member = end - start, self.order[start]
        width = self.widths[member]
        table: list[list[int]] = []  # for each node its operands' places, and itself
        for row in range(count):
            node = self.node(start, row)
            below = scalars.starts[node]
            if self.widths[self.order[start + row]] != width:
                return False
            table.append([*[self.ranks[scalars.below[below + k]] & PLACES for k in range(width)], node])
        table.sort()
        columns_of = list(zip(*table, strict=True))
        rolled = False
        operands: list[Operand] = []
        for k in range(width):
            first = self.ranks[scalars.below[scalars.starts[self.node(start, 0)] + k]] >> 2 * PLACE
            for row in range(count):
                if self.ranks[scalars.below[scalars.starts[self.node(start, row)] + k]] >> 2 * PLACE != first:
                    return False
            rolled = rolled or first == 1
            operands.append(operand(list(columns_of[k]), 0, count, first == 1))
        made = Map.__new__(Map)
        made.__dict__.update(offset=placing.sizes[rolled], name=name_of(self.codes[member]), operands=tuple(operands))
        self.append(placing, made, list(columns_of[width]), rolled)
        return True

    # ---- both --------------------------------------------------------------------------------------------------------

    def append(self, placing: Any, instruction: Any, nodes: list[int], rolled: bool) -> None:
        """Append an instruction whose results are these nodes."""
        place, group = placing.sizes[rolled], placing.next
        placing.instructions.append(instruction)
        placing.notes.append(self.note(nodes))
        placing.sizes[rolled] = place + len(nodes)
        placing.next = group + 1
        for k in range(len(nodes)):
            self.ranks[nodes[k]] = ranked(place + k, group, rolled)

    def note(self, nodes: list[int]) -> str:
        """Which scalars an instruction stands for."""
        scalars = self.scalars
        codes = [scalars.codes[i] for i in nodes]
        key = (len(nodes), codes[0])
        if codes.count(codes[0]) < len(codes):
            return described(len(nodes), [name_of(code) for code in dict.fromkeys(codes)])
        if key not in self.notes:
            self.notes[key] = described(len(nodes), [name_of(codes[0])])
        return self.notes[key]


def ranked(place: int, group: int, rolled: bool) -> int:
    """A rank."""
    return place | group << PLACE | (SECOND if rolled else 0)


def described(count: int, names: list[str]) -> str:
    """Which scalars an instruction stands for, for a reader."""
    return f"{count} scalar{'s' * (count != 1)}: {', '.join(names)}"


def operand(places: list[int], rows: int, width: int, rolled: bool) -> Any:
    """Places as an operand: for rows [rows, 1, width], else [width].

    Frozen dataclasses set their fields one by one, which takes five times as long as filling their dict.
    """
    shape: tuple[int, ...] = (width,)
    if rows:
        shape = (rows, 1, width)
    down = places[width] - places[0] if rows > 1 else 0
    along = places[1] - places[0] if width > 1 else 0
    for k in range(len(places)):
        if places[k] != places[0] + (k // width) * down + (k % width) * along:
            made = Gather.__new__(Gather)
            made.__dict__.update(places=np.array(places, dtype=np.int64).reshape(shape), rolled=rolled)
            return made
    strides: tuple[int, ...] = (along,)
    if rows:
        strides = (down, 0, along)
    view = View.__new__(View)
    view.__dict__.update(offset=places[0], shape=shape, strides=strides, rolled=rolled)
    return view
