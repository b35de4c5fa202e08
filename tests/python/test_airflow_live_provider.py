"""What the provider adds to Airflow, through a real API server, scheduler, supervisor and task process."""

from __future__ import annotations

import json
import urllib.request
from pathlib import Path

import psycopg
import pytest

from quant_framework.testing import OfflineExchange

pytestmark = [pytest.mark.xdist_group("airflow"), pytest.mark.timeout(1200)]

KEY = "a-key-that-nobody-may-see"
SYMBOLS = ["BTCUSDT_PERP.A", "ETHUSDT_PERP.A"]
ROWS = 14 * 24
OPTIONS = """
        timeframes=["1h"], start="2026-01-05T00:00:00Z", end="2026-01-19T00:00:00Z",
        adapter_options={"retention": None}, retry_delay=timedelta(0),
"""
HEAD = """
    from datetime import timedelta
    from airflow.sdk import DAG, task
    from quant_framework.airflow.hooks import MarketDataHook
    from quant_framework.orchestration.operators import BackfillOperator
"""
DECORATED = f"""{HEAD}
    with DAG("decorated", schedule=None):
        @task.quant_backfill(
            lake="FOLDER/decorated/lake", checkpoint="FOLDER/decorated/checkpoints", {OPTIONS}
        )
        def backfill(symbol: str, dag_run=None) -> dict:
            return {{"symbols": [symbol], "end": dag_run.conf["end"]}}
        backfill.expand(symbol={SYMBOLS})
        @task.quant_backfill(
            lake="FOLDER/decorated/lake", checkpoint="FOLDER/decorated/checkpoints", retries=3, {OPTIONS}
        )
        def wrong() -> dict:
            return {{"symbol": "BTC"}}
        wrong()
"""
TRACED = f"""{HEAD}
    import os
    from airflow.providers.openlineage.utils.selective_enable import enable_lineage
    class Traced(BackfillOperator):
        def report(self, result, context):
            super().report(result, context)
            self._process = os.getpid()
        def get_openlineage_facets_on_complete(self, task_instance):
            assert os.getpid() != self._process, "the listener asks in a fork"
            return super().get_openlineage_facets_on_complete(task_instance)
    with DAG("traced", schedule=None) as dag:
        Traced.partial(
            task_id="backfill", lake="s3://quant-framework/traced", minio_conn_id="minio_default",
            checkpoint="s3://quant-framework/traced-checkpoints", {OPTIONS}
        ).expand(symbols=[[symbol] for symbol in {[*SYMBOLS, "NOPE"]}])
    enable_lineage(dag)
"""
SECRET = f"""{HEAD}
    import logging
    with DAG("secret", schedule=None):
        BackfillOperator(
            task_id="backfill", symbols=["BTC"], market_data_conn_id="secret_exchange",
            lake="FOLDER/secret/lake", checkpoint="FOLDER/secret/checkpoints", {OPTIONS}
        )
        @task
        def careless():
            connection = MarketDataHook.get_connection("secret_exchange")
            logging.getLogger("careless").warning("the key is %s", connection.password)
            print("printed", connection.password)
            adapter = MarketDataHook("secret_exchange").get_conn()
            print("adapter", adapter, MarketDataHook("secret_exchange"))
        careless()
"""
LOOKUPS = f"""{HEAD}
    for name in ("broken", "absent"):
        with DAG(name, schedule=None):
            @task(retries=20, retry_delay=timedelta(seconds=1))
            def look(conn_id):
                from quant_framework.airflow.compat import AirflowFailException
                from quant_framework.errors import InvalidError
                try:
                    return MarketDataHook(conn_id).get_conn().source
                except InvalidError as error:
                    raise AirflowFailException(str(error)) from error
            look(name + "_exchange")
"""


@pytest.fixture(scope="module", autouse=True)
def dags(airflow) -> Path:
    for name, text in {"decorated": DECORATED, "traced": TRACED, "secret": SECRET, "lookups": LOOKUPS}.items():
        airflow.add(name, text)
    airflow.exchange.reset()
    return airflow.folder


@pytest.fixture
def locked():
    """An exchange that wants the key."""
    with OfflineExchange(limit=None, api_key=KEY) as exchange:
        yield exchange


def part(airflow, dag: str, run: str, task: str, index: int, what: str = "") -> dict:
    return airflow.call("GET", f"dags/{dag}/dagRuns/{run}/taskInstances/{task}/{what or index}?map_index={index}")


def connection(airflow, conn_id: str, url: str) -> dict:
    body = {"connection_id": conn_id, "conn_type": "market_data", "host": url, "password": KEY}
    return body | {"extra": json.dumps({"source": "coinalyze", "retention": "all", "market": None})}


def test_a_function_decides_what_each_mapped_task_fetches(airflow):
    run = airflow.trigger("decorated", end="2026-01-12T00:00:00Z")
    assert airflow.ended("decorated", run) == "failed"
    for index, symbol in enumerate(SYMBOLS):
        found = airflow.call(
            "GET",
            f"dags/decorated/dagRuns/{run}/taskInstances/backfill/xcomEntries/return_value"
            f"?stringify=false&map_index={index}",
        )["value"]
        assert (found["status"], found["records_written"]) == ("success", 7 * 24)
        assert found["series"][0]["series"] == f"coinalyze/ohlcv/{symbol}/1h"
        task = airflow.call("GET", f"dags/decorated/dagRuns/{run}/taskInstances/backfill/{index}")
        assert (task["state"], task["operator_name"]) == ("success", "@task.quant_backfill")
        assert task["rendered_fields"]["symbols"] == [symbol], "the UI shows what the function chose"
    wrong = airflow.task("decorated", run, "wrong")
    assert (wrong["state"], wrong["try_number"]) == ("failed", 1), "what cannot work is not retried"
    assert "wrong returned the key 'symbol'; use symbols" in airflow.logs("decorated", run, "wrong")


def told(dags: Path, kind: str) -> list[dict]:
    """The events of that kind that were written as a whole."""
    file = dags / "lineage.json"
    lines = file.read_text().splitlines(keepends=True) if file.exists() else []
    events = [json.loads(line) for line in lines if line.endswith("\n")]
    return [event for event in events if (event["job"]["name"], event["eventType"]) == ("traced.backfill", kind)]


def test_links_and_lineage_of_mapped_tasks(airflow, dags):
    run = airflow.trigger("traced")
    assert airflow.ended("traced", run) == "failed", "NOPE is no symbol"
    places = [f"traced/source=coinalyze/dataset=ohlcv/symbol={symbol}/timeframe=1h" for symbol in SYMBOLS]
    for index, place in enumerate([*places, None]):
        links = airflow.call("GET", f"dags/traced/dagRuns/{run}/taskInstances/backfill/links?map_index={index}")[
            "extra_links"
        ]
        at = place and place.replace("=", "%3D")
        assert links == {"Lake": at and f"https://lake.example.com/quant-framework?at={at}"}
    # A task has ended before its listener tells of it.
    airflow.wait(lambda: len(told(dags, "COMPLETE")) >= len(SYMBOLS) and told(dags, "FAIL"), 120)
    done = told(dags, "COMPLETE")
    written = {
        (output["namespace"], output["name"]): output["outputFacets"]["outputStatistics"]["rowCount"]
        for event in done
        for output in event["outputs"]
    }
    assert written == {("s3://quant-framework", place): ROWS for place in places}
    assert {(read["namespace"], read["name"]) for event in done for read in event["inputs"]} == {
        ("quant://coinalyze", f"ohlcv/{symbol}/1h") for symbol in SYMBOLS
    }
    [failed] = told(dags, "FAIL")
    assert "NOPE" in failed["run"]["facets"]["errorMessage"]["message"]


def test_the_key_of_a_connection_is_never_shown(airflow, locked, dags):
    airflow.call("POST", "connections", connection(airflow, "secret_exchange", locked.url))
    run = airflow.trigger("secret")
    assert airflow.ended("secret", run) == "success"
    careless = airflow.logs("secret", run, "careless")
    assert "the key is ***" in careless
    assert "printed ***" in careless
    shown = [careless, airflow.logs("secret", run), json.dumps(airflow.task("secret", run))]
    shown += [json.dumps(airflow.result("secret", run, "backfill")), json.dumps(airflow.state("secret", run))]
    shown += [json.dumps(airflow.call("GET", "connections/secret_exchange"))]
    shown += [path.read_text() for path in (airflow.home / "logs").rglob("*.log")]
    # What a task prints, Airflow repeats on the scheduler's own output, and masks nothing there.
    console = "".join(path.read_text() for path in airflow.home.glob("*.log")).splitlines()
    shown += [line for line in console if "the key is" not in line and "printed" not in line]
    assert not [text for text in shown if KEY in text]
    assert locked.stats()["requests"] > 0, "the key was used"


def test_the_connection_form_and_its_test_button(airflow, locked):
    base = airflow.url.removesuffix("/api/v2")
    request = urllib.request.Request(
        f"{base}/ui/connections/hook_meta", headers={"Authorization": f"Bearer {airflow.token}"}
    )
    with urllib.request.urlopen(request, timeout=60) as answer:
        [form] = [hook for hook in json.load(answer) if hook["connection_type"] == "market_data"]
    assert form["hook_name"] == "Market data API"
    assert form["standard_fields"]["password"]["title"] == "API key"
    assert form["standard_fields"]["login"]["hidden"]
    assert set(form["extra_fields"]) == {"source", "market", "retention", "convert_to_usd"}
    body = connection(airflow, "tested", locked.url)
    assert airflow.call("POST", "connections/test", body) == {
        "status": True,
        "message": "coinalyze answers: BTC is BTCUSDT_PERP.A",
    }
    answer = airflow.call("POST", "connections/test", body | {"password": "another-key"})
    assert not answer["status"]
    assert "401" in answer["message"]
    assert "another-key" not in answer["message"]


def test_only_a_connection_that_is_truly_missing_fails_for_good(airflow, locked):
    """Cause: Airflow takes every failure of its API server for "there is no such connection"."""
    run = airflow.trigger("absent")
    assert airflow.ended("absent", run) == "failed"
    assert airflow.task("absent", run, "look")["try_number"] == 1
    assert "there is no connection 'absent_exchange'" in airflow.logs("absent", run, "look")
    airflow.call("POST", "connections", connection(airflow, "broken_exchange", locked.url))
    with psycopg.connect(airflow.database) as database:
        # The API server cannot answer before the supervisor has given up.
        database.execute("LOCK TABLE connection IN ACCESS EXCLUSIVE MODE")
        run = airflow.trigger("broken")
        airflow.wait(lambda: airflow.task("broken", run, "look")["try_number"] > 1, 300)
    assert "Airflow's API server did not give connection 'broken_exchange'" in airflow.logs("broken", run, "look")
    assert airflow.ended("broken", run, 300) == "success"
    assert airflow.result("broken", run, "look") == "coinalyze"
