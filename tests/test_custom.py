"""Operations of your own: primitives, functions with a custom gradient, checkpoints; values, any order, hostile use."""

from __future__ import annotations

import copy
import doctest
import gc
import math
import pickle
import random
import signal
import sys
import threading
import tracemalloc
import weakref
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, fields

import numpy as np
import pytest
from conftest import in_threads

import glassgrad


def close(x, rel=1e-12):
    return pytest.approx(x, rel=rel, abs=1e-14)


def test_examples_run(gg):
    finder = doctest.DocTestFinder()
    tests = [test for part in (gg.primitives, gg.calls) for test in finder.find(part, extraglobs=vars(gg))]
    assert sum(doctest.DocTestRunner().run(test).failed for test in tests) == 0


# ---- primitives ----------------------------------------------------------------------------------------------------


@pytest.fixture
def sinc(gg):
    """sin(x) / x with derivatives of any order."""

    @gg.primitive(symbol="sinc", formula="sin(x) / x")
    def sinc(x):
        return math.sin(x) / x

    @sinc.derivative(text="(cos(x) - y) / x")
    def _(x, y):
        return (gg.cos(x) - y) / x

    return sinc


@pytest.fixture
def mix(gg):
    """x * exp(w) + s, of three operands."""

    @gg.primitive
    def mix(x, w, s):
        return x * math.exp(w) + s

    mix.derivative("x")(lambda x, w, s: gg.exp(w))
    mix.derivative("w")(lambda x, w, s, y: y - s)
    mix.derivative("s")(lambda *_: 1.0)
    return mix


@glassgrad.primitive(symbol="c")
def module_cube(x):
    return x**3


@module_cube.derivative
def _(x):
    return 3 * x**2


def test_a_primitive_has_derivatives_of_any_order(gg, sinc):
    def plain(x):
        return gg.sin(x) / x

    f, g = sinc, plain
    for _ in range(4):
        assert f(1.3) == close(g(1.3), 1e-10)
        f, g = gg.grad(f), gg.grad(g)
    x = gg.Value(2.0, "x")
    y = sinc(x)
    y.backward()
    assert (y.data, x.grad) == (math.sin(2) / 2, (math.cos(2) - math.sin(2) / 2) / 2)


def test_a_primitive_of_several_operands(gg, mix):
    args = (0.7, -0.3, 2.0)

    def plain(x, w, s):
        return x * gg.exp(w) + s

    by_all = (0, 1, 2)
    assert gg.grad(mix, by_all)(*args) == close(gg.grad(plain, by_all)(*args))
    want = gg.hessian(lambda a: plain(*a))(list(args))
    got = gg.hessian(lambda a: mix(*a))(list(args))
    assert np.array(got) == close(np.array(want))
    third = gg.grad(gg.grad(gg.grad(lambda w: mix(0.7, w, 2.0))))
    assert third(-0.3) == close(0.7 * math.exp(-0.3))
    assert gg.jvp(mix, args, (1.0, 2.0, 3.0))[1] == close(gg.jvp(plain, args, (1.0, 2.0, 3.0))[1])
    x = gg.Value(0.7)
    mix(x, x, x).backward()  # one operand three times
    assert x.grad == close(math.exp(0.7) * 1.7 + 1)


def test_numbers_in_give_a_float(gg, mix):
    assert type(mix(1, 0, 2)) is float
    assert mix(1, 0, 2) == 3.0
    assert type(mix(np.float64(1), True, 2)) is float
    assert type(mix(gg.Value(1.0, requires_grad=False), 0, 2)) is gg.Value


def test_operands_by_name(gg, mix):
    x = gg.Value(2.0)
    assert mix(s=1.0, x=x, w=0.0).data == 3.0
    assert mix(2.0, 0.0, s=1.0) == 3.0
    with pytest.raises(gg.OperandError, match=r"mix takes x, w, s: got an unexpected keyword argument 'z'"):
        mix(1.0, 2.0, 3.0, z=3.0)
    with pytest.raises(gg.OperandError, match=r"mix takes x, w, s: missing a required argument: 's'"):
        mix(1.0, w=2.0)


def test_wrong_operands(gg, mix):
    with pytest.raises(gg.OperandError, match="mix takes x, w, s, not 2 operands"):
        mix(1.0, 2.0)
    with pytest.raises(gg.OperandError, match=r"mix takes a real number, not str"):
        mix("1", 2.0, 3.0)
    with pytest.raises(gg.OperandError, match=r"one Value for each number"):
        mix(np.ones(3), 2.0, 3.0)


def test_a_missing_derivative_is_asked_for_by_name(gg):
    @gg.primitive
    def area(width, height):
        return width * height

    area.derivative("width")(lambda width, height: height)
    w, h = gg.Value(2.0), gg.Value(3.0)
    assert area(w, 3.0).data == area(2.0, 3.0) == area(w, h.detach()).data == 6.0
    with gg.no_grad():
        assert area(w, h).data == 6.0
    with pytest.raises(gg.GraphError, match=r"area has no derivative by height: .*@area\.derivative\('height'\)"):
        area(w, h)
    with pytest.raises(gg.OperandError, match=r"operands width, height, and no 'depth': .*derivative\('width'\)"):
        area.derivative("depth")
    with pytest.raises(gg.OperandError, match="and no None"):
        area.derivative(lambda width, height: 1.0)


def test_derivatives_written_with_math_work_once(gg):
    @gg.primitive
    def sine(x):
        return math.sin(x)

    sine.derivative(math.cos)
    assert gg.grad(sine)(0.5) == math.cos(0.5)
    assert gg.grad(lambda x: sine(x) ** 2)(0.5) == close(math.sin(1.0))
    for second in (gg.grad(gg.grad(sine)), gg.hessian(lambda x: sine(x[0]))):
        with pytest.raises(gg.GraphError, match=r"derivative of sine by x is written for numbers only"):
            second([0.5] if second.__name__.startswith("hess") else 0.5)
    sine.derivative(np.cos)  # of a Value calls its method
    assert gg.grad(gg.grad(sine))(0.5) == close(-math.sin(0.5))


def test_undefined_results(gg):
    @gg.primitive
    def log(x):
        return math.log(x)

    log.derivative(lambda x: 1 / x)
    with pytest.raises(gg.NonFiniteError, match=r"log\(-1\.0\) is undefined: math domain error"):
        log(gg.Value(-1.0))
    with pytest.raises(gg.NonFiniteError, match=r"log\(0\.0\) is undefined"):
        log(0.0)
    with gg.allow_nonfinite():
        assert math.isnan(log(gg.Value(-1.0)).data)

    @gg.primitive
    def big(x):
        return x * math.inf

    with pytest.raises(gg.NonFiniteError, match=r"big\(3\.0\) is inf"):
        big(3.0)
    big.derivative(lambda x: 1.0)
    with pytest.raises(gg.NonFiniteError, match=r"big\(x = 3\.0\) is inf"):
        big(gg.Value(3.0, "x"))


def test_infinite_derivatives_are_errors_where_they_count(gg):
    @gg.primitive
    def root(x):
        return math.sqrt(x)

    root.derivative(lambda x, y: 0.5 / y)
    x = gg.Value(0.0, "x")
    y = root(x)
    assert y.data == 0.0
    with pytest.raises(gg.NonFiniteError, match=r"gradient through root\(x = 0\.0\) is not finite"):
        y.backward()
    assert x.grad == 0.0
    (0.0 * y).backward()  # as with the built-in sqrt
    assert x.grad == 0.0
    with pytest.raises(gg.NonFiniteError):
        gg.grad(root)(0.0)
    with gg.allow_nonfinite():
        y.backward()
    assert x.grad == math.inf


def test_modes(gg, sinc):
    x = gg.Value(1.0)
    with gg.no_grad():
        assert not sinc(x).requires_grad
    with gg.scope("layer"):
        assert sinc(x)._scope == "layer"
    x.requires_grad = False
    assert not sinc(x).requires_grad


def test_what_a_primitive_may_be(gg):
    with pytest.raises(gg.OperandError, match=r"fixed number of scalars.*not f\(x, slope=0\.01\): put settings into"):
        gg.primitive(lambda_named("f", lambda x, slope=0.01: x))
    for f in (lambda *xs: 0.0, lambda **kw: 0.0, lambda: 0.0, lambda x, *, k: 0.0):
        with pytest.raises(gg.OperandError, match="fixed number of scalars"):
            gg.primitive(f)
    with pytest.raises(gg.OperandError, match=r"@primitive decorates a function, not float 3\.0"):
        gg.primitive(3.0)
    with pytest.raises(gg.OperandError, match=r"area\(self, x\) is a method: write it outside"):

        class _Shape:
            @gg.primitive
            def area(self, x):
                return x

    class Curve:
        @staticmethod
        @gg.primitive
        def square(x):
            return x * x

    assert Curve.square(3.0) == Curve().square(3.0) == 9.0
    assert gg.primitive(math.sinh)(1.0) == math.sinh(1.0)
    with pytest.raises(gg.OperandError, match=r"Python does not tell what math\.hypot takes|fixed number"):
        gg.primitive(math.hypot)
    with pytest.raises(gg.OperandError, match="a symbol is a string"):
        gg.primitive(symbol=3)(lambda x: x)


def lambda_named(name, f):
    f.__name__ = name
    return f


def test_what_a_derivative_may_be(gg, mix):
    with pytest.raises(gg.OperandError, match=r"derivative of mix by x takes its operands \(x, w, s\).*not 2"):
        mix.derivative("x")(lambda x, w: 1.0)
    with pytest.raises(gg.OperandError, match=r"is a function, not float 1\.0"):
        mix.derivative("x")(1.0)
    with pytest.raises(gg.OperandError, match="the text of a derivative is a string"):
        mix.derivative("x", text=3)(lambda x, w, s: 1.0)
    two = 2.0
    mix.derivative("x")(lambda x, w, s, two=two: two)  # a default is no place for the result
    x = gg.Value(1.0)
    mix(x, 0.0, 0.0).backward()
    assert x.grad == 2.0


def test_functions_that_return_no_number(gg):
    @gg.primitive
    def f(x):
        pass

    with pytest.raises(gg.OperandError, match=r"f: its result is a number, not NoneType None; is a return missing\?"):
        f(1.0)

    @gg.primitive
    def g(x):
        return x

    g.derivative(lambda x: None)
    with pytest.raises(gg.OperandError, match=r"g: its derivative by x is a number, not NoneType"):
        g(gg.Value(1.0))
    g.derivative(lambda x: "slope")
    with pytest.raises(gg.OperandError, match=r"not str 'slope'"):
        g(gg.Value(1.0))
    w = gg.Value(2.0)
    h = gg.primitive(lambda x: x * w)
    with pytest.raises(gg.OperandError, match=r"uses a Value besides its operands for its result"):
        h(1.0)


def test_errors_of_the_function_itself_come_through(gg, mix):
    @gg.primitive
    def broken(x):
        return {}[x]

    with pytest.raises(KeyError):
        broken(gg.Value(1.0))

    @gg.primitive
    def outer(x):
        return mix(x, x, x)

    outer.derivative(lambda x: gg.grad(nothing)(x))
    nothing = gg.primitive(lambda x: x)
    with pytest.raises(gg.GraphError, match="has no derivative by x"):
        outer(gg.Value(1.0))


def test_a_row_has_the_fields_of_the_table(gg, sinc):
    row = gg.rules.RULES["tanh"]
    for field in fields(row):
        assert hasattr(sinc, field.name)
        assert len(sinc.derivatives) == len(sinc.derivative_texts) == 1
    assert (sinc.name, sinc.symbol, sinc.formula) == ("sinc", "sinc", "sin(x) / x")
    assert sinc.derivative_texts == ["(cos(x) - y) / x"]
    assert sinc.derivatives[0](2.0, sinc(2.0)) == gg.grad(sinc)(2.0)
    assert gg.symbolic.kind_of(sinc(gg.Value(1.0))) == ("primitive", sinc)
    assert repr(sinc) == "<primitive sinc(x)>"


def test_two_primitives_of_one_name(gg):
    def make(factor):
        @gg.primitive
        def scaled(x):
            return factor * x

        scaled.derivative(lambda x: factor)
        return scaled

    x = gg.Value(1.0)
    two, three = make(2.0), make(3.0)
    assert gg.gradients(two(x) * three(x), x).data == 12.0


def test_a_name_of_the_table_is_told_apart(gg):
    @gg.primitive
    def tanh(x):
        return 2 * x

    tanh.derivative(lambda x: 2.0)
    x = gg.Value(0.5)
    y = tanh(x) + x.tanh()
    assert gg.Graph.of(y).ops == ["leaf", f"{__name__}.tanh", "tanh", "add"]
    assert gg.Graph.of(y).symbols[1] == "tanh"
    assert gg.gradients(y, x).data == close(3 - math.tanh(0.5) ** 2)


def test_pictures_and_snapshots_show_a_primitive(gg, sinc):
    x = gg.Value(2.0, "x")
    y = sinc(x)
    graph = gg.Graph.of(y)
    assert (graph.ops, graph.symbols) == (["leaf", "sinc"], ["", "sinc"])
    assert graph.partials[1] == pytest.approx([(math.cos(2) - y.data) / 2])
    assert gg.Graph.from_json(graph.to_json()) == graph
    assert "sinc" in gg.draw_dot(y).source
    y._backward()
    assert x.grad == 0.0  # no gradient has arrived
    y.grad = 2.0
    y._backward()
    assert x.grad == 2 * y._partials[0]


def test_primitives_in_threads(gg, mix):
    def work(i):
        x = gg.Value(0.1 * i)
        for _ in range(50):
            y = mix(x, x, 1.0)
            x.grad = 0.0
            y.backward()
        return x.grad

    assert in_threads(8, work) == close([math.exp(0.1 * i) * (1 + 0.1 * i) for i in range(8)])


# ---- custom gradients ------------------------------------------------------------------------------------------------


@pytest.fixture
def clipped(gg):
    return gg.custom_gradient(lambda x: (x, lambda g: gg.clip(g, -1.0, 1.0)))


def test_a_gradient_is_clipped(gg, clipped):
    x = gg.Value(3.0)
    y = 10.0 * clipped(x)
    y.backward()
    assert (y.data, x.grad) == (30.0, 1.0)
    y.backward()  # leaves accumulate
    assert x.grad == 2.0
    y.backward(0.01)
    assert x.grad == close(2.1)
    assert gg.grad(lambda x: 10.0 * clipped(x))(3.0) == 1.0
    assert gg.grad(lambda x: 0.5 * clipped(x * x))(3.0) == 3.0
    assert clipped(3.0) == 3.0
    assert type(clipped(3)) is float


def test_straight_through(gg):
    @gg.custom_gradient
    def rounded(x):
        return round(x.data), lambda gradient: gradient

    x = gg.Value(2.6)
    y = rounded(x) * x
    y.backward()
    assert (y.data, x.grad) == (3 * 2.6, 3 + 2.6)
    assert gg.grad(gg.grad(lambda x: rounded(x) * x))(2.6) == 2.0


@pytest.fixture
def polar(gg):
    @gg.custom_gradient
    def polar(x, y):
        r, angle = gg.hypot(x, y), gg.arctan2(y, x)

        def back(g):
            dr, da = g["r"], g["angle"]
            return dr * x / r - da * y / r**2, dr * y / r + da * x / r**2

        return {"r": r, "angle": angle}, back

    return polar


def plain_polar(gg, x, y):
    return {"r": gg.hypot(x, y), "angle": gg.arctan2(y, x)}


def test_several_arguments_and_results(gg, polar):
    def f(p, of=polar):
        found = of(p[0], p[1])
        return found["r"] ** 2 * found["angle"]

    def plain(p):
        return f(p, lambda x, y: plain_polar(gg, x, y))

    p, v = [1.2, 0.7], [0.3, -2.0]
    assert gg.grad(f)(p) == close(gg.grad(plain)(p))
    assert np.array(gg.hessian(f)(p)) == close(np.array(gg.hessian(plain)(p)), 1e-9)
    assert gg.hvp(f)(p, v) == close(gg.hvp(plain)(p, v), 1e-9)
    assert gg.jvp(f, (p,), (v,))[1] == close(gg.jvp(plain, (p,), (v,))[1])
    line = [gg.taylor(g, p, 3, direction=v) for g in (f, plain)]
    assert line[0] == close(line[1], 1e-9)
    for mode in ("forward", "reverse"):
        got = gg.jacobian(lambda p: polar(p[0], p[1]), mode=mode)(p)
        want = gg.jacobian(lambda p: plain_polar(gg, p[0], p[1]))(p)
        assert {k: close(row) for k, row in want.items()} == got
    got = gg.jacobian(lambda p: list(polar(p[0], p[1]).values()), sparse=True)(p)
    assert got.toarray() == close(np.array(list(want.values())))


def test_trees_and_arrays_as_arguments(gg):
    @dataclass
    class Line:
        slope: object
        offset: object

    @gg.custom_gradient
    def apply(line, xs):
        def back(g):
            return Line(gg.dot(g, xs), gg.sum(list(g))), [2.0 * line.slope * gi for gi in g]  # twice too much

        return np.array([line.slope * x + line.offset for x in xs]), back

    line, xs = Line(gg.Value(2.0), gg.Value(1.0)), [gg.Value(3.0), 4.0]
    ys = apply(line, xs)
    assert isinstance(ys, np.ndarray)
    (ys[0] + 10 * ys[1]).backward()
    assert (line.slope.grad, line.offset.grad, xs[0].grad) == (43.0, 11.0, 4.0)
    got = gg.jacobian(lambda xs: apply(Line(2.0, 1.0), xs))([3.0, 4.0])
    assert np.array(got).tolist() == [[4.0, 0.0], [0.0, 4.0]]


def test_a_container_as_the_only_argument(gg):
    @gg.custom_gradient
    def total(xs):
        return gg.sum(list(xs)), lambda g: type(xs)([g] * len(xs))

    for xs in ([1.0], (1.0,), (1.0, 2.0), [1.0, 2.0, 3.0]):
        assert gg.grad(total)(xs) == type(xs)([1.0] * len(xs))


def test_options_go_by_keyword(gg):
    @gg.custom_gradient
    def clipped(x, *, limit):
        return x, lambda g: gg.clip(g, -limit, limit)

    assert gg.grad(lambda x: 10 * clipped(x, limit=2.0))(1.0) == 2.0

    @gg.custom_gradient
    def scaled(x, w):
        return x * w, lambda g: (g * w, g * x)

    assert gg.grad(lambda x: scaled(w=x, x=2.0))(3.0) == 2.0
    with pytest.raises(TypeError, match="unexpected keyword argument 'v'"):
        scaled(1.0, 2.0, v=2.0)


def test_values_that_are_no_arguments_are_refused(gg):
    w = gg.Value(2.0, "w")
    f = gg.custom_gradient(lambda_named("f", lambda x: (x * w, lambda g: g * w)))
    with pytest.raises(gg.OperandError, match="f has a custom gradient and uses a Value that is no argument of it"):
        f(gg.Value(1.0))
    with gg.no_grad():
        assert f(gg.Value(1.0)).data == 2.0
    frozen = gg.custom_gradient(lambda x: (x * w.detach(), lambda g: g * w))
    x = gg.Value(1.0)
    frozen(x).backward()
    assert (x.grad, w.grad) == (2.0, 0.0)


def test_a_captured_leaf_as_result_is_refused(gg):
    w = gg.Value(2.0)
    with pytest.raises(gg.OperandError, match="uses a Value that is no argument of it"):
        gg.custom_gradient(lambda x: (w, lambda g: g))(gg.Value(3.0))
    x = gg.Value(3.0)
    gg.custom_gradient(lambda x: (gg.Value(round(x.data)), lambda g: g))(x).backward()  # one that it makes itself
    assert x.grad == 1.0


def of(gg, name):
    """A transform as a function of a function and a number: the first derivative there, or the second."""
    return {
        "grad": lambda f, x: gg.grad(f)(x),
        "value_and_grad": lambda f, x: gg.value_and_grad(f)(x)[1],
        "jvp": lambda f, x: gg.jvp(f, (x,), (1.0,))[1],
        "vjp": lambda f, x: gg.vjp(f, x)[1](1.0)[0],
        "forward": lambda f, x: gg.jacobian(f, mode="forward")(x),
        "reverse": lambda f, x: gg.jacobian(f, mode="reverse")(x),
        "taylor": lambda f, x: gg.taylor(f, x, 1)[1],
        "grad of grad": lambda f, x: gg.grad(gg.grad(f))(x),
        "hessian": lambda f, x: gg.hessian(f)(x),
        "hvp": lambda f, x: gg.hvp(f)(x, 1.0),
        "second of taylor": lambda f, x: 2.0 * gg.taylor(f, x, 2)[2],
    }[name]


FIRST = ["grad", "value_and_grad", "jvp", "vjp", "forward", "reverse", "taylor"]
SECOND = ["grad of grad", "hessian", "hvp", "second of taylor"]


@pytest.mark.parametrize("wrapped", [False, True])
@pytest.mark.parametrize("name", FIRST + SECOND)
def test_what_only_the_way_back_uses_is_differentiated_by(gg, name, wrapped):
    """Of x**2 with the way back g * lam**3 * x: the first derivative is lam**3 * x, the second lam**3."""

    def f(lam):
        custom = gg.custom_gradient(lambda x: (x * x, lambda g: g * lam**3 * x))
        return of(gg, name)(gg.checkpoint(custom) if wrapped else custom, 5.0)

    x = 1.0 if name in SECOND else 5.0
    assert f(3.0) == 27 * x
    assert isinstance(f(3.0), float)
    assert gg.grad(f)(3.0) == close(27 * x)
    assert gg.grad(gg.grad(f))(3.0) == close(18 * x)
    lam = gg.Value(3.0)
    slope = f(lam)
    slope.backward()
    assert (slope.data, lam.grad) == (27 * x, close(27 * x))
    with gg.no_grad():
        assert f(lam) == 27 * x


def test_the_way_back_may_use_the_inputs_themselves(gg):
    def f(x):
        return gg.custom_gradient(lambda y: (y * y, lambda g: g * 2 * x))(x)

    assert gg.grad(f)(3.0) == 6.0
    assert isinstance(gg.grad(f)(3.0), float)
    assert gg.grad(gg.grad(f))(3.0) == 2.0
    assert isinstance(gg.vjp(f, 3.0)[1](1.0)[0], float)


def test_sparse_matrices_refuse_what_the_way_back_uses(gg):
    w = gg.Value(2.0)
    f = gg.custom_gradient(lambda x: (x * 1.0, lambda g: g * w))
    with pytest.raises(gg.OperandError, match=r"inside `with no_grad\(\):`"):
        gg.jacobian(lambda x: [f(x[0])], sparse=True)([1.0])
    with gg.no_grad():
        assert gg.jacobian(lambda x: [f(x[0])], sparse=True)([1.0]).toarray().tolist() == [[2.0]]


def test_backward_is_the_same_whatever_the_way_back_uses(gg):
    w, x = gg.Value(2.0), gg.Value(5.0)
    y = gg.custom_gradient(lambda x: (x * 1.0, lambda g: g * w))(x)
    y.backward()
    assert (x.grad, w.grad, type(x.grad)) == (2.0, 0.0, float)
    y._backward()
    assert (x.grad, type(x.grad)) == (4.0, float)


def test_wrong_returns(gg):
    x = gg.Value(1.0)
    for wrong in (lambda x: x, lambda x: (x, x), lambda x: None, lambda x: (x, abs, abs)):
        with pytest.raises(gg.OperandError, match=r"so it returns \(results, way back\)"):
            gg.custom_gradient(wrong)(x)
    f = gg.custom_gradient(lambda_named("f", lambda x, w: (x * w, lambda g: g)))
    with pytest.raises(gg.OperandError, match=r"f: what its way back returned is a number, and the tuple of its arg"):
        f(x, 2.0).backward()
    f = gg.custom_gradient(lambda_named("f", lambda x: (x, lambda g: None)))
    with pytest.raises(gg.OperandError, match="f: what its way back returned"):
        f(x).backward()
    f = gg.custom_gradient(lambda_named("f", lambda x: ("text", lambda g: g)))
    with pytest.raises(gg.OperandError, match="the result of f takes a real number"):
        f(x)
    with pytest.raises(gg.OperandError, match=r"f: argument 0\['a'\] takes a real number, not str"):
        f({"a": "text"})
    with pytest.raises(gg.OperandError, match="@custom_gradient decorates a function"):
        gg.custom_gradient(3)
    assert x.grad == 0.0


def test_exceptions_on_the_way_back_leave_gradients_alone(gg):
    @gg.custom_gradient
    def fails(x):
        def back(g):
            raise KeyError("back")

        return x, back

    x, w = gg.Value(1.0), gg.Value(2.0)
    x.grad = 5.0
    y = fails(x * w) + x
    with pytest.raises(KeyError):
        y.backward()
    assert (x.grad, w.grad) == (5.0, 0.0)
    with pytest.raises(KeyError):
        gg.grad(lambda x: fails(x))(1.0)
    (x * w).backward()
    assert (x.grad, w.grad) == (7.0, 1.0)


def test_gradients_that_are_not_finite(gg):
    f = gg.custom_gradient(lambda_named("f", lambda x, w: (x, lambda g: (g * 1.0, math.inf))))
    x, w = gg.Value(1.0, "x"), gg.Value(2.0, "w")
    f(x, 2.0).backward()  # nobody asks for the other one
    f(x, w.detach()).backward()
    assert x.grad == 2.0
    with pytest.raises(gg.NonFiniteError, match=r"derivative through f\(x = 1\.0, w = 2\.0\) is inf"):
        f(x, w).backward()
    assert x.grad == 2.0
    for transform in (gg.grad(f, (0, 1)), gg.grad(gg.grad(f, 1), 1), lambda x, w: gg.jvp(f, (x, w), (1.0, 1.0))):
        with pytest.raises(gg.NonFiniteError, match="derivative through f"):
            transform(1.0, 2.0)
        with pytest.raises(gg.NonFiniteError, match="derivative through f"):
            transform(gg.Value(1.0), gg.Value(2.0))
    with gg.allow_nonfinite():
        assert gg.grad(f, 1)(1.0, 2.0) == math.inf


def test_backward_inside_the_way_back(gg):
    @gg.custom_gradient
    def root(a):  # of x**3 + x = a, and its derivative by the implicit function theorem
        x = a.data
        for _ in range(60):
            x -= (x**3 + x - a.data) / (3 * x * x + 1)

        def back(g):
            at = gg.Value(x)
            (at**3 + at).backward()
            return g / at.grad

        return x, back

    a = gg.Value(2.0)
    root(a * 1.0).backward()
    assert a.grad == close(0.25)
    assert gg.grad(root)(2.0) == close(0.25)

    @gg.custom_gradient
    def nested(x):
        def back(g):
            y.backward()
            return g

        return x, back

    x = gg.Value(1.0)
    y = nested(x * 2.0) * 1.0
    with pytest.raises(gg.GraphError, match="the sweep around it is passing"):
        y.backward()
    assert x.grad == 0.0


def slopes_in_threads(gg, count):
    """Derivatives of x**2, computed in other threads: 2 * (1 + 2 + ...)."""

    def work(i):
        x = gg.Value(float(i))
        (x * x).backward()
        return x.grad + gg.grad(lambda x: x * x)(1.0) - 2.0

    with ThreadPoolExecutor(count) as pool:
        return sum(pool.map(work, range(1, count + 1), timeout=30))


def test_threads_inside_a_checkpoint_sweep(gg):
    f = gg.checkpoint(lambda x: x * x * slopes_in_threads(gg, 2))
    x = gg.Value(5.0)
    (f(x) + f(x * 2.0)).backward()
    assert x.grad == 300.0
    assert gg.grad(f)(5.0) == 60.0
    assert gg.hessian(f)(5.0) == 12.0
    assert gg.jacobian(lambda x: [f(x), x], mode="reverse")(5.0) == [60.0, 1.0]


def test_threads_inside_a_way_back_sweep(gg):
    f = gg.custom_gradient(lambda x: (x * 1.0, lambda g: g * slopes_in_threads(gg, 2)))
    x = gg.Value(5.0)
    f(x).backward()
    assert x.grad == 6.0
    assert gg.grad(f)(5.0) == 6.0
    assert gg.jvp(f, (5.0,), (2.0,))[1] == 12.0


def test_a_sweep_that_waits_for_no_other_keeps_all_promises(gg):
    """Through functions with ways back: leaves accumulate, failures change nothing, frozen leaves stay as they are."""
    step = gg.checkpoint(lambda x, w: gg.tanh(x * w) + x)
    x, w, frozen = gg.Value(0.5), gg.Value(2.0), gg.Value(3.0)
    inside = x * frozen
    y = step(inside, w) * w
    frozen.requires_grad = False
    y.backward()
    want = gg.grad(lambda x, w: (gg.tanh(3 * x * w) + 3 * x) * w, (0, 1))(0.5, 2.0)
    assert (x.grad, w.grad) == close(want)
    assert (frozen.grad, frozen._has_grad, y.grad, y._has_grad) == (0.0, False, 1.0, True)
    assert inside.grad == close(x.grad / 3.0)
    y.backward(2.0)
    assert (x.grad, w.grad, y.grad) == (close(3 * want[0]), close(3 * want[1]), 2.0)
    x.grad = 1.7e308
    with pytest.raises(gg.NonFiniteError, match="beyond the largest float"):
        y.backward(1e307)
    assert (x.grad, w.grad, y.grad, y._has_grad) == (1.7e308, close(3 * want[1]), 0.0, False)


def test_threads_share_what_is_below_a_checkpoint(gg):
    w = gg.Value(1.5)
    shared = gg.sin(w)
    step = gg.checkpoint(lambda x: gg.sin(x * shared))

    def work(i):
        step(gg.Value(0.1 * i)).backward()

    in_threads(8, work)
    want = sum(gg.grad(lambda w, i=i: gg.sin(0.1 * i * gg.sin(w)))(1.5) for i in range(8))
    assert w.grad == close(want, 1e-9)


# ---- results of several ----------------------------------------------------------------------------------------------


@pytest.fixture
def pair(gg):
    @gg.checkpoint
    def pair(x, w):
        return [x * w, x / w]

    return pair


def test_results_have_the_operands_of_the_function(gg, polar, pair):
    x, y = gg.Value(1.0, "x"), gg.Value(2.0, "y")
    for made in (list(polar(x, y).values()), pair(x, y)):
        for result in made:
            assert result._prev == (x, y)
            assert result._partials == (None, None)
            assert not result._backward()  # no gradient has arrived
        graph = gg.Graph.of(*made)
        assert graph.operands == [(), (), (0, 1), (0, 1)]
        assert graph.values == [v.data for v in (x, y, *made)]  # each a number of the program
        assert gg.Graph.from_json(graph.to_json()) == graph
    assert graph.symbols == ["", "", "pair[0]", "pair[1]"]
    assert graph.ops == ["leaf", "leaf", "pair", "pair"]
    assert gg.Graph.of(polar(x, y)["angle"]).symbols[2] == "polar['angle']"


def test_a_sweep_by_hand_gives_what_backward_gives(gg, pair, clipped):
    def run(sweep):
        x, w = gg.Value(1.5), gg.Value(-2.0)
        a, b = pair(x, w)
        y = clipped(a * 10) * b + a
        sweep(y)
        return x.grad, w.grad

    def by_hand(y):
        order, seen = [], set()

        def build(v):
            if v not in seen:
                seen.add(v)
                for child in v._prev:
                    build(child)
                order.append(v)

        build(y)
        y.grad = 1.0
        for v in reversed(order):
            v._backward()

    assert run(by_hand) == close(run(lambda y: y.backward()))


def test_hand_written_operations_above_and_below(gg, pair):
    def double(x):
        out = gg.Value(2 * x.data, (x,), "double")

        def backward():
            x.grad += 2 * out.grad

        out._backward = backward
        return out

    x, w = gg.Value(3.0), gg.Value(2.0)
    a, b = pair(double(x), w)
    double(a + b).backward()
    assert (x.grad, w.grad) == (2 * 2 * 2.5, 2 * (6 - 1.5))
    inside = gg.checkpoint(lambda x: double(x) * x)
    assert gg.grad(inside)(3.0) == 12.0
    with pytest.raises(gg.GraphError, match="'double' written by hand"):
        gg.grad(gg.grad(inside))(3.0)


def test_results_made_custom(gg, pair):
    x, w = gg.Value(3.0), gg.Value(2.0)
    a, _ = pair(x, w)

    def backward():
        x.grad += 100 * a.grad

    a._backward = backward
    assert (a._prev, a._rule) == ((x, w), "custom")
    a.backward()
    assert (x.grad, w.grad) == (100.0, 0.0)
    _, b = pair(x, w)
    b._prev = (w,)
    assert (b._rule, b._prev) == ("custom", (w,))
    y = pair(x, w)[0] * 2.0  # others of its kind are as they were
    y.backward()
    assert x.grad == 104.0


def test_results_as_inputs_of_gradients(gg, pair):
    x, w = gg.Value(3.0), gg.Value(2.0)
    a, b = pair(x, w)
    y = a * b + x
    assert [g.data for g in gg.gradients(y, [a, b])] == [1.5, 6.0]
    assert [g.data for g in gg.gradients(y, [a, x])] == [1.5, 7.0]
    assert [g.data for g in gg.gradients([a, b], [b, w], [1.0, 1.0])] == [1.0, 3 - 0.75]
    c = gg.checkpoint(lambda x: x * x)(x)
    assert gg.gradients(c * x, c).data == 3.0


def test_results_in_sets_and_dicts(gg, pair):
    x = gg.Value(3.0)
    results = pair(x, x)
    assert len({*results, *results}) == 2
    assert {results[0]: 1}[results[0]] == 1
    assert pair(x, x)[0] not in results


# ---- copies and pickles ----------------------------------------------------------------------------------------------


def test_a_copied_primitive_keeps_its_rule(gg, sinc):
    x = gg.Value(2.0, "x")
    y = sinc(x)
    shallow, deep = copy.copy(y), copy.deepcopy(y)
    for twin in (shallow, deep):
        assert gg.symbolic.kind_of(twin) == ("primitive", sinc)
        assert (twin._op, twin._rule, twin.data) == ("sinc", "sinc", y.data)
        leaf = twin._prev[0]
        slope = gg.gradients(twin, leaf)
        assert gg.gradients(slope, leaf).data == gg.grad(gg.grad(sinc))(2.0)
    assert copy.deepcopy({"f": sinc})["f"] is copy.copy(sinc) is sinc


def test_primitives_are_pickled_by_name():
    gg = glassgrad  # to which the module's primitive belongs
    assert pickle.loads(pickle.dumps(module_cube)) is module_cube
    x = gg.Value(2.0, "x")
    y = pickle.loads(pickle.dumps(module_cube(x) * 2.0))
    y.backward()
    leaf = y._prev[0]._prev[0]
    assert (leaf.label, leaf.grad) == ("x", 24.0)
    assert gg.gradients(gg.gradients(y, leaf), leaf).data == 24.0


def test_local_primitives_are_not_pickled(gg, sinc):
    for x in (sinc, sinc(gg.Value(1.0))):
        with pytest.raises(gg.GraphError, match=r"cannot pickle the primitive sinc: it is not to be found as"):
            pickle.dumps(x)


def test_pickles_from_before_there_were_rules_are_read(gg):
    x = gg.Value(3.0, "x")
    restore, (cls, _, state), _ = (x.clip(0.0, 1.0)).__reduce__()
    *rest, parts = state
    assert len(parts) == 6
    twin = restore(cls, [], (*rest, parts[:5]))
    assert (twin.data, twin._rule, twin._prev[0]) == (1.0, "clip", x)


def test_functions_are_copied_with_their_rule(gg, polar, pair):
    for f in (lambda x, w: list(polar(x, w).values()), pair):
        x, w = gg.Value(1.5, "x"), gg.Value(2.0, "w")
        a, b = f(x, w)
        y = a * b
        y.backward()
        x2, w2, y2 = copy.deepcopy((x, w, y))
        assert (x2.grad, y2.data) == (x.grad, y.data)
        x2.grad = w2.grad = 0.0
        y2.backward()
        assert (x2.grad, w2.grad) == (x.grad, w.grad)
        alone = copy.copy(b)  # without the other results
        x.grad = w.grad = 0.0
        alone.backward()
        assert (x.grad, w.grad) == tuple(g.data for g in gg.gradients(b, (x, w)))
        twin = copy.deepcopy(b)
        assert [v.label for v in twin._prev] == ["x", "w"]
        for node in (a, y):
            with pytest.raises(gg.GraphError, match=r"cannot pickle .* result of (polar|pair)"):
                pickle.dumps(node)


def test_a_checkpoint_with_captured_values_is_not_copied(gg):
    w, x = gg.Value(2.0, "w"), gg.Value(3.0)
    y = gg.checkpoint(lambda_named("f", lambda x: x * w))(x)
    with pytest.raises(gg.GraphError, match=r"cannot copy a result of f: it uses w = 2\.0 besides its arguments"):
        copy.deepcopy(y)
    copy.copy(y).backward()
    assert (x.grad, w.grad) == (2.0, 3.0)


# ---- checkpoints -----------------------------------------------------------------------------------------------------


def steps(gg, step, n, x0=0.5):
    x = start = gg.Value(x0)
    for _ in range(n):
        x = step(x)
    x.backward()
    return x.data, start.grad


def euler(x):
    return x + 0.01 * (x - x**3)


def test_a_checkpoint_changes_no_number(gg):
    assert steps(gg, gg.checkpoint(euler), 100) == close(steps(gg, euler, 100))


def test_a_checkpoint_saves_memory(gg):
    def long(x):
        for _ in range(20):
            x = euler(x)
        return x

    def nodes(step, n=100):
        x = gg.Value(0.5)
        for _ in range(n):
            x = step(x)
        return len(gg.sweep.walk([x]))

    assert nodes(gg.checkpoint(long)) == 101
    assert nodes(long) > 8000


def test_a_thousand_steps_in_little_memory(gg):
    """tracemalloc sees every object of both builds. A step makes 40 nodes, its checkpoint the memory of about 10."""

    def long(x):
        for _ in range(10):
            x = euler(x)
        return x

    def peak(step, n=1000):
        x = start = gg.Value(0.5)
        gc.collect()
        tracemalloc.start()
        try:
            for _ in range(n):
                x = step(x)
            forward = tracemalloc.get_traced_memory()[1]
            x.backward()
            return forward, tracemalloc.get_traced_memory()[1], start.grad
        finally:
            tracemalloc.stop()

    forward, both, grad = peak(gg.checkpoint(long))
    all_of_it, _, want = peak(long)
    assert grad == close(want)
    assert forward < all_of_it / 3
    assert both < all_of_it / 3


def test_captured_weights_get_gradients(gg):
    def gradients(wrap):
        random.seed(3)
        model = gg.nn.MLP(2, [4, 4, 1])
        hidden = [wrap(layer) for layer in model.layers]
        x = [gg.Value(0.3), gg.Value(-0.4)]
        h = x
        for layer in hidden:
            h = layer(h)
            h = h if isinstance(h, list) else [h]
        loss = (h[0] - 1.0) ** 2
        loss.backward()
        return [p.grad for p in model.parameters()] + [v.grad for v in x]

    def checkpointed(layer):
        return gg.checkpoint(lambda x: layer(x))

    assert gradients(checkpointed) == close(gradients(lambda layer: layer))


def test_a_model_as_argument(gg):
    model = gg.nn.MLP(2, [3, 1])
    run = gg.checkpoint(lambda model, x: model(x))
    x = [gg.Value(0.5), 2.0]
    run(model, x).backward()
    got = [p.grad for p in model.parameters()], x[0].grad
    model.zero_grad()
    x[0].grad = 0.0
    model(x).backward()
    assert got[0] == close([p.grad for p in model.parameters()])
    assert got[1] == close(x[0].grad)


def test_methods(gg):
    class Model:
        def __init__(self):
            self.w = gg.Value(2.0)

        @gg.checkpoint
        def __call__(self, x):
            return self.w * x

    model, x = Model(), gg.Value(3.0)
    model(x).backward()
    assert (model.w.grad, x.grad) == (3.0, 2.0)


def test_captured_results_get_gradients(gg):
    def run(wrap):
        x, w = gg.Value(1.5), gg.Value(0.5)
        h = x * w
        k = h.exp()
        y = wrap(lambda x: x * h + k * h)(x)
        by = [g.data for g in gg.gradients(y, [h, k, x, w])]
        y.backward()
        return [*by, x.grad, w.grad, h.grad, k.grad]

    assert run(gg.checkpoint) == close(run(lambda f: f))
    assert run(lambda f: gg.checkpoint(gg.checkpoint(f))) == close(run(lambda f: f))


def test_captured_results_are_not_walked_again(gg):
    x = gg.Value(0.5)
    h = x
    for _ in range(1000):
        h = h * 1.001
    y = gg.checkpoint(lambda x: x * h)(x)
    assert y._prev == (x, h)


def test_captured_inputs_of_outer_transforms(gg):
    def f(x, w, wrap=gg.checkpoint):
        h = x * w
        step = wrap(lambda y: gg.sin(y * w) * h + x)
        return step(step(x))

    def plain(x, w):
        return f(x, w, lambda g: g)

    args = (0.7, 1.3)
    assert gg.grad(f, (0, 1))(*args) == close(gg.grad(plain, (0, 1))(*args))
    assert gg.grad(gg.grad(f, 1), 0)(*args) == close(gg.grad(gg.grad(plain, 1), 0)(*args), 1e-9)
    third = [gg.grad(gg.grad(gg.grad(g)))(*args) for g in (f, plain)]
    assert third[0] == close(third[1], 1e-8)
    inner = [gg.grad(lambda x, g=g: gg.grad(lambda w: g(x, w) * x)(1.3))(0.7) for g in (f, plain)]
    assert inner[0] == close(inner[1], 1e-9)
    assert gg.jvp(f, args, (1.0, -2.0))[1] == close(gg.jvp(plain, args, (1.0, -2.0))[1])
    assert gg.taylor(lambda t: f(t, 1.3), 0.7, 3) == close(gg.taylor(lambda t: plain(t, 1.3), 0.7, 3), 1e-8)


def test_nested_checkpoints(gg):
    def deep(x, depth, wrap):
        if depth == 0:
            return gg.sin(x) * x
        return wrap(lambda x: deep(x * 1.01, depth - 1, wrap) + x)(x)

    def plain(x):
        return deep(x, 4, lambda f: f)

    def nested(x):
        return deep(x, 4, gg.checkpoint)

    assert gg.grad(nested)(0.7) == close(gg.grad(plain)(0.7))
    assert gg.grad(gg.grad(nested))(0.7) == close(gg.grad(gg.grad(plain))(0.7))
    assert steps(gg, nested, 2) == close(steps(gg, plain, 2))


def test_more_levels_than_marks(gg):
    """Nodes are marked with 6 bits of depth: 70 levels come around."""

    def deep(x, h, depth, wrap):
        if depth == 0:
            return x * h
        k = h * 1.01
        return wrap(lambda x: deep(x, k, depth - 1, wrap) + k * x)(x)

    def run(wrap):
        x, w = gg.Value(0.5), gg.Value(0.3)
        y = deep(x, w, 70, wrap)
        y.backward()
        return y.data, x.grad, w.grad

    assert run(gg.checkpoint) == close(run(lambda f: f))


def test_nested_checkpoints_run_as_often_as_they_are_deep(gg):
    runs = []

    def deep(x, depth):
        runs.append(1)
        return gg.checkpoint(lambda x: deep(x * 1.01, depth - 1))(x) if depth else x * x

    gg.grad(lambda x: deep(x, 12))(0.5)
    assert len(runs) <= 13 * 14 / 2


def test_transforms_inside(gg):
    def f(x, wrap=lambda f: f):
        inner = wrap(lambda x: gg.grad(lambda y: y**3 * x)(x) * x)
        return inner(x) + inner(2.0 * x)

    def checkpointed(x):
        return f(x, gg.checkpoint)

    assert gg.grad(checkpointed)(0.7) == close(gg.grad(f)(0.7))
    assert gg.grad(gg.grad(checkpointed))(0.7) == close(gg.grad(gg.grad(f))(0.7))


def test_vector_results_and_sparse_jacobians(gg):
    def f(x, wrap=lambda f: f):
        step = wrap(lambda a, b: {"sum": a * b + a, "rest": [a.sin()]})
        found = [step(x[i], x[i + 1]) for i in range(len(x) - 1)]
        return [d["sum"] for d in found] + [d["rest"][0] for d in found]

    def checkpointed(x):
        return f(x, gg.checkpoint)

    x = [0.1, 0.2, 0.3, 0.4]
    want = np.array(gg.jacobian(f)(x))
    for options in ({"mode": "forward"}, {"mode": "reverse"}):
        assert np.array(gg.jacobian(checkpointed, **options)(x)) == close(want)
        assert gg.jacobian(checkpointed, sparse=True, **options)(x).toarray() == close(want)
    second = [gg.hessian(lambda x, g=g: gg.sum([y * y for y in g(x)]))(x) for g in (f, checkpointed)]
    assert np.array(second[1]) == close(np.array(second[0]), 1e-9)


def test_results_of_which_only_one_is_used_run_once(gg):
    runs = []

    @gg.checkpoint
    def pair(x):
        runs.append(1)
        return x * 2.0, x * 3.0

    x = gg.Value(1.0)
    a, b = pair(x)
    (a * b).backward()
    assert (len(runs), x.grad) == (2, 12.0)
    a.backward()
    assert (len(runs), x.grad) == (3, 14.0)


def test_what_is_no_value_passes_through(gg):
    table = np.array([2, 0, 1])

    @gg.checkpoint
    def f(xs, index, *, power, name=None):
        assert index.dtype == int
        assert name in (None, "f")
        chosen = xs[index]
        return {"y": sum(chosen) ** power, "count": len(index), "none": None, "mean": 0.5}

    xs = np.array([gg.Value(1.0), gg.Value(2.0), gg.Value(3.0)])
    found = f(xs, table, power=2, name="f")
    assert (type(found["count"]), found["none"], found["mean"]) == (int, None, 0.5)
    found["y"].backward()
    assert [x.grad for x in xs] == [12.0] * 3
    assert gg.checkpoint(lambda x: 3)(gg.Value(1.0)) == 3
    assert gg.checkpoint(lambda: None)() is None
    assert gg.checkpoint(lambda x: x)(2.0) == 2.0


def test_values_by_keyword_are_arguments(gg):
    f = gg.checkpoint(lambda x, *, w: x * w)
    x, h = gg.Value(2.0), gg.Value(3.0) * 1.0
    y = f(x, w=h)
    assert y._prev == (x, h)
    y.backward()
    assert (x.grad, h.grad) == (3.0, 2.0)


def test_arguments_come_back(gg):
    x, w = gg.Value(2.0), gg.Value(3.0)
    same, weight, twice = gg.checkpoint(lambda x, y: (x, w, x))(x, x)
    (same + weight * twice).backward()
    assert (x.grad, w.grad) == (4.0, 2.0)


def test_results_that_are_no_trees_of_scalars(gg):
    for result in ("text", object(), (i for i in range(3)), 1j):
        with pytest.raises(gg.OperandError, match=r"the result of the checkpoint f takes a real number"):
            gg.checkpoint(lambda_named("f", lambda x, result=result: result))(gg.Value(1.0))
    with pytest.raises(gg.OperandError, match="@checkpoint decorates a function, not float"):
        gg.checkpoint(1.0)


def test_no_grad(gg):
    runs = []

    def f(x):
        runs.append(1)
        return x * 2.0

    x = gg.Value(1.0)
    with gg.no_grad():
        assert not gg.checkpoint(f)(x).requires_grad
    assert not gg.checkpoint(f)(x.detach()).requires_grad

    @gg.checkpoint
    def partly(x):
        with gg.no_grad():
            k = x * x
        return k * x

    y = partly(gg.Value(3.0))
    y.backward()
    assert y._prev[0].grad == 9.0
    z = partly(x)
    with gg.no_grad():
        z.backward()
    assert x.grad == 1.0


def test_modes_of_the_first_run_hold_for_the_second(gg):
    f = gg.checkpoint(lambda x: gg.where(x > 0, gg.log(x), x))
    with gg.allow_nonfinite():
        y = f(gg.Value(-1.0, "x"))
    y.backward()
    assert y._prev[0].grad == 1.0
    g = gg.checkpoint(lambda x: gg.sqrt(x))
    x = gg.Value(0.0, "x")
    with pytest.raises(gg.NonFiniteError, match=r"gradient through sqrt\("):
        g(x).backward()
    with pytest.raises(gg.NonFiniteError):
        gg.grad(gg.grad(lambda x: g(x) * x))(0.0)
    with pytest.raises(gg.NonFiniteError, match=r"log\("):
        f(gg.Value(-1.0))
    assert x.grad == 0.0


def test_training_with_checkpoints(gg):
    def train(wrap):
        random.seed(1)
        model = gg.nn.MLP(2, [4, 1])
        optimizer = gg.optim.Adam(model.parameters(), lr=0.05)
        data = [([0.1 * i, 0.2 * (i % 3)], float(i % 2)) for i in range(6)]
        run = wrap(lambda x: model(x))
        for _ in range(5):
            loss = gg.mean([(run(x) - y) ** 2 for x, y in data])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        return loss.data

    assert train(gg.checkpoint) == close(train(lambda f: f))


def test_chance_is_refused(gg):
    rng = random.Random(1)
    y = gg.checkpoint(lambda_named("dropout", lambda x: x * rng.random()))(gg.Value(1.0))
    with pytest.raises(gg.GraphError, match=r"the checkpoint dropout returned .* at first and .*must not depend on ch"):
        y.backward()
    flip = iter([1, 2])
    y = gg.checkpoint(lambda x: [x] * next(flip))(gg.Value(1.0))[0]
    with pytest.raises(gg.GraphError, match="must not depend on chance"):
        y.backward()


def test_changed_weights_are_refused(gg):
    w, x = gg.Value(2.0), gg.Value(3.0)
    for changed in (w, x):
        y = gg.checkpoint(lambda x: x * w)(x)
        before = changed.data
        changed.data = 7.0
        with pytest.raises(gg.GraphError, match="must not change before"):
            y.backward()
        changed.data = before
        y.backward()
        changed.grad = 0.0


def test_values_kept_for_the_next_run_are_refused(gg):
    kept = []

    @gg.checkpoint
    def f(x):
        kept.append(x * 2.0)
        return x * kept[-1]

    def in_thread(x):
        found = []
        thread = threading.Thread(target=lambda: found.append(x * 2.0))
        thread.start()
        thread.join()
        return found[0] * x

    x = gg.Value(1.0)
    f(x).backward()
    assert x.grad == 4.0
    with pytest.raises(gg.GraphError, match=r"did not use .* any more.* nor compute in other threads"):
        gg.checkpoint(in_thread)(x).backward()


def test_weights_made_in_the_first_run(gg):
    weights = {}

    @gg.checkpoint
    def lazy(x):
        if "w" not in weights:
            weights["w"] = gg.Value(2.0)
        return weights["w"] * x

    x = gg.Value(3.0)
    lazy(x).backward()
    assert (weights["w"].grad, x.grad) == (3.0, 2.0)


def test_deep_chains(gg):
    n = 100_000 if gg.COMPILED else 20_000
    step = gg.checkpoint(lambda x: x * 1.00001)
    x = start = gg.Value(1.0)
    for _ in range(n):
        x = step(x)
    x.backward()
    assert start.grad == close(1.00001**n, 1e-9)
    del x  # freed without recursion


def test_exceptions_inside_leave_nothing_behind(gg):
    class Stop(BaseException):
        pass

    at = []

    @gg.checkpoint
    def f(x):
        at.append(x)
        if len(at) in (1, 3):
            raise Stop
        return x * 2.0

    x = gg.Value(1.0)
    with pytest.raises(Stop):
        f(x)
    y = f(x) * x
    with pytest.raises(Stop):
        y.backward()
    assert x.grad == 0.0
    assert gg.grad(lambda t: t * t)(3.0) == 6.0
    assert type(gg.grad(lambda t: at[0] * t)(3.0)) is float  # its input is no input any more
    y.backward()
    assert x.grad == 4.0
    assert gg.modes.current().no_grad == gg.modes.current().depth == 0


@pytest.mark.skipif(threading.current_thread() is not threading.main_thread(), reason="signals need the main thread")
def test_ctrl_c(gg):
    runs = []

    @gg.checkpoint
    def f(x):
        runs.append(1)
        if len(runs) == 2:
            signal.raise_signal(signal.SIGINT)
        return x * 2.0

    x = gg.Value(1.0)
    y = f(x)
    with pytest.raises(KeyboardInterrupt):
        y.backward()
    assert x.grad == 0.0
    y.backward()
    assert x.grad == 2.0


# ---- hostile ---------------------------------------------------------------------------------------------------------


def test_threads_share_weights(gg):
    w = gg.Value(1.5)
    step = gg.checkpoint(lambda x: gg.sin(x * w))

    def work(i):
        x = gg.Value(0.1 * i)
        y = step(step(x))
        y.backward()
        return x.grad

    def plain(i):
        return gg.grad(lambda x: gg.sin(gg.sin(x * 1.5) * 1.5))(0.1 * i)

    for _ in range(5):
        assert in_threads(8, work) == close([plain(i) for i in range(8)])
    want = sum(gg.grad(lambda w, i=i: gg.sin(gg.sin(0.1 * i * w) * w))(1.5) for i in range(8))
    assert w.grad == close(5 * want, 1e-9)


def test_cycles_are_collected(gg):
    class Token:
        pass

    def make(kind):
        token, kept = Token(), []
        x = gg.Value(1.0)
        if kind == "custom_gradient":
            f = gg.custom_gradient(lambda x: ([x * 1.0, x * 2.0], lambda g: (kept, token, g[0])[2]))
            kept += [y * 2.0 for y in f(x)]
        elif kind == "checkpoint":
            kept.append(gg.checkpoint(lambda x: (token, kept, x * 2.0)[2])(x) * 3.0)
        else:
            f = gg.primitive(lambda x: (kept, token, x)[2])
            f.derivative(lambda x: 1.0)
            kept.append(f(x) * 2.0)
        return weakref.ref(token)

    for kind in ("custom_gradient", "checkpoint", "primitive"):
        token = make(kind)
        gc.collect()
        assert token() is None, kind


def test_under_constant_collection(gg):
    threshold = gc.get_threshold()
    gc.set_threshold(1)
    try:
        step = gg.checkpoint(lambda x: [x * 1.1, gg.sin(x)])
        clip = gg.custom_gradient(lambda x: (x, lambda g: gg.clip(g, -9.0, 9.0)))
        x = start = gg.Value(0.5)
        for _ in range(30):
            a, b = step(x)
            x = clip(a - 0.5 * b)
        x.backward()
        grad = start.grad
    finally:
        gc.set_threshold(*threshold)
    h = 1e-6

    def value(x):
        for _ in range(30):
            x = x * 1.1 - 0.5 * math.sin(x)
        return x

    assert grad == pytest.approx((value(0.5 + h) - value(0.5 - h)) / (2 * h), rel=1e-6)


def test_no_references_are_lost(gg):
    step = gg.checkpoint(lambda x, w: [x * w, x + w])
    x, w = gg.Value(1.0), gg.Value(2.0)

    def once():
        a, b = step(x, w)
        (a * b).backward()
        gg.gradients(a * b, [x, w])

    once()
    gc.collect()
    before = sys.getrefcount(x), sys.getrefcount(w), sys.getrefcount(step)
    for _ in range(50):
        once()
    gc.collect()
    assert (sys.getrefcount(x), sys.getrefcount(w), sys.getrefcount(step)) == before
