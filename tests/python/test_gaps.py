"""Holes: of which kind they are, what the gap ledger remembers, and when they are asked for again."""

from __future__ import annotations

import asyncio
import json
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest
from airflow.sdk.exceptions import AirflowFailException

from conftest import Context
from orchestration_runs import BTC, Xcoms, execute, had, stored
from quant_framework.cli import main
from quant_framework.errors import InvalidError
from quant_framework.ingestion.adapters import CoinalyzeAdapter
from quant_framework.ingestion.backfill import CheckpointManager, DatabaseCheckpointStore, LocalCheckpointStore
from quant_framework.ingestion.rate_limit import AdaptiveRateLimiter
from quant_framework.ingestion.writers import BronzeWriter
from quant_framework.orchestration.dag_builders import IncrementalDagBuilder, RepairDagBuilder
from quant_framework.orchestration.operators import BackfillOperator, GapDetector, RepairOperator
from quant_framework.orchestration.tasks import detect_gaps, repair_gaps
from quant_framework.orchestration.workflows import BackfillWorkflow, RepairWorkflow
from quant_framework.testing import Fault, OfflineExchange

pytest_plugins = ["orchestration_fixtures"]

START = datetime(2026, 1, 5, tzinfo=timezone.utc)
HOUR, DAY = timedelta(hours=1), timedelta(days=1)
END = START + 4 * DAY
LONG_AGO = datetime(2026, 3, 1, tzinfo=timezone.utc)


class Holey:
    """A source of hours that lacks some of them, until it has them."""

    source = "holey"

    def __init__(self, hidden: dict[str, set[int]] | set[int], rows: int = 1000) -> None:
        self.hidden = hidden if isinstance(hidden, dict) else {"BTC": hidden}
        self.asked: list[tuple[int, int]] = []
        self.rows = rows

    def capability(self, data_type: str, timeframe: str) -> dict[str, Any]:
        return {"rows_per_request": self.rows, "weight": 1}

    def fetch(self, request: Any) -> list[dict[str, Any]]:
        low, high = (int((moment - START) / HOUR) for moment in (request.start, request.end))
        self.asked.append((low, high))
        hidden = self.hidden.get(request.series.split("/")[2], set())
        values = {"open": 2.0, "high": 3.0, "low": 1.0, "close": 2.0, "volume": 5.0}
        return [{"ts": START + hour * HOUR} | values for hour in range(low, high) if hour not in hidden]


def parts(source: Any, folder: Path, **more: Any) -> dict[str, Any]:
    return {
        "adapter": source,
        "writer": BronzeWriter((folder / "lake").as_uri()),
        "checkpoint_store": LocalCheckpointStore(folder / "checkpoints"),
        "rate_limiter": AdaptiveRateLimiter(9999, 9999, 1),
    } | more


def fetch(source: Any, folder: Path, symbols: tuple[str, ...] = ("BTC",), **more: Any) -> dict[str, Any]:
    wanted = {"symbols": list(symbols), "timeframes": ["1h"], "start": START, "end": END}
    return asyncio.run(BackfillWorkflow(**(parts(source, folder) | wanted | more)).execute(Context()))


def repair(source: Any, folder: Path, series: tuple[str, ...] = ("holey/ohlcv/BTC/1h",), **more: Any) -> dict[str, Any]:
    wanted = {"end": END} | ({} if "holes" in more else {"series": list(series)})
    result = asyncio.run(RepairWorkflow(**(parts(source, folder) | wanted | more)).execute(Context()))
    assert result["status"] == "success", result
    return result


def holes(result: dict[str, Any]) -> list[tuple[int, int, str, int | None]]:
    hour = lambda text: int((datetime.fromisoformat(text) - START) / HOUR)  # noqa: E731
    return [(hour(gap["start"]), hour(gap["end"]), gap["kind"], gap.get("attempts")) for gap in result["gaps"]]


def found(folder: Path, series: str = "holey/ohlcv/BTC/1h", **more: Any) -> list[tuple[int, int, str, int | None]]:
    store = more.get("store") or LocalCheckpointStore(folder / "checkpoints")
    return holes(detect_gaps(series, START, END, store))


def hours(folder: Path) -> list[int]:
    return [(row[1] - int(START.timestamp()) * 1000) // 3_600_000 for row in stored(folder / "lake", ())]


def test_only_holes_are_asked_for_again_and_not_for_ever(tmp_path):
    source = Holey({10, 11, 40, 41, 42, 90}, rows=24)
    fetch(source, tmp_path)
    assert found(tmp_path) == [(10, 12, "unresolved", 1), (40, 43, "unresolved", 1), (90, 91, "unresolved", 1)]
    source.asked.clear()
    source.hidden["BTC"] -= {41}
    result = repair(source, tmp_path)
    assert sorted(source.asked) == [(10, 12), (40, 43), (90, 91)], "a page spans no two of them"
    assert (result["records_written"], result["series"][0]["rows"]) == (1, 1)
    left = [(10, 12, "unresolved", 2), (40, 41, "unresolved", 2), (42, 43, "unresolved", 2), (90, 91, "unresolved", 2)]
    assert holes(result["series"][0]) == found(tmp_path) == left
    assert sorted(hours(tmp_path)) == [hour for hour in range(96) if hour not in source.hidden["BTC"]]
    source.asked.clear()
    assert repair(source, tmp_path)["requests"] == 0, "not so soon"
    assert len(repair(source, tmp_path, pause=0.0)["series"]) == 1
    assert len(source.asked) == 3, "40 to 42 are asked for together"
    assert {hole[2] for hole in found(tmp_path)} == {"no_trade"}
    assert repair(source, tmp_path, pause=0.0)["requests"] == 0, "settled"
    source.hidden["BTC"].clear()
    assert repair(source, tmp_path, force=True)["records_written"] == 5
    assert found(tmp_path) == []
    assert sorted(hours(tmp_path)) == list(range(96))
    assert fetch(source, tmp_path)["requests"] == 0


def test_an_operator_says_which_holes_are_left_and_takes_them_again(home, tmp_path):
    source = Holey({10, 40, 41})
    fetch(source, tmp_path)
    where = {"lake": (tmp_path / "lake").as_uri(), "checkpoint": (tmp_path / "checkpoints").as_uri()}
    options = {"adapter": source, "end": END, **where}
    result = execute(RepairOperator(task_id="r", series=["holey/ohlcv/BTC/1h"], **options), Xcoms())
    assert [(one["series"], one["bars"], one["kind"], one["attempts"]) for one in result["holes"]] == [
        ("holey/ohlcv/BTC/1h", 1, "unresolved", 2),
        ("holey/ohlcv/BTC/1h", 2, "unresolved", 2),
    ]
    assert result["hole_count"] == 2
    source.hidden["BTC"].clear()
    again = execute(RepairOperator(task_id="again", holes=result, **options), Xcoms())
    assert (again["records_written"], again["holes"], again["hole_count"]) == (3, [], 0)


def test_the_more_attempts_the_longer_a_hole_is_open(tmp_path):
    source = Holey({10})
    fetch(source, tmp_path)
    counts = [repair(source, tmp_path, pause=0.0, attempts=5)["requests"] for _ in range(6)]
    assert counts == [1, 1, 1, 1, 0, 0]
    assert found(tmp_path)[0][3] == 5


def test_holes_that_one_request_can_span_cost_one_request(tmp_path):
    source = Holey(set(range(1, 96, 2)))
    fetch(source, tmp_path)
    source.asked.clear()
    assert repair(source, tmp_path)["requests"] == 1
    assert source.asked == [(1, 96)]
    assert {attempts for *_, attempts in found(tmp_path)} == {2}


def test_holes_by_name_are_asked_for_whatever_is_known(tmp_path):
    source = Holey({10, 50})
    fetch(source, tmp_path)
    for _ in range(3):
        repair(source, tmp_path, pause=0.0)
    source.asked.clear()
    source.hidden["BTC"].clear()
    hole = {
        "series": "holey/ohlcv/BTC/1h",
        "start": (START + 9 * HOUR).isoformat(),
        "end": START + 11 * HOUR,
        "bars": 2,
    }
    assert repair(source, tmp_path, holes=[hole])["records_written"] == 1
    assert source.asked == [(9, 11)]
    new = hole | {"start": START + 95 * HOUR, "end": START + 98 * HOUR}
    repair(source, tmp_path, holes=[new, hole])
    assert sorted(source.asked[1:]) == [(9, 96), (96, 98)], "what is known in one request, what is new in another"
    assert sorted(hours(tmp_path)) == list(range(98))
    assert repair(source, tmp_path, holes=[])["requests"] == 0


def test_what_other_series_say_makes_an_outage_and_the_listing_is_no_hole(tmp_path):
    symbols = ("BTC", "ETH", "SOL")
    outage = set(range(30, 34))
    hidden = {"BTC": outage | {60}, "ETH": outage | set(range(8)), "SOL": outage | {29, 34}}
    source = Holey(hidden)
    fetch(source, tmp_path, symbols)
    assert found(tmp_path) == [(30, 34, "outage", 1), (60, 61, "unresolved", 1)]
    assert found(tmp_path, "holey/ohlcv/ETH/1h") == [(0, 8, "not_listed", 1), (30, 34, "outage", 1)]
    assert found(tmp_path, "holey/ohlcv/SOL/1h") == [(29, 35, "unresolved", 1)], "it was silent for longer"
    source.asked.clear()
    repair(source, tmp_path, tuple(f"holey/ohlcv/{symbol}/1h" for symbol in symbols))
    assert (0, 8) not in source.asked, "before it was listed nobody asks again"
    assert sorted(low for low, _ in source.asked) == [29, 30, 30]


def test_what_is_beyond_retention_is_said_so_from_then_on(tmp_path):
    with OfflineExchange(limit=None, retention=True) as exchange:
        source = CoinalyzeAdapter(api_key="offline", base_url=exchange.url)
        now = datetime.now(timezone.utc).replace(minute=0, second=0, microsecond=0)
        start = now - 3000 * HOUR
        wanted = {"symbols": [BTC], "start": start, "end": now}
        fetch(source, tmp_path, **wanted)
        key = f"coinalyze/ohlcv/{BTC}/1h"
        store = LocalCheckpointStore(tmp_path / "checkpoints")
        assert detect_gaps(key, start, now, store)["unknown_bars"] > 900, "it does not know the source"
        result = repair(source, tmp_path, (key,), start=start, end=now)
        assert {gap["kind"] for gap in result["series"][0]["gaps"]} == {"beyond_retention"}
        after = detect_gaps(key, start, now, store)
        assert (after["unknown_bars"], after["gaps"][0]["kind"]) == (0, "beyond_retention")
        assert result["requests"] == 0


def test_the_natural_holes_of_a_recorded_market(recorded_folder, tmp_path):
    """538 holes of 717 minutes: two repairs settle them, at the price of a few requests."""
    with OfflineExchange(recorded=recorded_folder, limit=None) as exchange:
        source = CoinalyzeAdapter(api_key="offline", base_url=exchange.url, retention=None)
        low, high = datetime(2017, 11, 4, 23, 2, tzinfo=timezone.utc), datetime(2017, 11, 14, 23, tzinfo=timezone.utc)
        wanted = {"symbols": ["UNITTEST-BTC.R"], "timeframes": ["1m"], "start": low, "end": high}
        fetch(source, tmp_path, **wanted)
        key, store = "coinalyze/ohlcv/UNITTEST-BTC.R/1m", LocalCheckpointStore(tmp_path / "checkpoints")
        first = detect_gaps(key, low, high, store)
        assert (first["gap_count"], first["missing_bars"], first["gaps"][0]["kind"]) == (538, 717, "unresolved")
        counts = [repair(source, tmp_path, (key,), pause=0.0, end=high)["requests"] for _ in range(3)]
        assert counts[2] == 0
        assert counts[0] == counts[1] <= 10
        last = detect_gaps(key, low, high, store)
        assert (last["gap_count"], last["missing_bars"]) == (538, 717)
        assert {gap["kind"] for gap in last["gaps"]} == {"no_trade"}
        assert all(gap["attempts"] == 3 and gap["last_checked"] >= gap["first_seen"] for gap in last["gaps"])


async def test_the_ledger_lies_beside_the_checkpoint_in_every_store(database, tmp_path):
    source = Holey({10})
    store = DatabaseCheckpointStore(database)
    await asyncio.to_thread(fetch, source, tmp_path, checkpoint_store=store)
    await asyncio.to_thread(repair, source, tmp_path, checkpoint_store=store)
    assert await asyncio.to_thread(found, tmp_path, store=store) == [(10, 11, "unresolved", 2)]
    document = await CheckpointManager(store).export()
    copy = LocalCheckpointStore(tmp_path / "copy")
    await CheckpointManager(copy).load_export(document)
    assert await asyncio.to_thread(found, tmp_path, store=copy) == [(10, 11, "unresolved", 2)]


def test_a_ledger_that_cannot_be_read_does_not_hide_the_holes(tmp_path):
    source = Holey({10})
    fetch(source, tmp_path)
    found(tmp_path)
    (path,) = (tmp_path / "checkpoints").rglob("gaps.json")
    path.write_text("damaged")
    assert found(tmp_path) == [(10, 11, "unresolved", 1)]
    result = asyncio.run(
        RepairWorkflow(**parts(source, tmp_path), series=["holey/ohlcv/BTC/1h"], end=END).execute(Context())
    )
    assert result["status"] == "failed"
    assert "gaps" in result["errors"][0]["message"]
    assert path.read_text() == "damaged", "left as it is"


WRONG = {
    "neither": ({}, "exactly one of symbols, series and holes must be given"),
    "both": ({"series": ["a/ohlcv/b/1h"], "holes": []}, "exactly one of symbols, series and holes must be given"),
    "attempts": ({"series": ["a/ohlcv/b/1h"], "attempts": 0}, "attempts must be a whole number of at least 1"),
    "pause": ({"series": ["a/ohlcv/b/1h"], "pause": -1}, "pause must be seconds of at least 0"),
}


@pytest.mark.parametrize("case", WRONG)
@pytest.mark.parametrize("kind", [RepairWorkflow, RepairOperator])
def test_a_wrong_argument_is_told_at_once(case, kind, tmp_path):
    options, says = WRONG[case]
    more = {"task_id": "repair"} if kind is RepairOperator else parts(Holey(set()), tmp_path)
    with pytest.raises(InvalidError, match=says):
        kind(**more, **options)


WRONG_HOLES = {
    "no dict": (["x"], "a hole must be a dict with series, start and end"),
    "no end": ([{"series": "a", "start": START}], "a hole must be a dict with series, start and end"),
    "no time": ([{"series": "a", "start": 1, "end": END}], "a hole's start must be a time, not 1"),
    "naive": (
        [{"series": "a", "start": START, "end": END}, {"series": "a", "start": START.replace(tzinfo=None), "end": END}],
        "a hole's start 20.* has no time zone",
    ),
    "naive text": (
        [{"series": "a", "start": START, "end": "2026-01-05T00:00:00"}],
        "a hole's end 20.* has no time zone",
    ),
    "no key": ([{"series": None, "start": START, "end": END}], "a hole's series must be a key"),
}


@pytest.mark.parametrize("case", WRONG_HOLES)
def test_a_hole_that_is_none_is_told_at_once(case, tmp_path):
    given, says = WRONG_HOLES[case]
    with pytest.raises(InvalidError, match=says):
        RepairWorkflow(**parts(Holey(set()), tmp_path), holes=given)


def test_series_of_another_source_are_refused_before_anything_is_asked(tmp_path):
    source = Holey(set())
    job = RepairWorkflow(**parts(source, tmp_path), series=["other/ohlcv/BTC/1h"])
    result = asyncio.run(job.execute(Context()))
    assert "other/ohlcv/BTC/1h is not of the source holey" in result["errors"][0]["message"]
    assert source.asked == []


def emptied(exchange: OfflineExchange) -> None:
    """The first hours are lost to a fault; they are there when asked for again."""
    options = {"symbols": [BTC], "timeframes": ["1h"], "adapter_options": {"retention": None}, "concurrency": 1}
    exchange.inject(Fault("bad_ohlc", times=2))
    execute(BackfillOperator(task_id="b", start=START, end=END, **options), Xcoms())


def test_by_builders_with_silver_at_the_end(home, exchange):
    wanted = {"symbols": [BTC], "timeframes": ["1h"], "adapter_options": {"retention": None}, "silver": True}
    for end in (START + DAY, END):
        options = {"start": START, "overlap": 0, "operator_options": {"end": end}}
        xcoms = run_mapped(IncrementalDagBuilder("update", **wanted, **options).build())
        exchange.inject(Fault("bad_ohlc", times=2))
    exchange.faults.clear()
    assert xcoms["update"][0]["rows_quarantined"] == 1
    assert xcoms["silver"][-1]["rows"] == 95
    mend = RepairDagBuilder("repair", **wanted, operator_options={"end": END}).build()
    xcoms = run_mapped(mend)
    assert (xcoms["repair"][0]["records_written"], xcoms["silver"][-1]["rows"]) == (1, 96)
    assert stored(home / "lake" / "silver") == had(exchange, BTC, start=START, end=END)


def run_mapped(dag: Any) -> Xcoms:
    """The tasks of a builder's DAG, one after the other."""
    xcoms = Xcoms()
    mapped, silver = dag.topological_sort()
    for index, series in enumerate(mapped.expand_input.value):
        execute(mapped.unmap(series), xcoms, index, params={"symbols": None})
    execute(silver, xcoms)
    return xcoms


def test_by_operators_a_function_and_the_command_line(home, exchange, capsys):
    emptied(exchange)
    key = f"coinalyze/ohlcv/{BTC}/1h"
    before = execute(GapDetector(task_id="gaps", series=key, start=START, end=END), Xcoms())
    assert holes(before) == [(0, 1, "not_listed", 1)]
    retention = {"adapter_options": {"retention": None}}
    task = RepairOperator(task_id="repair", holes="{{ params.holes }}", **retention)
    hole = [{"series": key, "start": START.isoformat(), "end": (START + HOUR).isoformat()}]
    result = execute(task, Xcoms(), params={"holes": json.dumps({"holes": hole})})
    assert result["records_written"] == 1
    assert stored(home / "lake" / "bronze") == had(exchange, BTC, start=START, end=END)
    assert holes(execute(GapDetector(task_id="gaps", series=key, start=START, end=END), Xcoms())) == []
    told = execute(RepairOperator(task_id="repair", series=[key], end=END, **retention), Xcoms())
    assert (told["status"], told["requests"]) == ("success", 0)
    told = repair_gaps([key], end=END.isoformat(), force=True, **retention)
    assert (told["records_written"], told["series"][0]["gaps"]) == (0, [])
    assert main(["repair", "--no-retention", "--end", "2026-01-09T00:00:00Z"]) == 0
    assert f"{key}: 0 rows found; bars still missing: none" in capsys.readouterr().out
    assert main(["repair", "--no-retention", "--json", "--series", "coinalyze/ohlcv/B", "--end", "2026-01-09"]) == 0
    assert json.loads(capsys.readouterr().out)["series"][0]["coverage"] == 1.0
    assert main(["repair", "--series", "nothing/"]) == 2
    assert "no series of coinalyze is known" in capsys.readouterr().err
    assert main(["gaps", "--start", "2026-01-05", "--end", "2026-01-09"]) == 0
    with pytest.raises(AirflowFailException, match="holes must be a list"):
        execute(RepairOperator(task_id="repair", holes="no list", **retention), Xcoms())
