"""Products: what matrix products there are among sums of products, from the places of their factors.

Pipeline: trace → differentiate → **lift** → program → evaluate; what lift asks for each group of sums.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np

from .program import Gather, Operand, View

__all__ = ["Rows", "Table", "as_operand", "gathered", "is_window", "products", "supersets"]

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


def products(u: Array, v: Array) -> list[Table]:
    """Sums Σ u·v, a row of places each, as batches of products of matrices. Each row occurs once.

    Where some rows meet only part of what others meet, as in a triangle, the rest of the product is filled up, if that
    does not double the work.
    """
    left, right = numbered(u), numbered(v)
    best: list[Table] | None = None
    for fill in (False, True):
        for a, b, turned in ((left, right, False), (right, left, True)):
            found = complete(a, b, turned, fill)
            if found is None:  # a pair that occurs twice
                each = np.arange(len(u))[:, None]
                return [Table(each[:, :, None], each, each)]
            cells = sum([table.sums.size for table in found])
            if cells <= 2 * len(u) and (best is None or count(found) < count(best)):
                best = found
    assert best is not None  # noqa: S101 - those not filled up have as many cells as there are rows
    return best


def count(tables: list[Table]) -> int:
    return sum([len(table.sums) for table in tables])


def numbered(rows: Array) -> list[int]:
    """For each row a number, equal for equal rows and in the order of the rows."""
    _, found = np.unique(rows, axis=0, return_inverse=True)
    return found.ravel().tolist()


def complete(a: list[int], b: list[int], turned: bool, fill: bool) -> list[Table] | None:
    """Pairs (a, b) as complete products, batches by their sizes. None where a pair occurs twice.

    Those a that meet the same b are together; with `fill` also those that meet part of what others meet.

    Arguments:
        turned: whether a is what stands on the right.
    """
    partners: defaultdict[int, dict[int, int]] = defaultdict(dict)
    for i, (x, w) in enumerate(zip(a, b, strict=True)):
        partners[x][w] = i
    if sum(map(len, partners.values())) < len(a):
        return None
    met = {x: tuple(sorted(row)) for x, row in partners.items()}
    wider = supersets(met.values()) if fill else {}
    alike: defaultdict[tuple[int, ...], list[int]] = defaultdict(list)
    for x in sorted(partners):
        alike[wider.get(met[x], met[x])].append(x)
    found: defaultdict[tuple[int, int], list[tuple[list[list[int]], list[int], list[int]]]] = defaultdict(list)
    for columns, rows in alike.items():
        sums = [[partners[x].get(w, -1) for w in columns] for x in rows]
        first = [next(iter(partners[x].values())) for x in rows]
        second = [next(row[k] for row in sums if row[k] >= 0) for k in range(len(columns))]
        if turned:
            found[(len(columns), len(rows))].append(([list(x) for x in zip(*sums, strict=True)], second, first))
        else:
            found[(len(rows), len(columns))].append((sums, first, second))
    return [
        Table(*[np.array(column, dtype=np.int64) for column in zip(*batch, strict=True)]) for batch in found.values()
    ]


def supersets(rows: Iterable[tuple[int, ...]]) -> dict[tuple[int, ...], tuple[int, ...]]:
    """For each of these sorted rows a longest one that has all its elements; itself where there is no other."""
    found: dict[tuple[int, ...], tuple[int, ...]] = {}
    having: defaultdict[int, list[tuple[tuple[int, ...], frozenset[int]]]] = defaultdict(list)
    for row in sorted(set(rows), key=lambda row: (-len(row), row)):
        inside = next((wide for wide, all_ in having[row[0]] if all_.issuperset(row)), None)
        found[row] = row if inside is None else inside
        if inside is None:
            for x in row:
                having[x].append((row, frozenset(row)))
    return found


def gathered(tables: list[Table], rows: Rows) -> int:
    """How many places these products gather, having no window."""
    sides = [side for table in tables for side in (rows.u[table.left], rows.v[table.right])]
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
