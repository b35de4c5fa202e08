"""Fixtures of the tests with processes: fresh checkpoint stores of every kind by URL, and children."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import quote

import pytest

from checkpoint_processes import Child, make_bucket, minute
from fault_proxy import FaultProxy
from quant_framework.ingestion.checkpoint_stores import MinIOCheckpointStore

NUMBERS = itertools.count()
KINDS = ("local", "s3", "postgres", "hybrid")


@pytest.fixture
def spawn() -> Iterator[Callable[..., Child]]:
    """Starts children, all gone after the test."""
    children: list[Child] = []

    def spawn(function: str, *arguments: object, **environment: str) -> Child:
        children.append(Child(function, *arguments, **environment))
        return children[-1]

    yield spawn
    for child in children:
        child.kill()


@pytest.fixture(params=KINDS)
def url(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A fresh store of each kind, for ``open_checkpoint_store`` in any process."""
    if request.param == "local":
        return (tmp_path / "checkpoints").as_uri()
    if request.param == "postgres":
        return request.getfixturevalue("database")
    s3 = request.getfixturevalue("s3")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", s3.access_key)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", s3.secret_key)
    minio = f"s3://{make_bucket(s3)}/below?region={s3.region}&endpoint_url={quote(s3.endpoint, safe='')}"
    return minio if request.param == "s3" else f"hybrid:{minio},{request.getfixturevalue('database')}"


@pytest.fixture(scope="module")
def bucket(s3) -> str:
    return make_bucket(s3)


@pytest.fixture(scope="module")
def server(s3) -> Iterator[FaultProxy]:
    with FaultProxy(s3.endpoint) as proxy:
        yield proxy


@pytest.fixture
def proxy(server) -> FaultProxy:
    """Without faults, and with an empty log."""
    server.script([])
    server.log.clear()
    return server


@pytest.fixture(scope="module")
def direct(s3, bucket) -> MinIOCheckpointStore:
    """The store, past the proxy."""
    return MinIOCheckpointStore(bucket, "below", s3.endpoint, s3.access_key, s3.secret_key, s3.region)


@pytest.fixture(scope="module")
def warm(s3, bucket, server) -> MinIOCheckpointStore:
    """The store behind the proxy, which knows already that the server honours conditional writes."""
    store = MinIOCheckpointStore(bucket, "below", server.endpoint, s3.access_key, s3.secret_key, s3.region)
    store.commit_sync("faults/ohlcv/WARM/1m", [minute(0)])
    return store


@pytest.fixture
def faulty(warm, proxy) -> MinIOCheckpointStore:
    """The same, with the proxy as new."""
    return warm


@pytest.fixture
def key() -> str:
    """Of a new series."""
    return f"faults/ohlcv/{next(NUMBERS)}/1m"
