"""Trace: one run of a function on stand-ins for its numbers, which gives its scalar program.

Pipeline: **trace** → differentiate → lift → program → evaluate.

Nothing of the run's numbers gets into the program. While a function is traced, its thread refuses whatever would read
one: `.data`, `.grad`, `float()`, an index, formatting, a copy, `detach()`, `no_grad()`, an operation on constants only,
and the truth value of a comparison. The error names the line and the way out. Other threads notice nothing.

- A comparison is a condition that `where` accepts: 1 or 0, computed anew at every call.
- A leaf Value that the function finds by itself is a parameter, or with no gradient a constant: read at every call.
- Plain numbers, and whatever `if` and loops do with them, are part of the program, as are Values made inside.
"""

from __future__ import annotations

import linecache
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final, NoReturn

from .. import modes, rules, sweep, trees
from ..engine import Value
from ..errors import GlassgradError, named
from ..tape import captured
from .scalars import Scalars

__all__ = ["CompileError", "Trace", "trace"]

PACKAGE: Final = __name__.partition(".")[0]

WAYS_OUT: Final = {
    ".data": "compute with the Value itself",
    "float()": "compute with the Value itself and glassgrad's functions, as in x.exp()",
    "formatting": "return the Value and format it outside",
    "an index": "name the argument in static=(...), which makes a program for each of its values",
    "the truth value of a comparison": (
        "choose with glassgrad.where(condition, a, b), take glassgrad.maximum(a, b) instead of max(a, b), or name the "
        "argument in static=(...), which makes a program for each of its values"
    ),
    "an operation on constants": "use plain numbers there, or Values that require a gradient",
    "no_grad()": "leave it out: a program computes only what its results need",
    "detach()": "compute it outside, and pass it as an argument",
    "copying": "copy outside",
    "backward()": "call it on the result, outside",
}


class CompileError(GlassgradError, TypeError):
    """A function cannot be compiled: it uses a number of the run that is traced, or what is not built yet."""


class Input(Value):
    """A stand-in for an argument's number."""

    def __index__(self) -> int:
        modes.guard("an index", self)
        raise CompileError(f"{self!r} is no index")


class Condition(Value):
    """What a comparison of traced Values gives: 1 where it holds, else 0."""

    def __bool__(self) -> bool:
        modes.guard("the truth value of a comparison", self)
        return True


class Tracer:
    """What the engine asks while a function is traced."""

    def __init__(self, name: str) -> None:
        self.name = name

    def refuse(self, what: str, _x: object) -> NoReturn:
        """Raise the error for a use of a Value that would freeze a number."""
        way_out = WAYS_OUT.get(what, "call it outside")
        raise CompileError(f"{what} cannot be compiled in {self.name}, {users_line()}; {way_out}")

    def compare(self, sign: str, a: Value, b: Any) -> Condition:
        """The condition `a sign b`, of operations that the table has: 1 for x > 0 is relu(sign(x))."""
        x, w = (a, b) if sign in (">", "<=") else (b, a)
        holds = (x - w).sign().relu()  # x > w for > and <, of which the others are the opposite
        if sign in ("<=", ">="):
            holds = 1.0 - holds
        return Condition(0.0, (holds,), sign)


@dataclass(frozen=True)
class Trace:
    """What a run gave.

    Attributes:
        scalars: the program, arguments and parameters its leaves.
        inputs: the node of each number of the arguments, in order.
        parameters: the leaf Values that the function found by itself, in the order in which they are met.
        parameter_nodes: the node of each.
        outputs: the node of each number of the result, in order.
        made: how the result is put together.
    """

    scalars: Scalars
    inputs: list[int]
    parameters: list[Value]
    parameter_nodes: list[int]
    outputs: list[int]
    made: trees.Structure


def trace(
    f: Callable[..., Any], build: Callable[[list[Any]], tuple[Sequence[Any], dict[str, Any]]], numbers: list[float]
) -> Trace:
    """Run a function once.

    Arguments:
        build: puts stand-ins for the numbers into the arguments, by position and by keyword.
        numbers: what the run computes with; nothing depends on them.

    Raises:
        CompileError: it uses a number, or an operation that cannot be compiled yet.
        OperandError: it returns something else than a tree of scalars.
    """
    name = getattr(f, "__name__", "the function")
    now = modes.current()
    if now.tracer is not None:
        raise CompileError(f"{name} is traced inside another trace")
    stand_ins: list[Any] = [Input(x) for x in numbers]
    args, kwargs = build(stand_ins)
    now.tracer = Tracer(name)
    try:
        with modes.AllowNonfinite(), modes.Recording():
            depth = now.depth
            result = f(*args, **kwargs)
    finally:
        now.tracer = None
    if result is None:
        raise CompileError(f"{name} returned None; is a return missing?")
    leaves, made = trees.flatten(result)
    trees.scalars(leaves, lambda i: f"the result{made.path(i)} of {name}")
    for x in captured([x for x in leaves if isinstance(x, Value)], stand_ins, depth):
        if x._rule != "leaf":
            raise CompileError(
                f"{name} uses {named(x)}, a result of {x._rule} from outside, which it would not notice to change: "
                "pass it as an argument"
            )
    return read(leaves, stand_ins, made, name)


def read(results: list[Any], stand_ins: list[Value], made: trees.Structure, name: str) -> Trace:
    """The scalar program of a recorded graph."""
    scalars = Scalars()
    ids = {id(x): scalars.leaf() for x in stand_ins}
    inputs = list(ids.values())
    parameters: list[Value] = []
    nodes: list[int] = []
    for node in sweep.walk([x for x in results if isinstance(x, Value)]):
        key, op = id(node), node._rule
        if key in ids:
            continue
        if op == "leaf":
            ids[key] = scalars.leaf()
            parameters.append(node)
            nodes.append(ids[key])
            continue
        # What the walk left out is a plain number.
        below = [ids[id(x)] if id(x) in ids else scalars.const(x.data) for x in node._prev]
        if isinstance(node, Condition):
            ids[key] = below[0]
        elif op in rules.RULES:
            ids[key] = scalars.node(op, *below)
        else:
            raise CompileError(
                f"{name} uses {op!r}, which is not in the table of operations and cannot be compiled yet: write it "
                "with glassgrad's functions, or call it outside of the compiled function"
            )
    outputs = [ids[id(x)] if isinstance(x, Value) else scalars.const(x) for x in results]
    return Trace(scalars, inputs, parameters, nodes, outputs, made)


def users_line() -> str:
    """The innermost line outside of this package, as errors show it."""
    frame = sys._getframe(1)
    while frame.f_back is not None and frame.f_globals.get("__name__", "").partition(".")[0] == PACKAGE:
        frame = frame.f_back
    path, line = frame.f_code.co_filename, frame.f_lineno
    text = linecache.getline(path, line).strip()
    return f"line {line} of {path}" + (f": `{text}`" if text else "")
