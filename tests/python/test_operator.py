"""The backfill operator without a scheduler."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace

import pytest
from airflow.sdk.exceptions import AirflowException, AirflowFailException, AirflowRescheduleException

from conftest import END, START
from quant_framework.errors import DataError, InvalidError
from quant_framework.ingestion.adapters import CoinalyzeAdapter
from quant_framework.ingestion.backfill import MemoryCheckpointStore
from quant_framework.ingestion.writers import BronzeWriter
from quant_framework.orchestration.operators import (
    BackfillOperator,
    BaseDataOperator,
    FetchOHLCVOperator,
    IncrementalOperator,
    RepairOperator,
    WriteSilverOperator,
    fetch_operators,
)
from quant_framework.orchestration.operators.source import owner
from quant_framework.orchestration.tasks.fetch_tasks import Stage
from quant_framework.orchestration.workflows import BackfillWorkflow
from quant_framework.testing import Fault


class TaskInstance:
    task_id = "backfill"

    def xcom_pull(self, **_: object) -> None:
        return None

    def xcom_push(self, **_: object) -> None:
        return None


@pytest.fixture
def operator(exchange, tmp_path, monkeypatch):
    monkeypatch.setenv("COINALYZE_API_KEY", "offline")
    monkeypatch.setenv("QUANT_FRAMEWORK_BASE_URL", exchange.url)
    monkeypatch.setenv("QUANT_FRAMEWORK_HOME", str(tmp_path))

    def operator(**options: object) -> BackfillOperator:
        defaults = {"symbols": ["BTC"], "timeframes": ["1h"], "start": START, "end": END.isoformat()}
        return BackfillOperator(task_id="backfill", adapter_options={"retention": None}, **(defaults | options))

    return operator


def test_a_task_returns_a_small_summary(operator, tmp_path):
    result = operator().execute({"ti": TaskInstance()})
    assert (result["status"], result["records_written"]) == ("success", 14 * 24)
    assert result["series"][0]["series"] == "coinalyze/ohlcv/BTCUSDT_PERP.A/1h"
    assert len(str(result)) < 1000
    assert (tmp_path / "lake" / "bronze").is_dir()


@pytest.mark.parametrize("options", [{"start": None}, {"symbols": ["NOPE"]}, {"timeframes": "{{ params.none }}"}])
def test_what_cannot_work_fails_without_retry(options, operator):
    with pytest.raises(AirflowFailException):
        operator(**options).execute({"ti": TaskInstance()})


@pytest.mark.parametrize(
    ("options", "named"),
    [
        ({"timeframes": ["7m"]}, "timeframes: unknown timeframe"),
        ({"data_types": ["trades"]}, "data_types: unknown data type"),
        ({"source": "nope"}, "unknown source 'nope'"),
        ({"adapter": "nope"}, "unknown source 'nope'"),
        ({"adapter": 7}, "adapter int has no method fetch"),
        ({"concurrency": 0}, "concurrency must be a whole number of at least 1, not 0"),
        ({"max_wait": "soon"}, "max_wait must be seconds of at least 0, or None, not 'soon'"),
        ({"resume": "maybe"}, "resume must be one of always, never, not 'maybe'"),
        ({"lake": "s3://key:geheim@host/lake"}, "lake holds a password"),
    ],
)
def test_a_wrong_argument_fails_when_the_dag_is_parsed_and_is_named(options, named, operator):
    with pytest.raises(InvalidError, match=named):
        operator(**options)


def test_an_unknown_argument_fails_when_the_dag_is_parsed_and_is_named(operator):
    with pytest.raises(TypeError, match="simbols"):
        operator(simbols=["BTC"])


def test_what_may_pass_is_left_to_a_retry(operator, exchange):
    exchange.inject(Fault("malformed", times=1))
    with pytest.raises(AirflowException, match="partial"):
        operator().execute({"ti": TaskInstance()})
    assert operator().execute({"ti": TaskInstance()})["status"] == "success"


def test_a_long_refusal_parks(operator, exchange):
    exchange.inject(Fault("429", times=1, value=900))
    with pytest.raises(AirflowRescheduleException):
        operator(max_wait=1).execute({"ti": TaskInstance()})


def test_a_killed_task_never_ends_in_success(operator):
    task = operator()
    task.on_kill()
    with pytest.raises(AirflowException, match="terminated"):
        task.execute({"ti": TaskInstance()})


def test_all_tries_of_a_task_are_one_owner_and_no_other_task_is():
    ti = {"dag_id": "dag", "task_id": "backfill", "run_id": "first", "map_index": -1}
    owners = lambda **other: owner({"ti": SimpleNamespace(**(ti | other))})  # noqa: E731
    assert owners(try_number=1) == owners(try_number=2)
    others = ({}, {"dag_id": "another"}, {"task_id": "other"}, {"run_id": "second"}, {"map_index": 0}, {"map_index": 1})
    assert len({owners(**other) for other in others}) == len(others)


def test_nothing_secret_is_kept_in_the_operator(operator):
    import pickle

    task = operator()
    assert "offline" not in str(vars(task))
    pickle.dumps(task.adapter_options)


@pytest.mark.parametrize("method", ["build_workflow", "work"])
@pytest.mark.parametrize(
    ("error", "is_hopeless"), [(InvalidError("x"), True), (DataError("x"), False), (ValueError("x"), False)]
)
def test_only_what_is_invalid_fails_without_a_retry(method, error, is_hopeless):
    """Any ValueError in build_workflow did, a damaged checkpoint and an author's int("") among them."""

    def fail(self, context):
        raise error

    task = type("Own", (BaseDataOperator,), {method: fail})(task_id="own")
    with pytest.raises(AirflowFailException if is_hopeless else type(error)) as raised:
        task.execute({"ti": TaskInstance()})
    assert isinstance(raised.value, AirflowFailException) is is_hopeless


class Hanging:
    """Silver that asks to be killed, as Airflow does it, and then never ends."""

    ended = False

    def __init__(self, task: BaseDataOperator) -> None:
        self.task = task

    async def compact(self, *_: object) -> None:
        try:
            self.task.on_kill()
            await asyncio.Event().wait()
        finally:
            self.ended = True


def test_work_without_a_workflow_is_broken_off_by_a_kill():
    """It went on until Airflow lost patience."""

    class Silver(WriteSilverOperator):
        def build_silver(self, context: object) -> Hanging:
            return silver

    task = Silver(task_id="silver", series="coinalyze/ohlcv/BTC/1h")
    silver = Hanging(task)
    with pytest.raises(AirflowException, match="terminated; a retry does it again") as raised:
        task.execute({"ti": TaskInstance()})
    assert not isinstance(raised.value, AirflowFailException)
    assert silver.ended


def test_what_is_cancelled_otherwise_stays_cancelled():
    class Own(BaseDataOperator):
        def work(self, context: object) -> None:
            raise asyncio.CancelledError

    with pytest.raises(asyncio.CancelledError):
        Own(task_id="own").execute({"ti": TaskInstance()})


@pytest.mark.parametrize("symbols", ["['BTC', 'ETH']", '["BTC", "ETH"]', "BTC, ETH", ("BTC", "ETH")])
def test_lists_may_be_texts_that_a_template_has_rendered(symbols, operator):
    series = {"coinalyze/ohlcv/BTCUSDT_PERP.A/1h", "coinalyze/ohlcv/ETHUSDT_PERP.A/1h"}
    task = operator(symbols=symbols)
    task.timeframes = "['1h']"
    result = task.execute({"ti": TaskInstance()})
    assert {one["series"] for one in result["series"]} == series
    some = operator(symbols=["BTC", "SOL"], only_symbols=symbols).execute({"ti": TaskInstance()})
    assert [one["series"] for one in some["series"]] == ["coinalyze/ohlcv/BTCUSDT_PERP.A/1h"]


@pytest.mark.parametrize("symbols", ["['BTC'", "[1]", ["BTC", None], [1]])
def test_what_is_no_list_of_texts_fails_without_a_retry_or_a_request(symbols, operator, exchange):
    with pytest.raises(AirflowFailException, match="symbols must be a list of texts"):
        operator(symbols=symbols).execute({"ti": TaskInstance()})
    assert exchange.stats()["requests"] == 0


class Own:
    """A workflow of the author's own, whatever the operator."""

    def build_workflow(self, context):
        return BackfillWorkflow(
            CoinalyzeAdapter(base_url=self.url, retention=None),
            BronzeWriter((self.folder / "own").as_uri()),
            MemoryCheckpointStore(),
            symbols=["BTC"],
            timeframes=["1h"],
            start=START,
            end=END,
        )


@pytest.mark.parametrize("kind", [BackfillOperator, IncrementalOperator, RepairOperator])
def test_build_workflow_may_be_overridden(kind, operator, exchange, tmp_path):
    own = type("OwnOperator", (Own, kind), {"url": exchange.url, "folder": tmp_path})
    series = "coinalyze/ohlcv/BTCUSDT_PERP.A/1h"
    what = {"series": [series]} if kind is RepairOperator else {"symbols": ["BTC"], "timeframes": ["1h"]}
    task = own(task_id="own", **what)
    assert task.execute({"ti": TaskInstance()})["records_written"] == 14 * 24
    assert task._places["outputs"] == [BronzeWriter((tmp_path / "own").as_uri()).address(series)]


def test_a_fetch_that_would_write_elsewhere_is_refused_before_a_request(operator, exchange, tmp_path, monkeypatch):
    own = type("OwnFetch", (Own, FetchOHLCVOperator), {"url": exchange.url, "folder": tmp_path})
    monkeypatch.setattr(fetch_operators, "task_stage", lambda *_: Stage(f"{tmp_path.as_uri()}/staged=2026-01-01/x"))
    with pytest.raises(AirflowFailException, match="must write into its stage"):
        own(task_id="own", symbol="BTC", timeframe="1h").execute({"ti": TaskInstance()})
    assert exchange.stats()["requests"] == 0
