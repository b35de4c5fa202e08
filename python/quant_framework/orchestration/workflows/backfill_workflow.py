"""The main job: fetch what is missing of many series over a range, resumably."""

from __future__ import annotations

import asyncio
import inspect
import logging
import socket
import time
import uuid
from collections.abc import Mapping, Sequence
from datetime import datetime, timezone
from typing import Any, cast

from quant_framework._core import AdaptiveChunkStrategy, Backfill, LakeAdapter, drain_log
from quant_framework.arguments import Moment, Priority, Resume
from quant_framework.errors import InvalidError, QuantFrameworkError, RateLimitedError, failure_line
from quant_framework.ingestion.rate_limit import AdaptiveRateLimiter, documented
from quant_framework.orchestration.checks import check_part, check_seconds, listed
from quant_framework.orchestration.ports import (
    ICheckpointStore,
    IChunkStrategy,
    IDataAdapter,
    IDataWriter,
    IProgressReporter,
    IRateLimiter,
    IWorkflowContext,
)
from quant_framework.orchestration.staged import iso_moment
from quant_framework.orchestration.workflows.base import BaseWorkflow
from quant_framework.results import BackfillReport, BackfillResult, Failed, Failure, Plan, Progress

log: logging.Logger = logging.getLogger("quant_framework.workflows.backfill")

LOG_INTERVAL = 1.0
"""What the core has to say is logged so often, in seconds."""
LEAST_INTERVAL = 0.01
"""Progress is reported no more often, in seconds."""

PROGRESS = "%(chunks_done)d of %(chunks_planned)d chunks, %(records_written)d rows, throttled %(throttled_seconds).0f s"

PARAMETERS = ("symbols", "timeframes", "data_types", "start", "end")


class BackfillWorkflow(BaseWorkflow):
    """Plan what is wanted and not covered; per chunk: permit, fetch, check, write, commit, report.

    Args:
        adapter: the source; native, or any object with ``source`` and ``fetch(request)``.
        writer: the lake; native, or any object with ``write(series, range, batch)``.
        checkpoint_store: a store, or a ``CheckpointManager`` over one.
        rate_limiter: by default what the source documents (``PRESETS``), for this process alone; for Coinalyze as
            ``CoinalyzeRateLimiter()``.
        chunk_strategy: by default ``AdaptiveChunkStrategy()``.
        symbols: the source's own names, or names it can resolve (``BTC``).
        timeframes: ``1m`` to ``1M``.
        data_types: by default ``["ohlcv"]``.
        start: first bar to fetch, aware, or ISO 8601 text.
        end: end (exclusive), aware; by default now. Bars that have not closed are left for a later run.
        concurrency: requests in flight.
        resume: ``always`` fetches only what is missing, ``never`` forgets what is known first.
        max_wait: a longer wait for quota, in seconds, ends the run with status ``parked`` and ``until``.
        lag: a bar counts as closed so many seconds after its end.
        owner: who claims what is fetched, where the store has claims; the same for every try of one task, different for
            all else. By default unique.
        lease: a run that stands still for so many seconds loses its claims.
        priority: ``live`` goes before ``backfill`` where both wait for one quota.
        progress: gets the run's counters; by default they are logged.
        progress_interval: seconds between two reports of progress.

    Raises:
        InvalidError: ``progress_interval`` is below 0.01.

    ``symbols, timeframes, data_types, start, end`` may be left out and come from the context instead
    (``context.get_state(name)``; times there may be ISO 8601 texts).

    """

    def __init__(
        self,
        adapter: IDataAdapter | LakeAdapter,
        writer: IDataWriter,
        checkpoint_store: ICheckpointStore,
        rate_limiter: IRateLimiter | None = None,
        chunk_strategy: IChunkStrategy | None = None,
        *,
        symbols: Sequence[str] | None = None,
        timeframes: Sequence[str] | None = None,
        data_types: Sequence[str] | None = None,
        start: Moment | None = None,
        end: Moment | None = None,
        concurrency: int = 8,
        resume: Resume = "always",
        max_wait: float | None = None,
        lag: float = 5.0,
        owner: str | None = None,
        lease: float = 60.0,
        priority: Priority = "backfill",
        progress: IProgressReporter | None = None,
        progress_interval: float = 30.0,
    ) -> None:
        check_seconds("progress_interval", progress_interval, least=LEAST_INTERVAL)
        self.adapter = adapter
        self.writer = writer
        self.checkpoint_store = checkpoint_store
        self.chunk_strategy: IChunkStrategy = chunk_strategy or AdaptiveChunkStrategy()
        self.rate_limiter: IRateLimiter | None = rate_limiter or default_limiter(adapter)
        given = (symbols, timeframes, data_types, start, end)
        self.parameters: dict[str, Any] = dict(zip(PARAMETERS, given, strict=True))
        self.options: dict[str, Any] = {"concurrency": concurrency, "resume": resume, "max_wait": max_wait, "lag": lag}
        self.options |= {
            "owner": owner or f"{socket.gethostname()} {uuid.uuid4()}",
            "lease": lease,
            "priority": priority,
        }
        self.progress = progress
        self.progress_interval = progress_interval
        self._run: Backfill | None = None
        self._cancelled = False
        self._reporting: asyncio.Future[None] | None = None
        self._is_unreported = False

    async def execute(self, context: IWorkflowContext | None = None) -> BackfillResult:
        """Validate, run to the end and log the result; what fails is told there, not raised."""
        try:
            return cast("BackfillResult", await super().execute(context))
        finally:
            self._cancelled = False

    def cancel(self) -> None:
        """Let the run finish its writes, commit and return ``cancelled``. A signal handler may call this.

        Before ``execute``, it is the next run that ends so.
        """
        self._cancelled = True
        if self._run is not None:
            self._run.cancel()

    async def validate(self, context: IWorkflowContext) -> tuple[bool, list[Failure]]:
        """Check every parameter before quota or time is spent."""
        try:
            self._run = self._prepare(context)
        except QuantFrameworkError as error:
            return False, [{"kind": error.kind, "message": str(error)}]
        return True, []

    async def plan(self, context: IWorkflowContext | None = None) -> Plan:
        """Chunks, requests, weight and least duration, before anything runs.

        Args:
            context: where parameters come from that the constructor was not given.

        Raises:
            QuantFrameworkError: of any kind; a parameter is wrong, or a name cannot be looked up.

        """
        return await self._prepare(context).plan()

    def read(self, context: IWorkflowContext | None) -> dict[str, Any]:
        """The parameters, those that were not given from the context."""
        given = self.parameters.items()
        held = {name: context.get_state(name) if value is None and context else value for name, value in given}
        held["data_types"] = held["data_types"] or ["ohlcv"]
        return held

    def _prepare(self, context: IWorkflowContext | None) -> Backfill:
        values = self.read(context)
        if values["start"] is None:
            raise InvalidError("start is missing", "pass start=, or keep it in the context")
        return self.backfill(values)

    def backfill(self, values: dict[str, Any]) -> Backfill:
        """The core's run of ``values``.

        Raises:
            InvalidError: one of them is wrong.

        """
        for name in ("symbols", "timeframes", "data_types"):
            values[name] = listed(name, values[name])
        for name in ("start", "end"):
            values[name] = read_moment(values[name], name)
        values["end"] = values["end"] or datetime.now(timezone.utc)
        check_part("writer", self.writer, "write")
        forgets = ("reset",) if self.options["resume"] == "never" else ()
        check_part("checkpoint_store", self.checkpoint_store, "load", "commit", *forgets)
        check_part("chunk_strategy", self.chunk_strategy, "generate_chunks")
        if self.rate_limiter is not None:
            check_part("rate_limiter", self.rate_limiter, "acquire")
        try:
            run = Backfill(
                adapter=self.adapter,
                writer=self.writer,
                checkpoint_store=getattr(self.checkpoint_store, "store", self.checkpoint_store),
                chunk_strategy=self.chunk_strategy,
                rate_limiter=self.rate_limiter,
                **values,
                **self.options,
            )
        except QuantFrameworkError:
            raise
        except (TypeError, ValueError, OverflowError) as error:
            # Of a kind that the core cannot take; its notes say which argument.
            raise InvalidError(" ".join([str(error), *getattr(error, "__notes__", [])])) from error
        if self._cancelled:
            run.cancel()
        return run

    async def _execute_impl(self, context: IWorkflowContext) -> BackfillResult:
        run = self._run or self._prepare(context)
        running = asyncio.ensure_future(run.run())
        watching = asyncio.ensure_future(self._watch(run))
        try:
            return await asyncio.shield(running)
        except asyncio.CancelledError:
            # A timeout or Ctrl-C: finish the writes, commit, and only then go.
            run.cancel()
            await asyncio.wait([running])
            raise
        except QuantFrameworkError as error:
            return broken_off(error, run)
        finally:
            watching.cancel()
            if self._reporting is not None:
                await asyncio.wait([self._reporting])
            _log_core()

    async def _watch(self, run: Backfill) -> None:
        due = time.monotonic() + self.progress_interval
        while True:
            await asyncio.sleep(min(self.progress_interval, LOG_INTERVAL))
            _log_core()
            if time.monotonic() < due or (self._reporting is not None and not self._reporting.done()):
                continue
            due = time.monotonic() + self.progress_interval
            self._reporting = asyncio.ensure_future(self._report_progress(run.progress()))

    async def _report_progress(self, progress: Progress) -> None:
        """Hand the counters on; that a reporter fails is logged once and costs nothing."""
        if self.progress is None:
            log.info(PROGRESS, progress)
            return
        try:
            answer = await asyncio.to_thread(self.progress.report, progress)
            if inspect.isawaitable(answer):
                await answer
        except Exception as error:
            if not self._is_unreported:
                log.warning("progress cannot be reported: %s: %s", type(error).__name__, error)
            self._is_unreported = True

    async def _report_results(self, result: Mapping[str, Any], context: IWorkflowContext) -> None:
        log.info(
            "backfill %s: %s rows in %s chunks",
            result["status"],
            result.get("records_written", 0),
            result.get("chunks_done", 0),
        )
        for error in result.get("errors", []):
            log.error("%s", failure_line(error))


def failed(error: QuantFrameworkError) -> Failed:
    """The result of a workflow that raised ``error``."""
    failure: Failure = {"kind": error.kind, "message": str(error)}
    until = error.until if isinstance(error, RateLimitedError) else None
    if until is not None:
        failure["until"] = until.isoformat()
    return {"status": "failed", "errors": [failure]}


def broken_off(error: QuantFrameworkError, run: Backfill) -> Failed:
    """``failed``, with the counters of what was done before."""
    return cast("Failed", {**failed(error), **run.progress()})


def nothing_to_do() -> BackfillReport:
    """The result of a run without series."""
    return {
        "status": "success",
        "records_written": 0,
        "bytes_written": 0,
        "duration_seconds": 0.0,
        "errors": [],
        "chunks_planned": 0,
        "chunks_done": 0,
        "chunks_skipped": 0,
        "requests": 0,
        "throttled_seconds": 0.0,
        "rows_restated": 0,
        "rows_quarantined": 0,
        "rows_dropped": 0,
        "series": [],
    }


def default_limiter(adapter: Any) -> IRateLimiter | None:
    """What the adapter's source documents; a lake has no quota."""
    return None if isinstance(adapter, LakeAdapter) else AdaptiveRateLimiter(**documented(adapter))


def read_moment(value: Moment | None, name: str) -> datetime | None:
    """ISO 8601 text as a datetime; anything else as it is, for the core to judge."""
    if not isinstance(value, str):
        return value
    try:
        return iso_moment(value)
    except ValueError:
        raise InvalidError(f"{name}: {value!r} is not an ISO 8601 time") from None


def _log_core() -> None:
    for level, logger, message in drain_log():
        logging.getLogger(logger).log(level, "%s", message)
