"""Rows made into other rows: coarser bars, and several sources as one. Rows in, rows out; nothing is invented.

Rows are whatever speaks the Arrow PyCapsule interface (pyarrow, polars, pandas >= 2.2, ``BronzeWriter.read``), a dict
of columns, or a list of dicts or rows, in the columns of their data type; what comes back is a ``Batch``, which pyarrow
and polars read without a copy: ``polars.DataFrame(rows)``.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import NamedTuple

from quant_framework import _core
from quant_framework._core import Batch
from quant_framework.arguments import Range, Ranges, Rows
from quant_framework.errors import InvalidError

__all__ = ["IncompleteBar", "Merged", "Resampled", "merge", "resample"]


class IncompleteBar(NamedTuple):
    """A coarser bar that opens at ``open`` (UTC), of which ``known`` of the ``expected`` source bars are known."""

    open: datetime
    known: int
    expected: int


class Resampled(NamedTuple):
    """Coarser bars and what is wrong with them, between the first and the last known moment.

    ``rows``: the bars. ``incomplete``: those that are known in part, whether they are among the rows or left out.
    ``gaps``: runs of bars of which nothing is known, pairs ``[start, end)``.
    """

    rows: Batch
    incomplete: list[IncompleteBar]
    gaps: Ranges


class Merged(NamedTuple):
    """Several sources as one.

    ``rows``: the bars. ``sources``: of each row, the place of its source in the list. ``taken``: of each source, how
    many rows came from it.
    """

    rows: Batch
    sources: list[int]
    taken: list[int]


def resample(
    rows: Rows,
    from_timeframe: str,
    to_timeframe: str,
    *,
    data_type: str | None = None,
    covered: Sequence[Range] | None = None,
    complete_only: bool = True,
) -> Resampled:
    """Coarser bars of the rows of one series.

    Opens are the first, highs the highest, lows the lowest, closes and long/short ratios the last; volumes, trade
    counts and liquidations are summed, in time order. A null among the values that matter makes the result null.

    Args:
        rows: in time order, each bar once.
        from_timeframe: of the rows, ``1m`` to ``1d``.
        to_timeframe: made of whole bars of it; weeks open on Monday, months on the first.
        data_type: by default the one of a ``Batch``, else ``ohlcv``.
        covered: ranges that the source was asked for, as ``Checkpoint.empty`` and ``Checkpoint.data`` list them. A bar
            inside is known although there is no row: the source had none. Needed for liquidations, whose rows alone do
            not tell.
        complete_only: leave out bars that are known in part.

    Raises:
        InvalidError: timeframes that do not nest, or liquidations without ``covered``.
        DataError: rows out of order, repeated, off the grid or not finite; the first one is named.

    """
    ranges = None if covered is None else list(covered)
    made, incomplete, gaps = _core.resample(
        rows, from_timeframe, to_timeframe, data_type=data_type, covered=ranges, complete_only=complete_only
    )
    return Resampled(made, [IncompleteBar(*bar) for bar in incomplete], gaps)


def merge(sources: Sequence[Rows], timeframe: str, *, data_type: str | None = None) -> Merged:
    """One series of several sources of one market: of each bar, the whole row of the first source that has it.

    Args:
        sources: rows of each, the most trusted first; in one unit (see ``convert_open_interest``).
        timeframe: of all of them.
        data_type: by default the one of a ``Batch``, else ``ohlcv``. Not liquidations: a missing row means zero there.

    Raises:
        InvalidError: no sources, different data types, or sparse ones.
        DataError: rows out of order, repeated, off the grid or not finite; the source and the first one are named.

    """
    if not isinstance(sources, list | tuple):
        raise InvalidError(f"sources must be a list with the rows of each, not a {type(sources).__name__}")
    return Merged(*_core.merge(list(sources), timeframe, data_type=data_type))
