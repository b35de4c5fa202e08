"""Look at stored rows and at checkpoints, from plain values to plain reports."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from quant_framework import _core
from quant_framework.errors import InvalidError
from quant_framework.ingestion.backfill import CheckpointStore
from quant_framework.ingestion.writers import BronzeWriter
from quant_framework.orchestration.staged import Staged
from quant_framework.orchestration.tasks.fetch_tasks import Stage
from quant_framework.orchestration.tasks.places import open_lake, open_store
from quant_framework.orchestration.tasks.running import Moment, aware, run, text, wait_for
from quant_framework.orchestration.workflows import ValidationWorkflow

__all__ = ["detect_gaps", "reconcile_sources", "validate_rows", "validate_staged"]

MOST = 100
"""So many gaps go into a result; XComs are small."""


def validate_rows(series: str, start: Moment, end: Moment, lake: str | BronzeWriter | None = None) -> dict[str, Any]:
    """Look at the rows of ``series`` (its key) in ``lake`` that open in ``[start, end)``.

    Returns:
        ``series, start, end, ok, rows, bars, findings`` (each ``check, severity, count, first``), the first 100
        ``gaps`` (``start, end, bars, kind``), and ``gap_count``. ``ok`` says that no finding is an error: rows
        outside the range or off the grid, contradicting or impossible ones. Missing and repeated bars are warnings.

    """
    low, high = aware(start, "start"), aware(end, "end")
    place = open_lake(lake)
    if not isinstance(place, _core.BronzeWriter):
        raise InvalidError(f"a lake of type {type(place).__name__} cannot be read", "pass a BronzeWriter, or its URL")
    return _short(wait_for(_core.validate_rows, place, text(series, "series"), low, high))


def validate_staged(staged: Mapping[str, Any], rows: BronzeWriter | None = None) -> list[dict[str, Any]]:
    """Look at what a fetch task has staged: one report per range, as ``validate_rows``.

    Args:
        staged: the result of a fetch task.
        rows: the place it names, where the environment's credentials do not open it.

    """
    reference = Staged.parse(staged, "staged")
    place = rows or Stage(reference.stage).rows
    return [validate_rows(str(reference.series), low, high, place) for low, high in reference.moments()]


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
) -> dict[str, Any]:
    """Compare two or more series (keys) of one market in ``lake`` with the first; see ``ValidationWorkflow``."""
    low, high = aware(start, "start"), aware(end, "end")
    tolerances = {"tolerance": tolerance, "volume_tolerance": volume_tolerance}
    return run(ValidationWorkflow(open_lake(lake), series, start=low, end=high, **tolerances))


def _short(report: dict[str, Any]) -> dict[str, Any]:
    return report | {"gaps": report["gaps"][:MOST], "gap_count": len(report["gaps"])}
