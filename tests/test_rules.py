"""Every operation of `rules.RULES` against mpmath: value and first derivative to 4 ulp over the whole range of doubles.

The references, the points and the unit of error are in `references`.
"""

from __future__ import annotations

import ast
import itertools
import math
import random
import re
import struct
from array import array
from pathlib import Path

import pytest
from conftest import load_interpreted
from hypothesis import given
from hypothesis import strategies as st
from references import (
    CASES,
    CORNER_POINTS,
    FIXED,
    LARGEST,
    NARY,
    ROOT,
    SMALLEST,
    cbrt,
    known,
    mp,
    mpf,
    off,
    references,
    sigmoid,
)

import glassgrad

LIMIT = 4.0
INF, NAN = math.inf, math.nan


def value_of(rule, operands):
    return rule.value(array("d", operands)) if rule.name in NARY else rule.value(*operands)


def derivatives_of(rule, operands, y):
    if rule.name not in NARY:
        return [d(*operands, y) for d in rule.derivatives]
    out = array("d", bytes(8 * len(operands)))
    rule.derivatives[0](array("d", operands), y, out)
    return list(out)


# ---- the promise ---------------------------------------------------------------------------------------------------


def test_every_row_has_a_case(gg):
    assert set(gg.rules.RULES) == set(CASES)


def test_every_row_is_complete(gg):
    for name, rule in gg.rules.RULES.items():
        assert (rule.name, bool(rule.symbol), bool(rule.formula)) == (name, True, True)
        assert len(rule.derivatives) == len(rule.derivative_texts) == len(CASES[name].derivatives)
        assert name in gg.rules.NAMES[2:]


def worst(rule):
    """{what: (ulps, operands, got)} of the worst value and of the worst derivative by each operand."""
    found = {}

    def note(what, ulps, operands, got):
        if ulps > found.get(what, (-1.0,))[0]:
            found[what] = ulps, operands, got

    for operands, right, unit, derivatives in references(rule.name):
        y = value_of(rule, operands)
        if right is None:
            note("value", 0.0 if y - y != 0.0 else INF, operands, y)
            continue
        note("value", off(y, right, unit), operands, y)
        if math.isfinite(y):
            for i, (got, d) in enumerate(zip(derivatives_of(rule, operands, y), derivatives, strict=True)):
                if d is not None:
                    note("derivative" if rule.name in NARY else f"derivative {i}", off(got, d), operands, got)
    return found


@pytest.mark.parametrize("name", CASES)
def test_values_and_derivatives_to_four_ulp(gg, name):
    missed = {what: found for what, found in worst(gg.rules.RULES[name]).items() if not found[0] <= LIMIT}
    assert missed == {}


PINS = [
    ("tanh", 30.5, 1.0, "1.2921993468634289e-26"),
    ("sigmoid", 700.0, 1.0, "9.859676543759770e-305"),
    ("sigmoid", -700.0, 9.85967654375977e-305, "9.859676543759770e-305"),
    ("expm1", 1e-300, 1e-300, "1"),
    ("log1p", 1e-300, 1e-300, "1"),
    ("silu", -ROOT, None, "-3.6366e-17"),
    ("gelu", -0.7517915246935645, None, "-6.4537e-18"),
]


@pytest.mark.parametrize(("name", "x", "y", "dy"), PINS)
def test_where_the_plain_formulas_fail(gg, name, x, y, dy):
    rule = gg.rules.RULES[name]
    assert y is None or rule.value(x) == y
    assert rule.derivatives[0](x, rule.value(x)) == pytest.approx(float(dy), rel=1e-15 if len(dy) > 15 else 1e-4)


# ---- the texts -----------------------------------------------------------------------------------------------------

IN_WORDS = {
    "arcsin": mp.asin, "arccos": mp.acos, "arctan": mp.atan, "arctan2": mp.atan2, "arcsinh": mp.asinh,
    "arccosh": mp.acosh, "arctanh": mp.atanh, "sigmoid": sigmoid, "Φ": mp.ncdf, "φ": mp.npdf,
    "log2": lambda x: mp.log(x) / mp.log(2), "log10": lambda x: mp.log(x) / mp.log(10), "cbrt": cbrt,
    "abs": abs, "min": min, "max": max, "pi": mp.pi,
    "exp": mp.exp, "log": mp.log, "sqrt": mp.sqrt, "sin": mp.sin, "cos": mp.cos, "tan": mp.tan, "sinh": mp.sinh,
    "cosh": mp.cosh, "tanh": mp.tanh, "erf": mp.erf, "hypot": mp.hypot, "sign": mp.sign,
}  # fmt: skip


def meaning(text, names):
    """The function that a formula of the table states, in the reference's arithmetic."""
    text = text.replace("|x|", "abs(x)").removesuffix(", ties share")
    return eval(f"lambda {', '.join(names)}: {text}", IN_WORDS)


@pytest.mark.parametrize("name", FIXED)
def test_the_formulas_shown_are_the_ones_computed(gg, name):
    """The row's formula is the reference; its derivatives are the formula's central differences and the row's texts."""
    rule, case = gg.rules.RULES[name], CASES[name]
    value = meaning(rule.formula, case.names)
    texts = [meaning(text, case.names) for text in rule.derivative_texts]
    checked = 0
    with mp.workprec(600):
        h = mpf(2) ** -200
        for operands in itertools.product((mpf("0.3"), mpf("1.7"), mpf("-0.6")), repeat=len(case.names)):
            y = known(case.value, operands)
            if y is None or len(set(operands)) < len(operands) or (name == "clip" and operands[1] > operands[2]):
                continue  # undefined, or possibly a kink
            assert mp.almosteq(value(*operands), y, 1e-30)
            for i, (text, derivative) in enumerate(zip(texts, case.derivatives, strict=True)):
                d = known(derivative, operands)
                if d is None:
                    continue
                assert mp.almosteq(text(*operands), d, 1e-30, 1e-30)
                above, below = ([x + s * h * (j == i) for j, x in enumerate(operands)] for s in (1, -1))
                assert mp.almosteq((value(*above) - value(*below)) / (2 * h), d, 1e-30, 1e-30)
                checked += 1
    assert checked > 0


# ---- corners -------------------------------------------------------------------------------------------------------

CORNERS = [  # docs/corners.md; None: not promised
    ("div", (1.0, 0.0), INF, None),
    ("div", (1.0, -0.0), -INF, None),
    ("div", (0.0, 0.0), NAN, None),
    ("reciprocal", (-0.0,), -INF, None),
    ("pow", (0.0, 0.0), 1.0, (0.0, 0.0)),
    ("pow", (0.0, 1.0), 0.0, (1.0, 0.0)),
    ("pow", (0.0, 2.0), 0.0, (0.0, 0.0)),
    ("pow", (0.0, 0.5), 0.0, (INF, 0.0)),
    ("pow", (0.0, -1.0), INF, None),
    ("pow", (-0.0, -3.0), -INF, None),
    ("pow", (5.0, 0.0), 1.0, (0.0, math.log(5.0))),
    ("pow", (-2.0, 3.0), -8.0, (12.0, NAN)),
    ("pow", (-2.0, -1.0), -0.5, (-0.25, NAN)),
    ("pow", (-8.0, 1 / 3), NAN, None),
    ("abs", (0.0,), 0.0, (0.0,)),
    ("abs", (-0.0,), 0.0, (0.0,)),
    ("sign", (0.0,), 0.0, (0.0,)),
    ("sign", (-0.0,), -0.0, (0.0,)),
    ("sign", (-SMALLEST,), -1.0, (0.0,)),
    ("relu", (0.0,), 0.0, (0.0,)),
    ("relu", (-0.0,), 0.0, (0.0,)),
    ("relu", (SMALLEST,), SMALLEST, (1.0,)),
    ("leaky_relu", (0.0, 0.01), 0.0, (0.01, 0.0)),
    ("elu", (0.0, 2.0), 0.0, (2.0, 0.0)),
    ("log", (0.0,), -INF, None),
    ("log", (-1.0,), NAN, None),
    ("log1p", (-1.0,), -INF, None),
    ("sqrt", (0.0,), 0.0, (INF,)),
    ("cbrt", (0.0,), 0.0, (INF,)),
    ("cbrt", (-27.0,), -3.0, None),
    ("arcsin", (1.0,), None, (INF,)),
    ("arccos", (-1.0,), None, (-INF,)),
    ("arccosh", (1.0,), 0.0, (INF,)),
    ("arctanh", (-1.0,), -INF, None),
    ("arctan2", (0.0, 0.0), 0.0, (INF, -INF)),
    ("arctan2", (0.0, -1.0), math.pi, (-1.0, 0.0)),
    ("arctan2", (-0.0, -1.0), -math.pi, (-1.0, 0.0)),
    ("hypot", (0.0, 0.0), 0.0, (0.0, 0.0)),
    ("hypot", (0.0, -3.0), 3.0, (0.0, -1.0)),
    ("hypot", (INF, 1.0), INF, None),
    ("maximum", (2.0, 2.0), 2.0, (0.5, 0.5)),
    ("minimum", (2.0, 2.0), 2.0, (0.5, 0.5)),
    ("clip", (0.0, 0.0, 1.0), 0.0, (1.0, 0.0, 0.0)),
    ("clip", (1.0, 0.0, 1.0), 1.0, (1.0, 0.0, 0.0)),
    ("clip", (-3.0, 0.0, 1.0), 0.0, (0.0, 1.0, 0.0)),
    ("clip", (3.0, 0.0, 1.0), 1.0, (0.0, 0.0, 1.0)),
    ("clip", (0.5, 1.0, 0.0), NAN, None),
    ("where", (1.0, 2.0, NAN), 2.0, (0.0, 1.0, 0.0)),
    ("where", (-0.0, NAN, 3.0), 3.0, (0.0, 0.0, 1.0)),
    ("gelu", (INF,), INF, None),
    ("gelu", (-INF,), NAN, None),
    ("silu", (-INF,), NAN, None),
    ("softplus", (-INF,), 0.0, None),
    ("sigmoid", (-INF,), 0.0, (0.0,)),
    ("tanh", (-INF,), -1.0, (0.0,)),
    ("logaddexp", (-INF, -INF), -INF, None),
    ("logaddexp", (-INF, 1.0), 1.0, (0.0, 1.0)),
    ("logsumexp", (-INF, 1.0), 1.0, (0.0, 1.0)),
    ("softmax", (-INF, 1.0), 0.0, (0.0, -0.0)),
    ("prod", (0.0, 2.0, 3.0), 0.0, (6.0, 0.0, 0.0)),
    ("prod", (0.0, 2.0, 0.0), 0.0, (0.0, 0.0, 0.0)),
    ("sum", (INF, -INF), NAN, None),
]


def same(a, b):
    """Equal to the bit, any nan being like any other."""
    return struct.pack("<d", a) == struct.pack("<d", b) or (a != a and b != b)


@pytest.mark.parametrize(("name", "operands", "y", "derivatives"), CORNERS)
def test_corners(gg, name, operands, y, derivatives):
    rule = gg.rules.RULES[name]
    got = value_of(rule, operands)
    assert y is None or same(got, y)
    for d, right in zip(derivatives_of(rule, operands, got), derivatives or (), strict=bool(derivatives)):
        assert d == right or (d != d and right != right)


@pytest.mark.parametrize("name", CASES)
def test_nan_in_any_operand_gives_nan(gg, name):
    rule = gg.rules.RULES[name]
    count = len(CASES[name].names) or 4
    for others in itertools.product((0.0, 1.0, -2.5, INF), repeat=count - 1):
        for i in range(count):
            operands = [*others[:i], NAN, *others[i:]]
            if name == "where" and i == (2 if operands[0] else 1):
                continue  # the operand that was not chosen
            assert math.isnan(value_of(rule, operands)), operands


# ---- two builds of one text ----------------------------------------------------------------------------------------


def assert_alike(name, operands):
    """Both builds compute the same bits, and neither raises."""
    results = []
    for package in (glassgrad, load_interpreted()):
        rule = package.rules.RULES[name]
        y = value_of(rule, operands)
        results.append([y, *derivatives_of(rule, operands, y)])
    assert all(map(same, *results)), (name, operands, results)


@pytest.mark.parametrize("name", CASES)
def test_both_builds_compute_the_same_bits(name):
    for operands in CASES[name].draw(random.Random(name)):
        assert_alike(name, operands)


EXTREMES = [0.0, -0.0, 1.0, -2.0, SMALLEST, LARGEST, -LARGEST, INF, -INF, NAN]


@pytest.mark.parametrize("name", CASES)
def test_nothing_raises_at_the_extremes(name):
    count = 4 if name == "dot" else len(CASES[name].names) or 3
    for operands in itertools.product(EXTREMES, repeat=count):
        assert_alike(name, operands)


anything = st.floats() | st.sampled_from([*CORNER_POINTS, INF, -INF, NAN, 700.5, -750.0, 1e290, 1e-290])


@given(st.lists(anything, min_size=4, max_size=8))
def test_nothing_raises_whatever_the_operands(xs):
    for name, case in CASES.items():
        assert_alike(name, xs[: len(case.names)] if case.names else [*xs, *xs] if name == "dot" else xs)


def test_every_function_has_a_c_type():
    here = Path(glassgrad.__file__).parent
    tree = ast.parse((here / "rules.py").read_text(encoding="utf-8"))
    defined = {node.name for node in tree.body if isinstance(node, ast.FunctionDef)} - {"_rule"}
    declared = set(re.findall(r"^cdef [\w ]+ (\w+)\(", (here / "rules.pxd").read_text(encoding="utf-8"), re.MULTILINE))
    assert declared == defined
