"""Types of what goes in: rows, ranges, moments, windows. Names for type checkers and readers; nothing here does work.

Times are aware datetimes, or ISO 8601 texts with a time zone where ``Moment`` says so; ranges are half-open
``[start, end)``; a series is a key such as ``coinalyze/ohlcv/BTCUSDT_PERP.A/1m``.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Literal, Protocol, TypedDict

__all__ = [
    "AdapterCapability",
    "ArrowArray",
    "ArrowStream",
    "Hole",
    "Keys",
    "Moment",
    "PlaceOptions",
    "Priority",
    "Range",
    "Ranges",
    "RateLimitOptions",
    "Resume",
    "Rows",
    "Severity",
    "ShareOptions",
    "SharedOptions",
    "Window",
]

Moment = datetime | str
"""An aware datetime, or ISO 8601 text with a time zone."""

Range = tuple[datetime, datetime]
"""Two aware datetimes, ``[start, end)``."""

Ranges = list[Range]
"""In any order; a list, as the core takes no other sequence here."""

Keys = list[str]
"""Keys of series."""

Hole = Mapping[str, Any]
"""``series`` (a key), ``start`` and ``end`` (each a ``Moment``); other keys do not matter."""

Resume = Literal["always", "never"]
"""``always`` fetches only what is missing, ``never`` forgets what is known first."""

Priority = Literal["live", "backfill"]
"""``live`` goes before ``backfill`` where both wait for one quota."""

Severity = Literal["error", "warning", "never"]
"""The least severity of a finding that fails a task."""

Window = tuple[int, float] | tuple[int, float, str]
"""Weight and seconds, in any span of that length; with ``"fixed"`` the window starts at multiples of its length of the
UTC clock."""


class ArrowStream(Protocol):
    """A table: pyarrow's, polars', pandas' from 2.2 on, DuckDB's."""

    def __arrow_c_stream__(self, requested_schema: object | None = None) -> object:
        """The PyCapsule of an Arrow C stream."""
        ...


class ArrowArray(Protocol):
    """A record batch: pyarrow's, or a ``Batch``."""

    def __arrow_c_array__(self, requested_schema: object | None = None) -> tuple[object, object]:
        """The PyCapsules of an Arrow C schema and array."""
        ...


Rows = ArrowStream | ArrowArray | dict[str, Any] | list[Any]
"""Rows of one series: Arrow data, a DataFrame, a dict of columns, or a list of dicts or of rows in schema order.

``ts`` is a timestamp with time zone, an aware datetime, or whole milliseconds since 1970 UTC.
"""


class AdapterCapability(TypedDict, total=False):
    """What one request of an author's own adapter gives and costs; what is left out has a default."""

    rows_per_request: int
    """By default 1000."""
    weight: int
    """What a request costs of the quota; by default 1."""
    prices: Sequence[tuple[int, int]]
    """Instead of both: pairs of rows up to which a request costs a weight, ascending."""
    retention_bars: int | None
    """Bars that the source keeps; ``None``, the default, for all."""


class ShareOptions(TypedDict, total=False):
    """Arguments that every limiter takes; ``AdaptiveRateLimiter`` describes them."""

    share: float
    slack: float | None
    assume_full: bool
    password: str | None


class PlaceOptions(ShareOptions, total=False):
    """``ShareOptions``, and where windows are shared."""

    place: str | None
    scope: str | None


class SharedOptions(ShareOptions, total=False):
    """``ShareOptions``, and how a shared limiter backs off."""

    backoff_factor: float
    burst: int


class RateLimitOptions(PlaceOptions, total=False):
    """All arguments of ``AdaptiveRateLimiter``, which describes them."""

    base_rate: float | None
    max_rate: float | None
    min_rate: float | None
    backoff_factor: float
    windows: Sequence[Window]
    burst: int
