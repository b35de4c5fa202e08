"""Operators as authors subclass and use them; each method that may be overridden."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone
from typing import Any

from airflow.sdk import DAG, Asset, Context

from parts import Frame, Lake
from quant_framework.ingestion.adapters import CoinalyzeAdapter
from quant_framework.ingestion.chunking import FixedChunkStrategy
from quant_framework.ingestion.rate_limit import SharedRateLimiter
from quant_framework.orchestration.checkpoint import (
    DatabaseCheckpointStore,
    HybridCheckpointStore,
    MinIOCheckpointStore,
)
from quant_framework.orchestration.dag_builders import (
    BackfillDagBuilder,
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
    GapDetector,
    IncrementalOperator,
    RepairOperator,
    ValidationOperator,
    ValidationWorkflowOperator,
    WriteBronzeOperator,
    WriteSilverOperator,
)
from quant_framework.orchestration.ports import (
    ICheckpointStore,
    IChunkStrategy,
    IDataAdapter,
    IDataWriter,
    IRateLimiter,
)
from quant_framework.orchestration.workflows import BaseWorkflow


class Mine(BackfillOperator):
    """Brings every part of its own."""

    def build_adapter(self, context: Context) -> IDataAdapter:
        return Frame("mine")

    def build_writer(self, context: Context) -> Lake:
        return Lake()

    def build_checkpoint_store(self, context: Context) -> ICheckpointStore:
        return HybridCheckpointStore(MinIOCheckpointStore("bucket"), DatabaseCheckpointStore("postgresql://db/name"))

    def build_rate_limiter(self, context: Context) -> IRateLimiter:
        return SharedRateLimiter("file:///limits", "mine", [(10, 60), (100, 3600.0, "fixed")], share=0.5)

    def build_chunk_strategy(self, context: Context) -> IChunkStrategy:
        return FixedChunkStrategy(bars=100)

    def wanted(self, context: Context) -> dict[str, Any]:
        return super().wanted(context) | {"symbols": ["BTC"]}


class Key(IncrementalOperator):
    """An adapter with its key from somewhere else."""

    def build_adapter(self, context: Any) -> CoinalyzeAdapter:
        return CoinalyzeAdapter(api_key="from a vault", market={"exchange": "6"})


class Counting(BaseWorkflow):
    """A workflow of an author's own."""

    async def _execute_impl(self, context: object) -> dict[str, Any]:
        return {"status": "success", "counted": 1}


class Count(BaseDataOperator):
    """Runs it."""

    def build_workflow(self, context: Context) -> Counting:
        return Counting()

    def summarize(self, result: dict[str, Any]) -> dict[str, Any]:
        return {"counted": result["counted"]}


def writer_of(operator: BaseDataOperator, context: Context) -> IDataWriter:
    return operator.build_writer(context)


START = datetime(2026, 1, 1, tzinfo=timezone.utc)

with DAG("by_hand") as by_hand:
    Mine(task_id="mine", symbols=["BTC"], timeframes=["1h"], start=START, end="2026-02-01T00:00:00Z", retries=3)
    Key(task_id="update", symbols="BTC", timeframes=("1h",), lookback=timedelta(days=2), overlap=5)
    fetch = FetchOHLCVOperator(task_id="fetch", symbol="BTC", timeframe="1h", source="binance", bars=100)
    look = ValidationOperator(task_id="look", thresholds={"spike_factor": 50}, checks=["values", "G1"])
    write = WriteBronzeOperator(task_id="write", staged=fetch.output, lake="s3://lake/bronze", minio_conn_id="minio")
    fetch >> look >> write >> WriteSilverOperator(task_id="silver")
    GapDetector(task_id="gaps", series="binance/ohlcv/BTCUSDT/1h", start=START, end=START, fail_on_gaps=True)
    CheckpointReader(task_id="read", series="binance/ohlcv/BTCUSDT/1h")
    CheckpointWriter(task_id="reset", series="binance/ohlcv/BTCUSDT/1h", action="reset")
    RepairOperator(task_id="again", series=["binance/ohlcv/BTCUSDT/1h"], attempts=2, force=True)
    ValidationWorkflowOperator(task_id="compare", series=["a/ohlcv/BTC/1h", "b/ohlcv/BTC/1h"], fail_on="never")
    Count(task_id="count", execution_timeout=timedelta(minutes=1))

BUILT: list[DAG] = [
    BackfillDagBuilder(
        dag_id="backfill",
        schedule="0 2 * * *",
        symbols=["BTC", "ETH"],
        timeframes=["1h", "4h"],
        data_types=["ohlcv", "open_interest"],
        start=START,
        operator=Mine,
        operator_options={"concurrency": 4},
        outlets=[Asset("bars"), "more"],
        max_active_runs=1,
    ).build(),
    IncrementalDagBuilder("update", None, timedelta(hours=1), ["BTC"], ["1m"], overlap=3).build(),
    RepairDagBuilder("repair", symbols=["BTC"], timeframes=["1h"], pause=60.0).build(),
    BackfillDagBuilder("fluent")
    .with_symbols(["BTC"])
    .with_timeframes(["1h"])
    .with_source("coinalyze")
    .with_range(start="2026-01-01T00:00:00Z")
    .with_connections(postgres_conn_id="db")
    .with_dag_options(max_active_runs=1)
    .build(),
]
is_valid, errors = BackfillDagBuilder("checked").validate()
FOUND: dict[str, DAG] = DagFactory("dags", environ={"LAKE": "file:///lake"}).build()
