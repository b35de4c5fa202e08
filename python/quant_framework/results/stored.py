"""Of lakes, checkpoints, and the parts that a run works with."""

from __future__ import annotations

from datetime import date, datetime
from typing import Literal, TypedDict

from quant_framework.arguments import Range
from quant_framework.results.runs import Failure

__all__ = [
    "Capability",
    "CheckpointRepair",
    "CheckpointState",
    "CheckpointWritten",
    "Compaction",
    "CoverageProgress",
    "Derived",
    "DerivedReport",
    "IncompleteCoarserBar",
    "LimiterStats",
    "QuotaState",
    "SeriesCompaction",
    "SilverReport",
    "SourceRows",
    "SymbolParts",
    "UnknownBars",
    "WindowStats",
    "WriteReceipt",
]


class Compaction(TypedDict):
    """What became of the silver of a series."""

    partitions: int
    """Periods looked at."""
    written: int
    """Periods whose object was replaced; the others were right already."""
    rows: int
    bytes: int
    """Of what was replaced."""
    repeated: int
    """Rows of bronze that repeat another one exactly."""
    replaced: int
    """Rows of bronze that a later object contradicts; the later one counts."""
    quarantined: int
    """Rows of bronze that are kept aside, with their reasons: those replaced, and those that cannot be true."""


class SeriesCompaction(Compaction):
    """``Compaction`` of one series."""

    series: str


class SilverReport(TypedDict):
    """Of ``write_silver``."""

    series: list[SeriesCompaction]


class SourceRows(TypedDict):
    """What of one source went into a derived series."""

    series: str
    rows: int


class IncompleteCoarserBar(TypedDict):
    """A coarser bar that is left out: ``known`` of the ``expected`` bars that it is made of are known."""

    open: str
    known: int
    expected: int


class UnknownBars(TypedDict):
    """Coarser bars of which nothing is known."""

    start: str
    end: str


class Derived(TypedDict):
    """What was made of one or more series."""

    series: str
    """Key of the derived one."""
    periods: int
    """Of which there are rows now."""
    rows: int
    bytes: int
    sources: list[SourceRows]
    """In the given order."""
    incomplete: list[IncompleteCoarserBar]
    gaps: list[UnknownBars]


class DerivedReport(Derived):
    """Of ``resample_series`` and ``merge_series``: ``incomplete`` and ``gaps`` end after 100, these count all."""

    incomplete_count: int
    gap_count: int


class CheckpointRepair(TypedDict):
    """What was done to a store's checkpoints; lists are of keys."""

    series: int
    """Checkpoints looked at."""
    repaired: list[str]
    """Of which a copy was behind."""
    set_aside: list[str]
    """That could not be read."""
    rebuilt: list[str]
    """To which the lake's objects added something."""
    errors: list[Failure]
    """What is still wrong."""


class _CheckpointState(TypedDict):
    series: str
    exists: bool
    generation: int
    watermark: str | None
    """End of the unbroken coverage from the first known moment on."""
    cursor: str | None
    fingerprint: str | None
    data: list[list[str]]
    """Ranges with rows, the first 100."""
    data_ranges: int
    empty: list[list[str]]
    """Ranges for which the source had nothing, the first 100."""
    empty_ranges: int


class CheckpointState(_CheckpointState, total=False):
    """Of ``read_checkpoint``. ``data_ranges``, ``empty_ranges`` and ``pending_ranges`` count all."""

    pending: list[list[str]]
    """What is not known of the range that was asked about, the first 100; absent where none was."""
    pending_ranges: int


class CheckpointWritten(TypedDict):
    """Of ``write_checkpoint``: the generation that was written to."""

    series: str
    generation: int


class CoverageProgress(TypedDict):
    """How far a range is done; not JSON, times are aware datetimes."""

    series: str
    covered: float
    """Share of the time, 0 to 1."""
    pending: list[Range]
    """Of which nothing is known."""
    empty: list[Range]
    """For which the source had nothing, clipped to the range."""
    watermark: datetime | None
    generation: int


class Capability(TypedDict):
    """What one request of a native adapter gives and costs."""

    rows_per_request: int
    weight: int
    """Of a request for one row."""
    prices: list[tuple[int, int]]
    """Rows up to which a request costs a weight."""
    retention_bars: int | None
    """Bars that the source keeps; ``None`` for all."""


class WriteReceipt(TypedDict):
    """What a writer has written: ``uri`` is empty where there were no rows, ``bytes`` the size of the object."""

    uri: str
    rows: int
    bytes: int


class WindowStats(TypedDict):
    """One window of a limiter."""

    seconds: float
    weight: int
    """What may be spent in it, as thought now."""
    most: int
    """What this limiter would never exceed."""
    used: int
    """What counts as spent, others' part included as far as it is known."""


class QuotaState(TypedDict):
    """How one scope of a shared quota stands."""

    scope: str
    """What the source limits, such as ``coinalyze:<key hash>``."""
    error: str | None
    """Why it cannot be told, in one line."""
    windows: list[WindowStats]
    blocked_until: datetime | None
    """Nobody asks before: the source refuses."""
    waiting: int
    """Workers that wait for a permit."""
    workers: int
    """Workers that take part, or did a moment ago."""


class LimiterStats(TypedDict):
    """How a limiter stands."""

    permits: int
    """Requests permitted so far."""
    weight: int
    """Theirs."""
    answered: int
    refused: int
    """By the source."""
    turned_away: int
    """Wishes that would have waited too long."""
    waited_seconds: float
    """Summed over requests."""
    waiting: int
    """How many wait now."""
    rate: float | None
    """Requests a second, where there is a pace."""
    blocked_until: datetime | None
    """Nobody asks before; aware."""
    windows: list[WindowStats]
    """In the order in which they were given."""


class SymbolParts(TypedDict):
    """What a venue's name of a market says; what there is not is ``None``."""

    symbol: str
    """The common form."""
    kind: Literal["spot", "linear", "inverse", "other"]
    base: str
    quote: str
    settle: str | None
    """What gains are paid in; ``None`` for spot."""
    expiry: date | None
    """The day on which a future ends."""
    exchange: str | None
    """Coinalyze's code of the venue."""
