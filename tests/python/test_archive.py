"""Binance's archive end to end: from zip files to the lake, what is asked, what absence means, what is refused."""

from __future__ import annotations

import json
from collections import Counter
from datetime import datetime, timedelta, timezone

import pyarrow.dataset
import pyarrow.parquet
import pytest

from quant_framework import cli, settings
from quant_framework.errors import InvalidError
from quant_framework.ingestion.adapters import BinanceAdapter, BinanceArchiveAdapter
from quant_framework.ingestion.backfill import LocalCheckpointStore
from quant_framework.ingestion.writers import BronzeWriter
from quant_framework.orchestration.workflows import BackfillWorkflow
from quant_framework.testing import Fault
from quant_framework.testing.archive import bar, open_interest, zip_of

MINUTE, HOUR, DAY = timedelta(minutes=1), timedelta(hours=1), timedelta(days=1)
VALUES = {"open": "o", "high": "h", "low": "l", "close": "c", "volume": "v", "taker_buy_volume": "bv"}
VALUES |= {"trade_count": "tx"}


def day(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=timezone.utc)


@pytest.fixture
def make(exchange, tmp_path):
    """A backfill from the exchange's archive."""

    def build(market: str = "spot", **options: object) -> BackfillWorkflow:
        defaults = {
            "adapter": BinanceArchiveAdapter(market, base_url=exchange.url),
            "writer": BronzeWriter(str(tmp_path / "lake")),
            "checkpoint_store": LocalCheckpointStore(str(tmp_path / "checkpoints")),
            "symbols": ["BTCUSDT"],
            "timeframes": ["1h"],
        }
        return BackfillWorkflow(**(defaults | options))

    return build


def stored(tmp_path) -> dict[datetime, dict]:
    """Every row of the lake by its time; none comes twice."""
    table = pyarrow.dataset.dataset(tmp_path / "lake", partitioning="hive", exclude_invalid_files=True).to_table()
    rows = {row["ts"].replace(tzinfo=timezone.utc): row for row in table.to_pylist()}
    assert len(rows) == table.num_rows
    return rows


def check(
    rows: dict[datetime, dict],
    interval: str,
    start: datetime,
    end: datetime,
    step: timedelta,
    market: str = "spot",
) -> None:
    """``rows`` are exactly the bars of ``[start, end)``."""
    count = (end - start) // step
    assert sorted(rows) == [start + n * step for n in range(count)]
    for at, row in rows.items():
        one = bar("BTCUSDT", interval, at, market)
        assert {name: row[name] for name in VALUES} == {name: one[key] for name, key in VALUES.items()}
        assert row["taker_buy_trades"] is None


def zips(exchange) -> Counter[str]:
    """The zips that were asked for, by what their names do not share."""
    names = (entry["path"].rpartition("/")[2] for entry in exchange.ledger)
    return Counter(name.removesuffix(".zip").split("-", 2)[2] for name in names if name.endswith(".zip"))


async def test_three_months_of_minutes_over_the_change_of_unit_and_each_file_once(exchange, make, context, tmp_path):
    span = {"start": day("2024-11-01"), "end": day("2025-02-01"), "timeframes": ["1m"]}
    result = await make(**span).execute(context)
    assert (result["status"], result["errors"]) == ("success", [])
    assert result["records_written"] == result["series"][0]["bars"] == 92 * 1440
    assert result["series"][0]["series"] == "binance/ohlcv/BTCUSDT/1m"
    check(stored(tmp_path), "1m", span["start"], span["end"], MINUTE)
    assert zips(exchange) == dict.fromkeys(["2024-11", "2024-12", "2025-01"], 1)
    assert len(list((tmp_path / "lake").rglob("*.parquet"))) == 3, "a chunk is a file"
    exchange.reset()
    again = await make(**span).execute(context)
    assert (again["status"], again["chunks_skipped"], exchange.stats()["requests"]) == ("success", 3, 0)
    more = await make(**(span | {"start": day("2024-10-30"), "end": day("2025-02-02")})).execute(context)
    assert (more["status"], more["records_written"]) == ("success", 3 * 1440)
    assert zips(exchange) == {"2024-10": 1, "2025-02": 1}


async def test_usdm_has_headers_and_milliseconds_and_years_of_hours_are_one_chunk(exchange, make, context, tmp_path):
    result = await make("usdm", start=day("2023-01-01"), end=day("2025-03-01")).execute(context)
    assert (result["status"], result["chunks_done"]) == ("success", 3)
    assert result["series"][0]["series"] == "binance_usdm/ohlcv/BTCUSDT/1h"
    check(stored(tmp_path), "1h", day("2023-01-01"), day("2025-03-01"), HOUR, "usdm")
    assert set(zips(exchange).values()) == {1}
    assert len(zips(exchange)) == 26
    assert all(entry["path"].startswith("data/futures/um/monthly/klines/BTCUSDT/1h/") for entry in exchange.ledger)


async def test_a_symbol_without_a_header_beside_one_with_and_months_as_bars(exchange, make, context, tmp_path):
    exchange.archive.headers = {"BTCUSDT-1mo-2024-03.zip": True}
    result = await make(start=day("2024-01-01"), end=day("2025-01-01"), timeframes=["1M"]).execute(context)
    assert (result["status"], result["records_written"]) == ("success", 12)
    assert sorted(stored(tmp_path)) == [datetime(2024, month, 1, tzinfo=timezone.utc) for month in range(1, 13)]


async def test_open_interest_is_at_the_end_of_each_five_minutes_before_and_after_the_labels_changed(
    exchange, make, context, tmp_path
):
    span = {"start": day("2026-06-23"), "end": day("2026-06-27")}
    job = {"timeframes": ["5m"], "data_types": ["open_interest"], "symbols": ["BTCUSDT"]}
    result = await make("usdm", **span, **job).execute(context)
    assert (result["status"], result["series"][0]["gaps"]) == ("success", [])
    rows = stored(tmp_path)
    assert sorted(rows) == [span["start"] + n * 5 * MINUTE for n in range(4 * 288)]
    assert all(row["oi_close"] == open_interest("BTCUSDT", at) and row["oi_open"] is None for at, row in rows.items())
    assert zips(exchange) == {f"2026-06-{number}": 1 for number in (23, 24, 25, 26)}


async def test_days_that_are_not_yet_published_stay_unknown_and_come_later(exchange, make, context, tmp_path):
    now = datetime.now(timezone.utc)
    midnight = now.replace(hour=0, minute=0, second=0, microsecond=0)
    exchange.archive.days_late, exchange.archive.months_late = 2 * DAY, 40 * DAY
    newest = midnight - 2 * DAY  # that of yesterday's yesterday came at midnight
    start = midnight - 6 * DAY
    result = await make(start=start, end=now).execute(context)
    assert (result["status"], result["errors"]) == ("success", [])
    check(stored(tmp_path), "1h", start, newest, HOUR)
    (gap,) = result["series"][0]["gaps"]
    assert (gap["kind"], gap["start"]) == ("unknown", newest.strftime("%Y-%m-%dT%H:%M:%SZ"))
    exchange.archive.days_late = timedelta(0)
    result = await make(start=start, end=now).execute(context)
    assert (result["status"], result["records_written"]) == ("success", 48)
    check(stored(tmp_path), "1h", start, midnight, HOUR)


async def test_an_old_day_without_a_file_is_empty_and_a_young_one_is_asked_again(exchange, make, context, tmp_path):
    midnight = datetime.now(timezone.utc).replace(hour=0, minute=0, second=0, microsecond=0)
    exchange.archive.days_late, exchange.archive.months_late = timedelta(0), 40 * DAY
    old, young = midnight - 6 * DAY, midnight - 2 * DAY
    for at in (old, young):
        exchange.archive.remove(f"BTCUSDT-1h-{at:%Y-%m-%d}.zip")
    result = await make(start=midnight - 8 * DAY, end=midnight).execute(context)
    assert result["status"] == "success"
    kinds = [(gap["kind"], gap["start"][:10]) for gap in result["series"][0]["gaps"]]
    assert kinds == [("empty", f"{old:%Y-%m-%d}"), ("unknown", f"{young:%Y-%m-%d}")]
    assert max(stored(tmp_path)) == young - HOUR, "what lies behind an unknown day waits for it"
    exchange.archive.restore(f"BTCUSDT-1h-{young:%Y-%m-%d}.zip")
    exchange.reset()
    again = await make(start=midnight - 8 * DAY, end=midnight).execute(context)
    assert (again["status"], again["records_written"]) == ("success", 48)
    assert not any(f"{old:%Y-%m-%d}" in entry["path"] for entry in exchange.ledger), "what is empty is settled"


async def test_a_short_month_is_made_up_for_and_what_no_file_has_is_empty(exchange, make, context, tmp_path):
    month = "BTCUSDT-1h-2024-01.zip"
    exchange.archive.drop(month, day("2024-01-10"), day("2024-02-01"))
    exchange.archive.drop("BTCUSDT-1h-2024-01-20.zip", day("2024-01-20"), day("2024-01-20") + 5 * HOUR)
    exchange.archive.remove("BTCUSDT-1h-2024-01-25.zip")
    result = await make(start=day("2024-01-01"), end=day("2024-03-01")).execute(context)
    assert (result["status"], result["records_written"]) == ("success", 60 * 24 - 5 - 24)
    gaps = [(gap["kind"], gap["start"], gap["bars"]) for gap in result["series"][0]["gaps"]]
    assert gaps == [("empty", "2024-01-20T00:00:00Z", 5), ("empty", "2024-01-25T00:00:00Z", 24)]
    assert set(zips(exchange).values()) == {1}
    assert len(zips(exchange)) == 2 + 22


async def test_a_market_that_is_listed_later_costs_few_questions(exchange, make, context, tmp_path):
    exchange.archive.listed = day("2024-03-15") + 9 * HOUR
    result = await make(start=day("2024-01-01"), end=day("2024-05-01"), timeframes=["1m"]).execute(context)
    assert (result["status"], min(stored(tmp_path))) == ("success", exchange.archive.listed)
    assert [gap["kind"] for gap in result["series"][0]["gaps"]] == ["empty"]
    # Three for each month before, the month and its 15 first days, the month after.
    assert sum(zips(exchange).values()) == 3 + 3 + 16 + 1


async def test_a_name_or_an_address_that_is_wrong_is_refused_and_never_empty(exchange, make, context, tmp_path):
    exchange.archive.listed = datetime.now(timezone.utc) + DAY
    result = await make(start=day("2024-01-01"), end=day("2024-03-01")).execute(context)
    (error,) = result["errors"]
    assert (result["status"], error["kind"], result["series"][0]["gaps"][0]["kind"]) == ("failed", "invalid", "unknown")
    assert "no file of ohlcv 1h" in error["message"]
    exchange.archive.listed = day("2020-01-01")
    wrong = BinanceArchiveAdapter(base_url=f"{exchange.url}/elsewhere")
    assert (await make(adapter=wrong, start=day("2024-01-01"), end=day("2024-03-01")).execute(context))["errors"]
    assert (await make(start=day("2024-01-01"), end=day("2024-03-01")).execute(context))["records_written"] == 60 * 24


async def test_a_wrong_checksum_fails_its_month_alone_and_the_next_run_brings_it(exchange, make, context, tmp_path):
    span = {"start": day("2024-01-01"), "end": day("2024-04-01"), "timeframes": ["5m"]}
    exchange.archive.replace("BTCUSDT-5m-2024-02.zip", zip_of({"BTCUSDT-5m-2024-02.csv": b""}))
    result = await make(**span).execute(context)
    assert result["status"] == "partial"
    (error,) = result["errors"]
    assert error["kind"] == "data"
    assert "BTCUSDT-5m-2024-02.zip has the SHA-256" in error["message"]
    assert zips(exchange)["2024-02"] == 2, "once more, then no longer"
    exchange.archive.restore("BTCUSDT-5m-2024-02.zip")
    exchange.reset()
    assert (await make(**span).execute(context))["status"] == "success"
    assert zips(exchange) == {"2024-02": 1}
    check(stored(tmp_path), "5m", span["start"], span["end"], 5 * MINUTE)


@pytest.mark.parametrize(
    ("body", "said"),
    [
        (b"<html>maintenance</html>", "web page"),
        (b"PK\x03\x04", "not a sound zip"),
        (zip_of({}), "holds 0 files"),
        (zip_of({"a.csv": b"", "b.csv": b""}), "holds 2 files"),
        (zip_of({"BTCUSDT-1h-2024-02.csv": b"1"}), "where BTCUSDT-1h-2024-01.csv should be"),
        (zip_of({"BTCUSDT-1h-2024-01.csv": b"1704067200000,1,2\n"}), "in line 1"),
        (zip_of({"BTCUSDT-1h-2024-01.csv": b"\x00" * (200 << 20)}), "would unpack to 209715200 bytes"),
    ],
    ids=["web page", "cut", "empty", "two", "other name", "garbage", "bomb"],
)
async def test_what_is_no_such_file_is_refused_in_one_line(body, said, exchange, make, context, tmp_path):
    import hashlib

    name = "BTCUSDT-1h-2024-01.zip"
    exchange.archive.replace(name, body)
    exchange.archive.replace(f"{name}.CHECKSUM", f"{hashlib.sha256(body).hexdigest()}  {name}".encode())
    result = await make(start=day("2024-01-01"), end=day("2024-02-01")).execute(context)
    (error,) = result["errors"]
    assert (result["status"], error["kind"]) == ("failed", "data")
    assert said in error["message"]
    assert name in error["message"]
    assert "\n" not in error["message"]
    assert not list((tmp_path / "lake").rglob("*.parquet"))


async def test_a_broken_connection_is_tried_again(exchange, make, context, tmp_path):
    for kind in ("truncated_body", "disconnect", "503"):
        exchange.inject(Fault(kind, path="2024-01.zip"))
    result = await make(start=day("2024-01-01"), end=day("2024-02-01")).execute(context)
    assert (result["status"], result["requests"], zips(exchange)["2024-01"]) == ("success", 4, 4)
    check(stored(tmp_path), "1h", day("2024-01-01"), day("2024-02-01"), HOUR)


async def test_a_corrected_file_is_told_by_its_name_and_checksum_in_the_lineage(exchange, make, context, tmp_path):
    span = {"start": day("2024-01-01"), "end": day("2024-02-01")}

    async def files(**options: object) -> dict[str, str]:
        await make(**span, **options).execute(context)
        (path,) = (tmp_path / "lake").rglob("*.parquet")
        lineage = pyarrow.parquet.read_metadata(path).metadata
        return dict(part.split(":") for part in lineage[b"quant_framework.files"].decode().split(" "))

    before = await files()
    assert await files(resume="never") == before
    exchange.archive.correct("BTCUSDT-1h-2024-01.zip", 7.5)
    after = await files(resume="never")
    assert after.keys() == before.keys() == {"BTCUSDT-1h-2024-01.zip"}
    assert after != before
    assert stored(tmp_path)[span["start"]]["volume"] == 7.5


class Rest(BinanceAdapter):
    """Binance's REST interface; remembers what it was asked."""

    def __init__(self, *_: object, **__: object) -> None:
        self.asked: list[tuple[datetime, datetime]] = []

    def fetch(self, request):
        self.asked.append((request.start, request.end))
        return super().fetch(request)


async def test_an_archive_and_a_rest_tail_are_one_series(exchange, make, context, tmp_path):
    now = datetime.now(timezone.utc)
    hour = now.replace(minute=0, second=0, microsecond=0)
    start, midnight = hour - 40 * DAY, now.replace(hour=0, minute=0, second=0, microsecond=0)
    start = start.replace(hour=0)
    assert (await make(start=start, end=now).execute(context))["status"] == "success"
    published = max(stored(tmp_path)) + HOUR
    assert midnight - 2 * DAY <= published <= midnight
    rest = Rest(base_url=exchange.url)
    result = await make(adapter=rest, start=start, end=hour).execute(context)
    assert (result["status"], result["errors"]) == ("success", [])
    assert min(low for low, _ in rest.asked) == published, "REST is asked for the tail alone"
    assert result["series"][0]["coverage"] == 1
    check(stored(tmp_path), "1h", start, hour, HOUR)


async def test_a_subclass_keeps_the_delay_and_the_name(exchange, make, context, tmp_path):
    class Doubled(BinanceArchiveAdapter):
        async def fetch(self, request):
            return await super().fetch(request)

    midnight = datetime.now(timezone.utc).replace(hour=0, minute=0, second=0, microsecond=0)
    exchange.archive.days_late, exchange.archive.months_late = 2 * DAY, 40 * DAY
    adapter = Doubled("spot", exchange.url)
    result = await make(adapter=adapter, start=midnight - 5 * DAY, end=midnight).execute(context)
    assert [gap["kind"] for gap in result["series"][0]["gaps"]] == ["unknown"]
    assert (await make(start=midnight - 5 * DAY, end=midnight).execute(context))["status"] == "success"


async def test_it_has_no_quota_though_its_namesake_has(exchange, make, context):
    adapter = settings.open_adapter("binance_archive", base_url=exchange.url)
    assert (adapter.source, adapter.limited_as) == ("binance", "binance_archive")
    limiter = settings.open_limiter(adapter)
    assert limiter.stats()["windows"] == []
    symbols = [f"COIN{number}USDT" for number in range(30)]
    job = {"symbols": symbols, "rate_limiter": limiter, "start": day("2024-01-01"), "end": day("2024-02-01")}
    result = await make(**job).execute(context)
    assert (result["status"], result["throttled_seconds"]) == ("success", 0)


def test_what_cannot_work_is_refused_at_once(make):
    with pytest.raises(InvalidError, match='unknown market "coinm"; use spot or usdm'):
        BinanceArchiveAdapter("coinm")
    with pytest.raises(InvalidError, match="not an http or https URL"):
        BinanceArchiveAdapter(base_url="file:///archive")
    adapter = BinanceArchiveAdapter()
    assert adapter.capability("ohlcv", "1m")["rows_per_request"] == 31 * 1440
    for data_type, timeframe in [("ohlcv", "1w"), ("open_interest", "5m"), ("funding_rate", "8h")]:
        with pytest.raises(InvalidError, match="archive"):
            adapter.capability(data_type, timeframe)
    assert repr(BinanceArchiveAdapter("usdm")) == "BinanceArchiveAdapter(usdm)"


def test_the_command_line_fills_a_lake_from_it(exchange, monkeypatch, tmp_path, capsys):
    monkeypatch.setenv("QUANT_FRAMEWORK_HOME", str(tmp_path))
    span = ["--start", "2024-01-01", "--end", "2024-03-01", "--timeframes", "1h", "--base-url", exchange.url]
    names = ["--source", "binance_archive", "--symbols", "BTC/USDT", "--option", "market=usdm"]
    assert cli.main(["backfill", *span, *names, "--json"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert (report["records_written"], report["series"][0]["symbol"]) == (60 * 24, "BTCUSDT")
    assert report["series"][0]["series"].startswith("binance_usdm/")
