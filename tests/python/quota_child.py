"""Processes that share a quota: this program, the handle of one, and an exact check of what they sent."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import http.client
import itertools
import json
import os
import pickle
import queue
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import NamedTuple
from urllib.parse import urlsplit

from quant_framework.errors import QuantFrameworkError, RateLimitedError
from quant_framework.ingestion.rate_limit import SharedRateLimiter

PROGRAM = Path(__file__)


class Sent(NamedTuple):
    """A permit, in nanoseconds of the clock that all processes of a machine share.

    A busy machine may let a process sleep between its permit and the look at the clock: the permit was given
    between ``given`` and ``at``.
    """

    at: int
    weight: int
    given: int


async def permitted(limiter: SharedRateLimiter, weight: int = 1, **options: object) -> Sent:
    """Waits for a permit."""
    asked = time.monotonic_ns()
    waited = await limiter.acquire(weight, **options)
    return Sent(time.monotonic_ns(), weight, asked + int(waited * 1e9))


def most_in(sent: Iterable[Sent], seconds: float) -> int:
    """The greatest weight that was surely given in any span of so many seconds, its end excluded."""
    held = list(sent)
    ends = [(first, first + round(seconds * 1e9)) for first in {one.given for one in held}]
    return max((sum(one.weight for one in held if low <= one.given and one.at < high) for low, high in ends), default=0)


def after(sent: Iterable[Sent], since: float, until: float = float("inf")) -> list[Sent]:
    """What was surely given between these, in seconds of the same clock."""
    return sorted(one for one in sent if since < one.given / 1e9 and one.at / 1e9 <= until)


def stored(place: str, change: Callable[[str], str] | None = None) -> str:
    """What is stored of the scope, a change made before."""
    if place.startswith("file"):
        path = Path(urlsplit(place).path, "scope.json")
        if change:
            path.write_text(change(path.read_text()))
        return path.read_text()
    import psycopg

    with psycopg.connect(place, prepare_threshold=None) as connection:
        (state,) = connection.execute("SELECT state FROM quant_framework.quotas").fetchone()
        if change:
            state = change(state)
            connection.execute("UPDATE quant_framework.quotas SET state = %s", [state])
        return state


class Worker:
    """A process with one limiter. ``sent`` and ``failed`` are what its loops have told so far."""

    def __init__(self, place: str, scope: str, windows: Sequence, **options: object) -> None:
        self.process = subprocess.Popen(
            [sys.executable, PROGRAM, "serve", json.dumps([place, scope, windows, options])],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        )
        self.sent: list[Sent] = []
        self.failed: list[tuple[float, str]] = []
        self.other: list[str] = []
        self._answers: queue.Queue[bytes | None] = queue.Queue()
        self._reading = threading.Thread(target=self._read, daemon=True)
        self._reading.start()

    def _read(self) -> None:
        for line in self.process.stdout:
            if not line.endswith(b"\n"):
                break  # it was killed while it spoke
            word, _, rest = line[:-1].decode().partition(" ")
            if word == "sent":
                self.sent.append(Sent(*map(int, rest.split(" "))))
            elif word == "failed":
                self.failed.append((time.monotonic(), rest))
            elif word == "answer":
                self._answers.put(base64.b64decode(rest))
            else:
                self.other.append(f"{word} {rest}")
        self._answers.put(None)

    def begin(self, name: str, *arguments: object, **options: object) -> Worker:
        """Has it call a method of its limiter or of ``Program``; ``answer`` is what came of it."""
        self.process.stdin.write(json.dumps([name, arguments, options]).encode() + b"\n")
        self.process.stdin.flush()
        return self

    def answer(self, seconds: float = 180) -> object:
        answer = self._answers.get(timeout=seconds)
        assert answer is not None, f"it ended: {self.process.wait()}, {self.other}"
        value = pickle.loads(answer)
        if isinstance(value, BaseException):
            raise value
        return value

    def call(self, name: str, *arguments: object, **options: object) -> object:
        """``begin`` and ``answer``; errors are raised here."""
        return self.begin(name, *arguments, **options).answer()

    def flood(self, loops: int, **options: object) -> Worker:
        """From now on so many requests at once, each followed by the next, until ``rest``."""
        self.call("flood", loops, **options)
        return self

    def signal(self, number: int) -> None:
        self.process.send_signal(number)

    def kill(self) -> None:
        """By SIGKILL; all that it has told is known then."""
        self.signal(signal.SIGKILL)
        self.process.wait()
        self._reading.join()

    def end(self) -> None:
        """Closes its limiter and ends, well."""
        self.process.stdin.close()
        self.process.wait(60)
        self._reading.join()
        assert self.process.returncode == 0, self.other


class Workers:
    """Starts workers; all are gone afterwards."""

    def __init__(self) -> None:
        self.all: list[Worker] = []

    def __call__(self, place: str, scope: str, windows: Sequence, **options: object) -> Worker:
        self.all.append(Worker(place, scope, windows, **options))
        return self.all[-1]

    def __enter__(self) -> Workers:
        return self

    def kill(self, *_: object) -> None:
        for worker in self.all:
            worker.kill()

    __exit__ = kill

    @property
    def sent(self) -> list[Sent]:
        """By all of them, in order."""
        return sorted(itertools.chain.from_iterable(list(worker.sent) for worker in self.all))


def say(word: str, *rest: object) -> None:
    os.write(1, " ".join([word, *map(str, rest)]).replace("\n", " ").encode() + b"\n")


class Program:
    """What the process does: calls, and loops that ask for permits."""

    def __init__(self, place: str, scope: str, windows: Sequence, options: dict[str, object]) -> None:
        self.limiter = SharedRateLimiter(place, scope, [tuple(window) for window in windows], **options)
        self.loops: list[asyncio.Task] = []

    async def serve(self) -> None:
        while line := await asyncio.to_thread(sys.stdin.readline):
            name, arguments, options = json.loads(line)
            try:
                if hasattr(self, name):
                    value = await getattr(self, name)(*arguments, **options)
                else:
                    value = await asyncio.to_thread(getattr(self.limiter, name), *arguments, **options)
            except Exception as error:
                value = error
            say("answer", base64.b64encode(pickle.dumps(value)).decode())
        await self.rest()
        await asyncio.to_thread(self.limiter.close)

    async def refuse(self, seconds: float) -> None:
        """The source refuses for so long."""
        self.limiter.report("throttled", datetime.now(timezone.utc) + timedelta(seconds=seconds))

    async def flood(self, loops: int, requests: Sequence = ((1, None),), priority: str = "backfill") -> None:
        """``requests``: weights and addresses; each loop goes through all of them, from another one on."""
        for first in range(loops):
            turns = itertools.islice(itertools.cycle(requests), first % len(requests), None)
            self.loops.append(asyncio.ensure_future(self.loop(turns, priority)))

    async def loop(self, requests: Iterator, priority: str) -> None:
        for weight, url in requests:
            try:
                sent = await permitted(self.limiter, weight, priority=priority)
            except QuantFrameworkError as error:
                say("failed", error.kind, error)
                await asyncio.sleep(0.05)
                continue
            say("sent", *sent)
            if url:
                answer = await asyncio.to_thread(get, url)
                self.limiter.report_response(*answer, weight=weight)
            else:
                self.limiter.report("success", weight=weight)
                await asyncio.sleep(0)

    async def rest(self) -> None:
        """Ends all loops."""
        for loop in self.loops:
            loop.cancel()
        await asyncio.gather(*self.loops, return_exceptions=True)
        self.loops.clear()


own = threading.local()


def get(url: str) -> tuple[int, list[tuple[str, str]], bytes]:
    """Status, headers and body, over the thread's own connection."""
    parts = urlsplit(url)
    if not hasattr(own, "connection"):
        own.connection = http.client.HTTPConnection(parts.netloc, timeout=30)
    own.connection.request("GET", f"{parts.path}?{parts.query}", headers={"api_key": "offline"})
    response = own.connection.getresponse()
    return response.status, response.getheaders(), response.read()


def serve(*arguments: object) -> None:
    """Obeys what it is told line by line."""
    asyncio.run(Program(*arguments).serve())


def take(limiter: SharedRateLimiter) -> int:
    """How many are to be had."""
    had = 0
    with contextlib.suppress(RateLimitedError):
        while True:
            limiter.acquire_sync(max_wait=20)
            had += 1
    return had


def fork(place: str, weight: int) -> None:
    """Forks while one half of the window is leased, and paced so that most of it is waited for; takes all the rest."""
    limiter = SharedRateLimiter(place, "scope", [(weight, 600.0)], base_rate=weight)
    waiting = [threading.Thread(target=limiter.acquire_sync) for _ in range(weight // 2)]
    for thread in waiting:
        thread.start()
    while not limiter.stats()["permits"]:
        pass
    child = os.fork()
    if child == 0:
        say("child", take(limiter))
        os._exit(0)
    for thread in waiting:
        thread.join()
    os.waitpid(child, 0)
    take(limiter)
    say("parent", limiter.stats()["permits"])


def fork_often(folder: str) -> None:
    """Forks while other threads use the place; tells how long the next call takes while the child lives."""
    limiters = [SharedRateLimiter(folder, "scope", [(1000, 60.0)]) for _ in range(3)]
    for limiter in limiters[1:]:
        calls = map(limiter.least_seconds, itertools.repeat(1))
        threading.Thread(target=any, args=[(seconds < 0 for seconds in calls)], daemon=True).start()
    for _ in range(10):
        child = os.fork()
        if child == 0:
            signal.pause()
        began = time.monotonic()
        limiters[0].least_seconds(1)
        say("took", time.monotonic() - began)
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)


def use(place: str, user: int | None) -> None:
    """Tells what is wrong with a place for this user, or its own."""
    if user is not None:
        os.setuid(user)
    try:
        SharedRateLimiter(place, "scope", [(12, 1.0)]).acquire_sync()
    except QuantFrameworkError as error:
        say(type(error).__name__, error)


if __name__ == "__main__":
    globals()[sys.argv[1]](*json.loads(sys.argv[2]))
