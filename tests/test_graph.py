"""Graph: the snapshot, its JSON, and what it says to damaged text."""

from __future__ import annotations

import contextlib
import copy
import importlib
import json
import math
import os
import re
import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

import glassgrad
from glassgrad import Value
from glassgrad.errors import GraphError, OperandError
from glassgrad.graph import Graph, count_below

G1 = """
from glassgrad import Value
from glassgrad.graph import Graph
a, b, c, f = Value(2, 'a'), Value(-3, 'b'), Value(10, 'c'), Value(-2, 'f')
L = (a * b + c) * f
L.backward()
print(Graph.of(L).to_json(), end='')
"""


def g1():
    a, b, c, f = Value(2, "a"), Value(-3, "b"), Value(10, "c"), Value(-2, "f")
    return (a * b + c) * f


def test_columns_of_a_small_graph(gg):
    graph_of = importlib.import_module(f"{gg.__name__}.graph").Graph.of
    a, b = gg.Value(2, "a"), gg.Value(3, "b")
    y = a * b + a
    y.label = "y"
    graph = graph_of(y)
    assert graph.ops == ["leaf", "leaf", "mul", "add"]
    assert graph.symbols == ["", "", "*", "+"]
    assert graph.operands == [(), (), (0, 1), (2, 0)]
    assert graph.values == [2.0, 3.0, 6.0, 8.0]
    assert graph.partials == [(), (), (3.0, 2.0), (1.0, 1.0)]
    assert graph.labels == ["a", "b", "", "y"]
    assert graph.requires_grad == [True] * 4
    assert graph.roots == (3,)
    assert graph.grads == [None] * 4
    y.backward()
    assert graph_of(y).grads == [4.0, 2.0, 1.0, 1.0]
    assert graph.grads == [None] * 4, "a snapshot never changes"


def test_a_gradient_set_to_zero_is_not_computed():
    loss = g1()
    loss.backward()
    assert None not in Graph.of(loss).grads
    for value in (loss, *loss._prev):
        value.grad = 0
    assert Graph.of(loss).grads.count(None) == 3


def test_repeated_operands_are_kept():
    a = Value(3, "a")
    graph = Graph.of(a * a)
    assert graph.operands[-1] == (0, 0)
    assert graph.edges() == [(0, 1), (0, 1)]
    assert graph.consumers() == [[1, 1], []]


def test_plain_numbers_are_constants_with_the_same_ids_every_time():
    x = Value(3, "x")
    y = 2 * x + 1 - 5 * x
    first, second = Graph.of(y), Graph.of(y)
    assert first == second
    constants = [value for value, wanted in zip(first.values, first.requires_grad, strict=True) if not wanted]
    assert sorted(constants) == [1.0, 2.0, 5.0]
    assert count_below([y], 100) == len(first)


def test_scopes_are_kept():
    with glassgrad.scope("layer"), glassgrad.scope("neuron"):
        y = Value(1) * Value(2)
    assert Graph.of(y).scopes[-1] == "layer/neuron"


def test_operations_written_by_hand_have_no_known_partials():
    x = Value(0.5, "x")
    y = Value(math.tanh(x.data), (x,), "tanh")
    graph = Graph.of(y)
    assert graph.ops[-1] == "custom"
    assert graph.symbols[-1] == "tanh"
    assert graph.partials[-1] == (None,)


def test_several_roots_share_what_they_share():
    a = Value(1)
    b, c = a + 1, a * 2
    graph = Graph.of(b, c, b)
    assert graph.roots == (graph.roots[0], graph.roots[1], graph.roots[0])
    assert graph.values[graph.roots[1]] == 2.0
    assert graph.ops.count("leaf") == 3


def test_ids_follow_the_expression_from_left_to_right():
    assert Graph.of(g1()).labels == ["a", "b", "", "c", "", "f", ""]


def test_a_cycle_is_refused():
    a = Value(1.0)
    b = a + 1
    c = b * 2
    b._prev = (c,)
    with pytest.raises(GraphError, match="cycle"):
        Graph.of(c)


def test_what_is_no_value_is_refused():
    with pytest.raises(OperandError, match=r"Graph\.of\(\*values\)"):
        Graph.of([Value(1)])
    with pytest.raises(GraphError, match="at least one"):
        Graph.of()


def test_a_deep_chain_needs_no_recursion():
    value = Value(0.5)
    for _ in range(20_000):
        value = value.tanh()
    graph = Graph.of(value)
    assert len(graph) == 20_001
    assert len(Graph.from_json(graph.to_json())) == 20_001


def test_counting_stops_early():
    value = Value(1.0)
    for _ in range(1000):
        value = value + value
    assert count_below([value], 60) == 61
    assert count_below([value], 5000) == 1001


# JSON ------------------------------------------------------------------------------------------------------------


def test_json_is_the_same_in_every_process():
    texts = set()
    for seed in "01234":
        done = subprocess.run(
            [sys.executable, "-c", G1], capture_output=True, check=True, env={**os.environ, "PYTHONHASHSEED": seed}
        )
        texts.add(done.stdout)
    assert len(texts) == 1


def test_the_documented_example_is_what_comes_out(root):
    page = (root / "docs" / "graph-json.md").read_text(encoding="utf-8")
    names: dict[str, object] = {}
    exec(re.search(r"```python\n(.*?)```", page, re.DOTALL)[1], names)
    shown = re.search(r"```json\n(.*?)```", page, re.DOTALL)[1]
    assert names["text"] == shown
    assert Graph.from_json(shown).to_json() == shown
    for field in json.loads(shown):
        assert f"| `{field}` |" in page


def test_numbers_survive_exactly():
    values = [0.1, -0.0, 5e-324, 1.7976931348623157e308, 2.0**53 + 2, 1e22, math.inf, -math.inf, 1 / 3]
    graph = Graph.of(*map(Value, values[:6]), Value(values[8]))
    assert [value.hex() for value in Graph.from_json(graph.to_json()).values] == [value.hex() for value in graph.values]
    with glassgrad.allow_nonfinite():
        odd = Graph.of(Value(math.nan), Value(math.inf) + 1)
    text = odd.to_json()
    assert '"nan"' in text
    assert '"inf"' in text
    assert Graph.from_json(text).to_json() == text


@pytest.mark.parametrize(
    "label", ['"', "</script>", "x" * 10_000, "שלום", "👩‍👩‍👧", "a\x00b\ud800", "\u2028", "\\n", "]]>"]
)
def test_any_label_survives_and_is_safe_inside_a_script_element(label):
    text = Graph.of(Value(1, label)).to_json()
    assert Graph.from_json(text).labels == [label]
    assert "<" not in text
    assert text.isascii()


labels = st.text(max_size=5)
floats = st.floats(allow_nan=False)


@st.composite
def graphs(draw):
    n = draw(st.integers(1, 12))
    operands = [tuple(draw(st.lists(st.integers(0, i - 1), max_size=3))) if i else () for i in range(n)]
    column = lambda item: draw(st.lists(item, min_size=n, max_size=n))  # noqa: E731
    return Graph(
        ops=["custom" if below else "leaf" for below in operands],
        symbols=column(labels),
        operands=operands,
        values=column(floats),
        grads=column(st.none() | floats),
        partials=[tuple(draw(st.none() | floats) for _ in below) for below in operands],
        labels=column(labels),
        scopes=column(labels),
        requires_grad=column(st.booleans()),
        roots=tuple(draw(st.lists(st.integers(0, n - 1), min_size=1, max_size=3))),
        shapes=draw(st.dictionaries(st.integers(0, n - 1), st.lists(st.integers(0, 99)).map(tuple), max_size=2)),
        notes=draw(st.dictionaries(st.integers(0, n - 1), labels, max_size=2)),
        formulas=draw(st.dictionaries(labels, st.tuples(labels, st.lists(labels, max_size=2).map(tuple)), max_size=2)),
    )


def test_tensors_and_notes_are_kept_and_cost_nothing_where_there_are_none():
    graph = Graph.of(g1())
    plain = graph.to_json()
    assert not any(field in json.loads(plain) for field in ("shapes", "notes", "formulas"))
    graph.shapes.update({6: (), 2: (4, 0)})
    graph.notes[4] = "</script>"
    text = graph.to_json()
    assert text.startswith(plain.removesuffix("}\n"))
    assert text.endswith(',\n"shapes":{"2":[4,0],"6":[]},\n"notes":{"4":"\\u003c/script>"}}\n')
    assert Graph.from_json(text) == graph
    assert Graph.from_json(text).shapes == {2: (4, 0), 6: ()}
    graph.notes[7] = "nobody"
    with pytest.raises(GraphError, match="'notes' names node 7, but there are 7 nodes"):
        graph.validate()


def test_primitives_bring_their_formulas(gg):
    graph_of = importlib.import_module(f"{gg.__name__}.graph").Graph

    @gg.primitive(formula="sin(x) / w")
    def ratio(x, w):
        return math.sin(x) / w

    ratio.derivative("x", text="cos(x) / w")(lambda x, w: math.cos(x) / w)
    other = gg.primitive(formula="x - w")(lambda x, w: x - w)
    x = gg.Value(2.0)
    graph = graph_of.of(ratio(x, 3.0) * x)
    assert graph.formulas == {"ratio": ("sin(x) / w", ("cos(x) / w", ""))}
    assert graph_of.from_json(graph.to_json()) == graph
    other.name = "ratio"
    other.derivative("x")(lambda x, w: 1.0)
    assert graph_of.of(ratio(x, 3.0) * other(x, 1.0)).formulas == {}, "which of the two is meant?"


@given(graphs())
def test_any_graph_makes_the_round_trip(graph):
    graph.validate()
    text = graph.to_json()
    assert Graph.from_json(text) == graph
    assert Graph.from_json(text).to_json() == text


@given(graphs(), st.data())
def test_damaged_json_is_refused_or_still_a_graph(graph, data):
    raw = json.loads(graph.to_json())
    field = data.draw(st.sampled_from(sorted(raw)))
    junk = st.none() | st.booleans() | st.integers(-2, 99) | st.text(max_size=3) | st.floats(allow_nan=False)
    if isinstance(raw[field], list) and raw[field] and data.draw(st.booleans()):
        raw[field][data.draw(st.integers(0, len(raw[field]) - 1))] = data.draw(junk | st.lists(junk, max_size=3))
    else:
        raw[field] = data.draw(
            junk | st.lists(junk, max_size=3) | st.dictionaries(st.text(max_size=2), junk, max_size=2)
        )
    with contextlib.suppress(GraphError):  # and nothing else
        Graph.from_json(json.dumps(raw)).validate()


@pytest.mark.parametrize(
    ("field", "value", "reason"),
    [
        ("version", 2, "version 2 cannot be read"),
        ("version", True, "version True cannot be read"),
        ("format", "other", "not a glassgrad graph"),
        ("nodes", -1, "'nodes'"),
        ("roots", [7], "node 7, but there are 7 nodes"),
        ("roots", [], "at least one root"),
        ("kind", [0, 0, 1, 0, 2, 0, 9], "entry 9 of a table of 3"),
        ("operands", [[], [], [0, 2], [], [2, 3], [], [4, 5]], "topological order"),
        ("operands", [[], [0], [0, 1], [], [2, 3], [], [4, 5]], "leaf and cannot have operands"),
        ("values", [1], "1 entries for 7 nodes"),
        ("values", ["x"] + [0] * 6, "numbers or"),
        ("values", [10**400] + [0] * 6, "too large"),
        ("partials", [[], [], [1], [], [1, 1], [], [1, 1]], "2 operands but 1 local derivatives"),
        ("labels", {"a": "b"}, "not a node id"),
        ("labels", {"99": "b"}, "node 99"),
        ("scopes", [1], "must hold text"),
        ("constants", [1.5], "whole numbers"),
        ("roots", [10**400], "whole numbers from 0 to 2**53"),
    ],
)
def test_damage_is_named(field, value, reason):
    raw = json.loads(Graph.of(g1()).to_json())
    broken = copy.deepcopy(raw)
    broken[field] = value
    with pytest.raises(GraphError, match=re.escape(reason)):
        Graph.from_json(json.dumps(broken))
    del raw[field]
    with pytest.raises(GraphError, match=field):
        Graph.from_json(json.dumps(raw))


@pytest.mark.parametrize("text", ["", "{", "[]", "null", '{"format": NaN}', "[" * 100_000, "\xff"])
def test_what_is_no_graph_json_is_refused(text):
    with pytest.raises(GraphError, match=r"not JSON|not a glassgrad graph"):
        Graph.from_json(text)


@pytest.mark.parametrize("text", [None, 3, bytearray(b"{}"), {"format": "glassgrad.graph"}])
def test_what_is_no_text_is_refused(gg, text):
    graph, errors = (importlib.import_module(f"{gg.__name__}.{name}") for name in ("graph", "errors"))
    with pytest.raises(errors.OperandError, match=r"from_json\(\) takes the text that to_json\(\) returned, got"):
        graph.Graph.from_json(text)
