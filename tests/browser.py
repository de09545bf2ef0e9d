"""A real Chromium for the tests of the viewer, driven by Playwright.

Which one: any Chrome or Chromium that is installed. Without one, or without Playwright, these tests skip with one line
that says so; where `CI` is set, as in `.ci/run`, that is a failure, because a skipped test proves nothing.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from glassgrad.viz import bundle

NAMES = ["chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome", "msedge"]
PLACES = [
    "/Applications/Google Chrome.app/Contents/MacOS/Google Chrome",
    "/Applications/Chromium.app/Contents/MacOS/Chromium",
    r"C:\Program Files\Google\Chrome\Application\chrome.exe",
    r"C:\Program Files (x86)\Microsoft\Edge\Application\msedge.exe",
]
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


@pytest.fixture(scope="session")
def chromium() -> Iterator[Any]:
    """The browser, started once."""
    path = executable()
    if path is None:
        unavailable("the viewer is not tested: no Chrome or Chromium found (apt install chromium)")
    try:
        from playwright.sync_api import sync_playwright
    except ImportError:
        unavailable("the viewer is not tested: pip install playwright")
    with sync_playwright() as playwright:
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
