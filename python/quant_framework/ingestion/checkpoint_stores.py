"""Checkpoint stores. All keep the same promises; they differ in who may share them."""

from __future__ import annotations

from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING

from quant_framework._core import CheckpointStore
from quant_framework.errors import InvalidError
from quant_framework.ingestion.s3 import first, s3_settings

if TYPE_CHECKING:
    from typing_extensions import Self

__all__ = [
    "CheckpointStore",
    "DatabaseCheckpointStore",
    "HybridCheckpointStore",
    "LocalCheckpointStore",
    "MemoryCheckpointStore",
    "MinIOCheckpointStore",
    "open_checkpoint_store",
]


def open_checkpoint_store(url: str | Path, *, single_writer: bool = False) -> CheckpointStore:
    """The store behind ``url``. Opens nothing yet.

    Args:
        url: ``memory:``, ``file:///folder`` or an absolute path, ``s3://bucket/prefix`` (with
            ``?endpoint_url=...&region=...&path_style=true&ca_file=...&single_writer=true`` where needed),
            ``postgresql://user@host:5432/name``, or ``hybrid:s3://bucket/prefix,postgresql://user@host/name``.
            What it leaves open comes from ``AWS_*`` or ``MINIO_*`` and from ``PGPASSWORD``: keep secrets out of it.
        single_writer: see ``MinIOCheckpointStore``.

    Raises:
        InvalidError: none of these.

    """
    return CheckpointStore(str(url), single_writer=single_writer, password=first("PGPASSWORD"), **s3_settings())


class MemoryCheckpointStore(CheckpointStore):
    """Checkpoints in this process's memory; gone when it ends."""

    def __new__(cls) -> Self:
        """Build an empty store."""
        return super().__new__(cls, "memory:")


class LocalCheckpointStore(CheckpointStore):
    """Checkpoints as files under a folder, one per series; safe for many processes of one machine.

    Args:
        path: the folder, or its ``file:///...`` URL; it is made at the first commit.

    Raises:
        InvalidError: it names none, or is the URL of another kind of place.

    """

    def __new__(cls, path: str | Path) -> Self:
        """Build the native store; see the class."""
        text = str(path)
        if not text or ("://" in text and not text.startswith("file:///")):
            hint = "open_checkpoint_store takes a URL of any kind" if text else None
            raise InvalidError(f"path must be a folder, not {text!r}", hint)
        folder = text if text.startswith("file:///") else Path(text).expanduser().absolute().as_uri()
        return super().__new__(cls, folder)


class MinIOCheckpointStore(CheckpointStore):
    """Checkpoints as small objects in MinIO, AWS S3 or anything that speaks its protocol; for many machines.

    Commits are conditional writes (``If-Match``). At the first commit the server is probed for whether it honours them.

    Args:
        bucket: by default ``QUANT_FRAMEWORK_BUCKET``, ``MINIO_BUCKET``, ``AWS_S3_BUCKET`` or ``S3_BUCKET``.
        prefix: below which the objects lie.
        endpoint_url: an S3 server other than AWS; by default ``AWS_ENDPOINT_URL_S3``, ``AWS_ENDPOINT_URL`` or
            ``MINIO_ENDPOINT``.
        access_key: by default ``AWS_ACCESS_KEY_ID``, ``MINIO_ACCESS_KEY`` or ``MINIO_ROOT_USER``, else the SDK's usual
            chain (profile, instance role); together with ``secret_key``.
        secret_key: see ``access_key``; by default ``AWS_SECRET_ACCESS_KEY``, ``MINIO_SECRET_KEY`` or
            ``MINIO_ROOT_PASSWORD``.
        region: by default ``AWS_REGION``, ``AWS_DEFAULT_REGION`` or ``MINIO_REGION``, else ``us-east-1``.
        session_token: beside temporary keys; by default ``AWS_SESSION_TOKEN`` where the keys come from the environment.
        path_style: the bucket in the path, not in the host name; by default with an endpoint.
        ca_file: PEM file of certificates to trust beside the system's; by default ``AWS_CA_BUNDLE``.
        single_writer: accept a server that ignores conditional writes. Then only one process may commit under this
            prefix at a time: a second one would undo its commits. A warning says so at the first commit.

    Raises:
        InvalidError: no bucket, or half a pair of keys; at the first commit: a server that ignores conditional writes.

    """

    def __new__(
        cls,
        bucket: str | None = None,
        prefix: str = "checkpoints",
        endpoint_url: str | None = None,
        access_key: str | None = None,
        secret_key: str | None = None,
        region: str | None = None,
        *,
        session_token: str | None = None,
        path_style: bool | None = None,
        ca_file: str | PathLike[str] | None = None,
        single_writer: bool = False,
    ) -> Self:
        """Build the native store; see the class."""
        bucket = bucket or first("QUANT_FRAMEWORK_BUCKET", "MINIO_BUCKET", "AWS_S3_BUCKET", "S3_BUCKET")
        if not bucket:
            raise InvalidError("MinIOCheckpointStore has no bucket", "pass bucket=, or set QUANT_FRAMEWORK_BUCKET")
        if "?" in bucket + prefix:
            raise InvalidError("bucket and prefix of a MinIOCheckpointStore must not hold a question mark")
        settings = s3_settings(endpoint_url, access_key, secret_key, session_token, region, path_style, ca_file)
        return super().__new__(cls, f"s3://{bucket}/{prefix}", single_writer=single_writer, **settings)


class DatabaseCheckpointStore(CheckpointStore):
    """Checkpoints in PostgreSQL 14 or later, in a schema ``quant_framework`` that it makes itself; for many machines.

    Grants claims: two runs never fetch the same ranges of a series at the same time.

    Args:
        dsn: ``postgresql://user@host:5432/name`` or libpq's ``key=value`` form. ``sslmode`` and ``sslrootcert`` as in
            libpq, except that ``verify-ca`` checks the host name too. PgBouncer may stand in between, in any mode.
        password: by default ``PGPASSWORD``, where the DSN has none.
        timeout: seconds after which a statement is cancelled and counts as unavailable; by default 30.

    Raises:
        InvalidError: a DSN that cannot be read; at the first use: wrong password, no such database, no privilege.

    """

    def __new__(cls, dsn: str, *, password: str | None = None, timeout: float | None = None) -> Self:
        """Build the native store; see the class."""
        url = dsn if dsn.startswith(("postgresql://", "postgres://")) else f"dsn:{dsn}"
        return super().__new__(cls, url, password=password or first("PGPASSWORD"), timeout=timeout)


class HybridCheckpointStore(CheckpointStore):
    """Checkpoints in S3 and in PostgreSQL: written to S3 first, read from PostgreSQL, which grants the claims.

    Either copy can be lost: ``repair()`` makes it again from the other. With PostgreSQL away, a run commits what it
    holds to S3, fails in a way that can be retried, and starts nothing new; there is no automatic switch.

    Args:
        minio: a ``MinIOCheckpointStore``.
        database: a ``DatabaseCheckpointStore``.

    """

    def __new__(cls, minio: CheckpointStore, database: CheckpointStore) -> Self:
        """Build the native store; see the class."""
        return super().__new__(cls, minio=minio, database=database)
