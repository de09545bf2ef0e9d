"""The native machine computes what the NumPy machine does: random programs with and without examples, and kernels."""

from __future__ import annotations

import dataclasses
import math
import platform
import random
import re
import sys
import types
from array import array

import mpmath
import numpy as np
import pytest
from conftest import BUILDS, in_threads

import glassgrad
from glassgrad import rules
from glassgrad.compiler import evaluate
from glassgrad.compiler.plan import KINDS, Plan
from glassgrad.compiler.program import Block, Contract, Gather, Instruction, Map, Program, Spread, View, check

pytestmark = pytest.mark.skipif(BUILDS == ["interpreted"], reason="there is no native machine without a compiler")

FLUSHES = platform.machine() in ("x86_64", "AMD64")  # of floats, what has no normal number is 0

SMOOTH = ["neg", "abs", "square", "exp", "relu", "tanh", "sin", "identity", "add", "sub", "mul", "maximum", "minimum"]
ROUGH = ["sqrt", "log", "sign", "relu'0", "div", "pow", "tanh'0", "where", "clip'1"]  # they may magnify a rounding
TWO = ["add", "sub", "mul", "maximum", "minimum", "relu'0", "div", "pow", "tanh'0"]
OPERANDS = dict.fromkeys(TWO, 2) | {"where": 3, "clip'1": 4}


@pytest.fixture(scope="module")
def native():
    from glassgrad.compiler import native

    return native


class Draw:
    """A random program, instruction by instruction."""

    def __init__(self, seed: object, rolled: bool) -> None:
        self.rng = random.Random(f"native {seed}")
        self.sizes = {False: 0, True: 0}
        self.blocks: list[Block] = []
        self.instructions: list[Instruction] = []
        for name, size, constants, on in [
            ("params", 40, None, False),
            ("c", 3, (1.0, 0.0, -0.5), False),
            ("x", 24, None, True),
            ("k", 2, (1.0, 0.25), True),
        ]:
            if rolled or not on:
                self.blocks.append(Block(name, self.sizes[on], size, (size,), constants, on))
                self.sizes[on] += size
        self.rolled = rolled

    def operand(self, shape: tuple[int, ...], rolled: bool, sources: int | None = None) -> View | Gather:
        """Places written before: windows of all kinds, gathers, windows with a column of constants."""
        rng, size = self.rng, self.sizes[rolled]
        if rng.random() < 0.6:
            for _ in range(20):
                order = sorted(range(len(shape)), key=lambda _: rng.random())
                strides, step = [0] * len(shape), rng.choice([1, 1, 1, 2, 3])
                for axis in order:
                    if rng.random() < 0.85:
                        strides[axis] = step * rng.choice([1, 1, 1, -1])
                        step *= shape[axis]
                low = sum(min(0, (n - 1) * s) for n, s in zip(shape, strides, strict=True))
                high = sum(max(0, (n - 1) * s) for n, s in zip(shape, strides, strict=True))
                if high - low < size:
                    return View(rng.randint(-low, size - 1 - high), shape, tuple(strides), rolled)
        places = np.array([rng.randrange(size) for _ in range(math.prod(shape))], dtype=np.int64).reshape(shape)
        if rng.random() < 0.5 and not rolled:
            places[..., -1] = 40 + rng.randrange(2)
        if rng.random() < 0.5 and shape[-1] > 3:
            start = rng.randrange(size - shape[-1]) if size > shape[-1] else 0
            places[..., : min(shape[-1], size)] = np.arange(start, start + min(shape[-1], size))
        return Gather(places, rolled)

    def add(self) -> None:
        rng = self.rng
        u, v = (self.rolled and rng.random() < 0.6 for _ in range(2))
        if rng.random() < 0.7:
            b, r, s, n = (rng.choice([1, 1, 2, 3, rng.randint(1, 20)]) for _ in range(4))
            if rng.random() < 0.2:
                b, r, s, n = 1, rng.randint(1, 70), rng.randint(1, 70), rng.randint(1, 70)
            kind = rng.random()
            signs = tuple(rng.choice([1, -1]) if kind < 0.2 else 1 if kind < 0.8 else -1 for _ in range(n))
            left, right = self.operand((b, r, n), u), self.operand((b, s, n), v)
            if rng.random() < 0.2:
                s, right, v = 1, View(40, (b, 1, n), (0, 0, 0)), False
            total = (u or v) and rng.random() < 0.4
            adjoint = rng.random() < 0.5
            on = (u or v) and not total
            made: Instruction = Contract(self.sizes[on], left, right, signs, adjoint, total)
        elif self.rolled and rng.random() < 0.2:
            made = Spread(self.sizes[True], self.operand((rng.randint(1, 40),), False))
        else:
            name = rng.choice(SMOOTH if self.instructions else SMOOTH + ROUGH)
            shape = (rng.choice([1, 5, rng.randint(1, 90)]),)
            kinds = [u, v, u, v][: OPERANDS.get(name, 1)]
            on = any(kinds)
            operands = [self.operand(shape, kind) for kind in kinds]
            made = Map(self.sizes[on], name, tuple(operands))
        self.instructions.append(made)
        self.sizes[made.rolled] += math.prod(made.shape)

    def program(self, count: int) -> Program:
        for _ in range(count):
            self.add()
        every = [View(0, (self.sizes[on],), (1,), on) for on in (False, True)]
        some = [self.operand((self.rng.randint(1, 30),), on) if self.sizes[on] else every[on] for on in (False, True)]
        program = Program(
            tuple(self.blocks), tuple(self.instructions), every[False], some[False], self.sizes[False], 0,
            ("",) * count, every[True], some[True], self.sizes[True],
        )  # fmt: skip
        check(program)
        return program


def numbers(program, examples, seed=0):
    rng = np.random.default_rng(seed)
    shapes = [(examples, b.size) if b.rolled else (b.size,) for b in program.blocks if b.constants is None]
    return [rng.uniform(-1.0, 1.0, shape) for shape in shapes]


def compare(native, program, dtype, examples=1):
    """Both machines on one program: equal to the rounding of its largest number, infinities and nan included."""
    given = numbers(program, examples)
    slow = evaluate.Machine(program, dtype).run(given, examples)
    fast = native.Machine(program, dtype).run(given, examples)
    assert slow.finite == fast.finite
    largest = max([1.0, *[np.abs(x[np.isfinite(x)]).max(initial=0.0) for x in slow[:4]]])
    for got, want in zip(fast[:4], slow[:4], strict=True):
        assert got.shape == want.shape
        assert got.dtype == want.dtype
        np.testing.assert_allclose(got, want, rtol=0.0, atol=largest * (1e-12 if dtype == "float64" else 1e-4))


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("rolled", [False, True])
@pytest.mark.parametrize("widest", [16, 32, 64])
def test_random_programs(native, monkeypatch, dtype, rolled, widest):
    monkeypatch.setattr(native, "widest", widest)  # the kernels of older processors
    for seed in range(70):
        draw = Draw(f"{seed} {rolled} {widest}", rolled)
        program = draw.program(draw.rng.choice([1, 2, 4]))
        for examples in draw.rng.sample([1, 2, 7, 16, 33], 2) if rolled else [1]:
            compare(native, program, dtype, examples)


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("rolled", [False, True])
def test_random_programs_with_infinities_and_zeros_run_again_carefully(native, dtype, rolled):
    rng = np.random.default_rng(1)
    changed = 0
    for seed in range(80):
        draw = Draw(f"careful {seed} {rolled}", rolled)
        program = draw.program(1)
        examples = draw.rng.choice([1, 5, 16]) if rolled else 1
        given = numbers(program, examples)
        for x in given:
            x[rng.random(x.shape) < 0.3] = 0.0
            x[rng.random(x.shape) < 0.1] = math.inf
        # The numbers given are among the results: without them, or every run would be careful.
        start = program.instructions[0].offset
        some = {True: View(0, (0,), (1,), True), False: View(0, (0,), (1,))}
        on = program.instructions[0].rolled
        some[on] = View(start, (math.prod(program.instructions[0].shape),), (1,), on)
        program = dataclasses.replace(
            program, outputs=some[False], gradients=View(0, (0,), (1,)), rolled_outputs=some[True],
            rolled_gradients=View(0, (0,), (1,), True),
        )  # fmt: skip
        slow, fast = (module.Machine(program, dtype).run(given, examples) for module in (evaluate, native))
        assert slow.finite == fast.finite
        first = native.Machine(program, dtype).once(given, examples)
        changed += not all(np.array_equal(x, y, equal_nan=True) for x, y in zip(first[:4], fast[:4], strict=True))
        for got, want in zip(fast[:4], slow[:4], strict=True):
            np.testing.assert_allclose(got, want, rtol=1e-4, atol=1e-4)
    assert changed > 5, "it made hardly any difference that programs ran again"


def test_one_machine_takes_any_number_of_examples_and_again_one_of_before(native):
    program = Draw("examples", True).program(6)
    machine, slow = native.Machine(program), evaluate.Machine(program)
    for examples in [1, 3, 8, 40, 2, 5, 1, 3]:
        given = numbers(program, examples, examples)
        for got, want in zip(machine.run(given, examples)[:4], slow.run(given, examples)[:4], strict=True):
            np.testing.assert_allclose(got, want, rtol=1e-9)


@pytest.mark.parametrize(
    "kind", [list, tuple, np.array, np.float32, lambda x: array("d", x), lambda x: np.repeat(x, 2)[::2]]
)
def test_numbers_may_be_given_as_anything_that_numpy_takes(native, kind):
    program = one_map("square", 30, 1)
    numbers = [float(i) for i in range(30)]
    for dtype in ("float64", "float32"):
        assert native.Machine(program, dtype).run([kind(numbers)]).outputs.tolist() == [x * x for x in numbers]


@pytest.mark.parametrize("threads", [2, 3, 7])
@pytest.mark.parametrize("rolled", [False, True])
def test_threads_change_no_number(native, monkeypatch, threads, rolled):
    from glassgrad.compiler import shares

    monkeypatch.setattr(shares, "SHORT", -1)  # whatever can be divided is
    divided, kinds = 0, set()
    for seed in range(40):
        program = Draw(f"threads {seed}", rolled).program(15)
        dtype, examples = ("float64", "float32")[seed % 2], (1, 5, 40, 64)[seed % 4] if rolled else 1
        given = numbers(program, examples, seed)
        for careful in (False, True):
            one, some = (native.Machine(program, dtype, n).once(given, examples, careful) for n in (1, threads))
            for got, want in zip(some, one, strict=True):
                assert np.array_equal(got, want, equal_nan=True)
        machine = native.Machine(program, dtype)
        plan = Plan(program, examples, machine.lanes, machine.dtype, lambda name: 0)
        found = shares.Shares(plan.steps[:-4], plan.table, plan.lanes, plan.tile, 2 * threads)
        divided += found.divided
        kinds |= {KINDS[found.steps[first, 0]] for first, _, parts in found.rounds.tolist() if parts}
    assert divided > 100
    assert kinds >= (
        {"rolled", "product", "map", "rule", "spread", "examples"} if rolled else {"product", "map", "rule"}
    )


def test_many_callers_each_with_threads(native, monkeypatch):
    from glassgrad.compiler import shares

    monkeypatch.setattr(shares, "SHORT", -1)
    program = Draw("callers", True).program(15)
    machine, given = native.Machine(program, "float64", 4), numbers(program, 40)
    want = native.Machine(program).run(given, 40)

    def work(_):
        return all(np.array_equal(machine.run(given, 40)[0], want[0], equal_nan=True) for _ in range(200))

    assert all(in_threads(4, work))


@pytest.mark.parametrize("shape", [(1, 40, 50, 70), (1, 7, 33, 64), (1, 64, 100, 17), (5, 9, 20, 20), (1, 3, 3, 900)])
@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_threads_share_products_whose_rows_end_within_a_vector(native, monkeypatch, shape, dtype):
    from glassgrad.compiler import shares

    monkeypatch.setattr(shares, "SHORT", -1)
    b, r, s, n = shape
    first, second = b * r * n, b * s * n
    left = View(0, (b, r, n), (r * n, n, 1))
    for right in (View(first, (b, s, n), (s * n, n, 1)), View(first, (b, s, n), (s * n, 1, s))):  # packed, and not
        blocks = (Block("u", 0, first, (b, r, n), None), Block("v", first, second, (b, s, n), None))
        out, none = View(first + second, (b * r * s,), (1,)), View(0, (0,), (1,))
        step = Contract(first + second, left, right, (1,) * n, False)
        program = Program(
            blocks, (step,), out, none, first + second + b * r * s, 0, ("",), View(0, (0,), (1,), True),
            View(0, (0,), (1,), True), 0,
        )  # fmt: skip
        check(program)
        given = numbers(program, 1)
        one, three = (native.Machine(program, dtype, n).run(given).outputs for n in (1, 3))
        assert np.array_equal(one, three)
        u, v = np.reshape(given[0], (b, r, n)), np.reshape(given[1], (b, s, n) if right.strides[1] == n else (b, n, s))
        want = np.matmul(u, np.swapaxes(v, 1, 2) if right.strides[1] == n else v)
        np.testing.assert_allclose(three.reshape(b, r, s), want, atol=1e-11 if dtype == "float64" else 1e-3)


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("rolled", [False, True])
def test_one_result_and_its_gradients_come_as_doubles(native, dtype, rolled):
    """What a loss takes, its numbers in any arrays: the same numbers that `run` gives."""
    for seed in range(12):
        program = Draw(f"single {seed}", rolled).program(12)
        one = program.instructions[-1].offset if not program.instructions[-1].rolled else 0
        none = View(0, (0,), (1,), True)
        program = dataclasses.replace(
            program, outputs=View(one, (1,), (1,)), rolled_outputs=none, rolled_gradients=none
        )
        examples = 5 if rolled else 1
        given = numbers(program, examples, seed)
        flat = np.concatenate([x.ravel() for x in given])
        cut = seed * len(flat) // 12
        arrays = tuple(array("d", x) for x in (flat[:cut], flat[cut:cut], flat[cut:]))
        if any(
            cut < end and cut > end - x.size for x, end in zip(given, np.cumsum([x.size for x in given]), strict=True)
        ):
            arrays = (array("d", flat),)  # a block is in one of them
        for machine in (evaluate.Machine(program, dtype), native.Machine(program, dtype)):
            want = machine.run(given, examples)
            y, slopes, finite = machine.single(arrays, examples, True)
            assert np.array_equal([y], want.outputs.astype(float), equal_nan=True)
            assert np.array_equal(slopes, want.gradients.astype(float), equal_nan=True)
            assert finite == want.finite


def test_too_few_or_too_many_numbers_are_an_error(native):
    machine = native.Machine(one_map("square", 30, 1))
    with pytest.raises(ValueError, match=re.escape("x0 takes 30 numbers for each example, not 29 in all")):
        machine.run([[1.0] * 29])
    with pytest.raises(ValueError, match=re.escape("the program takes 1 blocks of numbers, not 2")):
        machine.run([[1.0] * 30, [1.0]])
    with pytest.raises(TypeError):
        machine.run([["one"] * 30])
    with pytest.raises(ValueError, match="x0 takes 30 numbers, and there are 29"):
        machine.single((array("d", [1.0] * 29), array("d")), 1, True)


@pytest.mark.parametrize("kind", ["other", "older", "broken"])
def test_kernels_that_would_read_a_plan_wrongly_are_left_alone(native, monkeypatch, kind):
    """As after a pull in an editable checkout, without compiling again."""
    if kind == "other":
        monkeypatch.setattr(native, "LAYOUT", (0, *native.LAYOUT[1:]))
    elif kind == "older":  # than the check itself
        monkeypatch.delattr(native, "LAYOUT")
    else:  # an import fails, as that of what its sources have no longer does
        monkeypatch.setitem(sys.modules, native.__name__, types.ModuleType(native.__name__))
    w = glassgrad.Value(3.0)
    f = glassgrad.compile(lambda x: w * x)
    with pytest.warns(RuntimeWarning, match=r"compiled kernels .* `make setup`") as found:
        assert f(2.0).data == 6.0
    assert found[0].filename == __file__
    assert type(f._last().machine) is evaluate.Machine


def test_the_compiled_build_runs_the_native_machine_and_the_interpreted_one_numpys(gg):
    f = gg.compile(lambda x: x * x)
    assert f(3.0).data == 9.0
    assert type(f._last().machine).__module__.endswith("native" if gg.COMPILED else "evaluate")


@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_exp_is_right_to_two_units_in_the_last_place(native, dtype):
    rng = np.random.default_rng(5)
    kind = np.dtype(dtype).type
    ends = (-746.0, 710.0) if dtype == "float64" else (-104.0, 89.0)
    xs = np.concatenate([rng.uniform(*ends, 3000), rng.uniform(-1.0, 1.0, 3000), rng.normal(0.0, 1e-8, 50)]).astype(
        dtype
    )
    got = native.Machine(one_map("exp", len(xs), 1), dtype).once([xs]).outputs
    with mpmath.workprec(80), np.errstate(over="ignore"):
        want = [mpmath.exp(mpmath.mpf(float(x))) for x in xs]
        top, least = (mpmath.mpf(float(x)) for x in (np.finfo(dtype).max, np.finfo(dtype).tiny))
        for x, y, exact in zip(xs, got, want, strict=True):
            if exact > top:
                assert y == np.inf or exact < top * (1 + mpmath.mpf(2) ** -24)
            elif y == 0 and dtype == "float32" and FLUSHES:
                assert exact < least * (1 + mpmath.mpf(2) ** -22)
            else:
                assert abs(mpmath.mpf(float(y)) - exact) <= 2 * mpmath.mpf(float(np.spacing(kind(float(exact))))), x
    corners = np.array([0.0, -0.0, math.inf, -math.inf, math.nan, 1e30, -1e30] * 3).astype(dtype)
    got = native.Machine(one_map("exp", len(corners), 1), dtype).once([corners]).outputs
    np.testing.assert_array_equal(got, np.array([1.0, 1.0, math.inf, 0.0, math.nan, math.inf, 0.0] * 3, dtype=dtype))


def test_threads_run_one_function_at_once(native):
    program = Draw("threads", False).program(8)
    machine, slow = native.Machine(program), evaluate.Machine(program)

    def work(i):
        given = numbers(program, 1, i)
        return all(np.array_equal(machine.run(given).outputs, machine.run(given).outputs) for _ in range(200)), given

    for (same, given), found in [(pair, machine.run(pair[1])) for pair in in_threads(4, work)]:
        assert same
        np.testing.assert_allclose(found.outputs, slow.run(given).outputs, rtol=1e-9)


@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_in_an_adjoint_zero_times_anything_is_zero_where_something_is_not_finite(native, dtype):
    blocks = (Block("x", 0, 40, (40,)), Block("c", 40, 1, (1,), (1.0,)))
    instructions = (
        Map(41, "log", (View(0, (40,), (1,)),)),
        Contract(81, View(0, (40, 1, 1), (1, 0, 0)), View(41, (40, 1, 1), (1, 0, 0)), (1,), True),
        Contract(121, View(0, (40, 1, 1), (1, 0, 0)), View(41, (40, 1, 1), (1, 0, 0)), (1,), False),
    )
    for end in (121, 161):  # with the second product an output is nan, which stays
        program = Program(
            blocks, instructions[: 2 + (end > 121)], View(81, (end - 81,), (1,)), View(0, (0,), (1,)), end, 0,
            ("",) * (2 + (end > 121)),
        )  # fmt: skip
        check(program)
        given = [[0.0, 1.0, 2.0, 3.0] * 10]
        got, want = (module.Machine(program, dtype).run(given) for module in (native, evaluate))
        assert got.finite == want.finite == (end == 121)
        np.testing.assert_allclose(got.outputs, want.outputs, rtol=1e-6)


def one_map(name, count, operands, rolled=False):
    """A program of one operation on `count` numbers."""
    blocks = tuple([Block(f"x{i}", i * count, count, (count,), None, rolled) for i in range(operands)])
    views = tuple([View(i * count, (count,), (1,), rolled) for i in range(operands)])
    out, nothing = View(operands * count, (count,), (1,), rolled), View(0, (0,), (1,), rolled)
    sizes = [(operands + 1) * count, 0]
    pairs = [(out, nothing), (View(0, (0,), (1,), not rolled),) * 2]
    (y, dy), (z, dz) = pairs[::-1] if rolled else pairs
    size, rolled_size = sizes[::-1] if rolled else sizes
    program = Program(blocks, (Map(operands * count, name, views),), y, dy, size, count, ("",), z, dz, rolled_size)
    check(program)
    return program


CORNERS = [
    0.0,
    -0.0,
    1.0,
    -1.0,
    0.5,
    2.0,
    -3.0,
    30.5,
    710.0,
    -745.5,
    1e-300,
    5e-324,
    1e300,
    math.inf,
    -math.inf,
    math.nan,
]


@pytest.mark.parametrize("count", [4, 64], ids=["tape", "vectors"])
@pytest.mark.parametrize("op", rules.RULES)
def test_every_operation_and_its_derivatives_are_the_rules(native, op, count):
    operands = 4 if op in evaluate.MANY else len(rules.RULES[op].derivatives)
    rng = random.Random(op)
    for place in ["", *range(operands)]:
        name = f"{op}'{place}" if place != "" else op
        rule = evaluate.scalar_rule(name)
        wide = operands + (place != "")
        rows = [
            [rng.choice(CORNERS) if rng.random() < 0.5 else rng.gauss(0.0, 2.0) for _ in range(count)]
            for _ in range(wide)
        ]
        want = [rule(*xs) for xs in zip(*rows, strict=True)]
        got = native.Machine(one_map(name, count, wide)).once(rows).outputs
        np.testing.assert_allclose(got, want, rtol=1e-15 if name in ("exp", "logsumexp") else 0.0)


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("rolled", [False, True])
@pytest.mark.parametrize("widest", [16, 32, 64])
def test_logsumexp_is_the_rule(native, monkeypatch, dtype, rolled, widest):
    monkeypatch.setattr(native, "widest", widest)
    rng = random.Random(f"{rolled} {widest}")
    rule = evaluate.scalar_rule("logsumexp")
    for count, operands, examples in [(1, 1, 5), (3, 2, 1), (1, 27, 7), (21, 5, 33), (40, 16, 2)]:
        made = one_map("logsumexp", count, operands, rolled)
        size = examples if rolled else 1
        given = [[[rng.gauss(0.0, 20.0) for _ in range(count)] for _ in range(size)] for _ in range(operands)]
        for e in range(size):
            for k in range(count):
                kind = rng.randrange(8)  # of some all are -inf, of some all but the first, some have ties or corners
                for x in given[kind == 1 :] if kind < 2 else ():
                    x[e][k] = -math.inf
                for x in given if kind == 2 else ():
                    x[e][k] = rng.choice([0.0, 0.0, -math.inf, -1e-3, -40.0])
                if kind == 3:
                    given[rng.randrange(operands)][e][k] = rng.choice(CORNERS)
        with np.errstate(over="ignore"):
            rows = np.array(given).astype(dtype)
        found = native.Machine(made, dtype).once(list(rows if rolled else rows[:, 0]), size)
        want = [rule(*xs) for xs in rows.reshape(operands, -1).T.astype(float).tolist()]
        got = (found.rolled_outputs if rolled else found.outputs).ravel()
        np.testing.assert_allclose(got, np.array(want).astype(dtype), rtol=1e-15 if dtype == "float64" else 3e-7)


@pytest.mark.skipif(not FLUSHES, reason="other processors are as quick with them")
@pytest.mark.parametrize("threads", [1, 3])
@pytest.mark.parametrize("rows", [1, 40])
def test_floats_without_a_normal_number_count_as_0_and_doubles_stay(native, rows, threads):
    pairs = [[1e-20, 2e-20], [1e-20, 1e-15]] * rows
    product = lambda x: x[0] * x[1]  # noqa: E731
    for dtype, tiny in (("float32", 0.0), ("float64", 2e-40)):
        f = glassgrad.compile(lambda X: glassgrad.vmap(product)(X), dtype=dtype, threads=threads)
        small, large = (y.data for y in f(pairs)[:2])
        assert math.isclose(small, tiny, rel_tol=1e-12)
        assert math.isclose(large, 1e-35, rel_tol=1e-6)
    assert math.ulp(0.0) * 1.0 > 0.0  # and Python's own numbers stay


def test_programs_are_planned_once_for_each_of_many_sizes(native, monkeypatch):
    planned, plan = [], native.Plan
    f = glassgrad.compile(lambda xs: glassgrad.sum(glassgrad.vmap(lambda x: x * x)(xs)))
    f([1.0, 2.0])
    monkeypatch.setattr(native, "Plan", lambda of, n, *rest: planned.append(n) or plan(of, n, *rest))
    for _ in range(3):
        for n in range(1, 13):
            assert f([2.0] * n).data == 4.0 * n
    assert sorted(planned) == list(range(3, 13))
