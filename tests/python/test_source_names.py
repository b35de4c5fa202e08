"""Binance and ccxt by their names: operators, builders, YAML, functions, connections and the command line."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from airflow.sdk import DAG

from conftest import END, START
from orchestration_runs import Xcoms, execute, run_dag
from quant_framework import settings
from quant_framework.airflow.connections import open_adapter, refuse_secrets
from quant_framework.airflow.hooks import MarketDataHook
from quant_framework.cli import main
from quant_framework.errors import InvalidError
from quant_framework.ingestion.adapters import CcxtAdapter
from quant_framework.ingestion.backfill import LocalCheckpointStore
from quant_framework.ingestion.rate_limit import PRESETS
from quant_framework.orchestration.dag_builders import BackfillDagBuilder, DagFactory
from quant_framework.orchestration.operators import BackfillOperator, FetchOHLCVOperator, WriteBronzeOperator
from quant_framework.orchestration.tasks import fetch_ohlcv, write_bronze

HOURS = 14 * 24
SOURCES = {
    "binance": ({}, "BTCUSDT", "binance/ohlcv/BTCUSDT/1h"),
    "binance_usdm": ({}, "BTCUSDT", "binance_usdm/ohlcv/BTCUSDT/1h"),
    "ccxt": ({"exchange_id": "binanceusdm"}, "BTC/USDT:USDT", "ccxt_binanceusdm/ohlcv/BTC%2FUSDT%3AUSDT/1h"),
}


@pytest.fixture(autouse=True)
def home(exchange, tmp_path, monkeypatch) -> Path:
    """Everything by the environment, without a key, and in no hurry."""
    monkeypatch.delenv("COINALYZE_API_KEY", raising=False)
    for source in SOURCES:
        monkeypatch.setenv(f"QUANT_FRAMEWORK_BASE_URL_{source.upper()}", exchange.url)
    monkeypatch.setenv("QUANT_FRAMEWORK_HOME", str(tmp_path / "home"))
    for name in ("binance", "binance_usdm"):
        monkeypatch.setitem(PRESETS, name, {"windows": ((100_000, 1.0),), "base_rate": 10_000, "max_rate": 10_000})
    return tmp_path / "home"


def covered(home: Path, key: str) -> bool:
    held = LocalCheckpointStore(home / "checkpoints").load_sync(key)
    return held is not None and held.missing(START, END) == []


def run_mapped(dag: DAG, symbol: str) -> None:
    """The tasks of a builder's DAG."""
    (task,) = dag.tasks
    params = {"start": START.isoformat(), "end": END.isoformat(), "symbols": [symbol]}
    for index, arguments in enumerate(task.expand_input.value):
        execute(task.unmap(arguments), Xcoms(), index, params=params)


@pytest.mark.parametrize("source", SOURCES)
def test_an_operator(source, home, exchange):
    options, symbol, key = SOURCES[source]
    task = BackfillOperator(
        task_id="task",
        source=source,
        adapter_options=options,
        symbols=[symbol],
        timeframes=["1h"],
        start=START,
        end=END,
    )
    assert execute(task, Xcoms())["records_written"] == HOURS
    assert covered(home, key)
    asked = exchange.stats()["requests"]
    assert execute(task, Xcoms())["records_written"] == 0
    assert exchange.stats()["requests"] == asked


@pytest.mark.parametrize("source", SOURCES)
def test_fetch_and_write_operators(source, home):
    options, symbol, key = SOURCES[source]
    with DAG("flow") as dag:
        fetch = FetchOHLCVOperator(
            task_id="fetch", source=source, adapter_options=options, symbol=symbol, timeframe="1h", start=START, end=END
        )
        fetch >> WriteBronzeOperator(task_id="write")
    assert run_dag(dag)["write"][-1]["records_written"] == HOURS
    assert covered(home, key)


def test_the_second_example_of_the_seed(home, exchange):
    ccxt_adapter = CcxtAdapter("binance", exchange.url)

    class FetchBTCOHLCV(FetchOHLCVOperator):
        def __init__(self, **kwargs):
            super().__init__(
                task_id="fetch_btc_ohlcv", adapter=ccxt_adapter, symbol="BTC/USDT", timeframe="1h", **kwargs
            )

    with DAG("btc_ingestion") as dag:
        fetch = FetchBTCOHLCV(start=START, end=END)
        write = WriteBronzeOperator(task_id="write_bronze")
        fetch >> write
    assert run_dag(dag)["write_bronze"][-1]["records_written"] == HOURS
    assert covered(home, "ccxt_binance/ohlcv/BTC%2FUSDT/1h")


@pytest.mark.parametrize("source", SOURCES)
def test_a_builder(source, home):
    options, symbol, key = SOURCES[source]
    builder = BackfillDagBuilder("by_builder", start=START, end=END, adapter_options=options)
    dag = builder.with_source(source).with_symbols([symbol]).with_timeframes(["1h"]).build()
    run_mapped(dag, symbol)
    assert covered(home, key)


@pytest.mark.parametrize("source", SOURCES)
def test_yaml(source, home, tmp_path):
    options, symbol, key = SOURCES[source]
    text = {
        "type": "backfill",
        "source": source,
        "symbols": [symbol],
        "timeframes": ["1h"],
        "start": START.isoformat(),
        "end": END.isoformat(),
        "adapter_options": options,
    }
    (tmp_path / "dags.yaml").write_text(json.dumps({"dags": {"by_yaml": text}}))
    found: dict[str, object] = {}
    DagFactory(tmp_path / "dags.yaml").register(found)
    run_mapped(next(iter(found.values())), symbol)
    assert covered(home, key)


@pytest.mark.parametrize("source", SOURCES)
def test_functions(source, home):
    options, symbol, key = SOURCES[source]
    staged = fetch_ohlcv(symbol, "1h", START, END, source, adapter_options=options)
    assert write_bronze([staged])["records_written"] == HOURS
    assert covered(home, key)


@pytest.mark.parametrize("source", SOURCES)
def test_the_command_line(source, home, exchange, monkeypatch, capsys):
    options, symbol, key = SOURCES[source]
    monkeypatch.delenv(f"QUANT_FRAMEWORK_BASE_URL_{source.upper()}")
    what = ["--symbols", symbol, "--timeframes", "1h", "--start", START.isoformat(), "--end", END.isoformat()]
    more = [part for name, value in options.items() for part in ("--option", f"{name}={value}")]
    command = ["--source", source, *what, *more, "--base-url", exchange.url, "--no-retention"]
    assert main(["plan", *command]) == 0
    assert main(["backfill", *command]) == 0
    assert f"{key}: 336 rows, 100.0% covered" in capsys.readouterr().out
    assert covered(home, key)


def test_an_option_of_the_command_line_must_be_one(capsys):
    what = ["--symbols", "BTC", "--timeframes", "1h", "--start", "2026-01-05"]
    assert main(["plan", "--source", "ccxt", *what]) == 2
    assert "exchange_id" in capsys.readouterr().err
    assert main(["plan", "--source", "binance", "--option", "qoute=USDT", *what]) == 2
    assert "qoute" in capsys.readouterr().err
    with pytest.raises(SystemExit):
        main(["plan", "--source", "binance", "--option", "quote", *what])
    assert "NAME=VALUE" in capsys.readouterr().err


def test_a_source_that_looks_up_no_names_works_where_it_opens(monkeypatch):
    """The button Test raised AttributeError."""

    class Mine:
        source = "mine"

        def fetch(self, request):
            return None

    monkeypatch.setenv("AIRFLOW_CONN_MARKET", "market-data://")
    monkeypatch.setattr("quant_framework.airflow.hooks.open_adapter", lambda **_: Mine())
    assert MarketDataHook("market").test_connection() == (True, "mine opened; it looks up no names")


def test_a_connection(monkeypatch, exchange):
    server = exchange.url.removesuffix("/v1").removeprefix("http://").partition(":")
    connection = {"conn_type": "market_data", "schema": "http", "host": server[0], "port": int(server[2])}
    for extra, source in [
        ({"source": "binance", "quote": "USDT"}, "binance"),
        ({"source": "binance_usdm"}, "binance_usdm"),
        ({"source": "ccxt", "exchange_id": "binance"}, "ccxt_binance"),
    ]:
        monkeypatch.setenv("AIRFLOW_CONN_MARKET", json.dumps(connection | {"extra": extra}))
        assert open_adapter(market_data_conn_id="market").source == source
        fine, says = MarketDataHook("market").test_connection()
        assert (fine, says.partition(" is ")[0]) == (True, f"{source} answers: BTC")
    monkeypatch.setenv(
        "AIRFLOW_CONN_MARKET", json.dumps(connection | {"password": "x", "extra": {"source": "binance"}})
    )
    with pytest.raises(InvalidError, match=r"does not take these options: .*api_key"):
        open_adapter(market_data_conn_id="market")


@pytest.mark.parametrize(
    "options",
    [
        {"api_key": "k"},
        {"secret": "k"},
        {"config": {"apiKey": "k"}},
        {"config": {"uid": 1}},
        {"config": {"login": "k"}},
        {"secret": None, "config": {"secret": "k"}},
        {"config": {"headers": {"Authorization": "Basic k"}}},
        {"config": {"httpsProxy": "http://user:k@proxy"}},
        {"base_url": "https://user:k@server/v1"},
    ],
)
def test_an_operator_takes_no_secret(options):
    with pytest.raises(InvalidError, match="adapter_options holds an API key"):
        refuse_secrets(adapter_options=options)


@pytest.mark.parametrize("source", ["coinalyze", "binance", "binance_usdm", "binance_archive", "ccxt"])
@pytest.mark.parametrize("url", ["https://user:geheim@server/v1", "https://geheim@server", "https://server?key=geheim"])
def test_a_server_is_named_without_a_secret(source, url):
    options = {"ccxt": {"exchange_id": "kraken"}, "coinalyze": {"api_key": "k"}}.get(source, {})
    with pytest.raises(InvalidError, match="no login, query or fragment") as refused:
        settings.open_adapter(source, base_url=url, **options)
    assert "geheim" not in str(refused.value)


def test_what_is_no_secret_is_taken():
    refuse_secrets(adapter_options={"api_key": None, "quote": "USDT", "config": {"options": {"defaultType": "swap"}}})


def test_each_source_says_what_it_takes():
    assert settings.takes("coinalyze", "retention")
    assert not settings.takes("binance", "retention")
    assert settings.takes("binance", "base_url")
    assert settings.takes("ccxt", "exchange_id")
