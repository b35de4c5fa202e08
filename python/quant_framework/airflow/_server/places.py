"""Where the tasks of a DAG keep their checkpoints and share their quotas, and which series they work on.

Read off the arguments of its tasks and off what they returned, by the rules of the operators. What only a run knows
(templates, what a subclass builds) cannot be seen from here.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple
from urllib.parse import urlsplit

from quant_framework import settings
from quant_framework.airflow._server.dags import Dag, Task, is_key, keys_of
from quant_framework.airflow.config import option
from quant_framework.airflow.connections import adapter_options, database, open_checkpoints, quota_connection
from quant_framework.errors import QuantFrameworkError
from quant_framework.ingestion.rate_limit import PRESETS
from quant_framework.orchestration.operators.base import given, is_template
from quant_framework.orchestration.operators.upstream import is_staged

__all__ = ["Place", "Quota", "Remembered", "checkpoints", "quotas"]

OTHER_PLACES = ("staging", "silver", "reports")
"""Who has one of these arguments keeps its checkpoints in the stage, or none."""
VALIDATION = {"staged", "series"}


def harmless(url: str) -> str:
    """``url`` without login, password and options."""
    scheme, netloc, path = urlsplit(url)[:3]
    return f"{scheme}://{netloc.rpartition('@')[2]}{path}" if scheme else path


class Place(NamedTuple):
    """Where checkpoints are kept, as a task's arguments say it."""

    checkpoint: str | None = None
    minio_conn_id: str | None = None
    postgres_conn_id: str | None = None

    @classmethod
    def of(cls, arguments: Mapping[str, Any]) -> Place:
        """Of a task."""
        return cls(*(given(arguments.get(name)) for name in cls._fields))

    @property
    def is_template(self) -> bool:
        """Whether only a run knows it."""
        return any(map(is_template, self))

    @property
    def is_said(self) -> bool:
        """Whether its URL alone says where it is."""
        return bool(self.checkpoint) and not any(self[1:])

    def __str__(self) -> str:
        """As people know it: the arguments of the task."""
        said = [f"connection {conn_id}" for conn_id in self[1:] if conn_id]
        place = self.checkpoint and (self.checkpoint if self.is_template else harmless(self.checkpoint))
        return ", ".join([*([place] if place else []), *said]) or "the default of the API server"

    def open(self) -> Any:
        """The store, by the rules of the operators. Looks connections up, so it may take a while."""
        return open_checkpoints(*self)


def shown(store: Any) -> str:
    """Where a store lies, without secrets."""
    found = re.search(r'\("(.*)"\)', repr(store))
    return found.group(1) if found else type(store).__name__


@dataclass
class Remembered:
    """What is kept at one place."""

    tasks: list[str] = field(default_factory=list)
    keys: set[str] = field(default_factory=set)


def checkpoints(dag: Dag) -> dict[Place, Remembered]:
    """The places of a DAG's checkpoints, and the series there: those of its last runs, and those it names exactly."""
    found: dict[Place, Remembered] = {}
    homes: dict[str, Place] = {}
    for task in dag.tasks:
        for arguments in task.instances if remembers(task) else ():
            place = Place.of(arguments)
            homes.setdefault(task.task_id, place)
            held = found.setdefault(place, Remembered())
            held.keys.update(named(task, arguments))
            if task.task_id not in held.tasks:
                held.tasks.append(task.task_id)
    ours = {task.task_id for task in dag.tasks}
    for run in dag.runs:
        for task_id, result in run.results:
            keys = [] if is_staged(result) or (task_id in ours and task_id not in homes) else keys_of(result)
            if keys:
                held = found.setdefault(homes.get(task_id, Place()), Remembered())
                held.keys.update(keys)
                if task_id not in held.tasks:
                    held.tasks.append(task_id)
    return found


def remembers(task: Task) -> bool:
    """Whether a task reads or writes the checkpoints of series in the lake."""
    if task.fields.intersection(OTHER_PLACES):
        return False
    first = task.instances[0] if task.instances else {}
    return not task.fields >= VALIDATION or bool(given(first.get("checkpoint")) or given(first.get("postgres_conn_id")))


def named(task: Task, arguments: Mapping[str, Any]) -> Iterator[str]:
    """The keys of series that a task's arguments name, where its source needs to look nothing up for them."""
    series = arguments.get("series")
    yield from (key for key in ([series] if isinstance(series, str) else texts(series)) if is_key(key))
    symbols, timeframes = (texts(arguments.get(name)) for name in ("symbols", "timeframes"))
    adapter = looks(task, arguments) if symbols and timeframes else None
    if adapter is None:
        return
    for symbol in symbols:
        for data_type in texts(arguments.get("data_types")) or ["ohlcv"]:
            for timeframe in timeframes:
                if adapter.is_exact(symbol):
                    yield f"{adapter.source}/{data_type}/{symbol}/{timeframe}"


def texts(values: Any) -> list[str]:
    """The texts of an argument that are known already."""
    values = [values] if isinstance(values, str) else values
    listed = values if isinstance(values, list | tuple) else []
    return [value for value in listed if isinstance(value, str) and not is_template(value)]


def looks(task: Task, arguments: Mapping[str, Any]) -> Any:
    """An adapter that only tells names, of a source whose names are known without asking it; else ``None``.

    It needs no key. Of a task that is not mapped, Airflow keeps no ``adapter_options``, which may choose the market.
    """
    source = source_of(arguments)
    options = dict(arguments.get("adapter_options") or {})
    if source == settings.DEFAULT_SOURCE:
        options["api_key"] = "unused"
    elif not task.is_mapped or source not in ("binance", "binance_usdm", "binance_archive"):
        return None
    try:
        return settings.open_adapter(source, **options)
    except QuantFrameworkError:
        return None


def source_of(arguments: Mapping[str, Any]) -> str | None:
    """The name of a task's source; ``None`` where only a run, or a connection that is not here, says it."""
    source, conn_id = given(arguments.get("source")), given(arguments.get("market_data_conn_id"))
    if is_template(source) or is_template(conn_id):
        return None
    try:
        return source or (adapter_options(conn_id)[0] if conn_id else settings.DEFAULT_SOURCE)
    except QuantFrameworkError:
        return None


@dataclass(frozen=True)
class Quota:
    """A quota that tasks share.

    Args:
        source: whose; ``None`` where only a run knows it.
        place: its URL; ``None`` where a connection says it, or only a run.
        conn_id: the connection of the database that it is shared in.
        is_template: whether only a run knows the place.

    """

    source: str | None
    place: str | None
    conn_id: str | None
    is_template: bool

    def __str__(self) -> str:
        """Where it is shared."""
        if self.conn_id:
            return f"connection {self.conn_id}"
        return str(self.place) if self.is_template else harmless(str(self.place))

    def address(self) -> tuple[str, str | None]:
        """URL and password. Looks a connection up, so it may take a while."""
        return database(self.conn_id) if self.conn_id else (str(self.place), None)

    @property
    def windows(self) -> str:
        """What the source documents, for people."""
        windows = PRESETS.get(self.source or "", {}).get("windows", ())
        each = [
            f"{weight:,} in {seconds:g} s{' of the clock' if alignment else ' (any)'}"
            for weight, seconds, *alignment in windows
        ]
        return "; ".join(each)


def quotas(dag: Dag) -> dict[Quota, list[str]]:
    """The quotas that a DAG's tasks share, each with the tasks."""
    found: dict[Quota, list[str]] = {}
    for task in dag.tasks:
        if not task.fields >= {"rate_limit", "rate_limit_conn_id"}:
            continue
        names = ("rate_limit", "rate_limit_conn_id", "postgres_conn_id")
        for said in {
            (source_of(arguments), *(given(arguments.get(name)) for name in names)) for arguments in task.instances
        }:
            tasks = found.setdefault(quota(*said), [])
            if task.task_id not in tasks:
                tasks.append(task.task_id)
    return found


def quota(source: str | None, rate_limit: str | None, own: str | None, postgres: str | None) -> Quota:
    """What the arguments of a task mean, by the rules of the operators."""
    conn_id = quota_connection(rate_limit, own, postgres)
    place = None if conn_id else rate_limit or option("rate_limit") or settings.rate_limit_url()
    return Quota(source, place, conn_id, is_template(conn_id) or is_template(place))
