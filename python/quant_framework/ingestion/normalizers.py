"""One form for what sources write differently: names of markets, and units of open interest.

Markets are named as ccxt made common: ``BTC/USDT`` is spot, ``BTC/USDT:USDT`` a perpetual that settles in USDT,
``BTC/USD:BTC`` one that settles in BTC, ``BTC/USDT:USDT-250328`` a future that ends on that day. Venues are
``generic``, ``binance_spot``, ``binance_usdm``, ``binance_coinm``, ``bybit_spot``, ``bybit_linear``,
``bybit_inverse``, ``okx``, ``kraken`` and ``coinalyze``. What a name does not tell for certain is an error, never a
guess.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import NamedTuple

from quant_framework import _core
from quant_framework._core import Batch, format_symbol
from quant_framework.arguments import Rows
from quant_framework.results import SymbolParts

__all__ = ["Converted", "convert_open_interest", "format_symbol", "normalize_symbol", "split_symbol"]


class Converted(NamedTuple):
    """Open interest in another unit: ``rows``, and the bars that are left out for want of a price (``unpriced``)."""

    rows: Batch
    unpriced: list[datetime]


def normalize_symbol(
    symbol: str, venue: str = "generic", *, quotes: Sequence[str] | None = None, settle: str | None = None
) -> str:
    """The common form of what ``venue`` calls ``symbol``.

    Multipliers stay (``1000SHIB``: prices are for so many), ``XBT`` is ``BTC``, and a name in the common form stays.

    Args:
        symbol: in any case.
        venue: see the module.
        quotes: the quote assets of the venue, for names without a separator; by default a table's.
        settle: what the contract settles in, where the name does not say it.

    Raises:
        InvalidError: a name of no form that the venue has, one that can be read in two ways (``BNBUSD``), or one that
            does not say what it settles in.

    """
    return split_symbol(symbol, venue, quotes=quotes, settle=settle)["symbol"]


def split_symbol(
    symbol: str, venue: str = "generic", *, quotes: Sequence[str] | None = None, settle: str | None = None
) -> SymbolParts:
    """What a name says; arguments and errors are as for ``normalize_symbol``."""
    if isinstance(quotes, str):
        quotes = [quotes]
    return _core.split_symbol(symbol, venue, quotes=None if quotes is None else list(quotes), settle=settle)


def convert_open_interest(
    rows: Rows,
    from_unit: str,
    to_unit: str,
    *,
    price: Rows | float | None = None,
    contract_size: float | None = None,
    contract_unit: str | None = None,
    usd_per_quote: float | None = None,
) -> Converted:
    """Open interest in another unit: ``base``, ``quote``, ``contracts``, ``usd``, or as Coinalyze's market list says.

    With candles as price, ``oi_open`` is converted at the open of its bar and ``oi_close`` at the close; ``oi_high``
    and ``oi_low`` are null, for nobody knows at which price they were reached. A row without a candle is left out and
    named.

    Args:
        rows: open interest, in time order.
        from_unit: what they are in. Rows do not say it; a source's list of markets does.
        to_unit: what they shall be in.
        price: quote units for one base unit: candles of the market (rows of ``ohlcv``), or a number.
        contract_size: what one contract holds; with ``contract_unit``.
        contract_unit: ``base`` (0.01 BTC) or ``quote`` (100 USD).
        usd_per_quote: US dollars for one quote unit, 1 where that is the dollar.

    Raises:
        InvalidError: something that the conversion needs is missing, or no number above 0.
        DataError: rows or candles out of order, repeated or not finite; the first one is named.

    """
    made, unpriced = _core.convert_open_interest(
        rows,
        from_unit,
        to_unit,
        price=price,
        contract_size=contract_size,
        contract_unit=contract_unit,
        usd_per_quote=usd_per_quote,
    )
    return Converted(made, unpriced)
