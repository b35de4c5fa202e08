"""The template of every DAG builder."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from quant_framework import settings
from quant_framework.airflow.compat import DAG
from quant_framework.errors import InvalidError, QuantFrameworkError


class BaseDagBuilder:
    """Keyword or fluent configuration, ``validate()`` and ``build()``. Subclasses override ``add_tasks``.

    Args:
        dag_id: the DAG's id.
        description: one line for the UI.
        schedule: as for ``DAG``; ``None`` runs on trigger only.
        symbols: the source's own names, or names it can resolve.
        timeframes: ``1m`` to ``1M``.
        source: name of the source.
        data_types: by default ``["ohlcv"]``.
        default_args: as for ``DAG``.
        dag_options: everything else goes to ``DAG`` as it is.

    """

    def __init__(
        self,
        dag_id: str,
        description: str | None = None,
        schedule: Any = None,
        symbols: Sequence[str] = (),
        timeframes: Sequence[str] = (),
        source: str = "coinalyze",
        data_types: Sequence[str] = ("ohlcv",),
        default_args: dict[str, Any] | None = None,
        **dag_options: Any,
    ) -> None:
        self.dag_id, self.description, self.schedule = dag_id, description, schedule
        self.symbols, self.timeframes = list(symbols), list(timeframes)
        self.source, self.data_types = source, list(data_types)
        self.default_args = {"retries": 3} | (default_args or {})
        self.dag_options = {"catchup": False, "tags": ["quant_framework", source]} | dag_options

    def with_symbols(self, symbols: Sequence[str]) -> BaseDagBuilder:
        """Set the symbols."""
        self.symbols = list(symbols)
        return self

    def with_timeframes(self, timeframes: Sequence[str]) -> BaseDagBuilder:
        """Set the timeframes."""
        self.timeframes = list(timeframes)
        return self

    def with_data_types(self, data_types: Sequence[str]) -> BaseDagBuilder:
        """Set the data types."""
        self.data_types = list(data_types)
        return self

    def with_source(self, source: str) -> BaseDagBuilder:
        """Set the source."""
        self.source = source
        return self

    def with_schedule(self, schedule: Any) -> BaseDagBuilder:
        """Set the schedule; ``None`` runs on trigger only."""
        self.schedule = schedule
        return self

    def validate(self) -> tuple[bool, list[str]]:
        """Whether the configuration is right, and everything that is not; never raises."""
        errors = [
            f"{name} is empty" for name in ("dag_id", "symbols", "timeframes", "data_types") if not getattr(self, name)
        ]
        if self.source not in settings.SOURCES:
            errors.append(f"unknown source {self.source!r}; use one of {', '.join(settings.SOURCES)}")
        errors += self._check_series()
        return not errors, errors

    def _check_series(self) -> list[str]:
        from quant_framework.ingestion.adapters import FetchRequest

        errors: list[str] = []
        start, end = (datetime.fromisoformat(f"2024-01-0{day}T00:00:00+00:00") for day in (1, 2))
        series = [("ohlcv", timeframe) for timeframe in self.timeframes] + [(kind, "1h") for kind in self.data_types]
        for data_type, timeframe in series:
            try:
                FetchRequest(f"source/{data_type}/symbol/{timeframe}", start, end)
            except QuantFrameworkError as error:
                errors.append(str(error))
        return errors

    def build(self) -> DAG:
        """The DAG; ``InvalidError`` with everything that is wrong."""
        valid, errors = self.validate()
        if not valid:
            raise InvalidError(f"DAG {self.dag_id!r}: {'; '.join(errors)}")
        with DAG(
            dag_id=self.dag_id,
            description=self.description,
            schedule=self.schedule,
            default_args=self.default_args,
            **self.dag_options,
        ) as dag:
            self.add_tasks(dag)
        return dag

    def add_tasks(self, dag: DAG) -> None:
        """Add the tasks; called inside the DAG's context."""
        raise NotImplementedError(f"{type(self).__name__} does not override add_tasks")
