"""Bodies that venues sent, through ccxt's real parsers: rows as each venue means them, whatever its order and units."""

from __future__ import annotations

import json
from datetime import datetime, timedelta, timezone

import pytest

from conftest import SHARED
from quant_framework.errors import DataError, InvalidError, UnavailableError
from quant_framework.ingestion.adapters import CcxtAdapter, FetchRequest

FOLDER = SHARED / "data" / "raw_responses"
HOUR = timedelta(hours=1)


def recorded(name: str) -> object:
    path = FOLDER / name
    if not path.is_file():
        pytest.skip("the recorded answers are not beside this checkout (set QF_SHARED)")
    return json.loads(path.read_text())


def at(millis: int) -> datetime:
    return datetime.fromtimestamp(millis / 1000, timezone.utc)


class Replay(CcxtAdapter):
    """Answers ``body`` to whatever ccxt asks; its one market is ``symbol``."""

    def __init__(self, exchange_id: str, body: object, symbol: str, market_id: str) -> None:
        super().__init__(exchange_id)
        self.body, self.symbol, self.id, self.urls = body, symbol, market_id, []

    def _make(self):
        exchange = super()._make()
        linear = ":" in self.symbol
        base, quote = self.symbol.partition(":")[0].split("/")
        kind = {"type": "swap" if linear else "spot", "spot": not linear, "swap": linear, "contract": linear}
        quoted = {"base": base, "quote": quote, "settle": quote if linear else None, "settleId": quote, "active": True}
        more = {"linear": linear or None, "inverse": False if linear else None, "option": False, "future": False}
        market = {"id": self.id, "symbol": self.symbol, "contractSize": 1.0, "info": {}} | kind | quoted | more
        exchange.set_markets([exchange.safe_market_structure(market)])

        def fetch(url, *_, **__):
            self.urls.append(url)
            if isinstance(self.body, Exception):
                raise self.body
            return self.body

        exchange.fetch = fetch
        return exchange

    def rows(self, start: int, length: timedelta, timeframe: str = "1h", kind: str = "ohlcv") -> list[list]:
        symbol = self.symbol.replace("/", "%2F").replace(":", "%3A")
        request = FetchRequest(f"{self.source}/{kind}/{symbol}/{timeframe}", at(start), at(start) + length)
        return self.fetch(request).rows


def floats(values: list) -> list[float]:
    return [float(value) for value in values]


def test_okx_is_newest_first():
    body = recorded("hummingbot_okx_spot_klines.json")
    sent = sorted(body["data"], key=lambda row: int(row[0]))
    adapter = Replay("okx", body, "BTC/USDT", "BTC-USDT")
    expected = [[int(row[0]), *floats(row[1:6])] for row in sent]
    assert adapter.rows(expected[0][0], 4 * HOUR) == expected
    assert adapter.rows(expected[1][0], HOUR) == expected[1:2], "what was not asked for is left out"


def test_okx_open_bars_come_through_for_the_pipeline_to_judge():
    body = recorded("nautilus_okx_http_get_candlesticks.json")
    adapter = Replay("okx", body, "BTC/USDT", "BTC-USDT")
    rows = adapter.rows(1625097600000, timedelta(minutes=2), "1m")
    assert [row[0] for row in rows] == [1625097600000, 1625097660000]
    assert rows[1][1:] == [33783.9, 33783.9, 33782.1, 33782.1, 0.123]


def test_bybit_is_newest_first():
    body = recorded("hummingbot_bybit_spot_klines.json")
    sent = body["result"]["list"][::-1]
    adapter = Replay("bybit", body, "BTC/USDT", "BTCUSDT")
    assert adapter.rows(int(sent[0][0]), 5 * HOUR) == [[int(row[0]), *floats(row[1:6])] for row in sent]


def test_gate_has_its_own_order_of_columns_and_seconds():
    body = recorded("hummingbot_gate_io_spot_klines.json")
    adapter = Replay("gate", body, "BTC/USDT", "BTC_USDT")
    # timestamp, quote volume, close, high, low, open, base volume
    expected = [[int(row[0]) * 1000, *floats([row[5], row[3], row[4], row[2], row[6]])] for row in body]
    assert adapter.rows(expected[0][0], 4 * HOUR) == expected
    assert all(row[3] <= min(row[1], row[4]) <= max(row[1], row[4]) <= row[2] for row in expected)


def test_mexc_futures_are_columns():
    body = recorded("hummingbot_mexc_perpetual_klines.json")
    data = body["data"]
    adapter = Replay("mexc", body, "ETH/USDT:USDT", "ETH_USDT")
    expected = [
        [time * 1000, *floats([data[name][index] for name in ("open", "high", "low", "close", "vol")])]
        for index, time in enumerate(data["time"])
    ]
    assert adapter.rows(expected[0][0], 4 * HOUR) == expected


def test_kraken_ends_in_the_unfinished_bar_and_is_not_sent_an_end():
    body = recorded("nautilus_kraken_http_ohlc.json")
    [sent] = [rows for name, rows in body["result"].items() if name != "last"]
    adapter = Replay("kraken", body, "BTC/USDT", "XBTUSDT")
    rows = adapter.rows(sent[0][0] * 1000, timedelta(minutes=len(sent)), "1m")
    # time, open, high, low, close, vwap, volume, count
    assert rows == [[row[0] * 1000, *floats([*row[1:5], row[6]])] for row in sent]
    assert "until" not in adapter.urls[0]


@pytest.mark.parametrize("market", ["spot", "perpetual"])
def test_binance_through_ccxt_is_what_the_native_source_reads(market):
    body = recorded(f"hummingbot_binance_{market}_klines.json")
    spot = market == "spot"
    symbol = "BTC/USDT" if spot else "BTC/USDT:USDT"
    adapter = Replay("binance" if spot else "binanceusdm", body, symbol, "BTCUSDT")
    assert adapter.rows(body[0][0], 4 * HOUR) == [[row[0], *floats(row[1:6])] for row in body]


def test_binance_open_interest_and_funding():
    body = recorded("nautilus_binance_it_http_futures_market_open_interest_historical.json")
    adapter = Replay("binanceusdm", body, "BTC/USDT:USDT", "BTCUSDT")
    rows = adapter.rows(1583127600000, timedelta(minutes=10), "5m", "open_interest")
    assert [(row[0], row[4]) for row in rows] == [(1583127600000, 20403.637), (1583127900000, 20401.367)]
    body = recorded("nautilus_binance_it_http_futures_market_funding_rate.json")
    adapter = Replay("binanceusdm", body, "BTC/USDT:USDT", "BTCUSDT")
    rows = adapter.rows(1570608000000, 16 * HOUR, "8h", "funding_rate")
    assert rows == [[1570608000000, *[-0.0375] * 4], [1570636800000, *[0.0001] * 4]]


def test_null_candles_are_no_candles():
    body = recorded("nautilus_lighter_http_candles_null.json")
    assert Replay("lighter", body, "BTC/USDC:USDC", "1").rows(1715176800000, HOUR) == []


@pytest.mark.parametrize(
    ("body", "kind"),
    [
        ([[1672981200000, "1", "1", None, "1", "1"]], DataError),
        ([[None, "1", "1", "1", "1", "1"]], DataError),
        ([7], DataError),
        (UnicodeDecodeError("utf-8", b"", 0, 1, "x"), DataError),
        (OSError("broken pipe"), UnavailableError),
    ],
    ids=str,
)
async def test_a_malformed_body_is_an_error_and_never_a_row(body, kind):
    from quant_framework._core import Batch

    adapter = Replay("binance", body, "BTC/USDT", "BTCUSDT")
    with pytest.raises(kind) as failed:
        Batch("ohlcv", adapter.rows(1672981200000, HOUR))
    assert "\n" not in str(failed.value)


def test_a_venue_that_answers_its_newest_rows_whatever_was_asked_is_found_out():
    now = int(datetime.now(timezone.utc).timestamp()) // 3600 * 3_600_000
    body = [[now - 3_600_000 * hour, "1", "2", "1", "1", "1"] for hour in range(99, -1, -1)]
    adapter = Replay("binance", body, "BTC/USDT", "BTCUSDT")
    with pytest.raises(InvalidError, match="answered its newest ones"):
        adapter.rows(1672981200000, 100 * HOUR)
    assert len(adapter.rows(body[10][0], 20 * HOUR)) == 20


def pages(cut: slice):
    """A venue that gives no more than a part of what is asked."""
    start = 1_672_531_200_000

    class Cut(Replay):
        def _make(self):
            exchange = super()._make()

            def fetch_ohlcv(symbol, timeframe, since, limit, params):
                first = max(since, start + 30 * 3_600_000)  # listed 30 hours after the start
                opens = range(first, params["until"] + 1, 3_600_000)
                self.urls.append((since, limit))
                return [[at, 1.0, 2.0, 1.0, 1.5, 3.0] for at in list(opens)[cut]]

            exchange.fetch_ohlcv = fetch_ohlcv
            return exchange

    return Cut("binance", None, "BTC/USDT", "BTCUSDT"), start


def test_an_answer_that_was_cut_at_its_end_is_said_to_be():
    adapter, start = pages(slice(60))
    request = FetchRequest("ccxt_binance/ohlcv/BTC%2FUSDT/1h", at(start), at(start) + 200 * HOUR)
    answer = adapter.fetch(request)
    # The head is asked for once more: there is nothing before the listing.
    assert (len(answer.rows), answer.truncated, len(adapter.urls)) == (60, True, 2)


def test_an_answer_that_was_cut_at_its_head_is_completed():
    adapter, start = pages(slice(-60, None))
    request = FetchRequest("ccxt_binance/ohlcv/BTC%2FUSDT/1h", at(start), at(start) + 200 * HOUR)
    answer = adapter.fetch(request)
    assert [row[0] for row in answer.rows] == [start + hour * 3_600_000 for hour in range(30, 200)]
    assert answer.truncated is False
