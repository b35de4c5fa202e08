"""Parts as authors write them: by protocol, plain and async, with every shape of rows."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import datetime, timedelta

import polars
import pyarrow

from quant_framework.arguments import AdapterCapability, Keys, Range, Ranges
from quant_framework.errors import RateLimitedError
from quant_framework.ingestion.adapters import Batch, Fetched, FetchRequest
from quant_framework.ingestion.backfill import CheckpointManager, MemoryCheckpointStore
from quant_framework.ingestion.writers import BronzeWriter
from quant_framework.orchestration.ports import (
    ICheckpointStore,
    IChunkStrategy,
    IDataAdapter,
    IDataWriter,
    IProgressReporter,
    IRateLimiter,
    IWorkflowContext,
)
from quant_framework.orchestration.workflows import BackfillWorkflow
from quant_framework.results import Progress


class Dicts:
    """A list of dicts, from a plain method."""

    source = "mine"

    def fetch(self, request: FetchRequest) -> list[dict[str, float | datetime]]:
        return [{"ts": request.start, "open": 1.0, "high": 1.0, "low": 1.0, "close": 1.0, "volume": 1.0}]

    def capability(self, data_type: str, timeframe: str) -> AdapterCapability:
        return {"rows_per_request": 500, "weight": 2}


class Table:
    """A table of pyarrow, from an async method; the name is a property."""

    @property
    def source(self) -> str:
        return "mine"

    async def fetch(self, request: FetchRequest) -> pyarrow.Table:
        return pyarrow.Table.from_pylist([{"ts": request.start, "open": 1.0}])


class Frame:
    """A data frame, or more than rows; the argument has another name."""

    def __init__(self, source: str) -> None:
        self.source = source

    async def fetch(self, asked: FetchRequest) -> polars.DataFrame | Fetched:
        if asked.timeframe == "1m":
            raise RateLimitedError("slower, please", until=asked.end)
        if asked.symbol == "NONE":
            return Fetched([])
        frame = polars.DataFrame({"ts": [asked.start], "open": [1.0]})
        return frame if asked.timeframe == "1h" else Fetched(frame, truncated=True, lineage={"page": "1"})


class Lake:
    """A writer that says what it wrote."""

    def write(self, series: str, range: Range, batch: Batch) -> dict[str, object]:
        return {"uri": series, "rows": len(batch), "bytes": 0}


class Nowhere:
    """An async writer that says nothing."""

    async def write(self, key: str, when: Range, rows: Batch) -> None:
        del key, when, rows


class Known:
    """What the store below keeps."""

    def __init__(self, data: Ranges) -> None:
        self.data = data
        self.empty: Ranges = []
        self.generation = 0


class Store:
    """A checkpoint store, all of it async."""

    def __init__(self) -> None:
        self.known: dict[str, Known] = {}

    async def load(self, series: str) -> Known | None:
        return self.known.get(series)

    async def commit(
        self, series: str, data: Ranges | None = None, empty: Ranges | None = None, **facts: object
    ) -> None:
        self.known[series] = Known([*(data or []), *(empty or [])])

    async def list(self, prefix: str) -> Keys:
        return [series for series in self.known if series.startswith(prefix)]

    async def delete(self, series: str) -> None:
        self.known.pop(series, None)

    async def reset(self, series: str) -> int:
        del self.known[series]
        return 1


class Days:
    """A chunk strategy, as a generator."""

    def generate_chunks(self, start: datetime, end: datetime, timeframe: str) -> Iterator[Range]:
        while start < end:
            yield start, min(start + timedelta(days=1), end)
            start += timedelta(days=1)

    def observe(self, answer: Mapping[str, object]) -> None:
        print(answer["rows"])


class Patient:
    """A limiter that lets everybody through."""

    async def acquire(self, weight: int = 1) -> None:
        del weight

    def report(self, event: str, until: datetime | None) -> None:
        print(event, until)


class Bar:
    """Progress on a line."""

    def report(self, progress: Progress) -> None:
        print(progress["chunks_done"], progress["throttled_seconds"])


class Context:
    """State in a dict."""

    def __init__(self) -> None:
        self.state: dict[str, object] = {}

    def get_state(self, key: str, task_id: str | None = None) -> object:
        return self.state.get(key)

    def set_state(self, key: str, value: object) -> None:
        self.state[key] = value


ADAPTERS: list[IDataAdapter] = [Dicts(), Table(), Frame("mine")]
WRITERS: list[IDataWriter] = [Lake(), Nowhere(), BronzeWriter("file:///lake")]
STORES: list[ICheckpointStore] = [Store(), MemoryCheckpointStore(), CheckpointManager(Store())]
STRATEGY: IChunkStrategy = Days()
LIMITER: IRateLimiter = Patient()
REPORTER: IProgressReporter = Bar()
CONTEXT: IWorkflowContext = Context()


def workflow(start: datetime, end: datetime) -> BackfillWorkflow:
    return BackfillWorkflow(
        adapter=Frame("mine"),
        writer=Lake(),
        checkpoint_store=CheckpointManager(Store()),
        chunk_strategy=Days(),
        rate_limiter=Patient(),
        symbols=("BTC",),
        timeframes=["1h"],
        start=start,
        end=end,
        resume="never",
        progress=Bar(),
    )
