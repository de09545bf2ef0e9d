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

from .. import calls, engine, flat, modes, symbolic, trees
from ..engine import Scalar, Value
from ..errors import GraphError
from ..run import as_values
from ..tape import Tape
from .program import Program
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
        by: which numbers of the arguments derivatives are by.
        sizes: how many numbers each argument has.
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
    seconds: dict[str, float]

    def __post_init__(self) -> None:
        self.part = flat.locate(self.parameters)
        self.wanted_part = flat.locate(self.wanted)
        self.operands = tuple(self.wanted)

    def in_store(self) -> bool:
        """Whether the parameters' numbers stand in a store, after taking them in if need be."""
        part = self.part
        if part is not None and not part.store.live:  # they went into a larger one, with those of another function
            part = self.part = flat.locate(self.parameters)
            self.wanted_part = flat.locate(self.wanted)
        return part is not None and part.ready()

    def numbers(self) -> list[Any]:
        """The parameters' numbers, as the program's first block.

        With one result they are to be read at once; with several they are kept, for a gradient's way back.
        """
        if not self.parameters:
            return []
        if self.part is None or not self.in_store():
            return [list(map(DATA, self.parameters))]
        return [self.part.data() if self.values is None else self.part.copy_data()]


def in_memory_order(found: Trace) -> tuple[list[Value], list[int]]:
    """A function's parameters in the order in which they stand in a store, and the node of each.

    So that a program can read the store itself, it is given all that is there, unless that is much more than it needs.
    """
    part = flat.share(found.parameters)
    if part is None:
        return found.parameters, found.parameter_nodes
    nodes = dict(zip(map(id, found.parameters), found.parameter_nodes, strict=True))
    together = part.store.values
    if len(together) > 2 * len(nodes):
        together = [x for x in together if id(x) in nodes]
    return list(together), [nodes[id(x)] if id(x) in nodes else found.scalars.leaf() for x in together]


class Call(flat.Rule):
    """One call of a compiled function: the rule of the nodes that it gives, as `primitives` and `calls` have them.

    With one result that is a PRIMITIVE, whose derivatives are known; with several a CALL, which runs the program again
    with the gradients of all. What the program cannot do yet, such as derivatives of derivatives, is done eagerly.
    """

    several = True
    captured = 0
    refers = True
    formula = ""
    derivative_texts: tuple[str, ...] = ()

    def __init__(self, name: str, symbol: str, entry: Entry, leaves: list[Any], again: Callable[[], Any]) -> None:
        self.entry, self.again = entry, again
        self.name, self.symbol = name, symbol
        self.operands = (*entry.operands, *[leaves[i] for i in entry.by]) if entry.by else entry.operands
        self.numbers = entry.numbers()
        self.part = entry.wanted_part if self.numbers and not entry.by and entry.part is not None else None
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

    # -- of a PRIMITIVE, with numbers for `recompute` and with Values to be differentiated again

    def at(self, operands: Sequence[float]) -> Results:
        """What the program gives where the operands have these numbers."""
        entry = self.entry
        n = len(entry.wanted)
        moved = dict(zip(map(id, entry.wanted), operands[:n], strict=True))
        places = dict(zip(entry.by, operands[n:], strict=True))
        numbers: list[Any] = []
        if entry.parameters:
            numbers.append([moved.get(id(x), engine.plain(x)) for x in entry.parameters])
        flat = [x for row in self.numbers[len(numbers) :] for x in row]
        for i, x in places.items():
            flat[i] = x
        start = 0
        for size in entry.sizes:
            if size:
                numbers.append(flat[start : start + size])
            start += size
        return entry.machine.run(numbers)

    def result(self, operands: list[float]) -> float:
        """The result where the operands have these numbers."""
        return float(self.at(operands).outputs[0])

    def slope(self, place: int, operands: tuple[Any, ...], result: Scalar) -> Any:
        """The derivative by an operand."""
        if isinstance(result, Value):
            return self.pull_values(operands, {0: 1.0})[place]
        return float(self.at([engine.plain(x) for x in operands]).gradients[place])

    # -- of a CALL

    def pull(self, operands: tuple[Any, ...], seeds: dict[int, float]) -> Sequence[float]:
        """The derivative by each operand of the results, each times its seed."""
        row = [seeds.get(i, 0.0) for i in range(self.entry.made.size)]
        found = self.entry.machine.run([*self.numbers, row])
        if found.finite:
            return found.gradients.tolist()  # type: ignore[no-any-return]
        return self.tape(operands).pull(array("d", row))

    def pull_values(self, operands: tuple[Any, ...], seeds: dict[int, Value | float]) -> Sequence[Scalar | None]:
        """The same, as Values."""
        return symbolic.pull(self.tape(operands), [seeds.get(i, 0.0) for i in range(self.entry.made.size)])

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
