"""SciPy's solvers take the transforms as `jac=`, `hess=` and `hessp=` without glue."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import optimize


def rosenbrock(x):
    total = 0.0
    for i in range(len(x) - 1):
        total = total + 100.0 * (x[i + 1] - x[i] ** 2) ** 2 + (1.0 - x[i]) ** 2
    return total


START = np.array([1.3, 0.7, 0.8, 1.9, 1.2])


@pytest.mark.parametrize("method", ["BFGS", "CG", "L-BFGS-B", "SLSQP", "TNC"])
def test_minimize_with_a_gradient(gg, method):
    found = optimize.minimize(rosenbrock, START, jac=gg.grad(rosenbrock), method=method)
    np.testing.assert_allclose(found.x, 1.0, atol=1e-3)


@pytest.mark.parametrize("method", ["Newton-CG", "trust-exact", "trust-ncg", "trust-krylov", "dogleg"])
def test_minimize_with_a_hessian(gg, method):
    start = np.full(5, 1.3) if method == "dogleg" else START  # which wants a positive definite one
    found = optimize.minimize(
        rosenbrock, start, jac=gg.grad(rosenbrock), hess=gg.hessian(rosenbrock), method=method, tol=1e-6
    )
    assert found.success
    np.testing.assert_allclose(found.x, 1.0, atol=1e-6)


def test_minimize_with_a_sparse_hessian(gg):
    found = optimize.minimize(
        rosenbrock, START, jac=gg.grad(rosenbrock), hess=gg.hessian(rosenbrock, sparse=True), method="trust-constr"
    )
    np.testing.assert_allclose(found.x, 1.0, atol=1e-3)


@pytest.mark.parametrize("method", ["Newton-CG", "trust-ncg", "trust-krylov"])
def test_minimize_with_hessian_vector_products(gg, method):
    found = optimize.minimize(
        rosenbrock, START, jac=gg.grad(rosenbrock), hessp=gg.hvp(rosenbrock), method=method, tol=1e-6
    )
    assert found.success
    np.testing.assert_allclose(found.x, 1.0, atol=1e-6)


def test_minimize_with_value_and_gradient_in_one(gg):
    found = optimize.minimize(gg.value_and_grad(rosenbrock), START, jac=True, method="BFGS")
    np.testing.assert_allclose(found.x, 1.0, atol=1e-5)


@pytest.mark.parametrize("second", ["hess", "hessp"])
def test_extra_arguments(gg, second):
    def f(x, a, name):
        assert name == "text"
        return (x[0] - a) ** 2 + a * (x[1] - x[0]) ** 4

    found = optimize.minimize(
        f, [3.0, 0.0], args=(2.0, "text"), jac=gg.grad(f), method="Newton-CG", tol=1e-12,
        **{second: {"hess": gg.hessian(f), "hessp": gg.hvp(f)}[second]},
    )  # fmt: skip
    assert found.x[0] == pytest.approx(2.0, abs=1e-6)


def test_constraints(gg):
    def f(x):
        return (x[0] - 2) ** 2 + (x[1] - 1) ** 2

    def circle(x):
        return 1 - x[0] ** 2 - x[1] ** 2

    constraint = {"type": "ineq", "fun": circle, "jac": gg.grad(circle)}
    found = optimize.minimize(f, [0.0, 0.0], jac=gg.grad(f), constraints=[constraint], method="SLSQP")
    np.testing.assert_allclose(found.x, np.array([2, 1]) / np.sqrt(5), atol=1e-6)
    bound = optimize.NonlinearConstraint(
        circle, 0, np.inf, jac=gg.grad(circle), hess=lambda x, v: v[0] * gg.hessian(circle)(x)
    )
    found = optimize.minimize(
        f, [0.1, 0.0], jac=gg.grad(f), hess=gg.hessian(f), constraints=[bound], method="trust-constr"
    )
    np.testing.assert_allclose(found.x, np.array([2, 1]) / np.sqrt(5), atol=1e-3)


TIMES = np.linspace(0.0, 4.0, 25)
TRUE = np.array([2.5, 1.3, 0.5])


def model(gg, p, t):
    return p[0] * gg.exp(-p[1] * t) + p[2]


@pytest.mark.parametrize("as_array", [False, True])
@pytest.mark.parametrize("method", ["lm", "trf", "dogbox"])
def test_least_squares(gg, method, as_array):
    data = [model(gg, TRUE, t) for t in TIMES]

    def residuals(p):
        found = [model(gg, p, t) - y for t, y in zip(TIMES, data, strict=True)]
        return np.array(found) if as_array else found

    found = optimize.least_squares(residuals, [1.0, 1.0, 1.0], jac=gg.jacobian(residuals), method=method)
    np.testing.assert_allclose(found.x, TRUE, atol=1e-7)


def test_least_squares_with_a_sparse_jacobian(gg):
    n = 60

    def broyden(x):  # tridiagonal: Broyden 1965
        left = [0.0, *x[:-1]]
        right = [*x[1:], 0.0]
        return [(3 - 2 * b) * b - a - 2 * c + 1 for a, b, c in zip(left, x, right, strict=True)]

    jacobian = gg.jacobian(broyden, sparse=True)
    assert jacobian(-np.ones(n)).nnz == 3 * n - 2
    found = optimize.least_squares(broyden, -np.ones(n), jac=jacobian, method="trf")
    assert found.cost < 1e-15
    dense = optimize.least_squares(broyden, -np.ones(n), jac=gg.jacobian(broyden))
    np.testing.assert_allclose(found.x, dense.x, atol=1e-6)


def test_root(gg):
    def f(x):
        return [x[0] + 0.5 * (x[0] - x[1]) ** 3 - 1.0, 0.5 * (x[1] - x[0]) ** 3 + x[1]]

    found = optimize.root(f, [0.0, 0.0], jac=gg.jacobian(f))
    np.testing.assert_allclose(found.x, [0.8411639, 0.1588361], atol=1e-6)
    one = optimize.root_scalar(
        lambda x: x**3 - 2,
        x0=1.0,
        fprime=gg.grad(lambda x: x**3 - 2),
        fprime2=gg.grad(gg.grad(lambda x: x**3 - 2)),
        method="halley",
    )
    assert one.root == pytest.approx(2 ** (1 / 3), rel=1e-12)


def test_curve_fit(gg):
    def curve(ts, a, b, c):
        return [a * gg.exp(-b * t) + c for t in ts]

    data = np.array(curve(TIMES, *TRUE)) + 0.01 * np.sin(40 * TIMES)
    found, covariance = optimize.curve_fit(curve, TIMES, data, p0=[1.0, 1.0, 1.0], jac=gg.jacobian(curve, (1, 2, 3)))
    by_differences, expected = optimize.curve_fit(curve, TIMES, data, p0=[1.0, 1.0, 1.0])
    np.testing.assert_allclose(found, by_differences, rtol=1e-6)
    np.testing.assert_allclose(covariance, expected, rtol=1e-4)
