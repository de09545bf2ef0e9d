"""animate: forward and backward as a moving picture, an SVG that plays wherever pictures are shown, or a GIF.

Guarantees: the SVG needs no script and nothing from outside, is the same text in every process, and is the finished
still picture where motion is not wanted or not possible; a file appears whole or not at all; a graph with too many
steps to follow is refused with the ways out.
"""

from __future__ import annotations

import io
import os
import re
from collections import Counter
from functools import cached_property
from math import isfinite
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from ..engine import Value
from ..errors import OperandError, shown
from ..files import can_replace, write_whole
from ..graph import Graph, count_below
from .snapshot import DrawingError

if TYPE_CHECKING:
    from PIL.Image import Image as Bitmap

    from .film import Film
    from .layout import Rankdir
    from .theme import Theme

__all__ = ["Animation", "animate"]

MAX_STEPS: Final = 150
_FRAME: Final = 0.1  # seconds between the pictures of a GIF while something moves
_FRAMES: Final = 300  # more would take minutes: then there are fewer while something moves
_COLOURS: Final = 240  # and one for "as before", which most of a frame is
_CODE: Final = re.compile("#([0-9a-f]{6}|[0-9a-f]{3})\\b")
_PIXELS: Final = 6_000_000  # of a frame


class Animation:
    """What `animate` returns: a notebook shows it, `save` writes it, `svg` is its text.

    Attributes:
        steps: how many steps it shows.
        seconds: how long it takes.
        path: the file that `animate` wrote, or None.
    """

    path: str | None = None

    def __init__(self, graph: Graph, film: Film, theme: Theme) -> None:
        self.graph, self._film, self._theme = graph, film, theme
        self.steps, self.seconds = film.steps.total, film.seconds

    def __repr__(self) -> str:
        root = self.graph.labels[self._film.steps.root] or f"n{self._film.steps.root}"
        return f"Animation({root[:40]!r}: {self.steps} steps, {self.seconds:.0f} s)"

    def _repr_svg_(self) -> str:
        return self.svg

    @cached_property
    def svg(self) -> str:
        """The animated SVG."""
        from .motion import moving

        parts, width, height = self._film.content
        body, rules = moving(parts, self.seconds, loop=self._film.loop)
        return self._whole(body, width, height, self._theme, rules)

    def still(self, time: float | None = None) -> str:
        """Return the picture at a moment, in seconds, as an SVG that does not move; the finished one without `time`."""
        from .motion import still

        parts, width, height = self._film.content
        return self._whole(still(parts, time), width, height, self._theme, ".gg-pause{opacity:0}\n")

    def save(self, path: str | os.PathLike[str], *, scale: float = 2.0) -> str:
        """Write the animation and return the path.

        Arguments:
            path: ends in `.svg`, or in `.gif`, which needs `pip install 'glassgrad[gif]'`. Missing folders are made.
            scale: pixels of a GIF for each of the SVG: 2 is sharp on a slide and on fine screens.

        Raises:
            DrawingError: another ending, or the file cannot be written; what was there is as it was.
        """
        target = _target(path)
        data = self.svg.encode() if target.suffix.lower() == ".svg" else self._gif(scale)
        try:
            target.parent.mkdir(parents=True, exist_ok=True)
            write_whole(target, data)
        except OSError as error:
            raise DrawingError(f"cannot write {os.fspath(path)!r}: {error.strerror or error}") from None
        return os.fspath(path)

    def _whole(self, body: str, width: float, height: float, theme: Theme, rules: str) -> str:
        from .shapes import n
        from .text import escaped, title
        from .theme import style

        w, h = n(width), n(height)
        told = f"An animation of {self.steps} steps: values appear forward, then gradients backward. "
        told += self._film.moments[-1].told
        return (
            f'<svg xmlns="http://www.w3.org/2000/svg" class="glassgrad" role="img" width="{w}" height="{h}" '
            f'viewBox="0 0 {w} {h}">\n<title>{escaped(title(self.graph))}</title><desc>{escaped(told)}</desc>\n'
            f"<style>{style(theme, motion=True)}{rules}</style>\n{body}</svg>\n"
        )

    # GIF -----------------------------------------------------------------------------------------------------------

    def _times(self) -> list[tuple[float, float]]:
        """Return (moment, seconds it is shown) for every frame: many while something moves, one while nothing does."""
        fade = self._film.fade
        spans = [(m.start, max(m.arrival, m.start) + fade, m.end) for m in self._film.moments]
        moving = sum([settled - start for start, settled, _ in spans])
        gap = max(_FRAME, moving / max(_FRAMES - len(spans), 1))
        found = []
        for start, settled, end in spans:
            count = max(round((settled - start) / gap), 1)
            step = (settled - start) / count
            found += [(start + k * step, step) for k in range(count)]
            found.append((settled, end - settled))
        return found

    def _gif(self, scale: float) -> bytes:
        if isinstance(scale, bool) or not isinstance(scale, int | float) or not (isfinite(scale) and scale > 0):
            raise DrawingError(f"scale must be a positive number, got {scale!r:.60}")
        try:
            import resvg_py
            from PIL import Image
        except ImportError:
            raise DrawingError("a GIF needs pip install 'glassgrad[gif]'; an .svg needs nothing") from None
        from .motion import still
        from .theme import style

        parts, width, height = self._film.content
        if width * height * scale * scale > _PIXELS:
            raise DrawingError(
                f"a GIF of {width * scale:.0f} × {height * scale:.0f} pixels is too large: "
                f"save it with scale={(_PIXELS / (width * height)) ** 0.5:.1f}, or as .svg"
            )
        theme: Theme = "light" if self._theme == "auto" else self._theme
        page = "#10151f" if theme == "dark" else "#f8fafc"  # a GIF has no half-transparent corners

        def drawn(time: float) -> Bitmap:
            text = self._whole(still(parts, time), width, height, theme, ".gg-pause{opacity:0}")
            data = resvg_py.svg_to_bytes(svg_string=text, zoom=scale, background=page)
            return Image.open(io.BytesIO(bytes(data))).convert("RGB")

        times = self._times()
        samples = [drawn(time) for time, _ in (times[-1], times[len(times) // 2], times[-2])]
        palette = _palette(samples, style(theme, motion=True))
        frames = [drawn(time).quantize(palette=palette, dither=Image.Dither.NONE) for time, _ in times]
        out = io.BytesIO()
        # Hundredths of a second, which GIF counts in, add up to the whole length.
        ends = [round(100 * (time + seconds)) for time, seconds in times]
        lasting = [10 * (end - start) for start, end in zip([0, *ends], ends, strict=False)]
        repeat = {"loop": 0} if self._film.loop else {}
        frames[0].save(out, "GIF", save_all=True, append_images=frames[1:], duration=lasting, optimize=False, **repeat)
        return out.getvalue()


def _palette(frames: list[Bitmap], sheet: str) -> Bitmap:
    """Return an image with the colours of the style sheet, exactly, and the most frequent ones between them."""
    from PIL import Image

    counts: Counter[tuple[int, ...]] = Counter()
    for frame in frames:
        found: Any = frame.getcolors(frame.width * frame.height)
        for count, colour in found:
            counts[colour] += count
    codes = [code if len(code) == 6 else "".join([2 * c for c in code]) for code in _CODE.findall(sheet)]
    flat = {tuple(bytes.fromhex(code)) for code in codes}
    common: list[tuple[int, ...]] = []
    for colour in sorted(counts, key=lambda colour: (colour not in flat, -counts[colour], colour)):
        # Pillow looks colours up in cells of 4 × 4 × 4: neighbours would take each other's place.
        near = any(max(map(abs, map(int.__sub__, colour, old))) < 6 for old in common)
        if len(common) < _COLOURS and (colour in flat or not near):
            common.append(colour)
    image = Image.new("P", (1, 1))
    image.putpalette([channel for colour in common for channel in colour])
    return image


def animate(
    root: Value | Graph,
    path: str | os.PathLike[str] | None = None,
    *,
    lang: str = "en",
    rankdir: Rankdir = "LR",
    speed: float = 1.0,
    loop: bool = True,
    theme: Theme = "auto",
    scale: float = 2.0,
    max_steps: int = MAX_STEPS,
) -> Animation:
    """Return forward and backward below `root` as a moving picture; a notebook shows it, with a path it is written.

    Values appear one after the other; then the gradient of the root becomes 1, and contributions run back along the
    edges, each with a sentence below. No gradient of a Value is changed or needed; only operations written by hand and
    functions with a custom gradient, whose derivatives nobody knows, are taken as `backward()` left them.

    Arguments:
        root: a Value, or a `Graph` with one root.
        path: a file to write: `.svg` plays in browsers, on GitHub, in notebooks and in `<img>`; `.gif` plays
            everywhere and needs `pip install 'glassgrad[gif]'`.
        lang: `'en'` or `'zh'`.
        rankdir: `'LR'` from left to right, `'TB'` from top to bottom.
        speed: 2 is twice as fast.
        loop: begin again after the last step, else stop there.
        theme: `'auto'` follows the reader's light or dark mode; `'light'` and `'dark'` are fixed, as a GIF always is.
        scale: pixels of a GIF for each of the SVG.
        max_steps: refuse more steps with a DrawingError.

    Example:
        >>> from glassgrad import Value, animate
        >>> a, b = Value(2, 'a'), Value(-3, 'b')
        >>> animation = animate(a * b)
        >>> animation.steps, animation.svg[:4]
        (4, '<svg')
    """
    if lang not in ("en", "zh"):
        raise DrawingError(f"lang must be 'en' or 'zh', got {lang!r:.60}")
    if rankdir not in ("LR", "TB"):
        raise DrawingError(f"rankdir must be 'LR' (left to right) or 'TB' (top to bottom), got {rankdir!r:.60}")
    if theme not in ("auto", "light", "dark"):
        raise DrawingError(f"theme must be 'auto', 'light' or 'dark', got {theme!r:.60}")
    if isinstance(speed, bool) or not isinstance(speed, int | float) or not 0.05 <= speed <= 20:
        raise DrawingError(f"speed must be a number from 0.05 to 20, got {speed!r:.60}")
    if isinstance(max_steps, bool) or not isinstance(max_steps, int) or max_steps < 1:
        raise DrawingError(f"max_steps must be a whole number, at least 1, got {max_steps!r:.60}")
    if path is not None:
        _target(path)
    from .film import Film
    from .steps import Steps

    graph = _snapshot(root, max_steps)
    steps = Steps.of(graph)
    if steps.total > max_steps:
        raise _too_many(f"{steps.total:,}", max_steps)
    if not graph.requires_grad[steps.root]:
        raise DrawingError(
            "there is no way back to show: nothing below the root requires a gradient. "
            "Make its leaves Values, outside of no_grad(); draw_dot(root) draws the values"
        )
    film = Film(graph, steps, lang=lang, rankdir=rankdir, speed=speed, loop=bool(loop))
    if any(state.how == "unknown" for state in film.states):
        raise DrawingError(
            "an operation written by hand, a checkpoint or a function with a custom gradient keeps its local "
            "derivatives to itself: call backward() first, and its gradients are taken from there"
        )
    animation = Animation(graph, film, theme)
    if path is not None:
        animation.path = animation.save(path, scale=scale)
    return animation


def _snapshot(root: Value | Graph, max_steps: int) -> Graph:
    if isinstance(root, Graph):
        if len(set(root.roots)) > 1:
            raise DrawingError(
                f"animate() shows one root, and this Graph has {len(set(root.roots))}: use Graph.of(loss)"
            )
        return root
    if not isinstance(root, Value):
        raise OperandError(f"animate() shows a Value or a Graph, got {shown(root)}: write animate(loss)")
    # Operations are steps and most leaves are reached by one: with ten times as many Values nobody needs the number.
    most = 10 * max_steps
    if count_below([root], most) > most:
        raise _too_many(f"more than {most:,}", max_steps)
    return Graph.of(root)


def _too_many(many: str, max_steps: int) -> DrawingError:
    return DrawingError(
        f"this graph takes {many} steps; animate() shows up to {max_steps:,}, because nobody follows more.\n"
        "  show a part:      animate(value) with a Value nearer to the leaves, one neuron instead of a network\n"
        "  merge steps:      one dot(ws, xs) instead of products and sums; glassgrad.sum(values) instead of +\n"
        "  a still picture:  draw_dot(root)\n"
        "  show it anyway:   animate(root, max_steps=...)"
    )


def _target(path: str | os.PathLike[str]) -> Path:
    """Return the path to write to; DrawingError where nothing can be written."""
    try:
        name = os.fspath(path)
    except TypeError:
        raise OperandError(f"animate() writes to a path, got {shown(path)}: 'backprop.svg'") from None
    target = Path(os.fsdecode(name))
    if target.suffix.lower() not in (".svg", ".gif"):
        raise DrawingError(f"animate() writes .svg and .gif, got {target.name!r:.60}: name the file 'backprop.svg'")
    if not can_replace(target):
        raise DrawingError(f"cannot write {os.fspath(path)!r}: it is a folder, pipe or device, not a file")
    return target
