"""no_grad, allow_nonfinite and scope: blocks and decorators of one thread, undone whatever happens inside."""

from __future__ import annotations

import copy
import functools
import math
import pickle
import threading

import pytest
from conftest import in_threads


class Stop(Exception):
    pass


# ---- what they do --------------------------------------------------------------------------------------------------


def test_no_grad_as_block_and_as_decorator(gg):
    x = gg.Value(3.0)

    @gg.no_grad()
    def predict(v, *, power=2):
        """The square."""
        return v**power

    with gg.no_grad():
        y = x * 2 + gg.sum([x, x]) + gg.tanh(x) + x.clip(0, 1)
        with gg.no_grad():
            pass
        z = x + 1
    for node in (y, z, predict(x), predict(x, power=3)):
        assert not node.requires_grad
        assert node._prev == ()
    assert predict.__name__ == "predict"
    assert predict.__doc__ == "The square."
    assert (x + 1).requires_grad
    with gg.no_grad():
        assert gg.Value(1.0).requires_grad, "a leaf made inside is a parameter like any other"


def test_no_grad_holds_for_operations_written_by_hand(gg):
    x = gg.Value(3.0)
    with gg.no_grad():
        y = gg.Value(9.0, (x,), "square")

        def backward():
            x.grad += 6.0 * y.grad

        y._backward = backward
    assert y._prev == ()
    assert not y.requires_grad
    assert not (y * 2).requires_grad


def test_backward_works_inside_no_grad(gg):
    x = gg.Value(3.0)
    y = x * x
    with gg.no_grad():
        y.backward()
        x.data -= 0.5 * x.grad
    assert (x.grad, x.data) == (6.0, 0.0)


def test_allow_nonfinite_gives_ieee_results(gg):
    with gg.allow_nonfinite():
        x = gg.Value(0.0)
        y = x.log()
        assert y.data == -math.inf
        assert (1 / x).data == math.inf
        assert math.isnan((y - y).data)
        y.backward()
        assert x.grad == math.inf
    with pytest.raises(gg.NonFiniteError):
        x.log()

    @gg.allow_nonfinite()
    def division(a, b):
        return a / b

    assert division(x, 0.0).data != division(x, 0.0).data
    with pytest.raises(gg.NonFiniteError):
        x / 0.0


@pytest.mark.parametrize("mode", ["no_grad", "allow_nonfinite"])
def test_modes_are_clean_after_any_exception(gg, mode):
    make = getattr(gg, mode)

    def strict():
        x = gg.Value(0.0)
        with pytest.raises(gg.NonFiniteError):
            x.log()
        return (x + 1).requires_grad

    for error in (Stop(), KeyboardInterrupt(), SystemExit(), GeneratorExit()):
        with pytest.raises(type(error)), make(), make():
            raise error

        @make()
        def fails(error=error):
            raise error

        with pytest.raises(type(error)):
            fails()
        assert strict()
    block = make()
    with block, block:  # one block may be entered again
        pass
    assert strict()


def test_scopes_nest_and_end(gg):
    layer = gg.scope("layer1")

    @gg.scope("head")
    def head(x):
        return x * 2

    with layer:
        x = gg.Value(1.0, "x")
        with gg.scope("neuron3"):
            y = x * 2
            z = head(x)
        with layer:
            again = gg.sum([x, y])
        plain = x + 1
    outside = y + z
    names = [v._scope for v in (x, y, z, again, plain, outside, head(x))]
    assert names == ["layer1", "layer1/neuron3", "layer1/neuron3/head", "layer1/layer1", "layer1", "", "head"]
    assert x.label == "x"
    y.label = "y"
    assert (y.label, y._scope, (plain.label, plain._scope)) == ("y", "layer1/neuron3", ("", "layer1"))
    for error in (Stop(), KeyboardInterrupt()):
        with pytest.raises(type(error)), gg.scope("a"), gg.scope("b"):
            raise error
        assert (x + 1)._scope == ""
    for wrong in ("", None, 3):
        with pytest.raises(gg.OperandError):
            gg.scope(wrong)


# ---- decorators ----------------------------------------------------------------------------------------------------


def test_a_decorator_needs_no_parentheses(gg):
    @gg.no_grad
    def constant(x):
        """Doc."""
        return x + 1

    @gg.allow_nonfinite
    def logarithm(x):
        return x.log()

    assert (constant.__name__, constant.__doc__) == ("constant", "Doc.")
    assert not constant(gg.Value(1.0)).requires_grad
    assert logarithm(gg.Value(0.0)).data == -math.inf
    assert (gg.Value(1.0) + 1).requires_grad
    with pytest.raises(gg.NonFiniteError):
        gg.Value(0.0).log()


def test_methods_lambdas_and_partials_are_decorated(gg):
    class Model:
        w = gg.Value(2.0)

        @gg.no_grad
        def predict(self, x):
            return self.w * x

    assert not Model().predict(3.0).requires_grad
    assert not gg.no_grad(lambda x: x * 2)(Model.w).requires_grad
    assert not gg.no_grad()(functools.partial(pow, Model.w))(2).requires_grad


def test_what_runs_after_its_call_is_not_decorated(gg):
    def generator():
        yield 1

    async def coroutine():
        return 1

    async def asynchronous():
        yield 1

    for function in (generator, coroutine, asynchronous, functools.partial(generator)):
        for block, name in ((gg.no_grad(), r"no_grad\(\)"), (gg.scope("a"), r"scope\('a'\)")):
            with pytest.raises(
                gg.OperandError, match=rf"{name} cannot decorate .*outside the block; write `with {name}:`"
            ):
                block(function)
    with pytest.raises(gg.OperandError, match=r"cannot decorate function .*generator"):
        gg.no_grad(generator)
    with pytest.raises(gg.OperandError, match=r"cannot decorate function .*coroutine"):
        gg.allow_nonfinite(coroutine)


@pytest.mark.parametrize("wrong", [3, "f", ()])
def test_only_functions_are_decorated(gg, wrong):
    for decorate in (gg.no_grad, gg.allow_nonfinite, gg.no_grad(), gg.scope("a")):
        with pytest.raises(gg.OperandError, match="decorates a function, not"):
            decorate(wrong)


# ---- entering and leaving ------------------------------------------------------------------------------------------


def test_leaving_without_entering_is_refused(gg):
    for block, name in (
        (gg.no_grad(), r"no_grad\(\)"),
        (gg.allow_nonfinite(), "allow"),
        (gg.scope("a"), r"scope\('a'\)"),
    ):
        with pytest.raises(gg.GlassgradError, match=f"{name}.* is left but was not entered in this thread"):
            block.__exit__(None, None, None)
        block.__enter__()
        with pytest.raises(gg.GlassgradError, match="not entered in this thread"):  # that one is another thread's
            in_threads(1, lambda _, block=block: block.__exit__(None, None, None))
        block.__exit__(None, None, None)
    x = gg.Value(0.0)
    assert ((x + 1).requires_grad, (x + 1)._scope) == (True, "")
    with pytest.raises(gg.NonFiniteError):
        x.log()


def test_one_scope_serves_many_threads(gg):
    shared = gg.scope("shared")
    gate = threading.Barrier(4)

    def work(i):
        names = []
        for _ in range(50):
            with gg.scope(f"thread{i}"), shared:
                gate.wait(30)
                with shared:
                    names.append((gg.Value(1.0) + 1)._scope)
        return set(names)

    assert in_threads(4, work) == [{f"thread{i}/shared/shared"} for i in range(4)]


def test_scopes_are_copied_and_pickled_by_name(gg):
    layer = gg.scope("layer1")
    with layer:
        twins = copy.deepcopy(layer), pickle.loads(pickle.dumps(layer))
    for twin in twins:
        assert (twin.name, repr(twin)) == ("layer1", "scope('layer1')")
        with twin:
            assert (gg.Value(1.0) + 1)._scope == "layer1"


def test_functions_are_called_each_in_its_scope(gg):
    modes = gg.engine.modes
    x = gg.Value(1.0)

    def fail(_x):
        raise Stop

    scopes = [gg.scope("a"), gg.scope("b")]
    assert [v._scope for v in modes.call_each([lambda v: v + 1, lambda v: v * 2], scopes, x)] == ["a", "b"]
    with pytest.raises(Stop):
        modes.call_each([fail, fail], scopes, x)
    assert (x + 1)._scope == ""


# ---- threads -------------------------------------------------------------------------------------------------------


def test_eight_threads_each_in_their_own_modes(gg):
    gate = threading.Barrier(8)

    def work(i):
        for _ in range(20):
            with gg.scope(f"thread{i}"):
                gate.wait(30)
                x = gg.Value(0.0)
                if i % 3 == 0:
                    with gg.no_grad():
                        gate.wait(30)
                        y = x + i
                        assert not y.requires_grad
                        with pytest.raises(gg.NonFiniteError):
                            x.log()
                        gate.wait(30)
                elif i % 3 == 1:
                    with gg.allow_nonfinite():
                        gate.wait(30)
                        assert x.log().data == -math.inf
                        assert (x + 1).requires_grad
                        gate.wait(30)
                else:
                    gate.wait(30)
                    with pytest.raises(gg.NonFiniteError):
                        x.log()
                    y = x + 1
                    assert (y.requires_grad, y._scope) == (True, f"thread{i}")
                    gate.wait(30)
            assert (x + 1)._scope == ""
        return True

    with gg.no_grad():  # the main thread's mode is nobody else's
        assert in_threads(8, work) == [True] * 8


def test_a_thread_that_ends_inside_a_block_changes_no_other(gg):
    def work(i):
        gg.no_grad().__enter__()
        gg.allow_nonfinite().__enter__()
        gg.scope("left open").__enter__()

    in_threads(8, work)

    def check(i):
        y = gg.Value(1.0) + 1
        with pytest.raises(gg.NonFiniteError):
            gg.Value(0.0).log()
        return y.requires_grad, y._scope

    assert in_threads(8, check) == [(True, "")] * 8
    assert check(0) == (True, "")
