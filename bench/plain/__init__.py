"""The peer of names_gpt: micrograd's idea in plain Python, with stored local gradients as in Karpathy's microgpt.

A node keeps its number, its operands and the derivative by each of them, so that going backward is one multiply-add
for each operand and needs no closure: the fastest form of micrograd that plain Python has. The names are glassgrad's,
as far as examples/names_gpt.py needs them, so that the same program runs on it after replacing the word `glassgrad`.
"""

import contextlib
import math
from operator import mul


class Value:
    __slots__ = ("children", "data", "grad", "local_grads")

    def __init__(self, data, children=(), local_grads=()):
        self.data = data
        self.grad = 0
        self.children = children
        self.local_grads = local_grads

    def __add__(self, other):
        other = other if isinstance(other, Value) else Value(other)
        return Value(self.data + other.data, (self, other), (1, 1))

    def __mul__(self, other):
        other = other if isinstance(other, Value) else Value(other)
        return Value(self.data * other.data, (self, other), (other.data, self.data))

    def __pow__(self, exponent):
        return Value(self.data**exponent, (self,), (exponent * self.data ** (exponent - 1),))

    def exp(self):
        y = math.exp(self.data)
        return Value(y, (self,), (y,))

    def log(self):
        return Value(math.log(self.data), (self,), (1 / self.data,))

    def relu(self):
        return Value(max(0, self.data), (self,), (float(self.data > 0),))

    def __neg__(self):
        return self * -1

    def __radd__(self, other):
        return self + other

    def __sub__(self, other):
        return self + (-other)

    def __rsub__(self, other):
        return other + (-self)

    def __rmul__(self, other):
        return self * other

    def __truediv__(self, other):
        return self * other**-1

    def __rtruediv__(self, other):
        return other * self**-1

    def backward(self):
        order, seen = [], set()

        def visit(node):
            if node not in seen:
                seen.add(node)
                for child in node.children:
                    visit(child)
                order.append(node)

        visit(self)
        self.grad = 1
        for node in reversed(order):
            for child, local_grad in zip(node.children, node.local_grads):  # noqa: B905 - the peer at its fastest
                child.grad += local_grad * node.grad


def dot(xs, ws):
    """With nothing but operators, as micrograd's neurons do; of the ways to write it, the fastest."""
    return sum(map(mul, xs, ws))


def logsumexp(xs):
    """One node: it is operations that cost, and its derivatives are at hand, the shares of the exponentials."""
    top = max(x.data for x in xs)
    exps = [math.exp(x.data - top) for x in xs]
    total = sum(exps)
    return Value(math.log(total) + top, tuple(xs), tuple([e / total for e in exps]))


def take(rows, i):
    """Nothing is compiled: an index is an index."""
    return rows[i]


class no_grad(contextlib.ContextDecorator, contextlib.nullcontext):
    """Nothing to switch off."""
