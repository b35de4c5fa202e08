"""Bodies that Binance sent, through the native adapter: each number where the venue means it."""

from __future__ import annotations

import json
import threading
from datetime import datetime, timedelta, timezone
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pyarrow
import pytest

from conftest import SHARED
from quant_framework.errors import DataError
from quant_framework.ingestion.adapters import BinanceAdapter, FetchRequest

FOLDER = SHARED / "data" / "raw_responses"
HOUR = timedelta(hours=1)


def recorded(name: str) -> bytes:
    path = FOLDER / name
    if not path.is_file():
        pytest.skip("the recorded answers are not beside this checkout (set QF_SHARED)")
    return path.read_bytes()


@pytest.fixture
def replay():
    """A function that starts a server which answers one body to everything, and answers its URL."""
    servers = []

    def replay(body: bytes) -> str:
        class Handler(BaseHTTPRequestHandler):
            def log_message(self, *_):
                pass

            def do_GET(self):
                self.send_response(200)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

        servers.append(ThreadingHTTPServer(("127.0.0.1", 0), Handler))
        threading.Thread(target=servers[-1].serve_forever, daemon=True).start()
        return f"http://127.0.0.1:{servers[-1].server_address[1]}"

    yield replay
    for server in servers:
        server.shutdown()
        server.server_close()


def at(millis: int) -> datetime:
    return datetime.fromtimestamp(millis / 1000, timezone.utc)


async def rows(url: str, market: str, kind: str, timeframe: str, start: int, length: timedelta) -> list[dict]:
    adapter = BinanceAdapter(market, url)
    series = f"{adapter.source}/{kind}/BTCUSDT/{timeframe}"
    batch = await adapter.fetch(FetchRequest(series, at(start), at(start) + length))
    return pyarrow.record_batch(batch).to_pylist()


@pytest.mark.parametrize("market", ["spot", "perpetual"])
async def test_klines(market, replay):
    body = recorded(f"hummingbot_binance_{market}_klines.json")
    sent = json.loads(body)
    found = await rows(
        replay(body), "spot" if market == "spot" else "usdm", "ohlcv", "1h", sent[0][0], HOUR * len(sent)
    )
    assert found == [
        {
            "ts": at(row[0]),
            "open": float(row[1]),
            "high": float(row[2]),
            "low": float(row[3]),
            "close": float(row[4]),
            "volume": float(row[5]),
            "taker_buy_volume": float(row[9]),
            "trade_count": row[8],
            "taker_buy_trades": None,
        }
        for row in sent
    ]
    assert all(row["low"] <= min(row["open"], row["close"]) for row in found)


async def test_a_weekly_bar_whose_last_field_is_not_zero(replay):
    body = recorded("nautilus_binance_it_http_futures_market_klines.json")
    [row] = await rows(replay(body), "usdm", "ohlcv", "1w", 1499040000000, timedelta(days=7))
    assert (row["ts"], row["close"], row["trade_count"]) == (at(1499040000000), 0.015771, 308)


async def test_open_interest_is_the_close_of_the_bar_that_it_ends(replay):
    body = recorded("nautilus_binance_it_http_futures_market_open_interest_historical.json")
    found = await rows(replay(body), "usdm", "open_interest", "5m", 1583127600000, timedelta(minutes=10))
    assert [(row["ts"], row["oi_close"], row["oi_open"]) for row in found] == [
        (at(1583127600000), 20403.637, None),
        (at(1583127900000), 20401.367, None),
    ]


async def test_funding(replay):
    body = recorded("nautilus_binance_it_http_futures_market_funding_rate.json")
    found = await rows(replay(body), "usdm", "funding_rate", "8h", 1570608000000, 16 * HOUR)
    assert [(row["ts"], row["funding_open"], row["funding_close"]) for row in found] == [
        (at(1570608000000), -0.0375, -0.0375),
        (at(1570636800000), 0.0001, 0.0001),
    ]


@pytest.mark.parametrize("name", ["nautilus_lighter_http_candles_null.json", "hummingbot_bybit_spot_klines.json"])
async def test_a_body_of_another_venue_is_no_answer(name, replay):
    with pytest.raises(DataError, match="api/v3/klines of BTCUSDT: the answer is not what it should be"):
        await rows(replay(recorded(name)), "spot", "ohlcv", "1h", 1715176800000, HOUR)
