"""The page in a browser: how large it is, how soon it is there, how long it is busy, how fluently it pans.

`python bench/viewer.py viewer 5` prints JSON: for three graphs, opened from a disk and then with all groups opened, the
medians of 5 rounds. Times are those of the clock on the wall. Where there is no Chromium or no Playwright, only sizes.
"""

import json
import random
import statistics
import sys
import tempfile
from contextlib import ExitStack
from pathlib import Path

from layout import chromium

from glassgrad import Value, nn, scope, to_html

# Written down before the page's own script runs: when its graph was drawn, and every task of more than 50 ms.
WATCHED = """
globalThis.tasks = [0];
new PerformanceObserver((list) => list.getEntries().forEach((entry) => tasks.push(entry.duration)))
  .observe({ type: "longtask", buffered: true });
new MutationObserver((_, observer) => {
  if (!document.documentElement.dataset.ready) return;
  observer.disconnect();
  requestAnimationFrame(() => setTimeout(() => (globalThis.shown = performance.now())));
}).observe(document, { subtree: true, attributes: true });
"""
OPEN_ALL = """async () => {
  const start = performance.now();
  document.querySelectorAll("[data-option]:checked").forEach((box) => box.click()); // constants and sums too
  document.querySelector('[data-do="open-all"]').click();
  do await new Promise((done) => setTimeout(done, 1));
  while (document.querySelector("#gg-stage[aria-busy]"));
  await new Promise((done) => requestAnimationFrame(() => setTimeout(done)));
  return performance.now() - start;
}"""
PAN = """async () => {
  const stage = document.querySelector("#gg-stage");
  const { left, top, width, height } = stage.getBoundingClientRect();
  const send = (kind, x, y) => stage.dispatchEvent(new PointerEvent(kind, {
    pointerId: 1, isPrimary: true, bubbles: true, clientX: left + width / 2 + x, clientY: top + height / 2 + y }));
  stage.setPointerCapture = stage.releasePointerCapture = () => {}; // no device has this pointer
  const frame = () => new Promise((done) => requestAnimationFrame(done));
  send("pointerdown", 0, 0);
  let last = await frame();
  const times = [];
  for (let k = 1; k <= 60; k++) {
    send("pointermove", 4 * k, 2 * k);
    const now = await frame();
    times.push(now - last);
    last = now;
  }
  send("pointerup", 240, 120);
  return times.sort((a, b) => a - b)[30];
}"""


# ---- graphs ----------------------------------------------------------------------------------------------------------


def lecture():
    a, b, c, f = Value(2, "a"), Value(-3, "b"), Value(10, "c"), Value(-2, "f")
    return (a * b + c) * f


def one_sample():
    random.seed(1337)
    return (nn.MLP(2, [16, 16, 1])([1.0, -2.0]) - 1) ** 2


def written_out():
    """The same network over 24 samples, a node for every product and sum, in scopes."""
    random.seed(1)
    layers = [
        [([Value(random.uniform(-1, 1)) for _ in range(before)], Value(0.0)) for _ in range(after)]
        for before, after in [(2, 16), (16, 16), (16, 1)]
    ]
    losses = []
    for _ in range(24):
        x = [Value(random.uniform(-1, 1), requires_grad=False) for _ in range(2)]
        for number, layer in enumerate(layers):
            x = [neuron(number, k, weights, bias, x, number < 2) for k, (weights, bias) in enumerate(layer)]
        losses.append((1 - x[0]).relu())
    return sum(losses[1:], losses[0]) / 24


def neuron(layer, number, weights, bias, x, bent):
    with scope(f"layer{layer}"), scope(f"neuron{number}"):
        total = bias
        for w, xi in zip(weights, x, strict=True):
            total = total + w * xi
        return total.relu() if bent else total


GRAPHS = {
    "(a * b + c) * f": lecture,
    "MLP(2, [16, 16, 1]), one sample": one_sample,
    "the same, 24 samples, written out": written_out,
}


# ---- the row ---------------------------------------------------------------------------------------------------------


def measure(rounds):
    result = {"versions": {}, "graphs": []}
    with ExitStack() as stack:
        browser = chromium(stack, "viewer")
        if browser:
            result["versions"]["browser"] = f"Chromium {browser.version}"
        path = Path(stack.enter_context(tempfile.TemporaryDirectory()), "page.html")
        for title, make in GRAPHS.items():
            root = make()
            root.backward()
            html = to_html(root)
            path.write_text(html, encoding="utf-8")
            entry = {"title": title, "nodes": html.count(",", *columns(html)) + 1, "bytes": len(html.encode())}
            if browser:
                found = [opened(browser, path) for _ in range(rounds)]
                entry |= {name: statistics.median(times[name] for times in found) for name in found[0]}
            result["graphs"].append(entry)
    return result


def columns(html):
    """Where the column of operations begins and ends: it has an entry for each node."""
    start = html.index('"kind":[')
    return start, html.index("]", start)


def opened(browser, path):
    """One reader: opens the page, opens all groups, pans. Seconds."""
    context = browser.new_context(viewport={"width": 1280, "height": 800}, offline=True)
    context.add_init_script(WATCHED)
    page = context.new_page()
    page.goto(path.as_uri())
    page.wait_for_selector("html[data-ready]", state="attached")
    page.wait_for_timeout(300)
    times = {
        "paint": page.evaluate("performance.getEntriesByName('first-contentful-paint')[0].startTime"),
        "shown": page.evaluate("shown"),
        "open": page.evaluate(OPEN_ALL),
        "frame": page.evaluate(PAN),
        "task": page.evaluate("Math.max(...tasks)"),
    }
    context.close()
    return {name: milliseconds / 1000 for name, milliseconds in times.items()}


if __name__ == "__main__":
    print(json.dumps(measure(int(sys.argv[-1]))))
