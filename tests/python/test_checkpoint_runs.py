"""Whole backfills over checkpoints on an S3 server that fails, and how few writes they make of many chunks."""

from __future__ import annotations

import asyncio
from datetime import timedelta

import pytest

from checkpoint_processes import FOREVER, START, checkpoint, rows_in
from conftest import Context
from quant_framework.ingestion.chunking import FixedChunkStrategy
from quant_framework.testing import Fault

pytest_plugins = ["checkpoint_fixtures"]

CHUNKS = FixedChunkStrategy(24)
SERIES = [f"{name}USDT_PERP.A" for name in ("BTC", "ETH", "SOL", "XRP")]


async def test_a_backfill_over_checkpoints_behind_faults_succeeds(faulty, proxy, exchange, make, tmp_path, context):
    proxy.script(
        [
            *(checkpoint("status", status) for status in (503, 412, 500, 409)),
            *(checkpoint(action) for action in ("drop", "lost", "cut", "lost")),
            *(checkpoint(action, method="GET") for action in ("cut", "drop", "lost")),
            checkpoint("slow", 0.3, method="GET"),
            checkpoint("status", 503, method="GET"),
        ]
    )
    exchange.inject(Fault("503", times=2))
    options = {"checkpoint_store": faulty, "symbols": SERIES, "chunk_strategy": CHUNKS}
    result = await make(exchange, **options).execute(context)
    assert (result["status"], result["errors"], result["chunks_done"]) == ("success", [], 14 * len(SERIES))
    counts = proxy.counts()
    actions = ("status", "drop", "lost", "cut")
    assert [counts["PUT", action] for action in actions] == [4, 1, 2, 1], "every fault happened"
    assert [counts["GET", action] for action in (*actions, "slow")] == [1, 1, 1, 1, 1]
    rows = rows_in(tmp_path / "lake")
    hours = [START + timedelta(hours=hour) for hour in range(14 * 24)]
    assert rows == sorted((symbol, hour) for symbol in SERIES for hour in hours), "each row once"
    exchange.reset()
    again = await make(exchange, **options).execute(context)
    assert (again["status"], exchange.stats()["requests"]) == ("success", 0)


async def test_many_chunks_are_committed_by_few_writes(faulty, direct, proxy, exchange, make, tmp_path, context):
    symbols = ["BTCUSD_PERP.A", "DOGEUSDT_PERP.A"]
    exchange.latency = 0.05
    end = START + timedelta(days=60)
    options = {"checkpoint_store": faulty, "symbols": symbols, "chunk_strategy": CHUNKS, "end": end}
    result = await make(exchange, **options).execute(context)
    assert (result["status"], result["chunks_done"]) == ("success", 120)
    writes = [path for method, path, _ in proxy.log if method == "PUT" and ".json" in path]
    assert len(symbols) <= len(writes) <= len(symbols) * (result["duration_seconds"] + 2), "one a second and series"
    assert len(writes) <= 120 / 4
    for symbol in symbols:
        assert direct.load_sync(f"coinalyze/ohlcv/{symbol}/1h").data == [(START, end)]


@pytest.mark.parametrize("how", ["cancel", "await"])
async def test_a_cancelled_run_commits_what_waits_for_its_group(how, faulty, direct, proxy, exchange, make, tmp_path):
    symbol = {"cancel": "ADAUSDT_PERP.A", "await": "LINKUSDT_PERP.A"}[how]
    exchange.latency = 0.02
    proxy.script([checkpoint("delay", FOREVER, times=1)])
    options = {"checkpoint_store": faulty, "symbols": [symbol], "chunk_strategy": CHUNKS, "concurrency": 2}
    workflow = make(exchange, end=START + timedelta(days=600), **options)
    running = asyncio.ensure_future(workflow.execute(Context()))
    lake = tmp_path / "lake"
    # The first group is on its way and held up; the chunks behind it wait for theirs.
    while not (proxy.counts()["PUT", "delay"] and len(list(lake.rglob("*.parquet"))) > 60):
        await asyncio.sleep(0.005)
        assert not running.done(), running.result()
    assert workflow._run.progress()["chunks_done"] == 0
    if how == "cancel":
        workflow.cancel()
    else:
        running.cancel()
    proxy.release()
    if how == "cancel":
        assert (await running)["status"] == "cancelled"
    else:
        with pytest.raises(asyncio.CancelledError):
            await running
    done = workflow._run.progress()["chunks_done"]
    covered = direct.load_sync(f"coinalyze/ohlcv/{symbol}/1h").data
    assert 60 < done < 600
    assert sum((high - low) / timedelta(days=1) for low, high in covered) == done
    assert len(rows_in(lake)) == 24 * done
