"""Coinalyze's protocol, as the offline exchange speaks it."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import TYPE_CHECKING

from quant_framework.testing import bars
from quant_framework.testing.faults import Fault
from quant_framework.testing.markets import EXCHANGES
from quant_framework.testing.protocols import BadRequestError, Protocol, Request
from quant_framework.testing.quota import Answer, message

if TYPE_CHECKING:
    from quant_framework.testing.exchange import OfflineExchange

HISTORIES = frozenset(
    {
        "ohlcv-history",
        "open-interest-history",
        "funding-rate-history",
        "predicted-funding-rate-history",
        "liquidation-history",
        "long-short-ratio-history",
    }
)
MOST_SYMBOLS = 20
MOST_POINTS = 50_000


class Coinalyze(Protocol):
    """Everything that no other protocol answers; its limit is the exchange's ``limit``."""

    def limit(self, request: Request) -> str:
        """One for everything."""
        return "coinalyze"

    def weight(self, exchange: OfflineExchange, request: Request) -> int:
        """Each symbol costs."""
        symbols = len(self.symbols(request)) or 1
        if not self.asks_for_rows(request) or exchange.limits.prices is None:
            return symbols
        try:
            return symbols * exchange.limits.price(_bars(*_history(request.query)))
        except BadRequestError:
            return symbols

    def symbols(self, request: Request) -> list[str]:
        """Separated by commas."""
        return request.query["symbols"].split(",") if "symbols" in request.query else []

    def asks_for_rows(self, request: Request) -> bool:
        """The histories."""
        return request.path in HISTORIES

    def unauthorised(self, exchange: OfflineExchange, request: Request) -> Answer | None:
        """Every request needs a key."""
        if request.key and exchange.api_key in (None, request.key):
            return None
        return Answer(401, {}, message("Invalid API key"))

    def content(self, exchange: OfflineExchange, request: Request, fault: Fault | None) -> Answer:
        """Histories and lists."""
        if request.path in HISTORIES:
            arguments = _history(request.query)
            if _bars(*arguments) > exchange.limits.most_bars:
                raise BadRequestError(f"at most {exchange.limits.most_bars} bars a request")
            return Answer(200, {}, exchange.history(request.path, *arguments, fault))
        lists: dict[str, Callable[[], object]]
        lists = {"future-markets": exchange.markets, "spot-markets": exchange.spots, "exchanges": lambda: EXCHANGES}
        if request.path not in lists:
            return Answer(404, {}, message("not found"))
        return Answer(200, {}, json.dumps(lists[request.path]()).encode())


def _bars(_: list[str], interval: str, start: int, end: int, __: bool) -> int:
    return len(bars.opens(interval, start, end))


def _history(query: dict[str, str]) -> tuple[list[str], str, int, int, bool]:
    """Symbols, interval, first and last second, and whether in USD."""
    absent = {"symbols", "interval", "from", "to"} - query.keys()
    if absent:
        raise BadRequestError(f"missing {', '.join(sorted(absent))}")
    interval, symbols = query["interval"], query["symbols"].split(",")
    if interval not in bars.STEPS:
        raise BadRequestError(f"interval must be one of {', '.join(bars.STEPS)}")
    if len(symbols) > MOST_SYMBOLS:
        raise BadRequestError(f"at most {MOST_SYMBOLS} symbols")
    try:
        start, end = int(query["from"]), int(query["to"])
    except ValueError:
        raise BadRequestError("from and to must be UNIX seconds") from None
    if end - start > MOST_POINTS * bars.STEPS[interval]:
        raise BadRequestError(f"at most {MOST_POINTS} points a request")
    return symbols, interval, start, end, query.get("convert_to_usd") == "true"
