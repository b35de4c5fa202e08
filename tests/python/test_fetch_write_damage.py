"""fetch >> write where something is gone, wrong or late: nothing is lost, nothing is committed that is not there."""

from __future__ import annotations

import warnings
from datetime import datetime, timedelta, timezone
from pathlib import Path
from types import SimpleNamespace

import pytest
from airflow.sdk import DAG
from airflow.sdk.exceptions import AirflowException, AirflowFailException

from conftest import END, START
from orchestration_runs import (
    BTC,
    ETH,
    HOURS,
    KEY,
    Xcoms,
    adapter,
    execute,
    facts,
    had,
    known,
    places,
    run_dag,
    span,
    stored,
)
from quant_framework.errors import DataError, InvalidError
from quant_framework.ingestion.chunking import FixedChunkStrategy
from quant_framework.orchestration.operators import BackfillOperator, FetchOHLCVOperator, WriteBronzeOperator
from quant_framework.orchestration.staged import KIND
from quant_framework.orchestration.tasks import fetch_ohlcv, write_bronze, write_checkpoint
from quant_framework.testing import OfflineExchange

pytest_plugins = ["orchestration_fixtures"]

WEEK = timedelta(days=7)


class Daily(FetchOHLCVOperator):
    def build_chunk_strategy(self, context):
        return FixedChunkStrategy(24)


def fetching(**more: object) -> Daily:
    with DAG("flow"):
        return Daily(task_id="fetch", symbol=BTC, timeframe="1h", **span(**more))


def writing(staged: object, **more: object) -> dict:
    return execute(WriteBronzeOperator(task_id="write", staged=staged, **more), Xcoms())


@pytest.fixture
def staged(home, exchange) -> dict:
    return execute(fetching(), Xcoms())


def objects(home: Path) -> list[Path]:
    """The staged objects in order of time."""
    return sorted((home / "lake" / "staging").rglob("*.parquet"))


def checkpoints(home: Path) -> list[Path]:
    return [path for path in (home / "lake" / "staging").rglob("1h.json") if "_checkpoints" in path.parts]


def nothing_untrue(home: Path, exchange: OfflineExchange) -> None:
    """What is committed lies in the lake, every row of it."""
    held = known(home)
    if held is None:
        assert stored(home / "lake" / "bronze") == []
        return
    assert held.empty == [], "the exchange has every bar"
    rows = [row for low, high in held.data for row in had(exchange, BTC, start=low, end=high)]
    assert stored(home / "lake" / "bronze") == rows


@pytest.mark.parametrize("gone", [[0], [6], [13], [3, 9], range(14)], ids=str)
def test_a_staged_object_that_is_gone_is_an_error_and_never_an_empty_range(gone, staged, home, exchange):
    victims = [objects(home)[index] for index in gone]
    for victim in victims:
        victim.rename(victim.with_suffix(".gone"))
    with pytest.raises(AirflowException, match=r"(?:failed|partial): .*(?:are|is) gone") as failed:
        writing(staged)
    assert not isinstance(failed.value, AirflowFailException), "who puts it back may go on"
    nothing_untrue(home, exchange)
    for victim in victims:
        victim.with_suffix(".gone").rename(victim)
    writing(staged)
    assert stored(home / "lake" / "bronze") == had(exchange, BTC)
    assert facts(home)[:2] == ([(START, END)], [])


@pytest.mark.parametrize("spoil", [lambda body: b"", lambda body: body[:-20], lambda body: b"PAR1" + b"x" * 500])
def test_a_staged_object_that_cannot_be_read_is_an_error(spoil, staged, home, exchange):
    victim = objects(home)[5]
    body = victim.read_bytes()
    victim.write_bytes(spoil(body))
    with pytest.raises(AirflowException, match=victim.name):
        writing(staged)
    nothing_untrue(home, exchange)
    victim.write_bytes(body)
    writing(staged)
    assert stored(home / "lake" / "bronze") == had(exchange, BTC)


def test_a_staging_place_that_is_gone_cannot_work_and_says_what_to_do(staged, home, exchange):
    for path in checkpoints(home):
        path.unlink()
    with pytest.raises(AirflowFailException, match=r"nothing is staged any more at file:.*clear the fetch task too"):
        writing(staged)
    nothing_untrue(home, exchange)


@pytest.mark.parametrize("kept", [0, 1, 7])
def test_what_was_never_staged_is_not_committed_as_empty(kept, staged, home, exchange):
    """The reference names more than its checkpoint: it was reset, or the reference is not the fetch's own."""
    place = f"{staged['stage']}/_checkpoints"
    data = [[START, START + timedelta(days=kept)]] if kept else []
    write_checkpoint(KEY, data, reset=True, checkpoint=place)
    for victim in objects(home)[kept:]:
        victim.unlink()
    with pytest.raises(AirflowException):
        writing(staged)
    nothing_untrue(home, exchange)


@pytest.mark.parametrize(
    ("start", "end"), [(START - WEEK, END), (START, END + WEEK), (END, END + WEEK), (START - WEEK, START)]
)
def test_a_reference_that_names_more_than_is_staged_commits_nothing_of_it(start, end, staged, home, exchange):
    wider = staged | {"ranges": [[start.isoformat(), end.isoformat()]]}
    with pytest.raises(AirflowException):
        writing(wider)
    nothing_untrue(home, exchange)


PAIR = ["2026-01-05T00:00:00Z", "2026-01-19T00:00:00Z"]
FINE = {"kind": KIND, "series": KEY, "ranges": [PAIR], "bars": 336, "stage": "file:///nowhere/staged=2026-01-05/x"}
SHAPE = "a dict as a fetch task returns it: kind, series, ranges, bars, stage"
HINT = "(hint: put it after a fetch operator, as in fetch >> write, or pass staged=fetch.output)"
OTHERS = [
    ("rows", "a str"),
    (5, "a int"),
    (True, "a bool"),
    ({}, "a dict of []"),
    ({"status": "success", "series": []}, "a dict of ['series', 'status']"),
    ({1: 2, "a": 3}, "a dict of ['1', 'a']"),
    ([["a"]], "a list"),
    (FINE | {"kind": None}, "a dict of ['bars', 'kind', 'ranges', 'series', 'stage']"),
]
BROKEN = [
    ({"series": 5}, "series is '5'"),
    ({"series": None}, "series is 'None'"),
    ({"ranges": None}, "ranges is 'None'"),
    ({"ranges": "soon"}, "ranges is 'soon'"),
    ({"ranges": [PAIR[::-1]]}, "ranges is \"[['2026-01-19T00:00:00Z', '2026-01-05T00:00:00Z']]\""),
    ({"ranges": [PAIR[:1]]}, "ranges is \"[['2026-01-05T00:00:00Z']]\""),
    ({"ranges": [[PAIR[0], PAIR[0]]]}, "ranges is "),
    ({"ranges": [["2026-01-05T00:00", "2026-01-06"]]}, "ranges is \"[['2026-01-05T00:00', '2026-01-06']]\""),
    ({"ranges": [[1, 2]]}, "ranges is '[[1, 2]]'"),
    ({"bars": -1}, "bars is '-1'"),
    ({"bars": "336"}, "bars is '336'"),
    ({"bars": True}, "bars is 'True'"),
    ({"stage": None}, "stage is 'None'"),
    ({"bars": None, "stage": 7}, "bars is 'None', stage is '7'"),
]


def after_a_fetch() -> WriteBronzeOperator:
    with DAG("wrong"):
        write = WriteBronzeOperator(task_id="write")
        FetchOHLCVOperator(task_id="fetch_it", symbol=BTC, timeframe="1h", **span()) >> write
    return write


@pytest.mark.parametrize(("value", "shown"), OTHERS, ids=[shown for _, shown in OTHERS])
def test_an_xcom_that_is_no_reference_is_named_with_its_task_and_not_retried(value, shown, home):
    with pytest.raises(AirflowFailException) as failed:
        execute(after_a_fetch(), Xcoms(fetch_it={-1: value}))
    assert str(failed.value) == f"nothing upstream is {SHAPE}: the XCom of task fetch_it is {shown} {HINT}"
    with pytest.raises(InvalidError) as refused:
        write_bronze([value])
    assert str(refused.value) == f"staged must be {SHAPE}; it is {shown}"
    assert not (home / "lake").exists()


@pytest.mark.parametrize(("change", "shown"), BROKEN, ids=[str(change) for change, _ in BROKEN])
def test_a_reference_of_wrong_parts_is_named_with_its_task_and_not_retried(change, shown, home):
    with pytest.raises(AirflowFailException) as failed:
        execute(after_a_fetch(), Xcoms(fetch_it={-1: FINE | change}))
    assert str(failed.value).startswith(f"the XCom of task fetch_it must be {SHAPE}; {shown}")
    assert "\n" not in str(failed.value)
    with pytest.raises(InvalidError) as refused:
        write_bronze([FINE | change])
    assert str(refused.value).startswith(f"staged must be {SHAPE}; {shown}")
    assert not (home / "lake").exists()


NOTHING = [{}, {"fetch_it": {-1: None}}, {"fetch_it": {0: None, 1: None}}, {"fetch_it": {-1: []}}]


@pytest.mark.parametrize("held", NOTHING, ids=str)
def test_nothing_upstream_is_said_and_not_retried(held, home):
    write = after_a_fetch() if held else WriteBronzeOperator(task_id="write")
    with pytest.raises(AirflowFailException) as failed:
        execute(write, Xcoms(held))
    assert str(failed.value) == f"there is nothing to take: no task directly upstream returned anything {HINT}"


@pytest.mark.parametrize("wrong", [None, "rows", {"status": "success"}], ids=str)
def test_what_is_passed_by_name_is_all_written_or_named(wrong, staged, home):
    """Only upstream tasks may be there for their order; what an author passes is meant."""
    with pytest.raises(AirflowFailException, match="staged"):
        writing([staged, wrong])


def test_the_second_range_of_a_reference_is_not_forgotten_where_the_first_fails(staged, home, exchange):
    middle = (START + WEEK).isoformat()
    parts = [[(START - WEEK).isoformat(), START.isoformat()], [middle, END.isoformat()]]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises(AirflowException):
            writing(staged | {"ranges": parts})
    nothing_untrue(home, exchange)
    assert facts(home)[0] == [(START + WEEK, END)]


def test_a_bar_that_formed_while_it_was_fetched_is_not_marked_empty_later(home, exchange):
    now = datetime.now(timezone.utc).replace(second=0, microsecond=0)
    later = now + timedelta(hours=2)
    fetch = Daily(task_id="fetch", symbol=BTC, timeframe="1m", **span(start=now - timedelta(hours=1), end=later))
    xcoms = Xcoms()
    staged = execute(fetch, xcoms)
    low, high = (datetime.fromisoformat(text.replace("Z", "+00:00")) for text in staged["ranges"][0])
    assert low == now - timedelta(hours=1)
    assert high <= datetime.now(timezone.utc)
    assert staged["bars"] == (high - low) // timedelta(minutes=1)
    writing(staged)
    held = known(home, f"coinalyze/ohlcv/{BTC}/1m")
    assert (held.data, held.empty) == ([(low, high)], [])
    assert held.missing(low, later) == [(high, later)]


@pytest.mark.parametrize("width", [timedelta(0), timedelta(minutes=30)])
def test_a_range_without_a_closed_bar_stages_nothing_and_writes_nothing(width, home, exchange):
    now = datetime.now(timezone.utc)
    with DAG("young") as dag:
        fetch = Daily(
            task_id="fetch", symbol=BTC, timeframe="1d", **span(start=now, end=now + timedelta(hours=1) + width)
        )
        fetch >> WriteBronzeOperator(task_id="write")
    xcoms = run_dag(dag)
    assert (xcoms["fetch"][-1]["ranges"], xcoms["fetch"][-1]["bars"]) == ([], 0)
    result = xcoms["write"][-1]
    assert (result["status"], result["records_written"], result["series"]) == ("success", 0, [])
    assert known(home, f"coinalyze/ohlcv/{BTC}/1d") is None


@pytest.fixture
def forgetful():
    with OfflineExchange(limit=None, retention=True) as exchange:
        yield exchange


def minutes(exchange: OfflineExchange, **more: object) -> Daily:
    now = datetime.now(timezone.utc)
    options = {"start": now - timedelta(days=2), "end": now, "adapter": adapter(exchange, 2000)} | more
    with DAG("flow"):
        return Daily(task_id="fetch", symbol=BTC, timeframe="1m", **options)


def test_what_the_source_has_deleted_stays_unknown_as_after_a_backfill(home, forgetful, tmp_path):
    key = f"coinalyze/ohlcv/{BTC}/1m"
    fetch = minutes(forgetful)
    staged = execute(fetch, Xcoms())
    assert 1990 <= staged["bars"] <= 2000
    writing(staged)
    held = known(home, key)
    assert held.empty == [], "nobody asked for what is gone"
    options = {"symbols": [BTC], "timeframes": ["1m"], "adapter": fetch.adapter, "start": fetch.start, "end": fetch.end}
    execute(BackfillOperator(task_id="backfill", **options, **places(tmp_path)), Xcoms())
    direct = known(tmp_path, key)
    assert direct.empty == []
    (low, high), (other_low, other_high) = held.data[0], direct.data[0]
    assert (len(held.data), high) == (1, other_high)
    assert abs(low - other_low) <= timedelta(minutes=3), "the source went on deleting"


def test_a_range_that_the_source_has_deleted_altogether_cannot_work(home, forgetful):
    now = datetime.now(timezone.utc)
    with pytest.raises(AirflowFailException, match="beyond retention"):
        execute(minutes(forgetful, start=now - timedelta(days=20), end=now - timedelta(days=10)), Xcoms())


def test_what_was_staged_before_the_source_deleted_the_next_bars_is_written(home, exchange, forgetful):
    """A first try staged the oldest bars; the retry came when what follows was gone. They are nowhere else any more."""
    now = datetime.now(timezone.utc).replace(second=0, microsecond=0)
    start, first = now - timedelta(days=4), now - timedelta(days=3)
    execute(minutes(exchange, start=start, end=first, adapter=adapter(exchange)), Xcoms())
    staged = execute(minutes(forgetful, start=start, end=now), Xcoms())
    writing(staged)
    held = known(home, f"coinalyze/ohlcv/{BTC}/1m")
    assert held.missing(start, first) == [], "what was staged first is in the lake"


def test_functions_raise_the_error_of_its_kind(home, exchange):
    staged = fetch_ohlcv("BTC", "1h", START, END, adapter(exchange))
    victim = objects(home)[0]
    victim.unlink()
    with pytest.raises(DataError, match=f"{KEY}: .*gone"):
        write_bronze(staged)
    for path in checkpoints(home):
        path.unlink()
    with pytest.raises(InvalidError, match="nothing is staged any more"):
        write_bronze(staged)


HISTORIC = datetime(2024, 1, 2, tzinfo=timezone.utc)


def test_a_run_of_a_past_interval_keeps_what_it_has_staged(home, exchange):
    """``airflow backfill create`` and catchup: ``run_after`` is the end of an interval of long ago."""
    run = SimpleNamespace(run_after=HISTORIC, start_date=datetime.now(timezone.utc))
    first, second = (
        Daily(task_id=name, symbol=symbol, timeframe="1h", **span()) for name, symbol in (("a", BTC), ("b", ETH))
    )
    staged = [execute(task, Xcoms(), dag_run=run) for task in (first, second)]
    asked = exchange.stats()["requests"]
    assert execute(first, Xcoms(), dag_run=run)["bars"] == HOURS, "a retry"
    assert exchange.stats()["requests"] == asked, "asks nothing again"
    assert writing(staged)["records_written"] == 2 * HOURS
