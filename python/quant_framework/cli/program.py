"""The command line, without Airflow.

``quant-framework backfill | update | plan | repair | gaps | coverage | compact | status | rebuild | forget | export |
import | validate | schema``.

Exit codes: 0 done, 1 partly or wholly failed, 2 wrong usage.
"""

from __future__ import annotations

import argparse
import asyncio
import functools
import json
import logging
import os
import signal
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime, timezone
from io import TextIOWrapper
from typing import Any, TextIO

from quant_framework import __version__, settings
from quant_framework.cli import checkpoints, coverage, files, lakes, repairs, validations
from quant_framework.cli.sources import add_source, open_adapter
from quant_framework.errors import InvalidError, QuantFrameworkError
from quant_framework.ingestion.backfill import open_checkpoint_store
from quant_framework.ingestion.writers import BronzeWriter
from quant_framework.orchestration.staged import moment as iso_moment
from quant_framework.orchestration.workflows import BackfillWorkflow, IncrementalWorkflow
from quant_framework.orchestration.workflows.incremental_workflow import OVERLAP
from quant_framework.results import BackfillResult, Plan

TEXTS = {
    "backfill": "fetch what is missing",
    "update": "fetch what is missing up to now, before backfills that wait for the same quota",
    "plan": "say what a backfill would cost",
}
DONE, FAILED, USAGE = 0, 1, 2
BAR = 24


def moment(text: str) -> datetime:
    """An ISO 8601 time; a bare date means midnight UTC."""
    try:
        value = iso_moment(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is not an ISO 8601 date or time") from None
    if value.tzinfo is None:
        raise argparse.ArgumentTypeError(f"{text!r} has no time zone; add Z or +00:00")
    return value


def names(text: str) -> list[str]:
    """A comma-separated list."""
    return [name for name in text.split(",") if name]


def parser() -> argparse.ArgumentParser:
    """The whole command line."""
    root = argparse.ArgumentParser(prog="quant-framework", description="Resumable market-data backfills.")
    root.add_argument("--version", action="version", version=f"quant-framework {__version__}")
    commands = root.add_subparsers(dest="command", required=True)
    for name, text in TEXTS.items():
        command = commands.add_parser(name, help=text, description=text)
        add_source(command)
        command.add_argument("--symbols", type=names, required=True, metavar="BTC,ETH")
        command.add_argument("--timeframes", type=names, required=True, metavar="1h,1d")
        command.add_argument("--data-types", type=names, default=["ohlcv"], metavar="ohlcv,open_interest")
        is_update = name == "update"
        begin = "; by default where the checkpoint of each series begins" if is_update else ""
        command.add_argument("--start", type=moment, required=not is_update, help=f"first bar, ISO 8601{begin}")
        command.add_argument("--end", type=moment, help="end (exclusive); by default now")
        command.add_argument("--resume", choices=["always", "never"], default="always")
    again = "known bars before the newest missing ones to ask for again (default 3)"
    commands.choices["update"].add_argument("--overlap", type=int, default=OVERLAP, help=again)
    checkpoints.add_to(commands)
    lakes.add_to(commands, moment)
    coverage.add_to(commands, moment)
    repairs.add_to(commands, moment)
    for command in commands.choices.values():
        where = "file:///..., s3://bucket/prefix, postgresql://..., or hybrid:s3://...,postgresql://..."
        command.add_argument("--checkpoint", help=where)
    files.add_to(commands)
    validations.add_to(commands, moment)
    for command in commands.choices.values():
        command.add_argument("--json", action="store_true", help="print the result as JSON")
    return root


def workflow(arguments: argparse.Namespace, progress: Progress | None = None) -> BackfillWorkflow:
    """The backfill that the arguments describe."""
    adapter = open_adapter(arguments)
    is_update = arguments.command == "update"
    kind = functools.partial(IncrementalWorkflow, overlap=arguments.overlap) if is_update else BackfillWorkflow
    return kind(
        adapter=adapter,
        writer=BronzeWriter(arguments.lake or settings.lake_url()),
        checkpoint_store=open_checkpoint_store(arguments.checkpoint or settings.checkpoint_url()),
        rate_limiter=settings.open_limiter(adapter, arguments.rate_limit),
        symbols=arguments.symbols,
        timeframes=arguments.timeframes,
        data_types=arguments.data_types,
        start=arguments.start,
        end=arguments.end or datetime.now(timezone.utc),
        concurrency=arguments.concurrency,
        resume=arguments.resume,
        progress=progress,
        progress_interval=0.2 if progress and progress.terminal else 10.0,
    )


class Progress:
    """A bar on a terminal, a plain line now and then otherwise; on standard error."""

    def __init__(self, stream: TextIO) -> None:
        self.stream = stream
        self.terminal: bool = stream.isatty()
        self.started: float = time.monotonic()

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


async def run(arguments: argparse.Namespace) -> BackfillResult:
    """Run a backfill; Ctrl-C and SIGTERM let it finish its writes and commit."""
    progress = Progress(sys.stderr)
    job = workflow(arguments, progress)
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, job.cancel)
    try:
        return await job.execute()
    finally:
        progress.end()


def show(result: Mapping[str, Any]) -> None:
    """A result for people."""
    for series in result.get("series", []):
        print(f"{series['series']}: {series['rows']:,} rows, {series['coverage']:.1%} covered")
        for gap in series["gaps"][:20]:
            print(f"  {gap['kind']}: {gap['start']} .. {gap['end']} ({gap['bars']} bars)")
        if len(series["gaps"]) > 20:
            print(f"  and {len(series['gaps']) - 20} more gaps (--json lists them all)")
    for error in result.get("errors", []):
        series, message = error.get("series") or "", error["message"]
        where = "" if message.startswith(series) else f"{series} "
        print(f"error: {where}{message}", file=sys.stderr)
    print(
        f"{result['status']}: {result.get('records_written', 0):,} rows, {result.get('chunks_done', 0)} chunks done, "
        f"{result.get('chunks_skipped', 0)} covered before, {result.get('requests', 0)} requests, "
        f"{result.get('duration_seconds', 0):.1f} s"
    )


def show_plan(plan: Plan) -> None:
    """A plan for people."""
    print(
        f"{plan['series']} series, {plan['chunks']} chunks ({plan['chunks_skipped']} covered already), "
        f"{plan['requests']} requests of weight {plan['weight']}, {plan['bars']:,} bars; "
        f"at least {plan['least_seconds']:.0f} s under the limit"
    )
    if plan["bars_beyond_retention"]:
        print(f"{plan['bars_beyond_retention']:,} bars are beyond the source's retention")
    for error in plan["errors"]:
        print(f"error: {error['message']}", file=sys.stderr)


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; the process's exit code."""
    arguments = parser().parse_args(argv)
    if isinstance(sys.stdout, TextIOWrapper):
        # In a pipe or a file as on a terminal: each line is there when it is told, in its order among the errors.
        sys.stdout.reconfigure(line_buffering=True)
    try:
        with told_once():
            code = perform(arguments)
        sys.stdout.flush()
    except BrokenPipeError:
        # Whoever read the output, such as `head`, has had enough of it; the interpreter's own flush must not say so.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return FAILED
    return code


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


def perform(arguments: argparse.Namespace) -> int:
    """Run the command that ``arguments`` name; the process's exit code."""
    try:
        parts = (checkpoints, coverage, files, lakes, repairs, validations)
        if command := {name: run for part in parts for name, run in part.COMMANDS.items()}.get(arguments.command):
            return DONE if command(arguments) else FAILED
        if arguments.command == "plan":
            plan = asyncio.run(workflow(arguments).plan())
            print(json.dumps(plan)) if arguments.json else show_plan(plan)
            return FAILED if plan["errors"] else DONE
        result = asyncio.run(run(arguments))
    except QuantFrameworkError as error:
        print(f"error: {error}", file=sys.stderr)
        return USAGE if isinstance(error, InvalidError) else FAILED
    print(json.dumps(result)) if arguments.json else show(result)
    return USAGE if is_refused(result) else DONE if result["status"] == "success" else FAILED


def is_refused(result: Mapping[str, Any]) -> bool:
    """Whether nothing was begun because the arguments are wrong."""
    errors = result.get("errors", [])
    return "requests" not in result and any(error["kind"] == "invalid" for error in errors)
