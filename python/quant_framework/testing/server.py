"""The offline exchange's HTTP: routes, statuses, the limit, and faults of the connection."""

from __future__ import annotations

import json
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING
from urllib.parse import parse_qs, urlsplit

from quant_framework.testing import bars
from quant_framework.testing.faults import STATUSES, Fault
from quant_framework.testing.limits import Limits
from quant_framework.testing.markets import EXCHANGES
from quant_framework.testing.quota import Answer, headers, message, refusal

if TYPE_CHECKING:
    from quant_framework.testing.exchange import OfflineExchange

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
MOST_POINTS = 50_000


class BadRequestError(ValueError):
    """What the exchange answers 400 to."""


class Server(ThreadingHTTPServer):
    """Serves one exchange on loopback."""

    daemon_threads = True
    request_queue_size = 128

    def __init__(self, exchange: OfflineExchange, port: int) -> None:
        self.exchange = exchange
        super().__init__(("127.0.0.1", port), _Handler)

    def handle_error(self, *_: object) -> None:
        """Say nothing: a client that was killed breaks its connection."""


class _Handler(BaseHTTPRequestHandler):
    server: Server
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
        exchange = self.server.exchange
        if path == "admin/stats":
            self._send(200, json.dumps(exchange.stats()).encode())
            return
        key = self.headers.get("api_key") or query.pop("api_key", None)
        weight = _weight(path, query, exchange.limits)
        answer = self._answer(path, query, key, weight)
        entry = {"path": path, "weight": weight, "status": answer.status}
        if answer.http is not None:
            entry["http"] = answer.http
        exchange.record(**query | entry)
        if answer.status:
            self._send(answer.http or answer.status, answer.body, answer.headers)

    def do_POST(self) -> None:
        """``/admin/reset``, and ``/admin/fault`` with the arguments of a ``Fault`` as JSON."""
        path = urlsplit(self.path).path.removeprefix("/v1").strip("/")
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        try:
            if path == "admin/reset":
                self.server.exchange.reset()
            elif path == "admin/fault":
                self.server.exchange.inject(Fault(**json.loads(body)))
            else:
                self._send(404, b'{"message":"not found"}')
                return
        except (TypeError, ValueError) as error:
            self._send(400, message(str(error)))
            return
        self._send(200, b"{}")

    def _answer(self, path: str, query: dict[str, str], key: str | None, weight: int) -> Answer:
        exchange = self.server.exchange
        time.sleep(exchange.latency)
        verdict = exchange.banned(weight)
        if verdict is not None:
            return refusal(verdict)
        if not key or exchange.api_key not in (None, key):
            return Answer(401, {}, message("Invalid API key"))
        fault = exchange.faults.take(path, query.get("symbols", "").split(","))
        if fault is not None and fault.kind in STATUSES:
            sent = {"Retry-After": f"{fault.value:g}"} if fault.kind in ("418", "429") and fault.value else {}
            return Answer(int(fault.kind), sent, message("injected"))
        verdict = exchange.ask(weight)
        if verdict.refused:
            return refusal(verdict)
        return self._accepted(path, query, fault)._replace(headers=headers(verdict))

    def _accepted(self, path: str, query: dict[str, str], fault: Fault | None) -> Answer:
        if fault is not None and fault.kind == "latency":
            time.sleep(fault.value or 0)
        try:
            status, body = self._content(path, query, fault)
        except BadRequestError as error:
            return Answer(400, {}, message(str(error)))
        if fault is not None and fault.kind in ("disconnect", "truncated_body"):
            self._break_off(body if fault.kind == "truncated_body" else b"")
            return Answer(0, {}, b"")
        return Answer(status, {}, body[:-10] + b"#" if fault is not None and fault.kind == "malformed" else body)

    def _content(self, path: str, query: dict[str, str], fault: Fault | None) -> tuple[int, bytes]:
        exchange = self.server.exchange
        if path in HISTORIES:
            arguments = _history(query)
            if _bars(*arguments) > exchange.limits.most_bars:
                raise BadRequestError(f"at most {exchange.limits.most_bars} bars a request")
            return 200, exchange.history(path, *arguments, fault)
        lists = {"future-markets": exchange.markets, "spot-markets": exchange.spots, "exchanges": lambda: EXCHANGES}
        if path not in lists:
            return 404, message("not found")
        return 200, json.dumps(lists[path]()).encode()

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


def _weight(path: str, query: dict[str, str], limits: Limits) -> int:
    """What a request costs."""
    symbols = len(query["symbols"].split(",")) if "symbols" in query else 1
    if path not in HISTORIES or limits.prices is None:
        return symbols
    try:
        return symbols * limits.price(_bars(*_history(query)))
    except BadRequestError:
        return symbols


def _bars(_: list[str], interval: str, start: int, end: int, __: bool) -> int:
    return len(bars.opens(interval, start, end))


def _history(query: dict[str, str]) -> tuple[list[str], str, int, int, bool]:
    """Symbols, interval, first and last second, and whether in USD."""
    absent = {"symbols", "interval", "from", "to"} - query.keys()
    if absent:
        raise BadRequestError(f"missing {', '.join(sorted(absent))}")
    interval, symbols = query["interval"], query["symbols"].split(",")
    if interval not in bars.STEPS:
        raise BadRequestError(f"interval must be one of {', '.join(bars.STEPS)}")
    if len(symbols) > MOST_SYMBOLS:
        raise BadRequestError(f"at most {MOST_SYMBOLS} symbols")
    try:
        start, end = int(query["from"]), int(query["to"])
    except ValueError:
        raise BadRequestError("from and to must be UNIX seconds") from None
    if end - start > MOST_POINTS * bars.STEPS[interval]:
        raise BadRequestError(f"at most {MOST_POINTS} points a request")
    return symbols, interval, start, end, query.get("convert_to_usd") == "true"
