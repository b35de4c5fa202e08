"""Workflows and awaitables run to their end, for plain functions; times from what authors write."""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import threading
from collections.abc import Awaitable, Callable, Coroutine, Mapping
from concurrent.futures import Future
from datetime import datetime
from typing import Any, Generic, TypeVar

from quant_framework.arguments import Moment
from quant_framework.errors import BY_KIND, InvalidError, QuantFrameworkError, RateLimitedError, failure_line
from quant_framework.orchestration.ports import IWorkflow
from quant_framework.orchestration.staged import iso_moment
from quant_framework.orchestration.workflows.base import NoContext

T = TypeVar("T")

LISTED = 100
"""So many gaps, ranges or bars go into a result of a task; XComs are small."""


class Job(Generic[T]):
    """A coroutine that a plain function waits for.

    Args:
        coroutine: which nobody has begun.

    """

    def __init__(self, coroutine: Coroutine[Any, Any, T]) -> None:
        self._coroutine = coroutine
        self._begun: Future[tuple[asyncio.AbstractEventLoop, asyncio.Task[Any] | None]] = Future()
        self._is_cancelled = False

    async def _work(self) -> T:
        self._begun.set_result((asyncio.get_running_loop(), asyncio.current_task()))
        if self._is_cancelled:
            self._coroutine.close()
            raise asyncio.CancelledError
        return await self._coroutine

    def wait(self) -> T:
        """Its answer; on a loop of this thread."""
        return asyncio.run(self._work())

    def wait_apart(self) -> T:
        """Its answer; on a loop of another thread, where one runs in this."""
        answer: Future[T] = Future()

        def answer_it() -> None:
            try:
                answer.set_result(self.wait())
            except BaseException as error:
                answer.set_exception(error)

        context = contextvars.copy_context()
        thread = threading.Thread(target=context.run, args=(answer_it,), name="quant_framework")
        try:
            thread.start()  # a signal may come in here too
            return answer.result()
        except BaseException:
            self.cancel()
            raise
        finally:
            if thread.is_alive():
                thread.join()

    def cancel(self) -> None:
        """Stop it. A signal handler may call this."""
        self._is_cancelled = True
        if not self._begun.done():
            return
        loop, task = self._begun.result()
        if task is not None:
            with contextlib.suppress(RuntimeError):  # it has ended meanwhile
                loop.call_soon_threadsafe(task.cancel)


_JOBS: set[Job[Any]] = set()


def blocking(coroutine: Coroutine[Any, Any, T]) -> T:
    """What ``coroutine`` answers or raises, for a plain function.

    Where an event loop runs already, as in a notebook, it gets a thread and a loop of its own. Whatever stops the
    waiting meanwhile, such as Ctrl-C, cancels it and is raised once it has ended.
    """
    job = Job(coroutine)
    _JOBS.add(job)
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return job.wait()
    else:
        return job.wait_apart()
    finally:
        _JOBS.discard(job)


def cancel_blocking() -> None:
    """Cancel whatever is ``blocking`` in this process. A signal handler may call this."""
    for job in tuple(_JOBS):
        job.cancel()


def run(workflow: IWorkflow) -> Any:
    """The result of a workflow that succeeded.

    Raises:
        QuantFrameworkError: it did not; of the kind of its first error.

    """
    result = blocking(_executed(workflow))
    if result["status"] == "success":
        return result
    if result["status"] == "parked":
        raise RateLimitedError("the quota is used up", until=iso_moment(result["until"]))
    problems = result.get("errors") or [{"kind": "cancelled", "message": result["status"]}]
    kind, message = BY_KIND.get(problems[0]["kind"], QuantFrameworkError), "; ".join(map(failure_line, problems))
    until = problems[0].get("until")
    if until is not None and kind is RateLimitedError:
        raise RateLimitedError(message, until=iso_moment(until))
    raise kind(message)


async def _executed(workflow: IWorkflow) -> Mapping[str, Any]:
    return await workflow.execute(NoContext())


def wait_for(ask: Callable[..., Awaitable[T]], *arguments: Any, **options: Any) -> T:
    """What the core answers; called where the event loop runs, as it wants."""

    async def answer() -> T:
        return await ask(*arguments, **options)

    return blocking(answer())


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


def moments(start: Moment | None, end: Moment | None) -> tuple[datetime | None, datetime | None]:
    """Both as aware datetimes, where they are given.

    Raises:
        InvalidError: one is neither a time nor ``None``.

    """
    return None if start is None else aware(start, "start"), None if end is None else aware(end, "end")


def text(value: Any, name: str) -> str:
    """``value``, which must be a text.

    Raises:
        InvalidError: it is none; ``name`` is the argument's.

    """
    if not isinstance(value, str):
        raise InvalidError(f"{name} must be a text, not {str(value)[:80]!r}")
    return value
