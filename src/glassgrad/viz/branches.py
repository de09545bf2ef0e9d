"""A graph as a tree of lines: the work behind `tree`, which says what it guarantees."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from ..graph import Graph
from .boxes import numeral
from .cards import exponents
from .formulas import Plain, is_number
from .terminal import cells, cut, has_colour, padded, plain
from .text import SYMBOLS, lacks_grads

__all__ = ["Branches", "in_ascii"]

_STEP: Final = 3  # columns that a level is further to the right


@dataclass(frozen=True)
class _Line:
    """A line of the tree: `lead` are the branches, `text` what stands on them, `node` what its numbers are of."""

    lead: str
    text: str
    node: int  # -1: no numbers here


class Branches:
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


def in_ascii(text: str) -> str:
    return plain(text.replace("╰─ ", "`- ").replace("╰──", "`--"))


def _coloured(line: str, lead: int) -> str:
    """Return a line with its branches dim and the name of what stands on them bold."""
    name, space, rest = line[lead:].partition(" ")
    return f"\x1b[2m{line[:lead]}\x1b[0m\x1b[1m{name}\x1b[0m{space}{rest}"
