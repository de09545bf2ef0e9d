"""PyTorch and JAX, for a process of their own: the same programs as `strategies` draws, with their gradients.

Both start threads, and JAX warns in any process that forks afterwards, as a test of ours does.
"""

from __future__ import annotations

import multiprocessing
from concurrent.futures import ProcessPoolExecutor

import numpy as np
from strategies import NAMES, NARY, OPERATORS, SIZES, evaluate

DIRECTION = (1.0, -0.7, 0.4, -1.3)


def in_a_process(function, *args):
    """What a function of this file returns in a new process."""
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as pool:
        return pool.submit(function, *args).result()


def in_torch(programs):
    """For each program its leaves and the sum of all its scalars, in PyTorch."""
    import torch

    torch.set_num_threads(1)
    apply = torch_operations(torch)
    for program in programs:
        leaves = [torch.tensor(x, dtype=torch.float64, requires_grad=True) for x in program.leaves]
        yield leaves, torch.stack(evaluate(program, leaves, apply)).sum()


def torch_gradients(programs):
    """For each program the sum of all its scalars and the derivative by each leaf, in PyTorch."""
    import torch

    found = []
    for leaves, root in in_torch(programs):
        found.append((root.item(), [grad.item() for grad in torch.autograd.grad(root, leaves)]))
    return found


def torch_hessian_products(programs):
    """For each program the product of its Hessian with the vector `DIRECTION`, in PyTorch: a backward of a backward."""
    import torch

    found = []
    for leaves, root in in_torch(programs):
        grads = torch.autograd.grad(root, leaves, create_graph=True)
        slope = sum(v * grad for v, grad in zip(DIRECTION, grads, strict=False))
        if slope.requires_grad:
            seconds = torch.autograd.grad(slope, leaves, materialize_grads=True)
            found.append([second.item() for second in seconds])
        else:
            found.append([0.0] * len(leaves))  # linear
    return found


def jax_gradients(programs):
    """The same in JAX."""
    import jax

    jax.config.update("jax_enable_x64", True)
    run = jax_machine(jax)
    return [run(program) for program in programs]


def torch_operations(torch):
    """The `apply` of PyTorch."""
    F = torch.nn.functional

    def lifted(x):
        return torch.as_tensor(x, dtype=torch.float64)

    functions = {
        **OPERATORS,
        "cbrt": lambda x: x.sign() * x.abs() ** (1 / 3),
        "gelu": F.gelu,
        "silu": F.silu,
        "softplus": lambda x: F.softplus(x, threshold=700.0),  # linear past 20 otherwise
        "leaky_relu": lambda x, slope: torch.where(x > 0, x, slope * x),
        "elu": lambda x, alpha: torch.where(x > 0, x, alpha * torch.expm1(x)),
        "clip": torch.clamp,
        "where": lambda condition, x, w: torch.where(condition != 0, x, w),
        "sum": torch.sum,
        "mean": torch.mean,
        "prod": torch.prod,
        "logsumexp": lambda xs: torch.logsumexp(xs, 0),
        "softmax": lambda xs: torch.softmax(xs, 0)[0],
        "dot": lambda xs: xs[: len(xs) // 2] @ xs[len(xs) // 2 :],
    }

    def apply(name, operands):
        function = functions.get(name) or getattr(torch, name)
        if name in NARY:
            return function(torch.stack([lifted(x) for x in operands]))
        if name in OPERATORS:
            return function(*operands)
        return function(*map(lifted, operands))

    return apply


LEAVES, STEPS, WIDTH = 4, 12, 8  # how many of each a program has at most; a dot takes 2 * 4 operands


def jax_machine(jax):
    """A function from a program to its value and gradient in JAX.

    JAX compiles for half a second where it meets a new program, so it compiles one that runs them all: a loop over the
    steps that switches on the operation. (A switch takes one branch, so derivatives of the others cannot spoil it.)
    """
    jnp, activations = jax.numpy, jax.nn
    functions = {
        **OPERATORS,
        "gelu": lambda x: activations.gelu(x, approximate=False),
        **{name: getattr(activations, name) for name in ("relu", "sigmoid", "silu", "softplus")},
        "erf": jax.scipy.special.erf,
        "leaky_relu": lambda x, slope: jnp.where(x > 0, x, slope * x),
        "elu": lambda x, alpha: jnp.where(x > 0, x, alpha * jnp.expm1(x)),
        "where": lambda condition, x, w: jnp.where(condition != 0, x, w),
    }
    of_lists = {  # of WIDTH operands, the first n of which count
        "sum": lambda xs, there: jnp.sum(xs, where=there),
        "mean": lambda xs, there: jnp.mean(xs, where=there),
        "prod": lambda xs, there: jnp.prod(xs, where=there),
        "logsumexp": lambda xs, there: activations.logsumexp(xs, where=there),
        "softmax": lambda xs, there: activations.softmax(jnp.where(there, xs, -jnp.inf))[0],
        "dot": lambda xs, there: xs[: WIDTH // 2] @ xs[WIDTH // 2 :],
    }

    def branch(name):
        if name in NARY:
            return lambda xs, count: of_lists[name](xs, jnp.arange(WIDTH) < count)
        function = functions.get(name) or getattr(jnp, name)
        return lambda xs, count: function(*xs[: SIZES[name]])

    branches = [*map(branch, NAMES), lambda xs, count: xs[0]]  # the last one fills up with zeros

    def total(leaves, codes, numbers, places, counts):
        def step(state, now):
            scalars, i = state
            code, number, place, count = now
            xs = jnp.concatenate([number, scalars])[place]
            return (scalars.at[i].set(jax.lax.switch(code, branches, xs, count)), i + 1), None

        scalars = jnp.concatenate([leaves, jnp.zeros(STEPS)])
        (scalars, _), _ = jax.lax.scan(step, (scalars, LEAVES), (codes, numbers, places, counts))
        return scalars.sum()

    compiled = jax.jit(jax.value_and_grad(total))

    def run(program):
        own = len(program.leaves)
        leaves = np.zeros(LEAVES)
        leaves[:own] = program.leaves
        codes, counts = np.full(STEPS, len(NAMES)), np.zeros(STEPS, int)
        numbers, places = np.zeros((STEPS, WIDTH)), np.tile(np.arange(WIDTH), (STEPS, 1))
        for i, (name, operands) in enumerate(program.steps):
            codes[i], counts[i] = NAMES.index(name), len(operands)
            for j, operand in enumerate(operands):
                half = len(operands) // 2
                slot = WIDTH // 2 + j - half if name == "dot" and j >= half else j
                if isinstance(operand, int):
                    places[i, slot] = WIDTH + operand + (LEAVES - own if operand >= own else 0)
                else:
                    numbers[i, slot] = operand
        value, gradient = compiled(leaves, codes, numbers, places, counts)
        return float(value), [float(x) for x in gradient[:own]]

    return run
