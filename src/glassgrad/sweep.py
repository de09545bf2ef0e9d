"""Walks over the graph below a Value: order, backward sweep, copies, pickles.

Derivatives were computed on the way forward and lie on the nodes, so the backward sweep is one multiply-add for each
operand, at the values of the forward pass.

What holds here, in both builds of this file:

- Nothing recurses: graphs of ten million nodes are ordered, differentiated and copied.
- A walk marks nodes with a number of its own, so nothing has to be cleaned up after one that failed.
- A sweep that fails leaves every leaf with the gradient it had.
"""

from __future__ import annotations

import copy
import functools
import threading
import warnings
from array import array
from collections.abc import Callable, Iterable, Iterator
from typing import Any

try:
    import cython
except ImportError:
    from . import _cython as cython

from . import engine, modes, rules
from .engine import Value
from .errors import GraphError, NonFiniteError, level_of_caller, named, number
from .modes import Info

_one_at_a_time = threading.RLock()  # two threads may share leaves; reentrant for a `_backward` that sweeps
_stamp = 0


def walk(roots: Iterable[Value], known: dict[int, Any] | None = None) -> list[Value]:
    """Every node below the roots and the roots, operands before what is made of them.

    The order depends on the graph alone. Plain numbers among the operands are left out.

    Arguments:
        roots: where to start.
        known: ids of operations that are to be left out with what only they depend on.

    Raises:
        GraphError: the graph has a cycle.
    """
    order: list[Value] = []
    with _one_at_a_time:
        order_below(list(roots), order, order, known, False)
    return order


def order_below(
    stack: list[Value], order: list[Value], leaves: list[Value], known: dict[int, Any] | None, clear: bool
) -> None:
    """Append to `order` every operation below the roots in `stack`, operands first, and every leaf to `leaves`.

    `clear` sets the gradients of the operations to 0 on the way: large graphs are slow to visit once more.
    """
    global _stamp
    _stamp += 2
    if _stamp > 0xFFFFFFF0:  # the stamp on a node has 32 bits
        _stamp = 2
    opened = _stamp
    closed = _stamp + 1
    leaf = rules.LEAF
    stack.reverse()
    while stack:
        node: Value = cython.cast(Value, stack[-1])
        if node._stamp == opened:  # everything below it is in the order by now
            node._stamp = closed
            if clear:
                node._grad = 0.0
            order.append(node)
            stack.pop()
        elif node._stamp == closed:
            stack.pop()
        elif node._code == leaf:
            node._stamp = closed
            leaves.append(node)
            stack.pop()
        elif known is not None and id(node) in known:
            node._stamp = closed
            stack.pop()
        else:
            node._stamp = opened
            if node._a is not None and node._a._code == leaf and node._a._stamp != closed:
                node._a._stamp = closed
                leaves.append(node._a)
            if node._b is not None and node._b._stamp != closed:
                if node._b._code == leaf:
                    node._b._stamp = closed
                    leaves.append(node._b)
                else:
                    push(node._b, stack, opened)
            if node._a is not None and node._a._stamp != closed:
                push(node._a, stack, opened)
            if node._info is not None and node._info.operands is not None:
                open_many(node._info.operands, stack, leaves, opened, closed)


def open_many(operands: tuple[object, ...], stack: list[Value], leaves: list[Value], opened: int, closed: int) -> None:
    """The same for the operands in a tuple."""
    for operand in operands:
        if isinstance(operand, Value):
            node: Value = cython.cast(Value, operand)
            if node._code == rules.LEAF and node._stamp != closed:
                node._stamp = closed
                leaves.append(node)
    for operand in reversed(operands):
        if isinstance(operand, Value):
            node = cython.cast(Value, operand)
            if node._stamp != closed:
                push(node, stack, opened)


def push(node: Value, stack: list[Value], opened: int) -> None:
    """Put an operation that is not in the order yet on the stack."""
    if node._stamp == opened:
        raise GraphError(f"the graph has a cycle through {node!r}: some _prev was set to a node that depends on it")
    stack.append(node)


def backward(root: Value, gradient: object) -> None:
    """`Value.backward`."""
    seed = number(gradient, "backward")
    finite = modes.current().allow_nonfinite == 0
    if not root._flags & engine.REQUIRES_GRAD:
        raise GraphError(
            f"nothing to differentiate: {root!r} is a constant, made by detach(), under no_grad(), "
            "or from operands with requires_grad=False"
        )
    if finite and seed - seed != 0.0:
        raise NonFiniteError(f"backward({seed}) starts from a gradient that is not finite")
    with _one_at_a_time:
        sweep(root, seed, finite)


def sweep(root: Value, seed: float, finite: bool) -> None:
    """`backward`, for one thread at a time."""
    order: list[Value] = []
    leaves: list[Value] = []
    order_below([root], order, leaves, None, True)
    before: list[float | None] = []  # to put back if the sweep fails
    for leaf in leaves:
        grad = leaf._grad if leaf._flags & engine.HAS_GRAD or leaf._grad != 0.0 else None
        before.append(grad)
    root._grad += seed
    done = False
    try:
        for i in range(len(order) - 1, -1, -1):
            propagate(cython.cast(Value, order[i]), finite)
        for leaf in leaves:
            if leaf._flags & engine.REQUIRES_GRAD:
                leaf._flags |= engine.HAS_GRAD
        done = True
    finally:
        if not done:
            put_back(order, leaves, before)


def put_back(order: list[Value], leaves: list[Value], before: list[float | None]) -> None:
    """Undo a sweep that failed: leaves as they were, everything else not computed."""
    for node in order:
        node._grad = 0.0
        node._flags &= ~engine.HAS_GRAD
    for node, grad in zip(leaves, before, strict=True):
        node._grad = 0.0 if grad is None else grad
        node._flags = node._flags & ~engine.HAS_GRAD if grad is None else node._flags | engine.HAS_GRAD


def propagate(node: Value, finite: bool) -> None:
    """Pass the node's gradient on to its operands."""
    g = node._grad
    node._flags |= engine.HAS_GRAD
    if node._code == rules.CUSTOM:
        propagate_by_hand(node)
    elif g != 0.0:
        if node._a is not None:
            add_to(node._a, g, node._da, node, finite)
        if node._b is not None:
            add_to(node._b, g, node._db, node, finite)
        if node._info is not None and node._info.operands is not None and node._info.partials is not None:
            propagate_many(node, node._info.operands, node._info.partials, finite)


def propagate_many(node: Value, operands: tuple[object, ...], partials: array[float], finite: bool) -> None:
    """The same for the operands in a tuple."""
    for i in range(len(operands)):
        if isinstance(operands[i], Value):
            add_to(cython.cast(Value, operands[i]), node._grad, partials[i], node, finite)


def propagate_by_hand(node: Value) -> None:
    if node._info is not None and node._info.backward is not None:
        node._info.backward()
    elif node._prev:
        warnings.warn(
            f"{named(node)} was made by hand as {node._op!r} and has no _backward: its operands get no gradient",
            stacklevel=level_of_caller(),
        )


def add_to(operand: Value, g: float, partial: float, node: Value, finite: bool) -> None:
    """operand.grad += g * partial."""
    if operand._flags & engine.REQUIRES_GRAD:
        c = g * partial
        total = operand._grad + c
        # an undefined derivative (nan: of (-2)**w by w) is delivered as nan; what is computed from it raises
        if total - total != 0.0 and finite and partial == partial and (c - c != 0.0 or total == total):
            raise not_differentiable(node, operand, g, partial)
        operand._grad = total


def not_differentiable(node: Value, operand: Value, g: float, partial: float) -> NonFiniteError:
    """The error for a gradient that is nan or infinite."""
    operands = ", ".join([named(x) for x in node._prev[:8]])
    return NonFiniteError(
        f"the gradient through {node._rule}({operands}) is not finite: its derivative by {named(operand)} is "
        f"{partial!r}, times the gradient {g!r} that arrives; no gradient was changed. "
        "Change the operands, or let IEEE results through with glassgrad.allow_nonfinite()"
    )


# ---- copies --------------------------------------------------------------------------------------------------------


def deep_copy(root: Value, memo: dict[int, Any]) -> Value:
    """`copy.deepcopy` of a Value and everything below it."""
    duplicate = functools.partial(copy.deepcopy, memo=memo)
    for node in walk((root,), memo):
        if id(node) not in memo:
            copy_node(node, memo, duplicate)
    return memo[id(root)]  # type: ignore[no-any-return]


def copy_node(node: Value, copies: dict[int, Any], duplicate: Callable[[Any], Any]) -> Value:
    """A copy of one node on the copies of its operands, where there are any, noted in `copies`.

    `duplicate` copies what an instance of a subclass holds besides.
    """
    info: Info | None = node._info
    if info is not None and info.backward is not None:
        raise GraphError(closed_over(node, "copy"))
    if info is not None and not info.shared:
        source: Info = info
        info = modes.new_info(source.label, source.scope, source.op)
        info.partials = source.partials
        if source.operands is not None:
            info.operands = tuple([copies.get(id(operand), operand) for operand in source.operands])
    twin: Value = engine.blank(type(node))
    twin._data = node._data
    twin._grad = node._grad
    twin._code = node._code
    twin._flags = node._flags & ~engine.TRACKED | twin._flags & engine.TRACKED
    twin._a = copies.get(id(node._a), node._a)
    twin._b = copies.get(id(node._b), node._b)
    twin._da = node._da
    twin._db = node._db
    twin._info = info
    copies[id(node)] = twin  # before its attributes, which may refer to it
    state = None if type(node) is Value else state_of(node)
    if state is not None:
        set_state(twin, duplicate(state))
    return twin


def state_of(node: Value) -> Any:
    """What an instance of a subclass holds besides the node, in the form that pickle and copy use; None for nothing."""
    state = node.__getstate__()
    if type(node).__getstate__ is not object.__getstate__ or not isinstance(state, tuple):
        return state
    attributes, slots = state
    slots = {name: value for name, value in slots.items() if name not in Value.__slots__}
    return (attributes, slots) if slots else attributes


def set_state(twin: Value, state: Any) -> None:
    """Give it to another, as pickle does."""
    if hasattr(twin, "__setstate__"):
        twin.__setstate__(state)
        return
    attributes, slots = state if isinstance(state, tuple) else (state, {})
    if attributes:
        twin.__dict__.update(attributes)
    for name, value in slots.items():
        setattr(twin, name, value)


def closed_over(node: Value, verb: str) -> str:
    """Why a node with a `_backward` written by hand is not copied."""
    return (
        f"cannot {verb} {named(node)}, an operation {node._op!r} written by hand: its _backward refers to the nodes it "
        "was made from. Build the graph again, or take the operation out of it with detach()"
    )


def reduce(node: Value) -> tuple[Any, ...]:
    """What pickle keeps of a Value.

    To pickle a list of every node of a graph costs quadratic time, because each walks what lies below it: pickle cannot
    tell what it has written already. Pickle the roots and find the other nodes below them, or use `copy.deepcopy`.
    """
    info: Info | None = node._info
    if info is not None and info.backward is not None:
        raise GraphError(closed_over(node, "pickle"))
    parts = None if info is None else (info.label, info.scope, info.op, info.operands, info.partials)
    flags = node._flags & ~engine.TRACKED
    state = node._rule, node._data, node._grad, flags, node._a, node._b, node._da, node._db, parts
    return restore, (type(node), _Below(node), state), None if type(node) is Value else state_of(node)


def restore(cls: type[Value], below: object, state: tuple[Any, ...]) -> Value:
    """The node that `reduce` took apart."""
    del below  # its nodes are in `state` again, as operands
    node: Value = engine.blank(cls)
    rule, node._data, node._grad, flags, node._a, node._b, node._da, node._db, parts = state
    node._code = rules.NAMES.index(rule)
    node._flags |= flags
    if parts is not None:
        label, scope, op, operands, partials = parts
        info: Info = modes.new_info(label, scope, op)
        info.operands = operands
        info.partials = partials
        node._info = info
    return node


class _Below:
    """Everything below a node, as pickle should meet it: operands first, so that pickling never goes deep.

    Pickle takes the items of a list one by one. While it does, the nodes it meets are told that what lies below them
    has been written already.
    """

    _writing = threading.local()

    def __init__(self, node: Value) -> None:
        self.node = node

    def __reduce__(self) -> tuple[Any, ...]:
        return (list, ()) if getattr(self._writing, "on", False) else (list, (), None, self._operands_first())

    def _operands_first(self) -> Iterator[Value]:
        self._writing.on = True
        try:
            yield from [node for node in walk((self.node,)) if node is not self.node]
        finally:
            self._writing.on = False
