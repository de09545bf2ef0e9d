"""Makes the pages' pictures by the pages' own code: `python docs/make_images.py`, after a change to what draws.

The picture of the page is a photograph, taken in a Chromium by Playwright: without them it stays as it is.
"""

import contextlib
import io
import re
import shutil
import tempfile
from pathlib import Path

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
        photograph(to_html(loss, "lecture.html"), IMAGES / "viewer.png")


def lecture() -> Value:
    """The first graph of Karpathy's lecture, with its gradients."""
    a, b, c, f = Value(2, "a"), Value(-3, "b"), Value(10, "c"), Value(-2, "f")
    e = a * b
    d = e + c
    loss = d * f
    e.label, d.label, loss.label = "e", "d", "L"
    loss.backward()
    return loss


def photograph(page: str, path: Path) -> None:
    """Write a picture of the page with the inspector open on `a` and its path lit up."""
    try:
        from PIL import Image
        from playwright.sync_api import sync_playwright
    except ImportError:
        print(f"{path.name} stays as it is: pip install playwright pillow")
        return
    chromium = next(filter(None, map(shutil.which, ["chromium", "google-chrome", "chromium-browser"])), None)
    if chromium is None:
        print(f"{path.name} stays as it is: no Chromium found")
        return
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=chromium, args=["--headless", "--no-sandbox", "--disable-gpu"]
        )
        view = browser.new_page(viewport={"width": 1120, "height": 760}, device_scale_factor=2)
        view.goto(Path(page).absolute().as_uri())
        view.wait_for_selector("html[data-ready]")
        view.click(".card:has(text.label:text-is('a'))")
        view.locator("#gg-panel").evaluate("(panel) => panel.scrollTo(0, 300)")
        view.hover("[data-path='0']")
        photo = Image.open(io.BytesIO(view.screenshot()))
        browser.close()
    # 64 colours are all that the page has in this picture, and a fifth of the bytes.
    photo.convert("RGB").quantize(64, dither=Image.Dither.NONE).save(path, optimize=True)


if __name__ == "__main__":
    main()
