"""For everybody: with a keyboard only, in dark and in forced colours, with eyes that see no red or no colour at all."""

from __future__ import annotations

import io
import itertools
import re

import pytest
from browser import needed, opened
from pictures import differentiated, g1, g2
from viewing import card, do, settled, text

from glassgrad import Value

MODES = {"light": {}, "dark": {"scheme": "dark"}, "forced colours": {"forced_colors": True}}


# ---- axe -----------------------------------------------------------------------------------------------------------


def check(page, where):
    """axe-core finds nothing at all wrong with the page as it is now."""
    found = needed("axe_playwright_python.sync_playwright").Axe().run(page).response["violations"]
    lines = [f"{v['id']} ({v['impact']}): {[node['html'][:120] for node in v['nodes']]}" for v in found]
    assert lines == [], where


@pytest.mark.parametrize("mode", MODES)
def test_axe_finds_nothing_wrong_whatever_is_open(page_of, mode):
    page = page_of(differentiated(g1()), training=RECORD, **MODES[mode])
    check(page, "as it opens")
    card(page, "a").click()
    check(page, "with the inspector")
    page.locator("#gg-edit").fill("abc")
    check(page, "with an invalid number")
    for k in (0, 1):
        page.locator("details.menu summary").nth(k).click()
        check(page, f"with menu {k}")
    page.locator("#gg-search").fill("a")
    check(page, "with search results")
    page.locator("#gg-search").fill("nowhere")
    check(page, "with no search results")
    page.keyboard.press("Escape")
    do(page, "next")
    do(page, "back")
    check(page, "while stepping")
    do(page, "help")
    check(page, "with the help")


RECORD = {
    "steps": [0, 1],
    "losses": [1.0, 0.5],
    "ids": [0],
    "values": [[1.0], [2.0]],
    "grads": [[5.0], [6.0]],
}


# ---- keyboard ------------------------------------------------------------------------------------------------------


@pytest.fixture
def page(lecture):
    """The lecture's graph as it was opened, with the focus nowhere."""
    lecture.locator("#gg-stage").press("Escape")
    lecture.evaluate("document.activeElement.blur()")
    return lecture


FOCUS = """
() => {
  const element = document.activeElement;
  const style = getComputedStyle(element);
  const name = element.id || element.dataset.do || element.dataset.say || element.textContent;
  return [name, style.outlineStyle, parseFloat(style.outlineWidth)];
}
"""


def test_every_control_is_reached_by_tab_with_its_focus_in_sight_and_none_is_a_trap(page):
    card(page, "a").click()
    page.evaluate("document.activeElement.blur()")
    page.locator("#gg-search").focus()
    seen = []
    for _ in range(60):
        name, style, width = page.evaluate(FOCUS)
        if name in seen and name == "gg-search":
            break
        if page.evaluate("document.activeElement !== document.body"):
            seen.append(name)
            assert style != "none", name
            assert width >= 2, name
        page.keyboard.press("Tab")
    wanted = ["gg-search", "zoom-out", "fit", "zoom-in", "menu.view", "menu.export", "language", "help", "gg-stage"]
    wanted += ["close-panel", "gg-edit", "check", "first", "back", "play", "next", "last", "gg-step"]
    assert [name for name in seen if name in wanted] == wanted
    for _ in range(len(seen)):
        page.keyboard.press("Shift+Tab")
        assert page.evaluate(FOCUS)[0] in [*seen, page.evaluate("document.body.textContent")]


def test_a_reader_without_a_mouse_looks_around_asks_steps_and_closes(page):
    while page.evaluate("document.activeElement.id") != "gg-stage":
        page.keyboard.press("Tab")
    page.keyboard.press("ArrowLeft")  # nothing is selected: the result
    assert text(page, "#gg-live") == "L, result, data -8, gradient +1"
    assert page.locator(".card.selected").count() == 1
    page.keyboard.press("ArrowLeft")
    assert text(page, "#gg-live") == "n4, operation, data 4, gradient -2"
    page.keyboard.press("ArrowLeft")
    page.keyboard.press("ArrowLeft")
    assert text(page, "#gg-live") == "a, leaf, data 2, gradient +6"
    page.keyboard.press("ArrowDown")
    assert text(page, "#gg-live").startswith("b, leaf")
    page.keyboard.press("ArrowUp")
    assert text(page, "#gg-live").startswith("a, leaf")
    assert page.locator("#gg-panel").is_hidden()
    selected = page.locator(".card.selected").get_attribute("id")
    assert page.locator("#gg-stage").get_attribute("aria-activedescendant") == selected
    page.keyboard.press("Enter")
    assert page.evaluate("document.activeElement.id") == "gg-panel-title"
    assert text(page, "#gg-panel-title") == "a"
    page.keyboard.press("Escape")
    assert page.locator("#gg-panel").is_hidden()
    assert page.evaluate("document.activeElement.id") == "gg-stage"
    page.keyboard.press("ArrowRight")
    assert text(page, "#gg-live").startswith("n2, operation")
    page.keyboard.press(",")
    assert page.locator("#gg-step").input_value() == "9"
    page.keyboard.press("Escape")
    assert page.locator(".card.selected").count() == 0


def test_all_operands_and_all_consumers_can_be_reached(page_of):
    a, b, c = Value(1.0, "a"), Value(2.0, "b"), Value(3.0, "c")
    p, q = a * b, a * c
    p.label, q.label = "p", "q"
    y = p + q
    y.label = "y"
    page = page_of(differentiated(y))
    stage = page.locator("#gg-stage")
    seen = set()
    for keys in (["ArrowLeft"], ["ArrowLeft", "ArrowLeft"], ["ArrowLeft", "ArrowLeft", "ArrowDown"]):
        stage.press("Escape")
        for key in keys:
            stage.press(key)
        seen.add(text(page, "#gg-live").split(",")[0])
    assert seen == {"y", "p", "q"}


def test_groups_open_and_close_by_keyboard(page_of):
    page = page_of(differentiated(g2()))
    stage = page.locator("#gg-stage")
    for _ in range(3):
        stage.press("ArrowLeft")
    assert text(page, "#gg-live") == "group neuron0, 19 values, closed"
    closed = page.locator(".frame").count()
    stage.press("Enter")
    settled(page)
    assert page.locator(".frame").count() == closed + 1


def test_menus_open_and_close_by_keyboard_and_give_the_focus_back(page):
    summary = page.locator("details.menu summary").first
    summary.focus()
    page.keyboard.press("Enter")
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.dataset.option") == "hideConstants"
    page.keyboard.press("Escape")
    assert page.locator("details[open]").count() == 0
    assert page.evaluate("document.activeElement.dataset.say") == "menu.view"
    page.keyboard.press("Enter")
    page.locator('[data-do="open-all"]').press("Enter")
    assert page.locator("details[open]").count() == 0
    assert page.evaluate("document.activeElement.dataset.say") == "menu.view"


def test_the_help_opens_and_closes_and_names_the_keys(page):
    page.locator('[data-do="help"]').press("Enter")
    assert page.locator("#gg-help").is_visible()
    words = page.locator("#gg-help").inner_text()
    assert all(key in words for key in ("←", "Enter", "Esc", "Home End"))
    page.keyboard.press("Escape")
    assert not page.locator("#gg-help").is_visible()
    assert page.evaluate("document.activeElement.dataset.do") == "help"


def test_a_number_is_changed_and_checked_by_keyboard(page):
    page.locator("#gg-stage").focus()
    page.keyboard.press("/")
    page.keyboard.type("b")
    page.keyboard.press("Enter")
    assert text(page, "#gg-panel-title") == "b"
    page.locator("#gg-panel-title").focus()
    while page.evaluate("document.activeElement.id") != "gg-edit":
        page.keyboard.press("Tab")
    page.keyboard.press("Control+A")
    page.keyboard.type("5")
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")  # reset
    assert page.locator("#gg-edit").input_value() == "-3"


# ---- colours -------------------------------------------------------------------------------------------------------


def signs():
    """A positive gradient, a negative one, a zero, and one that nobody computed."""
    plus, minus, zero = Value(1.0, "plus"), Value(1.0, "minus"), Value(1.0, "zero")
    y = plus - minus + zero * 0.0
    y.label = "y"
    y.backward()
    unknown = Value(1.0, "none")
    z = unknown * 1.5
    z.label = "z"
    return [y, z]


@pytest.fixture(scope="module")
def signed(chromium):
    with opened(chromium, signs()) as page:
        yield page


@pytest.mark.parametrize("deficiency", ["none", "deuteranopia", "protanopia", "achromatopsia"])
def test_signs_differ_for_all_eyes(signed, deficiency):
    from PIL import Image, ImageChops, ImageStat

    session = signed.context.new_cdp_session(signed)
    session.send("Emulation.setEmulatedVisionDeficiency", {"type": deficiency})
    pictures = {}
    for name in ("plus", "minus", "zero"):
        box = card(signed, name).bounding_box()
        # The lower half: its gradient and the bar.
        clip = {"x": box["x"] + 40, "y": box["y"] + box["height"] / 2, "width": 90, "height": box["height"] / 2}
        pictures[name] = Image.open(io.BytesIO(signed.screenshot(clip=clip))).convert("L")
    session.send("Emulation.setEmulatedVisionDeficiency", {"type": "none"})
    for one, other in itertools.combinations(pictures, 2):
        difference = ImageChops.difference(pictures[one], pictures[other])
        assert ImageStat.Stat(difference).mean[0] > 1, (one, other)  # in grey, of 255


def test_signs_are_words_and_dashes_and_not_colours_alone(signed):
    grads = {name: card(signed, name).locator(".grad").inner_html() for name in ("plus", "minus", "zero", "none")}
    assert grads == {"plus": "+1", "minus": "−1", "zero": "0", "none": "—"}
    dashes = {
        sign: signed.locator(f".line.{sign}").first.evaluate("(line) => getComputedStyle(line).strokeDasharray")
        for sign in ("plus", "minus", "zero", "none")
    }
    assert dashes["plus"] == "none"
    assert len({dashes["plus"], dashes["minus"], dashes["zero"]}) == 3
    sides = {}
    for name in ("plus", "minus"):
        bar, tick = [card(signed, name).locator(kind).bounding_box() for kind in (".bar", ".tick")]
        sides[name] = bar["x"] + bar["width"] / 2 > tick["x"]
    assert sides == {"plus": True, "minus": False}


@pytest.mark.parametrize("mode", MODES)
def test_signs_differ_in_every_scheme(page_of, mode):
    page = page_of(signs(), **MODES[mode])
    lengths = {
        name: float(card(page, name).locator(".bar").get_attribute("width")) for name in ("plus", "minus", "zero")
    }
    assert min(lengths["plus"], lengths["minus"]) > 10
    assert lengths["zero"] == 0
    assert card(page, "none").locator(".bar").count() == 0
    face = card(page, "plus").locator(".face").evaluate("(face) => getComputedStyle(face).fill")
    ink = card(page, "plus").locator(".grad").evaluate("(grad) => getComputedStyle(grad).fill")
    assert face != ink


def test_nothing_moves_by_itself_where_motion_is_not_wanted(page_of):
    page = page_of(differentiated(g1()), reduced_motion=True)
    assert page.evaluate(
        "[...document.querySelectorAll('*')].every((e) => parseFloat(getComputedStyle(e).transitionDuration) === 0)"
    )
    assert page.evaluate("document.getAnimations().length") == 0


@pytest.mark.parametrize("size", [(320, 560), (390, 800), (761, 500)])
def test_on_a_small_screen_nothing_runs_off_it(page_of, size):
    page = page_of(differentiated(g1()), size=size, training=RECORD)
    card(page, "a").click()
    assert page.evaluate("document.documentElement.scrollWidth") == size[0]
    wide = """(all) => all.filter((e) => e.getBoundingClientRect().right > innerWidth + 1).map((e) => e.outerHTML)"""
    assert page.locator("button, input, summary, #gg-sentence").evaluate_all(wide) == []
    assert page.locator("#gg-stage").bounding_box()["height"] > 60


# ---- languages -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("locale", "words"), [("en-GB", "View"), ("zh-CN", "视图"), ("zh-TW", "视图"), ("fr-FR", "View")]
)
def test_the_page_speaks_the_browsers_language_if_it_can(page_of, locale, words):
    page = page_of(g1(), locale=locale)
    assert text(page, "summary >> nth=0") == words
    assert page.locator("html").get_attribute("lang") == ("zh-CN" if locale.startswith("zh") else "en")


def test_the_language_can_be_switched_and_everything_follows(page_of):
    page = page_of(differentiated(g1()))
    card(page, "a").click()
    do(page, "next")
    english = page.locator("#gg-app").inner_text()
    do(page, "language")
    chinese = page.locator("#gg-app").inner_text()
    assert page.locator("html").get_attribute("lang") == "zh-CN"
    latin = set(re.findall(r"[A-Za-z]{3,}", chinese))
    assert latin <= {"glassgrad", "English", "SVG", "PNG", "Home", "End", "Enter", "Esc"}  # names of things
    assert "梯度" in chinese
    assert text(page, "#gg-panel-title") == "a"
    do(page, "language")
    assert page.locator("#gg-app").inner_text() == english


def test_after_opening_a_group_by_keyboard_one_stands_on_its_result(page_of):
    page = page_of(differentiated(g2()))
    page.locator("#gg-stage").focus()
    for key in ("ArrowRight", "ArrowLeft", "ArrowLeft"):
        page.keyboard.press(key)
    heard = text(page, "#gg-live")
    assert heard.startswith("group neuron0")
    page.keyboard.press("Enter")
    settled(page)
    page.wait_for_function("() => !document.querySelector('#gg-live').textContent.startsWith('group')")
    seen = {text(page, "#gg-live")}
    for _ in range(2):
        current = page.locator("#gg-stage").get_attribute("aria-activedescendant")
        assert page.locator(f"#{current}").count() == 1
        page.keyboard.press("ArrowLeft")
        seen.add(text(page, "#gg-live"))
    assert len(seen) == 3  # its sum, its product, a weight


def test_the_keys_of_the_page_work_before_the_stage_is_touched(page_of):
    page = page_of(differentiated(g1()))
    page.keyboard.press(",")
    assert "−3" in page.locator("#gg-sentence").inner_text() or "(−" in page.locator("#gg-sentence").inner_text()
    page.keyboard.press("?")
    assert page.locator("#gg-help").is_visible()
    page.keyboard.press("Escape")
    page.locator("#gg-help").wait_for(state="hidden")
    page.keyboard.press("/")
    page.wait_for_function("() => document.activeElement.id === 'gg-search'")
    page.keyboard.type("a,?")
    assert page.locator("#gg-search").input_value() == "a,?"
    assert not page.locator("#gg-help").is_visible()
