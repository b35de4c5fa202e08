"""An exchange on loopback that speaks the protocols of real ones, enforces true limits, and can misbehave."""

from __future__ import annotations

import json
import re
import threading
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from quant_framework.testing import bars, markets
from quant_framework.testing.archive import OfflineArchive
from quant_framework.testing.bars import Item
from quant_framework.testing.faults import Fault, FaultBox, spoil
from quant_framework.testing.limits import Limits, Meter, Verdict, WindowsGiven
from quant_framework.testing.markets import Market
from quant_framework.testing.server import PROTOCOLS, Server

KEPT_POINTS = 2000
MAIN = "coinalyze"
"""Name of the limit that ``limit`` sets."""


def _limits(
    limit: Limits | WindowsGiven, others: Mapping[str, Limits | WindowsGiven], retry_after: bool | str
) -> dict[str, Limits]:
    """Every limit by name."""
    known = {name: one for protocol in PROTOCOLS for name, one in protocol.limits.items()}
    if unknown := sorted(others.keys() - known.keys()):
        raise ValueError(f"unknown limit {unknown[0]!r}; use one of {', '.join(sorted(known))}")
    if limit is None:
        known = {name: replace(one, windows=None, ban=None) for name, one in known.items()}
    given = {
        name: one if isinstance(one, Limits) else replace(known[name], windows=one, retry_after=retry_after)
        for name, one in others.items()
    }
    return known | given | {MAIN: Limits.of(limit, retry_after)}


class OfflineExchange:
    """Coinalyze's protocol and those of ``server.PROTOCOLS`` on a free loopback port; use it as a context manager.

    ``listings`` are Binance's markets by source (``binance``, ``binance_usdm``), as ``markets.binance_spot`` and
    ``markets.binance_usdm`` make them; change them before anything is asked.

    Args:
        recorded: folder of candles (see ``bars.Recorded``); else synthetic bars, the same in every run.
        limit: ``Limits``; or in short ``(weight, seconds)`` of a rolling window, ``(weight, seconds, "fixed")``, a
            list of them, each symbol weighing one; ``None``: no limit. It runs on the machine's clocks whatever
            ``now`` says: clients wait in real time.
        retention: whether intraday points beyond the newest 2,000 are gone.
        api_key: what a client must send; ``None``: anything.
        now: epoch seconds; nothing opens later, and the newest bar is still forming.
        retry_after: whether and how a refusal says when to come back (see ``Limits``, which has its own).
        latency: seconds that every answer takes.
        markets: what ``/future-markets`` lists (see ``markets.future``); by default eight names on Binance and more.
        faults: how to misbehave; more by ``inject``.
        port: 0 takes a free one.
        limits: what else is limited, by name (``usage``, ``set_limit``, ``spend`` and ``ask`` take these names), in the
            same forms as ``limit``; by default each protocol's true limits, or none where ``limit`` is ``None``.

    Raises:
        ValueError: no such limit, or no candles in ``recorded``.

    """

    def __init__(
        self,
        recorded: str | Path | None = None,
        limit: Limits | WindowsGiven = (40, 60.0),
        retention: bool = False,
        api_key: str | None = "offline",
        now: Callable[[], float] = time.time,
        retry_after: bool | str = True,
        latency: float = 0.0,
        markets: Sequence[Market] | None = None,
        faults: Iterable[Fault] = (),
        port: int = 0,
        limits: Mapping[str, Limits | WindowsGiven] | None = None,
    ) -> None:
        self.recorded: bars.Recorded | None = bars.Recorded(recorded) if recorded else None
        self.retention: bool = retention
        self.api_key: str | None = api_key
        self.now: Callable[[], float] = now
        self.latency: float = latency
        self.faults: FaultBox = FaultBox(faults)
        self.ledger: list[dict[str, Any]] = []
        self.archive: OfflineArchive = OfflineArchive()
        self._markets = self._listed() if markets is None else list(markets)
        self.listings: dict[str, list[Market]] = self._listings()
        self._lock = threading.Lock()
        self._meters = {name: Meter(one) for name, one in _limits(limit, limits or {}, retry_after).items()}
        self._server = Server(self, port)
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True)

    def _listed(self) -> list[Market]:
        if self.recorded is None:
            return list(markets.FUTURES)
        symbols = dict.fromkeys(symbol for symbol, _ in self.recorded.series)
        return [markets.future(symbol, symbol.rpartition(".")[0]) for symbol in symbols]

    def recorded_names(self) -> dict[str, str]:
        """Recorded symbols by Binance's way to write them: ``BTC-PERP.R`` is ``BTCPERP``."""
        symbols = dict.fromkeys(symbol for symbol, _ in self.recorded.series) if self.recorded else {}
        return {re.sub("[^A-Z0-9]", "", symbol.rpartition(".")[0].upper()): symbol for symbol in symbols}

    def _listings(self) -> dict[str, list[Market]]:
        if self.recorded is None:
            return markets.binance_listings()
        return {
            "binance": [markets.binance_spot(name, "") for name in self.recorded_names()],
            "binance_usdm": [markets.binance_usdm(name, "") for name in self.recorded_names()],
        }

    @property
    def url(self) -> str:
        """What to pass as ``base_url``, whatever the protocol."""
        return f"http://127.0.0.1:{self._server.server_address[1]}/v1"

    def __enter__(self) -> OfflineExchange:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def inject(self, fault: Fault) -> None:
        """Misbehave once more."""
        self.faults.add(fault)

    def stats(self) -> dict[str, int]:
        """Requests, their weight, and how many were answered with each status (0: the connection was broken off)."""
        with self._lock:
            stats = {"requests": len(self.ledger), "weight": sum(entry["weight"] for entry in self.ledger)}
            for entry in self.ledger:
                stats[str(entry["status"])] = stats.get(str(entry["status"]), 0) + 1
        return stats

    def reset(self) -> None:
        """Forget what was asked, what was spent of the limit, bans, and every fault."""
        with self._lock:
            self.ledger.clear()
            for meter in self._meters.values():
                meter.reset()
        self.faults.clear()

    def markets(self) -> list[Market]:
        """What ``/future-markets`` lists."""
        return list(self._markets)

    def spots(self) -> list[Market]:
        """What ``/spot-markets`` lists; recorded candles are listed as futures."""
        return [] if self.recorded else list(markets.SPOTS)

    def candles(self, symbol: str, interval: str, start: int, end: int) -> list[tuple[float, ...]]:
        """The closed bars that open in ``[start, end)`` seconds: ``(t, o, h, l, c, v)``."""
        end = min(end, int(self.now()) - bars.STEPS[interval] + 1)
        items = self._items("ohlcv-history", symbol, interval, start, end - 1)
        return [tuple(float(item[key]) if key != "t" else item[key] for key in "tohlcv") for item in items]

    @property
    def limits(self) -> Limits:
        """What is enforced."""
        return self._meters[MAIN].limits

    def set_limit(self, limit: Limits | WindowsGiven, name: str = MAIN) -> None:
        """Enforce ``limit`` from now on, with what was spent before; a short form changes the windows alone."""
        with self._lock:
            if not isinstance(limit, Limits):
                limit = replace(self._meters[name].limits, windows=limit)
            self._meters[name].change(limit)

    def usage(self, name: str = MAIN) -> list[dict[str, float]]:
        """Each window's ``weight``, ``seconds``, ``peak`` and ``accepted``.

        ``peak`` is the greatest weight accepted in one window of that length since it was set, ``accepted`` all that
        was accepted so far.
        """
        with self._lock:
            return self._meters[name].usage()

    def banned(self, weight: int, name: str = MAIN) -> Verdict | None:
        """The verdict on a request during a ban; ``None`` when there is none."""
        with self._lock:
            return self._meters[name].banned(weight)

    def ask(self, weight: int, name: str = MAIN) -> Verdict:
        """The verdict on a request of ``weight``, which is counted."""
        with self._lock:
            return self._meters[name].ask(weight)

    def spend(self, weight: int, name: str = MAIN) -> float | None:
        """Take ``weight`` from the limit; seconds to wait where there is none left."""
        verdict = self.ask(weight, name)
        return verdict.wait if verdict.refused else None

    def record(self, **entry: object) -> None:
        """Note what was asked and answered."""
        with self._lock:
            self.ledger.append(entry)

    def history(
        self, kind: str, symbols: list[str], interval: str, start: int, end: int, usd: bool, fault: Fault | None
    ) -> bytes:
        """The body of a history request; symbols that are not listed are absent from it."""
        known = {market["symbol"] for market in (*self._markets, *self.spots())}
        parts = []
        for symbol in symbols:
            if symbol not in known:
                continue
            text = self._text(kind, symbol, interval, start, end, usd, fault)
            parts.append(f'{{"symbol":{json.dumps(symbol)},"history":[{text}]}}')
        return f"[{','.join(parts)}]".encode()

    def _text(self, kind: str, symbol: str, interval: str, start: int, end: int, usd: bool, fault: Fault | None) -> str:
        if self.recorded is None and not usd and fault is None:
            return bars.synthetic_text(kind, symbol, interval, *self._kept(interval, start, end))
        items = self._items(kind, symbol, interval, start, end)
        if usd and kind in bars.CONVERTIBLE:
            items = [bars.in_usd(item, symbol, interval) for item in items]
        return bars.text(items if fault is None else spoil(items, fault, bars.STEPS[interval]))

    def _kept(self, interval: str, start: int, end: int) -> tuple[int, int]:
        now = int(self.now())
        if self.retention and interval != "daily":
            start = max(start, now - KEPT_POINTS * bars.STEPS[interval])
        return start, min(end, now)

    def _items(self, kind: str, symbol: str, interval: str, start: int, end: int) -> list[Item]:
        return self.items(kind, symbol, interval, bars.opens(interval, *self._kept(interval, start, end)))

    def items(self, kind: str, symbol: str, interval: str, opens: Iterable[int]) -> list[Item]:
        """The items of ``kind`` that open at ``opens`` (seconds), where there are such."""
        item = self.recorded.item if self.recorded else bars.synthetic
        return [found for at in opens if (found := item(kind, symbol, interval, at))]
