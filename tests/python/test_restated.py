"""The head of a series: an object that grows, restated bars, rows that cannot be true, runs that were killed."""

from __future__ import annotations

import asyncio
import threading
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow.parquet
import pytest
from pyarrow.fs import S3FileSystem

from conftest import START, Context
from orchestration_runs import BTC, Xcoms, adapter, execute, facts, had, known, stored
from quant_framework.errors import UnavailableError
from quant_framework.ingestion.backfill import LocalCheckpointStore
from quant_framework.ingestion.rate_limit import AdaptiveRateLimiter
from quant_framework.ingestion.writers import BronzeWriter, SilverWriter
from quant_framework.orchestration.operators import BackfillOperator, IncrementalOperator
from quant_framework.orchestration.tasks import compact
from quant_framework.orchestration.workflows import BackfillWorkflow, IncrementalWorkflow
from quant_framework.testing import Fault

pytest_plugins = ["orchestration_fixtures"]

MINUTE, HOUR, DAY = timedelta(minutes=1), timedelta(hours=1), timedelta(days=1)
MINUTES = f"coinalyze/ohlcv/{BTC}/1m"


def update(**options: Any) -> dict[str, Any]:
    context = options.pop("context", {})
    defaults = {"symbols": [BTC], "timeframes": ["1m"], "adapter_options": {"retention": None}, "start": START}
    return execute(IncrementalOperator(task_id="update", **(defaults | options)), Xcoms(), **context)


def lake_of(home: Path) -> Path:
    return home / "lake" / "bronze"


def objects(home: Path, series: str = "1m") -> list[str]:
    return sorted(path.name for path in lake_of(home).glob(f"source=*/*/*/timeframe={series}/*.parquet"))


def workflow(kind: type, exchange: Any, folder: Path, **options: Any) -> Any:
    defaults = {
        "adapter": adapter(exchange),
        "writer": BronzeWriter((folder / "lake" / "bronze").as_uri()),
        "checkpoint_store": LocalCheckpointStore(folder / "checkpoints"),
        "rate_limiter": AdaptiveRateLimiter(9999, 9999, 1),
        "symbols": [BTC],
        "timeframes": ["1m"],
        "start": START,
    }
    return kind(**(defaults | options))


def test_a_run_a_minute_makes_one_object_a_day_and_each_row_once(home, exchange):
    midnight = START + DAY
    for minute in range(-20, 15):
        update(end=midnight + minute * MINUTE)
    assert objects(home) == [
        "20260105T000000Z-20260106T000000Z.cell.parquet",
        "20260106T000000Z-20260107T000000Z.cell.parquet",
    ]
    end = midnight + 14 * MINUTE
    assert stored(lake_of(home)) == had(exchange, BTC, "1min", end=end)
    assert facts(home, MINUTES)[:2] == ([(START, end)], [])
    assert not (lake_of(home) / "_replaced").exists(), "a bar that is said again as before replaces nothing"
    assert exchange.stats()["requests"] == 35, "the last bars are asked for again by the request for the new one"


def test_what_lies_far_back_goes_into_chunks_and_only_the_newest_into_cells(home, exchange):
    result = update(end=START + 3 * DAY + 5 * MINUTE)
    assert result["records_written"] == 3 * 1440 + 5
    *chunks, cell = objects(home)
    assert cell == "20260108T000000Z-20260109T000000Z.cell.parquet"
    assert chunks
    assert not any("cell" in name for name in chunks)
    update(end=START + 3 * DAY + 6 * MINUTE)
    assert objects(home) == [*chunks, cell]


def test_restated_bars_end_in_bronze_and_silver_and_are_counted(home, exchange):
    ends = [START + minutes * MINUTE for minutes in range(5, 12)]
    counts = []
    for end in ends:
        exchange.inject(Fault("preliminary", times=1))
        counts.append(update(end=end)["rows_restated"])
    assert counts == [0, 1, 1, 1, 1, 1, 1], "each run finds that the newest bar of the one before was preliminary"
    truth = had(exchange, BTC, "1min", end=ends[-1])
    assert stored(lake_of(home))[:-1] == truth[:-1]
    before = sorted((lake_of(home) / "_replaced").rglob("*.parquet"))
    assert len(before) == 6, "nothing that was stored is lost"
    volumes = [pyarrow.parquet.read_table(path)["volume"].to_pylist() for path in before]
    assert sorted(volumes) == sorted([row[-1] / 2] for row in truth[4:-1])
    silver = SilverWriter((home / "silver").as_uri(), BronzeWriter(lake_of(home).as_uri()))
    compact(MINUTES, silver=silver)
    update(end=ends[-1] + MINUTE)
    done = compact(MINUTES, silver=silver)
    assert done["rows"] == len(stored(home / "silver")) == 12
    assert stored(home / "silver") == had(exchange, BTC, "1min", end=ends[-1] + MINUTE)


def test_a_restated_bar_that_lies_in_a_chunk_is_replaced_there(home, exchange):
    exchange.inject(Fault("preliminary", times=1))
    options = {"symbols": [BTC], "timeframes": ["1m"], "adapter_options": {"retention": None}}
    execute(BackfillOperator(task_id="b", start=START, end=START + HOUR, **options), Xcoms())
    assert update(end=START + HOUR + MINUTE)["rows_restated"] == 1
    assert objects(home) == [
        "20260105T000000Z-20260105T010000Z.parquet",
        "20260105T000000Z-20260106T000000Z.cell.parquet",
    ]
    assert stored(lake_of(home)) == had(exchange, BTC, "1min", end=START + HOUR + MINUTE)


@pytest.mark.parametrize("overlap", [0, 1, 10])
def test_the_overlap_says_how_many_bars_are_asked_for_again(overlap, home, exchange):
    update(end=START + HOUR)
    exchange.reset()
    update(end=START + HOUR + MINUTE, overlap=overlap)
    (entry,) = [entry for entry in exchange.ledger if entry.get("from")]
    assert int(entry["from"]) == int((START + HOUR - overlap * MINUTE).timestamp())


def test_a_series_goes_on_where_its_checkpoint_begins(home, exchange):
    with pytest.raises(Exception, match="nothing is known of it yet"):
        update(start=None, end=START + HOUR)
    update(end=START + HOUR)
    update(start=None, end=START + 2 * HOUR)
    update(start=None, context={"data_interval_start": START + 3 * HOUR, "data_interval_end": START + 4 * HOUR})
    assert facts(home, MINUTES)[0] == [(START, START + 2 * HOUR), (START + 3 * HOUR, START + 4 * HOUR)]
    update(start=None, end=START + 4 * HOUR)
    assert facts(home, MINUTES)[:2] == ([(START, START + 4 * HOUR)], [])
    assert stored(lake_of(home)) == had(exchange, BTC, "1min", end=START + 4 * HOUR)


async def test_runs_at_once_leave_each_row_once(exchange, tmp_path):
    """Sixteen that overlap, without claims: each merges what it has into what is there."""
    low = START + 20 * HOUR
    runs = [
        workflow(IncrementalWorkflow, exchange, tmp_path, start=low, end=low + (number + 1) * 17 * MINUTE)
        for number in range(16)
    ]
    results = await asyncio.gather(*(run.execute(Context()) for run in runs))
    assert {result["status"] for result in results} == {"success"}
    end = low + 16 * 17 * MINUTE
    assert stored(tmp_path / "lake" / "bronze") == had(exchange, BTC, "1min", start=low, end=end)
    assert len(list((tmp_path / "lake").rglob("*.parquet"))) == 2


async def test_runs_at_once_on_s3_leave_each_row_once(exchange, tmp_path, s3):
    bucket = f"restated-{tmp_path.name}".lower().replace("_", "-")[:60].rstrip("-")
    options = {"endpoint_override": s3.endpoint, "allow_bucket_creation": True}
    files = S3FileSystem(access_key=s3.access_key, secret_key=s3.secret_key, **options)
    files.create_dir(bucket)
    keys = {"endpoint_url": s3.endpoint, "access_key": s3.access_key, "secret_key": s3.secret_key}
    lake = BronzeWriter(f"s3://{bucket}/bronze", **keys)
    for turn in range(2):
        exchange.inject(Fault("preliminary", times=3))
        ends = [START + (turn * 40 + number * 5 + 5) * MINUTE for number in range(8)]
        runs = [workflow(IncrementalWorkflow, exchange, tmp_path, writer=lake, end=end) for end in ends]
        await asyncio.gather(*(run.execute(Context()) for run in runs))
    end = START + 80 * MINUTE
    last = await workflow(IncrementalWorkflow, exchange, tmp_path, writer=lake, end=end + MINUTE, overlap=80).execute(
        Context()
    )
    assert last["status"] == "success"
    table = pyarrow.parquet.read_table(f"{bucket}/bronze/source=coinalyze", filesystem=files)
    rows = sorted(zip(table["ts"].cast("int64").to_pylist(), table["volume"].to_pylist(), strict=True))
    assert rows == [(row[1], row[-1]) for row in had(exchange, BTC, "1min", end=end + MINUTE)]


def killed(kind: type, exchange: Any, folder: Path, **options: Any) -> dict[str, Any]:
    class Dying:
        """A store that cannot commit."""

        def __init__(self, store: LocalCheckpointStore) -> None:
            self.held = store

        def load(self, key: str) -> Any:
            return self.held.load_sync(key)

        def commit(self, key: str, **_: Any) -> None:
            raise UnavailableError("killed")

        def list(self, prefix: str = "") -> Any:
            return self.held.list_sync(prefix)

        def delete(self, key: str) -> None:
            return None

        def reset(self, key: str) -> int:
            return self.held.reset_sync(key)

    store = Dying(LocalCheckpointStore(folder / "checkpoints"))
    return asyncio.run(workflow(kind, exchange, folder, checkpoint_store=store, **options).execute(Context()))


@pytest.mark.parametrize("first", [IncrementalWorkflow, BackfillWorkflow])
@pytest.mark.parametrize("second", [IncrementalWorkflow, BackfillWorkflow])
def test_what_a_killed_run_left_is_there_once_after_the_next(first, second, exchange, tmp_path):
    begin = asyncio.run(workflow(first, exchange, tmp_path, end=START + HOUR).execute(Context()))
    assert begin["status"] == "success"
    left = killed(first, exchange, tmp_path, end=START + 3 * HOUR)
    assert left["status"] != "success"
    lake = tmp_path / "lake" / "bronze"
    assert len(stored(lake)) == 180, "written and not committed"
    for end in (START + 2 * HOUR, START + 4 * HOUR, START + 4 * HOUR + MINUTE):
        result = asyncio.run(workflow(second, exchange, tmp_path, end=end).execute(Context()))
        assert result["status"] == "success"
        rows = stored(lake)
        assert len(rows) == len(set(rows)) or end == START + 2 * HOUR
    assert stored(lake) == had(exchange, BTC, "1min", end=START + 4 * HOUR + MINUTE)
    assert facts(tmp_path, MINUTES)[:2] == ([(START, START + 4 * HOUR + MINUTE)], [])


def test_a_killed_update_and_the_backfill_of_its_day(exchange, tmp_path):
    """The cell keeps what is committed and loses what the chunk holds now."""
    asyncio.run(workflow(IncrementalWorkflow, exchange, tmp_path, end=START + HOUR).execute(Context()))
    killed(IncrementalWorkflow, exchange, tmp_path, end=START + 2 * HOUR)
    asyncio.run(workflow(BackfillWorkflow, exchange, tmp_path, end=START + 90 * MINUTE).execute(Context()))
    lake = tmp_path / "lake" / "bronze"
    rows = stored(lake)
    assert len(rows) == len(set(rows)) == 120
    asyncio.run(workflow(BackfillWorkflow, exchange, tmp_path, end=START + DAY).execute(Context()))
    assert stored(lake) == had(exchange, BTC, "1min", end=START + DAY)


def test_a_writer_of_an_authors_own_gets_chunks(exchange, tmp_path):
    class Own(BronzeWriter):
        def write(self, series, range, batch):
            return super().write(series, range, batch)

    lake = Own((tmp_path / "lake" / "bronze").as_uri())
    for minutes in (60, 61, 62):
        job = workflow(IncrementalWorkflow, exchange, tmp_path, writer=lake, end=START + minutes * MINUTE)
        assert asyncio.run(job.execute(Context()))["status"] == "success"
    assert len(list((tmp_path / "lake").rglob("*.parquet"))) == 3
    assert stored(tmp_path / "lake" / "bronze") == had(exchange, BTC, "1min", end=START + 62 * MINUTE)


REASONS = {"bad_ohlc": "values", "off_grid": "grid"}


@pytest.mark.parametrize("kind", REASONS)
def test_a_row_that_cannot_be_true_is_asked_for_once_more_and_then_kept_apart(kind, home, exchange):
    options = {"symbols": [BTC], "timeframes": ["1h"], "adapter_options": {"retention": None}, "concurrency": 1}
    exchange.inject(Fault(kind, times=1))
    fine = execute(BackfillOperator(task_id="b", start=START, end=START + DAY, **options), Xcoms())
    assert (fine["rows_quarantined"], fine["records_written"]) == (0, 24), "the fault has passed"
    assert not (lake_of(home) / "_quarantine").exists()
    exchange.inject(Fault(kind, times=2))
    bad = execute(BackfillOperator(task_id="b", start=START, end=START + 2 * DAY, **options), Xcoms())
    assert (bad["status"], bad["rows_quarantined"], bad["records_written"]) == ("success", 1, 23)
    (path,) = (lake_of(home) / "_quarantine").rglob("*.parquet")
    table = pyarrow.parquet.read_table(path)
    assert (table.num_rows, table["reason"].to_pylist()) == (1, [REASONS[kind]])
    assert set(table.column_names) >= {"ts", "open", "high", "low", "close", "volume"}
    assert known(home).empty == [(START + DAY, START + DAY + HOUR)], "a gap that everybody can see"
    assert stored(lake_of(home)) == [
        row for row in had(exchange, BTC, end=START + 2 * DAY) if row[1] != at(START + DAY)
    ]
    exchange.reset()
    execute(BackfillOperator(task_id="b", start=START, end=START + 2 * DAY, **options), Xcoms())
    assert exchange.stats()["requests"] == 0, "and no quota is spent on it again"


def at(moment: datetime) -> int:
    return int(moment.timestamp()) * 1000


def test_a_writer_without_a_quarantine_refuses_such_rows(exchange, tmp_path):
    class Own:
        def write(self, series, range, batch):
            raise AssertionError("nothing is to be written")

    exchange.inject(Fault("bad_ohlc", times=2))
    job = workflow(BackfillWorkflow, exchange, tmp_path, writer=Own(), timeframes=["1h"], end=START + DAY)
    result = asyncio.run(job.execute(Context()))
    assert result["status"] == "failed"
    assert "this writer has no quarantine: the bar of 2026-01-05T00:00:00Z says open" in result["errors"][0]["message"]


def test_threads_that_update_one_lake_lose_nothing(exchange, tmp_path):
    """Each with a loop and a store object of its own, as tasks of one machine."""
    ends = [START + (number + 1) * 3 * MINUTE for number in range(12)]
    failed: list[BaseException] = []

    def run(end: datetime) -> None:
        try:
            result = asyncio.run(workflow(IncrementalWorkflow, exchange, tmp_path, end=end).execute(Context()))
            assert result["status"] == "success"
        except BaseException as error:
            failed.append(error)

    threads = [threading.Thread(target=run, args=(end,)) for end in ends]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failed == []
    assert stored(tmp_path / "lake" / "bronze") == had(exchange, BTC, "1min", end=ends[-1])
