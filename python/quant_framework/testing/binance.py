"""Binance's REST protocol, spot and USD-M futures, as the offline exchange speaks it.

USD-M bars are those of Coinalyze's ``<symbol>_PERP.A``. The newest bar is still forming: it is answered as the last
row, and changes until it closes.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterable, Mapping
from functools import lru_cache
from typing import TYPE_CHECKING, ClassVar

from quant_framework.testing import bars
from quant_framework.testing.bars import Item
from quant_framework.testing.faults import Fault, spoil
from quant_framework.testing.limits import Limits, Verdict
from quant_framework.testing.markets import Market
from quant_framework.testing.protocols import BadRequestError, Protocol, Request
from quant_framework.testing.quota import Answer, headers, refusal

if TYPE_CHECKING:
    from quant_framework.testing.exchange import OfflineExchange

BAN = (10, 120.0)
"""So many refusals in a minute, and an address is banned for so many seconds."""

INTERVALS = {name: interval for name, interval in bars.TIMEFRAMES.items()} | {
    "3m": "3min",
    "8h": "8hour",
    "1w": "weekly",
    "1M": "monthly",
}
PERIODS = ("5m", "15m", "30m", "1h", "2h", "4h", "6h", "12h", "1d")
KEPT = 30 * 86400
"""Seconds of open interest that are kept."""
LIMITS = {
    "klines": (500, 1000),
    "futures klines": (500, 1500),
    "openInterestHist": (30, 500),
    "fundingRate": (100, 1000),
}
"""Rows of a request: by default, and at most."""
WEIGHTS = {"api/v3/klines": 2, "api/v3/exchangeInfo": 20}
"""Of what does not cost 1; futures klines cost by their limit."""
PRICES = ((99, 1), (499, 2), (1000, 5), (1500, 10))

TEXTS = {
    -1000: "An unknown error occurred while processing the request.",
    -1003: "Too much request weight used; current limit is injected.",
    -1120: "Invalid interval.",
    -1121: "Invalid symbol.",
}


def refuse(code: int, text: str = "") -> BadRequestError:
    """A 400 by its number."""
    return BadRequestError(text or TEXTS[code], code)


class Binance(Protocol):
    """``/api/v3``, ``/fapi/v1`` and ``/futures/data``; of ``/dapi/v1`` the list of markets, which is empty."""

    prefixes: ClassVar[tuple[str, ...]] = ("api/", "fapi/", "dapi/", "futures/data/")
    limits: ClassVar[Mapping[str, Limits]] = {
        "binance": Limits((6000, 60.0, "fixed"), ban=BAN, quota_headers="mbx"),
        "binance_usdm": Limits((2400, 60.0, "fixed"), ban=BAN, quota_headers="mbx"),
        "binance_data": Limits((1000, 300.0, "fixed"), quota_headers="mbx"),
        "binance_funding": Limits((500, 300.0, "fixed"), quota_headers="mbx"),
    }

    def limit(self, request: Request) -> str:
        """Open interest and funding have buckets of their own."""
        if request.path.startswith("futures/data/"):
            return "binance_data"
        if request.path == "fapi/v1/fundingRate":
            return "binance_funding"
        return "binance" if request.path.startswith("api/") else "binance_usdm"

    def weight(self, exchange: OfflineExchange, request: Request) -> int:
        """What the documents say."""
        if request.path != "fapi/v1/klines":
            return WEIGHTS.get(request.path, 1)
        text = request.query.get("limit", "500")
        rows = int(text) if text.isdecimal() else 500
        return next((weight for most, weight in PRICES if rows <= most), PRICES[-1][1])

    def symbols(self, request: Request) -> list[str]:
        """One."""
        return [request.query["symbol"]] if "symbol" in request.query else []

    def asks_for_rows(self, request: Request) -> bool:
        """The histories."""
        return request.path in ROWS

    def error(self, status: int, text: str, code: int = 0) -> bytes:
        """``{"code", "msg"}``."""
        if not code:
            code = -1003 if status in (418, 429) else -1000
            text = TEXTS[code]
        return json.dumps({"code": code, "msg": text}, separators=(",", ":")).encode()

    def quota_headers(self, verdict: Verdict, request: Request) -> dict[str, str]:
        """Nothing is said of the small buckets."""
        return {} if self.limit(request) in ("binance_data", "binance_funding") else headers(verdict)

    def refusal(self, verdict: Verdict, request: Request) -> Answer:
        """As everywhere, with the headers of this request."""
        answer = refusal(verdict)
        kept = {name: value for name, value in answer.headers.items() if not name.startswith("X-MBX")}
        return answer._replace(headers=kept | ({} if verdict.barred else self.quota_headers(verdict, request)))

    def content(self, exchange: OfflineExchange, request: Request, fault: Fault | None) -> Answer:
        """Rows, lists and the time."""
        path = request.path
        if path in ROWS:
            return ROWS[path](exchange, request, fault)
        if path in ("api/v3/exchangeInfo", "fapi/v1/exchangeInfo", "dapi/v1/exchangeInfo"):
            venue = {"api": "binance", "fapi": "binance_usdm"}.get(path.partition("/")[0])
            return _listing(exchange, venue, request.query.get("symbol"))
        if path in ("api/v3/time", "fapi/v1/time"):
            return _json({"serverTime": int(exchange.now() * 1000)})
        if path in ("api/v3/ping", "fapi/v1/ping"):
            return _json({})
        return Answer(404, {}, b"<html><body>404 Not found</body></html>")


def _json(value: object) -> Answer:
    return Answer(200, {}, json.dumps(value, separators=(",", ":")).encode())


def _listing(exchange: OfflineExchange, venue: str | None, symbol: str | None) -> Answer:
    listed = exchange.listings.get(venue or "", [])
    if symbol is not None:
        listed = [_market(exchange, venue or "", {"symbol": symbol})]
    hidden = ("listed", "funding_hours")
    shown = [{name: value for name, value in market.items() if name not in hidden} for market in listed]
    return _json({"timezone": "UTC", "serverTime": int(exchange.now() * 1000), "rateLimits": [], "symbols": shown})


def _market(exchange: OfflineExchange, venue: str, query: dict[str, str]) -> Market:
    symbol = query.get("symbol")
    if not symbol:
        raise refuse(-1102, "Mandatory parameter 'symbol' was not sent, was empty/null, or malformed.")
    for market in exchange.listings[venue]:
        if market["symbol"] == symbol:
            return market
    raise refuse(-1121)


def _known(query: dict[str, str], *names: str) -> None:
    unread = len(query.keys() - {"symbol", "startTime", "endTime", "limit", *names})
    if unread:
        read = len(query) - unread
        raise refuse(
            -1104, f"Not all sent parameters were read; read '{read}' parameter(s) but was sent '{len(query)}'."
        )


def _number(query: dict[str, str], name: str) -> int | None:
    text = query.get(name)
    if text is None:
        return None
    if not text.isdecimal() or len(text) > 20:
        raise refuse(-1100, f"Illegal characters found in parameter '{name}'; legal range is '^[0-9]{{1,20}}$'.")
    return int(text)


def _rows(query: dict[str, str], kind: str) -> int:
    """What ``limit`` says. Spot gives what it has where more is asked for; futures refuse."""
    usual, most = LIMITS[kind]
    rows = _number(query, "limit")
    if rows == 0 or (rows is not None and rows > most and kind != "klines"):
        raise refuse(-1130, "Data sent for parameter 'limit' is not valid.")
    return min(usual if rows is None else rows, most)


def _interval(query: dict[str, str], name: str, known: tuple[str, ...] | dict[str, str]) -> str:
    if name not in query:
        raise refuse(-1102, f"Mandatory parameter '{name}' was not sent, was empty/null, or malformed.")
    if query[name] not in known:
        raise refuse(-1120)
    return INTERVALS[query[name]]


def _times(exchange: OfflineExchange, query: dict[str, str]) -> tuple[int | None, int | None] | Answer:
    start, end = _number(query, "startTime"), _number(query, "endTime")
    # Where the exchange's clock stands still in the past, an honest client asks by its own.
    if end is not None and end > max(exchange.now(), time.time()) * 1000 + 1000:
        return Answer(403, {}, b"<html><body>403 Forbidden</body></html>")
    return start, end


def _chosen(
    opens: Callable[[int, int], Iterable[int]], start: int | None, end: int, step: int, first: int, rows: int
) -> list[int]:
    """The first ``rows`` times of ``[start, end]`` (seconds) from ``first`` on; without a start the last ones."""
    if start is None:
        return list(opens(max(first, end - rows * step - 32 * 86400), end))[-rows:]
    start = max(start, first)
    return list(opens(start, min(end, start + rows * step + 32 * 86400)))[:rows]


def _klines(venue: str, kind: str) -> Callable[[OfflineExchange, Request, Fault | None], Answer]:
    def klines(exchange: OfflineExchange, request: Request, fault: Fault | None) -> Answer:
        query = request.query
        _known(query, "interval", "timeZone")
        market, interval = _market(exchange, venue, query), _interval(query, "interval", INTERVALS)
        rows, times = _rows(query, kind), _times(exchange, query)
        if isinstance(times, Answer):
            return times
        start = None if times[0] is None else -(-times[0] // 1000)
        now = int(exchange.now())
        end = now if times[1] is None else min(now, times[1] // 1000)
        step = bars.LENGTHS[interval]
        opens = _chosen(lambda low, high: bars.opens(interval, low, high), start, end, step, market["listed"], rows)
        name = _name(exchange, venue, market["symbol"])
        if fault is None and exchange.recorded is None and opens and bars.following(interval, opens[-1]) <= now:
            return Answer(200, {}, _synthetic(name, interval, opens[0], opens[-1]))
        items = exchange.items("ohlcv-history", name, interval, opens)
        if items and bars.following(interval, items[-1]["t"]) > now:
            items[-1] = _forming(items[-1])
        items = items if fault is None else spoil(items, fault, step)
        return Answer(200, {}, _text(items, interval))

    return klines


@lru_cache(maxsize=2048)
def _synthetic(name: str, interval: str, first: int, last: int) -> bytes:
    """Closed bars; the same in every run, so made once."""
    return _text(
        [bars.synthetic("ohlcv-history", name, interval, at) or {} for at in bars.opens(interval, first, last)],
        interval,
    )


def _name(exchange: OfflineExchange, venue: str, symbol: str) -> str:
    """What the bars of ``symbol`` are called inside."""
    if exchange.recorded is not None:
        return exchange.recorded_names()[symbol]
    return f"{symbol}_PERP.A" if venue == "binance_usdm" else f"{symbol}.A"


def _forming(item: Item) -> Item:
    """A bar so far: half of its volume, back at its open."""
    half = {key: item[key] / 2 for key in ("v", "bv") if key in item} | {
        key: item[key] // 2 for key in ("tx", "btx") if key in item
    }
    return item | {"c": item["o"]} | half


def _quoted(value: float | None) -> str:
    return "null" if value is None else f'"{value!r}"'


def _text(items: list[Item], interval: str) -> bytes:
    def row(item: Item) -> str:
        prices = ",".join(_quoted(item[key]) for key in "ohlcv")
        price = item["c"] or 0.0
        quote, taken = item["v"] * price, item.get("bv", 0.0)
        closes = bars.following(interval, item["t"]) * 1000 - 1
        rest = f'"{quote:.8f}",{item.get("tx", 0)},"{taken!r}","{taken * price:.8f}","0"'
        return f"[{item['t'] * 1000},{prices},{closes},{rest}]"

    return f"[{','.join(map(row, items))}]".encode()


def _open_interest(exchange: OfflineExchange, request: Request, fault: Fault | None) -> Answer:
    query = request.query
    _known(query, "period")
    market, interval = _market(exchange, "binance_usdm", query), _interval(query, "period", PERIODS)
    rows, times = _rows(query, "openInterestHist"), _times(exchange, query)
    if isinstance(times, Answer):
        return times
    now, step = int(exchange.now()), bars.LENGTHS[interval]
    if times[0] is not None and times[0] < (exchange.now() - KEPT) * 1000:
        raise refuse(-1130, "parameter 'startTime' is invalid.")
    # A point is stamped with the end of its period; of too many the newest are given.
    start = max(now - KEPT, market["listed"], -(-(times[0] or 0) // 1000))
    end = now if times[1] is None else min(now, times[1] // 1000)
    opens = [at - step for at in bars.opens(interval, start, end)][-rows:]
    name = _name(exchange, "binance_usdm", market["symbol"])
    items = exchange.items("open-interest-history", name, interval, opens)
    items = items if fault is None else spoil(items, fault, step)
    price = bars.close(name, interval, 0)
    points = [
        f'{{"symbol":"{market["symbol"]}","sumOpenInterest":{_quoted(item["c"])},'
        f'"sumOpenInterestValue":"{(item["c"] or 0) * price:.8f}","timestamp":{(item["t"] + step) * 1000}}}'
        for item in items
    ]
    return Answer(200, {}, f"[{','.join(points)}]".encode())


def funding(symbol: str, hours: int, at: int) -> tuple[int, float]:
    """Time (milliseconds, a little late) and rate of what is settled at ``at`` seconds."""
    item = bars.synthetic("funding-rate-history", f"{symbol}_PERP.A", f"{hours}hour", at) or {}
    return at * 1000 + at // 3600 % 17, float(item["c"])


def _funding(exchange: OfflineExchange, request: Request, fault: Fault | None) -> Answer:
    query = request.query
    _known(query)
    market, rows, times = _market(exchange, "binance_usdm", query), _rows(query, "fundingRate"), _times(exchange, query)
    if isinstance(times, Answer):
        return times
    now, hours = int(exchange.now()), market["funding_hours"]
    end = now if times[1] is None else min(now, times[1] // 1000)
    # A second before, as times are late.
    start = None if times[0] is None else times[0] // 1000 - 1
    opens = _chosen(
        lambda low, high: bars.opens(f"{hours}hour", low, high), start, end, hours * 3600, market["listed"], rows + 1
    )
    settled = [(at, *funding(market["symbol"], hours, at)) for at in opens]
    low, high = times[0] or 0, now * 1000 if times[1] is None else times[1]
    items = [{"t": at, "ms": ms, "c": rate} for at, ms, rate in settled if low <= ms <= high]
    items = items[:rows] if start is not None else items[-rows:]
    if fault is not None and fault.kind in ("truncated_rows", "duplicates", "unordered", "null_value"):
        items = spoil(items, fault, hours * 3600)
    points = [
        f'{{"symbol":"{market["symbol"]}","fundingTime":{item["ms"]},"fundingRate":{_quoted(item["c"])},"markPrice":""}}'
        for item in items
    ]
    return Answer(200, {}, f"[{','.join(points)}]".encode())


ROWS: dict[str, Callable[[OfflineExchange, Request, Fault | None], Answer]] = {
    "api/v3/klines": _klines("binance", "klines"),
    "fapi/v1/klines": _klines("binance_usdm", "futures klines"),
    "futures/data/openInterestHist": _open_interest,
    "fapi/v1/fundingRate": _funding,
}
