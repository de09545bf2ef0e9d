"""Shares: the steps of a plan divided among threads.

Pipeline: trace → differentiate → lift → program → plan → **shares** → native.

Threads do parts of one step at a time, and wait for each other before the next. Parts begin at whole vectors, so that
none is written to by two threads. Only the rows of a product may end within a vector: there a part's last row spoils
the next part's first vector, which is computed once more when all are done. What is too short for waiting to pay is
done by the first thread alone. Each number is computed as one thread would, so how many there are changes no result.
"""

from __future__ import annotations

import itertools
import math
from typing import Final

import numpy as np

from .arena import FIELDS, KINDS, Array
from .sums import MAPS

__all__ = ["Shares"]

SHORT: Final = 4000  # cycles, about: a step that takes fewer is not divided
EACH: Final = {"div": 8, "reciprocal": 8, "sqrt": 12, "exp": 24}  # cycles for a vector of a map; others take about 2
STRIDES: Final = {
    "outer": {"out": "out_outer", "u": "u_outer", "v": "v_outer"},
    "inner": {"out": "out_inner", "u": "u_inner", "v": "v_inner"},
    "rows": {"out": "out_row", "u": "u_row"},
}
RULE: Final = 30  # for one number

Step = dict[str, int]


class Shares:
    """The steps of each of some threads.

    Arguments:
        steps, table: those of a plan, without what copies the results.
        lanes: how many numbers a vector has; `tile` how many columns a product takes at a time.

    Attributes:
        steps: [threads, n, fields]: each thread's, one after the other; where it has fewer than another, zeros follow.
        ends: [rounds, threads]: up to where each thread goes in each round. After it they wait for each other.
        divided: how many steps are.
    """

    def __init__(self, steps: Array, table: Array, lanes: int, tile: int, threads: int) -> None:
        self.table, self.lanes, self.tile, self.threads = table, lanes, tile, threads
        self.lists: list[list[list[int]]] = [[] for _ in range(threads)]
        self.rounds: list[list[int]] = []
        self.divided = 0
        for row in steps.tolist():
            step = dict(zip(FIELDS, row, strict=True))
            parts, again = self.parts(step)
            if not parts:
                self.lists[0].append(row)
                continue
            self.wait()
            for found, part in zip(self.lists, parts, strict=False):
                found.append(list(part.values()))
            self.wait()
            self.lists[0] += [list(part.values()) for part in again]
            self.divided += 1
        self.wait()
        self.steps = np.zeros((threads, max(map(len, self.lists)), len(FIELDS)), dtype=np.int64)
        for found, into in zip(self.lists, self.steps, strict=True):
            if found:
                into[: len(found)] = found
        self.ends = np.array(self.rounds, dtype=np.int64).reshape(-1, threads)

    def wait(self) -> None:
        """End a round, if there is anything in it."""
        ends = [len(found) for found in self.lists]
        if ends != (self.rounds[-1] if self.rounds else [0] * self.threads):
            self.rounds.append(ends)

    def cuts(self, count: int, unit: int = 1) -> list[tuple[int, int]]:
        """Where the parts of so many begin and end, at whole units; none if there is only one part."""
        units = -(-count // unit)
        ends = [min(count, units * k // self.threads * unit) for k in range(self.threads + 1)]
        found = [(a, b) for a, b in itertools.pairwise(ends) if a < b]
        return found if len(found) > 1 else []

    def parts(self, step: Step) -> tuple[list[Step], list[Step]]:
        """A step in parts, none if it is not to be divided; and what is to be done once more afterwards."""
        kind, count, n = KINDS[step["kind"]], step["count"], step["n"]
        if kind == "product":
            return self.product(step)
        if kind == "map":
            return self.map(step), []
        if kind == "rule" and RULE * count > SHORT:
            cuts = self.cuts(count)
            return [moved(step, a, ("out", "u", "v", "w", "y"), count=b - a) for a, b in cuts], []
        if kind == "rolled":
            return self.rolled(step), []
        if kind == "dot" and step["outer"] * step["inner"] * (n / self.lanes + 8) > SHORT:
            return self.dot(step), []
        if kind == "examples" and count * n / self.lanes > SHORT:
            return [moved(step, a, ("out", "table"), count=b - a) for a, b in self.cuts(count, self.lanes)], []
        if kind in ("spread", "rows") and 2 * count * step["columns"] / self.lanes > SHORT:
            cuts = self.cuts(count)
            return [moved(step, a, ("table",), out=step["out"] + a * step["columns"], count=b - a) for a, b in cuts], []
        if kind == "gather" and count > SHORT:
            cuts = self.cuts(count, self.lanes)
            return [moved(step, a, ("out", "table"), count=b - a) for a, b in cuts], []
        if kind == "transpose" and 2 * count * self.lanes > SHORT:
            return self.transpose(step), []
        return [], []

    def map(self, step: Step) -> list[Step]:
        """One operation, number by number. The second operand of `scale` is one number."""
        name = next(name for name, code in MAPS.items() if code == step["code"])
        if step["count"] / self.lanes * EACH.get(name, 2) < SHORT:
            return []
        moving = ("out", "u", "w", "y") if name == "scale" else ("out", "u", "v", "w", "y")
        return [moved(step, a, moving, count=b - a) for a, b in self.cuts(step["count"], self.lanes)]

    def product(self, step: Step) -> tuple[list[Step], list[Step]]:
        """A product by its batches or by its rows."""
        sizes = {axis: step[axis] for axis in STRIDES}
        columns = step["columns"]
        if math.prod(sizes.values()) * columns * step["n"] / self.lanes < SHORT:
            return [], []
        spoils = columns % self.lanes != 0
        first = self.tile if step["code"] else self.lanes  # columns to be computed again: a packed factor is in tiles
        if spoils and columns < first:
            return [], []
        if spoils and step["outer"] * step["inner"] > 1:  # rows of one batch stand between those of others
            sizes = {"outer": step["outer"]}
        axis = max(sizes, key=lambda name: sizes[name])
        strides = STRIDES[axis]
        parts = [
            {
                **step,
                axis: b - a,
                **{name: step[name] + a * step[stride] for name, stride in strides.items()},
            }
            for a, b in self.cuts(step[axis], 4 if axis == "rows" and step[axis] >= 8 * self.threads else 1)
        ]
        again = [{**part, "outer": 1, "inner": 1, "rows": 1, "columns": first} for part in parts[1:]]
        return parts, again if spoils else []

    def rolled(self, step: Step) -> list[Step]:
        """Sums for each example, by what they share no factors with, or by rows."""
        outer, rows, columns, n, count = (step[name] for name in ("outer", "rows", "columns", "n", "count"))
        if not step["code"]:
            if outer * n * count / self.lanes * 2 < SHORT:
                return []
            return [
                moved(step, a * n, ("u", "v"), out=step["out"] + a * count, outer=b - a) for a, b in self.cuts(outer, 4)
            ]
        if outer * rows * columns * n * count / self.lanes < SHORT:
            return []
        if outer == 1:
            return [
                moved(step, a * n, ("u",), out=step["out"] + a * step["out_row"], rows=b - a)
                for a, b in self.cuts(rows, 4)
            ]
        return [
            {
                **step,
                "outer": b - a,
                "out": step["out"] + a * rows * step["out_row"],
                "u": step["u"] + a * rows * n,
                "v": step["v"] + a * columns * n,
            }
            for a, b in self.cuts(outer)
        ]

    def dot(self, step: Step) -> list[Step]:
        """Sums one by one, of batches or of one."""
        axis, size = ("outer", step["inner"]) if step["outer"] > 1 else ("inner", 1)
        return [
            {
                **step,
                axis: b - a,
                "out": step["out"] + a * size,
                "u": step["u"] + a * step[f"u_{axis}"],
                "v": step["v"] + a * step[f"v_{axis}"],
            }
            for a, b in self.cuts(step[axis])
        ]

    def transpose(self, step: Step) -> list[Step]:
        """Blocks, where no part's reach into the next: what a block writes behind its columns is written once more."""
        size, each = 2 + self.lanes, np.arange(self.lanes)
        blocks = self.table[step["table"] : step["table"] + step["count"] * size].reshape(-1, size)
        ends = (blocks[:, :1] + blocks[:, 1:2] * each).max(axis=1) + self.lanes
        cuts = self.cuts(step["count"])
        for a, _ in cuts[1:]:
            if ends[:a].max() > blocks[a:, 0].min():
                return []
        return [moved(step, a * size, ("table",), count=b - a) for a, b in cuts]


def moved(step: Step, by: int, names: tuple[str, ...], **columns: int) -> Step:
    """A step with some columns moved, and others set."""
    return {**step, **{name: step[name] + by for name in names}, **columns}
