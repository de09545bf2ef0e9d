"""What lift finds: products of matrices and batches of them; and what a program is held to."""

from __future__ import annotations

import dataclasses
import importlib
import math
import random
import time
import webbrowser
from pathlib import Path

import numpy as np
import pytest

from glassgrad import DrawingError, Value, compile, dot, logsumexp, sum, to_html, tree  # noqa: A004 - as a user may
from glassgrad.compiler import ProgramError
from glassgrad.compiler.differentiate import differentiate
from glassgrad.compiler.lift import lift
from glassgrad.compiler.products import as_operand
from glassgrad.compiler.program import Contract, Gather, Map, Program, View, check
from glassgrad.compiler.readings import WANTED, Reading
from glassgrad.compiler.scalars import Scalars


def numbers(rows, columns, seed=0):
    rng = random.Random(seed)
    return [[rng.gauss(0, 1) for _ in range(columns)] for _ in range(rows)]


def contracts(program):
    return [x for x in program.instructions if isinstance(x, Contract)]


# ---- products --------------------------------------------------------------------------------------------------------


def test_a_layer_on_many_rows_is_one_product_of_windows():
    f = compile(lambda w, x: [[dot(row, xi) for row in w] for xi in x])
    w, x = numbers(5, 8), numbers(7, 8, 1)
    assert np.allclose([[y.data for y in row] for row in f(w, x)], np.array(x) @ np.array(w).T, rtol=1e-14)
    (program,) = f.programs
    assert str(program) == "w[5,8]\nx[7,8]\nc[2] = 1.0, 0.0\nt0[5,7] = w[5,8] · x[7,8]ᵀ\nreturn t0[35]"
    (step,) = program.instructions
    assert isinstance(step.u, View)
    assert isinstance(step.v, View)


def test_both_gradients_of_a_product_are_products():
    def loss(w, x):
        return sum(dot(row, xi).square() for xi in x for row in w)

    w = [[Value(v) for v in row] for row in numbers(5, 8)]
    x = [[Value(v) for v in row] for row in numbers(7, 8, 1)]
    f = compile(loss)
    f(w, x).backward()
    W = np.array([[v.data for v in row] for row in w])
    X = np.array([[v.data for v in row] for row in x])
    G = 2.0 * W @ X.T
    assert np.allclose([[v.grad for v in row] for row in w], G @ X, rtol=1e-13)
    assert np.allclose([[v.grad for v in row] for row in x], G.T @ W, rtol=1e-13)
    shapes = [tuple(sorted(step.shape)) for step in contracts(f.program) if min(step.shape[1:]) > 1]
    assert sorted(shapes) == [(1, 5, 7), (1, 5, 8), (1, 7, 8)]


def test_heads_of_attention_are_a_batch():
    heads, size = 4, 6

    def scores(queries, keys):
        return [
            dot(q[h * size : (h + 1) * size], k[h * size : (h + 1) * size])
            for h in range(heads)
            for q in queries
            for k in keys
        ]

    q, k = numbers(3, heads * size), numbers(5, heads * size, 1)
    f = compile(scores)
    found = [y.data for y in f(q, k)]
    Q, K = np.array(q).reshape(3, heads, size), np.array(k).reshape(5, heads, size)
    assert np.allclose(found, np.einsum("qhn,khn->hqk", Q, K).ravel(), rtol=1e-13)
    (step,) = f.program.instructions
    assert step.shape == (heads, 3, 5)
    assert isinstance(step.u, View)
    assert isinstance(step.v, View)


def test_every_pair_is_an_outer_product_and_each_with_its_own_is_none():
    outer = compile(lambda a, b: [x * w for x in a for w in b])
    each = compile(lambda a, b: [x * w for x, w in zip(a, b, strict=True)])
    a, b = numbers(2, 20)
    assert [y.data for y in outer(a, b)] == [x * w for x in a for w in b]
    assert [y.data for y in each(a, b)] == [x * w for x, w in zip(a, b, strict=True)]
    assert [step.shape for step in outer.program.instructions] == [(1, 20, 20)]
    assert [step.shape for step in each.program.instructions] == [(20, 1, 1)]


def test_a_triangle_of_pairs_is_a_whole_product():
    """As in causal attention: what nobody asked for is computed too, since a product of windows costs less."""
    f = compile(lambda q, k: [dot(q[i], k[j]) for i in range(8) for j in range(i + 1)])
    q, k = numbers(8, 12), numbers(8, 12, 1)
    full = np.array(q) @ np.array(k).T
    found = [y.data for y in f(q, k)]
    assert np.allclose(found, [full[i, j] for i in range(8) for j in range(i + 1)], rtol=1e-13)
    (step,) = f.program.instructions
    assert step.shape == (1, 8, 8)
    check(f.program)


def test_sums_of_different_length_are_filled_up():
    """Σ_s w[t, s] · v[s] for s up to t, and its transpose."""
    n = 12

    def mixed(w, v):
        forward = [[dot(row, [x[c] for x in v[: len(row)]]) for c in range(n)] for row in w]
        back = [
            [dot([w[t][s] for t in range(s, n)], [v[t][c] for t in range(s, n)]) for c in range(n)] for s in range(n)
        ]
        return forward, back

    w, v = [row[: i + 1] for i, row in enumerate(numbers(n, n))], numbers(n, n, 1)
    f = compile(mixed)
    W = np.array([row + [0.0] * (n - len(row)) for row in w])
    forward, back = f(w, v)
    assert np.allclose([[y.data for y in row] for row in forward], W @ v, rtol=1e-12, atol=1e-14)
    assert np.allclose([[y.data for y in row] for row in back], W.T @ v, rtol=1e-12, atol=1e-14)
    check(f.program)
    assert [step.shape for step in f.program.instructions] == [(1, 24, 12)]


def test_a_residual_does_not_spoil_a_product():
    f = compile(lambda w, xs: [[x + dot(row, xs_) for x, row in zip(xs_, w, strict=True)] for xs_ in xs])
    w, xs = numbers(12, 12), numbers(9, 12, 1)
    found = [[y.data for y in row] for row in f(w, xs)]
    assert np.allclose(found, np.array(xs) + np.array(xs) @ np.array(w).T, rtol=1e-12)
    assert contracts(f.program)[0].shape in ((1, 12, 9), (1, 9, 12))
    assert sum(isinstance(x, Gather) for step in f.program.instructions for x in step.operands) <= 1


def test_logsumexps_of_different_length_are_one_instruction():
    rows = [row[: 2 + i] for i, row in enumerate(numbers(6, 8))]
    f = compile(lambda rows: [logsumexp(row) for row in rows])
    assert np.allclose([y.data for y in f(rows)], [np.log(np.exp(row).sum()) for row in rows], rtol=1e-14)
    assert len(f.program.instructions) == 1
    f([[1.0], [2.0], [3.0], numbers(1, 40)[0]])
    assert len(f.program.instructions) == 2


# ---- sums ------------------------------------------------------------------------------------------------------------


def test_a_long_chain_is_one_instruction():
    def chain(xs):
        total = 0
        for i, x in enumerate(xs):
            total = total + x if i % 3 else total - x
        return total

    xs = numbers(1, 20_000)[0]
    f = compile(chain)
    assert math.isclose(f(xs).data, chain(xs), rel_tol=1e-9)
    assert len(f.program.instructions) == 1


def test_minus_signs_run_over_few_terms_only():
    """a - (b - (c - …)): taking each sign into the rest of the chain would cost the square of its length."""

    def chain(xs):
        total = xs[0]
        for x in xs[1:]:
            total = x - total
        return total

    xs = numbers(1, 20_000)[0]
    f = compile(chain)
    assert math.isclose(f(xs).data, chain(xs), rel_tol=1e-9)
    check(f.program)


def test_a_recurrence_has_few_instructions_for_each_step():
    """Gradients that accumulate over time have another group in every term: they must not be split by groups."""

    def run(w, xs):
        h = [0.0] * 8
        for x in xs:
            h = [(dot(row, h) + x).tanh() if step else (row[0] * x).tanh() for step, row in enumerate(w)]
        return sum(h)

    w = [[Value(v) for v in row] for row in numbers(8, 8)]
    f = compile(run)
    sizes = []
    for steps in (10, 20):
        f([[*row] for row in w], numbers(1, steps)[0])
        check(f.program)
        sizes.append(len(f.program.instructions))
    assert sizes[1] - sizes[0] <= 10 * 12


def seconds_to_compile(f, *args):
    """Of the processor, the fastest of three: the machine may be busy with other things."""
    found = []
    for _ in range(3):
        compiled = compile(f)
        start = time.process_time()
        compiled(*args)
        found.append(time.process_time() - start)
    return min(found)


def test_the_cost_of_compiling_is_linear():
    w = [[Value(v) for v in row] for row in numbers(8, 8)]

    def network(rows):
        return sum(dot(w[0], [dot(row, x).relu() for row in w]).tanh() for x in rows)

    def recurrence(rates):
        x = Value(0.3)
        for rate in rates:
            x = rate * x * (1.0 - x)
        return x

    for f, make, n in [(network, lambda n: numbers(n, 8), 30), (recurrence, lambda n: [3.7] * n, 60)]:
        small = seconds_to_compile(f, make(n))
        assert seconds_to_compile(f, make(10 * n)) < 20 * small


# ---- operands --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("places", "view"),
    [
        ([[3, 5, 7], [13, 15, 17]], View(3, (2, 3), (10, 2))),
        ([[4, 4], [4, 4]], View(4, (2, 2), (0, 0))),
        ([[9], [7]], View(9, (2, 1), (-2, 0))),
        ([[1, 2, 4]], None),
        ([[1, 2], [3, 5]], None),
    ],
)
def test_places_with_a_pattern_are_a_window(places, view):
    found = as_operand(np.array(places))
    assert found.indices().tolist() == places
    assert found == view if view else isinstance(found, Gather)


# ---- what a program is held to ---------------------------------------------------------------------------------------


def small() -> Program:
    scalars = Scalars()
    x, w = scalars.leaf(), scalars.leaf()
    y = scalars.node("tanh", scalars.node("mul", x, w))
    adjoint = differentiate(scalars, [y], [None], [x, w])
    scalars.check()
    return lift(scalars, [("x", [x], ()), ("w", [w], ())], [y], adjoint.gradients, adjoint.start)


def test_the_checker_passes_what_lift_makes():
    program = small()
    check(program)
    assert str(program) == (
        "x\nw\nc[2] = 1.0, 0.0\nt0 = x · w\nt1 = tanh(t0)\nt2 = tanh'0(t0, t1)\nt3[2] = {w, x}[2] · t2[2]\n"
        "return t1\ngradients t3[2]"
    )


def broken(program):
    first, *rest = program.instructions
    second = rest[0]
    yield dataclasses.replace(program, instructions=(*rest, first)), "starts at"
    yield dataclasses.replace(program, size=program.size + 1), "places"
    yield dataclasses.replace(program, notes=()), "note"
    yield dataclasses.replace(program, outputs=View(99, (1,), (0,))), "outside"
    yield dataclasses.replace(program, blocks=program.blocks[1:]), "starts at"
    early = dataclasses.replace(first, u=View(program.size - 1, (1, 1, 1), (0, 0, 0)))
    yield dataclasses.replace(program, instructions=(early, *rest)), "not written"
    longer = dataclasses.replace(first, u=View(0, (1, 1, 2), (0, 0, 0)))
    yield dataclasses.replace(program, instructions=(longer, *rest)), "contracts"
    doubled = dataclasses.replace(first, signs=(2,))
    yield dataclasses.replace(program, instructions=(doubled, *rest)), "signs"
    unknown = dataclasses.replace(second, name="tangh")
    yield dataclasses.replace(program, instructions=(first, unknown, *rest[1:])), "no operation"
    bare = dataclasses.replace(second, name="tanh'0")
    yield dataclasses.replace(program, instructions=(first, bare, *rest[1:])), "too few"
    block = dataclasses.replace(program.blocks[-1], constants=(1.0,))
    yield dataclasses.replace(program, blocks=(*program.blocks[:-1], block)), "constants"


def test_the_checker_refuses_what_is_broken():
    reasons = 0
    for program, reason in broken(small()):
        with pytest.raises(ProgramError, match=reason):
            check(program)
        reasons += 1
    assert reasons == 11


def test_the_scalar_checker_refuses_what_is_broken():
    for operands, reason in [((5,), "before"), ((), "operands")]:
        scalars = Scalars()
        scalars.leaf()
        scalars._add("tanh", operands, 0.0, rolled=False)
        with pytest.raises(ValueError, match=reason):
            scalars.check()
    for op in ("tangh", "tangh'0"):
        with pytest.raises(ValueError, match="no operation"):
            scalars.node(op, 0)


def test_equal_operations_are_one_node():
    scalars = Scalars()
    x, w = scalars.leaf(), scalars.leaf()
    assert scalars.node("mul", x, w) == scalars.node("mul", w, x)
    assert scalars.node("sub", x, w) != scalars.node("sub", w, x)
    assert scalars.const(0.0) != scalars.const(-0.0)
    assert scalars.const(math.nan) == scalars.const(math.nan)


def derivatives(gg, scalars, y, by):
    """The gradients as nested tuples, operation first."""
    adjoint = importlib.import_module(f"{gg.__name__}.compiler.differentiate").differentiate(scalars, [y], [None], by)

    def shown(i):
        op = scalars.ops[i]
        return scalars.numbers[i] if op == "const" else (op, *map(shown, scalars.operands[i])) if op != "leaf" else i

    scalars.check()
    return [shown(i) for i in adjoint.gradients]


def test_one_reading_of_a_rule_serves_each_kind_of_operands(gg):
    """A constant's number is handed on, looked at where the rule does so, and nodes that nobody asks for have none."""
    scalars = importlib.import_module(f"{gg.__name__}.compiler.scalars").Scalars()
    x, w, u = scalars.leaf(), scalars.leaf(), scalars.leaf()
    two, three = scalars.const(2.0), scalars.const(3.0)
    assert derivatives(gg, scalars, scalars.node("mul", x, three), [x]) == [3.0]
    assert derivatives(gg, scalars, scalars.node("mul", two, x), [x]) == [2.0]
    assert derivatives(gg, scalars, scalars.node("mul", x, w), [x]) == [w]
    assert derivatives(gg, scalars, scalars.node("mul", x, x), [x]) == [("sum", x, x)]
    assert derivatives(gg, scalars, scalars.node("pow", x, two), [x]) == [("mul", 2.0, x)]
    assert derivatives(gg, scalars, scalars.node("pow", x, three), [x])[0][0] == "pow'0"
    assert derivatives(gg, scalars, scalars.node("sum", x, w), [x, w]) == [1.0, 1.0]
    assert derivatives(gg, scalars, scalars.node("sum", x, w, u), [x, w]) == [1.0, 1.0]
    assert derivatives(gg, scalars, scalars.node("dot", x, two, w, three, x, x), [x, w]) == [("sum", 3.0, 2.0, w), x]


@pytest.mark.parametrize("op", ["logsumexp", "softmax", "prod", "dot"])
def test_a_rule_is_read_in_steps_in_the_number_of_its_operands(op):
    class Counting(Reading):
        places = 0

        def place(self, x):
            self.places += 1
            return super().place(x)

    small, large = (Counting(op, [WANTED] * n, [0.0] * n, by_number=False).places for n in (20, 200))
    assert large < 12 * small


def test_equal_operations_stay_one_node_however_many_there_are(gg):
    scalars = importlib.import_module(f"{gg.__name__}.compiler.scalars").Scalars()
    leaves = [scalars.leaf() for _ in range(150)]

    def made():
        pairs = [scalars.node(op, a, b) for op in ("mul", "sub") for a in leaves for b in leaves]
        consts = [scalars.const(0.1 * i) for i in range(3000)]
        return pairs, consts, [scalars.node("sum", *leaves[i:]) for i in range(149)]

    first = made()
    size = len(scalars)
    assert made() == first
    assert len(scalars) == size == 150 + 150 * 151 // 2 + 150 * 150 + 3000 + 149
    a, b = leaves[3], leaves[7]
    assert scalars.node("mul", a, b) == scalars.node("mul", b, a)
    assert scalars.operands[scalars.node("sub", a, b)] == (a, b) != scalars.operands[scalars.node("sub", b, a)]
    scalars.check()


def test_a_derivative_is_expanded_before_it_is_differentiated():
    scalars = Scalars()
    x = scalars.leaf()
    y = scalars.node("tanh", x)
    adjoint = differentiate(scalars, [y], [None], [x])
    with pytest.raises(ValueError, match="tanh'0 is a derivative"):
        differentiate(scalars, adjoint.gradients, [None], [x])


# ---- the picture -----------------------------------------------------------------------------------------------------


def test_a_program_is_drawn_by_the_viewer(monkeypatch):
    f = compile(lambda w, x: sum(dot(row, xi).relu() for xi in x for row in w))
    f([[Value(v) for v in row] for row in numbers(5, 8)], numbers(7, 8, 1))
    graph = f.program.to_graph()
    graph.validate()
    assert graph.shapes[graph.labels.index("w")] == (5, 8)
    assert any("relu" in note for note in graph.notes.values())
    assert "relu" in str(tree(graph))
    assert to_html(f.program) == to_html(graph)
    monkeypatch.setattr(webbrowser, "open", lambda url: False)
    with pytest.warns(UserWarning, match="no browser opened") as warned:
        page = f.program.show()
    assert warned[0].filename == __file__
    assert str(page) == to_html(graph)
    Path(str(warned[0].message).rpartition(": ")[2]).unlink()
    with pytest.raises(DrawingError, match=r"this program has 8 instructions and blocks; show\(\) draws up to 3"):
        f.program.show(max_nodes=3)
    assert repr(f.program) == f"<program of {len(f.program.instructions)} instructions for {f.program.scalars} scalars>"
    kinds = {type(step) for step in f.program.instructions}
    assert kinds == {Contract, Map}
