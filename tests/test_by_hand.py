"""Operations written by hand, as in Karpathy's lecture: `out = Value(t, (x,), "tanh")`, then `out._backward`.

They work anywhere in a graph, are collected, and may close a cycle, which is refused.
"""

from __future__ import annotations

import copy
import functools
import gc
import math
import time
import warnings
import weakref

import pytest

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


def test_nothing_is_warned_about_in_ordinary_work(gg):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        x = gg.Value(1.0)
        y = by_hand(gg, x) + x
        y.backward()


# ---- what a _backward may do ---------------------------------------------------------------------------------------


def recorder(gg, calls, name, *operands):
    """An operation by hand that notes when it is asked, and passes its gradient on unchanged."""
    out = gg.Value(1.0, operands, name)

    def backward():
        calls.append(name)
        for operand in operands:
            operand.grad += out.grad

    out._backward = backward
    return out


def test_each_backward_is_called_once_and_after_all_that_is_made_of_it(gg):
    calls = []
    x = gg.Value(1.0)
    a = recorder(gg, calls, "a", x)
    b = recorder(gg, calls, "b", a, x)
    c = recorder(gg, calls, "c", a + 1, b)
    y = recorder(gg, calls, "y", gg.sum([c, a]), b, b)
    y.backward()
    assert calls == ["y", "c", "b", "a"], "the order of walk(), from its end"
    assert (b.grad, a.grad, x.grad) == (3.0, 5.0, 8.0)


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


def test_a_sweep_that_fails_inside_a_backward_takes_back_only_its_own(gg):
    x, w = gg.Value(2.0), gg.Value(5.0)
    out = gg.Value(4.0, (x,), "careful")

    def backward():
        x.grad += 3.0 * out.grad
        (w * x).backward()
        with pytest.raises(gg.NonFiniteError):
            (w * x * 1e200).backward(1e200)
        assert (x.grad, w.grad) == (100.0 + 1.0 + 3.0 + 5.0, 2.0)

    out._backward = backward
    x.grad = 100.0
    (out + x).backward()
    assert (x.grad, w.grad) == (109.0, 2.0)


def test_a_sweep_that_fails_after_one_inside_it(gg):
    x, w, zero = gg.Value(2.0), gg.Value(5.0), gg.Value(0.0)
    out = gg.Value(4.0, (x,), "implicit")

    def backward():
        (w * x).backward()

    out._backward = backward
    y = zero.sqrt() + out
    with pytest.raises(gg.NonFiniteError):
        y.backward()
    assert (x.grad, zero.grad) == (0.0, 0.0), "below y"
    assert w.grad == 2.0, "of the sweep inside, which did not fail"


def test_a_backward_that_sweeps_its_own_graph_is_refused(gg):
    x = gg.Value(2.0)
    out = gg.Value(4.0, (x,), "endless")
    y = out * 2 + x

    def backward():
        x.grad += out.grad
        y.backward()

    out._backward = backward
    x.grad = 100.0
    with pytest.raises(gg.GraphError, match=r"backward\(\) inside a _backward reaches .*detach"):
        y.backward()
    assert x.grad == 100.0


def test_a_backward_may_look_at_the_graph(gg):
    x = gg.Value(2.0, "x")
    seen = []
    h = x * x
    out = gg.Value(4.0, (h,), "curious")

    def backward():
        seen.append((copy.deepcopy(h).data, len(gg.Graph.of(out)), len(gg.engine.sweep.walk([y]))))
        h.grad += out.grad

    out._backward = backward
    y = out * 3 + h
    y.backward()
    assert seen == [(4.0, 3, len(gg.engine.sweep.walk([y])))]
    assert x.grad == 16.0


def test_a_backward_may_take_apart_what_lies_below_it(gg):
    x, w = gg.Value(3.0), gg.Value(2.0)
    k = x * w * w * 5  # nobody refers to what lies between
    out = gg.Value(1.0, (k, x), "destructive")

    def backward():
        k._prev = ()
        gc.collect()
        fresh.extend(gg.Value(7.0) * w for _ in range(100))  # where the nodes were that are gone
        x.grad += out.grad

    fresh = []
    out._backward = backward
    y = out * 2 + w
    y.backward()
    assert (x.grad, w.grad) == (2.0, 1.0), "nothing through k"
    assert {(v.grad, v._has_grad) for v in fresh} == {(0.0, False)}


def test_what_a_backward_adds_to_the_graph_counts_from_the_next_sweep(gg):
    x, w = gg.Value(3.0), gg.Value(2.0)
    h = x * 1.0
    out = gg.Value(1.0, (h,), "growing")

    def backward():
        h.grad += out.grad
        if not w.grad:
            h._prev = (w,)
            h._backward = passes_on

    def passes_on():
        w.grad += h.grad

    out._backward = backward
    y = out * 2
    y.backward()
    assert (x.grad, w.grad) == (0.0, 2.0), "h asks its new function, and w is no leaf of this sweep"
    y.backward()
    assert (x.grad, w.grad) == (0.0, 4.0)


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


def test_a_cycle_leaves_no_gradient_that_was_not_computed(gg):
    x = gg.Value(1.0)
    h = x * 2
    y = gg.Value(1.0, (h,), "y")
    y._backward = lambda: None
    y.backward()
    h.grad = 7.0
    y._prev = (h, y)
    with pytest.raises(gg.GraphError):
        y.backward()
    assert (h.grad, h._has_grad, y.grad, y._has_grad) == (0.0, False, 0.0, False)


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


def test_a_sweep_inside_a_backward_may_not_pass_through_the_sweep_around_it(gg):
    x = gg.Value(2.0, "x")
    shared = x * x
    out = gg.Value(1.0, (shared,), "mine")

    def backward():
        shared.grad += out.grad
        (shared * 3).backward()

    out._backward = backward
    with pytest.raises(gg.GraphError, match=r"inside a _backward reaches 4\.0"):
        (out + shared).backward()
    assert (x.grad, shared.grad, shared._has_grad) == (0.0, 0.0, False)
    (shared * 3).backward()  # what the failed sweep had claimed is free again
    assert x.grad == 12.0


def test_a_builtin_backward_may_be_wrapped(gg):
    x, w = gg.Value(3.0), gg.Value(5.0)
    y = x * w
    inner, seen = y._backward, []

    def backward():
        seen.append(y.grad)
        inner()

    y._backward = backward
    (y * 2).backward()
    assert (seen, x.grad, w.grad) == ([2.0], 10.0, 6.0)


def test_a_leaf_with_a_backward_stays_a_leaf(gg):
    x = gg.Value(3.0)
    grads = []
    x._backward = lambda: grads.append(x.grad)
    y = x * 2
    y.backward()
    y.backward()
    assert x.grad == 4.0, "leaves accumulate"
    assert grads == [2.0, 4.0], "called when the gradient is there"
    x.requires_grad = False
    x.requires_grad = True


def test_a_hook_of_a_leaf_that_raises_undoes_the_sweep(gg):
    x = gg.Value(3.0)
    x.grad = 1.0

    def fail():
        raise KeyError("hook")

    x._backward = fail
    with pytest.raises(KeyError):
        (x * 2).backward()
    assert x.grad == 1.0


def test_a_leaf_with_a_backward_becomes_an_operation_when_it_gets_operands(gg):
    x, out = gg.Value(3.0), gg.Value(9.0)

    def backward():
        x.grad += 6.0 * out.grad

    out._backward = backward
    out._prev = (x,)
    (out * 2).backward()
    assert x.grad == 12.0


def test_a_gradient_that_a_backward_makes_infinite_raises(gg):
    x = gg.Value(3.0, "x")
    x.grad = 1.0
    out = gg.Value(9.0, (x,), "mine")

    def backward():
        x.grad += math.inf

    out._backward = backward
    with pytest.raises(gg.NonFiniteError, match=r"'mine'.*makes the gradient of x = 3\.0 inf"):
        out.backward()
    assert x.grad == 1.0
    with gg.allow_nonfinite():
        out.backward()
    assert x.grad == math.inf


def test_nodes_stay_alive_while_a_failed_sweep_is_explained(gg):
    class Curious(gg.Value):
        @property
        def label(self):
            top._prev = ()  # drops everything below
            gc.collect()
            return "curious"

    zero = Curious(0.0)
    middle = zero.sqrt() * 1.0
    top = middle * 2.0
    del middle
    with pytest.raises(gg.NonFiniteError, match="curious"):
        top.backward()
    assert zero.grad == 0.0


@pytest.mark.parametrize("route", ["default", "partial", "list", "instance", "method"])
def test_a_backward_that_reaches_a_later_result_is_collected(gg, route):
    class Holder:
        def call(self):
            return self.late

    def graph():
        x = gg.Value(1.0)
        out = gg.Value(2.0, (x,), "mine")
        late = out * 3
        holder = Holder()
        holder.late, holder.witness = late, Witness()
        boxed = [late, holder]
        out._backward = {
            "default": lambda late=late, holder=holder: None,
            "partial": functools.partial(lambda late, holder: None, late, holder),
            "list": lambda: boxed,
            "instance": lambda: holder,
            "method": holder.call,
        }[route]
        return weakref.ref(holder.witness)

    class Witness:
        pass

    alive = graph()
    gc.collect()
    assert alive() is None, "leaked"


def test_a_gradient_that_a_hook_of_a_leaf_makes_nan_raises(gg):
    x = gg.Value(3.0, "x")

    def hook():
        x.grad = math.nan

    x._backward = hook
    with pytest.raises(gg.NonFiniteError, match=r"leaf x = 3\.0 makes its gradient nan"):
        (x * 2).backward()
    assert x.grad == 0.0


def test_a_list_of_its_nodes_beside_a_layer_costs_linear_time(gg):
    class Layer:
        def __init__(self):
            self.nodes = []

        def double(self, x):
            out = x * 2.0

            def backward():
                assert self.nodes
                x.grad += 2.0 * out.grad

            out._backward = backward
            self.nodes.append(out)
            return out

    def seconds(n):
        layer, y = Layer(), gg.Value(1e-300)
        start = time.process_time()
        for _ in range(n):
            y = layer.double(y)
        return time.process_time() - start

    small = min(seconds(200) for _ in range(3))
    assert seconds(900) < 40 * small, "quadratic would be 20 times, cubic 91"


def test_a_backward_on_a_result_is_collected_whatever_its_closure_holds(gg):
    class Witness:
        pass

    class Holder:
        pass

    def helper():
        pass

    def graph():
        x = gg.Value(1.0)
        y = x * 3.0
        late = y * 2.0
        holder = Holder()
        for i in range(40):
            setattr(holder, f"a{i}", [i])
        nested = late
        for _ in range(40):
            nested = [nested]
        holder.late, holder.witness = nested, Witness()
        y._backward = functools.partial(lambda *_: None, helper, holder, warnings.warn)
        return weakref.ref(holder.witness)

    alive = graph()
    gc.collect()
    assert alive() is None, "leaked"
