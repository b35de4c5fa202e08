"""Bring series up to date: fill the holes, then fetch up to the newest closed bar."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone
from typing import TYPE_CHECKING

from quant_framework._core import Backfill
from quant_framework.arguments import Priority
from quant_framework.orchestration.checks import check_lookback, check_overlap
from quant_framework.orchestration.ports import (
    ICheckpointStore,
    IChunkStrategy,
    IDataAdapter,
    IDataWriter,
    IRateLimiter,
    IWorkflowContext,
)
from quant_framework.orchestration.workflows.backfill_workflow import BackfillWorkflow, read_moment
from quant_framework.orchestration.workflows.options import IncrementalOptions

if TYPE_CHECKING:
    from typing_extensions import Unpack

OVERLAP = 3
"""Bars that are asked for again by default."""


class IncrementalWorkflow(BackfillWorkflow):
    """A backfill whose end is the present, before all other traffic.

    Args:
        start: where the series begin, aware; what is missing since then is fetched, oldest first.
        lookback: how far before the end is looked, where ``start`` is not given. Without either, a series begins where
            its checkpoint does.
        end: end (exclusive), aware; by default the moment when the run starts.
        overlap: so many known bars before the newest missing ones are asked for again. A row that the source has
            restated takes the place of what was stored, which is kept apart under ``_replaced`` in the lake; the
            result counts them as ``rows_restated``.
        priority: by default ``live``: before backfills that wait for the same quota.
        adapter: as for ``BackfillWorkflow``, as for everything else.

    Raises:
        InvalidError: both ``start`` and ``lookback``, a ``lookback`` that is no ``timedelta`` above 0, or an
            ``overlap`` that is no whole number of bars from 0 to 100,000.

    What is covered is not asked for again but for the overlap, so runs may overlap, be late or be repeated. A bar
    counts as closed ``lag`` seconds after its end. The newest rows go into one object per day (per month from 1h on,
    per year from 1d on) that grows with every run, by read, merge, compare-and-set. A writer that cannot do that, such
    as one of your own, gets a chunk per run and no overlap. Everything else is as for ``BackfillWorkflow``.

    """

    def __init__(
        self,
        adapter: IDataAdapter,
        writer: IDataWriter,
        checkpoint_store: ICheckpointStore,
        rate_limiter: IRateLimiter | None = None,
        chunk_strategy: IChunkStrategy | None = None,
        *,
        lookback: timedelta | None = None,
        overlap: int = OVERLAP,
        priority: Priority = "live",
        **options: Unpack[IncrementalOptions],
    ) -> None:
        check_overlap(overlap)
        check_lookback(lookback, options.get("start"))
        super().__init__(adapter, writer, checkpoint_store, rate_limiter, chunk_strategy, priority=priority, **options)
        self.options["overlap"] = overlap
        self.lookback = lookback

    def _prepare(self, context: IWorkflowContext | None) -> Backfill:
        values = self.read(context)
        end = read_moment(values["end"], "end") or datetime.now(timezone.utc)
        start = read_moment(values["start"], "start") or (end - self.lookback if self.lookback else None)
        return self.backfill(values | {"start": start, "end": end})
