"""Of checks of stored rows and comparisons of sources."""

from __future__ import annotations

from typing import Literal, TypedDict

from quant_framework.results.runs import Failed, Failure, Gap, StagedReference, Status

__all__ = [
    "Comparison",
    "ComparisonResult",
    "Differing",
    "FilledHole",
    "Finding",
    "Lag",
    "MissingBars",
    "OneSided",
    "Pair",
    "ParkedComparison",
    "Reconciled",
    "ReportAddresses",
    "Restatement",
    "SeriesValidation",
    "ValidatedReport",
]


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


class ParkedComparison(TypedDict):
    """A comparison whose holes cannot all be fetched now: the quota of their source is used up."""

    status: Literal["parked"]
    until: str
    """When it may go on."""
    backfilled: list[FilledHole]
    """So far."""


ComparisonResult = Comparison | ParkedComparison | Failed
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
