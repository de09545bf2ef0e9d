"""Program: a short list of tensor instructions over one flat array.

Pipeline: trace → differentiate → lift → **program** → evaluate.

    program     := block … instruction … ; the outputs
    block       := name, offset, size, shape           numbers given at every call, or constants
    instruction := contract u v signs                  out[b, r, s] = Σ_n signs[n] · u[b, r, n] · v[b, s, n]
                 | map name operand …                  out[k] = name(operand[k], …), a row of `rules.RULES` or the
                                                       derivative of one, as in `scalars`
                 | spread operand                      out[k] = operand[k] for every example
    operand     := view offset shape strides           an affine window of the array
                 | gather indices                      any places of it

The axis that `vmap` rolls is in no shape. There are two arrays: one number at each place of the first, one for each
example at each place of the second, side by side. A rolled operand stands in the second, and so does a result with such
an operand, whose others count for every example alike. Only a contract can end the axis: with `total` it sums over the
examples too, and its result stands in the first array.

What `check` holds every program to: in both arrays blocks and results follow each other without a gap, each place is
written once and read only after that, shapes fit. Printing depends on the program alone.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from types import MethodType
from typing import TYPE_CHECKING, Any, Final, Literal

from .. import rules
from ..errors import GlassgradError
from ..graph import Graph

if TYPE_CHECKING:
    import numpy as np

__all__ = [
    "Block", "CompileError", "Contract", "Gather", "Instruction", "Map", "Operand", "Program", "ProgramError", "Spread",
    "View", "check",
]  # fmt: skip

Shape = tuple[int, ...]

PARAMETERS: Final = "params"  # the block of the Values that a function found by itself

viewers: dict[str, Callable[..., Any]] = {}  # by the name of the method: filled by the package, viz being beside us


class CompileError(GlassgradError, TypeError):
    """A function cannot be compiled: it uses a number of the run that is traced, or what is not built yet."""


class ProgramError(GlassgradError, ValueError):
    """A program is not what its grammar says: a mistake in a pass of the compiler, never a user's."""


@dataclass(frozen=True)
class View:
    """The places offset + Σ index · stride."""

    offset: int
    shape: Shape
    strides: Shape
    rolled: bool = False

    def indices(self) -> np.ndarray[Any, Any]:
        """Each place, as an array of the operand's shape."""
        import numpy as np

        found = np.full(self.shape, self.offset, dtype=np.int64)
        for axis, (size, stride) in enumerate(zip(self.shape, self.strides, strict=True)):
            if size > 1 and stride:
                found += (np.arange(size) * stride).reshape(-1, *[1] * (len(self.shape) - axis - 1))
        return found


@dataclass(frozen=True, eq=False)
class Gather:
    """Places without a pattern."""

    places: np.ndarray[Any, Any]
    rolled: bool = False

    @property
    def shape(self) -> Shape:
        """The operand's sizes."""
        return tuple(self.places.shape)

    def indices(self) -> np.ndarray[Any, Any]:
        """Each place."""
        return self.places


Operand = View | Gather

NOTHING = View(0, (0,), (1,))
NOTHING_ROLLED = View(0, (0,), (1,), rolled=True)


@dataclass(frozen=True)
class Block:
    """Numbers that no instruction makes.

    Attributes:
        name: what printing calls it.
        offset, size: where it stands.
        shape: how a reader sees it.
        constants: its numbers if it is part of the program; None if it is given at every call.
        rolled: whether there is one for each example.
    """

    name: str
    offset: int
    size: int
    shape: Shape
    constants: tuple[float, ...] | None = None
    rolled: bool = False


@dataclass(frozen=True)
class Contract:
    """Sums of products. `adjoint` says that in them 0 times anything is 0, `total` that they run over the examples."""

    offset: int
    u: Operand
    v: Operand
    signs: tuple[int, ...]
    adjoint: bool
    total: bool = False

    @property
    def shape(self) -> Shape:
        """The sizes [b, r, s] of the result."""
        return (*self.u.shape[:2], self.v.shape[1])

    @property
    def operands(self) -> tuple[Operand, ...]:
        """Both."""
        return (self.u, self.v)

    @property
    def rolled(self) -> bool:
        """Whether there is a result for each example."""
        return (self.u.rolled or self.v.rolled) and not self.total


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

    @property
    def rolled(self) -> bool:
        """Whether there is a result for each example."""
        return any(operand.rolled for operand in self.operands)


@dataclass(frozen=True)
class Spread:
    """Numbers as rolled ones, to stand beside such in one operand."""

    offset: int
    operand: Operand
    rolled: Literal[True] = True

    @property
    def shape(self) -> Shape:
        """The sizes of the result."""
        return self.operand.shape

    @property
    def operands(self) -> tuple[Operand, ...]:
        """The one operand."""
        return (self.operand,)


Instruction = Contract | Map | Spread


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
        outputs: where the results stand that are no rolled ones.
        gradients: where the derivatives stand that are no rolled ones.
        size: how many places the first array has.
        scalars: how many scalar operations the program stands for.
        notes: for each instruction, which scalars it stands for.
        rolled_outputs, rolled_gradients: where the results and derivatives stand of which each example has its own.
        rolled_size: how many places the second array has.
    """

    blocks: tuple[Block, ...]
    instructions: tuple[Instruction, ...]
    outputs: Operand
    gradients: Operand
    size: int
    scalars: int
    notes: tuple[str, ...]
    rolled_outputs: Operand = NOTHING_ROLLED
    rolled_gradients: Operand = NOTHING_ROLLED
    rolled_size: int = 0

    show = Viewer("show")

    @cached_property
    def chooses(self) -> bool:
        """Whether there is a `where` in it, and so something infinite on the way back may be what is not chosen."""
        return any(isinstance(step, Map) and step.name.startswith("where") for step in self.instructions)

    @cached_property
    def names(self) -> list[str]:
        """What printing calls the blocks and then the results."""
        return [block.name for block in self.blocks] + [f"t{i}" for i in range(len(self.instructions))]

    @cached_property
    def _starts(self) -> dict[bool, tuple[Any, list[int]]]:
        """For each array where its blocks and results start, as NumPy's array, and their places in `names`."""
        import numpy as np

        found: dict[bool, tuple[list[int], list[int]]] = {False: ([], []), True: ([], [])}
        for i, step in enumerate((*self.blocks, *self.instructions)):
            starts, which = found[step.rolled]
            starts.append(step.offset)
            which.append(i)
        return {rolled: (np.array(starts, np.int64), which) for rolled, (starts, which) in found.items()}

    def sources(self, operand: Operand) -> list[int]:
        """The blocks and results that an operand reads, as places in `names`, in the order in which they are met."""
        import numpy as np

        starts, which = self._starts[operand.rolled]
        found = np.searchsorted(starts, operand.indices().ravel(), side="right") - 1
        kinds, first = np.unique(found, return_index=True)
        return [which[kinds[i]] for i in np.argsort(first)]

    @cached_property
    def _parts(self) -> dict[tuple[int, ...], str]:
        """What printing calls parameters that are read together, by their places: a matrix is its transpose too."""
        found: dict[tuple[int, ...], str] = {}
        first = self.blocks[0] if self.blocks and self.blocks[0].name == PARAMETERS else None
        for step in self.instructions if first else ():
            for operand in step.operands:
                if not operand.rolled and self.sources(operand) == [0]:
                    key = places_of(operand)
                    if len(key) < first.size and key not in found:  # type: ignore[union-attr]
                        matrix = sum(n > 1 for n in operand.shape) > 1
                        found[key] = f"{'W' if matrix else 'w'}{len(found) + 1}"
        return found

    def text(self, operand: Operand) -> str:
        """An operand as printing shows it: constants by their numbers, parts of the parameters by their names."""
        sources = self.sources(operand)
        names = [self.numbers_of(operand, i) if self.is_constant(i) else self.names[i] for i in sources]
        if sources == [0] and self._parts:
            names = [self._parts.get(places_of(operand), self.names[0])]
        elif len(names) == 1 and self.is_constant(sources[0]) and "," not in names[0]:
            return names[0]
        name = (
            names[0]
            if len(names) == 1 and "," not in names[0]
            else "{" + ", ".join(names[:4]) + ", …" * (len(names) > 4) + "}"
        )
        return f"{name}{sizes(operand.shape, operand.rolled)}"

    def is_constant(self, i: int) -> bool:
        """Whether one of `names` is a block of constants."""
        return i < len(self.blocks) and self.blocks[i].constants is not None

    def numbers_of(self, operand: Operand, i: int) -> str:
        """The constants among an operand's numbers."""
        block = self.blocks[i]
        inside = [p - block.offset for p in places_of(operand) if block.offset <= p < block.offset + block.size]
        shown = [f"{block.constants[p]:.6g}" for p in inside]  # type: ignore[index]
        return ", ".join(shown) if len(shown) < 3 else block.name

    def __repr__(self) -> str:
        return f"<program of {len(self.instructions)} instructions for {self.scalars} scalars>"

    def __str__(self) -> str:
        """One line for each block and instruction."""
        lines = []
        for block in self.blocks:
            line = f"{block.name}{sizes(block.shape, block.rolled)}"
            if block.constants is not None:
                line += f" = {', '.join(map(repr, block.constants[:6]))}{', …' * (block.size > 6)}"
            lines.append(line)
        for i, instruction in enumerate(self.instructions):
            lines.append(f"t{i}{sizes(instruction.shape, instruction.rolled)} = {self.expression(instruction)}")
        for word, operands in [
            ("return", (self.outputs, self.rolled_outputs)),
            ("gradients", (self.gradients, self.rolled_gradients)),
        ]:
            found = [self.text(operand) for operand in operands if math.prod(operand.shape)]
            if found:
                lines.append(f"{word} {', '.join(found)}")
        return "\n".join(lines)

    def expression(self, instruction: Instruction) -> str:
        """The right side of an instruction's line."""
        if isinstance(instruction, Map):
            return f"{instruction.name}({', '.join(map(self.text, instruction.operands))})"
        if isinstance(instruction, Spread):
            return self.text(instruction.operand)
        u, v = self.text(instruction.u), self.text(instruction.v)
        _, r, s = instruction.shape
        if set(instruction.signs) == {1}:
            sign = ""
        elif set(instruction.signs) == {-1}:
            sign = "-"
        else:
            sign = "±"
        if self.is_ones(instruction.v):
            alone = len(instruction.signs) == 1 and not instruction.total
            return f"{sign}{u}" if alone else f"{sign}sum({u})"
        return f"{sign}{'sum ' * instruction.total}{u} · {v}{'ᵀ' * (r > 1 and s > 1)}"

    def is_ones(self, operand: Operand) -> bool:
        """Whether an operand is the constant 1 everywhere."""
        if not isinstance(operand, View) or any(operand.strides):
            return False
        blocks = [block for block in self.blocks if block.rolled == operand.rolled]
        block = next((b for b in blocks if b.offset <= operand.offset < b.offset + b.size), None)
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
        notes = {
            i: f"{self.expression(step)}, which is {note}"
            for i, (step, note) in enumerate(zip(self.instructions, self.notes, strict=True), len(self.blocks))
        }
        results = (self.outputs, self.gradients, self.rolled_outputs, self.rolled_gradients)
        used = dict.fromkeys([i for operand in results for i in self.sources(operand)])
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
            shapes={i: tuple([n for n in step.shape if n != 1]) for i, step in enumerate(steps)},
            notes=notes,
        )

    def symbol(self, step: Block | Instruction) -> str:
        """What a picture shows for a step."""
        if isinstance(step, Block):
            return ""
        if isinstance(step, Map):
            return step.name
        if isinstance(step, Spread):
            return "="
        if self.is_ones(step.v):
            return "Σ"
        b, r, s = step.shape
        return "*" if len(step.signs) == 1 and r == s == 1 else "·" if b == 1 else "··"


def places_of(operand: Operand) -> tuple[int, ...]:
    """The places that an operand reads, each once."""
    import numpy as np

    return tuple(np.unique(operand.indices()).tolist())


def sizes(shape: Shape, rolled: bool = False) -> str:
    """A shape without axes of length 1; the examples' axis is its last."""
    axes = [str(n) for n in shape if n != 1] + ["n"] * rolled
    return f"[{','.join(axes)}]" if axes else ""


def check(program: Program) -> None:
    """Raise ProgramError unless the program is as the module says."""
    import numpy as np

    written = {False: np.zeros(program.size, dtype=bool), True: np.zeros(program.rolled_size, dtype=bool)}
    end = {False: 0, True: 0}

    def starts(step: Block | Instruction, name: str) -> None:
        _require(step.offset == end[step.rolled], f"{name} starts at {step.offset}, not at {end[step.rolled]}")

    def write(step: Block | Instruction, size: int) -> None:
        end[step.rolled] += size
        written[step.rolled][step.offset : end[step.rolled]] = True

    for block in program.blocks:
        _require(math.prod(block.shape) == block.size, f"block {block.name}: shape {block.shape}, size {block.size}")
        if block.constants is not None:
            _require(len(block.constants) == block.size, f"block {block.name} has {len(block.constants)} constants")
        starts(block, f"block {block.name}")
        write(block, block.size)
    for i, step in enumerate(program.instructions):
        starts(step, f"t{i}")
        for operand in step.operands:
            places = operand.indices()
            before = written[operand.rolled]
            inside = bool(places.size) and bool(places.min() >= 0) and places.max() < len(before)
            _require(inside and bool(before[places].all()), f"t{i} reads what is not written yet")
        if isinstance(step, Map):
            name, _, place = step.name.partition("'")
            _require(name in rules.RULES, f"t{i} is {step.name!r}, no operation of the table")
            _require(len({operand.shape for operand in step.operands}) == 1, f"t{i} has operands of several shapes")
            _require(not place or int(place) < len(step.operands) - 1, f"t{i} is {step.name!r} of too few operands")
        elif isinstance(step, Spread):
            _require(not step.operand.rolled, f"t{i} spreads what is rolled")
        else:
            (b, _, n), (c, _, m) = step.u.shape, step.v.shape
            _require((b, n) == (c, m), f"t{i} contracts {step.u.shape} with {step.v.shape}")
            _require(len(step.signs) == n and set(step.signs) <= {1, -1}, f"t{i} has the signs {step.signs}")
            _require(not step.total or step.u.rolled or step.v.rolled, f"t{i} sums over examples that it has none of")
        write(step, math.prod(step.shape))
    for rolled, size in ((False, program.size), (True, program.rolled_size)):
        _require(end[rolled] == size, f"the array has {size} places, of which {end[rolled]} are used")
    _require(len(program.notes) == len(program.instructions), "there is a note for each instruction")
    for operand, rolled in [
        (program.outputs, False),
        (program.gradients, False),
        (program.rolled_outputs, True),
        (program.rolled_gradients, True),
    ]:
        places = operand.indices()
        inside = not places.size or bool(places.min() >= 0 and places.max() < end[rolled])
        _require(operand.rolled == rolled and inside, "an output is outside of the array")


def _require(holds: bool, message: str) -> None:
    if not holds:
        raise ProgramError(message)
