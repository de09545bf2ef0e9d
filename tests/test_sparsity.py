"""Sparse derivatives: few colours, exact recovery, patterns that follow the graph."""

from __future__ import annotations

import itertools
import math
import random
from array import array

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st


def pattern(gg, rows):
    return gg.sparsity.packed(sorted(row) for row in rows)


def band(gg, n, reach):
    return pattern(gg, [range(max(0, i - reach), min(n, i + reach + 1)) for i in range(n)])


def arrow(gg, n, hub=0):
    return pattern(gg, [range(n) if i == hub else {hub, i} for i in range(n)])


def neighbours(starts, indices):
    return [[j for j in indices[starts[i] : starts[i + 1]] if j != i] for i in range(len(starts) - 1)]


# ---- colours -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("n", [5, 6, 7, 50, 1000])
def test_known_numbers_of_colours(gg, n):
    s = gg.sparsity
    assert s.star_colour(*arrow(gg, n))[1] == 2
    assert s.star_colour(*arrow(gg, n, hub=n - 1))[1] == 2
    assert s.star_colour(*arrow(gg, n, hub=n // 2))[1] == 2
    assert s.star_colour(*band(gg, n, 0))[1] == 1
    assert s.star_colour(*band(gg, n, 1))[1] == 3
    for reach in (0, 1, 2):
        _, used, by_column = s.colour(*band(gg, n, reach), n, None)
        assert (used, by_column) == (2 * reach + 1, True)


def test_the_better_direction_is_taken(gg):
    rows = pattern(gg, [[0, i] for i in range(20)])  # a full column: each row needs a colour of its own, columns two
    columns = gg.sparsity.transposed(*rows, 20)
    assert gg.sparsity.colour(*rows, 20, None)[1:] == (2, True)
    assert gg.sparsity.colour(*columns, 20, None)[1:] == (2, False)
    assert gg.sparsity.colour(*rows, 20, "reverse")[1:] == (20, False)
    assert gg.sparsity.colour(*columns, 20, "forward")[1:] == (20, True)
    assert gg.sparsity.colour(*pattern(gg, []), 0, None)[1:] == (0, True)


def test_a_full_matrix_takes_a_colour_for_each_column(gg):
    colours, used = gg.sparsity.star_colour(*pattern(gg, [range(20)] * 20))
    assert (list(colours), used) == (list(range(20)), 20)


def test_more_colours_than_a_machine_word_has_bits(gg):
    n = 80  # all joined, and two spokes on each
    rows = [set(range(n)) | {n + 2 * i, n + 2 * i + 1} for i in range(n)] + [{i // 2} for i in range(2 * n)]
    starts, indices = pattern(gg, rows)
    colours, used = gg.sparsity.star_colour(starts, indices)
    assert used >= n
    assert_star_colouring(colours, neighbours(starts, indices))
    symmetric = np.zeros((3 * n, 3 * n))
    for i, row in enumerate(rows):
        for j in row:
            symmetric[i, j] = 1 + min(i, j) + 1000 * max(i, j)
    assert (recovered(gg, symmetric, starts, indices) == symmetric).all()


def assert_star_colouring(colours, around):
    for a, neighbours_of_a in enumerate(around):
        for b in neighbours_of_a:
            assert colours[a] != colours[b]
            for c in around[b]:
                if colours[c] == colours[a] and c != a:
                    assert all(colours[d] != colours[b] for d in around[c] if d != b)


def recovered(gg, matrix, starts, indices):
    """The matrix, from the sums of its columns of each colour."""
    n = len(matrix)
    colours, used = gg.sparsity.star_colour(starts, indices)
    sums = np.stack([matrix[:, [c == k for c in colours]].sum(axis=1) for k in range(used)], axis=1)
    entries = gg.sparsity.recover_symmetric(starts, indices, colours, used, array("d", sums.ravel()))
    found = np.zeros((n, n))
    for i in range(n):
        found[i, indices[starts[i] : starts[i + 1]]] = entries[starts[i] : starts[i + 1]]
    return found


symmetric = st.integers(1, 12).flatmap(
    lambda n: st.tuples(st.just(n), st.sets(st.tuples(st.integers(0, n - 1), st.integers(0, n - 1)), max_size=30))
)


@given(symmetric)
def test_star_colourings_are_star_colourings(gg, drawn):
    n, pairs = drawn
    pairs |= {(j, i) for i, j in pairs}
    starts, indices = pattern(gg, [{j for i, j in pairs if i == row} for row in range(n)])
    colours, used = gg.sparsity.star_colour(starts, indices)
    assert set(colours) == set(range(used))
    assert_star_colouring(colours, neighbours(starts, indices))


@given(symmetric, st.integers(0, 10**6))
def test_symmetric_matrices_are_recovered(gg, drawn, seed):
    n, pairs = drawn
    pairs |= {(j, i) for i, j in pairs}
    starts, indices = pattern(gg, [{j for i, j in pairs if i == row} for row in range(n)])
    matrix = np.zeros((n, n))
    draw = random.Random(seed)
    for i, j in pairs:
        matrix[i, j] = matrix[j, i] = draw.randint(-99, 99)
    np.testing.assert_array_equal(recovered(gg, matrix, starts, indices), matrix)


def test_patterns_are_made_symmetric(gg):
    def symmetrized(rows):
        starts, indices = gg.sparsity.symmetrized(*pattern(gg, rows))
        return [list(indices[starts[i] : starts[i + 1]]) for i in range(len(rows))]

    assert symmetrized([[0, 2], [], [0]]) == [[0, 2], [], [0]]
    assert symmetrized([[2], [1], []]) == [[2], [1], [0]]
    assert symmetrized([]) == []


# ---- through the transforms ----------------------------------------------------------------------------------------


@given(st.integers(1, 8), st.integers(1, 8), st.integers(0, 10**6))
def test_sparse_jacobians_are_the_dense_ones(gg, m, n, seed):
    draw = random.Random(seed)
    uses = [draw.sample(range(n), draw.randint(0, n)) for _ in range(m)]
    factors = [[draw.randint(1, 9) for _ in range(n)] for _ in range(m)]

    def f(x):
        return [gg.sum([factors[i][j] * x[j] ** 2 for j in uses[i]]) if uses[i] else 0.0 for i in range(m)]

    x = [draw.uniform(-1, 1) for _ in range(n)]
    dense = gg.jacobian(f)(x)
    for mode in (None, "forward", "reverse"):
        sparse = gg.jacobian(f, sparse=True, mode=mode)(x)
        assert sparse.nnz == sum(map(len, uses))
        assert sparse.toarray().tolist() == dense


@pytest.mark.parametrize("build", ["list", "array", "tree"])
def test_rows_and_columns_are_the_leaves_in_order(gg, build):
    if build == "list":
        found = gg.jacobian(lambda x: [x[0] * x[1], x[2]], sparse=True)([2.0, 3.0, 4.0])
    elif build == "array":
        found = gg.jacobian(lambda x: np.array([x[0, 0] * x[0, 1], x[0, 2]]), sparse=True)(np.array([[2.0, 3.0, 4.0]]))
    else:
        found = gg.jacobian(lambda p, q: {"z": p["b"] * p["a"], "a": [q]}, (0, 1), sparse=True)(
            {"b": 2.0, "a": 3.0}, 4.0
        )
    assert (found.format, found.shape, found.dtype) == ("csr", (2, 3), np.float64)
    assert found.toarray().tolist() == [[3.0, 2.0, 0.0], [0.0, 0.0, 1.0]]
    assert (found.indices.tolist(), found.indptr.tolist()) == ([0, 1, 2], [0, 2, 3])


def test_large_matrices(gg):
    n = 10_000 if gg.COMPILED else 1000

    def f(x):
        total = 0.0
        for i in range(n - 1):
            total = total + (x[i + 1] - x[i] ** 2) ** 2 + x[0] * x[i + 1]
        return total

    found = gg.hessian(f, sparse=True)([1.0 + 0.001 * i for i in range(n)])
    x = 1.0 + 0.001 * np.arange(n)
    assert found.shape == (n, n)
    np.testing.assert_allclose(found.diagonal(1)[1:], -4 * x[1:-1], rtol=1e-13)
    np.testing.assert_allclose(found.diagonal()[1:-1], 2 + 12 * x[1:-1] ** 2 - 4 * x[2:], rtol=1e-12)
    np.testing.assert_array_equal(found[[0]].toarray()[0, 2:], 1.0)
    assert abs(found - found.T).nnz == 0
    jacobian = gg.jacobian(lambda x: [gg.sin(a) * b for a, b in itertools.pairwise(x)], sparse=True)(x)
    np.testing.assert_allclose(jacobian.diagonal(), [math.cos(a) * b for a, b in itertools.pairwise(x)], rtol=1e-14)
