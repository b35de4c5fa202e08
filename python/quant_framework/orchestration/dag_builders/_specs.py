"""From a checked spec to Airflow's objects: what Rust cannot do, because it takes imports and constructors."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib import import_module
from typing import Any

from quant_framework.airflow.compat import DAG, Asset, TaskGroup
from quant_framework.errors import InvalidError, QuantFrameworkError

BUILDERS = {
    "backfill": "quant_framework.orchestration.dag_builders.BackfillDagBuilder",
    "incremental": "quant_framework.orchestration.dag_builders.IncrementalDagBuilder",
    "repair": "quant_framework.orchestration.dag_builders.RepairDagBuilder",
}

Section = tuple[dict[str, Any], list[tuple[str, str, Any]]]


class SpecError(Exception):
    """Why Airflow does not take a DAG, with the place of the DAG or the task."""


def dag_from_spec(spec: dict[str, Any]) -> DAG:
    """The DAG of a checked spec; ``SpecError`` where an import or a constructor fails."""
    with _at(spec["place"], f"DAG {spec['dag_id']}"):
        dag = _built(spec) if spec["type"] in BUILDERS else _of_tasks(spec)
        if any(how == "timetable" for _, how, _ in spec["dag"][1]):
            dag.timetable.validate()  # a cron text is checked already, and Airflow takes long to
        return dag


def _built(spec: dict[str, Any]) -> DAG:
    options = _made(spec["operator"])
    arguments = {"auto_register": False} | _made(spec["dag"]) | _made(spec["builder"])
    if spec["default_args"] is not None:
        arguments["default_args"] = _made(spec["default_args"])
    builder = _imported(BUILDERS[spec["type"]])(spec["dag_id"], operator_options=options, **arguments)
    try:
        dag: DAG = builder.build()
    except InvalidError as error:
        raise InvalidError(error.message.removeprefix(f"DAG {spec['dag_id']!r}: "), error.hint) from error
    return dag


def _of_tasks(spec: dict[str, Any]) -> DAG:
    arguments = _made(spec["dag"])
    if spec["default_args"] is not None:
        arguments["default_args"] = _made(spec["default_args"])
    dag = DAG(spec["dag_id"], **arguments)
    nodes: dict[str, Any] = {}
    for group in spec["groups"]:
        arguments = _made(group["arguments"])
        if group["default_args"] is not None:
            arguments["default_args"] = _made(group["default_args"])
        nodes[group["name"]] = TaskGroup(group["name"], dag=dag, **arguments)
    for task in spec["tasks"]:
        with _at(task["place"], f"task {task['task_id']} of DAG {spec['dag_id']}"):
            nodes[task["task_id"]] = _task(task, dag, nodes)
    for task in (*spec["groups"], *spec["tasks"]):
        if before := task["dependencies"]:
            nodes[task.get("task_id") or task["name"]].set_upstream([nodes[name] for name in before])
    return dag


def _task(task: dict[str, Any], dag: DAG, groups: dict[str, Any]) -> Any:
    arguments = _made(task["arguments"])
    if task["group"] is not None:
        arguments["task_group"] = groups[task["group"]]
    operator = _imported(task["operator"])
    if expand := _made(task["expand"]):
        return operator.partial(task_id=task["task_id"], dag=dag, **arguments).expand(**expand)
    return operator(task_id=task["task_id"], dag=dag, **arguments)


@contextmanager
def _at(place: str, what: str) -> Iterator[None]:
    """Errors inside get the place; those of a task keep their own."""
    try:
        yield
    except SpecError:
        raise
    except Exception as error:
        kind = "" if isinstance(error, QuantFrameworkError) else f"{type(error).__name__}: "
        text = " ".join(str(error).split())
        raise SpecError(f"{place}: {what}: {kind}{text}") from error


def _made(section: Section) -> dict[str, Any]:
    """Arguments, those included that are more than plain values."""
    arguments, references = section
    for name, how, what in references:
        arguments[name] = MAKE[how](what)
    return arguments


def _imported(path: str | list[str]) -> Any:
    """The object at an import path; a list of them for a list."""
    if isinstance(path, list):
        return [_imported(each) for each in path]
    name, _, attribute = path.rpartition(".")
    module = import_module(name)
    try:
        return getattr(module, attribute)
    except AttributeError:
        raise ImportError(f"there is no {attribute} in {name}") from None


def _timetable(call: tuple[str, dict[str, Any]]) -> Any:
    path, options = call
    return _imported(path)(**options)


MAKE: dict[str, Callable[[Any], Any]] = {
    "import": _imported,
    "import_map": lambda paths: {name: _imported(path) for name, path in paths.items()},
    "assets": lambda names: [Asset(name) for name in names],
    "timetable": _timetable,
}
"""How a reference becomes an object."""
