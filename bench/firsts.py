"""Time to a first result, and of later calls: compiled functions against jax.jit, each measurement in its own process.

`python bench/firsts.py compiled_logistic 3` prints JSON: what each library took in 3 rounds. For the first result that
is the time on the clock, since XLA compiles in threads of its own; for later calls processor time of all threads.
"""

import compiled  # noqa: F401, I001 - first: it gives each library one thread

import faulthandler
import functools
import json
import math
import statistics
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import steps

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "examples"))

LOGISTIC = 1000  # steps
YEARS, A_YEAR = 20, 5  # of the ode, Runge-Kutta steps a year
START = {"logistic": [2.8, 0.4], "lotka": [0.6, 0.03, 0.9, 0.03, 30.0, 5.0]}


# ---- recurrences, written once for all scalars; `m` has the library's log --------------------------------------------


def logistic(_, unknowns):
    """The mean of 1000 steps of the logistic map, of its rate and where it starts."""
    rate, x = unknowns
    total = 0.0
    for _ in range(LOGISTIC):
        x = rate * x * (1.0 - x)
        total = total + x
    return total / LOGISTIC


def lotka(m, unknowns):
    """How far hares and lynx are off, in logarithms, by the laws of examples/ode.py, solved by Runge and Kutta."""
    import ode

    course = ode.populations(unknowns, YEARS, A_YEAR)[::A_YEAR]
    return sum(
        (m.log(x) - math.log(counted)) ** 2
        for state, row in zip(course, zip(ode.HARES, ode.LYNX, strict=True), strict=True)
        for x, counted in zip(state, row, strict=True)
    )


FUNCTIONS = {"logistic": logistic, "lotka": lotka}


# ---- the same with JAX's own loop ------------------------------------------------------------------------------------


def logistic_scan(j, unroll, unknowns):
    rate, x = unknowns

    def step(x, _):
        x = rate * x * (1.0 - x)
        return x, x

    return j.lax.scan(step, x, None, LOGISTIC, unroll=unroll)[1].mean()


def lotka_scan(j, unroll, unknowns):
    import ode

    jnp = j.numpy
    births, eaten, deaths, fed = unknowns[:4]

    def velocity(y):
        return jnp.stack([(births - eaten * y[1]) * y[0], (fed * y[0] - deaths) * y[1]])

    def step(y, _):
        h = 1 / A_YEAR
        k1 = velocity(y)
        k2 = velocity(y + h / 2 * k1)
        k3 = velocity(y + h / 2 * k2)
        k4 = velocity(y + h * k3)
        y = y + h / 6 * (k1 + 2 * k2 + 2 * k3 + k4)
        return y, y

    _, course = j.lax.scan(step, unknowns[4:], None, YEARS * A_YEAR, unroll=unroll)
    course = jnp.vstack([unknowns[4:], course[A_YEAR - 1 :: A_YEAR]])
    return ((jnp.log(course) - np.log(np.stack([ode.HARES, ode.LYNX], 1))) ** 2).sum()


SCANS = {"logistic": logistic_scan, "lotka": lotka_scan}


# ---- one library, in a process of its own ----------------------------------------------------------------------------


def with_glassgrad(name):
    """A function from floats to the value and the gradient."""
    import glassgrad

    f = glassgrad.compile(lambda unknowns: FUNCTIONS[name](glassgrad, unknowns))

    def run(numbers):
        unknowns = list(map(glassgrad.Value, numbers))
        y = f(unknowns)
        y.backward()
        return y.data, [x.grad for x in unknowns]

    return run


def with_jax(name, way):
    """The same; `way` is "unrolled", or how many steps of the loop are one of lax.scan's."""
    import jax as j

    j.config.update("jax_enable_x64", True)
    j.config.update("jax_cpu_enable_async_dispatch", False)
    if way == "unrolled":
        f = lambda unknowns: FUNCTIONS[name](j.numpy, list(unknowns))  # noqa: E731
    else:
        f = functools.partial(SCANS[name], j, int(way))
    compiled_f = j.jit(j.value_and_grad(f))

    def run(numbers):
        value, gradient = compiled_f(j.numpy.asarray(numbers))
        return float(value), np.asarray(gradient)

    return run


def gpt_with(library):
    """One step of training of names_gpt, whatever the numbers."""
    work = steps.names_gpt()
    made = steps.ours(work) if library == "glassgrad" else steps.jax(work)
    return lambda _: (float(made.step()), [])


def one(name, library, way, limit):
    """Print a line of JSON after the first result, and one after later calls.

    Before the clock starts the library has differentiated something else: JAX starts its backend at its first use.
    """
    ready = {"glassgrad": ready_glassgrad, "jax": ready_jax}[library]
    ready()
    if name == "gpt":
        run = gpt_with(library)
        numbers = lambda _: None  # noqa: E731
    else:
        run = with_glassgrad(name) if library == "glassgrad" else with_jax(name, way)
        numbers = lambda k: [x * (1 + 1e-3 * k) for x in START[name]]  # noqa: E731
    faulthandler.dump_traceback_later(limit, exit=True)
    start = time.perf_counter()
    value, gradient = run(numbers(0))
    print(json.dumps({"first": time.perf_counter() - start, "numbers": [value, *map(float, gradient)]}), flush=True)
    later = []
    for k in range(1, 200):
        start = time.process_time()
        run(numbers(k))
        later.append(time.process_time() - start)
        if sum(later) > 0.5:
            break
    print(json.dumps({"later": statistics.median(later)}), flush=True)


def ready_glassgrad():
    import glassgrad

    x = glassgrad.Value(2.0)
    glassgrad.compile(lambda x: x * x)(x).backward()


def ready_jax():
    import jax as j

    j.config.update("jax_enable_x64", True)
    j.jit(j.value_and_grad(lambda x: x * x))(2.0)


# ---- a row: the libraries in turns -----------------------------------------------------------------------------------

WAYS = {
    "gpt": {"glassgrad": [""], "jax": [""]},
    "logistic": {"glassgrad": [""], "jax": ["1", "16", "unrolled"]},
    "lotka": {"glassgrad": [""], "jax": ["1", "5", "unrolled"]},
}


def measure(name, rounds):
    """For each library and way the medians; one that takes more than a few seconds has one round."""
    limit = 120 if rounds > 1 else 10
    found = {(library, way): [] for library, ways in WAYS[name].items() for way in ways}
    slow = set()
    for _ in range(rounds):
        for key, runs in found.items():
            if key not in slow:
                run = in_its_own_process(name, *key, limit)
                runs.append(run)
                if run.get("first", math.inf) > 5:
                    slow.add(key)
    expected = found["glassgrad", ""][0]["numbers"]
    result = {"limit": limit, "ways": []}
    for (library, way), runs in found.items():
        for run in runs:
            if "numbers" in run and not np.allclose(run["numbers"], expected, rtol=1e-9, atol=1e-12):
                sys.exit(f"{name}, {library} {way}: it computed {run['numbers']}, not {expected}")
        entry = {"library": library, "way": way}
        for key in ("first", "later"):
            times = [run[key] for run in runs if key in run]
            entry[key] = statistics.median(times) if times else None
        result["ways"].append(entry)
    return result


def in_its_own_process(*arguments):
    """What `one` prints; without what took longer than the limit."""
    command = [sys.executable, __file__, "one", *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode and "Timeout (" not in done.stderr:
        sys.exit(done.stderr)
    found = {}
    for line in done.stdout.splitlines():
        found |= json.loads(line)
    return found


def main():
    if sys.argv[1] == "one":
        name, library, way, limit = sys.argv[2:]
        sys.setrecursionlimit(10**5)
        one(name, library, way, float(limit))
    else:
        print(json.dumps(measure(sys.argv[1].removeprefix("compiled_").replace("first", "gpt"), int(sys.argv[2]))))


if __name__ == "__main__":
    main()
