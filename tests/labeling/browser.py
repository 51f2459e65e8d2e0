"""A real browser for tests of the page: the system's Chromium, driven by playwright."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from typing import Any

import pytest

_BROWSERS = ("/usr/lib/chromium/chromium", "chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
SIZE = {"width": 1280, "height": 720}


@pytest.fixture(scope="module")  # its event loop, which runs meanwhile, would disturb tests of other modules
def browser() -> Iterator[Any]:
    """A headless Chromium; the test is skipped where playwright or the browser is missing."""
    playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    found = next((path for path in map(shutil.which, _BROWSERS) if path), None)
    if found is None:
        pytest.skip("there is no Chromium or Chrome here")
    # a root user, as in a container, has no sandbox
    arguments = ["--no-sandbox"] if hasattr(os, "geteuid") and os.geteuid() == 0 else []
    with playwright.sync_playwright() as started:
        opened = started.chromium.launch(executable_path=found, args=[*arguments, "--disable-dev-shm-usage"])
        yield opened
        opened.close()
