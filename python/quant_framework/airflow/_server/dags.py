"""What Airflow's database knows of a DAG: its tasks, its last runs, and what they returned.

A handful of queries by index, each with a limit: a page must not be a burden to the database that schedules.
"""

from __future__ import annotations

import itertools
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from airflow.models.dagrun import DagRun
from airflow.models.serialized_dag import SerializedDagModel
from airflow.models.taskinstance import TaskInstance
from airflow.models.xcom import XComModel
from airflow.utils.session import create_session
from sqlalchemy import Text, cast, func, select

__all__ = ["Dag", "Run", "Task", "read"]

MOST_RUNS = 20
MOST_RESULTS = 2000
MOST_FAILED = 50
MOST_CHARACTERS = 100_000
"""A longer result is none of ours."""
MOST_INSTANCES = 2000

OURS = frozenset({"lake", "checkpoint", "minio_conn_id", "postgres_conn_id"})
"""Template fields of every operator of this package, subclasses of authors' own included."""

KEY = re.compile(r"[^/\s]+(/[^/\s]+){3}")


@dataclass(frozen=True)
class Task:
    """A task of ours.

    Args:
        task_id: its id.
        fields: the names of its arguments that may be templates.
        instances: its arguments, once for each mapped instance as far as they are known before a run.
        is_mapped: then all arguments are known, else those in ``fields`` alone.

    """

    task_id: str
    fields: frozenset[str]
    instances: tuple[dict[str, Any], ...]
    is_mapped: bool


@dataclass
class Run:
    """A run, and what came of it."""

    run_id: str
    state: str
    began: datetime | None
    ended: datetime | None
    tasks: dict[str, int] = field(default_factory=dict)
    """How many task instances are in which state."""
    failed: list[str] = field(default_factory=list)
    results: list[tuple[str, dict[str, Any]]] = field(default_factory=list)
    """What tasks returned that is about series, with the task's id."""


@dataclass(frozen=True)
class Dag:
    """A DAG.

    Args:
        dag_id: its id.
        tasks: those of ours.
        runs: the last ones, newest first.
        is_periodic: whether it runs again and again by a schedule.
        is_cut: whether there are more results than were read.

    """

    dag_id: str
    tasks: tuple[Task, ...]
    runs: tuple[Run, ...]
    is_periodic: bool
    is_cut: bool


def read(dag_id: str) -> Dag | None:
    """The DAG; ``None`` where Airflow knows none of that id."""
    with create_session(scoped=False) as session:
        serialized = SerializedDagModel.get(dag_id, session=session)
        if serialized is None:
            return None
        known = serialized.dag
        tasks = tuple(described(task) for task in known.tasks if set(task.template_fields) >= OURS)
        numbers, runs = last_runs(session, dag_id)
        if runs:
            count_tasks(session, dag_id, runs)
        count = add_results(session, numbers) if runs else 0
        is_periodic = bool(getattr(known.timetable, "periodic", True))
        return Dag(dag_id, tasks, tuple(runs.values()), is_periodic, count >= MOST_RESULTS)


def described(task: Any) -> Task:
    """A task as its serialised form says it."""
    partial = getattr(task, "partial_kwargs", None)
    fields = frozenset(task.template_fields)
    if partial is None:
        return Task(task.task_id, fields, ({name: getattr(task, name, None) for name in fields},), False)
    value = getattr(getattr(task, "expand_input", None), "value", None)
    instances = itertools.islice(expanded(value), MOST_INSTANCES)
    return Task(task.task_id, fields, tuple({**partial, **one} for one in instances), True)


def expanded(value: Any) -> Iterator[dict[str, Any]]:
    """The arguments of each instance; what only another task will say is left out."""
    if isinstance(value, dict):
        lists = {name: held for name, held in value.items() if isinstance(held, list | tuple)}
        for held in itertools.product(*lists.values()):
            yield dict(zip(lists, held, strict=True))
    elif isinstance(value, list | tuple):
        yield from (one for one in value if isinstance(one, dict))
    else:
        yield {}


def last_runs(session: Any, dag_id: str) -> tuple[dict[int, Run], dict[str, Run]]:
    """The last runs by their number and by their id, newest first."""
    columns = (DagRun.id, DagRun.run_id, DagRun.state, DagRun.start_date, DagRun.end_date)
    wanted = select(*columns).where(DagRun.dag_id == dag_id)
    rows = session.execute(wanted.order_by(DagRun.run_after.desc(), DagRun.id.desc()).limit(MOST_RUNS)).all()
    numbers = {row[0]: Run(row[1], str(row[2]), row[3], row[4]) for row in rows}
    return numbers, {run.run_id: run for run in numbers.values()}


def count_tasks(session: Any, dag_id: str, runs: dict[str, Run]) -> None:
    """How many task instances of each run are in which state, and which failed."""
    of_runs = (TaskInstance.dag_id == dag_id, TaskInstance.run_id.in_(list(runs)))
    counted = select(TaskInstance.run_id, TaskInstance.state, func.count()).where(*of_runs)
    for run_id, state, count in session.execute(counted.group_by(TaskInstance.run_id, TaskInstance.state)):
        runs[run_id].tasks[str(state or "no state")] = count
    order = (TaskInstance.run_id, TaskInstance.task_id, TaskInstance.map_index)
    # Typed as a property by Airflow, and a column to SQLAlchemy.
    name: Any = TaskInstance.rendered_map_index
    named = select(order[0], order[1], order[2], name)
    failed = named.where(*of_runs, TaskInstance.state == "failed").order_by(*order).limit(MOST_FAILED)
    for run_id, task_id, index, rendered in session.execute(failed):
        runs[run_id].failed.append(task_id if index < 0 else f"{task_id} [{rendered or index}]")


def add_results(session: Any, numbers: dict[int, Run]) -> int:
    """Give each run what its tasks returned about series; how many results there are."""
    text = cast(XComModel.value, Text)
    wanted = select(XComModel.dag_run_id, XComModel.task_id, XComModel.value).where(
        XComModel.dag_run_id.in_(list(numbers)),
        XComModel.key == "return_value",
        func.length(text) <= MOST_CHARACTERS,
        text.like("%series%"),
    )
    newest = XComModel.dag_run_id.desc()
    rows = session.execute(wanted.order_by(newest, XComModel.task_id, XComModel.map_index).limit(MOST_RESULTS)).all()
    for number, task_id, value in rows:
        result = parsed(value)
        if isinstance(result, dict):
            numbers[number].results.append((task_id, result))
    return len(rows)


def parsed(value: Any) -> Any:
    """What a task returned: as it is, or as JSON, which depends on who wrote it."""
    if not isinstance(value, str):
        return value
    try:
        return json.loads(value)
    except ValueError:
        return None


def keys_of(result: dict[str, Any]) -> list[str]:
    """The keys of the series that a result is about."""
    said = result.get("series")
    names = said if isinstance(said, list) else [said]
    return [key for key in [*names, *(one.get("series") for one in series_of(result))] if is_key(key)]


def series_of(result: dict[str, Any]) -> list[dict[str, Any]]:
    """What a result says of each series."""
    listed = result.get("series")
    return [one for one in listed if isinstance(one, dict)] if isinstance(listed, list) else []


def is_key(value: Any) -> bool:
    """Whether ``value`` is the key of a series, ``source/data_type/symbol/timeframe``."""
    return isinstance(value, str) and len(value) <= 300 and KEY.fullmatch(value) is not None
