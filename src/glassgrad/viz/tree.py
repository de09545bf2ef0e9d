"""tree: everything below a Value as lines for a terminal, the result on top; or as boxes with edges between them.

    L ×              data   grad
    │                  −8      1
    ├─ −2 ─ n4 +        4     −2

Guarantees: every Value is drawn once, and referred to where it is used again; a branch has the local derivative; no
line is wider than the terminal, whatever labels say, and the last lines say what was left out; where standard output
has no Unicode the drawing is ASCII; colours only on a terminal. Nothing recurses: a chain of 20,000 goes on below where
it would stand too far to the right.

What is drawn is settled when `tree` is called, how it looks when it is printed.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from ..engine import Value
from ..errors import OperandError, shown
from ..graph import Graph, count_below
from .boxes import LIMIT, draw, numeral
from .cards import exponents
from .dot import DrawingError
from .formulas import Plain, is_number
from .terminal import NARROWEST, cells, columns, cut, has_colour, has_unicode, padded, plain, writable
from .text import SYMBOLS, lacks_grads

__all__ = ["Tree", "tree"]

MAX_LINES: Final = 200
_STEP: Final = 3  # columns that a level is further to the right


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
        n2 ×         −6      —
        ├─ −3 ─ a     2      —
        ╰─ 2 ── b    −3      —
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
    graph = root if isinstance(root, Graph) else Graph.of(root)
    room = columns() if width is None else width
    needed = max(map(cells, draw(graph)))
    if needed > room:
        raise DrawingError(
            f"this drawing is {needed} columns wide, and there are {room}: widen the terminal, "
            f"or write tree(boxes=True, width={needed}) for a pager that scrolls sideways, as in less -S"
        )
    return Tree(graph, None, None, boxes=True)


@dataclass(frozen=True)
class _Line:
    """A line of the tree: `lead` are the branches, `text` what stands on them, `node` what its numbers are of."""

    lead: str
    text: str
    node: int  # -1: no numbers here


class Tree:
    """A drawing of `graph` for the terminal, made when it is printed: `str()` looks at standard output."""

    def __init__(self, graph: Graph, max_lines: int | None, width: int | None, *, boxes: bool = False) -> None:
        self.graph, self._max_lines, self._width, self._boxes = graph, max_lines, width, boxes

    def __str__(self) -> str:
        if self._boxes:
            text = "\n".join(draw(self.graph))
            return writable(text if has_unicode() else plain(text))
        put: Callable[[str], str] = str if has_unicode() else _plain
        return writable("\n".join(_Drawing(self.graph, self._width or columns(), self._max_lines).lines(put)))

    __repr__ = __str__


class _Drawing:
    """One tree at one width."""

    def __init__(self, graph: Graph, width: int, max_lines: int | None) -> None:
        self.graph, self.width = graph, width
        self.max_lines = max_lines
        self.left_out = exponents(graph)
        self.write = Plain(graph, {})
        self.drawn: set[int] = set()
        self.later: set[int] = set()  # drawn in a line of their own first, then with what is below them

    def lines(self, put: Callable[[str], str]) -> list[str]:
        rows = self._rows()
        graph = self.graph
        nodes = [row.node for row in rows if row.node >= 0]
        data = {i: put(numeral(graph.values[i])) for i in nodes}
        grad = {i: put(numeral(graph.grads[i])) if graph.requires_grad[i] else "" for i in nodes}
        sizes = [max([4, *map(cells, column.values())]) for column in (data, grad)]
        room = max(self.width - sum(sizes) - 6, 1)
        texts = [put(row.lead) + put(row.text) for row in rows]
        first = min(max(map(cells, texts)), room)
        colour = has_colour()
        lines = [f"{' ' * first}   {padded('data', sizes[0], right=True)}   {padded('grad', sizes[1], right=True)}"]
        if colour:
            lines[0] = f"\x1b[2m{lines[0]}\x1b[0m"
        for row, text in zip(rows, texts, strict=True):
            if not text:
                lines.append("")
                continue
            short = cut(text, first)
            line = padded(short if put is str else short.replace("…", "~"), first)
            if colour:
                line = _coloured(line, len(put(row.lead)))
            if row.node >= 0:
                d, g = padded(data[row.node], sizes[0], right=True), padded(grad[row.node], sizes[1], right=True)
                if colour and (x := graph.grads[row.node]):
                    g = f"\x1b[{34 if x > 0 else 33}m{g}\x1b[0m"
                line += f"   {d}   {g}"
            lines.append(line.rstrip())
        notes = [cut(put(note), self.width) for note in self._notes()]
        return lines + [note if put is str else note.replace("…", "~") for note in notes]

    def _notes(self) -> list[str]:
        notes = []
        missing = len(self.graph) - len(self.left_out) - len(self.drawn)
        if missing > 0:
            notes.append(f"… {missing:,} more Values: tree(max_lines=None) draws them all")
        if lacks_grads(self.graph):
            notes.append("grad —: not computed, call backward()")
        return notes

    def _rows(self) -> list[_Line]:
        """Return the lines, at most `max_lines`: depth first, operands in order."""
        graph = self.graph
        deepest = max((self.width - 40) // _STEP, 4)
        rows: list[_Line] = []
        waiting = deque(dict.fromkeys(graph.roots))
        while waiting:
            start = waiting.popleft()
            if start in self.drawn and start not in self.later:
                continue
            if rows:
                rows.append(_Line("", "", -1))
            todo: list[tuple[int, str, str, int]] = [(start, "", "", 0)]  # node, what leads to it, and to those below
            while todo:
                i, lead, below, depth = todo.pop()
                if self.max_lines is not None and len(rows) >= self.max_lines:
                    return rows
                rows.append(self._line(i, lead, depth, deepest, waiting, top=not lead))
                if rows[-1].text.startswith("↑") or rows[-1].text.endswith("↓"):
                    continue
                todo += reversed(self._branches(i, below, depth))
        return rows

    def _line(self, i: int, lead: str, depth: int, deepest: int, waiting: deque[int], *, top: bool) -> _Line:
        graph = self.graph
        if is_number(graph, i):
            self.drawn.add(i)
            return _Line(lead, numeral(graph.values[i]), -1)
        name = self.write.name(i)
        if i in self.drawn and not (top and i in self.later):
            return _Line(lead, f"↑ {name}", -1)
        symbol = "" if graph.ops[i] == "leaf" else SYMBOLS.get(graph.symbols[i]) or self.write.symbol(graph.symbols[i])
        text = f"{name} {symbol or graph.ops[i]}" if graph.ops[i] != "leaf" else name
        self.drawn.add(i)
        if depth >= deepest and graph.operands[i]:
            self.later.add(i)
            waiting.append(i)
            return _Line(lead, f"{text} ↓", i)
        return _Line(lead, text, -1 if top and i in self.later else i)

    def _branches(self, i: int, below: str, depth: int) -> list[tuple[int, str, str, int]]:
        graph = self.graph
        uses = [(o, p) for o, p in zip(graph.operands[i], graph.partials[i], strict=True) if o not in self.left_out]
        slopes = [self._slope(operand, partial) for operand, partial in uses]
        widest = max(map(cells, slopes), default=0)
        branches = []
        for k, (operand, _) in enumerate(uses):
            last = k + 1 == len(uses)
            rest = "─" * (widest - cells(slopes[k]) + 1)
            middle = f" {slopes[k]} {rest} " if slopes[k] else "─" * (widest + 3) + " " if widest else " "
            branches.append(
                (operand, f"{below}{'╰' if last else '├'}─{middle}", below + ("   " if last else "│  "), depth + 1)
            )
        return branches

    def _slope(self, operand: int, partial: float | None) -> str:
        if not self.graph.requires_grad[operand]:
            return ""
        return "?" if partial is None else numeral(partial)


def _plain(text: str) -> str:
    return plain(text.replace("╰─ ", "`- ").replace("╰──", "`--"))


def _coloured(line: str, lead: int) -> str:
    """Return a line with its branches dim and the name of what stands on them bold."""
    name, space, rest = line[lead:].partition(" ")
    return f"\x1b[2m{line[:lead]}\x1b[0m\x1b[1m{name}\x1b[0m{space}{rest}"
