"""Canonical form: a scalar program as sums of products, in groups of nodes that do not depend on each other.

Pipeline: trace → differentiate → **lift** → program → evaluate; the first half of lift.

Chains of + - * whose inner nodes have one use become one node Σ ±u·v; all else stays as it is. What is asked for stays
a node, and nodes of the adjoint take in nodes of the adjoint only.

Terms are chained, so that a list of them is appended to another at once, however long it is.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Final

try:
    import cython
except ImportError:
    from .. import _cython as cython

from . import columns
from .scalars import CODES, Scalars

__all__ = ["ADJOINT", "ROLLED", "TOTALS", "Canonical"]

FLIPS: Final = 8  # terms that a minus sign may run over: chains of a - (b - (c - …)) would cost the square
ADJOINT: Final = 4  # kinds of groups
ROLLED: Final = 2
TOTALS: Final = 1
OF_LEAF: Final = CODES["leaf"]
OF_CONST: Final = CODES["const"]
OF_TOTAL: Final = CODES["total"]
OF_ADD: Final = CODES["add"]
OF_SUM: Final = CODES["sum"]
OF_SUB: Final = CODES["sub"]
OF_NEG: Final = CODES["neg"]
OF_IDENTITY: Final = CODES["identity"]
OF_MUL: Final = CODES["mul"]
OF_SQUARE: Final = CODES["square"]
OF_DOT: Final = CODES["dot"]
OF_MEAN: Final = CODES["mean"]
OF_POW: Final = CODES["pow"]
OF_LOGSUMEXP: Final = CODES["logsumexp"]
OF_DIV: Final = CODES["div"]


@cython.final
@cython.cclass
class Canonical:
    """The nodes that are computed: sums of products, and all others as they are.

    Attributes:
        one, zero, low: the constants 1, 0 and -inf, which fill up sums and logsumexp; -1 where there is no such.
        live: for each node whether a result depends on it.
        count: how many nodes are computed; the columns below have an entry for each, in order, and room at their ends.
        nodes: which they are.
        levels: one more than the highest among the operands. From below: levels from above, or taking what is ready
            the most, gave the GPT a quarter more instructions.
        kinds: of ADJOINT, ROLLED and TOTALS those that hold.
        codes: of the operation; 0 for a sum of products.
        widths: how many terms or operands there are.
        firsts: where the terms start.
        negative, left, right: for each term whether it is subtracted, and its factors.
    """

    __slots__ = (
        "_first", "_inlined", "_last", "_minus", "_next", "_sizes", "_totals", "_u", "_uses", "_v", "codes",
        "count", "first", "firsts", "inlined", "is_live", "kinds", "last", "left", "levels", "live", "low",
        "minus", "negative", "next", "nodes", "one", "right", "room", "scalars", "sizes", "start", "totals",
        "u", "used", "uses", "v", "widths", "zero",
    )  # fmt: skip

    def __init__(self, scalars: Scalars, results: Sequence[int], start: int) -> None:
        self.scalars, self.start = scalars, start
        self.one, self.zero = scalars.const(1.0), scalars.const(0.0)
        self.low = self.lowest(scalars, len(scalars))
        n = len(scalars)
        self.live, self._inlined, self._totals = columns.zeros("B", n), columns.zeros("B", n), columns.zeros("B", n)
        self._uses = columns.zeros("i", n)
        self._first, self._last, self._sizes = columns.zeros("i", n), columns.zeros("i", n), columns.zeros("i", n)
        self.used, self.room = 1, n + 1000  # term 0 stands for none
        self._minus, self._next = columns.zeros("B", self.room), columns.zeros("i", self.room)
        self._u, self._v = columns.zeros("i", self.room), columns.zeros("i", self.room)
        self.point()
        for i in results:
            self.is_live[i] = 1
            self.uses[i] += 2  # what is asked for stays a node
        self.walk(scalars, n)
        self.lay_out(scalars, n)

    def lowest(self, scalars: Scalars, n: int) -> int:
        """The constant -inf if there is a logsumexp, else -1."""
        for i in range(n):
            if scalars.codes[i] == OF_LOGSUMEXP:
                return scalars.const(-math.inf)
        return -1

    def point(self) -> None:
        """Note where the columns are."""
        self.is_live, self.inlined, self.totals = (
            columns.flags(self.live), columns.flags(self._inlined), columns.flags(self._totals)
        )  # fmt: skip
        self.uses = columns.ints(self._uses)
        self.first, self.last, self.sizes = (
            columns.ints(self._first), columns.ints(self._last), columns.ints(self._sizes)
        )  # fmt: skip
        self.minus, self.next = columns.flags(self._minus), columns.ints(self._next)
        self.u, self.v = columns.ints(self._u), columns.ints(self._v)

    def walk(self, scalars: Scalars, n: int) -> None:
        """Find what is live, and then its sums of products."""
        for i in range(n - 1, -1, -1):
            if self.is_live[i]:
                for k in range(scalars.starts[i], scalars.starts[i + 1]):
                    self.is_live[scalars.below[k]] = 1
                    self.uses[scalars.below[k]] += 1
        for i in range(n):
            if self.is_live[i]:
                self.look_at(scalars, i)

    def look_at(self, scalars: Scalars, i: int) -> None:
        """Note the terms of a node if it is a sum of products."""
        code, at = scalars.codes[i], scalars.starts[i]
        count = scalars.starts[i + 1] - at
        first = scalars.below[at] if count else 0
        second = scalars.below[at + 1] if count > 1 else 0
        if code == OF_MUL:
            self.term(i, first, second)
        elif code in (OF_ADD, OF_SUM):
            self.join(i, count, -1)
        elif code == OF_SUB:
            self.join(i, 2, 1)
        elif code == OF_NEG:
            self.join(i, 1, 0)
        elif code == OF_TOTAL:
            self.totals[i] = 1
            self.join(i, 1, -1)
        elif code == OF_IDENTITY:
            self.term(i, first, self.one)
        elif code == OF_DOT:
            for k in range(count // 2):
                self.term(i, scalars.below[at + k], scalars.below[at + count // 2 + k])
        elif code == OF_MEAN:
            share = self.const(1.0 / count)
            for k in range(count):
                self.term(i, scalars.below[at + k], share)
        elif code == OF_SQUARE or (
            code == OF_POW and scalars.codes[second] == OF_CONST and scalars.values[second] == 2.0
        ):
            self.term(i, first, first)
        elif code == OF_DIV and scalars.codes[second] == OF_CONST:
            c = abs(scalars.values[second])
            if 1e-290 < c < 1e290:
                self.term(i, first, self.const(1.0 / scalars.values[second]))

    def const(self, x: float) -> int:
        """A constant, which is live now."""
        i = self.scalars.const(x)
        if i >= len(self.live):
            self.live = columns.longer(self.live, i + 100)
            self.point()
        self.is_live[i] = 1
        return i

    def term(self, i: int, u: int, v: int) -> None:
        """Append a term to a node's."""
        if self.used == self.room:
            self.room *= 2
            self._minus, self._next = columns.longer(self._minus, self.room), columns.longer(self._next, self.room)
            self._u, self._v = columns.longer(self._u, self.room), columns.longer(self._v, self.room)
            self.point()
        self.u[self.used], self.v[self.used] = u, v
        self.append(i, self.used, self.used, 1)
        self.used += 1

    def append(self, i: int, first: int, last: int, count: int) -> None:
        """Append a chain of terms to a node's."""
        if self.sizes[i]:
            self.next[self.last[i]] = first
        else:
            self.first[i] = first
        self.last[i] = last
        self.sizes[i] += count

    def join(self, i: int, count: int, negative: int) -> None:
        """The terms of a sum, of which one operand may be subtracted; those of inner nodes are taken over.

        The longest list comes first.
        """
        scalars = self.scalars
        at = scalars.starts[i]
        longest, most = 0, 0
        for k in range(count):
            j = scalars.below[at + k]
            size = self.sizes[j] if self.is_inner(scalars, j, i, k == negative) else 1
            if size > most:
                longest, most = k, size
        self.take(scalars, i, scalars.below[at + longest], longest == negative)
        for k in range(count):
            if k != longest:
                self.take(scalars, i, scalars.below[at + k], k == negative)

    def is_inner(self, scalars: Scalars, j: int, i: int, negative: bool) -> bool:
        """Whether an operand's terms can become those of a sum."""
        kind = scalars.is_rolled[i] or self.totals[i]
        return (
            self.sizes[j] > 0
            and self.uses[j] == 1
            and (j < self.start) == (i < self.start)
            and scalars.is_rolled[j] == kind
            and not self.totals[j]
            and not (negative and self.sizes[j] > FLIPS)
        )

    def take(self, scalars: Scalars, i: int, j: int, negative: bool) -> None:
        """Append an operand's terms to those of a sum, or the operand as a term."""
        if self.is_inner(scalars, j, i, negative):
            if negative:
                at = self.first[j]
                for _ in range(self.sizes[j]):
                    self.minus[at] = not self.minus[at]
                    at = self.next[at]
            self.append(i, self.first[j], self.last[j], self.sizes[j])
            self.sizes[j] = 0
            self.inlined[j] = 1
        else:
            self.term(i, j, self.one)
            self.minus[self.used - 1] = negative

    def lay_out(self, scalars: Scalars, n: int) -> None:
        """Fill the columns."""
        count = terms = 0
        for i in range(n):
            if self.is_computed(scalars, i):
                count += 1
                terms += self.sizes[i]
        self.count = count
        self.nodes, self.levels = columns.zeros("i", count), columns.zeros("i", count)
        self.kinds, self.codes = columns.zeros("B", count), columns.zeros("i", count)
        self.widths, self.firsts = columns.zeros("i", count), columns.zeros("i", count)
        self.negative = columns.zeros("B", terms)
        self.left, self.right = columns.zeros("i", terms), columns.zeros("i", terms)
        self.fill(scalars, n)

    def is_computed(self, scalars: Scalars, i: int) -> bool:
        """Whether a node is neither given nor part of another one."""
        if not self.is_live[i] or self.inlined[i]:
            return False
        return scalars.codes[i] not in (OF_LEAF, OF_CONST)

    def fill(self, scalars: Scalars, n: int) -> None:
        """The same, where there is room now."""
        nodes, levels, kinds, codes = (
            columns.ints(self.nodes), columns.ints(self.levels), columns.flags(self.kinds), columns.ints(self.codes)
        )  # fmt: skip
        widths, firsts = columns.ints(self.widths), columns.ints(self.firsts)
        negative, left, right = columns.flags(self.negative), columns.ints(self.left), columns.ints(self.right)
        depths = columns.zeros("i", len(scalars))
        depth = columns.ints(depths)
        at = used = 0
        for i in range(n):
            if not self.is_computed(scalars, i):
                continue
            level = 0
            nodes[at] = i
            kinds[at] = ADJOINT * (i >= self.start) + ROLLED * scalars.is_rolled[i] + TOTALS * self.totals[i]
            firsts[at] = used
            if self.sizes[i]:
                widths[at] = self.sizes[i]
                term = self.first[i]
                for _ in range(self.sizes[i]):
                    negative[used], left[used], right[used] = self.minus[term], self.u[term], self.v[term]
                    level = max(level, depth[self.u[term]], depth[self.v[term]])
                    term = self.next[term]
                    used += 1
            else:
                codes[at] = scalars.codes[i]
                widths[at] = scalars.starts[i + 1] - scalars.starts[i]
                for k in range(scalars.starts[i], scalars.starts[i + 1]):
                    level = max(level, depth[scalars.below[k]])
            depth[i] = levels[at] = level + 1
            at += 1
