"""A proxy in front of an HTTP/1.1 server that spoils chosen requests or their answers."""

from __future__ import annotations

import socket
import socketserver
import threading
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from urllib.parse import urlsplit

from http_messages import Message, read_answer, read_request
from lying_s3 import ThreadedServer, error

# Whether the action needs a value.
ACTIONS = {"status": True, "lost": False, "cut": False, "drop": False, "slow": True, "delay": True}
PIECES = 20
SERVER_SECONDS = 120


@dataclass(frozen=True)
class Injected:
    """What happens to the next ``times`` requests of ``method`` whose path (with its query) contains ``match``.

    - ``status``: answered with the status ``value`` and S3's error text; the server never sees the request.
    - ``lost``: the server has answered in full, the client only sees the connection close.
    - ``cut``: the client gets the first half of the answer's bytes, then the connection closes.
    - ``drop``: the connection closes; the server never sees the request.
    - ``slow``: the answer's body comes in pieces over ``value`` seconds (its head too where there is no body).
    - ``delay``: the server gets the request ``value`` seconds later, even where the client has given up by then.
    """

    action: str
    method: str = "PUT"
    match: str = ""
    times: int = 1
    value: float | None = None

    def __post_init__(self) -> None:
        if self.action not in ACTIONS:
            raise ValueError(f"action must be one of {', '.join(ACTIONS)}: got {self.action}")
        if ACTIONS[self.action] and self.value is None:
            raise ValueError(f"action {self.action} needs a value")


class _Connection(socketserver.StreamRequestHandler):
    """Each action answers whether the client's connection stays open."""

    disable_nagle_algorithm = True

    def handle(self) -> None:
        try:
            while request := read_request(self.rfile, self.wfile):
                if not self._serve(request):
                    return
        except OSError:
            return

    def _serve(self, request: Message) -> bool:
        fault = self.server.next_fault(request)
        if fault is None:
            answer = self.server.forward(request)
            self.server.record(request, answer.status)
            return self._answer(request, answer)
        return getattr(self, f"_{fault.action}")(request, fault.value)

    def _answer(self, request: Message, answer: Message) -> bool:
        self.wfile.write(answer.head + answer.body)
        return not (request.closes or answer.closes)

    def _status(self, request: Message, value: float) -> bool:
        self.server.record(request, "status")
        return self._answer(request, error(request.words[0], int(value)))

    def _lost(self, request: Message, _: float | None) -> bool:
        self.server.forward(request)
        self.server.record(request, "lost")
        return False

    def _cut(self, request: Message, _: float | None) -> bool:
        answer = self.server.forward(request)
        self.server.record(request, "cut")
        whole = answer.head + answer.body
        self.wfile.write(whole[: len(whole) // 2])
        return False

    def _drop(self, request: Message, _: float | None) -> bool:
        self.server.record(request, "drop")
        return False

    def _slow(self, request: Message, value: float) -> bool:
        answer = self.server.forward(request)
        released = self.server.released
        self.server.record(request, "slow")
        head, rest = (answer.head, answer.body) if answer.body else (b"", answer.head)
        self.wfile.write(head)
        size = -(-len(rest) // PIECES)
        pieces = [rest[start : start + size] for start in range(0, len(rest), size)]
        for piece in pieces:
            released.wait(value / len(pieces))
            self.wfile.write(piece)
        return not (request.closes or answer.closes)

    def _delay(self, request: Message, value: float) -> bool:
        released = self.server.released  # before the log tells of it
        self.server.record(request, "delay")
        released.wait(value)
        answer = self.server.forward(request)
        return self._answer(request, answer)


class FaultProxy(ThreadedServer):
    """In front of ``upstream``, an endpoint such as ``http://127.0.0.1:8333``; headers go through unchanged.

    ``log`` has (method, path with query, outcome) of every request, the outcome known before the client sees it: the
    server's status, the action of a fault, or "unreachable" where the server broke the connection. A ``delay`` is there
    before its pause begins, for a test to wait for.
    """

    def __init__(self, upstream: str) -> None:
        super().__init__(_Connection)
        self.upstream = (urlsplit(upstream).hostname, urlsplit(upstream).port)
        self.log: list[tuple[str, str, int | str]] = []
        self._script: list[list] = []
        self._lock = threading.Lock()
        self.released = threading.Event()

    def __exit__(self, *_: object) -> None:
        self.release()
        super().__exit__()

    def script(self, faults: Iterable[Injected]) -> None:
        """Replaces the faults; of those that fit a request the first happens."""
        with self._lock:
            self._script = [[fault, fault.times] for fault in faults]

    def counts(self) -> Counter[tuple[str, int | str]]:
        """How many requests of each (method, outcome)."""
        with self._lock:
            return Counter((method, outcome) for method, _, outcome in self.log)

    def next_fault(self, request: Message) -> Injected | None:
        method, path, _ = request.words
        with self._lock:
            for entry in self._script:
                fault, left = entry
                if left > 0 and fault.method == method and fault.match in path:
                    entry[1] -= 1
                    return fault
        return None

    def forward(self, request: Message) -> Message:
        """The server's complete answer, over a connection of its own."""
        try:
            with socket.create_connection(self.upstream, timeout=SERVER_SECONDS) as connection:
                connection.sendall(request.head + request.body)
                with connection.makefile("rb") as stream:
                    return read_answer(stream, request.words[0])
        except OSError:
            self.record(request, "unreachable")
            raise

    def record(self, request: Message, outcome: int | str) -> None:
        method, path, _ = request.words
        with self._lock:
            self.log.append((method, path, outcome))

    def release(self) -> None:
        """Ends the pauses of ``delay`` and ``slow`` that go on now."""
        released, self.released = self.released, threading.Event()
        released.set()
