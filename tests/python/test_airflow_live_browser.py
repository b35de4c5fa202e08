"""The tab Coverage of a live Airflow, as people see it: a DAG of a builder that ran once, looked at with chromium."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from datetime import datetime, timezone
from functools import partial

import pytest

from browser import chromium, opened, overflow, shoot
from quant_framework.testing import Fault

__all__ = ["chromium"]
pytestmark = [pytest.mark.xdist_group("airflow"), pytest.mark.timeout(1200)]

DAG_ID = "seen"
BTC, ETH = "BTCUSDT_PERP.A", "ETHUSDT_PERP.A"
HOLE = (datetime(2026, 1, 20, 6, tzinfo=timezone.utc), datetime(2026, 1, 21, 12, tzinfo=timezone.utc))
DAG = f"""
    # Airflow reads only files that hold its name.
    from datetime import timedelta
    from quant_framework.orchestration.dag_builders import BackfillDagBuilder
    BackfillDagBuilder(
        dag_id="{DAG_ID}", schedule=None, symbols=["{BTC}", "{ETH}"], timeframes=["1h"],
        data_types=["ohlcv", "open_interest"], start="2026-01-05T00:00:00Z", operator_options={{
            "end": "2026-02-09T00:00:00Z", "adapter_options": {{"retention": None}}, "retry_delay": timedelta(0),
            "concurrency": 1,
        }},
        lake="FOLDER/seen/lake", checkpoint="FOLDER/seen/checkpoints", rate_limit="FOLDER/seen/limits",
    ).build()
"""


@pytest.fixture(scope="module")
def run(airflow) -> str:
    """The run, of a source that lacks thirty hours of one series."""
    exchange = airflow.exchange
    exchange.reset()
    # With a fault, be it none, answers are made bar by bar.
    exchange.inject(Fault("latency", times=None, value=0))
    exchange.items = partial(without_hole, exchange.items)
    airflow.add(DAG_ID, DAG)
    run = airflow.trigger(DAG_ID)
    ended = airflow.ended(DAG_ID, run)
    del exchange.items
    exchange.reset()
    assert ended == "success"
    return run


def without_hole(items: Callable, kind: str, symbol: str, interval: str, opens: Iterable[int]) -> list[dict]:
    """What the exchange has, but for the hole."""
    low, high = (int(moment.timestamp()) for moment in HOLE)
    lacks = kind == "ohlcv-history" and symbol == BTC
    return items(kind, symbol, interval, [at for at in opens if not (lacks and low <= at < high)])


@pytest.fixture
def origin(airflow) -> str:
    return airflow.url.removesuffix("/api/v2")


def tab(page, origin: str):
    """Sign in as Airflow does it, go to the DAG, and choose the tab; the frame with the page."""
    page.goto(f"{origin}/dags/{DAG_ID}")
    page.get_by_role("link", name="Coverage").click()
    frame = page.frame_locator("iframe[title=Coverage]")
    frame.get_by_role("heading", name=f"Coverage of {DAG_ID}").wait_for()
    return frame


def test_the_tab_shows_series_holes_quotas_and_the_run(airflow, run, origin, chromium, tmp_path):
    with opened(chromium) as (page, seen):
        frame = tab(page, origin)
        shoot(page, tmp_path / "light.jpg")
        text = frame.locator("main").inner_text()
        hole = "2026-01-20 06:00\t2026-01-21 12:00\t30\t"
        for wanted in (BTC, ETH, hole, "40 in 60 s", "/seen/limits", run, "4 success"):
            assert wanted in text, text
        assert frame.locator(".cells i.k-unresolved").count() >= 1
        assert frame.locator("script").count() == 0
        assert seen.complaints == []
        assert seen.foreign(origin) == []


def test_it_is_dark_where_the_system_is(run, origin, chromium, tmp_path):
    with opened(chromium, color_scheme="dark") as (page, seen):
        tab(page, origin)
        shoot(page, tmp_path / "dark.png")
        inner = next(frame for frame in page.frames if "/quant-framework/" in frame.url)
        red = int(inner.evaluate("getComputedStyle(document.body).backgroundColor").removeprefix("rgb(").split(",")[0])
        assert red < 50
        assert overflow(inner) == 0
        assert seen.complaints == []


def test_by_itself_it_fits_a_narrow_window_and_links_to_the_run(run, origin, chromium, tmp_path):
    with opened(chromium, 400) as (page, seen):
        page.goto(f"{origin}/quant-framework/coverage?dag_id={DAG_ID}")
        assert overflow(page) == 0
        page.screenshot(path=str(tmp_path / "narrow.png"), full_page=True)
        assert seen.complaints == []
        assert seen.foreign(origin) == []
        page.get_by_role("link", name=run).click()
        page.wait_for_url(f"**/dags/{DAG_ID}/runs/**")
