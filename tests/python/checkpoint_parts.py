"""Fixtures: an exchange with a whole series and one with holes, backfills of both, and a pooler."""

from __future__ import annotations

import csv
from datetime import timedelta

import pytest

from checkpoint_places import HOURS, START
from postgres_server import PgBouncer
from quant_framework.ingestion.chunking import FixedChunkStrategy
from quant_framework.testing import OfflineExchange

# Inside chunks, across their borders at each 48th hour, and at both ends.
HOLES = {0, 7, 8, 9, *range(45, 51), 96, 100, 143, HOURS - 1}


@pytest.fixture
def market(tmp_path):
    """An exchange with a whole series and one with holes."""
    for name, holes in (("WHOLE", set()), ("HOLED", HOLES)):
        (tmp_path / "recorded").mkdir(exist_ok=True)
        with (tmp_path / "recorded" / f"{name}_1h.csv").open("w", newline="") as file:
            rows = csv.writer(file)
            rows.writerow(["ts_ms", "open", "high", "low", "close", "volume"])
            for hour in sorted(set(range(HOURS)) - holes):
                at = START + timedelta(hours=hour)
                rows.writerow([int(at.timestamp() * 1000), 2.0, 3.0, 1.0, 2.5, 7.0])
    with OfflineExchange(recorded=tmp_path / "recorded", limit=None) as exchange:
        yield exchange


@pytest.fixture
def run(market, make, context):
    """Runs the backfill of both series into a store; its result and the requests that it made."""

    async def run(store) -> tuple[dict, int]:
        market.reset()
        job = {"symbols": ["WHOLE.R", "HOLED.R"], "chunk_strategy": FixedChunkStrategy(48)}
        result = await make(market, checkpoint_store=store, **job).execute(context)
        return result, market.stats()["requests"]

    return run


@pytest.fixture
def lake(make, market):
    return make(market).writer


@pytest.fixture
def lake_url(tmp_path):
    return (tmp_path / "lake").as_uri()


@pytest.fixture
def asks_nothing(run):
    """Asserts that the next run into a store finds everything there."""

    async def asks_nothing(store) -> None:
        result, requests = await run(store)
        assert (result["status"], requests) == ("success", 0), result["errors"]

    return asks_nothing


@pytest.fixture(scope="session")
def pooler(postgres):
    """In front of the tests' database server."""
    if not PgBouncer.available():
        pytest.skip("no pgbouncer on the PATH (Debian's package pgbouncer)")
    with PgBouncer(postgres) as server:
        yield server
