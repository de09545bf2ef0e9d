"""Derivatives as Values: what they are made of. That they are right, `test_check_grad` and others prove."""

from __future__ import annotations

import math
import random

import pytest


def operations(gg, root):
    """How often each operation stands in the graph of a Value."""
    counts = {}
    for op in gg.Graph.of(root).ops:
        counts[op] = counts.get(op, 0) + 1
    return counts


def test_equal_subexpressions_are_one_node(gg):
    x = gg.Value(0.7)
    y = x.sin().exp() * x.cos()
    slope = gg.gradients(y, x)
    counts = operations(gg, slope)
    assert counts["sin"] == counts["cos"] == counts["exp"] == 1  # those of the function serve its derivative


def test_what_does_not_depend_on_the_inputs_is_left_out(gg):
    x, w = gg.Value(0.7), gg.Value(2.0)
    y = x * 3.0 + w.tanh() * w.exp()
    assert gg.gradients(y, x).data == 3.0
    assert len(gg.Graph.of(gg.gradients(y, x))) == 1
    assert operations(gg, gg.gradients(x * w + w.exp(), x)) == {"leaf": 1}


def test_no_node_for_plus_zero_and_times_one(gg):
    x = gg.Value(3.0)
    slope = gg.gradients(x + x * 1.0 + 0.0 * x, x)
    assert slope.data == 2.0
    assert operations(gg, gg.gradients(x**2, x)) == {"leaf": 2, "mul": 1}  # 2 * x


def test_the_derivative_of_the_derivative_stays_small(gg):
    x = gg.Value(0.3)
    y = x.exp()
    for _ in range(20):
        y = gg.gradients(y, x)
    assert y._rule == "exp"
    assert len(gg.Graph.of(y)) == 2


def test_signs_of_zero_are_kept_apart(gg):
    x = gg.Value(-1.0)
    a, b = gg.arctan2(0.0, x), gg.arctan2(-0.0, x)
    total = gg.gradients(a * x + b * x, x)
    assert total.data == pytest.approx(0.0, abs=1e-15)
    assert (a.data, b.data) == (math.pi, -math.pi)


@pytest.mark.parametrize("seed", range(20))
def test_a_first_derivative_is_that_of_the_sweep_to_rounding(gg, seed):
    rng = random.Random(seed)
    xs = [gg.Value(rng.uniform(0.2, 2.0)) for _ in range(4)]
    a, b, c, d = xs
    y = (
        (a * b).gelu() + gg.logsumexp([a, b, c, d]) * gg.prod([c, d, a]) - gg.softmax([b, c, d])[1] / a.hypot(d)
        + (a**b).erf() * (c - 3.0).silu() + d.arctan2(a) * b.log1p() + gg.mean([a, c]) * (b - d).tanh()
    )  # fmt: skip
    found = [x.data for x in gg.gradients(y, xs)]
    y.backward()
    assert found == pytest.approx([x.grad for x in xs], rel=1e-14, abs=1e-15)


def test_an_undefined_derivative_is_delivered_and_goes_no_further(gg):
    w = gg.Value(2.0)
    slope = gg.gradients(gg.Value(-2.0, requires_grad=False) ** w, w)
    assert math.isnan(slope.data)
    with pytest.raises(gg.NonFiniteError):
        gg.gradients(gg.Value(-2.0) ** (w * 1.5 - 1.0) * 2.0, w)


def test_the_pole_of_a_derivative_raises(gg):
    x = gg.Value(0.0)
    with pytest.raises(gg.NonFiniteError, match="sqrt"):
        gg.gradients(x.sqrt(), x)
    with gg.allow_nonfinite():
        assert gg.gradients(x.sqrt(), x).data == math.inf
    assert gg.gradients(x**3, x).data == 0.0


def test_polynomials_at_zero_to_the_last_derivative(gg):
    x = gg.Value(0.0)
    y = x**5 + 3.0 * x**4 - x**3 + 2.0 * x**2 + x + 7.0
    found = []
    for _ in range(7):
        y = gg.gradients(y, x)
        found.append(y.data)
    assert found == [1.0, 4.0, -6.0, 72.0, 120.0, 0.0, 0.0]
