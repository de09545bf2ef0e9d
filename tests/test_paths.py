"""The paths of the chain rule: their number, the largest of them, their sum; the same in Python and in the viewer."""

from __future__ import annotations

import json
import math
import random
from itertools import pairwise

import pytest
from strategies import evaluate, on, smooth_program

from glassgrad import rules
from glassgrad.viz import bundle

# The viewer's graph object, from the JSON of a graph.
READ = """
function read(text) {
  const raw = JSON.parse(text);
  const number = (x) => (x === null ? NaN : typeof x === "string" ? Number(x.replace("inf", "Infinity")) : x);
  const start = [0];
  for (const row of raw.operands) start.push(start.at(-1) + row.length);
  const wanted = new Uint8Array(raw.nodes).fill(1);
  for (const i of raw.constants) wanted[i] = 0;
  return {
    size: raw.nodes,
    start: Int32Array.from(start),
    operand: Int32Array.from(raw.operands.flat()),
    partials: Float64Array.from(raw.partials.flat().map(number)),
    wanted,
  };
}
"""
LIST = f"""
(g, [text, questions]) => {{
  {READ}
  const graph = read(text);
  return questions.map(([root, wrt, limit, largest]) => {{
    const r = g.listPaths(graph, graph.partials, root, wrt, limit, largest);
    const paths = r.paths.map((path) => [path.edges, String(path.product)]);
    return [String(r.count), r.complete, paths, String(r.total)];
  }});
}}
"""


def paths(gg):
    return __import__(f"{gg.__name__}.viz.paths", fromlist=["paths"])


def every_path(graph, root, node):
    """By recursion: all paths, leftmost operands first, and their products."""
    if root == node:
        return [((), 1.0)]
    found = []
    for k, (operand, partial) in enumerate(zip(graph.operands[root], graph.partials[root], strict=True)):
        if graph.requires_grad[operand]:
            below = every_path(graph, operand, node)
            found += [(((root, k), *edges), (math.nan if partial is None else partial) * p) for edges, p in below]
    return found


def drawn(gg, seed, steps=14):
    """A random graph, its last result on top."""
    program = smooth_program(random.Random(seed), rules, steps)
    leaves = [gg.Value(x) for x in program.leaves]
    return gg.Graph.of(evaluate(program, leaves, on(gg))[-1])


def as_edges(graph, path):
    """A path of Python's as the viewer writes it: places in the columns of all operands, one after the other."""
    start = [0]
    for below in graph.operands:
        start.append(start[-1] + len(below))
    return [start[consumer] + position for consumer, position in path.edges]


def as_js(x):
    """How JavaScript's String writes a float, for those that Python writes differently as well."""
    return "NaN" if x != x else f"{'-' if x < 0 else ''}Infinity" if math.isinf(x) else None


def same(text, x):
    return text == as_js(x) if as_js(x) else float(text) == x


def test_g5_has_three_paths_and_their_sum(gg):
    x = gg.Value(3.0, "x")
    y = x**2 + 2 * x + x
    graph = gg.Graph.of(y)
    found = paths(gg).list_paths(graph, graph.roots[0], graph.labels.index("x"))
    assert (found.count, found.complete, found.total) == (3, True, 9.0)
    assert [path.product for path in found.paths] == [6.0, 2.0, 1.0]
    assert [len(path.edges) for path in found.paths] == [3, 3, 1]
    for path in found.paths:
        assert path.edges[0][0] == graph.roots[0]
        for (consumer, position), (below, _) in pairwise(path.edges):
            assert graph.operands[consumer][position] == below


def test_both_operands_of_a_square_are_paths(gg):
    a = gg.Value(5.0)
    found = paths(gg).list_paths(gg.Graph.of(a * a), 1, 0)
    assert [path.edges for path in found.paths] == [((1, 0),), ((1, 1),)]
    assert found.total == 10.0


def test_a_node_has_one_path_to_itself(gg):
    a = gg.Value(5.0)
    found = paths(gg).list_paths(gg.Graph.of(a * a), 0, 0)
    assert (found.count, found.paths[0].edges, found.paths[0].product, found.total) == (1, (), 1.0, 1.0)


def test_no_path_leads_up_or_aside_or_to_a_constant(gg):
    a, b, k = gg.Value(2.0, "a"), gg.Value(3.0, "b"), gg.Value(4.0, "k", requires_grad=False)
    graph = gg.Graph.of(a * k, b)
    name = graph.labels.index
    product = graph.roots[0]
    for root, node in [(product, name("b")), (product, name("k")), (name("a"), product), (name("a"), name("k"))]:
        found = paths(gg).list_paths(graph, root, node)
        assert (found.count, found.complete, found.paths, found.total) == (0, True, [], 0.0)
        assert paths(gg).count_paths(graph, root, node) == 0
    assert paths(gg).count_paths(graph, product, name("a")) == 1


def test_a_constant_on_the_way_stops_a_path(gg):
    a = gg.Value(2.0)
    y = a * 3
    z = y + a
    graph = gg.Graph.of(z)
    blocked = gg.Graph(**{**vars(graph), "requires_grad": [op != "mul" for op in graph.ops]})
    assert paths(gg).count_paths(graph, graph.roots[0], 0) == 2
    assert paths(gg).count_paths(blocked, graph.roots[0], 0) == 1


@pytest.mark.parametrize("seed", range(30))
def test_paths_are_those_that_recursion_finds(gg, seed):
    graph = drawn(gg, seed)
    root = graph.roots[0]
    for node in range(len(graph)):
        if not graph.requires_grad[node]:
            continue
        expected = every_path(graph, root, node)
        found = paths(gg).list_paths(graph, root, node, limit=len(expected))
        assert found.complete
        assert found.count == len(expected) == paths(gg).count_paths(graph, root, node)
        assert [path.edges for path in found.paths] == [edges for edges, _ in expected]
        assert sum(path.product for path in found.paths) == pytest.approx(found.total, rel=1e-9, abs=1e-9)
        top = paths(gg).list_paths(graph, root, node, limit=0, largest=3).paths if expected else []
        sizes = sorted([abs(path.product) for path in found.paths], reverse=True)
        assert [abs(path.product) for path in top] == sizes[: len(top)]
        assert len(top) == min(3, len(expected))
        assert {path.edges for path in top} <= {edges for edges, _ in expected}


@pytest.mark.parametrize("seed", range(30))
def test_the_total_is_the_gradient_bit_for_bit(gg, seed):
    program = smooth_program(random.Random(seed), rules, 14)
    leaves = [gg.Value(x) for x in program.leaves]
    root = evaluate(program, leaves, on(gg))[-1]
    root.backward()
    graph = gg.Graph.of(root)
    for i in range(len(graph)):
        if graph.grads[i] is not None:
            assert paths(gg).list_paths(graph, graph.roots[0], i).total == graph.grads[i]


def test_a_number_of_paths_beyond_all_floats_is_exact(gg):
    y = gg.Value(1.0)
    for _ in range(2000):
        y = (y + y) * 0.5
    graph = gg.Graph.of(y)
    found = paths(gg).list_paths(graph, graph.roots[0], 0)
    assert found.count == 2**2000
    assert (found.complete, len(found.paths), found.total) == (False, 10, 1.0)
    assert len({path.edges for path in found.paths}) == 10


def test_a_chain_of_20000_and_a_leaf_used_20000_times(gg):
    x = gg.Value(1.0, "x")
    y = x
    for _ in range(20_000):
        y = y * 0.9999 + x * 1e-5
    graph = gg.Graph.of(y)
    y.backward()
    node = graph.labels.index("x")
    found = paths(gg).list_paths(graph, graph.roots[0], node)
    assert (found.count, found.total) == (20_001, x.grad)
    assert found.paths[0].product == pytest.approx(0.9999**20_000)  # the longest: from the first term
    assert len(found.paths[0].edges) == 40_000


def test_zero_stays_zero_through_an_infinite_derivative(gg):
    x = gg.Value(0.0, "x")
    with gg.allow_nonfinite():
        y = gg.where(x > 0, x.sqrt(), x * 0)
    graph = gg.Graph.of(y)
    found = paths(gg).list_paths(graph, graph.roots[0], graph.labels.index("x"))
    assert [path.product for path in found.paths] == [0.0, 0.0]
    assert found.total == 0.0


def test_an_unknown_derivative_makes_the_product_nan_and_comes_first(gg):
    x = gg.Value(2.0, "x")
    out = gg.Value(8.0, (x,), "cube")
    y = 100 * x + x + out
    graph = gg.Graph.of(y)
    node = graph.labels.index("x")
    found = paths(gg).list_paths(graph, graph.roots[0], node)
    assert math.isnan(found.paths[2].product)
    assert math.isnan(found.total)
    first = paths(gg).list_paths(graph, graph.roots[0], node, limit=1, largest=2)
    assert math.isnan(first.paths[0].product)
    assert first.paths[1].product == 100.0


# ---- the viewer's -------------------------------------------------------------------------------------------------


def compare(js, paths, graph, questions):
    answers = js(LIST, [graph.to_json(), questions])
    for (root, node, limit, largest), (count, complete, listed, total) in zip(questions, answers, strict=True):
        found = paths.list_paths(graph, root, node, limit=limit, largest=largest)
        assert (int(count), complete) == (found.count, found.complete)
        assert [edges for edges, _ in listed] == [as_edges(graph, path) for path in found.paths]
        assert all(same(text, path.product) for (_, text), path in zip(listed, found.paths, strict=True))
        assert same(total, found.total)


def test_python_and_the_viewer_agree_on_random_graphs(js, gg):
    for seed in range(120):
        graph = drawn(gg, seed)
        root = graph.roots[0]
        questions = [[root, i, limit, 3] for i in range(len(graph)) for limit in (64, 2)]
        compare(js, paths(gg), graph, [*questions, [0, root, 64, 10]])


def test_python_and_the_viewer_agree_on_nan_infinities_and_ties(js, gg):
    rng = random.Random(7)
    values = [math.nan, math.inf, -math.inf, 0.0, -0.0, 1.0, -1.0, 2.0, 1e300, 1e-300, None]
    for _ in range(60):
        operands, partials = [(), ()], [(), ()]
        for i in range(2, 14):
            below = tuple(rng.randrange(max(0, i - 4), i) for _ in range(rng.randint(1, 3)))
            operands.append(below)
            partials.append(tuple(rng.choice(values) for _ in below))
        n = len(operands)
        graph = gg.Graph(
            ops=["leaf" if not below else "custom" for below in operands], symbols=[""] * n, operands=operands,
            values=[1.0] * n, grads=[None] * n, partials=partials, labels=[""] * n, scopes=[""] * n,
            requires_grad=[i == 0 or rng.random() < 0.9 for i in range(n)], roots=(n - 1,),
        )  # fmt: skip
        graph.validate()
        compare(js, paths(gg), graph, [[n - 1, i, limit, 5] for i in range(n) for limit in (64, 0)])


def test_the_viewer_counts_beyond_all_floats(js, gg):
    y = gg.Value(1.0)
    for _ in range(2000):
        y = (y + y) * 0.5
    graph = gg.Graph.of(y)
    compare(js, paths(gg), graph, [[graph.roots[0], 0, 64, 10]])


def test_the_viewers_file_needs_no_page():
    text = bundle.source("paths.js")
    assert all(len(line) <= 110 for line in text.splitlines())
    assert "document" not in text
    assert "window" not in text
    assert json.dumps(sorted(bundle.exports())).count("listPaths") == 1
