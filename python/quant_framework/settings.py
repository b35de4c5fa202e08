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


def open_limiter(source: str) -> IRateLimiter:
    """The documented limit of ``source``."""
    from quant_framework.ingestion.rate_limit import AdaptiveRateLimiter, CoinalyzeRateLimiter

    return CoinalyzeRateLimiter() if source == "coinalyze" else AdaptiveRateLimiter()
