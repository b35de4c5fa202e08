"""Ask again for the holes of stored series, from plain values to a plain report."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from quant_framework import settings
from quant_framework.ingestion.backfill import CheckpointStore
from quant_framework.ingestion.writers import BronzeWriter
from quant_framework.orchestration.ports import IDataAdapter, IRateLimiter
from quant_framework.orchestration.tasks.places import open_lake, open_source, open_store
from quant_framework.orchestration.tasks.running import Moment, aware, run
from quant_framework.orchestration.workflows import RepairWorkflow
from quant_framework.orchestration.workflows.repair_workflow import ATTEMPTS, PAUSE, Hole

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
    lake: str | BronzeWriter | None = None,
    checkpoint: str | CheckpointStore | None = None,
    attempts: int = ATTEMPTS,
    pause: float = PAUSE,
    force: bool = False,
) -> dict[str, Any]:
    """Ask ``source`` again for the holes of ``series`` (keys), or for ``holes``; see ``RepairWorkflow``.

    Returns:
        ``status, records_written, requests`` and ``series``: per series ``series, start, end, rows, coverage`` and the
        ``gaps`` that are left, each ``start, end, bars, kind, attempts, first_seen, last_checked``.

    """
    adapter = open_source(source, adapter_options)
    is_place = rate_limit is None or isinstance(rate_limit, str)
    parts = {
        "adapter": adapter,
        "rate_limiter": settings.open_limiter(adapter, rate_limit) if is_place else rate_limit,
        "writer": open_lake(lake),
        "checkpoint_store": open_store(checkpoint),
    }
    moments = [None if moment is None else aware(moment, name) for moment, name in ((start, "start"), (end, "end"))]
    options = {"attempts": attempts, "pause": pause, "force": force, "start": moments[0], "end": moments[1]}
    result = run(RepairWorkflow(series=series, holes=holes, **options, **parts))
    names = ("series", "start", "end", "rows", "coverage", "gaps")
    shown = [{name: one[name] for name in names} for one in result["series"]]
    return {name: result[name] for name in ("status", "records_written", "requests")} | {"series": shown}
