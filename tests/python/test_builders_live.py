"""DAGs of builders in a live Airflow: consumers of a series, ``backfill create``, ``dags test``, params and pools."""

from __future__ import annotations

import json
import subprocess
import sys
import urllib.error
from datetime import datetime, timedelta, timezone
from pathlib import Path

import pytest

from orchestration_runs import BTC, ETH, had, stored
from quant_framework.ingestion.backfill import LocalCheckpointStore

pytestmark = [pytest.mark.xdist_group("airflow"), pytest.mark.timeout(1200)]

SOL = "SOLUSDT_PERP.A"
DAY = timedelta(days=1)
FROM = datetime(2026, 1, 5, tzinfo=timezone.utc)
RANGE = {"start": "2026-01-05T00:00:00Z", "end": "2026-01-06T00:00:00Z"}
DAG = f"""
    from datetime import datetime, timedelta, timezone
    from airflow.sdk import DAG, CronDataIntervalTimetable, task
    from quant_framework.airflow.assets import series_asset
    from quant_framework.orchestration.dag_builders import BackfillDagBuilder, IncrementalDagBuilder
    def options(name):
        return {{
            "timeframes": ["1h"], "lake": f"file://FOLDER/{{name}}/bronze",
            "checkpoint": f"file://FOLDER/{{name}}/checkpoints", "adapter_options": {{"retention": None}},
            "operator_options": {{"max_active_tis_per_dag": 1}},
        }}
    producer = BackfillDagBuilder("producer", symbols=["BTC", "ETH"], **options("producer")).build()
    daily = CronDataIntervalTimetable("@daily", "UTC")
    began = {{"start_date": datetime(2026, 1, 1, tzinfo=timezone.utc), "schedule": daily}}
    past = BackfillDagBuilder("past", symbols=["SOL"], **options("past"), **began).build()
    update = IncrementalDagBuilder(
        "past_updates", symbols=["SOL"], lookback=timedelta(days=2), **options("past_updates"), **began
    ).build()
    # Not paused, the scheduler would run the task of ``dags test`` as well.
    paused = {{"is_paused_upon_creation": True}}
    tested = BackfillDagBuilder("tested", symbols=["SOL"], **options("tested"), **{RANGE}, **paused).build()
    with DAG("consumer", schedule=[series_asset("coinalyze/ohlcv/{BTC}/1h")]):
        @task
        def told(triggering_asset_events=None):
            return [dict(event.extra) for event in triggering_asset_events[series_asset("coinalyze/ohlcv/{BTC}/1h")]]
        told()
"""


@pytest.fixture(scope="module", autouse=True)
def folder(airflow) -> Path:
    airflow.exchange.reset()
    airflow.add("builders", DAG)
    return airflow.folder


def runs(airflow, dag: str) -> list[dict]:
    return airflow.call("GET", f"dags/{dag}/dagRuns?limit=100")["dag_runs"]


def trigger(airflow, dag: str, **conf: object) -> str:
    run = airflow.trigger(dag, **conf)
    assert airflow.ended(dag, run, 300) == "success"
    return run


def states(airflow, dag: str, run: str) -> dict[int, str]:
    path = f"dags/{dag}/dagRuns/{run}/taskInstances"
    return {one["map_index"]: one["state"] for one in airflow.call("GET", path)["task_instances"]}


def test_a_consumer_of_a_series_is_told_of_new_rows_and_of_nothing_else(airflow, folder):
    airflow.wait(lambda: known(airflow, "consumer"), 300)
    run = trigger(airflow, "producer", symbols=["ETH"], **RANGE)
    assert states(airflow, "producer", run) == {0: "skipped", 1: "success"}
    assert stored(folder / "producer" / "bronze") == had(airflow.exchange, ETH, start=FROM, end=FROM + DAY)
    trigger(airflow, "producer", symbols=["BTC"], **RANGE)
    airflow.wait(lambda: runs(airflow, "consumer"), 300)
    trigger(airflow, "producer", **RANGE)
    trigger(airflow, "producer", **(RANGE | {"end": "2026-01-07T00:00:00Z"}))
    airflow.wait(lambda: len(runs(airflow, "consumer")) == 2, 300)
    told = []
    for one in sorted(runs(airflow, "consumer"), key=lambda run: run["run_after"]):
        assert airflow.ended("consumer", one["dag_run_id"]) == "success"
        told += airflow.result("consumer", one["dag_run_id"], "told")
    assert [(one["series"], one["rows"]) for one in told] == [(f"coinalyze/ohlcv/{BTC}/1h", 24)] * 2
    assert [(one["start"], one["end"]) for one in told] == [
        ("2026-01-05T00:00:00Z", "2026-01-06T00:00:00Z"),
        ("2026-01-05T00:00:00Z", "2026-01-07T00:00:00Z"),
    ]


def known(airflow, dag: str) -> bool:
    try:
        return bool(airflow.call("GET", f"dags/{dag}"))
    except urllib.error.HTTPError:
        return False


def test_a_symbol_that_the_dag_has_not_is_refused_when_it_is_triggered(airflow):
    airflow.wait(lambda: known(airflow, "producer"), 300)
    with pytest.raises(urllib.error.HTTPError) as refused:
        airflow.call("POST", "dags/producer/dagRuns", {"logical_date": None, "conf": {"symbols": ["DOGE"]}})
    assert refused.value.code in (400, 422)


def command(airflow, *arguments: str) -> str:
    done = subprocess.run(
        [sys.executable, "-m", "airflow", *arguments],
        env=airflow.env,
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    return done.stdout


@pytest.mark.parametrize("dag", ["past", "past_updates"])
def test_backfill_create_fetches_the_intervals_that_were_asked_for_and_no_other(dag, airflow, folder):
    airflow.wait(lambda: known(airflow, dag), 300)
    before = {run["dag_run_id"] for run in runs(airflow, dag)}
    options = ["--from-date", "2026-01-07", "--to-date", "2026-01-09", "--max-active-runs", "2"]
    command(airflow, "backfill", "create", "--dag-id", dag, *options)
    made = lambda: [run for run in runs(airflow, dag) if run["run_type"] == "backfill"]  # noqa: E731
    airflow.wait(lambda: len(made()) == 3 and all(run["state"] in ("success", "failed") for run in made()), 300)
    assert {run["state"] for run in made()} == {"success"}
    assert not before & {run["dag_run_id"] for run in made()}
    low = FROM + (DAY if dag == "past_updates" else 2 * DAY)
    held = LocalCheckpointStore(folder / dag / "checkpoints").load_sync(f"coinalyze/ohlcv/{SOL}/1h")
    # A DAG that was not paused may have had its newest scheduled interval too.
    of_the_past = [(start, end) for start, end in held.data if start < FROM + 30 * DAY]
    assert of_the_past == [(low, FROM + 5 * DAY)]
    rows = [row for row in stored(folder / dag / "bronze") if row[1] < (FROM + 30 * DAY).timestamp() * 1000]
    assert rows == had(airflow.exchange, SOL, start=low, end=FROM + 5 * DAY)


def test_dags_test_runs_it(airflow, folder):
    airflow.wait(lambda: known(airflow, "tested"), 300)
    command(airflow, "dags", "test", "tested", "--conf", json.dumps({"symbols": ["SOL"]}))
    assert stored(folder / "tested" / "bronze") == had(airflow.exchange, SOL, start=FROM, end=FROM + DAY)
