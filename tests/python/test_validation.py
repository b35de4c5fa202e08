"""Stored rows looked at: what is damaged is found, with its count and its first place; small reports."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import datetime, timedelta, timezone
from pathlib import Path

import pyarrow
import pyarrow.parquet
import pytest

from conftest import END, START
from orchestration_runs import BTC, HOURS, KEY, adapter
from quant_framework.errors import DataError, InvalidError, QuantFrameworkError
from quant_framework.ingestion.backfill import LocalCheckpointStore
from quant_framework.ingestion.writers import BronzeWriter
from quant_framework.orchestration.tasks import (
    detect_gaps,
    fetch_ohlcv,
    reconcile_sources,
    validate_rows,
    validate_staged,
    write_bronze,
    write_checkpoint,
)

pytest_plugins = ["orchestration_fixtures"]

HOUR = timedelta(hours=1)


def iso(hour: int) -> str:
    return (START + hour * HOUR).isoformat().replace("+00:00", "Z")


def name(low: int, high: int) -> str:
    low, high = (START + hour * HOUR for hour in (low, high))
    return f"{low:%Y%m%dT%H%M%SZ}-{high:%Y%m%dT%H%M%SZ}.parquet"


@pytest.fixture
def lake(home, exchange) -> Path:
    """The folder of one series of two weeks of hours, in two objects."""
    write_bronze(fetch_ohlcv(BTC, "1h", START, END, adapter(exchange)))
    (folder,) = (home / "lake" / "bronze").glob("source=*/dataset=*/symbol=*/timeframe=*")
    assert sorted(path.name for path in folder.iterdir()) == [name(0, 168), name(168, 336)]
    return folder


Rows = list[dict]


ROWS = b"quant_framework.rows"


def change(path: Path, edit: Callable[[Rows], Rows], said: int | None = None) -> None:
    """Rewrite an object's rows with pyarrow, its schema as it is; its metadata says how many rows, or ``said``."""
    table = pyarrow.parquet.ParquetFile(path).read()
    rows = edit(table.to_pylist())
    metadata = table.schema.metadata | {ROWS: str(len(rows) if said is None else said).encode()}
    table = pyarrow.Table.from_pylist(rows, schema=table.schema.with_metadata(metadata))
    pyarrow.parquet.write_table(table, path)


def look(start: datetime = START, end: datetime = END) -> dict:
    return validate_rows(KEY, start, end)


def findings(report: dict) -> list[tuple]:
    return [(one["check"], one["severity"], one["count"], one["first"]) for one in report["findings"]]


def with_value(hours: list[int], **values: object) -> Callable[[Rows], Rows]:
    return lambda rows: [row | values if hour in hours else row for hour, row in enumerate(rows)]


def without(hours: list[int]) -> Callable[[Rows], Rows]:
    return lambda rows: [row for hour, row in enumerate(rows) if hour not in hours]


def moved(hour: int, by: timedelta) -> Callable[[Rows], Rows]:
    return lambda rows: [row | {"ts": row["ts"] + by} if at == hour else row for at, row in enumerate(rows)]


def again(hours: list[int], **values: object) -> Callable[[Rows], Rows]:
    return lambda rows: sorted(rows + [rows[hour] | values for hour in hours], key=lambda row: row["ts"])


NAN, INFINITE = float("nan"), float("inf")
DAMAGE = [
    (with_value([5, 9], high=1.0), [("values", "error", 2, iso(5))]),
    (with_value([7], low=99_999.0), [("values", "error", 1, iso(7))]),
    (with_value([7], low=0.0), [("values", "error", 1, iso(7))]),
    (with_value([7], low=-1.0), [("values", "error", 1, iso(7))]),
    (with_value([7], close=NAN), [("finite", "error", 1, iso(7))]),
    (with_value([7], open=NAN), [("finite", "error", 1, iso(7))]),
    (with_value([7], high=NAN), [("finite", "error", 1, iso(7))]),
    (with_value([7], high=INFINITE), [("finite", "error", 1, iso(7))]),
    (with_value([0], volume=-0.5), [("volume", "error", 1, iso(0))]),
    (with_value([0], volume=NAN), [("finite", "error", 1, iso(0))]),
    (with_value([0], volume=INFINITE), [("finite", "error", 1, iso(0))]),
    (with_value([3, 4], volume=0.0, trade_count=0, taker_buy_volume=0.0), [("still", "warning", 2, iso(3))]),
    (with_value([3], trade_count=0), [("trades", "warning", 1, iso(3))]),
    (with_value([9], taker_buy_volume=1e12), [("taker", "warning", 1, iso(9))]),
    (moved(4, timedelta(minutes=1)), [("grid", "error", 1, "2026-01-05T04:01:00Z"), ("missing", "warning", 1, iso(4))]),
    (without([3, 4, 100]), [("missing", "warning", 3, iso(3))]),
    (without(list(range(168))), [("missing", "warning", 168, iso(0))]),
    (again([6, 8]), [("repeated", "warning", 2, iso(6))]),
    (again([6], volume=10_400.0), [("conflicting", "error", 1, iso(6))]),
    (lambda rows: [rows[1], rows[0], *rows[2:]], [("order", "warning", 1, iso(0))]),
    (lambda rows: rows[::-1], [("order", "warning", 167, iso(0))]),
]
TOLD = [
    "high below",
    "low above",
    "zero",
    "negative",
    "close nan",
    "open nan",
    "high nan",
    "high infinite",
    "negative volume",
    "volume nan",
    "volume infinite",
    "moved without volume",
    "volume without trades",
    "bought more than traded",
    "off the grid",
    "holes",
    "nothing",
    "repeated",
    "conflicting",
    "two turned",
    "all turned",
]


@pytest.mark.parametrize(("edit", "found"), DAMAGE, ids=TOLD)
def test_each_damage_is_found_counted_and_placed(edit, found, lake):
    change(lake / name(0, 168), edit)
    report = look()
    assert findings(report) == found
    assert report["ok"] is all(severity == "warning" for _, severity, *_ in found)
    assert report["bars"] == HOURS


def test_all_damages_of_one_lake_are_found_at_once(lake):
    change(lake / name(0, 168), with_value([5], high=1.0))
    change(lake / name(0, 168), without([20, 21, 22]))
    change(lake / name(168, 336), again([2], volume=10_400.0))
    change(lake / name(168, 336), again([9]))
    report = look()
    assert findings(report) == [
        ("conflicting", "error", 1, iso(170)),
        ("values", "error", 1, iso(5)),
        ("repeated", "warning", 1, iso(176)),
        ("missing", "warning", 3, iso(20)),
    ]
    assert report["gaps"] == [{"start": iso(20), "end": iso(23), "bars": 3, "kind": "missing"}]


def test_rows_in_two_objects_count_twice(lake):
    (lake / name(150, 180)).write_bytes((lake / name(0, 168)).read_bytes())
    (lake / name(0, 336)).write_bytes((lake / name(168, 336)).read_bytes())
    report = look()
    assert findings(report) == [
        ("outside", "error", 150, iso(0)),
        ("repeated", "warning", 186, iso(150)),
        ("overlap", "warning", 3, iso(0)),
    ], "an object's name says which rows are its own"
    assert report["rows"] == 2 * HOURS


def test_an_object_that_holds_other_rows_than_it_says_is_found(lake):
    change(lake / name(0, 168), lambda rows: rows, said=169)
    assert findings(look()) == [("lineage", "error", 1, iso(0))]


def test_an_object_that_is_not_there_is_missing_bars(lake):
    (lake / name(168, 336)).unlink()
    report = look()
    assert findings(report) == [("missing", "warning", 168, iso(168))]
    assert (report["rows"], report["gaps"]) == (
        168,
        [{"start": iso(168), "end": iso(336), "bars": 168, "kind": "missing"}],
    )


def test_no_row_in_the_range_is_missing_bars(lake):
    report = validate_rows(KEY, END, END + (END - START))
    assert (report["rows"], report["bars"], report["ok"]) == (0, HOURS, True)
    assert findings(report) == [("missing", "warning", HOURS, END.isoformat().replace("+00:00", "Z"))]


@pytest.mark.parametrize("order", ["sorted", "unsorted"])
def test_rows_outside_the_range_of_their_object_are_found(order, lake):
    """Under a name that says other hours: a reader that trusts names does not see them."""

    def edit(rows: Rows) -> Rows:
        strange = rows[0] | {"ts": START + 400 * HOUR}
        return [*rows, strange] if order == "sorted" else [strange, *rows]

    change(lake / name(0, 168), edit)
    report = look()
    assert ("outside", "error", 1, iso(400)) in findings(report), "not a row of the range, and stored as one"


@pytest.mark.parametrize(
    ("spoil", "says"),
    [
        (lambda body: body[: len(body) // 2], "20260105T000000Z-20260112T000000Z.parquet"),
        (lambda body: b"", "20260105T000000Z-20260112T000000Z.parquet"),
        (lambda body: b"not parquet at all", "20260105T000000Z-20260112T000000Z.parquet"),
    ],
    ids=["half", "empty", "text"],
)
def test_an_object_that_cannot_be_read_is_named(spoil, says, lake):
    path = lake / name(0, 168)
    path.write_bytes(spoil(path.read_bytes()))
    with pytest.raises(DataError, match=f"{KEY}: .*{says}") as raised:
        look()
    assert "\n" not in str(raised.value)
    assert findings(look(START + 168 * HOUR)) == [], "the other object is as it was"


FOREIGN = {
    "renamed": lambda table: table.rename_columns(["t" if one == "ts" else one for one in table.column_names]),
    "texts": lambda table: table.set_column(4, "close", table["close"].cast("string")),
    "lacking": lambda table: table.drop_columns(["volume"]),
    "empty times": lambda table: table.set_column(
        0, "ts", pyarrow.nulls(table.num_rows, table.schema.field("ts").type)
    ),
    "empty values": lambda table: table.set_column(4, "close", pyarrow.nulls(table.num_rows, "float64")),
}


@pytest.mark.parametrize("kind", FOREIGN)
def test_foreign_columns_are_named(kind, lake):
    path = lake / name(0, 168)
    table = pyarrow.parquet.ParquetFile(path).read()
    pyarrow.parquet.write_table(FOREIGN[kind](table), path)
    with pytest.raises(DataError, match=f"{KEY}: .*{path.name}") as raised:
        look()
    assert "\n" not in str(raised.value)


def test_one_column_more_is_no_harm(lake):
    path = lake / name(0, 168)
    table = pyarrow.parquet.ParquetFile(path).read()
    pyarrow.parquet.write_table(table.append_column("note", pyarrow.array(["x"] * table.num_rows)), path)
    with pytest.raises(DataError, match=f"{KEY}: .*{path.name}.*note"):
        look()


def test_thousands_of_gaps_make_a_small_report(home, exchange):
    start = datetime(2020, 1, 1, tzinfo=timezone.utc)
    end = start + timedelta(hours=12_000)
    write_bronze(fetch_ohlcv(BTC, "1h", start, end, adapter(exchange)))
    for path in (home / "lake" / "bronze").rglob("*.parquet"):
        change(path, lambda rows: rows[::2])
    report = look(start, end)
    (found,) = findings(report)
    assert found[:3] == ("missing", "warning", 6000)
    assert (report["gap_count"], len(report["gaps"])) == (6000, 100)
    assert len(json.dumps(report)) < 50_000
    hours = [start + number * HOUR for number in range(12_000)]
    store = LocalCheckpointStore(home / "gappy")
    write_checkpoint(KEY, list(zip(hours[::2], hours[1::2], strict=True)), checkpoint=store)
    gaps = detect_gaps(KEY, start, end, store)
    assert (gaps["gap_count"], len(gaps["gaps"]), gaps["missing_bars"], gaps["unknown_bars"]) == (6000, 100, 6000, 6000)
    assert len(json.dumps(gaps)) < 50_000


def test_staged_rows_are_looked_at_where_they_lie(home, exchange):
    staged = fetch_ohlcv(BTC, "1h", START, END, adapter(exchange))
    (report,) = validate_staged(staged)
    assert (report["ok"], report["rows"], report["findings"]) == (True, HOURS, [])
    victim = sorted((home / "lake" / "staging").rglob("*.parquet"))[0]
    change(victim, with_value([5], high=1.0))
    (report,) = validate_staged(staged)
    assert findings(report) == [("values", "error", 1, iso(5))]
    assert not (home / "lake" / "bronze").exists()
    for wrong in (None, [], "rows", {}, [staged]):
        with pytest.raises(InvalidError, match="staged must be a dict as a fetch task returns it"):
            validate_staged(wrong)


def test_gaps_by_kind(home):
    store = LocalCheckpointStore(home / "checkpoints")
    hours = [START + hour * HOUR for hour in range(20)]
    write_checkpoint(KEY, [(hours[0], hours[4]), (hours[8], hours[10])], [(hours[4], hours[6])], checkpoint=store)
    found = detect_gaps(KEY, hours[0], hours[12], store)
    first = found["gaps"][0]
    assert datetime.fromisoformat(first.pop("first_seen")) <= datetime.now(timezone.utc)
    assert first.pop("attempts") == 1
    assert found["gaps"] == [
        {"start": iso(4), "end": iso(6), "bars": 2, "kind": "unresolved"},
        {"start": iso(6), "end": iso(8), "bars": 2, "kind": "unknown"},
        {"start": iso(10), "end": iso(12), "bars": 2, "kind": "unknown"},
    ]
    counts = ("bars", "missing_bars", "unknown_bars", "gap_count", "coverage")
    assert [found[one] for one in counts] == [6, 6, 4, 3, 8 / 12]
    assert detect_gaps(KEY, START, END)["unknown_bars"] == HOURS - 8, "by default the environment's checkpoints"


def kind(value: object) -> str:
    return value if isinstance(value, str) else type(value).__name__


MOMENTS = [None, 5, "soon", "2026-01-05T00:00", datetime(2026, 1, 5), START.date()]


def test_a_bare_date_is_midnight_utc(lake):
    assert validate_rows(KEY, START.date().isoformat(), END) == validate_rows(KEY, START, END)


@pytest.mark.parametrize("moment", MOMENTS, ids=str)
@pytest.mark.parametrize("place", ["start", "end"])
@pytest.mark.parametrize(
    "function", [validate_rows, detect_gaps, lambda series, *span: reconcile_sources([series] * 2, *span)]
)
def test_a_wrong_moment_is_named(function, place, moment, home):
    span = [moment, END] if place == "start" else [START, moment]
    with pytest.raises(InvalidError, match=f"^{place}: .* (?:is not an ISO 8601 time|has no time zone)"):
        function(KEY, *span)


@pytest.mark.parametrize(
    "series", [None, 5, "", "BTC", "a/b/c/d", "coinalyze/ohlcv/BTC/7m", "coinalyze/trades/BTC/1h", []]
)
@pytest.mark.parametrize("function", [validate_rows, detect_gaps])
def test_a_wrong_series_is_named(function, series, home):
    with pytest.raises(InvalidError):
        function(series, START, END)


@pytest.mark.parametrize("function", [validate_rows, detect_gaps])
def test_a_range_that_ends_before_it_starts_is_named(function, home):
    with pytest.raises(InvalidError, match="not after its start"):
        function(KEY, END, START)


@pytest.mark.parametrize(
    "lake", [5, [], object(), Path("/tmp"), "ftp://somewhere", LocalCheckpointStore("/tmp/none")], ids=kind
)
def test_a_wrong_lake_is_named(lake, home):
    with pytest.raises(InvalidError, match="lake"):
        validate_rows(KEY, START, END, lake)


@pytest.mark.parametrize("store", [5, [], object(), BronzeWriter("/tmp/none"), "ftp://somewhere"], ids=kind)
def test_a_wrong_store_is_named(store, home):
    with pytest.raises(InvalidError, match="checkpoint"):
        detect_gaps(KEY, START, END, store)


def test_a_lake_of_an_authors_own_is_named_as_one_that_cannot_be_read(home):
    class Writer:
        def write(self, series, range, batch):
            return None

    with pytest.raises(QuantFrameworkError, match="Writer"):
        validate_rows(KEY, START, END, Writer())


def test_a_series_of_which_the_lake_holds_nothing_is_a_mistake(lake):
    wrong = KEY.replace("BTC", "BCT")
    with pytest.raises(InvalidError, match=f"there is nothing of {wrong} in file:.*right key"):
        validate_rows(wrong, START, END)
