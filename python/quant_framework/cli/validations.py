"""``quant-framework validate``: YAML files of DAGs by their paths, rows of the lake by the keys of their series."""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Sequence
from datetime import datetime, timezone
from typing import Any

from quant_framework import config_files, settings
from quant_framework.cli import files
from quant_framework.cli.series import KEY, each, is_series
from quant_framework.errors import InvalidError
from quant_framework.ingestion.backfill import open_checkpoint_store
from quant_framework.ingestion.writers import BronzeWriter
from quant_framework.orchestration.tasks import reconcile_sources, validate_rows
from quant_framework.orchestration.tasks.running import wait_for
from quant_framework.results import SeriesValidation

TEXT = "check YAML files of DAGs, or rows in the lake"
FIRST = datetime(1970, 1, 1, tzinfo=timezone.utc)


def add_to(commands: Any, moment: Any) -> None:
    """Add the command to a parser's sub-commands; ``moment`` reads a time."""
    more = f"Paths are YAML files and folders of them; keys ({KEY}) are series in the lake. One or the other."
    command = commands.add_parser("validate", help=TEXT, description=f"{TEXT}. {more}")
    command.add_argument("what", nargs="*", metavar="PATH|SERIES", help=f"YAML files and folders, or keys ({KEY})")
    rows = command.add_argument_group("rows in the lake")
    rows.add_argument("--series", metavar="PREFIX", help="every series whose key begins so ('' is all)")
    rows.add_argument("--against", action="append", default=[], metavar="SERIES", help="compare one series with it")
    rows.add_argument("--start", type=moment, help="ISO 8601; by default the first row")
    rows.add_argument("--end", type=moment, help="end (exclusive); by default now")
    rows.add_argument("--lake", help="the bronze lake: file:///... or s3://bucket/prefix")
    rows.add_argument("--checkpoint", help="tells bars that the source does not have from those nobody asked for")
    rows.add_argument("--roll-up", metavar="TIMEFRAME", help="shorter bars that must add up to these")
    rows.add_argument("--checks", type=lambda text: text.split(","), metavar="ID,CODE", help="only these checks")
    rows.add_argument("--thresholds", action="extend", nargs="+", default=[], metavar="NAME=NUMBER")
    rows.add_argument("--report", metavar="URL", help="with --against: where a page, numbers and bars go")
    rows.add_argument(
        "--tolerance", type=float, default=0.001, help="with --against: by what fraction values may differ"
    )
    rows.add_argument("--volume-tolerance", type=float, help="with --against: the same for volumes")


def validate(arguments: argparse.Namespace) -> bool:
    """Check files, or look at rows; whether nothing is wrong."""
    kinds = {kind_of(what) for what in arguments.what}
    if arguments.series is not None:
        kinds.add("series")
    if kinds == {"path"}:
        arguments.paths = arguments.what
        return files.validate(arguments)
    if kinds == {"series"}:
        return compare(arguments) if arguments.against else rows(arguments)
    wrong = "both are named" if kinds else "neither is named"
    raise InvalidError(
        f"validate checks YAML files or rows in the lake: {wrong}", f"pass paths, or keys ({KEY}), or --series PREFIX"
    )


def kind_of(what: str) -> str:
    """Whether an argument is a ``path`` or a ``series``."""
    if os.path.exists(what) or what.endswith(config_files.ENDINGS):
        return "path"
    if is_series(what) and not what.startswith((".", "/")):
        return "series"
    raise InvalidError(f"{what!r} is neither a file or folder that exists nor the key of a series", f"keys are {KEY}")


def thresholds(texts: Sequence[str]) -> dict[str, float]:
    """Numbers by name, of ``NAME=NUMBER``."""
    values = {}
    for text in texts:
        name, _, number = text.partition("=")
        try:
            values[name] = float(number)
        except ValueError:
            raise InvalidError(f"--thresholds {text!r} is not NAME=NUMBER") from None
    return values


def rows(arguments: argparse.Namespace) -> bool:
    """Look at series by themselves."""
    lake = BronzeWriter(arguments.lake or settings.lake_url())
    keys = list(arguments.what)
    if arguments.series is not None:
        keys += [key for key in wait_for(lake.series, arguments.series) if key not in keys]
    if not keys:
        raise InvalidError(f"the lake {lake.url} has no series whose key begins with {arguments.series!r}")
    store = open_checkpoint_store(arguments.checkpoint) if arguments.checkpoint else None
    limits = thresholds(arguments.thresholds)

    def look(key: str) -> SeriesValidation:
        return validate_rows(key, *span(arguments, lake, key), lake, limits, arguments.checks, store, arguments.roll_up)

    found, is_whole = each(keys, look)
    if arguments.json:
        print(json.dumps(found))
    else:
        for one in found:
            show(one)
        print(f"{len(found)} series", file=sys.stderr)
    return is_whole and all(one["ok"] for one in found)


def compare(arguments: argparse.Namespace) -> bool:
    """Look at one series and compare others with it."""
    if len(arguments.what) != 1 or arguments.series is not None or arguments.roll_up:
        raise InvalidError("--against compares one series, named by its key", "leave --series and --roll-up out")
    lake = BronzeWriter(arguments.lake or settings.lake_url())
    result = reconcile_sources(
        [*arguments.what, *arguments.against],
        *span(arguments, lake, arguments.what[0]),
        lake,
        arguments.tolerance,
        arguments.volume_tolerance,
        thresholds(arguments.thresholds),
        arguments.checks,
        open_checkpoint_store(arguments.checkpoint) if arguments.checkpoint else None,
        arguments.report,
    )
    if arguments.json:
        print(json.dumps(result))
        return result["agrees"]
    for one in result["series"]:
        show(one)
    for pair in result["pairs"]:
        counts = [pair["shared"], pair["only_left"]["bars"], pair["only_right"]["bars"], pair["value"]["bars"]]
        print(f"{pair['right']} against {pair['left']}: ", end="")
        print("{:,} bars shared, {:,} only in the first, {:,} only in the second, {:,} differ".format(*counts))
        if (lag := pair.get("lag")) and lag["is_shifted"]:
            print(f"  shifted: its stamps are {lag['bars']} bars later")
    if "report" in result:
        print(f"report: {result['report']['html']}")
    print("the sources agree" if result["agrees"] else "the sources do not agree", file=sys.stderr)
    return result["agrees"]


def span(arguments: argparse.Namespace, lake: BronzeWriter, key: str) -> tuple[datetime, datetime]:
    """The range to look at: from the first row, where nothing else is said."""
    start = arguments.start or wait_for(lake.first, key) or FIRST
    return start, arguments.end or datetime.now(timezone.utc)


def show(one: SeriesValidation) -> None:
    """A report for people."""
    print(f"{one['series']}: {one['rows']:,} rows of {one['bars']:,} bars, {'ok' if one['ok'] else 'not ok'}")
    for finding in one["findings"]:
        print(f"  {finding['severity']}: {finding['count']:,} {finding['check']} ({finding['code']}), ", end="")
        print(f"first {finding['first']}")
    for gap in one["gaps"][:20]:
        print(f"  {gap['kind']}: {gap['start']} .. {gap['end']} ({gap['bars']} bars)")
    if one["gap_count"] > 20:
        print(f"  and {one['gap_count'] - 20} more gaps (--json lists a hundred)")


COMMANDS = {"validate": validate}
"""By name; each answers whether everything is well."""
