"""The source's quota: hard sliding windows and a pacer at an adaptive rate, for one process."""

from __future__ import annotations

from collections.abc import Sequence

from quant_framework import _core

__all__ = ["AdaptiveRateLimiter", "CoinalyzeRateLimiter"]

COINALYZE_WINDOW = (40, 60.0)
"""Calls (each symbol is one) in any so many seconds, per API key."""


class AdaptiveRateLimiter(_core.WindowRateLimiter):
    """Requests a second between ``min_rate`` and ``max_rate``, inside hard ``windows``.

    Args:
        base_rate: at the start, requests a second.
        max_rate: never faster.
        min_rate: never slower.
        backoff_factor: a refusal by the source divides the rate by this, once per burst.
        windows: ``(weight, seconds)`` pairs; none is ever exceeded in any span of its length.
        burst: so many requests at once after a pause, as a source with a token bucket allows.

    """

    def __new__(
        cls,
        base_rate: float = 10,
        max_rate: float = 50,
        min_rate: float = 1,
        backoff_factor: float = 2,
        windows: Sequence[tuple[int, float]] = (),
        burst: int = 1,
    ) -> AdaptiveRateLimiter:
        """Build the native limiter; see the class."""
        return super().__new__(
            cls,
            list(windows),
            base_rate=base_rate,
            max_rate=max_rate,
            min_rate=min_rate,
            backoff_factor=backoff_factor,
            burst=burst,
        )


class CoinalyzeRateLimiter(AdaptiveRateLimiter):
    """Coinalyze's documented limit of 40 calls in any 60 s, paced; see ``AdaptiveRateLimiter``."""

    def __new__(
        cls,
        base_rate: float = 10,
        max_rate: float = 50,
        min_rate: float = 1,
        backoff_factor: float = 2,
        windows: Sequence[tuple[int, float]] = (COINALYZE_WINDOW,),
        burst: int = 1,
    ) -> CoinalyzeRateLimiter:
        """Build the native limiter; see the class."""
        return super().__new__(cls, base_rate, max_rate, min_rate, backoff_factor, windows, burst)
