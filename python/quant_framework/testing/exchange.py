"""An exchange on loopback that speaks Coinalyze's protocol, enforces a true limit, and can misbehave."""

from __future__ import annotations

import json
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

from quant_framework.testing import bars
from quant_framework.testing.faults import Fault, FaultBox, spoil

HISTORIES = frozenset(
    {
        "ohlcv-history",
        "open-interest-history",
        "funding-rate-history",
        "predicted-funding-rate-history",
        "liquidation-history",
        "long-short-ratio-history",
    }
)
MOST_SYMBOLS = 20
KEPT_POINTS = 2000


def _market(symbol: str, base: str, quote: str = "USDT", margined: str = "STABLE") -> dict:
    return {
        "symbol": symbol,
        "exchange": symbol.rpartition(".")[2],
        "symbol_on_exchange": symbol.partition(".")[0].partition("_")[0],
        "base_asset": base,
        "quote_asset": quote,
        "is_perpetual": True,
        "margined": margined,
        "expire_at": None,
        "oi_lq_vol_denominated_in": "BASE_ASSET",
        "has_long_short_ratio_data": True,
        "has_ohlcv_data": True,
        "has_buy_sell_data": True,
    }


NAMES = ("BTC", "ETH", "SOL", "BNB", "XRP", "DOGE", "ADA", "LINK")
MARKETS = (
    *(_market(f"{name}USDT_PERP.A", name) for name in NAMES),
    _market("BTCUSD_PERP.A", "BTC", "USD", "COIN"),
    _market("BTCUSDT.6", "BTC"),
)


class OfflineExchange:
    """Coinalyze's protocol on a free loopback port; use it as a context manager.

    Args:
        recorded: folder of candles (see ``bars.Recorded``), served as symbols ``<name>.R``; else synthetic bars.
        limit: ``(weight, seconds)`` of a rolling window, each symbol weighing one; ``None``: no limit.
        retention: whether intraday points beyond the newest 2,000 are gone.
        api_key: what a client must send; ``None``: anything.
        now: epoch seconds; nothing opens later, and the newest bar is still forming.
        retry_after: whether a 429 says when to come back.
        faults: how to misbehave; more by ``inject``.
        port: 0 takes a free one.

    """

    def __init__(
        self,
        recorded: str | Path | None = None,
        limit: tuple[int, float] | None = (40, 60.0),
        retention: bool = False,
        api_key: str | None = "offline",
        now: Callable[[], float] = time.time,
        retry_after: bool = True,
        faults: Iterable[Fault] = (),
        port: int = 0,
    ) -> None:
        self.recorded = bars.Recorded(recorded) if recorded else None
        self.limit, self.retention, self.api_key = limit, retention, api_key
        self.now, self.retry_after = now, retry_after
        self._faults = FaultBox(tuple(faults))
        self._lock = threading.Lock()
        self._spent: deque[tuple[float, int]] = deque()
        self.ledger: list[dict] = []
        self._server = _Server(("127.0.0.1", port), type("Handler", (_Handler,), {"exchange": self}))
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True)

    @property
    def url(self) -> str:
        """What to pass as ``base_url``."""
        return f"http://127.0.0.1:{self._server.server_address[1]}/v1"

    def __enter__(self) -> OfflineExchange:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def inject(self, fault: Fault) -> None:
        """Misbehave once more."""
        self._faults.add(fault)

    def stats(self) -> dict[str, int]:
        """Requests, their weight, and how many were answered with each status."""
        with self._lock:
            stats = {"requests": len(self.ledger), "weight": sum(entry["weight"] for entry in self.ledger)}
            for entry in self.ledger:
                stats[str(entry["status"])] = stats.get(str(entry["status"]), 0) + 1
        return stats

    def reset(self) -> None:
        """Forget what was asked."""
        with self._lock:
            self.ledger.clear()

    def markets(self) -> list[dict]:
        """What ``/future-markets`` lists."""
        if self.recorded is None:
            return list(MARKETS)
        return [_market(symbol, symbol.removesuffix(".R")) for symbol, _ in self.recorded.series]

    def candles(self, symbol: str, interval: str, start: int, end: int) -> list[tuple]:
        """The closed bars that open in ``[start, end)`` seconds: ``(t, o, h, l, c, v)``."""
        step = bars.STEPS[interval]
        items = json.loads(self._items("ohlcv-history", symbol, interval, start, min(end, self.now() - step + 1) - 1))
        return [tuple(item[key] for key in "tohlcv") for item in items]

    def spend(self, weight: int) -> float | None:
        """Take ``weight`` from the limit; seconds to wait where there is none left."""
        if self.limit is None:
            return None
        most, period = self.limit
        with self._lock:
            now = time.monotonic()
            while self._spent and self._spent[0][0] <= now - period:
                self._spent.popleft()
            if sum(spent for _, spent in self._spent) + weight > most:
                return self._spent[0][0] + period - now if self._spent else period
            self._spent.append((now, weight))
        return None

    def record(self, **entry: object) -> None:
        """Note what was asked and answered."""
        with self._lock:
            self.ledger.append(entry)

    def history(self, kind: str, query: dict[str, str], fault: Fault | None) -> bytes:
        """The body of a history request."""
        symbols, interval = query["symbols"].split(","), query["interval"]
        known = {market["symbol"] for market in self.markets()}
        parts = []
        for symbol in symbols:
            if symbol not in known:
                continue
            text = self._items(kind, symbol, interval, int(query["from"]), int(query["to"]))
            if fault is not None:
                text = json.dumps(spoil(json.loads(text), fault, bars.STEPS[interval]))
            parts.append(f'{{"symbol":{json.dumps(symbol)},"history":{text}}}')
        return f"[{','.join(parts)}]".encode()

    def _items(self, kind: str, symbol: str, interval: str, start: int, end: float) -> str:
        step, now = bars.STEPS[interval], self.now()
        end = int(min(end, now))
        if self.retention and interval != "daily":
            start = max(start, int(now) - KEPT_POINTS * step)
        if self.recorded is None:
            return f"[{bars.synthetic_text(kind, symbol, interval, start, end)}]"
        moments = range(-(-start // step) * step, end + 1, step)
        items = (self.recorded.item(kind, symbol, interval, at) for at in moments)
        fields = ("".join(f',"{key}":{value!r}' for key, value in item.items())[1:] for item in items if item)
        return f"[{','.join(f'{{{text}}}' for text in fields)}]"


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128

    def handle_error(self, *_: object) -> None:
        """Say nothing: a client that was killed breaks its connection."""


class _Handler(BaseHTTPRequestHandler):
    exchange: OfflineExchange
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    wbufsize = -1

    def log_message(self, *_: object) -> None:
        """Say nothing."""

    def do_GET(self) -> None:
        """Answer one request."""
        url = urlsplit(self.path)
        query = {key: values[0] for key, values in parse_qs(url.query).items()}
        path = url.path.removeprefix("/v1").strip("/")
        if path == "admin/stats":
            self._send(200, json.dumps(self.exchange.stats()).encode())
            return
        weight = len(query["symbols"].split(",")) if "symbols" in query else 1
        status, headers, body = self._answer(path, query, weight)
        self.exchange.record(path=path, weight=weight, status=status, **query)
        if status:
            self._send(status, body, headers)

    def _answer(self, path: str, query: dict[str, str], weight: int) -> tuple[int, dict[str, str], bytes]:
        exchange = self.exchange
        key = self.headers.get("api_key") or query.pop("api_key", None)
        if not key or exchange.api_key not in (None, key):
            return 401, {}, b'{"message":"Invalid API key"}'
        wait = exchange.spend(weight)
        if wait is not None:
            headers = {"Retry-After": str(int(wait) + 1)} if exchange.retry_after else {}
            return 429, headers, b'{"message":"Too Many Requests"}'
        fault = exchange._faults.take(path)
        if fault is not None and fault.kind in ("429", "500", "503"):
            headers = {"Retry-After": f"{fault.value:g}"} if fault.kind == "429" and fault.value else {}
            return int(fault.kind), headers, b'{"message":"injected"}'
        if fault is not None and fault.kind == "latency":
            time.sleep(fault.value or 0)
        status, body = self._content(path, query, fault)
        if fault is not None and fault.kind in ("disconnect", "truncated_body"):
            self._break_off(body if fault.kind == "truncated_body" else b"")
            return 0, {}, b""
        return status, {}, body[:-10] + b"#" if fault is not None and fault.kind == "malformed" else body

    def _content(self, path: str, query: dict[str, str], fault: Fault | None) -> tuple[int, bytes]:
        if path == "future-markets":
            return 200, json.dumps(self.exchange.markets()).encode()
        if path in ("spot-markets", "exchanges"):
            return 200, b"[]" if path == "spot-markets" else b'[{"name":"Binance","code":"A"}]'
        if path not in HISTORIES:
            return 404, b'{"message":"not found"}'
        if query.get("interval") not in bars.STEPS:
            return 400, json.dumps({"message": f"interval must be one of {', '.join(bars.STEPS)}"}).encode()
        if not {"symbols", "from", "to"} <= query.keys() or query["symbols"].count(",") >= MOST_SYMBOLS:
            return 400, b'{"message":"bad parameters"}'
        return 200, self.exchange.history(path, query, fault)

    def _break_off(self, body: bytes) -> None:
        if body:
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body[: len(body) // 2])
            self.wfile.flush()
        self.close_connection = True

    def _send(self, status: int, body: bytes, headers: dict[str, str] | None = None) -> None:
        self.send_response(status)
        for name, value in {"Content-Type": "application/json", **(headers or {})}.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
