"""Makes the READMEs' pictures by the READMEs' own code: `python docs/make_images.py`, after a change to what draws."""

import contextlib
import re
import shutil
import tempfile
from pathlib import Path

from glassgrad import Graph
from glassgrad.viz import svg

IMAGES = Path(__file__).resolve().parent / "images"
README = IMAGES.parents[1] / "README.md"


def main() -> None:
    """Write both pictures into docs/images."""
    names = {}
    with tempfile.TemporaryDirectory() as folder, contextlib.chdir(folder):
        for block in re.findall(r"```python\n(.*?)```", README.read_text(encoding="utf-8"), re.DOTALL):
            exec(block, names)
            if "partials=True).render" in block:
                # Our own renderer whether or not Graphviz is installed: the file must not depend on the machine.
                picture = svg.draw(Graph.of(names["c"]), partials=True)
                (IMAGES / "article.svg").write_text(picture, encoding="utf-8")
        shutil.copy("moons.png", IMAGES)


if __name__ == "__main__":
    main()
