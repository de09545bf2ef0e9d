"""The SVG that glassgrad draws itself: cards, edges, areas, and texts that stay texts."""

from __future__ import annotations

import random
import re
import xml.etree.ElementTree as ET
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pictures import HOSTILE, SVG, cards, g1
from test_layout import curve_points

import glassgrad
from glassgrad import Value
from glassgrad.graph import Graph
from glassgrad.nn import MLP
from glassgrad.viz.cards import arrange, arrows, exponents
from glassgrad.viz.dot import draw_dot
from glassgrad.viz.svg import draw
from glassgrad.viz.text import text_width


def tooltips(svg):
    return [card.find(f"{SVG}title").text for card in cards(svg)]


def test_one_card_per_value_with_label_data_and_gradient():
    loss = g1()
    loss.backward()
    svg = draw(Graph.of(loss))
    assert len(cards(svg)) == 7
    texts = [[text.text for text in card.iter(f"{SVG}text")] for card in cards(svg)]
    assert ["a", "2", "grad", "6"] in texts
    assert ["×", "L", "-8", "grad", "1"] in texts
    assert "not computed" not in svg


def test_before_backward_no_gradient_is_shown_as_a_number():
    svg = draw(Graph.of(g1()))
    assert svg.count(">—</text>") == 7
    assert "not computed" in svg
    assert all("grad not computed" in text for text in tooltips(svg))
    assert "0.0000" not in svg


def test_small_numbers_keep_their_digits():
    a = Value(1e-6, "a")
    b = a * 1.23456789
    svg, source = draw(Graph.of(b)), draw_dot(b).source
    for text in ("1e-06", "1.235e-06"):
        assert f">{text}<" in svg
        assert f"{text}<" in source
    assert any("data 1.2345678899999998e-06" in text for text in tooltips(svg))


def test_tooltips_hold_the_local_derivatives_and_the_scope():
    with glassgrad.scope("layer1"):
        y = Value(2, "a") * Value(3, "b")
    (tip,) = [text for text in tooltips(draw(Graph.of(y))) if "mul" in text]
    assert "∂n2/∂\u2068a\u2069 = 3.0" in tip
    assert "in layer1" in tip


def test_kinds_of_cards_are_told_apart():
    kinds = [card.get("class").split()[1] for card in cards(draw(Graph.of((Value(2, "a") * 3).tanh())))]
    assert sorted(kinds) == ["gg-const", "gg-leaf", "gg-op", "gg-root"]


def test_an_exponent_that_the_badge_says_has_no_card():
    x = Value(3, "x")
    y = x**2
    graph = Graph.of(y)
    assert graph.operands[2] == (0, 1)  # the snapshot has it
    svg, source = draw(graph, partials=True), draw_dot(y, partials=True).source
    assert [card.get("class") for card in cards(svg)] == ["gg-node gg-leaf", "gg-node gg-root"]
    assert svg.count('class="gg-edge"') == 1
    assert ">constant<" not in svg
    assert "**2" in svg
    assert '<text x="' in svg.partition("gg-slope")[2]  # the tag of x's edge, with 6 on it
    assert re.findall(r"^\t(n\d+)(?: -> (n\d+))? \[", source, re.MULTILINE) == [("n0", ""), ("n2", ""), ("n0", "n2")]


def test_an_exponent_that_says_more_than_the_badge_keeps_its_card():
    x = Value(3, "x")
    named, shared = Value(2, "n", requires_grad=False), Value(2, requires_grad=False)
    own = x**2
    own._op = "squared"
    for root, count in ((x**named, 3), (x**shared * shared, 4), (x ** Value(2), 3), (2**x, 3), (own, 3)):
        assert len(cards(draw(Graph.of(root)))) == count, root
        assert draw_dot(root).source.count("<TABLE") == count
    assert len(cards(draw(Graph.of(x**shared, shared)))) == 3  # asked for by name


def test_both_edges_of_a_square_are_drawn():
    a = Value(3, "a")
    assert draw(Graph.of(a * a)).count('class="gg-edge"') == 2
    assert draw_dot(a * a).source.count("n0 -> n1") == 2


def test_edges_show_local_derivatives_on_request():
    y = Value(2, "a") * Value(7, "b")
    slopes = re.findall(r'<g class="gg-slope">.*?<text[^>]*>([^<]*)</text>', draw(Graph.of(y), partials=True))
    assert slopes == ["7", "2"]
    assert 'label=" 7 "' in draw_dot(y, partials=True).source
    assert 'gg-slope"' not in draw(Graph.of(y))


def test_an_svg_stands_alone_and_clashes_with_nothing():
    svg = draw(Graph.of(g1()))
    assert " id=" not in svg
    assert "href" not in svg
    assert svg.count("http") == 1  # the namespace
    assert 'role="img"' in svg
    assert "prefers-color-scheme:dark" in svg
    first = ET.fromstring(svg)[0]
    assert first.tag == f"{SVG}title"


@pytest.mark.parametrize("rankdir", ["LR", "TB"])
def test_hostile_labels_stay_text(rankdir):
    root = glassgrad.sum([Value(i, label) for i, label in enumerate(HOSTILE)])
    root.label = '</svg><script>alert("1")</script>'
    svg = draw(Graph.of(root), rankdir=rankdir)
    assert len(cards(svg)) == len(HOSTILE) + 1
    assert not list(ET.fromstring(svg).iter(f"{SVG}script"))
    svg.encode()
    assert max(len(text.text or "") for text in ET.fromstring(svg).iter(f"{SVG}text")) < 60
    assert any("x" * 2000 in text and "10000 characters" in text for text in tooltips(svg))


@given(st.text(), st.text())
def test_any_label_and_symbol_give_well_formed_xml(label, symbol):
    x = Value(1, label)
    graph = Graph.of(Value(2.0, (x,), symbol))
    assert len(cards(draw(graph))) == 2
    draw_dot(graph).source.encode()


def places(svg):
    """Left, top, right and bottom of every card."""
    for card in cards(svg):
        x, y = map(float, re.search(r"translate\(([-\d.]+) ([-\d.]+)\)", card.get("transform")).groups())
        rect = card.find(f"{SVG}rect")
        yield x, y, x + float(rect.get("width")), y + float(rect.get("height"))


@pytest.mark.parametrize("rankdir", ["LR", "TB"])
def test_weights_of_one_operation_stand_on_its_card(rankdir):
    xs = [Value(i, f"x{i}") for i in range(8)]
    neurons = [glassgrad.dot(xs, [Value(0.1, "w") for _ in xs]) for _ in range(3)]
    graph = Graph.of(glassgrad.sum(neurons))
    svg = draw(graph, rankdir=rankdir)
    assert len(cards(svg)) == len(graph)
    assert svg.count('<g class="gg-block">') == 3
    assert svg.count('class="gg-edge"') == 3 * 8 + 3
    hosts = 0
    boxes = list(zip(tooltips(svg), places(svg), strict=True))
    for i, (tip, a) in enumerate(boxes):
        for other, b in boxes[:i]:
            if a[2] <= b[0] or b[2] <= a[0] or a[3] <= b[1] or b[3] <= a[1]:
                continue
            # Cards overlap only where a weight lies wholly within its operation, drawn before it.
            assert tip.startswith("\u2068w\u2069: leaf")
            assert ": dot" in other
            assert all(outer < inner for outer, inner in zip(b[:2], a[:2], strict=True))
            assert all(outer > inner for outer, inner in zip(b[2:], a[2:], strict=True))
            hosts += 1
    assert hosts == 24


def test_a_small_graph_shows_every_weight_by_itself():
    h = Value(1.0, "x").tanh()
    svg = draw(Graph.of(glassgrad.dot([h, h], [Value(3.0, "w0"), Value(4.0, "w1")]) + Value(5.0, "b")))
    assert svg.count('class="gg-edge"') == 7
    assert '<g class="gg-block"' not in svg


def model(sizes):
    random.seed(1337)
    output = MLP(2, sizes)([1.0, -0.5])
    return Graph.of(*output) if isinstance(output, list) else Graph.of(output)


@pytest.mark.parametrize("sizes", [[4, 1], [4, 4, 1], [16, 16, 1], [3, 2]])
def test_a_network_has_an_area_per_layer_and_neuron(sizes):
    svg = ET.fromstring(draw(model(sizes)))
    expected = []
    for depth, size in enumerate(sizes):
        if size > 1:
            expected.append(f"layer{depth}")
            expected += [f"neuron{i}" for i in range(size)]
        else:
            expected.append(f"layer{depth} / neuron0")
    areas = [g for g in svg.iter(f"{SVG}g") if g.get("class") == "gg-scope"]
    captions = [text.text for text in svg.iter(f"{SVG}text") if text.get("class") == "gg-caption"]
    assert sorted(captions) == sorted(expected)
    assert len(areas) == len(expected)


def crossing(plan, x, y, width, height):
    """The edges that pass through a rectangle."""
    curves = [*plan.routes, *plan.trunks.values()]
    return [
        points
        for points in curves
        if any(
            min(u, p) < x + width and max(u, p) > x and min(v, q) < y + height and max(v, q) > y
            for (u, v), (p, q) in pairwise(curve_points(plan, points))
        )
    ]


@pytest.mark.parametrize("rankdir", ["LR", "TB"])
@pytest.mark.parametrize("sizes", [[3, 2], [4, 4, 1], [16, 16, 1]])
def test_captions_of_areas_stand_where_no_edge_passes(sizes, rankdir):
    graph = model(sizes)
    plan = arrange(graph, rankdir=rankdir).plan
    captions = re.findall(r'gg-caption" x="([-\d.]+)" y="([-\d.]+)">([^<]*)<', draw(graph, rankdir=rankdir))
    assert len(captions) >= sum(sizes)
    for x, y, text in captions:
        assert not crossing(plan, float(x), float(y) - 8, 0.88 * text_width(text), 10), text


def test_a_wide_layer_fills_a_page_from_top_to_bottom():
    svg = ET.fromstring(draw(model([16, 16, 1]), rankdir="TB"))
    assert len(cards(ET.tostring(svg))) == 437
    assert max(float(svg.get("width")), float(svg.get("height"))) < 2400  # from left to right: 3,300
    assert draw(model([16, 16, 1]), rankdir="TB").count('class="gg-scope"') == 35


def test_edges_that_would_merge_into_a_slab_are_thin():
    assert draw(model([16, 16, 1]), rankdir="TB").count('class="gg-edge gg-many"') == 256
    assert 'class="gg-edge gg-many"' not in draw(model([8, 8, 1]))


def test_blocks_are_equally_wide():
    widths = re.findall(r'<g class="gg-block">.*?width="([\d.]+)"', draw(model([8, 8, 1])))
    assert len(widths) == 17
    assert len(set(widths)) == 2  # of two weights and of eight


def readme():
    """The expression of micrograd's README: operands used twice, long edges, parallel edges."""
    a, b = Value(-4.0, "a"), Value(2.0, "b")
    c, d = a + b, a * b + b**3
    c += c + 1
    c += 1 + c + (-a)
    d += d * 2 + (b + a).relu()
    d += 3 * d + (b - a).relu()
    f = (c - d) ** 2
    return Graph.of(f / 2.0 + 10.0 / f)


def repeated():
    x, tiny = Value(3.0, "x"), Value(-1.2345e-7, "tiny")
    return Graph.of(x * x * x + (x + x) * (x + x) + glassgrad.dot([tiny] * 9, [x] * 9) + glassgrad.sum([x] * 40))


@pytest.mark.parametrize("rankdir", ["LR", "TB"])
@pytest.mark.parametrize("graph", [readme, repeated, lambda: model([3, 1]), lambda: model([8, 4, 1])])
def test_every_local_derivative_has_a_tag_on_its_edge_alone(graph, rankdir):
    graph = graph()
    picture = arrange(graph, rankdir=rankdir, partials=True)
    svg = draw(graph, rankdir=rankdir, partials=True)
    tags = re.findall(r'gg-slope"><rect x="([-\d.]+)" y="([-\d.]+)" width="([\d.]+)" height="([\d.]+)"', svg)
    boxes = [tuple(map(float, tag)) for tag in tags]
    assert len(boxes) == sum(slope is not None for *_, slope in arrows(graph, exponents(graph)))
    solid = [
        (picture.x[i] - picture.cards[i].width / 2, picture.y[i] - picture.cards[i].height / 2,
         picture.cards[i].width, picture.cards[i].height)
        for i in picture.shown
    ]  # fmt: skip
    for i, (x, y, w, h) in enumerate(boxes):
        assert len(crossing(picture.plan, x, y, w, h)) == 1
        for u, v, p, q in boxes[:i] + solid:
            assert x + w <= u or u + p <= x or y + h <= v or v + q <= y


def test_scopes_are_areas_and_clusters():
    x = Value(2, "x")
    with glassgrad.scope("first"):
        y = x.tanh() * 2
    with glassgrad.scope("second"):
        z = y.exp()
    graph = Graph.of(z)
    assert re.findall(r'<g class="gg-scope"><title>(\w+)', draw(graph)) == ["first", "second"]
    source = draw_dot(graph).source
    assert source.count("subgraph cluster_") == 2
    assert source.index("label=<first>") < source.index("n1 [") < source.index("label=<second>")


def test_a_deep_chain_is_drawn_by_our_own_layout():
    value = Value(0.5, "x")
    for _ in range(5_000):
        value = value.tanh()
    picture = draw_dot(value, max_nodes=10_000)
    assert picture.backend == "glassgrad"
    assert picture.pipe().count(b'class="gg-node') == 5_001
