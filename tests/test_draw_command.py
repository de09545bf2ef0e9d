"""`glassgrad draw`: what it writes and prints, what it refuses, and that it works in a pipe."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import xml.etree.ElementTree as ET
from pathlib import Path
from types import ModuleType

import pytest

import glassgrad
from glassgrad import Graph, cli, viz

SOURCE = str(Path(glassgrad.__file__).parent.parent)
EXAMPLE = ["a*b**2 + sin(c)", "a=2", "b=3", "c=1"]


@pytest.fixture(autouse=True)
def english(monkeypatch):
    monkeypatch.setenv("LC_ALL", "C.UTF-8")


@pytest.fixture
def viewers(monkeypatch):
    """The viewers that have their own tests, replaced by what notes how they were called."""
    called = []

    def replace(name, **functions):
        module = ModuleType(f"glassgrad.viz.{name}")
        vars(module).update(functions)
        monkeypatch.setitem(sys.modules, module.__name__, module)
        monkeypatch.setattr(viz, name, module, raising=False)

    def writes(root, path, **options):
        called.append((root, path, options))
        path.write_bytes(b"written")

    replace("tree", tree=lambda root: called.append(root) or f"tree of {root.label}")
    replace("explain", explain=lambda root, wrt, lang: called.append((root, wrt)) or f"{wrt.label} in {lang}\n")
    replace("page", to_html=writes)
    replace("animate", animate=writes)
    return called


def draw(*arguments):
    return cli.main(["draw", *arguments])


# ---- files ---------------------------------------------------------------------------------------------------------


def test_a_picture_shows_every_value_with_its_gradient(tmp_path, capsys):
    path = tmp_path / "new" / "out.svg"
    assert draw(*EXAMPLE, "-o", str(path)) == 0
    assert capsys.readouterr() == (f"wrote {path}\n", "")
    text = "".join(ET.parse(path).getroot().itertext())
    assert all(label in text for label in ("a*b**2 + sin(c)", "18.84", "12"))  # the value, and the gradient by b


def test_partials_and_rankdir_reach_the_picture(tmp_path):
    paths = [tmp_path / f"{i}.dot" for i in range(2)]
    assert draw(*EXAMPLE, "-o", str(paths[0])) == 0
    assert draw(*EXAMPLE, "-o", str(paths[1]), "--partials", "--rankdir", "TB") == 0
    plain, full = (path.read_text(encoding="utf-8") for path in paths)
    assert ("rankdir=LR" in plain, "rankdir=TB" in full) == (True, True)
    assert full.count(" label=") > plain.count(" label=")


def test_the_dot_text_is_that_of_draw_dot(tmp_path):
    path = tmp_path / "out.gv"
    assert draw("a*b", "a=2", "b=3", "-o", str(path)) == 0
    root = glassgrad.expression.parse("a*b").evaluate({"a": 2, "b": 3})
    root.backward()
    assert path.read_text(encoding="utf-8") == glassgrad.draw_dot(root).source


def test_the_json_is_the_graph(tmp_path):
    path = tmp_path / "OUT.JSON"
    assert draw(*EXAMPLE, "-o", str(path)) == 0
    graph = Graph.from_json(path.read_text(encoding="utf-8"))
    grads = {label: graph.grads[i] for i, label in enumerate(graph.labels) if label in ("a", "b", "c")}
    assert grads == pytest.approx({"a": 9, "b": 12, "c": 0.5403023058681398})


def test_png_is_written_where_something_can(tmp_path):
    pytest.importorskip("resvg_py")
    path = tmp_path / "out.png"
    assert draw("a*b", "a=2", "b=3", "-o", str(path)) == 0
    assert path.read_bytes().startswith(b"\x89PNG")


def test_without_backward_no_gradient_is_known(tmp_path):
    path = tmp_path / "out.json"
    assert draw(*EXAMPLE, "-o", str(path), "--no-backward") == 0
    assert set(Graph.from_json(path.read_text(encoding="utf-8")).grads) == {None}


def test_a_format_may_be_asked_for_by_name(tmp_path):
    path = tmp_path / "out"
    assert draw("a*b", "a=2", "b=3", "-o", str(path), "--format", "json") == 0
    assert json.loads(path.read_text(encoding="utf-8"))["format"] == "glassgrad.graph"


@pytest.mark.parametrize(
    ("name", "options"),
    [("out.html", []), ("out.gif", []), ("out.svg", ["--animate"]), ("out.gif", ["--animate"]), ("OUT.HTM", [])],
)
def test_pages_and_animations_are_written_by_their_viewers(tmp_path, viewers, capsys, name, options):
    path = tmp_path / "new" / name
    assert draw(*EXAMPLE, "-o", str(path), *options) == 0
    ((root, written, given),) = viewers
    assert written == path
    assert given == ({} if "htm" in name.lower() else {"lang": "en", "rankdir": "LR"})
    assert root.data == pytest.approx(18.8414709848)
    assert path.read_bytes() == b"written"
    assert capsys.readouterr().out == f"wrote {path}\n"


def test_what_cannot_be_written_is_one_line(tmp_path, capsys):
    (tmp_path / "file").touch()
    path = tmp_path / "file" / "out.svg"
    assert draw("a*a", "a=2", "-o", str(path)) == 1
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith(f"glassgrad draw: cannot write {path}: ")
    assert err.count("\n") == 1


def test_what_cannot_be_drawn_leaves_the_file_alone(tmp_path, capsys, monkeypatch):
    monkeypatch.setenv("PATH", "")
    path = tmp_path / "out.pdf"
    path.write_text("old")
    assert draw("a*a", "a=2", "-o", str(path)) == 1
    assert "only Graphviz writes 'pdf'" in capsys.readouterr().err
    assert path.read_text() == "old"


# ---- what is printed -----------------------------------------------------------------------------------------------


def test_by_default_it_prints_the_tree_and_says_how_to_write_a_picture(viewers, capsys):
    assert draw(*EXAMPLE) == 0
    out, err = capsys.readouterr()
    assert out == "tree of a*b**2 + sin(c)\n"
    assert err.startswith("-o out.svg writes a picture, -o out.html ")


def test_the_derivative_by_inputs_and_by_results_is_explained(viewers, capsys):
    assert draw("h = a*b; tanh(h)", "a=0.5", "b=3", "--explain", "b", "--explain", "h", "--tree") == 0
    assert capsys.readouterr() == ("tree of tanh(h)\n\nb in en\n\nh in en\n", "")
    root, (same, b), (_, h) = viewers
    assert root is same
    assert (b.data, h.data) == (3, 1.5)


def test_the_language_is_that_asked_for_or_of_the_environment(viewers, capsys, monkeypatch, tmp_path):
    assert draw("a*a", "a=1", "--explain", "a", "--lang", "zh") == 0
    monkeypatch.setenv("LC_ALL", "zh_CN.UTF-8")
    assert draw("a*a", "a=1", "--explain", "a") == 0
    assert capsys.readouterr().out == "a in zh\na in zh\n"
    assert draw("a*a", "a=1") == 0
    assert "保存为图片" in capsys.readouterr().err
    assert draw("a*a", "a=1", "-o", str(tmp_path / "out.svg")) == 0
    assert capsys.readouterr().out.startswith("已写入 ")


# ---- values and options --------------------------------------------------------------------------------------------


def test_values_may_stand_anywhere_behind_the_expression(tmp_path, capsysbinary):
    assert draw("-o", "-", "a*b + c", "a=2", "--format", "json", "b = -3", "--no-backward", "c=pi/4") == 0
    graph = Graph.from_json(capsysbinary.readouterr().out)
    assert graph.values[graph.roots[0]] == pytest.approx(-6 + 3.14159265 / 4)


@pytest.mark.parametrize("text", ["-x**2", "-x", "-3*x", "-(x)", "-h*x", "-sin(x)"])
def test_an_expression_may_start_with_a_minus(capsysbinary, text):
    values = ["x=3", *(["h=1"] if "-h" in text else [])]
    assert draw(text, *values, "-o", "-", "--format", "json") == 0
    graph = Graph.from_json(capsysbinary.readouterr().out)
    assert graph.values[graph.roots[0]] < 0
    assert graph.labels[graph.roots[0]] == text


@pytest.mark.parametrize("number", ["1e-3", "-.5", "+2", "1/3", "2**-3", "0"])
def test_a_value_is_any_number(capsysbinary, number):
    assert draw("x + 1", f"x={number}", "-o", "-", "--format", "json") == 0
    graph = Graph.from_json(capsysbinary.readouterr().out)
    assert graph.values[graph.labels.index("x")] == eval(number)


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (["a*b"], "no value for a, b: add a=… b=…"),
        (["a*b", "a=2"], "no value for b: add b=…"),
        (["a*bias", "a=2", "bais=3"], "the expression has no bais; its names are a, bias; did you mean bias?"),
        (["a*2", "a=2", "pi=3"], "pi is the constant"),
        (["a*2", "a=2", "a=3"], "a has two values"),
        (["a*2", "a=two"], "a: two is not a number"),
        (["a*2", "a="], "a: needs a number, as in a=2"),
        (["a*2", "a=inf"], "a: inf is not finite"),
        (["a*2", "a=-nan"], "a: -nan is not finite"),
        (["a*2", "a=1e999"], "a: in column 1, a float ends at"),
        (["a*2", "a=1/0"], "div(1.0, 0.0) is inf"),
        (["a*2", "a=1,5"], "a: in column 2, a comma"),
        (["a*2", "a"], "a is no value: write name=number"),
        (["a=2", "a*b"], "a*b is no value: write name=number, behind the expression"),
        (["a*2", "=2"], "=2 is no value"),
        (["a +", "a=2"], "in column 4, expected a number, a name or ("),
        (["a.b", "a=2"], "no attributes"),
        (["(" * 100_001, "a=2"], "at most 100,000 characters"),
        (["2+3"], "2+3 is the number 5, with nothing to differentiate by"),
        (["a*2", "a=2", "--explain", "b"], "--explain: the expression has no b; it has a, a*2"),
        (["a*2", "a=2", "-o", ""], "-o needs the name of a file"),
        (["a*2", "a=2", "-o", "out"], "out does not say what to write: end it in .svg, "),
        (["a*2", "a=2", "-o", "out.bmp"], "out.bmp does not say what to write"),
        (["a*2", "a=2", "-o", "-", "--format", "png"], "-o - writes svg, dot, json: give png a file"),
        (["a*2", "a=2", "-o", "-", "--animate"], "give an animation a file"),
        (["a*2", "a=2", "-o", "-", "--tree"], "-o - leaves standard output to the picture"),
        (["a*2", "a=2", "--partials"], "--partials is for a picture: add -o out.svg"),
        (["a*2", "a=2", "--animate"], "--animate is for a picture"),
        (["a*2", "a=2", "--animate", "-o", "out.png"], "--animate writes .svg or .gif, not .png"),
        (["a*2", "a=2", "--partials", "-o", "out.json"], "--partials is for still pictures"),
        (["a*2", "a=2", "--partials", "-o", "out.gif"], "not for an animation"),
        (["a*2", "a=2", "--rankdir", "TB", "-o", "out.html"], "--rankdir is for pictures (svg, png, pdf, dot, gif)"),
    ],
)  # fmt: skip
def test_a_command_written_wrongly_is_refused_with_the_reason(tmp_path, monkeypatch, capsys, arguments, reason):
    monkeypatch.chdir(tmp_path)
    assert draw(*arguments) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("glassgrad draw: ")
    assert reason in err
    assert list(tmp_path.iterdir()) == []


def test_the_place_of_a_fault_is_marked(capsys):
    assert draw("a*b**2 + sinn(c)", "a=2", "b=3", "c=1") == 2
    assert capsys.readouterr().err == (
        "glassgrad draw: in column 10, there is no function sinn; did you mean sin or sinh or sign?\n"
        "  a*b**2 + sinn(c)\n"
        "           ^~~~\n"
    )


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (["log(a)", "a=-1", "-o", "out.svg"], "in column 1, log(a = -1.0) is undefined"),
        (["sqrt(a)", "a=0", "-o", "out.svg"], "--no-backward draws the values without gradients"),
    ],
)
def test_what_is_undefined_is_no_fault_of_the_command(tmp_path, monkeypatch, capsys, arguments, reason):
    monkeypatch.chdir(tmp_path)
    assert draw(*arguments) == 1
    assert reason in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []
    if "--no-backward" in reason:
        assert draw(*arguments, "--no-backward") == 0


@pytest.mark.parametrize("arguments", [["a*2", "a=2", "--nonsense"], [], ["a*2", "a=2", "--lang", "fr"]])
def test_unknown_options_are_refused(arguments, capsys):
    with pytest.raises(SystemExit) as stopped:
        draw(*arguments)
    assert stopped.value.code == 2
    assert capsys.readouterr().err.startswith("usage: glassgrad")


def test_formats_of_the_help_are_those_that_are_written():
    from glassgrad import draw as verb

    parser = cli._parser()
    for form in verb.FORMATS:
        assert parser.parse_args(["draw", "a", "--format", form]).format == form
    with pytest.raises(SystemExit):
        parser.parse_args(["draw", "a", "--format", "jpg"])


# ---- as a process --------------------------------------------------------------------------------------------------


def run(*arguments, **variables):
    environment = {**os.environ, "PYTHONPATH": SOURCE, **variables}
    command = [sys.executable, "-m", "glassgrad", "draw", *arguments]
    return subprocess.run(command, env=environment, capture_output=True, check=False, timeout=60)


def test_in_a_pipe_the_picture_is_utf_8_whatever_the_locale():
    done = run(*EXAMPLE, "-o", "-", PYTHONIOENCODING="ascii", NO_COLOR="1", PATH="")
    assert (done.returncode, done.stderr) == (0, b"")
    assert ET.fromstring(done.stdout.decode("utf-8")).tag.endswith("svg")


def test_the_same_command_writes_the_same_bytes():
    seeds = [run(*EXAMPLE, "-o", "-", "--format", "dot", PYTHONHASHSEED=seed).stdout for seed in "123"]
    assert len(set(seeds)) == 1
    assert seeds[0].startswith(b"digraph ")


def test_errors_go_to_standard_error():
    done = run("a ^ 2", "a=1")
    assert (done.returncode, done.stdout) == (2, b"")
    assert b"write ** instead of ^" in done.stderr


def test_help_shows_an_example_that_works(capsys, viewers, tmp_path, monkeypatch):
    with pytest.raises(SystemExit):
        draw("--help")
    assert "glassgrad draw 'a*b**2 + sin(c)' a=2 b=3 c=pi/4 -o out.html" in capsys.readouterr().out
    monkeypatch.chdir(tmp_path)
    assert draw("a*b**2 + sin(c)", "a=2", "b=3", "c=pi/4", "-o", "out.html") == 0
