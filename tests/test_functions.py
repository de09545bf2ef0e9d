"""The functions of the package: on numbers, on Values and on lists, under NumPy's names."""

from __future__ import annotations

import inspect
import math

import numpy as np
import pytest

# name: (argument inside the domain, what it should be)
UNARY = {
    "exp": (0.7, math.exp), "expm1": (0.7, math.expm1), "log": (0.7, math.log), "log1p": (0.7, math.log1p),
    "log2": (0.7, math.log2), "log10": (0.7, math.log10), "sqrt": (0.7, math.sqrt), "cbrt": (-0.7, np.cbrt),
    "sin": (0.7, math.sin), "cos": (0.7, math.cos), "tan": (0.7, math.tan), "arcsin": (0.7, math.asin),
    "arccos": (0.7, math.acos), "arctan": (0.7, math.atan), "sinh": (0.7, math.sinh), "cosh": (0.7, math.cosh),
    "tanh": (0.7, math.tanh), "arcsinh": (0.7, math.asinh), "arccosh": (1.7, math.acosh), "arctanh": (0.7, math.atanh),
    "sigmoid": (0.7, lambda x: 1 / (1 + math.exp(-x))), "relu": (0.7, lambda x: max(x, 0.0)),
    "gelu": (0.7, lambda x: x * 0.5 * (1 + math.erf(x / math.sqrt(2)))),
    "silu": (0.7, lambda x: x / (1 + math.exp(-x))), "softplus": (0.7, lambda x: math.log(1 + math.exp(x))),
    "erf": (0.7, math.erf), "abs": (-0.7, abs), "sign": (-0.7, lambda x: math.copysign(1.0, x)),
    "square": (-0.7, lambda x: x * x), "reciprocal": (-0.7, lambda x: 1 / x),
}  # fmt: skip
BINARY = {
    "arctan2": (-0.7, 1.3, math.atan2), "hypot": (-0.7, 1.3, math.hypot),
    "logaddexp": (-0.7, 1.3, lambda x, w: math.log(math.exp(x) + math.exp(w))),
    "maximum": (-0.7, 1.3, max), "minimum": (-0.7, 1.3, min),
    "leaky_relu": (-0.7, 0.3, lambda x, s: s * x), "elu": (-0.7, 1.3, lambda x, a: a * math.expm1(x)),
}  # fmt: skip
LISTS = {
    "sum": sum,
    "mean": lambda xs: sum(xs) / len(xs),
    "prod": math.prod,
    "logsumexp": lambda xs: math.log(sum(math.exp(x) for x in xs)),
}
TIGHT = 1e-14


def slope(function, x):
    """A central difference of fourth order: good to about 1e-11 here."""
    h = 1e-3
    return (8 * (function(x + h) - function(x - h)) - function(x + 2 * h) + function(x - 2 * h)) / (12 * h)


def test_every_operation_has_a_test_here(gg):
    operators = {"add", "sub", "mul", "div", "pow", "neg", "identity", "gelu_slope"}
    tested = {*UNARY, *BINARY, *LISTS, "dot", "softmax", "clip", "where"}
    assert set(gg.engine.rules.RULES) == operators | tested
    for name in tested:
        assert callable(getattr(gg, name))
        assert (name in gg.__all__) is (name not in ("abs", "sum"))
        assert name in ("sum", "mean", "prod", "logsumexp", "dot", "softmax") or hasattr(gg.Value, name)


# ---- of one, two, three numbers ------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", UNARY)
def test_one_argument(gg, name):
    number, reference = UNARY[name]
    function = getattr(gg, name)
    x = gg.Value(number, "x")
    y = function(x)
    assert type(y) is gg.Value
    assert y.data == pytest.approx(reference(number), rel=TIGHT)
    assert y._prev == (x,)
    assert y._rule == name
    assert getattr(x, name)().data == y.data
    plain = function(number)
    assert type(plain) is float
    assert plain == y.data
    assert type(function(np.float64(number))) is float
    y.backward()
    assert x.grad == pytest.approx(slope(reference, number), rel=1e-9, abs=1e-10)


@pytest.mark.parametrize("name", BINARY)
def test_two_arguments_in_every_mixture(gg, name):
    a, b, reference = BINARY[name]
    function = getattr(gg, name)
    expected = pytest.approx(reference(a, b), rel=TIGHT)
    assert type(function(a, b)) is float
    assert function(a, b) == expected
    slopes = slope(lambda t: reference(t, b), a), slope(lambda t: reference(a, t), b)
    for first, second in [(gg.Value(a), gg.Value(b)), (gg.Value(a), b), (a, gg.Value(b))]:
        y = function(first, second)
        assert type(y) is gg.Value
        assert y.data == expected
        assert y.data == function(a, b)
        assert [v.data for v in y._prev] == [a, b]
        y.backward()
        for operand, derivative in zip((first, second), slopes, strict=True):
            if isinstance(operand, gg.Value):
                assert operand.grad == pytest.approx(derivative, rel=1e-9, abs=1e-10)


def test_defaults_and_keywords(gg):
    x = gg.Value(-2.0)
    assert gg.leaky_relu(x).data == x.leaky_relu().data == gg.leaky_relu(-2.0) == -0.02
    assert gg.leaky_relu(x, slope=0.5).data == x.leaky_relu(slope=0.5).data == x.leaky_relu(0.5).data == -1.0
    assert gg.elu(x).data == x.elu().data == math.expm1(-2.0)
    assert gg.elu(x, alpha=2).data == x.elu(alpha=2).data == 2 * math.expm1(-2.0)
    for wrong in (
        lambda: gg.exp(),
        lambda: gg.exp(1.0, 2.0),
        lambda: gg.exp(1.0, base=2),
        lambda: gg.hypot(1.0),
        lambda: gg.leaky_relu(1.0, 0.1, slope=0.2),
        lambda: gg.clip(1.0, 0.0),
    ):
        with pytest.raises(TypeError):
            wrong()


def parameters(function):
    """Names and defaults, as help() and editors show them."""
    return {p.name: p.default for p in inspect.signature(function).parameters.values()}


def test_parameters_have_names(gg):
    required = inspect.Parameter.empty
    for name in UNARY:
        assert parameters(getattr(gg, name)) == {"x": required}
        assert getattr(gg, name)(x=UNARY[name][0]) == getattr(gg, name)(UNARY[name][0])
    for name in ("arctan2", "hypot", "logaddexp", "maximum", "minimum"):
        assert parameters(getattr(gg, name)) == {"x": required, "w": required}
    assert parameters(gg.leaky_relu) == {"x": required, "slope": 0.01}
    assert parameters(gg.elu) == {"x": required, "alpha": 1.0}
    assert parameters(gg.clip) == {"x": required, "low": required, "high": required}
    for name in (*LISTS, "softmax"):
        assert list(parameters(getattr(gg, name))) == ["values"]
    v = gg.Value(2.0)
    assert gg.clip(v, low=0, high=1).data == gg.clip(x=2, low=0, high=1) == v.clip(low=0, high=1).data == 1.0
    assert gg.hypot(x=v, w=1.5).data == v.hypot(other=1.5).data == 2.5
    for name in (*UNARY, *BINARY, "clip", "where"):
        method, function = parameters(getattr(gg.Value, name)), parameters(getattr(gg, name))
        assert len(method) == len(function), name
        assert list(method.values()).count(required) == list(function.values()).count(required), name


def test_clip(gg):
    for number, expected, gradients in [
        (-1.0, 0.0, (0, 1, 0)),
        (0.0, 0.0, (1, 0, 0)),
        (0.5, 0.5, (1, 0, 0)),
        (1.0, 1.0, (1, 0, 0)),
        (7.0, 1.0, (0, 0, 1)),
    ]:
        x, low, high = gg.Value(number), gg.Value(0.0), gg.Value(1.0)
        y = gg.clip(x, low, high)
        y.backward()
        assert y.data == expected
        assert (x.grad, low.grad, high.grad) == gradients
        assert gg.clip(number, 0, 1) == gg.clip(x, 0, 1).data == x.clip(0, 1).data == expected
        assert y._prev == (x, low, high)
        assert len(x.clip(0, 1)._prev) == 3
    with pytest.raises(gg.NonFiniteError):
        gg.clip(gg.Value(1.0), 2, 1)


def test_where(gg):
    for condition in (True, 2.0, np.bool_(True), gg.Value(-1.0)):
        x, w = gg.Value(3.0), gg.Value(math.nan)
        y = gg.where(condition, x, w)
        y.backward()
        assert (y.data, x.grad, w.grad) == (3.0, 1.0, 0.0)
    for condition in (False, 0.0, np.bool_(False), gg.Value(0.0)):
        x, w = gg.Value(math.nan), gg.Value(4.0)
        y = x.where(condition, w)
        y.backward()
        assert (y.data, x.grad, w.grad) == (4.0, 0.0, 1.0)
    assert gg.where(True, 1, 2) == 1.0
    assert type(gg.where(gg.Value(1.0) < 2, 1, 2)) is float
    x = gg.Value(3.0)
    assert gg.where(x < 5, x, 0).data == 3.0
    assert gg.where(x > 5, x, 0).data == 0.0


def test_corners(gg):
    def gradient(function, *numbers):
        xs = [gg.Value(x) for x in numbers]
        function(*xs).backward()
        return tuple(x.grad for x in xs)

    assert gradient(gg.relu, 0.0) == (0.0,)
    assert gradient(gg.abs, 0.0) == (0.0,)
    assert gradient(gg.abs, -0.0) == (0.0,)
    assert gradient(gg.sign, 3.0) == (0.0,)
    assert gradient(gg.maximum, 2.0, 2.0) == (0.5, 0.5)
    assert gradient(gg.minimum, 2.0, 2.0) == (0.5, 0.5)
    assert gradient(gg.hypot, 0.0, 0.0) == (0.0, 0.0)
    assert gradient(lambda x: gg.maximum(x, x), 2.0) == (1.0,)
    assert gradient(lambda x: x**0, 0.0) == (0.0,)
    assert gradient(lambda x: x**1, 0.0) == (1.0,)
    assert gradient(lambda x: x**2, 0.0) == (0.0,)


def test_tails(gg):
    x = gg.Value(30.5)
    x.tanh().backward()
    assert x.grad == pytest.approx(1.2876e-26, rel=1e-4)
    assert gg.sigmoid(-700.0) == pytest.approx(math.exp(-700), rel=1e-15)
    assert gg.sigmoid(700.0) == 1.0
    assert gg.expm1(1e-300) == 1e-300
    assert gg.log1p(1e-300) == 1e-300
    assert gg.softplus(-700.0) == pytest.approx(math.exp(-700), rel=1e-15)
    assert gg.softplus(1e300) == 1e300
    assert gg.hypot(1e300, 1e300) == pytest.approx(math.sqrt(2) * 1e300, rel=1e-15)
    assert gg.logaddexp(1000.0, 1000.0) == pytest.approx(1000 + math.log(2), rel=1e-15)
    assert gg.gelu(-1e300) == 0.0
    assert gg.silu(-1e300) == 0.0


@pytest.mark.parametrize("name", [*UNARY, *BINARY, "clip", "where"])
def test_functions_refuse_what_is_no_scalar(gg, name):
    function = getattr(gg, name)
    count = {"clip": 3, "where": 3}.get(name, 2 if name in BINARY else 1)
    for wrong in ("2", None, 1j, [1.0], np.ones(3), object()):
        for place in range(name == "where", count):
            for other in (1.0, gg.Value(1.0)):
                arguments = [other] * count
                arguments[place] = wrong
                with pytest.raises(gg.OperandError, match=name) as caught:
                    function(*arguments)
        if isinstance(wrong, np.ndarray) and hasattr(np, name) and name != "where":
            assert f"numpy.{name}" in str(caught.value)


def test_functions_of_plain_numbers_raise_the_same_errors(gg):
    for call in (
        lambda: gg.log(0),
        lambda: gg.exp(1000),
        lambda: gg.sqrt(-1),
        lambda: gg.reciprocal(0),
        lambda: gg.tanh(math.nan),
        lambda: gg.arccosh(0.5),
        lambda: gg.hypot(1e308, 1.7e308),
        lambda: gg.logaddexp(math.nan, 1.0),
        lambda: gg.sum([1e308, 1e308]),
    ):
        with pytest.raises(gg.NonFiniteError):
            call()
        with gg.allow_nonfinite():
            assert not math.isfinite(call())
    with gg.allow_nonfinite():
        assert gg.log(0) == -math.inf


def test_names_and_texts(gg):
    for name in [*UNARY, *BINARY, *LISTS, "dot", "softmax", "where", "clip"]:
        function = getattr(gg, name)
        assert function.__name__ == name
        assert len(function.__doc__) > 20


# ---- of lists ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", LISTS)
def test_a_list_makes_one_node(gg, name):
    numbers = [0.5, -1.25, 2.0, 0.75, 1.5]
    function, reference = getattr(gg, name), LISTS[name]
    expected = pytest.approx(reference(numbers), rel=TIGHT)
    assert type(function(numbers)) is float
    assert function(numbers) == expected
    xs = [gg.Value(x) for x in numbers]
    y = function(xs)
    assert y.data == expected
    assert y._prev == tuple(xs)
    assert y._rule == name
    y.backward()
    for i, x in enumerate(xs):
        d = slope(lambda t, i=i: reference([*numbers[:i], t, *numbers[i + 1 :]]), numbers[i])
        assert x.grad == pytest.approx(d, rel=1e-9)


@pytest.mark.parametrize("name", [*LISTS, "softmax"])
def test_lists_may_be_any_iterable_with_numbers_among_the_values(gg, name):
    x, w = gg.Value(0.5), gg.Value(2.0)
    function = getattr(gg, name)
    mixed = [x, 3, w, 0.25, np.float32(0.5), True, x]
    if name == "softmax":
        function = lambda xs: gg.softmax(xs)[0]  # noqa: E731
    expected = function([0.5, 3.0, 2.0, 0.25, 0.5, 1.0, 0.5])
    object_array = np.array(mixed, dtype=object)
    for operands in (
        mixed,
        tuple(mixed),
        iter(mixed),
        (v for v in mixed),
        dict.fromkeys(range(7)) and mixed,
        object_array,
    ):
        y = function(operands)
        assert y.data == expected
        assert len(y._prev) == 7
    assert function(np.array([1.0, 2.0])) == function([1.0, 2.0])


def test_the_list_may_change_afterwards(gg):
    xs = [gg.Value(1.0), gg.Value(2.0)]
    y = gg.sum(xs)
    first = xs[0]
    xs.clear()
    y.backward()
    assert first.grad == 1.0


def test_repeated_operands_count_each_time(gg):
    x = gg.Value(3.0)
    gg.sum([x, x, x]).backward()
    assert x.grad == 3.0
    x.grad = 0
    gg.prod([x, x, x]).backward()
    assert x.grad == 27.0
    x.grad = 0
    gg.dot([x, x], [x, x]).backward()
    assert x.grad == 12.0
    x.grad = 0
    gg.logsumexp([x, x]).backward()
    assert x.grad == 1.0
    x.grad = 0
    gg.softmax([x, x])[0].backward()
    assert x.grad == 0.0
    x.grad = 0
    gg.mean([x, x, 5]).backward()
    assert x.grad == pytest.approx(2 / 3)


def test_dot(gg):
    xs, ws = [gg.Value(1.0), 2.0, gg.Value(3.0)], [gg.Value(4.0), gg.Value(5.0), 6]
    y = gg.dot(xs, ws)
    assert y.data == 32.0
    assert len(y._prev) == 6
    assert y._rule == "dot"
    y.backward()
    assert (xs[0].grad, xs[2].grad, ws[0].grad, ws[1].grad) == (4.0, 6.0, 1.0, 2.0)
    assert gg.dot([1, 2], [3, 4]) == 11.0
    assert type(gg.dot([1, 2], [3, 4])) is float
    assert gg.dot(np.array([1.0, 2.0]), [gg.Value(3.0), 4]).data == 11.0
    for left, right in [([1.0], [1.0, 2.0]), ([gg.Value(1.0)], []), ([], [1.0])]:
        with pytest.raises(gg.OperandError, match="same length"):
            gg.dot(left, right)


def test_softmax(gg):
    numbers = [0.5, -1.0, 3.0]
    scale = sum(math.exp(x) for x in numbers)
    xs = [gg.Value(x) for x in numbers]
    shares = gg.softmax(xs)
    assert isinstance(shares, list)
    assert [p.data for p in shares] == pytest.approx([math.exp(x) / scale for x in numbers], rel=TIGHT)
    assert gg.softmax(numbers) == [p.data for p in shares]
    assert all(type(p) is float for p in gg.softmax(numbers))
    p = [s.data for s in shares]
    for i in range(3):
        for x in xs:
            x.grad = 0
        shares[i].backward()
        expected = [p[i] * ((i == j) - p[j]) for j in range(3)]
        assert [x.grad for x in xs] == pytest.approx(expected, rel=1e-14)
        assert set(shares[i]._prev) == set(xs)
    assert [s.data for s in gg.softmax([gg.Value(7.0)])] == [1.0]


@pytest.mark.parametrize("gap", [1.0, 700.0, 709.5, 710.0, 2000.0, 1e300])
def test_logits_may_lie_far_apart(gg, gap):
    xs = [gg.Value(gap / 2), gg.Value(-gap / 2)]
    small = math.exp(-gap) / (1 + math.exp(-gap))
    shares = gg.softmax(xs)
    assert [p.data for p in shares] == pytest.approx([1 - small, small], rel=1e-13, abs=1e-323)
    y = gg.logsumexp(xs)
    assert y.data == pytest.approx(gap / 2 + math.log1p(math.exp(-gap)), rel=1e-14)
    assert gg.logaddexp(*xs).data == y.data
    for node in (*shares, y):
        for x in xs:
            x.grad = 0
        node.backward()
        assert all(math.isfinite(x.grad) for x in xs)


def test_prod_with_zeros(gg):
    for numbers in ([0.0, 2.0, 3.0], [0.0, 0.0, 3.0], [2.0, 0.0, 4.0]):
        xs = [gg.Value(x) for x in numbers]
        gg.prod(xs).backward()
        expected = [math.prod(numbers[:i] + numbers[i + 1 :]) for i in range(3)]
        assert [x.grad for x in xs] == expected


def test_sum_loses_nothing(gg):
    assert gg.sum([gg.Value(0.1)] * 10).data == 1.0
    assert gg.sum([1.0, gg.Value(1e100), 1.0, -1e100]).data == 2.0
    assert gg.dot([1e8, gg.Value(1.0), -1e8], [1e8, 1.0, 1e8]).data == 1.0


def test_nothing_and_one(gg):
    assert (gg.sum([]), gg.prod([]), gg.dot([], [])) == (0.0, 1.0, 0.0)
    for name in ("mean", "logsumexp", "softmax"):
        with pytest.raises(gg.GlassgradError, match=name):
            getattr(gg, name)([])
    x = gg.Value(3.0)
    for name in ("sum", "mean", "prod", "logsumexp"):
        x.grad = 0
        y = getattr(gg, name)([x])
        assert y is not x
        y.backward()
        assert (y.data, x.grad) == (3.0, 1.0)


@pytest.mark.parametrize("name", [*LISTS, "softmax"])
def test_lists_refuse_what_is_no_list_of_scalars(gg, name):
    function = getattr(gg, name)
    for wrong in (3.0, gg.Value(1.0), "123", None, [1.0, "2"], [gg.Value(1.0), None], [[1.0]], np.ones((2, 2))):
        with pytest.raises(gg.OperandError, match=name):
            function(wrong)


@pytest.mark.parametrize("name", [*LISTS, "softmax", "dot"])
def test_a_list_of_constants_is_a_constant(gg, name):
    xs = [gg.Value(1.0, requires_grad=False), 2.0]
    y = getattr(gg, name)(*([xs, xs] if name == "dot" else [xs]))
    for node in y if name == "softmax" else [y]:
        assert not node.requires_grad
        assert node._prev == ()


def test_an_error_in_the_iterable_passes_through(gg):
    def broken():
        yield gg.Value(1.0)
        raise KeyError("mine")

    for name in LISTS:
        with pytest.raises(KeyError, match="mine"):
            getattr(gg, name)(broken())
