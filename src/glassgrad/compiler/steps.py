"""Steps: the instructions of a program while some of them are put together, and what is asked about them.

Pipeline: trace → differentiate → lift → program → **plan** → native; what `softmax` and `finish` have in common.

What keeps the numbers right, whichever instructions are put together:

- steps run in the order of their numbers, and what a step reads is made by one before it;
- an instruction disappears only if one step reads it, and that step no longer does;
- what the program returns is made where the program says.
"""

from __future__ import annotations

import dataclasses
import functools
import math
from collections import Counter
from dataclasses import dataclass
from typing import Any

import numpy as np

from .products import as_operand
from .program import Contract, Map, Operand, Program, Spread

__all__ = ["Array", "Steps", "Term"]

Array = np.ndarray[Any, Any]


@dataclass
class Term:
    """A term of sums: for each of them the places of both factors, and whether they are rolled; such a one is first."""

    places: Array
    rolled: bool
    others: Array
    others_rolled: bool
    sign: int

    def turned(self) -> Term:
        """With the other factor first."""
        return Term(self.others, self.others_rolled, self.places, self.rolled, self.sign)

    def reordered(self, order: Array, sign: int) -> Term:
        """The same in another order, with that sign."""
        return Term(self.places[order], self.rolled, self.others[order], self.others_rolled, self.sign * sign)


class Steps:
    """The steps so far.

    Attributes:
        steps: by the number of the instruction that is the last in each.
        made: which instruction's results start at a place of one of the arrays.
        owner: for each place of both arrays one more than the instruction that writes it; 0 for those of blocks.
        readers: how many steps read an instruction's results, at most; what the program returns is one more. Steps that
            have been put together are not counted again.
        returned: the instructions some of whose results the program returns.
        known: the constants, by place; nan where there is none.
        stands: where numbers with examples stand, by place: some are known to be others, and are not made again. Those
            others stand where they always did.
    """

    def __init__(self, program: Program) -> None:
        self.program = program
        self.indices = functools.cache(lambda operand: operand.indices())
        self.steps: dict[int, Any] = dict(enumerate(program.instructions))
        self.made = {(step.rolled, step.offset): i for i, step in self.steps.items()}
        self.owner = {False: np.zeros(program.size, np.int64), True: np.zeros(program.rolled_size, np.int64)}
        for i, step in enumerate(program.instructions, 1):
            self.owner[step.rolled][step.offset : step.offset + math.prod(step.shape)] = i
        self.readers: Counter[int] = Counter()
        results = (program.outputs, program.gradients, program.rolled_outputs, program.rolled_gradients)
        self.returned = self.makers(*results)
        self.stands = np.arange(program.rolled_size)
        self.known: dict[bool, Array] = {}
        for rolled in (False, True):
            self.known[rolled] = self.find_known(rolled)

    def makers(self, *operands: Operand) -> set[int]:
        """The instructions some of whose results operands read."""
        read = np.zeros(len(self.program.instructions) + 1, dtype=bool)
        for operand in operands:
            read[self.owner[operand.rolled][self.indices(operand)]] = True
        return set(np.flatnonzero(read[1:]).tolist())

    def count_readers(self) -> Counter[int]:
        """How many readers each instruction's results have."""
        found = Counter(self.returned)
        for step in self.steps.values():
            found.update(self.makers(*step.operands))
        return found

    def reads(self, step: Contract, k: int) -> int:
        """How many results of an instruction with examples the factors of a sum are, each as often as it is one."""
        owners = [self.owner[True][self.indices(operand)] for operand in step.operands if operand.rolled]
        return sum([int(np.count_nonzero(x == k + 1)) for x in owners])

    def find_known(self, rolled: bool) -> Array:
        """The constants in one of the arrays."""
        found = np.full(self.program.rolled_size if rolled else self.program.size, math.nan)
        for block in self.program.blocks:
            if block.constants is not None and block.rolled == rolled:
                found[block.offset : block.offset + block.size] = block.constants
        for step in self.program.instructions if rolled else ():
            if isinstance(step, Spread):
                places = self.indices(step.operand).ravel()
                found[step.offset : step.offset + places.size] = self.known[False][places]
        return found

    def is_one(self, places: Array, rolled: bool) -> bool:
        """Whether the constant 1 is at all of these places."""
        return bool((self.known[rolled][places] == 1.0).all())

    def whole(self, places: Array, rolled: bool) -> int | None:
        """The instruction whose results stand at these places, one after the other."""
        k = self.made.get((rolled, places.item(0)))
        if k is None or math.prod(self.program.instructions[k].shape) != places.size:
            return None
        return k if bool((np.diff(places.ravel()) == 1).all()) else None

    def all_of(self, places: Array, rolled: bool) -> int | None:
        """The instruction all of whose results stand at these places, in any order."""
        return self.whole(np.sort(places, axis=None), rolled)

    def some_of(self, places: Array) -> int | None:
        """The instruction with examples that writes all of these places."""
        owners = self.owner[True][places]
        return int(owners[0]) - 1 if owners.min() == owners.max() > 0 else None

    def terms(self, step: Contract) -> list[Term]:
        """The terms of a sum."""
        u, v, (b, r, s) = step.u, step.v, step.shape
        left = np.broadcast_to(self.indices(u)[:, :, None], (b, r, s, len(step.signs))).reshape(b * r * s, -1)
        right = np.broadcast_to(self.indices(v)[:, None], (b, r, s, len(step.signs))).reshape(b * r * s, -1)
        found = [Term(left[:, k], u.rolled, right[:, k], v.rolled, sign) for k, sign in enumerate(step.signs)]
        return [x.turned() if x.others_rolled and not x.rolled else x for x in found]

    def alone(self, term: Term, rolled: bool) -> Array | None:
        """Where the numbers of a term are whose other factor is 1, if they are in that array."""
        for x in (term, term.turned()):
            if x.rolled == rolled and self.is_one(x.others, x.others_rolled):
                return x.places
        return None

    def move(self) -> None:
        """Have all steps read numbers where they stand."""
        if not np.array_equal(self.stands, np.arange(len(self.stands))):
            self.steps = {i: self.moved(step) for i, step in self.steps.items()}

    def moved(self, step: Any) -> Any:
        """A step that does."""
        operands = [self.moved_operand(operand) for operand in step.operands]
        if isinstance(step, Contract):
            return dataclasses.replace(step, u=operands[0], v=operands[1])
        return dataclasses.replace(step, operands=tuple(operands)) if isinstance(step, Map) else step

    def moved_operand(self, operand: Operand) -> Operand:
        """An operand that does."""
        places = self.indices(operand)
        stands = self.stands[places] if operand.rolled else places
        return operand if np.array_equal(places, stands) else as_operand(stands, rolled=True)
