"""The C library's functions for the interpreted build: `math`, with IEEE results where Python would raise.

The compiled build calls the C library directly (`libc.math`), under the same names and with the same results.
"""

import math
from math import copysign, erf, fabs

__all__ = [
    "INFINITY", "NAN", "acos", "acosh", "asin", "asinh", "atan", "atan2", "atanh", "cbrt", "copysign", "cos", "cosh",
    "erf", "exp", "expm1", "fabs", "log", "log1p", "log2", "log10", "pow", "sin", "sinh", "sqrt", "tan", "tanh",
]  # fmt: skip

INFINITY = math.inf
NAN = math.nan


def _ieee(function, at_pole=None):
    """`function` with nan for a domain error, and `at_pole` ({argument: result}) or an infinity for an overflow."""
    poles = at_pole or {}

    def call(x):
        try:
            return function(x)
        except ValueError:
            return poles.get(x, NAN)
        except OverflowError:
            return INFINITY

    return call


exp, expm1, cosh = (_ieee(f) for f in (math.exp, math.expm1, math.cosh))
log, log2, log10 = (_ieee(f, {0.0: -INFINITY}) for f in (math.log, math.log2, math.log10))
log1p = _ieee(math.log1p, {-1.0: -INFINITY})
atanh = _ieee(math.atanh, {1.0: INFINITY, -1.0: -INFINITY})
sqrt, asin, acos, acosh = (_ieee(f) for f in (math.sqrt, math.asin, math.acos, math.acosh))
sin, cos, tan = (_ieee(f) for f in (math.sin, math.cos, math.tan))
asinh, atan, atan2, cbrt, tanh = math.asinh, math.atan, math.atan2, math.cbrt, math.tanh


def sinh(x):
    try:
        return math.sinh(x)
    except OverflowError:
        return copysign(INFINITY, x)


def pow(x, w):
    try:
        return math.pow(x, w)
    except ValueError:  # 0 ** -1 is a pole, (-8) ** (1/3) is undefined
        odd = math.fmod(w, 2.0) in (1.0, -1.0)
        return NAN if x else copysign(INFINITY, x) if odd else INFINITY
    except OverflowError:
        odd = math.fmod(w, 2.0) in (1.0, -1.0)
        return -INFINITY if x < 0.0 and odd else INFINITY
