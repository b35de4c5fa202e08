"""Backfill DAGs: one mapped task per series, chunks inside."""

from __future__ import annotations

from typing import Any

from quant_framework.airflow.compat import DAG, Param
from quant_framework.airflow.connections import refuse_password
from quant_framework.errors import InvalidError
from quant_framework.orchestration.dag_builders.base import BaseDagBuilder
from quant_framework.orchestration.operators import BackfillOperator


class BackfillDagBuilder(BaseDagBuilder):
    """A DAG that fetches what is missing of every series.

    Args:
        start: first bar, ISO 8601 text with time zone; may be given when the DAG is triggered.
        end: end (exclusive); by default now.
        lake: URL of the bronze lake; by default see ``BackfillOperator``.
        checkpoint: URL of the checkpoints; by default see ``BackfillOperator``.
        minio_conn_id: connection of an S3 server; see ``BackfillOperator``.
        postgres_conn_id: connection of a PostgreSQL database; see ``BackfillOperator``.
        rate_limit: URL of the place where all workers share the source's quota; see ``BackfillOperator``.
        rate_limit_conn_id: connection of the database where they share it; by default ``postgres_conn_id``.
        operator: the operator class to map, for authors who subclass ``BackfillOperator``.
        operator_options: more arguments of the operator, such as ``pool`` or ``execution_timeout``.

    Series run side by side where a place to share the quota is named, and one after the other where it is not: the
    default, a folder, is shared by the workers of one machine only. ``max_active_tis_per_dagrun`` in
    ``operator_options`` says otherwise. Everything else is as for ``BaseDagBuilder``.

    """

    def __init__(
        self,
        dag_id: str,
        *,
        start: str | None = None,
        end: str | None = None,
        lake: str | None = None,
        checkpoint: str | None = None,
        minio_conn_id: str | None = None,
        postgres_conn_id: str | None = None,
        rate_limit: str | None = None,
        rate_limit_conn_id: str | None = None,
        operator: type[BackfillOperator] = BackfillOperator,
        operator_options: dict[str, Any] | None = None,
        **options: Any,
    ) -> None:
        super().__init__(dag_id, **options)
        self.start, self.end, self.lake, self.checkpoint = start, end, lake, checkpoint
        self.minio_conn_id, self.postgres_conn_id = minio_conn_id, postgres_conn_id
        self.operator = operator
        self.rate_limit, self.rate_limit_conn_id = rate_limit, rate_limit_conn_id
        is_shared = bool(rate_limit or rate_limit_conn_id or postgres_conn_id)
        self.operator_options = ({} if is_shared else {"max_active_tis_per_dagrun": 1}) | (operator_options or {})
        moment = {"type": ["null", "string"], "description": "ISO 8601 with time zone"}
        params = {"start": Param(start, **moment), "end": Param(end, **moment)}
        self.dag_options["params"] = params | self.dag_options.get("params", {})

    def validate(self) -> tuple[bool, list[str]]:
        """As the base class; and no password, which a mapped task would only refuse when it runs."""
        _, errors = super().validate()
        if self.rate_limit and self.rate_limit_conn_id:
            errors.append("rate_limit and rate_limit_conn_id name two places; leave one out")
        for argument in ("lake", "checkpoint", "rate_limit"):
            try:
                refuse_password(getattr(self, argument), argument)
            except InvalidError as error:
                errors.append(str(error))
        return not errors, errors

    def add_tasks(self, dag: DAG) -> None:
        """One mapped task; its map index is a series."""
        series = [
            {"symbols": [symbol], "timeframes": [timeframe], "data_types": [data_type]}
            for symbol in self.symbols
            for data_type in self.data_types
            for timeframe in self.timeframes
        ]
        self.operator.partial(
            task_id="backfill",
            source=self.source,
            start="{{ params.start }}",
            end="{{ params.end }}",
            lake=self.lake,
            checkpoint=self.checkpoint,
            minio_conn_id=self.minio_conn_id,
            postgres_conn_id=self.postgres_conn_id,
            rate_limit=self.rate_limit,
            rate_limit_conn_id=self.rate_limit_conn_id,
            map_index_template="{{ task.symbols[0] }} {{ task.data_types[0] }} {{ task.timeframes[0] }}",
            **self.operator_options,
        ).expand_kwargs(series)
