"""Where an S3 server is and who asks, from the usual environment variables."""

from __future__ import annotations

import os
from os import PathLike
from typing import Any


def first(*names: str) -> str | None:
    """The first of these environment variables that is set and not empty."""
    return next((value for name in names if (value := os.environ.get(name))), None)


def s3_settings(
    endpoint_url: str | None = None,
    access_key: str | None = None,
    secret_key: str | None = None,
    session_token: str | None = None,
    region: str | None = None,
    path_style: bool | None = None,
    ca_file: str | PathLike[str] | None = None,
) -> dict[str, Any]:
    """What the arguments leave open, from ``AWS_*``, else ``MINIO_*``; the SDK's own chain does the rest."""
    if access_key is None and secret_key is None:
        access_key = first("AWS_ACCESS_KEY_ID", "MINIO_ACCESS_KEY", "MINIO_ROOT_USER")
        secret_key = first("AWS_SECRET_ACCESS_KEY", "MINIO_SECRET_KEY", "MINIO_ROOT_PASSWORD")
        session_token = session_token or first("AWS_SESSION_TOKEN")
    endpoint_url = endpoint_url or first("AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL", "MINIO_ENDPOINT")
    if endpoint_url and "://" not in endpoint_url:
        endpoint_url = f"http://{endpoint_url}"  # MinIO's own tools take host:port
    return {
        "endpoint_url": endpoint_url,
        "access_key": access_key,
        "secret_key": secret_key,
        "session_token": session_token,
        "region": region or first("AWS_REGION", "AWS_DEFAULT_REGION", "MINIO_REGION"),
        "path_style": path_style,
        "ca_file": ca_file or first("AWS_CA_BUNDLE"),
    }
