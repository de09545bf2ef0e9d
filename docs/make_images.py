"""Makes the pages' pictures by the pages' own code: `python docs/make_images.py`, after a change to what draws.

Pictures of pages are photographs, taken in a Chromium by Playwright: without them they stay as they are.
"""

import contextlib
import io
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from glassgrad import Graph, Value, animate, to_html
from glassgrad.viz import svg

DOCS = Path(__file__).resolve().parent
IMAGES = DOCS / "images"
PAGES = [DOCS.parent / "README.md", DOCS / "derivatives.md"]


def main() -> None:
    """Write all pictures into docs/images."""
    with tempfile.TemporaryDirectory() as folder, contextlib.chdir(folder):
        for page in PAGES:
            names = {}
            for block in re.findall(r"```python\n(.*?)```", page.read_text(encoding="utf-8"), re.DOTALL):
                exec(block, names)
                for drawn, name in re.findall(r'draw_dot\((.+), partials=True\)\.render\("(\w+)"', block):
                    # Our own renderer whether or not Graphviz is installed: the file must not depend on the machine.
                    roots = eval(drawn, names)
                    graph = Graph.of(roots) if isinstance(roots, Value) else Graph.of(*roots)
                    (IMAGES / f"{name}.svg").write_text(svg.draw(graph, partials=True), encoding="utf-8")
        shutil.copy("moons.png", IMAGES)
        loss = lecture()
        animate(loss, IMAGES / "backprop.svg")
        photograph(to_html(loss, "lecture.html"), IMAGES / "viewer.png", lambda page: ask(page, "a"))
        for example in ("watching", "regression", "ode"):
            subprocess.run([sys.executable, DOCS.parent / "examples" / f"{example}.py"], check=True)
        shutil.copy("neuron.svg", IMAGES)
        for plot in ("regression.png", "ode.png"):
            small(Path(plot).read_bytes(), IMAGES / plot)
        photograph("watching.html", IMAGES / "training.png", along_the_training)


def lecture() -> Value:
    """The first graph of Karpathy's lecture, with its gradients."""
    a, b, c, f = Value(2, "a"), Value(-3, "b"), Value(10, "c"), Value(-2, "f")
    e = a * b
    d = e + c
    loss = d * f
    e.label, d.label, loss.label = "e", "d", "L"
    loss.backward()
    return loss


def ask(page: Any, label: str) -> None:
    """Open the inspector on a value and light up its first path."""
    page.click(f".card:has(text.label:text-is('{label}'))")
    page.locator("#gg-panel").evaluate("(panel) => panel.scrollTo(0, 300)")
    page.hover("[data-path='0']")


def along_the_training(page: Any) -> None:
    """Move the training's slider."""
    page.fill("#gg-epoch", "40")
    page.evaluate("document.activeElement.blur()")


def photograph(page: str, path: Path, act: Callable[[Any], None]) -> None:
    """Write a picture of a page, after what `act` did to it."""
    try:
        from playwright.sync_api import sync_playwright
    except ImportError:
        print(f"{path.name} stays as it is: pip install playwright")
        return
    chromium = next(filter(None, map(shutil.which, ["chromium", "google-chrome", "chromium-browser"])), None)
    if chromium is None:
        print(f"{path.name} stays as it is: no Chromium found")
        return
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=["--headless", "--no-sandbox"])
        view = browser.new_page(viewport={"width": 1120, "height": 760}, device_scale_factor=2)
        view.goto(Path(page).absolute().as_uri())
        view.wait_for_selector("html[data-ready]")
        act(view)
        small(view.screenshot(), path)
        browser.close()


def small(picture: bytes, path: Path) -> None:
    """Write a PNG with 160 colours, which are all that these pictures have, and a third of the bytes."""
    from PIL import Image

    image = Image.open(io.BytesIO(picture)).convert("RGB")
    image.quantize(160, dither=Image.Dither.NONE).save(path, optimize=True)


if __name__ == "__main__":
    main()
