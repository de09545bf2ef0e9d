"""The graph that a viewer draws: a snapshot of what it was given, or the reason why that cannot be drawn.

Guarantees: what is no graph, and what is too large to look at, is refused at once, with the ways out, before anything
of its size is made.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Protocol

from ..engine import Value
from ..errors import GlassgradError, OperandError, shown
from ..graph import Graph, count_below

__all__ = ["Drawable", "DrawingError", "snapshot"]


class DrawingError(GlassgradError, RuntimeError):
    """A picture cannot be made: too large to look at, or in a format nothing installed here can write."""


class Drawable(Protocol):
    """What has a graph of its own, such as the program of a compiled function."""

    def to_graph(self) -> Graph:
        """The graph."""


def snapshot(root: Value | Iterable[Value] | Graph | Drawable, max_nodes: int, who: str) -> Graph:
    """Return the graph of a Value, several Values, a Graph or what has one, for the function called `who`.

    Raises:
        OperandError: it is none of these.
        DrawingError: it has more than `max_nodes` nodes, or `max_nodes` is no limit.
    """
    if isinstance(max_nodes, bool) or not isinstance(max_nodes, int) or max_nodes < 1:
        raise DrawingError(f"max_nodes must be a whole number, at least 1, got {max_nodes!r:.60}")
    if isinstance(root, Graph):
        if len(root) <= max_nodes:
            return root
        size = len(root)
    elif (graph := _own_graph(root)) is not None:
        if len(graph) <= max_nodes:
            return graph
        raise DrawingError(
            f"this program has {len(graph):,} instructions and blocks; {who}() draws up to {max_nodes:,}, because "
            "larger pictures cannot be read.\n"
            f"  draw it anyway:   {who}(max_nodes=...)\n"
            "  read it:          print(program)"
        )
    else:
        roots = [root] if isinstance(root, Value) else list(root) if isinstance(root, Iterable) else []
        odd = next((i for i, value in enumerate(roots) if not isinstance(value, Value)), None)
        if odd is not None:
            raise OperandError(
                f"{who}() draws Values, and item {odd} of the {type(root).__name__} is {shown(roots[odd])}: "
                "leave it out, or make a Value of it"
            )
        if not roots:
            raise OperandError(
                f"{who}() draws a Value, several Values or a Graph, got {type(root).__name__}: "
                f"write {who}(loss) or {who}([a, b])"
            )
        # Ten times the limit is where counting stops: enough to say how far off it is, in no time.
        size = count_below(roots, 10 * max_nodes)
        if size <= max_nodes:
            return Graph.of(*roots)
    many = f"{size:,}" if size <= 10 * max_nodes else f"more than {10 * max_nodes:,}"
    raise DrawingError(
        f"this graph has {many} Values; {who}() draws up to {max_nodes:,}, because larger pictures cannot be read.\n"
        f"  draw a part:      {who}(value) with a Value nearer to the leaves, one sample instead of a batch\n"
        f"  draw it anyway:   {who}(root, max_nodes=...)\n"
        "  look at numbers:  print(root), Graph.of(root).to_json()"
    )


def _own_graph(root: object) -> Graph | None:
    """The graph that an object has, if it has one."""
    to_graph = None if isinstance(root, type) else getattr(root, "to_graph", None)
    graph = to_graph() if callable(to_graph) else None
    return graph if isinstance(graph, Graph) else None
