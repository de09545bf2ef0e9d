"""One call of a compiled function: its program runs, and the results become nodes of the eager graph.

Pipeline: what `function` does at every call, once there is a program.
"""

from __future__ import annotations

import math
import operator
from array import array
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, NoReturn

from .. import calls, engine, modes, trees
from ..engine import Scalar, Value
from ..errors import GraphError
from ..run import as_values
from ..tape import Tape
from .derived import Differentiable, Source, apart, split
from .program import Program
from .rolling import Made
from .trace import CompileError

if TYPE_CHECKING:
    from .evaluate import Machine, Results

__all__ = ["Call", "Entry"]

DATA: Final = operator.attrgetter("data")


@dataclass
class Entry:
    """A program and what it is called with.

    Attributes:
        machine, values: run the program, and where there are several results the one for these alone.
        made: how the result is put together.
        parameters: whose numbers the program takes first; `wanted` are those that derivatives are by, `constants` those
            that required none.
        arguments: for each how many numbers it has, in a row if it is rolled, and whether it is.
        by: which numbers derivatives are by: argument and place; `rolled_by` those of each example.
        rolled: the names of the arguments that are.
        counted: whether `values`, and `machine`, take how many examples there are.
        indices: what `take` is given: the argument, the place of the number, and how many rows there are.
        ends: how many results there are, and how many each example has.
        source: what programs of derivatives are made of.
        seconds: how long each stage took.
    """

    program: Program
    machine: Machine
    values: Machine | None
    made: Made
    parameters: list[Value]
    wanted: list[Value]
    constants: list[Value]
    arguments: list[tuple[int, bool]]
    by: list[tuple[int, int]]
    rolled_by: list[tuple[int, int]]
    rolled: frozenset[str]
    counted: tuple[bool, bool]
    indices: list[tuple[int, int, int]]
    ends: tuple[int, int]
    source: Source
    seconds: dict[str, float]

    def starts(self, examples: int) -> list[int]:
        """Where each argument's numbers start, among those of all."""
        found, start = [], 0
        for size, rolled in self.arguments:
            found.append(start)
            start += size * (examples if rolled else 1)
        return found

    def places(self, examples: int) -> list[int]:
        """Where the numbers stand, among those of all arguments, that derivatives are by."""
        starts = self.starts(examples)
        found = [starts[k] + i for k, i in self.by]
        return found + [
            starts[k] + e * self.arguments[k][0] + i
            for e in range(examples if self.rolled_by else 0)
            for k, i in self.rolled_by
        ]

    def numbers(self, parameters: list[float], flat: list[float], examples: int) -> list[Any]:
        """What the machine takes: the numbers of each block."""
        import numpy as np

        found: list[Any] = [parameters] if parameters else []
        start = 0
        for size, rolled in self.arguments:
            stop = start + size * (examples if rolled else 1)
            if size:
                found.append(np.reshape(flat[start:stop], (examples, size)) if rolled else flat[start:stop])
            start = stop
        return found

    def inside(self, flat: list[float], examples: int) -> bool:
        """Whether every index that `take` is given is that of a row, counted from the start."""
        starts = self.starts(examples)
        for k, i, n in self.indices:
            size, rolled = self.arguments[k]
            first = starts[k] + i
            for place in range(first, first + size * examples, size) if rolled else (first,):
                if not (0.0 <= flat[place] < n and flat[place].is_integer()):
                    return False
        return True


class Call(Differentiable):
    """One call of a compiled function: the rule of the nodes that it gives, as `primitives` and `calls` have them.

    With one result that is a PRIMITIVE, whose derivatives are known; with several a CALL, which runs the program again
    with the gradients of all.

    Arguments:
        again: runs the function eagerly, on these numbers and Values in the place of its arguments'.
    """

    formula = ""
    derivative_texts: tuple[str, ...] = ()

    def __init__(
        self, name: str, symbol: str, entry: Entry, leaves: list[Any], examples: int, again: Callable[[list[Any]], Any]
    ) -> None:
        self.entry, self.source, self.leaves, self.again = entry, entry.source, leaves, again
        self.name, self.symbol = name, symbol
        self.examples = examples
        self.by = entry.places(examples)
        self.operands = (*entry.wanted, *[leaves[i] for i in self.by])
        self.flat: list[float] = list(map(engine.plain, leaves))
        self.numbers = entry.numbers(list(map(DATA, entry.parameters)), self.flat, examples)

    def given(self, counted: bool) -> list[Any]:
        """The numbers of a machine's blocks, seeds left out."""
        return [*self.numbers, [float(self.examples)]] if counted else self.numbers

    def values(self) -> Any:
        """The Values that the call gives."""
        entry = self.entry
        if not entry.inside(self.flat, self.examples):
            return self.again(
                self.leaves
            )  # which knows what an index below 0 means, and what to say about one too large
        machine, counted = entry.values or entry.machine, entry.counted[entry.values is None]
        found = machine.run(self.given(counted), self.examples)
        if not found.finite and not modes.current().allow_nonfinite:
            return self.again(self.leaves)
        if entry.values is None:
            partials = array("d", gradients_of(found).tobytes())
            only = engine.by_rule("primitive", self, self.operands, float(found.outputs[0]), partials)
            return entry.made.rebuild([only], [])
        unknown = array("d", [math.nan]) * len(self.operands)
        node = engine.by_rule("call", self, self.operands, 0.0, unknown)

        def pick(i: int, y: float, path: str) -> Value:
            return engine.by_rule("pick", calls.Pick(self.name, f"{self.symbol}{path}", i), (node,), y, unknown)

        plain, each = entry.ends
        return entry.made.rebuild(
            [pick(i, y, entry.made.path(i)) for i, y in enumerate(found.outputs.tolist())],
            [
                [pick(plain + e * each + k, y, entry.made.rolled_path(k, e)) for k, y in enumerate(row)]
                for e, row in enumerate(found.rolled_outputs.tolist())
            ]
            if each
            else [[]] * self.examples,
        )

    def __reduce__(self) -> NoReturn:
        raise GraphError(
            f"cannot pickle a result of the compiled function {self.name}: its derivatives are a program in memory. "
            "Take it out of the graph first, with detach(), or call the function again"
        )

    def numbers_at(self, operands: Sequence[Any]) -> list[Any]:
        """The numbers of the program's blocks where the operands are these, Values or numbers."""
        entry = self.entry
        n = len(entry.wanted)
        moved = dict(zip(map(id, entry.wanted), operands[:n], strict=True))
        flat = list(self.flat)
        for i, x in zip(self.by, operands[n:], strict=True):
            flat[i] = engine.plain(x)
        parameters = [engine.plain(moved.get(id(x), x)) for x in entry.parameters]
        return entry.numbers(parameters, flat, self.examples)

    # -- of a PRIMITIVE, with numbers for `recompute` and with Values to be differentiated again

    def at(self, operands: Sequence[Any]) -> Results:
        """What the program gives where the operands have these numbers."""
        count = [[float(self.examples)]] if self.entry.counted[1] else []
        return self.entry.machine.run([*self.numbers_at(operands), *count], self.examples)

    def result(self, operands: list[float]) -> float:
        """The result where the operands have these numbers."""
        return float(self.at(operands).outputs[0])

    def slopes(self, places: Sequence[int], operands: tuple[Any, ...], result: Scalar) -> list[Any]:
        """The derivatives by some operands."""
        found: Sequence[Any]
        if isinstance(result, Value):
            found = self.pull_values(operands, {0: 1.0})
        else:
            found = gradients_of(self.at(operands)).tolist()
        return [found[place] for place in places]

    # -- of a CALL; `Differentiable` has the other ways

    def pull(self, operands: tuple[Any, ...], seeds: dict[int, float]) -> Sequence[float]:
        """The derivative by each operand of the results, each times its seed."""
        row = self.row(seeds)
        if self.source.single:
            found = self.at(operands)
        else:
            count = [[float(self.examples)]] if self.entry.counted[1] else []
            blocks = [*self.numbers_at(operands), *count, *split(row, self.source.outputs, self.examples)]
            found = self.entry.machine.run(blocks, self.examples)
        if found.finite:
            slopes: list[float] = gradients_of(found).tolist()
            return [row[0] * x for x in slopes] if self.source.single else slopes
        return self.tape(operands).pull(array("d", row))

    def tape(self, operands: tuple[Any, ...]) -> Tape:
        """The function's graph, recorded eagerly."""
        inputs = apart(operands)
        n = len(self.entry.wanted)
        if not all(map(operator.is_, inputs[:n], self.entry.wanted)):
            raise CompileError(
                f"the graph with a result of {self.name} was copied, and where there is no program for its derivatives "
                "the function runs again, which would not use the copies of the parameters that it finds by itself"
            )
        leaves = list(self.leaves)
        for i, x in zip(self.by, inputs[n:], strict=True):
            leaves[i] = x
        with modes.Recording():
            results, _ = trees.flatten(self.again(leaves))
        return Tape(as_values(results), inputs)


def gradients_of(found: Results) -> Any:
    """The derivatives by all operands: those of each example come last, example by example."""
    import numpy as np

    rows = (found.gradients, found.rolled_gradients.ravel())
    return (
        np.concatenate(rows).astype(np.float64, copy=False) if rows[1].size else rows[0].astype(np.float64, copy=False)
    )
