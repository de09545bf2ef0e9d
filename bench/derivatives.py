"""Derivatives of the same scalar functions by glassgrad and its peers, each measurement in a process of its own.

`python bench/derivatives.py determinant_7 3` prints JSON: what each library of `libraries.py` took in 3 rounds for the
first result and for a later call with other numbers, and what the function itself costs. Times are those of the clock
on the wall, since XLA compiles and computes in threads of its own; costs, of glassgrad alone, are processor time.
"""

import faulthandler
import functools
import gc
import itertools
import json
import math
import os
import random
import statistics
import subprocess
import sys
import time
from dataclasses import dataclass

import numpy as np
import scipy.sparse
from libraries import LIBRARIES
from programs import clock

COSTS = ["derivative", "on floats", "on Values"]

# ---- the functions: `m` has the library's sin, cos and sqrt, `x` are its scalars --------------------------------


def rosenbrock(m, x):
    return sum(100.0 * (b - a * a) ** 2 + (1.0 - a) ** 2 for a, b in itertools.pairwise(x))


def rosenbrock_in_arrays(m, x):
    a, b = x[:-1], x[1:]
    return m.sum(100.0 * (b - a * a) ** 2 + (1.0 - a) ** 2)


def reprojection(m, x):
    """8 residuals: where two cameras, of 9 numbers each, see two points, of 3 each, less where they were observed."""
    cameras, points = (x[:9], x[9:18]), (x[18:21], x[21:])
    seen = [project(m, camera, point) for camera in cameras for point in points]
    return [z - observed for (u, v) in seen for z, observed in ((u, 12.5), (v, -7.25))]


def project(m, camera, point):
    """The camera of "Bundle Adjustment in the Large" (Agarwal et al., 2010): a rotation vector, a translation, the
    focal length, two coefficients of radial distortion. The rotation is Rodrigues' formula.
    """
    rotation, translation, (focal, k1, k2) = camera[:3], camera[3:6], camera[6:]
    angle = m.sqrt(dot(rotation, rotation))
    axis = [r / angle for r in rotation]
    sine, cosine = m.sin(angle), m.cos(angle)
    along = dot(axis, point) * (1.0 - cosine)
    turned = [p * cosine + c * sine + a * along for p, c, a in zip(point, cross(axis, point), axis, strict=True)]
    px, py, pz = (p + t for p, t in zip(turned, translation, strict=True))
    u, v = -px / pz, -py / pz
    r2 = u * u + v * v
    scale = focal * (1.0 + k1 * r2 + k2 * r2 * r2)
    return scale * u, scale * v


def dot(a, b):
    return a[0] * b[0] + a[1] * b[1] + a[2] * b[2]


def cross(a, b):
    return [a[1] * b[2] - a[2] * b[1], a[2] * b[0] - a[0] * b[2], a[0] * b[1] - a[1] * b[0]]


def determinant(m, x):
    """Of the matrix whose rows stand in x one after the other, by recursion along the first row."""
    n = math.isqrt(len(x))
    return cofactors([x[i : i + n] for i in range(0, n * n, n)])


def cofactors(rows):
    if len(rows) == 1:
        return rows[0][0]
    total = 0.0
    for j, a in enumerate(rows[0]):
        term = a * cofactors([row[:j] + row[j + 1 :] for row in rows[1:]])
        total = total - term if j % 2 else total + term
    return total


def recurrence(m, x):
    """The mean of 1000 steps of the logistic map, of its rate and where it starts."""
    rate, state = x
    total = 0.0
    for _ in range(1000):
        state = rate * state * (1.0 - state)
        total = total + state
    return total / 1000.0


# ---- the rows --------------------------------------------------------------------------------------------------------


@dataclass
class Row:
    title: str
    ranges: list  # from where to where each input is drawn
    scalars: tuple  # the adapters' method, and the function
    arrays: tuple | None = None  # the same for peers in array form

    @property
    def forms(self):
        return {"scalars": self.scalars} | ({"arrays": self.arrays} if self.arrays else {})

    def inputs(self, k):
        """The k-th numbers that the derivative is called with."""
        draw = random.Random(k)
        return [draw.uniform(low, high) for low, high in self.ranges]


SIDES, FOCAL = [(-0.5, 0.5)] * 2, [(400.0, 600.0), (-0.1, 0.1), (-0.01, 0.01)]
CAMERA = [(0.1, 0.3)] * 3 + [*SIDES, (-5.5, -4.5)] + FOCAL

ROWS = {
    **{
        f"rosenbrock_{n}": Row(
            f"Rosenbrock, n = {n:,}: gradient", [(0.5, 1.5)] * n,
            ("gradient", rosenbrock), ("gradient", rosenbrock_in_arrays),
        )
        for n in (10, 100, 1000, 10_000)
    },
    "hessian_100": Row(
        "Rosenbrock, n = 100: Hessian", [(0.5, 1.5)] * 100,
        ("hessian", rosenbrock), ("hessian", rosenbrock_in_arrays),
    ),
    "sparse_hessian_10000": Row(
        "Rosenbrock, n = 10,000: sparse Hessian", [(0.5, 1.5)] * 10_000,
        ("sparse_hessian", rosenbrock), ("tridiagonal_hessian", rosenbrock_in_arrays),
    ),
    "bundle": Row(
        "bundle adjustment, 8 residuals by 24: Jacobian", CAMERA * 2 + [*SIDES, (-0.5, 0.5)] * 2,
        ("jacobian", reprojection),
    ),
    "determinant_7": Row(
        "determinant of 7 × 7 by cofactors: gradient", [(-1.0, 1.0)] * 49, ("gradient", determinant)
    ),
    "recurrence_1000": Row(
        "1000 steps of the logistic map: gradient", [(2.6, 2.9), (0.2, 0.8)], ("gradient", recurrence)
    ),
}  # fmt: skip


# ---- one library on one row, in a process of its own -----------------------------------------------------------------


def one(name, form, library, limit):
    """Print a line of JSON after the first result, and one after the later calls; leave when either takes longer than
    `limit` seconds.

    Before the clock starts the library has differentiated something else: at its first use PyTorch imports for a
    second, and JAX starts its backend.
    """
    row = ROWS[name]
    transform, function = row.forms[form]
    adapter = LIBRARIES[form][library]()
    if not hasattr(adapter, transform):
        return
    f = functools.partial(function, adapter.math)
    adapter.gradient(lambda x: x[0] * x[1], 2)([1.0, 2.0])
    tell({"offered": True})

    faulthandler.dump_traceback_later(limit, exit=True)
    x = row.inputs(0)
    gc.collect()
    start = time.perf_counter()
    derivative = getattr(adapter, transform)(f, len(x))
    result = derivative(x)
    tell({"first": time.perf_counter() - start, "numbers": numbers(result)})

    faulthandler.dump_traceback_later(limit, exit=True)
    seconds = {"later": []}
    costs = {cost: [] for cost in COSTS if library == "glassgrad"}
    while sum(seconds["later"]) < 0.3 and len(seconds["later"]) < 200:
        x = row.inputs(1 + len(seconds["later"]))
        time_of_call, result = timed(derivative, x)
        if not seconds["later"]:
            tell({"other numbers": numbers(result)})
        seconds["later"].append(time_of_call)
        if costs:
            costs["derivative"].append(timed(derivative, x, clock=clock)[0])
            costs["on floats"].append(timed(function, math, x, clock=clock)[0])
            costs["on Values"].append(timed(adapter.value, f, x, clock=clock)[0])
    tell({key: statistics.median(times) for key, times in (seconds | costs).items()})


def timed(function, *arguments, clock=time.perf_counter):
    start = clock()
    result = function(*arguments)
    return clock() - start, result


def numbers(result):
    """All numbers of a result in a list, row by row; of a sparse matrix those that it stores, and where."""
    if scipy.sparse.issparse(result):
        rows = result.tocsr()
        rows.sort_indices()
        return [*rows.indices.tolist(), *rows.data.tolist()]
    return np.ravel(result).tolist()


def tell(found):
    print(json.dumps(found), flush=True)


# ---- a row: the libraries in turns -----------------------------------------------------------------------------------


def measure(name, rounds):
    """For each form and library the median seconds of the rounds, None where they are over the limit; a library that
    does not offer the transform is left out. One that takes more than a second in all has only the first round.
    """
    limit = 30 if rounds > 1 else 1
    forms = [form for form in ROWS[name].forms if form == "scalars" or rounds > 1]
    runs = {(form, library): [] for form in forms for library in LIBRARIES[form]}
    slow = set()
    for _ in range(rounds):
        for key, found in runs.items():
            if key not in slow:
                seconds, run = timed(in_its_own_process, name, *key, limit)
                found.append(run)
                if seconds > 1:
                    slow.add(key)

    result = {"title": ROWS[name].title, "goal": ROWS[name].scalars[0] == "gradient", "limit": limit}
    expected = {}
    for (form, library), found in runs.items():
        if found[0]:
            result.setdefault(form, {})[library] = summary(found, expected, f"{name}, {form}, {library}")
    return result


def in_its_own_process(*arguments):
    """What `one` tells; nothing if the library does not offer the transform."""
    command = [sys.executable, __file__, "one", *map(str, arguments)]
    # The peers were compiled to bytecode when they were installed; an editable glassgrad is at its first import.
    environment = {key: value for key, value in os.environ.items() if key != "PYTHONDONTWRITEBYTECODE"}
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
    found = {}
    for line in done.stdout.splitlines():
        found |= json.loads(line)
    if done.returncode and "Timeout (" not in done.stderr:
        found["failed"] = done.stderr.strip().rpartition("\n")[2]
    return found


def summary(runs, expected, where):
    """The medians, or {} with a line that says why on stderr, where it failed or computed other numbers than the first
    library that had a result.
    """
    problems = {run["failed"] for run in runs if "failed" in run}
    for run in runs:
        for key in ("numbers", "other numbers"):
            if key in run and not equal(run[key], expected.setdefault(key, run[key])):
                problems.add("it computed different numbers")
    if problems:
        print(f"{where}: {'; '.join(sorted(problems))}", file=sys.stderr)
        return {}
    times = {key: [run[key] for run in runs if key in run] for key in ("first", "later", *COSTS)}
    return {"first": None, "later": None} | {key: statistics.median(found) for key, found in times.items() if found}


def equal(a, b):
    a, b = np.array(a), np.array(b)
    return a.shape == b.shape and bool(np.abs(a - b).max() <= 1e-9 * np.abs(b).max())


def main():
    if sys.argv[1] == "one":
        name, form, library, limit = sys.argv[2:]
        one(name, form, library, float(limit))
    else:
        print(json.dumps(measure(sys.argv[1], int(sys.argv[2]))))


if __name__ == "__main__":
    main()
