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

from .program import Contract, Gather, Instruction, Map, Operand, Program, Spread, View
from .reuse import Array

__all__ = ["AFTER", "FEW", "Finished", "Step", "finished", "is_product"]

FEW: Final = 4  # terms of the sums for which there is a loop of its own
AFTER: Final = {"": 0, "add": 1, "relu": 2, "relu'0": 3}  # as in sums.h: what is done with products,
ALONE: Final = ("neg", "abs", "square", "reciprocal", "sqrt", "sign", "relu", "exp")  # and with sums of a few terms


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


@dataclass
class Term:
    """A term of sums: for each of them the places of both factors, and whether these are rolled."""

    places: Array
    rolled: bool
    others: Array
    others_rolled: bool
    sign: int

    def turned(self) -> Term:
        """With a rolled factor first."""
        return self if self.rolled else Term(self.others, self.others_rolled, self.places, self.rolled, self.sign)

    def reordered(self, order: Array, sign: int) -> Term:
        """The same in another order, with that sign."""
        return Term(self.places[order], self.rolled, self.others[order], self.others_rolled, self.sign * sign)


Step = Instruction | Finished


def is_product(step: Step) -> bool:
    """Whether a step is a product of numbers that all examples share with such of which each has its own."""
    if not isinstance(step, Contract) or step.total or step.u.rolled == step.v.rolled or is_few(step):
        return False
    return len(step.signs) > 1 and step.shape[1 if step.v.rolled else 2] > 1


def is_few(step: Step) -> bool:
    """Whether a step is sums of a few terms for each example."""
    return isinstance(step, Contract) and step.rolled and len(step.signs) <= FEW and 1 in step.shape[1:]


def finished(program: Program) -> dict[int, Step]:
    """The steps of a program, by the number of the instruction that is the last in each."""
    if not program.rolled_size:
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
        self.ones: dict[bool, Array] = {}  # where a constant is 1, in the first array and in the second
        for rolled in (False, True):
            self.ones[rolled] = self.places_of_ones(rolled)
        for i, step in list(self.steps.items()):
            if isinstance(step, Contract) and is_few(step):
                self.insert(i, step)
        for i, step in list(self.steps.items()):
            if isinstance(step, Map) and step.name in ALONE:
                self.finish(i, step.name, step.operands[0].indices())
            elif isinstance(step, Contract) and set(step.signs) == {1} and is_few(step):
                self.sum(i, step)

    def places_of_ones(self, rolled: bool) -> Array:
        """Where a constant is 1 in one of the arrays."""
        found = [
            block.offset + np.flatnonzero(np.array(block.constants) == 1.0)
            for block in self.program.blocks
            if block.constants is not None and block.rolled == rolled
        ]
        for step in self.program.instructions if rolled else ():
            if isinstance(step, Spread):
                found.append(step.offset + np.flatnonzero(np.isin(step.operand.indices().ravel(), self.ones[False])))
        return np.concatenate([*found, np.zeros(0, dtype=np.int64)])

    def terms(self, step: Contract) -> list[Term]:
        """The terms of a sum."""
        b, r, s = step.shape
        left = np.broadcast_to(step.u.indices()[:, :, None], (b, r, s, len(step.signs))).reshape(b * r * s, -1)
        right = np.broadcast_to(step.v.indices()[:, None], (b, r, s, len(step.signs))).reshape(b * r * s, -1)
        return [
            Term(left[:, k], step.u.rolled, right[:, k], step.v.rolled, sign).turned() for k, sign in enumerate(step.signs)
        ]

    def is_one(self, places: Array, rolled: bool) -> bool:
        """Whether the constant 1 is at all of these places."""
        return bool(np.isin(places, self.ones[rolled]).all())

    def insert(self, i: int, step: Contract) -> None:
        """Put products into the sum that alone reads them, in place of their results."""
        found: list[Term] = []
        inserted: set[int] = set()
        for term in self.terms(step):
            if term.others_rolled and self.is_one(term.places, True):
                term = Term(term.others, True, term.places, True, term.sign)  # noqa: PLW2901 - the same, turned
            k = self.all_of(term.places) if self.is_one(term.others, term.others_rolled) else None
            made = self.steps.get(k) if k is not None else None
            if made is None or not is_few(made) or self.readers[k] > 1 or made.adjoint != step.adjoint:
                found.append(term)
            else:
                inserted.add(k)
                found += [x.reordered(term.places - made.offset, term.sign) for x in self.terms(made)]
        mixed = any(x.others_rolled for x in found)
        if not inserted or len(found) > FEW or (mixed and not len(self.ones[True])):
            return
        for x in found:
            if mixed and not x.others_rolled:
                if not self.is_one(x.others, False):
                    return
                x.others = np.full_like(x.others, self.ones[True][0])
        u, v = (np.stack(x, axis=1)[:, None] for x in ([x.places for x in found], [x.others for x in found]))
        signs = tuple([x.sign for x in found])
        self.steps[i] = Contract(step.offset, Gather(u, rolled=True), Gather(v, rolled=mixed), signs, step.adjoint)
        for k in inserted:
            del self.steps[k]

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
        terms = self.terms(step)
        if len(terms) == 2 and all(self.is_one(x.others, x.others_rolled) for x in terms):
            one, other = (x.places for x in terms)
            if not self.finish(i, "add", one, other):
                self.finish(i, "add", other, one)
        elif len(terms) == 1 and terms[0].others_rolled:
            for one, other in ((terms[0].places, terms[0].others), (terms[0].others, terms[0].places)):
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

    def all_of(self, places: Array) -> int | None:
        """The same, or in any order."""
        return self.whole(np.sort(places))

    def finish(self, i: int, name: str, places: Array, other: Array | None = None) -> bool:
        """Do an instruction together with the product whose results it reads; whether that can be."""
        k = self.whole(places)
        sums = self.steps.get(k) if k is not None else None
        fits = (is_product(sums) and name in AFTER) or (is_few(sums) and name in ALONE) if sums else False
        if not fits or self.readers[k] > 1:
            return False
        operand = None
        if other is not None:
            if not bool((np.diff(other.ravel()) == 1).all()):
                return False
            operand = View(other.item(0), (other.size,), (1,), rolled=True)
        self.steps[i] = Finished(self.program.instructions[i].offset, sums, name, operand)
        del self.steps[k]
        return True
