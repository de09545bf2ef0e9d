"""The statements of the DOT text that `draw_dot` writes: a card per Value as an HTML-like table, an edge per use.

Guarantees: Graphviz accepts the statements whatever labels, symbols and scopes say, and shows them as they are.
"""

from __future__ import annotations

from ..graph import Graph
from .cards import NESTED, arrows, exponents, regions
from .text import LABEL_LIMIT, SYMBOLS, clipped, derivative, escaped, number, short_name, shortened, tooltip

__all__ = ["edges", "nodes"]


def nodes(graph: Graph) -> list[str]:
    """Return a statement per node, nested in a cluster per scope; `exponents` are left out."""
    members: dict[str, list[int]] = {"": []}
    left_out = exponents(graph)
    for i, region in enumerate(regions(graph)):
        if i in left_out:
            continue
        scope = path = "/".join(region.split("/")[:NESTED])
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
                f'{tabs}\tgraph [label=<{caption}> tooltip="{_quoted(clipped(scope))}" labeljust=l '
                'style="rounded,filled" color="#d9e0ea" fillcolor="#64748b0e" '
                'fontcolor="#556278" fontsize=9 margin=10]\n'
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
    sign = "#556278" if grad is None or not grad or grad != grad else "#1d5fc4" if grad > 0 else "#b8500c"
    caption = (
        f'<FONT COLOR="#0f172a"><B>{label}</B></FONT>'
        if label.strip()
        else '<FONT COLOR="#556278">data</FONT>'
        if wanted
        else ""
    )
    # Where there are two rows, the text of the first would stick to the rim above it.
    low = ' HEIGHT="21" VALIGN="BOTTOM"' if wanted else ""
    first = f'<TD ALIGN="LEFT"{low}>{caption}</TD>' if caption else ""
    # Graphviz sets bold words higher than others: a bold space lifts the number beside them. Without the FONT element
    # it would stand higher than plain words.
    space = "<B>&#160;</B>" if label.strip() else "&#160;" if wanted else ""
    rows = [f'{first}<TD ALIGN="RIGHT"{low}><FONT COLOR="#0f172a">{space}{number(graph.values[i])}</FONT></TD>']
    if wanted:
        rows.append(
            '<TD ALIGN="LEFT"><FONT COLOR="#556278">grad</FONT></TD>'
            f'<TD ALIGN="RIGHT"><FONT COLOR="{sign}">&#160;{number(grad)}</FONT></TD>'
        )
    if not leaf:
        symbol = SYMBOLS.get(graph.symbols[i]) or _html(shortened(graph.symbols[i] or graph.ops[i], 84)) or " "
        rows[0] = (
            f'<TD ROWSPAN="{len(rows)}" SIDES="R" BORDER="1" COLOR="{border}" CELLPADDING="6">'
            f'<FONT COLOR="{badge}"><B>{symbol}</B></FONT></TD>{rows[0]}'
        )
    table = "".join([f"<TR>{row}</TR>" for row in rows])
    return (
        f'n{i} [label=<<TABLE BORDER="{thick}" CELLBORDER="0" CELLSPACING="0" CELLPADDING="3" STYLE="ROUNDED" '
        f'COLOR="{border}" BGCOLOR="{fill}">{table}</TABLE>> tooltip="{_quoted(tooltip(graph, i))}"]'
    )


def edges(graph: Graph, partials: bool) -> list[str]:
    """Return a statement per use of an operand that has one."""
    lines = []
    for source, target, slope in arrows(graph, exponents(graph)):
        label = f' label=" {number(slope)} " fontcolor="#3b4a66"' if partials and slope is not None else ""
        tip = derivative(graph, source, target, slope) or f"{short_name(graph, source)} → {short_name(graph, target)}"
        lines.append(f'\tn{source} -> n{target} [tooltip="{_quoted(tip)}"{label}]\n')
    return lines


def _html(text: str) -> str:
    """Return text for an HTML-like label, in which backslash sequences have a meaning too."""
    return escaped(text).replace("\\", "&#92;&#92;")


def _quoted(text: str) -> str:
    """Return text for a tooltip, in which backslash sequences and XML entities have a meaning, the former twice."""
    return escaped(text).replace("\\", "\\\\\\\\").replace("\n", "&#10;")
