"""The page as a file: complete, small, the same everywhere, readable when damaged; and the files it is made of."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import time
from pathlib import Path

import pytest
from browser import listen
from pictures import cards as boxes
from pictures import differentiated, g1, g4
from viewing import cards, text

import glassgrad
from glassgrad import Graph, Page, Value, draw_dot, show, to_html
from glassgrad.errors import OperandError
from glassgrad.viz import bundle
from glassgrad.viz.snapshot import DrawingError
from glassgrad.viz.svg import draw

SAME = """
from glassgrad import Graph, Value, draw_dot, scope, to_html
a, b, c, f = Value(2, 'a'), Value(-3, 'b'), Value(10, 'c'), Value(-2, 'f')
with scope('inner'):
    d = a * b + c
L = d * f
L.label = 'L'
L.backward()
print(draw_dot(L).source, Graph.of(L).to_json(), to_html(L))
"""


# ---- the file ------------------------------------------------------------------------------------------------------


def test_dot_json_and_page_are_the_same_bytes_in_every_process():
    runs = [
        subprocess.Popen(
            [sys.executable, "-c", SAME],
            stdout=subprocess.PIPE,
            env={**os.environ, "PYTHONHASHSEED": seed, "PYTHONUTF8": "1"},
        )
        for seed in "01234"
    ]
    texts = {run.communicate()[0] for run in runs}
    assert [run.returncode for run in runs] == [0] * 5
    assert len(texts) == 1
    assert b"digraph" in texts.pop()


def test_the_page_is_small():
    page = to_html(differentiated(g1()))
    assert len(page.encode()) < 150_000
    [data] = re.findall(r'<script type="application/json" id="gg-graph">(.*?)</script>', page, re.DOTALL)
    assert len(page.encode()) - len(data.encode()) <= 120_000


def test_the_page_names_nothing_outside_itself():
    page = to_html(differentiated(g1()))
    addresses = set(re.findall(r"""(?:https?:)?//[\w.-]+\.\w+[^\s"'<)]*""", page + bundle.script()))
    assert {address for address in addresses if "www.w3.org" not in address} == set()
    policy = re.search(r'Content-Security-Policy" content="([^"]*)"', page)[1]
    assert policy.startswith("default-src 'none';")
    assert "connect-src" not in policy
    assert not re.search(
        r"\b(fetch|XMLHttpRequest|WebSocket|sendBeacon|localStorage|eval|new Function)\b\(", bundle.script()
    )


def test_both_uses_of_a_square_are_drawn_everywhere(page_of):
    b = differentiated(g4())
    assert len(re.findall(r"^\s*n0 -> n1", draw_dot(b).source, re.MULTILINE)) == 2
    assert draw(Graph.of(b)).count('class="gg-edge') == 2
    page = page_of(b)
    assert page.locator("#gg-stage [data-line]").count() == 2
    assert (
        len(set(page.locator("#gg-stage [data-line]").evaluate_all("(all) => all.map((e) => e.getAttribute('d'))")))
        == 2
    )
    assert cards(page) == {"a": ("3", "+6"), "b": ("9", "+1")}


def test_a_chain_of_20000_draws_exports_and_differentiates_without_recursion():
    start = time.perf_counter()
    x = Value(1.0, "x")
    y = x
    for _ in range(20_000):
        y = y + 0.0001
    y.backward()
    text_of_dot = draw_dot(y, max_nodes=100_000).source
    json_text = Graph.of(y).to_json()
    page = to_html(y)
    took = time.perf_counter() - start
    assert text_of_dot.count("->") == 40_000
    assert len(json.loads(json_text)["values"]) == 40_001
    assert len(page) > 1_000_000
    assert x.grad == 1.0
    assert took < 3 * 5  # the goal is 5; three times that, because other work may keep the machine busy


def test_a_deep_chain_opens_in_the_browser(page_of):
    y = Value(1.0, "x")
    for _ in range(20_000):
        y = y * 1.0001
    y.label = "y"
    page = page_of(differentiated(y))
    assert len(cards(page)) < 400
    page.locator("#gg-search").fill("x")
    page.keyboard.press("Enter")
    page.wait_for_selector("#gg-panel-title")
    assert text(page, "#gg-panel-title") == "x"
    assert float(text(page, "#gg-grad")) == pytest.approx(1.0001**20_000)


def test_a_lone_value_is_a_page_too(page_of):
    page = page_of(Value(3.5, "alone"))
    assert cards(page) == {"alone": ("3.5", "—")}


def test_several_results_are_shown_and_the_first_is_differentiated(page_of):
    x = Value(2.0, "x")
    y, z = x * 3, x * 5
    y.label, z.label = "y", "z"
    y.backward()
    page = page_of([y, z])
    shown = cards(page)
    assert shown["x"] == ("2", "+3")
    assert shown["z"][0] == "10"
    assert text(page, ".subject") == "Graph of y, z"


# ---- Python's side -------------------------------------------------------------------------------------------------


def test_show_writes_a_file_and_opens_it(monkeypatch):
    opened = []
    monkeypatch.setattr("webbrowser.open", lambda address: opened.append(address) or True)
    page = show(g1())
    assert repr(page) == "Page(Graph of L, 7 values)"
    [address] = opened
    path = Path(address.removeprefix("file://"))
    assert path.read_text(encoding="utf-8") == str(page) == to_html(g1())
    path.unlink()


def test_where_no_browser_opens_a_warning_says_where_the_page_is(monkeypatch):
    monkeypatch.setattr("webbrowser.open", lambda address: False)
    with pytest.warns(UserWarning, match=r"no browser opened; open this file in one: .+\.html"):
        path = Page(g1()).show()
    Path(path).unlink()


@pytest.mark.parametrize("height", ["abc", None, 1e9, -3, True, 99])
def test_a_height_that_is_none_is_refused(height):
    with pytest.raises(OperandError, match="height must be a whole number of pixels"):
        Page(g1(), height=height)


def test_a_page_is_written_whole_and_its_path_returned(tmp_path):
    path = to_html(g1(), tmp_path / "new" / "page.html")
    assert path == str(tmp_path / "new" / "page.html")
    assert Path(path).read_text(encoding="utf-8").endswith("</html>\n")
    assert [entry.name for entry in (tmp_path / "new").iterdir()] == ["page.html"]


def test_what_is_no_graph_or_too_large_is_refused():
    with pytest.raises(OperandError, match="draws a Value, several Values or a Graph, got float"):
        to_html(1.0)
    with pytest.raises(DrawingError, match="this graph has 7 Values; show"):
        Page(g1(), max_nodes=3)


# ---- in a frame ----------------------------------------------------------------------------------------------------


def test_the_page_works_in_a_sandboxed_frame(chromium):
    context = chromium.new_context(offline=True, viewport={"width": 1200, "height": 700})
    listen(context, "about:blank")
    page = context.new_page()
    page.set_content(f"<h1>A notebook</h1>{Page(differentiated(g1()))._repr_html_()}")
    assert page.locator("iframe").get_attribute("sandbox") == "allow-scripts allow-downloads"
    assert page.locator("iframe").get_attribute("title") == "Graph of L"
    frame = page.frame_locator("iframe")
    frame.locator("html[data-ready]").wait_for(state="attached")
    frame.locator(".card:has(text.label:text-is('b'))").click()
    frame.locator("#gg-edit").fill("5")
    assert frame.locator(".card.root .value").inner_html() == "−40"
    frame.locator('[data-do="play"]').click()
    assert page.evaluate("document.querySelector('iframe').contentDocument") is None  # an origin of its own
    context.close()


def test_two_pages_in_one_notebook_do_not_meet(chromium):
    context = chromium.new_context(offline=True)
    listen(context, "about:blank")
    page = context.new_page()
    page.set_content("".join(Page(value)._repr_html_() for value in (g1(), g4())))
    counts = []
    for k in (0, 1):
        frame = page.frame_locator("iframe").nth(k)
        page.locator("iframe").nth(k).scroll_into_view_if_needed()
        frame.locator("html[data-ready]").wait_for(state="attached")
        counts.append(frame.locator(".card").count())
    assert counts == [7, 2]
    context.close()


# ---- damaged -------------------------------------------------------------------------------------------------------


def damaged(change):
    """The page of the lecture's graph with something wrong in its data."""
    page = to_html(g1())
    start = page.index('id="gg-graph">') + len('id="gg-graph">')
    end = page.index("</script>", start)
    return page[:start] + change(page[start:end]) + page[end:]


def of(**fields):
    return lambda data: json.dumps(json.loads(data) | fields)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (of(version=99), "version"),
        (of(format="other"), "this is not a glassgrad graph"),
        (of(nodes=10**15), "entries for 1000000000000000 nodes"),
        (of(operands=[[], [], [0, 1], [], [2, 6], [], [4, 5]]), "node 4 has operand 6: operands come before"),
        (of(roots=[99]), '"roots" points at entry 99 of 7'),
        (of(values=["<img src=x onerror=hacked=1>"] * 7), '"values" must hold numbers'),
        (lambda data: data[:100], "its data is damaged or cut short"),
        (lambda _: "", "this is not a glassgrad graph"),
    ],
)
def test_a_damaged_graph_gives_a_readable_message(page_of, change, reason):
    page = page_of(damaged(change), ready=".fatal")
    words = text(page, ".fatal")
    assert reason in words
    assert words.startswith("This graph cannot be shown:")
    assert page.evaluate("globalThis.hacked") is None


def test_without_scripts_the_page_says_what_it_is(chromium):
    context = chromium.new_context(java_script_enabled=False, offline=True)
    page = context.new_page()
    page.set_content(to_html(g1()))
    assert "needs JavaScript; nothing is fetched from anywhere" in page.content()
    assert page.title() == "Graph of L"
    context.close()


# ---- the files it is made of ---------------------------------------------------------------------------------------


TOP = re.compile(r"^(?:export )?(?:async )?(?:function\*?|const|let|class) (\w+)", re.MULTILINE)
PATTERN = re.compile(r"^(?:export )?(?:const|let) [\[{]([^=]*)[\]}] =", re.MULTILINE)


def names(module):
    if module == "rules":  # one function that is called at once
        return ["RULES"]
    found = TOP.findall(bundle.module(module))
    for inside in PATTERN.findall(bundle.module(module)):
        found += re.findall(r"\w+", inside)
    return found


def test_a_top_level_name_occurs_in_one_module_only():
    owners = {}
    for module in bundle.MODULES:
        for name in set(names(module)):
            owners.setdefault(name, []).append(module)
    assert {name: where for name, where in owners.items() if len(where) > 1} == {}
    assert len(owners) > 100


@pytest.mark.parametrize("module", bundle.MODULES)
def test_imports_are_one_line_from_modules_before_and_used(module):
    source = bundle.module(module)
    before = bundle.MODULES[: bundle.MODULES.index(module)]
    for line in re.findall(r"^import .*", source, re.MULTILINE):
        found = re.fullmatch(r'import \{ ([\w, ]+) \} from "\./(\w+)\.js";', line)
        assert found, line
        assert found[2] in before
        exported = re.findall(
            r"^export (?:async )?(?:function\*?|const|let) (\w+)", bundle.module(found[2]), re.MULTILINE
        )
        for name in found[1].split(", "):
            assert name in exported
            assert len(re.findall(rf"\b{name}\b", source)) > 1, f"{name} is imported and not used"


def test_nothing_of_the_module_system_is_left_in_the_bundle():
    assert not re.search(r"^\s*(import|export)\b", bundle.script(), re.MULTILINE)
    assert "/**" not in bundle.script()


@pytest.mark.parametrize("module", bundle.MODULES)
def test_a_template_literal_ends_where_it_begins(module):
    code = re.sub(r"^\s*//.*$|/\*.*?\*/", "", bundle.module(module), flags=re.MULTILINE | re.DOTALL)
    odd = [line for line in code.splitlines() if line.replace("\\`", "").count("`") % 2]
    assert odd == []


def test_both_languages_say_the_same_things_with_the_same_blanks():
    english, chinese = bundle.strings()["en"], bundle.strings()["zh"]
    assert set(english) == set(chinese)
    blanks = lambda words: sorted(set(re.findall(r"\{(\w+)\}", words)))  # noqa: E731
    assert {key: blanks(english[key]) for key in english} == {key: blanks(chinese[key]) for key in chinese}
    assert english["help.keys"].count("|") == chinese["help.keys"].count("|")
    assert english["help.keys"].count(";") == chinese["help.keys"].count(";")


def test_whatever_is_said_has_words_and_all_words_are_said():
    code = "\n".join(bundle.module(module) for module in bundle.MODULES)
    html = "".join(bundle.template())
    said = set(re.findall(r"""\bsay\((?:[^()"`]*\?\s*)?"([\w.]+)\"""", code))
    said |= set(re.findall(r'data-say(?:-\w+)?="([\w.]+)"', html))
    assert said - set(bundle.strings()["en"]) == set()
    quoted = set(re.findall(r'"([a-z]+\.[\w.]+)"', code + html))
    built = ("kind.", "step.")  # put together from a part and a word
    silent = {key for key in bundle.strings()["en"] if key not in quoted and not key.startswith(built)}
    assert silent == set()


def test_the_package_has_all_the_files():
    folder = Path(glassgrad.__file__).parent / "viz" / "web"
    files = {path.name for path in folder.iterdir()}
    used = {f"{name}.js" for name in bundle.MODULES if name != "rules"} | {"page.html", "viewer.css", "strings.json"}
    used.add("widget.js")  # the notebook's half of the widget, a module by itself
    assert files == used


def test_a_box_for_each_value_of_the_lecture(page_of):
    assert page_of(g1()).locator(".card").count() == len(boxes(draw(Graph.of(g1())))) == 7
