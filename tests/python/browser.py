"""A headless chromium of the system, and pages that note what went wrong in them."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Page, sync_playwright

PATIENCE = 120_000
"""Milliseconds, for a machine that does much besides."""
FLAGS = ("--no-sandbox", "--disable-quic", "--disable-background-networking", "--no-first-run")


@pytest.fixture(scope="session")
def chromium() -> str:
    """Where the browser is; a test that wants it is skipped where there is none."""
    path = next(filter(None, map(shutil.which, ("chromium", "chromium-browser"))), None)
    if path is None:
        pytest.skip("no chromium on this machine (Debian: apt-get install chromium fonts-dejavu-core)")
    return path


AIRFLOWS_OWN = "An iframe which has both allow-scripts and allow-same-origin"
"""What chromium says of every frame that Airflow makes for a plugin."""


class Seen:
    """What a page asked for and complained about."""

    def __init__(self) -> None:
        self.complaints: list[str] = []
        self.addresses: list[str] = []

    def note(self, said) -> None:
        """Keep what the console says, if it is a complaint about the page."""
        if said.type in ("error", "warning") and not said.text.startswith(AIRFLOWS_OWN):
            self.complaints.append(said.text)

    def foreign(self, origin: str) -> list[str]:
        """What was asked of others than ``origin``."""
        inside = (origin, "data:", "blob:", "about:")
        return [address for address in self.addresses if not address.startswith(inside)]


@contextmanager
def opened(chromium: str, width: int = 1280, height: int = 900, **options: Any) -> Iterator[tuple[Page, Seen]]:
    """A page in a browser of its own, and what is seen of it.

    Playwright keeps an event loop running in this thread for as long as it lives: no longer than needed.
    """
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=list(FLAGS), timeout=PATIENCE)
        page, seen = browser.new_page(viewport={"width": width, "height": height}, **options), Seen()
        page.set_default_timeout(PATIENCE)
        page.on("console", seen.note)
        page.on("pageerror", lambda error: seen.complaints.append(str(error)))
        page.on("request", lambda request: seen.addresses.append(request.url))
        try:
            yield page, seen
        finally:
            browser.close()


def overflow(page: Any) -> int:
    """By how many pixels the page is wider than its window."""
    return page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")


def shoot(page: Page, path: Path) -> None:
    """A picture of what the window shows."""
    kind = {"type": "jpeg", "quality": 60} if path.suffix == ".jpg" else {}
    page.screenshot(path=str(path), **kind)
