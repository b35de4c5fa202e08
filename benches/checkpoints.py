"""What a commit costs, side by side with boto3 and asyncpg, against real servers that this script starts.

``python benches/checkpoints.py [--rounds 5]`` in an environment with the optimised extension, ``boto3``, ``asyncpg``
and the test servers' wheels; ``cargo bench --profile dist --bench stores --no-run`` must have built the Rust half.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta, timezone
from pathlib import Path

import asyncpg
import boto3
from botocore.config import Config

from quant_framework.ingestion.backfill import MinIOCheckpointStore

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT / "tests" / "python"))

from postgres_server import Postgres  # noqa: E402
from servers import SeaweedS3  # noqa: E402

COMMITS, FACTS, GROUP, BODY = 500, 6400, 64, 1500
RUN = "quant_framework, commits of a run, 8 series at once"
START = datetime(2024, 1, 1, tzinfo=timezone.utc)
MINUTE = timedelta(minutes=1)


def cpu() -> float:
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime


def timed(work: Callable[[], None], count: int) -> tuple[float, float]:
    """Calls per second, and microseconds of this process's CPU per call."""
    used, began = cpu(), time.perf_counter()
    work()
    return count / (time.perf_counter() - began), (cpu() - used) / count * 1e6


def s3_cases(s3: SeaweedS3) -> dict[str, Callable[[], None]]:
    keys = {"aws_access_key_id": s3.access_key, "aws_secret_access_key": s3.secret_key, "region_name": s3.region}
    client = boto3.client("s3", endpoint_url=s3.endpoint, config=Config(max_pool_connections=16), **keys)
    client.create_bucket(Bucket="bench")
    store = MinIOCheckpointStore("bench", "ck", s3.endpoint, s3.access_key, s3.secret_key, s3.region)
    body, minute = os.urandom(BODY), iter(range(10**9))

    def put() -> None:
        for number in range(COMMITS):
            client.put_object(Bucket="bench", Key=f"m/{number}", Body=body)

    def commit() -> None:
        for _ in range(COMMITS):
            number = next(minute)
            at = START + number * MINUTE
            store.commit_sync(f"bench/ohlcv/S{number % 8}/1m", data=[(at, at + MINUTE)])

    def put_in_threads() -> None:
        with ThreadPoolExecutor(8) as pool:
            list(pool.map(lambda n: client.put_object(Bucket="bench", Key=f"m/{n}", Body=body), range(COMMITS)))

    async def commits() -> None:
        for _ in range(COMMITS // 8):
            numbers = [next(minute) for _ in range(8)]
            spans = [(number % 8, START + number * MINUTE) for number in numbers]
            await asyncio.gather(*(store.commit(f"bench/ohlcv/A{n}/1m", data=[(at, at + MINUTE)]) for n, at in spans))

    commit()
    return {
        "boto3, put_object alone": put,
        "quant_framework, commit": commit,
        "boto3, put_object alone, 8 threads": put_in_threads,
        "quant_framework, commit, 8 series at once": lambda: asyncio.run(commits()),
    }


def asyncpg_cases(dsn: str) -> dict[str, Callable[[], None]]:
    table = "CREATE TABLE IF NOT EXISTS ck (chunk text PRIMARY KEY, state text, updated timestamptz DEFAULT now())"
    tail = "ON CONFLICT (chunk) DO UPDATE SET state = excluded.state, updated = now()"
    state = '{"done": "2024-01-05", "rows": 1440}'
    chunks = [f"c{number % 1000}" for number in range(FACTS)]

    async def unnest() -> None:
        connection = await asyncpg.connect(dsn)
        await connection.execute(table)
        upsert = f"INSERT INTO ck (chunk, state) SELECT x, $2 FROM unnest($1::text[]) x {tail}"
        statement = await connection.prepare(upsert)
        for at in range(0, FACTS, GROUP):
            await statement.fetch(chunks[at : at + GROUP], state)
        await connection.close()

    async def many() -> None:
        connection = await asyncpg.connect(dsn)
        await connection.execute(table)
        for at in range(0, FACTS, GROUP):
            rows = [(chunk, state) for chunk in chunks[at : at + GROUP]]
            await connection.executemany(f"INSERT INTO ck (chunk, state) VALUES ($1, $2) {tail}", rows)
        await connection.close()

    return {
        "asyncpg, one unnest statement per 64 facts": lambda: asyncio.run(unnest()),
        "asyncpg, executemany of 64 facts": lambda: asyncio.run(many()),
    }


def binary() -> Path:
    """The newest build of ``benches/stores.rs``."""
    folder = Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target")) / "dist" / "deps"
    built = [path for path in folder.glob("stores-*") if not path.suffix]
    return max(built, key=lambda path: path.stat().st_mtime)


def rust(*arguments: str, **variables: str) -> list[list[str]]:
    done = subprocess.run(
        [binary(), *arguments], env=os.environ | variables, capture_output=True, text=True, check=True
    )
    return [line.split("\t") for line in done.stdout.splitlines()]


def s3_variables(s3: SeaweedS3) -> dict[str, str]:
    keys = {"AWS_ACCESS_KEY_ID": s3.access_key, "AWS_SECRET_ACCESS_KEY": s3.secret_key}
    return {"AWS_ENDPOINT_URL": s3.endpoint, **keys}


def show(head: str, rows: dict[str, list[float]], shape: str = "{:,.0f}") -> None:
    print(f"\n| {head} | median | least | most |\n|---|---|---|---|")
    for name, values in rows.items():
        print(f"| {name} | {' | '.join(shape.format(f(values)) for f in (statistics.median, min, max))} |")


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--rounds", type=int, default=5)
    rounds = options.parse_args().rounds
    with SeaweedS3() as s3, Postgres(durable=True) as postgres:
        rates: dict[str, list[float]] = {}
        costs: dict[str, list[float]] = {}
        facts: dict[str, list[float]] = {}
        cases, peers = s3_cases(s3), asyncpg_cases(postgres.dsn)
        for _ in range(rounds):
            for name, work in cases.items():
                rate, cost = timed(work, COMMITS)
                rates.setdefault(name, []).append(rate)
                costs.setdefault(name, []).append(cost)
            ((rate, cost),) = rust("s3", **s3_variables(s3))
            rates.setdefault(RUN, []).append(float(rate))
            costs.setdefault(RUN, []).append(float(cost))
            for name, work in peers.items():
                facts.setdefault(name, []).append(timed(work, FACTS)[0])
            for name, rate in rust("pg", postgres.dsn):
                facts.setdefault(name, []).append(float(rate))
        show("S3: commits per second", rates)
        show("S3: microseconds of client CPU per commit", costs)
        show("PostgreSQL, every commit synced: facts per second", facts)
        print("\n| coverage of 100,000 ranges | load, ms | merge with another, ms |\n|---|---|---|")
        for name, load, merge in rust("huge", postgres.dsn, **s3_variables(s3)):
            print(f"| {name} | {load} | {merge} |")


if __name__ == "__main__":
    main()
