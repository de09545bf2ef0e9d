"""Random scalar programs: every operation, shared nodes, n-ary nodes, numbers among the operands.

A program is plain data, so that both builds, mpmath, PyTorch and JAX can run the same one. Those that Hypothesis draws:
`wild` programs may do anything to any double; `tame` ones stay where derivatives exist and are moderate, so that a
reference can be compared with. `smooth_program` draws with Python's own generator, in a tenth of the time, and knows
what it computes on the way, so it has every operation and is as harmless as a tame one.
"""

from __future__ import annotations

import math
import random
from array import array
from dataclasses import dataclass

import mpmath
from hypothesis import strategies as st

UNARY = [
    "neg", "abs", "sign", "square", "reciprocal", "exp", "expm1", "log", "log1p", "log2", "log10", "sqrt", "cbrt",
    "sin", "cos", "tan", "arcsin", "arccos", "arctan", "sinh", "cosh", "tanh", "arcsinh", "arccosh", "arctanh",
    "sigmoid", "relu", "gelu", "silu", "softplus", "erf",
]  # fmt: skip
BINARY = [
    "add", "sub", "mul", "div", "pow", "arctan2", "hypot", "logaddexp", "maximum", "minimum", "leaky_relu", "elu",
]  # fmt: skip
TERNARY = ["clip", "where"]
NARY = ["sum", "mean", "prod", "logsumexp", "softmax", "dot"]  # softmax: its first share; dot: an even number
INTERNAL = ["identity", "gelu_slope"]  # nodes that only the transforms make

OPERATORS = {
    "add": lambda a, b: a + b, "sub": lambda a, b: a - b, "mul": lambda a, b: a * b, "div": lambda a, b: a / b,
    "pow": lambda a, b: a**b, "neg": lambda a: -a,
}  # fmt: skip

# Where derivatives exist, are moderate, and results stay small.
TAME_UNARY = [
    "neg",
    "abs",
    "sin",
    "cos",
    "tanh",
    "sigmoid",
    "relu",
    "gelu",
    "silu",
    "softplus",
    "erf",
    "arctan",
    "arcsinh",
]
TAME_BINARY = ["add", "sub", "mul", "hypot", "logaddexp", "maximum", "minimum", "leaky_relu"]


@dataclass(frozen=True)
class Program:
    """Leaves, and steps (operation, operands): an int refers to a leaf or an earlier step, a float is a number."""

    leaves: tuple[float, ...]
    steps: tuple[tuple[str, tuple[int | float, ...]], ...]


def evaluate(program, leaves, apply):
    """Every scalar of a program: its leaves, then the result of each step; `apply(name, operands)` does a step."""
    scalars = list(leaves)
    for name, operands in program.steps:
        scalars.append(apply(name, [scalars[i] if isinstance(i, int) else i for i in operands]))
    return scalars


def on(gg):
    """The `apply` of one build of the package, for Values and for plain numbers."""

    def apply(name, operands):
        if name in OPERATORS:
            return OPERATORS[name](*operands)
        if name == "softmax":
            return gg.softmax(operands)[0]
        if name == "dot":
            half = len(operands) // 2
            return gg.dot(operands[:half], operands[half:])
        return getattr(gg, name)(operands) if name in NARY else getattr(gg, name)(*operands)

    return apply


def in_mpmath(name, operands):
    """The `apply` of the reference: each operation's definition in mpmath, for tame programs."""
    m = mpmath
    a = [m.mpf(x) for x in operands]
    half = len(a) // 2
    definitions = {
        "neg": lambda: -a[0],
        "abs": lambda: abs(a[0]),
        "sin": lambda: m.sin(a[0]),
        "cos": lambda: m.cos(a[0]),
        "tanh": lambda: m.tanh(a[0]),
        "sigmoid": lambda: 1 / (1 + m.exp(-a[0])),
        "relu": lambda: max(a[0], m.mpf(0)),
        "gelu": lambda: a[0] * m.ncdf(a[0]),
        "silu": lambda: a[0] / (1 + m.exp(-a[0])),
        "softplus": lambda: m.log(1 + m.exp(a[0])),
        "erf": lambda: m.erf(a[0]),
        "arctan": lambda: m.atan(a[0]),
        "arcsinh": lambda: m.asinh(a[0]),
        "add": lambda: a[0] + a[1],
        "sub": lambda: a[0] - a[1],
        "mul": lambda: a[0] * a[1],
        "hypot": lambda: m.sqrt(a[0] ** 2 + a[1] ** 2),
        "logaddexp": lambda: m.log(m.exp(a[0]) + m.exp(a[1])),
        "maximum": lambda: max(a),
        "minimum": lambda: min(a),
        "leaky_relu": lambda: a[0] if a[0] > 0 else a[1] * a[0],
        "where": lambda: a[1] if a[0] != 0 else a[2],
        "sum": lambda: m.fsum(a),
        "mean": lambda: m.fsum(a) / len(a),
        "prod": lambda: m.fprod(a),
        "logsumexp": lambda: m.log(m.fsum(m.exp(x) for x in a)),
        "softmax": lambda: m.exp(a[0]) / m.fsum(m.exp(x) for x in a),
        "dot": lambda: m.fdot(a[:half], a[half:]),
    }
    return definitions[name]()


@st.composite
def programs(draw, leaves, numbers, unary, binary, ternary, max_steps):
    """Programs over the given operations; late scalars are chosen more often, so that graphs become deep too."""
    values = draw(st.lists(leaves, min_size=1, max_size=4))
    steps = []
    for _ in range(draw(st.integers(1, max_steps))):
        count = len(values) + len(steps)
        recent = st.integers(max(0, count - 3), count - 1)
        scalar = st.one_of(recent, st.integers(0, count - 1), recent, numbers)
        name = draw(st.sampled_from([*unary, *binary, *ternary, *NARY]))
        if name in NARY:
            size = draw(st.integers(1, 5)) * (2 if name == "dot" else 1)
        else:
            size = 1 if name in unary else 2 if name in binary else 3
        operands = [draw(scalar) for _ in range(size)]
        if not any(isinstance(operand, int) for operand in operands):
            operands[draw(st.integers(0, size - 1))] = draw(recent)
        steps.append((name, tuple(operands)))
    return Program(tuple(values), tuple(steps))


ORDINARY = st.floats(-4, 4)
SPECIAL = st.sampled_from([0.0, -0.0, 1.0, -1.0, 2.0, 0.5, 5e-324, -2.2e-308, 710.0, -746.0, 1e154, 1.8e308, -1e-300])
ANY = st.one_of(ORDINARY, ORDINARY, SPECIAL, st.floats())  # 1.8e308 is infinity

wild = programs(ANY, ANY, UNARY, BINARY, TERNARY, 15)
sane = programs(ORDINARY, ORDINARY, UNARY, BINARY, TERNARY, 15)

# Odd fractions, so that no two different expressions meet at a kink by chance.
FRACTION = st.integers(-2000, 2000).map(lambda n: n / 997 + math.sqrt(2) / 4096)
tame = programs(FRACTION, FRACTION, TAME_UNARY, TAME_BINARY, ["where"], 12)


# ---- without Hypothesis --------------------------------------------------------------------------------------------

KINKS = {  # how far the operands are from a point without a derivative, or where the peers' differs from ours
    "hypot": lambda x, w: max(abs(x), abs(w)),
    "pow": lambda x, w: abs(x),
    **dict.fromkeys(["abs", "sign", "relu", "leaky_relu", "elu"], lambda x, *_: abs(x)),
    **dict.fromkeys(["maximum", "minimum"], lambda x, w: abs(x - w)),
    "clip": lambda x, low, high: min(abs(x - low), abs(x - high), high - low),
}


def smooth_program(rng, rules, max_steps=12):
    """A program over every operation of `rules.RULES`, where all of them are smooth."""
    values = [rng.uniform(-2, 2) for _ in range(rng.randint(1, 4))]
    count = len(values)
    steps = []
    size = rng.randint(1, max_steps)
    while len(steps) < size:
        name = rng.choice(NAMES)
        arity = SIZES.get(name) or rng.randint(1, 4) * (2 if name == "dot" else 1)
        operands = [_operand(rng, len(values)) for _ in range(arity)]
        if all(isinstance(operand, float) for operand in operands):
            operands[rng.randrange(arity)] = len(values) - 1
        xs = [values[i] if isinstance(i, int) else i for i in operands]
        y = smooth_value(rules, name, xs, [isinstance(i, int) for i in operands])
        if y is not None:
            steps.append((name, tuple(operands)))
            values.append(y)
    return Program(tuple(values[:count]), tuple(steps))


def smooth_points(name, rules, count):
    """Operands of one operation at which it is smooth, drawn by its name."""
    rng = random.Random(name)
    arity = SIZES.get(name) or (4 if name == "dot" else 3)
    found = []
    while len(found) < count:
        xs = tuple(rng.uniform(-3, 3) for _ in range(arity))
        if smooth_value(rules, name, xs, [True] * arity) is not None:
            found.append(xs)
    return found


def smooth_value(rules, name, xs, needed):
    """The value of an operation, None where it is not smooth: less than 0.01 away from a kink, or not moderate.

    Operands and results are at most 6, the derivatives by the operands that need one at most 30, so that none is in the
    tails where PyTorch and JAX lose digits to cancellation (docs/corners.md): at 6, 1 - tanh(x)**2 is good to 2e-12.
    """
    if max(map(abs, xs)) > 6.0 or (name in KINKS and KINKS[name](*xs) < 0.01):
        return None
    y, partials = _calculus(rules.RULES[name], name, xs)
    moderate = all(-30.0 <= d <= 30.0 for d, by in zip(partials, needed, strict=True) if by)  # nan is not
    return y if -6.0 <= y <= 6.0 and moderate else None


NAMES = [*UNARY, *BINARY, *TERNARY, *NARY]
SIZES = {**dict.fromkeys(UNARY, 1), **dict.fromkeys(BINARY, 2), **dict.fromkeys(TERNARY, 3)}


def _operand(rng, count):
    """A late scalar more often than an early one, or a number, which is whole half of the time."""
    kind = rng.random()
    if kind < 0.2:
        return rng.uniform(-3, 3) if kind < 0.1 else float(rng.randint(-2, 3))
    return rng.randrange(max(0, count - 3) if kind < 0.6 else 0, count)


def _calculus(rule, name, xs):
    """The value of a rule and its derivative by each operand."""
    if name in NARY:
        xs, partials = array("d", xs), array("d", bytes(8 * len(xs)))
        y = rule.value(memoryview(xs))
        rule.derivatives[0](memoryview(xs), y, memoryview(partials))
        return y, partials
    y = rule.value(*xs)
    return y, [d(*xs, y) for d in rule.derivatives]


def paths(leaves, order):
    """For each leaf the sum over all paths of the products of |local derivatives|: what rounding is relative to."""
    weight = dict.fromkeys(order, 0.0)
    weight[order[-1]] = 1.0
    for v in reversed(order):
        if v._prev:
            for operand, partial in zip(v._prev, v._partials, strict=True):
                if operand.requires_grad and partial is not None:
                    weight[operand] += weight[v] * abs(partial)
    return [weight.get(x, 0.0) for x in leaves]


_EXTREME = [
    0.0, -0.0, 1.0, -1.0, 2.0, 0.5, 5e-324, -2.2e-308, 1e-300, 710.0, -746.0, 1e154, -1e300, math.inf, -math.inf,
    math.nan,
]  # fmt: skip


def wild_number(rng):
    """Any double: an ordinary one more often than not, else an extreme one or one of any magnitude."""
    kind = rng.random()
    if kind < 0.6:
        return rng.uniform(-4, 4)
    return (
        rng.choice(_EXTREME) if kind < 0.8 else rng.choice((1, -1)) * math.ldexp(rng.random(), rng.randint(-1074, 1024))
    )


def wild_program(rng, max_steps=15):
    """What `wild` draws, without Hypothesis."""
    count = rng.randint(1, 4)
    steps = []
    for k in range(count, count + rng.randint(1, max_steps)):
        name = rng.choice(NAMES)
        arity = SIZES.get(name) or rng.randint(1, 4) * (2 if name == "dot" else 1)
        operands = [wild_number(rng) if rng.random() < 0.2 else rng.randrange(max(0, k - 5), k) for _ in range(arity)]
        operands[rng.randrange(arity)] = rng.randrange(k)
        steps.append((name, tuple(operands)))
    return Program(tuple(wild_number(rng) for _ in range(count)), tuple(steps))
