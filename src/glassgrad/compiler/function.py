"""Compile: a scalar function that runs as a tensor program.

Pipeline: trace → differentiate → lift → program → evaluate, once for each structure of the arguments.

The first call with new structure traces; later ones run the program. A result is an ordinary Value, whose operands are
the parameters and the Values among the arguments, so everything eager works on it. Where a result or a derivative is
not finite, the call runs again eagerly, so that an error names the operation, as in eager code.
"""

from __future__ import annotations

import functools
import inspect
import math
import sys
import threading
from array import array
from collections import OrderedDict
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any, Final

from .. import engine, modes, trees
from ..engine import Value
from ..errors import GraphError, OperandError, shown
from ..primitives import name_in_graphs
from ..reader import Reader
from . import rolling
from .program import CompileError, Program
from .uncollected import uncollected

if TYPE_CHECKING:
    from .call import Entry

__all__ = ["Compiled", "compile"]

KEPT: Final = 64  # programs of one function, the least recently used leaving first
READ: Final = 8  # programs whose arguments' structure is looked for before all are looked up


def compile(  # noqa: A001 - JAX has jit
    f: Any = None, *, static: Iterable[str] = (), dtype: str = "float64", threads: int = 1, keep: int = KEPT
) -> Any:
    """A function that does the same as `f`, as a few tensor instructions. A decorator, with or without parentheses.

    Arguments:
        f: ordinary scalar code. Its arguments are numbers, Values, NumPy arrays, and lists, tuples, dicts and
            dataclasses of them. It runs for each new structure of the arguments. Values that it finds by itself, such
            as a model's parameters, are read at every call; plain numbers that it finds are part of the program.
        static: names of arguments that are no numbers to compute with, such as how many layers to use: they are handed
            over as they are, with a program for each of their values.
        dtype: of the numbers that the program computes with, "float64" or "float32", which is about twice as fast and
            has seven digits; parameters, results and gradients stay floats.
        threads: how many a call may take. They share what is long enough, such as large matrix products, and change no
            result. More than there are idle processors make it slower; calls below a millisecond seldom gain.
        keep: how many programs to keep.

    What the function does besides computing its results, such as printing or drawing random numbers, it does only when
    it is traced. An infinity on the way that no result or derivative shows, as in maximum(log(0), 3), is no error.

    Returns:
        a `Compiled`, to be called as `f` is. Its results are Values, with derivatives by the parameters and the Values
        among the arguments, to any order: each gets a program when it is first asked for. Inside of `f`, `grad`,
        `hvp`, `jvp` and the other transforms become part of its program.

    Raises:
        CompileError: where it is called: `f` would freeze a number of the first call, as `if x > 0` does. The message
            names the line, and what to write instead.

    Example:
        >>> w = Value(3.0)
        >>> @compile
        ... def loss(xs):
        ...     return sum((w * x - 1.0)**2 for x in xs)
        >>> L = loss([1.0, 2.0])
        >>> L.backward()
        >>> L.data, w.grad
        (29.0, 24.0)
    """
    if f is None:
        return functools.partial(compile, static=static, dtype=dtype, threads=threads, keep=keep)
    return Compiled(f, static, dtype, threads, keep)


class Compiled:
    """A compiled function; see `compile`.

    Attributes:
        programs: its programs, the most recently used last.
        program: that of the last call.
        seconds: how long each stage took to make it.
        derivatives: the programs of its derivatives that were asked for so far, each under the name of what it
            computes, as "gradient" or "gradient of gradient".
    """

    def __init__(self, f: Callable[..., Any], static: Iterable[str], dtype: str, threads: int, keep: int) -> None:
        self.name = name_in_graphs(f, "compile")
        functools.update_wrapper(self, f)
        self.f = f
        self.symbol: str = getattr(f, "__name__", self.name)
        self.static = (static,) if isinstance(static, str) else tuple(static)
        for count, what in ((keep, "keep is how many programs to keep"), (threads, "threads is how many to run on")):
            if isinstance(count, bool) or not isinstance(count, int) or count < 1:
                raise OperandError(f"compile({self.name}): {what}, 1 or more, not {shown(count)}")
        self.keep, self.threads = keep, threads
        self.dtype = str(getattr(dtype, "name", getattr(dtype, "__name__", dtype)))  # numpy.float32 is a type
        if self.dtype not in ("float64", "float32"):
            raise OperandError(f"compile({self.name}): dtype is 'float64' or 'float32', not {shown(dtype)}")
        try:
            self.signature = inspect.signature(f)
        except (TypeError, ValueError):
            raise CompileError(f"Python does not tell what {self.name} takes: write it as a function") from None
        for name in self.static:
            if name not in self.signature.parameters:
                raise CompileError(f"compile({self.name}): static names {name!r}, which is no argument of it")
        self._entries: OrderedDict[object, Entry] = OrderedDict()
        self._rolled: dict[object, frozenset[str]] = {}  # which arguments vmap takes, by what is static
        self._readable: tuple[Entry, ...] = ()  # those with a reader that were used last, the latest first
        self._lock = threading.RLock()  # a function is traced by one thread, while others that call it wait

    @property
    def programs(self) -> list[Program]:
        return [entry.program for entry in self._entries.values()]

    @property
    def program(self) -> Program:
        return self._last().program

    @property
    def seconds(self) -> dict[str, float]:
        return dict(self._last().seconds)

    @property
    def derivatives(self) -> dict[str, Program]:
        return dict(self._last().source.programs())

    def _last(self) -> Entry:
        if not self._entries:
            raise CompileError(f"{self.name} has no program before it is called: call it with numbers first")
        return next(reversed(self._entries.values()))

    def __get__(self, instance: object, owner: type | None = None) -> Any:
        return self if instance is None else functools.partial(self, instance)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """The result of the function."""
        if modes.current().tracer is not None:  # inside another compiled function: part of its program
            return self.f(*args, **kwargs)
        for entry in self._readable:
            reader: Reader = entry.reader  # type: ignore[assignment]  # these have one
            numbers = reader.read(args, kwargs)
            if numbers is not None and entry.is_constant():
                by = numbers.wanted
                if (entry.by or by) and by != entry.places(numbers.examples):
                    continue
                if entry is not self._readable[0]:
                    self._use(entry)
                values = [x for x in numbers.values if x.requires_grad] if by else []
                return entry.call(self, numbers, values)
        return self._call(args, kwargs)

    def _use(self, entry: Entry) -> None:
        """Note that an entry was used."""
        with self._lock:
            if self._entries.get(entry.key) is entry:  # another thread may just have dropped it
                self._entries.move_to_end(entry.key)
                others = [x for x in self._readable if x is not entry]
                self._readable = (entry, *others[: READ - 1]) if entry.reader is not None else self._readable

    def _learn(
        self, entry: Entry, args: tuple[Any, ...], kwargs: dict[str, Any], names: list[str], fixed: list[str]
    ) -> None:
        """Make the reader of calls like this one, if that can be."""
        if entry.rolled_by or entry.tries == 0:
            return
        entry.tries -= 1
        positions = {
            name: i
            for i, (name, parameter) in enumerate(self.signature.parameters.items())
            if parameter.kind in (parameter.POSITIONAL_ONLY, parameter.POSITIONAL_OR_KEYWORD)
        }
        places = {name: -1 if name in kwargs else positions.get(name, len(args)) for name in (*names, *fixed)}
        if len(places) != len(args) + len(kwargs) or max(places.values(), default=-1) >= len(args):
            return  # there are *args or **kwargs
        reader = Reader(
            args, kwargs, {name: places[name] for name in names}, {name: places[name] for name in fixed}, entry.rolled
        )
        if reader.is_able():
            entry.reader = reader

    def _call(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """The same, for arguments that no reader knows."""
        try:
            bound = self.signature.bind(*args, **kwargs)
        except TypeError as error:
            raise TypeError(f"{self.name}{self.signature}: {error}") from None
        fixed = {name: bound.arguments[name] for name in self.static if name in bound.arguments}
        names = [name for name in bound.arguments if name not in fixed]
        leaves, structure = trees.flatten_all([bound.arguments[name] for name in names])
        try:
            values = trees.scalars(leaves, lambda i: f"{self.name}: argument {_path(names, structure, i)}")
        except OperandError as error:
            raise CompileError(f"{error}; or name the argument in static=(...), which hands it over as it is") from None
        by = [i for i, x in enumerate(leaves) if isinstance(x, Value) and x.requires_grad] if values else []
        form = (tuple(names), tuple([(name, _static_key(x)) for name, x in fixed.items()]))

        def call(trees_: list[Any]) -> Any:
            filled = inspect.BoundArguments(self.signature, bound.arguments | dict(zip(names, trees_, strict=True)))
            return self.f(*filled.args, **filled.kwargs)

        with self._lock:
            try:
                roll = self._rolled.get(form, frozenset())
            except TypeError:
                raise CompileError(
                    f"{self.name}: a static argument has to be hashable, and one of {', '.join(fixed)} is not: give a "
                    "tuple instead of a list"
                ) from None
            given = [bound.arguments[name] for name in names]
            key, counts = self.key(form, names, given, by, roll)
            entry = self._entries.get(key)
            if entry is None or not entry.is_constant():
                from .build import build  # what compiling needs is imported by who compiles

                with uncollected():
                    entry = build(self.f, self.dtype, self.threads, names, given, leaves, structure, call)
                if entry.rolled:  # else it may be that these batches could not be
                    self._rolled[form] = entry.rolled
                    if len(self._rolled) > self.keep:
                        del self._rolled[next(iter(self._rolled))]
                key, counts = self.key(form, names, given, by, entry.rolled)
                entry.key = key
                self._entries[key] = entry
                while len(self._entries) > self.keep:
                    _, dropped = self._entries.popitem(last=False)
                    self._readable = tuple([x for x in self._readable if x is not dropped])
            self._learn(entry, args, kwargs, names, list(fixed))
            self._use(entry)
        written = Written(leaves, counts, structure, call)
        return entry.call(self, written, [leaves[i] for i in entry.places(counts)] if by else [])

    def key(
        self, form: object, names: list[str], given: list[Any], by: list[int], roll: frozenset[str]
    ) -> tuple[object, int]:
        """What a program is kept under, and how many examples there are.

        Arguments:
            roll: the arguments whose number of rows does not count.
        """
        batches = [x for name, x in zip(names, given, strict=True) if name in roll]
        counts = set(map(len, batches))
        if len(counts) != 1 or not all(rolling.alike(x) for x in batches):
            return (form, tuple(map(rolling.kind_of, given)), tuple(by)), 1
        kinds: list[object] = []
        for name, x in zip(names, given, strict=True):
            part = x[0] if name in roll else x
            kinds.append((name in roll and type(x), rolling.kind_of(part), rolling.wanted(part)))
        return (form, tuple(kinds)), counts.pop()

    def __reduce__(self) -> str:
        """Its name: it is pickled as functions are, without its programs."""
        path: str = getattr(self.f, "__qualname__", self.name)
        found: Any = sys.modules.get(self.f.__module__)
        for part in path.split("."):
            found = getattr(found, part, None)
        if found is not self:
            raise GraphError(
                f"cannot pickle the compiled function {self.name}: it is not to be found as "
                f"{self.f.__module__}.{path}. Decorate a function that stands in a module by itself"
            )
        return path

    def __copy__(self) -> Compiled:
        return self

    def __deepcopy__(self, _memo: Any) -> Compiled:
        return self

    def __repr__(self) -> str:
        return f"<compiled {self.name}, {len(self._entries)} program{'s' * (len(self._entries) != 1)}>"


class Written:
    """What a call is given that no reader knows; see `call.Given`.

    Arguments:
        leaves, structure: of the arguments that are numbers to compute with.
        call: calls the function with others in their place.
    """

    def __init__(
        self, leaves: list[Any], examples: int, structure: trees.Container, call: Callable[[list[Any]], Any]
    ) -> None:
        self.array = array("d", map(engine.plain, leaves))
        self.examples = examples
        self.places = [i for i, x in enumerate(leaves) if isinstance(x, Value)]
        self.values = [leaves[i] for i in self.places]
        self._leaves, self._structure, self._call = leaves, structure, call

    def leaves(self) -> list[Any]:
        return self._leaves

    def again(self, _f: object, leaves: list[Any]) -> Any:
        return self._call(trees.rebuild(self._structure, leaves))


def _static_key(x: Any) -> object:
    """What a static argument is looked up by: 1, 1.0 and True are equal, and are not the same."""
    if type(x) is tuple:
        return tuple, *map(_static_key, x)
    return (float, x, math.copysign(1.0, x)) if type(x) is float else (type(x), x)


def _path(names: list[str], structure: trees.Container, i: int) -> str:
    place, path = structure.locate(i)
    return names[place] + path
