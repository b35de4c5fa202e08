"""ccxt's real classes against the offline exchange: whole backfills, errors, secrets, forks, names."""

from __future__ import annotations

import copy
import os
import pickle
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta, timezone

import ccxt
import pyarrow.dataset
import pytest

from conftest import END, START, Context
from quant_framework import settings
from quant_framework.errors import DataError, InvalidError, RateLimitedError, UnavailableError
from quant_framework.ingestion.adapters import CcxtAdapter, FetchRequest
from quant_framework.ingestion.ccxt_errors import redact, translated
from quant_framework.ingestion.ccxt_pool import Pool, redirect
from quant_framework.testing import Fault, OfflineExchange, bars
from quant_framework.testing.binance import funding

HOUR = timedelta(hours=1)
SPOT, SWAP = "BTC/USDT", "BTC/USDT:USDT"


def request(symbol: str, hours: int = 3, source: str = "ccxt_binance", kind: str = "ohlcv") -> FetchRequest:
    symbol = symbol.replace("/", "%2F").replace(":", "%3A")
    return FetchRequest(f"{source}/{kind}/{symbol}/1h", START, START + hours * HOUR)


@pytest.fixture
def backfill(make):
    """A function that runs a backfill by ccxt; keywords override."""

    async def backfill(exchange: OfflineExchange, exchange_id: str, symbol: str, **options: object) -> dict:
        adapter = CcxtAdapter(exchange_id, exchange.url)
        return await make(exchange, **({"adapter": adapter, "symbols": [symbol]} | options)).execute(Context())

    return backfill


def stored(folder, kind: str = "ohlcv") -> list[dict]:
    rows = pyarrow.dataset.dataset([str(path) for path in (folder / "lake").rglob("*.parquet") if kind in str(path)])
    return sorted(rows.to_table().to_pylist(), key=lambda row: row["ts"])


@pytest.mark.parametrize(
    ("exchange_id", "symbol", "name"),
    [("binance", SPOT, "BTCUSDT.A"), ("binanceusdm", SWAP, "BTCUSDT_PERP.A"), ("binance", SWAP, "BTCUSDT_PERP.A")],
)
async def test_the_rows_are_the_exchanges_and_a_second_run_asks_nothing(
    exchange_id, symbol, name, backfill, exchange, tmp_path
):
    end = START + 3 * 24 * HOUR
    result = await backfill(exchange, exchange_id, symbol, timeframes=["1m"], end=end)
    assert (result["status"], result["errors"]) == ("success", [])
    opens = bars.opens("1min", int(START.timestamp()), int(end.timestamp()) - 1)
    items = [bars.synthetic("ohlcv-history", name, "1min", at) for at in opens]
    columns = ("open", "high", "low", "close", "volume")
    found = [(int(row["ts"].timestamp()), *(row[column] for column in columns)) for row in stored(tmp_path)]
    assert found == [tuple(item[key] for key in "tohlcv") for item in items]
    assert max(int(entry["limit"]) for entry in exchange.ledger if "limit" in entry) == 499
    lists = [entry["path"] for entry in exchange.ledger if entry["path"].endswith("exchangeInfo")]
    assert len(lists) == len(set(lists)), "markets are loaded once for all threads"
    asked = exchange.stats()["requests"]
    again = await backfill(exchange, exchange_id, symbol, timeframes=["1m"], end=end)
    assert (again["requests"], exchange.stats()["requests"]) == (0, asked)


async def test_open_interest_and_funding(backfill, exchange, tmp_path):
    today = datetime.now(timezone.utc).replace(minute=0, second=0, microsecond=0)
    options = {"data_types": ["open_interest"], "start": today - timedelta(days=20), "end": today - 3 * HOUR}
    result = await backfill(exchange, "binanceusdm", SWAP, **options)
    assert result["status"] == "success", result["errors"]
    rows = stored(tmp_path, "open_interest")
    assert len(rows) == 20 * 24 - 3
    for row in rows:
        item = bars.synthetic("open-interest-history", "BTCUSDT_PERP.A", "1hour", int(row["ts"].timestamp()))
        assert (row["oi_close"], row["oi_open"]) == (item["c"], None)
    options = {"data_types": ["funding_rate"], "timeframes": ["8h"], "start": END - timedelta(days=80)}
    result = await backfill(exchange, "binanceusdm", "SOL/USDT:USDT", **options)
    assert result["status"] == "success", result["errors"]
    rows = stored(tmp_path, "funding_rate")
    assert len(rows) == 240
    for row in rows:
        at = int(row["ts"].timestamp())
        first, last = (funding("SOLUSDT", 4, at + late)[1] for late in (0, 4 * 3600))
        assert (row["funding_open"], row["funding_close"]) == (first, last)
        assert (row["funding_high"], row["funding_low"]) == (max(first, last), min(first, last))


async def test_before_the_listing_there_is_nothing(backfill, exchange, tmp_path):
    exchange.listings["binance"][0]["listed"] = int((START + 100 * HOUR).timestamp())
    result = await backfill(exchange, "binance", SPOT)
    assert result["status"] == "success", result["errors"]
    rows = stored(tmp_path)
    assert (rows[0]["ts"], len(rows)) == (START + 100 * HOUR, 14 * 24 - 100)


async def test_faults_that_pass_are_survived(backfill, exchange, tmp_path):
    for kind, value in [("500", None), ("disconnect", None), ("429", 1), ("418", 1)]:
        exchange.inject(Fault(kind, value=value))
    began = time.monotonic()
    result = await backfill(exchange, "binance", SPOT, concurrency=1)
    assert result["status"] == "success", result["errors"]
    assert time.monotonic() - began >= 2, "a refusal says when to come back"
    assert len(stored(tmp_path)) == 14 * 24
    assert [exchange.stats()[status] for status in ("429", "418", "500")] == [1, 1, 1]


@pytest.mark.parametrize(
    ("fault", "kind", "says"),
    [
        (Fault("429", value=7), RateLimitedError, "DDoSProtection|RateLimitExceeded"),
        (Fault("503"), UnavailableError, "OperationFailed"),
        (Fault("disconnect"), UnavailableError, "NetworkError"),
        (Fault("malformed"), DataError, "not what it should be"),
    ],
    ids=lambda value: getattr(value, "kind", ""),
)
def test_each_error_has_its_kind(fault, kind, says, exchange):
    adapter = CcxtAdapter("binance", exchange.url)
    exchange.inject(fault)
    asked = datetime.now(timezone.utc)
    with pytest.raises(kind, match=says) as failed:
        adapter.fetch(request(SPOT))
    assert failed.value.__cause__ is None
    if kind is RateLimitedError:
        until = failed.value.until - timedelta(seconds=7)
        assert asked - timedelta(seconds=1) < until <= datetime.now(timezone.utc) + timedelta(seconds=1)


def test_an_unknown_symbol_is_named(exchange):
    adapter = CcxtAdapter("binance", exchange.url)
    with pytest.raises(InvalidError, match=r"BadSymbol.*use a unified symbol"):
        adapter.fetch(request("NOPE/USDT"))
    with pytest.raises(InvalidError, match=r"binance has no market for 'BTX'.*did you mean BTC"):
        adapter.resolve("BTX")


def test_names_mean_the_documented_markets(exchange):
    adapter = CcxtAdapter("binance", exchange.url)
    assert [adapter.resolve(name) for name in ("BTC", "btc", "ETHBTC")] == [SPOT, SPOT, "ETH/BTC"]
    assert CcxtAdapter("binance", exchange.url, market="swap").resolve("BTC") == SWAP
    assert adapter.is_exact(SWAP)
    assert not adapter.is_exact("BTC")
    with pytest.raises(InvalidError, match="market must be one of spot, swap, future"):
        CcxtAdapter("binance", market="margin")


def test_what_an_exchange_has_not_is_refused_before_anything_is_asked():
    kraken = CcxtAdapter("kraken")
    with pytest.raises(InvalidError, match="ccxt has no history of open_interest at kraken"):
        kraken.capability("open_interest", "1h")
    with pytest.raises(InvalidError, match="kraken has no 3m bars of ohlcv; it has 1m, 5m"):
        kraken.capability("ohlcv", "3m")
    with pytest.raises(InvalidError, match="ccxt has no history of liquidations"):
        CcxtAdapter("binance").capability("liquidations", "1h")
    assert kraken.capability("ohlcv", "1h") == {"prices": [(720, 12)], "retention_bars": 720}
    # A second of rateLimit, of which a list of candles costs 1.2.
    assert kraken.rate_limit["windows"] == ((600, 60.0),)
    assert kraken.rate_limit["base_rate"] == pytest.approx(1 / 1.2)


@pytest.mark.parametrize(
    "exchange_id", ["bybit", "okx", "gate", "mexc", "hyperliquid", "coinbase", "deribit", "bitget"]
)
def test_every_limit_can_be_made(exchange_id):
    adapter = CcxtAdapter(exchange_id)
    weight = adapter.capability("ohlcv", "1m")["prices"][-1][1]
    limits = adapter.rate_limit
    assert weight <= limits["windows"][0][0]
    settings.open_limiter(adapter, "file:///nowhere/at/all")


def test_a_typo_is_found_without_importing_ccxt():
    program = """
import sys
from quant_framework.ingestion.adapters import CcxtAdapter
CcxtAdapter("kraken")
try:
    CcxtAdapter("krakn")
except Exception as error:
    print(error)
print("ccxt" in sys.modules)
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.split("\n")[:2] == ["ccxt has no exchange 'krakn' (hint: did you mean 'kraken'?)", "False"]


def test_without_ccxt_the_hint_says_what_to_install(monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(InvalidError, match=r"pip install quant-framework\[ccxt\]"):
        CcxtAdapter("kraken")


def test_by_name_with_options(exchange):
    adapter = settings.open_adapter("ccxt", exchange_id="binance", base_url=exchange.url)
    assert (adapter.source, adapter.fingerprint) == ("ccxt_binance", "ccxt/binance")
    with pytest.raises(InvalidError, match=r"does not take these options: .*exchange_id"):
        settings.open_adapter("ccxt")
    marked = settings.open_adapter("ccxt", exchange_id="binance", params={"price": "mark"})
    assert marked.fingerprint != adapter.fingerprint


KEYS = {"api_key": "key-of-mine", "secret": "se/cr&et", "password": "pass phrase"}
PROXY = "http://user:of-the-proxy@127.0.0.1:9"


def test_markets_are_paid_for_once(exchange):
    adapter = CcxtAdapter("binance", exchange.url)
    assert adapter.resolve_weight == 22
    assert adapter.resolve("ETH") == "ETH/USDT"
    assert adapter.resolve_weight == 0
    exchange.reset()
    adapter.resolve("BTC")
    assert exchange.stats()["requests"] == 0


def test_secrets_are_never_shown(exchange, monkeypatch):
    adapter = CcxtAdapter("binance", exchange.url, **KEYS, config={"uid": "uid-of-mine", "httpsProxy": PROXY})
    plain = CcxtAdapter("binance", exchange.url, **KEYS, config={"uid": "uid-of-mine"})
    copied = pickle.loads(pickle.dumps(plain))
    shown = [repr(adapter), str(copied.__getstate__()), pickle.dumps(plain).decode("latin-1"), adapter.quota_scope]
    query = "timestamp=1&apiKey=key-of-mine&secret=se%2Fcr%26et&signature=abcdef01"
    said = f"GET https://x/y?{query} 500 pass phrase uid-of-mine {PROXY}"

    def fail(*_, **__):
        raise ccxt.ExchangeError(f"binance {said}\nsecond line")

    monkeypatch.setattr(ccxt.binance, "fetch_ohlcv", fail)
    monkeypatch.setattr(ccxt.binance, "load_markets", lambda self: setattr(self, "markets", {SPOT: {}}))
    with pytest.raises(InvalidError) as failed:
        adapter.fetch(request(SPOT))
    shown.append(str(failed.value))
    for word in (*KEYS.values(), "uid-of-mine", "of-the-proxy", "se%2Fcr%26et", "abcdef01", "\n"):
        assert not any(word in text for text in shown[:2] + shown[3:]), word
    assert not any(word in shown[2] for word in KEYS.values())
    assert CcxtAdapter("binance", api_key="other").quota_scope != adapter.quota_scope


def test_a_pickled_adapter_asks_the_same_market_through_the_same_proxy(exchange):
    """The copy had lost the whole configuration: another market, and around the proxy."""
    config = {"options": {"defaultType": "swap", "token": "t"}, "httpsProxy": "http://proxy:3128", "uid": "u"}
    copied = pickle.loads(pickle.dumps(CcxtAdapter("binance", exchange.url, config=config, **KEYS)))
    kept = {"options": {"defaultType": "swap"}, "httpsProxy": "http://proxy:3128"}
    assert copied.__getstate__()["config"] == kept
    with copied._pool.instance() as made:
        assert (made.options["defaultType"], made.httpsProxy, made.apiKey) == ("swap", "http://proxy:3128", None)
    assert "config" not in CcxtAdapter("binance", **KEYS).__getstate__()


@pytest.mark.parametrize(
    "config", [{"httpsProxy": "http://me:geheim@proxy"}, {"x": {"wsProxy": "http://:geheim@proxy"}}]
)
def test_an_adapter_whose_proxy_has_a_password_is_not_pickled(config, exchange):
    with pytest.raises(InvalidError, match="Proxy of ccxt_binance holds a password, and cannot be pickled") as refused:
        pickle.dumps(CcxtAdapter("binance", exchange.url, config=config))
    assert "geheim" not in str(refused.value)


def test_redaction_keeps_what_helps():
    assert redact("GET https://x/y?symbol=A&signature=12ab&limit=5") == "GET https://x/y?symbol=A&signature=***&limit=5"
    assert len(redact("x" * 1000)) < 310


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (ccxt.BadSymbol("x"), InvalidError),
        (ccxt.BadRequest("x"), InvalidError),
        (ccxt.AuthenticationError("x"), InvalidError),
        (ccxt.NotSupported("x"), InvalidError),
        (ccxt.ArgumentsRequired("x"), InvalidError),
        (ccxt.RestrictedLocation("x"), InvalidError),
        (ccxt.ExchangeNotAvailable("okx GET https://x/y 451 Unavailable For Legal Reasons {}"), InvalidError),
        (ccxt.ExchangeNotAvailable("okx GET https://x/y 404 Not Found"), InvalidError),
        (ccxt.ExchangeNotAvailable("okx GET https://x/y 502 Bad Gateway"), UnavailableError),
        (ccxt.OnMaintenance("x"), UnavailableError),
        (ccxt.RequestTimeout("x"), UnavailableError),
        (ccxt.NetworkError("x"), UnavailableError),
        (ccxt.BadResponse("x"), DataError),
        (ccxt.NullResponse("x"), DataError),
        (ccxt.RateLimitExceeded("x"), RateLimitedError),
        (ccxt.DDoSProtection("x"), RateLimitedError),
        (KeyError("x"), DataError),
    ],
    ids=repr,
)
def test_ccxts_tree(error, kind):
    assert type(translated(error, "what")) is kind


@pytest.mark.parametrize(
    ("headers", "text", "seconds"),
    [
        ({"Retry-After": "7"}, "", 7),
        ({"retry-after": "1.5"}, "", 1.5),
        ({"Retry-After": "soon"}, "", None),
        ({}, "", None),
        (None, "IP banned until BAN. Please", 90),
        ({"Retry-After": "99999999999"}, "", None),
    ],
)
def test_when_to_come_back(headers, text, seconds):
    now = time.time()
    error = ccxt.DDoSProtection(text.replace("BAN", str(int((now + 90) * 1000))))
    until = translated(error, "what", headers=headers).until
    assert (until is None) is (seconds is None)
    if until:
        assert until.timestamp() - now == pytest.approx(seconds, abs=1)


def test_copies_share_one_adapter_and_threads_have_an_instance_each(exchange):
    adapter = CcxtAdapter("binance", exchange.url)
    assert copy.deepcopy({"a": [adapter]})["a"][0] is adapter
    assert copy.copy(adapter) is adapter
    with ThreadPoolExecutor(8) as threads:
        answers = list(threads.map(lambda hours: adapter.fetch(request(SPOT, hours)), range(1, 33)))
    assert [len(answer.rows) for answer in answers] == list(range(1, 33))
    assert len([entry for entry in exchange.ledger if entry["path"] == "api/v3/exchangeInfo"]) == 1
    pickled = pickle.loads(pickle.dumps(adapter))
    assert pickled.fetch(request(SPOT)).rows == adapter.fetch(request(SPOT)).rows


@pytest.mark.parametrize("used", [False, True], ids=["fresh", "used"])
def test_an_adapter_works_after_a_fork(used, exchange):
    adapter = CcxtAdapter("binance", exchange.url)
    if used:
        adapter.fetch(request(SPOT))
        adapter._pool._lock.acquire()  # as if another thread held it when the process was forked
    child = os.fork()
    if child == 0:
        code = 1
        try:
            code = 0 if len(adapter.fetch(request(SPOT)).rows) == 3 else 2
        finally:
            os._exit(code)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


def test_an_instance_that_failed_to_load_is_used_again():
    class Exchange:
        markets = None
        tries = 0

        def load_markets(self):
            Exchange.tries += 1
            if Exchange.tries == 1:
                raise OSError("down")
            self.markets = {"A": 1}

        def set_markets_from_exchange(self, other):
            self.markets = other.markets

    pool = Pool(Exchange)
    with pytest.raises(OSError, match="down"), pool.instance() as exchange:
        pool.load(exchange)
    with pool.instance() as first, pool.instance() as second:
        pool.load(first)
        pool.load(second)
        assert first is not second
        assert (second.markets, Exchange.tries) == ({"A": 1}, 2)


def test_servers_are_replaced_and_paths_stay():
    urls = {"a": {"b": "https://api.{hostname}/v5"}, "c": "wss://x/ws", "d": None}
    assert redirect(urls, "http://h:1/") == {"a": {"b": "http://h:1/v5"}, "c": "http://h:1/ws", "d": None}
