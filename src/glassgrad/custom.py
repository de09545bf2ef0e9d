"""Operations of your own: `primitive`, `custom_gradient` and `checkpoint`.

- A **primitive** is a row like those of `rules.RULES`: a value, and a derivative by each operand. Where the derivatives
  are written in glassgrad's functions it is differentiated to any order, and it is drawn like a built-in operation.
- A function with a **custom gradient** says itself how a gradient goes back through it, as to clip it on the way.
- A **checkpoint** keeps no graph of a function; it runs the function again when a gradient comes back.

The last two are one node each, a CALL, of which every result is a PICK where there are several. The node's `rule` is
what the sweeps ask, with numbers in `sweep` and `tape` (`pull`, `push`), with Values in `symbolic` (`pull_values`,
`push_values`): seeds and gradients go back, tangents forward.
"""

from __future__ import annotations

import functools
import inspect
from array import array
from collections.abc import Callable, Sequence
from typing import Any, Protocol, TypeVar, overload

from . import engine, functions, modes, rules, symbolic, trees
from . import tape as tapes
from .engine import Scalar, Value
from .errors import GraphError, NonFiniteError, OperandError, number, shown, text
from .tape import Tape, release, variable

__all__ = ["Primitive", "checkpoint", "custom_gradient", "primitive"]

F = TypeVar("F", bound=Callable[..., Any])


# ---- primitives ----------------------------------------------------------------------------------------------------


class Primitive:
    """An operation of your own, made by `primitive`; see there.

    Attributes:
        name, symbol, formula: as in `rules.Rule`; pictures show the symbol.
        operands: the names of its operands.
        derivatives: for each operand the function that computes the derivative by it, or None.
        derivative_texts: the derivatives as text.
    """

    def __init__(self, function: Callable[..., Any], symbol: str = "", formula: str = "") -> None:
        if not callable(function):
            raise OperandError(f"primitive takes a function of numbers, not {shown(function)}")
        parameters = inspect.signature(function).parameters.values()
        if not parameters or any(p.kind != p.POSITIONAL_OR_KEYWORD or p.default is not p.empty for p in parameters):
            raise OperandError(
                f"a primitive is a function of a fixed number of scalars, as in def f(x, w), not {function.__name__}"
                f"{inspect.signature(function)}"
            )
        functools.update_wrapper(self, function)
        self.name: str = function.__name__
        self.operands = tuple(p.name for p in parameters)
        self.symbol = text(symbol, "a symbol") or self.name
        self.formula = text(formula, "a formula") or f"{self.name}({', '.join(self.operands)})"
        self.value = function
        self.derivatives: list[Callable[..., Any] | None] = [None] * len(self.operands)
        self.derivative_texts = [""] * len(self.operands)

    def derivative(self, by: Any = None, *, text: str = "") -> Any:
        """Decorate the function that computes the derivative by an operand, from the operands and the result.

        Arguments:
            by: the operand's name; may be left out where there is only one, also with its parentheses.
            text: the derivative as pictures and explanations show it.

        The function takes the operands, and after them the result if it has one parameter more.
        """
        if callable(by):
            return self.derivative()(by)
        names = ", ".join(self.operands)
        if by is None and len(self.operands) == 1:
            by = self.operands[0]
        if by not in self.operands:
            raise OperandError(f"{self.name} has the operands {names}: write @{self.name}.derivative({names[0]!r})")
        place = self.operands.index(by)

        def decorate(function: F) -> F:
            n = len(self.operands)
            takes = len(inspect.signature(function).parameters)
            if takes not in (n, n + 1):
                raise OperandError(
                    f"the derivative of {self.name} by {by} takes its operands ({names}), and its result after them if "
                    f"it needs it, not {takes} arguments"
                )
            self.derivatives[place] = function if takes > n else lambda *operands: function(*operands[:-1])
            self.derivative_texts[place] = text
            return function

        return decorate

    def __call__(self, *operands: Scalar) -> Any:
        """The operation on Values and numbers; a float where there are only numbers."""
        if len(operands) != len(self.operands):
            raise OperandError(f"{self.name} takes {', '.join(self.operands)}, not {len(operands)} operands")
        scalars = engine.as_scalars(operands, self.name)
        xs = [engine.plain(x) for x in scalars]
        y = self.number(self.value, xs, "result")
        if not any(isinstance(x, Value) for x in scalars):
            return functions.checked(self.name, tuple(xs), y)
        partials = array("d", [engine.NAN]) * len(xs)
        for i, x in enumerate(scalars):
            if isinstance(x, Value) and x.requires_grad and modes.current().no_grad == 0:
                partials[i] = self.number(self.by(i), [*xs, y], f"derivative by {self.operands[i]}")
        return engine.by_rule(rules.PRIMITIVE, self, scalars, y, partials)

    def by(self, place: int) -> Callable[..., Any]:
        """The derivative by an operand."""
        function = self.derivatives[place]
        if function is None:
            name = self.operands[place]
            raise GraphError(
                f"{self.name} has no derivative by {name}: write it under @{self.name}.derivative({name!r}), or give "
                f"{name} as a number or detach()ed"
            )
        return function

    def number(self, function: Callable[..., Any], xs: list[float], what: str) -> float:
        """What a function of numbers gives; what Python raises at a pole or beyond the range of floats is nan here."""
        try:
            found = function(*xs)
        except (ArithmeticError, ValueError) as error:
            if modes.current().allow_nonfinite:
                return engine.NAN
            operands = ", ".join(map(repr, xs[: len(self.operands)]))
            raise NonFiniteError(f"the {what} of {self.name}({operands}) is undefined: {error}") from error
        return number(engine.plain(found), f"the {what} of {self.name}")

    def slope(self, place: int, operands: tuple[Any, ...], result: Value) -> Any:
        """The derivative by an operand as a Value, to be differentiated again."""
        try:
            found = self.by(place)(*operands, result)
        except OperandError as error:
            raise GraphError(
                f"the derivative of {self.name} by {self.operands[place]} is written for numbers only, so it has no "
                f"derivative itself; write it in glassgrad's functions. It says: {error}"
            ) from error
        return found if isinstance(found, Value) else number(found, f"the derivative of {self.name}")

    def __reduce__(self) -> str:
        return self.value.__qualname__  # by name, as functions are pickled

    def __repr__(self) -> str:
        return f"<primitive {self.name}({', '.join(self.operands)})>"


@overload
def primitive(function: Callable[..., Any]) -> Primitive: ...
@overload
def primitive(*, symbol: str = "", formula: str = "") -> Callable[[Callable[..., Any]], Primitive]: ...
def primitive(function: Any = None, *, symbol: str = "", formula: str = "") -> Any:
    """An operation of your own, from a function of plain numbers; its derivatives are decorated one by one.

    Arguments:
        function: takes a fixed number of floats and returns a float. A ValueError or ArithmeticError in it, as from
            `math.log(-1.0)`, says that the result is undefined.
        symbol: what pictures show; the function's name if left out.
        formula: the value as text.

    Raises:
        GraphError: an operand requires a gradient and there is no derivative by it; or a second derivative is asked
            for, and the first is not written in glassgrad's functions.
        NonFiniteError: the result is undefined or infinite.

    Example:
        >>> import math
        >>> @primitive(symbol="sinc", formula="sin(x) / x")
        ... def sinc(x):
        ...     return math.sin(x) / x
        >>> @sinc.derivative(text="(cos(x) - y) / x")
        ... def _(x, y):
        ...     return (functions.cos(x) - y) / x
        >>> x = Value(2.0)
        >>> y = sinc(x)
        >>> y.backward()
        >>> round(y.data, 6), round(x.grad, 6)
        (0.454649, -0.435398)
    """
    return Primitive(function, symbol, formula) if function is not None else functools.partial(
        Primitive, symbol=symbol, formula=formula
    )


# ---- functions with their own way back -----------------------------------------------------------------------------


class Call(Protocol):
    """The rule of a CALL. Seeds are by the number of the result; gradients and tangents are one for each operand."""

    name: str
    symbol: str
    several: bool  # whether it has a PICK for each result, also for none or one in a list

    def pull(self, operands: tuple[Any, ...], seeds: dict[int, float]) -> Sequence[float]: ...
    def pull_values(self, operands: tuple[Any, ...], seeds: dict[int, Scalar]) -> Sequence[Scalar | None]: ...
    def push(self, operands: tuple[Any, ...], tangents: list[float]) -> Sequence[float]: ...
    def push_values(self, operands: tuple[Any, ...], tangents: list[Scalar]) -> Sequence[Scalar | None]: ...


class Pick:
    """The rule of a PICK: which result of the CALL it is."""

    def __init__(self, name: str, index: int) -> None:
        self.name = name
        self.symbol = f"[{index}]"
        self.index = index


def _results(call: Call, operands: tuple[Any, ...], numbers: list[float]) -> list[Value]:
    """The nodes of what a function returned."""
    nan = array("d", [engine.NAN])
    if not call.several:
        return [engine.by_rule(rules.CALL, call, operands, numbers[0], nan * len(operands))]
    joint = engine.by_rule(rules.CALL, call, operands, 0.0, nan * len(operands))
    return [engine.by_rule(rules.PICK, Pick(call.name, i), (joint,), y, nan) for i, y in enumerate(numbers)]


def custom_gradient(f: F) -> F:
    """Decorate a function that returns its results and the way back: as in `jax.custom_gradient`.

    Arguments:
        f: takes trees of scalars and returns a pair. First its results, a scalar or a tree. Then a function that takes
            a gradient for each result, in their structure, and gives one for each argument, a tuple of such if there
            are several. It may do what derivatives cannot, such as to clip.

    The function gets constants, so nothing in it is recorded. For a second derivative it is called once more with the
    Values themselves, and then the way back should consist of glassgrad's functions. In forward mode (`jvp`, and `hvp`
    on top) the way back is taken for linear.

    Raises:
        OperandError: where it is called: an argument is no tree of scalars, `f` does not return such a pair, or the
            way back does not give what fits the arguments.

    Example:
        >>> @custom_gradient
        ... def clipped(x):
        ...     return x, lambda gradient: functions.clip(gradient, -1.0, 1.0)
        >>> x = Value(3.0)
        >>> (10.0 * clipped(x)).backward()
        >>> x.grad
        1.0
    """
    name = _name(f, "custom_gradient")

    @functools.wraps(f)
    def with_gradient(*args: Any) -> Any:
        leaves, structure = trees.flatten_all(args)
        values = trees.scalars(leaves, lambda i: f"{name}: argument {structure.path(i)[1:-1]}")
        call = _Custom(f, name, structure)
        constants = [Value(engine.plain(x), requires_grad=False) for x in leaves]
        results, call.back = call.run(constants)
        numbers = [engine.plain(x) for x in results]
        if not values:
            return trees.rebuild(call.made, numbers)
        return trees.rebuild(call.made, _results(call, tuple(leaves), numbers))

    return with_gradient  # type: ignore[return-value]


class _Custom:
    """The rule of a function with a custom gradient."""

    made: trees.Structure  # of the results
    back: Callable[..., Any]  # from the run on constants

    def __init__(self, f: Callable[..., Any], name: str, structure: trees.Container) -> None:
        self.f, self.name, self.symbol, self.structure = f, name, name, structure

    @property
    def several(self) -> bool:
        return str(self.made) != "number"

    def run(self, operands: Sequence[Any]) -> tuple[list[Any], Callable[..., Any]]:
        """The results on these operands, and the way back."""
        pair = self.f(*trees.rebuild(self.structure, operands))
        if not isinstance(pair, tuple) or len(pair) != 2 or not callable(pair[1]):
            raise OperandError(
                f"{self.name} has a custom gradient, so it returns (results, way back), the way back a function from "
                f"the gradients of its results to those of its arguments, not {shown(pair)}"
            )
        results, self.made = trees.flatten(pair[0])
        trees.scalars(results, lambda i: f"the result{self.made.path(i)} of {self.name}")
        return results, pair[1]

    def gradients(self, back: Callable[..., Any], seeds: dict[int, Any]) -> list[Any]:
        """The gradients of the operands, from those of the results."""
        given = trees.rebuild(self.made, [seeds.get(i, 0.0) for i in range(self.made.size)])
        found = back(given)
        alone = len(self.structure.keys) == 1 and not (isinstance(found, tuple) and len(found) == 1)
        found, _ = trees.leaves_like(self.structure, (found,) if alone else found, f"{self.name}: its way back", "its arguments")
        return found  # type: ignore[no-any-return]

    def pull(self, _operands: tuple[Any, ...], seeds: dict[int, float]) -> list[float]:
        return [engine.plain(x) for x in self.gradients(self.back, seeds)]

    def pull_values(self, operands: tuple[Any, ...], seeds: dict[int, Scalar]) -> list[Scalar]:
        _, back = self.run(operands)
        return self.gradients(back, seeds)

    def push(self, operands: tuple[Any, ...], tangents: list[float]) -> list[float]:
        return [functions.dot(self.pull(operands, {i: 1.0}), tangents) for i in range(self.made.size)]

    def push_values(self, operands: tuple[Any, ...], tangents: list[Scalar]) -> list[Scalar]:
        return [functions.dot(self.pull_values(operands, {i: 1.0}), tangents) for i in range(self.made.size)]


# ---- running again instead of remembering --------------------------------------------------------------------------


def checkpoint(f: F) -> F:
    """Decorate a function of which no graph is kept: it runs again when gradients come back, as in `jax.checkpoint`.

    A loop of n steps, each in a checkpoint, needs the memory of n results and one step, and twice the time forward.

    Arguments:
        f: any function. The Values among its arguments are its inputs; those that it uses besides, such as a model's
            weights, are found from its graph, best if they are leaves: below others the whole graph would be walked
            each time. Give it a state that changes as an argument.

    Raises:
        GraphError: in the sweep back: it returned something else when it ran again. It must not depend on chance, and
            what it uses must not change before `backward()`.

    Example:
        >>> @checkpoint
        ... def step(x):
        ...     return x + 0.1 * (x - x**3)
        >>> start = x = Value(0.5)
        >>> for _ in range(100):
        ...     x = step(x)
        >>> x.backward()
        >>> len(x._prev), round(start.grad, 6)
        (1, 0.000152)
    """
    name = _name(f, "checkpoint")

    @functools.wraps(f)
    def with_checkpoint(*args: Any, **kwargs: Any) -> Any:
        leaves, structure = trees.flatten_all(args)
        places = [i for i, x in enumerate(leaves) if isinstance(x, Value) and x.requires_grad]
        if modes.current().no_grad:
            return f(*args, **kwargs)
        call = _Checkpoint(f, name, structure, [None if i in places else x for i, x in enumerate(leaves)], places, kwargs)
        inputs = [variable(leaves[i].data) for i in places]
        try:
            results = call.run(inputs)
        finally:
            release(inputs)
        used = tapes.used(results, inputs)
        call.numbers = [engine.plain(x) for x in results]
        operands = (*(leaves[i] for i in places), *used)
        if not operands:
            return trees.rebuild(call.made, results)
        return trees.rebuild(call.made, _results(call, operands, call.numbers))

    return with_checkpoint  # type: ignore[return-value]


class _Checkpoint:
    """The rule of a checkpoint. Its operands are the Values among the arguments, then others that the function uses."""

    made: trees.Structure  # of the results
    numbers: list[float]  # the results of the first run

    def __init__(
        self,
        f: Callable[..., Any],
        name: str,
        structure: trees.Container,
        leaves: list[Any],
        places: list[int],
        kwargs: dict[str, Any],
    ) -> None:
        self.f, self.name, self.symbol, self.structure = f, name, name, structure
        self.leaves, self.places, self.kwargs = leaves, places, kwargs

    @property
    def several(self) -> bool:
        return str(self.made) != "number"

    def run(self, inputs: Sequence[Value]) -> list[Any]:
        """The results on these inputs."""
        leaves = list(self.leaves)
        for place, x in zip(self.places, inputs, strict=True):
            leaves[place] = x
        with modes.Recording():
            result = self.f(*trees.rebuild(self.structure, leaves), **self.kwargs)
        results, self.made = trees.flatten(result)
        trees.scalars(results, lambda i: f"the result{self.made.path(i)} of {self.name}")
        return results

    def tape(self, operands: tuple[Any, ...], values: bool) -> Tape:
        """The function's graph, made again, with inputs of its own in place of the arguments."""
        n = len(self.places)
        inputs = [variable(x if values else x.data) for x in operands[:n]]
        try:
            results = self.run(inputs)
        finally:
            release(inputs)
        numbers = [engine.plain(x) for x in results]
        if not all(x == y or (x != x and y != y) for x, y in zip(numbers, self.numbers, strict=False)) or len(
            numbers
        ) != len(self.numbers):
            raise GraphError(
                f"{self.name} returned {shown(self.numbers)} at first and {shown(numbers)} when it ran again for the "
                "gradient: it must not depend on chance, and what it uses must not change before backward()"
            )
        return Tape([x if isinstance(x, Value) else Value(x, requires_grad=False) for x in results], [*inputs, *operands[n:]])

    def seeds(self, seeds: dict[int, Any]) -> list[Any]:
        return [seeds.get(i, 0.0) for i in range(len(self.numbers))]

    def pull(self, operands: tuple[Any, ...], seeds: dict[int, float]) -> Sequence[float]:
        return self.tape(operands, False).pull(array("d", self.seeds(seeds)))

    def pull_values(self, operands: tuple[Any, ...], seeds: dict[int, Scalar]) -> Sequence[Scalar | None]:
        return symbolic.pull(self.tape(operands, True), self.seeds(seeds))

    def push(self, operands: tuple[Any, ...], tangents: list[float]) -> Sequence[float]:
        return self.tape(operands, False).push(array("d", tangents))

    def push_values(self, operands: tuple[Any, ...], tangents: list[Scalar]) -> Sequence[Scalar | None]:
        return symbolic.push(self.tape(operands, True), tangents)


def _name(f: Any, decorator: str) -> str:
    if not callable(f):
        raise OperandError(f"@{decorator} decorates a function, not {shown(f)}")
    return getattr(f, "__name__", decorator)
