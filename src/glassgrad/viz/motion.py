"""Pictures that move: SVG with CSS keyframes, and the same picture at any moment without them.

Guarantees: no script, no ids, and names of keyframes and classes that depend on the content, so that several pictures
can share a page. What does not play animations, or whose reader wants none, shows the still picture: keyframes only
override the attributes it is made of. Hovering pauses.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from hashlib import sha256
from typing import Final, Literal

__all__ = ["Part", "Track", "moving", "still"]

_PLACES: Final = 3  # decimals of a percentage: a millisecond of a minute is 0.002 %


@dataclass(frozen=True)
class Track:
    """An attribute over time, linear between its points and constant outside them.

    Arguments:
        name: an attribute that is a CSS property as well.
        points: (seconds, value), ascending.
        still: the value in the still picture.
        also: classes of the element, whose only `class` attribute the track writes.
    """

    name: Literal["opacity", "stroke-dashoffset"]
    points: tuple[tuple[float, float], ...]
    still: float
    also: str = ""

    def at(self, time: float) -> float:
        """Return the value at a moment."""
        before = self.points[0]
        for point in self.points:
            if point[0] > time:
                if time <= before[0]:
                    return before[1]
                return before[1] + (point[1] - before[1]) * (time - before[0]) / (point[0] - before[0])
            before = point
        return before[1]


Part = str | Track
"""Markup; a Track stands inside a tag, where its attributes belong."""


def still(parts: Iterable[Part], time: float | None = None) -> str:
    """Return the picture at a moment, else the still one, as markup that nothing moves in."""
    out = []
    for part in parts:
        if isinstance(part, str):
            out.append(part)
            continue
        value = _n(part.still if time is None else part.at(time))
        named = f' class="{part.also}"' if part.also else ""
        if part.name == "opacity" and value in ("0", "1"):  # a renderer makes a layer of what is not quite there
            out.append(named if value == "1" else f'{named} display="none"')
        else:
            out.append(f'{named} {part.name}="{value}"')
    return "".join(out)


def moving(parts: Sequence[Part], seconds: float, *, loop: bool) -> tuple[str, str]:
    """Return the markup of a picture that moves, and the style sheet it needs beside its own."""
    salt = sha256(f"{still(parts)}{[part for part in parts if isinstance(part, Track)]}{seconds}{loop}".encode())
    name = f"gg-{salt.hexdigest()[:8]}"
    numbers: dict[tuple[str, tuple[tuple[float, float], ...]], int] = {}
    out = []
    for part in parts:
        if isinstance(part, str):
            out.append(part)
        else:
            k = numbers.setdefault((part.name, part.points), len(numbers))
            classes = f"{part.also} {name}".strip()
            out.append(f' class="{classes}" style="animation-name:{name}-{k}" {part.name}="{_n(part.still)}"')
    many = "infinite" if loop else "1 forwards"
    rules = [f".{name}{{animation:{seconds:.2f}s linear {many}}}"]
    for (attribute, points), k in numbers.items():
        frames = "".join(
            [f"{_percent(t / seconds)}{{{attribute}:{_n(value)}}}" for t, value in _whole(points, seconds)]
        )
        rules.append(f"@keyframes {name}-{k}{{{frames}}}")
    rules += [
        f".glassgrad:hover .{name}{{animation-play-state:paused}}",
        ".gg-pause{opacity:0}",
        "@media (prefers-reduced-motion:no-preference){.glassgrad:hover .gg-pause{opacity:1}}",
        f"@media (prefers-reduced-motion:reduce){{.{name}{{animation:none}}}}",
        f"@media print{{.{name}{{animation:none}}}}",
    ]
    return "".join(out), "\n".join(rules) + "\n"


def _whole(points: tuple[tuple[float, float], ...], seconds: float) -> list[tuple[float, float]]:
    """Return the points from 0 to the end: without a keyframe there, browsers would take the still value."""
    found = [] if points[0][0] <= 0 else [(0.0, points[0][1])]
    found += points
    return found if points[-1][0] >= seconds else [*found, (seconds, points[-1][1])]


def _percent(share: float) -> str:
    return f"{100 * share:.{_PLACES}f}".rstrip("0").rstrip(".") + "%"


def _n(value: float) -> str:
    return f"{value:.2f}".rstrip("0").rstrip(".")
