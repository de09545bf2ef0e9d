"""Layered layout of a directed graph (Sugiyama): coordinates of boxes and routes of edges, on top of `order`.

Guarantees: boxes never overlap; edges run through the gaps between ranks and through lanes of their own inside them,
so they never cross a box; the same input gives the same picture in every process. Nothing recurses; cost is linear in
boxes plus lanes. `layout` takes plain arrays.

Across the ranks, boxes and lanes stand as near to their neighbours as order and distances allow: isotonic regression,
rank by rank. A rank is a column ('LR') or a row ('TB').
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final, Literal

from .order import SWEEPS, Ordering, order

__all__ = ["Layout", "Point", "Rankdir", "layout"]

Point = tuple[float, float]
Rankdir = Literal["LR", "TB"]

_LANE_GAP: Final = 9.0  # between two edges that run beside each other


@dataclass(frozen=True)
class Layout:
    """Where everything goes, in the units of the sizes given; the origin is the top left corner, y grows downwards.

    Arguments:
        x, y: centres of the boxes.
        width, height: of the whole picture, without a margin.
        trunks: for a source with long edges, the points its shared lane runs through.
        routes: for every edge, the points from its source, or from the lane it leaves, to its target.
        ordering: ranks and order behind it.

    Between two points a route is a cubic curve that leaves and arrives along the rank direction.
    """

    x: list[float]
    y: list[float]
    width: float
    height: float
    trunks: dict[int, list[Point]]
    routes: list[list[Point]]
    rankdir: Rankdir
    ordering: Ordering = field(repr=False)


def layout(
    sizes: Sequence[tuple[float, float]],
    edges: Sequence[tuple[int, int]],
    *,
    rankdir: Rankdir = "LR",
    gap: float = 16.0,
    rank_gap: float = 35.0,
    port_gap: float = 12.0,
    arrival: float = 9.0,
    departure: float = 0.0,
    sweeps: int = SWEEPS,
) -> Layout:
    """Return places for boxes of these sizes and routes for these edges.

    Arguments:
        sizes: width and height of every box.
        edges: (source, target) pairs of an acyclic graph; a pair may occur several times.
        rankdir: `'LR'` puts ranks side by side, sources left; `'TB'` one below the other, sources on top.
        gap: smallest distance between two boxes of a rank.
        rank_gap: room between ranks in which edges bend; it grows where they are steep.
        port_gap: distance between two edges where they enter a box; smaller where there are many on a small box.
        arrival: length of the last stretch of an edge before a rank, which is straight; an arrowhead takes 9.
        departure: the same behind a rank.
        sweeps: how often every box may be looked at for a better order; less often on big graphs.

    Example:
        >>> plan = layout([(80, 40)] * 3, [(0, 2), (1, 2)])
        >>> plan.ordering.ranks, plan.x[2] > plan.x[0]
        ([0, 0, 1], True)
    """
    n = len(sizes)
    ordering = order(n, edges, sweeps=sweeps)
    along = [float(size[rankdir == "TB"]) for size in sizes]  # extent in rank direction
    across = [float(size[rankdir == "LR"]) for size in sizes]
    centre, top, bottom = _spread(ordering, across, gap)
    starts, ends = _columns(ordering, along, centre, rank_gap, arrival, departure)
    # Boxes without operands stand at the side of their consumers, the others in the middle of their rank.
    middle = [
        (starts[r] + ends[r]) / 2 if ordering.pred[i] else ends[r] - along[i] / 2
        for i, r in enumerate(ordering.ranks[:n])
    ]
    ports = _ports(ordering, edges, across, centre, port_gap)
    total = ends[-1] if ends else 0.0
    starts, ends = [p - arrival for p in starts], [p + departure for p in ends]  # where edges may bend
    trunks, routes, top = _routes(ordering, edges, along, ports, centre, middle, starts, ends, top)

    def place(points: list[Point]) -> list[Point]:
        if rankdir == "LR":
            return [(p, q - top) for p, q in points]
        return [(q - top, p) for p, q in points]

    shifted = [q - top for q in centre[:n]]
    x, y = (middle, shifted) if rankdir == "LR" else (shifted, middle)
    width, height = (total, bottom - top) if rankdir == "LR" else (bottom - top, total)
    return Layout(
        x,
        y,
        width,
        height,
        {source: place(points) for source, points in trunks.items()},
        [place(points) for points in routes],
        rankdir,
        ordering,
    )


# Coordinates -----------------------------------------------------------------------------------------------------


def _spread(ordering: Ordering, across: list[float], gap: float) -> tuple[list[float], float, float]:
    """Return every box's and lane's centre across the ranks, and the smallest and largest extent."""
    n, layers = ordering.n, ordering.layers
    total = len(ordering.ranks)
    half = [h / 2 for h in across] + [0.0] * (total - n)
    leaf = [not below for below in ordering.pred[:n]] + [False] * (total - n)
    for source, chain in ordering.chains.items():
        for lane in chain:
            leaf[lane] = leaf[source]
    # Consumers stand level with what was computed; leaves, and the lanes that leaves are fetched through, make room.
    # Otherwise a long chain with a constant at every step would sink by half a box per step.
    pred = [[u for u in below if not leaf[u]] or below for below in ordering.pred]
    # A lane runs on straight past the consumers it serves on its way.
    succ = ordering.succ[:n] + [[w for w in after if w >= n] or after for after in ordering.succ[n:]]
    # Lanes are stiff: a long edge that runs straight is easier to follow than one that bends for every box. Leaves
    # weigh next to nothing, or each would push the chain it joins a little further (measured: 2 per rank).
    weight = [1e-6 if v < n and leaf[v] else 1.0 if v < n else 2.0 for v in range(total)]
    centre = [0.0] * total
    offsets: list[list[float]] = []
    for layer in layers:
        offset, places = 0.0, []
        for i, v in enumerate(layer):
            if i:
                u = layer[i - 1]
                lane = (u >= n) + (v >= n)
                offset += half[u] + half[v] + (gap, (gap + _LANE_GAP) / 2, _LANE_GAP)[lane]
            places.append(offset)
        offsets.append(places)
        for v, place in zip(layer, places, strict=True):
            centre[v] = place - offset / 2
    rounds = 16 if total < 40_000 else 8
    for turn in range(rounds):
        down = turn % 2 == 1  # the last round moves consumers between their operands
        near = pred if down else succ
        indices = range(len(layers))
        for r in indices if down else reversed(indices):
            layer = layers[r]
            want = []
            for v in layer:
                links = near[v]
                if not links:
                    want.append(centre[v])
                elif len(links) == 1:
                    want.append(centre[links[0]])
                else:
                    places = sorted([centre[u] for u in links])
                    k = len(places) >> 1
                    want.append(places[k] if len(places) & 1 else (places[k - 1] + places[k]) / 2)
            _isotonic(layer, offsets[r], want, weight, centre)
    top = min([centre[layer[0]] - half[layer[0]] for layer in layers], default=0.0)
    bottom = max([centre[layer[-1]] + half[layer[-1]] for layer in layers], default=0.0)
    return centre, top, bottom


def _isotonic(
    layer: list[int], offsets: list[float], want: list[float], weight: list[float], centre: list[float]
) -> None:
    """Move a layer as near to `want` as its order and distances allow (least squares, pool adjacent violators)."""
    sums: list[float] = []
    weights: list[float] = []
    begins: list[int] = []
    for i, v in enumerate(layer):
        w = weight[v]
        s, begin = (want[i] - offsets[i]) * w, i
        while sums and sums[-1] * w >= s * weights[-1]:  # the block before lies at or beyond this one: pool them
            s += sums.pop()
            w += weights.pop()
            begin = begins.pop()
        sums.append(s)
        weights.append(w)
        begins.append(begin)
    begins.append(len(layer))
    for b, s in enumerate(sums):
        base = s / weights[b]
        for i in range(begins[b], begins[b + 1]):
            centre[layer[i]] = base + offsets[i]


def _columns(
    ordering: Ordering, along: list[float], centre: list[float], rank_gap: float, arrival: float, departure: float
) -> tuple[list[float], list[float]]:
    """Return where every rank begins and ends; the gap behind a rank grows with its steepest link."""
    starts: list[float] = []
    ends: list[float] = []
    at = 0.0
    for layer in ordering.layers:
        starts.append(at)
        at += max([along[v] for v in layer if v < ordering.n], default=0.0)
        ends.append(at)
        climb = max([abs(centre[v] - centre[w]) for v in layer for w in ordering.succ[v]], default=0.0)
        at += rank_gap + min(max(climb - 2.5 * rank_gap, 0.0) * 0.16, 3.75 * rank_gap)
        at += arrival + (departure if climb > 0.05 else 0.0)
    return starts, ends


# Routes ----------------------------------------------------------------------------------------------------------


def _routes(
    ordering: Ordering,
    edges: Sequence[tuple[int, int]],
    along: list[float],
    ports: list[float],
    centre: list[float],
    middle: list[float],
    starts: list[float],
    ends: list[float],
    top: float,
) -> tuple[dict[int, list[Point]], list[list[Point]], float]:
    """Return trunks and routes as points (along, across), and the extent that detours along the border need.

    Edges are level with where they go from `starts` of its rank on, and stay level with where they are until `ends`.
    """
    ranks, joints = ordering.ranks, ordering.joints
    trunks: dict[int, list[Point]] = {}
    for source, chain in ordering.chains.items():
        points = [(middle[source] + along[source] / 2, centre[source])]
        points.append((ends[ranks[source]], centre[source]))
        for lane in chain:
            points.append((starts[ranks[lane]], centre[lane]))
            points.append((ends[ranks[lane]], centre[lane]))
        trunks[source] = _straightened(points)
    detoured: dict[int, float] = {}
    for k in ordering.detours:
        top -= 0.0 if edges[k][0] in detoured else _LANE_GAP
        detoured.setdefault(edges[k][0], top)
    outside = set(ordering.detours)
    routes = []
    for k, (source, target) in enumerate(edges):
        joint, port = joints[k], ports[k]
        points = [(ends[ranks[joint]], centre[joint])]
        if joint == source:
            points.insert(0, (middle[source] + along[source] / 2, centre[source]))
        if k in outside:
            border = detoured[source]
            points += [(starts[ranks[source] + 1], border), (ends[ranks[target] - 1], border)]
        points += [(starts[ranks[target]], port), (middle[target] - along[target] / 2, port)]
        routes.append(_straightened(points))
    return trunks, routes, top


def _ports(
    ordering: Ordering,
    edges: Sequence[tuple[int, int]],
    across: list[float],
    centre: list[float],
    port_gap: float,
) -> list[float]:
    """Return where every edge enters its target: spread over its side, in the order in which the edges arrive."""
    arriving: dict[int, list[int]] = {}
    for k, (_, target) in enumerate(edges):
        arriving.setdefault(target, []).append(k)
    ports = [0.0] * len(edges)
    even = [1.0] * len(edges)
    for target, group in arriving.items():
        # Detours come down from the border; the order of operands decides between edges of one source.
        outside = set(ordering.detours).intersection(group) if ordering.detours else set()
        group.sort(key=lambda k: (k not in outside, centre[ordering.joints[k]], k))
        # Each edge enters as level with where it comes from as the side of the box allows.
        box, gaps = across[target], len(group) - 1
        step = min(port_gap, max(box * 0.6 / len(group), (box - 20) / gaps if gaps else 0.0))
        side = max(min(port_gap, box * 0.3, (box - port_gap) / 2), step * gaps / 2)
        level = centre[target]
        want = [-side if k in outside else max(-side, min(side, centre[ordering.joints[k]] - level)) for k in group]
        _isotonic(group, [i * step for i in range(len(group))], want, even, ports)
        for i, k in enumerate(group):
            ports[k] = level + max(min(ports[k], side - (len(group) - 1 - i) * step), i * step - side)
    return ports


def _straightened(points: list[Point]) -> list[Point]:
    """Return the points without those inside a straight run along the rank direction."""
    kept = points[:1]
    for i in range(1, len(points)):
        p, q = points[i]
        if (p, q) == kept[-1]:
            continue
        straight = i + 1 < len(points) and abs(kept[-1][1] - q) < 0.05 and abs(points[i + 1][1] - q) < 0.05
        if not straight:
            kept.append((p, q))
    return kept
