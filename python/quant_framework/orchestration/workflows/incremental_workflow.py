"""Bring series up to date: fill the holes, then fetch up to the newest closed bar."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone
from typing import Any

from quant_framework._core import Backfill
from quant_framework.errors import InvalidError
from quant_framework.orchestration.ports import IWorkflowContext
from quant_framework.orchestration.workflows.backfill_workflow import BackfillWorkflow, moment


class IncrementalWorkflow(BackfillWorkflow):
    """A backfill whose end is the present, before all other traffic.

    Args:
        start: where the series begin, aware; what is missing since then is fetched, oldest first.
        lookback: how far before the end is looked, where ``start`` is not given.
        end: end (exclusive), aware; by default the moment when the run starts.
        priority: by default ``live``: before backfills that wait for the same quota.

    Nothing that is covered is asked for again, so runs may overlap, be late or be repeated. A bar counts as closed
    ``lag`` seconds after its end. Everything else is as for ``BackfillWorkflow``.

    """

    def __init__(self, *parts: Any, lookback: timedelta | None = None, priority: str = "live", **options: Any) -> None:
        super().__init__(*parts, priority=priority, **options)
        self.lookback = lookback

    def _prepare(self, context: IWorkflowContext | None) -> Backfill:
        values = self.read(context)
        end = moment(values["end"], "end") or datetime.now(timezone.utc)
        start = moment(values["start"], "start") or (end - self.lookback if self.lookback else None)
        if start is None:
            raise InvalidError("neither start nor lookback is given")
        return self.backfill(values | {"start": start, "end": end})
