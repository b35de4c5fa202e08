"""Any mixture of updates, backfills, kills, repairs and restatements leaves each bar once, as it was said."""

from __future__ import annotations

import asyncio
import random
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest

from conftest import Context
from orchestration_runs import stored
from quant_framework.errors import UnavailableError
from quant_framework.ingestion.backfill import LocalCheckpointStore
from quant_framework.ingestion.chunking import FixedChunkStrategy
from quant_framework.ingestion.rate_limit import AdaptiveRateLimiter
from quant_framework.ingestion.writers import BronzeWriter, SilverWriter
from quant_framework.orchestration.tasks import compact
from quant_framework.orchestration.workflows import BackfillWorkflow, IncrementalWorkflow, RepairWorkflow

START = datetime(2026, 1, 30, tzinfo=timezone.utc)
"""Two days before a cell of hours ends."""
HOUR = timedelta(hours=1)
HOURS = 120
SERIES = "model/ohlcv/BTC/1h"


class Model:
    """A source whose bars have versions, and some of which it does not have yet."""

    source = "model"

    def __init__(self, chance: random.Random) -> None:
        self.versions = [[1.0] for _ in range(HOURS)]
        self.hidden = {hour for hour in range(HOURS) if chance.random() < 0.05}

    def capability(self, data_type: str, timeframe: str) -> dict[str, Any]:
        return {"rows_per_request": 40, "weight": 1}

    def fetch(self, request: Any) -> list[dict[str, Any]]:
        low, high = (int((moment - START) / HOUR) for moment in (request.start, request.end))
        known = {"open": 2.0, "high": 3.0, "low": 1.0, "close": 2.0}
        asked = (hour for hour in range(max(low, 0), min(high, HOURS)) if hour not in self.hidden)
        return [{"ts": START + hour * HOUR, "volume": self.versions[hour][-1]} | known for hour in asked]


class Dying:
    """A store that is killed before it commits."""

    def __init__(self, held: LocalCheckpointStore) -> None:
        self.held = held

    def load(self, key: str) -> Any:
        return self.held.load_sync(key)

    def commit(self, key: str, **_: Any) -> None:
        raise UnavailableError("killed")

    def list(self, prefix: str = "") -> list[str]:
        return self.held.list_sync(prefix)

    def delete(self, key: str) -> None:
        return None

    def reset(self, key: str) -> int:
        return self.held.load_sync(key).generation


class World:
    """One lake and one checkpoint, and everything that may happen to them."""

    def __init__(self, folder: Path, seed: int) -> None:
        self.chance = random.Random(seed)
        self.model = Model(self.chance)
        self.lake = BronzeWriter((folder / "bronze").as_uri())
        self.silver = SilverWriter((folder / "silver").as_uri(), self.lake)
        self.store = LocalCheckpointStore(folder / "checkpoints")
        self.folder = folder

    def run(self, kind: type, dies: bool = False, **options: Any) -> dict[str, Any]:
        parts = {
            "adapter": self.model,
            "writer": self.lake,
            "checkpoint_store": Dying(self.store) if dies else self.store,
            "chunk_strategy": FixedChunkStrategy(self.chance.choice([7, 24, 40])),
            "rate_limiter": AdaptiveRateLimiter(9999, 9999, 1),
        }
        result = asyncio.run(kind(**parts, **options).execute(Context()))
        assert dies or result["status"] == "success", result
        return result

    def span(self) -> dict[str, Any]:
        low, high = sorted(self.chance.sample(range(HOURS + 1), 2))
        return {"start": START + low * HOUR, "end": START + high * HOUR}

    def step(self) -> None:
        wanted = {"symbols": ["BTC"], "timeframes": ["1h"]}
        overlap = {"overlap": self.chance.choice([0, 2, 5])}
        dies = self.chance.random() < 0.25
        match self.chance.choice(["update", "update", "head", "backfill", "restate", "appear", "repair", "compact"]):
            case "update":
                self.run(IncrementalWorkflow, dies, **wanted, **self.span(), **overlap)
            case "head":
                end = START + self.chance.randrange(1, HOURS + 1) * HOUR
                self.run(IncrementalWorkflow, dies, **wanted, start=START, end=end, **overlap)
            case "backfill":
                self.run(BackfillWorkflow, dies, **wanted, **self.span())
            case "restate":
                for hour in self.chance.sample(range(HOURS), 5):
                    self.model.versions[hour].append(self.model.versions[hour][-1] + 1)
            case "appear" if self.model.hidden:
                self.model.hidden.discard(self.chance.choice(sorted(self.model.hidden)))
            case "repair" if self.store.load_sync(SERIES) is not None:
                self.run(RepairWorkflow, series=[SERIES], end=START + HOURS * HOUR, pause=0.0)
            case "compact":
                compact(SERIES, silver=self.silver)

    def rows(self, lake: str) -> list[tuple[int, float]]:
        rows = stored(self.folder / lake, ("volume",))
        return [((row[1] - int(START.timestamp()) * 1000) // 3_600_000, row[2]) for row in rows]


@pytest.mark.parametrize("seed", range(40))
def test_each_bar_is_there_once_in_a_version_that_was_said(seed, tmp_path):
    world = World(tmp_path, seed)
    for _ in range(25):
        world.step()
    end = {"start": START, "end": START + HOURS * HOUR}
    world.run(BackfillWorkflow, symbols=["BTC"], timeframes=["1h"], **end)
    rows = world.rows("bronze")
    assert len({hour for hour, _ in rows}) == len(rows), "each bar once"
    assert all(value in world.model.versions[hour] for hour, value in rows)
    held = world.store.load_sync(SERIES)
    has = {int((low - START) / HOUR) + step for low, high in held.data for step in range(int((high - low) / HOUR))}
    assert {hour for hour, _ in rows} == has, "the checkpoint knows exactly the rows that are there"
    world.model.hidden.clear()
    world.run(RepairWorkflow, series=[SERIES], end=START + HOURS * HOUR, force=True)
    assert [hour for hour, _ in world.rows("bronze")] == list(range(HOURS))
    whole = [{"series": SERIES, "start": START, "end": START + HOURS * HOUR}]
    world.run(RepairWorkflow, holes=whole)
    latest = [(hour, world.model.versions[hour][-1]) for hour in range(HOURS)]
    assert world.rows("bronze") == latest, "asked for by name, everything is up to date"
    compact(SERIES, silver=world.silver)
    assert world.rows("silver") == latest
