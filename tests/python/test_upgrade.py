"""What older versions left is read and gone on from; what newer ones left is refused and not touched."""

from __future__ import annotations

import asyncio
import json
import shutil
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import psycopg
import pyarrow
import pyarrow.parquet
import pytest

import golden
import quant_framework
from checkpoint_places import S3Place
from golden import BACKFILLED, HOUR, SERIES, START, UPDATED, Golden, truth
from quant_framework.errors import InvalidError
from quant_framework.ingestion.backfill import (
    Checkpoint,
    CheckpointManager,
    DatabaseCheckpointStore,
    LocalCheckpointStore,
    MemoryCheckpointStore,
)
from quant_framework.ingestion.rate_limit import SharedRateLimiter
from quant_framework.ingestion.writers import BronzeWriter
from quant_framework.orchestration.checkpoint import open_checkpoint_store
from quant_framework.orchestration.tasks import compact, detect_gaps, validate_rows

GOLDEN = Path(__file__).parents[1] / "golden"
VERSIONS = sorted(path.name for path in GOLDEN.iterdir() if path.is_dir())
NAMES = ("open", "high", "low", "close", "volume")


@pytest.fixture(params=VERSIONS)
def left(request, tmp_path) -> Path:
    """A copy of what one version left."""
    return shutil.copytree(GOLDEN / request.param, tmp_path / request.param)


@pytest.fixture
def facts(left) -> dict[str, dict[str, Any]]:
    """What that version itself read from its checkpoints."""
    return json.loads((left / "facts.json").read_text())


@pytest.fixture
def source(facts) -> Golden:
    """The source as that version knew it."""
    source = Golden()
    source.fingerprint = facts[SERIES[0]]["fingerprint"]
    return source


def fact(checkpoint: Checkpoint) -> dict[str, Any]:
    spans = {
        name: [[at.isoformat() for at in span] for span in getattr(checkpoint, name)] for name in ("data", "empty")
    }
    return spans | {"generation": checkpoint.generation, "fingerprint": checkpoint.fingerprint}


def all_facts(store: Any) -> dict[str, dict[str, Any]]:
    return {series: fact(store.load_sync(series)) for series in store.list_sync()}


def rows(files: list[Path]) -> list[tuple]:
    tables = [pyarrow.parquet.read_table(path, partitioning=None) for path in files]
    found = [row for table in tables for row in table.to_pylist()]
    return sorted((row["ts"].astimezone(timezone.utc), *(row[name] for name in NAMES)) for row in found)


def bronze(folder: Path, symbol: str = "BTC") -> list[tuple]:
    """The rows of a symbol as any reader of Parquet sees them."""
    encoded = SERIES[list(golden.HOLES).index(symbol)].split("/")[2]
    return rows(sorted((folder / "lake" / "bronze").glob(f"source=*/*/symbol={encoded}/*/*.parquet")))


def test_this_version_has_its_folder():
    assert quant_framework.__version__ in VERSIONS


def test_checkpoints_in_files_and_in_a_bucket_are_read(left, facts, s3):
    assert all_facts(LocalCheckpointStore(left / "checkpoints")) == facts
    place = S3Place(s3)
    for path in (left / "checkpoints").rglob("*.json"):
        place.write(str(path.relative_to(left / "checkpoints")), path.read_bytes())
    assert all_facts(place.store()) == facts


def test_a_run_goes_on_and_asks_for_nothing_that_is_known(left, source):
    assert bronze(left) == truth("BTC", UPDATED)
    assert golden.backfill(left, source)["status"] == "success"
    assert source.asked == []
    end = BACKFILLED + 30 * HOUR
    assert golden.backfill(left, source, end)["status"] == "success"
    assert min(low for _, low, _ in source.asked) == (BACKFILLED - START) // HOUR
    for symbol in golden.HOLES:
        assert bronze(left, symbol) == truth(symbol, end), "each row once"


def test_an_update_goes_on(left, source):
    for hours in (1, 2, 30):
        end = UPDATED + hours * HOUR
        assert golden.update(left, source, end)["status"] == "success"
        assert bronze(left) == truth("BTC", end)
    assert min(low for _, low, _ in source.asked) > (UPDATED - START) // HOUR - 24, "no more than the last bars"


def test_a_lake_is_read_checked_and_compacted(left):
    lake = BronzeWriter((left / "lake" / "bronze").as_uri())
    for symbol, series in zip(golden.HOLES, SERIES, strict=True):
        end = UPDATED if symbol == "BTC" else BACKFILLED
        table = pyarrow.table(lake.read_sync(series, START, end))
        assert [row["close"] for row in table.to_pylist()] == [row[4] for row in truth(symbol, end)]
        report = validate_rows(series, START, end, lake=lake, checkpoint=(left / "checkpoints").as_uri())
        assert report["rows"] == len(truth(symbol, end))
        assert [found for found in report["findings"] if found["severity"] == "error"] == []
        compact(series, silver=golden.silver(left))
        (whole,) = (left / "lake" / "silver").glob(f"source=*/*/symbol={series.split('/')[2]}/*/*.parquet")
        assert rows([whole]) == truth(symbol, end)


def test_holes_keep_their_history(left, source, facts):
    store = LocalCheckpointStore(left / "checkpoints")
    before = detect_gaps(SERIES[0], START, UPDATED, store)["gaps"]
    expected = {(START + hour * HOUR).isoformat().replace("+00:00", "Z") for hour in (10, 40, golden.WRONG, 90)}
    assert {gap["start"] for gap in before} == expected
    attempts = 2 if f"{SERIES[0]}/gaps" in facts else 1
    assert {gap["attempts"] for gap in before} == {attempts}
    golden.repair(left, source, pause=0.0)
    after = detect_gaps(SERIES[0], START, UPDATED, store)["gaps"]
    assert {gap["attempts"] for gap in after} == {attempts + 1}
    assert [gap["first_seen"] for gap in after] == [gap["first_seen"] for gap in before]


def test_checkpoints_are_rebuilt_from_an_older_lake(left, facts):
    store = MemoryCheckpointStore()
    manager = CheckpointManager(store)
    asyncio.run(manager.repair(lake=BronzeWriter((left / "lake" / "bronze").as_uri())))
    for series in SERIES:
        assert fact(store.load_sync(series))["data"] == facts[series]["data"]


def test_tables_are_read_and_gone_on_from(left, facts, database, source):
    dump = left / "tables.sql"
    if not dump.exists():
        pytest.skip("that version had no tables")
    with psycopg.connect(database, autocommit=True) as connection:
        connection.execute(dump.read_text())
    store = DatabaseCheckpointStore(database)
    assert all_facts(store) == facts
    assert golden.backfill(left, source, checkpoint_store=store)["status"] == "success"
    assert source.asked == []
    end = BACKFILLED + 30 * HOUR
    assert golden.backfill(left, source, end, checkpoint_store=store)["status"] == "success"
    assert store.load_sync(SERIES[1]).data == [(START, end)]
    spend(database)


def test_a_quota_in_a_folder_is_gone_on_from(left):
    if not (left / "limits").exists():
        pytest.skip("that version shared no quota")
    spend((left / "limits").as_uri())


def spend(place: str) -> None:
    """Of 40 in a year 7 were spent."""
    limiter = SharedRateLimiter(place, golden.SCOPE, golden.WINDOWS)
    limiter.acquire_sync(weight=33, max_wait=0.0)
    used = limiter.stats()["windows"][0]["used"]
    limiter.close()
    assert used in (40, 33), "a year after the folder was made the 7 no longer count"


def test_an_export_is_imported(left, facts):
    document = left / "export.json"
    if not document.exists():
        pytest.skip("that version had no export")
    store = MemoryCheckpointStore()
    asyncio.run(CheckpointManager(store).load_export(document.read_text()))
    assert all_facts(store) == facts


@pytest.fixture
def own(tmp_path) -> Path:
    """A copy of what this version leaves."""
    return shutil.copytree(GOLDEN / quant_framework.__version__, tmp_path / "own")


def every_byte(folder: Path) -> dict[str, bytes]:
    return {str(path): path.read_bytes() for path in sorted(folder.rglob("*")) if path.suffix in (".parquet", ".json")}


def refused(*calls: Any) -> None:
    for call in calls:
        with pytest.raises(InvalidError, match=r"format 9, .*hint: upgrade quant-framework; "):
            call()


def test_an_object_of_a_newer_version_is_refused_and_left_as_it_is(own, source_of_own):
    (cell,) = (own / "lake" / "bronze").rglob("*.cell.parquet")
    table = pyarrow.parquet.read_table(cell, partitioning=None)
    newer = {b"quant_framework.format": b"9"}
    pyarrow.parquet.write_table(table.replace_schema_metadata(newer), cell)
    before = every_byte(own)
    lake = BronzeWriter((own / "lake" / "bronze").as_uri())
    refused(
        lambda: lake.read_sync(SERIES[0], START, UPDATED),
        lambda: compact(SERIES[0], silver=golden.silver(own)),
    )
    result = golden.update(own, source_of_own, UPDATED + HOUR)
    assert result["status"] != "success"
    assert "format 9" in result["errors"][0]["message"]
    assert every_byte(own) == before


@pytest.fixture
def source_of_own() -> Golden:
    return Golden()


def test_a_gap_ledger_of_a_newer_version_is_refused_and_left_as_it_is(own, source_of_own):
    store = LocalCheckpointStore(own / "checkpoints")
    key = f"{SERIES[0]}/gaps"
    held = store.load_sync(key)
    newer = held.cursor.replace('"format":1', '"format":9')
    assert newer != held.cursor
    store.commit_sync(key, generation=held.generation + 1, cursor=newer)
    before = every_byte(own)
    result = golden.repair(own, source_of_own, pause=0.0)
    assert "format 9" in result["errors"][0]["message"]
    assert every_byte(own) == before


def test_tables_of_a_newer_version_are_refused(own, database):
    with psycopg.connect(database, autocommit=True) as connection:
        connection.execute((own / "tables.sql").read_text())
        connection.execute("UPDATE quant_framework.format SET format = 9, min_reader = 9")
    refused(lambda: open_checkpoint_store(database).load_sync(SERIES[0]))


def test_an_older_version_is_told_by_what_it_cannot_read():
    """``min_reader`` of what is written now: a release that raises a format finds this test."""
    (text,) = [path.read_text() for path in (GOLDEN / "0.1.0" / "checkpoints").rglob("BTC/1h.json")]
    stored = json.loads(text)
    assert (stored["format"], stored["min_reader"]) == (2, 2)
    assert datetime.now(timezone.utc) > UPDATED
