"""Makes the pages' pictures by the pages' own code: `python docs/make_images.py`, after a change to what draws."""

import contextlib
import re
import shutil
import tempfile
from pathlib import Path

from glassgrad import Graph, Value
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


if __name__ == "__main__":
    main()
