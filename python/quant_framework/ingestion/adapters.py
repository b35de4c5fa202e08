"""Sources of market data."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import TYPE_CHECKING, Literal

from quant_framework import _core
from quant_framework._core import Batch, FetchRequest
from quant_framework.errors import InvalidError
from quant_framework.ingestion.ccxt_adapter import CcxtAdapter
from quant_framework.ingestion.fetched import Fetched

if TYPE_CHECKING:
    from typing_extensions import Self

__all__ = [
    "Batch",
    "BinanceAdapter",
    "BinanceArchiveAdapter",
    "CcxtAdapter",
    "CoinalyzeAdapter",
    "FetchRequest",
    "Fetched",
    "binance_usdm",
]

RETENTION = 2000
"""Intraday points that Coinalyze keeps (documented: 1,500 to 2,000; daily bars for ever)."""


class BinanceArchiveAdapter(_core.BinanceArchiveAdapter):
    """Binance's public archive of whole days and months (data.binance.vision): no key, no quota, years deep.

    OHLCV of every timeframe but 1w, and of ``usdm`` open interest at 5m (the value at the end of each five minutes,
    stamped by their start). The series are those of Binance's REST interface (``binance``, ``binance_usdm``), so that a
    backfill from here is continued from there. Days come one to three days late: younger ones stay unknown.

    Args:
        market: ``spot``, or ``usdm`` for futures margined in stable coins.
        base_url: another server that has the archive's files.

    Raises:
        InvalidError: no such market, or a wrong URL.

    """

    def __new__(cls, market: Literal["spot", "usdm"] = "spot", base_url: str | None = None) -> Self:
        """Build the native adapter; see the class."""
        return super().__new__(cls, market, base_url)


class CoinalyzeAdapter(_core.CoinalyzeAdapter):
    """Coinalyze API v1: OHLCV, open interest, funding rate, liquidations and long/short ratio history.

    Args:
        api_key: sent as a header; by default the environment variable ``COINALYZE_API_KEY``.
        base_url: another server that speaks the protocol.
        market: which market a bare name such as ``BTC`` means, as ``{"exchange": "A", "quote": "USDT"}`` with
            either key left out. By default the perpetual margined in stable coins with OHLCV history, quoted in
            USDT (else USDC, else USD), on Binance (else Bybit, else OKX). Exact symbols pass through.
        retention: intraday points that the server keeps; ``None`` for one that keeps everything.
        convert_to_usd: open interest and liquidations in USD.

    Raises:
        InvalidError: no key, or a wrong URL.

    """

    def __new__(
        cls,
        api_key: str | None = None,
        base_url: str | None = None,
        market: Mapping[str, str] | None = None,
        retention: int | None = RETENTION,
        convert_to_usd: bool = False,
    ) -> Self:
        """Build the native adapter; see the class."""
        choice = dict(market or {})
        exchange, quote = choice.pop("exchange", None), choice.pop("quote", None)
        if choice:
            raise InvalidError(f"market has no key {sorted(choice)[0]!r}; use exchange and quote")
        return super().__new__(
            cls,
            api_key=api_key or os.environ.get("COINALYZE_API_KEY"),
            base_url=base_url,
            exchange=exchange,
            quote=quote,
            retention=retention,
            convert_to_usd=convert_to_usd,
        )


class BinanceAdapter(_core.BinanceAdapter):
    """Binance's public REST API, without a key: spot (source ``binance``) or USD-M futures (source ``binance_usdm``).

    Both have OHLCV with takers' volume and trades; futures also open interest (the latest 30 days, in base units, the
    value at a bar's end) and funding rates (a bar holds the rates that were settled in it).

    Args:
        market: ``spot`` or ``usdm``.
        base_url: another server that speaks the protocol, such as ``https://data-api.binance.vision`` (spot).
        quote: a bare name such as ``BTC`` means the market quoted in this asset; by default in USDT, else USDC, FDUSD,
            BUSD or TUSD. Exact symbols such as ``BTCUSDT`` or ``BTCUSDT_261225`` pass through.

    Raises:
        InvalidError: no such market, or a wrong URL.

    """

    def __new__(
        cls, market: Literal["spot", "usdm"] = "spot", base_url: str | None = None, quote: str | None = None
    ) -> Self:
        """Build the native adapter; see the class."""
        return super().__new__(cls, market=market, base_url=base_url, quote=quote)


def binance_usdm(base_url: str | None = None, quote: str | None = None) -> BinanceAdapter:
    """Source ``binance_usdm``: Binance's USD-M futures.

    Args:
        base_url: see ``BinanceAdapter``.
        quote: see ``BinanceAdapter``.

    Raises:
        InvalidError: a wrong URL.

    """
    return BinanceAdapter("usdm", base_url, quote)
