"""Graph: a snapshot of everything below some Values, as plain columns with small stable ids.

Guarantees: a node's id is its place in topological order (operands before consumers), the same in every process;
operands keep their order and their repeats; a gradient nobody computed is None, never 0; `from_json(to_json())` gives
the same graph, bit for bit; other text is refused with the reason. docs/graph-json.md has the format.

Pipeline: engine → **graph** → viewers, exports, compiler. A snapshot keeps no Value alive and never changes.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Final, TypeVar

from . import sweep
from .engine import Value
from .errors import GraphError, OperandError

__all__ = ["Graph", "count_below", "in_order"]

FORMAT: Final = "glassgrad.graph"
VERSION: Final = 1
_T = TypeVar("_T")
_NON_FINITE: Final = {"nan": float("nan"), "inf": float("inf"), "-inf": float("-inf")}


@dataclass(frozen=True)
class Graph:
    """Everything below some Values, one list per property, indexed by node id.

    Arguments:
        ops: rule names as in `glassgrad.rules.RULES`; `'leaf'` for inputs, `'custom'` for operations written by hand,
            a function's name for what `primitive`, `custom_gradient` and `checkpoint` make of one.
        symbols: what a picture shows for the operation: `'+'`, `'**2'`, `'tanh'`; empty for leaves.
        operands: ids of the operands, in order, repeats kept (`a * a` has the same id twice). Every id is smaller
            than the node's own.
        values: results of the forward pass.
        grads: gradients, None where none was computed.
        partials: local derivatives ∂node/∂operand, aligned with `operands`; None where the engine does not know them.
        labels: names given by the user, empty where there is none.
        scopes: the region a node was made in, such as `'layer1/neuron3'`, or empty.
        requires_grad: False for constants.
        roots: ids of the Values the snapshot was taken of.

    Example:
        >>> from glassgrad import Value
        >>> a, b = Value(2, 'a'), Value(3, 'b')
        >>> g = Graph.of(a * b)
        >>> g.symbols, g.operands[2], g.partials[2]
        (['', '', '*'], (0, 1), (3.0, 2.0))
    """

    ops: list[str]
    symbols: list[str]
    operands: list[tuple[int, ...]]
    values: list[float]
    grads: list[float | None]
    partials: list[tuple[float | None, ...]]
    labels: list[str]
    scopes: list[str]
    requires_grad: list[bool]
    roots: tuple[int, ...]

    @classmethod
    def of(cls, *roots: Value) -> Graph:
        """Return the snapshot of all that is below `roots`; OperandError if one is no Value, GraphError on a cycle."""
        for root in roots:
            if not isinstance(root, Value):
                raise OperandError(
                    f"Graph.of() takes Values, got {type(root).__name__}: write Graph.of(loss), "
                    "or Graph.of(*values) for several"
                )
        if not roots:
            raise GraphError("Graph.of() needs at least one Value: write Graph.of(loss)")
        nodes = in_order(roots)
        ids = {id(node): i for i, node in enumerate(nodes)}
        operands = [tuple([ids[id(operand)] for operand in node._prev]) for node in nodes]
        return cls(
            ops=[node._rule for node in nodes],
            symbols=[node._op for node in nodes],
            operands=operands,
            values=[node.data for node in nodes],
            grads=[node.grad if node._has_grad else None for node in nodes],
            partials=[_aligned(node._partials, len(below)) for node, below in zip(nodes, operands, strict=True)],
            labels=[node.label for node in nodes],
            scopes=[node._scope for node in nodes],
            requires_grad=[node.requires_grad for node in nodes],
            roots=tuple(ids[id(root)] for root in roots),
        )

    def __len__(self) -> int:
        return len(self.ops)

    def edges(self) -> list[tuple[int, int]]:
        """Return (operand, consumer) for every operand of every node, in the order of consumers, repeats kept."""
        return [(source, target) for target, below in enumerate(self.operands) for source in below]

    def consumers(self) -> list[list[int]]:
        """Return, for every node, the nodes it is an operand of: ascending, once per use (`a * a` counts twice)."""
        result: list[list[int]] = [[] for _ in self.ops]
        for source, target in self.edges():
            result[source].append(target)
        return result

    def validate(self) -> None:
        """Raise GraphError, with the reason, unless the columns fit together as the class docstring says."""
        n = len(self.ops)
        for name in ("symbols", "operands", "values", "grads", "partials", "labels", "scopes", "requires_grad"):
            if len(getattr(self, name)) != n:
                raise GraphError(f"a graph of {n} nodes has {len(getattr(self, name))} entries in {name!r}")
        if not self.roots:
            raise GraphError("a graph needs at least one root")
        for root in self.roots:
            if not 0 <= root < n:
                raise GraphError(f"root {root} is not one of the {n} nodes")
        for i, below in enumerate(self.operands):
            for operand in below:
                if not 0 <= operand < i:
                    raise GraphError(
                        f"node {i} has operand {operand}: operands must be ids from 0 to {i - 1}, "
                        "because nodes stand in topological order"
                    )
            if below and self.ops[i] == "leaf":
                raise GraphError(f"node {i} is a leaf and cannot have operands {list(below)}")
            if len(self.partials[i]) != len(below):
                raise GraphError(f"node {i} has {len(below)} operands but {len(self.partials[i])} local derivatives")

    def to_json(self) -> str:
        """Return the graph as JSON text, the same bytes in every process. docs/graph-json.md describes each field."""
        kinds, kind = _interned(zip(self.ops, self.symbols, strict=True))
        scopes, scope = _interned(self.scopes)
        columns = {
            "format": json.dumps(FORMAT),
            "version": str(VERSION),
            "nodes": str(len(self)),
            "roots": _ids(self.roots),
            "kinds": json.dumps([list(pair) for pair in kinds], separators=(",", ":")),
            "kind": _ids(kind),
            "operands": f"[{','.join(map(_ids, self.operands))}]",
            "values": _numbers(self.values),
            "grads": _numbers(self.grads),
            "partials": f"[{','.join(map(_numbers, self.partials))}]",
            "labels": json.dumps({str(i): text for i, text in enumerate(self.labels) if text}, separators=(",", ":")),
            "scopes": json.dumps(scopes, separators=(",", ":")),
            "scope": _ids(scope),
            "constants": _ids(i for i, wanted in enumerate(self.requires_grad) if not wanted),
        }
        body = ",\n".join(f'"{key}":{text}' for key, text in columns.items())
        # "<" occurs only inside strings; escaped, the text can stand in an HTML <script> whatever the labels say.
        return "{" + body.replace("<", "\\u003c") + "}\n"

    @classmethod
    def from_json(cls, text: str | bytes) -> Graph:
        """Return the graph that `to_json` wrote; GraphError says what is wrong with any other text."""
        if not isinstance(text, str | bytes):
            raise OperandError(
                f"Graph.from_json() takes the text that to_json() returned, got {type(text).__name__}: "
                "write Graph.from_json(Path('graph.json').read_text())"
            )
        try:
            raw = json.loads(text, parse_constant=_refuse_constant)
        except (ValueError, RecursionError) as error:
            raise GraphError(f"this is not JSON: {error}") from error
        if not isinstance(raw, dict) or raw.get("format") != FORMAT:
            raise GraphError(f'this is not a glassgrad graph: it needs "format": "{FORMAT}" at the top')
        if type(raw.get("version")) is not int or raw["version"] != VERSION:
            raise GraphError(
                f"graph JSON version {raw.get('version')!r} cannot be read; this glassgrad reads version {VERSION}"
            )
        n = _integer(raw.get("nodes"), "nodes")
        reader = _Reader(raw, n)
        kinds = [reader.kind(pair) for pair in reader.items("kinds")]
        kind = reader.indices("kind", len(kinds))
        scopes = [reader.text(item, "scopes") for item in reader.items("scopes")]
        scope = reader.indices("scope", len(scopes))
        constants = {reader.node(item, "constants") for item in reader.items("constants")}
        graph = cls(
            ops=[kinds[k][0] for k in kind],
            symbols=[kinds[k][1] for k in kind],
            operands=[tuple([_integer(i, "operands") for i in row]) for row in reader.rows("operands")],
            values=[_number(item, "values") for item in reader.column("values")],
            grads=[_optional(item, "grads") for item in reader.column("grads")],
            partials=[tuple([_optional(item, "partials") for item in row]) for row in reader.rows("partials")],
            labels=reader.labels(),
            scopes=[scopes[s] for s in scope],
            requires_grad=[i not in constants for i in range(n)],
            roots=tuple(reader.node(item, "roots") for item in reader.items("roots")),
        )
        graph.validate()
        return graph


def count_below(roots: Iterable[Value], limit: int) -> int:
    """Return how many nodes lie below `roots`, roots included, but stop counting at `limit` + 1."""
    stack = list(roots)
    seen = {id(value) for value in stack}
    while stack and len(seen) <= limit:
        for operand in stack.pop()._prev:
            if id(operand) not in seen:
                seen.add(id(operand))
                stack.append(operand)
    return min(len(seen), limit + 1)


def in_order(roots: Sequence[Value]) -> list[Value]:
    """Return the nodes of `Graph.of(*roots)`, each at the place of its id: `sweep.walk` with plain numbers as well.

    What is nobody's operand is left out: the node that several results of a function share, which has no number.
    """
    seen = {id(root) for root in roots}
    for node in sweep.walk(roots):
        seen.update(map(id, node._prev))  # makes the plain numbers among the operands nodes, which the next walk lists
    return [node for node in sweep.walk(roots) if id(node) in seen]


def _aligned(partials: tuple[float | None, ...] | None, count: int) -> tuple[float | None, ...]:
    # None: an operation written by hand, whose local derivatives live in a closure.
    return (None,) * count if partials is None else tuple(partials)


# Writing ---------------------------------------------------------------------------------------------------------


def _interned(items: Iterable[_T]) -> tuple[list[_T], list[int]]:
    """Return the distinct items in order of appearance, and each item's place among them."""
    table: dict[_T, int] = {}
    column = [table.setdefault(item, len(table)) for item in items]
    return list(table), column


def _ids(items: Iterable[int]) -> str:
    return f"[{','.join(map(str, items))}]"


def _numbers(items: Iterable[float | None]) -> str:
    return f"[{','.join(map(_number_text, items))}]"


def _number_text(number: float | None) -> str:
    if number is None:
        return "null"
    text = repr(float(number))  # the shortest text that reads back as the same float
    if text in _NON_FINITE:
        return f'"{text}"'
    # 3.0 as 3: a third of all bytes. -0.0 stays, since -0 would be read back as the integer 0.
    return text[:-2] if text.endswith(".0") and text != "-0.0" else text


# Reading ---------------------------------------------------------------------------------------------------------


class _Reader:
    """The raw JSON object of a graph of `n` nodes; every access checks what it returns and names the field."""

    def __init__(self, raw: dict[str, Any], n: int) -> None:
        self.raw, self.n = raw, n

    def items(self, name: str) -> list[Any]:
        if name not in self.raw:
            raise GraphError(f"the graph JSON has no {name!r}")
        found = self.raw[name]
        if not isinstance(found, list):
            raise GraphError(f"{name!r} in graph JSON must be a list, got {type(found).__name__}")
        return found

    def column(self, name: str) -> list[Any]:
        found = self.items(name)
        if len(found) != self.n:
            raise GraphError(f"{name!r} in graph JSON has {len(found)} entries for {self.n} nodes")
        return found

    def rows(self, name: str) -> list[list[Any]]:
        found = self.column(name)
        for i, row in enumerate(found):
            if not isinstance(row, list):
                raise GraphError(f"{name!r}[{i}] in graph JSON must be a list, got {type(row).__name__}")
        return found

    def indices(self, name: str, size: int) -> list[int]:
        found = [_integer(item, name) for item in self.column(name)]
        for item in found:
            if not 0 <= item < size:
                raise GraphError(f"{name!r} in graph JSON points at entry {item} of a table of {size}")
        return found

    def node(self, item: object, name: str) -> int:
        number = _integer(item, name)
        if not 0 <= number < self.n:
            raise GraphError(f"{name!r} in graph JSON names node {number}, but there are {self.n} nodes")
        return number

    def text(self, item: object, name: str) -> str:
        if not isinstance(item, str):
            raise GraphError(f"{name!r} in graph JSON must hold text, got {item!r:.60}")
        return item

    def kind(self, pair: object) -> tuple[str, str]:
        if not isinstance(pair, list) or len(pair) != 2:
            raise GraphError(f"'kinds' in graph JSON must hold pairs [operation, symbol], got {pair!r:.60}")
        return self.text(pair[0], "kinds"), self.text(pair[1], "kinds")

    def labels(self) -> list[str]:
        found = self.raw.get("labels")
        if not isinstance(found, dict):
            raise GraphError("'labels' in graph JSON must be an object from node ids to text")
        result = [""] * self.n
        for key, item in found.items():
            if not (key.isascii() and key.isdigit()):
                raise GraphError(f"'labels' in graph JSON has the key {key!r:.60}, which is not a node id")
            result[self.node(int(key) if len(key) < 20 else self.n, "labels")] = self.text(item, "labels")
        return result


def _refuse_constant(name: str) -> float:
    raise ValueError(f'{name} is not JSON; a graph writes "nan", "inf" and "-inf" as strings')


def _integer(item: object, name: str) -> int:
    if isinstance(item, bool) or not isinstance(item, int) or item < 0:
        raise GraphError(f"{name!r} in graph JSON must hold whole numbers from 0 on, got {item!r:.60}")
    return item


def _number(item: object, name: str) -> float:
    if isinstance(item, str) and item in _NON_FINITE:
        return _NON_FINITE[item]
    if isinstance(item, bool) or not isinstance(item, int | float):
        raise GraphError(f'{name!r} in graph JSON must hold numbers or "nan", "inf", "-inf", got {item!r:.60}')
    try:
        number = float(item)
    except OverflowError:
        number = math.inf
    if math.isinf(number):
        raise GraphError(f"{name!r} in graph JSON holds a number too large for a float")
    return number


def _optional(item: object, name: str) -> float | None:
    return None if item is None else _number(item, name)
