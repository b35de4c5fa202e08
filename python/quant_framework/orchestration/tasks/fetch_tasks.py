"""Fetch one series into a staging place, from plain values to a plain reference.

``source`` is a source's name or an adapter; ``lake`` and ``staging`` are URLs, by default the environment's. Times are
aware datetimes or ISO 8601 texts with a time zone. A long wait for quota is waited for; as an Airflow task that shall
park instead, use the fetch operators.
"""

from __future__ import annotations

import hashlib
import logging
import re
from collections.abc import Callable, Mapping
from datetime import date, datetime, timedelta, timezone
from typing import Any

from quant_framework import settings
from quant_framework._core import bars_before
from quant_framework.errors import InvalidError, QuantFrameworkError
from quant_framework.ingestion.backfill import CheckpointStore, open_checkpoint_store
from quant_framework.ingestion.writers import BronzeWriter
from quant_framework.orchestration.ports import IDataAdapter, IRateLimiter, IWorkflowContext
from quant_framework.orchestration.staged import Staged
from quant_framework.orchestration.tasks.running import Moment, aware, run
from quant_framework.orchestration.workflows import BackfillWorkflow

__all__ = ["Stage", "fetch_ohlcv", "fetch_open_interest", "stage_reference", "stage_url", "stage_workflow"]

log = logging.getLogger("quant_framework.tasks")


class Stage:
    """A place for rows on their way into the lake, and what was fetched into it.

    Args:
        url: of this place: ``<all places>/date=<of the run>/...``; by the date, old ones are told.
        open_rows: opens a lake at a URL.
        open_checkpoints: opens a store at a URL.

    Raises:
        InvalidError: ``url`` names no such place.

    """

    def __init__(
        self,
        url: str,
        open_rows: Callable[[str], BronzeWriter] = BronzeWriter,
        open_checkpoints: Callable[[str], CheckpointStore] = open_checkpoint_store,
    ) -> None:
        root, found, _ = url.partition("/date=")
        if not found:
            raise InvalidError(f"{url!r} is not the address of staged rows")
        self.url = url
        self.all = open_rows(root)
        self.rows = open_rows(url)
        self.checkpoints = open_checkpoints(f"{url}/_checkpoints")

    async def sweep(self) -> None:
        """Remove what was staged long ago; that it fails costs nothing."""
        oldest = datetime.now(timezone.utc).date() - timedelta(days=settings.STAGED_DAYS)
        try:
            await self.all.sweep(oldest.isoformat())
        except QuantFrameworkError as error:
            log.warning("what was staged long ago is not removed: %s", error)


def stage_url(root: str, began: date, *names: str) -> str:
    """The URL of a stage: the same for every try of one run."""
    return "/".join([root.rstrip("/"), f"date={began.isoformat()}", *map(segment, names)])


def segment(name: str) -> str:
    """``name`` as one part of a path."""
    plain = re.sub(r"[^A-Za-z0-9=+:.~_-]", "_", name)
    return plain if plain == name else f"{plain}-{hashlib.sha256(name.encode()).hexdigest()[:8]}"


def fetch_ohlcv(
    symbol: str,
    timeframe: str,
    start: Moment,
    end: Moment | None = None,
    source: str | IDataAdapter = "coinalyze",
    *,
    adapter_options: Mapping[str, Any] | None = None,
    rate_limit: str | IRateLimiter | None = None,
    lake: str | None = None,
    staging: str | None = None,
) -> dict[str, Any]:
    """Fetch, check and stage the bars of ``symbol`` that open in ``[start, end)``.

    Returns:
        ``kind``, ``series`` (its key), ``ranges`` (pairs of ISO 8601 texts: what the source was asked for), ``bars``
        and ``stage`` (a URL): what ``write_bronze`` and ``validate_rows`` take.

    """
    places = {"lake": lake, "staging": staging}
    asked = (symbol, timeframe, "ohlcv", start, end)
    return _fetch(*asked, source, adapter_options, rate_limit, **places)


def fetch_open_interest(
    symbol: str,
    timeframe: str,
    start: Moment,
    end: Moment | None = None,
    source: str | IDataAdapter = "coinalyze",
    *,
    adapter_options: Mapping[str, Any] | None = None,
    rate_limit: str | IRateLimiter | None = None,
    lake: str | None = None,
    staging: str | None = None,
) -> dict[str, Any]:
    """Fetch, check and stage open interest; as ``fetch_ohlcv``."""
    places = {"lake": lake, "staging": staging}
    asked = (symbol, timeframe, "open_interest", start, end)
    return _fetch(*asked, source, adapter_options, rate_limit, **places)


def _fetch(
    symbol: str,
    timeframe: str,
    data_type: str,
    start: Moment,
    end: Moment | None,
    source: str | IDataAdapter,
    adapter_options: Mapping[str, Any] | None,
    rate_limit: str | IRateLimiter | None,
    lake: str | None,
    staging: str | None,
) -> dict[str, Any]:
    adapter = settings.open_adapter(source, **(adapter_options or {})) if isinstance(source, str) else source
    low, high = aware(start, "start"), datetime.now(timezone.utc) if end is None else aware(end, "end")
    names = (adapter.source, data_type, symbol, timeframe, f"{low:%Y%m%dT%H%M%SZ}-{high:%Y%m%dT%H%M%SZ}")
    root, today = staging or settings.staging_url(lake), datetime.now(timezone.utc).date()
    stage = Stage(stage_url(root, today, *names))
    is_place = rate_limit is None or isinstance(rate_limit, str)
    limiter = settings.open_limiter(adapter, rate_limit) if is_place else rate_limit
    parts = {"adapter": adapter, "rate_limiter": limiter}
    wanted = {"symbol": symbol, "timeframe": timeframe, "data_type": data_type}
    return stage_reference(run(stage_workflow(stage, **wanted, start=low, end=high, **parts)), stage)


class _StageWorkflow(BackfillWorkflow):
    """A backfill into a stage, which removes first what was staged long ago."""

    def __init__(self, stage: Stage, **options: Any) -> None:
        super().__init__(writer=stage.rows, checkpoint_store=stage.checkpoints, **options)
        self.stage = stage

    async def _execute_impl(self, context: IWorkflowContext) -> dict[str, Any]:
        await self.stage.sweep()
        return await super()._execute_impl(context)


def stage_workflow(
    stage: Stage,
    *,
    symbol: str,
    timeframe: str,
    data_type: str,
    start: Any,
    end: Any,
    bars: int | None = None,
    **parts: Any,
) -> BackfillWorkflow:
    """The workflow that fetches one series into ``stage``."""
    if start is None:
        if bars is None:
            raise InvalidError("start is missing")
        start = bars_before(aware(end, "end"), timeframe, bars)
    wanted = {"symbols": [symbol], "timeframes": [timeframe], "data_types": [data_type]}
    return _StageWorkflow(stage, **wanted, start=start, end=end, **parts)


def stage_reference(result: Mapping[str, Any], stage: Stage) -> dict[str, Any]:
    """The reference to what a successful run has staged."""
    if not result.get("series"):
        return Staged(None, (), 0, stage.url).to_dict()
    (series,) = result["series"]
    gone = [gap for gap in series["gaps"] if gap["kind"] != "empty"]
    start = max([gap["end"] for gap in gone], default=series["start"])
    ranges = ((start, series["end"]),) if start < series["end"] else ()
    return Staged(series["series"], ranges, series["bars"], stage.url).to_dict()
