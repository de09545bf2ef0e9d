"""SVG of a Graph: one card per Value with its label, data and gradient, the operation as a badge joined to the card.

Guarantees: the text is well-formed XML whatever the labels say, and the same bytes in every process; it needs nothing
from outside and carries no ids, so several pictures can share a page; colours follow the reader's light or dark mode;
a gradient nobody computed is shown as "—", never as a number. Each card's tooltip has every digit.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from ..graph import Graph
from .cards import ROW, SMALL_ROW, Area, Arrangement, arrange
from .layout import Layout, Point, Rankdir
from .text import MISSING, clipped, escaped, lacks_grads, name, number, shortened, text_width, title, tooltip
from .theme import STYLE

__all__ = ["draw"]

MARGIN: Final = 20.0
_LEGEND: Final = 24.0  # its height, below the picture


def draw(graph: Graph, *, rankdir: Rankdir = "LR", partials: bool = False, legend: bool = True) -> str:
    """Return the picture of a graph as the text of a standalone SVG.

    Arguments:
        graph: what to draw.
        rankdir: `'LR'` from left to right, `'TB'` from top to bottom.
        partials: write the local derivative ∂consumer/∂operand on every edge.
        legend: explain the kinds of cards below the picture.

    Example:
        >>> from glassgrad import Value
        >>> from glassgrad.graph import Graph
        >>> draw(Graph.of(Value(2, 'a') * 3)).startswith('<svg xmlns=')
        True
    """
    picture = arrange(graph, rankdir=rankdir, partials=partials)
    plan, areas = picture.plan, picture.scopes
    entries = _legend_entries(graph, picture.shown, max(plan.width, 240.0)) if legend else []
    legend_width = max([sum([width for *_, width in line]) for line in entries], default=0.0)
    left = max([MARGIN, *(MARGIN - area.x for area in areas)])
    top = max([MARGIN, *(MARGIN - area.y for area in areas)])
    right = max([plan.width, legend_width, *(area.x + area.width for area in areas)])
    bottom = max([plan.height, *(area.y + area.height for area in areas)])
    width, height = right + left + MARGIN, bottom + top + _LEGEND * len(entries) + MARGIN
    w, h = _n(width), _n(height)
    size = f'width="{w}" height="{h}"'
    out = [
        f'<svg xmlns="http://www.w3.org/2000/svg" class="glassgrad" role="img" {size} viewBox="0 0 {w} {h}">',
        f"<title>{escaped(title(graph))}</title><desc>{escaped(_description(graph))}</desc>",
        f"<style>{STYLE}</style>",
        f'<rect class="gg-page" {size} rx="10"/>',
        f'<g transform="translate({_n(left)} {_n(top)})">',
    ]
    out += [_area_svg("gg-scope", area, rankdir == "TB") for area in areas]
    out += _edges(plan)
    # A block lies on the card of its operation, and the cards of its leaves on the block.
    nodes = {i: _card_svg(graph, i, picture) for i in picture.shown}
    out += [node for i, node in nodes.items() if i not in picture.inside]
    out += [_area_svg("gg-block", block) for block in picture.blocks]
    out += [node for i, node in nodes.items() if i in picture.inside]
    if partials:
        out += _partials(picture)
    out.append("</g>")
    if entries:
        for k, line in enumerate(reversed(entries)):
            out.append(_legend_svg(line, MARGIN, height - MARGIN + 2 - k * 20))
    out.append("</svg>\n")
    return "\n".join(out)


def _description(graph: Graph) -> str:
    leaves = sum(1 for op in graph.ops if op == "leaf")
    results = [f"{shortened(name(graph, r), 300)} = {graph.values[r]:.4g}" for r in dict.fromkeys(graph.roots)][:4]
    known = any(grad is not None for grad in graph.grads)
    return (
        f"{_count(len(graph), 'value')}: {_count(leaves, 'leaf', 'leaves')} and "
        f"{_count(len(graph) - leaves, 'operation')}. Edges run from operands to results. {'; '.join(results)}. "
        f"Gradients {'are shown' if known else 'were not computed yet'}."
    )


def _count(many: int, one: str, more: str = "") -> str:
    return f"{many} {one if many == 1 else more or one + 's'}"


# Cards -----------------------------------------------------------------------------------------------------------


def _card_svg(graph: Graph, i: int, picture: Arrangement) -> str:
    card, small = picture.cards[i], i in picture.inside
    down = picture.plan.rankdir == "TB" and not small
    w, h, badge, pad = card.width, card.height, card.badge, card.pad
    radius = 5 if small else 8
    corner = f"{_n(picture.x[i] - w / 2)} {_n(picture.y[i] - h / 2)}"
    box = f'width="{_n(w)}" height="{_n(h)}" rx="{radius}"'
    parts = [
        f'<g class="gg-node gg-{card.kind}{" gg-small" if small else ""}" transform="translate({corner})">',
        f"<title>{escaped(tooltip(graph, i))}</title>",
        f'<rect class="gg-card" {box}/>',
    ]
    if badge:
        parts.append(f'<path class="gg-badge" d="{_badge(w if down else h, badge, radius, down)}"/>')
    parts.append(f'<rect class="gg-rim" {box}/>')
    if card.symbol:
        big = len(card.symbol) == 1
        x, y = (w / 2, badge / 2 + 0.5) if down else (badge / 2 + 0.5, h / 2)
        parts.append(
            f'<text class="gg-symbol{" gg-sign" if big else ""}" x="{_n(x)}" y="{_n(y + (6 if big else 4.5))}">'
            f"{escaped(card.symbol)}</text>"
        )
    left, right, line = (pad if down else badge + card.inset + pad), w - pad, SMALL_ROW if small else ROW
    middle = (badge + card.inset + h) / 2 if down else h / 2
    for row, (caption, value, style) in enumerate(card.rows):
        y = middle + (row - len(card.rows) / 2 + 0.5) * line + (3.5 if small else 4.5)
        first, second = (style, "gg-data") if row == 0 else ("gg-word", f"gg-grad {style}")
        if caption:
            parts.append(f'<text class="{first}" x="{_n(left)}" y="{_n(y)}">{escaped(caption)}</text>')
        parts.append(f'<text class="{second}" x="{_n(right)}" y="{_n(y)}">{value}</text>')
    parts.append("</g>")
    return "".join(parts)


def _badge(long: float, deep: float, radius: float, down: bool) -> str:
    """Return the path of a strip along the side of a card where edges arrive, with the card's round corners."""
    d, far, end, r = _n(deep), _n(long - min(radius, deep)), _n(long), _n(min(radius, deep))
    if down:
        return f"M0 {d}V{r}A{r} {r} 0 0 1 {r} 0H{far}A{r} {r} 0 0 1 {end} {r}V{d}Z"
    return f"M{d} 0H{r}A{r} {r} 0 0 0 0 {r}V{far}A{r} {r} 0 0 0 {r} {end}H{d}Z"


# Edges -----------------------------------------------------------------------------------------------------------


def _edges(plan: Layout) -> list[str]:
    down = plan.rankdir == "TB"
    lines = [f'<path class="gg-edge" d="{_path(points, down)}"/>' for points in plan.trunks.values()]
    heads = []
    for points in plan.routes:
        lines.append(f'<path class="gg-edge" d="{_path(points, down)}"/>')
        x, y = points[-1]
        heads.append(f"M{_n(x)} {_n(y)}l-4-8h8z" if down else f"M{_n(x)} {_n(y)}l-8-4v8z")
    return [*lines, f'<path class="gg-head" d="{"".join(heads)}"/>'] if heads else lines


def _path(points: Sequence[Point], down: bool) -> str:
    """Return path data: straight along the ranks, else a curve that leaves and arrives in the rank direction."""
    x, y = points[0]
    out = [f"M{_n(x)} {_n(y)}"]
    for u, v in points[1:]:
        if abs((u - x) if down else (v - y)) < 0.05:
            out.append(f"L{_n(u)} {_n(v)}")
        elif down:
            half = _n((y + v) / 2)
            out.append(f"C{_n(x)} {half} {_n(u)} {half} {_n(u)} {_n(v)}")
        else:
            half = _n((x + u) / 2)
            out.append(f"C{half} {_n(y)} {half} {_n(v)} {_n(u)} {_n(v)}")
        x, y = u, v
    return "".join(out)


def _partials(picture: Arrangement) -> list[str]:
    """Return a small tag with the local derivative for every edge that has room for one; tooltips have them all."""
    slopes, down = picture.slopes, picture.plan.rankdir == "TB"
    # The last curve of a route, as (start along, start across, end along, end across), before the rank it leads to.
    curves = []
    gaps: dict[int, list[int]] = {}
    for k, (end, points) in enumerate(zip(picture.ends, picture.plan.routes, strict=True)):
        ends = points[-3:-1] if len(points) > 2 else points
        (x0, y0), (x1, y1) = [(y, x) if down else (x, y) for x, y in ends]
        curves.append((x0, y0, x1, y1))
        gaps.setdefault(end, []).append(k)
    out = []
    for gap in gaps.values():
        placed: list[tuple[float, float, float, float]] = []
        for k in gap:
            if slopes[k] is None:
                continue
            text = number(slopes[k])
            wide = 7.0 * len(text) + 10
            half_along, half_across = (11.0, wide / 2 + 1) if down else (wide / 2 + 1, 11.0)
            rivals = [curves[other] for other in gap if other != k and curves[other] != curves[k]]
            for t in _SPOTS:
                along, across = _spot(t, curves[k])
                tag = (along - half_along, across - half_across, along + half_along, across + half_across)
                inner = (tag[0] + 5, tag[1] + 3, tag[2] - 5, tag[3] - 3)  # its corners are round
                if not (
                    tag[0] < curves[k][0]
                    or any(_meet(tag, other) for other in placed)
                    or any(_passes(rival, inner) for rival in rivals)
                ):
                    placed.append(tag)
                    x, y = (across, along) if down else (along, across)
                    out.append(
                        f'<g class="gg-slope"><rect x="{_n(x - wide / 2)}" y="{_n(y - 9)}" width="{_n(wide)}" '
                        f'height="18" rx="9"/><text x="{_n(x)}" y="{_n(y + 4)}">{text}</text></g>'
                    )
                    break
    return out


_SPOTS: Final = (0.5, 0.65, 0.35, 0.75, 0.25, 0.2, 0.85, 0.16, 0.12)
_Curve = tuple[float, float, float, float]


def _spot(t: float, curve: _Curve) -> Point:
    # Control points stand half way: across the ranks a smooth step, along them nearly even.
    x0, y0, x1, y1 = curve
    return x0 + (x1 - x0) * _reached(t), y0 + (y1 - y0) * t * t * (3 - 2 * t)


def _reached(t: float) -> float:
    return 1.5 * t * (1 - t) + t**3


# How far across a curve is, for every hundredth of its way along.
_ACROSS: Final = [0.0] * 101
for _step in range(1001):
    _ACROSS[round(100 * _reached(_step / 1000))] = (_step / 1000) ** 2 * (3 - _step / 500)


def _meet(a: _Curve, b: _Curve) -> bool:
    """Return whether two rectangles, given by opposite corners, overlap."""
    return a[0] < b[2] and b[0] < a[2] and a[1] < b[3] and b[1] < a[3]


def _passes(curve: _Curve, tag: _Curve) -> bool:
    """Return whether a curve passes through a rectangle."""
    x0, y0, x1, y1 = curve
    if tag[2] <= x0 or tag[0] >= x1:
        return False
    begin, end = max(tag[0] - x0, 0.0) / (x1 - x0), min((tag[2] - x0) / (x1 - x0), 1.0)
    first, last = y0 + (y1 - y0) * _ACROSS[int(100 * begin)], y0 + (y1 - y0) * _ACROSS[int(100 * end)]
    return max(first, last) > tag[1] and min(first, last) < tag[3]


# Scopes ----------------------------------------------------------------------------------------------------------


def _area_svg(style: str, area: Area, down: bool = False) -> str:
    x, y, width, height = area.box
    caption = ""
    if area.caption:
        words = escaped(shortened(area.caption, max(width - 24, 20.0)))
        caption = f'<text x="{_n(x + 12)}" y="{_n(y + height - 8 if down else y + 16)}">{words}</text>'
    return (
        f'<g class="{style}"><title>{escaped(clipped(area.scope))}</title>'
        f'<rect x="{_n(x)}" y="{_n(y)}" width="{_n(width)}" height="{_n(height)}" rx="12"/>{caption}</g>'
    )


# Legend ----------------------------------------------------------------------------------------------------------


def _legend_entries(graph: Graph, shown: list[int], room: float) -> list[list[tuple[str, str, float]]]:
    """Return lines of (kind of card, words, width) for what occurs in the picture, as wide as there is room."""
    leaves = [graph.requires_grad[i] for i in shown if graph.ops[i] == "leaf"]
    kinds = [
        ("leaf", "leaf", True in leaves),
        ("const", "constant", False in leaves),
        ("op", "operation", len(leaves) < len(shown)),
        ("root", "result", True),
        ("", MISSING, lacks_grads(graph)),
    ]
    lines: list[list[tuple[str, str, float]]] = []
    for kind, words, there in kinds:
        wide = text_width(words) * 0.92 + 40
        if there and lines and sum([width for *_, width in lines[-1]]) + wide <= room:
            lines[-1].append((kind, words, wide))
        elif there:
            lines.append([(kind, words, wide)])
    return lines


def _legend_svg(entries: list[tuple[str, str, float]], x: float, y: float) -> str:
    out = ['<g class="gg-legend">']
    for kind, words, width in entries:
        if kind:
            box = f'x="{_n(x)}" y="{_n(y - 10)}" height="12"'
            out.append(
                f'<g class="gg-{kind}"><rect class="gg-card" {box} width="16" rx="3"/>'
                f'<rect class="gg-badge" {box} width="5" rx="2"/><rect class="gg-rim" {box} width="16" rx="3"/></g>'
            )
        out.append(f'<text x="{_n(x + (22 if kind else 0))}" y="{_n(y)}">{words}</text>')
        x += width
    return "".join([*out, "</g>"])


def _n(value: float) -> str:
    """Return a coordinate with at most one decimal."""
    text = f"{value:.1f}"
    return text.removesuffix(".0")
