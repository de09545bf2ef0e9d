"""Sparse Jacobians and Hessians: which columns can share a sweep, and how to take their sum apart again.

Columns (or rows) that have no row in common can be computed as one, so a banded matrix costs as many sweeps as its band
is wide, however large it is. A symmetric matrix needs fewer still, since each entry can be read at two places: an arrow
2, a tridiagonal matrix 3 (Gebremedhin, Manne, Pothen 2005, "What color is your Jacobian?").

A pattern is given by rows: row i has entries in the columns indices[starts[i]:starts[i + 1]], which ascend. Colours
count from 0. Sets of colours are the bits of an integer: joining two takes nanoseconds, also where a row is full.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterable

from . import modes, tape

INDEX = array("i", [0])
ZERO = array("d", [0.0])
ONE = 1  # as an object: C's has no room for the 64th colour


def packed(rows: Iterable[Iterable[int]]) -> tuple[array[int], array[int]]:
    """The pattern with these columns in each row."""
    starts, indices = array("i", [0]), array("i")
    for row in rows:
        indices.extend(row)
        starts.append(len(indices))
    return starts, indices


def transposed(starts: array[int], indices: array[int], count: int) -> tuple[array[int], array[int]]:
    """The same pattern by columns, of which there are `count`."""
    ends, rows = INDEX * (count + 1), INDEX * len(indices)
    first, columns, place, out = tape.ints(starts), tape.ints(indices), tape.ints(ends), tape.ints(rows)
    for at in range(len(indices)):
        place[columns[at] + 1] += 1
    for j in range(count):
        place[j + 1] += place[j]
    for i in range(len(starts) - 2, -1, -1):  # each column is filled from its end, where `place` is
        for at in range(first[i], first[i + 1]):
            j = columns[at] + 1
            place[j] -= 1
            out[place[j]] = i
    return array("i", [*ends[1:], len(indices)]), rows


# ---- Jacobians -----------------------------------------------------------------------------------------------------


def colour(starts: array[int], indices: array[int], count: int, mode: str | None) -> tuple[array[int], int, bool]:
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


def fullest(starts: array[int]) -> int:
    """The most entries in a row: the other direction needs at least as many colours."""
    return max([starts[i + 1] - starts[i] for i in range(len(starts) - 1)], default=0)


def colour_rows(starts: array[int], indices: array[int], count: int) -> tuple[array[int], int]:
    """A colour for each row, so that no two rows of one colour have a column in common, and how many there are.

    Greedy: each row in turn takes the first colour that is free, which for a band is the fewest there can be.
    """
    n = len(starts) - 1
    colours = INDEX * n
    first, columns, out = tape.ints(starts), tape.ints(indices), tape.ints(colours)
    taken = [0] * count  # by the rows that have an entry in this column
    used = 0
    for i in range(n):
        forbidden = 0
        for at in range(first[i], first[i + 1]):
            forbidden |= taken[columns[at]]
        bit = ~forbidden & (forbidden + 1)  # the lowest that is not set
        for at in range(first[i], first[i + 1]):
            taken[columns[at]] |= bit
        out[i] = bit.bit_length() - 1
        used = max(used, out[i] + 1)
    return colours, used


def recover(
    starts: array[int],
    indices: array[int],
    count: int,
    colours: array[int],
    used: int,
    by_column: bool,
    sums: array[float],
    entries: array[float],
) -> None:
    """Fill in the entries of a matrix, in the order of its pattern, from the sums of its columns or rows of a colour.

    Only those of the colours from 0 to used - 1 are there.
    """
    first, columns, into = tape.ints(starts), tape.ints(indices), tape.ints(colours)
    given, out = modes.doubles(sums), modes.doubles(entries)
    for i in range(len(starts) - 1):
        for at in range(first[i], first[i + 1]):
            j = columns[at]
            c = into[j] if by_column else into[i]
            if 0 <= c < used:
                out[at] = given[i * used + c] if by_column else given[c * count + j]


# ---- Hessians ------------------------------------------------------------------------------------------------------


def symmetrized(starts: array[int], indices: array[int]) -> tuple[array[int], array[int]]:
    """The pattern and its transpose in one: an entry found on one side only is zero on the other by calculation."""
    n = len(starts) - 1
    starts_across, across = transposed(starts, indices, n)
    if starts_across == starts and across == indices:
        return starts, indices
    rows = [{*indices[starts[i] : starts[i + 1]], *across[starts_across[i] : starts_across[i + 1]]} for i in range(n)]
    return packed(map(sorted, rows))


def star_colour(starts: array[int], indices: array[int]) -> tuple[array[int], int]:
    """A colour for each column of a symmetric pattern, and how many there are.

    Neighbours (columns i and j with an entry at i, j) differ, and no path of four takes two colours by turns. So two
    colours together form stars: a hub with one colour, around it the other. Each entry can then be read off: the
    spoke's row has no other neighbour of the hub's colour.

    Greedy: each column in turn takes the first colour that closes no such path.
    """
    n = len(starts) - 1
    if len(indices) == n * n:  # no two columns may share one
        return array("i", range(n)), n
    colours = array("i", [-1]) * n
    first, columns, own = tape.ints(starts), tape.ints(indices), tape.ints(colours)
    once = [0] * n  # the colours around a column
    twice = [0] * n  # those that are there more than once: it is the hub of a star with that colour around
    hubs = [0] * n  # the colours of the hubs of the stars that it is in
    earliest: dict[tuple[int, int], int] = {}  # of a colour around a column
    used = 0
    for v in range(n):
        forbidden = once[v]
        for at in range(first[v], first[v + 1]):
            w = columns[at]
            if own[w] >= 0:  # never v itself
                forbidden |= hubs[w]  # the path v, w, the hub, another one of w's colour
                if twice[v] >> own[w] & 1:
                    forbidden |= once[w]  # another one of w's colour, v, w, one around w
        bit = ~forbidden & (forbidden + 1)  # the lowest that is not set
        c = bit.bit_length() - 1
        used = max(used, c + 1)
        for at in range(first[v], first[v + 1]):
            w = columns[at]
            if w != v:
                if own[w] >= 0 and twice[v] >> own[w] & 1:
                    hubs[w] |= bit
                if not once[w] & bit:
                    once[w] |= bit
                    earliest[w, c] = v
                else:
                    twice[w] |= bit
                    if own[w] >= 0:
                        hubs[v] |= ONE << own[w]
                        hubs[earliest[w, c]] |= ONE << own[w]
        own[v] = c
    return colours, used


def recover_symmetric(
    starts: array[int], indices: array[int], colours: array[int], used: int, sums: array[float]
) -> array[float]:
    """The entries of a symmetric matrix, in the order of its pattern, from the sums of its columns of each colour.

    Entry i, j is read once and stands at both places, so the result is exactly symmetric.
    """
    n = len(starts) - 1
    entries, places, counts = ZERO * len(indices), starts[:], INDEX * used
    first, columns, into = tape.ints(starts), tape.ints(indices), tape.ints(colours)
    given, out = modes.doubles(sums), modes.doubles(entries)
    place = tape.ints(places)  # in each row, of the next entry whose mirror image was not met
    times = tape.ints(counts)  # how often a colour is in this row
    for i in range(n):
        for at in range(first[i], first[i + 1]):
            times[into[columns[at]]] += 1
        for at in range(first[i], first[i + 1]):
            j = columns[at]
            if j >= i:  # if it is not alone in its colour, i is in row j
                out[at] = given[i * used + into[j]] if times[into[j]] == 1 else given[j * used + into[i]]
                out[place[j]] = out[at]
                place[j] += 1
        for at in range(first[i], first[i + 1]):
            times[into[columns[at]]] = 0
    return entries
