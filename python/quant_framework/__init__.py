"""Resumable market-data backfills under Apache Airflow: Airflow schedules, Rust works, Python names.

Importing this package starts no thread, opens nothing and imports no Airflow.
"""

from quant_framework._core import __version__
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
