"""Graphs to lay out, as (number of nodes, edges): networks as micrograd builds them, chains, and random shapes."""

from __future__ import annotations

import random
from itertools import pairwise

Edges = list[tuple[int, int]]


def mlp(sizes, samples=1):
    """An MLP as micrograd builds it: a product for every weight, sums two by two, ReLU but for the last layer."""
    edges: Edges = []
    count = 0

    def node(*operands):
        nonlocal count
        edges.extend((operand, count) for operand in operands)
        count += 1
        return count - 1

    weights = [[([node() for _ in range(before)], node()) for _ in range(after)] for before, after in pairwise(sizes)]
    outputs = []
    for _ in range(samples):
        x = [node() for _ in range(sizes[0])]
        for depth, layer in enumerate(weights):
            y = []
            for w, bias in layer:
                total = bias
                for wi, xi in zip(w, x, strict=True):
                    total = node(total, node(wi, xi))
                y.append(node(total) if depth < len(weights) - 1 else total)
            x = y
        outputs += x
    total = outputs[0]
    for output in outputs[1:]:
        total = node(total, output)
    return count, edges


def horner(steps):
    """v = v * x + 1, again and again: x is used at every depth, each 1 once."""
    edges = []
    last, count = 0, 1
    for _ in range(steps):
        edges += [(last, count), (0, count), (count, count + 2), (count + 1, count + 2)]
        last, count = count + 2, count + 3
    return count, edges


def random_dag(seed):
    """A graph of one of seven shapes, its nodes numbered in any order and its edges in any order."""
    draw = random.Random(seed)
    n = draw.choice([2, 5, 12, 30, 30, 80])
    shape = seed % 7
    edges: Edges = []
    for b in range(1, n):
        if shape == 0:  # every node uses a few of those before it, near or far
            edges += [(draw.randrange(b), b) for _ in range(draw.randint(0, 3))]
        elif shape == 1:  # near ones, and now and then the very first: long edges
            edges += [(draw.randrange(max(0, b - 4), b), b) for _ in range(2)]
            edges += [(draw.randrange(min(b, 3)), b)] * (draw.random() < 0.3)
        elif shape == 2:  # repeats
            edges += [(draw.randrange(b), b)] * draw.randint(1, 4)
        elif shape == 3:  # many components, many nodes alone
            edges += [(draw.randrange(b), b)] * (draw.random() < 0.4)
        elif shape == 4:  # wide fans, in and out
            edges += [(0, b)] * (draw.random() < 0.7) + [(b, n - 1)] * (b < n - 1 and draw.random() < 0.7)
        elif shape == 5:  # a chain with what it skips
            edges += [(b - 1, b)] + [(draw.randrange(b), b)] * (draw.random() < 0.2)
        else:  # layers of four, each node linked to many of the layer before
            layer = [a for a in range(n) if a // 4 == b // 4 - 1]
            edges += [(a, b) for a in layer if draw.random() < 0.6]
    names = list(range(n))
    draw.shuffle(names)
    draw.shuffle(edges)
    return n, [(names[a], names[b]) for a, b in edges]
