"""What a terminal can show: its characters, its colours, its width; and text measured in its columns.

Guarantees: no text made here brings a control character to a terminal but our own colours; a line that is cut is never
wider than asked for, whatever its characters; what the terminal's encoding lacks is written in ASCII.
"""

from __future__ import annotations

import os
import re
import shutil
import sys
import unicodedata
from functools import cache
from typing import Final, TextIO

from .text import cut_short, one_line
from .tree import NARROWEST

__all__ = [
    "NARROWEST",
    "cells",
    "columns",
    "cut",
    "has_colour",
    "has_unicode",
    "one_line",
    "padded",
    "plain",
    "writable",
]

_ASCII: Final = str.maketrans(
    {
        "∂": "d", "·": "*", "×": "*", "÷": "/", "−": "-", "→": "->", "…": "...", "≤": "<=", "∞": "inf", "π": "pi",
        "Φ": "Phi", "φ": "phi", "≈": "~", "—": "-", "↑": "^", "↓": "v", "▼": "v", "●": "o", "’": "'",
        "│": "|", "─": "-", "├": "|", "└": "`",
        **dict.fromkeys("┌┐┘┴┬┤┼╭╮╯╰", "+"),
    }
)  # fmt: skip
_RAISED: Final = str.maketrans("⁻⁰¹²³⁴⁵⁶⁷⁸⁹", "-0123456789")
_LOWERED: Final = str.maketrans("₀₁₂₃₄₅₆₇₈₉", "0123456789")


def has_unicode(stream: TextIO | None = None) -> bool:
    """Return whether a stream, by default standard output, takes the characters of our drawings."""
    encoding = getattr(stream or sys.stdout, "encoding", None) or "utf-8"  # a StringIO takes anything
    try:
        "∂−→│├╭₁".encode(encoding)
    except (UnicodeEncodeError, LookupError):
        return False
    return True


def has_colour(stream: TextIO | None = None) -> bool:
    """Return whether to write colours: on a terminal, unless NO_COLOR is set; anywhere if FORCE_COLOR is."""
    if os.environ.get("NO_COLOR"):
        return False
    if os.environ.get("FORCE_COLOR"):
        return os.environ["FORCE_COLOR"] != "0"
    stream = stream or sys.stdout
    return bool(getattr(stream, "isatty", lambda: False)()) and os.environ.get("TERM") != "dumb"


def columns() -> int:
    """Return how many columns the terminal has: what COLUMNS says, else the system, else 80."""
    return max(shutil.get_terminal_size((80, 24)).columns, NARROWEST)


def plain(text: str) -> str:
    """Return our own text in ASCII; what else it holds stays as it is."""
    text = re.sub("[⁻⁰¹²³⁴⁵⁶⁷⁸⁹]+", lambda found: "**" + found[0].translate(_RAISED), text)
    return re.sub("[₀₁₂₃₄₅₆₇₈₉]+", lambda found: "_" + found[0].translate(_LOWERED), text).translate(_ASCII)


def writable(text: str, stream: TextIO | None = None) -> str:
    """Return text in which the stream's encoding has every character, with a question mark for those it lacks."""
    encoding = getattr(stream or sys.stdout, "encoding", None) or "utf-8"
    try:
        return text.encode(encoding, "replace").decode(encoding)
    except LookupError:
        return text.encode("ascii", "replace").decode("ascii")


@cache
def _cells(c: str) -> int:
    if unicodedata.category(c) in ("Mn", "Me", "Cf"):
        return 0
    return 2 if unicodedata.east_asian_width(c) in ("W", "F") else 1


def cells(text: str) -> int:
    """Return how many columns a line takes, colours not counted."""
    return sum(map(_cells, _COLOURS.sub("", text)))


_COLOURS: Final = re.compile("\x1b\\[[0-9;]*m")


def cut(text: str, width: int) -> str:
    """Return a line without colours cut to `width` columns, with an ellipsis where something is missing."""
    if len(text) <= width // 2 or cells(text) <= width:
        return text
    return cut_short(text, width - 1, _cells) if width > 0 else ""


def padded(text: str, width: int, *, right: bool = False) -> str:
    """Return a line filled up with spaces to `width` columns."""
    space = " " * max(width - cells(text), 0)
    return space + text if right else text + space
