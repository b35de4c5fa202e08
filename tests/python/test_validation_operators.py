"""ValidationOperator, GapDetector and the comparison of sources, as tasks; and against an independent model."""

from __future__ import annotations

import json
from datetime import datetime, timedelta, timezone
from pathlib import Path

import pytest
from airflow.sdk import DAG
from airflow.sdk.exceptions import AirflowException, AirflowFailException

from conftest import END, START
from orchestration_runs import BTC, ETH, HOURS, KEY, Xcoms, adapter, execute, run_dag, span, stored
from quant_framework.errors import InvalidError
from quant_framework.ingestion.backfill import MemoryCheckpointStore
from quant_framework.ingestion.writers import BronzeWriter
from quant_framework.orchestration.operators import (
    BackfillOperator,
    FetchOHLCVOperator,
    GapDetector,
    ValidationOperator,
    ValidationWorkflowOperator,
    WriteBronzeOperator,
)
from quant_framework.orchestration.tasks import (
    fetch_ohlcv,
    reconcile_sources,
    write_bronze,
    write_checkpoint,
)
from quant_framework.orchestration.workflows import ValidationWorkflow
from test_validation import change, iso, lake, with_value, without

__all__ = ["lake"]
pytest_plugins = ["orchestration_fixtures"]

HOUR = timedelta(hours=1)
INTERVAL = {"data_interval_start": START, "data_interval_end": END}


def alone(operator: object, **context: object) -> dict:
    return execute(operator, Xcoms(), **context)


def looking(**more: object) -> ValidationOperator:
    return ValidationOperator(task_id="look", **({"series": KEY, "start": START, "end": END} | more))


SEVERITY = {"error": with_value([5], high=1.0), "warning": without([7, 8]), "none": lambda rows: rows}
FAILS = {
    ("error", "error"): f"{KEY}: 1 values (first {iso(5)})",
    ("error", "warning"): None,
    ("error", "none"): None,
    ("warning", "error"): f"{KEY}: 1 values (first {iso(5)})",
    ("warning", "warning"): f"{KEY}: 2 missing (first {iso(7)})",
    ("warning", "none"): None,
    ("never", "error"): None,
    ("never", "warning"): None,
    ("never", "none"): None,
}


@pytest.mark.parametrize(
    ("case", "says"), FAILS.items(), ids=lambda value: "/".join(value) if isinstance(value, tuple) else ""
)
def test_fail_on_says_what_fails_and_that_without_a_retry(case, says, lake):
    fail_on, damage = case
    change(min(lake.iterdir()), SEVERITY[damage])
    if says:
        with pytest.raises(AirflowFailException) as failed:
            alone(looking(fail_on=fail_on))
        assert str(failed.value) == says
        return
    result = alone(looking(fail_on=fail_on))
    assert result["ok"] is (damage != "error")
    assert (result["report_count"], len(result["reports"][0]["findings"])) == (1, int(damage != "none"))


@pytest.mark.parametrize("upstream", ["fetch", "write", "backfill", "mapped"])
def test_it_looks_at_what_is_upstream(upstream, home, exchange):
    with DAG("flow") as dag:
        fetch = FetchOHLCVOperator(task_id="fetch", symbol=BTC, timeframe="1h", **span())
        if upstream == "fetch":
            fetch >> ValidationOperator(task_id="look")
        elif upstream == "write":
            fetch >> WriteBronzeOperator(task_id="write") >> ValidationOperator(task_id="look")
        elif upstream == "backfill":
            options = {"symbols": [BTC, ETH], "timeframes": ["1h", "4h"], **span()}
            BackfillOperator(task_id="backfill", **options) >> ValidationOperator(task_id="look")
        else:
            mapped = FetchOHLCVOperator.partial(task_id="mapped", timeframe="1h", **span()).expand(symbol=[BTC, ETH])
            mapped >> ValidationOperator(task_id="look")
    result = run_dag(dag)["look"][-1]
    rows = {"fetch": [HOURS], "write": [HOURS], "backfill": [HOURS, HOURS // 4] * 2, "mapped": [HOURS] * 2}[upstream]
    assert [one["rows"] for one in result["reports"]] == rows
    assert (result["ok"], result["report_count"]) == (True, len(rows))


def test_fetch_then_look_then_write(home, exchange):
    with DAG("flow") as dag:
        fetch = FetchOHLCVOperator.partial(task_id="fetch", timeframe="1h", **span()).expand(symbol=[BTC, ETH])
        fetch >> ValidationOperator(task_id="look", fail_on="warning") >> WriteBronzeOperator(task_id="write")
    assert run_dag(dag)["write"][-1]["records_written"] == 2 * HOURS
    assert len(stored(home / "lake" / "bronze", ())) == 2 * HOURS


def test_damaged_staged_rows_are_named_before_they_are_written(home, exchange):
    with DAG("flow"):
        fetch = FetchOHLCVOperator(task_id="fetch", symbol=BTC, timeframe="1h", **span())
        look = ValidationOperator(task_id="look")
        fetch >> look
    xcoms = Xcoms()
    execute(fetch, xcoms)
    change(min((home / "lake" / "staging").rglob("*.parquet")), with_value([5], high=1.0))
    with pytest.raises(AirflowFailException, match=f"{KEY}: 1 values .first {iso(5)}"):
        execute(look, xcoms)


def test_every_series_of_a_large_backfill_is_looked_at_or_refused(home, exchange):
    """The summary in the XCom is cut: what is not in it must not count as looked at."""
    symbols = [f"{name}USDT_PERP.A" for name in ("BTC", "ETH", "SOL", "BNB", "XRP", "DOGE")]
    kinds = ["ohlcv", "open_interest", "funding_rate", "long_short_ratio"]
    frames = ["1m", "5m", "15m", "30m", "1h", "2h", "4h", "6h", "12h", "1d"]
    with DAG("large") as dag:
        options = {"symbols": symbols, "timeframes": frames, "data_types": kinds} | span(end=START + timedelta(days=1))
        backfill = BackfillOperator(task_id="backfill", **options)
        backfill >> ValidationOperator(task_id="look")
    with pytest.raises(AirflowFailException, match="names 200 of its 240 series"):
        run_dag(dag)


def test_a_summary_stays_small(home, exchange):
    start = datetime(2020, 1, 1, tzinfo=timezone.utc)
    write_bronze(fetch_ohlcv(BTC, "1h", start, start + 12_000 * HOUR, adapter(exchange)))
    for path in (home / "lake" / "bronze").rglob("*.parquet"):
        change(path, lambda rows: rows[::2])
    end = start + 12_000 * HOUR
    result = alone(looking(start=start, end=end))
    assert result["reports"][0]["gap_count"] == 6000
    assert len(json.dumps(result)) < 50_000
    gaps = alone(GapDetector(task_id="gaps", series=KEY, start=start, end=end))
    assert len(json.dumps(gaps)) < 50_000
    both = ValidationWorkflowOperator(
        task_id="both", series=[KEY, f"coinalyze/ohlcv/{ETH}/1h"], fail_on="never", start=start, end=end
    )
    result = alone(both)
    assert result["pairs"][0]["only_left"]["bars"] == 6000
    assert len(json.dumps(result)) < 50_000


def test_the_range_is_the_runs_data_interval_unless_it_is_said(lake):
    assert alone(looking(start=None, end=None), **INTERVAL)["reports"][0]["rows"] == HOURS
    half = alone(
        looking(start="{{ data_interval_end - macros.timedelta(days=1) }}", end=None), **INTERVAL, macros=_Macros
    )
    assert half["reports"][0]["rows"] == 24
    with pytest.raises(AirflowFailException, match="start is missing"):
        alone(looking(start=None, end=None))
    with pytest.raises(AirflowFailException, match="start is missing"):
        alone(GapDetector(task_id="gaps", series=KEY))


class _Macros:
    timedelta = timedelta


@pytest.mark.parametrize(
    ("operator", "options", "says"),
    [
        (ValidationOperator, {"fail_on": "often"}, "fail_on must be one of error, warning, never, not 'often'"),
        (
            ValidationOperator,
            {"staged": "x", "series": KEY},
            "staged and series both say what to look at; leave one out",
        ),
        (ValidationWorkflowOperator, {"series": [KEY], "fail_on": None}, "fail_on must be one of"),
        (ValidationWorkflowOperator, {"series": []}, "series must name at least two series to compare"),
        (ValidationWorkflowOperator, {"series": [KEY]}, "series must name at least two series to compare"),
        (ValidationOperator, {"lake": "s3://k:geheim@b/x"}, "lake holds a password"),
    ],
)
def test_a_wrong_argument_fails_at_parse_time(operator, options, says):
    with pytest.raises(InvalidError, match=says):
        operator(task_id="look", **options)


@pytest.mark.parametrize(
    ("operator", "options", "says"),
    [
        (ValidationOperator, {"series": "nonsense"}, "is not source/data_type/symbol/timeframe"),
        (ValidationOperator, {"series": KEY, "start": "soon"}, "start: 'soon' is not an ISO 8601 time"),
        (ValidationOperator, {"series": KEY, "start": END, "end": START}, "not after its start"),
        (ValidationOperator, {"staged": [{"kind": "other"}]}, "nothing upstream is|staged"),
        (ValidationOperator, {}, "there is nothing to take"),
        (GapDetector, {"series": "nonsense"}, "is not source/data_type/symbol/timeframe"),
        (GapDetector, {"series": KEY, "end": datetime(2026, 1, 9)}, "end: .* has no time zone"),
        (ValidationWorkflowOperator, {"series": [KEY, "nonsense"]}, "is not source/data_type/symbol/timeframe"),
        (ValidationWorkflowOperator, {"series": "{{ params.none }}"}, "series must be a list of keys"),
        (
            ValidationWorkflowOperator,
            {"series": [KEY, KEY], "tolerance": 2},
            "tolerance must be a fraction of at least 0 and below 1, not 2",
        ),
        (
            ValidationWorkflowOperator,
            {"series": [KEY, KEY], "volume_tolerance": -1},
            "volume_tolerance must be a fraction",
        ),
        (ValidationWorkflowOperator, {"series": [KEY, "coinalyze/ohlcv/BTC/1d"]}, "differ in data type or timeframe"),
        (ValidationWorkflowOperator, {"series": [KEY, KEY], "tolerance": "much"}, "tolerance"),
        (ValidationWorkflowOperator, {"series": [KEY, 5]}, "series"),
    ],
)
def test_what_cannot_work_fails_without_a_retry(operator, options, says, home):
    with pytest.raises((AirflowFailException, InvalidError), match=says) as failed:
        alone(operator(task_id="look", **({"start": START, "end": END} | options)))
    assert "\n" not in str(failed.value)


def test_an_unreadable_object_may_be_retried(lake):
    min(lake.iterdir()).write_bytes(b"")
    for task in (looking(), ValidationWorkflowOperator(task_id="w", series=[KEY, KEY], start=START, end=END)):
        with pytest.raises((AirflowException, ValueError), match=r"\.parquet") as failed:
            alone(task)
        assert not isinstance(failed.value, AirflowFailException)


@pytest.mark.parametrize("fail", [False, True])
def test_gaps_of_a_checkpoint(fail, home):
    write_checkpoint(KEY, [(START, START + 4 * HOUR)], [(START + 4 * HOUR, START + 6 * HOUR)])
    task = GapDetector(task_id="gaps", series=KEY, start=START, end=START + 9 * HOUR, fail_on_gaps=fail)
    if fail:
        with pytest.raises(AirflowFailException) as failed:
            alone(task)
        assert str(failed.value) == f"{KEY}: 3 bars were never asked for, from {iso(6)} on"
    else:
        assert alone(task)["unknown_bars"] == 3
    task = GapDetector(task_id="gaps", series=KEY, start=START, end=START + 6 * HOUR, fail_on_gaps=fail)
    assert alone(task)["missing_bars"] == 2, "the source has none: nobody has to be told"


def test_a_store_of_an_authors_own_is_asked_for_gaps(home):
    memory = MemoryCheckpointStore()

    class Store:
        async def load(self, series):
            return await memory.load(series)

        async def commit(self, series, data=None, empty=None, **facts):
            await memory.commit(series, data, empty, **facts)

    class Mine(GapDetector):
        def build_checkpoint_store(self, context):
            return Store()

    memory.commit_sync(KEY, [(START, START + 4 * HOUR)])
    assert alone(Mine(task_id="gaps", series=KEY, start=START, end=START + 6 * HOUR))["unknown_bars"] == 2


OTHER = f"other/ohlcv/{BTC}/1h"


def copied(lake: Path, edit=lambda rows: rows) -> None:
    """The same rows under another source."""
    folder = Path(str(lake).replace("source=coinalyze", "source=other"))
    folder.mkdir(parents=True)
    for path in sorted(lake.iterdir()):
        (folder / path.name).write_bytes(path.read_bytes())
    change(min(folder.iterdir()), edit)


COMPARED = {
    "same": (lambda rows: rows, {}),
    "within": (lambda rows: [row | {"close": row["close"] * 1.0005} for row in rows], {}),
    "lacking": (without([3, 4]), {"only_left": 2}),
    "beyond": (
        lambda rows: [row | {"close": row["close"] * 0.99} if at == 9 else row for at, row in enumerate(rows)],
        {"value": 1},
    ),
    "volume": (lambda rows: [row | {"volume": row["volume"] * 9} for row in rows], {}),
}


@pytest.mark.parametrize("case", COMPARED)
def test_sources_are_compared_with_the_first(case, lake):
    edit, differing = COMPARED[case]
    copied(lake, edit)
    both = {"start": START, "end": END}
    report = reconcile_sources([KEY, OTHER], **both)
    (pair,) = report["pairs"]
    assert {
        side: pair[side]["bars"] for side in ("only_left", "only_right", "value") if pair[side]["bars"]
    } == differing
    values = case != "within" or report["series"][1]["ok"]
    assert report["agrees"] is (not differing and values)
    turned = reconcile_sources([OTHER, KEY], **both)["pairs"][0]
    assert (turned["only_left"], turned["only_right"]) == (pair["only_right"], pair["only_left"])
    assert (turned["shared"], turned["value"]["bars"]) == (pair["shared"], pair["value"]["bars"])
    task = ValidationWorkflowOperator(task_id="compare", series=[KEY, OTHER], **both)
    if report["agrees"]:
        assert alone(task)["agrees"] is True
    else:
        with pytest.raises(AirflowFailException, match="the sources do not agree: "):
            alone(task)
    never = ValidationWorkflowOperator(task_id="compare", series=[KEY, OTHER], fail_on="never", **both)
    assert alone(never)["agrees"] is report["agrees"]
    strict = reconcile_sources([KEY, OTHER], **both, volume_tolerance=0.0)["pairs"][0]["volume"]["bars"]
    assert strict == (168 if case == "volume" else 0)


async def test_a_workflow_takes_its_range_from_the_context_and_says_what_is_missing(lake, context):
    copied(lake)
    workflow = ValidationWorkflow(BronzeWriter((lake.parents[3]).as_uri()), [KEY, OTHER])
    result = await workflow.execute(context)
    assert (result["status"], result["errors"][0]["message"]) == ("failed", "start and end not given")
    context.state |= {"start": START.isoformat(), "end": END}
    result = await workflow.execute(context)
    assert (result["status"], result["agrees"], result["pairs"][0]["shared"]) == ("success", True, HOURS)
    context.state |= {"end": "soon"}
    result = await workflow.execute(context)
    assert (result["status"], result["errors"][0]["kind"]) == ("failed", "invalid")
