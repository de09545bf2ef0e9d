"""Operations of your own: `primitive`, `custom_gradient` and `checkpoint`.

- A **primitive** is a row like those of `rules.RULES`: a value, and a derivative by each operand. Where the derivatives
  are written in glassgrad's functions it is differentiated to any order, and it is drawn like a built-in operation.
- A function with a **custom gradient** says itself how a gradient goes back through it, as to clip it on the way.
- A **checkpoint** keeps no graph of a function; it runs the function again when a gradient comes back.

The last two are one node each, a CALL, which is the result if there is one. If there are several, each is a PICK on the
CALL, which then has no number and is not shown: what stands in `_prev` and in pictures are its operands.

The rule of a CALL is what sweeps ask: `pull` and `push` with numbers, `pull_values` and `push_values` with Values, to
be differentiated again. The way back they get the gradients of some results, by number, and give one for each operand;
the way forward they get a tangent for each operand and give one for each result. `several` says whether there are
PICKs, `captured` how many of the last operands are no arguments, `refers` whether it may refer to the results.
"""

from __future__ import annotations

import contextlib
import functools
import inspect
import math
import sys
from array import array
from collections.abc import Callable, Sequence
from typing import Any, TypeVar, overload

from . import engine, functions, modes, rules, sweep, symbolic, trees
from . import tape as tapes
from .engine import Scalar, Value
from .errors import GraphError, NonFiniteError, OperandError, is_number, number, shown
from .errors import text as as_text
from .tape import Tape, release, variable

__all__ = ["Primitive", "checkpoint", "custom_gradient", "primitive"]

F = TypeVar("F", bound=Callable[..., Any])


# ---- primitives ----------------------------------------------------------------------------------------------------


class Primitive:
    """An operation of your own, made by `primitive`; see there.

    Attributes:
        name, symbol, formula, value: as in `rules.Rule`; pictures show the symbol.
        operands: the names of its operands.
        derivatives: for each operand the function that computes the derivative by it, from the operands and the result,
            or None.
        derivative_texts: the derivatives as text.
        refers: whether its functions may refer to what is computed with it, as closures do.
    """

    def __init__(self, function: Callable[..., Any], symbol: str = "", formula: str = "") -> None:
        self.name = _name(function, "primitive")
        self.operands = _operand_names(function, self.name)
        functools.update_wrapper(self, function)
        self.symbol = as_text(symbol, "a symbol") or getattr(function, "__name__", self.name)
        self.formula = as_text(formula, "a formula") or f"{self.name}({', '.join(self.operands)})"
        self.value = function
        self.derivatives: list[Callable[..., Any] | None] = [None] * len(self.operands)
        self.derivative_texts = [""] * len(self.operands)
        self.refers = _is_local(function)

    def derivative(self, by: Any = None, *, text: str = "") -> Any:
        """Decorate the function that computes the derivative by an operand, from the operands and the result.

        Arguments:
            by: the operand's name; may be left out where there is only one, also with its parentheses.
            text: the derivative as text.

        The function takes the operands, and after them the result if it has one parameter more.

        Example:
            >>> @primitive
            ... def product(x, w):
            ...     return x * w
            >>> product.derivative("x", text="w")(lambda x, w: w)  # doctest: +ELLIPSIS
            <function <lambda> at ...>
            >>> product.derivatives[0](2.0, 3.0, 6.0), product.derivative_texts
            (3.0, ['w', ''])
        """
        if callable(by):
            return self.derivative()(by)
        if by is None and len(self.operands) == 1:
            by = self.operands[0]
        if by not in self.operands:
            raise OperandError(
                f"{self.name} has the operands {', '.join(self.operands)}, and no {by!r}: write "
                f"@{self.name}.derivative({self.operands[0]!r})"
            )
        place = self.operands.index(by)

        def decorate(function: F) -> F:
            takes_result = _takes_result(function, self, by)
            self.derivatives[place] = function if takes_result else lambda *scalars: function(*scalars[:-1])
            self.derivative_texts[place] = as_text(text, "the text of a derivative")
            self.refers = self.refers or _is_local(function)
            return function

        return decorate

    def __call__(self, *operands: Scalar, **by_name: Scalar) -> Any:
        """The operation on Values and numbers; a float where there are only numbers."""
        if by_name:
            try:
                operands = inspect.signature(self.value).bind(*operands, **by_name).args
            except TypeError as error:
                raise OperandError(f"{self.name} takes {', '.join(self.operands)}: {error}") from None
        if len(operands) != len(self.operands):
            raise OperandError(f"{self.name} takes {', '.join(self.operands)}, not {len(operands)} operands")
        scalars = engine.as_scalars(operands, self.name)
        xs = [engine.plain(x) for x in scalars]
        y = self.result(xs)
        if not any(isinstance(x, Value) for x in scalars):
            return functions.checked(self.name, tuple(xs), y)
        partials = array("d", [math.nan]) * len(xs)
        if not modes.current().no_grad:
            for i, x in enumerate(scalars):
                if isinstance(x, Value) and x.requires_grad:
                    partials[i] = self.slope(i, tuple(xs), y)
        return engine.by_rule("primitive", self, scalars, y, partials)

    def result(self, xs: list[float]) -> float:
        """The value. Where Python raises an error at a pole or beyond the range of floats it is undefined."""
        try:
            return self.number(self.value(*xs), "its result")
        except (ArithmeticError, ValueError) as error:
            if isinstance(error, GraphError):
                raise
            if modes.current().allow_nonfinite:
                return math.nan
            raise NonFiniteError(f"{self.name}({', '.join(map(repr, xs))}) is undefined: {error}") from error

    def slope(self, place: int, operands: tuple[Any, ...], result: Scalar) -> Any:
        """The derivative by an operand: a number, or, of Values, a Value to be differentiated again.

        Like those of the table it may be infinite or nan, which is an error only where a gradient meets it.
        """
        name = self.operands[place]
        derivative = self.derivatives[place]
        if derivative is None:
            raise GraphError(
                f"{self.name} has no derivative by {name}: write it under @{self.name}.derivative({name!r}), or give "
                f"{name} as a number or detach()ed"
            )
        again = isinstance(result, Value)
        with modes.AllowNonfinite():
            try:
                found = derivative(*operands, result)
            except (ZeroDivisionError, OverflowError):
                return math.inf
            except OperandError as error:
                if not again:
                    raise
                raise GraphError(
                    f"the derivative of {self.name} by {name} is written for numbers only, so it has no derivative "
                    f"itself; write it in glassgrad's functions. It says: {error}"
                ) from error
            except ValueError as error:
                if isinstance(error, GraphError):
                    raise
                return math.nan
        return found if again and isinstance(found, Value) else self.number(found, f"its derivative by {name}")

    def number(self, found: Any, what: str) -> float:
        """What one of its functions returned, as a float."""
        if isinstance(found, Value) and not found.requires_grad:
            return found.data
        if isinstance(found, Value):
            raise OperandError(
                f"{self.name} uses a Value besides its operands for {what}, through which no gradient would go: make "
                "it an operand, or detach() it"
            )
        if found is None or not is_number(found):
            way_out = "; is a return missing?" if found is None else ""
            raise OperandError(f"{self.name}: {what} is a number, not {shown(found)}{way_out}")
        return number(found, f"{self.name}: {what}")

    def __reduce__(self) -> str:
        """Its name: it is pickled as functions are."""
        path: str = self.value.__qualname__
        found: Any = sys.modules.get(self.__module__)
        for part in path.split("."):
            found = getattr(found, part, None)
        if found is not self:
            raise GraphError(
                f"cannot pickle the primitive {self.name}: it is not to be found as {self.__module__}.{path}. Decorate "
                "a function that stands in a module by itself"
            )
        return path

    def __copy__(self) -> Primitive:
        return self

    def __deepcopy__(self, _memo: Any) -> Primitive:
        return self

    def __repr__(self) -> str:
        return f"<primitive {self.name}({', '.join(self.operands)})>"


def _operand_names(function: Callable[..., Any], name: str) -> tuple[str, ...]:
    """The parameters of a primitive's function, which have to be a fixed number of scalars."""
    try:
        signature = inspect.signature(function)
    except (TypeError, ValueError):
        raise OperandError(
            f"Python does not tell what {name} takes: write it as a function, as in def f(x): return {name}(x)"
        ) from None
    parameters = list(signature.parameters.values())
    fixed = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    if not parameters or any(p.kind not in fixed or p.default is not p.empty for p in parameters):
        raise OperandError(
            f"a primitive is a function of a fixed number of scalars, as in def f(x, w), not {name}{signature}: put "
            "settings into a function around it"
        )
    if parameters[0].name in ("self", "cls"):
        raise OperandError(
            f"a primitive is a function of numbers, and {name}{signature} is a method: write it outside of the class, "
            "or with @staticmethod above @primitive"
        )
    return tuple([p.name for p in parameters])


def _takes_result(function: Any, rule: Primitive, by: str) -> bool:
    """Whether a derivative takes the result after the operands."""
    if not callable(function):
        raise OperandError(f"the derivative of {rule.name} by {by} is a function, not {shown(function)}")
    n = len(rule.operands)
    try:
        parameters = inspect.signature(function).parameters.values()
    except (TypeError, ValueError):  # a built-in that does not say
        return False
    needed = [p for p in parameters if p.default is p.empty and p.kind != p.VAR_KEYWORD]
    if any(p.kind == p.VAR_POSITIONAL for p in needed):
        return True
    if len(needed) not in (n, n + 1) or any(p.kind == p.KEYWORD_ONLY for p in needed):
        raise OperandError(
            f"the derivative of {rule.name} by {by} takes its operands ({', '.join(rule.operands)}), and its result "
            f"after them if it needs it, not {len(needed)} arguments"
        )
    return len(needed) > n


def _is_local(function: Any) -> bool:
    return "<locals>" in getattr(function, "__qualname__", "<locals>")


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

    A derivative may be written with `math`, for gradients alone, or with glassgrad's functions, for any order. As in
    the table of built-in operations it may be infinite: that is an error where a gradient meets it.

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
        ...     return (cos(x) - y) / x
        >>> x = Value(2.0)
        >>> y = sinc(x)
        >>> y.backward()
        >>> round(y.data, 6), round(x.grad, 6)
        (0.454649, -0.435398)
        >>> round(grad(grad(sinc))(2.0), 6)
        -0.019251
    """
    if function is None:
        return functools.partial(Primitive, symbol=symbol, formula=formula)
    return Primitive(function, symbol, formula)


# ---- functions that say themselves how gradients go back -------------------------------------------------------------


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
    on top) the way back is taken for linear.

    Raises:
        OperandError: where it is called: an argument is no tree of scalars, `f` does not return such a pair, it uses a
            Value that is no argument, or the way back does not give what fits the arguments.

    Example:
        >>> @custom_gradient
        ... def clipped(x):
        ...     return x, lambda gradient: clip(gradient, -1.0, 1.0)
        >>> x = Value(3.0)
        >>> (10.0 * clipped(x)).backward()
        >>> x.grad
        1.0
    """
    name = _name(f, "custom_gradient")

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
        if any(isinstance(x, Value) and x.requires_grad and x._prev for x in results):
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
        return trees.leaves_like(self.structure, found, what, "the tuple of its arguments")[0]

    def pull(self, _operands: tuple[Any, ...], seeds: dict[int, float]) -> list[float]:
        return [engine.plain(x) for x in self.gradients(self.back, seeds)]

    def pull_values(self, operands: tuple[Any, ...], seeds: dict[int, Scalar]) -> list[Scalar]:
        return self.gradients(self.run(operands)[2], seeds)

    def push(self, operands: tuple[Any, ...], tangents: list[float]) -> list[float]:
        return [_along(self.pull(operands, {i: 1.0}), tangents) for i in range(self.made.size)]

    def push_values(self, operands: tuple[Any, ...], tangents: list[Scalar]) -> list[Scalar]:
        back = self.run(operands)[2]
        return [_along(self.gradients(back, {i: 1.0}), tangents) for i in range(self.made.size)]


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
    name = _name(f, "checkpoint")

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

    def pull(self, operands: tuple[Any, ...], seeds: dict[int, float]) -> Sequence[float]:
        return self.tape(operands, False).pull(array("d", self.seeds(seeds)))

    def pull_values(self, operands: tuple[Any, ...], seeds: dict[int, Scalar]) -> Sequence[Scalar | None]:
        return symbolic.pull(self.tape(operands, True), self.seeds(seeds))

    def push(self, operands: tuple[Any, ...], tangents: list[float]) -> Sequence[float]:
        return self.tape(operands, False).push(array("d", tangents))

    def push_values(self, operands: tuple[Any, ...], tangents: list[Value | float]) -> Sequence[Scalar | None]:
        return symbolic.push(self.tape(operands, True), tangents)


def _has_values(x: Any) -> bool:
    return x.dtype == object and any(isinstance(item, Value) for item in x.flat)


def _same(x: float, y: float) -> bool:
    return x == y or (x != x and y != y)


def _name(f: Any, decorator: str) -> str:
    """What errors and snapshots call a function: with its module where a built-in operation has its name."""
    if not callable(f):
        raise OperandError(f"@{decorator} decorates a function, not {shown(f)}")
    name: str = getattr(f, "__name__", type(f).__name__)
    return f"{f.__module__}.{name}" if name in rules.NAMES else name
