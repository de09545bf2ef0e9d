"""A compiled function does what the eager one does: values, gradients, training, errors, in both builds."""

from __future__ import annotations

import math
import os
import random
import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st
from strategies import NAMES, evaluate, on, paths, smooth_program, tame

TOLERANCE = 1e-12  # relative to the sum over all paths of what rounding on them can do


def run_eager(gg, program, leaves, wanted):
    """The chosen scalars of a program, and every node."""
    scalars = evaluate(program, leaves, on(gg))
    return [scalars[i] for i in wanted]


def agree(gg, program, wanted, captured):
    """Compile a program with its leaves as arguments or as captured parameters; compare with the eager run."""
    seeds = [1.0 + 0.25 * i for i in range(len(wanted))]

    def total(results):
        return sum(seed * y for seed, y in zip(seeds, results, strict=True))

    eager_leaves = [gg.Value(x) for x in program.leaves]
    eager = run_eager(gg, program, eager_leaves, wanted)
    end = total(eager)
    end.backward()
    order = gg.graph.in_order([end])
    scales = dict(zip(map(id, order), paths(order, order), strict=True))
    rounding = sum(scales[id(v)] * abs(v.data) for v in order)

    leaves = [gg.Value(x) for x in program.leaves]
    if captured:
        compiled = gg.compile(lambda: run_eager(gg, program, leaves, wanted))
        results = compiled()
    else:
        compiled = gg.compile(lambda xs: run_eager(gg, program, xs, wanted))
        results = compiled(leaves)
    gg.compiler.program.check(compiled.program)
    y = total(results)
    y.backward()
    assert abs(y.data - end.data) <= TOLERANCE * rounding
    for x, leaf in zip(leaves, eager_leaves, strict=True):
        assert abs(x.grad - leaf.grad) <= TOLERANCE * max(scales.get(id(leaf), 0.0), abs(leaf.grad))


@pytest.mark.parametrize("captured", [False, True], ids=["arguments", "parameters"])
def test_random_programs_of_every_operation(gg, captured):
    rng = random.Random(f"compiler {captured}")
    seen = set()
    for _ in range(400 if gg.COMPILED else 60):
        program = smooth_program(rng, gg.engine.rules)
        last = len(program.leaves) + len(program.steps) - 1
        if program.steps:
            seen |= {name for name, _ in program.steps}
            agree(gg, program, [last], captured)
    if gg.COMPILED:
        assert seen == set(NAMES)


def test_random_programs_with_several_results(gg):
    rng = random.Random("several")
    for _ in range(200 if gg.COMPILED else 40):
        program = smooth_program(rng, gg.engine.rules)
        count = len(program.leaves) + len(program.steps)
        if program.steps:
            agree(gg, program, [count - 1, *[rng.randrange(count) for _ in range(rng.randint(1, 3))]], False)


@given(tame, st.booleans())
def test_programs_that_hypothesis_draws(gg, program, captured):
    leaves = [gg.Value(x) for x in program.leaves]
    end = evaluate(program, leaves, on(gg))[-1]
    if program.steps and end._prev:
        agree(gg, program, [len(program.leaves) + len(program.steps) - 1], captured)


def test_a_batch_of_one_random_program_is_grouped_and_stays_right(gg):
    """The same program on many rows: what makes wide groups, products and gathers."""
    rng = random.Random("batch")
    for _ in range(60 if gg.COMPILED else 10):
        program = smooth_program(rng, gg.engine.rules, 8)
        if not program.steps:
            continue
        half = (len(program.leaves) + 1) // 2  # the first are shared parameters, the rest one set for each row
        rows = [[x + 1e-3 * i for x in program.leaves[half:]] for i in range(20)]

        def loss(shared, rows, program=program):
            return sum(evaluate(program, [*shared, *row], on(gg))[-1] for row in rows)

        def values(half=half, rows=rows, program=program):
            return [gg.Value(x) for x in program.leaves[:half]], [[gg.Value(x) for x in row] for row in rows]

        eager, compiled = values(), values()
        end = loss(*eager)
        order = gg.graph.in_order([end])
        scales = dict(zip(map(id, order), paths(order, order), strict=True))
        end.backward()
        y = gg.compile(loss)(*compiled)
        y.backward()
        assert abs(y.data - end.data) <= TOLERANCE * sum(scales[id(v)] * abs(v.data) for v in order)
        for x, leaf in zip(gg.trees.flatten(compiled)[0], gg.trees.flatten(eager)[0], strict=True):
            assert abs(x.grad - leaf.grad) <= TOLERANCE * max(scales.get(id(leaf), 0.0), abs(leaf.grad))


# ---- learning --------------------------------------------------------------------------------------------------------


def moons(count):
    """Two interleaved half circles, as in micrograd's demo."""
    rng = random.Random(5)
    points, labels = [], []
    for i in range(count):
        angle = math.pi * rng.random()
        x, y = math.cos(angle), math.sin(angle)
        if i % 2:
            x, y = 1 - x, 0.5 - y
        points.append([x + rng.gauss(0, 0.1), y + rng.gauss(0, 0.1)])
        labels.append(1.0 if i % 2 else -1.0)
    return points, labels


def loss_of(model):
    def loss(X, y):
        scores = [model(x) for x in X]
        data = sum((1 - yi * s).relu() for yi, s in zip(y, scores, strict=True)) / len(y)
        return data + 1e-4 * sum(p * p for p in model.parameters())

    return loss


def train(gg, compiled, points, labels, steps):
    random.seed(1337)
    model = gg.nn.MLP(2, [16, 16, 1])
    loss = loss_of(model)
    if compiled:
        loss = gg.compile(loss)
    optimizer = gg.optim.SGD(model.parameters(), lr=0.5)
    losses = []
    for _ in range(steps):
        optimizer.zero_grad()
        L = loss(points, labels)
        L.backward()
        optimizer.step()
        losses.append(L.data)
    return losses, loss


def test_moons_trains_alike_compiled_and_eager(gg):
    points, labels = moons(100)
    steps = 50 if gg.COMPILED else 3
    eager, _ = train(gg, False, points, labels, steps)
    compiled, loss = train(gg, True, points, labels, steps)
    assert max(abs(a - b) / abs(b) for a, b in zip(compiled, eager, strict=True)) < 1e-9
    assert len(loss.programs) == 1
    gg.compiler.program.check(loss.program)
    assert loss.program.scalars > 70_000
    assert len(loss.program.instructions) <= 60


def test_a_program_serves_other_numbers_of_the_same_structure(gg):
    points, labels = moons(10)
    random.seed(1337)
    model = gg.nn.MLP(2, [4, 1])
    loss = loss_of(model)
    compiled = gg.compile(loss)
    for k in range(4):
        moved = [[x + 0.7 * k for x in row] for row in points]
        flipped = [y if k % 2 else -y for y in labels]
        assert math.isclose(compiled(moved, flipped).data, loss(moved, flipped).data, rel_tol=1e-12)
    assert len(compiled.programs) == 1


# ---- what is not finite ----------------------------------------------------------------------------------------------


def test_a_branch_not_taken_gives_no_nan(gg):
    @gg.compile
    def f(xs):
        return sum(gg.where(x > 0, gg.log(x) * gg.sqrt(x), 0.0) for x in xs)

    xs = [gg.Value(0.0), gg.Value(-1.0), gg.Value(4.0)]
    y = f(xs)
    y.backward()
    assert math.isclose(y.data, 2.0 * math.log(4.0), rel_tol=1e-15)
    assert [x.grad for x in xs[:2]] == [0.0, 0.0]
    assert math.isclose(xs[2].grad, 0.5 + math.log(4.0) / 4.0, rel_tol=1e-15)


def test_an_infinite_result_is_an_error_that_names_the_operation(gg):
    f = gg.compile(lambda x, w: (x.log() * w).square())
    assert f(2.0, 3.0).data == (math.log(2.0) * 3.0) ** 2
    with pytest.raises(gg.NonFiniteError, match=r"log\(0\.0\)"):
        f(0.0, 3.0)
    with gg.allow_nonfinite():
        assert f(0.0, 3.0).data == math.inf


def test_an_infinite_gradient_is_an_error_where_eager_code_has_it(gg):
    x = gg.Value(0.0)
    y = gg.compile(lambda x: gg.sqrt(x))(x)
    assert y.data == 0.0
    with pytest.raises(gg.NonFiniteError, match="sqrt"):
        y.backward()


# ---- determinism -----------------------------------------------------------------------------------------------------

PRINTING = """
import random, glassgrad
random.seed(3)
model = glassgrad.nn.MLP(3, [5, 4, 1])
f = glassgrad.compile(lambda X: sum(model(x).tanh() * glassgrad.logsumexp(x) for x in X))
f([[glassgrad.Value(0.1 * i + j) for j in range(3)] for i in range(60)])
print(f.program)
print(f.program.to_graph().to_json())
"""


def test_printing_is_the_same_in_every_process():
    texts = set()
    for seed in ("0", "1", "77"):
        done = subprocess.run(
            [sys.executable, "-c", PRINTING],
            capture_output=True,
            text=True,
            check=True,
            env={**os.environ, "PYTHONHASHSEED": seed},
        )
        texts.add(done.stdout)
    assert len(texts) == 1
    assert "ᵀ" in texts.pop()


# ---- attention -------------------------------------------------------------------------------------------------------


def test_causal_attention_agrees_and_its_heads_share_instructions(gg):
    """Softmax over 1, 2, 3, … keys: sums of several lengths, gathers and products at once."""
    width, heads, length = 8, 2, 5
    rng = random.Random(8)

    def matrix():
        return [[gg.Value(rng.gauss(0, 0.3)) for _ in range(width)] for _ in range(width)]

    query, key, value, output = (matrix() for _ in range(4))
    rows = [[rng.gauss(0, 1) for _ in range(width)] for _ in range(length)]

    def linear(matrix, x):
        return [gg.dot(row, x) for row in matrix]

    def loss(rows):
        total, past, size = 0.0, [], width // heads
        for x in rows:
            scale = (gg.dot(x, x) / width + 1e-5) ** -0.5
            x = [xi * scale for xi in x]  # noqa: PLW2901 - rmsnorm, as models are written
            q = linear(query, x)
            past.append((linear(key, x), linear(value, x)))
            mixed = []
            for start in range(0, width, size):
                part = slice(start, start + size)
                exps = [(gg.dot(q[part], k[part]) * size**-0.5).exp() for k, _ in past]
                share = sum(exps) ** -1
                weights = [e * share for e in exps]
                mixed += [gg.dot(weights, column) for column in zip(*(v[part] for _, v in past), strict=True)]
            total = total + gg.logsumexp([a + b.relu() for a, b in zip(x, linear(output, mixed), strict=True)])
        return total / length

    parameters = [p for matrix in (query, key, value, output) for row in matrix for p in row]
    expected = loss([[gg.Value(x) for x in row] for row in rows])
    expected.backward()
    grads = [p.grad for p in parameters]
    for p in parameters:
        p.grad = 0.0
    compiled = gg.compile(loss)
    y = compiled(rows)
    y.backward()
    gg.compiler.program.check(compiled.program)
    assert math.isclose(y.data, expected.data, rel_tol=1e-14)
    largest = max(map(abs, grads))
    assert max(abs(p.grad - g) for p, g in zip(parameters, grads, strict=True)) <= TOLERANCE * largest
    assert compiled.program.scalars > 3000
    assert len(compiled.program.instructions) <= 130
