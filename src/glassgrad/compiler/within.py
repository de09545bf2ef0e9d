"""Within: `grad`, `hvp` and the other transforms while a function is traced, so that they are part of its program.

Pipeline: what `trace` does where a sweep is asked for; its results are recorded as any other operations.

An eager sweep asks the numbers which branch of a rule holds, and a program must hold for all numbers. So the recorded
graph is read as a scalar program, differentiated there, every branch of every rule is expanded (`expand`), and the
derivatives are recorded as Values again. No number of the run is looked at.
"""

from __future__ import annotations

from array import array
from collections.abc import Callable, Sequence
from typing import Any

from .. import engine, rules, symbolic
from ..engine import Value
from ..recompute import is_plain, operands_of
from ..tape import Tape
from .differentiate import differentiate
from .expand import TooManyPaths, expand
from .rolling import Count, Total
from .scalars import CONST, LEAF, MANY, Scalars

__all__ = ["pull", "push"]

Refuse = Callable[[str, object], Any]


def pull(
    tape: Tape, seeds: Sequence[Value | float], conditions: type[Value], refuse: Refuse
) -> list[Value | float | None]:
    """What `symbolic.pull` gives.

    Arguments:
        conditions: the class of what comparisons give.
        refuse: raises the error for what cannot be compiled.
    """
    graph = Graph(tape, conditions, refuse)
    pairs = [(i, graph.given(seed)) for i, seed in zip(graph.outputs, seeds, strict=True) if i is not None]
    by = [i for i in graph.inputs if i is not None]
    adjoint = differentiate(graph.scalars, [i for i, _ in pairs], [seed for _, seed in pairs], by)
    found = iter(graph.recorded(adjoint.gradients, refuse))
    return [None if i is None else next(found) for i in graph.inputs]


def push(
    tape: Tape, tangents: Sequence[Value | float], conditions: type[Value], refuse: Refuse
) -> list[Value | float | None]:
    """What `symbolic.push` gives: the derivative of <Jᵀ s, v> by s."""
    graph = Graph(tape, conditions, refuse)
    moving = [(i, graph.given(x)) for i, x in zip(graph.inputs, tangents, strict=True) if i is not None]
    outputs = [i for i in graph.outputs if i is not None]
    seeds = [graph.given(0.0, leaf=True) for _ in outputs]
    back = differentiate(graph.scalars, outputs, seeds, [i for i, _ in moving])
    velocities = differentiate(graph.scalars, back.gradients, [x for _, x in moving], seeds)
    found = iter(graph.recorded(velocities.gradients, refuse))
    return [None if i is None else next(found) for i in graph.outputs]


class Graph:
    """What a tape records, as a scalar program.

    Attributes:
        leaves: the Value, or the number, that each leaf stands for.
        inputs, outputs: the node of each, None where outputs and inputs have nothing to do with each other.
    """

    def __init__(self, tape: Tape, conditions: type[Value], refuse: Refuse) -> None:
        self.scalars = Scalars()
        self.leaves: list[Value | float] = []
        self.ids: dict[int, int] = {}
        inputs = {i for i in tape.ins if i >= 0}
        for k, node in enumerate(tape.nodes):
            self.ids[id(node)] = self.given(node) if k in inputs else self.read(node, conditions, refuse)
        self.inputs = [self.ids[id(tape.nodes[i])] if i >= 0 else None for i in tape.ins]
        self.outputs = [self.ids[id(tape.nodes[i])] if i >= 0 else None for i in tape.outs]

    def given(self, x: Value | float, leaf: bool = False) -> int:
        """The node of a Value from outside, or of a number."""
        if not leaf and (not isinstance(x, Value) or is_plain(x)):
            return self.scalars.const(engine.plain(x))
        self.leaves.append(x)
        return self.scalars.leaf()

    def read(self, node: Value, conditions: type[Value], refuse: Refuse) -> int:
        """The node of an operation."""
        below = []
        for x in operands_of(node):
            known = isinstance(x, Value) and id(x) in self.ids
            below.append(self.ids[id(x)] if known else self.given(x))
            if isinstance(x, Value):
                self.ids[id(x)] = below[-1]
        if isinstance(node, conditions):
            return below[0]
        if isinstance(node, Total | Count) or node._rule not in rules.RULES:
            refuse(f"a derivative of {node._rule!r} inside the function", node)
        if node._rule == "softmax":  # as in `trace`
            return self.scalars.node("exp", self.scalars.node("sub", below[0], self.scalars.node("logsumexp", *below)))
        return self.scalars.node(node._rule, *below)

    def recorded(self, results: list[int], refuse: Refuse) -> list[Value | float]:
        """Some nodes as Values and numbers."""
        scalars = self.scalars
        everything = [i for i, op in enumerate(scalars.ops) if op == LEAF]
        try:
            found = expand(scalars, results, everything, len(scalars))
        except TooManyPaths:
            refuse("a derivative with so many branches", None)
        results, scalars = found.of(results), found.scalars
        needed = bytearray(len(scalars))
        for i in results:
            needed[i] = 1
        for i in range(len(scalars) - 1, -1, -1):
            if needed[i]:
                for j in scalars.operands[i]:
                    needed[j] = 1
        leaves = iter(self.leaves)
        values: list[Any] = []
        for op, below, x, wanted in zip(scalars.ops, scalars.operands, scalars.numbers, needed, strict=True):
            if op == LEAF:
                values.append(next(leaves))
            elif op == CONST:
                values.append(x)
            else:
                values.append(record(op, [values[j] for j in below]) if wanted else 0.0)
        return [values[i] for i in results]


def record(op: str, operands: list[Any]) -> Value | float:
    """An operation on Values and numbers."""
    many = op in MANY
    if not any(isinstance(x, Value) for x in operands):
        value = rules.RULES[op].value
        return value(memoryview(array("d", operands))) if many else value(*operands)
    make = symbolic.MAKE[op]
    if op == "dot":
        half = len(operands) // 2
        return make(operands[:half], operands[half:])  # type: ignore[no-any-return]
    return make(operands) if many else make(*operands)  # type: ignore[no-any-return]
