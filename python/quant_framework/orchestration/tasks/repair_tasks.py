"""Ask again for the holes of stored series, from plain values to a plain report."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from quant_framework import settings
from quant_framework.arguments import Hole, Moment
from quant_framework.ingestion.backfill import CheckpointStore
from quant_framework.orchestration.ports import IDataAdapter, IDataWriter, IRateLimiter
from quant_framework.orchestration.tasks.places import open_lake, open_quota, open_source, open_store
from quant_framework.orchestration.tasks.running import moments, run
from quant_framework.orchestration.workflows import RepairWorkflow
from quant_framework.orchestration.workflows.repair_workflow import ATTEMPTS, PAUSE
from quant_framework.results import BackfillReport, RepairReport

__all__ = ["repair_gaps"]


def repair_gaps(
    series: Sequence[str] | None = None,
    holes: Sequence[Hole] | None = None,
    start: Moment | None = None,
    end: Moment | None = None,
    source: str | IDataAdapter = settings.DEFAULT_SOURCE,
    *,
    adapter_options: Mapping[str, Any] | None = None,
    rate_limit: str | IRateLimiter | None = None,
    lake: str | IDataWriter | None = None,
    checkpoint: str | CheckpointStore | None = None,
    attempts: int = ATTEMPTS,
    pause: float = PAUSE,
    force: bool = False,
) -> RepairReport:
    """Ask ``source`` again for the holes of ``series`` (keys), or for ``holes``.

    Args:
        series: keys; see ``RepairWorkflow``, as for ``holes``, ``attempts``, ``pause`` and ``force``.
        holes: instead, what to ask for.
        start: where to look; by default where the checkpoint of each series begins.
        end: where to stop looking (exclusive); by default now.
        source: a source's name, or an adapter.
        adapter_options: of the source's adapter.
        rate_limit: URL of the place where the source's quota is shared, or a limiter; by default the environment's.
        lake: URL or writer of bronze; by default the environment's.
        checkpoint: URL or store; by default the environment's.
        attempts: a hole that the source had nothing for so often is settled.
        pause: seconds between the first repair of a hole and the second; doubles each time.
        force: ask for every hole now, settled or not.

    Raises:
        QuantFrameworkError: of any kind, as the run failed; what was written stays.

    """
    adapter = open_source(source, adapter_options)
    low, high = moments(start, end)
    workflow = RepairWorkflow(
        adapter=adapter,
        writer=open_lake(lake),
        checkpoint_store=open_store(checkpoint),
        rate_limiter=open_quota(adapter, rate_limit),
        series=series,
        holes=holes,
        start=low,
        end=high,
        attempts=attempts,
        pause=pause,
        force=force,
    )
    result: BackfillReport = run(workflow)
    return {
        "status": result["status"],
        "records_written": result["records_written"],
        "requests": result["requests"],
        "series": [
            {
                "series": one["series"],
                "start": one["start"],
                "end": one["end"],
                "rows": one["rows"],
                "coverage": one["coverage"],
                "gaps": one["gaps"],
            }
            for one in result["series"]
        ],
    }
