"""The offline exchange's HTTP: which protocol answers, statuses, the limits, and faults of the connection."""

from __future__ import annotations

import json
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING
from urllib.parse import parse_qs, urlsplit

from quant_framework.testing.archive import ROOT
from quant_framework.testing.binance import Binance
from quant_framework.testing.coinalyze import Coinalyze
from quant_framework.testing.faults import STATUSES, Fault
from quant_framework.testing.protocols import BadRequestError, Protocol, Request
from quant_framework.testing.quota import Answer, message

if TYPE_CHECKING:
    from quant_framework.testing.exchange import OfflineExchange

PROTOCOLS: tuple[Protocol, ...] = (Binance(), Coinalyze())
"""The first one with a fitting prefix answers."""


def protocol_of(path: str) -> Protocol:
    """Who answers ``path``, which has no leading slash."""
    return next(protocol for protocol in PROTOCOLS if path.startswith(protocol.prefixes))


class Server(ThreadingHTTPServer):
    """Serves one exchange on loopback.

    Args:
        exchange: what answers.
        port: 0 takes a free one.

    """

    daemon_threads = True
    request_queue_size = 128

    def __init__(self, exchange: OfflineExchange, port: int) -> None:
        self.exchange = exchange
        super().__init__(("127.0.0.1", port), _Handler)

    def handle_error(self, request: object, client_address: object) -> None:
        """Say nothing: a client that was killed breaks its connection."""


class _Handler(BaseHTTPRequestHandler):
    server: Server  # pyright: ignore[reportIncompatibleVariableOverride]  # it is made for this one alone
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    wbufsize = -1

    def log_message(self, format: str, *args: object) -> None:
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
        if path.startswith(ROOT):
            self._archive(path)
            return
        request = Request(path, query, self.headers.get("api_key") or query.pop("api_key", None))
        protocol = protocol_of(path)
        weight = protocol.weight(exchange, request)
        answer = self._answer(protocol, request, weight)
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

    def _archive(self, path: str) -> None:
        """A file of Binance's archive, which has neither keys nor a limit."""
        exchange = self.server.exchange
        fault = exchange.faults.take(path, (), True)
        status, body = exchange.archive.answer(path, exchange.now())
        if fault is not None and fault.kind in STATUSES:
            status, body = int(fault.kind), message("injected")
        is_broken = fault is not None and fault.kind in ("disconnect", "truncated_body")
        exchange.record(path=path, weight=0, status=0 if is_broken else status)
        if fault is not None and is_broken:
            self._break_off(body if fault.kind == "truncated_body" else b"")
        else:
            self._send(status, body)

    def _answer(self, protocol: Protocol, request: Request, weight: int) -> Answer:
        exchange, limit = self.server.exchange, protocol.limit(request)
        time.sleep(exchange.latency)
        verdict = exchange.banned(weight, limit)
        if verdict is not None:
            return protocol.refusal(verdict, request)
        if (unauthorised := protocol.unauthorised(exchange, request)) is not None:
            return unauthorised
        fault = exchange.faults.take(request.path, protocol.symbols(request), protocol.asks_for_rows(request))
        if fault is not None and fault.kind in STATUSES:
            sent = {"Retry-After": f"{fault.value:g}"} if fault.kind in ("418", "429") and fault.value else {}
            return Answer(int(fault.kind), sent, protocol.error(int(fault.kind), "injected"))
        verdict = exchange.ask(weight, limit)
        if verdict.refused:
            return protocol.refusal(verdict, request)
        answer = self._accepted(protocol, request, fault)
        return answer._replace(headers=answer.headers | protocol.quota_headers(verdict, request))

    def _accepted(self, protocol: Protocol, request: Request, fault: Fault | None) -> Answer:
        if fault is not None and fault.kind == "latency":
            time.sleep(fault.value or 0)
        try:
            answer = protocol.content(self.server.exchange, request, fault)
        except BadRequestError as error:
            return Answer(400, {}, protocol.error(400, str(error), error.code))
        if fault is not None and fault.kind in ("disconnect", "truncated_body"):
            self._break_off(answer.body if fault.kind == "truncated_body" else b"")
            return Answer(0, {}, b"")
        if fault is not None and fault.kind == "malformed":
            return answer._replace(body=answer.body[:-10] + b"#")
        return answer

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
