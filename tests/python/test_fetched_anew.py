"""What is fetched anew takes the place of the old, however both were cut: bronze has each row once, silver the new."""

from __future__ import annotations

import asyncio
import uuid
from datetime import datetime, timedelta, timezone
from pathlib import Path

import pyarrow.dataset
import pytest
from pyarrow.fs import FileSystem, LocalFileSystem, S3FileSystem

from quant_framework.errors import InvalidError
from quant_framework.ingestion.backfill import LocalCheckpointStore
from quant_framework.ingestion.chunking import FixedChunkStrategy
from quant_framework.ingestion.writers import BronzeWriter, SilverWriter
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


class Place:
    """A bronze lake, a silver one and checkpoints; how the lakes are read by others."""

    def __init__(self, folder: Path, root: str, files: FileSystem, **keys: str) -> None:
        self.root, self.files = root, files
        scheme = "s3" if keys else "file"
        self.bronze = BronzeWriter(f"{scheme}://{root}/bronze", **keys)
        self.silver = SilverWriter(f"{scheme}://{root}/silver", self.bronze, **keys)
        self.store = LocalCheckpointStore(folder / "checkpoints")

    def run(
        self, value: float, start: datetime, end: datetime, kind=BackfillWorkflow, hours: int = 168, **options
    ) -> dict:
        workflow = kind(
            Source(value),
            self.bronze,
            self.store,
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

    def rows(self, lake: str) -> list[tuple[datetime, float]]:
        options = {"filesystem": self.files, "partitioning": "hive", "exclude_invalid_files": True}
        table = pyarrow.dataset.dataset(f"{self.root}/{lake}", **options).to_table()
        return sorted(zip(table["ts"].to_pylist(), table["close"].to_pylist(), strict=True))

    def check(self, low: datetime = LOW, high: datetime = HIGH) -> None:
        """Whether the bars between these have the second value, and all others the first."""
        bars = [START + bar * HOUR for bar in range(int((END - START) / HOUR))]
        wanted = [(at, 2.0 if low <= at < high else 1.0) for at in bars]
        assert self.rows("bronze") == wanted
        assert compact(KEY, silver=self.silver)["quarantined"] == 0
        assert self.rows("silver") == wanted


@pytest.fixture(params=["folder", "s3"])
def place(request, tmp_path) -> Place:
    if request.param == "folder":
        return Place(tmp_path, str(tmp_path), LocalFileSystem())
    # One bucket for all: the server makes volumes for each, and has so many.
    s3, bucket = request.getfixturevalue("s3"), "lake"
    keys = {"access_key": s3.access_key, "secret_key": s3.secret_key}
    files = S3FileSystem(endpoint_override=s3.endpoint, allow_bucket_creation=True, **keys)
    files.create_dir(bucket)
    return Place(tmp_path, f"{bucket}/{uuid.uuid4()}", files, endpoint_url=s3.endpoint, **keys)


@pytest.mark.parametrize("hours", [168, 100, 24])
@pytest.mark.parametrize("first", [BackfillWorkflow, IncrementalWorkflow])
def test_a_part_that_is_fetched_anew(place, first, hours):
    place.run(1.0, START, END, first)
    assert place.run(2.0, LOW, HIGH, resume="never", hours=hours)["records_written"] == 252
    place.check()
    # What is not known any more is asked for again, and then the lake holds nothing but what is named.
    place.run(1.0, START, END, hours=hours)
    place.check()


@pytest.mark.parametrize("kind", [BackfillWorkflow, IncrementalWorkflow])
def test_a_part_of_what_was_forgotten(place, kind):
    place.run(1.0, START, END)
    place.store.delete_sync(KEY)
    place.run(2.0, LOW, HIGH, kind)
    place.check()


def test_all_of_it_in_other_chunks(place):
    place.run(1.0, START, END)
    place.run(2.0, START, END, resume="never", hours=100)
    place.check(START, END)


def test_silver_may_not_lie_in_bronze(place):
    place.run(1.0, START, END)
    with pytest.raises(InvalidError, match="silver and bronze both lie in"):
        compact(KEY, lake=place.bronze, silver=place.bronze.url + "/")
    place.check(START, START)
