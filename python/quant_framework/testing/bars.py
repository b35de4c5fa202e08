"""What the offline exchange has: deterministic synthetic bars, or recorded candles."""

from __future__ import annotations

import csv
import json
from collections.abc import Sequence
from datetime import datetime, timezone
from functools import lru_cache
from pathlib import Path
from typing import Any
from zlib import crc32

Item = dict[str, Any]
"""A bar or a point as Coinalyze sends it: ``t`` is its open time in seconds since 1970 UTC."""

STEPS = {
    "1min": 60,
    "5min": 300,
    "15min": 900,
    "30min": 1800,
    "1hour": 3600,
    "2hour": 7200,
    "4hour": 14400,
    "6hour": 21600,
    "12hour": 43200,
    "daily": 86400,
}
"""Seconds of each interval that the protocol knows."""

LENGTHS = STEPS | {"3min": 180, "8hour": 28800, "weekly": 604800, "monthly": 2419200}
"""Seconds of each interval that there are bars of; of a month the shortest."""

TIMEFRAMES = {
    "1m": "1min",
    "5m": "5min",
    "15m": "15min",
    "30m": "30min",
    "1h": "1hour",
    "2h": "2hour",
    "4h": "4hour",
    "6h": "6hour",
    "12h": "12hour",
    "1d": "daily",
}

CONVERTIBLE = frozenset({"open-interest-history", "liquidation-history"})
"""Whose values ``convert_to_usd`` turns into dollars."""


class Number(float):
    """A number that is sent as it was recorded, digit by digit.

    Args:
        text: its digits.

    """

    text: str

    def __new__(cls, text: str) -> Number:
        """Keep ``text`` beside its value."""
        number = super().__new__(cls, text)
        number.text = text
        return number

    def __repr__(self) -> str:
        return self.text


def noise(seed: int, at: int) -> int:
    """A whole number below 2**32, the same in every run."""
    value = (seed * 0x9E3779B1 + at * 0x85EBCA77) & 0xFFFFFFFF
    value ^= value >> 15
    value = (value * 0x2C1B3C6D) & 0xFFFFFFFF
    return value ^ (value >> 12)


def synthetic(kind: str, symbol: str, interval: str, at: int) -> Item | None:
    """The item of ``kind`` (such as ``ohlcv-history``) that opens at ``at`` seconds; ``None`` for none."""
    seed = crc32(f"{kind}/{symbol}/{interval}".encode())
    step = LENGTHS[interval]
    now, then = noise(seed, at // step), noise(seed, at // step + 1)
    if kind == "liquidation-history":
        # Sparse: most buckets saw no liquidation.
        return {"t": at, "l": now % 5000 / 8, "s": then % 5000 / 8} if now % 7 == 0 else None
    if kind == "long-short-ratio-history":
        long = 40 + now % 2000 / 100
        return {"t": at, "r": round(long / (100 - long), 4), "l": long, "s": round(100 - long, 2)}
    scale = 1e-6 if "funding" in kind else 1.0
    low, high = 10_000 + now % 900, 10_000 + then % 900
    base = {
        "t": at,
        "o": low * scale,
        "h": max(low, high) * scale,
        "l": min(low, high) * scale,
        "c": high * scale,
    }
    if kind != "ohlcv-history":
        return {key: value if key == "t" else round(value, 8) for key, value in base.items()}
    base = {"t": at, "o": low + 0.5, "h": max(low, high) + 2.25, "l": min(low, high) - 1.75, "c": high + 0.5}
    trades = 1 + now % 400
    return base | {"v": trades * 1.125, "bv": trades * 0.5, "tx": trades, "btx": trades // 2}


def close(symbol: str, interval: str, at: int) -> float:
    """The synthetic close of the bar that opens at ``at`` seconds."""
    bar = synthetic("ohlcv-history", symbol, interval, at) or {}
    return float(bar["c"])


def in_usd(item: Item, symbol: str, interval: str) -> Item:
    """``item`` with its values times the bar's synthetic close."""
    price = close(symbol, interval, item["t"])
    return {key: value if key == "t" else value * price for key, value in item.items()}


FIRST_MONDAY = 4 * 86400


def opens(interval: str, start: int, end: int) -> Sequence[int]:
    """The bars' open times in ``[start, end]`` seconds."""
    if interval == "monthly":
        return _months(start, end)
    step, first = LENGTHS[interval], FIRST_MONDAY if interval == "weekly" else 0
    return range(first - (first - start) // step * step, end + 1, step)


def following(interval: str, at: int) -> int:
    """When the bar that opens at ``at`` closes."""
    return _months(at + 1, at + 31 * 86400)[0] if interval == "monthly" else at + LENGTHS[interval]


def _months(start: int, end: int) -> list[int]:
    first = datetime.fromtimestamp(start, timezone.utc)
    months = range(first.year * 12 + first.month - 1, first.year * 12 + 12 + (end - start) // LENGTHS["monthly"] + 12)
    firsts = (int(datetime(at // 12, at % 12 + 1, 1, tzinfo=timezone.utc).timestamp()) for at in months)
    return [at for at in firsts if start <= at <= end]


def text(items: list[Item]) -> str:
    """Items as JSON without brackets; recorded numbers keep their digits."""

    def number(value: float | None) -> str:
        return "null" if value is None else repr(value)

    fields = (",".join(f'"{key}":{number(value)}' for key, value in item.items()) for item in items)
    return ",".join(f"{{{one}}}" for one in fields)


class Recorded:
    """Candles of a folder: ``<symbol>_<timeframe>.csv`` or ``.parquet`` with ``ts_ms, open, ..., volume``.

    A symbol that names its exchange (``BTCUSDT_PERP.A``) is served under its name, another one as ``<name>.R``.

    Args:
        folder: that holds them; ``.parquet`` needs pyarrow.

    Raises:
        ValueError: there are none.

    """

    def __init__(self, folder: str | Path) -> None:
        self.series: dict[tuple[str, str], dict[int, Item]] = {}
        for path in sorted(Path(folder).iterdir()):
            name, _, timeframe = path.stem.rpartition("_")
            if path.suffix in (".csv", ".parquet") and timeframe in TIMEFRAMES:
                symbol = name if "." in name else f"{name}.R"
                self.series[symbol, TIMEFRAMES[timeframe]] = self._read(path)
        if not self.series:
            raise ValueError(f"no recorded candles such as BTC_1m.csv in {folder}")

    @staticmethod
    def _read(path: Path) -> dict[int, Item]:
        if path.suffix == ".csv":
            with path.open(newline="") as file:
                rows = list(csv.DictReader(file))
        else:
            import pyarrow.parquet

            rows = pyarrow.parquet.read_table(path).to_pylist()
        keys = {"o": "open", "h": "high", "l": "low", "c": "close", "v": "volume"}
        items = {}
        for row in rows:
            at = int(row["ts_ms"]) // 1000
            items[at] = {"t": at} | {key: Number(str(row[column])) for key, column in keys.items()}
        return items

    def item(self, kind: str, symbol: str, interval: str, at: int) -> Item | None:
        """The recorded item that opens at ``at`` seconds, if there is one."""
        return self.series.get((symbol, interval), {}).get(at) if kind == "ohlcv-history" else None


@lru_cache(maxsize=4096)
def synthetic_text(kind: str, symbol: str, interval: str, start: int, end: int) -> str:
    """The items that open in ``[start, end]`` seconds (on the grid), as JSON without brackets."""
    items = (synthetic(kind, symbol, interval, at) for at in opens(interval, start, end))
    return json.dumps([item for item in items if item], separators=(",", ":"))[1:-1]
