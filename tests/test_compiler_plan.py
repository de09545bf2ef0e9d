"""What plan does with a program before the native machine runs it: memory used again, operations done together."""

from __future__ import annotations

import dataclasses
import math

import numpy as np
import pytest
from conftest import BUILDS
from test_compiler_native import Draw, compare, numbers

from glassgrad.compiler import evaluate, shares
from glassgrad.compiler.finish import Finished, Step, finished
from glassgrad.compiler.plan import FIELDS, KINDS, Plan
from glassgrad.compiler.program import (
    NOTHING,
    NOTHING_ROLLED,
    Block,
    Contract,
    Gather,
    Instruction,
    Map,
    Program,
    Spread,
    View,
    check,
)
from glassgrad.compiler.reuse import rows_of
from glassgrad.compiler.softmax import Softmax

pytestmark = pytest.mark.skipif(BUILDS == ["interpreted"], reason="there is no native machine without a compiler")


@pytest.fixture(scope="module")
def native():
    from glassgrad.compiler import native

    return native


def of_the_last(program: Program) -> Program:
    """The program, returning only what its last two instructions make."""
    some = {True: [0], False: [0]}
    for step in program.instructions[-2:]:
        some[step.rolled] += range(step.offset, step.offset + math.prod(step.shape))
    outputs, rolled = Gather(np.array(some[False])), Gather(np.array(some[True]), rolled=True)
    return dataclasses.replace(
        program, outputs=outputs, gradients=NOTHING, rolled_outputs=rolled, rolled_gradients=NOTHING_ROLLED
    )


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("widest", [16, 32, 64])
def test_random_programs_of_which_only_the_end_is_returned(native, monkeypatch, dtype, widest):
    monkeypatch.setattr(native, "widest", widest)
    for seed in range(60):
        draw = Draw(f"end {seed} {widest}", True)
        program = of_the_last(draw.program(draw.rng.choice([4, 8, 12])))
        compare(native, program, dtype, draw.rng.choice([1, 2, 7, 16, 33]))


@pytest.mark.parametrize("threads", [2, 5])
def test_threads_share_what_is_done_together(native, monkeypatch, threads):
    monkeypatch.setattr(shares, "SHORT", -1)
    programs = [of_the_last(Draw(f"shared {seed}", True).program(10)) for seed in range(30)]
    programs += [a_layer(rolled, list(range(40))) for rolled in (False, True)] + [a_triangle(k) for k in (4, 10, 17)]
    programs += [over_examples(1, 23, 9, 8), a_few_terms(), a_chain()]
    kinds = set()
    for program in programs:
        examples = 40 if program.rolled_size else 1
        given = numbers(program, examples)
        one, some = (native.Machine(program, "float64", n).once(given, examples) for n in (1, threads))
        for got, want in zip(some, one, strict=True):
            np.testing.assert_array_equal(got, want)
        plan = plan_of(program, examples)
        found = shares.Shares(plan.steps[:-4], plan.table, plan.lanes, plan.tile, 2 * threads)
        divided = [found.steps[first] for first, _, parts in found.rounds.tolist() if parts]
        kinds |= {(KINDS[x[0]], bool(x[FIELDS.index("y")])) for x in divided}
    assert kinds >= {("product", True), ("rolled", True), ("rolled", False), ("inner", True)}


def test_rows_are_used_again_once_nothing_reads_them():
    saved = 0
    for seed in range(60):
        program = of_the_last(Draw(f"rows {seed}", True).program(12))
        steps = finished(program)
        rows, count, read = rows_of(program, steps)
        saved += count < program.rolled_size
        holds = np.full(count, -1)  # the place whose numbers a row has
        for block in program.blocks:
            if block.rolled:
                places = np.arange(block.offset, block.offset + block.size)
                holds[rows[places]] = places
        constants = [x for x in program.blocks if x.rolled and x.constants is not None]
        for step in steps.values():
            for operand in step.operands:
                if operand.rolled:
                    places = operand.indices()
                    assert (holds[rows[places]] == places).all()
                    assert read[places].all()
                    if isinstance(operand, View) and places.size:
                        np.testing.assert_array_equal(rows[places] - rows[operand.offset], places - operand.offset)
            if step.rolled:
                places = np.arange(step.offset, step.offset + math.prod(step.shape))
                operands = [x.indices().ravel() for x in step.operands if x.rolled]
                assert not np.isin(rows[places], rows[np.concatenate(operands)] if operands else []).any()
                holds[rows[places]] = places
        for operand in (program.rolled_outputs, *[View(x.offset, (x.size,), (1,), rolled=True) for x in constants]):
            places = operand.indices()
            assert (holds[rows[places]] == places).all()
    assert saved > 20, "programs of twelve instructions hardly ever use a row again"


class Made:
    """A program made by hand, with two matrices [8, 6], five columns [5, 6] and the constant 1."""

    def __init__(self, rolled: bool) -> None:
        self.rolled = rolled
        self.blocks = [Block("w", 0, 96, (96,)), Block("one", 96, 1, (1,), (1.0,))]
        self.blocks.append(Block("x", 0 if rolled else 97, 30, (5, 6), None, rolled))
        self.sizes = {rolled: 127, not rolled: 97} if not rolled else {False: 97, True: 30}
        self.start = self.blocks[-1].offset
        self.instructions: list[Instruction] = []

    def add(self, made: Instruction) -> int:
        """Append an instruction; where its results are."""
        self.instructions.append(made)
        start = self.sizes[made.rolled]
        self.sizes[made.rolled] += math.prod(made.shape)
        return start

    def product(self, which: int) -> int:
        """One of the matrices times the columns: [8, 5]."""
        u = View(48 * which, (1, 8, 6), (48, 6, 1))
        v = View(self.start, (1, 5, 6), (30, 6, 1), self.rolled)
        return self.add(Contract(self.sizes[self.rolled], u, v, (1,) * 6, adjoint=False))

    def some(self, start: int, order: range | list[int] = range(40)) -> Gather:
        """Forty numbers, in some order."""
        return Gather(start + np.array(order), self.rolled)

    def map(self, name: str, *operands: Gather) -> int:
        return self.add(Map(self.sizes[self.rolled], name, operands))

    def sum(self, left: list[Gather], right: list[Gather] | None = None, signs: tuple[int, ...] = (1, 1)) -> int:
        """Sums of products, of which 1 is a factor if no other is given."""
        u = Gather(np.stack([x.places for x in left], axis=1)[:, None], self.rolled)
        v = View(96, (40, 1, len(left)), (0, 0, 0)) if right is None else u
        if right is not None:
            v = Gather(np.stack([x.places for x in right], axis=1)[:, None], self.rolled)
        return self.add(Contract(self.sizes[self.rolled], u, v, signs[: len(left)], adjoint=True))

    def program(self, *results: int) -> Program:
        """The program that returns these results."""
        places = np.concatenate([start + np.arange(40) for start in results])
        none = {False: NOTHING, True: NOTHING_ROLLED}
        some = none | {self.rolled: Gather(places, self.rolled)}
        made = Program(
            tuple(self.blocks), tuple(self.instructions), some[False], none[False], self.sizes[False], 0,
            ("",) * len(self.instructions), some[True], none[True], self.sizes.get(True, 0) if self.rolled else 0,
        )  # fmt: skip
        check(made)
        return made


def a_layer(rolled: bool, order: list[int]) -> Program:
    """A rectifier of a product, its slope times another product in some order, and a sum of that with a third one."""
    made = Made(rolled)
    before = made.product(0)
    after = made.map("relu", made.some(before))
    slope = made.map("relu'0", made.some(before), made.some(after))
    back = made.sum([made.some(slope, order)], [made.some(made.product(1), order)])
    total = made.sum([made.some(back), made.some(made.product(0), range(40) if rolled else order)])
    return made.program(after, back, total)


def operations(step: Step) -> list[str]:
    """What is done with the results of a step's sums."""
    assert isinstance(step, Finished)
    return [x.name for x in step.operations]


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("rolled", [False, True])
@pytest.mark.parametrize("widest", [16, 32, 64])
def test_what_reads_a_product_alone_is_done_with_it(native, monkeypatch, dtype, rolled, widest):
    monkeypatch.setattr(native, "widest", widest)
    orders = [list(range(40))] if rolled else [list(range(40)), list(range(39, -1, -1)), [*range(20, 40), *range(20)]]
    for order in orders:
        program = a_layer(rolled, order)
        steps = finished(program)
        assert list(map(operations, steps.values())) == [["relu"], ["relu'0"], ["add"]]
        for examples in [1, 5, 16] if rolled else [1]:
            compare(native, program, dtype, examples)
    made = Made(rolled)
    after = made.map("relu", made.some(made.product(0)))
    slope = made.map("relu'0", made.some(after), made.some(after))
    against = made.sum([made.some(slope)], [made.some(made.product(1))], (-1,))
    compare(native, made.program(after, against), dtype, 3 if rolled else 1)
    made = Made(rolled)
    before = made.product(0)
    both = made.program(before, made.map("relu", made.some(before)))
    assert not any(isinstance(step, Finished) for step in finished(both).values()), "the product is returned as well"
    compare(native, both, dtype, 3 if rolled else 1)


def a_few_terms(one: str = "before") -> Program:
    """exp(-(x · x backwards) - x), in three steps, if there is a row of ones before the sum and not behind it."""
    made = Made(True)
    x = made.add(Map(made.sizes[True], "identity", (Gather(np.arange(40) % 30, rolled=True),)))
    if one == "before":
        made.add(Spread(made.sizes[True], Gather(np.array([96]))))
    back = list(range(39, -1, -1))
    square = made.sum([made.some(x)], [made.some(x, back)], (-1,))
    difference = made.sum([made.some(square, back), made.some(x)], None, (1, -1))
    found = made.map("exp", made.some(difference))
    if one == "behind":
        made.add(Spread(made.sizes[True], Gather(np.array([96]))))
    return made.program(found)


@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_sums_of_a_few_terms_take_in_products_and_operations(native, dtype):
    program = a_few_terms()
    steps = list(finished(program).values())
    assert len(steps) == 3
    last = steps[-1]
    assert isinstance(last, Finished)
    assert (operations(last), last.contract.signs) == (["exp"], (-1, -1))
    for examples in (1, 3, 16, 1030):
        compare(native, program, dtype, examples)
        compare(native, a_few_terms("behind"), dtype, examples)


def test_what_a_step_reads_twice_is_made_before_it(native):
    """Products that two terms of a sum read, and a product that is added to its own transpose."""
    made = Made(True)
    made.add(Spread(made.sizes[True], Gather(np.array([96]))))
    x = made.add(Map(made.sizes[True], "identity", (Gather(np.arange(40) % 30, rolled=True),)))
    square = made.sum([made.some(x)], [made.some(x, list(range(39, -1, -1)))])
    twice = made.sum([made.some(square), made.some(square, [*range(1, 40), 0])])
    programs = [made.program(twice)]
    made = Made(True)
    u, v = View(0, (1, 6, 5), (0, 5, 1)), View(0, (1, 6, 5), (0, 5, 1), rolled=True)
    start = made.add(Contract(made.sizes[True], u, v, (1,) * 5, adjoint=False))
    across = Gather(start + np.arange(36).reshape(6, 6).T.ravel(), rolled=True)
    places = np.stack([start + np.arange(36), across.places], axis=1)[:, None]
    both = Contract(
        made.sizes[True], Gather(places, rolled=True), View(96, (36, 1, 2), (0, 0, 0)), (1, 1), adjoint=True
    )
    made.map("identity", Gather(made.add(both) + np.arange(40) % 36, rolled=True))
    programs.append(made.program(made.instructions[-1].offset))
    for program in programs:
        for examples in (1, 5, 16):
            compare(native, program, "float64", examples)


def a_chain() -> Program:
    """-w · relu(1 - |x - x backwards|), in five steps."""
    made = Made(True)
    one = made.add(Spread(made.sizes[True], Gather(np.array([96]))))
    x = made.add(Map(made.sizes[True], "identity", (Gather(np.arange(40) % 30, rolled=True),)))
    difference = made.sum([made.some(x), made.some(x, list(range(39, -1, -1)))], None, (1, -1))
    size = made.map("abs", made.some(difference))
    rest = made.sum([made.some(one, [0] * 40), made.some(size)], None, (1, -1))
    right = View(3, (40, 1, 1), (0, 0, 0))
    left = View(made.map("relu", made.some(rest)), (40, 1, 1), (1, 0, 0), rolled=True)
    return made.program(made.add(Contract(made.sizes[True], left, right, (-1,), adjoint=False)))


@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_operations_follow_each_other_without_being_stored(native, dtype):
    program = a_chain()
    *_, last = finished(program).values()
    assert len(finished(program)) == 3
    assert operations(last) == ["abs", "neg", "shift", "relu", "neg", "scale"]
    for examples in (1, 3, 16, 1030):
        compare(native, program, dtype, examples)


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("turned", [False, True])
def test_a_product_goes_where_the_sum_wants_it(native, dtype, turned):
    columns = 8 if turned else 5
    across = [columns * i + k for k in range(columns) for i in range(40 // columns)]
    for order, fits in [(list(range(40)), True), (across, True), (across[::-1], False), ([*across[1:], 0], False)]:
        made = Made(True)
        x = made.add(Map(made.sizes[True], "identity", (Gather(np.arange(40) % 30, rolled=True),)))
        u, v = View(48, (1, 8, 6), (48, 6, 1)), View(0, (1, 5, 6), (30, 6, 1), rolled=True)
        if turned:
            u, v = View(0, (1, 5, 6), (0, 6, 1), rolled=True), View(48, (1, 8, 6), (48, 6, 1))
        before = made.add(Contract(made.sizes[True], u, v, (-1,) * 6, adjoint=False))
        program = made.program(made.sum([made.some(x), made.some(before, order)]))
        *_, last = finished(program).values()
        assert isinstance(last, Finished) == fits
        for examples in (1, 5, 16, 70):
            compare(native, program, dtype, examples)


@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_products_of_rows_are_scaled_where_they_are_made(native, dtype):
    for kind, scaled in [("some", True), ("all", True), ("returned", False), ("late", False)]:
        made = Made(True)
        u, v = View(0, (1, 5, 6), (30, 6, 1), rolled=True), View(0, (1, 5, 6), (30, 6, 1), rolled=True)
        start = made.add(Contract(made.sizes[True], u, v, (1,) * 6, adjoint=False))
        place = 7
        if kind == "late":  # the number is made after the products
            place = made.add(Map(made.sizes[False], "square", (Gather(np.array([7])),)))
        some = list(range(25)) if kind == "all" else [0, 5, 6, 10, 11, 12, 15, 16, 17, 18]
        right = View(place, (len(some), 1, 1), (0, 0, 0))
        left = Gather(start + np.array(some)[:, None, None], rolled=True)
        scale = made.add(Contract(made.sizes[True], left, right, (1,), adjoint=False))
        read = Gather(scale + np.arange(40) % len(some), rolled=True)
        after = made.map("exp", read)
        program = made.program(*[after, scale][: 1 + (kind == "returned")])
        assert any(isinstance(step, Finished) for step in finished(program).values()) == scaled, kind
        for examples in (1, 5, 16):
            compare(native, program, dtype, examples)


def test_what_is_added_to_a_product_may_stand_elsewhere(native):
    made = Made(True)
    u, v = View(0, (1, 10, 3), (0, 3, 1), rolled=True), View(1, (1, 8, 3), (0, 3, 1), rolled=True)
    start = made.add(Contract(made.sizes[True], u, v, (1,) * 3, adjoint=False))
    left = Gather(start + 2 * np.arange(40)[:, None, None], rolled=True)
    scaled = made.add(Contract(made.sizes[True], left, View(7, (40, 1, 1), (0, 0, 0)), (1,), adjoint=False))
    programs = [made.program(made.sum([made.some(scaled), made.some(made.product(0))]))]
    made = Made(True)
    before = made.map("exp", Gather(np.arange(20), rolled=True))
    after = made.map("neg", Gather(before + np.arange(30) % 20, rolled=True))
    halves = made.map("square", Gather(after + np.arange(20), rolled=True))  # stands where `before` did
    made.map("abs", Gather(after + np.arange(10, 30), rolled=True))
    programs.append(made.program(made.sum([made.some(halves), made.some(made.product(0))])))
    for program, fits in zip(programs, [False, True], strict=True):  # one row behind the other, or not
        assert isinstance([*finished(program).values()][-1], Finished) == fits
        for examples in (1, 5, 16):
            compare(native, program, "float64", examples)


def plan_of(program: Program, examples: int) -> Plan:
    return Plan(program, examples, 8, "float64", lambda name: None)


def over_examples(b: int, r: int, s: int, n: int) -> Program:
    """Products of rows that stand anywhere, with terms that do so too, summed over the examples."""
    rng = np.random.default_rng(0)
    u, v = (Gather(rng.integers(0, 50, (b, k, 1)) + rng.permutation(n), rolled=True) for k in (r, s))
    made = Contract(1, u, v, (-1,) * n, adjoint=False, total=True)
    blocks = (Block("one", 0, 1, (1,), (1.0,)), Block("x", 0, 80, (80,), rolled=True))
    results = View(1, (b * r * s,), (1,)), View(1, (r * s,), (1,))
    program = Program(blocks, (made,), *results, 1 + b * r * s, 0, ("",), rolled_size=80)
    check(program)
    return program


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("widest", [16, 32, 64])
def test_sums_over_examples_read_rows_where_they_are(native, monkeypatch, dtype, widest):
    monkeypatch.setattr(native, "widest", widest)
    for b, r, s, n, examples in [(1, 3, 4, 16, 5), (2, 7, 9, 8, 33), (1, 16, 5, 1, 64 * 8 + 3), (1, 5, 5, 20, 16)]:
        program = over_examples(b, r, s, n)
        assert KINDS[plan_of(program, examples).steps[0, 0]] == "inner"
        compare(native, program, dtype, examples)


def a_triangle(size: int) -> Program:
    """Σ_k w[i, k] · x[k, j] for k up to i, of which columns up to i are read; zeros stand where there is no w."""
    triangle = [(i, k) for i in range(size) for k in range(i + 1)]
    x, w = size * size, len(triangle)
    places = np.full((1, size, size), x + w)  # the zero
    for at, (i, k) in enumerate(triangle):
        places[0, i, k] = x + at
    blocks = (Block("c", 0, 1, (1,), (0.0,)), Block("x", 0, x + w, (x + w,), rolled=True))
    spread, start = Spread(x + w, Gather(np.array([0]))), x + w + 1
    right = View(0, (1, size, size), (x, size, 1), rolled=True)
    made = Contract(start, Gather(places, rolled=True), right, (1,) * size, adjoint=False)
    read = Gather(np.array([start + size * i + k for i, k in triangle]), rolled=True)
    program = Program(blocks, (spread, made), NOTHING, NOTHING, 1, 0, ("", ""), read, NOTHING_ROLLED, start + x)
    check(program)
    return program


@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_what_fills_a_triangle_up_is_not_computed(native, dtype):
    program = a_triangle(10)
    plan = plan_of(program, 3)
    start = int(plan.steps[1, FIELDS.index("table")])
    tiles = plan.table[start : start + 4 * 13].reshape(4, 13)
    np.testing.assert_array_equal(tiles[:, :3], [[0, 4, 4], [0, 8, 8], [0, 10, 9], [0, 10, 10]])
    compare(native, program, dtype, 3)


ROW, WIDTH = 7, 5  # rows of so many operands


def a_softmax(kind: str) -> Program:
    """Σ_j share[i, j] · x[i, j], the shares of -exp(x) divided by their sum, of rows that get shorter.

    Arguments:
        kind: what is special about it. All sums lack an operand ("partial"), shares too ("unshared"); differences are
            returned ("differences"), or the logarithms ("logs"), or the quotients ("quotients"); of a mask shares are
            wanted too ("masked").
    """
    rows = [list(range(WIDTH * i, WIDTH * i + max(1, WIDTH - i))) for i in range(ROW)]
    if kind == "masked":
        rows = [list(range(WIDTH * i, WIDTH * (i + 1))) for i in range(ROW)]
    size = ROW * WIDTH
    blocks = (
        Block("c", 0, 3, (3,), (-math.inf, 0.0, 1.0)), Block("x", 0, size, (size,), rolled=True),
    )  # fmt: skip
    made: list[Instruction] = []
    end = size

    def add(step: Instruction) -> int:
        nonlocal end
        made.append(step)
        end += math.prod(step.shape)
        return step.offset

    def at(places: list[int] | np.ndarray) -> Gather:
        return Gather(np.array(places), rolled=True)

    low, zero = add(Spread(end, Gather(np.array([0, 1])))), size + 1
    before = add(Map(end, "exp", (at(np.arange(2 * size) % size),)))  # shares will stand where these did
    start = add(Map(end, "neg", (at(before + np.arange(size)),)))
    rows = [[start + place for place in row] for row in rows]
    masked = {place: low for row in rows for place in row[4:]} if kind == "masked" else {}
    operands = np.full((ROW, WIDTH), low)
    for i, row in enumerate(rows):
        operands[i, : len(row)] = [masked.get(place, place) for place in row]
    logs = add(Map(end, "logsumexp", tuple([at(column) for column in operands.T])))
    shared = [(i, place) for i, row in enumerate(rows) for place in (row[1:] if kind == "unshared" else row)]
    ones = View(2, (len(shared), 1, 2), (0, 0, 0))
    pairs = at([[[masked.get(place, place), logs + i]] for i, place in shared])
    differences = add(Contract(end, pairs, ones, (1, -1), adjoint=False))
    shares = add(Map(end, "exp", (at(differences + np.arange(len(shared))),)))
    terms = np.full((ROW, 1, WIDTH), zero)
    for i in range(ROW):
        some = [shares + k for k, (row, _) in enumerate(shared) if row == i]
        some = some[1:] if kind == "partial" else some
        terms[i, 0, : len(some)] = some[::-1]
    sums = add(Contract(end, at(terms), View(2, (ROW, 1, WIDTH), (0, 0, 0)), (1,) * WIDTH, adjoint=False))
    order = list(range(len(shared)))[::-1]
    quotients = add(Map(end, "div", (at([shares + k for k in order]), at([sums + shared[k][0] for k in order]))))
    left, right = np.full((ROW, 1, WIDTH), zero), np.full((ROW, 1, WIDTH), zero)
    for at_place, k in enumerate(order):
        i, place = shared[k]
        left[i, 0, place % WIDTH], right[i, 0, place % WIDTH] = quotients + at_place, place - start
    mixed = add(Contract(end, at(left), at(right), (1,) * WIDTH, adjoint=False))
    returned = [*range(mixed, mixed + ROW)]
    extra = {"differences": differences, "logs": logs, "quotients": quotients}.get(kind)
    returned += [] if extra is None else range(extra, extra + ROW)
    result = Program(
        blocks, tuple(made), NOTHING, NOTHING, 3, 0, ("",) * len(made), at(returned), NOTHING_ROLLED, end
    )  # fmt: skip
    check(result)
    return result


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("widest", [16, 32, 64])
def test_shares_are_made_with_the_logarithms_of_their_sums(native, monkeypatch, dtype, widest):
    monkeypatch.setattr(native, "widest", widest)
    left = {"": 5, "masked": 5, "logs": 5, "quotients": 7, "partial": 7, "unshared": 7, "differences": 9}
    for kind, count in left.items():
        program = a_softmax(kind)
        steps = finished(program)
        assert len(steps) == count, kind
        assert any(isinstance(step, Softmax) for step in steps.values()) == (kind != "differences")
        for examples in (1, 5, 16, 33):
            compare(native, program, dtype, examples)


def test_shares_are_right_where_their_logarithm_is_rounded(native):
    program = a_softmax("")
    given = np.log(1e6 + np.random.default_rng(0).uniform(-1, 1, (20, ROW * WIDTH)))
    made = native.Machine(program, "float64").run([given], 20)
    for i in range(ROW):
        x = given[:, WIDTH * i : WIDTH * i + max(1, WIDTH - i)]
        e = np.exp(np.exp(x).min(axis=1, keepdims=True) - np.exp(x))
        np.testing.assert_allclose(made[2][:, i], (e * x).sum(axis=1) / e.sum(axis=1), rtol=1e-15)


@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_shares_of_what_is_not_finite_are_nan(native, dtype):
    program = a_softmax("")
    for x in (math.nan, math.inf):
        given = np.random.default_rng(0).uniform(-1, 1, (4, ROW * WIDTH))
        given[1, -WIDTH] = x  # the only operand of the last row
        given[2, 0] = x
        slow, fast = (module.Machine(program, dtype).run([given], 4) for module in (evaluate, native))
        assert fast.finite == slow.finite is False
        np.testing.assert_array_equal(np.isnan(fast[2]), np.isnan(slow[2]))
