"""What the command line does with whole checkpoint stores: ``status | rebuild | forget | export | import``."""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
from pathlib import Path
from typing import Any, Literal

from quant_framework import settings
from quant_framework.cli.series import gaps, is_series, never_asked, span
from quant_framework.errors import DataError, InvalidError
from quant_framework.ingestion.backfill import Checkpoint, CheckpointManager, CheckpointStore, open_checkpoint_store
from quant_framework.ingestion.writers import BronzeWriter
from quant_framework.orchestration.tasks.running import wait_for
from quant_framework.results import CheckpointRepair

CHANGES: tuple[Literal["repaired", "set_aside", "rebuilt"], ...] = ("repaired", "set_aside", "rebuilt")
TEXTS = {
    "status": "what is covered",
    "rebuild": "make copies equal, and rebuild checkpoints from the lake",
    "forget": "forget what is known of a series, so that it is asked for anew; its rows stay in the lake",
    "export": "write checkpoints as one JSON document to standard output",
    "import": "merge an exported document in",
}


def add_to(commands: Any) -> None:
    """Add the commands to a parser's sub-commands."""
    for name, text in TEXTS.items():
        commands.add_parser(name, help=text, description=text)
    for name in ("status", "rebuild", "export"):
        commands.choices[name].add_argument("--prefix", default="", help="only series whose key starts so")
    flags = {
        "--names-only": "believe the names of the lake's objects: fast, but holes inside are no longer known",
        "--replace-damaged": "set checkpoints aside that cannot be read",
    }
    for flag, text in flags.items():
        commands.choices["rebuild"].add_argument(flag, action="store_true", help=text)
    lake = "commit what the objects of this lake prove: file:///... or s3://bucket/prefix"
    commands.choices["rebuild"].add_argument("--lake", help=lake)
    commands.choices["forget"].add_argument("series", nargs="+", metavar="KEY", help="key of a series that is known")
    commands.choices["import"].add_argument("document", help="a file, or - for standard input")


def store_of(arguments: argparse.Namespace) -> CheckpointStore:
    """The checkpoint store that the arguments name."""
    return open_checkpoint_store(arguments.checkpoint or settings.checkpoint_url())


def status(arguments: argparse.Namespace) -> bool:
    """Print what is covered."""
    store = store_of(arguments)
    known: dict[str, Checkpoint] = {}
    damaged = 0
    for key in store.list_sync(arguments.prefix):
        if not is_series(key):
            continue
        try:
            checkpoint = store.load_sync(key)
        except (DataError, InvalidError) as error:  # damaged, or of a newer format
            print(f"error: {error}", file=sys.stderr)
            damaged += 1
            continue
        if checkpoint is None:
            continue
        known[key] = checkpoint
    if arguments.json:
        print(json.dumps([entry(key, checkpoint) for key, checkpoint in known.items()]))
        return not damaged
    for key, checkpoint in known.items():
        whole = span(checkpoint)
        covered = f"{whole[0].isoformat()} .. {whole[1].isoformat()}" if whole else "nothing"
        print(f"{key}: {covered}, {gaps(checkpoint)}")
    if not known and not damaged:
        print("no series is known here", file=sys.stderr)
    return not damaged


def entry(key: str, checkpoint: Checkpoint) -> dict[str, Any]:
    """What is known of a series, as JSON values."""
    kinds = {"data": checkpoint.data, "empty": checkpoint.empty, "unknown": never_asked(checkpoint)}
    texts = {kind: [[low.isoformat(), high.isoformat()] for low, high in ranges] for kind, ranges in kinds.items()}
    return {"series": key, "generation": checkpoint.generation, **texts}


def rebuild(arguments: argparse.Namespace) -> bool:
    """Make checkpoints right again; print what was done."""
    lake = BronzeWriter(arguments.lake) if arguments.lake else None
    if lake and not wait_for(lake.series, arguments.prefix):
        raise InvalidError(f"the lake {lake.url} has no series whose key begins with {arguments.prefix!r}")

    async def work() -> CheckpointRepair:
        return await CheckpointManager(store_of(arguments)).repair(
            arguments.prefix,
            lake=lake,
            replace_damaged=arguments.replace_damaged,
            names_only=arguments.names_only,
        )

    report = asyncio.run(work())
    if arguments.json:
        print(json.dumps(report))
    else:
        for name in CHANGES:
            for key in report[name]:
                print(f"{name.replace('_', ' ')}: {key}")
        counts = ", ".join(f"{len(report[name])} {name.replace('_', ' ')}" for name in CHANGES)
        print(f"{report['series']} checkpoints, {counts}, {len(report['errors'])} still wrong")
        for error in report["errors"]:
            print(f"error: {error.get('series', 'store')}: {error['message']}", file=sys.stderr)
    return not report["errors"]


def forget(arguments: argparse.Namespace) -> bool:
    """Forget series."""
    store = store_of(arguments)
    for key in arguments.series:
        if key not in store.list_sync(key):
            raise InvalidError(f"no series {key!r} is known in {store!r}", "quant-framework status lists what is")
    for key in arguments.series:
        store.delete_sync(key)
        if not arguments.json:
            print(f"forgot {key}; the next run asks for it anew")
    if arguments.json:
        print(json.dumps({"forgotten": arguments.series}))
    return True


def export(arguments: argparse.Namespace) -> bool:
    """Print every checkpoint as one document."""

    async def work() -> str:
        return await CheckpointManager(store_of(arguments)).export(arguments.prefix)

    print(asyncio.run(work()))
    return True


def load_export(arguments: argparse.Namespace) -> bool:
    """Merge a document in."""
    try:
        document = sys.stdin.read() if arguments.document == "-" else Path(arguments.document).read_text("utf-8")
    except OSError as error:
        raise InvalidError(f"cannot read {arguments.document}: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise InvalidError(f"cannot read {arguments.document}: it is not UTF-8") from error

    async def work() -> int:
        return await CheckpointManager(store_of(arguments)).load_export(document)

    count = asyncio.run(work())
    print(json.dumps({"series": count}) if arguments.json else f"{count} checkpoints merged in")
    return True


COMMANDS = {"status": status, "rebuild": rebuild, "forget": forget, "export": export, "import": load_export}
"""By name; each answers whether everything is well."""
