"""The layout in the browser: the same ranks, orders, crossings, places and routes as in Python, and what only it has.

Reference: `glassgrad.viz.order` and `glassgrad.viz.layout` in Python, whose own laws stand in test_layout.py.
"""

from __future__ import annotations

import json
import random
from itertools import pairwise

import pytest
from graphs import horner, mlp, random_dag

from glassgrad.viz import order as ordering
from glassgrad.viz.layout import layout
from glassgrad.viz.order import rank

# Goes in and comes out as text: Playwright takes many times as long for large values as the layout itself.
LAYOUT = """(g, text) => JSON.stringify(JSON.parse(text).map(({ sizes, edges, options }) => {
  const progress = [], list = (items) => Array.from(items);
  const plan = g.layoutGraph(Float64Array.from(sizes), Int32Array.from(edges),
    { ...options, progress: (part) => progress.push(part) });
  const { ranks, layers, joints, chains, detours, crossings } = plan.ordering;
  return {
    x: list(plan.x), y: list(plan.y), width: plan.width, height: plan.height, routes: plan.routes,
    trunks: list(plan.trunks), ranks: list(ranks), layers: layers.map(list), joints: list(joints),
    chains: list(chains).map(([source, lanes]) => [source, list(lanes)]), detours, crossings, progress,
  };
}))"""


def laid_out(js, cases):
    return json.loads(js(LAYOUT, json.dumps(cases)))


def case(graph, seed=0, **options):
    """A graph with boxes of random sizes, as the browser is given it."""
    n, edges = graph
    draw = random.Random(seed)
    sizes = [(draw.uniform(20, 160), draw.uniform(15, 60)) for _ in range(n)]
    return {"sizes": flat(sizes), "edges": flat(edges), "options": options}


def flat(pairs):
    return [item for pair in pairs for item in pair]


def pairs(items):
    return list(zip(items[::2], items[1::2], strict=True))


def agree(found, case, **options):
    """Assert that the browser found what Python finds."""
    plan = layout(pairs(case["sizes"]), pairs(case["edges"]), **options)
    expected = plan.ordering
    assert found["ranks"] == expected.ranks
    assert found["layers"] == expected.layers
    assert found["joints"] == expected.joints
    assert dict(found["chains"]) == expected.chains
    assert found["detours"] == expected.detours
    assert found["crossings"] == expected.crossings
    assert found["x"] == pytest.approx(plan.x, rel=0, abs=1e-9)
    assert found["y"] == pytest.approx(plan.y, rel=0, abs=1e-9)
    assert (found["width"], found["height"]) == pytest.approx((plan.width, plan.height), rel=0, abs=1e-9)
    trunks = dict(found["trunks"])
    assert trunks.keys() == plan.trunks.keys()
    for mine, theirs in [
        *zip(found["routes"], plan.routes, strict=True),
        *((trunks[s], plan.trunks[s]) for s in trunks),
    ]:
        assert flat(mine) == pytest.approx(flat(theirs), rel=0, abs=1e-9)


@pytest.mark.slow
@pytest.mark.parametrize("rankdir", ["LR", "TB"])
def test_random_graphs_are_laid_out_as_in_python(js, rankdir):
    cases = [case(random_dag(seed), seed, rankdir=rankdir) for seed in range(500)]
    assert any(len(set(pairs(c["edges"]))) < len(pairs(c["edges"])) for c in cases)  # repeats are among them
    for found, given in zip(laid_out(js, cases), cases, strict=True):
        agree(found, given, rankdir=rankdir)


NETWORKS = {"two samples": mlp([2, 5, 5, 1], samples=2), "horner": horner(40), "979 nodes": mlp([2, 16, 16, 1])}


@pytest.mark.parametrize("name", NETWORKS)
def test_networks_are_laid_out_as_in_python(js, name):
    given = case(NETWORKS[name])
    [found] = laid_out(js, [given])
    agree(found, given)


def test_other_distances_and_fewer_sweeps_mean_the_same_in_python(js):
    graph = mlp([2, 4, 3, 1])
    names = {"gap": "gap", "rankGap": "rank_gap", "portGap": "port_gap", "arrival": "arrival", "sweeps": "sweeps"}
    names["departure"] = "departure"
    for values in ([3, 80, 5, 0, 0, 12], [40, 10, 30, 20, 2, 4]):
        given = case(graph, **dict(zip(names, values, strict=True)))
        [found] = laid_out(js, [given])
        agree(found, given, **dict(zip(names.values(), values, strict=True)))


def test_no_boxes_and_one_box(js):
    for graph in ((0, []), (1, []), (2, [])):
        given = case(graph)
        [found] = laid_out(js, [given])
        agree(found, given)


@pytest.mark.parametrize("lanes", [0, 5, 40])
def test_edges_that_would_need_too_many_lanes_run_along_the_border_as_in_python(js, monkeypatch, lanes):
    monkeypatch.setattr(ordering, "LANES", lanes)
    cases = [case(graph, lanes=lanes) for graph in (horner(12), *map(random_dag, range(1, 40, 7)))]
    detours = 0
    for found, given in zip(laid_out(js, cases), cases, strict=True):
        agree(found, given)
        detours += len(found["detours"])
    assert detours


def test_a_cycle_is_refused(js):
    message = js("(g) => { try { g.rankGraph(2, [0, 1, 1, 0]); } catch (error) { return error.message; } }")
    assert "cycle" in message


def test_ranks_alone_are_those_of_python(js):
    graphs = [random_dag(seed) for seed in range(100)]
    found = js(
        "(g, graphs) => graphs.map(([n, edges]) => Array.from(g.rankGraph(n, edges)))",
        [(n, flat(edges)) for n, edges in graphs],
    )
    assert found == [rank(n, edges) for n, edges in graphs]


# ---- what only the browser has ---------------------------------------------------------------------------------------


def test_past_the_deadline_a_layout_is_valid_though_nothing_was_reordered(js):
    graph = mlp([2, 6, 5, 1])
    [late, done] = laid_out(js, [case(graph, deadline=0), case(graph)])
    assert late["ranks"] == done["ranks"]
    assert late["crossings"] > done["crossings"]
    assert [sorted(layer) for layer in late["layers"]] == [sorted(layer) for layer in done["layers"]]
    sizes = pairs(case(graph)["sizes"])
    for layer in late["layers"]:
        boxes = [v for v in layer if v < graph[0]]
        for above, below in pairwise(boxes):
            assert late["y"][below] - late["y"][above] > (sizes[above][1] + sizes[below][1]) / 2 + 8


def test_progress_grows_from_0_to_1(js):
    [found] = laid_out(js, [case(mlp([2, 6, 5, 1]))])
    assert found["progress"] == sorted(found["progress"])
    assert 0 <= found["progress"][0] < 0.5
    assert found["progress"][-1] == 1


ACYCLIC = """(g, graphs) => graphs.map(([n, edges]) => {
  const { edges: turned, reversed } = g.acyclic(n, edges);
  return [Array.from(turned), Array.from(reversed)];
})"""


def test_acyclic_turns_edges_round_until_no_cycle_is_left(js):
    graphs = []
    for seed in range(300):
        draw = random.Random(seed)
        n = draw.choice([2, 3, 8, 30])
        ends = (draw.sample(range(n), 2) for _ in range(draw.randint(0, 3 * n)))
        graphs.append((n, [(a, b) for a, b in ends]))
    found = js(ACYCLIC, [(n, flat(edges)) for n, edges in graphs])
    turned_some = 0
    for (n, edges), (turned, reversed_) in zip(graphs, found, strict=True):
        assert pairs(turned) == [(b, a) if back else (a, b) for (a, b), back in zip(edges, reversed_, strict=True)]
        rank(n, pairs(turned))  # refuses cycles
        turned_some += any(reversed_)
        # Few: none of them is turned for nothing.
        for k, back in enumerate(reversed_):
            if back:
                again = pairs(turned)
                again[k] = again[k][::-1]
                with pytest.raises(ValueError, match="cycle"):
                    rank(n, again)
    assert turned_some > 100


def test_acyclic_leaves_a_graph_without_cycles_as_it_is(js):
    graphs = [random_dag(seed) for seed in range(200)]
    for (_, edges), (turned, reversed_) in zip(
        graphs, js(ACYCLIC, [(n, flat(edges)) for n, edges in graphs]), strict=True
    ):
        assert pairs(turned) == edges
        assert not any(reversed_)


def test_acyclic_refuses_an_edge_from_a_node_to_itself(js):
    message = js("(g) => { try { g.acyclic(2, [0, 1, 1, 1]); } catch (error) { return error.message; } }")
    assert "node 1 has an edge to itself" in message


def test_a_ring_of_100_000_nodes_is_cut_once_without_recursion(js):
    turned = js(
        """(g) => {
          const n = 100000, edges = new Int32Array(2 * n).map((_, i) => ((i + 1) >> 1) % n);
          return g.acyclic(n, edges).reversed.reduce((sum, back) => sum + back, 0);
        }"""
    )
    assert turned == 1


def test_a_network_of_15_800_nodes_is_laid_out_in_linear_time(js):
    timed = """(g, [n, edges]) => {
      const start = performance.now();
      const { y, routes, ordering } = g.layoutGraph(new Float64Array(2 * n).fill(40), edges);
      const time = performance.now() - start;
      return [time, routes.length, Math.max(...y), ordering.layers.reduce((sum, layer) => sum + layer.length, 0)];
    }"""
    small, large = ((n, flat(edges)) for n, edges in (mlp([2, 16, 16, 1], 2), mlp([2, 16, 16, 1], 24)))
    assert large[0] == 15_768
    js(timed, small)  # compiles
    quick = min(js(timed, small)[0] for _ in range(3))
    slow, routes, bottom, placed = js(timed, large)
    assert slow < 40 * max(quick, 20)  # ten times the nodes
    assert routes == len(large[1]) // 2
    assert placed > 15_768
    assert 0 < bottom < 1e6
