"""Fixtures shared by all tests: an exchange, parts, real servers, recorded data."""

from __future__ import annotations

import itertools
import json
import os
import time
from collections.abc import Iterator
from datetime import datetime, timezone
from pathlib import Path

import pytest
from pyarrow.fs import S3FileSystem

from airflow_instance import LiveAirflow
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
# What programs print is compared: no colours, and tables of pandas as wide as without a terminal.
for name in ("FORCE_COLOR", "COLUMNS", "LINES"):
    os.environ.pop(name, None)
LEFT_OF_THE_HOUR, LEFT_OF_THE_MINUTE = 15, 5
"""Seconds that a test has at least before the clock shows another one."""


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Keep the groups of xdist 3.8, which writes them where pytest 9.2 no longer looks."""
    for item in items:
        if grouped := vars(item).get("_nodeid"):
            item._id = type(item._id).parse(grouped)


@pytest.fixture(autouse=True)
def one_hour() -> None:
    """What a test takes for this hour, or for today, is that to its end: near the end of one it waits for the next."""
    wait_near_the_end(3600, LEFT_OF_THE_HOUR)


@pytest.fixture
def one_minute() -> None:
    """As ``one_hour``, for a test that counts within a minute of the clock."""
    wait_near_the_end(60, LEFT_OF_THE_MINUTE)


def wait_near_the_end(seconds: int, least: float) -> None:
    if (left := seconds - time.time() % seconds) < least:
        time.sleep(left + 0.01)


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


@pytest.fixture(scope="session")
def live_database(postgres: PostgresAddress) -> Iterator[str]:
    """The address of the database that the tasks of the live Airflow know."""
    name = f"test_live_{os.getpid()}"
    yield postgres.database(name)
    postgres.drop(name)


@pytest.fixture(scope="session")
def airflow_database(postgres: PostgresAddress) -> Iterator[str]:
    """The address of the live Airflow's own database."""
    name = f"test_airflow_{os.getpid()}"
    yield postgres.database(name)
    postgres.drop(name)


@pytest.fixture(scope="session")
def airflow(
    tmp_path_factory, s3: S3Address | SeaweedS3, live_database: str, airflow_database: str
) -> Iterator[LiveAirflow]:
    """One live Airflow, with connections to both servers; its tests are of the xdist group "airflow"."""
    options = {"endpoint_override": s3.endpoint, "allow_bucket_creation": True}
    files = S3FileSystem(access_key=s3.access_key, secret_key=s3.secret_key, **options)
    files.create_dir("quant-framework")
    extra = {"endpoint_url": s3.endpoint, "region_name": s3.region}
    minio = {"conn_type": "aws", "login": s3.access_key, "password": s3.secret_key, "extra": extra}
    connections = {"MINIO_DEFAULT": json.dumps(minio), "POSTGRES_DEFAULT": live_database}
    variables = {f"AIRFLOW_CONN_{name}": value for name, value in connections.items()}
    folder = tmp_path_factory.mktemp("live")
    variables |= {
        "AIRFLOW__CORE__TEST_CONNECTION": "Enabled",
        "AIRFLOW__QUANT_FRAMEWORK__LAKE_BROWSER": "https://lake.example.com/{bucket}?at={prefix}",
        "AIRFLOW__OPENLINEAGE__TRANSPORT": json.dumps(
            {"type": "file", "log_file_path": f"{folder}/lineage.json", "append": True}
        ),
        "AIRFLOW__OPENLINEAGE__NAMESPACE": "live",
        "AIRFLOW__OPENLINEAGE__SELECTIVE_ENABLE": "True",
    }
    with (
        OfflineExchange(limit=None) as exchange,
        LiveAirflow(folder, exchange, airflow_database, **variables) as live,
    ):
        yield live


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
