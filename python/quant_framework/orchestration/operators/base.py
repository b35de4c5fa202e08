"""What every operator shares: places, errors, parking, kill and timeout, assets, lineage."""

from __future__ import annotations

import asyncio
import signal
import threading
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime, timedelta, timezone
from types import FrameType
from typing import Any, cast

from quant_framework.airflow.assets import announce
from quant_framework.airflow.compat import (
    AirflowException,
    AirflowFailException,
    AirflowRescheduleException,
    BaseOperator,
    BaseOperatorLink,
    Context,
)
from quant_framework.airflow.connections import open_bronze, open_checkpoints, refuse_secrets
from quant_framework.airflow.lineage import facets
from quant_framework.airflow.links import LakeLink
from quant_framework.errors import InvalidError, RateLimitedError, failure_line
from quant_framework.orchestration.ports import ICheckpointStore, IDataWriter
from quant_framework.orchestration.staged import iso_moment
from quant_framework.orchestration.tasks.running import blocking, cancel_blocking
from quant_framework.orchestration.workflows import AirflowWorkflowContext, BaseWorkflow

DEFERRED = (signal.SIGTERM, signal.SIGALRM)
"""Kill and execution_timeout."""

LEAST_PARKED = timedelta(seconds=15)

MOST_SERIES = 200
"""So many series are listed in an XCom."""

TERMINATED = "terminated; a retry does it again"

UNSET = (None, "", "None")
"""A template of a parameter without a value renders as ``"None"``."""


def parked(until: datetime) -> AirflowRescheduleException:
    """What puts a task off: not for less than a scheduler may need to see it leave, who else takes it for lost."""
    return AirflowRescheduleException(  # type: ignore[no-untyped-call]  # Airflow's constructor has no types
        max(until, datetime.now(timezone.utc) + LEAST_PARKED)
    )


def given(value: Any) -> Any:
    """``value``, or ``None`` where an argument or its template says nothing."""
    return None if value in UNSET else value


def is_template(value: Any) -> bool:
    """Whether ``value`` is a text that is known only when the task runs."""
    return isinstance(value, str) and ("{{" in value or "{%" in value)


def comes_later(value: Any) -> bool:
    """Whether ``value`` is what another task will return, or a part of what a task or group is mapped over."""
    return callable(getattr(value, "resolve", None))


def addresses(writer: Any, series: Sequence[str]) -> list[str]:
    """Where ``writer`` keeps the rows of ``series``, where it can tell."""
    address = getattr(writer, "address", None)
    return [address(one) for one in series] if address else []


class BaseDataOperator(BaseOperator):
    """Does a piece of work inside a task.

    Args:
        lake: URL of the bronze lake; by default ``QUANT_FRAMEWORK_LAKE`` or a folder in Airflow's home.
        checkpoint: URL of the checkpoints; by default ``QUANT_FRAMEWORK_CHECKPOINT`` or a folder in Airflow's home.
        minio_conn_id: connection of the S3 server that holds the checkpoints (``checkpoint`` or its extra names the
            bucket), and the lake where that is ``s3://``.
        postgres_conn_id: connection of the database that holds the checkpoints; with ``minio_conn_id`` a hybrid.

    Raises:
        InvalidError: an argument holds a password, which Airflow would show.

    A subclass overrides ``build_workflow(context)``, or ``work(context)`` where there is no workflow; an author's own
    lake or checkpoints come from ``build_writer(context)`` and ``build_checkpoint_store(context)``.

    The task obeys ``execution_timeout`` and kills: a workflow finishes its writes, commits, and then fails in a way
    that Airflow retries; the retry resumes. Work without a workflow is broken off, and done again by the retry. A wait
    for quota that is too long parks the task and frees its slot. What can never work fails without a retry.

    """

    template_fields: Collection[str] = ("lake", "checkpoint", "minio_conn_id", "postgres_conn_id")
    ui_color = "#e8f4ea"

    # Where this is false, Airflow's scheduler looks for no date of a reschedule once the state is unset, as after
    # clearing, unless the task is mapped (ReadyToRescheduleDep).
    reschedule = True

    operator_extra_links: Collection[BaseOperatorLink] = (LakeLink(),)

    _workflow: BaseWorkflow | None = None
    _killed = False
    _places: dict[str, list[str]] | None = None
    _result: dict[str, Any] | None = None

    def __init__(
        self,
        *,
        lake: str | None = None,
        checkpoint: str | None = None,
        minio_conn_id: str | None = None,
        postgres_conn_id: str | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        refuse_secrets(lake=lake, checkpoint=checkpoint)
        self.lake = lake
        self.checkpoint = checkpoint
        self.minio_conn_id = minio_conn_id
        self.postgres_conn_id = postgres_conn_id

    @classmethod
    def partial(cls, **kwargs: Any) -> Any:
        """As of every operator; a mapped task is made when it runs, but its arguments are kept before."""
        refuse_secrets(**kwargs)
        return super().partial(**kwargs)

    def build_writer(self, context: Context) -> IDataWriter:
        """The lake; override to bring your own."""
        return open_bronze(given(self.lake), given(self.minio_conn_id))

    def build_checkpoint_store(self, context: Context) -> ICheckpointStore:
        """What is remembered; override to bring your own."""
        return open_checkpoints(given(self.checkpoint), given(self.minio_conn_id), given(self.postgres_conn_id))

    def build_workflow(self, context: Context) -> BaseWorkflow:
        """The workflow to run; called in ``execute``, so connections and environment may be read here."""
        raise NotImplementedError(f"{type(self).__name__} overrides neither build_workflow nor work")

    def execute(self, context: Context) -> Any:
        """Do the work and return a small summary."""
        try:
            result = self.work(context)
        except RateLimitedError as error:
            if error.until is None:
                raise
            raise parked(error.until) from error
        except InvalidError as error:
            raise AirflowFailException(str(error)) from error
        except asyncio.CancelledError as error:
            if not self._killed:
                raise
            raise AirflowException(TERMINATED) from error
        if self._killed:
            raise AirflowException(TERMINATED)
        announce(self, context, result)
        return result

    def work(self, context: Context) -> Any:
        """Run the workflow; the summary of its result."""
        self._workflow = self.build_workflow(context)
        self.check_workflow(self._workflow)
        if self._killed:
            raise AirflowException("terminated before it started")
        ti = context["ti"]  # pyright: ignore[reportTypedDictNotRequiredAccess]  # a task that runs has one
        workflow_context = AirflowWorkflowContext(ti=ti, params=context.get("params"))
        with self._deferred_signals() as raised:
            result = cast("dict[str, Any]", blocking(self._workflow.execute(workflow_context)))
        self._result = result
        self.report(result, context)
        if raised:
            raise raised[0]
        return self.conclude(result, context)

    def check_workflow(self, workflow: BaseWorkflow) -> None:
        """Refuse a workflow whose result cannot be told, before it runs; by default none.

        Args:
            workflow: what ``build_workflow`` has answered.

        Raises:
            InvalidError: it is such a one.

        """

    def report(self, result: dict[str, Any], context: Context) -> None:
        """Tell others how the run ended, before ``execute`` answers or raises; by default nobody."""

    def conclude(self, result: dict[str, Any], context: Context) -> Mapping[str, Any]:
        """The summary of a result, or the exception that says what Airflow should do."""
        status, errors = result["status"], result.get("errors", [])
        if self._killed or status == "cancelled":
            done = result.get("chunks_done", 0)
            raise AirflowException(f"terminated after {done} chunks; a retry resumes from the checkpoint")
        if status == "parked":
            raise parked(iso_moment(result["until"]))
        if status != "success":
            lines = "; ".join(failure_line(error) for error in errors[:5])
            hopeless = bool(errors) and all(error["kind"] == "invalid" for error in errors)
            raise (AirflowFailException if hopeless else AirflowException)(f"{status}: {lines}")
        return self.summarize(result)

    def summarize(self, result: dict[str, Any]) -> Mapping[str, Any]:
        """What goes to XCom: a hundred bytes or two per series, never rows."""
        summary = {key: value for key, value in result.items() if key not in ("errors", "series")}
        series = result.get("series", [])
        names = ("series", "start", "end", "rows", "coverage")
        summary["series"] = [
            {name: one[name] for name in names}
            | {"gaps": len(one["gaps"]), "missing_bars": sum(gap["bars"] for gap in one["gaps"])}
            for one in series[:MOST_SERIES]
        ]
        summary["series_count"] = len(series)
        return summary

    def get_openlineage_facets_on_start(self) -> Any:
        """Nothing is known before the run."""
        return facets([], [], None)

    def get_openlineage_facets_on_complete(self, task_instance: Any) -> Any:
        """What was read and written, from plain values: OpenLineage asks in a forked process."""
        places = self._places or {}
        return facets(places.get("inputs", []), places.get("outputs", []), self._result)

    def on_kill(self) -> None:
        """Ask the run to finish its writes and stop; other work is broken off. Runs inside a signal handler."""
        self._killed = True
        if self._workflow is None:
            cancel_blocking()
        else:
            getattr(self._workflow, "cancel", lambda: None)()

    @contextmanager
    def _deferred_signals(self) -> Iterator[list[BaseException]]:
        """Airflow's own handlers run at once; what they raise is kept until the run has drained.

        Raised inside an event loop, it could land in any callback and be lost.
        """
        raised: list[BaseException] = []
        if threading.current_thread() is not threading.main_thread():
            yield raised
            return
        handlers = {number: signal.getsignal(number) for number in DEFERRED}

        def handle(number: int, frame: FrameType | None) -> None:
            try:
                cast("Callable[[int, FrameType | None], Any]", handlers[signal.Signals(number)])(number, frame)
            except BaseException as error:
                raised.append(error)
            finally:
                if number == signal.SIGALRM:
                    getattr(self._workflow, "cancel", lambda: None)()

        for number, handler in handlers.items():
            if callable(handler):
                signal.signal(number, handle)
        try:
            yield raised
        finally:
            for number, handler in handlers.items():
                if callable(handler):
                    signal.signal(number, handler)
