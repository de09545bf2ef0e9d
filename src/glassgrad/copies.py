"""Copies and pickles of Values, each with everything below it: what `copy.copy`, `copy.deepcopy` and pickle ask for.

Nothing recurses along the graph, however deep it is. Operations written by hand are refused: their `_backward` refers
to the nodes it was made from.
"""

from __future__ import annotations

import copy
import functools
import threading
from collections.abc import Callable, Iterator
from typing import Any

from . import engine, flat, modes, rules, sweep
from .engine import Value
from .errors import GraphError, named
from .modes import Info


def deep_copy(root: Value, memo: dict[int, Any]) -> Value:
    """`copy.deepcopy` of a Value and everything below it."""
    duplicate = functools.partial(copy.deepcopy, memo=memo)
    for node in sweep.walk((root,), memo):
        if id(node) not in memo:
            copy_node(node, memo, duplicate)
    return memo[id(root)]  # type: ignore[no-any-return]


def copy_node(node: Value, copies: dict[int, Any], duplicate: Callable[[Any], Any]) -> Value:
    """A copy of one node on the copies of its operands, where there are any, noted in `copies`.

    `duplicate` copies what an instance of a subclass holds besides.
    """
    if node._away:
        flat.home(node)
    info: Info | None = node._info
    if info is not None and info.backward is not None:
        raise GraphError(closed_over(node, "copy"))
    if info is not None and not info.shared:
        source: Info = info
        info = modes.new_info(source.label, source.scope, source.op)
        info.partials = source.partials
        info.rule = source.rule
        if source.operands is not None:
            info.operands = tuple([copies.get(id(operand), operand) for operand in source.operands])
            if node._code == rules.CALL:
                refuse_captured(node, info.operands)
    twin: Value = engine.blank(type(node))
    twin._data = node._data
    twin._grad = node._grad
    twin._code = node._code
    twin._flags = node._flags & ~engine.OF_THIS_OBJECT | twin._flags & engine.TRACKED
    twin._a = copies.get(id(node._a), node._a)
    twin._b = copies.get(id(node._b), node._b)
    if node._code != rules.LEAF:  # a leaf's have its place in a store
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


def refuse_captured(node: Value, operands: tuple[Any, ...]) -> None:
    """Check that a function which will run again has no operand copied that it reaches by itself, as a closure does."""
    info: Info = node._info  # type: ignore[assignment]
    own = len(operands) - info.rule.captured
    for before, after in zip(info.operands[own:], operands[own:], strict=True):  # type: ignore[index]
        if before is not after:
            raise GraphError(
                f"cannot copy a result of {node._rule}: it uses {named(before)} besides its arguments, and would not "
                "use the copy of it when it runs again. Give it as an argument, or build the graph again"
            )


def reduce(node: Value) -> tuple[Any, ...]:
    """What pickle keeps of a Value.

    To pickle a list of every node of a graph costs quadratic time, because each walks what lies below it: pickle cannot
    tell what it has written already. Pickle the roots and find the other nodes below them, or use `copy.deepcopy`.
    """
    if node._away:
        flat.home(node)
    info: Info | None = node._info
    if info is not None and info.backward is not None:
        raise GraphError(closed_over(node, "pickle"))
    if node._code in (rules.CALL, rules.PICK):
        raise GraphError(
            f"cannot pickle {named(node)}, a result of {node._rule}: how gradients go through it is a function. "
            "Build the graph again, or take the operation out of it with detach()"
        )
    parts = None if info is None else (info.label, info.scope, info.op, info.operands, info.partials, info.rule)
    flags = node._flags & ~engine.OF_THIS_OBJECT
    da, db = (0.0, 0.0) if node._code == rules.LEAF else (node._da, node._db)  # a leaf's have its place in a store
    state = rules.NAMES[node._code], node._data, node._grad, flags, node._a, node._b, da, db, parts
    return restore, (type(node), _Below(node), state), None if type(node) is Value else state_of(node)


def restore(cls: type[Value], below: object, state: tuple[Any, ...]) -> Value:
    """The node that `reduce` took apart."""
    del below  # its nodes are in `state` again, as operands
    node: Value = engine.blank(cls)
    kind, node._data, node._grad, flags, node._a, node._b, node._da, node._db, parts = state
    try:
        node._code = rules.NAMES.index(kind)
    except ValueError:
        raise GraphError(
            f"the pickle has an operation {kind!r}, which this glassgrad does not know; a newer one may have written it"
        ) from None
    node._flags |= flags
    if parts is not None:
        label, scope, op, operands, partials, *rule = parts  # older ones have no rule
        info: Info = modes.new_info(label, scope, op)
        if rule:
            info.rule = rule[0]
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
            yield from [node for node in sweep.walk((self.node,)) if node is not self.node]
        finally:
            self._writing.on = False
