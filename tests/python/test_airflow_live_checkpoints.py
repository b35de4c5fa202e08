"""Checkpoints in S3 and PostgreSQL by connections, through a real scheduler, supervisor and task process."""

from __future__ import annotations

import os
import signal
from datetime import datetime, timedelta, timezone
from pathlib import Path

import pytest

import live_lake
from quant_framework.ingestion.backfill import Checkpoint, DatabaseCheckpointStore, MinIOCheckpointStore
from quant_framework.testing import Fault

pytestmark = [pytest.mark.xdist_group("airflow"), pytest.mark.timeout(1200)]

EXAMPLE = Path(__file__).parents[2] / "dags_examples" / "checkpoints_example.py"
CHUNKS = 30
# One database holds all checkpoints: each DAG has a symbol of its own.
SYMBOLS = {"terminated": "ETHUSDT_PERP.A", "lost": "SOLUSDT_PERP.A", "twice": "XRPUSDT_PERP.A"}
DAG = f"""
    from datetime import timedelta
    from airflow.sdk import DAG
    from quant_framework.ingestion.chunking import FixedChunkStrategy
    from quant_framework.ingestion.rate_limit import AdaptiveRateLimiter
    from quant_framework.orchestration.operators import BackfillOperator
    class Backfill(BackfillOperator):
        def build_rate_limiter(self, context):
            return AdaptiveRateLimiter(1000, 1000, 1)
        def build_chunk_strategy(self, context):
            return FixedChunkStrategy(168)
        def build_workflow(self, context):
            workflow = super().build_workflow(context)
            workflow.progress_interval = 0.5
            return workflow
    for name, symbol in {SYMBOLS}.items():
        with DAG(name, schedule=None):
            Backfill(
                task_id="backfill", symbols=[symbol], timeframes=["1h"], concurrency=1,
                start="2026-01-05T00:00:00Z", end="2026-08-03T00:00:00Z",
                adapter_options={{"retention": None}}, lake=f"FOLDER/{{name}}/lake",
                checkpoint="s3://quant-framework/checkpoints",
                minio_conn_id="minio_default", postgres_conn_id="postgres_default",
                retries=100, retry_delay=timedelta(0),
            )
"""


@pytest.fixture(scope="module", autouse=True)
def folder(airflow) -> Path:
    airflow.add("hybrids", DAG)
    airflow.add("checkpoints_example", EXAMPLE.read_text())
    return airflow.folder


@pytest.fixture
def exchange(airflow):
    """Each answer takes a moment, so that there is something to interrupt."""
    airflow.exchange.reset()
    airflow.exchange.inject(Fault("latency", times=None, value=0.35))
    return airflow.exchange


@pytest.fixture
def held(s3, live_database):
    """What both servers hold of a DAG's series; the same."""
    keys = {"access_key": s3.access_key, "secret_key": s3.secret_key}
    minio = MinIOCheckpointStore("quant-framework", endpoint_url=s3.endpoint, **keys)
    database = DatabaseCheckpointStore(live_database)

    def held(symbol: str) -> Checkpoint:
        copies = [store.load_sync(f"coinalyze/ohlcv/{symbol}/1h") for store in (minio, database)]
        assert copies[0] == copies[1]
        return copies[1]

    return held


def complete(folder: Path, name: str, checkpoint: Checkpoint) -> bool:
    return live_lake.rows(folder / name / "lake") == live_lake.hours_in(checkpoint) == CHUNKS * 7 * 24


def interrupted(airflow, name: str, signal_number: int) -> str:
    """A run whose task gets a signal once its progress is to be seen."""
    run = airflow.trigger(name)
    airflow.wait(lambda: airflow.state(name, run).get("quant_framework", {}).get("chunks_done", 0) > 2, 300)
    assert airflow.state(name, run)["quant_framework"]["status"] == "running"
    os.kill(airflow.task_process().pid, signal_number)
    return run


# What is written waits up to a second for its commit: a kill that cannot be heard costs a few chunks more.
@pytest.mark.parametrize(("name", "number", "again"), [("terminated", signal.SIGTERM, 2), ("lost", signal.SIGKILL, 8)])
def test_a_killed_task_ends_in_a_retry_that_resumes_and_both_copies_agree(
    name, number, again, airflow, exchange, folder, held
):
    run = interrupted(airflow, name, number)
    assert airflow.ended(name, run) == "success"
    assert airflow.task(name, run)["try_number"] == 2, "the second try takes the claim of the first over at once"
    assert complete(folder, name, held(SYMBOLS[name]))
    assert exchange.stats()["requests"] <= CHUNKS + again, "only what was in flight is asked for again"
    progress = airflow.state(name, run)["quant_framework"]
    assert progress["status"] == "success"
    assert 0 < progress["chunks_done"] < CHUNKS, "the second try has fetched the rest"


def test_two_runs_at_once_fetch_every_chunk_once(airflow, exchange, folder, held):
    runs = [airflow.trigger("twice") for _ in range(2)]
    tries = lambda: [airflow.task("twice", run)["try_number"] for run in runs]  # noqa: E731
    airflow.wait(lambda: max(tries()) > 1, 300)
    winner, loser = sorted(runs, key=lambda run: airflow.task("twice", run)["try_number"])
    log = str(airflow.task("twice", loser, part="/logs/1"))
    assert f"coinalyze/ohlcv/{SYMBOLS['twice']}/1h: being fetched by twice.backfill {winner}" in log
    exchange.faults.clear()
    assert [airflow.ended("twice", run) for run in runs] == ["success", "success"]
    assert complete(folder, "twice", held(SYMBOLS["twice"]))
    assert exchange.stats()["requests"] <= CHUNKS + 2


def test_the_example_reads_what_it_has_fetched(airflow, exchange, held):
    end = datetime.now(timezone.utc).replace(hour=0, minute=0, second=0, microsecond=0)
    start = end - timedelta(days=7)
    run = airflow.trigger("checkpoints_example", start=start.isoformat(), end=end.isoformat())
    assert airflow.ended("checkpoints_example", run) == "success"
    known = airflow.result("checkpoints_example", run, "known")
    assert (known["data"], known["pending"]) == ([[start.isoformat(), end.isoformat()]], [])
    assert held("BTCUSDT_PERP.A").data == [(start, end)]
    assert airflow.result("checkpoints_example", run, "judge") == f"complete up to {end.isoformat()}"
    progress = airflow.state("checkpoints_example", run)["quant_framework"]
    assert (progress["status"], progress["records_written"]) == ("success", 7 * 24)
