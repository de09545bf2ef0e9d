"""The scalar: `Value`, micrograd's class with every operation a scalar program needs.

Every operation is one node: `rules` computes its result and its derivatives, `unary`, `binary` or `many` below checks
the result and remembers the operands. The sweep back over the graph is in `sweep`, running it again on new numbers in
`recompute`, copying in `copies`, operations on lists and on plain numbers in `functions`.
"""

from __future__ import annotations

import functools
import gc
import inspect
from array import array
from collections.abc import Callable, Iterable
from types import FunctionType, MethodType, ModuleType
from typing import TYPE_CHECKING, Any, ClassVar

try:
    import cython
except ImportError:
    from . import _cython as cython

from . import modes, rules
from .errors import GraphError, Number, OperandError, is_number, named, not_finite, number, shown, text, too_large
from .modes import Info

if TYPE_CHECKING:
    import numpy as np

COMPILED: bool = cython.compiled

NAN = float("nan")

# Bits of Value._flags.
REQUIRES_GRAD = 1
HAS_GRAD = 2  # a sweep was here since the gradient was last cleared
TRACKED = 4  # the garbage collector knows the node
LEFT_NUMBER = 8  # the first operand is no Value but a number, kept in _da
RIGHT_NUMBER = 16  # the second operand is no Value but a number, kept in _db
PLAIN = 32  # a plain number: that somebody asked to see as an operand, or that a transform differentiates by
HOOKED = 64  # a leaf with a `_backward` written by hand
IN_SWEEP = 128  # a sweep that runs functions written by hand passes through the node
ALL_TRACKED = 256  # the garbage collector knows the node and everything below it
ACTIVE = 512  # an input of a transform that is running
DEPTH = modes.DEPTH  # how deep in `modes.Recording` blocks an operation was recorded
OUTSIDE = {kind: rules.NAMES.index(kind) for kind in ("primitive", "call", "pick")}  # codes of what no table has
OF_THIS_OBJECT = TRACKED | IN_SWEEP | ALL_TRACKED | ACTIVE | DEPTH  # what a copy does not share


# ---- making nodes --------------------------------------------------------------------------------------------------


def new(code: int, flags: int, y: float) -> Value:
    """A node with a result and nothing else, unknown to the garbage collector.

    An operation's node refers only to older nodes, so it cannot be part of a cycle, and the collector would visit
    millions of them for nothing: a third of the time of a forward pass. Only nodes that are given a `_backward` or
    `_prev` by hand can be, and what is computed from them; those are tracked.
    """
    out: Value = Value.__new__(Value)
    if cython.compiled:
        PyObject_GC_UnTrack(out)  # type: ignore[name-defined]  # noqa: F821 - engine.pxd
    else:
        out._a = out._b = out._info = None
        out._grad = out._da = out._db = 0.0
        out._stamp = 0
    out._code = code
    out._flags = flags
    out._data = y
    return out


def blank(cls: type[Value]) -> Value:
    """A node of a class that may be a subclass of Value, with nothing in it."""
    if cls is Value:
        return new(rules.LEAF, 0, 0.0)
    out: Value = Value.__new__(cls)  # a `__new__` of the subclass may want arguments
    out._a = out._b = out._info = None
    out._data = out._grad = out._da = out._db = 0.0
    out._code = rules.LEAF
    out._stamp = 0
    out._flags = TRACKED  # its instances can have any attributes
    return out


def track(node: Value) -> None:
    """Tell the garbage collector about a node that may be part of a cycle."""
    if not node._flags & TRACKED:
        node._flags |= TRACKED
        if cython.compiled:
            track_object(node)
            if node._info is not None:
                track_object(node._info)
                track_object(node._info.operands)


def track_object(x: object) -> None:
    """Tell the garbage collector about an object it may know already, or None."""
    if cython.compiled and x is not None and not PyObject_GC_IsTracked(x):  # type: ignore[name-defined]  # noqa: F821
        PyObject_GC_Track(x)  # type: ignore[name-defined]  # noqa: F821 - engine.pxd


def constant(now: modes.Modes, y: float) -> Value:
    """The result of an operation that is not recorded."""
    if now.tracer is not None:
        now.tracer.refuse("an operation on constants", y)
    return new(rules.LEAF, 0, y)


def unary(x: Value, code: int, value: Callable[..., float], dx: Callable[..., float]) -> Value:
    """The node for an operation on one Value."""
    if x._away:
        flat.home(x)
    y = value(x._data)
    now: modes.Modes = modes.current()
    if y - y != 0.0 and not now.allow_nonfinite:
        raise not_finite(rules.NAMES[code], (x,), y, modes.scope_name())
    if now.no_grad or not x._flags & REQUIRES_GRAD:
        return constant(now, y)
    out: Value = new(code, REQUIRES_GRAD | now.depth, y)
    out._a = x
    out._da = dx(x._data, y)
    out._info = now.info
    if x._flags & TRACKED:
        track(out)
    return out


def binary(
    a: Value | None,
    b: Value | None,
    x: float,
    w: float,
    code: int,
    value: Callable[..., float],
    dx: Callable[..., float],
    dw: Callable[..., float],
) -> Value:
    """The node for an operation on a and b with the values x and w; None stands for a plain number."""
    y = value(x, w)
    now: modes.Modes = modes.current()
    if y - y != 0.0 and not now.allow_nonfinite:
        raise not_finite(rules.NAMES[code], (x if a is None else a, w if b is None else b), y, modes.scope_name())
    inherited = (0 if a is None else a._flags) | (0 if b is None else b._flags)
    if now.no_grad or not inherited & REQUIRES_GRAD:
        return constant(now, y)
    out: Value = new(code, REQUIRES_GRAD | now.depth, y)
    if a is None:
        out._da = x
        out._flags |= LEFT_NUMBER
    else:
        out._a = a
        out._da = dx(x, w, y)
    if b is None:
        out._db = w
        out._flags |= RIGHT_NUMBER
    else:
        out._b = b
        out._db = dw(x, w, y)
    out._info = now.info
    if inherited & TRACKED:
        track(out)
    return out


def many(code: int, operands: tuple[object, ...], inherited: int, y: float, partials: array[float]) -> Value:
    """The node for an operation on any number of Values and floats, from its result and its derivative by each.

    `inherited` has the flags of all operands.
    """
    now: modes.Modes = modes.current()
    if y - y != 0.0 and not now.allow_nonfinite:
        raise not_finite(rules.NAMES[code], operands, y, modes.scope_name())
    if now.no_grad or not inherited & REQUIRES_GRAD:
        return constant(now, y)
    out: Value = new(code, REQUIRES_GRAD | now.depth, y)
    info: Info = modes.new_info("", modes.scope_name(), "")
    info.operands = operands
    info.partials = partials
    out._info = info
    if inherited & TRACKED:
        track(out)
    elif cython.compiled:  # as in `new`
        PyObject_GC_UnTrack(info)  # type: ignore[name-defined]  # noqa: F821 - engine.pxd
        PyObject_GC_UnTrack(operands)  # type: ignore[name-defined]  # noqa: F821
        PyObject_GC_UnTrack(partials)  # type: ignore[name-defined]  # noqa: F821
    return out


def flags_of(operands: tuple[object, ...]) -> int:
    """The flags of all operands together."""
    flags = 0
    for operand in operands:
        if isinstance(operand, Value):
            flags |= cython.cast(Value, operand)._flags
    return flags


def by_rule(
    kind: str, rule: Any, operands: tuple[object, ...], y: float, partials: array[float], inherited: int = -1
) -> Value:
    """The node for an operation outside the table, on Values and floats: a 'primitive', a 'call' or a 'pick'.

    `inherited` has the flags of all operands, or is to be found out.
    """
    code = OUTSIDE[kind]
    if inherited < 0:
        inherited = flags_of(operands)
    if y - y != 0.0 and not modes.current().allow_nonfinite:
        raise not_finite(rule.name, operands, y, modes.scope_name())
    out: Value = many(code, operands, inherited, y, partials)
    if out._code == code:
        info: Info = own_info(out)
        info.rule = rule
        info.op = rule.symbol
        if rule.refers:  # to what may be computed from the node
            track(out)
    return out


def ternary(
    operands: tuple[object, ...],
    code: int,
    value: Callable[..., float],
    d1: Callable[..., float],
    d2: Callable[..., float],
    d3: Callable[..., float],
) -> Value:
    """The node for an operation on three scalars."""
    operands = as_scalars(operands, rules.NAMES[code])
    x, w, v = plain(operands[0]), plain(operands[1]), plain(operands[2])
    y = value(x, w, v)
    partials = array("d", (d1(x, w, v, y), d2(x, w, v, y), d3(x, w, v, y)))
    return many(code, operands, flags_of(operands), y, partials)


def forward(
    a: Value, b: object, code: int, value: Callable[..., float], dx: Callable[..., float], dw: Callable[..., float]
) -> Any:
    """a op b, NotImplemented where b is no scalar: Python then asks b, which may be an array."""
    if type(b) is Value or (type(b) is not float and isinstance(b, Value)):  # exact types first: subclasses are rare
        right: Value = cython.cast(Value, b)
        if a._away or right._away:
            bring_home(a, right)
        return binary(a, right, a._data, right._data, code, value, dx, dw)
    if type(b) is float or type(b) is int or is_number(b):
        w = as_float(b, code)
        if a._away:
            flat.home(a)
        return binary(a, None, a._data, w, code, value, dx, dw)
    return NotImplemented


def reflected(
    a: object, b: Value, code: int, value: Callable[..., float], dx: Callable[..., float], dw: Callable[..., float]
) -> Any:
    """a op b for an a that is no Value."""
    if type(a) is float or type(a) is int or is_number(a):
        x = as_float(a, code)
        if b._away:
            flat.home(b)
        return binary(None, b, x, b._data, code, value, dx, dw)
    return NotImplemented


def data_of(x: Value) -> float:
    """A Value's number, wherever it stands."""
    if x._away:
        flat.home(x)
    return x._data


def bring_home(a: Value, b: Value) -> None:
    """Bring those operands home whose numbers stand in a store."""
    for operand in (a, b):
        if operand._away:
            flat.home(operand)


def as_float(x: object, code: int) -> float:
    """The operand of an operation as a float."""
    if type(x) is float:
        return x
    try:
        return float(x)  # type: ignore[arg-type]
    except OverflowError:
        raise too_large(x, rules.NAMES[code]) from None


def method(
    a: Value, b: object, code: int, value: Callable[..., float], dx: Callable[..., float], dw: Callable[..., float]
) -> Value:
    """a.op(b), an error where b is no scalar."""
    if not isinstance(b, Value):
        b = number(b, rules.NAMES[code])
    return forward(a, b, code, value, dx, dw)  # type: ignore[no-any-return]


def as_scalars(operands: Iterable[object], who: str) -> tuple[object, ...]:
    """The operands with every number that is not a Value as a float."""
    return tuple([operand if isinstance(operand, Value) else number(operand, who) for operand in operands])


def own_info(node: Value) -> Info:
    """The node's Info, for writing: not the one that its scope shares."""
    info: Info | None = node._info
    if info is None or info.shared:
        info = modes.new_info("", "" if info is None else info.scope, "")
        node._info = info
    return info


def track_captured(node: Value, function: Callable[[], object]) -> None:
    """Track the results that a `_backward` can reach besides its node and operands: they may depend on the node.

    It is followed as it is now, through closures, default arguments, lists and instances, 1,000 objects far: a result
    that was computed from the node before, and that it reaches beyond or later, lives on as long as it refers to it.
    """
    found: list[object] = [function]
    values: list[Value] = []
    seen = {id(x) for x in (node, *node._prev)}
    for x in found:
        for y in referents(x):
            if len(seen) > 1000:
                break
            if id(y) not in seen and not isinstance(y, type | ModuleType):
                seen.add(id(y))
                if isinstance(y, Value):
                    values.append(y)
                else:
                    found.append(y)
    while values:
        value: Value = cython.cast(Value, values.pop())
        if value._code != rules.LEAF and not value._flags & ALL_TRACKED:
            value._flags |= ALL_TRACKED
            track(value)
            values += sweep.operands_of(value)


def referents(x: object) -> list[Any]:
    """What an object refers to; of a function only what it brings along, not the module it stands in."""
    if isinstance(x, FunctionType):
        return [x.__closure__, x.__defaults__, x.__kwdefaults__, vars(x)]
    return gc.get_referents(x)


def all_values(operands: tuple[Any, ...]) -> tuple[Value, ...]:
    """The operands, if all of them are Values."""
    for operand in operands:
        if not isinstance(operand, Value):
            raise OperandError(f"operands are Values, not {shown(operand)}; wrap numbers, as in Value(2.0)")
    return operands


def become_custom(node: Value, symbol: str, operands: tuple[Any, ...]) -> None:
    """Make the node an operation written by hand on these operands, shown as `symbol`."""
    if node._away:
        flat.home(node)
    info: Info = own_info(node)
    info.op = symbol
    info.operands = operands
    info.partials = info.rule = None
    node._a = node._b = None
    if node._code == rules.LEAF:  # no operation until now
        node._flags |= modes.current().depth
    node._code = rules.CUSTOM
    node._flags = (node._flags | REQUIRES_GRAD) & ~(LEFT_NUMBER | RIGHT_NUMBER | HOOKED)
    track(node)  # a `_backward` refers to the node it belongs to: a cycle


# ---- the scalar ----------------------------------------------------------------------------------------------------

viewers: dict[str, Callable[..., Any]] = {}  # by the name of the method: filled by the package, viz being above us


class Viewer:
    """A method of Value that `viewers` has, with its signature and docstring; where it has none, Value has none."""

    def __init__(self, name: str) -> None:
        self.name = name

    def __get__(self, value: object, cls: type) -> Any:
        if self.name not in viewers:
            raise AttributeError(f"{cls.__name__!r} object has no attribute {self.name!r}")
        return viewers[self.name] if value is None else MethodType(viewers[self.name], value)


class ClassSignature:
    """`Value.__signature__`, for help() and editors: Python cannot see the parameters of a compiled class."""

    signature = inspect.signature(
        lambda data, _children=(), _op="", *, label="", requires_grad=True: None  # noqa: ARG005
    )

    def __get__(self, value: object, cls: type) -> inspect.Signature:
        if cls.__init__ is not Value.__init__:  # type: ignore[misc]
            raise AttributeError("__signature__")  # Python sees those of a subclass itself
        return self.signature


@cython.freelist(8192)  # nodes come and go by the thousand: half the cost of making and freeing one
@cython.trashcan(True)  # frees a chain of ten million nodes without overflowing the C stack
@cython.cclass
class Value:
    """A scalar that remembers how it was made, so that `backward()` can fill in `grad` along the way back.

    Arithmetic takes Values, ints, floats and NumPy scalars on either side; order comparisons go by value, `==` and
    hash by identity, since two equal leaves keep separate gradients.

    Arguments:
        data: a real number; ints become floats.
        label: a name for pictures and errors, also by position: `Value(2, 'a')`.
        requires_grad: False makes a constant, which collects no gradient.
        _children, _op: for operations written by hand, as in micrograd: `out = Value(t, (x,), 'tanh')`, then set
            `out._backward` to a function that adds to the operands' `grad`.

    Raises:
        OperandError: (a TypeError) `data` is not a real number; the message says what to write instead.

    Example:
        >>> a = Value(2.0, "a")
        >>> b = Value(3.0, "b")
        >>> c = a * b**2
        >>> c.backward()
        >>> c.data, a.grad, b.grad
        (18.0, 9.0, 12.0)
    """

    __slots__ = ("_a", "_b", "_code", "_da", "_data", "_db", "_flags", "_grad", "_info", "_stamp")
    __signature__ = ClassSignature()

    _a: Value | None  # the operands, and the derivatives by them
    _b: Value | None
    _da: float
    _db: float
    _info: Info | None

    if not cython.compiled:
        _away: ClassVar[bool] = False  # whether the number stands in a `flat.Store`
    if not cython.compiled and TYPE_CHECKING:  # there is none at run time; NumPy's stubs have no other word for objects

        def __array__(self) -> np.ndarray[Any, np.dtype[np.object_]]:
            raise NotImplementedError

    def __init__(
        self,
        data: Number,
        _children: str | Iterable[Value] = (),
        _op: str = "",
        *,
        label: str = "",
        requires_grad: bool = True,
    ) -> None:
        if self._away:  # made a second time
            flat.home(self)
        if type(data) is not float:
            if isinstance(data, Value):
                modes.guard("Value(x) of an argument x", data)
            data = number(data, "Value")
        self._data = data
        self._grad = self._da = self._db = 0.0
        self._a = self._b = self._info = None
        self._code = rules.LEAF
        self._flags = REQUIRES_GRAD if requires_grad else 0
        self._stamp = 0
        if isinstance(_children, str):
            if label:
                raise OperandError(f"two labels, {_children!r} and {label!r}: give one")
            label, _children = _children, ()
        if not hasattr(_children, "__iter__"):
            raise OperandError(f"the second argument is a label or a tuple of operands, not {shown(_children)}")
        if type(label) is not str:
            label = text(label, "a label")
        if type(_op) is not str:
            _op = text(_op, "_op")
        info: Info | None = modes.current().info
        if label or _op or info is not None:
            self._info = modes.new_info(label, "" if info is None else info.scope, _op)
        if type(self) is not Value:
            self._flags |= TRACKED  # as in `blank`
        elif cython.compiled:
            PyObject_GC_UnTrack(self)  # type: ignore[name-defined]  # noqa: F821 - engine.pxd, see `new`
        operands = all_values(tuple(_children))
        if operands and modes.current().no_grad:
            self._flags &= ~REQUIRES_GRAD
        elif operands:
            become_custom(self, _op, operands)

    # -- what a node holds

    @property
    def data(self) -> float:
        """The number. Assigning to it changes nothing of a graph already built, until `recompute()`."""
        modes.guard(".data", self)
        return data_of(self)

    @data.setter
    def data(self, data: Number) -> None:
        modes.guard("assigning to .data", self)
        y = data if type(data) is float else number(data, "data")
        if self._away:
            flat.home(self)
        self._data = y

    @property
    def grad(self) -> float:
        """The derivative of what `backward()` was called on by this node; 0.0 before that. Assigning 0 clears it."""
        modes.guard(".grad", self)
        if self._away:
            flat.home(self)
        return self._grad

    @grad.setter
    def grad(self, grad: Number) -> None:
        g = grad if type(grad) is float else number(grad, "grad")
        if self._away:
            flat.home(self)
        self._grad = g
        self._flags = self._flags & ~HAS_GRAD if self._grad == 0.0 else self._flags | HAS_GRAD

    @property
    def label(self) -> str:
        """The name that pictures and errors show, '' for none."""
        return "" if self._info is None else self._info.label

    @label.setter
    def label(self, label: str) -> None:
        label = text(label, "a label")
        info: Info = own_info(self)
        info.label = label

    @property
    def requires_grad(self) -> bool:
        """Whether gradients reach this node. Leaves may be switched at any time."""
        return self._flags & REQUIRES_GRAD != 0

    @requires_grad.setter
    def requires_grad(self, requires_grad: bool) -> None:
        if self._code != rules.LEAF:
            raise GraphError(f"only leaves can be switched; use detach() for a constant copy of {self!r}")
        if self._flags & PLAIN:
            raise GraphError(
                f"{self._data!r} is a plain number in the program; to differentiate by it, make it a Value"
            )
        wanted = bool(requires_grad)
        if self._away:
            flat.home(self)
        self._flags = self._flags | REQUIRES_GRAD if wanted else self._flags & ~REQUIRES_GRAD

    @property
    def _prev(self) -> tuple[Value, ...]:
        """The operands in order, with repeats. A plain number among them becomes a constant Value when asked for."""
        info: Info | None = self._info
        if self._code == rules.PICK:
            call: Value = info.operands[0]  # type: ignore[union-attr,index]  # a PICK has it
            return call._prev  # what stands for all results together has no number
        if info is not None and info.operands is not None:
            info.operands = tuple([v if isinstance(v, Value) else new(rules.LEAF, PLAIN, v) for v in info.operands])
            return info.operands
        if self._flags & LEFT_NUMBER:
            self._a = new(rules.LEAF, PLAIN, self._da)
            self._da = NAN  # nobody needed the derivative by it
        if self._flags & RIGHT_NUMBER:
            self._b = new(rules.LEAF, PLAIN, self._db)
            self._db = NAN
        self._flags &= ~(LEFT_NUMBER | RIGHT_NUMBER)
        if self._a is None:
            return ()
        return (self._a,) if self._b is None else (self._a, self._b)

    @_prev.setter
    def _prev(self, operands: Iterable[Value]) -> None:
        operands = all_values(tuple(operands))
        for node in sweep.walk(operands):  # this may close a cycle: the collector has to see every node of it
            track(node)
        become_custom(self, self._op, operands)

    @property
    def _op(self) -> str:
        """The symbol of the operation that made this node, '' for a leaf."""
        info: Info | None = self._info
        if info is not None and info.op:
            return info.op
        if self._code < rules.FIRST_CODE:
            return ""
        symbol = rules.RULES[rules.NAMES[self._code]].symbol
        if self._code == rules.POW:  # micrograd shows a plain exponent: **2
            if self._flags & RIGHT_NUMBER:
                return symbol + exponent(self._db)
            power: Value | None = self._b
            if power is not None and not power._flags & REQUIRES_GRAD and not power.label:
                return symbol + exponent(data_of(power))
        return symbol

    @_op.setter
    def _op(self, symbol: str) -> None:
        symbol = text(symbol, "_op")
        info: Info = own_info(self)
        info.op = symbol

    @property
    def _backward(self) -> Callable[[], object]:
        """The function that passes this node's gradient on to its operands. Assigning makes the operation yours.

        One thread sweeps at a time through operations written by hand: if such a function waits for the sweep of
        another thread, or a checkpoint or a custom gradient in the same graph does, it waits forever.
        """
        info: Info | None = self._info
        if info is not None and info.backward is not None:
            return info.backward
        if self._code == rules.CUSTOM:
            return functools.partial(sweep.no_backward, self)
        if self._code in (rules.CALL, rules.PICK):
            return functools.partial(sweep.pass_on_call, self)
        return functools.partial(sweep.pass_on, self, self._prev, self._partials or ())

    @_backward.setter
    def _backward(self, function: Callable[[], object]) -> None:
        if not callable(function):
            raise OperandError(f"_backward is a function without arguments, not {shown(function)}")
        if not modes.current().no_grad:
            if self._prev:
                become_custom(self, self._op, self._prev)
            else:  # still a leaf, whose gradient accumulates
                if self._away:
                    flat.home(self)
                self._flags |= HOOKED
                track(self)
            info: Info = own_info(self)
            info.backward = function
            track_captured(self, function)

    @property
    def _rule(self) -> str:
        """The name of the operation's row in `rules.RULES`, or of its own; 'leaf' or 'custom' for what has none."""
        info: Info | None = self._info
        return rules.NAMES[self._code] if info is None or info.rule is None else info.rule.name

    @property
    def _partials(self) -> tuple[float | None, ...] | None:
        """The derivative by each operand of `_prev`, None where undefined or never needed; None for custom nodes."""
        if self._code == rules.CUSTOM:
            return None
        operands = self._prev
        info: Info | None = self._info
        partials = (self._da, self._db) if info is None or info.partials is None else info.partials
        return tuple([None if partials[i] != partials[i] else partials[i] for i in range(len(operands))])

    @property
    def _scope(self) -> str:
        """The path of the scope the node was made in, '' for none."""
        return "" if self._info is None else self._info.scope

    @property
    def _has_grad(self) -> bool:
        """Whether `grad` was computed since it was last cleared."""
        if self._away:
            flat.home(self)
        return self._flags & HAS_GRAD != 0 or self._grad != 0.0

    # -- differentiating

    def backward(self, gradient: Number = 1.0) -> None:
        """Add the derivative of this node, times `gradient`, to the `grad` of every leaf it depends on.

        Leaves accumulate over calls; everything in between starts from zero at each call. Derivatives are those of the
        forward pass, or of the last `recompute()`, whatever has been assigned to `data` since. A gradient of exactly
        zero is passed on as zero, also through an infinite derivative.

        Arguments:
            gradient: the derivative of something larger by this node, a real number.

        Raises:
            NonFiniteError: a derivative is infinite or overflows; every leaf keeps the gradient it had.
            GraphError: the graph has a cycle, or nothing in it requires a gradient, or this was called inside a
                `_backward` and the graph overlaps with the one that is being swept.

        Example:
            >>> x = Value(3.0)
            >>> y = x * x * x
            >>> y.backward()
            >>> x.grad
            27.0
        """
        modes.guard("backward()", self)
        sweep.backward(self, gradient)

    def recompute(self) -> Value:
        """Compute everything below this node anew from the leaves as they are now, in place, and return the node.

        Values and local derivatives are then those of the same operations recorded anew, so the next `backward()` is
        right. Gradients of operations, which belong to the old numbers, are cleared; those of leaves stay, as after a
        step of an optimizer: set them to 0 before the next `backward()`.

        The operations are those that were recorded. What an `if` or a loop chose stays, as do numbers taken out with
        `.data` and what depends on constants alone or was computed under `no_grad()`. So do the branches inside
        derivatives that are Values, as of relu: compute those again with `gradients` instead.

        Raises:
            NonFiniteError: a result is undefined or infinite, unless inside `allow_nonfinite()`; nothing has changed.
            GraphError: an operation was written by hand, or is a result of a function with `custom_gradient` or
                `checkpoint`; nothing has changed. Operations made with `primitive` are computed again.

        Example:
            >>> a = Value(2.0)
            >>> y = (a * 3.0).square()
            >>> a.data = 5.0
            >>> y.recompute().data
            225.0
        """
        modes.guard("recompute()", self)
        recompute.recompute([self])
        return self

    def detach(self) -> Value:
        """A constant with this number and label, outside the graph."""
        modes.guard("detach()", self)
        out: Value = new(rules.LEAF, 0, data_of(self))
        if self.label:
            out.label = self.label
        return out

    # -- operators

    def __add__(self, other: Scalar) -> Value:
        return forward(self, other, rules.ADD, rules.add, rules.add_dx, rules.add_dx)  # type: ignore[no-any-return]

    def __radd__(self, other: Number) -> Value:
        return reflected(other, self, rules.ADD, rules.add, rules.add_dx, rules.add_dx)  # type: ignore[no-any-return]

    def __sub__(self, other: Scalar) -> Value:
        return forward(self, other, rules.SUB, rules.sub, rules.add_dx, rules.sub_dw)  # type: ignore[no-any-return]

    def __rsub__(self, other: Number) -> Value:
        return reflected(other, self, rules.SUB, rules.sub, rules.add_dx, rules.sub_dw)  # type: ignore[no-any-return]

    def __mul__(self, other: Scalar) -> Value:
        return forward(self, other, rules.MUL, rules.mul, rules.mul_dx, rules.mul_dw)  # type: ignore[no-any-return]

    def __rmul__(self, other: Number) -> Value:
        return reflected(other, self, rules.MUL, rules.mul, rules.mul_dx, rules.mul_dw)  # type: ignore[no-any-return]

    def __truediv__(self, other: Scalar) -> Value:
        return forward(self, other, rules.DIV, rules.div, rules.div_dx, rules.div_dw)  # type: ignore[no-any-return]

    def __rtruediv__(self, other: Number) -> Value:
        return reflected(other, self, rules.DIV, rules.div, rules.div_dx, rules.div_dw)  # type: ignore[no-any-return]

    def __pow__(self, other: Scalar, modulo: object = None) -> Value:
        if modulo is not None:
            return NotImplemented
        return forward(self, other, rules.POW, rules.power, rules.power_dx, rules.power_dw)  # type: ignore[no-any-return]

    def __rpow__(self, other: Number, modulo: object = None) -> Value:
        if modulo is not None:
            return NotImplemented
        return reflected(other, self, rules.POW, rules.power, rules.power_dx, rules.power_dw)  # type: ignore[no-any-return]

    def __neg__(self) -> Value:
        return unary(self, rules.NEG, rules.neg, rules.neg_dx)

    def __pos__(self) -> Value:
        return self

    def __abs__(self) -> Value:
        return self.abs()

    # -- order by value, equality by identity

    def __lt__(self, other: Scalar) -> bool:
        now: modes.Modes = modes.current()
        if now.tracer is not None and is_scalar(other):
            return now.tracer.compare("<", self, other)  # type: ignore[no-any-return]
        return data_of(self) < plain(other) if is_scalar(other) else NotImplemented

    def __le__(self, other: Scalar) -> bool:
        now: modes.Modes = modes.current()
        if now.tracer is not None and is_scalar(other):
            return now.tracer.compare("<=", self, other)  # type: ignore[no-any-return]
        return data_of(self) <= plain(other) if is_scalar(other) else NotImplemented

    def __gt__(self, other: Scalar) -> bool:
        now: modes.Modes = modes.current()
        if now.tracer is not None and is_scalar(other):
            return now.tracer.compare(">", self, other)  # type: ignore[no-any-return]
        return data_of(self) > plain(other) if is_scalar(other) else NotImplemented

    def __ge__(self, other: Scalar) -> bool:
        now: modes.Modes = modes.current()
        if now.tracer is not None and is_scalar(other):
            return now.tracer.compare(">=", self, other)  # type: ignore[no-any-return]
        return data_of(self) >= plain(other) if is_scalar(other) else NotImplemented

    def __eq__(self, other: object) -> bool:
        return self is other

    def __ne__(self, other: object) -> bool:
        return self is not other

    def __hash__(self) -> int:
        address = cython.cast(cython.Py_ssize_t, cython.cast(cython.p_void, self)) if cython.compiled else id(self)
        return address >> 4  # the low bits are all alike

    # -- functions of one number

    def conjugate(self) -> Value:
        """Itself, being real: NumPy asks for it in the variance of an array of Values."""
        return self

    def exp(self) -> Value:
        """e to the power of this."""
        return unary(self, rules.EXP, rules.exp, rules.exp_dx)

    def expm1(self) -> Value:
        """exp(x) - 1, accurate near 0."""
        return unary(self, rules.EXPM1, rules.expm1, rules.expm1_dx)

    def log(self) -> Value:
        """The natural logarithm."""
        return unary(self, rules.LOG, rules.log, rules.log_dx)

    def log1p(self) -> Value:
        """log(1 + x), accurate near 0."""
        return unary(self, rules.LOG1P, rules.log1p, rules.log1p_dx)

    def log2(self) -> Value:
        """The logarithm to base 2."""
        return unary(self, rules.LOG2, rules.log2, rules.log2_dx)

    def log10(self) -> Value:
        """The logarithm to base 10."""
        return unary(self, rules.LOG10, rules.log10, rules.log10_dx)

    def sqrt(self) -> Value:
        """The square root."""
        return unary(self, rules.SQRT, rules.sqrt, rules.sqrt_dx)

    def cbrt(self) -> Value:
        """The cube root, also of negative numbers."""
        return unary(self, rules.CBRT, rules.cbrt, rules.cbrt_dx)

    def square(self) -> Value:
        """x**2."""
        return unary(self, rules.SQUARE, rules.square, rules.square_dx)

    def reciprocal(self) -> Value:
        """1 / x."""
        return unary(self, rules.RECIPROCAL, rules.reciprocal, rules.reciprocal_dx)

    def abs(self) -> Value:
        """The absolute value; derivative 0 at 0."""
        return unary(self, rules.ABS, rules.absolute, rules.absolute_dx)

    def sign(self) -> Value:
        """-1, 0 or 1; derivative 0 everywhere."""
        return unary(self, rules.SIGN, rules.sign, rules.sign_dx)

    def sin(self) -> Value:
        """The sine of an angle in radians."""
        return unary(self, rules.SIN, rules.sin, rules.sin_dx)

    def cos(self) -> Value:
        """The cosine of an angle in radians."""
        return unary(self, rules.COS, rules.cos, rules.cos_dx)

    def tan(self) -> Value:
        """The tangent of an angle in radians."""
        return unary(self, rules.TAN, rules.tan, rules.tan_dx)

    def arcsin(self) -> Value:
        """The angle in radians whose sine this is."""
        return unary(self, rules.ARCSIN, rules.arcsin, rules.arcsin_dx)

    def arccos(self) -> Value:
        """The angle in radians whose cosine this is."""
        return unary(self, rules.ARCCOS, rules.arccos, rules.arccos_dx)

    def arctan(self) -> Value:
        """The angle in radians whose tangent this is."""
        return unary(self, rules.ARCTAN, rules.arctan, rules.arctan_dx)

    def sinh(self) -> Value:
        """The hyperbolic sine."""
        return unary(self, rules.SINH, rules.sinh, rules.sinh_dx)

    def cosh(self) -> Value:
        """The hyperbolic cosine."""
        return unary(self, rules.COSH, rules.cosh, rules.cosh_dx)

    def tanh(self) -> Value:
        """The hyperbolic tangent."""
        return unary(self, rules.TANH, rules.tanh, rules.tanh_dx)

    def arcsinh(self) -> Value:
        """The inverse of sinh."""
        return unary(self, rules.ARCSINH, rules.arcsinh, rules.arcsinh_dx)

    def arccosh(self) -> Value:
        """The inverse of cosh, for x >= 1."""
        return unary(self, rules.ARCCOSH, rules.arccosh, rules.arccosh_dx)

    def arctanh(self) -> Value:
        """The inverse of tanh, for -1 < x < 1."""
        return unary(self, rules.ARCTANH, rules.arctanh, rules.arctanh_dx)

    def sigmoid(self) -> Value:
        """1 / (1 + exp(-x))."""
        return unary(self, rules.SIGMOID, rules.sigmoid, rules.sigmoid_dx)

    def relu(self) -> Value:
        """max(x, 0); derivative 0 at 0."""
        return unary(self, rules.RELU, rules.relu, rules.relu_dx)

    def gelu(self) -> Value:
        """x times the probability that a standard normal variable is below x."""
        return unary(self, rules.GELU, rules.gelu, rules.gelu_dx)

    def silu(self) -> Value:
        """x * sigmoid(x), also called swish."""
        return unary(self, rules.SILU, rules.silu, rules.silu_dx)

    def softplus(self) -> Value:
        """log(1 + exp(x)), a smooth relu."""
        return unary(self, rules.SOFTPLUS, rules.softplus, rules.softplus_dx)

    def erf(self) -> Value:
        """The error function."""
        return unary(self, rules.ERF, rules.erf, rules.erf_dx)

    # -- functions of more

    def arctan2(self, other: Scalar) -> Value:
        """The angle in radians of the point (other, self), as in numpy.arctan2(y, x)."""
        return method(self, other, rules.ARCTAN2, rules.arctan2, rules.arctan2_dx, rules.arctan2_dw)

    def hypot(self, other: Scalar) -> Value:
        """sqrt(self**2 + other**2) without overflow in between; derivatives 0 at the origin."""
        return method(self, other, rules.HYPOT, rules.hypot, rules.hypot_dx, rules.hypot_dw)

    def logaddexp(self, other: Scalar) -> Value:
        """log(exp(self) + exp(other)) without overflow in between."""
        return method(self, other, rules.LOGADDEXP, rules.logaddexp, rules.logaddexp_dx, rules.logaddexp_dw)

    def maximum(self, other: Scalar) -> Value:
        """The larger of two; tied operands share the derivative equally."""
        return method(self, other, rules.MAXIMUM, rules.maximum, rules.maximum_dx, rules.maximum_dw)

    def minimum(self, other: Scalar) -> Value:
        """The smaller of two; tied operands share the derivative equally."""
        return method(self, other, rules.MINIMUM, rules.minimum, rules.maximum_dw, rules.maximum_dx)

    def leaky_relu(self, slope: Scalar = 0.01) -> Value:
        """x for x > 0, else slope * x."""
        return method(self, slope, rules.LEAKY_RELU, rules.leaky_relu, rules.leaky_relu_dx, rules.leaky_relu_dslope)

    def elu(self, alpha: Scalar = 1.0) -> Value:
        """x for x > 0, else alpha * (exp(x) - 1)."""
        return method(self, alpha, rules.ELU, rules.elu, rules.elu_dx, rules.elu_dalpha)

    def clip(self, low: Scalar, high: Scalar) -> Value:
        """The nearest number to this between low and high; derivative 1 from low to high, both included."""
        return ternary((self, low, high), rules.CLIP, rules.clip, rules.clip_dx, rules.clip_dlow, rules.clip_dhigh)

    def where(self, condition: object, other: Scalar) -> Value:
        """This where the condition holds, else other, as in torch.Tensor.where."""
        return choose(condition, self, other)

    # -- copying and showing itself

    def __copy__(self) -> Value:
        modes.guard("copying", self)
        return copies.copy_node(self, {}, lambda state: state)

    def __deepcopy__(self, memo: dict[int, Any]) -> Value:
        modes.guard("copying", self)
        return copies.deep_copy(self, memo)

    def __reduce__(self) -> tuple[Any, ...]:
        modes.guard("copying", self)
        return copies.reduce(self)

    def __repr__(self) -> str:
        now: modes.Modes = modes.current()
        if now.tracer is not None:
            now.tracer.show(self)
        if self._away:
            flat.home(self)
        return f"Value(data={self._data}, grad={self._grad})"

    def __format__(self, spec: str) -> str:
        modes.guard("formatting", self)
        return format(data_of(self), spec) if spec else repr(self)

    def __float__(self) -> float:
        modes.guard("float()", self)
        raise OperandError(
            f"float() and the math module would drop the gradient of {named(self)}: use .data where only the number is "
            "meant, and Value's own functions instead of math's, as in x.exp() or glassgrad.exp(x)"
        )

    def __int__(self) -> int:
        return int(float(self))

    def _repr_mimebundle_(self, include: Any = None, exclude: Any = None) -> dict[str, Any]:
        if "_repr_mimebundle_" not in viewers:
            return {"text/plain": repr(self)}
        return viewers["_repr_mimebundle_"](self, include, exclude)  # type: ignore[no-any-return]

    show = Viewer("show")
    tree = Viewer("tree")
    explain = Viewer("explain")


Scalar = Value | Number  # what operators and functions take


def choose(condition: object, a: object, b: object) -> Value:
    """The node for `where`."""
    if not isinstance(condition, Value):
        condition = 1.0 if condition else 0.0
    return ternary((condition, a, b), rules.WHERE, rules.where, rules.where_dcondition, rules.where_dx, rules.where_dw)


def plain(x: Any) -> Any:
    """The number of a Value, any other number as it is: 2**53 + 1 is no float, but comparable with one."""
    return data_of(cython.cast(Value, x)) if isinstance(x, Value) else x


def exponent(x: float) -> str:
    """A number in all its digits, without a decimal point where it is whole."""
    return str(int(x)) if x == x // 1 and -1e15 < x < 1e15 else repr(x)


def is_scalar(x: object) -> bool:
    """Whether x is a Value or a real number."""
    return isinstance(x, Value) or is_number(x)


from . import copies, flat, recompute, sweep  # noqa: E402 - they work on Values, and Value's methods call them
