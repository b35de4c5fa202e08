"""The protocols between workflows and everything they use.

Any object with these methods, plain or ``async``, can stand in for a native part. Times are aware datetimes,
ranges half-open ``[start, end)``, series are keys such as ``coinalyze/ohlcv/BTCUSDT_PERP.A/1m``.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any, Protocol, runtime_checkable

__all__ = [
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


@runtime_checkable
class IDataAdapter(Protocol):
    """A source.

    Used where it has them: ``capability(data_type, timeframe)`` (a dict of ``rows_per_request``, ``weight`` or
    ``prices`` as ``[(rows up to, weight), ...]``, ``retention_bars``), ``resolve(symbol)`` for names that are not its
    own, with ``is_exact(symbol)`` for those that are, ``quota_scope`` (what its source limits), ``rate_limit``
    (arguments of ``AdaptiveRateLimiter``), ``limited_as`` (the name of its preset of limits where that is not
    ``source``), ``resolve_weight`` (what a look-up costs), ``fingerprint`` (what determines the rows beside their
    series), ``lookup`` (what determines the meaning of a name), and of a source of files ``file_delay(timeframe)``: so
    many seconds after its end a bar's file is there, or there is none; chunks are then months or years.
    """

    source: str

    def fetch(self, request: Any) -> Any:
        """The rows of ``request`` (``series, data_type, symbol, timeframe, start, end``).

        As Arrow data, a DataFrame, a dict of columns, or a list of dicts or rows in schema order; or ``Fetched`` with
        these, where there is more to say.
        """


@runtime_checkable
class IDataWriter(Protocol):
    """A place for rows.

    Used where it has them: ``prepare()``, and together ``held(series)`` (the ranges of the chunks that lie there) and
    ``remove(series, range)`` (of a chunk that a killed run left, once its rows are durable under other names).
    """

    def write(self, series: str, range: tuple[datetime, datetime], batch: Any) -> Any:
        """Write durably and answer ``{"uri", "rows", "bytes"}`` or ``None``; twice is once.

        ``batch`` speaks the Arrow PyCapsule interface.
        """


@runtime_checkable
class ICheckpointStore(Protocol):
    """What is remembered per series; commits merge."""

    def load(self, series: str) -> Any:
        """An object with ``data``, ``empty`` (lists of ranges) and ``generation``, or ``None``."""

    def commit(self, series: str, data: Any = None, empty: Any = None, **facts: Any) -> Any:
        """Merge ranges in; durable on return."""

    def list(self, prefix: str) -> Any:
        """Keys that start with ``prefix``."""

    def delete(self, series: str) -> Any:
        """Forget ``series``."""

    def reset(self, series: str) -> Any:
        """Start an empty generation and answer its number."""


@runtime_checkable
class IChunkStrategy(Protocol):
    """How a range is cut. ``observe(answer)`` is used where it has one.

    ``answer`` is a dict of ``timeframe, bars, rows, seconds, truncated``.
    """

    def generate_chunks(self, start: datetime, end: datetime, timeframe: str) -> Iterable[tuple[datetime, datetime]]:
        """The chunks of ``[start, end)`` in order."""


@runtime_checkable
class IRateLimiter(Protocol):
    """The source's quota.

    ``report(event, until)`` is used where it has one: ``"success"``, or ``"throttled"`` with the aware time after which
    to ask again or ``None``.
    """

    def acquire(self, weight: int = 1) -> Any:
        """Wait for a permit; the seconds waited."""


@runtime_checkable
class IProgressReporter(Protocol):
    """Where progress goes, on the event loop's thread."""

    def report(self, progress: Mapping[str, Any]) -> None:
        """Counters of the run so far: ``chunks_planned, chunks_done, records_written, ...``."""


@runtime_checkable
class IWorkflowContext(Protocol):
    """What a workflow sees of its surroundings; these two methods are enough."""

    def get_state(self, key: str, task_id: str | None = None) -> Any:
        """A value, or ``None``."""

    def set_state(self, key: str, value: Any) -> None:
        """Remember a value."""


@runtime_checkable
class IWorkflow(Protocol):
    """A piece of work."""

    async def execute(self, context: IWorkflowContext) -> dict[str, Any]:
        """Run and answer a dict with at least ``status``."""


@runtime_checkable
class IOperator(Protocol):
    """An Airflow operator."""

    def execute(self, context: Any) -> Any:
        """Run the task."""


@runtime_checkable
class IDagBuilder(Protocol):
    """Builds a DAG."""

    def validate(self) -> tuple[bool, list[str]]:
        """Whether the configuration is right, and everything that is not."""

    def build(self) -> Any:
        """The DAG."""
