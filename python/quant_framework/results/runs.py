"""Of runs: backfills, incremental runs, repairs of holes, writes, and what is missing after them."""

from __future__ import annotations

from typing import Literal, TypedDict

__all__ = [
    "BackfillReport",
    "BackfillResult",
    "ErrorKind",
    "Failed",
    "Failure",
    "Gap",
    "GapKind",
    "GapReport",
    "Plan",
    "Progress",
    "RepairReport",
    "SeriesHoles",
    "SeriesReport",
    "SeriesRows",
    "SeriesSummary",
    "StagedReference",
    "Status",
    "WriteReport",
    "WriteResult",
    "WrittenReport",
]

Status = Literal["success", "partial", "failed", "cancelled", "parked"]
"""How a run ended; what was done is kept in every case.

``success``: everything wanted is covered. ``partial``: some series failed, others did not. ``failed``: nothing of what
was missing could be fetched. ``cancelled``: somebody asked to stop. ``parked``: the source's quota is used up until
``until``.
"""


ErrorKind = Literal["unavailable", "rate_limited", "conflict", "invalid", "data", "cancelled", "internal"]
"""The ``kind`` of the exception in ``quant_framework.errors``."""


GapKind = Literal[
    "unknown",
    "empty",
    "beyond_retention",
    "not_listed",
    "outage",
    "no_trade",
    "unresolved",
    "missing",
    "lost",
]
"""Why bars are not there.

``unknown``: the source was not asked. ``empty``: it was, and had none; with a gap ledger one of ``not_listed`` (before
the first row, or a week after the last one), ``outage`` (two and more other series of the source have no row either),
``no_trade`` (asked often enough), ``unresolved``. ``beyond_retention``: the source has deleted them. Of a validation
also ``missing`` (no checkpoint to say more) and ``lost`` (the checkpoint says that there should be rows).
"""


class _Failure(TypedDict):
    kind: ErrorKind
    message: str


class Failure(_Failure, total=False):
    """One thing that went wrong: ``kind``, ``message`` (one line)."""

    series: str
    """Absent where the whole run is meant."""
    until: str
    """Of a refusal (``rate_limited``) that says when to ask again."""


class _Gap(TypedDict):
    start: str
    end: str
    bars: int
    kind: GapKind


class Gap(_Gap, total=False):
    """A hole in a series: ``start``, ``end``, ``bars`` (how many are missing) and ``kind``.

    What the gap ledger knows beside: ``attempts`` (how often the source was asked), ``first_seen``, ``last_checked``
    (by a repair).
    """

    attempts: int
    first_seen: str
    last_checked: str


class SeriesReport(TypedDict):
    """One series after a run."""

    series: str
    symbol: str
    """The source's own name."""
    data_type: str
    timeframe: str
    start: str
    """Of what was wanted, on the grid; closed bars only."""
    end: str
    rows: int
    """Written in this run."""
    restated: int
    """Those of them that took the place of another version."""
    quarantined: int
    """Of this run, kept apart because they cannot be true."""
    bars: int
    """In the ranges with rows: for a dense data type, the rows that are held."""
    covered: list[tuple[str, str]]
    """Ranges with rows."""
    coverage: float
    """Bars covered over bars wanted, 0 to 1; bars that the source does not have count as covered."""
    gaps: list[Gap]
    """Every hole in what was wanted, in order."""


class _Counters(TypedDict):
    chunks_planned: int
    """Missing at the start."""
    chunks_skipped: int
    """Covered already."""
    chunks_done: int
    """Fetched, written and committed."""
    records_written: int
    """Rows durably written in this run."""
    bytes_written: int
    rows_restated: int
    """Written in the place of another version, which the source has restated."""
    rows_quarantined: int
    """Cannot be true; kept apart in the lake, under ``_quarantine``."""
    rows_dropped: int
    """Repeated, or of bars that had not closed; not stored."""
    requests: int
    """Sent to the source, retries and look-ups included."""
    throttled_seconds: float
    """Waited for the source's quota, summed over concurrent requests."""


class _MaybeCounters(TypedDict, total=False):
    chunks_planned: int
    chunks_skipped: int
    chunks_done: int
    chunks_failed: int
    bytes_written: int
    rows_restated: int
    rows_quarantined: int
    rows_dropped: int
    requests: int
    throttled_seconds: float
    duration_seconds: float


class Progress(_Counters):
    """Counters of a run so far."""

    chunks_failed: int
    """Given up."""


class _BackfillReport(_Counters):
    status: Status
    duration_seconds: float
    errors: list[Failure]
    """Everything that went wrong."""
    series: list[SeriesReport]
    """One entry per series."""


class BackfillReport(_BackfillReport, total=False):
    """What a backfill, an incremental run or a repair of holes did."""

    until: str
    """When a parked run may go on; absent from every other one."""


class _Failed(TypedDict):
    status: Literal["failed"]
    errors: list[Failure]


class Failed(_Failed, _MaybeCounters, total=False):
    """A workflow that could not start, or broke off; of one that broke off with counters of what it did."""

    records_written: int


BackfillResult = BackfillReport | Failed
"""Of ``BackfillWorkflow``, ``IncrementalWorkflow`` and ``RepairWorkflow``."""


class Plan(TypedDict):
    """What a run would do, before it does anything."""

    series: int
    """To look at."""
    chunks: int
    """To fetch."""
    chunks_skipped: int
    """Covered already."""
    requests: int
    weight: int
    """What they cost of the source's quota."""
    bars: int
    """In the chunks."""
    bars_beyond_retention: int
    """That the source has deleted already."""
    least_seconds: float
    """Under the limit."""
    errors: list[Failure]
    """What can be known to be wrong."""


class _WriteReport(TypedDict):
    status: Status
    records_written: int
    errors: list[Failure]
    series: list[SeriesReport]


class WriteReport(_WriteReport, _MaybeCounters, total=False):
    """What a ``WriteWorkflow`` did: counters are summed over its references, the worst status stays."""

    until: str
    """When a parked run may go on; absent from every other one."""


WriteResult = WriteReport | Failed
"""Of ``WriteWorkflow``."""


class SeriesRows(TypedDict):
    """One series that was written: ``rows`` in this run, ``bars`` that are held."""

    series: str
    start: str
    end: str
    rows: int
    bars: int


class WrittenReport(TypedDict):
    """Of ``write_bronze``."""

    status: Status
    records_written: int
    bytes_written: int
    series: list[SeriesRows]


class StagedReference(TypedDict):
    """Rows of one series that lie in a staging place; what goes from a fetch task to a write task."""

    kind: str
    series: str | None
    """``None`` where no bar had closed yet."""
    ranges: list[list[str]]
    """What the source was asked for, pairs ``[start, end]``."""
    bars: int
    """Closed bars of which there are rows."""
    stage: str
    """URL of the place."""


class SeriesSummary(TypedDict):
    """One series in the XCom of a backfill, incremental or write task."""

    series: str
    start: str
    end: str
    rows: int
    coverage: float
    gaps: int
    """How many."""
    missing_bars: int


class SeriesHoles(TypedDict):
    """One series after ``repair_gaps``, with the holes that are left."""

    series: str
    start: str
    end: str
    rows: int
    coverage: float
    gaps: list[Gap]


class RepairReport(TypedDict):
    """Of ``repair_gaps``."""

    status: Status
    records_written: int
    requests: int
    series: list[SeriesHoles]


class GapReport(TypedDict):
    """Of ``detect_gaps``: what the checkpoint of a series, and the gap ledger beside it, say is missing."""

    series: str
    start: str
    end: str
    coverage: float
    """0 to 1."""
    bars: int
    """With rows."""
    gaps: list[Gap]
    """The first 100."""
    gap_count: int
    missing_bars: int
    """Of all kinds."""
    unknown_bars: int
    """That the source was never asked for."""
