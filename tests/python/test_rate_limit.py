"""The limiter through Python: how much is permitted when, to whom first, and what it says."""

from __future__ import annotations

import asyncio
import pickle
import signal
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta, timezone

import pytest

from quant_framework.errors import InvalidError, RateLimitedError
from quant_framework.ingestion.rate_limit import PRESETS, AdaptiveRateLimiter, CoinalyzeRateLimiter, preset
from quant_framework.testing import Fault

SEED = {"base_rate": 10, "max_rate": 50, "min_rate": 1, "backoff_factor": 2}


def limiter(weight: int = 8, seconds: float = 60.0, **options: object) -> AdaptiveRateLimiter:
    """One window, and a pace that nobody notices."""
    return AdaptiveRateLimiter(1000, 1000, windows=[(weight, seconds)], burst=1000, **options)


def now() -> datetime:
    return datetime.now(timezone.utc)


def left(refusal: RateLimitedError) -> float:
    assert refusal.until.utcoffset() == timedelta(0)
    return (refusal.until - now()).total_seconds()


async def line_up(limiter: AdaptiveRateLimiter, *asks: dict) -> list[asyncio.Future]:
    """Those that wait, one after the other."""
    waiting = []
    for ask in asks:
        waiting.append(asyncio.ensure_future(limiter.acquire(**ask)))
        await waits(limiter, len(waiting))
    return waiting


async def waits(limiter: AdaptiveRateLimiter, count: int) -> None:
    deadline = time.monotonic() + 10
    while limiter.stats()["waiting"] != count:
        assert time.monotonic() < deadline
        await asyncio.sleep(0.002)


def test_the_limiter_of_the_seed_has_the_documented_window_on_top():
    for made in (CoinalyzeRateLimiter(**SEED), CoinalyzeRateLimiter(10, 50, 1, 2), CoinalyzeRateLimiter()):
        assert made.stats()["windows"] == [{"seconds": 60.0, "weight": 40, "most": 40, "used": 0}]
        assert made.stats()["rate"] == 10
        made.report("throttled", now() + timedelta(seconds=9))
        assert made.stats()["rate"] == 5
    other = CoinalyzeRateLimiter(**SEED, windows=[(8, 1.0), (100, 60, "fixed")], share=0.5).stats()["windows"]
    assert [(window["seconds"], window["most"]) for window in other] == [(1.0, 4), (60.0, 50)]


def test_documented_limits_are_at_hand():
    for source in ("coinalyze", "binance", "binanceusdm", "bybit", "okx"):
        windows = preset(source).stats()["windows"]
        assert [(w["most"], w["seconds"]) for w in windows] == [w[:2] for w in PRESETS[source]["windows"]]
    assert preset("coinalyze", share=0.25).stats()["windows"][0]["most"] == 10
    assert preset("nobody knows it").stats()["windows"] == []
    assert preset("okx", windows=[(1, 2.0)], base_rate=9).stats()["rate"] == 9


@pytest.mark.parametrize("shared", [False, True])
async def test_what_needs_no_wait_is_had_without_one_and_is_spent_whoever_asks(shared, tmp_path):
    """A shared limiter asked its place, and then was too late by a microsecond."""
    budget = limiter(10, **({"place": tmp_path.as_uri(), "scope": "scope"} if shared else {}))
    assert [budget.try_acquire(2), budget.try_acquire(9), budget.try_acquire()] == [True, False, True]
    assert budget.acquire_sync(3, max_wait=0) + await budget.acquire(4, max_wait=0) < 5
    assert not budget.try_acquire()
    assert (budget.stats()["permits"], budget.stats()["windows"][0]["used"]) == (4, 10)


async def test_nobody_overtakes_one_who_waits_and_a_cancelled_one_gives_its_place_back():
    budget = limiter(4)
    budget.acquire_sync(2)
    (greedy,) = await line_up(budget, {"weight": 4})
    assert not budget.try_acquire(2), "there is room for it, but it is not its turn"
    greedy.cancel()
    await waits(budget, 0)
    assert budget.try_acquire(2), "nothing was spent for the one that went"
    with pytest.raises(asyncio.TimeoutError):
        await asyncio.wait_for(budget.acquire(), 0.05)
    await waits(budget, 0)
    assert budget.stats()["weight"] == 4


async def test_a_wait_that_would_be_too_long_is_refused_at_once_with_its_end():
    budget, began = limiter(2), time.monotonic()
    budget.acquire_sync(2)
    with pytest.raises(RateLimitedError) as refused:
        budget.acquire_sync(max_wait=50)
    await line_up(budget, {"weight": 2})
    with pytest.raises(RateLimitedError) as later:
        await budget.acquire(max_wait=80)
    assert time.monotonic() - began < 5
    assert 55 < left(refused.value) < 60.5
    assert 115 < left(later.value) < 121, "two windows, because another one waits"
    again = pickle.loads(pickle.dumps(refused.value))
    assert (again.until, str(again)) == (refused.value.until, str(refused.value))
    assert budget.stats()["turned_away"] == 2


@pytest.mark.parametrize("shared", [False, True])
def test_the_pace_counts_as_a_wait_too(shared, tmp_path):
    """A wait for the pacer was not part of ``max_wait``, and its refusal said "until now"."""
    place = {"place": tmp_path.as_uri(), "scope": "slow"} if shared else {}
    slow = AdaptiveRateLimiter(0.2, 0.2, 0.2, windows=[(8, 1.0)], **place)
    slow.acquire_sync(max_wait=1)
    began = time.monotonic()
    with pytest.raises(RateLimitedError) as refused:
        slow.acquire_sync(max_wait=0.5)
    assert time.monotonic() - began < 2
    assert 3 < left(refused.value) < 5.1


async def test_a_weight_that_never_fits_is_wrong_whatever_is_spent():
    budget = limiter(8)
    for ask in (budget.acquire_sync, budget.acquire, budget.try_acquire):
        with pytest.raises(InvalidError, match="weight 9 never fits 8 in 60 s"):
            ask(9)
    with pytest.raises(InvalidError, match="weight 5 never fits 4 in 60 s"):
        limiter(8, share=0.5).acquire_sync(5)


NAN, PLACE = float("nan"), {"windows": [(8, 1.0)], "scope": "scope", "place": "/folder"}
SIZES = [(0, 1), (-1, 1), (8, 0), (8, -1), (1.5, 1), (8, NAN), (8, 1e300), ("8", "1")]
SHAPES = [8, (8,), (8, 1, "daily"), (8, 1, "fixed", 2)]
RATES = "rates must be 0 < min_rate <= base_rate <= max_rate"
WRONG = {
    RATES: [{"base_rate": 0.5}, {"base_rate": 60}, {"base_rate": NAN}, {"min_rate": 0}],
    "burst must be at least 1": [{"burst": 0}, {"burst": -1}],
    "backoff_factor must be above 1": [{"backoff_factor": 1}, {"base_rate": None, "backoff_factor": 0.5}],
    "must be .weight, seconds. or": [{"windows": (40, 60.0)}, *({"windows": [window]} for window in SIZES + SHAPES)],
    "share must be above 0 and at most 1": [{"share": share} for share in (0, -1, 2, NAN)],
    "slack must be at least 0 seconds": [{"slack": -1}, {"slack": NAN}],
    "needs a scope": [PLACE | {"scope": None}],
    "needs windows": [PLACE | {"windows": []}],
    "scope must have 1 to 200": [PLACE | {"scope": scope} for scope in ("", "a\nb", "a" * 201)],
    "must be postgresql://": [PLACE | {"place": place} for place in ("", "folder", "ftp://quant:geheim@host/x")],
    "DSN": [PLACE | {"place": f"{place} password=geheim"} for place in ("postgresql://u:geheim@h:p/n", "dsn:port=no")],
}


@pytest.mark.parametrize(("says", "options"), [(says, options) for says in WRONG for options in WRONG[says]])
def test_what_makes_no_sense_is_one_line(says, options):
    with pytest.raises(InvalidError, match=says) as wrong:
        AdaptiveRateLimiter(**(SEED | options))
    assert "\n" not in str(wrong.value)
    assert "geheim" not in str(wrong.value)


@pytest.mark.parametrize("ask", [{"weight": 0}, {"weight": -1}, {"max_wait": -1}, {"max_wait": NAN}, {"priority": "x"}])
async def test_a_wrong_wish_costs_nothing(ask):
    budget = limiter()
    with pytest.raises(InvalidError, match=f"{next(iter(ask))} must be "):
        await budget.acquire(**ask)
    for event, until in (("seldom", None), ("throttled", datetime(2026, 1, 1)), ("throttled", "2026-01-01")):
        with pytest.raises(InvalidError, match=r"event must be|until must be an aware datetime"):
            budget.report(event, until)
    assert (budget.stats()["permits"], budget.stats()["refused"]) == (0, 0)


async def test_a_refusal_stops_everybody_until_its_end_and_one_goes_first():
    budget, soon = limiter(), timedelta(milliseconds=100)
    until = (now() + timedelta(seconds=2)).astimezone(timezone(timedelta(hours=2)))
    budget.report("throttled", until)
    assert (abs(budget.stats()["blocked_until"] - until) < soon, budget.try_acquire()) == (True, False)
    with pytest.raises(RateLimitedError) as refused:
        budget.acquire_sync(max_wait=0.1)
    assert abs(refused.value.until - until) < soon
    asked = time.monotonic()
    first, *others = await line_up(budget, {}, {}, {})
    assert 0.1 < await first <= time.monotonic() - asked
    assert now() >= until
    assert (budget.stats()["waiting"], budget.stats()["permits"]) == (2, 1), "the first is still on its way"
    assert budget.stats()["blocked_until"] is None
    budget.report("success")
    await asyncio.wait_for(asyncio.gather(*others), 5)
    assert (budget.stats()["answered"], budget.stats()["refused"]) == (1, 1)


def test_eight_refusals_of_requests_that_were_under_way_together_are_one_burst():
    """Every report without an epoch began a burst: the rate fell from 10 to 1 at once."""
    budget = CoinalyzeRateLimiter(**SEED, burst=8)
    assert all(budget.try_acquire() for _ in range(8))
    for _ in range(8):
        budget.report("throttled", now() + timedelta(seconds=5))
    assert (budget.stats()["refused"], budget.stats()["rate"]) == (8, 5)


def test_stats_tell_what_happened():
    budget = limiter(2, 0.2)
    counts = dict.fromkeys(("permits", "weight", "answered", "refused", "turned_away", "waiting"), 0)
    window = {"seconds": 0.2, "weight": 2, "most": 2, "used": 0}
    rest = {"waited_seconds": 0.0, "rate": 1000.0, "blocked_until": None, "windows": [window]}
    assert budget.stats() == counts | rest
    began = time.monotonic()
    waited = budget.acquire_sync(2) + budget.acquire_sync(2)
    assert time.monotonic() - began >= 0.2
    assert 0 < waited <= time.monotonic() - began, "what passed before the second one asked is not waited for"
    assert [budget.stats()[name] for name in ("permits", "weight")] == [2, 4]
    assert budget.stats()["waited_seconds"] == pytest.approx(waited, abs=1e-3)
    budget.close()
    assert budget.acquire_sync() > 0, "closed is not over"
    assert (AdaptiveRateLimiter().stats()["windows"], AdaptiveRateLimiter(None).stats()["rate"]) == ([], None)


def test_a_part_of_the_window_and_a_window_of_which_nothing_is_known():
    budget = limiter(9, share=0.5)
    assert [budget.try_acquire() for _ in range(5)] == [True] * 4 + [False]
    assert [limiter(1, share=0.1).try_acquire(), limiter(8, share=1.0).try_acquire(8)] == [True, True]
    began = time.monotonic()
    unknown = limiter(8, 1.0, assume_full=True)
    assert (unknown.try_acquire(), unknown.stats()["windows"][0]["used"]) == (False, 8)
    assert unknown.acquire_sync(8) > 0
    assert time.monotonic() - began >= 1


async def test_acquire_is_an_awaitable_whether_it_waits_or_not():
    for budget in (limiter(20), limiter(20, 0.1, assume_full=True)):
        assert await asyncio.gather(*(budget.acquire() for _ in range(3))) >= [0.0] * 3
        assert await asyncio.wait_for(budget.acquire(), 5) >= 0
        assert await asyncio.shield(budget.acquire()) >= 0
        assert (await asyncio.wait([asyncio.ensure_future(budget.acquire())], timeout=5))[0]
        assert budget.stats()["permits"] == 6


async def test_first_come_first_served_and_live_before_that():
    budget, order = AdaptiveRateLimiter(100, 100, 100), []
    budget.report("throttled", now())
    await budget.acquire()  # the others wait for its answer
    asks = [{"priority": "backfill" if number < 50 else "live"} for number in range(55)]
    for number, future in enumerate(waiting := await line_up(budget, *asks)):
        future.add_done_callback(lambda _, number=number: order.append(number))
    budget.report("success")
    await asyncio.wait_for(asyncio.gather(*waiting), 10)
    assert order == [*range(50, 55), *range(50)]


def test_a_signal_ends_a_blocking_wait_at_once_and_gives_its_place_back():
    budget = limiter(1)
    budget.acquire_sync()
    before, began = signal.signal(signal.SIGINT, signal.default_int_handler), time.monotonic()
    kill = threading.Timer(0.1, signal.pthread_kill, (threading.get_ident(), signal.SIGINT))
    kill.start()
    try:
        with pytest.raises(KeyboardInterrupt):
            budget.acquire_sync(max_wait=70)
    finally:
        kill.join()
        signal.signal(signal.SIGINT, before)
    assert time.monotonic() - began < 30
    assert (budget.stats()["waiting"], budget.stats()["permits"]) == (0, 1)


@pytest.mark.parametrize("kind", ["rolling", "fixed"])
def test_four_threads_together_never_exceed_a_window_and_waste_none(kind):
    weight, seconds, slack = 8, 1.0, 0.4
    budget = AdaptiveRateLimiter(1000, 1000, windows=[(weight, seconds, kind), (100, 60)], slack=slack)
    clock = time.monotonic if kind == "rolling" else time.time

    def send(_: int) -> float:
        # A busy machine may let this thread sleep between its permit and the look at the clock: ``slack`` of it.
        budget.acquire_sync()
        return clock()

    with ThreadPoolExecutor(4) as threads:
        sent = sorted(threads.map(send, range(3 * weight)))
    starts = sent if kind == "rolling" else [at // seconds * seconds for at in sent]
    assert max(sum(start <= at < start + seconds for at in sent) for start in starts) <= weight
    assert sent[-1] - sent[0] < 2 * (seconds + slack) + 0.9 * seconds, "a wasted window is one more"


async def test_a_subclass_that_has_its_own_acquire_is_asked(exchange, make, context):
    class Counting(CoinalyzeRateLimiter):
        async def acquire(self, weight: int = 1) -> float:
            asked.append(weight)
            return await super().acquire(weight)

    asked, counting = [], Counting(1000, 1000)
    result = await make(exchange, rate_limiter=counting).execute(context)
    assert (result["status"], asked, counting.stats()["answered"]) == ("success", [1, 1], 2)


async def test_a_limiter_of_an_author_is_told_what_the_source_answered(exchange, make, context):
    class Own:
        def acquire(self, weight: int = 1) -> None:
            return None

        def report(self, event: str, until: datetime | None) -> None:
            told.append((event, until and (until - now()).total_seconds()))

    told = []
    exchange.inject(Fault("429", times=1, value=7))
    exchange.inject(Fault("429", times=1))
    assert (await make(exchange, rate_limiter=Own(), concurrency=1).execute(context))["status"] == "success"
    assert [event for event, _ in told] == ["throttled", "throttled", "success", "success"]
    assert [seconds and 5 < seconds <= 7 for _, seconds in told] == [True, None, None, None]
