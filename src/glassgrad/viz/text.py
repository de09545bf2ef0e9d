"""Words and numbers on pictures: short forms for the screen, everything with all digits for tooltips.

Guarantees: whatever a label holds, the text that comes back may stand in XML once `escaped`.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable
from functools import cache
from typing import Final

from ..graph import Graph

__all__ = [
    "LABEL_LIMIT", "MISSING", "SYMBOLS", "clipped", "cut_short", "derivative", "escaped", "lacks_grads", "name",
    "number", "one_line", "short_name", "shortened", "text_width", "title", "tooltip", "visible",
]  # fmt: skip

# An asterisk sits too high to stand alone, a hyphen is too short to read as minus.
SYMBOLS: Final = {"*": "×", "-": "−", "/": "÷"}
MISSING: Final = "grad — : not computed, call backward()"  # for the legend
LABEL_LIMIT: Final = 150.0  # widest label on a card, in pixels; the tooltip has all of it
_TEXT_LIMIT: Final = 2000  # characters of a label or a scope in a tooltip


def number(value: float | None, digits: int = 4) -> str:
    """Return a number as pictures show it, rounded to significant digits; an em dash for one nobody computed."""
    return "—" if value is None else f"{value + 0.0:.{digits}g}"  # + 0.0: minus zero is for the tooltip


def name(graph: Graph, i: int) -> str:
    """Return what to call node `i` in a sentence: its label, or `n` and its id."""
    return graph.labels[i] or f"n{i}"


def title(graph: Graph) -> str:
    """Return what the picture of a graph is called."""
    roots = [name(graph, root) for root in dict.fromkeys(graph.roots)]
    return "Graph of " + ", ".join([shortened(root, 300) for root in roots[:4]]) + (" …" if len(roots) > 4 else "")


def lacks_grads(graph: Graph) -> bool:
    """Return whether a gradient that is wanted was not computed, so that "—" needs an explanation."""
    return any(grad is None and w for grad, w in zip(graph.grads, graph.requires_grad, strict=True))


# Whatever XML 1.0 forbids or renderers drop without a trace: control characters, lone surrogates, U+FFFE, U+FFFF.
_INVISIBLE: Final = re.compile("[^\t\n -~\xa0-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def visible(text: str) -> str:
    """Return text in which every character may stand in XML; control characters become their visible pictures."""
    return _INVISIBLE.sub(lambda found: chr(0x2400 + ord(found[0])) if found[0] < " " else "\ufffd", text)


def one_line(text: str) -> str:
    """Return text on one line, without control characters and without what would turn its surroundings around."""
    return "".join([" " if c.isspace() else c for c in visible(text) if c not in _BIDI])


def shortened(text: str, limit: float) -> str:
    """Return text on one line and at most about `limit` pixels wide at the size of labels, cut with an ellipsis."""
    # Longer than this cannot fit; without the cut a label of a million characters would be measured in full.
    cut = text[: int(limit)]
    line = one_line(cut)
    if len(cut) == len(text) and text_width(line) <= limit:
        return line
    return cut_short(line, limit - text_width("…"), _advance)


def cut_short(line: str, room: float, width_of: Callable[[str], float]) -> str:
    """Return what of a line fits into `room`, each character being `width_of` it wide, and an ellipsis."""
    kept = 0
    for i, c in enumerate(line):
        room -= width_of(c)
        if room < 0:
            break
        kept = i + 1
    while 0 < kept < len(line) and (not width_of(line[kept]) or line[kept - 1] == "\u200d"):
        kept -= 1  # never between a letter and its accents, nor inside a joined emoji
    return line[:kept].rstrip() + "…"


# Direction overrides could turn around what stands next to a label; the characters of a label still shape themselves.
_BIDI: Final = frozenset("\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069\u200e\u200f\u061c")
_NARROW: Final = frozenset(" !'(),.:;I[]`fijlrt{|}/\\-\"")
_BROAD: Final = frozenset("mwMW@%&QOGD")


@cache
def _advance(c: str) -> float:
    """Return a character's width in pixels at the size of labels: a little more than common system fonts need."""
    if unicodedata.category(c) in ("Mn", "Me", "Cf"):
        return 0.0
    if unicodedata.east_asian_width(c) in ("W", "F"):
        return 16.0 if ord(c) > 0x1F000 else 13.0
    return 4.4 if c in _NARROW else 11.0 if c in _BROAD else 8.4 if c.isupper() or ord(c) > 0x2000 else 7.4


def text_width(text: str) -> float:
    """Return about how wide a line is, in pixels at the size of labels."""
    return sum(map(_advance, text))


def escaped(text: str) -> str:
    """Return text for XML content and attributes."""
    return visible(text).replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;").replace('"', "&quot;")


def clipped(text: str) -> str:
    """Return a label or a scope for a tooltip: whole, or its beginning and how long it is."""
    return text if len(text) <= _TEXT_LIMIT else f"{text[:_TEXT_LIMIT]}… ({len(text)} characters)"


def tooltip(graph: Graph, i: int) -> str:
    """Return everything known about node `i`, with all digits, a line each."""
    label = clipped(graph.labels[i])
    what = {"leaf": "leaf" if graph.requires_grad[i] else "constant"}.get(graph.ops[i], graph.ops[i])
    symbol = f" ({graph.symbols[i]})" if graph.symbols[i] not in ("", what) else ""
    # Isolates keep right-to-left labels from reordering the rest of the line.
    lines = [f"\u2068{label}\u2069: {what}{symbol}" if label else f"n{i}: {what}{symbol}", f"data {graph.values[i]!r}"]
    if graph.requires_grad[i]:
        grad = graph.grads[i]
        lines.append("grad not computed: call backward()" if grad is None else f"grad {grad!r}")
    else:
        lines.append("no gradient wanted")
    for operand, partial in list(zip(graph.operands[i], graph.partials[i], strict=True))[:24]:
        lines += filter(None, [derivative(graph, operand, i, partial)])
    if len(graph.operands[i]) > 24:
        lines.append(f"… {len(graph.operands[i])} operands in all")
    if graph.scopes[i]:
        lines.append(f"in {clipped(graph.scopes[i])}")
    return "\n".join(lines)


def derivative(graph: Graph, operand: int, i: int, partial: float | None) -> str:
    """Return the local derivative of node `i` by an operand as a formula; nothing where nobody wants it: a constant."""
    slope = "in its closure" if graph.ops[i] == "custom" else repr(partial)
    return "" if slope == "None" else f"∂{short_name(graph, i)}/∂{short_name(graph, operand)} = {slope}"


def short_name(graph: Graph, i: int) -> str:
    """Return what to call node `i` in a formula; isolates keep a right-to-left label from reordering the rest."""
    text = name(graph, i)
    return f"\u2068{shortened(text, LABEL_LIMIT)}\u2069" if graph.labels[i] else text
