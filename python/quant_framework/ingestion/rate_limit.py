"""The source's quota: exact hard windows and a pacer at an adaptive rate; in one process, or shared by many."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any, cast

from quant_framework import _core
from quant_framework.arguments import PlaceOptions, RateLimitOptions, SharedOptions, Window
from quant_framework.errors import InvalidError
from quant_framework.ingestion.s3 import first
from quant_framework.results import QuotaState

if TYPE_CHECKING:
    from typing_extensions import Self, Unpack

__all__ = [
    "PRESETS",
    "AdaptiveRateLimiter",
    "CoinalyzeRateLimiter",
    "SharedRateLimiter",
    "documented",
    "preset",
    "quota_states",
]

COINALYZE_WINDOW = (40, 60.0)
"""Calls (each symbol is one) in any so many seconds, per API key."""

PRESETS: dict[str, RateLimitOptions] = {
    # https://api.coinalyze.net/v1/doc/: 40 calls a minute and key, each symbol of a request counts.
    "coinalyze": {"windows": (COINALYZE_WINDOW,), "base_rate": 10, "max_rate": 50, "min_rate": 1},
    # https://developers.binance.com: request weight by address, counted in minutes of the clock.
    "binance": {"windows": ((6000, 60.0, "fixed"),), "base_rate": 20, "max_rate": 50, "min_rate": 1},
    "binance_usdm": {"windows": ((2400, 60.0, "fixed"),), "base_rate": 20, "max_rate": 40, "min_rate": 1},
    # https://github.com/binance/binance-public-data: files, no limit; freqtrade uses 100 connections.
    "binance_archive": {"base_rate": None},
    # https://bybit-exchange.github.io/docs/v5/rate-limit: 600 requests in 5 s and address; over it 10 minutes of 403.
    "bybit": {"windows": ((600, 5.0),), "base_rate": 20, "max_rate": 100, "min_rate": 1},
    # https://www.okx.com/docs-v5: history candles, 20 requests in 2 s and address.
    "okx": {"windows": ((20, 2.0),), "base_rate": 8, "max_rate": 10, "min_rate": 1},
}
"""What sources document: arguments of ``AdaptiveRateLimiter``."""

PRESETS["binanceusdm"] = PRESETS["binance_usdm"]  # as ccxt calls it


class AdaptiveRateLimiter(_core.RateLimiter):
    """Requests a second between ``min_rate`` and ``max_rate``, inside hard ``windows``.

    No window is ever exceeded, in any span of its length, whatever the rate. Both follow what the source answers: a
    refusal stops everybody until its end, then one request goes first; the rate is divided and rises again while
    somebody waits for it; a window that was refused is thought smaller until it proves larger; headers are obeyed.

    Args:
        base_rate: at the start, requests a second; ``None``: no pace, only windows.
        max_rate: never faster.
        min_rate: never slower.
        backoff_factor: a refusal divides the rate, and what a window is thought to allow, by this, once per burst.
        windows: ``(weight, seconds)`` for any span of that length, ``(weight, seconds, "fixed")`` for a counter that
            starts anew at multiples of its length of the UTC clock.
        burst: so many requests at once after a pause, as a source with a token bucket allows.
        share: the part of every window that this limiter may use; the rest is for others.
        slack: seconds by which the source may count a request earlier or later than it was sent; by default a
            twentieth of the window, between 0.05 and 0.25.
        assume_full: count every window as full at the start: nothing is known of what was sent before.
        place: where the windows are shared: ``postgresql://user@host/name`` for many machines, ``file:///folder`` for
            the processes of one, which outlives them. By default they are this object's own.
        scope: with ``place``: what the source limits, such as ``coinalyze:<key hash>`` (an adapter's ``quota_scope``).
        password: of the database, where ``place`` has none; by default ``PGPASSWORD``.

    Raises:
        InvalidError: rates out of order, a window without weight or length, a place that is none; at the first use:
            no such database, wrong password.
        ConflictError: at the first use: other workers share the scope with other windows.

    """

    def __new__(
        cls,
        base_rate: float | None = 10,
        max_rate: float | None = 50,
        min_rate: float | None = 1,
        backoff_factor: float = 2,
        windows: Sequence[Window] = (),
        burst: int = 1,
        *,
        share: float = 1.0,
        slack: float | None = None,
        assume_full: bool = False,
        place: str | None = None,
        scope: str | None = None,
        password: str | None = None,
    ) -> Self:
        """Build the native limiter; see the class."""
        return super().__new__(
            cls,
            list(windows),
            base_rate=base_rate,
            max_rate=None if base_rate is None else max_rate,
            min_rate=None if base_rate is None else min_rate,
            backoff_factor=backoff_factor,
            burst=burst,
            share=share,
            slack=slack,
            assume_full=assume_full,
            place=place,
            scope=scope,
            password=password or (first("PGPASSWORD") if place else None),
        )


class CoinalyzeRateLimiter(AdaptiveRateLimiter):
    """Coinalyze's documented limit of 40 calls in any 60 s and API key, paced.

    Args:
        base_rate: see ``AdaptiveRateLimiter``, as for all arguments.
        max_rate: never faster, requests a second.
        min_rate: never slower.
        backoff_factor: what a refusal divides by.
        windows: by default Coinalyze's.
        burst: so many requests at once after a pause.
        options: other arguments of ``AdaptiveRateLimiter``.

    Raises:
        InvalidError: rates out of order, or a window without weight or length.

    """

    def __new__(
        cls,
        base_rate: float = 10,
        max_rate: float = 50,
        min_rate: float = 1,
        backoff_factor: float = 2,
        windows: Sequence[Window] = (COINALYZE_WINDOW,),
        burst: int = 1,
        **options: Unpack[PlaceOptions],
    ) -> Self:
        """Build the native limiter; see the class."""
        return super().__new__(cls, base_rate, max_rate, min_rate, backoff_factor, windows, burst, **options)


class SharedRateLimiter(AdaptiveRateLimiter):
    """Windows that all workers of a ``scope`` share, on many machines, by the database's clock.

    What a worker's waiting requests need is leased to it for half a second at most; who must wait is told when to come
    back, and goes first then. A refusal stops every worker. While the database is away, a worker goes on with its own
    share (the window divided by the number of workers), once all that others were permitted is past, for two minutes;
    then its requests fail. ``close()`` at the end gives the share back at once (a run does so by itself).

    Args:
        dsn: ``postgresql://user@host/name`` or libpq's ``key=value`` form; ``file:///folder`` for one machine.
        scope: what the source limits, such as ``coinalyze:<key hash>`` or ``binance:<egress address>``.
        windows: the same for every worker; see ``AdaptiveRateLimiter``.
        base_rate: paces this worker, requests a second; by default only the windows limit it.
        max_rate: see ``AdaptiveRateLimiter``.
        min_rate: see ``AdaptiveRateLimiter``.
        options: other arguments of ``AdaptiveRateLimiter``.

    Raises:
        InvalidError: a place that is none, no scope, or rates out of order; at the first use: no such database, wrong
            password.
        ConflictError: at the first use: other workers share the scope with other windows.

    """

    def __new__(
        cls,
        dsn: str,
        scope: str,
        windows: Sequence[Window],
        base_rate: float | None = None,
        max_rate: float | None = None,
        min_rate: float | None = None,
        **options: Unpack[SharedOptions],
    ) -> Self:
        """Build the native limiter; see the class."""
        if base_rate is None and (max_rate is not None or min_rate is not None):
            raise InvalidError("max_rate and min_rate need a base_rate")
        place = dsn if dsn.startswith(("postgresql://", "postgres://", "file://", "/")) else f"dsn:{dsn}"
        return super().__new__(cls, base_rate, max_rate, min_rate, windows=windows, place=place, scope=scope, **options)


def documented(adapter: Any) -> RateLimitOptions:
    """What a source documents: in the adapter's own ``rate_limit``, else in ``PRESETS``.

    Args:
        adapter: of the source.

    Returns:
        Arguments of ``AdaptiveRateLimiter``; empty where neither says.

    """
    name = getattr(adapter, "limited_as", getattr(adapter, "source", ""))
    own: RateLimitOptions | None = getattr(adapter, "rate_limit", None)
    return own or PRESETS.get(name) or {}


def preset(source: str, **options: Unpack[RateLimitOptions]) -> AdaptiveRateLimiter:
    """The documented limit of ``source``; without a preset there are no windows, only a pace.

    Args:
        source: its name, as in ``PRESETS``.
        options: arguments of ``AdaptiveRateLimiter`` that go before the preset's.

    Raises:
        InvalidError: arguments that ``AdaptiveRateLimiter`` does not take.

    """
    limits: RateLimitOptions = {**PRESETS.get(source, {}), **options}
    return AdaptiveRateLimiter(**limits)


async def quota_states(place: str, source: str, password: str | None = None) -> list[QuotaState]:
    """How the quotas of a source stand where workers share them. Nothing is written, and no permit is taken.

    Args:
        place: ``postgresql://user@host/name``, libpq's ``key=value`` form as ``dsn:...``, ``file:///folder``.
        source: name of the source; scopes of that name, and those that begin so before a colon.
        password: of the database; by default ``PGPASSWORD``.

    Returns:
        One per scope; none where nobody has shared one there.

    Raises:
        InvalidError: no such place.
        UnavailableError: the place does not answer.

    """
    told = await _core.quota_states(place, source, password=password or first("PGPASSWORD"))
    states: list[QuotaState] = []
    for state in told:
        until = state["blocked_until"]
        moment = None if until is None else datetime.fromtimestamp(until / 1000, timezone.utc)
        states.append(cast("QuotaState", {**state, "blocked_until": moment}))
    return states
