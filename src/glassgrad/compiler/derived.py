"""Derived: the derivatives of a compiled call as compiled calls in turn, to any order.

Pipeline: trace → differentiate → lift → … makes the first program. When second derivatives are asked for, the same
stages make more programs from its forward part, each once for all calls: `expand` → differentiate → lift.

    gradient of F   (operands, seeds) ↦ Jᵀ s          `differentiate`, after `expand` where F has derivatives in it
    tangent of F    (operands, tangents) ↦ J v        the derivative of <Jᵀ s, v> by s: the way back, transposed

Both are functions of the same kind as F, so each has a gradient and a tangent itself. A call of one is a CALL, as in
`calls`. The matrix of second derivatives is symmetric: the tangent of a gradient of one result is its gradient.

Where a rule takes too many branches, a program gets too large, or a number is not finite, the function's graph is
recorded eagerly and differentiated as any other.
"""

from __future__ import annotations

import itertools
import math
import threading
from array import array
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from .. import calls, engine, modes, symbolic
from ..engine import Scalar, Value
from ..run import as_values
from ..tape import Tape, release, variable
from .differentiate import differentiate
from .expand import Expanded, TooManyPaths, expand
from .program import Program, Shape
from .scalars import CONST, LEAF, Scalars, code_of, name_of
from .uncollected import uncollected

if TYPE_CHECKING:
    from .evaluate import Machine

__all__ = ["Derived", "Differentiable", "Group", "Source", "apart", "split"]

Block = tuple[str, list[int], Shape]

NODES: Final = 3_000_000  # of a derivative's program; recording it eagerly is no slower then, and forgotten afterwards


class Group(NamedTuple):
    """Nodes that go together, as operands, seeds or results: those with one number, and those with one per example."""

    plain: list[int]
    rolled: list[int]

    def of(self, found: Expanded) -> Group:
        """These nodes in another program."""
        return Group(found.of(self.plain), found.of(self.rolled))

    def size(self, examples: int) -> int:
        """How many numbers they have."""
        return len(self.plain) + len(self.rolled) * examples


# ---- functions -------------------------------------------------------------------------------------------------------


class Source:
    """A scalar program, kept in little memory, that derivatives are made of when they are asked for.

    Arguments:
        scalars: the program, as far as it counts.
        blocks: the leaves as they are given, but for how many examples there are: name, nodes, shape.
        outputs: the nodes of the results, in groups.
        by: the leaves that derivatives are by, one for each operand of a call, in groups.
        start: the first node of an adjoint; len(scalars) if there is none.
        single: whether the gradient is that of the only result, with the seed 1.
        prepare: makes a program ready to run.
    """

    symmetric = False  # whether the derivatives by the operands are a symmetric matrix
    fresh: Scalars | None = None  # the program as it was made, for the first who asks

    def __init__(
        self,
        scalars: Scalars,
        blocks: list[Block],
        outputs: list[Group],
        by: list[Group],
        start: int,
        single: bool,
        prepare: Callable[[Program], Machine],
    ) -> None:
        self.blocks, self.outputs, self.by = blocks, outputs, by
        self.start, self.single, self.prepare = start, single, prepare
        import numpy as np

        n = len(scalars)
        self.codes, self.starts = scalars._codes[:n], scalars._starts[: n + 1]
        self.operands = scalars._below[: self.starts[n]]
        codes = np.asarray(self.codes)
        self.numbers = array("d", np.asarray(scalars._numbers)[:n][codes == code_of(CONST)].tobytes())
        leaves = (codes == code_of(LEAF)) & (np.asarray(scalars._rolled)[:n] != 0)
        self.rolled = set(np.flatnonzero(leaves).tolist())
        self.examples = scalars.examples
        self.lock = threading.RLock()
        self.made: dict[str, Any] = {}

    def scalars(self) -> Scalars:
        """The program again, to be extended."""
        found, self.fresh = self.fresh, None
        if found is not None:
            return found
        found = Scalars()
        names = {code: name_of(code) for code in set(self.codes)}
        numbers = iter(self.numbers)
        for i, code in enumerate(self.codes):
            op = names[code]
            if i == self.examples:
                found.count()
            elif op == LEAF:
                found.leaf(i in self.rolled)
            elif op == CONST:
                found.const(next(numbers))
            else:
                found.node(op, *self.operands[self.starts[i] : self.starts[i + 1]])
        return found

    def once(self, what: str, make: Callable[[], Any]) -> Any:
        """What is made when it is first asked for."""
        with self.lock:
            if what not in self.made:
                with uncollected():
                    self.made[what] = make()
            return self.made[what]

    @property
    def machine(self) -> Machine:
        """What computes the results."""

        def make() -> Machine:
            from .lift import lift

            plain, rolled = self.nodes(self.outputs)
            scalars = self.scalars()
            count = [] if self.examples is None else [("n", [self.examples], ())]
            return self.prepare(lift(scalars, [*self.blocks, *count], plain, [], self.start, rolled))

        return self.once("machine", make)  # type: ignore[no-any-return]

    @staticmethod
    def nodes(groups: list[Group]) -> tuple[list[int], list[int]]:
        """The nodes of some groups: all that have one number, then all that have one per example."""
        return [i for group in groups for i in group.plain], [i for group in groups for i in group.rolled]

    def size(self, examples: int) -> int:
        """How many results there are."""
        return sum(group.size(examples) for group in self.outputs)

    def run(self, numbers: list[Any], examples: int) -> list[float] | None:
        """The results, group by group, in each those of the examples last; None where one is not finite.

        Arguments:
            numbers: those of the blocks.
        """
        count = [] if self.examples is None else [[float(examples)]]
        found = self.machine.run([*numbers, *count], examples)
        if not found.finite:
            return None
        plain, rows = found.outputs.tolist(), found.rolled_outputs.tolist()
        if not rows or not rows[0]:
            return plain  # type: ignore[no-any-return]
        results: list[float] = []
        start = first = 0
        for group in self.outputs:
            stop, last = start + len(group.plain), first + len(group.rolled)
            results += plain[start:stop]
            for row in rows:
                results += row[first:last]
            start, first = stop, last
        return results

    @property
    def gradient(self) -> Source | None:
        """The derivatives by the operands of the results' sum, each times a seed; None where there is no program."""

        def make() -> Source | None:
            found = self.differentiated(self.by, "seeds", self.single)
            if found is not None:
                found.symmetric = self.single
            return found

        return self.once("gradient", make)  # type: ignore[no-any-return]

    @property
    def tangent(self) -> Source | None:
        """The velocities of the results for velocities of the operands."""

        def make() -> Source | None:
            back = self.differentiated(self.by, "seeds", False)
            return (
                None if back is None else back.differentiated(back.by[len(self.by) :], "tangents", False, linear=True)
            )

        return self.once("tangent", make)  # type: ignore[no-any-return]

    def differentiated(self, by: list[Group], name: str, single: bool, linear: bool = False) -> Source | None:
        """The derivatives by some leaves of the results' sum, each times its seed, in a block of that name; or 1.

        Arguments:
            linear: whether the results are linear in these leaves: the derivatives do not depend on them, which go.
        """
        plain, rolled = self.nodes(by)
        results = [*itertools.chain(*self.nodes(self.outputs))]
        try:
            expanded = expand(self.scalars(), results, [*plain, *rolled], self.start)
        except TooManyPaths:
            return None
        scalars = expanded.scalars
        seeds = [] if single else [leaves_like(group, scalars) for group in self.outputs]
        outputs, given = self.nodes([group.of(expanded) for group in self.outputs]), self.nodes(seeds)
        adjoint = differentiate(
            scalars,
            [*outputs[0], *outputs[1]],
            [None] if single else [*given[0], *given[1]],
            expanded.of([*plain, *rolled]),
        )
        start = min(expanded.start, adjoint.start)
        if len(scalars) > NODES:
            return None
        left_out = {*plain, *rolled} if linear else set()
        blocks = [
            (block, expanded.of(nodes), shape) for block, nodes, shape in self.blocks if left_out.isdisjoint(nodes)
        ]
        count = sum(block.startswith(name) for block, _, _ in blocks) or ""
        blocks += [
            (f"{kind}{name}{count}", nodes, (len(nodes),))
            for kind, nodes in zip(("", "rolled "), given, strict=True)
            if nodes
        ]
        groups = self.by[: len(self.by) - len(by)] if linear else self.by
        gradients = iter(adjoint.gradients)
        first = [[*itertools.islice(gradients, len(group.plain))] for group in by]
        second = [[*itertools.islice(gradients, len(group.rolled))] for group in by]
        made = Source(
            scalars,
            blocks,
            [Group(*pair) for pair in zip(first, second, strict=True)],
            [*[group.of(expanded) for group in groups], *seeds],
            start,
            False,
            self.prepare,
        )
        made.fresh = scalars
        return made

    def programs(self, path: str = "") -> Iterator[tuple[str, Program]]:
        """The programs made so far, each under the name of what it computes."""
        if "machine" in self.made:
            yield path, self.machine.program
        for what in ("gradient", "tangent"):
            if self.made.get(what) is not None:
                yield from self.made[what].programs(f"{what} of {path}" if path else what)


def split(row: Sequence[float], groups: list[Group], examples: int) -> list[Any]:
    """One number for each node of some groups, as the numbers of two blocks: plain ones, and a row for each example."""
    plain: list[float] = []
    rows: list[list[float]] = [[] for _ in range(examples)]
    start = 0
    for group in groups:
        stop, each = start + len(group.plain), len(group.rolled)
        plain += row[start:stop]
        for e in range(examples if each else 0):
            rows[e] += row[stop + e * each : stop + (e + 1) * each]
        start += group.size(examples)
    return [*([plain] if plain else []), *([rows] if any(rows) else [])]


def leaves_like(group: Group, scalars: Scalars) -> Group:
    """New leaves, one for each node of a group."""
    return Group([scalars.leaf() for _ in group.plain], [scalars.leaf(rolled=True) for _ in group.rolled])


# ---- calls of them ---------------------------------------------------------------------------------------------------


class Differentiable:
    """The rule of a CALL that has programs for its derivatives: what sweeps ask, as `calls` says.

    A subclass has the `source` of its programs, its `operands`, the number of `examples`, and:

        numbers_at(operands)   the numbers of the program's blocks where the operands are these, Values or numbers; None
                               where it has to run eagerly
        tape(operands)         the function's graph, recorded eagerly
    """

    several = True
    captured = 0
    refers = True

    name: str
    symbol: str
    source: Source
    examples: int
    operands: tuple[Any, ...]

    def numbers_at(self, operands: Sequence[Any]) -> list[Any] | None:
        raise NotImplementedError

    def tape(self, operands: tuple[Any, ...]) -> Tape:
        raise NotImplementedError

    def pull(self, operands: tuple[Any, ...], seeds: dict[int, float]) -> Sequence[float]:
        """The derivative by each operand of the results, each times its seed."""
        row = self.row(seeds)
        gradient, numbers = self.source.gradient, self.numbers_at(operands)
        if gradient is not None and numbers is not None:
            blocks = split(row, self.source.outputs, self.examples)
            found = gradient.run([*numbers, *blocks], self.examples)
            if found is not None:
                return found
        return self.tape(operands).pull(array("d", row))

    def row(self, seeds: dict[int, Any]) -> list[Any]:
        """The seed of each result, 0 where there is none."""
        return [seeds.get(i, 0.0) for i in range(self.source.size(self.examples))]

    def pull_values(self, operands: tuple[Any, ...], seeds: dict[int, Value | float]) -> Sequence[Scalar | None]:
        """The derivative by each operand of the results, each times its seed, as Values."""
        gradient = self.source.gradient
        row = self.row(seeds)
        if gradient is not None:
            numbers = self.pull(operands, {i: engine.plain(x) for i, x in enumerate(row)})
            if all(map(math.isfinite, numbers)):
                return Derived(self, gradient, "pull", operands, [] if self.source.single else row).results(numbers)
        return symbolic.pull(self.tape(operands), row)

    def push(self, operands: tuple[Any, ...], tangents: Sequence[float]) -> Sequence[float]:
        """The velocity of each result."""
        if self.source.symmetric:
            return self.pull(operands, dict(enumerate(tangents)))
        tangent, numbers = self.source.tangent, self.numbers_at(operands)
        if tangent is not None and numbers is not None:
            blocks = split(tangents, self.source.by, self.examples)
            found = tangent.run([*numbers, *blocks], self.examples)
            if found is not None:
                return found
        return self.tape(operands).push(array("d", tangents))

    def push_values(self, operands: tuple[Any, ...], tangents: list[Any]) -> Sequence[Scalar | None]:
        """The same, as Values."""
        if self.source.symmetric:
            return self.pull_values(operands, dict(enumerate(tangents)))
        tangent = self.source.tangent
        if tangent is not None:
            numbers = self.push(operands, [engine.plain(x) for x in tangents])
            if all(map(math.isfinite, numbers)):
                return Derived(self, tangent, "push", operands, tangents).results(numbers)
        return symbolic.push(self.tape(operands), tangents)


class Derived(Differentiable):
    """A call of a gradient or a tangent.

    Arguments:
        parent: the call that it is the derivative of.
        way: "pull" or "push".
        operands: those of the parent.
        others: the seeds or tangents; none where the seed is 1.
    """

    def __init__(
        self, parent: Differentiable, source: Source, way: str, operands: tuple[Any, ...], others: list[Any]
    ) -> None:
        self.parent, self.source, self.way = parent, source, way
        self.name, self.symbol = parent.name, f"∂{parent.symbol}"
        self.examples = parent.examples
        self.operands = (*operands, *others)

    def results(self, numbers: Sequence[float]) -> list[Scalar]:
        """The Values of the results."""
        unknown = array("d", [math.nan]) * len(self.operands)
        node = engine.by_rule("call", self, self.operands, 0.0, unknown)
        return [
            engine.by_rule("pick", calls.Pick(self.name, f"{self.symbol}[{i}]", i), (node,), y, unknown)
            for i, y in enumerate(numbers)
        ]

    def numbers_at(self, operands: Sequence[Any]) -> list[Any] | None:
        n = len(self.parent.operands)
        found = self.parent.numbers_at(operands[:n])
        if found is None:
            return None
        others = [engine.plain(x) for x in operands[n:]]
        groups = self.source.by[len(self.parent.source.by) :] if others else []
        return [*found, *split(others, groups, self.examples)]

    def tape(self, operands: tuple[Any, ...]) -> Tape:
        inputs = apart(operands)
        n = len(self.parent.operands)
        with modes.Recording():
            tape = self.parent.tape(tuple(inputs[:n]))
            sweep = symbolic.pull if self.way == "pull" else symbolic.push
            return Tape(as_values(sweep(tape, inputs[n:] or [1.0])), inputs)


def apart(operands: Sequence[Any]) -> list[Value]:
    """The operands as inputs of a tape: Values, no two of them the same."""
    found: dict[int, Value] = {}
    inputs = []
    for x in as_values(operands):
        own = variable(x) if id(x) in found else x
        found[id(own)] = own
        inputs.append(own)
    release([own for own, x in zip(inputs, operands, strict=True) if own is not x])
    return inputs
