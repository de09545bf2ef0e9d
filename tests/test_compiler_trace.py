"""What a compiled function takes, what it refuses and where it says so, and how its results live in eager code."""

from __future__ import annotations

import copy
import math
import pickle
import random
import subprocess
import sys
from dataclasses import dataclass

import numpy as np
import pytest
from conftest import in_threads

from glassgrad import GraphError, Value, compile  # noqa: A004 - as a user may


def users_line(error):
    """The line of this file that an error names."""
    text = str(error.value)
    assert __file__ in text
    return text


# ---- what would freeze a number --------------------------------------------------------------------------------------


def read_data(gg, x, w):
    return x * x.data


def read_parameter(gg, x, w):
    return x * w.data


def read_gradient(gg, x, w):
    return x * w.grad


def branch(gg, x, w):
    return x if x > 0 else -x


def branch_on_parameters(gg, x, w):
    return x if w * w < 1.0 else -x


def python_max(gg, x, w):
    return max(x, w)


def python_sorted(gg, x, w):
    return sorted([x, w, x + w])[1]


def chained(gg, x, w):
    return gg.where(0 < x < w, x, w)


def as_float(gg, x, w):
    return x * math.exp(x)


def as_index(gg, x, w):
    return [x, w][x]


def as_range(gg, x, w):
    return sum(w for _ in range(x))


def formatted(gg, x, w):
    return x * len(f"{x:.3f}")


def detached(gg, x, w):
    return x * w.detach()


def without_gradients(gg, x, w):
    with gg.no_grad():
        return x * w


def of_constants(gg, x, w):
    c = gg.Value(2.0, requires_grad=False)
    return x * (c * c)


def swept(gg, x, w):
    (x * w).backward()
    return x


def differentiated(gg, x, w):
    return gg.gradients(x * x * w, x)


def by_a_constant(gg, x, w):
    c = gg.Value(2.0, requires_grad=False)
    return gg.grad(lambda c: c * c * w)(c) * x


def expanded(gg, x, w):
    return gg.taylor(lambda x: x.exp() * w, x, 3)[2]


def assigned(gg, x, w):
    w.data = 3.0
    return x * w


def equal(gg, x, w):
    return w if x == 1 else x


def true(gg, x, w):
    return w if x else -w


def counted(gg, x, w):
    return w * [1.0, 2.0].count(x)


def looked_up(gg, x, w):
    return {1.0: w}.get(x, -w) * x


def as_text(gg, x, w):
    return w * len(str(x * w))


def printed(gg, x, w):
    print(x)  # noqa: T201
    return w * x


def wrapped(gg, x, w):
    return gg.Value(x) * w


def cleared(gg, x, w):
    gg.optim.SGD([w], lr=0.1).zero_grad()
    return w * x


def stepped(gg, x, w):
    gg.optim.SGD([w], lr=0.1).step()
    return w * x


def caught(gg, x, w):
    try:
        factor = math.sqrt(x)
    except TypeError:
        factor = 0.0
    return w * factor + x


def remainder(gg, x, w):
    return w * (x % 2)


def remainder_of_a_result(gg, x, w):
    return w * (5 % (x * w))


def floored(gg, x, w):
    return w * (x // 2)


def rounded(gg, x, w):
    return w * round(x)


def iterated(gg, x, w):
    return w * sum(x)


def a_floats_method(gg, x, w):
    return w * x.is_integer()


def sorted_by_numpy(gg, x, w):
    return np.sort([x, w, x + w])[1]


def largest_by_numpy(gg, x, w):
    return np.max([x * w, w])


def as_computed_index(gg, x, w):
    return [x, w][x - 1]


def as_index_of_an_array(gg, x, w):
    return w * np.ones(3)[x]


def as_index_of_an_axis(gg, x, w):
    return w * np.ones((3, 3))[0, x]


def as_indices(gg, x, w):
    return w * np.ones(3)[[x, x]]


def as_array_of_indices(gg, x, w):
    return w * np.ones(3)[np.array([x, x])]


def as_mask(gg, x, w):
    return w * [1.0, 2.0][x > 0]


def hidden(gg, x, w):
    try:
        return w * [1.0, 2.0][x]
    except TypeError:
        raise RuntimeError("no row") from None


REFUSED = [
    (remainder, "for %: 'Value' and 'int'", "static"),
    (remainder_of_a_result, "for %: 'int' and 'Value'", "outside"),
    (floored, "for //", "static"),
    (rounded, "__round__", "outside"),
    (iterated, "not iterable", "every number among the arguments is a Value"),
    (a_floats_method, "is_integer", "outside"),
    (sorted_by_numpy, "truth value", "glassgrad.where"),
    (largest_by_numpy, "truth value", "glassgrad.maximum"),
    (as_computed_index, "not Value", "glassgrad.take"),
    (as_index_of_an_array, "an index", "glassgrad.take"),
    (as_index_of_an_axis, "an index", "glassgrad.take"),
    (as_indices, "valid indices", "for i in indices"),
    (as_array_of_indices, "used as indices", "for i in indices"),
    (as_mask, "not Value", "glassgrad.take"),
    (hidden, "an index", "glassgrad.take"),
    (equal, "truth value", "glassgrad.where"),
    (true, "truth value", "glassgrad.where"),
    (counted, "truth value", "glassgrad.where"),
    (looked_up, "hashing", "glassgrad.take"),
    (as_text, "formatting", "outside"),
    (printed, "formatting", "outside"),
    (wrapped, "Value(x)", "leave Value() out"),
    (cleared, "zero_grad()", "outside"),
    (stepped, "step()", "outside"),
    (caught, "float()", "glassgrad's functions"),
    (read_data, ".data", "the Value itself"),
    (read_parameter, ".data", "the Value itself"),
    (read_gradient, ".grad", "outside"),
    (branch, "truth value", "glassgrad.where"),
    (branch_on_parameters, "truth value", "glassgrad.where"),
    (python_max, "truth value", "glassgrad.maximum"),
    (python_sorted, "truth value", "static"),
    (chained, "truth value", "glassgrad.where"),
    (as_float, "float()", "glassgrad's functions"),
    (as_index, "an index", "static"),
    (as_range, "an index", "static"),
    (formatted, "formatting", "outside"),
    (detached, "detach()", "argument"),
    (without_gradients, "no_grad()", "leave it out"),
    (of_constants, "constants", "plain numbers"),
    (swept, "backward()", "outside"),
    (differentiated, "gradients()", "outside"),
    (by_a_constant, "requires no gradient", "outside"),
    (expanded, "taylor", "outside"),
    (assigned, "assigning", "outside"),
]


@pytest.mark.parametrize(("f", "what", "way_out"), REFUSED, ids=[f.__name__ for f, _, _ in REFUSED])
def test_what_would_freeze_a_number_is_refused_with_its_line(gg, f, what, way_out):
    w = gg.Value(0.5)
    compiled = gg.compile(lambda x: f(gg, x, w))
    with pytest.raises(gg.CompileError) as error:
        compiled(2.0)
    text = users_line(error)
    assert what in text
    assert way_out in text
    lines = range(f.__code__.co_firstlineno, f.__code__.co_firstlineno + 5)
    assert any(f"line {line} of" in text for line in lines)
    assert (w.data, compiled.programs) == (0.5, [])
    assert gg.Value(3.0).data == 3.0  # the thread is as it was


def test_errors_of_the_functions_own_stay_as_they_are(gg):
    def short(x):
        return x * [1.0, 2.0].pop(5)

    def text(x):
        return x * len(5)

    for f, error in [(short, IndexError), (text, TypeError)]:
        with pytest.raises(error) as found:
            gg.compile(f)(2.0)
        assert type(found.value) is error


def test_a_refusal_in_this_packages_own_function_has_the_line_of_the_call(gg):
    f = gg.compile(gg.take, static="rows")
    w = gg.Value(3.0)
    with pytest.raises(gg.CompileError, match="all have to be alike") as error:
        f((w, (w,)), 1)
    assert "f((w, (w,)), 1)" in users_line(error)


def test_other_threads_notice_nothing(gg):
    def work(i):
        w = gg.Value(float(i))
        if i % 2:
            return gg.compile(lambda x: sum(w * x for _ in range(300)))(2.0).data
        return sum((w * 2.0).data for _ in range(300))

    assert in_threads(8, work) == [600.0 * i for i in range(8)]


def test_a_comparison_is_a_condition_for_where(gg):
    signs = {
        ">": lambda a, b: a > b,
        ">=": lambda a, b: a >= b,
        "<": lambda a, b: a < b,
        "<=": lambda a, b: a <= b,
        "reflected": lambda a, b: 0.5 < a,  # noqa: SIM300 - that way round
    }
    for compare in signs.values():
        compiled = gg.compile(lambda a, b, compare=compare: gg.where(compare(a, b), 10.0 * a, b))
        for a, b in [(1.0, 2.0), (2.0, 1.0), (1.0, 1.0), (0.0, -0.0), (1e-300, 2e-300), (5e-324, 0.0)]:
            assert compiled(a, b).data == (10.0 * a if compare(a, b) else b)
        assert len(compiled.programs) == 1


# ---- what cannot be compiled yet -------------------------------------------------------------------------------------


def test_operations_outside_of_the_table_are_refused_by_name(gg):
    @gg.primitive
    def double(x):
        return 2.0 * x

    double.derivative(lambda x: 2.0)
    with pytest.raises(gg.CompileError, match="double"):
        gg.compile(lambda x: double(x) + 1.0)(3.0)


def test_a_result_from_outside_is_refused(gg):
    w = gg.Value(3.0)
    outside = w * w
    with pytest.raises(gg.CompileError, match="pass it as an argument"):
        gg.compile(lambda x: x * outside)(2.0)
    assert gg.compile(lambda x, z: x * z)(2.0, outside).data == 18.0


def test_arguments_that_are_no_numbers_are_to_be_static(gg):
    for x in ("tanh", True, object()):
        with pytest.raises(gg.CompileError, match="static"):
            gg.compile(lambda x, kind: x)(2.0, x)


@pytest.mark.parametrize("zero", [0.0, -0.0])
def test_both_zeros_are_constants_of_their_own(gg, zero):
    """-0.0 was once taken for 1.0."""
    w = gg.Value(0.5)

    def f(x):
        return gg.where(w * x > zero, 2 * w * x, 1 / w) + 1.0 * x

    for x in (2.0, -2.0):
        expected = f(x)
        expected.backward()
        grad, w.grad = w.grad, 0.0
        y = gg.compile(f)(x)
        y.backward()
        assert math.isclose(y.data, expected.data, rel_tol=1e-15)
        assert math.isclose(w.grad, grad, rel_tol=1e-15)
        w.grad = 0.0


def test_a_call_with_the_wrong_arguments_says_of_which_function(gg):
    def loss(x, y):
        return x * y

    for args, what in (((1.0,), r"missing a required argument: 'y'"), ((1.0, 2.0, 3.0), "too many positional")):
        with pytest.raises(TypeError, match=rf"loss\(x, y\): {what}"):
            gg.compile(loss)(*args)


def test_an_integer_beyond_all_floats_is_refused_at_a_later_call_too(gg):
    f = gg.compile(lambda x, ys: x * ys[0] + gg.sum(gg.vmap(lambda y: y * y)(ys)))
    for ys in ([2, 3], [2, 2**26], [2.0, 3]):
        assert f(3, ys).data == 3 * ys[0] + ys[0] ** 2 + ys[1] ** 2
    for x, ys, where in ((3, [2, 10**400], r"ys\[1\]"), (10**400, [2, 3], "x")):
        with pytest.raises(gg.NonFiniteError, match=f"argument {where} takes numbers that a float can hold"):
            f(x, ys)
    assert f(3, [2, 3]).data == 19.0


def test_without_numpy_an_error_says_what_is_missing():
    code = (
        "import sys; sys.modules['numpy'] = None\n"
        "import glassgrad\n"
        "try: glassgrad.compile(lambda x: x * 2.0)(glassgrad.Value(1.0))\n"
        "except glassgrad.CompileError as error: print(error)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "pip install numpy" in done.stdout


def test_nothing_returned_is_refused(gg):
    with pytest.raises(gg.CompileError, match="return missing"):
        gg.compile(lambda x: None)(2.0)


def test_settings_that_make_no_sense_are_refused(gg):
    with pytest.raises(gg.CompileError, match="'n'"):
        gg.compile(lambda x: x, static="n")
    with pytest.raises(gg.OperandError, match="keep"):
        gg.compile(lambda x: x, keep=0)
    for bad in (0, -1, True, 2.0, "2"):
        with pytest.raises(gg.OperandError, match="threads is how many to run on, 1 or more, not"):
            gg.compile(lambda x: x, threads=bad)
    with pytest.raises(gg.CompileError, match="hashable"):
        gg.compile(lambda x, n: x, static="n")(1.0, [2])
    with pytest.raises(gg.CompileError, match="no program before"):
        _ = gg.compile(lambda x: x).program


# ---- arguments, parameters, results ----------------------------------------------------------------------------------


def test_parameters_are_read_at_every_call(gg):
    w = gg.Value(3.0)
    f = gg.compile(lambda x: w * x)
    assert f(2.0).data == 6.0
    w.data = 5.0
    assert f(2.0).data == 10.0
    assert len(f.programs) == 1


def test_a_captured_constant_is_read_at_every_call_and_may_come_to_require_a_gradient(gg):
    w = gg.Value(3.0, requires_grad=False)
    f = gg.compile(lambda x: w * x.square())
    assert f(2.0).data == 12.0
    w.data = 5.0
    assert f(2.0).data == 20.0
    w.requires_grad = True
    f(2.0).backward()
    assert w.grad == 4.0


def test_gradients_accumulate_and_reach_through_arguments(gg):
    w, a = gg.Value(3.0), gg.Value(2.0)
    f = gg.compile(lambda x: (w * x).square())
    for _ in range(2):
        (10.0 * f(a * a) + a).backward()
    assert w.grad == 2 * 10.0 * 2 * (3.0 * 4.0) * 4.0
    assert a.grad == 2 * (10.0 * 2 * (3.0 * 4.0) * 3.0 * 2 * 2.0 + 1.0)


@dataclass
class Point:
    x: object
    y: object


def test_arguments_and_results_are_trees(gg):
    @gg.compile
    def f(a, points, *, table, more=2.0):
        total = sum(p.x * p.y for p in points) + table["w"][1] * more
        return {"total": total, "rows": a @ a, "fixed": 7.0}

    a = np.array([[1.0, 2.0], [3.0, 4.0]])
    points = [Point(1.0, gg.Value(2.0)), Point(3.0, gg.Value(4.0))]
    found = f(a, points, table={"w": (5, 6)})
    assert found["total"].data == 2.0 + 12.0 + 12.0
    assert [x.data for x in found["rows"].ravel()] == (a @ a).ravel().tolist()
    assert found["fixed"].data == 7.0
    (found["total"] + found["rows"][0][0]).backward()
    assert [p.y.grad for p in points] == [1.0, 3.0]
    assert f(2 * a, points, table={"w": (5, 6)}, more=1.0)["total"].data == 20.0
    assert len(f.programs) == 2  # `more` was left out in one of them


def test_static_arguments_make_a_program_for_each_value(gg):
    @gg.compile(static=("n", "kind"))
    def f(x, n, kind="tanh"):
        for _ in range(n):
            x = getattr(x, kind)()
        return x

    assert f(0.5, 2).data == math.tanh(math.tanh(0.5))
    assert f(0.25, 2).data == math.tanh(math.tanh(0.25))
    assert f(0.5, 1, kind="exp").data == math.exp(0.5)
    assert f(0.5, 0).data == 0.5
    assert len(f.programs) == 3


def test_programs_are_kept_by_structure_and_the_oldest_go(gg):
    f = gg.compile(lambda xs: sum(x * x for x in xs), keep=2)
    for n in (1, 2, 3, 3, 2):
        assert f([2.0] * n).data == 4.0 * n
    assert [program.blocks[0].size for program in f.programs] == [3, 2]
    assert f.program is f.programs[-1]
    assert set(f.seconds) == {"trace", "differentiate", "lift", "prepare"}


def test_a_list_and_a_tuple_do_not_share_a_program(gg):
    f = gg.compile(lambda x: x[0] * (2.0 if isinstance(x, list) else 3.0))
    assert [f([1.0]).data, f((1.0,)).data, f([5.0]).data] == [2.0, 3.0, 10.0]


def test_a_compiled_function_in_another_is_part_of_its_program(gg):
    w = gg.Value(3.0)
    inner = gg.compile(lambda x: w * x)
    outer = gg.compile(lambda x: inner(x) + inner(2.0 * x))
    y = outer(5.0)
    y.backward()
    assert (y.data, w.grad, inner.programs) == (45.0, 15.0, [])


def test_a_method_can_be_compiled(gg):
    class Model:
        def __init__(self, w):
            self.w = gg.Value(w)

        @gg.compile(static="self")
        def loss(self, x):
            return self.w * x

    a, b = Model(2.0), Model(3.0)
    assert [a.loss(5.0).data, b.loss(5.0).data] == [10.0, 15.0]


def test_without_gradients_the_result_is_a_constant(gg):
    w = gg.Value(3.0)
    f = gg.compile(lambda x: w * x)
    with gg.no_grad():
        y = f(2.0)
    assert (y.data, y.requires_grad) == (6.0, False)


def test_results_that_no_gradient_reaches(gg):
    f = gg.compile(lambda x: x * 2.0)
    y = f(3.0)
    assert (y.data, y.requires_grad) == (6.0, False)
    a, b = gg.Value(1.0), gg.Value(2.0)
    f = gg.compile(lambda a, b: [a * 2.0, 5.0, b])
    results = f(a, b)
    sum(results).backward()
    assert ([y.data for y in results], a.grad, b.grad) == ([2.0, 5.0, 2.0], 2.0, 1.0)


def test_transforms_of_a_compiled_function(gg):
    w = gg.Value(3.0)

    def f(x):
        return (w * x).sin() * x

    compiled = gg.compile(f)
    for transform in (gg.grad, lambda f: gg.grad(gg.grad(f)), lambda f: lambda x: gg.jvp(f, (x,), (1.0,))[1]):
        with gg.no_grad():
            assert math.isclose(float(gg.engine.plain(transform(compiled)(0.7))), gg.engine.plain(transform(f)(0.7)))
    pair = gg.compile(lambda x, z: (x * z, (x + z).square()))
    eager = lambda x, z: (x * z, (x + z).square())  # noqa: E731
    assert gg.jacobian(pair, argnums=(0, 1))(2.0, 3.0) == gg.jacobian(eager, argnums=(0, 1))(2.0, 3.0)
    assert gg.jvp(pair, (2.0, 3.0), (1.0, 10.0)) == gg.jvp(eager, (2.0, 3.0), (1.0, 10.0))


def test_a_result_can_be_recomputed(gg):
    w, x = gg.Value(3.0), gg.Value(2.0)
    y = 10.0 * gg.compile(lambda x, c: w * x * c)(x, 5.0)
    w.data, x.data = 1.0, 4.0
    assert y.recompute().data == 200.0
    y.backward()
    assert (w.grad, x.grad) == (200.0, 50.0)


@pytest.mark.parametrize("read", [False, True], ids=["written", "read"])
def test_a_constant_argument_is_recomputed_too(gg, read):
    w, x = gg.Value(3.0), gg.Value(2.0, requires_grad=False)
    f = gg.compile(lambda x, c: w * w * x * c)
    if read:
        f(x, 5.0)
    y = f(x, 5.0)
    x.data, w.data = 4.0, 1.0
    assert y.recompute().data == 20.0
    y.backward()
    assert w.grad == 40.0
    assert gg.gradients(gg.gradients(y, w), w).data == 40.0
    assert x.grad == 0.0


def test_an_index_is_looked_at_again_when_a_result_is_recomputed(gg):
    w, i = gg.Value(3.0), gg.Value(1.0, requires_grad=False)
    y = gg.compile(lambda i: w * w * gg.take([10.0, 20.0, 30.0], i))(i)
    assert y.data == 180.0
    i.data = 2.0
    assert y.recompute().data == 270.0
    i.data = -3.0
    assert y.recompute().data == 90.0, "eager code counts from the end"
    assert gg.gradients(y, w).data == 60.0
    second = gg.gradients(gg.gradients(y, w), w)
    assert second.data == 20.0
    for bad, error in [(3.0, IndexError), (0.5, TypeError)]:
        i.data = bad
        with pytest.raises(error, match="take"):
            y.recompute()
        assert y.data == 90.0


def test_recomputing_a_copied_graph_where_the_function_would_have_to_run_again_is_refused(gg):
    w, i = gg.Value(3.0), gg.Value(1.0, requires_grad=False)
    y = gg.compile(lambda i: w * gg.take([10.0, 20.0, 30.0], i))(i)
    twin = copy.deepcopy(y)
    twin._prev[0].data = 5.0
    assert twin.recompute().data == 100.0
    i.data = -1.0
    with pytest.raises(gg.CompileError, match="was copied"):
        twin.recompute()
    assert (twin.data, y.recompute().data) == (100.0, 90.0)


@compile
def half(x):
    return 0.5 * x


def test_pickling_and_copying():
    assert pickle.loads(pickle.dumps(half)) is half
    assert copy.deepcopy([half])[0] is half
    x = Value(3.0)
    y = half(x)
    with pytest.raises(GraphError, match="detach"):
        pickle.dumps(y)
    with pytest.raises(GraphError, match="stands in a module"):
        pickle.dumps(compile(lambda x: x))
    again, z = copy.deepcopy([x, y * y])
    again.data = 4.0
    assert z.recompute().data == 4.0
    z.backward()
    assert (again.grad, x.grad) == (2.0, 0.0)


def test_threads_may_share_a_compiled_function(gg):
    w = gg.Value(3.0)
    f = gg.compile(lambda xs: sum(w * x * x for x in xs))

    def work(i):
        return [f([float(i), 1.0] * (1 + k % 3)).data for k in range(60)]

    for i, found in enumerate(in_threads(8, work)):
        assert found == [3.0 * (i * i + 1) * (1 + k % 3) for k in range(60)]
    assert len(f.programs) == 3


def test_modules_losses_and_optimizers_work_on_it(gg):
    random.seed(0)
    model = gg.nn.MLP(2, [4, 1])
    optimizer = gg.optim.Adam(model.parameters(), lr=0.05)
    rows, targets = [[0.0, 1.0], [1.0, 0.0], [1.0, 1.0]], [1.0, -1.0, 0.5]
    f = gg.compile(lambda rows, targets: gg.losses.mse([model(row) for row in rows], targets))
    losses = []
    before = f.__wrapped__(rows, targets).data
    for _ in range(60):
        optimizer.zero_grad()
        L = f(rows, targets)
        L.backward()
        optimizer.step()
        losses.append(L.data)
    assert losses[-1] < 0.2 * losses[0]
    assert math.isclose(losses[0], before, rel_tol=1e-12)


# ---- conditions, nan, and what a call leaves behind ------------------------------------------------------------------


def test_conditions_are_combined_and_compared(gg):
    w, v = gg.Value(3.0), gg.Value(-1.5)

    def choose(x, y):
        return [
            gg.where(condition, w * x, v)
            for condition in (
                x == 1,
                x != 1,
                (x > 0) & (x < 1),
                (x < 0) | (y > 1),
                ~(x < 5),
                (x > 0) ^ (y > 0),
                (x > 0) == (y > 0),
            )
        ]

    def expected(x, y):
        conditions = (
            x == 1, x != 1, (x > 0) & (x < 1), (x < 0) | (y > 1), not x < 5, (x > 0) ^ (y > 0), (x > 0) == (y > 0),
        )  # fmt: skip
        return [w.data * x if condition else v.data for condition in conditions]

    f = gg.compile(choose)
    for x, y in [(1.0, 2.0), (0.5, 0.5), (7.0, -1.0), (-2.0, 3.0), (0.0, 0.0)]:
        assert [z.data for z in f(x, y)] == expected(x, y)
    assert len(f.programs) == 1


def test_no_comparison_with_nan_holds(gg):
    w, v = gg.Value(3.0), gg.Value(-1.5)
    f = gg.compile(lambda x: gg.where(x > 0, w, v))
    assert f(1.0).data == 3.0
    assert f(math.nan).data == -1.5
    with gg.allow_nonfinite():
        assert f(math.nan).data == -1.5


COMPARED = {
    ">": lambda a, b: a > b,
    ">=": lambda a, b: a >= b,
    "<": lambda a, b: a < b,
    "<=": lambda a, b: a <= b,
    "and": lambda a, b: (a > b) & (b > -1),
    "or": lambda a, b: (a <= b) | (b < -1),
    "xor": lambda a, b: (a <= b) ^ (b < -1),
}


@pytest.mark.parametrize("compare", COMPARED)
def test_no_comparison_with_a_nan_that_is_computed_holds(gg, compare):
    """Of infinities, eager code says what holds: inf >= inf does."""
    w, v = gg.Value(3.0), gg.Value(-1.5)
    nans = [lambda x, y: x.exp() - y.exp(), lambda x, y: x.exp() * 0.0, lambda x, y: (x - 1e3).log() - (y - 1e3).log()]
    for of in [*nans, lambda x, y: x.exp(), lambda x, y: -x.exp(), lambda x, y: x.exp() * y]:
        for scale in (0.0, 1.0):
            for rolled in (False, True):

                def choose(x, y, of=of, scale=scale):
                    return gg.where(COMPARED[compare](of(x, y), scale * y), w * 1.0, v * 1.0)

                with gg.allow_nonfinite():
                    expected = choose(gg.Value(1e3, requires_grad=False), gg.Value(1e3, requires_grad=False)).data
                    if rolled:
                        found = gg.compile(lambda xs, f=choose: gg.vmap(f)(xs, xs))([1e3, 1e3])[1]
                    else:
                        found = gg.compile(choose)(1e3, 1e3)
                    assert found.data == expected


def test_an_infinite_derivative_is_no_zero(gg):
    p = gg.Value(0.0)
    y = gg.compile(lambda x: gg.sqrt(p * p + x * x))(0.0)
    with pytest.raises(gg.NonFiniteError, match="sqrt"):
        y.backward()


def test_nothing_is_kept_from_an_earlier_trace(gg):
    w, kept = gg.Value(3.0), {}

    @gg.compile
    def f(xs):
        if "x" not in kept:
            kept["x"] = xs[0] * w
        return sum(kept["x"] * x for x in xs)

    assert f([2.0]).data == 12.0
    with pytest.raises(gg.CompileError, match="an earlier call"):
        f([5.0, 1.0])


def test_static_arguments_are_told_apart_by_their_types(gg):
    w = gg.Value(3.0)
    f = gg.compile(lambda x, c: w * x * (2 if c[0] is True else 1), static="c")
    assert [f(1.0, c).data for c in [(1,), (True,), (1,), (1.0,)]] == [3.0, 6.0, 3.0, 3.0]
    g = gg.compile(lambda x, c: w * x * math.copysign(1.0, c), static="c")
    assert [g(1.0, c).data for c in (0.0, -0.0, 0.0)] == [3.0, -3.0, 3.0]


@pytest.mark.parametrize("text", ["Input shape: expected Examples of 3 numbers", "a Batch of Value objects"])
def test_errors_of_the_users_own_stay_as_they_are(gg, text):
    class Batch:
        pass

    @gg.compile
    def raises(x):
        raise TypeError(text)

    with pytest.raises(TypeError, match=text):
        raises(1.0)
    with pytest.raises(AttributeError, match="has no attribute 'rows'"):
        gg.compile(lambda x: x * Batch().rows)(1.0)


def test_what_depends_on_constants_only_requires_no_gradient(gg):
    w, c = gg.Value(3.0), gg.Value(2.0, requires_grad=False)
    f = gg.compile(lambda x, xs: {"y": w * x, "fixed": c * x, "rows": gg.vmap(lambda a: (a * w, a + c))(xs)})
    for x in (5.0, gg.Value(5.0, requires_grad=False)):
        found = f(x, [1.0, 2.0])
        assert found["y"].requires_grad
        assert not found["fixed"].requires_grad
        assert [[y.requires_grad for y in row] for row in found["rows"]] == [[True, False], [True, False]]
        with pytest.raises(gg.GraphError, match="requires_grad"):
            found["fixed"].backward()
    x = gg.Value(5.0)
    g = gg.compile(lambda x, a: c * a)
    assert not g(x, 2.0).requires_grad
    assert g(x, x).requires_grad
    assert f(x, [1.0, 2.0])["fixed"].requires_grad
