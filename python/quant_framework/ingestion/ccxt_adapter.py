"""Any exchange that ccxt knows, as a source: a page for each request; limits, retries and checks are ours.

Source and series keys begin with ``ccxt_<exchange id>``: ccxt drops columns that native sources have, so the rows of
both never meet in one series.
"""

from __future__ import annotations

import hashlib
import importlib.util
import math
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from difflib import get_close_matches
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from quant_framework.arguments import AdapterCapability, RateLimitOptions
from quant_framework.errors import InvalidError, QuantFrameworkError
from quant_framework.ingestion.ccxt_errors import translated
from quant_framework.ingestion.ccxt_pages import READERS, Asked, parsed
from quant_framework.ingestion.ccxt_pool import Pool, redirect
from quant_framework.ingestion.fetched import Fetched
from quant_framework.secret_names import holds_password, is_secret, secret_values

if TYPE_CHECKING:
    from quant_framework._core import FetchRequest

__all__ = ["CcxtAdapter"]

METHODS = {
    "ohlcv": "fetchOHLCV",
    "open_interest": "fetchOpenInterestHistory",
    "funding_rate": "fetchFundingRateHistory",
}
KINDS = ("spot", "swap", "future")
QUOTES = ("USDT", "USDC", "USD", "EUR", "BTC")
HOURS = ("1h", "2h", "4h", "6h", "8h", "12h", "1d")

ROWS = 100
"""Rows of a page where ccxt does not say: every venue gives as many."""
INTEREST_ROWS = {"binance": 500, "binanceusdm": 500, "bybit": 200}
BINANCE = ("binance", "binanceusdm")
KEPT_BARS = {"kraken": 720, "gate": 10_000}
"""Bars that these keep, or answer."""
KEPT_INTEREST = 30 * 86400 - 3600
"""Seconds of open interest that Binance keeps, less an hour for the run."""
SCALE = 10
"""ccxt's costs are fractions; our weights are whole."""
CANDLES = re.compile(r"kline|candle|ohlc|chart|^info$", re.IGNORECASE)


class CcxtAdapter:
    """One exchange by ccxt: OHLCV, and open interest and funding rates where it has their history.

    Symbols are ccxt's (``BTC/USDT``, ``BTC/USDT:USDT`` for a perpetual); a bare name such as ``BTC`` means the market
    quoted in USDT, else USDC or USD: spot where there is one, unless ``market`` says otherwise. Safe to share between
    threads, to copy, to pickle (without keys) and to use after a fork. ccxt is imported when it is first used.

    Args:
        exchange_id: ccxt's name of the exchange, such as ``kraken``.
        base_url: another server for all of the exchange's paths.
        market: ``spot``, ``swap`` or ``future``: what a bare name means.
        params: sent with each request, such as ``{"price": "mark"}``; part of what a checkpoint is made with.
        config: of the exchange's class, such as ``{"options": {...}}`` or proxies; it may hold secrets.
        api_key: public market data needs none.
        secret: beside ``api_key``.
        password: beside ``api_key``, where the exchange wants one.

    Raises:
        InvalidError: no such exchange, or ccxt is not installed.

    """

    def __init__(
        self,
        exchange_id: str,
        base_url: str | None = None,
        *,
        market: str | None = None,
        params: Mapping[str, Any] | None = None,
        config: Mapping[str, Any] | None = None,
        api_key: str | None = None,
        secret: str | None = None,
        password: str | None = None,
    ) -> None:
        check_exchange(exchange_id)
        if market not in (None, *KINDS):
            raise InvalidError(f"market must be one of {', '.join(KINDS)}, not {market!r}")
        if base_url and set(base_url) & set("@?#"):
            raise InvalidError("base_url must have no login, query or fragment; keys are options of their own")
        self.exchange_id: str = exchange_id
        self.base_url: str | None = base_url
        self.market = market
        self.params: dict[str, Any] = dict(params or {})
        keys = {"apiKey": api_key, "secret": secret, "password": password}
        self._config = dict(config or {}) | {name: key for name, key in keys.items() if key}
        self._pool = Pool(self._make)

    @property
    def source(self) -> str:
        """``ccxt_`` and the exchange."""
        return f"ccxt_{self.exchange_id}"

    @property
    def fingerprint(self) -> str:
        """What determines the rows beside their series."""
        extra = "".join(f" {name}={value}" for name, value in sorted(self.params.items()))
        return f"ccxt/{self.exchange_id}{extra}"

    @property
    def lookup(self) -> str:
        """What determines the meaning of a bare name."""
        return f"market={self.market or 'any'}"

    @property
    def quota_scope(self) -> str:
        """Whose quota it is: an account's, else that of the address that asks."""
        account = f"{self.base_url or ''}{self._config.get('apiKey', '')}"
        return f"{self.source}:{hashlib.sha256(account.encode()).hexdigest()[:16]}" if account else self.source

    @property
    def resolve_weight(self) -> int:
        """Of the lists of markets, until they are known; ccxt's binance asks for those of three exchanges."""
        if self._pool.is_loaded:
            return 0
        return 22 if self.exchange_id == "binance" else self._prices("ohlcv")[0][1]

    @property
    def rate_limit(self) -> RateLimitOptions:
        """Arguments of ``AdaptiveRateLimiter``: what we know of the exchange, else what ccxt does."""
        from quant_framework.ingestion.rate_limit import PRESETS

        # ccxt's binance serves futures too, whose quota is the smaller one.
        known = "binance_usdm" if self.exchange_id in BINANCE else self.exchange_id
        if known in PRESETS:
            return PRESETS[known]
        pace = 1000 / max(float(self._pool.described().rateLimit or 1000), 1.0)
        rate = pace * SCALE / self._candles_weight()
        window = (max(math.floor(60 * pace * SCALE), self._candles_weight()), 60.0)
        return {"windows": (window,), "base_rate": rate, "max_rate": rate, "min_rate": min(rate, 0.1)}

    def capability(self, data_type: str, timeframe: str) -> AdapterCapability:
        """What one request gives and costs.

        Raises:
            InvalidError: the exchange has no such history, or ccxt does not know it.

        """
        exchange, method = self._pool.described(), METHODS.get(data_type)
        if method is None or exchange.has.get(method) is not True:
            raise InvalidError(f"ccxt has no history of {data_type} at {self.exchange_id}")
        known = HOURS if data_type == "funding_rate" else (exchange.timeframes or {})
        if timeframe not in known:
            raise InvalidError(f"{self.exchange_id} has no {timeframe} bars of {data_type}; it has {', '.join(known)}")
        kept = KEPT_BARS.get(self.exchange_id) if data_type == "ohlcv" else None
        if data_type == "open_interest" and self.exchange_id in BINANCE:
            kept = 1 + KEPT_INTEREST // exchange.parse_timeframe(timeframe)
        return {"prices": self._prices(data_type), "retention_bars": kept}

    def is_exact(self, symbol: str) -> bool:
        """Whether ``symbol`` is a unified one."""
        return "/" in symbol

    def resolve(self, symbol: str) -> str:
        """The unified symbol for a base asset, or for the exchange's own name of a market.

        Raises:
            InvalidError: the exchange has no such market.
            UnavailableError: the exchange did not answer as it should.
            RateLimitedError: the exchange refused.

        """
        with self._exchange(f"markets of {self.exchange_id}") as exchange:
            markets = list(exchange.markets.values())
        wanted = symbol.upper()
        named = [one for one in markets if wanted in (str(one["base"]).upper(), str(one["id"]).upper())]
        fitting = [one for one in named if one["type"] == self.market or (self.market is None and one["type"] in KINDS)]
        if not fitting:
            close = get_close_matches(wanted, {str(one["base"]) for one in markets}, 2)
            hint = f"did you mean {' or '.join(close)}?" if close else 'use a unified symbol such as "BTC/USDT"'
            raise InvalidError(f"{self.exchange_id} has no market for {symbol!r} ({self.lookup})", hint)
        return str(min(fitting, key=_rank)["symbol"])

    def fetch(self, request: FetchRequest) -> Fetched:
        """One page of ``request``.

        Raises:
            InvalidError: the exchange has no such series, or wants a key.
            UnavailableError: the exchange did not answer as it should.
            RateLimitedError: the exchange refused.
            DataError: the answer cannot be read.

        """
        what = f"{request.symbol} {request.timeframe} of {self.source}"
        with self._exchange(what) as exchange:
            step = exchange.parse_timeframe(request.timeframe) * 1000
            start, end = (round(moment.timestamp() * 1000) for moment in (request.start, request.end))
            asked = Asked(request.symbol, request.timeframe, start, end, step)
            rows, truncated = READERS[request.data_type](exchange, asked, self.params, self._rows(request.data_type))
            lineage = {"endpoint": METHODS[request.data_type], "exchange": self.exchange_id, "ccxt": _version()}
        return Fetched(rows, truncated, lineage)

    def _make(self) -> Any:
        import ccxt

        # Ours to wait and to retry.
        exchange = getattr(ccxt, self.exchange_id)(self._config | {"enableRateLimit": False})
        exchange.parse_ohlcvs = partial(parsed, exchange)
        if self.base_url:
            exchange.urls["api"] = redirect(exchange.urls["api"], self.base_url)
        return exchange

    @contextmanager
    def _exchange(self, what: str) -> Iterator[Any]:
        """An instance with its markets; what ccxt raises becomes one of our errors."""
        with self._pool.instance() as exchange:
            exchange.last_response_headers = None
            try:
                self._pool.load(exchange)
                yield exchange
            except QuantFrameworkError:
                raise
            except Exception as error:
                ours = translated(error, what, secret_values(self._config), exchange.last_response_headers)
            else:
                return
        raise ours from None

    def _rows(self, data_type: str) -> int:
        """Rows of one page."""
        if data_type == "funding_rate":
            return ROWS
        if data_type == "open_interest":
            return INTEREST_ROWS.get(self.exchange_id, ROWS)
        if self.exchange_id in BINANCE:
            return 499
        return min(_page_limits(self._pool.described().features or {}), default=ROWS)

    def _prices(self, data_type: str) -> list[tuple[int, int]]:
        rows = self._rows(data_type)
        if self.exchange_id in BINANCE:
            # As of the native source.
            return {"ohlcv": [(99, 1), (rows, 2)], "open_interest": [(rows, 12)], "funding_rate": [(rows - 1, 24)]}[
                data_type
            ]
        weight = 1 if self.exchange_id in _presets() else self._candles_weight()
        return [(rows - 1 if data_type == "funding_rate" else rows, weight)]

    def _candles_weight(self) -> int:
        """The dearest of the exchange's paths for candles."""
        costs = [cost for path, cost in _costs(self._pool.described().api or {}) if CANDLES.search(path)]
        return max(1, math.ceil(max(costs, default=1.0) * SCALE))

    def __repr__(self) -> str:
        return f"CcxtAdapter({self.exchange_id!r})"

    def __copy__(self) -> CcxtAdapter:
        return self

    def __deepcopy__(self, memo: dict[int, Any]) -> CcxtAdapter:
        return self

    def __getstate__(self) -> dict[str, Any]:
        shown = ("exchange_id", "base_url", "market", "params")
        state = {name: getattr(self, name) for name in shown}
        config = _without_secrets(self._config, self.source)
        return state | ({"config": config} if config else {})

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__init__(**state)  # type: ignore[misc]  # a subclass is restored by its own constructor


def _without_secrets(config: Mapping[str, Any], source: str) -> dict[str, Any]:
    """``config`` without keys, however deep. A proxy's password is refused: without it, requests would go around it."""
    kept: dict[str, Any] = {}
    for name, value in config.items():
        if isinstance(value, Mapping):
            kept[name] = _without_secrets(value, source)
        elif holds_password(value):
            hint = "let the proxy know who asks by its address, or make the adapter where it is used"
            raise InvalidError(f"{name} of {source} holds a password, and cannot be pickled", hint)
        elif not is_secret(name):
            kept[name] = value
    return kept


def check_exchange(exchange_id: Any) -> None:
    """``InvalidError`` where ccxt has no such exchange; looks for its file, so that nothing is imported."""
    if not isinstance(exchange_id, str):
        raise InvalidError(f"exchange_id must be the name of an exchange of ccxt, not {exchange_id!r}")
    found = importlib.util.find_spec("ccxt")
    if found is None or not found.submodule_search_locations:
        raise InvalidError("ccxt is not installed", "pip install quant-framework[ccxt]")
    known = {path.stem for path in Path(found.submodule_search_locations[0]).glob("[a-z]*.py")}
    if exchange_id not in known:
        close = get_close_matches(exchange_id, known, 1)
        raise InvalidError(
            f"ccxt has no exchange {exchange_id!r}", f"did you mean {close[0]!r}?" if close else "see ccxt.exchanges"
        )


def _version() -> str:
    import ccxt

    return str(ccxt.__version__)


def _presets() -> Mapping[str, Any]:
    from quant_framework.ingestion.rate_limit import PRESETS

    return PRESETS


def _rank(market: Mapping[str, Any]) -> tuple[bool, int, int, str]:
    quote = QUOTES.index(market["quote"]) if market["quote"] in QUOTES else len(QUOTES)
    return market["active"] is False, KINDS.index(market["type"]), quote, str(market["symbol"])


def _page_limits(features: Any) -> Iterator[int]:
    """What each kind of market gives at once."""
    for name, value in features.items() if isinstance(features, dict) else ():
        if name == "fetchOHLCV" and isinstance(value, dict) and value.get("limit"):
            yield int(value["limit"])
        elif name in ("spot", "swap", "future", "linear", "inverse"):
            yield from _page_limits(value)


def _costs(api: Any, path: str = "") -> Iterator[tuple[str, float]]:
    """Paths and costs of ccxt's description of an API."""
    if isinstance(api, int | float):
        yield path, float(api)
    elif isinstance(api, dict) and "cost" in api:
        yield path, float(api["cost"])
    elif isinstance(api, dict):
        for name, value in api.items():
            yield from _costs(value, str(name))
