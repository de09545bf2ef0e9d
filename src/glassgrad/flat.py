"""Leaves in flat memory: numbers and gradients of a compiled function's parameters, in two arrays between its calls.

A training step that reads, fills and updates thousands of parameters one Python object after the other takes longer
than the program of the compiled loss. So the compiled function takes the numbers of its parameters into a `Store`; it,
the sweep back from its result and the optimizer then work on the store's arrays.

- A leaf whose number stands in a store is **away**: `_away` says so, and its `_data`, `_grad` and flag `HAS_GRAD` mean
  nothing. Whoever meets one brings it **home** first, with all others of the store: one loop of loads and stores.
  Walks over a graph do so for every leaf they meet, and single operations for their operands.
- Nothing goes away while a sweep is running, whichever code the sweep calls.
- A store that nobody uses any more brings its leaves home. It holds them; they know it by its number alone, since the
  garbage collector is not told about Values.
- A leaf is in one store at most. Functions that share parameters share a store, made of those they had before.

Interpreted nothing is ever away: a loop over an array's numbers is no faster there than one over Values, and other
threads could run in the middle of it.
"""

from __future__ import annotations

import itertools
from array import array

try:
    import cython
except ImportError:
    from . import _cython as cython

from . import engine, modes, rules, sweep
from .engine import Value

ZERO = array("d", [0.0])
INDEX = array("i", [0])
NO = array("b", [0])
DOUBLE, FLOAT, LONG = map(ord, "dfl")  # a buffer's formats

_stores: dict[int, int] = {}  # where in memory each store stands, by its number: they are not to be kept alive
_numbers = itertools.count(1)


@cython.final
@cython.cclass
class Store:
    """Room for the numbers and gradients of some leaves.

    Attributes:
        values: the leaves.
        away: whether they are all away.
        live: whether they may go away; not once another store has them.
        frozen: how many of them require no gradient, and `version` counts how often that changed for any.
        data, grad: their numbers and gradients, while they are away.
        blank: whether all gradients are 0, not computed, whatever stands there.
        spare: a third array of that size. A sweep back writes new gradients there and exchanges the arrays.
    """

    __slots__ = (
        "away", "blank", "count", "data", "frozen", "grad", "live", "number", "reached", "some", "spare", "trained",
        "values", "version",
    )  # fmt: skip

    def __init__(self, values: list[Value]) -> None:
        self.number: int = next(_numbers)
        self.values = values
        self.count = len(values)
        self.away = self.some = self.blank = False  # some: at least one is
        self.live = True
        self.frozen = self.version = 0
        self.data = self.grad = self.spare = ZERO  # there is no room before it is needed
        self.reached = self.trained = NO
        _stores[self.number] = cython.cast(cython.Py_ssize_t, cython.cast(cython.p_void, self))
        self.join()

    def join(self) -> None:
        """Tell the leaves."""
        for i in range(self.count):
            node: Value = self.values[i]
            node._da = self.number  # a leaf has no use for them
            node._db = i

    def __del__(self) -> None:
        self.close()

    def close(self) -> None:
        """Bring the leaves home for good."""
        self.bring_home()
        self.live = False
        _stores.pop(self.number, None)

    def make_room(self) -> None:
        if self.data is ZERO:
            self.data, self.grad, self.spare = room(self.count), room(self.count), room(self.count)
            self.reached, self.trained = NO * self.count, array("b", [1]) * self.count

    def take(self) -> bool:
        """Take the leaves' numbers in. False, with all of them at home, where one has to stay or a sweep is running."""
        if self.away:
            return True
        if not self.live or sweep.is_running():
            return False
        self.make_room()
        self.blank = False
        data, grad = modes.doubles(self.data), modes.doubles(self.grad)
        reached, trained = bytes_of(self.reached), bytes_of(self.trained)
        changed = False
        for i in range(self.count):
            node: Value = self.values[i]
            if not may_leave(node):
                self.bring_home()
                return False
            data[i], grad[i] = node._data, node._grad
            reached[i] = node._flags & engine.HAS_GRAD != 0
            if trained[i] != node._flags & engine.REQUIRES_GRAD:
                changed = True
                self.frozen += trained[i] - (node._flags & engine.REQUIRES_GRAD)
                trained[i] = node._flags & engine.REQUIRES_GRAD
            node._away = True  # type: ignore[misc]  # compiled, it has one
            self.some = True
        self.version += changed
        self.away = True
        return True

    def fill(self) -> None:
        """Write the gradients down that are known to be 0."""
        if self.blank:
            memset(modes.doubles(self.grad), 0, 8 * self.count)  # type: ignore[name-defined]  # noqa: F821 - flat.pxd
            memset(bytes_of(self.reached), 0, self.count)  # type: ignore[name-defined]  # noqa: F821
            self.blank = False

    def bring_home(self) -> None:
        """Give the leaves that are away their numbers back."""
        if self.some:
            self.fill()
            data, grad, reached = modes.doubles(self.data), modes.doubles(self.grad), bytes_of(self.reached)
            for i in range(self.count):
                node: Value = self.values[i]
                if node._away:
                    node._data, node._grad = data[i], grad[i]
                    node._flags &= ~engine.HAS_GRAD
                    if reached[i]:
                        node._flags |= engine.HAS_GRAD
                    node._away = False  # type: ignore[misc]
            self.away = self.some = False


def may_leave(node: Value) -> bool:
    """Whether a leaf's number may stand in a store."""
    kept = engine.HOOKED | engine.PLAIN | engine.ACTIVE
    return node._code == rules.LEAF and node._flags & kept == 0


def store_of(node: Value) -> Store | None:
    """The store that has a leaf, away or not."""
    if node._code != rules.LEAF or node._da == 0.0:
        return None
    address = _stores.get(cython.cast(cython.Py_ssize_t, node._da))
    if address is None:
        return None
    store: Store = cython.cast(Store, cython.cast(cython.p_void, cython.cast(cython.Py_ssize_t, address)))
    place = cython.cast(cython.Py_ssize_t, node._db)
    return store if place < store.count and store.values[place] is node else None


def home(node: Value) -> None:
    """Bring a leaf home that is away, with all others of its store."""
    store = store_of(node)
    if store is not None:
        store.bring_home()


def share(values: list[Value]) -> Part | None:
    """A store's part that has these leaves, in a new store if need be; None where one of them has to stay at home."""
    if not cython.compiled or not values:
        return None
    found = locate(values)
    if found is not None:
        return found
    stores: dict[int, Store] = {}
    for node in values:
        if type(node) is not Value or not may_leave(node):
            return None
        store = store_of(node)
        if store is not None:
            stores[store.number] = store
    together = list(dict.fromkeys([x for store in stores.values() for x in store.values] + values))
    for store in stores.values():
        store.close()
    return find(Store(together), values)


def locate(values: list[Value]) -> Part | None:
    """A store's part that has all of these leaves; None where there is none."""
    store = store_of(values[0]) if values else None
    return None if store is None else find(store, values)


def find(store: Store, values: list[Value]) -> Part | None:
    """Where these leaves stand in a store; None where it does not have all of them."""
    n = len(values)
    starts, lengths = INDEX * n, INDEX * n
    first, size = ints(starts), ints(lengths)
    runs = 0
    for i in range(n):
        node: Value = values[i]
        place = cython.cast(cython.Py_ssize_t, node._db)
        if node._da != store.number or place >= store.count or store.values[place] is not node:
            return None
        if runs and place == first[runs - 1] + size[runs - 1]:
            size[runs - 1] += 1
        else:
            first[runs], size[runs] = place, 1
            runs += 1
    part: Part = Part.__new__(Part)
    part.store = store
    part.count = n
    part.starts, part.lengths, part.runs = starts[:runs], lengths[:runs], runs
    part.whole = runs == 1 and n == store.count
    return part


@cython.final
@cython.cclass
class Part:
    """Some leaves of a store, in an order of their own.

    Attributes:
        runs: how many stretches of the store they are; each begins at one of `starts` and has one of `lengths`.
        whole: whether they are all of the store's, in its order.
    """

    __slots__ = ("count", "lengths", "runs", "starts", "store", "whole")

    store: Store
    count: int
    runs: int
    starts: array[int]
    lengths: array[int]
    whole: bool

    def ready(self) -> bool:
        """Whether the leaves are away, after taking them in if need be."""
        return self.store.away or self.store.take()

    def data(self) -> array[float]:
        """The leaves' numbers, to be read only: until somebody replaces them this may be the store's own array."""
        return self.store.data if self.whole else self.copy_data()

    def grad(self) -> array[float]:
        """The same for gradients."""
        self.store.fill()
        return self.store.grad if self.whole else self.copy_grad()

    def copy_data(self) -> array[float]:
        """The leaves' numbers, as a new array."""
        found = room(self.count)
        self.read(self.store.data, found)
        return found

    def copy_grad(self) -> array[float]:
        """Their gradients."""
        self.store.fill()
        found = room(self.count)
        self.read(self.store.grad, found)
        return found

    def set_data(self, numbers: array[float]) -> None:
        """Make these the leaves' numbers: what `p.data = x` does. `data` may have given them."""
        if numbers is not self.store.data:
            self.write(numbers, self.store.data)

    def scale_grads(self, factor: float) -> None:
        """Multiply every gradient: what `p.grad *= factor` does, where it is not 0."""
        self.store.fill()
        grad, reached = modes.doubles(self.store.grad), bytes_of(self.store.reached)
        first, size = ints(self.starts), ints(self.lengths)
        for r in range(self.runs):
            for i in range(first[r], first[r] + size[r]):
                if grad[i] != 0.0:
                    grad[i] *= factor
                    reached[i] = grad[i] != 0.0

    def read(self, source: array[float], into: array[float]) -> None:
        """Copy the leaves' entries of one of the store's arrays."""
        numbers, results = modes.doubles(source), modes.doubles(into)
        first, size = ints(self.starts), ints(self.lengths)
        k = 0
        for r in range(self.runs):
            memcpy(cython.address(results[k]), cython.address(numbers[first[r]]), 8 * size[r])  # type: ignore[name-defined]  # noqa: F821 - flat.pxd
            k += size[r]

    def write(self, numbers: array[float], into: array[float]) -> None:
        """The way back."""
        source, results = modes.doubles(numbers), modes.doubles(into)
        first, size = ints(self.starts), ints(self.lengths)
        k = 0
        for r in range(self.runs):
            memcpy(cython.address(results[first[r]]), cython.address(source[k]), 8 * size[r])  # type: ignore[name-defined]  # noqa: F821
            k += size[r]

    def clear(self) -> None:
        """Set the gradients to 0, not computed: what `p.grad = 0` does."""
        if self.whole:
            self.store.blank = True
        else:
            self.store.fill()
            grad, reached = modes.doubles(self.store.grad), bytes_of(self.store.reached)
            first, size = ints(self.starts), ints(self.lengths)
            for r in range(self.runs):
                memset(cython.address(grad[first[r]]), 0, 8 * size[r])  # type: ignore[name-defined]  # noqa: F821 - flat.pxd
                memset(cython.address(reached[first[r]]), 0, size[r])  # type: ignore[name-defined]  # noqa: F821

    def add(self, seed: float, partials: array[float]) -> bool:
        """Add the seed times these to the gradients of the leaves that require one: what a sweep back does.

        False, with nothing changed, where a gradient would not be finite.
        """
        store: Store = self.store
        if store.blank and self.whole and store.frozen == 0:
            if not multiply_all(modes.doubles(partials), seed, modes.doubles(store.grad), self.count):
                return False
            store.blank = False
            memset(bytes_of(store.reached), 1, self.count)  # type: ignore[name-defined]  # noqa: F821 - flat.pxd
            return True
        store.fill()
        grads, steps, sums = modes.doubles(store.grad), modes.doubles(partials), modes.doubles(store.spare)
        first, size = ints(self.starts), ints(self.lengths)
        reached, trained = bytes_of(store.reached), bytes_of(store.trained)
        k = 0
        for r in range(self.runs):
            start = first[r]
            if not add_all(
                cython.address(grads[start]), cython.address(steps[k]), seed, cython.address(sums[start]), size[r]
            ):
                return False
            k += size[r]
        if self.whole and store.frozen == 0:
            store.grad, store.spare = store.spare, store.grad
            memset(reached, 1, self.count)  # type: ignore[name-defined]  # noqa: F821 - flat.pxd
            return True
        for r in range(self.runs):
            for i in range(first[r], first[r] + size[r]):
                if trained[i]:
                    grads[i] = sums[i]
                    reached[i] = 1
        return True


def add_all(grads: array[float], partials: array[float], seed: float, into: array[float], n: int) -> bool:
    """Put the sums of each gradient and the seed times its derivative into an array. Whether all are finite."""
    strange = 0
    for i in range(n):
        total = grads[i] + seed * partials[i]
        into[i] = total
        strange |= bits_of(total - total)
    return strange == 0


def multiply_all(partials: array[float], seed: float, into: array[float], n: int) -> bool:
    """The same where all gradients are 0: the sums, 0 + x, have no -0."""
    strange = 0
    for i in range(n):
        total = 0.0 + seed * partials[i]
        into[i] = total
        strange |= bits_of(total - total)
    return strange == 0


def is_finite(numbers: array[float]) -> bool:
    """Whether all numbers are finite: of a nan a program does not know that no comparison with it holds."""
    data = modes.doubles(numbers)
    strange = 0
    for i in range(len(numbers)):
        strange |= bits_of(data[i] - data[i])
    return strange == 0


@cython.cclass
class Rule:
    """The rule of a node whose derivatives are by leaves that may be away; see `compiler.call`.

    Attributes:
        part: where they stand.
        operands: what the derivatives are by.
    """

    if not cython.compiled:
        part: Part | None = None
        operands: tuple[object, ...] = ()


def result_of(rule: Rule, y: float, partials: array[float]) -> Value:
    """The node with a rule's only result. Of leaves in a store it is known whether they require a gradient."""
    part = rule.part
    known = part is not None and part.store.away and part.store.frozen == 0
    return engine.by_rule("primitive", rule, rule.operands, y, partials, engine.REQUIRES_GRAD if known else -1)


def pull(root: Value, seed: float) -> bool:
    """The whole sweep back from a root, if there is nothing between it and a store's leaves. False if there is."""
    rule = root._info.rule  # type: ignore[union-attr]
    if not isinstance(rule, Rule):
        return False
    call: Rule = rule
    part: Part | None = call.part
    if part is None or seed == 0.0 or not part.store.away or root._info.operands is not call.operands:  # type: ignore[union-attr]
        return False
    if root._flags & engine.IN_SWEEP or not part.add(seed, root._info.partials):  # type: ignore[union-attr,arg-type]
        return False
    root._grad = seed
    root._flags |= engine.HAS_GRAD
    return True


def bits_of(zero: float) -> int:
    """0 for 0.0, anything else for nan: x - x is one of them. Tests of many numbers stay in the vector registers so."""
    found = 0
    if cython.compiled:
        memcpy(cython.address(found), cython.address(zero), 8)  # type: ignore[name-defined]  # noqa: F821 - flat.pxd
        return found
    return int(zero != 0.0)


def ints(numbers: array[int]) -> array[int]:
    """As `modes.doubles`, for integers of 32 bits."""
    return numbers.data.as_ints if cython.compiled else numbers  # type: ignore[attr-defined]


def bytes_of(numbers: array[int]) -> array[int]:
    """As `modes.doubles`, for bytes."""
    return numbers.data.as_schars if cython.compiled else numbers  # type: ignore[attr-defined]


def room(n: int) -> array[float]:
    """An array of so many numbers, whatever they are."""
    return clone(ZERO, n, False) if cython.compiled else ZERO * n  # type: ignore[name-defined]  # noqa: F821 - flat.pxd


def doubles_of(numbers: object) -> array[float]:
    """Numbers in a buffer as an array: an array of doubles is taken as it is."""
    if type(numbers) is array and numbers.typecode == "d":
        return numbers
    n = len(numbers)  # type: ignore[arg-type]
    found = room(n)
    if not (cython.compiled and copy_doubles(numbers, modes.doubles(found), n)):
        found = array("d", memoryview(numbers).tolist())  # type: ignore[arg-type]
    return found


def copy_doubles(numbers: object, into: array[float], n: int) -> bool:
    """Copy the numbers in a buffer; False if it is not of so many floats or ints, in a row."""
    try:
        PyObject_GetBuffer(numbers, cython.address(view), PyBUF_FORMAT | PyBUF_C_CONTIGUOUS)  # type: ignore[name-defined]  # noqa: F821 - flat.pxd
    except (BufferError, ValueError):
        return False
    kind = view.format[0] if view.format[1] == 0 and view.len == n * view.itemsize else 0  # type: ignore[name-defined]  # noqa: F821
    known = True
    if kind == DOUBLE:
        memcpy(into, view.buf, view.len)  # type: ignore[name-defined]  # noqa: F821
    elif kind == FLOAT:
        singles = cython.cast("float *", view.buf)  # type: ignore[name-defined]  # noqa: F821
        for i in range(n):
            into[i] = singles[i]
    elif kind == LONG and view.itemsize == 8:  # type: ignore[name-defined]  # noqa: F821
        longs = cython.cast("long long *", view.buf)  # type: ignore[name-defined]  # noqa: F821
        for i in range(n):
            into[i] = longs[i]
    else:
        known = False
    PyBuffer_Release(cython.address(view))  # type: ignore[name-defined]  # noqa: F821
    return known
