"""Layout: where a program's numbers are while the native machine runs it, and the steps that copy them.

Pipeline: trace → differentiate → lift → program → **plan** → native; the half of plan that knows no operation.

All numbers stand in one arena: the program's first array; the second, a row of examples for each place, rows being as
long as whole vectors; then whatever a step needs in another order. Such copies are made once, however many steps read
them, and copies of constants before the program runs. Results may stand in another order than the program says.
"""

from __future__ import annotations

import bisect
import functools
import math
from array import array
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from .finish import NARROW, Finished, Step
from .program import Block, Instruction, Operand, Program, ProgramError, View
from .reuse import rows_of
from .steps import Array
from .taped import Taped

__all__ = ["FIELDS", "KINDS", "Array", "Factor", "Layout", "as_factor", "window"]

# As in native.h.
KINDS: Final = (
    "tape", "gather", "runs", "rows", "transpose", "product", "dot", "lanes", "rolled", "careful", "examples", "inner",
    "spread", "map", "rule", "logsumexp", "python",
)  # fmt: skip
FIELDS: Final = (
    "kind", "code", "out", "u", "v", "w", "y", "outer", "inner", "rows", "columns", "n", "out_outer", "out_inner",
    "out_row", "u_outer", "u_inner", "u_row", "u_n", "v_outer", "v_inner", "v_n", "v_tile", "v_next", "out_next",
    "sign", "table", "count",
)  # fmt: skip
# What native.pyx has to be compiled for. The first number is raised, there as well, where what a code, a column or a
# table means changes.
LAYOUT: Final = (4, len(KINDS), len(FIELDS))
ROOM: Final = 64  # numbers behind each part of the arena, for vectors that are written whole
LARGEST: Final = 2**31 - 1  # places in an arena: tables have 32 bits for each


@dataclass
class Factor:
    """An operand of a product: a place in the arena for each [b, r, n], with their steps if it is a window."""

    shape: tuple[int, int, int]
    find: Callable[[], Array]
    offset: int = 0
    strides: tuple[int, int, int] | None = None

    @functools.cached_property
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
    (b, r, n), start = places.shape, places.item(0)
    i = places.item(1, 0, 0) - start if b > 1 else 0
    j = places.item(0, 1, 0) - start if r > 1 else 0
    k = places.item(0, 0, 1) - start if n > 1 else 0
    if places.item(-1) == start + (b - 1) * i + (r - 1) * j + (n - 1) * k:
        found = window(start, (b, r, n), (i, j, k))
        if np.array_equal(found.places, places):
            return found
    return Factor((b, r, n), lambda: places)


class Layout:
    """The arena of a program for so many examples, and the steps so far.

    Arguments:
        steps: what the program does, by the number of the instruction that is the last in each.
        lanes: how many numbers a vector has.

    Attributes:
        rows: the steps' columns, as `FIELDS` has them.
        names: for each step the number of the instruction that it belongs to; that of a copy reads it first.
        table: places and tapes that steps refer to.
        size: of the arena.
        row: how many numbers a row of examples takes.
        constants: what it holds before a run: where, and the numbers.
        tape: what will be the next step, if there is anything in it.
    """

    def __init__(self, program: Program, steps: Mapping[int, Step], examples: int, lanes: int, dtype: Any) -> None:
        self.program, self.examples, self.lanes, self.dtype = program, examples, lanes, np.dtype(dtype)
        self.row = up(examples, lanes)
        self.rolled_start = up(program.size + ROOM, 16)
        rows, count, self.read = rows_of(program, steps)
        self.rows_at = self.rolled_start + self.row * rows  # where each place of the second array is
        self.rolled_end = self.rolled_start + self.row * count
        self.made = np.full(count, -1)  # for each row the instruction that wrote it last
        self.size = up(self.rolled_end + ROOM, 16)
        self.rows: list[list[int]] = []
        self.names: list[int] = []
        self.tables: list[Array] = []
        self.table_size = 0
        self.constants: list[tuple[int, Array]] = []
        self.copies: dict[object, int] = {}
        self.now = 0
        at, known = array("q", range(program.size)), array("d", [math.nan]) * self.size
        self.tape = Taped(at, known, NARROW)
        self.at = np.frombuffer(at, np.int64)  # where each place of the first array is
        gradients = program.gradients.indices().ravel()
        self.rank = np.full(self.rolled_start, -1)  # where in the gradients each place of the first array is
        self.rank[gradients] = np.arange(len(gradients))
        self.moved: list[tuple[int, int]] = []  # stretches of it that stand in another order
        self.known = np.frombuffer(known)  # the constants, by place
        self.is_known = np.zeros(self.size, dtype=bool)
        for block in program.blocks:
            if block.constants is not None:
                row = np.repeat(np.array(block.constants, dtype=float), self.row if block.rolled else 1)
                start = self.start(block)
                self.constants.append((start, row))
                self.know(slice(start, start + len(row)), row)

    def know(self, places: slice, numbers: Any) -> None:
        """From now on these constants stand there; nan means that none do."""
        self.known[places] = numbers
        self.is_known[places] = ~np.isnan(self.known[places])

    def step(self, kind: str, **columns: int) -> None:
        """Append a step; the tape ends before it."""
        self.close()
        columns["kind"] = KINDS.index(kind)
        self.rows.append([columns.get(name, 0) for name in FIELDS])
        self.names.append(self.now)

    def close(self) -> None:
        """Append the tape as a step, if there is one."""
        if self.tape.code:
            self.step("tape", table=self.put(np.array(self.tape.take())))

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

    def start(self, made: Block | Instruction | Finished) -> int:
        """Where a block or an instruction's results start."""
        return int(self.rows_at[made.offset]) if made.rolled else made.offset

    def places(self, operand: Operand) -> Array:
        """The places of an operand in the arena; of a rolled one those of its first example."""
        found = operand.indices()
        if operand.rolled:
            return np.asarray(self.rows_at[found])
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
            scale = self.row if operand.rolled else 1
            start = int(self.rows_at[operand.offset]) if operand.rolled else operand.offset
            i, j, k = operand.strides
            return window(start, (b, r, n), (i * scale, j * scale, k * scale))
        return Factor((b, r, n), lambda: self.places(operand))

    def constant(self, places: Array) -> bool:
        """Whether nothing but constants stands there."""
        return bool((places < len(self.is_known)).all() and self.is_known[places].all())

    def key(self, kind: str, places: Array) -> tuple[object, ...]:
        """What a copy is known by: the places, and how new the numbers are that stand there."""
        rolled = places[(places >= self.rolled_start) & (places < self.rolled_end)]
        age = self.made[(rolled - self.rolled_start) // self.row].max(initial=-1)
        return kind, places.shape, places.tobytes(), int(age)

    def copy(self, places: Array) -> int:
        """The start of a copy of the numbers at some places, in their order."""
        flat = np.ascontiguousarray(places).ravel()
        if len(flat) and flat[0] + len(flat) - 1 == flat[-1] and bool((np.diff(flat) == 1).all()):
            return int(flat[0])
        key = self.key("numbers", flat)
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
        key = self.key("rows", flat)
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

    def numbers(self, places: Array) -> Array:
        """The constants at some places; nan where there is none."""
        found: Array = self.known.take(places, mode="clip")  # its last is nan
        return found

    def pack(self) -> None:
        """Put the steps and the table into arrays."""
        self.close()
        if self.size > LARGEST:
            raise ProgramError(f"a program with {self.size} numbers at work is too large for the native machine")
        self.steps = np.array(self.rows, dtype=np.int64).reshape(-1, len(FIELDS))
        self.table = np.concatenate([*self.tables, np.zeros(ROOM, dtype=np.int64)]).astype(np.int32)


def up(size: int, multiple: int) -> int:
    """The next multiple."""
    return -(-size // multiple) * multiple
