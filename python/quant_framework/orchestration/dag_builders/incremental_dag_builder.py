"""DAGs that keep series up to date: one mapped task per series."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from quant_framework.orchestration.checks import check_lookback
from quant_framework.orchestration.dag_builders.backfill_dag_builder import text, with_intervals
from quant_framework.orchestration.dag_builders.base import BaseDagBuilder
from quant_framework.orchestration.operators import IncrementalOperator
from quant_framework.orchestration.workflows.incremental_workflow import OVERLAP


class IncrementalDagBuilder(BaseDagBuilder):
    """A DAG that fills the holes of every series and fetches up to its newest closed bar.

    Args:
        start: where the series begin, ISO 8601 text with time zone or aware datetime.
        lookback: a ``timedelta`` before the end of a run, where ``start`` is not given. Without either, a run fetches
            its data interval, which a cron text has here (UTC); one without an interval begins where the checkpoint of
            the series does.
        overlap: so many known bars before the newest missing ones are asked for again.
        lag: a bar counts as closed so many seconds after its end.

    One run at a time, unless ``max_active_runs`` says otherwise. Everything else is as for ``BaseDagBuilder``.

    """

    operator_class = IncrementalOperator
    task_id = "update"

    def __init__(
        self,
        dag_id: str,
        *positional: Any,
        start: Any = None,
        lookback: timedelta | None = None,
        overlap: int = OVERLAP,
        lag: float = 5.0,
        **options: Any,
    ) -> None:
        super().__init__(dag_id, *positional, **({"max_active_runs": 1} | options))
        self.start: Any = start
        self.lookback: timedelta | None = lookback
        self.overlap: int = overlap
        self.lag: float = lag

    def with_start(self, start: Any) -> IncrementalDagBuilder:
        """Set where the series begin."""
        return self._set(start=start)

    def with_lookback(self, lookback: timedelta) -> IncrementalDagBuilder:
        """Set how far back each run looks."""
        check_lookback(lookback)
        return self._set(lookback=lookback)

    def timetable(self) -> Any:
        """The schedule; without start and lookback, a cron text is one of data intervals: what a run fetches."""
        return self.schedule if self.start or self.lookback else with_intervals(self.schedule)

    def arguments(self) -> dict[str, Any]:
        """How far back to look."""
        return {"start": text(self.start)} | {name: getattr(self, name) for name in ("lookback", "overlap", "lag")}
