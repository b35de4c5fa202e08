"""Write what was staged into bronze, with checkpoints, and make silver of it."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any, cast

from quant_framework.airflow.assets import series_uri
from quant_framework.airflow.compat import Context
from quant_framework.airflow.connections import open_silver, refuse_secrets
from quant_framework.airflow.progress import INTERVAL, TaskProgress
from quant_framework.airflow.staging import open_stage
from quant_framework.arguments import Moment
from quant_framework.errors import InvalidError
from quant_framework.ingestion.writers import BronzeWriter, SilverWriter
from quant_framework.orchestration.operators.base import MOST_SERIES, BaseDataOperator, addresses, given
from quant_framework.orchestration.operators.source import owner
from quant_framework.orchestration.operators.upstream import is_passed, is_staged, listed, passed, results, usable
from quant_framework.orchestration.staged import SHAPE, Staged, is_summary
from quant_framework.orchestration.tasks.fetch_tasks import Stage
from quant_framework.orchestration.tasks.write_tasks import compact
from quant_framework.orchestration.workflows import WriteWorkflow

WRITTEN = "what a write or backfill task returns"
HINT = "put it after a fetch operator, as in fetch >> write, or pass staged=fetch.output"


class WriteBronzeOperator(BaseDataOperator):
    """Writes staged rows into the bronze lake and commits them; what the lake has already is left as it is.

    Args:
        staged: the result of a fetch task, or a list of them (templated), as in ``staged=fetch.output``; by default
            what the tasks directly upstream returned, mapped ones included.

    Twice is once: a retry or a cleared task writes the same objects. Everything else is as for ``BaseDataOperator``.

    """

    template_fields: Collection[str] = (*BaseDataOperator.template_fields, "staged")

    def __init__(self, *, staged: Any = None, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.staged = staged

    def build_stage(self, url: str) -> Stage:
        """The place that a reference names; override where it needs other credentials."""
        return open_stage(url, given(self.minio_conn_id))

    def build_workflow(self, context: Context) -> WriteWorkflow:
        """The run, from plain values."""
        if is_passed(self.staged):
            values = passed("staged", self.staged, is_staged, SHAPE)
        else:
            values = usable(results(self, context), is_staged, SHAPE, HINT)
        staged = [Staged.parse(value, origin) for origin, value in values]
        return WriteWorkflow(
            staged,
            writer=self.build_writer(context),
            checkpoint_store=self.build_checkpoint_store(context),
            open_stage=self.build_stage,
            owner=owner(context),
            progress=TaskProgress(context),
            progress_interval=INTERVAL,
        )

    def report(self, result: dict[str, Any], context: Context) -> None:
        """Remember what was read and written."""
        series = [one["series"] for one in result["series"]]
        staged = [reference.stage for reference in getattr(self._workflow, "staged", [])]
        self._places = {"inputs": staged, "outputs": addresses(getattr(self._workflow, "writer", None), series)}


class WriteSilverOperator(BaseDataOperator):
    """Makes silver of what was written into bronze: sorted, each bar once, one object per series and period.

    Args:
        written: the results of write or backfill tasks (templated); by default what the tasks directly upstream
            returned, unless ``series`` is given.
        series: key of a series in the lake.
        start: with ``end``, only the periods that ``[start, end)`` touches; by default all of them.
        end: see ``start``.
        silver: URL of the silver lake; by default ``QUANT_FRAMEWORK_SILVER`` or a folder beside the bronze lake.

    Raises:
        InvalidError: both ``written`` and ``series``.

    Twice is once, and any number of tasks may do it at once. An author's own silver lake comes from
    ``build_silver(context)``; everything else is as for ``BaseDataOperator``.

    """

    template_fields: Collection[str] = (
        *BaseDataOperator.template_fields,
        "written",
        "series",
        "start",
        "end",
        "silver",
    )

    def __init__(
        self,
        *,
        written: Any = None,
        series: str | None = None,
        start: Moment | None = None,
        end: Moment | None = None,
        silver: str | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        refuse_secrets(silver=silver)
        if written is not None and series is not None:
            raise InvalidError("written and series both say what to make; leave one out")
        self.written = written
        self.series = series
        self.start = start
        self.end = end
        self.silver = silver

    def build_silver(self, context: Context) -> SilverWriter:
        """The silver lake; override to bring your own."""
        bronze = cast("BronzeWriter", self.build_writer(context))  # another kind is refused there
        return open_silver(bronze, given(self.silver), given(self.minio_conn_id))

    def work(self, context: Context) -> dict[str, Any]:
        """Make it."""
        silver = self.build_silver(context)
        done = [compact(*one, silver=silver) for one in self.wanted(context)]
        keys = [one["series"] for one in done]
        self._places = {"inputs": list(map(series_uri, keys)), "outputs": addresses(silver, keys)}
        sums = {name: sum(one[name] for one in done) for name in ("rows", "quarantined")}
        return {**sums, "series": done[:MOST_SERIES], "series_count": len(done)}

    def wanted(self, context: Context) -> list[tuple[str, Any, Any]]:
        """Series and ranges to make."""
        if series := given(self.series):
            return [(series, given(self.start), given(self.end))]
        if is_passed(self.written):
            values = passed("written", self.written, is_summary, WRITTEN)
        else:
            values = usable(results(self, context), is_summary, WRITTEN, "put it after such a task, or pass series=")
        return [(one["series"], one["start"], one["end"]) for origin, value in values for one in listed(value, origin)]
