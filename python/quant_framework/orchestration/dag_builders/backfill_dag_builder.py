"""Backfill DAGs: one mapped task per series, chunks inside."""

from __future__ import annotations

from typing import Any

from quant_framework.airflow.compat import CronDataIntervalTimetable, Param
from quant_framework.orchestration.dag_builders.base import BaseDagBuilder
from quant_framework.orchestration.operators import BackfillOperator


class BackfillDagBuilder(BaseDagBuilder):
    """A DAG that fetches what is missing of every series.

    Args:
        start: first bar, ISO 8601 text with time zone or aware datetime. May be given when the DAG is triggered; by
            default the start of a scheduled run's data interval, which a cron text has here (UTC; Airflow's own default
            since version 3 is a schedule without intervals).
        end: end (exclusive); by default the end of a scheduled run's data interval, else now.

    Everything else is as for ``BaseDagBuilder``.

    """

    operator_class = BackfillOperator
    task_id = "backfill"

    def __init__(self, dag_id: str, *positional: Any, start: Any = None, end: Any = None, **options: Any) -> None:
        super().__init__(dag_id, *positional, **options)
        self.start: Any = start
        self.end: Any = end

    def with_range(self, start: str | None = None, end: str | None = None) -> BackfillDagBuilder:
        """Set the range, ISO 8601 texts with time zone."""
        return self._set(start=start, end=end)

    def params(self) -> dict[str, Param]:
        """Symbols and range."""
        moment: dict[str, Any] = {"type": ["null", "string"], "description": "ISO 8601 with time zone"}
        return super().params() | {name: Param(text(getattr(self, name)), **moment) for name in ("start", "end")}

    def timetable(self) -> Any:
        """The schedule; without a start, a cron text is one of data intervals, which say what a run fetches."""
        return with_intervals(self.schedule) if self.start is None else self.schedule

    def arguments(self) -> dict[str, Any]:
        """The range, from the params."""
        return {"start": "{{ params.start }}", "end": "{{ params.end }}"}


def text(moment: Any) -> Any:
    """A datetime as ISO 8601 text; params are JSON."""
    return moment.isoformat() if hasattr(moment, "isoformat") else moment


def with_intervals(schedule: Any) -> Any:
    """``schedule``; a cron text as one of data intervals."""
    is_cron = isinstance(schedule, str) and schedule not in ("@once", "@continuous")
    return CronDataIntervalTimetable(schedule, "UTC") if is_cron else schedule
