"""The lake and the checkpoints of a plain function: a URL, an object, or the environment's."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from quant_framework import settings
from quant_framework.errors import InvalidError
from quant_framework.ingestion.backfill import CheckpointStore, open_checkpoint_store
from quant_framework.ingestion.writers import BronzeWriter
from quant_framework.orchestration.checks import check_adapter
from quant_framework.orchestration.ports import IDataAdapter


def open_store(checkpoint: str | CheckpointStore | None, method: str = "load_sync") -> CheckpointStore:
    """The store at a URL, or itself; ``method`` is what it must have."""
    if checkpoint is None or isinstance(checkpoint, str):
        return open_checkpoint_store(checkpoint or settings.checkpoint_url())
    if not hasattr(checkpoint, method):
        raise InvalidError(f"checkpoint must be a URL or a store, not a {type(checkpoint).__name__}")
    return checkpoint


def open_lake(lake: str | BronzeWriter | None) -> BronzeWriter:
    """The lake at a URL, or itself."""
    if lake is None or isinstance(lake, str):
        return BronzeWriter(lake or settings.lake_url())
    if not hasattr(lake, "write"):
        raise InvalidError(f"lake must be a URL or a writer, not a {type(lake).__name__}")
    return lake


def open_source(source: str | IDataAdapter, options: Mapping[str, Any] | None = None) -> IDataAdapter:
    """The adapter of a source's name, or itself."""
    if isinstance(source, str):
        return settings.open_adapter(source, **(options or {}))
    return check_adapter(source)
