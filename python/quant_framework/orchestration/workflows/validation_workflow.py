"""Compare sources of one market over a range, as they lie in the lake."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from datetime import datetime
from typing import Any

from quant_framework._core import BronzeWriter, ReportWriter, reconcile_rows
from quant_framework.errors import InvalidError, QuantFrameworkError
from quant_framework.orchestration.checks import check_fraction, check_wanted
from quant_framework.orchestration.ports import ICheckpointStore, IWorkflow, IWorkflowContext
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
        thresholds: of the checks of each series, by name; see docs/validation.md.
        checks: ids or codes of the checks that count; by default all.
        checkpoint_store: what is remembered of the series, to tell gaps apart; by default gaps are just missing.
        report: where a page, its numbers as JSON and its bars as Parquet go; by default nothing is written.
        backfill: makes of a series' key, a start and an end the workflow that fetches them, or ``None``; asked for each
            hole, one after the other. By default holes are only listed.

    The result holds ``status`` (``success`` where the comparison could be made), ``agrees``, ``series`` (each with
    ``ok, rows, bars, findings, gaps``), ``pairs`` (``left, right, shared, only_left, only_right, value, volume, lag``),
    ``holes`` (bars that one source has and another lacks: ``series, start, end, bars``), ``report`` (addresses of
    ``html, json, parquet``) and ``backfilled`` (holes with the ``status`` and ``records_written`` of their workflows).

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
        thresholds: Mapping[str, float] | None = None,
        checks: Sequence[str] | None = None,
        checkpoint_store: ICheckpointStore | None = None,
        report: ReportWriter | None = None,
        backfill: Callable[[str, datetime, datetime], IWorkflow | None] | None = None,
    ) -> None:
        if not isinstance(lake, BronzeWriter):
            raise InvalidError(f"a lake of type {type(lake).__name__} cannot be read", "pass a BronzeWriter")
        if not isinstance(series, list | tuple) or not all(isinstance(key, str) for key in series):
            raise InvalidError(f"series must be a list of keys, not {series!r}")
        check_fraction("tolerance", tolerance)
        if volume_tolerance is not None:
            check_fraction("volume_tolerance", volume_tolerance)
        check_wanted(thresholds, checks)
        if report is not None and not isinstance(report, ReportWriter):
            raise InvalidError(f"report must be a ReportWriter, not a {type(report).__name__}")
        self.lake = lake
        self.series = series
        self.parameters = {"start": start, "end": end}
        self.options = {
            "tolerance": tolerance,
            "volume_tolerance": volume_tolerance,
            "thresholds": thresholds and dict(thresholds),
            "checks": checks and list(checks),
            "checkpoint_store": checkpoint_store,
            "reports": report,
        }
        self.backfill = backfill
        self._running: IWorkflow | None = None
        self._cancelled = False

    def cancel(self) -> None:
        """Let a hole that is being fetched finish its writes, and fetch no other one. May be called from a signal."""
        self._cancelled = True
        cancel = getattr(self._running, "cancel", None)
        if cancel is not None:
            cancel()

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
            report = await reconcile_rows(self.lake, list(self.series), held["start"], held["end"], **self.options)
        except QuantFrameworkError as error:
            return {"status": "failed", "errors": [{"kind": error.kind, "message": str(error)}]}
        if self.backfill is not None:
            report["backfilled"] = [one async for one in self._backfilled(report["holes"], context)]
        return {"status": "success", **report}

    async def _backfilled(
        self, holes: Sequence[dict[str, Any]], context: IWorkflowContext
    ) -> AsyncIterator[dict[str, Any]]:
        """Each hole with what became of it. What one hole fails with is its own."""
        for hole in holes:
            try:
                start, end = moment(hole["start"], "start"), moment(hole["end"], "end")
                self._running = None if self._cancelled else self.backfill(hole["series"], start, end)
                if self._running is None:
                    continue
                done = await self._running.execute(context)
            except QuantFrameworkError as error:
                done = {"status": "failed", "errors": [{"kind": error.kind, "message": str(error)}]}
            names = ("status", "records_written", "errors")
            yield hole | {name: done[name] for name in names if done.get(name) is not None}

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
