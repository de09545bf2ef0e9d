"""Formulas of a snapshot: what an operation computes and its derivative by each operand, in the operands' own names.

Guarantees: every derivative is the text that stands in `rules.RULES`, with the operands' names put in, or for
operations of n operands what that text says in words; a test evaluates each and compares. Names are labels, or `n` and
the id, and no two nodes share one: `w#3` is node 3 of several called w. Whatever labels say, a name is one short line
without control characters, and in LaTeX it is text and never a command.

`Plain` writes for a terminal, `Latex` for Markdown.
"""

from __future__ import annotations

import ast
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from math import isinf
from typing import Final

from ..graph import Graph
from ..rules import RULES
from .terminal import cut, one_line

__all__ = ["Formula", "Latex", "Plain", "derivative", "equation"]

NAME_LIMIT: Final = 24  # columns of a label
_OPERANDS: Final = {  # what the texts of RULES call the operands; others are x and w
    "leaky_relu": ("x", "slope"),
    "elu": ("x", "alpha"),
    "clip": ("x", "low", "high"),
    "where": ("condition", "x", "w"),
}
_MANY: Final = frozenset({"sum", "mean", "prod", "dot", "logsumexp", "softmax"})
_INFIX: Final = {
    "identity": "x", "add": "x + w", "sub": "x - w", "mul": "x * w", "div": "x / w", "pow": "x**w", "neg": "-x",
    "square": "x**2", "reciprocal": "1 / x",
}  # fmt: skip
_SHOWN: Final = 4  # operands of an operation of many


@dataclass(frozen=True)
class Formula:
    """An expression in Python's own syntax, and the nodes that its names stand for.

    `phrase` is the key of what to say instead, where no expression is short enough.
    """

    tree: ast.expr
    nodes: dict[str, int]
    phrase: str = ""


def derivative(graph: Graph, consumer: int, position: int) -> Formula | None:
    """Return the derivative of a node by one of its operands; None where it stands in no table."""
    op, operands = graph.ops[consumer], graph.operands[consumer]
    if op not in RULES:
        return None
    if op in _MANY:
        return _of_many(graph, op, consumer, position)
    nodes = dict(zip(_OPERANDS.get(op, ("x", "w")), operands, strict=False))
    # Ties are the one case that the text puts into words.
    text = RULES[op].derivative_texts[position].replace("else 0, ties share", "else 1 / 2 if x == w else 0")
    return _formula(graph, text, nodes)


def _of_many(graph: Graph, op: str, consumer: int, position: int) -> Formula:
    operands = graph.operands[consumer]
    nodes = {"x": operands[position], "x1": operands[0], "y": consumer}
    if op == "mean":
        return _formula(graph, f"1 / {len(operands)}", {})
    if op == "dot":
        return _formula(graph, "w", {"w": operands[(position + len(operands) // 2) % len(operands)]})
    if op == "prod":
        others = [operand for k, operand in enumerate(operands) if k != position]
        if len(others) > _SHOWN:
            return Formula(ast.Constant(1.0), {}, "others")
        names = {f"x{k}": operand for k, operand in enumerate(others)}
        return _formula(graph, " * ".join(names) or "1", names)
    if op == "softmax":
        return _formula(graph, "-y**2 * exp(x - x1)" if position else "y * (1 - y)", nodes)
    return _formula(graph, {"sum": "1", "logsumexp": "exp(x - y)"}[op], nodes)


def equation(graph: Graph, i: int, write: Plain | Latex) -> str:
    """Return what made a node: `a·b`, `tanh(n3)`, the number of a leaf."""
    op, operands = graph.ops[i], graph.operands[i]
    if op == "leaf":
        return write.number(graph.values[i])
    if op in _INFIX:
        return write.formula(_formula(graph, _INFIX[op], dict(zip(("x", "w"), operands, strict=False))))
    shown = [write.operand(operand) for operand in operands[:_SHOWN]] + [write.dots] * (len(operands) > _SHOWN)
    if len(operands) > _SHOWN:
        shown.append(write.operand(operands[-1]))
    return write.call(op if op in RULES else graph.symbols[i] or op, shown, known=op in RULES)


def is_number(graph: Graph, i: int) -> bool:
    """Return whether a node is a plain number in the program, which needs no name."""
    return graph.ops[i] == "leaf" and not graph.requires_grad[i] and not graph.labels[i]


@cache
def _parsed(text: str) -> ast.expr:
    return ast.parse(text, mode="eval").body


def _value(number: ast.Constant) -> float:
    return float(number.value)  # type: ignore[arg-type]


def _formula(graph: Graph, text: str, nodes: dict[str, int]) -> Formula:
    numbers = {name: graph.values[i] for name, i in nodes.items() if is_number(graph, i)}
    return Formula(_simplified(_parsed(text), numbers), nodes)


def _simplified(tree: ast.expr, numbers: dict[str, float]) -> ast.expr:
    """Return the tree with numbers put in, and powers as one writes them: 2 * x**(2 - 1) is 2 * x."""
    if isinstance(tree, ast.Name) and tree.id in numbers:
        return ast.Constant(numbers[tree.id])
    if isinstance(tree, ast.BinOp):
        left, right = _simplified(tree.left, numbers), _simplified(tree.right, numbers)
        if isinstance(right, ast.Constant) and isinstance(tree.op, ast.Pow) and _value(right) in (0, 1):
            return left if right.value else ast.Constant(1.0)
        if isinstance(tree.op, ast.Mult) and isinstance(left, ast.Constant) and left.value == 1:
            return right
        if isinstance(tree.op, ast.Sub) and isinstance(left, ast.Constant) and isinstance(right, ast.Constant):
            return ast.Constant(_value(left) - _value(right))
        return ast.BinOp(left, tree.op, right)
    if isinstance(tree, ast.UnaryOp):
        return ast.UnaryOp(tree.op, _simplified(tree.operand, numbers))
    if isinstance(tree, ast.Call):
        return ast.Call(tree.func, [_simplified(argument, numbers) for argument in tree.args], [])
    if isinstance(tree, ast.Compare):
        return ast.Compare(
            _simplified(tree.left, numbers), tree.ops, [_simplified(side, numbers) for side in tree.comparators]
        )
    if isinstance(tree, ast.IfExp):
        test, body = _simplified(tree.test, numbers), _simplified(tree.body, numbers)
        return ast.IfExp(test, body, _simplified(tree.orelse, numbers))
    return tree


# Writing ---------------------------------------------------------------------------------------------------------

# How tightly an expression binds: what binds less tightly than its place asks for stands in parentheses.
_CHOICE, _SUM, _PRODUCT, _SIGNED, _POWER, _ATOM = range(6)
_COMPARED: Final[dict[type[ast.cmpop], str]] = {ast.Gt: ">", ast.Lt: "<", ast.LtE: "≤", ast.Eq: "="}
_LATEX_COMPARED: Final = {">": r"\gt", "<": r"\lt", "≤": r"\le", "=": "="}


class Plain:
    """Writes formulas as text for a terminal."""

    dots = "…"
    times = " · "

    def __init__(self, graph: Graph, phrases: dict[str, str]) -> None:
        self.graph, self.phrases = graph, phrases
        self.uses = Counter(label for label in graph.labels if label)

    # -- names and numbers

    def name(self, i: int) -> str:
        """Return what a node is called: its label, or `n` and its id; both where the label alone could be another."""
        label = self.graph.labels[i]
        if not label.strip():
            return f"n{i}"
        shown = cut(one_line(label[: 4 * NAME_LIMIT]), NAME_LIMIT)
        plain = re.fullmatch(r"[\w.' ]+(\[\d+\])*…?", shown)
        twin = self.uses[label] > 1 or len(shown) < len(label) or re.fullmatch(r"n\d+", label)
        return (shown if plain else f"[{shown}]") + (f"#{i}" if twin else "")

    def operand(self, i: int) -> str:
        """Return a node as it stands in a formula: its name, or a plain number."""
        return self.factor(self.graph.values[i]) if is_number(self.graph, i) else self.name(i)

    def number(self, x: float) -> str:
        """Return a number rounded to six significant digits."""
        return "∞" if x == float("inf") else "−∞" if isinf(x) else f"{x + 0.0:.6g}".replace("-", "−")

    def factor(self, x: float) -> str:
        """Return a number as it stands in a product."""
        return f"({self.number(x)})" if x < 0 else self.number(x)

    # -- derivatives

    def ratio(self, above: int, below: int, position: int = 0) -> str:
        """Return ∂above/∂below; the derivative by the first operand alone of one that is used twice is ∂₁above."""
        if position:
            return f"∂{str(position).translate(_SUBSCRIPTS)}{self.name(above)}"
        return f"∂{self.name(above)}/∂{self.name(below)}"

    def product(self, factors: Sequence[str]) -> str:
        """Return the product of numbers."""
        return "·".join(factors)

    # -- expressions

    def formula(self, formula: Formula, place: int = _CHOICE) -> str:
        """Return an expression, in parentheses where it binds less tightly than `place`."""
        if formula.phrase:
            return self.words(self.phrases[formula.phrase])
        return self._inside(formula.tree, formula.nodes, place)

    def words(self, text: str) -> str:
        """Return words in a formula."""
        return f"({text})"

    def _inside(self, tree: ast.expr, nodes: dict[str, int], place: int) -> str:
        text, tightness = self._written(tree, nodes)
        return text if tightness >= place else self.grouped(text)

    def grouped(self, text: str) -> str:
        """Return an expression in parentheses."""
        return f"({text})"

    def _written(self, tree: ast.expr, nodes: dict[str, int]) -> tuple[str, int]:
        if isinstance(tree, ast.Constant):
            x = _value(tree)
            return self.number(x), _SIGNED if x < 0 else _ATOM
        if isinstance(tree, ast.Name):
            return (self.name(nodes[tree.id]) if tree.id in nodes else self.constant(tree.id)), _ATOM
        if isinstance(tree, ast.UnaryOp):
            return f"{self.minus}{self._inside(tree.operand, nodes, _PRODUCT)}", _SIGNED
        if isinstance(tree, ast.Call) and isinstance(tree.func, ast.Name):
            arguments = [self._inside(argument, nodes, _CHOICE) for argument in tree.args]
            return self.call(tree.func.id, arguments), _ATOM
        if isinstance(tree, ast.Compare):
            parts = [self._inside(tree.left, nodes, _SUM)]
            for op, side in zip(tree.ops, tree.comparators, strict=True):
                parts += [self.compared(_COMPARED[type(op)]), self._inside(side, nodes, _SUM)]
            return " ".join(parts), _SUM
        if isinstance(tree, ast.IfExp):
            return self.choice(tree, nodes), _CHOICE
        if isinstance(tree, ast.BinOp):
            return self._binary(tree, nodes)
        raise TypeError(f"no formula holds a {type(tree).__name__}")

    def _binary(self, tree: ast.BinOp, nodes: dict[str, int]) -> tuple[str, int]:
        left, right = tree.left, tree.right
        if isinstance(tree.op, ast.Add | ast.Sub):
            sign = "+" if isinstance(tree.op, ast.Add) else self.minus
            second = self._inside(right, nodes, _POWER if isinstance(right, ast.Constant) else _PRODUCT)  # x + (−3)
            return f"{self._inside(left, nodes, _SUM)} {sign} {second}", _SUM
        if isinstance(tree.op, ast.Mult):
            # (−3)·x, and (2 / x)·w
            loose = isinstance(left, ast.Constant) or (isinstance(left, ast.BinOp) and isinstance(left.op, ast.Div))
            first = self._inside(left, nodes, _POWER if loose else _PRODUCT)
            return f"{first}{self.tight}{self._inside(right, nodes, _POWER)}", _PRODUCT
        if isinstance(tree.op, ast.Div):
            return self.quotient(tree, nodes)
        return self.power(tree, nodes), _POWER

    minus = "−"
    tight = "·"

    def quotient(self, tree: ast.BinOp, nodes: dict[str, int]) -> tuple[str, int]:
        """Return a quotient, and how tightly it binds."""
        return f"{self._inside(tree.left, nodes, _PRODUCT)} / {self._inside(tree.right, nodes, _POWER)}", _PRODUCT

    def power(self, tree: ast.BinOp, nodes: dict[str, int]) -> str:
        """Return a power: small whole exponents as superscripts."""
        base = self._inside(tree.left, nodes, _ATOM)
        exponent = tree.right
        if isinstance(exponent, ast.Constant):
            digits = self.number(_value(exponent))
            if re.fullmatch(r"−?\d{1,3}", digits):
                return base + digits.translate(_SUPERSCRIPTS)
        return f"{base}**{self._inside(exponent, nodes, _ATOM)}"

    def call(self, function: str, arguments: Sequence[str], *, known: bool = True) -> str:
        """Return a function of some operands; `known` are those of `RULES`, others are named by the user."""
        return f"{function if known else self.symbol(function)}({', '.join(arguments)})"

    def symbol(self, function: str) -> str:
        """Return the name of an operation of the user's."""
        return cut(one_line(function[: 4 * NAME_LIMIT]), NAME_LIMIT)

    def choice(self, tree: ast.IfExp, nodes: dict[str, int]) -> str:
        """Return a choice, as Python writes it."""
        body, test, other = [self._inside(part, nodes, _CHOICE) for part in (tree.body, tree.test, tree.orelse)]
        return f"{body} if {test} else {other}"

    def compared(self, sign: str) -> str:
        """Return a sign of comparison."""
        return sign

    def constant(self, name: str) -> str:
        """Return a constant of the formulas."""
        return {"pi": "π"}.get(name, name)


_SUPERSCRIPTS: Final = str.maketrans("−0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")
_SUBSCRIPTS: Final = str.maketrans("0123456789", "₀₁₂₃₄₅₆₇₈₉")


class Latex(Plain):
    """Writes formulas in LaTeX, as MathJax and KaTeX read it."""

    dots = r"\dots"
    times = r" \cdot "
    minus = "-"
    tight = r" \cdot "

    def name(self, i: int) -> str:
        """Return a node's name as LaTeX."""
        return symbol(super().name(i))

    def number(self, x: float) -> str:
        """Return a number rounded to six significant digits."""
        if x != x:
            return r"\text{nan}"
        if isinf(x):
            return r"\infty" if x > 0 else r"-\infty"
        digits, _, exponent = f"{x + 0.0:.6g}".partition("e")
        return digits + (rf" \times 10^{{{int(exponent)}}}" if exponent else "")

    def ratio(self, above: int, below: int, position: int = 0) -> str:
        """Return ∂above/∂below as LaTeX."""
        if position:
            return rf"\partial_{{{position}}} {self.name(above)}"
        return rf"\frac{{\partial {self.name(above)}}}{{\partial {self.name(below)}}}"

    def product(self, factors: Sequence[str]) -> str:
        """Return the product of numbers."""
        return self.times.join(factors)

    def words(self, text: str) -> str:
        """Return words in a formula."""
        return rf"(\text{{{text}}})"

    def grouped(self, text: str) -> str:
        """Return an expression in parentheses that grow with it."""
        return rf"\left({text}\right)"

    def quotient(self, tree: ast.BinOp, nodes: dict[str, int]) -> tuple[str, int]:
        """Return a fraction, which needs no parentheses but below a power."""
        above, below = self._inside(tree.left, nodes, _CHOICE), self._inside(tree.right, nodes, _CHOICE)
        return rf"\frac{{{above}}}{{{below}}}", _POWER

    def power(self, tree: ast.BinOp, nodes: dict[str, int]) -> str:
        """Return a power."""
        exponent = self._inside(tree.right, nodes, _CHOICE)
        if isinstance(tree.left, ast.Name):  # names are atoms, but may have subscripts of their own
            return f"{{{self._inside(tree.left, nodes, _ATOM)}}}^{{{exponent}}}"
        return f"{self._inside(tree.left, nodes, _ATOM)}^{{{exponent}}}"

    def call(self, function: str, arguments: Sequence[str], *, known: bool = True) -> str:
        """Return a function of some operands."""
        inside = ", ".join(arguments)
        if known and function in ("sqrt", "cbrt"):
            return rf"\sqrt{'[3]' * (function == 'cbrt')}{{{inside}}}"
        if known and function in _LATEX_FUNCTIONS:
            return rf"{_LATEX_FUNCTIONS[function]}\left({inside}\right)"
        operator = rf"\operatorname{{{function.replace('_', chr(92) + '_')}}}" if known else text(self.symbol(function))
        return rf"{operator}\left({inside}\right)"

    def choice(self, tree: ast.IfExp, nodes: dict[str, int]) -> str:
        """Return a choice, a line for each case."""
        cases = []
        part: ast.expr = tree
        while isinstance(part, ast.IfExp):
            test = self._inside(part.test, nodes, _CHOICE)
            if not isinstance(part.test, ast.Compare):
                test = rf"{test} \ne 0"
            cases.append(rf"{self._inside(part.body, nodes, _CHOICE)} & \text{{{self.phrases['if']}}}\ {test}")
            part = part.orelse
        cases.append(rf"{self._inside(part, nodes, _CHOICE)} & \text{{{self.phrases['else']}}}")
        return r"\begin{cases}" + r" \\ ".join(cases) + r"\end{cases}"

    def compared(self, sign: str) -> str:
        """Return a sign of comparison as LaTeX; a bare < would be HTML."""
        return _LATEX_COMPARED[sign]

    def constant(self, name: str) -> str:
        """Return a constant of the formulas."""
        return rf"\{name}"


_LATEX_FUNCTIONS: Final = {
    **{name: rf"\{name}" for name in ("exp", "log", "sin", "cos", "tan", "sinh", "cosh", "tanh", "max", "min")},
    "arcsin": r"\arcsin", "arccos": r"\arccos", "arctan": r"\arctan", "log2": r"\log_{2}", "log10": r"\log_{10}",
    "Φ": r"\Phi", "φ": r"\varphi", "maximum": r"\max", "minimum": r"\min",
}  # fmt: skip


def symbol(name: str) -> str:
    """Return a name as LaTeX: one letter in italics, `n3` with a subscript, anything else as text."""
    if re.fullmatch(r"[A-Za-z]", name):
        return name
    if found := re.fullmatch(r"([A-Za-z])(\d+)", name):
        return f"{found[1]}_{{{found[2]}}}"
    return text(name)


# What means something to LaTeX, Markdown or HTML becomes a command of LaTeX between two pieces of text; what no command
# shows in both MathJax and KaTeX becomes a character that looks like it.
_COMMANDS: Final = {
    "\\": r"\backslash", "{": r"\lbrace", "}": r"\rbrace", "$": r"\$", "&": r"\&", "#": r"\#", "%": r"\%",
    "_": r"\_", "~": r"\sim", "*": r"\ast", "|": r"\vert", "<": r"\lt", ">": r"\gt", "[": r"\lbrack", "]": r"\rbrack",
}  # fmt: skip
_ALIKE: Final = str.maketrans("^`", "ˆˋ")


def text(name: str) -> str:
    """Return any line as LaTeX that shows it, and that neither Markdown nor HTML reads anything into."""
    runs = re.findall(r"[^\\{}$&#%_~*|<>\[\]]+|.", name.translate(_ALIKE))
    return "".join([f"{{{_COMMANDS[run]}}}" if run in _COMMANDS else rf"\text{{{run}}}" for run in runs])
