"""Explanations: from symbols to numbers, over all paths, in two languages, whatever the graph and the labels are."""

from __future__ import annotations

import ast
import io
import math
import random
import re
import string
import sys
import time

import pytest
from pictures import HOSTILE
from strategies import INTERNAL, NAMES, NARY, _calculus, evaluate, on, smooth_points, smooth_program

from glassgrad import rules

G1 = """\
∂L/∂a = 6

How L = −8 changes with a = 2, by the chain rule.

Step by step, from L down to a

1. n4 = 4 is used in L = n4·f
   ∂L/∂n4 = f
          = −2

2. n2 = −6 is used in n4 = n2 + c
   ∂L/∂n2 = ∂L/∂n4 · ∂n4/∂n2
          = ∂L/∂n4 · 1
          = (−2)·1
          = −2

3. a = 2 is used in n2 = a·b
   ∂L/∂a = ∂L/∂n2 · ∂n2/∂a
         = ∂L/∂n2 · b
         = (−2)·(−3)
         = 6

One path leads from L to a

   L → n4 → n2 → a   (−2)·1·(−3) = 6

a.grad is not computed: call L.backward()."""


@pytest.fixture
def g1(gg):
    a, b, c, f = gg.Value(2, "a"), gg.Value(-3, "b"), gg.Value(10, "c"), gg.Value(-2, "f")
    loss = (a * b + c) * f
    loss.label = "L"
    return loss, a, b, c, f


@pytest.fixture(autouse=True)
def wide(monkeypatch):
    monkeypatch.setenv("COLUMNS", "100")


def part(gg, name):
    return __import__(f"{gg.__name__}.viz.{name}", fromlist=[name])


def test_g1_by_a(gg, g1):
    loss, a, *_ = g1
    found = gg.explain(loss, a)
    assert str(found) == repr(found) == G1
    assert (found.derivative, found.paths.count) == (6.0, 1)


def test_g5_has_three_paths_that_add_up(gg):
    x = gg.Value(3.0, "x")
    y = x**2 + 2 * x + x
    y.label = "y"
    y.backward()
    text = str(gg.explain(y, x))
    assert "4. x = 3 is used 3 times: n2 = x², n4 = 2·x, y = n5 + x" in text
    assert text.endswith("""\
   ∂y/∂x = ∂y/∂n2 · ∂n2/∂x + ∂y/∂n4 · ∂n4/∂x + 1
         = ∂y/∂n2 · (2·x) + ∂y/∂n4 · 2 + 1
         = 1·6 + 1·2 + 1
         = 9

3 paths lead from y to x; their products add up

   y → n5 → n2 → x   1·1·6 = 6
   y → n5 → n4 → x   1·1·2 = 2
   y → x                   = 1
                       sum = 9

x.grad is 9, the same.""")


def test_both_uses_in_one_operation_are_told_apart(gg):
    a = gg.Value(3.0, "a")
    b = a * a
    c = b * 2
    text = str(gg.explain(c, a))
    assert "∂n1" not in text.partition("\n")[0]
    assert "· ∂₁n1 + " in text
    assert "· ∂₂n1" in text
    assert "∂₁n1 is the derivative of n1 by its first operand alone" in text
    assert "2·3 + 2·3" in text


@pytest.mark.parametrize("name", [*NAMES, *INTERNAL])
def test_the_formula_of_every_operation_has_the_value_of_its_derivative(gg, name):
    formulas = part(gg, "formulas")
    phi = lambda x: math.exp(-x * x / 2) / math.sqrt(2 * math.pi)  # noqa: E731
    known = {
        **{f: getattr(math, f) for f in dir(math) if not f.startswith("_")}, "sign": lambda x: math.copysign(1, x),
        "sigmoid": lambda x: 1 / (1 + math.exp(-x)), "φ": phi, "Φ": lambda x: (1 + math.erf(x / math.sqrt(2))) / 2,
    }  # fmt: skip
    rule = rules.RULES[name]
    points = [(0.7,), (-0.4,)] if name in INTERNAL else smooth_points(name, rules, 5)
    for xs in points:
        y, partials = _calculus(rule, name, xs)
        n = len(xs)
        graph = gg.Graph(
            ops=["leaf"] * n + [name], symbols=[""] * n + [rule.symbol], operands=[()] * n + [tuple(range(n))],
            values=[*xs, y], grads=[None] * (n + 1), partials=[()] * n + [tuple(partials)],
            labels=[""] * (n + 1), scopes=[""] * (n + 1), requires_grad=[True] * (n + 1), roots=(n,),
        )  # fmt: skip
        for position in range(n):
            formula = formulas.derivative(graph, n, position)
            values = {key: graph.values[i] for key, i in formula.nodes.items()}
            code = compile(ast.fix_missing_locations(ast.Expression(formula.tree)), "formula", "eval")
            assert eval(code, {**known, **values}) == pytest.approx(partials[position], rel=1e-9, abs=1e-12)
            plain = formulas.Plain(graph, {}).formula(formula)
            assert set(re.findall(r"\bn\d+", plain)) <= {f"n{i}" for i in range(n + 1)}
            latex = formulas.Latex(graph, {"if": "if", "else": "else"}).formula(formula)
            assert latex.count("{") == latex.count("}")


def test_every_row_of_the_table_is_known(gg):
    assert set(rules.RULES) == {*NAMES, *INTERNAL}
    assert set(NARY) == part(gg, "formulas")._MANY


def test_formulas_are_written_as_one_writes_them(gg):
    formulas = part(gg, "formulas")
    x, w, k = gg.Value(0.5, "x"), gg.Value(2.0, "w"), gg.Value(-3.0, "k", requires_grad=False)

    def written(y, by=0):
        graph = gg.Graph.of(y)
        root = graph.roots[0]
        formula = formulas.derivative(graph, root, by)
        plain, latex = formulas.Plain(graph, {}), formulas.Latex(graph, {"if": "if", "else": "else"})
        return formulas.equation(graph, root, plain), plain.formula(formula), latex.formula(formula)

    assert written(x**3) == ("x³", "3·x²", r"3 \cdot {x}^{2}")
    assert written(x**-1) == ("x⁻¹", "(−1)·x⁻²", r"\left(-1\right) \cdot {x}^{-2}")
    assert written(x**w, 1)[:2] == ("x**w", "x**w·log(x)")
    assert written(x**w)[1] == "w·x**(w − 1)"
    assert written(x / w, 1) == ("x / w", "−x / w²", r"\frac{-x}{{w}^{2}}")
    assert written(x - k)[0] == "x − k"
    assert written(x + -3)[0] == "x + (−3)"
    assert written(x.tanh()) == ("tanh(x)", "1 − tanh(x)²", r"1 - \tanh\left(x\right)^{2}")
    assert written(x.erf())[1] == "(2 / sqrt(π))·exp(−x²)"
    assert written(x.relu())[1] == "1 if x > 0 else 0"
    assert written(x.relu())[2] == r"\begin{cases}1 & \text{if}\ x \gt 0 \\ 0 & \text{else}\end{cases}"
    assert written(gg.where(w, x, 3.0), 1)[1] == "1 if w else 0"
    assert written(gg.sum([x, w, x, w, x]))[0] == "sum(x, w, x, w, …, x)"
    assert written(gg.dot([x, w], [w, k]), 2)[1] == "x"


def test_the_derivative_is_the_gradient_bit_for_bit(gg):
    for seed in range(25):
        program = smooth_program(random.Random(seed), rules, 12)
        leaves = [gg.Value(x, f"x{k}") for k, x in enumerate(program.leaves)]
        root = evaluate(program, leaves, on(gg))[-1]
        root.backward()
        for leaf in leaves:
            found = gg.explain(root, leaf)
            assert found.derivative == leaf.grad
            for lang in ("en", "zh"):
                other = gg.explain(root, leaf, lang)
                assert str(other)
                assert other.markdown.count("$") % 2 == 0
                assert other.markdown.count("{") == other.markdown.count("}")


# ---- what is said about .grad -------------------------------------------------------------------------------------


def last(found):
    return " ".join(str(found).rpartition("\n\n")[2].split())


def test_backward_twice_is_told(gg, g1):
    loss, a, *_ = g1
    loss.backward()
    assert last(gg.explain(loss, a)) == "a.grad is 6, the same."
    loss.backward()
    assert last(gg.explain(loss, a)).startswith("a.grad is 12, 2 times as much: backward() ran 2 times without")
    assert "是此值的 2 倍" in last(gg.explain(loss, a, "zh"))


def test_other_gradients_are_told(gg, g1):
    loss, a, *_ = g1
    loss.backward()
    a.grad = 5.0
    assert last(gg.explain(loss, a)).startswith("a.grad is 5, not 6: a leaf's gradient adds up")
    inner = loss._prev[0]
    (inner * 7).backward()
    assert last(gg.explain(loss, inner)).startswith("n4.grad is 7, not −2: the last backward()")


# ---- where there is nothing to derive ------------------------------------------------------------------------------


def test_a_value_that_is_not_below(gg, g1):
    loss, a, *_ = g1
    z = gg.Value(1.0, "z")
    found = gg.explain(loss, z)
    assert (found.derivative, found.paths.count) == (0.0, 0)
    assert str(found) == "∂L/∂z = 0\n\nL does not depend on z: no path leads from one to the other."
    assert "不依赖于" in str(gg.explain(a, loss, "zh"))


def test_constants_and_numbers(gg):
    x, k = gg.Value(2.0, "x"), gg.Value(3.0, "k", requires_grad=False)
    y = x * k + 1
    assert gg.explain(y, k).derivative is None
    assert "k is a constant, requires_grad=False" in str(gg.explain(y, k))
    one = next(v for v in y._prev if not v.label and not v._prev)
    assert "1 is a plain number in the program" in str(gg.explain(y, one))
    with gg.no_grad():
        z = x * 3
    found = gg.explain(z, x)
    assert found.derivative is None
    assert last(found).startswith("n0 is a constant: it was computed from constants or under no_grad()")
    assert "unknown" in found.markdown


def test_a_value_by_itself(gg, g1):
    found = gg.explain(g1[0], g1[0])
    assert found.derivative == 1.0
    assert "Every Value changes with itself" in str(found)


def test_operations_written_by_hand(gg):
    x = gg.Value(2.0, "x")
    cube = gg.Value(x.data**3, (x,), "cube")

    def back():
        x.grad += 3 * x.data**2 * cube.grad

    cube._backward = back
    y = cube + x
    y.label = "y"
    found = gg.explain(y, x)
    text = str(found)
    assert found.derivative is None
    assert text.startswith("∂y/∂x = unknown")
    assert "written by hand: its local derivative is inside its _backward" in text
    assert "1·? + 1" in text
    assert last(found) == "backward() would find it: call y.backward() and read x.grad."
    y.backward()
    assert last(gg.explain(y, x)) == "x.grad is 13: what backward() found, through code that is not in the graph."


def test_an_undefined_derivative_is_nan(gg):
    w = gg.Value(2.0, "w")
    y = gg.Value(-2.0, "x") ** w
    found = gg.explain(y, w)
    assert math.isnan(found.derivative)
    assert "is undefined at this point: nan" in str(found)


def test_a_zero_that_stops_an_infinite_derivative_is_told(gg):
    x = gg.Value(0.0, "x")
    y = gg.where(x > 0, x.sqrt(), x * 2)
    found = gg.explain(y, x)
    assert found.derivative == 2.0
    assert "An exact zero is passed on as zero" in str(found)


def test_paths_that_do_not_add_up_are_told(gg):
    x = gg.Value(0.0, "x")
    with gg.allow_nonfinite():
        root = x.sqrt()
        y = root - root
    found = gg.explain(y, x)
    assert found.derivative == 0.0
    assert "do not add up" in str(found)


@pytest.mark.parametrize("given", [(1.0, "v"), ("v", 2), ("v", ["v"]), (None, "v")])
def test_what_is_no_value_is_refused(gg, given):
    v = gg.Value(1.0)
    with pytest.raises(gg.OperandError, match=r"write explain\(loss, w\)"):
        gg.explain(*[v if x == "v" else x for x in given])


@pytest.mark.parametrize("lang", ["de", "", None, 3])
def test_another_language_is_refused(gg, g1, lang):
    with pytest.raises(gg.DrawingError, match="'en' or 'zh'"):
        gg.explain(g1[0], g1[1], lang)


def test_it_is_a_method_of_value(gg, g1):
    assert str(g1[0].explain(g1[1])) == G1
    assert g1[0].explain(g1[1], lang="zh").lang == "zh"
    assert gg.Value.explain is gg.explain


# ---- long ones -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("lang", ["en", "zh"])
def test_a_chain_of_20000_is_cut_and_says_so(gg, lang):
    x = gg.Value(0.5, "x")
    y = x
    for _ in range(20_000):
        y = y * 0.9999
    start = time.perf_counter()
    found = gg.explain(y, x, lang)
    text, markdown = str(found), found.markdown
    assert time.perf_counter() - start < 30
    assert ("19,988 steps left out" if lang == "en" else "省略 19,988 步") in text
    assert "20000. x = 0.5" in text
    assert len(text.splitlines()) < 100
    assert len(markdown) < 10_000
    assert "·…·" in text


def test_paths_without_number_are_counted_and_the_largest_listed(gg):
    x = gg.Value(1.0, "x")
    y = x
    for _ in range(100):
        y = y + y
    text = str(gg.explain(y, x))
    assert "≈ 1.27·10³⁰ paths lead from" in text
    assert "the 10 with the largest products" in text
    assert "sum of all ≈ 1.27·10³⁰ = 1.26765e+30" in text
    for _ in range(20_000):
        y = (y + y) * 0.5
    assert "10⁶⁰⁵⁰" in str(gg.explain(y, x))


def test_a_value_with_1000_uses(gg):
    w = gg.Value(2.0, "w")
    y = gg.sum([w * k for k in range(1, 1001)])
    text = str(gg.explain(y, w))
    assert "w = 2 is used 1,000 times" in text
    assert "994 more" in " ".join(text.split())
    assert "+ …" in text
    assert "sum of all 1,000 = 500500" in text
    assert max(map(len, text.splitlines())) <= 100


# ---- labels, terminals, languages ----------------------------------------------------------------------------------


@pytest.mark.parametrize("label", [*HOSTILE, "$x$", "\\input{x}", "a_b^c", "`code`", "*bold*", "[x](y)", "n7", "# h"])
def test_hostile_labels(gg, label):
    x, w = gg.Value(2.0, label), gg.Value(3.0, label)
    y = x * w + x
    y.label = label
    for lang in ("en", "zh"):
        found = gg.explain(y, x, lang)
        text, markdown = str(found), found.markdown
        assert not re.search(r"[\x00-\x09\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]", text + markdown)
        assert max(map(len, text.splitlines())) < 300
        assert not set("<>`") & set(markdown)
        assert "input{" not in markdown
        assert len(re.findall(r"(?<!\\)\$", markdown)) % 2 == 0
        bare = re.sub(r"\\[\\{}]", "", markdown)
        depth = [bare[:k].count("{") - bare[:k].count("}") for k in range(len(bare) + 1)]
        assert min(depth) == depth[-1] == 0


def test_values_of_one_label_have_names_of_their_own(gg):
    a, b = gg.Value(2.0, "w"), gg.Value(3.0, "w")
    y = a * b
    assert str(gg.explain(y, a)).startswith("∂n2/∂w#0 = 3")


def test_a_label_like_the_name_of_another_node_is_told_apart(gg):
    a = gg.Value(2.0, "n1")
    assert str(gg.explain(a.exp(), a)).startswith("∂n1/∂n1#0 = ")


@pytest.mark.parametrize("encoding", ["ascii", "latin-1", "cp1252", "gbk"])
def test_a_terminal_without_unicode_gets_what_it_can_write(gg, g1, monkeypatch, encoding):
    stream = io.TextIOWrapper(io.BytesIO(), encoding=encoding, errors="strict")
    monkeypatch.setattr(sys, "stdout", stream)
    texts = [str(gg.explain(g1[0], g1[1], lang)) for lang in ("en", "zh")]
    for text in texts:
        print(text)  # noqa: T201
    assert "dL/da = dL/dn2 * dn2/da" in texts[0]
    assert "L -> n4 -> n2 -> a   (-2)*1*(-3) = 6" in texts[0]
    assert "?" not in texts[1]
    assert ("chain rule" in texts[1]) == (encoding != "gbk")


@pytest.mark.parametrize("width", [60, 80, 100])
def test_lines_fit_the_terminal(gg, monkeypatch, width):
    monkeypatch.setenv("COLUMNS", str(width))
    cells = part(gg, "terminal").cells
    x = gg.Value(0.3, "x")
    y = x.tanh() * x.sin() + x.exp() * 1.2345 + x**2
    y.label = "y"
    y.backward()
    y.backward()
    for lang in ("en", "zh"):
        assert max(map(cells, str(gg.explain(y, x, lang)).splitlines())) <= width


def test_both_languages_have_the_same_sentences(gg):
    texts = part(gg, "sentences").TEXTS
    fields = lambda text: sorted({field for _, field, *_ in string.Formatter().parse(text) if field})  # noqa: E731
    assert texts["en"].keys() == texts["zh"].keys()
    assert [key for key in texts["en"] if fields(texts["en"][key]) != fields(texts["zh"][key])] == []
    for key, text in texts["zh"].items():
        left = re.sub(r"\{\w+\}|requires_grad=False|no_grad\(\)|_?backward\(?\)?|\.grad\b|Value|nan", "", text)
        assert not re.search("[A-Za-z]", left), key


def test_chinese(gg, g1):
    text = str(gg.explain(g1[0], g1[1], "zh"))
    assert "链式法则" in text
    assert "从 L 到 a 只有一条路径" in text
    assert "(−2)·1·(−3) = 6" in text


def test_markdown_of_g1(gg, g1):
    markdown = gg.explain(g1[0], g1[1])._repr_markdown_()
    assert markdown.startswith("### $\\frac{\\partial L}{\\partial a} = 6$\n\n")
    assert r"\frac{\partial L}{\partial n_{2}} \cdot \frac{\partial n_{2}}{\partial a}" in markdown
    assert r"- $L \to n_{4} \to n_{2} \to a$:  $(-2) \cdot 1 \cdot (-3) = 6$" in markdown
