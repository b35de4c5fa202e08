"""Runs on the command line: progress and errors on standard error, and signals that let a run finish its writes."""

from __future__ import annotations

import asyncio
import logging
import signal
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, TextIO

from quant_framework.errors import failure_line
from quant_framework.orchestration.workflows import BackfillWorkflow
from quant_framework.results import BackfillResult

BAR = 24


class Progress:
    """A bar on a terminal, a plain line now and then otherwise; on standard error."""

    def __init__(self, stream: TextIO) -> None:
        self.stream = stream
        self.terminal: bool = stream.isatty()
        self.started: float = time.monotonic()

    @property
    def interval(self) -> float:
        """Seconds between two reports."""
        return 0.2 if self.terminal else 10.0

    def report(self, progress: Mapping[str, Any]) -> None:
        """Show the counters."""
        done, planned = progress["chunks_done"], progress["chunks_planned"]
        seconds = max(time.monotonic() - self.started, 1e-3)
        left = f"{(planned - done) * seconds / done:.0f} s left" if done else "starting"
        text = (
            f"{done}/{planned} chunks, {progress['records_written']:,} rows, "
            f"{progress['records_written'] / seconds:,.0f} rows/s, {left}, "
            f"throttled {progress['throttled_seconds']:.0f} s"
        )
        if self.terminal:
            filled = BAR * done // planned if planned else 0
            self.stream.write(f"\r\x1b[K[{'#' * filled}{'.' * (BAR - filled)}] {text}")
        else:
            self.stream.write(text + "\n")
        self.stream.flush()

    def end(self) -> None:
        """Leave the bar's line."""
        if self.terminal:
            self.stream.write("\r\x1b[K")


def run(job: BackfillWorkflow) -> BackfillResult:
    """Run ``job``; Ctrl-C and SIGTERM let it finish its writes and commit."""
    progress = Progress(sys.stderr)
    job.progress, job.progress_interval = progress, progress.interval

    async def work() -> BackfillResult:
        loop = asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, job.cancel)
        return await job.execute()

    try:
        with told_once():
            return asyncio.run(work())
    finally:
        progress.end()


@contextmanager
def told_once() -> Iterator[None]:
    """Keep what a run ends with from the log: it is shown from the run's result."""
    log = logging.getLogger("quant_framework.workflows.backfill")
    log.addFilter(is_warning)
    try:
        yield
    finally:
        log.removeFilter(is_warning)


def is_warning(record: logging.LogRecord) -> bool:
    """Whether a record is no error."""
    return record.levelno < logging.ERROR


def show_errors(result: Mapping[str, Any]) -> None:
    """What went wrong, a line each, on standard error."""
    for error in result.get("errors", []):
        print(f"error: {failure_line(error)}", file=sys.stderr)
