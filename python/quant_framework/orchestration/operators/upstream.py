"""What the tasks directly upstream returned."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from quant_framework.errors import InvalidError
from quant_framework.orchestration.operators.base import UNSET
from quant_framework.orchestration.staged import Staged


def results(operator: Any, context: dict[str, Any], explicit: Any, argument: str) -> list[tuple[str, Any]]:
    """Pairs of where a value came from and the value: what was passed, else one per upstream task instance."""
    if explicit is not None and not (isinstance(explicit, str) and explicit in UNSET):
        return [(argument, value) for value in flat(explicit)]
    found: list[tuple[str, Any]] = []
    for task_id in sorted(operator.upstream_task_ids):
        pulled = context["ti"].xcom_pull(task_ids=task_id)
        found += [(f"the XCom of task {task_id}", value) for value in flat(pulled) if value is not None]
    return found


def flat(value: Any) -> list[Any]:
    """The items of a list (or of what a mapped task returned), else the one value."""
    is_several = isinstance(value, Iterable) and not isinstance(value, str | bytes | dict)
    return list(value) if is_several else [value]


def staged_in(values: list[tuple[str, Any]], who: str) -> list[Staged]:
    """The references among what upstream tasks returned; ``InvalidError`` where there are none."""
    if not values:
        hint = "put it after a fetch operator, as in fetch >> write, or pass staged=fetch.output"
        raise InvalidError(f"{who} found nothing that was staged: no task directly upstream returned anything", hint)
    return [Staged.parse(value, origin) for origin, value in values]
