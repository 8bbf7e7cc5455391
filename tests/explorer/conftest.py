"""Debian's Chromium, started once, with the explorer's programs loaded; tests skip where there is none."""

import shutil
from collections.abc import Iterator
from typing import Any

import pytest

from genbayes.explorer.markup import WORKER, program

_NAMES = ("chromium", "chromium-browser", "google-chrome")
# What tests call of the worker's program.
_CALLED = "Cost, Prior, Sampler, Explorer, Target, decoded, kernel, erf"


@pytest.fixture(scope="session")
def browser() -> Iterator[Any]:
    """A browser without a window."""
    found = next(filter(None, map(shutil.which, _NAMES)), None)
    if found is None:
        pytest.skip(f"no Chromium on the path (looked for {', '.join(_NAMES)}): apt-get install chromium")
    reason = "playwright is not installed: pip install 'genbayes[dev]'"
    playwright: Any = pytest.importorskip("playwright.sync_api", reason=reason)
    with playwright.sync_playwright() as driver:
        started = driver.chromium.launch(executable_path=found, args=["--no-sandbox", "--disable-gpu"])
        yield started
        started.close()


@pytest.fixture(scope="session")
def programs(browser: Any) -> Iterator[Any]:
    """An empty page in which `programs.evaluate("lib.Cost ...")` reaches what the worker is made of."""
    page = browser.new_page()
    page.evaluate(f"(text) => (globalThis.lib = new Function(text + '; return {{ {_CALLED} }};')())", program(WORKER))
    yield page
    page.close()
