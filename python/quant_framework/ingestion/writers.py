"""Where rows go."""

from __future__ import annotations

import os

from quant_framework import _core

__all__ = ["BronzeWriter"]


class BronzeWriter(_core.BronzeWriter):
    """One typed, compressed Parquet object per chunk under ``url``.

    Args:
        url: ``file:///lake/bronze``, an absolute path, or ``s3://bucket/prefix``.
        endpoint_url: an S3 server other than AWS; by default ``AWS_ENDPOINT_URL_S3`` or ``AWS_ENDPOINT_URL``.
        access_key: by default the SDK's usual chain (environment, profile, instance role); with ``secret_key``.
        secret_key: see ``access_key``.
        region: by default ``AWS_REGION`` or ``AWS_DEFAULT_REGION``, else ``us-east-1``.
        compression: ``lz4`` (the default), ``zstd``, ``zstd1`` to ``zstd22``, ``snappy`` or ``none``.
        write_only: for credentials that may put objects and nothing else: never list, never delete. What a crashed
            run left is then replaced only where the resumed run cuts its chunks as before (``FixedChunkStrategy``).

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
        compression: str | None = None,
        write_only: bool = False,
    ) -> BronzeWriter:
        """Build the native writer; see the class."""
        variable = os.environ.get
        if access_key is None and secret_key is None:
            access_key, secret_key = variable("AWS_ACCESS_KEY_ID"), variable("AWS_SECRET_ACCESS_KEY")
            session_token = session_token or variable("AWS_SESSION_TOKEN")
        return super().__new__(
            cls,
            url,
            endpoint_url=endpoint_url or variable("AWS_ENDPOINT_URL_S3") or variable("AWS_ENDPOINT_URL"),
            access_key=access_key,
            secret_key=secret_key,
            session_token=session_token,
            region=region or variable("AWS_REGION") or variable("AWS_DEFAULT_REGION"),
            path_style=path_style,
            compression=compression,
            write_only=write_only,
        )
