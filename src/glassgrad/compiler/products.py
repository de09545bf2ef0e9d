"""Products: what matrix products there are among sums of products, from the places of their factors.

Pipeline: trace → differentiate → **lift** → program → evaluate; what lift asks for each group of sums.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from typing import Any

import numpy as np

from .program import Gather, Operand, View

__all__ = ["Rows", "as_operand", "gathered", "is_window", "products"]

Array = np.ndarray[Any, Any]


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
    best: dict[tuple[int, int], list[list[list[int]]]] | None = None
    for a, b, turned in ((left, right, False), (right, left, True)):
        found = complete(a, b, turned)
        if found is None:  # a pair that occurs twice
            return [np.arange(len(u))[:, None, None]]
        if best is None or sum(map(len, found.values())) < sum(map(len, best.values())):
            best = found
    assert best is not None  # noqa: S101 - the loop ran
    return [np.array(batch, dtype=np.int64) for batch in best.values()]


def numbered(rows: Array) -> list[int]:
    """For each row a number, equal for equal rows and in the order of the rows."""
    _, found = np.unique(rows, axis=0, return_inverse=True)
    return found.ravel().tolist()


def complete(a: list[int], b: list[int], turned: bool) -> dict[tuple[int, int], list[list[list[int]]]] | None:
    """Pairs (a, b) as complete products, by their sizes; each with the places of its pairs, a along the rows.

    Those a that meet the same b are together. None where a pair occurs twice.
    """
    partners: defaultdict[int, list[tuple[int, int]]] = defaultdict(list)
    for i, (x, w) in enumerate(zip(a, b, strict=True)):
        partners[x].append((w, i))
    alike: defaultdict[tuple[int, ...], list[list[int]]] = defaultdict(list)
    for x in sorted(partners):
        row = sorted(partners[x])
        met = tuple([w for w, _ in row])
        if len(set(met)) < len(met):
            return None
        alike[met].append([i for _, i in row])
    found: defaultdict[tuple[int, int], list[list[list[int]]]] = defaultdict(list)
    for product in alike.values():
        table = [list(column) for column in zip(*product, strict=True)] if turned else product
        found[(len(table), len(table[0]))].append(table)
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
