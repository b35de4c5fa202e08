"""What a look at coverage says; see ``quant_framework.orchestration.coverage``."""

from __future__ import annotations

from typing import TypedDict

__all__ = ["CoverageMap", "CoverageRow", "CoverageSpan", "CoverageTotals"]


class _Span(TypedDict):
    start: str
    end: str
    kind: str
    bars: int


class CoverageSpan(_Span, total=False):
    """Bars of one kind without a break, ``start`` to ``end`` (exclusive), ISO 8601 UTC."""

    attempts: int
    """How often the source was asked, where the gap ledger says so."""
    first_seen: str
    """When the hole was first written down."""
    last_checked: str
    """When a repair last asked for it."""


class CoverageRow(TypedDict):
    """What is known of one series; times are ISO 8601 UTC."""

    series: str
    """Its key."""
    error: str | None
    """Why it is not, or not wholly, known; one line."""
    dense: bool
    """Whether every bar should hold a row."""
    first: str | None
    """The first known moment."""
    last: str | None
    """The end of what is known."""
    watermark: str | None
    """The end of the unbroken coverage from ``first`` on."""
    expected: int
    """Closed bars of the range."""
    bars: dict[str, int]
    """They by kind; they add up to ``expected``."""
    covered: float | None
    """Bars that are as they should be over bars expected, 0 to 1, rounded down; ``None`` where none is expected."""
    spans: list[CoverageSpan]
    """The worst and longest, in order of time."""
    more_spans: int
    """Spans that are not listed."""
    holes: int
    """Spans that are holes, listed or not."""
    cells: list[tuple[str, float, int]]
    """Of the picture: the worst kind, the share of the cell that is of this kind, and how many such cells."""


class CoverageTotals(TypedDict):
    """Of all series together."""

    series: int
    errors: int
    """Series that cannot be read."""
    expected: int
    bars: dict[str, int]


class CoverageMap(TypedDict):
    """What is known of series over ``start`` to ``end`` (exclusive), ISO 8601 UTC."""

    start: str
    end: str
    as_of: str
    """When it was looked."""
    columns: int
    """Cells of each row."""
    totals: CoverageTotals
    series: list[CoverageRow]
