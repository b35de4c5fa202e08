"""The offline exchange in Binance's dress: rows, bounds, weights, errors."""

from __future__ import annotations

import json
import urllib.error
import urllib.request
from urllib.parse import urlencode

import pytest

from quant_framework.testing import Fault, OfflineExchange, bars, markets

NOON = 1_767_614_400  # 2026-01-05 12:00
HOUR = 3600
SPOT, USDM = "api/v3/klines", "fapi/v1/klines"
OI, FUNDING = "futures/data/openInterestHist", "fapi/v1/fundingRate"


@pytest.fixture
def exchange():
    with OfflineExchange(now=lambda: NOON + 600) as exchange:
        yield exchange


def ask(exchange: OfflineExchange, path: str, **query: object) -> tuple[int, object, dict[str, str]]:
    url = f"{exchange.url.removesuffix('/v1')}/{path}?{urlencode(query)}"
    try:
        with urllib.request.urlopen(url, timeout=10) as response:
            return response.status, json.loads(response.read()), dict(response.headers)
    except urllib.error.HTTPError as error:
        body = error.read()
        return error.code, json.loads(body) if body.startswith(b"{") else body, dict(error.headers)


def klines(exchange: OfflineExchange, path: str = SPOT, **query: object) -> tuple[int, object, dict[str, str]]:
    return ask(exchange, path, **({"symbol": "BTCUSDT", "interval": "1h"} | query))


def opens(answer: tuple) -> list[int]:
    assert answer[0] == 200, answer
    return [row[0] // 1000 for row in answer[1]]


def test_both_ends_are_included_and_the_last_row_is_still_forming(exchange):
    span = {"startTime": (NOON - 2 * HOUR) * 1000, "endTime": NOON * 1000}
    answer = klines(exchange, **span)
    assert opens(answer) == [NOON - 2 * HOUR, NOON - HOUR, NOON]
    assert opens(klines(exchange, **(span | {"startTime": span["startTime"] + 1}))) == [NOON - HOUR, NOON]
    assert opens(klines(exchange, **(span | {"endTime": span["endTime"] - 1}))) == [NOON - 2 * HOUR, NOON - HOUR]
    forming, closed = answer[1][-1], bars.synthetic("ohlcv-history", "BTCUSDT.A", "1hour", NOON)
    assert (float(forming[5]), float(forming[4])) == (closed["v"] / 2, closed["o"])
    assert [row[6] - row[0] for row in answer[1]] == [HOUR * 1000 - 1] * 3


def test_usdm_bars_are_those_of_coinalyze(exchange):
    [row] = klines(exchange, USDM, startTime=(NOON - HOUR) * 1000, limit=1)[1]
    item = bars.synthetic("ohlcv-history", "BTCUSDT_PERP.A", "1hour", NOON - HOUR)
    assert [float(value) for value in row[1:6]] == [item[key] for key in "ohlcv"]
    assert (row[8], float(row[9])) == (item["tx"], item["bv"])
    assert float(row[7]) == pytest.approx(item["v"] * item["c"])


def test_limits_and_what_is_given_without_times(exchange):
    assert opens(klines(exchange))[-1] == NOON
    assert len(opens(klines(exchange))) == 500
    assert len(opens(klines(exchange, limit=1500))) == 1000, "spot gives what it has"
    assert len(opens(klines(exchange, USDM, limit=1500))) == 1500
    assert klines(exchange, USDM, limit=1501)[1]["code"] == -1130
    assert opens(klines(exchange, startTime=0, limit=2)) == [1502942400, 1502942400 + HOUR], "the first there are"
    assert opens(klines(exchange, startTime=0, endTime=1502942399999)) == [], "before the listing"
    assert opens(klines(exchange, endTime=(NOON - HOUR) * 1000, limit=2)) == [NOON - 2 * HOUR, NOON - HOUR]


def test_weeks_and_months(exchange):
    assert opens(klines(exchange, interval="1w", limit=2)) == [1767571200 - 7 * 86400, 1767571200]
    months = opens(klines(exchange, interval="1M", limit=13))
    assert months[0] == 1735689600
    assert months[-1] == 1767225600


@pytest.mark.parametrize(
    ("path", "query", "code"),
    [
        (SPOT, {"symbol": "NOPE"}, -1121),
        (SPOT, {"symbol": ""}, -1102),
        (SPOT, {"interval": "7m"}, -1120),
        (SPOT, {"startTime": "noon"}, -1100),
        (SPOT, {"from": 1}, -1104),
        (OI, {"interval": "1h"}, -1104),
        (OI, {}, -1104),
        (FUNDING, {}, -1104),
        (USDM, {"symbol": "ETHBTC"}, -1121),
    ],
)
def test_bad_parameters_have_binances_numbers(path, query, code, exchange):
    status, body, _ = klines(exchange, path, **query)
    assert (status, body["code"]) == (400, code)
    assert body["msg"]


def test_an_end_in_the_future_is_forbidden_and_an_unknown_path_is_not_found(exchange):
    assert klines(exchange, endTime=4_102_444_800_000)[0] == 403
    assert ask(exchange, "api/v3/nothing")[0] == 404


def test_open_interest_is_a_point_at_the_right_edge_and_kept_for_30_days(exchange):
    asked = {"symbol": "BTCUSDT", "period": "1h"}
    points = ask(exchange, OI, **asked, startTime=(NOON - HOUR) * 1000, endTime=NOON * 1000)[1]
    assert [point["timestamp"] // 1000 for point in points] == [NOON - HOUR, NOON]
    item = bars.synthetic("open-interest-history", "BTCUSDT_PERP.A", "1hour", NOON - HOUR)
    assert float(points[1]["sumOpenInterest"]) == item["c"], "the bar that ends there"
    assert len(ask(exchange, OI, **asked)[1]) == 30
    assert ask(exchange, OI, **asked, limit=501)[1]["code"] == -1130
    assert ask(exchange, OI, **asked, startTime=(NOON - 31 * 86400) * 1000)[1]["code"] == -1130
    assert ask(exchange, OI, **(asked | {"period": "1m"}))[1]["code"] == -1120


def test_funding_is_late_by_milliseconds_and_some_is_settled_every_four_hours(exchange):
    eight = ask(exchange, FUNDING, symbol="BTCUSDT", startTime=(NOON - 86400) * 1000, endTime=NOON * 1000)[1]
    times = [one["fundingTime"] for one in eight]
    assert [time // 1000 % (8 * HOUR) for time in times] == [0, 0, 0]
    assert any(time % 1000 for time in times)
    assert all(time % 1000 < 20 for time in times)
    four = ask(exchange, FUNDING, symbol="SOLUSDT", startTime=(NOON - 86400) * 1000, endTime=NOON * 1000 + 999)[1]
    assert len(four) == 7
    assert len(ask(exchange, FUNDING, symbol="BTCUSDT")[1]) == 100


@pytest.mark.usefixtures("one_minute")
def test_weights_and_headers(exchange):
    used = [klines(exchange)[2]["X-MBX-USED-WEIGHT-1M"], ask(exchange, "api/v3/time")[2]["X-MBX-USED-WEIGHT-1M"]]
    assert used == ["2", "3"]
    assert ask(exchange, "api/v3/exchangeInfo")[2]["X-MBX-USED-WEIGHT-1M"] == "23"
    spent = 0
    for limit, weight in [(99, 1), (100, 2), (499, 2), (500, 5), (1000, 5), (1001, 10), (1500, 10)]:
        spent += weight
        assert klines(exchange, USDM, limit=limit)[2]["X-MBX-USED-WEIGHT-1M"] == str(spent), limit
    assert "X-MBX-USED-WEIGHT-1M" not in ask(exchange, OI, symbol="BTCUSDT", period="1h")[2]
    assert {name: exchange.usage(name)[0]["accepted"] for name in ("binance", "binance_usdm", "binance_data")} == {
        "binance": 23,
        "binance_usdm": spent,
        "binance_data": 1,
    }
    assert exchange.usage()[0]["accepted"] == 0, "Coinalyze's is another one"


@pytest.mark.usefixtures("one_minute")
def test_too_much_is_refused_and_refusals_end_in_a_ban():
    with OfflineExchange(limits={"binance": (3, 60.0, "fixed")}) as exchange:
        assert klines(exchange)[0] == 200
        status, body, headers = klines(exchange)
        assert (status, body["code"]) == (429, -1003)
        assert 0 < int(headers["Retry-After"]) <= 60
    with OfflineExchange(limit=None) as exchange:
        exchange.inject(Fault("418", value=120))
        status, body, headers = klines(exchange)
        assert (status, body["code"], headers["Retry-After"]) == (418, -1003, "120")
        exchange.inject(Fault("503"))
        assert ask(exchange, "api/v3/time")[0] == 200, "faults concern rows"
        status, body, _ = klines(exchange)
        assert (status, body["code"]) == (503, -1000)


def test_lists(exchange):
    spot, usdm = (ask(exchange, path)[1]["symbols"] for path in ("api/v3/exchangeInfo", "fapi/v1/exchangeInfo"))
    assert {"BTCUSDT", "ETHBTC"} <= {market["symbol"] for market in spot}
    assert {market["contractType"] for market in usdm} == {"PERPETUAL"}
    assert "listed" not in spot[0]
    assert len(ask(exchange, "api/v3/exchangeInfo", symbol="BTCUSDT")[1]["symbols"]) == 1
    assert ask(exchange, "api/v3/exchangeInfo", symbol="NOPE")[1]["code"] == -1121
    assert ask(exchange, "dapi/v1/exchangeInfo")[1]["symbols"] == []


def test_recorded_candles_are_binances_too(recorded_folder):
    with OfflineExchange(recorded_folder, limit=None) as exchange:
        [row] = klines(exchange, symbol="BTCPERP", interval="1m", startTime=1640991660000, limit=1)[1]
        assert row[:6] == [1640991660000, "46319.0", "46385.0", "46319.0", "46377.0", "2300413.7295"]


def test_an_unknown_limit_is_named():
    with pytest.raises(ValueError, match="unknown limit 'bibance'; use one of binance,"):
        OfflineExchange(limits={"bibance": None})


def test_listings_can_be_changed(exchange):
    exchange.listings["binance"] = [markets.binance_spot("NEW", listed=NOON - HOUR)]
    assert opens(klines(exchange, symbol="NEWUSDT")) == [NOON - HOUR, NOON]
