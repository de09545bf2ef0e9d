"""Programs written for micrograd, with its name replaced: they run and give its numbers.

The expected numbers of the first two are those of PyTorch in double precision, as micrograd's own tests compare them;
the network's are computed beside it by a few lines of plain Python.
"""

from __future__ import annotations

import importlib
import math
import random
from itertools import pairwise

import pytest


@pytest.fixture
def micrograd(gg):
    """The package as a micrograd program sees it: `engine` and `nn`."""
    importlib.import_module(f"{gg.__name__}.nn")
    return gg


def test_sanity_check(micrograd):
    Value = micrograd.engine.Value
    x = Value(-4.0)
    z = 2 * x + 2 + x
    q = z.relu() + z * x
    h = (z * z).relu()
    y = h + q + q * x
    y.backward()
    assert y.data == -20.0
    assert x.grad == 46.0


def test_more_operations(micrograd):
    Value = micrograd.engine.Value
    a = Value(-4.0)
    b = Value(2.0)
    c = a + b
    d = a * b + b**3
    c += c + 1
    c += 1 + c + (-a)
    d += d * 2 + (b + a).relu()
    d += 3 * d + (b - a).relu()
    e = c - d
    f = e**2
    g = f / 2.0
    g += 10.0 / f
    assert f"{g.data:.4f}" == "24.7041"
    g.backward()
    assert f"{a.grad:.4f}" == "138.8338"
    assert f"{b.grad:.4f}" == "645.5773"
    assert g.data == pytest.approx(24.70408163265306, rel=1e-15)
    assert a.grad == pytest.approx(138.83381924198252, rel=1e-14)
    assert b.grad == pytest.approx(645.5772594752186, rel=1e-14)


def test_the_neuron_of_the_readme(micrograd):
    Value, nn = micrograd.engine.Value, micrograd.nn
    random.seed(1337)
    n = nn.Neuron(2)
    assert repr(n) == "ReLUNeuron(2)"
    x = [Value(1.0), Value(-2.0)]
    y = n(x)
    random.seed(1337)
    w = [random.uniform(-1, 1) for _ in range(2)]
    assert [p.data for p in n.parameters()] == [*w, 0.0]
    assert y.data == pytest.approx(max(w[0] - 2 * w[1], 0.0))
    y.backward()
    assert [p.grad for p in n.parameters()] == ([1.0, -2.0, 1.0] if y.data > 0 else [0.0] * 3)


def test_the_lectures_expression(micrograd):
    """The neuron of Karpathy's lecture, whose gradients he works out on screen."""
    Value = micrograd.engine.Value
    x1 = Value(2.0, label="x1")
    x2 = Value(0.0, label="x2")
    w1 = Value(-3.0, label="w1")
    w2 = Value(1.0, label="w2")
    b = Value(6.8813735870195432, label="b")
    x1w1 = x1 * w1
    x2w2 = x2 * w2
    x1w1x2w2 = x1w1 + x2w2
    n = x1w1x2w2 + b
    n.label = "n"
    e = (2 * n).exp()
    o = (e - 1) / (e + 1)
    o.label = "o"
    o.backward()
    assert f"{o.data:.4f}" == "0.7071"
    assert [f"{v.grad:.4f}" for v in (n, x1, w1, x2, w2)] == ["0.5000", "-1.5000", "1.0000", "0.5000", "0.0000"]


def test_the_lectures_bugs_stay_fixed(micrograd):
    """`b = a + a` and a node used twice: the two bugs the lecture runs into."""
    Value = micrograd.engine.Value
    a = Value(3.0, label="a")
    b = a + a
    b.backward()
    assert a.grad == 2.0
    a, b = Value(-2.0, label="a"), Value(3.0, label="b")
    d, e = a * b, a + b
    f = d * e
    f.backward()
    assert (a.grad, b.grad) == (-3.0, -8.0)


def moons(n, generator):
    """Two interleaving half circles, as in the demo, without scikit-learn."""
    points, labels = [], []
    for i in range(n):
        t = math.pi * generator.random()
        upper = i % 2 == 0
        x, y = (math.cos(t), math.sin(t)) if upper else (1 - math.cos(t), 0.5 - math.sin(t))
        points.append([x + generator.gauss(0, 0.1), y + generator.gauss(0, 0.1)])
        labels.append(1 if upper else -1)
    return points, labels


def test_the_demo_notebook_trains(micrograd):
    """The notebook's loop: hinge loss, L2, learning rate decay; smaller, so that it ends soon."""
    Value, MLP = micrograd.engine.Value, micrograd.nn.MLP
    random.seed(1337)
    X, y = moons(30, random.Random(7))
    model = MLP(2, [8, 8, 1])
    assert len(model.parameters()) == 2 * 8 + 8 + 8 * 8 + 8 + 8 + 1
    assert repr(model).startswith("MLP of [Layer of [ReLUNeuron(2), ")
    assert repr(model).endswith("Layer of [LinearNeuron(8)]]")

    def loss():
        inputs = [list(map(Value, xrow)) for xrow in X]
        scores = list(map(model, inputs))
        losses = [(1 + -yi * scorei).relu() for yi, scorei in zip(y, scores, strict=True)]
        data_loss = sum(losses) * (1.0 / len(losses))
        alpha = 1e-4
        reg_loss = alpha * sum(p * p for p in model.parameters())
        total_loss = data_loss + reg_loss
        accuracy = [(yi > 0) == (scorei.data > 0) for yi, scorei in zip(y, scores, strict=True)]
        return total_loss, sum(accuracy) / len(accuracy)

    history = []
    for k in range(60):
        total_loss, accuracy = loss()
        history.append(total_loss.data)
        model.zero_grad()
        assert all(p.grad == 0 for p in model.parameters())
        total_loss.backward()
        learning_rate = 1.0 - 0.9 * k / 60
        for p in model.parameters():
            p.data -= learning_rate * p.grad
    assert accuracy == 1.0
    # what micrograd 0.1.0 itself prints for this program
    expected = [1.327476202776938, 0.5596500347962197, 0.349493227534879, 0.10250610022035944, 0.011231868376241001]
    assert [history[k] for k in (0, 1, 10, 30, 59)] == pytest.approx(expected, rel=1e-9)


def forward(weights, x):
    """The network in plain floats: [(rows of weights, biases, nonlinear)]."""
    for rows, biases, nonlinear in weights:
        x = [sum((w * v for w, v in zip(row, x, strict=True)), b) for row, b in zip(rows, biases, strict=True)]
        x = [max(v, 0.0) for v in x] if nonlinear else x
    return x


def test_a_network_gives_the_numbers_of_plain_python(micrograd):
    random.seed(1337)
    model = micrograd.nn.MLP(3, [4, 2])
    random.seed(1337)
    weights = [([[random.uniform(-1, 1) for _ in range(3)] for _ in range(4)], [0.0] * 4, True)]
    weights += [([[random.uniform(-1, 1) for _ in range(4)] for _ in range(2)], [0.0] * 2, False)]
    x = [2.0, 3.0, -1.0]
    out = model(x)
    assert [v.data for v in out] == pytest.approx(forward(weights, x), rel=1e-14)
    model.zero_grad()
    sum(out).backward()
    h = 1e-6
    row = weights[0][0][1]
    slopes = []
    for i in range(3):
        ends = []
        for step in (h, -h):
            row[i] += step
            ends.append(sum(forward(weights, x)))
            row[i] -= step
        slopes.append((ends[0] - ends[1]) / (2 * h))
    neuron = model.layers[0].neurons[1]
    assert [w.grad for w in neuron.w] == pytest.approx(slopes, abs=1e-8)


def test_a_trace_as_in_trace_graph(micrograd):
    """trace() of micrograd's drawing notebook: nodes and edges found through _prev."""
    Value = micrograd.engine.Value

    def trace(root):
        nodes, edges = set(), set()

        def build(v):
            if v not in nodes:
                nodes.add(v)
                for child in v._prev:
                    edges.add((child, v))
                    build(child)

        build(root)
        return nodes, edges

    a, b = Value(2.0), Value(-3.0)
    d = (a * b + a).relu()
    nodes, edges = trace(d)
    assert (len(nodes), len(edges)) == (5, 5)
    assert sorted(n._op for n in nodes) == ["", "", "*", "+", "ReLU"]
    assert all("{ data %.4f | grad %.4f }" % (n.data, n.grad) for n in nodes)  # noqa: UP031 - the notebook's words


def test_a_subclass_with_an_operation_of_its_own(micrograd):
    """The lecture's way to add tanh: a method that makes a Value with a closure."""
    Value = micrograd.engine.Value

    def tanh(self):
        x = self.data
        t = (math.exp(2 * x) - 1) / (math.exp(2 * x) + 1)
        out = Value(t, (self,), "tanh")

        def _backward():
            self.grad += (1 - t**2) * out.grad

        out._backward = _backward
        return out

    x = Value(0.3)
    y = tanh(tanh(x) * 2 + x)
    y.backward()
    twin = Value(0.3)
    (twin.tanh() * 2 + twin).tanh().backward()
    assert x.grad == pytest.approx(twin.grad, rel=1e-14)


def test_subclasses_that_set_what_micrograds_have(micrograd):
    Value, nn = micrograd.engine.Value, micrograd.nn

    class Network(nn.MLP):
        def __init__(self, nin, nouts):
            sizes = [nin, *nouts]
            self.layers = [nn.Layer(a, b, nonlin=b != 1) for a, b in pairwise(sizes)]

    class Wide(nn.Layer):
        def __init__(self, nin, nout):
            self.neurons = [nn.Neuron(nin) for _ in range(nout)]

    class Half(nn.Neuron):
        def __init__(self, nin, nonlin=True):
            self.w = [Value(0.5) for _ in range(nin)]
            self.b = Value(0)
            self.nonlin = nonlin

    class Foreign(nn.Module):
        def __call__(self, x):
            return sum(x) * 0.5

    assert isinstance(Network(2, [3, 1])([1.0, 2.0]), Value)
    assert len(Wide(2, 3)([1.0, 2.0])) == 3
    assert (Half(2)([1.0, 2.0]).data, Half(2)([-1.0, -2.0]).data, Half(2, False)([-1.0, -2.0]).data) == (1.5, 0.0, -1.5)
    assert repr(Half(2)) == "ReLUNeuron(2)"
    layer = nn.Layer(2, 2)
    layer.neurons = [Foreign(), Foreign()]
    assert [v.data for v in layer([1.0, 2.0])] == [1.5, 1.5]
    model = nn.MLP(2, [2, 1])
    model.layers[0] = lambda x: (v * 1.0 for v in map(Value, x))
    assert isinstance(model([1.0, 2.0]), Value)
