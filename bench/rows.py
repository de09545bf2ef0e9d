"""The measurements, each run in a process of its own by `run.py`: `python bench/rows.py moons 9` prints JSON.

A process of its own, because a peer's garbage, an imported PyTorch or a large heap slows down whoever comes next. In it
the libraries take turns. The garbage collector is on, with Python's own thresholds.
"""

import gc
import importlib
import json
import math
import os
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import plain
import programs

SIZE = 10_000  # operations in a chain: ten times what micrograd survives without a raised recursion limit


# ---- comparing -------------------------------------------------------------------------------------------------------


def compare(parts, ours, peer, rounds, runs=(10, 3)):
    """For each of the parts and 'total': median seconds of both, and the median and range of the rounds' ratios.

    `ours()` and `peer()` return (seconds of each part, a number that both must agree on). In a round each runs a few
    times in a row, as in a training loop: the first run does not count, the others' mean does, since what one step
    leaves to the garbage collector slows down the next.
    """
    mine, theirs = ours()[1], peer()[1]
    if not math.isclose(mine, theirs, rel_tol=1e-9):
        sys.exit(f"bench: the libraries computed different results, {mine!r} and {theirs!r}")
    pairs = [list(zip(several(ours, runs[0]), several(peer, runs[1]), strict=True)) for _ in range(rounds)]
    result = {}
    for name, column in zip([*parts, "total"], zip(*pairs, strict=True), strict=True):
        ratios = sorted(theirs / mine for mine, theirs in column)
        result[name] = {
            "ours": statistics.median(mine for mine, _ in column),
            "peer": statistics.median(theirs for _, theirs in column),
            "ratio": statistics.median(ratios),
            "range": [ratios[0], ratios[-1]],
        }
    return result


def several(run, times):
    """The mean seconds of each part, and of all together."""
    gc.collect()  # what the other library left behind
    run()
    means = [statistics.fmean(part) for part in zip(*[run()[0] for _ in range(times)], strict=True)]
    return [*means, sum(means)]


# ---- speed -----------------------------------------------------------------------------------------------------------


CHAIN = ["forward", "backward", "free"]
STEP = ["forward", "backward", "update", "free"]


def chain(rounds):
    """z = z * w + b, at three lengths."""
    return {
        n: compare_chains(lambda Value, n=n: programs.chain(Value, n), rounds, runs)
        for n, runs in {500: (100, 20), SIZE: (10, 3), 10 * SIZE: (5, 1)}.items()
    }


def operators(rounds):
    """Each operator alone, 1,000 in a row."""
    return {
        name: compare_chains(lambda Value, op=op: programs.operator_chain(Value, *op, 1000), rounds, (50, 10))
        for name, op in programs.OPERATORS.items()
    }


def compare_chains(make, rounds, runs):
    ours, peer = (importlib.import_module(f"{library}.engine").Value for library in ("glassgrad", "micrograd"))
    return compare(
        CHAIN,
        lambda: programs.parts_of(lambda: make(ours)),
        lambda: programs.parts_of(lambda: make(peer)),
        rounds,
        runs,
    )


def moons(rounds):
    X, y = programs.moons_data()
    return compare(STEP, programs.moons("glassgrad", X, y), programs.moons("micrograd", X, y), rounds)


def names_gpt(rounds):
    return compare(STEP, programs.gpt_step("glassgrad"), programs.gpt_step("plain"), rounds)


def names_gpt_operators(rounds):
    """With dot products written out in * and + on both sides."""
    return compare(STEP, programs.gpt_step("glassgrad", dot=plain.dot), programs.gpt_step("plain"), rounds)


# ---- memory, growth, import ------------------------------------------------------------------------------------------


def memory(rounds):
    """Bytes a node of a long chain takes, in glassgrad and in micrograd: growth of resident memory."""
    sizes = {"glassgrad": 1_000_000, "micrograd": 100_000}
    found = {library: [] for library in sizes}
    for _ in range(rounds):
        for library, n in sizes.items():
            out = run_python(f"import rows; rows.hold('{library}', {n})")
            found[library].append(float(out))
    ours, peer = (statistics.median(found[library]) for library in sizes)
    return {"ours": ours, "peer": peer, "ratio": peer / ours}


def hold(library, n):
    """Print the bytes per node while a chain of n operations is alive, and leave without taking it apart."""
    Value = importlib.import_module(f"{library}.engine").Value
    gc.collect()
    before = resident()
    z = programs.chain(Value, n)
    print((resident() - before) / n, flush=True)
    os._exit(z is None)  # the peer's chain would take itself apart for a while


def resident():
    """Bytes of this process that are in memory."""
    if sys.platform == "linux":
        return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    import psutil

    return psutil.Process().memory_info().rss


GROWTH = 100_000, 1_000_000  # operations


def growth(rounds):
    """time(10n) / time(n) for building, sweeping and freeing a chain, for n = 10^5; 10 means linear.

    'first': every chain in a process of its own, which has to get the memory for it. 'again': the second chain of the
    process, where the smaller one finds its memory in the caches and the larger one does not.
    """
    times = {n: [] for n in GROWTH}
    for _ in range(rounds):
        for n in GROWTH:
            times[n].append(json.loads(run_python(f"import rows; rows.grow({n})")))
    found = {}
    for turn, name in enumerate(("first", "again")):
        small, large = (
            [statistics.median(part) for part in zip(*[run[turn] for run in times[n]], strict=True)] for n in GROWTH
        )
        found[name] = {
            part: {"small": a, "large": b, "ratio": b / a} for part, a, b in zip(CHAIN, small, large, strict=True)
        }
    return found


def grow(n):
    """Print the seconds that a chain of n operations takes to build, sweep and free, the first time and the second."""
    Value = importlib.import_module("glassgrad.engine").Value
    for _ in range(30):  # a processor that was idle takes a while to reach its speed
        programs.parts_of(lambda: programs.chain(Value, 10_000))
    gc.collect()  # what imports left behind: a full collection in the middle takes as long as 30,000 operations
    print(json.dumps([programs.parts_of(lambda: programs.chain(Value, n))[0] for _ in range(2)]))


def importing(rounds):
    """Seconds that `import glassgrad` adds to `python -c pass`, and what that takes itself.

    Bytecode is kept, as where a package is installed: some machines that build and test are told not to.
    """
    commands = {"with": "import glassgrad", "without": "pass"}
    found = {name: [] for name in commands}
    with tempfile.TemporaryDirectory() as folder:
        kept = {**os.environ, "PYTHONPYCACHEPREFIX": folder, "PYTHONDONTWRITEBYTECODE": ""}
        run_python(commands["with"], kept)
        for _ in range(rounds):
            for name, command in commands.items():
                start = time.perf_counter()
                run_python(command, kept)
                found[name].append(time.perf_counter() - start)
    added = [a - b for a, b in zip(found["with"], found["without"], strict=True)]
    return {"ours": statistics.median(added), "python": statistics.median(found["without"])}


def run_python(command, environment=None):
    done = subprocess.run(
        [sys.executable, "-c", command],
        cwd=Path(__file__).parent,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        sys.exit(done.stderr)
    return done.stdout


# ---- for orientation: PyTorch ----------------------------------------------------------------------------------------


def torch(rounds):
    """The same in PyTorch on one thread, float64: the moons step in tensors, and the chain in scalars."""
    import torch as t

    t.set_num_threads(1)
    t.set_default_dtype(t.float64)
    t.manual_seed(1337)
    X, y = map(t.tensor, programs.moons_data())
    net = t.nn.Sequential(
        t.nn.Linear(2, 16), t.nn.ReLU(), t.nn.Linear(16, 16), t.nn.ReLU(), t.nn.Linear(16, 1)
    )  # fmt: skip
    parameters = list(net.parameters())

    def step():
        loss = (1 - y * net(X)[:, 0]).relu().mean() + 1e-4 * sum((p * p).sum() for p in parameters)
        for p in parameters:
            p.grad = None
        loss.backward()
        with t.no_grad():
            for p in parameters:
                p.sub_(0.01 * p.grad)

    def scalars():
        z, w, b = (t.tensor(x, requires_grad=True) for x in (1.0, 1.0000001, 1e-9))
        start = time.perf_counter()
        for _ in range(500):
            z = z * w + b
        built = time.perf_counter()
        z.backward()
        return (built - start) / 1000, (time.perf_counter() - built) / 1000

    for _ in range(20):
        step()
    steps = [timed(step, 20) for _ in range(5 * rounds)]
    forward, backward = zip(*[scalars() for _ in range(rounds)], strict=True)
    return {
        "version": t.__version__,
        "moons": statistics.median(steps),
        "forward": statistics.median(forward),
        "backward": statistics.median(backward),
    }


def timed(function, times):
    start = time.perf_counter()
    for _ in range(times):
        function()
    return (time.perf_counter() - start) / times


# ---- in a process of its own -----------------------------------------------------------------------------------------


def main():
    """In a thread with a large stack: micrograd and the plain peer recurse once for each operation on a path."""
    sys.setrecursionlimit(10**7)
    threading.stack_size(512 << 20)
    name, rounds = sys.argv[1], int(sys.argv[2])
    with ThreadPoolExecutor(1) as thread:
        print(json.dumps(thread.submit(globals()[name], rounds).result()))


if __name__ == "__main__":
    main()
