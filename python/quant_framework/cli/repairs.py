"""What the command line does about holes: ``repair``."""

from __future__ import annotations

import argparse
import json
from collections.abc import Mapping
from typing import Any

from quant_framework import settings
from quant_framework.cli.running import run, show_errors
from quant_framework.cli.series import checked, each, is_series
from quant_framework.cli.sources import add_source, open_adapter
from quant_framework.errors import InvalidError
from quant_framework.ingestion.backfill import open_checkpoint_store
from quant_framework.ingestion.writers import BronzeWriter
from quant_framework.orchestration.workflows import RepairWorkflow
from quant_framework.orchestration.workflows.repair_workflow import ATTEMPTS, PAUSE

TEXT = "ask again for the holes of the known series of a source, a few times each and not for ever"


def add_to(commands: Any, moment: Any) -> None:
    """Add the command to a parser's sub-commands; ``moment`` reads a time."""
    command = commands.add_parser("repair", help=TEXT, description=TEXT)
    add_source(command)
    command.add_argument("--series", default="", metavar="PREFIX", help="only series whose key begins so")
    command.add_argument("--start", type=moment, help="where to look; by default where each series begins")
    command.add_argument("--end", type=moment, help="end (exclusive); by default now")
    settled = f"a hole that was empty so often is settled (default {ATTEMPTS})"
    command.add_argument("--attempts", type=int, default=ATTEMPTS, help=settled)
    pause = f"seconds between the first two repairs of a hole; doubles each time (default {PAUSE:.0f})"
    command.add_argument("--pause", type=float, default=PAUSE, help=pause)
    command.add_argument("--force", action="store_true", help="ask for every hole now, settled or not")


def repair(arguments: argparse.Namespace) -> bool:
    """Ask again; whether nothing failed."""
    adapter = open_adapter(arguments)
    store = open_checkpoint_store(arguments.checkpoint or settings.checkpoint_url())
    known = store.list_sync(arguments.series)
    series = [key for key in known if is_series(key) and key.startswith(f"{adapter.source}/")]
    series, is_whole = each(series, checked)
    if not series:
        raise InvalidError(f"no series of {adapter.source} is known whose key begins with {arguments.series!r}")
    workflow = RepairWorkflow(
        adapter=adapter,
        writer=BronzeWriter(arguments.lake or settings.lake_url()),
        checkpoint_store=store,
        rate_limiter=settings.open_limiter(adapter, arguments.rate_limit),
        series=series,
        start=arguments.start,
        end=arguments.end,
        concurrency=arguments.concurrency,
        attempts=arguments.attempts,
        pause=arguments.pause,
        force=arguments.force,
    )
    result = run(workflow)
    if arguments.json:
        print(json.dumps(result))
    else:
        show(result)
    return is_whole and result["status"] == "success"


def show(result: Mapping[str, Any]) -> None:
    """A result for people: what was found, and what is left by kind."""
    for one in result.get("series", []):
        bars: dict[str, int] = {}
        for gap in one["gaps"]:
            bars[gap["kind"]] = bars.get(gap["kind"], 0) + gap["bars"]
        left = ", ".join(f"{count:,} {kind}" for kind, count in sorted(bars.items())) or "none"
        print(f"{one['series']}: {one['rows']:,} rows found; bars still missing: {left}")
    show_errors(result)
    print(f"{result['status']}: {result.get('records_written', 0):,} rows, {result.get('requests', 0)} requests")


COMMANDS = {"repair": repair}
"""By name; each answers whether everything is well."""
