"""Modules: micrograd's models and their numbers, inputs, activations, subclasses, names of parameters."""

from __future__ import annotations

import math
import threading

import numpy as np
import pytest

# micrograd at commit c911406, seeded with random.seed(1337): MLP(2, [16, 16, 1]) at [0.5, -1.0], then backward().
MICROGRAD_FIRST_WEIGHTS = [0.23550571390294128, 0.06653114721000164, -0.26830328150124894, 0.1715747078045431]
MICROGRAD_OUTPUT = -0.6662156889793147


@pytest.fixture
def walk(gg):
    return gg.engine.sweep.walk


def by_hand(model, x):
    """The model's output and its derivative by each parameter, in micrograd's order, in plain floats."""
    layers = [[([w.data for w in n.w], n.b.data, n.nonlin) for n in layer.neurons] for layer in model.layers]
    outs = [list(x)]
    for layer in layers:
        sums = [b + sum(w * v for w, v in zip(ws, outs[-1], strict=True)) for ws, b, _ in layer]
        outs.append([max(s, 0.0) if nonlin else s for s, (_, _, nonlin) in zip(sums, layer, strict=True)])
    grads, above = [], [1.0]
    for layer, below, out in zip(reversed(layers), reversed(outs[:-1]), reversed(outs[1:]), strict=True):
        deltas = [g * (1.0 if not n[2] or o > 0 else 0.0) for g, n, o in zip(above, layer, out, strict=True)]
        grads = [g for d in deltas for g in [*(d * v for v in below), d]] + grads
        above = [sum(d * n[0][i] for d, n in zip(deltas, layer, strict=True)) for i in range(len(below))]
    return outs[-1][0], grads


# ---- micrograd -----------------------------------------------------------------------------------------------------


def test_seeded_weights_are_micrograds(mlp):
    parameters = mlp.parameters()
    assert len(parameters) == 337
    assert [parameters[i].data for i in (0, 1, 3, 4)] == MICROGRAD_FIRST_WEIGHTS
    assert parameters[2].data == 0.0  # the bias, for which no number is drawn


def test_output_is_micrograds(mlp):
    assert mlp([0.5, -1.0]).data == pytest.approx(MICROGRAD_OUTPUT, rel=1e-14)


def test_gradients_are_the_chain_rules(mlp):
    output, grads = by_hand(mlp, [0.5, -1.0])
    out = mlp([0.5, -1.0])
    out.backward()
    assert out.data == pytest.approx(output, rel=1e-13)
    np.testing.assert_allclose([p.grad for p in mlp.parameters()], grads, rtol=1e-12, atol=1e-15)


def test_reprs_are_micrograds(nn):
    assert repr(nn.Neuron(2)) == "ReLUNeuron(2)"
    assert repr(nn.Neuron(2, nonlin=False)) == "LinearNeuron(2)"
    assert repr(nn.Neuron(2, False)) == "LinearNeuron(2)"
    assert repr(nn.Layer(2, 2)) == "Layer of [ReLUNeuron(2), ReLUNeuron(2)]"
    assert repr(nn.MLP(2, [1, 1])) == "MLP of [Layer of [ReLUNeuron(2)], Layer of [LinearNeuron(1)]]"


def test_a_layer_of_one_gives_its_value_and_others_a_list(gg, nn):
    assert isinstance(nn.Layer(2, 1)([1, 2]), gg.Value)
    assert [type(v) for v in nn.Layer(2, 3)([1, 2])] == [gg.Value] * 3


def test_zero_grad_clears_every_parameter(mlp):
    mlp([1.0, 2.0]).backward()
    assert any(p.grad for p in mlp.parameters())
    mlp.zero_grad()
    assert not any(p.grad for p in mlp.parameters())


def test_a_hidden_layer_of_one_neuron_feeds_the_next(nn):
    assert len(nn.MLP(2, [1, 3])([1.0, 2.0])) == 3  # micrograd: TypeError


def test_threads_run_models_side_by_side(mlp):
    expected = mlp([0.5, -1.0]).data
    results = []
    threads = [threading.Thread(target=lambda: results.append([mlp([0.5, -1.0]) for _ in range(20)])) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    outs = [out for part in results for out in part]
    assert len(outs) == 80
    assert {(out.data, out._scope) for out in outs} == {(expected, "layer2/neuron0")}


# ---- inputs --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "row",
    [
        (0.5, -1.0),
        np.array([0.5, -1.0]),
        np.array([0.5, -1.0], dtype=np.float32),
        [np.float64(0.5), -1],
        {0.5: "", -1.0: ""}.keys(),
        range(2),
    ],
    ids=["tuple", "row", "float32", "scalars", "keys", "range"],
)
def test_rows_of_all_kinds(mlp, row):
    expected = mlp([0, 1]) if isinstance(row, range) else mlp([0.5, -1.0])
    assert mlp(row).data == expected.data


def test_a_row_may_be_an_iterator(mlp):
    assert mlp(iter([0.5, -1.0])).data == mlp([0.5, -1.0]).data


def test_rows_of_values_get_gradients(gg, mlp):
    row = np.array([gg.Value(0.5), gg.Value(-1.0)])
    mlp(row).backward()
    step = 1e-6
    slope = (mlp([0.5 + step, -1.0]).data - mlp([0.5 - step, -1.0]).data) / (2 * step)
    assert row[0].grad == pytest.approx(slope, rel=1e-6)


def test_a_row_is_one_node_for_each_number(nn, walk):
    outs = nn.Layer(2, 3)([1.5, 2.5])
    constants = [v for v in walk(outs) if not v.requires_grad]
    assert sorted(v.data for v in constants) == [1.5, 2.5]


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ([1.0], r"layers\.0: Layer\(2, 16\) takes 2 inputs, got 1"),
        ([1.0, 2.0, 3.0], "takes 2 inputs, got 3"),
        ([], "takes 2 inputs, got 0"),
        (3.0, r"write \[x\]"),
        ("ab", r"write \[x\]"),
        (None, "got NoneType None"),
        ([[1.0, 2.0], [3.0, 4.0]], "got 2 rows"),
        (np.zeros((5, 2)), "got 5 rows"),
        (np.array(3.0), r"write \[x\]"),
    ],
)
def test_wrong_inputs_are_refused(nn, mlp, row, message):
    with pytest.raises(nn.ModelError, match=message):
        mlp(row)


def test_one_value_is_not_a_row(gg, nn, mlp):
    with pytest.raises(nn.ModelError, match=r"write \[x\]"):
        mlp(gg.Value(1.0))
    with pytest.raises(nn.ModelError, match=r"Neuron\(2\) takes 2 inputs, got 3"):
        nn.Neuron(2)([1, 2, 3])


@pytest.mark.parametrize("sizes", [0, -1, 2.0, "2", None])
def test_impossible_sizes_are_refused(gg, nn, sizes):
    for make in (nn.Neuron, lambda n: nn.Layer(2, n), lambda n: nn.Layer(n, 2), lambda n: nn.MLP(2, [3, n])):
        with pytest.raises(gg.GlassgradError, match=r"integer|at least 1"):
            make(sizes)


@pytest.mark.parametrize("nouts", [16, "16", [], None])
def test_layer_sizes_are_a_sequence(nn, nouts):
    with pytest.raises(nn.ModelError, match=r"write MLP\(2, \[16, 1\]\)"):
        nn.MLP(2, nouts)


@pytest.mark.parametrize("nouts", [(4, 1), np.array([4, 1]), range(4, 0, -3)])
def test_layer_sizes_may_be_any_sequence(nn, nouts):
    assert [len(layer.neurons) for layer in nn.MLP(3, nouts).layers] == [4, 1]


# ---- activations ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["relu", "tanh", "sigmoid", "leaky_relu", "elu", "gelu", "silu", "softplus", "sin"])
def test_activations_by_name(gg, nn, name):
    neuron = nn.Neuron(1, activation=name)
    neuron.w[0].data = 1.0
    assert neuron([-0.7]).data == getattr(gg.Value(-0.7), name)().data
    assert repr(neuron).lower() == name.replace("_", "") + "neuron(1)"


def test_an_activation_may_be_a_function(nn):
    def cube(v):
        return v**3

    model = nn.MLP(1, [2, 1], activation=cube)
    assert repr(model.layers[0].neurons[0]) == "cubeNeuron(1)"
    assert repr(model.layers[1].neurons[0]) == "LinearNeuron(2)"
    neuron = nn.Neuron(1, activation=cube)
    assert neuron([2.0]).data == pytest.approx((2 * neuron.w[0].data) ** 3)


@pytest.mark.parametrize("activation", ["swish", "", "__class__", 3, None])
def test_unknown_activations_are_refused(nn, activation):
    with pytest.raises(nn.ModelError, match="activation"):
        nn.Neuron(2, activation=activation)


def test_changing_nonlin_later_counts(nn):
    neuron = nn.Neuron(1)
    neuron.w[0].data = 1.0
    assert neuron([-2.0]).data == 0.0
    neuron.nonlin = False
    assert neuron([-2.0]).data == -2.0


def test_changing_the_activation_later_counts(nn):
    neuron = nn.Neuron(1)
    neuron.w[0].data = 1.0
    neuron.activation = "tanh"
    assert (neuron([2.0]).data, repr(neuron)) == (math.tanh(2.0), "TanhNeuron(1)")
    neuron.activation = abs
    assert neuron([-2.0]).data == 2.0
    neuron.activation = "linear"
    assert neuron([-2.0]).data == -2.0
    with pytest.raises(nn.ModelError, match="'swish' is not one of"):
        neuron.activation = "swish"
    assert neuron.activation == "linear"


def test_an_activation_may_be_learned(gg, nn):
    class PReLU(nn.Module):
        def __init__(self):
            self.slope = gg.Value(0.25)

        def __call__(self, v):
            return v.leaky_relu(self.slope)

    model = nn.MLP(1, [2, 1], activation=PReLU())
    names = [name for name, _ in model.named_parameters() if "slope" in name]
    assert names == ["layers.0.neurons.0.activation.slope"]  # shared by the neurons, so it counts once
    assert nn.MLP(1, [2, 1], activation=PReLU()).load_state_dict(model.state_dict()) == ([], [])


@pytest.mark.parametrize("nonlin", ["tanh", None, 0.5, abs])
def test_nonlin_is_a_flag(nn, nonlin):
    with pytest.raises(nn.ModelError, match=r"nonlin is True or False, got .*; an activation goes by activation="):
        nn.Neuron(2, nonlin)
    assert repr(nn.Neuron(2, np.False_)) == repr(nn.Neuron(2, 0)) == "LinearNeuron(2)"


# ---- subclasses ----------------------------------------------------------------------------------------------------


def test_a_neuron_may_be_called_its_own_way(nn):
    class Square(nn.Neuron):
        def __call__(self, x):
            return super().__call__(x) ** 2

    layer = nn.Layer(2, 2)
    plain = layer.neurons[1]([1.0, 2.0])
    layer.neurons[1] = Square(2)
    for p, q in zip(layer.neurons[1].parameters(), layer.parameters()[3:], strict=True):
        p.data = q.data
    layer.neurons.append(lambda row: row[0] * 3)
    out = layer([1.0, 2.0])
    assert out[1].data == layer.neurons[1]([1.0, 2.0]).data >= 0.0
    assert (out[2].data, len(out), plain._scope) == (3.0, 3, "")


def test_a_layer_may_be_called_its_own_way(nn, walk):
    class Residual(nn.Layer):
        def __call__(self, x):
            return [v + w for v, w in zip(super().__call__(x), x, strict=True)]

    model = nn.MLP(2, [2, 1])
    model.layers[0] = Residual(2, 2)
    out = model([1.0, 2.0])
    assert {v._scope for v in walk([out]) if v._op == "+"} >= {"layer0", "layer0/neuron1", "layer1/neuron0"}


# ---- pictures ------------------------------------------------------------------------------------------------------


def test_nodes_carry_the_scope_of_their_neuron(gg, nn, walk):
    out = nn.MLP(2, [2, 1])([1.0, 2.0])
    assert out._scope == "layer1/neuron0"
    assert {v._scope for v in walk([out]) if v._prev} == {"layer0/neuron0", "layer0/neuron1", "layer1/neuron0"}
    assert (gg.Value(1.0) + 1.0)._scope == ""


def test_a_neuron_is_three_nodes(nn, walk):
    assert [v._op for v in walk([nn.Neuron(16)([1.0] * 16)]) if v._prev] == ["dot", "+", "ReLU"]


# ---- parameters by name --------------------------------------------------------------------------------------------


def test_names_follow_the_attributes(mlp):
    named = mlp.named_parameters()
    names = [name for name, _ in named]
    assert names[:3] == ["layers.0.neurons.0.w.0", "layers.0.neurons.0.w.1", "layers.0.neurons.0.b"]
    assert names[-1] == "layers.2.neurons.0.b"
    assert len(set(names)) == 337
    assert all(a is b for (_, a), b in zip(named, mlp.parameters(), strict=True))


def test_subclasses_are_searched(gg, nn):
    class Model(nn.Module):
        def __init__(self):
            self.scale = gg.Value(1.0)
            self.net = nn.Neuron(1)
            self.table = {"a": gg.Value(2.0), "b": [gg.Value(3.0), (gg.Value(4.0),)]}
            self.grid = np.array([[gg.Value(5.0)], [gg.Value(6.0)]])
            self.name = "text"
            self.data = [1.0, 2.0]
            self.output = self.scale * 2  # a result, not a parameter
            self.again = self.scale  # shared: counts once

    names = [name for name, _ in Model().named_parameters()]
    assert names == ["scale", "net.w.0", "net.b", "table.a", "table.b.0", "table.b.1.0", "grid.0.0", "grid.1.0"]


def test_a_subclass_of_a_model_keeps_its_own_parameters(gg, nn):
    class Scaled(nn.MLP):
        def __init__(self):
            super().__init__(1, [1])
            self.scale = gg.Value(3.0)

    names = [name for name, _ in Scaled().named_parameters()]
    assert names == ["layers.0.neurons.0.w.0", "layers.0.neurons.0.b", "scale"]


def test_overridden_parameters_win(gg, nn):
    class Hidden(nn.Module):
        def __init__(self):
            self.seen = gg.Value(1.0)
            self.box = {gg.Value(2.0)}  # a set has no order: not searched

        def parameters(self):
            return [*self.box, self.seen]

    class Outer(nn.Module):
        def __init__(self):
            self.inner = Hidden()

    assert [name for name, _ in Hidden().named_parameters()] == ["parameters.0", "seen"]
    named = [(name, p.data) for name, p in Outer().named_parameters()]
    assert named == [("inner.parameters.0", 2.0), ("inner.seen", 1.0)]
    assert [p.data for p in Outer().parameters()] == [2.0, 1.0]


def test_a_parameter_shared_with_an_overriding_module_counts_once(gg, nn):
    class Inner(nn.Module):
        def __init__(self, shared):
            self.shared = shared

        def parameters(self):
            return [self.shared]

    outer = nn.Module()
    outer.w = gg.Value(1.0)
    outer.parts = [Inner(outer.w), Inner(gg.Value(2.0))]
    assert [(name, p.data) for name, p in outer.named_parameters()] == [("w", 1.0), ("parts.1.shared", 2.0)]
    assert [p.data for p in outer.parameters()] == [1.0, 2.0]


def test_overriding_modules_may_refer_to_each_other(gg, nn):
    class Part(nn.Module):
        def __init__(self):
            self.w = gg.Value(1.0)

        def parameters(self):
            return [self.w]

    one, two = Part(), Part()
    one.other, two.other = two, one
    whole = nn.Module()
    whole.part = one
    assert [name for name, _ in whole.named_parameters()] == ["part.w"]


def test_parameters_follow_the_attributes_as_they_are_now(gg, nn):
    module = nn.Module()
    assert module.parameters() == []
    module.w = [gg.Value(1.0)]
    module.w.append(gg.Value(2.0))
    assert [p.data for p in module.parameters()] == [1.0, 2.0]
    module.w[0] = gg.Value(3.0)
    module.b = gg.Value(4.0)
    assert [p.data for p in module.parameters()] == [3.0, 2.0, 4.0]
    del module.w
    assert [p.data for p in module.parameters()] == [4.0]


def test_modules_that_refer_to_each_other_are_searched_once(gg, nn):
    class Part(nn.Module):
        def __init__(self, whole):
            self.whole, self.w = whole, gg.Value(1.0)

    class Whole(nn.Module):
        def __init__(self):
            self.parts = [Part(self), Part(self)]
            self.parts[0].itself = self.parts

    assert [name for name, _ in Whole().named_parameters()] == ["parts.0.w", "parts.1.w"]


def test_deep_nesting_does_not_recurse(gg, nn):
    inner = nn.Module()
    inner.w = gg.Value(1.0)
    for _ in range(5000):
        outer = nn.Module()
        outer.next = inner
        inner = outer
    assert len(inner.parameters()) == 1


def test_an_empty_module_has_no_parameters(nn):
    assert nn.Module().parameters() == []
    assert nn.Module().state_dict() == {}


def test_parameters_are_labelled(nn):
    assert [p.label for p in nn.Neuron(3).parameters()] == ["w0", "w1", "w2", "b"]
    assert [p.label for p in nn.MLP(2, [2, 1]).parameters()] == ["w0", "w1", "b"] * 3


def test_pictures_show_the_labels(gg, nn):
    source = gg.draw_dot(nn.MLP(2, [2, 1])([0.5, -1.0])).source
    assert [source.count(f"<B>{label}</B>") for label in ("w0", "w1", "w2", "b")] == [3, 3, 0, 3]


def test_errors_show_the_labels(gg, nn):
    neuron = nn.Neuron(1)
    neuron.w[0].data = -1.0
    with pytest.raises(gg.NonFiniteError, match=r"w0 = -1\.0"):
        neuron.w[0].log()
