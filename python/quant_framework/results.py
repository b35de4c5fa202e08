"""Types of what comes out: the dicts that workflows, tasks and operators answer.

All are plain dicts of JSON values, small enough for an XCom, unless a field says otherwise. Times are ISO 8601 texts in
UTC, ranges half-open ``[start, end)``, durations seconds, sizes bytes; a series is a key such as
``coinalyze/ohlcv/BTCUSDT_PERP.A/1m``.

The result of a workflow is a union: look at ``status`` first. A run that could not start, or broke off, is a
``Failed``, which may lack everything else::

    result = asyncio.run(workflow.execute(context))
    if result["status"] == "failed":
        raise SystemExit(result["errors"])
"""

from __future__ import annotations

from datetime import date, datetime
from typing import Literal, TypedDict

from quant_framework.arguments import Range

__all__ = [
    "BackfillReport",
    "BackfillResult",
    "Capability",
    "CheckpointRepair",
    "CheckpointState",
    "CheckpointWritten",
    "Compaction",
    "Comparison",
    "ComparisonResult",
    "CoverageProgress",
    "Derived",
    "DerivedReport",
    "Differing",
    "ErrorKind",
    "Failed",
    "Failure",
    "FilledHole",
    "Finding",
    "Gap",
    "GapKind",
    "GapReport",
    "IncompleteCoarserBar",
    "Lag",
    "LimiterStats",
    "MissingBars",
    "OneSided",
    "Pair",
    "Plan",
    "Progress",
    "Reconciled",
    "RepairReport",
    "ReportAddresses",
    "Restatement",
    "SeriesCompaction",
    "SeriesHoles",
    "SeriesReport",
    "SeriesRows",
    "SeriesSummary",
    "SeriesValidation",
    "SilverReport",
    "SourceRows",
    "StagedReference",
    "Status",
    "SymbolParts",
    "UnknownBars",
    "ValidatedReport",
    "WindowStats",
    "WriteReceipt",
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


class WriteReport(_WriteReport, _MaybeCounters):
    """What a ``WriteWorkflow`` did: counters are summed over its references, the worst status stays."""


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


class Finding(TypedDict):
    """One kind of trouble in the rows of a series."""

    check: str
    """Id of the check; docs/validation.md lists them."""
    code: str
    """Its family."""
    severity: Literal["error", "warning", "info"]
    count: int
    """Rows; bars where there is no row; objects for ``lineage``, ``overlap`` and ``orphan``."""
    first: str
    """Open time of the first one."""


class SeriesValidation(TypedDict):
    """The rows of one series over a range, looked at."""

    series: str
    start: str
    end: str
    checks_version: int
    ok: bool
    """Whether no finding is an error."""
    rows: int
    """That there are."""
    bars: int
    """Closed ones of the range."""
    findings: list[Finding]
    """The worst first."""
    gaps: list[Gap]
    """For a dense data type, the closed bars without a row; the first 100, of the core and a comparison 1,000."""
    gap_count: int
    """How many such runs there are."""


class ValidatedReport(TypedDict):
    """Of a ``ValidationOperator``."""

    kind: str
    ok: bool
    reports: list[SeriesValidation]
    """The first 50, each with its first 10 gaps."""
    report_count: int
    looked_at: list[StagedReference | dict[str, object]]
    """What it got, for the task after it."""


class OneSided(TypedDict):
    """Bars that one of two series has and the other lacks: ``ranges`` are runs of them, the first thousand."""

    bars: int
    ranges: list[tuple[str, str]]


class Differing(TypedDict):
    """Bars that differ by more than the tolerance."""

    bars: int
    worst: float
    """The greatest difference, as a fraction; also where it is within the tolerance."""
    worst_at: str | None
    first: str | None
    """Open time of the first bar that differs."""


class Lag(TypedDict):
    """Whether one side's stamps are later than the other's."""

    bars: int
    """By which the second is stamped later than the first, where they move together best."""
    correlation: float | None
    """How much they do then, -1 to 1; ``None`` where there is too little to say."""
    correlation_unshifted: float | None
    is_shifted: bool
    """Whether that is clear enough to be a finding."""


class _Pair(TypedDict):
    left: str
    right: str
    shared: int
    only_left: OneSided
    only_right: OneSided
    value: Differing


class Pair(_Pair, total=False):
    """A series (``right``) against the first one (``left``), which counts as right; ``value`` is the close of a bar."""

    volume: Differing
    """Where it was compared."""
    lag: Lag
    """Not for sparse data types."""


class MissingBars(TypedDict):
    """Closed bars that another source has and this series lacks."""

    series: str
    start: str
    end: str
    bars: int


class _FilledHole(MissingBars):
    status: Status


class FilledHole(_FilledHole, total=False):
    """A hole, and what became of the workflow that fetched it."""

    records_written: int
    errors: list[Failure]


class ReportAddresses(TypedDict):
    """Where a report lies: a page, its numbers, and the bars that differ."""

    html: str
    json: str
    parquet: str


class _Reconciled(TypedDict):
    start: str
    end: str
    checks_version: int
    agrees: bool
    """Whether every series has no error of its own and agrees with the first."""
    tolerance: float
    volume_tolerance: float | None
    series: list[SeriesValidation]
    pairs: list[Pair]
    holes: list[MissingBars]
    """Of a dense data type, what a backfill may fetch."""


class Reconciled(_Reconciled, total=False):
    """Several sources of one market over one range, each but the first compared with the first."""

    report: ReportAddresses
    """Where one was asked for."""


class _Comparison(_Reconciled):
    status: Literal["success"]


class Comparison(_Comparison, total=False):
    """A comparison of sources that could be made; ``agrees`` says what came of it."""

    report: ReportAddresses
    """Where one was asked for."""
    backfilled: list[FilledHole]
    """Where holes were to be fetched."""


ComparisonResult = Comparison | Failed
"""Of ``ValidationWorkflow``."""


class Restatement(TypedDict):
    """What a source says now of bars, against what it said then."""

    shared: int
    """Bars that both have."""
    restated: int
    """Of those, the ones that differ."""
    first: str | None
    """Open time of the first of these."""
    withdrawn: int
    """Bars that only the older rows have."""
    added: int
    """Bars that only the newer rows have."""


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
