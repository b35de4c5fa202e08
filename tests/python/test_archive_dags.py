"""Binance's archive named by operators, builders, YAML and connections."""

from __future__ import annotations

import json
from datetime import datetime, timedelta, timezone

import pytest

from orchestration_runs import Xcoms, execute, facts, stored
from quant_framework import settings
from quant_framework.airflow import connections
from quant_framework.orchestration.dag_builders import BackfillDagBuilder, DagFactory
from quant_framework.orchestration.operators import BackfillOperator, IncrementalOperator
from quant_framework.orchestration.tasks import fetch_ohlcv, write_bronze
from quant_framework.testing.archive import bar

pytest_plugins = ["orchestration_fixtures"]

START, END = (datetime(2024, month, 1, tzinfo=timezone.utc) for month in (1, 3))
SPAN = {"start": START, "end": END, "symbols": ["BTCUSDT"], "timeframes": ["1h"], "source": "binance_archive"}
HOURS = 60 * 24


def expected(market: str = "spot") -> list[tuple]:
    opens = (START + timedelta(hours=n) for n in range(HOURS))
    bars = ((at, bar("BTCUSDT", "1h", at, market)) for at in opens)
    return [("BTCUSDT", int(at.timestamp() * 1000), *(one[key] for key in "ohlcv")) for at, one in bars]


@pytest.mark.parametrize(("market", "source"), [("spot", "binance"), ("usdm", "binance_usdm")])
def test_an_operator_names_it_and_its_market(home, exchange, market, source):
    task = BackfillOperator(task_id="backfill", adapter_options={"market": market}, **SPAN)
    result = execute(task, Xcoms())
    assert (result["status"], result["records_written"]) == ("success", HOURS)
    assert stored(home / "lake" / "bronze") == expected(market)
    assert facts(home, f"{source}/ohlcv/BTCUSDT/1h")[:3] == ([(START, END)], [], f"binance/v1 {market}")
    assert not (home / "limits").exists(), "nothing is shared where nothing is limited"


def test_an_update_brings_the_published_days_and_then_asks_for_the_rest_alone(home, exchange):
    now = datetime.now(timezone.utc)
    midnight = now.replace(hour=0, minute=0, second=0, microsecond=0)
    exchange.archive.days_late, exchange.archive.months_late = timedelta(days=2), timedelta(days=40)
    options = {"symbols": ["BTCUSDT"], "timeframes": ["1h"], "source": "binance_archive"}
    start = midnight - timedelta(days=5)
    task = IncrementalOperator(task_id="update", start=start, **options)
    result = execute(task, Xcoms())
    assert (result["status"], result["records_written"]) == ("success", 3 * 24)
    exchange.reset()
    result = execute(task, Xcoms())
    assert (result["status"], result["records_written"]) == ("success", 0)
    days = {entry["path"][-14:-4] for entry in exchange.ledger}
    assert f"{midnight - timedelta(days=3):%Y-%m-%d}" not in days, "what is there is not asked for again"


def test_rows_fetched_into_a_stage_are_written_from_it(home, exchange):
    exchange.archive.drop("BTCUSDT-1h-2024-01.zip", START, START + timedelta(hours=3))
    exchange.archive.drop("BTCUSDT-1h-2024-01-01.zip", START, START + timedelta(hours=3))
    staged = fetch_ohlcv("BTCUSDT", "1h", START, END, source="binance_archive")
    assert (staged["series"], staged["bars"]) == ("binance/ohlcv/BTCUSDT/1h", HOURS - 3)
    written = write_bronze(staged)
    assert (written["status"], written["records_written"]) == ("success", HOURS - 3)
    assert stored(home / "lake" / "bronze") == expected()[3:]
    data, empty, *_ = facts(home, "binance/ohlcv/BTCUSDT/1h")
    assert (data, empty) == ([(START + timedelta(hours=3), END)], [(START, START + timedelta(hours=3))])


def test_a_builder_and_a_file_make_the_same_backfill(home, exchange, tmp_path):
    def written(dag) -> list[int]:
        (task,) = dag.tasks
        mapped = [task.unmap(value) for value in task.expand_input.value]
        chosen = {"start": START.isoformat(), "end": END.isoformat()}
        return [execute(one, Xcoms(), params=chosen)["records_written"] for one in mapped]

    built = BackfillDagBuilder("built", adapter_options={"market": "usdm"}, **SPAN).build()
    assert written(built) == [HOURS]
    (tmp_path / "dags.yaml").write_text("""
dags:
  from_file:
    type: backfill
    symbols: [ETHUSDT]
    timeframes: [1h]
    source: binance_archive
    adapter_options: {market: usdm}
    start: 2024-01-01
    end: 2024-03-01
""")
    assert written(DagFactory(tmp_path / "dags.yaml").build()["from_file"]) == [HOURS]


def test_a_connection_names_the_server_and_the_market(exchange, monkeypatch):
    extra = {"source": "binance_archive", "market": "usdm"}
    text = json.dumps({"conn_type": "market_data", "host": exchange.url, "extra": extra})
    monkeypatch.setenv("AIRFLOW_CONN_ARCHIVE", text)
    adapter = connections.open_adapter(None, None, "archive")
    assert (adapter.source, repr(adapter)) == ("binance_usdm", "BinanceArchiveAdapter(usdm)")
    assert type(settings.open_adapter("binance_archive")) is type(adapter)
