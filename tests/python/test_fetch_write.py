"""fetch >> write: what lies in the lake and in the checkpoints afterwards, as plain functions and as operators."""

from __future__ import annotations

import inspect
import itertools
import json
from collections import Counter
from collections.abc import Callable
from datetime import datetime, timedelta, timezone

import pyarrow.dataset
import pytest
from airflow.sdk import DAG
from airflow.sdk.exceptions import AirflowException, AirflowFailException, AirflowRescheduleException

from conftest import END, START
from orchestration_runs import (
    BTC,
    ETH,
    HOURS,
    VALUES,
    Xcoms,
    adapter,
    execute,
    facts,
    had,
    known,
    places,
    run_dag,
    span,
    stored,
)
from quant_framework.ingestion.adapters import CoinalyzeAdapter
from quant_framework.ingestion.chunking import FixedChunkStrategy
from quant_framework.orchestration import tasks
from quant_framework.orchestration.operators import (
    BackfillOperator,
    FetchOHLCVOperator,
    FetchOIOperator,
    WriteBronzeOperator,
)
from quant_framework.orchestration.tasks import fetch_ohlcv, fetch_open_interest, write_bronze
from quant_framework.testing import Fault, OfflineExchange

pytest_plugins = ["orchestration_fixtures"]

FUNCTIONS = [(fetch_ohlcv, "ohlcv"), (fetch_open_interest, "open_interest")]


@pytest.mark.parametrize(("fetch", "kind"), FUNCTIONS)
def test_functions_bring_every_row_once_and_leave_what_a_backfill_leaves(fetch, kind, home, exchange, tmp_path):
    key = f"coinalyze/{kind}/{BTC}/1h"
    options = {"source": adapter(exchange)}
    staged = json.loads(json.dumps(fetch("BTC", "1h", START, END.isoformat(), **options)))
    assert (staged["series"], staged["bars"]) == (key, HOURS)
    assert staged["ranges"] == [["2026-01-05T00:00:00Z", "2026-01-19T00:00:00Z"]]
    assert not (home / "lake" / "bronze").exists(), "fetching writes nothing into the lake"
    written = write_bronze(staged)
    assert (written["status"], written["records_written"]) == ("success", HOURS)
    direct = BackfillOperator(
        task_id="backfill", symbols=["BTC"], timeframes=["1h"], data_types=[kind], **span(), **places(tmp_path / "d")
    )
    execute(direct, Xcoms())
    columns = VALUES if kind == "ohlcv" else ("oi_open", "oi_high", "oi_low", "oi_close")
    assert stored(home / "lake" / "bronze", columns) == stored(tmp_path / "d" / "lake" / "bronze", columns)
    assert len(stored(home / "lake" / "bronze", ())) == HOURS
    assert facts(home, key) == facts(tmp_path / "d", key)
    if kind == "ohlcv":
        assert stored(home / "lake" / "bronze") == had(exchange, BTC)


def test_example_2_of_the_seed_as_it_is_written(home, exchange):
    ccxt_adapter = adapter(exchange)

    class FetchBTCOHLCV(FetchOHLCVOperator):
        def __init__(self, **kwargs):
            super().__init__(task_id="fetch_btc_ohlcv", adapter=ccxt_adapter, symbol=BTC, timeframe="1h", **kwargs)

    with DAG("btc_ingestion") as dag:
        fetch = FetchBTCOHLCV()
        write = WriteBronzeOperator(task_id="write_bronze")
        fetch >> write
    before = datetime.now(timezone.utc)
    xcoms = run_dag(dag)
    rows = stored(home / "lake" / "bronze")
    newest = rows[-1][1] // 1000
    assert before.timestamp() - 7210 < newest <= datetime.now(timezone.utc).timestamp() - 3600
    assert len(rows) == 1000 == xcoms["write_bronze"][-1]["records_written"], "by default the newest 1000 bars"
    first = datetime.fromtimestamp(rows[0][1] // 1000, timezone.utc)
    assert rows == had(exchange, BTC, start=first, end=before)


def test_any_object_with_fetch_is_an_adapter(home):
    class Mine:
        source = "mine"

        def fetch(self, request):
            count = int((request.end - request.start) / timedelta(hours=1))
            times = [request.start + timedelta(hours=hour) for hour in range(count)]
            return [{"ts": at, "open": 2.0, "high": 3.0, "low": 1.0, "close": 2.5, "volume": 7.0} for at in times]

    with DAG("mine") as dag:
        fetch = FetchOHLCVOperator(
            task_id="fetch", adapter=Mine(), symbol="BTC/USDT", timeframe="1h", start=START, end=END
        )
        fetch >> WriteBronzeOperator(task_id="write")
    xcoms = run_dag(dag)
    assert xcoms["fetch"][-1]["series"] == "mine/ohlcv/BTC%2FUSDT/1h"
    assert len(stored(home / "lake" / "bronze", ())) == HOURS
    assert known(home, "mine/ohlcv/BTC%2FUSDT/1h").missing(START, END) == []


@pytest.mark.parametrize("direction", ["backfill after write", "write after backfill"])
def test_what_is_covered_is_neither_asked_for_nor_written_again(direction, home, exchange):
    with DAG("flow") as dag:
        fetch = FetchOHLCVOperator(task_id="fetch", symbol="BTC", timeframe="1h", **span())
        write = WriteBronzeOperator(task_id="write")
        fetch >> write
    backfill = BackfillOperator(task_id="backfill", symbols=[BTC], timeframes=["1h"], **span())
    if direction == "backfill after write":
        run_dag(dag)
        before, asked = facts(home), exchange.stats()["requests"]
        result = execute(backfill, Xcoms())
    else:
        execute(backfill, Xcoms())
        before, xcoms = facts(home), Xcoms()
        execute(fetch, xcoms)
        asked = exchange.stats()["requests"]
        result = execute(write, xcoms)
    assert (result["status"], result["records_written"]) == ("success", 0)
    assert exchange.stats()["requests"] == asked
    assert facts(home) == before
    assert stored(home / "lake" / "bronze") == had(exchange, BTC)


def test_mapped_fetches_into_one_write(home, exchange):
    with DAG("mapped") as dag:
        fetch = FetchOHLCVOperator.partial(task_id="fetch", timeframe="1h", **span())
        fetch.expand(symbol=["BTC", "ETH", "SOLUSDT_PERP.A"]) >> WriteBronzeOperator(task_id="write")
    result = run_dag(dag)["write"][-1]
    assert (result["status"], result["records_written"]) == ("success", 3 * HOURS)
    assert [one["rows"] for one in result["series"]] == [HOURS] * 3
    rows = [row for symbol in (BTC, ETH, "SOLUSDT_PERP.A") for row in had(exchange, symbol)]
    assert stored(home / "lake" / "bronze") == rows


def test_two_fetches_into_one_write_and_one_series_in_two_parts(home, exchange):
    middle = START + timedelta(days=5)
    with DAG("two") as dag:
        early = FetchOHLCVOperator(task_id="early", symbol=BTC, timeframe="1h", **span(end=middle))
        late = FetchOHLCVOperator(task_id="late", symbol="BTC", timeframe="1h", **span(start=middle))
        interest = FetchOIOperator(task_id="interest", symbol=BTC, timeframe="1h", **span())
        write = WriteBronzeOperator(task_id="write")
        [early, late, interest] >> write
    result = run_dag(dag)["write"][-1]
    assert result["records_written"] == 2 * HOURS
    assert [one["rows"] for one in result["series"]] == [120, HOURS, HOURS - 120], "in the order of the task ids"
    assert facts(home)[:2] == ([(START, END)], [])
    rows = pyarrow.dataset.dataset(home / "lake" / "bronze", partitioning="hive").to_table(columns=["dataset", "ts"])
    assert Counter(rows["dataset"].to_pylist()) == {"ohlcv": HOURS, "open_interest": HOURS}
    assert len(set(zip(rows["dataset"].to_pylist(), rows["ts"].to_pylist(), strict=True))) == 2 * HOURS


@pytest.mark.parametrize("shape", ["one", "several"])
def test_staged_may_be_said(shape, home, exchange):
    with DAG("said") as dag:
        fetch = FetchOHLCVOperator(task_id="fetch", symbol="BTC", timeframe="1h", **span())
        other = FetchOHLCVOperator(task_id="other", symbol="ETH", timeframe="1h", **span())
        staged = fetch.output if shape == "one" else [fetch.output, other.output]
        write = WriteBronzeOperator(task_id="write", staged=staged)
    assert fetch.task_id in write.upstream_task_ids
    run_dag(dag)
    symbols = [BTC] if shape == "one" else [BTC, ETH]
    assert stored(home / "lake" / "bronze") == [row for symbol in symbols for row in had(exchange, symbol)]


@pytest.mark.parametrize(("name", "holes"), [("BTC-PERP", 0), ("UNITTEST-BTC", 538)])
def test_recorded_candles_keep_their_holes(name, holes, recorded_folder, unhurried, tmp_path):
    with OfflineExchange(recorded_folder, limit=None) as exchange:
        times = sorted(exchange.recorded.series[f"{name}.R", "1min"])
        start, end = (datetime.fromtimestamp(at, timezone.utc) for at in (times[0], times[-1] + 60))
        options = {"symbol": f"{name}.R", "timeframe": "1m", "start": start, "end": end, "adapter": adapter(exchange)}
        with DAG("recorded") as dag:
            FetchOHLCVOperator(task_id="fetch", **options, **places(tmp_path)) >> WriteBronzeOperator(
                task_id="write", **places(tmp_path)
            )
        xcoms = run_dag(dag)
        expected = had(exchange, f"{name}.R", "1min", start, end)
        asked = exchange.stats()["requests"]
        options = {"symbols": [options.pop("symbol")], "timeframes": [options.pop("timeframe")]} | options
        again = execute(BackfillOperator(task_id="backfill", **options, **places(tmp_path)), Xcoms())
        assert exchange.stats()["requests"] == asked
        execute(BackfillOperator(task_id="backfill", **options, **places(tmp_path / "direct")), Xcoms())
    assert stored(tmp_path / "lake" / "bronze") == expected
    assert (again["records_written"], again["series"][0]["gaps"]) == (0, holes)
    assert xcoms["write"][-1]["series"][0]["gaps"] == holes
    key = f"coinalyze/ohlcv/{name}.R/1m"
    assert facts(tmp_path, key) == facts(tmp_path / "direct", key)
    assert len(facts(tmp_path, key)[1]) == holes


class FetchLiquidations(FetchOHLCVOperator):
    data_type = "liquidations"


def test_sparse_rows_are_complete_where_there_are_none(home, exchange, tmp_path):
    """A missing row of a sparse type means zero: nothing of it is a gap, and nothing is asked again."""
    key = f"coinalyze/liquidations/{BTC}/1h"
    with DAG("sparse") as dag:
        FetchLiquidations(task_id="fetch", symbol=BTC, timeframe="1h", **span()) >> WriteBronzeOperator(task_id="write")
    xcoms = run_dag(dag)
    asked = exchange.stats()["requests"]
    options = {"symbols": [BTC], "timeframes": ["1h"], "data_types": ["liquidations"], **span()}
    result = execute(BackfillOperator(task_id="backfill", **options), Xcoms())
    assert (result["records_written"], exchange.stats()["requests"]) == (0, asked)
    execute(BackfillOperator(task_id="backfill", **options, **places(tmp_path)), Xcoms())
    columns = ("long_volume", "short_volume")
    rows = stored(home / "lake" / "bronze", columns)
    assert rows == stored(tmp_path / "lake" / "bronze", columns)
    assert 0 < len(rows) == xcoms["write"][-1]["records_written"] < HOURS
    assert facts(home, key) == facts(tmp_path, key)


class Daily(FetchOHLCVOperator):
    def build_chunk_strategy(self, context):
        return FixedChunkStrategy(24)


def fetching(**more: object) -> Daily:
    with DAG("flow"):
        return Daily(task_id="fetch", symbol=BTC, timeframe="1h", concurrency=1, **span(**more))


FAULTS: list[tuple[Callable[[], Fault], type[Exception], dict]] = [
    (lambda: Fault("429", value=900, after=9), AirflowRescheduleException, {"max_wait": 1}),
    (lambda: Fault("null_value", after=9), AirflowException, {}),
]


@pytest.mark.parametrize(("fault", "raised", "options"), FAULTS, ids=["parked", "failed"])
def test_a_fetch_that_goes_on_does_not_ask_again_for_what_is_staged(
    fault, raised, options, home, exchange, monkeypatch
):
    exchange.inject(fault())
    with pytest.raises(raised):
        execute(fetching(**options), Xcoms())
    first = [entry["from"] for entry in exchange.ledger if entry["status"] == 200]
    exchange.reset()
    monkeypatch.setenv("QUANT_FRAMEWORK_RATE_LIMIT", (home / "other").as_uri())
    xcoms = Xcoms()
    assert execute(fetching(**options), xcoms)["bars"] == HOURS
    days = Counter(entry["from"] for entry in exchange.ledger)
    refused = {"null_value"} & {fault().kind}
    assert len(days) == exchange.stats()["requests"] == 14 - 9 - (4 if refused else 0)
    assert len(set(first) & set(days)) == len(refused), "only what was refused is asked for again"
    write = WriteBronzeOperator(task_id="write", staged=xcoms["fetch"][-1])
    assert execute(write, xcoms)["records_written"] == HOURS
    assert stored(home / "lake" / "bronze") == had(exchange, BTC)


def test_write_twice_is_once(home, exchange):
    xcoms, writes = Xcoms(), itertools.count()
    staged = execute(fetching(), xcoms)
    results = [execute(WriteBronzeOperator(task_id=f"w{next(writes)}", staged=staged), xcoms) for _ in range(3)]
    assert [result["records_written"] for result in results] == [HOURS, 0, 0]
    assert stored(home / "lake" / "bronze") == had(exchange, BTC)
    objects = sorted(path.name for path in (home / "lake" / "bronze").rglob("*.parquet"))
    known(home)
    (home / "checkpoints").rename(home / "lost")
    assert execute(WriteBronzeOperator(task_id="anew", staged=staged), xcoms)["records_written"] == HOURS
    assert sorted(path.name for path in (home / "lake" / "bronze").rglob("*.parquet")) == objects
    assert stored(home / "lake" / "bronze") == had(exchange, BTC), "without checkpoints the same objects again"


@pytest.mark.parametrize(("first", "last"), [(3, 7), (0, 1), (13, 14), (-2, 16)])
def test_rows_that_the_lake_had_under_other_cuts_are_not_doubled(first, last, home, exchange):
    start, end = (START + timedelta(days=day, hours=5) for day in (first, last))

    class Odd(BackfillOperator):
        def build_chunk_strategy(self, context):
            return FixedChunkStrategy(7)

    execute(Odd(task_id="earlier", symbols=[BTC], timeframes=["1h"], **span(start=start, end=end)), Xcoms())
    xcoms = Xcoms()
    staged = execute(fetching(), xcoms)
    result = execute(WriteBronzeOperator(task_id="write", staged=staged), xcoms)
    low, high = min(start, START), max(end, END)
    assert stored(home / "lake" / "bronze") == had(exchange, BTC, start=low, end=high)
    overlap = max(timedelta(0), min(end, END) - max(start, START)) // timedelta(hours=1)
    assert result["records_written"] == HOURS - overlap
    assert facts(home)[:2] == ([(low, high)], [])


def test_a_lake_of_another_unit_is_left_alone(home, exchange):
    execute(
        BackfillOperator(task_id="backfill", symbols=[BTC], timeframes=["1h"], **span(end=START + timedelta(1))),
        Xcoms(),
    )
    before = facts(home)
    usd = CoinalyzeAdapter(api_key="offline", base_url=exchange.url, retention=None, convert_to_usd=True)
    xcoms = Xcoms()
    staged = execute(
        FetchOHLCVOperator(task_id="fetch", adapter=usd, symbol=BTC, timeframe="1h", start=START, end=END), xcoms
    )
    with pytest.raises(AirflowException, match="checkpoint was made with"):
        execute(WriteBronzeOperator(task_id="write", staged=staged), xcoms)
    assert facts(home) == before
    assert len(stored(home / "lake" / "bronze", ())) == 24


def test_a_series_that_fails_does_not_hold_up_the_others(home, exchange):
    xcoms = Xcoms()
    good, bad = execute(fetching(), xcoms), execute(fetching(), xcoms) | {"series": "no key"}
    with pytest.raises(AirflowException, match=r"partial: no key: .*not a series key") as failed:
        execute(WriteBronzeOperator(task_id="write", staged=[bad, good]), xcoms)
    assert isinstance(failed.value, AirflowFailException), "that can never work"
    assert stored(home / "lake" / "bronze") == had(exchange, BTC)


@pytest.mark.parametrize("name", tasks.__all__)
def test_a_function_for_taskflow_names_its_arguments(name):
    """A task hands everything of its context to a function that takes any keyword."""
    kinds = {parameter.kind for parameter in inspect.signature(getattr(tasks, name)).parameters.values()}
    assert inspect.Parameter.VAR_KEYWORD not in kinds
