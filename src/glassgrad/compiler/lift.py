"""Lift: a scalar program as few tensor instructions.

Pipeline: trace → differentiate → **lift** → program → evaluate.

1. **Canonical form.** Sums of products: `canonical`.
2. **Groups.** A node's level is one more than the highest among its operands. Nodes of one level, one operation and one
   number of terms do not depend on each other: a group.
3. **Products.** The terms of a sum are put in the order of the groups that their operands stand in, which shows rows
   that many sums share. Where every one of R rows meets every one of S rows, these R·S sums are a matrix product, or
   one of a batch of such: `products`. A group is split only where that pays; the rest is one gathered product.
4. **Places.** The results of an instruction stand side by side, in the order of its operands, so that what reads them
   finds windows of the array.

Factors that are rolled stand on the right, so that an operand is all of one kind; where both kinds meet in one operand,
the plain numbers are spread over the examples.

The cost is n log n in the scalar nodes, and nothing depends on hashes or addresses.
"""

from __future__ import annotations

import dataclasses
from array import array
from collections import defaultdict
from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np

from .canonical import ADJOINT, TOTALS, Canonical
from .narrow import Narrow, described, ranked
from .products import PAYS, PLACE, PLACES, SECOND, Rows, as_operand, gathered, is_window, products
from .program import Block, Contract, Instruction, Map, Operand, Program, Spread
from .ragged import Ragged, counted
from .scalars import CODES, Scalars, name_of

__all__ = ["lift"]

Array = np.ndarray[Any, Any]
Sums = tuple[tuple[int, ...], Array, Array, Array]  # signs, nodes, and for each node a row of factors u and one of v


def lift(
    scalars: Scalars,
    given: Sequence[tuple[str, list[int], tuple[int, ...]]],
    outputs: list[int],
    gradients: list[int],
    start: int,
    rolled_outputs: Sequence[int] = (),
    rolled_gradients: Sequence[int] = (),
) -> Program:
    """The tensor program that computes some nodes.

    Arguments:
        given: the blocks of leaves: name, nodes, shape.
        outputs, gradients: the nodes to compute, none of them rolled.
        start: the first node of the adjoint.
        rolled_outputs, rolled_gradients: the nodes to compute for each example.
    """
    canonical = Canonical(scalars, [*outputs, *gradients, *rolled_outputs, *rolled_gradients], start)
    placing = Placing(canonical, given, start)
    order, found = groups(canonical)
    narrow = Narrow(canonical, placing.column_of_ranks, array("q", order.tobytes()))
    for group in found:
        if group.narrow and narrow.add(placing, group.start, group.end, group.adjoint, group.total):
            continue
        if canonical.codes[order[group.start]]:
            placing.maps(order[group.start : group.end])
        else:
            placing.sums(order[group.start : group.end], group)
        narrow.look_at(placing.column_of_ranks)
    results = [placing.results(outputs), placing.results(gradients)]
    rolled = [placing.results(rolled_outputs, True), placing.results(rolled_gradients, True)]
    return Program(
        blocks=tuple(placing.blocks),
        instructions=tuple(placing.instructions),
        outputs=results[0],
        gradients=results[1],
        size=placing.sizes[False],
        scalars=int(np.count_nonzero(canonical.live)),
        notes=tuple(placing.notes),
        rolled_outputs=rolled[0],
        rolled_gradients=rolled[1],
        rolled_size=placing.sizes[True],
    )


class Group(NamedTuple):
    """Nodes that do not depend on each other, from one place to another in the order of `groups`.

    Attributes:
        narrow: whether no product pays in it.
    """

    start: int
    end: int
    adjoint: bool
    total: bool
    narrow: bool


def groups(canonical: Canonical) -> tuple[Array, list[Group]]:
    """The computed nodes in order, and their groups: (level, in the adjoint?, rolled?, a total?, operation).

    Operations go by name and number of operands, sums of products first; of logsumexp, which can be filled up with
    -inf, any number of operands is in one group. In a group those with the fewest terms or operands come first.
    """
    count = canonical.count
    if not count:
        return np.zeros(0, dtype=np.int64), []
    codes, widths = np.array(canonical.codes[:count]), np.array(canonical.widths[:count], dtype=np.int64)
    any_width = codes == CODES["logsumexp"]
    shapes, which = np.unique(np.where(codes, codes + (np.where(any_width, 0, widths) << 32), 0), return_inverse=True)
    names = [f"{name_of(shape & 0xFFFFFFFF)} {shape >> 32 or ''}" if shape else "" for shape in shapes.tolist()]
    rank = np.argsort(np.argsort(names, kind="stable"), kind="stable")[which.ravel()]
    kinds = np.array(canonical.kinds[:count], dtype=np.int64)
    keys = (np.array(canonical.levels[:count], dtype=np.int64) * 8 + kinds) * (len(names) + 1) + rank
    order = np.lexsort((widths, keys))
    keys, widths, kinds = keys[order], widths[order], kinds[order]
    begins = np.concatenate([[True], np.diff(keys) != 0])
    parts = np.flatnonzero(begins | np.concatenate([[True], np.diff(widths) != 0]))
    starts = np.flatnonzero(begins)
    which_part = np.searchsorted(parts, starts)
    terms = np.diff([*parts, count]) * widths[parts]
    ragged = (np.diff([*which_part, len(parts)]) > 1) & (np.add.reduceat(terms, which_part) >= PAYS)
    narrow = (np.maximum.reduceat(terms, which_part) < PAYS) & ~ragged
    ends = [*starts[1:].tolist(), count]
    return order, [
        Group(*fields)
        for fields in zip(
            starts.tolist(), ends, (kinds[starts] & ADJOINT > 0).tolist(), (kinds[starts] & TOTALS > 0).tolist(),
            narrow.tolist(), strict=False,
        )
    ]  # fmt: skip


class Placing:
    """Instructions, and where everything stands.

    Attributes:
        ranks: what nodes are sorted by: whether a node is rolled, and so in which array it stands; its group, which is
            the number of its block or instruction, constants last, for no row to begin with one; its place.
        sizes: of both arrays.
        copies: where the rolled copy of a place stands that is not rolled.
    """

    def __init__(
        self, canonical: Canonical, given: Sequence[tuple[str, list[int], tuple[int, ...]]], start: int
    ) -> None:
        self.canonical, self.start = canonical, start
        scalars = canonical.scalars
        n = len(scalars)
        self.column_of_ranks = array("q", [0]) * n
        self.ranks = np.asarray(self.column_of_ranks)
        self.ranks[:] = np.asarray(scalars.rolled, dtype=np.int64) << 2 * PLACE
        self.sizes = {False: 0, True: 0}
        self.copies: dict[int, int] = {}
        self.blocks: list[Block] = []
        self.instructions: list[Instruction] = []
        self.notes: list[str] = []
        for number, (name, nodes, shape) in enumerate(given):
            if nodes:
                rolled = scalars.rolled[nodes[0]]
                self.blocks.append(Block(name, self.sizes[rolled], len(nodes), shape, rolled=rolled))
                self.place(np.array(nodes, dtype=np.int64), number, rolled)
        # Those that fill up come first, so that c · 1 is turned the same way for every c.
        first = [canonical.one, canonical.zero, *[canonical.low] * (canonical.low >= 0)]
        live = np.array(canonical.live[:n], dtype=bool)
        live[first] = False
        others = np.flatnonzero(live & (np.asarray(scalars._codes)[:n] == CODES["const"]))
        constants = np.concatenate([np.array(first, dtype=np.int64), others])
        numbers = tuple(np.array(scalars.numbers)[constants].tolist())
        self.blocks.append(Block("c", self.sizes[False], len(constants), (len(constants),), numbers))
        self.place(constants, n + len(given), False)
        count = canonical.count
        self.nodes = np.array(canonical.nodes[:count], dtype=np.int64)
        self.firsts = np.array(canonical.firsts[:count], dtype=np.int64)
        self.widths = np.array(canonical.widths[:count], dtype=np.int64)
        # Of 64 bits, and read by `take`: that is four times as fast as with other indices.
        self.left, self.right = (np.array(x, dtype=np.int64) for x in (canonical.left, canonical.right))
        self.signs = 1 - 2 * np.asarray(canonical.negative).astype(np.int64)
        self.starts, self.below = np.asarray(scalars._starts), np.asarray(scalars._below)
        self.next = len(given)
        self.known = n

    def place(self, nodes: Array, group: int, rolled: bool) -> None:
        """Give nodes the next places; -1 is a place that no node has."""
        ranks = np.arange(self.sizes[rolled], self.sizes[rolled] + len(nodes)) | ranked(0, group, rolled)
        known = nodes >= 0
        self.ranks[nodes[known]] = ranks[known]
        self.sizes[rolled] += len(nodes)

    def parts(self, count: int, rolled: bool) -> Array:
        """Nodes beyond those of the scalar program, for parts of sums."""
        start, self.known = self.known, self.known + count
        if self.known > len(self.ranks):  # twice as many as there were, or as are needed
            self.column_of_ranks = self.column_of_ranks + array("q", [0]) * self.known
            self.ranks = np.asarray(self.column_of_ranks)
        self.ranks[start : self.known] = ranked(0, 0, rolled)
        return np.arange(start, self.known)

    def places(self, nodes: Array) -> Array:
        """Where nodes stand in their arrays."""
        return self.ranks.take(nodes) & PLACES

    def rolled(self, nodes: Array) -> Array:
        """Whether they are rolled."""
        return self.ranks.take(nodes) >= SECOND

    def groups(self, nodes: Array) -> Array:
        """Their groups."""
        return self.ranks.take(nodes) >> PLACE & PLACES

    def add(self, instruction: Instruction, nodes: Array) -> None:
        """Append an instruction whose results are these nodes."""
        self.instructions.append(instruction)
        self.notes.append(note(self.canonical.scalars, nodes[nodes >= 0]))
        self.place(nodes, self.next, instruction.rolled)
        self.next += 1

    def results(self, nodes: Sequence[int], rolled: bool = False) -> Operand:
        """Where some nodes stand."""
        some = np.array(nodes, dtype=np.int64)
        return as_operand(self.aligned(self.places(some), self.rolled(some)) if rolled else self.places(some), rolled)

    def aligned(self, places: Array, rolled: Array) -> Array:
        """The places of nodes in the array of rolled ones, to which those are copied that are not."""
        missing = [p for p in np.unique(places[~rolled]).tolist() if p not in self.copies]
        if missing:
            start = self.sizes[True]
            self.instructions.append(Spread(start, as_operand(np.array(missing, dtype=np.int64), False)))
            self.notes.append(f"{len(missing)} number{'s' * (len(missing) != 1)} for every example")
            self.copies |= dict(zip(missing, range(start, start + len(missing)), strict=True))
            self.sizes[True] += len(missing)
            self.next += 1
        out = places.copy()
        out[~rolled] = [self.copies[p] for p in places[~rolled].tolist()]
        return out

    def column(self, nodes: Array) -> tuple[Array, bool]:
        """The places of nodes in one array, and whether that is the one of rolled numbers."""
        ranks = self.ranks.take(nodes)
        places = ranks & PLACES
        if not self.sizes[True]:
            return places, False
        rolled = ranks >= SECOND
        if not rolled.any():
            return places, False
        return (places, True) if rolled.all() else (self.aligned(places, rolled), True)

    def maps(self, members: Array) -> None:
        """An operation, number by number, in the order of its operands' places."""
        nodes = self.nodes[members]
        widths = self.widths[members]
        width = int(widths.max())
        if width * len(members) > 2 * widths.sum():  # of logsumexp: filled up, it would do twice the work
            self.maps(members[2 * widths <= width])
            self.maps(members[2 * widths > width])
            return
        along = np.minimum(np.arange(width), widths[:, None] - 1)
        operands = self.below[self.starts[nodes][:, None] + along]
        operands[np.arange(width) >= widths[:, None]] = self.canonical.low
        order = np.lexsort(self.places(operands).T[::-1])
        columns = [self.column(operands[order, k]) for k in range(width)]
        found = tuple([as_operand(column, rolled) for column, rolled in columns])
        offset = self.sizes[any(rolled for _, rolled in columns)]
        self.add(Map(offset, name_of(self.canonical.codes[members[0]]), found), nodes[order])

    def sums(self, members: Array, group: Group) -> None:
        """Sums of products: products of matrices where there are any, the rest gathered."""
        adjoint, total = group.adjoint, group.total
        rest, members = self.ragged(members, adjoint, total)
        for start, end in stretches(self.widths[members]):
            some = members[start:end]
            terms = self.firsts[some][:, None] + np.arange(self.widths[some[0]])
            sums = self.nodes[some], self.signs[terms], self.left[terms], self.right[terms]
            rest += self.narrow(*sums) if terms.size < PAYS else self.products(*sums, adjoint, total)
        for rows in self.padded(rest):
            self.contract(rows, rows.nodes, rows.u[:, None, :], rows.v[:, None, :], adjoint, total)

    def ragged(self, members: Array, adjoint: bool, total: bool) -> tuple[list[Rows], Array]:
        """Append products among sums of different length, where the shorter ones have some of the longer ones' factors.

        Those that no product pays for are returned, and the sums for which this was not tried.
        """
        lengths = self.widths[members]
        if lengths[0] == lengths[-1] or lengths.sum() < PAYS:
            return [], members
        starts = np.cumsum(lengths) - lengths
        terms = np.repeat(self.firsts[members], lengths) + counted(lengths)
        signs, u, v = self.signs[terms], *self.turned(self.left[terms], self.right[terms])
        kinds = (self.groups(u) << PLACE | self.groups(v)) << 1 | (signs > 0)
        first = np.minimum.reduceat(kinds, starts)
        alone = first == np.maximum.reduceat(kinds, starts)  # all terms have their factors in the same two groups
        rest: list[Rows] = []
        left_over = np.ones(len(members), dtype=bool)
        by_kind = np.flatnonzero(alone)
        by_kind = by_kind[np.argsort(first[by_kind], kind="stable")]
        for start, end in stretches(first[by_kind]):
            some = by_kind[start:end]
            counts = lengths[some]
            if counts[0] == counts[-1] or counts.sum() < PAYS:
                continue
            inside = np.repeat(starts[some], counts) + counted(counts)
            left, right = u[inside], v[inside]
            sides = (Ragged(counts, right, self.places(right)), Ragged(counts, left, self.places(left)))
            side = min(sides, key=lambda side: side.distinct)
            if side.size > 2 * counts.sum():
                continue
            left_over[some] = False
            sign, nodes = int(signs[starts[some[0]]]), self.nodes[members[some]]
            for sums, *factors in side.filled_up(left if side is sides[0] else right, self.canonical.zero):
                rows = self.rows((sign,) * factors[0].shape[1], nodes[sums], *factors)
                rest += self.found_in(rows, adjoint, total)
        return rest, members[left_over]

    def narrow(self, nodes: Array, signs: Array, u: Array, v: Array) -> list[Rows]:
        """Sums too few for a product to pay, by their signs."""
        u, v = self.turned(u, v)
        order = np.lexsort((signs, self.ranks.take(v), self.ranks.take(u)), axis=-1)
        signs, u, v = reordered(order, signs, u, v)
        alike: defaultdict[tuple[int, ...], list[int]] = defaultdict(list)
        for i, row in enumerate(signs.tolist()):
            alike[tuple(row)].append(i)
        return [self.rows(row, nodes[some], u[some], v[some]) for row, some in alike.items()]

    def turned(self, u: Array, v: Array) -> tuple[Array, Array]:
        """The factors of terms, each with the lower one first."""
        swap = self.ranks.take(u) > self.ranks.take(v)
        if not swap.any():
            return u, v
        return (v, u) if swap.all() else (np.where(swap, v, u), np.where(swap, u, v))

    def rows(self, signs: tuple[int, ...], nodes: Array, u: Array, v: Array) -> Rows:
        """Sums, from the nodes of their factors."""
        left, left_rolled = self.column(u)
        right, right_rolled = self.column(v)
        return Rows(signs, nodes, left, right, (left_rolled, right_rolled))

    def contract(self, rows: Rows, nodes: Array, u: Array, v: Array, adjoint: bool, total: bool) -> None:
        """Append a product of some of these rows."""
        left, right = as_operand(u, rows.rolled[0]), as_operand(v, rows.rolled[1])
        total = total and any(rows.rolled)
        offset = self.sizes[any(rows.rolled) and not total]
        self.add(Contract(offset, left, right, rows.signs, adjoint, total), nodes)

    def products(self, nodes: Array, signs: Array, u: Array, v: Array, adjoint: bool, total: bool) -> list[Rows]:
        """Append the products of matrices among sums of so many terms, and return the other sums."""
        rest: list[Rows] = []
        for some in self.arranged(nodes, signs, u, v):
            sums = some if total else self.peeled(self.parted(some, adjoint), adjoint)
            rest += self.found_in(self.rows(*sums), adjoint, total)
        return rest

    def found_in(self, rows: Rows, adjoint: bool, total: bool) -> list[Rows]:
        """Append the products that pay, and return the other sums."""
        rest: list[Rows] = []
        for table in products(rows.u, rows.v):
            left, right = table.sides(rows)
            pays = table.sums.size * len(rows.signs) >= PAYS
            shares = table.full and table.sums.shape[0] < table.sums.size
            if pays and (shares or (is_window(left) and is_window(right))):
                sums = table.sums.ravel()
                nodes = np.where(sums < 0, -1, rows.nodes[sums])
                self.contract(rows, nodes, left, right, adjoint, total)
            else:
                rest.append(rows.some(table.sums[table.sums >= 0]))
        return rest

    def without(self, sums: Sums, which: Array, adjoint: bool) -> Sums:
        """Sums in which one term stands for some others, which are appended as products by themselves."""
        signs, nodes, u, v = sums
        part = self.rows(tuple(np.array(signs)[which].tolist()), nodes, u[:, which], v[:, which])
        part = dataclasses.replace(part, nodes=self.parts(len(nodes), any(part.rolled)))
        for rows in self.found_in(part, adjoint, False):
            self.contract(rows, rows.nodes, rows.u[:, None, :], rows.v[:, None, :], adjoint, False)
        ones = np.full_like(part.nodes, self.canonical.one)
        return (
            (*np.array(signs)[~which].tolist(), 1),
            nodes,
            np.column_stack([u[:, ~which], ones if any(part.rolled) else part.nodes]),
            np.column_stack([v[:, ~which], part.nodes if any(part.rolled) else ones]),
        )

    def parted(self, sums: Sums, adjoint: bool) -> Sums:
        """Sums whose left factors are all plain numbers or all rolled: spreading a matrix over the examples is dear."""
        _, _, u, _ = sums
        if not self.sizes[True]:
            return sums
        plain = ~self.rolled(u[0])
        if plain.sum() < 2 or plain.all() or u[:, plain].size < PAYS:
            return sums
        return self.without(sums, plain, adjoint)

    def peeled(self, sums: Sums, adjoint: bool) -> Sums:
        """Sums without the terms that are a product by themselves, whose results stand in for them.

        So the gradient of a weight stays a product of matrices though a penalty adds one more term.
        """
        signs, nodes, u, v = sums
        if u.size < PAYS or len(nodes) == 1:
            return sums
        kinds = self.groups(u[0]) << PLACE | self.groups(v[0])
        if (kinds == kinds[0]).all():
            return sums
        _, pairs, counts = np.unique(kinds, return_inverse=True, return_counts=True)
        if counts.max() < 3:
            return sums
        rows = self.rows(*sums)
        before = gathered(products(rows.u, rows.v), rows)
        after = 2 * len(nodes) * len(signs)
        found: list[Array] = []
        for pair in np.flatnonzero(counts > 2).tolist() if before else ():
            inside = pairs.ravel() == pair
            part = rows.terms(inside)
            tables = products(part.u, part.v)
            if len(tables) == 1 and len(tables[0].sums) < tables[0].sums.size and tables[0].full:
                found.append(inside)
                after += gathered(tables, part) - 2 * len(nodes) * (len(part.signs) - 1)
        if not found or 2 * after > before:
            return sums
        for k, inside in enumerate(found):
            left = ~np.any(found[:k], axis=0) if k else np.ones_like(inside)  # the others come last, one for each part
            sums = self.without(sums, np.concatenate([inside[left], np.zeros(k, dtype=bool)]), adjoint)
        return sums

    def padded(self, rest: list[Rows]) -> list[Rows]:
        """Sums put together, the shorter ones filled up with 0 · 1, as long as that does not double the work."""
        found: list[Rows] = []
        for rows in sorted(rest, key=lambda rows: (rows.rolled, -len(rows.signs), rows.signs)):
            short = len(rows.signs)
            for k, others in enumerate(found):
                fill = len(others.signs) - short
                if (
                    others.signs[:short] == rows.signs and others.rolled == rows.rolled
                    and fill * len(rows.nodes) <= max(PAYS, rows.u.size)
                ):  # fmt: skip
                    found[k] = Rows(
                        others.signs,
                        np.concatenate([others.nodes, rows.nodes]),
                        np.concatenate([others.u, self.filled(rows.u, fill, self.canonical.zero, rows.rolled[0])]),
                        np.concatenate([others.v, self.filled(rows.v, fill, self.canonical.one, rows.rolled[1])]),
                        rows.rolled,
                    )
                    break
            else:
                found.append(rows)
        return [rows.ordered() for rows in found]

    def filled(self, places: Array, fill: int, node: int, rolled: bool) -> Array:
        """Rows of places, longer by a constant."""
        if not fill:
            return places
        place = self.places(np.array([node]))
        if rolled:
            place = self.aligned(place, np.zeros(1, dtype=bool))
        return np.concatenate([places, np.full((len(places), fill), place[0])], axis=1)

    def arranged(self, nodes: Array, signs: Array, u: Array, v: Array) -> list[Sums]:
        """The sums whose terms, put in the order of their groups, have equal groups."""
        u, v = self.turned(u, v)
        first, second = self.ranks.take(u), self.ranks.take(v)
        kinds = ((first >> PLACE & PLACES) << PLACE | second >> PLACE & PLACES) << 1 | (signs > 0)
        places = (first & PLACES) << PLACE | second & PLACES
        if (kinds == kinds[:, :1]).all():
            if not (places[:, 1:] >= places[:, :-1]).all():
                signs, u, v = reordered(np.argsort(places, axis=1, kind="stable"), signs, u, v)
        else:
            signs, u, v, kinds = reordered(np.lexsort((places, kinds), axis=1), signs, u, v, kinds)
        if (kinds == kinds[0]).all():
            return [(tuple(signs[0].tolist()), nodes, u, v)]
        alike: defaultdict[bytes, list[int]] = defaultdict(list)
        for i, row in enumerate(kinds):
            alike[row.tobytes()].append(i)
        return [(tuple(signs[some[0]].tolist()), nodes[some], u[some], v[some]) for some in alike.values()]


def note(scalars: Scalars, nodes: Array) -> str:
    """Which scalars an instruction stands for, for a reader."""
    if len(nodes) and nodes[0] >= len(scalars):
        return f"parts of {len(nodes)} sums"
    codes = dict.fromkeys(np.asarray(scalars._codes).take(nodes[:1000]).tolist())
    return described(len(nodes), list(map(name_of, codes)))


def stretches(column: Array) -> Iterator[tuple[int, int]]:
    """Where equal numbers stand side by side: from where to where."""
    if len(column):
        yield from pairwise([0, *(np.flatnonzero(np.diff(column)) + 1).tolist(), len(column)])


def reordered(order: Array, *tables: Array) -> list[Array]:
    """Tables with the entries of each row in another order."""
    places = order + order.shape[1] * np.arange(len(order))[:, None]
    return [np.ascontiguousarray(table).take(places) for table in tables]
