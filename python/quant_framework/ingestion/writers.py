"""Where rows go."""

from __future__ import annotations

from os import PathLike
from typing import TYPE_CHECKING

from quant_framework import _core
from quant_framework.ingestion.s3 import s3_settings

if TYPE_CHECKING:
    from typing_extensions import Self

__all__ = ["BronzeWriter", "ReportWriter", "SilverWriter"]


class BronzeWriter(_core.BronzeWriter):
    """One typed, compressed Parquet object per chunk under ``url``.

    Args:
        url: ``file:///lake/bronze``, an absolute path, or ``s3://bucket/prefix``.
        endpoint_url: an S3 server other than AWS; by default ``AWS_ENDPOINT_URL_S3``, ``AWS_ENDPOINT_URL`` or
            ``MINIO_ENDPOINT``.
        access_key: by default ``AWS_ACCESS_KEY_ID``, ``MINIO_ACCESS_KEY`` or ``MINIO_ROOT_USER``, else the SDK's usual
            chain (profile, instance role); together with ``secret_key``.
        secret_key: see ``access_key``; by default ``AWS_SECRET_ACCESS_KEY``, ``MINIO_SECRET_KEY`` or
            ``MINIO_ROOT_PASSWORD``.
        session_token: beside temporary keys; by default ``AWS_SESSION_TOKEN`` where the keys come from the environment.
        region: by default ``AWS_REGION``, ``AWS_DEFAULT_REGION`` or ``MINIO_REGION``, else ``us-east-1``.
        path_style: the bucket in the path, not in the host name; by default with an endpoint.
        ca_file: PEM file of certificates to trust beside the system's; by default ``AWS_CA_BUNDLE``.
        compression: ``lz4`` (the default), ``zstd``, ``zstd1`` to ``zstd22``, ``snappy`` or ``none``.
        write_only: for credentials that may put objects and nothing else: never list, never delete. What a crashed
            run left is then replaced only where the resumed run cuts its chunks as before (``FixedChunkStrategy``).

    Raises:
        InvalidError: a URL or a compression that is none.

    """

    def __new__(
        cls,
        url: str,
        *,
        endpoint_url: str | None = None,
        access_key: str | None = None,
        secret_key: str | None = None,
        session_token: str | None = None,
        region: str | None = None,
        path_style: bool | None = None,
        ca_file: str | PathLike[str] | None = None,
        compression: str | None = None,
        write_only: bool = False,
    ) -> Self:
        """Build the native writer; see the class."""
        settings = s3_settings(endpoint_url, access_key, secret_key, session_token, region, path_style, ca_file)
        return super().__new__(cls, url, compression=compression, write_only=write_only, **settings)


class SilverWriter(_core.SilverWriter):
    """One sorted Parquet object per series and period (a month below 1h, else a year) under ``url``, each bar once.

    It is made of bronze alone: the same bronze gives the same bytes. Where objects of bronze overlap, the row of the
    one that begins (or else ends) last counts. An object is replaced at once and only where nobody else replaced it
    meanwhile, so any number of writers may compact.

    Args:
        url: ``file:///lake/silver``, an absolute path, or ``s3://bucket/prefix``.
        bronze: the lake that it is made of.
        endpoint_url: an S3 server other than AWS; this and the rest as for ``BronzeWriter``.

    Raises:
        InvalidError: a URL or a compression that is none.

    Rows that cannot be true, and those that a later one contradicts, do not go on: they lie under ``_quarantine/`` with
    their ``reason`` until bronze holds them no longer.

    """

    def __new__(
        cls,
        url: str,
        bronze: _core.BronzeWriter,
        *,
        endpoint_url: str | None = None,
        access_key: str | None = None,
        secret_key: str | None = None,
        session_token: str | None = None,
        region: str | None = None,
        path_style: bool | None = None,
        ca_file: str | PathLike[str] | None = None,
        compression: str | None = None,
    ) -> Self:
        """Build the native writer; see the class."""
        settings = s3_settings(endpoint_url, access_key, secret_key, session_token, region, path_style, ca_file)
        return super().__new__(cls, url, bronze, compression=compression, **settings)


class ReportWriter(_core.ReportWriter):
    """Reports of comparisons under ``url``: a page, its numbers as JSON and its bars as Parquet.

    Args:
        url: ``file:///lake/reports``, an absolute path, or ``s3://bucket/prefix``.
        endpoint_url: an S3 server other than AWS; this and the rest as for ``BronzeWriter``.

    Raises:
        InvalidError: a URL that is none.

    """

    def __new__(
        cls,
        url: str,
        *,
        endpoint_url: str | None = None,
        access_key: str | None = None,
        secret_key: str | None = None,
        session_token: str | None = None,
        region: str | None = None,
        path_style: bool | None = None,
        ca_file: str | PathLike[str] | None = None,
    ) -> Self:
        """Build the native writer; see the class."""
        settings = s3_settings(endpoint_url, access_key, secret_key, session_token, region, path_style, ca_file)
        return super().__new__(cls, url, **settings)
