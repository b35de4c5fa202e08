"""Calls a method from inside the event loop."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any


async def call(method: Callable[..., Any], arguments: tuple[Any, ...], named: dict[str, Any] | None) -> Any:
    """Answer ``method(*arguments, **named)``, awaited where it can be."""
    answer = method(*arguments, **(named or {}))
    return await answer if hasattr(answer, "__await__") else answer
