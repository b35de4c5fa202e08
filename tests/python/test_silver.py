"""Silver: what is made of bronze, through operators, functions and the command line, on disk and on S3."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
from datetime import datetime, timedelta, timezone
from pathlib import Path

import duckdb
import polars
import pyarrow
import pyarrow.dataset
import pyarrow.parquet
import pytest
from airflow.sdk import DAG
from airflow.sdk.exceptions import AirflowFailException
from pyarrow.fs import S3FileSystem

from conftest import END, START
from orchestration_runs import BTC, ETH, HOURS, KEY, VALUES, Xcoms, execute, had, places, run_dag, span, stored
from quant_framework.cli import main
from quant_framework.errors import InvalidError
from quant_framework.ingestion.writers import BronzeWriter, SilverWriter
from quant_framework.orchestration.operators import (
    BackfillOperator,
    FetchOHLCVOperator,
    WriteBronzeOperator,
    WriteSilverOperator,
)
from quant_framework.orchestration.tasks import compact, fetch_ohlcv, write_bronze, write_silver

pytest_plugins = ["orchestration_fixtures"]

HOUR = timedelta(hours=1)
NAMES = ("ts", *VALUES)


def bars(start: datetime, hours: int, close: float = 2.0) -> pyarrow.Table:
    times = [start + hour * HOUR for hour in range(hours)]
    values = {"open": 2.0, "high": 9.0, "low": 1.0, "close": close, "volume": 7.0}
    columns = {name: pyarrow.array([value] * hours, pyarrow.float64()) for name, value in values.items()}
    return pyarrow.table({"ts": pyarrow.array(times, pyarrow.timestamp("ms", "UTC")), **columns})


def put(lake: BronzeWriter, start: datetime, hours: int, close: float = 2.0, key: str = KEY) -> None:
    async def write() -> None:
        await lake.write(key, (start, start + hours * HOUR), bars(start, hours, close))

    asyncio.run(write())


def objects(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*.parquet"))}


def test_fetch_write_and_silver_by_task_ids_alone(home, exchange):
    with DAG("flow") as dag:
        bronze = WriteBronzeOperator(task_id="bronze")
        for symbol in (BTC, ETH):
            FetchOHLCVOperator(task_id=symbol, symbol=symbol, timeframe="1h", **span()) >> bronze
        bronze >> WriteSilverOperator(task_id="silver")
    xcoms = run_dag(dag)
    assert xcoms["silver"][-1]["rows"] == 2 * HOURS
    assert len(json.dumps(xcoms["silver"][-1])) < 1000
    silver = home / "lake" / "silver"
    assert stored(silver) == sorted(had(exchange, BTC) + had(exchange, ETH))
    names = {f"source=coinalyze/dataset=ohlcv/symbol={symbol}/timeframe=1h/2026.parquet" for symbol in (BTC, ETH)}
    assert set(objects(silver)) == names
    before = objects(silver)
    assert run_dag(dag)["silver"][-1]["series"][0]["written"] == 0
    assert objects(silver) == before


def test_after_a_backfill_every_period_of_its_ranges(home, exchange):
    start = datetime(2025, 12, 20, tzinfo=timezone.utc)
    with DAG("flow") as dag:
        options = span(symbols=[BTC], timeframes=["1h", "15m"], start=start)
        BackfillOperator(task_id="backfill", **options) >> WriteSilverOperator(task_id="silver")
    done = run_dag(dag)["silver"][-1]
    assert {one["series"].rpartition("/")[2]: one["partitions"] for one in done["series"]} == {"1h": 2, "15m": 2}
    files = [name.rpartition("timeframe=")[2] for name in objects(home / "lake" / "silver")]
    assert files == ["15m/2025-12.parquet", "15m/2026-01.parquet", "1h/2025.parquet", "1h/2026.parquet"]


def test_three_readers_see_one_dataset(home, exchange):
    staged = fetch_ohlcv(BTC, "1h", START, END, adapter_options={"retention": None})
    write_silver(write_bronze(staged))
    root = home / "lake" / "silver"
    wanted = [(at, *values) for _, at, *values in had(exchange, BTC)]
    table = pyarrow.dataset.dataset(root, partitioning="hive").to_table()
    arrow = list(zip(table["ts"].cast("int64").to_pylist(), *(table[name].to_pylist() for name in VALUES), strict=True))
    frame = polars.read_parquet(f"{root}/source=*/**/*.parquet", hive_partitioning=True)
    polar = frame.select(polars.col("ts").dt.epoch("ms"), *VALUES).rows()
    query = f"SELECT epoch_ms(ts), {', '.join(VALUES)} FROM read_parquet('{root}/source=*/**/*.parquet')"
    duck = duckdb.sql(f"{query} WHERE timeframe = '1h' AND symbol = '{BTC}' ORDER BY 1").fetchall()
    assert arrow == polar == duck == wanted


def test_the_same_bronze_gives_the_same_bytes_whatever_came_first(tmp_path):
    found = []
    for name, parts in (("a", (0, 100, 200)), ("b", (200, 0, 100))):
        lake = BronzeWriter((tmp_path / name / "bronze").as_uri())
        for part in parts:
            put(lake, START + part * HOUR, 100, close=2.0 + part / 100)
            compact(KEY, lake=lake)
        found.append(objects(tmp_path / name / "silver"))
    assert found[0] == found[1]
    (body,) = found[0].values()
    assert pyarrow.parquet.read_table(pyarrow.BufferReader(body)).num_rows == 300


def test_the_row_of_the_later_object_counts(tmp_path):
    lake = BronzeWriter((tmp_path / "bronze").as_uri())
    put(lake, START, 10, close=2.0)
    put(lake, START + 8 * HOUR, 4, close=3.0)
    put(lake, START + 9 * HOUR, 3, close=3.0)
    done = compact(KEY, lake=lake)
    counts = {"rows": 12, "repeated": 3, "replaced": 2, "quarantined": 2}
    assert {name: done[name] for name in counts} == counts
    table = pyarrow.dataset.dataset(tmp_path / "silver").to_table()
    assert table["close"].to_pylist() == [2.0] * 8 + [3.0] * 4


def aside(silver: Path) -> list[tuple]:
    table = pyarrow.concat_tables(
        pyarrow.parquet.read_table(path) for path in (silver / "_quarantine").rglob("*.parquet")
    )
    assert table.column_names[-2:] == ["reason", "checks_version"]
    return sorted(zip(table["ts"].to_pylist(), table["close"].to_pylist(), table["reason"].to_pylist(), strict=True))


def test_bars_that_cannot_be_are_kept_aside_and_no_reader_of_silver_sees_them(tmp_path):
    lake, silver = BronzeWriter((tmp_path / "bronze").as_uri()), tmp_path / "silver"
    put(lake, START, 10)
    put(lake, START + 10 * HOUR, 5, close=99.0)
    done = compact(KEY, lake=lake)
    assert (done["rows"], done["quarantined"]) == (10, 5)
    assert aside(silver) == [(START + hour * HOUR, 99.0, "values") for hour in range(10, 15)]
    assert pyarrow.dataset.dataset(silver, partitioning="hive").to_table().num_rows == 10
    assert len(polars.read_parquet(f"{silver}/source=*/**/*.parquet", hive_partitioning=True)) == 10
    query = f"SELECT count(*) FROM read_parquet('{silver}/source=*/**/*.parquet')"
    assert duckdb.sql(query).fetchall() == [(10,)]
    before = objects(silver)
    assert compact(KEY, lake=lake)["written"] == 0
    assert objects(silver) == before, "the same bronze gives the same bytes, those aside too"
    put(lake, START + 10 * HOUR, 5)
    done = compact(KEY, lake=lake)
    assert (done["rows"], done["quarantined"]) == (15, 0)
    assert aside(silver) == [], "bronze was corrected"


KILLED = """
import asyncio, sys
from quant_framework.ingestion.writers import BronzeWriter, SilverWriter
lake = BronzeWriter(sys.argv[1])
silver = SilverWriter(sys.argv[2], lake)
async def loop():
    while True:
        print((await silver.compact(sys.argv[3]))["written"], flush=True)
asyncio.run(loop())
"""


def test_a_writer_that_is_killed_leaves_the_old_object_or_the_new_one(tmp_path):
    lake, silver = BronzeWriter((tmp_path / "bronze").as_uri()), tmp_path / "silver"
    put(lake, START, 10)
    compact(KEY, lake=lake)
    (name,) = objects(silver)
    valid = {objects(silver)[name]}
    for turn in range(1, 12):
        command = [sys.executable, "-c", KILLED, lake.url, silver.as_uri(), KEY]
        child = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        assert child.stdout.readline() in ("0\n", "1\n"), "it works"
        put(lake, START + turn * 10 * HOUR, 10)
        if turn % 2:
            assert "1\n" in iter(child.stdout.readline, ""), "it has seen the new rows"
        os.kill(child.pid, signal.SIGKILL)
        child.wait()
        held = objects(silver)[name]
        fresh = tmp_path / f"fresh{turn}"
        compact(KEY, lake=lake, silver=fresh.as_uri())
        valid.add(objects(fresh)[name])
        assert held in valid
    compact(KEY, lake=lake)
    assert objects(silver)[name] == objects(fresh)[name]


async def test_writers_at_once_on_s3_lose_nothing(s3, database):
    bucket = f"silver-{os.getpid()}"
    options = {"endpoint_override": s3.endpoint, "allow_bucket_creation": True}
    files = S3FileSystem(access_key=s3.access_key, secret_key=s3.secret_key, **options)
    files.create_dir(bucket)
    keys = {"endpoint_url": s3.endpoint, "access_key": s3.access_key, "secret_key": s3.secret_key}

    async def work(writer: int) -> None:
        lake = BronzeWriter(f"s3://{bucket}/bronze", **keys)
        silver = SilverWriter(f"s3://{bucket}/silver", lake, **keys)
        for turn in range(3):
            start = START + (turn * 8 + writer) * HOUR
            await lake.write(KEY, (start, start + HOUR), bars(start, 1))
            await silver.compact(KEY, start, start + HOUR)

    await asyncio.gather(*(work(writer) for writer in range(8)))
    table = pyarrow.dataset.dataset(f"{bucket}/silver", filesystem=files).to_table()
    assert table["ts"].to_pylist() == [START + hour * HOUR for hour in range(24)]


def test_s3_by_a_connection(s3, home, exchange, monkeypatch):
    bucket = f"silver-conn-{os.getpid()}"
    options = {"endpoint_override": s3.endpoint, "allow_bucket_creation": True}
    files = S3FileSystem(access_key=s3.access_key, secret_key=s3.secret_key, **options)
    files.create_dir(bucket)
    conn = {"conn_type": "aws", "login": s3.access_key, "password": s3.secret_key}
    monkeypatch.setenv("AIRFLOW_CONN_LAKE", json.dumps(conn | {"extra": {"endpoint_url": s3.endpoint}}))
    said = {"minio_conn_id": "lake", "lake": f"s3://{bucket}/bronze", "checkpoint": f"s3://{bucket}/checkpoints"}
    with DAG("flow") as dag:
        backfill = BackfillOperator(task_id="backfill", **span(symbols=[BTC], timeframes=["1h"]), **said)
        backfill >> WriteSilverOperator(task_id="silver", **said)
    assert run_dag(dag)["silver"][-1]["rows"] == HOURS
    assert pyarrow.dataset.dataset(f"{bucket}/silver", filesystem=files).to_table().num_rows == HOURS


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({}, "there is nothing to take: no task directly upstream returned anything"),
        ({"written": {"status": "success"}}, "written must be what a write or backfill task returns"),
        ({"written": [None]}, "written must be .* it is a NoneType"),
        ({"series": "nonsense"}, "nonsense"),
        ({"series": KEY, "start": START.isoformat()}, "start and end belong together"),
        ({"series": KEY, "start": "soon", "end": "later"}, "start: 'soon' is not an ISO 8601 time"),
        ({"series": KEY, "silver": "ftp://x"}, "ftp://x"),
    ],
)
def test_what_cannot_work_fails_without_a_retry(options, says, home):
    with pytest.raises(AirflowFailException, match=says):
        execute(WriteSilverOperator(task_id="silver", **options), Xcoms())


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"silver": "s3://key:geheim@host/x"}, "silver holds a password"),
        ({"series": KEY, "written": {}}, "written and series both say what to make"),
    ],
)
def test_a_wrong_argument_fails_when_the_dag_is_parsed(options, says):
    with pytest.raises(InvalidError, match=says):
        WriteSilverOperator(task_id="silver", **options)


def test_the_command_line_compacts_and_tells_gaps(home, exchange, tmp_path, capsys):
    options = span(symbols=[BTC, ETH], timeframes=["1h"])
    execute(BackfillOperator(task_id="backfill", **options, **places(home)), Xcoms())
    capsys.readouterr()
    assert main(["compact", "--series", "coinalyze/ohlcv/BTC"]) == 0
    assert capsys.readouterr().out == f"{KEY}: {HOURS} rows in 1 periods, 1 written\n"
    assert main(["compact", "--json", "--silver", (tmp_path / "other").as_uri()]) == 0
    assert [one["rows"] for one in json.loads(capsys.readouterr().out)] == [HOURS, HOURS]
    day = ["--start", START.isoformat(), "--end", END.isoformat()]
    assert main(["gaps", *day]) == 0
    later = ["--start", START.isoformat(), "--end", (END + timedelta(days=1)).isoformat()]
    assert main(["gaps", *later, "--series", KEY]) == 1
    assert f"  unknown: {END:%Y-%m-%dT%H:%M:%SZ} .. 2026-01-20T00:00:00Z (24 bars)" in capsys.readouterr().out
