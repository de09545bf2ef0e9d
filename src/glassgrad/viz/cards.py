"""What stands where in an SVG picture: the cards, their places, and areas around cards that belong together.

Guarantees: cards do not overlap; an area around a scope holds cards of that scope only, or is left out.

Weights that one operation alone uses stand in a block on the operation's own card, between its badge and its numbers,
and need no edges: a layer of sixteen neurons with sixteen weights would otherwise be a column of 256 cards. Cards read
along the ranks: badge, block, numbers, from left to right or from top to bottom.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Container, Iterator
from dataclasses import dataclass, replace
from math import ceil, isqrt
from typing import Final

from ..engine import exponent
from ..graph import Graph
from .layout import Layout, Rankdir, layout
from .order import rank
from .text import LABEL_LIMIT, SYMBOLS, number, shortened, text_width

__all__ = ["Area", "Arrangement", "Card", "arrange", "arrows", "exponents", "regions", "tag_width"]

ROW: Final = 17.0  # height of a line
SMALL_ROW: Final = 14.0  # and of one in a block
NESTED: Final = 6  # scopes inside scopes that get an area of their own
_SMALL: Final = 24  # Values in a graph that has room for every weight by itself, and
_BLOCK: Final = 6  # where it takes so many weights to make a block
_COLUMN: Final = 32  # the same where an operation has no other operands: a column with an edge each says more
_BLOCK_GAP: Final = 4.0
_ACROSS: Final = 16  # where ranks are rows: so many weights side by side in a rank, as many as a page can show
_COMMON: Final = 160.0  # and there the widest card that others are made equal to
_GAP: Final = 16.0  # between cards of a rank
_HEAD: Final = 22.0  # more of it, for the caption of an area
_DEPARTURE: Final = 36.0  # past the captions of a neuron and its layer, which stand below
_ARROW: Final = 9.0  # an arrowhead
TAG: Final = 18.0  # height of the tag of a local derivative


@dataclass(frozen=True)
class Card:
    """What stands on a card, and its size.

    `badge` is the extent of the operation's badge along the ranks, `inset` that of the block beside it.
    """

    kind: str
    symbol: str
    rows: tuple[tuple[str, str, str], ...]  # (caption, number, class of the number)
    badge: float
    inset: float
    pad: float
    width: float
    height: float


def _card(
    graph: Graph, i: int, rankdir: Rankdir, *, digits: int = 4, room: float = 0.0, grid: _Grid | None = None
) -> Card:
    leaf, wanted, grad = graph.ops[i] == "leaf", graph.requires_grad[i], graph.grads[i]
    label = shortened(graph.labels[i], LABEL_LIMIT)
    kind = "root" if i in graph.roots else ("leaf" if wanted else "const") if leaf else "op"
    symbol = "" if leaf else SYMBOLS.get(graph.symbols[i]) or shortened(graph.symbols[i] or graph.ops[i], 84)
    rows = [(label or ("data" if wanted else ""), number(graph.values[i], digits), "gg-label" if label else "gg-word")]
    if wanted:
        sign = "gg-none" if grad is None or grad != grad or grad == 0 else "gg-plus" if grad > 0 else "gg-minus"
        rows.append(("grad", number(grad, digits), sign))
    named = text_width(symbol) + 16
    text = max([text_width(caption) + (10.0 if caption else 0.0) + 7.6 * len(value) for caption, value, _ in rows])
    inset = 0.0
    if rankdir == "TB":
        badge, pad = 0.0 if kind == "const" else 5.0 if leaf else 22.0, 8.0
        width, height = max(text + 2 * pad, named, room), badge + len(rows) * ROW + 12
        if grid:
            inset = grid.height + _BLOCK_GAP
            width, height = max(width, grid.width + 2 * _BLOCK_GAP), height + inset
        pad = (width - text) / 2
    else:
        badge, pad = 0.0 if kind == "const" else 6.0 if leaf else max(28.0, named), 10.0
        width, height = badge + text + 4 + 2 * pad, max(len(rows) * ROW + 12, room)
        width = max(104.0, 8 * -(-width // 8)) if wanted else width  # few different widths make calm columns
        if grid:
            inset = grid.width + _BLOCK_GAP
            width, height = width + inset, max(height, grid.height + 2 * _BLOCK_GAP)
    return Card(kind, symbol, tuple(rows), badge, inset, pad, width, height)


def _small(card: Card) -> Card:
    """Return the card of a weight as it stands in a block: a strip on the left, smaller type, next to no margins."""
    text = max([0.84 * (text_width(caption) + 7.6 * len(value)) + 5 for caption, value, _ in card.rows])
    badge, pad = 3.0, 5.0
    return replace(card, badge=badge, pad=pad, width=badge + text + 2 * pad, height=len(card.rows) * SMALL_ROW + 5)


def _aligned(cards: list[Card], ranks: list[int], place: list[int | None]) -> list[Card]:
    """Return the cards with nearly equal widths of a column made equal; those in blocks do not take part."""
    rows = [None if k is None else ranks[k] for k in place]
    widest: dict[int, float] = {}
    for card, r in zip(cards, rows, strict=True):
        if r is not None:
            widest[r] = max(widest.get(r, 0.0), card.width)
    return [
        replace(card, width=widest[r])
        if r is not None and card.kind != "const" and widest[r] - card.width < 90
        else card
        for card, r in zip(cards, rows, strict=True)
    ]


@dataclass(frozen=True)
class Area:
    """A tinted area around cards that belong together.

    `scope` is what it is called; the picture says only `caption`, what areas around it do not say already.
    """

    scope: str
    x: float
    y: float
    width: float
    height: float
    caption: str = ""

    @property
    def box(self) -> tuple[float, float, float, float]:
        return self.x, self.y, self.width, self.height


@dataclass(frozen=True)
class Arrangement:
    """Cards with their centres, blocks of weights, areas of scopes, and the plan whose routes the edges follow."""

    cards: list[Card]
    x: list[float]
    y: list[float]
    shown: list[int]  # nodes that are drawn; `exponents` are not
    slopes: list[float | None]  # local derivatives, one for each of the plan's routes
    blocks: list[Area]
    inside: set[int]  # cards in blocks
    scopes: list[Area]
    plan: Layout


def arrange(
    graph: Graph, *, rankdir: Rankdir = "LR", partials: bool = False, widest: float | None = None
) -> Arrangement:
    """Return what stands where; with `partials` edges are long enough to write on, and there are no blocks.

    `widest` is what is written there, where that is not the local derivative alone.
    """
    blocks = {} if partials else _blocks(graph)
    inside = {i for members in blocks.values() for i in members}
    left_out = exponents(graph)
    shown = [i for i in range(len(graph)) if i not in left_out]
    boxes = [i for i in shown if i not in inside]
    place = {i: k for k, i in enumerate(boxes)}
    drawn = [arrow for arrow in arrows(graph, left_out) if arrow[0] in place]
    edges = [(place[a], place[b]) for a, b, _ in drawn]
    ranks = rank(len(boxes), edges)

    down = rankdir == "TB"
    tag = 0.0
    if partials:
        tag = widest or max([tag_width(slope) for *_, slope in drawn if slope is not None], default=0.0)
    # Every tag stands right before the arrow it belongs to, on a stretch that is level and no other edge's.
    port_gap, reach = (12.0, 0.0) if not partials else (tag + 4, TAG) if down else (TAG + 2, tag)

    def needed(arrivals: int) -> float:
        # An operation of many operands is tall enough to tell their edges apart.
        return port_gap * arrivals if partials else 0.0 if down else min(4.0 + 7 * arrivals, 240.0)

    digits = 3 if blocks else 4  # tooltips have them all
    cards = [_card(graph, i, rankdir, digits=digits, room=needed(len(graph.operands[i]))) for i in range(len(graph))]
    for i in inside:
        cards[i] = _small(cards[i])
    # Blocks of one width, however long their numbers are.
    cell = max([cards[i].width for i in inside], default=0.0)
    for i in inside:
        cards[i] = replace(cards[i], width=cell)
    crowd = Counter(ranks[place[i]] for i in blocks)
    grids = {}
    for i, members in blocks.items():
        columns = _ACROSS // crowd[ranks[place[i]]] if down else isqrt(len(members))
        grids[i] = _Grid(members, max(min(columns, len(members)), 1), cell, cards[members[0]].height)
        arrivals = len(graph.operands[i]) - len(members)
        cards[i] = _card(graph, i, rankdir, digits=digits, room=needed(arrivals), grid=grids[i])
    scoped = blocks and len({*graph.scopes, ""}) > 2  # areas side by side
    if not down:
        cards = _aligned(cards, ranks, [place.get(i) for i in range(len(graph))])
    elif scoped:  # cards of one width stand in columns, an area around each
        common = max([cards[i].width for i in boxes if cards[i].width < _COMMON], default=0.0)
        for i in boxes:
            room = common - cards[i].width
            if cards[i].kind in ("op", "root") and room > 0:
                cards[i] = replace(cards[i], width=common, pad=cards[i].pad + room / 2)
    plan = layout(
        [(cards[i].width, cards[i].height) for i in boxes],
        edges,
        rankdir=rankdir,
        gap=_GAP + (0.0 if not scoped else 4.0 if down else _HEAD),
        port_gap=port_gap,
        arrival=_ARROW + (reach + 4 if partials else 0.0),
        departure=_DEPARTURE if down and scoped else 0.0,
    )
    x, y = [0.0] * len(graph), [0.0] * len(graph)
    for i, px, py in zip(boxes, plan.x, plan.y, strict=True):
        x[i], y[i] = px, py
    frames = []
    for i, grid in grids.items():
        left, top = x[i] - grid.width / 2, y[i] - grid.height / 2
        if down:
            top = y[i] - cards[i].height / 2 + cards[i].badge + _BLOCK_GAP
        else:
            left = x[i] - cards[i].width / 2 + cards[i].badge + _BLOCK_GAP
        if len(grid.members) > 1:
            frames.append(Area(f"{len(grid.members)} leaves", left, top, grid.width, grid.height))
        for k, member in enumerate(grid.members):
            row, column = divmod(k, grid.columns)
            x[member] = left + (column + 0.5) * (cell + _BLOCK_GAP) + _BLOCK_GAP / 2
            y[member] = top + (row + 0.5) * (cards[member].height + _BLOCK_GAP) + _BLOCK_GAP / 2
    slopes = [slope for *_, slope in drawn]
    areas = _areas(graph, shown, cards, x, y, down)
    return Arrangement(cards, x, y, shown, slopes, frames, inside, areas, plan)


def tag_width(slope: float) -> float:
    """Return how wide the tag with a local derivative is."""
    return 7.0 * len(number(slope)) + 10


# What is drawn ---------------------------------------------------------------------------------------------------


def exponents(graph: Graph) -> set[int]:
    """Return the constants that need no card, because the badge of every operation that uses them says them: `**2`."""
    nodes = range(len(graph))
    found = {i for i in nodes if graph.ops[i] == "leaf" and not graph.requires_grad[i] and not graph.labels[i]}
    found -= set(graph.roots)
    for target, below in enumerate(graph.operands):
        power = graph.ops[target] == "pow"
        for k, operand in enumerate(below):
            if not (power and k == 1 and graph.symbols[target] == f"**{exponent(graph.values[operand])}"):
                found.discard(operand)
    return found


def arrows(graph: Graph, left_out: set[int]) -> list[tuple[int, int, float | None]]:
    """Return (operand, consumer, local derivative) for every use of an operand that is drawn."""
    return [
        (source, target, slope)
        for target, below in enumerate(graph.operands)
        for source, slope in zip(below, graph.partials[target], strict=True)
        if source not in left_out
    ]


# Blocks of weights -----------------------------------------------------------------------------------------------


class _Grid:
    """Places for cards of one size, in columns."""

    def __init__(self, members: list[int], columns: int, width: float, height: float) -> None:
        self.members, self.columns = members, columns
        self.width = columns * (width + _BLOCK_GAP) + _BLOCK_GAP
        self.height = ceil(len(members) / columns) * (height + _BLOCK_GAP) + _BLOCK_GAP


def _blocks(graph: Graph) -> dict[int, list[int]]:
    """Return, for every operation with leaves of its own that go on its card, these leaves in the order of operands."""
    uses = [0] * len(graph)
    for source, _ in graph.edges():
        uses[source] += 1
    roots = set(graph.roots)
    least = _BLOCK if len(graph) <= _SMALL else 1
    blocks = {}
    for target, below in enumerate(graph.operands):
        own = [
            i for i in below if uses[i] == 1 and graph.ops[i] == "leaf" and graph.requires_grad[i] and i not in roots
        ]
        if len(own) >= (least if len(own) < len(below) else _COLUMN):
            blocks[target] = own
    return blocks


# Scopes ----------------------------------------------------------------------------------------------------------


def regions(graph: Graph) -> list[str]:
    """Return the scope every node is drawn in.

    That is its own, but a leaf made outside of any scope, such as a weight or a plain number, stands with the
    operations that use it if they all share a scope.
    """
    result = list(graph.scopes)
    for i, users in enumerate(graph.consumers()):
        if graph.ops[i] == "leaf" and not graph.scopes[i]:
            around = {graph.scopes[user] for user in users}
            if len(around) == 1:
                result[i] = around.pop()
    return result


def _areas(graph: Graph, shown: list[int], cards: list[Card], x: list[float], y: list[float], down: bool) -> list[Area]:
    """Return areas, outer first, for the scopes whose surroundings hold no card of another scope."""
    members: dict[str, list[int]] = {}
    scopes = regions(graph)
    for i in shown:
        parts = scopes[i].split("/") if scopes[i] else []
        for k in range(1, min(len(parts), NESTED) + 1):
            members.setdefault("/".join(parts[:k]), []).append(i)
    if len(members) * len(graph) > 400_000:  # every area is compared with every card
        return []
    boxes = {}
    for i in shown:
        width, height = cards[i].width, cards[i].height
        boxes[i] = x[i] - width / 2, y[i] - height / 2, width, height
    # One area for a scope and the only one inside it that has cards.
    for scope in sorted(members, key=len):
        outer = scope.rpartition("/")[0]
        if len(members.get(outer, ())) == len(members[scope]):
            del members[outer]
    deeper = dict.fromkeys(members, 0)  # how many scopes are nested inside, which need room for their rims and captions
    for scope in sorted(members, key=len, reverse=True):
        for outer in _around(scope, members):
            deeper[outer] = max(deeper[outer], deeper[scope] + 1)
    areas: dict[str, Area] = {}
    refused: set[str] = set()
    for scope in sorted(members, key=lambda scope: (scope.count("/"), members[scope][0])):
        own = set(members[scope])
        group = [boxes[i] for i in members[scope]]
        pad, head = 8.0 + 10 * deeper[scope], _HEAD * (1 + deeper[scope])
        above, below = (pad, head) if down else (head, pad)  # the caption stands where no edges arrive
        left, top = min([box[0] for box in group]) - pad, min([box[1] for box in group]) - above
        right, bottom = max([box[0] + box[2] for box in group]) + pad, max([box[1] + box[3] for box in group]) + below
        area = Area(scope, left, top, right - left, bottom - top)
        around = set(_around(scope, members))
        lonely = not any(i not in own and _overlap(area.box, box) for i, box in boxes.items())
        apart = not any(_overlap(area.box, other.box) for other in areas.values() if other.scope not in around)
        if lonely and apart and len(group) < len(shown):
            areas[scope] = area
        else:
            refused.add(scope.rstrip("0123456789"))
    # Of neuron0, neuron1, … all are kept or none.
    kept = {scope: area for scope, area in areas.items() if scope.rstrip("0123456789") not in refused}
    captions = {scope: scope[len(next(_around(scope, kept), "")) :].strip("/").replace("/", " / ") for scope in kept}
    return [replace(area, caption=captions[scope]) for scope, area in kept.items()]


def _around(scope: str, scopes: Container[str]) -> Iterator[str]:
    """Yield those of `scopes` that `scope` is nested in, inner first."""
    while scope:
        scope = scope.rpartition("/")[0]
        if scope in scopes:
            yield scope


def _overlap(a: tuple[float, float, float, float], b: tuple[float, float, float, float]) -> bool:
    return a[0] < b[0] + b[2] and b[0] < a[0] + a[2] and a[1] < b[1] + b[3] and b[1] < a[1] + a[3]
