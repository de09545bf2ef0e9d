"""What happens when in an animation of forward and backward, and what it is drawn with.

Guarantees: every number that appears is that of `Steps`; after the last step the picture shows the gradients that
`backward()` leaves; nothing overlaps, because tags and numbers get their room from the longest they will hold.

Each edge carries two tags right before its arrow: the local derivative, from the moment its operation is computed, and
the contribution it brings its operand on the way back. Along the edges that leave a card these add up to its gradient.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from typing import Final

from ..graph import Graph
from . import bundle
from .cards import TAG, Arrangement, Card, arrange, exponents
from .layout import Point, Rankdir
from .motion import Part, Track
from .shapes import MARGIN, area, caption, corner, edges, extent, frame, length, n, path, rows, whole_routes
from .steps import State, Steps, called, contribution, sentence, signed, words
from .text import escaped, number, text_width, tooltip

__all__ = ["Film", "Moment"]

_DIM: Final = 0.4  # opacity of a card whose value is not there yet
_COMET: Final = 7.0  # length of what runs along an edge
_TYPE: Final = 15 / 12.5  # size of the sentences against that of labels
_LINE: Final = 21.0
_NARROW: Final = 620.0  # a sentence is not broken up to this
_GRAD: Final = {"up": "gg-plus", "down": "gg-minus", "flat": "gg-none"}
_SEEN: Final = 6  # gradients that the last sentence lists


@dataclass(frozen=True)
class Moment:
    """A stretch of time that shows one step: something moves, arrives, and stays to be read until the end."""

    start: float
    arrival: float
    end: float
    phase: str
    told: str
    state: State


class Film:
    """An animation as parts that motion plays, or stops at a moment."""

    def __init__(self, graph: Graph, steps: Steps, *, lang: str, rankdir: Rankdir, speed: float, loop: bool) -> None:
        self.graph, self.steps, self.lang, self.rankdir, self.loop = graph, steps, lang, rankdir, loop
        self.states = [steps.at(k) for k in range(steps.total + 1)]
        # Many steps go by faster: one who has seen twenty knows how to read them.
        self.pace = min(1.0, max(0.45, 24 / (steps.total + 1))) / speed
        self.fade = 0.25 * self.pace
        self.moments = self._timed(speed)
        self.seconds = self.moments[-1].end
        self.picture = self._arranged()

    # Time --------------------------------------------------------------------------------------------------------

    def _timed(self, speed: float) -> list[Moment]:
        graph, steps, lang = self.graph, self.steps, self.lang
        moments: list[Moment] = []
        time = 0.0

        def show(k: int, seconds: float, move: float, phase: str, told: str) -> None:
            nonlocal time
            moments.append(Moment(time, time + move, time + seconds, phase, told, self.states[k]))
            time += seconds

        pace = self.pace
        start = words("phaseStart", lang, {})
        forth, back = len(steps.forward), len(steps.backward)
        show(0, 1.6 * pace, 0.0, start, sentence(graph, steps, self.states[0], lang))
        ahead = ""
        for k in range(1, forth + 1):
            ahead = words("phaseForward", lang, {"count": str(k), "total": str(forth)})
            show(k, 1.9 * pace, 0.7 * pace, ahead, sentence(graph, steps, self.states[k], lang))
        if forth:
            facts = {"name": called(graph, steps.root), "value": signed(graph.values[steps.root])}
            show(forth, 2.0 / speed, 0.0, ahead, words("forwardEnd", lang, facts))
        for k in range(steps.seed_at, steps.total + 1):
            phase = words("phaseBackward", lang, {"count": str(k - steps.seed_at), "total": str(back)})
            move = 0.8 * pace if k > steps.seed_at else 0.2 * pace
            show(k, 2.7 * pace, move, phase, sentence(graph, steps, self.states[k], lang))
        show(steps.total, 4.5 / speed, 0.0, phase, words("backwardEnd", lang, {"list": self._list()}))
        return moments

    def _list(self) -> str:
        """Return the gradients of the leaves, those with a label first."""
        last = self.states[-1]
        graph = self.graph
        leaves = [i for i, op in enumerate(graph.ops) if op == "leaf" and last.known[i]]
        leaves.sort(key=lambda i: not graph.labels[i])
        root = called(graph, self.steps.root)
        listed = [f"∂{root}/∂{called(graph, i)} = {signed(last.grads[i])}" for i in leaves[:_SEEN]]
        return (", " if self.lang == "en" else "，").join(listed + ["…"] * (len(leaves) > _SEEN))

    def window(self, start: float | None, end: float | None, *, also: str = "", low: float = 0.0) -> Track:
        """Return the opacity of what is there from `start` to `end`; None for always before, always after."""
        half = self.fade / 2
        points = [] if start is None else [(start + half, low), (start + 2 * half, 1.0)]
        if end is not None:
            points += [(end, 1.0), (end + half, low)]
        if not points:
            points = [(0.0, 1.0)]
        final = 1.0 if end is None else low
        first = 1.0 if start is None else low
        if self.loop and first != final:
            points += [(self.seconds - self.fade, final), (self.seconds, first)]
        return Track("opacity", tuple(points), final, also)

    # Space -------------------------------------------------------------------------------------------------------

    @cached_property
    def drawn(self) -> list[tuple[int, int, int]]:
        """(operand, consumer, edge) of every edge that is drawn, as the routes of the picture have them."""
        left_out = exponents(self.graph)
        flat = [(k, i) for i, row in enumerate(self.graph.operands) for k in row]
        return [(k, i, edge) for edge, (k, i) in enumerate(flat) if k not in left_out]

    @cached_property
    def tags(self) -> dict[int, tuple[str, str, str]]:
        """By edge, the texts of its tags and the class of the second: local derivative, contribution."""
        partials = [partial for row in self.graph.partials for partial in row]
        shares = {state.edge: state for state in self.states if state.edge >= 0}
        found = {}
        for _, _, edge in self.drawn:
            if edge in shares and partials[edge] is not None:
                share = contribution(shares[edge])
                plus = "+" if share >= 0 else ""
                told = "" if shares[edge].how not in ("product", "zero") else f"{plus}{signed(share)}"
                found[edge] = f"×{signed(partials[edge] or 0.0)}", told, _sign(share)
        return found

    def _arranged(self) -> Arrangement:
        """Return the arrangement of cards with names for what has no label and room for every number to come."""
        graph = self.graph
        plain = [op == "leaf" and not wanted for op, wanted in zip(graph.ops, graph.requires_grad, strict=True)]
        labels = [label or ("" if plain[i] else f"n{i}") for i, label in enumerate(graph.labels)]
        longest: list[float | None] = [None] * len(graph)
        for state in self.states:
            for i in [state.operand, self.steps.root]:
                if i >= 0 and state.known[i] and len(number(state.grads[i])) > len(number(longest[i])):
                    longest[i] = state.grads[i]
        wide = [_width(one) + (_width(two) + 3 if two else 0.0) for one, two, _ in self.tags.values()]
        room = max(wide, default=0.0)
        return arrange(
            replace(graph, labels=labels, grads=longest), rankdir=self.rankdir, partials=True, widest=room + 2
        )

    # Pictures ----------------------------------------------------------------------------------------------------

    @cached_property
    def content(self) -> tuple[list[Part], float, float]:
        """The picture's parts, without the surrounding `<svg>`, and its width and height."""
        left, top, right, bottom = extent(self.picture)
        told = self._captions(max(right + left - MARGIN, _NARROW))
        wide = max([text_width(line) * _TYPE for lines in told for line in lines])
        inner = max(right + left - MARGIN, wide, 440.0)
        height = bottom + top + 26 + 26 + _LINE * max(map(len, told)) + MARGIN - 6
        width = inner + 2 * MARGIN
        left += (inner - (right + left - MARGIN)) / 2
        out: list[Part] = [f'<rect class="gg-page" width="{n(width)}" height="{n(height)}" rx="10"/>']
        out.append(f'<g transform="translate({n(left)} {n(top)})">')
        out += [area("gg-scope", shape) for shape in self.picture.scopes]
        out += edges(self.picture.plan)
        out += [caption(shape, self.rankdir == "TB") for shape in self.picture.scopes]
        out += self._flow()
        for i in self.picture.shown:
            out += self._card(i)
        out += self._tags()
        out += self._glow()
        out.append("</g>")
        out += self._below(told, inner, bottom + top + 26)
        return out, width, height

    def _routes(self) -> dict[int, list[Point]]:
        """Return by edge the points it runs through."""
        place = {i: k for k, i in enumerate(self.picture.shown)}  # as the layout counts
        routes = whole_routes(self.picture.plan, [place[source] for source, _, _ in self.drawn])
        return {edge: route for (_, _, edge), route in zip(self.drawn, routes, strict=True)}

    def _flow(self) -> list[Part]:
        """Return the edges that a step is about, and what runs along them."""
        down, routes = self.rankdir == "TB", self._routes()
        into: dict[int, list[int]] = {}
        for _, target, edge in self.drawn:
            into.setdefault(target, []).append(edge)
        out: list[Part] = []
        for moment in self._moves:
            state = moment.state
            back = state.phase == "backward"
            running = [state.edge] if back else into.get(state.node, [])
            running = [edge for edge in running if edge in routes]
            if not running or state.phase == "seed":
                continue
            style = f"gg-live gg-{_sign(self._change(state))}" if back else "gg-live"
            out += ["<g", self.window(moment.start, moment.end, also=style), ">"]
            for edge in running:
                drawn, long = path(routes[edge], down), length(routes[edge], down)
                ends = [_COMET + 3, -long - 4]
                first, last = ends[::-1] if back else ends
                move = Track(
                    "stroke-dashoffset", ((moment.start, first), (moment.arrival, last)), _COMET + 3, also="gg-comet"
                )
                dashes = f'stroke-dasharray="{n(_COMET)} {n(long + 60)}"'
                out += [f'<path d="{drawn}"/><path d="{drawn}" {dashes}', move, "/>"]
            out.append("</g>")
        return out

    @cached_property
    def _moves(self) -> list[Moment]:
        """The moments in which something happens."""
        return [moment for moment in self.moments if moment.arrival > moment.start]

    @cached_property
    def _computed(self) -> dict[int, float]:
        """By operation, when its value appears."""
        return {moment.state.node: moment.arrival for moment in self._moves if moment.state.phase == "forward"}

    @cached_property
    def _finished(self) -> Graph:
        """The graph with the gradients of the last step, for tooltips."""
        last = self.states[-1]
        grads = [grad if known else None for grad, known in zip(last.grads, last.known, strict=True)]
        return replace(self.graph, grads=grads)

    def _change(self, state: State) -> float:
        """Return what a step adds to a gradient: its sign is the colour."""
        return contribution(state) if state.how in ("product", "zero") else state.after - state.before

    def _card(self, i: int) -> list[Part]:
        """Return a card that is pale until its value appears."""
        graph, card = self.graph, self.picture.cards[i]
        at = self._computed.get(i)
        taking_part = graph.ops[i] == "leaf" or at is not None
        out: list[Part] = [
            f'<g class="gg-node gg-{card.kind}" transform="{corner(self.picture, i)}">',
            f"<title>{escaped(tooltip(self._finished, i))}</title>",
            "<g",
            self.window(at, None, low=_DIM) if taking_part else Track("opacity", ((0.0, _DIM),), _DIM),
            f">{''.join(frame(self.picture, i))}",
        ]
        places = rows(self.picture, i)
        for row, ((told, _, style), (left, right, y)) in enumerate(zip(card.rows, places, strict=True)):
            named = style if row == 0 and graph.labels[i] else "gg-word"
            if told:
                out.append(f'<text class="{named}" x="{left}" y="{y}">{escaped(told)}</text>')
            if row == 0:
                value = signed(graph.values[i])
                out += ["<g", self.window(at, None), f'><text class="gg-data" x="{right}" y="{y}">{value}</text></g>']
            else:
                out += self._grads(i, right, y)
        out.append("</g></g>")
        return out

    def _grads(self, i: int, right: str, y: str) -> list[Part]:
        """Return the gradients that a card shows one after the other, beginning with that nobody knows it."""
        told: list[tuple[float | None, str, str]] = [(None, "—", "gg-none")]
        for moment in self._moves:
            state = moment.state
            if (state.operand == i or (state.phase == "seed" and state.node == i)) and state.known[i]:
                text, sign = signed(state.grads[i]), _GRAD[_sign(state.grads[i])]
                if (text, sign) != told[-1][1:]:
                    told.append((moment.arrival, text, sign))
        out: list[Part] = []
        for k, (start, text, style) in enumerate(told):
            end = told[k + 1][0] if k + 1 < len(told) else None
            track = self.window(start, end)
            out += ["<g", track, f'><text class="gg-grad {style}" x="{right}" y="{y}">{text}</text></g>']
        return out

    def _tags(self) -> list[Part]:
        """Return both tags of every edge, before its arrow and beside each other."""
        down = self.rankdir == "TB"
        passed = {m.state.edge: m.start for m in self._moves if m.state.phase == "backward"}
        out: list[Part] = []
        for (_, target, edge), points in zip(self.drawn, self.picture.plan.routes, strict=True):
            if edge not in self.tags or target not in self._computed:
                continue
            one, two, sign = self.tags[edge]
            first, second = _width(one), _width(two) if two else 0.0
            whole = first + (3 + second if two else 0.0)
            x, y = points[-1]
            x, y = (x - whole / 2, y - 10 - TAG / 2) if down else (x - 10 - whole, y)
            out += [
                "<g",
                self.window(self._computed[target], None, also="gg-slope"),
                ">",
                _pill(x, y, first, one),
                "</g>",
            ]
            if two:
                seen = self.window(passed[edge], None, also=f"gg-share gg-{sign}")
                out += ["<g", seen, f">{_pill(x + first + 3, y, second, two)}</g>"]
        return out

    def _glow(self) -> list[Part]:
        """Return a ring around the card that a step changes, and a quiet one around that which it comes from."""
        out: list[Part] = []
        for moment in self._moves:
            state = moment.state
            back = state.phase == "backward"
            target = state.operand if back else state.node
            sign = f"gg-{_sign(self._change(state))}" if back else ""
            if back and state.node in self.picture.shown:
                ring = _ring(self.picture, state.node)
                out += ["<g", self.window(moment.start, moment.end, also="gg-flat"), f">{ring}</g>"]
            if target in self.picture.shown:
                arrives = moment.arrival if back else moment.start
                ring = _ring(self.picture, target)
                out += ["<g", self.window(arrives, moment.end, also=sign), f">{ring}</g>"]
        return out

    # Below -------------------------------------------------------------------------------------------------------

    def _captions(self, limit: float) -> list[list[str]]:
        """Return the lines of every moment's sentence."""
        return [_wrapped(moment.told, limit / _TYPE) for moment in self.moments]

    def _below(self, told: list[list[str]], inner: float, y: float) -> list[Part]:
        """Return the line of time, what tags mean, and the sentence of every step."""
        out: list[Part] = []
        # The line advances when a step begins and rests while it is read.
        turn = next(k for k, moment in enumerate(self.moments) if moment.state.phase == "seed")
        split = inner * turn / (len(self.moments) - 1)
        for style, moments, x0, x1 in (
            ("gg-run", self.moments[:turn], 0.0, split - 2),
            ("gg-run gg-back", self.moments[turn:-1], split + 2, inner),
        ):
            long = x1 - x0
            points = [(moments[0].start, long)]
            for k, moment in enumerate(moments):
                left = long * (1 - (k + 1) / len(moments))
                points += [(moment.start, points[-1][1]), (moment.start + self.fade, left)]
            line = f'd="M{n(MARGIN + x0)} {n(y)}h{n(long)}"'
            run = Track("stroke-dashoffset", tuple(points[1:]), 0.0, also=style)
            out += [
                f'<path class="gg-rail" {line}/><path {line} stroke-dasharray="{n(long)} {n(long + 9)}"', run, "/>"
            ]  # fmt: skip
        out.append(self._key(MARGIN + inner, y + 24))
        for moment, lines in zip(self.moments, told, strict=True):
            first = moment is self.moments[0]
            last = moment is self.moments[-1]
            track = self.window(None if first else moment.start, None if last else moment.end)
            out += [
                "<g",
                track,
                f'><text class="gg-phase" x="{n(MARGIN)}" y="{n(y + 24)}">{escaped(moment.phase)}</text>',
            ]
            for k, line in enumerate(lines):
                place = f'x="{n(MARGIN)}" y="{n(y + 24 + 25 + k * _LINE)}"'
                out.append(f'<text class="gg-told" {place}>{escaped(line)}</text>')
            out.append("</g>")
        return out

    def _key(self, right: float, y: float) -> str:
        """Return what tags mean, at the right, and a sign beside the phase that shows while hovering pauses."""
        strings = bundle.strings()[self.lang]
        wide = max([text_width(moment.phase) for moment in self.moments])
        x = n(MARGIN + wide + 14)
        out = [f'<path class="gg-pause gg-phase" d="M{x} {n(y - 8.5)}h2.5v9h-2.5zm5.5 0h2.5v9h-2.5z"/>']
        for style, sample, key in (("gg-share gg-up", "+", "keyShare"), ("gg-slope", "×", "keyPartial")):
            told = strings[f"step.{key}"]
            right -= text_width(told)
            out.append(f'<text class="gg-word" x="{n(right)}" y="{n(y)}">{escaped(told)}</text>')
            right -= 24
            out.append(f'<g class="{style}">{_pill(right, y - 4, 18, sample)}</g>')
            right -= 16
        return "".join(out)


def _sign(value: float) -> str:
    return "up" if value > 0 else "down" if value < 0 else "flat"


def _width(text: str) -> float:
    return 7.0 * len(text) + 9


def _pill(x: float, y: float, width: float, text: str) -> str:
    return (
        f'<rect x="{n(x)}" y="{n(y - TAG / 2)}" width="{n(width)}" height="{n(TAG)}" rx="9"/>'
        f'<text x="{n(x + width / 2)}" y="{n(y + 4)}">{text}</text>'
    )


def _ring(picture: Arrangement, i: int) -> str:
    card: Card = picture.cards[i]
    x, y = picture.x[i] - card.width / 2 - 3, picture.y[i] - card.height / 2 - 3
    box = f'x="{n(x)}" y="{n(y)}" width="{n(card.width + 6)}" height="{n(card.height + 6)}"'
    return f'<rect class="gg-glow" {box} rx="10.5"/>'


def _wrapped(text: str, limit: float) -> list[str]:
    """Return the lines of a sentence, broken at spaces where it is wider than `limit` pixels at the size of labels."""
    lines = [""]
    for word in text.split(" "):
        longer = f"{lines[-1]} {word}" if lines[-1] else word
        if lines[-1] and text_width(longer) > limit:
            lines.append(word)
        else:
            lines[-1] = longer
    return lines
