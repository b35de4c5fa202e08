"""Every part of the package is what its protocol says; checkers look at this file, and test_types.py at its parts."""

from __future__ import annotations

from quant_framework._core import Checkpoint
from quant_framework.airflow.progress import TaskProgress
from quant_framework.cli import Progress
from quant_framework.ingestion.adapters import (
    BinanceAdapter,
    BinanceArchiveAdapter,
    CcxtAdapter,
    CoinalyzeAdapter,
    binance_usdm,
)
from quant_framework.ingestion.backfill import (
    CheckpointManager,
    DatabaseCheckpointStore,
    HybridCheckpointStore,
    LocalCheckpointStore,
    MemoryCheckpointStore,
    MinIOCheckpointStore,
    open_checkpoint_store,
)
from quant_framework.ingestion.chunking import AdaptiveChunkStrategy, FixedChunkStrategy
from quant_framework.ingestion.rate_limit import (
    AdaptiveRateLimiter,
    CoinalyzeRateLimiter,
    SharedRateLimiter,
    preset,
)
from quant_framework.ingestion.writers import BronzeWriter
from quant_framework.orchestration.dag_builders import (
    BackfillDagBuilder,
    BaseDagBuilder,
    DagFactory,
    IncrementalDagBuilder,
    RepairDagBuilder,
)
from quant_framework.orchestration.operators import BaseDataOperator
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
from quant_framework.orchestration.workflows.base import NoContext

ADAPTERS: tuple[type[IDataAdapter], ...] = (CoinalyzeAdapter, BinanceAdapter, BinanceArchiveAdapter, CcxtAdapter)
WRITERS: tuple[type[IDataWriter], ...] = (BronzeWriter,)
CHECKPOINTS: tuple[type[ICheckpoint], ...] = (Checkpoint,)
STORES: tuple[type[ICheckpointStore], ...] = (
    MemoryCheckpointStore,
    LocalCheckpointStore,
    MinIOCheckpointStore,
    DatabaseCheckpointStore,
    HybridCheckpointStore,
    CheckpointManager,
)
STRATEGIES: tuple[type[IChunkStrategy], ...] = (AdaptiveChunkStrategy, FixedChunkStrategy)
LIMITERS: tuple[type[IRateLimiter], ...] = (AdaptiveRateLimiter, CoinalyzeRateLimiter, SharedRateLimiter)
REPORTERS: tuple[type[IProgressReporter], ...] = (TaskProgress, Progress)
CONTEXTS: tuple[type[IWorkflowContext], ...] = (AirflowWorkflowContext, NoContext)
WORKFLOWS: tuple[type[IWorkflow], ...] = (
    BaseWorkflow,
    BackfillWorkflow,
    IncrementalWorkflow,
    RepairWorkflow,
    ValidationWorkflow,
    WriteWorkflow,
)
OPERATORS: tuple[type[IOperator], ...] = (BaseDataOperator,)
BUILDERS: tuple[type[IDagBuilder], ...] = (
    BaseDagBuilder,
    BackfillDagBuilder,
    IncrementalDagBuilder,
    RepairDagBuilder,
    DagFactory,
)


def functions() -> tuple[IDataAdapter, ICheckpointStore, IRateLimiter]:
    return binance_usdm(), open_checkpoint_store("memory:"), preset("binance")
