"""Trace: one run of a function on stand-ins for its numbers, which gives its scalar program.

Pipeline: **trace** → differentiate → lift → program → evaluate.

Nothing of the run's numbers gets into the program. While a function is traced, its thread refuses whatever would read
one: `.data`, `.grad`, `float()`, an index, formatting, a copy, `detach()`, `no_grad()`, an operation on constants only,
and the truth value of a comparison. The error names the line and the way out. Other threads notice nothing.

- `take` chooses by a stand-in: a sum of the rows, each times 1 where it is the one and else 0.
- `vmap` over whole arguments runs its function once, on stand-ins for one row: `rolling`.
- A comparison is a condition that `where` accepts: 1 or 0, computed anew at every call.
- A leaf Value that the function finds by itself is a parameter, or with no gradient a constant: read at every call.
- Plain numbers, and whatever `if` and loops do with them, are part of the program, as are Values made inside.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final, NoReturn

from .. import functions, modes, rules, sweep, trees
from ..engine import Value
from ..errors import is_number, named
from ..recompute import is_plain
from ..tape import Tape, captured
from .nodes import Nodes
from .program import CompileError
from .refusals import explain, is_inside, refusal, users_line
from .rolling import Batch, Count, Examples, Made, Restart, Total, restart
from .scalars import Scalars

__all__ = ["Argument", "Trace", "trace"]

MANY: Final = 1000


class Equatable(Value):
    """What stands for a plain number, or for a truth value: == compares it, as it compares those."""

    def __eq__(self, other: object) -> Any:
        tracer = modes.current().tracer
        if tracer is None or not is_scalar(other):
            return self is other
        return tracer.compare("==", self, other)

    def __ne__(self, other: object) -> Any:
        tracer = modes.current().tracer
        if tracer is None or not is_scalar(other):
            return self is not other
        return tracer.compare("!=", self, other)

    def __hash__(self) -> int:
        tracer = modes.current().tracer
        if tracer is not None:
            tracer.refuse_users("hashing", self)
        return super().__hash__()


class Input(Equatable):
    """A stand-in for an argument's number; a rolled one for that of each example."""

    rolled = False

    def __index__(self) -> int:
        modes.guard("an index", self)
        raise CompileError(f"{self!r} is no index")

    def __bool__(self) -> bool:
        modes.guard("the truth value of an argument", self)
        return True


class Condition(Equatable):
    """What a comparison of traced Values gives: 1 where it holds, else 0."""

    def __bool__(self) -> bool:
        modes.guard("the truth value of a comparison", self)
        return True

    def __and__(self, other: Any) -> Condition:
        return condition(self * other, "and")

    def __or__(self, other: Any) -> Condition:
        return condition(self + (1.0 - self) * other, "or")

    def __xor__(self, other: Any) -> Condition:
        return condition(functions.abs(self - other), "xor")

    def __invert__(self) -> Condition:
        return condition(1.0 - self, "not")

    __rand__, __ror__, __rxor__ = __and__, __or__, __xor__


def condition(holds: Value, name: str) -> Condition:
    """A Value that is 1 or 0 as a condition."""
    made = Condition(0.0, (holds,), name)
    made._backward = no_gradient
    return made


def is_scalar(x: object) -> bool:
    return isinstance(x, Value) or is_number(x)


def no_gradient() -> None:
    """The way back through what is made by hand here: tapes ask for one, and `read` knows better."""


class Tracer:
    """What the engine asks while a function is traced.

    Attributes:
        indices: what `take` was given: the stand-in, and how many rows there were.
        ends: what ended the trace, which the function may have caught.
    """

    def __init__(self, name: str, arguments: dict[int, str], never: frozenset[str]) -> None:
        self.name = name
        self.arguments, self.never = arguments, never
        self.indices: list[tuple[Input, int]] = []
        self.inside = False  # whether a rolled function runs
        self.counts: list[Count] = []
        self.places: dict[tuple[int, int], list[Value]] = {}
        self.ends: list[BaseException] = []

    def refuse(self, what: str, _x: object) -> NoReturn:
        """Raise the error for a use of a Value that would freeze a number."""
        self.ends.append(refusal(what, self.name))
        raise self.ends[-1]

    def end(self, error: Exception | None = None) -> None:
        """Raise what ended the trace, if the function caught it and went on, or NumPy made another error of it."""
        if self.ends and self.ends[0] is not error:
            raise self.ends[0] from error

    def show(self, x: Value) -> None:
        """Refuse the text of a Value."""
        self.refuse_users("formatting", x)

    def refuse_users(self, what: str, x: Value) -> None:
        """Refuse what this package does too, in its errors and tables, where it is the user who does it."""
        frame = sys._getframe(1)
        while frame.f_back is not None and frame.f_code.co_name in ("__repr__", "__format__", "__hash__", "show"):
            frame = frame.f_back
        if not is_inside(frame):
            self.refuse(what, x)

    def compare(self, sign: str, a: Value, b: Any) -> Condition:
        """The condition `a sign b`, of operations that the table has: 1 for x > 0 is relu(sign(x))."""
        x, w = (a, b) if sign in (">", "<=") else (b, a)
        side = (x - w).sign()
        holds = functions.abs(side) if sign in ("==", "!=") else side.relu()
        return condition(1.0 - holds if sign in ("<=", ">=", "==") else holds, sign)

    def take(self, rows: Any, i: Value) -> Any:
        """The row that a stand-in will say: Σ row · [its place is i]."""
        if not isinstance(i, Input):
            self.refuse("an index that is computed", i)
        leaves, structures = zip(*map(trees.flatten, rows), strict=True) if len(rows) else ((), ())
        if not leaves or len(set(map(str, structures))) > 1:
            raise CompileError(
                f"take, {users_line()}: the rows are {', '.join(map(str, structures[:3])) or 'none'}; in "
                f"{self.name}, which is compiled, they all have to be alike, since any of them may be taken"
            )
        n = len(leaves)
        chosen = self.places.get((id(i), n))
        if chosen is None:
            chosen = self.places[id(i), n] = [(1.0 - functions.abs(i - float(k))).relu() for k in range(n)]
            self.indices.append((i, n))
        return trees.rebuild(structures[0], [functions.dot(chosen, column) for column in zip(*leaves, strict=True)])

    def pull(self, tape: Tape, seeds: list[Any]) -> list[Any]:
        """The derivatives that a sweep back gives, for all numbers."""
        from . import within  # which rests on the stages after this one

        return within.pull(tape, seeds, Condition, self.refuse)

    def push(self, tape: Tape, tangents: list[Any]) -> list[Any]:
        """The velocities that a sweep forward gives, for all numbers."""
        from . import within

        return within.push(tape, tangents, Condition, self.refuse)

    def count(self) -> Value:
        """How many examples there are."""
        if not self.counts:
            self.counts.append(Count(1.0))
        return self.counts[0]

    def vmap(
        self, f: Callable[..., Any], args: Sequence[Any], axes: Sequence[int | None], kwargs: dict[str, Any]
    ) -> Examples | None:
        """What vmap gives for a rolled batch; None where it has to be a loop."""
        batches = [x for x, axis in zip(args, axes, strict=True) if axis == 0] + list(kwargs.values())
        rolled = [type(x) in (Batch, Examples) for x in batches]
        if self.inside or not all(rolled):
            if any(type(x) is Examples for x in batches):
                self.refuse("looking into a batch of vmap", f)
            if any(rolled):
                raise restart(never=[x.__dict__["_name"] for x in batches if type(x) is Batch])
            names = [self.arguments[id(x)] for x in batches if id(x) in self.arguments]
            if not self.inside and len(names) == len(batches) and self.never.isdisjoint(names):
                raise restart(roll=names)
            return None

        def row(x: Any) -> Any:
            return x.row if type(x) is Examples else x.__dict__["_row"]

        self.inside = True
        try:
            result = f(
                *[row(x) if axis == 0 else x for x, axis in zip(args, axes, strict=True)],
                **{name: row(x) for name, x in kwargs.items()},
            )
        finally:
            self.inside = False
        return Examples(result, self.refuse, self.count)


@dataclass(frozen=True)
class Argument:
    """An argument that is traced.

    Attributes:
        structure: how it is put together.
        numbers: its numbers; nothing depends on them.
        original: the argument itself.
        row: the structure of one row, where the argument may be rolled.
    """

    name: str
    structure: trees.Structure
    numbers: list[float]
    original: Any
    row: trees.Structure | None


@dataclass(frozen=True)
class Trace:
    """What a run gave.

    Attributes:
        scalars: the program, arguments and parameters its leaves.
        inputs: for each argument the node of each of its numbers, in order; of a rolled one for those of one row.
        rolled: the arguments that are rolled.
        parameters: the leaf Values that the function found by itself, in an order that has matrices together.
        parameter_nodes: the node of each.
        outputs: the node of each number of the result, in order.
        rolled_outputs: the node of each number of the result that every example has.
        made: how the result is put together.
        indices: what `take` is given: the argument, the place of the number in it, and how many rows there are.
    """

    scalars: Scalars
    inputs: list[list[int]]
    rolled: frozenset[str]
    parameters: list[Value]
    parameter_nodes: list[int]
    outputs: list[int]
    rolled_outputs: list[int]
    made: Made
    indices: list[tuple[int, int, int]]


def trace(f: Callable[..., Any], arguments: list[Argument], call: Callable[[list[Any]], Any]) -> Trace:
    """Run a function.

    Arguments:
        call: calls it with other arguments in the place of these.

    Raises:
        CompileError: it uses a number, or an operation that cannot be compiled yet.
        OperandError: it returns something else than a tree of scalars.
    """
    name = getattr(f, "__name__", "the function")
    if modes.current().tracer is not None:
        raise CompileError(f"{name} is traced inside another trace")
    never = {x.name for x in arguments if x.row is None}
    largest = max((x for x in arguments if x.row is not None), key=lambda x: len(x.numbers), default=None)
    roll: set[str] = set()
    asked: set[str] = set()
    if largest is not None and len(largest.numbers) > MANY:  # a stand-in for each number would take longer than to try
        roll = {x.name for x in arguments if x.row is not None and len(x.original) == len(largest.original)}
    while True:
        try:
            return attempt(name, arguments, call, roll, never)
        except Restart as again:
            asked |= set(again.roll)
            never |= set(again.never)
            # Where it was wrong to try one of them the others are not tried on: every try runs the function.
            roll = set(asked) if again.never else roll | asked
            counts = {len(x.original) for x in arguments if x.name in roll}
            if len(counts) > 1:  # batches of different sizes
                never |= roll
            roll -= never


def attempt(
    name: str, arguments: list[Argument], call: Callable[[list[Any]], Any], roll: set[str], never: set[str]
) -> Trace:
    """Run a function with some of its arguments rolled."""
    now = modes.current()
    given: list[Any] = []
    stand_ins: list[list[Input]] = []
    for x in arguments:
        if x.name in roll:
            assert x.row is not None  # noqa: S101 - else it is among those that never are
            row = [Input(number) for number in x.numbers[: x.row.size]]
            for stand_in in row:
                stand_in.rolled = True
            stand_ins.append(row)
            given.append(Batch(x.name, type(x.original), trees.rebuild(x.row, row)))
        else:
            stand_ins.append([Input(number) for number in x.numbers])
            given.append(trees.rebuild(x.structure, stand_ins[-1]))
    tracer = Tracer(name, {id(tree): x.name for x, tree in zip(arguments, given, strict=True)}, frozenset(never))
    now.tracer = tracer
    try:
        with modes.AllowNonfinite(), modes.Recording():
            depth = now.depth
            result = call(given)
        tracer.end()
    except Exception as error:
        tracer.end(error)
        explain(error, name)
        raise
    finally:
        now.tracer = None
        tracer.ends.clear()  # they refer to what runs here and so to all Values: a cycle
    if result is None:
        raise CompileError(f"{name} returned None; is a return missing?")
    plain, rolled, made = Made.of(result)
    trees.scalars(plain, lambda i: f"the result{made.paths[i]} of {name}")
    trees.scalars(rolled, lambda k: f"the result{'[0]'.join(made.rolled_paths[k])} of {name}")
    flat = [x for row in stand_ins for x in row]
    ends = [x for x in (*plain, *rolled) if isinstance(x, Value)]
    for found in captured(ends, [*flat, *tracer.counts], depth):
        if isinstance(found, Input | Count):
            raise CompileError(
                f"{name} uses what it computed from the arguments of an earlier call: nothing can be kept from one "
                "call to another inside of a compiled function; return it, and pass it as an argument"
            )
        if found._rule != "leaf":
            raise CompileError(
                f"{name} uses {named(found)}, a result of {found._rule} from outside, which it would not notice to "
                "change: pass it as an argument"
            )
    return read(plain, rolled, stand_ins, made, tracer, frozenset(roll))


def read(
    plain: list[Any], rolled: list[Any], stand_ins: list[list[Input]], made: Made, tracer: Tracer, roll: frozenset[str]
) -> Trace:
    """The scalar program of a recorded graph."""
    scalars = Scalars()
    known = Nodes(scalars)
    where: dict[int, tuple[int, int]] = {}
    inputs: list[list[int]] = []
    for number, row in enumerate(stand_ins):
        nodes = [scalars.leaf(x.rolled) for x in row]
        for x, node in zip(row, nodes, strict=True):
            known.note(x, node)
        where |= {id(x): (number, place) for place, x in enumerate(row)}
        inputs.append(nodes)
    parameters: dict[int, Value] = {}

    def other(node: Value, below: list[int]) -> int:
        """The node of a Value that is no operation of the table on Values."""
        op = node._rule
        if isinstance(node, Count):
            return scalars.count()
        if is_plain(node):
            return scalars.const(node.data)
        if op == "leaf":
            leaf = scalars.leaf()
            parameters[leaf] = node
            return leaf
        if isinstance(node, Condition):
            return below[0]
        if isinstance(node, Total):
            return scalars.total(below[0])
        if op == "softmax":  # the shares of all have one normalization in common
            return scalars.node("exp", scalars.node("sub", below[0], scalars.node("logsumexp", *sorted(below))))
        if op in rules.RULES:
            return scalars.node(op, *below)
        raise CompileError(
            f"{tracer.name} uses {op!r}, which is not in the table of operations and cannot be compiled yet: write it "
            "with glassgrad's functions, or call it outside of the compiled function"
        )

    known.read(sweep.walk([x for x in (*plain, *rolled) if isinstance(x, Value)]), other)

    def nodes_of(results: list[Any]) -> list[int]:
        return [known.node_of(x) if isinstance(x, Value) else scalars.const(x) for x in results]

    # The walk meets the first row of a matrix before what lies below it, and the other rows after: in order of their
    # deepest use they stand together, so that products find windows.
    order = sorted(parameters, key=known.deepest_use)
    return Trace(
        scalars=scalars,
        inputs=inputs,
        rolled=roll,
        parameters=[parameters[i] for i in order],
        parameter_nodes=order,
        outputs=nodes_of(plain),
        rolled_outputs=nodes_of(rolled),
        made=made,
        indices=[(*where[id(x)], n) for x, n in tracer.indices],
    )
