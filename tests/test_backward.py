"""backward(): what it adds where. The pins of the issue, seeds, accumulation, constants."""

from __future__ import annotations

import math

import pytest

# ---- the pins of the issue -----------------------------------------------------------------------------------------


def test_twice_over_a_cube_gives_54(gg):
    x = gg.Value(3.0)
    y = x * x * x
    y.backward()
    assert x.grad == 27.0
    y.backward()
    assert x.grad == 54.0
    assert y.grad == 1.0, "everything but a leaf starts anew"


def test_two_sweeps_through_a_shared_node_give_32(gg):
    x = gg.Value(2.0)
    h = x * x
    (3 * h).backward()
    assert (h.grad, x.grad) == (3.0, 12.0)
    (5 * h).backward()
    assert (h.grad, x.grad) == (5.0, 32.0)


def test_the_diamond_of_doublings(gg):
    a = gg.Value(3.0)
    b = a + a
    c = b + b
    c.backward()
    assert (c.data, a.grad, b.grad, c.grad) == (12.0, 4.0, 2.0, 1.0)


def test_the_diamond_of_products(gg):
    a, b = gg.Value(2.0), gg.Value(-3.0)
    c = a + b
    d = a * b
    e = c + d
    f = c * d
    y = e + f
    y.backward()
    # y = a + b + ab + (a + b) ab
    assert y.data == -1 - 6 + 6
    assert a.grad == 1 + b.data + 2 * a.data * b.data + b.data**2
    assert b.grad == 1 + a.data + 2 * a.data * b.data + a.data**2
    assert (e.grad, f.grad, c.grad, d.grad) == (1.0, 1.0, 1 + d.data, 1 + c.data)


def test_derivatives_are_those_of_the_forward_pass(gg):
    x, w = gg.Value(3.0), gg.Value(5.0)
    y = x * w + x.exp() + gg.dot([x, w], [w, x]) + x**2 + x / w
    expected = 5.0 + math.exp(3.0) + 10.0 + 6.0 + 0.2
    x.data, w.data = 1000.0, -1.0
    for node in y._prev:
        node.data = 7.0
    y.backward()
    assert x.grad == pytest.approx(expected, rel=1e-15)
    assert x.data == 1000.0


# ---- seeds, roots, accumulation ------------------------------------------------------------------------------------


def test_a_seed_scales_every_gradient(gg):
    for seed in (2.5, 3, True, -0.0, 1e-300):
        x = gg.Value(3.0)
        y = x * x
        y.backward(seed)
        assert (y.grad, x.grad) == (float(seed), 6.0 * seed)
    x = gg.Value(3.0)
    (x * x).backward(gradient=2)
    assert x.grad == 12.0


@pytest.mark.parametrize("wrong", ["1", None, 1j, [1.0]], ids=repr)
def test_a_seed_is_a_number(gg, wrong):
    x = gg.Value(3.0)
    with pytest.raises(gg.OperandError):
        (x * x).backward(wrong)
    with pytest.raises(gg.OperandError):
        (x * x).backward(gg.Value(1.0))
    assert x.grad == 0.0


@pytest.mark.parametrize("wrong", [math.nan, math.inf, -math.inf])
def test_a_seed_is_finite(gg, wrong):
    x = gg.Value(3.0)
    with pytest.raises(gg.NonFiniteError):
        (x * x).backward(wrong)
    assert x.grad == 0.0
    with gg.allow_nonfinite():
        (x * x).backward(wrong)
    assert not math.isfinite(x.grad)


def test_a_leaf_is_a_root_too(gg):
    x = gg.Value(3.0)
    x.backward()
    x.backward(2.0)
    assert x.grad == 3.0


def test_what_was_set_by_hand_is_added_to_on_leaves_and_forgotten_in_between(gg):
    x = gg.Value(3.0)
    h = x * x
    y = h * 2
    x.grad, h.grad, y.grad = 100.0, 100.0, 100.0
    y.backward()
    assert (x.grad, h.grad, y.grad) == (112.0, 2.0, 1.0)


def test_only_what_is_below_the_root_is_touched(gg):
    x, w = gg.Value(3.0), gg.Value(4.0)
    h = x * w
    above = h * 5
    beside = w * 2
    above.grad = beside.grad = 9.0
    h.backward()
    assert (above.grad, beside.grad, x.grad, w.grad) == (9.0, 9.0, 4.0, 3.0)


def test_gradients_know_whether_they_were_computed(gg):
    x, w = gg.Value(0.0), gg.Value(2.0)
    y = x * w + w * 0
    assert not any(v._has_grad for v in (x, w, y))
    y.backward()
    assert all(v._has_grad for v in (x, w, y))
    assert w.grad == 0.0, "computed, and zero"
    for v in (x, w, y):
        v.grad = 0
        assert not v._has_grad
    y.backward(0.0)
    assert (y.grad, x.grad, x._has_grad) == (0.0, 0.0, True)


def test_local_derivatives_are_kept(gg):
    x, w = gg.Value(3.0), gg.Value(2.0)
    assert (x * w)._partials == (2.0, 3.0)
    assert (x - w)._partials == (1.0, -1.0)
    assert (x / w)._partials == (0.5, -0.75)
    assert x.exp()._partials == (math.exp(3.0),)
    assert gg.sum([x, w, x])._partials == (1.0, 1.0, 1.0)
    assert gg.mean([x, w])._partials == (0.5, 0.5)
    assert (x**2)._partials == (6.0, None), "the number needs none"
    assert x._partials == ()


def test_manual_backpropagation_as_in_the_lecture(gg):
    a, b = gg.Value(2.0, "a"), gg.Value(-3.0, "b")
    e = a * b
    d = e + 10
    y = d.tanh()
    y.grad = 1.0
    y._backward()
    d._backward()
    e._backward()
    slope = 1 - math.tanh(4.0) ** 2
    assert a.grad == pytest.approx(-3 * slope)
    assert b.grad == pytest.approx(2 * slope)


def test_a_topological_sort_written_by_hand_works(gg):
    def backward(root):
        order, visited = [], set()

        def build(v):
            if v not in visited:
                visited.add(v)
                for child in v._prev:
                    build(child)
                order.append(v)

        build(root)
        root.grad = 1.0
        for v in reversed(order):
            v._backward()

    grads = []
    for sweep in (backward, lambda root: root.backward()):
        x, w = gg.Value(0.7), gg.Value(-1.2)
        y = gg.softmax([x * w, x, w.tanh()])[0] * (x - w) ** 2 + gg.dot([x, w], [w, 2.0])
        sweep(y)
        grads.append((x.grad, w.grad))
    assert grads[0] == pytest.approx(grads[1], rel=1e-15)


def test_a_zero_gradient_is_zero_through_an_infinite_derivative(gg):
    x = gg.Value(0.0)
    (x.sqrt() * 0.0 + x).backward()
    assert x.grad == 1.0
    x = gg.Value(0.0)
    gg.where(x > 0, x.sqrt(), 3.0 * x).backward()
    assert x.grad == 3.0


# ---- constants -----------------------------------------------------------------------------------------------------


def test_constants_collect_no_gradient_and_cost_no_graph(gg):
    x, c = gg.Value(3.0), gg.Value(5.0, "c", requires_grad=False)
    assert not c.requires_grad
    y = x * c
    y.backward()
    assert (x.grad, c.grad) == (5.0, 0.0)
    assert not c._has_grad, "0.0 is not the derivative by c: none was computed"
    product = c * c + 1
    assert product.data == 26.0
    assert not product.requires_grad
    assert product._prev == ()


def test_leaves_are_switched_at_any_time(gg):
    x, w = gg.Value(3.0), gg.Value(5.0)
    y = x * w
    w.requires_grad = False
    y.backward()
    assert (x.grad, w.grad) == (5.0, 0.0)
    w.requires_grad = True
    y.backward()
    assert (x.grad, w.grad) == (10.0, 3.0)
    with pytest.raises(gg.GraphError, match="detach"):
        y.requires_grad = False
    assert y.requires_grad


def test_a_constant_root_raises(gg):
    for root in (
        gg.Value(3.0, requires_grad=False),
        gg.Value(3.0).detach(),
        gg.Value(2.0, requires_grad=False) * 3,
    ):
        with pytest.raises(gg.GraphError, match=r"nothing to differentiate.*requires_grad"):
            root.backward()


def test_detach_cuts(gg):
    x = gg.Value(3.0, "x")
    h = x * x
    h.label = "h"
    d = h.detach()
    assert (d.data, d.label, d.requires_grad, d._prev, d._rule) == (9.0, "h", False, (), "leaf")
    (d * x).backward()
    assert x.grad == 9.0
    d.data = 1.0
    assert h.data == 9.0
