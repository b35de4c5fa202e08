"""Look at rows that are staged or in the lake, and at what the checkpoints say is missing."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from datetime import datetime
from typing import Any

from quant_framework.airflow.compat import AirflowFailException
from quant_framework.airflow.staging import open_stage
from quant_framework.errors import InvalidError
from quant_framework.orchestration.operators.base import BaseDataOperator, given
from quant_framework.orchestration.operators.source import run_range
from quant_framework.orchestration.operators.upstream import results
from quant_framework.orchestration.staged import KIND, Staged
from quant_framework.orchestration.tasks.validation_tasks import detect_gaps, validate_rows

Moment = datetime | str
SEVERITIES = ("error", "warning", "never")


class LakeOperator(BaseDataOperator):
    """Judges what lies in the lake.

    Args:
        fail_on: the least severity that fails the task, without a retry: ``error``, ``warning`` or ``never``.

    """

    def __init__(self, *, fail_on: str = "error", **kwargs: Any) -> None:
        super().__init__(**kwargs)
        if fail_on not in SEVERITIES:
            raise InvalidError(f"fail_on must be one of {', '.join(SEVERITIES)}, not {fail_on!r}")
        self.fail_on = fail_on


class ValidationOperator(LakeOperator):
    """Looks at rows: inside their range, on the grid, each once, possible, complete.

    Args:
        staged: results of fetch tasks, or of backfill and write tasks, whose rows are looked at (templated); by default
            what the tasks directly upstream returned, unless ``series`` is given.
        series: key of a series in the lake.
        start: aware datetime or ISO 8601 text (templated); by default the start of the run's data interval.
        end: see ``start``.
        fail_on: the least severity that fails the task, without a retry. Impossible, contradicting or misplaced rows
            are an ``error``; missing, repeated and unordered ones a ``warning``.

    The result holds ``ok`` and, per series and range, ``rows, bars, findings, gaps``. Everything else is as for
    ``BaseDataOperator``.

    """

    template_fields: Sequence[str] = (*LakeOperator.template_fields, "staged", "series", "start", "end")

    def __init__(
        self,
        *,
        staged: Any = None,
        series: str | None = None,
        start: Moment | None = None,
        end: Moment | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        if staged is not None and series is not None:
            raise InvalidError("staged and series both say what to look at; leave one out")
        self.staged = staged
        self.series = series
        self.start = start
        self.end = end

    def work(self, context: dict[str, Any]) -> dict[str, Any]:
        """Look, and judge."""
        reports = [report for look in self.wanted(context) for report in look]
        found = [f"{one['series']}: {line(finding)}" for one in reports for finding in self.counting(one)]
        self._places = {"inputs": [report["series"] for report in reports], "outputs": []}
        judge(not found, self.fail_on, "; ".join(found[:5]), self.log)
        short = [report | {"gaps": report["gaps"][:10]} for report in reports[:50]]
        return {"ok": all(report["ok"] for report in reports), "reports": short, "report_count": len(reports)}

    def counting(self, report: dict[str, Any]) -> list[dict[str, Any]]:
        """The findings that fail the task."""
        return [one for one in report["findings"] if self.fail_on == "warning" or one["severity"] == "error"]

    def wanted(self, context: dict[str, Any]) -> list[list[dict[str, Any]]]:
        """The reports on everything that is to be looked at."""
        if series := given(self.series):
            start, end = run_range(context, self.start, self.end)
            return [[validate_rows(series, start, end, self.build_writer(context))]]
        values = results(self, context, self.staged, "staged")
        if not values:
            hint = "put it after a fetch, write or backfill operator, or pass series="
            raise InvalidError("there is nothing to look at: no task directly upstream returned anything", hint)
        return [self.look(value, origin, context) for origin, value in values]

    def look(self, value: Any, origin: str, context: dict[str, Any]) -> list[dict[str, Any]]:
        """The reports on what one task returned: staged rows, or ranges of series in the lake."""
        is_summary = isinstance(value, dict) and value.get("kind") != KIND and isinstance(value.get("series"), list)
        if is_summary:
            lake = self.build_writer(context)
            return [validate_rows(one["series"], one["start"], one["end"], lake) for one in value["series"]]
        staged = Staged.parse(value, origin)
        place = open_stage(staged.stage, given(self.minio_conn_id)).rows
        return [validate_rows(str(staged.series), low, high, place) for low, high in staged.moments()]


class GapDetector(BaseDataOperator):
    """Says what the checkpoint of a series lacks.

    Args:
        series: its key, ``source/data_type/symbol/timeframe`` (templated, as the times).
        start: aware datetime or ISO 8601 text; by default the start of the run's data interval.
        end: end (exclusive); by default the end of the run's data interval, else now.
        fail_on_gaps: fail without a retry where bars are missing that the source was never asked for.

    The result is that of ``detect_gaps``. Everything else is as for ``BaseDataOperator``.

    """

    template_fields: Sequence[str] = (*BaseDataOperator.template_fields, "series", "start", "end")

    def __init__(
        self,
        *,
        series: str,
        start: Moment | None = None,
        end: Moment | None = None,
        fail_on_gaps: bool = False,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.series = series
        self.start = start
        self.end = end
        self.fail_on_gaps = fail_on_gaps

    def work(self, context: dict[str, Any]) -> dict[str, Any]:
        """Look."""
        start, end = run_range(context, self.start, self.end)
        if start is None:
            raise InvalidError("start is missing", "pass start=, or run it for a data interval")
        found = detect_gaps(self.series, start, end, self.build_checkpoint_store(context))
        self._places = {"inputs": [self.series], "outputs": []}
        first = next((gap for gap in found["gaps"] if gap["kind"] == "unknown"), None)
        text = first and f"{self.series}: {found['unknown_bars']} bars were never asked for, from {first['start']} on"
        judge(first is None, "error" if self.fail_on_gaps else "never", text or "", self.log)
        return found


def line(finding: dict[str, Any]) -> str:
    """A finding in a few words."""
    return f"{finding['count']} {finding['check']} (first {finding['first']})"


def judge(fine: bool, fail_on: str, text: str, log: logging.Logger) -> None:
    """Fail without a retry, or only say so."""
    if fine:
        return
    if fail_on != "never":
        raise AirflowFailException(text)
    log.warning("%s", text)
