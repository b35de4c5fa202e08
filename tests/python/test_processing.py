"""Coarser bars, merged sources, names of markets, units of open interest: from rows to rows and from lake to lake."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from datetime import datetime, timedelta, timezone
from pathlib import Path

import pandas
import polars
import pyarrow
import pyarrow.parquet
import pytest
from airflow.sdk import dag, task
from pyarrow.fs import S3FileSystem

from conftest import END, START
from orchestration_runs import BTC, KEY, adapter
from quant_framework._core import Batch
from quant_framework.errors import DataError, InvalidError
from quant_framework.ingestion.backfill import LocalCheckpointStore
from quant_framework.ingestion.normalizers import convert_open_interest, format_symbol, normalize_symbol, split_symbol
from quant_framework.ingestion.processors import merge, resample
from quant_framework.ingestion.writers import BronzeWriter
from quant_framework.orchestration.tasks import merge_series, resample_series, validate_rows
from quant_framework.orchestration.workflows import BackfillWorkflow
from quant_framework.testing import OfflineExchange

pytest_plugins = ["orchestration_fixtures"]

MINUTE, HOUR = timedelta(minutes=1), timedelta(hours=1)
PRICES = ("open", "high", "low", "close")
RULES = {"open": "first", "high": "max", "low": "min", "close": "last", "volume": "sum"}
HOLES = {"BTC-PERP": 0, "UNITTEST-BTC": 717}


def candles(folder: Path, name: str) -> pandas.DataFrame:
    frame = pandas.read_csv(folder / f"{name}_1m.csv")
    frame["ts"] = pandas.to_datetime(frame.pop("ts_ms"), unit="ms", utc=True)
    return frame[["ts", *RULES]]


def by_pandas(frame: pandas.DataFrame, rule: str, expected: int | None) -> pandas.DataFrame:
    """Bars as pandas makes them; ``expected``: those of so many rows alone."""
    groups = frame.set_index("ts").resample(rule)
    made, counts = groups.agg(RULES), groups["close"].count()
    return made[counts == expected] if expected else made[counts > 0]


def equal(rows: Batch, wanted: pandas.DataFrame) -> None:
    found = polars.DataFrame(rows)
    assert found["ts"].to_list() == [at.to_pydatetime() for at in wanted.index]
    assert len(wanted) > 0
    for name in PRICES:
        assert found[name].to_list() == wanted[name].to_list(), name
    assert found["volume"].to_list() == pytest.approx(wanted["volume"].to_list(), rel=1e-12, abs=0)


@pytest.mark.parametrize("name", HOLES)
@pytest.mark.parametrize(("timeframe", "rule", "expected"), [("1h", "1h", 60), ("5m", "5min", 5), ("1d", "1D", 1440)])
def test_recorded_candles_as_pandas_does_it_but_for_what_is_incomplete(
    name, timeframe, rule, expected, recorded_folder
):
    frame = candles(recorded_folder, name)
    made = resample(frame, "1m", timeframe)
    wanted = by_pandas(frame, rule, expected)
    equal(made.rows, wanted)
    counts = frame.set_index("ts").resample(rule)["close"].count()
    short = [(at.to_pydatetime(), int(n), expected) for at, n in counts.items() if 0 < n < expected]
    assert made.incomplete == short
    empty = [at.to_pydatetime() for at, n in counts.items() if n == 0]
    assert [at for low, high in made.gaps for at in pandas.date_range(low, high, freq=rule, inclusive="left")] == empty
    kept = resample(frame, "1m", timeframe, complete_only=False)
    equal(kept.rows, by_pandas(frame, rule, None))
    assert kept[1:] == made[1:]


@pytest.mark.parametrize(("name", "holes"), HOLES.items())
def test_the_incomplete_bars_are_exactly_those_with_missing_minutes(name, holes, recorded_folder):
    frame = candles(recorded_folder, name)
    first, last = (frame["ts"].iloc[at].to_pydatetime() for at in (0, -1))
    present = set(frame["ts"].dt.to_pydatetime())
    minutes = [first + at * MINUTE for at in range(int((last - first) / MINUTE) + 1)]
    missing = [at for at in minutes if at not in present]
    assert len(missing) == holes
    whole = pandas.date_range(first.replace(minute=0), last, freq="1h").to_pydatetime()
    outside = [at for hour in whole for at in (hour + n * MINUTE for n in range(60)) if not first <= at <= last]
    made = resample(frame, "1m", "1h")
    assert not made.gaps
    assert sum(bar.expected - bar.known for bar in made.incomplete) == holes + len(outside)
    assert {bar.open for bar in made.incomplete} == {at.replace(minute=0) for at in [*missing, *outside]}
    # Somebody who knows that nobody traded in them.
    known = resample(frame, "1m", "1h", covered=[(at, at + MINUTE) for at in missing])
    assert {bar.open for bar in known.incomplete} == {at.replace(minute=0) for at in outside}
    inside = frame[~frame["ts"].dt.floor("1h").isin([bar.open for bar in known.incomplete])]
    equal(known.rows, by_pandas(inside, "1h", None))


def table(hours: range, **more: object) -> pyarrow.Table:
    columns = {"open": 2.0, "high": 9.0, "low": 1.0, "close": 3.0, "volume": 7.0} | more
    times = pyarrow.array([START + hour * HOUR for hour in hours], pyarrow.timestamp("ms", "UTC"))
    values = {name: pyarrow.array([value] * len(hours), pyarrow.float64()) for name, value in columns.items()}
    return pyarrow.table({"ts": times, **values})


SHAPES = {
    "pyarrow": lambda rows: rows,
    "batches": lambda rows: pyarrow.Table.from_batches(rows.slice(0, 7).to_batches() + rows.slice(7).to_batches()),
    "polars": polars.from_arrow,
    "pandas": lambda rows: rows.to_pandas(),
    "Batch": lambda rows: Batch("ohlcv", rows),
    "columns": lambda rows: rows.to_pydict(),
    "dicts": lambda rows: rows.to_pylist(),
}


@pytest.mark.parametrize("shape", SHAPES)
def test_rows_of_every_shape(shape):
    made = resample(SHAPES[shape](table(range(0, 36))), "1h", "1d")
    assert pyarrow.record_batch(made.rows).to_pylist()[0] == {
        **{"ts": START, "open": 2.0, "high": 9.0, "low": 1.0, "close": 3.0, "volume": 168.0},
        **dict.fromkeys(("taker_buy_volume", "trade_count", "taker_buy_trades")),
    }
    assert made.incomplete == [(START + 24 * HOUR, 12, 24)]
    merged = merge([SHAPES[shape](table(range(4, 8), close=4.0)), SHAPES[shape](table(range(0, 36)))], "1h")
    assert (merged.sources, merged.taken) == ([1] * 4 + [0] * 4 + [1] * 28, [4, 32])
    assert polars.DataFrame(merged.rows)["close"].to_list() == [3.0] * 4 + [4.0] * 4 + [3.0] * 28


def test_two_sources_of_recorded_candles_are_never_blended(recorded_folder):
    frame = candles(recorded_folder, "UNITTEST-BTC")
    other = frame.assign(**{name: frame[name] * 1.5 for name in RULES})
    first = frame[frame.index % 3 != 0]
    merged = merge([first, other], "1m")
    assert merged.taken == [len(first), len(frame) - len(first)]
    wanted = polars.from_pandas(pandas.concat([first, other[other.index % 3 == 0]]).sort_values("ts"))
    found = polars.DataFrame(merged.rows)
    assert found.select(PRICES).equals(wanted.select(PRICES))
    assert merged.sources == [int(row % 3 == 0) for row in range(len(frame))]


@pytest.mark.parametrize(
    ("arguments", "options", "kind", "said"),
    [
        ((table(range(3)), "1h", "90m"), {}, InvalidError, "unknown timeframe"),
        ((table(range(3)), "1h", "1m"), {}, InvalidError, "1m bars are not made of whole 1h bars"),
        ((table(range(3)), "1h", "1d"), {"data_type": "candles"}, InvalidError, "unknown data type"),
        ((Batch("ohlcv", table(range(3))), "1h", "1d"), {"data_type": "funding_rate"}, InvalidError, "rows are ohlcv"),
        ((None, "1h", "1d"), {}, InvalidError, "rows are a NoneType"),
        (("rows", "1h", "1d"), {}, InvalidError, "rows are a str"),
        ((table(range(3)).append_column("x", [[1, 2, 3]]), "1h", "1d"), {}, DataError, 'no column "x"'),
        (
            (table(range(3), volume=float("nan")), "1h", "1d"),
            {},
            DataError,
            "volume of the bar of 2026-01-05T00:00:00Z",
        ),
        ((table(range(3), volume=None), "1h", "1d"), {}, DataError, "volume of the bar of 2026-01-05T00:00:00Z"),
        ((table(range(3)).take([0, 2, 1]), "1h", "1d"), {}, DataError, "T01:00:00Z comes after that of 2026-01-05T02"),
        ((table(range(3)).take([0, 1, 1]), "1h", "1d"), {}, DataError, "T01:00:00Z comes twice"),
        ((table(range(3)), "2h", "1d"), {}, DataError, "no 2h bar opens at 2026-01-05T01:00:00Z"),
        ((Batch("liquidations", []), "1h", "1d"), {}, InvalidError, "pass covered"),
        ((table(range(3)), "1h", "1d"), {"covered": [(datetime(2026, 1, 1), START)]}, InvalidError, "naive"),
    ],
)
def test_what_cannot_be_resampled_is_refused_in_one_line(arguments, options, kind, said):
    with pytest.raises(kind) as caught:
        resample(*arguments, **options)
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)


def test_what_cannot_be_merged_is_refused():
    for sources, said in [
        ([], "nothing to merge"),
        ([Batch("ohlcv", []), Batch("funding_rate", [])], "source 1 holds funding_rate"),
        ([Batch("liquidations", [])], "zero"),
        (polars.from_arrow(table(range(3))), "must be a list with the rows of each"),
    ]:
        with pytest.raises(InvalidError, match=said):
            merge(sources, "1h")


def test_names_of_markets():
    assert (
        normalize_symbol("BTCUSDT_PERP.A", "coinalyze") == normalize_symbol("BTC-USDT-SWAP", "okx") == "BTC/USDT:USDT"
    )
    assert format_symbol("BTC/USDT:USDT", "okx") == "BTC-USDT-SWAP"
    assert normalize_symbol("BNBUSD", quotes="USD") == "BNB/USD"
    assert normalize_symbol("ETHUSD_PERP.0", "coinalyze", settle="BTC") == "ETH/USD:BTC"
    found = split_symbol("BTCUSD_250328.A", "coinalyze")
    assert found == {
        **{"symbol": "BTC/USD:BTC-250328", "kind": "inverse", "base": "BTC", "quote": "USD", "settle": "BTC"},
        **{"expiry": datetime(2025, 3, 28).date(), "exchange": "A"},
    }
    for symbol, venue, said in [
        ("BNBUSD", "generic", '"BNBUSD" may be BN/BUSD or BNB/USD'),
        ("BTCUSDT", "binance", "binance_spot, binance_usdm"),
        ("BTCUSDH25", "bybit_inverse", "BTCUSDH25"),
    ]:
        with pytest.raises(InvalidError, match=said):
            normalize_symbol(symbol, venue)
    with pytest.raises(InvalidError, match="binance_spot has no name for BTC/USDT:USDT"):
        format_symbol("BTC/USDT:USDT", "binance_spot")


def interest(hours: range, value: float) -> pyarrow.Table:
    times = pyarrow.array([START + hour * HOUR for hour in hours], pyarrow.timestamp("ms", "UTC"))
    names = ("oi_open", "oi_high", "oi_low", "oi_close")
    return pyarrow.table({"ts": times, **{name: pyarrow.array([value] * len(hours)) for name in names}})


def test_open_interest_where_a_candle_is_missing_is_left_out_and_named():
    made = convert_open_interest(
        interest(range(0, 5), 10.0), "BASE_ASSET", "usd", price=table(range(1, 4)), usd_per_quote=1
    )
    rows = pyarrow.record_batch(made.rows).to_pylist()
    assert [row.pop("ts") for row in rows] == [START + hour * HOUR for hour in (1, 2, 3)]
    assert rows == [{"oi_open": 20.0, "oi_high": None, "oi_low": None, "oi_close": 30.0}] * 3
    assert made.unpriced == [START, START + 4 * HOUR]
    fixed = convert_open_interest(
        interest(range(2), 3.0), "contracts", "base", price=50, contract_size=100, contract_unit="quote"
    )
    assert pyarrow.record_batch(fixed.rows)["oi_high"].to_pylist() == [6.0, 6.0]
    for options, said in [({}, "price is missing"), ({"price": 0}, "above 0"), ({"price": "1"}, "rows are a str")]:
        with pytest.raises(InvalidError, match=said):
            convert_open_interest(interest(range(2), 3.0), "base", "quote", **options)
    with pytest.raises(InvalidError, match="belong together"):
        convert_open_interest(interest(range(2), 3.0), "contracts", "base", contract_size=1)


def put(lake: BronzeWriter, key: str, hours: range, rows: object) -> None:
    async def write() -> None:
        await lake.write(key, (START + hours.start * HOUR, START + hours.stop * HOUR), rows)

    asyncio.run(write())


def read(lake: BronzeWriter, key: str, start: datetime, end: datetime) -> polars.DataFrame:
    async def rows() -> Batch:
        return await lake.read(key, start, end)

    return polars.DataFrame(asyncio.run(rows()))


def objects(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*.parquet"))}


@pytest.fixture
def lake(tmp_path: Path) -> BronzeWriter:
    return BronzeWriter((tmp_path / "lake" / "bronze").as_uri())


@pytest.fixture
def store(tmp_path: Path) -> LocalCheckpointStore:
    return LocalCheckpointStore(tmp_path / "checkpoints")


def test_a_backfill_of_recorded_candles_becomes_hours_whose_silent_minutes_are_known(
    recorded_folder, tmp_path, make, context
):
    frame = candles(recorded_folder, "UNITTEST-BTC")
    first, last = (frame["ts"].iloc[at].to_pydatetime() for at in (0, -1))
    span = {"symbols": ["UNITTEST-BTC.R"], "timeframes": ["1m"], "start": first, "end": last + MINUTE}
    with OfflineExchange(recorded=recorded_folder, limit=None) as exchange:
        assert asyncio.run(make(exchange, **span).execute(context))["status"] == "success"
    key, where = "coinalyze/ohlcv/UNITTEST-BTC.R/1m", {"lake": (tmp_path / "lake").as_uri()}
    where["derived"], store = (tmp_path / "derived").as_uri(), LocalCheckpointStore(tmp_path / "checkpoints")
    done = resample_series(key, "1h", checkpoint=store, **where)
    assert done["series"] == "coinalyze.resampled/ohlcv/UNITTEST-BTC.R/1h"
    assert (done["periods"], done["sources"], done["gap_count"]) == (1, [{"series": key, "rows": len(frame)}], 0)
    assert [bar["open"] for bar in done["incomplete"]] == ["2017-11-04T23:00:00Z"]
    derived = BronzeWriter(where["derived"])
    whole = frame[frame["ts"] >= pandas.Timestamp("2017-11-05", tz="UTC")]
    rows = Batch("ohlcv", read(derived, done["series"], first, last + MINUTE))
    equal(rows, by_pandas(whole, "1h", None))
    report = validate_rows(done["series"], datetime(2017, 11, 5, tzinfo=timezone.utc), last + MINUTE, derived)
    assert (report["ok"], report["gap_count"]) == (True, 0)
    # Without the checkpoint nobody knows that they were silent.
    other = LocalCheckpointStore(tmp_path / "none")
    alone = resample_series(key, "1h", checkpoint=other, **where | {"derived": (tmp_path / "alone").as_uri()})
    assert alone["incomplete_count"] == len(resample(frame, "1m", "1h").incomplete)
    assert len(alone["incomplete"]) == 100
    assert len(json.dumps(alone)) < 10_000


def test_rows_that_the_lake_has_lost_are_not_taken_for_silence(lake, store):
    store.commit_sync(KEY, data=[(START, START + 24 * HOUR)])
    put(lake, KEY, range(0, 24), table(range(0, 20)))
    done = resample_series(KEY, "4h", lake=lake, checkpoint=store)
    assert done["rows"] == 5
    assert done["incomplete_count"] == 0
    lost = resample_series(KEY, "12h", lake=lake, checkpoint=store)
    assert lost["incomplete"] == [{"open": "2026-01-05T12:00:00Z", "known": 8, "expected": 12}]


def test_leftovers_count_once_and_twice_is_once(lake, store, tmp_path):
    put(lake, KEY, range(0, 24), table(range(0, 24)))
    put(lake, KEY, range(12, 36), table(range(12, 36), close=5.0))
    derived = tmp_path / "lake" / "derived"
    done = resample_series(KEY, "12h", lake=lake, checkpoint=store)
    before = objects(derived)
    (name,) = before
    folder = f"source=coinalyze.resampled/dataset=ohlcv/symbol={BTC}/timeframe=12h"
    assert name == f"{folder}/20260101T000000Z-20270101T000000Z.parquet"
    rows = read(BronzeWriter(derived.as_uri()), done["series"], START, START + 48 * HOUR)
    assert rows["volume"].to_list() == [84.0, 84.0, 84.0]
    assert rows["close"].to_list() == [3.0, 5.0, 5.0]
    metadata = pyarrow.parquet.read_metadata(derived / name).metadata
    assert (metadata[b"quant_framework.derived_by"], metadata[b"quant_framework.derived_from"]) == (
        b"resample",
        KEY.encode(),
    )
    # A part of a period is all of it.
    assert resample_series(KEY, "12h", START, START + HOUR, lake=lake, checkpoint=store) == done
    assert objects(derived) == before


def test_a_week_is_made_of_rows_of_two_years(lake, store, tmp_path):
    start = -14 * 24
    put(lake, KEY, range(start, 0), table(range(start, 0)))
    done = resample_series(KEY, "1w", lake=lake, checkpoint=store)
    names = [name.rpartition("/")[2] for name in objects(tmp_path / "lake" / "derived")]
    assert names == ["20250101T000000Z-20260101T000000Z.parquet"]
    assert (done["rows"], done["incomplete"]) == (2, [])
    derived = BronzeWriter((tmp_path / "lake" / "derived").as_uri())
    rows = read(derived, done["series"], START - 30 * 24 * HOUR, START)
    assert rows["ts"].to_list() == [START - 14 * 24 * HOUR, START - 7 * 24 * HOUR]
    # Who asks for the new year alone gets the week that began before it, too.
    again = resample_series(KEY, "1w", datetime(2026, 1, 1, tzinfo=timezone.utc), START, lake=lake, checkpoint=store)
    assert (again["rows"], again["periods"]) == (2, 1)


def test_liquidations_are_complete_where_they_were_asked_for(exchange, lake, store, context, unhurried):
    job = {
        "symbols": [BTC],
        "timeframes": ["1h"],
        "data_types": ["liquidations"],
        "start": START + 2 * HOUR,
        "end": END,
    }
    workflow = BackfillWorkflow(adapter(exchange), lake, store, **job)
    assert asyncio.run(workflow.execute(context))["status"] == "success"
    key = f"coinalyze/liquidations/{BTC}/1h"
    done = resample_series(key, "1d", lake=lake, checkpoint=store)
    assert done["incomplete"] == [{"open": "2026-01-05T00:00:00Z", "known": 22, "expected": 24}]
    rows = read(lake, key, START, END).filter(polars.col("ts") >= START + 24 * HOUR)
    wanted = rows.group_by_dynamic("ts", every="1d").agg(
        polars.col("long_volume").sum(), polars.col("short_volume").sum()
    )
    derived = BronzeWriter(lake.url.replace("bronze", "derived"))
    found = read(derived, done["series"], START, END)
    assert found["ts"].to_list() == wanted["ts"].to_list()
    assert 0 < len(found) <= 13
    assert found["long_volume"].to_list() == pytest.approx(wanted["long_volume"].to_list(), rel=1e-12)
    with pytest.raises(InvalidError, match=f"{key}: no checkpoint says what was asked for"):
        resample_series(key, "1d", lake=lake, checkpoint="file:///nowhere/at/all")


def test_two_series_become_one_of_a_source_of_its_own(lake, tmp_path):
    keys = ["binance/ohlcv/BTCUSDT/1h", KEY]
    into = "merged/ohlcv/BTC%2FUSDT%3AUSDT/1h"
    put(lake, keys[0], range(4, 8), table(range(4, 8), close=4.0))
    put(lake, keys[1], range(0, 10), table(range(0, 10)))
    done = merge_series(keys, into, lake=lake)
    assert done["sources"] == [{"series": keys[0], "rows": 4}, {"series": keys[1], "rows": 6}]
    assert {name: done[name] for name in ("series", "rows", "periods")} == {"series": into, "rows": 10, "periods": 1}
    derived = BronzeWriter((tmp_path / "lake" / "derived").as_uri())
    assert read(derived, into, START, END)["close"].to_list() == [3.0] * 4 + [4.0] * 4 + [3.0] * 2
    before = objects(tmp_path / "lake" / "derived")
    metadata = pyarrow.parquet.read_metadata(tmp_path / "lake" / "derived" / next(iter(before))).metadata
    assert metadata[b"quant_framework.derived_from"].decode() == f"{keys[0]} (4 rows), {keys[1]} (6 rows)"
    assert merge_series(keys, into, lake=lake) == done
    assert objects(tmp_path / "lake" / "derived") == before
    # What was merged is a series like any other.
    daily = resample_series(into, "2h", lake=derived, derived=derived, checkpoint=(tmp_path / "none").as_uri())
    assert (daily["series"], daily["rows"]) == ("merged.resampled/ohlcv/BTC%2FUSDT%3AUSDT/2h", 5)


def test_what_no_derived_series_may_be(lake, store):
    put(lake, KEY, range(0, 24), table(range(0, 24)))
    for options, said in [
        ({"into": f"coinalyze/ohlcv/{BTC}/1d"}, "would be taken for what coinalyze said"),
        ({"into": f"mine/ohlcv/{BTC}/1h"}, "is no place for 1d bars"),
        ({"into": f"mine/open_interest/{BTC}/1d"}, "cannot be made of"),
        ({"start": START}, "belong together"),
        ({"start": "2026-01-05T00:00", "end": END}, "no time zone"),
        ({"lake": object()}, "lake must be a URL or a writer"),
    ]:
        with pytest.raises(InvalidError, match=said):
            resample_series(KEY, "1d", **{"lake": lake, "checkpoint": store} | options)
    for series, into, said in [
        ([KEY], "merged/ohlcv/BTC/1h", "at least two"),
        (KEY, "merged/ohlcv/BTC/1h", "must be a list"),
        ([KEY, "other/ohlcv/BTC/1d"], "merged/ohlcv/BTC/1h", "differ in data type or timeframe"),
        ([KEY, "other/ohlcv/BTC/1h"], "other/ohlcv/BTC/1h", "would be taken for what other said"),
    ]:
        with pytest.raises(InvalidError, match=said):
            merge_series(series, into, lake=lake)
    assert not objects(Path(lake.url.removeprefix("file://")).parent / "derived")


def test_a_stored_bar_that_cannot_be_is_named(lake, store):
    put(lake, KEY, range(0, 24), table(range(0, 24), close=99.0))
    with pytest.raises(DataError, match=rf"{KEY}: 24 of 24 rows cannot be true: the bar of 2026-01-05T00:00:00Z says"):
        resample_series(KEY, "1d", lake=lake, checkpoint=store)


def test_as_tasks_of_a_dag_on_s3(s3, exchange, home, monkeypatch):
    """By TaskFlow, everything by URLs and the environment."""
    monkeypatch.setenv("AWS_ENDPOINT_URL_S3", s3.endpoint)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", s3.access_key)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", s3.secret_key)
    keys = {"access_key": s3.access_key, "secret_key": s3.secret_key}
    S3FileSystem(endpoint_override=s3.endpoint, allow_bucket_creation=True, **keys).create_dir("derived-series")
    lake = BronzeWriter("s3://derived-series/bronze")
    put(lake, KEY, range(0, 48), table(range(0, 48)))

    @dag(schedule=None)
    def flow():
        task(resample_series)(series=KEY, to_timeframe="1d", lake="s3://derived-series/bronze")

    (made,) = flow().tasks
    done = json.loads(json.dumps(made.python_callable(**made.op_kwargs)))
    assert (done["rows"], done["incomplete_count"]) == (2, 0)
    derived = BronzeWriter("s3://derived-series/derived")
    assert read(derived, done["series"], START, END)["volume"].to_list() == [168.0, 168.0]


def test_the_functions_load_no_airflow():
    modules = ("ingestion.processors", "ingestion.normalizers", "orchestration.tasks")
    names = ", ".join(f"quant_framework.{module}" for module in modules)
    code = f"import sys, {names}; assert not any(name.partition('.')[0] == 'airflow' for name in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
