"""Waits that are too long for a slot: parked, resumed, and shared between tasks through a file."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta, timezone

import pytest
from airflow.sdk.exceptions import AirflowFailException, AirflowRescheduleException

from conftest import START
from quant_framework import settings
from quant_framework.errors import InvalidError, RateLimitedError
from quant_framework.ingestion.adapters import CoinalyzeAdapter
from quant_framework.ingestion.backfill import LocalCheckpointStore
from quant_framework.ingestion.chunking import FixedChunkStrategy
from quant_framework.ingestion.rate_limit import PRESETS, AdaptiveRateLimiter, SharedRateLimiter
from quant_framework.ingestion.writers import BronzeWriter
from quant_framework.orchestration.dag_builders import BackfillDagBuilder
from quant_framework.orchestration.operators import BackfillOperator, base
from quant_framework.testing import Fault, OfflineExchange
from test_operator import TaskInstance

DAY = 24
SYMBOLS = ("BTCUSDT_PERP.A", "ETHUSDT_PERP.A", "SOLUSDT_PERP.A")


class Daily(BackfillOperator):
    """A request for each day."""

    def build_chunk_strategy(self, context: dict) -> FixedChunkStrategy:
        return FixedChunkStrategy(DAY)


def now() -> datetime:
    return datetime.now(timezone.utc)


def days(number: int) -> dict[str, object]:
    return {"chunk_strategy": FixedChunkStrategy(DAY), "start": START, "end": START + timedelta(days=number)}


@pytest.fixture
def operator(exchange, tmp_path, monkeypatch):
    monkeypatch.setenv("COINALYZE_API_KEY", "offline")
    monkeypatch.setenv("QUANT_FRAMEWORK_BASE_URL", exchange.url)
    monkeypatch.setenv("QUANT_FRAMEWORK_HOME", str(tmp_path))

    def operator(**options: object) -> BackfillOperator:
        defaults = {"symbols": SYMBOLS[:1], "timeframes": ["1h"], "start": START, "end": START + timedelta(days=10)}
        return Daily(task_id="backfill", adapter_options={"retention": None}, **(defaults | options))

    return operator


def quota(exchange: OfflineExchange, place: str | None = None) -> AdaptiveRateLimiter:
    """Another task's limiter of the same key."""
    return settings.open_limiter(CoinalyzeAdapter("offline", exchange.url), place)


@pytest.mark.parametrize("shared", [False, True])
async def test_a_run_parks_until_there_is_quota_and_the_next_one_asks_only_for_the_rest(
    shared, make, context, tmp_path
):
    window = [(8, 4.0)]
    with OfflineExchange(limit=window[0]) as exchange:
        place = tmp_path.as_uri()
        limiter = SharedRateLimiter(place, "key", window) if shared else AdaptiveRateLimiter(1000, 1000, windows=window)
        began = now()
        parked = await make(exchange, rate_limiter=limiter, max_wait=0.5, **days(14)).execute(context)
        ended = now()
        assert (parked["status"], parked["chunks_done"], parked["requests"]) == ("parked", 8, 8)
        assert (parked["records_written"], parked["errors"]) == (8 * DAY, [])
        until = datetime.fromisoformat(parked["until"].replace("Z", "+00:00"))
        assert until.utcoffset() == timedelta(0)
        assert began + timedelta(seconds=4) < until < ended + timedelta(seconds=5)
        rest = await make(exchange, rate_limiter=limiter, max_wait=30, **days(14)).execute(context)
        assert now() >= until
        assert (rest["status"], rest["chunks_skipped"], rest["chunks_done"], rest["requests"]) == ("success", 8, 6, 6)
        assert exchange.stats() == {"requests": 14, "weight": 14, "200": 14}
        assert len({entry["from"] for entry in exchange.ledger}) == 14


def test_a_task_is_put_off_until_the_quota_that_others_used_is_back(operator, exchange, tmp_path):
    began = now()
    quota(exchange).acquire_sync(40)
    full = now()
    with pytest.raises(AirflowRescheduleException) as parked:
        operator(max_wait=1).execute({"ti": TaskInstance()})
    assert began + timedelta(seconds=59) < parked.value.reschedule_date < full + timedelta(seconds=62)
    assert exchange.stats()["requests"] == 0
    (file,) = (tmp_path / "limits").iterdir()
    assert "offline" not in file.name + file.read_text()


def test_what_was_fetched_before_a_task_was_put_off_is_kept(operator, exchange):
    quota(exchange).acquire_sync(34)
    with pytest.raises(AirflowRescheduleException):
        operator(max_wait=1).execute({"ti": TaskInstance()})
    assert exchange.stats()["requests"] == 6
    result = operator(max_wait=1, rate_limit=None, end=START + timedelta(days=6)).execute({"ti": TaskInstance()})
    assert (result["status"], result["chunks_skipped"], result["requests"]) == ("success", 6, 0)


def mapped(builder: BackfillDagBuilder, index: int) -> BackfillOperator:
    """A mapped task as it runs."""
    (task,) = builder.build().tasks
    one = task.unmap(task.expand_input.value[index])
    one.render_template_fields(
        {"params": {"start": START.isoformat(), "end": (START + timedelta(days=10)).isoformat()}}
    )
    return one


def test_mapped_tasks_are_put_off_too(operator, exchange, tmp_path, monkeypatch):
    monkeypatch.setenv("QUANT_FRAMEWORK_RATE_LIMIT", (tmp_path / "elsewhere").as_uri())
    options = {"max_wait": 1, "adapter_options": {"retention": None}}
    builder = BackfillDagBuilder("parks", symbols=SYMBOLS, timeframes=["1h"], operator=Daily, operator_options=options)
    began, dates = now(), []
    quota(exchange).acquire_sync(35)
    full = now()
    for index in range(3):
        with pytest.raises(AirflowRescheduleException) as parked:
            mapped(builder, index).execute({"ti": TaskInstance()})
        dates.append(parked.value.reschedule_date)
    assert exchange.stats() == {"requests": 5, "weight": 5, "200": 5}
    assert all(began + timedelta(seconds=58) < date < full + timedelta(seconds=62) for date in dates)
    assert not (tmp_path / "limits").exists()
    assert len(list((tmp_path / "elsewhere").iterdir())) == 1


def test_tasks_that_share_a_folder_park_or_wait_and_never_exceed_the_limit(operator, exchange, tmp_path, monkeypatch):
    monkeypatch.setitem(PRESETS["coinalyze"], "windows", ((10, 1.0),))
    monkeypatch.setitem(PRESETS["coinalyze"], "base_rate", 50)
    monkeypatch.setitem(PRESETS["coinalyze"], "slack", 0.3)  # requests of a busy machine arrive late
    monkeypatch.setattr(base, "LEAST_PARKED", timedelta(0))
    exchange.set_limit((10, 1.0))
    parks = []

    def run(symbol: str) -> dict:
        """As Airflow: again when it said it wants to be."""
        while True:
            task = operator(
                symbols=[symbol],
                max_wait=0.3,
                rate_limit=(tmp_path / "quota").as_uri(),
                lake=(tmp_path / symbol).as_uri(),
            )
            try:
                return task.execute({"ti": TaskInstance()})
            except AirflowRescheduleException as parked:
                seconds = (parked.reschedule_date - now()).total_seconds()
                parks.append(seconds)
                time.sleep(max(0.0, seconds))

    with ThreadPoolExecutor(3) as threads:
        results = list(threads.map(run, SYMBOLS))
    assert {result["status"] for result in results} == {"success"}
    assert exchange.stats() == {"requests": 30, "weight": 30, "200": 30}, "nobody was refused, nothing asked twice"
    assert exchange.usage()[0]["peak"] <= 10
    assert 1 <= len(parks) <= 30
    assert max(parks) < 6


def test_nobody_comes_back_before_a_scheduler_has_seen_it_leave(operator, exchange):
    """Airflow takes a task that is queued again by then for one that was lost, and fails it."""
    exchange.inject(Fault("429", times=1, value=10))
    began = now()
    with pytest.raises(AirflowRescheduleException) as parked:
        operator(max_wait=1).execute({"ti": TaskInstance()})
    assert began + timedelta(seconds=15) <= parked.value.reschedule_date < now() + timedelta(seconds=16)


NAMED = [{"rate_limit": "file:///quota"}, {"rate_limit_conn_id": "quota"}, {"postgres_conn_id": "quant"}]


@pytest.mark.parametrize(
    ("options", "width"),
    [({}, 1), ({"minio_conn_id": "lake"}, 1), ({"operator_options": {"max_active_tis_per_dagrun": 3}}, 3)]
    + [(named, None) for named in NAMED]
    + [({**NAMED[0], "operator_options": {"max_active_tis_per_dagrun": 2}}, 2)],
)
def test_series_run_side_by_side_where_the_quota_has_a_named_place(options, width):
    builder = BackfillDagBuilder("width", symbols=SYMBOLS, timeframes=["1h"], **options)
    (task,) = builder.build().tasks
    said = {name: task.partial_kwargs.get(name) for name in ("max_active_tis_per_dag", "max_active_tis_per_dagrun")}
    assert [value for value in said.values() if value] == ([] if width is None else [width])
    one = mapped(builder, 1)
    for name in ("rate_limit", "rate_limit_conn_id"):
        assert getattr(one, name) == options.get(name)
        assert name in one.template_fields


PASSWORDS = ["postgresql://quant:geheim@db/quant", "postgres://quant@db/quant?password=geheim"]


@pytest.mark.parametrize("place", PASSWORDS)
def test_a_password_in_the_place_is_refused_before_it_is_shown(place, operator):
    says = "rate_limit holds a password"
    with pytest.raises(InvalidError, match=says) as refused:
        operator(rate_limit=place)
    assert "geheim" not in str(refused.value)
    builder = BackfillDagBuilder("secret", symbols=SYMBOLS, timeframes=["1h"], rate_limit=place)
    assert builder.validate()[0] is False
    with pytest.raises(InvalidError, match=says) as refused:
        builder.build()
    assert "geheim" not in str(refused.value)


def test_two_places_are_none(operator, exchange):
    both = {"rate_limit": "file:///quota", "rate_limit_conn_id": "quota"}
    with pytest.raises(AirflowFailException, match="rate_limit and rate_limit_conn_id name two places"):
        operator(**both).execute({"ti": TaskInstance()})
    with pytest.raises(AirflowFailException, match="no connection 'nowhere'"):
        operator(rate_limit_conn_id="nowhere").execute({"ti": TaskInstance()})
    with pytest.raises(AirflowFailException, match="must be postgresql://"):
        operator(rate_limit="ftp://somewhere").execute({"ti": TaskInstance()})
    assert exchange.stats()["requests"] == 0


@pytest.mark.parametrize("named", ["nowhere", "environment", "argument"])
def test_where_the_quota_is_kept(named, operator, exchange, tmp_path, monkeypatch):
    folders = {"nowhere": tmp_path / "limits", "environment": tmp_path / "one", "argument": tmp_path / "other"}
    if named != "nowhere":
        monkeypatch.setenv("QUANT_FRAMEWORK_RATE_LIMIT", folders["environment"].as_uri())
    options = {"rate_limit": folders["argument"].as_uri()} if named == "argument" else {}
    assert operator(end=START + timedelta(days=2), **options).execute({"ti": TaskInstance()})["requests"] == 2
    assert [name for name, folder in folders.items() if folder.exists()] == [named]
    with pytest.raises(RateLimitedError):
        quota(exchange, folders[named].as_uri()).acquire_sync(39, max_wait=1)


def test_a_run_costs_others_what_it_asked_and_no_more(operator, exchange):
    """What was leased ahead and not needed was lost: 8 requests cost 12 of 40."""
    assert operator(end=START + timedelta(days=8)).execute({"ti": TaskInstance()})["requests"] == 8
    assert quota(exchange).acquire_sync(32, max_wait=1) < 1


@pytest.mark.parametrize(
    ("window", "pace", "spent", "chunks"),
    [
        ((40, 3.0), 1000, 0, 120),
        ((40, 3.0), 1000, 30, 50),
        ((20, 1.5), 20, 0, 60),
    ],
)
@pytest.mark.parametrize("shared", [False, True])
async def test_a_plan_says_how_long_a_run_takes(shared, window, pace, spent, chunks, make, context, tmp_path):
    # A busy machine makes a run longer, and none shorter: the first of three that takes what its plan says will do. A
    # plan that is wrong is so by whole windows.
    for attempt in range(3):
        folder = tmp_path / str(attempt)
        place = {"place": folder.as_uri(), "scope": "key"} if shared else {}
        parts = {"writer": BronzeWriter(folder.as_uri()), "checkpoint_store": LocalCheckpointStore(folder / "known")}
        with OfflineExchange(limit=window) as exchange:
            limiter = AdaptiveRateLimiter(pace, pace, windows=[window], slack=0.2, **place)
            for _ in range(spent):
                limiter.acquire_sync()
                exchange.spend(1)
            job = make(exchange, rate_limiter=limiter, **parts, **days(chunks))
            plan = await job.plan()
            assert (plan["chunks"], plan["weight"]) == (chunks, chunks)
            began = time.monotonic()
            assert (await job.execute(context))["status"] == "success"
            took = time.monotonic() - began
            assert took >= plan["least_seconds"] - 0.3
            assert "429" not in exchange.stats()
            peak = exchange.usage()[0]["peak"]
        if took <= plan["least_seconds"] + window[1] / 2 and peak == window[0]:
            break
    assert took <= plan["least_seconds"] + window[1] / 2
    assert peak == window[0], "nothing is wasted"


DAG = """
    # Airflow looks only into files that hold its name.
    from quant_framework.ingestion.chunking import FixedChunkStrategy
    from quant_framework.ingestion.rate_limit import AdaptiveRateLimiter
    from quant_framework.orchestration.dag_builders import BackfillDagBuilder
    from quant_framework.orchestration.operators import BackfillOperator
    class Daily(BackfillOperator):
        def build_chunk_strategy(self, context):
            return FixedChunkStrategy(24)
        def build_rate_limiter(self, context):
            return AdaptiveRateLimiter(1000, 1000, windows=[(6, 12.0)], place=self.rate_limit, scope="key")
    dag = BackfillDagBuilder(
        "by_folder", symbols=SYMBOLS, timeframes=["1h"], start="2026-01-05T00:00:00Z", end="2026-01-09T00:00:00Z",
        lake="FOLDER/by_folder/lake", checkpoint="FOLDER/by_folder/checkpoints", rate_limit="file://FOLDER/by_folder/quota",
        operator=Daily,
        operator_options={"max_wait": 0.5, "retries": 0, "adapter_options": {"retention": None}},
    ).build()
"""


@pytest.mark.xdist_group("airflow")
@pytest.mark.timeout(1200)
def test_mapped_tasks_of_a_live_airflow_park_without_using_up_a_retry_and_never_exceed_the_limit(airflow):
    exchange = airflow.exchange
    exchange.reset()
    # Longer than it takes a busy machine to start the tasks one after the other: one of them finds the quota used up.
    exchange.set_limit((6, 12.0))
    try:
        airflow.add("by_folder", DAG.replace("SYMBOLS", str(list(SYMBOLS))))
        run = airflow.trigger("by_folder")
        tasks = lambda: airflow.task("by_folder", run, part="/listMapped")["task_instances"]  # noqa: E731
        airflow.wait(lambda: any(task["state"] == "up_for_reschedule" for task in tasks()), 300)
        assert airflow.ended("by_folder", run, 300) == "success"
        assert [(task["state"], task["try_number"]) for task in tasks()] == [("success", 1)] * 3
        assert exchange.stats() == {"requests": 12, "weight": 12, "200": 12}
        assert exchange.usage()[0]["peak"] <= 6
    finally:
        exchange.set_limit(None)
