"""The tape: the derivative of a recorded graph in flat arrays, by sweeps in many directions."""

from __future__ import annotations

import gc
import math
import random
import time
from array import array

import pytest


@pytest.fixture
def tape(gg):
    return gg.tape.Tape


def doubles(*numbers):
    return array("d", numbers)


def inner(a, b):
    return sum(x * y for x, y in zip(a, b, strict=True))


def random_graph(gg, rng, inputs, operations, outputs):
    """Inputs and outputs of a graph of smooth operations, each with inf-free derivatives."""
    leaves = [gg.Value(rng.uniform(0.5, 1.5)) for _ in range(inputs)]
    nodes = list(leaves)
    for _ in range(operations):
        a, b, c = rng.choices(nodes, k=3)
        nodes.append(
            rng.choice([
                lambda a=a, b=b: a * b, lambda a=a, b=b: a - b, lambda a=a: a.sin(), lambda a=a: 0.5 * a,
                lambda a=a, b=b, c=c: gg.dot([a, b, 2.0], [c, 0.5, a]), lambda a=a, b=b: a.hypot(b + 3.0),
            ])()
        )  # fmt: skip
    return leaves, rng.choices(nodes, k=outputs)


def by_backward(leaves, outputs):
    """The Jacobian, a row for each output, as `backward()` gives it."""
    rows = []
    for y in outputs:
        for x in leaves:
            x.grad = 0.0
        if y.requires_grad:
            y.backward()
        rows.append([x.grad for x in leaves])
        y.grad = 0.0
    return rows


@pytest.mark.parametrize("seed", range(30))
def test_all_sweeps_give_what_backward_gives(gg, tape, seed):
    rng = random.Random(seed)
    leaves, outputs = random_graph(gg, rng, rng.randint(1, 20), rng.randint(1, 60), rng.randint(1, 20))
    rows = by_backward(leaves, outputs)
    recorded = tape(outputs, leaves)
    m, n = len(outputs), len(leaves)
    flat = [x for row in rows for x in row]
    assert list(recorded.jacobian(True)) == pytest.approx(flat, rel=1e-13, abs=1e-15)
    assert list(recorded.jacobian(False)) == pytest.approx(flat, rel=1e-13, abs=1e-15)
    seeds, tangents = [rng.uniform(-1, 1) for _ in range(m)], [rng.uniform(-1, 1) for _ in range(n)]
    back, forth = recorded.pull(array("d", seeds)), recorded.push(array("d", tangents))
    assert inner(back, tangents) == pytest.approx(inner(forth, seeds), rel=1e-12, abs=1e-13)
    starts, columns = recorded.pattern()
    for i, row in enumerate(rows):
        inside = set(columns[starts[i] : starts[i + 1]])
        assert {j for j, x in enumerate(row) if x != 0.0} <= inside
    many = tape(outputs, [*leaves, *(gg.Value(1.0) for _ in range(70))])  # which are walked to, from each output
    assert many.pattern() == (starts, columns)
    assert recorded.reached() == [any(j in columns[starts[i] : starts[i + 1]] for i in range(m)) for j in range(n)]


def test_the_pattern_of_a_trajectory_costs_linear_time(gg, tape):
    def seconds(n):
        x = [gg.Value(0.01) for _ in range(64)]
        y = gg.sum(x)
        outputs = [y]
        for _ in range(n - 1):
            y = (y * x[63]).sin()
            outputs.append(y)
        recorded = tape(outputs, x)
        start = time.process_time()
        starts, columns = recorded.pattern()
        found = time.process_time() - start
        assert list(starts) == [64 * i for i in range(n + 1)]
        assert list(columns) == list(range(64)) * n
        return found

    small = min(seconds(100) for _ in range(5))
    assert min(seconds(1000) for _ in range(3)) < 20 * small, "quadratic would be 100 times"


def test_recording_leaves_every_gradient_alone(gg, tape):
    a, b = gg.Value(2.0), gg.Value(3.0)
    inner = a * b
    c = inner.sin()
    c.backward()
    before = [(x.grad, x._has_grad) for x in (a, b, inner, c)]
    tape([c, inner], [a]).pull(doubles(1.0, 1.0))
    assert [(x.grad, x._has_grad) for x in (a, b, inner, c)] == before
    fresh = a + 1.0
    tape([fresh], [a])
    assert not fresh._has_grad


def test_only_what_depends_on_an_input_is_recorded(gg, tape):
    x, w = gg.Value(2.0), gg.Value(3.0)
    y = x * w + w.exp() * w.sin()
    assert len(tape([y], [x]).nodes) == 3
    assert len(tape([y], [w]).nodes) == 6
    assert tape([w], [x]).nodes == []


def test_an_output_may_be_an_input_or_a_constant_or_there_twice(gg, tape):
    x = gg.Value(2.0)
    recorded = tape([x, gg.Value(5.0), x * x, x], [x])
    assert list(recorded.jacobian(True)) == [1.0, 0.0, 4.0, 1.0]
    assert list(recorded.pull(doubles(1.0, 7.0, 1.0, 1.0))) == [6.0]
    assert list(tape([], [x]).jacobian(False)) == []
    assert list(tape([x * x], []).jacobian(True)) == []


def test_below_an_input_nothing_is_seen_unless_asked_for(gg, tape):
    x = gg.Value(2.0)
    y = x * x
    z = y * x
    assert list(tape([z], [x, y]).jacobian(True)) == [4.0, 2.0]  # as if y did not depend on x
    assert list(tape([z], [x, y], through=True).jacobian(True)) == [12.0, 2.0]
    assert y._rule == "mul"
    y.backward()
    assert x.grad == 4.0


def test_infinite_derivatives_raise_where_they_count(gg, tape):
    x, w = gg.Value(0.0), gg.Value(1.0)
    root = x.sqrt()
    assert list(tape([root * 0.0 + w], [x, w]).pull(doubles(1.0))) == [0.0, 1.0]
    recorded = tape([root, w * 2.0], [x, w])
    assert list(recorded.pull(doubles(0.0, 1.0))) == [0.0, 2.0]
    for sweep in (lambda: recorded.pull(doubles(1.0, 0.0)), lambda: recorded.push(doubles(1.0, 0.0)),
                  lambda: recorded.jacobian(True), lambda: recorded.jacobian(False)):  # fmt: skip
        with pytest.raises(gg.NonFiniteError, match=r"sqrt\(0\.0\)"):
            sweep()
    with gg.allow_nonfinite():
        free = tape([root, w * 2.0], [x, w])
    assert list(free.jacobian(True)) == list(free.jacobian(False)) == [math.inf, 0.0, 0.0, 2.0]


def test_many_directions_at_once_treat_zero_times_infinity_as_zero(gg, tape):
    x = [gg.Value(float(i)) for i in range(12)]
    outputs = [v.sqrt() * (0.0 if i == 0 else 1.0) for i, v in enumerate(x)]
    right = [0.5 / math.sqrt(i) if i == j and i else 0.0 for i in range(12) for j in range(12)]
    recorded = tape(outputs, x)
    assert list(recorded.jacobian(True)) == pytest.approx(right)
    assert list(recorded.jacobian(False)) == pytest.approx(right)


def test_groups_are_summed(gg, tape):
    x = [gg.Value(float(i + 1)) for i in range(20)]
    outputs = [v * v for v in x]
    groups = array("i", [i % 3 - 1 for i in range(20)])  # -1: in none
    recorded = tape(outputs, x)
    forward, back = recorded.compressed(groups, 2, True), recorded.compressed(groups, 2, False)
    for i in range(20):
        for g in range(2):
            right = 2.0 * (i + 1) if groups[i] == g else 0.0
            assert forward[i * 2 + g] == back[g * 20 + i] == right


def test_operations_by_hand_are_asked_once(gg, tape):
    x = gg.Value(0.5)
    asked = []
    out = gg.Value(math.tanh(x.data), (x,), "tanh")

    def backward():
        asked.append(out.grad)
        x.grad += (1 - out.data**2) * out.grad

    out._backward = backward
    x.grad, out.grad = 7.0, 8.0
    recorded = tape([out * out], [x])
    slope = 2 * out.data * (1 - out.data**2)
    assert list(recorded.pull(doubles(1.0))) == pytest.approx([slope])
    assert list(recorded.push(doubles(2.0))) == pytest.approx([2 * slope])
    assert asked == [1.0]
    assert (x.grad, out.grad) == (7.0, 8.0)


def test_forward_an_infinite_velocity_may_still_meet_a_zero(gg):
    x = gg.Value(0.0)
    for of in (0.0, gg.Value(0.0)):  # a number, and a Value in whose place the result depends on it
        values = gg.jvp(lambda v: gg.where(v > 0.0, v.sqrt(), 3.0 * v), (of,), (1.0,))[1]
        assert gg.engine.plain(values) == 3.0
        with pytest.raises(gg.NonFiniteError, match=r"sqrt\(0\.0\)"):
            gg.jvp(lambda v: v.sqrt().exp() * 2.0, (of,), (1.0,))
    assert x.grad == 0.0


def test_an_error_in_a_backward_by_hand_leaves_every_gradient_alone(gg, tape):
    x = gg.Value(0.5)
    out = gg.Value(1.0, (x,), "broken")

    def backward():
        x.grad += 1.0
        raise KeyError("broken")

    out._backward = backward
    with pytest.raises(KeyError):
        tape([out * 2.0], [x])
    assert (x.grad, out.grad) == (0.0, 0.0)


def test_a_tape_knows_that_another_transform_is_running(gg, tape):
    outer = gg.tape.variable(2.0)
    inner = gg.tape.variable(3.0)
    gg.tape.release([inner])
    assert tape([inner * outer], [inner]).open
    assert not tape([inner * 2.0], [inner]).open
    gg.tape.release([outer])
    assert not tape([inner * outer], [inner]).open


def test_under_a_collector_that_never_rests(gg, tape):
    rng = random.Random(5)
    before = gc.get_threshold()
    gc.set_threshold(1)
    try:
        for _ in range(20):
            leaves, outputs = random_graph(gg, rng, 5, 20, 5)
            right = [x for row in by_backward(leaves, outputs) for x in row]
            assert list(tape(outputs, leaves).jacobian(True)) == pytest.approx(right, rel=1e-13, abs=1e-15)
    finally:
        gc.set_threshold(*before)
