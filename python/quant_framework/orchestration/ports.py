"""The protocols between workflows and everything they use.

Any object with these methods, plain or ``async``, can stand in for a native part. Times are aware datetimes,
ranges half-open ``[start, end)``, series are keys such as ``coinalyze/ohlcv/BTCUSDT_PERP.A/1m``.

What an author's method raises becomes one of ``quant_framework.errors``: those stay what they are, ``OSError`` (and so
``ConnectionError`` and ``TimeoutError``) becomes ``UnavailableError``, which is tried again, ``ValueError`` and
``TypeError`` become ``InvalidError``, anything else ``InternalError``.
"""

from __future__ import annotations

from collections.abc import Awaitable, Iterable, Mapping
from datetime import datetime
from typing import TYPE_CHECKING, Any, Protocol, TypeAlias, TypeVar, runtime_checkable

from quant_framework.arguments import Keys, Range, Ranges, Rows
from quant_framework.results import Progress

if TYPE_CHECKING:
    from quant_framework._core import Batch, FetchRequest
    from quant_framework.ingestion.fetched import Fetched

__all__ = [
    "Answer",
    "ICheckpoint",
    "ICheckpointStore",
    "IChunkStrategy",
    "IDagBuilder",
    "IDataAdapter",
    "IDataWriter",
    "IOperator",
    "IProgressReporter",
    "IRateLimiter",
    "IWorkflow",
    "IWorkflowContext",
]

T = TypeVar("T")

Answer: TypeAlias = T | Awaitable[T]
"""What a method answers: the value of a plain one, which runs on a worker thread, or of an ``async`` one, which runs on
the run's event loop."""


@runtime_checkable
class IDataAdapter(Protocol):
    """A source.

    Used where it has them: ``capability(data_type, timeframe)`` (an ``AdapterCapability``), ``resolve(symbol)`` for
    names that are not its own, with ``is_exact(symbol)`` for those that are, ``quota_scope`` (what its source limits),
    ``rate_limit`` (arguments of ``AdaptiveRateLimiter``), ``limited_as`` (the name of its preset of limits where that
    is not ``source``), ``resolve_weight`` (what a look-up costs now), ``fingerprint`` (what determines the rows beside
    their series), ``lookup`` (what determines the meaning of a name), and of a source of files
    ``file_delay(timeframe)``: so many seconds after its end a bar's file is there, or there is none; chunks are then
    months or years.
    """

    @property
    def source(self) -> str:
        """Name of the source, the first part of its series' keys; an attribute will do."""
        ...

    def fetch(self, request: FetchRequest, /) -> Answer[Rows | Fetched]:
        """The rows of ``request``, or ``Fetched`` where there is more to say; ``[]`` where the source has none.

        ``None`` is refused: a ``return`` that was forgotten must not settle the range as empty.

        Asks once, without waiting for quota and without retries: both are the workflow's.

        Raises:
            RateLimitedError: the source refused, with ``until=`` where it says when to come back.
            UnavailableError: it did not answer as it should; the request is sent again.
            InvalidError: there is no such series.

        """
        ...


@runtime_checkable
class IDataWriter(Protocol):
    """A place for rows.

    Used where it has them: ``prepare()``, and together ``held(series)`` (the ranges of the chunks that lie there) and
    ``remove(series, range)`` (of a chunk that a killed run left, once its rows are durable under other names).
    """

    def write(self, series: str, range: Range, batch: Batch, /) -> Answer[Mapping[str, Any] | None]:
        """Write durably and answer ``uri, rows, bytes`` or ``None``; twice is once.

        ``range`` is the chunk's; ``batch`` speaks the Arrow PyCapsule interface, with ``ts`` in milliseconds UTC.
        """
        ...


class ICheckpoint(Protocol):
    """What a store knows of one series. ``cursor`` and ``fingerprint`` (texts) are used where it has them."""

    @property
    def data(self) -> Iterable[Range]:
        """Ranges with rows."""
        ...

    @property
    def empty(self) -> Iterable[Range]:
        """Ranges for which the source had nothing."""
        ...

    @property
    def generation(self) -> int:
        """Raised by a reset, from 0."""
        ...


@runtime_checkable
class ICheckpointStore(Protocol):
    """What is remembered per series; commits merge.

    What methods other than ``load``, ``list`` and ``reset`` answer does not matter.
    """

    def load(self, series: str, /) -> Answer[ICheckpoint | None]:
        """What is known of ``series``, or ``None``."""
        ...

    def commit(
        self,
        series: str,
        /,
        data: Ranges | None = None,
        empty: Ranges | None = None,
        *,
        generation: int = 0,
        cursor: str | None = None,
        fingerprint: str | None = None,
    ) -> Answer[object]:
        """Merge ranges in; durable on return. A ``generation`` below the stored one changes nothing."""
        ...

    def list(self, prefix: str, /) -> Answer[Keys]:
        """Keys that start with ``prefix``."""
        ...

    def delete(self, series: str, /) -> Answer[object]:
        """Forget ``series``; no error where it is absent."""
        ...

    def reset(self, series: str, /) -> Answer[int]:
        """Start an empty generation and answer its number."""
        ...


@runtime_checkable
class IChunkStrategy(Protocol):
    """How a range is cut; plain, never ``async``. ``observe(answer)`` is used where it has one.

    ``answer`` is a dict of ``timeframe, bars, rows, seconds, truncated``.
    """

    def generate_chunks(self, start: datetime, end: datetime, timeframe: str, /) -> Iterable[Range]:
        """The chunks of ``[start, end)`` in order; the first is fetched next, and the rest is asked for again."""
        ...


@runtime_checkable
class IRateLimiter(Protocol):
    """The source's quota.

    ``report(event, until)`` is used where it has one: ``"success"``, or ``"throttled"`` with the aware time after which
    to ask again or ``None``.
    """

    def acquire(self, weight: int = 1, /) -> Answer[float | None]:
        """Wait for a permit; the seconds waited."""
        ...


@runtime_checkable
class IProgressReporter(Protocol):
    """Where progress goes. One report at a time; that one fails is logged once and does not end the run."""

    def report(self, progress: Progress, /) -> Answer[None]:
        """Take the counters of the run so far."""
        ...


@runtime_checkable
class IWorkflowContext(Protocol):
    """What a workflow sees of its surroundings; these two methods are enough."""

    def get_state(self, key: str, task_id: str | None = None) -> Any:
        """A value, or ``None``."""
        ...

    def set_state(self, key: str, value: Any) -> None:
        """Remember a value."""
        ...


@runtime_checkable
class IWorkflow(Protocol):
    """A piece of work."""

    async def execute(self, context: IWorkflowContext) -> Mapping[str, Any]:
        """Run and answer a dict with at least ``status``; see ``quant_framework.results``."""
        ...


@runtime_checkable
class IOperator(Protocol):
    """An Airflow operator."""

    def execute(self, context: Any) -> Any:
        """Run the task."""
        ...


@runtime_checkable
class IDagBuilder(Protocol):
    """Builds a DAG."""

    def validate(self) -> tuple[bool, list[str]]:
        """Whether the configuration is right, and everything that is not."""
        ...

    def build(self) -> Any:
        """The DAG."""
        ...
