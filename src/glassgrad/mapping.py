"""Functions over rows: `vmap` runs one on each of a batch's, `take` chooses one of them by a number.

Eagerly both are what Python has: a loop, an index. Inside a compiled function they keep the program general: a batch of
another size, and another index, run the same program.
"""

from __future__ import annotations

import functools
import operator
from collections.abc import Callable, Sequence
from typing import Any

from . import modes, trees
from .engine import Value
from .errors import OperandError, OutOfRangeError, is_number, shown
from .run import title

__all__ = ["take", "vmap"]

Axes = int | None | Sequence[int | None]


def vmap(f: Callable[..., Any], in_axes: Axes = 0) -> Callable[..., list[Any]]:
    """A function of batches that gives the list of what `f` gives for each of their rows, as `jax.vmap` does.

    Arguments:
        f: a function of single examples.
        in_axes: for each argument 0, a batch whose rows go to `f` one by one, or None, handed to each call as it is;
            one for all, or one each. Keyword arguments are batches.

    Eagerly that is a loop. In a compiled function `f` is traced once, for any number of rows, where the batches are
    arguments of the compiled function, or results of another vmap over such. What the list holds is then unknown while
    it is traced: return it, give it to `glassgrad.sum` or `glassgrad.mean`, or to another vmap. Elsewhere the loop is
    unrolled into the program. An inner vmap is always unrolled.

    Raises:
        OperandError: where it is called: there is no batch among the arguments, they have different numbers of rows, or
            in_axes does not fit.

    Example:
        >>> w = Value(3.0)
        >>> ys = vmap(lambda w, x: w * x, in_axes=(None, 0))(w, [1.0, 2.0])
        >>> [y.data for y in ys]
        [3.0, 6.0]
    """
    who = title("vmap", f)

    @functools.wraps(f)
    def mapped(*args: Any, **kwargs: Any) -> list[Any]:
        axes = _axes(in_axes, len(args), who)
        batches = [x for x, axis in zip(args, axes, strict=True) if axis == 0] + list(kwargs.values())
        if not batches:
            raise OperandError(f"{who} has no batch to go over: one of the arguments must be one, with 0 in in_axes")
        tracer = modes.current().tracer
        if tracer is not None:
            found = tracer.vmap(f, args, axes, kwargs)
            if found is not None:
                return found  # type: ignore[no-any-return]
        count = _rows(batches, who)
        return [
            f(
                *[x[i] if axis == 0 else x for x, axis in zip(args, axes, strict=True)],
                **{name: x[i] for name, x in kwargs.items()},
            )
            for i in range(count)
        ]

    return mapped


def _axes(in_axes: Axes, count: int, who: str) -> list[int | None]:
    axes = list(in_axes) if isinstance(in_axes, tuple | list) else [in_axes] * count
    if any(axis is not None and (isinstance(axis, bool) or axis != 0) for axis in axes):
        raise OperandError(
            f"{who}: in_axes={in_axes!r} has something else than 0 and None: rows are the first axis; transpose first"
        )
    if len(axes) != count:
        raise OperandError(f"{who} has {len(axes)} in_axes and {count} argument{'s' * (count != 1)}: one for each")
    return axes  # type: ignore[return-value]


def _rows(batches: list[Any], who: str) -> int:
    """How many rows these batches have."""
    for x in batches:
        if not isinstance(x, list | tuple) and not (trees.is_array(x) and x.ndim):
            raise OperandError(
                f"{who}: a batch is a list, a tuple or an array, not {shown(x)}; with None for it in in_axes every "
                "call gets it as it is"
            )
    counts = sorted(set(map(len, batches)))
    if len(counts) > 1:
        raise OperandError(f"{who}: the batches have {' and '.join(map(str, counts))} rows; give each the same number")
    return counts[0]


def take(rows: Any, i: Any) -> Any:
    """rows[i], also where `i` is an argument of a compiled function, for which Python's own index would be frozen.

    Arguments:
        rows: a list, tuple or array of numbers, Values or equal trees of them, such as a table of embeddings.
        i: a whole number; below 0 it counts from the end. Or a list of such, for a list of rows.

    Raises:
        OutOfRangeError: there is no such row.
        OperandError: `i` is no whole number.

    Example:
        >>> table = [[Value(1.0), Value(2.0)], [Value(3.0), Value(4.0)]]
        >>> [x.data for x in take(table, 1)]
        [3.0, 4.0]
    """
    if isinstance(i, list | tuple) or (trees.is_array(i) and i.ndim):
        return [take(rows, k) for k in i]
    if trees.is_array(i):
        i = i[()]
    tracer = modes.current().tracer
    if tracer is not None and isinstance(i, Value):
        return tracer.take(rows, i)
    n, k = len(rows), _whole(i)
    if not -n <= k < n:
        raise OutOfRangeError(f"take: there is no row {k} among {n}")
    return rows[k]


def _whole(i: Any) -> int:
    """A whole number as an int: a compiled function's arguments are all numbers."""
    try:
        return operator.index(i)
    except TypeError:
        x = i.data if isinstance(i, Value) else i
        if is_number(x) and float(x).is_integer():
            return int(x)
    raise OperandError(f"take: the place of a row is a whole number, not {shown(x)}")
