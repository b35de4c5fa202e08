"""A whole run that loses PostgreSQL on its way: what is held is finished, nothing new starts, nothing is lost."""

from __future__ import annotations

import asyncio
import time

import pyarrow.dataset

from checkpoint_processes import make_bucket
from postgres_server import Postgres
from quant_framework.ingestion.backfill import DatabaseCheckpointStore, HybridCheckpointStore, MinIOCheckpointStore
from quant_framework.ingestion.chunking import FixedChunkStrategy
from quant_framework.testing import Fault

KEY = "coinalyze/ohlcv/BTCUSDT_PERP.A/1h"
CHUNKS = 56
"""Of six hours each."""


def test_a_run_that_loses_postgresql_is_resumed_from_what_is_in_s3(exchange, make, context, s3, tmp_path):
    minio = MinIOCheckpointStore(make_bucket(s3), "ck", s3.endpoint, s3.access_key, s3.secret_key, s3.region)
    exchange.inject(Fault("latency", times=None, value=0.4))
    with Postgres() as postgres:

        def run() -> object:
            store = HybridCheckpointStore(minio, DatabaseCheckpointStore(postgres.dsn))
            # As two tries of one task: the first could not give its claim back.
            options = {"chunk_strategy": FixedChunkStrategy(6), "concurrency": 2, "owner": "task"}
            return make(exchange, checkpoint_store=store, **options)

        async def interrupted() -> dict:
            workflow = run()
            running = asyncio.ensure_future(workflow.execute(context))
            deadline = time.monotonic() + 60
            while not (workflow._run and workflow._run.progress()["chunks_done"]) and time.monotonic() < deadline:
                await asyncio.sleep(0.02)
            await asyncio.to_thread(postgres.stop, True)
            return await running

        result = asyncio.run(interrupted())
        assert result["status"] in ("partial", "failed")
        assert 0 < result["chunks_done"] < CHUNKS
        assert {error["kind"] for error in result["errors"]} == {"unavailable"}
        assert any("committed to S3, not to the database" in error["message"] for error in result["errors"])
        in_s3 = minio.load_sync(KEY)
        postgres.start()
        exchange.reset()
        exchange.faults.clear()
        assert asyncio.run(run().execute(context))["status"] == "success"
        asked = exchange.stats()["requests"]
        assert DatabaseCheckpointStore(postgres.dsn).load_sync(KEY) == minio.load_sync(KEY)
    hours = sum((high - low).total_seconds() / 3600 for low, high in in_s3.data)
    assert asked == CHUNKS - hours / 6, "what S3 knows is not asked for again"
    ts = pyarrow.dataset.dataset(tmp_path / "lake").to_table()["ts"].to_pylist()
    assert len(ts) == len(set(ts)) == CHUNKS * 6
