"""What our SVG pictures are put together from: cards, edges, areas, captions. `svg` and `animate` share the look.

Guarantees: whatever labels say, every piece is well-formed XML; coordinates have at most one decimal.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from itertools import pairwise
from math import hypot
from typing import Final

from .cards import ROW, SMALL_ROW, Area, Arrangement
from .layout import Layout, Point
from .text import clipped, escaped, shortened

__all__ = [
    "MARGIN",
    "area",
    "caption",
    "corner",
    "edges",
    "extent",
    "frame",
    "length",
    "n",
    "path",
    "rows",
    "whole_routes",
]

MARGIN: Final = 20.0  # around a picture
_CROWD: Final = 100  # edges between two ranks that would merge into a grey slab


def n(value: float) -> str:
    """Return a coordinate with at most one decimal."""
    text = f"{value:.1f}"
    return text.removesuffix(".0")


def extent(picture: Arrangement) -> tuple[float, float, float, float]:
    """Return left, top, right, bottom of cards, edges and areas, with the margin on the left and above."""
    plan, areas = picture.plan, picture.scopes
    left = max([MARGIN, *(MARGIN - area.x for area in areas)])
    top = max([MARGIN, *(MARGIN - area.y for area in areas)])
    right = max([plan.width, *(area.x + area.width for area in areas)])
    bottom = max([plan.height, *(area.y + area.height for area in areas)])
    return left, top, right, bottom


# Cards -----------------------------------------------------------------------------------------------------------


def frame(picture: Arrangement, i: int) -> list[str]:
    """Return a card without its numbers, at the origin: background, badge, rim, symbol."""
    card, small, down = picture.cards[i], i in picture.inside, _down(picture, i)
    w, h, badge = card.width, card.height, card.badge
    radius = 5 if small else 8
    box = f'width="{n(w)}" height="{n(h)}" rx="{radius}"'
    parts = [f'<rect class="gg-card" {box}/>']
    if badge:
        parts.append(f'<path class="gg-badge" d="{_badge(w if down else h, badge, radius, down)}"/>')
    parts.append(f'<rect class="gg-rim" {box}/>')
    if card.symbol:
        big = len(card.symbol) == 1
        x, y = (w / 2, badge / 2 + 0.5) if down else (badge / 2 + 0.5, h / 2)
        parts.append(
            f'<text class="gg-symbol{" gg-sign" if big else ""}" x="{n(x)}" y="{n(y + (6 if big else 4.5))}">'
            f"{escaped(card.symbol)}</text>"
        )
    return parts


def rows(picture: Arrangement, i: int) -> list[tuple[str, str, str]]:
    """Return for every row of a card where its caption begins, where its number ends, and their base line."""
    card, small, down = picture.cards[i], i in picture.inside, _down(picture, i)
    left, right = (card.pad if down else card.badge + card.inset + card.pad), card.width - card.pad
    line = SMALL_ROW if small else ROW
    middle = (card.badge + card.inset + card.height) / 2 if down else card.height / 2
    many = len(card.rows)
    return [
        (n(left), n(right), n(middle + (row - many / 2 + 0.5) * line + (3.5 if small else 4.5))) for row in range(many)
    ]


def corner(picture: Arrangement, i: int) -> str:
    """Return where a card's origin is, as a `transform`."""
    card = picture.cards[i]
    return f"translate({n(picture.x[i] - card.width / 2)} {n(picture.y[i] - card.height / 2)})"


def _down(picture: Arrangement, i: int) -> bool:
    return picture.plan.rankdir == "TB" and i not in picture.inside


def _badge(long: float, deep: float, radius: float, down: bool) -> str:
    """Return the path of a strip along the side of a card where edges arrive, with the card's round corners."""
    d, far, end, r = n(deep), n(long - min(radius, deep)), n(long), n(min(radius, deep))
    if down:
        return f"M0 {d}V{r}A{r} {r} 0 0 1 {r} 0H{far}A{r} {r} 0 0 1 {end} {r}V{d}Z"
    return f"M{d} 0H{r}A{r} {r} 0 0 0 0 {r}V{far}A{r} {r} 0 0 0 {r} {end}H{d}Z"


# Edges -----------------------------------------------------------------------------------------------------------


def edges(plan: Layout) -> list[str]:
    """Return all edges with their arrowheads; edges of one source share the lanes they run through."""
    down = plan.rankdir == "TB"
    ends = [plan.ordering.ranks[joint] for joint in plan.ordering.joints]
    crowd = Counter(ends)
    lines = [f'<path class="gg-edge" d="{path(points, down)}"/>' for points in plan.trunks.values()]
    heads = []
    for end, points in zip(ends, plan.routes, strict=True):
        many = " gg-many" if crowd[end] > _CROWD else ""
        lines.append(f'<path class="gg-edge{many}" d="{path(points, down)}"/>')
        x, y = points[-1]
        heads.append(f"M{n(x)} {n(y)}l-4-8h8z" if down else f"M{n(x)} {n(y)}l-8-4v8z")
    return [*lines, f'<path class="gg-head" d="{"".join(heads)}"/>'] if heads else lines


def path(points: Sequence[Point], down: bool) -> str:
    """Return path data: straight along the ranks, else a curve that leaves and arrives in the rank direction."""
    x, y = points[0]
    out = [f"M{n(x)} {n(y)}"]
    for u, v in points[1:]:
        if abs((u - x) if down else (v - y)) < 0.05:
            out.append(f"L{n(u)} {n(v)}")
        elif down:
            half = n((y + v) / 2)
            out.append(f"C{n(x)} {half} {n(u)} {half} {n(u)} {n(v)}")
        else:
            half = n((x + u) / 2)
            out.append(f"C{half} {n(y)} {half} {n(v)} {n(u)} {n(v)}")
        x, y = u, v
    return "".join(out)


def whole_routes(plan: Layout, sources: Sequence[int]) -> list[list[Point]]:
    """Return for every edge the points from its source to its target, also where it leaves a lane on the way."""
    axis = 1 if plan.rankdir == "TB" else 0
    found = []
    for source, joint, route in zip(sources, plan.ordering.joints, plan.routes, strict=True):
        trunk = plan.trunks[source] if joint != source else []
        found.append([point for point in trunk if point[axis] < route[0][axis] - 0.05] + route)
    return found


def length(points: Sequence[Point], down: bool) -> float:
    """Return how long a route is, drawn as by `path`; its curves are measured in 16 pieces, good to a percent."""
    total = 0.0
    for (x, y), (u, v) in pairwise(points):
        px, py = x, y
        for k in range(1, 17):
            t = k / 16
            # Both control points lie half way along the ranks: there a curve is 1.5 t (1 - t) + t³, across 3t² - 2t³.
            along, across = 1.5 * t * (1 - t) + t**3, t * t * (3 - 2 * t)
            qx, qy = x + (u - x) * (across if down else along), y + (v - y) * (along if down else across)
            total += hypot(qx - px, qy - py)
            px, py = qx, qy
    return total


# Areas and captions ----------------------------------------------------------------------------------------------


def area(style: str, shape: Area) -> str:
    """Return a tinted area with a tooltip that names its scope."""
    x, y, width, height = shape.box
    return (
        f'<g class="{style}"><title>{escaped(clipped(shape.scope))}</title>'
        f'<rect x="{n(x)}" y="{n(y)}" width="{n(width)}" height="{n(height)}" rx="12"/></g>'
    )


def caption(shape: Area, down: bool) -> str:
    """Return what stands on an area, on the side where no edges arrive."""
    x, y, width, height = shape.box
    words = escaped(shortened(shape.caption, max(width - 24, 20.0)))
    return f'<text class="gg-caption" x="{n(x + 12)}" y="{n(y + height - 8 if down else y + 16)}">{words}</text>'
