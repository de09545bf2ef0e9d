"""For every operation of `rules.RULES`: its value and derivatives in mpmath, and the points at which to compare.

The reference is computed in 2300 bits, in which 1 + 5e-324 and its square are exact: textbook formulas lose nothing.
The yardstick is one unit in the last place (ulp) of the right result, 5e-324 where that is subnormal. Where a result
cancels by its nature the unit is larger, and `Case.unit` says how large:

- sum, mean, dot: as if computed in twice the precision, that is n * 2**-53 ulp of the sum of the terms' magnitudes;
  and n * 5e-324 for dot, whose products are doubles.
- logaddexp, logsumexp: one ulp of the largest operand.
"""

from __future__ import annotations

import itertools
import math
import random
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache

import mpmath

mp = mpmath.mp.clone()  # its own precision, whoever else uses mpmath
mp.prec = 2300
mpf = mp.mpf

COUNT = 40  # random points of each kind for each operation
SMALLEST, NORMAL, LARGEST = 5e-324, 2.2250738585072014e-308, 1.7976931348623157e308
INF, NAN = math.inf, math.nan


# ---- where to look -------------------------------------------------------------------------------------------------


def near(*points):
    """The points with their neighbours: next doubles, and a little further on both sides."""
    found = []
    for x in points:
        found += [x, math.nextafter(x, INF), math.nextafter(x, -INF)]
        found += [x + sign * max(abs(x), 1e-3) * 2.0**-k for k in (3, 8, 20, 40) for sign in (1, -1)]
    return found


def anywhere(rng):
    """A double of any magnitude, subnormal ones included, and either sign."""
    return rng.choice((1, -1)) * math.ldexp(rng.uniform(1, 2), rng.randint(-1075, 1022))


def around_one(rng):
    return rng.choice((1, -1)) * 2.0 ** rng.uniform(-10, 10)


CORNER_POINTS = [s * x for x in (0.0, SMALLEST, 3 * SMALLEST, NORMAL, 1e-17, 1.0, LARGEST) for s in (1, -1)]


def one(*special):
    """Points for a function of one number, `special` among them."""

    def draw(rng):
        points = [f(rng) for f in (anywhere, around_one) for _ in range(COUNT)]
        return [(x,) for x in points + CORNER_POINTS + near(1.0, -1.0, *special)]

    return draw


def two(rng):
    """Pairs of any magnitudes, of like magnitudes, and close to each other."""
    pairs = [(f(rng), f(rng)) for f in (anywhere, around_one) for _ in range(COUNT)]
    pairs += [(x, w) for x in CORNER_POINTS for w in CORNER_POINTS[:2] + CORNER_POINTS[-4:]]
    for f in (anywhere, around_one):
        for _ in range(COUNT):
            x = f(rng)
            pairs.append((x, rng.choice((1, -1)) * x * (1 + rng.choice((0, 1, -1)) * 2.0 ** -rng.randint(1, 52))))
    return [(x + 0.0, w + 0.0) for x, w in pairs if math.isfinite(x + w)]  # no -0.0: mpmath has none


def powers(rng):
    """Bases and exponents with a result in range or just out of it, in every direction."""
    pairs = two(rng)
    for _ in range(4 * COUNT):
        x = abs(anywhere(rng)) if rng.random() < 0.6 else 1 + 2.0 ** -rng.uniform(1, 52) * rng.choice((1, -1))
        pairs.append((x, rng.uniform(-760, 760) / (math.log(x) or 1.0)))
    for _ in range(COUNT):
        w = float(rng.choice((1, -1)) * rng.randint(2, 40))
        pairs.append((-math.exp(rng.uniform(-760, 760) / abs(w)), w))
    for w in (2.0, 0.5, -0.5, 1.0, -1.0, 3.0, 1 / 3, 1e-20, -1e-300, 1.5):
        pairs += [(abs(anywhere(rng)), w), (1e300, w), (1e-300, w), (SMALLEST, w), (LARGEST, w)]
    return [*pairs, (2.0, -1074.3), (2.0, -1080.0), (0.5, 1080.0), (-0.5, 1081.0), (1.0001, -7e6)]


def exponentials(rng):
    """Pairs for log(exp(x) + exp(w)): like operands, results near zero, distant operands."""
    pairs = two(rng)
    for _ in range(COUNT):
        x = rng.uniform(-750, 750)
        small = -(2.0 ** rng.uniform(0, 9))
        pairs += [(x, rng.uniform(-750, 750)), (x, x + rng.uniform(-40, 40))]
        pairs += [(math.log1p(-math.exp(-x)) if x > 1 else x, -abs(x)), (math.exp(small) * rng.uniform(-2, 2), small)]
    return [*pairs, (-math.log(2), -math.log(2)), (1000.0, -1000.0), (0.0, -745.0), (0.0, 745.1)]


def shaped(*special):
    """Pairs for an activation with a parameter."""

    def draw(rng):
        pairs = two(rng)
        pairs += [(x, a) for x in near(*special) for a in (1.0, 0.01, -1.5, around_one(rng), anywhere(rng))]
        return pairs + [(-rng.uniform(600, 1460), 2.0 ** rng.uniform(-50, 1023)) for _ in range(COUNT)]

    return draw


def three(rng):
    triples = [tuple(f(rng) for _ in range(3)) for f in (anywhere, around_one) for _ in range(COUNT)]
    triples += list(itertools.product((0.0, -1.0, 1.0, LARGEST), repeat=3))
    return [(x, *sorted((low, high))) for x, low, high in triples]


def lists(rng):
    """Lists of like and of any magnitudes, and cancelling ones."""
    found = [[x] for x in CORNER_POINTS]
    for f in (anywhere, around_one):
        for n in (1, 2, 3, 10, 50):
            for _ in range(COUNT // 10):
                xs = [f(rng) for _ in range(n)]
                cancelling = [*xs, *(-x for x in xs), around_one(rng)]
                rng.shuffle(cancelling)
                found += [xs, cancelling]
    return [*found, [1e100, 1.0, -1e100], [LARGEST, LARGEST, -LARGEST], [LARGEST] * 3, [0.1] * 1000, [0.0, -0.0]]


def factors(rng):
    found = lists(rng)
    found += [
        [1e200, 1e200, 1e-200, 1e-200],
        [1e-300] * 40 + [1e300] * 40,
        [SMALLEST, LARGEST, 1e10, 1e10],
        [1.1] * 900,
    ]
    for _ in range(COUNT):
        xs = [anywhere(rng) for _ in range(rng.randint(2, 12))]
        xs += [1 / x for x in xs if abs(x) > 1e-300]
        rng.shuffle(xs)
        found.append(xs)
        zeros = [around_one(rng) for _ in range(5)]
        for _ in range(rng.randint(1, 2)):
            zeros[rng.randrange(5)] = 0.0
        found.append(zeros)
    return found


def halves(rng):
    found = [xs if len(xs) % 2 == 0 else [*xs, 1.0] for xs in lists(rng)]
    found += [[1e200, -1e200, 1.0, 1e200, 1e200, 1.0], [1e305, 1.0, 1e-305, 1.0], [1e308, 1e308, 1.5, -1.5]]
    for _ in range(COUNT):  # nearly orthogonal
        xs = [around_one(rng) for _ in range(8)]
        ws = [around_one(rng) for _ in range(7)]
        found.append([*xs, *ws, -sum(x * w for x, w in zip(xs, ws, strict=False)) / xs[-1]])
    return found


def logits(rng):
    found = [[x] for x in CORNER_POINTS] + [[1000.0, -1000.0], [-1000.0, 1000.0, 1000.0], [-745.0, 0.0], [0.0] * 7]
    for spread in (1e-3, 1, 30, 800, 1e300):
        for n in (2, 3, 10, 50):
            for _ in range(COUNT // 8):
                shift = rng.choice((0.0, rng.uniform(-1000, 1000)))
                found.append([shift + rng.uniform(-spread, spread) for _ in range(n)])
    for _ in range(COUNT):  # the result near zero
        xs = [rng.uniform(-40, 0) for _ in range(rng.randint(1, 5))]
        rest = 1 - math.fsum(map(math.exp, xs))
        found.append([*xs, math.log(rest) if rest > 0 else rng.uniform(-1e-10, 1e-10)])
    return found


# ---- the reference -------------------------------------------------------------------------------------------------


def within(bound, f, bits=2300):
    """f with its argument held to ±bound, past which the result is out of range or settled."""

    def bounded(x):
        with mp.workprec(bits):
            return f(max(-bound, min(bound, x)))

    return bounded


exp = within(9999, mp.exp)
tanh = within(9999, mp.tanh)
erf = within(60, mp.erf, 300)  # in 2300 bits a hundred times slower, and needed by nothing that cancels
cdf = within(60, mp.ncdf, 300)
pdf = within(60, mp.npdf, 300)


def sigmoid(x):
    return 1 / (1 + exp(-x))


def cbrt(x):
    return mp.sign(x) * mp.cbrt(abs(x))


def logaddexp(x, w):
    return max(x, w) + mp.log(1 + exp(-abs(x - w)))


def logsumexp(*xs):
    return max(xs) + mp.log(mp.fsum(exp(x - max(xs)) for x in xs))


def shares(xs):
    es = [exp(x - max(xs)) for x in xs]
    return [e / mp.fsum(es) for e in es]


def prod_others(xs):
    left = list(itertools.accumulate([mpf(1), *xs[:-1]], mp.fmul))
    right = list(itertools.accumulate([mpf(1), *xs[:0:-1]], mp.fmul))[::-1]
    return [a * b for a, b in zip(left, right, strict=True)]


def softmax_d(*xs):
    first, *rest = shares(xs)
    return [first * (1 - first), *(-first * share for share in rest)]


def tie(x, w):
    return mpf(1) if x > w else mpf(1) / 2 if x == w else mpf(0)


def twice_the_precision(terms):
    return len(terms) * mpf(2) ** -53 * ulp(mp.fsum(abs(t) for t in terms))


def products(xs):
    n = len(xs) // 2
    return [x * w for x, w in zip(xs[:n], xs[n:], strict=True)]


@dataclass(frozen=True)
class Case:
    """How to check a row: the reference for its value and derivatives, and where to look.

    For n operands `derivatives` is one function that gives all of them. `unit` is the least unit of error that counts.
    """

    value: Callable
    derivatives: tuple[Callable, ...]
    draw: Callable
    names: tuple[str, ...] = ("x",)
    unit: Callable = lambda *xs: mpf(0)


def unary(value, derivative, *special):
    return Case(value, (derivative,), one(*special))


def binary(value, dx, dw, draw=two, names=("x", "w"), **unit):
    return Case(value, (dx, dw), draw, names, **unit)


def nary(value, derivatives, draw, **unit):
    return Case(value, (derivatives,), draw, (), **unit)


ROOT = 1.2784645427610738
TURNS = (math.pi / 2, math.pi, 2 * math.pi, 1e22, 1e308, 710.0)
CASES = {
    "identity": unary(lambda x: x, lambda x: 1),
    "add": binary(lambda x, w: x + w, lambda x, w: 1, lambda x, w: 1),
    "sub": binary(lambda x, w: x - w, lambda x, w: 1, lambda x, w: -1),
    "mul": binary(lambda x, w: x * w, lambda x, w: w, lambda x, w: x),
    "div": binary(lambda x, w: x / w, lambda x, w: 1 / w, lambda x, w: -x / w**2),
    "pow": binary(
        lambda x, w: mp.power(x, w),
        lambda x, w: w * mp.power(x, w - 1) if w else mpf(0),
        lambda x, w: mp.power(x, w) * mp.log(x) if x or w < 0 else mpf(0),
        powers,
    ),
    "neg": unary(lambda x: -x, lambda x: -1),
    "abs": unary(abs, mp.sign),
    "sign": unary(mp.sign, lambda x: 0),
    "square": unary(lambda x: x**2, lambda x: 2 * x, 1.3e154, 1.5e-154, 1.5e-162),
    "reciprocal": unary(lambda x: 1 / x, lambda x: -1 / x**2, 5.6e-309, 7.5e-155, 6.7e153),
    "exp": unary(exp, exp, 709.78, -708.4, -745.1),
    "expm1": unary(within(9999, mp.expm1), exp, 709.78, -37.4, -708.4, -745.1, 1e-300),
    "log": unary(mp.log, lambda x: 1 / x, 5.6e-309),
    "log1p": unary(mp.log1p, lambda x: 1 / (1 + x), 1e-300, -0.5),
    "log2": unary(lambda x: mp.log(x) / mp.log(2), lambda x: 1 / (x * mp.log(2)), 2.0, 0.5),
    "log10": unary(lambda x: mp.log(x) / mp.log(10), lambda x: 1 / (x * mp.log(10)), 10.0, 1e5),
    "sqrt": unary(mp.sqrt, lambda x: 1 / (2 * mp.sqrt(x))),
    "cbrt": unary(cbrt, lambda x: 1 / (3 * cbrt(x) ** 2), 8.0, 27.0),
    "sin": unary(mp.sin, mp.cos, *TURNS),
    "cos": unary(mp.cos, lambda x: -mp.sin(x), *TURNS),
    "tan": unary(mp.tan, lambda x: 1 / mp.cos(x) ** 2, *TURNS),
    "arcsin": unary(mp.asin, lambda x: 1 / mp.sqrt(1 - x**2), 0.5),
    "arccos": unary(mp.acos, lambda x: -1 / mp.sqrt(1 - x**2), 0.5),
    "arctan": unary(mp.atan, lambda x: 1 / (1 + x**2), 1e8, 1.3e154, 6.7e153),
    "arctan2": binary(mp.atan2, lambda x, w: w / (x**2 + w**2), lambda x, w: -x / (x**2 + w**2)),
    "sinh": unary(within(9999, mp.sinh), within(9999, mp.cosh), 710.47, 22.0),
    "cosh": unary(within(9999, mp.cosh), within(9999, mp.sinh), 710.47, 22.0),
    "tanh": unary(tanh, lambda x: 1 - tanh(x) ** 2, 19.06, 22.0, 30.5, 354.9, -372.0),
    "arcsinh": unary(mp.asinh, lambda x: 1 / mp.sqrt(1 + x**2), 1.3e154, 1e8),
    "arccosh": unary(mp.acosh, lambda x: 1 / mp.sqrt(x**2 - 1), 2.0, 1.3e154),
    "arctanh": unary(mp.atanh, lambda x: 1 / (1 - x**2), 0.5),
    "hypot": binary(
        mp.hypot, lambda x, w: x / mp.hypot(x, w) if x else mpf(0), lambda x, w: w / mp.hypot(x, w) if w else mpf(0)
    ),
    "sigmoid": unary(sigmoid, lambda x: sigmoid(x) * (1 - sigmoid(x)), 36.7, 700.0, -700.0, -708.4, -745.1),
    "relu": unary(lambda x: max(x, mpf(0)), lambda x: mpf(x > 0)),
    "leaky_relu": binary(
        lambda x, slope: x if x > 0 else slope * x,
        lambda x, slope: 1 if x > 0 else slope,
        lambda x, slope: min(x, 0),
        shaped(),
        ("x", "slope"),
    ),
    "elu": binary(
        lambda x, alpha: x if x > 0 else alpha * within(9999, mp.expm1)(x),
        lambda x, alpha: 1 if x > 0 else alpha * exp(x),
        lambda x, alpha: 0 if x > 0 else within(9999, mp.expm1)(x),
        shaped(-1.0, -708.4, -745.1),
        ("x", "alpha"),
    ),
    "gelu": unary(
        lambda x: x * cdf(x), lambda x: cdf(x) + x * pdf(x),
        -0.7517915246935645, -1.3, -0.3, 0.3, 1.3, -1.41421356, 8.3, -37.5, -38.5, 39.0, -39.0, -26.5,
    ),
    "gelu_slope": unary(
        lambda x: cdf(x) + x * pdf(x), lambda x: (2 - x**2) * pdf(x) if abs(x) < 99 else mpf(0),
        -0.7517915246935645, -1.3, 1.3, 1.4142135623730951, -1.4142135623730951, 8.3, -37.5, -38.5, 38.5, 39.0, -39.0,
    ),
    "silu": unary(
        lambda x: x * sigmoid(x), lambda x: sigmoid(x) * (1 + x * (1 - sigmoid(x))),
        -ROOT, ROOT, 36.7, -36.7, -700.0, -708.4, -745.1, -751.7,
    ),
    "softplus": unary(lambda x: logaddexp(x, mpf(0)), sigmoid, 36.7, -36.7, -708.4, -745.1, 745.1),
    "erf": unary(erf, lambda x: 2 / mp.sqrt(mp.pi) * exp(-(x**2)), 0.84375, 1.25, 5.92, -26.5, 27.2, 28.0),
    "logaddexp": binary(
        logaddexp,
        lambda x, w: sigmoid(x - w),
        lambda x, w: sigmoid(w - x),
        exponentials,
        unit=lambda x, w: ulp(max(x, w)),
    ),
    "maximum": binary(max, tie, lambda x, w: tie(w, x)),
    "minimum": binary(min, lambda x, w: tie(w, x), tie),
    "clip": Case(
        lambda x, low, high: min(max(x, low), high),
        (
            lambda x, low, high: mpf(low <= x <= high),
            lambda x, low, high: mpf(x < low),
            lambda x, low, high: mpf(x > high),
        ),
        three,
        ("x", "low", "high"),
    ),
    "where": Case(
        lambda condition, x, w: x if condition else w,
        (lambda c, x, w: 0, lambda c, x, w: mpf(c != 0), lambda c, x, w: mpf(c == 0)),
        three,
        ("condition", "x", "w"),
    ),
    "sum": nary(lambda *xs: mp.fsum(xs), lambda *xs: [1] * len(xs), lists, unit=lambda *xs: twice_the_precision(xs)),
    "mean": nary(
        lambda *xs: mp.fsum(xs) / len(xs),
        lambda *xs: [mpf(1) / len(xs)] * len(xs),
        lists,
        unit=lambda *xs: twice_the_precision(xs) / len(xs),
    ),
    "prod": nary(lambda *xs: mp.fprod(xs), lambda *xs: prod_others(xs), factors),
    "dot": nary(
        lambda *xs: mp.fsum(products(xs)),
        lambda *xs: [*xs[len(xs) // 2 :], *xs[: len(xs) // 2]],
        halves,
        unit=lambda *xs: max(twice_the_precision(products(xs)), len(xs) // 2 * mpf(SMALLEST)),
    ),
    "logsumexp": nary(logsumexp, lambda *xs: shares(xs), logits, unit=lambda *xs: ulp(max(xs))),
    "softmax": nary(lambda *xs: shares(xs)[0], softmax_d, logits),
}  # fmt: skip
NARY = {name for name, case in CASES.items() if not case.names}
FIXED = sorted(set(CASES) - NARY)


def ulp(y):
    """The unit in the last place of a double of this magnitude."""
    return mpf(2) ** max(mp.mag(y) - 53, -1074) if y else mpf(SMALLEST)


def off(got, right, unit=0):
    """How far a result is off, in units in the last place of the right one or in `unit`, whichever is larger."""
    if math.isnan(got):
        return INF
    edge = mpf(2) ** 1024  # all that is larger is infinite
    got = max(-edge, min(edge, mpf(got)))
    right = max(-edge, min(edge, right))
    return float(abs(got - right) / max(unit, min(ulp(right), mpf(2) ** 971)))


def known(function, operands):
    """The reference's result; None where it is undefined or a pole."""
    try:
        y = function(*operands)
    except ZeroDivisionError:
        return None
    return None if isinstance(y, type(mp.mpc(0))) else y


@cache
def references(name):
    """[(operands, right value, least unit, right derivatives)], computed once for both builds."""
    case = CASES[name]
    rows = []
    for operands in case.draw(random.Random(name)):
        xs = [mp.mpf(x) for x in operands]
        y = known(case.value, xs)
        if y is None:
            derivatives = []
        elif name in NARY:
            derivatives = case.derivatives[0](*xs)
        else:
            derivatives = [known(d, xs) for d in case.derivatives]
        with mp.workprec(100):
            short = [None if d is None else +mp.mpf(d) for d in derivatives]
            rows.append((operands, None if y is None else +mp.mpf(y), case.unit(*xs), short))
    return rows
