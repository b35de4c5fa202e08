"""The command line, without Airflow.

``quant-framework backfill | update | plan | repair | gaps | coverage | compact | status | rebuild | forget | export |
import | validate | schema``.

Exit codes: 0 done, 1 partly or wholly failed, 2 wrong usage, 130 interrupted.
"""

from __future__ import annotations

import argparse
import asyncio
import functools
import json
import os
import sys
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timezone
from io import TextIOWrapper
from typing import Any

from quant_framework import __version__, settings
from quant_framework.cli import checkpoints, coverage, files, lakes, repairs, validations
from quant_framework.cli.running import run, show_errors
from quant_framework.cli.sources import add_source, open_adapter
from quant_framework.errors import InvalidError, QuantFrameworkError
from quant_framework.ingestion.backfill import open_checkpoint_store
from quant_framework.ingestion.writers import BronzeWriter
from quant_framework.orchestration.staged import iso_moment
from quant_framework.orchestration.workflows import BackfillWorkflow, IncrementalWorkflow
from quant_framework.orchestration.workflows.incremental_workflow import OVERLAP
from quant_framework.results import Plan

TEXTS = {
    "backfill": "fetch what is missing",
    "update": "fetch what is missing up to now, before backfills that wait for the same quota",
    "plan": "say what a backfill would cost",
}
DONE, FAILED, USAGE, INTERRUPTED = 0, 1, 2, 130


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
    return [name.strip() for name in text.split(",") if name.strip()]


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


def workflow(arguments: argparse.Namespace) -> BackfillWorkflow:
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
    )


def show(result: Mapping[str, Any]) -> None:
    """A result for people."""
    for series in result.get("series", []):
        print(f"{series['series']}: {series['rows']:,} rows, {series['coverage']:.1%} covered")
        for gap in series["gaps"][:20]:
            print(f"  {gap['kind']}: {gap['start']} .. {gap['end']} ({gap['bars']} bars)")
        if len(series["gaps"]) > 20:
            print(f"  and {len(series['gaps']) - 20} more gaps (--json lists them all)")
    show_errors(result)
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
    show_errors(plan)


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; the process's exit code."""
    arguments = parser().parse_args(argv)
    if isinstance(sys.stdout, TextIOWrapper):
        # In a pipe or a file as on a terminal: each line is there when it is told, in its order among the errors.
        sys.stdout.reconfigure(line_buffering=True)
    try:
        code = perform(arguments)
        print(end="", flush=True)
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        return INTERRUPTED
    except OSError as error:
        if not isinstance(error, BrokenPipeError):
            print(f"error: the output cannot be written: {error.strerror}", file=sys.stderr)
        # Else a reader such as `head` has had enough of it. The interpreter's own flush must not say so.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return FAILED
    return code


def perform(arguments: argparse.Namespace) -> int:
    """Run the command that ``arguments`` name; the process's exit code."""
    try:
        return COMMANDS[arguments.command](arguments)
    except QuantFrameworkError as error:
        print(f"error: {error}", file=sys.stderr)
        return USAGE if isinstance(error, InvalidError) else FAILED


def plan(arguments: argparse.Namespace) -> int:
    """Say what a backfill would cost."""
    planned = asyncio.run(workflow(arguments).plan())
    if arguments.json:
        print(json.dumps(planned))
    else:
        show_plan(planned)
    return FAILED if planned["errors"] else DONE


def fetch(arguments: argparse.Namespace) -> int:
    """Run a backfill."""
    result = run(workflow(arguments))
    if arguments.json:
        print(json.dumps(result))
    else:
        show(result)
    if result["status"] == "success":
        return DONE
    return USAGE if is_refused(result) else FAILED


def is_refused(result: Mapping[str, Any]) -> bool:
    """Whether nothing was begun because the arguments are wrong."""
    errors = result.get("errors", [])
    return "requests" not in result and any(error["kind"] == "invalid" for error in errors)


def answering(command: Callable[[argparse.Namespace], bool]) -> Callable[[argparse.Namespace], int]:
    """The exit code of a command that answers whether everything is well."""
    return lambda arguments: DONE if command(arguments) else FAILED


COMMANDS: dict[str, Callable[[argparse.Namespace], int]] = {
    **{
        name: answering(command)
        for part in (checkpoints, coverage, files, lakes, repairs, validations)
        for name, command in part.COMMANDS.items()
    },
    "backfill": fetch,
    "update": fetch,
    "plan": plan,
}
"""By name; each answers the process's exit code."""
