"""Graph: a snapshot of everything below some Values, as plain columns with small stable ids.

Guarantees: a node's id is its place in topological order (operands before consumers), the same in every process;
operands keep their order and their repeats; a gradient nobody computed is None, never 0; `from_json(to_json())` gives
the same graph, bit for bit; other text is refused with the reason. docs/graph-json.md has the format.

Pipeline: engine → **graph** → viewers, exports, compiler. A snapshot keeps no Value alive and never changes.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, TypeVar

from . import rules, sweep, symbolic
from .engine import Value
from .errors import GraphError, OperandError
from .primitives import Primitive

__all__ = ["Graph", "count_below", "in_order"]

FORMAT: Final = "glassgrad.graph"
VERSION: Final = 1
_T = TypeVar("_T")
_LARGEST: Final = 2**53 - 1  # integer that JavaScript can hold
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
        shapes: by id, for nodes that stand for a tensor: its sizes. Their values and gradients may be nan.
        notes: by id, more about a node, for a reader: which scalars it stands for.
        formulas: by a name in `ops`, for operations outside the table: the value as text, and its derivatives.

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
    shapes: dict[int, tuple[int, ...]] = field(default_factory=dict)
    notes: dict[int, str] = field(default_factory=dict)
    formulas: dict[str, tuple[str, tuple[str, ...]]] = field(default_factory=dict)

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
        ops = [node._rule for node in nodes]
        return cls(
            ops=ops,
            symbols=[node._op for node in nodes],
            operands=operands,
            values=[node.data for node in nodes],
            grads=[node.grad if node._has_grad else None for node in nodes],
            partials=[_aligned(node._partials, len(below)) for node, below in zip(nodes, operands, strict=True)],
            labels=[node.label for node in nodes],
            scopes=[node._scope for node in nodes],
            requires_grad=[node.requires_grad for node in nodes],
            roots=tuple(ids[id(root)] for root in roots),
            formulas=_formulas(nodes, ops),
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
        for name in ("shapes", "notes"):
            for i in getattr(self, name):
                if not 0 <= i < n:
                    raise GraphError(f"{name!r} names node {i}, but there are {n} nodes")

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
            "labels": _object({i: text for i, text in enumerate(self.labels) if text}),
            "scopes": json.dumps(scopes, separators=(",", ":")),
            "scope": _ids(scope),
            "constants": _ids(i for i, wanted in enumerate(self.requires_grad) if not wanted),
        }
        for name in ("shapes", "notes", "formulas"):
            if getattr(self, name):
                columns[name] = _object(getattr(self, name))
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
        except ValueError as error:
            raise GraphError(f"this is not JSON: {error}") from error
        except RecursionError:
            raise GraphError("this is not JSON of a graph: its lists are nested too deeply") from None
        if not isinstance(raw, dict) or raw.get("format") != FORMAT:
            raise GraphError(f'this is not a glassgrad graph: it needs "format": "{FORMAT}" at the top')
        version = raw.get("version")
        if type(version) is not int or version != VERSION:
            raise GraphError(
                f"graph JSON version {_shown(version)} cannot be read; this glassgrad reads version {VERSION}"
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
            shapes=reader.sparse("shapes", reader.shape),
            notes=reader.sparse("notes", reader.text),
            formulas=reader.formulas(),
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


def _formulas(nodes: Sequence[Value], ops: Sequence[str]) -> dict[str, tuple[str, tuple[str, ...]]]:
    """What the primitives among the nodes say about themselves; nothing about a name that two of them share."""
    found: dict[str, Primitive | None] = {}
    for node, op in zip(nodes, ops, strict=True):
        if op != "leaf" and op not in rules.RULES:
            _, rule = symbolic.kind_of(node)
            if isinstance(rule, Primitive) and found.setdefault(op, rule) is not rule:
                found[op] = None
    return {name: (rule.formula, tuple(rule.derivative_texts)) for name, rule in found.items() if rule}


def _aligned(partials: tuple[float | None, ...] | None, count: int) -> tuple[float | None, ...]:
    # None: an operation written by hand, whose local derivatives live in a closure.
    return (None,) * count if partials is None else tuple(partials)


# Writing ---------------------------------------------------------------------------------------------------------


def _interned(items: Iterable[_T]) -> tuple[list[_T], list[int]]:
    """Return the distinct items in order of appearance, and each item's place among them."""
    table: dict[_T, int] = {}
    column = [table.setdefault(item, len(table)) for item in items]
    return list(table), column


def _object(items: Mapping[Any, object]) -> str:
    """The JSON of a mapping, in the order of its keys, so that equal mappings are the same text."""
    return json.dumps({str(key): items[key] for key in sorted(items)}, separators=(",", ":"))


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
            raise GraphError(f"{name!r} in graph JSON must hold text, got {_shown(item)}")
        return item

    def kind(self, pair: object) -> tuple[str, str]:
        if not isinstance(pair, list) or len(pair) != 2:
            raise GraphError(f"'kinds' in graph JSON must hold pairs [operation, symbol], got {_shown(pair)}")
        return self.text(pair[0], "kinds"), self.text(pair[1], "kinds")

    def labels(self) -> list[str]:
        if "labels" not in self.raw:
            raise GraphError("the graph JSON has no 'labels'")
        found = self.sparse("labels", self.text)
        return [found.get(i, "") for i in range(self.n)]

    def mapping(self, name: str) -> dict[str, Any]:
        """The object in a field, which may be left out."""
        found = self.raw.get(name, {})
        if not isinstance(found, dict):
            raise GraphError(f"{name!r} in graph JSON must be an object, got {_shown(found)}")
        return found

    def sparse(self, name: str, read: Callable[[Any, str], _T]) -> dict[int, _T]:
        """What some nodes have, by their ids."""
        result: dict[int, _T] = {}
        for key, item in self.mapping(name).items():
            if not (key.isascii() and key.isdigit()):
                raise GraphError(f"{name!r} in graph JSON has the key {_shown(key)}, which is not a node id")
            result[self.node(int(key) if len(key) < 20 else self.n, name)] = read(item, name)
        return result

    def shape(self, item: object, name: str) -> tuple[int, ...]:
        if not isinstance(item, list):
            raise GraphError(f"{name!r} in graph JSON must hold lists of sizes, got {_shown(item)}")
        return tuple([_integer(size, name) for size in item])

    def formulas(self) -> dict[str, tuple[str, tuple[str, ...]]]:
        result: dict[str, tuple[str, tuple[str, ...]]] = {}
        for name, pair in self.mapping("formulas").items():
            if not isinstance(pair, list) or len(pair) != 2 or not isinstance(pair[1], list):
                raise GraphError(f"'formulas' in graph JSON must hold pairs [value, [derivatives]], got {_shown(pair)}")
            texts = [self.text(item, "formulas") for item in pair[1]]
            result[name] = self.text(pair[0], "formulas"), tuple(texts)
        return result


def _shown(item: object) -> str:
    """What was found instead, in few words: the text may hold a million characters, or lists a thousand deep."""
    if isinstance(item, list | dict):
        return "a list" if isinstance(item, list) else "an object"
    text = repr(item[:60] if isinstance(item, str) else item)
    return text if len(text) <= 60 else f"{text[:60]}…"


def _refuse_constant(name: str) -> float:
    raise ValueError(f'{name} is not JSON; a graph writes "nan", "inf" and "-inf" as strings')


def _integer(item: object, name: str) -> int:
    if isinstance(item, bool) or not isinstance(item, int) or not 0 <= item <= _LARGEST:
        raise GraphError(f"{name!r} in graph JSON must hold whole numbers from 0 to 2**53, got {_shown(item)}")
    return item


def _number(item: object, name: str) -> float:
    if isinstance(item, str) and item in _NON_FINITE:
        return _NON_FINITE[item]
    if isinstance(item, bool) or not isinstance(item, int | float):
        raise GraphError(f'{name!r} in graph JSON must hold numbers or "nan", "inf", "-inf", got {_shown(item)}')
    try:
        number = float(item)
    except OverflowError:
        number = math.inf
    if math.isinf(number):
        raise GraphError(f"{name!r} in graph JSON holds a number too large for a float")
    return number


def _optional(item: object, name: str) -> float | None:
    return None if item is None else _number(item, name)
