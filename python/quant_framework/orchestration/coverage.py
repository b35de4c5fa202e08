"""What is covered, as a value, as a page of HTML and as lines of a terminal. Reads checkpoints, writes nothing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, TypedDict

from quant_framework import _core
from quant_framework.errors import InvalidError
from quant_framework.orchestration.ports import ICheckpointStore
from quant_framework.results import CoverageMap

COLUMNS = 120
"""Cells of a row, where nothing else is said."""

WIDTH = 100
"""Characters of a line, where nothing else is said."""


class Link(TypedDict):
    """An entry of a table that leads somewhere: ``http(s)``, or an address on the same server."""

    text: str
    href: str


class _Section(TypedDict):
    title: str
    columns: list[str]
    rows: list[list[str | int | float | bool | Link | None]]


class Section(_Section, total=False):
    """A table that is shown below the picture. Every row has as many entries as there are ``columns``."""

    note: str | None


async def coverage_map(
    store: ICheckpointStore,
    *,
    series: Sequence[str] | None = None,
    prefix: str = "",
    start: datetime | None = None,
    end: datetime | None = None,
    columns: int = COLUMNS,
) -> CoverageMap:
    """Say of every bar of the series what is known of it.

    Args:
        store: Where the checkpoints are, and the gap ledgers beside them. Nothing is written.
        series: Keys, in the order in which they are shown; by default every series that is known.
        prefix: Without ``series``, those whose key begins so.
        start: Bars are expected from here on; by default from the first known moment of each series on.
        end: Bars are expected up to here (exclusive); by default to the last that has closed.
        columns: Cells of each row of the picture, 1 to 2000.

    Returns:
        Numbers, spans (of a series at most 200) and cells; see ``quant_framework.results.CoverageMap``. Kinds, worst
        first: ``unknown`` (never asked), ``unresolved, outage, no_trade, beyond_retention, not_listed, empty`` (of
        sparse data types), ``data, forming`` (not closed yet) and ``before`` (the first known moment).

    Raises:
        InvalidError: Where the range or ``columns`` cannot be so.
        UnavailableError: Where the store does not answer. A series that alone cannot be read is a row with an error.

    """
    keys = None if series is None else [*series]
    if isinstance(series, str) or not all(isinstance(key, str) for key in keys or ()):
        raise InvalidError(f"series must be a list of keys, not {series!r:.80}")
    return await _core.coverage_map(store, series=keys, prefix=prefix, start=start, end=end, columns=columns)


def coverage_page(
    map: Mapping[str, Any], *, title: str | None = None, sections: Sequence[Section] | None = None
) -> str:
    """The map as one page of HTML that needs nothing beside itself, no script either.

    Args:
        map: What ``coverage_map`` answered, or the same read back from JSON.
        title: The heading; by default how many series there are.
        sections: Tables that are shown below.

    Raises:
        InvalidError: Where ``map`` or a section is none.

    """
    return _core.coverage_page(map, title=title, sections=None if sections is None else [*sections])


def draw_coverage(map: Mapping[str, Any], *, width: int = WIDTH, colour: bool = False, ascii: bool = False) -> str:
    """The map as lines of ``width`` characters, one per series, with dates above and a legend below.

    Args:
        map: What ``coverage_map`` answered, or the same read back from JSON.
        width: Characters of a line; at least some ten are cells.
        colour: Add ANSI colours. It reads without them too.
        ascii: Use nothing but ASCII.

    Raises:
        InvalidError: Where ``map`` is none.

    """
    return _core.coverage_text(map, width=width, colour=colour, ascii=ascii)
