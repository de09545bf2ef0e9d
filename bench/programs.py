"""The programs that are measured, each written once and run on glassgrad and on a peer by replacing the library's name.

A measured run gives the seconds of its parts and the number it computed; `rows.py` compares both.
"""

import importlib
import operator
import random
import sys
import time
import types
from pathlib import Path

EXAMPLE = Path(__file__).resolve().parent.parent / "examples" / "names_gpt.py"

# Processor time of this thread: what else the machine does at the time does not count. Windows counts it in steps of
# 16 milliseconds.
clock = time.perf_counter if sys.platform == "win32" else time.thread_time


# ---- chains ----------------------------------------------------------------------------------------------------------

# Each takes the running result z and an operand, a Value w or a number. Both are about 1, so that no result is denormal
# and no gradient overflows.
OPERATORS = {
    "z + w": (operator.add, True),
    "z - w": (operator.sub, True),
    "z * w": (operator.mul, True),
    "z / w": (operator.truediv, True),
    "z + 1.5": (operator.add, False),
    "z - 1.5": (operator.sub, False),
    "z * 1.5": (operator.mul, False),
    "z / 1.5": (operator.truediv, False),
    "z ** 1.5": (operator.pow, False),
    "z.relu()": (lambda z, _: z.relu(), False),
}


def chain(Value, n):
    """n operations in a row, half of them *, half of them +: what a dot product is made of."""
    z, w, b = Value(1.0), Value(1.0000001), Value(1e-9)
    for _ in range(n // 2):
        z = z * w + b
    return z


def operator_chain(Value, function, with_value, n):
    """n times the same operator; the loop and the call of a function are part of the time, in both libraries."""
    z = Value(1.0)
    operand = Value(1.0000001) if with_value else 1.0000001
    for _ in range(n):
        z = function(z, operand)
    return z


def parts_of(make):
    """(seconds to build what `make` makes, to go backward over it, to free it; its result)"""
    start = clock()
    z = make()
    built = clock()
    z.backward()
    swept = clock()
    result = z.data
    before = clock()
    del z
    return (built - start, swept - built, clock() - before), result


# ---- micrograd's demo ------------------------------------------------------------------------------------------------


def moons(library, X, y):
    """A function that does one full-batch step of micrograd's demo.ipynb: MLP(2, [16, 16, 1]), hinge loss, L2, SGD."""
    Value = importlib.import_module(f"{library}.engine").Value
    nn = importlib.import_module(f"{library}.nn")
    random.seed(1337)
    model = nn.MLP(2, [16, 16, 1])
    k = 0

    def loss():
        inputs = [list(map(Value, xrow)) for xrow in X]
        scores = list(map(model, inputs))
        losses = [(1 + -yi * scorei).relu() for yi, scorei in zip(y, scores, strict=True)]
        data_loss = sum(losses) * (1.0 / len(losses))
        alpha = 1e-4
        reg_loss = alpha * sum(p * p for p in model.parameters())
        accuracy = [(yi > 0) == (scorei.data > 0) for yi, scorei in zip(y, scores, strict=True)]
        return data_loss + reg_loss, sum(accuracy) / len(accuracy)

    def step():
        nonlocal k
        start = clock()
        total_loss, _ = loss()
        built = clock()
        model.zero_grad()
        total_loss.backward()
        swept = clock()
        learning_rate = 1.0 - 0.9 * k / 100
        for p in model.parameters():
            p.data -= learning_rate * p.grad
        updated = clock()
        k += 1
        result = total_loss.data
        del total_loss
        end = clock()
        return (built - start, swept - built, updated - swept, end - updated), result

    return step


def moons_data():
    """The demo's data, from scikit-learn; targets are -1 and 1."""
    from sklearn.datasets import make_moons

    X, y = make_moons(n_samples=100, noise=0.1, random_state=1337)
    return X, y * 2 - 1


# ---- examples/names_gpt.py -------------------------------------------------------------------------------------------


def names_gpt(library, dot=None):
    """examples/names_gpt.py with the word `glassgrad` replaced, as a module; with another `dot` if one is given."""
    module = types.ModuleType(f"names_gpt_on_{library}")
    module.__file__ = str(EXAMPLE)
    source = EXAMPLE.read_text(encoding="utf-8").replace("glassgrad", library)
    exec(compile(source, f"{EXAMPLE} on {library}", "exec"), module.__dict__)
    if dot is not None:
        module.dot = dot
    return module


def gpt_step(library, document="isabela", dot=None):
    """A function that does one step of training on a document of seven letters: eight positions."""
    program = names_gpt(library, dot)
    tokenizer = program.Tokenizer(["abcdefghijklmnopqrstuvwxyz"])
    model = program.GPT(tokenizer.size)
    tokens, weights = program.guesses(tokenizer.encode(document), model.context, pad=False)
    optimizer = program.Adam(model.weights, lr=0.01, betas=(0.85, 0.99))

    def step():
        start = clock()
        loss = model.loss(tokens, weights)
        built = clock()
        optimizer.zero_grad()
        loss.backward()
        swept = clock()
        optimizer.step()
        updated = clock()
        result = loss.data
        del loss
        end = clock()
        return (built - start, swept - built, updated - swept, end - updated), result

    return step
