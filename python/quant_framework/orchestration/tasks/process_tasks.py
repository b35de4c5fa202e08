"""Make series of stored ones, from plain values to plain counts: coarser bars, several sources as one.

They lie in a lake of their own (``QUANT_FRAMEWORK_DERIVED``, else ``derived`` beside the lake) under a source of their
own, so that nobody takes them for what a source said. They are made anew a period at a time (a month below 1h, else a
year) of what the lake holds, so twice is once. One task at a time may make a series.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, cast

from quant_framework import _core, settings
from quant_framework.arguments import Moment
from quant_framework.errors import InvalidError
from quant_framework.ingestion.writers import BronzeWriter
from quant_framework.orchestration.ports import ICheckpointStore
from quant_framework.orchestration.tasks.places import open_readable, open_store
from quant_framework.orchestration.tasks.running import LISTED, moments, text, wait_for
from quant_framework.results import Derived, DerivedReport

__all__ = ["merge_series", "resample_series"]


def resample_series(
    series: str,
    to_timeframe: str,
    start: Moment | None = None,
    end: Moment | None = None,
    lake: str | BronzeWriter | None = None,
    derived: str | BronzeWriter | None = None,
    checkpoint: str | ICheckpointStore | None = None,
    into: str | None = None,
) -> DerivedReport:
    """Make the complete bars of ``to_timeframe`` of ``series`` (its key) in ``lake``.

    Args:
        series: its key, ``source/data_type/symbol/timeframe``.
        to_timeframe: made of whole bars of it.
        start: of the periods to make; with ``end``. By default all that the lake holds.
        end: exclusive.
        lake: URL or writer; by default the environment's.
        derived: where to; see the module.
        checkpoint: URL or store of the backfill; by default the environment's. It tells bars that the source did not
            have, which are known, from bars that nobody asked for, which make a coarser bar incomplete.
        into: key of the derived series; by default of the source ``<source>.resampled``.

    Raises:
        InvalidError: timeframes that do not nest, half a range, or a lake that cannot be read.
        DataError: stored rows that cannot be read.
        UnavailableError: a lake or the store did not answer as it should.

    """
    source = open_readable(lake)
    places: dict[str, Any] = {"into": None if into is None else text(into, "into")}
    places["checkpoint"] = open_store(checkpoint, "load")
    asked = (source, text(series, "series"), text(to_timeframe, "to_timeframe"), open_derived(derived, source))
    return short(wait_for(_core.resample_series, *asked, *moments(start, end), **places))


def merge_series(
    series: Sequence[str],
    into: str,
    start: Moment | None = None,
    end: Moment | None = None,
    lake: str | BronzeWriter | None = None,
    derived: str | BronzeWriter | None = None,
) -> DerivedReport:
    """Make ``into`` (a key) of two or more series in ``lake``: of each bar, the whole row of the first that has it.

    Args:
        series: keys, the most trusted first; of one market, data type, timeframe and unit.
        into: key of the derived series, whose source is none of theirs: ``merged/ohlcv/BTC%2FUSDT/1h``.
        start: of the periods to make; with ``end``. By default all that the lake holds.
        end: exclusive.
        lake: URL or writer; by default the environment's.
        derived: where to; see the module.

    Returns:
        As ``resample_series``; ``sources`` says how many rows came from each.

    Raises:
        InvalidError: series that do not fit together, half a range, or a lake that cannot be read.
        DataError: stored rows that cannot be read.
        UnavailableError: a lake did not answer as it should.

    """
    if isinstance(series, str) or not isinstance(series, Sequence):
        raise InvalidError(f"series must be a list of keys, not {str(series)[:80]!r}")
    source = open_readable(lake)
    asked = (source, [text(key, "series") for key in series], text(into, "into"), open_derived(derived, source))
    return short(wait_for(_core.merge_series, *asked, *moments(start, end)))


def open_derived(derived: str | BronzeWriter | None, lake: _core.BronzeWriter) -> _core.BronzeWriter:
    """The lake of derived series at a URL, itself, or the one beside ``lake``."""
    return open_readable(derived or settings.derived_url(lake.url), "derived lake")


def short(made: Derived) -> DerivedReport:
    """A result that fits into an XCom."""
    counts = {"incomplete_count": len(made["incomplete"]), "gap_count": len(made["gaps"])}
    lists = {"incomplete": made["incomplete"][:LISTED], "gaps": made["gaps"][:LISTED]}
    return cast("DerivedReport", {**made, **lists, **counts})
