"""For the tests of pictures: an example to draw, labels that are hard to draw, and what an SVG holds."""

from __future__ import annotations

import xml.etree.ElementTree as ET

from glassgrad import Value

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


def cards(svg):
    """The elements that show a Value each."""
    return [g for g in ET.fromstring(svg).iter(f"{SVG}g") if "gg-node" in g.get("class", "")]
