"""Text from a graph is text: whatever labels, scopes and symbols hold, nothing breaks and nothing is executed."""

from __future__ import annotations

import json
import xml.etree.ElementTree as ET

import pytest
from browser import opened
from pictures import HOSTILE, SVG
from viewing import cards, do, in_menu, settled, text

from glassgrad import Graph, Page, Value, scope

TRAPS = [
    "<script>window.hacked = 1</script>",
    "</script><script>window.hacked = 2</script>",
    "<img src=x onerror='window.hacked = 3'>",
    "\" onmouseover=\"window.hacked = 4\" x=\"",
    "' autofocus onfocus='window.hacked = 5",
    "</title><svg onload=window.hacked=6>",
    "--></style><script>window.hacked = 7</script><!--",
    "${window.hacked = 8}",
    "{{constructor.constructor('window.hacked=9')()}}",
    "javascript:window.hacked=10",
    "&lt;script&gt;window.hacked = 11&lt;/script&gt;",
    "]]><script>window.hacked = 12</script>",
    "{name}{value}{root}",
    "$&$1$`$'",
    "__proto__",
    "constructor",
]
WORDS = [*HOSTILE, *TRAPS]


def hostile():
    """A graph in which every label, scope and symbol is one of these."""
    total = Value(1.0, WORDS[0])
    for k, words in enumerate(WORDS):
        with scope(words.replace("/", "|") or "x"):
            leaf = Value(float(k + 1), words)
            out = Value(total.data * leaf.data, (total, leaf), words)
            out.label = words
        total = out
    top = total * 2 + Value(3.0, WORDS[1])
    top.label = WORDS[3]
    top.backward()
    return top


@pytest.fixture(scope="module")
def page(chromium):
    with opened(chromium, hostile()) as page:
        yield page
        assert page.evaluate("globalThis.hacked") is None


def unharmed(page):
    """Nothing was executed, and no element came out of a text."""
    return page.evaluate(
        "[globalThis.hacked, document.querySelectorAll('#gg-app img, #gg-app script, #gg-app [onload], #gg-app [onerror]').length]"
    ) == [None, 0]


def test_the_page_opens_and_shows_all_cards(page):
    in_menu(page, 0, '[data-do="open-all"]')
    assert len(cards(page)) > 2 * len(WORDS)
    assert unharmed(page)


def test_every_value_can_be_looked_at(page):
    in_menu(page, 0, '[data-do="open-all"]')
    settled(page)
    stage = page.locator("#gg-stage")
    stage.press("ArrowLeft")
    for _ in range(3 * len(WORDS)):
        stage.press("ArrowLeft")
        stage.press("Enter")
        assert page.locator("#gg-panel-title").count() == 1
        page.keyboard.press("Escape")
        stage.press("ArrowRight") if page.locator(".card.selected.leaf").count() else None
        stage.press("ArrowDown")
        stage.press("Enter")
        page.keyboard.press("Escape")
    assert unharmed(page)


def test_everything_else_that_shows_labels_shows_text(page):
    for words in ("<", "script", "hacked", "&", '"', "日本"):
        page.locator("#gg-search").fill(words)
        assert page.locator("#gg-found li").count() > 0
        page.locator("#gg-search").press("Enter")
        settled(page)
    for _ in range(6):
        do(page, "next")
    do(page, "language")
    do(page, "language")
    for action in ("first", "next", "next", "last"):
        do(page, action)
        assert "undefined" not in text(page, "#gg-sentence")
    in_menu(page, 0, '[data-do="close-all"]')
    settled(page)
    assert unharmed(page)


def test_the_exported_picture_is_valid_and_harmless(page):
    in_menu(page, 0, '[data-do="open-all"]')
    settled(page)
    with page.expect_download() as saved:
        in_menu(page, 1, '[data-do="export-svg"]')
    tree = ET.parse(saved.value.path())
    assert tree.getroot().tag == f"{SVG}svg"
    kinds = {element.tag.removeprefix(SVG) for element in tree.iter()}
    assert kinds <= {"svg", "g", "title", "style", "rect", "path", "text"}
    assert not [name for element in tree.iter() for name in element.attrib if name.startswith("on")]
    for element in tree.iter(f"{SVG}text"):
        assert len(element.text or "") < 60


def test_a_training_record_and_a_foreign_graph_are_no_way_in(page_of):
    raw = json.loads(Graph.of(Value(2.0, "a") * Value(3.0, "b")).to_json())
    raw["kinds"] = [["leaf", TRAPS[0]], ["custom", TRAPS[2]]]
    raw["notes"] = {"2": TRAPS[1]}
    raw["scopes"] = [TRAPS[3]]
    raw["shapes"] = {"2": [2, 3]}
    raw["formulas"] = {"custom": [TRAPS[0], [TRAPS[2], TRAPS[5]]]}
    graph = Graph.from_json(json.dumps(raw))
    record = {"steps": [TRAPS[2], TRAPS[0]], "losses": [1.0, 2.0], "ids": [0], "values": [[1.0], [2.0]], "grads": [[1.0], [2.0]]}
    page = page_of(graph, training=record)
    for name in ("#gg-item-2", "#gg-item-1", "#gg-item-0"):
        if page.locator(name).count():
            page.locator(name).click()
    page.locator("#gg-epoch").fill("0")
    do(page, "last")
    assert unharmed(page)


def test_a_frame_in_a_notebook_holds_any_label(chromium):
    context = chromium.new_context(offline=True)
    page = context.new_page()
    page.set_content(Page(hostile())._repr_html_())
    frame = page.frame_locator("iframe")
    frame.locator("html[data-ready]").wait_for(state="attached")
    assert page.evaluate("globalThis.hacked") is None
    assert page.locator("iframe").count() == 1
    assert page.locator("script").count() == 0
    context.close()


def test_messages_from_elsewhere_change_nothing(page_of):
    page = page_of(Value(2.0, "a") * Value(3.0, "b"))
    before = cards(page)
    page.evaluate("window.postMessage({ glassgrad: 'set', values: [[0, 'x'], [99, 1], [-1, 2], [2, 5], null] }, '*')")
    page.evaluate("window.postMessage({ glassgrad: 'set', values: 3 }, '*'); window.postMessage('glassgrad', '*')")
    page.wait_for_timeout(50)
    assert cards(page) == before
