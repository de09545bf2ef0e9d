"""Derivatives of compiled functions, to any order: as the eager ones, without running the function again."""

from __future__ import annotations

import copy
import functools
import importlib
import math
import random

import numpy as np
import pytest
from conftest import in_threads
from hypothesis import given
from strategies import NAMES, NARY, SIZES, evaluate, on, paths, smooth_points, smooth_program, tame

from glassgrad.compiler.branches import Reading, Term, TooManyPaths
from glassgrad.compiler.differentiate import differentiate
from glassgrad.compiler.evaluate import scalar_rule
from glassgrad.compiler.expand import expand, pruned
from glassgrad.compiler.scalars import Scalars

TOLERANCE = 1e-12  # relative to the sum over all paths of what rounding on them can do
ROWS = [(name, size) for name in NAMES if name in NARY for size in (2, 4, 40)]
ROWS += [(name, SIZES[name]) for name in NAMES if name not in NARY]
CORNERS = [0.0, -0.0, 1.0, -1.0, 2.0, 0.5, -0.5, 1e-8, 3.0, 20.0, -30.0, -710.0]
# Of shares that are nearly 1 the derivative is p - p², right to the last digit of p only.
CANCELS = {"logsumexp": 1e-15, "softmax": 1e-15}


# ---- the rules as nodes ----------------------------------------------------------------------------------------------


def run(scalars, numbers):
    """Every node of a scalar program, its leaves given in their order."""
    found, given = [], iter(numbers)
    for op, below, x in zip(scalars.ops, scalars.operands, scalars.numbers, strict=True):
        leaf = next(given) if op == "leaf" else x
        found.append(scalar_rule(op)(*[found[j] for j in below]) if below else leaf)
    return found


def close(a, b, relative, absolute=0.0):
    return abs(a - b) <= relative * abs(b) + absolute or a == b


@pytest.mark.parametrize(("name", "size"), [*ROWS, ("gelu_slope", 1)])
def test_every_derivative_becomes_nodes_that_agree_with_the_rule(name, size):
    scalars = Scalars()
    xs = [scalars.leaf() for _ in range(size)]
    y = scalars.node(name, *xs)
    adjoint = differentiate(scalars, [y], [None], xs)
    expanded = expand(scalars, adjoint.gradients, xs, adjoint.start)
    program = pruned(expanded.scalars, expanded.of(adjoint.gradients), expanded.start)
    program.scalars.check()
    assert not any("'" in op for op in program.scalars.ops)
    gradients = program.of(expanded.of(adjoint.gradients))
    rng = random.Random(name)
    compared = 0
    for _ in range(60):
        point = [rng.choice(CORNERS) if rng.random() < 0.4 else rng.uniform(-3, 3) for _ in range(size)]
        by_rule, by_nodes = run(scalars, point), run(program.scalars, point)
        if not math.isfinite(by_rule[y]):
            continue
        for i, j in zip(adjoint.gradients, gradients, strict=True):
            if math.isfinite(by_rule[i]):
                compared += 1
                assert close(by_nodes[j], by_rule[i], 1e-13, 1e-300), (point, by_nodes[j], by_rule[i])
    assert compared >= 10 * size


def test_a_comparison_that_was_made_is_not_made_again_and_constants_are_not_compared():
    scalars = Scalars()
    x = scalars.leaf()
    y = scalars.node("pow", x, scalars.const(3.0))
    adjoint = differentiate(scalars, [y], [None], [x])
    expanded = expand(scalars, adjoint.gradients, [x], adjoint.start)
    assert "where" not in expanded.scalars.ops
    scalars = Scalars()
    x = scalars.leaf()
    adjoint = differentiate(scalars, [scalars.node("silu", x)], [None], [x])
    expanded = expand(scalars, adjoint.gradients, [x], adjoint.start)
    assert pruned(expanded.scalars, expanded.of(adjoint.gradients), 0).scalars.ops.count("where") == 3


def test_branches_that_differ_in_one_place_are_joined_there():
    scalars = Scalars()
    x = scalars.leaf()
    adjoint = differentiate(scalars, [scalars.node("sigmoid", x)], [None], [x])
    expanded = expand(scalars, adjoint.gradients, [x], adjoint.start)
    ops = pruned(expanded.scalars, expanded.of(adjoint.gradients), 0).scalars.ops
    assert (ops.count("exp"), ops.count("div"), ops.count("where")) == (1, 1, 1)


def test_a_rule_with_too_many_branches_is_refused_and_the_call_differentiated_eagerly(gg, monkeypatch):
    monkeypatch.setattr(importlib.import_module(f"{gg.__name__}.compiler.branches"), "PATHS", 2)
    scalars = Scalars()
    x = scalars.leaf()
    adjoint = differentiate(scalars, [scalars.node("silu", x)], [None], [x])
    monkeypatch.setattr("glassgrad.compiler.branches.PATHS", 2)
    with pytest.raises(TooManyPaths, match="2 branches"):
        expand(scalars, adjoint.gradients, [x], adjoint.start)
    f = gg.compile(lambda x: gg.silu(x) * x)
    assert math.isclose(gg.hessian(f)(0.7), gg.hessian(f.__wrapped__)(0.7), rel_tol=1e-14)
    assert f.derivatives == {}


def test_a_program_that_gets_too_large_is_not_made(gg, monkeypatch):
    monkeypatch.setattr(importlib.import_module(f"{gg.__name__}.compiler.derived"), "NODES", 5)
    f = gg.compile(lambda x, w: (gg.silu(x) * w, x * w))
    for point in ((0.7, 1.0), (-2.0, 0.5)):
        assert gg.jvp(f, point, (1.0, 2.0)) == gg.jvp(f.__wrapped__, point, (1.0, 2.0))
        found, expected = (gg.hessian(lambda x, w, f=f: f(x, w)[0] ** 2)(*point) for f in (f, f.__wrapped__))
        assert math.isclose(found, expected, rel_tol=1e-14)
    assert f.derivatives == {}


# ---- the laws --------------------------------------------------------------------------------------------------------


def derivatives_of_a_sum_of_slopes(gg, f, xs):
    """Leaves with the gradient of Σ seed · slope, and that sum."""
    leaves = [gg.Value(x) for x in xs]
    slopes = gg.gradients(f(leaves), leaves)
    end = sum((1.0 + 0.25 * i) * slope for i, slope in enumerate(slopes))
    if end._prev:
        end.backward()
    return leaves, end


def agree(gg, f, compiled, xs):
    """Second derivatives of a compiled function against the eager ones."""
    expected, end = derivatives_of_a_sum_of_slopes(gg, f, xs)
    found, y = derivatives_of_a_sum_of_slopes(gg, compiled, xs)
    order = gg.graph.in_order([end])
    scales = dict(zip(map(id, order), paths(order, order), strict=True))
    assert abs(y.data - end.data) <= TOLERANCE * sum(scales[id(v)] * abs(v.data) for v in order)
    largest = max([abs(v.data) for v in order] + [1.0])
    for x, leaf in zip(found, expected, strict=True):
        assert abs(x.grad - leaf.grad) <= TOLERANCE * largest * max(scales.get(id(leaf), 0.0), abs(leaf.grad))


def test_second_derivatives_of_random_programs_of_every_operation(gg):
    rng = random.Random("second")
    seen = set()
    for _ in range(250 if gg.COMPILED else 30):
        program = smooth_program(rng, gg.engine.rules)
        if not program.steps:
            continue
        seen |= {name for name, _ in program.steps}

        def f(xs, program=program):
            return evaluate(program, xs, on(gg))[-1]

        compiled = gg.compile(f)
        agree(gg, f, compiled, program.leaves)
        for made in compiled.derivatives.values():
            gg.compiler.program.check(made)
    if gg.COMPILED:
        assert seen == set(NAMES)


@given(tame)
def test_second_derivatives_of_programs_that_hypothesis_draws(gg, program):
    def f(xs):
        return evaluate(program, xs, on(gg))[-1]

    if program.steps and isinstance(f([gg.Value(x) for x in program.leaves]), gg.Value):
        agree(gg, f, gg.compile(f), program.leaves)


def test_the_way_forward_and_the_way_back_agree(gg):
    """⟨u, J v⟩ = ⟨Jᵀ u, v⟩, and J v is the eager one."""
    rng = random.Random("dot product")
    for _ in range(80 if gg.COMPILED else 15):
        program = smooth_program(rng, gg.engine.rules)
        count = len(program.leaves) + len(program.steps)
        wanted = [count - 1, *[rng.randrange(count) for _ in range(rng.randint(1, 3))]]
        xs = list(program.leaves)
        v = [rng.uniform(-1, 1) for _ in xs]
        u = [rng.uniform(-1, 1) for _ in wanted]

        def f(xs, program=program, wanted=wanted):
            scalars = evaluate(program, xs, on(gg))
            return [scalars[i] for i in wanted]

        compiled = gg.compile(f)
        _, forward = gg.jvp(compiled, (xs,), (v,))
        _, expected = gg.jvp(f, (xs,), (v,))
        back = gg.vjp(compiled, xs)[1](u)
        back = back[0] if isinstance(back, tuple) else back
        scale = sum(
            abs(a * d * b) for a, row in zip(u, gg.jacobian(f)(xs), strict=True) for d, b in zip(row, v, strict=True)
        )
        for a, b in zip(forward, expected, strict=True):
            assert close(a, b, 1e-12, 1e-12 * scale)
        found = sum(a * b for a, b in zip(u, forward, strict=True)), sum(a * b for a, b in zip(back, v, strict=True))
        assert abs(found[0] - found[1]) <= 1e-12 * scale


@pytest.mark.parametrize("name", NAMES)
def test_the_hessian_of_every_operation_agrees(gg, name):
    count = 12 if gg.COMPILED else 3
    f = lambda xs: on(gg)(name, xs) * xs[0]  # noqa: E731
    compiled = gg.compile(f)
    for xs in smooth_points(name, gg.engine.rules, count):
        found, expected = gg.hessian(compiled)(list(xs)), gg.hessian(f)(list(xs))
        for a, b in zip(gg.trees.flatten(found)[0], gg.trees.flatten(expected)[0], strict=True):
            assert close(a, b, 1e-12, 1e-13)


def counted(gg, f):
    """A function, compiled, and the list of its runs."""
    runs = []

    @functools.wraps(f)
    def noting(*args):
        runs.append(args)
        return f(*args)

    return gg.compile(noting), runs


# ---- corners ---------------------------------------------------------------------------------------------------------

KINKS = {
    "relu at 0": (lambda gg, x, w: gg.relu(x) * w, (0.0, 2.0)),
    "abs at 0": (lambda gg, x, w: abs(x) * w, (0.0, 2.0)),
    "a tie of maximum": (lambda gg, x, w: gg.maximum(x, w) * x * w, (1.5, 1.5)),
    "a tie of minimum": (lambda gg, x, w: gg.minimum(x * x, w) * w, (1.5, 2.25)),
    "clip at its ends": (lambda gg, x, w: gg.clip(x, -1.0, 1.0) ** 2 * w, (1.0, 2.0)),
    "clip outside": (lambda gg, x, w: gg.clip(x, -1.0, w) ** 2 * w, (3.0, 2.0)),
    "a power with an exponent that varies": (lambda gg, x, w: x**w, (2.0, 3.0)),
    "such a power of 0": (lambda gg, x, w: x**w * w, (0.0, 3.0)),
    "the power 0": (lambda gg, x, w: x**w, (2.0, 0.0)),
    "hypot at 0": (lambda gg, x, w: gg.hypot(x, 0.0 * w) * w, (1.0, 2.0)),
    "leaky_relu at 0": (lambda gg, x, w: gg.leaky_relu(x, w) * w, (0.0, 0.25)),
    "elu far out": (lambda gg, x, w: gg.elu(x, w) * w, (-800.0, 0.25)),
    "tanh far out": (lambda gg, x, w: gg.tanh(x) * w, (400.0, 1.0)),
    "sigmoid far out": (lambda gg, x, w: gg.sigmoid(x) * w, (-800.0, 1.0)),
    "softmax far out": (lambda gg, x, w: gg.softmax([x, w, 1.0])[1] * w, (900.0, -900.0)),
    "logsumexp of equals": (lambda gg, x, w: gg.logsumexp([x, w, x]) * w, (2.0, 2.0)),
    "the same twice": (lambda gg, x, w: gg.maximum(x, x) * gg.hypot(x, x) * gg.prod([x, x, w]), (2.0, 3.0)),
    "a product with zeros": (lambda gg, x, w: gg.prod([x, w, 0.0 * x, w]), (2.0, 3.0)),
    "log(0) that where does not choose": (lambda gg, x, w: gg.where(x > 0, gg.log(x) * w, w * w), (0.0, 3.0)),
    "sqrt(0) that where does not choose": (lambda gg, x, w: gg.where(x > 0, gg.sqrt(x) * w, w * x), (0.0, 3.0)),
    "1 / 0 that where does not choose": (lambda gg, x, w: gg.where(w > 2.0, x * w * w, w / x), (0.0, 3.0)),
}


@pytest.mark.parametrize("corner", KINKS)
def test_second_derivatives_at_a_corner_are_the_eager_ones(gg, corner):
    function, point = KINKS[corner]
    compiled, runs = counted(gg, lambda x, w: function(gg, x, w))

    def eager(x, w):  # eager `where` refuses an infinite operand
        if "where" in corner:
            return {"l": w * w, "s": w * x, "1": x * w * w}[corner[0]]
        return function(gg, x, w)

    found = gg.hessian(compiled, argnums=(0, 1))(*point)
    expected = gg.hessian(eager, argnums=(0, 1))(*point)
    for a, b in zip(gg.trees.flatten(found)[0], gg.trees.flatten(expected)[0], strict=True):
        assert close(a, b, 1e-14, 1e-300)
    moved = gg.grad(lambda x, w: gg.jvp(lambda a, b: (compiled(a, b), a), (x, w), (1.0, 2.0))[1][0], (0, 1))(*point)
    along = gg.grad(lambda x, w: gg.jvp(lambda a, b: (eager(a, b), a), (x, w), (1.0, 2.0))[1][0], (0, 1))(*point)
    for a, b in zip(moved, along, strict=True):
        assert close(a, b, 1e-14, 1e-300)
    assert len(runs) == 1


def test_an_infinite_second_derivative_is_the_error_of_eager_code(gg):
    f = gg.compile(lambda x: x**1.5)
    assert gg.grad(f)(0.0) == 0.0
    for g in (f, f.__wrapped__):
        with pytest.raises(gg.NonFiniteError, match="pow"):
            gg.grad(gg.grad(g))(0.0)
        assert math.isclose(gg.grad(gg.grad(g))(4.0), 0.375)


def test_branches_of_any_rule_are_chosen_as_python_chooses_them():
    def rule(x, w):
        if x != w:
            return 1.0 + x if x < w else 2.0 * x
        return 3.0 if w > 0.0 and not w >= 7.0 else x * w if w <= -1.0 else -1.0

    reading = Reading()
    x, w = reading.scalars.leaf(), reading.scalars.leaf()
    (result,) = reading.under_all(lambda: [rule(Term(x, reading), Term(w, reading))])
    for a in (-2.0, -1.0, 0.0, 1.0, 7.0):
        for b in (-2.0, -1.0, 0.0, 1.0, 7.0):
            assert run(reading.scalars, [a, b])[result] == rule(a, b)


# ---- uses ------------------------------------------------------------------------------------------------------------


def test_derivatives_run_programs_and_never_the_function(gg):
    w = gg.Value(0.5)
    f, runs = counted(gg, lambda xs: gg.logsumexp([(w * x).tanh() for x in xs]) * xs[0])
    g, more = counted(gg, lambda xs: [(xs[0] * x).silu() for x in xs])
    for point in ([0.3, -1.0, 2.0], [1.0, 0.5, 0.0]):
        with gg.no_grad():
            gg.hessian(f)(point)
            gg.hvp(f)(point, [1.0, 2.0, 3.0])
            gg.grad(lambda xs: sum(gg.hvp(f)(xs, [1.0, 0.0, 2.0])))(point)
        gg.jvp(g, (point,), ([1.0, 2.0, 3.0],))
        gg.jacobian(g)(point)
        gg.hessian(lambda xs: sum(y * y for y in g(xs)))(point)
        gg.grad(lambda xs: sum(gg.jvp(g, (xs,), (xs,))[1]))(point)
    assert len(runs) == len(more) == 1
    assert set(f.derivatives) == {"gradient of gradient", "gradient of gradient of gradient"}
    assert {"tangent", "gradient of tangent", "tangent of gradient"} <= set(g.derivatives)


def test_derivatives_by_captured_parameters_and_arguments(gg):
    w = gg.Value(0.5)

    def f(x):
        return (w * x).sin() * w

    compiled = gg.compile(f)
    x = gg.Value(1.5)
    found = []
    for g in (f, compiled):
        (by_w, by_x) = gg.gradients(g(x), [w, x])
        mixed = gg.gradients(by_w, x)
        third = gg.gradients(mixed, w)
        (by_w * by_x + mixed + third).backward()
        found.append((by_w.data, by_x.data, mixed.data, third.data, w.grad, x.grad))
        w.grad = x.grad = 0.0
    for a, b in zip(*found, strict=True):
        assert math.isclose(a, b, rel_tol=1e-13)


def test_third_and_fourth_derivatives(gg):
    def f(x):
        return (x * x.tanh()).exp() + x.sigmoid() * x

    compiled = gg.compile(f)
    for x in (0.3, -1.2):
        one, other = f, compiled
        for _ in range(4):
            one, other = gg.grad(one), gg.grad(other)
            assert math.isclose(one(x), other(x), rel_tol=1e-11)


def mlp_loss(gg, points, targets):
    """The loss of a 2-4-1 network of its 17 parameters."""

    def score(p, x):
        hidden = [(gg.dot(p[3 * i : 3 * i + 2], x) + p[3 * i + 2]).tanh() for i in range(4)]
        return gg.dot(p[12:16], hidden) + p[16]

    def loss(p):
        return sum((score(p, x) - t) ** 2 for x, t in zip(points, targets, strict=True)) / len(points)

    return loss


def test_products_of_the_hessian_of_a_small_network(gg):
    rng = random.Random(3)
    points = [[rng.gauss(0, 1), rng.gauss(0, 1)] for _ in range(10)]
    loss = mlp_loss(gg, points, [math.sin(a) * b for a, b in points])
    compiled = gg.compile(loss)
    for _ in range(3):
        p, v = [rng.gauss(0, 0.5) for _ in range(17)], [rng.gauss(0, 1) for _ in range(17)]
        expected, found = gg.hvp(loss)(p, v), gg.hvp(compiled)(p, v)
        assert max(abs(a - b) for a, b in zip(expected, found, strict=True)) <= 1e-13 * max(map(abs, expected))
    assert list(compiled.derivatives) == ["gradient of gradient"]
    assert len(compiled.derivatives["gradient of gradient"].instructions) <= 100


def test_a_fit_by_newtons_method(gg):
    rng = random.Random(4)
    rows = [[1.0, rng.gauss(0, 1), rng.gauss(0, 1)] for _ in range(40)]
    signs = [1.0 if row[1] - 0.5 * row[2] + rng.gauss(0, 1) > 0 else -1.0 for row in rows]

    def loss(p):
        fits = sum(gg.softplus(-t * gg.dot(p, row)) for row, t in zip(rows, signs, strict=True))
        return fits / len(rows) + 0.01 * sum(x * x for x in p)

    ends = []
    for f in (loss, gg.compile(loss)):
        p = [0.0, 0.0, 0.0]
        for _ in range(6):
            slopes, curvatures = gg.grad(f)(p), gg.hessian(f)(p)
            p = [float(x) for x in np.array(p) - np.linalg.solve(curvatures, slopes)]
        assert max(map(abs, gg.grad(f)(p))) < 1e-14
        ends.append(p)
    assert max(abs(a - b) for a, b in zip(*ends, strict=True)) < 1e-13


def test_a_copied_graph_has_derivatives_by_its_own_values(gg):
    for several in (False, True):
        x, w = gg.Value(0.5), gg.Value(2.0)
        f = gg.compile(lambda x, w, several=several: [(x * w).tanh() * x, w] if several else (x * w).tanh() * x)
        y = f(x, w)[0] if several else f(x, w)
        z, (a, b) = copy.deepcopy([y * y, (x, w)])
        expected = gg.gradients(gg.gradients(y * y, x), w).data
        assert gg.gradients(gg.gradients(z, a), b).data == expected
        assert gg.gradients(gg.gradients(z, x), w).data == 0.0
        slope = gg.gradients(z, a)
        again, (c, d) = copy.deepcopy([slope, (a, b)])
        assert gg.gradients(again, d).data == expected
        assert c is not a


def test_second_derivatives_after_recomputing(gg):
    x = gg.Value(0.5)
    f = gg.compile(lambda x: x**3 * gg.sigmoid(x))
    y = f(x)
    gg.gradients(gg.gradients(y, x), x)
    x.data = 1.5
    y.recompute()
    assert math.isclose(gg.gradients(gg.gradients(y, x), x).data, gg.hessian(f.__wrapped__)(1.5), rel_tol=1e-14)


def test_one_value_for_two_arguments(gg):
    for several in (False, True):
        f = gg.compile(lambda a, b, several=several: [a * b * b, a] if several else a * b * b)
        x = gg.Value(2.0)
        y = f(x, x)[0] if several else f(x, x)
        assert gg.gradients(gg.gradients(y, x), x).data == 12.0
        assert gg.grad(gg.grad(lambda x, f=f, several=several: f(x, x)[0] if several else f(x, x)))(2.0) == 12.0


def test_inside_checkpoints_and_custom_gradients(gg):
    f = gg.compile(lambda x: x * x.tanh())

    @gg.checkpoint
    def step(x):
        return f(x) + 0.1 * x

    @gg.custom_gradient
    def doubled(x):
        return f(x), lambda g: 2.0 * g * f(x)

    for g, slope in ((step, lambda x: x * x.tanh() + 0.1 * x), (doubled, None)):
        expected = gg.hessian(slope)(0.7) if slope else 2.0 * gg.grad(f.__wrapped__)(0.7)
        assert math.isclose(gg.grad(gg.grad(g))(0.7), expected, rel_tol=1e-13)


def test_taylor_series_of_a_compiled_function(gg):
    f = gg.compile(lambda x: x.exp() * x.sin())
    found, expected = gg.taylor(f, 0.3, 4), gg.taylor(f.__wrapped__, 0.3, 4)
    for a, b in zip(found, expected, strict=True):
        assert math.isclose(a, b, rel_tol=1e-12)


def test_without_gradients_derivatives_are_constants(gg):
    w = gg.Value(3.0)
    f = gg.compile(lambda x: (w * x).sin())
    with gg.no_grad():
        found = gg.grad(gg.grad(f))(0.5)
    assert math.isclose(found, -9.0 * math.sin(1.5), rel_tol=1e-14)


def test_threads_may_ask_for_the_same_derivative(gg):
    f = gg.compile(lambda xs: gg.logsumexp([x * x for x in xs]))
    points = [[0.1 * i, 0.5, -0.2 * i] for i in range(8)]
    found = in_threads(8, lambda i: [gg.hessian(f)(points[i]) for _ in range(5)])
    for point, matrices in zip(points, found, strict=True):
        expected = gg.hessian(f.__wrapped__)(point)
        for matrix in matrices:
            for a, b in zip(gg.trees.flatten(matrix)[0], gg.trees.flatten(expected)[0], strict=True):
                assert close(a, b, 1e-13, 1e-15)
    assert list(f.derivatives) == ["gradient of gradient"]


# ---- rolled batches --------------------------------------------------------------------------------------------------


def test_second_derivatives_of_a_loss_over_a_rolled_batch(gg):
    rng = random.Random(6)
    w = [gg.Value(rng.gauss(0, 1)) for _ in range(3)]

    def one(row, target):
        return ((gg.dot(w, row)).tanh() - target) ** 2 * row[0]

    def loss(rows, targets):
        return gg.mean(gg.vmap(one)(rows, targets)) + gg.sum([x * x * x for x in w])

    compiled, runs = counted(gg, loss)
    for size in (4, 7):
        rows = [[gg.Value(rng.gauss(0, 1)) for _ in range(3)] for _ in range(size)]
        targets = [rng.gauss(0, 1) for _ in range(size)]
        inputs = [*w, *[x for row in rows for x in row]]
        found = []
        for f in (loss, compiled):
            slopes = gg.gradients(f(rows, targets), inputs)
            second = gg.gradients(sum((1.0 + 0.1 * i) * x for i, x in enumerate(slopes)), inputs)
            third = gg.gradients(sum((1.0 - 0.2 * i) * x for i, x in enumerate(second)), inputs)
            found.append([x.data for x in (*slopes, *second, *third)])
        for a, b in zip(*found, strict=True):
            assert close(a, b, 1e-11, 1e-13)
    assert len(compiled.programs) == 1
    assert len(runs) <= 3  # to find out which arguments can be rolled
    assert any(block.rolled for block in compiled.derivatives["gradient of gradient"].blocks)


def test_velocities_and_second_derivatives_of_rolled_results(gg):
    rng = random.Random(7)

    def f(rows, c):
        each = gg.vmap(lambda row: [(row[0] * c).sin() * row[1], row[0]])(rows)
        return each, c * c, gg.vmap(lambda row: row[1] * row[1] * c)(rows)

    def flat(tree):
        return gg.trees.flatten(tree)[0]

    def squares(g):
        return lambda rows, c: sum((1.0 + 0.3 * i) * y * y for i, y in enumerate(flat(g(rows, c))))

    def moving(g, v):
        return lambda rows, c: squares(lambda rows, c: gg.jvp(g, (rows, c), (v, c)))(rows, c)

    compiled = gg.compile(f)
    for size in (2, 5):
        rows = [[rng.gauss(0, 1), rng.gauss(0, 1)] for _ in range(size)]
        v = [[rng.gauss(0, 1), rng.gauss(0, 1)] for _ in range(size)]
        expected, found = (
            [
                *flat(gg.jvp(g, (rows, 0.7), (v, 0.3))),
                *flat(gg.hessian(squares(g), (0, 1))(rows, 0.7)),
                *flat(gg.grad(moving(g, v), (0, 1))(rows, 0.7)),
            ]
            for g in (f, compiled)
        )
        for a, b in zip(found, expected, strict=True):
            assert close(a, b, 1e-12, 1e-13)
    assert len(compiled.programs) == 1


def test_second_derivatives_in_single_precision(gg):
    f = lambda xs: gg.logsumexp([x.tanh() * x for x in xs])  # noqa: E731
    compiled = gg.compile(f, dtype="float32")
    found, expected = gg.hessian(compiled)([0.3, -1.0, 2.0]), gg.hessian(f)([0.3, -1.0, 2.0])
    for a, b in zip(gg.trees.flatten(found)[0], gg.trees.flatten(expected)[0], strict=True):
        assert close(a, b, 1e-5, 1e-6)
    assert list(compiled.derivatives) == ["gradient of gradient"]


# ---- transforms inside of a compiled function ------------------------------------------------------------------------


def test_transforms_inside_of_a_compiled_function_agree(gg):
    rng = random.Random("inside")
    for _ in range(100 if gg.COMPILED else 15):
        program = smooth_program(rng, gg.engine.rules, 6)
        if not program.steps:
            continue
        n = len(program.leaves)
        v = [rng.uniform(-1, 1) for _ in range(n)]

        def f(xs, program=program):
            return evaluate(program, xs, on(gg))[-1]

        def derivatives(xs, f=f, v=v):
            value, slopes = gg.value_and_grad(f)(xs)
            results, moved = gg.jvp(lambda xs: [f(xs), xs[0] * f(xs)], (xs,), (v,))
            return [value, *slopes, *results, *moved, *gg.hvp(f)(xs, v)]

        compiled = gg.compile(derivatives)
        found, expected = compiled(list(program.leaves)), derivatives(list(program.leaves))
        scale = max([1.0, *map(abs, expected)])
        for a, b in zip(found, expected, strict=True):
            assert close(gg.engine.plain(a), b, 1e-11, 1e-12 * scale)
        gg.compiler.program.check(compiled.program)


def test_no_branch_of_a_rule_is_frozen_by_a_transform_inside(gg):
    rules_that_branch = {
        "relu": lambda x, w: gg.relu(x) * w,
        "abs": lambda x, w: abs(x) * w,
        "tanh": lambda x, w: (3.0 * x).tanh() * w,
        "sigmoid": lambda x, w: gg.sigmoid(x) * w,
        "silu": lambda x, w: gg.silu(2.0 * x) * w,
        "maximum": lambda x, w: gg.maximum(x, w) * x,
        "clip": lambda x, w: gg.clip(x, -0.5, 0.5) * w,
        "where": lambda x, w: gg.where(x > w, x * x, w * x),
        "pow": lambda x, w: (x * x + 1.0) ** w,
        "hypot": lambda x, w: gg.hypot(x, w) * x,
        "logsumexp": lambda x, w: gg.logsumexp([x, w, x * w]),
        "softmax": lambda x, w: gg.softmax([x, w, x * w])[1],
    }
    for f in rules_that_branch.values():
        compiled = gg.compile(lambda x, w, f=f: gg.grad(f, (0, 1))(x, w))
        for x, w in ((2.0, 0.5), (-2.0, 0.5), (0.2, 0.7), (-0.3, -0.4), (0.0, 1.0), (-1.5, -2.5), (1.0, 1.0)):
            for a, b in zip(compiled(x, w), gg.grad(f, (0, 1))(x, w), strict=True):
                assert close(gg.engine.plain(a), b, 1e-13, 1e-14)
        assert len(compiled.programs) == 1


def test_learning_by_a_step_of_gradient_descent_inside(gg):
    """As meta-learning does: a loss after a step on another loss, by the parameters before."""
    w = [gg.Value(0.5), gg.Value(-0.3)]

    def loss(p, rows):
        return gg.mean([(gg.dot(p, row[:2]).tanh() - row[2]) ** 2 for row in rows])

    def after(rows, others):
        slopes = gg.grad(loss)(w, rows)
        return loss([p - 0.1 * g for p, g in zip(w, slopes, strict=True)], others)

    rows, others = [[1.0, 2.0, 0.5], [0.3, -1.0, 0.2]], [[-1.0, 0.5, 0.1]]
    expected = after(rows, others)
    expected.backward()
    grads = [p.grad for p in w]
    for p in w:
        p.grad = 0.0
    compiled = gg.compile(after)
    y = compiled(rows, others)
    y.backward()
    assert math.isclose(y.data, expected.data, rel_tol=1e-14)
    for p, g in zip(w, grads, strict=True):
        assert math.isclose(p.grad, g, rel_tol=1e-12)
    second = gg.gradients(gg.gradients(compiled(rows, others), w[0]), w[1]).data
    assert math.isclose(second, gg.gradients(gg.gradients(after(rows, others), w[0]), w[1]).data, rel_tol=1e-11)


def test_hessians_and_jacobians_inside(gg):
    def f(xs):
        return (xs[0] * xs[1]).sin() * xs[1]

    def g(xs):
        return [xs[0] * xs[1], xs[1].exp(), xs[0]]

    for inside in (
        gg.hessian(f),
        gg.jacobian(g),
        gg.jacobian(g, mode="reverse"),
        gg.grad(lambda xs: gg.grad(f)(xs)[0] * xs[1]),
        lambda xs: gg.vjp(g, xs)[1]([1.0, xs[0], 2.0])[0],
    ):
        compiled = gg.compile(inside)
        for point in ([0.5, 1.5], [-1.0, 0.3]):
            found, expected = (gg.trees.flatten(h(point))[0] for h in (compiled, inside))
            for a, b in zip(found, expected, strict=True):
                assert close(gg.engine.plain(a), b, 1e-13, 1e-15)
        assert len(compiled.programs) == 1


def test_a_transform_of_a_rolled_batch_inside_of_a_compiled_function(gg):
    w = gg.Value(0.7)

    def slope(row):
        return gg.grad(lambda x: (w * x).tanh() * row[1])(row[0])

    f = gg.compile(lambda rows: gg.sum(gg.vmap(slope)(rows)))
    for rows in ([[0.5, 1.0], [2.0, -1.0]], [[-1.5, 2.0], [0.1, 0.3], [1.0, 1.0]]):
        expected = sum(gg.engine.plain(slope(row)) for row in rows)
        assert math.isclose(f(rows).data, expected, rel_tol=1e-13)
    assert len(f.programs) == 1


def test_what_a_transform_inside_cannot_do_is_refused(gg):
    def over_a_batch(rows, c):
        return gg.grad(lambda c: gg.sum(gg.vmap(lambda row: row[0] * c)(rows)))(c)

    with pytest.raises(gg.CompileError, match=r"outside"):
        gg.compile(over_a_batch)([[1.0], [2.0]], 3.0)
    with pytest.raises(gg.CompileError, match="truth value"):
        gg.compile(gg.grad(lambda x: x * x if x > 0 else x))(1.0)
