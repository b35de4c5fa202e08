"""Fetch one series into a staging place, from plain values to a plain reference.

``source`` is a source's name or an adapter; ``lake`` and ``staging`` are URLs, by default the environment's. Times are
aware datetimes or ISO 8601 texts with a time zone. A long wait for quota is waited for; as an Airflow task that shall
park instead, use the fetch operators.
"""

from __future__ import annotations

import hashlib
import logging
import re
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timedelta, timezone
from typing import Any

from quant_framework import settings
from quant_framework._core import bars_before
from quant_framework.arguments import Moment
from quant_framework.errors import InvalidError, QuantFrameworkError
from quant_framework.ingestion.backfill import CheckpointStore, open_checkpoint_store
from quant_framework.ingestion.writers import BronzeWriter
from quant_framework.orchestration.ports import IDataAdapter, IRateLimiter
from quant_framework.orchestration.staged import Staged
from quant_framework.orchestration.tasks.places import open_quota, open_source
from quant_framework.orchestration.tasks.running import aware, run, text, wait_for
from quant_framework.orchestration.workflows import BackfillWorkflow
from quant_framework.results import StagedReference

__all__ = ["Stage", "fetch_ohlcv", "fetch_open_interest", "stage_reference", "stage_workflow"]

log: logging.Logger = logging.getLogger("quant_framework.tasks")


def open_checkpoints(url: str) -> CheckpointStore:
    """The checkpoints of a stage, which one task at a time writes."""
    return open_checkpoint_store(url, single_writer=True)


class Stage:
    """A place for rows on their way into the lake, and what was fetched into it.

    Args:
        url: of this place: ``<all places>/staged=<date>/...``; by the date, old ones are told.
        open_rows: opens a lake at a URL.
        open_checkpoints: opens a store at a URL.

    Raises:
        InvalidError: ``url`` names no such place.

    """

    def __init__(
        self,
        url: str,
        open_rows: Callable[[str], BronzeWriter] = BronzeWriter,
        open_checkpoints: Callable[[str], CheckpointStore] = open_checkpoints,
    ) -> None:
        if "/staged=" not in url:
            raise InvalidError(f"{url!r} is not the address of staged rows")
        self.url = url
        self.rows: BronzeWriter = open_rows(url)
        self.checkpoints: CheckpointStore = open_checkpoints(f"{url}/_checkpoints")

    @classmethod
    def of(
        cls,
        root: str,
        names: Sequence[str],
        open_rows: Callable[[str], BronzeWriter] = BronzeWriter,
        open_checkpoints: Callable[[str], CheckpointStore] = open_checkpoints,
    ) -> Stage:
        """The place named ``names`` below ``root``, which is the same for some days; what is older is removed.

        That nothing can be listed there costs a new place a day, and what is old stays.
        """
        root, path = root.rstrip("/"), "/".join(map(segment, names))
        today = datetime.now(timezone.utc).date()
        oldest = (today - timedelta(days=settings.STAGED_DAYS)).isoformat()
        try:
            date = wait_for(open_rows(root).tidy, path, oldest)
        except QuantFrameworkError as error:
            log.warning("what is staged at %s cannot be listed: %s", root, error)
            date = None
        return cls(f"{root}/staged={date or today.isoformat()}/{path}", open_rows, open_checkpoints)


def segment(name: str) -> str:
    """``name`` as one part of a path, of at most 120 characters."""
    plain = re.sub(r"[^A-Za-z0-9=+:.~_-]", "_", name)[:100]
    if plain == name and plain.strip("."):
        return plain
    return f"{plain.strip('.')}-{hashlib.sha256(name.encode()).hexdigest()[:16]}"


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
) -> StagedReference:
    """Fetch, check and stage the bars of ``symbol`` that open in ``[start, end)``.

    Args:
        symbol: the source's own name, or one that it can resolve (``BTC``).
        timeframe: ``1m`` to ``1M``.
        start: first bar.
        end: end (exclusive); by default now.
        source: a source's name, or an adapter.
        adapter_options: of the source's adapter, such as ``base_url``.
        rate_limit: URL of the place where the source's quota is shared, or a limiter; by default the environment's.
        lake: URL that the default of ``staging`` lies beside.
        staging: URL of the place for rows on their way into the lake.

    Returns:
        What ``write_bronze`` and ``validate_staged`` take.

    Raises:
        QuantFrameworkError: of any kind, as the run failed; what was fetched stays staged and is not asked for again.

    """
    adapter = open_source(source, adapter_options)
    return _fetch(
        "ohlcv",
        symbol,
        timeframe,
        start,
        end,
        adapter=adapter,
        rate_limiter=open_quota(adapter, rate_limit),
        root=staging or settings.staging_url(lake),
    )


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
) -> StagedReference:
    """Fetch, check and stage open interest; arguments, result and errors are as for ``fetch_ohlcv``."""
    adapter = open_source(source, adapter_options)
    return _fetch(
        "open_interest",
        symbol,
        timeframe,
        start,
        end,
        adapter=adapter,
        rate_limiter=open_quota(adapter, rate_limit),
        root=staging or settings.staging_url(lake),
    )


def _fetch(
    data_type: str,
    symbol: str,
    timeframe: str,
    start: Moment,
    end: Moment | None,
    *,
    adapter: IDataAdapter,
    rate_limiter: IRateLimiter,
    root: str,
) -> StagedReference:
    low, high = aware(start, "start"), datetime.now(timezone.utc) if end is None else aware(end, "end")
    named = (text(symbol, "symbol"), text(timeframe, "timeframe"))
    names = (adapter.source, data_type, *named, f"{low:%Y%m%dT%H%M%SZ}-{high:%Y%m%dT%H%M%SZ}")
    stage = Stage.of(root, names)
    workflow = stage_workflow(
        stage,
        symbol=symbol,
        timeframe=timeframe,
        data_type=data_type,
        start=low,
        end=high,
        adapter=adapter,
        rate_limiter=rate_limiter,
    )
    return stage_reference(run(workflow), stage)


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
    """The workflow that fetches one series into ``stage``.

    Args:
        stage: the place.
        symbol: the source's own name, or one that it can resolve.
        timeframe: of the series.
        data_type: of the series.
        start: first bar, aware; ``None``: ``bars`` before the end.
        end: end (exclusive), aware.
        bars: where there is no start.
        parts: more arguments of ``BackfillWorkflow``, among them ``adapter``.

    Raises:
        InvalidError: neither a start nor a number of bars.

    """
    if start is None:
        if bars is None:
            raise InvalidError("start is missing")
        start = bars_before(aware(end, "end"), timeframe, bars)
    return BackfillWorkflow(
        writer=stage.rows,
        checkpoint_store=stage.checkpoints,
        symbols=[symbol],
        timeframes=[timeframe],
        data_types=[data_type],
        start=start,
        end=end,
        **parts,
    )


def stage_reference(result: Mapping[str, Any], stage: Stage) -> StagedReference:
    """The reference to what a successful run has staged.

    Args:
        result: of the run.
        stage: where it wrote.

    """
    if not result.get("series"):
        return Staged(None, (), 0, stage.url).to_dict()
    (series,) = result["series"]
    ranges, low = [], series["start"]
    for gap in (gap for gap in series["gaps"] if gap["kind"] != "empty"):
        ranges.append((low, gap["start"]))
        low = gap["end"]
    answered = tuple(pair for pair in [*ranges, (low, series["end"])] if pair[0] < pair[1])
    return Staged(series["series"], answered, series["bars"], stage.url).to_dict()
