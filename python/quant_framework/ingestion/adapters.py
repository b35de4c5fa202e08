"""Sources of market data."""

from __future__ import annotations

import os

from quant_framework import _core
from quant_framework._core import Batch, FetchRequest

__all__ = ["Batch", "CoinalyzeAdapter", "FetchRequest"]

RETENTION = 2000
"""Intraday points that Coinalyze keeps (documented: 1,500 to 2,000; daily bars for ever)."""


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
        market: dict[str, str] | None = None,
        retention: int | None = RETENTION,
        convert_to_usd: bool = False,
    ) -> CoinalyzeAdapter:
        """Build the native adapter; see the class."""
        choice = dict(market or {})
        exchange, quote = choice.pop("exchange", None), choice.pop("quote", None)
        if choice:
            from quant_framework.errors import InvalidError

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
