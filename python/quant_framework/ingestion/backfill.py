"""What is remembered of a backfill."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from urllib.parse import unquote, urlsplit

from quant_framework._core import Checkpoint, LocalCheckpointStore, MemoryCheckpointStore
from quant_framework.errors import InvalidError

__all__ = [
    "Checkpoint",
    "CheckpointManager",
    "LocalCheckpointStore",
    "MemoryCheckpointStore",
    "open_checkpoint_store",
]


def open_checkpoint_store(url: str | Path) -> LocalCheckpointStore | MemoryCheckpointStore:
    """The store behind ``memory:``, ``file:///folder`` or an absolute path."""
    text = str(url)
    if text == "memory:":
        return MemoryCheckpointStore()
    if text.startswith("file:///"):
        return LocalCheckpointStore(unquote(urlsplit(text).path))
    if text.startswith("/"):
        return LocalCheckpointStore(text)
    raise InvalidError(f"checkpoint URL {text!r} is neither memory: nor file:///absolute/path")


class CheckpointManager:
    """The questions an author asks of a store. Series are keys: ``source/data_type/symbol/timeframe``."""

    def __init__(self, store: object) -> None:
        self.store = store

    async def load(self, series: str) -> Checkpoint | None:
        """Everything known of ``series``, or ``None``."""
        return await self.store.load(series)

    async def resume_point(self, series: str) -> datetime | None:
        """End of the unbroken coverage of ``series`` from its first known moment on."""
        checkpoint = await self.load(series)
        return checkpoint.watermark if checkpoint else None

    async def pending(self, series: str, start: datetime, end: datetime) -> list[tuple[datetime, datetime]]:
        """The parts of ``[start, end)`` of which nothing is known."""
        checkpoint = await self.load(series)
        pending, cursor = [], start
        for low, high in sorted([*checkpoint.data, *checkpoint.empty] if checkpoint else []):
            if high <= cursor or low >= end:
                continue
            if low > cursor:
                pending.append((cursor, low))
            cursor = high
        return [*pending, (cursor, end)] if cursor < end else pending

    async def list(self, prefix: str = "") -> list[str]:
        """The keys that start with ``prefix``."""
        return await self.store.list(prefix)

    async def reset(self, series: str) -> int:
        """Forget what is known of ``series``; the number of the new generation."""
        return await self.store.reset(series)
