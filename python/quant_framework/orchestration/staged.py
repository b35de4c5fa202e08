"""The reference to staged rows that goes from task to task, instead of the rows."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from datetime import datetime, timezone
from typing import Any, cast

from quant_framework.arguments import Ranges
from quant_framework.errors import InvalidError
from quant_framework.results import StagedReference

KIND = "quant_framework.staged"
SHAPE = "a dict as a fetch task returns it: kind, series, ranges, bars, stage"


@dataclass(frozen=True)
class Staged:
    """Rows of one series that lie in a staging place.

    Args:
        series: key of the series; ``None`` where no bar had closed yet.
        ranges: what the source was asked for, pairs ``[start, end)`` of ISO 8601 texts.
        bars: closed bars of which there are rows.
        stage: URL of the place.

    """

    series: str | None
    ranges: tuple[tuple[str, str], ...]
    bars: int
    stage: str

    def to_dict(self) -> StagedReference:
        """Plain JSON for an XCom."""
        plain = {"kind": KIND, **asdict(self), "ranges": [list(pair) for pair in self.ranges]}
        return cast("StagedReference", plain)

    @classmethod
    def parse(cls, value: Any, origin: str) -> Staged:
        """A reference from an XCom.

        Args:
            value: what was returned.
            origin: who returned it, for the error.

        Raises:
            InvalidError: it is none; names ``origin`` and what is wrong.

        """
        if not isinstance(value, dict) or value.get("kind") != KIND:
            is_dict = isinstance(value, dict)
            shown = f"a dict of {sorted(map(str, value))[:8]}" if is_dict else f"a {type(value).__name__}"
            raise InvalidError(f"{origin} must be {SHAPE}; it is {shown}")
        series, ranges, bars, stage = (cast("Any", value).get(name) for name in ("series", "ranges", "bars", "stage"))
        wrong = [
            name
            for name, fine in {
                "series": isinstance(series, str) or (series is None and ranges == []),
                "ranges": isinstance(ranges, list) and all(is_range(pair) for pair in ranges),
                "bars": isinstance(bars, int) and not isinstance(bars, bool) and bars >= 0,
                "stage": isinstance(stage, str),
            }.items()
            if not fine
        ]
        if wrong:
            shown = ", ".join(f"{name} is {str(value.get(name))[:80]!r}" for name in wrong)
            raise InvalidError(f"{origin} must be {SHAPE}; {shown}")
        return cls(series, tuple((low, high) for low, high in ranges), bars, stage)

    def moments(self) -> Ranges:
        """The ranges as aware datetimes."""
        return [(iso_moment(low), iso_moment(high)) for low, high in self.ranges]


def iso_moment(text: str) -> datetime:
    """An ISO 8601 text as a datetime; a bare date is midnight UTC."""
    value = datetime.fromisoformat(text.replace("Z", "+00:00"))
    return value.replace(tzinfo=timezone.utc) if len(text) == len("2026-01-01") else value


def is_range(pair: Any) -> bool:
    """Whether ``pair`` is two ISO 8601 times with time zones, the first before the second."""
    try:
        low, high = pair
        return iso_moment(low) < iso_moment(high) and iso_moment(low).tzinfo is not None
    except (AttributeError, TypeError, ValueError):
        return False


def is_summary(value: Any) -> bool:
    """Whether ``value`` is what a backfill or a write returns: series with the ranges that lie in the lake."""
    listed = value.get("series") if isinstance(value, dict) else None
    names = {"series", "start", "end"}
    return isinstance(listed, list) and all(isinstance(one, dict) and names <= set(one) for one in listed)
