"""Kill, timeout, mark failed and park through a real scheduler, supervisor and task process."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest

import live_lake
from quant_framework.testing import Fault

pytestmark = [pytest.mark.xdist_group("airflow"), pytest.mark.timeout(1200)]

CHUNKS = 30
DAG = """
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
    for name in ("killed", "marked", "timed", "parked"):
        with DAG(name, schedule=None):
            Backfill(
                task_id="backfill", symbols=["BTCUSDT_PERP.A"], timeframes=["1h"], concurrency=1,
                start="2026-01-05T00:00:00Z", end="2026-08-03T00:00:00Z",
                adapter_options={"retention": None},
                lake=f"FOLDER/{name}/lake", checkpoint=f"FOLDER/{name}/checkpoints",
                retries=50, retry_delay=timedelta(0), max_wait=2,
                execution_timeout=timedelta(seconds=4) if name == "timed" else None,
            )
"""


@pytest.fixture(scope="module", autouse=True)
def folder(airflow) -> Path:
    airflow.add("backfills", DAG)
    return airflow.folder


@pytest.fixture
def exchange(airflow):
    """Each answer takes a moment, so that there is something to interrupt."""
    airflow.exchange.reset()
    airflow.exchange.inject(Fault("latency", times=None, value=0.35))
    return airflow.exchange


def hours(folder: Path, name: str) -> int:
    return live_lake.hours(folder / name)


def complete(folder: Path, name: str) -> bool:
    return live_lake.rows(folder / name / "lake") == hours(folder, name) == CHUNKS * 7 * 24


def test_sigterm_ends_in_a_retry_that_resumes(airflow, exchange, folder):
    run = airflow.trigger("killed")
    airflow.wait(lambda: hours(folder, "killed") > 0, 300)
    os.kill(airflow.task_process().pid, signal.SIGTERM)
    assert airflow.ended("killed", run) == "success"
    assert airflow.task("killed", run)["try_number"] == 2
    assert complete(folder, "killed")
    assert exchange.stats()["requests"] <= CHUNKS + 2, "only the chunk in flight is asked for again"


def test_execution_timeout_fires_on_time_and_the_retry_resumes(airflow, exchange, folder):
    run = airflow.trigger("timed")
    assert airflow.ended("timed", run, 480) == "success"
    tries = airflow.task("timed", run)["try_number"]
    assert tries >= 2
    assert complete(folder, "timed")
    assert exchange.stats()["requests"] <= CHUNKS + tries


def test_a_task_marked_failed_flushes_and_a_cleared_one_resumes(airflow, exchange, folder):
    run = airflow.trigger("marked")
    airflow.wait(lambda: hours(folder, "marked") > 0, 300)
    path = f"dags/marked/dagRuns/{run}/taskInstances/backfill"
    victim = airflow.task_process()  # before its supervisor hears of it
    airflow.call("PATCH", path, {"new_state": "failed"})
    airflow.wait(lambda: airflow.gone(victim), 300)
    done, asked = hours(folder, "marked"), exchange.stats()["requests"]
    assert 0 < done < CHUNKS * 7 * 24
    assert asked <= done // (7 * 24) + 1, "what was fetched is committed"
    airflow.call("POST", "dags/marked/clearTaskInstances", {"dry_run": False, "dag_run_id": run, "only_failed": False})
    airflow.wait(lambda: complete(folder, "marked"), 300)
    assert airflow.ended("marked", run) == "success"
    assert exchange.stats()["requests"] <= CHUNKS + 2


def test_a_long_refusal_parks_the_task_without_using_up_a_retry(airflow, exchange, folder):
    exchange.faults.clear()
    exchange.inject(Fault("429", times=1, value=8))
    run = airflow.trigger("parked")
    airflow.wait(lambda: airflow.task("parked", run)["state"] == "up_for_reschedule", 300)
    assert airflow.ended("parked", run) == "success"
    assert airflow.task("parked", run)["try_number"] == 1
    assert complete(folder, "parked")
