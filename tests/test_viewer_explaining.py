"""The inspector: what a gradient is, why it is that, and what it is when nobody has computed it."""

from __future__ import annotations

import dataclasses
import re

import pytest
from browser import opened
from pictures import differentiated, g1, g5
from viewing import card, cards, do, text

import glassgrad
from glassgrad import Graph, Value


@pytest.fixture(scope="module")
def threefold(chromium):
    with opened(chromium, differentiated(g5())) as page:
        card(page, "x").click()
        yield page


def stages(page):
    """The three stages of the explanation, without the layout of fractions."""
    return [
        re.sub(r"\s+", "", words).replace("−", "-")
        for words in page.locator(".stages > li > .math:not(.rule)").all_inner_texts()
    ]


# ---- the chain rule ------------------------------------------------------------------------------------------------


def test_a_gradient_is_explained_from_symbols_to_numbers_to_the_product(lecture):
    card(lecture, "a").click()
    symbols, local, product = stages(lecture)
    assert symbols == "∂L/∂a=∂L/∂n2·∂n2/∂a"
    assert local == "=∂L/∂n2·(-3)"
    assert product == "=(-2)·(-3)=6"
    assert "∂n2/∂a=b=-3" in re.sub(r"\s+", "", text(lecture, ".rule"))


def test_the_path_multiplies_all_its_local_derivatives(lecture):
    card(lecture, "a").click()
    assert lecture.locator(".path").count() == 1
    assert text(lecture, ".path .names") == "L ← n4 ← n2 ← a"
    assert re.sub(r"\s+", "", text(lecture, ".path .math")) == "(-2)·1·(-3)=6"


def test_the_panel_shows_the_gradient_with_all_its_digits(page_of):
    a, b = Value(0.1, "a"), Value(0.7, "b")
    loss = ((a * b).tanh() + a / 3) ** 3
    loss.backward()
    page = page_of(loss)
    for leaf in (a, b):
        card(page, leaf.label).click()
        assert float(text(page, "#gg-grad")) == leaf.grad
        assert float(text(page, "#gg-value")) == leaf.data
        total = stages(page)[2].split("=")[-1]
        assert float(total) == pytest.approx(leaf.grad, rel=1e-5)


def test_operands_and_consumers_can_be_followed(lecture):
    card(lecture, "a").click()
    lecture.locator(".links button").click()
    assert text(lecture, "#gg-panel-title") == "n2"
    assert lecture.locator(".links button").all_inner_texts()[0].split() == ["a", "2", "−3"]
    lecture.locator(".links button").first.click()
    assert text(lecture, "#gg-panel-title") == "a"


def test_the_difference_confirms_the_chain_rule(lecture):
    card(lecture, "a").click()
    lecture.locator('[data-do="check"]').click()
    found = re.search(
        r"changes the result by (\S+) per unit. The chain rule says (\S+): they differ by (\S+)\.",
        text(lecture, "#gg-check"),
    )
    assert float(found[1]) == pytest.approx(6, abs=1e-6)
    assert float(found[2]) == 6
    assert float(found[3]) < 1e-6


def test_the_result_explains_itself_without_a_chain(lecture):
    card(lecture, "L").click()
    assert text(lecture, "#gg-grad") == "1"
    assert lecture.locator(".why").count() == 0


# ---- paths ---------------------------------------------------------------------------------------------------------


def test_all_paths_are_listed_and_their_sum_is_the_gradient(threefold):
    paths = [
        float(words.split("=")[-1].replace("−", "-")) for words in threefold.locator(".path .math").all_inner_texts()
    ]
    assert sorted(paths) == [1, 2, 6]
    assert text(threefold, ".total") == "Sum over all paths: 9"
    assert text(threefold, "#gg-grad") == "9"
    assert cards(threefold)["x"] == ("3", "+9")


LIT = """
() => {
  const end = (path) => path.getPointAtLength(path.getTotalLength());
  const near = (p, q) => Math.hypot(p.x - q.x, p.y - q.y) < 0.5;
  const pieces = (document.querySelector("#gg-stage path.lit")?.getAttribute("d") ?? "").split(/(?=M)/).filter(Boolean);
  const lines = [...document.querySelectorAll("#gg-stage [data-line]")];
  return pieces.map((d) => {
    const path = document.createElementNS("http://www.w3.org/2000/svg", "path");
    path.setAttribute("d", d);
    return lines.filter((line) => near(end(line), end(path))).map((line) => Number(line.dataset.line));
  });
}
"""


def lit(page):
    """The numbers of the lines that are highlighted; each of them ends at a place of its own."""
    found = page.evaluate(LIT)
    assert all(len(lines) == 1 for lines in found)
    return [line for [line] in found]


def test_hovering_a_path_highlights_exactly_its_lines(threefold):
    by_path = []
    for path in threefold.locator(".path").all():
        path.hover()
        names = path.locator(".names").inner_text().split(" ← ")
        by_path.append(set(lit(threefold)))
        assert len(by_path[-1]) == len(lit(threefold)) == len(names) - 1
    assert len(by_path) == 3
    assert set.union(*by_path) == set(range(threefold.locator("[data-line]").count())) - constant_lines(threefold)
    assert all(a != b for a in by_path for b in by_path if a is not b)
    threefold.mouse.move(5, 5)
    assert lit(threefold) == []


def constant_lines(page):
    """Lines along which no gradient goes: they are on no path."""
    return set(
        page.evaluate("[...document.querySelectorAll('[data-line].none')].map((line) => Number(line.dataset.line))")
    )


def test_a_clicked_path_stays_highlighted_until_another_value_is_looked_at(threefold):
    threefold.locator(".path").first.click()
    threefold.mouse.move(5, 5)
    assert lit(threefold) != []
    card(threefold, "y").click()
    assert lit(threefold) == []
    card(threefold, "x").click()
    threefold.locator(".path").nth(1).hover()
    threefold.mouse.move(5, 5)
    assert lit(threefold) == []


def test_focus_highlights_a_path_too(threefold):
    threefold.locator(".path").nth(0).focus()
    assert lit(threefold) != []
    threefold.locator("#gg-panel-title").focus()
    assert lit(threefold) == []


def test_many_paths_are_counted_and_the_largest_listed(page_of):
    x = Value(1.0, "x")
    y = x
    for _ in range(70):
        y = y + y * 0.5
    y.backward()
    page = page_of(y)
    card(page, "x").click()
    assert page.locator(".path").count() == 10
    assert str(2**70) in re.sub(r"\D", "", text(page, ".why .note"))
    assert float(text(page, ".total").split(":")[1]) == pytest.approx(x.grad, rel=1e-5)
    assert float(text(page, "#gg-grad")) == x.grad


# ---- what nobody computed ------------------------------------------------------------------------------------------


def test_before_backward_a_gradient_is_not_computed(page_of):
    page = page_of(g1())
    assert {grad for _, grad in cards(page).values()} == {"—"}
    card(page, "a").click()
    assert text(page, "#gg-grad") == "not computed"
    assert "Nobody has called backward() yet" in text(page, "#gg-panel")
    assert page.locator(".line.plus, .line.minus, .line.zero").count() == 0
    assert page.locator(".card .bar").count() == 0


def test_a_gradient_of_zero_is_not_the_same_as_none(page_of):
    x, unused = Value(3.0, "x"), Value(0.0, "w")
    y = x * unused * 0 + x
    y.backward()
    page = page_of(y)
    assert cards(page)["w"] == ("0", "0")
    card(page, "w").click()
    assert text(page, "#gg-grad") == "0"


def test_after_two_passes_the_panel_explains_that_gradients_add_up(page_of):
    loss = g1()
    loss.backward()
    loss.backward()
    page = page_of(loss)
    assert cards(page)["a"] == ("2", "+12")
    card(page, "a").click()
    words = text(page, ".accumulated")
    assert "Before the last pass it held 6; that pass added 6; now it is 12." in words
    assert stages(page)[2] == "=(-2)·(-3)=6"


def test_constants_say_that_they_collect_none(page_of):
    x = Value(2.0, "x")
    k = Value(5.0, "k", requires_grad=False)
    page = page_of(differentiated(x * k))
    card(page, "k").click()
    assert "A constant collects no gradient." in text(page, "#gg-panel")


def test_a_value_that_the_result_does_not_depend_on_says_so(page_of):
    x, w = Value(2.0, "x"), Value(3.0, "w")
    y, z = x * 2, w * 3
    y.label, z.label = "y", "z"
    y.backward()
    page = page_of([y, z])
    card(page, "w").click()
    assert "No gradient reaches it: the result does not depend on it." in text(page, "#gg-panel")


# ---- numbers that are none -----------------------------------------------------------------------------------------


def test_nan_and_infinity_are_shown_as_such(page_of):
    with glassgrad.allow_nonfinite():
        x, z = Value(0.0, "x"), Value(1e200, "z")
        bad = x.log() * 0 + z * z * x.sqrt()
        bad.label = "bad"
        bad.backward()
    page = page_of(bad)
    shown = cards(page)
    assert shown["bad"][0] == "nan"
    assert shown["x"][1] == "+inf"
    card(page, "x").click()
    assert text(page, "#gg-value") == "0"
    card(page, "bad").click()
    assert text(page, "#gg-value") == "nan"
    card(page, "z").click()
    page.locator("#gg-edit").fill("2")
    page.locator('[data-do="last"]').click()
    page.locator('[data-do="first"]').click()


def test_tensors_have_shapes_and_no_invented_numbers(page_of):
    shapes = {0: (64, 128), 6: (64, 1)}
    graph = dataclasses.replace(Graph.of(differentiated(g1())), shapes=shapes, notes={6: "stands for 64 scalars"})
    page = page_of(graph)
    assert cards(page)["L"][0] == "[64×1]"
    card(page, "L").click()
    assert "stands for 64 scalars" in text(page, "#gg-panel")
    assert text(page, "#gg-panel .math >> nth=0").replace("\n", " ").count("=") == 1
    do(page, "first")
    do(page, "next")
    assert "-6" not in text(page, "#gg-sentence")
    card(page, "b").click()
    assert "works on tensors" in text(page, "#gg-panel")
