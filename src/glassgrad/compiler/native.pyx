"""Native: a program in C.

Pipeline: trace → differentiate → lift → program → plan → **native**.

It does what `evaluate` does, to rounding: that is the reference, and where this module was not compiled, the machine.
`plan` works out the steps, `kernels.h` runs them, without the GIL: threads that run one program each have an arena.
"""

import threading
import time

import numpy as np

from .. import rules
from . import evaluate
from .evaluate import Results, scalar_rule
from .plan import FIELDS, KINDS, Plan
from .shares import Shares

from cpython.array cimport array as Array
from cpython.buffer cimport (
    PyBUF_FORMAT, PyBUF_STRIDES, PyBUF_WRITABLE, PyBuffer_IsContiguous, PyBuffer_Release, PyObject_CheckBuffer,
    PyObject_GetBuffer,
)
from cpython.pycapsule cimport PyCapsule_GetName, PyCapsule_GetPointer
from libc.stdint cimport int32_t, int64_t
from ..flat cimport room

cdef extern from "native.h":
    ctypedef struct Step:
        pass
    enum:
        PYTHON  # the last kind
    ctypedef struct Kernels:
        int lanes
        int64_t (*run)(const Step *, int64_t, int64_t, const int32_t *, void *const *, void *) noexcept nogil
        int (*collect)(const Step *, const int32_t *, const void *, void *, int) noexcept nogil
        void (*take)(void *, int64_t, const void *, int, int64_t, int64_t, int64_t) noexcept nogil
    const Kernels *glassgrad_kernels(int single, int widest)

cdef extern from "threads.h":
    const int MOST_THREADS
    ctypedef struct Round:
        pass
    ctypedef struct Crew:
        const Kernels *kernels
        const Step *steps
        const int32_t *table
        void *const *rules
        void *arena
        const Round *rounds
        int64_t count
    void glassgrad_together(const Crew *, int threads) noexcept nogil

__all__ = ["LAYOUT", "Machine"]

LAYOUT = 4, PYTHON + 1, sizeof(Step) // sizeof(int64_t)  # as in arena.py

WORK = {
    "map": "maps", "rule": "maps", "logsumexp": "maps", "python": "maps", "gather": "copies", "runs": "copies", "rows": "copies", "transpose": "copies",
    "spread": "copies", "tape": "tape",
}  # fmt: skip
KEPT = 16  # plans of one program, for as many numbers of examples
widest = 64  # bytes of a vector, at most: for tests of the other kernels
cdef object empty_like = np.empty_like

# The C functions of rules.py: named as the operation, a derivative with _d and the operand; and those that are not.
NAMED = {
    "abs": "absolute", "pow": "power", "add'1": "add_dx", "sub'0": "add_dx", "minimum'0": "maximum_dw",
    "minimum'1": "maximum_dx", "leaky_relu'1": "leaky_relu_dslope", "elu'1": "elu_dalpha", "clip'1": "clip_dlow",
    "clip'2": "clip_dhigh", "where'0": "where_dcondition", "where'1": "where_dx", "where'2": "where_dw",
}  # fmt: skip

cdef class Rules:
    """The rules that a program calls, as C functions."""

    cdef void *functions[256]
    cdef dict numbers

    def __cinit__(self):
        self.numbers = {}

    def __call__(self, name):
        """The number of an operation's function; None where it takes an array of numbers."""
        op, _, place = name.partition("'")
        if op in evaluate.MANY:
            return None
        if name not in self.numbers:
            found = NAMED.get(name) or NAMED.get(op, op)
            if place and name not in NAMED:
                found += "_d" + "xw"[int(place)]
            capsule = rules.__pyx_capi__[found]
            self.functions[len(self.numbers)] = PyCapsule_GetPointer(capsule, PyCapsule_GetName(capsule))
            self.numbers[name] = len(self.numbers)
        return self.numbers[name]


cdef class Machine:
    """A program made ready to run. Threads run it at once.

    Arguments:
        dtype: of all numbers, float64 or float32.
        threads: how many a run may take.
    """

    cdef readonly object program, dtype, given
    cdef readonly int threads, lanes
    cdef const Kernels *kernels
    cdef Rules rules
    cdef dict plans
    cdef Prepared latest
    cdef object lock, latest_key
    cdef bint floats

    def __init__(self, program, dtype="float64", threads=1):
        self.program = program
        self.threads = min(threads, MOST_THREADS)
        self.dtype = np.dtype(dtype)
        self.floats = self.dtype == np.float32
        self.kernels = glassgrad_kernels(self.floats, widest)
        self.lanes = self.kernels.lanes
        self.given = [block for block in program.blocks if block.constants is None]
        self.rules = Rules()
        self.plans = {}
        self.lock = threading.Lock()
        self.plan(1)

    cdef Prepared plan(self, examples, careful=False):
        """The plan for so many examples; the last few are kept."""
        cdef Prepared found
        key = ~examples if careful else examples
        if key == self.latest_key:
            return self.latest
        found = self.plans.pop(key, None)  # and put back at the end: the first is the one to go
        if found is None:
            with self.lock:
                plan = Plan(self.program, examples, self.lanes, self.dtype, self.rules, careful)
                while len(self.plans) >= KEPT:
                    del self.plans[next(iter(self.plans))]
                found = Prepared(plan, self.given)
                if self.threads > 1 and not plan.by_python:
                    shares = Shares(plan.steps[:-4], plan.table, plan.lanes, plan.tile, 2 * self.threads)
                    found.shares = shares if shares.divided else None
        self.plans[key] = self.latest = found
        self.latest_key = key
        return found

    def run(self, numbers, examples=1, careful=True):
        """Run the program once; see `evaluate.Machine.run`."""
        found = self.once(numbers, examples)
        if found[4] or not careful:
            return found
        return self.once(numbers, examples, True)

    def once(self, numbers, examples=1, careful=False):
        """The same, carefully or not."""
        cdef Prepared plan = self.plan(examples, careful)
        cdef Arena arena = plan.arena()
        if len(numbers) != len(self.given):
            raise ValueError(f"the program takes {len(self.given)} blocks of numbers, not {len(numbers)}")
        for i, given in enumerate(numbers):
            self.take(plan, i, given, arena)
        self.go(plan, arena)
        found = self.results(plan, arena)
        plan.free.append(arena)
        return found

    def single(self, tuple numbers, examples, bint careful):
        """Run a program with one result; see `evaluate.Machine.single`."""
        cdef Prepared plan = self.plan(examples)
        found = self.single_once(plan, numbers)
        return found if found[2] or not careful else self.single_once(self.plan(examples, True), numbers)

    cdef tuple single_once(self, Prepared plan, tuple numbers):
        """The same, once."""
        cdef Arena arena = plan.arena()
        cdef const Step *results = plan.first + plan.count
        cdef Array source, slopes = room(plan.lengths[1])
        cdef int64_t k, count, size, at = 0
        cdef int coming = 1
        cdef double y = 0.0
        cdef bint finite
        source = numbers[0]
        for k in range(len(plan.starts)):
            count = plan.plan.examples if plan.rows[k] else 1
            size = plan.sizes[k] * count
            while at == len(source) and coming < len(numbers):
                source, at = numbers[coming], 0
                coming += 1
            if at + size > len(source):
                raise ValueError(f"{self.given[k].name} takes {size} numbers, and there are {len(source) - at}")
            self.kernels.take(
                arena.start, plan.starts[k], source.data.as_doubles + at, 0, plan.sizes[k], count, plan.rows[k]
            )
            at += size
        self.go(plan, arena)
        finite = self.kernels.collect(results, plan.table, arena.start, &y, True)
        finite &= self.kernels.collect(results + 1, plan.table, arena.start, slopes.data.as_doubles, True)
        plan.free.append(arena)
        return y, slopes, finite

    cdef int go(self, Prepared plan, Arena arena) except -1:
        """Run the steps."""
        cdef int64_t at = 0
        if plan.shares is not None:
            self.go_together(plan, arena)
            return 0
        while at < plan.count:
            with nogil:
                at = self.kernels.run(plan.first, at, plan.count, plan.table, self.rules.functions, arena.start)
            if at < plan.count:
                by_python(plan.plan, at, arena.numbers)
                at += 1
        return 0

    cdef int go_together(self, Prepared plan, Arena arena) except -1:
        """Run them on several threads."""
        cdef Crew crew
        steps, rounds = plan.shares.steps, plan.shares.rounds
        crew.kernels, crew.table, crew.rules, crew.arena = self.kernels, plan.table, self.rules.functions, arena.start
        crew.steps, crew.rounds, crew.count = <const Step *> address(steps), <const Round *> address(rounds), len(rounds)
        with nogil:
            glassgrad_together(&crew, self.threads)
        return 0

    def times(self, numbers, examples=1):
        """For each step the number of its instruction, its kind and how many seconds it takes, alone and repeated."""
        cdef Prepared plan = self.plan(examples)
        cdef Arena arena = plan.arena()
        cdef int64_t at
        cdef int k
        for i, given in enumerate(numbers):
            self.take(plan, i, given, arena)
        found = []
        for at in range(plan.count):
            kind = KINDS[plan.plan.steps[at, 0]]
            best = float("inf")
            for _ in range(15):
                start = time.perf_counter()
                if kind == "python":
                    by_python(plan.plan, at, arena.numbers)
                else:
                    with nogil:
                        for k in range(8):
                            self.kernels.run(plan.first, at, at + 1, plan.table, self.rules.functions, arena.start)
                best = min(best, (time.perf_counter() - start) / (1 if kind == "python" else 8))
            found.append((plan.plan.names[at], kind, best))
        plan.free.append(arena)
        return found

    def profile(self, numbers, examples=1):
        """How many seconds a run takes, by kind of work."""
        found = dict.fromkeys(["products", "maps", "copies", "tape"], 0.0)
        for _, kind, seconds in self.times(numbers, examples):
            found[WORK.get(kind, "products")] += seconds
        whole = float("inf")
        for _ in range(20):
            start = time.perf_counter()
            self.once(numbers, examples)
            whole = min(whole, time.perf_counter() - start)
        found["numbers in and out"] = max(0.0, whole - sum(found.values()))
        return found

    cdef object results(self, Prepared plan, Arena arena):
        """Copies of the results, and whether they are finite."""
        cdef Py_buffer view
        cdef bint finite = True
        cdef list found = list(plan.empty)
        cdef int i
        for i in range(4):
            if plan.lengths[i]:
                made = empty_like(found[i])
                PyObject_GetBuffer(made, &view, PyBUF_WRITABLE)
                finite &= self.kernels.collect(plan.first + plan.count + i, plan.table, arena.start, view.buf, False)
                PyBuffer_Release(&view)
                found[i] = made if i < 2 else made.T
        found.append(finite)
        return tuple.__new__(Results, found)

    cdef int take(self, Prepared plan, Py_ssize_t i, object given, Arena arena) except -1:
        """Put the numbers of a block into the arena: a list, or whatever NumPy takes."""
        cdef Py_buffer view
        cdef int64_t start = plan.starts[i], size = plan.sizes[i], k
        if not plan.rows[i] and type(given) is list and len(<list> given) == size:
            if self.floats:
                for k in range(size):
                    (<float *> arena.start)[start + k] = (<list> given)[k]
            else:
                for k in range(size):
                    (<double *> arena.start)[start + k] = (<list> given)[k]
            return 0
        while True:
            if PyObject_CheckBuffer(given) and PyObject_GetBuffer(given, &view, PyBUF_FORMAT | PyBUF_STRIDES) == 0:
                if PyBuffer_IsContiguous(&view, b"C") and view.format[1] == 0 and view.format[0] in b"df":
                    break
                PyBuffer_Release(&view)
            given = np.array(given, dtype=float, order="C")
        k = view.len // view.itemsize
        if k == size * (plan.plan.examples if plan.rows[i] else 1):
            self.kernels.take(arena.start, start, view.buf, view.itemsize == 4, size, k // size, plan.rows[i])
            k = -1
        PyBuffer_Release(&view)
        if k >= 0:
            raise ValueError(f"{self.given[i].name} takes {size} numbers for each example, not {k} in all")
        return 0


cdef class Arena:
    """Memory that a run works in, from a cache line's start on: a vector that is in two of them takes two loads."""

    cdef object numbers
    cdef char *start

    def __init__(self, size, dtype):
        numbers = np.zeros(size + 64, dtype)
        skip = -numbers.ctypes.data % 64 // dtype.itemsize
        self.numbers = numbers[skip : skip + size]
        self.start = address(self.numbers)


cdef char *address(object numbers) except NULL:
    """Where an array's numbers are, as long as it is there."""
    cdef Py_buffer view
    PyObject_GetBuffer(numbers, &view, PyBUF_WRITABLE)
    PyBuffer_Release(&view)
    return <char *> view.buf


cdef class Prepared:
    """A plan as C reads it, and arenas that no thread uses at the moment."""

    cdef object plan, shares
    cdef Arena image
    cdef const Step *first
    cdef const int32_t *table
    cdef int64_t count
    cdef int64_t lengths[4]
    cdef list free, empty, starts, sizes, rows

    def __init__(self, plan, given):
        self.plan = plan
        self.first = <const Step *> address(plan.steps)
        self.table = <const int32_t *> address(plan.table)
        self.count = len(plan.steps) - 4
        program = plan.program
        shapes = [program.outputs.shape, program.gradients.shape]
        shapes += [(*x.shape, plan.examples) for x in (program.rolled_outputs, program.rolled_gradients)]
        self.empty = [np.empty(shape, plan.dtype) for shape in shapes]
        for i, made in enumerate(self.empty):
            self.lengths[i] = made.size
            if not made.size and i > 1:
                self.empty[i] = made.T
        self.rows = [plan.row * block.rolled for block in given]
        self.sizes = [block.size for block in given]
        self.starts = [plan.start(block) for block in given]
        self.image = Arena(plan.size, plan.dtype)
        for start, row in plan.constants:
            self.image.numbers[start : start + len(row)] = row
        self.free = [self.image]

    cdef Arena arena(self):
        """Memory to run in: constants are nowhere written over, so any copy will do."""
        try:
            return self.free.pop()
        except IndexError:
            made = Arena(self.plan.size, self.plan.dtype)
            made.numbers[:] = self.image.numbers
            return made


def by_python(plan, at, numbers):
    """A step that the kernels cannot do: a rule on an array of numbers."""
    name, places = plan.by_python[at]
    rule = scalar_rule(name)
    out = plan.steps[at, FIELDS.index("out")]
    rows = numbers[places].astype(float).T.tolist()
    numbers[out : out + len(rows)] = [rule(*row) for row in rows]
