"""Checkpoints as Airflow tasks: read what is known of a series, and change it."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any, Literal, cast

from quant_framework.airflow.compat import Context
from quant_framework.arguments import Moment
from quant_framework.errors import InvalidError
from quant_framework.ingestion.backfill import CheckpointStore
from quant_framework.orchestration.operators.base import BaseDataOperator, given
from quant_framework.orchestration.tasks import delete_checkpoint, read_checkpoint, write_checkpoint
from quant_framework.results import CheckpointState, CheckpointWritten

ACTIONS = ("merge", "reset", "delete")


class CheckpointReader(BaseDataOperator):
    """Reads what is known of a series; the result of ``read_checkpoint`` goes to XCom.

    Args:
        series: its key, ``source/data_type/symbol/timeframe`` (templated, as everything here).
        start: with ``end``, the result says what is ``pending`` of ``[start, end)``; ISO 8601 text or aware datetime.
        end: see ``start``.
        checkpoint: URL of the store; by default ``QUANT_FRAMEWORK_CHECKPOINT`` or a folder in Airflow's home.
        minio_conn_id: connection of an S3 server; ``checkpoint`` or its extra names the bucket.
        postgres_conn_id: connection of a PostgreSQL database; with ``minio_conn_id`` a hybrid of both.

    """

    template_fields: Collection[str] = (*BaseDataOperator.template_fields, "series", "start", "end")

    def __init__(self, *, series: str, start: Moment | None = None, end: Moment | None = None, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.series = series
        self.start = start
        self.end = end

    def work(self, context: Context) -> CheckpointState:
        """Read."""
        return read_checkpoint(self.series, given(self.start), given(self.end), sync_store(self, context))


class CheckpointWriter(BaseDataOperator):
    """Changes what is known of a series.

    Args:
        series: its key (templated, as everything here but ``action``).
        action: ``merge`` adds ``data``, ``empty`` and ``cursor``; ``reset`` forgets what was known first, in a new
            generation; ``delete`` removes every trace.
        data: ranges whose rows are durably written, pairs ``[start, end)`` of ISO 8601 texts or aware datetimes.
        empty: ranges for which the source had nothing.
        cursor: opaque text of a stream; the greater wins.
        checkpoint: as for ``CheckpointReader``, like the connections.

    Raises:
        InvalidError: no such action.

    """

    template_fields: Collection[str] = (*BaseDataOperator.template_fields, "series", "data", "empty", "cursor")

    def __init__(
        self,
        *,
        series: str,
        action: Literal["merge", "reset", "delete"] = "merge",
        data: Sequence[Sequence[Moment]] = (),
        empty: Sequence[Sequence[Moment]] = (),
        cursor: str | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.series = series
        if action not in ACTIONS:
            raise InvalidError(f"action must be one of {', '.join(ACTIONS)}, not {action!r}")
        self.action = action
        self.data = data
        self.empty = empty
        self.cursor = cursor

    def work(self, context: Context) -> CheckpointWritten | None:
        """Write."""
        store = sync_store(self, context)
        if self.action == "delete":
            delete_checkpoint(self.series, store)
            return None
        return write_checkpoint(self.series, self.data, self.empty, self.cursor, self.action == "reset", store)


def sync_store(operator: BaseDataOperator, context: Context) -> CheckpointStore:
    """The operator's store; one without ``load_sync`` is refused by the task function."""
    return cast("CheckpointStore", operator.build_checkpoint_store(context))
