"""What a task wrote, as Airflow assets: events with row counts and ranges.

An ``Asset`` among a task's outlets gets them as its event's extra. An ``AssetAlias`` gets one asset per series that has
new rows (see ``series_asset``), so that a DAG may be scheduled by a series.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from quant_framework.airflow.compat import Asset, AssetAlias

__all__ = ["announce", "series_asset", "series_uri"]


def series_uri(series: str) -> str:
    """The URI of a series at its source.

    Args:
        series: its key, ``source/data_type/symbol/timeframe``.

    """
    return f"quant://{series}"


def series_asset(series: str) -> Asset:
    """The asset of a series, for the schedule of a consumer.

    Args:
        series: its key, ``source/data_type/symbol/timeframe``.

    """
    return Asset(name=series, uri=series_uri(series), group="quant_framework")


def announce(operator: Any, context: Mapping[str, Any], result: Any) -> None:
    """Put row counts and ranges into the events of an operator's outlets.

    Args:
        operator: whose ``outlets`` are told.
        context: of the task, with ``outlet_events``.
        result: what the task returns; nothing is told where it lists no series with rows and range.

    """
    outlets = [outlet for outlet in operator.outlets or () if isinstance(outlet, Asset | AssetAlias)]
    events, written = context.get("outlet_events"), _written(result)
    if not outlets or events is None or written is None:
        return
    for outlet in outlets:
        if isinstance(outlet, AssetAlias):
            for series in written:
                if series["rows"]:
                    events[outlet].add(series_asset(series["series"]), extra=series)
        else:
            rows = sum(series["rows"] for series in written)
            events[outlet].extra = {"rows": rows, "series": written[:50]}


def _written(result: Any) -> list[dict[str, Any]] | None:
    listed = result.get("series") if isinstance(result, dict) else None
    told = {"start", "end", "rows"}
    if not isinstance(listed, list) or not all(isinstance(one, dict) and told <= set(one) for one in listed):
        return None
    names = ("series", "start", "end", "rows", "gaps", "missing_bars")
    return [{name: one[name] for name in names if name in one} for one in listed]
