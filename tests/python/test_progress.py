"""Progress of a backfill in the task's state store, where Airflow has one."""

from __future__ import annotations

import json
import logging
import os
import signal

import pytest
from airflow.sdk.exceptions import AirflowException, AirflowRescheduleException

from quant_framework.airflow.progress import STATE_KEY
from quant_framework.ingestion.chunking import FixedChunkStrategy
from quant_framework.orchestration.operators import BackfillOperator, source
from quant_framework.testing import Fault
from test_operator import TaskInstance, operator  # noqa: F401 - the fixture

ROWS = 14 * 24


class StateStore:
    """Airflow's ``TaskStateStoreAccessor``, which takes only JSON."""

    def __init__(self, at_first=lambda: None) -> None:
        self.history: list[dict] = []
        self.at_first = at_first

    def set(self, key: str, value: object, *, retention: object = None) -> None:
        assert key == STATE_KEY
        self.history.append(json.loads(json.dumps(value)))
        if len(self.history) == 1:
            self.at_first()

    def get(self, key: str, default: object = None) -> object:
        return self.history[-1] if self.history else default


class BrokenStore(StateStore):
    def __init__(self, failures: float = float("inf")) -> None:
        super().__init__()
        self.most = failures
        self.failures: list[dict] = []

    def set(self, key: str, value: object, *, retention: object = None) -> None:
        if len(self.failures) < self.most:
            self.failures.append(value)
            raise RuntimeError("the API server is away")
        super().set(key, value)


class Chunked(BackfillOperator):
    def build_chunk_strategy(self, context):
        return FixedChunkStrategy(24)


@pytest.fixture
def task(operator, exchange, monkeypatch) -> Chunked:  # noqa: F811
    """A backfill in 14 chunks that reports much more often than it gets an answer."""
    exchange.inject(Fault("latency", times=None, value=0.05))
    monkeypatch.setattr(source, "INTERVAL", 0.01)
    template = operator(concurrency=1)
    options = {name: getattr(template, name) for name in ("symbols", "timeframes", "start", "end", "adapter_options")}
    return Chunked(task_id="backfill", concurrency=1, **options)


def context(store: StateStore) -> dict:
    return {"ti": TaskInstance(), "task_state_store": store}


def test_counters_are_mirrored_while_running_and_at_the_end(task):
    store = StateStore()
    summary = task.execute(context(store))
    *running, last = store.history
    assert {values["status"] for values in running} == {"running"}
    rows = [values["records_written"] for values in running]
    assert rows == sorted(rows)
    assert rows[0] < ROWS, "the first report is not the last"
    assert {values["chunks_planned"] for values in running[1:]} <= {0, 14}
    assert (last["status"], last["records_written"], last["chunks_done"]) == ("success", ROWS, 14)
    assert all(not isinstance(value, dict | list) for value in last.values()), "plain values"
    assert summary["records_written"] == ROWS


def test_how_a_run_ended_is_mirrored_whatever_it_was(task, exchange):
    store = StateStore(at_first=task.on_kill)
    with pytest.raises(AirflowException, match="terminated"):
        task.execute(context(store))
    assert store.get(STATE_KEY)["status"] == "cancelled"
    task._killed = False
    exchange.faults.clear()
    exchange.inject(Fault("malformed", times=1))
    with pytest.raises(AirflowException, match="partial"):
        task.execute(context(store))
    assert store.get(STATE_KEY)["status"] == "partial"
    exchange.inject(Fault("429", times=1, value=900))
    task.max_wait = 1
    with pytest.raises(AirflowRescheduleException):
        task.execute(context(store))
    assert store.get(STATE_KEY)["status"] == "parked"


def test_a_timeout_is_mirrored_too(task, monkeypatch):
    """Airflow's handler raises: the run was once still shown as running when it had ended."""

    class TimedOut(BaseException):
        pass

    def handler(number: int, frame: object) -> None:
        task.on_kill()
        raise TimedOut

    before = signal.signal(signal.SIGTERM, handler)
    try:
        store = StateStore(at_first=lambda: os.kill(os.getpid(), signal.SIGTERM))
        with pytest.raises(TimedOut):
            task.execute(context(store))
    finally:
        signal.signal(signal.SIGTERM, before)
    assert store.get(STATE_KEY)["status"] == "cancelled"


def test_a_store_that_fails_costs_one_warning_and_nothing_else(task, caplog):
    store = BrokenStore()
    with caplog.at_level(logging.WARNING, "quant_framework.airflow"):
        assert task.execute(context(store))["records_written"] == ROWS
    warnings = [record.getMessage() for record in caplog.records if record.name == "quant_framework.airflow"]
    assert warnings == ["progress is not mirrored to the task's state store: the API server is away"]
    assert len(store.failures) > 1, "it may be back for the next report"


def test_a_store_that_fails_for_a_while_still_gets_the_end(task):
    store = BrokenStore(failures=1)
    task.execute(context(store))
    assert store.get(STATE_KEY)["status"] == "success"


def test_without_a_state_store_nothing_happens(task, caplog):
    with caplog.at_level(logging.INFO, "quant_framework.airflow"):
        assert task.execute({"ti": TaskInstance()})["records_written"] == ROWS
    lines = [record for record in caplog.records if record.name == "quant_framework.airflow"]
    assert lines, "progress is logged all the same"
    assert {record.levelno for record in lines} == {logging.INFO}
