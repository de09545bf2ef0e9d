"""vmap and take: a loop and an index in eager code, a rolled axis and a gather in compiled code."""

from __future__ import annotations

import gc
import itertools
import math
import random

import numpy as np
import pytest
from conftest import in_threads
from strategies import evaluate, on, paths, smooth_program

TOLERANCE = 1e-12


def rows_of(rng, count, width):
    return [[rng.gauss(0, 1) for _ in range(width)] for _ in range(count)]


# ---- eagerly ---------------------------------------------------------------------------------------------------------


def test_vmap_is_a_loop(gg):
    w = gg.Value(3.0)
    ys = gg.vmap(lambda w, x, b=0.0: w * x[0] + x[1] + b, in_axes=(None, 0))(
        w, [[1.0, 2.0], [3.0, 4.0]], b=[10.0, 20.0]
    )
    assert [y.data for y in ys] == [15.0, 33.0]
    assert gg.vmap(lambda x, y: (x, y))(np.eye(2), (1, 2))[1][1] == 2
    assert gg.vmap(lambda x: x)([]) == []


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda gg: gg.vmap(lambda x, y: x)([1.0], [1.0, 2.0]), "1 and 2 rows"),
        (lambda gg: gg.vmap(lambda x: x)(3.0), "a batch is a list"),
        (lambda gg: gg.vmap(lambda x: x)({"a": [1.0]}), "a batch is a list"),
        (lambda gg: gg.vmap(lambda x: x, in_axes=None)([1.0]), "no batch"),
        (lambda gg: gg.vmap(lambda x: x)(), "no batch"),
        (lambda gg: gg.vmap(lambda x: x, in_axes=1)([[1.0]]), "first axis"),
        (lambda gg: gg.vmap(lambda x: x, in_axes=(0, 0))([1.0]), "one for each"),
    ],
)
def test_vmap_says_what_is_wrong(gg, call, message):
    with pytest.raises(gg.OperandError, match=message):
        call(gg)


def test_take_is_an_index(gg):
    table = [[gg.Value(1.0), gg.Value(2.0)], [gg.Value(3.0), gg.Value(4.0)]]
    assert gg.take(table, -1) is table[1]
    assert gg.take(table, np.int64(0)) is table[0]
    assert gg.take(table, [1, 0]) == [table[1], table[0]]
    assert gg.take((5.0, 6.0), gg.Value(1.0, requires_grad=False)) == 6.0
    with pytest.raises(gg.OutOfRangeError, match="no row 2 among 2"):
        gg.take(table, 2)
    assert issubclass(gg.OutOfRangeError, IndexError)
    for wrong in (0.5, "1", None, gg.Value(0.5), math.inf):
        with pytest.raises(gg.OperandError, match="whole number"):
            gg.take(table, wrong)


# ---- take, compiled --------------------------------------------------------------------------------------------------


def embedding(gg, count=5, width=3):
    rng = random.Random(3)
    return [[gg.Value(rng.gauss(0, 1)) for _ in range(width)] for _ in range(count)]


def test_one_program_serves_every_index(gg):
    table = embedding(gg)

    @gg.compile
    def f(tokens):
        return gg.sum([gg.dot(gg.take(table, a), gg.take(table, b)) for a, b in itertools.pairwise(tokens)])

    for tokens in ([0, 1, 2], [4, 4, 0], [3.0, 2, 1], [-1, 0, -2]):
        for row in table:
            for p in row:
                p.grad = 0.0
        y = f(tokens)
        y.backward()
        grads = [p.grad for row in table for p in row]
        for row in table:
            for p in row:
                p.grad = 0.0
        expected = f.f([int(i) for i in tokens])
        expected.backward()
        assert math.isclose(y.data, expected.data, rel_tol=TOLERANCE)
        assert np.allclose(grads, [p.grad for row in table for p in row], rtol=TOLERANCE, atol=0)
    assert len(f.programs) == 1
    with pytest.raises(gg.OutOfRangeError, match="no row 5 among 5"):
        f([0, 1, 5])
    with pytest.raises(gg.OperandError, match=r"whole number, not float 0\.5"):
        f([0, 1, 0.5])


def test_take_of_numbers_of_computed_rows_and_of_lists(gg):
    w = gg.Value(2.0)
    f = gg.compile(
        lambda xs, i: gg.take([w * x for x in xs], i) + gg.take([10.0, 20.0, 30.0], i) + gg.take([w, 1.0, 2], i)
    )
    y = f([1.0, 2.0, 3.0], 2)
    y.backward()
    assert (y.data, w.grad) == (38.0, 3.0)
    y = f([1.0, 2.0, 3.0], 0)
    y.backward()
    assert (y.data, w.grad) == (14.0, 5.0)


def test_what_take_refuses_while_it_is_traced(gg):
    table = embedding(gg)
    with pytest.raises(gg.CompileError, match=r"computed.*argument"):
        gg.compile(lambda i: gg.take(table, i + 1)[0])(0)
    with pytest.raises(gg.CompileError, match="alike"):
        gg.compile(lambda i: gg.take([table[0], table[0][:2]], i)[0])(0)
    with pytest.raises(gg.CompileError, match=r"glassgrad.take.*static"):
        gg.compile(lambda i: table[i][0] * 2.0)(0)
    with pytest.raises(gg.CompileError, match=r"glassgrad.take.*static"):
        gg.compile(lambda n: sum(table[0][0] for _ in range(n)))(3)


# ---- vmap, compiled --------------------------------------------------------------------------------------------------


def network(gg, sizes=(4, 6, 3)):
    random.seed(11)
    return gg.nn.MLP(sizes[0], list(sizes[1:]))


def compare(gg, compiled, args, parameters):
    """Value and gradients, compiled and eager."""
    found = []
    for f in (compiled, compiled.f):
        for p in parameters:
            p.grad = 0.0
        y = f(*args)
        y.backward()
        found.append((y.data, [p.grad for p in parameters]))
    (a, da), (b, db) = found
    assert math.isclose(a, b, rel_tol=TOLERANCE)
    scale = max(map(abs, db))
    assert max(abs(x - w) for x, w in zip(da, db, strict=True)) <= TOLERANCE * scale


@pytest.mark.parametrize("dtype", [list, tuple, np.array], ids=["lists", "tuples", "arrays"])
def test_a_program_serves_batches_of_every_size(gg, dtype):
    model = network(gg)
    runs = []

    @gg.compile
    def loss(X, y):
        runs.append(len(runs))

        def one(x, target):
            return gg.logsumexp(model(x)) - gg.take(model(x), target)

        return gg.mean(gg.vmap(one)(X, y)) + 1e-3 * sum(p * p for p in model.parameters())

    rng = random.Random(5)
    for count in (7, 3, 1, 20):
        X, y = rows_of(rng, count, 4), [rng.randrange(3) for _ in range(count)]
        before = len(runs)
        loss(dtype(X), dtype(y))
        assert len(runs) - before == (2 if count == 7 else 0)  # the first finds out that its arguments are batches
        compare(gg, loss, (dtype(X), dtype(y)), model.parameters())
    assert len(loss.programs) == 1
    gg.compiler.program.check(loss.program)
    assert loss.program.rolled_size > 0
    assert "[4,n]" in str(loss.program)


def test_a_batch_of_random_programs(gg):
    """All operations, with numbers that are shared and numbers of each example."""
    rng = random.Random("rolled")
    for _ in range(150 if gg.COMPILED else 15):
        program = smooth_program(rng, gg.engine.rules, 8)
        if not program.steps:
            continue
        half = (len(program.leaves) + 1) // 2
        shared = [gg.Value(x) for x in program.leaves[:half]]

        def one(row, program=program, shared=shared):
            return evaluate(program, [*shared, *row], on(gg))[-1]

        f = gg.compile(lambda rows, one=one: gg.sum(gg.vmap(one)(rows)))
        rows = [[gg.Value(x + 1e-3 * i) for x in program.leaves[half:]] for i in range(5)]
        leaves = [*shared, *[x for row in rows for x in row]]
        end = f.f(rows)
        end.backward()
        expected = [x.grad for x in leaves]
        order = gg.graph.in_order([end])
        scales = dict(zip(map(id, order), paths(order, order), strict=True))  # rounding errors on the way cancel or not
        for x in leaves:
            x.grad = 0.0
        y = f(rows)
        y.backward()
        gg.compiler.program.check(f.program)
        assert abs(y.data - end.data) <= TOLERANCE * sum(scales[id(v)] * abs(v.data) for v in order)
        for x, grad in zip(leaves, expected, strict=True):
            assert abs(x.grad - grad) <= TOLERANCE * max(scales.get(id(x), 0.0), abs(grad))
        assert len(leaves) == half or f.program.rolled_size > 0


def test_results_of_each_example(gg):
    model = network(gg)
    f = gg.compile(gg.vmap(lambda x: (model(x), x[0] * 2.0)))
    X = rows_of(random.Random(1), 6, 4)
    found, expected = f(X), f.f(X)
    for (scores, first), (right, number) in zip(found, expected, strict=True):
        assert np.allclose([s.data for s in scores], [s.data for s in right], rtol=TOLERANCE, atol=0)
        assert first.data == number
    parameters = model.parameters()
    grads = []
    for batch in (found, expected):
        for p in parameters:
            p.grad = 0.0
        sum((1 + i) * scores[i % 3] for i, (scores, _) in enumerate(batch)).backward()
        grads.append([p.grad for p in parameters])
    assert np.allclose(*grads, rtol=1e-11, atol=1e-14)
    assert len(f(X[:2])) == 2
    assert len(f.programs) == 1


def test_gradients_by_numbers_of_each_example(gg):
    f = gg.compile(lambda w, X: gg.sum(gg.vmap(lambda x: gg.dot(w, x).tanh())(X)) * w[0])
    w = [gg.Value(0.5), gg.Value(-1.0)]
    for count in (4, 2):
        X = [[gg.Value(x) for x in row] for row in rows_of(random.Random(2), count, 2)]
        compare(gg, f, (w, X), [*w, *[x for row in X for x in row]])
    assert len(f.programs) == 1


def test_what_does_not_depend_on_the_example_counts_once_for_each(gg):
    w = gg.Value(3.0)
    f = gg.compile(lambda X: gg.sum(gg.vmap(lambda x: w * w)(X)) + gg.sum(gg.vmap(lambda x: 2.0)(X)) * w)
    for count in (4, 9):
        compare(gg, f, ([1.0] * count,), [w])
        assert f([1.0] * count).data == 15.0 * count


def test_vmap_over_results_of_vmap(gg):
    w = gg.Value(0.7)

    def loss(X):
        hidden = gg.vmap(lambda x: [x[0] * w, x[1] + w])(X)
        return gg.mean(gg.vmap(lambda h, x: h[0] * h[1] - x[0])(hidden, X))

    f = gg.compile(loss)
    compare(gg, f, ([[1.0, 2.0], [3.0, 4.0], [5.0, 6.5]],), [w])
    assert f.program.rolled_size > 0


def test_an_argument_that_is_looked_at_is_unrolled(gg):
    w = gg.Value(0.7)

    def loss(X, y):
        return gg.sum(gg.vmap(lambda x, t: (w * x - t) ** 2)(X, y)) / len(X)

    f = gg.compile(loss)
    for count in (3, 5):
        compare(gg, f, ([1.0 + i for i in range(count)], [0.5] * count), [w])
        compare(gg, f, (np.arange(count) + 1.0, np.ones(count)), [w])
    assert f.program.rolled_size == 0
    assert len(f.programs) == 4


def test_a_vmap_inside_of_vmap_is_unrolled(gg):
    w = gg.Value(0.7)
    f = gg.compile(lambda X: gg.sum(gg.vmap(lambda x: gg.sum(gg.vmap(lambda z: (w * x * z).tanh())(X)))(X)))
    compare(gg, f, ([1.0, 0.5, -0.3],), [w])
    g = gg.compile(lambda X, Z: gg.sum(gg.vmap(lambda x: gg.sum(gg.vmap(lambda z: (w * x * z).tanh())(Z)))(X)))
    compare(gg, g, ([1.0, 0.5, -0.3], [0.2, 0.4]), [w])
    h = gg.compile(lambda X: gg.sum(gg.vmap(lambda row: gg.sum(gg.vmap(lambda z: (w * z).tanh())(row)))(X)))
    compare(gg, h, ([[1.0, 0.5], [0.3, 0.1], [0.2, 0.9]],), [w])
    assert h.program.rolled_size > 0


def test_batches_of_different_sizes_and_uneven_rows(gg):
    w = gg.Value(0.7)
    f = gg.compile(lambda X, Y: gg.sum(gg.vmap(lambda x: w * x[0])(X)) + gg.sum(gg.vmap(lambda y: w * y)(Y)))
    compare(gg, f, ([[1.0], [2.0]], [3.0, 4.0]), [w])
    compare(gg, f, ([[1.0], [2.0]], [3.0, 4.0, 5.0]), [w])
    compare(gg, f, ([[1.0], [2.0, 3.0]], [3.0, 4.0]), [w])
    compare(gg, f, ([[1.0], [2.0], [3.0]], [3.0, 4.0, 5.0]), [w])
    assert len(f.programs) == 3
    g = gg.compile(lambda X, Y: gg.sum(gg.vmap(lambda x, y: w * x * y)(X, Y)))
    g([1.0, 2.0], [3.0, 4.0])
    with pytest.raises(gg.OperandError, match="1 and 2 rows"):
        g([1.0], [3.0, 4.0])


@pytest.mark.parametrize(
    "use", [len, list, lambda ys: ys[0], sum, lambda ys: max(ys), lambda ys: [y * 2.0 for y in ys]], ids=range(6)
)
def test_what_would_freeze_the_number_of_rows_is_refused(gg, use):
    w = gg.Value(2.0)
    f = gg.compile(lambda X: use(gg.vmap(lambda x: w * x)(X)) * w)
    with pytest.raises(gg.CompileError, match=r"batch of vmap.*glassgrad.sum"):
        f([1.0, 2.0])


def test_an_index_of_each_example_is_checked(gg):
    table = embedding(gg)
    f = gg.compile(lambda tokens: gg.sum(gg.vmap(lambda t: gg.sum(gg.take(table, t)))(tokens)))
    compare(gg, f, ([0, 4, 4],), [p for row in table for p in row])
    compare(gg, f, ([-1, 4],), [p for row in table for p in row])
    with pytest.raises(gg.OutOfRangeError, match="no row 5"):
        f([0, 1, 2, 5])
    assert len(f.programs) == 1


def test_a_large_batch_is_tried_rolled_first(gg):
    w, runs = gg.Value(3.0), []

    def mean(X, scale):
        runs.append(0)
        return gg.mean(gg.vmap(lambda x: w * x)(X)) * scale[0]

    f = gg.compile(mean)
    assert f([2.0] * 2000, [0.5, 1.0]).data == 3.0
    assert len(runs) == 1
    g = gg.compile(lambda X: w * X[0] + gg.sum(X[1:]))
    assert g([1.0] * 2000).data == 2002.0
    assert g.program.rolled_size == 0


def test_a_large_batch_that_cannot_be_rolled_is_tried_once_and_leaves_nothing_behind(gg):
    w, runs = gg.Value(3.0), []

    def squares(X, y):
        runs.append(0)
        results = [w * x for x in X]
        return gg.sum([(result - t).square() for result, t in zip(results, y, strict=True)])

    f = gg.compile(squares)
    f([1.0, 2.0], [3.0, 6.0])
    runs.clear()
    gc.collect()
    gc.disable()
    try:
        assert f([1.0] * 2000, [2.0] * 2000).data == 2000.0
        assert gc.collect() < 1000  # a cycle would hold all that was traced: thousands
        assert not gc.isenabled()
    finally:
        gc.enable()
    assert len(runs) == 2
    with pytest.raises(gg.CompileError):
        gg.compile(lambda x: x if x > 0 else w)(1.0)
    assert gc.isenabled()


def test_rows_without_numbers_count(gg):
    w = gg.Value(3.0)
    f = gg.compile(lambda X: gg.sum(gg.vmap(lambda row: w)(X)))
    assert [f([[]] * n).data for n in (2, 3, 2, 1)] == [6.0, 9.0, 6.0, 3.0]


def test_what_the_function_catches_still_ends_the_rolling(gg):
    w = gg.Value(3.0)

    def mean(X):
        try:
            count = len(X)
        except BaseException:  # noqa: BLE001 - so does a user
            count = 1
        return gg.sum(gg.vmap(lambda x: w * x)(X)) / count

    f = gg.compile(mean)
    assert [f([1.0] * n).data for n in (2, 4)] == [3.0, 3.0]


def test_a_batch_of_results_is_a_list(gg):
    w = gg.Value(3.0)

    def total(ys):
        return gg.sum(ys) if isinstance(ys, list) else w

    f = gg.compile(lambda X: total(gg.vmap(lambda x: w * x)(X)))
    assert f([1.0, 2.0]).data == 9.0


def test_threads_with_batches_of_their_own_sizes(gg):
    w = gg.Value(3.0)
    f = gg.compile(lambda X, y: gg.mean(gg.vmap(lambda x, t: (w * x - t) ** 2)(X, y)))
    f([1.0], [2.0])

    def work(i):
        n = 60 + 10 * i
        return [f([1.0] * n, [float(i)] * n).data for _ in range(50)]

    assert in_threads(4, work) == [[(3.0 - i) ** 2] * 50 for i in range(4)]


# ---- float32 ---------------------------------------------------------------------------------------------------------


def test_float32_has_seven_digits(gg):
    model = network(gg)

    def loss(X):
        return gg.mean(gg.vmap(lambda x: gg.logsumexp(model(x)))(X))

    X = rows_of(random.Random(4), 9, 4)
    full, half = gg.compile(loss), gg.compile(loss, dtype="float32")
    a, b = full(X), half(X)
    assert 0.0 < abs(a.data - b.data) < 1e-6 * abs(a.data)
    b.backward()
    grads = [p.grad for p in model.parameters()]
    a.backward()
    both = [p.grad for p in model.parameters()]
    assert np.allclose(2 * np.array(grads), both, rtol=1e-4, atol=1e-6)
    assert gg.compile(loss, dtype=np.float32).dtype == "float32"
    with pytest.raises(gg.OperandError, match="dtype is"):
        gg.compile(loss, dtype="float16")
