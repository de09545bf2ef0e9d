"""NumPy and Values: arrays on either side of an operator, functions and reductions of arrays of Values."""

from __future__ import annotations

import math
import operator

import numpy as np
import pytest

ARITHMETIC = [operator.add, operator.sub, operator.mul, operator.truediv, operator.pow]


@pytest.mark.parametrize("operation", ARITHMETIC, ids=lambda f: f.__name__)
def test_an_array_on_either_side_gives_an_array_of_values(gg, operation):
    x, row = gg.Value(2.0), np.array([1.0, 2.0, 3.0])
    for y, expected in [(operation(x, row), operation(2.0, row)), (operation(row, x), operation(row, 2.0))]:
        assert isinstance(y, np.ndarray)
        assert y.dtype == object
        assert all(type(v) is gg.Value for v in y)
        np.testing.assert_allclose([v.data for v in y], expected, rtol=1e-15)
    assert isinstance(x * np.array([[1, 2], [3, 4]]), np.ndarray)


def test_an_array_of_no_dimension_is_a_number(gg):
    x = gg.Value(2.0)
    for product in (x * np.array(3.0), np.array(3.0) * x):
        y = product.item() if isinstance(product, np.ndarray) else product
        assert type(y) is gg.Value
        assert y.data == 6.0


def test_arrays_of_values_calculate(gg):
    X = np.array([[gg.Value(1.0), gg.Value(2.0)], [gg.Value(3.0), gg.Value(4.0)]])
    w = np.array([gg.Value(0.5), gg.Value(-1.0)])
    assert X.dtype == object
    y = np.tanh(X @ w)
    assert [v.data for v in y] == [math.tanh(-1.5), math.tanh(-2.5)]
    total = (y * y).sum() + np.exp(w).mean() + X.T.ravel()[1] + (X @ np.ones((2, 2))).sum() + w.dot(w) + y.prod()
    total.backward()
    assert all(v.grad != 0 for v in [*X.ravel(), *w])
    assert np.max(X) is X[1, 1]
    assert np.argmin(X) == 0
    assert np.sort(w)[0] is w[1]


UFUNCS = [
    "absolute", "arccos", "arcsin", "arcsinh", "arctan", "arctanh", "cbrt", "cos", "cosh", "exp", "expm1", "log",
    "log1p", "log2", "log10", "negative", "positive", "reciprocal", "sin", "sinh", "sqrt", "square", "tan", "tanh",
]  # fmt: skip


@pytest.mark.parametrize("name", UFUNCS)
def test_numpy_functions_on_arrays_of_values(gg, name):
    function = getattr(np, name)
    y = function(np.array([gg.Value(0.25), gg.Value(0.75)]))
    assert all(type(v) is gg.Value for v in y)
    np.testing.assert_allclose([v.data for v in y], function(np.array([0.25, 0.75])), rtol=1e-15)


def test_numpy_functions_of_two(gg):
    a, b = np.array([gg.Value(0.5), gg.Value(-2.0)]), np.array([gg.Value(0.25), gg.Value(3.0)])
    for name in ("arctan2", "hypot"):
        y = getattr(np, name)(a, b)
        np.testing.assert_allclose([v.data for v in y], getattr(np, name)([0.5, -2.0], [0.25, 3.0]), rtol=1e-15)
    assert [v.data for v in np.maximum(a, b)] == [0.5, 3.0]
    assert list(a < b) == [False, True]


REDUCTIONS = {
    "var": np.var,
    "sample var": lambda a: a.var(ddof=1),
    "std": np.std,
    "mean": np.mean,
    "mean of columns": lambda a: a.reshape(2, 2).mean(axis=0),
    "std of rows": lambda a: a.reshape(2, 2).std(axis=1),
    "sum": np.sum,
    "prod": np.prod,
    "max": np.max,
    "ptp": np.ptp,
    "median": np.median,
    "average": lambda a: np.average(a, weights=[1, 2, 3, 4]),
    "cumsum": np.cumsum,
    "norm": np.linalg.norm,
    "norm of rows": lambda a: np.linalg.norm(a.reshape(2, 2), axis=1),
    "1-norm": lambda a: np.linalg.norm(a, 1),
    "einsum": lambda a: np.einsum("i,i", a, a),
    "vdot": lambda a: np.vdot(a, a),
}


@pytest.mark.parametrize("reduction", REDUCTIONS.values(), ids=REDUCTIONS)
def test_reductions_of_arrays_of_values(gg, reduction):
    numbers = np.array([1.0, -2.0, 4.0, 0.5])
    values = np.array([gg.Value(x) for x in numbers])
    y = reduction(values)
    for node, expected in zip(np.ravel(y), np.ravel(reduction(numbers)), strict=True):
        assert type(node) is gg.Value
        assert node.data == pytest.approx(expected, rel=1e-14)
    gg.sum(np.ravel(y)).backward()
    for i, x in enumerate(values):
        step = np.eye(4)[i] * 1e-6
        slope = (np.sum(reduction(numbers + step)) - np.sum(reduction(numbers - step))) / 2e-6
        assert x.grad == pytest.approx(slope, rel=1e-7, abs=1e-8)


def test_an_array_of_floats_never_takes_a_value_silently(gg):
    x = gg.Value(2.0)
    row = np.zeros(3)
    with pytest.raises((TypeError, ValueError)):
        row[0] = x
    with pytest.raises((TypeError, ValueError)):
        np.array([x], dtype=float)
    with pytest.raises((TypeError, ValueError)):
        row += x
    assert list(row) == [0, 0, 0]
