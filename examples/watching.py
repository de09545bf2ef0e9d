"""Two rings told apart by a network, and what can be seen of it: a page, an animation, a derivation.

    python examples/watching.py                     # trains, then leaves watching.html, neuron.svg
    python examples/watching.py --steps 40 --show   # and opens the page in the browser
    python examples/watching.py --help

The page shows the network at one point; the slider below moves along the training, and weights, gradients and
histograms with it. Click a weight to ask why its gradient is what it is, change one and see the score follow. It needs
nothing but glassgrad. Read from top to bottom: data, model, training, what is left behind.
"""

import argparse
import math
import os
import random
import sys
from pathlib import Path

from glassgrad import Value, animate, explain, losses, nn, tree, watch
from glassgrad.optim import Adam
from glassgrad.training import fit

# ---- data: an inner ring of class -1, an outer one of class 1 ------------------------------------------------------


def rings(count, noise=0.12):
    points, classes = [], []
    for k in range(count):
        angle, outer = 2 * math.pi * k / count, k % 2
        radius = (1.0 if outer else 0.45) + random.gauss(0, noise)
        points.append([radius * math.cos(angle), radius * math.sin(angle)])
        classes.append(1 if outer else -1)
    return points, classes


# ---- training ------------------------------------------------------------------------------------------------------


def train(steps):
    points, classes = rings(60)
    model = nn.MLP(2, [6, 4, 1], activation="tanh")
    recording = watch(model)
    optimizer = Adam(model.parameters(), lr=0.05)

    def loss():
        return losses.hinge([model(p) for p in points], classes)

    fit(loss, model, optimizer=optimizer, epochs=steps, watch=recording)
    right = sum((model(p).data > 0) == (c > 0) for p, c in zip(points, classes, strict=True))
    print(f"{right} of {len(points)} points right after {steps} steps")
    return model, recording


# ---- what is left behind -------------------------------------------------------------------------------------------


def neuron():
    """One neuron of two inputs, small enough to follow every number."""
    x1, x2 = Value(2.0, "x1"), Value(0.0, "x2")
    w1, w2, b = Value(-3.0, "w1"), Value(1.0, "w2"), Value(6.8813735870195432, "b")
    out = (x1 * w1 + x2 * w2 + b).tanh()
    out.label = "out"
    out.backward()
    return out, w1


def main():
    options = argparse.ArgumentParser(description="Train a small network and leave behind what can be seen of it.")
    options.add_argument("--steps", type=int, default=150, help="how often to update (150)")
    options.add_argument("--folder", type=Path, default=Path(), metavar="DIR", help="where to leave the files (here)")
    options.add_argument("--show", action="store_true", help="open the page in the browser")
    given = options.parse_args()
    if given.steps < 1:
        options.error("--steps takes a number from 1 on")

    random.seed(1337)
    model, recording = train(given.steps)
    score = model([0.9, 0.2])
    score.label = "score"
    score.backward()
    recording.snapshot(score)
    try:
        print("wrote", recording.to_html(given.folder / "watching.html"))
        out, w1 = neuron()
        animate(out, given.folder / "neuron.svg")
        print("wrote", given.folder / "neuron.svg", "\n")
    except OSError as error:
        sys.exit(f"watching: cannot write {error.filename}: {error.strerror}")
    print(tree(out))
    print(explain(out, w1))
    if given.show:
        recording.show()


if __name__ == "__main__":
    try:
        main()
        sys.stdout.flush()
    except KeyboardInterrupt:
        sys.exit(130)
    except BrokenPipeError:  # whoever read this has gone, as in `watching.py | head -3`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1)
