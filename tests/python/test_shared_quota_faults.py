"""A shared quota whose place goes away, whose workers die or sleep: no window is ever exceeded, and work goes on."""

from __future__ import annotations

import contextlib
import fcntl
import itertools
import json
import os
import signal
import socket
import socketserver
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from datetime import datetime, timedelta, timezone
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from checkpoint_processes import until
from lying_s3 import ThreadedServer
from postgres_server import Postgres
from quant_framework._core import drain_log
from quant_framework.errors import InvalidError, RateLimitedError, UnavailableError
from quant_framework.ingestion.rate_limit import SharedRateLimiter
from quota_child import PROGRAM, Worker, Workers, after, most_in, stored

WEIGHT, SECONDS = WINDOW = (12, 1.0)
SCOPE = ("scope", [WINDOW])
HOLD, SLACK = 0.1, 0.05
STRETCHED = SECONDS + SLACK + HOLD
QUARANTINE = SECONDS + 2 * (SLACK + HOLD)
NUMBERS = itertools.count()


class Connection(socketserver.BaseRequestHandler):
    def handle(self) -> None:
        if self.server.is_cut:
            return
        here, there = self.request, socket.create_connection(self.server.upstream)
        self.server.sockets += (here, there)
        threading.Thread(target=self.pump, args=(there, here), daemon=True).start()
        self.pump(here, there)

    def pump(self, source: socket.socket, sink: socket.socket) -> None:
        sink.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        with contextlib.suppress(OSError):
            while data := source.recv(65536):
                self.server.flows.wait()
                time.sleep(self.server.latency)
                sink.sendall(data)
        close(source, sink)


class Link(ThreadedServer):
    """Between workers and a server: may be slow, silent or cut."""

    latency, is_cut = 0.0, False

    def __init__(self, dsn: str) -> None:
        super().__init__(Connection)
        url = urlsplit(dsn)
        self.upstream = (url.hostname, url.port)
        self.dsn = url._replace(netloc=f"{url.netloc.rpartition(':')[0]}:{self.server_address[1]}").geturl()
        self.flows, self.sockets = threading.Event(), []
        self.flows.set()

    def cut(self) -> None:
        """Connections break, and new ones too."""
        self.is_cut = True
        close(*self.sockets)

    def silence(self) -> None:
        """What is sent arrives when it heals."""
        self.flows.clear()

    def heal(self) -> None:
        self.is_cut = False
        self.flows.set()


def close(*sockets: socket.socket) -> None:
    for end in sockets:
        with contextlib.suppress(OSError):
            end.shutdown(socket.SHUT_RDWR)


@pytest.fixture(scope="module")
def server() -> Iterator[Postgres]:
    with Postgres(durable=True) as server:
        yield server


@pytest.fixture
def database(server: Postgres) -> str:
    if server.process.poll() is not None:
        server.start()
    return server.database(f"test_{next(NUMBERS)}")


@pytest.fixture
def place(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    return tmp_path.as_uri() if request.param == "file" else request.getfixturevalue("database")


@pytest.fixture
def start() -> Iterator[Workers]:
    with Workers() as workers:
        yield workers


def worker_of(start: Workers, place: str, *windows: tuple) -> Worker:
    return start(place, "scope", windows or [WINDOW]).flood(6)


def more(workers: list[Worker], count: int, what: str) -> None:
    """Returns when each of them has sent so many more."""
    goals = [len(worker.sent) + count for worker in workers]
    until(lambda: all(len(w.sent) >= goal for w, goal in zip(workers, goals, strict=True)), what)


def seen(database: str, since: float) -> int:
    """How many workers have asked since that wall time."""
    return sum(worker["seen"] > since * 1e6 for worker in json.loads(stored(database))["workers"])


def test_without_the_database_each_has_its_share_after_the_quarantine(server, database, start):
    workers = [worker_of(start, database) for _ in range(3)]
    share = WEIGHT // len(workers)
    more(workers, 2 * share, "all take part")
    before = time.monotonic()
    server.stop(immediate=True)
    down = time.monotonic()
    began = [len(worker.sent) for worker in workers]
    more(workers, 4 * share, "its share, again and again")
    up, wall = time.monotonic(), time.time()
    server.start()
    until(lambda: seen(database, wall) == len(workers), "all have asked again")
    more(workers, 2 * share, "all take part again")
    start.kill()
    assert most_in(start.sent, SECONDS) <= WEIGHT
    assert after(start.sent, down + HOLD, before + QUARANTINE) == [], "only what was leased"
    for worker, count in zip(workers, began, strict=True):
        assert worker.failed == []
        alone = after(worker.sent[count:], before + QUARANTINE, up)
        assert most_in(alone, SECONDS) == share
        took = (alone[4 * share - 1].at - alone[0].at) / 1e9
        assert took < 5 * (SECONDS + SLACK), f"{4 * share} took {took:.1f} s"


@pytest.mark.parametrize("fault", [Link.cut, Link.silence])
def test_the_share_of_one_that_is_cut_off_is_left_alone(fault, database, start):
    with Link(database) as link:
        near, far = [worker_of(start, database) for _ in range(2)], worker_of(start, link.dsn)
        more([*near, far], 8, "all take part")
        fault(link)
        cut = time.monotonic()
        until(lambda: after(far.sent, cut + QUARANTINE), "it goes on alone", 90)
        alone = time.monotonic()
        more(near, 12, "so do the others")
        healed, wall = time.monotonic(), time.time()
        link.heal()
        until(lambda: seen(database, wall) == 3, "all have asked again")
        more([*near, far], 8, "all take part again")
        start.kill()
    assert most_in(start.sent, SECONDS) <= WEIGHT
    assert most_in(after(far.sent, cut + HOLD, healed), SECONDS) == WEIGHT // 3
    others = [sent for worker in near for sent in after(worker.sent, alone, healed)]
    assert most_in(others, SECONDS) == WEIGHT - WEIGHT // 3, "all but its share"


def test_one_that_comes_while_another_is_cut_off_leaves_it_what_it_was_told(database, start):
    with Link(database) as link:
        far = worker_of(start, link.dsn)
        more([far], WEIGHT + 1, "it is the only one")
        link.cut()
        cut = time.monotonic()
        until(lambda: after(far.sent, cut + QUARANTINE), "it goes on alone", 90)
        worker_of(start, database)
        more([far], 2 * WEIGHT, "it goes on")
    start.kill()
    assert most_in(start.sent, SECONDS) <= WEIGHT


def test_crashes_and_restarts_under_load(server, database, start):
    workers = [worker_of(start, database) for _ in range(4)]
    more(workers, 6, "all take part")
    for immediate in (True, False, True):
        server.restart(immediate)
        more(workers, 6, "all go on")
    start.kill()
    assert most_in(start.sent, SECONDS) <= WEIGHT
    assert [worker.failed for worker in workers] == [[]] * 4


@pytest.mark.parametrize("place", ["postgres", "file"], indirect=True)
def test_workers_that_sleep_or_die(place, start):
    sleeper, victim, *others = workers = [worker_of(start, place) for _ in range(4)]
    more(workers, 4, "all take part")
    for _ in range(2):
        # What has a permit in its hand sends it late, and nothing can help that: the window is full, so none has.
        until(lambda: len(after(start.sent, time.monotonic() - SECONDS)) == WEIGHT, "all is sent")
        sleeper.signal(signal.SIGSTOP)
        more([victim, *others], 8, "the others go on")
        sleeper.signal(signal.SIGCONT)
        more([sleeper], 4, "it is awake again")
    more([victim], 1, "it has just sent")
    victim.kill()
    more([sleeper, *others], 12, "the others go on")
    start.kill()
    assert most_in(start.sent, SECONDS) <= WEIGHT
    assert [worker.failed for worker in workers] == [[]] * 4


def test_a_slow_database_is_good_enough(database, start):
    with Link(database) as link:
        link.latency = 0.075
        workers = [worker_of(start, link.dsn, (12, 5.0)) for _ in range(2)]
        until(lambda: len(start.sent) >= 24, "two windows full of four", 20)
        start.kill()
    assert most_in(start.sent, 5.0) <= 12
    assert [worker.failed for worker in workers] == [[], []]


def test_nobody_waits_for_a_place_longer_than_it_would_for_the_quota(server, database):
    limiter = SharedRateLimiter(database, *SCOPE)
    limiter.acquire_sync()
    server.stop(immediate=True)
    began = time.monotonic()
    with pytest.raises((UnavailableError, RateLimitedError)):
        [limiter.acquire_sync(max_wait=0.5) for _ in range(2)]
    assert time.monotonic() - began < 3


def test_a_lock_that_a_sleeper_holds_is_a_place_that_is_away(tmp_path, start):
    workers, own = [worker_of(start, tmp_path.as_uri()) for _ in range(2)], SharedRateLimiter(str(tmp_path), *SCOPE)
    own.acquire_sync()
    more(workers, 6, "both take part")
    with (tmp_path / "scope.json").open() as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        locked = time.monotonic()
        with pytest.raises(UnavailableError, match=r"another process has held .*scope\.json for 5s"):
            SharedRateLimiter(str(tmp_path), *SCOPE).acquire_sync()
        until(lambda: all(after(worker.sent, locked + QUARANTINE) for worker in workers), "their own shares")
        own.acquire_sync()
        own.report("throttled", datetime.now(timezone.utc) + timedelta(seconds=2))
        with pytest.raises((RateLimitedError, UnavailableError)):
            own.acquire_sync(max_wait=0.1)
    more(workers, 12, "as before")
    start.kill()
    assert most_in(start.sent, SECONDS) <= WEIGHT


@pytest.mark.parametrize("damage", [b"garbage", b"\xff\0" * 99, b'{"format":1}'])
def test_a_damaged_file_counts_as_full_and_is_replaced(damage, tmp_path):
    file = tmp_path / "scope.json"
    limiter, other = (SharedRateLimiter(str(tmp_path), *SCOPE) for _ in range(2))
    limiter.acquire_sync()
    drain_log()
    file.write_bytes(damage)
    damaged, wall = time.monotonic(), time.time()
    with pytest.raises(RateLimitedError) as refused:
        other.acquire_sync(max_wait=0)
    assert SECONDS <= refused.value.until.timestamp() - wall < STRETCHED + 1
    limiter.acquire_sync()
    assert time.monotonic() >= damaged + SECONDS
    said = [(level, message) for level, _, message in drain_log() if "count as full" in message]
    assert [level for level, _ in said] == [30], said
    assert str(file) in said[0][1]


@pytest.mark.parametrize("folder", ["denied", "denied/below", "file"])
def test_a_folder_that_cannot_be_written_is_told(folder):
    with tempfile.TemporaryDirectory() as root:
        Path(root).chmod(0o755)
        Path(root, "denied").mkdir(mode=0o555)
        Path(root, "file").touch()
        arguments = json.dumps([f"{root}/{folder}", None if os.geteuid() else 65534])
        done = subprocess.run([sys.executable, PROGRAM, "use", arguments], capture_output=True, text=True)
    assert done.stdout.startswith("InvalidError cannot "), done
    assert f" {root}/{folder}" in done.stdout


@pytest.mark.parametrize("place", ["postgres", "file"], indirect=True)
def test_what_a_newer_version_wrote_is_left_untouched(place):
    SharedRateLimiter(place, *SCOPE).acquire_sync()
    newer = stored(place, lambda state: state.replace('"format":1', '"format":2'))
    limiter = SharedRateLimiter(place, *SCOPE)
    for call in (limiter.acquire_sync, limiter.try_acquire):
        with pytest.raises(InvalidError, match=r"format 2, this version reads 1.*hint: upgrade"):
            call()
    limiter.least_seconds(1)
    limiter.close()
    assert stored(place) == newer
