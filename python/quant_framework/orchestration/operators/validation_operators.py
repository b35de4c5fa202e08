"""Look at rows that are staged or in the lake, and at what the checkpoints say is missing."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any, Protocol

from quant_framework.airflow.assets import series_uri
from quant_framework.airflow.compat import AirflowFailException, Context
from quant_framework.airflow.staging import open_stage
from quant_framework.arguments import Moment, Severity
from quant_framework.errors import InvalidError
from quant_framework.orchestration.checks import check_series, check_wanted
from quant_framework.orchestration.operators.base import BaseDataOperator, given
from quant_framework.orchestration.operators.source import whole_range
from quant_framework.orchestration.operators.upstream import (
    VALIDATED,
    is_passed,
    is_staged,
    listed,
    passed,
    results,
    usable,
)
from quant_framework.orchestration.ports import ICheckpointStore
from quant_framework.orchestration.staged import Staged, is_summary
from quant_framework.orchestration.tasks.validation_tasks import detect_gaps, validate_rows
from quant_framework.results import Finding, GapReport, SeriesValidation, ValidatedReport

SEVERITIES = ("error", "warning", "never")
SHAPES = "what a fetch, write or backfill task returns"
HINT = "put it after such a task, or pass series="


class LakeOperator(BaseDataOperator):
    """Judges what lies in the lake.

    Args:
        fail_on: the least severity that fails the task, without a retry: ``error``, ``warning`` or ``never``.
        thresholds: from where on something is a finding, by name, such as ``{"spike_factor": 50}``; see
            docs/validation.md.
        checks: ids or codes of the checks that count, such as ``["values", "G1"]``; by default all.
        checkpoint: with it (or ``postgres_conn_id``) bars that the source does not have are told from those that nobody
            asked for; by default gaps are just missing.

    Raises:
        InvalidError: no such severity, threshold or check.

    """

    def __init__(
        self,
        *,
        fail_on: Severity = "error",
        thresholds: dict[str, float] | None = None,
        checks: Sequence[str] | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        check_wanted(thresholds, checks)
        self.thresholds = thresholds
        self.checks = checks
        if fail_on not in SEVERITIES:
            raise InvalidError(f"fail_on must be one of {', '.join(SEVERITIES)}, not {fail_on!r}")
        self.fail_on = fail_on

    def known(self, context: Context) -> ICheckpointStore | None:
        """What tells gaps apart, where an argument says so."""
        said = given(self.checkpoint) or given(self.postgres_conn_id)
        return self.build_checkpoint_store(context) if said else None


class ValidationOperator(LakeOperator):
    """Looks at rows: inside their object, on the grid, each once, possible, complete, and as usual.

    Args:
        staged: results of fetch tasks, or of backfill and write tasks, whose rows are looked at (templated); by default
            what the tasks directly upstream returned, unless ``series`` is given.
        series: key of a series in the lake.
        start: aware datetime or ISO 8601 text (templated); by default the start of the run's data interval.
        end: see ``start``.
        roll_up: a shorter timeframe of the same market in the lake, whose bars must add up to those of ``series``.
        fail_on: the least severity that fails the task, without a retry. Impossible, contradicting or misplaced rows
            are an ``error``; missing, repeated and unusual ones a ``warning``.
        thresholds: as for ``LakeOperator``, with ``checks`` and ``checkpoint``.

    Raises:
        InvalidError: both ``staged`` and ``series``, or ``roll_up`` without ``series``.

    The result holds ``ok``, per series and range ``rows, bars, findings, gaps``, and what was looked at, so that a
    write task may follow: ``fetch >> validate >> write``. Everything else is as for ``BaseDataOperator``.

    """

    template_fields: Collection[str] = (*LakeOperator.template_fields, "staged", "series", "start", "end")

    def __init__(
        self,
        *,
        staged: Any = None,
        series: str | None = None,
        start: Moment | None = None,
        end: Moment | None = None,
        roll_up: str | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        if staged is not None and series is not None:
            raise InvalidError("staged and series both say what to look at; leave one out")
        if roll_up is not None and series is None:
            raise InvalidError("roll_up needs series, whose bars those of roll_up add up to")
        if roll_up is not None and (wrong := check_series([roll_up], [])):
            raise InvalidError(wrong[0].replace("timeframes", "roll_up", 1))
        self.roll_up = roll_up
        self.staged = staged
        self.series = series
        self.start = start
        self.end = end

    def work(self, context: Context) -> ValidatedReport:
        """Look, and judge."""
        values = [] if given(self.series) else self.upstream(context)
        reports = self.whole(context) if given(self.series) else []
        reports += [report for origin, value in values for report in self.look(value, origin, context)]
        self._places = {
            "inputs": [address for origin, value in values for address in self.places(value)],
            "outputs": [],
        }
        found = [f"{one['series']}: {line(finding)}" for one in reports for finding in self.counting(one)]
        judge(not found, self.fail_on, "; ".join(found[:5]), self.log)
        return {
            "kind": VALIDATED,
            "ok": all(report["ok"] for report in reports),
            "reports": [{**report, "gaps": report["gaps"][:10]} for report in reports[:50]],
            "report_count": len(reports),
            "looked_at": [value if is_staged(value) else ranges(value) for _, value in values],
        }

    def counting(self, report: SeriesValidation) -> list[Finding]:
        """The findings that fail the task."""
        counting = ("error", "warning") if self.fail_on == "warning" else ("error",)
        return [one for one in report["findings"] if one["severity"] in counting]

    def whole(self, context: Context) -> list[SeriesValidation]:
        """The report on the range of one series in the lake."""
        start, end = whole_range(context, self.start, self.end)
        return [self.one(str(self.series), start, end, self.build_writer(context), self.known(context), self.roll_up)]

    def one(self, series: str, start: Any, end: Any, lake: Any, *known: Any) -> SeriesValidation:
        """The report on one series."""
        return validate_rows(series, start, end, lake, self.thresholds, self.checks, *known)

    def upstream(self, context: Context) -> list[tuple[str, Any]]:
        """What is to be looked at."""
        if is_passed(self.staged):
            return passed("staged", self.staged, is_judged, SHAPES)
        return usable(results(self, context), is_judged, SHAPES, HINT)

    def places(self, value: Any) -> list[str]:
        """Where the rows lie that one task returned."""
        return [value["stage"]] if is_staged(value) else [series_uri(one["series"]) for one in value["series"]]

    def look(self, value: Any, origin: str, context: Context) -> list[SeriesValidation]:
        """The reports on what one task returned: staged rows, or ranges of series in the lake."""
        if is_summary(value):
            lake, known = self.build_writer(context), self.known(context)
            return [self.one(one["series"], one["start"], one["end"], lake, known) for one in listed(value, origin)]
        staged = Staged.parse(value, origin)
        place = open_stage(staged.stage, given(self.minio_conn_id)).rows
        return [self.one(str(staged.series), low, high, place) for low, high in staged.moments()]


def is_judged(value: Any) -> bool:
    """Whether ``value`` names rows that can be looked at."""
    return is_staged(value) or is_summary(value)


def ranges(summary: dict[str, Any]) -> dict[str, Any]:
    """Series and ranges of what a backfill or write task returned."""
    return {"series": [{name: one[name] for name in ("series", "start", "end")} for one in summary["series"]]}


class GapDetector(BaseDataOperator):
    """Says what the checkpoint of a series lacks.

    Args:
        series: its key, ``source/data_type/symbol/timeframe`` (templated, as the times).
        start: aware datetime or ISO 8601 text; by default the start of the run's data interval.
        end: end (exclusive); by default the end of the run's data interval, else now.
        fail_on_gaps: fail without a retry where bars are missing that the source was never asked for.

    The result is that of ``detect_gaps``. Everything else is as for ``BaseDataOperator``.

    """

    template_fields: Collection[str] = (*BaseDataOperator.template_fields, "series", "start", "end")

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

    def work(self, context: Context) -> GapReport:
        """Look."""
        start, end = whole_range(context, self.start, self.end)
        found = detect_gaps(self.series, start, end, self.build_checkpoint_store(context))
        first = next((gap for gap in found["gaps"] if gap["kind"] == "unknown"), None)
        text = first and f"{self.series}: {found['unknown_bars']} bars were never asked for, from {first['start']} on"
        judge(first is None, "error" if self.fail_on_gaps else "never", text or "", self.log)
        return found


def line(finding: Finding) -> str:
    """A finding in a few words."""
    return f"{finding['count']} {finding['check']} (first {finding['first']})"


class Log(Protocol):
    """What warns; Airflow's loggers are not of ``logging``."""

    def warning(self, event: str, /, *arguments: Any) -> Any:
        """Say it."""
        ...


def judge(fine: bool, fail_on: str, text: str, log: Log) -> None:
    """Fail without a retry, or only say so."""
    if fine:
        return
    if fail_on != "never":
        raise AirflowFailException(text)
    log.warning("%s", text)
