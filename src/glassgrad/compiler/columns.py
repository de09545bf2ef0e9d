"""Columns: arrays of numbers, of which compiled code sees where they stand in memory.

Pipeline: what `scalars`, `differentiate` and `canonical` keep a program in; NumPy looks at the same arrays.
"""

from __future__ import annotations

from array import array
from typing import Any

try:
    import cython
except ImportError:
    from .. import _cython as cython

__all__ = ["doubles", "flags", "ints", "longer", "longs", "zeros"]


def ints(numbers: array[int]) -> array[int]:
    """The numbers in an array, compiled as a pointer."""
    return numbers.data.as_ints if cython.compiled else numbers  # type: ignore[attr-defined]


def longs(numbers: array[int]) -> array[int]:
    """The same for integers of 64 bits."""
    return numbers.data.as_longlongs if cython.compiled else numbers  # type: ignore[attr-defined]


def flags(numbers: array[int]) -> array[int]:
    """The same for bytes."""
    return numbers.data.as_uchars if cython.compiled else numbers  # type: ignore[attr-defined]


def doubles(numbers: array[float]) -> array[float]:
    """The same for doubles."""
    return numbers.data.as_doubles if cython.compiled else numbers  # type: ignore[attr-defined]


def zeros(kind: str, count: int) -> array[Any]:
    """An array of zeros."""
    found = array(kind, [0])
    found *= count  # in place: another array would be watched by the garbage collector
    return found


def longer(numbers: array[Any], count: int) -> array[Any]:
    """A copy with room for so many numbers: an array that NumPy looks at cannot grow."""
    return numbers + zeros(numbers.typecode, count - len(numbers))
