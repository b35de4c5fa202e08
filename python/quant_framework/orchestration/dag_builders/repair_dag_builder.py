"""DAGs that ask again for the holes of stored series: one mapped task per series."""

from __future__ import annotations

from typing import Any

from quant_framework.orchestration.dag_builders.backfill_dag_builder import text
from quant_framework.orchestration.dag_builders.base import BaseDagBuilder
from quant_framework.orchestration.operators import RepairOperator
from quant_framework.orchestration.workflows.repair_workflow import ATTEMPTS, PAUSE


class RepairDagBuilder(BaseDagBuilder):
    """A DAG that asks again for the holes of series that are stored.

    Args:
        start: where to look, ISO 8601 text with time zone or aware datetime; by default where each checkpoint begins.
        attempts: a hole that the source had nothing for so often is settled.
        pause: seconds between the first repair of a hole and the second; doubles each time.
        force: ask for every hole in every run.

    One run at a time, unless ``max_active_runs`` says otherwise. Everything else is as for ``BaseDagBuilder``.

    """

    operator_class = RepairOperator
    task_id = "repair"

    def __init__(
        self,
        dag_id: str,
        *positional: Any,
        start: Any = None,
        attempts: int = ATTEMPTS,
        pause: float = PAUSE,
        force: bool = False,
        **options: Any,
    ) -> None:
        super().__init__(dag_id, *positional, **({"max_active_runs": 1} | options))
        self.start: Any = start
        self.attempts: int = attempts
        self.pause: float = pause
        self.force: bool = force

    def arguments(self) -> dict[str, Any]:
        """Which holes."""
        return {"start": text(self.start)} | {name: getattr(self, name) for name in ("attempts", "pause", "force")}
