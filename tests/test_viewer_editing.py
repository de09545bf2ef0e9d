"""Changing a leaf on the page: everything follows at once, and nothing is lost."""

from __future__ import annotations

import math
import random
import re

import pytest
from pictures import differentiated, g1
from viewing import card, cards, centre, do, drag, text

import glassgrad
from glassgrad import Value

START = {"a": ("2", "+6"), "b": ("-3", "-4"), "c": ("10", "-2"), "f": ("-2", "+4"), "L": ("-8", "+1")}
EDITED = {"a": ("2", "-10"), "b": ("5", "-4"), "c": ("10", "-2"), "f": ("-2", "+20"), "L": ("-40", "+1")}


@pytest.fixture
def page(lecture):
    """The lecture's graph with nothing changed and b in the inspector."""
    for name in "abcf":
        card(lecture, name).click()
        if lecture.locator('[data-do="reset"]').is_enabled():
            do(lecture, "reset")
    card(lecture, "b").click()
    return lecture


def labelled(page):
    return {name: numbers for name, numbers in cards(page).items() if not name.startswith("gg-")}


def test_everything_follows_an_edit_at_once(page):
    took = page.evaluate("""() => {
      const box = document.getElementById("gg-edit");
      const start = performance.now();
      box.value = "5";
      box.dispatchEvent(new Event("input", { bubbles: true }));
      document.querySelector("#gg-stage svg").getBoundingClientRect(); // laid out, too
      return performance.now() - start;
    }""")
    assert labelled(page) == EDITED
    assert took < 100
    assert text(page, "#gg-value") == "5"
    assert text(page, "#gg-grad") == "-4"


def test_reset_restores_everything(page):
    before = page.locator("#gg-stage > svg").inner_html()
    page.locator("#gg-edit").fill("5")
    assert page.locator("#gg-stage > svg").inner_html() != before
    do(page, "reset")
    assert page.locator("#gg-stage > svg").inner_html() == before
    assert page.locator("#gg-edit").input_value() == "-3"
    assert page.locator('[data-do="reset"]').is_disabled()


def test_what_is_typed_stays_as_it_is_typed(page):
    box = page.locator("#gg-edit")
    box.click()
    page.keyboard.press("Control+A")
    page.keyboard.type("12.50")
    assert box.input_value() == "12.50"
    assert labelled(page)["b"] == ("12.5", "-4")
    page.keyboard.press("ArrowLeft")
    page.keyboard.press("ArrowLeft")
    page.keyboard.press("Backspace")
    assert box.input_value() == "1250"
    assert labelled(page)["b"][0] == "1250"
    box.fill("1e-3")
    assert box.input_value() == "1e-3"
    assert labelled(page)["b"][0] == "0.001"


@pytest.mark.parametrize("nonsense", ["abc", "1e", "0x10", "1,5", "1e999", "--1", "nan"])
def test_what_is_no_number_is_refused_and_the_last_valid_value_stays(page, nonsense):
    page.locator("#gg-edit").fill("5")
    page.locator("#gg-edit").fill(nonsense)
    assert labelled(page) == EDITED
    assert page.locator("#gg-edit").get_attribute("aria-invalid") == "true"
    assert text(page, "#gg-edit-error") == f"Not a number: {nonsense}. The last valid value stays."
    page.locator("#gg-edit").fill("5")
    assert page.locator("#gg-edit").get_attribute("aria-invalid") is None
    assert text(page, "#gg-edit-error") == ""


@pytest.mark.parametrize(("typed", "shown"), [("−4", "-4"), (" 7 ", "7"), ("+.5", "0.5"), ("-0", "0"), ("1E3", "1000")])
def test_numbers_may_be_written_in_several_ways(page, typed, shown):
    page.locator("#gg-edit").fill(typed)
    assert labelled(page)["b"][0] == shown


def test_the_slider_moves_the_value_all_along_a_drag(page):
    box = page.locator("[data-slide]").bounding_box()
    middle = box["y"] + box["height"] / 2
    page.mouse.move(box["x"] + box["width"] / 2, middle)
    page.mouse.down()
    seen = []
    for part in (0.6, 0.75, 0.9):
        page.mouse.move(box["x"] + part * box["width"], middle)
        seen.append(float(page.locator("#gg-edit").input_value()))
    page.mouse.up()
    assert -3 < seen[0] < seen[1] < seen[2] <= 3
    assert seen[2] > 1.5
    a = float(labelled(page)["a"][1])
    assert a == pytest.approx(-2 * seen[2], rel=1e-3)


def test_the_slider_answers_keys(page):
    page.locator("[data-slide]").focus()
    page.keyboard.press("End")
    assert labelled(page)["b"][0] == "3"
    page.keyboard.press("Home")
    assert labelled(page)["b"][0] == "-9"
    assert page.evaluate("document.activeElement.dataset.slide") is not None


def test_the_handle_beside_the_box_can_be_dragged(page):
    drag(page, centre(page.locator("[data-scrub]")), (100, 0), steps=10)
    assert float(page.locator("#gg-edit").input_value()) == pytest.approx(-3 + 100 * 6 / 200)
    drag(page, centre(page.locator("[data-scrub]")), (-100, 0), steps=10)
    assert labelled(page) == START


def test_edits_of_several_leaves_add_up_and_are_reset_one_by_one(page):
    page.locator("#gg-edit").fill("5")
    card(page, "f").click()
    page.locator("#gg-edit").fill("1")
    assert labelled(page)["L"] == ("20", "+1")
    do(page, "reset")
    assert labelled(page) == EDITED


def test_the_difference_is_taken_at_the_edited_numbers(page):
    page.locator("#gg-edit").fill("5")
    card(page, "f").click()
    do(page, "check")
    assert re.search(r"changes the result by (19\.99|20)\S* per unit", text(page, "#gg-check"))


def test_focus_stays_where_it_is_after_a_reset(page):
    page.locator("#gg-edit").fill("5")
    page.locator('[data-do="reset"]').press("Enter")
    assert page.evaluate("document.activeElement.closest('#gg-panel') !== null")


def test_before_backward_an_edit_computes_the_gradients(page_of):
    page = page_of(g1())
    card(page, "b").click()
    page.locator("#gg-edit").fill("5")
    assert labelled(page) == EDITED
    do(page, "reset")
    assert {grad for _, grad in cards(page).values()} == {"—"}


def test_an_edit_to_where_a_result_is_undefined_shows_nan_and_recovers(page_of):
    x = Value(2.0, "x")
    y = x.log() * 3
    y.label = "y"
    page = page_of(differentiated(y))
    before = cards(page)
    card(page, "x").click()
    page.locator("#gg-edit").fill("-1")
    assert cards(page)["y"][0] == "nan"
    assert "undefined or infinite" in text(page, "#gg-edit-error")
    page.locator("#gg-edit").fill("2")
    assert cards(page) == before
    assert text(page, "#gg-edit-error") == ""


@pytest.mark.parametrize("start", [math.nan, math.inf, -math.inf, 1.7e308, 5e-324, 0.0])
def test_any_float_can_be_edited(page_of, start):
    with glassgrad.allow_nonfinite():
        x = Value(start, "x")
        y = x * 2
        y.label = "y"
    page = page_of(y)
    card(page, "x").click()
    slider = page.locator("[data-slide]")
    least, most = float(slider.get_attribute("min")), float(slider.get_attribute("max"))
    assert math.isfinite(least)
    assert math.isfinite(most)
    assert least < most
    before = cards(page)
    page.locator("#gg-edit").fill("4")
    assert cards(page)["y"] == ("8", "+1")
    assert float(slider.input_value()) == pytest.approx(max(least, min(4, most)))
    do(page, "reset")
    assert cards(page) == before
    drag(page, centre(page.locator("[data-scrub]")), (-20, 0))
    assert math.isfinite(float(page.locator("#gg-edit").input_value()))
    do(page, "reset")
    assert cards(page) == before


def test_what_a_hand_written_operation_uses_cannot_be_edited_and_the_page_says_why(page_of):
    x, w = Value(2.0, "x"), Value(3.0, "w")
    out = Value(x.data**3, (x,), "cube")

    def back():
        x.grad += 3 * x.data**2 * out.grad

    out._backward = back
    loss = out * w
    loss.label = "loss"
    loss.backward()
    page = page_of(loss)
    card(page, "x").click()
    assert page.locator("#gg-edit").count() == 0
    assert "an operation that uses it is written in Python" in text(page, "#gg-panel")
    assert text(page, "#gg-grad") == "36"
    card(page, "w").click()
    page.locator("#gg-edit").fill("5")
    assert cards(page)["loss"][0] == "40"


def test_a_large_graph_follows_an_edit_as_python_would(page_of):
    random.seed(3)
    xs = [Value(random.uniform(-1, 1), f"x{i}") for i in range(6)]
    layer = xs
    for _ in range(5):
        layer = [(a * b + c).tanh() for a in layer[:3] for b, c in [(layer[3], layer[-1]), (layer[-2], a)]]
    loss = sum(layer[1:], layer[0])
    loss.label = "loss"
    page = page_of(loss)
    page.locator("#gg-search").fill("x2")
    page.keyboard.press("Enter")
    page.locator("#gg-edit").fill("0.625")
    xs[2].data = 0.625
    layer = xs
    for _ in range(5):
        layer = [(a * b + c).tanh() for a in layer[:3] for b, c in [(layer[3], layer[-1]), (layer[-2], a)]]
    again = sum(layer[1:], layer[0])
    again.backward()
    assert float(text(page, "#gg-grad")) == pytest.approx(xs[2].grad, rel=1e-12)


# ---- a record of training ------------------------------------------------------------------------------------------


RECORD = {
    "steps": [0, 10, 20],
    "losses": [-8.0, 0.5, 4.0],
    "ids": [0, 1],
    "values": [[2.0, -3.0], [1.0, -1.0], [0.5, 4.0]],
    "grads": [[6.0, -4.0], [2.0, -2.0], [-8.0, -1.0]],
}


def test_an_empty_field_keeps_the_last_valid_value(page):
    page.locator("#gg-edit").fill("5")
    page.locator("#gg-edit").fill("")
    assert labelled(page) == EDITED
    assert text(page, "#gg-edit-error") == "An empty field is no number. The last valid value stays."


def test_a_training_slider_moves_weights_and_gradients(page_of):
    page = page_of(differentiated(g1()), training=RECORD)
    slider = page.locator("#gg-epoch")
    assert text(page, "#gg-training p") == "training step 20, loss 4"  # what the training has come to
    assert labelled(page)["a"] == ("0.5", "-8")
    card(page, "b").click()
    slider.fill("1")
    assert text(page, "#gg-training p") == "training step 10, loss 0.5"
    assert labelled(page)["a"] == ("1", "+2")
    assert labelled(page)["b"] == ("-1", "-2")
    assert "-1" in text(page, ".spark-title >> nth=0")
    slider.fill("2")
    assert labelled(page)["b"] == ("4", "-1")
    assert labelled(page)["L"] == ("-24", "+1")
    assert slider.get_attribute("aria-valuetext") == "training step 20, loss 4"
    page.locator("#gg-edit").fill("5")
    assert labelled(page)["L"] == ("-25", "+1")
    do(page, "reset")
    assert labelled(page)["b"][0] == "4"


def test_what_was_typed_into_a_weight_gives_way_to_the_record(page_of):
    page = page_of(differentiated(g1()), training=RECORD)
    card(page, "b").click()
    page.locator("#gg-edit").fill("5")
    page.locator("#gg-epoch").fill("1")
    assert labelled(page)["b"] == ("-1", "-2")


def test_a_record_that_does_not_fit_is_refused_with_the_reason(page_of):
    page = page_of(g1(), training=RECORD | {"ids": [0, 99]}, ready=".fatal")
    assert "names a value that is no leaf of the graph" in text(page, ".fatal")
