"""`glassgrad demo` as a user runs it: in a process of its own, from a folder of its own."""

from __future__ import annotations

import importlib
import json
import os
import re
import signal
import string
import subprocess
import sys
import time
import xml.etree.ElementTree as ET
from pathlib import Path

import pytest

import glassgrad
from glassgrad import demo

SOURCE = str(Path(glassgrad.__file__).parent.parent)
POSIX = pytest.mark.skipif(os.name != "posix", reason="terminals, signals and /dev are POSIX's")
PNGS = [name for name in demo.FILES if name.endswith(".png")]
SVGS = [name for name in demo.FILES if name.endswith(".svg")]
WITHOUT = """
import sys
class Blocked:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {packages}:
            raise ImportError(f"{{name}} is not there, says the test")
sys.meta_path.insert(0, Blocked())
"""
MAIN = "\nimport sys\nfrom glassgrad.cli import main\nraise SystemExit(main(sys.argv[1:]))\n"


def environment(**changes):
    plain = {
        k: v for k, v in os.environ.items() if k not in ("COLUMNS", "LC_MESSAGES", "FORCE_COLOR", "TTY_COMPATIBLE")
    }
    plain |= {"PYTHONPATH": SOURCE, "PYTHONIOENCODING": "utf-8", "LC_ALL": "C.UTF-8"}
    return plain | changes


def glassgrad_demo(folder, *arguments, without=(), **variables):
    """The finished process of `glassgrad demo` started in `folder`, with some packages made to look uninstalled."""
    code = (WITHOUT.format(packages=set(without)) if without else "") + MAIN
    return subprocess.run(
        [sys.executable, "-c", code, "demo", *arguments],
        cwd=folder, env=environment(**variables), capture_output=True, text=True, encoding="utf-8", timeout=240,
        check=False,
    )  # fmt: skip


def names(folder):
    """Everything in a folder, hidden files included."""
    return sorted(path.name for path in folder.iterdir())


@pytest.fixture(scope="session")
def made(tmp_path_factory):
    """The whole demo, once for all tests: (folder of the files, what it printed, seconds)."""
    pytest.importorskip("matplotlib")
    pytest.importorskip("sklearn")
    folder = tmp_path_factory.mktemp("demo")
    start = time.perf_counter()
    done = glassgrad_demo(folder)
    assert done.returncode == 0, done.stderr
    assert "Traceback" not in done.stderr  # matplotlib may say there that it looks for fonts
    return folder / "demo_output", done.stdout, time.perf_counter() - start


# ---- everything there ----------------------------------------------------------------------------------------------


def test_it_makes_exactly_the_files_it_names(made):
    folder, out, _ = made
    assert names(folder) == sorted(demo.FILES)
    for name in demo.FILES:
        assert re.search(rf"^{re.escape(name)} ", out, re.MULTILINE), f"{name} is not in the summary"
    assert f"7 of 7 files in {folder}" in out


def test_it_takes_less_than_twenty_seconds(made):
    *_, seconds = made
    assert seconds < (20 if glassgrad.COMPILED else 90)  # it takes 5, and interpreted 14


def test_progress_in_a_pipe_is_plain_lines_in_order(made):
    _, out, _ = made
    assert "\x1b" not in out
    assert "\r" not in out
    epochs = [int(n) for n in re.findall(r"^moons classifier: epoch (\d+), loss", out, re.MULTILINE)]
    assert epochs == [20, 40, 60, 80, 100]
    begun = [
        out.index(start) for start in ("glassgrad 0", "derivatives of", "line through", "moons classifier", "file ")
    ]
    assert begun == sorted(begun)


def test_the_articles_derivatives_are_told_and_drawn(made):
    folder, out, _ = made
    assert "c = 18, ∂c/∂a = 9, ∂c/∂b = 12" in out
    words = [t.strip() for t in ET.parse(folder / "1-derivatives.svg").getroot().itertext()]
    assert {"a", "b", "c", "18", "9", "12", "6"} <= set(words)  # 6 = ∂(b²)/∂b stands on an edge


def test_the_line_is_fitted_to_its_tolerance(made):
    _, out, _ = made
    row = out[out.index("2-line.png ") :].partition("3-moons")[0]
    w, b, loss, epochs, tolerance = (
        float(re.search(pattern, " ".join(row.split()))[1])
        for pattern in (r"w = (\S+)", r"b = (\S+)", r"loss ([\d.]+)", r"in (\d+) epochs", r"tolerance ([\d.]+)")
    )
    assert (w, b) == pytest.approx(demo.TRUE_LINE, abs=0.35)
    assert loss <= tolerance < loss * 1.01  # it stopped as soon as it could
    assert 10 < epochs < 1000


def test_the_saved_network_tells_every_moon_apart(made):
    np = pytest.importorskip("numpy")
    from sklearn.datasets import make_moons

    folder, out, _ = made
    assert "100 of 100 points right: accuracy 100%" in out
    stored = json.loads((folder / "3-moons-model.json").read_text(encoding="utf-8"))["parameters"]
    x, classes = make_moons(n_samples=100, noise=0.1, random_state=1337)
    for layer, (nin, nout) in enumerate([(2, 16), (16, 16), (16, 1)]):  # the network once more, by NumPy
        path = f"layers.{layer}.neurons"
        w = np.array([[stored[f"{path}.{j}.w.{i}"] for i in range(nin)] for j in range(nout)])
        x = x @ w.T + np.array([stored[f"{path}.{j}.b"] for j in range(nout)])
        x = np.maximum(x, 0) if layer < 2 else x
    assert ((x[:, 0] > 0) == (classes == 1)).all()


@pytest.mark.parametrize("name", PNGS)
def test_plots_are_pictures_of_a_size_to_look_at(made, name):
    image = pytest.importorskip("matplotlib.image").imread(made[0] / name)
    height, width = image.shape[:2]
    assert 1100 <= width <= 1800
    assert 600 <= height <= 1000
    assert len({tuple(pixel) for row in image[::7, ::7] for pixel in row.tolist()}) > 20  # something is drawn
    assert (image[:4] > 0.9).all()  # and nothing runs over the upper and the left rim
    assert (image[:, :4] > 0.9).all()


@pytest.mark.parametrize("name", SVGS)
def test_graphs_are_svg(made, name):
    assert ET.parse(made[0] / name).getroot().tag == "{http://www.w3.org/2000/svg}svg"


def test_the_graph_of_one_example_is_whole(made):
    folder, out, _ = made
    # 337 parameters and 2 inputs; 33 neurons of one dot and one + each, 32 of them with a ReLU
    assert "437 Values: 339 leaves, 98 operations" in out
    page = (folder / "3-moons-page.html").read_text(encoding="utf-8")
    assert page.startswith("<!doctype html>")
    assert '"steps":[0,1,2,' in page
    text = (folder / "3-moons-graph.svg").read_text(encoding="utf-8")
    cards = re.findall(r'class="gg-node gg-(\w+)', text)
    assert (len(cards), cards.count("leaf"), cards.count("const")) == (437, 337, 2)
    labels = set(re.findall(r'class="gg-label"[^>]*>([^<]+)', text))
    assert labels == {*[f"w{i}" for i in range(16)], "b", "x₀", "x₁", "score"}  # as nn names them
    assert text.count('class="gg-scope"') == 35  # 33 neurons, and layers of more than one
    width, height = map(float, re.search(r'width="([\d.]+)" height="([\d.]+)"', text).groups())
    assert max(width, height) < 2500  # a page shows it whole, and most of its numbers can be read


@POSIX
def test_on_a_terminal_in_chinese_it_makes_the_same_files(made, tmp_path):
    import pty

    parent, child = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "-m", "glassgrad", "demo", "-o", "twice"],
        cwd=tmp_path, env=environment(LC_ALL="zh_CN.UTF-8", TERM="xterm", COLUMNS="100"), stdout=child, stderr=child,
    )  # fmt: skip
    os.close(child)
    pieces = []
    while True:
        try:
            piece = os.read(parent, 65536)
        except OSError:  # what Linux says at the end
            break
        if not piece:
            break
        pieces.append(piece)
    os.close(parent)
    assert process.wait(timeout=240) == 0
    shown = b"".join(pieces).decode()
    assert "\x1b[" in shown  # live
    assert "━" in shown
    assert "准确率 100%" in shown
    assert "∂c/∂a = 9" in shown
    assert "\x1b[?25h" in shown[shown.rindex("\x1b[?25l") :]  # the cursor is back
    for name in demo.FILES:
        assert (tmp_path / "twice" / name).read_bytes() == (made[0] / name).read_bytes(), f"{name} differs"


@POSIX
def test_the_pictures_are_the_same_where_graphviz_is_installed(made, tmp_path):
    pytest.importorskip("sklearn")
    dot = tmp_path / "dot"
    dot.write_text("#!/bin/sh\necho '<svg>drawn by dot</svg>'\n", encoding="utf-8")
    dot.chmod(0o755)
    glassgrad_demo(tmp_path, without=["matplotlib"], PATH=os.pathsep.join([str(tmp_path), os.environ["PATH"]]))
    for name in SVGS:
        assert (tmp_path / "demo_output" / name).read_bytes() == (made[0] / name).read_bytes(), f"{name} differs"


# ---- something missing, something wrong ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("without", "names_", "there"),
    [
        (
            ["matplotlib"],
            "matplotlib",
            ["1-derivatives.svg", "3-moons-graph.svg", "3-moons-model.json", "3-moons-page.html"],
        ),
        (["matplotlib", "sklearn", "numpy"], "matplotlib, scikit-learn", ["1-derivatives.svg"]),
    ],
)
def test_without_the_extra_it_makes_what_it_can_and_says_what_to_install(tmp_path, without, names_, there):
    if "sklearn" not in without:
        pytest.importorskip("sklearn")
    done = glassgrad_demo(tmp_path, without=without)
    assert (done.returncode, done.stderr) == (1, "")
    assert names(tmp_path / "demo_output") == there
    absent = ", ".join(name for name in demo.FILES if name not in there)
    last = done.stdout.splitlines()[-1]
    assert last == f"Not made, for want of {names_}: {absent}. Run: pip install 'glassgrad[demo]'"
    assert "∂c/∂b = 12" in done.stdout
    assert re.search(
        r"^line through 60 points: w = [12]\.\d+, b = -\d\.\d+ after \d+ epochs$", done.stdout, re.MULTILINE
    )
    assert ("moons classifier: accuracy 100%" in done.stdout) is ("sklearn" not in without)


@POSIX
def test_ctrl_c_says_what_was_finished(tmp_path):
    pytest.importorskip("sklearn")
    # Started from a job in the background, Python would not listen to SIGINT.
    code = "import signal\nsignal.signal(signal.SIGINT, signal.default_int_handler)" + MAIN
    process = subprocess.Popen(
        [sys.executable, "-c", code, "demo", "-o", "cut"],
        cwd=tmp_path, env=environment(), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, encoding="utf-8",
    )  # fmt: skip
    for line in process.stdout:
        if line.startswith("moons classifier: epoch 20,"):
            process.send_signal(signal.SIGINT)
            break
    out, err = process.communicate(timeout=120)
    assert (process.returncode, err) == (130, "")
    there = names(tmp_path / "cut")
    assert "1-derivatives.svg" in there
    assert "3-moons-model.json" not in there
    absent = [name for name in demo.FILES if name not in there]
    assert out.splitlines()[-1] == f"Interrupted. Not made: {', '.join(absent)}"
    assert f"{len(there)} of 7 files in" in out
    assert all(name in demo.FILES for name in there)  # nothing half written is left


@POSIX
def test_ctrl_c_while_a_package_loads_is_no_missing_package(tmp_path, monkeypatch, capsys):
    (tmp_path / "sklearn").mkdir()
    (tmp_path / "sklearn" / "__init__.py").touch()
    (tmp_path / "sklearn" / "datasets.py").write_text(  # as C extensions do
        "import signal\ntry:\n    signal.raise_signal(signal.SIGINT)\n"
        "except KeyboardInterrupt:\n    raise ImportError from None\n",
        encoding="utf-8",
    )
    for name in ("sklearn", "sklearn.datasets"):
        monkeypatch.delitem(sys.modules, name, raising=False)
    monkeypatch.syspath_prepend(tmp_path)
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        assert demo.run(tmp_path / "cut", lang="zh") == 130
    finally:
        signal.signal(signal.SIGINT, before)
        for name in ("sklearn", "sklearn.datasets"):
            sys.modules.pop(name, None)
    assert "已中断。未生成：" in capsys.readouterr().out.splitlines()[-1]


@POSIX
@pytest.mark.parametrize("lang", ["en", "zh"])
def test_a_narrow_terminal_cuts_notes_and_not_titles(monkeypatch, lang):
    monkeypatch.setenv("COLUMNS", "60")
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("TERM", "xterm")
    tell = demo._Teller(lang)
    with tell.console.capture() as caught, tell:
        for key in ("derivatives", "line", "moons"):
            tell.begin(key)
            tell.end("long " * 30)
    shown = caught.get()
    assert all(tell.text(key) in shown for key in ("derivatives", "line", "moons"))
    assert "…" in shown


@pytest.mark.parametrize("output", ["taken", "taken/below"])
def test_a_folder_that_cannot_be_is_one_clear_line(tmp_path, output):
    (tmp_path / "taken").write_text("a file", encoding="utf-8")
    done = glassgrad_demo(tmp_path, "-o", output)
    assert done.returncode == 1
    assert done.stdout == ""
    reason = "cannot write taken: it is a file, not a folder; choose another folder with -o DIR"
    assert done.stderr == f"glassgrad demo: {reason}\n"
    assert (tmp_path / "taken").read_text(encoding="utf-8") == "a file"


@pytest.mark.skipif(os.name != "posix" or os.geteuid() == 0, reason="root may write everywhere")
def test_a_folder_without_permission_is_one_clear_line(tmp_path):
    (tmp_path / "shut").mkdir(mode=0o500)
    done = glassgrad_demo(tmp_path, "-o", "shut")
    assert (done.returncode, done.stderr.count("\n")) == (1, 1)
    assert "Permission denied" in done.stderr


def test_a_disk_that_fills_up_leaves_no_half_a_file(tmp_path, monkeypatch, capsys):
    def full(file):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(demo.DemoError, match=r"cannot write .*1-derivatives.svg: No space left on device"):
        demo.run(tmp_path, lang="en")
    assert names(tmp_path) == []


NOTHING = ("matplotlib", "sklearn", "numpy")  # the quickest demo


@POSIX
def test_a_reader_that_goes_away_is_no_error_of_ours(tmp_path):
    process = subprocess.Popen(
        [sys.executable, "-c", WITHOUT.format(packages=set(NOTHING)) + MAIN, "demo"],
        cwd=tmp_path, env=environment(), stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip
    process.stdout.close()
    assert process.stderr.read() == b""
    assert process.wait(timeout=60) == 1
    process.stderr.close()


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full here")
def test_a_full_disk_below_standard_output_is_one_line(tmp_path):
    with Path("/dev/full").open("w", encoding="utf-8") as full:
        done = subprocess.run(
            [sys.executable, "-c", WITHOUT.format(packages=set(NOTHING)) + MAIN, "demo"],
            cwd=tmp_path, env=environment(), stdout=full, stderr=subprocess.PIPE, text=True, timeout=60, check=False,
        )  # fmt: skip
    assert (done.returncode, done.stderr.count("\n")) == (1, 1)
    assert "No space left" in done.stderr


# ---- languages -----------------------------------------------------------------------------------------------------


def test_output_that_holds_only_ascii_gets_ascii(tmp_path):
    done = glassgrad_demo(tmp_path, without=NOTHING, PYTHONIOENCODING="ascii", LC_ALL="zh_CN.GB2312")
    assert done.stderr == ""
    assert done.stdout.isascii()
    assert "dc/da = 9, dc/db = 12" in done.stdout
    assert "?" not in done.stdout


def test_chinese_where_the_environment_or_an_option_asks_for_it(tmp_path):
    for arguments, variables in (([], {"LC_ALL": "zh_TW.UTF-8"}), (["--lang", "zh"], {})):
        done = glassgrad_demo(tmp_path, *arguments, without=NOTHING, **variables)
        assert "1/7 个文件" in done.stdout
        assert "缺少 matplotlib" in done.stdout.splitlines()[-1]
    english = glassgrad_demo(tmp_path, "--lang", "en", without=NOTHING, LC_ALL="zh_CN.UTF-8")
    assert "1 of 7 files" in english.stdout


@pytest.mark.parametrize(
    ("variables", "expected"),
    [
        ({"LANG": "zh_CN.UTF-8"}, "zh"),
        ({"LANG": "zh_CN.UTF-8", "LC_ALL": "de_DE.UTF-8"}, "en"),
        ({"LANG": "en_US.UTF-8", "LC_MESSAGES": "zh_HK.UTF-8"}, "zh"),
        ({"LANG": "zh_CN.UTF-8", "LC_ALL": ""}, "zh"),
        ({"LANG": "C"}, "en"),
    ],
)
def test_the_language_is_the_environments(monkeypatch, variables, expected):
    for name in ("LC_ALL", "LC_MESSAGES", "LANG"):
        monkeypatch.delenv(name, raising=False)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    assert demo.language() == expected


def test_chinese_is_set_with_chinese_punctuation(tmp_path):
    done = glassgrad_demo(tmp_path, "--lang", "zh", without=NOTHING)
    assert "a·b² 的导数：a = 2，b = 3 时，c = 18，" in done.stdout
    said = [*demo.TEXTS["zh"].values(), *done.stdout.splitlines()]
    assert [text for text in said if re.search(r"[\u4e00-\u9fff] ?[,:;!?(]|[,:;!?] ?[\u4e00-\u9fff]", text)] == []


def test_both_languages_say_the_same_things():
    def fields(text):
        return sorted(name for _, name, *_ in string.Formatter().parse(text) if name)

    english, chinese = demo.TEXTS["en"], demo.TEXTS["zh"]
    assert list(english) == list(chinese)
    assert {key: fields(text) for key, text in english.items()} == {key: fields(text) for key, text in chinese.items()}


# ---- both builds ---------------------------------------------------------------------------------------------------


def test_both_builds_tell_the_same_numbers(gg, tmp_path, monkeypatch, capsys):
    twin = importlib.import_module(f"{gg.__name__}.demo")
    monkeypatch.setattr(twin._Demo, "_has", lambda *_: False)
    assert twin.run(tmp_path, lang="en") == 0
    out = capsys.readouterr().out
    assert "c = 18, ∂c/∂a = 9, ∂c/∂b = 12" in out
    assert "w = 1.919, b = -0.7948 after 180 epochs" in out


# ---- what the demo needs of viz/plots.py ---------------------------------------------------------------------------


@pytest.fixture
def plots():
    pytest.importorskip("matplotlib")
    return importlib.import_module("glassgrad.viz.plots")


def test_accuracy_stands_below_the_loss_on_the_same_epochs(plots):
    above, below = plots.loss_curve([2.0, 1.0, 0.5], accuracy=[0.4, 0.7, 0.9]).axes
    assert above.get_xlim() == below.get_xlim()
    assert list(below.lines[0].get_ydata()) == [0.4, 0.7, 0.9]
    assert [text.get_text() for text in below.texts] == ["90%"]
    with pytest.raises(plots.PlotError, match="3 losses and 2 accuracies"):
        plots.loss_curve([2.0, 1.0, 0.5], accuracy=[0.4, 0.7])


@pytest.mark.parametrize(("worst", "ticks"), [(0.0, "0%"), (0.49, "0%"), (0.5, "50%"), (0.85, "80%"), (0.99, "90%")])
def test_no_accuracy_lies_below_its_axis(plots, worst, ticks):
    below = plots.loss_curve([2.0, 1.0], accuracy=[worst, 1.0]).axes[1]
    assert below.get_yticklabels()[0].get_text() == ticks
    assert below.get_ylim()[0] <= worst


def test_a_tolerance_is_marked_and_named(plots):
    axes = plots.loss_curve([2.0, 1.0, 0.5], tolerance=0.75).axes[0]
    assert [0.75, 0.75] in [list(line.get_ydata()) for line in axes.lines]
    assert any("tolerance 0.75" in text.get_text() for text in axes.texts)


def test_a_line_fit_has_its_loss_beside_it(plots):
    fit, loss = plots.line_fit([0, 1, 2], [1.1, 2.9, 5.0], w=2.0, b=1.0, losses=[3.0, 1.0], tolerance=1.0).axes
    assert fit.get_position().x1 < loss.get_position().x0
    assert list(loss.lines[0].get_ydata()) == [3.0, 1.0]
    with pytest.raises(plots.PlotError, match="line_fit: there are no finite losses"):
        plots.line_fit([0, 1], [0, 1], 1, 0, losses=[])


def test_a_notebook_shows_a_figure_without_pyplot(plots):
    figure = plots.loss_curve([2.0, 1.0, 0.5])
    data, size = figure._repr_png_()
    assert data.startswith(b"\x89PNG")
    assert size == {"width": 720, "height": 440}
