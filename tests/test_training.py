"""The training loop: why it ends, what it leaves behind, what it refuses; and the pictures of learning."""

import importlib
import io
import json
import math
import random
import subprocess
import sys
import threading
import xml.etree.ElementTree as ET

import numpy as np
import pytest


@pytest.fixture
def training(gg):
    return importlib.import_module(f"{gg.__name__}.training")


@pytest.fixture
def fit(training):
    return training.fit


@pytest.fixture
def optim(gg):
    return importlib.import_module(f"{gg.__name__}.optim")


@pytest.fixture
def x(gg):
    return gg.Value(0.0, "x")


@pytest.fixture
def bowl(x):
    """A step with its minimum at 3."""
    return lambda: (x - 3) ** 2


# ---- why it ends ---------------------------------------------------------------------------------------------------


def test_it_stops_at_the_tolerance_without_another_update(x, fit, bowl):
    history = fit(bowl, [x], lr=0.1, tolerance=1e-6)
    assert history.stopped == "tolerance"
    assert history.losses[-1] == (x.data - 3) ** 2 <= 1e-6 < history.losses[-2]


def test_it_stops_when_epochs_are_used_up(x, fit, bowl):
    history = fit(bowl, [x], lr=0.1, epochs=5, tolerance=0)
    assert (history.stopped, len(history)) == ("epochs", 5)
    assert x.data == pytest.approx(3 - 3 * 0.8**5)
    assert history.losses == pytest.approx([9 * 0.64**k for k in range(5)])


def test_it_stops_when_the_callback_says_so(x, fit, bowl):
    seen = []

    def callback(epoch, loss):
        seen.append((epoch, loss, x.data))
        return epoch == 2

    history = fit(bowl, [x], lr=0.1, callback=callback)
    assert history.stopped == "callback"
    assert [row[0] for row in seen] == [0, 1, 2]
    assert [row[1] for row in seen] == history.losses
    assert seen[0][2] == pytest.approx(0.6)  # called after the update


@pytest.mark.parametrize("where", ["step", "callback"])
def test_ctrl_c_returns_what_was_learned(x, fit, bowl, where):
    calls = []

    def interrupted(*_args):
        calls.append(None)
        if len(calls) == 4:
            raise KeyboardInterrupt
        return bowl() if where == "step" else None

    step, callback = (interrupted, None) if where == "step" else (bowl, interrupted)
    history = fit(step, [x], lr=0.1, callback=callback)
    updates = 3 if where == "step" else 4
    assert history.stopped == "interrupted"
    assert x.data == pytest.approx(3 - 3 * 0.8**updates)
    assert x.grad == 0.0
    assert len(history.losses) == len(history.times) == len(history.lrs) == updates


def test_ctrl_c_in_the_update_leaves_the_parameters_of_the_last_one(gg, fit, optim, bowl, x):
    class Interrupted(optim.SGD):
        def update(self, data, grad, state):
            super().update(data, grad, state)
            if self.steps == 2:
                raise KeyboardInterrupt

    history = fit(bowl, [x], optimizer=Interrupted([x], lr=0.1))
    assert history.stopped == "interrupted"
    assert x.data == pytest.approx(3 - 3 * 0.8**2)


def test_ctrl_c_between_two_notes_leaves_lists_of_one_length(fit, optim, bowl, x):
    class Interrupted(optim.SGD):
        reads = 0

        @property
        def lr(self):
            Interrupted.reads += 1
            if Interrupted.reads == 5:  # after the loss of epoch 2 was noted, before its learning rate
                raise KeyboardInterrupt
            return self._lr

        @lr.setter
        def lr(self, lr):
            self._lr = lr

    history = fit(bowl, [x], optimizer=Interrupted([x], lr=0.1))
    assert history.stopped == "interrupted"
    assert len(history.losses) == len(history.times) == len(history.lrs) == 2


def test_sigint_interrupts_a_real_process():
    program = """
import os, signal, threading
from glassgrad import Value
from glassgrad.training import fit
x = Value(0.0)
def step():
    return (x - 3) ** 2
def callback(epoch, loss):
    if epoch == 100:
        os.kill(os.getpid(), signal.SIGINT)
h = fit(step, [x], lr=1e-3, epochs=10**9, callback=callback)
print(h.stopped, len(h) >= 100, 0 < x.data < 3)
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=False)
    assert (done.stdout, done.stderr) == ("interrupted True True\n", "")


# ---- what cannot be learned ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("frozen", [False, True])
def test_parameters_that_the_loss_does_not_depend_on_are_refused(gg, fit, bowl, x, frozen):
    other = gg.Value(1.0)
    y = gg.Value(2.0)
    x.requires_grad = not frozen
    with pytest.raises(gg.GlassgradError, match="the loss depends on none of the parameters"):
        fit(lambda: bowl() + y * y, [x if frozen else other], epochs=3)


def test_a_derivative_of_zero_is_one_that_can_be_learned_from(gg, fit, x):
    dead, unused = gg.Value(-1.0), gg.Value(1.0)
    assert fit(lambda: dead.relu() + x * x, [dead, unused], epochs=3).stopped == "epochs"


# ---- what is not finite --------------------------------------------------------------------------------------------


def test_a_loss_that_blows_up_keeps_the_history(gg, training, fit, x, bowl):
    with pytest.raises(training.TrainingError, match=r"fit: epoch \d+: ") as caught:
        fit(bowl, [x], lr=1e3)
    history = caught.value.history
    assert isinstance(caught.value, gg.NonFiniteError)
    assert history.stopped == "error"
    assert len(history) > 10
    assert math.isfinite(x.data)
    assert all(math.isfinite(loss) for loss in history.losses)


@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_a_loss_that_is_not_finite_stops(gg, training, fit, x, bowl, bad):
    allow = importlib.import_module(f"{gg.__name__}.modes").allow_nonfinite

    def step(epoch):
        with allow():
            return bowl() * (bad if epoch == 2 else 1.0)

    with pytest.raises(training.TrainingError, match=rf"epoch 2: the loss is {bad}; a smaller lr") as caught:
        fit(step, [x], lr=0.1)
    assert len(caught.value.history) == 2
    assert x.data == pytest.approx(3 - 3 * 0.8**2)


def test_an_error_in_step_says_which_epoch(fit, x, bowl):
    def step(epoch):
        if epoch == 3:
            raise RuntimeError("mine")
        return bowl()

    with pytest.raises(RuntimeError, match="mine") as caught:
        fit(step, [x])
    assert caught.value.__notes__ == ["in fit, epoch 3"]


# ---- step, parameters, optimizer, schedule, clip -------------------------------------------------------------------


def test_step_gets_the_epoch_if_it_asks_for_it(fit, x, bowl):
    epochs = []
    fit(lambda epoch: epochs.append(epoch) or bowl(), [x], epochs=3)
    assert epochs == [0, 1, 2]
    sizes = []
    fit(lambda batch_size=None: sizes.append(batch_size) or bowl(), [x], epochs=1)  # as in micrograd's demo
    assert sizes == [None]
    counted = []
    fit(lambda *args: counted.append(args) or bowl(), [x], epochs=1)
    assert counted == [()]


def test_parameters_may_be_a_module(gg, fit):
    nn = importlib.import_module(f"{gg.__name__}.nn")
    losses = importlib.import_module(f"{gg.__name__}.losses")
    random.seed(0)
    model = nn.Neuron(1, nonlin=False)
    rows = [[-1.0], [0.0], [2.0]]
    history = fit(lambda: losses.mse([model(row) for row in rows], [-1.0, 1.0, 5.0]), model, lr=0.2, tolerance=1e-12)
    assert history.stopped == "tolerance"
    assert [p.data for p in model.parameters()] == pytest.approx([2.0, 1.0], abs=1e-5)


@pytest.mark.parametrize("kind", ["SGD", "Adam", "AdamW"])
def test_the_optimizer_may_be_a_class_or_an_instance(gg, fit, optim, kind):
    ends = []
    for make in (lambda _x: getattr(optim, kind), lambda x: getattr(optim, kind)([x], lr=0.05)):
        x = gg.Value(0.0)
        optimizer = make(x)
        lr = 0.05 if isinstance(optimizer, type) else None
        fit(lambda x=x: (x - 3) ** 2, [x], optimizer=optimizer, lr=lr, epochs=10)
        ends.append(x.data)
    assert ends[0] == ends[1] != 0.0


def test_schedules_set_each_epochs_rate(fit, optim, x, bowl):
    history = fit(bowl, [x], lr=0.1, scheduler=lambda k: 1 / (k + 1), epochs=3)
    assert history.lrs == pytest.approx([0.1, 0.05, 0.1 / 3])
    optimizer = optim.SGD([x], lr=0.1)
    history = fit(bowl, [x], optimizer=optimizer, scheduler=optim.StepLR(optimizer, 2), epochs=3)
    assert history.lrs == pytest.approx([0.1, 0.1, 0.01])


def test_clip_bounds_the_update(fit, x, bowl):
    fit(bowl, [x], lr=1.0, clip=0.5, epochs=1)
    assert x.data == pytest.approx(0.5, rel=1e-5)


def test_gradients_from_before_do_not_count(fit, x, bowl):
    x.grad = 1e9
    fit(bowl, [x], lr=0.1, epochs=1)
    assert x.data == pytest.approx(0.6)


@pytest.mark.parametrize(
    ("result", "message"),
    [
        (None, "is a return missing"),
        (0.5, r"not loss\.data"),
        ((1.0, 2.0), "return the loss alone"),
        ("0.5", "not str"),
    ],
)
def test_a_loss_is_a_value(gg, fit, x, result, message):
    with pytest.raises(gg.OperandError, match=message):
        fit(lambda: result, [x])


def test_a_loss_without_a_graph_is_refused(gg, fit, x, bowl):
    with pytest.raises(gg.GlassgradError, match="depends on no parameter"):
        fit(lambda: bowl().detach(), [x])


def test_impossible_arguments_are_refused(gg, fit, optim, x, bowl):
    other = optim.SGD([gg.Value(0.0)])
    for arguments in (
        {"epochs": 0},
        {"epochs": 2.5},
        {"epochs": True},
        {"epochs": 10**400},
        {"tolerance": 10**400},
        {"lr": 10**400},
        {"clip": 10**400},
        {"scheduler": lambda _: None},
        {"tolerance": math.nan},
        {"tolerance": "small"},
        {"progress": "yes"},
        {"lr": -1.0},
        {"optimizer": "adam"},
        {"optimizer": other, "lr": 0.1},
        {"optimizer": lambda *_args, **_kwargs: None},
        {"scheduler": 0.9},
        {"scheduler": optim.StepLR},
        {"scheduler": optim.StepLR(other, 2)},
        {"clip": -1.0},
    ):
        with pytest.raises(gg.GlassgradError):
            fit(bowl, [x], **arguments)
    for parameters in (x, 3, "x", [], [1.0], [x, x], None):
        with pytest.raises(gg.GlassgradError):
            fit(bowl, parameters)
    with pytest.raises(gg.OperandError, match="must be a function"):
        fit(bowl(), [x])
    with pytest.raises(gg.OperandError, match="not a, b"):
        fit(lambda a, b: a * b, [x])
    assert x.data == 0.0


def test_numbers_may_be_numpys(fit, x, bowl):
    history = fit(bowl, [x], lr=np.float32(0.25), epochs=np.int64(3), tolerance=np.float64(1e-9), clip=np.float64(100))
    assert (len(history), history.stopped) == (3, "epochs")


# ---- progress ------------------------------------------------------------------------------------------------------


class Terminal(io.StringIO):
    def isatty(self):
        return True


def test_nothing_is_printed_without_a_terminal(fit, x, bowl, capfd):
    fit(bowl, [x], epochs=3)
    assert capfd.readouterr() == ("", "")


def test_without_standard_error_nothing_breaks(fit, x, bowl, monkeypatch):
    monkeypatch.setattr(sys, "stderr", None)
    assert fit(bowl, [x], epochs=3).stopped == "epochs"


def test_a_terminal_shows_loss_and_speed(fit, x, bowl, monkeypatch):
    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.setenv("COLUMNS", "120")
    fit(bowl, [x], lr=0.1, epochs=20)
    shown = terminal.getvalue()
    assert "20/20" in shown
    assert "steps/s" in shown
    assert f"loss {9 * 0.64**19:.4g}" in shown
    terminal.truncate(0)
    fit(bowl, [x], epochs=2, progress=False)
    assert terminal.getvalue().strip("\0") == ""


def test_the_bar_closes_after_an_interrupt(fit, x, monkeypatch):
    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    monkeypatch.setenv("TERM", "xterm-256color")

    def step():
        raise KeyboardInterrupt

    assert fit(step, [x]).stopped == "interrupted"
    assert "\x1b[?25l" in terminal.getvalue()  # the cursor was hidden
    assert terminal.getvalue().rindex("\x1b[?25h") > terminal.getvalue().rindex("\x1b[?25l")


def test_threads_train_side_by_side(gg, fit):
    ends = {}

    def train(target):
        x = gg.Value(0.0)
        history = fit(lambda: (x - target) ** 2, [x], lr=0.1, epochs=200)
        ends[target] = (history.stopped, x.data)

    threads = [threading.Thread(target=train, args=(float(t),)) for t in range(1, 5)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert ends == {t: ("epochs", pytest.approx(t)) for t in (1.0, 2.0, 3.0, 4.0)}


# ---- history -------------------------------------------------------------------------------------------------------


def test_history_goes_to_json_and_has_a_summary(training, fit, x, bowl):
    history = fit(bowl, [x], lr=0.1, epochs=4)
    content = json.loads(json.dumps(history.to_dict()))
    assert content["losses"] == history.losses
    assert set(content) == {"losses", "times", "lrs", "stopped"}
    assert repr(history).startswith("History(4 epochs, loss 9 to 2.359, ")
    assert history.times == sorted(history.times)
    assert repr(training.History()) == "History(no epochs, stopped='running')"


# ---- pictures ------------------------------------------------------------------------------------------------------


@pytest.fixture
def plots(gg):
    pytest.importorskip("matplotlib")
    return importlib.import_module(f"{gg.__name__}.viz.plots")


def picture_size(path):
    """Width and height in the header of a PNG file."""
    head = path.read_bytes()[:24]
    assert head[:8] == b"\x89PNG\r\n\x1a\n"
    return int.from_bytes(head[16:20]), int.from_bytes(head[20:24])


def modules_after(program):
    """The modules that a fresh interpreter has loaded after the program."""
    program += "; import sys; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=True)
    return set(done.stdout.split())


def texts(figure):
    from matplotlib.text import Text

    return " | ".join(t.get_text() for t in figure.findobj(Text))


def test_history_plots_itself(fit, x, bowl, plots, tmp_path):
    history = fit(bowl, [x], lr=0.1, epochs=40)
    path = history.plot(tmp_path / "new" / "loss.png")
    assert picture_size(path) == (1152, 704)
    figure = history.plot()
    assert figure.axes[0].get_yscale() == "log"
    assert list(figure.axes[0].lines[0].get_ydata()) == history.losses
    assert "40 epochs · first 9 · lowest 2.485e-07 in epoch 39" in texts(figure)


def test_the_loss_axis_is_logarithmic_where_that_helps(plots):
    assert plots.loss_curve([1.0, 0.5]).axes[0].get_yscale() == "linear"
    assert plots.loss_curve([1.0, 0.0]).axes[0].get_yscale() == "linear"
    assert plots.loss_curve([100.0, 1.0]).axes[0].get_yscale() == "log"
    assert plots.loss_curve([100.0, 1.0], log=False).axes[0].get_yscale() == "linear"
    with pytest.raises(plots.PlotError, match="no place on a logarithmic axis"):
        plots.loss_curve([1.0, 0.0], log=True)


def test_loss_curves_of_odd_lengths(plots, tmp_path):
    for i, losses in enumerate(([1.0], [2.0, math.nan, 1.0, math.inf], [0.0, 0.0], [-1.0, -2.0])):
        assert picture_size(plots.loss_curve(losses, tmp_path / f"{i}.png"))
    for losses in ([], [math.nan]):
        with pytest.raises(plots.PlotError, match="no finite losses"):
            plots.loss_curve(losses)


def test_a_line_fit_shows_data_and_both_lines(gg, plots, tmp_path):
    xs, ys = np.array([0.0, 1.0, 2.0]), [1.0, 3.0, 5.5]
    figure = plots.line_fit(xs, ys, gg.Value(2.0), gg.Value(-1.0), true=(2.5, 1.0))
    shown = texts(figure)
    assert "fitted: y = 2·x − 1" in shown
    assert "true: y = 2.5·x + 1" in shown
    assert "3 points · mean squared error 4.75" in shown
    assert picture_size(plots.line_fit(xs, ys, 2, 1, tmp_path / "fit.png"))
    with pytest.raises(plots.PlotError, match="2 x and 3 y"):
        plots.line_fit([1, 2], ys, 1, 1)


def test_a_decision_boundary_counts_what_is_right(gg, plots, tmp_path):
    X, y = np.array([[0.0, 1.0], [1.0, 0.0], [2.0, 0.5], [0.2, 0.1]]), np.array([-1, 1, 1, -1])
    figure = plots.decision_boundary(lambda row: gg.Value(row[0]) - row[1], X, y, resolution=20)
    assert "3 of 4 points right · accuracy 75%" in texts(figure)
    assert "wrong" in texts(figure)
    zero_one = plots.decision_boundary(lambda row: row[0] - row[1], X.tolist(), [0, 1, 1, 0], resolution=5)
    assert "accuracy 75%" in texts(zero_one)
    path = plots.decision_boundary(lambda _row: 5.0, X, y, tmp_path / "b.png", probability=True, resolution=5)
    assert picture_size(path)[0] == 1152


@pytest.mark.parametrize(("X", "y"), [([], []), ([[1.0, 2.0]], []), ([[1.0]], [1]), ([[1.0, 2.0, 3.0]], [1])])
def test_a_decision_boundary_needs_two_columns_and_labels(plots, X, y):
    with pytest.raises(plots.PlotError):
        plots.decision_boundary(lambda _row: 1.0, X, y)


def test_pictures_leave_no_trace(plots, tmp_path):
    first = plots.loss_curve([3.0, 2.0], tmp_path / "a.svg", title="a $b < c & 'd'")
    second = plots.loss_curve([3.0, 2.0], tmp_path / "b.svg", title="a $b < c & 'd'")
    assert first.read_bytes() == second.read_bytes()
    assert "a $b < c & 'd'" in "".join(ET.parse(first).getroot().itertext())
    program = (
        "from matplotlib import rcParams; from glassgrad.viz.plots import loss_curve; "
        "params = lambda: {key: rcParams[key] for key in rcParams if key != 'backend'}; "  # reading that loads pyplot
        "before = params(); loss_curve([1.0]); assert params() == before"
    )
    assert "matplotlib.pyplot" not in modules_after(program)


def test_without_matplotlib_the_error_says_what_to_install(fit, x, bowl, monkeypatch, gg):
    plots = importlib.import_module(f"{gg.__name__}.viz.plots")
    history = fit(bowl, [x], epochs=2)
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    for draw in (
        history.plot,
        lambda: plots.line_fit([1], [1], 1, 1),
        lambda: plots.decision_boundary(lambda _row: 1.0, [[1.0, 2.0]], [1]),
    ):
        with pytest.raises(plots.PlotError, match=r"pip install 'glassgrad\[plot\]'"):
            draw()


def test_training_imports_neither_plotting_nor_progress():
    assert not modules_after("import glassgrad.training") & {"numpy", "matplotlib", "rich"}
