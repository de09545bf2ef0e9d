"""What is in sight: groups that open and close in place, constants and sums that are folded away, search."""

from __future__ import annotations

import pytest
from browser import opened
from pictures import differentiated, g1, g2, g3
from viewing import camera, card, cards, do, in_menu, settled, text, until

from glassgrad import Value, scope
from glassgrad.graph import Graph


def network():
    """Two layers in scopes, with values that are easy to see again."""
    x = Value(1.5, "x")
    with scope("one"):
        with scope("left"):
            a = (x * 2).tanh()
            a.label = "a"
        with scope("right"):
            b = x * Value(3.0, "w")
            b.label = "b"
    with scope("two"):
        y = a * b
        y.label = "y"
    return differentiated(y)


@pytest.fixture(scope="module")
def small(chromium):
    with opened(chromium, network()) as page:
        yield page


@pytest.fixture
def page(small):
    """The network with all groups open."""
    in_menu(small, 0, '[data-do="open-all"]')
    settled(small)
    return small


def frames(page):
    settled(page)
    return page.evaluate("[...document.querySelectorAll('.frame .caption')].map((caption) => caption.textContent)")


def labelled(page):
    return {name: numbers for name, numbers in cards(page).items() if not name.startswith("gg-")}


def named(page):
    return set(labelled(page))


def close(page, name):
    page.locator(f".frame .close:has(text:text-is('{name}'))").click()
    settled(page)


# ---- opening and closing -------------------------------------------------------------------------------------------


def test_small_graphs_open_with_everything_in_sight(page):
    assert sorted(frames(page)) == ["left", "one", "right", "two"]
    assert {"x", "a", "b", "w", "y"} <= named(page)


def test_a_group_closes_by_its_name_and_opens_again_where_it_is(page):
    before = labelled(page)
    box = page.locator(".frame:has(text:text-is('left'))").bounding_box()
    close(page, "left")
    assert sorted(frames(page)) == ["one", "right", "two"]
    assert "a" not in named(page)
    assert "left" in named(page)
    closed = card(page, "left").locator(".face").bounding_box()
    assert abs(closed["x"] - box["x"]) <= 2
    assert abs(closed["y"] - box["y"]) <= 2
    card(page, "left").click()
    assert labelled(page) == before


def test_closing_everything_leaves_the_outermost_groups(page):
    in_menu(page, 0, '[data-do="close-all"]')
    assert frames(page) == []
    assert named(page) == {"x", "one", "two"}


def test_what_is_inside_a_frame_lies_inside_it_and_nothing_overlaps(page):
    boxes = page.evaluate("""() => {
      const box = (e) => { const r = e.getBoundingClientRect(); return [r.left, r.top, r.right, r.bottom]; };
      return [
        [...document.querySelectorAll(".card")].map((c) => box(c.querySelector(".face"))),
        [...document.querySelectorAll(".frame > rect")].map(box),
      ];
    }""")
    apart = lambda p, q: p[2] <= q[0] or q[2] <= p[0] or p[3] <= q[1] or q[3] <= p[1]  # noqa: E731
    within = lambda p, q: p[0] >= q[0] and p[1] >= q[1] and p[2] <= q[2] and p[3] <= q[3]  # noqa: E731
    shown, around = boxes
    for k, one in enumerate(shown):
        assert all(apart(one, other) for other in shown[k + 1 :])
        assert all(within(one, frame) or apart(one, frame) for frame in around)


def test_a_network_opens_collapsed_and_a_neuron_stays_where_it_is_when_it_opens(page_of):
    loss = differentiated(g2())
    page = page_of(loss)
    shown = page.evaluate("performance.getEntriesByName('first-contentful-paint')[0].startTime")
    took = page.evaluate("performance.now()")
    assert shown < took < 3 * 1000  # the goal is 1000; three times that, because other work may keep the machine busy
    assert len(cards(page)) < 80
    neuron = page.locator(".card.group:has(text:text-is('neuron7'))").first
    before = neuron.locator(".face").bounding_box()
    zoom = camera(page)[2]
    neuron.click()
    settled(page)
    after = page.locator(".frame:has(text:text-is('neuron7')) > rect").first.bounding_box()
    assert camera(page)[2] == zoom
    assert abs(after["x"] - before["x"]) <= 2
    assert abs(after["y"] - before["y"]) <= 2
    close(page, "neuron7")
    again = page.locator(".card.group:has(text:text-is('neuron7'))").first.locator(".face").bounding_box()
    assert abs(again["x"] - before["x"]) <= 2
    assert abs(again["y"] - before["y"]) <= 2


def test_opening_everything_can_be_taken_back_at_once_and_cancelled(page_of):
    page = page_of(differentiated(g3()))
    at_first = cards(page)
    in_menu(page, 0, '[data-do="open-all"]')
    in_menu(page, 0, '[data-do="close-all"]')
    assert cards(page) == at_first
    assert page.locator("#gg-stage canvas").is_hidden()
    in_menu(page, 0, '[data-do="open-all"]')
    page.locator('[data-do="cancel"]').click()
    assert cards(page) == at_first
    assert page.locator("#gg-busy").is_hidden()
    card(page, "layer3").click()  # what was open before is open still
    until(page, "document.querySelectorAll('.frame').length === 1")


# ---- folding away --------------------------------------------------------------------------------------------------


def chain():
    """Sums of products with constants among them."""
    xs = [Value(float(i + 1), f"x{i}") for i in range(4)]
    total = xs[0] * 2 + xs[1] * 3 + xs[2] + xs[3]
    total.label = "t"
    y = total * 5
    y.label = "y"
    return differentiated(y)


def test_constants_can_be_hidden_and_the_numbers_stay_right(page_of):
    page = page_of(chain())
    before = labelled(page)
    assert page.locator(".card.const").count() == 3
    in_menu(page, 0, '[data-option="hideConstants"]')
    settled(page)
    assert page.locator(".card.const").count() == 0
    card(page, "x1").click()
    page.locator("#gg-edit").fill("10")
    shown = cards(page)
    assert shown["t"] == ("39", "+5")
    assert shown["y"] == ("195", "+1")
    do(page, "reset")
    page.locator("details.menu summary").first.click()
    page.locator('[data-option="hideConstants"]').click()
    assert labelled(page) == before
    assert page.locator(".card.const").count() == 3


def test_sums_can_be_folded_and_the_numbers_stay_right(page_of):
    page = page_of(chain())
    count = len(cards(page))
    in_menu(page, 0, '[data-option="foldSums"]')
    shown = cards(page)
    assert len(shown) == count - 2  # three additions in a row are one
    assert shown["t"] == ("15", "+5")
    assert {name: grad for name, (_, grad) in shown.items() if name[0] == "x"} == {
        "x0": "+10", "x1": "+15", "x2": "+5", "x3": "+5",
    }  # fmt: skip
    card(page, "x0").click()
    assert text(page, "#gg-grad") == "10"
    page.locator(".path").hover()
    assert page.locator("path.lit").count() == 1


# ---- search --------------------------------------------------------------------------------------------------------


def found(page):
    return page.locator("#gg-found bdi").all_inner_texts()


@pytest.fixture(scope="module")
def numbered(chromium):
    xs = [Value(float(i), f"x{i}") for i in range(120)]
    with scope("deep/inside"):
        total = sum(xs[1:], xs[0]).tanh()
    total.label = "Answer"
    with opened(chromium, total) as page:
        yield page


def test_an_exact_label_comes_first(numbered):
    numbered.locator("#gg-search").fill("x1")
    assert found(numbered)[0] == "x1"
    assert len(found(numbered)) == 12
    assert numbered.locator("#gg-search").get_attribute("aria-expanded") == "true"


@pytest.mark.parametrize(
    ("words", "first"), [("answer", "Answer"), ("tanh", "Answer"), ("n0", "x0"), ("deep", "Answer")]
)
def test_labels_operations_numbers_and_scopes_are_found(numbered, words, first):
    numbered.locator("#gg-search").fill(words)
    assert first in found(numbered)


def test_what_is_found_is_chosen_with_the_arrows_and_shown(numbered):
    field = numbered.locator("#gg-search")
    field.fill("x11")
    names = found(numbered)
    field.press("ArrowDown")
    assert numbered.locator('#gg-found [aria-selected="true"] bdi').inner_text() == names[1]
    assert field.get_attribute("aria-activedescendant") == "gg-found-1"
    field.press("ArrowUp")
    field.press("ArrowUp")
    assert numbered.locator('#gg-found [aria-selected="true"] bdi').inner_text() == names[-1]
    field.press("Enter")
    assert text(numbered, "#gg-panel-title") == names[-1]
    assert numbered.locator("#gg-found").is_hidden()
    box, stage = [numbered.locator(which).bounding_box() for which in (".card.selected .face", "#gg-stage")]
    assert stage["x"] <= box["x"] <= stage["x"] + stage["width"] - box["width"]
    assert stage["y"] <= box["y"] <= stage["y"] + stage["height"] - box["height"]


def test_nothing_found_is_said_and_escape_closes(numbered):
    field = numbered.locator("#gg-search")
    field.fill("nowhere")
    assert text(numbered, "#gg-found") == "nothing found"
    field.press("Enter")
    field.press("Escape")
    assert numbered.locator("#gg-found").is_hidden()


def test_a_value_in_a_closed_group_is_found_and_its_groups_open(small):
    in_menu(small, 0, '[data-do="close-all"]')
    small.locator("#gg-search").fill("w")
    small.keyboard.press("Enter")
    assert sorted(frames(small)) == ["one", "right"]
    assert text(small, "#gg-panel-title") == "w"
    assert "selected" in card(small, "w").get_attribute("class")


# ---- many boxes ----------------------------------------------------------------------------------------------------


def test_no_group_shows_more_than_400_boxes(js):
    xs = [Value(float(i)) for i in range(3000)]
    raw = Graph.of(sum(xs[1:], xs[0])).to_json()
    counts = js(
        """(g, text) => {
          const tree = g.buildGroups(g.readGraph(JSON.parse(text)));
          return [tree.root, ...tree.all].map((group) => group.nodes.length + group.groups.length);
        }""",
        raw,
    )
    assert max(counts) <= 400
    assert len(counts) > 10


def test_a_lecture_without_scopes_has_no_groups(page_of):
    page = page_of(g1())
    assert frames(page) == []
    in_menu(page, 0, '[data-do="close-all"]')
    assert len(cards(page)) == 7
