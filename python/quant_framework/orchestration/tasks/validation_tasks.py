"""Look at stored rows and at checkpoints, from plain values to plain reports."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from quant_framework import _core
from quant_framework.errors import InvalidError
from quant_framework.ingestion.backfill import CheckpointStore
from quant_framework.ingestion.writers import BronzeWriter, ReportWriter
from quant_framework.orchestration.checks import check_wanted
from quant_framework.orchestration.staged import Staged
from quant_framework.orchestration.tasks.fetch_tasks import Stage
from quant_framework.orchestration.tasks.places import open_lake, open_store
from quant_framework.orchestration.tasks.running import Moment, aware, run, text, wait_for
from quant_framework.orchestration.workflows import ValidationWorkflow

__all__ = ["check_rows", "detect_gaps", "reconcile_sources", "restated_rows", "validate_rows", "validate_staged"]

MOST = 100
"""So many gaps go into a result; XComs are small."""


def validate_rows(
    series: str,
    start: Moment,
    end: Moment,
    lake: str | BronzeWriter | None = None,
    thresholds: Mapping[str, float] | None = None,
    checks: Sequence[str] | None = None,
    checkpoint: str | CheckpointStore | None = None,
    roll_up: str | None = None,
) -> dict[str, Any]:
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

    Returns:
        ``series, start, end, checks_version, ok, rows, bars, findings`` (each ``check, code, severity, count, first``),
        the first 100 ``gaps`` (``start, end, bars, kind``), and ``gap_count``. ``ok`` says that no finding is an error.
        docs/validation.md lists the checks.

    """
    low, high = aware(start, "start"), aware(end, "end")
    place = open_lake(lake)
    if not isinstance(place, _core.BronzeWriter):
        raise InvalidError(f"a lake of type {type(place).__name__} cannot be read", "pass a BronzeWriter, or its URL")
    options = {**wanted(thresholds, checks), "roll_up": roll_up}
    if checkpoint is not None:
        options["checkpoint_store"] = open_store(checkpoint, "load")
    return _short(wait_for(_core.validate_rows, place, text(series, "series"), low, high, **options))


def check_rows(
    rows: Any,
    series: str,
    start: Moment,
    end: Moment,
    thresholds: Mapping[str, float] | None = None,
    checks: Sequence[str] | None = None,
) -> dict[str, Any]:
    """Look at rows that are at hand (Arrow data, a DataFrame, a dict of columns) as if they lay in the lake.

    The result is that of ``validate_rows``.
    """
    low, high = aware(start, "start"), aware(end, "end")
    return _short(_core.check_rows(rows, text(series, "series"), low, high, **wanted(thresholds, checks)))


def restated_rows(series: str, older: Any, newer: Any) -> dict[str, Any]:
    """What a source says now of bars of ``series`` (its key) against what it said then.

    Returns:
        ``shared`` (bars in both), ``restated`` (of those, the ones that differ), ``first`` (of these), ``withdrawn``
        and ``added`` (bars in one only).

    """
    return _core.restated_rows(text(series, "series"), older, newer)


def validate_staged(
    staged: Mapping[str, Any],
    rows: BronzeWriter | None = None,
    thresholds: Mapping[str, float] | None = None,
    checks: Sequence[str] | None = None,
) -> list[dict[str, Any]]:
    """Look at what a fetch task has staged: one report per range, as ``validate_rows``.

    Args:
        staged: the result of a fetch task.
        rows: the place it names, where the environment's credentials do not open it.
        thresholds: as for ``validate_rows``.
        checks: as for ``validate_rows``.

    """
    reference = Staged.parse(staged, "staged")
    place = rows or Stage(reference.stage).rows
    series = str(reference.series)
    return [validate_rows(series, low, high, place, thresholds, checks) for low, high in reference.moments()]


def detect_gaps(
    series: str, start: Moment, end: Moment, checkpoint: str | CheckpointStore | None = None
) -> dict[str, Any]:
    """What the checkpoint of ``series`` (its key), and the gap ledger beside it, say is missing of ``[start, end)``.

    Returns:
        ``series, start, end, coverage`` (0 to 1), ``bars`` (with rows), the first 100 ``gaps``, ``gap_count``,
        ``missing_bars`` (of all kinds) and ``unknown_bars``. A gap has ``start, end, bars`` and ``kind``: ``unknown``
        where the source was not asked. Where it was and had nothing: ``not_listed`` before the first row, or a week
        after the last one; ``outage`` where two and more other series of the source have no row either; ``no_trade``
        where it was asked three times, or as often as the last repair said; else ``unresolved``; these have
        ``attempts, first_seen`` and ``last_checked`` too. ``beyond_retention``: a repair found that nobody can ask any
        more.

    """
    low, high = aware(start, "start"), aware(end, "end")
    found = wait_for(_core.detect_gaps, open_store(checkpoint, "load"), text(series, "series"), low, high)
    result = {name: found[name] for name in ("series", "start", "end", "coverage", "bars", "gaps")}
    result["missing_bars"] = sum(gap["bars"] for gap in found["gaps"])
    result["unknown_bars"] = sum(gap["bars"] for gap in found["gaps"] if gap["kind"] == "unknown")
    return _short(result)


def reconcile_sources(
    series: Sequence[str],
    start: Moment,
    end: Moment,
    lake: str | BronzeWriter | None = None,
    tolerance: float = 0.001,
    volume_tolerance: float | None = None,
    thresholds: Mapping[str, float] | None = None,
    checks: Sequence[str] | None = None,
    checkpoint: str | CheckpointStore | None = None,
    report: str | ReportWriter | None = None,
) -> dict[str, Any]:
    """Compare two or more series (keys) of one market in ``lake`` with the first; see ``ValidationWorkflow``.

    ``report`` is where the page, the numbers and the bars go, a URL or a writer; by default nothing is written.
    """
    low, high = aware(start, "start"), aware(end, "end")
    options = {"tolerance": tolerance, "volume_tolerance": volume_tolerance, "thresholds": thresholds, "checks": checks}
    options["report"] = ReportWriter(report) if isinstance(report, str) else report
    options["checkpoint_store"] = None if checkpoint is None else open_store(checkpoint, "load")
    return run(ValidationWorkflow(open_lake(lake), series, start=low, end=high, **options))


def wanted(thresholds: Mapping[str, float] | None, checks: Sequence[str] | None) -> dict[str, Any]:
    """Both as the core takes them; ``InvalidError`` where one is of the wrong kind."""
    check_wanted(thresholds, checks)
    return {"thresholds": thresholds and dict(thresholds), "checks": checks and list(checks)}


def _short(report: dict[str, Any]) -> dict[str, Any]:
    return {"gap_count": len(report["gaps"]), **report, "gaps": report["gaps"][:MOST]}
