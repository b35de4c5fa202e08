"""What is fetched anew takes the place of the old, however both were cut: bronze has each row once, silver the new."""

from __future__ import annotations

import asyncio
from datetime import datetime, timedelta, timezone

import pyarrow.dataset
import pytest

from quant_framework.errors import InvalidError
from quant_framework.ingestion.backfill import LocalCheckpointStore
from quant_framework.ingestion.chunking import FixedChunkStrategy
from quant_framework.ingestion.writers import BronzeWriter
from quant_framework.orchestration.tasks import compact
from quant_framework.orchestration.workflows import BackfillWorkflow, IncrementalWorkflow

HOUR = timedelta(hours=1)
KEY = "mine/ohlcv/X/1h"
START, END = datetime(2026, 1, 5, tzinfo=timezone.utc), datetime(2026, 3, 2, tzinfo=timezone.utc)
# Neither a boundary of the old chunks nor of the new ones.
LOW, HIGH = datetime(2026, 2, 10, 5, tzinfo=timezone.utc), datetime(2026, 2, 20, 17, tzinfo=timezone.utc)


class Source:
    """Every price is ``value``."""

    source = "mine"

    def __init__(self, value: float) -> None:
        self.value = value

    def fetch(self, request):
        bars = range(int((request.end - request.start) / HOUR))
        return [(request.start + bar * HOUR, *[self.value] * 4, 7.0) for bar in bars]


@pytest.fixture
def run(tmp_path):
    def run(value: float, start: datetime, end: datetime, kind=BackfillWorkflow, hours: int = 168, **options) -> dict:
        lake, store = BronzeWriter((tmp_path / "bronze").as_uri()), LocalCheckpointStore(tmp_path / "checkpoints")
        workflow = kind(
            Source(value),
            lake,
            store,
            chunk_strategy=FixedChunkStrategy(hours),
            symbols=["X"],
            timeframes=["1h"],
            start=start,
            end=end,
            **options,
        )
        result = asyncio.run(workflow.execute())
        assert result["status"] == "success", result["errors"]
        return result

    return run


def rows(folder) -> list[tuple[datetime, float]]:
    table = pyarrow.dataset.dataset(folder, partitioning="hive", exclude_invalid_files=True).to_table()
    return sorted(zip(table["ts"].to_pylist(), table["close"].to_pylist(), strict=True))


def wanted(low: datetime, high: datetime) -> list[tuple[datetime, float]]:
    bars = [START + bar * HOUR for bar in range(int((END - START) / HOUR))]
    return [(at, 2.0 if low <= at < high else 1.0) for at in bars]


def check(tmp_path, low: datetime = LOW, high: datetime = HIGH) -> None:
    assert rows(tmp_path / "bronze") == wanted(low, high)
    bronze, silver = (tmp_path / "bronze").as_uri(), (tmp_path / "silver").as_uri()
    assert compact(KEY, lake=bronze, silver=silver)["quarantined"] == 0
    assert rows(tmp_path / "silver") == wanted(low, high)


@pytest.mark.parametrize("hours", [168, 100, 24])
@pytest.mark.parametrize("first", [BackfillWorkflow, IncrementalWorkflow])
def test_a_part_that_is_fetched_anew(run, tmp_path, first, hours):
    run(1.0, START, END, first)
    assert run(2.0, LOW, HIGH, resume="never", hours=hours)["records_written"] == 252
    check(tmp_path)
    # What is not known any more is asked for again, and then the lake holds nothing but what is named.
    run(1.0, START, END, hours=hours)
    check(tmp_path)


@pytest.mark.parametrize("kind", [BackfillWorkflow, IncrementalWorkflow])
def test_a_part_of_what_was_forgotten(run, tmp_path, kind):
    run(1.0, START, END)
    LocalCheckpointStore(tmp_path / "checkpoints").delete_sync(KEY)
    run(2.0, LOW, HIGH, kind)
    check(tmp_path)


def test_all_of_it_in_other_chunks(run, tmp_path):
    run(1.0, START, END)
    run(2.0, START, END, resume="never", hours=100)
    check(tmp_path, START, END)


def test_silver_may_not_lie_in_bronze(run, tmp_path):
    run(1.0, START, END)
    bronze = (tmp_path / "bronze").as_uri()
    with pytest.raises(InvalidError, match="silver and bronze both lie in"):
        compact(KEY, lake=bronze, silver=bronze + "/")
    check(tmp_path, START, START)
