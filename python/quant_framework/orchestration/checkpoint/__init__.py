"""Checkpoints: what is known of each series, shared by streaming and backfill. Works without Airflow."""

from quant_framework.orchestration.checkpoint.base import (
    Checkpoint,
    CheckpointManager,
    CheckpointStore,
    LocalCheckpointStore,
    MemoryCheckpointStore,
    open_checkpoint_store,
)
from quant_framework.orchestration.checkpoint.database_store import DatabaseCheckpointStore
from quant_framework.orchestration.checkpoint.hybrid_store import HybridCheckpointStore
from quant_framework.orchestration.checkpoint.minio_store import MinIOCheckpointStore

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
