"""Lift: a scalar program as few tensor instructions.

Pipeline: trace → differentiate → **lift** → program → evaluate.

1. **Canonical form.** Chains of + - * whose inner nodes have one use become one node Σ ±u·v; all else stays as it is.
2. **Groups.** A node's level is one more than the highest among its operands. Nodes of one level, one operation and one
   number of terms do not depend on each other: a group.
3. **Products.** The terms of a sum are put in the order of the groups that their operands stand in, which shows rows
   that many sums share. Where every one of R rows meets every one of S rows, these R·S sums are a matrix product, or
   one of a batch of such. A group is split only where that pays; what is left is one gathered product.
4. **Places.** The results of an instruction stand side by side, in the order of its operands, so that what reads them
   finds windows of the array.

The cost is n log n in the scalar nodes, and nothing depends on hashes or addresses.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from typing import Any, Final

import numpy as np

from .program import Block, Contract, Gather, Instruction, Map, Operand, Program, View
from .scalars import CONST, LEAF, Scalars

__all__ = ["lift"]

Array = np.ndarray[Any, Any]
Term = tuple[int, int, int]  # a sign and two factors

PAYS: Final = 32  # products of scalars from which an instruction of their own costs less than gathering them
FLIPS: Final = 8  # terms that a minus sign may run over: chains of a - (b - (c - …)) would cost the square


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
    one = scalars.const(1.0)
    canonical = Canonical(scalars, [*outputs, *gradients], one, start)
    placing = Placing(canonical, given, start)
    for (_, adjoint, op, count), members in sorted(canonical.groups().items()):
        if op == "":
            placing.sums(members, count, adjoint)
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


class Canonical:
    """The nodes that are computed: sums of products, and all others as they are.

    Attributes:
        live: for each node whether a result depends on it.
        terms: for each node that is a sum of products its terms; nodes that became part of another one have none.
    """

    def __init__(self, scalars: Scalars, results: list[int], one: int, start: int) -> None:
        self.scalars, self.one, self.start = scalars, one, start
        n = len(scalars)
        self.uses = [0] * n
        self.live = [False] * n
        for i in results:
            self.live[i] = True
            self.uses[i] += 2  # what is asked for stays a node
        for i in range(n - 1, -1, -1):
            if self.live[i]:
                for j in scalars.operands[i]:
                    self.live[j] = True
                    self.uses[j] += 1
        self.terms: dict[int, list[Term]] = {}
        self.inlined = [False] * n
        for i in range(n):
            if self.live[i]:
                found = self.sum_of(i)
                if found is not None:
                    self.terms[i] = found

    def sum_of(self, i: int) -> list[Term] | None:
        """A node as a sum of products; None where it is none."""
        op, below = self.scalars.ops[i], self.scalars.operands[i]
        one = self.one
        match op:
            case "add" | "sum":
                return self.joined([(1, j) for j in below], i)
            case "sub":
                return self.joined([(1, below[0]), (-1, below[1])], i)
            case "neg":
                return self.joined([(-1, below[0])], i)
            case "identity":
                return [(1, below[0], one)]
            case "mul":
                return [(1, below[0], below[1])]
            case "square":
                return [(1, below[0], below[0])]
            case "dot":
                half = len(below) // 2
                return [(1, u, v) for u, v in zip(below[:half], below[half:], strict=True)]
            case "mean":
                share = self.scalars.const(1.0 / len(below))
                self.know(share)
                return [(1, j, share) for j in below]
            case "pow" if self.number(below[1]) == 2.0:
                return [(1, below[0], below[0])]
            case "div":
                c = self.number(below[1])
                if c is not None and 1e-290 < abs(c) < 1e290:
                    inverse = self.scalars.const(1.0 / c)
                    self.know(inverse)
                    return [(1, below[0], inverse)]
        return None

    def know(self, const: int) -> None:
        """Note a constant that was made just now, or may be dead until now."""
        new = len(self.scalars) - len(self.live)
        self.live += [False] * new
        self.uses += [0] * new
        self.inlined += [False] * new
        self.live[const] = True

    def number(self, i: int) -> float | None:
        """The number of a constant."""
        return self.scalars.numbers[i] if self.scalars.ops[i] == CONST else None

    def joined(self, parts: list[tuple[int, int]], i: int) -> list[Term]:
        """The terms of signed nodes, those of inner nodes taken over; the longest list as it is, for long chains."""
        lists: list[list[Term]] = []
        for sign, j in parts:
            found = self.terms.get(j)
            same_side = (j < self.start) == (i < self.start)
            if found is None or self.uses[j] != 1 or not same_side or (sign < 0 and len(found) > FLIPS):
                lists.append([(sign, j, self.one)])
                continue
            del self.terms[j]
            self.inlined[j] = True
            lists.append(found if sign > 0 else [(-s, u, v) for s, u, v in found])
        longest = max(range(len(lists)), key=lambda k: len(lists[k]))
        out = lists[longest]
        for k, part in enumerate(lists):
            if k != longest:
                out += part
        return out

    def groups(self) -> dict[tuple[int, bool, str, int], list[int]]:
        """The nodes to compute, by (level, whether in the adjoint, operation, number of terms); '' is a sum."""
        level = [0] * len(self.scalars)
        found: defaultdict[tuple[int, bool, str, int], list[int]] = defaultdict(list)
        for i, op in enumerate(self.scalars.ops):
            if i >= len(self.live) or not self.live[i] or self.inlined[i] or op in (LEAF, CONST):
                continue
            terms = self.terms.get(i)
            if terms is not None:
                level[i] = 1 + max([max(level[u], level[v]) for _, u, v in terms])
                found[(level[i], i >= self.start, "", len(terms))].append(i)
            else:
                below = self.scalars.operands[i]
                level[i] = 1 + max([level[j] for j in below])
                found[(level[i], i >= self.start, op, len(below))].append(i)
        return found


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
        constants = [i for i in range(n) if scalars.ops[i] == CONST and (live[i] or i == canonical.one)]
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

    def maps(self, members: list[int], op: str) -> None:
        """An operation, number by number, in the order of its operands' places."""
        nodes = np.array(members, dtype=np.int64)
        operands = self.places[np.array([self.canonical.scalars.operands[i] for i in members], dtype=np.int64)]
        order = np.lexsort(operands.T[::-1])
        columns = operands[order].T
        self.add(Map(self.size, op, tuple([as_operand(column) for column in columns])), nodes[order])

    def sums(self, members: list[int], count: int, adjoint: bool) -> None:
        """Sums of products: products of matrices where there are any, the rest gathered."""
        nodes = np.array(members, dtype=np.int64)
        terms = np.array([term for i in members for term in self.canonical.terms[i]], dtype=np.int64)
        signs, u, v = np.moveaxis(terms.reshape(len(members), count, 3), 2, 0)
        signs, u, v, parts = self.arranged(signs, u, v)
        rest: defaultdict[bytes, list[Array]] = defaultdict(list)
        for part in parts:
            for rows in products(u[part], v[part]):
                found = part[rows]
                size = found.size * count
                left, right = u[found[:, :, 0]], v[found[:, 0, :]]
                operands = as_operand(left), as_operand(right)
                smaller = found.shape[0] < found.size
                windows = isinstance(operands[0], View) and isinstance(operands[1], View)
                if size >= PAYS and (smaller or windows):
                    row = tuple(signs[found[0, 0, 0]].tolist())
                    self.add(Contract(self.size, *operands, row, adjoint), nodes[found].ravel())
                else:
                    rest[signs[found[0, 0, 0]].tobytes()].append(found.ravel())
        for batches in rest.values():
            found = np.sort(np.concatenate(batches))
            row = tuple(signs[found[0]].tolist())
            left, right = u[found][:, None, :], v[found][:, None, :]
            self.add(Contract(self.size, as_operand(left), as_operand(right), row, adjoint), nodes[found])

    def arranged(self, signs: Array, u: Array, v: Array) -> tuple[Array, Array, Array, list[Array]]:
        """The places of the factors, terms in the order of their groups; and the rows that have equal groups."""
        gu, gv, pu, pv = self.groups[u], self.groups[v], self.places[u], self.places[v]
        swap = (gu > gv) | ((gu == gv) & (pu > pv))
        gu, gv = np.where(swap, gv, gu), np.where(swap, gu, gv)
        pu, pv = np.where(swap, pv, pu), np.where(swap, pu, pv)
        order = np.lexsort((pv, pu, signs, gv, gu), axis=-1)
        signs, gu, gv, pu, pv = [np.take_along_axis(x, order, axis=1) for x in (signs, gu, gv, pu, pv)]
        found: defaultdict[bytes, list[int]] = defaultdict(list)
        for i, row in enumerate(np.concatenate([gu, gv, signs], axis=1)):
            found[row.tobytes()].append(i)
        return signs, pu, pv, [np.array(rows, dtype=np.int64) for rows in found.values()]


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


def as_operand(places: Array) -> Operand:
    """A view where the places have a pattern, else a gather."""
    if places.size == 0:
        return View(0, places.shape, (0,) * places.ndim)
    strides = []
    first = (0,) * places.ndim
    for axis, size in enumerate(places.shape):
        second = tuple([int(k == axis) for k in range(places.ndim)])
        strides.append(int(places[second] - places[first]) if size > 1 else 0)
    view = View(int(places[first]), places.shape, tuple(strides))
    return view if np.array_equal(view.indices(), places) else Gather(np.ascontiguousarray(places))


def note(scalars: Scalars, nodes: Array) -> str:
    """Which scalars an instruction stands for, for a reader."""
    names = dict.fromkeys([scalars.ops[i] for i in nodes[:1000]])
    return f"{len(nodes)} scalar{'s' * (len(nodes) != 1)}: {', '.join(names)}"
