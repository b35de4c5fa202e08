"""Fetch one series into a staging place beside the lake; a write operator takes it from there."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any, ClassVar

from quant_framework import settings
from quant_framework.airflow.assets import series_uri
from quant_framework.airflow.compat import Context
from quant_framework.airflow.config import option
from quant_framework.airflow.connections import refuse_secrets
from quant_framework.airflow.staging import task_stage
from quant_framework.arguments import Moment
from quant_framework.errors import InvalidError
from quant_framework.orchestration.operators.base import comes_later, given
from quant_framework.orchestration.operators.source import SourceOperator, run_range
from quant_framework.orchestration.tasks.fetch_tasks import Stage, stage_reference, stage_workflow
from quant_framework.orchestration.workflows import BackfillWorkflow, BaseWorkflow
from quant_framework.results import StagedReference

MOST_BARS = 10_000_000


class _FetchOperator(SourceOperator):
    """Fetches, checks and stages one series. Subclasses name what they fetch."""

    data_type: ClassVar[str]

    template_fields: Collection[str] = (
        *SourceOperator.template_fields,
        "symbol",
        "timeframe",
        "start",
        "end",
        "staging",
    )

    def __init__(
        self,
        *,
        symbol: str,
        timeframe: str,
        start: Moment | None = None,
        end: Moment | None = None,
        bars: int = 1000,
        staging: str | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        refuse_secrets(staging=staging)
        if not self.do_xcom_push:
            raise InvalidError("do_xcom_push must not be off: the reference to what was staged would be lost")
        self.check([timeframe])
        if isinstance(bars, bool) or not isinstance(bars, int) or not 1 <= bars <= MOST_BARS:
            raise InvalidError(f"bars must be a whole number from 1 to {MOST_BARS:,}, not {bars!r}")
        for name, value in {"symbol": symbol, "timeframe": timeframe}.items():
            if not isinstance(value, str) and not comes_later(value):
                raise InvalidError(f"{name} must be a text, not {value!r}")
        self.symbol = symbol
        self.timeframe = timeframe
        self.start = start
        self.end = end
        self.bars = bars
        self.staging = staging

    def build_stage(self, context: Context) -> Stage:
        """Where the rows of this task are staged: the same place for every try; override to bring your own."""
        root = given(self.staging) or option("staging") or settings.staging_url(given(self.lake) or option("lake"))
        return task_stage(root, context, given(self.minio_conn_id))

    def work(self, context: Context) -> Any:
        """Stage the rows; the reference to them."""
        self._stage = self.build_stage(context)
        return super().work(context)

    def check_workflow(self, workflow: BaseWorkflow) -> None:
        """Refuse one that writes elsewhere, where nobody would find the rows."""
        if getattr(workflow, "writer", None) is not self._stage.rows:
            raise InvalidError("build_workflow of a fetch must write into its stage", "make it by stage_workflow")

    def build_workflow(self, context: Context) -> BackfillWorkflow:
        """The run, from plain values."""
        start, end = run_range(context, self.start, self.end)
        wanted = {"symbol": self.symbol, "timeframe": self.timeframe, "data_type": self.data_type}
        return stage_workflow(self._stage, **wanted, start=start, end=end, bars=self.bars, **self.parts(context))

    def summarize(self, result: dict[str, Any]) -> StagedReference:
        """The reference to what was staged."""
        reference = stage_reference(result, self._stage)
        inputs = [series_uri(reference["series"])] if reference["series"] else []
        self._places = {"inputs": inputs, "outputs": [self._stage.url]}
        return reference


class FetchOHLCVOperator(_FetchOperator):
    """Fetches, checks and stages the bars (open, high, low, close, volume) of one series.

    Args:
        symbol: the source's own name, or one that it can resolve (``BTC``).
        timeframe: ``1m`` to ``1M``.
        start: first bar, aware datetime or ISO 8601 text (templated); by default the start of the run's data interval.
        end: end (exclusive); by default the end of the run's data interval, else now.
        bars: where there is no start either, so many bars before the end are fetched.
        staging: URL of the place for rows on their way into the lake; by default ``QUANT_FRAMEWORK_STAGING`` or the
            folder ``staging`` beside the lake. What was staged is kept for seven days.

    Raises:
        InvalidError: no such timeframe, a number of bars that cannot be, or ``do_xcom_push`` is off.

    The result is a small reference to what was staged (see ``fetch_ohlcv``), which a write or validation operator
    downstream finds by itself. A task that is killed or parked goes on where it was. Everything else is as for
    ``SourceOperator``.

    """

    data_type = "ohlcv"


class FetchOIOperator(_FetchOperator):
    """Fetches, checks and stages the open interest of one market; otherwise as ``FetchOHLCVOperator``."""

    data_type = "open_interest"
