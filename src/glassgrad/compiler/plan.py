"""Plan: what the native machine does for a program, step by step, with every address worked out.

Pipeline: trace → differentiate → lift → program → **plan** → native.

`native.h` says what a step's columns mean, `arena` where the numbers are, `sums` which kernel a sum of products takes.
Here are the other operations, and everything that has examples. Instructions of a few numbers become the tape.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from .arena import FIELDS, KINDS, Array, Factor, as_factor, up, window
from .finish import Finished, Step, after, finished, is_few
from .products import as_operand
from .program import Contract, Instruction, Map, Operand, Program, Spread, View
from .softmax import Softmax
from .sums import MAPS, Sums

__all__ = ["FIELDS", "KINDS", "Plan"]


class Plan(Sums):
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
        steps = dict(enumerate(program.instructions)) if careful else finished(program)
        super().__init__(program, steps, examples, lanes, dtype)
        self.rule, self.careful = rule, careful
        self.by_python: dict[int, tuple[str, Array]] = {}
        for self.now, step in steps.items():
            self.instruction(step)
        self.now = len(program.instructions)
        self.collect()
        self.pack()

    def collect(self) -> None:
        """Copy the results, each part to an array of its own."""
        program, each = self.program, np.arange(self.examples)
        for operand in (program.outputs, program.gradients, program.rolled_outputs, program.rolled_gradients):
            places = self.places(operand).ravel()
            self.gather((places[:, None] + each).ravel() if operand.rolled else places, 0)

    # ---- instructions

    def instruction(self, instruction: Step) -> None:
        careful = self.careful and isinstance(instruction, Contract) and instruction.adjoint
        if isinstance(instruction, Contract) and not careful and self.tape.contract(instruction):
            return
        if isinstance(instruction, Softmax):
            self.begin(instruction.shares)
            self.logsumexp(instruction.logs, self.begin(instruction.logs), instruction.places)
            return
        out = self.begin(instruction)
        if isinstance(instruction, Map):
            self.map(instruction, out)
        elif isinstance(instruction, Finished):
            sums = instruction.contract
            if sums.rolled:
                self.rolled(sums, out, instruction)
            else:
                self.contract(out, self.factor(sums.u), self.factor(sums.v), sums.signs, instruction)
        elif isinstance(instruction, Spread):
            places = self.places(instruction.operand)
            self.spread(places, out)
            if self.constant(places):
                self.know(slice(out, out + places.size * self.row), np.repeat(self.known[places.ravel()], self.row))
        elif careful:
            self.carefully(instruction, out)
        elif instruction.total:
            self.total(instruction, out)
        elif instruction.rolled:
            self.rolled(instruction, out)
        else:
            self.contract(out, self.factor(instruction.u), self.factor(instruction.v), instruction.signs)

    def begin(self, made: Instruction | Finished) -> int:
        """The start of results that are made now: what stood there is known no more."""
        out = self.start(made)
        if made.rolled:
            size = math.prod(made.shape)
            row = (out - self.rolled_start) // self.row
            self.made[row : row + size] = self.now
            self.know(slice(out, out + size * self.row), math.nan)
        return out

    def map(self, instruction: Map, out: int) -> None:
        """One operation, number by number."""
        name, size = self.power(instruction), math.prod(instruction.shape)
        rule = None if name in MAPS else self.rule(name)
        if not instruction.rolled and self.tape.calls(name, rule, out, size, instruction.operands):
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

    def logsumexp(self, instruction: Map, out: int, shares: Array | None = None) -> None:
        """Logarithms of sums of exponentials, two vectors at a time, and where shares in them go: see `Softmax`."""
        places = [self.places(operand).ravel() for operand in instruction.operands]
        counts = self.numbers(np.stack(places)) != -math.inf  # the others, as in a mask, add nothing
        if shares is not None:
            counts |= shares >= 0
        each = self.lanes
        if instruction.rolled:
            starts, rows = np.arange(0, self.row, self.lanes), self.row * np.arange(len(places[0]))
            for k, operand in enumerate(instruction.operands):
                found = places[k] if operand.rolled else self.spread(places[k]) + rows
                places[k] = (found[:, None] + starts).ravel()
            counts, each = counts.repeat(len(starts), axis=1), 1
        else:
            order = np.argsort(counts.sum(axis=0), kind="stable")
            self.reorder(out, order)
            places, counts = [x[order] for x in places], counts[:, order]
        table, count = np.stack(places), len(places[0]) * (self.lanes // each)
        fill = ((0, 0), (0, -table.shape[1] % (2 * each)))
        table, counts = (np.pad(x, fill, "edge") for x in (table, counts))
        counts[0] |= ~counts.any(axis=0)
        tables = [table]
        if shares is not None:
            nowhere = self.room(self.lanes)
            found = np.where(shares[..., None] < 0, nowhere, self.rows_at[shares][..., None] + starts)
            tables.append(np.pad(found.reshape(len(shares), -1), fill, constant_values=nowhere))
        entries: list[Array] = []
        for k in range(0, table.shape[1], 2 * each):
            some = np.flatnonzero(counts[:, k : k + 2 * each].any(axis=1))
            entries += [np.array([len(some)]), *[x[some, k : k + 2 * each].ravel() for x in tables]]
        wanted = shares is None or bool(self.read[instruction.offset :][: len(places[0])].any())
        self.step(
            "logsumexp", code=instruction.rolled + (shares is not None), out=out, n=int(wanted),
            u=self.room(len(places) * 2 * self.lanes), v=self.room(count), w=self.room(count), count=count,
            table=self.put(np.concatenate(entries)),
        )  # fmt: skip

    def power(self, instruction: Map) -> str:
        """The name of a map: of a power with a constant exponent, often -1 or ±1/2, a name of its own."""
        name = instruction.name
        if name in ("pow", "pow'0"):
            places = self.places(instruction.operands[1]).ravel()
            if bool((places == places[0]).all()):
                x = self.known.item(places.item(0))
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

    def rolled(self, instruction: Contract, out: int, last: Finished | None = None) -> None:
        """A sum for each example, and what is done with it in the end."""
        u, v, signs = self.factor(instruction.u), self.factor(instruction.v), instruction.signs
        (b, r, n), s, row = u.shape, v.shape[1], self.row
        both = instruction.u.rolled and instruction.v.rolled
        shared = r if instruction.v.rolled else s
        many = instruction.v if instruction.v.rolled else instruction.u
        if n == 1 and not last and self.times_rows(out, instruction, u, v, signs[0]):
            return
        if is_few(instruction):
            self.in_rows(out, instruction, signs, last)
            return
        if both or (shared == 1 and not isinstance(many, View)):
            self.in_rows(out, instruction, signs, last)
            return
        sign = signs[0]
        turned = instruction.u.rolled
        one, other = (v, u) if turned else (u, v)  # of all examples alike, and of each its own
        if len(set(signs)) > 1:
            one, sign = self.signed(one, signs), 1
        rows, inner = one.shape[1], other.shape[1]
        left, right = stepped(one), stepped(other)
        if left is None:
            left = stepped(window(self.copy(one.places), one.shape, (rows * n, n, 1)))
        if right is None:
            start = self.copy_rows(other.places)
            right = stepped(window(start, other.shape, (inner * n * row, n * row, row)))
        assert left is not None  # noqa: S101 - both are windows
        assert right is not None  # noqa: S101
        out_outer, out_row, out_inner = (row * step for step in order_of(instruction, last))
        if turned:
            out_row, out_inner = out_inner, out_row
        v_inner, columns = right.row, row
        code, beside = after(last)
        v_next = out_next = self.lanes
        if row < self.tile and inner > 1:  # a vector for each of the others, instead of a few examples
            inner, columns, v_next, out_next = row // self.lanes, inner * self.lanes, v_inner, out_inner
            v_inner = out_inner = self.lanes
        self.step(
            "product", code=2, out=out, outer=b, inner=inner, rows=rows, columns=columns, n=n, out_outer=out_outer,
            out_inner=out_inner, out_row=out_row, out_next=out_next, u=left.offset,
            u_outer=left.outer, u_row=left.row, v=right.offset, v_outer=right.outer, v_inner=v_inner, v_next=v_next,
            v_tile=self.tile // self.lanes * v_next, sign=sign,
            table=self.put(np.concatenate([left.terms, right.terms])),
            w=int(self.places(beside)[0]) if beside else 0, y=code,
        )  # fmt: skip

    def times_rows(self, out: int, instruction: Contract, u: Factor, v: Factor, sign: int) -> bool:
        """Products number by number of windows of all examples, or of one and a number; whether it is that."""
        b, r, s = instruction.shape
        if (r > 1 and s > 1) or not (u.strides and v.strides):
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

    def in_rows(self, out: int, instruction: Contract, signs: tuple[int, ...], last: Finished | None = None) -> None:
        """Sums whose factors are rows of examples from anywhere."""
        u, v = instruction.u, instruction.v
        b, r, s = instruction.shape
        order = np.argsort(-np.array(signs), kind="stable")
        left, right = self.places(u)[..., order], self.places(v)[..., order]
        shared = r > 1 or s > 1
        if is_few(instruction):  # reading a factor again costs less than looking for who shares it
            left = np.broadcast_to(left[:, :, None], (b, r, s, len(signs)))
            right = np.broadcast_to(right[:, None], (b, r, s, len(signs)))
            b, r, s, shared = b * r * s, 1, 1, False
        if not shared and not u.rolled:
            u, v, left, right = v, u, right, left
        table, sign = 0, 1
        if shared:
            if signs.count(-1) == len(signs):
                signs, sign = tuple([1] * len(signs)), -1
            table = self.put(self.tiles(self.read[instruction.offset :][: b * r * s].reshape(b, r, s), left))
        operations = [
            (MAPS[x.name], self.places(x.other).item(0) if x.other else 0) for x in (last.operations if last else ())
        ]
        self.step(
            "rolled", code=int(shared), out=out, outer=b, rows=r, columns=s, count=self.row, n=len(signs),
            inner=signs.count(1), out_row=s * self.row, u=self.put(left), u_n=int(u.rolled), v=self.put(right),
            v_n=int(v.rolled), y=len(operations), w=self.put(np.array(operations, np.int64)), table=table, sign=sign,
        )  # fmt: skip

    def tiles(self, read: Array, left: Array) -> Array:
        """For each tile of rows the columns that are read, the number of terms that are not 0, and these terms.

        What is not finite still shows, in the sums of other rows.
        """
        b, r, n = left.shape
        found: list[list[int]] = []
        zero = self.numbers(left) == 0.0
        zero &= ~zero.all(axis=1, keepdims=True)
        for a in range(b):
            ends = [*range(0, r - r % 4, 4), *range(r - r % 4, r + 1)]
            for i, end in itertools.pairwise(ends):
                columns = np.flatnonzero(read[a, i:end].any(axis=0))
                first, last = (int(columns[0]) // 4 * 4, int(columns[-1]) + 1) if len(columns) else (0, 0)
                last = min(up(last, 4), read.shape[2])
                terms = np.flatnonzero(~zero[a, i:end].all(axis=0)).tolist() or [0]
                found.append([first, last, len(terms), *terms, *[0] * (n - len(terms))])
        return np.array(found)

    def total(self, instruction: Contract, out: int) -> None:
        """A sum over the examples too."""
        u, v, signs = instruction.u, instruction.v, instruction.signs
        if u.rolled and v.rolled:
            if self.inner(out, instruction):
                return
            self.contract(out, self.unrolled(u), self.unrolled(v), tuple(np.repeat(signs, self.examples).tolist()))
            return
        ones = self.program.is_ones(v)
        if u.rolled and ones and len(signs) == v.shape[1] == 1:
            self.sum_examples(self.places(u), out, signs[0])
            return
        one = self.summed(u) if u.rolled else self.factor(u)
        other = self.summed(v) if v.rolled else self.factor(v)
        self.contract(out, one, other, signs)

    def inner(self, out: int, instruction: Contract) -> bool:
        """Products of rows of examples, with sums over these too, read where they are; whether it is that."""
        u, v, signs = instruction.u, instruction.v, instruction.signs
        b, r, s = instruction.shape
        left, right = apart(self.places(u)), apart(self.places(v))
        starts = np.arange(0, self.row, self.lanes)[:, None]
        count = len(signs) * len(starts)  # fewer cost less than summing up their product
        if self.careful or left is None or right is None or len(set(signs)) > 1 or min(r, s) < 3 or count < 8:
            return False
        order = np.arange(b * r * s).reshape(b, r, s)
        if self.wanted_turned(out + order):
            left, right, r, s = right, left, s, r
            self.reorder(out, order.swapaxes(1, 2).ravel())
        part = self.examples < self.row
        self.step(
            "inner", code=self.put(self.counts(starts + 0 * left[1])) if part else 0, out=out, outer=b, inner=int(part),
            rows=r, columns=s, n=count, sign=signs[0], u=self.put(left[0]), w=self.put(starts + left[1]),
            v=self.put(right[0]), y=self.put(starts + right[1]),
        )  # fmt: skip
        return True

    def counts(self, starts: Array) -> Array:
        """The places of vectors that are 1 where a row of examples has one, from these starts in it on, and else 0."""
        if "counts" not in self.copies:
            self.copies["counts"] = self.room(self.row)
            self.constants.append((self.copies["counts"], (np.arange(self.row) < self.examples).astype(float)))
        return self.copies["counts"] + starts

    def unrolled(self, operand: Operand) -> Factor:
        """A rolled operand with its examples as further terms."""
        (b, r, n), many = operand.shape, self.examples
        if isinstance(operand, View):
            i, j, k = operand.strides
            if n == 1 or (many == self.row and k == 1):
                start = int(self.rows_at[operand.offset])
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
        flat = np.pad(places.ravel(), (0, -places.size % self.lanes), "edge")
        self.step("examples", out=out, count=places.size, n=self.examples, sign=sign, table=self.put(flat))


def order_of(contract: Contract, last: Finished | None) -> tuple[int, ...]:
    """How far apart the results [b, r, s] stand along each axis."""
    if not last:
        _, r, s = contract.shape
        return r * s, s, 1
    window = as_operand(last.order.reshape(contract.shape))
    assert isinstance(window, View)  # noqa: S101 - see `Finisher.finish`
    return window.strides


@dataclass
class Stepped:
    """A factor that is a window but for its terms, which are where they are."""

    offset: int
    outer: int
    row: int
    terms: Array


def stepped(factor: Factor) -> Stepped | None:
    """A factor as such; None if it is none."""
    if factor.strides:
        outer, row, step = factor.strides
        return Stepped(factor.offset, outer, row, np.arange(factor.shape[2]) * step)
    found = apart(factor.places)
    rows = as_factor(found[0][:, :, None]) if found else factor
    return Stepped(rows.offset, *rows.strides[:2], found[1]) if found and rows.strides else None


def apart(places: Array) -> tuple[Array, Array] | None:
    """Places [b, r, n] as a sum: of one for each row [b, r] and one for each term; None where they are no such."""
    rows, terms = places[:, :, 0], places[0, 0] - places[0, 0, 0]
    return (rows, terms) if bool((rows[:, :, None] + terms == places).all()) else None
