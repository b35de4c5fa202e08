"""Compare sources of one market over a range, as they lie in the lake."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from datetime import datetime
from typing import Any, cast

from quant_framework._core import BronzeWriter, ReportWriter, reconcile_rows
from quant_framework.arguments import Moment
from quant_framework.errors import InvalidError, QuantFrameworkError
from quant_framework.orchestration.checks import check_fraction, check_wanted
from quant_framework.orchestration.ports import ICheckpointStore, IWorkflow, IWorkflowContext
from quant_framework.orchestration.staged import iso_moment
from quant_framework.orchestration.workflows.backfill_workflow import failed, read_moment
from quant_framework.orchestration.workflows.base import BaseWorkflow
from quant_framework.results import Comparison, ComparisonResult, Failure, FilledHole, MissingBars

log: logging.Logger = logging.getLogger("quant_framework.workflows.validation")

FillHole = Callable[[str, datetime, datetime], IWorkflow | None]
"""Makes of a series' key, a start and an end the workflow that fetches them; ``None`` leaves the hole."""


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

    The result is a ``Comparison`` where one could be made, whatever came of it: ``agrees`` says that. Where the fetch
    of a hole is ``parked``, so is the workflow; the next run compares anew and fetches what is still missing.

    Raises:
        InvalidError: a lake that cannot be read, something other than a list of keys, a tolerance that is no fraction
            of at least 0 and below 1, or a threshold or a check of no such name.

    """

    def __init__(
        self,
        lake: BronzeWriter,
        series: Sequence[str],
        *,
        start: Moment | None = None,
        end: Moment | None = None,
        tolerance: float = 0.001,
        volume_tolerance: float | None = None,
        thresholds: Mapping[str, float] | None = None,
        checks: Sequence[str] | None = None,
        checkpoint_store: ICheckpointStore | None = None,
        report: ReportWriter | None = None,
        backfill: FillHole | None = None,
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
        self.parameters: dict[str, Moment | None] = {"start": start, "end": end}
        self.options: dict[str, Any] = {
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
        self._parked: str | None = None

    async def execute(self, context: IWorkflowContext | None = None) -> ComparisonResult:
        """Validate, compare, write the report, and fetch holes where that is wanted."""
        try:
            return cast("ComparisonResult", await super().execute(context))
        finally:
            self._cancelled = False

    def cancel(self) -> None:
        """Let a hole that is being fetched finish its writes, and fetch no other one. May be called from a signal."""
        self._cancelled = True
        cancel = getattr(self._running, "cancel", None)
        if cancel is not None:
            cancel()

    async def validate(self, context: IWorkflowContext) -> tuple[bool, list[Failure]]:
        """Whether there is a range and something to compare."""
        try:
            missing = [name for name, value in self._range(context).items() if value is None]
        except InvalidError as error:
            return False, [{"kind": error.kind, "message": str(error)}]
        if missing:
            return False, [{"kind": "invalid", "message": f"{' and '.join(missing)} not given"}]
        return True, []

    async def _execute_impl(self, context: IWorkflowContext) -> ComparisonResult:
        try:
            held: Any = self._range(context)
            report = await reconcile_rows(self.lake, list(self.series), held["start"], held["end"], **self.options)
        except QuantFrameworkError as error:
            return failed(error)
        comparison = cast("Comparison", {"status": "success", **report})
        if self.backfill is not None:
            filled = self._backfilled(report["holes"], self.backfill, context)
            comparison["backfilled"] = [one async for one in filled]
            if self._parked is not None:
                return {"status": "parked", "until": self._parked, "backfilled": comparison["backfilled"]}
        return comparison

    async def _backfilled(
        self, holes: Sequence[MissingBars], backfill: FillHole, context: IWorkflowContext
    ) -> AsyncIterator[FilledHole]:
        """Each hole with what became of it. What one hole fails with is its own."""
        self._parked = None
        for hole in holes:
            done: Mapping[str, Any]
            try:
                start, end = iso_moment(hole["start"]), iso_moment(hole["end"])
                self._running = None if self._cancelled else backfill(hole["series"], start, end)
                if self._running is None:
                    continue
                done = await self._running.execute(context)
            except QuantFrameworkError as error:
                done = dict(failed(error))
            names = ("status", "records_written", "errors")
            told = {name: done[name] for name in names if done.get(name) is not None}
            yield cast("FilledHole", {**hole, **told})
            if done["status"] == "parked":
                self._parked = done["until"]
                return

    def _range(self, context: IWorkflowContext) -> dict[str, datetime | None]:
        return {
            name: read_moment(context.get_state(name) if value is None else value, name)
            for name, value in self.parameters.items()
        }

    async def _report_results(self, result: Mapping[str, Any], context: IWorkflowContext) -> None:
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
