"""Write staged rows into the lake, from a plain reference to plain counts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from quant_framework.ingestion.backfill import CheckpointStore
from quant_framework.ingestion.writers import BronzeWriter
from quant_framework.orchestration.staged import Staged
from quant_framework.orchestration.tasks.fetch_tasks import Stage
from quant_framework.orchestration.tasks.places import open_lake, open_store
from quant_framework.orchestration.tasks.running import run
from quant_framework.orchestration.workflows import WriteWorkflow

__all__ = ["write_bronze"]


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
