"""Finish: small operations are done together with the sums whose results they read, or which read theirs.

Pipeline: trace → differentiate → lift → program → **plan** → native; what plan does with a program at first.

Reading and writing numbers takes longer than a rectifier or a product. So what one instruction alone reads is not
written where that can be helped:

- a rectifier, its slope times something, a sum with something: done with a product's results before these are stored;
- operations on sums of a few terms for each example, one after the other: done with some of them at a time;
- a number times products of rows of examples: done with these, where they stand;
- products that are summed up: terms of the sum.
"""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from .products import as_operand, is_window
from .program import Contract, Gather, Instruction, Map, Operand, Program
from .softmax import Softmax, Softmaxes
from .steps import Array, Term

__all__ = ["NARROW", "Finished", "Step", "after", "finished", "is_few", "results_of"]

NARROW: Final = 24  # products of numbers, or operations on one, up to which an instruction is taped
FEW: Final = 4  # terms of the sums for which there is a loop of its own
AFTER: Final = {"": 0, "add": 1, "relu": 2, "relu'0": 3}  # as in sums.h: what is done with products,
ALONE: Final = ("neg", "abs", "square", "reciprocal", "sqrt", "sign", "relu", "exp")  # and with sums of a few,
ALL_ALIKE: Final = ("scale", "shift")  # with one number for all of them


@dataclass(frozen=True)
class Operation:
    """What is done with results: alone, with the number of another operand beside each, or with its one number."""

    name: str
    other: Operand | None = None


@dataclass(frozen=True)
class Finished:
    """A contract, and what is done with each of its results.

    Attributes:
        operations: one after the other; of a product only one. Of a sum that is only copied there is none.
        order: for each of the contract's results the place of what is made of it among those; in this order is what
            stands beside them.
    """

    offset: int
    contract: Contract
    operations: tuple[Operation, ...]
    order: Array

    @property
    def rolled(self) -> bool:
        """Whether there is a result for each example."""
        return self.contract.rolled

    @property
    def shape(self) -> tuple[int, ...]:
        """The sizes of the contract's result: there are as many of its own."""
        return self.contract.shape

    @property
    def operands(self) -> tuple[Operand, ...]:
        """Those of the contract and of the operations."""
        return self.contract.operands + tuple([x.other for x in self.operations if x.other])


Step = Instruction | Finished | Softmax


def results_of(step: Step) -> tuple[Instruction | Finished, ...]:
    """What a step makes: each stands from its offset on."""
    return step.results if isinstance(step, Softmax) else (step,)


def after(last: Finished | None) -> tuple[int, Operand | None]:
    """What is done with the results of a product, as a code, and what stands beside them."""
    done = last.operations[0] if last else Operation("")
    return AFTER[done.name], done.other


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
        self.readers = self.count_readers()  # a slope reads less than it did
        self.find_softmaxes()  # before their differences become parts of other sums
        for i, step in list(self.steps.items()):
            if isinstance(step, Contract) and is_few(step):
                self.insert(i, step)
        for i, step in list(self.steps.items()):
            if isinstance(step, Map) and step.name in ALONE:
                self.join(i, [Operation(step.name)], self.indices(step.operands[0]), step.rolled)
            elif isinstance(step, Contract) and not step.total and len(step.signs) < 3:
                self.sum(i, step)
        self.move()

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
        terms = self.terms(step)
        alone = [self.alone(term, True) for term in terms]
        makers = [None if places is None else self.all_of(places, True) for places in alone]
        for term, places, k in zip(terms, alone, makers, strict=True):
            made = None if k is None or self.readers[k] > 1 else self.steps.get(k)
            if places is None or k is None or self.reads(step, k) > places.size * makers.count(k):
                found.append(term)  # something else reads them too
            elif isinstance(made, Contract) and is_few(made) and made.adjoint == step.adjoint:
                order = places - made.offset
                found += [x.reordered(order, term.sign) for x in self.terms(made)]
                inserted.add(k)
            else:
                found.append(term)
        mixed = any(x.others_rolled for x in found)
        ones = np.flatnonzero((self.known[True] == 1.0) & (self.owner[True] <= i))[:1]  # there before this step
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
        if (rolled and self.alike(i, terms)) or -1 in step.signs:
            return
        if len(terms) == 2:
            one, other = (self.alone(x, rolled) for x in terms)
            if one is not None and other is not None and not self.beside(i, "add", one, rolled, other):
                self.beside(i, "add", other, rolled, one)
        elif terms[0].rolled == terms[0].others_rolled == rolled and step.adjoint:
            self.slope_times(i, terms[0])

    def alike(self, i: int, terms: list[Term]) -> bool:
        """A number times results, plus a number, the same for all of them: whether that is done with their sums."""
        *others, last = sorted(terms, key=self.is_number)
        if self.is_number(last):
            shift = [Operation("shift", Gather(last.places[:1], last.rolled))]
        else:
            others, shift = [*others, last], []
        if len(others) != 1 or others[0].others_rolled or not bool((others[0].others == others[0].others[0]).all()):
            return False
        term = others[0]
        operations = [Operation("neg")] * (term.sign < 0)
        if not self.is_one(term.others, rolled=False):
            operations.append(Operation("scale", Gather(term.others[:1])))
        if self.join(i, [*operations, *shift], term.places, rolled=True):
            return True
        return not shift and [x.name for x in operations] == ["scale"] and self.scaled(i, term)

    def is_number(self, term: Term) -> bool:
        """Whether a term is one constant, the same for all sums."""
        numbers = self.known[term.rolled][term.places]
        return term.sign == 1 and self.is_one(term.others, term.others_rolled) and bool((numbers == numbers[0]).all())

    def scaled(self, i: int, term: Term) -> bool:
        """Sums that share factors, times a number: they stand where the sums would. Whether it is such."""
        k = self.some_of(term.places)
        sums = None if k is None else self.steps.get(k)
        if k is None or not isinstance(sums, Contract) or self.readers[k] > 1 or i in self.returned:
            return False
        if is_few(sums) or not (sums.u.rolled and sums.v.rolled) or sums.shape[1:] == (1, 1):
            return False
        if self.owner[False][term.others[0]] > k:  # the number is made after the sums
            return False
        offset = self.program.instructions[i].offset
        operations = (Operation("scale", Gather(term.others[:1])),)
        self.steps[k] = Finished(sums.offset, sums, operations, np.arange(math.prod(sums.shape)))
        self.stands[offset : offset + len(term.places)] = term.places
        del self.steps[i]
        return True

    def slope_times(self, i: int, term: Term) -> None:
        """A slope times what comes back to it: where 0 times anything is 0."""
        for x in (term, term.turned()):
            k = self.all_of(x.others, x.rolled)
            slope = None if k is None else self.steps.get(k)
            if k is not None and isinstance(slope, Map) and slope.name == "relu'0" and self.readers[k] == 1:
                y, order = slope.operands[0], x.others - slope.offset
                other = self.indices(y).ravel()[order]
                if y.rolled == x.rolled and self.beside(i, slope.name, x.places, x.rolled, other):
                    del self.steps[k]
                    return

    def beside(self, i: int, name: str, places: Array, rolled: bool, other: Array) -> bool:
        """The same for an operation with a number beside each result: with examples, one row behind the other."""
        stand = (self.stands[other] if rolled else other).ravel()
        if rolled and not bool((np.diff(stand) == 1).all()):
            return False
        return self.join(i, [Operation(name, as_operand(stand, rolled))], places, rolled)

    def join(self, i: int, operations: list[Operation], places: Array, rolled: bool) -> bool:
        """Do operations together with the sums whose results they read; whether that can be."""
        k = self.all_of(places, rolled)
        sums = None if k is None else self.steps.get(k)
        if k is None or self.readers[k] > 1 or not isinstance(sums, Contract | Finished):
            return False
        if k in self.makers(*[x.other for x in operations if x.other]):
            return False  # they stand beside the results as well
        before = sums.operations if isinstance(sums, Finished) else ()
        contract = sums.contract if isinstance(sums, Finished) else sums
        order, names = np.argsort(places.ravel()), [x.name for x in operations]
        if is_few(contract):  # row after row, in their order
            able = set(names) <= {*ALONE, *ALL_ALIKE} and bool((np.diff(order) == 1).all())
        elif is_product(contract) and not before and len(names) == 1 and names[0] in AFTER:
            # With examples it is written with three strides, from where the sums start.
            able = not rolled or bool(order[0] == 0 and is_window(order.reshape(contract.shape)))
        else:
            able = False
        if able:
            self.steps[i] = Finished(self.program.instructions[i].offset, contract, (*before, *operations), order)
            del self.steps[k]
        return able

    def moved(self, step: Any) -> Any:
        """A step that reads numbers where they stand."""
        if not isinstance(step, Finished):
            return super().moved(step)
        operations = [Operation(x.name, x.other and self.moved_operand(x.other)) for x in step.operations]
        return dataclasses.replace(step, contract=self.moved(step.contract), operations=tuple(operations))
