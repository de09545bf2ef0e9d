"""glassgrad against its peers: `make bench`, or `python -m bench [--quick] [ROW ...]`.

Measures every row in a process of its own (`rows.py`, `compiled.py`, `firsts.py`, `derivatives.py`, `layout.py`,
`viewer.py`), prints tables with goals, and after a full run writes `bench/results.json` and the tables of
`docs/benchmarks.md`; `--readme` fills the READMEs' tables as well.
"""

import argparse
import json
import os
import platform
import shlex
import subprocess
import sys
import sysconfig
import time
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from pathlib import Path

import report
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

import glassgrad

HERE = Path(__file__).resolve().parent
RESULTS = HERE / "results.json"

DERIVATIVES = [  # the rows of derivatives.py, the others are of rows.py
    "rosenbrock_10",
    "rosenbrock_100",
    "rosenbrock_1000",
    "rosenbrock_10000",
    "hessian_100",
    "sparse_hessian_10000",
    "bundle",
    "determinant_7",
    "recurrence_1000",
]
COMPILED = [  # those of compiled.py
    "compiled_gpt",
    "compiled_gpt_16",
    "compiled_moons",
    "compiled_digits",
    "compiled_mnist",
    "compiled_growth",
]
FIRSTS = ["compiled_logistic", "compiled_lotka", "compiled_first"]  # those of firsts.py
GROUPS = {"compiled": [*COMPILED, *FIRSTS]}
SCRIPTS = {
    **dict.fromkeys(DERIVATIVES, "derivatives"),
    **dict.fromkeys(COMPILED, "compiled"),
    **dict.fromkeys(FIRSTS, "firsts"),
    "layout": "layout",
    "viewer": "viewer",
}
ROUNDS = {  # a full run and a quick one
    "chain": (15, 3),
    "operators": (15, 3),
    "moons": (9, 1),
    "names_gpt": (15, 3),
    "names_gpt_operators": (9, 2),
    "memory": (5, 1),
    "growth": (9, 3),
    "importing": (31, 7),
    "torch": (15, 3),
    **dict.fromkeys(COMPILED, (21, 5)),
    **dict.fromkeys(FIRSTS, (5, 1)),
    "compiled_growth": (3, 1),
    "layout": (5, 1),
    "viewer": (5, 1),
    **dict.fromkeys(DERIVATIVES, (3, 1)),
}
NEEDS = {
    "chain": "micrograd",
    "operators": "micrograd",
    "moons": "micrograd",
    "memory": "micrograd",
    "torch": "torch",
    **dict.fromkeys(DERIVATIVES, "scipy"),
    **dict.fromkeys(GROUPS["compiled"], "jax"),
}


def measure(name, rounds):
    """What its script found, or None, with a line that says why, where it could not."""
    if name in NEEDS and find_spec(NEEDS[name]) is None:
        print(f"{name}: skipped, {NEEDS[name]} is not installed (pip install --group bench)", flush=True)
        return None
    script = HERE / f"{SCRIPTS.get(name, 'rows')}.py"
    done = subprocess.run([sys.executable, str(script), name, str(rounds)], capture_output=True, text=True, check=False)
    if done.returncode:
        print(f"{name}: failed\n{done.stderr}", flush=True)
        return None
    print(done.stderr, end="", flush=True)
    return json.loads(done.stdout)


def measure_all(names, quick):
    console = Console()
    found = {}
    columns = TextColumn("{task.description:20}"), BarColumn(32), MofNCompleteColumn(), TimeElapsedColumn()
    with Progress(*columns, console=console, disable=not console.is_terminal, transient=True) as bar:
        task = bar.add_task("", total=len(names))
        for name in names:
            bar.update(task, description=name)
            start = time.perf_counter()
            result = measure(name, ROUNDS[name][quick])
            if result is not None:
                found[name] = result
            if not console.is_terminal:
                print(f"measured {name:20} {time.perf_counter() - start:6.1f} s", flush=True)
            bar.advance(task)
    return found


def machine():
    """What the numbers depend on."""
    return {
        "cpu": cpu(),
        "cores": os.cpu_count(),
        "system": f"{platform.system()} {platform.machine()}",
        "python": platform.python_version(),
        "compiler": compiler(),
        "glassgrad": f"{glassgrad.__version__}, {'compiled' if glassgrad.COMPILED else 'interpreted'}",
        **{name: installed(name) for name in ("micrograd", "torch", "autograd", "jax", "casadi")},
        "date": datetime.now(UTC).date().isoformat(),
    }


def cpu():
    if Path("/proc/cpuinfo").exists():
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    if sys.platform == "darwin":
        return subprocess.run(
            ["sysctl", "-n", "machdep.cpu.brand_string"], capture_output=True, text=True, check=False
        ).stdout.strip()
    return platform.processor() or platform.machine()


def compiler():
    """The first line of what the C compiler says about itself."""
    command = shlex.split(os.environ.get("CC") or sysconfig.get_config_var("CC") or "cc")[:1]
    try:
        done = subprocess.run([*command, "--version"], capture_output=True, text=True, check=False)
    except OSError:
        return "no C compiler"
    return done.stdout.partition("\n")[0]


def installed(name):
    try:
        return version(name)
    except PackageNotFoundError:
        return None


def load():
    return round(os.getloadavg()[0], 2) if hasattr(os, "getloadavg") else None


def main():
    options = argparse.ArgumentParser(prog="bench", description=__doc__.partition("\n")[0])
    names = [*GROUPS, *ROUNDS]
    options.add_argument("rows", nargs="*", metavar="ROW", help=f"only these: {', '.join(names)}")
    options.add_argument("--quick", action="store_true", help="few rounds, some minutes, nothing written")
    options.add_argument("--readme", action="store_true", help="write the READMEs' tables too")
    given = options.parse_args()
    if unknown := set(given.rows) - set(names):
        options.error(f"no such row: {', '.join(sorted(unknown))}; there are {', '.join(names)}")
    rows = [name for row in given.rows or ROUNDS for name in GROUPS.get(row, [row])]

    results = {"machine": machine(), "load": [load()]}
    start = time.perf_counter()
    results |= measure_all(rows, given.quick)
    results["load"].append(load())
    report.show(results)
    print(f"took {time.perf_counter() - start:.0f} s")
    if given.quick or given.rows:
        print("nothing written: only a full run is published")
        return
    if not glassgrad.COMPILED or not set(ROUNDS) <= set(results):
        print("nothing written: a run on the interpreted build, or with rows left out, is not published")
        return
    RESULTS.write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")
    report.publish(results, readmes=given.readme)


if __name__ == "__main__":
    main()
