"""The backfill as an Airflow task."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timezone
from typing import Any

from quant_framework import settings
from quant_framework.airflow.connections import open_bronze, open_checkpoints, open_limiter, refuse_password
from quant_framework.airflow.progress import INTERVAL, TaskProgress
from quant_framework.ingestion.chunking import AdaptiveChunkStrategy
from quant_framework.orchestration.operators.base import BaseDataOperator
from quant_framework.orchestration.ports import (
    ICheckpointStore,
    IChunkStrategy,
    IDataAdapter,
    IDataWriter,
    IRateLimiter,
)
from quant_framework.orchestration.workflows import BackfillWorkflow


class BackfillOperator(BaseDataOperator):
    """Fetches what is missing of some series into the bronze lake, resumably.

    Args:
        symbols: the source's own names, or names that it can resolve (``BTC``).
        timeframes: ``1m`` to ``1M``.
        data_types: by default ``["ohlcv"]``.
        start: first bar, aware datetime or ISO 8601 text (templated).
        end: end (exclusive); by default now.
        source: name of the source; ``adapter_options`` go to its adapter.
        lake: URL; by default ``QUANT_FRAMEWORK_LAKE`` or a folder in Airflow's home.
        checkpoint: URL; by default ``QUANT_FRAMEWORK_CHECKPOINT`` or a folder in Airflow's home.
        minio_conn_id: connection of the S3 server that holds the checkpoints (``checkpoint`` or its extra names the
            bucket), and the lake where that is ``s3://``.
        postgres_conn_id: connection of the database that holds the checkpoints; with ``minio_conn_id`` a hybrid.
        rate_limit: URL of the place where all workers share the source's quota (``postgresql://user@host/name``, or
            ``file:///folder`` for one machine); by default ``QUANT_FRAMEWORK_RATE_LIMIT`` or a folder in Airflow's
            home.
        rate_limit_conn_id: connection of the database where they share it; by default ``postgres_conn_id``.
        concurrency: requests in flight.
        max_wait: a longer wait for quota (seconds) parks the task; ``None`` waits in its slot.
        resume: ``always`` or ``never``.

    A subclass overrides ``adapter(context)``, ``writer(context)``, ``checkpoint_store(context)``,
    ``chunk_strategy(context)`` or ``rate_limiter(context)``.

    With PostgreSQL or hybrid checkpoints, what is fetched is claimed: another task that wants the same ranges of a
    series meanwhile fails in a way that Airflow retries. Every try of one task shares its claims.

    """

    template_fields: Sequence[str] = (
        "symbols",
        "timeframes",
        "data_types",
        "start",
        "end",
        "source",
        "lake",
        "checkpoint",
        "minio_conn_id",
        "postgres_conn_id",
        "rate_limit",
        "rate_limit_conn_id",
    )
    ui_color = "#e8f4ea"

    _progress: TaskProgress | None = None
    _adapter: IDataAdapter | None = None

    def __init__(
        self,
        *,
        symbols: Sequence[str],
        timeframes: Sequence[str],
        start: datetime | str | None = None,
        end: datetime | str | None = None,
        data_types: Sequence[str] = ("ohlcv",),
        source: str = "coinalyze",
        adapter_options: dict[str, Any] | None = None,
        lake: str | None = None,
        checkpoint: str | None = None,
        minio_conn_id: str | None = None,
        postgres_conn_id: str | None = None,
        rate_limit: str | None = None,
        rate_limit_conn_id: str | None = None,
        concurrency: int = 8,
        max_wait: float | None = 120.0,
        resume: str = "always",
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        refuse_password(lake, "lake")
        refuse_password(checkpoint, "checkpoint")
        refuse_password(rate_limit, "rate_limit")
        self.symbols = symbols
        self.timeframes = timeframes
        self.data_types = data_types
        self.start = start
        self.end = end
        self.source = source
        self.adapter_options = adapter_options
        self.lake = lake
        self.checkpoint = checkpoint
        self.minio_conn_id = minio_conn_id
        self.postgres_conn_id = postgres_conn_id
        self.rate_limit = rate_limit
        self.rate_limit_conn_id = rate_limit_conn_id
        self.concurrency = concurrency
        self.max_wait = max_wait
        self.resume = resume

    def adapter(self, context: dict[str, Any]) -> IDataAdapter:
        """The source; override to bring your own."""
        return settings.open_adapter(self.source, **(self.adapter_options or {}))

    def writer(self, context: dict[str, Any]) -> IDataWriter:
        """The lake; override to bring your own."""
        return open_bronze(self.lake, self.minio_conn_id)

    def checkpoint_store(self, context: dict[str, Any]) -> ICheckpointStore:
        """What is remembered; override to bring your own."""
        return open_checkpoints(self.checkpoint, self.minio_conn_id, self.postgres_conn_id)

    def rate_limiter(self, context: dict[str, Any]) -> IRateLimiter:
        """The source's quota; override to bring your own."""
        conn_id = self.rate_limit_conn_id or (None if self.rate_limit else self.postgres_conn_id)
        return open_limiter(self._adapter or self.adapter(context), self.rate_limit, conn_id)

    def chunk_strategy(self, context: dict[str, Any]) -> IChunkStrategy:
        """How ranges are cut; override to bring your own."""
        return AdaptiveChunkStrategy()

    def build_workflow(self, context: dict[str, Any]) -> BackfillWorkflow:
        """The run, from plain values."""
        unset = (None, "", "None")
        self._progress = TaskProgress(context)
        self._adapter = self.adapter(context)
        return BackfillWorkflow(
            adapter=self._adapter,
            writer=self.writer(context),
            checkpoint_store=self.checkpoint_store(context),
            chunk_strategy=self.chunk_strategy(context),
            rate_limiter=self.rate_limiter(context),
            symbols=self.symbols,
            timeframes=self.timeframes,
            data_types=self.data_types,
            start=None if self.start in unset else self.start,
            end=datetime.now(timezone.utc) if self.end in unset else self.end,
            concurrency=self.concurrency,
            max_wait=self.max_wait,
            resume=self.resume,
            owner=owner(context),
            progress=self._progress,
            progress_interval=INTERVAL,
        )

    def report(self, result: dict[str, Any], context: dict[str, Any]) -> None:
        """Mirror how the run ended."""
        counters = {name: value for name, value in result.items() if isinstance(value, str | int | float)}
        (self._progress or TaskProgress(context)).mirror(counters)


def owner(context: dict[str, Any]) -> str:
    """Who claims: the same for every try of one task instance."""
    ti = context["ti"]
    names = [str(getattr(ti, name, "")) for name in ("dag_id", "task_id", "run_id")]
    return f"{'.'.join(names[:2])} {names[2]} [{getattr(ti, 'map_index', -1)}]"
