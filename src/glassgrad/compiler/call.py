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
from .derived import Differentiable, Source, apart
from .program import Program

if TYPE_CHECKING:
    from .evaluate import Machine

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
        by: which numbers of the arguments derivatives are by.
        sizes: how many numbers each argument has.
        source: what programs of derivatives are made of.
        seconds: how long each stage took.
    """

    program: Program
    machine: Machine
    values: Machine | None
    made: trees.Structure
    parameters: list[Value]
    wanted: list[Value]
    constants: list[Value]
    by: list[int]
    sizes: list[int]
    source: Source
    seconds: dict[str, float]


class Call(Differentiable):
    """One call of a compiled function: the rule of the nodes that it gives, as `primitives` and `calls` have them.

    With one result that is a PRIMITIVE, whose derivatives are known; with several a CALL, which runs the program again
    with the gradients of all.
    """

    formula = ""
    derivative_texts: tuple[str, ...] = ()

    def __init__(self, name: str, symbol: str, entry: Entry, leaves: list[Any], again: Callable[[], Any]) -> None:
        self.entry, self.again, self.source = entry, again, entry.source
        self.name, self.symbol = name, symbol
        self.operands = (*entry.wanted, *[leaves[i] for i in entry.by])
        self.numbers = [list(map(DATA, entry.parameters))] if entry.parameters else []
        start = 0
        for size in entry.sizes:
            if size:
                self.numbers.append([engine.plain(x) for x in leaves[start : start + size]])
            start += size

    def values(self) -> Any:
        """The Values that the call gives."""
        entry = self.entry
        if entry.values is None:
            found = entry.machine.run(self.numbers)
            if not found.finite and not modes.current().allow_nonfinite:
                return self.again()
            results = [
                engine.by_rule(
                    "primitive", self, self.operands, float(found.outputs[0]), array("d", found.gradients.tobytes())
                )
            ]
        else:
            found = entry.values.run(self.numbers)
            if not found.finite and not modes.current().allow_nonfinite:
                return self.again()
            unknown = array("d", [math.nan]) * len(self.operands)
            node = engine.by_rule("call", self, self.operands, 0.0, unknown)
            results = [
                engine.by_rule(
                    "pick", calls.Pick(self.name, f"{self.symbol}{entry.made.path(i)}", i), (node,), y, unknown
                )
                for i, y in enumerate(found.outputs.tolist())
            ]
        return trees.rebuild(entry.made, results)

    def __reduce__(self) -> NoReturn:
        raise GraphError(
            f"cannot pickle a result of the compiled function {self.name}: its derivatives are a program in memory. "
            "Take it out of the graph first, with detach(), or call the function again"
        )

    def given(self, operands: Sequence[Any]) -> list[Any]:
        """What the program is given where the operands are these, all in a row."""
        parameters = self.entry.parameters
        found = [*map(engine.plain, parameters)]
        for row in self.numbers[1:] if parameters else self.numbers:
            found += row
        for place, x in zip(self.source.places, operands, strict=True):
            found[place] = x
        return found

    def numbers_at(self, operands: Sequence[Any]) -> list[Any]:
        """The numbers of the program's blocks where the operands are these."""
        return self.source.split(self.given([*map(engine.plain, operands)]))

    # -- of a PRIMITIVE, with numbers for `recompute` and with Values to be differentiated again

    def result(self, operands: list[float]) -> float:
        """The result where the operands have these numbers."""
        return float(self.entry.machine.run(self.numbers_at(operands)).outputs[0])

    def slopes(self, places: Sequence[int], operands: tuple[Any, ...], result: Scalar) -> list[Any]:
        """The derivatives by some operands."""
        found: Sequence[Any]
        if isinstance(result, Value):
            found = self.pull_values(operands, {0: 1.0})
        else:
            found = self.entry.machine.run(self.numbers_at(operands)).gradients.tolist()
        return [found[place] for place in places]

    # -- of a CALL; `Differentiable` has the other ways

    def pull(self, operands: tuple[Any, ...], seeds: dict[int, float]) -> Sequence[float]:
        """The derivative by each operand of the results, each times its seed."""
        row = [seeds.get(i, 0.0) for i in range(self.entry.made.size)]
        numbers = self.numbers_at(operands)
        found = self.entry.machine.run(numbers if self.source.single else [*numbers, row])
        if found.finite:
            return (found.gradients * row[0] if self.source.single else found.gradients).tolist()  # type: ignore[no-any-return]
        return self.tape(operands).pull(array("d", row))

    def tape(self, operands: tuple[Any, ...]) -> Tape:
        """The function's graph, recorded eagerly: by itself, which knows labels, or from its program."""
        inputs = apart(operands)
        with modes.Recording():
            if all(map(operator.is_, inputs, self.operands)):
                leaves, _ = trees.flatten(self.again())
            else:
                leaves = self.source.replay(self.given(inputs))
        return Tape(as_values(leaves), inputs)
