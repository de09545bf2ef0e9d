"""Pictures that the page saves: they stand alone, look as the page does, and have the size they promise."""

from __future__ import annotations

import io
import math
import random
import re
import xml.etree.ElementTree as ET
from pathlib import Path

import pytest
from browser import listen
from pictures import SVG, differentiated, g2
from viewing import card, in_menu, settled, text

from glassgrad import nn


def saved(page, kind):
    """The file that the page saves as SVG or PNG, and its name."""
    with page.expect_download() as download:
        in_menu(page, 1, f'[data-do="export-{kind}"]')
    return Path(download.value.path()).read_bytes(), download.value.suggested_filename


def picture(data):
    from PIL import Image

    return Image.open(io.BytesIO(data)).convert("RGB")


def difference(one, other):
    """The mean difference of two pictures, of 255."""
    from PIL import ImageChops, ImageStat

    return max(ImageStat.Stat(ImageChops.difference(one, other)).mean)


def unlike(one, other):
    """The share of pixels that differ by more than what a letter's soft edge makes."""
    from PIL import ImageChops

    return sum(ImageChops.difference(one, other).convert("L").histogram()[64:]) / (one.width * one.height)


def drawn(chromium, svg, scheme="light", scale=2):
    """How Chromium draws an SVG that is opened as a file of its own, at twice the size or another."""
    root = ET.fromstring(svg)
    width, height = (float(root.get(name)) for name in ("width", "height"))
    context = chromium.new_context(
        offline=True,
        color_scheme=scheme,
        device_scale_factor=scale,
        viewport={"width": int(width) + 1, "height": int(height) + 1},
    )
    page = context.new_page()
    listen(context, "about:blank")
    page.set_content(f"<style>body {{ margin: 0 }} svg {{ display: block }}</style>{svg.decode()}")
    shot = page.screenshot(clip={"x": 0, "y": 0, "width": int(width), "height": int(height)})
    context.close()
    return picture(shot)


def test_the_svg_stands_alone(lecture):
    data, name = saved(lecture, "svg")
    assert name == "glassgrad.svg"
    root = ET.fromstring(data)
    assert root.tag == f"{SVG}svg"
    assert root.find(f"{SVG}title").text == "Graph of L"
    assert len([g for g in root.iter(f"{SVG}g") if "card" in g.get("class", "").split()]) == 7
    words = data.decode()
    assert set(re.findall(r"https?://[^\"'\s)]+", words)) == {"http://www.w3.org/2000/svg"}
    assert not re.search(r"url\(|@import|href|<script|<foreignObject", words)


def test_the_svg_shows_what_the_page_shows(chromium, lecture):
    data, _ = saved(lecture, "svg")
    mine = drawn(chromium, data)
    assert len(mine.getcolors(1_000_000)) > 50  # it is no blank page
    png = picture(saved(lecture, "png")[0]).crop((0, 0, *mine.size))
    assert difference(mine, png) < 3
    dark = drawn(chromium, data, "dark")
    assert difference(mine, dark) > 100  # it follows the reader's scheme


def test_the_png_has_twice_the_size(lecture):
    svg, _ = saved(lecture, "svg")
    png, name = saved(lecture, "png")
    assert name == "glassgrad.png"
    assert png.startswith(b"\x89PNG")
    root = ET.fromstring(svg)
    assert picture(png).size == tuple(int(2 * float(root.get(side))) for side in ("width", "height"))


def test_the_pictures_show_the_numbers_of_now(lecture):
    card(lecture, "b").click()
    lecture.locator("#gg-edit").fill("5")
    svg, _ = saved(lecture, "svg")
    assert "−40" in svg.decode()
    assert "selected" not in [word for g in ET.fromstring(svg).iter(f"{SVG}g") for word in g.get("class", "").split()]
    lecture.locator('[data-do="reset"]').click()
    assert "−40" not in saved(lecture, "svg")[0].decode()


def test_a_picture_of_many_boxes_is_saved_too(page_of):
    page = page_of(differentiated(g2()))
    in_menu(page, 0, '[data-do="open-all"]')
    settled(page)
    assert page.locator("#gg-stage canvas").is_visible()
    svg, _ = saved(page, "svg")
    root = ET.fromstring(svg)
    assert len([g for g in root.iter(f"{SVG}g") if "card" in g.get("class", "").split()]) > 400
    assert text(page, "#gg-live") == ""
    png, _ = saved(page, "png")
    width, height = picture(png).size
    assert max(width, height) <= 8_000
    assert width * height <= 16_000_000
    assert width / height == pytest.approx(float(root.get("width")) / float(root.get("height")), rel=1e-3)
    assert text(page, "#gg-live") == f"The PNG has {width} × {height} pixels"
    assert page.locator("#gg-busy").is_hidden()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_svg_and_canvas_are_the_same_picture(chromium, page_of, scheme):
    random.seed(3)
    loss = (nn.MLP(2, [11, 11, 11, 1])([1.0, -2.0]) - 1) ** 2
    page = page_of(differentiated(loss), scheme=scheme)
    in_menu(page, 0, '[data-do="open-all"]')
    settled(page)
    svg = saved(page, "svg")[0]
    canvas = picture(saved(page, "png")[0])  # of so many boxes it is painted, not made from the SVG
    root = ET.fromstring(svg)
    width, height = (float(root.get(side)) for side in ("width", "height"))
    # Not canvas.width / width: that is a whole number of pixels, and off by one of them far down the picture.
    scale = min(2, 8000 / max(width, height), math.sqrt(16e6 / (width * height)))
    assert canvas.size == (int(width * scale), int(height * scale))
    assert scale > 0.42  # words are drawn
    drawing = drawn(chromium, svg, scheme, scale)
    for kind in ("root", "const", "leaf", "op"):
        mine = next(g for g in root.iter(f"{SVG}g") if g.get("class", "") == f"card {kind}")
        x, y = (24 + float(place) for place in re.findall(r"[\d.]+", mine.get("transform")))
        around = [max(0, x - 120), max(0, y - 60), x + 120, y + 100]
        pieces = [whole.crop([int(scale * side) for side in around]) for whole in (drawing, canvas)]
        assert len(pieces[0].getcolors(1_000_000)) > 50  # there is something in sight
        assert difference(*pieces) < 3
        assert unlike(*pieces) < 0.01, kind
        face = [int(scale * (x + 45)), int(scale * (y + (25 if kind == "const" else 24)))]  # between two lines of text
        faces = [whole.getpixel(tuple(face)) for whole in (drawing, canvas)]
        assert max(abs(one - other) for one, other in zip(*faces, strict=True)) <= 2, (kind, faces)
    heads = re.findall(r"M([\d.]+) ([\d.]+)l-8-4v8z", svg.decode())
    beside = [(int(scale * (float(x) + 24 - 6.5)), int(scale * (float(y) + 24 + 2))) for x, y in heads]
    greys = [whole.convert("L") for whole in (drawing, canvas)]
    pairs = [[grey.getpixel(place) for grey in greys] for place in beside]
    assert len(pairs) > 400
    assert sum(abs(one - other) for one, other in pairs) / len(pairs) < 32  # it is 20, and 47 without arrowheads


def test_a_picture_of_many_boxes_can_be_cancelled(page_of):
    page = page_of(differentiated(g2()))
    in_menu(page, 0, '[data-do="open-all"]')
    settled(page)
    downloads = []
    page.on("download", lambda download: downloads.append(download))
    for kind in ("svg", "png"):
        shown = page.evaluate(
            """(kind) => {
                document.querySelector(`[data-do="export-${kind}"]`).click();
                const shown = !document.querySelector("#gg-busy").hidden;
                document.querySelector('[data-do="cancel"]').click();
                return shown;
            }""",
            kind,
        )
        assert shown
        page.wait_for_selector("#gg-busy", state="hidden")
        page.wait_for_timeout(300)
        assert not downloads
        assert text(page, "#gg-live") == ""
    saved(page, "svg")  # and again without the Cancel
    assert len(downloads) == 1


def test_in_print_there_is_the_picture_and_no_buttons(lecture):
    lecture.emulate_media(media="print")
    assert lecture.locator(".tools").is_hidden()
    assert lecture.locator("footer").is_hidden()
    assert card(lecture, "L").is_visible()
    lecture.emulate_media(media="screen")
