"""Products: what matrix products there are among sums of products, from the places of their factors.

Pipeline: trace → differentiate → **lift** → program → evaluate; what lift asks for each group of sums.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Final

import numpy as np

from .program import Gather, Operand, View
from .ragged import supersets

__all__ = [
    "PAYS", "PLACE", "PLACES", "SECOND", "Rows", "Table", "as_operand", "gathered", "is_window", "products",
]  # fmt: skip

Array = np.ndarray[Any, Any]

PAYS: Final = 256  # products of scalars from which an instruction of their own costs less than gathering them
PLACE: Final = 31  # bits of a place in a node's rank: see `lift.Placing`
PLACES: Final = (1 << PLACE) - 1
SECOND: Final = 1 << 2 * PLACE  # in the rank of a node that is rolled


@dataclass(frozen=True)
class Rows:
    """Sums with equal signs: a row of places for each. `rolled` says of `u` and of `v` which array they stand in."""

    signs: tuple[int, ...]
    nodes: Array
    u: Array
    v: Array
    rolled: tuple[bool, bool] = (False, False)

    def some(self, which: Array) -> Rows:
        """Some of the rows."""
        return Rows(
            self.signs, self.nodes.take(which), self.u.take(which, axis=0), self.v.take(which, axis=0), self.rolled
        )

    def terms(self, which: Array) -> Rows:
        """All of the rows, with some of the terms."""
        signs = tuple(np.array(self.signs)[which].tolist())
        return Rows(signs, self.nodes, self.u[:, which], self.v[:, which], self.rolled)

    def ordered(self) -> Rows:
        """The same in the order of the nodes."""
        return self.some(np.argsort(self.nodes))


@dataclass(frozen=True)
class Table:
    """A batch of products: for each b every one of r rows of `u` with every one of s rows of `v`.

    Attributes:
        sums: [b, r, s], the row whose sum it is, -1 where nobody asked for it.
        left, right: [b, r] and [b, s], a row with that `u`, and with that `v`.
    """

    sums: Array
    left: Array
    right: Array

    @property
    def full(self) -> bool:
        """Whether every sum is asked for."""
        return bool((self.sums >= 0).all())

    def sides(self, rows: Rows) -> tuple[Array, Array]:
        """The places of the factors: [b, r, n] and [b, s, n]."""
        return rows.u.take(self.left, axis=0), rows.v.take(self.right, axis=0)


def products(u: Array, v: Array) -> list[Table]:
    """Sums Σ u·v, a row of places each, as batches of products of matrices. Each row occurs once.

    Where some rows meet only part of what others meet, as in a triangle, the rest of the product is filled up, if that
    does not double the work.
    """
    left, right = numbered(u), numbered(v)
    pairs = Pairs.of(left, right)
    if pairs is None:  # a pair that occurs twice
        each = np.arange(len(u))[:, None]
        return [Table(each[:, :, None], each, each)]
    best, classes = pairs, pairs.classes
    if batches(classes) > 1 and max(left.max(), right.max()) + 1 < len(u):  # else no other way can be better
        others = Pairs.of(right, left)
        assert others is not None  # noqa: S101 - no pair occurs twice
        for some, fill in ((others, False), (pairs, True), (others, True)):
            if fill and some.alike:  # none meets part of what another one meets
                continue
            found = some.filled_up() if fill else some.classes
            if batches(found) < batches(classes) and some.counts.take(found).sum() <= 2 * len(u):
                best, classes = some, found
    return best.tables(classes, best is not pairs)


def batches(classes: Array) -> int:
    """How many classes there are, by the first in each."""
    return int(np.count_nonzero(classes == np.arange(len(classes))))


def numbered(rows: Array) -> Array:
    """For each row a number from 0 on, equal for equal rows and in the order of the rows."""
    first = rows[:, 0] - rows[:, 0].min()
    room = int(first.max()) + 1
    if room <= 16 * len(rows):  # no need to sort
        there = np.zeros(room, dtype=bool)
        there[first] = True
        found: Array = (np.cumsum(there) - 1).take(first)
    else:
        found = np.unique(first, return_inverse=True)[1].ravel()
    if rows.shape[1] == 1:
        return found
    some = np.zeros(len(rows), dtype=np.int64)
    some[found] = np.arange(len(rows))
    if np.array_equal(rows.take(some.take(found), axis=0), rows):  # rows that begin alike nearly always are equal
        return found
    order = np.lexsort(rows.T[::-1])
    differs = (rows[order[1:]] != rows[order[:-1]]).any(axis=1)
    found[order[0]] = 0
    found[order[1:]] = np.cumsum(differs)
    return found


@dataclass(frozen=True)
class Pairs:
    """Pairs (a, b) in order, each once.

    Attributes:
        which: where a pair was among those given.
        a, b: the numbers.
        starts, counts: of each a where its pairs are, and how many.
        classes: for each a the first a that meets the same b.
    """

    which: Array
    a: Array
    b: Array
    starts: Array
    counts: Array
    classes: Array

    @staticmethod
    def of(a: Array, b: Array) -> Pairs | None:
        """The pairs; None where one occurs twice."""
        order = np.argsort(a * (int(b.max()) + 1) + b, kind="stable")
        a, b = a.take(order), b.take(order)
        if ((a[1:] == a[:-1]) & (b[1:] == b[:-1])).any():
            return None
        counts = np.bincount(a)
        starts = np.cumsum(counts) - counts
        if (counts == counts[0]).all():
            kinds = numbered(b.reshape(len(counts), -1))
            first = np.zeros(len(counts), dtype=np.int64)
            first[kinds[::-1]] = np.arange(len(counts))[::-1]
            classes = first.take(kinds)
        else:
            met, found, ends = b.tobytes(), dict[bytes, int](), (b.itemsize * np.cumsum(counts)).tolist()
            rows = [met[start:end] for start, end in pairwise([0, *ends])]
            classes = np.array([found.setdefault(row, k) for k, row in enumerate(rows)], dtype=np.int64)
        return Pairs(order, a, b, starts, counts, classes)

    @property
    def alike(self) -> bool:
        """Whether all a meet as many b."""
        return bool((self.counts == self.counts[0]).all())

    def row(self, a: int) -> tuple[int, ...]:
        """What an a meets."""
        return tuple(self.b[self.starts[a] : self.starts[a] + self.counts[a]].tolist())

    def filled_up(self) -> Array:
        """Classes with in each also those a that meet part of what others meet."""
        rows = {self.row(a): a for a in np.unique(self.classes).tolist()}
        wider = {rows[row]: rows[wide] for row, wide in supersets(rows).items()}
        return np.array([wider[a] for a in self.classes.tolist()], dtype=np.int64)

    def tables(self, classes: Array, turned: bool) -> list[Table]:
        """The pairs as complete products, one for each class, in batches by their sizes.

        Arguments:
            classes: as they are, or filled up.
            turned: whether a is what stands on the right.
        """
        columns = np.arange(len(self.a)) - self.starts[self.a]
        if classes is not self.classes:
            width = int(self.b.max()) + 1
            at = np.searchsorted(self.a * width + self.b, classes[self.a] * width + self.b)
            columns = at - self.starts[classes[self.a]]
        elif not classes.any():  # all meet the same
            sums = self.which.reshape(1, len(self.counts), -1)
            left, right = sums[:, :, 0], sums[:, 0]
            return [Table(sums.swapaxes(1, 2), right, left) if turned else Table(sums, left, right)]
        sizes = np.bincount(classes, minlength=len(classes))[classes]
        widths = self.counts[classes]
        _, first, shapes = np.unique(sizes * (len(self.a) + 1) + widths, return_index=True, return_inverse=True)
        _, leaders = np.unique(classes, return_index=True)
        leader = np.zeros(len(classes), dtype=np.int64)  # for each class the first that is in it
        leader[classes[leaders]] = leaders
        found = []
        for shape in np.argsort(first).tolist():
            some = np.flatnonzero(shapes.ravel() == shape)
            size, width = int(sizes[some[0]]), int(widths[some[0]])
            some = some[np.argsort(leader[classes[some]], kind="stable")]
            place = np.full(len(classes), -1)
            place[some] = np.arange(len(some))
            inside = place[self.a] >= 0
            sums = np.full((len(some), width), -1)
            sums[place[self.a[inside]], columns[inside]] = self.which[inside]
            sums = sums.reshape(-1, size, width)
            left = self.which[self.starts[some]].reshape(-1, size)
            right = self.which[self.starts[classes[some[::size]]][:, None] + np.arange(width)]
            found.append(Table(sums.swapaxes(1, 2), right, left) if turned else Table(sums, left, right))
        return found


def gathered(tables: list[Table], rows: Rows) -> int:
    """How many places these products gather, having no window."""
    sides = [side for table in tables for side in table.sides(rows)]
    return sum(side.size for side in sides if not is_window(side))


def as_operand(places: Array, rolled: bool = False) -> Operand:
    """A view where the places have a pattern, else a gather."""
    if places.size < 2:
        return View(places.item() if places.size else 0, places.shape, (0,) * places.ndim, rolled)
    strides = []
    first = (0,) * places.ndim
    for axis, size in enumerate(places.shape):
        second = tuple([int(k == axis) for k in range(places.ndim)])
        strides.append(int(places[second] - places[first]) if size > 1 else 0)
    view = View(int(places[first]), places.shape, tuple(strides), rolled)
    return view if np.array_equal(view.indices(), places) else Gather(np.ascontiguousarray(places), rolled)


def is_window(places: Array) -> bool:
    """Whether places have a pattern."""
    return isinstance(as_operand(places), View)
