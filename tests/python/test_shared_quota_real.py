"""For real: processes that share an exchange's limit through PostgreSQL are never refused and leave nothing unused."""

from __future__ import annotations

import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from urllib.parse import urlsplit

import psycopg
import pytest

from checkpoint_processes import until
from conftest import START
from postgres_server import PostgresAddress
from quant_framework.ingestion.chunking import FixedChunkStrategy
from quant_framework.ingestion.rate_limit import SharedRateLimiter
from quant_framework.testing import Limits, OfflineExchange
from quota_child import Workers

PROCESSES, LOOPS = 4, 6
PERIOD = 60.0
WINDOWS = 2
"""Full ones, after the first burst."""
USED = 0.95
MOST_TRANSACTIONS = 10
"""A second and worker."""
PRICES = [(4, 1), (8, 2), (16, 5)]


@pytest.fixture
def start() -> Iterator[Workers]:
    with Workers() as workers:
        yield workers


@pytest.fixture
def second_database(postgres: PostgresAddress, database: str) -> Iterator[str]:
    name = f"{urlsplit(database).path[1:]}_b"
    yield postgres.database(name)
    postgres.drop(name)


def transactions(postgres: PostgresAddress, database: str) -> int:
    with psycopg.connect(postgres.dsn) as connection:
        query = "SELECT xact_commit FROM pg_stat_database WHERE datname = %s"
        return connection.execute(query, [urlsplit(database).path[1:]]).fetchone()[0]


def requests_of(exchange: OfflineExchange) -> list[tuple[int, str]]:
    """One of each price, or the one there is."""
    first = int(START.timestamp())

    def url(bars: int) -> str:
        query = f"symbols=BTCUSDT_PERP.A&interval=1min&from={first}&to={first + 60 * (bars - 1)}"
        return f"{exchange.url}/ohlcv-history?{query}"

    return [(weight, url(bars)) for bars, weight in exchange.limits.prices or [(4, 1)]]


def accepted(exchange: OfflineExchange) -> int:
    return exchange.usage()[0]["accepted"]


def use_up(exchange: OfflineExchange, database: str, postgres: PostgresAddress) -> dict[str, float]:
    """Four processes ask for all they can get until ``WINDOWS`` after the first are used up, or it is too late."""
    (window,) = exchange.limits.windows
    goal = (1 + WINDOWS) * window.weight
    with Workers() as start:
        workers = [start(database, "exchange:key", [window[:2]]) for _ in range(PROCESSES)]
        for worker in workers:
            worker.call("stats")  # it is ready
        before = transactions(postgres, database)
        for worker in workers:
            worker.begin("flood", LOOPS, requests=requests_of(exchange))
        until(lambda: start.sent, "the first request")
        first = start.sent[0].at / 1e9
        late = first + WINDOWS * PERIOD / USED
        until(lambda: accepted(exchange) >= goal or time.monotonic() > late, "the last window", 2 * WINDOWS * PERIOD)
        took, used = time.monotonic() - first, accepted(exchange) / goal
        for worker in workers:
            worker.answer()
            worker.call("rest")
            worker.end()
        assert [worker.failed for worker in workers] == [[]] * PROCESSES
        made = transactions(postgres, database) - before
        shares = [sum(sent.weight for sent in worker.sent) for worker in workers]
    return {"seconds": took, "used": used, "transactions": made / PROCESSES / took, "shares": shares}


def test_the_limit_is_used_up_and_nobody_is_refused(postgres, database, second_database, record_property):
    limits = {"slow": Limits((40, PERIOD)), "fast": Limits((1200, PERIOD), prices=PRICES)}
    with (
        OfflineExchange(limit=limits["slow"]) as slow,
        OfflineExchange(limit=limits["fast"]) as fast,
        ThreadPoolExecutor(2) as both,
    ):
        running = [
            both.submit(use_up, exchange, place, postgres)
            for exchange, place in [(slow, database), (fast, second_database)]
        ]
        measured = [each.result() for each in running]
        for exchange, found in zip((slow, fast), measured, strict=True):
            (usage,) = exchange.usage()
            found |= {"peak": usage["peak"], "accepted": usage["accepted"]}
            record_property(f"limit {usage['weight']}", found)
            print(found)
            assert set(exchange.stats()) == {"requests", "weight", "200"}, "not one refusal"
            assert usage["peak"] <= usage["weight"]
            assert found["used"] >= USED
            assert found["transactions"] < MOST_TRANSACTIONS
            assert min(found["shares"]) > usage["accepted"] / PROCESSES / 4
        assert {entry["weight"] for entry in fast.ledger} == {1, 2, 5}


async def test_a_backfill_takes_as_long_as_its_quota_and_its_plan_says_so(make, database, context, record_property):
    weight, seconds = limit = (40, 10.0)
    chunks = 160
    bound = (chunks // weight - 1) * (seconds + 0.25 + 0.5)
    with OfflineExchange(limit=limit) as exchange:
        workflow = make(
            exchange,
            rate_limiter=SharedRateLimiter(database, "exchange:key", [limit]),
            chunk_strategy=FixedChunkStrategy(2),
            end=START + timedelta(hours=2 * chunks),
        )
        plan = await workflow.plan(context)
        result = await workflow.execute(context)
        stats, (usage,) = exchange.stats(), exchange.usage()
    print(plan, result["duration_seconds"], usage)
    record_property("backfill", {"least": plan["least_seconds"], "took": result["duration_seconds"], **usage})
    assert (result["status"], result["chunks_done"], plan["requests"]) == ("success", chunks, chunks)
    assert stats == {"requests": chunks, "weight": chunks, "200": chunks}, "not one refusal"
    assert usage["peak"] <= weight
    assert bound <= result["duration_seconds"] <= 1.05 * bound
    assert abs(plan["least_seconds"] / result["duration_seconds"] - 1) <= 0.05
