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
from typing import TYPE_CHECKING, Any, Final

from .. import calls, engine, modes, symbolic
from ..engine import Scalar, Value
from ..run import as_values
from ..tape import Tape, release, variable
from .differentiate import differentiate
from .expand import TooManyPaths, expand, released
from .program import Program, Shape
from .scalars import CONST, LEAF, Scalars

if TYPE_CHECKING:
    from .evaluate import Machine

__all__ = ["Derived", "Differentiable", "Source"]

Blocks = list[tuple[str, list[int], Shape]]

NODES: Final = 3_000_000  # of a derivative's program; recording it eagerly is no slower then, and forgotten afterwards


# ---- functions -------------------------------------------------------------------------------------------------------


class Source:
    """A scalar program, kept in little memory, that derivatives are made of when they are asked for.

    Arguments:
        scalars: the program; its first `size` nodes count.
        blocks: the leaves as they are given: name, nodes, shape.
        outputs: the nodes of the results.
        by: the leaves that derivatives are by, one for each operand of a call.
        start: the first node of an adjoint; `size` if there is none.
        single: whether the gradient is that of the only result, with the seed 1.
    """

    symmetric = False  # whether the derivatives by the operands are a symmetric matrix
    fresh: Scalars | None = None  # the program as it was made, for the first who asks

    def __init__(
        self, scalars: Scalars, size: int, blocks: Blocks, outputs: list[int], by: list[int], start: int, single: bool
    ) -> None:
        self.blocks, self.outputs, self.by, self.start, self.single = blocks, outputs, by, start, single
        self.names = list(dict.fromkeys(itertools.islice(scalars.ops, size)))
        codes = {name: code for code, name in enumerate(self.names)}
        self.codes = array("H", map(codes.__getitem__, itertools.islice(scalars.ops, size)))
        self.counts = array("i", map(len, itertools.islice(scalars.operands, size)))
        self.operands = array("i", itertools.chain.from_iterable(itertools.islice(scalars.operands, size)))
        self.numbers = array("d", [scalars.numbers[i] for i in range(size) if scalars.ops[i] == CONST])
        self.leaves = [leaf for _, nodes, _ in blocks for leaf in nodes]
        places = {leaf: k for k, leaf in enumerate(self.leaves)}
        self.places = [places[leaf] for leaf in by]  # of the operands among all numbers that are given
        self.lock = threading.RLock()
        self.made: dict[str, Any] = {}

    def nodes(self) -> Iterator[tuple[str, tuple[int, ...], float]]:
        """What makes each node, its operands, and of a constant its number."""
        operands, numbers = iter(self.operands), iter(self.numbers)
        for code, count in zip(self.codes, self.counts, strict=True):
            op = self.names[code]
            yield op, tuple(itertools.islice(operands, count)), next(numbers) if op == CONST else 0.0

    def scalars(self) -> Scalars:
        """The program again, to be extended."""
        found, self.fresh = self.fresh, None
        if found is not None:
            return found
        found = Scalars()
        for op, below, x in self.nodes():
            if op == LEAF:
                found.leaf()
            elif op == CONST:
                found.const(x)
            else:
                found.node(op, *below)
        return found

    def once(self, what: str, make: Callable[[], Any]) -> Any:
        """What is made when it is first asked for."""
        with self.lock:
            if what not in self.made:
                self.made[what] = make()
            return self.made[what]

    @property
    def machine(self) -> Machine:
        """What computes the results."""

        def make() -> Machine:
            from .evaluate import Machine
            from .lift import lift

            return Machine(lift(self.scalars(), self.blocks, self.outputs, [], self.start))

        return self.once("machine", make)  # type: ignore[no-any-return]

    @property
    def picks(self) -> list[calls.Pick]:
        """The rules of the results' nodes: which one each is."""
        return self.once(  # type: ignore[no-any-return]
            "picks", lambda: [calls.Pick("gradient", f"[{i}]", i) for i in range(len(self.outputs))]
        )

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
            if back is None:
                return None
            _, seeds, _ = back.blocks[-1]
            return back.differentiated(seeds, "tangents", False, linear=True)

        return self.once("tangent", make)  # type: ignore[no-any-return]

    def differentiated(self, by: list[int], name: str, single: bool, linear: bool = False) -> Source | None:
        """The derivatives by some leaves of the results' sum, each times its seed, in a block of that name; or 1.

        Arguments:
            linear: whether the results are linear in these leaves: the derivatives do not depend on them, which go.
        """
        try:
            expanded = expand(self.scalars(), self.outputs, by, self.start)
        except TooManyPaths:
            return None
        scalars = expanded.scalars
        seeds = [] if single else [scalars.leaf() for _ in self.outputs]
        adjoint = differentiate(scalars, expanded.of(self.outputs), seeds or [None], expanded.of(by))
        found = released(expanded, adjoint.gradients)
        if len(found.scalars) > NODES:
            return None
        left_out = set(by) if linear else set()
        blocks = [
            (block, found.of(expanded.of(nodes)), shape)
            for block, nodes, shape in self.blocks
            if left_out.isdisjoint(nodes)
        ]
        if seeds:
            count = sum(block.startswith(name) for block, _, _ in blocks)
            blocks.append((f"{name}{count or ''}", found.of(seeds), (len(seeds),)))
        operands = [*expanded.of([leaf for leaf in self.by if leaf not in left_out]), *seeds]
        size = len(found.scalars)
        made = Source(found.scalars, size, blocks, found.of(adjoint.gradients), found.of(operands), found.start, False)
        made.fresh = found.scalars
        return made

    def programs(self, path: str = "") -> Iterator[tuple[str, Program]]:
        """The programs made so far, each under the name of what it computes."""
        if "machine" in self.made:
            yield path, self.machine.program
        for what in ("gradient", "tangent"):
            if self.made.get(what) is not None:
                yield from self.made[what].programs(f"{what} of {path}" if path else what)

    def split(self, numbers: list[Any]) -> list[list[Any]]:
        """The numbers of all leaves, block by block."""
        rest = iter(numbers)
        return [list(itertools.islice(rest, len(nodes))) for _, nodes, _ in self.blocks if nodes]

    def replay(self, numbers: list[Any]) -> list[Any]:
        """The results as a graph of Values, from the Values and numbers of the leaves. There is no adjoint in it."""
        leaves = dict(zip(self.leaves, numbers, strict=True))
        found: list[Any] = []
        for i, (op, below, x) in enumerate(self.nodes()):
            if op == LEAF:
                found.append(leaves[i])
            elif op == CONST:
                found.append(x)
            else:
                found.append(made_of(op, [found[j] for j in below]))
        return [found[i] for i in self.outputs]


def made_of(op: str, operands: list[Any]) -> Any:
    """An operation on Values and numbers."""
    if not any(isinstance(x, Value) for x in operands):
        operands[0] = Value(operands[0], requires_grad=False)
    make = symbolic.MAKE[op]
    if op == "softmax":
        return make(operands)[0]
    if op == "dot":
        half = len(operands) // 2
        return make(operands[:half], operands[half:])
    return make(operands) if op in ("sum", "mean", "prod", "logsumexp") else make(*operands)


# ---- calls of them ---------------------------------------------------------------------------------------------------


class Differentiable:
    """The rule of a CALL that has programs for its derivatives: what sweeps ask, as `calls` says.

    A subclass has the `source` of its programs, its `operands`, `pull` with numbers, and these two:

        numbers_at(operands)   the numbers of the program's blocks where the operands are these, Values or numbers
        tape(operands)         the function's graph, recorded eagerly
    """

    several = True
    captured = 0
    refers = True

    name: str
    symbol: str
    source: Source
    operands: tuple[Any, ...]

    def numbers_at(self, operands: Sequence[Any]) -> list[Any]:
        raise NotImplementedError

    def tape(self, operands: tuple[Any, ...]) -> Tape:
        raise NotImplementedError

    def pull(self, operands: tuple[Any, ...], seeds: dict[int, float]) -> Sequence[float]:
        raise NotImplementedError

    def pull_values(self, operands: tuple[Any, ...], seeds: dict[int, Value | float]) -> Sequence[Scalar | None]:
        """The derivative by each operand of the results, each times its seed, as Values."""
        row = [seeds.get(i, 0.0) for i in range(len(self.source.outputs))]
        gradient = self.source.gradient
        if gradient is not None:
            numbers = self.pull(operands, {i: engine.plain(x) for i, x in enumerate(row)})
            if all(map(math.isfinite, numbers)):
                return Derived(self, gradient, "pull", operands, [] if self.source.single else row).results(numbers)
        return symbolic.pull(self.tape(operands), row)

    def push(self, operands: tuple[Any, ...], tangents: Sequence[float]) -> Sequence[float]:
        """The velocity of each result."""
        if self.source.symmetric:
            return self.pull(operands, dict(enumerate(tangents)))
        tangent = self.source.tangent
        if tangent is not None:
            found = tangent.machine.run([*self.numbers_at(operands), tangents])
            if found.finite:
                return found.outputs.tolist()  # type: ignore[no-any-return]
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
        self.operands = (*operands, *others)

    def results(self, numbers: Sequence[float]) -> list[Scalar]:
        """The Values of the results."""
        unknown = array("d", [math.nan]) * len(self.operands)
        node = engine.by_rule("call", self, self.operands, 0.0, unknown)
        return [
            engine.by_rule("pick", pick, (node,), y, unknown)
            for pick, y in zip(self.source.picks, numbers, strict=True)
        ]

    def numbers_at(self, operands: Sequence[Any]) -> list[Any]:
        n = len(self.parent.operands)
        others = [[engine.plain(x) for x in operands[n:]]] if len(operands) > n else []
        return [*self.parent.numbers_at(operands[:n]), *others]

    def pull(self, operands: tuple[Any, ...], seeds: dict[int, float]) -> Sequence[float]:
        row = [seeds.get(i, 0.0) for i in range(len(self.source.outputs))]
        gradient = self.source.gradient
        if gradient is not None:
            found = gradient.machine.run([*self.numbers_at(operands), row])
            if found.finite:
                return found.outputs.tolist()  # type: ignore[no-any-return]
        return self.tape(operands).pull(array("d", row))

    def tape(self, operands: tuple[Any, ...]) -> Tape:
        inputs = apart(operands)
        n = len(self.parent.operands)
        with modes.Recording():
            tape = self.parent.tape(tuple(inputs[:n]))
            sweep = symbolic.pull if self.way == "pull" else symbolic.push
            return Tape(as_values(sweep(tape, inputs[n:] or [1.0])), inputs)


def apart(operands: Sequence[Any]) -> list[Value]:
    """The operands as inputs of a tape: Values, no two of them the same."""
    inputs = as_values(operands)
    if len(set(map(id, inputs))) < len(inputs):
        inputs = [variable(x) for x in inputs]
        release(inputs)
    return inputs
