"""Forward and backward one step at a time: what is known after so many steps, and a sentence for each.

Guarantees: the state is a function of the graph and the number of steps alone; every backward step changes one
gradient; the steps add in the order of a sweep, so the last one leaves the very bits that `backward()` leaves where no
gradients were before. `web/steps.js` does the same, and both read their sentences in `web/strings.json`.

The steps for a root: at 0 only leaves have values. Then the value of one operation below the root appears in each,
ascending; then the root's gradient becomes 1; then one contribution `grad[operand] += grad[node] * partial` in each,
nodes descending, their operands in order, wherever both require a gradient.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cached_property
from math import isfinite, nan
from typing import Final, Literal

from ..errors import OperandError
from ..graph import Graph
from . import bundle
from .text import number

__all__ = ["State", "Steps", "called", "contribution", "formula", "sentence", "signed", "words"]

Phase = Literal["start", "forward", "seed", "backward"]
How = Literal["", "product", "zero", "given", "included", "unknown"]


@dataclass(frozen=True)
class State:
    """What is known after some steps, and what the last of them did.

    Arguments:
        phase: `'start'` before the first step, `'forward'`, `'seed'` where the root's gradient becomes 1, `'backward'`.
        node: whose value appeared, or whose gradient is passed on; -1 at the start.
        operand, edge: in a backward step the operand that gets a contribution, and which use of it that is: edges are
            counted over all nodes in order. Else -1.
        shown: for every node whether its value is there.
        grads: the gradients so far, 0 where none began.
        known: for every node whether its gradient began.
        before, after: the gradient that the last step changed.
        factor, partial: the product of a contribution: the node's gradient, its derivative by the operand.
        how: of a backward step. `'product'`: as above. `'zero'`: the node's gradient is exactly 0, and 0 is passed on,
            also through an infinite or undefined derivative. Functions that keep their derivatives to themselves, such
            as operations written by hand, have no product to show: `'given'` takes the operand's gradient over from the
            graph, whole; `'included'`: it was taken over whole in an earlier step; `'unknown'`: the graph has none.
    """

    phase: Phase
    node: int
    operand: int
    edge: int
    shown: list[bool]
    grads: list[float]
    known: list[bool]
    before: float = 0.0
    after: float = 0.0
    factor: float = 0.0
    partial: float = 0.0
    how: How = ""


@dataclass(frozen=True)
class Steps:
    """The steps for one root of a graph, from 0 to `total`.

    Arguments:
        forward: the operations below the root, ascending.
        backward: (node, edge) of every contribution, in the order of a sweep.
        seed_at: the step in which the root's gradient becomes 1.

    Example:
        >>> from glassgrad import Value
        >>> a = Value(3, 'a')
        >>> steps = Steps.of(Graph.of(a * a))
        >>> steps.total, steps.at(3).grads[0], steps.at(4).grads[0]
        (4, 3.0, 6.0)
    """

    graph: Graph
    root: int
    forward: tuple[int, ...]
    backward: tuple[tuple[int, int], ...]

    @classmethod
    def of(cls, graph: Graph, root: int | None = None) -> Steps:
        """Return the steps for a root: the id of any node, else the first of the graph's roots."""
        root = graph.roots[0] if root is None else root
        if isinstance(root, bool) or not isinstance(root, int) or not 0 <= root < len(graph):
            raise OperandError(f"Steps.of() needs the id of one of the {len(graph)} nodes, got {root!r:.60}")
        below = [False] * len(graph)
        below[root] = True
        for i in range(root, -1, -1):
            if below[i]:
                for operand in graph.operands[i]:
                    below[operand] = True
        start = 0
        starts = [start := start + len(row) for row in graph.operands]  # where the edges of the next node begin
        wanted = graph.requires_grad
        backward = [
            (i, starts[i] - len(row) + k)
            for i, row in reversed(list(enumerate(graph.operands)))
            if below[i] and wanted[i]
            for k, operand in enumerate(row)
            if wanted[operand]
        ]
        forward = [i for i, row in enumerate(graph.operands) if below[i] and graph.ops[i] != "leaf"]
        return cls(graph, root, tuple(forward), tuple(backward))

    @property
    def seed_at(self) -> int:
        return len(self.forward) + 1

    @property
    def total(self) -> int:
        return self.seed_at + len(self.backward)

    @cached_property
    def _edges(self) -> list[tuple[int, float | None]]:
        """The operand and the local derivative of every edge."""
        rows = zip(self.graph.operands, self.graph.partials, strict=True)
        return [edge for row in rows for edge in zip(*row, strict=True)]

    def at(self, index: int) -> State:
        """Return the state after `index` steps; beyond the last it is that after the last."""
        graph = self.graph
        index = max(0, min(index, self.total))
        shown = [op == "leaf" for op in graph.ops]
        grads, known = [0.0] * len(graph), [False] * len(graph)
        for i in self.forward[:index]:
            shown[i] = True
        if index < self.seed_at:
            node = self.forward[index - 1] if index else -1
            return State("forward" if index else "start", node, -1, -1, shown, grads, known)
        grads[self.root], known[self.root] = 1.0, True
        if index == self.seed_at:
            return State("seed", self.root, -1, -1, shown, grads, known, after=1.0)
        taken = set()  # operands whose gradient was taken over from the graph
        for node, edge in self.backward[: index - self.seed_at]:
            operand, partial = self._edges[edge]
            factor, before = grads[node], grads[operand]
            found = graph.grads[operand]
            known[operand] = True
            if operand in taken:
                how: How = "unknown" if found is None else "included"
            elif partial is None:
                taken.add(operand)
                how = "unknown" if found is None else "given"
                grads[operand] = nan if found is None else found
            elif factor == 0.0:
                how = "zero"
            else:
                how = "product"
                grads[operand] = before + factor * partial
            known[operand] = how != "unknown"
        partial = nan if partial is None else partial
        return State("backward", node, operand, edge, shown, grads, known, before, grads[operand], factor, partial, how)


# Sentences -------------------------------------------------------------------------------------------------------


def sentence(graph: Graph, steps: Steps, state: State, lang: str = "en") -> str:
    """Return what the last step did, in words and numbers; in Chinese with `lang='zh'`.

    Example:
        >>> from glassgrad import Value
        >>> a, b = Value(2, 'a'), Value(-3, 'b')
        >>> c = a * b
        >>> c.label = 'c'
        >>> steps = Steps.of(graph := Graph.of(c))
        >>> sentence(graph, steps, steps.at(1))
        'c = a · b = 2 · (−3) = −6'
        >>> sentence(graph, steps, steps.at(3))
        '∂c/∂a += ∂c/∂c · ∂c/∂a = 1 · (−3) = −3  (was 0, now −3)'
    """
    facts = {"root": called(graph, steps.root)}
    key: str = state.phase
    if state.phase == "forward":
        i = state.node
        facts |= {"name": called(graph, i), "formula": formula(graph, i), "value": signed(graph.values[i])}
        facts["numbers"] = formula(graph, i, numbers=True)
        if facts["numbers"] != facts["formula"] and len(graph.operands[i]) <= _LISTED:
            key = "forwardNumbers"
    elif state.phase == "backward":
        key = "product" if state.how == "zero" and isfinite(state.partial) else state.how
        facts |= {
            "node": called(graph, state.node),
            "operand": called(graph, state.operand),
            "factor": _factor(state.factor),
            "partial": _factor(state.partial),
            "contribution": signed(contribution(state)),
            "before": signed(state.before),
            "after": signed(state.after),
        }
    return words(key, lang, facts)


def words(key: str, lang: str, facts: dict[str, str]) -> str:
    """Return a sentence of `web/strings.json` with its blanks filled."""
    template: str = bundle.strings()[lang][f"step.{key}"]
    return _BLANK.sub(lambda found: facts[found[1]], template)  # one pass: what a label says is never a blank


def contribution(state: State) -> float:
    """Return what the last step added."""
    return 0.0 if state.factor == 0.0 else state.factor * state.partial


def signed(value: float) -> str:
    """Return a number as sentences show it: four digits, a real minus sign."""
    return number(value).replace("-", "−")


def formula(graph: Graph, i: int, *, numbers: bool = False) -> str:
    """Return an operation in the names of its operands, or in their numbers: `a · b`, `2 · (−3)`."""
    symbol, operands = graph.symbols[i] or graph.ops[i], graph.operands[i]

    def call(k: int) -> str:
        return signed(graph.values[k]) if numbers else called(graph, k)

    def inside(k: int) -> str:
        return _factor(graph.values[k]) if numbers else called(graph, k)

    if symbol in _INFIX and len(operands) == 2:
        a, b = operands
        return f"{call(a) if symbol in '+-' else inside(a)} {_INFIX[symbol]} {inside(b)}"
    if graph.ops[i] == "pow" and len(operands) == 2:
        return f"{inside(operands[0])}^{inside(operands[1])}"
    if graph.ops[i] == "neg" and len(operands) == 1:
        return f"−{inside(operands[0])}"
    listed = [call(k) for k in operands[:_LISTED]] + ["…"] * (len(operands) > _LISTED)
    return f"{_cut(symbol)}({', '.join(listed)})"


_BLANK: Final = re.compile(r"\{(\w+)\}")
_INFIX: Final = {"+": "+", "-": "−", "*": "·", "/": "/"}
_LISTED: Final = 4  # operands that a sentence names
_LONGEST: Final = 24  # characters of a label in a sentence
# Control characters, and those that turn around what stands beside them.
_ODD: Final = re.compile(
    r"[\s\x00-\x1f\x7f-\x9f\u200b-\u200f\u202a-\u202e\u2066-\u2069\ufeff\ufffe\uffff\ud800-\udfff]"
)
_LEFTWARD: Final = re.compile("[\u0590-\u08ff\ufb1d-\ufdff\ufe70-\ufefc\U00010800-\U00010fff\U0001e800-\U0001efff]")


def _cut(text: str) -> str:
    line = _ODD.sub(" ", text[:_LONGEST]) + "…" * (len(text) > _LONGEST)
    return f"\u2068{line}\u2069" if _LEFTWARD.search(line) else line  # isolated, or it would reorder the sentence


def called(graph: Graph, i: int) -> str:
    """Return what a sentence calls a node: its label, a constant's number, else `n` and its id."""
    if graph.labels[i]:
        return _cut(graph.labels[i])
    plain = graph.ops[i] == "leaf" and not graph.requires_grad[i]
    return _factor(graph.values[i]) if plain else f"n{i}"


def _factor(value: float) -> str:
    """Return a number as it stands in a product: negative ones in brackets."""
    text = signed(value)
    return f"({text})" if text[0] == "−" else text
