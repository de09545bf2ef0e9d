"""Compiled functions against the same models written by hand for speed: steps of training.

`python bench/compiled.py compiled_moons 9` prints JSON: what each library took for a step. All libraries are in one
process and take turns; each has one thread. Before that, their losses and gradients are compared, and the losses of
their first steps of training. Times are processor time of all threads.
"""

import os

SINGLE = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMEXPR_NUM_THREADS")
os.environ |= dict.fromkeys(SINGLE, "1")  # before NumPy is imported
os.environ["XLA_FLAGS"] = "--xla_cpu_multi_thread_eigen=false intra_op_parallelism_threads=1"

import gc  # noqa: E402
import json  # noqa: E402
import math  # noqa: E402
import statistics  # noqa: E402
import subprocess  # noqa: E402
import sys  # noqa: E402
import threading  # noqa: E402
import time  # noqa: E402
from concurrent.futures import ThreadPoolExecutor  # noqa: E402
from functools import partial  # noqa: E402
from importlib.util import find_spec  # noqa: E402

import floor  # noqa: E402
import numpy as np  # noqa: E402
import steps  # noqa: E402

JAX = {"one vector": steps.jax, "a list of arrays": partial(steps.jax, flat=False)}
TORCH = {"": steps.torch, "foreach": partial(steps.torch, foreach=True), "fused": partial(steps.torch, fused=True)}

# What each row runs, and what it is compared with: each peer in the ways in which it may be written, of which the
# fastest counts.
ROWS = {
    "compiled_gpt": (steps.names_gpt, {"jax": JAX}),
    "compiled_gpt_16": (partial(steps.names_gpt, 16, "float32"), {"jax": JAX}),
    "compiled_moons": (steps.moons, {
        "jax": JAX, "numpy": {"": steps.by_hand}, "torch": TORCH,
        "casadi": {"MX": steps.casadi, "SX": partial(steps.casadi, matrices=False)}, "micrograd": {"": steps.micrograd},
    }),
    "compiled_digits": (steps.digits, {"torch": TORCH, "jax": JAX}),
    "compiled_mnist": (steps.mnist_shaped, {"torch": TORCH, "jax": JAX}),
}  # fmt: skip
TOLERANCES = {"float64": (1e-9, 1e-9), "float32": (1e-4, 1e-3)}  # of loss and gradient, of the losses while training
TRAINED = 3  # steps whose losses are compared
SLOW = 0.1  # seconds of a step from which on two rounds of one step are enough


# ---- steps of training -----------------------------------------------------------------------------------------------


def measure(name, rounds):
    make, peers = ROWS[name]
    work = make()
    start = time.perf_counter()
    ours = steps.ours(work)
    expected = ours.first()
    compiled_in = time.perf_counter() - start
    trained = losses_of(ours)
    contenders = {("glassgrad", ""): ours}
    for library, ways in peers.items():
        if find_spec(library) is None:
            print(f"{name}: without {library}, which is not installed", file=sys.stderr)
            continue
        for way, peer in ways.items():
            contenders[library, way] = peer(work)
            compare(f"{name}, {library} {way}", contenders[library, way], expected, trained, work.dtype)
    times = in_turns(contenders, rounds)
    # A time of the batched GPT is given for one of its names.
    found = {
        "batch": len(work.batches[0][0]) if work.kind == "gpt batch" else 1,
        "dtype": work.dtype,
        "compiling": compiled_in,
        "libraries": {},
    }
    mine = times.pop(("glassgrad", ""))
    found["libraries"]["glassgrad"] = {"seconds": statistics.median(mine)}
    for library in {library: None for library, _ in times}:
        way, theirs = min(
            ((way, t) for (peer, way), t in times.items() if peer == library), key=lambda x: statistics.median(x[1])
        )
        ratios = sorted(t / m for t, m in zip(theirs, mine, strict=False))
        found["libraries"][library] = {
            "seconds": statistics.median(theirs),
            "way": way,
            "ratio": statistics.median(ratios),
            "range": [ratios[0], ratios[-1]],
        }
    made = ours.made
    found["parts"] = floor.parts(made, 10 + 40 * (rounds > 1))
    found["floor"] = floor.floor(
        made.loss.program, work.dtype, len(work.batches[0][0]), len(work.start()), work.optimizer
    )
    return found


def losses_of(contender):
    return [float(contender.step()) for _ in range(TRAINED)]


def compare(where, contender, expected, trained, dtype):
    """Stop where a library computes something else."""
    tolerance, later = TOLERANCES[dtype]
    (a, g), (b, h) = expected, contender.first()
    g, h = np.array(g, float), np.array(h, float)
    apart = max(abs(a - b) / abs(a), float(np.abs(g - h).max() / np.abs(g).max()))
    if not apart <= tolerance:
        sys.exit(f"{where}: loss or gradient is another one, by {apart:.2g}: {a!r} and {b!r}")
    for a, b in zip(trained, losses_of(contender), strict=True):
        if not math.isclose(a, b, rel_tol=later):
            sys.exit(f"{where}: after the same steps the loss is another one: {a!r} and {b!r}")


def in_turns(contenders, rounds):
    """For each contender and round its seconds for a step: the mean of some in a row, after one to warm up."""
    count = {}
    for key, contender in contenders.items():
        seconds = several(contender.step, 1)
        count[key] = (1, 2) if seconds > SLOW else (max(2, min(300, int(0.03 / seconds))), rounds)
    times = {key: [] for key in contenders}
    for k in range(rounds):
        for key, contender in contenders.items():
            if k < count[key][1]:
                times[key].append(several(contender.step, count[key][0]))
    return times


def several(step, times):
    gc.collect()  # what another library left behind
    if times > 1:
        step()
    start = time.process_time()
    for _ in range(times):
        loss = step()
    float(loss)
    return (time.process_time() - start) / times


# ---- growth ----------------------------------------------------------------------------------------------------------


def growth(rounds):
    """Seconds to compile moons with more and more samples written out, each in a process of its own, by stage."""
    sizes = [256, 2560] if rounds > 1 else [26, 256]  # samples: 781 scalars each, derivatives included
    runs = {n: [] for n in sizes}
    for _ in range(max(1, rounds // 3)):
        for n in sizes:
            done = subprocess.run(
                [sys.executable, __file__, "grow", str(n)], capture_output=True, text=True, check=False
            )
            if done.returncode:
                sys.exit(done.stderr)
            runs[n].append(json.loads(done.stdout))
    small, large = ({key: statistics.median(run[key] for run in runs[n]) for key in runs[n][0]} for n in sizes)
    return {"small": small, "large": large, "ratio": large["seconds"] / small["seconds"]}


def grow(samples):
    """Compile the loss of so many samples."""
    work = steps.moons()
    made = work.ours()
    (X, y), copies = made.batches[0], math.ceil(samples / 100)
    rng = np.random.default_rng(0)
    X = np.concatenate([X] * copies)[:samples] + rng.normal(0, 1e-3, (samples, 2))  # no two alike
    loss = steps.glassgrad.compile(made.loss)
    start = time.process_time()
    loss(X, np.concatenate([y] * copies)[:samples]).backward()
    return {"seconds": time.process_time() - start, "scalars": loss.program.scalars} | loss.seconds


# ---- in a process of its own -----------------------------------------------------------------------------------------


def main():
    """In a thread with a large stack: micrograd recurses once for each operation on a path."""
    sys.setrecursionlimit(10**7)
    threading.stack_size(512 << 20)
    name, number = sys.argv[1], int(sys.argv[2])
    run = {"compiled_growth": growth, "grow": grow}.get(name) or partial(measure, name)
    with ThreadPoolExecutor(1) as thread:
        print(json.dumps(thread.submit(run, number).result()))


if __name__ == "__main__":
    main()
