"""Chains of ten million operations, the memory they take and the time they cost, each in a process of its own.

The chain of ten million takes about 2.7 GB in the compiled build and 4 GB in the interpreted one; on a machine with
less memory free it is skipped and the reason is shown.
"""

from __future__ import annotations

import json
import math
import subprocess
import sys
from pathlib import Path

import pytest
from conftest import BUILDS, environment

MANY = {"compiled": 10_000_000, "interpreted": 1_000_000}  # a minute and a half for ten million
GIGABYTES = {"compiled": 3.5, "interpreted": 0.8}

# Every script below starts so; it prints one JSON object.
START = """
import copy, gc, json, os, sys, time
import glassgrad as g
n = int(sys.argv[1])
assert g.COMPILED == (sys.argv[2] == "compiled"), "wrong build"

def resident():
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGESIZE")

def chain(x, n):
    y = x
    for _ in range(n):
        y = y * 1.0
    return y
"""

LIFE = """
if not g.COMPILED:
    gc.disable()  # it would look through the millions of nodes again and again: half of the time
x = g.Value(1.0, "x")
y = chain(x, n)
y.backward()
assert (y.data, y.grad, x.grad) == (1.0, 1.0, 1.0)
text = repr(y) + str(y) + f"{y:.2f}"
twin = copy.deepcopy(y)
assert twin.data == 1.0
twin.backward()
assert (x.grad, y.grad, twin.grad) == (1.0, 1.0, 1.0)
top = resident()
del twin, y
print(json.dumps({"text": text, "left": resident(), "top": top, "grad": x.grad}))
"""

MEMORY = """
x = g.Value(1.0, "x")
chain(x, 100_000)  # warm: pools and the free list
gc.collect()
before = resident()
y = chain(x, n)
print(json.dumps({"each": (resident() - before) / n, "size": sys.getsizeof(y)}))
"""

# Graphs of every kind, dropped with the collector off: nothing may be left, in objects or in memory.
DROPPED = """
gc.collect()
gc.disable()

def build(n):
    x, w, c = g.Value(1.0, "x"), g.Value(0.5), g.Value(2.0, requires_grad=False)
    y = x
    with g.scope("here"):
        for i in range(n // 10):
            y = y * 0.5 + w * 0.1 - 0.01 * c
            y = g.sum([y, 0.1, w]).tanh()
            y = g.dot([y, w], [w, c]) / 2 + (2 ** w) * 0.01
            p, q = g.softmax([y, w])
            y = p.clip(-1, 1) + g.where(True, q, c)
            y.label = "y"
    y.backward()
    y._prev
    assert abs(y.data) < 10

def objects():
    return len(gc.get_objects()), sys.getallocatedblocks(), resident()

build(n)
build(n)
first = objects()
for _ in range(5):
    build(n)
last = objects()
for error in (g.NonFiniteError, KeyError):  # sweeps and operations that fail leave nothing either
    for _ in range(200):
        x = g.Value(0.0)
        try:
            if error is KeyError:
                g.sum([x, {}["missing"]])
            (x.sqrt() + g.log(x)).backward()
        except error:
            pass
        try:
            x.sqrt().backward()
        except g.NonFiniteError:
            pass
        del x
print(json.dumps({"first": first, "last": last, "after errors": objects()}))
"""

# A sweep that finds no memory changes no leaf, and the next one starts afresh.
SHORT = """
import resource

def virtual():
    with open("/proc/self/statm") as file:
        return int(file.read().split()[0]) * os.sysconf("SC_PAGESIZE")

x, w = g.Value(1.0), g.Value(1.0)
y = x
for _ in range(n):
    y = y * w
x.grad = 5.0
_, most = resource.getrlimit(resource.RLIMIT_AS)
failed = 0
for more in range(0, 64, 4):  # MiB: the sweep gets further each time
    resource.setrlimit(resource.RLIMIT_AS, (virtual() + more * 2**20, most))
    try:
        y.backward()
        break
    except MemoryError:
        failed += 1
    finally:
        resource.setrlimit(resource.RLIMIT_AS, (most, most))
    assert (x.grad, w.grad, w._has_grad, y._has_grad) == (5.0, 0.0, False, False)
else:
    y.backward()
print(json.dumps({"failed": failed, "grads": [x.grad, w.grad, y.grad]}))
"""

# How many times as long one graph of 10 n nodes takes as one of n. Ten small ones are measured as they lie in memory
# side by side, so that the caches help neither: one of 40,000 nodes fits them, and ratios of 23 were seen. Processor
# seconds, the two in turn, the best of as many rounds as it takes: what is quadratic stays near 100 in all five.
# Without the collector, which starts by counts of its own and doubles the time of what it visits.
TIMES = """
gc.disable()

def seconds(kind, count, n):
    steps, last = {}, time.process_time()

    def done(step):
        nonlocal last
        now = time.process_time()
        steps[step], last = now - last, now

    graphs = [kinds[kind](g.Value(1.0), n) for _ in range(count)]
    done("build")
    for y in graphs:
        y.backward()
    done("backward")
    if kind != "by hand":  # those are not copied
        twins = [copy.deepcopy(y) for y in graphs]
        done("copy")
    del y, graphs
    if kind == "by hand":
        gc.collect()
    done("free")
    return steps

def wide(x, n):
    return g.sum([x * 1.0 for _ in range(n)])

def shared(x, n):
    y = x
    for _ in range(n // 2):
        y = y * 0.5 + y * 0.5
    return y

def list_chain(x, n):
    y = x
    for _ in range(n):
        y = g.sum([y, x])
    return y

def same(y):
    out = g.Value(y.data, (y,), "same")
    def backward():
        y.grad += out.grad
    out._backward = backward
    return out

def by_hand(x, n):
    y = x
    for _ in range(n):
        y = same(y)
    return y

kinds = {"chain": chain, "wide": wide, "shared": shared, "list chain": list_chain, "by hand": by_hand}
one, ten = {}, {}
for _ in range(5):
    for best, count in ((one, 1), (ten, 10)):
        for step, lap in seconds(sys.argv[3], count, 10 * n // count).items():
            best[step] = min(lap, best.get(step, lap))
    ratios = {step: 10 * one[step] / ten[step] for step in one}
    if all(5 < ratio < 20 for ratio in ratios.values()):
        break
print(json.dumps(ratios))
"""


@pytest.fixture(params=BUILDS)
def build(request):
    return request.param


def run(script, n, build, *more):
    """The JSON object that a script prints."""
    done = subprocess.run(
        [sys.executable, "-c", START + script, str(n), build, *more],
        capture_output=True,
        text=True,
        env=environment(build),
        timeout=600,
        check=False,
    )
    assert done.returncode == 0, f"exit status {done.returncode}\n{done.stderr[-3000:]}"
    return json.loads(done.stdout)


def needs_proc():
    if not Path("/proc/self/statm").exists():
        pytest.skip("memory is measured through /proc, which this system has not")


def memory_free():
    """Gigabytes that a process can take; unlimited where nobody says."""
    try:
        lines = dict(line.split(":") for line in Path("/proc/meminfo").read_text().splitlines())
        return int(lines["MemAvailable"].split()[0]) / 1e6
    except (OSError, KeyError):
        return math.inf


@pytest.mark.slow
def test_millions_of_operations_live_and_die(build):
    needs_proc()
    if memory_free() < GIGABYTES[build]:
        pytest.skip(f"{GIGABYTES[build]} GB of memory are needed, {memory_free():.1f} are free")
    found = run(LIFE, MANY[build], build)
    assert found["text"] == "Value(data=1.0, grad=1.0)" * 2 + "1.00"
    assert found["grad"] == 1.0
    assert found["top"] > 1.8 * MANY[build] * 90, "there were two chains of them"
    assert found["left"] < 0.25 * found["top"], "the memory came back"


def test_a_node_takes_96_bytes():
    if "compiled" not in BUILDS:
        pytest.skip("the promise is the compiled build's")
    needs_proc()
    found = run(MEMORY, 2_000_000, "compiled")
    assert found["size"] <= 96, "with the collector's header"
    # Python's allocator packs 170 of them into a page of 16 KiB, whose header and rest make it 96.4 each.
    assert found["each"] <= 16384 / 170 + 0.1


def test_an_interpreted_node_is_not_much_larger():
    needs_proc()
    assert run(MEMORY, 200_000, "interpreted")["each"] < 250


def test_dropped_graphs_leave_nothing_with_the_collector_off(build):
    needs_proc()
    found = run(DROPPED, 20_000 if build == "compiled" else 4_000, build)
    objects, blocks, resident = found["first"]
    for stage in ("last", "after errors"):
        objects_now, blocks_now, resident_now = found[stage]
        assert objects_now <= objects + 20, stage
        assert blocks_now <= blocks + 200, stage
        assert resident_now <= resident + 1_000_000, stage


def test_a_sweep_without_memory_changes_nothing_and_can_be_repeated(build):
    needs_proc()
    n = 500_000 if build == "compiled" else 200_000
    found = run(SHORT, n, build)
    assert found["failed"] > 0
    assert found["grads"] == [6.0, n, 1.0]


@pytest.mark.parametrize("kind", ["chain", "wide", "shared", "list chain", "by hand"])
def test_time_grows_with_the_graph(build, kind):
    ratios = run(TIMES, 20_000 if build == "compiled" else 4_000, build, kind)
    for step, ratio in ratios.items():
        assert 5 < ratio < 20, f"{step} of {kind}: {ratio:.1f} times for ten times as many"
