"""The calculus as JavaScript: the text of `rules.py`, read a fourth time, now for the browser.

What the module that `rules()` returns guarantees: `RULES` has a row for every operation of the table, whose functions
take the same steps in the same order as those of `rules.py`, so that only the functions of `web/libm.js`, which stand
in for the C library's, may differ by some units in the last place. Nothing else of it can be seen from outside.

The file keeps to a small part of Python: numbers, arithmetic, comparisons, choices, loops over ranges, arrays of
numbers, calls among its own functions. That part is translated statement by statement; anything else is an error that
names the line, never a guess.
"""

from __future__ import annotations

import ast
import json
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Final

from .. import _libm

__all__ = ["TranslationError", "rules", "translate"]

# JavaScript's levels of binding, loosest first: https://tc39.es/ecma262/#sec-ecmascript-language-expressions
CHOICE, OR, AND, EQUAL, ORDER, SUM, PRODUCT, SIGN, ATOM = range(9)
BINARY: Final[dict[type[ast.operator], tuple[str, int]]] = {
    ast.Add: ("+", SUM),
    ast.Sub: ("-", SUM),
    ast.Mult: ("*", PRODUCT),
    ast.Div: ("/", PRODUCT),
}
COMPARE: Final[dict[type[ast.cmpop], tuple[str, int]]] = {
    ast.Eq: ("===", EQUAL),
    ast.NotEq: ("!==", EQUAL),
    ast.Lt: ("<", ORDER),
    ast.LtE: ("<=", ORDER),
    ast.Gt: (">", ORDER),
    ast.GtE: (">=", ORDER),
}
PYTHONS_OWN: Final = {"Rule", "RULES", "NAMES", "_rule"}  # how the table is kept there


class TranslationError(Exception):
    """`rules.py` has something that this module cannot say in JavaScript: a mistake of ours, never a user's."""


@cache
def rules() -> str:
    """Return the text of the module `rules.js`, which exports RULES.

    A row is `{ symbol, formula, operands, value, partials, derivatives }`: texts as in `rules.Rule`, `operands` their
    names. `value` takes the operands and `partials` has for each the function of operands and result that gives the
    derivative by it. For any number of operands, `operands` is empty, `value` takes a Float64Array of them, and
    `partials` is one function `(xs, y, out)` that fills the Float64Array `out`.
    """
    path = Path(__file__).parent.with_name("rules.py")  # beside the compiled module too, in a wheel as in a checkout
    return translate(path.read_text(encoding="utf-8"))


def translate(text: str) -> str:
    """Return the JavaScript module for a text written as `rules.py` is; TranslationError for what is not."""
    tree = ast.parse(text)
    functions = {node.name: node for node in tree.body if isinstance(node, ast.FunctionDef)}
    constants: dict[str, str] = {}
    rows: list[str] = []
    for node in tree.body:
        match node:
            case ast.Assign(targets=[ast.Name(name)], value=ast.Call(ast.Name("_rule"), arguments)):
                rows.append(_row(arguments, functions))
            case ast.Assign(targets=[ast.Name(name)], value=ast.Constant() | ast.UnaryOp(ast.USub()) as number):
                constants[name] = _number(ast.literal_eval(number))
            case ast.FunctionDef() | ast.Import() | ast.ImportFrom() | ast.Expr(ast.Constant(str())):
                pass
            case (
                ast.Assign(targets=[ast.Name(name)]) | ast.AnnAssign(target=ast.Name(name)) | ast.ClassDef(name=name)
            ) if name in PYTHONS_OWN:
                pass
            case _:
                raise _unknown(node)
    known = {*functions, *constants} - PYTHONS_OWN
    bodies = [_Function(node, known) for name, node in functions.items() if name not in PYTHONS_OWN]
    used = set().union(*[body.used for body in bodies])
    lines = [f"const {name} = {number};" for name, number in constants.items() if name in used]
    lines += [body.text for body in bodies]
    table = ",\n".join(["__proto__: null", *rows])  # without it there would be a row "constructor"
    return (
        'import { libm } from "./libm.js";\n'
        "export const RULES = (() => {\n" + "\n".join(lines) + "\nreturn {\n" + table + "\n};\n})();\n"
    )


def _row(arguments: Sequence[ast.expr], functions: dict[str, ast.FunctionDef]) -> str:
    """The row of the table that `_rule` was called for."""
    match arguments:
        case [name, symbol, formula, ast.Name(value), ast.Tuple(derivatives), texts]:
            pass
        case _:
            raise _unknown(arguments[0])
    names = [_name(node) for node in derivatives]
    operands = [x.arg for x in functions[value].args.args]
    if operands == ["xs"]:
        operands, partials = [], names[0]
    else:
        partials = f"[{','.join(names)}]"
    shown = [_literal(x) for x in (symbol, formula, texts)]
    return (
        f"{ast.literal_eval(name)}: {{symbol:{shown[0]},formula:{shown[1]},operands:{_json(operands)},"
        f"value:{value},partials:{partials},derivatives:{shown[2]}}}"
    )


class _Function:
    """One function: its `text`, and the names that it `used` of those around it."""

    def __init__(self, node: ast.FunctionDef, known: set[str]) -> None:
        self.known = known
        self.used: set[str] = set()
        parameters = [x.arg for x in node.args.args]
        if ast.unparse(node.args) != ", ".join(parameters) or node.decorator_list:  # a default, a star, a type
            raise _unknown(node)
        counters = {id(x.target) for x in ast.walk(node) if isinstance(x, ast.For)}  # each known in its loop only
        made = dict.fromkeys([x.id for x in _assigned([node]) if id(x) not in counters and x.id not in parameters])
        self.local = {*parameters, *made}
        self.lines: list[str] = []
        if made:
            self.lines.append(f"let {','.join(made)};")
        self.block(node.body)
        start = f"{node.name}({','.join(parameters)})"
        match self.lines:
            case [line] if line.startswith("return "):
                self.text = f"const {start.replace('(', '=(', 1)}=>{line.removeprefix('return ')}"
            case lines:
                self.text = "\n".join([f"function {start}{{", *lines, "}"])

    def block(self, body: Sequence[ast.stmt]) -> None:
        for node in body:
            self.statement(node)

    def statement(self, node: ast.stmt) -> None:
        match node:
            case ast.Return(ast.expr() as value):
                self.lines.append(f"return {self.at(value, CHOICE)};")
            case ast.Assign([ast.Tuple(targets)], ast.Tuple(values)) if not _depend(values, targets):
                for target, value in zip(targets, values, strict=True):
                    self.lines.append(f"{_name(target)}={self.at(value, CHOICE)};")
            case ast.Assign([ast.Name() | ast.Subscript() as target], value):
                self.lines.append(f"{self.at(target, ATOM)}={self.at(value, CHOICE)};")
            case ast.AugAssign(ast.Name() as target, operation, value) if type(operation) in BINARY:
                self.lines.append(f"{target.id}{BINARY[type(operation)][0]}={self.at(value, CHOICE)};")
            case ast.If(test, body, other):
                self.inside(f"if({self.condition(test, CHOICE)})", body)
                if other:
                    self.inside("else", other)
            case ast.While(test, body, []):
                self.inside(f"while({self.condition(test, CHOICE)})", body)
            case ast.For(ast.Name(i), ast.Call(ast.Name("range"), [end], []), body, []):
                self.loop(node, i, ast.Constant(0), end, body)
            case ast.For(ast.Name(i), ast.Call(ast.Name("range"), [start, end], []), body, []):
                self.loop(node, i, start, end, body)
            case ast.Expr(ast.Constant(str())):
                pass
            case ast.Expr(ast.Call() as call):
                self.lines.append(f"{self.at(call, CHOICE)};")
            case _:
                raise _unknown(node)

    def inside(self, head: str, body: Sequence[ast.stmt]) -> None:
        """Statements behind a condition or in a loop; braces where there are several, or one of several lines."""
        before = len(self.lines)
        self.block(body)
        if len(self.lines) == before + 1 and not self.lines[before].startswith(("if(", "for(", "while(")):
            self.lines[before] = f"{head} {self.lines[before]}"
        else:
            self.lines.insert(before, f"{head}{{")
            self.lines.append("}")

    def loop(self, node: ast.stmt, i: str, start: ast.expr, end: ast.expr, body: Sequence[ast.stmt]) -> None:
        """A loop over a range whose end stays the same: JavaScript computes it each time."""
        if i in self.local or _depend([end], _assigned(body)):
            raise _unknown(node)
        head = f"for(let {i}={self.at(start, CHOICE)};{i}<{self.at(end, SUM)};{i}++)"
        self.local.add(i)
        self.inside(head, body)
        self.local.remove(i)

    def condition(self, node: ast.expr, level: int) -> str:
        """What is true or false. No arithmetic: nan is true in Python, and false in JavaScript."""
        if not isinstance(node, ast.Compare | ast.BoolOp | ast.UnaryOp | ast.Name | ast.Call):
            raise _unknown(node)
        if isinstance(node, ast.UnaryOp) and not isinstance(node.op, ast.Not):
            raise _unknown(node)
        return self.at(node, level)

    def at(self, node: ast.expr, level: int) -> str:
        """An expression for a place where only what binds at least that tightly needs no parentheses."""
        text, own = self.expression(node)
        return text if own >= level else f"({text})"

    def expression(self, node: ast.expr) -> tuple[str, int]:
        """An expression, and how tightly it binds."""
        match node:
            case ast.Constant(bool() as value):
                return ("true" if value else "false"), ATOM
            case ast.Constant(int() | float() as number):
                return _number(number), ATOM
            case ast.Name(name) if name in self.local:
                return name, ATOM
            case ast.Name(name) if name in self.known:
                self.used.add(name)
                return name, ATOM
            case ast.Attribute(ast.Name("libm"), name) if name in _libm.__all__:
                return f"libm.{name}", ATOM
            case ast.Subscript(array, index):
                return f"{self.at(array, ATOM)}[{self.at(index, CHOICE)}]", ATOM
            case ast.Call(function, arguments, []):
                return self.call(function, arguments)
            case ast.UnaryOp(ast.USub(), x):
                text = self.at(x, SIGN)
                return (f"-({text})" if text.startswith("-") else f"-{text}"), SIGN
            case ast.UnaryOp(ast.Not(), x):
                return f"!{self.condition(x, SIGN)}", SIGN
            case ast.BinOp(x, ast.FloorDiv(), w):
                return f"Math.floor({self.at(x, PRODUCT)}/{self.at(w, SIGN)})", ATOM
            case ast.BinOp(x, operation, w) if type(operation) in BINARY:
                sign, own = BINARY[type(operation)]
                right = self.at(w, own + 1)  # a + (b + c) rounds as it stands
                return f"{self.at(x, own)}{sign}{f'({right})' if right.startswith('-') else right}", own
            case ast.BoolOp(operation, values):
                sign, own = ("&&", AND) if isinstance(operation, ast.And) else ("||", OR)
                return sign.join([self.condition(value, own) for value in values]), own
            case ast.Compare(x, operations, others):
                return self.comparison(node, [x, *others], operations)
            case ast.IfExp(test, x, w):
                return f"{self.condition(test, OR)}?{self.at(x, CHOICE)}:{self.at(w, CHOICE)}", CHOICE
            case _:
                raise _unknown(node)

    def comparison(
        self, node: ast.expr, operands: Sequence[ast.expr], operations: Sequence[ast.cmpop]
    ) -> tuple[str, int]:
        """`a < b < c`, which is `a < b && b < c`: b is a number or a name, since it is computed twice."""
        parts = []
        for x, operation, w in zip(operands, operations, operands[1:], strict=False):
            if type(operation) not in COMPARE:
                raise _unknown(node)
            sign, own = COMPARE[type(operation)]
            parts.append(f"{self.at(x, own + 1)}{sign}{self.at(w, own + 1)}")
        if len(parts) == 1:
            return parts[0], own
        if not all(isinstance(x, ast.Name | ast.Constant) for x in operands[1:-1]):
            raise _unknown(node)
        return "&&".join(parts), AND

    def call(self, function: ast.expr, arguments: Sequence[ast.expr]) -> tuple[str, int]:
        match function, arguments:
            case ast.Name("len"), [array]:
                return f"{self.at(array, ATOM)}.length", ATOM
            case ast.Name("array"), [ast.Constant("d" | "q"), ast.Call(ast.Name("bytes"), [size])]:
                return f"new Float64Array(({self.at(size, CHOICE)})/8)", ATOM
            case ((ast.Name() | ast.Attribute()), _):
                return f"{self.at(function, ATOM)}({','.join([self.at(x, CHOICE) for x in arguments])})", ATOM
            case _:
                raise _unknown(function)


def _assigned(body: Sequence[ast.AST]) -> list[ast.Name]:
    """The names that some statements assign to."""
    nodes = [x for statement in body for x in ast.walk(statement)]
    return [x for x in nodes if isinstance(x, ast.Name) and isinstance(x.ctx, ast.Store)]


def _depend(values: Sequence[ast.expr], targets: Sequence[ast.expr]) -> bool:
    """Whether values are computed from names that are assigned to meanwhile: Python takes the old ones."""
    names = {x.id for x in targets if isinstance(x, ast.Name)}
    return any(isinstance(x, ast.Name) and x.id in names for value in values for x in ast.walk(value))


def _name(node: ast.expr) -> str:
    if not isinstance(node, ast.Name):
        raise _unknown(node)
    return node.id


def _number(number: float) -> str:
    """The shortest text of a number, which reads back as the same one."""
    return repr(number).removesuffix(".0").replace("e-0", "e-").replace("e+", "e")


def _literal(node: ast.expr) -> str:
    return _json(ast.literal_eval(node))


def _json(value: object) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def _unknown(node: ast.AST) -> TranslationError:
    """The error for a piece of Python that is not among those that have a translation."""
    line = getattr(node, "lineno", 0)
    return TranslationError(
        f"line {line} of the rules cannot be translated to JavaScript: {ast.unparse(node)!r:.100}. "
        "Write it with what the other rules use, or teach glassgrad.viz.javascript to translate it"
    )
