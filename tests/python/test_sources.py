"""Where an adapter comes from: an object, a name, another package; every hook of a subclass; copies and forks."""

from __future__ import annotations

import copy
import os
import pickle
import threading
from collections import Counter
from datetime import timedelta
from pathlib import Path

import pytest
from airflow.sdk import DAG
from airflow.sdk.exceptions import AirflowException, AirflowFailException

from conftest import END, START
from orchestration_runs import BTC, HOURS, KEY, Xcoms, adapter, execute, had, known, stored
from quant_framework import settings
from quant_framework.errors import InvalidError
from quant_framework.ingestion.backfill import MemoryCheckpointStore
from quant_framework.ingestion.chunking import FixedChunkStrategy
from quant_framework.ingestion.rate_limit import AdaptiveRateLimiter
from quant_framework.ingestion.writers import BronzeWriter
from quant_framework.orchestration.operators import (
    BackfillOperator,
    BaseDataOperator,
    FetchOHLCVOperator,
    IncrementalOperator,
    WriteBronzeOperator,
)
from quant_framework.orchestration.tasks import fetch_ohlcv
from quant_framework.orchestration.workflows import BackfillWorkflow

pytest_plugins = ["orchestration_fixtures"]

OPERATORS = [BackfillOperator, FetchOHLCVOperator, IncrementalOperator]


class Mine:
    """An adapter of an author's own, which holds what cannot be copied."""

    source = "mine"

    def __init__(self) -> None:
        self.lock, self.asked = threading.Lock(), Counter()

    def fetch(self, request):
        with self.lock:
            self.asked[request.start] += 1
        count = int((request.end - request.start) / timedelta(hours=1))
        times = [request.start + timedelta(hours=hour) for hour in range(count)]
        return [{"ts": at, "open": 2.0, "high": 3.0, "low": 1.0, "close": 2.5, "volume": 7.0} for at in times]


def make(operator: type = BackfillOperator, **more: object) -> BaseDataOperator:
    series = {"symbol": BTC, "timeframe": "1h"} if issubclass(operator, FetchOHLCVOperator) else _series()
    return operator(task_id="task", **(series | {"start": START, "end": END} | more))


def _series() -> dict[str, list[str]]:
    return {"symbols": [BTC], "timeframes": ["1h"]}


@pytest.mark.parametrize("operator", OPERATORS)
@pytest.mark.parametrize("how", ["object", "name", "source", "template"])
def test_an_adapter_is_an_object_or_a_name(how, operator, home, exchange):
    options = {
        "object": {"adapter": adapter(exchange)},
        "name": {"adapter": "coinalyze", "adapter_options": {"retention": None}},
        "source": {"source": "coinalyze", "adapter_options": {"retention": None}},
        "template": {"source": "{{ params.source }}", "adapter_options": {"retention": None}},
    }[how]
    execute(make(operator, **options), Xcoms(), params={"source": "coinalyze"})
    assert exchange.stats()["requests"] == 2
    place = home / "lake" / ("staging" if operator is FetchOHLCVOperator else "bronze")
    assert len(list(place.rglob("*.parquet"))) == (1 if operator is IncrementalOperator else 2)


@pytest.mark.parametrize("operator", OPERATORS)
@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"adapter": "nope"}, "unknown source 'nope' .*use one of .*coinalyze"),
        ({"source": "nope"}, "unknown source 'nope' .*use one of .*coinalyze"),
        ({"source": ""}, "unknown source ''"),
        ({"adapter": ""}, "unknown source ''"),
        ({"adapter": 7}, "adapter int has no method fetch"),
        ({"adapter": object()}, "adapter object has no method fetch"),
        ({"adapter": {"source": "coinalyze"}}, "adapter dict has no method fetch"),
        ({"source": 5}, "source"),
        ({"adapter_options": 5}, "adapter_options"),
        ({"adapter_options": ["retention"]}, "adapter_options"),
    ],
    ids=lambda value: str(value)[:24].partition(" object at")[0],
)
def test_a_wrong_source_fails_at_parse_time(options, says, operator):
    with pytest.raises(InvalidError, match=says):
        make(operator, **options)


@pytest.mark.parametrize("operator", OPERATORS)
@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"source": "{{ params.source }}"}, "unknown source 'nope'"),
        ({"adapter_options": {"markt": 1}}, "source 'coinalyze' does not take these options: .*markt"),
        ({"adapter_options": {"retention": "long"}}, "does not take these options: .*str"),
        ({"adapter_options": {"base_url": "not a url"}}, "not a url"),
        ({"market_data_conn_id": "nowhere"}, "no connection 'nowhere'"),
    ],
    ids=lambda value: str(value)[:30],
)
def test_a_wrong_source_at_run_time_is_not_retried(options, says, operator, home, exchange):
    with pytest.raises(AirflowFailException, match=says) as failed:
        execute(make(operator, **options), Xcoms(), params={"source": "nope"})
    assert "\n" not in str(failed.value)
    assert exchange.stats()["requests"] == 0


def test_a_source_without_its_key_is_not_retried_and_says_so(home, exchange, monkeypatch):
    monkeypatch.delenv("COINALYZE_API_KEY")
    with pytest.raises(AirflowFailException, match="COINALYZE_API_KEY"):
        execute(make(), Xcoms())


@pytest.mark.parametrize("source", [5, None, object(), "nope"], ids=lambda value: type(value).__name__)
def test_a_function_names_a_wrong_source(source, home):
    with pytest.raises(InvalidError, match=r"source|adapter"):
        fetch_ohlcv(BTC, "1h", START, END, source)


def hooks(exchange, home: Path, called: list[str]) -> dict[str, object]:
    """What an author's override of each hook gives; each notes that it was asked."""

    def note(name: str, value: object):
        def hook(self, context):
            called.append(name)
            assert context["ti"].task_id == "task"
            return value

        return hook

    return {
        "build_adapter": note("build_adapter", adapter(exchange)),
        "build_writer": note("build_writer", BronzeWriter((home / "own").as_uri())),
        "build_checkpoint_store": note("build_checkpoint_store", MemoryCheckpointStore()),
        "build_rate_limiter": note("build_rate_limiter", AdaptiveRateLimiter(999, 999, 1)),
        "build_chunk_strategy": note("build_chunk_strategy", FixedChunkStrategy(24)),
    }


HOOKS = ["build_adapter", "build_writer", "build_checkpoint_store", "build_rate_limiter", "build_chunk_strategy"]


@pytest.mark.parametrize("operator", [BackfillOperator, IncrementalOperator])
@pytest.mark.parametrize("hook", [*HOOKS, "all"])
def test_a_subclass_overrides_one_method(hook, operator, home, exchange):
    called: list[str] = []
    given = hooks(exchange, home, called)
    subclass = type("Mine", (operator,), given if hook == "all" else {hook: given[hook]})
    result = execute(make(subclass, adapter_options={"retention": None}), Xcoms())
    assert result["records_written"] == HOURS
    assert sorted(called) == (sorted(HOOKS) if hook == "all" else [hook]), "each is asked once"
    own = hook in ("build_writer", "all")
    assert stored(home / "own" if own else home / "lake" / "bronze") == had(exchange, BTC)
    assert (known(home) is None) is (hook in ("build_checkpoint_store", "all"))
    assert exchange.stats()["requests"] == (14 if hook in ("build_chunk_strategy", "all") else 2)
    limits = home / "limits"
    assert limits.exists() is (hook not in ("build_rate_limiter", "all"))


def test_hooks_of_fetch_and_write(home, exchange):
    called: list[str] = []
    given = hooks(exchange, home, called)
    picked = {name: given[name] for name in ("build_adapter", "build_rate_limiter", "build_chunk_strategy")}
    fetch = make(type("Fetch", (FetchOHLCVOperator,), picked))
    xcoms = Xcoms()
    assert execute(fetch, xcoms)["bars"] == HOURS
    assert sorted(called) == sorted(picked)
    called.clear()
    picked = {name: given[name] for name in ("build_writer", "build_checkpoint_store")}
    write = type("Write", (WriteBronzeOperator,), picked)(task_id="task", staged=xcoms["task"][-1])
    assert execute(write, Xcoms())["records_written"] == HOURS
    assert sorted(called) == sorted(picked)
    assert stored(home / "own") == had(exchange, BTC)
    assert known(home) is None


def test_a_subclass_overrides_the_workflow_the_work_or_the_summary(home, exchange):
    class Half(BackfillOperator):
        def build_workflow(self, context):
            return BackfillWorkflow(
                **self.wanted(context), start=START, end=START + timedelta(7), **self.parts(context)
            )

    class Small(BackfillOperator):
        def summarize(self, result):
            return {"rows": result["records_written"]}

    class Work(BaseDataOperator):
        def work(self, context):
            return {"lake": self.build_writer(context).url}

    class Refusing(BaseDataOperator):
        def work(self, context):
            raise InvalidError("no such thing", "think again")

    class Bare(BaseDataOperator):
        pass

    options = {"adapter_options": {"retention": None}}
    assert execute(make(Half, **options), Xcoms())["records_written"] == HOURS // 2
    assert execute(make(Small, **options), Xcoms()) == {"rows": HOURS // 2}
    assert execute(Work(task_id="task"), Xcoms()) == {"lake": settings.lake_url()}
    with pytest.raises(AirflowFailException, match=r"no such thing \(hint: think again\)"):
        execute(Refusing(task_id="task"), Xcoms())
    with pytest.raises(NotImplementedError, match="Bare overrides neither build_workflow nor work"):
        execute(Bare(task_id="task"), Xcoms())


COPIES = {
    "task": lambda dag: copy.deepcopy(dag.get_task("task")),
    "dag": lambda dag: copy.deepcopy(dag).get_task("task"),
    "subset": lambda dag: dag.partial_subset("write", include_upstream=True).get_task("task"),
}


@pytest.mark.parametrize("kind", ["native", "python"])
@pytest.mark.parametrize("way", COPIES)
def test_copies_of_a_task_share_its_adapter(way, kind, home, exchange):
    """An adapter holds connections and locks, which nobody can copy."""
    held = adapter(exchange) if kind == "native" else Mine()
    with DAG("flow") as dag:
        make(FetchOHLCVOperator, adapter=held) >> WriteBronzeOperator(task_id="write")
    task = COPIES[way](dag)
    assert task.adapter is held
    assert execute(task, Xcoms())["bars"] == HOURS


def test_a_mapped_task_is_copied_with_its_adapter(exchange):
    with DAG("flow") as dag:
        options = {"task_id": "task", "adapter": adapter(exchange), "timeframe": "1h", "start": START, "end": END}
        FetchOHLCVOperator.partial(**options).expand(symbol=[BTC])
    assert copy.deepcopy(dag).get_task("task").partial_kwargs["adapter"].adapter is options["adapter"]


@pytest.mark.parametrize("operator", OPERATORS)
def test_a_task_is_pickled_with_its_name_of_a_source_and_runs(operator, home, exchange):
    task = make(operator, adapter_options={"retention": None})
    copied = pickle.loads(pickle.dumps(task))
    execute(copied, Xcoms())
    assert exchange.stats()["requests"] == 2
    assert "offline" not in str(vars(copied))


def test_a_native_adapter_is_not_shown_with_its_key(exchange):
    from quant_framework.ingestion.adapters import CoinalyzeAdapter

    held = CoinalyzeAdapter(api_key="geheimes-wort", base_url=exchange.url)
    task = make(adapter=held)
    assert "geheim" not in repr(vars(task)) + repr(task) + str(task.adapter)


@pytest.mark.parametrize("used", [False, True], ids=["fresh", "used"])
def test_an_adapter_built_at_parse_time_works_after_a_fork(used, home, exchange, tmp_path):
    """Airflow parses a file and forks; connections and threads of the parent are not the child's."""
    held = adapter(exchange)
    if used:
        execute(make(adapter=held, lake=(tmp_path / "first").as_uri(), checkpoint="memory:"), Xcoms())
    task = make(adapter=held)
    child = os.fork()
    if child == 0:
        code = 1
        try:
            code = 0 if execute(task, Xcoms())["records_written"] == HOURS else 2
        finally:
            os._exit(code)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert stored(home / "lake" / "bronze") == had(exchange, BTC)
    assert execute(task, Xcoms())["records_written"] == 0, "and in the parent afterwards"
    assert known(home, KEY).missing(START, END) == []


def test_an_adapter_that_fails_is_an_error_of_its_kind(home):
    class Failing(Mine):
        def fetch(self, request):
            raise InvalidError("this market is closed", "ask for another one")

    with pytest.raises(AirflowFailException, match="this market is closed"):
        execute(make(adapter=Failing()), Xcoms())

    class Bug(Mine):
        def fetch(self, request):
            raise KeyError("bug")

    with pytest.raises(AirflowException, match="KeyError") as failed:
        execute(make(adapter=Bug()), Xcoms())
    assert not isinstance(failed.value, AirflowFailException)
