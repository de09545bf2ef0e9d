"""How operations behave in the running thread: `no_grad`, `allow_nonfinite` and `scope`.

Each is a context manager and a decorator, holds for the thread that entered it only, and is undone whatever is raised
inside. The tasks of an event loop share a thread and so its modes: an `await` inside a block puts the others in it too.
Every operation asks for the modes of its thread, so asking must cost nanoseconds: `current()`.
"""

from __future__ import annotations

import functools
import inspect
import threading
from array import array
from collections.abc import Callable
from typing import Any, ParamSpec, TypeVar, overload

try:
    import cython
except ImportError:
    from . import _cython as cython

from .errors import GlassgradError, OperandError, shown, text

DEPTH_STEP = 1024  # the bits of Value._flags that no other flag uses count to 63, and then begin again
DEPTH = 63 * DEPTH_STEP

P = ParamSpec("P")
R = TypeVar("R")


@cython.cclass
class Info:
    """What few nodes have: a label, a scope, more than two operands, a symbol, a backward function written by hand, or
    a rule outside the table.

    All nodes made in one scope share its Info; a node that needs anything else gets one of its own.
    """

    __slots__ = ("backward", "label", "op", "operands", "partials", "rule", "scope", "shared")

    label: str
    scope: str
    op: str
    backward: Callable[[], object] | None
    operands: tuple[Any, ...] | None  # Values and floats
    partials: array[float] | None  # the derivative by each of them
    rule: Any  # of a PRIMITIVE as in `rules.Rule`; see `calls` for those of a CALL and a PICK
    shared: bool


def new_info(label: str, scope: str, op: str) -> Info:
    """An Info of one node. (Calling the class would parse arguments for as long as a dot product takes.)"""
    info: Info = Info.__new__(Info)
    info.label = label
    info.scope = scope
    info.op = op
    info.shared = False
    if not cython.compiled:
        info.backward = info.operands = info.partials = info.rule = None
    return info


def doubles(numbers: array[float]) -> array[float]:
    """The numbers in an array, compiled as a pointer: asking for a memoryview takes as long as a short dot product."""
    return numbers.data.as_doubles if cython.compiled else numbers  # type: ignore[attr-defined]


@cython.cclass
class Modes:
    """The modes of one thread."""

    __slots__ = ("allow_nonfinite", "asked", "depth", "info", "no_grad", "outer", "tracer")

    def __init__(self) -> None:
        self.no_grad = 0  # how many of these blocks the thread is in
        self.depth = 0  # how many `Recording` blocks, as bits of Value._flags
        self.allow_nonfinite = 0
        self.info: Info | None = None  # of the innermost scope
        self.outer: list[Info | None] = []  # of the scopes around it
        self.asked: list[set[int]] = []  # by id, for each `backward()` that is running, the CALLs that it may be asking
        self.tracer: Any = None  # while `compiler.trace` runs a function, what says which uses of a Value it refuses


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


def guard(what: str, x: object) -> None:
    """Refuse, while a function is traced to be compiled, what would freeze a number of this run into its program."""
    modes: Modes = current()
    if modes.tracer is not None:
        modes.tracer.refuse(what, x)


def scope_name() -> str:
    """The path of the scope that the running thread is in, '' outside any."""
    info: Info | None = current().info
    return "" if info is None else info.scope


@cython.cclass
class Block:
    """What `no_grad`, `allow_nonfinite` and `scope` share: as a decorator, a call of the function is a `with` block.

    Blocks hold no state of a thread: one may be used again, inside itself and in many threads. They are C objects once
    compiled, because a network enters a scope for every neuron.
    """

    __slots__ = ()

    def __call__(self, function: Callable[P, R]) -> Callable[P, R]:
        """The function, running inside the block."""
        if not callable(function):
            raise OperandError(f"{self!r} decorates a function, not {shown(function)}")
        if (
            inspect.isgeneratorfunction(function)
            or inspect.iscoroutinefunction(function)
            or inspect.isasyncgenfunction(function)
        ):
            raise OperandError(
                f"{self!r} cannot decorate {shown(function)}: a generator or coroutine runs after the call of it has "
                f"returned, outside the block; write `with {self!r}:` in it, around lines without yield or await"
            )

        @functools.wraps(function)
        def inside(*args: P.args, **kwargs: P.kwargs) -> R:
            with self:  # type: ignore[attr-defined]  # each block below is a context manager
                return function(*args, **kwargs)

        return inside


def not_entered(block: Block) -> GlassgradError:
    """The error for leaving a block that the thread is not in."""
    return GlassgradError(f"{block!r} is left but was not entered in this thread; write `with {block!r}:`")


@cython.cclass
class NoGrad(Block):
    """The block of `no_grad`."""

    __slots__ = ()

    def __enter__(self) -> None:
        modes: Modes = current()
        if modes.tracer is not None:
            modes.tracer.refuse("no_grad()", None)
        modes.no_grad += 1

    def __exit__(self, _kind: object, _error: object, _trace: object) -> None:
        modes: Modes = current()
        if modes.no_grad == 0:
            raise not_entered(self)
        modes.no_grad -= 1

    def __repr__(self) -> str:
        return "no_grad()"


@cython.cclass
class AllowNonfinite(Block):
    """The block of `allow_nonfinite`."""

    __slots__ = ()

    def __enter__(self) -> None:
        modes: Modes = current()
        modes.allow_nonfinite += 1

    def __exit__(self, _kind: object, _error: object, _trace: object) -> None:
        modes: Modes = current()
        if modes.allow_nonfinite == 0:
            raise not_entered(self)
        modes.allow_nonfinite -= 1

    def __repr__(self) -> str:
        return "allow_nonfinite()"


class Recording:
    """A block inside of which operations are recorded, whatever is around it.

    Their nodes are marked with how deep such blocks are nested, so that a checkpoint tells its own from those it found.
    """

    __slots__ = ("depth", "no_grad")

    def __enter__(self) -> None:
        modes: Modes = current()
        self.no_grad, self.depth = modes.no_grad, modes.depth
        modes.no_grad = 0
        modes.depth = (modes.depth + DEPTH_STEP) & DEPTH

    def __exit__(self, _kind: object, _error: object, _trace: object) -> None:
        modes: Modes = current()
        modes.no_grad, modes.depth = self.no_grad, self.depth


@overload
def no_grad() -> NoGrad: ...
@overload
def no_grad(function: Callable[P, R]) -> Callable[P, R]: ...
def no_grad(function: Any = None) -> Any:
    """Operations inside record nothing: their results are constants. As a decorator, with or without parentheses.

    It holds for the thread: an `await` inside switches gradients off for every other task of the event loop meanwhile.

    Example:
        >>> x = Value(3.0)
        >>> with no_grad():
        ...     y = x * x
        >>> y.requires_grad
        False
    """
    return NoGrad() if function is None else NoGrad()(function)


@overload
def allow_nonfinite() -> AllowNonfinite: ...
@overload
def allow_nonfinite(function: Callable[P, R]) -> Callable[P, R]: ...
def allow_nonfinite(function: Any = None) -> Any:
    """Operations inside give IEEE results, inf and nan, where they would raise. A decorator as `no_grad` is.

    Example:
        >>> with allow_nonfinite():
        ...     y = Value(0.0).log()
        >>> y.data
        -inf
    """
    return AllowNonfinite() if function is None else AllowNonfinite()(function)


@cython.cclass
class scope(Block):
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
        self.name = text(name, "a scope")
        self._inside: tuple[Info | None, Info] | None = None  # the scope around it last time, and the Info then made

    def __reduce__(self) -> tuple[type[scope], tuple[str]]:
        return scope, (self.name,)  # what it remembers belongs to this process

    def __enter__(self) -> None:
        enter(self)

    def __exit__(self, _kind: object, _error: object, _trace: object) -> None:
        leave(self)

    def __repr__(self) -> str:
        return f"scope({self.name!r})"


def enter(block: scope) -> None:
    """Make the scope the innermost one of the running thread."""
    modes: Modes = current()
    inside = block._inside
    if inside is None or inside[0] is not modes.info:
        path = f"{modes.info.scope}/{block.name}" if modes.info is not None else block.name
        info = new_info("", path, "")
        info.shared = True
        block._inside = inside = (modes.info, info)
    modes.outer.append(modes.info)
    modes.info = inside[1]


def leave(block: scope) -> None:
    """Go back to the scope around it."""
    modes: Modes = current()
    if not modes.outer:
        raise not_entered(block)
    modes.info = modes.outer.pop()


def call_each(functions: list[Any], scopes: list[scope], x: Any) -> list[Any]:
    """What each function gives for x, called inside the scope beside it: a layer's neurons, each in its own.

    A `with` statement costs 140 ns for each, as much as three nodes of it; entering and leaving here costs 20.
    """
    results = []
    for i in range(len(functions)):
        place: scope = scopes[i]
        enter(place)
        try:
            results.append(functions[i].__call__(x))  # 60 ns less than functions[i](x), which packs a tuple
        finally:
            leave(place)
    return results
