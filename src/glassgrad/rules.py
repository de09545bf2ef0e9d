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

from collections.abc import Callable
from dataclasses import dataclass

from . import _libm as libm

LN2 = 0.6931471805599453
LN2_INV = 1.4426950408889634  # 1 / ln 2
LN10_INV = 0.4342944819032518  # 1 / ln 10
SQRT_HALF = 0.7071067811865476
SQRT_HALF_ERROR = -4.833646656726457e-17  # sqrt(1/2) less the double above
TWO_OVER_SQRT_PI = 1.1283791670955126
INV_SQRT_TWO_PI = 0.3989422804014327


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
FIRST_CODE = 2


# ---- error-free steps: the rounding error of one operation, exactly (Knuth 1969, Dekker 1971) ----------------------


def sum_error(x, w, y):
    """(x + w) - y exactly, for y = x + w rounded."""
    part = y - x
    return (x - (y - part)) + (w - part)


def product_error(x, w, y):
    """(x * w) - y exactly, for y = x * w rounded, away from overflow and underflow."""
    split = 134217729.0 * x  # 2**27 + 1
    x_high = split - (split - x)
    x_low = x - x_high
    split = 134217729.0 * w
    w_high = split - (split - w)
    w_low = w - w_high
    return ((x_high * w_high - y) + x_high * w_low + x_low * w_high) + x_low * w_low


def is_finite(x):
    return x - x == 0.0


# ---- arithmetic ----------------------------------------------------------------------------------------------------


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


def div_dw(x, w, y):
    return -div(y, w)


DIV = _rule("div", "/", "x / w", div, (div_dx, div_dw), ("1 / w", "-x / w**2"))


def power(x, w):
    if x != x or w != w:  # the C library says nan**0 = 1
        return libm.NAN
    if w == 2.0:  # correctly rounded, and four times faster than pow
        return x * x
    return libm.pow(x, w)


def power_dx(x, w, y):
    if w == 0.0:
        return 0.0
    if w == 2.0:
        return 2.0 * x
    if w >= 0.5 or x == 0.0:
        return w * libm.pow(x, w - 1.0)
    # w - 1 is rounded here, and x**(w - 1) would magnify that by ln x: up to 350 ulp at x = 1e300
    return w * div(y, x)


def power_dw(x, w, y):
    if x == 0.0 and w >= 0.0:
        return 0.0
    return y * libm.log(x)


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
    return libm.cbrt(x)


def cbrt_dx(x, y):
    return div(1.0, 3.0 * (y * y))


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


def arcsin(x):
    return libm.asin(x)


def arcsin_dx(x, y):
    return div(1.0, sqrt((1.0 - x) * (1.0 + x)))  # 1 - x**2 cancels near ±1


ARCSIN = _rule("arcsin", "arcsin", "arcsin(x)", arcsin, (arcsin_dx,), ("1 / sqrt(1 - x**2)",))


def arccos(x):
    return libm.acos(x)


def arccos_dx(x, y):
    return div(-1.0, sqrt((1.0 - x) * (1.0 + x)))


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


def arctan2_dx(x, w, y):
    if absolute(x) <= absolute(w):  # the ratio of the smaller to the larger: x**2 + w**2 can overflow
        return div(div(1.0, w), 1.0 + square(div(x, w))) if w != 0.0 else libm.INFINITY
    return div(div(div(w, x), x), 1.0 + square(div(w, x)))


def arctan2_dw(x, w, y):
    if absolute(x) <= absolute(w):
        return div(-div(div(x, w), w), 1.0 + square(div(x, w))) if w != 0.0 else libm.INFINITY
    return div(div(-1.0, x), 1.0 + square(div(w, x)))


ARCTAN2 = _rule(
    "arctan2", "arctan2", "arctan2(x, w)", arctan2, (arctan2_dx, arctan2_dw), ("w / (x**2 + w**2)", "-x / (x**2 + w**2)")
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
    # sech²: 1 - tanh² is lost to cancellation past |x| = 19, where JAX and PyTorch return 0
    e = exp(-2.0 * x) if x >= 0.0 else exp(2.0 * x)
    return 4.0 * e / square(1.0 + e)


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
    return div(1.0, (1.0 - x) * (1.0 + x))


ARCTANH = _rule("arctanh", "arctanh", "arctanh(x)", arctanh, (arctanh_dx,), ("1 / (1 - x**2)",))


def hypot(x, w):
    # the larger times sqrt(1 + ratio²), with the square root's argument and the scaling corrected for rounding
    big = absolute(x)
    small = absolute(w)
    if small > big:
        big, small = small, big
    if small == 0.0 or not is_finite(big) or not is_finite(small):
        return big + small
    scale = 1.0
    if big > 1e150:
        scale = 1e-150
    elif small < 1e-150:
        scale = 1e150 if big < 1.0 else 1.0
    big *= scale
    small *= scale
    square_big = big * big
    square_small = small * small
    total = square_big + square_small
    root = sqrt(total)
    square_root = root * root
    rest = (total - square_root) - product_error(root, root, square_root)
    rest += product_error(big, big, square_big) + product_error(small, small, square_small)
    rest += sum_error(square_big, square_small, total)
    return (root + rest / (2.0 * root)) / scale


def hypot_dx(x, w, y):
    return div(x, y) if y != 0.0 else 0.0


def hypot_dw(x, w, y):
    return div(w, y) if y != 0.0 else 0.0


HYPOT = _rule("hypot", "hypot", "sqrt(x**2 + w**2)", hypot, (hypot_dx, hypot_dw), ("x / hypot(x, w)", "w / hypot(x, w)"))


# ---- activations ---------------------------------------------------------------------------------------------------


def sigmoid(x):
    if x >= 0.0:
        return 1.0 / (1.0 + exp(-x))
    e = exp(x)
    return e / (1.0 + e)


def sigmoid_dx(x, y):
    e = exp(-x) if x >= 0.0 else exp(x)  # y * (1 - y) cancels for x > 0
    return e / square(1.0 + e)


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
    return 1.0 if x > 0.0 else alpha * exp(x)


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


def normal_density(x):
    """exp(-x²/2) / sqrt(2 pi)."""
    if x > 39.0 or x < -39.0:
        return 0.0
    s = x * x  # its rounding error would be magnified x² times by exp: 350 ulp at x = 26
    return INV_SQRT_TWO_PI * exp(-0.5 * s) * (1.0 - 0.5 * product_error(x, x, s))


def normal_distribution(x):
    """The probability that a standard normal variable is below x."""
    if x >= -1.0:
        return 0.5 * libm.erfc(-x * SQRT_HALF)
    if x < -39.0:
        return 0.0
    z = -x * SQRT_HALF  # erfc magnifies the rounding of z by 2 z²: correct to first order
    rounding = product_error(-x, SQRT_HALF, z) - x * SQRT_HALF_ERROR
    return 0.5 * (libm.erfc(z) - rounding * TWO_OVER_SQRT_PI * exp(-z * z))


def gelu(x):
    return x * normal_distribution(x) if x > -39.0 or x != x else x * 0.0


def gelu_dx(x, y):
    return normal_distribution(x) + x * normal_density(x)


GELU = _rule("gelu", "gelu", "x * Φ(x)", gelu, (gelu_dx,), ("Φ(x) + x * φ(x)",))


def silu(x):
    return x * sigmoid(x)


def silu_dx(x, y):
    return sigmoid(x) * (1.0 + x * sigmoid(-x))


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


def logaddexp(x, w):
    if x == w:
        return x + LN2 if is_finite(x) else x
    big, small = (x, w) if x > w else (w, x)
    return big + log1p(exp(small - big))


def exp_difference(x, w):
    """exp(x - w), with the rounding of the difference put back: exp would magnify it up to 700 times."""
    d = x - w
    e = exp(d)
    return e + e * sum_error(x, -w, d) if is_finite(d) else e


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


def total(xs):
    """The sum with the rounding errors carried along (Neumaier 1974): right to the last place unless it cancels."""
    y = 0.0
    carry = 0.0
    for i in range(len(xs)):
        before = y
        y = before + xs[i]
        carry += sum_error(before, xs[i], y)
    return y + carry if is_finite(carry) else y


def total_d(xs, y, out):
    for i in range(len(xs)):
        out[i] = 1.0


SUM = _rule("sum", "sum", "x1 + ... + xn", total, (total_d,), ("1",))


def mean(xs):
    return total(xs) / len(xs)


def mean_d(xs, y, out):
    for i in range(len(xs)):
        out[i] = 1.0 / len(xs)


MEAN = _rule("mean", "mean", "(x1 + ... + xn) / n", mean, (mean_d,), ("1 / n",))


def product(xs):
    """The product with the rounding errors carried along."""
    y = 1.0
    carry = 0.0
    for i in range(len(xs)):
        before = y
        y = before * xs[i]
        carry = carry * xs[i] + product_error(before, xs[i], y)
    return y + carry if is_finite(carry) else y


def product_d(xs, y, out):
    # the product of the others, from the left and from the right: dividing y by x would fail at x = 0
    n = len(xs)
    left = 1.0
    left_carry = 0.0
    for i in range(n):
        out[i] = left + left_carry if is_finite(left_carry) else left
        before = left
        left = before * xs[i]
        left_carry = left_carry * xs[i] + product_error(before, xs[i], left)
    right = 1.0
    right_carry = 0.0
    for i in range(n - 1, -1, -1):
        out[i] *= right + right_carry if is_finite(right_carry) else right
        before = right
        right = before * xs[i]
        right_carry = right_carry * xs[i] + product_error(before, xs[i], right)


PROD = _rule("prod", "prod", "x1 * ... * xn", product, (product_d,), ("the product of the others",))


def dot(xs):
    """x1 w1 + ... + xn wn for xs = [x1 ... xn, w1 ... wn], as if in twice the precision (Ogita, Rump, Oishi 2005)."""
    n = len(xs) // 2
    y = 0.0
    carry = 0.0
    for i in range(n):
        term = xs[i] * xs[n + i]
        before = y
        y = before + term
        carry += sum_error(before, term, y) + product_error(xs[i], xs[n + i], term)
    return y + carry if is_finite(carry) else y


def dot_d(xs, y, out):
    n = len(xs) // 2
    for i in range(n):
        out[i] = xs[n + i]
        out[n + i] = xs[i]


DOT = _rule("dot", "dot", "x1 * w1 + ... + xn * wn", dot, (dot_d,), ("the operand it is multiplied with",))


def logsumexp(xs):
    largest = 0
    for i in range(len(xs)):
        if xs[i] > xs[largest] or xs[i] != xs[i]:
            largest = i
    if not is_finite(xs[largest]):
        return xs[largest]
    rest = 0.0
    for i in range(len(xs)):
        if i != largest:
            rest += exp(xs[i] - xs[largest])
    return xs[largest] + log1p(rest)


def logsumexp_d(xs, y, out):
    """The softmax of xs."""
    largest = 0
    for i in range(len(xs)):
        if xs[i] > xs[largest]:
            largest = i
    scale = 0.0
    for i in range(len(xs)):
        out[i] = exp_difference(xs[i], xs[largest])
        scale += out[i]
    for i in range(len(xs)):
        out[i] /= scale


LOGSUMEXP = _rule(
    "logsumexp", "logsumexp", "log(exp(x1) + ... + exp(xn))", logsumexp, (logsumexp_d,), ("exp(x - logsumexp)",)
)


def softmax(xs):
    """The share of the first operand: exp(x1) / (exp(x1) + ... + exp(xn))."""
    scale = 0.0
    for i in range(len(xs)):
        scale += exp_difference(xs[i], xs[0])
    return 1.0 / scale


def softmax_d(xs, y, out):
    logsumexp_d(xs, y, out)
    others = 0.0  # 1 - y would cancel where one share is nearly 1
    for i in range(1, len(xs)):
        others += out[i]
    for i in range(1, len(xs)):
        out[i] *= -out[0]
    out[0] *= others


SOFTMAX = _rule(
    "softmax", "softmax", "exp(x1) / (exp(x1) + ... + exp(xn))", softmax, (softmax_d,), ("y * (1 - y) by x1, -y * yi by xi",)
)

NAMES = ("leaf", "custom", *RULES)  # an operation's name by its code
