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
from collections import defaultdict
from collections.abc import Sequence
from typing import Any, Final

import numpy as np

from .canonical import Canonical
from .products import Rows, as_operand, gathered, is_window, products, supersets
from .program import Block, Contract, Instruction, Map, Operand, Program, Spread
from .scalars import CONST, Scalars

__all__ = ["lift"]

Array = np.ndarray[Any, Any]
Sums = tuple[tuple[int, ...], Array, Array, Array]  # signs, nodes, and for each node a row of factors u and one of v

PAYS: Final = 256  # products of scalars from which an instruction of their own costs less than gathering them


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
    for (_, adjoint, _, total, op), members in sorted(canonical.groups().items()):
        if op == "":
            placing.sums(members, adjoint, total)
        else:
            placing.maps(members, op)
    results = [placing.results(outputs), placing.results(gradients)]
    rolled = [placing.results(rolled_outputs, True), placing.results(rolled_gradients, True)]
    return Program(
        blocks=tuple(placing.blocks),
        instructions=tuple(placing.instructions),
        outputs=results[0],
        gradients=results[1],
        size=placing.sizes[False],
        scalars=sum(canonical.live),
        notes=tuple(placing.notes),
        rolled_outputs=rolled[0],
        rolled_gradients=rolled[1],
        rolled_size=placing.sizes[True],
    )


class Placing:
    """Instructions, and where everything stands.

    Attributes:
        places: for each node its place in its array, -1 as long as it has none.
        groups: for each node the number of its block or instruction; constants are last, for no row to begin with one.
        rolled: for each node whether it is rolled, and so in which array it stands.
        sizes: of both arrays.
        copies: where the rolled copy of a place stands that is not rolled.
    """

    def __init__(
        self, canonical: Canonical, given: Sequence[tuple[str, list[int], tuple[int, ...]]], start: int
    ) -> None:
        self.canonical, self.start = canonical, start
        scalars = canonical.scalars
        n = len(scalars)
        self.places = np.full(n, -1, dtype=np.int64)
        self.groups = np.zeros(n, dtype=np.int64)
        self.rolled = np.array(scalars.rolled, dtype=bool)
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
        live = canonical.live
        first = [
            canonical.one,
            canonical.zero,
            *[canonical.low] * (canonical.low >= 0),
        ]  # so that c · 1 is turned the same way for every c
        constants = [*first, *[i for i in range(n) if scalars.ops[i] == CONST and live[i] and i not in first]]
        numbers = tuple([scalars.numbers[i] for i in constants])
        self.blocks.append(Block("c", self.sizes[False], len(constants), (len(constants),), numbers))
        self.place(np.array(constants, dtype=np.int64), n + len(given), False)
        self.next = len(given)
        self.known = n

    def place(self, nodes: Array, group: int, rolled: bool) -> None:
        """Give nodes the next places; -1 is a place that no node has."""
        places = np.arange(self.sizes[rolled], self.sizes[rolled] + len(nodes))
        known = nodes >= 0
        self.places[nodes[known]] = places[known]
        self.groups[nodes[known]] = group
        self.sizes[rolled] += len(nodes)

    def parts(self, count: int, rolled: bool) -> Array:
        """Nodes beyond those of the scalar program, for parts of sums."""
        start, self.known = self.known, self.known + count
        if self.known > len(self.places):
            more = np.zeros(self.known, dtype=np.int64)  # twice as many as there were, or as are needed
            self.places, self.groups = np.concatenate([self.places, more]), np.concatenate([self.groups, more])
            self.rolled = np.concatenate([self.rolled, more > 0])
        self.rolled[start : self.known] = rolled
        return np.arange(start, self.known)

    def add(self, instruction: Instruction, nodes: Array) -> None:
        """Append an instruction whose results are these nodes."""
        self.instructions.append(instruction)
        self.notes.append(note(self.canonical.scalars, nodes[nodes >= 0]))
        self.place(nodes, self.next, instruction.rolled)
        self.next += 1

    def results(self, nodes: Sequence[int], rolled: bool = False) -> Operand:
        """Where some nodes stand."""
        some = np.array(nodes, dtype=np.int64)
        return as_operand(self.aligned(self.places[some], self.rolled[some]) if rolled else self.places[some], rolled)

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

    def column(self, places: Array, rolled: Array) -> tuple[Array, bool]:
        """Places in one array, and whether that is the one of rolled numbers."""
        if not rolled.any():
            return places, False
        return (places, True) if rolled.all() else (self.aligned(places, rolled), True)

    def maps(self, members: list[int], group: str) -> None:
        """An operation, number by number, in the order of its operands' places."""
        op, _, _ = group.partition(" ")
        nodes = np.array(members, dtype=np.int64)
        rows = [self.canonical.scalars.operands[i] for i in members]
        longest = max(map(len, rows))
        if longest * len(rows) > 2 * sum(map(len, rows)):  # of logsumexp: filled up, it would do twice the work
            for short in (True, False):
                some = [i for i, row in zip(members, rows, strict=True) if (2 * len(row) <= longest) == short]
                self.maps(some, group)
            return
        rows = [(*row, *[self.canonical.low] * (longest - len(row))) for row in rows]
        operands = np.array(rows, dtype=np.int64)
        places = self.places[operands]
        order = np.lexsort(places.T[::-1])
        columns = [self.column(places[order, k], self.rolled[operands[order, k]]) for k in range(operands.shape[1])]
        found = tuple([as_operand(column, rolled) for column, rolled in columns])
        self.add(Map(self.sizes[any(rolled for _, rolled in columns)], op, found), nodes[order])

    def sums(self, members: list[int], adjoint: bool, total: bool) -> None:
        """Sums of products: products of matrices where there are any, the rest gathered."""
        by_count: defaultdict[int, list[int]] = defaultdict(list)
        for i in members:
            by_count[len(self.canonical.terms[i])].append(i)
        rest = self.ragged(by_count, adjoint, total)
        for count in sorted(by_count):
            if len(by_count[count]) * count < PAYS:
                rest += self.narrow(by_count[count])
                continue
            rest += self.products(np.array(by_count[count], dtype=np.int64), count, adjoint, total)
        for rows in self.padded(rest):
            self.contract(rows, rows.nodes, rows.u[:, None, :], rows.v[:, None, :], adjoint, total)

    def ragged(self, by_count: dict[int, list[int]], adjoint: bool, total: bool) -> list[Rows]:
        """Append products among sums of different length, where the shorter ones have some of the longer ones' factors.

        As in causal attention, Σ_s w[t, s] · v[s] for s up to t: with w = 0 where there is none, each sum has all of v.
        The sums are taken out of `by_count`; those that no product pays for are returned.
        """
        if len(by_count) < 2 or sum([count * len(some) for count, some in by_count.items()]) < PAYS:
            return []
        members = [i for count in sorted(by_count) for i in by_count[count]]
        lengths = np.array([len(self.canonical.terms[i]) for i in members])
        terms = np.array([term for i in members for term in self.canonical.terms[i]], dtype=np.int64)
        signs, u, v = terms[:, 0], *self.turned(terms[:, 1], terms[:, 2])
        kinds = (self.groups[u] * (self.next + len(self.places) + 1) + self.groups[v]) * 2 + (signs > 0)
        starts = np.cumsum(lengths) - lengths
        first = np.minimum.reduceat(kinds, starts)
        alone = first == np.maximum.reduceat(kinds, starts)  # all terms have their factors in the same two groups
        rest: list[Rows] = []
        taken: set[int] = set()
        for kind in np.unique(first[alone]):
            some = np.flatnonzero(alone & (first == kind))
            if len(np.unique(lengths[some])) < 2 or lengths[some].sum() < PAYS:
                continue
            rows = [
                (members[k], u[starts[k] : starts[k] + lengths[k]], v[starts[k] : starts[k] + lengths[k]]) for k in some
            ]
            sides = (self.filled_up(rows), self.filled_up([(i, w, x) for i, x, w in rows]))
            found = min(sides, key=lambda side: len({row.tobytes() for _, _, right in side for row in right}))
            if sum([left.size for _, left, _ in found]) > 2 * lengths[some].sum():
                continue
            taken.update([i for i, _, _ in rows])
            for nodes, left, right in found:
                sums = self.rows((int(signs[starts[some[0]]]),) * left.shape[1], nodes, left, right)
                rest += self.found_in(sums, adjoint, total)
        for count, several in by_count.items():
            by_count[count] = [i for i in several if i not in taken]
        return rest

    def filled_up(self, sums: list[tuple[int, Array, Array]]) -> list[tuple[Array, Array, Array]]:
        """Sums u · v by their length, each on the longest row of `v` that has all of its own, with 0 for the others."""
        by_place = [np.argsort(self.places[v]) for _, _, v in sums]
        rows = [tuple(v[order].tolist()) for (_, _, v), order in zip(sums, by_place, strict=True)]
        wider = supersets(rows)
        if any(len(set(row)) < len(row) for row in wider):  # a factor that occurs twice
            wider = {row: row for row in wider}
        found: defaultdict[int, list[tuple[int, list[int], tuple[int, ...]]]] = defaultdict(list)
        for (i, u, _), order, row in zip(sums, by_place, rows, strict=True):
            wide = wider[row]
            if wide == row:
                filled = u[order].tolist()
            else:
                factors = dict(zip(row, u[order].tolist(), strict=True))
                filled = [factors.get(x, self.canonical.zero) for x in wide]
            found[len(wide)].append((i, filled, wide))
        arrays = []
        for some in found.values():
            nodes, left, right = [np.array(column, dtype=np.int64) for column in zip(*some, strict=True)]
            arrays.append((nodes, left, right))
        return arrays

    def turned(self, u: Array, v: Array) -> tuple[Array, Array]:
        """Factors of products, turned so that plain numbers stand left of rolled ones and groups are in order."""
        swap = np.zeros(u.shape, dtype=bool)
        undecided = ~swap
        for key in (self.rolled, self.groups, self.places):
            swap |= undecided & (key[u] > key[v])
            undecided &= key[u] == key[v]
        return np.where(swap, v, u), np.where(swap, u, v)

    def narrow(self, members: list[int]) -> list[Rows]:
        """Sums too few for a product to pay, by their signs: the same order of terms, without arrays of one number."""
        alike: defaultdict[tuple[int, ...], list[tuple[int, list[int], list[int]]]] = defaultdict(list)
        places, groups, rolled = self.places, self.groups, self.canonical.scalars.rolled
        for i in members:
            terms = []
            for sign, u, v in self.canonical.terms[i]:
                first = (rolled[u], groups.item(u), places.item(u))
                second = (rolled[v], groups.item(v), places.item(v))
                u, v = (v, u) if first > second else (u, v)  # noqa: PLW2901
                terms.append((min(first, second), max(first, second), sign, u, v))
            terms.sort()
            signs = tuple([term[2] for term in terms])
            alike[signs].append((i, [term[3] for term in terms], [term[4] for term in terms]))
        found = []
        for signs, rows in alike.items():
            columns = [np.array(column, dtype=np.int64) for column in zip(*rows, strict=True)]
            found.append(self.rows(signs, *columns))
        return found

    def rows(self, signs: tuple[int, ...], nodes: Array, u: Array, v: Array) -> Rows:
        """Sums, from the nodes of their factors."""
        left, left_rolled = self.column(self.places[u], self.rolled[u])
        right, right_rolled = self.column(self.places[v], self.rolled[v])
        return Rows(signs, nodes, left, right, (left_rolled, right_rolled))

    def contract(self, rows: Rows, nodes: Array, u: Array, v: Array, adjoint: bool, total: bool) -> None:
        """Append a product of some of these rows."""
        left, right = as_operand(u, rows.rolled[0]), as_operand(v, rows.rolled[1])
        step = Contract(0, left, right, rows.signs, adjoint, total and any(rows.rolled))
        self.add(dataclasses.replace(step, offset=self.sizes[step.rolled]), nodes)

    def products(self, nodes: Array, count: int, adjoint: bool, total: bool) -> list[Rows]:
        """Append the products of matrices among sums of so many terms, and return the other sums."""
        terms = np.array([term for i in nodes for term in self.canonical.terms[i]], dtype=np.int64)
        signs, u, v = np.moveaxis(terms.reshape(len(nodes), count, 3), 2, 0)
        rest: list[Rows] = []
        for some in self.arranged(nodes, signs, u, v):
            sums = some if total else self.peeled(self.parted(some, adjoint), adjoint)
            rest += self.found_in(self.rows(*sums), adjoint, total)
        return rest

    def found_in(self, rows: Rows, adjoint: bool, total: bool) -> list[Rows]:
        """Append the products that pay, and return the other sums."""
        rest: list[Rows] = []
        for table in products(rows.u, rows.v):
            left, right = rows.u[table.left], rows.v[table.right]
            pays = table.sums.size * len(rows.signs) >= PAYS
            windows = is_window(left) and is_window(right)
            if pays and (windows or (table.full and table.sums.shape[0] < table.sums.size)):
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
        plain = ~self.rolled[u[0]]
        if plain.sum() < 2 or plain.all() or u[:, plain].size < PAYS:
            return sums
        return self.without(sums, plain, adjoint)

    def peeled(self, sums: Sums, adjoint: bool) -> Sums:
        """Sums without the terms that are a product by themselves, whose results stand in for them.

        So the gradient of a weight stays a product of matrices though a penalty adds one more term.
        """
        signs, nodes, u, v = sums
        if u.size < PAYS:
            return sums
        _, pairs = np.unique(np.stack([self.groups[u[0]], self.groups[v[0]]]), axis=1, return_inverse=True)
        pairs = pairs.ravel()
        if len(np.unique(pairs)) == 1:
            return sums
        rows = self.rows(*sums)
        before = gathered(products(rows.u, rows.v), rows)
        after = 2 * len(nodes) * len(signs)
        found: list[Array] = []
        for pair in np.unique(pairs) if before else ():
            inside = pairs == pair
            part = rows.terms(inside)
            tables = products(part.u, part.v)
            alone = len(tables) == 1 and len(tables[0].sums) < tables[0].sums.size and tables[0].full
            if len(part.signs) > 2 and alone:
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
        place = self.places[[node]]
        if rolled:
            place = self.aligned(place, np.zeros(1, dtype=bool))
        return np.pad(places, ((0, 0), (0, fill)), constant_values=place[0])

    def arranged(self, nodes: Array, signs: Array, u: Array, v: Array) -> list[Sums]:
        """The sums whose terms, put in the order of their groups, have equal groups."""
        u, v = self.turned(u, v)
        order = np.lexsort((self.places[v], self.places[u], signs, self.groups[v], self.groups[u]), axis=-1)
        signs, u, v = [np.take_along_axis(x, order, axis=1) for x in (signs, u, v)]
        alike: defaultdict[bytes, list[int]] = defaultdict(list)
        for i, row in enumerate(np.concatenate([self.groups[u], self.groups[v], signs], axis=1)):
            alike[row.tobytes()].append(i)
        return [(tuple(signs[some[0]].tolist()), nodes[some], u[some], v[some]) for some in alike.values()]


def note(scalars: Scalars, nodes: Array) -> str:
    """Which scalars an instruction stands for, for a reader."""
    if len(nodes) and nodes[0] >= len(scalars):
        return f"parts of {len(nodes)} sums"
    names = dict.fromkeys([scalars.ops[i] for i in nodes[:1000]])
    return f"{len(nodes)} scalar{'s' * (len(nodes) != 1)}: {', '.join(names)}"
