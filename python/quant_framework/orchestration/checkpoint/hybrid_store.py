"""Checkpoints in S3 and PostgreSQL."""

from quant_framework.ingestion.backfill import HybridCheckpointStore

__all__ = ["HybridCheckpointStore"]
