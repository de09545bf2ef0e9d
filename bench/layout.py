"""Layered layout of scalar graphs: glassgrad's in Python and in the browser, and Graphviz's dot.

`python bench/layout.py layout 5` prints JSON: for each network of four sizes what a layout took, the median of 5 rounds
in turns, and how many crossings it left. Times are those of the clock on the wall, since dot and the browser are other
processes. Where there is no dot, no Chromium or no Playwright, its column stays empty and a line on stderr says so.
"""

import itertools
import json
import re
import shutil
import statistics
import subprocess
import sys
import time
from contextlib import ExitStack

from glassgrad import Graph, Value
from glassgrad.viz import bundle
from glassgrad.viz.layout import layout

WIDTH, HEIGHT, GAP, RANK_GAP = 80, 36, 16, 44  # boxes and distances in points, the same for all
NETWORKS = {  # title: layers, samples
    "MLP(2, [6, 5, 1]), one sample": ([2, 6, 5, 1], 1),
    "MLP(2, [16, 16, 1]), one sample": ([2, 16, 16, 1], 1),
    "the same, 2 samples, mean squared error": ([2, 16, 16, 1], 2),
    "the same, 24 samples, mean squared error": ([2, 16, 16, 1], 24),
}
BROWSERS = ["chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome"]
IN_BROWSER = """([n, edges, width, height]) => {
  const sizes = new Float64Array(2 * n).map((_, i) => (i % 2 ? height : width));
  const start = performance.now();
  const plan = layoutGraph(sizes, Int32Array.from(edges));
  return [(performance.now() - start) / 1000, plan.ordering.crossings];
}"""


def network(sizes, samples):
    """The graph of an MLP as micrograd writes it out: a product for every weight, sums two by two, ReLU between layers.

    Of one sample it is the output; of several, the mean of the squared errors.
    """
    weights = [
        [([Value(0.1) for _ in range(before)], Value(0.0)) for _ in range(after)]
        for before, after in itertools.pairwise(sizes)
    ]
    outputs = []
    for _ in range(samples):
        x = [Value(1.0) for _ in range(sizes[0])]
        for layer in weights:
            x = [neuron(w, bias, x, linear=layer is weights[-1]) for w, bias in layer]
        outputs += x
    if samples == 1:
        return Graph.of(*outputs)
    errors = [output - Value(1.0) for output in outputs]
    total = errors[0] * errors[0]
    for error in errors[1:]:
        total = total + error * error
    return Graph.of(total * Value(1 / samples))


def neuron(w, bias, x, *, linear):
    total = bias
    for wi, xi in zip(w, x, strict=True):
        total = total + wi * xi
    return total if linear else total.relu()


# ---- one layout each: seconds, crossings -----------------------------------------------------------------------------


def in_python(graph):
    edges = graph.edges()
    start = time.perf_counter()
    plan = layout([(WIDTH, HEIGHT)] * len(graph), edges, gap=GAP)
    return time.perf_counter() - start, plan.ordering.crossings


def in_browser(browser):
    """A function that lays out in a page of its own, which has compiled nothing yet: as a reader's page does."""

    def run(graph):
        flat = [end for edge in graph.edges() for end in edge]
        page = browser.new_page()
        page.set_content(f'<script type="module">{bundle.script()}\nglobalThis.layoutGraph = layoutGraph;</script>')
        page.wait_for_function("globalThis.layoutGraph !== undefined")
        found = page.evaluate(IN_BROWSER, [len(graph), flat, WIDTH, HEIGHT])
        page.close()
        return found

    return run


def in_dot(limit):
    """A function that runs dot; its crossings are those that it counts itself, once for every pair of edges."""
    number = '"{:.4f}"'.format
    head = (
        f"digraph {{ rankdir=LR; nodesep={number(GAP / 72)}; ranksep={number(RANK_GAP / 72)}; node [shape=box, "
        f'fixedsize=true, label="", width={number(WIDTH / 72)}, height={number(HEIGHT / 72)}];'
    )

    def run(graph):
        lines = [head, *(f"{i};" for i in range(len(graph))), *(f"{a} -> {b};" for a, b in graph.edges()), "}"]
        start = time.perf_counter()
        try:
            done = subprocess.run(
                ["dot", "-v", "-Tplain"],
                input="\n".join(lines),
                capture_output=True,
                text=True,
                check=True,
                timeout=limit,
            )
        except subprocess.TimeoutExpired:
            return None
        seconds = time.perf_counter() - start
        counts = re.findall(r"^mincross .*: (\d+) crossings", done.stderr, re.MULTILINE)
        return seconds, int(counts[-1])

    return run


# ---- the row ---------------------------------------------------------------------------------------------------------


def measure(rounds):
    limit = 60 if rounds > 1 else 10
    result = {"limit": limit, "versions": {}, "sizes": []}
    with ExitStack() as stack:
        runs = {"python": in_python}
        if browser := chromium(stack):
            runs["browser"] = in_browser(browser)
            result["versions"]["browser"] = f"Chromium {browser.version}"
        if shutil.which("dot"):
            runs["dot"] = in_dot(limit)
            shown = subprocess.run(["dot", "-V"], capture_output=True, text=True, check=True).stderr
            result["versions"]["dot"] = f"Graphviz {re.search(r'[0-9.]+', shown)[0]}"
        else:
            print("layout: no column for dot, Graphviz is not installed", file=sys.stderr)
        for title, (sizes, samples) in NETWORKS.items():
            result["sizes"].append(in_turns(title, network(sizes, samples), runs, rounds))
    return result


def in_turns(title, graph, runs, rounds):
    """The median seconds of each, and its crossings; None where it took longer than the limit, which is tried once."""
    found = {name: [] for name in runs}
    for _ in range(rounds):
        for name, run in runs.items():
            if None not in found[name]:
                found[name].append(run(graph))
    entry = {"title": title, "nodes": len(graph), "seconds": {}, "crossings": {}}
    for name, done in found.items():
        over = None in done
        entry["seconds"][name] = None if over else statistics.median(seconds for seconds, _ in done)
        entry["crossings"][name] = None if over else done[0][1]
    if entry["crossings"].get("browser", entry["crossings"]["python"]) != entry["crossings"]["python"]:
        sys.exit(f"layout: Python and the browser disagree, {entry['crossings']}")
    return entry


def chromium(stack):
    """A Chromium that runs until the stack is closed, or None with a line that says why."""
    try:
        from playwright.sync_api import sync_playwright
    except ImportError:
        print(
            "layout: no column for the browser, Playwright is not installed (pip install playwright)", file=sys.stderr
        )
        return None
    path = next(filter(None, map(shutil.which, BROWSERS)), None)
    if path is None:
        print("layout: no column for the browser, there is no Chrome or Chromium", file=sys.stderr)
        return None
    playwright = stack.enter_context(sync_playwright())
    browser = playwright.chromium.launch(executable_path=path, args=["--no-sandbox", "--disable-gpu"])
    stack.callback(browser.close)
    return browser


if __name__ == "__main__":
    print(json.dumps(measure(int(sys.argv[-1]))))
