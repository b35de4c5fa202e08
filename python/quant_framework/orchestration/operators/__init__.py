"""Airflow operators. Subclass them by overriding one documented method."""

from quant_framework.orchestration.operators.backfill_operators import BackfillOperator
from quant_framework.orchestration.operators.base import BaseDataOperator
from quant_framework.orchestration.operators.checkpoint_operators import CheckpointReader, CheckpointWriter

__all__ = ["BackfillOperator", "BaseDataOperator", "CheckpointReader", "CheckpointWriter"]
