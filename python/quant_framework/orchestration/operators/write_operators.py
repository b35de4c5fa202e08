"""Write what was staged into the lake, with checkpoints."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from quant_framework.airflow.progress import INTERVAL, TaskProgress
from quant_framework.airflow.staging import open_stage
from quant_framework.orchestration.operators.base import BaseDataOperator, addresses, given
from quant_framework.orchestration.operators.source import owner
from quant_framework.orchestration.operators.upstream import is_passed, is_staged, passed, results, usable
from quant_framework.orchestration.staged import SHAPE, Staged
from quant_framework.orchestration.tasks.fetch_tasks import Stage
from quant_framework.orchestration.workflows import WriteWorkflow

HINT = "put it after a fetch operator, as in fetch >> write, or pass staged=fetch.output"


class WriteBronzeOperator(BaseDataOperator):
    """Writes staged rows into the bronze lake and commits them; what the lake has already is left as it is.

    Args:
        staged: the result of a fetch task, or a list of them (templated), as in ``staged=fetch.output``; by default
            what the tasks directly upstream returned, mapped ones included.

    Twice is once: a retry or a cleared task writes the same objects. Everything else is as for ``BaseDataOperator``.

    """

    template_fields: Sequence[str] = (*BaseDataOperator.template_fields, "staged")

    def __init__(self, *, staged: Any = None, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.staged = staged

    def build_stage(self, url: str) -> Stage:
        """The place that a reference names; override where it needs other credentials."""
        return open_stage(url, given(self.minio_conn_id))

    def build_workflow(self, context: dict[str, Any]) -> WriteWorkflow:
        """The run, from plain values."""
        if is_passed(self.staged):
            values = passed("staged", self.staged, is_staged, SHAPE)
        else:
            values = usable(results(self, context), is_staged, SHAPE, HINT)
        staged = [Staged.parse(value, origin) for origin, value in values]
        self._inputs, self._writer = [reference.stage for reference in staged], self.build_writer(context)
        return WriteWorkflow(
            staged,
            writer=self._writer,
            checkpoint_store=self.build_checkpoint_store(context),
            open_stage=self.build_stage,
            owner=owner(context),
            progress=TaskProgress(context),
            progress_interval=INTERVAL,
        )

    def report(self, result: dict[str, Any], context: dict[str, Any]) -> None:
        """Remember what was read and written."""
        series = [one["series"] for one in result["series"]]
        self._places = {"inputs": self._inputs, "outputs": addresses(self._writer, series)}
