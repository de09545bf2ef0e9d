"""For the tests of pictures: an example to draw, labels that are hard to draw, and what an SVG holds."""

from __future__ import annotations

import random
import xml.etree.ElementTree as ET

from glassgrad import Value, nn, scope

SVG = "{http://www.w3.org/2000/svg}"
HOSTILE = [
    '"quoted"',
    "</script><b>&amp;&lt;",
    "x" * 10_000,
    "שלום עולם",
    "\u202eright to left",
    "👩\u200d👩\u200d👧\u200d👦👍🏽",
    "a\x00b\x1b[0m\ud800\uffff",
    "日本語の長い名前のラベルです",
    "new\nline\ttab\r",
    "]]>",
    "e\u0301" * 30,
    "\\N \\l \\",
    "{a|b}",
    "<b>bold</b>",
    "<>",
    " ",
    "--><!--",
]


def g1():
    """The lecture's first graph, of seven Values."""
    a, b, c, f = Value(2, "a"), Value(-3, "b"), Value(10, "c"), Value(-2, "f")
    loss = (a * b + c) * f
    loss.label = "L"
    return loss


def g2():
    """One sample through a network, its neurons as dot products."""
    random.seed(1337)
    loss = (nn.MLP(2, [16, 16, 1])([1.0, -2.0]) - 1) ** 2
    loss.label = "L"
    return loss


def g3():
    """The same over 24 samples, written out as products and sums: some 15,800 Values in scopes."""
    random.seed(1)
    weights = []
    for before, after in [(2, 16), (16, 16), (16, 1)]:
        weights.append([([Value(random.uniform(-1, 1)) for _ in range(before)], Value(0.0)) for _ in range(after)])
    losses = []
    for _ in range(24):
        x = [Value(random.uniform(-1, 1), requires_grad=False) for _ in range(2)]
        for number, layer in enumerate(weights, 1):
            x = [written_out(f"layer{number}", k, *neuron, x, number < 3) for k, neuron in enumerate(layer, 1)]
        losses.append((1 - x[0]).relu())
    loss = sum(losses[1:], losses[0]) / 24
    loss.label = "loss"
    return loss


def written_out(layer, number, weights, bias, x, bent):
    """A neuron, one Value for each product and sum."""
    with scope(layer), scope(f"neuron{number}"):
        total = bias
        for w, xi in zip(weights, x, strict=True):
            total = total + w * xi
        return total.relu() if bent else total


def g4():
    """A product of a Value with itself."""
    a = Value(3.0, "a")
    b = a * a
    b.label = "b"
    return b


def g5():
    """One leaf that the result depends on in three ways."""
    x = Value(3.0, "x")
    y = x**2 + 2 * x + x
    y.label = "y"
    return y


def differentiated(value):
    """The same Value, with gradients."""
    value.backward()
    return value


def cards(svg):
    """The elements that show a Value each."""
    return [g for g in ET.fromstring(svg).iter(f"{SVG}g") if "gg-node" in g.get("class", "")]
