"""Derivatives of compiled functions, to any order: as the eager ones, by programs, without running the function again."""

from __future__ import annotations

import copy
import math
import random

import pytest
from hypothesis import given
from strategies import NAMES, NARY, SIZES, evaluate, on, paths, smooth_points, smooth_program, tame

from glassgrad import rules
from glassgrad.compiler import derived
from glassgrad.compiler.differentiate import differentiate
from glassgrad.compiler.evaluate import scalar_rule
from glassgrad.compiler.expand import TooManyPaths, expand, released
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
    program = released(expanded, expanded.of(adjoint.gradients))
    program.scalars.check()
    assert not any("'" in op for op in program.scalars.ops)
    gradients = program.of(expanded.of(adjoint.gradients))
    rng = random.Random(name)
    compared = 0
    for _ in range(60):
        point = [rng.choice(CORNERS) if rng.random() < 0.4 else rng.uniform(-3, 3) for _ in range(size)]
        by_rule, by_nodes = run(scalars, point), run(program.scalars, point + [0.0] * len(expanded.held))
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
    assert released(expanded, expanded.of(adjoint.gradients)).scalars.ops.count("where") == 3


def test_branches_that_differ_in_one_place_are_joined_there():
    scalars = Scalars()
    x = scalars.leaf()
    adjoint = differentiate(scalars, [scalars.node("sigmoid", x)], [None], [x])
    expanded = expand(scalars, adjoint.gradients, [x], adjoint.start)
    ops = released(expanded, expanded.of(adjoint.gradients)).scalars.ops
    assert (ops.count("exp"), ops.count("div"), ops.count("where")) == (1, 1, 1)


def test_a_rule_with_too_many_branches_is_refused_and_the_call_differentiated_eagerly(gg, monkeypatch):
    monkeypatch.setattr(gg.compiler.expand, "PATHS", 2)
    scalars = Scalars()
    x = scalars.leaf()
    adjoint = differentiate(scalars, [scalars.node("silu", x)], [None], [x])
    monkeypatch.setattr("glassgrad.compiler.expand.PATHS", 2)
    with pytest.raises(TooManyPaths, match="2 branches"):
        expand(scalars, adjoint.gradients, [x], adjoint.start)
    f = gg.compile(lambda x: gg.silu(x) * x)
    assert math.isclose(gg.hessian(f)(0.7), gg.hessian(f.__wrapped__)(0.7), rel_tol=1e-14)
    assert f.derivatives == {}


def test_a_program_that_gets_too_large_is_not_made(gg, monkeypatch):
    monkeypatch.setattr(gg.compiler.derived, "NODES", 5)
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
        scale = sum(abs(a * d * b) for a, row in zip(u, gg.jacobian(f)(xs), strict=True) for d, b in zip(row, v, strict=True))
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
