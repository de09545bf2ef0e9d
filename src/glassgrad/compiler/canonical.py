"""Canonical form: a scalar program as sums of products, in groups of nodes that do not depend on each other.

Pipeline: trace → differentiate → **lift** → program → evaluate; the first half of lift.

Chains of + - * whose inner nodes have one use become one node Σ ±u·v; all else stays as it is. What is asked for stays
a node, and nodes of the adjoint take in nodes of the adjoint only.
"""

from __future__ import annotations

import math
from collections import defaultdict
from typing import Final

from .scalars import CONST, LEAF, Scalars

__all__ = ["Canonical"]

Term = tuple[int, int, int]  # a sign and two factors

FLIPS: Final = 8  # terms that a minus sign may run over: chains of a - (b - (c - …)) would cost the square


class Canonical:
    """The nodes that are computed: sums of products, and all others as they are.

    Attributes:
        live: for each node whether a result depends on it.
        terms: for each node that is a sum of products its terms; nodes that became part of another one have none.
        totals: those of these sums that run over the examples too.
    """

    def __init__(self, scalars: Scalars, results: list[int], start: int) -> None:
        self.scalars, self.start = scalars, start
        self.one, self.zero = scalars.const(1.0), scalars.const(0.0)
        self.low = scalars.const(-math.inf) if "logsumexp" in scalars.ops else -1
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
        self.totals: set[int] = set()
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
            case "total":
                self.totals.add(i)
                return self.joined([(1, below[0])], i)
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
        rolled = self.scalars.rolled
        kind = rolled[i] or i in self.totals
        for sign, j in parts:
            found = self.terms.get(j)
            same_side = (j < self.start) == (i < self.start) and rolled[j] == kind and j not in self.totals
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

    def groups(self) -> dict[tuple[int, bool, bool, bool, str], list[int]]:
        """The nodes to compute, by (level, in the adjoint?, rolled?, a total?, operation and number of operands).

        The operation of a sum is ''. Of logsumexp, which can be filled up with -inf, any number of operands is in one.

        Levels from below: those from above, or taking what is ready the most, gave the GPT a quarter more instructions.
        """
        level = [0] * len(self.scalars)
        found: defaultdict[tuple[int, bool, bool, bool, str], list[int]] = defaultdict(list)
        rolled, totals = self.scalars.rolled, self.totals
        for i, op in enumerate(self.scalars.ops):
            if i >= len(self.live) or not self.live[i] or self.inlined[i] or op in (LEAF, CONST):
                continue
            terms = self.terms.get(i)
            if terms is not None:
                level[i] = 1 + max([max(level[u], level[v]) for _, u, v in terms])
                found[(level[i], i >= self.start, rolled[i], i in totals, "")].append(i)
            else:
                below = self.scalars.operands[i]
                level[i] = 1 + max([level[j] for j in below])
                found[
                    (level[i], i >= self.start, rolled[i], False, op if op == "logsumexp" else f"{op} {len(below)}")
                ].append(i)
        return found
