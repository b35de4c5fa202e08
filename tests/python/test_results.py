"""The dicts that runs answer are what ``quant_framework.results`` says: no field more, none less, of these types."""

from __future__ import annotations

import types
import typing
from datetime import timedelta
from typing import Any

import pytest

from conftest import END, START, Context
from orchestration_runs import BTC, KEY, adapter
from quant_framework import results
from quant_framework.ingestion.backfill import CheckpointManager, LocalCheckpointStore
from quant_framework.ingestion.normalizers import split_symbol
from quant_framework.ingestion.rate_limit import AdaptiveRateLimiter
from quant_framework.ingestion.writers import BronzeWriter
from quant_framework.orchestration.coverage import coverage_map
from quant_framework.orchestration.tasks import (
    check_rows,
    compact,
    detect_gaps,
    fetch_ohlcv,
    merge_series,
    read_checkpoint,
    reconcile_sources,
    repair_gaps,
    resample_series,
    restated_rows,
    validate_rows,
    write_bronze,
    write_checkpoint,
    write_silver,
)
from quant_framework.orchestration.workflows import RepairWorkflow, ValidationWorkflow
from quant_framework.testing import Fault, OfflineExchange

pytest_plugins = ["orchestration_fixtures"]


def mismatches(value: Any, kind: Any, path: str = "") -> list[str]:
    """Where ``value`` is not of ``kind``."""
    origin, inner = typing.get_origin(kind), typing.get_args(kind)
    if kind is Any or kind is object:
        return []
    if typing.is_typeddict(kind):
        hints = typing.get_type_hints(kind)
        wrong = [f"{path}: lacks {name}" for name in kind.__required_keys__ - value.keys()]
        wrong += [f"{path}: has {name}" for name in value.keys() - hints.keys()]
        known = [(value[name], hints[name], f"{path}.{name}") for name in value if name in hints]
        return wrong + [one for each in known for one in mismatches(*each)]
    if origin is typing.Literal:
        return [] if value in inner else [f"{path}: {value!r}"]
    if origin in (typing.Union, types.UnionType):
        found = [mismatches(value, one, path) for one in inner]
        return [] if [] in found else min(found, key=len)
    if origin is list:
        wrong = [] if isinstance(value, list) else [f"{path}: no list"]
        return wrong + [one for each in value for one in mismatches(each, inner[0], f"{path}[]")]
    if origin is tuple:
        wrong = [] if isinstance(value, tuple) and len(value) == len(inner) else [f"{path}: {value!r}"]
        return wrong or [one for each, of in zip(value, inner, strict=True) for one in mismatches(each, of, path)]
    if origin is dict:
        return [] if isinstance(value, dict) else [f"{path}: no dict"]
    fits = (int, float) if kind is float else kind
    is_wrong = not isinstance(value, fits) or (kind is int and isinstance(value, bool))
    return [f"{path}: {value!r} is no {kind}"] if is_wrong else []


@pytest.mark.parametrize(
    ("value", "kind"),
    [
        ({"kind": "data"}, results.Failure),
        ({"kind": "data", "message": "x", "more": 1}, results.Failure),
        ({"kind": "nothing", "message": "x"}, results.Failure),
        ({"bars": True, "ranges": []}, results.OneSided),
        ({"bars": 1, "ranges": [["a", "b"]]}, results.OneSided),
        ({"status": "parked"}, results.BackfillResult),
    ],
)
def test_the_check_sees_what_is_wrong(value, kind):
    assert mismatches(value, kind)


async def test_a_backfill(exchange, make, context):
    job = make(exchange)
    assert mismatches(await job.plan(), results.Plan) == []
    exchange.inject(Fault("truncated_rows", value=5))
    exchange.inject(Fault("null_value"))
    result = await job.execute(context)
    assert result["status"] == "partial"
    assert mismatches(result, results.BackfillReport) == []
    assert result["errors"]
    assert any(series["gaps"] for series in result["series"])


async def test_a_backfill_that_parks_and_ones_that_fail(make, context):
    with OfflineExchange(limit=(1, 3600.0)) as exchange:
        limiter = AdaptiveRateLimiter(windows=[(1, 3600)])
        result = await make(exchange, rate_limiter=limiter, max_wait=0).execute(context)
        assert result["status"] == "parked"
        assert mismatches(result, results.BackfillReport) == []
    with OfflineExchange(limit=None) as exchange:
        failed = await make(exchange, timeframes=["7m"]).execute(context)
        assert mismatches(failed, results.Failed) == []
        broken = await make(exchange, writer=Broken()).execute(context)
        assert broken["status"] == "failed"
        assert mismatches(broken, results.BackfillResult) == []
        assert "records_written" in broken


class Broken:
    """A lake that cannot be prepared."""

    def prepare(self) -> None:
        raise OSError("no such disk")

    def write(self, series: str, range: object, batch: object) -> None:
        raise OSError("no such disk")


async def test_a_repair_without_anything_to_do(tmp_path):
    parts = (Broken(), BronzeWriter(tmp_path.as_uri()), LocalCheckpointStore(tmp_path), None, AdaptiveRateLimiter())
    result = await RepairWorkflow(*parts, series=[]).execute(Context())
    assert mismatches(result, results.BackfillReport) == []


def test_task_functions(home, exchange):
    staged = fetch_ohlcv(BTC, "1h", START, END, adapter(exchange))
    assert mismatches(staged, results.StagedReference) == []
    written = write_bronze(staged)
    assert mismatches(written, results.WrittenReport) == []
    assert mismatches(write_silver(written), results.SilverReport) == []
    assert mismatches(compact(KEY), results.SeriesCompaction) == []
    hour = timedelta(hours=1)
    late = END + 2 * hour
    report = validate_rows(KEY, START, late, checkpoint=str(home / "checkpoints"))
    assert report["gaps"]
    assert mismatches(report, results.SeriesValidation) == []
    assert mismatches(validate_rows(KEY, START, late), results.SeriesValidation) == []
    assert mismatches(detect_gaps(KEY, START, late), results.GapReport) == []
    row = {"ts": START, "open": 1.0, "high": 1.0, "low": 1.0, "close": 1.0, "volume": 1.0}
    assert mismatches(check_rows([row], KEY, START, END), results.SeriesValidation) == []
    assert mismatches(restated_rows(KEY, [row], [row | {"close": 0.5}]), results.Restatement) == []
    assert mismatches(resample_series(KEY, "1d", START - 9 * hour, END), results.DerivedReport) == []
    other = "other/ohlcv/BTC/1h"
    assert mismatches(write_checkpoint(other, [[START, END]]), results.CheckpointWritten) == []
    assert mismatches(read_checkpoint(KEY), results.CheckpointState) == []
    assert mismatches(read_checkpoint(KEY, START, late), results.CheckpointState) == []
    merged = merge_series([KEY, other], "merged/ohlcv/BTC/1h", START, END)
    assert mismatches(merged, results.DerivedReport) == []
    compared = reconcile_sources([KEY, other], START, END, volume_tolerance=0.1, report=str(home / "reports"))
    assert compared["holes"]
    assert mismatches(compared, results.Comparison) == []
    repaired = repair_gaps([KEY], start=START, end=late, source=adapter(exchange), force=True)
    assert mismatches(repaired, results.RepairReport) == []
    assert mismatches(detect_gaps(KEY, START, late), results.GapReport) == []


async def test_a_comparison_that_fills_holes(home, exchange):
    lake = BronzeWriter((home / "lake").as_uri())
    row = {"ts": START, "open": 1.0, "high": 1.0, "low": 1.0, "close": 1.0, "volume": 1.0}
    await lake.write("other/ohlcv/BTC/1h", (START, START + timedelta(hours=1)), [row])

    def backfill(series: str, start: Any, end: Any) -> RepairWorkflow:
        store = LocalCheckpointStore(home / "checkpoints")
        hole = {"series": series, "start": start, "end": end}
        return RepairWorkflow(adapter(exchange), lake, store, AdaptiveRateLimiter(999, 999, 1), holes=[hole])

    series = ["other/ohlcv/BTC/1h", KEY]
    workflow = ValidationWorkflow(lake, series, start=START, end=START + timedelta(hours=3), backfill=backfill)
    result = await workflow.execute(Context())
    assert [one["records_written"] for one in result["backfilled"]] == [1]
    assert mismatches(result, results.Comparison) == []
    failed = await ValidationWorkflow(lake, ["no key", KEY], start=START, end=END).execute(Context())
    assert mismatches(failed, results.Failed) == []


async def test_parts(tmp_path, exchange):
    source = adapter(exchange)
    assert mismatches(source.capability("ohlcv", "1h"), results.Capability) == []
    store = LocalCheckpointStore(tmp_path)
    await store.commit(KEY, [(START, END)])
    manager = CheckpointManager(store)
    assert mismatches(await manager.progress(KEY, START, END + timedelta(days=1)), results.CoverageProgress) == []
    assert mismatches(await manager.repair(), results.CheckpointRepair) == []
    for series in ([KEY], []):
        assert mismatches(await coverage_map(store, series=series), results.CoverageMap) == []
    limiter = AdaptiveRateLimiter(windows=[(40, 60)])
    assert mismatches(limiter.stats(), results.LimiterStats) == []
    limiter.report("throttled", END + timedelta(days=3650))
    assert limiter.stats()["blocked_until"] is not None
    assert mismatches(limiter.stats(), results.LimiterStats) == []
    names = {"BTC/USDT": "generic", "BTC/USDT:USDT-261225": "generic", "BTCUSDT_PERP.A": "coinalyze"}
    for symbol, venue in names.items():
        assert mismatches(split_symbol(symbol, venue), results.SymbolParts) == []
