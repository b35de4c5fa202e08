"""Checks of what authors write, before quota or time is spent; shared by operators and builders."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta, timezone
from typing import Any

from quant_framework import _core
from quant_framework._core import FetchRequest
from quant_framework.errors import InvalidError, QuantFrameworkError

RESUME = ("always", "never")
MOST_OVERLAP = 100_000

_START, _END = (datetime(2024, 1, day, tzinfo=timezone.utc) for day in (1, 2))


def check_series(timeframes: Iterable[str], data_types: Iterable[str]) -> list[str]:
    """What is wrong with timeframes and data types, a line each."""
    errors: list[str] = []
    pairs = [("timeframes", "ohlcv", timeframe) for timeframe in timeframes]
    for argument, data_type, timeframe in pairs + [("data_types", kind, "1h") for kind in data_types]:
        try:
            FetchRequest(f"source/{data_type}/symbol/{timeframe}", _START, _END)
        except QuantFrameworkError as error:
            errors.append(f"{argument}: {error}")
    return errors


def check_options(*, concurrency: Any, max_wait: Any, resume: Any) -> None:
    """Check options of a run.

    Raises:
        InvalidError: one cannot be; names the argument.

    """
    if isinstance(concurrency, bool) or not isinstance(concurrency, int) or concurrency < 1:
        raise InvalidError(f"concurrency must be a whole number of at least 1, not {concurrency!r}")
    if max_wait is not None:
        check_seconds("max_wait", max_wait, " or None,")
    if resume not in RESUME:
        raise InvalidError(f"resume must be one of {', '.join(RESUME)}, not {resume!r}")


def check_seconds(argument: str, value: Any, beside: str = "", least: float = 0) -> None:
    """Check seconds.

    Raises:
        InvalidError: it is no number of at least ``least``; names the argument.

    """
    if isinstance(value, bool) or not isinstance(value, int | float) or not value >= least:
        raise InvalidError(f"{argument} must be seconds of at least {least},{beside} not {value!r}")


def check_lookback(lookback: Any, start: Any = None) -> None:
    """Check a ``lookback``, and that there is not a ``start`` too.

    Raises:
        InvalidError: it is no length of time, or both are given.

    """
    if start is not None and lookback is not None:
        raise InvalidError("at most one of start and lookback may be given")
    if lookback is not None and (not isinstance(lookback, timedelta) or lookback <= timedelta(0)):
        raise InvalidError(f"lookback must be a timedelta above 0, not {lookback!r}")


def check_overlap(overlap: Any) -> None:
    """Check an ``overlap``.

    Raises:
        InvalidError: it is no number of bars.

    """
    if isinstance(overlap, bool) or not isinstance(overlap, int) or not 0 <= overlap <= MOST_OVERLAP:
        raise InvalidError(f"overlap must be a whole number of bars from 0 to {MOST_OVERLAP}, not {overlap!r}")


def check_one(given: Mapping[str, Any]) -> None:
    """Check arguments of which exactly one is given.

    Raises:
        InvalidError: none or several are.

    """
    if sum(value is not None for value in given.values()) != 1:
        *others, last = given
        raise InvalidError(f"exactly one of {', '.join(others)} and {last} must be given")


def check_attempts(attempts: Any) -> None:
    """Check ``attempts``.

    Raises:
        InvalidError: it is no number of requests.

    """
    if isinstance(attempts, bool) or not isinstance(attempts, int) or attempts < 1:
        raise InvalidError(f"attempts must be a whole number of at least 1, not {attempts!r}")


def listed(argument: str, values: Any) -> list[str]:
    """``values`` as a list: one text or several, none for ``None``.

    Args:
        argument: what they are, for the error.
        values: a text, or anything that can be gone through.

    Raises:
        InvalidError: it holds something else than texts.

    """
    if values is None:
        return []
    if isinstance(values, str):
        return [values]
    held = list(values) if isinstance(values, Iterable) else [values]
    for value in held:
        if not isinstance(value, str):
            raise InvalidError(f"{argument} must be a list of texts, not of {value!r}")
    return held


def check_part(argument: str, part: Any, *methods: str) -> None:
    """Check that ``part`` has ``methods``.

    Raises:
        InvalidError: it lacks one of them.

    """
    for method in methods:
        if not callable(getattr(part, method, None)):
            raise InvalidError(f"{argument} of type {type(part).__name__} has no method {method}")


def check_fraction(argument: str, value: Any) -> None:
    """Check a fraction.

    Raises:
        InvalidError: it is not of at least 0 and below 1; names the argument.

    """
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < 1:
        raise InvalidError(f"{argument} must be a fraction of at least 0 and below 1, not {value!r}")


def check_wanted(thresholds: Any, checks: Any) -> None:
    """Check thresholds and checks of a validation.

    Raises:
        InvalidError: one of them cannot be; names the argument.

    """
    if thresholds is not None and not isinstance(thresholds, dict):
        raise InvalidError(f"thresholds must be a dict of numbers, not {thresholds!r}")
    for name, value in (thresholds or {}).items():
        if isinstance(value, bool) or not isinstance(value, int | float) or not isinstance(name, str):
            raise InvalidError(f"threshold {name} must be a number, not {value!r}")
    if checks is not None and not (isinstance(checks, list | tuple) and all(isinstance(one, str) for one in checks)):
        raise InvalidError(f"checks must be a list of names, not {checks!r}")
    _core.check_wanted(thresholds, None if checks is None else list(checks))
