"""The orchestration layer: what to run, when, and how. It coordinates; ``quant_framework.ingestion`` does the work.

``ports``: the protocols between a workflow and everything it uses. ``workflows``: backfill, incremental update, repair,
validation, write; each validates, executes, reports. ``tasks``: the same as plain functions. ``checkpoint``: what is
known of each series. ``operators`` and ``dag_builders`` make tasks and DAGs of them, and alone need Airflow: what is
exported here is imported when it is first used.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from quant_framework.orchestration.checkpoint import (
        Checkpoint,
        CheckpointManager,
        CheckpointStore,
        DatabaseCheckpointStore,
        HybridCheckpointStore,
        LocalCheckpointStore,
        MemoryCheckpointStore,
        MinIOCheckpointStore,
        open_checkpoint_store,
    )
    from quant_framework.orchestration.dag_builders import (
        BackfillDagBuilder,
        BaseDagBuilder,
        DagFactory,
        IncrementalDagBuilder,
        RepairDagBuilder,
    )
    from quant_framework.orchestration.operators import (
        BackfillOperator,
        BaseDataOperator,
        CheckpointReader,
        CheckpointWriter,
        FetchOHLCVOperator,
        FetchOIOperator,
        GapDetector,
        IncrementalOperator,
        RepairOperator,
        SourceOperator,
        ValidationOperator,
        ValidationWorkflowOperator,
        WriteBronzeOperator,
        WriteSilverOperator,
    )
    from quant_framework.orchestration.ports import (
        ICheckpoint,
        ICheckpointStore,
        IChunkStrategy,
        IDagBuilder,
        IDataAdapter,
        IDataWriter,
        IOperator,
        IProgressReporter,
        IRateLimiter,
        IWorkflow,
        IWorkflowContext,
    )
    from quant_framework.orchestration.workflows import (
        AirflowWorkflowContext,
        BackfillWorkflow,
        BaseWorkflow,
        IncrementalWorkflow,
        RepairWorkflow,
        ValidationWorkflow,
        WriteWorkflow,
    )

__all__ = [
    "AirflowWorkflowContext",
    "BackfillDagBuilder",
    "BackfillOperator",
    "BackfillWorkflow",
    "BaseDagBuilder",
    "BaseDataOperator",
    "BaseWorkflow",
    "Checkpoint",
    "CheckpointManager",
    "CheckpointReader",
    "CheckpointStore",
    "CheckpointWriter",
    "DagFactory",
    "DatabaseCheckpointStore",
    "FetchOHLCVOperator",
    "FetchOIOperator",
    "GapDetector",
    "HybridCheckpointStore",
    "ICheckpoint",
    "ICheckpointStore",
    "IChunkStrategy",
    "IDagBuilder",
    "IDataAdapter",
    "IDataWriter",
    "IOperator",
    "IProgressReporter",
    "IRateLimiter",
    "IWorkflow",
    "IWorkflowContext",
    "IncrementalDagBuilder",
    "IncrementalOperator",
    "IncrementalWorkflow",
    "LocalCheckpointStore",
    "MemoryCheckpointStore",
    "MinIOCheckpointStore",
    "RepairDagBuilder",
    "RepairOperator",
    "RepairWorkflow",
    "SourceOperator",
    "ValidationOperator",
    "ValidationWorkflow",
    "ValidationWorkflowOperator",
    "WriteBronzeOperator",
    "WriteSilverOperator",
    "WriteWorkflow",
    "open_checkpoint_store",
]

MODULES = ("ports", "workflows", "checkpoint", "operators", "dag_builders")
"""Where the names are; those that need Airflow come last."""


def __getattr__(name: str) -> Any:
    if name in __all__:
        for module in map(import_module, (f"{__name__}.{module}" for module in MODULES)):
            if name in module.__all__:
                return getattr(module, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
