"""What the tasks directly upstream returned, and what of it a task can use."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from quant_framework.errors import InvalidError
from quant_framework.orchestration.operators.base import UNSET
from quant_framework.orchestration.staged import KIND

VALIDATED = "quant_framework.validated"
"""The kind of what a validation returns: ``looked_at`` holds what it got, for the task after it."""

Value = tuple[str, Any]
"""Where a value came from, and the value."""


def results(operator: Any, context: dict[str, Any], explicit: Any, argument: str) -> list[Value]:
    """What was passed as ``argument``, else what each task instance directly upstream returned."""
    if explicit is not None and not (isinstance(explicit, str) and explicit in UNSET):
        return [(argument, item) for value in flat(explicit) for item in unfolded(value)]
    found: list[Value] = []
    for task_id in sorted(operator.upstream_task_ids):
        pulled = flat(context["ti"].xcom_pull(task_ids=task_id))
        found += [(f"the XCom of task {task_id}", item) for value in pulled for item in unfolded(value)]
    return [(origin, value) for origin, value in found if value is not None]


def flat(value: Any) -> list[Any]:
    """The items of a list (or of what a mapped task returned), else the one value."""
    is_several = isinstance(value, Iterable) and not isinstance(value, str | bytes | dict)
    return list(value) if is_several else [value]


def unfolded(value: Any) -> list[Any]:
    """What a validation looked at; anything else as it is."""
    is_validation = isinstance(value, dict) and value.get("kind") == VALIDATED
    return flat(value.get("looked_at")) if is_validation else [value]


def usable(values: list[Value], is_usable: Callable[[Any], bool], shape: str, hint: str) -> list[Value]:
    """The values that a task can use. Others may come from tasks that are upstream for their order only; where there
    is nothing else, ``InvalidError`` says what each of them is.
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


def is_summary(value: Any) -> bool:
    """Whether ``value`` is what a backfill or a write returns: series with the ranges that lie in the lake."""
    listed = value.get("series") if isinstance(value, dict) else None
    names = {"series", "start", "end"}
    return isinstance(listed, list) and all(isinstance(one, dict) and names <= set(one) for one in listed)


def described(value: Any) -> str:
    """The shape of a value, in a few words."""
    return f"a dict of {sorted(map(str, value))[:8]}" if isinstance(value, dict) else f"a {type(value).__name__}"
