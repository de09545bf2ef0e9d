"""Shares: the steps of a plan in parts, which threads may do at once.

Pipeline: trace → differentiate → lift → program → plan → **shares** → native.

Parts begin at whole vectors, so that none is written to by two threads. Only the rows of a product may end within a
vector: there a part's last row spoils the next part's first vector, which is computed once more when all are done. A
step that is too short stays whole. Each number is computed as by one thread, so how many there are changes no result.
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
    "outer": {"out": "out_outer", "w": "out_outer", "u": "u_outer", "v": "v_outer"},
    "inner": {"out": "out_inner", "w": "out_inner", "u": "u_inner", "v": "v_inner"},
    "rows": {"out": "out_row", "w": "out_row", "u": "u_row"},
}  # of a product: what it is finished with stands beside its results
RULE: Final = 30  # for one number

Step = dict[str, int]


class Shares:
    """A plan's steps with some of them divided.

    Arguments:
        steps, table: those of a plan, without what copies the results.
        lanes: how many numbers a vector has; `tile` how many columns a product takes at a time.
        most: parts of a step.

    Attributes:
        steps: whole ones and parts.
        rounds: what is done one after the other: the first step, behind the last, and whether they are parts of one.
        divided: how many steps are.
    """

    def __init__(self, steps: Array, table: Array, lanes: int, tile: int, most: int) -> None:
        self.table, self.lanes, self.tile, self.most = table, lanes, tile, most
        rows: list[list[int]] = []
        rounds: list[tuple[int, int, int]] = []
        start = self.divided = 0
        for row in steps.tolist():
            parts, again = self.parts(dict(zip(FIELDS, row, strict=True)))
            if parts:
                end = len(rows) + len(parts)
                rounds += [(start, len(rows), 0), (len(rows), end, 1)]
                start = end
                self.divided += 1
            rows += [list(part.values()) for part in [*parts, *again]] or [row]
        rounds.append((start, len(rows), 0))
        self.steps = np.array(rows, dtype=np.int64).reshape(-1, len(FIELDS))
        self.rounds = np.array([found for found in rounds if found[0] < found[1]], dtype=np.int64).reshape(-1, 3)

    def cuts(self, count: int, unit: int = 1) -> list[tuple[int, int]]:
        """Where the parts of so many begin and end, at whole units; none if there is only one part."""
        units = -(-count // unit)
        ends = [min(count, units * k // self.most * unit) for k in range(self.most + 1)]
        found = [(a, b) for a, b in itertools.pairwise(ends) if a < b]
        return found if len(found) > 1 else []

    def divided_by(self, step: Step, axis: str, moving: dict[str, int], unit: int = 1) -> list[Step]:
        """A step in parts along one of its columns.

        Arguments:
            moving: which columns move with it, and by how much for each.
            unit: the parts begin at multiples of this.
        """
        return [
            {**step, axis: b - a, **{name: step[name] + a * by for name, by in moving.items()}}
            for a, b in self.cuts(step[axis], unit)
        ]

    def parts(self, step: Step) -> tuple[list[Step], list[Step]]:
        """A step in parts, none if it is not to be divided; and what is to be done once more afterwards."""
        kind, count, n = KINDS[step["kind"]], step["count"], step["n"]
        if kind == "product":
            return self.product(step)
        if kind == "map":
            return self.map(step), []
        if kind == "rule" and RULE * count > SHORT:
            return self.divided_by(step, "count", dict.fromkeys(("out", "u", "v", "w", "y"), 1)), []
        if kind == "rolled":
            return self.rolled(step), []
        if kind == "inner" and step["outer"] == 1 and step["rows"] * step["columns"] * n > SHORT:
            return self.divided_by(step, "rows", {"u": 1, "out": step["columns"]}, 4), []
        if kind == "dot" and step["outer"] * step["inner"] * (n / self.lanes + 8) > SHORT:
            return self.dot(step), []
        if (kind == "examples" and count * n / self.lanes > SHORT) or (kind == "gather" and count > SHORT):
            return self.divided_by(step, "count", {"out": 1, "table": 1}, self.lanes), []
        if kind in ("spread", "rows") and 2 * count * step["columns"] / self.lanes > SHORT:
            return self.divided_by(step, "count", {"out": step["columns"], "table": 1}), []
        if kind == "transpose" and 2 * count * self.lanes > SHORT:
            return self.transpose(step), []
        return [], []

    def map(self, step: Step) -> list[Step]:
        """One operation, number by number. The second operand of `scale` is one number."""
        name = next(name for name, code in MAPS.items() if code == step["code"])
        if step["count"] / self.lanes * EACH.get(name, 2) < SHORT:
            return []
        moving = ("out", "u", "w", "y") if name == "scale" else ("out", "u", "v", "w", "y")
        return self.divided_by(step, "count", dict.fromkeys(moving, 1), self.lanes)

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
        moving = {name: step[stride] for name, stride in STRIDES[axis].items()}
        parts = self.divided_by(step, axis, moving, 4 if axis == "rows" and step[axis] >= 8 * self.most else 1)
        again = [{**part, "outer": 1, "inner": 1, "rows": 1, "columns": first} for part in parts[1:]]
        return parts, again if spoils else []

    def rolled(self, step: Step) -> list[Step]:
        """Sums for each example, by what they share no factors with, or by rows."""
        outer, rows, columns, n, count = (step[name] for name in ("outer", "rows", "columns", "n", "count"))
        if not step["code"]:
            if outer * n * count / self.lanes * 2 < SHORT:
                return []
            return self.divided_by(step, "outer", {"out": count, "u": n, "v": n}, 4)
        if outer * rows * columns * n * count / self.lanes < SHORT:
            return []
        tile = 3 + n  # in the table, for each four rows, and each row that is left over
        if outer > 1:
            moving = {"out": rows * step["out_row"], "u": rows * n, "v": columns * n}
            return self.divided_by(step, "outer", moving | {"table": (rows // 4 + rows % 4) * tile})
        found = zip(self.divided_by(step, "rows", {"out": step["out_row"], "u": n}, 4), self.cuts(rows, 4), strict=True)
        return [{**part, "table": step["table"] + a // 4 * tile} for part, (a, _) in found]

    def dot(self, step: Step) -> list[Step]:
        """Sums one by one, of batches or of one."""
        axis, size = ("outer", step["inner"]) if step["outer"] > 1 else ("inner", 1)
        return self.divided_by(step, axis, {"out": size, "u": step[f"u_{axis}"], "v": step[f"v_{axis}"]})

    def transpose(self, step: Step) -> list[Step]:
        """Blocks, where no part's reach into the next: what a block writes behind its columns is written once more."""
        size, each = 2 + self.lanes, np.arange(self.lanes)
        blocks = self.table[step["table"] : step["table"] + step["count"] * size].reshape(-1, size)
        ends = (blocks[:, :1] + blocks[:, 1:2] * each).max(axis=1) + self.lanes
        for a, _ in self.cuts(step["count"])[1:]:
            if ends[:a].max() > blocks[a:, 0].min():
                return []
        return self.divided_by(step, "count", {"table": size})
