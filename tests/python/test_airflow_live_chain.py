"""fetch >> validate >> write through a real scheduler and supervisor: killed, out of time, failed, cleared, parked."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest

import live_lake
from live_lake import SERIES
from quant_framework.testing import Fault

pytestmark = [pytest.mark.xdist_group("airflow"), pytest.mark.timeout(1200)]

CHUNKS, HOURS = 20, 168
NAMES = ("chain_killed", "chain_timed", "chain_marked", "chain_parked", "chain_written")
DAG = f"""
    from datetime import timedelta
    from airflow.sdk import DAG
    from quant_framework.ingestion.chunking import FixedChunkStrategy
    from quant_framework.ingestion.rate_limit import AdaptiveRateLimiter
    from quant_framework.ingestion.writers import BronzeWriter
    from quant_framework.orchestration.operators import FetchOHLCVOperator, ValidationOperator, WriteBronzeOperator
    class Fetch(FetchOHLCVOperator):
        def build_rate_limiter(self, context):
            return AdaptiveRateLimiter(1000, 1000, 1)
        def build_chunk_strategy(self, context):
            return FixedChunkStrategy({HOURS})
    class Slow(BronzeWriter):
        def write(self, series, range, batch):
            import pathlib, time
            while pathlib.Path("FOLDER/chain_written/hold").exists():
                time.sleep(0.05)
            return super().write(series, range, batch)
    class Write(WriteBronzeOperator):
        def build_writer(self, context):
            return Slow(self.lake)
    for name in {NAMES}:
        with DAG(name, schedule=None, default_args={{"retries": 50, "retry_delay": timedelta(0)}}):
            places = {{"lake": f"file://FOLDER/{{name}}/bronze", "checkpoint": f"file://FOLDER/{{name}}/checkpoints"}}
            fetch = Fetch(
                task_id="fetch", symbol="BTCUSDT_PERP.A", timeframe="1h", concurrency=1, max_wait=2,
                start="2026-01-05T00:00:00Z", end="2026-05-25T00:00:00Z", adapter_options={{"retention": None}},
                execution_timeout=timedelta(seconds=4) if name == "chain_timed" else None, **places,
            )
            look = ValidationOperator(task_id="look", fail_on="warning", **places)
            write = (Write if name == "chain_written" else WriteBronzeOperator)(task_id="write", **places)
            fetch >> look >> write
"""


@pytest.fixture(scope="module", autouse=True)
def folder(airflow) -> Path:
    airflow.add("chains", DAG)
    return airflow.folder


@pytest.fixture
def exchange(airflow):
    """Each answer takes a moment, so that there is something to interrupt."""
    airflow.exchange.reset()
    airflow.exchange.inject(Fault("latency", times=None, value=0.35))
    return airflow.exchange


def staged(folder: Path, name: str) -> int:
    """Chunks that lie in the staging place."""
    return len(list((folder / name / "staging").rglob("*.parquet")))


def hours(folder: Path, name: str) -> int:
    return live_lake.hours(folder / name)


def complete(folder: Path, name: str) -> bool:
    return live_lake.rows(folder / name / "bronze") == hours(folder, name) == CHUNKS * HOURS


def test_a_fetch_that_is_killed_goes_on_where_it_was(airflow, exchange, folder):
    run = airflow.trigger("chain_killed")
    airflow.wait(lambda: staged(folder, "chain_killed") > 2, 300)
    os.kill(airflow.task_process().pid, signal.SIGTERM)
    assert airflow.ended("chain_killed", run, 300) == "success"
    assert airflow.task("chain_killed", run, "fetch")["try_number"] == 2
    assert complete(folder, "chain_killed")
    assert exchange.stats()["requests"] <= CHUNKS + 2
    reference = airflow.result("chain_killed", run, "fetch")
    assert (reference["series"], reference["bars"]) == (SERIES, CHUNKS * HOURS)
    assert len(str(reference)) < 500


def test_a_fetch_that_runs_out_of_time_goes_on_where_it_was(airflow, exchange, folder):
    run = airflow.trigger("chain_timed")
    assert airflow.ended("chain_timed", run, 480) == "success"
    tries = airflow.task("chain_timed", run, "fetch")["try_number"]
    assert tries >= 2
    assert complete(folder, "chain_timed")
    assert exchange.stats()["requests"] <= CHUNKS + tries


def test_a_fetch_that_is_marked_failed_writes_nothing_and_goes_on_when_it_is_cleared(airflow, exchange, folder):
    run = airflow.trigger("chain_marked")
    airflow.wait(lambda: staged(folder, "chain_marked") > 2, 300)
    path = f"dags/chain_marked/dagRuns/{run}/taskInstances/fetch"
    victim = airflow.task_process()  # before its supervisor hears of it
    airflow.call("PATCH", path, {"new_state": "failed"})
    airflow.wait(lambda: airflow.gone(victim), 300)
    assert airflow.ended("chain_marked", run) == "failed"
    assert hours(folder, "chain_marked") == 0
    asked = exchange.stats()["requests"]
    assert asked <= staged(folder, "chain_marked") + 1
    body = {"dry_run": False, "dag_run_id": run, "only_failed": False}
    airflow.call("POST", "dags/chain_marked/clearTaskInstances", body)
    airflow.wait(lambda: complete(folder, "chain_marked") if hours(folder, "chain_marked") else False, 300)
    assert airflow.ended("chain_marked", run) == "success"
    assert exchange.stats()["requests"] <= CHUNKS + 2


def test_a_fetch_that_is_refused_for_long_is_parked(airflow, exchange, folder):
    exchange.faults.clear()
    exchange.inject(Fault("429", times=1, value=8))
    run = airflow.trigger("chain_parked")
    airflow.wait(lambda: airflow.task("chain_parked", run, "fetch")["state"] == "up_for_reschedule", 300)
    assert airflow.ended("chain_parked", run, 300) == "success"
    assert airflow.task("chain_parked", run, "fetch")["try_number"] == 1
    assert complete(folder, "chain_parked")


def test_a_write_that_is_lost_is_done_by_its_retry_and_again_when_it_is_cleared(airflow, exchange, folder):
    exchange.faults.clear()
    hold = folder / "chain_written" / "hold"
    hold.parent.mkdir()
    hold.touch()
    run = airflow.trigger("chain_written")
    airflow.wait(lambda: airflow.task("chain_written", run, "write")["state"] == "running", 300)
    victim = airflow.task_process()
    os.kill(victim.pid, signal.SIGKILL)
    hold.unlink()
    assert airflow.ended("chain_written", run, 300) == "success"
    assert airflow.task("chain_written", run, "write")["try_number"] == 2
    assert complete(folder, "chain_written")
    objects = {path: path.read_bytes() for path in (folder / "chain_written" / "bronze").rglob("*.parquet")}
    body = {"dry_run": False, "dag_run_id": run, "task_ids": ["write"], "only_failed": False}
    airflow.call("POST", "dags/chain_written/clearTaskInstances", body)
    airflow.wait(lambda: airflow.task("chain_written", run, "write")["try_number"] == 3, 300)
    assert airflow.ended("chain_written", run) == "success"
    assert airflow.result("chain_written", run, "write")["records_written"] == 0
    assert objects == {path: path.read_bytes() for path in (folder / "chain_written" / "bronze").rglob("*.parquet")}
