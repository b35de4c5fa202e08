"""What the command line says of one series: its key, and what is covered of it."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable
from datetime import datetime, timedelta, timezone
from typing import TypeVar

from quant_framework.arguments import Range, Ranges
from quant_framework.errors import QuantFrameworkError
from quant_framework.ingestion.adapters import FetchRequest
from quant_framework.ingestion.backfill import Checkpoint

EPOCH = datetime(1970, 1, 1, tzinfo=timezone.utc)
T = TypeVar("T")
KEY = "source/data_type/symbol/timeframe"


def is_series(key: str) -> bool:
    """Whether ``key`` is a series'; stores keep beside them what bare names were resolved to."""
    return key.count("/") == KEY.count("/")


def checked(key: str) -> str:
    """``key``, if it names a series.

    Raises:
        InvalidError: it does not, such as a misspelt one that was imported.

    """
    FetchRequest(key, EPOCH, EPOCH + timedelta(days=1))
    return key


def span(checkpoint: Checkpoint) -> Range | None:
    """From the first moment that anything is known of to the end of the last one."""
    known = sorted([*checkpoint.data, *checkpoint.empty])
    return (known[0][0], known[-1][1]) if known else None


def never_asked(checkpoint: Checkpoint) -> Ranges:
    """The ranges between the first and the last known moment of which nothing is known."""
    whole = span(checkpoint)
    return checkpoint.missing(*whole) if whole else []


def each(keys: Iterable[str], ask: Callable[[str], T]) -> tuple[list[T], bool]:
    """What ``ask`` answers of each key, and whether it did of all: an error is told, and the others go on.

    Raises:
        QuantFrameworkError: there is one key, and it cannot be asked.

    """
    answers: list[T] = []
    errors: list[tuple[str, QuantFrameworkError]] = []
    for key in keys:
        try:
            answers.append(ask(key))
        except QuantFrameworkError as error:
            errors.append((key, error))
    if len(errors) == 1 and not answers:
        raise errors[0][1]
    for key, failure in errors:
        print(f"error: {failure}" if key in str(failure) else f"error: {key}: {failure}", file=sys.stderr)
    return answers, not errors


def gaps(checkpoint: Checkpoint) -> str:
    """The gaps of a series in a few words: those that the source has nothing for, and those nobody asked for."""
    kinds = {"empty": len(checkpoint.empty), "never asked": len(never_asked(checkpoint))}
    counts = ", ".join(f"{count} {kind}" for kind, count in kinds.items() if count)
    return f"{sum(kinds.values())} gaps" + (f" ({counts})" if counts else "")
