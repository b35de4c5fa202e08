"""Checkpoints from plain values to plain values: read, write, delete.

``checkpoint`` is the URL of a store (see ``open_checkpoint_store``), a store, or ``None`` for the environment's.
``series`` is a key, ``source/data_type/symbol/timeframe``. Times are aware datetimes or ISO 8601 texts with a time
zone.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, cast

from quant_framework.arguments import Moment, Ranges
from quant_framework.errors import InvalidError
from quant_framework.ingestion.backfill import Checkpoint, CheckpointStore
from quant_framework.orchestration.tasks.places import open_store
from quant_framework.orchestration.tasks.running import LISTED, aware, text
from quant_framework.results import CheckpointState, CheckpointWritten

__all__ = ["delete_checkpoint", "read_checkpoint", "write_checkpoint"]


def read_checkpoint(
    series: str,
    start: Moment | None = None,
    end: Moment | None = None,
    checkpoint: str | CheckpointStore | None = None,
) -> CheckpointState:
    """What is known of ``series``, as JSON values.

    Args:
        series: its key.
        start: with ``end``, the result says what is ``pending`` of ``[start, end)``.
        end: see ``start``.
        checkpoint: see the module.

    Raises:
        InvalidError: half a range, or a time without time zone.
        UnavailableError: the store did not answer as it should.

    """
    held = open_store(checkpoint).load_sync(text(series, "series"))
    known = held or Checkpoint()
    result: dict[str, Any] = {
        "series": series,
        "exists": held is not None,
        "generation": known.generation,
        "watermark": known.watermark and known.watermark.isoformat(),
        "cursor": known.cursor,
        "fingerprint": known.fingerprint,
    }
    lists = {"data": known.data, "empty": known.empty}
    if (start is None) != (end is None):
        raise InvalidError("start and end belong together", "pass both, or none")
    if start is not None and end is not None:
        lists["pending"] = known.missing(aware(start, "start"), aware(end, "end"))
    for name, ranges in lists.items():
        result[name] = [[low.isoformat(), high.isoformat()] for low, high in ranges[:LISTED]]
        result[f"{name}_ranges"] = len(ranges)
    return cast("CheckpointState", result)


def write_checkpoint(
    series: str,
    data: Sequence[Sequence[Moment]] = (),
    empty: Sequence[Sequence[Moment]] = (),
    cursor: str | None = None,
    reset: bool = False,
    checkpoint: str | CheckpointStore | None = None,
) -> CheckpointWritten:
    """Merge ranges and a cursor into what is known of ``series``; durable on return.

    Args:
        series: its key.
        data: ranges whose rows are durably written, pairs ``[start, end)``.
        empty: ranges for which the source had nothing.
        cursor: opaque; the greater text wins.
        reset: forget what was known before, in a new generation.
        checkpoint: see the module.

    Raises:
        InvalidError: ranges that are none.
        UnavailableError: the store did not answer as it should.

    """
    covered, nothing = _ranges(data, "data"), _ranges(empty, "empty")
    series, cursor = text(series, "series"), None if cursor is None else text(cursor, "cursor")
    store = open_store(checkpoint)
    held = None if reset else store.load_sync(series)
    generation = store.reset_sync(series) if reset else held.generation if held else 0
    if covered or nothing or cursor is not None:
        store.commit_sync(series, covered, nothing, generation=generation, cursor=cursor)
    return {"series": series, "generation": generation}


def delete_checkpoint(series: str, checkpoint: str | CheckpointStore | None = None) -> None:
    """Remove every trace of ``series``; no error where there is none.

    Args:
        series: its key.
        checkpoint: see the module.

    Raises:
        UnavailableError: the store did not answer as it should.

    """
    open_store(checkpoint).delete_sync(text(series, "series"))


def _ranges(pairs: Sequence[Sequence[Moment]], name: str) -> Ranges:
    if not _is_list(pairs) or not all(_is_list(pair) and len(pair) == 2 for pair in pairs):
        raise InvalidError(f"{name} must be a list of pairs [start, end], not {str(pairs)[:80]!r}")
    ranges = [(aware(low, name), aware(high, name)) for low, high in pairs]
    for low, high in ranges:
        if low >= high:
            raise InvalidError(f"{name}: {high.isoformat()} is not after {low.isoformat()}")
    return ranges


def _is_list(value: object) -> bool:
    return isinstance(value, Sequence) and not isinstance(value, str)
