"""Checkpoints as Airflow tasks: read what is known of a series, and change it."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from quant_framework.airflow.compat import AirflowFailException, BaseOperator
from quant_framework.airflow.connections import open_checkpoints, refuse_password
from quant_framework.ingestion.backfill import CheckpointStore
from quant_framework.orchestration.tasks import delete_checkpoint, read_checkpoint, write_checkpoint

ACTIONS = ("merge", "reset", "delete")


class _CheckpointOperator(BaseOperator):
    """Opens the store in ``execute``; a wrong argument or connection fails without retry."""

    template_fields: Sequence[str] = ("series", "checkpoint", "minio_conn_id", "postgres_conn_id")

    def __init__(
        self,
        *,
        series: str,
        checkpoint: str | None = None,
        minio_conn_id: str | None = None,
        postgres_conn_id: str | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        refuse_password(checkpoint, "checkpoint")
        self.series = series
        self.checkpoint = checkpoint
        self.minio_conn_id = minio_conn_id
        self.postgres_conn_id = postgres_conn_id

    def checkpoint_store(self, context: dict[str, Any]) -> CheckpointStore:
        """The store; override to bring your own."""
        return open_checkpoints(self.checkpoint, self.minio_conn_id, self.postgres_conn_id)

    def work(self, store: CheckpointStore) -> dict[str, Any] | None:
        """What the task does with the store."""
        raise NotImplementedError(f"{type(self).__name__} does not override work")

    def execute(self, context: dict[str, Any]) -> dict[str, Any] | None:
        """Run the task; its result is a small dict."""
        try:
            return self.work(self.checkpoint_store(context))
        except ValueError as error:
            raise AirflowFailException(str(error)) from error


class CheckpointReader(_CheckpointOperator):
    """Reads what is known of a series; the result of ``read_checkpoint`` goes to XCom.

    Args:
        series: its key, ``source/data_type/symbol/timeframe`` (templated, as everything here).
        start: with ``end``, the result says what is ``pending`` of ``[start, end)``; ISO 8601 text or aware datetime.
        end: see ``start``.
        checkpoint: URL of the store; by default ``QUANT_FRAMEWORK_CHECKPOINT`` or a folder in Airflow's home.
        minio_conn_id: connection of an S3 server; ``checkpoint`` or its extra names the bucket.
        postgres_conn_id: connection of a PostgreSQL database; with ``minio_conn_id`` a hybrid of both.

    """

    template_fields: Sequence[str] = (*_CheckpointOperator.template_fields, "start", "end")

    def __init__(
        self, *, series: str, start: datetime | str | None = None, end: datetime | str | None = None, **kwargs: Any
    ) -> None:
        super().__init__(series=series, **kwargs)
        self.start = start
        self.end = end

    def work(self, store: CheckpointStore) -> dict[str, Any]:
        """Read."""
        # A template of a parameter without a value renders as "None".
        start, end = (None if moment in (None, "", "None") else moment for moment in (self.start, self.end))
        return read_checkpoint(self.series, start, end, store)


class CheckpointWriter(_CheckpointOperator):
    """Changes what is known of a series.

    Args:
        series: its key (templated, as everything here but ``action``).
        action: ``merge`` adds ``data``, ``empty`` and ``cursor``; ``reset`` forgets what was known first, in a new
            generation; ``delete`` removes every trace.
        data: ranges whose rows are durably written, pairs ``[start, end)`` of ISO 8601 texts or aware datetimes.
        empty: ranges for which the source had nothing.
        cursor: opaque text of a stream; the greater wins.
        checkpoint: as for ``CheckpointReader``, like the connections.

    """

    template_fields: Sequence[str] = (*_CheckpointOperator.template_fields, "data", "empty", "cursor")

    def __init__(
        self,
        *,
        series: str,
        action: str = "merge",
        data: Sequence[Sequence[datetime | str]] = (),
        empty: Sequence[Sequence[datetime | str]] = (),
        cursor: str | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(series=series, **kwargs)
        if action not in ACTIONS:
            raise ValueError(f"action must be one of {', '.join(ACTIONS)}, not {action!r}")
        self.action = action
        self.data = data
        self.empty = empty
        self.cursor = cursor

    def work(self, store: CheckpointStore) -> dict[str, Any] | None:
        """Write."""
        if self.action == "delete":
            return delete_checkpoint(self.series, store)
        return write_checkpoint(self.series, self.data, self.empty, self.cursor, self.action == "reset", store)
