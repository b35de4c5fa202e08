"""Write staged rows into the lake, from a plain reference to plain counts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, cast

from quant_framework import settings
from quant_framework.arguments import Moment
from quant_framework.errors import InvalidError
from quant_framework.ingestion.backfill import CheckpointStore
from quant_framework.ingestion.writers import BronzeWriter, SilverWriter
from quant_framework.orchestration.ports import IDataWriter
from quant_framework.orchestration.staged import Staged, is_summary
from quant_framework.orchestration.tasks.fetch_tasks import Stage
from quant_framework.orchestration.tasks.places import open_lake, open_store
from quant_framework.orchestration.tasks.running import moments, run, text, wait_for
from quant_framework.orchestration.workflows import WriteWorkflow
from quant_framework.results import SeriesCompaction, SilverReport, WriteReport, WrittenReport

__all__ = ["compact", "write_bronze", "write_silver"]


def write_bronze(
    staged: Mapping[str, Any] | Sequence[Mapping[str, Any]],
    lake: str | IDataWriter | None = None,
    checkpoint: str | CheckpointStore | None = None,
) -> WrittenReport:
    """Write what fetch tasks have staged into the bronze lake and commit it; what the lake has already stays.

    Args:
        staged: the result of ``fetch_ohlcv`` or ``fetch_open_interest``, or a list of them.
        lake: URL or writer; by default the environment's.
        checkpoint: URL or store; by default the environment's.

    Twice is once: a retry writes the same objects.

    Raises:
        InvalidError: no such reference, or nothing is staged there any more.
        QuantFrameworkError: of any other kind, as the run failed; what was written stays.

    """
    several = [staged] if isinstance(staged, Mapping) else list(staged)
    references = [Staged.parse(one, "staged") for one in several]
    result: WriteReport = run(WriteWorkflow(references, open_lake(lake), open_store(checkpoint), open_stage=Stage))
    names = ("series", "start", "end", "rows", "bars")
    series: list[Any] = [{name: cast("dict[str, Any]", one)[name] for name in names} for one in result["series"]]
    return {
        "status": result["status"],
        "records_written": result["records_written"],
        "bytes_written": result.get("bytes_written", 0),
        "series": series,
    }


def write_silver(
    written: Mapping[str, Any], lake: str | BronzeWriter | None = None, silver: str | None = None
) -> SilverReport:
    """Make silver of what was written into bronze.

    Args:
        written: the result of ``write_bronze``, or of a backfill: ``series`` lists each with ``start`` and ``end``.
        lake: the bronze lake, URL or writer; by default the environment's.
        silver: URL; by default the environment's, else beside the bronze lake.

    Twice is once.

    Raises:
        InvalidError: no such result.
        DataError: an object of bronze that cannot be read.
        UnavailableError: a lake did not answer as it should.

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
) -> SeriesCompaction:
    """Make the periods of ``series`` (its key) that ``[start, end)`` touches, all where neither is given.

    Args:
        series: its key.
        start: with ``end``, only the periods that ``[start, end)`` touches.
        end: see ``start``.
        lake: the bronze lake, URL or writer; by default the environment's.
        silver: URL or writer; by default the environment's, else beside the bronze lake.

    Raises:
        InvalidError: half a range, or no such key.
        DataError: an object of bronze that cannot be read.
        UnavailableError: a lake did not answer as it should.

    """
    if silver is None or isinstance(silver, str):
        place = open_lake(lake)
        silver = SilverWriter(silver or settings.silver_url(place.url), place)
    return {"series": series, **wait_for(silver.compact, text(series, "series"), *moments(start, end))}
