"""backward(): what it adds where, and when it is undone."""

from __future__ import annotations

import gc
import math
import threading
import time
import warnings
import weakref

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


# ---- operations written by hand ------------------------------------------------------------------------------------


def by_hand(gg, x):
    """The lecture's tanh, word for word."""
    n = x.data
    t = (math.exp(2 * n) - 1) / (math.exp(2 * n) + 1)
    out = gg.Value(t, (x,), "tanh")

    def _backward():
        x.grad += (1 - t**2) * out.grad

    out._backward = _backward
    return out


def test_an_operation_by_hand_works_anywhere_in_a_graph(gg):
    grads = []
    for tanh in (lambda v: by_hand(gg, v), gg.tanh):
        x, w = gg.Value(0.5), gg.Value(-0.3)
        h = tanh(x * w + 1) * x + tanh(w)
        y = gg.logsumexp([tanh(h), h, tanh(tanh(h))]) * 2
        y.backward()
        y.backward()
        grads.append((y.data, x.grad, w.grad, h.grad))
    assert grads[0] == pytest.approx(grads[1], rel=1e-12)


def test_an_operation_by_hand_shows_itself(gg):
    x = gg.Value(0.5)
    y = by_hand(gg, x)
    assert (y._op, y._rule, y._partials, y._prev) == ("tanh", "custom", None, (x,))
    assert y._backward.__name__ == "_backward"
    (y * 2).backward()
    assert y.grad == 2.0


def test_a_backward_of_an_existing_node_may_be_replaced(gg):
    x = gg.Value(3.0)
    y = x * 2

    def clipped():
        x.grad += 100.0 * y.grad

    y._backward = clipped
    (y + y).backward()
    assert (x.grad, y._prev[0], y._op) == (200.0, x, "*")


def test_an_operation_by_hand_without_backward_says_so(gg):
    x = gg.Value(3.0, "x")
    y = gg.Value(9.0, (x,), "square")
    for attempt in (
        lambda: (y * 2).backward(),
        lambda: y._backward(),
        lambda: gg.training.fit(lambda: y + x * 0, [x], lr=0.1, epochs=1, progress=False),
    ):
        with pytest.warns(UserWarning, match=r"'square'.*no _backward") as caught:
            attempt()
        assert (caught[0].filename, caught[0].lineno) == (__file__, attempt.__code__.co_firstlineno)
    assert x.grad == 0.0


def test_by_hand_is_collected(gg):
    class Witness:
        pass

    def graph(witness):
        x = gg.Value(0.5)
        y = by_hand(gg, x * 2)
        z = gg.sum([y, y, 1.0]) * y
        inner = y._backward

        def wrapped(witness=witness):
            inner()
            z.grad  # a closure over what was made from it

        y._backward = wrapped
        z.backward()
        return z

    for keep in (False, True):
        witness = Witness()
        alive = weakref.ref(witness)
        z = graph(witness)
        del witness
        gc.collect()
        assert alive() is not None
        if keep:
            z.grad = 0
        del z
        gc.collect()
        assert alive() is None, "leaked"


def test_a_closure_over_what_was_made_from_the_node_is_collected(gg):
    class Witness:
        pass

    def graph(witness):
        x = gg.Value(0.5)
        y = x * 2
        z = gg.sum([y + 1, x])

        def backward(witness=witness):
            x.grad += 2 * y.grad + 0 * z.grad

        y._backward = backward
        z.backward()
        assert x.grad == 3.0

    witness = Witness()
    alive = weakref.ref(witness)
    graph(witness)
    del witness
    gc.collect()
    assert alive() is None, "leaked: z was made before y was given its function, and the collector does not know it"


def test_a_chain_by_hand_is_collected(gg):
    def count():
        gc.collect()
        return sum(type(o).__name__ in ("Value", "function", "cell") for o in gc.get_objects())

    before = count()
    x = gg.Value(0.5)
    y = x
    for _ in range(2_000):
        y = by_hand(gg, y * 1.01)
    y.backward()
    assert count() > before + 2_000
    del x, y
    assert count() < before + 50


def test_by_hand_costs_the_same_at_any_depth(gg):
    def seconds(n):
        best = math.inf
        for _ in range(3):
            start = time.perf_counter()
            y = gg.Value(0.5)
            for _ in range(n):
                y = by_hand(gg, y)
            y.backward()
            best = min(best, time.perf_counter() - start)
        return best

    assert seconds(8_000) < 50 * seconds(800), "quadratic cost would be 100 times"


def test_a_sweep_inside_a_backward(gg):
    x, w = gg.Value(2.0), gg.Value(5.0)
    out = gg.Value(4.0, (x,), "implicit")

    def backward():
        inner = w * w
        inner.backward()
        x.grad += 3.0 * out.grad

    out._backward = backward
    (out * 2 + x).backward()
    assert (x.grad, w.grad) == (7.0, 10.0)


# ---- cycles --------------------------------------------------------------------------------------------------------


def test_a_cycle_raises(gg):
    x = gg.Value(1.0)
    b = x * 2
    c = b * 3
    d = gg.sum([c, x, b])
    b._prev = (d,)
    for root in (b, c, d, d + 1, gg.sum([x, d])):
        with pytest.raises(gg.GraphError, match="cycle"):
            root.backward()
    assert (x.grad, x._has_grad) == (0.0, False)
    y = gg.Value(1.0)
    y._prev = (y,)
    with pytest.raises(ValueError, match="cycle"):
        y.backward()


def test_what_a_cycle_refused_can_be_mended(gg):
    x = gg.Value(1.0)
    b = x * 2
    c = b * 3
    b._prev = (c,)
    with pytest.raises(gg.GraphError):
        c.backward()
    b._prev = (x,)

    def backward():
        x.grad += 2 * b.grad

    b._backward = backward
    c.backward()
    assert x.grad == 6.0


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


def in_threads(count, work):
    """Run work(i) in threads at once; the results in order, the first error raised."""
    results, errors = [None] * count, []
    gate = threading.Barrier(count)

    def run(i):
        try:
            gate.wait(30)
            results[i] = work(i)
        except BaseException as error:  # noqa: BLE001 - handed to the main thread
            errors.append(error)

    threads = [threading.Thread(target=run, args=(i,)) for i in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    if errors:
        raise errors[0]
    return results


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


def test_nothing_is_warned_about_in_ordinary_work(gg):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        x = gg.Value(1.0)
        y = by_hand(gg, x) + x
        y.backward()
