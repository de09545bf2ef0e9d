"""What a type checker tells a user's program: `make types` checks this file, the suite runs it.

An `ignore` states that its line is refused: mypy's strict mode reports one that is not needed.
"""

from __future__ import annotations

import contextlib
from typing import Any, assert_type

import numpy as np

import glassgrad
from glassgrad import Scalar, Value

a, b = Value(2.0, "a"), Value(3)


def test_arithmetic_gives_values() -> None:
    assert_type(a * b + 2, Value)
    assert_type(2 - a / 3.0, Value)
    assert_type(2**a + a**2, Value)
    assert_type(-abs(a), Value)
    assert_type(a + True, Value)
    assert_type(sum([a, b], start=b), Value)  # without a start, Python's own sum is a Value or 0
    assert_type(max(a, b), Value)
    assert_type(sorted([b, a]), list[Value])
    assert_type(a < 3, bool)
    assert_type(a.data, float)
    assert_type(a._prev, tuple[Value, ...])


def test_methods_and_functions() -> None:
    assert_type(a.exp(), Value)
    assert_type(a.clip(low=0, high=b), Value)
    assert_type(a.where(a > b, 0), Value)
    assert_type(glassgrad.exp(a), Value)
    assert_type(glassgrad.exp(1), float)
    assert_type(glassgrad.exp(x=1.0), float)
    assert_type(glassgrad.hypot(a, 1), Value)
    assert_type(glassgrad.hypot(1, a), Value)
    assert_type(glassgrad.hypot(1, 2.5), float)
    assert_type(glassgrad.leaky_relu(a, slope=0.1), Value)
    assert_type(glassgrad.elu(-1.0), float)
    assert_type(glassgrad.clip(a, low=0, high=1), Value)
    assert_type(glassgrad.clip(5, 0, 1), float)
    assert_type(glassgrad.where(a < b, a, 0), Value)
    assert_type(glassgrad.where(a < b, 1, 0), float)
    assert_type(glassgrad.where(a, 1, 0), Value)


def test_functions_of_lists() -> None:
    mixed: list[Scalar] = [a, 1, 2.5]
    assert_type(glassgrad.sum([a, 1.0]), Value)
    assert_type(glassgrad.sum([a, 1]), Value)
    assert_type(glassgrad.sum([1, 2.0]), float)
    assert_type(glassgrad.sum(x * x for x in mixed if isinstance(x, Value)), Value)
    assert_type(glassgrad.mean(mixed), Value)
    assert_type(glassgrad.prod((a, b)), Value)
    assert_type(glassgrad.logsumexp([a, b]), Value)
    assert_type(glassgrad.dot([a, b], [1.0, 2.0]), Value)
    assert_type(glassgrad.dot([1.0], [2]), float)
    assert_type(glassgrad.softmax([a]), list[Value])
    assert_type(glassgrad.softmax([1.0, 2.0]), list[float])


def test_numpy() -> None:
    row: np.ndarray[Any, np.dtype[np.float64]] = np.array([1.0, 2.0])
    assert_type(a * np.float64(2) + np.int64(1) - np.float32(3), Value)
    assert_type(np.float32(2) * a, Value)
    assert_type(Value(np.int8(3)), Value)
    assert_type(glassgrad.sum([a, np.int64(2)]), Value)
    assert_type(a * row, Any)
    assert_type(row * a, Any)


def square(x: Value) -> Value:
    return x * x


def test_derivatives() -> None:
    assert_type(glassgrad.gradients(a * b, a), Value)
    assert_type(glassgrad.gradients(a * b, [a, b]), list[Value])
    assert_type(glassgrad.gradients([a * b, a], {"a": a}, seeds=[1, b]), dict[str, Value])
    slope: float = glassgrad.grad(square)(2.0)
    assert slope == glassgrad.grad(glassgrad.grad(square))(2.0) * 2.0
    value, slope = glassgrad.value_and_grad(square, argnums=(0,), strict=True)(2.0)
    result, pullback = glassgrad.vjp(square, 2.0)
    assert_type(pullback(1.0), tuple[Any, ...])
    assert (value, result) == (4.0, 4.0)
    _, _, aux = glassgrad.vjp(lambda x: (square(x), "aux"), 2.0, has_aux=True)
    _, velocity = glassgrad.jvp(square, (2.0,), (1.0,))
    assert (aux, velocity) == ("aux", 4.0)
    assert glassgrad.hessian(square)(2.0) == glassgrad.hvp(square)(2.0, 1.0) == 2.0
    assert glassgrad.jacobian(square, mode="forward")(2.0) == 4.0


def test_watching() -> None:
    w = Value(1.0)
    recording = glassgrad.watch([w], budget=10_000)
    assert_type(recording, glassgrad.Recording)
    glassgrad.training.fit(lambda: w * w, [w], epochs=2, watch=recording)
    assert_type(recording.values(), list[float])
    assert_type(recording.grads(0), list[float | None])
    assert recording.losses == [1.0, 0.98**2]


def test_what_fails_is_refused_before_it_runs() -> None:
    with contextlib.suppress(TypeError):
        a + "x"  # type: ignore[operator]
    with contextlib.suppress(TypeError):
        a * None  # type: ignore[operator]
    with contextlib.suppress(TypeError):
        [1.0] - a  # type: ignore[operator]
    with contextlib.suppress(TypeError):
        _ = a < "x"  # type: ignore[operator]
    with contextlib.suppress(TypeError):
        Value("2")  # type: ignore[arg-type]
    with contextlib.suppress(TypeError):
        Value(a)  # type: ignore[arg-type]
    with contextlib.suppress(TypeError):
        Value(np.ones(3))  # type: ignore[arg-type]
    with contextlib.suppress(TypeError):
        a.data = a  # type: ignore[assignment]
    with contextlib.suppress(TypeError):
        a.maximum("x")  # type: ignore[arg-type]
    with contextlib.suppress(TypeError):
        glassgrad.exp("x")  # type: ignore[call-overload]
    with contextlib.suppress(TypeError):
        glassgrad.sum([a, "x"])  # type: ignore[list-item]
    with contextlib.suppress(TypeError):
        glassgrad.grad(a)  # type: ignore[arg-type]
    with contextlib.suppress(TypeError):
        glassgrad.jacobian(square, mode="backward")  # type: ignore[arg-type]
