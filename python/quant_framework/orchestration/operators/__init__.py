"""Airflow operators. Subclass them by overriding one documented method."""

from quant_framework.orchestration.operators.base import BaseDataOperator
from quant_framework.orchestration.operators.checkpoint_operators import CheckpointReader, CheckpointWriter
from quant_framework.orchestration.operators.fetch_operators import FetchOHLCVOperator, FetchOIOperator
from quant_framework.orchestration.operators.repair_operators import RepairOperator
from quant_framework.orchestration.operators.source import SourceOperator
from quant_framework.orchestration.operators.validation_operators import GapDetector, ValidationOperator
from quant_framework.orchestration.operators.workflow_operators import (
    BackfillOperator,
    IncrementalOperator,
    ValidationWorkflowOperator,
)
from quant_framework.orchestration.operators.write_operators import WriteBronzeOperator, WriteSilverOperator

__all__ = [
    "BackfillOperator",
    "BaseDataOperator",
    "CheckpointReader",
    "CheckpointWriter",
    "FetchOHLCVOperator",
    "FetchOIOperator",
    "GapDetector",
    "IncrementalOperator",
    "RepairOperator",
    "SourceOperator",
    "ValidationOperator",
    "ValidationWorkflowOperator",
    "WriteBronzeOperator",
    "WriteSilverOperator",
]
