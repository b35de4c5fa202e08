"""What the command line does with lakes: ``compact``, ``gaps``."""

from __future__ import annotations

import argparse
import json
import sys
from typing import Any

from quant_framework import settings
from quant_framework.cli.series import each, is_series
from quant_framework.errors import InvalidError
from quant_framework.ingestion.backfill import open_checkpoint_store
from quant_framework.ingestion.writers import BronzeWriter, SilverWriter
from quant_framework.orchestration.tasks import compact as compact_series
from quant_framework.orchestration.tasks import detect_gaps
from quant_framework.orchestration.tasks.running import wait_for

TEXTS = {
    "compact": "make silver of bronze: sorted, each bar once, one object per series and period",
    "gaps": "say which closed bars of the known series are missing of a range",
}


def add_to(commands: Any, moment: Any) -> None:
    """Add the commands to a parser's sub-commands; ``moment`` reads a time."""
    for name, text in TEXTS.items():
        command = commands.add_parser(name, help=text, description=text)
        command.add_argument("--series", default="", metavar="PREFIX", help="only series whose key begins so")
        command.add_argument("--start", type=moment, required=name == "gaps", help="ISO 8601")
        command.add_argument("--end", type=moment, required=name == "gaps", help="end (exclusive)")
    commands.choices["compact"].add_argument("--lake", help="the bronze lake: file:///... or s3://bucket/prefix")
    commands.choices["compact"].add_argument("--silver", help="the silver lake; by default beside the bronze lake")


def compact(arguments: argparse.Namespace) -> bool:
    """Compact every series of the lake."""
    lake = BronzeWriter(arguments.lake or settings.lake_url())
    silver = SilverWriter(arguments.silver or settings.silver_url(lake.url), lake)
    keys = wait_for(lake.series, arguments.series)
    done, is_whole = each(keys, lambda key: compact_series(key, arguments.start, arguments.end, silver=silver))
    if arguments.json:
        print(json.dumps(done))
        return is_whole
    for one in done:
        aside = f", {one['quarantined']:,} rows in quarantine" if one["quarantined"] else ""
        print(f"{one['series']}: {one['rows']:,} rows in {one['partitions']} periods, {one['written']} written{aside}")
    print(f"{len(done)} series", file=sys.stderr)
    return is_whole


def gaps(arguments: argparse.Namespace) -> bool:
    """Show the gaps of every known series; whether no bar is left that was never asked for."""
    store = open_checkpoint_store(arguments.checkpoint or settings.checkpoint_url())
    keys = [key for key in store.list_sync(arguments.series) if is_series(key)]
    if not keys:
        raise InvalidError(
            f"no series is known whose key begins with {arguments.series!r}", "status lists what is known"
        )
    found, is_whole = each(keys, lambda key: detect_gaps(key, arguments.start, arguments.end, store))
    if arguments.json:
        print(json.dumps(found))
    else:
        for one in found:
            print(f"{one['series']}: {one['coverage']:.1%} covered, {one['missing_bars']} bars missing")
            for gap in one["gaps"][:20]:
                print(f"  {gap['kind']}: {gap['start']} .. {gap['end']} ({gap['bars']} bars)")
            if one["gap_count"] > 20:
                print(f"  and {one['gap_count'] - 20} more gaps (--json lists a hundred)")
    return is_whole and not any(one["unknown_bars"] for one in found)


COMMANDS = {"compact": compact, "gaps": gaps}
"""By name; each answers whether everything is well."""
