"""Stepping: Python and JavaScript say the same after every step, and the last step is what backward() leaves."""

from __future__ import annotations

import json
import math
import random
import struct
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pictures import HOSTILE, g1
from strategies import evaluate, on, smooth_program

import glassgrad
from glassgrad import OperandError, Value
from glassgrad.graph import Graph
from glassgrad.viz import bundle
from glassgrad.viz.steps import Steps, sentence

# The graph that the viewer's engine reads out of the JSON, as far as stepping needs it.
READ = """
(raw) => {
  const number = (x) => (x === "nan" ? NaN : x === "inf" ? Infinity : x === "-inf" ? -Infinity : x);
  const size = raw.nodes;
  const start = Int32Array.from([0, ...raw.operands.map((row) => row.length)]);
  for (let i = 0; i < size; i++) start[i + 1] += start[i];
  const column = (items) => Float64Array.from(items, (x) => (x === null ? 0 : number(x)));
  const there = (items) => Uint8Array.from(items, (x) => (x === null ? 0 : 1));
  return {
    size, start, roots: raw.roots, operand: Int32Array.from(raw.operands.flat()),
    ops: raw.kind.map((k) => raw.kinds[k][0]), symbols: raw.kind.map((k) => raw.kinds[k][1]),
    values: column(raw.values), grads: column(raw.grads), known: there(raw.grads),
    partials: column(raw.partials.flat()), partialKnown: there(raw.partials.flat()),
    labels: Array.from({ length: size }, (_, i) => raw.labels[i] ?? ""),
    wanted: Uint8Array.from({ length: size }, (_, i) => (raw.constants.includes(i) ? 0 : 1)),
  };
}
"""
EVERY_STEP = f"""
(g, [raw, root, strings]) => {{
  const graph = ({READ})(raw);
  const steps = g.makeSteps(graph, root);
  const text = (x) => (Object.is(x, -0) ? "-0" : String(x));
  const states = [];
  for (let index = 0; index <= steps.total; index++) {{
    const s = g.stepAt(graph, steps, graph.values, graph.partials, index);
    states.push([
      s.phase, s.node, s.operand, s.edge, s.how, [...s.shown], [...s.known], [...s.grads].map(text),
      [s.before, s.after, s.factor, s.partial].map(text),
      ...strings.map((words) => g.stepSentence(graph, s, words, steps)),
    ]);
  }}
  return [steps.seedAt, steps.total, states];
}}
"""


def bits(numbers):
    return [struct.pack("<d", math.nan if x != x else x) for x in numbers]


def in_python(graph, root):
    steps = Steps.of(graph, root)
    states = []
    for index in range(steps.total + 1):
        s = steps.at(index)
        states.append(
            [
                *(s.phase, s.node, s.operand, s.edge, s.how, [*map(int, s.shown)], [*map(int, s.known)]),
                bits(s.grads),
                bits([s.before, s.after, s.factor, s.partial]),
                *[sentence(graph, steps, s, lang) for lang in ("en", "zh")],
            ]
        )
    return [steps.seed_at, steps.total, states]


def in_javascript(js, graph, root):
    strings = bundle.strings()
    found = js(EVERY_STEP, [json.loads(graph.to_json()), root, [strings["en"], strings["zh"]]])
    for state in found[2]:
        for k in (7, 8):
            state[k] = bits([float(text.replace("Infinity", "inf").replace("NaN", "nan")) for text in state[k]])
    return found


def random_root(seed):
    rng = random.Random(seed)
    program = smooth_program(rng, glassgrad.rules)
    leaves = [Value(x, rng.choice(["", f"x{i}", "שלום"])) for i, x in enumerate(program.leaves)]
    scalars = [x for x in evaluate(program, leaves, on(glassgrad)) if isinstance(x, Value) and x._prev]
    return scalars[-1]


def test_the_lecture_graph_step_by_step():
    graph = Graph.of(loss := g1())
    steps = Steps.of(graph)
    assert (len(steps.forward), steps.seed_at, steps.total) == (3, 4, 10)
    told = [sentence(graph, steps, steps.at(k)) for k in range(steps.total + 1)]
    assert told == [
        "Only the leaves have values",
        "n2 = a · b = 2 · (−3) = −6",
        "n4 = n2 + c = −6 + 10 = 4",
        "L = n4 · f = 4 · (−2) = −8",
        "∂L/∂L = 1: the way back begins",
        "∂L/∂n4 += ∂L/∂L · ∂L/∂n4 = 1 · (−2) = −2  (was 0, now −2)",
        "∂L/∂f += ∂L/∂L · ∂L/∂f = 1 · 4 = 4  (was 0, now 4)",
        "∂L/∂n2 += ∂L/∂n4 · ∂n4/∂n2 = (−2) · 1 = −2  (was 0, now −2)",
        "∂L/∂c += ∂L/∂n4 · ∂n4/∂c = (−2) · 1 = −2  (was 0, now −2)",
        "∂L/∂a += ∂L/∂n2 · ∂n2/∂a = (−2) · (−3) = 6  (was 0, now 6)",
        "∂L/∂b += ∂L/∂n2 · ∂n2/∂b = (−2) · 2 = −4  (was 0, now −4)",
    ]
    loss.backward()
    assert steps.at(steps.total).grads == Graph.of(loss).grads


def test_every_backward_step_changes_one_gradient_and_step_0_is_the_start():
    graph = Graph.of(g1())
    steps = Steps.of(graph)
    start = steps.at(0)
    assert start.shown == [op == "leaf" for op in graph.ops]
    assert not any(start.known)
    for k in range(steps.seed_at + 1, steps.total + 1):
        one, other = steps.at(k - 1).grads, steps.at(k).grads
        assert [i for i in range(len(graph)) if one[i] != other[i]] == [steps.at(k).operand]
    assert steps.at(0) == start
    assert steps.at(-3) == start
    assert steps.at(999) == steps.at(steps.total)


@given(seed=st.integers(0, 2**32))
def test_the_last_step_is_what_backward_leaves_bit_for_bit(seed):
    root = random_root(seed)
    steps = Steps.of(Graph.of(root))
    root.backward()
    after = Graph.of(root)
    last = steps.at(steps.total)
    wanted = [i for i in range(len(after)) if after.requires_grad[i]]
    assert bits([last.grads[i] for i in wanted]) == bits([after.grads[i] for i in wanted])
    assert all(last.shown)
    # What no path of wanted gradients reaches is not begun, and backward() leaves 0 there.
    assert all(last.known[i] or after.grads[i] == 0.0 for i in wanted)


@pytest.mark.parametrize("seed", range(40))
def test_python_and_javascript_agree_on_random_graphs(js, seed):
    graph = Graph.of(random_root(seed))
    for root in {graph.roots[0], len(graph) // 2}:
        assert in_javascript(js, graph, root) == in_python(graph, root)


def test_they_agree_on_other_roots_infinite_derivatives_and_hostile_labels(js):
    with glassgrad.allow_nonfinite():
        x = Value(0.0, "x")
        odd = glassgrad.where(x > 0, glassgrad.sqrt(x), x * 2) + glassgrad.log(x) * 0.0
        far = glassgrad.exp(Value(1000.0)) * x
    hostile = glassgrad.sum([Value(k + 0.5, text) * -1e-7 for k, text in enumerate(HOSTILE)])
    graph = Graph.of(odd, far, hostile)
    for root in graph.roots:
        assert in_javascript(js, graph, root) == in_python(graph, root)


def test_numbers_are_rounded_alike_at_halves_and_far_away(js):
    rng = random.Random(5)
    numbers = [1000.5, 1001.5, 0.015625, 9999.5, -9999.5, 99995.0, 1e-5, 9.9995e-5, 0.00012345, 5e-324, 1.7e308]
    numbers += [0.0, -0.0, math.inf, -math.inf, math.nan, 123456.0, 12345.5]
    numbers += [rng.choice([1, -1]) * rng.randrange(1, 2**20) * 2.0 ** rng.randrange(-30, 10) for _ in range(2000)]
    numbers += [rng.uniform(-1, 1) * 10.0 ** rng.randrange(-12, 12) for _ in range(2000)]
    raw = [str(x) for x in numbers]
    found = js(
        "(g, texts) => texts.map((t) => g.short(t === 'inf' ? Infinity : t === '-inf' ? -Infinity : Number(t)))",
        raw,
    )
    from glassgrad.viz.steps import signed

    assert found == [signed(x) for x in numbers]


def by_hand(x, factor=3.0):
    out = Value(factor * x.data, (x,), "mine")

    def backward():
        x.grad += factor * out.grad

    out._backward = backward
    return out


def test_an_operation_written_by_hand_takes_the_gradient_of_the_snapshot(js):
    x = Value(2.0, "x")
    y = x * 5.0
    root = by_hand(y) * y
    root.backward()
    graph = Graph.of(root)
    steps = Steps.of(graph)
    states = [steps.at(k) for k in range(steps.total + 1)]
    assert [s.how for s in states if s.how] == ["product", "product", "given", "product"]
    assert states[-1].grads[0] == x.grad == 300.0
    given = next(s for s in states if s.how == "given")
    assert "does not show its local derivatives" in sentence(graph, steps, given)
    assert in_javascript(js, graph, graph.roots[0]) == in_python(graph, graph.roots[0])


@pytest.mark.parametrize(
    ("first", "hows"),
    [(True, ["product", "product", "product", "given"]), (False, ["product", "product", "given", "included"])],
)
def test_what_it_passes_on_is_counted_once_before_and_after_other_contributions(js, first, hows):
    x = Value(2.0, "x")
    early = by_hand(x) if first else x * 5.0
    root = early + (x * 5.0 if first else by_hand(x))
    root.backward()
    graph = Graph.of(root)
    steps = Steps.of(graph)
    assert [steps.at(k).how for k in range(steps.seed_at + 1, steps.total + 1)] == hows
    assert steps.at(steps.total).grads[0] == x.grad == 8.0
    before = replace(graph, grads=[None] * len(graph))
    last = Steps.of(before).at(steps.total)
    assert math.isnan(last.grads[0])
    assert not last.known[0]
    for drawn in (graph, before):
        assert in_javascript(js, drawn, drawn.roots[0]) == in_python(drawn, drawn.roots[0])


def test_checkpoints_and_constants_step_as_well(js):
    @glassgrad.checkpoint
    def pair(x, w):
        return [x * w, x + w]

    a, b = Value(2.0, "a"), Value(3.0, "b")
    one, two = pair(a, b)
    root = one * two + 1.0
    root.backward()
    graph = Graph.of(root)
    steps = Steps.of(graph)
    last = steps.at(steps.total)
    assert [last.grads[graph.labels.index(name)] for name in "ab"] == [a.grad, b.grad]
    assert in_javascript(js, graph, graph.roots[0]) == in_python(graph, graph.roots[0])


def test_a_leaf_alone_has_only_its_seed():
    steps = Steps.of(Graph.of(Value(3.0, "x")))
    assert (steps.seed_at, steps.total) == (1, 1)
    assert steps.at(1).grads == [1.0]


@pytest.mark.parametrize("root", [7, -1, True, 1.0, "L"])
def test_a_root_that_is_no_node_is_refused(root):
    with pytest.raises(OperandError, match="id of one of the 7 nodes"):
        Steps.of(Graph.of(g1()), root)


def test_both_languages_have_the_same_keys_and_blanks():
    import re

    english, chinese = bundle.strings()["en"], bundle.strings()["zh"]
    keys = [key for key in english if key.startswith("step.")]
    assert keys == [key for key in chinese if key.startswith("step.")]
    for key in keys:
        assert set(re.findall(r"\{\w+\}", english[key])) == set(re.findall(r"\{\w+\}", chinese[key]))
