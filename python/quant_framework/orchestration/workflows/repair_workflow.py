"""Ask again for the holes of stored series, a few times each and not for ever."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any

from quant_framework._core import Backfill
from quant_framework.arguments import Hole
from quant_framework.errors import InvalidError
from quant_framework.orchestration.checks import check_attempts, check_one, check_seconds
from quant_framework.orchestration.ports import (
    ICheckpointStore,
    IChunkStrategy,
    IDataAdapter,
    IDataWriter,
    IRateLimiter,
    IWorkflowContext,
)
from quant_framework.orchestration.workflows.backfill_workflow import BackfillWorkflow, nothing_to_do, read_moment
from quant_framework.orchestration.workflows.options import RepairOptions
from quant_framework.results import BackfillResult

if TYPE_CHECKING:
    from typing_extensions import Unpack

ATTEMPTS = 3
"""A hole that the source had nothing for so often is settled."""
PAUSE = 3600.0
"""Seconds between the first repair of a hole and the second; doubles each time."""


class RepairWorkflow(BackfillWorkflow):
    """A backfill of the holes of series that are stored.

    Args:
        symbols: with ``timeframes`` and ``data_types``, which series, as for ``BackfillWorkflow``.
        series: instead, their keys, ``source/data_type/symbol/timeframe``.
        holes: instead, what to ask for, whatever is known of it: dicts with ``series, start, end``, such as a
            comparison of sources returns. Rows that are there already in another version are replaced.
        start: where to look, aware; by default where the checkpoint of each series begins.
        end: where to stop looking (exclusive), aware; by default the moment when the run starts.
        attempts: a hole that the source had nothing for so often is settled and not asked for again.
        pause: so many seconds must lie between the first repair of a hole and the second; doubles each time.
        force: ask for every hole now, settled or not.

    Raises:
        InvalidError: not exactly one of ``symbols``, ``series`` and ``holes``, or an option that cannot be.

    What was never asked for in between is fetched too. Each hole that is left is kept in the gap ledger, beside the
    checkpoint, with its kind, its attempts and when it was last asked for; the result lists them as ``gaps``. Holes
    that one request can span are asked for together. Everything else is as for ``BackfillWorkflow``.

    """

    def __init__(
        self,
        adapter: IDataAdapter,
        writer: IDataWriter,
        checkpoint_store: ICheckpointStore,
        rate_limiter: IRateLimiter | None = None,
        chunk_strategy: IChunkStrategy | None = None,
        *,
        series: Sequence[str] | None = None,
        holes: Sequence[Hole] | None = None,
        attempts: int = ATTEMPTS,
        pause: float = PAUSE,
        force: bool = False,
        **options: Unpack[RepairOptions],
    ) -> None:
        check_one({"symbols": options.get("symbols"), "series": series, "holes": holes})
        check_attempts(attempts)
        check_seconds("pause", pause)
        super().__init__(adapter, writer, checkpoint_store, rate_limiter, chunk_strategy, **options)
        self.holes: list[tuple[str, datetime, datetime]] | None = (
            None if holes is None else [named(hole) for hole in holes]
        )
        keys = (series or []) if self.holes is None else [key for key, _, _ in self.holes]
        self.options["series"] = sorted({keys} if isinstance(keys, str) else set(keys))
        self.options["repair"] = {"attempts": attempts, "pause": float(pause), "force": bool(force)}

    def _prepare(self, context: IWorkflowContext | None) -> Backfill:
        values = self.read(context)
        if self.parameters["symbols"] is None:
            values |= {"symbols": [], "timeframes": [], "data_types": []}
        values["end"] = read_moment(values["end"], "end") or datetime.now(timezone.utc)
        if self.holes:
            self.options["repair"]["only"] = self.holes
            values["start"] = min(start for _, start, _ in self.holes)
            values["end"] = max(end for _, _, end in self.holes)
        return self.backfill(values)

    async def execute(self, context: IWorkflowContext | None = None) -> BackfillResult:
        """Run; nothing is to be done where there are no series and no holes."""
        if not self.options["series"] and self.parameters["symbols"] is None:
            return nothing_to_do()
        return await super().execute(context)


def named(hole: Hole) -> tuple[str, datetime, datetime]:
    """Series, start and end of a hole.

    Raises:
        InvalidError: it has none, or of another kind.

    """
    try:
        series, start, end = hole["series"], read_moment(hole["start"], "start"), read_moment(hole["end"], "end")
    except (KeyError, TypeError):
        raise InvalidError(f"a hole must be a dict with series, start and end, not {str(hole)[:80]!r}") from None
    if not isinstance(series, str):
        raise InvalidError(f"a hole's series must be a key, not {series!r}")
    return series, bound("start", start), bound("end", end)


def bound(name: str, value: Any) -> datetime:
    """A bound of a hole, checked.

    Raises:
        InvalidError: no time, or one without a time zone.

    """
    if not isinstance(value, datetime):
        raise InvalidError(f"a hole's {name} must be a time, not {value!r}")
    if value.utcoffset() is None:
        raise InvalidError(f"a hole's {name} {value} has no time zone", "add Z or +00:00")
    return value
