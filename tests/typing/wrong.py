"""What a checker must refuse. Each line says with which code; an answer that stops being wrong is an error too."""

from __future__ import annotations

from datetime import datetime

from quant_framework._core import Backfill, Checkpoint, FetchRequest
from quant_framework.arguments import Range
from quant_framework.ingestion.adapters import BinanceAdapter, CoinalyzeAdapter
from quant_framework.ingestion.backfill import MemoryCheckpointStore
from quant_framework.ingestion.rate_limit import AdaptiveRateLimiter, CoinalyzeRateLimiter
from quant_framework.ingestion.writers import BronzeWriter, SilverWriter
from quant_framework.orchestration.operators import BackfillOperator, CheckpointWriter, SourceOperator
from quant_framework.orchestration.operators.validation_operators import LakeOperator
from quant_framework.orchestration.ports import ICheckpointStore, IChunkStrategy, IDataAdapter, IRateLimiter
from quant_framework.orchestration.tasks import fetch_ohlcv
from quant_framework.orchestration.workflows import BackfillWorkflow, IncrementalWorkflow
from quant_framework.results import BackfillResult


class Nameless:
    """An adapter without a source."""

    def fetch(self, request: FetchRequest) -> list[object]:
        return []


class Numbers:
    """An adapter that answers no rows."""

    source = "numbers"

    def fetch(self, request: FetchRequest) -> int:
        return 1


class Forgetful:
    """A store that cannot delete."""

    def load(self, series: str) -> Checkpoint | None:
        return None

    def commit(self, series: str, data: object = None, empty: object = None, **facts: object) -> None: ...

    def list(self, prefix: str) -> object:
        return []


class Texts:
    """A strategy of texts."""

    def generate_chunks(self, start: datetime, end: datetime, timeframe: str) -> list[str]:
        return []


class Late:
    """A limiter that wants to be told when."""

    def acquire(self, weight: int, when: datetime) -> float:
        return 0.0


nameless: IDataAdapter = Nameless()  # type: ignore[assignment]  # pyright: ignore[reportAssignmentType]
numbers: IDataAdapter = Numbers()  # type: ignore[assignment]  # pyright: ignore[reportAssignmentType]
forgetful: ICheckpointStore = Forgetful()  # type: ignore[assignment]  # pyright: ignore[reportAssignmentType]
texts: IChunkStrategy = Texts()  # type: ignore[assignment]  # pyright: ignore[reportAssignmentType]
late: IRateLimiter = Late()  # type: ignore[assignment]  # pyright: ignore[reportAssignmentType]


def arguments(start: datetime, end: datetime, adapter: CoinalyzeAdapter, lake: BronzeWriter) -> None:
    store = MemoryCheckpointStore()
    FetchRequest("a/ohlcv/b/1h", "2026-01-01", end)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    BinanceAdapter("coinm")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    CoinalyzeAdapter(apikey="x")  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
    AdaptiveRateLimiter(windows=[40, 60])  # type: ignore[list-item]  # pyright: ignore[reportArgumentType]
    CoinalyzeRateLimiter(shares=0.5)  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
    SilverWriter("file:///silver", "file:///bronze")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    store.commit_sync("a/ohlcv/b/1h", [start, end])  # type: ignore[list-item]  # pyright: ignore[reportArgumentType]
    BackfillWorkflow(adapter, lake)  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
    BackfillWorkflow(adapter, lake, "memory:")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    IncrementalWorkflow(adapter, lake, store, symbol="BTC")  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
    fetch_ohlcv("BTC", "1h", 0)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    Backfill(adapter=adapter)  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]


def operators() -> None:
    BackfillOperator(task_id="a", symbols=["BTC"])  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
    LakeOperator(task_id="c", fail_on="info")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    SourceOperator(task_id="b", resume="?")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    CheckpointWriter(task_id="d", series="a/b/c/d", action="?")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]


def reading(result: BackfillResult) -> Range:
    print(result["records_written"])  # pyright: ignore[reportTypedDictNotRequiredAccess]
    if result["status"] != "failed":
        print(result["rows"])  # type: ignore[typeddict-item]  # pyright: ignore[reportGeneralTypeIssues]
    checkpoint = Checkpoint()
    checkpoint.generation = 1  # type: ignore[misc]  # pyright: ignore[reportAttributeAccessIssue]
    return checkpoint.data  # type: ignore[return-value]  # pyright: ignore[reportReturnType]


class Sealed(Checkpoint):  # type: ignore[misc]  # pyright: ignore[reportGeneralTypeIssues]
    """A class that cannot be subclassed."""
