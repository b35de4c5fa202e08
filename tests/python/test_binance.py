"""Whole backfills of Binance, spot and USD-M, against the offline exchange."""

from __future__ import annotations

import time
from datetime import datetime, timedelta, timezone

import pyarrow.dataset
import pyarrow.parquet
import pytest

from conftest import END, START, Context
from quant_framework import settings
from quant_framework.errors import InvalidError
from quant_framework.ingestion.adapters import BinanceAdapter
from quant_framework.ingestion.chunking import FixedChunkStrategy
from quant_framework.ingestion.rate_limit import AdaptiveRateLimiter, preset
from quant_framework.testing import Fault, Limits, OfflineExchange, bars
from quant_framework.testing.binance import funding

HOUR = timedelta(hours=1)
SECONDS = {"1m": 60, "1h": 3600}


@pytest.fixture
def backfill(make, tmp_path):
    """A function that runs a backfill of BTCUSDT; keywords override."""

    async def backfill(exchange: OfflineExchange, market: str = "spot", **options: object) -> dict:
        adapter = BinanceAdapter(market, exchange.url)
        return await make(exchange, **({"adapter": adapter, "symbols": ["BTCUSDT"]} | options)).execute(Context())

    return backfill


def stored(folder, source: str, kind: str = "ohlcv", symbol: str = "BTCUSDT", timeframe: str = "1h") -> list[dict]:
    place = folder / "lake" / f"source={source}" / f"dataset={kind}" / f"symbol={symbol}" / f"timeframe={timeframe}"
    rows = pyarrow.dataset.dataset(place).to_table().to_pylist() if place.exists() else []
    return sorted(rows, key=lambda row: row["ts"])


def expected(name: str, interval: str, start: datetime, end: datetime) -> list[tuple]:
    opens = bars.opens(interval, int(start.timestamp()), int(end.timestamp()) - 1)
    items = [bars.synthetic("ohlcv-history", name, interval, at) for at in opens]
    return [tuple(item[key] for key in ("t", "o", "h", "l", "c", "v", "bv", "tx")) for item in items]


def tuples(rows: list[dict]) -> list[tuple]:
    columns = ("open", "high", "low", "close", "volume", "taker_buy_volume", "trade_count")
    return [(int(row["ts"].timestamp()), *(row[column] for column in columns)) for row in rows]


@pytest.mark.parametrize(("market", "source", "name"), [("spot", "binance", "A"), ("usdm", "binance_usdm", "PERP")])
async def test_the_rows_are_the_exchanges_and_a_second_run_asks_nothing(
    market, source, name, backfill, exchange, tmp_path
):
    name = "BTCUSDT.A" if name == "A" else "BTCUSDT_PERP.A"
    result = await backfill(exchange, market, timeframes=["1h", "1m"], end=START + 3 * 24 * HOUR)
    assert (result["status"], result["errors"]) == ("success", [])
    for timeframe, interval in [("1h", "1hour"), ("1m", "1min")]:
        found = tuples(stored(tmp_path, source, timeframe=timeframe))
        assert found == expected(name, interval, START, START + 3 * 24 * HOUR)
    asked = exchange.stats()["requests"]
    again = await backfill(exchange, market, timeframes=["1h", "1m"], end=START + 3 * 24 * HOUR)
    assert (again["status"], again["requests"], exchange.stats()["requests"]) == ("success", 0, asked)


async def test_usdm_pages_hold_499_bars_for_a_weight_of_2(backfill, exchange):
    result = await backfill(exchange, "usdm", timeframes=["1m"], end=START + 48 * HOUR)
    assert result["status"] == "success"
    limits = [int(entry["limit"]) for entry in exchange.ledger]
    assert max(limits) == 499
    assert sum(limits) == 48 * 60
    assert all(entry["weight"] == (1 if int(entry["limit"]) < 100 else 2) for entry in exchange.ledger)
    assert len(limits) <= 48 * 60 / 499 + 2


async def test_spot_pages_hold_1000_bars(backfill, exchange):
    await backfill(exchange, timeframes=["1m"], end=START + 72 * HOUR)
    limits = [int(entry["limit"]) for entry in exchange.ledger]
    assert (max(limits), sum(limits)) == (1000, 72 * 60)


async def test_a_name_is_looked_up_once_and_paid_for(backfill, exchange, tmp_path):
    limiter = AdaptiveRateLimiter(None, windows=((6000, 3600.0),))
    for _ in range(2):
        result = await backfill(exchange, symbols=["btc", "BTC/USDT"], rate_limiter=limiter)
        assert result["status"] == "success"
    asked = [entry for entry in exchange.ledger if entry["path"] == "api/v3/exchangeInfo"]
    assert [entry["weight"] for entry in asked] == [20]
    # Two names were looked up at a price of 20 each, where the second did not find the answer to the first one already.
    spent = sum(entry["weight"] for entry in exchange.ledger)
    assert limiter.stats()["windows"][0]["used"] in (spent, spent + 20)
    assert len(stored(tmp_path, "binance")) == 14 * 24


async def test_open_interest_of_the_latest_30_days(backfill, tmp_path):
    with OfflineExchange(limit=None) as exchange:
        today = datetime.now(timezone.utc).replace(minute=0, second=0, microsecond=0)
        start, end = today - timedelta(days=45), today - 3 * HOUR
        result = await backfill(exchange, "usdm", data_types=["open_interest"], start=start, end=end)
        assert result["status"] == "success", result["errors"]
        rows = stored(tmp_path, "binance_usdm", "open_interest")
        assert {entry["status"] for entry in exchange.ledger} == {200}
    assert rows[-1]["ts"] == end - HOUR
    assert timedelta(days=29, hours=22) < today - rows[0]["ts"] <= timedelta(days=30)
    for row in rows:
        item = bars.synthetic("open-interest-history", "BTCUSDT_PERP.A", "1hour", int(row["ts"].timestamp()))
        assert (row["oi_close"], row["oi_open"]) == (item["c"], None)
    kinds = {gap["kind"] for gap in result["series"][0]["gaps"]}
    assert kinds == {"beyond_retention"}
    file = next((tmp_path / "lake").rglob("*.parquet"))
    assert pyarrow.parquet.read_metadata(file).metadata[b"quant_framework.unit"] == b"base"


@pytest.mark.parametrize(
    ("symbol", "hours", "timeframe"), [("BTCUSDT", 8, "8h"), ("SOLUSDT", 4, "4h"), ("SOLUSDT", 4, "8h")]
)
async def test_funding(symbol, hours, timeframe, backfill, exchange, tmp_path):
    start = END - timedelta(days=400)
    result = await backfill(
        exchange, "usdm", symbols=[symbol], data_types=["funding_rate"], timeframes=[timeframe], start=start
    )
    assert result["status"] == "success", result["errors"]
    step = int(timeframe[0]) * 3600
    settled: dict[int, list[float]] = {}
    for at in range(int(start.timestamp()), int(END.timestamp()), hours * 3600):
        settled.setdefault(at // step * step, []).append(funding(symbol, hours, at)[1])
    columns = ("funding_open", "funding_high", "funding_low", "funding_close")
    rows = stored(tmp_path, "binance_usdm", "funding_rate", symbol, timeframe)
    assert {int(row["ts"].timestamp()): tuple(row[column] for column in columns) for row in rows} == {
        at: (rates[0], max(rates), min(rates), rates[-1]) for at, rates in settled.items()
    }
    assert result["series"][0]["gaps"] == []


async def test_funding_of_hours_leaves_the_hours_without_it_empty(backfill, exchange, tmp_path):
    result = await backfill(exchange, "usdm", data_types=["funding_rate"], end=START + 48 * HOUR)
    assert result["status"] == "success"
    assert [row["ts"].hour for row in stored(tmp_path, "binance_usdm", "funding_rate")] == [0, 8, 16] * 2
    asked = exchange.stats()["requests"]
    await backfill(exchange, "usdm", data_types=["funding_rate"], end=START + 48 * HOUR)
    assert exchange.stats()["requests"] == asked, "nothing is asked for again"


async def test_before_the_listing_there_is_nothing_and_that_is_known(backfill, exchange, tmp_path):
    exchange.listings["binance"][0]["listed"] = int((START + 30 * HOUR).timestamp())
    result = await backfill(exchange, end=START + 60 * HOUR, timeframes=["1h"])
    assert result["status"] == "success", result["errors"]
    rows = stored(tmp_path, "binance")
    assert (rows[0]["ts"], len(rows)) == (START + 30 * HOUR, 30)
    before = await backfill(exchange, start=START - 48 * HOUR, end=START + 60 * HOUR)
    assert (before["status"], before["records_written"]) == ("success", 0)
    asked = exchange.stats()["requests"]
    again = await backfill(exchange, start=START - 48 * HOUR, end=START + 60 * HOUR)
    assert (again["requests"], exchange.stats()["requests"]) == (0, asked)
    assert again["series"][0]["gaps"][0]["bars"] == 78


async def test_the_forming_bar_is_left_for_a_later_run(backfill, tmp_path):
    with OfflineExchange(limit=None) as exchange:
        now = datetime.now(timezone.utc)
        result = await backfill(exchange, start=now - 5 * HOUR, end=now + HOUR)
    assert result["status"] == "success", result["errors"]
    this_hour = now.replace(minute=0, second=0, microsecond=0)
    rows = stored(tmp_path, "binance")
    assert rows[-1]["ts"] in (this_hour - HOUR, this_hour - 2 * HOUR)
    assert tuples(rows)[-1] == expected("BTCUSDT.A", "1hour", rows[-1]["ts"], rows[-1]["ts"] + HOUR)[0]


async def test_no_window_is_ever_exceeded(backfill):
    window = (100, 5.0, "fixed")
    with OfflineExchange(limits={"binance": Limits(window, quota_headers="mbx")}) as exchange:
        result = await backfill(
            exchange,
            end=START + 80 * 24 * HOUR,
            # The exchange counts late where the machine is busy.
            rate_limiter=AdaptiveRateLimiter(None, windows=(window,), slack=0.8),
            chunk_strategy=FixedChunkStrategy(24),
            concurrency=4,
        )
        assert (result["status"], result["records_written"]) == ("success", 80 * 24)
        assert set(exchange.stats()) == {"requests", "weight", "200"}
        assert exchange.usage("binance")[0]["peak"] <= 100 < exchange.usage("binance")[0]["accepted"]


async def test_one_limiter_keeps_inside_the_small_buckets_too(backfill, tmp_path):
    """In proportion to 2,400 a minute, and 1,000 and 500 in five."""
    limits = {"binance_usdm": (240, 5.0), "binance_data": (20, 5.0), "binance_funding": (10, 5.0)}
    windows = {name: (*window, "fixed") for name, window in limits.items()}
    today = datetime.now(timezone.utc).replace(minute=0, second=0, microsecond=0)
    with OfflineExchange(limits=windows) as exchange:
        result = await backfill(
            exchange,
            "usdm",
            symbols=["BTCUSDT", "ETHUSDT"],
            timeframes=["1h"],
            data_types=["ohlcv", "open_interest", "funding_rate"],
            start=today - timedelta(days=7),
            end=today - 3 * HOUR,
            rate_limiter=AdaptiveRateLimiter(None, windows=((240, 5.0, "fixed"),), slack=0.8),
            chunk_strategy=FixedChunkStrategy(24),
        )
        assert result["status"] == "success", result["errors"]
        assert set(exchange.stats()) == {"requests", "weight", "200"}
        for name, (most, _) in limits.items():
            assert 0 < exchange.usage(name)[0]["peak"] <= most


async def test_what_others_spend_is_read_from_the_headers(backfill):
    window = (100, 3600.0, "fixed")
    with OfflineExchange(limits={"binance": Limits(window, quota_headers="mbx")}) as exchange:
        exchange.spend(90, "binance")
        limiter = AdaptiveRateLimiter(None, windows=(window,))
        result = await backfill(
            exchange, timeframes=["1m"], end=START + 20 * 24 * HOUR, rate_limiter=limiter, max_wait=0.0, concurrency=1
        )
        assert result["status"] == "parked"
        assert exchange.stats() == {"requests": 5, "weight": 10, "200": 5}


async def test_a_ban_is_respected(backfill):
    # The limiter knows no window: it learns of the limit by being refused, and each refusal starts a ban.
    limits = Limits((2, 1.5, "fixed"), ban=(1, 1.0), quota_headers="mbx")
    with OfflineExchange(limits={"binance": limits}) as exchange:
        result = await backfill(exchange, timeframes=["1m"], end=START + 3 * 24 * HOUR, concurrency=1)
        assert (result["status"], result["records_written"]) == ("success", 3 * 1440)
        assert exchange.stats()["429"] >= 1
        assert "418" not in exchange.stats(), "nobody asks during a ban"


async def test_an_address_that_is_banned_waits_until_the_end_of_the_ban(backfill, exchange):
    exchange.inject(Fault("418", value=2))
    began = time.monotonic()
    result = await backfill(exchange, timeframes=["1m"], end=START + 48 * HOUR, concurrency=1)
    assert (result["status"], exchange.stats()["418"]) == ("success", 1)
    assert time.monotonic() - began >= 2


@pytest.mark.parametrize("kind", ["500", "503", "disconnect", "truncated_body", "malformed", "unordered", "duplicates"])
async def test_faults_that_pass_leave_every_row_once(kind, backfill, exchange, tmp_path):
    exchange.inject(Fault(kind))
    result = await backfill(exchange, "usdm", end=START + 100 * HOUR)
    if kind == "malformed":
        assert result["status"] != "success", "a broken body is for a human to see"
        result = await backfill(exchange, "usdm", end=START + 100 * HOUR)
    assert result["status"] == "success", result["errors"]
    assert tuples(stored(tmp_path, "binance_usdm")) == expected("BTCUSDT_PERP.A", "1hour", START, START + 100 * HOUR)


@pytest.mark.parametrize("kind", ["wrong_range", "null_value"])
async def test_an_answer_that_cannot_be_true_stores_nothing(kind, backfill, exchange, tmp_path):
    exchange.inject(Fault(kind, times=None))
    result = await backfill(exchange, end=START + 100 * HOUR)
    assert result["status"] == "failed"
    assert result["errors"][0]["kind"] == "data"
    assert stored(tmp_path, "binance") == []


async def test_an_unknown_symbol_and_a_typo_are_named(backfill, exchange):
    result = await backfill(exchange, symbols=["NOPEUSDT"])
    assert result["status"] == "failed"
    assert "knows no such symbol" in result["errors"][0]["message"]
    result = await backfill(exchange, symbols=["BTX"])
    assert "did you mean BTC?" in result["errors"][0]["message"]


def test_both_sources_open_by_name_without_a_key(monkeypatch):
    spot, usdm = settings.open_adapter("binance"), settings.open_adapter("binance_usdm", quote="USDC")
    assert (spot.source, usdm.source) == ("binance", "binance_usdm")
    assert repr(usdm) == "BinanceAdapter(quote=USDC)"
    assert spot.quota_scope != usdm.quota_scope
    with pytest.raises(InvalidError, match="market must be spot or usdm"):
        BinanceAdapter("coinm")
    with pytest.raises(InvalidError, match=r"source 'binance' does not take these options: .*api_key"):
        settings.open_adapter("binance", api_key="x")
    for name, scope in [("", spot.quota_scope), ("_BINANCE", None)]:
        monkeypatch.setenv(f"QUANT_FRAMEWORK_BASE_URL{name}", "http://mirror.example.com")
        changed = settings.open_adapter("binance").quota_scope
        assert (changed == scope) is (scope is not None), "each source has its own server"


def test_presets_are_binances():
    for source, most in [("binance", 6000), ("binance_usdm", 2400), ("binanceusdm", 2400)]:
        [window] = preset(source).stats()["windows"]
        assert (window["most"], window["seconds"]) == (most, 60)
