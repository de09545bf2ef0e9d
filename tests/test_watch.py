"""watch: what it records, how it stays within its budget, what it hands to the page and to plots."""

from __future__ import annotations

import doctest
import importlib
import inspect
import json
import math
import random
import sys
import tracemalloc
from itertools import pairwise
from types import ModuleType, SimpleNamespace

import pytest
from conftest import in_threads
from hypothesis import given
from hypothesis import strategies as st

import glassgrad
from glassgrad import Graph, Value, nn, optim, watch
from glassgrad.training import fit
from glassgrad.viz import watch as module


@pytest.fixture
def w():
    return Value(0.0, "w")


@pytest.fixture
def bowl(w):
    return lambda: (w - 3) ** 2


def recorded(w, count, **options):
    """A recording of w counting up, with the gradient 10 times that and the loss its square."""
    recording = watch(w, **options)
    for k in range(count):
        w.data, w.grad = k, 10.0 * k
        recording.step(k * k)
    return recording


# ---- what it records -----------------------------------------------------------------------------------------------


def test_fit_records_before_each_update(gg):
    w = gg.Value(0.0, "w")
    recording = gg.watch(w)
    history = gg.training.fit(lambda: (w - 3) ** 2, [w], lr=0.1, epochs=4, watch=recording)
    assert recording.steps == [0, 1, 2, 3]
    assert recording.losses == history.losses
    assert [recording.values(k) for k in range(4)] == [pytest.approx([3 - 3 * 0.8**k]) for k in range(4)]
    assert [recording.grads(k) for k in range(4)] == [pytest.approx([-6 * 0.8**k]) for k in range(4)]


def test_a_loop_by_hand_records_the_same(w, bowl):
    by_fit = watch(w)
    fit(bowl, [w], lr=0.1, epochs=5, watch=by_fit)
    w.data = 0.0
    recording, optimizer = watch(w), optim.SGD([w], lr=0.1)
    for _ in range(5):
        optimizer.zero_grad()
        loss = bowl()
        loss.backward()
        recording.step(loss)
        optimizer.step()
    assert recording.payload() == by_fit.payload()


def test_gradients_are_those_of_the_loss_whatever_clips_them(w, bowl):
    recording = watch(w)
    fit(bowl, [w], lr=0.1, epochs=1, clip=0.5, watch=recording)
    assert recording.grads(0) == [-6]
    assert w.data == pytest.approx(0.05)


def test_recording_changes_nothing_of_the_training():
    def trained(**options):
        random.seed(3)
        model = nn.MLP(2, [4, 1])
        options = {"watch": watch(model)} if options else {}
        history = fit(lambda: (model([1.0, -1.0]) - 2) ** 2, model, epochs=10, **options)
        return history.losses, [p.data for p in model.parameters()]

    assert trained() == trained(watch=True)


def test_a_model_gives_its_parameters_with_their_names():
    model = nn.MLP(2, [3, 1])
    recording = watch(model)
    loss = model([1.0, 2.0]) ** 2
    loss.backward()
    recording.step(loss)
    assert recording.names == [name for name, _ in model.named_parameters()]
    assert recording.values() == [p.data for p in model.parameters()]
    assert recording.grads() == [p.grad for p in model.parameters()]


@pytest.mark.parametrize(
    ("source", "names"),
    [
        (lambda a, b: [a, b], ["a", "1"]),
        (lambda a, b: (v for v in (a, b, a)), ["a", "1"]),
        (lambda a, b: {"first": a, 2: b}, ["first", "2"]),
        (lambda a, b: a, ["a"]),
        (lambda a, b: b, ["value"]),
        (lambda a, b: [a, Value(1, "a"), Value(1, "a")], ["a", "a#2", "a#3"]),
    ],
)
def test_lists_dicts_and_single_values_have_names_too(source, names):
    assert watch(source(Value(1, "a"), Value(2))).names == names


@pytest.mark.parametrize(
    ("source", "reason"),
    [
        (3.0, "takes a model, a list or dict of Values, or a Value, not float 3.0"),
        ("abc", "not str 'abc'"),
        (None, "not NoneType None"),
        ([Value(1), 2.0], "1 is float 2.0"),
        ([[Value(1)]], "0 is list"),
        ({"a": nn.Neuron(2)}, "'a' is Neuron ReLUNeuron(2)"),
        ([Value(1) * 2], "0 is the result of *: each step makes a new one"),
        ([], "nothing to watch: list has no parameters"),
        ({}, "nothing to watch: dict has no parameters"),
        (nn.Module(), "nothing to watch: Module has no parameters"),
    ],
)
def test_what_cannot_be_watched_is_refused_with_the_reason(source, reason):
    with pytest.raises(glassgrad.GlassgradError) as caught:
        watch(source)
    assert reason in str(caught.value)


def test_a_gradient_nobody_computed_is_none_and_one_of_0_is_0():
    a, b, c = Value(2.0, "a"), Value(3.0, "b"), Value(1.0, "c")
    recording = watch([a, b, c])
    loss = a * 2 + (b - 5).relu()
    recording.step(loss)
    loss.backward()
    recording.step(loss)
    assert [recording.grads(k) for k in (0, 1)] == [[None, None, None], [2, 0, None]]
    assert recording.values(1) == [2, 3, 1]  # also of what the loss does not depend on
    assert recording.ids[2] is None


def test_a_gradient_of_minus_0_was_computed():
    a = Value(0.0, "a")
    recording = watch(a)
    loss = a * -0.0
    loss.backward()
    recording.step(loss)
    assert recording.grads() == [0]
    assert recording.payload()["grads"] == [[0]]


def test_losses_may_be_numbers_and_need_not_be_finite(w):
    recording = watch(w)
    for loss in (1, 2.5, math.nan, math.inf):
        recording.step(loss)
    assert recording.losses == pytest.approx([1, 2.5, math.nan, math.inf], nan_ok=True)
    with pytest.raises(glassgrad.OperandError, match=r"Recording\.step takes a real number, not str 'x'"):
        recording.step("x")
    assert len(recording) == 4


def test_fit_refuses_what_does_not_record(w, bowl):
    for wrong in (w, nn.Neuron(1), "yes", optim.SGD([w]), SimpleNamespace(step=3)):
        with pytest.raises(
            glassgrad.OperandError, match=r"watch is a recording, as in watch=glassgrad\.watch\(model\)"
        ):
            fit(bowl, [w], watch=wrong)
    seen = []
    fit(bowl, [w], epochs=2, watch=SimpleNamespace(step=lambda loss: seen.append(loss.data)))
    assert len(seen) == 2


def test_training_knows_no_viewer():
    source = inspect.getsource(importlib.import_module("glassgrad.training"))
    assert "viz.watch" not in source


# ---- memory --------------------------------------------------------------------------------------------------------


@given(st.integers(1, 400), st.integers(3, 50))
def test_thinned_evenly_with_the_first_and_the_latest(count, room):
    recording = recorded(Value(0.0, "w"), count, budget=room * (16 + module._ROW_BYTES))
    steps = recording.steps
    assert (steps[0], steps[-1]) == (0, count - 1)
    assert min(count, room // 2) <= len(steps) <= room
    gaps = [b - a for a, b in pairwise(steps)]
    assert all(gap == gaps[0] for gap in gaps[:-1])
    assert not gaps or gaps[-1] <= gaps[0]
    assert not gaps or gaps[0] & (gaps[0] - 1) == 0 or len(gaps) == 1  # a power of two
    for k in steps:
        assert (recording.values(k), recording.grads(k)) == ([k], [10 * k or None])
    assert recording.losses == [k * k for k in steps]


@pytest.mark.parametrize(("count", "budget"), [(1, 300_000), (337, 2_000_000)])
def test_the_memory_stays_within_the_budget(count, budget):
    values = [Value(float(i), str(i)) for i in range(count)]
    for value in values:
        value.grad = 1.5
    recording = watch(values, budget=budget)
    tracemalloc.start()
    try:
        most = 0
        for k in range(1500):
            recording.step(k + 0.5)
            used, _ = tracemalloc.get_traced_memory()
            most = max(most, used)
    finally:
        tracemalloc.stop()
    assert 0.8 * budget < most < budget
    assert len(recording) < 1500
    assert recording.steps[-1] == 1499


def test_a_budget_without_room_is_refused():
    with pytest.raises(
        glassgrad.GlassgradError, match=r"a budget of 1,000 bytes is too small: .*; pass budget=1184000"
    ):
        watch([Value(1.0) for _ in range(725)], budget=1000)
    for wrong in (1.5, True, "much"):
        with pytest.raises(glassgrad.OperandError, match="budget is a number of bytes"):
            watch(Value(1.0), budget=wrong)


def test_nothing_of_the_training_is_kept_alive(w):
    recording = watch(w)
    loss = (w - 3) ** 2
    made = sys.getrefcount(loss)
    loss.backward()
    recording.step(loss)
    assert sys.getrefcount(loss) == made


# ---- interrupted, and from threads ---------------------------------------------------------------------------------


def test_ctrl_c_leaves_whole_steps(w, monkeypatch):
    recording = recorded(w, 3)
    read = recording._read

    def interrupted(step, loss):
        read(step, loss)
        raise KeyboardInterrupt

    monkeypatch.setattr(recording, "_read", interrupted)
    with pytest.raises(KeyboardInterrupt):
        recording.step(9)
    assert (recording.steps, recording.losses, recording.values()) == ([0, 1, 2], [0, 1, 4], [2])
    monkeypatch.setattr(recording, "_read", read)
    recording.step(9)
    assert (recording.steps, recording.losses) == ([0, 1, 2, 3], [0, 1, 4, 9])


def test_fit_interrupted_keeps_what_was_recorded(w):
    recording = watch(w)

    def step(epoch):
        if epoch == 3:
            raise KeyboardInterrupt
        return (w - 3) ** 2

    assert fit(step, [w], watch=recording).stopped == "interrupted"
    assert recording.steps == [0, 1, 2]


def test_threads_record_each_step_once(w):
    recording = watch(w, budget=100 * (16 + module._ROW_BYTES))

    def work(i):
        for _ in range(500):
            recording.step(1.0)
            assert len(recording.losses) <= 101
        return recording.values()

    in_threads(4, work)
    assert recording.steps[-1] == 1999
    assert recording.steps == sorted(set(recording.steps))


# ---- the graph -----------------------------------------------------------------------------------------------------


def test_the_graph_is_that_of_the_first_loss():
    model = nn.MLP(2, [3, 1])
    recording = watch(model)
    for k in range(2):
        loss = (model([1.0, 2.0]) - k) ** 2
        loss.backward()
        recording.step(loss)
        if k == 0:
            first = Graph.of(loss)
    graph, ids = recording.graph, recording.ids
    assert (graph.values, graph.grads, graph.operands) == (first.values, first.grads, first.operands)
    assert sorted(ids) == [i for i, op in enumerate(graph.ops) if op == "leaf" and graph.requires_grad[i]]
    assert [graph.values[i] for i in ids] == recording.values(0)
    assert [graph.grads[i] for i in ids] == recording.grads(0)


def test_leaves_without_a_label_get_the_parameters_name():
    weights = {"slope": Value(2.0), "height": Value(1.0, "b")}
    recording = watch(weights)
    recording.step(weights["slope"] * 3 + weights["height"])
    assert [recording.graph.labels[i] for i in recording.ids] == ["slope", "b"]
    assert weights["slope"].label == ""


def test_a_loss_too_large_for_a_page_has_no_graph(w, monkeypatch):
    monkeypatch.setattr(module, "SNAPSHOT_LIMIT", 50)
    recording = watch(w)
    loss = sum([w * k for k in range(50)], start=Value(0.0))
    loss.backward()
    recording.step(loss)
    assert (recording.graph, recording.ids) == (None, [None])
    with pytest.raises(glassgrad.DrawingError, match=r"more than 50 Values.*recording\.snapshot\(model\(x\)\)"):
        recording.payload()
    with pytest.raises(glassgrad.DrawingError, match="too many for a page"):
        recording.snapshot(loss)
    recording.snapshot(w * 2)
    assert recording.ids == [0]
    assert recording.payload()["values"] == [[0]]


def test_snapshot_shows_what_it_was_given(w, bowl):
    recording = watch(w)
    recording.snapshot(w * 2)
    fit(bowl, [w], epochs=2, watch=recording)
    assert [op for op in recording.graph.ops if op != "leaf"] == ["mul"]
    with pytest.raises(glassgrad.OperandError, match=r"snapshot\(\) takes a Value, such as model\(x\), not float 1.0"):
        recording.snapshot(1.0)


def test_losses_that_are_numbers_have_no_graph(w):
    with pytest.raises(glassgrad.DrawingError, match="because no loss was a Value"):
        recorded(w, 2).payload()


# ---- looking at it -------------------------------------------------------------------------------------------------


def test_steps_are_asked_for_by_number_or_from_the_end(w):
    recording = recorded(w, 101, budget=20 * (16 + module._ROW_BYTES))
    assert recording.steps[:3] == [0, 8, 16]
    assert recording.values(16) == [16]
    assert (recording.values(), recording.values(-1), recording.values(-2)) == ([100], [100], [96])
    for missing, near in ((3, "0 and 8"), (101, "100"), (-99, "0 to 100")):
        with pytest.raises(glassgrad.GlassgradError, match=f"step {missing} is not kept; the nearest are {near},"):
            recording.values(missing)
    with pytest.raises(glassgrad.OperandError, match="a step is a whole number, not float"):
        recording.grads(1.0)


def test_before_the_first_step_it_says_so(w):
    recording = watch(w)
    assert (len(recording), bool(recording), recording.steps, recording.losses) == (0, True, [], [])
    for ask in (
        recording.values,
        recording.grads,
        recording.payload,
        recording.to_json,
        recording.to_html,
        recording.show,
    ):
        with pytest.raises(glassgrad.GlassgradError, match="nothing is recorded yet"):
            ask()


def test_repr_is_one_line(w, bowl):
    recording = watch([w, Value(1.0)])
    assert repr(recording) == "Recording(2 parameters, no steps yet)"
    fit(bowl, [w], lr=0.1, epochs=3, watch=recording)
    assert repr(recording) == "Recording(2 parameters, 3 steps, loss 9 to 3.686, graph of 5 Values)"
    thin = recorded(w, 2000, budget=20 * (16 + module._ROW_BYTES))
    assert repr(thin) == f"Recording(1 parameter, 2,000 steps, {len(thin)} kept, loss 0 to 3.996e+06, no graph)"


def test_the_payload_is_rounded_json(w):
    a, b = Value(1 / 3, "a"), Value(1e-7 / 3, "b")
    recording = watch([a, Value(5.0, "elsewhere"), b])
    with glassgrad.allow_nonfinite():
        loss = a * 3 * b
        loss.backward()
        recording.step(loss)
        a.data, b.data = -0.0, math.inf
        a.grad, b.grad = 123456789.0, -math.inf
        recording.step(math.nan)
    ids = [recording.graph.labels.index("a"), recording.graph.labels.index("b")]
    payload = json.loads(recording.to_json())
    assert payload == recording.payload()
    assert payload == {
        "steps": [0, 1],
        "losses": [3.33333e-8, "nan"],
        "ids": ids,
        "names": ["a", "b"],
        "values": [[0.333333, 3.33333e-8], [0, "inf"]],
        "grads": [[1e-7, 1], [123457000, "-inf"]],
    }
    assert "-0.0" in recording.to_json()


def test_the_payload_of_a_long_training_fits_a_page():
    random.seed(1)
    model = nn.MLP(20, [40, 40, 1])
    recording = watch(model)
    loss = model([1.0] * 20)
    loss.backward()
    for k in range(300):
        for p in model.parameters():
            p.data, p.grad = random.gauss(0, 1e-5), random.gauss(0, 1e-5)
        recording.step(loss if k == 0 else 1e-5 * k)
    payload = recording.payload()
    assert len(payload["ids"]) == 2521
    assert (payload["steps"][0], payload["steps"][-1]) == (0, 299)
    assert 20 < len(payload["steps"]) <= 200
    assert 1_000_000 < len(recording.to_json()) < 2_100_000


def test_the_payload_has_at_most_200_steps(w, bowl):
    recording = watch(w)
    fit(bowl, [w], lr=0.001, epochs=5000, watch=recording)
    payload = recording.payload()
    assert (len(recording), len(payload["steps"])) == (5000, 200)
    gaps = {b - a for a, b in pairwise(payload["steps"])}
    assert gaps <= {25, 26}
    assert payload["values"][100] == [pytest.approx(recording.values(payload["steps"][100])[0], rel=1e-5)]


def test_hostile_names_stay_inside_a_script():
    recording = watch({"</script><b>": Value(1.0)})
    recording.snapshot(recording._parameters[0] * 2)
    recording.step(1.0)
    assert "<" not in recording.to_json()
    assert json.loads(recording.to_json())["names"] == ["</script><b>"]


def test_the_page_gets_the_graph_and_the_training(w, bowl, monkeypatch, tmp_path):
    called = []
    page = ModuleType("glassgrad.viz.page")
    page.to_html = lambda graph, path=None, *, training: called.append((graph, path, training)) or "written"
    page.show = lambda graph, *, training: called.append((graph, None, training)) or "shown"
    monkeypatch.setitem(sys.modules, page.__name__, page)
    recording = watch(w)
    fit(bowl, [w], epochs=3, watch=recording)
    assert recording.to_html(tmp_path / "out.html") == "written"
    assert recording.show() == "shown"
    assert called == [
        (recording.graph, tmp_path / "out.html", recording.payload()),
        (recording.graph, None, recording.payload()),
    ]


def test_the_record_stands_in_the_page(w, bowl, tmp_path):
    recording = watch(w)
    fit(bowl, [w], lr=0.1, epochs=3, watch=recording)
    assert recording.to_json() in recording.to_html()
    path = tmp_path / "out.html"
    assert recording.to_html(path) == str(path)
    assert recording.graph.to_json().strip() in path.read_text(encoding="utf-8")


def test_the_plot_has_the_steps_that_were_kept(w, tmp_path):
    pytest.importorskip("matplotlib")
    recording = recorded(w, 100, budget=20 * (16 + module._ROW_BYTES))
    axes = recording.plot().axes[0]
    assert list(axes.lines[0].get_xdata()) == recording.steps
    assert list(axes.lines[0].get_ydata()) == recording.losses
    assert any(text.get_text().startswith("100 epochs") for text in axes.texts)
    path = tmp_path / "loss.svg"
    assert recording.plot(path) == path
    assert path.exists()


def test_a_loss_curve_has_as_many_epochs_as_losses():
    pytest.importorskip("matplotlib")
    from glassgrad.viz.plots import PlotError, loss_curve

    with pytest.raises(PlotError, match="3 losses and 2 epochs"):
        loss_curve([1, 2, 3], epochs=[0, 1])


def test_the_example_of_the_module_prints_what_it_says():
    assert doctest.testmod(module).failed == 0
