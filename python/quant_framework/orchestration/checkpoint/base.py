"""What every store shares, and the stores that need no server."""

from quant_framework.ingestion.backfill import (
    Checkpoint,
    CheckpointManager,
    CheckpointStore,
    LocalCheckpointStore,
    MemoryCheckpointStore,
    open_checkpoint_store,
)

__all__ = [
    "Checkpoint",
    "CheckpointManager",
    "CheckpointStore",
    "LocalCheckpointStore",
    "MemoryCheckpointStore",
    "open_checkpoint_store",
]
