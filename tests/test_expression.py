"""Expressions as text: they mean what Python means, and everything else is refused with its column."""

from __future__ import annotations

import contextlib
import importlib
import math
import re
import string
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

import glassgrad
from glassgrad import GlassgradError, NonFiniteError, Value, expression
from glassgrad.expression import FUNCTIONS, LIMIT, ExpressionError, constant, parse

NAMES = "abcd"


def value(text, **values):
    return parse(text).evaluate(values).data


def refusal(text):
    with pytest.raises(ExpressionError) as caught:
        parse(text)
    return str(caught.value)


# ---- it means what Python means ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "text",
    [
        "-x**2", "2**-1.0", "2.0**3.0**2.0", "(2.0**3.0)**2.0", "-x*x", "x - 1 - 2", "x/2/5", "x - (1 - 2)", "+x",
        "--x", "-+-x", "2**-x**2", "-2**-2", "x*-3", "1.5e-3*x", ".5*x", "2.*x", "1E+2 + x", "3 + 4*2/(1 - 5)**2",
        "-(x + 1)**3", " x\t+ 1 ", "x**2**0.5*3 - -x",
    ],
)  # fmt: skip
def test_operators_bind_as_in_python(text):
    assert value(text, **({"x": 1.75} if "x" in text else {})) == eval(text.strip(), {"x": 1.75})


PYTHONS = {name: getattr(glassgrad, name) for name in FUNCTIONS if name not in ("max", "min")}
PYTHONS.update({name: lambda *xs, f=PYTHONS[name]: f(list(xs)) for name in ("sum", "mean", "prod", "logsumexp")})
PYTHONS.update(max=lambda *xs: max(xs), min=lambda *xs: min(xs), pi=math.pi, e=math.e)


@st.composite
def texts(draw):
    """The text of a random expression, with spaces and parentheses that need not be there."""

    def bigger(inner):
        calls = st.sampled_from(sorted(FUNCTIONS)).flatmap(
            lambda name: st.lists(inner, min_size=FUNCTIONS[name].least, max_size=min(FUNCTIONS[name].most, 4)).map(
                lambda arguments: f"{name}({', '.join(arguments)})"
            )
        )
        sums = st.tuples(inner, st.sampled_from(["+", " - ", "*", " / ", "**"]), inner).map("".join)
        return sums | calls | inner.map("-{}".format) | inner.map("( {} )".format)

    numbers = st.sampled_from(["0.5", "1.0", "2.", "3.25", ".125", "1e-2", "1E2", "pi", "e"])
    return draw(st.recursive(st.sampled_from(NAMES) | numbers, bigger, max_leaves=12))


@given(texts(), st.lists(st.floats(-3, 3), min_size=4, max_size=4))
def test_random_expressions_agree_with_python_in_value_and_gradient(text, numbers):
    values = dict(zip(NAMES, numbers, strict=True))
    theirs = {name: Value(x) for name, x in values.items()}
    ours = parse(text)
    given = {name: values[name] for name in ours.names}
    try:
        expected = eval(text, {**PYTHONS, **theirs})
    except (GlassgradError, ArithmeticError):
        with pytest.raises(NonFiniteError):
            ours.evaluate(given)
        return
    if isinstance(expected, complex):  # numbers alone: Python leaves the real line, the expression does not
        with pytest.raises(NonFiniteError):
            ours.evaluate(given)
        return
    root = ours.evaluate(given)
    plain = expected.data if isinstance(expected, Value) else expected
    assert root.data == pytest.approx(plain, rel=1e-12, abs=1e-300, nan_ok=True)
    if not isinstance(expected, Value) or not ours.names:
        return
    leaves = {leaf.label: leaf for leaf in _leaves(root)}
    try:
        expected.backward()
    except NonFiniteError:
        with pytest.raises(NonFiniteError):
            root.backward()
        return
    root.backward()
    for name in ours.names:
        reached = leaves[name].grad if name in leaves else 0.0
        assert reached == pytest.approx(theirs[name].grad, rel=1e-9, abs=1e-300, nan_ok=True)


def _leaves(root):
    found, stack = {id(root): root}, [root]
    while stack:
        for operand in stack.pop()._prev:
            if id(operand) not in found:
                found[id(operand)] = operand
                stack.append(operand)
    return [node for node in found.values() if not node._prev]


def test_every_function_of_scalars_is_there():
    left_out = {"dot", "softmax"}  # of two lists, and with a list as result
    assert set(FUNCTIONS) == (set(glassgrad.functions.__all__) | {"abs", "sum", "max", "min"}) - left_out


def test_functions_of_many_take_their_numbers_as_arguments():
    assert value("sum(a, 2, 3)", a=1) == 6
    assert value("mean(a, 2, 3)", a=1) == 2
    assert value("max(a, 2, 3) + min(a, 2, 3) + max(a)", a=1) == 5
    assert value("clip(a, 0, 1) + leaky_relu(-a, 0.5) + leaky_relu(-a)", a=2) == pytest.approx(1 - 1 - 0.02)


def test_the_constants_are_pi_and_e():
    assert value("pi + e") == math.pi + math.e


# ---- names and labels ----------------------------------------------------------------------------------------------


def test_names_come_in_the_order_of_the_text():
    assert parse("c*a + b*a - pi").names == ("c", "a", "b")


def test_leaves_carry_their_names_and_the_result_the_text():
    root = parse("  a*b \n+ a ").evaluate({"a": 2, "b": 3})
    assert (root.label, root.data) == ("a*b + a", 8)
    assert sorted(leaf.label for leaf in _leaves(root)) == ["a", "b"]


def test_results_with_a_name_carry_it():
    root = parse("h = a*b; L = tanh(h) + h;").evaluate({"a": 2, "b": 3})
    assert root.label == "L"
    assert [node.label for node in root._prev] == ["", "h"]
    assert root._prev[0]._prev[0] is root._prev[1]


def test_a_number_with_a_name_is_an_input():
    root = parse("x = 2; y = 3*x; x*y").evaluate({})
    root.backward()
    leaves = {leaf.label: leaf for leaf in _leaves(root) if leaf.label}
    assert (root.data, leaves["x"].grad) == (12, 12)


def test_another_name_for_a_value_changes_nothing():
    root = parse("h = a; h*h").evaluate({"a": 3})
    assert [node.label for node in root._prev] == ["a", "a"]


def test_an_expression_of_numbers_alone_is_a_constant():
    root = parse("2 + 3").evaluate({})
    assert (root.data, root.label, root.requires_grad) == (5, "2 + 3", False)


def test_evaluating_twice_makes_two_graphs():
    ours = parse("a*a")
    first, second = ours.evaluate({"a": 2}), ours.evaluate({"a": 5})
    first.backward()
    assert (first._prev[0].grad, second._prev[0].grad, second.data) == (4, 0, 25)


@pytest.mark.parametrize(
    ("values", "reason"),
    [
        ({}, "no value for a, b: add a=… b=…"),
        ({"a": 1}, "no value for b: add b=…"),
        ({"a": 1, "b": 2, "bb": 3}, "the expression has no bb; its names are a, b; did you mean b?"),
        ({"a": 1, "b": 2, "h": 3}, "h is computed in the expression and takes no value"),
        ({"a": 1, "b": 2, "pi": 3}, "pi is the constant 3.14"),
        ({"a": math.inf, "b": 2}, "a=inf is not finite"),
        ({"a": math.nan, "b": 2}, "a=nan is not finite"),
    ],
)
def test_values_that_do_not_fit_are_refused(values, reason):
    with pytest.raises(ExpressionError) as caught:
        parse("h = a*b; h + 1").evaluate(values)
    assert reason in str(caught.value)


def test_what_is_no_number_is_refused():
    with pytest.raises(glassgrad.OperandError, match="the value of a takes a real number, not str '1'"):
        parse("a + 1").evaluate({"a": "1"})
    with pytest.raises(glassgrad.OperandError, match="an expression is text"):
        parse(3)


@pytest.mark.parametrize(
    ("text", "column", "reason"),
    [
        ("1 + a/(a - a)", 6, "div(a = 1.0, 0.0)"),
        ("log(a - 2) + a", 1, "log(-1.0) is undefined"),
        ("a + 1/0", 6, "div(1.0, 0.0)"),
        ("a + (-8)**0.5", 9, "pow(-8.0, 0.5) is undefined"),
        ("a + 10**400", 7, "pow(10.0, 400.0) is inf"),
    ],
)
def test_undefined_results_are_shown_where_they_arise(text, column, reason):
    with pytest.raises(NonFiniteError) as caught:
        parse(text).evaluate({"a": 1})
    message = str(caught.value)
    assert reason in message
    assert message.startswith(f"in column {column}, ")
    assert "allow_nonfinite" not in message  # no way out on a command line


def test_with_allow_nonfinite_the_results_of_ieee_come_through():
    with glassgrad.allow_nonfinite():
        assert value("1/(a - a)", a=1) == math.inf
        assert math.isnan(value("a", a=math.nan))


# ---- what is refused -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "column", "reason"),
    [
        ("a^2", 2, "write ** instead of ^"),
        ("a×b", 2, "write * instead of ×"),
        ("a（b", 2, "write ( instead of （"),
        ("a\xa0+ b", 2, "a plain space"),
        ("a b", 3, "an operator is missing: write a*b to multiply"),
        ("2x", 2, "write 2*x to multiply"),
        ("0x1F", 2, "an operator is missing"),
        ("1_000", 2, "an operator is missing"),
        ("2j", 2, "an operator is missing"),
        ("1.2.3", 4, "an operator is missing"),
        ("2(a)", 2, "write 2*(…) to multiply"),
        ("(a)(b)", 4, "an operator is missing"),
        ("a + x(b)", 5, "there is no function x; write x*(…) to multiply"),
        ("a + sinn(b)", 5, "did you mean sin or sinh or sign?"),
        ("ln(a)", 1, "it is called log here"),
        ("pow(a, 2)", 1, "write a**b"),
        ("softmax(a, b)", 1, "since it gives a list"),
        ("dot(a, b)", 1, "since it takes lists"),
        ("sin + a", 1, "write sin(x)"),
        ("sin()", 5, "sin takes 1 argument, not none"),
        ("a*sin(a, b)", 3, "sin takes 1 argument, not 2"),
        ("clip(a)", 1, "clip takes 3 arguments, not 1"),
        ("elu(a, b, c)", 1, "elu takes 1 or 2 arguments, not 3"),
        ("sum(a, )", 8, "expected a number, a name or ("),
        ("(a + b", 1, "never closed"),
        ("a + b)", 6, "there is no ( that this closes"),
        ("()", 2, "expected a number"),
        ("a +", 4, "the expression ends here"),
        ("a + * b", 5, "here is *"),
        ("a***b", 4, "here is *"),
        ("a, b", 2, "between the arguments of a function only"),
        ("sin((a, b))", 7, "between the arguments of a function only"),
        ("a // b", 3, "division is /"),
        ("a % b", 3, "the operators are"),
        ("a < b", 3, "no comparisons"),
        ("a == b", 3, "no comparisons"),
        ("a.real", 2, "no attributes"),
        ("a.__class__", 2, "no attributes"),
        ("a[0]", 2, "no indices"),
        ("'a'", 1, "no texts"),
        ('f"{a}"', 2, "no texts"),
        ("lambda: a", 1, "lambda is a word of Python"),
        ("a if b else c", 3, "an operator is missing"),
        ("None", 1, "None is a word of Python"),
        ("a := b", 3, ": means nothing"),
        ("__import__('os')", 1, "there is no function __import__"),
        ("eval(a)", 1, "there is no function eval"),
        ("a\\b", 2, "means nothing"),
        ("ａ + b", 1, "fullwidth latin small letter a"),
        ("а + b", 1, "cyrillic small letter a"),
        ("a + \x00", 5, "U+0000"),
        ("a + \x1b[31m", 5, "U+001B"),
        ("a\u202e + b", 2, "U+202E, right-to-left override"),
        ("\ud800", 1, "U+D800"),
        ("1e999", 1, "a float ends at 1.8e308"),
        ("a + 1e-999", 5, "the smallest float is"),
        ("a = b = c", 7, "behind the first name of a statement only"),
        ("f(x=1)", 1, "there is no function f"),
        ("a; b", 1, "the result of this is lost"),
        ("h = a*b; a + 1", 5, "h is never used behind this"),
        ("h = a; h = b; h", 8, "h has a value already"),
        ("a + 1; a = 2", 1, "the result of this is lost"),
        ("h = a + 1; a = h", 12, "a is an input in column 5"),
        ("a = a + 1", 5, "a is an input here"),
        ("sin = 3", 1, "sin means something already"),
        ("pi = 3", 1, "pi means something already"),
        (";", 1, "here is ;"),
        ("a;;b", 1, "the result of this is lost"),
        ("n" * 101, 1, "a name has at most 100 characters"),
    ],
)  # fmt: skip
def test_what_is_no_expression_is_refused_with_its_column(text, column, reason):
    message, shown, caret = refusal(text).split("\n")
    assert reason in message
    assert message.startswith(f"in column {column}, ")
    assert caret.index("^") - 2 == column - 1
    assert all(c.isprintable() for c in shown)


@pytest.mark.parametrize("text", ["", "   ", "\n\t"])
def test_nothing_is_no_expression(text):
    assert "the expression is empty" in refusal(text)


def test_of_a_long_text_the_part_around_the_fault_is_shown():
    message, shown, caret = refusal("a + " * 500 + "$ + " + "a + " * 500 + "a").split("\n")
    assert message.startswith("in column 2001, ")
    assert len(shown) < 90
    assert shown[caret.index("^")] == "$"


def test_no_depth_is_too_deep():
    depth = 49_000
    assert value("(" * depth + "a" + ")" * depth, a=3) == 3
    assert value("-" * depth + "a", a=3) == 3
    assert value("tanh(" * 16_000 + "a" + ")" * 16_000, a=0) == 0
    assert value("a**" * 20_000 + "a", a=1) == 1
    assert "in column 50001, expected" in refusal("(" * 50_000)
    assert "there is no ( that this closes" in refusal("a" + ")" * 50_000)


def test_more_text_than_the_limit_is_refused():
    assert value("a" + " " * (LIMIT - 1), a=1) == 1
    assert refusal("(" * 100_001) == "an expression has at most 100,000 characters; this one has 100,001"


@given(st.text(alphabet=string.printable + "×²π\x00\u202e（é𝟏", max_size=40))
def test_any_text_is_read_or_refused(text):
    try:
        ours = parse(text)
    except ExpressionError as error:
        lines = str(error).split("\n")
        assert len(lines) in (1, 3)
        return
    with contextlib.suppress(NonFiniteError):
        assert isinstance(ours.evaluate(dict.fromkeys(ours.names, 1.5)), Value)


def test_nothing_of_python_runs_it():
    code = Path(importlib.util.find_spec("glassgrad.expression").origin).read_text(encoding="utf-8")
    assert re.findall(r"(?<!re\.)\b(?:eval|exec|compile|literal_eval|__import__|getattr\(Value)\(", code) == []


# ---- numbers alone -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "number"),
    [("1e-3", 0.001), ("-2", -2), (" 3 ", 3), ("pi/4", math.pi / 4), ("-1/3", -1 / 3), ("2**10", 1024)],
)
def test_a_constant_is_an_expression_without_names(text, number):
    assert constant(text) == number


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("inf", "inf is not finite"), ("-Infinity", "not finite"), ("nan", "nan is not finite"),
        ("x", "x has no value"), ("", "empty"), ("1/0", "div(1.0, 0.0)"), ("1e999", "a float ends at"),
        ("１", "fullwidth digit one"), ("1_0", "an operator is missing"),
    ],
)  # fmt: skip
def test_other_text_is_no_constant(text, reason):
    with pytest.raises(ExpressionError, match=r"^[^\x00]*$") as caught:
        constant(text)
    assert reason in str(caught.value)


def test_the_examples_of_the_module_print_what_they_say():
    import doctest

    assert doctest.testmod(expression).failed == 0


def test_it_is_not_loaded_with_the_package():
    code = "import sys, glassgrad; print('glassgrad.expression' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "False\n"
