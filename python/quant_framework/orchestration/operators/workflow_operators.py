"""Whole workflows as Airflow tasks: backfill, incremental update, validation of sources against each other."""

from __future__ import annotations

import ast
import json
from collections.abc import Collection, Iterable, Sequence
from datetime import datetime, timedelta
from functools import partial
from typing import Any, cast

from quant_framework.airflow.assets import series_uri
from quant_framework.airflow.compat import AirflowSkipException, Context
from quant_framework.airflow.connections import (
    open_adapter,
    open_limiter,
    open_reports,
    quota_connection,
    refuse_secrets,
)
from quant_framework.airflow.market_data import adapter_options as options_of
from quant_framework.arguments import Moment, Severity
from quant_framework.errors import InvalidError
from quant_framework.ingestion.writers import BronzeWriter, ReportWriter
from quant_framework.orchestration.checks import check_fraction, check_lookback, check_overlap, check_seconds, listed
from quant_framework.orchestration.operators.base import addresses, comes_later, given
from quant_framework.orchestration.operators.source import SourceOperator, fixed, owner, run_range, whole_range
from quant_framework.orchestration.operators.validation_operators import LakeOperator, judge
from quant_framework.orchestration.ports import IDataAdapter, IRateLimiter, IWorkflow
from quant_framework.orchestration.workflows import (
    BackfillWorkflow,
    IncrementalWorkflow,
    RepairWorkflow,
    ValidationWorkflow,
)
from quant_framework.orchestration.workflows.incremental_workflow import OVERLAP


class BackfillOperator(SourceOperator):
    """Fetches what is missing of some series into the bronze lake, resumably.

    Args:
        symbols: the source's own names, or names that it can resolve (``BTC``). Like the other lists, also a text that
            a template has rendered: ``['BTC', 'ETH']``, JSON, or ``BTC,ETH``.
        timeframes: ``1m`` to ``1M``.
        data_types: by default ``["ohlcv"]``.
        start: first bar, aware datetime or ISO 8601 text (templated); by default the start of the run's data interval.
        end: end (exclusive); by default the end of the run's data interval, else now.
        only_symbols: other symbols are left out of this run, and the task is skipped where none is left. A list that
            is empty or ``None`` leaves none out.

    Raises:
        InvalidError: no such timeframe or data type, or symbols that are no list.

    Everything else is as for ``SourceOperator``, which also says what a subclass overrides.

    With PostgreSQL or hybrid checkpoints, what is fetched is claimed: another task that wants the same ranges of a
    series meanwhile fails in a way that Airflow retries. Every try of one task shares its claims.

    """

    template_fields: Collection[str] = (
        *SourceOperator.template_fields,
        "symbols",
        "timeframes",
        "data_types",
        "start",
        "end",
        "only_symbols",
    )

    def __init__(
        self,
        *,
        symbols: Sequence[str],
        timeframes: Sequence[str],
        data_types: Sequence[str] = ("ohlcv",),
        start: Moment | None = None,
        end: Moment | None = None,
        only_symbols: Sequence[str] | str | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.check(timeframes, data_types)
        if not isinstance(symbols, str | list | tuple) and not comes_later(symbols):
            raise InvalidError(f"symbols must be a list of names, not {symbols!r}")
        self.symbols = symbols
        self.timeframes = timeframes
        self.data_types = data_types
        self.start = start
        self.end = end
        self.only_symbols = only_symbols

    def build_workflow(self, context: Context) -> BackfillWorkflow:
        """The run, from plain values."""
        start, end = whole_range(context, self.start, self.end)
        return BackfillWorkflow(**self.wanted(context), start=start, end=end, **self.parts(context))

    def wanted(self, context: Context) -> dict[str, Any]:
        """Symbols, timeframes and data types of this run; override to choose them when the task runs.

        Skips where no symbol is left.
        """
        wanted = {name: names(name, getattr(self, name)) for name in ("symbols", "timeframes", "data_types")}
        if only := fixed(names("only_symbols", given(self.only_symbols) or [])):
            left = [symbol for symbol in wanted["symbols"] if symbol in only]
            if wanted["symbols"] and not left:
                raise AirflowSkipException(f"{', '.join(wanted['symbols'])}: not among the chosen symbols")
            wanted["symbols"] = left
        return wanted

    def parts(self, context: Context) -> dict[str, Any]:
        """With the lake and the checkpoints."""
        places = {"writer": self.build_writer(context), "checkpoint_store": self.build_checkpoint_store(context)}
        return super().parts(context) | places

    def report(self, result: dict[str, Any], context: Context) -> None:
        """Mirror how the run ended, and remember what was read and written."""
        series = [one["series"] for one in result.get("series", [])]
        outputs = addresses(getattr(self._workflow, "writer", None), series)
        self._places = {"inputs": list(map(series_uri, series)), "outputs": outputs}
        super().report(result, context)


class IncrementalOperator(BackfillOperator):
    """Brings series up to date: fills the holes since ``start`` (or ``lookback``), then fetches up to the newest bar.

    Args:
        start: where the series begin, aware datetime or ISO 8601 text (templated).
        lookback: a ``timedelta`` before ``end``, where ``start`` is not given. Without either, a run fetches its data
            interval; one without an interval begins where the checkpoint of the series does.
        overlap: so many known bars before the newest missing ones are asked for again, because sources restate them.
        lag: a bar counts as closed so many seconds after its end.
        end: by default the end of the run's data interval, else now.

    Raises:
        InvalidError: both ``start`` and ``lookback``, or an option that cannot be.

    It goes before backfills where both wait for one quota. What is covered is asked for again only as far as the
    overlap goes, so runs may overlap, be late, or be repeated by ``airflow backfill create``. Everything else is as for
    ``BackfillOperator``.

    """

    def __init__(
        self, *, lookback: timedelta | None = None, overlap: int = OVERLAP, lag: float = 5.0, **kwargs: Any
    ) -> None:
        super().__init__(**kwargs)
        check_lookback(lookback, given(self.start))
        check_overlap(overlap)
        check_seconds("lag", lag)
        self.lookback = lookback
        self.overlap = overlap
        self.lag = lag

    def build_workflow(self, context: Context) -> IncrementalWorkflow:
        """The run, from plain values."""
        start, end = run_range(context, self.start, self.end)
        options: dict[str, Any] = {"start": None if self.lookback else start, "end": end, "lookback": self.lookback}
        options |= {"overlap": self.overlap, "lag": self.lag}
        return IncrementalWorkflow(**self.wanted(context), **options, **self.parts(context))


class ValidationWorkflowOperator(LakeOperator):
    """Compares sources of one market over a range, as they lie in the lake.

    Args:
        series: keys of two or more series of one data type and timeframe; the first counts as right.
        start: aware datetime or ISO 8601 text (templated); by default the start of the run's data interval.
        end: see ``start``.
        tolerance: by what fraction the values (the close of a bar) may differ.
        volume_tolerance: the same for the volume; by default volumes are not compared.
        reports: URL of the place where a page, its numbers and its bars go (templated); by default
            ``QUANT_FRAMEWORK_REPORTS`` or a folder beside the lake.
        write_report: whether they are written.
        backfill_holes: ask again for the bars that one source has and another lacks, where the other's source is known,
            even those that it said it does not have (see ``RepairWorkflow``).
        adapter_options: of those sources' adapters.
        market_data_conn_id: connection that holds the API key and options of one of those sources; others are asked
            without it.
        rate_limit: as for ``SourceOperator``, with ``rate_limit_conn_id`` and ``max_wait``.
        fail_on: ``error`` fails without retry where a series has errors of its own or differs from the first;
            ``never`` only reports.
        thresholds: as for ``LakeOperator``, with ``checks`` and ``checkpoint``.

    Raises:
        InvalidError: fewer than two series, or a tolerance that is no fraction of at least 0 and below 1.

    A subclass that knows other sources overrides ``build_backfill``.

    """

    template_fields: Collection[str] = (
        *LakeOperator.template_fields,
        "series",
        "start",
        "end",
        "reports",
        "market_data_conn_id",
        "rate_limit",
        "rate_limit_conn_id",
    )
    _sources: dict[str, tuple[IDataAdapter, IRateLimiter]] | None = None

    def __init__(
        self,
        *,
        series: Sequence[str],
        start: Moment | None = None,
        end: Moment | None = None,
        tolerance: float = 0.001,
        volume_tolerance: float | None = None,
        reports: str | None = None,
        write_report: bool = True,
        backfill_holes: bool = False,
        adapter_options: dict[str, Any] | None = None,
        market_data_conn_id: str | None = None,
        rate_limit: str | None = None,
        rate_limit_conn_id: str | None = None,
        max_wait: float | None = 120.0,
        fail_on: Severity = "error",
        **kwargs: Any,
    ) -> None:
        super().__init__(fail_on=fail_on, **kwargs)
        refuse_secrets(reports=reports, rate_limit=rate_limit, adapter_options=adapter_options)
        if isinstance(series, list | tuple) and len(series) < 2:
            raise InvalidError("series must name at least two series to compare")
        check_fraction("tolerance", tolerance)
        if volume_tolerance is not None:
            check_fraction("volume_tolerance", volume_tolerance)
        if max_wait is not None:
            check_seconds("max_wait", max_wait, " or None,")
        self.series = series
        self.start = start
        self.end = end
        self.tolerance = tolerance
        self.volume_tolerance = volume_tolerance
        self.reports = reports
        self.write_report = write_report
        self.backfill_holes = backfill_holes
        self.adapter_options = adapter_options
        self.market_data_conn_id = market_data_conn_id
        self.rate_limit = rate_limit
        self.rate_limit_conn_id = rate_limit_conn_id
        self.max_wait = max_wait

    def build_workflow(self, context: Context) -> ValidationWorkflow:
        """The run, from plain values."""
        self._sources = {}
        start, end = whole_range(context, self.start, self.end)
        self._lake = cast("BronzeWriter", self.build_writer(context))  # the workflow refuses another kind
        return ValidationWorkflow(
            self._lake,
            self.series,
            start=start,
            end=end,
            tolerance=self.tolerance,
            volume_tolerance=self.volume_tolerance,
            thresholds=self.thresholds,
            checks=self.checks,
            checkpoint_store=self.known(context),
            report=self.build_reports(context),
            backfill=partial(self.build_backfill, context) if self.backfill_holes else None,
        )

    def build_reports(self, context: Context) -> ReportWriter | None:
        """Where the report goes; override to bring your own."""
        if not self.write_report:
            return None
        return open_reports(self._lake, given(self.reports), given(self.minio_conn_id))

    def build_backfill(self, context: Context, series: str, start: datetime, end: datetime) -> IWorkflow:
        """What fetches a hole of ``series`` (its key), whatever is known of it; override to bring your own."""
        source = series.partition("/")[0]
        self._sources = {} if self._sources is None else self._sources
        if source not in self._sources:
            self._sources[source] = self._open(source)
        adapter, limiter = self._sources[source]
        return RepairWorkflow(
            adapter=adapter,
            writer=self._lake,
            checkpoint_store=self.build_checkpoint_store(context),
            rate_limiter=limiter,
            holes=[{"series": series, "start": start, "end": end}],
            max_wait=self.max_wait,
            owner=owner(context),
        )

    def _open(self, source: str) -> tuple[IDataAdapter, IRateLimiter]:
        """The adapter of the series of ``source``, and its quota where every task shares it."""
        prefix, options = "ccxt_", dict(self.adapter_options or {})
        if source.startswith(prefix):
            source, options = "ccxt", {"exchange_id": source.removeprefix(prefix)} | options
        conn_id = given(self.market_data_conn_id)
        if conn_id is not None:
            known, said = options_of(conn_id)
            asked = options.get("exchange_id")
            conn_id = conn_id if known == source and said.get("exchange_id", asked) == asked else None
        adapter = open_adapter(source, options, conn_id)
        place = given(self.rate_limit)
        shared = quota_connection(place, given(self.rate_limit_conn_id), given(self.postgres_conn_id))
        return adapter, open_limiter(adapter, place, shared)

    def summarize(self, result: dict[str, Any]) -> dict[str, Any]:
        """Counts per series and pair; fails where the comparison does."""
        self._places = {"inputs": addresses(getattr(self._workflow, "lake", None), self.series), "outputs": []}
        series = [{name: one[name] for name in ("series", "ok", "rows", "findings")} for one in result["series"]]
        summary = {name: result[name] for name in ("status", "start", "end", "agrees")}
        pairs = [shorten(pair) for pair in result["pairs"]]
        summary |= {"series": series, "pairs": pairs, "holes": result["holes"][:50], "hole_count": len(result["holes"])}
        summary |= {name: result[name] for name in ("report",) if name in result}
        summary |= {name: result[name][:50] for name in ("backfilled",) if name in result}
        judge(summary["agrees"], self.fail_on, f"the sources do not agree: {json.dumps(pairs)[:1500]}", self.log)
        return summary


def shorten(pair: dict[str, Any]) -> dict[str, Any]:
    """A pair's counts, with the first ranges only."""
    sides = {side: pair[side] | {"ranges": pair[side]["ranges"][:5]} for side in ("only_left", "only_right")}
    return pair | sides


def names(argument: str, value: Iterable[str] | str) -> list[str]:
    """A list of names, also one that a template has rendered to a text: ``['a', 'b']``, JSON, or ``a,b``."""
    held = rendered(argument, value) if isinstance(value, str) else value
    return [name.strip() for name in listed(argument, held)]


def rendered(argument: str, text: str) -> Any:
    """What a text stands for that may be a list."""
    if text.strip() == "null":
        return []
    if not text.lstrip().startswith(("[", "(")):
        return text.split(",")
    try:
        return ast.literal_eval(text)
    except (SyntaxError, ValueError):
        raise InvalidError(f"{argument} must be a list of texts, not {text!r}") from None
