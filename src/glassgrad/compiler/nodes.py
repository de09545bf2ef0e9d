"""Nodes: the graph that a run recorded, as a scalar program.

Pipeline: the second half of **trace**; what is more than an operation of the table on Values, trace itself decides.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

try:
    import cython
except ImportError:
    from .. import _cython as cython

from .. import engine, rules
from ..engine import Value
from . import columns
from .scalars import CODES, Scalars

__all__ = ["Nodes"]

FIRST: Final = rules.FIRST_CODE  # the engine's code of the first row of the table
OF_FIRST: Final = CODES[next(iter(rules.RULES))]  # and the program's: the others follow in the same order
ROWS: Final = len(rules.RULES)
SPREAD: Final = 0x9E3779B97F4A7C15  # of the table's hash: the golden ratio


@cython.final
@cython.cclass
class Nodes:
    """The nodes of a scalar program by the Values that they stand for.

    Compiled, it finds a node by the address of a Value in a table of its own: a dict takes three times as long.
    """

    __slots__ = (
        "_deepest", "_depth", "_keys", "_nodes", "count", "deepest", "depth", "ids", "keys", "nodes", "room", "scalars",
        "slots",
    )  # fmt: skip

    def __init__(self, scalars: Scalars) -> None:
        self.scalars = scalars
        self.ids: dict[int, int] = {}  # by `id`; compiled it stays empty
        self.count, self.slots = 0, 1024
        self._keys, self._nodes = columns.zeros("q", self.slots), columns.zeros("i", self.slots)
        self.room = 1000
        self._depth, self._deepest = columns.zeros("i", self.room), columns.zeros("i", self.room)
        self.point()

    def point(self) -> None:
        """Note where the columns are."""
        self.depth, self.deepest = columns.ints(self._depth), columns.ints(self._deepest)
        self.keys, self.nodes = columns.longs(self._keys), columns.ints(self._nodes)

    def node_of(self, x: Value) -> int:
        """The node that a Value stands for, -1 where there is none. The Value has to be there still."""
        if not cython.compiled:
            return self.ids.get(id(x), -1)
        slot = self.slot(cython.cast(cython.Py_ssize_t, cython.cast(cython.p_void, x)))
        return self.nodes[slot] if self.keys[slot] else -1

    def note(self, x: Value, node: int) -> None:
        """Say which node a Value stands for."""
        if not cython.compiled:
            self.ids[id(x)] = node
            return
        if 2 * self.count >= self.slots:
            self.enlarge()
        key = cython.cast(cython.Py_ssize_t, cython.cast(cython.p_void, x))
        slot = self.slot(key)
        self.keys[slot], self.nodes[slot] = key, node
        self.count += 1

    def slot(self, key: int) -> int:
        """Compiled: where an address stands in the table, or would stand."""
        slot: int = cython.cast(
            cython.Py_ssize_t, (cython.cast(cython.ulonglong, key) * SPREAD) >> 32 & (self.slots - 1)
        )
        while self.keys[slot] and self.keys[slot] != key:
            slot = (slot + 1) & (self.slots - 1)
        return slot

    def enlarge(self) -> None:
        """Compiled: a table of twice the size."""
        before = self._keys, self._nodes  # which keeps them in memory
        keys, nodes, count = self.keys, self.nodes, self.slots
        self.slots = 2 * count
        self._keys, self._nodes = columns.zeros("q", self.slots), columns.zeros("i", self.slots)
        self.point()
        for k in range(count):
            if keys[k]:
                slot = self.slot(keys[k])
                self.keys[slot], self.nodes[slot] = keys[k], nodes[k]
        del before

    def read(self, order: list[Value], other: Callable[[Value, list[int]], int]) -> None:
        """Read Values, operands before what is made of them.

        Arguments:
            other: makes the node of a Value that is no plain operation of the table, from the nodes of its operands.
        """
        scalars, softmax = self.scalars, rules.SOFTMAX
        for node in order:
            if self.node_of(node) >= 0:
                continue
            count = self.operands(scalars, node)
            if scalars.length + count + 8 > self.room:
                self.room = 2 * (scalars.length + count + 8)
                self._depth = columns.longer(self._depth, self.room)
                self._deepest = columns.longer(self._deepest, self.room)
                self.point()
            deep = 0
            for k in range(scalars.edges, scalars.edges + count):
                deep = max(deep, self.depth[scalars.below[k]] + 1)
            for k in range(scalars.edges, scalars.edges + count):
                self.deepest[scalars.below[k]] = max(deep, self.deepest[scalars.below[k]])
            before = scalars.length
            row = node._code - FIRST
            if type(node) is Value and 0 <= row < ROWS and node._code != softmax:
                made = scalars.make(OF_FIRST + row, count)
            else:
                made = other(node, [scalars.below[k] for k in range(scalars.edges, scalars.edges + count)])
            for i in range(before, scalars.length):
                self.depth[i] = deep
            self.note(node, made)

    def operands(self, scalars: Scalars, node: Value) -> int:
        """Put the operands of a node at the end of the program's column; how many there are."""
        info = node._info
        if info is not None and info.operands is not None:
            operands = info.operands
            scalars.reserve(len(operands))
            for k in range(len(operands)):
                place = self.place(scalars, operands[k])
                scalars.below[scalars.edges + k] = place
            return len(operands)
        scalars.reserve(2)
        count = 0
        if node._flags & engine.LEFT_NUMBER:
            place = scalars.const(node._da)
            scalars.below[scalars.edges] = place
            count = 1
        elif node._a is not None:
            place = self.place(scalars, node._a)
            scalars.below[scalars.edges] = place
            count = 1
        if node._flags & engine.RIGHT_NUMBER:
            place = scalars.const(node._db)
            scalars.below[scalars.edges + count] = place
            count += 1
        elif node._b is not None:
            place = self.place(scalars, node._b)
            scalars.below[scalars.edges + count] = place
            count += 1
        return count

    def place(self, scalars: Scalars, x: object) -> int:
        """The node of a Value, or of a number; what the walk over the graph left out is a number too."""
        if not isinstance(x, Value):
            return scalars.const(x)  # type: ignore[arg-type]
        found = self.node_of(x)
        return scalars.const(cython.cast(Value, x)._data) if found < 0 else found

    def deepest_use(self, i: int) -> int:
        """How deep the deepest operation on a node is."""
        return self.deepest[i] if i < self.room else 0
