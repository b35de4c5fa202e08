"""Where the checkpoints of one test lie, and a look at the bytes there."""

from __future__ import annotations

import itertools
import os
from collections.abc import Callable
from datetime import datetime, timedelta, timezone
from functools import cached_property
from pathlib import Path
from urllib.parse import quote, urlencode, urlsplit

import pytest
from pyarrow.fs import FileSelector, FileType, S3FileSystem

from quant_framework.ingestion.backfill import (
    Checkpoint,
    CheckpointStore,
    DatabaseCheckpointStore,
    HybridCheckpointStore,
    LocalCheckpointStore,
    MemoryCheckpointStore,
    MinIOCheckpointStore,
    open_checkpoint_store,
)
from quant_framework.ingestion.writers import BronzeWriter
from servers import S3Address, SeaweedS3

BUCKET = "python-tests"
PREFIXES = itertools.count(1)
SERIES = "coinalyze/ohlcv/BTCUSDT_PERP.A/1m"
WHOLE, HOLED = "coinalyze/ohlcv/WHOLE.R/1h", "coinalyze/ohlcv/HOLED.R/1h"
START = datetime(2026, 1, 5, tzinfo=timezone.utc)
END = datetime(2026, 1, 19, tzinfo=timezone.utc)
HOURS = (END - START) // timedelta(hours=1)
VARIABLES = (
    *("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "AWS_REGION", "AWS_DEFAULT_REGION"),
    *("AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_S3", "AWS_CA_BUNDLE", "AWS_S3_BUCKET", "S3_BUCKET"),
    *("MINIO_ACCESS_KEY", "MINIO_SECRET_KEY", "MINIO_ROOT_USER", "MINIO_ROOT_PASSWORD", "MINIO_ENDPOINT"),
    *("MINIO_REGION", "MINIO_BUCKET", "QUANT_FRAMEWORK_BUCKET", "PGPASSWORD"),
)


def at(minute: int) -> datetime:
    """So many minutes into 2026."""
    return datetime(2026, 1, 1, tzinfo=timezone.utc) + timedelta(minutes=minute)


def spans(*ends: tuple[int, int]) -> list[tuple[datetime, datetime]]:
    """Ranges by their minutes."""
    return [(at(low), at(high)) for low, high in ends]


def key_of(symbol: str, source: str = "odd") -> str:
    """The series key of ``symbol``, as ``src/series.rs`` encodes it."""
    encoded = quote(symbol, safe="").replace("~", "%7E")
    encoded = f"%2E{encoded[1:]}" if encoded.startswith(".") else encoded
    return f"{source}/ohlcv/{encoded}/1h"


def known(checkpoint: Checkpoint) -> tuple:
    """All but the fingerprint, which the lake does not tell."""
    return checkpoint.data, checkpoint.empty, checkpoint.generation


def pairs(dsn: str, **changes: str) -> str:
    """``dsn`` in libpq's other form, without its password."""
    url = urlsplit(dsn)
    facts = {"host": url.hostname, "port": url.port, "user": url.username, "dbname": url.path[1:]} | changes
    return " ".join(f"{name}={value}" for name, value in facts.items())


class S3Place:
    """A prefix of a bucket that is there, of this test alone."""

    def __init__(self, server: S3Address | SeaweedS3, bucket: str = BUCKET, prefix: str | None = None) -> None:
        self.bucket, self.endpoint = bucket, server.endpoint
        self.keys = {"access_key": server.access_key, "secret_key": server.secret_key, "region": server.region}
        self.prefix = prefix or f"{os.environ.get('PYTEST_XDIST_WORKER', 'main')}-{os.getpid()}-{next(PREFIXES)}"
        self.root = f"{bucket}/{self.prefix}"
        trust = {"tls_ca_file_path": str(server.ca_file)} if self.endpoint.startswith("https") else {}
        self.files = S3FileSystem(endpoint_override=self.endpoint, allow_bucket_creation=True, **self.keys, **trust)
        self.files.create_dir(bucket)
        self.write(".made", b"a bucket begins with its first object")

    @property
    def url(self) -> str:
        return f"s3://{self.root}?{urlencode({'endpoint_url': self.endpoint})}"

    def store(self, **options: object) -> MinIOCheckpointStore:
        where = {"bucket": self.bucket, "prefix": self.prefix, "endpoint_url": self.endpoint}
        return MinIOCheckpointStore(**(where | self.keys | options))

    def lake(self, folder: str = "lake") -> BronzeWriter:
        return BronzeWriter(f"s3://{self.root}/{folder}", endpoint_url=self.endpoint, **self.keys)

    def path(self, name: str) -> str:
        return f"{self.root}/{name}"

    def read(self, name: str) -> bytes:
        with self.files.open_input_stream(self.path(name)) as stream:
            return stream.read()

    def write(self, name: str, body: bytes) -> None:
        with self.files.open_output_stream(self.path(name)) as stream:
            stream.write(body)

    def delete(self, name: str) -> None:
        self.files.delete_file(self.path(name))

    def names(self) -> list[str]:
        found = self.files.get_file_info(FileSelector(self.root, recursive=True, allow_not_found=True))
        return sorted(info.path[len(self.root) + 1 :] for info in found if info.type == FileType.File)


class LocalPlace:
    """A folder, with the same look at its bytes."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.url = folder.as_uri()

    def store(self) -> LocalCheckpointStore:
        return LocalCheckpointStore(self.folder)

    def path(self, name: str) -> str:
        return str(self.folder / name)

    def read(self, name: str) -> bytes:
        return (self.folder / name).read_bytes()

    def write(self, name: str, body: bytes) -> None:
        (self.folder / name).write_bytes(body)

    def delete(self, name: str) -> None:
        (self.folder / name).unlink()

    def names(self) -> list[str]:
        return sorted(str(path.relative_to(self.folder)) for path in self.folder.rglob("*") if path.is_file())


class Places:
    """Of one test, made where a store needs them: in memory no server is started.

    The environment has the keys of the S3 server once there is one, and nothing else of the machine's.
    """

    def __init__(self, request: pytest.FixtureRequest) -> None:
        self.request = request
        self.environment = request.getfixturevalue("monkeypatch")
        for name in VARIABLES:
            self.environment.delenv(name, raising=False)

    @property
    def folder(self) -> Path:
        return self.request.getfixturevalue("tmp_path") / "checkpoints"

    @cached_property
    def s3(self) -> S3Place:
        place = S3Place(self.request.getfixturevalue("s3"))
        self.environment.setenv("AWS_ACCESS_KEY_ID", place.keys["access_key"])
        self.environment.setenv("AWS_SECRET_ACCESS_KEY", place.keys["secret_key"])
        return place

    @property
    def dsn(self) -> str:
        return self.request.getfixturevalue("database")

    @property
    def pooled(self) -> str:
        return self.request.getfixturevalue("pooler").dsn(urlsplit(self.dsn).path[1:])


CLASSES: dict[str, Callable[[Places], CheckpointStore]] = {
    "Memory": lambda places: MemoryCheckpointStore(),
    "Local": lambda places: LocalCheckpointStore(places.folder),
    "MinIO": lambda places: places.s3.store(),
    "Database": lambda places: DatabaseCheckpointStore(places.dsn),
    "Hybrid": lambda places: HybridCheckpointStore(places.s3.store(), DatabaseCheckpointStore(places.dsn)),
    "PgBouncer": lambda places: DatabaseCheckpointStore(places.pooled),
}
URLS: dict[str, Callable[[Places], CheckpointStore]] = {
    "memory:": lambda places: open_checkpoint_store("memory:"),
    "file://": lambda places: open_checkpoint_store(places.folder.as_uri()),
    "/path": lambda places: open_checkpoint_store(places.folder),
    "s3://": lambda places: open_checkpoint_store(places.s3.url),
    "postgresql://": lambda places: open_checkpoint_store(places.dsn),
    "hybrid:": lambda places: open_checkpoint_store(f"hybrid:{places.s3.url},{places.dsn}"),
}
