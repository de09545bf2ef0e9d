"""Gradients of more than 10,000 random programs against PyTorch, and of 2,000 against JAX, all in doubles.

Second derivatives of 1,500 against PyTorch.

The programs use every operation and are drawn by `strategies.smooth_program`, away from kinks and from the tails where
the peers lose digits (docs/corners.md lists both). The tolerance is 1e-13 of the sum over all paths of the products of
local derivatives, which is what rounding is relative to where paths cancel; the largest difference found is 2e-14.
"""

from __future__ import annotations

import importlib.util
import os
import random
from collections import Counter

import peers
import pytest
from strategies import NAMES, evaluate, on, paths, smooth_program

from glassgrad import rules

TOLERANCE = 1e-13


def drawn(count, seed):
    """Programs, after a check that every operation is in many of them."""
    rng = random.Random(seed)
    programs = [smooth_program(rng, rules) for _ in range(count)]
    uses = Counter(name for program in programs for name, _ in program.steps)
    assert min(uses[name] for name in NAMES) > count / 100
    return programs


def need(peer):
    """Skip if a peer is not installed; fail where the whole suite is meant to run."""
    if importlib.util.find_spec(peer) is None:
        missing = f"{peer} is not installed, and gradients are compared with it: pip install --group peers"
        skip = os.environ.get("PEERS") == "0" or not os.environ.get("CI")
        pytest.skip(missing) if skip else pytest.fail(missing)


@pytest.fixture(scope="session")
def by_torch():
    need("torch")
    programs = drawn(10_500, seed=1)
    return list(zip(programs, peers.in_a_process(peers.torch_gradients, programs), strict=True))


@pytest.fixture(scope="session")
def by_jax():
    need("jax")
    programs = drawn(2_000, seed=2)
    return list(zip(programs, peers.in_a_process(peers.jax_gradients, programs), strict=True))


@pytest.fixture(scope="session")
def second_by_torch():
    need("torch")
    programs = drawn(1_500, seed=3)
    return list(zip(programs, peers.in_a_process(peers.torch_hessian_products, programs), strict=True))


def agreeing(gg, rows):
    """How many programs have the value and the gradient that the peer found; fails at the first that has not."""
    for program, (value, gradient) in rows:
        leaves = [gg.Value(x) for x in program.leaves]
        root = gg.sum(evaluate(program, leaves, on(gg)))
        root.backward()
        assert root.data == pytest.approx(value, rel=1e-12, abs=1e-12 * len(program.steps)), program
        for x, right, scale in zip(leaves, gradient, paths(leaves, gg.engine.sweep.walk([root])), strict=True):
            assert abs(x.grad - right) <= TOLERANCE * scale, f"{x.grad} and {right} by {x!r} in {program}"
    return len(rows)


@pytest.mark.slow
def test_gradients_agree_with_pytorch(gg, by_torch):
    assert agreeing(gg, by_torch) > 10_000


@pytest.mark.slow
def test_gradients_agree_with_jax(gg, by_jax):
    assert agreeing(gg, by_jax) == 2_000


@pytest.mark.slow
def test_second_derivatives_agree_with_pytorch(gg, second_by_torch):
    """Hessian times vector, with a backward of a backward there; where terms cancel it is relative to 0.01."""
    for program, right in second_by_torch:
        along = list(peers.DIRECTION[: len(program.leaves)])
        f = gg.hvp(lambda leaves, program=program: gg.sum(evaluate(program, leaves, on(gg))))
        assert f(list(program.leaves), along) == pytest.approx(right, rel=1e-11, abs=1e-13), program
