"""How the graph is walked: in which order, by several threads, and what a sweep that fails leaves behind."""

from __future__ import annotations

import copy
import gc
import math
import os
import random
import subprocess
import sys
import weakref

import pytest
from conftest import BUILDS, environment, in_threads, load_interpreted

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


def depth_first(roots):
    """micrograd's topological order: a node after its operands, which are visited from left to right."""
    order, visited = [], set()

    def build(v):
        if v not in visited:
            visited.add(v)
            for operand in v._prev:
                build(operand)
            order.append(v)

    for root in roots:
        build(root)
    return order


def test_walk_is_depth_first_from_left_to_right_leaves_included(gg):
    generator = random.Random(1)
    for _ in range(50):
        nodes = [gg.Value(0.5) for _ in range(3)]
        for _ in range(60):
            a, b, c = generator.choices(nodes, k=3)
            make = generator.choice(
                [
                    lambda a, b, c: a + b,
                    lambda a, b, c: a.tanh(),
                    lambda a, b, c: gg.mean([a, b, c, b]),
                    lambda a, b, c: gg.where(a, b, c),
                    lambda a, b, c: gg.Value(0.5, (a, b, c), "by hand"),
                ]
            )
            nodes.append(make(a, b, c))
        roots = generator.choices(nodes, k=4)
        assert gg.engine.sweep.walk(roots) == depth_first(roots)


def test_walk_leaves_out_known_operations_with_what_only_they_depend_on(gg):
    x, w, only = gg.Value(1.0), gg.Value(2.0), gg.Value(3.0)
    below = only * x
    h = below + w
    y = h * x
    assert gg.engine.sweep.walk([y], {id(h): None}) == [x, y]
    assert gg.engine.sweep.walk([h, y], {id(below): None}) == [w, h, x, y]
    assert gg.engine.sweep.walk([y], {id(y): None}) == []


def test_the_stack_of_a_walk_grows_wherever_its_end_is_reached(gg):
    for width in range(985, 1005):  # it has room for 1000 nodes at first
        leaves = [gg.Value(1.0) for _ in range(width)]
        chain = leaves[0]
        for _ in range(10):
            chain = chain * leaves[1]
        y = gg.sum([chain, *leaves])
        y.backward()
        assert (leaves[0].grad, leaves[1].grad, leaves[-1].grad) == (2.0, 11.0, 1.0)
        assert len(gg.engine.sweep.walk([y])) == width + 11


def test_a_sweep_makes_no_nodes_of_plain_numbers(gg):
    x = gg.Value(3.0)
    y = gg.sum([x * 2, 1.0]) ** 2
    by_hand = gg.Value(y.data, (y,), "by hand")
    by_hand._backward = lambda: None
    for root in (y, by_hand):
        root.backward()
        assert len(gg.engine.sweep.walk([y])) == 4, "x, x * 2, the sum and y: 2 and 1.0 are numbers still"


def test_walks_keep_nothing_alive(gg):
    class Watched(gg.Value):
        """Has weak references."""

    def fails(y):
        with pytest.raises(gg.NonFiniteError):
            (y * 1e200).backward(1e200)

    gc.disable()  # what waits for the collector is alive
    try:
        for use in (gg.Value.backward, copy.deepcopy, gg.Graph.of, fails, lambda y: gg.engine.sweep.walk([y])):
            x = Watched(0.5)
            y = gg.sum([x * 2, x, 1.0]).tanh()
            use(y)
            alive = weakref.ref(x)
            del x, y
            assert alive() is None, use
    finally:
        gc.enable()


def test_stamps_begin_anew_after_four_billion_walks(monkeypatch):
    gg = load_interpreted()  # compiled, the counter is a C variable
    x = gg.Value(3.0)
    h = x * x
    y = h * h
    monkeypatch.setattr(gg.engine.sweep, "_stamp", 0xFFFFFFEC)
    for count in range(1, 6):
        y.backward()
        assert x.grad == count * 4 * 3.0**3
        assert y._stamp <= 0xFFFFFFFF
    assert gg.engine.sweep._stamp < 10


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


def test_a_gradient_that_overflows_at_the_root_raises(gg):
    x = gg.Value(1.0, "x")
    x.backward(1e308)
    with pytest.raises(gg.NonFiniteError, match=r"takes the gradient of x = 1\.0 beyond"):
        x.backward(1e308)
    assert x.grad == 1e308


FORK = """
import os, threading, time
from glassgrad import Value
x = Value(1.0)
out = Value(2.0, (x,), "slow")
started = threading.Event()

def backward():
    started.set()
    time.sleep(2)

out._backward = backward
threading.Thread(target=out.backward, daemon=True).start()
started.wait()
child = os.fork()
if child == 0:
    y = Value(3.0)
    (y * y).backward()
    os._exit(int(y.grad))
deadline = time.monotonic() + 20
while time.monotonic() < deadline:
    done, status = os.waitpid(child, os.WNOHANG)
    if done:
        print(os.waitstatus_to_exitcode(status), flush=True)
        os._exit(0)
    time.sleep(0.01)
os.kill(child, 9)
print("the child hangs")
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
@pytest.mark.parametrize("build", BUILDS)
def test_a_process_forked_in_the_middle_of_a_sweep_may_sweep(build):
    command = [sys.executable, "-W", "ignore", "-c", FORK]
    done = subprocess.run(command, env=environment(build), capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["6"], done.stderr


def test_operations_in_the_middle_of_operations_do_not_mix(gg):
    """Finalizers that the collector runs, and other threads, may ask for the room that lists are copied into."""
    noise = [gg.Value(7.0) for _ in range(4)]

    class Loop:
        def __init__(self):
            self.loop = self

        def __del__(self):
            gg.dot(noise, noise)
            gg.prod(noise)

    ws = [gg.Value(float(i)) for i in (1, 2, 3, 4)]
    xs = [10.0, 20.0, 30.0, 40.0]
    threshold = gc.get_threshold()
    gc.set_threshold(1)
    try:
        for _ in range(300):
            Loop()
            y, z = gg.dot(ws, xs), gg.prod(ws)
            assert (y.data, z.data) == (300.0, 24.0)
            assert y._partials[:4] == (10.0, 20.0, 30.0, 40.0)
            assert z._partials == (24.0, 12.0, 8.0, 6.0)
    finally:
        gc.set_threshold(*threshold)
