"""Plan: what the native machine does for a program, step by step, with every address worked out.

Pipeline: trace → differentiate → lift → program → **plan** → native.

All numbers stand in one arena: the program's first array; the second, a row of examples for each place, rows being as
long as whole vectors; then whatever a step needs in another order. Such copies are made once, however many steps read
them, and copies of constants before the program runs. An instruction's results may stand in another order than the
program says, where reading or writing costs less so. `native.h` says what a step's columns mean.

- A sum of products with factors to share is a product: one factor number by number, the other in vectors, which has to
  stand side by side or is copied so.
- One without is a dot of two windows, or lanes: a vector of sums at a time, with factors from anywhere.
- Instructions of a few numbers become the tape.
"""

from __future__ import annotations

import bisect
import math
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Final

import numpy as np

from .program import Contract, Instruction, Map, Operand, Program, ProgramError, Spread, View

__all__ = ["FIELDS", "KINDS", "Plan"]

Array = np.ndarray[Any, Any]

# As in native.h and kernels.h.
KINDS: Final = (
    "tape", "gather", "runs", "rows", "product", "dot", "lanes", "rolled", "careful", "examples", "spread",
    "map", "rule", "python",
)  # fmt: skip
FIELDS: Final = (
    "kind", "code", "out", "u", "v", "w", "y", "outer", "inner", "rows", "columns", "n", "out_outer", "out_inner",
    "out_row", "u_outer", "u_inner", "u_row", "u_n", "v_outer", "v_inner", "v_n", "v_tile", "sign", "table", "count",
)  # fmt: skip
MAPS: Final = {
    name: code
    for code, name in enumerate((
        "identity", "add", "sub", "mul", "div", "neg", "abs", "square", "reciprocal", "sqrt", "sign", "relu", "relu'0",
        "maximum", "minimum", "where", "exp", "scale", "pow -0.5", "pow 0.5", "pow'0 -1.0", "pow'0 -0.5", "pow'0 0.5",
    ))
}  # fmt: skip
END, COPY, NEG, ADD, SUB, MUL, NEGMUL, MULADD, SUBMUL, MULMUL, DOT, RULE, _, _, _, RELU, DIV = range(17)
TAPED: Final = {
    "identity": COPY, "neg": NEG, "add": ADD, "sub": SUB, "mul": MUL, "relu": RELU, "div": DIV,
}  # fmt: skip

NARROW: Final = 24  # products of numbers, or operations on one, up to which an instruction goes to the tape
ROOM: Final = 64  # numbers behind each part of the arena, for vectors that are written whole
LARGEST: Final = 2**31 - 1  # places in an arena: tables have 32 bits for each


@dataclass
class Factor:
    """An operand of a product: a place in the arena for each [b, r, n], with their steps if it is a window."""

    shape: tuple[int, int, int]
    find: Callable[[], Array]
    offset: int = 0
    strides: tuple[int, int, int] | None = None

    @cached_property
    def places(self) -> Array:
        return self.find()


def window(offset: int, shape: tuple[int, int, int], strides: tuple[int, int, int]) -> Factor:
    """A window as a factor. Along an axis of length 1 the step is 0."""
    b, r, n = [0 if size == 1 else stride for size, stride in zip(shape, strides, strict=True)]

    def find() -> Array:
        i, j, k = [np.arange(size) * stride for size, stride in zip(shape, (b, r, n), strict=True)]
        found: Array = offset + i[:, None, None] + j[:, None] + k
        return found

    return Factor(shape, find, offset, (b, r, n))


def as_factor(places: Array) -> Factor:
    """Places as a factor: as a window if they are one."""
    b, r, n = places.shape
    start = places.item(0)
    strides = [
        places.item(tuple(np.eye(3, dtype=int)[axis])) - start if size > 1 else 0
        for axis, size in enumerate(places.shape)
    ]
    found = window(start, (b, r, n), (strides[0], strides[1], strides[2]))
    return found if np.array_equal(found.places, places) else Factor((b, r, n), lambda: places)


class Plan:
    """The steps of a program for so many examples.

    Arguments:
        lanes: how many numbers a vector has.
        rule: the number of the rule of an operation, among those that native can call; None if Python has to run it.
        careful: whether 0 times anything is 0 in derivatives. That is rare, and slow.

    Attributes:
        steps: their columns, as `FIELDS` has them.
        names: for each step the number of the instruction that it belongs to; that of a copy reads it first.
        table: places and tapes that steps refer to.
        size: of the arena.
        constants: what it holds before a run: where, and the numbers.
        by_python: for each step that Python runs the operation and the places of its operands.
        results: the steps that copy outputs, gradients, rolled outputs and rolled gradients, the last four.
    """

    def __init__(
        self,
        program: Program,
        examples: int,
        lanes: int,
        dtype: Any,
        rule: Callable[[str], int | None],
        careful: bool = False,
    ) -> None:
        self.program, self.examples, self.lanes, self.dtype, self.rule = program, examples, lanes, np.dtype(dtype), rule
        self.careful = careful
        self.row = -(-examples // lanes) * lanes
        self.rolled_start = up(program.size + ROOM, 16)
        self.size = self.rolled_start + up(program.rolled_size * self.row + ROOM, 16)
        self.rows: list[list[int]] = []
        self.names: list[int] = []
        self.tables: list[Array] = []
        self.table_size = 0
        self.constants: list[tuple[int, Array]] = []
        self.by_python: dict[int, tuple[str, Array]] = {}
        self.copies: dict[object, int] = {}
        self.tape: list[int] = []
        self.now = 0
        self.at = np.arange(program.size)  # where each place of the first array is
        self.moved: list[tuple[int, int]] = []  # stretches of it that stand in another order
        self.known = np.full(self.size, np.nan)  # the constants, by place
        self.is_known = np.zeros(self.size, dtype=bool)
        for block in program.blocks:
            if block.constants is not None:
                row = np.repeat(np.array(block.constants, dtype=float), self.row if block.rolled else 1)
                start = self.rolled_start + block.offset * self.row if block.rolled else block.offset
                self.constants.append((start, row))
                self.known[start : start + len(row)] = row
                self.is_known[start : start + len(row)] = True
        for self.now, instruction in enumerate(program.instructions):
            self.instruction(instruction)
        self.now = len(program.instructions)
        self.collect()
        if self.size > LARGEST:
            raise ProgramError(f"a program with {self.size} numbers at work is too large for the native machine")
        self.steps = np.array(self.rows, dtype=np.int64).reshape(-1, len(FIELDS))
        self.table: Array = np.concatenate([*self.tables, np.zeros(ROOM, dtype=np.int32)])
        self.table = self.table.astype(np.int32)

    # ---- steps, tables, room

    def step(self, kind: str, **columns: int) -> None:
        """Append a step; the tape ends before it."""
        self.close()
        columns["kind"] = KINDS.index(kind)
        self.rows.append([columns.get(name, 0) for name in FIELDS])
        self.names.append(self.now)

    def close(self) -> None:
        """Append the tape as a step, if there is one."""
        if self.tape:
            code, self.tape = [*self.tape, END], []
            self.step("tape", table=self.put(np.array(code)))

    def put(self, entries: Array) -> int:
        """Append to the tables; where."""
        start = self.table_size
        self.tables.append(entries.ravel())
        self.table_size += entries.size
        return start

    def room(self, size: int) -> int:
        """The start of so many new places."""
        start = self.size
        self.size += up(size + ROOM, 16)
        return start

    # ---- where numbers are

    def places(self, operand: Operand) -> Array:
        """The places of an operand in the arena; of a rolled one those of its first example."""
        found = operand.indices()
        if operand.rolled:
            return self.rolled_start + found * self.row
        return self.at[found] if self.moved else found

    def stays(self, view: View) -> bool:
        """Whether a window is one in the arena too."""
        if view.rolled or not self.moved:
            return True
        low = view.offset + sum([min(0, (n - 1) * stride) for n, stride in zip(view.shape, view.strides, strict=True)])
        high = view.offset + sum([max(0, (n - 1) * stride) for n, stride in zip(view.shape, view.strides, strict=True)])
        k = bisect.bisect_right(self.moved, (high, self.size))
        return k == 0 or self.moved[k - 1][1] <= low

    def reorder(self, out: int, order: Array) -> None:
        """Have the results from `out` on in this order."""
        if bool((order[1:] > order[:-1]).all()):
            return
        self.at[out + order] = out + np.arange(len(order))
        self.moved.append((out, out + len(order)))

    def factor(self, operand: Operand) -> Factor:
        """An operand of a contract."""
        b, r, n = operand.shape
        if isinstance(operand, View) and self.stays(operand):
            scale, start = (self.row, self.rolled_start) if operand.rolled else (1, 0)
            i, j, k = operand.strides
            return window(start + operand.offset * scale, (b, r, n), (i * scale, j * scale, k * scale))
        return Factor((b, r, n), lambda: self.places(operand))

    def constant(self, places: Array) -> bool:
        """Whether nothing but constants stands there."""
        return bool((places < len(self.is_known)).all() and self.is_known[places].all())

    def copy(self, places: Array) -> int:
        """The start of a copy of the numbers at some places, in their order."""
        flat = np.ascontiguousarray(places).ravel()
        if len(flat) and flat[0] + len(flat) - 1 == flat[-1] and bool((np.diff(flat) == 1).all()):
            return int(flat[0])
        key = flat.tobytes()
        if key in self.copies:
            return self.copies[key]
        start = self.copies[key] = self.room(len(flat))
        if self.constant(flat):
            self.constants.append((start, self.known[flat]))
        else:
            self.gather(flat, start)
        return start

    def gather(self, flat: Array, start: int) -> None:
        """Copy the numbers at some places: stretches of neighbours, if there are long ones."""
        ends = np.flatnonzero(np.diff(flat) != 1)
        if 4 * (len(ends) + 1) <= len(flat) or len(flat) == 1:
            starts = np.concatenate([[0], ends + 1])
            lengths = np.diff(np.concatenate([starts, [len(flat)]]))
            table = self.put(np.stack([flat[starts], lengths], axis=1))
            self.step("runs", out=start, count=len(starts), n=len(flat), table=table)
            return
        padded = np.concatenate([flat, np.zeros(-len(flat) % self.lanes, dtype=np.int64)])
        self.step("gather", out=start, count=len(flat), n=len(flat), table=self.put(padded))

    def copy_rows(self, places: Array) -> int:
        """The start of a copy of rows of examples."""
        flat = places.ravel()
        key = ("rows", flat.tobytes())
        if key not in self.copies:
            self.copies[key] = self.room(flat.size * self.row)
            self.step("rows", out=self.copies[key], count=len(flat), columns=self.row, table=self.put(flat))
        return self.copies[key]

    def spread(self, places: Array, start: int | None = None) -> int:
        """The start of rows in which every example has the number at a place."""
        flat = places.ravel()
        key = ("spread", flat.tobytes())
        if start is None and key in self.copies:
            return self.copies[key]
        if start is None:
            start = self.copies[key] = self.room(flat.size * self.row)
            if self.constant(flat):
                self.constants.append((start, np.repeat(self.known[flat], self.row)))
                return start
        self.step("spread", out=start, count=len(flat), columns=self.row, table=self.put(flat))
        return start

    def collect(self) -> None:
        """Copy the results, each part to an array of its own."""
        program, each = self.program, np.arange(self.examples)
        for operand in (program.outputs, program.gradients, program.rolled_outputs, program.rolled_gradients):
            places = self.places(operand).ravel()
            self.gather((places[:, None] + each).ravel() if operand.rolled else places, 0)

    # ---- instructions

    def instruction(self, instruction: Instruction) -> None:
        out = instruction.offset
        if instruction.rolled:
            out = self.rolled_start + out * self.row
        if isinstance(instruction, Map):
            self.map(instruction, out)
        elif isinstance(instruction, Spread):
            self.spread(self.places(instruction.operand), out)
        elif self.careful and instruction.adjoint:
            self.carefully(instruction, out)
        elif instruction.total:
            self.total(instruction, out)
        elif instruction.rolled:
            self.rolled(instruction, out)
        else:
            self.contract(out, self.factor(instruction.u), self.factor(instruction.v), instruction.signs)

    def map(self, instruction: Map, out: int) -> None:
        """One operation, number by number."""
        name, size = self.power(instruction), math.prod(instruction.shape)
        rule = None if name in MAPS else self.rule(name)
        if not instruction.rolled and size <= NARROW and (name in TAPED or rule is not None):
            columns = [self.places(operand).ravel().tolist() for operand in instruction.operands]
            for k, row in enumerate(zip(*columns, strict=True)):
                if rule is None:
                    self.tape += [TAPED[name], out + k, *row]
                else:
                    self.tape += [RULE + len(row) - 1, out + k, rule, *row]
            return
        if rule is None and name not in MAPS:
            places = [self.places(operand).ravel() for operand in instruction.operands]
            if instruction.rolled:
                each = np.arange(self.row)
                places = [
                    (x[:, None] + each * operand.rolled).ravel()
                    for x, operand in zip(places, instruction.operands, strict=True)
                ]
            self.step("python", out=out, count=len(places[0]))
            self.by_python[len(self.rows) - 1] = (name, np.stack(places))
            return
        places = [self.places(operand).ravel() for operand in instruction.operands]
        if not instruction.rolled:
            order = np.lexsort(places[::-1])
            self.reorder(out, order)
            places = [x[order] for x in places]
        starts = [
            self.side_by_side(x, operand.rolled, instruction.rolled)
            for x, operand in zip(places, instruction.operands, strict=True)
        ]
        where = dict(zip(("u", "v", "w", "y"), starts, strict=False))
        count = size * self.row if instruction.rolled else size
        if rule is None:
            self.step("map", code=MAPS[name], out=out, count=count, sign=1, **where)
        else:
            self.step("rule", code=rule, out=out, count=count, n=len(starts), **where)

    def power(self, instruction: Map) -> str:
        """The name of a map: of a power with a constant exponent, often -1 or ±1/2, a name of its own."""
        name = instruction.name
        if name in ("pow", "pow'0") and math.prod(instruction.shape):
            places = instruction.operands[1].indices()
            if not instruction.operands[1].rolled and bool((places == places.flat[0]).all()):
                x = self.value(places.item(0))
                if name == "pow" and x == -1.0:
                    return "reciprocal"
                if f"{name} {x}" in MAPS:
                    return f"{name} {x}"
        return name

    def side_by_side(self, places: Array, rolled: bool, result: bool) -> int:
        """The start of an operand's numbers one after the other, or of a copy that is so; and of rows for a result."""
        if not result:
            return self.copy(places)
        if not rolled:
            return self.spread(places)
        if bool((np.diff(places) == self.row).all()):
            return int(places[0])
        return self.copy_rows(places)

    # ---- sums of products

    def contract(self, out: int, u: Factor, v: Factor, signs: tuple[int, ...]) -> None:
        """Σ_n signs[n] · u[b, r, n] · v[b, s, n] of numbers side by side or not, none of them rolled."""
        (b, r, n), s = u.shape, v.shape[1]
        if b * r * s * n <= NARROW:
            self.narrow(out, u, v, signs)
            return
        if b > 1 and (r > 1) != (s > 1) and self.shared(out, *((u, v) if r > 1 else (v, u)), signs):
            return
        u, v, signs, order = self.sorted(u, v, signs)
        if self.cost(v, u) + b * r * s < self.cost(u, v):
            u, v, r, s = v, u, s, r
            order = order.swapaxes(1, 2)
        sign = signs[0] if len(set(signs)) == 1 else 0
        left, right = u.strides, v.strides
        if r > 1 and s > 1 or sign and r == 1 and right and right[1] == 1 and s >= self.lanes // 2:
            self.reorder(out, order.ravel())
            self.product(out, u, v, signs)
            return
        if r == 1:
            u, v, r, left, right = v, u, s, right, left
        if sign and n >= self.lanes and left and left[2] == 1:
            if not right or right[2] != 1:
                v = window(self.copy(v.places), v.shape, (n, n, 1))
            assert v.strides is not None  # noqa: S101 - a window
            self.reorder(out, order.ravel())
            self.step(
                "dot", out=out, outer=b, inner=r, n=n, u=u.offset, u_outer=left[0], u_inner=left[1], v=v.offset,
                v_outer=v.strides[0], sign=sign,
            )  # fmt: skip
            return
        one, other = u.places.reshape(b * r, n), np.broadcast_to(v.places, (b, r, n)).reshape(b * r, n)
        orders = [np.arange(b * r), np.lexsort([other[:, 0], one[:, 0]]), np.lexsort([one[:, 0], other[:, 0]])]
        best = min(orders, key=lambda some: self.strays(one[some]) + self.strays(other[some]))
        self.reorder(out, order.ravel()[best])
        if n > 1 or not sign or not self.times(out, one[best, 0], other[best, 0], sign):
            self.in_lanes(out, one[best], other[best], signs)

    def sorted(self, u: Factor, v: Factor, signs: tuple[int, ...]) -> tuple[Factor, Factor, tuple[int, ...], Array]:
        """The same sums, each axis in an order that makes windows of the factors where there is one; and that order."""
        (b, r, n), s = u.shape, v.shape[1]
        order = np.arange(b * r * s).reshape(b, r, s)
        ways = [(u, v, signs, order)]
        if not all(factor.strides and min(factor.strides) >= 0 for factor in (u, v)):
            left, right = u.places, v.places
            batch = np.lexsort([right[:, 0, 0], left[:, 0, 0]])
            rows, columns = np.argsort(left[0, :, 0], kind="stable"), np.argsort(right[0, :, 0], kind="stable")
            order = order[np.ix_(batch, rows, columns)]
            for terms in (np.argsort(left[0, 0], kind="stable"), np.argsort(right[0, 0], kind="stable")):
                one, other = left[np.ix_(batch, rows, terms)], right[np.ix_(batch, columns, terms)]
                turned = tuple([signs[k] for k in terms.tolist()])
                ways.append((as_factor(one), as_factor(other), turned, order))
        return min(ways, key=lambda way: min(self.cost(way[0], way[1]), self.cost(way[1], way[0])))

    def shared(self, out: int, u: Factor, v: Factor, signs: tuple[int, ...]) -> bool:
        """Σ_n u[b, r, n] · v[b, 0, n], if most of it is a product because u is the same for every b there."""
        left, right = u.places, v.places
        b, r, n = left.shape
        same = (left == left[:1]).all(axis=(0, 1))
        if 2 * int(same.sum()) < n:
            return False
        alike, others = np.flatnonzero(same), np.flatnonzero(~same)
        one, other = as_factor(right[:, 0, alike][None]), as_factor(left[:1, :, alike])
        self.product(out, one, other, tuple([signs[k] for k in alike.tolist()]))
        if len(others):
            flat = (b * r, len(others))
            rest = np.broadcast_to(right, left.shape)[:, :, others].reshape(flat)
            signs = tuple([signs[k] for k in others.tolist()])
            self.in_lanes(out, left[:, :, others].reshape(flat), rest, signs, more=True)
        return True

    def times(self, out: int, u: Array, v: Array, sign: int) -> bool:
        """Products number by number of two windows, or of one and a number; whether it is that."""
        for one, other in ((u, v), (v, u)):
            if how(one) == 0 and how(other) < 2:
                name = "mul" if how(other) == 0 else "scale"
                self.step(
                    "map", code=MAPS[name], out=out, u=one.item(0), v=other.item(0), count=len(u), sign=sign
                )
                return True
        return False

    def cost(self, u: Factor, v: Factor) -> float:
        """About how many cycles a product takes with v in vectors."""
        (b, r, n), s = u.shape, v.shape[1]
        left = 0 if u.strides else b * r * n
        right = 0 if v.strides and v.strides[1] == 1 else b * s * n
        if r == 1 and right and v.strides and v.strides[2] == 1 and n >= self.lanes:
            right, left = 0, 0 if u.strides and u.strides[2] == 1 else b * n  # a dot for each
            return left + b * s * (n / self.lanes + 8)
        return left + right + b * r * n * (0.5 * up(s, self.lanes) / self.lanes + (s < self.lanes))

    @property
    def tile(self) -> int:
        """How many columns a product takes at a time."""
        return self.lanes * (4 if self.lanes * self.dtype.itemsize == 64 else 2)

    def product(self, out: int, u: Factor, v: Factor, signs: tuple[int, ...]) -> None:
        """A batch of products of matrices."""
        (b, r, n), s = u.shape, v.shape[1]
        sign = signs[0]
        if len(set(signs)) > 1:
            u, sign = self.signed(u, signs), 1
        if u.strides is None:
            u = window(self.copy(u.places), u.shape, (r * n, n, 1))
        if v.strides and v.strides[1] == 1:
            right = {"v": v.offset, "v_outer": v.strides[0], "v_n": v.strides[2], "v_tile": self.tile}
        else:
            right = self.packed(v.places)
        assert u.strides is not None  # noqa: S101 - a window
        self.step(
            "product", out=out, outer=b, inner=1, rows=r, columns=s, n=n, out_outer=r * s, out_row=s, u=u.offset,
            u_outer=u.strides[0], u_row=u.strides[1], u_n=u.strides[2], sign=sign, **right,
        )  # fmt: skip

    def packed(self, places: Array) -> dict[str, int]:
        """A factor [b, s, n] copied so that its columns stand side by side, in vectors, tile after tile."""
        b, s, n = places.shape
        wide = up(s, self.lanes)
        padded = np.concatenate([places, np.repeat(places[:, -1:], wide - s, axis=1)], axis=1).swapaxes(1, 2)
        tiles = [padded[:, :, k : k + self.tile].reshape(b, -1) for k in range(0, wide, self.tile)]
        start = self.copy(np.concatenate(tiles, axis=1))
        return {"v": start, "v_outer": n * wide, "code": 1, "v_tile": n * self.tile}

    def signed(self, u: Factor, signs: tuple[int, ...]) -> Factor:
        """A factor times the signs."""
        places = u.places
        start, size = self.room(places.size), places.size
        right = self.room(size)
        self.constants.append((right, np.tile(np.array(signs, dtype=float), size // len(signs))))
        self.step("map", code=MAPS["mul"], out=start, u=self.copy(places), v=right, count=size, sign=1)
        b, r, n = places.shape
        return window(start, (b, r, n), (r * n, n, 1))

    def narrow(self, out: int, u: Factor, v: Factor, signs: tuple[int, ...]) -> None:
        """A few sums, on the tape."""
        us, vs = u.places.tolist(), v.places.tolist()
        for left, right in zip(us, vs, strict=True):
            for row in left:
                for column in right:
                    self.sum(out, list(zip(signs, row, column, strict=True)))
                    out += 1

    def sum(self, out: int, terms: list[tuple[int, int, int]]) -> None:
        """One sum of products, on the tape."""
        value = self.value
        plus: list[tuple[int, int, bool, int]] = []
        minus: list[tuple[int, int, bool, int]] = []
        for sign, a, b in terms:
            x, y = value(a), value(b)
            if (x == 0.0 and y == 1.0) or (y == 0.0 and x == 1.0):
                continue  # it only filled a row up
            (plus if sign > 0 else minus).append((a, b, x == 1.0 or y == 1.0, b if x == 1.0 else a))
        alone = [term[3] for term in plus if term[2]], [term[3] for term in minus if term[2]]
        times = [term[:2] for term in plus if not term[2]], [term[:2] for term in minus if not term[2]]
        tape = self.tape
        match (len(times[0]), len(times[1]), len(alone[0]), len(alone[1])):
            case (1, 0, 0, 0):
                tape += [MUL, out, *times[0][0]]
            case (0, 1, 0, 0):
                tape += [NEGMUL, out, *times[1][0]]
            case (0, 0, 1, 0):
                tape += [COPY, out, alone[0][0]]
            case (0, 0, 0, 1):
                tape += [NEG, out, alone[1][0]]
            case (0, 0, 2, 0):
                tape += [ADD, out, *alone[0]]
            case (0, 0, 1, 1):
                tape += [SUB, out, alone[0][0], alone[1][0]]
            case (1, 0, 1, 0):
                tape += [MULADD, out, *times[0][0], alone[0][0]]
            case (0, 1, 1, 0):
                tape += [SUBMUL, out, *times[1][0], alone[0][0]]
            case (2, 0, 0, 0):
                tape += [MULMUL, out, *times[0][0], *times[0][1]]
            case _:
                tape += [DOT, out, len(plus), len(minus), *[x for a, b, _, _ in plus + minus for x in (a, b)]]

    def value(self, place: int) -> float | None:
        """The constant at a place."""
        return self.known.item(place) if place < len(self.is_known) and self.is_known.item(place) else None

    def in_lanes(self, out: int, u: Array, v: Array, signs: tuple[int, ...], more: bool = False) -> None:
        """Sums [i, n] without factors to share, a vector of them at a time; `more` adds them to what is there."""
        count, lanes = len(u), self.lanes
        fill = -count % lanes
        if fill:
            u, v = (np.concatenate([x, np.repeat(x[-1:], fill, axis=0)]) for x in (u, v))
        u, v = (x.reshape(-1, lanes, x.shape[1]).swapaxes(1, 2) for x in (u, v))  # [vector, term, lane]
        dead = (self.is_number(u, 0.0) & self.is_number(v, 1.0)) | (self.is_number(v, 0.0) & self.is_number(u, 1.0))
        keep = np.asarray(~dead.all(axis=2))
        left, right = how(u), how(v)
        swap = left > right
        kinds = np.array([[0, 1, 2], [1, 3, 4], [2, 4, 5]])[left, right]
        codes = 2 * kinds + (np.array(signs) < 0)
        u, v = np.where(swap[:, :, None], v, u), np.where(swap[:, :, None], u, v)
        table: list[Array] = []
        for us, vs, row, kept in zip(u, v, codes, keep, strict=True):
            groups: defaultdict[int, list[int]] = defaultdict(list)
            for k in np.flatnonzero(kept).tolist():
                groups[row.item(k)].append(k)
            table.append(np.array([len(groups)]))
            for code, terms in groups.items():
                a, b = us[terms], vs[terms]
                if code >> 1 in (0, 1, 3):
                    a, b = a[:, :1], b[:, :1]
                elif code >> 1 in (2, 4):
                    a = a[:, :1]
                table += [np.array([code, len(terms)]), np.concatenate([a, b], axis=1).ravel()]
        self.step("lanes", code=int(more), out=out, count=count, table=self.put(np.concatenate(table)))

    def strays(self, places: Array) -> int:
        """How many vectors of an operand [i, n] of sums are gathered from anywhere."""
        whole = places[: len(places) // self.lanes * self.lanes]
        return int((how(whole.reshape(-1, self.lanes, places.shape[1]).swapaxes(1, 2)) == 2).sum())

    def is_number(self, places: Array, x: float) -> Array:
        """Where the constant x stands."""
        inside = places < len(self.known)
        found: Array = inside & (self.known[np.where(inside, places, 0)] == x)
        return found

    def carefully(self, instruction: Contract, out: int) -> None:
        """Sums in which 0 times anything is 0."""
        u, v, signs = instruction.u, instruction.v, instruction.signs
        b, r, s = instruction.shape
        self.step(
            "careful", code=int(instruction.total), out=out, outer=b, rows=r, columns=s, n=len(signs),
            out_row=self.row if instruction.rolled else 1, count=self.examples if u.rolled or v.rolled else 1,
            u=self.put(self.places(u)), u_n=int(u.rolled), v=self.put(self.places(v)), v_n=int(v.rolled),
            table=self.put(np.array(signs)),
        )  # fmt: skip

    # ---- with examples

    def rolled(self, instruction: Contract, out: int) -> None:
        """A sum for each example."""
        u, v, signs = self.factor(instruction.u), self.factor(instruction.v), instruction.signs
        (b, r, n), s, row = u.shape, v.shape[1], self.row
        both = instruction.u.rolled and instruction.v.rolled
        shared = r if instruction.v.rolled else s
        many = instruction.v if instruction.v.rolled else instruction.u
        if both or (shared == 1 and not isinstance(many, View)):
            self.in_rows(out, instruction, signs)
            return
        sign = signs[0]
        turned = instruction.u.rolled
        one, other = (v, u) if turned else (u, v)  # of all examples alike, and of each its own
        if len(set(signs)) > 1:
            one, sign = self.signed(one, signs), 1
        rows, inner = one.shape[1], other.shape[1]
        if one.strides is None:
            one = window(self.copy(one.places), one.shape, (rows * n, n, 1))
        if other.strides is None:
            start = self.copy_rows(other.places)
            other = window(start, other.shape, (inner * n * row, n * row, row))
        assert one.strides is not None  # noqa: S101 - both are windows
        assert other.strides is not None  # noqa: S101
        self.step(
            "product", out=out, outer=b, inner=inner, rows=rows, columns=row, n=n, out_outer=r * s * row,
            out_inner=s * row if turned else row, out_row=row if turned else s * row, u=one.offset,
            u_outer=one.strides[0], u_row=one.strides[1], u_n=one.strides[2], v=other.offset, v_outer=other.strides[0],
            v_inner=other.strides[1], v_n=other.strides[2], v_tile=self.tile, sign=sign,
        )  # fmt: skip

    def in_rows(self, out: int, instruction: Contract, signs: tuple[int, ...]) -> None:
        """Sums without factors to share, a row of examples at a time."""
        u, v = instruction.u, instruction.v
        b, r, s = instruction.shape
        shape = (b, r, s, len(signs))
        left = np.broadcast_to(self.places(u)[:, :, None], shape)
        right = np.broadcast_to(self.places(v)[:, None], shape)
        if not u.rolled:
            left, right = right, left
        order = np.argsort(-np.array(signs), kind="stable")
        table = np.stack([left[..., order], right[..., order]], axis=-1)
        self.step(
            "rolled", code=int(u.rolled and v.rolled), out=out, count=b * r * s, columns=self.row, n=len(signs),
            inner=signs.count(1), table=self.put(table),
        )  # fmt: skip

    def total(self, instruction: Contract, out: int) -> None:
        """A sum over the examples too."""
        u, v, signs = instruction.u, instruction.v, instruction.signs
        if u.rolled and v.rolled:
            self.contract(out, self.unrolled(u), self.unrolled(v), tuple(np.repeat(signs, self.examples).tolist()))
            return
        ones = self.program.is_ones(v)
        if u.rolled and ones and len(signs) == v.shape[1] == 1:
            self.sum_examples(self.places(u), out, signs[0])
            return
        one = self.summed(u) if u.rolled else self.factor(u)
        other = self.summed(v) if v.rolled else self.factor(v)
        self.contract(out, one, other, signs)

    def unrolled(self, operand: Operand) -> Factor:
        """A rolled operand with its examples as further terms."""
        (b, r, n), many = operand.shape, self.examples
        if isinstance(operand, View):
            i, j, k = operand.strides
            if n == 1 or (many == self.row and k == 1):
                start = self.rolled_start + operand.offset * self.row
                return window(start, (b, r, n * many), (i * self.row, j * self.row, 1))
        each = np.arange(many)
        return Factor((b, r, n * many), lambda: (self.places(operand)[..., None] + each).reshape(b, r, n * many))

    def summed(self, operand: Operand) -> Factor:
        """The sums of a rolled operand over the examples."""
        b, r, n = operand.shape
        places = self.places(operand)
        start = self.room(places.size)
        self.sum_examples(places, start, 1)
        return window(start, (b, r, n), (r * n, n, 1))

    def sum_examples(self, places: Array, out: int, sign: int) -> None:
        self.step("examples", out=out, count=places.size, n=self.examples, sign=sign, table=self.put(places))


def up(size: int, multiple: int) -> int:
    """The next multiple."""
    return -(-size // multiple) * multiple


def how(places: Array) -> Array:
    """How each row of places stands: 0 side by side, 1 all the same, 2 anywhere."""
    if places.shape[-1] == 1:
        return np.zeros(places.shape[:-1], dtype=np.int64)
    steps = np.diff(places, axis=-1)
    return np.where((steps == 1).all(axis=-1), 0, np.where((steps == 0).all(axis=-1), 1, 2))
