"""What the tasks directly upstream returned, and what of it a task can use."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from quant_framework.errors import InvalidError
from quant_framework.orchestration.operators.base import UNSET
from quant_framework.orchestration.staged import KIND

VALIDATED = "quant_framework.validated"
"""The kind of what a validation returns: ``looked_at`` holds what it got, for the task after it."""

Value = tuple[str, Any]
"""Where a value came from, and the value."""


def passed(argument: str, value: Any, is_usable: Callable[[Any], bool], shape: str) -> list[Value]:
    """What was passed as ``argument``, all of which must be usable."""
    values = [item for one in flat(value) for item in unfolded(one)]
    for wrong in (item for item in values if not is_usable(item)):
        raise InvalidError(f"{argument} must be {shape}; it is {described(wrong)}")
    return [(argument, item) for item in values]


def is_passed(value: Any) -> bool:
    """Whether an argument says something; a template of nothing renders as ``"None"``."""
    return value is not None and not (isinstance(value, str) and value in UNSET)


def results(operator: Any, context: Mapping[str, Any]) -> list[Value]:
    """What each task instance directly upstream returned."""
    found: list[Value] = []
    for task_id in sorted(operator.upstream_task_ids):
        pulled = flat(context["ti"].xcom_pull(task_ids=task_id, **indexes(operator, task_id, context["ti"])))
        found += [(f"the XCom of task {task_id}", item) for value in pulled for item in unfolded(value)]
    return [(origin, value) for origin, value in found if value is not None]


def indexes(operator: Any, task_id: str, ti: Any) -> dict[str, int]:
    """In a mapped task group, a task takes what was returned in its own part of the group."""
    group = operator.get_closest_mapped_task_group()
    is_beside = group is not None and any(task.task_id == task_id for task in group.iter_tasks())
    return {"map_indexes": ti.map_index} if is_beside else {}


def flat(value: Any) -> list[Any]:
    """The items of a list (or of what a mapped task returned), else the one value."""
    is_several = isinstance(value, Iterable) and not isinstance(value, str | bytes | dict)
    return list(value) if is_several else [value]


def unfolded(value: Any) -> list[Any]:
    """What a validation looked at; anything else as it is."""
    is_validation = isinstance(value, dict) and value.get("kind") == VALIDATED
    return flat(value.get("looked_at")) if is_validation else [value]


def usable(values: list[Value], is_usable: Callable[[Any], bool], shape: str, hint: str) -> list[Value]:
    """The values that a task can use. Others may come from tasks that are upstream for their order only.

    Raises:
        InvalidError: there is nothing else; says what each of them is.

    """
    if not values:
        raise InvalidError("there is nothing to take: no task directly upstream returned anything", hint)
    found = [(origin, value) for origin, value in values if is_usable(value)]
    if not found:
        shown = "; ".join(f"{origin} is {described(value)}" for origin, value in values[:5])
        raise InvalidError(f"nothing upstream is {shape}: {shown}", hint)
    return found


def is_staged(value: Any) -> bool:
    """Whether ``value`` says that it is a reference to staged rows."""
    return isinstance(value, dict) and value.get("kind") == KIND


def described(value: Any) -> str:
    """The shape of a value, in a few words."""
    return f"a dict of {sorted(map(str, value))[:8]}" if isinstance(value, dict) else f"a {type(value).__name__}"


def listed(summary: dict[str, Any], origin: str) -> list[dict[str, Any]]:
    """The series of a summary, which must be all of them."""
    count = summary.get("series_count", 0)
    if count > len(summary["series"]):
        named = f"{origin} names {len(summary['series'])} of its {count} series"
        raise InvalidError(named, "map the task over fewer series each")
    series: list[dict[str, Any]] = summary["series"]
    return series
