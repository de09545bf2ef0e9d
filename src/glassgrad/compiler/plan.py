"""Plan: what the native machine does for a program, step by step, with every address worked out.

Pipeline: trace → differentiate → lift → program → **plan** → native.

`native.h` says what a step's columns mean, `arena` where the numbers are.

- A sum of products with factors to share is a product: one factor number by number, the other in vectors, which has to
  stand side by side or is copied so.
- One without is a dot of two windows, or lanes: a vector of sums at a time, with factors from anywhere.
- Instructions of a few numbers become the tape.

The results of an instruction stand in the order in which reading or writing costs the least.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Callable
from typing import Any, Final

import numpy as np

from .arena import FIELDS, KINDS, Array, Factor, Layout, as_factor, up, window
from .program import Contract, Instruction, Map, Operand, Program, Spread, View

__all__ = ["FIELDS", "KINDS", "Plan"]

MAPS: Final = {
    name: code
    for code, name in enumerate((
        "identity", "add", "sub", "mul", "div", "neg", "abs", "square", "reciprocal", "sqrt", "sign", "relu", "relu'0",
        "maximum", "minimum", "where", "exp", "scale", "pow -0.5", "pow 0.5", "pow'0 -1.0", "pow'0 -0.5", "pow'0 0.5",
    ))
}  # fmt: skip
_, COPY, NEG, ADD, SUB, MUL, NEGMUL, MULADD, SUBMUL, MULMUL, DOT, RULE, _, _, _, RELU, DIV = range(17)
TAPED: Final = {
    "identity": COPY, "neg": NEG, "add": ADD, "sub": SUB, "mul": MUL, "relu": RELU, "div": DIV,
}  # fmt: skip

NARROW: Final = 24  # products of numbers, or operations on one, up to which an instruction goes to the tape


class Plan(Layout):
    """The steps of a program for so many examples.

    Arguments:
        lanes: how many numbers a vector has.
        rule: the number of the rule of an operation, among those that native can call; None if Python has to run it.
        careful: whether 0 times anything is 0 in derivatives. That is rare, and slow.

    Attributes:
        steps: the steps' columns. The last four copy outputs, gradients, rolled outputs and rolled gradients.
        by_python: for each step that Python runs the operation and the places of its operands.
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
        super().__init__(program, examples, lanes, dtype)
        self.rule, self.careful = rule, careful
        self.by_python: dict[int, tuple[str, Array]] = {}
        for self.now, instruction in enumerate(program.instructions):
            self.instruction(instruction)
        self.now = len(program.instructions)
        self.collect()
        self.finish()

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
        if name == "logsumexp":
            self.logsumexp(instruction, out)
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

    def logsumexp(self, instruction: Map, out: int) -> None:
        """Logarithms of sums of exponentials, two vectors at a time."""
        places = [self.places(operand).ravel() for operand in instruction.operands]
        count, each = len(places[0]), self.lanes
        if instruction.rolled:
            starts = np.arange(0, self.row, self.lanes)
            for k, operand in enumerate(instruction.operands):
                rows = places[k] if operand.rolled else self.spread(places[k]) + self.row * np.arange(count)
                places[k] = (rows[:, None] + starts).ravel()
            count, each = count * self.row, 1
        table = np.stack(places)
        table = np.pad(table, ((0, 0), (0, -table.shape[1] % (2 * each))), "edge")
        self.step(
            "logsumexp", code=int(instruction.rolled), out=out, u=self.room(len(places) * 2 * self.lanes), count=count,
            n=len(places), table=self.put(table.reshape(len(places), -1, 2 * each).swapaxes(0, 1)),
        )  # fmt: skip

    def power(self, instruction: Map) -> str:
        """The name of a map: of a power with a constant exponent, often -1 or ±1/2, a name of its own."""
        name = instruction.name
        if name in ("pow", "pow'0"):
            places = self.places(instruction.operands[1]).ravel()
            if bool((places == places[0]).all()):
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
        if (r > 1 and s > 1) or (sign and r == 1 and right and right[1] == 1 and s >= self.lanes // 2):
            self.reorder(out, order.ravel())
            self.product(out, u, v, signs)
            return
        if r == 1:
            u, v, r, left, right = v, u, s, right, left
        if 2 * b * r <= self.lanes <= n and not (sign and left and left[2] == 1):  # too few sums for a lane each
            u, sign = (
                (window(self.copy(u.places), u.shape, (r * n, n, 1)), sign) if sign else (self.signed(u, signs), 1)
            )
            left = u.strides
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
        best = self.order_in_lanes(one, other)
        self.reorder(out, order.ravel()[best])
        if n > 1 or not sign or not self.times(out, one[best, 0], other[best, 0], sign):
            self.in_lanes(out, one[best], other[best], signs)

    def order_in_lanes(self, u: Array, v: Array) -> Array:
        """The order of sums [i, n] in which the fewest vectors are gathered, if that saves enough."""
        same = np.arange(len(u))
        if len(u) < self.lanes:
            return same
        size = (~self.fills(u, v)).sum(axis=1)
        some = [np.lexsort(keys) for keys in ([v[:, 0], u[:, 0]], [u[:, 0], v[:, 0]], [v[:, 0], u[:, 0], size])]
        strays = [self.strays(u[order]) + self.strays(v[order]) for order in (same, *some)]
        best = min(range(4), key=strays.__getitem__)
        return some[best - 1] if best and strays[best] + len(u) / self.lanes / 2 < strays[0] else same

    def sorted(self, u: Factor, v: Factor, signs: tuple[int, ...]) -> tuple[Factor, Factor, tuple[int, ...], Array]:
        """The same sums, each axis in an order that makes windows of the factors where there is one; and that order."""
        b, r, s = *u.shape[:2], v.shape[1]
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
                self.step("map", code=MAPS[name], out=out, u=one.item(0), v=other.item(0), count=len(u), sign=sign)
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
            u_outer=u.strides[0], u_row=u.strides[1], u_n=u.strides[2], sign=sign, v_next=self.lanes,
            out_next=self.lanes, **right,
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
        for left, right in zip(u.listed(), v.listed(), strict=True):
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

    def in_lanes(self, out: int, u: Array, v: Array, signs: tuple[int, ...], more: bool = False) -> None:
        """Sums [i, n] without factors to share, a vector of them at a time; `more` adds them to what is there."""
        count, lanes = len(u), self.lanes
        fill = -count % lanes
        if fill:
            u, v = (np.concatenate([x, np.repeat(x[-1:], fill, axis=0)]) for x in (u, v))
        u, v = (x.reshape(-1, lanes, x.shape[1]).swapaxes(1, 2) for x in (u, v))  # [vector, term, lane]
        keep = np.asarray(~self.fills(u, v).all(axis=2))
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

    def fills(self, u: Array, v: Array) -> Array:
        """Which terms are 0 · 1: they fill up shorter sums."""
        is_number = self.is_number
        found: Array = (is_number(u, 0.0) & is_number(v, 1.0)) | (is_number(v, 0.0) & is_number(u, 1.0))
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
        if n == 1 and self.times_rows(out, instruction, u, v, signs[0]):
            return
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
        v_inner, out_inner, columns = other.strides[1], s * row if turned else row, row
        v_next = out_next = self.lanes
        if row < self.tile and inner > 1:  # a vector for each of the others, instead of a few examples
            inner, columns, v_next, out_next = row // self.lanes, inner * self.lanes, v_inner, out_inner
            v_inner = out_inner = self.lanes
        self.step(
            "product", out=out, outer=b, inner=inner, rows=rows, columns=columns, n=n, out_outer=r * s * row,
            out_inner=out_inner, out_row=row if turned else s * row, out_next=out_next, u=one.offset,
            u_outer=one.strides[0], u_row=one.strides[1], u_n=one.strides[2], v=other.offset, v_outer=other.strides[0],
            v_inner=v_inner, v_n=other.strides[2], v_next=v_next, v_tile=self.tile // self.lanes * v_next, sign=sign,
        )  # fmt: skip

    def times_rows(self, out: int, instruction: Contract, u: Factor, v: Factor, sign: int) -> bool:
        """Products number by number of windows of all examples, or of one and a number; whether it is that."""
        b, r, s = instruction.shape
        if r > 1 and s > 1 or not (u.strides and v.strides):
            return False
        axis = 1 if max(r, s) > 1 else 0
        if b > 1 and axis == 1:
            return False
        steps = [x.strides[axis] for x in (u, v) if x.strides]
        rolled = instruction.u.rolled, instruction.v.rolled
        count = b * r * s * self.row
        if rolled == (True, True) and steps == [self.row, self.row]:
            self.step("map", code=MAPS["mul"], out=out, u=u.offset, v=v.offset, count=count, sign=sign)
            return True
        for one, other, step, far in ((u, v, steps[0], steps[1]), (v, u, steps[1], steps[0])):
            alike = not (instruction.u if one is u else instruction.v).rolled
            if alike and not step and far == self.row:
                self.step("map", code=MAPS["scale"], out=out, u=other.offset, v=one.offset, count=count, sign=sign)
                return True
        return False

    def in_rows(self, out: int, instruction: Contract, signs: tuple[int, ...]) -> None:
        """Sums whose factors are rows of examples from anywhere."""
        u, v = instruction.u, instruction.v
        b, r, s = instruction.shape
        order = np.argsort(-np.array(signs), kind="stable")
        left, right = self.places(u)[..., order], self.places(v)[..., order]
        shared = r > 1 or s > 1
        if not shared and not u.rolled:
            u, v, left, right = v, u, right, left
        self.step(
            "rolled", code=int(shared), out=out, outer=b, rows=r, columns=s, count=self.row, n=len(signs),
            inner=signs.count(1), out_row=s * self.row, u=self.put(left), u_n=int(u.rolled), v=self.put(right),
            v_n=int(v.rolled),
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


def how(places: Array) -> Array:
    """How each row of places stands: 0 side by side, 1 all the same, 2 anywhere."""
    if places.shape[-1] == 1:
        return np.zeros(places.shape[:-1], dtype=np.int64)
    steps = np.diff(places, axis=-1)
    return np.where((steps == 1).all(axis=-1), 0, np.where((steps == 0).all(axis=-1), 1, 2))
