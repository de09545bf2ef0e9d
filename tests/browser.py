"""A real Chromium for the tests of the viewer, driven by Playwright.

Which one: any Chrome or Chromium that is installed. Without one, or without Playwright, these tests skip with one line
that says so; where `CI` is set, as in `.ci/run`, that is a failure, because a skipped test proves nothing.
"""

from __future__ import annotations

import importlib
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pytest
from pictures import differentiated, g1

from glassgrad import to_html
from glassgrad.viz import bundle

NAMES = ["chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome", "msedge"]
PLACES = [
    "/Applications/Google Chrome.app/Contents/MacOS/Google Chrome",
    "/Applications/Chromium.app/Contents/MacOS/Chromium",
    r"C:\Program Files\Google\Chrome\Application\chrome.exe",
    r"C:\Program Files (x86)\Microsoft\Edge\Application\msedge.exe",
]
MISSING = "the viewer is not tested: no Chrome or Chromium found (apt install chromium)"
QUIET = [
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
    "--disable-background-networking", "--disable-component-update", "--disable-sync",
]  # fmt: skip


def executable() -> str | None:
    """The path of a Chrome or Chromium on this machine."""
    there = [path for path in map(shutil.which, NAMES) if path] + [path for path in PLACES if Path(path).exists()]
    return there[0] if there else None


def unavailable(reason: str) -> None:
    """Skip, or fail where everything has to be there."""
    if os.environ.get("CI"):
        pytest.fail(f"{reason}; with CI set the viewer has to be tested")
    pytest.skip(reason)


def needed(module: str) -> Any:
    """A module that is installed with the tools for testing, imported; like the browser, it has to be there with CI."""
    try:
        return importlib.import_module(module)
    except ImportError as error:
        unavailable(f"the viewer is not tested as a whole: {error} (pip install --group test)")


@pytest.fixture(scope="session")
def chromium() -> Iterator[Any]:
    """The browser, started once."""
    path = executable()
    if path is None:
        unavailable(MISSING)
    with needed("playwright.sync_api").sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=QUIET)
        yield browser
        browser.close()


@pytest.fixture(scope="session")
def js(chromium: Any) -> Iterator[Callable[..., Any]]:
    """Call what the viewer's modules export: `js("(g, x) => g.name(x)", x)`, where `g` holds all exported names."""
    page = chromium.new_page()
    page.set_default_timeout(120_000)
    names = ", ".join(bundle.exports())
    page.set_content(f'<script type="module">{bundle.script()}\nglobalThis.gg = {{ {names} }};</script>')
    page.wait_for_function("globalThis.gg !== undefined")

    def call(function: str, argument: object = None) -> Any:
        return page.evaluate(f"(argument) => ({function})(globalThis.gg, argument)", argument)

    yield call
    page.close()


# ---- the page --------------------------------------------------------------------------------------------------------

READY = "html[data-ready]"
_troubles: list[str] = []


@contextmanager
def opened(
    chromium: Any,
    graph: Any,
    *,
    size: tuple[int, int] = (1280, 800),
    scheme: str = "light",
    forced_colors: bool = False,
    reduced_motion: bool = False,
    locale: str = "en-US",
    before: str = "",
    ready: str = READY,
    **options: Any,
) -> Iterator[Any]:
    """The page of a graph, opened from a disk in a browser that has seen nothing yet and has no network.

    `graph` is what `to_html` takes, `options` too; or it is HTML. `before` is a script that runs before the page's
    own; `ready` is what has to be there before the page is handed over.
    """
    html = graph if isinstance(graph, str) else to_html(graph, **options)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "page.html")
        path.write_text(html, encoding="utf-8")
        context = chromium.new_context(
            viewport={"width": size[0], "height": size[1]},
            color_scheme=scheme,
            forced_colors="active" if forced_colors else "none",
            reduced_motion="reduce" if reduced_motion else "no-preference",
            locale=locale,
            offline=True,
            accept_downloads=True,
        )
        listen(context, path.as_uri())
        if before:
            context.add_init_script(before)
        page = context.new_page()
        page.set_default_timeout(30_000)
        page.goto(path.as_uri())
        page.wait_for_selector(ready, state="attached")
        yield page
        context.close()


def listen(context: Any, address: str) -> None:
    """Take down what pages complain of, and whatever they ask for besides themselves."""

    def request(asked: Any) -> None:
        if asked.url != address and not asked.url.startswith(("blob:", "data:", "about:")):
            _troubles.append(f"request: {asked.url[:200]}")

    def console(message: Any) -> None:
        if message.type in ("error", "warning"):
            _troubles.append(f"console: {message.text}")

    context.on("request", request)
    context.on("console", console)
    context.on("weberror", lambda error: _troubles.append(f"error: {error.error}"))


@pytest.fixture(autouse=True)
def quiet_pages() -> Iterator[None]:
    """A test fails on anything that an open page complained of or asked the network for meanwhile."""
    yield
    troubles = _troubles[:]
    _troubles.clear()
    assert not troubles, "\n".join(troubles)


@pytest.fixture
def page_of(chromium: Any) -> Iterator[Callable[..., Any]]:
    """Open pages of graphs, with the options of `opened`; they are closed when the test is over."""
    with ExitStack() as stack:
        yield lambda graph, **options: stack.enter_context(opened(chromium, graph, **options))


@pytest.fixture(scope="module")
def lecture(chromium: Any) -> Iterator[Any]:
    """The page of the lecture's first graph, opened once for all tests of a file."""
    with opened(chromium, differentiated(g1())) as page:
        yield page
