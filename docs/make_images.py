"""Makes the pictures that the READMEs show: `python docs/make_images.py`, after a change to the viewer or the plots."""

import tempfile
from pathlib import Path

from glassgrad import Graph, Value, demo
from glassgrad.viz import svg

IMAGES = Path(__file__).parent / "images"


def main() -> None:
    """Write both pictures into docs/images."""
    a, b = Value(2.0, "a"), Value(3.0, "b")
    c = a * b**2
    c.label = "c"
    c.backward()
    # Our own renderer whether or not Graphviz is installed: the file must not depend on the machine.
    (IMAGES / "article.svg").write_text(svg.draw(Graph.of(c), partials=True), encoding="utf-8")
    with tempfile.TemporaryDirectory() as folder:
        demo.run(folder)
        (IMAGES / "moons.png").write_bytes(Path(folder, demo.BOUNDARY).read_bytes())


if __name__ == "__main__":
    main()
