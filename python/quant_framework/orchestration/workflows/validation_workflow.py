"""Compare sources of one market over a range, as they lie in the lake."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from datetime import datetime
from typing import Any

from quant_framework._core import BronzeWriter, reconcile_rows
from quant_framework.errors import InvalidError, QuantFrameworkError
from quant_framework.orchestration.checks import check_fraction
from quant_framework.orchestration.ports import IWorkflowContext
from quant_framework.orchestration.workflows.backfill_workflow import moment
from quant_framework.orchestration.workflows.base import BaseWorkflow

log = logging.getLogger("quant_framework.workflows.validation")


class ValidationWorkflow(BaseWorkflow):
    """Look at each series by itself, then compare each with the first.

    Args:
        lake: the bronze lake that holds them.
        series: keys of two or more series of one data type and timeframe; the first counts as right.
        start: first bar, aware.
        end: end (exclusive), aware.
        tolerance: by what fraction of the greater one the values (the close of a bar) may differ.
        volume_tolerance: the same for the volume; by default volumes are not compared.

    The result holds ``status`` (``success`` where the comparison could be made), ``agrees``, ``series`` (each with
    ``ok, rows, bars, findings, gaps``) and ``pairs`` (``left, right, shared, only_left, only_right, value, volume``).

    """

    def __init__(
        self,
        lake: BronzeWriter,
        series: Sequence[str],
        *,
        start: datetime | str | None = None,
        end: datetime | str | None = None,
        tolerance: float = 0.001,
        volume_tolerance: float | None = None,
    ) -> None:
        if not isinstance(lake, BronzeWriter):
            raise InvalidError(f"a lake of type {type(lake).__name__} cannot be read", "pass a BronzeWriter")
        if not isinstance(series, list | tuple) or not all(isinstance(key, str) for key in series):
            raise InvalidError(f"series must be a list of keys, not {series!r}")
        check_fraction("tolerance", tolerance)
        if volume_tolerance is not None:
            check_fraction("volume_tolerance", volume_tolerance)
        self.lake = lake
        self.series = series
        self.parameters = {"start": start, "end": end}
        self.tolerances = {"tolerance": tolerance, "volume_tolerance": volume_tolerance}

    async def validate(self, context: IWorkflowContext) -> tuple[bool, list[Any]]:
        """Whether there is a range and something to compare."""
        try:
            missing = [name for name, value in self._range(context).items() if value is None]
        except InvalidError as error:
            return False, [{"kind": error.kind, "message": str(error)}]
        if missing:
            return False, [{"kind": "invalid", "message": f"{' and '.join(missing)} not given"}]
        return True, []

    async def _execute_impl(self, context: IWorkflowContext) -> dict[str, Any]:
        try:
            held = self._range(context)
            report = await reconcile_rows(self.lake, list(self.series), held["start"], held["end"], **self.tolerances)
        except QuantFrameworkError as error:
            return {"status": "failed", "errors": [{"kind": error.kind, "message": str(error)}]}
        return {"status": "success", **report}

    def _range(self, context: IWorkflowContext) -> dict[str, datetime | None]:
        return {
            name: moment(context.get_state(name) if value is None else value, name)
            for name, value in self.parameters.items()
        }

    async def _report_results(self, result: dict[str, Any], context: IWorkflowContext) -> None:
        for pair in result.get("pairs", []):
            log.info(
                "%s and %s: %d bars shared, %d and %d on one side only, %d differ",
                pair["left"],
                pair["right"],
                pair["shared"],
                pair["only_left"]["bars"],
                pair["only_right"]["bars"],
                pair["value"]["bars"],
            )
