"""A small graph as boxes of characters, a row for every rank, and edges between the rows.

Guarantees: the same graph gives the same drawing in every process; boxes do not overlap; every edge can be followed
from the box it leaves below to the arrowhead it ends in: edges share a line only where they come from the same Value,
and where two cross there is a `┼`, through which both go straight on; a Value's own four ways meet in a `●`.

Ranks and order are those of `order`, so the drawing has the shape of the pictures. What a Value leads to stands below.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from ..graph import Graph
from .cards import arrows, exponents
from .formulas import Plain
from .layout import _spread
from .order import Ordering, order
from .terminal import cells, padded
from .text import SYMBOLS, number

__all__ = ["draw", "numeral"]

_GAP: Final = 3  # columns between boxes, and between lines that run beside each other
_UNIT: Final = 3.0  # a column in the units of `layout`, whose lanes lie 9 apart


@dataclass(frozen=True)
class _Box:
    lines: list[str]
    width: int


@dataclass(frozen=True)
class _Link:
    """A line from one row to the next, by the columns where it begins and ends."""

    source: int
    begin: int
    end: int
    arrow: bool


def numeral(x: float | None) -> str:
    """Return a number as pictures show it, with a real minus."""
    return number(x).replace("-", "−")


def draw(graph: Graph) -> list[str]:
    """Return the lines of the drawing."""
    left_out = exponents(graph)
    nodes = [i for i in range(len(graph)) if i not in left_out]
    place = {i: k for k, i in enumerate(nodes)}
    edges = [(place[a], place[b]) for a, b, _ in arrows(graph, left_out)]
    ordering = order(len(nodes), edges)
    write = Plain(graph, {})
    boxes = [_box(graph, i, write, sum(1 for _, b in edges if b == place[i])) for i in nodes]
    columns = _columns(ordering, boxes)
    canvas = _Canvas()
    top = 0
    for r, layer in enumerate(ordering.layers):
        height = max([len(boxes[v].lines) for v in layer if v < ordering.n], default=1)
        _row(canvas, top, height, ordering, layer, boxes, columns)
        top += height
        if r + 1 < len(ordering.layers):
            links = _links(ordering, layer, ordering.layers[r + 1], boxes, columns)
            top = _channel(canvas, top, links)
    return canvas.lines()


def _box(graph: Graph, i: int, write: Plain, arrivals: int) -> _Box:
    """Return a box: name and operation in its rim, then the number, then the gradient. Its width is odd."""
    leaf, wanted = graph.ops[i] == "leaf", graph.requires_grad[i]
    symbol = "" if leaf else SYMBOLS.get(graph.symbols[i]) or write.symbol(graph.symbols[i] or graph.ops[i])
    title = " ".join(filter(None, [write.name(i) if wanted or graph.labels[i] else "", symbol]))
    rows = [("", numeral(graph.values[i]))]
    if wanted:
        rows.append(("grad", numeral(graph.grads[i])))
    inner = max(
        cells(title) + 2 if title else 0, *[cells(a) + cells(b) + 2 * bool(a) for a, b in rows], 2 * arrivals - 1
    )
    inner += inner % 2 == 0
    rim = f" {title} " if title else ""
    lines = [f"╭─{rim}{'─' * (inner + 1 - cells(rim))}╮"]
    lines += [f"│ {a}{padded(b, inner - cells(a), right=True)} │" for a, b in rows]
    lines.append(f"╰{'─' * (inner + 2)}╯")
    return _Box(lines, inner + 4)


def _columns(ordering: Ordering, boxes: list[_Box]) -> list[int]:
    """Return the middle column of every box, and the column of every lane."""
    centre, left, _ = _spread(ordering, [box.width * _UNIT for box in boxes], _GAP * _UNIT)
    half = [box.width // 2 for box in boxes] + [0] * (len(centre) - len(boxes))
    columns = [0] * len(centre)
    for layer in ordering.layers:
        least = -(10**9)
        for v in layer:
            columns[v] = max(round((centre[v] - left) / _UNIT), least + half[v])
            least = columns[v] + half[v] + 1 + _GAP
    first = min([columns[v] - half[v] for v in range(len(columns))], default=0)
    return [column - first for column in columns]


def _links(
    ordering: Ordering, above: list[int], below: list[int], boxes: list[_Box], columns: list[int]
) -> list[_Link]:
    """Return the lines between two rows. No line ends in a column where one of another source begins."""
    begins = {columns[u]: u for u in above if ordering.succ[u]}
    links = []
    for v in below:
        sources = sorted(ordering.pred[v], key=lambda u: columns[u])
        if v >= ordering.n:
            free = [columns[v] + shift for shift in (0, 1, -1)]
            columns[v] = next(c for c in free if begins.get(c, sources[0]) == sources[0])
            ends = [columns[v]]
        else:
            ends = _ports(v, sources, begins, boxes, columns)
        links += [_Link(u, columns[u], end, v < ordering.n) for u, end in zip(sources, ends, strict=True)]
    return links


def _ports(v: int, sources: list[int], begins: dict[int, int], boxes: list[_Box], columns: list[int]) -> list[int]:
    """Return a column on the rim of a box for every line that ends there, below where it begins if possible."""
    half = boxes[v].width // 2 - 1
    rim = range(columns[v] - half, columns[v] + half + 1)
    ends: list[int] = []
    for k, u in enumerate(sources):
        waiting = len(sources) - 1 - k
        free = [c for c in rim if begins.get(c, u) == u and (not ends or c > ends[-1])]
        enough = [c for c in free if sum(1 for d in rim if d > c and d not in begins) >= waiting]
        apart = [c for c in enough if not ends or c > ends[-1] + 1]  # two lines side by side look like one
        middle = columns[v] + round((k - waiting) * min(2.0, half / len(sources)))
        want = columns[u] if abs(columns[u] - middle) <= (half if len(sources) == 1 else 2) else middle
        ends.append(min(apart or enough, key=lambda c: (abs(c - want), c)))
    return ends


def _row(
    canvas: _Canvas, top: int, height: int, ordering: Ordering, layer: list[int], boxes: list[_Box], columns: list[int]
) -> None:
    """Draw the boxes of a row on a common floor, and the lanes that pass it."""
    for v in layer:
        if v >= ordering.n:
            for y in range(top, top + height):
                canvas.put(columns[v], y, "│")
            continue
        box = boxes[v]
        filled = box.lines
        if ordering.pred[v]:  # lines end at its rim, so it begins where the row does
            blank = f"│{' ' * (box.width - 2)}│"
            filled = [*box.lines[:-1], *[blank] * (height - len(box.lines)), box.lines[-1]]
        for k, line in enumerate(filled):
            canvas.text(columns[v] - box.width // 2, top + height - len(filled) + k, line)
        if ordering.succ[v]:
            canvas.put(columns[v], top + height - 1, "┬")


def _channel(canvas: _Canvas, top: int, links: list[_Link]) -> int:
    """Draw the lines between two rows, those of one source on one track; return where the next row begins."""
    spans: dict[int, tuple[int, int]] = {}
    for link in links:
        low, high = spans.get(link.source, (link.begin, link.begin))
        spans[link.source] = min(low, link.begin, link.end), max(high, link.begin, link.end)
    track = _tracks(links, {source: span for source, span in spans.items() if span[0] < span[1]})
    bottom = top + max(track.values(), default=-1) + 1
    for source, (low, high) in spans.items():
        mine = [link for link in links if link.source == source]
        level = top + track[source] if source in track else bottom
        canvas.down(mine[0].begin, top, level)
        if source in track:
            for x in range(low, high + 1):
                canvas.join(x, level, left=x > low, right=x < high)
            canvas.join(mine[0].begin, level, up=True)
            if low < mine[0].begin < high and any(link.end == mine[0].begin for link in mine):
                canvas.put(mine[0].begin, level, "●")  # all four ways are its own: not a crossing
        for link in mine:
            if source in track:
                if link.end != mine[0].begin or not low < link.end < high:
                    canvas.join(link.end, level, down=True)
                canvas.down(link.end, level + 1, bottom)
            canvas.put(link.end, bottom, "▼" if link.arrow else "│")
    return bottom + 1


def _tracks(links: list[_Link], spans: dict[int, tuple[int, int]]) -> dict[int, int]:
    """Return a track for every line that bends, so that those on one do not meet and few lines cross."""
    begins = {link.source: link.begin for link in links}
    ends: dict[int, list[int]] = {source: [] for source in spans}
    for link in links:
        if link.source in ends:
            ends[link.source].append(link.end)

    def crossings(a: int, b: int) -> int:
        """Count where a and b cross if a lies above b: a's way down crosses b's track, b's way there that of a."""
        (low, high), (left, right) = spans[a], spans[b]
        return (low < begins[b] < high) + sum(left < end < right for end in ends[a])

    # Of those that go to the right the rightmost lies on top, of the others the leftmost.
    turn = sorted(spans, key=lambda a: (begins[a] if sum(ends[a]) < begins[a] * len(ends[a]) else -begins[a], a))
    for _ in turn:
        for k in range(len(turn) - 1):
            a, b = turn[k], turn[k + 1]
            if crossings(b, a) < crossings(a, b):
                turn[k], turn[k + 1] = b, a
    track: dict[int, int] = {}
    for a in turn:
        low, high = spans[a]
        track[a] = max([track[b] + 1 for b in track if spans[b][0] <= high + 1 and low <= spans[b][1] + 1], default=0)
    return track


# Left, right, up and down as bits, and the character that joins them.
_JOINTS: Final = " ╴╶─╵╯╰┴╷╮╭┬│┤├┼"


class _Canvas:
    """Characters by row and column; lines that meet are joined, lines that cross stay two."""

    def __init__(self) -> None:
        self.rows: list[dict[int, str]] = []

    def put(self, x: int, y: int, c: str) -> None:
        while len(self.rows) <= y:
            self.rows.append({})
        self.rows[y][x] = c

    def text(self, x: int, y: int, line: str) -> None:
        """Put a line of text; a wide character takes the column after it as well."""
        for c in line:
            width = cells(c)
            if not width and x > 0:  # an accent belongs to the character before
                self.put(x - 1, y, self.rows[y].get(x - 1, "") + c)
                continue
            self.put(x, y, c)
            for k in range(1, width):
                self.put(x + k, y, "")
            x += width

    def join(
        self, x: int, y: int, *, left: bool = False, right: bool = False, up: bool = False, down: bool = False
    ) -> None:
        before = self.rows[y].get(x, " ") if y < len(self.rows) else " "
        bits = _JOINTS.index(before) if before in _JOINTS else 0
        self.put(x, y, _JOINTS[bits | left | 2 * right | 4 * up | 8 * down])

    def down(self, x: int, top: int, bottom: int) -> None:
        """Draw a line down column x, from `top` to above `bottom`."""
        for y in range(top, bottom):
            self.join(x, y, up=True, down=True)

    def lines(self) -> list[str]:
        result = []
        for row in self.rows:
            end = max(row, default=-1) + 1
            result.append("".join([row.get(x, " ") for x in range(end)]).rstrip())
        return result
