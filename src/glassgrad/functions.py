"""The functions of `glassgrad`: NumPy's names, on Values and on plain numbers, and those that take lists.

A function of plain numbers alone returns a float, with the same accuracy and the same errors as on Values. A function
of a list makes one node, however long the list is.
"""

from __future__ import annotations

from array import array
from collections.abc import Callable, Iterable
from typing import Any, Protocol, overload

try:
    import cython
except ImportError:
    from . import _cython as cython

from . import engine, flat, modes, rules
from .engine import Scalar, Value
from .errors import GlassgradError, Number, OperandError, not_finite, number, shown

__all__ = [  # without abs and sum: an import of * must not replace Python's own
    "arccos", "arccosh", "arcsin", "arcsinh", "arctan", "arctan2", "arctanh", "cbrt", "clip", "cos", "cosh", "dot",
    "elu", "erf", "exp", "expm1", "gelu", "hypot", "leaky_relu", "log", "log1p", "log2", "log10", "logaddexp",
    "logsumexp", "maximum", "mean", "minimum", "prod", "reciprocal", "relu", "sigmoid", "sign", "silu", "sin", "sinh",
    "softmax", "softplus", "sqrt", "square", "tan", "tanh", "where",
]  # fmt: skip


# ---- of one, two or three numbers ----------------------------------------------------------------------------------
#
# Types: numbers alone give a float, else the result is a Value. To a type checker the two overlap, since numbers are
# scalars too; it takes the first that fits, which is meant.


class Unary(Protocol):
    """A function of one scalar."""

    @overload
    def __call__(self, x: Value) -> Value: ...
    @overload
    def __call__(self, x: Number) -> float: ...


class Binary(Protocol):
    """A function of two scalars."""

    @overload
    def __call__(self, x: Number, w: Number) -> float: ...  # type: ignore[overload-overlap]
    @overload
    def __call__(self, x: Scalar, w: Scalar) -> Value: ...


def _unary(name: str) -> Any:
    """The function for a row of `rules.RULES` that has one operand."""

    def function_of_one(x: Scalar) -> Scalar:
        return _apply(name, x)

    return _named(function_of_one, name)


def _binary(name: str) -> Any:
    """The function for a row of `rules.RULES` that has two operands."""

    def function_of_two(x: Scalar, w: Scalar) -> Scalar:
        return _apply(name, x, w)

    return _named(function_of_two, name)


def _named(function: Any, name: str) -> Any:
    rule = rules.RULES[name]
    function.__name__ = function.__qualname__ = name
    function.__doc__ = (
        f"{rule.formula}, on Values and plain numbers: `Value.{name}` as a function.\n\n"
        f"Derivative: {', '.join(rule.derivative_texts)}."
    )
    return function


def _apply(name: str, *operands: Scalar) -> Scalar:
    """A row of `rules.RULES` on scalars: the method of a Value, or the rule itself where there is none among them."""
    first, *rest = [x if isinstance(x, Value) else _number(x, name) for x in operands]
    if isinstance(first, Value):
        return getattr(first, name)(*rest)  # type: ignore[no-any-return]
    if any(isinstance(x, Value) for x in rest):
        traced = modes.current().tracer is not None  # then it is a number of the program, and no parameter
        lifted = engine.new(rules.LEAF, engine.PLAIN, first) if traced else Value(first, requires_grad=False)
        return getattr(lifted, name)(*rest)  # type: ignore[no-any-return]
    return checked(name, (first, *rest), rules.RULES[name].value(first, *rest))


def _number(x: object, name: str) -> float:
    if hasattr(x, "__array__") and getattr(x, "ndim", False):
        raise OperandError(f"glassgrad.{name} takes scalars, not an array: numpy.{name} works on arrays of Values too")
    return number(x, name)


def checked(name: str, xs: tuple[object, ...], y: float) -> float:
    """The result y of an operation on plain numbers, or the engine's error where it is not finite."""
    if y - y != 0.0 and not modes.current().allow_nonfinite:
        raise not_finite(name, xs, y, modes.scope_name())
    return y


abs: Unary = _unary("abs")  # noqa: A001 - NumPy's name
arccos: Unary = _unary("arccos")
arccosh: Unary = _unary("arccosh")
arcsin: Unary = _unary("arcsin")
arcsinh: Unary = _unary("arcsinh")
arctan: Unary = _unary("arctan")
arctanh: Unary = _unary("arctanh")
cbrt: Unary = _unary("cbrt")
cos: Unary = _unary("cos")
cosh: Unary = _unary("cosh")
erf: Unary = _unary("erf")
exp: Unary = _unary("exp")
expm1: Unary = _unary("expm1")
gelu: Unary = _unary("gelu")
log: Unary = _unary("log")
log1p: Unary = _unary("log1p")
log2: Unary = _unary("log2")
log10: Unary = _unary("log10")
reciprocal: Unary = _unary("reciprocal")
relu: Unary = _unary("relu")
sigmoid: Unary = _unary("sigmoid")
sign: Unary = _unary("sign")
silu: Unary = _unary("silu")
sin: Unary = _unary("sin")
sinh: Unary = _unary("sinh")
softplus: Unary = _unary("softplus")
sqrt: Unary = _unary("sqrt")
square: Unary = _unary("square")
tan: Unary = _unary("tan")
tanh: Unary = _unary("tanh")

arctan2: Binary = _binary("arctan2")
hypot: Binary = _binary("hypot")
logaddexp: Binary = _binary("logaddexp")
maximum: Binary = _binary("maximum")
minimum: Binary = _binary("minimum")


@overload
def leaky_relu(x: Number, slope: Number = 0.01) -> float: ...  # type: ignore[overload-overlap]
@overload
def leaky_relu(x: Scalar, slope: Scalar = 0.01) -> Value: ...
def leaky_relu(x: Scalar, slope: Scalar = 0.01) -> Scalar:
    """x for x > 0, else slope * x.

    Example:
        >>> leaky_relu(-2.0, slope=0.5)
        -1.0
    """
    return _apply("leaky_relu", x, slope)


@overload
def elu(x: Number, alpha: Number = 1.0) -> float: ...  # type: ignore[overload-overlap]
@overload
def elu(x: Scalar, alpha: Scalar = 1.0) -> Value: ...
def elu(x: Scalar, alpha: Scalar = 1.0) -> Scalar:
    """x for x > 0, else alpha * (exp(x) - 1).

    Example:
        >>> round(elu(-1.0), 4)
        -0.6321
    """
    return _apply("elu", x, alpha)


@overload
def clip(x: Number, low: Number, high: Number) -> float: ...  # type: ignore[overload-overlap]
@overload
def clip(x: Scalar, low: Scalar, high: Scalar) -> Value: ...
def clip(x: Scalar, low: Scalar, high: Scalar) -> Scalar:
    """The nearest number to x between low and high; derivative 1 from low to high, both included.

    Example:
        >>> clip(Value(1.5), low=0, high=1).data
        1.0
    """
    return _apply("clip", x, low, high)


@overload
def where(condition: Value, x: Scalar, w: Scalar) -> Value: ...  # type: ignore[overload-overlap]
@overload
def where(condition: object, x: Number, w: Number) -> float: ...  # type: ignore[overload-overlap]
@overload
def where(condition: object, x: Scalar, w: Scalar) -> Value: ...
def where(condition: object, x: Scalar, w: Scalar) -> Scalar:
    """x where the condition holds, else w; only the chosen one gets a gradient, and only it may be nan.

    Arguments:
        condition: a bool or number, or a Value, which holds unless it is 0.
        x, w: Values or numbers.

    Example:
        >>> where(2.0 > 1.0, 10.0, 20.0)
        10.0
    """
    if isinstance(condition, Value) or isinstance(x, Value) or isinstance(w, Value):
        return engine.choose(condition, x, w)
    operands = 1.0 if condition else 0.0, _number(x, "where"), _number(w, "where")
    return checked("where", operands, rules.RULES["where"].value(*operands))


ZERO = array("d", [0.0])
_room: Any = None

# ---- of lists ------------------------------------------------------------------------------------------------------


@overload
def sum(values: Iterable[Number]) -> float: ...  # type: ignore[overload-overlap]  # noqa: A001 - NumPy's name
@overload
def sum(values: Iterable[Scalar]) -> Value: ...  # noqa: A001
def sum(values: Iterable[Scalar]) -> Any:  # noqa: A001
    """The sum of Values and numbers as one node; 0.0 for none.

    Rounding errors are carried along, so the result is right to the last place unless large terms cancel (Neumaier,
    1974). Python's own `sum` works too and makes one node for each addition; `from glassgrad import *` leaves it be.

    Example:
        >>> x = Value(3.0)
        >>> y = sum([x, x, 1.0])
        >>> y.backward()
        >>> y.data, x.grad
        (7.0, 2.0)
    """
    operands = _operands(values, "sum")
    return _many(rules.SUM, operands, rules.total, rules.total_d) if operands else 0.0


@overload
def mean(values: Iterable[Number]) -> float: ...  # type: ignore[overload-overlap]
@overload
def mean(values: Iterable[Scalar]) -> Value: ...
def mean(values: Iterable[Scalar]) -> Any:
    """The mean of Values and numbers as one node.

    Raises:
        GlassgradError: there are none.

    Example:
        >>> mean([Value(1.0), Value(2.0)]).data
        1.5
    """
    return _many(rules.MEAN, _some(_operands(values, "mean"), "mean"), rules.mean, rules.mean_d)


@overload
def prod(values: Iterable[Number]) -> float: ...  # type: ignore[overload-overlap]
@overload
def prod(values: Iterable[Scalar]) -> Value: ...
def prod(values: Iterable[Scalar]) -> Any:
    """The product of Values and numbers as one node; 1.0 for none. Zeros among them are differentiated correctly.

    Example:
        >>> x = Value(0.0)
        >>> y = prod([x, 2.0, 3.0])
        >>> y.backward()
        >>> x.grad
        6.0
    """
    operands = _operands(values, "prod")
    return _many(rules.PROD, operands, rules.product, rules.product_d) if operands else 1.0


@overload
def dot(xs: Iterable[Number], ws: Iterable[Number]) -> float: ...  # type: ignore[overload-overlap]
@overload
def dot(xs: Iterable[Scalar], ws: Iterable[Scalar]) -> Value: ...
def dot(xs: Iterable[Scalar], ws: Iterable[Scalar]) -> Any:
    """x1 w1 + ... + xn wn as one node, accurate as if computed in twice the precision (Ogita, Rump, Oishi 2005).

    Raises:
        OperandError: the two have different lengths.

    Example:
        >>> w = Value(2.0)
        >>> y = dot([w, 1.0], [3.0, 4.0])
        >>> y.backward()
        >>> y.data, w.grad
        (10.0, 3.0)
    """
    left = _listed(xs, "dot")
    right = _listed(ws, "dot")
    if len(left) != len(right):
        raise OperandError(f"dot takes two lists of the same length, not of {len(left)} and {len(right)}")
    return _many(rules.DOT, tuple(left + right), rules.dot, rules.dot_d) if left else 0.0


@overload
def logsumexp(values: Iterable[Number]) -> float: ...  # type: ignore[overload-overlap]
@overload
def logsumexp(values: Iterable[Scalar]) -> Value: ...
def logsumexp(values: Iterable[Scalar]) -> Any:
    """log(exp(x1) + ... + exp(xn)) as one node, without overflow in between.

    Example:
        >>> round(logsumexp([Value(1000.0), Value(1000.0)]).data - 1000.0, 6)
        0.693147
    """
    return _many(
        rules.LOGSUMEXP, _some(_operands(values, "logsumexp"), "logsumexp"), rules.logsumexp, rules.logsumexp_d
    )


@overload
def softmax(values: Iterable[Number]) -> list[float]: ...  # type: ignore[overload-overlap]
@overload
def softmax(values: Iterable[Scalar]) -> list[Value]: ...
def softmax(values: Iterable[Scalar]) -> list[Any]:
    """exp(xi) / (exp(x1) + ... + exp(xn)) for every i, each one node, without overflow in between.

    A node's operands are its own logit first, then the others in order.

    Example:
        >>> [round(p.data, 4) for p in softmax([Value(0.0), Value(1.0)])]
        [0.2689, 0.7311]
    """
    operands = _some(_operands(values, "softmax"), "softmax")
    own_first = [(x, *operands[:i], *operands[i + 1 :]) for i, x in enumerate(operands)]
    return [_many(rules.SOFTMAX, logits, rules.softmax, rules.softmax_d) for logits in own_first]


def _operands(values: Iterable[Any], name: str) -> tuple[object, ...]:
    return tuple(_listed(values, name))  # a new one, not the caller's own: `many` hides it from the collector


def _listed(values: Iterable[Any], name: str) -> list[Any]:
    """The scalars in a list."""
    if type(values) is list:  # the usual case first: asking for `__iter__` costs as much as a short dot product
        return values
    if hasattr(values, "_reduced"):  # what vmap gives while a function is traced: its sum, or mean, as the only one
        return values._reduced(name)  # type: ignore[no-any-return]
    if isinstance(values, Value | str) or not hasattr(values, "__iter__"):
        raise OperandError(f"glassgrad.{name} takes a list of scalars, not {shown(values)}")
    return list(values)


def _some(operands: tuple[object, ...], name: str) -> tuple[object, ...]:
    if not operands:
        raise GlassgradError(f"glassgrad.{name} of nothing is undefined: the list is empty")
    return operands


def _take_room(n: int) -> Any:
    """Room for n numbers. Compiled it is mostly the same: making a new one takes as long as a short dot product.

    Who has taken it has it alone: the collector may run a finalizer, or another thread, in the middle of an operation.
    """
    global _room
    if not cython.compiled:
        return memoryview(ZERO * n)
    room = _room
    _room = None
    if room is None or len(room) < n:
        return ZERO * max(256, 2 * n)
    return room  # not in one expression with the other: Cython 3.3 leaks the memoryview then


def _give_back(room: Any) -> None:
    global _room
    if cython.compiled and len(room) <= 100_000:
        _room = room


@cython.boundscheck(False)  # type: ignore[untyped-decorator]
@cython.wraparound(False)  # type: ignore[untyped-decorator]
def _many(
    code: int, operands: tuple[object, ...], value: Callable[..., float], derivatives: Callable[..., None]
) -> Any:
    """The node for an operation on any number of operands; a float where they are all numbers."""
    n = len(operands)
    data = _take_room(2 * n)
    inherited = 0
    values = False
    for i in range(n):
        operand = operands[i]
        if isinstance(operand, Value):
            if cython.cast(Value, operand)._away:
                flat.home(operand)
            data[i] = cython.cast(Value, operand)._data
            inherited |= cython.cast(Value, operand)._flags
            values = True
        elif type(operand) is float:
            data[i] = operand
        else:
            _give_back(data)
            return _many(code, engine.as_scalars(operands, rules.NAMES[code]), value, derivatives)
    y = value(data[:n])
    if not values:
        _give_back(data)
        return checked(rules.NAMES[code], operands, y)
    derivatives(data[:n], y, data[n : 2 * n])
    partials = ZERO * n
    numbers = modes.doubles(partials)
    for i in range(n):
        numbers[i] = data[n + i]
    _give_back(data)
    return engine.many(code, operands, inherited, y, partials)
