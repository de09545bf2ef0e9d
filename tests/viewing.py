"""For the tests of the page: what it shows, and the gestures of a reader, in a few words each."""

from __future__ import annotations

import time

CARDS = """
() => Object.fromEntries([...document.querySelectorAll("#gg-stage .card")].map((card) => {
  const text = (kind) => (card.querySelector(kind)?.textContent ?? null)?.replaceAll("\u2212", "-") ?? null;
  return [text(".label") ?? card.id, [text(".value"), text(".grad")]];
}))
"""
CAMERA = """
() => {
  const matrix = document.querySelector("#gg-stage > svg > g").transform.baseVal.consolidate().matrix;
  return [matrix.e, matrix.f, matrix.a];
}
"""


def settled(page):
    """Wait until everything in sight is laid out."""
    page.wait_for_selector("#gg-stage:not([aria-busy])")


def cards(page):
    """What stands on each card: {label or id: (value, gradient)}, None for a gradient that a card has no room for."""
    settled(page)
    return {name: tuple(numbers) for name, numbers in page.evaluate(CARDS).items()}


def card(page, label):
    """The card of a labelled Value, or of a closed group."""
    return page.locator(f".card:has(text.label:text-is('{label}'))")


def text(page, selector):
    """The words of an element, with ASCII minus signs."""
    return page.locator(selector).inner_text().replace("\u2212", "-")


def camera(page):
    """Where the picture stands as SVG: x, y, zoom."""
    settled(page)
    return page.evaluate(CAMERA)


def centre(locator):
    """The middle of an element on the screen."""
    box = locator.bounding_box()
    return box["x"] + box["width"] / 2, box["y"] + box["height"] / 2


def drag(page, start, way, steps=5):
    """Press, move, release."""
    page.mouse.move(*start)
    page.mouse.down()
    page.mouse.move(start[0] + way[0], start[1] + way[1], steps=steps)
    page.mouse.up()


def do(page, action):
    """Press the button of an action."""
    page.locator(f'[data-do="{action}"]').first.click()


def in_menu(page, number, what):
    """Open one of the menus and click what is in it."""
    page.locator("details.menu summary").nth(number).click()
    page.locator(f"details.menu[open] {what}").click()


def step_to(page, step):
    """Drag the scrubber to a step."""
    page.locator("#gg-step").fill(str(step))


def until(page, expression, seconds=10.0):
    """Wait for an expression to be true; the page's own policy forbids Playwright's way of asking again and again."""
    deadline = time.monotonic() + seconds
    while not page.evaluate(expression):
        assert time.monotonic() < deadline, f"waited {seconds} s in vain for {expression}"
        page.wait_for_timeout(20)
