"""The page: one HTML file that draws, steps, explains and edits a graph, without asking anything of a network.

Guarantees: the file is complete (script, style, words and numbers), opens from a disk, in a sandboxed frame and in an
exported notebook, and a policy inside it forbids every request; text from labels stays text; the same graph gives the
same bytes in every process; a file appears whole or not at all.

Pipeline: Graph → JSON → **page**, whose script (`web/`) computes and lays out by itself.
"""

from __future__ import annotations

import json
import os
import sys
import warnings
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Final

from ..engine import Value
from ..errors import OperandError, level_of_caller, shown
from ..files import write_whole
from ..graph import Graph
from .snapshot import Drawable, snapshot
from .text import escaped, title

__all__ = ["Page", "show", "to_html"]

MAX_NODES: Final = 200_000  # 12 MB of JSON, which a browser reads in a second or two


class Page:
    """The page of a graph: a notebook shows it, `str()` is its HTML, `save(path)` writes it, `show()` opens it.

    Arguments:
        root: a Value, several Values, or a `Graph`. Gradients in the page are those of the first one.
        training: the record that `watch` made, for a slider along the training.
        height: of the frame in a notebook, in pixels.
        max_nodes: refuse larger graphs with a DrawingError.

    Raises OperandError for what is no graph, and for a height that is none.

    Example:
        >>> from glassgrad import Value
        >>> from glassgrad.viz.page import Page
        >>> page = Page(Value(2.0, 'a') * Value(3.0, 'b'))
        >>> str(page).startswith('<!doctype html>')
        True
    """

    def __init__(
        self,
        root: Value | Iterable[Value] | Graph | Drawable,
        *,
        training: Mapping[str, Any] | None = None,
        height: int = 560,
        max_nodes: int = MAX_NODES,
    ) -> None:
        self.graph = snapshot(root, max_nodes, "show")
        self.training = training
        if isinstance(height, bool) or not isinstance(height, int) or not 100 <= height <= 10_000:
            raise OperandError(f"Page: height must be a whole number of pixels from 100 to 10000, got {shown(height)}")
        self.height = height

    def __str__(self) -> str:
        """The HTML of the whole page."""
        return _page(self.graph, self.training)

    def __repr__(self) -> str:
        return f"Page({title(self.graph)}, {len(self.graph)} value{'' if len(self.graph) == 1 else 's'})"

    def save(self, path: str | os.PathLike[str]) -> str:
        """Write the page to a file, whole or not at all, and return its path."""
        target = Path(path)
        target.parent.mkdir(parents=True, exist_ok=True)
        write_whole(target, str(self).encode())
        return os.fspath(target)

    def show(self) -> str:
        """Open the page in the browser, from a temporary file, and return the file's path.

        Where no browser opens, a warning says where the file is.
        """
        import tempfile
        import webbrowser

        handle, path = tempfile.mkstemp(prefix="glassgrad-", suffix=".html")
        os.close(handle)
        self.save(path)
        if not webbrowser.open(Path(path).as_uri()):
            warnings.warn(f"no browser opened; open this file in one: {path}", stacklevel=level_of_caller())
        return path

    def _repr_html_(self) -> str:
        """The page in a frame of its own, cut off from the notebook around it: it runs without a kernel too."""
        # Scripts may run and a picture be saved; the frame's origin is nobody's, so it can reach nothing else.
        return (
            f'<iframe srcdoc="{_attribute(str(self))}" sandbox="allow-scripts allow-downloads" '
            f'title="{escaped(title(self.graph))}" loading="lazy" '
            f'style="width:100%;height:{self.height:d}px;border:1px solid #8884;border-radius:10px"></iframe>'
        )


def show(
    root: Value | Iterable[Value] | Graph | Drawable,
    *,
    training: Mapping[str, Any] | None = None,
    max_nodes: int = MAX_NODES,
) -> Page:
    """Return the page of everything below `root`; outside of a notebook it also opens in the browser.

    It may be a program too: `show(loss.program)` is `loss.program.show()`.

    Raises DrawingError for a graph of more than `max_nodes` nodes, OperandError for what is no graph.
    """
    page = Page(root, training=training, max_nodes=max_nodes)
    if not _in_notebook():
        page.show()
    return page


def to_html(
    root: Value | Iterable[Value] | Graph | Drawable,
    path: str | os.PathLike[str] | None = None,
    *,
    training: Mapping[str, Any] | None = None,
    max_nodes: int = MAX_NODES,
) -> str:
    """Return the HTML of the page of everything below `root`, or write it to `path` and return that.

    Example:
        >>> from glassgrad import Value, to_html
        >>> '<script type="application/json"' in to_html(Value(1.0) + 2)
        True
    """
    page = Page(root, training=training, max_nodes=max_nodes)
    return str(page) if path is None else page.save(path)


def _page(graph: Graph, training: Mapping[str, Any] | None) -> str:
    from . import bundle  # its modules take longer to import than `import glassgrad` may

    parts = {
        "title": escaped(title(graph)),
        "style": bundle.style(),
        "graph": graph.to_json().strip(),
        "training": "" if training is None else _json(training),
        "strings": _json(bundle.strings()),
        "script": bundle.packed(),
    }
    # Text and names in turn: what is put in is not searched for names again.
    return "".join([parts.get(piece[1:-1], piece) if piece.startswith("{") else piece for piece in bundle.template()])


def _json(data: object) -> str:
    """Return JSON that may stand in a <script> element."""
    return json.dumps(data, ensure_ascii=False, separators=(",", ":"), allow_nan=False).replace("<", "\\u003c")


def _attribute(text: str) -> str:
    """Return text for a quoted attribute: with fewer characters escaped than `escaped` would, the frame is smaller."""
    return text.replace("&", "&amp;").replace('"', "&quot;")


def _in_notebook() -> bool:
    """Whether the last line of a cell is shown as a page: an IPython shell with a front end that is no terminal."""
    ipython = sys.modules.get("IPython")
    shell = ipython.get_ipython() if ipython is not None else None
    return (shell is not None and type(shell).__name__ != "TerminalInteractiveShell") or "marimo" in sys.modules
