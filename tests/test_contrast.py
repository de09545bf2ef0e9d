"""Every text on a picture can be read on its background: WCAG 2.2 AA asks for a contrast of 4.5:1 at these sizes."""

from __future__ import annotations

import re

import pytest

from glassgrad import Value, draw_dot, scope
from glassgrad.viz.theme import style

LIGHT, DARK = style(motion=True).split("@media")
CARDS = {"op": ".gg-card", "leaf": ".gg-leaf .gg-card", "const": ".gg-const .gg-card", "root": ".gg-root .gg-card"}
WORDS = [".gg-label", ".gg-word", ".gg-data", ".gg-grad", ".gg-plus", ".gg-minus", ".gg-none"]
PAIRS = [(text, card) for text in WORDS for card in CARDS.values()]
PAIRS += [
    (".gg-const .gg-data", ".gg-const .gg-card"),
    (".gg-symbol", ".gg-badge"),
    (".gg-root .gg-symbol", ".gg-root .gg-badge"),
    (".gg-slope text", ".gg-slope rect"),
    (".gg-legend text", ".gg-page"),
    (".glassgrad .gg-caption", ".gg-page"),
    (".gg-phase", ".gg-page"),
    (".gg-told", ".gg-page"),
    (".gg-word", ".gg-page"),
    *[(f".gg-share.gg-{sign} text", f".gg-share.gg-{sign} rect") for sign in ("up", "down", "flat")],
]


def channels(colour):
    digits = colour.lstrip("#")
    digits = "".join(2 * c for c in digits) if len(digits) == 3 else digits
    return [int(digits[i : i + 2], 16) / 255 for i in (0, 2, 4)]


def contrast(one, other):
    """The contrast ratio of WCAG 2.2."""
    lights = []
    for colour in (one, other):
        linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in colour]
        lights.append(0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2] + 0.05)
    return max(lights) / min(lights)


def over(top, opacity, below):
    return [opacity * a + (1 - opacity) * b for a, b in zip(top, below, strict=True)]


def declared(selector, name, sheets):
    """The last value that the sheets give a property of a selector, as the cascade does for equal selectors."""
    found = None
    for selectors, body in re.findall(r"([^{}]+)\{([^{}]*)\}", "".join(sheets)):
        if selector in [part.strip() for part in selectors.split(",")]:
            values = dict(part.split(":", 1) for part in body.split(";"))
            found = values.get(name, found)
    return found


@pytest.mark.parametrize("sheets", [[LIGHT], [LIGHT, DARK.partition("{")[2]]], ids=["light", "dark"])
def test_the_svg_can_be_read(sheets):
    page = channels(declared(".gg-page", "fill", sheets))
    area = (
        channels(declared(".gg-scope rect", "fill", sheets)),
        float(declared(".gg-scope rect", "fill-opacity", sheets)),
    )
    for text, ground in PAIRS:
        ratio = contrast(channels(declared(text, "fill", sheets)), channels(declared(ground, "fill", sheets)))
        assert ratio >= 4.5, f"{text} on {ground}: {ratio:.2f}"
    inner = page
    for depth in range(4):  # areas in areas, each a little darker
        inner = over(area[0], area[1], inner)
        ratio = contrast(channels(declared(".glassgrad .gg-caption", "fill", sheets)), inner)
        assert ratio >= 4.5, f"caption {depth + 1} areas deep: {ratio:.2f}"


def test_the_dot_text_can_be_read():
    with scope("a/b/c"):
        root = Value(2, "a") * Value(-3) + 4
    plain, root = draw_dot(root, partials=True).source, root.tanh()
    root.backward()
    for source in (plain, draw_dot(root).source):
        for ground, card in re.findall(r'BGCOLOR="(#\w{6})">(.*?)</TABLE>', source):
            for colour in re.findall(r'FONT COLOR="(#\w{6})"', card):
                ratio = contrast(channels(colour), channels(ground))
                assert ratio >= 4.5, f"{colour} on {ground}: {ratio:.2f}"
        page = channels(re.search(r'bgcolor="(#\w{6})"', source)[1])
        for fill in re.findall(r'fillcolor="(#\w{8})"', source):
            page = over(channels(fill[:7]), int(fill[7:], 16) / 255, page)
        for colour in re.findall(r'fontcolor="(#\w{6})"', source):
            assert contrast(channels(colour), page) >= 4.5, colour
