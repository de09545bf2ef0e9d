"""One call of a compiled function: its program runs, and the results become nodes of the eager graph.

Pipeline: what `function` does at every call, once there is a program.
"""

from __future__ import annotations

import math
import operator
from array import array
from collections.abc import Sequence
from itertools import pairwise
from typing import TYPE_CHECKING, Any, Final, NoReturn, Protocol

try:
    import cython
except ImportError:
    from .. import _cython as cython

from .. import calls, engine, modes, trees
from ..engine import Scalar, Value
from ..errors import GraphError
from ..flat import Part, Rule, doubles_of, is_finite, locate, result_of, share
from ..reader import Reader, are_rows
from ..run import as_values
from ..tape import Tape
from .derived import Differentiable, Source, apart
from .program import CompileError, Program
from .rolling import Made
from .trace import Trace

if TYPE_CHECKING:
    from .evaluate import Machine, Results
    from .function import Compiled

__all__ = ["Call", "Entry"]

DATA: Final = operator.attrgetter("data")


NOTHING: Final = array("d")


class Given(Protocol):
    """What a call is given: `reader.Numbers`, or the `function`'s own.

    Attributes:
        array: the numbers of all arguments, in order.
        examples: how many rows the batches have, 1 where there is none.
        values: the Values among the numbers, and `places` where they stand.
    """

    array: array[float]
    examples: int
    values: list[Value]
    places: list[int]

    def leaves(self) -> list[Any]:
        """The numbers and Values."""

    def again(self, f: Any, leaves: list[Any]) -> Any:
        """What a function gives for these arguments with other leaves."""


@cython.final
@cython.cclass
class Entry:
    """A program and what it is called with.

    Arguments:
        machine: runs the program.
        made: how the result is put together.
        parameters: whose numbers the program takes first, and `part` where they stand; `wanted` are those that
            derivatives are by, `constants` those that required none.
        arguments: for each how many numbers it has, in a row if it is rolled, and whether it is.
        by: which numbers derivatives are by: argument and place; `rolled_by` those of each example.
        rolled: the names of the arguments that are.
        counted: whether it takes how many examples there are.
        indices: what `take` is given: the argument, the place of the number, and how many rows there are.
        ends: how many results there are, and how many each example has; `fixed` are those, plain ones first, that
            depend on nothing that derivatives are by.
        source: what programs of derivatives are made of.
        seconds: how long each stage took.
    """

    def __init__(
        self,
        program: Program,
        machine: Machine,
        made: Made,
        parameters: list[Value],
        part: Part | None,
        wanted: list[Value],
        constants: list[Value],
        arguments: list[tuple[int, bool]],
        by: list[tuple[int, int]],
        rolled_by: list[tuple[int, int]],
        rolled: frozenset[str],
        counted: bool,
        indices: list[tuple[int, int, int]],
        ends: tuple[int, int],
        fixed: frozenset[int],
        source: Source,
        seconds: dict[str, float],
    ) -> None:
        self.program, self.machine, self.made = program, machine, made
        self.parameters, self.wanted, self.constants = parameters, wanted, constants
        self.arguments, self.by, self.rolled_by, self.rolled = arguments, by, rolled_by, rolled
        self.counted, self.indices, self.ends, self.fixed = counted, indices, ends, fixed
        self.source, self.seconds = source, seconds
        self.part = part
        self.wanted_part = locate(wanted)
        self.operands = tuple(wanted)
        self.single = ends == (1, 0)
        self.alone = str(made.structure) == "number"
        self.key: object = None  # what it is kept under
        self.reader: Reader | None = None
        self.tries = 8  # so many times a reader is made
        self.version = -1  # of the store, when it was found that the constants still are
        self.slices: tuple[int, list[slice]] = (-1, [])  # where each argument's numbers stand among so many examples
        self.rows: tuple[int, Any, Any] = (-1, None, None)  # the same for `indices`

    def call(self, function: Compiled, given: Given, by: list[Value]) -> Any:
        """The result of a function.

        Arguments:
            by: the Values among the arguments that derivatives are by.
        """
        call: Call = Call.__new__(Call)
        call.entry, call.source, call.function, call.given = self, self.source, function, given
        call.name, call.symbol = function.name, function.symbol
        numbers = call.numbers = given.array
        examples = call.examples = given.examples
        parameters = self.parameter_numbers()  # in a store, or not, from here on
        if by:
            call.operands = (*self.operands, *by)
        else:
            call.operands, call.part = self.operands, self.wanted_part
        if not (is_finite(numbers) and self.inside(numbers, examples)):
            # Eager code knows what an index below 0 means, what to say about one too large, and how nan compares.
            return call.again(given.leaves())
        if not self.single or self.rolled_by:
            return call.values(parameters)
        counts = array("d", [examples]) if self.counted else NOTHING
        y, slopes, finite = self.machine.single((parameters, numbers, counts), examples, self.program.chooses)
        if not finite:
            return call.again(given.leaves())
        only = Value(y, requires_grad=False) if self.fixed else result_of(call, y, slopes)
        return only if self.alone else self.made.rebuild([only], [])

    def in_store(self) -> bool:
        """Whether the parameters' numbers stand in a store, after taking them in if need be."""
        part: Part | None = self.part
        if part is None or not part.store.live:  # they went into a larger one, with those of another function
            part = self.part = locate(self.parameters)
            self.wanted_part = locate(self.wanted)
        return part is not None and part.ready()

    def parameter_numbers(self) -> array[float]:
        """Their numbers, to be read at once: this may be the store's own array."""
        if not self.parameters:
            return NOTHING
        return self.part.data() if self.in_store() else array("d", map(DATA, self.parameters))  # type: ignore[union-attr]

    def is_constant(self) -> bool:
        """Whether those are still constants that were when the program was made."""
        if not self.constants:
            return True
        version = self.part.store.version if self.in_store() else -1  # type: ignore[union-attr]
        if version < 0 or version != self.version:
            for x in self.constants:
                if x.requires_grad:
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

    def blocks(self, parameters: Sequence[float], numbers: array[float], examples: int) -> list[Any]:
        """What the machine takes: the numbers of each block."""
        found: list[Any] = [parameters] if self.parameters else []
        known, slices = self.slices  # at once: another thread may come with another number of examples
        if known != examples:
            ends = [*self.starts(examples), len(numbers)]
            slices = [slice(*x) for x in pairwise(ends) if x[0] < x[1]]
            self.slices = examples, slices
        return found + [numbers[part] for part in slices]

    def inside(self, numbers: array[float], examples: int) -> bool:
        """Whether every index that `take` is given is that of a row, counted from the start."""
        if not self.indices:
            return True
        known, places, counts = self.rows
        if known != examples:
            starts = self.starts(examples)
            places, counts = array("i"), array("d")
            for k, i, n in self.indices:
                size, rolled = self.arguments[k]
                count = examples if rolled else 1
                places.extend(range(starts[k] + i, starts[k] + i + size * count, size))
                counts.extend([n] * count)
            self.rows = examples, places, counts
        return are_rows(numbers, places, counts)


def in_memory_order(found: Trace) -> tuple[list[Value], list[int], Part | None]:
    """A function's parameters in the order in which they stand in a store, the node of each, and where they stand.

    So that a program can read the store itself, it is given all that is there, unless that is much more than it needs.
    """
    part = share(found.parameters)
    if part is None:
        return found.parameters, found.parameter_nodes, None
    nodes = dict(zip(map(id, found.parameters), found.parameter_nodes, strict=True))
    together = part.store.values
    if len(together) > 2 * len(nodes):
        together = [x for x in together if id(x) in nodes]
    places = [nodes[id(x)] if id(x) in nodes else found.scalars.leaf() for x in together]
    return list(together), places, locate(together)


@cython.cclass
class Called(Rule):
    """What is known of a `Call` where it is made. The class is there for its C types: nothing may take time then."""

    if not cython.compiled:
        entry: Entry
        source: Source
        function: Compiled
        given: Given
        name: str
        symbol: str
        numbers: array[float]
        parameters: array[float]
        examples: int


class Call(Called, Differentiable):
    """One call of a compiled function: the rule of the nodes that it gives, as `primitives` and `calls` have them.

    With one result that is a PRIMITIVE, whose derivatives are known; with several a CALL, for whose gradients there is
    another program. `Entry.call` makes it.

    Attributes:
        function, given: what was called, and with what; `numbers` are those that were given, `parameters`, of several
            results, those of the parameters.
        operands: what derivatives are by: parameters, then Values among the arguments.
    """

    formula = ""
    derivative_texts: tuple[str, ...] = ()

    def again(self, leaves: list[Any]) -> Any:
        """What the function gives eagerly, with these numbers and Values in the place of its arguments'."""
        values = [x if isinstance(x, Value) else Value(x, requires_grad=False) for x in leaves]
        results, made = trees.flatten(self.given.again(self.function.f, values))
        return trees.rebuild(made, as_values(results))

    def run(self, blocks: list[Any]) -> Results:
        """What the program gives for these blocks."""
        entry = self.entry
        count = [[float(self.examples)]] if entry.counted else []
        return entry.machine.run([*blocks, *count], self.examples, entry.program.chooses)

    def values(self, parameters: array[float]) -> Any:
        """The Values that the call gives, where it is not `Entry.call` that makes the only one."""
        entry = self.entry
        found = self.run(entry.blocks(parameters, self.numbers, self.examples))
        if not found.finite:
            return self.again(self.given.leaves())
        if entry.single:
            only = result_of(self, float(found.outputs[0]), doubles_of(gradients_of(found)))
            return only if entry.alone else entry.made.rebuild([only], [])
        self.parameters = parameters[:]  # a step may change them before the sweep back comes
        unknown = array("d", [math.nan]) * len(self.operands)
        node = engine.by_rule("call", self, self.operands, 0.0, unknown)

        def pick(k: int, y: float, path: str, i: int) -> Value:
            if k in entry.fixed:
                return Value(y, requires_grad=False)
            return engine.by_rule("pick", calls.Pick(self.name, f"{self.symbol}{path}", i), (node,), y, unknown)

        (plain, each), paths = entry.ends, entry.made.rolled_paths
        return entry.made.rebuild(
            list(map(pick, range(plain), found.outputs.tolist(), entry.made.paths, range(plain))),
            [
                [pick(plain + k, y, f"[{e}]".join(paths[k]), plain + e * each + k) for k, y in enumerate(row)]
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

    def numbers_at(self, operands: Sequence[Any]) -> list[Any] | None:
        """The numbers of the program's blocks where the operands are these, Values or numbers, and others as they are.

        None where eager code has to say what the arguments mean, as in `Entry.call`.
        """
        entry = self.entry
        if operands is self.operands and not entry.single:  # the sweep back of several results, of what they were
            return entry.blocks(self.parameters, self.numbers, self.examples)
        n = len(entry.wanted)
        moved = dict(zip(map(id, entry.wanted), operands[:n], strict=True))
        numbers = self.numbers[:]
        places = [*self.given.places, *entry.places(self.examples)]
        for i, x in zip(places, [*self.given.values, *operands[n:]], strict=True):
            numbers[i] = engine.plain(x)
        if not (is_finite(numbers) and entry.inside(numbers, self.examples)):
            return None
        parameters = [engine.plain(moved.get(id(x), x)) for x in entry.parameters]
        return entry.blocks(parameters, numbers, self.examples)

    # -- of a PRIMITIVE, with numbers for `recompute` and with Values to be differentiated again

    def at(self, operands: Sequence[Any]) -> Results | None:
        """What the program gives where the operands have these numbers; None where eager code has to say that."""
        numbers = self.numbers_at(operands)
        return None if numbers is None else self.run(numbers)

    def recorded(self, operands: Sequence[float]) -> tuple[list[Value], list[Value]]:
        """The same as a graph; the parameters have the operands' numbers."""
        wanted, n = self.entry.wanted, len(self.entry.wanted)
        same = array("d", map(engine.plain, wanted)) == array("d", operands[:n])
        return self.record((*(wanted if same else operands[:n]), *map(Value, operands[n:])))

    def result(self, operands: list[float]) -> float:
        """The result where the operands have these numbers."""
        found = self.at(operands)
        if found is not None and math.isfinite(found.outputs[0]):
            return float(found.outputs[0])
        results, _ = self.recorded(operands)
        return results[0].data

    def slopes(self, places: Sequence[int], operands: tuple[Any, ...], result: Scalar) -> list[Any]:
        """The derivatives by some operands."""
        found: Sequence[Any]
        if isinstance(result, Value):
            found = self.pull_values(operands, {0: 1.0})
        else:
            run = self.at(operands)
            if run is not None:
                found = gradients_of(run).tolist()
            else:
                found = Tape(*self.recorded(operands)).pull(array("d", [1.0]))
        return [found[place] for place in places]

    # -- of a CALL; `Differentiable` has the other ways

    def pull(self, operands: tuple[Any, ...], seeds: dict[int, float]) -> Sequence[float]:
        """The derivative by each operand of the results, each times its seed."""
        if self.entry.single:
            found = self.at(operands)
            if found is not None and found.finite:
                return [seeds[0] * x for x in gradients_of(found).tolist()]
            return self.tape(operands).pull(array("d", [seeds[0]]))
        return super().pull(operands, seeds)

    def tape(self, operands: tuple[Any, ...]) -> Tape:
        return Tape(*self.record(operands))

    def record(self, operands: tuple[Any, ...]) -> tuple[list[Value], list[Value]]:
        """The function's results, recorded eagerly, and the operands as inputs of their graph."""
        inputs = apart(operands)
        n = len(self.entry.wanted)
        if not all(map(operator.is_, inputs[:n], self.entry.wanted)):
            raise CompileError(
                f"the graph with a result of {self.name} was copied, and where there is no program for its derivatives "
                "the function runs again, which would not use the copies of the parameters that it finds by itself"
            )
        leaves = self.given.leaves()[:]
        for i, x in zip(self.entry.places(self.examples), inputs[n:], strict=True):
            leaves[i] = x
        with modes.Recording():
            results, _ = trees.flatten(self.again(leaves))
        return as_values(results), inputs


def gradients_of(found: Results) -> Any:
    """The derivatives by all operands: those of each example come last, example by example."""
    import numpy as np

    plain, rolled = found.gradients, found.rolled_gradients
    if rolled.size:
        plain = np.concatenate((plain, rolled.ravel()))
    return plain if plain.dtype.char == "d" else plain.astype(np.float64)
