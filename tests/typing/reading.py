"""Results as authors read them, with the types that a checker must see."""

from __future__ import annotations

import asyncio
from datetime import datetime

from airflow.sdk import dag, task
from typing_extensions import assert_type

from parts import Context, workflow
from quant_framework._core import CheckpointStore
from quant_framework.ingestion.adapters import Batch, BinanceAdapter, CoinalyzeAdapter
from quant_framework.ingestion.backfill import Checkpoint, CheckpointManager, LocalCheckpointStore
from quant_framework.ingestion.normalizers import convert_open_interest, split_symbol
from quant_framework.ingestion.processors import merge, resample
from quant_framework.ingestion.rate_limit import CoinalyzeRateLimiter
from quant_framework.ingestion.writers import BronzeWriter, SilverWriter
from quant_framework.orchestration.dag_builders import BackfillDagBuilder
from quant_framework.orchestration.tasks import (
    detect_gaps,
    fetch_ohlcv,
    read_checkpoint,
    reconcile_sources,
    repair_gaps,
    resample_series,
    validate_rows,
    write_bronze,
    write_silver,
)
from quant_framework.results import (
    BackfillReport,
    Failed,
    Gap,
    GapKind,
    Plan,
    SeriesValidation,
    StagedReference,
    WindowStats,
)


class Renamed(CoinalyzeAdapter):
    """A subclass of a native class stays what it is."""

    nickname = "ours"


def backfill(start: datetime, end: datetime) -> float:
    job = workflow(start, end)
    assert_type(asyncio.run(job.plan()), Plan)
    result = asyncio.run(job.execute(Context()))
    assert_type(result, BackfillReport | Failed)
    if result["status"] == "failed":
        raise SystemExit(result["errors"][0]["message"])
    assert_type(result, BackfillReport)
    if result["status"] == "parked":
        print(result.get("until"))
    kinds: set[GapKind] = {gap["kind"] for series in result["series"] for gap in series["gaps"]}
    assert_type(result["series"][0]["covered"], list[tuple[str, str]])
    return result["records_written"] / result["duration_seconds"] if kinds else 0.0


def stored(start: datetime, end: datetime) -> None:
    staged = fetch_ohlcv("BTC", "1h", start, end, source="binance")
    assert_type(staged, StagedReference)
    written = write_bronze([staged], lake="file:///lake")
    assert_type(write_silver(written)["series"][0]["quarantined"], int)
    report = validate_rows("binance/ohlcv/BTCUSDT/1h", start, "2026-01-01T00:00:00Z", thresholds={"spike_factor": 5})
    assert_type(report, SeriesValidation)
    assert_type(detect_gaps("a/ohlcv/b/1h", start, end)["gaps"], list[Gap])
    compared = reconcile_sources(["a/ohlcv/b/1h", "c/ohlcv/b/1h"], start, end)
    if (lag := compared["pairs"][0].get("lag")) and not compared["agrees"]:
        assert_type(lag["is_shifted"], bool)
    repaired = repair_gaps(holes=compared["holes"])
    assert_type(repaired["series"][0]["gaps"][0].get("attempts"), int | None)
    assert_type(resample_series("a/ohlcv/b/1m", "1h")["incomplete"][0]["known"], int)
    assert_type(read_checkpoint("a/ohlcv/b/1h")["watermark"], str | None)


def rows(batch: Batch) -> None:
    coarser, incomplete, gaps = resample(batch, "1m", "1h")
    assert_type(coarser, Batch)
    assert_type(incomplete[0].expected, int)
    assert_type(gaps, list[tuple[datetime, datetime]])
    assert_type(merge([coarser, {"ts": [], "open": []}], "1h").taken, list[int])
    assert_type(convert_open_interest([[0, 1.0]], "base", "usd", price=40_000).unpriced, list[datetime])
    assert_type(split_symbol("BTCUSDT", "binance_spot")["settle"], str | None)


async def parts(start: datetime, end: datetime) -> None:
    assert_type(Renamed("key").nickname, str)
    assert_type(Renamed("key"), Renamed)
    assert_type(BinanceAdapter("usdm").capability("ohlcv", "1h")["prices"], list[tuple[int, int]])
    store = LocalCheckpointStore("/checkpoints")
    assert_type(store.load_sync("a/ohlcv/b/1h"), Checkpoint | None)
    assert_type(await store.list(), list[str])
    manager = CheckpointManager(store)
    assert_type((await manager.progress("a/ohlcv/b/1h", start, end))["covered"], float)
    native: CheckpointStore = store
    await native.commit("a/ohlcv/b/1h", [(start, end)], cursor="1")
    limiter = CoinalyzeRateLimiter(windows=[(40, 60)], share=0.5)
    assert_type(await limiter.acquire(weight=2, priority="live"), float)
    assert_type(limiter.stats()["windows"], list[WindowStats])
    bronze = BronzeWriter("file:///lake")
    assert_type(await bronze.read("a/ohlcv/b/1h", start, end), Batch)
    assert_type((await SilverWriter("file:///silver", bronze).compact("a/ohlcv/b/1h"))["rows"], int)
    assert_type(BackfillDagBuilder("x").with_symbols([]), BackfillDagBuilder)


@dag(schedule=None)
def taskflow() -> None:
    """The functions as tasks, and as functions in a task."""

    @task
    def judge(written: dict[str, list[dict[str, str]]]) -> bool:
        reports = [validate_rows(one["series"], one["start"], one["end"]) for one in written["series"]]
        return all(report["ok"] for report in reports)

    staged = task(fetch_ohlcv).partial(timeframe="1h", start="2026-01-01T00:00:00Z").expand(symbol=["BTC", "ETH"])
    judge(task(write_bronze)(staged))  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]  # an XComArg
