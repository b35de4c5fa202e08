"""The template of every workflow, and the context that wraps Airflow's."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any

from quant_framework.orchestration.ports import IWorkflowContext
from quant_framework.results import Failure

log: logging.Logger = logging.getLogger("quant_framework.workflows")


class BaseWorkflow:
    """Validate, execute, report.

    A subclass overrides ``_execute_impl(context)``, which answers a dict with at least ``status``, and ``validate`` or
    ``_report_results(result, context)`` where it needs to.
    """

    async def execute(self, context: IWorkflowContext | None = None) -> Mapping[str, Any]:
        """Run the workflow; a dict with ``status`` and, where it failed, ``errors`` (each a ``Failure``).

        Args:
            context: where parameters come from that the constructor was not given, and state is kept; by default none.

        """
        context = context or NoContext()
        valid, errors = await self.validate(context)
        if not valid:
            return {"status": "failed", "errors": errors}
        result = await self._execute_impl(context)
        await self._report_results(result, context)
        return result

    async def validate(self, context: IWorkflowContext) -> tuple[bool, list[Failure]]:
        """Whether the workflow can run, and everything that speaks against it."""
        return True, []

    async def _execute_impl(self, context: IWorkflowContext) -> Mapping[str, Any]:
        raise NotImplementedError(f"{type(self).__name__} does not override _execute_impl")

    async def _report_results(self, result: Mapping[str, Any], context: IWorkflowContext) -> None:
        log.info("%s: %s", type(self).__name__, result.get("status"))


class NoContext:
    """The context of a workflow that runs by itself and was given all its parameters."""

    def get_state(self, key: str, task_id: str | None = None) -> None:
        """Nothing is kept.

        Args:
            key: of the state.
            task_id: see ``key``.

        """

    def set_state(self, key: str, value: Any) -> None:
        """Nothing is kept.

        Args:
            key: of the state.
            value: see ``key``.

        """


class AirflowWorkflowContext:
    """State of a workflow in Airflow's XComs; parameters from the DAG run's ``params``.

    Args:
        ti: the task instance, as in ``AirflowWorkflowContext(ti=context["ti"])``.
        params: the run's params, if the workflow shall read its parameters from them.

    """

    def __init__(self, ti: Any, params: Mapping[str, Any] | None = None) -> None:
        self.ti = ti
        self.params: dict[str, Any] = dict(params or {})
        self._set: dict[str, Any] = {}

    def get_state(self, key: str, task_id: str | None = None) -> Any:
        """What this context was told to keep, else a param, else the XCom ``key`` of this task instance.

        With ``task_id`` the XCom of that task; a list of them where it is mapped.
        """
        if task_id is not None:
            return self.ti.xcom_pull(key=key, task_ids=task_id)
        if key in self._set:
            return self._set[key]
        if key in self.params:
            return self.params[key]
        # Without its index, a mapped task would get the values of all its instances.
        index = getattr(self.ti, "map_index", None)
        own: dict[str, Any] = {"map_indexes": index} if isinstance(index, int) else {}
        return self.ti.xcom_pull(key=key, task_ids=self.ti.task_id, **own)

    def set_state(self, key: str, value: Any) -> None:
        """Push ``value`` (JSON) as the XCom ``key``."""
        self.ti.xcom_push(key=key, value=value)
        self._set[key] = value
