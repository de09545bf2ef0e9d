"""Rolling: batches that a compiled function hands to `vmap` become one example, whatever their number of rows.

Pipeline: what `trace` does about `vmap`, and how its results are put together at every call.

Which arguments are only handed to vmap shows while the function runs. So it is first traced on its ordinary arguments;
a vmap over whole arguments ends that run with `Restart`, and in the next one these arguments are a `Batch`, of which
only vmap can see the row. A function that looks at one all the same is traced once more, with that argument as it is.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final, NoReturn

from .. import modes, trees
from ..engine import Value
from ..errors import is_number

__all__ = ["Batch", "Count", "Examples", "Made", "Restart", "Total", "alike", "kind_of", "restart", "wanted"]


PLAIN: Final = {float, int}


class Restart(BaseException):
    """The function has to be traced again, with these arguments rolled, or never rolled. No error: nobody sees it."""

    def __init__(self, roll: Sequence[str] = (), never: Sequence[str] = ()) -> None:
        super().__init__()
        self.roll = roll
        self.never = never


def restart(roll: Sequence[str] = (), never: Sequence[str] = ()) -> Restart:
    """The same, noted where it cannot be lost: the function may catch everything."""
    found = Restart(roll, never)
    tracer = modes.current().tracer
    if tracer is not None:
        tracer.ends.append(found)
    return found


class Total(Value):
    """The sum of a rolled Value over the examples."""


class Count(Value):
    """How many examples there are."""


class Batch:
    """A whole argument, of which vmap sees one row. Whatever else is done with it starts the trace again, without it.

    Attributes:
        name: the argument's.
        row: one row, on rolled stand-ins.
    """

    def __init__(self, name: str, kind: type, row: Any) -> None:
        self.__dict__.update(_name=name, _kind=kind, _row=row)

    @property  # type: ignore[misc]
    def __class__(self) -> type:
        return self.__dict__["_kind"]  # type: ignore[no-any-return]

    def __getattr__(self, _attribute: str) -> NoReturn:
        raise restart(never=[self.__dict__["_name"]])


def _look(self: Batch, *_args: object, **_kwargs: object) -> NoReturn:
    raise restart(never=[self.__dict__["_name"]])


METHODS: Final = [
    "add", "and", "array", "array_function", "array_ufunc", "bool", "call", "contains", "delitem", "divmod", "eq",
    "float", "floordiv", "format", "ge", "getitem", "gt", "iadd", "index", "int", "invert", "iter", "le", "len", "lt",
    "matmul", "mod", "mul", "ne", "neg", "or", "pos", "pow", "radd", "rdivmod", "repr", "reversed", "rfloordiv",
    "rmatmul", "rmod", "rmul", "rpow", "rsub", "rtruediv", "setattr", "setitem", "str", "sub", "truediv", "xor",
]  # fmt: skip
for _method in METHODS:
    setattr(Batch, f"__{_method}__", _look)
Batch.__hash__ = object.__hash__  # type: ignore[method-assign]


class Examples:
    """What vmap gives while a function is traced: the list of results, of which there is one, on rolled Values.

    Arguments:
        refuse: raises the error for a use that would freeze how many there are.
        count: gives the Value for how many there are.
    """

    @property  # type: ignore[misc]
    def __class__(self) -> type:
        return list

    def __init__(self, row: Any, refuse: Callable[[str, object], NoReturn], count: Callable[[], Value]) -> None:
        self.row = row
        self.refuse = refuse
        self.count = count

    def _reduced(self, name: str) -> list[Any]:
        """The operands of glassgrad.sum, or mean, of the examples."""
        if name not in ("sum", "mean") or not isinstance(self.row, Value | float | int):
            self.refuse("looking into a batch of vmap", self)
        if not isinstance(self.row, Value):
            return [self.row] if name == "mean" else [self.row * self.count()]
        total = Total(0.0, (self.row,), "total")
        total._backward = lambda: None  # tapes ask for one
        return [total if name == "sum" else total / self.count()]

    def _look(self, *_args: object) -> NoReturn:
        self.refuse("looking into a batch of vmap", self)

    def __iter__(self) -> Iterator[Any]:
        self._look()

    __len__ = __getitem__ = __contains__ = __array__ = __bool__ = __add__ = __radd__ = __mul__ = __rmul__ = _look


trees.OPAQUE.add(Examples)


@dataclass(frozen=True)
class Made:
    """How a result is put together.

    Attributes:
        structure: of the result, where what vmap gave is a leaf.
        slots: for each leaf None, or the structure of one example.
    """

    structure: trees.Structure
    slots: list[trees.Structure | None]

    @staticmethod
    def of(result: Any) -> tuple[list[Any], list[Any], Made]:
        """The plain leaves of a result, those of each example, and how they were put together."""
        leaves, structure = trees.flatten(result)
        plain: list[Any] = []
        rolled: list[Any] = []
        slots: list[trees.Structure | None] = []
        for leaf in leaves:
            if isinstance(leaf, Examples):
                inside, row = trees.flatten(leaf.row)
                rolled += inside
                slots.append(row)
            else:
                plain.append(leaf)
                slots.append(None)
        return plain, rolled, Made(structure, slots)

    def rebuild(self, plain: Sequence[Any], rolled: Sequence[Sequence[Any]]) -> Any:
        """The result.

        Arguments:
            plain: what stands at the plain leaves.
            rolled: for each example what stands at the leaves of its own.
        """
        leaves: list[Any] = []
        values, start = iter(plain), 0
        for slot in self.slots:
            if slot is None:
                leaves.append(next(values))
            else:
                stop = start + slot.size
                leaves.append([trees.rebuild(slot, list(row[start:stop])) for row in rolled])
                start = stop
        return trees.rebuild(self.structure, leaves)

    @functools.cached_property
    def paths(self) -> list[str]:
        """Where each plain leaf stands, as errors and pictures call it."""
        return [self.structure.path(i) for i, slot in enumerate(self.slots) if slot is None]

    @functools.cached_property
    def rolled_paths(self) -> list[tuple[str, str]]:
        """The same for each leaf that every example has: what comes before the example's number, and behind it."""
        return [
            (self.structure.path(i), slot.path(k))
            for i, slot in enumerate(self.slots)
            if slot is not None
            for k in range(slot.size)
        ]


def alike(rows: Sequence[Any]) -> bool:
    """Whether a batch can be rolled: its rows are put together alike, with derivatives by the same of their numbers."""
    if not len(rows):
        return False
    first = kind_of(rows[0]), wanted(rows[0])
    return all((kind_of(row), wanted(row)) == first for row in rows[1:])


def wanted(row: Any) -> tuple[int, ...]:
    """Which numbers of a row derivatives are by."""
    if trees.is_array(row) and row.dtype.kind != "O":
        return ()
    if type(row) is list and PLAIN.issuperset(map(type, row)):  # the usual case, for each of very many rows
        return ()
    leaves = trees.flatten(row)[0]
    return tuple([i for i, x in enumerate(leaves) if isinstance(x, Value) and x.requires_grad])


def kind_of(tree: Any) -> object:
    """How a tree is put together, to be looked up: two with the same kind may share a program."""
    kind = type(tree)
    if kind in trees.SCALARS:
        return None
    if kind is list or kind is tuple or isinstance(tree, list | tuple):
        if trees.SCALARS.issuperset(map(type, tree)):
            return kind, len(tree)
        return kind, *map(kind_of, tree)
    if isinstance(tree, Value) or is_number(tree):
        return None
    if isinstance(tree, dict):
        return kind, *[(type(key), key, kind_of(x)) for key, x in tree.items()]
    if dataclasses.is_dataclass(tree):
        fields = dataclasses.fields(tree)
        fixed = [(field.name, getattr(tree, field.name)) for field in fields if field.metadata.get("static")]
        moving = [(x.name, kind_of(getattr(tree, x.name))) for x in fields if not x.metadata.get("static")]
        return kind, *fixed, *moving
    return kind, getattr(tree, "shape", None)
