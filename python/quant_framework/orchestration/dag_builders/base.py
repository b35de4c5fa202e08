"""The template of every DAG builder: series, places, limits, outlets; one mapped task per series."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import Any, ClassVar, TypeVar

from quant_framework.airflow.compat import DAG, Asset, AssetAlias, Param
from quant_framework.errors import InvalidError
from quant_framework.orchestration.checks import check_series
from quant_framework.orchestration.dag_builders._checks import check_names, check_options, check_values, one_line
from quant_framework.orchestration.operators import BackfillOperator, WriteSilverOperator

Builder = TypeVar("Builder", bound="BaseDagBuilder")

URLS = ("lake", "checkpoint", "rate_limit")
PLACES = (*URLS, "minio_conn_id", "postgres_conn_id", "rate_limit_conn_id", "market_data_conn_id")
SERIES = ("symbols", "timeframes", "data_types")


class BaseDagBuilder:
    """Keyword or fluent configuration, ``validate()`` and ``build()``.

    Args:
        dag_id: the DAG's id.
        description: one line for the UI.
        schedule: as for ``DAG``; ``None`` runs on trigger only.
        symbols: the source's own names, or names it can resolve.
        timeframes: ``1m`` to ``1M``.
        source: name of the source; by default that of ``market_data_conn_id``, else Coinalyze.
        data_types: by default ``["ohlcv"]``.
        lake: URL of the bronze lake; by default see ``BackfillOperator``, as for everything down to ``rate_limit``.
        checkpoint: URL of the checkpoints.
        minio_conn_id: connection of an S3 server.
        postgres_conn_id: connection of a PostgreSQL database.
        market_data_conn_id: connection that holds the source's API key.
        rate_limit: URL of the place where all workers share the source's quota.
        rate_limit_conn_id: connection of the database where they share it; by default ``postgres_conn_id``.
        adapter_options: options of the source's adapter.
        pool: Airflow pool that every task takes a slot of.
        outlets: assets (or their names) whose events get row counts and ranges. By default an asset alias named
            ``quant_framework:<dag_id>`` that gets one asset per series with new rows.
        silver: whether a last task makes silver of what the others wrote, beside the lake or at
            ``QUANT_FRAMEWORK_SILVER``.
        operator: the operator class to map, for authors who subclass it.
        operator_options: more arguments of the operator, such as ``execution_timeout`` or ``concurrency``.
        default_args: as for ``DAG``, callbacks among them.
        dag_options: everything else goes to ``DAG`` as it is.

    Series run side by side where a place to share the quota is named, and one after the other, over all runs of the
    DAG, where it is not: the default, a folder, is shared by the workers of one machine only.
    ``max_active_tis_per_dag`` or ``max_active_tis_per_dagrun`` in ``operator_options`` says otherwise. Overlapping runs
    of one series want checkpoints with claims (``postgres_conn_id``). When a run is triggered, its params choose
    symbols.

    A subclass names ``operator_class`` and ``task_id``, and overrides ``arguments()`` for what its operator takes
    beside series and places, ``params()`` for what can be said when a run is triggered, or ``add_tasks(dag)`` for
    everything.

    """

    operator_class: ClassVar[type[BackfillOperator]]
    task_id: ClassVar[str]

    def __init__(
        self,
        dag_id: str,
        description: str | None = None,
        schedule: Any = None,
        symbols: Sequence[str] = (),
        timeframes: Sequence[str] = (),
        source: str | None = None,
        data_types: Sequence[str] = ("ohlcv",),
        *,
        lake: str | None = None,
        checkpoint: str | None = None,
        minio_conn_id: str | None = None,
        postgres_conn_id: str | None = None,
        market_data_conn_id: str | None = None,
        rate_limit: str | None = None,
        rate_limit_conn_id: str | None = None,
        adapter_options: dict[str, Any] | None = None,
        pool: str | None = None,
        outlets: Sequence[Asset | AssetAlias | str] | None = None,
        silver: bool = False,
        operator: type[BackfillOperator] | None = None,
        operator_options: dict[str, Any] | None = None,
        default_args: dict[str, Any] | None = None,
        **dag_options: Any,
    ) -> None:
        self.dag_id: str = dag_id
        self.description: str | None = description
        self.schedule: Any = schedule
        self.symbols: Sequence[str] = symbols
        self.timeframes: Sequence[str] = timeframes
        self.data_types: Sequence[str] = data_types
        self.source = source
        self.lake: str | None = lake
        self.checkpoint: str | None = checkpoint
        self.rate_limit: str | None = rate_limit
        self.minio_conn_id: str | None = minio_conn_id
        self.postgres_conn_id: str | None = postgres_conn_id
        self.market_data_conn_id: str | None = market_data_conn_id
        self.rate_limit_conn_id: str | None = rate_limit_conn_id
        self.adapter_options: dict[str, Any] | None = adapter_options
        self.pool: str | None = pool
        self.outlets: Sequence[Asset | AssetAlias | str] | None = outlets
        self.silver = silver
        self.operator: type[BackfillOperator] | None = operator
        self.operator_options: dict[str, Any] | None = operator_options
        self.default_args = default_args
        self.dag_options = dag_options

    def with_symbols(self: Builder, symbols: Sequence[str]) -> Builder:
        """Set the symbols."""
        return self._set(symbols=symbols)

    def with_timeframes(self: Builder, timeframes: Sequence[str]) -> Builder:
        """Set the timeframes."""
        return self._set(timeframes=timeframes)

    def with_data_types(self: Builder, data_types: Sequence[str]) -> Builder:
        """Set the data types."""
        return self._set(data_types=data_types)

    def with_source(self: Builder, source: str) -> Builder:
        """Set the source."""
        return self._set(source=source)

    def with_schedule(self: Builder, schedule: Any) -> Builder:
        """Set the schedule; ``None`` runs on trigger only."""
        return self._set(schedule=schedule)

    def with_lake(self: Builder, lake: str) -> Builder:
        """Set the lake's URL."""
        return self._set(lake=lake)

    def with_checkpoint(self: Builder, checkpoint: str) -> Builder:
        """Set the checkpoints' URL."""
        return self._set(checkpoint=checkpoint)

    def with_connections(self: Builder, **conn_ids: str) -> Builder:
        """Set connections: ``minio_conn_id, postgres_conn_id, rate_limit_conn_id, market_data_conn_id``.

        Raises:
            InvalidError: there is no such argument.

        """
        unknown = sorted(set(conn_ids) - set(PLACES).difference(URLS))
        if unknown:
            raise InvalidError(f"there is no connection argument {unknown[0]!r}")
        return self._set(**conn_ids)

    def with_pool(self: Builder, pool: str) -> Builder:
        """Set the pool."""
        return self._set(pool=pool)

    def with_silver(self: Builder, silver: bool = True) -> Builder:
        """Make silver of what was written, or not."""
        return self._set(silver=silver)

    def with_outlets(self: Builder, outlets: Sequence[Asset | AssetAlias | str]) -> Builder:
        """Set the assets that are told of new rows."""
        return self._set(outlets=outlets)

    def with_default_args(self: Builder, **default_args: Any) -> Builder:
        """Add default arguments of the tasks, such as ``on_failure_callback``."""
        return self._set(default_args=(self.default_args or {}) | default_args)

    def with_operator_options(self: Builder, **operator_options: Any) -> Builder:
        """Add arguments of the operator, such as ``concurrency`` or ``max_active_tis_per_dagrun``."""
        return self._set(operator_options=(self.operator_options or {}) | operator_options)

    def with_dag_options(self: Builder, **dag_options: Any) -> Builder:
        """Add arguments of the DAG, such as ``on_failure_callback`` or ``max_active_runs``."""
        return self._set(dag_options=self.dag_options | dag_options)

    def _set(self: Builder, **values: Any) -> Builder:
        for name, value in values.items():
            setattr(self, name, value)
        return self

    def validate(self) -> tuple[bool, list[str]]:
        """Whether the configuration is right, and everything that is not; never raises."""
        errors = self._wrong()
        if not errors:
            try:
                self._made()
            except Exception as error:
                errors = [one_line(error)]
        return not errors, errors

    def build(self) -> DAG:
        """The DAG, which Airflow finds where this is called in a file.

        Raises:
            InvalidError: with everything that is wrong.

        """
        errors = self._wrong()
        if errors:
            raise InvalidError(f"DAG {self.dag_id!r}: {'; '.join(errors)}")
        try:
            dag = self._made()
        except Exception as error:
            raise InvalidError(f"DAG {self.dag_id!r}: {one_line(error)}") from error
        if self.dag_options.get("auto_register", True):
            dag.auto_register = True
            with dag:
                pass  # Airflow finds it at the end of this block, as any DAG that is made in a file.
        return dag

    def _wrong(self) -> list[str]:
        """What can be seen before anything is made."""
        named = [name for name in ("operator_class", "task_id") if hasattr(type(self), name)]
        if "task_id" not in named or ("operator_class" not in named and self.operator is None):
            return [f"{type(self).__name__} names no operator_class or no task_id; use a subclass that does"]
        symbols = check_names("symbols", self.symbols)
        timeframes = check_names("timeframes", self.timeframes)
        data_types = check_names("data_types", self.data_types)
        return [
            *check_values(vars(self)),
            *symbols,
            *timeframes,
            *data_types,
            *check_series([] if timeframes else self.timeframes, [] if data_types else self.data_types),
            *check_options("DAG", self.dag_options, DAG),
            *check_options("operator", self.operator_options, self._operator()),
        ]

    def _made(self) -> DAG:
        """The DAG, not yet registered: Airflow would do that at the end of its block even where that failed."""
        self._check_operator()
        usual = {"catchup": False, "tags": ["quant_framework", *([self.source] if self.source else [])]}
        params = self.params() | (self.dag_options.get("params") or {})
        options: dict[str, Any] = usual | self.dag_options | {"params": params, "auto_register": False}
        named: dict[str, Any] = {
            "dag_id": self.dag_id,
            "description": self.description,
            "schedule": self.timetable(),
        }
        default_args = {"retries": 3} | (self.default_args or {})
        with DAG(**named, default_args=default_args, **options) as dag:
            self.add_tasks(dag)
        try:
            dag.timetable.validate()
        except Exception as error:
            raise InvalidError(f"schedule: {one_line(error)}") from error
        return dag

    def _check_operator(self) -> None:
        """Make a task for its arguments' sake: a mapped one checks them only when it runs."""
        first: dict[str, Any] = {**self.series()[0]}
        make = functools.partial(self._operator(), dag=DAG("apart", schedule=None, auto_register=False), **first)
        options = self._task_options()
        try:
            make(task_id="all", **options)
        except Exception as error:
            self._blame(make, options, error)
            raise

    def _blame(self, make: Callable[..., Any], options: dict[str, Any], error: Exception) -> None:
        """Try each of ``operator_options`` without the others: errors of Airflow do not name the argument.

        Raises:
            InvalidError: one fails by itself; names it.

        """
        own = self.operator_options or {}
        usual = {name: value for name, value in options.items() if name not in own}
        for name, value in own.items():
            if name in str(error):
                continue
            try:
                make(task_id=f"with_{name}", **usual, **{name: value})
            except Exception as alone:
                raise InvalidError(f"{name}: {one_line(alone)}") from alone

    def timetable(self) -> Any:
        """The schedule as ``DAG`` takes it."""
        return self.schedule

    def series(self) -> list[dict[str, list[str]]]:
        """The arguments of each mapped task: one series."""
        return [
            {"symbols": [symbol], "timeframes": [timeframe], "data_types": [data_type]}
            for symbol in self.symbols
            for data_type in self.data_types
            for timeframe in self.timeframes
        ]

    def params(self) -> dict[str, Param]:
        """What can be said when a run is triggered."""
        one_of = {"type": "string", "enum": list(self.symbols)}
        text = "only these symbols; none means all"
        return {"symbols": Param(None, type=["null", "array"], items=one_of, description=text)}

    def arguments(self) -> dict[str, Any]:
        """What the operator takes beside series and places."""
        return {}

    def _operator(self) -> type[BackfillOperator]:
        return self.operator or self.operator_class

    def _task_options(self) -> dict[str, Any]:
        own = self.operator_options or {}
        is_shared = bool(self.rate_limit or self.rate_limit_conn_id or self.postgres_conn_id)
        is_said = any(name.startswith("max_active_tis_per_dag") for name in own)
        places = {name: getattr(self, name) for name in PLACES}
        options = {
            "source": self.source,
            "adapter_options": self.adapter_options,
            "only_symbols": "{{ params.symbols | default(none) | tojson }}",
            "outlets": self._outlets(),
            **({} if self.pool is None else {"pool": self.pool}),
            **({} if is_shared or is_said else {"max_active_tis_per_dag": 1}),
        }
        return places | options | self.arguments() | own

    def _outlets(self) -> list[Asset | AssetAlias]:
        if self.outlets is None:
            return [AssetAlias(f"quant_framework:{self.dag_id}")]
        return [Asset(outlet) if isinstance(outlet, str) else outlet for outlet in self.outlets]

    def add_tasks(self, dag: DAG) -> None:
        """Add the tasks; called inside the DAG's context. By default one mapped task, whose map index is a series.

        With ``silver`` another one after it, which runs where some series were left out, and not where one failed.
        """
        named = "{{ task.symbols[0] }} {{ task.data_types[0] }} {{ task.timeframes[0] }}"
        options = {"map_index_template": named} | self._task_options()
        mapped = self._operator().partial(task_id=self.task_id, **options).expand_kwargs(self.series())
        if self.silver:
            places = {name: getattr(self, name) for name in ("lake", "minio_conn_id", "postgres_conn_id")}
            rule = "none_failed_min_one_success"
            mapped.set_downstream(WriteSilverOperator(task_id="silver", trigger_rule=rule, **places))
