"""SVG of a Graph: one card per Value with its label, data and gradient, the operation as a badge joined to the card.

Guarantees: the text is well-formed XML whatever the labels say, and the same bytes in every process; it needs nothing
from outside and carries no ids, so several pictures can share a page; colours follow the reader's light or dark mode;
a gradient nobody computed is shown as "—", never as a number. Each card's tooltip has every digit.
"""

from __future__ import annotations

from typing import Final

from ..graph import Graph
from .cards import TAG, Arrangement, arrange, tag_width
from .layout import Rankdir
from .shapes import MARGIN, area, caption, corner, edges, extent, frame, n, rows
from .text import MISSING, escaped, lacks_grads, name, number, shortened, text_width, title, tooltip
from .theme import STYLE

__all__ = ["draw"]

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
    left, top, right, bottom = extent(picture)
    entries = _legend_entries(graph, picture.shown, max(picture.plan.width, 240.0)) if legend else []
    right = max([right, *(sum([width for *_, width in line]) for line in entries)])
    width, height = right + left + MARGIN, bottom + top + _LEGEND * len(entries) + MARGIN
    w, h = n(width), n(height)
    size = f'width="{w}" height="{h}"'
    out = [
        f'<svg xmlns="http://www.w3.org/2000/svg" class="glassgrad" role="img" {size} viewBox="0 0 {w} {h}">',
        f"<title>{escaped(title(graph))}</title><desc>{escaped(_description(graph))}</desc>",
        f"<style>{STYLE}</style>",
        f'<rect class="gg-page" {size} rx="10"/>',
        f'<g transform="translate({n(left)} {n(top)})">',
    ]
    out += [area("gg-scope", shape) for shape in picture.scopes]
    out += edges(picture.plan)
    out += [caption(shape, rankdir == "TB") for shape in picture.scopes]
    # A block lies on the card of its operation, and the cards of its leaves on the block.
    nodes = {i: _card_svg(graph, i, picture) for i in picture.shown}
    out += [node for i, node in nodes.items() if i not in picture.inside]
    out += [area("gg-block", block) for block in picture.blocks]
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


# Cards and tags --------------------------------------------------------------------------------------------------


def _card_svg(graph: Graph, i: int, picture: Arrangement) -> str:
    card, small = picture.cards[i], i in picture.inside
    parts = [
        f'<g class="gg-node gg-{card.kind}{" gg-small" if small else ""}" transform="{corner(picture, i)}">',
        f"<title>{escaped(tooltip(graph, i))}</title>",
        *frame(picture, i),
    ]
    for row, ((words, value, style), (left, right, y)) in enumerate(zip(card.rows, rows(picture, i), strict=True)):
        first, second = (style, "gg-data") if row == 0 else ("gg-word", f"gg-grad {style}")
        if words:
            parts.append(f'<text class="{first}" x="{left}" y="{y}">{escaped(words)}</text>')
        parts.append(f'<text class="{second}" x="{right}" y="{y}">{value}</text>')
    parts.append("</g>")
    return "".join(parts)


def _partials(picture: Arrangement) -> list[str]:
    """Return a small tag with the local derivative for every edge, right before its arrowhead."""
    out = []
    for slope, points in zip(picture.slopes, picture.plan.routes, strict=True):
        if slope is not None:
            (x, y), wide = points[-1], tag_width(slope)
            x, y = (x, y - 10 - TAG / 2) if picture.plan.rankdir == "TB" else (x - 10 - wide / 2, y)
            out.append(
                f'<g class="gg-slope"><rect x="{n(x - wide / 2)}" y="{n(y - TAG / 2)}" width="{n(wide)}" '
                f'height="{n(TAG)}" rx="9"/><text x="{n(x)}" y="{n(y + 4)}">{number(slope)}</text></g>'
            )
    return out


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
            box = f'x="{n(x)}" y="{n(y - 10)}" height="12"'
            out.append(
                f'<g class="gg-{kind}"><rect class="gg-card" {box} width="16" rx="3"/>'
                f'<rect class="gg-badge" {box} width="5" rx="2"/><rect class="gg-rim" {box} width="16" rx="3"/></g>'
            )
        out.append(f'<text x="{n(x + (22 if kind else 0))}" y="{n(y)}">{words}</text>')
        x += width
    return "".join([*out, "</g>"])
