"""Trees of scalars: what the transforms of `functional` take and return.

A tree is a number, a Value, a plain NumPy array of them, or a list, tuple, namedtuple, dict or dataclass of trees.
`flatten` takes the scalars out of one, its leaves, and gives the structure that puts others in their place.

- The order of leaves is that of the tree: a dict's is the order of insertion, an array's is row by row.
- None is a tree without leaves, as in JAX. A field of a dataclass stays as it is if its metadata say `static`, as in
  `field(metadata={"static": True})`; `__post_init__` does not run again, a
  `cached_property` does.
- A tree put together again is of the same kind; arrays are of float64, or of objects where they hold Values.
- What a leaf is called in errors, `argument 0['w'][2]`, costs nothing until there is an error.
"""

from __future__ import annotations

import copy
import dataclasses
import functools
import math
import sys
from array import array
from collections.abc import Callable, Sequence
from typing import Any, Protocol

from . import modes
from .engine import Value
from .errors import NonFiniteError, OperandError, named, number, shown

Shape = tuple[int, ...]

SCALARS = {float, int, Value}  # a list of these needs no closer look
OPAQUE: set[type] = set()  # what says that it is a list, and is a leaf all the same


# ---- structures ----------------------------------------------------------------------------------------------------


class Source(Protocol):
    """What a structure is filled with: one thing for each leaf, and one for each array of leaves."""

    def row(self, start: int, stop: int) -> list[Any]:
        """What stands at the leaves from start to stop."""

    def block(self, start: int, stop: int, shape: Shape) -> Any:
        """What stands where those leaves are an array of this shape."""


class Structure:
    """How a tree is put together. This one is a single leaf."""

    __slots__ = ("size",)

    def __init__(self, size: int) -> None:
        self.size = size  # how many leaves there are

    def build(self, source: Source, start: int = 0) -> Any:
        """The tree, filled from the source's place `start` on."""
        return source.row(start, start + 1)[0]

    def path(self, _index: int) -> str:
        """Where a leaf stands, as Python writes it after the tree's name: `['w'][2]`."""
        return ""

    def __str__(self) -> str:
        return "number"


class Nothing(Structure):
    """None."""

    __slots__ = ()

    def build(self, _source: Source, _start: int = 0) -> Any:
        """None."""
        return None

    def __str__(self) -> str:
        return "None"


class Array(Structure):
    """A NumPy array."""

    __slots__ = ("shape",)

    def __init__(self, shape: Shape, size: int) -> None:
        super().__init__(size)
        self.shape = shape

    def build(self, source: Source, start: int = 0) -> Any:
        """The array."""
        return source.block(start, start + self.size, self.shape)

    def path(self, index: int) -> str:
        """One index for each dimension."""
        place: list[int] = []
        for length in reversed(self.shape):
            index, i = divmod(index, length)
            place.insert(0, i)
        return str(place) if place else ""

    def __str__(self) -> str:
        return f"array of shape {self.shape}" if self.shape else "number"


class Container(Structure):
    """A list, tuple, namedtuple, dict or dataclass."""

    __slots__ = ("children", "key", "keys", "kind", "remake")

    def __init__(self, kind: str, keys: Sequence[Any], key: str, remake: Callable[[list[Any]], Any]) -> None:
        super().__init__(0)
        self.kind = kind
        self.keys = keys  # one for each child
        self.key = key  # how Python writes a key after the container's name, as a format
        self.remake = remake  # the container, from a list of what is in it
        self.children: list[Structure] | None = None  # None where each is a leaf: most are rows of numbers

    def fill(self, items: list[Any], leaves: list[Any]) -> Container:
        """Itself, with these children, whose leaves are appended."""
        if SCALARS.issuperset(map(type, items)):
            leaves += items
            self.size = len(items)
        else:
            before = len(leaves)
            children = [_flatten(item, leaves) for item in items]
            self.size = len(leaves) - before
            if any(child is not LEAF for child in children):
                self.children = children
        return self

    def build(self, source: Source, start: int = 0) -> Any:
        """The container."""
        if self.children is None:
            return self.remake(source.row(start, start + self.size))
        parts = []
        for child in self.children:
            parts.append(child.build(source, start))
            start += child.size
        return self.remake(parts)

    def locate(self, index: int) -> tuple[int, str]:
        """Which child a leaf is in, and its path in there."""
        if self.children is None:
            return index, ""
        i = 0
        while index >= self.children[i].size:
            index -= self.children[i].size
            i += 1
        return i, self.children[i].path(index)

    def path(self, index: int) -> str:
        """The key of the child and the path in there."""
        i, path = self.locate(index)
        return self.key.format(self.keys[i]) + path

    def __str__(self) -> str:
        children = self.children or [LEAF] * len(self.keys)
        if not children:
            return f"empty {self.kind}"
        if self.children is None and self.key == POSITION and not isinstance(self.keys, list):
            return f"{self.kind} of {self.size} number{'s' * (self.size > 1)}"
        inside = [f"{self.key.format(key)} {child}" for key, child in zip(self.keys, children, strict=True)]
        return f"{self.kind} with {', '.join(inside)}"


LEAF = Structure(1)
NOTHING = Nothing(0)
POSITION = "[{!r}]"
FIELD = ".{}"


# ---- taking apart --------------------------------------------------------------------------------------------------


def flatten(tree: Any) -> tuple[list[Any], Structure]:
    """The leaves of a tree, whatever they are, and its structure.

    Raises:
        OperandError: it is too deep for Python's stack: some hundred containers in each other, or one in itself.
    """
    leaves: list[Any] = []
    try:
        return leaves, _flatten(tree, leaves)
    except RecursionError:
        raise OperandError(
            "a tree of numbers is nested too deeply, or contains itself: write it as a list of its levels, or raise "
            "sys.setrecursionlimit"
        ) from None


def flatten_all(trees: Sequence[Any]) -> tuple[list[Any], Container]:
    """The same for some trees at once, together a tuple."""
    return flatten(tuple(trees))  # type: ignore[return-value]  # the structure of a tuple is a Container


def _flatten(tree: Any, leaves: list[Any]) -> Structure:
    kind = type(tree)
    if kind in SCALARS or kind in OPAQUE:
        leaves.append(tree)
        return LEAF
    if tree is None:
        return NOTHING
    if kind is list or isinstance(tree, list):
        return Container(kind.__name__, range(len(tree)), POSITION, _list_like(tree)).fill(list(tree), leaves)
    if kind is tuple:
        return Container("tuple", range(len(tree)), POSITION, tuple).fill(list(tree), leaves)
    if isinstance(tree, dict):
        return Container(kind.__name__, list(tree), POSITION, _dict_like(tree)).fill(list(tree.values()), leaves)
    if isinstance(tree, tuple) and hasattr(kind, "_fields"):
        return Container(kind.__name__, kind._fields, FIELD, kind._make).fill(list(tree), leaves)
    if dataclasses.is_dataclass(tree) and not isinstance(tree, type):
        names = [field.name for field in dataclasses.fields(tree) if not field.metadata.get("static")]
        items = [getattr(tree, name) for name in names]
        return Container(kind.__name__, names, FIELD, _dataclass_like(tree, names)).fill(items, leaves)
    if is_array(tree):
        np = sys.modules["numpy"]
        leaves += np.asarray(tree).ravel().tolist()
        return Array(tree.shape, tree.size)
    leaves.append(tree)
    return LEAF


def is_array(x: object) -> bool:
    """Whether x is a NumPy array: if NumPy was never imported, nothing is.

    Its subclasses are not, since the function gets a plain one: a matrix has another product, a masked array lacks
    numbers, a quantity has a unit. A memory map has none of that.
    """
    np: Any = sys.modules.get("numpy")
    return np is not None and type(x) in (getattr(np, "ndarray", None), getattr(np, "memmap", None))


def _list_like(tree: list[Any]) -> Callable[[list[Any]], Any]:
    if type(tree) is list:
        return list

    def remake(items: list[Any]) -> list[Any]:
        made = copy.copy(tree)
        made[:] = items
        return made

    return remake


def _dict_like(tree: dict[Any, Any]) -> Callable[[list[Any]], Any]:
    keys = list(tree)

    def remake(items: list[Any]) -> dict[Any, Any]:
        made = copy.copy(tree)  # a defaultdict keeps its default
        dict.update(made, zip(keys, items, strict=True))  # not its own update(): a Counter's adds
        return made

    return remake


def _dataclass_like(tree: Any, names: list[str]) -> Callable[[list[Any]], Any]:
    cached = [
        name for cls in type(tree).__mro__ for name, x in vars(cls).items() if isinstance(x, functools.cached_property)
    ]

    def remake(items: list[Any]) -> Any:
        made = copy.copy(tree)
        for name in cached:  # computed from the numbers that were there
            vars(made).pop(name, None)
        for name, item in zip(names, items, strict=True):
            object.__setattr__(made, name, item)  # also where it is frozen
        return made

    return remake


# ---- leaves --------------------------------------------------------------------------------------------------------


def scalars(leaves: list[Any], name: Callable[[int], str]) -> bool:
    """Whether there is a Value among the leaves. Ints become floats, in place; `name` says what to call a leaf.

    Raises:
        OperandError: a leaf is neither a Value nor a real number.
    """
    kinds = set(map(type, leaves))
    if kinds <= {float}:
        return False
    values = False
    for i, x in enumerate(leaves):
        if isinstance(x, Value):
            values = True
        elif type(x) is not float:
            leaves[i] = _number(x, i, name)
    return values


def _number(x: object, i: int, name: Callable[[int], str]) -> float:
    if type(x) is int:
        try:
            return float(x)
        except OverflowError:
            return number(x, name(i))  # which says what is wrong
    if type(x) is bool or getattr(getattr(x, "dtype", None), "kind", "") == "b":
        way_out = "a truth value has no derivative; write float(flag) where 0 or 1 is meant"
    elif type(x) in (list, tuple, dict):
        way_out = "an array holds numbers only: put arrays into lists or dicts, not these into an array"
    elif (hasattr(x, "__len__") or hasattr(x, "__iter__")) and not isinstance(x, str | bytes):
        way_out = "make it a list, tuple, dict, dataclass or plain NumPy array of numbers"
    elif hasattr(x, "__await__"):
        way_out = "it runs later: give a plain function that returns the number"
    elif x is None:
        way_out = "a number is missing there"
    else:
        return number(x, name(i))
    raise OperandError(f"{name(i)} takes a real number, not {shown(x)}; {way_out}")


def leaves_like(structure: Structure, tree: Any, what: str, like: str, finite: bool = True) -> tuple[list[Any], bool]:
    """The leaves of a tree that must have this structure, that of `like`, and whether there is a Value among them.

    Raises:
        OperandError: it has another structure, or something else than numbers in it.
        NonFiniteError: with `finite`, one of them is nan or infinite, which would pass through linear functions unseen.
    """
    leaves, found = flatten(tree)
    if str(found) != str(structure):
        leaves, found = flatten(_arranged(tree, structure))
        if str(found) != str(structure):
            raise OperandError(f"{what} is {a(found)}, and {like} is {a(structure)}: give both the same structure")
    values = scalars(leaves, lambda i: what + structure.path(i))
    if finite and not modes.current().allow_nonfinite:
        for i, x in enumerate(leaves):
            if not math.isfinite(x.data if isinstance(x, Value) else x):
                raise NonFiniteError(
                    f"{what}{structure.path(i)} is {named(x)}; make it finite, or let IEEE results through with "
                    "glassgrad.allow_nonfinite()"
                )
    return leaves, values


def _arranged(tree: Any, like: Structure) -> Any:
    """The tree with the keys of its dicts in the order of the other's."""
    if not isinstance(like, Container) or not isinstance(tree, dict | list | tuple) or len(tree) != len(like.keys):
        return tree
    children = like.children or [LEAF] * len(like.keys)
    if isinstance(tree, dict):
        if set(tree) != set(like.keys):
            return tree
        return {key: _arranged(tree[key], child) for key, child in zip(like.keys, children, strict=True)}
    if type(tree) not in (list, tuple):
        return tree
    return type(tree)(_arranged(item, child) for item, child in zip(tree, children, strict=True))


def a(structure: Structure) -> str:
    """A structure in a sentence."""
    text = str(structure)
    text = text if len(text) <= 100 else text[:97] + "..."
    return text if text == "None" else f"an {text}" if text[0] in "aeiou" else f"a {text}"


# ---- putting together ----------------------------------------------------------------------------------------------


def rebuild(structure: Structure, leaves: Any) -> Any:
    """The tree of this structure with these leaves: a list of Values and floats, or an array of doubles."""
    return structure.build(_Leaves(leaves))


def rebuild_matrix(rows: Structure, columns: Structure, entries: Any) -> Any:
    """The tree of the structure `rows` with a tree of the structure `columns` in place of each leaf.

    An array of shape S of arrays of shape T becomes one array of shape S + T.

    Arguments:
        entries: row by row, a list of Values and floats, or an array of doubles.
    """
    return rows.build(_Rows(columns, entries))


class _Leaves:
    """A list of leaves as a `Source`."""

    def __init__(self, leaves: Any) -> None:
        self.leaves = leaves

    def row(self, start: int, stop: int) -> list[Any]:
        """These leaves."""
        part = self.leaves[start:stop]
        return part.tolist() if type(part) is array else part

    def block(self, start: int, stop: int, shape: Shape) -> Any:
        """An array of these leaves."""
        return _as_array(self.leaves[start:stop], shape)


class _Rows:
    """The rows of a matrix as a `Source`, each a tree of its own."""

    def __init__(self, columns: Structure, entries: Any) -> None:
        self.columns = columns
        self.entries = entries

    def row(self, start: int, stop: int) -> list[Any]:
        """A tree for each of these rows."""
        source = _Leaves(self.entries)
        return [self.columns.build(source, self.columns.size * i) for i in range(start, stop)]

    def block(self, start: int, stop: int, shape: Shape) -> Any:
        """One tree, with an array for each of its leaves."""
        width = self.columns.size
        rows = _as_array(self.entries[start * width : stop * width], (stop - start, width))
        return self.columns.build(_Block(rows, shape))


class _Block:
    """The columns of an array as a `Source`: what stands at a leaf is an array of `shape`, one entry for each row."""

    def __init__(self, rows: Any, shape: Shape) -> None:
        self.rows = rows
        self.shape = shape

    def row(self, start: int, stop: int) -> list[Any]:
        """An array for each of these columns."""
        return [self.rows[:, j].reshape(self.shape) for j in range(start, stop)]

    def block(self, start: int, stop: int, shape: Shape) -> Any:
        """One array of all of them."""
        return self.rows[:, start:stop].reshape(self.shape + shape)


def _as_array(leaves: Any, shape: Shape) -> Any:
    """A NumPy array of float64; of objects where there is something else than floats."""
    import numpy as np

    if type(leaves) is array or set(map(type, leaves)) <= {float}:
        return np.array(leaves, dtype=np.float64).reshape(shape)
    return np.fromiter(leaves, dtype=object, count=len(leaves)).reshape(shape)  # np.array would look into each Value
