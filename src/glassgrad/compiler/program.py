"""Program: a short list of tensor instructions over one flat array of float64.

Pipeline: trace → differentiate → lift → **program** → evaluate.

    program     := block … instruction … ; the outputs
    block       := name, offset, size, shape           numbers given at every call, or constants
    instruction := contract u v signs                  out[b, r, s] = Σ_n signs[n] · u[b, r, n] · v[b, s, n]
                 | map name operand …                  out[k] = name(operand[k], …), a row of `rules.RULES` or the
                                                       derivative of one, as in `scalars`
    operand     := view offset shape strides           an affine window of the array
                 | gather indices                      any places of it

What `check` holds every program to: blocks and results follow each other without a gap, each place is written once and
read only after that, shapes fit. Printing depends on the program alone.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from types import MethodType
from typing import TYPE_CHECKING, Any

from .. import rules
from ..errors import GlassgradError
from ..graph import Graph

if TYPE_CHECKING:
    import numpy as np

__all__ = ["Block", "Contract", "Gather", "Instruction", "Map", "Operand", "Program", "ProgramError", "View", "check"]

Shape = tuple[int, ...]

viewers: dict[str, Callable[..., Any]] = {}  # by the name of the method: filled by the package, viz being beside us


class ProgramError(GlassgradError, ValueError):
    """A program is not what its grammar says: a mistake in a pass of the compiler, never a user's."""


@dataclass(frozen=True)
class View:
    """The places offset + Σ index · stride."""

    offset: int
    shape: Shape
    strides: Shape

    def indices(self) -> np.ndarray[Any, Any]:
        """Each place, as an array of the operand's shape."""
        import numpy as np

        found = np.full(self.shape, self.offset, dtype=np.int64)
        for axis, (size, stride) in enumerate(zip(self.shape, self.strides, strict=True)):
            found += (np.arange(size) * stride).reshape([-1 if k == axis else 1 for k in range(len(self.shape))])
        return found


@dataclass(frozen=True, eq=False)
class Gather:
    """Places without a pattern."""

    places: np.ndarray[Any, Any]

    @property
    def shape(self) -> Shape:
        """The operand's sizes."""
        return tuple(self.places.shape)

    def indices(self) -> np.ndarray[Any, Any]:
        """Each place."""
        return self.places


Operand = View | Gather


@dataclass(frozen=True)
class Block:
    """Numbers that no instruction makes.

    Attributes:
        name: what printing calls it.
        offset, size: where it stands.
        shape: how a reader sees it.
        constants: its numbers if it is part of the program; None if it is given at every call.
    """

    name: str
    offset: int
    size: int
    shape: Shape
    constants: tuple[float, ...] | None = None


@dataclass(frozen=True)
class Contract:
    """Sums of products. `adjoint` says that in them 0 times anything is 0."""

    offset: int
    u: Operand
    v: Operand
    signs: tuple[int, ...]
    adjoint: bool

    @property
    def shape(self) -> Shape:
        """The sizes [b, r, s] of the result."""
        return (*self.u.shape[:2], self.v.shape[1])

    @property
    def operands(self) -> tuple[Operand, ...]:
        """Both."""
        return (self.u, self.v)


@dataclass(frozen=True)
class Map:
    """One operation, number by number."""

    offset: int
    name: str
    operands: tuple[Operand, ...]

    @property
    def shape(self) -> Shape:
        """The sizes of the result."""
        return self.operands[0].shape


Instruction = Contract | Map


class Viewer:
    """A method of Program that `viewers` has; where it has none, Program has none."""

    def __init__(self, name: str) -> None:
        self.name = name

    def __get__(self, program: object, cls: type) -> Any:
        if self.name not in viewers:
            raise AttributeError(f"{cls.__name__!r} object has no attribute {self.name!r}")
        return viewers[self.name] if program is None else MethodType(viewers[self.name], program)


@dataclass(frozen=True, eq=False)
class Program:
    """Tensor instructions for a function's results and their derivatives.

    Attributes:
        blocks: what is given and the constants, from place 0 on.
        instructions: in the order in which they run.
        outputs: where the results stand.
        gradients: where the derivatives stand.
        size: how many floats the array has.
        scalars: how many scalar operations the program stands for.
        notes: for each instruction, which scalars it stands for.
    """

    blocks: tuple[Block, ...]
    instructions: tuple[Instruction, ...]
    outputs: Operand
    gradients: Operand
    size: int
    scalars: int
    notes: tuple[str, ...]

    show = Viewer("show")

    @cached_property
    def names(self) -> list[str]:
        """What printing calls the blocks and then the results."""
        return [block.name for block in self.blocks] + [f"t{i}" for i in range(len(self.instructions))]

    @cached_property
    def _starts(self) -> list[int]:
        return [x.offset for x in (*self.blocks, *self.instructions)]

    def sources(self, operand: Operand) -> list[int]:
        """The blocks and results that an operand reads, as places in `names`, in the order in which they are met."""
        import numpy as np

        found = np.searchsorted(self._starts, operand.indices().ravel(), side="right") - 1
        kinds, first = np.unique(found, return_index=True)
        return [int(kinds[i]) for i in np.argsort(first)]

    def text(self, operand: Operand) -> str:
        """An operand as printing shows it."""
        sources = [self.names[i] for i in self.sources(operand)]
        name = sources[0] if len(sources) == 1 else "{" + ", ".join(sources[:4]) + ", …" * (len(sources) > 4) + "}"
        return f"{name}{sizes(operand.shape)}"

    def __repr__(self) -> str:
        return f"<program of {len(self.instructions)} instructions for {self.scalars} scalars>"

    def __str__(self) -> str:
        """One line for each block and instruction."""
        lines = []
        for block in self.blocks:
            line = f"{block.name}{sizes(block.shape)}"
            if block.constants is not None:
                line += f" = {', '.join(map(repr, block.constants[:6]))}{', …' * (block.size > 6)}"
            lines.append(line)
        for i, instruction in enumerate(self.instructions):
            lines.append(f"t{i}{sizes(instruction.shape)} = {self.expression(instruction)}")
        lines.append(f"return {self.text(self.outputs)}")
        if math.prod(self.gradients.shape):
            lines.append(f"gradients {self.text(self.gradients)}")
        return "\n".join(lines)

    def expression(self, instruction: Instruction) -> str:
        """The right side of an instruction's line."""
        if isinstance(instruction, Map):
            return f"{instruction.name}({', '.join(map(self.text, instruction.operands))})"
        u, v = self.text(instruction.u), self.text(instruction.v)
        _, r, s = instruction.shape
        if set(instruction.signs) == {1}:
            sign = ""
        elif set(instruction.signs) == {-1}:
            sign = "-"
        else:
            sign = "±"
        if self.is_ones(instruction.v):
            return f"{sign}{u}" if len(instruction.signs) == 1 else f"{sign}sum({u})"
        return f"{sign}{u} · {v}{'ᵀ' * (r > 1 and s > 1)}"

    def is_ones(self, operand: Operand) -> bool:
        """Whether an operand is the constant 1 everywhere."""
        if not isinstance(operand, View) or any(operand.strides):
            return False
        block = next((b for b in self.blocks if b.offset <= operand.offset < b.offset + b.size), None)
        return block is not None and block.constants is not None and block.constants[operand.offset - block.offset] == 1

    def to_graph(self) -> Graph:
        """The program as a snapshot for the viewer: a node for each block and instruction."""
        n = len(self.names)
        steps: Sequence[Block | Instruction] = (*self.blocks, *self.instructions)
        below: list[tuple[int, ...]] = []
        symbols = []
        for step in steps:
            found: dict[int, None] = {}
            for operand in () if isinstance(step, Block) else step.operands:
                found |= dict.fromkeys(self.sources(operand))
            below.append(tuple(found))
            symbols.append(self.symbol(step))
        made = {self.names[i]: note for i, note in enumerate(self.notes, len(self.blocks))}
        used = dict.fromkeys(self.sources(self.outputs) + self.sources(self.gradients)) if n else {}
        return Graph(
            ops=["leaf" if isinstance(step, Block) else "tensor" for step in steps],
            symbols=symbols,
            operands=below,
            values=[math.nan] * n,
            grads=[None] * n,
            partials=[(None,) * len(x) for x in below],
            labels=list(self.names),
            scopes=[""] * n,
            requires_grad=[not (isinstance(step, Block) and step.constants is not None) for step in steps],
            roots=tuple(used) or (n - 1,),
            shapes={i: step.shape for i, step in enumerate(steps)},
            notes={i: made[name] for i, name in enumerate(self.names) if name in made},
        )

    def symbol(self, step: Block | Instruction) -> str:
        """What a picture shows for a step."""
        if isinstance(step, Block):
            return ""
        if isinstance(step, Map):
            return step.name
        if self.is_ones(step.v):
            return "Σ"
        b, r, s = step.shape
        return "*" if len(step.signs) == 1 and r == s == 1 else "·" if b == 1 else "··"


def sizes(shape: Shape) -> str:
    """A shape without axes of length 1."""
    return f"[{','.join([str(n) for n in shape if n != 1])}]" if any(n != 1 for n in shape) else ""


def check(program: Program) -> None:
    """Raise ProgramError unless the program is as the module says."""
    import numpy as np

    written = np.zeros(program.size, dtype=bool)
    end = 0
    for block in program.blocks:
        _require(block.offset == end, f"block {block.name} starts at {block.offset}, not at {end}")
        _require(math.prod(block.shape) == block.size, f"block {block.name}: shape {block.shape}, size {block.size}")
        if block.constants is not None:
            _require(len(block.constants) == block.size, f"block {block.name} has {len(block.constants)} constants")
        end += block.size
        written[block.offset : end] = True
    for i, step in enumerate(program.instructions):
        _require(step.offset == end, f"t{i} starts at {step.offset}, not at {end}")
        for operand in step.operands:
            places = operand.indices()
            inside = bool(places.size) and bool(places.min() >= 0) and places.max() < program.size
            _require(inside and bool(written[places].all()), f"t{i} reads what is not written yet")
        if isinstance(step, Map):
            name, _, place = step.name.partition("'")
            _require(name in rules.RULES, f"t{i} is {step.name!r}, no operation of the table")
            _require(len({operand.shape for operand in step.operands}) == 1, f"t{i} has operands of several shapes")
            _require(not place or int(place) < len(step.operands) - 1, f"t{i} is {step.name!r} of too few operands")
        else:
            (b, _, n), (c, _, m) = step.u.shape, step.v.shape
            _require((b, n) == (c, m), f"t{i} contracts {step.u.shape} with {step.v.shape}")
            _require(len(step.signs) == n and set(step.signs) <= {1, -1}, f"t{i} has the signs {step.signs}")
        end += math.prod(step.shape)
        written[step.offset : end] = True
    _require(end == program.size, f"the array has {program.size} places, of which {end} are used")
    _require(len(program.notes) == len(program.instructions), "there is a note for each instruction")
    for operand in (program.outputs, program.gradients):
        places = operand.indices()
        inside = not places.size or bool(places.min() >= 0 and places.max() < end)
        _require(inside, "an output is outside of the array")


def _require(holds: bool, message: str) -> None:
    if not holds:
        raise ProgramError(message)
