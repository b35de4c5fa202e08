"""Workflows and awaitables run to their end, for plain functions; times from what authors write."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from datetime import datetime
from typing import Any, TypeVar

from quant_framework.arguments import Moment
from quant_framework.errors import InvalidError, QuantFrameworkError
from quant_framework.orchestration.ports import IWorkflow
from quant_framework.orchestration.staged import moment as iso_moment
from quant_framework.orchestration.workflows.base import NoContext

T = TypeVar("T")


def run(workflow: IWorkflow) -> Any:
    """The result of a workflow that succeeded.

    Raises:
        QuantFrameworkError: it did not; of the kind of its first error.

    """
    result = asyncio.run(workflow.execute(NoContext()))
    if result["status"] == "success":
        return result
    problems = result.get("errors") or [{"kind": "cancelled", "message": result["status"]}]
    kinds = {kind.kind: kind for kind in QuantFrameworkError.__subclasses__()}
    raise kinds.get(problems[0]["kind"], QuantFrameworkError)("; ".join(map(one_line, problems)))


def one_line(error: Mapping[str, Any]) -> str:
    """An entry of a result's ``errors``, with its series where it has one."""
    return f"{error['series']}: {error['message']}" if error.get("series") else str(error["message"])


def wait_for(ask: Callable[..., Awaitable[T]], *arguments: Any, **options: Any) -> T:
    """What the core answers; called where the event loop runs, as it wants."""

    async def answer() -> T:
        return await ask(*arguments, **options)

    return asyncio.run(answer())


def aware(value: Moment, name: str) -> datetime:
    """An aware datetime from one, or from ISO 8601 text with a time zone; a bare date is midnight UTC.

    Raises:
        InvalidError: neither; ``name`` is the argument's.

    """
    try:
        moment = value if isinstance(value, datetime) else iso_moment(value)
    except (AttributeError, TypeError, ValueError):
        raise InvalidError(f"{name}: {value!r} is not an ISO 8601 time") from None
    if moment.tzinfo is None:
        raise InvalidError(f"{name}: {value} has no time zone", "add Z or +00:00")
    return moment


def text(value: Any, name: str) -> str:
    """``value``, which must be a text.

    Raises:
        InvalidError: it is none; ``name`` is the argument's.

    """
    if not isinstance(value, str):
        raise InvalidError(f"{name} must be a text, not {str(value)[:80]!r}")
    return value
