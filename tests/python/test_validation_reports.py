"""Comparisons: reports on disk and on S3, shifted stamps, holes that are fetched; quantities of real candles."""

from __future__ import annotations

import asyncio
import csv
import json
import os
import re
import subprocess
import sys
from collections import Counter
from datetime import datetime, timedelta, timezone
from pathlib import Path
from xml.etree import ElementTree

import polars
import pyarrow
import pyarrow.parquet
import pytest
from airflow.sdk.exceptions import AirflowRescheduleException
from pyarrow.fs import S3FileSystem

from conftest import END, START
from orchestration_runs import BTC, HOURS, KEY, Xcoms, adapter, execute, known, stored
from quant_framework import settings
from quant_framework.errors import InvalidError
from quant_framework.ingestion.backfill import MemoryCheckpointStore
from quant_framework.ingestion.rate_limit import quota_states
from quant_framework.ingestion.writers import BronzeWriter, ReportWriter, SilverWriter
from quant_framework.orchestration.operators import (
    BackfillOperator,
    ValidationOperator,
    ValidationWorkflowOperator,
)
from quant_framework.orchestration.tasks import (
    check_rows,
    compact,
    reconcile_sources,
    restated_rows,
    validate_rows,
)
from quant_framework.orchestration.tasks.running import NoContext
from quant_framework.orchestration.workflows import ValidationWorkflow

pytest_plugins = ["orchestration_fixtures"]

MINUTE, HOUR = timedelta(minutes=1), timedelta(hours=1)
LEFT, RIGHT = "one/ohlcv/BTC/1m", "other/ohlcv/BTC/1m"


def candles(path: Path) -> pyarrow.Table:
    """Recorded candles in the schema of bars."""
    with path.open() as file:
        rows = list(csv.DictReader(file))
    ts = pyarrow.array([int(row["ts_ms"]) for row in rows], pyarrow.timestamp("ms", "UTC"))
    names = ("open", "high", "low", "close", "volume")
    return pyarrow.table({"ts": ts} | {name: [float(row[name]) for row in rows] for name in names})


def span(table: pyarrow.Table, step: timedelta = MINUTE) -> tuple[datetime, datetime]:
    return table["ts"][0].as_py(), table["ts"][-1].as_py() + step


def put(lake: BronzeWriter, key: str, table: pyarrow.Table, step: timedelta = MINUTE) -> None:
    """In objects of a week."""

    async def write() -> None:
        start, end = span(table, step)
        while start < end:
            stop = min(start + timedelta(days=7), end)
            mask = [start <= at < stop for at in table["ts"].to_pylist()]
            if part := table.filter(pyarrow.array(mask)):
                await lake.write(key, (start, stop), part)
            start = stop

    asyncio.run(write())


def edited(table: pyarrow.Table, name: str, edit: dict[int, float]) -> pyarrow.Table:
    values = table[name].to_pylist()
    for row, value in edit.items():
        values[row] = value
    return table.set_column(table.column_names.index(name), name, pyarrow.array(values, pyarrow.float64()))


def without(table: pyarrow.Table, rows: set[int]) -> pyarrow.Table:
    return table.take([row for row in range(table.num_rows) if row not in rows])


def found(report: dict) -> dict[str, int]:
    return {one["check"]: one["count"] for one in report["findings"]}


@pytest.fixture
def perp(recorded_folder) -> pyarrow.Table:
    return candles(recorded_folder / "BTC-PERP_1m.csv")


@pytest.fixture
def thin(recorded_folder) -> pyarrow.Table:
    return candles(recorded_folder / "UNITTEST-BTC_1m.csv")


def test_recorded_candles_are_right_and_their_holes_are_counted(perp, thin):
    report = check_rows(perp, LEFT, *span(perp))
    assert (report["ok"], report["rows"], report["bars"], report["gap_count"]) == (True, 45_031, 45_031, 0)
    assert set(found(report)) <= {"jump"}, "a month of a liquid market is not unusual"
    report = check_rows(thin, LEFT, *span(thin))
    assert (report["ok"], report["rows"], report["gap_count"]) == (True, 13_681, 538)
    assert found(report)["missing"] == 717
    assert max(gap["bars"] for gap in report["gaps"]) <= 7
    assert len(report["gaps"]) == 100


@pytest.mark.parametrize("library", ["polars", "pandas", "dict", "pyarrow"])
def test_rows_at_hand_may_be_of_any_library(library, perp):
    head = perp.slice(0, 500)
    rows = {
        "polars": lambda: polars.from_arrow(head),
        "pandas": head.to_pandas,
        "dict": head.to_pydict,
        "pyarrow": lambda: head,
    }[library]()
    assert check_rows(rows, LEFT, *span(head))["rows"] == 500


DAMAGE = {
    "finite": lambda table: edited(table, "close", {100: float("nan")}),
    "values": lambda table: edited(table, "high", {100: 1.0}),
    "volume": lambda table: edited(table, "volume", {100: -1.0}),
    "still": lambda table: edited(table, "volume", {100: 0.0}),
    "spike": lambda table: edited(edited(table, "close", {700: table["close"][700].as_py() * 1.5}), "high", {700: 1e9}),
    "split": lambda table: pyarrow.table(
        {"ts": table["ts"]}
        | {
            name: [value / 10 if row >= 5000 else value for row, value in enumerate(table[name].to_pylist())]
            for name in ("open", "high", "low", "close")
        }
        | {"volume": table["volume"]}
    ),
    "frozen": lambda table: pyarrow.table(
        {"ts": table["ts"]}
        | {
            name: [46_000.0 if 5000 <= row < 5200 else value for row, value in enumerate(table[name].to_pylist())]
            for name in ("open", "high", "low", "close")
        }
        | {"volume": table["volume"]}
    ),
    "repeated": lambda table: pyarrow.concat_tables([table, table.slice(50, 3)]).sort_by("ts"),
    "conflicting": lambda table: pyarrow.concat_tables([table, edited(table.slice(50, 1), "volume", {0: 1.0})]).sort_by(
        "ts"
    ),
    "missing": lambda table: without(table, {7, 8, 900}),
    "order": lambda table: table.take([1, 0, *range(2, table.num_rows)]),
}
COUNTS = {"frozen": 199, "repeated": 3, "missing": 3}


@pytest.mark.parametrize("kind", DAMAGE)
def test_each_damage_of_real_candles_is_named_and_nothing_else(kind, perp):
    report = check_rows(DAMAGE[kind](perp), LEFT, *span(perp))
    assert {name: count for name, count in found(report).items() if name != "jump"} == {kind: COUNTS.get(kind, 1)}


def test_restated_bars_are_counted(perp):
    older, newer = perp.slice(0, 100), edited(perp, "close", {50: 1.0, 60: 1.0}).slice(10, 100)
    said = restated_rows(LEFT, older, newer)
    first = f"{span(perp)[0] + 50 * MINUTE:%Y-%m-%dT%H:%M:%SZ}"
    assert said == {"shared": 90, "restated": 2, "first": first, "withdrawn": 10, "added": 10}


def hours_of(table: pyarrow.Table) -> pyarrow.Table:
    frame = (
        polars.from_arrow(table)
        .group_by_dynamic("ts", every="1h")
        .agg(
            polars.col("open").first(),
            polars.col("high").max(),
            polars.col("low").min(),
            polars.col("close").last(),
            polars.col("volume").sum(),
        )
    )
    return frame.to_arrow().cast(table.schema)


def test_minutes_add_up_to_hours(perp, tmp_path):
    lake, hourly = BronzeWriter((tmp_path / "bronze").as_uri()), "one/ohlcv/BTC/1h"
    put(lake, LEFT, perp)
    hours = hours_of(perp)
    start, end = span(hours, HOUR)
    put(lake, hourly, edited(hours, "high", {200: 99_999.0}), HOUR)
    report = validate_rows(hourly, start, end, lake, roll_up="1m")
    assert found(report)["roll_up"] == 1
    put(lake, hourly, hours, HOUR)
    assert "roll_up" not in found(validate_rows(hourly, start, end, lake, roll_up="1m"))
    with pytest.raises(InvalidError, match="bars of 1h do not add up to bars of 1m"):
        validate_rows(LEFT, start, end, lake, roll_up="1h")


def test_gaps_in_three_states(thin, tmp_path):
    lake, store = BronzeWriter((tmp_path / "bronze").as_uri()), MemoryCheckpointStore()
    put(lake, LEFT, thin)
    start, end = span(thin)
    middle = start + (end - start) / 2
    middle -= timedelta(seconds=middle.second, microseconds=middle.microsecond)
    held = [at for at in thin["ts"].to_pylist() if at < middle]
    store.commit_sync(LEFT, [(at, at + MINUTE) for at in held], [(start, middle)])
    report = validate_rows(LEFT, start, end, lake, checkpoint=store)
    counts = found(report)
    assert counts["missing"] + counts["empty"] == 717
    assert 0 < counts["empty"] < 717
    assert {gap["kind"] for gap in report["gaps"]} == {"empty"}
    store.commit_sync(LEFT, [(start, end)])
    report = validate_rows(LEFT, start, end, lake, checkpoint=store)
    assert (found(report)["lost"], report["ok"]) == (717, False), "the checkpoint says that there are rows"


def pair(tmp_path: Path, left: pyarrow.Table, right: pyarrow.Table) -> BronzeWriter:
    lake = BronzeWriter((tmp_path / "bronze").as_uri())
    put(lake, LEFT, left)
    put(lake, RIGHT, right)
    return lake


def shifted(table: pyarrow.Table, by: timedelta) -> pyarrow.Table:
    return table.set_column(0, "ts", pyarrow.compute.add(table["ts"], by).cast(table.schema.field("ts").type))


@pytest.mark.parametrize("bars", [-2, -1, 0, 1, 2])
def test_a_shifted_stamp_is_named_with_its_direction(bars, perp, tmp_path):
    table = perp.slice(0, 5000)
    lake = pair(tmp_path, table, shifted(table, bars * MINUTE))
    report = reconcile_sources([LEFT, RIGHT], *span(table), lake, tolerance=0.5)
    lag = report["pairs"][0]["lag"]
    assert (lag["bars"], lag["is_shifted"]) == (bars, bars != 0)
    assert lag["correlation"] > 0.99


def test_the_report_says_what_differs_in_three_forms(perp, tmp_path):
    table = perp.slice(0, 20_000)
    closes = {row: table["close"][row].as_py() * 1.01 for row in (500, 501, 15_000)}
    other = edited(edited(table, "close", closes), "high", {row: 1e6 for row in closes})
    lake = pair(tmp_path, without(table, {3}), without(other, {100, 101, 19_000}))
    place = (tmp_path / "reports").as_uri()
    report = reconcile_sources([LEFT, RIGHT], *span(table), lake, report=place)
    assert report["agrees"] is False
    start = span(table)[0]
    holes = [(one["series"], one["start"], one["bars"]) for one in report["holes"]]
    iso = [f"{start + minute * MINUTE:%Y-%m-%dT%H:%M:%SZ}" for minute in (3, 100, 19_000)]
    assert holes == [(LEFT, iso[0], 1), (RIGHT, iso[1], 2), (RIGHT, iso[2], 1)]
    files = {kind: Path(url.removeprefix("file://")) for kind, url in report["report"].items()}
    bars = pyarrow.parquet.read_table(files["parquet"])
    assert Counter(bars["kind"].to_pylist()) == {"only_left": 3, "only_right": 1, "value": 3}
    assert bars["ts"].to_pylist()[0] == start + 3 * MINUTE
    told = json.loads(files["json"].read_text())
    names = ("agrees", "holes", "pairs")
    assert [told[name] for name in names] == json.loads(json.dumps([report[name] for name in names]))
    page = files["html"].read_text()
    document = ElementTree.fromstring(page.partition("\n")[2])
    assert len(document.findall(".//svg")) == 4, "two strips, differences over time, and by size"
    assert not re.search(r"<script|https?://|javascript:", page)
    assert "the sources do not agree" in page
    before = {kind: path.read_bytes() for kind, path in files.items()}
    again = reconcile_sources([LEFT, RIGHT], *span(table), lake, report=place)
    assert again["report"] == report["report"]
    assert {kind: path.read_bytes() for kind, path in files.items()} == before


def test_a_symbol_cannot_break_the_page_or_its_name(perp, tmp_path):
    lake, table = BronzeWriter((tmp_path / "bronze").as_uri()), perp.slice(0, 100)
    keys = [f"{source}/ohlcv/%3Cscript%3E..%2F%26%22/1m" for source in ("one", "other")]
    for key in keys:
        put(lake, key, table)
    report = reconcile_sources(keys, *span(table), lake, report=(tmp_path / "reports").as_uri())
    assert report["agrees"]
    (page,) = (tmp_path / "reports").rglob("*.html")
    ElementTree.fromstring(page.read_text().partition("\n")[2])
    assert page.parent.parent == tmp_path / "reports"


def test_reports_and_quarantine_on_s3(s3, perp):
    bucket = f"reports-{os.getpid()}"
    options = {"endpoint_override": s3.endpoint, "allow_bucket_creation": True}
    files = S3FileSystem(access_key=s3.access_key, secret_key=s3.secret_key, **options)
    files.create_dir(bucket)
    keys = {"endpoint_url": s3.endpoint, "access_key": s3.access_key, "secret_key": s3.secret_key}
    lake, table = BronzeWriter(f"s3://{bucket}/bronze", **keys), perp.slice(0, 12_000)
    put(lake, LEFT, table)
    put(lake, RIGHT, edited(without(table, {50}), "high", {60: 1.0}))
    reports = ReportWriter(f"s3://{bucket}/reports", **keys)
    report = reconcile_sources([LEFT, RIGHT], *span(table), lake, report=reports)
    assert [found(one) for one in report["series"]] == [{}, {"values": 1, "missing": 1}]
    with files.open_input_stream(report["report"]["html"].removeprefix("s3://")) as page:
        assert b"</html>" in page.read()
    silver = SilverWriter(f"s3://{bucket}/silver", lake, **keys)
    assert compact(RIGHT, silver=silver)["quarantined"] == 1
    aside = pyarrow.parquet.read_table(
        f"{bucket}/silver/_quarantine/source=other/dataset=ohlcv/symbol=BTC/timeframe=1m/2022-01.parquet",
        filesystem=files,
        partitioning=None,
    )
    assert aside["reason"].to_pylist() == ["values"]


def test_holes_go_to_a_workflow_each(perp, tmp_path):
    table = perp.slice(0, 300)
    lake = pair(tmp_path, table, without(table, {5, 6, 100}))
    asked = []

    class Fetch:
        async def execute(self, context):
            return {"status": "success", "records_written": 7, "series": []}

    def backfill(series: str, start: datetime, end: datetime) -> Fetch | None:
        asked.append((series, start, end))
        if end - start == MINUTE:
            raise InvalidError("not this one")
        return Fetch()

    start, end = span(table)
    workflow = ValidationWorkflow(lake, [LEFT, RIGHT], start=start, end=end, backfill=backfill)
    result = asyncio.run(workflow.execute(NoContext()))
    assert asked == [
        (RIGHT, start + 5 * MINUTE, start + 7 * MINUTE),
        (RIGHT, start + 100 * MINUTE, start + 101 * MINUTE),
    ]
    told = [(one["status"], one.get("records_written"), len(one.get("errors", []))) for one in result["backfilled"]]
    assert told == [("success", 7, 0), ("failed", None, 1)]


@pytest.fixture
def lacking(home, exchange) -> dict[str, object]:
    """The arguments of a comparison where Coinalyze's series lacks two days that another one has."""
    options = {"start": START, "end": END}
    backfill = BackfillOperator(
        task_id="b",
        symbols=[BTC],
        timeframes=["1h"],
        adapter_options={"retention": None},
        start=START + 48 * HOUR,
        end=END,
    )
    execute(backfill, Xcoms())
    other = f"other/ohlcv/{BTC}/1h"
    bars = exchange.candles(BTC, "1hour", int(START.timestamp()), int(END.timestamp()))
    names = ("open", "high", "low", "close", "volume")
    ts = pyarrow.array([at * 1000 for at, *_ in bars], pyarrow.timestamp("ms", "UTC"))
    columns = {name: [float(bar[1 + place]) for bar in bars] for place, name in enumerate(names)}
    put(BronzeWriter((home / "lake" / "bronze").as_uri()), other, pyarrow.table({"ts": ts} | columns), HOUR)
    return options | {"series": [other, KEY], "fail_on": "never", "adapter_options": {"retention": None}}


def test_the_operator_fetches_the_holes_of_a_source_it_knows(home, lacking):
    options = lacking
    result = execute(ValidationWorkflowOperator(task_id="c", backfill_holes=True, **options), Xcoms())
    assert (result["agrees"], result["hole_count"], result["holes"][0]["bars"]) == (False, 1, 48)
    assert [(one["status"], one["records_written"]) for one in result["backfilled"]] == [("success", 48)]
    assert known(home).data == [(START, END)]
    result = execute(ValidationWorkflowOperator(task_id="d", backfill_holes=True, **options), Xcoms())
    assert (result["agrees"], result["holes"], result["backfilled"]) == (True, [], [])
    assert len(stored(home / "lake" / "bronze", ())) == 2 * HOURS
    assert Path(result["report"]["html"].removeprefix("file://")).parents[1] == home / "lake" / "reports"


def test_holes_are_fetched_from_the_quota_that_all_tasks_share_and_park_for_it(home, exchange, lacking, tmp_path):
    """They were asked for under a quota of their own, and waited for it in their slot."""
    shared, asked = (tmp_path / "shared").as_uri(), exchange.stats()["requests"]
    limiter = settings.open_limiter(adapter(exchange), shared)
    wait = timedelta(minutes=10)
    limiter.report("throttled", datetime.now(timezone.utc) + wait)
    task = ValidationWorkflowOperator(task_id="c", backfill_holes=True, rate_limit=shared, max_wait=1, **lacking)
    with pytest.raises(AirflowRescheduleException) as parked:
        execute(task, Xcoms())
    assert parked.value.reschedule_date > datetime.now(timezone.utc) + wait / 2
    assert exchange.stats()["requests"] == asked
    ours = (tmp_path / "other").as_uri()
    task = ValidationWorkflowOperator(task_id="d", backfill_holes=True, rate_limit=ours, max_wait=1, **lacking)
    assert [one["records_written"] for one in execute(task, Xcoms())["backfilled"]] == [48]
    assert len(list((tmp_path / "other").iterdir())) == 1


@pytest.mark.parametrize(("known", "is_used"), [("coinalyze", True), ("binance", False)])
def test_holes_are_asked_for_with_the_key_of_their_source(known, is_used, home, lacking, exchange, monkeypatch):
    monkeypatch.setattr(exchange, "api_key", "another")
    extra = json.dumps({"source": known})
    conn = json.dumps({"conn_type": "market_data", "password": "another", "extra": extra})
    monkeypatch.setenv("AIRFLOW_CONN_SOURCE", conn)
    task = ValidationWorkflowOperator(task_id="c", backfill_holes=True, market_data_conn_id="source", **lacking)
    (filled,) = execute(task, Xcoms())["backfilled"]
    assert filled["status"] == ("success" if is_used else "failed")


def test_holes_are_fetched_from_the_quota_in_the_database_of_the_checkpoints(lacking, database, monkeypatch, home):
    monkeypatch.setenv("AIRFLOW_CONN_QUANT", database)
    limits = set((home / "limits").iterdir())
    task = ValidationWorkflowOperator(task_id="c", backfill_holes=True, postgres_conn_id="quant", **lacking)
    assert [one["records_written"] for one in execute(task, Xcoms())["backfilled"]] == [48]
    assert set((home / "limits").iterdir()) == limits
    assert len(asyncio.run(quota_states(database, "coinalyze"))) == 1


@pytest.mark.parametrize(
    ("operator", "options", "says"),
    [
        (ValidationOperator, {"thresholds": {"spike_facter": 1}}, "unknown threshold .*did you mean .*spike_factor"),
        (ValidationOperator, {"thresholds": {"spike_factor": "much"}}, "spike_factor must be a number"),
        (ValidationOperator, {"thresholds": [1]}, "thresholds must be a dict"),
        (ValidationOperator, {"checks": ["spikes"]}, "unknown check .*did you mean .*spike"),
        (ValidationOperator, {"checks": "spike"}, "checks must be a list"),
        (ValidationOperator, {"roll_up": "1m"}, "roll_up needs series"),
        (ValidationOperator, {"series": KEY, "roll_up": "7m"}, "roll_up: .*7m"),
        (
            ValidationWorkflowOperator,
            {"series": [KEY, KEY], "reports": "s3://k:geheim@b/x"},
            "reports holds a password",
        ),
        (ValidationWorkflowOperator, {"series": [KEY, KEY], "checks": ["X9"]}, "unknown check"),
    ],
)
def test_a_wrong_argument_fails_when_the_dag_is_parsed(operator, options, says):
    with pytest.raises(InvalidError, match=says):
        operator(task_id="look", **options)


def test_thresholds_and_checks_count(perp, tmp_path):
    lake = BronzeWriter((tmp_path / "bronze").as_uri())
    table = DAMAGE["spike"](edited(without(perp, {20_000}), "volume", {100: 0.0}).slice(0, 30_000))
    put(lake, LEFT, table)
    within = span(table)
    assert found(validate_rows(LEFT, *within, lake, checks=["P2", "missing"])) == {"missing": 1, "still": 1}
    assert "spike" in found(validate_rows(LEFT, *within, lake))
    assert "spike" not in found(validate_rows(LEFT, *within, lake, {"spike_least": 0.9}))
    strict = validate_rows(LEFT, *within, lake, {"gap_error_seconds": 60})
    assert strict["ok"] is False


def test_memory_does_not_grow_with_the_range(tmp_path):
    """A series of ten times the rows is read within about the same memory."""
    code = """
import resource, shutil, sys
from datetime import datetime, timedelta, timezone
import pyarrow as pa, asyncio
from quant_framework.ingestion.writers import BronzeWriter
from quant_framework.orchestration.tasks import validate_rows, reconcile_sources
start, lake = datetime(2020, 1, 1, tzinfo=timezone.utc), BronzeWriter(sys.argv[1])
days = int(sys.argv[2])
async def write():
    for day in range(days):
        low = start + timedelta(days=day)
        first = int(low.timestamp()) * 1000
        ts = pa.array(range(first, first + 86_400_000, 60_000), pa.timestamp("ms", "UTC"))
        ones = pa.array([1.0] * 1440)
        values = {name: ones for name in ("open", "high", "low", "close", "volume")}
        await lake.write("a/ohlcv/BTC/1m", (low, low + timedelta(days=1)), pa.table({"ts": ts, **values}))
asyncio.run(write())
folder = sys.argv[1].removeprefix("file://")
shutil.copytree(f"{folder}/source=a", f"{folder}/source=b")
end = start + timedelta(days=days)
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
assert validate_rows("a/ohlcv/BTC/1m", start, end, lake)["rows"] == days * 1440
assert reconcile_sources(["a/ohlcv/BTC/1m", "b/ohlcv/BTC/1m"], start, end, lake)["agrees"]
print((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) // 1024)
"""
    grown = []
    for days in (40, 400):
        command = [sys.executable, "-c", code, (tmp_path / str(days)).as_uri(), str(days)]
        grown.append(int(subprocess.run(command, check=True, capture_output=True, text=True).stdout))
    assert grown[1] < grown[0] + 40, f"{grown} MiB; ten times the rows are 90 MiB each"
