"""What the command line draws: ``coverage``."""

from __future__ import annotations

import argparse
import json
import os
import shutil
import sys
from pathlib import Path
from typing import Any

from quant_framework import settings
from quant_framework.cli.series import is_series
from quant_framework.errors import InvalidError, UnavailableError
from quant_framework.ingestion.backfill import open_checkpoint_store
from quant_framework.orchestration.coverage import coverage_map, coverage_page, draw_coverage
from quant_framework.orchestration.tasks.running import wait_for
from quant_framework.results import CoverageMap, CoverageRow, CoverageTotals

TEXT = "draw what is covered of the known series: data, and holes of every kind, over time"
EXIT = (
    "Exit status: 0 drawn; 1 a series cannot be read, or bars are missing of a kind named by --fail-on; 2 wrong usage, "
    "or no series is known."
)
OPEN = ("unknown", "unresolved", "outage")
HOLES = (*OPEN, "no_trade", "beyond_retention", "not_listed")
CELLS = 240


def add_to(commands: Any, moment: Any) -> None:
    """Add the command to a parser's sub-commands; ``moment`` reads a time."""
    command = commands.add_parser("coverage", help=TEXT, description=f"{TEXT}. {EXIT}")
    command.add_argument("--series", default="", metavar="PREFIX", help="only series whose key begins so")
    command.add_argument("--source", metavar="NAME", help="only series of this source")
    since = "bars are expected from here on, ISO 8601; by default from where each series begins"
    command.add_argument("--start", type=moment, help=since)
    command.add_argument("--end", type=moment, help="end (exclusive); by default the last closed bar")
    command.add_argument("--html", metavar="FILE", help="write a page that needs nothing beside itself")
    command.add_argument("--width", type=int, help="characters of a line; by default those of the terminal")
    only = "only series that lack bars which can be asked for (never asked, unresolved, outage), or cannot be read"
    command.add_argument("--missing-only", action="store_true", help=only)
    fail = f"exit with 1 where such bars are missing: {', '.join(HOLES)}; {'open'!r} is the first three"
    command.add_argument("--fail-on", type=kinds, default=(), metavar="KIND,KIND", help=fail)


def kinds(text: str) -> tuple[str, ...]:
    """Kinds of holes, of a comma-separated list."""
    named = tuple(kind for name in text.split(",") for kind in (OPEN if name == "open" else (name,)))
    if wrong := [kind for kind in named if kind not in HOLES]:
        raise argparse.ArgumentTypeError(f"{wrong[0]!r} is no kind of hole; use {', '.join(HOLES)} or open")
    return named


def coverage(arguments: argparse.Namespace) -> bool:
    """Draw; whether every series can be read, and no bar is missing that must not be."""
    if arguments.width is not None and arguments.width < 40:
        raise InvalidError(f"--width must be at least 40, not {arguments.width}")
    store = open_checkpoint_store(arguments.checkpoint or settings.checkpoint_url())
    known = [key for key in wait_for(store.list, arguments.series) if is_series(key)]
    keys = [key for key in known if arguments.source in (None, key.split("/")[0])]
    if not keys:
        of = f" of {arguments.source}" if arguments.source else ""
        begins = f" whose key begins with {arguments.series!r}" if arguments.series else ""
        raise InvalidError(
            f"no series{of} is known{begins} in {store!r}", "run a backfill, or name another --checkpoint"
        )
    found = look(store, keys, arguments)
    if arguments.missing_only:
        lacking = [row["series"] for row in found["series"] if row["error"] or missing(row, OPEN)]
        found = look(store, lacking, arguments)
    if arguments.html:
        write(Path(arguments.html), coverage_page(found))
    if arguments.json:
        print(json.dumps(found))
    else:
        draw(found, arguments.width)
    return not found["totals"]["errors"] and not missing(found["totals"], arguments.fail_on)


def look(store: Any, keys: list[str], arguments: argparse.Namespace) -> CoverageMap:
    """The map of ``keys``."""
    span = {"start": arguments.start, "end": arguments.end}
    return wait_for(coverage_map, store, series=keys, columns=CELLS, **span)


def missing(part: CoverageRow | CoverageTotals, of: tuple[str, ...]) -> int:
    """Bars of these kinds."""
    return sum(part["bars"].get(kind, 0) for kind in of)


def draw(found: CoverageMap, width: int | None) -> None:
    """Print the picture as the standard output can show it."""
    out = sys.stdout
    colour = out.isatty() and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"
    ascii = not (out.encoding or "").lower().replace("-", "").startswith("utf8")
    out.write(
        draw_coverage(found, width=width or shutil.get_terminal_size((100, 24)).columns, colour=colour, ascii=ascii)
    )


def write(path: Path, page: str) -> None:
    """Write the page, whole or not at all."""
    beside = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        beside.write_text(page, encoding="utf-8")
        beside.replace(path)
    except OSError as error:
        beside.unlink(missing_ok=True)
        raise UnavailableError(f"{path} cannot be written: {error.strerror}") from error
    print(f"wrote {path}", file=sys.stderr)


COMMANDS = {"coverage": coverage}
"""By name; each answers whether everything is well."""
