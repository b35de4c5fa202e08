"""The offline exchange's copy of Binance's archive: zip files of the same synthetic bars, each with its checksum."""

from __future__ import annotations

import hashlib
import io
import re
import zipfile
from collections.abc import Iterator
from datetime import datetime, timedelta, timezone
from functools import lru_cache
from typing import Any
from zlib import crc32

from quant_framework.testing.bars import TIMEFRAMES, noise, synthetic

ROOT = "data/"
"""How the paths of the archive begin."""

MINUTES = {
    "1m": 1, "3m": 3, "5m": 5, "15m": 15, "30m": 30, "1h": 60, "2h": 120, "4h": 240, "6h": 360, "8h": 480,
    "12h": 720, "1d": 1440,
}  # fmt: skip
"""Minutes of each interval with a fixed length."""

KLINES = (
    "open_time,open,high,low,close,volume,close_time,quote_volume,count,taker_buy_volume,taker_buy_quote_volume,ignore"
)
METRICS = (
    "create_time,symbol,sum_open_interest,sum_open_interest_value,count_toptrader_long_short_ratio,"
    "sum_toptrader_long_short_ratio,count_long_short_ratio,sum_taker_long_short_vol_ratio"
)
MICROSECONDS_FROM = datetime(2025, 1, 1, tzinfo=timezone.utc)
"""Spot files count microseconds from here on."""
LABELLED_BY_START_FROM = datetime(2026, 6, 25, tzinfo=timezone.utc)
"""Metrics are labelled by the start of their five minutes from here on, before it by the end."""
DAY = timedelta(days=1)
Gaps = tuple[tuple[datetime, datetime], ...]
Rows = tuple[str, str, datetime, datetime, Gaps]
"""Symbol, interval, start, end, and what is missing."""
PATH = re.compile(
    r"data/(?P<market>spot|futures/um)/(?P<when>daily|monthly)/(?P<kind>klines|metrics)/(?P<symbol>\w+)/"
    r"(?:(?P<interval>\w+)/(?P=symbol)-(?P=interval)|(?P=symbol)-metrics)-(?P<date>\d{4}-\d\d(?:-\d\d)?)\.zip"
)


def bar(symbol: str, interval: str, at: datetime, market: str = "spot") -> dict[str, Any]:
    """The bar that opens at ``at``, as the exchange's REST interface has it: ``o, h, l, c, v, bv, tx``."""
    name = f"{symbol}.A" if market == "spot" else f"{symbol}_PERP.A"
    return synthetic("ohlcv-history", name, TIMEFRAMES.get(interval, "1min"), int(at.timestamp())) or {}


def open_interest(symbol: str, at: datetime) -> float:
    """At the end of the five minutes that start at ``at``."""
    return 70_000 + noise(crc32(f"metrics/{symbol}".encode()), int(at.timestamp()) // 300) % 90_000 / 8


class OfflineArchive:
    """What is in the archive; change it by its methods.

    Args:
        now: the archive's time, aware; by default the exchange's.
        listed: first day of every market.
        days_late: a day's file comes so many days after its end.
        months_late: a month's, so many days after its end.

    Files are named by their last part, such as ``BTCUSDT-1m-2024-01.zip``.

    """

    def __init__(
        self,
        now: datetime | None = None,
        listed: datetime = datetime(2020, 1, 1, tzinfo=timezone.utc),
        days_late: float = 1,
        months_late: float = 5,
    ) -> None:
        self.now: datetime | None = now
        self.listed: datetime = listed
        self.days_late: timedelta = timedelta(days=days_late)
        self.months_late: timedelta = timedelta(days=months_late)
        self.missing: set[str] = set()
        self.headers: dict[str, bool] = {}
        self._dropped: dict[str, list[tuple[datetime, datetime]]] = {}
        self._changed: dict[str, float] = {}
        self._bodies: dict[str, tuple[int, bytes]] = {}

    def remove(self, name: str) -> None:
        """There is no such file, nor its checksum."""
        self.missing.add(name)

    def drop(self, name: str, start: datetime, end: datetime) -> None:
        """The file lacks the bars in ``[start, end)``."""
        self._dropped.setdefault(name, []).append((start, end))

    def correct(self, name: str, volume: float) -> None:
        """The file is uploaded again, with another volume in its first row."""
        self._changed[name] = volume

    def replace(self, name: str, body: bytes, status: int = 200) -> None:
        """Serve ``body`` as ``name``, which may also be a checksum's name (``....zip.CHECKSUM``)."""
        self._bodies[name] = (status, body)

    def restore(self, name: str) -> None:
        """Undo whatever was done to ``name``."""
        self.missing.discard(name)
        for held in (self._dropped, self._changed, self._bodies):
            held.pop(name, None)

    def answer(self, path: str, now: float) -> tuple[int, bytes]:
        """Status and body of ``path``, which begins with ``ROOT``, at epoch seconds ``now``."""
        name = path.rpartition("/")[2]
        if name in self._bodies:
            return self._bodies[name]
        zipped = name.removesuffix(".CHECKSUM")
        at = self.now or datetime.fromtimestamp(now, timezone.utc)
        try:
            body = self.file(path.removesuffix(".CHECKSUM"), at)
        except ValueError:
            body = None
        if body is None or zipped in self.missing:
            return 404, b"<?xml version='1.0'?><Error><Code>NoSuchKey</Code></Error>"
        if zipped != name:
            return 200, f"{hashlib.sha256(body).hexdigest()}  {zipped}\n".encode()
        return 200, body

    def file(self, path: str, now: datetime) -> bytes | None:
        """The zip at ``path``; ``None`` where it is not (yet) there. ``ValueError``: no path of the archive."""
        match = PATH.fullmatch(path)
        if match is None:
            raise ValueError(path)
        market, when, kind, symbol, interval, date = match.group("market", "when", "kind", "symbol", "interval", "date")
        name, parts = path.rpartition("/")[2], [int(part) for part in date.split("-")]
        year, month, day = (*parts, 1)[:3]
        start = datetime(year, month, day, tzinfo=timezone.utc)
        end = start + DAY if when == "daily" else (start + 32 * DAY).replace(day=1)
        late = self.days_late if when == "daily" else self.months_late
        is_daily = when == "daily"
        if len(parts) != (3 if is_daily else 2) or not (is_daily or kind == "klines") or end <= self.listed:
            return None
        if end + late > now:
            return None
        header = self.headers.get(name, market != "spot" or kind == "metrics")
        gaps = (*self._dropped.get(name, ()), (datetime.min.replace(tzinfo=timezone.utc), self.listed))
        rows = (symbol, interval or "5m", start, end, gaps)
        return _zipped(name, kind, header, market, self._changed.get(name), rows)


@lru_cache(maxsize=512)
def _zipped(name: str, kind: str, header: bool, market: str, volume: float | None, rows: Rows) -> bytes:
    lines = list(_metrics(*rows) if kind == "metrics" else _klines(market, *rows))
    if volume is not None and lines:
        fields = lines[0].split(",")
        fields[2 if kind == "metrics" else 5] = f"{volume:.8f}"
        lines[0] = ",".join(fields)
    titles = [METRICS if kind == "metrics" else KLINES] if header else []
    return zip_of({f"{name.removesuffix('.zip')}.csv": "\n".join([*titles, *lines, ""]).encode()})


def zip_of(members: dict[str, bytes]) -> bytes:
    """A zip of ``members``, the same in every run."""
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED, compresslevel=6) as archive:
        for name, body in members.items():
            archive.writestr(zipfile.ZipInfo(name), body, zipfile.ZIP_DEFLATED)
    return out.getvalue()


def _opens(interval: str, start: datetime, end: datetime, gaps: Gaps) -> Iterator[tuple[datetime, datetime]]:
    """The bars that open in ``[start, end)`` and in none of ``gaps``: their open, and that of the next."""
    at = start
    while at < end:
        after = end if interval == "1mo" else at + timedelta(minutes=MINUTES[interval])
        if not any(low <= at < high for low, high in gaps):
            yield at, after
        at = after


def _klines(market: str, symbol: str, interval: str, start: datetime, end: datetime, gaps: Gaps) -> Iterator[str]:
    if interval not in MINUTES and interval != "1mo":
        raise ValueError(interval)
    unit = 1_000_000 if market == "spot" and start >= MICROSECONDS_FROM else 1000
    for at, after in _opens(interval, start, end, gaps):
        one = bar(symbol, interval, at, market)
        prices = ",".join(f"{one[key]:.8f}" for key in "ohlcv")
        times = int(at.timestamp()) * unit, int(after.timestamp()) * unit - 1
        quote, taker = one["v"] * one["c"], one["bv"]
        yield f"{times[0]},{prices},{times[1]},{quote:.8f},{one['tx']},{taker:.8f},{taker * one['c']:.8f},0"


def _metrics(symbol: str, _: str, start: datetime, end: datetime, gaps: Gaps) -> Iterator[str]:
    shift = timedelta(minutes=5) if start < LABELLED_BY_START_FROM else timedelta(0)
    for at, _after in _opens("5m", start, end, gaps):
        interest = open_interest(symbol, at)
        yield f"{at + shift:%Y-%m-%d %H:%M:%S},{symbol},{interest:.16f},{interest * 40_000:.16f},1.5,1.25,0.8,0.9"
