"""The main job through the Python surface: what is asked, what lies in the lake, what the report says."""

from __future__ import annotations

import asyncio
import csv
import shutil
import struct
import subprocess
import threading
from datetime import datetime, timedelta, timezone
from itertools import pairwise

import pyarrow.dataset
import pyarrow.parquet
import pytest

from conftest import END, START, Context
from quant_framework.errors import InvalidError
from quant_framework.ingestion.backfill import CheckpointManager, LocalCheckpointStore, MemoryCheckpointStore
from quant_framework.ingestion.chunking import FixedChunkStrategy
from quant_framework.ingestion.rate_limit import CoinalyzeRateLimiter
from quant_framework.ingestion.writers import BronzeWriter
from quant_framework.testing import Fault, OfflineExchange

KEY = "coinalyze/ohlcv/BTCUSDT_PERP.A/1h"
VALUES = ("open", "high", "low", "close", "volume")


def lake_rows(folder) -> list[tuple]:
    """Every row of the lake in time order: milliseconds and the five values."""
    table = pyarrow.dataset.dataset(folder, partitioning="hive").to_table()
    columns = [table["ts"].cast("int64").to_pylist(), *(table[name].to_pylist() for name in VALUES)]
    return sorted(zip(*columns, strict=True))


def moment(text: str) -> int:
    return int(datetime.fromisoformat(text.replace("Z", "+00:00")).timestamp() * 1000)


def bits(rows: list[tuple]) -> list[bytes]:
    return [struct.pack("<q5d", *row) for row in rows]


async def test_the_lake_holds_what_the_exchange_has_and_a_second_run_asks_nothing(exchange, make, tmp_path, context):
    result = await make(exchange).execute(context)
    start, end = int(START.timestamp()), int(END.timestamp())
    expected = [(at * 1000, *values) for at, *values in exchange.candles("BTCUSDT_PERP.A", "1hour", start, end)]
    assert result["status"] == "success"
    assert result["records_written"] == len(expected) == 14 * 24
    assert bits(lake_rows(tmp_path / "lake")) == bits(expected)
    for key in ("duration_seconds", "errors", "chunks_planned", "chunks_done", "chunks_skipped", "requests"):
        assert key in result
    exchange.reset()
    again = await make(exchange).execute(context)
    assert (again["status"], again["chunks_skipped"], exchange.stats()["requests"]) == ("success", 2, 0)


@pytest.mark.parametrize(("name", "holes"), [("BTC-PERP", 0), ("UNITTEST-BTC", 538)])
async def test_recorded_candles_arrive_bit_for_bit_and_the_holes_are_named(
    name, holes, recorded_folder, make, tmp_path, context
):
    with (recorded_folder / f"{name}_1m.csv").open(newline="") as file:
        rows = [(int(r["ts_ms"]), *(float(r[column]) for column in VALUES)) for r in csv.DictReader(file)]
    first, last = (datetime.fromtimestamp(rows[at][0] / 1000, timezone.utc) for at in (0, -1))
    with OfflineExchange(recorded=recorded_folder, limit=None) as exchange:
        span = {"start": first, "end": last + timedelta(minutes=1)}
        workflow = make(exchange, symbols=[f"{name}.R"], timeframes=["1m"], **span)
        result = await workflow.execute(context)
    assert result["status"] == "success", result["errors"]
    assert bits(lake_rows(tmp_path / "lake")) == bits(rows)
    expected = [(low + 60_000, high) for (low, *_), (high, *_) in pairwise(rows) if high - low > 60_000]
    gaps = result["series"][0]["gaps"]
    milliseconds = [tuple(moment(gap[end]) for end in ("start", "end")) for gap in gaps]
    assert milliseconds == expected
    assert len(gaps) == holes
    assert sum(gap["bars"] for gap in gaps) == sum((high - low) // 60_000 for low, high in expected)


async def test_every_data_type_and_a_bare_name(exchange, make, context, tmp_path):
    kinds = ["ohlcv", "open_interest", "funding_rate", "liquidations", "long_short_ratio"]
    job = {"symbols": ["BTC", "ETH"], "timeframes": ["4h", "1d"], "data_types": kinds}
    result = await make(exchange, **job).execute(context)
    assert result["status"] == "success", result["errors"]
    assert {series["symbol"] for series in result["series"]} == {"BTCUSDT_PERP.A", "ETHUSDT_PERP.A"}
    assert len(result["series"]) == 20
    assert all(not series["gaps"] and series["coverage"] == 1 for series in result["series"])
    sparse = [series["rows"] for series in result["series"] if series["data_type"] == "liquidations"]
    assert sum(sparse) < 100, "liquidations are sparse, and that is no gap"
    exchange.reset()
    assert (await make(exchange, **job).execute(context))["requests"] == 0
    assert exchange.stats()["requests"] == 0, "the name is remembered too"


async def test_parameters_may_come_from_the_context(exchange, make):
    given = {"symbols": ["BTC"], "timeframes": ["1d"], "start": START.isoformat(), "end": "2026-01-10T00:00:00Z"}
    nothing = dict.fromkeys(("symbols", "timeframes", "start", "end"))
    result = await make(exchange, **nothing).execute(Context(**given))
    assert (result["status"], result["records_written"]) == ("success", 5)


async def test_only_closed_bars_are_stored_and_the_rest_follows_later(make, context, tmp_path):
    now = datetime.now(timezone.utc)
    with OfflineExchange(limit=None) as exchange:
        start = (now - timedelta(hours=5)).replace(minute=0, second=0, microsecond=0)
        await make(exchange, start=start, end=now + timedelta(days=1)).execute(context)
    newest = lake_rows(tmp_path / "lake")[-1][0] / 1000
    assert newest + 3600 <= now.timestamp() + 3600 * (datetime.now(timezone.utc).hour != now.hour)


async def test_beyond_retention_is_its_own_answer_and_costs_no_quota(make, context):
    now = datetime.now(timezone.utc)
    with OfflineExchange(limit=None, retention=True) as exchange:
        old = {"start": now - timedelta(days=20), "end": now - timedelta(days=10), "timeframes": ["1m"]}
        result = await make(exchange, retention=2000, **old).execute(context)
        assert result["status"] == "failed"
        assert "beyond retention" in result["errors"][0]["message"]
        assert exchange.stats()["requests"] == 0
        partly = {"start": now - timedelta(days=3), "end": now, "timeframes": ["1m"]}
        result = await make(exchange, retention=2000, **partly).execute(context)
        assert result["status"] == "success"
        kinds = [gap["kind"] for gap in result["series"][0]["gaps"]]
        assert kinds == ["beyond_retention"]
        assert 1990 <= result["records_written"] <= 2001


@pytest.mark.parametrize("kind", ["500", "503", "disconnect", "truncated_body"])
async def test_passing_faults_are_repeated_and_logged(kind, exchange, make, context, tmp_path, caplog):
    exchange.inject(Fault(kind, times=2))
    with caplog.at_level("INFO", logger="quant_framework"):
        result = await make(exchange).execute(context)
    said = [line for line in caplog.records if "failed, again in" in line.message]
    assert len(said) == 2
    assert {(line.name, line.levelname) for line in said} == {("quant_framework.workflows.attempts", "WARNING")}
    assert result["status"] == "success", result["errors"]
    assert result["records_written"] == len(lake_rows(tmp_path / "lake")) == 14 * 24


@pytest.mark.parametrize("kind", ["malformed", "wrong_range", "null_value"])
async def test_wrong_answers_are_refused_and_asked_again_by_the_next_run(kind, exchange, make, context, tmp_path):
    exchange.inject(Fault(kind, times=1))
    result = await make(exchange).execute(context)
    assert result["status"] == "partial"
    assert [error["kind"] for error in result["errors"]] == ["data"]
    assert (await make(exchange).execute(context))["status"] == "success"
    assert len(lake_rows(tmp_path / "lake")) == 14 * 24


@pytest.mark.parametrize("kind", ["duplicates", "unordered"])
async def test_harmless_oddities_are_put_right(kind, exchange, make, context, tmp_path):
    exchange.inject(Fault(kind, times=None))
    result = await make(exchange).execute(context)
    assert result["status"] == "success"
    rows = lake_rows(tmp_path / "lake")
    assert len({row[0] for row in rows}) == len(rows) == 14 * 24


@pytest.mark.parametrize("retry_after", [10, None])
async def test_a_429_is_waited_out_or_parked(retry_after, exchange, make, context):
    exchange.inject(Fault("429", times=1, value=retry_after))
    began = datetime.now(timezone.utc)
    parked = await make(exchange, max_wait=0.5, concurrency=1).execute(context)
    ended = datetime.now(timezone.utc)
    assert (parked["status"], parked["requests"]) == ("parked", 1)
    until = datetime.fromisoformat(parked["until"].replace("Z", "+00:00")) - timedelta(seconds=retry_after or 60)
    assert began - timedelta(seconds=1) < until <= ended + timedelta(seconds=1)
    assert (await make(exchange).execute(context))["status"] == "success"


async def test_the_true_limit_is_never_hit(make, context):
    with OfflineExchange(limit=(10, 1.0)) as exchange:
        limiter = CoinalyzeRateLimiter(1000, 1000, 1, windows=[(10, 1.0)], slack=0.4)
        days = {"timeframes": ["5m"], "start": START, "end": START + timedelta(days=25)}
        result = await make(exchange, rate_limiter=limiter, **days).execute(context)
        assert result["status"] == "success"
        assert "429" not in exchange.stats()
        assert result["throttled_seconds"] > 0


class WithoutReset:
    def load(self, series):
        return None

    def commit(self, series, **_):
        return None


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"start": datetime(2026, 1, 1)}, "aware"),
        ({"start": END, "end": START}, "not after its start"),
        ({"start": "2062-01-01", "end": "2062-01-02"}, "start 2062-01-01T00:00:00Z lies in the future"),
        ({"timeframes": ["7m"]}, "unknown timeframe"),
        ({"timeframes": ["1w"]}, "no 1w bars"),
        ({"timeframes": []}, "timeframes is empty"),
        ({"symbols": []}, "symbols is empty"),
        ({"data_types": ["trades"]}, "unknown data type"),
        ({"concurrency": 0}, "concurrency"),
        ({"resume": "maybe"}, "resume"),
        ({"symbols": ["BTC", None]}, "symbols must be a list of texts, not of None"),
        ({"symbols": 3}, "symbols must be a list of texts, not of 3"),
        ({"symbols": ["BTC\ud800"]}, "symbols"),
        ({"timeframes": [timedelta(hours=1)]}, "timeframes must be a list of texts"),
        ({"concurrency": "8"}, "concurrency"),
        ({"concurrency": 10**30}, "concurrency"),
        ({"max_wait": "12"}, "max_wait"),
        ({"start": datetime.min.replace(tzinfo=timezone(timedelta(hours=14)))}, ""),
        (
            {"checkpoint_store": WithoutReset(), "resume": "never"},
            "checkpoint_store of type WithoutReset has no method",
        ),
    ],
)
async def test_bad_input_is_one_line_before_any_quota(options, says, exchange, make, context):
    result = await make(exchange, **options).execute(context)
    assert result["status"] == "failed"
    message = result["errors"][0]["message"]
    assert says in message
    assert "\n" not in message
    assert exchange.stats()["requests"] == 0


async def test_a_bad_key_a_bad_symbol_and_a_bad_lake(exchange, make, context, tmp_path):
    from quant_framework.ingestion.adapters import CoinalyzeAdapter

    thief = CoinalyzeAdapter(api_key="wrong-key-value", base_url=exchange.url, retention=None)
    result = await make(exchange, adapter=thief, symbols=["A.A", "B.B", "C.C"], concurrency=1).execute(context)
    assert result["status"] == "failed"
    assert "key was refused" in result["errors"][0]["message"]
    assert "wrong-key-value" not in str(result)
    assert result["requests"] == 1
    result = await make(exchange, symbols=["BTCUSDT_PERP.A", "NOPE.A", "NOPE"]).execute(context)
    assert result["status"] == "partial"
    assert {"NOPE.A", "NOPE"} <= {word.strip('"') for error in result["errors"] for word in error["message"].split()}
    (tmp_path / "file").write_text("")
    exchange.reset()
    result = await make(exchange, writer=BronzeWriter((tmp_path / "file" / "lake").as_uri())).execute(context)
    assert (result["status"], exchange.stats()["requests"]) == ("failed", 0)


@pytest.fixture
def small_disk(tmp_path):
    """A real file system of 256 KiB."""
    disk = tmp_path / "disk"
    disk.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=256k", "none", str(disk)]
    if shutil.which("mount") is None or subprocess.run(command, capture_output=True, check=False).returncode:
        pytest.skip("mounting a small file system needs root")
    yield disk
    subprocess.run(["umount", str(disk)], check=True)


async def test_a_full_disk_is_one_line_and_loses_nothing(exchange, make, context, small_disk):
    span = {"timeframes": ["1m"], "end": START + timedelta(days=20), "concurrency": 2}
    result = await make(exchange, writer=BronzeWriter(small_disk.as_uri()), **span).execute(context)
    assert result["status"] == "partial"
    assert {error["kind"] for error in result["errors"]} == {"unavailable"}
    message = result["errors"][0]["message"]
    assert "No space left" in message
    assert "\n" not in message
    asked = result["requests"]
    assert asked < 20, "a full disk stops the run"
    subprocess.run(["mount", "-o", "remount,size=16m", str(small_disk)], check=True)
    result = await make(exchange, writer=BronzeWriter(small_disk.as_uri()), **span).execute(context)
    assert result["status"] == "success"
    assert len(lake_rows(small_disk)) == 20 * 1440
    assert result["chunks_skipped"] > 0


async def test_a_changed_unit_is_not_mixed_into_an_old_checkpoint(exchange, make, context):
    from quant_framework.ingestion.adapters import CoinalyzeAdapter

    assert (await make(exchange).execute(context))["status"] == "success"
    other = CoinalyzeAdapter(api_key="offline", base_url=exchange.url, retention=None, convert_to_usd=True)
    result = await make(exchange, adapter=other).execute(context)
    assert result["errors"][0]["kind"] == "conflict"
    assert (await make(exchange, adapter=other, resume="never").execute(context))["records_written"] == 14 * 24


async def test_dollars_are_what_the_source_says_they_are(exchange, make, context, tmp_path):
    from quant_framework.ingestion.adapters import CoinalyzeAdapter

    values = {}
    for usd in (False, True):
        lake, store = (
            f"file://{tmp_path}/{usd}/lake",
            CheckpointManager(LocalCheckpointStore(tmp_path / str(usd) / "c")),
        )
        adapter = CoinalyzeAdapter(api_key="offline", base_url=exchange.url, retention=None, convert_to_usd=usd)
        parts = {"adapter": adapter, "writer": BronzeWriter(lake), "checkpoint_store": store}
        result = await make(exchange, data_types=["open_interest"], **parts).execute(context)
        assert result["status"] == "success"
        table = pyarrow.dataset.dataset(tmp_path / str(usd) / "lake").to_table().sort_by("ts")
        values[usd] = table["oi_close"].to_pylist()
    start, end = int(START.timestamp()), int(END.timestamp())
    closes = [row[4] for row in exchange.candles("BTCUSDT_PERP.A", "1hour", start, end)]
    assert values[True] == [units * close for units, close in zip(values[False], closes, strict=True)]


async def test_starting_anew_costs_nothing_where_the_source_refuses(exchange, make, context, tmp_path):
    from quant_framework.ingestion.adapters import CoinalyzeAdapter

    assert (await make(exchange).execute(context))["status"] == "success"
    thief = CoinalyzeAdapter(api_key="wrong", base_url=exchange.url, retention=None)
    assert (await make(exchange, adapter=thief, resume="never").execute(context))["status"] == "failed"
    await make(exchange, resume="never").plan()
    assert len(lake_rows(tmp_path / "lake")) == 14 * 24
    assert (await make(exchange).execute(context))["requests"] == 0
    assert (await make(exchange, resume="never").execute(context))["records_written"] == 14 * 24
    assert len(lake_rows(tmp_path / "lake")) == 14 * 24


async def test_the_manager_answers_an_authors_questions(exchange, make, context, tmp_path):
    manager = CheckpointManager(LocalCheckpointStore(tmp_path / "checkpoints"))
    assert await manager.pending(KEY, START, END) == [(START, END)]
    await make(exchange, checkpoint_store=manager).execute(context)
    assert await manager.resume_point(KEY) == END
    later = END + timedelta(days=1)
    assert await manager.pending(KEY, START - timedelta(days=1), later) == [
        (START - timedelta(days=1), START),
        (END, later),
    ]
    assert await manager.list("coinalyze/ohlcv") == [KEY]
    assert await manager.reset(KEY) == 1
    assert await manager.pending(KEY, START, END) == [(START, END)]


async def test_stores_speak_aware_datetimes():
    store = MemoryCheckpointStore()
    await store.commit(KEY, data=[(START, END)], empty=[(END, END + timedelta(hours=1))])
    held = await store.load(KEY)
    assert (held.data, held.generation) == ([(START, END)], 0)
    assert held.watermark == END + timedelta(hours=1)
    assert store.load_sync(KEY) == held
    with pytest.raises(ValueError, match="aware"):
        await store.commit(KEY, data=[(datetime(2026, 1, 1), END)])


async def test_s3_lake(exchange, make, context, s3):
    import pyarrow.fs

    keys = {"access_key": s3.access_key, "secret_key": s3.secret_key, "region": s3.region}
    filesystem = pyarrow.fs.S3FileSystem(endpoint_override=s3.endpoint, **keys)
    filesystem = pyarrow.fs.S3FileSystem(endpoint_override=s3.endpoint, allow_bucket_creation=True, **keys)
    filesystem.create_dir("lake")
    writer = BronzeWriter("s3://lake/bronze", endpoint_url=s3.endpoint, **keys)
    result = await make(exchange, writer=writer).execute(context)
    assert result["status"] == "success", result["errors"]
    table = pyarrow.dataset.dataset("lake/bronze", filesystem=filesystem, partitioning="hive").to_table()
    assert table.num_rows == 14 * 24
    keys["secret_key"] = "wrong-secret-key"
    denied = BronzeWriter("s3://lake/bronze", endpoint_url=s3.endpoint, **keys)
    exchange.reset()
    result = await make(exchange, writer=denied, resume="never").execute(context)
    assert (result["status"], exchange.stats()["requests"]) == ("failed", 0)
    assert "access denied" in result["errors"][0]["message"]
    assert "wrong-secret-key" not in str(result)


@pytest.mark.parametrize("compression", [None, "zstd", "snappy", "none"])
async def test_other_readers_see_the_same_rows_and_the_lineage(compression, exchange, make, context, tmp_path):
    import duckdb
    import polars

    writer = BronzeWriter(f"file://{tmp_path}/lake", compression=compression)
    assert (await make(exchange, writer=writer).execute(context))["status"] == "success"
    rows = lake_rows(tmp_path / "lake")
    columns = "ts, open, high, low, close, volume"
    files = f"{tmp_path}/lake/**/*.parquet"
    ducks = duckdb.sql(f"select epoch_ms(ts), {columns[4:]} from '{files}' order by ts").fetchall()
    frame = polars.read_parquet(files, hive_partitioning=False).sort("ts").select(columns.split(", "))
    bears = frame.with_columns(polars.col("ts").dt.epoch("ms")).rows()
    assert ducks == bears == [row[:6] for row in rows]
    first = next((tmp_path / "lake").rglob("*.parquet"))
    lineage = pyarrow.parquet.read_metadata(first).metadata
    assert b"coinalyze/ohlcv/" in lineage[b"quant_framework.series"]


def test_parts_of_the_wrong_kind_are_named_before_anything_is_asked(exchange, make):
    for argument, part in (
        ("writer", "/lake"),
        ("checkpoint_store", "memory:"),
        ("chunk_strategy", 5),
        ("rate_limiter", 5),
    ):
        result = asyncio.run(make(exchange, **{argument: part}).execute())
        (error,) = result["errors"]
        assert error["kind"] == "invalid"
        assert error["message"].startswith(f"{argument} of type {type(part).__name__} has no method")
    assert exchange.stats()["requests"] == 0


def test_a_run_needs_no_context_and_ends_now(exchange, make):
    start = datetime.now(timezone.utc) - timedelta(hours=5)
    result = asyncio.run(make(exchange, start=start.isoformat(), end=None).execute())
    assert (result["status"], result["records_written"]) == ("success", 4)


async def test_a_reporter_that_fails_or_blocks_costs_nothing(exchange, make, context, caplog):
    """The first exception ended all progress, and the log of the core with it; a slow one held the whole run up."""
    caplog.set_level("INFO")
    exchange.inject(Fault("latency", times=None, value=0.1))
    loop_thread, threads, done = threading.get_ident(), set(), []

    class Failing:
        def report(self, progress):
            done.append(progress["chunks_done"])
            threads.add(threading.get_ident())
            raise OSError("the terminal is gone")

    options = {"chunk_strategy": FixedChunkStrategy(24), "concurrency": 2, "progress_interval": 0.05}
    result = await make(exchange, progress=Failing(), **options).execute(context)
    assert result["status"] == "success"
    assert len(done) > 2
    assert loop_thread not in threads
    assert caplog.text.count("progress cannot be reported: OSError: the terminal is gone") == 1


async def test_a_reporter_may_be_async_and_the_last_report_is_before_the_end(exchange, make, context):
    exchange.inject(Fault("latency", times=None, value=0.1))
    begun, ended = [], []

    class Slow:
        async def report(self, progress):
            begun.append(progress)
            await asyncio.sleep(0.3)
            ended.append(asyncio.get_running_loop())

    options = {"chunk_strategy": FixedChunkStrategy(24), "concurrency": 2, "progress_interval": 0.05}
    assert (await make(exchange, progress=Slow(), **options).execute(context))["status"] == "success"
    assert ended == [asyncio.get_running_loop()] * len(begun)
    assert begun


@pytest.mark.parametrize("seconds", [0, -1, 0.001, "1", True, float("nan")])
def test_progress_is_not_reported_all_the_time(seconds, exchange, make):
    with pytest.raises(InvalidError, match=r"progress_interval must be seconds of at least 0\.01"):
        make(exchange, progress_interval=seconds)
