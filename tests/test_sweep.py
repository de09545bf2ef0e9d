"""How the graph is walked: in which order, by several threads, and what a sweep that fails leaves behind."""

from __future__ import annotations

import math

import pytest
from conftest import in_threads

# ---- walks ---------------------------------------------------------------------------------------------------------


def test_walk_lists_operands_before_what_is_made_of_them(gg):
    x, w = gg.Value(1.0, "x"), gg.Value(2.0, "w")
    h = x * w
    y = gg.sum([h, x.exp(), h * h]) + w
    z = h + x
    order = gg.engine.sweep.walk([y, z, y])
    assert len(order) == len(set(order)) == 8
    place = {v: i for i, v in enumerate(order)}
    for v in order:
        assert all(place[operand] < place[v] for operand in v._prev if operand in place)
    assert gg.engine.sweep.walk([y, z, y]) == order
    assert gg.engine.sweep.walk([]) == []
    assert gg.engine.sweep.walk([x]) == [x]


# ---- sweeps that fail ----------------------------------------------------------------------------------------------


class Stop(Exception):
    pass


def failing(gg, x, error):
    out = gg.Value(1.0, (x,), "failing")

    def backward():
        x.grad += 1000.0
        raise error

    out._backward = backward
    return out


@pytest.mark.parametrize("error", [Stop("mine"), KeyboardInterrupt(), ZeroDivisionError()], ids=repr)
def test_a_failed_sweep_leaves_the_leaves_untouched(gg, error):
    x, w, fresh = gg.Value(2.0), gg.Value(3.0), gg.Value(4.0)
    (x * w).backward()
    h = x * w * fresh
    y = failing(gg, h, error) + failing(gg, x, error) + h * h + x + w + fresh
    with pytest.raises(type(error)):
        y.backward()
    assert (x.grad, w.grad, fresh.grad) == (3.0, 2.0, 0.0)
    assert (x._has_grad, w._has_grad, fresh._has_grad) == (True, True, False)
    assert not y._has_grad
    assert not h._has_grad
    (h * 1).backward()
    assert (x.grad, w.grad, fresh.grad) == (3.0 + 12.0, 2.0 + 8.0, 6.0)


@pytest.mark.parametrize(
    "make",
    [
        lambda x: x.sqrt(),
        lambda x: x**0.5,
        lambda x: (1 - x).arccos(),
        lambda x: x.cbrt(),
        lambda x: (x + 1e-300) * 1e300 * 1e300 * 1e-300,
    ],
    ids=["sqrt", "pow", "arccos", "cbrt", "overflow"],
)
def test_an_infinite_derivative_raises_and_changes_nothing(gg, make):
    x, w = gg.Value(0.0, "x"), gg.Value(3.0, "w")
    w.grad = 5.0
    y = make(x) + w * x + w
    with pytest.raises(gg.NonFiniteError) as caught:
        (y * 1e10).backward()
    assert "gradient" in str(caught.value)
    assert "allow_nonfinite" in str(caught.value)
    assert (x.grad, x._has_grad, w.grad, w._has_grad) == (0.0, False, 5.0, True)
    with gg.allow_nonfinite():
        (y * 1e10).backward()
    assert math.isinf(x.grad)


def test_gradients_that_overflow_while_they_add_up_raise(gg):
    x = gg.Value(0.5)
    y = x * 1e308 + x * 1e308
    with pytest.raises(gg.NonFiniteError):
        y.backward()
    assert (x.grad, x._has_grad) == (0.0, False)
    x = gg.Value(0.5)
    h = x * 1.0
    y = (h * 1e308 + h * 1e308) * 1e-10
    y = y * 1e10
    with pytest.raises(gg.NonFiniteError):
        y.backward()
    assert x.grad == 0.0


def test_gradients_that_overflow_over_several_sweeps_raise(gg):
    x = gg.Value(0.5)
    y = x * 1e308
    y.backward()
    with pytest.raises(gg.NonFiniteError):
        y.backward()
    assert x.grad == 1e308, "as before the sweep that failed"


def test_nan_is_never_passed_on_silently(gg):
    v, w = gg.Value(-2.0), gg.Value(1.0)
    y = v ** (w + 2)  # the derivative by w + 2 is nan
    with pytest.raises(gg.NonFiniteError):
        y.backward()
    assert (v.grad, w.grad) == (0.0, 0.0)


# ---- threads -------------------------------------------------------------------------------------------------------


def test_eight_threads_share_their_leaves(gg):
    x, w = gg.Value(1.0), gg.Value(2.0)

    def work(i):
        for _ in range(50):
            y = x
            for _ in range(20):
                y = y * 1.0 + w * 0.5
            y.backward()

    in_threads(8, work)
    assert (x.grad, w.grad) == (400.0, 400.0 * 10)


def test_eight_threads_share_a_graph(gg):
    x = gg.Value(1.0)
    y = x
    for _ in range(300):
        y = y * 1.0 + 0.0
    in_threads(8, lambda i: [y.backward() for _ in range(20)])
    assert (x.grad, y.grad) == (160.0, 1.0)


def test_a_failed_sweep_frees_the_other_threads(gg):
    x = gg.Value(1.0)

    def work(i):
        for _ in range(20):
            if i % 2:
                with pytest.raises(Stop):
                    failing(gg, x * 2, Stop()).backward()
            else:
                (x * 2).backward()

    in_threads(8, work)
    assert x.grad == 4 * 20 * 2.0
