"""The calculus: every operation's value and derivatives, each written once, and the table that names them.

This is the single source of derivatives. Each operation is a function of its operands, then one function for each
operand with the derivative by it, then its row in `RULES`:

    value        tanh(x)             operands in, result out
    derivative   tanh_dx(x, y)       operands and the result `y` in, ∂y/∂x out
    row          TANH = _rule(...)   name, symbol, formula and derivative as text

What every rule guarantees:

- The value and the first derivative are right to 4 units in the last place (ulp) over the whole range, tails
  included; where a formula looks roundabout, the plain one cancels or overflows and the comment says where.
- nan in any operand gives nan, an undefined result is nan, a pole is an infinity. Nothing raises here: the engine
  turns such results into errors that name the operation.
- Derivatives use arithmetic, comparisons and the functions of this file only, so that the same text can be
  evaluated on numbers and on anything that behaves as one.

At the corners, where a function has no derivative, the field's usual choice holds: relu'(0) = abs'(0) = 0, the tied
operands of maximum and minimum share equally, x**0 has derivative 0 everywhere. `docs/corners.md` has the whole list.

The file is compiled with the C types of `rules.pxd`, and runs uncompiled with the same results.
"""

from array import array
from collections.abc import Callable
from dataclasses import dataclass

from . import _libm as libm

LN2 = 0.6931471805599453
LN2_INV = 1.4426950408889634  # 1 / ln 2
LN10_INV = 0.4342944819032518  # 1 / ln 10
TWO_OVER_SQRT_PI = 1.1283791670955126
INV_SQRT_TWO_PI = 0.3989422804014327
SQRT_TWO = 1.4142135623730951
SQRT_TWO_REST = -9.667293313452913e-17  # what is missing in it
EXP_MINUS_700 = 9.85967654375977e-305

# Below TINY a number is near the end of the range, where it has few digits, or none. Formulas that would magnify such
# a number start from operands multiplied by UP.
TINY = 1e-290
HUGE = 1e290
UP = 4.149515568880993e180  # 2**600
DOWN = 2.409919865102884e-181  # 2**-600


@dataclass(frozen=True)
class Rule:
    """One row of the table.

    Arguments:
        name: the operation's name, and its method on `Value` where it has one.
        symbol: what `Value._op` and pictures show.
        formula: the value as text, in the operands' names.
        value: the function that computes it.
        derivatives: for a fixed number of operands, one function for each; for n operands, the one function that
            fills all of them.
        derivative_texts: the derivatives as text, one for each function.
    """

    name: str
    symbol: str
    formula: str
    value: Callable[..., float]
    derivatives: tuple[Callable[..., float], ...]
    derivative_texts: tuple[str, ...]


RULES: dict[str, Rule] = {}


def _rule(name, symbol, formula, value, derivatives, derivative_texts):
    """Add a row and return its number, which is the operation's code on a node."""
    RULES[name] = Rule(name, symbol, formula, value, derivatives, derivative_texts)
    return FIRST_CODE + len(RULES) - 1


LEAF = 0  # a node that no operation made
CUSTOM = 1  # an operation written by hand: its `_backward` is the user's
PRIMITIVE = 2  # an operation with a row of its own outside the table
CALL = 3  # a function that says itself how gradients go back through it
PICK = 4  # one of several results of a CALL
FIRST_CODE = 5


# ---- error-free steps: the rounding error of one operation, exactly (Knuth 1969, Dekker 1971) ----------------------


def sum_error(x, w, y):
    """(x + w) - y exactly, for y = x + w rounded."""
    part = y - x
    return (x - (y - part)) + (w - part)


def product_error(x, w, y):
    """(x * w) - y exactly, for y = x * w rounded that is finite and above 1e-290."""
    scale = 1.0
    if absolute(x) > HUGE or absolute(w) > HUGE:  # its split would overflow
        scale = UP
        y = DOWN * y
        if absolute(x) > HUGE:
            x = DOWN * x
        else:
            w = DOWN * w
    split = 134217729.0 * x  # 2**27 + 1
    x_high = split - (split - x)
    x_low = x - x_high
    split = 134217729.0 * w
    w_high = split - (split - w)
    w_low = w - w_high
    return scale * (((x_high * w_high - y) + x_high * w_low + x_low * w_high) + x_low * w_low)


def is_finite(x):
    return x - x == 0.0


def is_constant(x):
    """Whether nothing moves x, as nothing moves doubles: else a formula that holds at one x only has no derivative."""
    return True


# ---- arithmetic ----------------------------------------------------------------------------------------------------


def identity(x):
    return x


def identity_dx(x, y):
    return 1.0


IDENTITY = _rule("identity", "=", "x", identity, (identity_dx,), ("1",))


def add(x, w):
    return x + w


def add_dx(x, w, y):
    return 1.0


ADD = _rule("add", "+", "x + w", add, (add_dx, add_dx), ("1", "1"))


def sub(x, w):
    return x - w


def sub_dw(x, w, y):
    return -1.0


SUB = _rule("sub", "-", "x - w", sub, (add_dx, sub_dw), ("1", "-1"))


def mul(x, w):
    return x * w


def mul_dx(x, w, y):
    return w


def mul_dw(x, w, y):
    return x


MUL = _rule("mul", "*", "x * w", mul, (mul_dx, mul_dw), ("w", "x"))


def div(x, w):
    if w == 0.0:  # Python raises where IEEE has a pole
        return libm.NAN if x == 0.0 or x != x else libm.copysign(libm.INFINITY, x) * libm.copysign(1.0, w)
    return x / w


def div_dx(x, w, y):
    return div(1.0, w)


def div_again(x, w, y):
    """y / w for y = x / w, also where y is too small for its digits."""
    if -TINY < y < TINY and x != 0.0:
        return div(div(UP * x, w), w) * DOWN
    return div(y, w)


def div_dw(x, w, y):
    return -div_again(x, w, y)


DIV = _rule("div", "/", "x / w", div, (div_dx, div_dw), ("1 / w", "-x / w**2"))


def power(x, w):
    if x != x or w != w:  # the C library says nan**0 = 1
        return libm.NAN
    if w == 2.0:  # correctly rounded, and four times faster than pow
        return x * x
    return libm.pow(x, w)


def power_times(x, w, factor):
    """factor * x**w, also where x**w alone overflows or is too small for its digits."""
    y = libm.pow(x, w)
    if (-TINY < y < TINY or y > HUGE or y < -HUGE) and x != 0.0:
        root = libm.pow(absolute(x), 0.5 * w)
        return libm.copysign(1.0, y) * factor * root * root
    return factor * y


def power_dx(x, w, y):
    if w == 0.0 and (x == 0.0 or is_constant(w)):
        return 0.0
    if w == 2.0 and is_constant(w):
        return 2.0 * x
    v = w - 1.0
    rounding = sum_error(w, -1.0, v)
    if rounding == 0.0:
        return power_times(x, v, w)
    if TINY < y < HUGE:  # x**v would magnify the rounding of v by ln x: up to 350 ulp at x = 1e300
        return w * y / x
    shift = rounding * log(absolute(x))
    w = -w if x < 0.0 else w  # an odd power rounded to an even one, w being past 2**53
    if -1e-6 < shift < 1e-6:  # else x is 0 or infinite, or the result is
        w += w * shift
    return power_times(x, v, w)


def power_dw(x, w, y):
    if x == 0.0 and w >= 0.0:
        return 0.0
    return power_times(x, w, log(x))


POW = _rule("pow", "**", "x**w", power, (power_dx, power_dw), ("w * x**(w - 1)", "x**w * log(x)"))


def neg(x):
    return -x


def neg_dx(x, y):
    return -1.0


NEG = _rule("neg", "neg", "-x", neg, (neg_dx,), ("-1",))


def absolute(x):
    return libm.fabs(x)


def absolute_dx(x, y):
    return sign(x)


ABS = _rule("abs", "abs", "|x|", absolute, (absolute_dx,), ("sign(x)",))


def sign(x):
    return 1.0 if x > 0.0 else -1.0 if x < 0.0 else x * 0.0


def sign_dx(x, y):
    return 0.0


SIGN = _rule("sign", "sign", "sign(x)", sign, (sign_dx,), ("0",))


def square(x):
    return x * x


def square_dx(x, y):
    return 2.0 * x


SQUARE = _rule("square", "square", "x**2", square, (square_dx,), ("2 * x",))


def reciprocal(x):
    return div(1.0, x)


def reciprocal_dx(x, y):
    return -(y * y)


RECIPROCAL = _rule("reciprocal", "reciprocal", "1 / x", reciprocal, (reciprocal_dx,), ("-1 / x**2",))


# ---- exponentials, logarithms, roots -------------------------------------------------------------------------------


def exp(x):
    return libm.exp(x)


def exp_dx(x, y):
    return y


EXP = _rule("exp", "exp", "exp(x)", exp, (exp_dx,), ("exp(x)",))


def exp_times(x, factor):
    """factor * exp(x) for x < 709, also where exp(x) alone is too small for its digits."""
    if x < -700.0:
        return exp_times(x + 700.0, factor * EXP_MINUS_700) if x > -1500.0 else factor * 0.0
    return factor * exp(x)


def expm1(x):
    return libm.expm1(x)


def expm1_dx(x, y):
    return exp(x)  # y + 1 loses the digits of exp(x) for x < 0


EXPM1 = _rule("expm1", "expm1", "exp(x) - 1", expm1, (expm1_dx,), ("exp(x)",))


def log(x):
    return libm.log(x)


def log_dx(x, y):
    return div(1.0, x)


LOG = _rule("log", "log", "log(x)", log, (log_dx,), ("1 / x",))


def log1p(x):
    return libm.log1p(x)


def log1p_dx(x, y):
    return div(1.0, 1.0 + x)


LOG1P = _rule("log1p", "log1p", "log(1 + x)", log1p, (log1p_dx,), ("1 / (1 + x)",))


def log2(x):
    return libm.log2(x)


def log2_dx(x, y):
    return div(LN2_INV, x)


LOG2 = _rule("log2", "log2", "log2(x)", log2, (log2_dx,), ("1 / (x * log(2))",))


def log10(x):
    return libm.log10(x)


def log10_dx(x, y):
    return div(LN10_INV, x)


LOG10 = _rule("log10", "log10", "log10(x)", log10, (log10_dx,), ("1 / (x * log(10))",))


def sqrt(x):
    return libm.sqrt(x)


def sqrt_dx(x, y):
    return div(0.5, y)


SQRT = _rule("sqrt", "sqrt", "sqrt(x)", sqrt, (sqrt_dx,), ("1 / (2 * sqrt(x))",))


def cbrt(x):
    y = libm.cbrt(x)
    if x == 0.0 or not is_finite(x):
        return y
    return y + (x / (y * y) - y) / 3.0  # a step of Newton's: the C library's may be 4 ulp off, its square twice that


def cbrt_dx(x, y):
    if x == 0.0 or not is_finite(x):
        return div(1.0, y * y)
    return y / x / 3.0  # rounds less often than 1 / (3 * y**2)


CBRT = _rule("cbrt", "cbrt", "cbrt(x)", cbrt, (cbrt_dx,), ("1 / (3 * cbrt(x)**2)",))


# ---- circular and hyperbolic functions -----------------------------------------------------------------------------


def sin(x):
    return libm.sin(x)


def sin_dx(x, y):
    return cos(x)


SIN = _rule("sin", "sin", "sin(x)", sin, (sin_dx,), ("cos(x)",))


def cos(x):
    return libm.cos(x)


def cos_dx(x, y):
    return -sin(x)


COS = _rule("cos", "cos", "cos(x)", cos, (cos_dx,), ("-sin(x)",))


def tan(x):
    return libm.tan(x)


def tan_dx(x, y):
    return div(1.0, square(cos(x)))


TAN = _rule("tan", "tan", "tan(x)", tan, (tan_dx,), ("1 / cos(x)**2",))


def one_minus_square(x):
    """1 - x², which cancels near ±1; the product does not, but its derivative does near 0."""
    return 1.0 - x * x if -0.5 < x < 0.5 else (1.0 - x) * (1.0 + x)


def arcsin(x):
    return libm.asin(x)


def arcsin_dx(x, y):
    return div(1.0, sqrt(one_minus_square(x)))


ARCSIN = _rule("arcsin", "arcsin", "arcsin(x)", arcsin, (arcsin_dx,), ("1 / sqrt(1 - x**2)",))


def arccos(x):
    return libm.acos(x)


def arccos_dx(x, y):
    return div(-1.0, sqrt(one_minus_square(x)))


ARCCOS = _rule("arccos", "arccos", "arccos(x)", arccos, (arccos_dx,), ("-1 / sqrt(1 - x**2)",))


def arctan(x):
    return libm.atan(x)


def arctan_dx(x, y):
    if x > 1e8 or x < -1e8:  # x**2 overflows at 1.4e154, the derivative does not
        return div(div(1.0, x), x)
    return div(1.0, 1.0 + x * x)


ARCTAN = _rule("arctan", "arctan", "arctan(x)", arctan, (arctan_dx,), ("1 / (1 + x**2)",))


def arctan2(x, w):
    return libm.atan2(x, w)


def over_sum_of_squares(x, w):
    """x / (x**2 + w**2), through the ratio of the smaller to the larger: the squares can overflow."""
    if x == 0.0 and w == 0.0:
        return libm.INFINITY
    if absolute(x) >= absolute(w):
        return div(div(0.5, x), 0.5 + 0.5 * square(div(w, x)))  # halves: 1 / x can overflow where the result does not
    ratio = div(x, w)
    if -TINY < ratio < TINY:
        return div_again(x, w, ratio) / (1.0 + square(ratio))
    return div(div(0.5 * ratio, w), 0.5 + 0.5 * square(ratio))


def arctan2_dx(x, w, y):
    return over_sum_of_squares(w, x)


def arctan2_dw(x, w, y):
    return -over_sum_of_squares(x, w)


ARCTAN2 = _rule(
    "arctan2",
    "arctan2",
    "arctan2(x, w)",
    arctan2,
    (arctan2_dx, arctan2_dw),
    ("w / (x**2 + w**2)", "-x / (x**2 + w**2)"),
)


def sinh(x):
    return libm.sinh(x)


def sinh_dx(x, y):
    return cosh(x)


SINH = _rule("sinh", "sinh", "sinh(x)", sinh, (sinh_dx,), ("cosh(x)",))


def cosh(x):
    return libm.cosh(x)


def cosh_dx(x, y):
    return sinh(x)


COSH = _rule("cosh", "cosh", "cosh(x)", cosh, (cosh_dx,), ("sinh(x)",))


def tanh(x):
    return libm.tanh(x)


def tanh_dx(x, y):
    if -0.5 < y < 0.5:
        return 1.0 - y * y
    # sech²: 1 - tanh² is lost to cancellation past |x| = 19, where JAX and PyTorch return 0
    e = exp(-2.0 * x) if x >= 0.0 else exp(2.0 * x)
    return 4.0 * e / (1.0 + e * (2.0 + e))  # (1 + e)² with less rounding


TANH = _rule("tanh", "tanh", "tanh(x)", tanh, (tanh_dx,), ("1 - tanh(x)**2",))


def arcsinh(x):
    return libm.asinh(x)


def arcsinh_dx(x, y):
    return div(1.0, hypot(1.0, x))


ARCSINH = _rule("arcsinh", "arcsinh", "arcsinh(x)", arcsinh, (arcsinh_dx,), ("1 / sqrt(1 + x**2)",))


def arccosh(x):
    return libm.acosh(x)


def arccosh_dx(x, y):
    return div(1.0, sqrt(x - 1.0) * sqrt(x + 1.0))


ARCCOSH = _rule("arccosh", "arccosh", "arccosh(x)", arccosh, (arccosh_dx,), ("1 / sqrt(x**2 - 1)",))


def arctanh(x):
    return libm.atanh(x)


def arctanh_dx(x, y):
    return div(1.0, one_minus_square(x))


ARCTANH = _rule("arctanh", "arctanh", "arctanh(x)", arctanh, (arctanh_dx,), ("1 / (1 - x**2)",))


def hypot(x, w):
    # Not the C library's: it differs from Python's, and hypot(inf, nan) is inf there
    big = absolute(x)
    small = absolute(w)
    if big < small:
        big = absolute(w)
        small = absolute(x)
    if small == 0.0 or not is_finite(big + small):
        return big + small
    return big * sqrt(1.0 + square(small / big))


def hypot_dx(x, w, y):
    if not is_constant(x) and libm.copysign(x, 1.0) > libm.copysign(w, 1.0):
        # the same, but the derivative of x / y cancels where w is small beside x
        return div(libm.copysign(1.0, x), hypot(1.0, div(w, x)))
    if y < TINY:
        return div(UP * x, hypot(UP * x, UP * w)) if y != 0.0 else 0.0
    return x / y


def hypot_dw(x, w, y):
    return hypot_dx(w, x, y)


HYPOT = _rule(
    "hypot", "hypot", "sqrt(x**2 + w**2)", hypot, (hypot_dx, hypot_dw), ("x / hypot(x, w)", "w / hypot(x, w)")
)


# ---- activations ---------------------------------------------------------------------------------------------------


def sigmoid(x):
    if x >= 0.0:
        return 1.0 / (1.0 + exp(-x))
    e = exp(x)
    return e / (1.0 + e)


def sigmoid_dx(x, y):
    e = exp(-x) if x >= 0.0 else exp(x)  # y * (1 - y) cancels for x > 0
    return e / (1.0 + e * (2.0 + e))


SIGMOID = _rule("sigmoid", "sigmoid", "1 / (1 + exp(-x))", sigmoid, (sigmoid_dx,), ("sigmoid(x) * sigmoid(-x)",))


def relu(x):
    return 0.0 if x <= 0.0 else x


def relu_dx(x, y):
    return 1.0 if x > 0.0 else 0.0


RELU = _rule("relu", "ReLU", "max(x, 0)", relu, (relu_dx,), ("1 if x > 0 else 0",))


def leaky_relu(x, slope):
    return x if x > 0.0 and slope == slope else slope * x


def leaky_relu_dx(x, slope, y):
    return 1.0 if x > 0.0 else slope


def leaky_relu_dslope(x, slope, y):
    return 0.0 if x > 0.0 else x


LEAKY_RELU = _rule(
    "leaky_relu",
    "leaky_relu",
    "x if x > 0 else slope * x",
    leaky_relu,
    (leaky_relu_dx, leaky_relu_dslope),
    ("1 if x > 0 else slope", "0 if x > 0 else x"),
)


def elu(x, alpha):
    return x if x > 0.0 and alpha == alpha else alpha * expm1(x)


def elu_dx(x, alpha, y):
    return 1.0 if x > 0.0 else exp_times(x, alpha)


def elu_dalpha(x, alpha, y):
    return 0.0 if x > 0.0 else expm1(x)


ELU = _rule(
    "elu",
    "elu",
    "x if x > 0 else alpha * (exp(x) - 1)",
    elu,
    (elu_dx, elu_dalpha),
    ("1 if x > 0 else alpha * exp(x)", "0 if x > 0 else exp(x) - 1"),
)


def gauss_times(x, factor, rest):
    """(factor + rest) * exp(-x²/2) for |x| < 1e150, where rest is what was rounded off the factor."""
    s = x * x  # its rounding error would be magnified x²/2 times by exp: 350 ulp at x = 26
    return exp_times(-0.5 * s, factor + (rest - factor * (0.5 * product_error(x, x, s))))


def normal_tail(t):
    """Φ(-t) exp(t²/2) for 0 <= t <= 39, Φ(x) being the probability that a standard normal variable is below x.

    1 + t times this is a smooth function of q = (t - 5) / (t + 5), replaced by its interpolation in 24 Chebyshev
    points: relative error 2.4e-18, computed with mpmath. The C library's erfc errs by up to 5 ulp.
    """
    q = (t - 5.0) / (t + 5.0)
    p = -2.7701481656827913e-10 * q + 1.6294822123482363e-11
    p = (p * q + 4.305928346122364e-09) * q + 2.6641470506077205e-09
    p = (p * q - 3.132082028087379e-08) * q - 2.4964749749793523e-08
    p = (p * q + 1.9716412822314452e-07) * q + 1.2687978435110762e-07
    p = (p * q - 1.3083296242531128e-06) * q - 6.989850792867112e-08
    p = (p * q + 9.06032311426407e-06) * q - 9.896216310883174e-06
    p = (p * q - 5.36077545074153e-05) * q + 0.00018233416164045794
    p = (p * q + 7.791634836196445e-06) * q - 0.00167607234514747
    p = (p * q + 0.006522000662944827) * q - 0.015170415402641402
    p = (p * q + 0.024536963244022193) * q - 0.026401042966293736
    p = (p * q + 0.010002352385218209) * q + 0.031030368425963278
    p = (p * q - 0.09155228183400893) * q + 0.46151582985003775
    return p / (1.0 + t)


def normal_tail_rest(t, tail):
    """What the rounding of 1 + t took off normal_tail(t)."""
    return -tail * sum_error(1.0, t, 1.0 + t) / (1.0 + t)


def gelu(x):
    if x > 39.0 or x < -39.0:
        return x if x > 0.0 else x * 0.0
    tail = normal_tail(absolute(x))
    factor = x * tail
    if x > 0.0:
        return x - gauss_times(x, factor, 0.0)
    return gauss_times(x, factor, product_error(x, tail, factor) + x * normal_tail_rest(-x, tail))


def gelu_slope(x):
    if x > 39.0 or x < -39.0:
        return 1.0 if x > 0.0 else 0.0
    if -1.3 < x <= 0.0:
        return gelu_slope_near_root(x)
    tail = normal_tail(absolute(x))
    slope = INV_SQRT_TWO_PI * x
    if x > 0.0:
        return 1.0 + gauss_times(x, slope - tail, 0.0)
    factor = slope + tail
    rest = sum_error(slope, tail, factor) + product_error(INV_SQRT_TWO_PI, x, slope) + normal_tail_rest(-x, tail)
    return gauss_times(x, factor, rest)


def gelu_slope_near_root(x):
    """Φ(x) + x φ(x) for -1.3 < x <= 0, where the terms cancel.

    The quotient by the distance from the root is replaced by its interpolation in 20 Chebyshev points: relative error
    1.4e-19, computed with mpmath.
    """
    h = (x + 0.7517915246935645) - 1.4956759177009883e-17
    p = -5.299003380739207e-11 * h + 1.8971057029002894e-09
    p = (p * h - 1.1472123615005066e-09) * h - 3.555022601334175e-08
    p = (p * h - 1.737440800002898e-09) * h + 5.703482678384156e-07
    p = (p * h + 4.3288286704859144e-07) * h - 7.748487057103715e-06
    p = (p * h - 1.1214386309296497e-05) * h + 8.61594837414077e-05
    p = (p * h + 0.00018633974679245797) * h - 0.0007448268392656228
    p = (p * h - 0.0022395380681004187) * h + 0.004539228379163514
    p = (p * h + 0.019421679838189633) * h - 0.01477152214824557
    p = (p * h - 0.1140082332972217) * h - 0.018199676398671073
    p = (p * h + 0.388284982990552) * h + 0.4314939923140469
    return p * h


def gelu_slope_dx(x, y):
    if x > 39.0 or x < -39.0:
        return 0.0
    factor = 2.0 - x * x
    if x > 1.0 or x < -1.0:  # this cancels near its roots; the product does not, but its derivative does near 0
        factor = ((SQRT_TWO - x) + SQRT_TWO_REST) * ((SQRT_TWO + x) + SQRT_TWO_REST)
    return gauss_times(x, INV_SQRT_TWO_PI * factor, 0.0)


GELU_SLOPE = _rule("gelu_slope", "gelu'", "Φ(x) + x * φ(x)", gelu_slope, (gelu_slope_dx,), ("(2 - x**2) * φ(x)",))


def gelu_dx(x, y):
    return gelu_slope(x)


GELU = _rule("gelu", "gelu", "x * Φ(x)", gelu, (gelu_dx,), ("Φ(x) + x * φ(x)",))


def silu(x):
    return x * sigmoid(x) if x > -700.0 else exp_times(x, x)


def silu_dx(x, y):
    if x > 0.0:
        return sigmoid(x) * (1.0 + x * sigmoid(-x))
    e = exp(x)
    factor = 1.0 + x + e
    if -2.0 < x < -0.7:  # this cancels near its root r = -1.278; with h = x - r it is h + exp(r) * expm1(h)
        h = (x + 1.2784645427610737) + 1.0946994183093437e-16
        factor = h + 0.2784645427610738 * expm1(h)
    if x > -2.0:
        return factor / (2.0 + (e + 1.0 / e))  # the same as below with less rounding
    return exp_times(x, factor) / (1.0 + e * (2.0 + e))


SILU = _rule("silu", "silu", "x * sigmoid(x)", silu, (silu_dx,), ("sigmoid(x) * (1 + x * sigmoid(-x))",))


def softplus(x):
    return x + log1p(exp(-x)) if x > 0.0 else log1p(exp(x))


def softplus_dx(x, y):
    return sigmoid(x)


SOFTPLUS = _rule("softplus", "softplus", "log(1 + exp(x))", softplus, (softplus_dx,), ("sigmoid(x)",))


def erf(x):
    return libm.erf(x)


def erf_dx(x, y):
    if x > 28.0 or x < -28.0:
        return 0.0
    s = x * x
    return TWO_OVER_SQRT_PI * exp(-s) * (1.0 - product_error(x, x, s))


ERF = _rule("erf", "erf", "erf(x)", erf, (erf_dx,), ("2 / sqrt(pi) * exp(-x**2)",))


# ---- comparisons and choices ---------------------------------------------------------------------------------------


def difference_error(x, w):
    """The rounding error of x - w, which exp(x - w) magnifies up to 700 times."""
    return sum_error(x, -w, x - w) if is_finite(x - w) else 0.0


def exp_difference(x, w):
    """exp(x - w) for x <= w."""
    e = exp(x - w)
    return e + e * difference_error(x, w)


def logaddexp(x, w):
    if x == w:
        return x + LN2
    big = x if x > w else w
    small = w if x > w else x
    return big + log1p(exp_difference(small, big))


def logaddexp_dx(x, w, y):
    if x >= w:
        return 1.0 / (1.0 + exp_difference(w, x))
    e = exp_difference(x, w)
    return e / (1.0 + e)


def logaddexp_dw(x, w, y):
    return logaddexp_dx(w, x, y)


LOGADDEXP = _rule(
    "logaddexp",
    "logaddexp",
    "log(exp(x) + exp(w))",
    logaddexp,
    (logaddexp_dx, logaddexp_dw),
    ("sigmoid(x - w)", "sigmoid(w - x)"),
)


def maximum(x, w):
    return x if x >= w or x != x else w


def maximum_dx(x, w, y):
    return 1.0 if x > w else 0.5 if x == w else 0.0


def maximum_dw(x, w, y):
    return 1.0 if x < w else 0.5 if x == w else 0.0


MAXIMUM = _rule(
    "maximum",
    "max",
    "max(x, w)",
    maximum,
    (maximum_dx, maximum_dw),
    ("1 if x > w else 0, ties share", "1 if w > x else 0, ties share"),
)


def minimum(x, w):
    return x if x <= w or x != x else w


MINIMUM = _rule(
    "minimum",
    "min",
    "min(x, w)",
    minimum,
    (maximum_dw, maximum_dx),
    ("1 if x < w else 0, ties share", "1 if w < x else 0, ties share"),
)


def clip(x, low, high):
    if low > high or low != low or high != high:  # an empty interval has no nearest point
        return libm.NAN
    return low if x < low else high if x > high else x


def clip_dx(x, low, high, y):
    return 1.0 if low <= x <= high else 0.0


def clip_dlow(x, low, high, y):
    return 1.0 if x < low else 0.0


def clip_dhigh(x, low, high, y):
    return 1.0 if x > high else 0.0


CLIP = _rule(
    "clip",
    "clip",
    "min(max(x, low), high)",
    clip,
    (clip_dx, clip_dlow, clip_dhigh),
    ("1 if low <= x <= high else 0", "1 if x < low else 0", "1 if x > high else 0"),
)


def where(condition, x, w):
    return x if condition != 0.0 and condition == condition else w if condition == 0.0 else libm.NAN


def where_dcondition(condition, x, w, y):
    return 0.0


def where_dx(condition, x, w, y):
    return 1.0 if condition != 0.0 else 0.0


def where_dw(condition, x, w, y):
    return 0.0 if condition != 0.0 else 1.0


WHERE = _rule(
    "where",
    "where",
    "x if condition else w",
    where,
    (where_dcondition, where_dx, where_dw),
    ("0", "1 if condition else 0", "0 if condition else 1"),
)


# ---- any number of operands: `xs` and `out` are arrays of doubles --------------------------------------------------


def scaled_total(xs, scale):
    """The sum of scale * x with the rounding errors carried along (Neumaier 1974)."""
    y = 0.0
    carry = 0.0
    for i in range(len(xs)):
        before = y
        y = before + scale * xs[i]
        carry += sum_error(before, scale * xs[i], y)
    return y + carry if is_finite(carry) else y


def total(xs):
    """The sum as if in twice the precision."""
    y = scaled_total(xs, 1.0)
    return y if is_finite(y) else scaled_total(xs, DOWN) * UP  # only the way there may have overflowed


def total_d(xs, y, out):
    for i in range(len(xs)):
        out[i] = 1.0


SUM = _rule("sum", "sum", "x1 + ... + xn", total, (total_d,), ("1",))


def mean(xs):
    y = scaled_total(xs, 1.0)
    return y / len(xs) if is_finite(y) else scaled_total(xs, DOWN) / len(xs) * UP


def mean_d(xs, y, out):
    for i in range(len(xs)):
        out[i] = 1.0 / len(xs)


MEAN = _rule("mean", "mean", "(x1 + ... + xn) / n", mean, (mean_d,), ("1 / n",))


def strides(x):
    """How often to divide x by 2**512 to bring it near 1: once, not at all, or -1 for multiplying."""
    if x > 1e120 or x < -1e120:
        return 1
    return -1 if -1e-120 < x < 1e-120 and x != 0.0 else 0


def stride(x, k):
    """x * 2**(512 k)."""
    k = 4 if k > 4 else -4 if k < -4 else k  # which is zero or infinity already
    while k > 0:
        x *= 1.3407807929942597e154
        k -= 1
    while k < 0:
        x *= 7.458340731200207e-155
        k += 1
    return x


def running_product(xs, backwards, products, powers):
    """products[i] * 2**(512 powers[i]) is the product of all before i, or of all after i; at n, of all.

    As if in twice the precision, y + carry, and with any exponent in between.
    """
    n = len(xs)
    y = 1.0
    carry = 0.0
    k = 0
    for j in range(n):
        i = n - 1 - j if backwards else j
        products[i] = y + carry if is_finite(carry) else y
        powers[i] = k
        x = stride(xs[i], -strides(xs[i]))
        before = y
        y = before * x
        carry = carry * x + product_error(before, x, y)
        k += strides(xs[i]) + strides(y)
        carry = stride(carry, -strides(y))
        y = stride(y, -strides(y))
    products[n] = y + carry if is_finite(carry) else y
    powers[n] = k


def product(xs):
    n = len(xs)
    products = array("d", bytes(8 * n + 8))
    powers = array("q", bytes(8 * n + 8))
    running_product(xs, False, products, powers)
    return stride(products[n], powers[n])


def product_d(xs, y, out):
    # the product of the others, from the left and from the right: dividing y by x would fail at x = 0
    n = len(xs)
    left, right = array("d", bytes(8 * n + 8)), array("d", bytes(8 * n + 8))
    left_powers, right_powers = array("q", bytes(8 * n + 8)), array("q", bytes(8 * n + 8))
    running_product(xs, False, left, left_powers)
    running_product(xs, True, right, right_powers)
    for i in range(n):
        out[i] = stride(left[i] * right[i], left_powers[i] + right_powers[i])


PROD = _rule("prod", "prod", "x1 * ... * xn", product, (product_d,), ("the product of the others",))


def scaled_dot(xs, scale):
    """scale**2 * dot(xs) with the rounding errors carried along (Ogita, Rump, Oishi 2005)."""
    n = len(xs) // 2
    y = 0.0
    carry = 0.0
    for i in range(n):
        x = scale * xs[i]
        w = scale * xs[n + i]
        before = y
        y = before + x * w
        carry += sum_error(before, x * w, y) + product_error(x, w, x * w)
    return y + carry if is_finite(carry) else y


def dot(xs):
    """x1 w1 + ... + xn wn for xs = [x1 ... xn, w1 ... wn], as if in twice the precision."""
    y = scaled_dot(xs, 1.0)
    return y if is_finite(y) else scaled_dot(xs, DOWN) * UP * UP


def dot_d(xs, y, out):
    n = len(xs) // 2
    for i in range(n):
        out[i] = xs[n + i]
        out[n + i] = xs[i]


DOT = _rule("dot", "dot", "x1 * w1 + ... + xn * wn", dot, (dot_d,), ("the operand it is multiplied with",))


def largest(xs):
    """The index of the largest operand, or of a nan."""
    top = 0
    for i in range(len(xs)):
        if xs[i] > xs[top] or xs[i] != xs[i]:
            top = i
    return top


def exp_rest(xs, top):
    """The sum of exp(x - xs[top]) over the others, with the rounding errors carried along."""
    y = 0.0
    carry = 0.0
    for i in range(len(xs)):
        if i != top:
            before = y
            e = exp_difference(xs[i], xs[top])
            y = before + e
            carry += sum_error(before, e, y)
    return y + carry


def logsumexp(xs):
    top = largest(xs)
    return xs[top] + log1p(exp_rest(xs, top)) if is_finite(xs[top]) else xs[top]


def logsumexp_d(xs, y, out):
    """The softmax of xs."""
    top = largest(xs)
    scale = 0.0
    carry = 0.0
    for i in range(len(xs)):
        out[i] = exp(xs[i] - xs[top])
        before = scale
        scale = before + out[i]
        carry += sum_error(before, out[i], scale) + out[i] * difference_error(xs[i], xs[top])
    for i in range(len(xs)):  # all that was rounded off is put back at once
        out[i] = out[i] / scale * (1.0 + (difference_error(xs[i], xs[top]) - carry / scale))


LOGSUMEXP = _rule(
    "logsumexp", "logsumexp", "log(exp(x1) + ... + exp(xn))", logsumexp, (logsumexp_d,), ("exp(x - logsumexp)",)
)


def softmax(xs):
    """The share of the first operand: exp(x1) / (exp(x1) + ... + exp(xn))."""
    top = largest(xs)
    return exp_difference(xs[0], xs[top]) / (1.0 + exp_rest(xs, top))


def softmax_d(xs, y, out):
    # y * (1 - y) cancels, and products of two shares round too often: -y1 yi is exp(x1 + xi - 2 top) / scale**2
    top = largest(xs)
    first = xs[0] - xs[top]
    first_error = difference_error(xs[0], xs[top])
    others = 0.0
    carry = 0.0
    for i in range(1, len(xs)):
        e = exp(xs[i] - xs[top])
        before = others
        others = before + e
        carry += sum_error(before, e, others) + e * difference_error(xs[i], xs[top])
    e = exp(first)
    scale = others + e
    squared = scale * scale
    shift = 2.0 * (carry + sum_error(others, e, scale) + e * first_error) / scale
    shift = first_error - shift - product_error(scale, scale, squared) / squared
    out[0] = e * others / squared * (1.0 + (shift + (carry / others if others > 0.0 else 0.0)))
    for i in range(1, len(xs)):
        d = xs[i] - xs[top]
        error = difference_error(xs[i], xs[top]) + difference_error(first, -d)
        out[i] = -exp(first + d) / squared * (1.0 + (shift + error))


SOFTMAX = _rule(
    "softmax",
    "softmax",
    "exp(x1) / (exp(x1) + ... + exp(xn))",
    softmax,
    (softmax_d,),
    ("y * (1 - y) by x1, -y * yi by xi",),
)

NAMES = ("leaf", "custom", "primitive", "call", "pick", *RULES)  # an operation's name by its code
