"""Ragged: sums of different length that are a product of matrices when the shorter ones are filled up with zeros.

Pipeline: trace → differentiate → **lift** → program → evaluate; what lift does before it looks for products.

As in causal attention, Σ_s w[t, s] · v[s] for s up to t: with w = 0 where there is none, each sum has all of v.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator
from itertools import chain
from typing import Any

import numpy as np

__all__ = ["Ragged", "counted", "supersets"]

Array = np.ndarray[Any, Any]
Row = tuple[int, ...]


class Ragged:
    """Sums Σ u·v, each to be filled up to the longest row of factors v that has all of its own.

    Arguments:
        lengths: how many terms each sum has.
        factors: their v, those of one sum after those of another.
        places: where these stand, by which they are put in order.

    Attributes:
        size: how many terms there will be.
        distinct: how many different rows of v there will be.
    """

    def __init__(self, lengths: Array, factors: Array, places: Array) -> None:
        self.lengths = lengths
        self.order = np.lexsort((places, np.repeat(np.arange(len(lengths)), lengths)))
        flat, ends = factors[self.order].tolist(), np.cumsum(lengths).tolist()
        self.rows: list[Row] = [tuple(flat[start:end]) for start, end in zip([0, *ends], ends, strict=False)]
        self.wider = supersets(self.rows)
        if any(len(set(row)) < len(row) for row in self.wider):  # a factor that occurs twice
            self.wider = {row: row for row in self.wider}
        self.widths = [len(self.wider[row]) for row in self.rows]
        self.size = sum(self.widths)
        self.distinct = len(set(self.wider.values()))

    def filled_up(self, others: Array, zero: int) -> Iterator[tuple[Array, Array, Array]]:
        """Sums of equal length: which they are, and for each a row of u and one of v.

        Arguments:
            others: their u, as `factors` has the v.
            zero: what u is where a sum has no term.
        """
        columns: dict[Row, list[int]] = {}
        column_of = {wide: {x: k for k, x in enumerate(wide)} for wide in set(self.wider.values())}
        for row, wide in self.wider.items():
            columns[row] = list(range(len(row))) if row == wide else [column_of[wide][x] for x in row]
        group = {width: k for k, width in enumerate(dict.fromkeys(self.widths))}
        order = np.argsort([group[width] for width in self.widths], kind="stable")
        widths = np.array(self.widths)
        starts = np.empty_like(widths)
        starts[order] = np.cumsum(widths[order]) - widths[order]
        left = np.full(self.size, zero)
        column = np.fromiter(chain.from_iterable([columns[row] for row in self.rows]), np.int64)
        left[np.repeat(starts, self.lengths) + column] = others[self.order]
        right = np.fromiter(chain.from_iterable([self.wider[self.rows[k]] for k in order.tolist()]), np.int64)
        first = 0
        for width in group:
            sums = order[widths[order] == width]
            some = slice(first, first + len(sums) * width)
            yield sums, left[some].reshape(-1, width), right[some].reshape(-1, width)
            first = some.stop


def counted(lengths: Array) -> Array:
    """0, 1, 2 … for each length, one after the other."""
    ends = np.cumsum(lengths)
    found: Array = np.arange(ends[-1]) - np.repeat(ends - lengths, lengths)
    return found


def supersets(rows: Iterable[Row]) -> dict[Row, Row]:
    """For each of these sorted rows a longest one that has all its elements; itself where there is no other."""
    found: dict[Row, Row] = {}
    having: defaultdict[int, list[tuple[Row, frozenset[int]]]] = defaultdict(list)
    for row in sorted(set(rows), key=lambda row: (-len(row), row)):
        inside = next((wide for wide, all_ in having[row[0]] if all_.issuperset(row)), None)
        found[row] = row if inside is None else inside
        if inside is None:
            every = frozenset(row)
            for x in row:
                having[x].append((row, every))
    return found
