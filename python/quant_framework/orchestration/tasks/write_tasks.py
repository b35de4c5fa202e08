"""Write staged rows into the lake, from a plain reference to plain counts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from quant_framework import settings
from quant_framework.errors import InvalidError
from quant_framework.ingestion.backfill import CheckpointStore
from quant_framework.ingestion.writers import BronzeWriter, SilverWriter
from quant_framework.orchestration.staged import Staged, is_summary
from quant_framework.orchestration.tasks.fetch_tasks import Stage
from quant_framework.orchestration.tasks.places import open_lake, open_store
from quant_framework.orchestration.tasks.running import Moment, aware, run, text, wait_for
from quant_framework.orchestration.workflows import WriteWorkflow

__all__ = ["compact", "write_bronze", "write_silver"]


def write_bronze(
    staged: Mapping[str, Any] | Sequence[Mapping[str, Any]],
    lake: str | BronzeWriter | None = None,
    checkpoint: str | CheckpointStore | None = None,
) -> dict[str, Any]:
    """Write what fetch tasks have staged into the bronze lake and commit it; what the lake has already stays.

    Args:
        staged: the result of ``fetch_ohlcv`` or ``fetch_open_interest``, or a list of them.
        lake: URL or writer; by default the environment's.
        checkpoint: URL or store; by default the environment's.

    Returns:
        ``status, records_written, bytes_written`` and ``series``: per series ``series, start, end, rows, bars``. Twice
        is once.

    """
    several = [staged] if isinstance(staged, Mapping) else list(staged)
    references = [Staged.parse(one, "staged") for one in several]
    result = run(WriteWorkflow(references, open_lake(lake), open_store(checkpoint), open_stage=Stage))
    series = [{name: one[name] for name in ("series", "start", "end", "rows", "bars")} for one in result["series"]]
    counts = {name: result.get(name, 0) for name in ("records_written", "bytes_written")}
    return {"status": result["status"], **counts, "series": series}


def write_silver(
    written: Mapping[str, Any], lake: str | BronzeWriter | None = None, silver: str | None = None
) -> dict[str, Any]:
    """Make silver of what was written into bronze.

    Args:
        written: the result of ``write_bronze``, or of a backfill: ``series`` lists each with ``start`` and ``end``.
        lake: the bronze lake, URL or writer; by default the environment's.
        silver: URL; by default the environment's, else beside the bronze lake.

    Returns:
        ``series``: per series what ``compact`` answers. Twice is once.

    """
    if not is_summary(written):
        raise InvalidError(f"written must be what write_bronze returns, not {str(written)[:80]!r}")
    place = open_lake(lake)
    return {"series": [compact(one["series"], one["start"], one["end"], place, silver) for one in written["series"]]}


def compact(
    series: str,
    start: Moment | None = None,
    end: Moment | None = None,
    lake: str | BronzeWriter | None = None,
    silver: str | SilverWriter | None = None,
) -> dict[str, Any]:
    """Make the periods of ``series`` (its key) that ``[start, end)`` touches, all where neither is given.

    Returns:
        ``series``, ``partitions`` (looked at), ``written`` (replaced), ``rows`` and ``bytes``, ``repeated`` and
        ``replaced`` (rows of bronze that a later object repeats or contradicts), ``quarantined`` (rows kept aside).

    """
    writer = silver
    if silver is None or isinstance(silver, str):
        place = open_lake(lake)
        writer = SilverWriter(silver or settings.silver_url(place.url), place)
    moments = [None if moment is None else aware(moment, name) for moment, name in ((start, "start"), (end, "end"))]
    return {"series": series, **wait_for(writer.compact, text(series, "series"), *moments)}
