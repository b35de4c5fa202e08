"""Look at stored rows and at checkpoints, from plain values to plain reports."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, cast

from quant_framework import _core
from quant_framework.arguments import Moment, Rows
from quant_framework.ingestion.writers import BronzeWriter, ReportWriter
from quant_framework.orchestration.checks import check_wanted
from quant_framework.orchestration.ports import ICheckpointStore
from quant_framework.orchestration.staged import Staged
from quant_framework.orchestration.tasks.fetch_tasks import Stage
from quant_framework.orchestration.tasks.places import open_lake, open_readable, open_store
from quant_framework.orchestration.tasks.running import LISTED, aware, run, text, wait_for
from quant_framework.orchestration.workflows import ValidationWorkflow
from quant_framework.results import Comparison, GapReport, Restatement, SeriesValidation

__all__ = ["check_rows", "detect_gaps", "reconcile_sources", "restated_rows", "validate_rows", "validate_staged"]


def validate_rows(
    series: str,
    start: Moment,
    end: Moment,
    lake: str | BronzeWriter | None = None,
    thresholds: Mapping[str, float] | None = None,
    checks: Sequence[str] | None = None,
    checkpoint: str | ICheckpointStore | None = None,
    roll_up: str | None = None,
) -> SeriesValidation:
    """Look at the rows of ``series`` (its key) in ``lake`` that open in ``[start, end)``.

    Args:
        series: its key, ``source/data_type/symbol/timeframe``.
        start: aware datetime or ISO 8601 text.
        end: end (exclusive).
        lake: URL or writer of bronze; by default the environment's.
        thresholds: from where on something is a finding, by name, such as ``{"spike_factor": 50}``.
        checks: ids or codes of those that count, such as ``["values", "G1"]``; by default all.
        checkpoint: URL or store that tells gaps that the source does not have from those that nobody asked for; by
            default gaps are just missing.
        roll_up: a shorter timeframe of the same market in the lake, whose bars must add up to these.

    Raises:
        InvalidError: no such threshold or check, a lake that cannot be read, a timeframe that does not nest, or a
            series of which every bar is expected and of which the lake holds nothing, such as a misspelt one.
        DataError: an object that cannot be read.
        UnavailableError: the lake or the store did not answer as it should.

    """
    low, high = aware(start, "start"), aware(end, "end")
    place = open_readable(lake)
    options: dict[str, Any] = {**wanted(thresholds, checks), "roll_up": roll_up, "is_expected": True}
    if checkpoint is not None:
        options["checkpoint_store"] = open_store(checkpoint, "load")
    return _validated(place, text(series, "series"), low, high, options)


def _validated(
    place: _core.BronzeWriter, series: str, low: datetime, high: datetime, options: dict[str, Any]
) -> SeriesValidation:
    validation: SeriesValidation = _short(wait_for(_core.validate_rows, place, series, low, high, **options))
    return validation


def check_rows(
    rows: Rows,
    series: str,
    start: Moment,
    end: Moment,
    thresholds: Mapping[str, float] | None = None,
    checks: Sequence[str] | None = None,
) -> SeriesValidation:
    """Look at rows that are at hand as if they lay in the lake.

    Args:
        rows: of the series, in the order in which they would be stored.
        series: its key, ``source/data_type/symbol/timeframe``.
        start: aware datetime or ISO 8601 text.
        end: end (exclusive).
        thresholds: as for ``validate_rows``.
        checks: as for ``validate_rows``.

    Raises:
        InvalidError: no such threshold or check.
        DataError: rows of another shape than the series'.

    """
    low, high = aware(start, "start"), aware(end, "end")
    validation: SeriesValidation
    validation = _short(_core.check_rows(rows, text(series, "series"), low, high, **wanted(thresholds, checks)))
    return validation


def restated_rows(series: str, older: Rows, newer: Rows) -> Restatement:
    """What a source says now of bars against what it said then.

    Args:
        series: key of the series.
        older: its rows then, in any order.
        newer: its rows now, in any order.

    Raises:
        DataError: rows of another shape than the series'.

    """
    return _core.restated_rows(text(series, "series"), older, newer)


def validate_staged(
    staged: Mapping[str, Any],
    rows: BronzeWriter | None = None,
    thresholds: Mapping[str, float] | None = None,
    checks: Sequence[str] | None = None,
) -> list[SeriesValidation]:
    """Look at what a fetch task has staged: one report per range, as ``validate_rows``.

    Args:
        staged: the result of a fetch task.
        rows: the place it names, where the environment's credentials do not open it.
        thresholds: as for ``validate_rows``.
        checks: as for ``validate_rows``.

    Raises:
        InvalidError: no such reference, or as for ``validate_rows``.
        DataError: an object that cannot be read.
        UnavailableError: the place did not answer as it should.

    """
    reference = Staged.parse(staged, "staged")
    place = rows or Stage(reference.stage).rows
    series = str(reference.series)
    options = wanted(thresholds, checks)
    return [_validated(place, series, low, high, options) for low, high in reference.moments()]


def detect_gaps(series: str, start: Moment, end: Moment, checkpoint: str | ICheckpointStore | None = None) -> GapReport:
    """What the checkpoint of a series, and the gap ledger beside it, say is missing of ``[start, end)``.

    Args:
        series: its key.
        start: aware datetime or ISO 8601 text.
        end: end (exclusive).
        checkpoint: URL or store; by default the environment's.

    Returns:
        ``GapKind`` says what the kinds of gaps mean. ``no_trade`` is what was asked for three times, or as often as the
        last repair said; ``beyond_retention`` is what a repair found that nobody can ask for any more.

    Raises:
        UnavailableError: the store did not answer as it should.

    """
    low, high = aware(start, "start"), aware(end, "end")
    found = wait_for(_core.detect_gaps, open_store(checkpoint, "load"), text(series, "series"), low, high)
    names = ("series", "start", "end", "coverage", "bars", "gaps")
    result = {name: cast("dict[str, Any]", found)[name] for name in names}
    result["missing_bars"] = sum(gap["bars"] for gap in found["gaps"])
    result["unknown_bars"] = sum(gap["bars"] for gap in found["gaps"] if gap["kind"] == "unknown")
    return cast("GapReport", _short(result))


def reconcile_sources(
    series: Sequence[str],
    start: Moment,
    end: Moment,
    lake: str | BronzeWriter | None = None,
    tolerance: float = 0.001,
    volume_tolerance: float | None = None,
    thresholds: Mapping[str, float] | None = None,
    checks: Sequence[str] | None = None,
    checkpoint: str | ICheckpointStore | None = None,
    report: str | ReportWriter | None = None,
) -> Comparison:
    """Compare two or more series of one market in ``lake`` with the first.

    Args:
        series: keys; the first counts as right.
        start: aware datetime or ISO 8601 text.
        end: end (exclusive).
        lake: URL or writer of bronze; by default the environment's.
        tolerance: by what fraction of the greater one the values (the close of a bar) may differ.
        volume_tolerance: the same for the volume; by default volumes are not compared.
        thresholds: as for ``validate_rows``.
        checks: as for ``validate_rows``.
        checkpoint: as for ``validate_rows``.
        report: where a page, its numbers and its bars go, URL or writer; by default nothing is written.

    Raises:
        QuantFrameworkError: of any kind; the comparison could not be made. That sources differ is not an error.

    """
    low, high = aware(start, "start"), aware(end, "end")
    workflow = ValidationWorkflow(
        open_lake(lake),
        series,
        start=low,
        end=high,
        tolerance=tolerance,
        volume_tolerance=volume_tolerance,
        thresholds=thresholds,
        checks=checks,
        report=ReportWriter(report) if isinstance(report, str) else report,
        checkpoint_store=None if checkpoint is None else open_store(checkpoint, "load"),
    )
    comparison: Comparison = run(workflow)
    return comparison


def wanted(thresholds: Mapping[str, float] | None, checks: Sequence[str] | None) -> dict[str, Any]:
    """Both as the core takes them.

    Raises:
        InvalidError: one is of the wrong kind.

    """
    check_wanted(thresholds, checks)
    return {"thresholds": thresholds and dict(thresholds), "checks": checks and list(checks)}


def _short(report: Mapping[str, Any]) -> Any:
    """``report`` with the first gaps only."""
    return {"gap_count": len(report["gaps"]), **report, "gaps": report["gaps"][:LISTED]}
