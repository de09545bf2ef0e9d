"""Products: what matrix products there are among sums of products, from the places of their factors.

Pipeline: trace → differentiate → **lift** → program → evaluate; what lift asks for each group of sums.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from .program import Gather, Operand, View

__all__ = ["PAYS", "PLACE", "PLACES", "Rows", "as_operand", "gathered", "is_window", "products"]

Array = np.ndarray[Any, Any]

PAYS: Final = 256  # products of scalars from which an instruction of their own costs less than gathering them
PLACE: Final = 31  # bits of a place in a node's rank: see `lift.Placing`
PLACES: Final = (1 << PLACE) - 1


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
        return Rows(self.signs, self.nodes[which], self.u[which], self.v[which], self.rolled)

    def terms(self, which: Array) -> Rows:
        """All of the rows, with some of the terms."""
        signs = tuple(np.array(self.signs)[which].tolist())
        return Rows(signs, self.nodes, self.u[:, which], self.v[:, which], self.rolled)

    def ordered(self) -> Rows:
        """The same in the order of the nodes."""
        return self.some(np.argsort(self.nodes))


def products(u: Array, v: Array) -> list[Array]:
    """Sums Σ u·v, a row of places each, as batches of products of matrices.

    Returns:
        arrays [b, r, s] of rows: for each b, every one of r rows of `u` with every one of s rows of `v`. Each row
        occurs once.
    """
    left, right = numbered(u), numbered(v)
    best: list[Array] | None = None
    for a, b, turned in ((left, right, False), (right, left, True)):
        found = complete(a, b)
        if found is None:  # a pair that occurs twice
            return [np.arange(len(u))[:, None, None]]
        if best is None or sum(map(len, found)) < sum(map(len, best)):
            best = [table.swapaxes(1, 2) if turned else table for table in found]
        if len(best) == len(best[0]) == 1:
            break
    assert best is not None  # noqa: S101 - the loop ran
    return best


def numbered(rows: Array) -> Array:
    """For each row a number from 0 on, equal for equal rows and in the order of the rows."""
    first = rows[:, 0] - rows[:, 0].min()
    room = int(first.max()) + 1
    if room <= 4 * len(rows):  # no need to sort
        there = np.zeros(room, dtype=bool)
        there[first] = True
        found = (np.cumsum(there) - 1)[first]
    else:
        found = np.unique(first, return_inverse=True)[1].ravel()
    if rows.shape[1] == 1:
        return found
    some = np.zeros(len(rows), dtype=np.int64)
    some[found] = np.arange(len(rows))
    if np.array_equal(rows[some[found]], rows):  # rows that begin alike are equal, as they nearly always are
        return found
    order = np.lexsort(rows.T[::-1])
    differs = (rows[order[1:]] != rows[order[:-1]]).any(axis=1)
    found[order[0]] = 0
    found[order[1:]] = np.cumsum(differs)
    return found


def complete(a: Array, b: Array) -> list[Array] | None:
    """Pairs (a, b) as complete products, those of one size as an array [products, a, b] of the places of pairs.

    Those a that meet the same b are together. None where a pair occurs twice.
    """
    width = int(b.max()) + 1
    order = np.argsort(a * width + b, kind="stable")
    a, b = a[order], b[order]
    if ((a[1:] == a[:-1]) & (b[1:] == b[:-1])).any():
        return None
    height = int(a[-1]) + 1
    if height * width == len(a):
        return [order.reshape(1, height, width)]
    counts = np.bincount(a)
    starts = np.cumsum(counts) - counts
    classes = np.zeros(height, dtype=np.int64)  # for each a the first that meets the same
    for count in np.unique(counts).tolist():
        some = np.flatnonzero(counts == count)
        _, first, which = np.unique(
            numbered(b[starts[some][:, None] + np.arange(count)]), return_index=True, return_inverse=True
        )
        classes[some] = some[first[which.ravel()]]
    sizes = np.bincount(classes, minlength=height)[classes]
    shapes, first, which = np.unique(sizes * (width + 1) + counts, return_index=True, return_inverse=True)
    found = []
    for k in np.argsort(first).tolist():
        some = np.flatnonzero(which.ravel() == k)
        some = some[np.argsort(classes[some], kind="stable")].reshape(-1, sizes[first[k]])
        found.append(order[starts[some][:, :, None] + np.arange(counts[first[k]])])
    return found


def gathered(tables: list[Array], rows: Rows) -> int:
    """How many places these products gather, having no window."""
    sides = [side for table in tables for side in (rows.u[table[:, :, 0]], rows.v[table[:, 0, :]])]
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
