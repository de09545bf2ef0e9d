"""Pictures that the page saves: they stand alone, look as the page does, and have the size they promise."""

from __future__ import annotations

import io
import re
import xml.etree.ElementTree as ET
from pathlib import Path

import pytest
from browser import listen, opened
from pictures import SVG, differentiated, g1, g2
from viewing import card, in_menu, settled, text


@pytest.fixture(scope="module")
def lecture(chromium):
    with opened(chromium, differentiated(g1())) as page:
        yield page


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


def drawn(chromium, svg, scheme="light"):
    """How Chromium draws an SVG that is opened as a file of its own, at twice the size."""
    root = ET.fromstring(svg)
    width, height = (float(root.get(name)) for name in ("width", "height"))
    context = chromium.new_context(
        offline=True,
        color_scheme=scheme,
        device_scale_factor=2,
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
    png, _ = saved(page, "png")
    assert max(picture(png).size) <= 16_000
    assert text(page, "#gg-live") == ""


def test_in_print_there_is_the_picture_and_no_buttons(lecture):
    lecture.emulate_media(media="print")
    assert lecture.locator(".tools").is_hidden()
    assert lecture.locator("footer").is_hidden()
    assert card(lecture, "L").is_visible()
    lecture.emulate_media(media="screen")
