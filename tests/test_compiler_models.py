"""Random models, of batches and of examples written out: compiled they give what they give eagerly."""

from __future__ import annotations

import random

import numpy as np
import pytest

TOLERANCE = {"float64": 1e-11, "float32": 2e-3}  # of the largest number: models may magnify a rounding
LAYERS = (
    "linear", "relu", "softmax", "logs", "exp", "hat", "scale", "weight", "residual", "attention", "norm", "transpose",
    "gram", "symmetric", "times", "take",
)  # fmt: skip


class Model:
    """Layers that turn rows of numbers into rows of numbers; parameters are made as they are asked for."""

    def __init__(self, gg, seed):
        self.gg, self.rng = gg, random.Random(f"model {seed}")
        self.size, self.length = self.rng.choice([2, 3, 5]), self.rng.choice([1, 2, 3, 5])
        self.layers = ["linear", *self.rng.choices(LAYERS, k=self.rng.randint(1, 5))]
        self.numbers = [self.rng.random() for _ in self.layers]
        self.squared = self.rng.random() < 0.3
        self.weights = {}
        self([[0.5] * self.size] * self.length, 0)

    @property
    def parameters(self):
        return [p for rows in self.weights.values() for row in rows for p in row]

    def matrix(self, key, rows, columns):
        if key not in self.weights:
            values = [[self.rng.gauss(0, 0.7) for _ in range(columns)] for _ in range(rows)]
            self.weights[key] = [[self.gg.Value(x) for x in row] for row in values]
        return self.weights[key]

    def linear(self, key, rows, size):
        return [[self.gg.dot(w, x) for w in self.matrix(key, size, len(rows[0]))] for x in rows]

    def __call__(self, rows, token):
        gg, results = self.gg, []
        for place, (name, number) in enumerate(zip(self.layers, self.numbers, strict=True)):
            rows = self.layer(name, place, number, rows, token, results)
        results += [gg.sum(row) for row in rows]
        return gg.sum([x * x for x in results] if self.squared else results)

    def layer(self, name, place, number, rows, token, results):
        gg, size = self.gg, len(rows[0])
        if name == "linear":
            return self.linear(place, rows, 2 + int(7 * number))
        if name == "relu":
            return [[gg.relu(x) for x in row] for row in rows]
        if name == "softmax":
            return [gg.softmax(row) for row in rows]
        if name == "logs":
            return [[x - gg.logsumexp(row) for x in row] for row in rows]
        if name == "exp":
            return [[gg.exp(-(x * x)) for x in row] for row in rows]
        if name == "hat":
            return [[gg.relu(1 - gg.abs(x)) for x in row] for row in rows]
        if name == "scale":
            return [[x * number for x in row] for row in rows]
        if name == "weight":
            return [[x * self.matrix(place, 1, 1)[0][0] for x in row] for row in rows]
        if name == "residual":
            return [
                list(map(gg.Value.__add__, *pair)) for pair in zip(self.linear(place, rows, size), rows, strict=True)
            ]
        if name == "attention":
            return self.attention(place, number, rows)
        if name == "norm":
            return [[x * (gg.dot(row, row) / size + 1e-2) ** -0.5 for x in row] for row in rows]
        if name == "transpose":
            return list(map(list, zip(*rows, strict=True)))
        if name == "gram":
            return [[gg.dot(row, other) * 0.25 for other in rows] for row in rows]
        if name == "symmetric":
            return [
                [gg.dot(row, other) + gg.dot(other, row) for other in rows] for row in self.linear(place, rows, size)
            ]
        if name == "times":
            return [[x * row[0] for x in row] for row in rows]
        results.append(gg.take([*rows[0], *rows[0]], token))
        return rows

    def attention(self, place, number, rows):
        """With the positions so far or with all of them; the weights in one of two ways to write a softmax."""
        gg = self.gg
        queries, keys, values = (self.linear((place, kind), rows, 4) for kind in range(3))
        made = []
        for t, query in enumerate(queries):
            some = range(t + 1 if number < 0.5 else len(rows))
            scores = [gg.dot(query, keys[s]) * 0.5 for s in some]
            level = gg.logsumexp(scores)
            weights = gg.softmax(scores) if number < 0.25 else [gg.exp(score - level) for score in scores]
            made.append([gg.dot(weights, [values[s][i] for s in some]) for i in range(4)])
        return made


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("way", ["a batch", "written out"])
def test_random_models(gg, dtype, way):
    for seed in range(100 if gg.COMPILED else 10):
        model = Model(gg, f"{seed} {way}")
        rng = np.random.default_rng(seed)
        examples = int(rng.choice([1, 3, 8, 16, 17] if way == "a batch" else [1, 2, 5]))
        X, tokens = rng.normal(0, 1, (examples, model.length, model.size)), rng.integers(0, 2, examples)

        def loss(X, tokens, model=model):
            if way == "a batch":
                return gg.mean(gg.vmap(model)(X, tokens))
            return gg.mean([model(x, token) for x, token in zip(X, tokens, strict=True)])

        eager = loss(X.tolist(), tokens.tolist())
        eager.backward()
        expected = [eager.data, *[p.grad for p in model.parameters]]
        for p in model.parameters:
            p.grad = 0.0
        compiled = gg.compile(loss, dtype=dtype)(X, tokens)
        compiled.backward()
        found = [compiled.data, *[p.grad for p in model.parameters]]
        atol = TOLERANCE[dtype] * max(1e-6, *map(abs, expected))
        np.testing.assert_allclose(found, expected, rtol=0, atol=atol, err_msg=f"{seed} {model.layers}")
