"""Resumable market-data backfills under Apache Airflow: Airflow schedules, Rust works, Python names.

Importing this package starts no thread, opens nothing, imports no Airflow, and leaves the compiled core for later.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from quant_framework.errors import (
    ConflictError,
    DataError,
    InternalError,
    InvalidError,
    QuantFrameworkError,
    RateLimitedError,
    RunCancelledError,
    UnavailableError,
)

if TYPE_CHECKING:
    from quant_framework._core import __version__

__all__ = [
    "ConflictError",
    "DataError",
    "InternalError",
    "InvalidError",
    "QuantFrameworkError",
    "RateLimitedError",
    "RunCancelledError",
    "UnavailableError",
    "__version__",
]


def __getattr__(name: str) -> Any:
    """``__version__`` is the core's, which is loaded when somebody asks: every Airflow process imports this package."""
    if name != "__version__":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from quant_framework._core import __version__

    globals()[name] = __version__
    return __version__


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
