"""The transforms: what they give, how they nest, and what they refuse.

References: derivatives by hand, written beside each function, and the dot-product test.
"""

from __future__ import annotations

import dataclasses
import doctest
import inspect
import math
import threading
from collections import namedtuple
from decimal import Decimal
from fractions import Fraction

import numpy as np
import pytest
from conftest import in_threads
from hypothesis import given
from hypothesis import strategies as st

Point = namedtuple("Point", "x y")  # noqa: PYI024 - the kind that is meant

close = pytest.approx


@dataclasses.dataclass
class Line:
    slope: object
    offset: object
    name: str = dataclasses.field(default="a line", metadata={"static": True})


def cube(x):
    return x**3


def rosenbrock(x):
    total = 0.0
    for i in range(len(x) - 1):
        total = total + 100.0 * (x[i + 1] - x[i] ** 2) ** 2 + (1.0 - x[i]) ** 2
    return total


def values_of(tree):
    """The numbers in nested lists and tuples of Values."""
    return type(tree)(values_of(x) for x in tree) if isinstance(tree, list | tuple) else tree.data


@pytest.mark.parametrize("module", ["functional", "trees", "sparsity"])
def test_docstring_examples_run(gg, module):
    module = getattr(gg, module)
    found = doctest.DocTestFinder().find(module, extraglobs=vars(gg))
    results = [doctest.DocTestRunner().run(test) for test in found]
    assert sum(result.failed for result in results) == 0


def test_every_transform_has_an_example(gg):
    for name in gg.functional.__all__:
        text = inspect.getdoc(getattr(gg, name))
        assert all(part in text for part in ("Arguments:", "Returns:", "Raises:", "Example:\n    >>> ")), name


# ---- grad ----------------------------------------------------------------------------------------------------------


def test_grad_of_a_number(gg):
    slope = gg.grad(cube)(2.0)
    assert (slope, type(slope)) == (12.0, float)
    assert gg.value_and_grad(cube)(2.0) == (8.0, 12.0)


def test_grad_takes_and_returns_trees(gg):
    def f(p):
        return p["w"][0] * p["w"][1][0] + p["q"].x ** 2 * p["q"].y + p["l"].slope * 5.0 + p["none"][1] * 0.5

    p = {"w": [2.0, (3.0,)], "q": Point(4.0, 5.0), "l": Line(1.0, 7.0), "none": [None, 2.0]}
    assert gg.grad(f)(p) == {"w": [3.0, (2.0,)], "q": Point(40.0, 16.0), "l": Line(5.0, 0.0), "none": [None, 0.5]}


def test_grad_of_arrays(gg):
    x = np.array([[1.0, 2.0], [3.0, 4.0]])
    slope = gg.grad(lambda x: (x * x).sum() + np.exp(x[0, 1]))(x)
    assert (slope.dtype, slope.shape) == (np.float64, (2, 2))
    np.testing.assert_allclose(slope, 2 * x + [[0, math.exp(2)], [0, 0]], rtol=1e-15)
    assert gg.grad(lambda x: x * x)(np.array(3.0)) == 6.0  # of no dimension
    assert gg.grad(lambda x: x[()] ** 2)(np.array(3.0)).shape == ()
    assert gg.grad(lambda x: x[0] * x[1])(np.array([2, 3])).tolist() == [3.0, 2.0]


def test_argnums(gg):
    def f(x, y, z):
        return x * y**2 + z

    assert gg.grad(f)(2.0, 3.0, 0) == 9.0
    assert gg.grad(f, 1)(2.0, 3.0, 0) == 12.0
    assert gg.grad(f, -2)(2.0, 3.0, 0) == 12.0
    assert gg.grad(f, (1, 0))(2.0, 3.0, 0) == (12.0, 9.0)
    assert gg.grad(f, [0])(2.0, 3.0, 0) == (9.0,)
    assert gg.grad(f, ())(2.0, 3.0, 0) == ()
    assert gg.grad(lambda x, *, y: x * y)(2.0, y=5.0) == 5.0


def test_other_arguments_are_passed_as_they_are(gg):
    seen = []

    def f(x, how, data, flag=None):
        seen.append((how, data, flag))
        return x * data[0]

    data = [2.0, "text", None]
    assert gg.grad(f)(3, "linear", data, flag=True) == 2.0
    assert seen == [("linear", data, True)]
    assert seen[0][1] is data


def test_the_function_sees_values(gg):
    seen = []
    gg.grad(lambda x, y: seen.append((x, y)) or x)(2.0, np.ones(2))
    assert type(seen[0][0]) is gg.Value
    assert seen[0][1].dtype == np.float64  # not differentiated by
    gg.grad(lambda x: seen.append(x) or x.sum())(np.ones((2, 2)))
    assert (seen[1].dtype, seen[1].shape) == (object, (2, 2))


def test_argnums_of_the_others(gg):
    """One position takes and gives what belongs to that argument, a tuple of some takes and gives tuples."""

    def f(x, name, y):
        assert name == "name"
        return x * y**2

    args = (2.0, "name", 3.0)
    results, pullback = gg.vjp(f, *args, argnums=2)
    assert (results, pullback(10.0)) == (18.0, 120.0)
    assert gg.vjp(f, *args, argnums=(-1, 0))[1](10.0) == (120.0, 90.0)
    assert gg.jvp(f, args, 10.0, argnums=2) == (18.0, 120.0)
    assert gg.jvp(f, args, (10.0, 1.0), argnums=(2, 0)) == (18.0, 129.0)
    assert gg.hvp(f, 2)(*args, 10.0) == 40.0
    assert gg.hvp(f, (0, 2))(*args, (10.0, 1.0)) == (6.0, 64.0)
    assert gg.hvp(f, (2, 0))(*args, (1.0, 10.0)) == (64.0, 6.0)
    assert gg.hvp(f, (-1, 0))(*args, (1.0, 10.0)) == (64.0, 6.0)
    assert gg.hvp(lambda x, y, k: k * x * y**2, (0, 1))(2.0, 3.0, (10.0, 1.0), 2.0) == (12.0, 128.0)
    with pytest.raises(gg.OperandError, match="tangents is a tuple of 1 number, and primals is"):
        gg.jvp(f, args, (1.0,), argnums=(0, 2))
    with pytest.raises(gg.OperandError, match=r"vjp\(f\) differentiates by argument 3, but"):
        gg.vjp(f, *args, argnums=3)


def test_aux_of_the_others(gg):
    f = lambda x: (x**2, "aux")  # noqa: E731
    results, pullback, aux = gg.vjp(f, 3.0, has_aux=True)
    assert (results, pullback(1.0), aux) == (9.0, (6.0,), "aux")
    assert gg.jvp(f, (3.0,), (1.0,), has_aux=True) == (9.0, 6.0, "aux")
    assert gg.hvp(f, has_aux=True)(3.0, 1.0) == (2.0, "aux")
    assert gg.taylor(f, 3.0, 2, has_aux=True) == ([9.0, 6.0, 1.0], "aux")


def test_sparse_matrices_beside_weights_say_the_way_out(gg):
    w = gg.Value(2.0)
    for transform, f in ((gg.jacobian, lambda x: [w * x[0]]), (gg.hessian, lambda x: w * x[0] ** 2)):
        with pytest.raises(
            gg.OperandError, match=r"uses some that require a gradient: call it inside `with no_grad\(\):`"
        ):
            transform(f, sparse=True)([1.0])
        with gg.no_grad():
            assert transform(f, sparse=True)([1.0]).toarray().tolist() == [[2.0 if transform is gg.jacobian else 4.0]]


def test_has_aux(gg):
    def f(x):
        return x**2, {"twice": 2 * x.data, "text": "as it is"}

    aux = {"twice": 6.0, "text": "as it is"}
    assert gg.grad(f, has_aux=True)(3.0) == (6.0, aux)
    assert gg.value_and_grad(f, has_aux=True)(3.0) == ((9.0, aux), 6.0)
    assert gg.hessian(f, has_aux=True)(3.0) == (2.0, aux)
    assert gg.jacobian(f, has_aux=True)(3.0) == (6.0, aux)
    assert gg.hvp(f, has_aux=True)(3.0, 5.0) == (10.0, aux)
    assert gg.jvp(f, (3.0,), (1.0,), has_aux=True) == (9.0, 6.0, aux)
    value, pullback, given = gg.vjp(f, 3.0, has_aux=True)
    assert (value, pullback(2.0), given) == (9.0, (12.0,), aux)


def test_transforms_have_a_name_and_a_docstring(gg):
    assert gg.grad(cube).__name__ == "grad(cube)"
    assert gg.hessian(lambda x: x).__name__ == "hessian(f)"
    assert "glassgrad.jacobian" in gg.jacobian(cube).__doc__


# ---- ordinary Python -----------------------------------------------------------------------------------------------


def test_control_flow_recursion_and_closures(gg):
    def newton(a):  # the square root of a
        x = a
        while abs(x * x - a) > 1e-14 * a:
            x = 0.5 * (x + a / x)
        return x

    def power(x, n):
        return 1.0 if n == 0 else x * power(x, n - 1)

    scale = 3.0
    assert gg.grad(newton)(9.0) == close(1 / 6, rel=1e-12)
    assert gg.grad(gg.grad(newton))(9.0) == close(-1 / 108, rel=1e-10)
    assert gg.grad(lambda x: power(x, 5))(2.0) == 80.0
    assert gg.grad(lambda x: scale * x if x > 0 else -x)(2.0) == 3.0
    assert gg.grad(lambda x: scale * x if x > 0 else -x)(-2.0) == -1.0
    assert gg.grad(lambda xs: sum(x * i for i, x in enumerate(sorted(xs))))([3.0, 1.0, 2.0]) == [2.0, 0.0, 1.0]


def test_deep_graphs(gg):
    def logistic(r):
        x = 0.5
        for _ in range(20_000):
            x = 0.999 * x + 0.001 * r
        return x

    assert gg.grad(logistic)(2.0) == close(1 - 0.999**20_000, rel=1e-9)
    assert gg.grad(gg.grad(lambda r: logistic(r) ** 2))(2.0) == close(2 * (1 - 0.999**20_000) ** 2, rel=1e-9)


# ---- vjp and jvp ---------------------------------------------------------------------------------------------------


def test_vjp_may_be_pulled_many_times(gg):
    results, pullback = gg.vjp(lambda x, p: {"a": x * p[0], "b": [x + p[1]]}, 2.0, (3.0, 4.0))
    assert results == {"a": 6.0, "b": [6.0]}
    for _ in range(2):
        assert pullback({"a": 1.0, "b": [0.0]}) == (3.0, (2.0, 0.0))
        assert pullback({"b": [10], "a": 0}) == (10.0, (0.0, 10.0))


def test_jvp_is_the_derivative_along_a_direction(gg):
    results, velocities = gg.jvp(lambda x, y: (x * y, [x]), (2.0, 3.0), (10.0, 100.0))
    assert (results, velocities) == ((6.0, [2.0]), (230.0, [10.0]))
    results, velocities = gg.jvp(lambda x: np.outer(x, x), (np.array([1.0, 2.0]),), (np.array([1, 0]),))
    np.testing.assert_array_equal(results, [[1, 2], [2, 4]])
    np.testing.assert_array_equal(velocities, [[2, 2], [2, 0]])


def test_directions_and_cotangents_may_be_values(gg):
    v = gg.Value(3.0)
    _, velocity = gg.jvp(cube, (2.0,), (v,))
    velocity.backward()
    assert (velocity.data, v.grad) == (36.0, 12.0)
    result, pullback = gg.vjp(cube, 2.0)
    (slope,) = pullback(v)
    assert (result, slope.data) == (8.0, 36.0)
    product = gg.hvp(cube)(2.0, v)
    product.backward()
    assert (product.data, v.grad) == (36.0, 24.0)


@given(
    st.lists(st.floats(-2, 2), min_size=3, max_size=3),
    st.lists(st.floats(-2, 2), min_size=3, max_size=3),
    st.lists(st.floats(-2, 2), min_size=2, max_size=2),
)
def test_vjp_and_jvp_agree(gg, x, v, u):
    def f(x):
        return [x[0] * x[1] + gg.sin(x[2]), gg.exp(x[0]) * x[2] - x[1]]

    _, velocities = gg.jvp(f, (x,), (v,))
    _, pullback = gg.vjp(f, x)
    (slopes,) = pullback(u)
    assert sum(a * b for a, b in zip(u, velocities, strict=True)) == close(
        sum(a * b for a, b in zip(slopes, v, strict=True)), rel=1e-12, abs=1e-12
    )


# ---- Jacobians -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("mode", [None, "forward", "reverse"])
def test_jacobians_of_all_structures(gg, mode):
    def f(x):
        return [x[0] * x[1], x[1] ** 2, 7.0]

    def jacobian(f, argnums=0):
        return gg.jacobian(f, argnums, mode=mode)

    assert jacobian(f)([2.0, 3.0]) == [[3.0, 2.0], [0.0, 6.0], [0.0, 0.0]]
    assert jacobian(lambda x: {"a": x[0]})((2.0, 3.0)) == {"a": (1.0, 0.0)}
    assert jacobian(cube)(2.0) == 12.0
    assert jacobian(lambda x, y: [x * y], (0, 1))(2.0, 3.0) == [(3.0, 2.0)]
    assert jacobian(lambda x: [])([1.0]) == []
    matrix = np.array([[1.0, 2.0], [3.0, 4.0], [5.0, 6.0]])
    found = jacobian(lambda x: matrix @ x)(np.array([1.0, 1.0]))
    np.testing.assert_array_equal(found, matrix)
    assert jacobian(lambda x: np.outer(x, x))(np.ones(3)).shape == (3, 3, 3)
    rows = jacobian(f)(np.array([2.0, 3.0]))
    np.testing.assert_array_equal(rows, [[3, 2], [0, 6], [0, 0]])
    assert isinstance(rows, list)


@pytest.mark.parametrize("mode", [None, "forward", "reverse"])
def test_jacobians_of_values_are_values(gg, mode):
    x = [gg.Value(2.0), gg.Value(3.0)]
    found = gg.jacobian(lambda x: [x[0] ** 2 * x[1], 5 * x[1]], mode=mode)(x)
    assert values_of(found) == [[12.0, 4.0], [0.0, 5.0]]
    found[0][0].backward()
    assert [v.grad for v in x] == [6.0, 4.0]


def test_the_way_follows_the_shape(gg, monkeypatch):
    seen = []

    class Spy:
        def __init__(self, *given):
            self.tape = gg.tape.Tape(*given)
            self.open = self.tape.open

        def jacobian(self, forward):
            seen.append(forward)
            return self.tape.jacobian(forward)

    monkeypatch.setattr(gg.run, "Tape", Spy)
    gg.jacobian(lambda x: [x, x, x])(1.0)
    gg.jacobian(lambda x: [x[0] + x[1]])([1.0, 2.0])
    assert seen == [True, False]


# ---- Hessians ------------------------------------------------------------------------------------------------------


def rosenbrock_hessian(x):
    n = len(x)
    found = np.zeros((n, n))
    for i in range(n - 1):
        found[i, i] += 1200 * x[i] ** 2 - 400 * x[i + 1] + 2
        found[i + 1, i + 1] += 200
        found[i, i + 1] = found[i + 1, i] = -400 * x[i]
    return found


@pytest.mark.parametrize("n", [2, 3, 10, 50])
def test_the_hessian_of_a_band(gg, n):
    x = np.linspace(-1.5, 2.0, n)
    found = gg.hessian(rosenbrock)(x)
    np.testing.assert_allclose(found, rosenbrock_hessian(x), rtol=1e-13)
    assert gg.hessian(rosenbrock)(list(x)) == found.tolist()
    sparse = gg.hessian(rosenbrock, sparse=True)(x)
    assert sparse.nnz == 3 * n - 2
    np.testing.assert_array_equal(sparse.toarray(), found)
    v = np.cos(x)
    np.testing.assert_allclose(gg.hvp(rosenbrock)(x, v), found @ v, rtol=1e-12)
    values = [gg.Value(t) for t in x]
    np.testing.assert_allclose(values_of(gg.hessian(rosenbrock)(values)), found, rtol=1e-13)


def test_hessians_are_exactly_symmetric(gg):
    def f(x):
        total = gg.logsumexp([gg.sin(a * b) + a / (1.5 + b * b) for a in x for b in x[:3]])
        return total * gg.exp(0.3 * x[0] - x[-1])

    x = [0.1 * math.sin(3.7 * i) + 0.05 * i for i in range(7)]
    for found in (gg.hessian(f)(x), values_of(gg.hessian(f)([gg.Value(t) for t in x]))):
        assert found == [list(row) for row in zip(*found, strict=True)]
        step = 1e-5
        for i in range(7):
            up, down = [[t + s * step * (j == i) for j, t in enumerate(x)] for s in (1, -1)]
            by_differences = [(a - b) / (2 * step) for a, b in zip(gg.grad(f)(up), gg.grad(f)(down), strict=True)]
            assert found[i] == close(by_differences, rel=1e-6, abs=1e-8)


def test_hessians_of_trees(gg):
    def f(p, q):
        return p["a"] ** 2 * p["b"][0] + q * p["a"]

    p = {"a": 2.0, "b": [3.0]}
    assert gg.hessian(f)(p, 1.0) == {"a": {"a": 6.0, "b": [4.0]}, "b": [{"a": 4.0, "b": [0.0]}]}
    by_both = gg.hessian(f, (1, 0))(p, 1.0)
    assert by_both[0] == (0.0, {"a": 1.0, "b": [0.0]})
    assert by_both[1] == {"a": (1.0, {"a": 6.0, "b": [4.0]}), "b": [(0.0, {"a": 4.0, "b": [0.0]})]}
    assert gg.hessian(lambda x: (x * x).sum())(np.ones((2, 3))).shape == (2, 3, 2, 3)
    assert gg.hessian(lambda x: 3.0)([1.0, 2.0]) == [[0.0, 0.0], [0.0, 0.0]]
    assert gg.hessian(lambda x: x[0] + 2 * x[1])([1.0, 2.0]) == [[0.0, 0.0], [0.0, 0.0]]
    assert gg.hvp(f)(p, {"b": [0.0], "a": 1.0}, 1.0) == {"a": 6.0, "b": [4.0]}
    assert gg.hvp(f, -1)(p, 1.0, 5.0) == 0.0


def test_an_arrow_and_a_full_matrix(gg):
    def arrow(x):
        return gg.sum([x[0] * t * t for t in x])

    n = 30
    found = gg.hessian(arrow)([1.0 + i for i in range(n)])
    assert found[0] == [6.0] + [2.0 * (1 + i) for i in range(1, n)]
    assert [found[i][i] for i in range(1, n)] == [2.0] * (n - 1)
    full = gg.hessian(lambda x: gg.sum(x) ** 3)([1.0] * n)
    assert full == [[6.0 * n] * n] * n


# ---- higher orders, nesting ----------------------------------------------------------------------------------------


def test_derivatives_of_any_order(gg):
    grad = gg.grad
    f = gg.sin
    expected = [math.cos(0.7), -math.sin(0.7), -math.cos(0.7), math.sin(0.7), math.cos(0.7)]
    for value in expected:
        f = grad(f)
        assert f(0.7) == close(value, rel=1e-14)
    assert grad(grad(grad(lambda x: x**5)))(2.0) == 240.0
    assert grad(grad(grad(grad(lambda x: x**5))))(2.0) == 240.0
    assert grad(grad(grad(lambda x: gg.exp(-x * x))))(0.5) == close(
        (12 * 0.5 - 8 * 0.5**3) * math.exp(-0.25), rel=1e-13
    )


def test_transforms_inside_transforms(gg):
    x = [1.0, 2.0]

    def f(x):
        return x[0] ** 3 * x[1] ** 2

    expected = [[24.0, 12.0], [12.0, 2.0]]
    assert gg.jacobian(gg.grad(f))(x) == expected
    assert gg.jacobian(gg.jacobian(f))(x) == expected
    assert gg.jacobian(gg.jacobian(f, mode="forward"), mode="reverse")(x) == expected
    assert gg.jvp(gg.grad(f), (x,), ([1.0, 0.0],))[1] == expected[0]
    assert gg.vjp(gg.grad(f), x)[1]([0.0, 1.0])[0] == expected[1]
    assert gg.jacobian(gg.hessian(f))(x)[0][0] == [24.0, 24.0]
    assert gg.grad(lambda x: gg.hvp(f)(x, [1.0, 0.0])[0])(x) == [24.0, 24.0]
    assert gg.grad(lambda x: gg.value_and_grad(f)(x)[0])(x) == gg.grad(f)(x)
    assert gg.grad(lambda x: gg.vjp(f, x)[1](x[0])[0][1])(x) == [16.0, 2.0]  # x0 * 2 x0³ x1
    assert gg.grad(lambda x: gg.jvp(f, (x,), ([x[1], 0.0],))[1])(x) == [24.0 * 2.0, 36.0]  # 3 x0² x1³


def test_no_perturbation_confusion(gg):
    grad = gg.grad
    assert grad(lambda x: x * grad(lambda y: x + y)(1.0))(1.0) == 1.0
    assert grad(lambda x: x * grad(lambda y: x + y)(x))(1.0) == 1.0
    assert grad(lambda x: x * grad(lambda y: x * y)(1.0))(4.0) == 8.0
    assert gg.jvp(lambda x: x * gg.jvp(lambda y: x * y, (1.0,), (1.0,))[1], (4.0,), (1.0,)) == (16.0, 8.0)
    assert grad(lambda x: x * gg.jvp(lambda y: x * y, (1.0,), (1.0,))[1])(4.0) == 8.0
    assert gg.jvp(lambda x: x * grad(lambda y: x * y)(1.0), (4.0,), (1.0,)) == (16.0, 8.0)
    assert grad(lambda x: grad(lambda y: grad(lambda z: x * y * z)(y) * x)(x))(3.0) == 6.0


def test_an_inner_derivative_that_knows_nothing_of_the_outer_one_is_a_number(gg):
    seen = []

    def f(x):
        seen.append(gg.grad(cube)(2.0))
        seen.append(gg.grad(lambda y: x * y)(2.0))
        seen.append(gg.hessian(lambda y: y[0] * y[1], sparse=True)([1.0, 2.0]).nnz)
        return x

    gg.grad(f)(1.0)
    assert [type(x) for x in seen] == [float, gg.Value, int]


def test_nesting_in_threads(gg):
    def work(i):
        wrong = 0
        for k in range(1250):
            x = 1.0 + 0.01 * ((k * 7 + i) % 50)
            wrong += gg.grad(lambda x: x * gg.grad(lambda y: x * y)(1.0))(x) != 2 * x
        return wrong

    assert in_threads(8, work) == [0] * 8


def test_threads_share_what_a_function_captures(gg):
    w = gg.Value(3.0)

    def work(i):
        return [gg.grad(lambda x: w * x * x)(float(k)).data for k in range(100)] + [gg.gradients(w * w, w).data]

    assert in_threads(4, work) == [[6.0 * k for k in range(100)] + [6.0]] * 4
    assert w.grad == 0.0


def test_a_transform_in_a_thread_inside_another_one(gg):
    def f(x):
        found = []
        thread = threading.Thread(target=lambda: found.append(gg.grad(lambda y: x * y * y)(3.0)))
        thread.start()
        thread.join()
        return found[0]

    assert gg.grad(f)(2.0) == 6.0


def test_clean_after_exceptions(gg):
    kept = []

    def broken(x):
        kept.append(x)
        if len(kept) < 3:
            gg.grad(broken)(x * 2)
        raise KeyError("mine")

    for transform in (gg.grad, gg.jacobian, gg.hessian, gg.value_and_grad):
        kept.clear()
        with pytest.raises(KeyError, match="mine"):
            transform(broken)(1.0)
        # the inputs that leaked out of the failed call are ordinary Values now
        assert type(gg.grad(lambda y: kept[0] * y)(3.0)) is float
        assert type(gg.grad(lambda y: kept[2] * y)(3.0)) is float
    with pytest.raises(gg.NonFiniteError):
        gg.grad(lambda x: gg.log(x))(0.0)
    assert gg.grad(lambda x: x * gg.grad(lambda y: x + y)(1.0))(1.0) == 1.0
    assert gg.Value(2.0).requires_grad


def test_inputs_that_leak_out_of_a_call_are_ordinary(gg):
    kept = []
    gg.grad(lambda x: kept.append(x) or x * x)(2.0)
    assert type(gg.grad(lambda y: kept[0] * y)(3.0)) is float
    (kept[0] * 5).backward()
    assert kept[0].grad == 5.0


# ---- Values --------------------------------------------------------------------------------------------------------


def test_of_values_the_derivatives_are_values(gg):
    x = gg.Value(2.0, "x")
    slope = gg.grad(cube)(x)
    assert type(slope) is gg.Value
    slope.backward()
    assert (slope.data, x.grad) == (12.0, 12.0)
    value, slope = gg.value_and_grad(cube)(x)
    assert (type(value), value.data, slope.data) == (gg.Value, 8.0, 12.0)
    constant = gg.grad(lambda x: 5.0 * x)(x)
    assert (type(constant), constant.data, constant.requires_grad) == (gg.Value, 5.0, False)
    mixed = gg.grad(lambda p: p[0] * p[1])([x, 3.0])
    assert [type(v) for v in mixed] == [gg.Value, gg.Value]
    array = gg.grad(lambda a: (a * a).sum())(np.array([x, gg.Value(1.0)]))
    assert (array.dtype, array[0].data) == (object, 4.0)


def test_a_gradient_penalty(gg):
    w = gg.Value(0.5)
    x = gg.Value(2.0)
    slope = gg.grad(lambda x: gg.tanh(w * x))(x)  # w (1 - tanh²)
    penalty = (slope - 1.0) ** 2
    penalty.backward()
    t = math.tanh(1.0)
    s = 1 - t * t
    assert w.grad == close(2 * (0.5 * s - 1) * (s - 0.5 * 2 * t * s * 2.0), rel=1e-12)


def test_no_grad_changes(gg):
    w = gg.Value(3.0)
    (w * 2).backward()
    x = gg.Value(2.0)
    f = lambda x: w * x * x  # noqa: E731
    for transform in (gg.grad, gg.hessian, gg.jacobian, gg.value_and_grad):
        transform(f)(2.0)
        transform(f)(x)
    gg.hvp(f)(2.0, 1.0)
    gg.jvp(f, (x,), (1.0,))
    gg.vjp(f, x)[1](1.0)
    gg.gradients(f(x), [x, w])
    assert (w.grad, x.grad, x._has_grad) == (2.0, 0.0, False)


def test_backward_inside_the_function(gg):
    w = gg.Value(3.0)

    def f(x):
        loss = w * w
        loss.backward()  # its own business
        return w.grad * x + w * x

    assert gg.grad(f)(2.0).data == 9.0
    assert w.grad == 6.0


def test_where_a_function_of_numbers_is_a_value_so_are_its_derivatives(gg):
    """A model's weights are Values that somebody may differentiate by: what is made of its slope can be trained."""
    w = gg.Value(3.0)
    f = lambda x: w * x * x  # noqa: E731
    (gg.grad(f)(2.0) - 1.0).square().backward()  # (2 w x - 1)²
    assert w.grad == 2 * 11.0 * 4.0
    value, slope = gg.value_and_grad(f)(2.0)
    assert (value.data, slope.data, gg.gradients(slope, w).data) == (12.0, 12.0, 4.0)
    _, pullback = gg.vjp(f, 2.0)
    found = [gg.hessian(f)(2.0), gg.jacobian(f)(2.0), pullback(1.0)[0], gg.jvp(f, (2.0,), (1.0,))[1]]
    assert [gg.gradients(x, w).data for x in [*found, gg.hvp(f)(2.0, 1.0)]] == [2.0, 4.0, 4.0, 4.0, 2.0]
    with gg.no_grad():  # numbers for numbers, and faster
        assert (gg.grad(f)(2.0), gg.hessian(f)(2.0), gg.value_and_grad(f)(2.0)) == (12.0, 6.0, (12.0, 12.0))
    w.requires_grad = False
    assert gg.grad(f)(2.0) == 12.0
    assert gg.grad(lambda x: gg.Value(3.0, requires_grad=False) * x)(2.0) == 3.0


def test_no_grad_around_a_transform_and_in_it(gg):
    x = gg.Value(2.0)
    with gg.no_grad():
        assert gg.grad(cube)(2.0) == 12.0
        assert gg.hessian(cube)(2.0) == 12.0
        assert gg.hvp(cube)(2.0, 1.0) == 12.0
        slope = gg.grad(cube)(x)
        (second,) = gg.hessian(lambda v: v[0] ** 3)([x])[0]
        assert not (x * x).requires_grad
    assert (type(slope), slope.data, slope.requires_grad) == (gg.Value, 12.0, False)
    assert (second.data, second.requires_grad) == (12.0, False)

    def partly(x):
        with gg.no_grad():
            y = x * x
        return y * x

    assert gg.grad(partly)(3.0) == 9.0
    assert gg.grad(lambda x: x * gg.no_grad(gg.grad(cube))(x))(2.0) == 12.0  # the inner one is a constant
    inside = gg.no_grad(lambda x: (x * x, gg.grad(lambda y: x * y)(5.0)))(gg.Value(3.0))
    assert inside[1] == 3.0


def test_infinite_derivatives(gg):
    with pytest.raises(gg.NonFiniteError, match="the gradient through sqrt"):
        gg.grad(gg.sqrt)(0.0)
    assert gg.grad(lambda x: gg.where(x > 0, gg.sqrt(x), 0.0))(0.0) == 0.0
    with gg.allow_nonfinite():
        assert gg.grad(gg.sqrt)(0.0) == math.inf
    with pytest.raises(gg.NonFiniteError):
        gg.jvp(gg.sqrt, (0.0,), (1.0,))
    with pytest.raises(gg.NonFiniteError):
        gg.jacobian(lambda x: [gg.sqrt(x), x])(0.0)


# ---- gradients -----------------------------------------------------------------------------------------------------


def test_gradients_by_any_values(gg):
    x, y = gg.Value(2.0), gg.Value(3.0)
    u = x * y
    z = u**2 + x
    by = gg.gradients(z, {"x": x, "u": [u], "y": y})
    assert by["u"][0].data == 12.0
    assert by["x"].data == 37.0
    assert by["y"].data == 24.0
    assert gg.gradients(by["x"], y).data == 24.0  # d²/dxdy (x² y² + x)
    assert (x.grad, y.grad) == (0.0, 0.0)
    assert gg.gradients(z, []) == []
    assert [v.data for v in gg.gradients(z, [x, x])] == [37.0, 37.0]


def test_gradients_of_trees_with_seeds(gg):
    x = gg.Value(2.0)
    outputs = {"a": x**2, "b": [x**3, 5.0]}
    assert gg.gradients(outputs, x).data == 16.0
    assert gg.gradients(outputs, x, {"a": 10, "b": [0.0, 1.0]}).data == 40.0
    seed = gg.Value(3.0)
    slope = gg.gradients(x**2, x, seed)
    assert (slope.data, gg.gradients(slope, seed).data) == (12.0, 4.0)
    array = gg.gradients(x**2, np.array([x]))
    assert (array.dtype, array[0].data) == (object, 4.0)


def test_gradients_refuse(gg):
    x = gg.Value(2.0)
    with pytest.raises(gg.OperandError, match=r"inputs\['a'\] is float 1\.0, and derivatives are by Values"):
        gg.gradients(x, {"a": 1.0})
    with pytest.raises(gg.OperandError, match=r"outputs\[1\] takes a real number, not str"):
        gg.gradients([x, "y"], x)
    with pytest.raises(gg.OperandError, match=r"seeds is a list of 2 numbers, and outputs is a number"):
        gg.gradients(x, x, [1.0, 2.0])
    y = gg.Value(1.0)
    unused = gg.gradients(x * 2, y)
    assert (unused.data, unused.requires_grad) == (0.0, False)
    with pytest.raises(gg.GraphError, match=r"no output depends on inputs\[1\]; without strict=True"):
        gg.gradients(x * 2, [x, y], strict=True)


# ---- bad input -----------------------------------------------------------------------------------------------------

TRANSFORMS = ["grad", "value_and_grad", "jacobian", "hessian"]


@pytest.mark.parametrize("name", TRANSFORMS)
def test_wrong_argument_counts(gg, name):
    transform = getattr(gg, name)

    def f(x, y):
        return x * y

    with pytest.raises(gg.OperandError, match=rf"{name}\(f\) differentiates by argument 2, but .* 2 arguments"):
        transform(f, 2)(1.0, 2.0)
    with pytest.raises(gg.OperandError, match="argument -3, but it was called with 2 arguments"):
        transform(f, -3)(1.0, 2.0)
    with pytest.raises(gg.OperandError, match="argument 1, but it was called with 1 argument by position; give that"):
        transform(f, 1)(1.0, y=2.0)
    with pytest.raises(gg.OperandError, match="argument 0, but it was called with no arguments"):
        transform(f)()
    with pytest.raises(gg.OperandError, match="names argument 1 twice"):
        transform(f, (1, -1))(1.0, 2.0)
    with pytest.raises(TypeError, match="missing 1 required positional argument"):  # Python's own
        transform(f)(1.0)


@pytest.mark.parametrize("argnums", [1.0, "0", None, True, (0, "x"), (False,)])
def test_argnums_are_integers(gg, argnums):
    with pytest.raises(gg.OperandError, match=r"grad\(f\): argnums is the position of an argument or a tuple of some"):
        gg.grad(lambda x: x, argnums)(1.0)


@pytest.mark.parametrize(
    "one", [np.int64(1), np.uint8(1), np.array(1), type("Index", (), {"__index__": lambda _: 1})()]
)
def test_argnums_are_whatever_counts_as_an_index(gg, one):
    f = lambda x, y: x * y**2  # noqa: E731
    assert gg.grad(f, one)(2.0, 3.0) == 12.0
    assert gg.grad(f, (one, 0))(2.0, 3.0) == (12.0, 9.0)
    assert gg.hvp(f, one)(2.0, 3.0, 1.0) == 4.0
    assert gg.vjp(f, 2.0, 3.0, argnums=one)[1](1.0) == 12.0
    for wrong in (np.bool_(True), (np.bool_(True),), np.array([0, 1]), np.float64(1.0)):
        with pytest.raises(gg.OperandError, match="argnums is the position of an argument or a tuple of some"):
            gg.grad(f, wrong)(2.0, 3.0)


def test_wrong_calls_of_the_others(gg):
    with pytest.raises(gg.OperandError, match=r"hvp\(cube\) takes the vector right after argument 0, .* 1 argument"):
        gg.hvp(cube)(2.0)
    with pytest.raises(gg.OperandError, match=r"hvp\(cube\) differentiates by one argument at least"):
        gg.hvp(cube, ())
    with pytest.raises(gg.OperandError, match=r"right after argument 1, as in \(x, y, \(v, w\)\), .* 2 arguments"):
        gg.hvp(cube, (0, 1))(1.0, 2.0)
    with pytest.raises(gg.OperandError, match="the vector is a number, and the tuple of the arguments is a tuple of 2"):
        gg.hvp(lambda x, y: x * y, (0, 1))(1.0, 2.0, 3.0)
    with pytest.raises(gg.OperandError, match="the vector is a list of 1 number, and argument 0 is a number"):
        gg.hvp(cube)(2.0, [1.0])
    with pytest.raises(gg.OperandError, match=r"primals is a tuple with one entry for each argument, as in \(x,\)"):
        gg.jvp(cube, 2.0, (1.0,))
    with pytest.raises(gg.OperandError, match="tangents is a tuple with one entry"):
        gg.jvp(cube, (2.0,), np.ones(1))
    with pytest.raises(gg.OperandError, match="tangents is a tuple of 2 numbers, and primals is a tuple of 1 number"):
        gg.jvp(cube, (2.0,), (1.0, 1.0))
    _, pullback = gg.vjp(lambda x: [x, x], 2.0)
    with pytest.raises(gg.OperandError, match="the cotangent is a number, and the result of f is a list of 2 numbers"):
        pullback(1.0)
    with pytest.raises(gg.OperandError, match=r"the cotangent\[1\] takes a real number, not str"):
        pullback([1.0, "a"])
    with pytest.raises(gg.OperandError, match="mode is 'forward', 'reverse' or None, not str 'backward'"):
        gg.jacobian(cube, mode="backward")


@pytest.mark.parametrize("name", [*TRANSFORMS, "hvp", "vjp"])
def test_what_is_no_function_is_refused(gg, name):
    with pytest.raises(gg.OperandError, match=f"{name} takes a function, not Value"):
        getattr(gg, name)(gg.Value(1.0))


RESULTS = {
    "list": (lambda x: [x, x], "returned a list of 2 numbers: return their sum or one of them, .*has_aux=True"),
    "array": (lambda x: np.array([x]), r"returned an array of shape \(1,\)"),
    "tuple": (lambda x: (x, 1), "returned a tuple of 2 numbers"),
    "dict": (lambda x: {"loss": x}, r"returned a dict with \['loss'\] number"),
    "empty": (lambda x: [], "returned an empty list"),
    "nothing": (lambda x: None, "returned None; is a return missing"),
    "text": (lambda x: "x", "the result of f takes a real number, not str 'x'"),
    "truth": (lambda x: x > 1, "the result of f takes a real number, not bool True"),
    "complex": (lambda x: 1j, "the result of f takes a real number, not complex"),
    "function": (lambda x: len, "the result of f takes a real number, not builtin"),
    "generator": (lambda x: (y for y in [x]), "the result of f takes a real number, not generator"),
}


@pytest.mark.parametrize(("f", "message"), RESULTS.values(), ids=RESULTS)
@pytest.mark.parametrize("name", ["grad", "value_and_grad", "hessian"])
def test_results_that_are_no_scalar(gg, name, f, message):
    with pytest.raises(gg.OperandError, match=rf"{name}\(f\).*{message}"):
        getattr(gg, name)(f)(2.0)


def test_aux_that_is_missing(gg):
    with pytest.raises(gg.OperandError, match=r"with has_aux=True f returns a pair \(result, aux\), not Value"):
        gg.grad(lambda x: x, has_aux=True)(1.0)


INPUTS = {
    "text": ("2", "argument 0 takes a real number, not str '2'; convert it first"),
    "text inside": ({"w": [1.0, 2.0, "3"]}, r"argument 0\['w'\]\[2\] takes a real number, not str '3'"),
    "array of text": (np.array(["a"]), r"argument 0\[0\] takes a real number, not str"),
    "truth": (True, "argument 0 takes a real number, not bool True; a truth value has no derivative"),
    "array of truths": (np.array([[True]]), r"argument 0\[0, 0\] takes a real number, not bool"),
    "truth of NumPy": (np.False_, "argument 0 .*truth value"),
    "nothing": (None, "argument 0 is None"),
    "nothing in an array": (np.array([1.0, None]), r"argument 0\[1\] takes a real number, not NoneType"),
    "complex": (1 + 2j, "argument 0 takes a real number, not complex .*only real numbers"),
    "Decimal": (Decimal(1), "argument 0 takes a real number, not Decimal"),
    "set": ({1.0, 2.0}, "argument 0 .*make it a list, tuple, dict"),
    "field": (Point(1.0, "y"), r"argument 0\.y takes a real number, not str"),
}


@pytest.mark.parametrize(("x", "message"), INPUTS.values(), ids=INPUTS)
@pytest.mark.parametrize("name", TRANSFORMS)
def test_arguments_that_are_no_numbers(gg, name, x, message):
    called = []
    with pytest.raises(gg.OperandError, match=rf"{name}\(f\): {message}"):
        getattr(gg, name)(lambda x: called.append(x) or 1.0)(x)
    assert called == []


def test_the_place_of_a_bad_argument_is_its_own(gg):
    with pytest.raises(gg.OperandError, match=r"grad\(f\): argument 2\[1\] takes"):
        gg.grad(lambda x, y, z: x, (0, 2))(1.0, "any", [2.0, "3"])


def test_ints_and_others_become_floats(gg):
    assert gg.grad(cube)(2) == 12.0
    assert gg.grad(cube)(np.int32(2)) == 12.0
    assert gg.grad(cube)(Fraction(1, 2)) == 0.75
    assert gg.grad(lambda x: x[0] * x[1])([2, 3]) == [3.0, 2.0]
    with pytest.raises(gg.NonFiniteError, match="argument 0 takes numbers that a float can hold"):
        gg.grad(cube)(10**400)


def test_empty_containers(gg):
    for empty in ([], (), {}, [[], {}]):
        assert gg.grad(lambda x: 1.0)(empty) == empty
        assert gg.jacobian(lambda x: [1.0])(empty) == [empty]
    assert gg.hessian(lambda x: 1.0)([]) == []
    assert gg.hvp(lambda x: 1.0)([], []) == []
    assert gg.jvp(lambda x: [], ([],), ([],)) == ([], [])
    assert gg.vjp(list)[1]([]) == ()
    assert gg.vjp(lambda x: [], 1.0)[1]([]) == (0.0,)
    assert gg.grad(lambda x: 1.0)(np.zeros((0, 3))).shape == (0, 3)
    assert gg.jacobian(lambda x: x[:0])(np.ones(3)).shape == (0, 3)


def test_nan(gg):
    with pytest.raises(gg.NonFiniteError, match=r"mul\(nan, nan\) is undefined"):
        gg.grad(lambda x: x * x)(math.nan)
    with gg.allow_nonfinite():
        assert math.isnan(gg.grad(lambda x: x * x)(math.nan))
    assert gg.grad(lambda x: x[0])([1.0, math.nan]) == [1.0, 0.0]  # no operation meets it


@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_directions_that_are_not_finite(gg, bad):
    """A linear function would let them through without any operation that meets them."""

    def double(x):
        return [2 * x[0], x[1]]

    def first(x):
        return x[0] ** 2 * x[1]

    x = gg.Value(1.0)
    calls = {
        r"jvp\(double\): tangents\[0\]\[1\]": lambda: gg.jvp(double, ([1.0, 2.0],), ([1.0, bad],)),
        r"vjp\(double\): the cotangent\[1\]": lambda: gg.vjp(double, [1.0, 2.0])[1]([1.0, bad]),
        r"hvp\(first\): the vector\[0\]": lambda: gg.hvp(first)([1.0, 2.0], [bad, 1.0]),
        r"taylor\(double\): the direction\[0\]": lambda: gg.taylor(double, [1.0, 2.0], 2, direction=[bad, 1.0]),
        r"gradients: seeds": lambda: gg.gradients(2 * x, x, gg.Value(bad)),
    }
    for place, call in calls.items():
        with pytest.raises(gg.NonFiniteError, match=rf"{place} is {bad}; make it finite"):
            call()
        with gg.allow_nonfinite():
            call()


def test_inputs_without_influence(gg):
    def f(x):
        return x["a"] ** 2

    x = {"a": 3.0, "b": [1.0, 2.0]}
    zeros = {"a": 6.0, "b": [0.0, 0.0]}
    assert gg.grad(f)(x) == zeros
    message = r"argument 0\['b'\]\[0\] has no influence on the result; without strict=True the derivative by it is 0"
    for name in TRANSFORMS:
        with pytest.raises(gg.GraphError, match=rf"{name}\(f\): {message}"):
            getattr(gg, name)(f, strict=True)(x)
        with pytest.raises(gg.GraphError, match=message):
            getattr(gg, name)(f, strict=True)({"a": gg.Value(3.0), "b": [1.0, 2.0]})
        getattr(gg, name)(f, strict=True)({"a": 3.0})
    assert gg.grad(lambda x: 5)(2.0) == 0.0
    assert gg.value_and_grad(lambda x: 5)(2.0) == (5.0, 0.0)
    with pytest.raises(gg.GraphError, match="argument 0 has no influence"):
        gg.grad(lambda x: 5, strict=True)(2.0)
    assert gg.hessian(lambda x: x, strict=True)(2.0) == 0.0  # the first derivative has influence


def test_sparse_results_are_numbers(gg):
    with pytest.raises(gg.OperandError, match=r"hessian\(rosenbrock\): sparse=True gives numbers"):
        gg.hessian(rosenbrock, sparse=True)([gg.Value(1.0), 2.0])
    with pytest.raises(gg.OperandError, match=r"jacobian\(f\): sparse=True gives numbers"):
        gg.grad(lambda x: gg.jacobian(lambda y: [x * y], sparse=True)(1.0))(2.0)


def test_without_scipy_the_error_says_how_to_get_it(gg, monkeypatch):
    import sys

    monkeypatch.setitem(sys.modules, "scipy", None)
    with pytest.raises(gg.GlassgradError, match=r"needs SciPy for sparse=True: pip install 'glassgrad\[sparse\]'"):
        gg.hessian(rosenbrock, sparse=True)([1.0, 2.0])


def test_operations_written_by_hand(gg):
    def mine(x):
        out = gg.Value(x.data**2, (x,), "mine")

        def _backward():
            x.grad += 2 * x.data * out.grad

        out._backward = _backward
        return out

    assert gg.grad(lambda x: 3 * mine(x))(2.0) == 12.0
    assert gg.jvp(mine, (2.0,), (1.0,)) == (4.0, 4.0)
    with pytest.raises(gg.GraphError, match="second derivative"):
        gg.hessian(mine)(2.0)
    with pytest.raises(gg.GraphError, match="second derivative"):
        gg.grad(gg.grad(mine))(2.0)
