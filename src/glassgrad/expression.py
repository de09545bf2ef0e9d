"""Expressions as text, such as `a*b**2 + sin(c)`, for the command line: read, checked and evaluated on Values.

Guarantees: text is never given to Python to run: a tokenizer and a parser of our own know numbers, names, the operators
`+ - * / **` with Python's precedence, parentheses, the functions in `FUNCTIONS`, the constants pi and e, and names for
intermediate results (`h = a*b; tanh(h) + c`). Everything else is refused with its column, a caret below it and what to
write instead. Reading and evaluating are loops with a stack of their own, so no depth of parentheses is too deep; text
of more than `LIMIT` characters is refused.
"""

from __future__ import annotations

import difflib
import functools
import keyword
import math
import operator
import re
import unicodedata
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

from . import functions, modes, rules
from .engine import Scalar, Value
from .errors import GlassgradError, NonFiniteError, OperandError, number, shown

__all__ = ["CONSTANTS", "FUNCTIONS", "LIMIT", "Expression", "ExpressionError", "constant", "parse"]

LIMIT: Final = 100_000  # characters; more Values than that are no picture
NAME_LIMIT: Final = 100  # characters of one name
CONSTANTS: Final = {"pi": math.pi, "e": math.e}
MANY: Final = 10**9  # more arguments than text has room for


class ExpressionError(GlassgradError, ValueError):
    """An expression that cannot be read, or values that do not fit it; the message says where and what to write."""


class Function(NamedTuple):
    """A function that expressions may call, and how many arguments it takes."""

    call: Callable[..., Any]
    least: int
    most: int


def _functions() -> dict[str, Function]:
    """glassgrad's own functions of scalars by their names, those of lists with the numbers as arguments."""
    sizes = {
        2: "arctan2 hypot logaddexp maximum minimum",
        3: "clip where",
        -2: "leaky_relu elu",  # the second has a default
        0: "sum mean prod logsumexp",
        1: "abs arccos arccosh arcsin arcsinh arctan arctanh cbrt cos cosh erf exp expm1 gelu log log1p log2 log10 "
        "reciprocal relu sigmoid sign silu sin sinh softplus sqrt square tan tanh",
    }
    table: dict[str, Function] = {}
    for size, names in sizes.items():
        for name in names.split():
            function = getattr(functions, name)
            if size:
                table[name] = Function(function, 1 if size < 0 else size, abs(size))
            else:
                table[name] = Function(functools.partial(_on_list, function), 1, MANY)
    table["max"] = Function(functools.partial(_folded, functions.maximum), 1, MANY)
    table["min"] = Function(functools.partial(_folded, functions.minimum), 1, MANY)
    return dict(sorted(table.items()))


def _on_list(function: Callable[[list[Scalar]], Scalar], *arguments: Scalar) -> Scalar:
    return function(list(arguments))


def _folded(function: Callable[[Scalar, Scalar], Scalar], *arguments: Scalar) -> Scalar:
    return functools.reduce(function, arguments)


FUNCTIONS: Final = _functions()

# What other languages and school books call them.
OTHER_NAMES: Final = {
    "ln": "log", "lg": "log10", "tg": "tan", "asin": "arcsin", "acos": "arccos", "atan": "arctan", "atan2": "arctan2",
    "asinh": "arcsinh", "acosh": "arccosh", "atanh": "arctanh", "sgn": "sign", "average": "mean", "product": "prod",
    "logistic": "sigmoid", "swish": "silu", "sqr": "square", "root": "sqrt",
}  # fmt: skip
WRITTEN_OUT: Final = {
    "pow": "a**b",
    "dot": "a*b + c*d, since it takes lists",
    "softmax": "exp(a)/(exp(a) + exp(b)), since it gives a list",
}
OTHER_SIGNS: Final = {
    "×": "*", "·": "*", "⋅": "*", "∗": "*", "−": "-", "–": "-", "—": "-", "÷": "/", "∕": "/", "²": "**2", "³": "**3",
    "√": "sqrt(x)", "π": "pi", "^": "**", "（": "(", "）": ")", "，": ",", "；": ";", "＝": "=", "＋": "+",
    "－": "-", "＊": "*", "／": "/", "．": ".", "\xa0": "a plain space", "\u3000": "a plain space",
}  # fmt: skip
NOT_HERE: Final = {
    ".": "there are no attributes in expressions",
    "[": "there are no lists and no indices in expressions; a function of many takes them as f(a, b, c)",
    "{": "there are no sets and no dicts in expressions",
    '"': "there are no texts in expressions",
    "'": "there are no texts in expressions",
    "<": "there are no comparisons in expressions; maximum, minimum, relu, sign and where(x, a, b) are there",
    "//": "division is /",
    "%": "the operators are + - * / **",
    "@": "the operators are + - * / **",
}
NOT_HERE.update(dict.fromkeys(("==", "!=", "<=", ">=", ">"), NOT_HERE["<"]))


class Operator(NamedTuple):
    """An operator: the rule it stands for, how strongly it binds, Python's function for it."""

    rule: str
    binds: int
    call: Callable[..., Any]


OPERATORS: Final = {
    "+": Operator("add", 1, operator.add),
    "-": Operator("sub", 1, operator.sub),
    "*": Operator("mul", 2, operator.mul),
    "/": Operator("div", 2, operator.truediv),
    "**": Operator("pow", 4, operator.pow),
}
NEGATION: Final = Operator("neg", 3, lambda x: -x)  # -x**2 is -(x**2), and -x*y is (-x)*y

TOKEN: Final = re.compile(
    r"(?P<number>(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?)"
    r"|(?P<name>[A-Za-z_][A-Za-z0-9_]*)"
    r"|(?P<sign>\*\*|[-+*(),;]|/(?!/)|=(?!=))"
    r"|(?P<bad>//|[=!<>]=|[^ \t\r\n])"
)


class Token(NamedTuple):
    """A word of the text: 'number', 'name', 'bad' and 'end', or the sign itself; where it starts, counted from 0."""

    kind: str
    text: str
    start: int


class Step(NamedTuple):
    """What evaluation does next with its stack: push a number or a name, apply something to the topmost, or end."""

    do: str  # 'number', 'name', 'neg', an operator, 'call', 'end' of a statement
    what: Any  # the number, the name, the function's name; the statement's target and text
    takes: int  # how many operands, off the stack
    start: int


@dataclass(frozen=True)
class Expression:
    """An expression that was read: its text, the names that need values, and how to evaluate it. Made by `parse`.

    Example:
        >>> expression = parse("a*b + c")
        >>> expression.names
        ('a', 'b', 'c')
        >>> expression.evaluate({"a": 2, "b": 3, "c": 1}).data
        7.0
    """

    text: str
    names: tuple[str, ...]
    steps: tuple[Step, ...]

    def evaluate(self, values: Mapping[str, float]) -> Value:
        """Return the result, computed from one labelled Value for each name.

        A result that the text gives a name has that label, the last one otherwise the text itself. A name that is
        given a plain number, as in `x = 2; x**2`, is a leaf like those from `values`; numbers elsewhere are constants.

        Raises:
            ExpressionError: a name has no value, there is no such name, or a value is not finite.
            NonFiniteError: an operation is undefined or overflows; the message shows which.
        """
        named: dict[str, Scalar] = {name: _leaf(name, x) for name, x in self._checked(values).items()}
        stack: list[Scalar] = []
        for step in self.steps:
            first = len(stack) - step.takes
            operands = stack[first:]
            del stack[first:]
            try:
                result = _result(step, operands, named)
            except NonFiniteError as error:
                reason = str(error).partition("; ")[0]  # what follows is a way out in Python
                raise NonFiniteError(_pointed(reason, self.text, step.start)) from error
            stack.append(result)
        root = stack[-1]  # the others are what the statements before gave
        return root if isinstance(root, Value) else Value(root, self.steps[-1].what[1], requires_grad=False)

    def _checked(self, values: Mapping[str, float]) -> dict[str, float]:
        unknown = [name for name in values if name not in self.names]
        if unknown:
            raise ExpressionError(self._unknown(unknown[0]))
        missing = [name for name in self.names if name not in values]
        if missing:
            raise ExpressionError(f"no value for {_listed(missing)}: add {' '.join(f'{name}=…' for name in missing)}")
        return {name: values[name] for name in self.names}

    def _unknown(self, name: str) -> str:
        if name in CONSTANTS:
            return f"{name} is the constant {CONSTANTS[name]!r} and takes no value; call yours something else"
        if any(step.do == "end" and step.what[0] == name for step in self.steps):
            return f"{name} is computed in the expression and takes no value"
        there = f"its names are {_listed(self.names)}" if self.names else "it has no names that take a value"
        return f"the expression has no {shown_text(name)}; {there}{_meant(name, self.names)}"


def parse(text: str) -> Expression:
    """Return the expression that `text` says; an ExpressionError with the column and a caret for anything else.

    Example:
        >>> parse("h = a*b; tanh(h) + c").evaluate({"a": 2, "b": 3, "c": 1}).label
        'tanh(h) + c'
        >>> parse("a^2")
        Traceback (most recent call last):
        ...
        glassgrad.expression.ExpressionError: in column 2, write ** instead of ^
          a^2
           ^
    """
    if not isinstance(text, str):
        raise OperandError(f"an expression is text, such as 'a*b + c', not {shown(text)}")
    if len(text) > LIMIT:
        raise ExpressionError(f"an expression has at most {LIMIT:,} characters; this one has {len(text):,}")
    return _Reader(text).expression()


def constant(text: str) -> float:
    """Return the number that an expression without names stands for, such as `-1.5e-3` or `pi/4`.

    Raises:
        ExpressionError: it is no such expression, or not a finite number.
    """
    word = text.strip().lower().lstrip("+-")
    if word in ("inf", "infinity", "nan"):
        raise ExpressionError(f"{text.strip()} is not finite, and derivatives need finite numbers")
    expression = parse(text)
    if expression.names:
        raise ExpressionError(f"{shown_text(text)} is not a number: {_listed(expression.names)} has no value there")
    try:
        return expression.evaluate({}).data
    except NonFiniteError as error:
        raise ExpressionError(str(error)) from None


# ---- reading -------------------------------------------------------------------------------------------------------


@dataclass
class Open:
    """What waits on the stack for what comes behind it: an operator, a sign, a parenthesis or a call."""

    kind: str  # an operator, 'neg', '(' or 'call'
    start: int
    binds: int = 0
    name: str = ""  # of the function
    count: int = 0  # arguments so far


class _Reader:
    """Reads text into steps in postfix order (Dijkstra's shunting yard)."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.tokens = [Token(_kind(found), found[0], found.start()) for found in TOKEN.finditer(text)]
        self.tokens.append(Token("end", "", len(text.rstrip())))
        self.place = 0
        self.steps: list[Step] = []
        self.open: list[Open] = []
        self.names: dict[str, int] = {}  # inputs, with where each was first used
        self.targets: dict[str, int] = {}  # results that have a name, with where they got it
        self.used: set[str] = set()

    def expression(self) -> Expression:
        """The whole text: statements between semicolons, the last one of which gives the result."""
        if self._now().kind == "end":
            raise ExpressionError("the expression is empty; write one such as 'a*b + c'")
        while self._now().kind != "end":
            target, start = self._statement()
            last = self._now().kind == "end"
            if not last and not target:
                raise self._error("the result of this is lost; give it a name, as in h = a*b", start)
        lost = [name for name in self.targets if name not in self.used and name != target]
        if lost:
            raise self._error(f"{lost[0]} is never used behind this", self.targets[lost[0]], len(lost[0]))
        return Expression(self.text, tuple(self.names), tuple(self.steps))

    def _statement(self) -> tuple[str, int]:
        """Read up to the next semicolon, and past it; return the name that the result gets, and where it starts."""
        target = self._target()
        first = self._now()
        wants_operand = True
        while (token := self._now()).kind not in (";", "end"):
            if token.kind == "bad":
                raise self._refused(token)
            self.place += 1
            wants_operand = self._operand(token) if wants_operand else self._operator(token)
        if wants_operand:
            raise self._expected("a number, a name or (", token)
        self._close_operators(0)
        if self.open:
            raise self._error("this ( is never closed", self.open[-1].start)
        text = " ".join(self.text[first.start : token.start].split())
        self.steps.append(Step("end", (target, text), 1, first.start))
        if target in self.names:
            where = self.names[target]
            raise self._error(f"{target} is an input here; give the result another name", where, len(target))
        if target:
            self.targets[target] = first.start
        self.place += token.kind == ";"
        return target, first.start

    def _target(self) -> str:
        """Read `name =`, if the statement starts with that."""
        token = self._now()
        if token.kind != "name" or self.tokens[self.place + 1].kind != "=":
            return ""
        name = token.text
        self._check_name(token)
        if name in FUNCTIONS or name in CONSTANTS:
            raise self._error(f"{name} means something already; use another name", token.start, len(name))
        if name in self.targets:
            raise self._error(f"{name} has a value already; use another name", token.start, len(name))
        if name in self.names:
            where = f"column {self.names[name] + 1}"
            raise self._error(f"{name} is an input in {where}; use another name", token.start, len(name))
        self.place += 2
        return name

    def _operand(self, token: Token) -> bool:
        """Take a token where a number, a name or a parenthesis may stand; return whether one may stand next."""
        if token.kind == "number":
            self._push("number", self._number(token), token)
            return False
        if token.kind == "name":
            return self._name(token)
        if token.kind == "(":
            self.open.append(Open("(", token.start))
        elif token.kind == "-":
            self.open.append(Open("neg", token.start, NEGATION.binds))
        elif token.kind != "+":
            raise self._expected("a number, a name or (", token)
        return True

    def _name(self, token: Token) -> bool:
        name = token.text
        self._check_name(token)
        if self._now().kind == "(":
            if name not in FUNCTIONS:
                raise self._error(f"there is no function {name}{_function_meant(name, self)}", token.start, len(name))
            self.open.append(Open("call", token.start, name=name))
            self.place += 1
            return True
        if name in FUNCTIONS:
            raise self._error(f"{name} is a function: write {name}(x)", token.start, len(name))
        if name in CONSTANTS:
            self._push("number", CONSTANTS[name], token)
        else:
            self._push("name", name, token)
            self.used.add(name)
            if name not in self.targets:
                self.names.setdefault(name, token.start)
        return False

    def _operator(self, token: Token) -> bool:
        """Take a token where an operator may stand, or the end of something; return whether an operand stands next."""
        if token.kind in OPERATORS:
            binds = OPERATORS[token.kind].binds
            self._close_operators(binds + (token.kind == "**"))  # a**b**c is a**(b**c)
            self.open.append(Open(token.kind, token.start, binds))
            return True
        if token.kind in (")", ","):
            self._close_operators(0)
            if token.kind == ")":
                self._close(token)
                return False
            if not self.open or self.open[-1].kind != "call":
                raise self._error("a comma stands between the arguments of a function only", token.start)
            self.open[-1].count += 1
            return True
        if token.kind == "=":
            raise self._error("= stands behind the first name of a statement only, as in h = a*b", token.start)
        before = self.tokens[self.place - 2]
        after = "(…)" if token.kind == "(" else shown_text(token.text)
        raise self._error(
            f"an operator is missing: write {shown_text(before.text)}*{after} to multiply", token.start, len(token.text)
        )

    def _close_operators(self, binds: int) -> None:
        """Emit the operators that wait and bind at least as strongly."""
        while self.open and self.open[-1].binds >= max(binds, 1):
            done = self.open.pop()
            self.steps.append(Step(done.kind, None, 1 if done.kind == "neg" else 2, done.start))

    def _close(self, token: Token) -> None:
        """Take the closing parenthesis of a group or a call."""
        if not self.open:
            raise self._error("there is no ( that this closes", token.start)
        done = self.open.pop()
        if done.kind == "call":
            count = done.count + 1
            function = FUNCTIONS[done.name]
            if not function.least <= count <= function.most:
                raise self._error(
                    f"{done.name} takes {_counted(function)}, not {count}", done.start, token.start + 1 - done.start
                )
            self.steps.append(Step("call", done.name, count, done.start))

    def _number(self, token: Token) -> float:
        x = float(token.text)
        if math.isinf(x):
            raise self._error("a float ends at 1.8e308; this is larger", token.start, len(token.text))
        if x == 0.0 and re.search("[1-9]", re.split("[eE]", token.text)[0]):
            raise self._error("the smallest float is 4.9e-324; this is smaller", token.start, len(token.text))
        return x

    def _check_name(self, token: Token) -> None:
        if keyword.iskeyword(token.text):
            raise self._error(f"{token.text} is a word of Python, not a name", token.start, len(token.text))
        if len(token.text) > NAME_LIMIT:
            raise self._error(f"a name has at most {NAME_LIMIT} characters", token.start, len(token.text))

    def _push(self, do: str, what: Any, token: Token) -> None:
        self.steps.append(Step(do, what, 0, token.start))

    def _now(self) -> Token:
        return self.tokens[self.place]

    # What is wrong ---------------------------------------------------------------------------------------------

    def _error(self, message: str, start: int, length: int = 1) -> ExpressionError:
        return ExpressionError(_pointed(message, self.text, start, length))

    def _expected(self, what: str, token: Token) -> ExpressionError:
        if token.kind == ")" and self.open and self.open[-1].kind == "call":
            before = self.tokens[self.place - 2].kind
            if before == "(":
                name = self.open[-1].name
                return self._error(f"{name} takes {_counted(FUNCTIONS[name])}, not none", token.start)
        found = "the expression ends here" if token.kind == "end" else f"here is {token.text}"
        return self._error(f"expected {what}, but {found}", token.start, len(token.text) or 1)

    def _refused(self, token: Token) -> ExpressionError:
        c = token.text
        if c in OTHER_SIGNS:
            return self._error(f"write {OTHER_SIGNS[c]} instead of {shown_text(c)}", token.start)
        if c in NOT_HERE:
            return self._error(NOT_HERE[c], token.start, len(c))
        if c.isascii() and c.isprintable():
            return self._error(f"{c} means nothing in an expression", token.start)
        name = unicodedata.name(c, "no printable character")
        return self._error(f"U+{ord(c):04X}, {name.lower()}: expressions are ASCII", token.start)


def _kind(found: re.Match[str]) -> str:
    kind = found.lastgroup or ""
    return found[0] if kind == "sign" else kind


def _pointed(message: str, text: str, start: int, length: int = 1) -> str:
    """A message with the column, the part of the text around it, and a caret below the fault."""
    left = max(0, start - 40)
    right = min(len(text), start + 36)
    line = "".join([c if c.isprintable() else " " if c in "\t\r\n" else "\ufffd" for c in text[left:right]])
    before, after = "… " if left else "", " …" if right < len(text) else ""
    mark = "^" + "~" * (min(start + length, right) - start - 1)
    return f"in column {start + 1}, {message}\n  {before}{line}{after}\n  {' ' * (len(before) + start - left)}{mark}"


def shown_text(text: str) -> str:
    """Something a user wrote, as an error quotes it: on one line, short, without what a terminal would act on."""
    line = "".join([c if c.isprintable() else "\ufffd" for c in text[:41]])
    return line if len(text) <= 40 else line[:40] + "…"


def _listed(names: Iterable[str]) -> str:
    first = [shown_text(name) for name in names]
    more = len(first) - 12
    return ", ".join(first) if more <= 0 else f"{', '.join(first[:12])} and {more} more"


def _counted(function: Function) -> str:
    least, most = function.least, function.most
    if most == MANY:
        return f"{least} argument or more"
    return f"{most} argument{'s' if most > 1 else ''}" if least == most else f"{least} or {most} arguments"


def _meant(name: str, names: Iterable[str]) -> str:
    """Names close to one that is not there, as the end of an error."""
    close = difflib.get_close_matches(name[:NAME_LIMIT], names, n=3)
    return f"; did you mean {' or '.join(close)}?" if close else ""


def _function_meant(name: str, reader: _Reader) -> str:
    if name in WRITTEN_OUT:
        return f"; write {WRITTEN_OUT[name]}"
    if name in OTHER_NAMES:
        return f"; it is called {OTHER_NAMES[name]} here"
    if name in reader.names or name in reader.targets or len(name) == 1:
        return f"; write {name}*(…) to multiply"
    return _meant(name, FUNCTIONS)


# ---- evaluating ----------------------------------------------------------------------------------------------------


def _leaf(name: str, x: object) -> Value:
    data = number(x, f"the value of {name}")
    if not math.isfinite(data) and not modes.current().allow_nonfinite:
        raise ExpressionError(f"{name}={data} is not finite, and derivatives need finite numbers")
    return Value(data, name)


def _result(step: Step, operands: list[Scalar], named: dict[str, Scalar]) -> Scalar:
    """What a step puts on the stack."""
    if step.do == "number":
        return step.what  # type: ignore[no-any-return]
    if step.do == "name":
        return named[step.what]
    if step.do == "call":
        return FUNCTIONS[step.what].call(*operands)  # type: ignore[no-any-return]
    if step.do == "end":
        target, text = step.what
        return _named(target, text, operands[0], named)
    sign = OPERATORS.get(step.do, NEGATION)
    if any(isinstance(x, Value) for x in operands):
        return sign.call(*operands)  # type: ignore[no-any-return]
    # Of numbers alone: by our own rules, since Python's (-8.0)**0.5 is complex and its errors have other names.
    return functions.checked(sign.rule, tuple(operands), rules.RULES[sign.rule].value(*operands))


def _named(target: str, text: str, result: Scalar, named: dict[str, Scalar]) -> Scalar:
    """The result of a statement under its name: a number becomes an input, another name for a Value changes nothing."""
    if not isinstance(result, Value):
        if not target:
            return result
        result = Value(result, target)
    if not result.label:
        result.label = target or text
    if target:
        named[target] = result
    return result
