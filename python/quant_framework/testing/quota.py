"""How a limit shows in answers: the headers that tell what is left, and refusals."""

from __future__ import annotations

import json
import math
from email.utils import formatdate
from typing import NamedTuple

from quant_framework.testing.limits import Level, Verdict

LETTERS = (("D", 86400, "DAY"), ("H", 3600, "HOUR"), ("M", 60, "MINUTE"), ("S", 1, "SECOND"))
"""Binance's units, their seconds and their names."""


class Answer(NamedTuple):
    """What is sent; ``http`` is the status on the wire where it is not what the answer means."""

    status: int
    headers: dict[str, str]
    body: bytes
    http: int | None = None


def message(text: str) -> bytes:
    """A body that says why."""
    return json.dumps({"message": text}).encode()


def headers(verdict: Verdict) -> dict[str, str]:
    """The headers that tell what is left."""
    style, levels = verdict.limits.quota_headers, verdict.levels
    if style is None or not levels:
        return {}
    if style == "mbx":
        # Two windows of one length share a header: the fuller one's.
        ascending = sorted(levels, key=lambda level: level.used)
        return {f"X-MBX-USED-WEIGHT-{_unit(level)[0]}": str(level.used) for level in ascending}
    if style == "ietf":
        return _ietf(levels)
    level = _tightest(levels)
    if style == "bapi":
        names, reset = ("X-Bapi-Limit", "X-Bapi-Limit-Status", "X-Bapi-Limit-Reset-Timestamp"), _bapi_reset(verdict)
    else:
        prefix = "RateLimit" if style == "ratelimit-draft" else "X-RateLimit"
        names, reset = (f"{prefix}-Limit", f"{prefix}-Remaining", f"{prefix}-Reset"), _reset(style, verdict.at, level)
    return dict(zip(names, (str(level.window.weight), str(level.left), str(reset)), strict=True))


def refusal(verdict: Verdict) -> Answer:
    """The answer to a request that was refused."""
    sent = retry_after(verdict) | headers(verdict)
    if verdict.barred or verdict.limits.refusals == "status":
        return Answer(verdict.status, sent, _body(verdict))
    if verdict.limits.refusals == "retcode":
        body = {"retCode": 10006, "retMsg": "Too many visits!"}
    else:
        body = {"code": "50011", "msg": "Too Many Requests"}
    return Answer(verdict.status, sent, json.dumps(body).encode(), http=200)


def retry_after(verdict: Verdict) -> dict[str, str]:
    """When to come back, never too early."""
    form, wait = verdict.limits.retry_after, verdict.wait
    if form is False or math.isinf(wait):
        return {}
    if form == "float":
        return {"Retry-After": f"{math.ceil(wait * 1000) / 1000:.3f}"}
    if form == "date":
        return {"Retry-After": formatdate(math.ceil(verdict.at + wait), usegmt=True)}
    return {"Retry-After": str(math.ceil(wait))}


def _body(verdict: Verdict) -> bytes:
    if verdict.status == 403:
        return b'{"retMsg":"access too frequent"}'
    if verdict.status != 418 and verdict.limits.quota_headers != "mbx":
        return message("Too Many Requests")
    if verdict.banned_until is not None:
        text = f"Way too much request weight used; IP banned until {math.ceil(verdict.banned_until * 1000)}."
        text += " Please use the websocket for live updates to avoid bans."
    else:
        level = _tightest(verdict.levels)
        text = f"Too much request weight used; current limit is {level.window.weight} request weight per"
        text += f" {_unit(level)[1]}. Please use the websocket for live updates to avoid polling the API."
    return json.dumps({"code": -1003, "msg": text}, separators=(",", ":")).encode()


def _tightest(levels: tuple[Level, ...]) -> Level:
    return min(levels, key=lambda level: level.left / level.window.weight)


def _unit(level: Level) -> tuple[str, str]:
    """A window's length as in ``1M`` and in ``1 MINUTE``."""
    seconds = level.window.seconds
    letter, unit, name = next((found for found in LETTERS if seconds % found[1] == 0), LETTERS[-1])
    return f"{seconds / unit:g}{letter}", f"{seconds / unit:g} {name}"


def _ietf(levels: tuple[Level, ...]) -> dict[str, str]:
    names = ["default"] if len(levels) == 1 else [f"w{number}" for number in range(1, len(levels) + 1)]
    named = list(zip(names, levels, strict=True))
    policies = (f'"{name}";q={one.window.weight};w={math.ceil(one.window.seconds)}' for name, one in named)
    states = (f'"{name}";r={one.left};t={math.ceil(one.reset)}' for name, one in named)
    return {"RateLimit-Policy": ", ".join(policies), "RateLimit": ", ".join(states)}


def _reset(style: str, at: float, level: Level) -> int:
    if style == "x-ratelimit-epoch":
        return math.ceil(at + level.reset)
    if style == "x-ratelimit-ms":
        return math.ceil((at + level.reset) * 1000)
    return math.ceil(level.reset)


def _bapi_reset(verdict: Verdict) -> int:
    """As Bybit's: when a refused request would fit; on a success the time of the answer."""
    wait = verdict.wait if math.isfinite(verdict.wait) else max(level.reset for level in verdict.levels)
    return math.ceil((verdict.at + wait) * 1000)
