"""SVG of a Graph: one card per Value with its label, data and gradient, the operation as a badge joined to the card.

Guarantees: the text is well-formed XML whatever the labels say, and the same bytes in every process; it needs nothing
from outside and carries no ids, so several pictures can share a page; colours follow the reader's light or dark mode;
a gradient nobody computed is shown as "—", never as a number. Each card's tooltip has every digit.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Final

from ..graph import Graph
from .cards import ROW, SMALL_ROW, TAG, Area, Arrangement, arrange, tag_width
from .layout import Layout, Point, Rankdir
from .text import MISSING, clipped, escaped, lacks_grads, name, number, shortened, text_width, title, tooltip
from .theme import STYLE

__all__ = ["draw"]

MARGIN: Final = 20.0
_LEGEND: Final = 24.0  # its height, below the picture
_CROWD: Final = 100  # edges between two ranks that would merge into a grey slab


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
    out += [_area_svg("gg-scope", area) for area in areas]
    out += _edges(plan)
    out += [_caption(area, rankdir == "TB") for area in areas]
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
    ends = [plan.ordering.ranks[joint] for joint in plan.ordering.joints]
    crowd = Counter(ends)
    lines = [f'<path class="gg-edge" d="{_path(points, down)}"/>' for points in plan.trunks.values()]
    heads = []
    for end, points in zip(ends, plan.routes, strict=True):
        many = " gg-many" if crowd[end] > _CROWD else ""
        lines.append(f'<path class="gg-edge{many}" d="{_path(points, down)}"/>')
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
    """Return a small tag with the local derivative for every edge, right before its arrowhead."""
    out = []
    for slope, points in zip(picture.slopes, picture.plan.routes, strict=True):
        if slope is not None:
            (x, y), wide = points[-1], tag_width(slope)
            x, y = (x, y - 10 - TAG / 2) if picture.plan.rankdir == "TB" else (x - 10 - wide / 2, y)
            out.append(
                f'<g class="gg-slope"><rect x="{_n(x - wide / 2)}" y="{_n(y - TAG / 2)}" width="{_n(wide)}" '
                f'height="{_n(TAG)}" rx="9"/><text x="{_n(x)}" y="{_n(y + 4)}">{number(slope)}</text></g>'
            )
    return out


# Scopes ----------------------------------------------------------------------------------------------------------


def _area_svg(style: str, area: Area) -> str:
    x, y, width, height = area.box
    return (
        f'<g class="{style}"><title>{escaped(clipped(area.scope))}</title>'
        f'<rect x="{_n(x)}" y="{_n(y)}" width="{_n(width)}" height="{_n(height)}" rx="12"/></g>'
    )


def _caption(area: Area, down: bool) -> str:
    x, y, width, height = area.box
    words = escaped(shortened(area.caption, max(width - 24, 20.0)))
    return f'<text class="gg-caption" x="{_n(x + 12)}" y="{_n(y + height - 8 if down else y + 16)}">{words}</text>'


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
