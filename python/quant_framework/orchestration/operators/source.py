"""What the operators share that ask a source: its adapter, its quota, the range of a run."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from datetime import datetime, timezone
from typing import Any

from quant_framework import settings
from quant_framework.airflow.compat import Context
from quant_framework.airflow.connections import open_adapter, open_limiter, quota_connection, refuse_secrets
from quant_framework.airflow.progress import INTERVAL, TaskProgress
from quant_framework.arguments import Resume
from quant_framework.errors import InvalidError
from quant_framework.ingestion.chunking import AdaptiveChunkStrategy
from quant_framework.orchestration.checks import check_options, check_series
from quant_framework.orchestration.operators.base import BaseDataOperator, given, is_template
from quant_framework.orchestration.ports import IChunkStrategy, IDataAdapter, IRateLimiter


class Held:
    """An adapter among a mapped task's arguments: copies share it, and its text is the same from parse to parse.

    Args:
        adapter: an author's object.

    """

    def __init__(self, adapter: IDataAdapter) -> None:
        self.adapter = adapter

    def __repr__(self) -> str:
        return f"<adapter {type(self.adapter).__name__}>"

    def __deepcopy__(self, memo: dict[int, Any]) -> Held:
        return self


class SourceOperator(BaseDataOperator):
    """Asks a source.

    Args:
        adapter: the source, an object with ``source`` and ``fetch(request)``, or a source's name.
        source: name of the source, where ``adapter`` is not given; by default that of the connection, else Coinalyze.
        adapter_options: of the source's adapter; never a key.
        market_data_conn_id: connection that holds the source's API key, its server and more options.
        rate_limit: URL of the place where all workers share the source's quota (``postgresql://user@host/name``, or
            ``file:///folder`` for one machine); by default ``QUANT_FRAMEWORK_RATE_LIMIT`` or a folder in Airflow's
            home.
        rate_limit_conn_id: connection of the database where they share it; by default ``postgres_conn_id``.
        concurrency: requests in flight.
        max_wait: a longer wait for quota (seconds) parks the task; ``None`` waits in its slot.
        resume: ``always`` or ``never``.

    Raises:
        InvalidError: no such source, no adapter, ``adapter_options`` with a key, or an option that cannot be.

    A subclass overrides ``build_adapter(context)``, ``build_rate_limiter(context)``, ``build_chunk_strategy(context)``,
    or what ``BaseDataOperator`` names.

    """

    template_fields: Collection[str] = (
        *BaseDataOperator.template_fields,
        "source",
        "market_data_conn_id",
        "rate_limit",
        "rate_limit_conn_id",
    )
    _progress: TaskProgress | None = None
    _adapter: IDataAdapter | None = None

    def __init__(
        self,
        *,
        adapter: IDataAdapter | Held | str | None = None,
        source: str | None = None,
        adapter_options: dict[str, Any] | None = None,
        market_data_conn_id: str | None = None,
        rate_limit: str | None = None,
        rate_limit_conn_id: str | None = None,
        concurrency: int = 8,
        max_wait: float | None = 120.0,
        resume: Resume = "always",
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        adapter = adapter.adapter if isinstance(adapter, Held) else adapter
        refuse_secrets(rate_limit=rate_limit, adapter_options=adapter_options)
        if not isinstance(adapter, str | None):
            settings.check_adapter(adapter)
        if not isinstance(adapter_options, dict | None):
            raise InvalidError(f"adapter_options must be a dict, not {adapter_options!r}")
        check_options(concurrency=concurrency, max_wait=max_wait, resume=resume)
        self.adapter: IDataAdapter | None = None if isinstance(adapter, str) else adapter
        self.source: str | None = adapter if isinstance(adapter, str) else source
        if self.source is not None and not is_template(self.source):
            settings.check_source(self.source)
        self.adapter_options = adapter_options
        self.market_data_conn_id = market_data_conn_id
        self.rate_limit = rate_limit
        self.rate_limit_conn_id = rate_limit_conn_id
        self.concurrency = concurrency
        self.max_wait = max_wait
        self.resume = resume

    @classmethod
    def partial(cls, **kwargs: Any) -> Any:
        """As of every operator; an adapter object is held so that Airflow can store and copy the task."""
        adapter = kwargs.get("adapter")
        if adapter is not None and not isinstance(adapter, str):
            kwargs["adapter"] = Held(adapter)
        return super().partial(**kwargs)

    def __deepcopy__(self, memo: dict[int, Any]) -> SourceOperator:
        """A copy that shares the adapter, which holds connections and locks."""
        memo[id(self.adapter)] = self.adapter
        copied: SourceOperator = super().__deepcopy__(memo)
        return copied

    def build_adapter(self, context: Context) -> IDataAdapter:
        """The source; override to bring your own."""
        if self.adapter is not None:
            return self.adapter
        return open_adapter(given(self.source), self.adapter_options, given(self.market_data_conn_id))

    def build_rate_limiter(self, context: Context) -> IRateLimiter:
        """The source's quota; override to bring your own."""
        place = given(self.rate_limit)
        conn_id = quota_connection(place, given(self.rate_limit_conn_id), given(self.postgres_conn_id))
        return open_limiter(self._adapter or self.build_adapter(context), place, conn_id)

    def build_chunk_strategy(self, context: Context) -> IChunkStrategy:
        """How ranges are cut; override to bring your own."""
        return AdaptiveChunkStrategy()

    def parts(self, context: Context) -> dict[str, Any]:
        """What a workflow works with, beside the lake and the checkpoints."""
        self._progress = TaskProgress(context)
        self._adapter = self.build_adapter(context)
        return {
            "adapter": self._adapter,
            "chunk_strategy": self.build_chunk_strategy(context),
            "rate_limiter": self.build_rate_limiter(context),
            "concurrency": self.concurrency,
            "max_wait": self.max_wait,
            "resume": self.resume,
            "owner": owner(context),
            "progress": self._progress,
            "progress_interval": INTERVAL,
        }

    def report(self, result: dict[str, Any], context: Context) -> None:
        """Mirror how the run ended."""
        counters = {name: value for name, value in result.items() if isinstance(value, str | int | float)}
        (self._progress or TaskProgress(context)).mirror(counters)

    def check(self, timeframes: Any, data_types: Any = ("ohlcv",)) -> None:
        """``InvalidError`` where what is known at parse time is wrong, naming the argument."""
        errors = check_series(*(fixed(values) for values in (timeframes, data_types)))
        if errors:
            raise InvalidError("; ".join(errors))


def fixed(values: Any) -> list[str]:
    """The texts of a list that are known when the DAG is parsed."""
    values = [values] if isinstance(values, str) else values
    listed = values if isinstance(values, list | tuple) else []
    return [value for value in listed if isinstance(value, str) and not is_template(value)]


def run_range(context: Mapping[str, Any], start: Any, end: Any) -> tuple[Any, Any]:
    """What is asked for, else the run's data interval, else nothing for the start and now for the end.

    Runs that were triggered by hand or by an asset have no interval; those of a plain cron schedule have one without
    length, which says only where to end.
    """
    low, high = context.get("data_interval_start"), context.get("data_interval_end")
    has_length = low is not None and high is not None and low < high
    return given(start) or (low if has_length else None), given(end) or high or datetime.now(timezone.utc)


def whole_range(context: Mapping[str, Any], start: Any, end: Any) -> tuple[Any, Any]:
    """As ``run_range``; ``InvalidError`` where nothing says where to start."""
    start, end = run_range(context, start, end)
    if start is None:
        hint = (
            'pass start=, trigger a DAG of a builder with {"start": "2026-10-01"}, or let the run have a data interval '
            "(CronDataIntervalTimetable)"
        )
        raise InvalidError("start is missing", hint)
    return start, end


def owner(context: Mapping[str, Any]) -> str:
    """Who claims: the same for every try of one task instance."""
    ti = context["ti"]
    names = [str(getattr(ti, name, "")) for name in ("dag_id", "task_id", "run_id")]
    return f"{'.'.join(names[:2])} {names[2]} [{getattr(ti, 'map_index', -1)}]"
