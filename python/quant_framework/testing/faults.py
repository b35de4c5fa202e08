"""Ways in which the offline exchange can be told to misbehave."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from quant_framework.testing.bars import Item

STATUSES = frozenset({"418", "429", "500", "503"})
"""Faults that are an answer's status; they cost no quota."""

KINDS = frozenset(
    {
        *STATUSES,
        "latency",
        "disconnect",
        "truncated_body",
        "malformed",
        "truncated_rows",
        "duplicates",
        "wrong_range",
        "off_grid",
        "unordered",
        "null_value",
        "bad_ohlc",
        "preliminary",
    }
)


@dataclass
class Fault:
    """One way to misbehave.

    Args:
        kind: one of ``KINDS``.
        times: for so many requests; ``None``: for ever.
        path: only where this is part of the request's path; ``None``: for any request for rows.
        symbol: only for requests of this symbol.
        after: pass so many matching requests first.
        value: seconds of ``latency``, Retry-After of ``418`` and ``429`` (none: without), rows of ``truncated_rows``.

    Raises:
        ValueError: no such kind.

    """

    kind: str
    times: int | None = 1
    path: str | None = None
    value: float | None = None
    symbol: str | None = None
    after: int = 0

    def concerns(self, path: str, symbols: Sequence[str], rows: bool = True) -> bool:
        """Whether it is meant for such a request; ``rows``: which is for rows."""
        return (rows if self.path is None else self.path in path) and self.symbol in (None, *symbols)

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise ValueError(f"unknown fault {self.kind!r}; use one of {', '.join(sorted(KINDS))}")


class FaultBox:
    """The faults still to come; each request takes at most one.

    Args:
        faults: those that are known already.

    """

    def __init__(self, faults: Iterable[Fault] = ()) -> None:
        self._faults = [replace(fault) for fault in faults]
        self._lock = threading.Lock()

    def add(self, fault: Fault) -> None:
        """Add one more fault."""
        with self._lock:
            self._faults.append(replace(fault))

    def clear(self) -> None:
        """Behave from now on."""
        with self._lock:
            self._faults.clear()

    def take(self, path: str, symbols: Sequence[str] = (), rows: bool = True) -> Fault | None:
        """The fault for a request of ``path`` and ``symbols`` (``rows``: which is for rows), used up once."""
        with self._lock:
            for fault in self._faults:
                if fault.concerns(path, symbols, rows):
                    if fault.after > 0:
                        fault.after -= 1
                        continue
                    if fault.times is not None:
                        fault.times -= 1
                        if fault.times <= 0:
                            self._faults.remove(fault)
                    return fault
        return None


def spoil(items: list[Item], fault: Fault, step: int) -> list[Item]:
    """``items`` of one history as ``fault`` makes them."""
    if fault.kind == "truncated_rows":
        return items[: int(fault.value or 1)]
    if not items:
        return items
    first = dict(items[0])
    if fault.kind == "duplicates":
        return [items[0], *items]
    if fault.kind == "unordered":
        return items[::-1]
    if fault.kind == "wrong_range":
        return [item | {"t": item["t"] + 1000 * step} for item in items]
    if fault.kind == "off_grid":
        return [first | {"t": first["t"] + 1}, *items[1:]]
    if fault.kind == "null_value":
        return [first | {"c": None}, *items[1:]]
    if fault.kind == "preliminary":
        # As a source that restates its newest bar later.
        return [*items[:-1], items[-1] | {"v": items[-1]["v"] / 2}]
    if fault.kind == "bad_ohlc":
        return [first | {"h": 0.5 * first["l"]}, *items[1:]]
    return items
