"""Backfills of one series by several processes: never two at a time, and none waits for a dead one."""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from urllib.parse import quote

import psycopg
import pytest

from checkpoint_processes import FAKETIME, FOREVER, START, Child, checkpoint, rows_in, until, with_clock
from fault_proxy import FaultProxy
from quant_framework.ingestion.checkpoint_stores import open_checkpoint_store
from quant_framework.testing import Fault
from quant_framework.testing.faults import FaultBox
from servers import S3Address

pytest_plugins = ["checkpoint_fixtures"]
pytestmark = pytest.mark.parametrize("url", ["postgres", "hybrid"], indirect=True)

DAYS = 30
"""One chunk each."""
SYMBOL = "BTCUSDT_PERP.A"


def key_of(symbol: str) -> str:
    return f"coinalyze/ohlcv/{symbol}/1h"


class Arrivals(FaultBox):
    """Counts requests when they come; the ledger knows them when they are answered."""

    requests = 0

    def take(self, *request: object) -> Fault | None:
        self.requests += 1
        return super().take(*request)


class Database:
    """The claims that a store has granted."""

    def __init__(self, url: str) -> None:
        self.dsn = url.rpartition(",")[2]

    def leases(self) -> dict[str, float]:
        """The seconds until each owner's claim ends."""
        left = "extract(epoch FROM lease_until - clock_timestamp())::float8"
        with psycopg.connect(self.dsn) as connection:
            rows = connection.execute(f"SELECT owner, {left} FROM quant_framework.claims")
            return dict(rows.fetchall())

    def wait_for_the_end(self, owner: str) -> None:
        until(lambda: self.leases().get(owner, -1) < 0, f"the lease of {owner} ends")


@pytest.fixture
def granted(url: str) -> Database:
    store = open_checkpoint_store(url)
    store.commit_sync("claims/ohlcv/WARM/1h", [])  # so that the tables are there
    return Database(url)


@pytest.fixture
def lake(tmp_path: Path) -> Path:
    return tmp_path / "lake"


@pytest.fixture
def backfill(url, granted, exchange, lake, spawn) -> Callable[..., Child]:
    """Starts a run of a process of its own, one request at a time."""

    def backfill(owner: str, lease: float = 600, days: int = DAYS, clock: str | Path = "", **options: object) -> Child:
        options = {"owner": owner, "lease": lease, "concurrency": 1, "symbols": [SYMBOL], **options}
        environment = with_clock(clock) if clock else {}
        place = options.pop("url", url)
        return spawn("backfill", place, exchange.url, str(lake), days, options, **environment)

    return backfill


def objects_in(lake: Path) -> dict[Path, int]:
    """When each object was written."""
    return {path: path.stat().st_mtime_ns for path in lake.rglob("*.parquet")}


def refused(result: dict, holder: str) -> bool:
    """Whether all that the result tells is that ``holder`` fetches this."""
    errors = result["errors"]
    assert [error["kind"] for error in errors] == ["conflict"] * len(errors), errors
    assert all(f"being fetched by {holder}, " in error["message"] for error in errors), errors
    return bool(errors)


def check(lake: Path, url: str, symbols: list[str] | None = None, days: int = DAYS) -> None:
    """Every row is there once, and the checkpoints say so."""
    symbols = symbols or [SYMBOL]
    hours = [START + timedelta(hours=hour) for hour in range(24 * days)]
    assert rows_in(lake) == sorted((symbol, hour) for symbol in symbols for hour in hours)
    store = open_checkpoint_store(url)
    for symbol in symbols:
        assert store.load_sync(key_of(symbol)).data == [(START, START + timedelta(days=days))]


def test_of_two_runs_that_start_together_one_fetches_and_one_is_told_by_whom(
    backfill, granted, exchange, lake, url, spawn
):
    exchange.latency = 0.5
    children = {owner: backfill(owner).ready() for owner in ("task 1", "task 2")}
    for child in children.values():
        child.go()
    until(lambda: not all(child.alive for child in children.values()), "one is refused")
    exchange.latency = 0
    results = {owner: child.result() for owner, child in children.items()}
    (winner,) = [owner for owner, result in results.items() if result["status"] == "success"]
    (loser,) = results.keys() - {winner}
    assert (results[loser]["status"], results[loser]["requests"]) == ("failed", 0)
    assert refused(results[loser], winner)
    assert exchange.stats()["requests"] == DAYS
    again = backfill(loser).go().result()
    assert (again["status"], again["requests"], exchange.stats()["requests"]) == ("success", 0, DAYS)
    check(lake, url)
    assert granted.leases() == {}


def test_runs_of_the_same_series_share_them_out(backfill, granted, exchange, lake, url):
    symbols = [f"{name}USDT_PERP.A" for name in ("BTC", "ETH", "SOL", "XRP")]
    exchange.latency = 0.2
    options = {"symbols": symbols, "days": 10, "concurrency": 4}
    children = [backfill(f"task {number}", **options).ready() for number in range(3)]
    for child in children:
        child.go()
    results = [child.result() for child in children]
    errors = [error for result in results for error in result["errors"]]
    assert [error["kind"] for error in errors] == ["conflict"] * len(symbols) * (len(children) - 1), errors
    assert exchange.stats()["requests"] == len(symbols) * 10
    check(lake, url, symbols, days=10)


@pytest.mark.parametrize("awake", ["while the other runs", "after the other"])
def test_a_run_that_stood_still_past_its_lease_writes_nothing_more(awake, backfill, granted, exchange, lake, url):
    exchange.faults = Arrivals([Fault("latency", value=2, after=8)])
    first = backfill("first", lease=1.0).go()
    until(lambda: exchange.faults.requests == 9, "the first one waits for its ninth chunk")
    first.signal(signal.SIGSTOP)
    granted.wait_for_the_end("first")
    until(lambda: len(exchange.ledger) == 9, "the answer is there, but nobody to read it")
    assert len(objects_in(lake)) == 8
    exchange.latency = 0.05 if awake.startswith("while") else 0
    second = backfill("second").go()
    until(lambda: granted.leases().get("second"), "the second one begins")
    if awake.startswith("after"):
        until(lambda: not second.alive, "the second one ends")
    state, asked = objects_in(lake), len(exchange.ledger)
    first.signal(signal.SIGCONT)
    result = first.result()
    assert result["status"] in ("partial", "failed")
    assert {error["kind"] for error in result["errors"]} == {"conflict"}
    assert "the claim on " in result["errors"][0]["message"]
    if awake.startswith("after"):
        assert (objects_in(lake), len(exchange.ledger)) == (state, asked), "it did nothing more"
    assert second.result()["status"] == "success"
    assert exchange.stats()["requests"] == 9 + second.result()["requests"] <= 9 + DAYS
    check(lake, url)
    assert granted.leases() == {}


def test_a_killed_run_is_taken_over_by_its_owner_at_once_and_by_others_after_its_lease(
    backfill, granted, exchange, lake, url
):
    exchange.latency = 0.05
    killed, again = backfill("task", lease=600).go(), backfill("task", lease=6).ready()
    early, late = backfill("other").ready(), backfill("another").ready()
    until(lambda: len(exchange.ledger) >= 5, "it fetches")
    killed.kill()
    asked = len(exchange.ledger)
    again.go()
    until(lambda: len(exchange.ledger) >= asked + 5, "its next try fetches")
    again.kill()
    result = early.go().result()
    assert granted.leases()["task"] > 0, "the lease has not ended yet: this says something"
    assert result["status"] == "failed"
    assert refused(result, "task")
    granted.wait_for_the_end("task")
    assert late.go().result()["status"] == "success"
    check(lake, url)


@contextmanager
def commits_held(url: str, granted: Database, s3: S3Address) -> Iterator[tuple[str, Callable[[], object]]]:
    """A URL whose first commit of a run stays on its way until the end, and whether it is."""
    if not url.startswith("hybrid:"):
        waiting = "SELECT 1 FROM pg_locks WHERE relation = 'quant_framework.checkpoints'::regclass AND NOT granted"
        with psycopg.connect(granted.dsn) as connection:
            connection.execute("LOCK TABLE quant_framework.checkpoints IN EXCLUSIVE MODE")
            yield url, lambda: connection.execute(waiting).fetchone()
        return
    with FaultProxy(s3.endpoint) as proxy:
        proxy.script([checkpoint("delay", FOREVER)])
        slow = url.replace(quote(s3.endpoint, safe=""), quote(proxy.endpoint, safe=""))
        yield slow, lambda: proxy.counts()["PUT", "delay"]
        held = open_checkpoint_store(url.removeprefix("hybrid:").partition(",")[0])
        proxy.release()
        until(lambda: held.load_sync(key_of(SYMBOL)), "the commit lands")


def test_a_commit_of_a_run_that_lost_its_claim_names_no_rows_that_are_gone(
    backfill, granted, exchange, lake, url, s3, spawn
):
    # The first run's commit is on its way when the run loses its claim to a second one. That one removes objects
    # that no checkpoint names, and is killed before it has written them again.
    exchange.latency = 0.05
    with commits_held(url, granted, s3) as (slow, is_on_its_way):
        first = backfill("first", lease=1.0, url=slow).go()
        until(is_on_its_way, "a commit is on its way")
        first.signal(signal.SIGSTOP)
        granted.wait_for_the_end("first")
        before = objects_in(lake)
        assert len(before) >= 2
        exchange.inject(Fault("latency", times=None, value=3, after=1))
        second = backfill("second", lease=1.0).go()
        until(lambda: set(objects_in(lake).items()) - set(before.items()), "the second one writes")
        second.kill()
    first.signal(signal.SIGCONT)
    first.result()
    exchange.reset()
    granted.wait_for_the_end("second")
    assert backfill("third").go().result()["status"] == "success"
    check(lake, url)


@pytest.mark.skipif(not FAKETIME, reason="no libfaketime (Debian's package faketime)")
def test_clocks_that_are_wrong_or_jump_lose_and_steal_no_claim(backfill, granted, exchange, lake, url, tmp_path):
    days = 160
    clock = tmp_path / "clock"
    clock.write_text("+0")
    holder = backfill("holder", lease=4.0, days=days, clock=clock)
    rivals = {hours: backfill(f"rival {hours}", days=days, clock=f"{hours:+}h").ready() for hours in (-1, 1)}
    assert {hours: rival.hours_off() for hours, rival in rivals.items()} == {-1: -1, 1: 1}
    exchange.latency = 0.2
    holder.go()
    until(lambda: len(exchange.ledger) >= 2, "it fetches")
    for hours, rival in rivals.items():
        clock.write_text(f"{-hours * 3600:+}")
        before = len(exchange.ledger)
        until(lambda before=before: len(exchange.ledger) >= before + 24, "it fetches for longer than its lease")
        assert 0 < granted.leases()["holder"] <= 4
        assert refused(rival.go().result(), "holder")
    exchange.latency = 0
    assert holder.result()["status"] == "success"
    assert exchange.stats()["requests"] == days
    check(lake, url, days=days)
