"""Evaluate: a program in NumPy.

Pipeline: trace → differentiate → lift → program → **evaluate**.

An instruction becomes one or two NumPy calls on windows of the array, prepared once. Operations without a function of
NumPy's that is as accurate run number by number by the rule that the eager engine runs, so their results are its own.

Sums are added in NumPy's order and without the engine's second precision: they differ by rounding.
"""

from __future__ import annotations

import math
import threading
from array import array
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.lib.stride_tricks import as_strided

from .. import rules
from .program import Block, Contract, Instruction, Map, Operand, Program, Spread, View
from .scalars import MANY

__all__ = ["Machine", "Results"]

Array = np.ndarray[Any, Any]

KERNELS: dict[str, Callable[..., Any]] = {
    "add": np.add, "sub": np.subtract, "mul": np.multiply, "div": np.divide, "neg": np.negative, "abs": np.abs,
    "square": np.square, "exp": np.exp, "expm1": np.expm1, "log": np.log, "log1p": np.log1p, "sqrt": np.sqrt,
    "sin": np.sin, "cos": np.cos, "sign": np.sign, "maximum": np.maximum, "minimum": np.minimum,
}  # fmt: skip


class Results(NamedTuple):
    """What a run gives: rolled results as [examples, results]."""

    outputs: Array
    gradients: Array
    rolled_outputs: Array
    rolled_gradients: Array
    finite: bool


class Machine:
    """A program made ready to run. Threads take turns.

    Arguments:
        dtype: of all numbers, float64 or float32.
        threads: how many a run may take; NumPy's products of large matrices take what they are set to.
    """

    def __init__(self, program: Program, dtype: str = "float64", threads: int = 1) -> None:
        del threads
        self.program = program
        self.dtype = np.dtype(dtype)
        self.given = [block for block in program.blocks if block.constants is None]
        self.lock = threading.Lock()
        self.prepare(1)

    def prepare(self, examples: int) -> None:
        """Make the arrays, and the steps over them, for so many examples."""
        self.examples = examples
        self.memory = np.zeros(self.program.size, self.dtype)
        self.rolled = np.zeros((self.program.rolled_size, examples), self.dtype)
        for block in self.program.blocks:
            if block.constants is not None:
                self.place(block)[:] = np.reshape(block.constants, (-1, *[1] * block.rolled))
        self.steps = [self.step(instruction) for instruction in self.program.instructions]
        self.careful: list[Callable[[], object]] = []  # made when they are needed
        results = ("outputs", "gradients", "rolled_outputs", "rolled_gradients")
        self.results = [self.reader(getattr(self.program, name)) for name in results]

    def place(self, block: Block) -> Array:
        """Where a block's numbers stand."""
        return (self.rolled if block.rolled else self.memory)[block.offset : block.offset + block.size]

    def run(self, numbers: Sequence[Any], examples: int = 1, careful: bool = True) -> Results:
        """Run the program once.

        Arguments:
            careful: whether it may run again.
            numbers: for each block that is given, its numbers; of a rolled one example by example.

        Where an output or a gradient is not finite the program runs again with 0 times anything being 0 in derivatives:
        so what `where` does not choose may be infinite.
        """
        with self.lock, np.errstate(all="ignore"):
            if examples != self.examples:
                self.prepare(examples)
            for block, given in zip(self.given, numbers, strict=True):
                self.place(block)[:] = np.reshape(given, (examples, block.size)).T if block.rolled else given
            found = self.once(self.steps)
            if not found.finite and careful:
                self.careful = self.careful or [self.step(x, careful=True) for x in self.program.instructions]
                found = self.once(self.careful)
            return found

    def single(
        self, numbers: tuple[array[float], ...], examples: int, careful: bool
    ) -> tuple[float, array[float], bool]:
        """Run a program with one result once: that, the gradients, and whether all are finite.

        Arguments:
            numbers: those of all blocks, one after the other, in some arrays.
        """
        found = self.run(blocks_of(self.given, numbers, examples), examples, careful)
        return float(found.outputs[0]), array("d", found.gradients.astype(np.float64).tobytes()), found.finite

    def once(self, steps: list[Callable[[], object]]) -> Results:
        for step in steps:
            step()
        found = [np.array(read(), order="C") for read in self.results]
        finite = all(bool(np.isfinite(x).all()) for x in found)
        return Results(found[0], found[1], found[2].T, found[3].T, finite)

    def reader(self, operand: Operand) -> Callable[[], Array]:
        """What gives an operand's numbers; of a rolled one the examples' axis is the last."""
        memory = self.rolled if operand.rolled else self.memory
        if isinstance(operand, View):
            shape, strides = operand.shape, [memory.strides[0] * stride for stride in operand.strides]
            if operand.rolled:
                shape, strides = (*shape, self.examples), [*strides, memory.itemsize]
            if 0 in shape:
                empty = np.zeros(shape, self.dtype)
                return lambda: empty
            window = as_strided(memory[operand.offset :], shape, strides)
            return lambda: window
        places = operand.places
        return lambda: memory.take(places, axis=0)

    def step(self, instruction: Instruction, careful: bool = False) -> Callable[[], object]:
        """What runs an instruction."""
        shape = instruction.shape
        size = math.prod(shape)
        memory = self.rolled if instruction.rolled else self.memory
        out = memory[instruction.offset : instruction.offset + size].reshape(*shape, *memory.shape[1:])
        if isinstance(instruction, Map):
            return self.map(instruction, out)
        if isinstance(instruction, Spread):
            read = self.reader(instruction.operand)
            return lambda: np.copyto(out, read()[..., None])
        if careful and instruction.adjoint:
            return self.carefully(instruction, out)
        if instruction.u.rolled or instruction.v.rolled:
            return self.contract_rolled(instruction, out)
        return self.contract(instruction, out)

    def aligned(self, operand: Operand, rolled: bool) -> Callable[[], Array]:
        """What gives an operand's numbers, with an axis of the examples if there is one beside it."""
        read = self.reader(operand)
        return read if operand.rolled or not rolled else lambda: read()[..., None]

    def map(self, instruction: Map, out: Array) -> Callable[[], object]:
        name = instruction.name
        readers = [self.aligned(operand, instruction.rolled) for operand in instruction.operands]
        if name == "relu":
            (x,) = readers
            return lambda: np.maximum(x(), 0.0, out=out)
        if name == "relu'0":
            return lambda: np.greater(readers[0](), 0.0, out=out)
        if name == "where":
            condition, x, w = readers

            def choose() -> None:
                c = condition()
                np.copyto(out, np.where(c != 0.0, x(), w()))
                np.copyto(out, math.nan, where=c != c)

            return choose
        if name in ("where'1", "where'2"):
            compare = np.not_equal if name == "where'1" else np.equal
            return lambda: compare(readers[0](), 0.0, out=out)
        if name in KERNELS:
            kernel = KERNELS[name]
            return lambda: kernel(*[x() for x in readers], out=out)
        rule = scalar_rule(name)

        def by_rule() -> None:
            rows = [np.broadcast_to(x(), out.shape).ravel().tolist() for x in readers]
            out[...] = np.reshape([rule(*xs) for xs in zip(*rows, strict=True)], out.shape)

        return by_rule

    def carefully(self, instruction: Contract, out: Array) -> Callable[[], object]:
        """A contract in which 0 times anything is 0."""
        either = instruction.u.rolled or instruction.v.rolled
        u, v = self.aligned(instruction.u, either), self.aligned(instruction.v, either)
        signs = self.signs(instruction)
        signs = signs[:, None] if either else signs

        def run() -> None:
            x, w = u()[:, :, None], v()[:, None, :]
            with np.errstate(all="ignore"):
                products = np.where((x == 0.0) | (w == 0.0), 0.0, x * w) * signs
            products = np.broadcast_to(products, (*products.shape[:4], *[self.examples] * either))
            np.sum(products, axis=(3, 4) if instruction.total else 3, out=out)

        return run

    def signs(self, instruction: Contract) -> Array:
        return np.array(instruction.signs, dtype=self.dtype)

    def contract_rolled(self, instruction: Contract, out: Array) -> Callable[[], object]:
        """Sums of products of which at least one factor is rolled."""
        u, v = self.reader(instruction.u), self.reader(instruction.v)
        b, r, s = instruction.shape
        n, examples = len(instruction.signs), self.examples
        signs = self.signs(instruction)
        one, other = instruction.u.rolled, instruction.v.rolled
        if instruction.total and one and other:
            flat = signs[:, None]
            return lambda: np.matmul(
                (u() * flat).reshape(b, r, n * examples), v().reshape(b, s, n * examples).transpose(0, 2, 1), out=out
            )
        if instruction.total:  # of one factor alone the examples can be summed first
            return lambda: np.matmul(
                (u().sum(axis=-1) if one else u()) * signs,
                (v().sum(axis=-1) if other else v()).transpose(0, 2, 1),
                out=out,
            )
        if one and other:
            return lambda: np.einsum("brne,bsne,n->brse", u(), v(), signs, out=out)
        if other:
            return lambda: np.matmul(
                u() * signs, v().swapaxes(1, 2).reshape(b, n, s * examples), out=out.reshape(b, r, s * examples)
            )
        return lambda: np.einsum("brne,bsn,n->brse", u(), v(), signs, out=out)

    def contract(self, instruction: Contract, out: Array) -> Callable[[], object]:
        u, v = self.reader(instruction.u), self.reader(instruction.v)
        b, r, s = instruction.shape
        n = len(instruction.signs)
        signs = self.signs(instruction)
        plus, mixed = bool((signs == 1.0).all()), len(set(instruction.signs)) > 1
        if self.program.is_ones(instruction.v):
            flat: Array = out.reshape(b, r)
            if n == 1:
                if plus:
                    return lambda: np.copyto(flat, u()[:, :, 0])
                return lambda: np.negative(u()[:, :, 0], out=flat)
            if plus:
                return lambda: np.sum(u(), axis=2, out=flat)
            return lambda: np.matmul(u(), signs, out=flat)
        if mixed:
            return lambda: np.matmul(u() * signs, v().transpose(0, 2, 1), out=out)
        if n == 1:
            if plus:
                return lambda: np.multiply(u(), v().transpose(0, 2, 1), out=out)
            return lambda: np.negative(np.multiply(u(), v().transpose(0, 2, 1), out=out), out=out)
        if r == s == 1:
            flat = out.reshape(b)
            if plus:
                return lambda: np.einsum("bn,bn->b", u()[:, 0], v()[:, 0], out=flat)
            return lambda: np.negative(np.einsum("bn,bn->b", u()[:, 0], v()[:, 0], out=flat), out=flat)
        if b == 1:
            table: Array = out[0]
            if plus:
                return lambda: np.matmul(u()[0], v()[0].T, out=table)
            return lambda: np.negative(np.matmul(u()[0], v()[0].T, out=table), out=table)
        if plus:
            return lambda: np.matmul(u(), v().transpose(0, 2, 1), out=out)
        return lambda: np.negative(np.matmul(u(), v().transpose(0, 2, 1), out=out), out=out)


def blocks_of(given: Sequence[Block], numbers: Sequence[array[float]], examples: int) -> list[Array]:
    """The numbers of each block, from those of all of them, one after the other, in some arrays."""
    sizes = [block.size * (examples if block.rolled else 1) for block in given]
    return np.split(np.concatenate(numbers), np.cumsum(sizes)[:-1])


def scalar_rule(name: str) -> Callable[..., float]:
    """The rule for one number: the value, or after an apostrophe the derivative by that operand."""
    op, _, place = name.partition("'")
    rule = rules.RULES[op]
    if op in MANY:
        if not place:
            return lambda *xs: rule.value(memoryview(array("d", xs)))
        k = int(place)

        def derivative(*xs: float) -> float:
            operands, found = array("d", xs[:-1]), array("d", bytes(8 * len(xs) - 8))
            rule.derivatives[0](memoryview(operands), xs[-1], memoryview(found))
            return found[k]

        return derivative
    return rule.derivatives[int(place)] if place else rule.value
