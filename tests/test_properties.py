"""Laws that hold for every program: one result in both builds, gradients that are derivatives, sweeps that add up.

Programs are drawn by `strategies`. The reference for gradients is a central difference in mpmath, with 60 digits and
steps of 1e-20, so that it is good to more digits than a double has.
"""

from __future__ import annotations

import copy
import math
import pickle
import random
import struct

import mpmath
import pytest
import strategies
from conftest import load_interpreted
from hypothesis import assume, given
from hypothesis import strategies as st
from strategies import evaluate, in_mpmath, on, paths, sane, tame, wild

import glassgrad


def bits(x):
    """A float exactly, with one nan."""
    return "nan" if math.isnan(x) else struct.pack("<d", x).hex()


def build(gg, program):
    """The leaves and all scalars of a program as Values of one build; labels tell the leaves apart in errors."""
    leaves = [gg.Value(x, f"x{i}") for i, x in enumerate(program.leaves)]
    return leaves, evaluate(program, leaves, on(gg))


def root_of(gg, scalars):
    """One node over everything, so that all of a program is differentiated."""
    return gg.sum(scalars)


def outcome(gg, program):
    """What a program gives in one build: every value and gradient bit for bit, or the error."""
    leaves, scalars = [gg.Value(x, f"x{i}") for i, x in enumerate(program.leaves)], []
    try:
        scalars = evaluate(program, leaves, on(gg))
        root = root_of(gg, scalars)
        root.backward()
    except gg.GlassgradError as error:
        return type(error).__name__, str(error), [bits(x.grad) for x in leaves]
    partials = [None if v._partials is None else [p if p is None else bits(p) for p in v._partials] for v in scalars]
    return [(bits(v.data), bits(v.grad), v._op, v._rule) for v in [*scalars, root]], partials


needs_both = pytest.mark.skipif(not glassgrad.COMPILED, reason="there is one build only")


@needs_both
@given(wild)
def test_both_builds_give_the_same_bits_or_the_same_error(program):
    assert outcome(glassgrad, program) == outcome(load_interpreted(), program)


@needs_both
@given(sane)
def test_both_builds_give_the_same_bits_for_ordinary_numbers(program):
    assert outcome(glassgrad, program) == outcome(load_interpreted(), program)


@needs_both
@given(wild)
def test_both_builds_give_the_same_ieee_results(program):
    found = []
    for gg in (glassgrad, load_interpreted()):
        with gg.allow_nonfinite():
            found.append(outcome(gg, program))
    assert found[0] == found[1]


def test_the_strategies_know_every_operation(gg):
    assert {*strategies.NAMES, *strategies.INTERNAL} == set(gg.engine.rules.RULES)


# ---- gradients are derivatives -------------------------------------------------------------------------------------


@given(program=tame)
def test_gradients_agree_with_central_differences(gg, program):
    leaves, scalars = build(gg, program)
    assume(all(abs(v.data) < 50 for v in scalars))
    root = root_of(gg, scalars)
    root.backward()
    scale = paths(leaves, gg.engine.sweep.walk([root]))
    assume(max(scale) < 1e6)
    with mpmath.workdps(60):
        h = mpmath.mpf(10) ** -20

        def value(moved, step):
            points = [mpmath.mpf(x) + (step if i == moved else 0) for i, x in enumerate(program.leaves)]
            return mpmath.fsum(evaluate(program, points, in_mpmath))

        assert root.data == pytest.approx(float(value(None, 0)), rel=1e-10, abs=1e-10)
        for i, x in enumerate(leaves):
            derivative = float((value(i, h) - value(i, -h)) / (2 * h))
            assert x.grad == pytest.approx(derivative, rel=1e-10, abs=1e-10 * (1 + scale[i])), f"x{i}"


# ---- laws of the sweep ---------------------------------------------------------------------------------------------


def differentiated(gg, program):
    """A program that runs in strict mode, swept once; others are not looked at."""
    try:
        leaves, scalars = build(gg, program)
        root = root_of(gg, scalars)
        root.backward()
    except gg.GlassgradError:
        assume(False)
    return leaves, scalars, root


@given(program=sane)
def test_leaves_add_up_and_the_rest_starts_anew(gg, program):
    leaves, scalars, root = differentiated(gg, program)
    once = [x.grad for x in leaves]
    inside = [v.grad for v in scalars[len(leaves) :]]
    scale = paths(leaves, gg.engine.sweep.walk([root]))
    assume(max(scale) < 1e300)
    root.backward()
    # the same contributions in the same order, but added to the first sum: equal to it but for rounding
    for x, grad, size in zip(leaves, once, scale, strict=True):
        assert x.grad == pytest.approx(2 * grad, rel=1e-13, abs=1e-13 * size, nan_ok=True)  # (-1)**w by w is nan
    assert [bits(v.grad) for v in scalars[len(leaves) :]] == [bits(g) for g in inside]


@given(program=sane)
def test_a_power_of_two_as_seed_scales_exactly(gg, program):
    leaves, scalars, root = differentiated(gg, program)
    grads = [x.grad for x in [*leaves, *scalars]]
    assume(all(1e-250 < abs(g) < 1e250 or g == 0 for v in scalars for g in [v.grad, *filter(None, v._partials)]))
    for x in leaves:
        x.grad = 0
    root.backward(4.0)
    assert [bits(x.grad) for x in [*leaves, *scalars]] == [bits(4.0 * g) for g in grads]


@given(program=sane)
def test_copies_give_the_same_bits(gg, program):
    leaves, _, root = differentiated(gg, program)
    grads = [bits(x.grad) for x in leaves]
    for duplicate in (copy.deepcopy, lambda x: pickle.loads(pickle.dumps(x))):
        twins, top = duplicate((leaves, root))
        for x in twins:
            x.grad = 0
        top.backward()
        assert [bits(x.grad) for x in twins] == grads
    assert [bits(x.grad) for x in leaves] == grads


@given(program=sane)
def test_values_need_no_graph(gg, program):
    """no_grad(), constants, detached leaves and plain numbers all compute the same bits."""
    leaves, scalars, _ = differentiated(gg, program)
    data = [bits(v.data) for v in scalars]
    with gg.no_grad():
        assert [bits(v.data) for v in evaluate(program, leaves, on(gg))] == data
    constants = [gg.Value(x, requires_grad=False) for x in program.leaves]
    assert [bits(v.data) for v in evaluate(program, constants, on(gg))] == data
    assert [bits(v.data) for v in evaluate(program, [x.detach() for x in leaves], on(gg))] == data
    functions = evaluate(program, [gg.Value(x).data for x in program.leaves], plain(gg))
    assert [bits(x) for x in functions] == data


def plain(gg):
    """`on(gg)` for plain numbers: operators go through a constant, since Python's own raise other errors."""
    apply = on(gg)

    def one(name, operands):
        if name in strategies.OPERATORS:
            operands = [gg.Value(operands[0], requires_grad=False), *operands[1:]]
            return apply(name, operands).data
        return apply(name, operands)

    return one


@given(program=wild)
def test_nothing_that_fails_leaves_a_trace(gg, program):
    leaves = [gg.Value(x, f"x{i}") for i, x in enumerate(program.leaves)]
    for x in leaves[1:]:
        x.grad = 2.5
    before = [(bits(x.grad), x._has_grad) for x in leaves]
    try:
        root = root_of(gg, evaluate(program, leaves, on(gg)))
        root.backward()
    except gg.GlassgradError:
        assert [(bits(x.grad), x._has_grad) for x in leaves] == before
    else:
        assert all(math.isfinite(x.grad) for x in leaves) or undefined_power(program), "nan or inf without a word"
    y = gg.Value(1.0) + 1  # and the thread's modes are what they were
    assert y.requires_grad
    with pytest.raises(gg.NonFiniteError):
        gg.Value(0.0).log()


def undefined_power(program):
    """Whether the program has a power, whose derivative by the exponent may be nan where it is asked for."""
    return any(name == "pow" for name, _ in program.steps)


# ---- n-ary operations and what they stand for ----------------------------------------------------------------------

numbers = st.lists(st.floats(-30, 30), min_size=1, max_size=12)


@given(xs=numbers, seed=st.integers(0, 99))
def test_nary_nodes_equal_what_they_stand_for(gg, xs, seed):
    generator = random.Random(seed)
    ws = [generator.uniform(-2, 2) for _ in xs]
    pairs = {
        "sum": (gg.sum, lambda v: sum(v)),
        "mean": (gg.mean, lambda v: sum(v) / len(v)),
        "prod": (gg.prod, lambda v: math.prod(v)),
        "dot": (lambda v: gg.dot(v, ws), lambda v: sum(x * w for x, w in zip(v, ws, strict=True))),
        "logsumexp": (gg.logsumexp, lambda v: sum(x.exp() for x in v).log()),
        "softmax": (lambda v: gg.softmax(v)[0], lambda v: v[0].exp() / sum(x.exp() for x in v)),
    }
    for name, (nary, binary) in pairs.items():
        results = []
        for function in (nary, binary):
            values = [gg.Value(x) for x in xs]
            y = function(values)
            y.backward()
            results.append((y.data, [v.grad for v in values]))
        (a, da), (b, db) = results
        size = max(1.0, abs(b), sum(map(abs, xs)), math.prod(max(abs(x), 1.0) for x in xs) if name == "prod" else 0.0)
        assert a == pytest.approx(b, rel=1e-12, abs=1e-13 * size), name
        assert da == pytest.approx(db, rel=1e-11, abs=1e-13 * size), name
