"""Evaluate: a program in NumPy, over one flat array of float64.

Pipeline: trace → differentiate → lift → program → **evaluate**.

An instruction becomes one or two NumPy calls on windows of the array, prepared once. Operations without a function of
NumPy's that is as accurate run number by number by the rule that the eager engine runs, so their results are its own.

Sums are added in NumPy's order and without the engine's second precision: they differ by rounding.
"""

from __future__ import annotations

import threading
from array import array
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.lib.stride_tricks import as_strided

from .. import rules
from .program import Contract, Map, Operand, Program, View

__all__ = ["Machine"]

Array = np.ndarray[Any, Any]
MANY = ("sum", "mean", "prod", "logsumexp", "softmax", "dot")

KERNELS: dict[str, Callable[..., Any]] = {
    "add": np.add, "sub": np.subtract, "mul": np.multiply, "div": np.divide, "neg": np.negative, "abs": np.abs,
    "square": np.square, "exp": np.exp, "expm1": np.expm1, "log": np.log, "log1p": np.log1p, "sqrt": np.sqrt,
    "sin": np.sin, "cos": np.cos, "sign": np.sign, "maximum": np.maximum, "minimum": np.minimum,
}  # fmt: skip


class Machine:
    """A program made ready to run. Threads take turns."""

    def __init__(self, program: Program) -> None:
        self.program = program
        self.memory = np.zeros(program.size)
        for block in program.blocks:
            if block.constants is not None:
                self.memory[block.offset : block.offset + block.size] = block.constants
        self.given = [block for block in program.blocks if block.constants is None]
        self.steps = [self.step(instruction) for instruction in program.instructions]
        self.careful: list[Callable[[], object]] = []  # made when they are needed
        self.outputs = self.reader(program.outputs)
        self.gradients = self.reader(program.gradients)
        self.lock = threading.Lock()

    def run(self, numbers: Sequence[Any]) -> tuple[Array, Array, bool]:
        """The outputs, the gradients, and whether all of them are finite.

        Arguments:
            numbers: for each block that is given, its numbers.

        Where an output or a gradient is not finite the program runs again with 0 times anything being 0 in derivatives:
        so what `where` does not choose may be infinite.
        """
        with self.lock, np.errstate(all="ignore"):
            for block, given in zip(self.given, numbers, strict=True):
                self.memory[block.offset : block.offset + block.size] = given
            found = self.once(self.steps)
            if not found[2]:
                self.careful = self.careful or [self.step(x, careful=True) for x in self.program.instructions]
                found = self.once(self.careful)
            return found

    def once(self, steps: list[Callable[[], object]]) -> tuple[Array, Array, bool]:
        for step in steps:
            step()
        outputs, gradients = np.array(self.outputs()), np.array(self.gradients())
        return outputs, gradients, bool(np.isfinite(outputs).all() and np.isfinite(gradients).all())

    def reader(self, operand: Operand) -> Callable[[], Array]:
        """What gives an operand's numbers."""
        memory = self.memory
        if isinstance(operand, View):
            if 0 in operand.shape:
                empty = np.zeros(operand.shape)
                return lambda: empty
            window = as_strided(memory[operand.offset :], operand.shape, [8 * stride for stride in operand.strides])
            return lambda: window
        places = operand.places
        return lambda: memory.take(places)

    def step(self, instruction: Contract | Map, careful: bool = False) -> Callable[[], object]:
        """What runs an instruction."""
        shape = instruction.shape
        end = instruction.offset + int(np.prod(shape))
        out = self.memory[instruction.offset : end].reshape(shape)
        if isinstance(instruction, Map):
            return self.map(instruction, out)
        return self.contract(instruction, out, careful and instruction.adjoint)

    def map(self, instruction: Map, out: Array) -> Callable[[], object]:
        name = instruction.name
        readers = [self.reader(operand) for operand in instruction.operands]
        if name == "relu":
            (x,) = readers
            return lambda: np.maximum(x(), 0.0, out=out)
        if name == "relu'0":
            return lambda: np.greater(readers[0](), 0.0, out=out)
        if name in KERNELS:
            kernel = KERNELS[name]
            return lambda: kernel(*[x() for x in readers], out=out)
        rule = scalar_rule(name)

        def by_rule() -> None:
            out[:] = [rule(*xs) for xs in zip(*[x().tolist() for x in readers], strict=True)]

        return by_rule

    def contract(self, instruction: Contract, out: Array, careful: bool) -> Callable[[], object]:
        u, v = self.reader(instruction.u), self.reader(instruction.v)
        b, r, s = instruction.shape
        n = len(instruction.signs)
        signs = np.array(instruction.signs, dtype=np.float64)
        plus, mixed = bool((signs == 1.0).all()), len(set(instruction.signs)) > 1
        if careful:

            def carefully() -> None:
                x, w = u()[:, :, None, :], v()[:, None, :, :]
                products = np.where((x == 0.0) | (w == 0.0), 0.0, x * w)
                np.matmul(products, signs, out=out)

            return carefully
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
