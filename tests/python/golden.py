"""What a release leaves behind, so that the next ones are tested to read it: ``python tests/python/golden.py``.

Run with the release installed, it makes ``tests/golden/<version>``; that folder is never changed again.
"""

from __future__ import annotations

import asyncio
import json
import re
import subprocess
import sys
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import quant_framework
from quant_framework.ingestion.backfill import CheckpointManager, DatabaseCheckpointStore, LocalCheckpointStore
from quant_framework.ingestion.rate_limit import AdaptiveRateLimiter, SharedRateLimiter
from quant_framework.ingestion.writers import BronzeWriter, SilverWriter
from quant_framework.orchestration.workflows import BackfillWorkflow, IncrementalWorkflow, RepairWorkflow

HOUR = timedelta(hours=1)
START = datetime(2026, 1, 5, tzinfo=timezone.utc)
BACKFILLED, UPDATED = START + 96 * HOUR, START + 101 * HOUR
HOLES, WRONG = {"BTC": {10, 11, 40, 90}, "BTC/USDT:USDT": set()}, 60
"""Hours without a bar, by symbol; and the hour of BTC whose bar cannot be true."""
SERIES = ("golden/ohlcv/BTC/1h", "golden/ohlcv/BTC%2FUSDT%3AUSDT/1h")
SCOPE, WINDOWS = "golden:key", [(40, 365 * 86_400)]


def bar(hour: int) -> dict[str, float]:
    """The last word about an hour; every number has an exact double."""
    price = 100.0 + hour / 4
    return {"open": price, "high": price + 2, "low": price - 1, "close": price + 0.5, "volume": hour / 8 + 1}


def truth(symbol: str, end: datetime) -> list[tuple]:
    """The rows that a lake must hold of ``symbol``: time and values."""
    missing = HOLES[symbol] | ({WRONG} if symbol == "BTC" else set())
    hours = [hour for hour in range((end - START) // HOUR) if hour not in missing]
    return [(START + hour * HOUR, *bar(hour).values()) for hour in hours]


class Golden:
    """A source of hours with holes; with ``preliminary`` the newest bar of an answer is not yet what it will be."""

    source = "golden"
    fingerprint = "golden: hours"

    def __init__(self, preliminary: bool = False) -> None:
        self.preliminary = preliminary
        self.asked: list[tuple[str, int, int]] = []

    def capability(self, data_type: str, timeframe: str) -> dict[str, Any]:
        """Pages of a day, so that there are several objects."""
        return {"rows_per_request": 24, "weight": 1}

    def fetch(self, request: Any) -> list[dict[str, Any]]:
        """The bars of ``request``."""
        low, high = (int((moment - START) / HOUR) for moment in (request.start, request.end))
        symbol = "BTC/USDT:USDT" if "%2F" in request.series else "BTC"
        self.asked.append((symbol, low, high))
        rows = [{"ts": START + hour * HOUR} | bar(hour) for hour in range(low, high) if hour not in HOLES[symbol]]
        for row in rows:
            if symbol == "BTC" and row["ts"] == START + WRONG * HOUR:
                row["high"] = row["low"] - 1
        if self.preliminary and rows:
            rows[-1]["volume"] /= 2
        return rows


def parts(folder: Path, source: Golden, **more: Any) -> dict[str, Any]:
    """What a workflow over ``folder`` is made of."""
    return {
        "adapter": source,
        "writer": BronzeWriter((folder / "lake" / "bronze").as_uri()),
        "checkpoint_store": LocalCheckpointStore(folder / "checkpoints"),
        "rate_limiter": AdaptiveRateLimiter(9999, 9999, 1),
    } | more


class Context:
    """All that a workflow needs of its surroundings."""

    def get_state(self, key: str, task_id: str | None = None) -> None:
        """Nothing was kept."""

    def set_state(self, key: str, value: object) -> None:
        """Nothing is kept."""


def run(workflow: Any) -> dict[str, Any]:
    """The result of a whole run."""
    return asyncio.run(workflow.execute(Context()))


def backfill(folder: Path, source: Golden, end: datetime = BACKFILLED, **more: Any) -> dict[str, Any]:
    """Both series from their start."""
    wanted = {"symbols": list(HOLES), "timeframes": ["1h"], "start": START, "end": end}
    return run(BackfillWorkflow(**(parts(folder, source) | wanted | more)))


def update(folder: Path, source: Golden, end: datetime) -> dict[str, Any]:
    """The newest bars of BTC."""
    wanted = {"symbols": ["BTC"], "timeframes": ["1h"], "start": START, "end": end}
    return run(IncrementalWorkflow(**parts(folder, source), **wanted))


def repair(folder: Path, source: Golden, **more: Any) -> dict[str, Any]:
    """Ask for the holes of BTC once more."""
    return run(RepairWorkflow(**parts(folder, source), series=[SERIES[0]], end=UPDATED, **more))


def silver(folder: Path) -> SilverWriter:
    """Silver of the lake in ``folder``."""
    return SilverWriter((folder / "lake" / "silver").as_uri(), BronzeWriter((folder / "lake" / "bronze").as_uri()))


async def compact(folder: Path) -> None:
    """Silver of both series."""
    for series in SERIES:
        await silver(folder).compact(series)


def write_files(folder: Path) -> None:
    """A lake with everything that may lie in one, and the checkpoints of it."""
    backfill(folder, Golden())
    update(folder, Golden(preliminary=True), UPDATED - HOUR)
    update(folder, Golden(), UPDATED)
    repair(folder, Golden())
    asyncio.run(compact(folder))
    limiter = SharedRateLimiter((folder / "limits").as_uri(), SCOPE, WINDOWS)
    limiter.acquire_sync(weight=7)
    limiter.close()
    manager = CheckpointManager(LocalCheckpointStore(folder / "checkpoints"))
    (folder / "export.json").write_text(asyncio.run(manager.export()))


def write_tables(folder: Path, dsn: str, pg_dump: Path) -> None:
    """The same checkpoints and a quota in a database that is empty, as SQL."""
    store = DatabaseCheckpointStore(dsn)
    asyncio.run(CheckpointManager(store).load_export((folder / "export.json").read_text()))
    limiter = SharedRateLimiter(dsn, SCOPE, WINDOWS)
    limiter.acquire_sync(weight=7)
    limiter.close()
    command = [pg_dump, "--no-owner", "--inserts", f"--dbname={dsn}"]
    dumped = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    # What psql understands and a server does not, and what changes with every dump.
    (folder / "tables.sql").write_text(re.sub(r"(?m)^(\\|--).*\n", "", dumped))


def main() -> None:
    """Write the folder of the version that is installed."""
    from postgres_server import Postgres

    folder = Path(sys.argv[1] if len(sys.argv) > 1 else f"tests/golden/{quant_framework.__version__}").resolve()
    folder.mkdir(parents=True)
    write_files(folder)
    with Postgres() as server:
        write_tables(folder, server.dsn, Postgres.programs() / "pg_dump")
    known = LocalCheckpointStore(folder / "checkpoints")
    held = {series: known.load_sync(series) for series in known.list_sync()}
    facts = {
        series: {
            "data": [[moment.isoformat() for moment in span] for span in one.data],
            "empty": [[moment.isoformat() for moment in span] for span in one.empty],
            "generation": one.generation,
            "fingerprint": one.fingerprint,
        }
        for series, one in held.items()
    }
    (folder / "facts.json").write_text(json.dumps(facts, indent=1) + "\n")
    for lock in folder.rglob("*.lock"):
        lock.unlink()


if __name__ == "__main__":
    main()
