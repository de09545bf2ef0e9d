"""Proof that derivatives are right: `check_grad` holds those of a function against its values.

Whatever it compares with is computed from values alone (`differences`), never from rules. Where the two disagree the
error names the input, both numbers, and the operation whose own derivative explains the disagreement: the function runs
along a line, and each operation of the recorded graph has to change as fast as its local derivatives and the changes of
its operands say. That holds for built-in operations and for those written by hand alike.

Tolerances are honest: each comparison allows for what the difference may be off by, and for the rounding error of the
values, which is carried along through the recorded graph (running error analysis: Wilkinson 1963).
"""

from __future__ import annotations

import math
import random
import statistics
from array import array
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from . import functional, trees
from .differences import EPSILON, FIRST_STEP, Complex, Slope, slopes
from .engine import Value
from .errors import GradientError, OperandError, named, number, shown
from .functions import dot
from .tape import Tape

__all__ = ["Check", "Report", "check_grad"]

ONE_BY_ONE = 32  # inputs that are each compared on their own; of more, so many drawn at random
EACH = 16  # results that are each compared on their own; of more, random combinations
DIRECTIONS = 3  # random ones, for what is compared in all inputs or results at once
IMAGINARY = 1e-40  # the complex step, whose square is lost beside 1

Map = Callable[[list[Any]], list[Any]]  # from a flat list of scalars to another


@dataclass(frozen=True)
class Check:
    """One line of a report.

    Arguments:
        order: of the derivatives.
        name: of the check.
        count: how many numbers were compared.
        worst: the largest error, relative to the largest derivative of its kind; of a Taylor remainder, the factor by
            which it falls as the step halves, None if it is all rounding.
    """

    order: int
    name: str
    count: int
    worst: float | None


@dataclass(frozen=True, repr=False)
class Report:
    """What `check_grad` has compared, all of it in agreement.

    Arguments:
        inputs, outputs: how many numbers the function takes and returns.
        checks: one for each order and method.
    """

    inputs: int
    outputs: int
    checks: tuple[Check, ...]

    def __repr__(self) -> str:
        lines = [f"derivatives of {_counted(self.outputs, 'output')} by {_counted(self.inputs, 'input')} agree:"]
        for check in self.checks:
            if not check.name.startswith("Taylor"):
                found = f"{check.count:5} compared, largest error {check.worst:.1e}"
            elif check.worst is None:
                found = f"{check.count:5} remainders above rounding"
            else:
                found = f"{check.count:5} remainders, falling by {check.worst:.2f} as the step halves"
            lines.append(f"  order {check.order}  {check.name:<22}{found}")
        return "\n".join(lines)


def check_grad(
    f: Callable[..., Any],
    args: tuple[Any, ...],
    order: int = 2,
    *,
    rtol: float = 1e-6,
    atol: float = 0.0,
    seed: int = 0,
) -> Report:
    """Prove the derivatives of `f` at a point, or say which of them is wrong and which operation makes it so.

    For each order up to `order`: reverse and forward mode against central differences by each input, against a complex
    step where `f` can take complex numbers, and against each other (the dot-product test); Taylor remainders, which
    fall by 4 as the step halves, and by 8 with the second derivative. From the second order on also `hvp`, and the
    symmetry of the Hessian. A function with several results is checked in each for the first order, in a random
    combination of them for the higher ones. Of more than 32 inputs 32 are drawn at random to be looked at one by one.

    Arguments:
        f: a function of numbers and trees of numbers, as for `grad`, that returns a scalar or a tree of them.
        args: the point, as a tuple of the arguments. All of them are differentiated by.
        order: up to which derivatives, 1 or more.
        rtol, atol: what derivatives may differ by, besides what is known of the errors of a difference.
        seed: of the random directions; the same seed gives the same directions.

    Returns:
        a Report: what was compared, and the largest errors.

    Raises:
        GradientError: a derivative is wrong; or there is none, because the function has a kink or jumps at the point,
            or gives another value each time.
        OperandError: an argument of this function makes no sense, or `f` returns no number.

    Example:
        >>> from glassgrad import GradientError, Value, testing
        >>> report = testing.check_grad(lambda a, b: a * b**2, (2.0, 3.0))
        >>> report.inputs, report.checks[0].count
        (2, 2)
        >>> def cube(x):  # an operation written by hand, with a slip of the pen
        ...     out = Value(x.data**3, (x,), "cube")
        ...     def backward():
        ...         x.grad += 2 * x.data**2 * out.grad
        ...     out._backward = backward
        ...     return out
        >>> try:
        ...     testing.check_grad(cube, (2.0,), order=1)
        ... except GradientError as error:
        ...     print(error.operation)
        cube(2.0) = 8.0, whose derivative is 8.0 where differences give 12
    """
    if not callable(f):
        raise OperandError(f"check_grad takes a function, not {shown(f)}")
    if not isinstance(args, tuple):
        raise OperandError(f"check_grad takes the arguments as a tuple, not {shown(args)}: write check_grad(f, (x,))")
    if type(order) is not int or order < 1:
        raise OperandError(f"check_grad takes an order of 1 or more, not {shown(order)}")
    if type(seed) is not int:
        raise OperandError(f"check_grad: seed is an integer, not {shown(seed)}")
    for name, tolerance in (("rtol", rtol), ("atol", atol)):
        if not number(tolerance, f"check_grad: {name}") >= 0.0:
            raise OperandError(f"check_grad: {name} is not negative, not {tolerance}")
    proof = _Proof(f, args, rtol, atol, random.Random(seed))
    level = _Level(proof, 1, proof.flat)
    outputs = len(level.here)
    level.compare()
    while level.order < order:
        following = _Level(proof, level.order + 1, functional.grad(level.combined), functional.hvp(level.combined))
        following.compare()  # before the remainders, which cannot say by which input something is wrong
        level.taylor(following)
        level = following
    level.taylor(None)
    return Report(len(proof.point), outputs, tuple(sorted(proof.checks, key=lambda check: check.order)))


class _Proof:
    """One call of `check_grad`: the point, and what has been compared."""

    def __init__(
        self, f: Callable[..., Any], args: tuple[Any, ...], rtol: float, atol: float, rng: random.Random
    ) -> None:
        self.f, self.rtol, self.atol, self.rng = f, rtol, atol, rng
        leaves, self.structure = trees.flatten_all(args)
        trees.scalars(leaves, self.name)
        self.point: list[float] = [x.data if isinstance(x, Value) else x for x in leaves]
        for i, x in enumerate(self.point):
            if not math.isfinite(x):
                raise OperandError(f"check_grad compares at a point of finite numbers, and {self.input(i)}")
        if not self.point:
            raise OperandError("check_grad has nothing to differentiate by: there is no number in args")
        self.sizes = [max(abs(x), 1.0) for x in self.point]
        self.scale = max(self.sizes)
        self.results: trees.Structure = trees.LEAF
        self.checks: list[Check] = []

    def flat(self, scalars: list[Any]) -> list[Any]:
        """The function, from a flat list to a flat list. Numbers become constants: it expects Values."""
        scalars = [Value(x, requires_grad=False) if isinstance(x, float) else x for x in scalars]
        results, self.results = trees.flatten(self.f(*trees.rebuild(self.structure, scalars)))
        if not results:
            made = trees.a(self.results)
            why = "is a return missing?" if made == "None" else "there is nothing to differentiate"
            raise OperandError(f"check_grad: the function returned {made}{';' if made == 'None' else ':'} {why}")
        return results

    def name(self, i: int) -> str:
        """What an input is called, as in `argument 0['w'][2]`."""
        place, _, rest = self.structure.path(i).partition("]")
        return f"argument {place[1:]}{rest}"

    def input(self, i: int) -> str:
        """An input with its number."""
        return f"{self.name(i)} = {self.point[i]!r}"

    def axis(self, i: int) -> list[float]:
        """The direction of one input."""
        return [float(j == i) for j in range(len(self.point))]

    def direction(self) -> list[float]:
        """A random direction through all inputs, along each in proportion to its size; along the largest about 1."""
        return [size / self.scale * w for size, w in zip(self.sizes, self.random(len(self.sizes)), strict=True)]

    def random(self, n: int) -> list[float]:
        """Random numbers, none near zero."""
        return [self.rng.choice((-1.0, 1.0)) * self.rng.uniform(0.5, 1.0) for _ in range(n)]

    def near(self, direction: Sequence[float]) -> float:
        """How far along a direction an input first changes by as much as it is; 0 where all that move are 0."""
        return min([abs(x / d) for x, d in zip(self.point, direction, strict=True) if x and d], default=0.0)

    def moved(self, direction: Sequence[float], t: float) -> list[float]:
        """The point at t along a direction."""
        return [x + t * d for x, d in zip(self.point, direction, strict=True)]


class _Level:
    """The derivatives of one order: the Jacobian of `map`, which is the function, or a gradient of one order less.

    Arguments:
        hvp: where the map is a gradient, the product of the Hessian with a vector.
    """

    def __init__(self, proof: _Proof, order: int, function: Map, hvp: Callable[..., Any] | None = None) -> None:
        self.proof, self.order, self.map, self.hvp = proof, order, function, hvp
        self.here, again = self.values(proof.point), self.values(proof.point)
        if not all(map(math.isfinite, self.here)):
            raise GradientError(f"{self.subject()} is not finite at this point: {self.here[:3]}; choose another one")
        if self.here != again:
            raise GradientError(
                f"{self.subject()} is no function of the arguments alone: it is {self.here[:3]} and then {again[:3]} "
                "at the same point. Does it draw random numbers, or keep a state?"
            )
        m = len(self.here)
        self.weights = [1.0] if m == 1 else proof.random(m)
        self.axes = [[float(k == j) for k in range(m)] for j in range(m)]
        self.rows = self.axes if m <= EACH else [proof.random(m) for _ in range(DIRECTIONS)]
        self.reverse = "grad" if order > 1 or m == 1 else "vjp"
        self.tape, results = self.record(proof.point)
        self.noise = _noise(self.tape, results)

    # -- the map

    def values(self, point: list[float]) -> list[float]:
        """The map's numbers at a point."""
        results = self.map(point)
        trees.scalars(results, lambda j: f"the result of the function{self.proof.results.path(j)}")
        return _numbers(results)

    def combined(self, scalars: list[Any]) -> Any:
        """The scalar whose gradient is looked at next: the one result, or a random combination of all."""
        return dot(self.weights, self.map(scalars))

    def record(self, point: list[float]) -> tuple[Tape, list[Value]]:
        """The graph of the map at a point, and its results."""
        inputs = [Value(x) for x in point]
        results = [y if isinstance(y, Value) else Value(y, requires_grad=False) for y in self.map(inputs)]
        return Tape(results, inputs), results

    def slopes(self, direction: Sequence[float], size: float) -> list[Slope]:
        """How fast each of the map's numbers changes along a direction."""
        return slopes(
            lambda t: self.values(self.proof.moved(direction, t)), size, self.noise, self.proof.near(direction)
        )

    def push(self, direction: Sequence[float]) -> list[float]:
        """The derivative of each of the map's numbers along a direction, as forward mode has it."""
        return _numbers(functional.jvp(self.map, (self.proof.point,), (list(direction),))[1])

    def product(self, direction: Sequence[float]) -> list[float]:
        """The Hessian times a direction, as `hvp` has it."""
        return _numbers(self.hvp(self.proof.point, list(direction)))  # type: ignore[misc]

    # -- what is compared

    def compare(self) -> None:
        """All that is compared within one order."""
        self.inputs_one_by_one()
        self.modes()

    def inputs_one_by_one(self) -> None:
        """Reverse and forward mode by each input against differences and a complex step."""
        proof, n = self.proof, len(self.proof.point)
        chosen = range(n) if n <= ONE_BY_ONE else sorted(proof.rng.sample(range(n), ONE_BY_ONE))
        _, pull = functional.vjp(self.map, proof.point)
        pulled = [_numbers(pull(row)[0]) for row in self.rows]
        reverse = _Comparison(self, self.reverse, "differences")
        forward = _Comparison(self, "hvp" if self.hvp else "jvp", "differences")
        imaginary = _Comparison(self, reverse.mode, "a complex step")
        for i in chosen:
            found = self.slopes(proof.axis(i), proof.sizes[i])
            for j, slope in enumerate(found):
                if slope.sides is not None:
                    raise self.kink(i, j, slope.sides, slope.jump)
            for row, derivatives in zip(self.rows, pulled, strict=True):
                reverse.add(derivatives[i], _combination(row, found), i, row)
            column = self.product(proof.axis(i)) if self.hvp else self.push(proof.axis(i))
            for row, derivative in zip(self.axes, column, strict=True):
                forward.add(derivative, _combination(row, found), i, row)
            found = self.complex_step(i)
            for row, derivatives in zip(self.rows if found else [], pulled, strict=False):
                imaginary.add(derivatives[i], _combination(row, found), i, row)
        proof.checks += [check.line() for check in (reverse, forward, imaginary) if check.count]

    def complex_step(self, i: int) -> list[Slope]:
        """The derivatives by an input from one step along the imaginary axis; none where the map cannot take it."""
        proof = self.proof
        size = proof.sizes[i]
        scalars = [Complex(complex(x, IMAGINARY * size * (i == j))) for j, x in enumerate(proof.point)]
        try:
            results = [y.z if isinstance(y, Complex) else complex(y) for y in self.map(scalars)]
        except Exception:  # noqa: BLE001 - whatever it is, the function was not made for this
            return []
        parts = list(zip(results, self.here, self.noise, strict=False))
        if len(results) != len(self.here) or any(abs(z.real - y) > 1e-9 * abs(y) + e for z, y, e in parts):
            return []  # something in it means something else for complex numbers
        return [Slope(z.imag / (IMAGINARY * size), 8.0 * e / size) for z, _, e in parts]

    def modes(self) -> None:
        """Forward mode against reverse mode, and the symmetry of the Hessian, in random directions."""
        proof = self.proof
        _, pull = functional.vjp(self.map, proof.point)
        products = _Comparison(self, "jvp", "vjp")
        symmetry = _Comparison(self, "hvp", "its transpose")
        for _ in range(DIRECTIONS):
            u, v, w = proof.direction(), proof.direction(), proof.random(len(self.here))
            products.add(*self.products(w, self.push(u), _numbers(pull(w)[0]), u), None, w)
            if self.hvp:
                symmetry.add(*self.products(u, self.product(v), self.product(u), v), None, u)
        proof.checks += [check.line() for check in (products, symmetry) if check.count]

    def rounding(self, i: int, row: Sequence[float]) -> float:
        """What rounding may do to the derivative of a row of results by an input where its terms cancel."""
        return 64.0 * EPSILON * _product(map(abs, row), _paths(self.tape, self.proof.axis(i)))

    def products(
        self, a: Sequence[float], b: Sequence[float], c: Sequence[float], d: Sequence[float]
    ) -> tuple[float, Slope]:
        """a · b and c · d, the derivatives along d weighted with a, the second with what rounding may do to both."""
        terms = [x * y for x, y in [*zip(a, b, strict=True), *zip(c, d, strict=True)]]
        if not math.isfinite(sum(map(abs, terms))):
            raise GradientError(
                f"{self.derivative(None, a)} cannot be checked: it is beyond the largest float; scale the function down"
            )
        paths = math.fsum(abs(x) * y for x, y in zip(a, _paths(self.tape, d), strict=True))
        noise = math.fsum(self.noise) / self.proof.scale
        rounding = 1e-9 * math.fsum(map(abs, terms)) + 8.0 * noise + 64.0 * EPSILON * paths
        return math.fsum(terms[: len(a)]), Slope(math.fsum(terms[len(a) :]), rounding)

    def taylor(self, following: _Level | None) -> None:
        """Remainders after the first and the second derivative, along a random direction."""
        direction = self.proof.direction()
        first = _product(self.weights, self.push(direction))
        second = None
        if following is not None:
            second = _product(following.push(direction), direction)
        for derivatives in [[first]] if second is None else [[first], [first, second]]:
            factor = 2.0 ** (len(derivatives) + 1)
            for tolerance in (1e-12, self.proof.rtol):  # far down the remainder is most regular: there first
                falls = self.remainders(direction, derivatives, tolerance)
                if not falls or max(falls) > 0.8 * factor:
                    break
            else:
                error = self.located(self.weights)
                if error is None and following is not None and len(derivatives) == 2:
                    error = following.located(direction)
                raise error or self.wrong_remainder(falls[0], factor)
            worst = statistics.median_high(falls) if falls else None
            self.proof.checks.append(Check(self.order, f"Taylor, {factor:.0f} expected", len(falls), worst))

    def remainders(self, direction: Sequence[float], derivatives: Sequence[float], tolerance: float) -> list[float]:
        """By which factors the remainder falls as the step halves, the last ones until it is lost in rounding."""
        here = _product(self.weights, self.here)
        floor = 64.0 * _product(map(abs, self.weights), self.noise)
        falls: list[float] = []
        before = 0.0
        t = FIRST_STEP * self.proof.scale
        while t > 1e-306:  # as `differences.slopes`: until it is lost in rounding, which is earlier
            try:
                terms = [d * t**k / math.factorial(k) for k, d in enumerate(derivatives, 1)]
                there = _product(self.weights, self.values(self.proof.moved(direction, t)))
                remainder = abs(there - here - math.fsum(terms))
            except (ArithmeticError, ValueError):
                remainder = math.inf
            if not math.isfinite(remainder):
                falls, before = [], 0.0
            else:
                least = floor + tolerance * math.fsum(map(abs, terms))
                if remainder == 0.0:
                    return []  # exact, as of straight lines
                falls += [before / max(remainder, least)] if before else []
                if remainder <= least:
                    break
                before = remainder
            t /= 2.0
        return falls[-4:] if len(falls) >= 3 else []  # the last of them is a lower bound

    def located(self, row: Sequence[float]) -> Exception | None:
        """The error for the input by which the derivative of a row of results is wrong, found by halving; or None."""
        proof = self.proof
        row = row if len(row) > 1 else [1.0]
        pulled = _numbers(functional.vjp(self.map, proof.point)[1](list(row))[0])
        direction = proof.direction()

        def compared(inputs: Sequence[int], along: Sequence[float]) -> tuple[list[tuple[str, float]], Slope]:
            """What the ways to differentiate give along a direction of some inputs, and differences."""
            part = [0.0] * len(along)
            for i in inputs:
                part[i] = along[i]
            ways = [(self.reverse, _product(pulled, part)), ("jvp", _product(row, self.push(part)))]
            if self.hvp:
                ways.append(("hvp", _product(row, self.product(part))))
            return ways, _combination(row, self.slopes(part, proof.scale))

        def missed(inputs: Sequence[int]) -> float:
            """What the worst of them misses."""
            ways, right = compared(inputs, direction)
            return max(abs(x - right.value) for _, x in ways) - right.error

        inputs: Sequence[int] = range(len(proof.point))
        while len(inputs) > 1:
            half = len(inputs) // 2
            inputs = max((inputs[:half], inputs[half:]), key=missed)
        i = inputs[0]
        ways, right = compared(inputs, proof.axis(i))
        for mode, x in ways:
            if abs(x - right.value) > proof.atol + proof.rtol * max(abs(x), abs(right.value)) + right.error:
                return self.wrong(_Comparison(self, mode, "differences"), x, right, i, row)
        return None

    # -- what is said where something is wrong

    def subject(self) -> str:
        """What the map is."""
        return "the result" if self.order == 1 else f"the {_ordinal(self.order - 1)}gradient"

    def derivative(self, i: int | None, row: Sequence[float]) -> str:
        """The derivative of a row of results by an input, or along a random direction, in words."""
        proof = self.proof
        parts = [f"the {_ordinal(self.order)}derivative"]
        j = list(row).index(1.0) if row in self.axes else None
        results = proof.results
        if results.size > 1:
            exactly = self.order == 1 and j is not None
            parts.append(f"of result{results.path(j or 0)}" if exactly else "of a random combination of the results")
        if i is None:
            return " ".join([*parts, "along a random direction"])
        parts.append(f"by {proof.input(i)}")
        if self.order > 1:
            parts.append("and along a random direction" if j is None else f"and {proof.input(j)}")
        if self.order > 2:
            parts.append("and along a random direction")
        return " ".join(parts)

    def wrong(
        self, check: _Comparison, derivative: float, right: Slope, i: int | None, row: Sequence[float]
    ) -> Exception:
        """The error for a derivative that is not what it is compared with."""
        what, culprit = self.derivative(i, row), self.culprit(row)
        error = GradientError(
            f"{what} is {derivative!r} by {check.mode}, but {check.reference} give {_measured(right)}"
            + (f"\nmost responsible: {culprit}" if culprit else "")
        )
        error.input = "" if i is None else self.proof.name(i)
        error.operation, error.derivative, error.difference, error.uncertainty = (
            culprit,
            derivative,
            right.value,
            right.error,
        )
        return error

    def unsettled(self, derivative: float, right: Slope, i: int | None, row: Sequence[float]) -> Exception:
        """The error for differences that do not come to anything."""
        if math.isfinite(right.error):
            why = (
                f"the differences scatter around {_measured(right)} however short the step; is it noisy, or not smooth?"
            )
        else:
            why = (
                "it is not defined on both sides of the point, however short the step; choose a point inside its domain"
            )
        error = GradientError(f"{self.derivative(i, row)} cannot be checked: {why}")
        error.input = "" if i is None else self.proof.name(i)
        error.derivative, error.difference, error.uncertainty = derivative, right.value, right.error
        return error

    def wrong_remainder(self, found: float, factor: float) -> Exception:
        """The error for a Taylor remainder that falls too slowly."""
        culprit = self.culprit(self.weights)
        return GradientError(
            f"the change of {self.subject()} along a random direction, less what its derivatives say, falls by "
            f"{found:.2f} as the step halves, not by {factor:.0f}: one of them is wrong"
            + (f"\nmost responsible: {culprit}" if culprit else "")
        )

    def kink(
        self, i: int, j: int, sides: tuple[float, float], jump: tuple[float, float, float] | None = None
    ) -> Exception:
        """The error for a point without a derivative: with the slopes on both sides, or the values if they jump."""
        proof = self.proof
        recorded = _Recorded(self)
        found = [
            recorded.operation(k)
            for k, slope in enumerate(recorded.along(proof.axis(i), proof.sizes[i]))
            if (slope.jump if jump else slope.sides)
        ]
        if jump:
            why = (
                f"{self.subject()} jumps there, from {jump[0]:.6g} on the left through {jump[1]:.6g} to {jump[2]:.6g} "
                "on the right, however short the step. What glassgrad gives is the derivative of a piece, without the "
                "jump; it cannot be checked: choose a point away from it"
            )
        else:
            why = (
                f"on the left the slope is {sides[0]:.6g}, on the right {sides[1]:.6g}, however short the step. "
                "Nothing is wrong with what glassgrad gives there (docs/corners.md), but it cannot be checked: choose "
                "a point away from the kink"
            )
        error = GradientError(
            f"{self.derivative(i, self.axes[j])} does not exist: {why}"
            + (f"\nwhere it comes from: {found[0]}" if found else "")
        )
        error.input, error.operation = proof.name(i), found[0] if found else ""
        error.derivative = self.push(proof.axis(i))[j]
        return error

    def culprit(self, row: Sequence[float]) -> str:
        """The operation whose local derivatives explain most of what is wrong with a row of results; '' for none."""
        recorded = _Recorded(self)
        if not recorded.tape.nodes:
            return "nothing leads from the arguments to the result; was .data, detach() or no_grad() used on the way?"
        k = recorded.culprit(row, self.proof.direction())
        return "" if k is None else recorded.explained(k)


class _Comparison:
    """Derivatives of one kind, one after the other, against what they should be."""

    def __init__(self, level: _Level, mode: str, reference: str) -> None:
        self.level, self.mode, self.reference = level, mode, reference
        self.count, self.worst, self.largest = 0, 0.0, 0.0

    def add(self, derivative: float, right: Slope, i: int | None = None, row: Sequence[float] = ()) -> None:
        """One more; an error where the two do not agree."""
        level, proof = self.level, self.level.proof
        row = row or level.weights
        size = max(abs(derivative), abs(right.value))
        x = abs(proof.point[i]) if i is not None else 1.0
        rounding = 1e4 * math.fsum(level.noise) / (min(x, 1.0) or 1.0)  # over a step of a ten thousandth of the input
        if not right.error <= max(1e-3 * size, 1e-9 * right.reach, proof.atol, rounding):
            raise level.unsettled(derivative, right, i, row)
        off = abs(derivative - right.value) - (proof.atol + proof.rtol * size + right.error)
        if not off <= 0.0 and not (i is not None and off <= level.rounding(i, row)):
            raise (level.located(row) if i is None else None) or level.wrong(self, derivative, right, i, row)
        self.count += 1
        if size > right.error:  # else both are 0 as far as can be told
            self.worst = max(self.worst, abs(derivative - right.value))
        self.largest = max(self.largest, abs(right.value))

    def line(self) -> Check:
        """The line of the report."""
        worst = self.worst / (self.largest or 1.0)
        return Check(self.level.order, f"{self.mode}, {self.reference}", self.count, worst)


class _Recorded:
    """The graph of a map at the point, to be held against itself as the inputs move."""

    def __init__(self, level: _Level) -> None:
        self.level = level
        self.tape, self.results = level.record(level.proof.point)
        self.numbers = {id(node): k for k, node in enumerate(self.tape.nodes)}
        self.kinds = [node._rule for node in self.tape.nodes]

    def moved(self, direction: Sequence[float], t: float) -> list[Value]:
        """The nodes as they are at t along a direction."""
        nodes = self.level.record(self.level.proof.moved(direction, t))[0].nodes
        if [node._rule for node in nodes] != self.kinds:
            raise ArithmeticError("the function goes another way there")
        return nodes

    def along(self, direction: Sequence[float], size: float = 0.0) -> list[Slope]:
        """How fast each node changes along a direction; with the size of an axis, or else of `_Proof.direction`."""
        size = size or self.level.proof.scale
        near = self.level.proof.near(direction)
        return slopes(lambda t: [node.data for node in self.moved(direction, t)], size, _rounding(self.tape), near)

    def edges(self, k: int) -> list[tuple[int, float]]:
        """The operands of a node, by number, with its derivative by each."""
        sources, partials = self.listed(k)
        if all(map(math.isfinite, partials)):
            return list(zip(sources, partials, strict=True))
        if len(sources) == 1 and not all(map(math.isfinite, self.listed(sources[0])[1])):
            sources, _ = self.listed(sources[0])  # one of several results of a function: from its operands
        sources = list(dict.fromkeys(sources))
        small = Tape([self.tape.nodes[k]], [self.tape.nodes[source] for source in sources])
        return list(zip(sources, small.pull(array("d", [1.0])), strict=True))

    def listed(self, k: int) -> tuple[list[int], list[float]]:
        """The same as the tape has it, with nan where a function has its own way back, as under custom_gradient."""
        span = slice(self.tape.first[k], self.tape.first[k + 1])
        return list(self.tape.sources[span]), list(self.tape.partials[span])

    def culprit(self, row: Sequence[float], direction: Sequence[float]) -> int | None:
        """The node that explains most: what its derivatives miss, times the derivative of the row by it."""
        adjoints = [0.0] * len(self.kinds)
        for y, w in zip(self.results, row, strict=True):
            if id(y) in self.numbers:
                adjoints[self.numbers[id(y)]] += w
        found = self.along(direction)
        candidates = []
        for k in reversed(range(len(self.kinds))):
            edges = self.edges(k)
            for source, partial in edges:
                adjoints[source] += adjoints[k] * partial
            if edges:
                rate = _combination([partial for _, partial in edges], [found[source] for source, _ in edges])
                miss = abs(found[k].value - rate.value)
                size = max(abs(found[k].value), abs(rate.value))
                if miss > found[k].error + rate.error + self.level.proof.rtol * size:
                    candidates.append((abs(adjoints[k]) * miss, miss, k))
        return max(candidates)[2] if candidates else None

    def explained(self, k: int) -> str:
        """A node and what is wrong with its derivatives."""
        node = self.tape.nodes[k]
        text = self.operation(k)
        if self.hidden(k):
            return (
                f"{text}: {self.hidden(k)} changes with the arguments, but no derivative leads to it; was .data used?"
            )
        ours: dict[int, float] = {}
        for source, partial in self.edges(k):
            ours[source] = ours.get(source, 0.0) + partial
        right = self.partials(k, list(ours))
        if not right:
            return f"{text}, whose derivatives do not explain how it changes"
        worst = max(ours, key=lambda source: abs(ours[source] - right[source]))
        by = f" by {named(self.tape.nodes[worst])}" if len(node._prev) > 1 else ""
        return f"{text}, whose derivative{by} is {ours[worst]!r} where differences give {right[worst]:.10g}"

    def hidden(self, k: int) -> str:
        """An operand that changes with the inputs though it is a constant."""
        node = self.tape.nodes[k]
        direction = self.level.proof.direction()
        for t in (1e-3, 1e-6, 1e-9):
            try:
                there = self.moved(direction, t * self.level.proof.scale)[k]
            except (ArithmeticError, ValueError):
                continue
            for x, y in zip(node._prev, there._prev, strict=True):
                if id(x) not in self.numbers and x.data != y.data:
                    return named(x)
        return ""

    def partials(self, k: int, sources: list[int]) -> dict[int, float]:
        """The derivative of a node by each operand, from how they change along as many directions; {} if unknown."""
        if len(sources) > 4:
            return {}
        rows = []
        for _ in sources:
            found = self.along(self.level.proof.direction())
            rows.append([*(found[source].value for source in sources), found[k].value])
        return dict(zip(sources, _solved(rows), strict=False))

    def operation(self, k: int) -> str:
        """A node as errors show it: `tanh(x = 0.5) = 0.46 in scope layer1`."""
        node = self.tape.nodes[k]
        name = node._op if node._rule == "custom" else node._rule
        operands = [named(x) for x in node._prev]
        if len(operands) > 8:
            operands = [*operands[:7], f"... {len(operands) - 7} more"]
        label = f"{node.label} = " if node.label else ""
        place = f" in scope {node._scope}" if node._scope else ""
        return f"{label}{name or 'an operation written by hand'}({', '.join(operands)}) = {node.data!r}{place}"


def _rounding(tape: Tape) -> list[float]:
    """What rounding may have put on each node of a tape: on its operands, carried along, and its own."""
    errors: list[float] = []
    for k, node in enumerate(tape.nodes):
        error = EPSILON * abs(node.data)
        for e in range(tape.first[k], tape.first[k + 1]):
            partial = tape.partials[e]
            error += abs(partial if math.isfinite(partial) else 1.0) * errors[tape.sources[e]]
        errors.append(error)
    return errors


def _noise(tape: Tape, results: list[Value]) -> list[float]:
    """The same for results, which may be constants."""
    errors = {id(node): error for node, error in zip(tape.nodes, _rounding(tape), strict=True)}
    return [errors.get(id(y), EPSILON * abs(y.data)) for y in results]


def _paths(tape: Tape, direction: Sequence[float]) -> list[float]:
    """For each output the sum over all paths to it of |derivatives| times |direction|: what rounding is relative to."""
    sums = [0.0] * len(tape.nodes)
    for i, step in zip(tape.ins, direction, strict=True):
        if i >= 0:
            sums[i] += abs(step)
    for k in range(len(sums)):
        for e in range(tape.first[k], tape.first[k + 1]):
            size = abs(tape.partials[e]) * sums[tape.sources[e]]
            sums[k] += size if size < math.inf else 0.0  # nan: a function that says itself how derivatives go through
    return [sums[i] if i >= 0 else 0.0 for i in tape.outs]


def _product(a: Iterable[float], b: Iterable[float]) -> float:
    return math.fsum(x * y for x, y in zip(a, b, strict=True))


def _numbers(found: Sequence[Any]) -> list[float]:
    """Numbers for Values, which a function with weights of its own returns."""
    return [y.data if isinstance(y, Value) else y for y in found]


def _combination(weights: Sequence[float], found: Sequence[Slope]) -> Slope:
    """The slope of a combination of numbers."""
    terms = [(w, slope) for w, slope in zip(weights, found, strict=True) if w]  # 0 times an unknown error is 0
    value = math.fsum(w * slope.value for w, slope in terms)
    error = math.fsum(abs(w) * slope.error for w, slope in terms)
    return Slope(value, error, None, math.fsum(abs(w) * slope.reach for w, slope in terms))


def _measured(slope: Slope) -> str:
    return f"{slope.value:.10g} ± {slope.error:.0e}"


def _solved(rows: list[list[float]]) -> list[float]:
    """The solution of linear equations, right sides last in the rows (Gauss); [] if they do not have just one."""
    n = len(rows)
    sizes = [max(abs(row[i]) for row in rows) for i in range(n)]
    for i in range(n):
        _, k = max((abs(rows[k][i]), k) for k in range(i, n))
        rows[i], rows[k] = rows[k], rows[i]
        pivot = rows[i]
        if not abs(pivot[i]) > 1e-6 * sizes[i]:
            return []
        for j in range(n):
            if j != i:
                factor = rows[j][i] / pivot[i]
                rows[j] = [x - factor * y for x, y in zip(rows[j], pivot, strict=True)]
    return [row[n] / row[i] for i, row in enumerate(rows)]


def _ordinal(n: int) -> str:
    return {1: "", 2: "second ", 3: "third "}.get(n, f"{n}th ")


def _counted(n: int, what: str) -> str:
    return f"{n} {what}{'s' * (n != 1)}"
