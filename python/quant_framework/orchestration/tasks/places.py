"""The lake and the checkpoints of a plain function: a URL, an object, or the environment's."""

from __future__ import annotations

from quant_framework import settings
from quant_framework.errors import InvalidError
from quant_framework.ingestion.backfill import CheckpointStore, open_checkpoint_store
from quant_framework.ingestion.writers import BronzeWriter


def open_store(checkpoint: str | CheckpointStore | None) -> CheckpointStore:
    """The store at a URL, or itself."""
    if checkpoint is None or isinstance(checkpoint, str):
        return open_checkpoint_store(checkpoint or settings.checkpoint_url())
    if not hasattr(checkpoint, "load_sync"):
        raise InvalidError(f"checkpoint must be a URL or a store, not a {type(checkpoint).__name__}")
    return checkpoint


def open_lake(lake: str | BronzeWriter | None) -> BronzeWriter:
    """The lake at a URL, or itself."""
    if lake is None or isinstance(lake, str):
        return BronzeWriter(lake or settings.lake_url())
    if not hasattr(lake, "write"):
        raise InvalidError(f"lake must be a URL or a writer, not a {type(lake).__name__}")
    return lake
