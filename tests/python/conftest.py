"""Fixtures shared by all tests: an exchange, parts, real servers, recorded data."""

from __future__ import annotations

import itertools
import os
from collections.abc import Iterator
from datetime import datetime, timezone
from pathlib import Path

import pytest

from postgres_server import Postgres, PostgresAddress
from quant_framework.ingestion.adapters import CoinalyzeAdapter
from quant_framework.ingestion.backfill import LocalCheckpointStore
from quant_framework.ingestion.rate_limit import AdaptiveRateLimiter
from quant_framework.ingestion.writers import BronzeWriter
from quant_framework.orchestration.workflows import BackfillWorkflow
from quant_framework.testing import OfflineExchange
from servers import S3Address, SeaweedS3

pytest_plugins = ["pytester"]

SHARED = Path(os.environ.get("QF_SHARED") or Path(__file__).resolve().parents[3] / "shared")
START = datetime(2026, 1, 5, tzinfo=timezone.utc)
END = datetime(2026, 1, 19, tzinfo=timezone.utc)
DATABASES = itertools.count(1)


class Context:
    """The least that a workflow needs."""

    def __init__(self, **state: object) -> None:
        self.state = state

    def get_state(self, key: str, task_id: str | None = None) -> object:
        return self.state.get(key)

    def set_state(self, key: str, value: object) -> None:
        self.state[key] = value


@pytest.fixture
def context() -> Context:
    return Context()


@pytest.fixture
def exchange():
    with OfflineExchange(limit=None) as exchange:
        yield exchange


@pytest.fixture(scope="session")
def recorded_folder() -> Path:
    folder = SHARED / "data" / "candles"
    if not folder.is_dir():
        pytest.skip("the recorded candles are not beside this checkout (set QF_SHARED)")
    return folder


@pytest.fixture(scope="session")
def s3() -> Iterator[S3Address | SeaweedS3]:
    """The server of ``with_servers.py``, which other processes use too, or one of this session."""
    if endpoint := os.environ.get("QF_TEST_S3"):
        yield S3Address(endpoint, os.environ["QF_TEST_S3_ACCESS"], os.environ["QF_TEST_S3_SECRET"])
        return
    with SeaweedS3() as server:
        yield server


@pytest.fixture(scope="session")
def postgres() -> Iterator[PostgresAddress]:
    """As ``s3``: shared, so a test that stops or restarts its server starts a ``Postgres`` of its own."""
    if dsn := os.environ.get("QF_TEST_POSTGRES"):
        yield PostgresAddress(dsn)
        return
    with Postgres() as server:
        yield server


@pytest.fixture
def database(postgres: PostgresAddress) -> Iterator[str]:
    """The address of a fresh database, gone after the test; the name is of this process alone."""
    worker = os.environ.get("PYTEST_XDIST_WORKER", "main")
    name = f"test_{worker}_{os.getpid()}_{next(DATABASES)}"
    yield postgres.database(name)
    postgres.drop(name)


@pytest.fixture
def make(tmp_path: Path):
    """A function that builds a backfill of one exchange into ``tmp_path``; keywords override."""

    def make(exchange: OfflineExchange, **options: object) -> BackfillWorkflow:
        retention = options.pop("retention", None)
        defaults = {
            "adapter": CoinalyzeAdapter(api_key="offline", base_url=exchange.url, retention=retention),
            "writer": BronzeWriter((tmp_path / "lake").as_uri()),
            "checkpoint_store": LocalCheckpointStore(tmp_path / "checkpoints"),
            "rate_limiter": AdaptiveRateLimiter(10_000, 10_000, 1),
            "symbols": ["BTCUSDT_PERP.A"],
            "timeframes": ["1h"],
            "start": START,
            "end": END,
        }
        return BackfillWorkflow(**(defaults | options))

    return make
