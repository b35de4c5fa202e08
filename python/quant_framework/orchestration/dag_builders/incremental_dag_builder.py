"""DAGs that keep series up to date: one mapped task per series."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from quant_framework.orchestration.checks import check_lookback
from quant_framework.orchestration.dag_builders.backfill_dag_builder import text
from quant_framework.orchestration.dag_builders.base import BaseDagBuilder
from quant_framework.orchestration.operators import IncrementalOperator


class IncrementalDagBuilder(BaseDagBuilder):
    """A DAG that fills the holes of every series and fetches up to its newest closed bar.

    Args:
        start: where the series begin, ISO 8601 text with time zone or aware datetime.
        lookback: a ``timedelta`` before the end of a run, where ``start`` is not given.
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
        lag: float = 5.0,
        **options: Any,
    ) -> None:
        super().__init__(dag_id, *positional, **({"max_active_runs": 1} | options))
        self.start, self.lookback, self.lag = start, lookback, lag

    def with_start(self, start: Any) -> IncrementalDagBuilder:
        """Set where the series begin."""
        return self._set(start=start)

    def with_lookback(self, lookback: timedelta) -> IncrementalDagBuilder:
        """Set how far back each run looks."""
        check_lookback(lookback)
        return self._set(lookback=lookback)

    def arguments(self) -> dict[str, Any]:
        """How far back to look."""
        return {"start": text(self.start), "lookback": self.lookback, "lag": self.lag}
