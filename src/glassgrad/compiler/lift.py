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

The cost is n log n in the scalar nodes, and nothing depends on hashes or addresses.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from typing import Any, Final

import numpy as np

from .canonical import Canonical
from .products import Rows, as_operand, gathered, is_window, products
from .program import Block, Contract, Instruction, Map, Program
from .scalars import CONST, Scalars

__all__ = ["lift"]

Array = np.ndarray[Any, Any]

PAYS: Final = 256  # products of scalars from which an instruction of their own costs less than gathering them


def lift(
    scalars: Scalars,
    given: Sequence[tuple[str, list[int], tuple[int, ...]]],
    outputs: list[int],
    gradients: list[int],
    start: int,
) -> Program:
    """The tensor program that computes some nodes.

    Arguments:
        given: the blocks of leaves: name, nodes, shape.
        outputs, gradients: the nodes to compute.
        start: the first node of the adjoint.
    """
    canonical = Canonical(scalars, [*outputs, *gradients], start)
    placing = Placing(canonical, given, start)
    for (_, adjoint, op), members in sorted(canonical.groups().items()):
        if op == "":
            placing.sums(members, adjoint)
        else:
            placing.maps(members, op)
    return Program(
        blocks=tuple(placing.blocks),
        instructions=tuple(placing.instructions),
        outputs=as_operand(placing.places[np.array(outputs, dtype=np.int64)]),
        gradients=as_operand(placing.places[np.array(gradients, dtype=np.int64)]),
        size=placing.size,
        scalars=sum(canonical.live),
        notes=tuple(placing.notes),
    )


class Placing:
    """Instructions, and where everything stands.

    Attributes:
        places: for each node its place in the array, -1 as long as it has none.
        groups: for each node the number of its block or instruction; constants are last, for no row to begin with one.
    """

    def __init__(
        self, canonical: Canonical, given: Sequence[tuple[str, list[int], tuple[int, ...]]], start: int
    ) -> None:
        self.canonical, self.start = canonical, start
        scalars = canonical.scalars
        n = len(scalars)
        self.places = np.full(n, -1, dtype=np.int64)
        self.groups = np.zeros(n, dtype=np.int64)
        self.size = 0
        self.blocks: list[Block] = []
        self.instructions: list[Instruction] = []
        self.notes: list[str] = []
        for number, (name, nodes, shape) in enumerate(given):
            if nodes:
                self.blocks.append(Block(name, self.size, len(nodes), shape))
                self.place(np.array(nodes, dtype=np.int64), number)
        live = canonical.live
        constants = [
            i for i in range(n) if scalars.ops[i] == CONST and (live[i] or i in (canonical.one, canonical.zero))
        ]
        numbers = tuple([scalars.numbers[i] for i in constants])
        self.blocks.append(Block("c", self.size, len(constants), (len(constants),), numbers))
        self.place(np.array(constants, dtype=np.int64), n + len(given))
        self.next = len(given)

    def place(self, nodes: Array, group: int) -> None:
        """Give nodes the next places."""
        self.places[nodes] = np.arange(self.size, self.size + len(nodes))
        self.groups[nodes] = group
        self.size += len(nodes)

    def add(self, instruction: Instruction, nodes: Array) -> None:
        """Append an instruction whose results are these nodes."""
        self.instructions.append(instruction)
        self.notes.append(note(self.canonical.scalars, nodes))
        self.place(nodes, self.next)
        self.next += 1

    def maps(self, members: list[int], group: str) -> None:
        """An operation, number by number, in the order of its operands' places."""
        op, _, _ = group.partition(" ")
        nodes = np.array(members, dtype=np.int64)
        operands = self.places[np.array([self.canonical.scalars.operands[i] for i in members], dtype=np.int64)]
        order = np.lexsort(operands.T[::-1])
        columns = operands[order].T
        self.add(Map(self.size, op, tuple([as_operand(column) for column in columns])), nodes[order])

    def sums(self, members: list[int], adjoint: bool) -> None:
        """Sums of products: products of matrices where there are any, the rest gathered."""
        by_count: defaultdict[int, list[int]] = defaultdict(list)
        for i in members:
            by_count[len(self.canonical.terms[i])].append(i)
        rest: list[Rows] = []
        for count in sorted(by_count):
            if len(by_count[count]) * count < PAYS:
                rest += self.narrow(by_count[count])
                continue
            rest += self.products(np.array(by_count[count], dtype=np.int64), count, adjoint)
        for rows in self.padded(rest):
            self.contract(rows.nodes, rows.u[:, None, :], rows.v[:, None, :], rows.signs, adjoint)

    def narrow(self, members: list[int]) -> list[Rows]:
        """Sums too few for a product to pay, by their signs: the same order of terms, without arrays of one number."""
        alike: defaultdict[tuple[int, ...], list[tuple[int, list[int], list[int]]]] = defaultdict(list)
        for i in members:
            terms = []
            for sign, u, v in self.canonical.terms[i]:
                gu, gv, pu, pv = self.groups.item(u), self.groups.item(v), self.places.item(u), self.places.item(v)
                if (gu, pu) > (gv, pv):
                    gu, gv, pu, pv = gv, gu, pv, pu
                terms.append((gu, gv, sign, pu, pv))
            terms.sort()
            signs = tuple([term[2] for term in terms])
            alike[signs].append((i, [term[3] for term in terms], [term[4] for term in terms]))
        found = []
        for signs, rows in alike.items():
            columns = [np.array(column, dtype=np.int64) for column in zip(*rows, strict=True)]
            found.append(Rows(signs, *columns))
        return found

    def contract(self, nodes: Array, u: Array, v: Array, signs: tuple[int, ...], adjoint: bool) -> None:
        """Append a product."""
        self.add(Contract(self.size, as_operand(u), as_operand(v), signs, adjoint), nodes)

    def products(self, nodes: Array, count: int, adjoint: bool) -> list[Rows]:
        """Append the products of matrices among sums of so many terms, and return the other sums."""
        terms = np.array([term for i in nodes for term in self.canonical.terms[i]], dtype=np.int64)
        signs, u, v = np.moveaxis(terms.reshape(len(nodes), count, 3), 2, 0)
        rest: list[Rows] = []
        for rows, pairs in self.arranged(nodes, signs, u, v):
            rest += self.found_in(self.peeled(rows, pairs, adjoint), adjoint)
        return rest

    def found_in(self, rows: Rows, adjoint: bool) -> list[Rows]:
        """Append the products that pay, and return the other sums."""
        rest: list[Rows] = []
        for table in products(rows.u, rows.v):
            left, right = rows.u[table[:, :, 0]], rows.v[table[:, 0, :]]
            pays = table.size * len(rows.signs) >= PAYS
            if pays and (table.shape[0] < table.size or (is_window(left) and is_window(right))):
                self.contract(rows.nodes[table].ravel(), left, right, rows.signs, adjoint)
            else:
                some = table.ravel()
                rest.append(Rows(rows.signs, rows.nodes[some], rows.u[some], rows.v[some]))
        return rest

    def peeled(self, rows: Rows, pairs: Array, adjoint: bool) -> Rows:
        """Sums without the terms that are a product of windows by themselves, whose results stand in for them.

        So the gradient of a weight stays a product of matrices though a penalty adds one more term.

        Arguments:
            pairs: for each term the pair of groups that its factors stand in.
        """
        count = len(rows.signs)
        if rows.u.size < PAYS or len(np.unique(pairs)) == 1 or gathered(products(rows.u, rows.v), rows) == 0:
            return rows
        before = gathered(products(rows.u, rows.v), rows)
        kept = np.ones(count, dtype=bool)
        found: list[tuple[Array, Rows]] = []
        for pair in np.unique(pairs):
            inside = pairs == pair
            signs = tuple(np.array(rows.signs)[inside].tolist())
            part = Rows(signs, rows.nodes, rows.u[:, inside], rows.v[:, inside])
            tables = products(part.u, part.v)
            if len(signs) > 2 and len(tables) == 1 and len(tables[0]) < tables[0].size and not gathered(tables, part):
                found.append((tables[0], part))
                kept &= ~inside
        after = 2 * len(rows.nodes) * (int(kept.sum()) + len(found))
        if not found or 2 * after > before:
            return rows
        u, v = [rows.u[:, kept]], [rows.v[:, kept]]
        for table, part in found:
            places = np.empty((len(rows.nodes), 1), dtype=np.int64)
            places[table.ravel(), 0] = self.size + np.arange(table.size)
            self.contract(
                np.empty(0, dtype=np.int64), part.u[table[:, :, 0]], part.v[table[:, 0, :]], part.signs, adjoint
            )
            self.notes[-1] = f"parts of {table.size} sums"
            self.size += table.size
            u.append(places)
            v.append(np.full_like(places, self.places[self.canonical.one]))
        signs = (*np.array(rows.signs)[kept].tolist(), *[1] * len(found))
        return Rows(signs, rows.nodes, np.concatenate(u, axis=1), np.concatenate(v, axis=1))

    def padded(self, rest: list[Rows]) -> list[Rows]:
        """Sums put together, the shorter ones filled up with 0 · 1, as long as that does not double the work."""
        if not rest:
            return []
        zero, one = self.places[self.canonical.zero], self.places[self.canonical.one]
        found: list[Rows] = []
        for rows in sorted(rest, key=lambda rows: (-len(rows.signs), rows.signs)):
            short = len(rows.signs)
            for k, others in enumerate(found):
                fill = len(others.signs) - short
                if others.signs[:short] == rows.signs and fill * len(rows.nodes) <= max(PAYS, rows.u.size):
                    found[k] = Rows(
                        others.signs,
                        np.concatenate([others.nodes, rows.nodes]),
                        np.concatenate([others.u, np.pad(rows.u, ((0, 0), (0, fill)), constant_values=zero)]),
                        np.concatenate([others.v, np.pad(rows.v, ((0, 0), (0, fill)), constant_values=one)]),
                    )
                    break
            else:
                found.append(rows)
        return [rows.ordered() for rows in found]

    def arranged(self, nodes: Array, signs: Array, u: Array, v: Array) -> list[tuple[Rows, Array]]:
        """The sums whose terms, put in the order of their groups, have equal groups; and for each term its pair."""
        gu, gv, pu, pv = self.groups[u], self.groups[v], self.places[u], self.places[v]
        swap = (gu > gv) | ((gu == gv) & (pu > pv))
        gu, gv = np.where(swap, gv, gu), np.where(swap, gu, gv)
        pu, pv = np.where(swap, pv, pu), np.where(swap, pu, pv)
        order = np.lexsort((pv, pu, signs, gv, gu), axis=-1)
        signs, gu, gv, pu, pv = [np.take_along_axis(x, order, axis=1) for x in (signs, gu, gv, pu, pv)]
        alike: defaultdict[bytes, list[int]] = defaultdict(list)
        for i, row in enumerate(np.concatenate([gu, gv, signs], axis=1)):
            alike[row.tobytes()].append(i)
        found = []
        for some in alike.values():
            _, pairs = np.unique(np.stack([gu[some[0]], gv[some[0]]]), axis=1, return_inverse=True)
            found.append((Rows(tuple(signs[some[0]].tolist()), nodes[some], pu[some], pv[some]), pairs.ravel()))
        return found


def note(scalars: Scalars, nodes: Array) -> str:
    """Which scalars an instruction stands for, for a reader."""
    names = dict.fromkeys([scalars.ops[i] for i in nodes[:1000]])
    return f"{len(nodes)} scalar{'s' * (len(nodes) != 1)}: {', '.join(names)}"
