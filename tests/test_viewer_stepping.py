"""The row below the picture: forward, then backward, one contribution at a time."""

from __future__ import annotations

import pytest
from viewing import card, cards, do, step_to, text, until

TOTAL = 10  # three operations, the seed, six contributions


@pytest.fixture
def page(lecture):
    """The page at its first step."""
    step_to(lecture, 0)
    return lecture


def gradients(page):
    return {name: grad for name, (_, grad) in cards(page).items()}


def at(page):
    return int(page.locator("#gg-step").input_value())


def test_the_steps_are_counted_out(page):
    assert int(page.locator("#gg-step").get_attribute("max")) == TOTAL


def test_at_the_start_only_leaves_have_values(page):
    values = {name: value for name, (value, _) in cards(page).items()}
    assert {name: value for name, value in values.items() if value != "·"} == {
        "a": "2",
        "b": "-3",
        "c": "10",
        "f": "-2",
    }
    assert set(gradients(page).values()) == {"—"}


def test_each_forward_step_shows_one_more_value(page):
    for step in range(1, 4):
        before = cards(page)
        do(page, "next")
        after = cards(page)
        assert at(page) == step
        assert len([name for name in after if before[name] != after[name]]) == 1
    assert cards(page)["L"] == ("-8", "—")
    assert "(−6 + 10)" not in text(page, "#gg-sentence")
    assert "= -8" in text(page, "#gg-sentence")


def test_each_backward_step_changes_exactly_one_operands_gradient(page):
    step_to(page, 4)
    assert gradients(page)["L"] == "+1"
    changed = []
    for _ in range(TOTAL - 4):
        before = gradients(page)
        do(page, "next")
        after = gradients(page)
        assert {name: value for name, (value, _) in cards(page).items()}.get("L") == "-8"
        [name] = [name for name in after if before[name] != after[name]]
        changed.append(name)
    assert sorted(changed) == sorted(set(changed))
    assert "L" not in changed
    assert {name: gradients(page)[name] for name in "abcf"} == {"a": "+6", "b": "-4", "c": "-2", "f": "+4"}


def test_a_step_says_what_it_adds(page):
    step_to(page, TOTAL - 1)
    assert text(page, "#gg-sentence") == "∂L/∂a += ∂L/∂n2 · ∂n2/∂a = (-2) · (-3) = 6  (was 0, now 6)".replace("  ", " ")
    assert page.locator("#gg-step").get_attribute("aria-valuetext").startswith("∂L/∂a += ")


def test_a_step_marks_its_line_and_its_two_cards(page):
    step_to(page, TOTAL - 1)
    assert page.locator("#gg-stage path.lit").count() == 1
    assert page.locator(".card.active").count() == 2
    assert "active" in card(page, "a").get_attribute("class")
    step_to(page, 0)
    assert page.locator("#gg-stage path.lit").count() == 0
    assert page.locator(".card.active").count() == 0


def test_going_back_to_the_start_restores_it_exactly(page):
    def picture():
        return page.locator("#gg-stage > svg").inner_html(), text(page, "#gg-sentence")

    pictures = [picture()]
    for _ in range(TOTAL):
        do(page, "next")
        pictures.append(picture())
    for step in reversed(range(TOTAL)):
        do(page, "back")
        assert picture() == pictures[step], f"step {step}"
    assert at(page) == 0


def test_steps_end_at_both_ends(page):
    do(page, "back")
    assert at(page) == 0
    do(page, "last")
    do(page, "next")
    assert at(page) == TOTAL
    do(page, "first")
    assert at(page) == 0


def test_the_scrubber_answers_home_end_and_arrows(page):
    page.locator("#gg-step").focus()
    for key, step in [("End", TOTAL), ("ArrowLeft", TOTAL - 1), ("Home", 0), ("ArrowRight", 1)]:
        page.keyboard.press(key)
        assert at(page) == step
    page.keyboard.press("End")
    assert gradients(page)["a"] == "+6"


def test_the_scrubber_can_be_dragged(page):
    box = page.locator("#gg-step").bounding_box()
    middle = box["y"] + box["height"] / 2
    page.mouse.move(box["x"] + 8, middle)
    page.mouse.down()
    seen = []
    for part in range(1, 11):
        page.mouse.move(box["x"] + 8 + part / 10 * (box["width"] - 16), middle)
        seen.append(at(page))
    page.mouse.up()
    assert seen == list(range(1, TOTAL + 1))


def test_comma_and_full_stop_step_on_the_stage(page):
    page.locator("#gg-stage").focus()
    page.keyboard.press(".")
    page.keyboard.press(".")
    assert at(page) == 2
    page.keyboard.press(",")
    assert at(page) == 1


def test_playing_goes_to_the_end_and_can_be_paused(page):
    play = page.locator('[data-do="play"]')
    assert play.get_attribute("aria-label") == "Play"
    step_to(page, TOTAL - 3)
    play.click()
    assert play.get_attribute("aria-label") == "Pause"
    until(page, f"document.querySelector('#gg-step').value === '{TOTAL - 2}'")
    play.click()
    assert play.get_attribute("aria-label") == "Play"
    play.click()
    until(page, "document.querySelector('[data-do=play]').getAttribute('aria-label') === 'Play'")
    assert at(page) == TOTAL
    assert gradients(page)["b"] == "-4"


def test_an_edit_while_stepping_shows_the_new_numbers_and_the_steps_follow(page):
    step_to(page, 3)
    card(page, "b").click()
    page.locator("#gg-edit").fill("5")
    assert cards(page)["L"] == ("-40", "+1")
    step_to(page, TOTAL)
    assert {name: gradients(page)[name] for name in "abcf"} == {"a": "-10", "b": "-4", "c": "-2", "f": "+20"}
    do(page, "reset")
    step_to(page, TOTAL)
    assert gradients(page)["a"] == "+6"
