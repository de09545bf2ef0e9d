"""A recorded graph on new numbers: what `Value.recompute` does after somebody has assigned to the `data` of leaves.

The operations run again in their order, on the nodes themselves, from the same rules that the eager engine runs:

- Values and local derivatives are bit for bit those of the same operations recorded anew.
- All or nothing: where an operation fails, or has no rule that could run again, no node has changed.
- Nothing recurses, and the cost is linear.
"""

from __future__ import annotations

from array import array
from typing import Any

from . import engine, modes, rules, sweep
from .engine import Value
from .errors import GraphError, named, not_finite
from .modes import Info

ZERO = array("d", [0.0])
# By an operation's code; None for what is not in the table.
VALUES: list[Any] = [rules.RULES[name].value if name in rules.RULES else None for name in rules.NAMES]
SLOPES: list[Any] = [rules.RULES[name].derivatives if name in rules.RULES else None for name in rules.NAMES]


def recompute(roots: list[Value]) -> None:
    """Compute everything below the roots anew from the leaves, in place; gradients of operations are cleared.

    Raises:
        NonFiniteError: a result is undefined or infinite.
        GraphError: an operation has no rule that could run again, or a sweep is passing through the graph.
    """
    with sweep._one_at_a_time:
        order = [node for node in sweep.walk(roots) if node._code != rules.LEAF]
        for node in order:
            refuse(node)
        n = len(order)
        before = ZERO * n
        partials: list[Any] = [None] * n  # of the nodes whose operands are in a tuple
        data = modes.doubles(before)
        done = 0
        try:
            for i in range(n):
                node = order[i]
                data[i] = node._data
                partials[i] = run(node)
                done += 1
        finally:
            if done < n:
                for i in range(done + 1):  # the one that failed may have its value already
                    node = order[i]
                    node._data = data[i]
        for i in range(n):  # nothing fails any more
            node = order[i]
            node._grad = 0.0
            node._flags &= ~engine.HAS_GRAD
            if partials[i] is None:
                differentiate(node)
            else:
                info: Info = node._info  # type: ignore[assignment]  # it has the operands
                info.partials = partials[i]  # a new array: copies of the node share the old one


def refuse(node: Value) -> None:
    """Check that an operation can run again."""
    if node._flags & engine.IN_SWEEP:
        raise GraphError(
            f"recompute() inside a _backward reaches {named(node)}, through which the sweep around it is passing: call "
            "it before or after backward()"
        )
    if node._code == rules.CUSTOM:
        raise GraphError(
            f"cannot recompute {named(node)}, an operation {node._op!r} written by hand: how its value comes about is "
            "not in the graph. Build the graph again, or make the operation a glassgrad.primitive"
        )
    if node._code in (rules.CALL, rules.PICK):
        raise GraphError(
            f"cannot recompute a result of {node._rule}, which has a custom gradient, is a checkpoint, or is compiled "
            "and gives several: it is no recorded graph. Build the graph again"
        )


def run(node: Value) -> array[float] | None:
    """Give an operation its value at the operands' numbers; the derivatives too where its operands are in a tuple.

    Those of one or two operands follow in `differentiate`, once nothing can fail any more.
    """
    info: Info | None = node._info
    if info is not None and info.operands is not None:
        return run_many(node, info)
    x = node._da if node._flags & engine.LEFT_NUMBER else node._a._data  # type: ignore[union-attr]
    if node._b is not None:
        y = VALUES[node._code](x, node._b._data)
    elif node._flags & engine.RIGHT_NUMBER:
        y = VALUES[node._code](x, node._db)
    else:
        y = VALUES[node._code](x)
    check(node, y)
    node._data = y
    return None


def run_many(node: Value, info: Info) -> array[float]:
    """The same for an operation on a tuple of operands; returns the derivative by each."""
    operands: tuple[Any, ...] = info.operands  # type: ignore[assignment]
    xs = array("d", [engine.plain(operand) for operand in operands])
    n = len(xs)
    if node._code == rules.PRIMITIVE:
        return run_primitive(node, info.rule, operands, xs.tolist())
    partials = ZERO * n
    slopes = SLOPES[node._code]
    if len(slopes) == 1:
        y = VALUES[node._code](memoryview(xs))
        check(node, y)
        slopes[0](memoryview(xs), y, memoryview(partials))
    else:
        numbers = xs.tolist()
        y = VALUES[node._code](*numbers)
        check(node, y)
        for i in range(n):
            partials[i] = slopes[i](*numbers, y)
    node._data = y
    return partials


def run_primitive(node: Value, rule: Any, operands: tuple[Any, ...], xs: list[float]) -> array[float]:
    """The same for an operation with a row of its own, as `primitives.Primitive` records it."""
    y = rule.result(xs)
    check(node, y)
    partials = array("d", [engine.NAN]) * len(xs)
    wanted = [i for i, x in enumerate(operands) if isinstance(x, Value) and x.requires_grad]
    for i, slope in zip(wanted, rule.slopes(wanted, tuple(xs), y), strict=True):
        partials[i] = slope
    node._data = y
    return partials


def differentiate(node: Value) -> None:
    """Give an operation on one or two operands its local derivatives."""
    slopes = SLOPES[node._code]
    y = node._data
    x = node._da if node._flags & engine.LEFT_NUMBER else node._a._data  # type: ignore[union-attr]
    if len(slopes) == 1:
        node._da = slopes[0](x, y)
    else:
        w = node._db if node._flags & engine.RIGHT_NUMBER else node._b._data  # type: ignore[union-attr]
        if node._a is not None and not is_plain(node._a):
            node._da = slopes[0](x, w, y)
        if node._b is not None and not is_plain(node._b):
            node._db = slopes[1](x, w, y)


def is_plain(operand: Value) -> bool:
    """Whether it is a number of the program that became a constant when somebody asked to see it: as in `_prev`."""
    return operand._flags & (engine.PLAIN | engine.REQUIRES_GRAD) == engine.PLAIN


def check(node: Value, y: float) -> None:
    """Raise the eager engine's error for a result that is not finite, unless it may be."""
    if y - y != 0.0 and not modes.current().allow_nonfinite:
        raise not_finite(node._rule, operands_of(node), y, node._scope)


def operands_of(node: Value) -> list[Any]:
    """The operands, plain numbers as they are."""
    info: Info | None = node._info
    if info is not None and info.operands is not None:
        return list(info.operands)
    found: list[Any] = [node._da if node._flags & engine.LEFT_NUMBER else node._a]
    if node._b is not None or node._flags & engine.RIGHT_NUMBER:
        found.append(node._db if node._flags & engine.RIGHT_NUMBER else node._b)
    return found
