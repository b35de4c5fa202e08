"""Checkpoints in MinIO or any S3."""

from quant_framework.ingestion.backfill import MinIOCheckpointStore

__all__ = ["MinIOCheckpointStore"]
