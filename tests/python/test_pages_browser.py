"""Pages that lie in files, in chromium: they complain of nothing, ask for nothing, and fit their window."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest

from browser import chromium, opened, overflow
from conftest import END, START
from orchestration_runs import BTC, KEY
from quant_framework.cli import main
from quant_framework.ingestion.backfill import LocalCheckpointStore
from test_validate_cli import OTHER, copied
from test_validation import change, lake, with_value, without

__all__ = ["chromium", "lake"]
pytest_plugins = ["orchestration_fixtures"]

HOUR = timedelta(hours=1)
SPAN = ["--start", START.isoformat(), "--end", END.isoformat()]


def coverage(tmp_path: Path) -> Path:
    """Series with holes, and one with a long name that is hostile."""
    store = LocalCheckpointStore(tmp_path / "checkpoints")
    store.commit_sync(KEY, data=[(START, START + 90 * HOUR), (START + 99 * HOUR, END)])
    store.commit_sync(KEY, empty=[(START + 90 * HOUR, START + 92 * HOUR)])
    store.commit_sync(f"coinalyze/open_interest/{BTC}/1h", data=[(START, END)])
    hostile = "%3Cb%3E" * 20
    store.commit_sync(f"coinalyze/ohlcv/{hostile}/1d", data=[(START, START + 48 * HOUR)])
    page = tmp_path / "coverage.html"
    place = (tmp_path / "checkpoints").as_uri()
    assert main(["coverage", *SPAN, "--html", str(page), "--checkpoint", place]) == 0
    return page


def report(lake: Path, tmp_path: Path) -> Path:
    """Two sources that do not agree."""
    other = copied(lake)
    change(min(other.iterdir()), without([7]))
    change(max(other.iterdir()), with_value([5], close=1.0))
    assert main(["validate", KEY, "--against", OTHER, *SPAN, "--report", (tmp_path / "reports").as_uri()]) == 1
    (page,) = (tmp_path / "reports").rglob("*.html")
    return page


@pytest.mark.parametrize("kind", ["coverage", "report"])
def test_a_page_in_a_file(kind, lake, chromium, tmp_path):
    page_file = coverage(tmp_path) if kind == "coverage" else report(lake, tmp_path)
    for width, scheme in ((1280, "light"), (400, "dark")):
        with opened(chromium, width, color_scheme=scheme) as (page, seen):
            page.goto(page_file.as_uri())
            assert BTC in page.locator("main").inner_text()
            assert overflow(page) <= 0, f"at {width} pixels"
            page.screenshot(path=str(tmp_path / f"{kind}-{width}-{scheme}.png"), full_page=True)
            assert seen.complaints == []
            assert seen.foreign(page_file.as_uri()) == []
