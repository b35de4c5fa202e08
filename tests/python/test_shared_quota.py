"""One quota for many workers, through PostgreSQL, a pooler or a file: together they are as one."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from datetime import datetime, timedelta, timezone
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from checkpoint_places import pairs
from checkpoint_processes import until
from postgres_server import PASSWORD
from quant_framework._core import drain_log
from quant_framework.errors import ConflictError, InvalidError, RateLimitedError
from quant_framework.ingestion.rate_limit import SharedRateLimiter
from quota_child import PROGRAM, Sent, Worker, Workers, after, most_in, permitted, stored

pytest_plugins = ["checkpoint_parts"]

WEIGHT, SECONDS = WINDOW = (12, 1.0)
STRETCHED = SECONDS + 0.05 + 0.1
"""What a permit counts for: the window, its slack and how long a permit may be held."""
LONG = (12, 30.0)
"""A window that no test waits for, and none outlasts."""
PLACES = ("postgres", "pgbouncer", "file")


@pytest.fixture(params=PLACES)
def place(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "file":
        return (tmp_path / "quotas").as_uri()
    dsn = request.getfixturevalue("database")
    if request.param == "postgres":
        return dsn
    return request.getfixturevalue("pooler").dsn(urlsplit(dsn).path[1:])


two_places = pytest.mark.parametrize("place", ["postgres", "file"], indirect=True)
"""Where a pooler makes no difference."""


@pytest.fixture
def start() -> Iterator[Workers]:
    with Workers() as workers:
        yield workers


@pytest.fixture
def limiter(place: str) -> Callable[..., SharedRateLimiter]:
    """Makes one more worker of this process."""

    def limiter(*windows: Sequence, scope: str = "scope", **options: object) -> SharedRateLimiter:
        return SharedRateLimiter(place, scope, windows or [WINDOW], **options)

    return limiter


def ahead(error: pytest.ExceptionInfo[RateLimitedError]) -> float:
    """The seconds until it may be had."""
    return error.value.until.timestamp() - time.time()


async def send(limiter: SharedRateLimiter, count: int, sent: list[Sent], weight: int = 1) -> None:
    for _ in range(count):
        sent.append(await permitted(limiter, weight))


async def test_two_limiters_never_exceed_the_window_together_and_use_all_of_it(limiter):
    sent: list[Sent] = []
    one, two = limiter(), limiter()
    began = time.monotonic()
    await asyncio.gather(*(send(each, 1, sent) for each in (one, two) for _ in range(20)))
    took = time.monotonic() - began
    assert most_in(sent, SECONDS) == WEIGHT
    # With half of it lost, six windows are waited for.
    assert 3 * SECONDS <= took < 6 * STRETCHED, "40 in windows of 12"
    assert one.stats()["permits"] == two.stats()["permits"] == 20


async def test_weights_and_several_windows_are_kept_together(limiter):
    windows = [(12, 0.5), (20, 1.5)]
    sent: list[Sent] = []
    floods = (send(limiter(*windows), 3, sent, weight) for weight in (1, 2, 5) for _ in range(2))
    await asyncio.gather(*floods)
    assert sum(one.weight for one in sent) == 48
    assert [most_in(sent, seconds) <= weight for weight, seconds in windows] == [True, True]


def test_scopes_do_not_disturb_each_other(limiter):
    one, two = limiter(LONG, scope="key one"), limiter(LONG, scope="key/two")
    assert one.least_seconds(WEIGHT) == two.least_seconds(WEIGHT) == 0
    assert max(one.acquire_sync() for _ in range(WEIGHT)) < LONG[1] / 2
    with pytest.raises(RateLimitedError):
        one.acquire_sync(max_wait=0)
    assert max(two.acquire_sync() for _ in range(WEIGHT)) < LONG[1] / 2


@pytest.mark.parametrize("other", [(13, 1.0), (12, 2.0)])
def test_other_windows_for_a_scope_are_a_conflict_that_names_both(other, limiter):
    one, two = limiter(), limiter(other)
    one.acquire_sync()
    said = rf"windows are 12/1s for others and {other[0]}/{other[1]:g}s here.*hint: give every worker the same"
    for _ in range(2):
        with pytest.raises(ConflictError, match=said):
            two.acquire_sync()
    assert one.acquire_sync() < SECONDS / 2


@two_places
def test_other_kinds_of_windows_are_told_apart(limiter):
    limiter().acquire_sync()
    with pytest.raises(ConflictError, match="fixed"):
        limiter((12, 1.0, "fixed")).acquire_sync()


@pytest.mark.parametrize("end", [Worker.kill, Worker.end])
def test_what_an_ended_process_has_spent_is_remembered(end, place, start):
    window = (12, 3.0)
    first, second = (start(place, "scope", [window]) for _ in range(2))
    second.call("stats")  # it is ready, and has not asked yet
    first.flood(window[0])
    until(lambda: len(first.sent) == window[0], "the window is full")
    end(first)
    with pytest.raises(RateLimitedError) as refused:
        second.call("acquire_sync", max_wait=0)
    ends = [first.sent[0].given / 1e9 + window[1], first.sent[0].at / 1e9 + window[1]]
    before, left = time.monotonic(), ahead(refused)
    assert before + left < ends[1] + 1
    assert ends[0] - 0.01 < time.monotonic() + left
    second.call("acquire_sync")
    assert ends[0] <= time.monotonic() < ends[1] + 2


def refusal_of(limiter: SharedRateLimiter) -> datetime | None:
    """Until when, where it is refused at once."""
    try:
        limiter.acquire_sync(max_wait=0)
    except RateLimitedError as error:
        return error.until
    return None


async def test_a_refusal_told_to_one_stops_all_and_then_one_goes_first(limiter):
    limiters = one, two = limiter((1000, 1.0)), limiter((1000, 1.0))
    for each in limiters:
        each.acquire_sync()
    end = datetime.now(timezone.utc) + timedelta(seconds=3)
    # The clock of the place is known as well as an answer of it is quick.
    near = lambda moment: abs((moment - end).total_seconds()) < 0.5  # noqa: E731
    one.report("throttled", end)
    with pytest.raises(RateLimitedError) as refused:
        one.acquire_sync(max_wait=0)
    assert near(refused.value.until), "itself at once"
    until(lambda: near(refusal_of(two) or end - timedelta(hours=1)), "the other one, as soon as it asks")
    assert near(two.stats()["blocked_until"])
    before = sum(each.stats()["permits"] for each in limiters)
    waiting = {asyncio.ensure_future(each.acquire()): each for each in limiters for _ in range(3)}
    done, _ = await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
    assert datetime.now(timezone.utc) >= end
    for each in limiters:
        assert refusal_of(each), "nobody else before its answer"
    assert (len(done), sum(each.stats()["permits"] for each in limiters)) == (1, before + 1)
    waiting[done.pop()].report("success")
    await asyncio.wait_for(asyncio.gather(*waiting), 10)


def test_live_goes_before_backfill_of_another_process(place, start):
    backfill, live = start(place, "scope", [WINDOW]), start(place, "scope", [WINDOW])
    live.call("least_seconds", 1)
    backfill.flood(30)
    until(lambda: len(backfill.sent) >= 2 * WEIGHT, "its second window")
    asked = time.monotonic()
    live.call("acquire_sync", priority="live")
    got = time.monotonic()
    # Of those that came before, not one window full is sent before it.
    assert len(after(backfill.sent, asked, got)) < WEIGHT


@two_places
def test_a_flood_starves_nobody(place, start):
    loops = [100, WEIGHT, WEIGHT, WEIGHT]
    workers = [start(place, "scope", [WINDOW]) for _ in loops]
    for worker, count in zip(workers, loops, strict=True):
        worker.begin("flood", count)
    until(lambda: all(worker.sent for worker in workers), "all take part")
    began = time.monotonic()
    until(lambda: len(after(start.sent, began)) >= 10 * WEIGHT, "ten windows")
    assert time.monotonic() - began < 14 * STRETCHED, "and the windows are used"
    sent = [len(after(worker.sent, began)) for worker in workers]
    assert all(0.4 <= 4 * part / sum(sent) <= 1.6 for part in sent), sent
    assert most_in(start.sent, SECONDS) <= WEIGHT


def test_what_is_free_is_had_at_once_and_told(limiter):
    one, two = limiter(LONG), limiter(LONG)
    stretched = LONG[1] + 0.25 + 0.5
    assert one.least_seconds(WEIGHT) == 0
    assert [one.try_acquire() for _ in range(WEIGHT)] == [True] * WEIGHT
    assert [one.try_acquire(), two.try_acquire()] == [False, False]
    assert 0 < two.least_seconds(1) <= stretched + 0.1
    assert stretched < two.least_seconds(WEIGHT + 1) <= 2 * stretched + 0.1
    window = {"seconds": LONG[1], "weight": WEIGHT, "most": WEIGHT, "used": WEIGHT}
    assert one.stats() == {
        **{"permits": WEIGHT, "weight": WEIGHT, "answered": 0, "refused": 0, "turned_away": 1, "waiting": 0},
        **{"waited_seconds": one.stats()["waited_seconds"], "rate": None, "blocked_until": None, "windows": [window]},
    }
    assert (two.stats()["permits"], two.stats()["windows"]) == (0, [window])
    with pytest.raises(InvalidError, match="never fits 12 in 30 s"):
        one.try_acquire(WEIGHT + 1)


def test_a_worker_that_closes_leaves_its_share_to_the_others(limiter):
    seconds = 3.0
    stretched = seconds + 0.15 + 0.3
    one, two = limiter((WEIGHT, seconds)), limiter((WEIGHT, seconds))
    one.acquire_sync()
    silent = time.monotonic()
    two.acquire_sync()
    quarantine = seconds + 2 * (0.15 + 0.3)
    until(lambda: time.monotonic() > silent + quarantine + 0.1, "it may be using its share alone by now")

    def had() -> int:
        """All that it gets. On a busy machine a permit may be too old before it is used: nobody has it then."""
        return sum(two.try_acquire() for _ in range(WEIGHT))

    half = WEIGHT // 2
    assert half - 2 <= had() <= half
    one.close()
    assert half - 2 <= had() <= half
    assert not two.try_acquire()
    assert one.acquire_sync() < 2 * stretched, "it may come back"


def test_eight_processes_make_the_place_at_once(place, start):
    workers = [start(place, "scope", [WINDOW]) for _ in range(8)]
    assert [worker.call("stats")["permits"] for worker in workers] == [0] * 8, "they are ready"
    for worker in workers:
        worker.begin("acquire_sync")
    assert max(worker.answer() for worker in workers) < 10
    assert len(json.loads(stored(place))["workers"]) == 8


def test_a_forked_child_is_another_worker(place):
    done = subprocess.run([sys.executable, PROGRAM, "fork", json.dumps([place, 40])], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    told = {word: int(count) for word, count in (line.split(" ") for line in done.stdout.splitlines())}
    assert told["child"] > 0, "what waits in the parent is not before it"
    # On a busy machine a permit may be too old before it is used: it is spent then, and nobody has it.
    assert 30 <= told["child"] + told["parent"] <= 40, "nothing that the parent was leased is spent twice"
    assert len(json.loads(stored(place))["workers"]) == 2


def test_a_forked_child_does_not_keep_a_lock_of_its_parent(tmp_path):
    command = [sys.executable, PROGRAM, "fork_often", json.dumps([str(tmp_path)])]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    took = [float(line.removeprefix("took ")) for line in done.stdout.splitlines()]
    assert len(took) == 10
    assert max(took) < 2


def test_a_database_as_pairs(database):
    for dsn in (f"{pairs(database)} password={PASSWORD}", database.replace("postgresql:", "postgres:")):
        assert SharedRateLimiter(dsn, "scope", [WINDOW]).try_acquire()
    assert SharedRateLimiter(pairs(database), "scope", [WINDOW], password=PASSWORD).stats()["permits"] == 0
    assert SharedRateLimiter(pairs(database), "scope", [WINDOW], password=PASSWORD).try_acquire()
    assert len(json.loads(stored(database))["workers"]) == 3


HIDDEN = "Geheim-7Q"


def use(place: str) -> None:
    limiter = SharedRateLimiter(place, "scope", [WINDOW])
    assert HIDDEN not in f"{limiter!r} {limiter.stats()}"
    limiter.acquire_sync()


def test_what_is_wrong_is_said_at_once_and_without_the_password(database):
    url = urlsplit(database)
    wrong = {
        url._replace(netloc=url.netloc.replace(PASSWORD, HIDDEN)).geturl(): "password authentication failed",
        f"{pairs(database)} password={HIDDEN}": "password authentication failed",
        url._replace(path="/no_such_database").geturl(): "create the database",
        f"{pairs(database)} password='{HIDDEN}": "cannot be read",
        f"postgresql://me:{HIDDEN}@host:port/name": "cannot be read",
        f"mysql://me:{HIDDEN}@host/name": "cannot be read",
    }
    drain_log()
    for place, said in wrong.items():
        began = time.monotonic()
        with pytest.raises(InvalidError, match=said) as raised:
            use(place)
        assert time.monotonic() - began < 3
        for hidden in (HIDDEN, PASSWORD):
            assert hidden not in f"{raised.value} {raised.value!r} {raised.value.hint}", place
    logged = [message for _, _, message in drain_log()]
    assert not [message for message in logged if HIDDEN in message]
