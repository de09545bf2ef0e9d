"""Taped: code for instructions of a few numbers, which the native machine runs one after the other.

Pipeline: trace → differentiate → lift → program → **plan** → native; what plan does with instructions of which a
recurrence has thousands. Compiled, it takes a microsecond for each.

`kernels.h` says what the code means.
"""

from __future__ import annotations

from array import array
from typing import Any, Final

try:
    import cython
except ImportError:
    from .. import _cython as cython

from . import columns
from .program import Contract, Operand, View

__all__ = ["Taped"]

# As in kernels.h.
END, COPY, NEG, ADD, SUB, MUL, NEGMUL, MULADD, SUBMUL, MULMUL, DOT, RULE = range(12)
RELU, DIV = 15, 16
TAPED: Final = {
    "identity": COPY, "neg": NEG, "add": ADD, "sub": SUB, "mul": MUL, "relu": RELU, "div": DIV,
}  # fmt: skip

NAN = float("nan")


@cython.final
@cython.cclass
class Taped:
    """The code so far.

    Arguments:
        at: where each place of a program's first array is.
        known: the constants, by place; nan elsewhere.
        most: products of numbers, or operations on one, that an instruction may have.
    """

    __slots__ = ("_at", "_known", "at", "code", "known", "most", "size")

    def __init__(self, at: array[int], known: array[float], most: int) -> None:
        self._at, self._known = at, known
        self.at, self.known = columns.longs(self._at), columns.doubles(self._known)
        self.size, self.most = len(known), most
        self.code: list[int] = []

    def take(self) -> list[int]:
        """The code, which then starts anew; empty if there was none."""
        code, self.code = self.code, []
        if code:
            code.append(END)
        return code

    def places(self, operand: Operand) -> list[int]:
        """The places of an operand that is not rolled, one after the other."""
        if not isinstance(operand, View):
            return [self.at[place] for place in operand.places.ravel().tolist()]
        shape, strides = operand.shape, operand.strides
        found = [operand.offset]
        for axis in range(len(shape)):
            size, stride = shape[axis], strides[axis]
            if size != 1:
                found = [place + i * stride for place in found for i in range(size)]
        return [self.at[place] for place in found]

    def calls(self, name: str, rule: int | None, out: int, size: int, operands: Any) -> bool:
        """Append an operation on so many numbers, if they are few; whether that was so.

        Arguments:
            rule: the number of its rule; None where the code alone can say what it is.
        """
        if size > self.most or (rule is None and name not in TAPED):
            return False
        rows = [self.places(operand) for operand in operands]
        code = self.code
        for k in range(size):
            code.append(TAPED[name] if rule is None else RULE + len(rows) - 1)
            code.append(out + k)
            if rule is not None:
                code.append(rule)
            for row in rows:
                code.append(row[k])
        return True

    def contract(self, instruction: Contract) -> bool:
        """Append a contract's sums, if they are few and no rolled ones; whether that was so."""
        u, v = instruction.u, instruction.v
        if u.rolled or v.rolled:
            return False
        b, r, n = u.shape
        s = v.shape[1]
        if b * r * s * n > self.most:
            return False
        self.sums(instruction.offset, b, r, s, self.places(u), self.places(v), instruction.signs)
        return True

    def sums(self, out: int, b: int, r: int, s: int, left: list[int], right: list[int], signs: tuple[int, ...]) -> None:
        """Append sums of products of the numbers at these places."""
        n = len(signs)
        for k in range(b):
            for i in range(r):
                for j in range(s):
                    self.sum(out, left, (k * r + i) * n, right, (k * s + j) * n, signs)
                    out += 1

    def number(self, place: int) -> float:
        """The constant at a place; nan where there is none."""
        return self.known[place] if place < self.size else NAN

    def sum(self, out: int, left: list[int], start: int, right: list[int], other: int, signs: tuple[int, ...]) -> None:
        """Append one sum of products: of factors from these places on."""
        code = self.code
        plus: list[int] = []
        minus: list[int] = []
        added = subtracted = 0  # how many numbers stand without a factor
        for k in range(len(signs)):
            a, b = left[start + k], right[other + k]
            x, y = self.number(a), self.number(b)
            if (x == 0.0 and y == 1.0) or (y == 0.0 and x == 1.0):
                continue  # it only filled a row up
            if x == 1.0:
                a, b = b, a
            alone = x == 1.0 or y == 1.0
            if signs[k] > 0:
                added += alone
                plus.append(a)
                plus.append(b)
            else:
                subtracted += alone
                minus.append(a)
                minus.append(b)
        terms, others = len(plus) // 2, len(minus) // 2
        if terms == 1 and others == 0:
            code += [COPY, out, plus[0]] if added else [MUL, out, plus[0], plus[1]]
        elif terms == 0 and others == 1:
            code += [NEG, out, minus[0]] if subtracted else [NEGMUL, out, minus[0], minus[1]]
        elif terms == 2 and others == 0 and added == 0:
            code += [MULMUL, out, plus[0], plus[1], plus[2], plus[3]]
        elif terms == 2 and others == 0 and added == 2:
            code += [ADD, out, plus[0], plus[2]]
        elif terms == 2 and others == 0:
            k = 2 if self.number(plus[1]) == 1.0 else 0  # where the product is
            code += [MULADD, out, plus[k], plus[k + 1], plus[2 - k]]
        elif terms == 1 and others == 1 and added == 1:
            code += [SUB, out, plus[0], minus[0]] if subtracted else [SUBMUL, out, minus[0], minus[1], plus[0]]
        else:
            code += [DOT, out, terms, others]
            code += plus
            code += minus
