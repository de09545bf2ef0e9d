"""Build: the program of a compiled function for one structure of its arguments, stage by stage.

Pipeline: trace → differentiate → lift → program → evaluate; what `function` does where it knows no program yet.
"""

from __future__ import annotations

import functools
import math
import time
from collections.abc import Callable
from typing import Any

from .. import engine, trees
from ..engine import Value
from .call import Entry, in_memory_order
from .derived import Group, Source
from .differentiate import differentiate
from .expand import dependent
from .program import PARAMETERS, CompileError, Shape
from .rolling import alike
from .trace import Argument, Trace, trace

__all__ = ["build"]


def build(
    f: Callable[..., Any],
    dtype: str,
    threads: int,
    names: list[str],
    given: list[Any],
    leaves: list[Any],
    structure: trees.Container,
    call: Callable[[list[Any]], Any],
) -> Entry:
    """The program of a function for some arguments.

    Arguments:
        names, given, leaves, structure: of the arguments that are numbers to compute with.
        call: calls the function with others in their place.
    """
    try:
        from .lift import lift
        from .machine import machine_of
    except ImportError as error:
        raise CompileError(f"compiled functions run in NumPy, which is missing: pip install numpy ({error})") from None
    times = [time.perf_counter()]
    arguments = _arguments(names, given, leaves, structure)
    found = trace(f, arguments, call)
    times.append(time.perf_counter())
    scalars = found.scalars
    parameters, parameter_nodes, part = in_memory_order(found)
    used = set(map(id, found.parameters))
    wanted = [x for x in parameters if x.requires_grad and id(x) in used]
    nodes = [i for x, i in zip(parameters, parameter_nodes, strict=True) if x.requires_grad and id(x) in used]
    blocks: list[tuple[str, list[int], Shape]] = [
        (PARAMETERS, parameter_nodes, (len(parameters),)),
        *[
            (x.name, inputs, _shape(x.row if x.row and x.name in found.rolled else x.structure))
            for x, inputs in zip(arguments, found.inputs, strict=True)
        ],
    ]
    by, rolled_by = _places(arguments, leaves, found)
    operands = Group([*nodes, *[found.inputs[k][i] for k, i in by]], [found.inputs[k][i] for k, i in rolled_by])
    single = len(found.outputs) == 1 and not found.rolled_outputs
    start, gradients, plain = len(scalars), [], len(operands.plain)
    prepare = functools.partial(machine_of, dtype=dtype, threads=threads)
    outputs = [Group(found.outputs, found.rolled_outputs)]
    source = Source(scalars, list(blocks), outputs, [operands], start, single, prepare)
    if single:  # of several results few may be differentiated, or none: their gradient is made when it is asked for
        adjoint = differentiate(scalars, found.outputs, [None], [*operands.plain, *operands.rolled])
        start, gradients = adjoint.start, adjoint.gradients
    else:
        source.fresh = scalars
    fixed: frozenset[int] = frozenset()
    if not (single and nodes):  # there the only result depends on all parameters that were found
        moving = dependent(scalars, {*operands.plain, *operands.rolled})
        fixed = frozenset([k for k, i in enumerate((*found.outputs, *found.rolled_outputs)) if not moving[i]])
    times.append(time.perf_counter())
    if scalars.examples is not None:
        blocks.append(("n", [scalars.examples], ()))
    program = lift(
        scalars, blocks, found.outputs, gradients[:plain], start, found.rolled_outputs, gradients[plain:]
    )  # fmt: skip
    times.append(time.perf_counter())
    machine = prepare(program)
    times.append(time.perf_counter())
    return Entry(
        program=program,
        machine=machine,
        made=found.made,
        parameters=parameters,
        part=part,
        wanted=wanted,
        constants=[x for x in found.parameters if not x.requires_grad],
        arguments=[(len(inputs), x.name in found.rolled) for x, inputs in zip(arguments, found.inputs, strict=True)],
        by=by,
        rolled_by=rolled_by,
        rolled=found.rolled,
        counted=scalars.examples is not None,
        indices=found.indices,
        ends=(len(found.outputs), len(found.rolled_outputs)),
        fixed=fixed,
        source=source,
        seconds={
            stage: end - start
            for stage, start, end in zip(("trace", "differentiate", "lift", "prepare"), times, times[1:], strict=False)
        },
    )


def _arguments(names: list[str], given: list[Any], leaves: list[Any], structure: trees.Container) -> list[Argument]:
    """The arguments to trace."""
    found = []
    start = 0
    for name, x, child in zip(names, given, structure.children or [trees.LEAF] * len(names), strict=True):
        numbers = [engine.plain(leaf) for leaf in leaves[start : start + child.size]]
        start += child.size
        row = None
        if isinstance(child, trees.Array) and child.shape:
            shape = child.shape[1:]
            row = trees.Array(shape, math.prod(shape)) if shape else trees.LEAF
        elif isinstance(child, trees.Container) and (type(x) is tuple or isinstance(x, list)):
            row = child.children[0] if child.children else trees.LEAF
        found.append(Argument(name, child, numbers, x, row if row is not None and alike(x) else None))
    return found


def _places(
    arguments: list[Argument], leaves: list[Any], found: Trace
) -> tuple[list[tuple[int, int]], list[tuple[int, int]]]:
    """Which numbers derivatives are by: argument and place; and the same for those of each example."""
    by: list[tuple[int, int]] = []
    rolled_by: list[tuple[int, int]] = []
    start = 0
    for k, (x, inputs) in enumerate(zip(arguments, found.inputs, strict=True)):
        some = [
            (k, i)
            for i in range(len(inputs))
            if isinstance(leaves[start + i], Value) and leaves[start + i].requires_grad
        ]
        (rolled_by if x.name in found.rolled else by).extend(some)
        start += x.structure.size
    return by, rolled_by


def _shape(structure: trees.Structure) -> Shape:
    """A tree's sizes if it is an array or lists as regular as one, else how many numbers it has."""
    if isinstance(structure, trees.Array):
        return structure.shape
    if isinstance(structure, trees.Container) and structure.children:
        shapes = {_shape(child) for child in structure.children}
        if len(shapes) == 1:
            return (len(structure.children), *shapes.pop())
    return () if str(structure) == "number" else (structure.size,)
