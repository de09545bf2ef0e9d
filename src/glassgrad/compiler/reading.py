"""Reading: the graph that a run recorded, as a scalar program.

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

__all__ = ["Reader"]

FIRST: Final = rules.FIRST_CODE  # the engine's code of the first row of the table
OF_FIRST: Final = CODES[next(iter(rules.RULES))]  # and the program's: the others follow in the same order
ROWS: Final = len(rules.RULES)


@cython.final
@cython.cclass
class Reader:
    """The nodes of a scalar program by the Values that they stand for.

    Attributes:
        ids: the node of each Value, by its `id`.
    """

    __slots__ = ("_deepest", "_depth", "deepest", "depth", "ids", "room", "scalars")

    def __init__(self, scalars: Scalars) -> None:
        self.scalars = scalars
        self.ids: dict[int, int] = {}
        self.room = 1000
        self._depth, self._deepest = columns.zeros("i", self.room), columns.zeros("i", self.room)
        self.point()

    def point(self) -> None:
        """Note where the columns are."""
        self.depth, self.deepest = columns.ints(self._depth), columns.ints(self._deepest)

    def read(self, order: list[Value], other: Callable[[Value, list[int]], int]) -> None:
        """Read Values, operands before what is made of them.

        Arguments:
            other: makes the node of a Value that is no plain operation of the table, from the nodes of its operands.
        """
        scalars, softmax = self.scalars, rules.SOFTMAX
        for node in order:
            if id(node) in self.ids:
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
            self.ids[id(node)] = made

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
        found = self.ids.get(id(x))
        return scalars.const(cython.cast(Value, x)._data) if found is None else found

    def deepest_use(self, i: int) -> int:
        """How deep the deepest operation on a node is."""
        return self.deepest[i] if i < self.room else 0
