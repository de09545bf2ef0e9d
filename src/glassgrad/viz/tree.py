"""tree: everything below a Value as lines for a terminal, the result on top; or as boxes with edges between them.

                data   grad
    n2 ×          −6      1
    ├─ −3 ─ a      2     −3
    ╰─ 2 ── b     −3      2

Guarantees: every Value is drawn once, and referred to where it is used again; a branch has the local derivative; no
line is wider than the terminal, whatever labels say, and the last lines say what was left out; where standard output
has no Unicode the drawing is ASCII; colours only on a terminal. Nothing recurses: a chain of 20,000 goes on below where
it would stand too far to the right.

What is drawn is settled when `tree` is called, how it looks when it is printed.
"""

from __future__ import annotations

from typing import Final

from ..engine import Value
from ..errors import OperandError, shown
from ..graph import Graph, count_below
from .snapshot import DrawingError

__all__ = ["Tree", "tree"]

MAX_LINES: Final = 200
NARROWEST: Final = 30  # columns: two numbers with all they can need, and a few letters
LIMIT: Final = 40  # Values in boxes: what is larger cannot be read at the width of a terminal


def tree(
    root: Value | Graph, *, boxes: bool = False, max_lines: int | None = MAX_LINES, width: int | None = None
) -> Tree:
    """Return a drawing of everything below `root` for the terminal: `print(loss.tree())`.

    Every line has a Value's name and operation, its number and its gradient; on the branch that leads to it stands the
    local derivative of the line above by it. A Value that is used again is referred to with an arrow up, one that would
    stand too far to the right with an arrow down.

    Arguments:
        root: a Value, or a `Graph`.
        boxes: draw boxes with edges between them instead, results below, for graphs of up to 40 Values.
        max_lines: where to stop; None for never.
        width: in columns; by default the terminal's.

    Raises:
        DrawingError: too large, or too wide, for boxes; an option makes no sense.
        OperandError: `root` is neither a Value nor a Graph.

    Example:
        >>> from glassgrad import Value, tree
        >>> a, b = Value(2, 'a'), Value(-3, 'b')
        >>> print(tree(a * b))
                    data   grad
        n2 ×          −6      —
        ├─ −3 ─ a      2      —
        ╰─ 2 ── b     −3      —
        grad —: not computed, call backward()
    """
    if not isinstance(root, Value | Graph):
        raise OperandError(f"tree() draws a Value or a Graph, not {shown(root)}: write tree(loss)")
    for name, given, least in (("max_lines", max_lines, 1), ("width", width, NARROWEST)):
        if given is not None and (isinstance(given, bool) or not isinstance(given, int) or given < least):
            raise DrawingError(f"{name} must be a whole number, at least {least}, got {given!r:.60}")
    if not boxes:
        return Tree(root if isinstance(root, Graph) else Graph.of(root), max_lines, width)
    size = len(root) if isinstance(root, Graph) else count_below([root], 10 * LIMIT)
    if size > LIMIT:
        many = f"{size:,}" if size <= 10 * LIMIT else f"more than {10 * LIMIT:,}"
        raise DrawingError(
            f"this graph has {many} Values; boxes are for up to {LIMIT}, because larger drawings cannot be read.\n"
            "  draw a part:         value.tree(boxes=True) with a Value nearer to the leaves\n"
            "  draw it as a tree:   value.tree()\n"
            "  draw it as an image: draw_dot(value)"
        )
    from .boxes import draw
    from .terminal import cells, columns

    graph = root if isinstance(root, Graph) else Graph.of(root)
    room = columns() if width is None else width
    needed = max(map(cells, draw(graph)))
    if needed > room:
        raise DrawingError(
            f"this drawing is {needed} columns wide, and there are {room}: widen the terminal, "
            f"or write tree(boxes=True, width={needed}) for a pager that scrolls sideways, as in less -S"
        )
    return Tree(graph, None, None, boxes=True)


class Tree:
    """A drawing of `graph` for the terminal, made when it is printed: `str()` looks at standard output."""

    def __init__(self, graph: Graph, max_lines: int | None, width: int | None, *, boxes: bool = False) -> None:
        self.graph, self._max_lines, self._width, self._boxes = graph, max_lines, width, boxes

    def __str__(self) -> str:
        from .terminal import columns, has_unicode, plain, writable  # more than `import glassgrad` may take

        if self._boxes:
            from .boxes import draw

            text = "\n".join(draw(self.graph))
            return writable(text if has_unicode() else plain(text))
        from .branches import Branches, in_ascii

        put = str if has_unicode() else in_ascii
        return writable("\n".join(Branches(self.graph, self._width or columns(), self._max_lines).lines(put)))

    __repr__ = __str__
