"""`check_grad`: it proves what is right, in every operation and in random programs, and finds what is wrong.

Also third derivatives of every operation against mpmath's of its definition, from differences in 60 bits and more.
"""

from __future__ import annotations

import doctest
import itertools
import math
import random
import time

import numpy as np
import pytest
from conftest import load_interpreted
from hypothesis import assume, given
from references import CASES, mp
from strategies import INTERNAL, NAMES, evaluate, on, smooth_points, smooth_program, tame

import glassgrad
from glassgrad import rules


@pytest.fixture
def check_grad(gg):
    return gg.testing.check_grad


def by_hand(gg, name, value, *partials):
    """An operation written by hand in micrograd's style."""

    def operation(*operands):
        xs = [x.data for x in operands]
        out = gg.Value(value(*xs), operands, name)

        def backward():
            for x, partial in zip(operands, partials, strict=True):
                x.grad += partial(*xs) * out.grad

        out._backward = backward
        return out

    return operation


# ---- what is right passes ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", NAMES)
def test_every_operation_passes(gg, check_grad, name):
    for point in smooth_points(name, rules, 4):
        report = check_grad(lambda *xs: on(gg)(name, xs), point, order=3)
        assert {check.order for check in report.checks} == {1, 2, 3}


@given(program=tame)
def test_programs_of_hypothesis_pass(gg, check_grad, program):
    def f(*leaves):
        return gg.sum(evaluate(program, leaves, on(gg)))

    scalars = evaluate(program, [gg.Value(x) for x in program.leaves], on(gg))
    assume(all(abs(v.data) < 50 for v in scalars))
    found = None
    try:
        check_grad(f, program.leaves)
    except gg.GradientError as error:
        found = str(error)
    assert found is None or "does not exist" in found  # two expressions may meet at a kink after all


def test_random_programs_over_every_operation_pass(gg, check_grad):
    rng = random.Random(4)
    for _ in range(500 if gg.COMPILED else 100):
        program = smooth_program(rng, rules)
        check_grad(lambda *leaves, program=program: gg.sum(evaluate(program, leaves, on(gg))), program.leaves)


@pytest.mark.parametrize("name", sorted(set(CASES) - set(INTERNAL)))
def test_third_derivatives_agree_with_mpmath(gg, name):
    """All mixed ones, to 1e-13, relative to 0.01 where they are smaller."""
    case = CASES[name]
    for point in smooth_points(name, rules, 10):
        for by in itertools.combinations_with_replacement(range(len(point)), 3):
            f = lambda *xs: on(gg)(name, xs)  # noqa: E731
            for i in by:
                f = gg.grad(f, i)
            with mp.workprec(60):  # mpmath takes more where it needs to
                x, orders = [mp.mpf(x) for x in point], [by.count(i) for i in range(len(point))]
                right = mp.diff(case.value, x, orders) if len(x) > 1 else mp.diff(case.value, x[0], 3)
            assert f(*point) == pytest.approx(float(right), rel=1e-13, abs=1e-15), (point, by)


def test_derivatives_that_cancel_are_no_false_alarm(gg, check_grad):
    """What is left of x - x in one order of summing and not in the other; of a Hessian that is 0."""
    for seed in range(30):
        check_grad(lambda a, b: gg.sum([a, b, -a, -b]), (3.45e-4, 3.45e-4), seed=seed)
        check_grad(lambda a: a.hypot(a), (1.35e-3,), seed=seed)


def test_the_report_says_what_was_compared(gg, check_grad):
    report = check_grad(lambda p: p["w"][0] * p["w"][1].sin() + p["b"] ** 2, ({"w": [1.0, 2.0], "b": 3},))
    assert (report.inputs, report.outputs) == (3, 1)
    names = [(check.order, check.name, check.count) for check in report.checks]
    assert names == [
        (1, "grad, differences", 3), (1, "jvp, differences", 3), (1, "grad, a complex step", 3), (1, "jvp, vjp", 3),
        (1, "Taylor, 4 expected", 4), (1, "Taylor, 8 expected", 4), (2, "grad, differences", 9),
        (2, "hvp, differences", 9), (2, "jvp, vjp", 3), (2, "hvp, its transpose", 3), (2, "Taylor, 4 expected", 4),
    ]  # fmt: skip
    assert all(check.worst < 1e-10 for check in report.checks if not check.name.startswith("Taylor"))
    taylor = [check.worst for check in report.checks if check.name.startswith("Taylor")]
    assert taylor == pytest.approx([4, 8, 4], rel=0.05)
    assert "order 1  grad, differences" in repr(report)
    assert "derivatives of 1 output by 3 inputs agree" in repr(report)


def test_a_seed_gives_the_same_report(check_grad):
    def f(x):
        return x[0].exp() * x[1]

    assert check_grad(f, ([1.0, 2.0],), seed=5) == check_grad(f, ([1.0, 2.0],), seed=5)


def test_containers_and_arrays_pass(gg, check_grad):
    assert check_grad(lambda x: {"a": x[0] * x[1], "b": [x[1].exp(), 3.0]}, ((2.0, 1.0),)).outputs == 3
    assert check_grad(lambda m, n: (m @ m).sum() * n, (np.array([[1.0, 2.0], [3.0, 4.0]]), 2)).inputs == 5


def test_any_order_goes(gg, check_grad):
    assert check_grad(lambda x: x.exp() * x, (0.5,), order=5).checks[-1].order == 5
    error = failure(gg, lambda x: x**3 * x.relu(), (0.0,), order=4)
    assert str(error).startswith("the 4th derivative by argument 0 = 0.0 and argument 0 = 0.0 and along a random")


def test_control_flow_passes(check_grad):
    def root(a):  # Newton's method, with a test on values
        x = a
        while abs(x * x - a) > 1e-12:
            x = (x + a / x) / 2
        return x

    def power(x, n):
        return 1.0 if n == 0 else x * power(x, n - 1)

    check_grad(lambda x: power(x, 5), (1.3,), order=3)
    check_grad(root, (2.0,), order=1, rtol=1e-5)


def test_many_inputs_are_drawn_from(gg, check_grad):
    report = check_grad(lambda w: gg.sum([x**3 for x in w]), ([i / 50 + 0.1 for i in range(100)],))
    assert report.checks[0].count == 32


def test_scales_need_not_be_known(gg, check_grad):
    """Steep, flat, tiny, cancelling and waving functions, and points near the edge of a domain."""
    check_grad(lambda x: (1000 * x).sin(), (0.3,))
    check_grad(lambda x: x * x + 1e-6 * (1e5 * x).sin(), (0.3,))
    check_grad(lambda x: (x * x + 1e-12).sqrt(), (0.0,))
    check_grad(lambda x: 1e-20 * x.exp(), (1.0,))
    check_grad(lambda x: 1e20 * x.exp(), (1.0,))
    check_grad(lambda x: (1e8 + x) - 1e8, (1.0,))
    check_grad(lambda x: x.sin() ** 2 + x.cos() ** 2 - 1, (1.0,))
    check_grad(lambda x: gg.sum(gg.softmax([x, 2 * x, x * x])), (1.0,))
    check_grad(lambda x: x.log(), (1e-8,))
    check_grad(lambda x: x.log() * x**2, (1e8,))
    check_grad(lambda x: gg.Value(3.0), (1.0,))
    check_grad(lambda x: 3.0, (1.0,))


@pytest.mark.parametrize("s", [1e-5, 1e-7, 1e-3, 1.0, 1e5])
@pytest.mark.parametrize("at", [1.0, -2.0, 0.3, 0.0])
def test_a_scale_far_from_one_is_found(gg, check_grad, s, at):
    """Also where the function is another one far from where it changes, as smooth and as quiet."""
    check_grad(lambda x: (x / s) ** 2 + gg.exp(-((x / s) ** 2)), (at * s,))
    check_grad(lambda x: gg.logsumexp([x / s, (x / s) ** 2, 1.0]), (at * s,))
    check_grad(lambda x: gg.softplus(x / s) + gg.silu(x / s), (at * s,))
    check_grad(lambda x: (x / s).relu() if at else x, (at * s,))


def test_random_programs_at_every_scale(gg, check_grad):
    """None is accused; a rule off by one percent is, whatever the scale."""
    rng = random.Random(5)
    wrong = gg.primitive(lambda x: x)
    wrong.derivative(lambda x: 1.01)
    honest = 0
    for _ in range(150 if gg.COMPILED else 30):
        program = smooth_program(rng, rules)
        scale = 10.0 ** rng.uniform(-5, 5)
        sizes = [scale * 10 ** rng.uniform(-0.5, 0.5) for _ in program.leaves]
        point = tuple(x * size for x, size in zip(program.leaves, sizes, strict=True))

        def f(*xs, first=lambda x: x, program=program, sizes=sizes):
            leaves = [x / size for x, size in zip([first(xs[0]), *xs[1:]], sizes, strict=True)]
            return gg.sum(evaluate(program, leaves, on(gg)))

        found = None
        try:
            check_grad(f, point)
        except gg.GradientError as error:
            found = str(error)
            honest += 1
        assert found is None or "cannot be checked: the differences scatter" in found
        shares = [abs(x * d) for x, d in zip(point, gg.grad(f, range(len(point)))(*point), strict=True)]
        if shares[0] > 1e-3 * max(shares):
            failure(gg, lambda *xs, f=f: f(*xs, first=wrong), point, order=1)
    assert honest <= 4


def test_values_near_the_largest_float_are_no_false_alarm(gg, check_grad):
    check_grad(gg.exp, (700.0,))
    check_grad(lambda x, y: gg.exp(x) * y, (690.0, 1e-3))
    assert "beyond the largest float" in str(failure(gg, gg.exp, (709.7,)))


def test_operations_by_hand_pass_in_the_first_order(gg, check_grad):
    cube = by_hand(gg, "cube", lambda x: x**3, lambda x: 3 * x**2)
    check_grad(lambda x: cube(x.sin()) * x, (0.7,), order=1)
    with pytest.raises(gg.GraphError, match="primitive"):
        check_grad(lambda x: cube(x.sin()) * x, (0.7,), order=2)


def test_no_gradient_changes(gg, check_grad):
    w = gg.Value(2.0)
    w.grad = 5.0
    check_grad(lambda x: (x * w).tanh(), (0.3,))
    assert w.grad == 5.0


# ---- what is wrong is found ----------------------------------------------------------------------------------------


def failure(gg, f, args, **options):
    with pytest.raises(gg.GradientError) as caught:
        gg.testing.check_grad(f, args, **options)
    assert isinstance(caught.value, AssertionError)
    return caught.value


def test_a_wrong_operation_is_named_with_its_input_and_numbers(gg):
    wrong = by_hand(gg, "cube", lambda x: x**3, lambda x: 2 * x**2)

    def f(p):
        with gg.scope("layer1"):
            return (wrong(p["w"][1]) * p["w"][0] + p["w"][2].exp()).tanh()

    error = failure(gg, f, ({"w": [0.1, 0.5, -0.3]},), order=1)
    assert error.input == "argument 0['w'][1]"
    assert error.derivative == pytest.approx(error.difference * 2 / 3)
    assert abs(error.difference - 0.04455543884) < 1e-9
    assert error.uncertainty < 1e-10
    assert error.operation == ("cube(0.5) = 0.125 in scope layer1, whose derivative is 0.5 where differences give 0.75")
    assert str(error).startswith("the derivative by argument 0['w'][1] = 0.5 is 0.0297")
    assert str(error).endswith(f"most responsible: {error.operation}")


@pytest.mark.parametrize("order", [1, 2])
def test_a_wrong_input_is_found_among_many_that_were_not_drawn(gg, order):
    wrong = gg.primitive(lambda x: x * x)
    wrong.derivative(lambda x: 2.1 * x)
    f = lambda p: gg.sum([a * a for a in p[:-1]]) + wrong(p[-1])  # noqa: E731
    error = failure(gg, f, ([1.0] * 64,), order=order, seed=2)
    assert (error.input, error.derivative) == ("argument 0[63]", 2.1)
    assert error.difference == pytest.approx(2.0)
    assert error.operation.endswith("whose derivative is 2.1 where differences give 2")
    wrong.derivative(lambda x: 2.001 * x)  # so little that the first remainder does not tell
    error = failure(gg, f, ([1.0] * 64,), order=2, seed=2)
    assert (error.input, error.derivative) == ("argument 0[63]", 2.001)


def test_a_wrong_second_derivative_is_found_among_many_inputs(gg):
    double = gg.primitive(lambda x: 2 * x)
    double.derivative(lambda x: 2.1)
    square = gg.primitive(lambda x: x * x)
    square.derivative(lambda x: double(x))
    f = lambda p: gg.sum([a * a for a in p[:-1]]) + square(p[-1])  # noqa: E731
    error = failure(gg, f, ([1.0] * 100,), seed=2)
    assert error.input == "argument 0[99]"
    assert str(error).startswith("the second derivative by argument 0[99] = 1.0")
    assert error.derivative / error.difference == pytest.approx(1.05)


def test_a_wrong_derivative_by_one_of_many_inputs_is_found_among_many_results(gg):
    wrong = gg.custom_gradient(lambda x, y: (x * y, lambda g: (g * y, 1.1 * g * x)))
    f = lambda p: [x * y for x, y in itertools.pairwise(p[:-1])] + [wrong(p[-2], p[-1])]  # noqa: E731
    error = failure(gg, f, ([1.0] * 40,), seed=2)
    assert error.input == "argument 0[39]"
    assert error.derivative / error.difference == pytest.approx(1.1)


def test_forward_and_reverse_mode_that_disagree_name_the_input(gg, monkeypatch):
    """In the sample of 32 inputs neither is looked at; here the last one's velocity gets lost."""
    jvp = gg.functional.jvp

    def lossy(f, primals, tangents):
        return jvp(f, primals, ([*tangents[0][:-1], 0.0],))

    monkeypatch.setattr(gg.functional, "jvp", lossy)
    error = failure(gg, lambda p: gg.sum([a * a for a in p]), ([1.0] * 40,), order=1, seed=2)
    assert str(error).startswith("the derivative by argument 0[39] = 1.0 is 0.0 by jvp, but differences give 2 ")


def test_the_wrong_one_of_two_operands_is_named(gg):
    wrong = by_hand(gg, "fused", lambda x, w: x * w**2, lambda x, w: w**2, lambda x, w: x * w)
    error = failure(gg, lambda a, b: wrong(a * 2, b) + a, (0.3, 0.5), order=1)
    assert error.input == "argument 1"
    assert "fused(0.6, 0.5) = 0.15, whose derivative by 0.5 is 0.3 where differences give 0.6" in str(error)


@pytest.mark.parametrize("slip", [1e-4, -1.0, 1e3, 1e-5])
def test_small_slips_are_found(gg, slip):
    wrong = by_hand(gg, "exp", math.exp, lambda x: math.exp(x) * (1 + slip))
    assert "exp" in failure(gg, lambda x: wrong(x).sin(), (0.5,), order=1).operation


SLIPS = ["sin_dx", "exp_dx", "log_dx", "tanh_dx", "gelu_dx", "mul_dw", "div_dw", "power_dx", "hypot_dx", "logaddexp_dw"]
NARY_SLIPS = ["dot_d", "softmax_d", "logsumexp_d", "product_d"]


@pytest.mark.parametrize("slip", SLIPS + NARY_SLIPS)
def test_a_rule_off_by_one_percent_is_found_and_named(slip, monkeypatch):
    """In random programs, of which each uses the operation; in the interpreted build, whose rules can be replaced."""
    gg = load_interpreted()
    right = getattr(gg.rules, slip)

    def wrong_in_all(xs, y, out):
        right(xs, y, out)
        for i in range(len(out)):
            out[i] *= 1.01

    monkeypatch.setattr(gg.rules, slip, wrong_in_all if slip in NARY_SLIPS else lambda *xs: 1.01 * right(*xs))
    name = {"power": "pow", "product": "prod"}.get(slip.split("_")[0], slip.split("_")[0])

    def gradient(package, program):
        leaves = [package.Value(x) for x in program.leaves]
        last = evaluate(program, leaves, on(package))[-1]
        if last.requires_grad:
            last.backward()
        return [x.grad for x in leaves]

    rng = random.Random(slip)
    found = 0
    while found < 5:
        program = smooth_program(rng, rules)
        if gradient(gg, program) == pytest.approx(gradient(glassgrad, program), rel=1e-5):
            continue  # the rule was not asked, or its derivative does not count
        with pytest.raises(gg.GradientError) as caught:
            gg.testing.check_grad(lambda *xs, p=program: evaluate(p, xs, on(gg))[-1], program.leaves, order=1)
        assert caught.value.operation.startswith(f"{name}("), program
        found += 1


def test_the_output_is_named(gg):
    wrong = by_hand(gg, "cube", lambda x: x**3, lambda x: 2 * x**2)
    error = failure(gg, lambda x: {"a": x, "b": [x, wrong(x)]}, (2.0,), order=1)
    assert "the derivative of result['b'][1] by argument 0 = 2.0 is 8.0" in str(error)


def test_numbers_taken_out_of_the_graph_are_found(gg):
    error = failure(gg, lambda x: x * x.data, (2.0,))
    assert "mul(2.0, 2.0) = 4.0: 2.0 changes with the arguments" in error.operation
    assert ".data" in error.operation
    error = failure(gg, lambda x: gg.Value(x.data), (2.0,))
    assert "nothing leads from the arguments to the result" in str(error)


def test_a_wrong_second_derivative_is_found(gg):
    """One whose first derivative is right: the number in it is taken out of the graph."""

    def f(x):
        slope = 2 * x.data  # of x**2
        return (x.data**2 - slope * x.data) + slope * x

    error = failure(gg, f, (3.0,))
    assert (error.input, error.derivative) == ("argument 0", 0.0)
    assert str(error).startswith("the second derivative by argument 0 = 3.0 and argument 0 = 3.0 is 0.0 by grad")
    assert error.difference == pytest.approx(2.0)


def test_primitives_are_checked(gg, check_grad):
    @gg.primitive
    def cube(x):
        return x**3

    cube.derivative(lambda x: 3 * x**2)
    check_grad(lambda x: cube(x.sin()) * x, (0.7,), order=3)

    cube.derivative(lambda x: 2 * x**2)
    error = failure(gg, lambda x: cube(x.sin()) * x, (0.7,))
    assert error.operation.startswith("cube(0.644")
    assert "whose derivative is 0.83003" in error.operation

    cube.derivative(lambda x: 3 * getattr(x, "data", x) ** 2)  # right, and not to be differentiated again
    error = failure(gg, lambda x: cube(x.sin()) * x, (0.7,))
    assert str(error).startswith("the second derivative by argument 0 = 0.7")
    assert "changes with the arguments, but no derivative leads to it" in error.operation


def test_gradients_of_your_own_are_checked(gg, check_grad):
    @gg.checkpoint
    def block(x, w):
        return (x * w).tanh()

    check_grad(lambda x, w: block(x.sin(), w) * x, (0.7, 0.3))

    @gg.custom_gradient
    def triple(x):
        return 3 * x, lambda gradient: 2 * gradient

    error = failure(gg, lambda x: triple(x.sin()) * x, (0.7,), order=1)
    assert error.operation.endswith("whose derivative is 2.0 where differences give 3")

    @gg.custom_gradient
    def both(x, w):
        return [x * w, x + w], lambda gradients: (gradients[0] * w + gradients[1], gradients[0] * w + gradients[1])

    error = failure(gg, lambda x, w: both(x.sin(), w)[0] * x, (0.7, 0.3), order=1)
    assert error.operation.startswith("both(")


def test_a_function_that_is_none_is_refused(gg):
    rng = random.Random(1)
    assert "random numbers" in str(failure(gg, lambda x: x * rng.random(), (1.0,)))


# ---- points without a derivative -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("f", "x", "where"),
    [
        (lambda x: x.relu(), 0.0, "relu(0.0)"),
        (lambda x: 2 * abs(x) + x, 0.0, "abs(0.0)"),
        (lambda x: (3 * x).maximum(6.0), 2.0, "maximum(6.0, 6.0)"),
        (lambda x: x.clip(-1, 1), 1.0, "clip(1.0, -1.0, 1.0)"),
        (lambda x: x.leaky_relu(0.1) * 5, 0.0, "leaky_relu(0.0, 0.1)"),
        (lambda x: x.hypot(0.0), 0.0, "hypot(0.0, 0.0)"),
        (lambda x: x if x > 0 else -x, 0.0, ""),
    ],
)
def test_a_kink_is_called_a_kink(gg, f, x, where):
    error = failure(gg, f, (x,))
    assert "does not exist: on the left the slope is" in str(error)
    assert "Nothing is wrong" in str(error)
    assert where in error.operation
    assert error.input == "argument 0"


@pytest.mark.parametrize(
    ("f", "x", "values", "where"),
    [
        (lambda x: x.sign(), 0.0, "from -1 on the left through 0 to 1 on the right", "sign(0.0)"),
        (lambda x: x * math.floor(x.data), 2.0, "from 2 on the left through 4 to 4 on the right", "mul(2.0, 2.0)"),
        (lambda x: x if x < 1 else x + 1e-3, 1.0, "from 1 on the left through 1.001 to 1.001 on the right", ""),
    ],
)
def test_a_jump_is_called_a_jump(gg, f, x, values, where):
    error = failure(gg, f, (x,))
    assert "does not exist: the result jumps there, " + values in str(error)
    assert "Nothing is wrong" not in str(error)
    assert where in error.operation
    assert error.input == "argument 0"
    assert math.isfinite(error.derivative)


def test_what_cannot_be_checked_has_its_attributes(gg):
    error = failure(gg, lambda p: p["a"] ** 1.5, ({"a": 0.0},), order=1)
    assert "cannot be checked: it is not defined on both sides" in str(error)
    assert (error.input, error.derivative) == ("argument 0['a']", 0.0)
    assert error.uncertainty == math.inf
    error = failure(gg, lambda x: abs(x) * 3.0, (0.0,))
    assert (error.input, error.derivative) == ("argument 0", 0.0)


def test_a_kink_of_the_gradient_is_called_one(gg):
    text = str(failure(gg, lambda x: x.relu() ** 2, (0.0,)))
    assert text.startswith("the second derivative by argument 0 = 0.0 and argument 0 = 0.0 does not exist")
    gg.testing.check_grad(lambda x: x.relu() ** 2, (0.0,), order=1)


def test_the_edge_of_a_domain_is_told(gg):
    assert "not defined on both sides" in str(failure(gg, lambda x: x**1.5, (0.0,), order=1))


def test_far_from_scale_there_is_no_false_alarm(gg, check_grad):
    check_grad(lambda x: x * x, (1e-200,))  # the value is 0, and so is every central difference
    check_grad(lambda x: x.log(), (1e-12,))
    check_grad(lambda x: x.log(), (1e-250,), order=1)
    check_grad(lambda x: x[0] * x[1] ** 2 + x[2].log(), ([1e-8, 1e8, 1e-3],))


def test_the_slopes_at_a_kink_are_exact(gg):
    text = str(failure(gg, lambda x: abs(x - 1.0) * 3.0, (1.0,), order=1))
    assert "on the left the slope is -3, on the right 3," in text


def test_a_complex_step_goes_through_arrays(gg, check_grad):
    report = check_grad(lambda x: (x**3).sum(), (np.array([[1.0, 2.0]]),), order=1)
    assert [check.count for check in report.checks if check.name == "grad, a complex step"] == [2]


def test_near_a_kink_there_is_a_derivative(check_grad):
    check_grad(lambda x: x.relu() * x, (1e-5,))
    check_grad(lambda x: abs(x) ** 3, (-1e-5,))


# ---- arguments that make no sense ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("f", "args", "options", "text"),
    [
        (3, (1.0,), {}, "takes a function, not int 3"),
        (abs, 1.0, {}, "takes the arguments as a tuple, not float 1.0: write"),
        (abs, (), {}, "nothing to differentiate by"),
        (abs, ([],), {}, "nothing to differentiate by"),
        (abs, ("1",), {}, "argument 0 takes a real number, not str"),
        (abs, ([1.0, True],), {}, r"argument 0\[1\] takes a real number, not bool True"),
        (abs, (math.nan,), {}, "finite numbers, and argument 0 = nan"),
        (abs, (1.0,), {"order": 0}, "order of 1 or more, not int 0"),
        (abs, (1.0,), {"order": 1.5}, "order of 1 or more, not float 1.5"),
        (abs, (1.0,), {"rtol": -1}, "rtol is not negative, not -1"),
        (abs, (1.0,), {"atol": "x"}, "atol takes a real number, not str 'x'"),
        (abs, (1.0,), {"seed": [1]}, r"seed is an integer, not list \[1\]"),
        (lambda x: None, (1.0,), {}, "returned None; is a return missing"),
        (lambda x: [], (1.0,), {}, "returned an empty list: there is nothing to differentiate"),
        (lambda x: {"a": None}, (1.0,), {}, r"returned a dict with \['a'\] None: there is nothing to differentiate"),
        (lambda x: "text", (1.0,), {}, "the result of the function takes a real number, not str 'text'"),
        (lambda x: {"a": [x, None, True]}, (1.0,), {}, r"the result of the function\['a'\]\[2\] takes a real number"),
    ],
)
def test_bad_arguments_are_refused(gg, check_grad, f, args, options, text):
    with pytest.raises(gg.OperandError, match=text):
        check_grad(f, args, **options)


def test_errors_of_the_function_pass_through(gg, check_grad):
    with pytest.raises(gg.NonFiniteError, match="log"):
        check_grad(lambda x: x.log(), (-1.0,))
    with pytest.raises(KeyError):
        check_grad(lambda x: {}["missing"], (1.0,))


# ---- differences ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("f", "x", "derivative"),
    [
        (math.exp, 1.0, math.e),
        (math.sin, 1e4, math.cos(1e4)),
        (lambda x: math.sin(1e6 * x), 0.1, 1e6 * math.cos(1e5)),
        (lambda x: math.log(x), 1e-300, 1e300),
        (lambda x: x**3, 0.0, 0.0),
        (lambda x: math.atan(1e9 * x), 0.0, 1e9),
        (lambda x: 1 / x, -2.0, -0.25),
        (lambda x: abs(x) ** 1.5, 0.0, 0.0),
    ],
)
def test_the_error_of_a_difference_is_no_promise_too_much(gg, f, x, derivative):
    noise = 2e-16 * (abs(f(x)) + abs(x * derivative))  # of the value, and of the argument
    (slope,) = gg.differences.slopes(lambda t: [f(x + t)], max(abs(x), 1.0), [noise])
    assert abs(slope.value - derivative) <= slope.error + 1e-9 * abs(derivative)
    assert slope.sides is None


def test_it_is_quick(gg, check_grad):
    began = time.perf_counter()
    check_grad(lambda x: math.nan if x > 1e9 else x * x, (1.0,))
    assert time.perf_counter() - began < 5.0


def test_the_examples_run(gg):
    for module in (gg.testing, gg.differences):
        results = [
            doctest.DocTestRunner().run(test) for test in doctest.DocTestFinder().find(module, extraglobs=vars(gg))
        ]
        assert sum(found.failed for found in results) == 0
        assert sum(found.attempted for found in results) > 0
