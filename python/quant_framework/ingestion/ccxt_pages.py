"""One page of ccxt's as rows in the order of our schemas; what an exchange has cut is found. Imports no ccxt."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from quant_framework.errors import InvalidError

FULL = 50
"""An answer of so many rows that lacks others may have been cut short; no venue has smaller pages."""


class Asked(NamedTuple):
    """One request in milliseconds: bars of ``step`` that open in ``[start, end)``."""

    symbol: str
    timeframe: str
    start: int
    end: int
    step: int


Row = list[Any]
Page = Callable[[int, int], list[Row]]


def parsed(exchange: Any, sent: Any, market: Any = None, *_: Any, **__: Any) -> list[Row]:
    """Every candle, where ccxt would leave out those without a time: they would pass for bars that never were."""
    rows = [exchange.parse_ohlcv(one, market) for one in sent or ()]
    if wrong := [one for one, row in zip(sent or (), rows, strict=True) if not isinstance(row[0], int)]:
        raise ValueError(f"a candle without a time: {wrong[0]!r}")
    return sorted(rows, key=lambda row: row[0])


def _whole(page: Page, asked: Asked) -> tuple[list[Row], bool]:
    """The rows (the first value is a time) of ``asked``, in order, and whether some may be missing at the end.

    A venue may cut an answer at either end. At the head it is asked again, here: nobody else would see that rows are
    missing there, which would pass for bars that never were.
    """
    rows = _inside(page(asked.start, asked.end), asked)
    found = rows
    while len(found) >= FULL and rows[0][0] - asked.start >= asked.step:
        head = asked._replace(end=rows[0][0])
        found = _inside(page(head.start, head.end), head)
        rows = found + rows
    return rows, len(rows) >= FULL and asked.end - rows[-1][0] > asked.step


def _inside(rows: list[Row], asked: Asked) -> list[Row]:
    """The rows in the asked range; ``InvalidError`` where the venue answered its newest rows instead."""
    rows = sorted(rows, key=lambda row: row[0])
    if len(rows) >= FULL and rows[0][0] >= asked.end and rows[-1][0] + 2 * asked.step >= time.time() * 1000:
        raise InvalidError(
            f"{asked.symbol} {asked.timeframe}: asked for older rows, the exchange answered its newest ones",
            "it does not keep so much; ask for a later range",
        )
    return [row for row in rows if asked.start <= row[0] < asked.end]


def _bars(start: int, end: int, asked: Asked) -> int:
    """How many bars open in ``[start, end)``, at most; a month has 28 days."""
    step = min(asked.step, 28 * 86_400_000) if asked.timeframe.endswith("M") else asked.step
    return math.ceil((end - start) / step)


def _until(method: Any, until: int, params: Mapping[str, Any]) -> dict[str, Any]:
    """``params`` and where to end, if ccxt's ``method`` knows of ends: to others it is a parameter of the venue's."""
    code = getattr(method, "__code__", None)
    knows = code is None or "until" in code.co_consts or "handle_until_option" in code.co_names
    return {"until": until, **params} if knows else dict(params)


def _ohlcv(exchange: Any, asked: Asked, params: Mapping[str, Any], _: int) -> tuple[list[Row], bool]:
    def page(start: int, end: int) -> list[Row]:
        bounds = _until(exchange.fetch_ohlcv, end - 1, params)
        rows = exchange.fetch_ohlcv(asked.symbol, asked.timeframe, start, _bars(start, end, asked), bounds)
        return [row[:6] for row in rows]

    return _whole(page, asked)


def _open_interest(exchange: Any, asked: Asked, params: Mapping[str, Any], _: int) -> tuple[list[Row], bool]:
    """A point is what was there at its time: the close of the bar that ends then."""

    def page(start: int, end: int) -> list[Row]:
        bounds = _until(exchange.fetch_open_interest_history, end, params)
        points = exchange.fetch_open_interest_history(
            asked.symbol, asked.timeframe, start + asked.step, _bars(start, end, asked), bounds
        )
        return [[point["timestamp"] - asked.step, None, None, None, point["openInterestAmount"]] for point in points]

    return _whole(page, asked)


def _funding(exchange: Any, asked: Asked, params: Mapping[str, Any], most: int) -> tuple[list[Row], bool]:
    """A bar holds the rates that were settled in it; times are a little late."""

    def page(start: int, end: int) -> list[Row]:
        bounds = _until(exchange.fetch_funding_rate_history, end - 1, params)
        rates = exchange.fetch_funding_rate_history(asked.symbol, start, most, bounds)
        return [[rate["timestamp"], rate["fundingRate"]] for rate in rates]

    events, _ = _whole(page, asked)
    bars: dict[int, list[float]] = {}
    for at, rate in events:
        bars.setdefault(at // asked.step * asked.step, []).append(rate)
    truncated = len(events) >= most and len(bars) > 1
    if truncated:
        bars.popitem()
    rows = [[at, rates[0], max(rates), min(rates), rates[-1]] for at, rates in bars.items()]
    return rows, truncated


READERS = {"ohlcv": _ohlcv, "open_interest": _open_interest, "funding_rate": _funding}
