"""How operations behave in the running thread: `no_grad`, `allow_nonfinite` and `scope`.

Each is a context manager and a decorator, holds for the thread that entered it only, and is undone whatever is raised
inside. Every operation asks for the modes of its thread, so asking must cost nanoseconds: `current()`.
"""

from __future__ import annotations

import functools
import threading
from array import array
from collections.abc import Callable
from typing import Any, ParamSpec, TypeVar

try:
    import cython
except ImportError:
    from . import _cython as cython

from .errors import OperandError, shown

P = ParamSpec("P")
R = TypeVar("R")


@cython.cclass
class Info:
    """What few nodes have: a label, a scope, more than two operands, a symbol and a backward function written by hand.

    All nodes made in one scope share its Info; a node that needs anything else gets one of its own.
    """

    __slots__ = ("backward", "label", "op", "operands", "partials", "scope", "shared")

    label: str
    scope: str
    op: str
    backward: Callable[[], object] | None
    operands: tuple[Any, ...] | None  # Values and floats
    partials: array[float] | None  # the derivative by each of them
    shared: bool


def new_info(label: str, scope: str, op: str) -> Info:
    """An Info of one node. (Calling the class would parse arguments for as long as a dot product takes.)"""
    info: Info = Info.__new__(Info)
    info.label = label
    info.scope = scope
    info.op = op
    info.shared = False
    if not cython.compiled:
        info.backward = info.operands = info.partials = None
    return info


def doubles(numbers: array[float]) -> array[float]:
    """The numbers in an array, compiled as a pointer: asking for a memoryview takes as long as a short dot product."""
    return numbers.data.as_doubles if cython.compiled else numbers  # type: ignore[attr-defined]


@cython.cclass
class Modes:
    """The modes of one thread."""

    __slots__ = ("allow_nonfinite", "info", "no_grad", "outer")

    def __init__(self) -> None:
        self.no_grad = 0  # how many of these blocks the thread is in
        self.allow_nonfinite = 0
        self.info: Info | None = None  # of the innermost scope
        self.outer: list[Info | None] = []  # of the scopes around it


_threads = threading.local()
_owner = 0
_cached: Modes | None = None


def current() -> Modes:
    """The modes of the running thread."""
    global _owner, _cached
    if cython.compiled:  # thread-local storage costs as much as an operation: remember who asked last
        thread = PyThreadState_GetID(PyThreadState_Get())  # type: ignore[name-defined]  # noqa: F821 - modes.pxd
        if thread != _owner:
            _cached = _of_thread()
            _owner = thread
        return _cached  # type: ignore[return-value]
    return _of_thread()


def _of_thread() -> Modes:
    try:
        return _threads.modes  # type: ignore[no-any-return]
    except AttributeError:
        modes = _threads.modes = Modes()
        return modes


def scope_name() -> str:
    """The path of the scope that the running thread is in, '' outside any."""
    info: Info | None = current().info
    return "" if info is None else info.scope


class _Block:
    """The decorator half: a call of the function is a `with` block. Blocks hold no state of a thread."""

    __slots__ = ()

    def __call__(self, function: Callable[P, R]) -> Callable[P, R]:
        @functools.wraps(function)
        def inside(*args: P.args, **kwargs: P.kwargs) -> R:
            with self:  # type: ignore[attr-defined]  # each block below is a context manager
                return function(*args, **kwargs)

        return inside


class no_grad(_Block):
    """Operations inside record nothing: their results are constants.

    Example:
        >>> x = Value(3.0)
        >>> with no_grad():
        ...     y = x * x
        >>> y.requires_grad
        False
    """

    __slots__ = ()

    def __enter__(self) -> None:
        modes: Modes = current()
        modes.no_grad += 1

    def __exit__(self, *exception: object) -> None:
        modes: Modes = current()
        modes.no_grad -= 1


class allow_nonfinite(_Block):
    """Operations inside give IEEE results, inf and nan, where they would raise.

    Example:
        >>> with allow_nonfinite():
        ...     y = Value(0.0).log()
        >>> y.data
        -inf
    """

    __slots__ = ()

    def __enter__(self) -> None:
        modes: Modes = current()
        modes.allow_nonfinite += 1

    def __exit__(self, *exception: object) -> None:
        modes: Modes = current()
        modes.allow_nonfinite -= 1


class scope(_Block):
    """Names a region: nodes made inside carry the name, and pictures group by it. Nested names join with a slash.

    Arguments:
        name: any text that is not empty.

    Example:
        >>> with scope("layer1"), scope("neuron3"):
        ...     y = Value(1.0) + 1.0
        >>> y._scope
        'layer1/neuron3'
    """

    __slots__ = ("_inside", "name")

    def __init__(self, name: str) -> None:
        if not isinstance(name, str) or not name:
            raise OperandError(f"scope takes a name, a text that is not empty, not {shown(name)}")
        self.name = name
        self._inside: tuple[Info | None, Info] | None = None  # the scope around it last time, and the Info then made

    def __reduce__(self) -> tuple[type[scope], tuple[str]]:
        return scope, (self.name,)  # what it remembers belongs to this process

    def __enter__(self) -> None:
        modes: Modes = current()
        inside = self._inside
        if inside is None or inside[0] is not modes.info:
            path = f"{modes.info.scope}/{self.name}" if modes.info is not None else self.name
            info = new_info("", path, "")
            info.shared = True
            self._inside = inside = (modes.info, info)
        modes.outer.append(modes.info)
        modes.info = inside[1]

    def __exit__(self, *exception: object) -> None:
        modes: Modes = current()
        modes.info = modes.outer.pop()
