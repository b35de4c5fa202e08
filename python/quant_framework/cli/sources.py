"""The arguments of commands that ask a source."""

from __future__ import annotations

import argparse
import json
from typing import Any

from quant_framework import settings
from quant_framework.orchestration.ports import IDataAdapter

OPTION = "of the source's adapter, such as exchange_id=kraken or market=usdm; may be repeated"


def pair(text: str) -> tuple[str, Any]:
    """``name=value``; the value as JSON where it is some, else as text."""
    name, equals, value = text.partition("=")
    if not name or not equals:
        raise argparse.ArgumentTypeError(f"{text!r} is not NAME=VALUE")
    try:
        return name, json.loads(value)
    except ValueError:
        return name, value


def add_source(command: argparse.ArgumentParser) -> None:
    """Add what says whom to ask, how often, and where the rows go."""
    command.add_argument("--source", default=settings.DEFAULT_SOURCE, choices=sorted(settings.sources()))
    command.add_argument("--option", type=pair, action="append", default=[], metavar="NAME=VALUE", help=OPTION)
    command.add_argument("--base-url", help="another server that speaks the source's protocol")
    kept = "the server keeps everything (where a source asks)"
    command.add_argument("--no-retention", action="store_true", help=kept)
    command.add_argument("--lake", help="file:///... or s3://bucket/prefix")
    command.add_argument("--concurrency", type=int, default=8, help="requests in flight (default 8)")
    command.add_argument("--rate-limit", help="where the quota is shared: postgresql://... or file:///folder")


def open_adapter(arguments: argparse.Namespace) -> IDataAdapter:
    """The adapter that the arguments name."""
    options: dict[str, Any] = dict(arguments.option)
    if arguments.base_url:
        options["base_url"] = arguments.base_url
    if arguments.no_retention and settings.takes(arguments.source, "retention"):
        options["retention"] = None
    return settings.open_adapter(arguments.source, **options)
