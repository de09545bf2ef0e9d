"""Softmax: logarithms of sums of exponentials, and what share each exponential has in its sum, are computed together.

Pipeline: trace → differentiate → lift → program → **plan** → native; a part of `finish`, and the first.

A share is exp(x - logsumexp(xs)), in a model as in the derivative of logsumexp, which also divides it by the sum of all
shares: for what the difference was rounded by. But logsumexp has the exponentials at hand. Divided by their sum they
are the shares, right to the last digits; and the sum of these is 1, so that nothing is left to divide by.
"""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from .program import Contract, Map, Operand, Program
from .steps import Array, Steps

__all__ = ["Softmax", "Softmaxes"]


@dataclass(frozen=True)
class Softmax:
    """Logarithms of sums of exponentials for each example, and shares in these sums.

    Attributes:
        logs: the logarithms.
        shares: the instruction whose results the shares are.
        places: for each operand of `logs` and each result where its share goes; -1 where nobody reads it.
    """

    logs: Map
    shares: Map
    places: Array
    rolled: bool = True

    @property
    def results(self) -> tuple[Map, Map]:
        """What it makes."""
        return self.logs, self.shares

    @property
    def operands(self) -> tuple[Operand, ...]:
        """Those of the logarithms."""
        return self.logs.operands


class Softmaxes(Steps):
    """The steps, logarithms of sums and shares being one.

    Attributes:
        found: such steps, by the instruction whose results are the shares.
        rows: for each place of a share which of the sums it is a part of.
    """

    def __init__(self, program: Program) -> None:
        super().__init__(program)
        self.found: dict[int, Softmax] = {}
        self.rows = np.zeros(program.rolled_size, np.int64)

    def find_softmaxes(self) -> None:
        """Replace logarithms and their shares by such steps."""
        maps = [(i, step) for i, step in self.steps.items() if isinstance(step, Map) and step.rolled]
        if not any(step.name == "logsumexp" for _, step in maps):
            return
        for i, step in maps:
            if step.name == "exp":
                self.share(i, step)
        for i, step in maps:
            if step.name == "div" and i not in self.returned:
                self.divide(i, step)
        self.move()

    def share(self, i: int, step: Map) -> None:
        """If exponentials are shares in the sums of one logsumexp, exp(x - logs), they are made with it."""
        between = self.whole(self.indices(step.operands[0]), rolled=True)
        difference = None if between is None else self.steps.get(between)
        if between is None or not isinstance(difference, Contract) or self.readers[between] > 1:
            return
        if sorted(difference.signs) != [-1, 1]:
            return
        minus, plus = (self.alone(x, rolled=True) for x in sorted(self.terms(difference), key=lambda x: x.sign))
        if minus is None or plus is None:
            return
        above = self.some_of(minus)
        logs = None if above is None else self.steps.get(above)
        if above is None or not isinstance(logs, Map) or logs.name != "logsumexp":
            return
        if not all(operand.rolled for operand in logs.operands):
            return
        rows = minus - logs.offset
        same = self.table(logs)[:, rows] == plus
        places = np.full((len(logs.operands), math.prod(logs.shape)), -1)
        places[same.argmax(axis=0), rows] = step.offset + np.arange(len(plus))
        if same.any(axis=0).all() and np.count_nonzero(places >= 0) == len(plus):  # each is another operand's
            self.rows[step.offset : step.offset + len(plus)] = rows
            self.steps[above] = self.found[i] = Softmax(logs, step, places)
            del self.steps[i], self.steps[between]

    def table(self, step: Map) -> Array:
        """The places of its operands [operand, result]."""
        return np.stack([self.indices(operand).ravel() for operand in step.operands])

    def divide(self, i: int, step: Map) -> None:
        """Shares over the sum of all shares of their row are these shares; what is masked, or 0, adds nothing."""
        if not all(operand.rolled for operand in step.operands):
            return
        shares, sums = self.table(step)
        exps, below = self.some_of(shares), self.some_of(sums)
        softmax = None if exps is None else self.found.get(exps)
        total = None if below is None else self.steps.get(below)
        if below is None or softmax is None or not isinstance(total, Contract) or -1 in total.signs:
            return
        rows = self.rows[shares]
        masked = self.known[True][self.table(softmax.logs)] == -math.inf
        terms = [self.alone(x, rolled=True) for x in self.terms(total)]
        if any(x is None for x in terms) or not ((softmax.places >= 0) | masked)[:, rows].all():
            return
        added = np.stack([x for x in terms if x is not None])[:, sums - total.offset]
        added[self.known[True][added] == 0.0] = -1
        if same_columns(added, softmax.places[:, rows]):
            self.stands[step.offset : step.offset + len(shares)] = shares
            del self.steps[i]
            if self.readers[below] == 1:
                del self.steps[below]

    def moved(self, step: Any) -> Any:
        """A step that reads shares where they stand."""
        if isinstance(step, Softmax):
            return dataclasses.replace(step, logs=self.moved(step.logs))
        return super().moved(step)


def same_columns(a: Array, b: Array) -> bool:
    """Whether each column of one has the numbers of that column of the other, in any order and but for -1."""
    rows = max(len(a), len(b))
    a, b = (np.pad(x, ((0, rows - len(x)), (0, 0)), constant_values=-1) for x in (a, b))
    return np.array_equal(np.sort(a, axis=0), np.sort(b, axis=0))
