"""Stand-in for ``import cython`` where Cython is not installed.

The engine's sources are ordinary Python with Cython's decorators and types on top. Compiled, ``import cython`` is
resolved by the compiler and this module is never imported. Interpreted, the real shadow module is used if Cython is
there, and otherwise this one, which guarantees the same behaviour: every decorator returns what it decorates, every
directive does nothing, every type name is only a name, and ``compiled`` is False. Sources write::

    try:
        import cython
    except ImportError:
        from . import _cython as cython
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

T = TypeVar("T")

compiled = False
"""False: the code that reads this runs as interpreted Python."""


def _same(decorated: T) -> T:
    """The decorated object itself: a decorator that only speaks to the compiler."""
    return decorated


def _flag(decorated_or_value: T | bool) -> Any:
    """A directive written either as ``@cython.final`` or as ``@cython.no_gc(True)``."""
    return _same if isinstance(decorated_or_value, bool) else decorated_or_value


class _Directive:
    """A directive with arguments, ``@cython.freelist(8)`` or ``with cython.nogil:``, without effect."""

    def __call__(self, *_values: object, **_named: object) -> Callable[[T], T]:
        """A decorator that changes nothing."""
        return _same

    def __enter__(self) -> None:
        """Enter a block under the directive: nothing to do."""

    def __exit__(self, *_exception: object) -> None:
        """Leave the block, letting exceptions through."""


def cast(_type: object, value: T, *, typecheck: bool = False) -> T:
    """The value, as it is: names of C types mean nothing here."""
    del typecheck
    return value


def address(value: T) -> T:
    """The value: there is no address to be had of it."""
    return value


def declare(_type: object = None, value: Any = None, **_named: object) -> Any:
    """The initial value of a declared variable, None if it has none."""
    return value


cclass = cfunc = ccall = inline = _same
final = internal = no_gc = no_gc_clear = trashcan = total_ordering = _flag
freelist = locals = returns = exceptval = _Directive()  # noqa: A001 - the name is Cython's
boundscheck = wraparound = cdivision = initializedcheck = nonecheck = overflowcheck = _Directive()
infer_types = annotation_typing = binding = cpow = auto_pickle = nogil = gil = _Directive()

# Names of C types, for annotations that are evaluated and as first argument of cast and declare.
double = longdouble = float
char = uchar = short = ushort = uint = long = ulong = longlong = ulonglong = size_t = Py_ssize_t = int
bint = bool
void = p_void = pp_void = object
