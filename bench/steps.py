"""One training step of the same model in each library: what `compiled.py` measures.

A `Work` is a model and batches of data. A library's function makes a `Step` of it, which starts with the parameters of
glassgrad's model and has gradients in its order. Each is written as one would write it for speed: JAX and PyTorch in
arrays, NumPy in place.
"""

import itertools
import math
import random
from collections.abc import Callable
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any

import numpy as np
import programs

import glassgrad


@dataclass
class Work:
    """What all libraries compute.

    Attributes:
        kind: which model and loss: "gpt", "gpt batch", "moons" or "classes".
        shapes: of its matrices of parameters; the last column of a layer's are the biases.
        batches: of a GPT tokens and weights, else inputs and targets.
        dtype: what is computed in.
        optimizer: "sgd" or "adam".
        ours: makes glassgrad's model: its parameters, its loss, and what `compile` is told besides.
    """

    kind: str
    shapes: list[tuple[int, int]]
    batches: list[tuple]
    dtype: str
    optimizer: str
    lr: float
    ours: Callable[[], SimpleNamespace]

    def start(self):
        """The initial parameters, flat."""
        return np.array([p.data for p in self.ours().parameters], self.dtype)


@dataclass
class Step:
    """A library's way to do the work.

    Attributes:
        first: gives the loss and the gradient of the first batch; parameters stay as they are.
        step: trains on the next batch, and returns the loss as the library has it.
        made: of glassgrad, what `floor` takes apart: the compiled loss, the optimizer, the batches.
    """

    first: Callable[[], tuple]
    step: Callable[[], Any]
    made: SimpleNamespace | None = None


BETAS, EPS = (0.85, 0.99), 1e-8


# ---- the work --------------------------------------------------------------------------------------------------------

NAMES = [
    "emma", "olivia", "ava", "isabella", "sophia", "charlotte", "mia", "amelia", "harper", "evelyn", "abigail", "emily",
    "elizabeth", "mila", "ella", "avery", "sofia", "camila", "aria", "scarlett", "victoria", "madison", "luna", "grace",
    "chloe", "penelope", "layla", "riley", "zoey", "nora", "lily", "eleanor",
]  # fmt: skip


def names_gpt(batch=1, dtype="float64"):
    """examples/names_gpt.py as it is: 1 layer, 16 wide, 4 heads, context 16, Adam."""
    program = programs.names_gpt("glassgrad")
    tokenizer = program.Tokenizer(["abcdefghijklmnopqrstuvwxyz"])
    rows = [program.guesses(tokenizer.encode(name), 16, pad=True) for name in NAMES]
    if batch > 1:
        rows = [tuple(map(np.array, zip(*rows[i : i + batch], strict=True))) for i in range(0, len(rows), batch)]

    def ours():
        model = program.GPT(tokenizer.size)

        def loss(tokens, weights):
            return glassgrad.mean(glassgrad.vmap(model.loss)(tokens, weights))

        return SimpleNamespace(
            parameters=model.weights, loss=model.loss if batch == 1 else loss, options={"dtype": dtype}
        )

    n, w = tokenizer.size, 16
    shapes = [(n, w), (16, w), *[(w, w)] * 4, (4 * w, w), (w, 4 * w), (n, w)]
    return Work("gpt" if batch == 1 else "gpt batch", shapes, rows, dtype, "adam", 0.01, ours)


def moons():
    """micrograd's demo: MLP(2, [16, 16, 1]), 100 samples, hinge loss, L2, SGD, float64."""
    X, y = programs.moons_data()

    def ours():
        random.seed(1337)
        model = glassgrad.nn.MLP(2, [16, 16, 1])

        def loss(X, y):
            scores = [model(x) for x in X]
            data = sum((1 - yi * s).relu() for yi, s in zip(y, scores, strict=True)) / len(y)
            return data + 1e-4 * sum(p * p for p in model.parameters())

        return SimpleNamespace(parameters=model.parameters(), loss=loss, options={})

    return Work("moons", layers([2, 16, 16, 1]), [(X, y.astype(float))], "float64", "sgd", 0.5, ours)


def classes(sizes, X, y):
    """A classifier on batches of 64, cross entropy, SGD, float32."""
    batches = [(X[i : i + 64], y[i : i + 64]) for i in range(0, len(X) - 63, 64)]

    def ours():
        random.seed(1337)
        model = glassgrad.nn.MLP(sizes[0], sizes[1:])
        for neuron in (neuron for layer in model.layers for neuron in layer.neurons):
            for w in neuron.w:  # from micrograd's -1 to 1 to what training of networks this wide starts from
                w.data /= math.sqrt(len(neuron.w))

        def one(x, label):
            scores = model(x)
            return glassgrad.logsumexp(scores) - glassgrad.take(scores, label)

        def loss(X, y):
            return glassgrad.mean(glassgrad.vmap(one)(X, y))

        return SimpleNamespace(parameters=model.parameters(), loss=loss, options={"dtype": "float32"})

    return Work("classes", layers(sizes), batches, "float32", "sgd", 0.05, ours)


def digits():
    """scikit-learn's handwritten digits, 8 × 8, in a 64-32-10 network."""
    from sklearn.datasets import load_digits

    found = load_digits()
    return classes([64, 32, 10], (found.data / 16).astype(np.float32), found.target)


def mnist_shaped():
    """Random numbers in MNIST's shape, in a 784-100-10 network: 79,510 parameters."""
    rng = np.random.default_rng(0)
    return classes([784, 100, 10], rng.random((256, 784), np.float32), rng.integers(0, 10, 256))


def layers(sizes):
    """For each layer the shape of its weights with the biases as a last column: glassgrad's order, neuron by neuron."""
    return [(n, m + 1) for m, n in itertools.pairwise(sizes)]


def split(flat, shapes):
    """A flat vector as matrices, without copying."""
    ends = list(itertools.accumulate(math.prod(shape) for shape in shapes))
    return [flat[a:b].reshape(shape) for a, b, shape in zip([0, *ends], ends, shapes, strict=False)]


# ---- glassgrad -------------------------------------------------------------------------------------------------------


def ours(work):
    """What a user writes."""
    made = work.ours()
    loss = glassgrad.compile(made.loss, **made.options)
    if work.optimizer == "sgd":
        optimizer = glassgrad.optim.SGD(made.parameters, lr=work.lr)
    else:
        optimizer = glassgrad.optim.Adam(made.parameters, lr=work.lr, betas=BETAS, eps=EPS)
    coming = itertools.cycle(work.batches)

    def first():
        L = loss(*work.batches[0])
        optimizer.zero_grad()
        L.backward()
        return L.data, [p.grad for p in made.parameters]

    def step():
        X, y = next(coming)
        optimizer.zero_grad()
        L = loss(X, y)
        L.backward()
        optimizer.step()
        return L.data

    return Step(first, step, SimpleNamespace(loss=loss, optimizer=optimizer, batches=work.batches))


# ---- JAX -------------------------------------------------------------------------------------------------------------


def jax(work, flat=True):
    """One jitted update with donated buffers, data on the device; parameters as one vector, or as a list of arrays."""
    import jax as j
    from jax.flatten_util import ravel_pytree

    jnp = j.numpy
    j.config.update("jax_enable_x64", True)
    j.config.update("jax_cpu_enable_async_dispatch", False)  # faster, for so little work, than a thread beside this one

    def gpt(p, tokens, weights):
        emb, positions, query, key, value, output, wide, narrow, unembedding = p
        heads = 4
        rmsnorm = lambda x: x * ((x * x).mean(-1, keepdims=True) + 1e-5) ** -0.5  # noqa: E731
        x = rmsnorm(emb[tokens[:-1]] + positions)
        n, width = x.shape
        h = rmsnorm(x)
        q, k, v = ((h @ w.T).reshape(n, heads, width // heads) for w in (query, key, value))
        scores = jnp.einsum("thd,shd->hts", q, k) * (width // heads) ** -0.5
        scores = jnp.where(jnp.tril(jnp.ones((n, n), bool)), scores, -jnp.inf)
        mixed = jnp.einsum("hts,shd->thd", j.nn.softmax(scores), v)
        x = x + mixed.reshape(n, width) @ output.T
        x = x + j.nn.relu(rmsnorm(x) @ wide.T) @ narrow.T
        return weights @ cross_entropy(x @ unembedding.T, tokens[1:])

    def cross_entropy(logits, targets):
        chosen = jnp.take_along_axis(logits, targets[:, None], -1)[:, 0]
        return j.scipy.special.logsumexp(logits, -1) - chosen

    def network(p, X):
        for i, (w, bias) in enumerate(p):
            X = X @ w.T + bias
            X = j.nn.relu(X) if i < len(p) - 1 else X
        return X

    def batched(p, tokens, weights):
        return j.vmap(gpt, (None, 0, 0))(p, tokens, weights).mean()

    def classify(p, X, y):
        return cross_entropy(network(p, X), y).mean()

    def hinge(p, X, y):
        return j.nn.relu(1 - y * network(p, X)[:, 0]).mean() + 1e-4 * sum((w * w).sum() for w in j.tree.leaves(p))

    arrays = list(map(jnp.asarray, split(work.start(), work.shapes)))
    p = arrays if work.kind.startswith("gpt") else [(w[:, :-1], w[:, -1]) for w in arrays]
    function = loss = {"gpt": gpt, "gpt batch": batched, "classes": classify, "moons": hinge}[work.kind]
    if flat:
        p, unravel = ravel_pytree(p)
        loss = lambda p, *batch: function(unravel(p), *batch)  # noqa: E731
    tree_map = j.tree.map

    def sgd(state, *batch):
        value, g = j.value_and_grad(loss)(state, *batch)
        return tree_map(lambda x, g: x - work.lr * g, state, g), value

    def adam(state, *batch):
        p, m, v, t = state
        value, g = j.value_and_grad(loss)(p, *batch)
        t = t + 1
        m = tree_map(lambda m, g: m + (1 - BETAS[0]) * (g - m), m, g)
        v = tree_map(lambda v, g: BETAS[1] * v + (1 - BETAS[1]) * g * g, v, g)
        rate, root = work.lr / (1 - BETAS[0] ** t), jnp.sqrt(1 - BETAS[1] ** t)
        p = tree_map(lambda p, m, v: p - rate * m / (jnp.sqrt(v) / root + EPS), p, m, v)
        return (p, m, v, t), value

    def number(x):
        x = np.asarray(x)
        return jnp.asarray(x, jnp.int32 if x.dtype.kind == "i" else work.dtype)

    zeros = tree_map(jnp.zeros_like, p)
    state = tree_map(jnp.copy, p if work.optimizer == "sgd" else (p, zeros, zeros, jnp.zeros((), work.dtype)))
    batches = [tuple(map(number, batch)) for batch in work.batches]
    coming = itertools.cycle(batches)
    update = j.jit(sgd if work.optimizer == "sgd" else adam, donate_argnums=0)

    def first():
        value, g = j.jit(j.value_and_grad(loss))(p, *batches[0])
        g = unravel(g) if flat else g
        return float(value), np.concatenate([np.ravel(x if hasattr(x, "shape") else np.c_[x[0], x[1]]) for x in g])

    def step():
        nonlocal state
        state, value = update(state, *next(coming))
        return value.block_until_ready()

    return Step(first, step)


# ---- PyTorch ---------------------------------------------------------------------------------------------------------


def torch(work, **options):
    """Eager, with torch.optim; `options` are its optimizer's."""
    import torch as t

    dtype = getattr(t, work.dtype)
    parts = []
    for i, w in enumerate(split(work.start(), work.shapes)):
        linear = t.nn.Linear(w.shape[1] - 1, w.shape[0], dtype=dtype)
        with t.no_grad():
            linear.weight.copy_(t.tensor(w[:, :-1]))
            linear.bias.copy_(t.tensor(w[:, -1]))
        parts += [linear, t.nn.ReLU()] if i < len(work.shapes) - 1 else [linear]
    net = t.nn.Sequential(*parts)
    parameters = list(net.parameters())
    optimizer = t.optim.SGD(parameters, lr=work.lr, **options)
    batches = [
        (t.tensor(X, dtype=dtype), t.tensor(y) if work.kind == "classes" else t.tensor(y, dtype=dtype))
        for X, y in work.batches
    ]
    coming = itertools.cycle(batches)
    cross_entropy = t.nn.functional.cross_entropy

    def loss(X, y):
        if work.kind == "classes":
            return cross_entropy(net(X), y)
        return (1 - y * net(X)[:, 0]).relu().mean() + 1e-4 * sum(p.square().sum() for p in parameters)

    def first():
        value = loss(*batches[0])
        value.backward()
        grads = [p.grad.numpy().reshape(len(p), -1) for p in parameters]
        pairs = zip(grads[::2], grads[1::2], strict=True)
        return value.item(), np.concatenate([np.hstack(pair).ravel() for pair in pairs])

    def step():
        X, y = next(coming)
        optimizer.zero_grad()
        value = loss(X, y)
        value.backward()
        optimizer.step()
        return value.detach()

    return Step(first, step)


# ---- moons: NumPy, CasADi, micrograd ---------------------------------------------------------------------------------


def by_hand(work):
    """NumPy, the derivatives worked out by hand, in place: parameters and gradients are views of one vector each."""
    p = work.start()
    g = np.empty_like(p)
    (X, y), n = work.batches[0], len(work.batches[0][0])
    ones = np.ones((n, 1))
    X1 = np.hstack([X, ones])  # the biases are the weights of a 1
    W1, W2, W3 = split(p, work.shapes)
    g1, g2, g3 = split(g, work.shapes)
    h1, h2 = np.ones((n, 17)), np.ones((n, 17))
    inside1, inside2 = h1[:, :-1], h2[:, :-1]
    z1, z2 = np.empty((n, 16)), np.empty((n, 16))
    s, d = np.empty((n, 1)), np.empty((n, 1))
    d1, d2 = np.empty((n, 16)), np.empty((n, 16))
    minus_y = -y[:, None]
    share = minus_y / n
    W2w, W3w = W2[:, :-1], W3[:, :-1]
    decay = 2e-4

    def gradient():
        np.matmul(X1, W1.T, out=z1)
        np.maximum(z1, 0.0, out=inside1)
        np.matmul(h1, W2.T, out=z2)
        np.maximum(z2, 0.0, out=inside2)
        np.matmul(h2, W3.T, out=s)
        np.multiply(s, minus_y, out=s)
        np.add(s, 1.0, out=s)
        np.maximum(s, 0.0, out=s)
        value = s.sum() / n + 1e-4 * p.dot(p)
        np.multiply(share, s > 0.0, out=d)
        np.matmul(d.T, h2, out=g3)
        np.multiply(d, W3w, out=d2)
        np.multiply(d2, z2 > 0.0, out=d2)
        np.matmul(d2.T, h1, out=g2)
        np.matmul(d2, W2w, out=d1)
        np.multiply(d1, z1 > 0.0, out=d1)
        np.matmul(d1.T, X1, out=g1)
        return value

    def first():
        return float(gradient()), g + decay * p

    def step():
        value = gradient()
        np.multiply(p, 1.0 - work.lr * decay, out=p)
        np.multiply(g, work.lr, out=g)
        np.subtract(p, g, out=p)
        return value

    return Step(first, step)


def casadi(work, matrices=True):
    """One function from the parameters to the next ones, of matrices (MX) or of scalars (SX)."""
    import casadi as c

    (X, y), n = work.batches[0], len(work.batches[0][0])
    symbol = c.MX if matrices else c.SX
    p = symbol.sym("p", len(work.start()))
    h, start = c.DM(X), 0
    for i, (rows, columns) in enumerate(work.shapes):
        w = c.reshape(p[start : start + rows * columns], columns, rows)  # columns first, so transposed
        start += rows * columns
        h = c.mtimes(h, w[:-1, :]) + c.repmat(w[-1, :], n, 1)
        h = c.fmax(h, 0) if i < len(work.shapes) - 1 else h
    value = c.sum1(c.fmax(1 - c.DM(y) * h, 0)) / n + 1e-4 * c.dot(p, p)
    g = c.gradient(value, p)
    gradient, update = c.Function("g", [p], [value, g]), c.Function("u", [p], [p - work.lr * g, value])
    now = c.DM(work.start())

    def first():
        value, g = gradient(now)
        return float(value), np.array(g).ravel()

    def step():
        nonlocal now
        now, value = update(now)
        return value

    return Step(first, step)


def micrograd(work):
    """micrograd's demo, without the accuracy."""
    from micrograd import nn
    from micrograd.engine import Value

    random.seed(1337)
    model = nn.MLP(2, [16, 16, 1])
    X, y = work.batches[0]

    def loss():
        scores = [model(list(map(Value, x))) for x in X]
        losses = [(1 + -yi * score).relu() for yi, score in zip(y, scores, strict=True)]
        return sum(losses) * (1.0 / len(losses)) + 1e-4 * sum(p * p for p in model.parameters())

    def first():
        value = loss()
        model.zero_grad()
        value.backward()
        return value.data, [p.grad for p in model.parameters()]

    def step():
        value = loss()
        model.zero_grad()
        value.backward()
        for p in model.parameters():
            p.data -= work.lr * p.grad
        return value.data

    return Step(first, step)
