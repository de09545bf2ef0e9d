"""Running a recorded graph again on new numbers: `Value.recompute`."""

from __future__ import annotations

import copy
import math
import random
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st
from strategies import NAMES, evaluate, on, sane, smooth_program, wild, wild_number


def bits(x):
    """A float as its bytes: -0.0 is not 0.0, and every nan is the same."""
    return "nan" if x != x else struct.pack("d", x)


def state(gg, root):
    """Everything that a sweep and a picture see of a graph, bit for bit."""
    graph = gg.Graph.of(root)
    partials = [[p if p is None else bits(p) for p in row] for row in graph.partials]
    return list(zip(graph.ops, graph.operands, map(bits, graph.values), partials, strict=True))


def built(gg, program, numbers):
    """The last result of a program on these leaves; all of its Values too."""
    leaves = [gg.Value(x) for x in numbers]
    return leaves, evaluate(program, leaves, on(gg))


def grads_of(gg, root, leaves):
    """The leaves' gradients after a sweep, or the error that it raises."""
    for leaf in leaves:
        leaf.grad = 0.0
    try:
        root.backward()
    except gg.NonFiniteError as error:
        return str(error)
    return [bits(leaf.grad) for leaf in leaves]


def assert_same_as_afresh(gg, program, before, after, look):
    leaves, scalars = built(gg, program, before)
    root = scalars[-1]
    if look:
        state(gg, root)  # makes Values of the plain numbers among the operands
    for leaf, x in zip(leaves, after, strict=True):
        leaf.data = x
    assert root.recompute() is root
    fresh_leaves, fresh = built(gg, program, after)
    assert grads_of(gg, root, leaves) == grads_of(gg, fresh[-1], fresh_leaves)
    assert state(gg, root) == state(gg, fresh[-1])


def errors_of_building(gg, program, numbers):
    """The errors of its operations; which comes first depends on the order of the program."""
    found = set()

    def apply(name, operands):
        try:
            return on(gg)(name, operands)
        except gg.NonFiniteError as error:
            found.add(str(error))
            return gg.Value(math.nan)

    evaluate(program, [gg.Value(x) for x in numbers], apply)
    return found


# ---- the same as building the program afresh -----------------------------------------------------------------------


@given(program=wild, seed=st.integers(0, 2**32), look=st.booleans())
def test_any_program_on_any_numbers_is_bit_for_bit_the_one_built_afresh(gg, program, seed, look):
    rng = random.Random(seed)
    with gg.allow_nonfinite():
        assert_same_as_afresh(gg, program, program.leaves, [wild_number(rng) for _ in program.leaves], look)


@given(program=sane, seed=st.integers(0, 2**32))
def test_an_undefined_result_is_the_error_of_building_afresh_and_changes_nothing(gg, program, seed):
    rng = random.Random(seed)
    after = [rng.uniform(-4, 4) for _ in program.leaves]
    with gg.allow_nonfinite():
        leaves, scalars = built(gg, program, program.leaves)
    root = scalars[-1]
    before = state(gg, root)
    own = [leaf.data for leaf in leaves]
    for leaf, x in zip(leaves, after, strict=True):
        leaf.data = x
    failed = None
    try:
        root.recompute()
    except gg.NonFiniteError as error:
        failed = str(error)
    if failed is not None:
        assert failed in errors_of_building(gg, program, after)
        for leaf, x in zip(leaves, own, strict=True):
            leaf.data = x
        assert state(gg, root) == before
    else:
        with gg.allow_nonfinite():  # something that the root does not depend on may be undefined
            assert state(gg, root) == state(gg, built(gg, program, after)[1][-1])


def test_every_operation_runs_again(gg):
    rng = random.Random(5)
    seen = set()
    for _ in range(400):
        program = smooth_program(rng, gg.engine.rules)
        after = [rng.uniform(-2, 2) for _ in program.leaves]
        with gg.allow_nonfinite():
            assert_same_as_afresh(gg, program, program.leaves, after, look=rng.random() < 0.5)
            root = built(gg, program, after)[1][-1]
        seen |= {v._rule for v in gg.engine.sweep.walk([root])}
    assert seen >= set(NAMES)


def test_derivatives_that_are_values_run_again_too(gg):
    x = gg.Value(0.5)
    (slope,) = gg.gradients(x.gelu() * x.exp(), [x])
    x.data = -1.25
    again = gg.Value(-1.25)
    (afresh,) = gg.gradients(again.gelu() * again.exp(), [again])
    assert slope.recompute().data == pytest.approx(afresh.data, rel=1e-15)
    assert any(v._rule == "gelu_slope" for v in gg.engine.sweep.walk([slope]))


# ---- what changes and what does not --------------------------------------------------------------------------------


def test_the_next_backward_is_that_of_the_new_numbers(gg):
    a, b = gg.Value(2.0, "a"), gg.Value(-3.0, "b")
    c = a * b
    loss = (c + 10.0) * -2.0
    loss.backward()
    b.data = 5.0
    assert loss.recompute().data == -40.0
    assert (a.grad, b.grad) == (6.0, -4.0), "leaves keep theirs, as after a step of an optimizer"
    assert (c._has_grad, loss._has_grad) == (False, False)
    a.grad = b.grad = 0.0
    loss.backward()
    assert (a.grad, b.grad, c.grad) == (-10.0, -4.0, -2.0)


def test_the_recorded_branch_stays_and_numbers_taken_out_stay(gg):
    x = gg.Value(2.0)
    y = x * 3.0 if x > 0 else -x
    z = y * x.data
    x.data = -1.0
    assert z.recompute().data == -6.0


def test_constants_and_what_was_computed_without_recording_stay(gg):
    x, k = gg.Value(2.0), gg.Value(3.0, requires_grad=False)
    constant = k * 2.0
    with gg.no_grad():
        outside = x * 10.0
    y = x * constant + outside + k
    x.data, k.data = 1.0, 4.0
    assert y.recompute().data == 6.0 + 20.0 + 4.0


def test_only_what_lies_below_changes(gg):
    x = gg.Value(2.0)
    h = x * x
    y = h + 1.0
    above = y * 10.0
    x.data = 3.0
    y.recompute()
    assert (h.data, y.data, above.data) == (9.0, 10.0, 50.0)


def test_a_leaf_is_itself(gg):
    x = gg.Value(2.0)
    x.backward()
    x.data = 3.0
    assert x.recompute() is x
    assert (x.data, x.grad) == (3.0, 1.0)


def test_copies_keep_their_numbers(gg):
    xs = [gg.Value(1.0), gg.Value(2.0)]
    y = gg.dot(xs, xs) + gg.where(xs[0], xs[1], 2.0)
    twin, shallow = copy.deepcopy(y), copy.copy(y._prev[0])
    before = state(gg, twin)
    xs[0].data = 7.0
    y.recompute()
    assert state(gg, twin) == before
    assert (shallow.data, shallow._partials) == (5.0, (1.0, 2.0, 1.0, 2.0))
    assert y.data == 49.0 + 4.0 + 2.0


# ---- all or nothing ------------------------------------------------------------------------------------------------


def test_an_undefined_result_names_operation_operands_and_scope(gg):
    x = gg.Value(2.0, "x")
    with gg.scope("model"):
        y = (x - 1.0).log() + x
    y.backward()
    before = state(gg, y), x.grad, y.grad
    x.data = 1.0
    with pytest.raises(gg.NonFiniteError, match=r"^log\(0\.0\) in scope model is -inf; change the operands"):
        y.recompute()
    x.data = 2.0
    assert (state(gg, y), x.grad, y.grad) == before
    x.data = 1.0
    with gg.allow_nonfinite():
        assert y.recompute().data == -math.inf


def test_operations_without_a_rule_are_refused_before_anything_changes(gg):
    x = gg.Value(2.0, "x")
    h = x * x

    @gg.custom_gradient
    def clipped(v):
        return v, lambda g: g

    @gg.checkpoint
    def twice(v):
        return 2.0 * v, 3.0 * v

    by_hand = gg.Value(4.0, (h,), "mine")
    by_hand._backward = lambda: None
    x.data = 3.0
    for y, words in [
        (by_hand, r"cannot recompute 4\.0, an operation 'mine' written by hand"),
        (clipped(h) + h, r"cannot recompute a result of \S*clipped"),
        (twice(h)[1] + h, r"cannot recompute a result of \S*twice"),
    ]:
        with pytest.raises(gg.GraphError, match=words):
            y.recompute()
        assert h.data == 4.0


def test_a_primitive_runs_again_by_its_own_rule(gg):
    calls = []

    @gg.primitive
    def root_times(x, w):
        calls.append((x, w))
        return math.sqrt(x) * w

    root_times.derivative("x")(lambda x, w, y: 0.5 * y / x)
    x, w = gg.Value(4.0, "x"), gg.Value(3.0, requires_grad=False)
    y = root_times(x, w) + 1.0
    x.data = 9.0
    y.recompute().backward()
    assert (y.data, x.grad, calls) == (10.0, 0.5, [(4.0, 3.0), (9.0, 3.0)])
    assert y._prev[0]._partials == (0.5, None), "nobody wants the derivative by w"
    before = state(gg, y)
    x.data = -1.0
    with pytest.raises(gg.NonFiniteError, match=r"root_times\(-1\.0, 3\.0\) is undefined"):
        y.recompute()
    x.data = 9.0
    assert state(gg, y) == before


def test_an_error_of_a_primitives_author_changes_nothing(gg):
    class Stop(Exception):
        pass

    @gg.primitive
    def touchy(x):
        if x > 2.0:
            raise Stop
        return x

    touchy.derivative()(lambda x: 1.0)
    x = gg.Value(1.0)
    h = x * 2.0
    y = touchy(h) + h
    x.data = 5.0
    with pytest.raises(Stop):
        y.recompute()
    assert (h.data, y.data) == (2.0, 4.0)


def test_inside_a_sweep_through_the_same_graph_it_is_refused(gg):
    x = gg.Value(2.0)
    h = x * x
    by_hand = gg.Value(h.data, (h,), "mine")
    by_hand._backward = lambda: h.recompute()
    with pytest.raises(gg.GraphError, match=r"recompute\(\) inside a _backward reaches 4\.0"):
        by_hand.backward()


# ---- size ----------------------------------------------------------------------------------------------------------


def test_a_million_nodes_run_again(gg):
    count = 1_000_000 if gg.COMPILED else 100_000
    x = y = gg.Value(0.5)
    for _ in range(count // 2):
        y = y * 0.5 + x
    x.data = 2.0
    y.recompute().backward()
    assert (y.data, x.grad) == (4.0, 2.0)
