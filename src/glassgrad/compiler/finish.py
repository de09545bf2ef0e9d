"""Finish: operations that are done with the results of a product while these are still in registers.

Pipeline: trace → differentiate → lift → program → **plan** → native; what plan does with a program first.

A product with examples, whose results one instruction reads, number by number, is done together with it: a rectifier,
the slope of one, a sum with something else. That saves writing and reading as many numbers, which takes longer than the
operation.
"""

from __future__ import annotations

import dataclasses
import math
from collections import Counter
from dataclasses import dataclass
from typing import Final, Literal

import numpy as np

from .program import Contract, Instruction, Map, Operand, Program, View
from .reuse import Array

__all__ = ["AFTER", "FEW", "Finished", "Step", "finished", "is_product"]

FEW: Final = 3  # terms of the sums for which there is a loop of its own
AFTER: Final = {"": 0, "add": 1, "relu": 2, "relu'0": 3}  # as in sums.h


@dataclass(frozen=True)
class Finished:
    """A contract, and what is done with each of its results: alone, or with the number beside it of another operand."""

    offset: int
    contract: Contract
    name: str
    other: Operand | None = None
    rolled: Literal[True] = True

    @property
    def shape(self) -> tuple[int, ...]:
        """The sizes of the result."""
        return self.contract.shape

    @property
    def operands(self) -> tuple[Operand, ...]:
        """Those of the contract, and the other."""
        return self.contract.operands + ((self.other,) if self.other else ())


Step = Instruction | Finished


def is_product(step: Step) -> bool:
    """Whether a step is a product of numbers that all examples share with such of which each has its own."""
    if not isinstance(step, Contract) or step.total or step.u.rolled == step.v.rolled or len(step.signs) <= FEW:
        return False
    return step.shape[1 if step.v.rolled else 2] > 1


def finished(program: Program) -> dict[int, Step]:
    """The steps of a program, by the number of the instruction that is the last in each."""
    if not any(map(is_product, program.instructions)):
        return dict(enumerate(program.instructions))
    return Finisher(program).steps


class Finisher:
    """The steps so far."""

    def __init__(self, program: Program) -> None:
        self.program = program
        self.made = {step.offset: i for i, step in enumerate(program.instructions) if step.rolled}
        self.steps: dict[int, Step] = {i: self.slope(step) for i, step in enumerate(program.instructions)}
        starts, which = np.array(sorted(self.made)), [self.made[start] for start in sorted(self.made)]
        self.readers: Counter[int] = Counter()
        results = (program.rolled_outputs, program.rolled_gradients)
        for operands in [*[step.operands for step in self.steps.values()], results]:
            places = [operand.indices().ravel() for operand in operands if operand.rolled]
            found = np.unique(np.searchsorted(starts, np.concatenate(places), side="right")) if places else starts[:0]
            self.readers.update([which[k - 1] for k in found.tolist() if k])
        for i, step in list(self.steps.items()):
            if isinstance(step, Map) and step.name == "relu":
                self.finish(i, "relu", step.operands[0].indices())
            elif isinstance(step, Contract) and set(step.signs) == {1} and step.rolled and not step.total:
                self.sum(i, step)

    def slope(self, step: Instruction) -> Instruction:
        """A rectifier's slope is known from its result too, so that its operand need not be kept."""
        if isinstance(step, Map) and step.name == "relu'0" and step.rolled:
            x, y = step.operands
            k = self.whole(y.indices()) if y.rolled else None
            made = self.program.instructions[k] if k is not None else step
            if isinstance(made, Map) and made.name == "relu" and np.array_equal(made.operands[0].indices(), x.indices()):
                return dataclasses.replace(step, operands=(y, y))
        return step

    def sum(self, i: int, step: Contract) -> None:
        """A sum of two numbers, or a number times a slope."""
        u, v = step.u, step.v
        if not u.rolled or step.shape[2] > 1 or u.shape[:2] != (u.shape[0], step.shape[1]):
            return
        if len(step.signs) == 2 and self.program.is_ones(v):
            one, other = u.indices().reshape(-1, 2).T
            if not self.finish(i, "add", one, other):
                self.finish(i, "add", other, one)
        elif len(step.signs) == 1 and v.rolled and u.shape == v.shape:
            places = u.indices(), v.indices()
            for one, other in (places, places[::-1]):
                k = self.whole(other)
                slope = self.steps.get(k) if k is not None else None
                if isinstance(slope, Map) and slope.name == "relu'0" and slope.operands[0].rolled and self.readers[k] == 1:
                    if self.finish(i, "relu'0", one, slope.operands[0].indices()):
                        del self.steps[k]
                        return

    def whole(self, places: Array) -> int | None:
        """The instruction whose results stand at these places, one after the other."""
        k = self.made.get(places.item(0))
        whole = k is not None and math.prod(self.program.instructions[k].shape) == places.size
        return k if whole and bool((np.diff(places.ravel()) == 1).all()) else None

    def finish(self, i: int, name: str, places: Array, other: Array | None = None) -> bool:
        """Do an instruction together with the product whose results it reads; whether that can be."""
        k = self.whole(places)
        product = self.steps.get(k) if k is not None else None
        if product is None or not is_product(product) or self.readers[k] > 1:
            return False
        operand = None
        if other is not None:
            if not bool((np.diff(other.ravel()) == 1).all()):
                return False
            operand = View(other.item(0), (other.size,), (1,), rolled=True)
        self.steps[i] = Finished(self.program.instructions[i].offset, product, name, operand)
        del self.steps[k]
        return True
