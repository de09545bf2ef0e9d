"""Reads the arguments of a call that are put together as those of an earlier one were.

Taking a tree apart (`trees`) and looking up how it is made takes longer than many a compiled program. So a `Reader`
remembers that of one call. It walks through the next call's arguments beside it, and writes their numbers straight into
an array; at the first thing that is not the same it gives up, and the call takes the long way.

It knows lists, tuples, dicts, NumPy arrays, floats, ints and Values themselves, not what is derived from them. Of a
batch that the compiled function hands to `vmap` the number of rows is free.
"""

from __future__ import annotations

import sys
from array import array
from collections.abc import Callable, Sequence
from typing import Any

try:
    import cython
except ImportError:
    from . import _cython as cython

from . import engine, flat, modes, trees
from .engine import Value

NUMBER, ROW, SEQUENCE, MAPPING, ARRAY, NOTHING = range(6)  # kinds of forms; a row is a sequence of numbers
MISSING = object()


@cython.final
@cython.cclass
class Numbers:
    """What is read: the numbers of all arguments, in order.

    Attributes:
        array: the numbers.
        reader: who read them.
        examples: how many rows the batches have, 1 where there is none.
        values: the Values among the numbers, and where they stand; `wanted` are those places where one requires a
            gradient.
    """

    __slots__ = ("array", "at", "examples", "out", "places", "reader", "values", "wanted")

    def __init__(self, reader: Reader, size: int, examples: int) -> None:
        self.array = flat.room(size)
        self.reader = reader
        self.examples = examples
        self.at = 0  # so many have been read
        self.values: list[Value] = []
        self.places: list[int] = []
        self.wanted: list[int] = []
        self.out = modes.doubles(self.array)

    def leaves(self) -> list[Any]:
        """The numbers and Values."""
        found: list[Any] = self.array.tolist()
        for place, value in zip(self.places, self.values, strict=True):
            found[place] = value
        return found

    def again(self, f: Callable[..., Any], leaves: list[Any]) -> Any:
        """What a function gives for arguments of this structure, filled with these leaves."""
        return self.reader.call(f, self, leaves)

    def number(self, x: Any) -> bool:
        """Read one number. Whether it is one. Raises OverflowError at an int that is beyond all doubles."""
        if type(x) is float:
            self.out[self.at] = x
        elif type(x) is int:
            self.out[self.at] = double_of(x)
        elif type(x) is Value:
            self.out[self.at] = engine.data_of(x)
            self.values.append(x)
            self.places.append(self.at)
            if x.requires_grad:
                self.wanted.append(self.at)
        elif isinstance(x, float) and type(x).__module__ == "numpy":  # numpy.float64
            self.out[self.at] = x
        else:
            return False
        self.at += 1
        return True

    def block(self, x: Any, size: int) -> bool:
        """Read an array of so many numbers. Whether it has numbers only."""
        if cython.compiled and flat.copy_doubles(x, cython.address(self.out[self.at]), size):
            self.at += size
            return True
        if x.dtype.kind not in "fiu" or x.size != size:
            return False
        start, stop = self.at, self.at + size
        np = sys.modules["numpy"]
        np.frombuffer(self.array)[start:stop] = x.reshape(-1)
        self.at = stop
        return True


@cython.final
@cython.cclass
class Form:
    """How a tree is put together, to be compared with another: as a `trees.Structure`, with the types themselves.

    Attributes:
        type: list, tuple, dict, or NumPy's array.
        size: how many numbers it has.
        length: how many items.
        keys: of a dict; `shape` of an array.
    """

    __slots__ = ("children", "keys", "kind", "length", "shape", "size", "type")

    def __init__(self, kind: int, cls: Any, size: int) -> None:
        self.kind, self.type, self.size = kind, cls, size
        self.length = 0
        self.keys: list[Any] = []
        self.children: list[Form] = []
        self.shape: tuple[int, ...] = ()

    def read(self, tree: Any, into: Numbers) -> bool:
        """Read the numbers of a tree of this form. False, at any time, if it is none. Raises as `number` does."""
        if self.kind == ROW and type(tree) is list and self.type is list:
            return self.read_list(tree, into)
        if self.kind == NUMBER:
            return into.number(tree)
        if self.kind == NOTHING:
            return tree is None
        if type(tree) is not self.type:
            return False
        if self.kind == ARRAY:
            return tree.shape == self.shape and into.block(tree, self.size)
        if self.kind == MAPPING:
            if len(tree) != self.length:
                return False
            for i, key in enumerate(tree):
                if key is not self.keys[i] and (type(key) is not type(self.keys[i]) or key != self.keys[i]):
                    return False
            return self.read_list(list(tree.values()), into)
        return self.read_list(tree if type(tree) is list else list(tree), into)

    def read_list(self, items: list[Any], into: Numbers) -> bool:
        """The same for the items of one."""
        if len(items) != self.length:
            return False
        if self.kind == ROW:
            out = into.out
            for i in range(len(items)):
                x = items[i]
                if type(x) is float:  # as most are
                    out[into.at] = x
                    into.at += 1
                elif not into.number(x):
                    return False
            return True
        for i in range(len(items)):
            child: Form = self.children[i]
            if not child.read(items[i], into):
                return False
        return True

    def build(self, leaves: Sequence[Any], start: int) -> Any:
        """A tree of this form, of the leaves from `start` on."""
        stop = start + self.size
        if self.kind == NUMBER:
            return leaves[start]
        if self.kind == NOTHING:
            return None
        if self.kind == ROW:
            return self.type(leaves[start:stop])
        if self.kind == ARRAY:
            return trees.rebuild(trees.Array(self.shape, self.size), leaves[start:stop])
        items = []
        for child in self.children:
            items.append(child.build(leaves, start))
            start += child.size
        return dict(zip(self.keys, items, strict=True)) if self.kind == MAPPING else self.type(items)


def double_of(x: int) -> float:
    """An int as a double, without making a Python float on the way."""
    return PyLong_AsDouble(x) if cython.compiled else float(x)  # type: ignore[name-defined]  # noqa: F821 - reader.pxd


def form_of(tree: Any) -> Form | None:
    """The form of a tree; None where there is something in it that a `Reader` does not know."""
    kind = type(tree)
    if kind in trees.SCALARS or (isinstance(tree, float) and kind.__module__ == "numpy"):
        return Form(NUMBER, None, 1)
    if tree is None:
        return Form(NOTHING, None, 0)
    if trees.is_array(tree):
        form = Form(ARRAY, kind, tree.size)
        form.shape = tree.shape
        return form if tree.dtype.kind in "fiu" and tree.shape else None
    if kind not in (list, tuple, dict):
        return None
    children: list[Form] = []
    for x in tree.values() if kind is dict else tree:
        child = form_of(x)
        if child is None:
            return None
        children.append(child)
    form = Form(MAPPING if kind is dict else SEQUENCE, kind, sum([x.size for x in children]))
    form.length = len(tree)
    form.children = children
    if kind is dict:
        form.keys = list(tree)
    elif all(x.kind == NUMBER for x in children):
        form.kind = ROW
    return form


def form_of_rows(batch: Any) -> Form | None:
    """The form of a batch's first row."""
    if type(batch) is list or type(batch) is tuple:
        return form_of(batch[0])
    if form_of(batch) is None:
        return None
    return form_of(batch[0]) if batch.ndim > 1 else Form(NUMBER, None, 1)


SIMPLE = (int, bool, str, type(None))  # equal ones of these are the same


def are_rows(numbers: array[float], places: array[int], counts: array[float]) -> bool:
    """Whether the numbers at these places are whole, from 0 on, each below its count: what `take` finds a row by."""
    data, where, most = modes.doubles(numbers), flat.ints(places), modes.doubles(counts)
    for i in range(len(places)):
        x = data[where[i]]
        if not (0.0 <= x < most[i] and x == x // 1.0):
            return False
    return True


@cython.final
@cython.cclass
class Reader:
    """Reads calls that have the structure of one.

    Arguments:
        args, kwargs: of that call.
        names: the arguments that are read, in the order of their numbers, each with where it stands: its position, or
            -1 for one by keyword. `fixed` are those that have to be equal.
        rolled: the names of batches.
    """

    __slots__ = ("fixed", "forms", "keywords", "names", "places", "positional", "rolled", "size", "width")

    def __init__(
        self,
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
        names: dict[str, int],
        fixed: dict[str, int],
        rolled: frozenset[str],
    ) -> None:
        self.positional, self.keywords = len(args), len(kwargs)
        self.names = list(names)
        self.places = list(names.values())
        self.rolled = [
            type(given(args, kwargs, name, place)) if name in rolled else None for name, place in names.items()
        ]
        self.fixed = [(name, place, given(args, kwargs, name, place)) for name, place in fixed.items()]
        self.forms: list[Any] = []
        for i in range(len(self.names)):
            x = given(args, kwargs, self.names[i], self.places[i])
            self.forms.append(form_of(x) if self.rolled[i] is None else form_of_rows(x))
        self.size = sum([x.size for x, roll in zip(self.forms, self.rolled, strict=True) if x and roll is None])
        self.width = sum([x.size for x, roll in zip(self.forms, self.rolled, strict=True) if x and roll is not None])

    def is_able(self) -> bool:
        """Whether it knows everything in that call."""
        return None not in self.forms

    def read(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Numbers | None:
        """The numbers of a call; None if its structure is another."""
        if len(args) != self.positional or len(kwargs) != self.keywords:
            return None
        for name, place, value in self.fixed:
            x = given(args, kwargs, name, place)
            if x is not value and (type(x) is not type(value) or type(x) not in SIMPLE or x != value):
                return None
        examples = -1
        for i in range(len(self.forms)):
            if self.rolled[i] is not None:
                x = given(args, kwargs, self.names[i], self.places[i])
                if type(x) is not self.rolled[i] or len(x) == 0 or (examples >= 0 and len(x) != examples):
                    return None
                examples = len(x)
        count = 1 if examples < 0 else examples
        into = Numbers(self, self.size + self.width * count, count)
        for i in range(len(self.forms)):
            x = given(args, kwargs, self.names[i], self.places[i])
            form: Form = self.forms[i]
            try:
                if not (form.read(x, into) if self.rolled[i] is None else read_rows(form, x, into)):
                    return None
            except OverflowError:
                return None
        return into

    def call(self, f: Callable[..., Any], numbers: Numbers, leaves: list[Any]) -> Any:
        """What the function gives for such arguments, filled with these leaves."""
        args: list[Any] = [None] * self.positional
        kwargs: dict[str, Any] = {}
        found = [*self.fixed]
        start = 0
        for i in range(len(self.forms)):
            form: Form = self.forms[i]
            if self.rolled[i] is None:
                tree = form.build(leaves, start)
                start += form.size
            else:
                tree = build_rows(form, self.rolled[i], leaves, start, numbers.examples)
                start += form.size * numbers.examples
            found.append((self.names[i], self.places[i], tree))
        for name, place, x in found:
            if place < 0:
                kwargs[name] = x
            else:
                args[place] = x
        return f(*args, **kwargs)


def given(args: tuple[Any, ...], kwargs: dict[str, Any], name: str, place: int) -> Any:
    """An argument of a call; `MISSING` if it has another in its place."""
    return kwargs.get(name, MISSING) if place < 0 else args[place]


def read_rows(form: Form, batch: Any, into: Numbers) -> bool:
    """Read a batch whose rows have this form."""
    if type(batch) is list or type(batch) is tuple:
        for row in batch:  # noqa: SIM110 - a C function has no generators
            if not form.read(row, into):
                return False
        return True
    inside = form.shape if form.kind == ARRAY else ()
    return batch.shape[1:] == inside and into.block(batch, form.size * len(batch))


def build_rows(form: Form, kind: Any, leaves: Sequence[Any], start: int, count: int) -> Any:
    """A batch of so many rows."""
    if kind is list or kind is tuple:
        return kind([form.build(leaves, start + i * form.size) for i in range(count)])
    shape = (count, *form.shape)
    return trees.rebuild(trees.Array(shape, count * form.size), leaves[start : start + count * form.size])
