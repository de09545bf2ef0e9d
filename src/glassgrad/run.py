"""One call of a function by a transform: on inputs of its own, made of the numbers that it is differentiated by."""

from __future__ import annotations

import contextlib
import functools
import operator
from array import array
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

from . import engine, modes, sweep, symbolic, trees
from .engine import Value
from .errors import GraphError, OperandError, is_numpy_bool, shown
from .tape import Tape, release, variable

Argnums = int | Sequence[int]
Function = Callable[..., Any]
T = TypeVar("T")


class Run:
    """A call of a function on inputs of its own, and what it returned."""

    def __init__(
        self, who: str, f: Function, argnums: Argnums, args: tuple[Any, ...], kwargs: dict[str, Any], has_aux: bool
    ) -> None:
        self.who = who
        self.traced = modes.current().tracer is not None  # what runs becomes part of a compiled function
        self.name = name_of(f)
        argnums = positions(argnums, who)
        self.places = places_of(argnums, who, len(args))
        chosen = [args[place] for place in self.places]
        leaves, self.taken = trees.flatten_all(chosen)
        self.given_values = trees.scalars(leaves, self.called)  # whether there are Values among the inputs
        self.no_grad = modes.current().no_grad > 0
        if self.traced:  # then derivatives are Values, by Values that no number was taken out of
            self.given_values = True
            for x in leaves:
                if isinstance(x, Value) and not x.requires_grad:
                    modes.guard(f"{who} by a Value that requires no gradient", x)
        for place, x in zip(self.places, chosen, strict=True):
            if x is None:
                raise OperandError(f"{who}: argument {place} is None, and there is nothing in it to differentiate by")
        if self.given_values and self.no_grad:
            leaves = as_numbers(leaves)
        self.inputs = list(map(variable, leaves))
        self.swept = False  # whether a sweep over nodes found that nothing else is differentiated by
        self.by: trees.Structure = self.taken  # the structure of derivatives
        if isinstance(argnums, int):
            self.by = self.taken.children[0] if self.taken.children else trees.LEAF
        given = list(args)
        for place, x in zip(self.places, trees.rebuild(self.taken, self.inputs), strict=True):
            given[place] = x
        try:
            with self.recording():
                result = f(*given, **kwargs)
        finally:
            release(self.inputs)
        self.aux: Any = None
        if has_aux:
            if not isinstance(result, tuple) or len(result) != 2:
                raise OperandError(
                    f"{who}: with has_aux=True {self.name} returns a pair (result, aux), not {shown(result)}"
                )
            result, self.aux = result
        if result is None:
            raise OperandError(f"{who}: {self.name} returned None; is a return missing?")
        results, self.made = trees.flatten(result)
        trees.scalars(results, lambda i: f"{who}: the result{self.made.path(i)} of {self.name}")
        self.outputs = as_values(results)

    def recording(self) -> contextlib.AbstractContextManager[object]:
        """What runs in it is recorded, as it is anyway while a function is traced."""
        return contextlib.nullcontext() if self.traced else modes.Recording()

    @functools.cached_property
    def tape(self) -> Tape:
        """The derivative of the results by the inputs."""
        return Tape(self.outputs, self.inputs)

    @property
    def values(self) -> bool:
        """Whether derivatives are Values. Whether functions with ways back of their own use any, these tell when asked.

        So where derivatives were computed as numbers this is to be looked at again.
        """
        return self.given_values or (not self.swept and self.tape.open and not self.no_grad)

    @property
    def symbolic(self) -> bool:
        """Whether they are to be differentiated again; otherwise, Values or not, they are constants."""
        return self.values and not self.no_grad

    def called(self, index: int) -> str:
        """An input, in errors."""
        i, path = self.taken.locate(index)
        return f"{self.who}: argument {self.places[i]}{path}"

    def refuse_unused(self) -> None:
        """Raise an error for an input that no result depends on."""
        refuse_unused(self.tape, lambda i: f"{self.called(i)} has no influence on the result")

    def leaves(self, found: Any) -> Any:
        """These Values or numbers, as Values or numbers, whichever this call gives."""
        if self.symbolic:
            return as_results(found)
        if self.values:
            return [Value(x, requires_grad=False) for x in as_numbers(found)]
        return found if type(found) is array else as_numbers(found)

    def gradient(self, strict: bool) -> Any:
        """The derivatives of the only result, in the structure of the argument."""
        self.check_scalar()
        if not (strict or self.given_values):  # the way that most calls go: without a tape
            found = sweep.derivatives(self.outputs[0], self.inputs)
            if found is not None:
                self.swept = True
                return trees.rebuild(self.by, found)
        if strict:
            self.refuse_unused()
        return trees.rebuild(self.by, self.pull([1.0], False))

    def tape_of_slopes(self, strict: bool) -> Tape:
        """The tape of the derivatives of the only result: of the second derivatives."""
        self.check_scalar()
        if strict:
            self.refuse_unused()
        with self.recording():
            return Tape(as_values(symbolic.pull(self.tape, [1.0])), self.inputs)

    def pull(self, seeds: list[Any], values: bool) -> Any:
        """The derivatives of the results, each times its seed; `values` says whether there is a Value among these."""
        tape = self.tape
        found = None if values else self.numbers(tape, lambda: tape.pull(array("d", seeds)))
        return as_results(symbolic.pull(tape, seeds)) if found is None else self.leaves(found)

    def push(self, tape: Tape, tangents: list[Any], values: bool) -> Any:
        """The velocities of what a tape records; `values` says whether there is a Value among the tangents."""
        found = None if values else self.numbers(tape, lambda: tape.push(array("d", tangents)))
        return as_results(symbolic.push(tape, tangents)) if found is None else self.leaves(found)

    def numbers(self, tape: Tape, sweep: Callable[[], T]) -> T | None:
        """What a sweep over a tape gives with numbers; None where derivatives are to be Values."""
        found = None if self.is_symbolic(tape) else sweep()
        return None if self.is_symbolic(tape) else found

    def is_symbolic(self, tape: Tape) -> bool:
        """The same as `symbolic` for what a tape records, which may be derivatives."""
        return self.symbolic or (tape.open and not self.no_grad)

    def check_scalar(self) -> None:
        """Raise an error if the function returned something else than one scalar."""
        if str(self.made) != "number":
            raise OperandError(
                f"{self.who} differentiates one scalar, and {self.name} returned {trees.a(self.made)}: return their "
                "sum or one of them, with has_aux=True a pair (scalar, the rest), or use jacobian, which takes all"
            )


# ---- what runs and transforms share --------------------------------------------------------------------------------


def as_values(found: Sequence[Any]) -> list[Value]:
    """Each as a Value: a number as a constant, None as 0."""
    return [x if isinstance(x, Value) else Value(x or 0.0, requires_grad=False) for x in found]


def as_results(found: Sequence[Any]) -> list[Any]:
    """Each as a Value; while a function is traced a number as such, which is part of the program."""
    if modes.current().tracer is None:
        return as_values(found)
    return [x if isinstance(x, Value) and x.requires_grad else engine.plain(x) or 0.0 for x in found]


def as_numbers(found: Any) -> list[float]:
    """Each as a number."""
    return [x.data if isinstance(x, Value) else x for x in found]


def refuse_unused(tape: Tape, message: Callable[[int], str]) -> None:
    """Raise an error for an input that no output depends on."""
    used = tape.reached()
    if not all(used):
        raise GraphError(f"{message(used.index(False))}; without strict=True the derivative by it is 0")


def name_of(f: Function) -> str:
    """What errors call f."""
    name = getattr(f, "__name__", "f")
    return name if name.isidentifier() else "f"


def title(transform: str, f: Function) -> str:
    """What errors call a transform of f."""
    if not callable(f):
        raise OperandError(f"{transform} takes a function, not {shown(f)}; of Values, gradients() gives derivatives")
    return f"{transform}({name_of(f)})"


def positions(argnums: Any, who: str) -> int | tuple[int, ...]:
    """argnums as an int or a tuple of them. It may be anything that Python takes for an index, but no bool."""
    several = isinstance(argnums, Sequence) and not isinstance(argnums, str | bytes)
    given = argnums if several else (argnums,)
    if not all(map(is_index, given)):
        raise OperandError(f"{who}: argnums is the position of an argument or a tuple of some, not {shown(argnums)}")
    places = tuple(map(operator.index, given))
    return places if several else places[0]


def is_index(x: Any) -> bool:
    """Whether x is an integer, as NumPy's are too, and no truth value."""
    try:
        operator.index(x)
    except TypeError:
        return False
    return not isinstance(x, bool) and not is_numpy_bool(x)


def places_of(argnums: Argnums, who: str, count: int) -> list[int]:
    """The positions of the arguments to differentiate by, counted from 0."""
    places: list[int] = []
    for i in [argnums] if isinstance(argnums, int) else argnums:
        if not -count <= i < count:
            raise OperandError(
                f"{who} differentiates by argument {i}, but it was called with {counted(count)}; give that one by "
                "position too, or choose another with argnums"
            )
        if i % count in places:
            raise OperandError(f"{who}: argnums {shown(argnums)} names argument {i % count} twice")
        places.append(i % count)
    return places


def counted(count: int) -> str:
    return f"{count or 'no'} argument{'s' * (count != 1)} by position"
