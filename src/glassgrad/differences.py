"""Derivatives from values alone: what `testing` holds against those that come from rules.

Each comes with what it may be off by, so that a comparison needs no tolerance of its own for it:

- `slopes` are central differences for steps that halve, extrapolated to step zero (Richardson 1911, Ridders 1982). The
  error is what the last extrapolations differ by, and the rounding error of the values over the step. The steps halve
  until that stops to help, so the scale on which a function changes need not be known.
- One-sided differences that do not come together as the step halves are a kink, not a derivative; values that do not
  are a jump.
- What the differences settle on has to hold for much shorter steps too, down to a fraction of the number itself: far
  away from where it changes, a function may well look like another one.
- A `Complex` has the derivative in its imaginary part, free of cancellation (Squire and Trapp 1998).
"""

from __future__ import annotations

import cmath
import math
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

EPSILON = sys.float_info.epsilon
FIRST_STEP = 0.1037  # relative to the size of the point; no fraction that a period may be a multiple of
COLUMNS = 5  # extrapolations that still gain: each removes one even power of the step
SETTLED = 1e-11  # relative error that is good enough to stop
KINK = 8  # one-sided differences that stay apart over as many halvings do not come together


@dataclass(frozen=True)
class Slope:
    """How fast a number changes, and what that may be off by.

    Arguments:
        value, error: the derivative. The error is infinite where no difference could be taken.
        sides: the one-sided differences on the left and on the right where they stay apart, else None.
        jump: the values on the left, at 0 and on the right where those stay apart, else None.
        reach: the largest one-sided difference on the way, infinite where it is not one of differences.
    """

    value: float
    error: float
    sides: tuple[float, float] | None = None
    reach: float = math.inf
    jump: tuple[float, float, float] | None = None


class _Ladder:
    """The differences of one number for steps that halve, and the best extrapolation so far."""

    def __init__(self, noise: float) -> None:
        self.noise = noise
        self.row: list[float] = []
        self.best, self.error, self.reach = math.nan, math.inf, 0.0
        self.apart, self.sides = 0.0, (0.0, 0.0)  # the one-sided differences, and how far they are from each other
        self.streak = 0  # how often in a row they came no closer to each other
        self.lost = False  # whether that is lost in rounding
        self.steep = 0  # how often in a row the central ones grew
        self.gap, self.values = 0.0, (0.0, 0.0, 0.0)  # how far the values are from the one in the middle, and all three
        self.jumps = 0  # how often in a row they came no closer to it

    def add(self, below: float, here: float, above: float, h: float) -> None:
        """One more step, half as long as the one before."""
        rounding = 2.0 * max(self.noise, EPSILON * max(abs(below), abs(above))) / h
        row = [(above - below) / (2.0 * h)]
        for j, before in enumerate(self.row[: COLUMNS - 1]):
            row.append(row[j] + (row[j] - before) / (4.0 ** (j + 1) - 1.0))
            error = max(abs(row[j + 1] - row[j]), abs(row[j + 1] - before)) + rounding
            if j and error <= self.error:  # two halvings at least: two differences may agree by chance
                self.best, self.error = row[j + 1], error
        apart = abs((above - here) - (here - below)) / h
        if not self.lost:  # until then, even if they are together now: they may have been apart from far away only
            self.streak = self.streak + 1 if apart > 0.8 * self.apart > 0.0 else 0  # where it is smooth it halves
        self.lost = self.lost or apart <= 32.0 * rounding + 1e-9 * abs(row[0])
        grown = bool(self.row) and abs(row[0]) > 1.3 * abs(self.row[0]) > 32.0 * rounding
        self.steep = self.steep + 1 if grown else 0
        gap = max(abs(above - here), abs(here - below))
        self.jumps = self.jumps + 1 if gap > max(0.97 * self.gap, 32.0 * self.noise) and self.gap else 0
        self.gap, self.values = gap, (below, here, above)
        sides = ((here - below) / h, (above - here) / h)
        if self.steep >= KINK or (not self.lost and self.streak <= 2 * KINK):  # shorter steps cost digits of a kink
            self.sides = sides
        self.row, self.apart, self.reach = row, apart, max(self.reach, *map(abs, sides))

    def settled(self, h: float) -> bool:
        """Whether a shorter step cannot tell more."""
        if self.steep or (self.streak and not self.lost):
            return False  # perhaps a jump or a kink
        return self.error <= max(SETTLED * abs(self.best), 4.0 * self.noise / h)

    def agrees(self, below: float, above: float, h: float) -> bool:
        """Whether the difference for a much shorter step is what it should be: the long ones may have missed waves."""
        return abs((above - below) / (2.0 * h) - self.best) <= self.error + 1e-6 * abs(self.best) + self.blur(h)

    def blur(self, h: float) -> float:
        """What rounding may do to a difference."""
        return 32.0 * self.noise / h

    def tells(self, h: float) -> bool:
        """Whether a step is long enough to tell what is wrong."""
        return self.blur(h) < 1e-3 * abs(self.best)

    def slope(self) -> Slope:
        """What the differences come to."""
        apart = max(self.streak, self.steep) >= KINK
        jump = self.values if apart and self.jumps >= KINK else None
        return Slope(self.best, self.error, self.sides if apart else None, self.reach, jump)


def slopes(
    function: Callable[[float], Sequence[float]], size: float, noise: Sequence[float], near: float = 0.0
) -> list[Slope]:
    """The derivative at 0 of each number that the function returns.

    Steps at which the function is undefined (an ArithmeticError or ValueError, a result that is not finite) are too
    long and are left out.

    Arguments:
        size: how far 0 is from where the function surely is another one: the first step is a tenth of it.
        noise: what rounding may have put on each number.
        near: how far 0 is from where the function may be another one, if that is less: whatever longer steps say has to
            hold for a hundredth of it. 0 if nothing is known of that.

    Example:
        >>> slope, = slopes(lambda t: [math.exp(t)], 1.0, [1e-16])
        >>> abs(slope.value - 1.0) <= slope.error < 1e-11
        True
    """
    here = function(0.0)
    ladders = [_Ladder(e) for e in noise]
    h = FIRST_STEP * size
    least = 1e-15 * size
    while h > 1e-306 and (h > least or any(math.isinf(ladder.error) for ladder in ladders)):
        pair = _pair(function, h)
        if pair is None:
            ladders = [_Ladder(e) for e in noise]  # what longer steps gave belongs to another piece
            h /= 8.0
            least = min(least, 1e-6 * h)
            continue
        for ladder, a, b, c in zip(ladders, pair[0], here, pair[1], strict=True):
            ladder.add(a, b, c, h)
        if all(ladder.settled(h) for ladder in ladders):
            h, agreed = _confirmed(function, ladders, h, max(0.01 * near, 1e-15 * size))
            if agreed:
                break
            ladders = [_Ladder(e) for e in noise]
        h /= 2.0
    return [ladder.slope() for ladder in ladders]


def _confirmed(
    function: Callable[[float], Sequence[float]], ladders: list[_Ladder], h: float, last: float
) -> tuple[float, bool]:
    """Whether ever shorter steps give what h gave, and the step at which they do not."""
    while True:
        h /= 500.0
        pair = _pair(function, h)
        if not pair or not all(ladder.agrees(a, c, h) for ladder, a, c in zip(ladders, *pair, strict=True)):
            return h, False
        if h <= last or not any(ladder.tells(h / 500.0) for ladder in ladders):
            return h, True


def _pair(function: Callable[[float], Sequence[float]], h: float) -> tuple[Sequence[float], Sequence[float]] | None:
    """The numbers at -h and at h, None where they are not defined."""
    try:
        below, above = function(-h), function(h)
    except (ArithmeticError, ValueError):
        return None
    return (below, above) if all(map(math.isfinite, [*below, *above])) else None


class Complex:
    """A complex number with a Value's operators and functions, for one step along the imaginary axis.

    What is no analytic function goes by the real part: comparisons, abs, maximum. Anything that cannot be continued
    raises a TypeError or AttributeError, so a function that runs on it has its derivative in the imaginary part.
    """

    __slots__ = ("z",)

    def __init__(self, z: complex) -> None:
        self.z = z

    def __add__(self, other: Any) -> Complex:
        return Complex(self.z + _complex(other))

    def __sub__(self, other: Any) -> Complex:
        return Complex(self.z - _complex(other))

    def __rsub__(self, other: Any) -> Complex:
        return Complex(_complex(other) - self.z)

    def __mul__(self, other: Any) -> Complex:
        return Complex(self.z * _complex(other))

    def __truediv__(self, other: Any) -> Complex:
        return Complex(self.z / _complex(other))

    def __rtruediv__(self, other: Any) -> Complex:
        return Complex(_complex(other) / self.z)

    def __pow__(self, other: Any) -> Complex:
        return Complex(_power(self.z, _complex(other)))

    def __rpow__(self, other: Any) -> Complex:
        return Complex(_power(_complex(other), self.z))

    def __neg__(self) -> Complex:
        return Complex(-self.z)

    def __pos__(self) -> Complex:
        return self

    def __abs__(self) -> Complex:
        return -self if self.z.real < 0.0 else self

    def __lt__(self, other: Any) -> bool:
        return self.z.real < _complex(other).real

    def __le__(self, other: Any) -> bool:
        return self.z.real <= _complex(other).real

    def __gt__(self, other: Any) -> bool:
        return self.z.real > _complex(other).real

    def __ge__(self, other: Any) -> bool:
        return self.z.real >= _complex(other).real

    __radd__ = __add__
    __rmul__ = __mul__

    def __getattr__(self, name: str) -> Callable[[], Complex]:
        function = ANALYTIC.get(name)
        if function is None:
            raise AttributeError(name)
        return lambda: Complex(function(self.z))


def _complex(x: Any) -> complex:
    return x.z if isinstance(x, Complex) else complex(float(x))


def _power(z: complex, w: complex) -> complex:
    if w.imag == 0.0 and w.real == w.real // 1.0 and abs(w.real) < 1000.0:
        return z ** int(w.real)  # by multiplication: the logarithm of a negative number would add a turn
    return cmath.exp(w * cmath.log(z))


ANALYTIC: dict[str, Callable[[complex], complex]] = {
    **{name: getattr(cmath, name) for name in ("exp", "log", "log10", "sqrt", "sin", "cos", "tan")},
    **{name: getattr(cmath, name) for name in ("sinh", "cosh", "tanh")},
    "arcsin": cmath.asin, "arccos": cmath.acos, "arctan": cmath.atan,
    "arcsinh": cmath.asinh, "arccosh": cmath.acosh, "arctanh": cmath.atanh,
    "square": lambda z: z * z,
    "reciprocal": lambda z: 1.0 / z,
    "log1p": lambda z: cmath.log(1.0 + z),
    "expm1": lambda z: cmath.exp(z) - 1.0,
    "sigmoid": lambda z: 1.0 / (1.0 + cmath.exp(-z)),
    "relu": lambda z: z if z.real > 0.0 else 0j,
    "abs": lambda z: -z if z.real < 0.0 else z,
}  # fmt: skip
