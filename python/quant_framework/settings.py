"""Where data lies unless an author says otherwise, and parts from plain values. Read at run time, never at import."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from quant_framework.errors import InvalidError
from quant_framework.orchestration.ports import IDataAdapter, IRateLimiter

SOURCES = ("coinalyze",)


def home() -> Path:
    """``QUANT_FRAMEWORK_HOME``, else a folder in Airflow's home."""
    default = Path(os.environ.get("AIRFLOW_HOME") or Path.home() / "airflow") / "quant_framework"
    return Path(os.environ.get("QUANT_FRAMEWORK_HOME") or default)


def lake_url() -> str:
    """``QUANT_FRAMEWORK_LAKE``, else ``lake/bronze`` at home."""
    return os.environ.get("QUANT_FRAMEWORK_LAKE") or (home() / "lake" / "bronze").absolute().as_uri()


def checkpoint_url() -> str:
    """``QUANT_FRAMEWORK_CHECKPOINT``, else ``checkpoints`` at home."""
    return os.environ.get("QUANT_FRAMEWORK_CHECKPOINT") or (home() / "checkpoints").absolute().as_uri()


def open_adapter(source: str, **options: Any) -> IDataAdapter:
    """The adapter of ``source``; ``base_url`` by default from ``QUANT_FRAMEWORK_BASE_URL``."""
    from quant_framework.ingestion.adapters import CoinalyzeAdapter

    if source != "coinalyze":
        raise InvalidError(f"unknown source {source!r}; use one of {', '.join(SOURCES)}")
    options["base_url"] = options.get("base_url") or os.environ.get("QUANT_FRAMEWORK_BASE_URL")
    return CoinalyzeAdapter(**options)


def rate_limit_url() -> str:
    """``QUANT_FRAMEWORK_RATE_LIMIT``, else ``limits`` at home: shared by the processes of one machine."""
    return os.environ.get("QUANT_FRAMEWORK_RATE_LIMIT") or (home() / "limits").absolute().as_uri()


def open_limiter(adapter: IDataAdapter, place: str | None = None, password: str | None = None) -> IRateLimiter:
    """The documented limit of ``adapter``'s source, shared at ``place`` by all who ask with the same key.

    A source without a documented limit is paced, by each process on its own.
    """
    from quant_framework.ingestion.rate_limit import PRESETS, preset

    if adapter.source not in PRESETS:
        return preset(adapter.source)
    scope = getattr(adapter, "quota_scope", adapter.source)
    return preset(adapter.source, place=place or rate_limit_url(), scope=scope, password=password)
