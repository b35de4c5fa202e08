"""Checkpoints in PostgreSQL."""

from quant_framework.ingestion.backfill import DatabaseCheckpointStore

__all__ = ["DatabaseCheckpointStore"]
