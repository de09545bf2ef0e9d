"""One call of a compiled function: its program runs, and the results become nodes of the eager graph.

Pipeline: what `function` does at every call, once there is a program.
"""

from __future__ import annotations

import math
import operator
from array import array
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Any, Final, NoReturn

from .. import calls, engine, modes, symbolic, trees
from ..engine import Scalar, Value
from ..errors import GraphError
from ..flat import Rule, doubles_of, locate, result_of, share
from ..reader import Reader, are_rows
from ..run import as_values
from ..tape import Tape
from .program import Program
from .rolling import Made
from .trace import CompileError, Trace

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
    seconds: dict[str, float]

    def __post_init__(self) -> None:
        self.part = locate(self.parameters)
        self.wanted_part = locate(self.wanted)
        self.operands = tuple(self.wanted)
        self.key: object = None  # what it is kept under
        self.alone = self.values is None and str(self.made.structure) == "number"
        self.reader: Reader | None = None
        self.tries = 8  # so many times a reader is made
        self.version = -1  # of the store, when it was found that the constants still are
        self.slices: tuple[int, list[slice]] = (-1, [])  # where each argument's numbers stand among so many examples
        self.rows: tuple[int, Any, Any] = (-1, None, None)  # the same for `indices`

    def in_store(self) -> bool:
        """Whether the parameters' numbers stand in a store, after taking them in if need be."""
        part = self.part
        if part is not None and not part.store.live:  # they went into a larger one, with those of another function
            part = self.part = locate(self.parameters)
            self.wanted_part = locate(self.wanted)
        return part is not None and part.ready()

    def parameter_numbers(self) -> Any:
        """Their numbers: with one result to be read at once, with several for the gradients as well."""
        if not self.in_store():
            return list(map(DATA, self.parameters))
        return self.part.data() if self.values is None else self.part.copy_data()  # type: ignore[union-attr]

    def is_constant(self) -> bool:
        """Whether those are still constants that were when the program was made."""
        if not self.constants:
            return True
        version = self.part.store.version if self.in_store() else -1  # type: ignore[union-attr]
        if version < 0 or version != self.version:
            if any(x.requires_grad for x in self.constants):
                return False
            self.version = version
        return True

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

    def numbers(self, parameters: Sequence[float], flat: array[float], examples: int) -> list[Any]:
        """What the machine takes: the numbers of each block."""
        found: list[Any] = [parameters] if self.parameters else []
        if self.slices[0] != examples:
            ends = [*self.starts(examples), len(flat)]
            self.slices = examples, [slice(*x) for x in pairwise(ends) if x[0] < x[1]]
        if len(self.slices[1]) < 2:
            return [*found, flat] if self.slices[1] else found
        source: Any = flat if len(flat) < 1000 else memoryview(flat)  # which takes longer than to copy so many
        return found + [source[part] for part in self.slices[1]]

    def inside(self, flat: array[float], examples: int) -> bool:
        """Whether every index that `take` is given is that of a row, counted from the start."""
        if not self.indices:
            return True
        if self.rows[0] != examples:
            starts = self.starts(examples)
            places, counts = array("i"), array("d")
            for k, i, n in self.indices:
                size, rolled = self.arguments[k]
                count = examples if rolled else 1
                places.extend(range(starts[k] + i, starts[k] + i + size * count, size))
                counts.extend([n] * count)
            self.rows = examples, places, counts
        return are_rows(flat, *self.rows[1:])


def in_memory_order(found: Trace) -> tuple[list[Value], list[int]]:
    """A function's parameters in the order in which they stand in a store, and the node of each.

    So that a program can read the store itself, it is given all that is there, unless that is much more than it needs.
    """
    part = share(found.parameters)
    if part is None:
        return found.parameters, found.parameter_nodes
    nodes = dict(zip(map(id, found.parameters), found.parameter_nodes, strict=True))
    together = part.store.values
    if len(together) > 2 * len(nodes):
        together = [x for x in together if id(x) in nodes]
    return list(together), [nodes[id(x)] if id(x) in nodes else found.scalars.leaf() for x in together]


class Call(Rule):
    """One call of a compiled function: the rule of the nodes that it gives, as `primitives` and `calls` have them.

    With one result that is a PRIMITIVE, whose derivatives are known; with several a CALL, which runs the program again
    with the gradients of all. What the program cannot do yet, such as derivatives of derivatives, is done eagerly.
    """

    several = True
    captured = 0
    refers = True
    formula = ""
    derivative_texts: tuple[str, ...] = ()

    def __init__(
        self,
        name: str,
        symbol: str,
        entry: Entry,
        flat: array[float],
        by: list[Value],
        examples: int,
        again: Callable[[], Any],
    ) -> None:
        self.entry, self.again = entry, again
        self.name, self.symbol = name, symbol
        self.examples = examples
        self.operands = (*entry.operands, *by) if by else entry.operands
        self.flat = flat
        self.numbers = entry.numbers(entry.parameter_numbers(), flat, examples)
        self.part = None if by else entry.wanted_part

    def given(self, counted: bool) -> list[Any]:
        """The numbers of a machine's blocks, seeds left out."""
        return [*self.numbers, [float(self.examples)]] if counted else self.numbers

    def values(self) -> Any:
        """The Values that the call gives."""
        entry = self.entry
        if not entry.inside(self.flat, self.examples):
            return self.again()  # which knows what an index below 0 means, and what to say about one too large
        machine, counted = entry.values or entry.machine, entry.counted[entry.values is None]
        found = machine.run(self.given(counted), self.examples)
        if not found.finite and not modes.current().allow_nonfinite:
            return self.again()
        if entry.values is None:
            partials = doubles_of(gradients_of(found) if entry.rolled_by else found.gradients)
            only = result_of(self, float(found.outputs[0]), partials)
            return only if entry.alone else entry.made.rebuild([only], [])
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

    # -- of a PRIMITIVE, with numbers for `recompute` and with Values to be differentiated again

    def at(self, operands: Sequence[float]) -> Results:
        """What the program gives where the operands have these numbers."""
        entry = self.entry
        n = len(entry.wanted)
        moved = dict(zip(map(id, entry.wanted), operands[:n], strict=True))
        flat = self.flat[:]
        for i, x in zip(entry.places(self.examples), operands[n:], strict=True):
            flat[i] = x
        parameters = [moved.get(id(x), engine.plain(x)) for x in entry.parameters]
        numbers = entry.numbers(parameters, flat, self.examples)
        return entry.machine.run([*numbers, [float(self.examples)]] if entry.counted[1] else numbers, self.examples)

    def result(self, operands: list[float]) -> float:
        """The result where the operands have these numbers."""
        return float(self.at(operands).outputs[0])

    def slope(self, place: int, operands: tuple[Any, ...], result: Scalar) -> Any:
        """The derivative by an operand."""
        if isinstance(result, Value):
            return self.pull_values(operands, {0: 1.0})[place]
        return float(gradients_of(self.at([engine.plain(x) for x in operands]))[place])

    # -- of a CALL

    def pull(self, operands: tuple[Any, ...], seeds: dict[int, float]) -> Sequence[float]:
        """The derivative by each operand of the results, each times its seed."""
        row = self.seeds(seeds)
        plain, each = self.entry.ends
        numbers = self.given(self.entry.counted[1])
        if plain:
            numbers = [*numbers, row[:plain]]
        if each:
            numbers = [*numbers, [row[plain + e * each : plain + (e + 1) * each] for e in range(self.examples)]]
        found = self.entry.machine.run(numbers, self.examples)
        if found.finite:
            return gradients_of(found).tolist()  # type: ignore[no-any-return]
        return self.tape(operands).pull(array("d", row))

    def seeds(self, seeds: dict[int, Any]) -> list[Any]:
        """The seed of each result, 0 where there is none."""
        plain, each = self.entry.ends
        return [seeds.get(i, 0.0) for i in range(plain + each * self.examples)]

    def pull_values(self, operands: tuple[Any, ...], seeds: dict[int, Value | float]) -> Sequence[Scalar | None]:
        """The same, as Values."""
        return symbolic.pull(self.tape(operands), self.seeds(seeds))

    def push(self, operands: tuple[Any, ...], tangents: list[float]) -> Sequence[float]:
        """The velocity of each result."""
        return self.tape(operands).push(array("d", tangents))

    def push_values(self, operands: tuple[Any, ...], tangents: list[Any]) -> Sequence[Scalar | None]:
        """The same, as Values."""
        return symbolic.push(self.tape(operands), tangents)

    def tape(self, operands: tuple[Any, ...]) -> Tape:
        """The function's graph, recorded eagerly."""
        if not all(map(operator.is_, operands, self.operands)):
            raise CompileError(
                f"the graph with a result of {self.name} was copied, and what a compiled function has no program for, "
                "such as derivatives of derivatives, works on the original only"
            )
        with modes.Recording():
            leaves, _ = trees.flatten(self.again())
        return Tape(as_values(leaves), list(operands))


def gradients_of(found: Results) -> Any:
    """The derivatives by all operands: those of each example come last, example by example."""
    import numpy as np

    rows = (found.gradients, found.rolled_gradients.ravel())
    return (
        np.concatenate(rows).astype(np.float64, copy=False) if rows[1].size else rows[0].astype(np.float64, copy=False)
    )
