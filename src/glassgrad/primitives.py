"""Operations of your own: `primitive`.

A primitive is a row like those of `rules.RULES`: a value, and a derivative by each operand. Where the derivatives are
written in glassgrad's functions it is differentiated to any order, and it is drawn like a built-in operation.
"""

from __future__ import annotations

import functools
import inspect
import math
import sys
from array import array
from collections.abc import Callable, Sequence
from typing import Any, TypeVar, overload

from . import engine, functions, modes, rules
from .engine import Scalar, Value
from .errors import GraphError, NonFiniteError, OperandError, is_number, number, shown
from .errors import text as as_text

__all__ = ["Primitive", "primitive"]

F = TypeVar("F", bound=Callable[..., Any])


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
        self.name = name_in_graphs(function, "primitive")
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

    def slopes(self, places: Sequence[int], operands: tuple[Any, ...], result: Scalar) -> list[Any]:
        """The same for several operands."""
        return [self.slope(place, operands, result) for place in places]

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


def name_in_graphs(f: Any, decorator: str) -> str:
    """What errors and snapshots call a function: with its module where a built-in operation has its name."""
    if not callable(f):
        raise OperandError(f"@{decorator} decorates a function, not {shown(f)}")
    name: str = getattr(f, "__name__", type(f).__name__)
    return f"{f.__module__}.{name}" if name in rules.NAMES else name
