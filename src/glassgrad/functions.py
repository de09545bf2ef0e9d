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

from . import engine, modes, rules
from .engine import Value
from .errors import GlassgradError, OperandError, not_finite, number, shown

Scalar = Value | float

__all__ = [
    "abs", "arccos", "arccosh", "arcsin", "arcsinh", "arctan", "arctan2", "arctanh", "cbrt", "clip", "cos", "cosh",
    "dot", "elu", "erf", "exp", "expm1", "gelu", "hypot", "leaky_relu", "log", "log1p", "log2", "log10", "logaddexp",
    "logsumexp", "maximum", "mean", "minimum", "prod", "reciprocal", "relu", "sigmoid", "sign", "silu", "sin", "sinh",
    "softmax", "softplus", "sqrt", "square", "sum", "tan", "tanh", "where",
]  # fmt: skip


# ---- of one, two or three numbers ----------------------------------------------------------------------------------


class Unary(Protocol):
    """A function of one scalar: a Value for a Value, a float for a number."""

    @overload
    def __call__(self, x: Value, /) -> Value: ...
    @overload
    def __call__(self, x: float, /) -> float: ...


class Binary(Protocol):
    """A function of two scalars: a float for two numbers, else a Value."""

    @overload
    def __call__(self, x: Value, w: Scalar, /) -> Value: ...
    @overload
    def __call__(self, x: float, w: Value, /) -> Value: ...
    @overload
    def __call__(self, x: float, w: float, /) -> float: ...


def _function(name: str, **defaults: float) -> Any:
    """The function for a row of `rules.RULES`: the method of a Value, the rule itself on numbers."""
    rule = rules.RULES[name]

    def function(*args: Any, **named: Any) -> Any:
        x, *rest = _arguments(name, args, named, len(rule.derivatives), defaults)
        if isinstance(x, Value):
            return getattr(x, name)(*rest)
        if any(isinstance(w, Value) for w in rest):
            return getattr(Value(x, requires_grad=False), name)(*rest)
        return plain(name, (x, *rest), rule.value(x, *rest))

    function.__name__ = function.__qualname__ = name
    function.__doc__ = (
        f"{rule.formula}, on Values and plain numbers: `Value.{name}` as a function.\n\n"
        f"Derivative: {', '.join(rule.derivative_texts)}."
    )
    return function


def _arguments(
    name: str, args: tuple[Any, ...], named: dict[str, Any], count: int, defaults: dict[str, float]
) -> list[Any]:
    """The arguments of a call in order, defaults filled in; Values, and everything else as a float."""
    given = list(args)
    for key, default in defaults.items():
        if len(given) < count:
            given.append(named.pop(key, default))
    if named or len(given) != count:
        options = "".join(f", {key} is {default} unless given" for key, default in defaults.items())
        raise OperandError(f"{name} takes {count} scalars{options}; got {args} {named or ''}")
    return [x if isinstance(x, Value) else _number(x, name) for x in given]


def _number(x: object, name: str) -> float:
    if hasattr(x, "__array__") and getattr(x, "ndim", False):
        raise OperandError(f"glassgrad.{name} takes scalars, not an array: numpy.{name} works on arrays of Values too")
    return number(x, name)


def plain(name: str, xs: tuple[object, ...], y: float) -> float:
    """The result y of an operation on plain numbers, or the engine's error where it is not finite."""
    if y - y != 0.0 and not modes.current().allow_nonfinite:
        raise not_finite(name, xs, y, modes.scope_name())
    return y


abs: Unary = _function("abs")  # noqa: A001 - NumPy's name
arccos: Unary = _function("arccos")
arccosh: Unary = _function("arccosh")
arcsin: Unary = _function("arcsin")
arcsinh: Unary = _function("arcsinh")
arctan: Unary = _function("arctan")
arctanh: Unary = _function("arctanh")
cbrt: Unary = _function("cbrt")
cos: Unary = _function("cos")
cosh: Unary = _function("cosh")
erf: Unary = _function("erf")
exp: Unary = _function("exp")
expm1: Unary = _function("expm1")
gelu: Unary = _function("gelu")
log: Unary = _function("log")
log1p: Unary = _function("log1p")
log2: Unary = _function("log2")
log10: Unary = _function("log10")
reciprocal: Unary = _function("reciprocal")
relu: Unary = _function("relu")
sigmoid: Unary = _function("sigmoid")
sign: Unary = _function("sign")
silu: Unary = _function("silu")
sin: Unary = _function("sin")
sinh: Unary = _function("sinh")
softplus: Unary = _function("softplus")
sqrt: Unary = _function("sqrt")
square: Unary = _function("square")
tan: Unary = _function("tan")
tanh: Unary = _function("tanh")

arctan2: Binary = _function("arctan2")
hypot: Binary = _function("hypot")
logaddexp: Binary = _function("logaddexp")
maximum: Binary = _function("maximum")
minimum: Binary = _function("minimum")
leaky_relu: Callable[..., Any] = _function("leaky_relu", slope=0.01)
elu: Callable[..., Any] = _function("elu", alpha=1.0)
clip: Callable[..., Any] = _function("clip")


def where(condition: object, x: Any, w: Any) -> Any:
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
    return plain("where", operands, rules.RULES["where"].value(*operands))


ZERO = array("d", [0.0])
_room: Any = ZERO * 256

# ---- of lists ------------------------------------------------------------------------------------------------------


def sum(values: Iterable[Any]) -> Any:  # noqa: A001 - NumPy's name
    """The sum of Values and numbers as one node; 0.0 for none.

    Rounding errors are carried along, so the result is right to the last place unless large terms cancel (Neumaier,
    1974). Python's own `sum` works too and makes one node for each addition.

    Example:
        >>> x = Value(3.0)
        >>> y = sum([x, x, 1.0])
        >>> y.backward()
        >>> y.data, x.grad
        (7.0, 2.0)
    """
    operands = _operands(values, "sum")
    return _many(rules.SUM, operands, rules.total, rules.total_d) if operands else 0.0


def mean(values: Iterable[Any]) -> Any:
    """The mean of Values and numbers as one node.

    Raises:
        GlassgradError: there are none.

    Example:
        >>> mean([Value(1.0), Value(2.0)]).data
        1.5
    """
    return _many(rules.MEAN, _some(_operands(values, "mean"), "mean"), rules.mean, rules.mean_d)


def prod(values: Iterable[Any]) -> Any:
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


def dot(xs: Iterable[Any], ws: Iterable[Any]) -> Any:
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


def logsumexp(values: Iterable[Any]) -> Any:
    """log(exp(x1) + ... + exp(xn)) as one node, without overflow in between.

    Example:
        >>> round(logsumexp([Value(1000.0), Value(1000.0)]).data - 1000.0, 6)
        0.693147
    """
    return _many(
        rules.LOGSUMEXP, _some(_operands(values, "logsumexp"), "logsumexp"), rules.logsumexp, rules.logsumexp_d
    )


def softmax(values: Iterable[Any]) -> list[Any]:
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
    if isinstance(values, Value | str) or not hasattr(values, "__iter__"):
        raise OperandError(f"glassgrad.{name} takes a list of scalars, not {shown(values)}")
    return list(values)


def _some(operands: tuple[object, ...], name: str) -> tuple[object, ...]:
    if not operands:
        raise GlassgradError(f"glassgrad.{name} of nothing is undefined: the list is empty")
    return operands


def _scratch(n: int) -> Any:
    """Room for n numbers. Compiled it is always the same: making a new one takes as long as a short dot product."""
    global _room
    if not cython.compiled:
        return memoryview(ZERO * n)  # another thread may want some before this one is done
    if n > len(_room):
        _room = ZERO * (2 * n)
    return _room[:n]


@cython.boundscheck(False)  # type: ignore[untyped-decorator]
@cython.wraparound(False)  # type: ignore[untyped-decorator]
def _many(
    code: int, operands: tuple[object, ...], value: Callable[..., float], derivatives: Callable[..., None]
) -> Any:
    """The node for an operation on any number of operands; a float where they are all numbers."""
    n = len(operands)
    data = _scratch(2 * n)
    inherited = 0
    values = False
    for i in range(n):
        operand = operands[i]
        if isinstance(operand, Value):
            data[i] = cython.cast(Value, operand)._data
            inherited |= cython.cast(Value, operand)._flags
            values = True
        elif type(operand) is float:
            data[i] = operand
        else:
            return _many(code, engine.as_scalars(operands, rules.NAMES[code]), value, derivatives)
    y = value(data[:n])
    if not values:
        return plain(rules.NAMES[code], operands, y)
    derivatives(data[:n], y, data[n : 2 * n])
    partials = ZERO * n
    numbers = modes.doubles(partials)
    for i in range(n):
        numbers[i] = data[n + i]
    return engine.many(code, operands, inherited, y, partials)
