"""Functions that say themselves how gradients go back through them: `custom_gradient` and `checkpoint`.

- A function with a **custom gradient** is given the way back by its author, as to clip a gradient there.
- A **checkpoint** keeps no graph of a function; it runs the function again when a gradient comes back.

Each is one node, a CALL, which is the result if there is one. If there are several, each is a PICK on the CALL, which
then has no number and is not shown: what stands in `_prev` and in pictures are its operands.

The rule of a CALL is what sweeps ask: `pull` and `push` with numbers, `pull_values` and `push_values` with Values, to
be differentiated again. Asked with numbers it gives numbers, or a Value where that depends on more than the operands,
such as on what a way back uses of its surroundings: a transform then knows that it is to ask with Values. The way back
they get the gradients of some results, by number, and give one for each operand; the way forward they get a tangent for
each operand and give one for each result. `several` says whether there are PICKs, `captured` how many of the last
operands are no arguments, `refers` whether it may refer to the results.
"""

from __future__ import annotations

import contextlib
import functools
import inspect
import math
from array import array
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

from . import engine, functions, modes, sweep, symbolic, trees
from . import tape as tapes
from .engine import Scalar, Value
from .errors import GraphError, OperandError, number, shown
from .primitives import name_in_graphs
from .run import as_values
from .tape import Tape, release, variable

__all__ = ["checkpoint", "custom_gradient"]

F = TypeVar("F", bound=Callable[..., Any])


class Pick:
    """The rule of a PICK: which result of the CALL it is."""

    refers = False

    def __init__(self, name: str, symbol: str, index: int) -> None:
        self.name, self.symbol, self.index = name, symbol, index


def _results(
    call: _Custom | _Checkpoint, operands: tuple[Any, ...], numbers: list[float], paths: list[str]
) -> list[Value]:
    """The nodes of what a function returned: its results, and where they stand in it."""
    for y in numbers:
        functions.checked(call.name, operands, y)
    unknown = array("d", [math.nan]) * len(operands)
    call.several = paths != [""]
    if not call.several:
        return [engine.by_rule("call", call, operands, numbers[0], unknown)]
    node = engine.by_rule("call", call, operands, 0.0, unknown)
    return [
        engine.by_rule("pick", Pick(call.name, f"{call.symbol}{path}", i), (node,), y, unknown)
        for i, (y, path) in enumerate(zip(numbers, paths, strict=True))
    ]


def custom_gradient(f: F) -> F:
    """Decorate a function that returns its results and the way back: as in `jax.custom_gradient`.

    Arguments:
        f: takes trees of scalars, and by keyword alone whatever else it needs, and returns a pair. First its results, a
            scalar or a tree. Then a function that takes a gradient for each result, in their structure, and gives one
            for each argument, a tuple of such if there are several. It may do what derivatives cannot, such as to clip.

    The function gets constants, so nothing in it is recorded. For a second derivative it is called once more with the
    Values themselves, and then the way back should consist of glassgrad's functions. In forward mode (`jvp`, and `hvp`
    on top) the way back is taken for linear. The way back may use Values that are no arguments: the results do not
    depend on them, derivatives do, and are differentiated by them as well.

    Raises:
        OperandError: where it is called: an argument is no tree of scalars, `f` does not return such a pair, or it
            computes results from a Value that is no argument. In the sweep back: the way back does not give what fits
            the arguments.

    Example:
        >>> @custom_gradient
        ... def clipped(x):
        ...     return x, lambda gradient: clip(gradient, -1.0, 1.0)
        >>> x = Value(3.0)
        >>> (10.0 * clipped(x)).backward()
        >>> x.grad
        1.0
    """
    name = name_in_graphs(f, "custom_gradient")

    @functools.wraps(f)
    def with_gradient(*args: Any, **options: Any) -> Any:
        if options:
            given = inspect.signature(f).bind(*args, **options)
            args, options = given.args, given.kwargs
        leaves, structure = trees.flatten_all(args)
        values = trees.scalars(leaves, lambda i: f"{name}: argument {structure.path(i)[1:].replace(']', '', 1)}")
        call = _Custom(f, name, structure, options)
        numbers = call.start(leaves)
        if not values:
            return trees.rebuild(call.made, numbers)
        paths = [call.made.path(i) for i in range(len(numbers))]
        return trees.rebuild(call.made, _results(call, tuple(leaves), numbers, paths))

    return with_gradient  # type: ignore[return-value]  # wraps keeps the signature, which mypy does not see


class _Custom:
    """The rule of a function with a custom gradient."""

    several = False
    captured = 0
    refers = True

    def __init__(self, f: Callable[..., Any], name: str, structure: trees.Container, options: dict[str, Any]) -> None:
        self.f, self.name, self.symbol = f, name, getattr(f, "__name__", name)
        self.structure, self.options = structure, options

    def start(self, leaves: list[Any]) -> list[float]:
        """The results on these operands, as numbers."""
        constants = [Value(engine.plain(x), requires_grad=False) for x in leaves]
        results, self.made, self.back = self.run(constants)
        found = [x for x in results if isinstance(x, Value) and x.requires_grad]
        again = self.run(constants)[0] if found else []  # a Value that it makes is another one each time
        if any(x._prev or any(x is y for y in again) for x in found):
            raise OperandError(
                f"{self.name} has a custom gradient and uses a Value that is no argument of it, to which no gradient "
                "would go: make it an argument, or detach() it"
            )
        return [engine.plain(x) for x in results]

    def run(self, operands: Sequence[Any]) -> tuple[list[Any], trees.Structure, Callable[..., Any]]:
        """The results on these operands, their structure, and the way back."""
        pair = self.f(*trees.rebuild(self.structure, operands), **self.options)
        if not isinstance(pair, tuple) or len(pair) != 2 or not callable(pair[1]):
            raise OperandError(
                f"{self.name} has a custom gradient, so it returns (results, way back), the way back a function from "
                f"the gradients of its results to those of its arguments, not {shown(pair)}"
            )
        results, made = trees.flatten(pair[0])
        trees.scalars(results, lambda i: f"the result{made.path(i)} of {self.name}")
        return results, made, pair[1]

    def gradients(self, back: Callable[..., Any], seeds: dict[int, Any]) -> list[Any]:
        """The gradients of the operands, from those of the results."""
        found = back(trees.rebuild(self.made, [seeds.get(i, 0.0) for i in range(self.made.size)]))
        if len(self.structure.keys) == 1 and str(trees.flatten(found)[1]) != str(self.structure):
            found = (found,)
        what = f"{self.name}: what its way back returned"
        return trees.leaves_like(self.structure, found, what, "the tuple of its arguments", finite=False)[0]

    def pull(self, _operands: tuple[Any, ...], seeds: dict[int, float]) -> list[Scalar]:
        return [_known(x) for x in self.gradients(self.back, seeds)]

    def pull_values(self, operands: tuple[Any, ...], seeds: dict[int, Scalar]) -> list[Scalar]:
        return self.gradients(self.run(operands)[2], seeds)

    def push(self, operands: tuple[Any, ...], tangents: list[float]) -> list[Scalar]:
        return [_known(_along(self.pull(operands, {i: 1.0}), tangents)) for i in range(self.made.size)]

    def push_values(self, operands: tuple[Any, ...], tangents: list[Scalar]) -> list[Scalar]:
        back = self.run(operands)[2]
        return [_along(self.gradients(back, {i: 1.0}), tangents) for i in range(self.made.size)]


def _known(x: Any) -> Scalar:
    """A number, or a Value where it depends on others."""
    return x if isinstance(x, Value) and x.requires_grad else engine.plain(x)


def _along(gradients: list[Any], tangents: list[Any]) -> Any:
    """The velocity of a result; an infinite gradient does not count where nothing moves."""
    moving = [i for i, x in enumerate(tangents) if isinstance(x, Value) or x != 0.0]
    with modes.AllowNonfinite():
        return functions.dot([gradients[i] for i in moving], [tangents[i] for i in moving])


# ---- running again instead of remembering --------------------------------------------------------------------------


def checkpoint(f: F) -> F:
    """Decorate a function of which no graph is kept: it runs again when gradients come back, as in `jax.checkpoint`.

    A loop of n steps, each in a checkpoint, needs the memory of n results and one step, and twice the time forward.

    Arguments:
        f: any function of any arguments that returns a tree of scalars. Gradients go to the Values in trees of
            arguments, and to those that it uses besides, such as a model's weights. It must not depend on chance, keep
            Values that it made for its next run, or change what it is given. NumPy arrays are best arguments of their
            own: inside a list with Values they become arrays of floats.

    Under `no_grad()` it simply runs.

    Raises:
        GraphError: in the sweep back: it did something else when it ran again; what it uses must not change before
            `backward()`.

    Example:
        >>> @checkpoint
        ... def step(x):
        ...     return x + 0.1 * (x - x**3)
        >>> start = x = Value(0.5)
        >>> for _ in range(10):
        ...     x = step(x)
        >>> x.backward()
        >>> len(x._prev), round(start.grad, 6)
        (1, 0.681298)
    """
    name = name_in_graphs(f, "checkpoint")

    @functools.wraps(f)
    def with_checkpoint(*args: Any, **kwargs: Any) -> Any:
        return f(*args, **kwargs) if modes.current().no_grad else _Checkpoint(f, name).start(args, kwargs)

    return with_checkpoint  # type: ignore[return-value]  # as above


class _Checkpoint:
    """The rule of a checkpoint. Its operands are the Values among the arguments, then others that the function uses."""

    __slots__ = (
        "allows_nonfinite", "arrays", "captured", "count", "f", "leaves", "name", "names", "numbers", "places",
        "several", "structure", "symbol", "wanted",
    )  # fmt: skip

    refers = True

    def __init__(self, f: Callable[..., Any], name: str) -> None:
        self.f, self.name, self.symbol = f, name, getattr(f, "__name__", name)
        self.several = False
        self.allows_nonfinite = modes.current().allow_nonfinite > 0

    def start(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """What the function returns, with nodes of this rule in place of its graph."""
        given = [*args, *kwargs.values()]
        self.count, self.names = len(args), tuple(kwargs)
        self.arrays = {i: x for i, x in enumerate(given) if trees.is_array(x) and not _has_values(x)}
        leaves, self.structure = trees.flatten_all([None if i in self.arrays else x for i, x in enumerate(given)])
        self.places = tuple([i for i, x in enumerate(leaves) if isinstance(x, Value) and x.requires_grad])
        arguments = [leaves[i] for i in self.places]
        for i in self.places:
            leaves[i] = None
        self.leaves = tuple(leaves)
        inputs = [variable(x.data) for x in arguments]
        results, made, depth = self.run(inputs)
        captured = tapes.captured([x for x in results if isinstance(x, Value)], inputs, depth)
        self.numbers = tuple([engine.plain(x) for x in results])
        self.wanted = tuple([i for i, x in enumerate(results) if isinstance(x, Value) and x.requires_grad])
        self.captured = len(captured)
        if self.wanted:
            numbers, paths = [self.numbers[i] for i in self.wanted], [made.path(i) for i in self.wanted]
            for i, y in zip(self.wanted, _results(self, (*arguments, *captured), numbers, paths), strict=True):
                results[i] = y
        return trees.rebuild(made, results)

    def run(self, inputs: list[Value]) -> tuple[list[Any], trees.Structure, int]:
        """The results on these inputs, their structure, and how deep it ran, as bits of Value._flags."""
        leaves = list(self.leaves)
        for place, x in zip(self.places, inputs, strict=True):
            leaves[place] = x
        given = list(trees.rebuild(self.structure, leaves))
        for i, x in self.arrays.items():
            given[i] = x
        n = self.count
        try:
            with modes.Recording(), modes.AllowNonfinite() if self.allows_nonfinite else contextlib.nullcontext():
                depth = modes.current().depth
                result = self.f(*given[:n], **dict(zip(self.names, given[n:], strict=True)))
        finally:
            release(inputs)
        results, made = trees.flatten(result)
        for i, x in enumerate(results):
            if not isinstance(x, Value):
                number(x, f"the result{made.path(i)} of the checkpoint {self.name}")
        return results, made, depth

    def tape(self, operands: tuple[Any, ...], values: bool) -> Tape:
        """The function's graph, made again, with inputs of its own in place of the arguments."""
        n = len(self.places)
        inputs = [variable(x if values else x.data) for x in operands[:n]]
        results, _, _ = self.run(inputs)
        numbers = tuple([engine.plain(x) for x in results])
        if len(numbers) != len(self.numbers) or not all(map(_same, numbers, self.numbers)):
            raise GraphError(
                f"the checkpoint {self.name} returned {shown(self.numbers)} at first and {shown(numbers)} when it ran "
                "again for the gradient: it must not depend on chance, and what it uses must not change before "
                "backward()"
            )
        wanted = [results[i] for i in self.wanted]
        outputs = [x if isinstance(x, Value) else Value(x, requires_grad=False) for x in wanted]
        tape = Tape(outputs, [*inputs, *operands[n:]])
        for operand, reached in zip(operands[n:], tape.reached()[n:], strict=True):
            if not reached and sweep.operands_of(operand):
                raise GraphError(
                    f"the checkpoint {self.name} did not use {operand!r} any more when it ran again for the gradient: "
                    "it must not keep Values for its next run, nor compute in other threads"
                )
        return tape

    def seeds(self, seeds: dict[int, Any]) -> list[Any]:
        """One for each result."""
        return [seeds.get(i, 0.0) for i in range(len(self.wanted))]

    def pull(self, operands: tuple[Any, ...], seeds: dict[int, float]) -> Sequence[Scalar]:
        tape = self.tape(operands, False)
        before = tape.open
        found = tape.pull(array("d", self.seeds(seeds)))
        return found if tape.open == before else as_values(self.pull_values(operands, {**seeds}))

    def pull_values(self, operands: tuple[Any, ...], seeds: dict[int, Scalar]) -> Sequence[Scalar | None]:
        return symbolic.pull(self.tape(operands, True), self.seeds(seeds))

    def push(self, operands: tuple[Any, ...], tangents: list[float]) -> Sequence[Scalar]:
        tape = self.tape(operands, False)
        before = tape.open
        found = tape.push(array("d", tangents))
        return found if tape.open == before else as_values(self.push_values(operands, list(tangents)))

    def push_values(self, operands: tuple[Any, ...], tangents: list[Value | float]) -> Sequence[Scalar | None]:
        return symbolic.push(self.tape(operands, True), tangents)


def _has_values(x: Any) -> bool:
    return x.dtype == object and any(isinstance(item, Value) for item in x.flat)


def _same(x: float, y: float) -> bool:
    return x == y or (x != x and y != y)
