"""Series kept up to date: holes first, nothing twice, late and overlapping runs, the present and its forming bar."""

from __future__ import annotations

import asyncio
from datetime import datetime, timedelta, timezone

import pytest
from airflow.sdk.exceptions import AirflowFailException, AirflowRescheduleException

from conftest import END, START, Context
from orchestration_runs import BTC, ETH, HOURS, Xcoms, adapter, execute, facts, had, known, stored
from quant_framework.errors import InvalidError
from quant_framework.ingestion.backfill import LocalCheckpointStore
from quant_framework.ingestion.chunking import FixedChunkStrategy
from quant_framework.ingestion.rate_limit import AdaptiveRateLimiter, SharedRateLimiter
from quant_framework.ingestion.writers import BronzeWriter
from quant_framework.orchestration.operators import BackfillOperator, IncrementalOperator
from quant_framework.orchestration.workflows import BackfillWorkflow, IncrementalWorkflow
from quant_framework.testing import Fault, OfflineExchange

pytest_plugins = ["orchestration_fixtures"]

HOUR = timedelta(hours=1)
DAY = timedelta(days=1)


def interval(start: datetime, end: datetime) -> dict[str, datetime]:
    return {"data_interval_start": start, "data_interval_end": end}


def update(*, context: dict | None = None, **options: object) -> dict:
    defaults = {"symbols": [BTC], "timeframes": ["1h"], "adapter_options": {"retention": None}, "start": START}
    task = IncrementalOperator(task_id="update", **(defaults | options))
    return execute(task, Xcoms(), **(context or {}))


def backfill(start: datetime, end: datetime, **options: object) -> dict:
    defaults = {"symbols": [BTC], "timeframes": ["1h"], "adapter_options": {"retention": None}}
    return execute(BackfillOperator(task_id="b", start=start, end=end, **(defaults | options)), Xcoms())


def asked(exchange: OfflineExchange) -> list[tuple[datetime, datetime]]:
    """What the exchange was asked for, ends exclusive, in the order of the requests."""
    moment = lambda seconds: datetime.fromtimestamp(int(seconds), timezone.utc)  # noqa: E731
    return [(moment(entry["from"]), moment(entry["to"])) for entry in exchange.ledger if entry.get("from")]


def test_holes_before_the_head_are_filled_and_nothing_is_asked_twice(home, exchange):
    backfill(START + DAY, START + 2 * DAY)
    backfill(START + 4 * DAY, START + 5 * DAY)
    exchange.reset()
    result = update(end=START + 6 * DAY)
    assert result["records_written"] == 4 * 24
    lows = sorted(low for low, _ in asked(exchange))
    lows_wanted = [START, START + 2 * DAY, START + 5 * DAY - 3 * HOUR]
    assert lows == lows_wanted, "the holes, and the new part with the last bars before it"
    assert stored(home / "lake" / "bronze") == had(exchange, BTC, end=START + 6 * DAY)
    assert facts(home)[:2] == ([(START, START + 6 * DAY)], [])
    exchange.reset()
    assert update(end=START + 6 * DAY)["records_written"] == 0
    assert exchange.stats()["requests"] == 0


ORDERS = {
    "in order": [0, 1, 2, 3, 4, 5],
    "late": [0, 3, 1, 5, 2, 4],
    "newest first": [5, 4, 3, 2, 1, 0],
    "repeated": [0, 0, 1, 1, 1, 2, 5, 3, 4, 5],
}


@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize("bound", ["start", "lookback", "interval"])
def test_runs_in_any_order_leave_the_same(order, bound, home, exchange):
    bounds = {"start": {}, "lookback": {"start": None, "lookback": DAY}, "interval": {"start": None}}
    said = bounds[bound]
    for day in ORDERS[order]:
        low = START + day * DAY
        update(**said, context=interval(low, low + DAY))
    end = START + 6 * DAY
    assert stored(home / "lake" / "bronze") == had(exchange, BTC, end=end)
    assert facts(home)[:2] == ([(START, end)], [])
    total = sum(int((high - low) / HOUR) + 1 for low, high in asked(exchange))
    assert total <= 6 * 24 + len(asked(exchange)) + 3 * len(ORDERS[order]), (
        "no bar but the overlap's is asked for twice"
    )


@pytest.mark.parametrize("width", [DAY, 3 * DAY, timedelta(hours=5)])
def test_lookback_says_how_far_back_a_run_looks(width, home, exchange):
    update(start=None, lookback=width, end=END)
    assert facts(home)[:2] == ([(END - width, END)], [])
    update(start=None, lookback=width, end=END + DAY)
    low = END - width if width >= DAY else END + DAY - width
    assert known(home).missing(low, END + DAY) == []
    if width < DAY:
        assert known(home).missing(END, END + DAY) == [(END, END + DAY - width)], "no further"


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"lookback": DAY}, "at most one of start and lookback may be given"),
        ({"overlap": -1}, "overlap must be a whole number of bars from 0 to 100000, not -1"),
        ({"overlap": 1.5}, "overlap must be a whole number of bars"),
        ({"overlap": True}, "overlap must be a whole number of bars"),
        ({"start": None, "lookback": timedelta(0)}, "lookback must be a timedelta above 0"),
        ({"start": None, "lookback": -DAY}, "lookback must be a timedelta above 0"),
        ({"start": None, "lookback": 86400}, "lookback must be a timedelta above 0, not 86400"),
        ({"start": None, "lookback": "1d"}, "lookback must be a timedelta above 0, not '1d'"),
        ({"lag": -1}, "lag"),
        ({"lag": "soon"}, "lag"),
        ({"timeframes": ["7m"]}, "unknown timeframe"),
    ],
    ids=str,
)
def test_a_wrong_argument_fails_at_parse_time(options, says):
    with pytest.raises(InvalidError, match=says):
        IncrementalOperator(task_id="update", **({"symbols": [BTC], "timeframes": ["1h"], "start": START} | options))


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"start": "{{ params.none }}"}, "nothing is known of it yet.*say where it begins"),
        ({"start": "soon"}, "start: 'soon' is not an ISO 8601 time"),
        ({"start": datetime(2026, 1, 5)}, "aware"),
        ({"end": "soon"}, "end: 'soon' is not an ISO 8601 time"),
        ({"end": START - DAY}, "not after its start"),
        ({"start": datetime(2200, 1, 1, tzinfo=timezone.utc), "end": None}, "not after its start"),
    ],
    ids=str,
)
def test_what_cannot_work_fails_without_a_retry(options, says, home, exchange):
    with pytest.raises(AirflowFailException, match=says):
        update(**options, context={"params": {"none": None}})
    assert exchange.stats()["requests"] == 0


async def test_a_workflow_without_a_bound_says_so(exchange, make, tmp_path):
    parts = {
        "adapter": adapter(exchange),
        "writer": BronzeWriter((tmp_path / "lake").as_uri()),
        "checkpoint_store": LocalCheckpointStore(tmp_path / "c"),
    }
    job = {"symbols": [BTC], "timeframes": ["1h"], "rate_limiter": AdaptiveRateLimiter(999, 999, 1)}
    result = await IncrementalWorkflow(**parts, **job).execute(Context())
    assert (result["status"], result["records_written"]) == ("failed", 0)
    assert "nothing is known of it yet" in result["errors"][0]["message"]
    result = await IncrementalWorkflow(**parts, **job).execute(Context(start=START.isoformat(), end=END))
    assert (result["status"], result["records_written"]) == ("success", HOURS)
    result = await IncrementalWorkflow(**parts, **job, lookback=DAY).execute(Context(end=END + DAY))
    assert result["records_written"] == 24
    plan = await IncrementalWorkflow(**parts, **job, start=START, end=END).plan(Context())
    assert plan["chunks"] == 0


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"lookback": 7}, "lookback must be a timedelta above 0, not 7"),
        ({"lookback": timedelta(0)}, "lookback must be a timedelta above 0"),
        ({"lookback": DAY, "start": START}, "at most one of start and lookback"),
    ],
)
def test_a_workflow_refuses_what_its_operator_refuses(options, says, exchange, tmp_path):
    parts = (adapter(exchange), BronzeWriter(tmp_path.as_uri()), LocalCheckpointStore(tmp_path / "c"))
    with pytest.raises(InvalidError, match=says):
        IncrementalWorkflow(*parts, symbols=[BTC], timeframes=["1h"], **options)


def test_the_end_of_the_data_interval_is_the_end(home, exchange):
    update(context=interval(START, START + DAY))
    assert facts(home)[:2] == ([(START, START + DAY)], [])
    update(context=interval(START, START), end=START + DAY)
    assert facts(home)[:2] == ([(START, START + DAY)], []), "an interval without length is none"


@pytest.mark.parametrize("lag", [0.0, 5.0, 7200.0])
def test_a_bar_that_forms_is_never_stored_and_follows_when_it_has_closed(lag, home, exchange):
    before = datetime.now(timezone.utc)
    start = before.replace(minute=0, second=0, microsecond=0) - 5 * HOUR
    update(start=start, lag=lag)
    after = datetime.now(timezone.utc)
    (newest,) = [high for _, high in known(home).data]
    ends = {(now - timedelta(seconds=lag)).replace(minute=0, second=0, microsecond=0) for now in (before, after)}
    assert newest in ends
    assert known(home).empty == []
    assert stored(home / "lake" / "bronze") == had(exchange, BTC, start=start, end=newest)
    update(start=start, lag=0.0)
    (newest,) = [high for _, high in known(home).data]
    assert newest >= after.replace(minute=0, second=0, microsecond=0)
    assert stored(home / "lake" / "bronze") == had(exchange, BTC, start=start, end=newest)


def test_an_answer_without_the_newest_bars_is_asked_again(home, exchange):
    """A source that is a minute late has not said that there is no bar."""
    now = datetime.now(timezone.utc).replace(second=0, microsecond=0)
    late = OfflineExchange(limit=None, now=lambda: (now - timedelta(minutes=10)).timestamp())
    start = now - HOUR
    with late:
        options = {"timeframes": ["1m"], "adapter": adapter(late), "adapter_options": None, "start": start, "lag": 0.0}
        update(**options, end=now)
    options |= {"adapter": adapter(exchange)}
    update(**options, end=now)
    key = f"coinalyze/ohlcv/{BTC}/1m"
    assert known(home, key).missing(start, now - timedelta(minutes=1)) == []
    assert stored(home / "lake" / "bronze") == had(exchange, BTC, "1min", start, now), "every bar, the late ones too"


def test_several_symbols_and_one_of_them_unknown(home, exchange):
    from airflow.sdk.exceptions import AirflowException

    assert update(symbols=[BTC, ETH], end=END)["records_written"] == 2 * HOURS
    with pytest.raises(AirflowException, match=r"partial: .*NOPE"):
        update(symbols=[BTC, "NOPE.A", ETH], end=END + DAY)
    rows = [row for symbol in (BTC, ETH) for row in had(exchange, symbol, end=END + DAY)]
    assert stored(home / "lake" / "bronze") == rows, "the others are up to date"


def test_only_what_was_refused_is_asked_for_by_the_next_run(home, exchange):
    class Daily(IncrementalOperator):
        def build_chunk_strategy(self, context):
            return FixedChunkStrategy(24)

    def daily() -> dict:
        options = {"symbols": [BTC], "timeframes": ["1h"], "adapter_options": {"retention": None}, "concurrency": 1}
        return execute(Daily(task_id="update", start=START, end=END, max_wait=0.5, **options), Xcoms())

    exchange.inject(Fault("429", times=1, value=10, after=5))
    with pytest.raises(AirflowRescheduleException):
        daily()
    assert exchange.stats()["200"] == 5
    exchange.reset()
    result = execute_when_possible(daily)
    assert (result["status"], exchange.stats()["200"]) == ("success", 9)
    assert stored(home / "lake" / "bronze") == had(exchange, BTC)


def execute_when_possible(task) -> dict:
    """As Airflow: again when it said it wants to be."""
    import time

    while True:
        try:
            return task()
        except AirflowRescheduleException as parked:
            time.sleep(max(0.0, (parked.reschedule_date - datetime.now(timezone.utc)).total_seconds()))


@pytest.mark.parametrize("kind", ["process", "shared"])
async def test_an_update_goes_before_a_backfill_that_waits_for_the_same_quota(kind, exchange, tmp_path):
    """The quota is used up and both wait; what comes back goes to the live run first."""
    window = [(4, 2.5)]
    limiter = (
        AdaptiveRateLimiter(1000, 1000, windows=window)
        if kind == "process"
        else SharedRateLimiter((tmp_path / "quota").as_uri(), "key", window)
    )

    def parts(name: str) -> dict:
        return {
            "adapter": adapter(exchange),
            "writer": BronzeWriter((tmp_path / name / "lake").as_uri()),
            "checkpoint_store": LocalCheckpointStore(tmp_path / name / "c"),
            "chunk_strategy": FixedChunkStrategy(24),
            "rate_limiter": limiter,
            "timeframes": ["1h"],
        }

    slow = BackfillWorkflow(**parts("slow"), symbols=[ETH], start=START, end=END, concurrency=6)
    running = asyncio.create_task(slow.execute(Context()))
    while exchange.stats()["requests"] < 4:
        await asyncio.sleep(0.01)
    live = IncrementalWorkflow(**parts("live"), symbols=[BTC], start=START, end=START + 4 * DAY, concurrency=4)
    result = await live.execute(Context())
    mine = [number for number, entry in enumerate(exchange.ledger) if BTC in str(entry)]
    assert (result["status"], len(mine)) == ("success", 4)
    assert mine[-1] <= 4 + 4 + 1, "at most one of the backfill's was on its way"
    assert (await running)["status"] == "success"
