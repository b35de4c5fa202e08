"""Write staged rows into the lake and commit them, through the same pipeline as what is fetched."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Protocol, cast
from urllib.parse import unquote

from quant_framework._core import BronzeWriter, Checkpoint, FetchRequest, LakeAdapter
from quant_framework.errors import InvalidError, QuantFrameworkError
from quant_framework.orchestration.ports import ICheckpointStore, IDataWriter, IWorkflowContext
from quant_framework.orchestration.staged import Staged, iso_moment
from quant_framework.orchestration.workflows.backfill_workflow import BackfillWorkflow
from quant_framework.orchestration.workflows.base import BaseWorkflow
from quant_framework.orchestration.workflows.options import WriteOptions
from quant_framework.results import BackfillResult, WriteResult

if TYPE_CHECKING:
    from collections.abc import Awaitable

    from typing_extensions import Unpack

WORST = ("success", "partial", "failed", "parked", "cancelled")


class IStageCheckpoints(Protocol):
    """What a stage remembers."""

    def load(self, series: str, /) -> Awaitable[Checkpoint | None]:
        """What was fetched of ``series``."""
        ...


class IStage(Protocol):
    """A place for rows on their way into the lake."""

    @property
    def rows(self) -> BronzeWriter:
        """The rows, a lake."""
        ...

    @property
    def checkpoints(self) -> IStageCheckpoints:
        """What was fetched into it."""
        ...


class WriteWorkflow(BaseWorkflow):
    """Per staged reference: what the lake does not have yet is read, checked, written and committed.

    Args:
        staged: references as fetch tasks return them.
        writer: the lake.
        checkpoint_store: what the lake has.
        open_stage: opens a reference's place: an object with ``rows`` (a lake) and ``checkpoints`` (a store).
        options: more arguments of ``BackfillWorkflow``, such as ``owner`` and ``progress``.

    """

    def __init__(
        self,
        staged: Sequence[Staged],
        writer: IDataWriter,
        checkpoint_store: ICheckpointStore,
        open_stage: Callable[[str], IStage],
        **options: Unpack[WriteOptions],
    ) -> None:
        self.staged: Sequence[Staged] = staged
        self.writer: IDataWriter = writer
        self.checkpoint_store: ICheckpointStore = checkpoint_store
        self.open_stage: Callable[[str], IStage] = open_stage
        self.options: WriteOptions = options
        self._running: BackfillWorkflow | None = None
        self._cancelled = False

    async def execute(self, context: IWorkflowContext | None = None) -> WriteResult:
        """Write each reference; counters of the result are summed, the worst status stays."""
        try:
            return cast("WriteResult", await super().execute(context))
        finally:
            self._cancelled = False

    def cancel(self) -> None:
        """Let the run finish its writes, commit and return ``cancelled``. A signal handler may call this."""
        self._cancelled = True
        if self._running is not None:
            self._running.cancel()

    async def _execute_impl(self, context: IWorkflowContext) -> Mapping[str, Any]:
        total: dict[str, Any] = {"status": "success", "records_written": 0, "errors": [], "series": []}
        for reference in self.staged:
            try:
                series = reference.series
                if series is None or not reference.ranges:
                    continue
                adapter = await self._adapter(series, reference.stage)
                for start, end in reference.moments():
                    asked = FetchRequest(series, start, end)
                    add(total, await self._run(adapter, asked, context))
            except QuantFrameworkError as error:
                failure = {"series": reference.series, "kind": error.kind, "message": str(error)}
                add(total, {"status": "failed", "errors": [failure]})
        if total["status"] == "failed" and total["series"]:
            total["status"] = "partial"
        if total["status"] != "parked":
            total.pop("until", None)
        return total

    async def _adapter(self, series: str, url: str) -> LakeAdapter:
        """What reads the rows of ``series`` that are staged at ``url``."""
        stage = self.open_stage(url)
        held = await stage.checkpoints.load(series)
        if held is None:
            hint = "staged rows are kept for some days; clear the fetch task too"
            raise InvalidError(f"nothing is staged any more at {url}", hint)
        return LakeAdapter(stage.rows, unquote(series.partition("/")[0]), held)

    async def _run(self, adapter: LakeAdapter, asked: FetchRequest, context: IWorkflowContext) -> BackfillResult:
        self._running = BackfillWorkflow(
            adapter,
            self.writer,
            self.checkpoint_store,
            symbols=[asked.symbol],
            timeframes=[asked.timeframe],
            data_types=[asked.data_type],
            start=asked.start,
            end=asked.end,
            lag=0,
            **self.options,
        )
        if self._cancelled:
            self._running.cancel()
        return await self._running.execute(context)


def add(total: dict[str, Any], result: Mapping[str, Any]) -> None:
    """Add one run to the result of all: counters are summed, the worst status and the last ``until`` stay."""
    for name, value in result.items():
        if isinstance(value, int | float):
            total[name] = total.get(name, 0) + value
        elif isinstance(value, list):
            total[name] = total.get(name, []) + value
    total["status"] = max(total["status"], result["status"], key=WORST.index)
    untils = [one["until"] for one in (total, result) if "until" in one]
    if untils:
        total["until"] = max(untils, key=iso_moment)
