"""Walks over the graph below a Value: its order, and the sweep back that fills in the gradients.

Derivatives were computed on the way forward and lie on the nodes, so the backward sweep is one multiply-add for each
operand, at the values of the forward pass.

What holds here, in both builds of this file:

- Nothing recurses: graphs of ten million nodes are ordered and differentiated.
- A walk marks nodes with a number of its own, so nothing has to be cleaned up after one that failed.
- A sweep that fails leaves every leaf with the gradient it had.
"""

from __future__ import annotations

import os
import threading
import warnings
from array import array
from collections.abc import Callable, Iterable
from typing import Any

try:
    import cython
except ImportError:
    from . import _cython as cython

from . import engine, flat, modes, rules
from .engine import Value
from .errors import GraphError, NonFiniteError, level_of_caller, named, number
from .modes import Info

_one_at_a_time = threading.RLock()  # two threads may share leaves; reentrant for a `_backward` that sweeps
through_calls: Callable[[Value, float], None] | None = None  # set by `tape`, which is above us
_stamp = 0
ZERO = array("d", [0.0])


def _renew_lock() -> None:
    """In a forked process: the thread that held the lock does not live there."""
    global _one_at_a_time
    _one_at_a_time = threading.RLock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_renew_lock)


def is_running() -> bool:
    """Whether a sweep is running, in whatever thread: it may be in the middle of Python code that it calls."""
    if _one_at_a_time._is_owned():  # type: ignore[attr-defined]  # by this thread: `threading.Condition` asks so too
        return True
    if not _one_at_a_time.acquire(blocking=False):
        return True
    _one_at_a_time.release()
    return False


@cython.final
@cython.cclass
class Nodes:
    """A list of nodes that, compiled, holds no references: the graph holds them, and counting is half of a sweep.

    Nothing may run meanwhile that can change the graph: no Python code, and nothing that the garbage collector watches
    may be made, since a collection runs finalizers. Whoever needs that keeps references in a list made before.
    """

    __slots__ = ("count", "items", "room")

    def __init__(self) -> None:
        self.count = self.room = 0
        if not cython.compiled:
            self.items: list[Any] = []

    def append(self, node: Value) -> None:
        if self.count == self.room:
            self.grow()
        self.items[self.count] = node
        self.count += 1

    def grow(self) -> None:
        room = 2 * self.room + 1000
        if cython.compiled:
            items = PyMem_Realloc(self.items, 8 * room)  # type: ignore[name-defined]  # noqa: F821 - sweep.pxd
            if not items:
                raise MemoryError("no room left to put the graph in order")
            self.items = cython.cast("Node **", items)
        else:
            self.items += [None] * (room - len(self.items))
        self.room = room

    def copy_to(self, held: list[Value]) -> None:
        """Append the nodes to a list that holds references."""
        for i in range(self.count):
            held.append(cython.cast(Value, self.items[i]))  # noqa: PERF401 - `extend` would make an object on the way

    def __dealloc__(self) -> None:
        PyMem_Free(self.items)  # type: ignore[name-defined]  # noqa: F821 - as above


_todo = Nodes()  # kept from walk to walk: asking the system for its memory anew costs as much as walking


def walk(roots: Iterable[Value], known: dict[int, Any] | None = None) -> list[Value]:
    """Every node below the roots and the roots, operands before what is made of them.

    The order depends on the graph alone. Plain numbers among the operands are left out.

    Arguments:
        roots: where to start.
        known: ids of operations that are to be left out with what only they depend on.

    Raises:
        GraphError: the graph has a cycle.
    """
    roots = list(roots)  # the walk itself keeps nothing alive
    order = Nodes()
    held: list[Value] = []
    with _one_at_a_time:
        seen = order_below(roots, order, order, held, known, False)
        if seen:
            refuse_cycle(held, seen)
        else:
            order.copy_to(held)
    return held


def new_stamp() -> int:
    """A number that no node is marked with, for a walk to mark those it has seen; ask while no other walk runs."""
    global _stamp
    _stamp += 2
    if _stamp > 0xFFFFFFF0:  # the stamp on a node has 32 bits
        _stamp = 2
    return _stamp


def order_below(
    roots: list[Value], order: Nodes, leaves: Nodes, held: list[Value], known: dict[int, Any] | None, clear: bool
) -> int:
    """Append to `order` every operation below the roots, operands first, and every leaf to `leaves`.

    `clear` takes the gradients of the operations away: large graphs are slow to visit once more.

    A graph with functions written by hand may change and may have a cycle: then all nodes are appended to `held`, and
    the number that they were marked with is returned, for `refuse_cycle`. Else 0 is.
    """
    global _todo
    seen = new_stamp()
    by_hand = False
    none = cython.cast("Node *", None)
    leaf, in_sweep, has_grad = rules.LEAF, engine.IN_SWEEP, engine.HAS_GRAD  # in registers, once compiled
    todo = _todo if cython.compiled else Nodes()  # interpreted, it would keep the graph alive
    todo.count = 0
    for root in reversed(roots):
        todo.append(cython.cast("Node *", root))
    items, count = todo.items, todo.count
    while count:
        count -= 1
        node = items[count]
        if node is none:  # everything below the next one is in the order by now
            count -= 1
            if order.count == order.room:
                order.grow()
            order.items[order.count] = items[count]
            order.count += 1
        elif node._stamp == seen or (known is not None and id(cython.cast(Value, node)) in known):
            pass
        elif node._code == leaf:
            node._stamp = seen
            by_hand = by_hand or node._flags & engine.HOOKED != 0
            if node._away:
                flat.home(cython.cast(Value, node))
            leaves.append(node)
        else:
            node._stamp = seen
            if clear:
                if node._flags & in_sweep:
                    raise swept_already(cython.cast(Value, node))
                node._grad = 0.0
                node._flags &= ~has_grad
            if count + 4 > todo.room:
                todo.grow()
                items = todo.items
            items[count + 1] = none  # above the node, which stays where it was
            count += 2
            a, b = node._a, node._b
            if a is none and b is none:
                by_hand = by_hand or node._code in (rules.CUSTOM, rules.CALL)
                todo.count = count
                add_many(cython.cast(Value, node), todo)
                items, count = todo.items, todo.count
            if b is not none and b._stamp != seen:
                items[count] = b
                count += 1
            if a is not none and a._stamp != seen:
                items[count] = a
                count += 1
    if todo.room > 100_000:
        _todo = Nodes()
    if by_hand:
        order.copy_to(held)
        if leaves is not order:
            leaves.copy_to(held)
    return seen if by_hand else 0


def add_many(node: Value, todo: Nodes) -> None:
    """Add the operands in the node's tuple, the first one last: it is visited first."""
    if node._info is not None and node._info.operands is not None:
        for operand in reversed(node._info.operands):
            if isinstance(operand, Value):
                todo.append(cython.cast("Node *", operand))


def refuse_cycle(order: list[Value], seen: int) -> None:
    """Check that operands come before what is made of them: a `_prev` set by hand may have closed a cycle."""
    for node in order:
        for operand in operands_of(node):
            if operand._stamp == seen and operand._code != rules.LEAF:
                raise GraphError(
                    f"the graph has a cycle through {operand!r}: some _prev was set to a node that depends on it"
                )
        node._stamp = seen + 1


def operands_of(node: Value) -> list[Value]:
    """The operands that are Values, without making any of the plain numbers among them, as `_prev` does."""
    if node._info is not None and node._info.operands is not None:
        return [operand for operand in node._info.operands if isinstance(operand, Value)]
    return [operand for operand in (node._a, node._b) if operand is not None]


def swept_already(node: Value) -> GraphError:
    return GraphError(
        f"backward() inside a _backward reaches {named(node)}, through which the sweep around it is passing: the two "
        "would mix their gradients. Sweep a graph of its own there, made from new Values or from detach()ed ones"
    )


# ---- the sweep -----------------------------------------------------------------------------------------------------


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
        done = (root._code == rules.PRIMITIVE and flat.pull(root, seed)) or Sweep(finite).run(root, seed)
    if not done:
        through_calls(root, seed)  # type: ignore[misc]  # whoever makes a CALL has loaded `tape`


def derivatives(root: Value, inputs: list[Value]) -> array[float] | None:
    """The derivative of a Value by each input of a transform, made of a number; no gradient is changed.

    None if it also depends on Values besides these that somebody may differentiate by, and where functions say
    themselves how gradients go back: they are no business of a sweep that others wait for.
    """
    with _one_at_a_time:
        return Sweep(modes.current().allow_nonfinite == 0).derivatives(root, inputs)


def is_trained(leaf: Value) -> bool:
    """Whether somebody may differentiate by a leaf: a weight of a model, an input of a transform that is running."""
    return (
        leaf._flags & engine.ACTIVE != 0 or leaf._flags & (engine.REQUIRES_GRAD | engine.PLAIN) == engine.REQUIRES_GRAD
    )


def is_open(values: list[Value]) -> bool:
    """Whether somebody may differentiate by something that these depend on."""
    for node in walk(values):  # noqa: SIM110 - a C function has no generators
        if node._code == rules.LEAF and is_trained(cython.cast("Node *", node)):
            return True
    return False


def only_calls(nodes: list[Value]) -> bool:
    """Whether of all functions of their own that nodes have none was written by hand, and there are some."""
    calls = False
    for node in nodes:
        if node._code == rules.CUSTOM or node._flags & engine.HOOKED:
            return False
        calls = calls or node._code == rules.CALL
    return calls


@cython.final
@cython.cclass
class Sweep:
    """One pass back from a root: the order of it, and what it takes to undo it."""

    __slots__ = ("before", "finite", "held", "leaves", "order", "used", "waiting")

    def __init__(self, finite: bool) -> None:
        self.finite = finite  # whether a gradient that is not finite is an error
        self.order = Nodes()  # operations, operands first
        self.leaves = Nodes()
        self.held: list[Value] = []  # all of them, where Python code runs on the way
        self.waiting: dict[int, dict[int, float]] = {}  # by the id of a CALL, the gradients of its results
        self.used: list[Value] = []  # what ways back gave that depends on more than their operands
        if not cython.compiled:
            self.before: list[float] = []  # for each leaf its gradient, and whether it had any

    def run(self, root: Value, seed: float) -> bool:
        """Sweep. False, and all is still to be done, where CALLs are to be asked: others must not wait for those."""
        by_hand = order_below([root], self.order, self.leaves, self.held, None, True)  # a number or 0
        total = root._grad + seed
        if self.finite and total - total != 0.0 and seed - seed == 0.0 and root._grad - root._grad == 0.0:
            raise NonFiniteError(f"backward({seed}) takes the gradient of {named(root)} beyond the largest float")
        self.remember()
        root._grad = total
        done = False
        try:
            if by_hand:
                refuse_cycle(self.held, by_hand)
                if only_calls(self.held):
                    return False
                self.claim()
            for i in range(self.order.count - 1, -1, -1):
                node = self.order.items[i]
                node._flags |= engine.HAS_GRAD
                propagate(node, self)
            for i in range(self.leaves.count):
                leaf = self.leaves.items[i]
                if leaf._flags & engine.REQUIRES_GRAD:
                    leaf._flags |= engine.HAS_GRAD
            if by_hand:
                self.call_hooks()
            done = True
            return True
        finally:
            if not done:
                self.put_back()
            self.unclaim()

    def derivatives(self, root: Value, inputs: list[Value]) -> array[float] | None:
        """The derivative of the root by each input; every gradient is as it was before.

        None if the root also depends on Values besides these that somebody may differentiate by.
        """
        found, grads = ZERO * len(inputs), ZERO * 1
        reached = [False] * len(inputs)
        by_hand = order_below([root], self.order, self.leaves, self.held, None, False)
        n = self.order.count
        grads *= n + self.leaves.count  # in place: a new one would be watched by the garbage collector
        results, before = modes.doubles(found), modes.doubles(grads)
        if by_hand:
            refuse_cycle(self.held, by_hand)
        stamp = root._stamp  # every node of this walk has it
        others = 0
        swept = -1
        for i in range(n + self.leaves.count):
            node = self.order.items[i] if i < n else self.leaves.items[i - n]
            before[i] = node._grad
            node._grad = 0.0
            if i >= n and is_trained(node):
                others += 1
            if node._flags & engine.IN_SWEEP:
                swept = i
        for i in range(len(inputs)):
            leaf = inputs[i]
            if leaf._stamp == stamp:
                reached[i] = True
        try:
            if swept >= 0:
                raise swept_already(cython.cast(Value, self.order.items[swept]))
            if others or (by_hand and only_calls(self.held)):
                return None
            if by_hand:
                self.claim()
            root._grad = 1.0
            for i in range(n - 1, -1, -1):
                propagate(self.order.items[i], self)
            for i in range(len(inputs)):
                leaf = inputs[i]
                results[i] = leaf._grad if reached[i] else 0.0
            return None if self.used and is_open(self.used) else found
        finally:
            for i in range(n + self.leaves.count):
                node = self.order.items[i] if i < n else self.leaves.items[i - n]
                node._grad = before[i]
            if swept < 0:
                self.unclaim()

    def remember(self) -> None:
        """Note the gradients of the leaves."""
        n = self.leaves.count
        if cython.compiled:
            self.before = cython.cast("double *", PyMem_Malloc(16 * n))  # type: ignore[name-defined]  # noqa: F821
            if not self.before:
                raise MemoryError("no room left to remember the gradients of the leaves")
        else:
            self.before = [0.0] * (2 * n)
        for i in range(n):
            leaf = self.leaves.items[i]
            self.before[2 * i] = leaf._grad
            self.before[2 * i + 1] = leaf._flags & engine.HAS_GRAD

    def put_back(self) -> None:
        """Undo a sweep that failed: leaves as they were, everything else not computed."""
        for i in range(self.order.count):
            node = self.order.items[i]
            node._grad = 0.0
            node._flags &= ~engine.HAS_GRAD
        for i in range(self.leaves.count):
            node = self.leaves.items[i]
            node._grad = self.before[2 * i]
            node._flags &= ~engine.HAS_GRAD
            if self.before[2 * i + 1] != 0.0:
                node._flags |= engine.HAS_GRAD

    def claim(self) -> None:
        """Mark the operations, so that a sweep inside a `_backward` does not pass through them as well."""
        for i in range(self.order.count):
            node = self.order.items[i]
            node._flags |= engine.IN_SWEEP

    def unclaim(self) -> None:
        for node in self.held:
            node._flags &= ~engine.IN_SWEEP

    def call_hooks(self) -> None:
        """Call the `_backward` of leaves that were given one."""
        for node in self.held:
            if node._flags & engine.HOOKED and node._info is not None and node._info.backward is not None:
                grad = node._grad
                node._info.backward()
                if self.finite and node._grad - node._grad != 0.0 and grad - grad == 0.0:
                    raise NonFiniteError(
                        f"the _backward of the leaf {named(node)} makes its gradient {node._grad}; "
                        "no gradient was changed"
                    )

    def hold(self) -> None:
        """Keep every node: Python code is about to run."""
        if not self.held:
            self.order.copy_to(self.held)
            self.leaves.copy_to(self.held)

    def __dealloc__(self) -> None:
        PyMem_Free(self.before)  # type: ignore[name-defined]  # noqa: F821


def propagate(node: Value, sweep: Sweep) -> None:
    """Pass the node's gradient on to its operands."""
    g = node._grad
    none = cython.cast("Node *", None)
    if node._a is none and node._b is none:
        propagate_many(cython.cast(Value, node), g, sweep)
    elif g != 0.0:
        if node._a is not none:
            add_to(node._a, g, node._da, node, sweep)  # type: ignore[arg-type]  # it is not None
        if node._b is not none:
            add_to(node._b, g, node._db, node, sweep)  # type: ignore[arg-type]


def propagate_many(node: Value, g: float, sweep: Sweep) -> None:
    """The same for a node whose operands are in a tuple, or that was made by hand."""
    if node._code == rules.CUSTOM:
        propagate_by_hand(node, sweep)
    elif node._code == rules.CALL:
        propagate_call(node, g, sweep)
    elif node._code == rules.PICK:
        if g != 0.0:
            info: Info = node._info  # type: ignore[assignment]
            seeds = sweep.waiting.setdefault(id(info.operands[0]), {})  # type: ignore[index]
            seeds[info.rule.index] = g
    elif g != 0.0 and node._info is not None:
        operands = node._info.operands
        partials = node._info.partials
        if operands is not None and partials is not None:
            numbers = modes.doubles(partials)
            for i in range(len(operands)):
                if isinstance(operands[i], Value):
                    add_to(cython.cast("Node *", operands[i]), g, numbers[i], cython.cast("Node *", node), sweep)


def propagate_by_hand(node: Value, sweep: Sweep) -> None:
    if node._info is not None and node._info.backward is not None:
        before = [(operand, operand._grad) for operand in node._prev]
        node._info.backward()
        for operand, grad in before:
            if sweep.finite and operand._grad - operand._grad != 0.0 and grad - grad == 0.0:
                raise NonFiniteError(
                    f"the _backward of {named(node)}, an operation {node._op!r} written by hand, makes the gradient of "
                    f"{named(operand)} {operand._grad}; no gradient was changed"
                )
    else:
        no_backward(node)


def propagate_call(node: Value, g: float, sweep: Sweep) -> None:
    """The same for a function that says itself how gradients go back: once, with those of all its results."""
    info: Info = node._info  # type: ignore[assignment]
    operands: tuple[Any, ...] = info.operands  # type: ignore[assignment]
    seeds = sweep.waiting.pop(id(node), {0: g} if g != 0.0 else {})
    grads = info.rule.pull(operands, seeds) if seeds else ()
    for i in range(len(grads)):
        if isinstance(operands[i], Value):
            operand: Value = operands[i]
            if operand._flags & engine.REQUIRES_GRAD:
                grad = number_of(grads[i], sweep.used)
                total = operand._grad + grad
                if sweep.finite and total - total != 0.0 and operand._grad - operand._grad == 0.0:
                    raise call_not_differentiable(node, grad)
                operand._grad = total


def number_of(found: Any, used: list[Value]) -> float:
    """The number that a CALL gave; a Value, which depends on more than its operands, is noted."""
    if isinstance(found, Value):
        used.append(found)
        return engine.data_of(found)
    return float(found)


def no_backward(node: Value) -> None:
    """What a node that was made by hand does where its `_backward` is missing."""
    if node._prev:
        warnings.warn(
            f"{named(node)} was made by hand as {node._op!r} and has no _backward: its operands get no gradient",
            stacklevel=level_of_caller(),
        )


def add_to(operand: Value, g: float, partial: float, node: Value, sweep: Sweep) -> None:
    """operand.grad += g * partial."""
    if operand._flags & engine.REQUIRES_GRAD:
        total = operand._grad + g * partial
        if total - total != 0.0:
            refuse_not_finite(operand, g, partial, node, sweep)
        operand._grad = total


def refuse_not_finite(operand: Value, g: float, partial: float, node: Value, sweep: Sweep) -> None:
    """Raise an error for what `add_to` is about to add, unless it may be infinite or nan.

    An undefined derivative (nan: of (-2)**w by w) is delivered as nan; what is computed from it raises.
    """
    c = g * partial
    total = operand._grad + c
    if sweep.finite and partial == partial and (c - c != 0.0 or total == total):
        sweep.hold()
        raise not_differentiable(cython.cast(Value, node), cython.cast(Value, operand), g, partial)


def called(node: Value) -> str:
    """An operation with its operands, as errors show it."""
    return f"{node._rule}({', '.join([named(x) for x in node._prev[:8]])})"


def not_differentiable(node: Value, operand: Value, g: float, partial: float) -> NonFiniteError:
    """The error for a gradient that is nan or infinite."""
    return NonFiniteError(
        f"the gradient through {called(node)} is not finite: its derivative by {named(operand)} is "
        f"{partial!r}, times the gradient {g!r} that arrives. "
        "Change the operands, or let IEEE results through with glassgrad.allow_nonfinite()"
    )


def call_not_differentiable(node: Value, found: float) -> NonFiniteError:
    """The same for what a function gives that says itself how derivatives go through it."""
    return NonFiniteError(
        f"the derivative through {called(node)} is {found!r}; no gradient was changed. "
        "Change the operands, or let IEEE results through with glassgrad.allow_nonfinite()"
    )


def pass_on_call(node: Value) -> None:
    """As `pass_on`, for a CALL or a PICK."""
    call: Value = node
    info: Info = node._info  # type: ignore[assignment]
    index = 0
    if node._code == rules.PICK:
        index = info.rule.index
        call = info.operands[0]  # type: ignore[index]
        info = call._info  # type: ignore[assignment]
    grads = info.rule.pull(info.operands, {index: node._grad}) if node._grad != 0.0 else ()
    for operand, grad in zip(info.operands, grads, strict=False):  # type: ignore[arg-type]
        if isinstance(operand, Value) and operand.requires_grad:
            operand.grad += engine.plain(grad)


def pass_on(node: Value, operands: tuple[Value, ...], partials: tuple[float | None, ...]) -> None:
    """What a node's own `_backward` does when it is called by hand: these are its operands and derivatives."""
    g = node._grad
    for operand, partial in zip(operands, partials, strict=True):
        if operand._flags & engine.REQUIRES_GRAD and g != 0.0:
            operand.grad += g * (engine.NAN if partial is None else partial)
