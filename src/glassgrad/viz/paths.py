"""The paths from a result down to a node: how many there are, which count most, and what they add up to.

Guarantees: the count is exact, whatever its size; the total is the gradient that a sweep from the result with seed 1
delivers, bit for bit, and no sum over the paths listed; no more paths are looked at than are listed, so the cost is
linear in the graph, times the number listed; nothing recurses. `web/paths.js` has the same functions with the same
results.

A path goes from the root along uses of operands that require a gradient. Its product is that of the local derivatives
on it. As in a sweep, zero stays zero, also times an infinite or an unknown derivative; any other product with an
unknown derivative is nan.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import nan

from ..graph import Graph

__all__ = ["Path", "Paths", "count_paths", "gradient", "list_paths", "on_the_way"]


@dataclass(frozen=True)
class Path:
    """One way from the root down to a node.

    Arguments:
        edges: (consumer, operand position) of every use on the way, the root's first.
        product: the product of the local derivatives, multiplied in this order.
    """

    edges: tuple[tuple[int, int], ...]
    product: float


@dataclass(frozen=True)
class Paths:
    """The paths from a root to a node.

    Arguments:
        count: how many there are.
        complete: whether `paths` has them all.
        paths: all of them, leftmost operands first; or those with the largest products in absolute value, nan first.
        total: the gradient of the root by the node.
    """

    count: int
    complete: bool
    paths: list[Path]
    total: float


def on_the_way(graph: Graph, root: int, node: int) -> list[bool]:
    """Return for every id up to `root` whether a path from the root to the node can pass through it."""
    above = [False] * (root + 1)  # can reach the node
    if node <= root:
        above[node] = True
    for i in range(node + 1, root + 1):
        above[i] = any(above[operand] and graph.requires_grad[operand] for operand in graph.operands[i])
    reached = [False] * (root + 1)
    reached[root] = above[root]
    for i in range(root, node, -1):
        if reached[i]:
            for operand in graph.operands[i]:
                if above[operand] and graph.requires_grad[operand]:
                    reached[operand] = True
    return reached


def count_paths(graph: Graph, root: int, node: int) -> int:
    """Return the number of paths from `root` to `node`: 1 where they are the same, 0 where there is none.

    Example:
        >>> from glassgrad import Value
        >>> x = Value(1.01, 'x')
        >>> y = x
        >>> for _ in range(100):
        ...     y = y * y if y.data < 2 else y + y
        >>> count_paths(Graph.of(y), 100, 0) == 2**100
        True
    """
    return _count(graph, root, node, on_the_way(graph, root, node))


def _count(graph: Graph, root: int, node: int, way: list[bool]) -> int:
    counts = [0] * (root + 1)
    counts[root] = 1
    for i in range(root, node, -1):
        if way[i]:
            for operand in graph.operands[i]:
                if way[operand] and graph.requires_grad[operand]:
                    counts[operand] += counts[i]
            counts[i] = 0  # a large number is kept no longer than it is needed
    return counts[node] if way[root] else 0


def gradient(graph: Graph, root: int, node: int, way: list[bool]) -> list[float]:
    """Return the derivative of the root by every id up to it that is on the way to the node; 0 for the others."""
    grads = [0.0] * (root + 1)
    grads[root] = 1.0 if way[root] else 0.0
    for i in range(root, node, -1):
        if way[i] and grads[i] != 0.0:
            for operand, partial in zip(graph.operands[i], graph.partials[i], strict=True):
                if way[operand] and graph.requires_grad[operand]:
                    grads[operand] += grads[i] * (nan if partial is None else partial)
    return grads


def list_paths(graph: Graph, root: int, node: int, *, limit: int = 64, largest: int = 10) -> Paths:
    """Return all paths from `root` to `node` if there are at most `limit`, else the `largest` ones.

    Example:
        >>> from glassgrad import Value
        >>> x = Value(3, 'x')
        >>> found = list_paths(Graph.of(x * x + x), 2, 0)
        >>> found.count, [path.product for path in found.paths], found.total
        (3, [3.0, 3.0, 1.0], 7.0)
    """
    way = on_the_way(graph, root, node)
    count = _count(graph, root, node, way)
    complete = count <= limit
    paths = _all(graph, root, node, way) if complete else _largest(graph, root, node, way, largest)
    total = gradient(graph, root, node, way)[node] if count else 0.0
    return Paths(count, complete, paths, total)


def times(product: float, partial: float | None) -> float:
    """Return the product continued by one local derivative, as a sweep would: zero stays zero."""
    return 0.0 if product == 0.0 else product * (nan if partial is None else partial)


def _all(graph: Graph, root: int, node: int, way: list[bool]) -> list[Path]:
    """Return every path, depth first; only steps on some path are taken, so this costs what the paths are long."""
    if not way[root]:
        return []
    found = []
    edges: list[tuple[int, int]] = []
    products = [1.0]
    todo = [(root, -1, -1, 0)]  # node, the use that led to it, how many uses lead to it
    while todo:
        i, consumer, position, depth = todo.pop()
        del edges[max(depth - 1, 0) :], products[max(depth, 1) :]
        if consumer >= 0:
            edges.append((consumer, position))
            products.append(times(products[-1], graph.partials[consumer][position]))
        if i == node:
            found.append(Path(tuple(edges), products[-1]))
            continue
        uses = [(operand, i, k, depth + 1) for k, operand in enumerate(graph.operands[i])]
        todo += [use for use in reversed(uses) if way[use[0]] and graph.requires_grad[use[0]]]
    return found


# (product, consumer, operand position, place in the consumer's list)
_Step = tuple[float, int, int, int]


def _largest(graph: Graph, root: int, node: int, way: list[bool], k: int) -> list[Path]:
    """Return the k paths of largest product: those of a node are among the k of each of its consumers, continued."""
    best: dict[int, list[_Step]] = {root: [(1.0, -1, -1, -1)]}
    for i in range(root, node - 1, -1):
        if not way[i]:
            continue
        best[i] = _cut(best[i], k)
        if i == node:
            break
        for position, (operand, partial) in enumerate(zip(graph.operands[i], graph.partials[i], strict=True)):
            if way[operand] and graph.requires_grad[operand]:
                steps = best.setdefault(operand, [])
                steps += [(times(step[0], partial), i, position, place) for place, step in enumerate(best[i])]
                if len(steps) > 8 * k:  # a leaf that is used everywhere
                    best[operand] = _cut(steps, k)
    paths = []
    for product, *step in best[node]:
        edges = []
        consumer, position, place = step
        while consumer >= 0:
            edges.append((consumer, position))
            _, consumer, position, place = best[consumer][place]
        paths.append(Path(tuple(reversed(edges)), product))
    return paths


def _cut(steps: list[_Step], k: int) -> list[_Step]:
    # Stable: ties stay in the order in which a sweep reaches them, so that every language lists the same paths.
    return sorted(steps, key=lambda step: (step[0] == step[0], -abs(step[0])))[:k]
