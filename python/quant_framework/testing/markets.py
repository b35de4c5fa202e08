"""The markets that the offline exchange lists."""

from __future__ import annotations

NAMES = ("BTC", "ETH", "SOL", "BNB", "XRP", "DOGE", "ADA", "LINK")
EXCHANGES = ({"name": "Binance", "code": "A"}, {"name": "Bybit", "code": "6"}, {"name": "Coinbase", "code": "C"})


def future(symbol: str, base: str, quote: str = "USDT", margined: str = "STABLE") -> dict:
    """A perpetual future as ``/future-markets`` lists it."""
    return {
        "symbol": symbol,
        "exchange": symbol.rpartition(".")[2],
        "symbol_on_exchange": symbol.partition(".")[0].partition("_")[0],
        "base_asset": base,
        "quote_asset": quote,
        "is_perpetual": True,
        "margined": margined,
        "expire_at": None,
        "oi_lq_vol_denominated_in": "BASE_ASSET",
        "has_long_short_ratio_data": True,
        "has_ohlcv_data": True,
        "has_buy_sell_data": True,
    }


def spot(symbol: str, base: str, quote: str = "USD") -> dict:
    """A spot market as ``/spot-markets`` lists it."""
    return {
        "symbol": symbol,
        "exchange": symbol.rpartition(".")[2],
        "symbol_on_exchange": symbol.partition(".")[0],
        "base_asset": base,
        "quote_asset": quote,
        "has_buy_sell_data": True,
    }


FUTURES = (
    *(future(f"{name}USDT_PERP.A", name) for name in NAMES),
    future("BTCUSD_PERP.A", "BTC", "USD", "COIN"),
    future("BTCUSDT.6", "BTC"),
)
SPOTS = tuple(spot(f"{name}USD.C", name) for name in NAMES)
