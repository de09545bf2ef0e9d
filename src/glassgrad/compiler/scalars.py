"""Scalars: the scalar program between the stages, as plain columns in which equal operations are one node.

Pipeline: what trace makes, differentiate extends and lift reads.

    node   := leaf                          a number that is given at every call
            | const x                       a number of the program
            | name operand …                a row of `rules.RULES`
            | total operand                 the sum of a rolled operand over the examples
            | name'i operand … result       the derivative of such a row by its operand i, as an operation of its own

A node that depends on a rolled leaf is rolled: it has a number for each of the examples that `vmap` goes over. A total
is not; what such a sum is made of counts once for each example, rolled or not.

What holds: an operand's id is smaller than the node's own; no two nodes have the same operation and operands; 0.0 and
-0.0 are two constants, and all nan are one.

A node takes about 40 bytes: a small number for its operation, and where its operands start in one long column.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any, Final, TypeVar

try:
    import cython
except ImportError:
    from .. import _cython as cython

from .. import rules
from . import columns

T = TypeVar("T")

__all__ = ["CODES", "COMMUTE", "CONST", "LEAF", "MANY", "NAMES", "TOTAL", "Scalars", "code_of", "name_of"]

LEAF: Final = "leaf"
CONST: Final = "const"
TOTAL: Final = "total"
COMMUTE: Final = frozenset({"add", "mul", "hypot", "logaddexp", "maximum", "minimum"})
MANY: Final = frozenset({"sum", "mean", "prod", "dot", "logsumexp", "softmax"})  # their operands are a list

# A code is the place of a name here; that of a derivative by operand i has 256 · (i + 1) more.
NAMES: Final = (LEAF, CONST, TOTAL, *rules.RULES)
CODES: Final = {name: code for code, name in enumerate(NAMES)}
COMMUTES: Final = bytes([name in COMMUTE for name in NAMES] + [False] * (256 - len(NAMES)))
OF_LEAF: Final = CODES[LEAF]
OF_CONST: Final = CODES[CONST]
OF_TOTAL: Final = CODES[TOTAL]
OF_MUL: Final = CODES["mul"]
ROOM: Final = 1000
SPREAD: Final = 0x9E3779B97F4A7C15  # of the table's hash: the golden ratio, and a step of SplitMix64
MIX: Final = 0xBF58476D1CE4E5B9
HASH: Final = 0x7FFFFFFF  # of an operation, above the node in an entry of the table
NODE: Final = 0xFFFFFFFF  # in that entry, one more than it is: 0 is no entry
NEAR: Final = 32  # entries to look at near those with the same last operand; a power of two


def name_of(code: int) -> str:
    """The operation that a code stands for."""
    return f"{NAMES[code & 255]}'{(code >> 8) - 1}" if code > 255 else NAMES[code]


def code_of(op: str) -> int:
    """The code of an operation."""
    name, _, place = op.partition("'")
    if name not in CODES:
        raise ValueError(f"{op!r} is no operation of the table")
    return CODES[name] + 256 * (int(place) + 1) if place else CODES[name]


@cython.final
@cython.cclass
class Scalars:
    """A growing scalar program.

    Attributes:
        ops: what makes each node, as in the module's grammar.
        operands: the ids of its operands.
        numbers: of a const its number, else 0.0.
        rolled: whether it has a number for each example.
        examples: the leaf for how many examples there are, None where nothing depends on it.
    """

    __slots__ = (
        "_below", "_codes", "_near", "_numbers", "_rolled", "_starts", "_table", "below", "codes", "constants", "edges",
        "examples", "is_rolled", "length", "made", "near", "room", "slots", "starts", "strays", "table", "vacant",
        "values", "wide",
    )  # fmt: skip

    def __init__(self) -> None:
        self.examples: int | None = None
        self.length = self.edges = 0
        self.room = self.wide = ROOM
        self._codes, self._starts, self._below = (
            columns.zeros("i", ROOM),
            columns.zeros("i", ROOM + 1),
            columns.zeros("i", ROOM),
        )
        self._rolled, self._numbers = columns.zeros("B", ROOM), columns.zeros("d", ROOM)
        self.constants: dict[object, int] = {}
        self.made: dict[tuple[int, ...], int] = {}  # by operation and operands; compiled it stays empty: see `find`
        self.slots = self.strays = 0
        self._near, self._table = columns.zeros("q", 2 * (ROOM + NEAR)), columns.zeros("q", 1)
        self.point()

    def point(self) -> None:
        """Note where the columns are."""
        self.codes, self.starts, self.below = (
            columns.ints(self._codes),
            columns.ints(self._starts),
            columns.ints(self._below),
        )
        self.is_rolled, self.values = columns.flags(self._rolled), columns.doubles(self._numbers)
        self.near, self.table = columns.longs(self._near), columns.longs(self._table)

    def __len__(self) -> int:
        return self.length

    @property
    def ops(self) -> Column[str]:
        return Column(self, self.op)

    @property
    def operands(self) -> Column[tuple[int, ...]]:
        return Column(self, self.operands_of)

    @property
    def numbers(self) -> memoryview[float]:
        return memoryview(self._numbers)[: self.length]  # type: ignore[return-value]  # of doubles

    @property
    def rolled(self) -> memoryview[bool]:
        return memoryview(self._rolled).cast("?")[: self.length]

    def op(self, i: int) -> str:
        """What makes a node."""
        return name_of(self.codes[i])

    def operands_of(self, i: int) -> tuple[int, ...]:
        """The ids of its operands."""
        return tuple([self.below[k] for k in range(self.starts[i], self.starts[i + 1])])

    def reserve(self, operands: int) -> None:
        """Make room for one more node, with so many operands."""
        if self.length == self.room:
            self.room *= 2
            self._codes, self._starts = (
                columns.longer(self._codes, self.room),
                columns.longer(self._starts, self.room + 1),
            )
            self._rolled, self._numbers = (
                columns.longer(self._rolled, self.room),
                columns.longer(self._numbers, self.room),
            )
            if cython.compiled:
                self._near = columns.longer(self._near, 2 * (self.room + NEAR))
            self.point()
        if self.edges + operands > self.wide:
            if self.edges + operands > 0x7FFFFFFF:
                raise MemoryError("a scalar program has room for 2,147,483,647 operands")
            self.wide = min(2 * self.wide + operands, 0x7FFFFFFF)
            self._below = columns.longer(self._below, self.wide)
            self.point()

    def append(self, code: int, count: int, rolled: bool) -> int:
        """A new node, for which there is room, and whose operands stand in the column already."""
        i = self.length
        self.codes[i] = code
        self.is_rolled[i] = rolled
        self.edges += count
        self.length += 1
        self.starts[self.length] = self.edges
        return i

    def _add(self, op: str, operands: tuple[int, ...], number: float, rolled: bool) -> int:
        """A new node, whatever there is."""
        code = code_of(op)
        self.reserve(len(operands))
        for k in range(len(operands)):
            self.below[self.edges + k] = operands[k]
        i = self.append(code, len(operands), rolled)
        self.values[i] = number
        return i

    def leaf(self, rolled: bool = False) -> int:
        """A new leaf."""
        self.reserve(0)
        return self.append(OF_LEAF, 0, rolled)

    def total(self, i: int) -> int:
        """The sum of a node over the examples."""
        if self.is_rolled[i]:
            return self.unary(OF_TOTAL, i)
        return self.binary(OF_MUL, i, self.count())

    def count(self) -> int:
        """The leaf for how many examples there are."""
        if self.examples is None:
            self.examples = self.leaf()
        return self.examples

    def const(self, x: float) -> int:
        """The node of a number."""
        key: object = x
        if x != x or (x == 0.0 and math.copysign(1.0, x) < 0.0):
            key = str(x)  # nan is not equal to itself, and -0.0 is to 0.0
        found = self.constants.get(key)
        if found is None:
            self.reserve(0)
            found = self.constants[key] = self.append(OF_CONST, 0, False)
            self.values[found] = x
        return found

    def node(self, op: str, *operands: int) -> int:
        """The node of an operation."""
        code = code_of(op)
        self.reserve(len(operands))
        for k in range(len(operands)):
            self.below[self.edges + k] = operands[k]
        return self.make(code, len(operands))

    def unary(self, code: int, a: int) -> int:
        """The node of an operation on one node."""
        self.reserve(1)
        self.below[self.edges] = a
        return self.make(code, 1)

    def binary(self, code: int, a: int, b: int) -> int:
        """The node of an operation on two nodes."""
        self.reserve(2)
        self.below[self.edges] = a
        self.below[self.edges + 1] = b
        return self.make(code, 2)

    def make(self, code: int, count: int) -> int:
        """The node of an operation on what stands at the column's end, for which there is room: an old one if it is."""
        key: tuple[int, ...] = ()
        mixed = 0
        if cython.compiled:
            mixed = self.mixed(code, count)
            i = self.find(mixed, code, count)
            if i >= 0:
                return i
        else:
            operands = self.below[self.edges : self.edges + count]
            key = (code, *(sorted(operands) if code < 256 and COMMUTES[code] else operands))
            if key in self.made:
                return self.made[key]
        rolled = False
        for k in range(self.edges, self.edges + count):
            if self.is_rolled[self.below[k]] and code != OF_TOTAL:
                rolled = True
        i = self.append(code, count, rolled)
        if cython.compiled:
            self.vacant[0] = mixed << 32 | (i + 1)
        else:
            self.made[key] = i
        return i

    def mixed(self, code: int, count: int) -> int:
        """Compiled: 31 bits of a hash of an operation on what stands at the column's end."""
        below, start = self.below, self.edges
        first = below[start] if count else 0
        second = below[start + 1] if count > 1 else 0
        if count == 2 and first > second and code < 256 and COMMUTES[code]:
            first, second = second, first
        mixed = cython.cast(cython.ulonglong, code)
        mixed = (mixed + cython.cast(cython.ulonglong, first)) * SPREAD
        mixed = ((mixed ^ (mixed >> 29)) + cython.cast(cython.ulonglong, second)) * MIX
        for k in range(start + 2, start + count):
            mixed = ((mixed ^ (mixed >> 29)) + cython.cast(cython.ulonglong, below[k])) * MIX
        found: int = cython.cast(cython.longlong, (mixed ^ (mixed >> 31)) & HASH)
        return found

    def find(self, mixed: int, code: int, count: int) -> int:
        """Compiled: the node of that operation; -1 where there is none, and then its entry belongs where `vacant` is.

        Looking into memory that is far away costs more than all else here. So entries have the hash besides the node,
        which tells most nodes apart without looking at them, and they stand near those with the same last operand,
        which are made at about the same time. Only where that one has many uses they stand where the hash says.
        """
        below, start = self.below, self.edges
        last = max(below[start], below[start + count - 1]) if count else 0
        at = 2 * last + (mixed & (NEAR - 1))
        for k in range(at, at + NEAR):
            if not self.near[k]:
                self.vacant = cython.address(self.near[k])
                return -1
            if self.near[k] >> 32 == mixed and self.same((self.near[k] & NODE) - 1, code, count):
                return (self.near[k] & NODE) - 1
        if 2 * self.strays >= self.slots:
            self.enlarge()
        slot = mixed & (self.slots - 1)
        while self.table[slot]:
            if self.table[slot] >> 32 == mixed and self.same((self.table[slot] & NODE) - 1, code, count):
                return (self.table[slot] & NODE) - 1
            slot = (slot + 1) & (self.slots - 1)
        self.vacant = cython.address(self.table[slot])
        self.strays += 1
        return -1

    def same(self, i: int, code: int, count: int) -> bool:
        """Compiled: whether a node is that operation."""
        below, start, at = self.below, self.edges, self.starts[i]
        if self.codes[i] != code or self.starts[i + 1] - at != count:
            return False
        if count == 2 and code < 256 and COMMUTES[code] and below[at] == below[start + 1]:
            return below[at + 1] == below[start]
        k = 0
        while k < count and below[at + k] == below[start + k]:
            k += 1
        return k == count

    def enlarge(self) -> None:
        """Compiled: room for twice as many entries that stand where the hash says."""
        before, table, count = self._table, self.table, self.slots
        self.slots = max(2 * count, 4096)
        self._table = columns.zeros("q", self.slots)
        self.point()
        for k in range(count):
            if table[k]:
                slot = (table[k] >> 32) & (self.slots - 1)
                while self.table[slot]:
                    slot = (slot + 1) & (self.slots - 1)
                self.table[slot] = table[k]
        del before  # which has kept the old one in memory

    def check(self) -> None:
        """Raise ValueError unless the columns are as the module says; for tests."""
        for i, (op, below) in enumerate(zip(self.ops, self.operands, strict=True)):
            name = op.partition("'")[0]
            if (name in (LEAF, CONST)) != (not below):
                raise ValueError(f"node {i}, {op!r}, has {len(below)} operands")
            if not all(0 <= operand < i for operand in below):
                raise ValueError(f"node {i} has the operands {below}: they stand before it")
            if below and self.rolled[i] != (op != TOTAL and any(self.rolled[operand] for operand in below)):
                raise ValueError(f"node {i}, {op!r}, has operands that say otherwise of whether it is rolled")


class Column(Sequence[T]):
    """What something says of each node, in order.

    Arguments:
        of: what it says of the node of a number.
    """

    def __init__(self, scalars: Scalars, of: Callable[[int], T]) -> None:
        self.scalars = scalars
        self.of = of

    def __len__(self) -> int:
        return len(self.scalars)

    def __getitem__(self, i: Any) -> Any:
        some = range(len(self.scalars))[i]
        return list(map(self.of, some)) if isinstance(i, slice) else self.of(some)
