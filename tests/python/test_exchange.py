"""The offline exchange itself: what authors rely on in their own tests."""

from __future__ import annotations

import json
import urllib.error
import urllib.request

import pytest

from quant_framework.testing import Fault, OfflineExchange, markets

NOON = 1_704_110_400


def ask(exchange: OfflineExchange, path: str, body: dict | None = None, key: str = "offline") -> tuple[int, object]:
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(f"{exchange.url}/{path}", data=data, headers={"api_key": key})
    try:
        with urllib.request.urlopen(request, timeout=10) as response:
            return response.status, json.loads(response.read())
    except urllib.error.HTTPError as error:
        return error.code, json.loads(error.read())


def history(exchange: OfflineExchange, kind: str = "ohlcv-history", **query: object) -> tuple[int, object]:
    asked = {"symbols": "BTCUSDT_PERP.A", "interval": "1min", "from": NOON, "to": NOON + 240} | query
    return ask(exchange, f"{kind}?{'&'.join(f'{key}={value}' for key, value in asked.items())}")


def rows(answer: tuple[int, object]) -> list[dict]:
    status, body = answer
    assert status == 200
    return body[0]["history"]


def test_both_ends_are_included_and_answers_repeat(exchange):
    first = rows(history(exchange))
    assert [row["t"] for row in first] == [NOON + 60 * bar for bar in range(5)]
    assert rows(history(exchange)) == first
    with OfflineExchange(limit=None) as another:
        assert rows(history(another)) == first, "the same bars in every run"


@pytest.mark.parametrize(
    ("query", "said"),
    [
        ({"from": "noon"}, "UNIX seconds"),
        ({"from": 0}, "points"),
        ({"interval": "7min"}, "1min"),
        ({"symbols": ",".join(["X"] * 21)}, "20 symbols"),
    ],
)
def test_bad_parameters_are_400_and_in_the_ledger(query, said, exchange):
    status, body = history(exchange, **query)
    assert (status, said in body["message"]) == (400, True)
    assert exchange.stats()["400"] == 1


def test_dollars_are_units_times_price(exchange):
    for kind, kept in [("open-interest-history", False), ("liquidation-history", False), ("ohlcv-history", True)]:
        units, dollars = (
            rows(history(exchange, kind, to=NOON + 3600, convert_to_usd=usd)) for usd in ("false", "true")
        )
        assert units
        assert (units == dollars) is kept
    closes = {row["t"]: row["c"] for row in rows(history(exchange, to=NOON + 3600))}
    for unit, dollar in zip(
        rows(history(exchange, "open-interest-history", to=NOON + 3600)),
        rows(history(exchange, "open-interest-history", to=NOON + 3600, convert_to_usd="true")),
        strict=True,
    ):
        assert dollar["c"] == unit["c"] * closes[unit["t"]]


def test_the_limit_is_a_rolling_window_and_a_refusal_costs_nothing():
    with OfflineExchange(limit=(2, 60.0)) as exchange:
        exchange.inject(Fault("429", value=7))
        assert [history(exchange)[0] for _ in range(4)] == [429, 200, 200, 429]
        assert exchange.stats() == {"requests": 4, "weight": 4, "429": 2, "200": 2}
        exchange.reset()
        assert (exchange.stats(), history(exchange)[0]) == ({"requests": 0, "weight": 0}, 200)


def test_a_fault_may_wait_and_may_be_meant_for_one_symbol(exchange):
    exchange.inject(Fault("500", symbol="ETHUSDT_PERP.A", after=1))
    seen = [history(exchange, symbols=f"{name}USDT_PERP.A")[0] for name in ("ETH", "BTC", "ETH", "ETH")]
    assert seen == [200, 200, 500, 200]


def test_faults_and_ledger_over_http(exchange):
    assert ask(exchange, "admin/fault", {"kind": "503"})[0] == 200
    assert ask(exchange, "admin/fault", {"kind": "no such"})[0] == 400
    assert history(exchange)[0] == 503
    assert ask(exchange, "admin/stats")[1]["503"] == 1
    assert ask(exchange, "admin/reset", {})[0] == 200
    assert exchange.stats()["requests"] == 0


def test_lists(exchange):
    assert {market["symbol"] for market in ask(exchange, "spot-markets")[1]} >= {"BTCUSD.C"}
    assert {"A", "6", "C"} == {place["code"] for place in ask(exchange, "exchanges")[1]}
    assert rows(history(exchange, symbols="BTCUSD.C"))
    assert ask(exchange, "future-markets", key="wrong")[0] == 401
    with OfflineExchange(limit=None, markets=[markets.future("PEPEUSDT_PERP.A", "PEPE")]) as small:
        assert [market["base_asset"] for market in ask(small, "future-markets")[1]] == ["PEPE"]
        assert history(small) == (200, [])
        assert rows(history(small, symbols="PEPEUSDT_PERP.A"))


def test_recorded_numbers_keep_their_digits_even_beside_a_fault(tmp_path):
    lines = ["ts_ms,open,high,low,close,volume", f"{NOON}000,1.10,1.20,1.00,1.15,0.30000000000000004"]
    (tmp_path / "BTCUSDT_PERP.A_1m.csv").write_text("\n".join(lines))
    with OfflineExchange(recorded=tmp_path, limit=None) as exchange:
        for fault in (None, Fault("duplicates")):
            if fault:
                exchange.inject(fault)
            query = f"ohlcv-history?symbols=BTCUSDT_PERP.A&interval=1min&from={NOON}&to={NOON}"
            request = urllib.request.Request(f"{exchange.url}/{query}", headers={"api_key": "offline"})
            with urllib.request.urlopen(request) as response:
                assert b'"o":1.10,"h":1.20,"l":1.00,"c":1.15,"v":0.30000000000000004' in response.read()


def test_the_fixture_is_the_environments_exchange(pytester):
    pytester.makeconftest('pytest_plugins = ["quant_framework.testing.fixtures"]')
    pytester.makepyfile(
        """
        from quant_framework.settings import open_adapter
        def test_it(offline_exchange):
            open_adapter("coinalyze")
            assert offline_exchange.url.startswith("http://127.0.0.1:")
        """
    )
    pytester.runpytest_subprocess("-p", "no:cacheprovider").assert_outcomes(passed=1)
