"""What is remembered of a backfill."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from quant_framework import _core
from quant_framework._core import Checkpoint
from quant_framework.arguments import Keys, Ranges
from quant_framework.ingestion.checkpoint_stores import (
    CheckpointStore,
    DatabaseCheckpointStore,
    HybridCheckpointStore,
    LocalCheckpointStore,
    MemoryCheckpointStore,
    MinIOCheckpointStore,
    open_checkpoint_store,
)
from quant_framework.ingestion.writers import BronzeWriter
from quant_framework.results import CheckpointRepair, CoverageProgress

__all__ = [
    "Checkpoint",
    "CheckpointManager",
    "CheckpointStore",
    "DatabaseCheckpointStore",
    "HybridCheckpointStore",
    "LocalCheckpointStore",
    "MemoryCheckpointStore",
    "MinIOCheckpointStore",
    "open_checkpoint_store",
]


class CheckpointManager:
    """The questions an author asks of a store. Series are keys: ``source/data_type/symbol/timeframe``.

    Args:
        store: any checkpoint store, native or not. Streaming and backfill share one record per series.

    """

    def __init__(self, store: Any) -> None:
        self.store = store

    async def load(self, series: str) -> Checkpoint | None:
        """Everything known of ``series``, or ``None``."""
        held = await self._ask("load", series)
        if held is None or isinstance(held, Checkpoint):
            return held
        names = ("generation", "cursor", "fingerprint")
        facts = {name: getattr(held, name) for name in names if getattr(held, name, None) is not None}
        return Checkpoint(list(held.data), list(held.empty), **facts)

    async def commit(self, series: str, data: Ranges | None = None, empty: Ranges | None = None, **facts: Any) -> None:
        """Merge ranges (and ``cursor=``, ``generation=``, ``fingerprint=``) in; durable on return."""
        await self._ask("commit", series, data, empty, **facts)

    async def resume_point(self, series: str) -> datetime | None:
        """End of the unbroken coverage of ``series`` from its first known moment on: a stream's watermark."""
        checkpoint = await self.load(series)
        return checkpoint.watermark if checkpoint else None

    async def cursor(self, series: str) -> str | None:
        """What a stream has committed as ``cursor``; opaque here."""
        checkpoint = await self.load(series)
        return checkpoint.cursor if checkpoint else None

    async def pending(self, series: str, start: datetime, end: datetime) -> Ranges:
        """The parts of ``[start, end)`` of which nothing is known."""
        checkpoint = await self.load(series)
        return (checkpoint or Checkpoint()).missing(start, end)

    async def progress(self, series: str, start: datetime, end: datetime) -> CoverageProgress:
        """How far ``[start, end)`` is done."""
        checkpoint = await self.load(series) or Checkpoint()
        pending = checkpoint.missing(start, end)
        left = sum((high - low).total_seconds() for low, high in pending)
        return {
            "series": series,
            "covered": 1 - left / (end - start).total_seconds(),
            "pending": pending,
            "empty": [(max(a, start), min(b, end)) for a, b in checkpoint.empty if a < end and b > start],
            "watermark": checkpoint.watermark,
            "generation": checkpoint.generation,
        }

    async def list(self, prefix: str = "") -> Keys:
        """The keys that start with ``prefix``."""
        keys: Keys = await self._ask("list", prefix)
        return keys

    async def reset(self, series: str) -> int:
        """Forget what is known of ``series``; the number of the new generation. Late commits of older ones are void."""
        generation: int = await self._ask("reset", series)
        return generation

    async def delete(self, series: str) -> None:
        """Remove every trace of ``series``; no error where there is none."""
        await self._ask("delete", series)

    async def export(self, prefix: str = "") -> str:
        """The checkpoints whose keys start with ``prefix``, as one readable JSON document."""
        return await _core.export_checkpoints(self.store, prefix)

    async def load_export(self, document: str) -> int:
        """Merge what ``export`` wrote; the number of its series.

        Raises:
            InvalidError: no such document; nothing was merged.

        """
        return await _core.import_checkpoints(self.store, document)

    async def repair(
        self,
        prefix: str = "",
        *,
        lake: BronzeWriter | None = None,
        replace_damaged: bool = False,
        names_only: bool = False,
    ) -> CheckpointRepair:
        """Make checkpoints right again.

        Args:
            prefix: only series whose key starts so.
            lake: also commit what the objects of this bronze lake prove: rebuilds what was lost.
            replace_damaged: set checkpoints aside that cannot be read (a local or S3 one stays as ``.damaged``).
            names_only: believe the objects' names and do not look inside; fast, and holes inside are no longer known.

        Raises:
            UnavailableError: a store or the lake did not answer as it should.

        """
        return await _core.repair_checkpoints(
            self.store, prefix, lake=lake, replace_damaged=replace_damaged, names_only=names_only
        )

    async def _ask(self, method: str, *arguments: Any, **named: Any) -> Any:
        answer = getattr(self.store, method)(*arguments, **named)
        return await answer if hasattr(answer, "__await__") else answer
