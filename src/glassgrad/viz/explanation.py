"""Explanation: a derivative from symbols to numbers, as text for a terminal and as Markdown with LaTeX.

For every Value on the way from the result down to the one in question: the chain rule in symbols, the derivative of
each operation put in as a formula, then as a number, then the product. Then the sum over all paths, and whether `.grad`
agrees.

Guarantees: the derivative is that of a sweep with seed 1, bit for bit; what is left out of a long derivation is counted
and said; a chain of 20,000 operations, or 2**100 paths, takes a few lines and no longer than a walk over the graph.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from math import isclose
from typing import Final

from ..graph import Graph
from ..rules import RULES
from .formulas import Formula, Latex, Plain, derivative, is_number
from .paths import Path, gradient, list_paths, on_the_way
from .sentences import TEXTS, Sentences, count_text
from .terminal import cells, columns, has_unicode, padded, plain, writable

__all__ = ["Explanation", "Step", "Use"]

STEPS: Final = 12  # that are shown: half of them next to the root, half next to the Value
USES: Final = 6  # of a Value that are written out
FACTORS: Final = 9  # of a path's product
_POWER: Final = 4  # a factor binds as tightly as a power


@dataclass(frozen=True)
class Use:
    """One use of a Value: by which node, as which operand, and the derivative by it as a formula."""

    consumer: int
    position: int
    partial: float | None
    formula: Formula | None


@dataclass(frozen=True)
class Step:
    """A Value on the way, and its uses there; `count` is how many it has, of which `uses` are written out."""

    node: int
    uses: list[Use]
    count: int


class Explanation:
    """The derivation of one derivative: `str()` is text, `.markdown` has LaTeX, and notebooks show that.

    Attributes:
        derivative: ∂root/∂wrt; 0.0 where no path leads to it, None where it is unknown.
        paths: the paths, all or the largest, and how many there are.
        graph, root, wrt, lang: what it was made of.
    """

    def __init__(self, graph: Graph, root: int, wrt: int, lang: str = "en") -> None:
        self.graph, self.root, self.wrt, self.lang = graph, root, wrt, lang
        self.paths = list_paths(graph, root, wrt)
        way = on_the_way(graph, root, wrt)
        self._grads = gradient(graph, root, wrt, way)
        self.notes: list[tuple[str, dict[str, int]]] = []
        self._hidden = self._look_for_the_unknown(way)
        self._verdict = self._without_steps()
        below = [i for i in range(root - 1, wrt - 1, -1) if way[i]] if not self._verdict else []
        self._left_out = max(len(below) - STEPS, 0)
        if self._left_out:
            below = below[: STEPS // 2] + below[-STEPS // 2 :]
        self.steps = self._steps_of(below, way)
        self.derivative: float | None = self.paths.total
        if self._verdict not in ("", "itself", "apart") or (self._hidden and self.paths.total != self.paths.total):
            self.derivative = None

    # -- what there is to say

    def _look_for_the_unknown(self, way: list[bool]) -> bool:
        """Note what the derivation cannot show, once each; return whether a local derivative is in a closure."""
        graph, grads = self.graph, self._grads
        found: dict[str, dict[str, int]] = {}
        for i in range(self.root, self.wrt, -1):
            if not way[i]:
                continue
            for operand, partial in zip(graph.operands[i], graph.partials[i], strict=True):
                if not (operand < len(way) and way[operand] and graph.requires_grad[operand]):
                    continue
                if partial is None:
                    op = graph.ops[i]
                    key = "undefined" if op in RULES else "by hand" if op == "custom" else "own"
                    found.setdefault(key, {"node": i, "operand": operand})
                elif grads[i] == 0.0 and partial - partial != 0.0:
                    found.setdefault("zero", {})
        self.notes += found.items()
        return "by hand" in found or "own" in found

    def _without_steps(self) -> str:
        """Return the key of what there is to say where nothing is derived; '' where something is."""
        graph = self.graph
        if is_number(graph, self.wrt) and self.wrt != self.root:
            return "number"
        if graph.ops[self.root] == "leaf" and not graph.requires_grad[self.root]:
            return "no record"
        if not graph.requires_grad[self.wrt]:
            return "constant"
        if self.root == self.wrt:
            return "itself"
        return "" if self.paths.count else "apart"

    def _steps_of(self, nodes: list[int], way: list[bool]) -> list[Step]:
        graph = self.graph
        uses: dict[int, list[Use]] = {i: [] for i in nodes}
        counts = dict.fromkeys(nodes, 0)
        for c in range(self.wrt + 1, self.root + 1) if nodes else ():
            if way[c]:
                for k, operand in enumerate(graph.operands[c]):
                    if operand in uses:
                        counts[operand] += 1
                        if counts[operand] <= USES:
                            uses[operand].append(Use(c, k, graph.partials[c][k], derivative(graph, c, k)))
        return [Step(i, uses[i], counts[i]) for i in nodes]

    def comparison(self) -> tuple[str, dict[str, float]]:
        """Return the key of the sentence about `.grad`, and its numbers."""
        found, grad = self.paths.total, self.graph.grads[self.wrt]
        if self.derivative is None:
            return ("hidden none", {}) if grad is None else ("hidden", {"grad": grad})
        if grad is None:
            return "none", {}
        if grad == found or isclose(grad, found, rel_tol=1e-9) or (grad != grad and found != found):
            return "same", {"grad": grad}
        numbers = {"grad": grad, "value": found}
        if self.graph.ops[self.wrt] != "leaf":
            return "interior", numbers
        times = grad / found if found else 0.0
        if 1.5 < times < 1e6 and isclose(times, round(times), rel_tol=1e-9):
            return "times", {**numbers, "k": round(times)}
        return "leaf", numbers

    # -- writing it

    def __str__(self) -> str:
        sample = TEXTS[self.lang]["steps"]
        if writable(sample) != sample:  # no Chinese on this terminal
            return str(Explanation(self.graph, self.root, self.wrt))
        return writable("\n".join(self._lines(min(columns(), 100), str if has_unicode() else plain)))

    __repr__ = __str__

    def _lines(self, width: int, put: Callable[[str], str]) -> list[str]:
        write = Plain(self.graph, TEXTS[self.lang])
        sentences = Sentences(self, write, lambda formula: formula)
        lines = [put(f"{write.ratio(self.root, self.wrt)} = {sentences.value()}"), ""]
        if self._verdict:
            return lines + _wrapped(put(sentences.say(self._verdict)), width)
        lines += [*_wrapped(put(sentences.say("about")), width), ""]
        lines += [put(sentences.say("steps")), ""]
        for k, step in enumerate(self.steps):
            if self._left_out and k == STEPS // 2:
                lines += [put(f"   … {sentences.say('left out', count=count_text(self._left_out))} …"), ""]
            number = k + 1 + (self._left_out if self._left_out and k >= STEPS // 2 else 0)
            lines += _wrapped(put(f"{number}. {sentences.used(step)}"), width, "   ")
            left = put(f"   {write.ratio(self.root, step.node)}")
            for row, terms in enumerate(self._rows(step, write)):
                lines += _sum_of([put(term) for term in terms], padded("" if row else left, cells(left)), width)
            lines.append("")
        for note in sentences.notes():
            lines += [*_wrapped(put(note), width), ""]
        lines += [put(sentences.about_paths()), ""]
        lines += self._table(write, sentences, width, put)
        if sentences.gap():
            lines += ["", *_wrapped(put(sentences.gap()), width)]
        return [*lines, "", *_wrapped(put(sentences.comparison()), width)]

    def _rows(self, step: Step, write: Plain) -> list[list[str]]:
        """Return the three stages and the result: in symbols, with formulas, with numbers, the sum. Each a sum."""
        symbols, formulas, numbers = [], [], []
        for use in step.uses:
            twice = self.graph.operands[use.consumer].count(step.node) > 1
            local = write.ratio(use.consumer, step.node, use.position + 1 if twice else 0)
            slope = "?" if use.partial is None else write.factor(use.partial)
            above = self._grads[use.consumer]
            if use.consumer == self.root:  # its derivative by itself is 1
                symbols.append(local if use.formula is None else write.formula(use.formula))
                formulas.append(symbols[-1])
                numbers.append("?" if use.partial is None else write.number(use.partial))
            else:
                before = write.ratio(self.root, use.consumer)
                symbols.append(f"{before}{write.times}{local}")
                formulas.append(
                    f"{before}{write.times}{local if use.formula is None else write.formula(use.formula, _POWER)}"
                )
                numbers.append(write.product([self._known(above, write), slope]))
        if step.count > len(step.uses):
            for row in (symbols, formulas, numbers):
                row.append(write.dots)
        rows = [symbols, formulas, numbers, [self._known(self._grads[step.node], write, factor=False)]]
        return [row for k, row in enumerate(rows) if not k or row != rows[k - 1]]

    def _known(self, x: float, write: Plain, *, factor: bool = True) -> str:
        return "?" if x != x and self._hidden else write.factor(x) if factor else write.number(x)

    def _table(self, write: Plain, sentences: Sentences, width: int, put: Callable[[str], str]) -> list[str]:
        rows = []
        for path in self.paths.paths:
            names, factors = self._along(path, write)
            product = write.product(factors) if len(factors) > 1 else ""
            rows.append((put(" → ".join(names)), put(product), put(self._known(path.product, write, factor=False))))
        if self.paths.count > 1:
            rows.append(("", put(sentences.sum()), put(sentences.value())))
        first, second = (max(cells(row[k]) for row in rows) for k in (0, 1))
        if first + second + 12 > width:  # the names on a line of their own
            lines = []
            for along, product, value in rows:
                lines += [f"   {along}"] * bool(along) + [f"      {product} = {value}"]
            return lines
        return [f"   {padded(a, first)}   {padded(b, second, right=True)} = {c}" for a, b, c in rows]

    def _along(self, path: Path, write: Plain) -> tuple[list[str], list[str]]:
        """Return the names on a path and its factors, long ones with dots in the middle."""
        nodes = [consumer for consumer, _ in path.edges] + [self.wrt]
        half = FACTORS // 2
        edges = list(path.edges)
        if len(edges) > FACTORS:
            nodes, edges = nodes[:half] + nodes[-half:], edges[:half] + edges[-half:]
        names = [write.name(i) for i in nodes]
        partials = [self.graph.partials[consumer][position] for consumer, position in edges]
        factors = ["?" if partial is None else write.factor(partial) for partial in partials]
        if len(path.edges) > FACTORS:
            names.insert(half, write.dots)
            factors.insert(half, write.dots)
        return names, factors

    @property
    def markdown(self) -> str:
        """The derivation in Markdown, formulas in LaTeX between dollar signs."""
        write = Latex(self.graph, TEXTS[self.lang])
        sentences = Sentences(self, write, lambda formula: f"${formula}$")
        head = f"### ${write.ratio(self.root, self.wrt)} = {sentences.value()}$"
        if self._verdict:
            return f"{head}\n\n{sentences.say(self._verdict)}\n"
        parts = [head, sentences.say("about"), f"**{sentences.say('steps')}**"]
        for k, step in enumerate(self.steps):
            if self._left_out and k == STEPS // 2:
                parts.append(f"… {sentences.say('left out', count=count_text(self._left_out))} …")
            number = k + 1 + (self._left_out if self._left_out and k >= STEPS // 2 else 0)
            rows = [" + ".join(terms) for terms in self._rows(step, write)]
            left = write.ratio(self.root, step.node)
            parts.append(f"{number}\\. {sentences.used(step)}")
            parts.append(f"$$\\begin{{aligned}}{left} &= " + " \\\\\n&= ".join(rows) + "\\end{aligned}$$")
        parts += sentences.notes()
        parts.append(f"**{sentences.about_paths()}**")
        lines = []
        for path in self.paths.paths:
            names, factors = self._along(path, write)
            product = self._known(path.product, write, factor=False)
            along = r" \to ".join(names)
            product = f"{write.product(factors)} = {product}" if len(factors) > 1 else product
            lines.append(f"- ${along}$:  ${product}$")
        if self.paths.count > 1:
            lines.append(f"- {sentences.sum()}: $\\mathbf{{{sentences.value()}}}$")
        parts.append("\n".join(lines))
        return "\n\n".join([*parts, *filter(None, [sentences.gap()]), sentences.comparison()]) + "\n"

    def _repr_markdown_(self) -> str:
        return self.markdown


def _sum_of(terms: Sequence[str], left: str, width: int) -> list[str]:
    """Return `left = a + b + …`, on more lines where it is wider than `width`."""
    lines, line = [], f"{left} = {terms[0]}"
    for term in terms[1:]:
        if cells(line) + 3 + cells(term) > width:
            lines.append(line)
            line = f"{' ' * cells(left)} + {term}"
        else:
            line += f" + {term}"
    return [*lines, line]


def _wrapped(text: str, width: int, indent: str = "") -> list[str]:
    """Return a sentence on lines of at most `width` columns; Chinese may be broken between any two characters."""
    lines, line = [], ""
    for word in _words(text):
        if line and cells(line) + cells(word.rstrip()) > width:
            lines.append(line.rstrip())
            line = indent + word.lstrip()
        else:
            line += word
    return [*lines, line.rstrip()]


def _words(text: str) -> Iterable[str]:
    word = ""
    for c in text:
        wide = cells(c) == 2
        if word and wide and c not in "，。；：、）":
            yield word
            word = ""
        word += c
        if c == " " or (wide and c != "（"):
            yield word
            word = ""
    yield word
