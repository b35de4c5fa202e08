"""The holes of stored series asked for again, as an Airflow task."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping, Sequence
from typing import Any

from quant_framework.airflow.compat import Context
from quant_framework.arguments import Hole
from quant_framework.errors import InvalidError
from quant_framework.orchestration.checks import check_attempts, check_one, check_seconds
from quant_framework.orchestration.operators.base import given
from quant_framework.orchestration.operators.source import run_range
from quant_framework.orchestration.operators.workflow_operators import BackfillOperator
from quant_framework.orchestration.workflows import RepairWorkflow
from quant_framework.orchestration.workflows.repair_workflow import ATTEMPTS, PAUSE

MOST_HOLES = 50
"""So many holes are listed in an XCom."""


class RepairOperator(BackfillOperator):
    """Asks again for the holes of series that are stored, a few times each and not for ever.

    Args:
        symbols: with ``timeframes`` and ``data_types``, which series, as for ``BackfillOperator``.
        series: instead, keys, ``source/data_type/symbol/timeframe``.
        holes: instead, what to ask for: dicts with ``series, start, end``, their JSON text, or what another task
            returned: a list of them or a dict with a list ``holes``.
        start: where to look, aware datetime or ISO 8601 text; by default where the checkpoint of each series begins.
        end: where to stop looking (exclusive); by default now.
        attempts: a hole that the source had nothing for so often is settled.
        pause: seconds between the first repair of a hole and the second; doubles each time.
        force: ask for every hole now, settled or not.

    Raises:
        InvalidError: not exactly one of ``symbols``, ``series`` and ``holes``, or an option that cannot be.

    All down to ``end`` are templated. The result is that of ``BackfillOperator``, with the first 50 ``holes`` that are
    left (``series, start, end, bars, kind``, and ``attempts``: how often the source was asked) and ``hole_count``.
    Everything else is as for ``BackfillOperator``.

    """

    template_fields: Collection[str] = (*BackfillOperator.template_fields, "series", "holes")

    def __init__(
        self,
        *,
        symbols: Sequence[str] | None = None,
        timeframes: Sequence[str] = (),
        series: Sequence[str] | None = None,
        holes: Sequence[Hole] | Mapping[str, Any] | str | None = None,
        attempts: int = ATTEMPTS,
        pause: float = PAUSE,
        force: bool = False,
        **kwargs: Any,
    ) -> None:
        super().__init__(symbols=[] if symbols is None else symbols, timeframes=timeframes, **kwargs)
        check_one({"symbols": symbols, "series": series, "holes": holes})
        check_attempts(attempts)
        check_seconds("pause", pause)
        self.series = series
        self.holes = holes
        self.attempts = attempts
        self.pause = pause
        self.force = force

    def build_workflow(self, context: Context) -> RepairWorkflow:
        """The run, from plain values."""
        options: dict[str, Any] = {"attempts": self.attempts, "pause": self.pause, "force": self.force}
        if self.holes is not None:
            return RepairWorkflow(holes=listed(self.holes), **options, **self.parts(context))
        _, end = run_range({}, None, self.end)
        options |= {"start": given(self.start), "end": end}
        wanted = self.wanted(context) if self.series is None else {"series": self.series}
        return RepairWorkflow(**wanted, **options, **self.parts(context))

    def summarize(self, result: dict[str, Any]) -> Mapping[str, Any]:
        """With the holes that are left."""
        left = [{"series": one["series"], **gap} for one in result["series"] for gap in one["gaps"]]
        return {**super().summarize(result), "holes": left[:MOST_HOLES], "hole_count": len(left)}


def listed(holes: Any) -> list[Hole]:
    """Holes as a list of dicts, from all the ways to say them."""
    if isinstance(holes, str):
        try:
            holes = json.loads(holes)
        except ValueError:
            raise InvalidError(f"holes must be a list, not the text {holes[:80]!r}") from None
    if isinstance(holes, Mapping):
        holes = holes.get("holes")
    if not isinstance(holes, list | tuple):
        raise InvalidError(f"holes must be a list, not {str(holes)[:80]!r}")
    return list(holes)
