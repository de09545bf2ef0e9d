"""animate: an SVG that moves in a real browser and ends at the gradients, its still picture, GIFs, what is refused."""

from __future__ import annotations

import re
import subprocess
import sys
import xml.etree.ElementTree as ET

import pytest
from conftest import environment
from pictures import HOSTILE, SVG, cards, g1

import glassgrad
from glassgrad import DrawingError, Graph, OperandError, Value, animate
from glassgrad.viz.animate import MAX_STEPS
from glassgrad.viz.cards import exponents
from glassgrad.viz.motion import Track
from glassgrad.viz.steps import signed


def g5():
    x = Value(3, "x")
    y = x**2 + 2 * x + x
    y.label = "y"
    return y


def neuron():
    x1, x2, w1, w2, b = [Value(v, n) for v, n in ((2, "x1"), (0, "x2"), (-3, "w1"), (1, "w2"), (6.88, "b"))]
    o = (x1 * w1 + x2 * w2 + b).tanh()
    o.label = "o"
    return o


def texts(svg):
    """What is visible, in order: nothing inside of something that is not displayed, or has no opacity."""

    def below(element):
        if element.get("display") == "none" or element.get("opacity") == "0":
            return
        if element.tag == f"{SVG}text":
            yield element.text
        for child in element:
            yield from below(child)

    return list(below(ET.fromstring(svg)))


@pytest.mark.parametrize("make", [g1, g5, neuron])
@pytest.mark.parametrize("rankdir", ["LR", "TB"])
@pytest.mark.parametrize("lang", ["en", "zh"])
def test_the_still_picture_shows_every_value_and_the_gradients_of_backward(make, rankdir, lang):
    root = make()
    animation = animate(root, rankdir=rankdir, lang=lang)
    root.backward()
    after = Graph.of(root)
    told = texts(animation.svg)
    shown = [i for i in range(len(after)) if i not in exponents(after)]
    for i, card in zip(shown, cards(animation.svg), strict=True):
        numbers = [signed(after.values[i])]
        if after.requires_grad[i]:
            numbers.append(signed(after.grads[i]))
        found = texts(ET.tostring(card, encoding="unicode"))
        assert [text for text in found if text[-1].isdigit() and text[0] in "−0123456789"] == numbers
    assert told == texts(animation.still())
    assert "—" not in told


def test_contributions_along_the_edges_of_a_card_add_up_to_its_gradient():
    told = texts(animate(g5()).svg)
    assert {"+6", "+2", "+1"} <= set(told)
    assert {"×6", "×2", "×1"} <= set(told)
    assert "All gradients are known: ∂y/∂x = 9" in told


def test_at_every_moment_the_cards_show_what_the_steps_know():
    animation = animate(g1())
    film = animation._film
    for moment in film.moments[:-1]:
        told = texts(animation.still(moment.end - 0.01))
        known = [signed(g) for g, k in zip(moment.state.grads, moment.state.known, strict=True) if k]
        shown = [signed(v) for v, s in zip(film.graph.values, moment.state.shown, strict=True) if s]
        gone = len(film.graph) - len(known)
        assert told.count("—") == gone
        picture = animation.still(moment.end - 0.01)
        on_cards = [text for card in cards(picture) for text in texts(ET.tostring(card, encoding="unicode"))]
        numbers = [text for text in on_cards if re.fullmatch("−?[0-9]+", text)]
        assert sorted(numbers) == sorted(known + shown)
        assert moment.phase in told
        assert " ".join(moment.told.split()) in [" ".join(text.split()) for text in told]


def test_the_start_shows_leaves_only_and_the_number_of_steps_is_that_of_the_graph():
    animation = animate(g1())
    assert animation.steps == 10
    told = texts(animation.still(0.0))
    assert [text for text in told if re.fullmatch("−?[0-9]+", text)] == ["2", "−3", "10", "−2"]
    assert told.count("—") == 7
    assert len(animation._film.moments) == 13  # the start, ten steps, and two pauses


def test_the_picture_is_valid_needs_nothing_from_outside_and_says_what_it_shows():
    svg = animate(g1()).svg
    root = ET.fromstring(svg)
    assert root.find(f"{SVG}title").text == "Graph of L"
    assert "∂L/∂a = 6" in root.find(f"{SVG}desc").text
    assert not re.search(r"<script|<image|href|url\(|@import|\sid=|\son\w+=", svg)
    assert svg.count("@keyframes") > 20


def test_the_bytes_are_the_same_in_every_process():
    code = (
        "from glassgrad import Value, animate; a, b = Value(2, 'a'), Value(-3, 'b'); c = (a * b + a).tanh();"
        "import hashlib; print(hashlib.sha256(animate(c).svg.encode()).hexdigest())"
    )
    found = set()
    for seed in ("1", "2", "3"):
        variables = environment("interpreted" if not glassgrad.COMPILED else "compiled") | {"PYTHONHASHSEED": seed}
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, env=variables)
        found.add(done.stdout)
    assert len(found) == 1


def test_backward_before_or_after_changes_nothing_and_no_gradient_is_touched():
    one = g1()
    before = animate(one)
    assert one.grad == 0.0
    one.backward()
    one.backward()  # leaves accumulate: the animation still shows one sweep
    assert animate(one).svg == before.svg


def test_pictures_of_one_page_do_not_share_names():
    one, other = animate(g1()).svg, animate(g5()).svg
    names = [set(re.findall(r"@keyframes (\S+?)\{", svg)) for svg in (one, other)]
    assert names[0]
    assert not names[0] & names[1]
    assert animate(g1(), speed=2).svg != one


def test_speed_and_loop():
    assert animate(g1(), speed=2).seconds == pytest.approx(animate(g1()).seconds / 2)
    assert "linear infinite" in animate(g1()).svg
    once = animate(g1(), loop=False)
    assert "linear 1 forwards" in once.svg
    assert texts(once.still(once.seconds)) == texts(once.still())
    looping = animate(g1())
    assert texts(looping.still(looping.seconds)) == texts(looping.still(0.0))


def test_fixed_themes_ignore_the_reader():
    assert animate(g1()).svg.count("prefers-color-scheme") == 1
    assert "prefers-color-scheme" not in animate(g1(), theme="dark").svg
    assert "#10151f" in animate(g1(), theme="dark").svg
    assert "#10151f" not in animate(g1(), theme="light").svg


@pytest.mark.parametrize("lang", ["en", "zh"])
def test_hostile_labels_never_break_the_picture(lang):
    a = Value(2.0, HOSTILE[0])
    for k in range(0, len(HOSTILE), 3):
        total = a
        for text in HOSTILE[k : k + 3]:
            total = total * Value(1.5, text)
        total.label = HOSTILE[k]
        svg = animate(total, lang=lang).svg
        root = ET.fromstring(svg)
        assert {element.tag.removeprefix(SVG) for element in root.iter()} <= {
            *("svg", "title", "desc", "style", "rect", "g", "path", "text")
        }
        assert float(root.get("width")) < 4000
        assert not re.search(
            "[\x00-\x08\x0b-\x1f\ufffe\uffff\u202e]", re.sub("<title>.*?</title>", "", svg, flags=re.DOTALL)
        )


def test_odd_numbers_and_graphs_are_shown():
    with glassgrad.allow_nonfinite():
        x = Value(0.0, "x")
        root = glassgrad.where(x > 0, glassgrad.log(x), x * 2.0)
        svg = animate(root).svg
    ET.fromstring(svg)
    assert texts(animate(Value(3.0, "x")).svg).count("1") == 1
    y = Value(1.0, "y")
    ET.fromstring(animate(y * y).svg)
    ET.fromstring(animate(glassgrad.sum([Value(float(k), f"x{k}") for k in range(30)])).svg)


def test_tags_and_cards_do_not_overlap():
    for root in (g1(), g5(), neuron()):
        for rankdir in ("LR", "TB"):
            svg = animate(root, rankdir=rankdir).svg
            boxes = []
            for g in ET.fromstring(svg).iter(f"{SVG}g"):
                if re.match("gg-(slope|share)", g.get("class", "")) and "animation" in g.get("style", ""):
                    rect = g.find(f"{SVG}rect")
                    boxes.append([float(rect.get(k)) for k in ("x", "y", "width", "height")])
            for card in cards(svg):
                x, y = map(float, re.findall("[-0-9.]+", card.get("transform")))
                rect = next(card.iter(f"{SVG}rect"))
                boxes.append([x, y, float(rect.get("width")), float(rect.get("height"))])
            for i, (x, y, w, h) in enumerate(boxes):
                for u, v, p, q in boxes[:i]:
                    assert x + w <= u or u + p <= x or y + h <= v or v + q <= y


def test_a_track_is_linear_between_its_points():
    track = Track("opacity", ((1.0, 0.0), (2.0, 1.0), (4.0, 0.5)), 1.0)
    assert [track.at(t) for t in (0, 1, 1.5, 2, 3, 4, 9)] == [0, 0, 0.5, 1, 0.75, 0.5, 0.5]


def test_an_operation_written_by_hand_is_shown_with_what_backward_found():
    x = Value(2.0, "x")
    out = Value(6.0, (x,), "triple")
    out._backward = lambda: setattr(x, "grad", x.grad + 3.0 * out.grad)
    out.label = "out"
    with pytest.raises(DrawingError, match="call backward"):
        animate(out * 2.0)
    root = out * 2.0
    root.backward()
    told = texts(animate(root).svg)
    assert "6" in told
    assert "All gradients are known: ∂n3/∂x = 6" in told


# Files -----------------------------------------------------------------------------------------------------------


def test_it_writes_a_file_and_says_which(tmp_path):
    path = tmp_path / "deep" / "backprop.svg"
    animation = animate(g1(), path)
    assert animation.path == str(path)
    assert path.read_text(encoding="utf-8") == animation.svg == animation._repr_svg_()
    assert [p.name for p in path.parent.iterdir()] == ["backprop.svg"]
    assert repr(animation) == "Animation('L': 10 steps, 33 s)"
    assert animate(g1()).path is None


def test_a_gif_has_the_frames_and_the_length_of_the_animation(tmp_path):
    image_module = pytest.importorskip("PIL.Image")
    pytest.importorskip("resvg_py")
    a = Value(2.0, "a")
    animation = animate(a * 3.0, tmp_path / "x.gif", scale=0.5)
    with image_module.open(tmp_path / "x.gif") as image:
        times = animation._times()
        # Frames that look the same are one.
        assert len(animation._film.moments) < image.n_frames <= len(times)
        assert image.info["loop"] == 0
        lasting, first = 0, image.convert("RGB").getpixel((40, 4))
        for k in range(image.n_frames):
            image.seek(k)
            lasting += image.info["duration"]
        assert lasting == pytest.approx(1000 * animation.seconds, abs=20)
        assert first == (0xF8, 0xFA, 0xFC)
        width = float(re.search(r'width="([\d.]+)"', animation.svg)[1])
        assert image.width == pytest.approx(width / 2, abs=1)


def test_many_steps_have_fewer_frames_while_something_moves():
    x = Value(1.0, "x")
    y = x
    for _ in range(70):
        y = y.tanh()
    animation = animate(y)
    times = animation._times()
    assert len(times) <= 460
    assert sum(seconds for _, seconds in times) == pytest.approx(animation.seconds)


def test_without_the_extra_a_gif_says_what_to_install(monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, "resvg_py", None)
    with pytest.raises(DrawingError, match=r"pip install 'glassgrad\[gif\]'"):
        animate(g1(), tmp_path / "x.gif")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", ["x.mp4", "x", "x.svg.gz", "x.png"])
def test_other_endings_are_refused(tmp_path, name):
    with pytest.raises(DrawingError, match=r"writes \.svg and \.gif"):
        animate(g1(), tmp_path / name)


def test_what_cannot_be_written_is_refused_and_leaves_nothing(tmp_path):
    (tmp_path / "folder.svg").mkdir()
    with pytest.raises(DrawingError, match="it is a folder"):
        animate(g1(), tmp_path / "folder.svg")
    (tmp_path / "file").write_text("x")
    with pytest.raises(DrawingError, match="cannot write"):
        animate(g1(), tmp_path / "file" / "x.svg")
    assert sorted(p.name for p in tmp_path.iterdir()) == ["file", "folder.svg"]
    with pytest.raises(OperandError, match="writes to a path"):
        animate(g1(), 7)


# Refusals --------------------------------------------------------------------------------------------------------


def test_too_many_steps_are_refused_with_the_ways_out_before_anything_is_drawn():
    x = Value(1.0, "x")
    y = x
    for _ in range(MAX_STEPS):
        y = y + x
    with pytest.raises(DrawingError, match=f"takes {3 * MAX_STEPS + 1} steps; .* up to {MAX_STEPS}") as caught:
        animate(y)
    for way in ("nearer to the leaves", "dot(ws, xs)", "draw_dot(root)", "max_steps=..."):
        assert way in str(caught.value)
    for _ in range(100_000):
        y = y + 1.0
    with pytest.raises(DrawingError, match="more than 1,500"):
        animate(y)
    assert animate(x + x, max_steps=4).steps == 4


@pytest.mark.parametrize(
    ("option", "message"),
    [
        ({"lang": "fr"}, "'en' or 'zh'"),
        ({"rankdir": "RL"}, "'LR' .* or 'TB'"),
        ({"theme": "sepia"}, "'auto', 'light' or 'dark'"),
        ({"speed": 0}, "from 0.05 to 20"),
        ({"speed": "fast"}, "from 0.05 to 20"),
        ({"speed": float("nan")}, "from 0.05 to 20"),
        ({"max_steps": True}, "whole number"),
        ({"max_steps": 0}, "whole number"),
    ],
)
def test_options_are_checked(option, message):
    with pytest.raises(DrawingError, match=message):
        animate(g1(), **option)


@pytest.mark.parametrize("scale", [0, -1, float("inf"), "2", True, 50])
def test_the_scale_of_a_gif_is_checked(tmp_path, scale):
    pytest.importorskip("PIL")
    pytest.importorskip("resvg_py")
    with pytest.raises(DrawingError, match=r"positive number|too large"):
        animate(g1(), tmp_path / "x.gif", scale=scale)


def test_what_has_no_way_back_or_is_no_root_is_refused():
    with pytest.raises(OperandError, match="shows a Value or a Graph, got int 3"):
        animate(3)
    with pytest.raises(DrawingError, match="one root, and this Graph has 2"):
        animate(Graph.of(Value(1.0), Value(2.0)))
    with glassgrad.no_grad():
        y = Value(1.0) * 2.0
    if not y.requires_grad:
        with pytest.raises(DrawingError, match="requires a gradient"):
            animate(y)
    assert animate(Graph.of(g1())).svg == animate(g1()).svg


# In a browser ----------------------------------------------------------------------------------------------------


def shots(chromium, html, times, **options):
    """Pictures of the page at some moments, and how many animations run in it."""
    page = chromium.new_page(viewport={"width": 900, "height": 400}, **options)
    try:
        page.set_content(html)
        running = page.evaluate("document.getAnimations().length")
        taken = []
        for time in times:
            page.evaluate("t => document.getAnimations().forEach(a => { a.pause(); a.currentTime = 1000 * t; })", time)
            taken.append(page.screenshot())
        return running, taken
    finally:
        page.close()


def test_it_moves_in_a_browser_and_does_not_where_motion_is_not_wanted(chromium):
    animation = animate(g1())
    times = [0.0, animation.seconds / 3, 2 * animation.seconds / 3, animation.seconds - 1]
    running, taken = shots(chromium, animation.svg, times)
    assert running > 50
    assert len(set(taken)) == len(times)
    still, quiet = shots(chromium, animation.svg, times[:2], reduced_motion="reduce")
    assert still == 0
    assert len(set(quiet)) == 1
    # It is the finished picture.
    assert shots(chromium, animation.still(), [0.0])[1] == quiet[:1]


def test_it_moves_inside_an_img_element(chromium, tmp_path):
    animate(g1(), tmp_path / "x.svg", speed=4)
    page = chromium.new_page()
    page.set_content("<p>")
    (tmp_path / "x.html").write_text('<img src="x.svg">')
    page.goto((tmp_path / "x.html").as_uri())
    one = page.screenshot()
    page.wait_for_timeout(1500)
    assert page.screenshot() != one
    page.close()


def test_it_follows_dark_mode_and_pauses_under_the_pointer(chromium):
    svg = animate(g1()).svg
    light = shots(chromium, svg, [20.0])[1]
    assert shots(chromium, svg, [20.0], color_scheme="dark")[1] != light
    page = chromium.new_page()
    page.set_content(svg)
    state = "getComputedStyle(document.querySelector('[style]')).animationPlayState"
    assert page.evaluate(state) == "running"
    page.hover("svg")
    assert page.evaluate(state) == "paused"
    page.close()
