"""The markets that the offline exchange lists."""

from __future__ import annotations

from typing import Any

Market = dict[str, Any]
"""An entry of a list of markets."""

NAMES = ("BTC", "ETH", "SOL", "BNB", "XRP", "DOGE", "ADA", "LINK")
EXCHANGES = ({"name": "Binance", "code": "A"}, {"name": "Bybit", "code": "6"}, {"name": "Coinbase", "code": "C"})


def future(symbol: str, base: str, quote: str = "USDT", margined: str = "STABLE") -> Market:
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


def spot(symbol: str, base: str, quote: str = "USD") -> Market:
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


LISTED = {
    "BTC": (1502942400, 1569398400),
    "ETH": (1502942400, 1574840400),
    "SOL": (1597125600, 1600066800),
    "BNB": (1509940800, 1581321600),
    "XRP": (1525420800, 1578297600),
    "DOGE": (1562306400, 1594348200),
    "ADA": (1523937600, 1580443200),
    "LINK": (1547632800, 1579233600),
}
"""First bars on Binance's spot and USD-M exchanges (seconds), about as they were."""


def binance_spot(base: str, quote: str = "USDT", listed: int = 0) -> Market:
    """A market as ``/api/v3/exchangeInfo`` lists it; ``listed`` (seconds) is not told there."""
    return {
        "symbol": base + quote,
        "status": "TRADING",
        "baseAsset": base,
        "baseAssetPrecision": 8,
        "quoteAsset": quote,
        "quotePrecision": 8,
        "quoteAssetPrecision": 8,
        "orderTypes": ["LIMIT", "MARKET"],
        "isSpotTradingAllowed": True,
        "isMarginTradingAllowed": False,
        "filters": [{"filterType": "PRICE_FILTER", "minPrice": "0.01", "maxPrice": "1000000.00", "tickSize": "0.01"}],
        "permissions": [],
        "permissionSets": [["SPOT"]],
        "listed": listed,
    }


def binance_usdm(base: str, quote: str = "USDT", listed: int = 0, funding_hours: int = 8) -> Market:
    """A perpetual as ``/fapi/v1/exchangeInfo`` lists it; how often it is funded is not told there."""
    return {
        "symbol": base + quote,
        "pair": base + quote,
        "contractType": "PERPETUAL",
        "deliveryDate": 4133404800000,
        "onboardDate": listed * 1000,
        "status": "TRADING",
        "baseAsset": base,
        "quoteAsset": quote,
        "marginAsset": quote,
        "pricePrecision": 2,
        "quantityPrecision": 3,
        "baseAssetPrecision": 8,
        "quotePrecision": 8,
        "underlyingType": "COIN",
        "orderTypes": ["LIMIT", "MARKET"],
        "filters": [{"filterType": "PRICE_FILTER", "minPrice": "0.01", "maxPrice": "1000000.00", "tickSize": "0.01"}],
        "listed": listed,
        "funding_hours": funding_hours,
    }


def binance_listings() -> dict[str, list[Market]]:
    """The default markets of Binance's exchanges; SOL is funded every four hours."""
    spot = [binance_spot(name, listed=LISTED[name][0]) for name in NAMES]
    usdm = [binance_usdm(name, listed=LISTED[name][1], funding_hours=4 if name == "SOL" else 8) for name in NAMES]
    return {"binance": [*spot, binance_spot("ETH", "BTC", LISTED["ETH"][0])], "binance_usdm": usdm}
