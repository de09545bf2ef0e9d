"""Sparse Jacobians and Hessians: which columns can share a sweep, and how to take their sum apart again.

Columns (or rows) that have no row in common can be computed as one, so a banded matrix costs as many sweeps as its band
is wide, however large it is. A symmetric matrix needs fewer still, since each entry can be read at two places: an arrow
2, a tridiagonal matrix 3 (Gebremedhin, Manne, Pothen 2005, "What color is your Jacobian?").

A pattern is given by rows: row i has entries in the columns indices[starts[i]:starts[i + 1]], which ascend. Colours
count from 0. Sets of colours are the bits of an integer: joining two takes nanoseconds, also where a row is full.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Sequence

Integers = Sequence[int]


def transposed(starts: Integers, indices: Integers, count: int) -> tuple[list[int], list[int]]:
    """The same pattern by columns, of which there are `count`."""
    columns: list[list[int]] = [[] for _ in range(count)]
    for i in range(len(starts) - 1):
        for j in indices[starts[i] : starts[i + 1]]:
            columns[j].append(i)
    return packed(columns)


def packed(rows: Iterable[Iterable[int]]) -> tuple[list[int], list[int]]:
    """The pattern with these columns in each row."""
    starts: list[int] = [0]
    indices: list[int] = []
    for row in rows:
        indices += row
        starts.append(len(indices))
    return starts, indices


# ---- Jacobians -----------------------------------------------------------------------------------------------------


def colour(starts: Integers, indices: Integers, count: int, mode: str | None) -> tuple[array[int], int, bool]:
    """Colours for the columns or the rows of a pattern with `count` columns.

    Arguments:
        mode: 'forward' for columns, 'reverse' for rows, None for whichever take fewer colours.

    Returns:
        the colours, how many there are, and whether they are the columns'.
    """
    across = transposed(starts, indices, count)
    least = {True: fullest(starts), False: fullest(across[0])}
    ways = {True: (*across, len(starts) - 1), False: (starts, indices, count)}
    by_column = mode == "forward" or (mode is None and least[True] <= least[False])
    colours, used = colour_rows(*ways[by_column])
    if mode is None and least[not by_column] < used:
        others, fewer = colour_rows(*ways[not by_column])
        if fewer < used:
            return others, fewer, not by_column
    return colours, used, by_column


def fullest(starts: Integers) -> int:
    """The most entries in a row: the other direction needs at least as many colours."""
    return max([starts[i + 1] - starts[i] for i in range(len(starts) - 1)], default=0)


def colour_rows(starts: Integers, indices: Integers, count: int) -> tuple[array[int], int]:
    """A colour for each row, so that no two rows of one colour have a column in common, and how many there are.

    Greedy: each row in turn takes the first colour that is free, which for a band is the fewest there can be.
    """
    colours = array("i", [0]) * (len(starts) - 1)
    taken = [0] * count  # by the rows that have an entry in this column
    used = 0
    for i in range(len(colours)):
        row = indices[starts[i] : starts[i + 1]]
        forbidden = 0
        for j in row:
            forbidden |= taken[j]
        bit = ~forbidden & (forbidden + 1)  # the lowest that is not set
        for j in row:
            taken[j] |= bit
        colours[i] = bit.bit_length() - 1
        used = max(used, bit.bit_length())
    return colours, used


def recover(
    starts: Integers, indices: Integers, count: int, colours: Integers, used: int, by_column: bool, sums: array[float]
) -> array[float]:
    """The entries of a matrix, in the order of its pattern, from the sums of its columns or rows of each colour."""
    entries = array("d", [0.0]) * len(indices)
    for i in range(len(starts) - 1):
        for at in range(starts[i], starts[i + 1]):
            j = indices[at]
            entries[at] = sums[i * used + colours[j]] if by_column else sums[colours[i] * count + j]
    return entries


# ---- Hessians ------------------------------------------------------------------------------------------------------


def symmetrized(starts: Integers, indices: Integers) -> tuple[list[int], list[int]]:
    """The pattern and its transpose in one: an entry found on one side only is zero on the other by calculation."""
    n = len(starts) - 1
    starts_across, across = transposed(starts, indices, n)
    if starts_across == list(starts) and across == list(indices):
        return starts_across, across
    return packed(
        sorted({*indices[starts[i] : starts[i + 1]], *across[starts_across[i] : starts_across[i + 1]]})
        for i in range(n)
    )


def star_colour(starts: Integers, indices: Integers) -> tuple[array[int], int]:
    """A colour for each column of a symmetric pattern, and how many there are.

    Neighbours (columns i and j with an entry at i, j) differ, and no path of four takes two colours by turns. So two
    colours together form stars: a hub with one colour, around it the other. Each entry can then be read off: the
    spoke's row has no other neighbour of the hub's colour.

    Greedy: each column in turn takes the first colour that closes no such path.
    """
    n = len(starts) - 1
    colours = array("i", [-1]) * n
    once = [0] * n  # the colours around a column
    twice = [0] * n  # those that are there more than once: it is the hub of a star of that colour
    hubs = [0] * n  # the colours of the hubs of the stars that it is in
    first: dict[tuple[int, int], int] = {}  # the first column of a colour around another one
    used = 0
    for v in range(n):
        around = [w for w in indices[starts[v] : starts[v + 1]] if w != v]
        coloured = [(w, 1 << colours[w]) for w in around if colours[w] >= 0]
        forbidden = once[v]
        for w, bit in coloured:
            forbidden |= hubs[w]  # v, w, its hub, and another one of w's colour around that
            if twice[v] & bit:
                forbidden |= once[w]  # another one of w's colour, v, w, and one around that
        own = ~forbidden & (forbidden + 1)  # the lowest bit that is not set
        colours[v] = own.bit_length() - 1
        used = max(used, own.bit_length())
        for w, bit in coloured:
            if twice[v] & bit:
                hubs[w] |= own
        for w in around:
            if not once[w] & own:
                once[w] |= own
                first[w, own] = v
            else:
                twice[w] |= own
                if colours[w] >= 0:
                    hubs[v] |= 1 << colours[w]
                    hubs[first[w, own]] |= 1 << colours[w]
    return colours, used


def recover_symmetric(
    starts: Integers, indices: Integers, colours: Integers, used: int, sums: array[float]
) -> array[float]:
    """The entries of a symmetric matrix, in the order of its pattern, from the sums of its columns of each colour.

    Entry i, j is computed once and stands at both places, so the result is exactly symmetric.
    """
    n = len(starts) - 1
    entries = array("d", [0.0]) * len(indices)
    place = list(starts[:-1])  # of the next entry of a row that its mirror image has not reached
    once, twice = 0, 0
    for i in range(n):
        once = twice = 0
        for j in indices[starts[i] : starts[i + 1]]:
            bit = 1 << colours[j]
            twice |= once & bit
            once |= bit
        for at in range(starts[i], starts[i + 1]):
            j = indices[at]
            if j >= i:
                alone = not twice >> colours[j] & 1  # in row i; otherwise row j has i alone in its colour
                entries[at] = sums[i * used + colours[j]] if alone else sums[j * used + colours[i]]
                entries[place[j]] = entries[at]
                place[j] += 1
    return entries
