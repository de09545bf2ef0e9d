"""Finish: small operations are done together with the sums whose results they read, or which read theirs.

Pipeline: trace → differentiate → lift → program → **plan** → native; what plan does with a program first.

Reading and writing numbers takes longer than a rectifier or a product. So what one instruction alone reads is not
written where that can be helped:

- a rectifier, its slope times something, a sum with something: done with a product's results before these are stored;
- an operation on sums of a few terms for each example: done with some of them at a time;
- products that are summed up: terms of the sum.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Final

import numpy as np

from .program import Contract, Gather, Instruction, Map, Operand, Program
from .softmax import Softmax, Softmaxes
from .steps import Array, Term

__all__ = ["AFTER", "NARROW", "Finished", "Step", "finished", "is_few"]

NARROW: Final = 24  # products of numbers, or operations on one, up to which an instruction is taped
FEW: Final = 4  # terms of the sums for which there is a loop of its own
AFTER: Final = {"": 0, "add": 1, "relu": 2, "relu'0": 3}  # as in sums.h: what is done with products,
ALONE: Final = ("neg", "abs", "square", "reciprocal", "sqrt", "sign", "relu", "exp", "scale")  # and with sums of a few


@dataclass(frozen=True)
class Finished:
    """A contract, and what is done with each of its results: alone, or with a number of another operand, or its one.

    Attributes:
        order: for each of the contract's results the place of what is made of it among those.
        other: in the order of these places.
    """

    offset: int
    contract: Contract
    name: str
    order: Array
    other: Gather | None = None

    @property
    def rolled(self) -> bool:
        """Whether there is a result for each example."""
        return self.contract.rolled

    @property
    def shape(self) -> tuple[int, ...]:
        """The sizes of the result."""
        return self.contract.shape

    @property
    def operands(self) -> tuple[Operand, ...]:
        """Those of the contract, and the other."""
        return self.contract.operands + ((self.other,) if self.other else ())


Step = Instruction | Finished | Softmax


def is_product(step: Contract) -> bool:
    """Whether a contract is a product of matrices for the machine; with examples, if one factor is the same for all."""
    (b, r, s), n = step.shape, len(step.signs)
    if step.total or (step.u.rolled and step.v.rolled) or is_few(step):
        return False
    if step.rolled:
        return n > 1 and (r if step.v.rolled else s) > 1
    return r > 1 and s > 1 and b * r * s * n > NARROW


def is_few(step: Contract) -> bool:
    """Whether a contract is sums of a few terms for each example."""
    return step.rolled and len(step.signs) <= FEW and 1 in step.shape[1:]


def finished(program: Program) -> dict[int, Step]:
    """The steps of a program, by the number of the instruction that is the last in each."""
    if program.rolled_size or any(isinstance(x, Map) and x.name == "relu" for x in program.instructions):
        return Finisher(program).steps
    return dict(enumerate(program.instructions))


class Finisher(Softmaxes):
    """The steps, small operations being done with sums."""

    def __init__(self, program: Program) -> None:
        super().__init__(program)
        self.steps = {i: self.slope(step) for i, step in self.steps.items()}
        self.readers = self.count_readers()
        self.find_softmaxes()
        for i, step in list(self.steps.items()):
            if isinstance(step, Contract) and is_few(step):
                self.insert(i, step)
        for i, step in list(self.steps.items()):
            if isinstance(step, Map) and step.name in ALONE:
                self.finish(i, step.name, self.indices(step.operands[0]), step.rolled)
            elif isinstance(step, Contract) and not step.total and len(step.signs) < 3 and set(step.signs) == {1}:
                self.sum(i, step)

    def slope(self, step: Instruction) -> Instruction:
        """A rectifier's slope is known from its result too, so that its operand need not be kept."""
        if isinstance(step, Map) and step.name == "relu'0":
            x, y = step.operands
            k = self.whole(self.indices(y), y.rolled)
            made = step if k is None else self.program.instructions[k]
            of_x = np.array_equal(self.indices(made.operands[0]), self.indices(x))
            if of_x and isinstance(made, Map) and made.name == "relu":
                return dataclasses.replace(step, operands=(y, y))
        return step

    # ---- products as terms of sums

    def insert(self, i: int, step: Contract) -> None:
        """Put products into the sum that alone reads them, in place of their results."""
        found: list[Term] = []
        inserted: set[int] = set()
        for term in self.terms(step):
            places = self.alone(term, True)
            k = None if places is None else self.all_of(places, True)
            made = None if k is None or self.readers[k] > 1 else self.steps.get(k)
            if k is not None and isinstance(made, Contract) and is_few(made) and made.adjoint == step.adjoint:
                order = np.asarray(places) - made.offset
                found += [x.reordered(order, term.sign) for x in self.terms(made)]
                inserted.add(k)
            else:
                found.append(term)
        mixed = any(x.others_rolled for x in found)
        ones = np.flatnonzero(self.known[True] == 1.0)[:1]
        for x in found if mixed else ():
            if not x.others_rolled:
                if not len(ones) or not self.is_one(x.others, False):
                    return
                x.others = np.full_like(x.others, ones[0])
        if inserted and len(found) <= FEW:
            u, v = np.stack([x.places for x in found], axis=1), np.stack([x.others for x in found], axis=1)
            signs = tuple([x.sign for x in found])
            left, right = Gather(u[:, None], rolled=True), Gather(v[:, None], rolled=mixed)
            self.steps[i] = Contract(step.offset, left, right, signs, step.adjoint)
            for k in inserted:
                del self.steps[k]

    # ---- operations on the results of sums

    def sum(self, i: int, step: Contract) -> None:
        """A sum of two numbers, or a number times another: a slope, or one for all."""
        terms, rolled = self.terms(step), step.rolled
        if len(terms) == 2:
            one, other = (self.alone(x, rolled) for x in terms)
            if one is not None and other is not None and not self.finish(i, "add", one, rolled, other):
                self.finish(i, "add", other, rolled, one)
        elif rolled and not terms[0].others_rolled:
            if bool((terms[0].others == terms[0].others[0]).all()):
                self.finish(i, "scale", terms[0].places, rolled, terms[0].others[:1])
        elif terms[0].rolled == terms[0].others_rolled == rolled and step.adjoint:  # where 0 times anything is 0
            for x in (terms[0], terms[0].turned()):
                k = self.all_of(x.others, rolled)
                slope = None if k is None else self.steps.get(k)
                if k is not None and isinstance(slope, Map) and slope.name == "relu'0" and self.readers[k] == 1:
                    y, order = slope.operands[0], x.others - slope.offset
                    if y.rolled == rolled and self.finish(
                        i, slope.name, x.places, rolled, self.indices(y).ravel()[order]
                    ):
                        del self.steps[k]
                        return

    def finish(self, i: int, name: str, places: Array, rolled: bool, other: Array | None = None) -> bool:
        """Do an instruction together with the sums whose results it reads; whether that can be."""
        k = self.whole(places, rolled) if rolled else self.all_of(places, rolled)
        sums = None if k is None else self.steps.get(k)
        if k is None or not isinstance(sums, Contract) or self.readers[k] > 1:
            return False
        if not (name in AFTER and is_product(sums)) and not (name in ALONE and is_few(sums)):
            return False
        operand = None
        if other is not None:
            beside = rolled and name != "scale"
            if beside and not bool((np.diff(other.ravel()) == 1).all()):
                return False
            operand = Gather(other.ravel(), beside)
        self.steps[i] = Finished(self.program.instructions[i].offset, sums, name, np.argsort(places.ravel()), operand)
        del self.steps[k]
        return True
