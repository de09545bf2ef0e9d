"""The viewer's own files from `web/`, put together into one script and one style sheet.

The files are ES modules, so an editor resolves their imports; but a page opened from a disk, or inside a notebook's
`srcdoc` frame, cannot import a file beside it. So they stand one after the other in a single module: the lines that
import from each other and the word `export` are dropped, with comments and indentation. No other tool is involved.

One module is no file: `rules`, which `javascript` translates from rules.py.

House rules of the files, which a test checks: a top-level name occurs in one module only; an import is one line; a
template literal ends on the line where it begins.
"""

from __future__ import annotations

import base64
import gzip
import json
import re
from functools import cache
from importlib.resources import files
from typing import Any, Final

from . import javascript

__all__ = ["MODULES", "exports", "module", "packed", "script", "strings", "style", "template"]

MODULES: Final = (
    *("libm", "rules", "engine"),  # calculus
    *("order", "layout"),
    *("paths", "format", "steps"),  # the chain rule, and how it is written
    *("groups", "scene", "numbers"),  # what is in sight, and with which numbers
    *("picture", "canvas", "camera", "panel", "training"),
    *("state", "sides", "stage", "deeds", "search", "exporting", "app"),  # what holds the state and listens
)
"""The modules in the order they are concatenated: each imports only from those before it."""

_IMPORT: Final = re.compile(r'^import \{[^}]*\} from "\./\w+\.js";$', re.MULTILINE)
_EXPORT: Final = re.compile(r"^export (?=(?:async )?function\b|const\b|let\b)", re.MULTILINE)
_EXPORTED: Final = re.compile(r"^export (?:async )?(?:function\*?|const|let) (\w+)", re.MULTILINE)
_BLOCK: Final = re.compile(r"^[ ]*/\*\*?.*?\*/\n", re.MULTILINE | re.DOTALL)
_LINE: Final = re.compile(r"^[ ]*//.*\n", re.MULTILINE)
_INDENT: Final = re.compile(r"^[ ]+|\n(?=\n)", re.MULTILINE)


def source(name: str) -> str:
    """Return the text of one of the viewer's files as it stands in `web/`."""
    return files(__package__).joinpath("web", name).read_text(encoding="utf-8")


def module(name: str) -> str:
    """Return the text of one of the modules: a file of `web/`, or, for `rules`, the translation of rules.py."""
    return javascript.rules() if name == "rules" else source(f"{name}.js")


@cache
def script() -> str:
    """Return the viewer's whole script: one ES module that imports nothing."""
    parts = []
    for name in MODULES:
        text = _EXPORT.sub("", _IMPORT.sub("", module(name)))
        parts.append(_INDENT.sub("", _LINE.sub("", _BLOCK.sub("", text))).strip())
    return "\n".join(parts) + "\n"


@cache
def packed() -> str:
    """Return the script as text in Base64 of its gzip, a third of its size."""
    return base64.b64encode(gzip.compress(script().encode(), mtime=0)).decode()


def exports() -> list[str]:
    """Return the names that the modules export, for tests that call them one by one."""
    return [exported for name in MODULES for exported in _EXPORTED.findall(module(name))]


@cache
def style() -> str:
    """Return the viewer's style sheet without comments and indentation."""
    text = re.sub(r"/\*.*?\*/", "", source("viewer.css"), flags=re.DOTALL)
    return _INDENT.sub("", text).strip() + "\n"


@cache
def strings() -> dict[str, dict[str, Any]]:
    """Return what the page says, by language."""
    found: dict[str, dict[str, Any]] = json.loads(source("strings.json"))
    return found


@cache
def template() -> list[str]:
    """Return the page's HTML in pieces, text and the names in braces that stand for what is put in."""
    return re.split(r"(\{[a-z]+\})", source("page.html"))
