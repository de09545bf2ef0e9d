"""Where a compiled step's time goes, and what this machine could not do it in less than.

The floor is the time for the program's multiply-adds at the rate of a matrix product that lies in the cache, and that
for the bytes of parameters and optimizer state at the rate of a copy of as many.
"""

import itertools
import math
import time

import numpy as np

from glassgrad.compiler.evaluate import blocks_of
from glassgrad.compiler.program import Contract, Gather, Spread

PYTHON = ["zero_grad", "call", "program", "backward", "step"]


class Watched:
    """A machine whose runs are timed."""

    def __init__(self, machine):
        self.machine, self.seconds, self.examples = machine, 0.0, 1

    def single(self, numbers, examples, careful):
        start = time.perf_counter()
        found = self.machine.single(numbers, examples, careful)
        self.seconds += time.perf_counter() - start
        self.numbers, self.examples = numbers, examples
        return found


def parts(made, steps):
    """The seconds of each part of a step, medians, and those of the program by kind of work."""
    loss, optimizer, batches = made.loss, made.optimizer, made.batches
    entry = loss._last()
    entry.machine = watched = Watched(entry.machine)
    runs = []
    for k in range(steps):
        batch = batches[k % len(batches)]
        watched.seconds = 0.0
        times = [time.perf_counter()]
        optimizer.zero_grad()
        times.append(time.perf_counter())
        L = loss(*batch)
        times.append(time.perf_counter())
        L.backward()
        times.append(time.perf_counter())
        optimizer.step()
        times.append(time.perf_counter())
        zero, call, backward, step = (b - a for a, b in itertools.pairwise(times))
        runs.append([zero, call - watched.seconds, watched.seconds, backward, step])
    entry.machine = machine = watched.machine
    medians = np.median(runs, axis=0).tolist()
    numbers, examples = blocks_of(machine.given, watched.numbers, watched.examples), watched.examples
    work = machine.profile(numbers, examples) if hasattr(machine, "profile") else by_kind(machine, numbers, examples)
    return {
        "python": dict(zip(PYTHON, medians, strict=True)),
        "work": work,
        "slowest": slowest(machine, numbers, examples) if hasattr(machine, "times") else [],
        "instructions": len(machine.program.instructions),
        "machine": type(machine).__module__.rpartition(".")[2],
    }


def slowest(machine, numbers, examples, most=3):
    """The instructions that take the longest: how they are printed, by what kind of step they run, the seconds."""
    lines = str(machine.program).splitlines()
    printed = {i: line for line in lines for i in [line.partition("[")[0].partition(" ")[0]] if i[:1] == "t"}
    found = sorted(machine.times(numbers, examples), key=lambda step: -step[2])[:most]
    cut = lambda line: line if len(line) < 60 else f"{line[:59]}…"  # noqa: E731
    return [(cut(printed.get(f"t{i}", "several scalars in a row")), kind, seconds) for i, kind, seconds in found]


def by_kind(machine, numbers, examples):
    """The same as the native machine's `profile`, of the NumPy machine."""
    found = dict.fromkeys(["products", "maps", "copies"], 0.0)
    whole = least(lambda: machine.run(numbers, examples), 20)
    for instruction, step in zip(machine.program.instructions, machine.steps, strict=True):
        kind = "products" if isinstance(instruction, Contract) else "maps"
        if isinstance(instruction, Spread):
            kind = "copies"
        for operand in instruction.operands:  # what NumPy has to copy before it computes
            if isinstance(operand, Gather):
                copied = least(machine.reader(operand), 5)
                found["copies"] += copied
                found[kind] -= copied
        found[kind] += least(step, 5)
    return found | {"numbers in and out": max(0.0, whole - sum(found.values()))}


def least(run, times):
    best = math.inf
    with np.errstate(all="ignore"):
        for _ in range(times):
            start = time.perf_counter()
            run()
            best = min(best, time.perf_counter() - start)
    return best


def floor(program, dtype, examples, parameters, optimizer):
    """The seconds of the arithmetic and of the memory, and what they are made of."""
    adds = sum(multiply_adds(x, examples) for x in program.instructions if isinstance(x, Contract))
    # A gradient is written and read, a parameter read for the program; SGD reads and writes it, Adam two more numbers.
    moved = 8 * parameters * (2 + 1 + (2 if optimizer == "sgd" else 6))
    peak, rate = peak_of(dtype), copying(parameters)
    return {
        "multiply-adds": adds,
        "peak": peak,
        "bytes": moved,
        "rate": rate,
        "arithmetic": adds / peak,
        "memory": moved / rate,
    }


def multiply_adds(instruction, examples):
    each = math.prod(instruction.shape) * len(instruction.signs)
    return each * (examples if instruction.u.rolled or instruction.v.rolled else 1)


def peak_of(dtype, n=192):
    """Multiply-adds a second, of a matrix product whose three matrices fit a second-level cache."""
    a, b, out = (np.ones((n, n), dtype) for _ in range(3))
    return n**3 / least(lambda: np.matmul(a, b, out=out), 100)


def copying(parameters):
    """Bytes read and written a second, by a copy of as many numbers as there are parameters."""
    a, b = np.ones(parameters), np.ones(parameters)
    times = max(1, 100_000 // parameters)  # so that the call costs nothing beside it

    def run():
        for _ in range(times):
            np.copyto(b, a)

    return 2 * 8 * parameters * times / least(run, 30)
