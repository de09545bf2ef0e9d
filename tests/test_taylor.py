"""`taylor` against mpmath, against series that everybody knows, and against nested derivatives."""

from __future__ import annotations

import dataclasses
import doctest
import gc
import math
from functools import cache

import mpmath
import numpy as np
import pytest
from conftest import in_threads
from references import CASES, NARY, mp, mpf

close = pytest.approx

# Where to look: for each operation the operands at t = 0. Among them are both sides of every branch of the rules.
ANYWHERE = [(0.0,), (0.3,), (-0.7,), (1.6,), (-4.0,)]
POSITIVE = [(0.02,), (0.7,), (3.0,)]
PAIRS = [(0.5, 2.0), (-1.5, 0.25), (2.0, -3.0)]
LISTS = [(1.0, 0.5, -2.0, 3.0), (0.0, 2.0, 0.0, 0.5), (-1.0, 0.25, 0.25, 0.25)]
POINTS = {
    "identity": ANYWHERE, "neg": ANYWHERE, "abs": ANYWHERE[1:], "sign": ANYWHERE[1:], "square": ANYWHERE,
    "reciprocal": ANYWHERE[1:], "exp": ANYWHERE, "expm1": ANYWHERE, "log": POSITIVE,
    "log1p": [(0.0,), (-0.5,), (3.0,)], "log2": POSITIVE, "log10": POSITIVE, "sqrt": POSITIVE,
    "cbrt": [*POSITIVE, (-2.0,)], "sin": ANYWHERE, "cos": ANYWHERE, "tan": ANYWHERE,
    "arcsin": [(0.0,), (0.3,), (-0.7,)], "arccos": [(0.0,), (0.3,), (-0.7,)], "arctan": ANYWHERE,
    "sinh": ANYWHERE, "cosh": ANYWHERE, "tanh": [*ANYWHERE, (20.0,)], "arcsinh": ANYWHERE, "arccosh": [(1.2,), (4.0,)],
    "arctanh": [(0.0,), (0.3,), (-0.7,)], "sigmoid": [*ANYWHERE, (40.0,)], "relu": ANYWHERE[1:],
    "gelu": [*ANYWHERE, (-1.0,)], "gelu_slope": ANYWHERE, "silu": [*ANYWHERE, (-1.3,)], "softplus": ANYWHERE,
    "erf": ANYWHERE,
    "add": PAIRS, "sub": PAIRS, "mul": PAIRS, "div": PAIRS,
    "pow": [(0.5, 2.0), (2.0, 0.0), (2.0, 1.0), (1.5, -0.3), (3.0, 0.5)],
    "arctan2": [*PAIRS, (0.0, 1.0), (1.0, 0.0), (0.5, -2.0)], "hypot": [*PAIRS, (0.0, 1.0)], "logaddexp": PAIRS,
    "maximum": PAIRS, "minimum": PAIRS, "leaky_relu": PAIRS, "elu": PAIRS,
    "clip": [(0.5, 0.0, 1.0), (-1.0, 0.0, 1.0), (2.0, 0.0, 1.0)], "where": [(1.0, 2.0, 3.0), (0.5, -2.0, 3.0)],
    "sum": LISTS, "mean": LISTS, "prod": LISTS, "dot": LISTS, "logsumexp": LISTS, "softmax": LISTS,
}  # fmt: skip
EXACT = {  # without the bounds of `references`, past which differences see a corner
    "erf": mp.erf,
    "gelu": lambda x: x * mp.ncdf(x),
    "gelu_slope": lambda x: mp.ncdf(x) + x * mp.npdf(x),
}
ORDER = 12


def curve(i, x0, t):
    """Where the operand i is at the time t: no operand moves alone, and none in a straight line."""
    return x0 + (1.0 + 0.25 * i) * t - 0.5 * t * t


def operation(gg, name):
    """An operation of the table as a function of scalars, as users call it."""
    if name in NARY:
        function = {"softmax": lambda xs: gg.softmax(xs)[0], "dot": lambda xs: gg.dot(xs[:2], xs[2:])}.get(name)
        return lambda *xs: (function or getattr(gg, name))(list(xs))
    if name == "where":
        return lambda c, x, w: gg.functions._apply("where", x, c, w)
    return lambda *xs: gg.symbolic.MAKE[name](*xs)


@cache
def right_coefficients(name, point):
    """The polynomial through ORDER + 1 values close to t = 0, in 2300 bits: right to twenty digits."""
    value, h = EXACT.get(name, CASES[name].value), mpf(2) ** -80
    steps = [mpf(j - ORDER // 2) for j in range(ORDER + 1)]
    values = [mpf(value(*[curve(i, mpf(x), h * j) for i, x in enumerate(point)])) for j in steps]
    found = mp.lu_solve(mp.matrix([[j**k for k in range(ORDER + 1)] for j in steps]), mp.matrix(values))
    return [c / h**k for k, c in enumerate(found)]


# ---- the promise ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", CASES)
def test_every_operation_against_mpmath(gg, name):
    """To order 12 within 4e-15 of the largest coefficient so far, or of 1e-3."""
    for point in POINTS[name]:
        got = gg.taylor(
            lambda t, at=point: operation(gg, name)(*[curve(i, x, t) for i, x in enumerate(at)]), 0.0, ORDER
        )
        scale = 1e-3
        for k, right in enumerate(right_coefficients(name, point)):
            scale = max(scale, abs(float(right)))
            assert abs(got[k] - right) <= 4e-15 * scale, (point, k)


def test_known_series_to_order_40(gg):
    n = 40
    ones = range(1, n + 1)
    factorials = [1 / math.factorial(k) for k in range(n + 1)]
    signs = [(0, 1, 0, -1)[k % 4] for k in range(n + 2)]
    for f, x, right in [
        (gg.exp, 0.0, factorials),
        (gg.exp, 1.5, [math.exp(1.5) * c for c in factorials]),
        (gg.sin, 0.0, [s * c for s, c in zip(signs, factorials, strict=False)]),
        (gg.cos, 0.0, [s * c for s, c in zip(signs[1:], factorials, strict=True)]),
        (gg.log, 2.0, [math.log(2.0), *[-((-0.5) ** k) / k for k in ones]]),
        (gg.log1p, 0.0, [0.0, *[-((-1.0) ** k) / k for k in ones]]),
        (lambda x: 1 / (1 - x), 0.0, [1.0] * (n + 1)),
        (lambda x: x**0.5, 4.0, [float(mpmath.binomial(0.5, k)) * 4.0 ** (0.5 - k) for k in range(n + 1)]),
        (lambda x: x**-1.3, 0.25, [float(mpmath.binomial(-1.3, k)) * 0.25 ** (-1.3 - k) for k in range(n + 1)]),
        (gg.sqrt, 4.0, [float(mpmath.binomial(0.5, k)) * 4.0 ** (0.5 - k) for k in range(n + 1)]),
    ]:
        assert gg.taylor(f, x, n) == close(right, rel=4e-15, abs=1e-60)


@pytest.mark.parametrize(
    ("ours", "theirs", "x"),
    [
        (lambda gg, x: gg.exp(gg.sin(x) * x), lambda x: mpmath.exp(mpmath.sin(x) * x), 0.7),
        (lambda gg, x: gg.log(1 + gg.cosh(x)) / (2 + x), lambda x: mpmath.log(1 + mpmath.cosh(x)) / (2 + x), -0.5),
        (lambda gg, x: x**x, lambda x: x**x, 2.0),
        (lambda gg, x: gg.tan(gg.tanh(x**2)), lambda x: mpmath.tan(mpmath.tanh(x**2)), 0.6),
        (lambda gg, x: gg.gelu(gg.tan(x)), lambda x: mpmath.tan(x) * mpmath.ncdf(mpmath.tan(x)), -0.4),
        (
            lambda gg, x: gg.sqrt(gg.hypot(x, 3.0) + gg.arctan2(x, 2.0)),
            lambda x: mpmath.sqrt(mpmath.hypot(x, 3) + mpmath.atan2(x, 2)),
            0.0,
        ),
    ],
)
def test_compositions_against_mpmath(gg, ours, theirs, x):
    with mpmath.workdps(50):
        right = [float(c) for c in mpmath.taylor(theirs, x, 16)]
    assert gg.taylor(lambda t: ours(gg, t), x, 16) == close(right, rel=1e-13, abs=1e-13)


def test_polynomials_are_exact(gg):
    assert gg.taylor(lambda x: x**5 - 3 * x**2 + x - 7, 2.0, 8) == [15.0, 69.0, 77.0, 40.0, 10.0, 1.0, 0.0, 0.0, 0.0]
    assert gg.taylor(lambda x: (x + 1) * (x - 1) * x, 0.0, 4) == [0.0, -1.0, 0.0, 1.0, 0.0]
    assert gg.taylor(lambda x: x**3, 0.1, 30)[4:] == [0.0] * 27  # not 0.1**-k times a rounding error
    assert gg.taylor(lambda x: gg.prod([x, x, x, x]), 0.0, 5) == [0.0, 0.0, 0.0, 0.0, 1.0, 0.0]
    assert gg.taylor(lambda x: gg.dot([x, x], [x, 3.0]) + gg.mean([x, 2.0]) + gg.sum([x, x]), 1.0, 3) == [
        7.5, 7.5, 1.0, 0.0,
    ]  # fmt: skip


def test_order_0_and_1(gg):
    assert gg.taylor(gg.exp, 0.0, 0) == [1.0]
    assert gg.taylor(lambda x: x * x, 3.0, 1) == [9.0, 6.0]
    assert gg.taylor(gg.sqrt, 0.0, 0) == [0.0]


def test_hundreds_of_orders(gg):
    assert gg.taylor(lambda x: x**1.3, 2.0, 500)[500] == close(
        float(mpmath.binomial(1.3, 500) * mpmath.mpf(2) ** -498.7), rel=1e-11
    )
    assert gg.taylor(gg.sin, 0.0, 150)[149] == close(1 / math.factorial(149))


# ---- as the other transforms ---------------------------------------------------------------------------------------


def test_control_flow(gg):
    def power(x, n):
        return 1.0 if n == 0 else x * power(x, n - 1)

    def f(x):
        total = 0.0
        while total < 10.0:
            total = total + power(x, 3)
        return total if x > 0 else -total

    assert gg.taylor(f, 2.0, 4) == [16.0, 24.0, 12.0, 2.0, 0.0]


def test_a_deep_recurrence(gg):
    def f(x):
        y = x
        for _ in range(50_000):
            y = y + 1e-5 * y
        return y

    growth = math.exp(50_000 * math.log1p(1e-5))
    assert gg.taylor(lambda x: f(x) ** 2, 1.0, 3) == close([growth**2, 2 * growth**2, growth**2, 0.0])


@pytest.mark.parametrize("name", ["tan", "gelu", "silu", "sigmoid", "arctan", "erf", "cbrt"])
def test_nested_derivatives_agree(gg, name):
    f = getattr(gg, name)
    nested = [f(0.6)]
    slope = f
    for k in range(1, 5):
        slope = gg.grad(slope)
        nested.append(slope(0.6) / math.factorial(k))
    assert gg.taylor(f, 0.6, 4) == close(nested, rel=1e-12)


def test_exponents_that_move(gg):
    """At w = 2 and w = 0 the derivative of x**w has a short form, which holds for a fixed w only."""
    for w in (0.0, 2.0):
        x = [gg.Value(1.5), gg.Value(w)]
        slopes = gg.gradients(x[0] ** x[1], x)
        by_w = 1.5 ** (w - 1) * (1 + w * math.log(1.5))
        assert gg.gradients(slopes[0], x[1]).data == close(by_w)
        assert gg.gradients(slopes[1], x[0]).data == close(by_w)


def test_arctan2_on_the_axis_has_a_third_derivative(gg):
    x, w = gg.Value(0.0), gg.Value(2.0)
    y = gg.arctan2(x, w)
    for by in (w, x, x, x):
        y = gg.gradients(y, by)
    assert y.data == close(6 / 2.0**4)


def test_the_third_derivative_of_gelu_near_its_root(gg):
    x = 1e-9
    exact = float(mp.npdf(mpf(x)) * (mpf(x) ** 3 - 4 * mpf(x)))
    assert gg.grad(gg.grad(gg.grad(gg.gelu)))(x) == close(exact, rel=1e-14, abs=0.0)
    assert 6 * gg.taylor(gg.gelu, x, 3)[3] == close(exact, rel=1e-14, abs=0.0)


def test_a_direction(gg):
    @dataclasses.dataclass
    class Point:
        x: object
        y: object

    def f(p):
        return p.x * gg.exp(p.y)

    got = gg.taylor(f, Point(2.0, 0.0), 3, direction=Point(1.0, 2.0))  # (2 + t) exp(2t)
    assert got == close([2.0, 5.0, 6.0, 2 * 8 / 6 + 2])
    v = np.array([1.0, -1.0])
    assert gg.taylor(lambda x: x @ x, np.array([1.0, 2.0]), 2, direction=v) == [5.0, -2.0, 2.0]
    assert gg.taylor(lambda x: x**2, 3.0, 2, direction=10) == [9.0, 60.0, 100.0]


def test_containers_as_results(gg):
    got = gg.taylor(lambda x: {"a": [x, x * x], "b": 7.0}, 3.0, 2)
    assert got == [{"a": [3.0, 9.0], "b": 7.0}, {"a": [1.0, 6.0], "b": 0.0}, {"a": [0.0, 1.0], "b": 0.0}]
    rows = gg.taylor(lambda x: np.array([x, x * x]), 3.0, 1)
    assert [row.dtype for row in rows] == [np.float64] * 2
    assert np.array_equal(rows, [[3.0, 9.0], [1.0, 6.0]])


def test_constants(gg):
    assert gg.taylor(lambda x: 5, 3.0, 2) == [5.0, 0.0, 0.0]
    weight = gg.Value(4.0)
    assert [c.data for c in gg.taylor(lambda x: weight * x, 3.0, 2)] == [12.0, 4.0, 0.0]
    with gg.no_grad():
        assert gg.taylor(lambda x: weight * x, 3.0, 2) == [12.0, 4.0, 0.0]
    assert weight.grad == 0.0
    assert gg.taylor(lambda x: x * 0.0, 3.0, 2) == [0.0, 0.0, 0.0]


def test_values_in_values_out(gg):
    x = gg.Value(0.7)
    got = gg.taylor(lambda x: gg.sin(x) ** 2, x, 4)
    right = gg.taylor(lambda x: gg.sin(x) ** 2, 0.7, 5)
    assert [c.data for c in got] == close(right[:5])
    for k, c in enumerate(got):  # the derivative of c_k is (k + 1) c_{k + 1}
        assert gg.gradients(c, x).data == close((k + 1) * right[k + 1])
    got[3].backward()
    assert x.grad == close(4 * right[4])


@pytest.mark.parametrize("name", sorted(set(CASES) - {"identity", "gelu_slope"}))
def test_every_operation_on_values(gg, name):
    point = POINTS[name][0]

    def f(t):
        return operation(gg, name)(*[curve(i, x, t) for i, x in enumerate(point)])

    t = gg.Value(0.0)
    right = gg.taylor(f, 0.0, 4)
    got = gg.taylor(f, t, 3)
    assert [c.data for c in got] == close(right[:4], rel=1e-14, abs=1e-14)
    assert [gg.gradients(c, t).data for c in got] == close(
        [(k + 1) * right[k + 1] for k in range(4)], rel=1e-13, abs=1e-13
    )


def test_inside_other_transforms(gg):
    def third(a):  # exp(a x) has the coefficients a**k / k!
        return gg.taylor(lambda x: gg.exp(a * x), 0.0, 3)[3]

    assert gg.grad(third)(2.0) == close(2.0)
    assert gg.grad(gg.grad(third))(2.0) == close(2.0)
    assert gg.taylor(lambda x: gg.grad(lambda y: y**3 * x)(x), 2.0, 3) == close([24.0, 36.0, 18.0, 3.0])
    assert gg.taylor(lambda x: gg.taylor(lambda y: x * y**2, x, 1)[1], 3.0, 2) == close([18.0, 12.0, 2.0])
    v = gg.Value(2.0)
    c = gg.taylor(lambda x: x**2, 3.0, 2, direction=v)
    assert gg.gradients(c[2], v).data == 4.0


def test_in_threads(gg):
    def work(i):
        return [gg.taylor(lambda x: gg.exp(x * i), 0.0, 5)[5] for _ in range(50)]

    for i, got in enumerate(in_threads(8, work)):
        assert got == [close(i**5 / 120)] * 50


def test_nothing_is_left_for_the_garbage_collector(gg):
    @gg.primitive
    def cube(x):
        return x**3

    cube.derivative(lambda x: 3 * x**2)

    @gg.custom_gradient
    def half(x):
        return x / 2, lambda g: g / 2

    def f(x):
        return cube((x * x).exp().tanh() / x + gg.prod([x, x.sin()])) ** half(x)

    def failing(x):
        return (x - 2.0).sqrt() + x.exp()

    def objects(x):
        gg.taylor(f, x, 4)
        with pytest.raises(gg.NonFiniteError):
            gg.taylor(failing, x, 4)
        return len(gc.get_objects())

    gc.collect()
    gc.disable()
    try:
        for x in (2.0, gg.Value(2.0)):
            before = objects(x)
            assert objects(x) - before < 10
    finally:
        gc.enable()


def test_the_example_runs(gg):
    tests = doctest.DocTestFinder().find(gg.series, extraglobs=vars(gg))
    assert sum(doctest.DocTestRunner().run(test).failed for test in tests) == 0


# ---- corners and bad input -----------------------------------------------------------------------------------------


def test_corners(gg):
    assert gg.taylor(gg.relu, 0.0, 2) == [0.0, 0.0, 0.0]
    assert gg.taylor(gg.abs, -2.0, 2) == [2.0, -1.0, 0.0]
    assert gg.taylor(lambda x: gg.where(x > 0, gg.sqrt(x), 0.0), 0.0, 3) == [0.0] * 4  # as backward() has it


def test_coefficients_that_are_not_finite(gg):
    with pytest.raises(gg.NonFiniteError, match=r"sqrt\(0\.0\) has no Taylor series to order 1"):
        gg.taylor(lambda x: 2 * gg.sqrt(x) + 1, 0.0, 3)
    with pytest.raises(gg.NonFiniteError, match=r"pow\(0\.0, 1\.5\) has no Taylor series to order 2"):
        gg.taylor(lambda x: x**1.5, 0.0, 3)
    with pytest.raises(gg.NonFiniteError, match=r"sqrt\(0\.0\) has no Taylor series"):
        gg.taylor(gg.sqrt, gg.Value(0.0), 2)
    with gg.allow_nonfinite():
        first, *rest = gg.taylor(gg.sqrt, 0.0, 2)
    assert (first, rest[0]) == (0.0, math.inf)
    assert math.isnan(rest[1])
    with pytest.raises(gg.NonFiniteError, match=r"log\(0\.0\)"):
        gg.taylor(gg.log, 0.0, 2)


def test_operations_written_by_hand(gg):
    def double(x):
        out = gg.Value(2 * x.data, (x,), "double")

        def backward():
            x.grad += 2 * out.grad

        out._backward = backward
        return out

    assert gg.taylor(lambda x: double(x) * x, 3.0, 1) == [18.0, 12.0]
    x = gg.Value(3.0)
    assert [c.data for c in gg.taylor(double, x, 1)] == [6.0, 2.0]
    with pytest.raises(gg.GraphError, match=r"'double' written by hand.*@glassgrad\.primitive"):
        gg.taylor(double, 3.0, 2)


def test_primitives(gg):
    @gg.primitive
    def times_exp(x, w):
        return x * math.exp(w)

    times_exp.derivative("x")(lambda x, w: gg.exp(w))
    times_exp.derivative("w")(lambda x, w, y: y)

    def right(t):
        return gg.sin(t) * gg.exp(t * t)

    assert gg.taylor(lambda t: times_exp(gg.sin(t), t * t), 0.5, 12) == close(gg.taylor(right, 0.5, 12), rel=1e-13)
    t = gg.Value(0.5)
    got = gg.taylor(lambda t: times_exp(gg.sin(t), t * t), t, 3)
    assert gg.gradients(got[3], t).data == close(4 * gg.taylor(right, 0.5, 4)[4])

    @gg.primitive
    def sine(x):
        return math.sin(x)

    sine.derivative(math.cos)
    assert gg.taylor(sine, 0.5, 1) == [math.sin(0.5), math.cos(0.5)]
    with pytest.raises(gg.GraphError, match="written for numbers only"):
        gg.taylor(sine, 0.5, 2)

    def deep(x):
        for _ in range(3000):
            x = times_exp(x, 1e-3)
        return x

    assert gg.taylor(deep, 2.0, 3) == close([2 * math.exp(3.0), math.exp(3.0), 0.0, 0.0])


def test_checkpoints_and_custom_gradients(gg):
    step = gg.checkpoint(lambda x: x + 0.1 * (x - x**3))
    pair = gg.checkpoint(lambda x, w: [gg.sin(x) * w, x / w])

    def plain(x, step=step, pair=pair):
        for _ in range(5):
            x = step(x)
        a, b = pair(x, x * x)
        return a - b

    right = gg.taylor(lambda x: plain(x, step.__wrapped__, pair.__wrapped__), 0.5, 6)
    assert gg.taylor(plain, 0.5, 6) == close(right, rel=1e-12)
    assert gg.taylor(plain, 0.5, 0) == right[:1]
    t = gg.Value(0.5)
    assert gg.gradients(gg.taylor(plain, t, 2)[2], t).data == close(3 * right[3])
    twice = gg.custom_gradient(lambda x: (gg.sin(x), lambda g: 2 * gg.cos(x) * g))
    assert gg.taylor(twice, 0.5, 2) == close([math.sin(0.5), 2 * math.cos(0.5), -math.sin(0.5)])


@pytest.mark.parametrize("order", [-1, 2.0, True, "3", None])
def test_orders_that_are_none(gg, order):
    with pytest.raises(gg.OperandError, match=r"taylor\(sin.*an integer, 0 or more, not"):
        gg.taylor(gg.sin, 0.0, order)


def test_bad_input(gg):
    with pytest.raises(gg.OperandError, match="taylor takes a function"):
        gg.taylor(3.0, 0.0, 2)
    with pytest.raises(gg.OperandError, match=r"x is a list of 2 numbers: give the direction"):
        gg.taylor(sum, [1.0, 2.0], 2)
    with pytest.raises(gg.OperandError, match="give both the same structure"):
        gg.taylor(sum, [1.0, 2.0], 2, direction=[1.0])
    with pytest.raises(gg.OperandError, match=r"the direction\[1\] takes a real number, not str"):
        gg.taylor(sum, [1.0, 2.0], 2, direction=[1.0, "b"])
    for x in ("a", True, None, 1j):
        with pytest.raises(gg.OperandError, match="argument 0"):
            gg.taylor(gg.sin, x, 2)
    with pytest.raises(gg.OperandError, match="returned None"):
        gg.taylor(lambda x: None, 1.0, 2)
    assert gg.taylor(gg.sin, np.float64(0.0), np.int64(1)) == [0.0, 1.0]


def test_of_some_of_the_arguments(gg):
    f = lambda a, x, b: a * x**2 + b  # noqa: E731
    assert gg.taylor(f, (3.0, 1.0, 4.0), 2, argnums=1) == [7.0, 6.0, 3.0]
    assert gg.taylor(f, (3.0, 1.0, 4.0), 3, argnums=(1, 0), direction=(1.0, 10.0)) == [7.0, 16.0, 23.0, 10.0]
    assert gg.taylor(f, (3.0, 1.0, 4.0), 1, argnums=-1, direction=2.0) == [7.0, 2.0]
    with pytest.raises(
        gg.OperandError, match=r"with argnums, x is a tuple of the arguments, as in \(x, a\), not float"
    ):
        gg.taylor(f, 3.0, 2, argnums=0)
    with pytest.raises(gg.OperandError, match="differentiates by argument 3, but it was called with 3 arguments"):
        gg.taylor(f, (3.0, 1.0, 4.0), 2, argnums=3)
    with pytest.raises(gg.OperandError, match="expands along a line, and x is a tuple of 2 numbers"):
        gg.taylor(f, (3.0, 1.0, 4.0), 2, argnums=(0, 1))
