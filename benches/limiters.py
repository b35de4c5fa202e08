"""Nanoseconds per permit that needs no waiting, one call after the other, beside other limiters of Python.

First ``pip install aiolimiter pyrate-limiter throttled-py`` and ``make build-dist``. The argument: how many calls.
Every limiter has one window (or its own kind of limit) that is never reached; 7 rounds in turn, medians.
"""

from __future__ import annotations

import asyncio
import statistics
import sys
import time
from collections.abc import Callable
from importlib.metadata import version

import throttled.asyncio
from aiolimiter import AsyncLimiter
from pyrate_limiter import Duration, Limiter, Rate
from throttled import MemoryStore, Throttled, per_sec

from quant_framework.ingestion.rate_limit import AdaptiveRateLimiter

ROUNDS = 7
MOST = 10**9


def ours() -> AdaptiveRateLimiter:
    """A window and a pace."""
    return AdaptiveRateLimiter(base_rate=4e9, max_rate=4e9, min_rate=1, windows=[(MOST, 60.0)], burst=MOST)


def of_sync(acquire: Callable[[], object]) -> Callable[[int], None]:
    """Calls in a loop."""

    def run(calls: int) -> None:
        for _ in range(calls):
            acquire()

    return run


def of_async(make: Callable[[], Callable[[], object]]) -> Callable[[int], None]:
    """Awaits in a loop, in an event loop of its own."""

    def run(calls: int) -> None:
        async def go() -> None:
            acquire = make()
            for _ in range(calls):
                await acquire()

        asyncio.run(go())

    return run


def candidates() -> dict[str, Callable[[int], None]]:
    """Name to a function of the number of calls."""
    own = ours()
    pyrate = Limiter(Rate(MOST, Duration.SECOND))
    gcra = Throttled(key="k", using="gcra", quota=per_sec(MOST, burst=MOST), store=MemoryStore())

    def throttled_async() -> Callable[[], object]:
        quota = throttled.asyncio.per_sec(MOST, burst=MOST)
        store = throttled.asyncio.MemoryStore()
        return throttled.asyncio.Throttled(key="k", using="gcra", quota=quota, store=store).limit

    return {
        "quant_framework acquire_sync": of_sync(own.acquire_sync),
        "quant_framework try_acquire": of_sync(own.try_acquire),
        "quant_framework await acquire": of_async(lambda: ours().acquire),
        f"aiolimiter {version('aiolimiter')} await acquire": of_async(lambda: AsyncLimiter(MOST, 1).acquire),
        f"pyrate-limiter {version('pyrate-limiter')} try_acquire": of_sync(lambda: pyrate.try_acquire("k")),
        f"throttled-py {version('throttled-py')} limit (gcra)": of_sync(gcra.limit),
        "throttled-py await limit (gcra)": of_async(throttled_async),
    }


def main() -> None:
    """Print a table."""
    calls = int(sys.argv[1]) if len(sys.argv) > 1 else 100_000
    known = candidates()
    times: dict[str, list[float]] = {name: [] for name in known}
    for run in known.values():
        run(1000)
    for _ in range(ROUNDS):
        for name, run in known.items():
            start = time.perf_counter()
            run(calls)
            times[name].append((time.perf_counter() - start) / calls * 1e9)
    print(f"| {calls:,} calls, {ROUNDS} rounds | ns per permit (median) | least - most |\n|---|---|---|")
    for name, found in times.items():
        print(f"| {name} | {statistics.median(found):,.0f} | {min(found):,.0f} - {max(found):,.0f} |")


if __name__ == "__main__":
    main()
