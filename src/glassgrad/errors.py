"""The exceptions glassgrad raises, and the texts that two modules need alike.

All of them are a `GlassgradError`; each is also the built-in that Python's own numbers would raise. Those that belong
to one module (`LossError`, `ModelError`, …) stand there and are names of the package too, as `glassgrad.LossError`;
`PlotError`, `DemoError` and `ExpressionError` are not, since their modules are imported only by what needs them.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable
from numbers import Real
from typing import Protocol

__all__ = ["GlassgradError", "GradientError", "GraphError", "NonFiniteError", "OperandError", "OutOfRangeError"]


class RealScalar(Protocol):
    """What NumPy's real scalars have and arrays, texts and Decimals have not; for annotations only."""

    def is_integer(self) -> bool: ...
    def __float__(self) -> float: ...


Number = int | float | RealScalar  # without `int`, mypy refuses [1, 2.0] as a list of them


class GlassgradError(Exception):
    """Whatever glassgrad raises on purpose."""


class OperandError(GlassgradError, TypeError):
    """An operation was given something that is not a scalar; the message says what to write instead."""


class NonFiniteError(GlassgradError, ArithmeticError):
    """An operation, or its derivative, is undefined or infinite at its operands; or an integer is, as a float."""


class OutOfRangeError(GlassgradError, IndexError):
    """There is no row of that number."""


class GraphError(GlassgradError, ValueError):
    """A graph is not a graph of scalars: a cycle, a damaged snapshot, an operation that cannot be copied."""


class GradientError(GlassgradError, AssertionError):
    """A derivative is not that of the function: `testing.check_grad` says where, and which operation makes it so.

    Attributes:
        input: what the derivative is by, as in `argument 0['w'][2]`; '' where no single one is to blame.
        operation: the one most responsible; '' where none was found.
        derivative, difference: the derivative, and what differences of values give instead; nan where there is none.
        uncertainty: what the difference may be off by.
    """

    input = operation = ""
    derivative = difference = uncertainty = float("nan")


def is_number(x: object) -> bool:
    """Whether x is a real number: a float, an int, a bool, a NumPy scalar, a Fraction."""
    return type(x) is float or type(x) is int or isinstance(x, Real) or is_numpy_bool(x)


def is_numpy_bool(x: object) -> bool:
    """Whether x is one of NumPy's bools, which are no `Real`, as its other scalars and Python's own bools are."""
    return getattr(getattr(x, "dtype", None), "kind", "") == "b" and not hasattr(x, "__len__")


def number(x: object, who: str) -> float:
    """x as a float; an OperandError that says what `who` should be given instead where x is no real number.

    Raises:
        NonFiniteError: x is an integer or a Fraction beyond the range of floats. It is a real number, so it is no
            OperandError: a float that large would be infinite.
    """
    if type(x) is float or type(x) is int or is_number(x):
        try:
            return float(x)  # type: ignore[arg-type]
        except OverflowError:
            raise too_large(x, who) from None
    if hasattr(x, "_backward"):
        way_out = "it is a Value already: use it as it is, or .data for its number"
    elif isinstance(x, str | bytes):
        way_out = "convert it first, as in float(text)"
    elif isinstance(x, complex):
        way_out = "only real numbers have derivatives here: keep .real and .imag apart"
    elif getattr(x, "size", 0) == 1 and hasattr(x, "item"):
        way_out = "take the number out of the array first: x.item()"
    elif hasattr(x, "__len__") or hasattr(x, "__array__"):
        way_out = "make one Value for each number in it, as in [Value(x) for x in row]"
    else:
        way_out = "give it a float or an int"
    raise OperandError(f"{who} takes a real number, not {shown(x)}; {way_out}")


def text(x: object, who: str) -> str:
    """x as a `str` and nothing more, which C fields hold; np.str_ and the members of a text Enum are subclasses."""
    if not isinstance(x, str):
        raise OperandError(f"{who} is a string, not {shown(x)}")
    return str.__str__(x)


def too_large(x: object, who: str) -> NonFiniteError:
    """The error for a number that no float can hold."""
    return NonFiniteError(
        f"{who} takes numbers that a float can hold, up to 1.8e308, not {shown(x)}; "
        "scale it down first, or work with its logarithm: math.log takes integers of any size"
    )


def shown(x: object) -> str:
    """The type and the beginning of the repr of something refused."""
    try:
        text = " ".join(repr(x).split())
    except Exception:  # noqa: BLE001 - any error of its own, such as Python's for an int of more than 4300 digits
        text = "(its repr fails)"
    return f"{type(x).__name__} {text if len(text) <= 60 else text[:57] + '...'}"


def named(operand: object) -> str:
    """An operand as errors show it: its value, after its label if it has one."""
    label = getattr(operand, "label", "")
    value = repr(getattr(operand, "data", operand))
    return f"{label[:60]} = {value}" if label else value


def not_finite(name: str, operands: Iterable[object], result: float, scope: str) -> NonFiniteError:
    """The error for an operation whose result is nan or infinite."""
    texts = [named(operand) for operand in operands]
    if len(texts) > 8:
        texts = [*texts[:7], f"... {len(texts) - 7} more"]
    place = f" in scope {scope}" if scope else ""
    return NonFiniteError(
        f"{name}({', '.join(texts)}){place} is {'undefined' if result != result else result}; "
        "change the operands, or let IEEE results through with glassgrad.allow_nonfinite()"
    )


def level_of_caller() -> int:
    """The `stacklevel` of a warning that points to the line outside of this package; compiled code has no frames."""
    package = __name__.partition(".")[0]
    frame = sys._getframe(1)
    level = 1
    while frame.f_back is not None and frame.f_globals.get("__name__", "").partition(".")[0] == package:
        frame = frame.f_back
        level += 1
    return level
