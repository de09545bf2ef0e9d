"""Reuse: where rows of examples stand, so that the memory of what nothing reads any more is used again.

Pipeline: trace → differentiate → lift → program → **plan** → native; the part of plan that places the second array.

A training step makes many times more numbers than it needs at once, and what stays in the processor's nearest caches
is read several times as fast. An instruction's results never stand where its operands do, so it may run twice. What
windows read together stays together, and constants are never written over.
"""

from __future__ import annotations

import heapq
import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from .finish import Step, results_of
from .program import Program, View
from .steps import Array

__all__ = ["rows_of"]


@dataclass
class Part:
    """Places [start, end) of the second array, and when they are needed: from one instruction to another."""

    start: int
    end: int
    first: int
    last: int


def rows_of(program: Program, steps: Mapping[int, Step]) -> tuple[Array, int, Array]:
    """For each place of the second array the row that it has; how many rows there are; and whether anything reads it.

    Arguments:
        steps: what makes and reads results, by the number of the instruction that is the last in it.
    """
    rows = np.zeros(program.rolled_size + 1, dtype=np.int64)
    free: list[tuple[int, int]] = []  # stretches of rows, from the first on
    used: list[tuple[int, int, int]] = []  # a heap: the last instruction that needs a stretch, and the stretch
    count = 0
    together, read = parts(program, steps)
    for part in together:
        ended = []
        while used and used[0][0] < part.first:
            ended.append(heapq.heappop(used)[1:])
        if ended:
            free = joined(free + ended)
        size = part.end - part.start
        length, at = min([(end - at, at) for at, end in free if end - at >= size], default=(0, count))
        if length:
            k = free.index((at, at + length))
            free[k : k + 1] = [(at + size, at + length)] * (length > size)
        count = max(count, at + size)
        heapq.heappush(used, (part.last, at, at + size))
        rows[part.start : part.end] = at + np.arange(size)
    return rows, count, read


def joined(stretches: list[tuple[int, int]]) -> list[tuple[int, int]]:
    """The stretches in order, neighbours as one."""
    found: list[tuple[int, int]] = []
    for start, end in sorted(stretches):
        if found and found[-1][1] == start:
            found[-1] = (found[-1][0], end)
        else:
            found.append((start, end))
    return found


def parts(program: Program, steps: Mapping[int, Step]) -> tuple[list[Part], Array]:
    """What stands together: blocks and results, several where a window reads across; and which places are read."""
    never = len(program.instructions)
    found = [
        Part(block.offset, block.offset + block.size, -1, -1 if block.constants is None else never)
        for block in program.blocks
        if block.rolled
    ]
    found += [
        Part(result.offset, result.offset + math.prod(result.shape), i, i)
        for i, step in steps.items()
        for result in results_of(step)
        if result.rolled
    ]
    found.sort(key=lambda part: part.start)
    starts = np.array([part.start for part in found])
    together = np.zeros(len(found), dtype=bool)  # whether a part stands behind the one before it
    last = np.full(program.rolled_size, -1)
    results = (program.rolled_outputs, program.rolled_gradients)
    for i, operands in [*[(i, step.operands) for i, step in steps.items()], (never, results)]:
        for operand in operands:
            places = operand.indices() if operand.rolled else np.zeros(0, dtype=np.int64)
            last[places] = i
            if isinstance(operand, View) and places.size:
                low, high = np.searchsorted(starts, [places.min(), places.max()], side="right")
                together[low:high] = True
    made: list[Part] = []
    for part, behind in zip(found, together.tolist(), strict=True):
        part.last = max(part.last, int(last[part.start : part.end].max(initial=-1)))
        if behind:
            made[-1].end = part.end
            made[-1].first, made[-1].last = min(made[-1].first, part.first), max(made[-1].last, part.last)
        else:
            made.append(part)
    return sorted(made, key=lambda part: part.first), last >= 0
