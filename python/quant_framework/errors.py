"""One exception per error kind, under one base; each also derives from the builtin that fits.

They are raised from Rust, survive pickling, and show as one line. ``hint`` says what to do next.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from quant_framework.results import ErrorKind


class QuantFrameworkError(Exception):
    """Base of every exception of this package.

    Args:
        message: what went wrong, one line.
        hint: what to do next.
        until_ms: when to call again, milliseconds since 1970 UTC; of ``RateLimitedError`` alone.

    """

    kind: ErrorKind = "internal"

    def __init__(self, message: str, hint: str | None = None, until_ms: int | None = None) -> None:
        super().__init__(message, hint, until_ms)
        self.message = message
        self.hint = hint
        self.until_ms = until_ms

    def __str__(self) -> str:
        return f"{self.message} (hint: {self.hint})" if self.hint else self.message


class UnavailableError(QuantFrameworkError, ConnectionError):
    """A server or a disk did not answer as it should; the same call may work later."""

    kind: ErrorKind = "unavailable"

    def __str__(self) -> str:
        # OSError would turn its arguments into an errno and a file name.
        return QuantFrameworkError.__str__(self)


class RateLimitedError(QuantFrameworkError):
    """The source's quota is used up; call again at ``until`` (aware).

    An adapter of an author's own raises it with ``until=`` where the source says when to come back.

    Args:
        message: what went wrong, one line.
        hint: what to do next.
        until_ms: when to call again, milliseconds since 1970 UTC.
        until: the same as an aware datetime, instead.

    Raises:
        InvalidError: ``until`` is naive.

    """

    kind: ErrorKind = "rate_limited"

    def __init__(
        self,
        message: str,
        hint: str | None = None,
        until_ms: int | None = None,
        *,
        until: datetime | None = None,
    ) -> None:
        if until is not None:
            if until.utcoffset() is None:
                raise InvalidError(f"until must be an aware datetime, not the naive {until}")
            until_ms = math.ceil(until.timestamp() * 1000)
        super().__init__(message, hint, until_ms)

    @property
    def until(self) -> datetime | None:
        """When to call again, aware, UTC."""
        if self.until_ms is None:
            return None
        return datetime.fromtimestamp(self.until_ms / 1000, timezone.utc)


class ConflictError(QuantFrameworkError, RuntimeError):
    """Somebody else changed what this call wanted to change."""

    kind: ErrorKind = "conflict"


class InvalidError(QuantFrameworkError, ValueError):
    """The call itself is wrong (arguments, credentials, configuration); do not retry."""

    kind: ErrorKind = "invalid"


class DataError(QuantFrameworkError, ValueError):
    """What was fetched or stored is wrong; a human should look."""

    kind: ErrorKind = "data"


class RunCancelledError(QuantFrameworkError):
    """The caller asked to stop; what was done is kept."""

    kind: ErrorKind = "cancelled"


class InternalError(QuantFrameworkError, RuntimeError):
    """A bug in this package."""

    kind: ErrorKind = "internal"


def failure_line(failure: Mapping[str, Any]) -> str:
    """An entry of a result's ``errors`` in one line, with its series, where it has one, once.

    Args:
        failure: a ``quant_framework.results.Failure``.

    """
    series, message = failure.get("series") or "", str(failure["message"])
    return message if message.startswith(series) else f"{series}: {message}"


BY_KIND: dict[str, type[QuantFrameworkError]] = {
    "unavailable": UnavailableError,
    "rate_limited": RateLimitedError,
    "conflict": ConflictError,
    "invalid": InvalidError,
    "data": DataError,
    "cancelled": RunCancelledError,
    "internal": InternalError,
}
"""The exception of each kind; an author's own subclass of one has the kind of it."""
