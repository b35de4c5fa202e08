"""Builders: every error at once and none raised; both forms alike; what reaches the tasks; what a trigger may say."""

from __future__ import annotations

import inspect
import json
from datetime import datetime, timedelta

import pytest
from airflow.sdk import DAG, Asset, AssetAlias, CronDataIntervalTimetable, CronTriggerTimetable
from airflow.sdk.exceptions import AirflowSkipException, ParamValidationError
from airflow.serialization.serialized_objects import DagSerialization

from conftest import END, START
from orchestration_runs import BTC, ETH, HOURS, Xcoms, execute, had, stored
from quant_framework.errors import InvalidError
from quant_framework.orchestration.dag_builders import (
    BackfillDagBuilder,
    BaseDagBuilder,
    IncrementalDagBuilder,
    RepairDagBuilder,
)
from quant_framework.orchestration.operators import BackfillOperator, IncrementalOperator

pytest_plugins = ["orchestration_fixtures"]

BUILDERS = [BackfillDagBuilder, IncrementalDagBuilder, RepairDagBuilder]
WANTED = {"symbols": ["BTC", "ETH"], "timeframes": ["1h"]}


def builder(kind: type = BackfillDagBuilder, **options: object):
    extra = {"lookback": timedelta(days=1)} if kind is IncrementalDagBuilder and "start" not in options else {}
    return kind("built", **(WANTED | extra | options))


def errors(kind: type = BackfillDagBuilder, **options: object) -> list[str]:
    valid, found = builder(kind, **options).validate()
    assert valid is not bool(found)
    return found


def serialised(dag: DAG) -> str:
    return json.dumps(DagSerialization.to_dict(dag), sort_keys=True)


GARBAGE = [
    5,
    -1.5,
    True,
    b"x",
    "x",
    "",
    object(),
    [],
    [5],
    [None],
    [[]],
    {},
    {"x": 1},
    {5: 1},
    {1: 2, "a": 3},
    set(),
    int,
    len,
]
ARGUMENTS = sorted(
    {
        name
        for kind in (*BackfillDagBuilder.__mro__[:2], IncrementalDagBuilder, RepairDagBuilder)
        for name in inspect.signature(kind).parameters
    }
    - {"positional", "options", "dag_options", "dag_id"}
)


OF_SOME = ("lookback", "lag", "end", "overlap", "attempts", "pause", "force")


@pytest.mark.parametrize("kind", BUILDERS)
@pytest.mark.parametrize(
    "argument", ["dag_id", *ARGUMENTS, "tags", "params", "catchup", "max_active_runs", "on_failure_callback"]
)
def test_validate_never_raises_whatever_it_is_given(argument, kind):
    raised = []
    for value in GARBAGE:
        try:
            built = kind(**({"dag_id": "built", **WANTED} | {argument: value}))
            valid, found = built.validate()
        except Exception as error:
            raised.append(f"{argument}={value!r}: {type(error).__name__}: {error}")
            continue
        assert all(isinstance(line, str) and "\n" not in line for line in found), found
        if not valid:
            with pytest.raises(InvalidError):
                built.build()
    taken = argument in inspect.signature(kind).parameters or argument not in (
        "lookback",
        "lag",
        "end",
        "overlap",
        "attempts",
        "pause",
        "force",
    )
    assert not raised or not taken, "\n".join(raised)


WRONG = {
    "dag_id": [("", "dag_id must be a text that is not empty, not ''"), (5, "dag_id must be a text")],
    "symbols": [
        ("BTC", "symbols must be a list of names, not 'BTC'"),
        (["BTC", "BTC"], "symbols holds 'BTC' twice"),
        (["BTC", 5], "symbols holds 5, which is no name"),
        ([], "symbols is empty"),
        (["BTC", " "], "symbols holds ' ', which is no name"),
    ],
    "timeframes": [(["1h", "7m"], "timeframes: unknown timeframe"), (["1h", "1h"], "timeframes holds '1h' twice")],
    "data_types": [(["trades"], "data_types: unknown data type"), ([], "data_types is empty")],
    "source": [("nope", "unknown source 'nope'"), (5, "source"), (["coinalyze"], "source")],
    "lake": [(5, "lake"), ("ftp://x", "lake"), ("s3://k:geheim@b/x", "lake holds a password")],
    "checkpoint": [(5, "checkpoint"), ("ftp://x", "checkpoint")],
    "rate_limit": [(5, "rate_limit")],
    "minio_conn_id": [(5, "minio_conn_id")],
    "postgres_conn_id": [(["x"], "postgres_conn_id")],
    "adapter_options": [(5, "adapter_options"), ("x", "adapter_options")],
    "pool": [(5, "pool"), ([], "pool")],
    "outlets": [(5, "outlets"), ("prices", "outlets"), ([5], "outlets")],
    "operator": [(5, "operator"), (int, "operator")],
    "operator_options": [
        ({"concurency": 3}, "operator has no argument 'concurency' (did you mean 'concurrency'?)"),
        ({"zzz": 3}, "operator has no argument 'zzz'"),
        ({"concurrency": 0}, "concurrency must be a whole number of at least 1, not 0"),
        ({"max_wait": -1}, "max_wait must be seconds of at least 0"),
        ({"resume": "maybe"}, "resume must be one of always, never, not 'maybe'"),
        ({"retries": "many"}, "retries"),
        ({"execution_timeout": 5}, "execution_timeout"),
        ({"retry_delay": "soon"}, "retry_delay"),
        ({"trigger_rule": "whenever"}, "trigger"),
        ({"symbols": ["X"]}, "symbols"),
        ({"task_id": "x"}, "task_id"),
    ],
    "schedule": [("every day", "schedule"), ("61 * * * *", "61"), (5, "schedule")],
    "max_active_run": [(1, "DAG has no argument 'max_active_run' (did you mean 'max_active_runs'?)")],
    "max_active_runs": [("x", "max_active_runs")],
    "start_date": [("soon", "soon")],
    "default_args": [(5, "default_args")],
    "start": [("soon", "start"), ("2026-01-05T00:00", "start"), (datetime(2026, 1, 5), "start"), (5, "start")],
    "end": [("soon", "end"), (datetime(2026, 1, 5), "end")],
}


@pytest.mark.parametrize(
    ("argument", "value", "says"),
    [(argument, value, says) for argument, cases in WRONG.items() for value, says in cases],
    ids=lambda value: str(value)[:40].partition(" object at")[0],
)
def test_a_wrong_argument_is_named(argument, value, says):
    found = BackfillDagBuilder(**({"dag_id": "built", **WANTED} | {argument: value})).validate()[1]
    assert any(says in error for error in found), found


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"start": "2026-01-05T00:00:00Z", "lookback": timedelta(1)}, "at most one of start and lookback"),
        ({"overlap": -1}, "overlap must be a whole number of bars"),
        ({"lookback": timedelta(0)}, "lookback must be a timedelta above 0"),
        ({"lookback": 7}, "lookback must be a timedelta above 0, not 7"),
        ({"start": "soon"}, "start"),
        ({"start": datetime(2026, 1, 5)}, "start"),
        ({"lookback": timedelta(1), "lag": "x"}, "lag"),
        ({"lookback": timedelta(1), "lag": -1}, "lag"),
    ],
)
def test_a_wrong_argument_of_an_incremental_dag_is_named(options, says):
    found = IncrementalDagBuilder("built", **WANTED, **options).validate()[1]
    assert any(says in error for error in found), found


@pytest.mark.parametrize(("options", "has_intervals"), [({}, True), ({"start": "2026-01-05T00:00:00Z"}, False)])
def test_an_incremental_dag_without_a_bound_has_data_intervals(options, has_intervals):
    dag = IncrementalDagBuilder("built", schedule="@hourly", **WANTED, **options).build()
    assert isinstance(dag.timetable, CronDataIntervalTimetable) == has_intervals


def test_all_errors_are_said_at_once():
    wrong = {
        "symbols": [],
        "timeframes": ["7m"],
        "data_types": ["trades"],
        "source": "nope",
        "lake": "s3://k:geheim@b/x",
        "rate_limit": "file:///a",
        "rate_limit_conn_id": "b",
        "operator_options": {"concurency": 1, "retrys": 2},
        "max_active_run": 1,
    }
    found = BackfillDagBuilder("", **wrong).validate()[1]
    says = ["dag_id", "symbols", "7m", "trades", "nope", "lake", "two places", "concurency", "retrys", "max_active_run"]
    assert [part for part in says if not any(part in error for error in found)] == []
    assert "geheim" not in str(found)


FLUENT = {
    "with_symbols": ((["SOL"],), {"symbols": ["SOL"]}),
    "with_timeframes": ((["4h", "1d"],), {"timeframes": ["4h", "1d"]}),
    "with_data_types": ((["open_interest"],), {"data_types": ["open_interest"]}),
    "with_source": (("coinalyze",), {"source": "coinalyze"}),
    "with_schedule": (("@daily",), {"schedule": "@daily"}),
    "with_lake": (("file:///lake",), {"lake": "file:///lake"}),
    "with_checkpoint": (("file:///c",), {"checkpoint": "file:///c"}),
    "with_connections": (
        {"minio_conn_id": "a", "postgres_conn_id": "b"},
        {"minio_conn_id": "a", "postgres_conn_id": "b"},
    ),
    "with_pool": (("pool",), {"pool": "pool"}),
    "with_silver": ((), {"silver": True}),
    "with_outlets": ((["prices"],), {"outlets": ["prices"]}),
    "with_default_args": ({"retries": 7, "owner": "me"}, {"default_args": {"retries": 7, "owner": "me"}}),
    "with_operator_options": ({"concurrency": 2}, {"operator_options": {"concurrency": 2}}),
    "with_dag_options": ({"max_active_runs": 2, "tags": ["x"]}, {"max_active_runs": 2, "tags": ["x"]}),
    "with_range": (
        ("2026-01-05T00:00:00Z", "2026-01-06T00:00:00Z"),
        {"start": "2026-01-05T00:00:00Z", "end": "2026-01-06T00:00:00Z"},
    ),
    "with_start": (("2026-01-05T00:00:00Z",), {"start": "2026-01-05T00:00:00Z"}),
    "with_lookback": ((timedelta(days=3),), {"lookback": timedelta(days=3)}),
}


@pytest.mark.parametrize("kind", BUILDERS)
def test_every_fluent_method_is_in_the_table(kind):
    assert {name for name in dir(kind) if name.startswith("with_")} <= set(FLUENT)


@pytest.mark.parametrize(
    ("method", "kind"), [(method, kind) for kind in BUILDERS for method in FLUENT if hasattr(kind, method)]
)
def test_fluent_is_keyword(method, kind):
    arguments, options = FLUENT[method]
    extra = (
        {"lookback": timedelta(1)}
        if kind is IncrementalDagBuilder and method not in ("with_start", "with_lookback")
        else {}
    )
    fluent = kind("built", **WANTED, **extra)
    call = getattr(fluent, method)
    assert (call(**arguments) if isinstance(arguments, dict) else call(*arguments)) is fluent
    keyword = kind("built", **(WANTED | extra | options))
    assert fluent.validate() == keyword.validate() == (True, [])
    assert serialised(fluent.build()) == serialised(keyword.build())
    assert (
        serialised(fluent.build()) != serialised(kind("built", **WANTED, lookback=timedelta(1)).build())
        if extra
        else True
    )


def test_building_touches_nothing_else():
    symbols, options = ["BTC"], {"concurrency": 2}
    built = BackfillDagBuilder("built", symbols=symbols, timeframes=["1h"], operator_options=options)
    built.with_operator_options(max_wait=1).build()
    assert (symbols, options) == (["BTC"], {"concurrency": 2})
    with DAG("outer") as outer:
        assert built.validate() == (True, [])
        dag = built.build()
    assert (outer.task_ids, dag.task_ids) == ([], ["backfill"])


def tasks(kind: type = BackfillDagBuilder, **options: object) -> list:
    (task,) = builder(kind, **options).build().tasks
    return [task.unmap(value) for value in task.expand_input.value]


def test_pool_limits_and_callbacks_reach_the_task():
    def told(context):
        return None

    options = {"pool": "narrow", "operator_options": {"concurrency": 3, "execution_timeout": timedelta(hours=1)}}
    options |= {"default_args": {"on_failure_callback": told, "retries": 9}, "on_failure_callback": told}
    for task in tasks(**options):
        assert (task.pool, task.concurrency, task.execution_timeout) == ("narrow", 3, timedelta(hours=1))
        assert (list(task.on_failure_callback), task.retries) == ([told], 9)
    assert builder(**options).build().on_failure_callback == told
    assert [task.retries for task in tasks()] == [3, 3]


def test_outlets_of_every_form():
    asset, alias = Asset("prices"), AssetAlias("all")
    (first, _) = tasks(outlets=[asset, alias, "by name"])
    assert first.outlets == [asset, alias, Asset("by name")]
    assert tasks()[0].outlets == [AssetAlias("quant_framework:built")]
    assert tasks(outlets=[])[0].outlets == []


def params(**conf: object) -> dict:
    dag = builder(start=START, end=END).build()
    held = dag.params.deep_merge(conf) if hasattr(dag.params, "deep_merge") else dag.params
    held.update(conf)
    return held.validate()


@pytest.mark.parametrize(
    "conf", [{}, {"symbols": None}, {"symbols": ["BTC"]}, {"symbols": []}, {"start": None, "end": None}]
)
def test_what_a_trigger_may_say(conf):
    assert params(**conf)["symbols"] == conf.get("symbols")


@pytest.mark.parametrize(
    "conf", [{"symbols": ["DOGE"]}, {"symbols": "BTC"}, {"symbols": [5]}, {"start": 5}, {"end": ["x"]}]
)
def test_what_a_trigger_may_not_say(conf):
    with pytest.raises(ParamValidationError):
        params(**conf)


def test_chosen_symbols_run_and_the_others_are_skipped(home, exchange):
    options = {"adapter_options": {"retention": None}, "start": START, "end": END}
    first, second = tasks(**options)
    chosen = params(symbols=["ETH"])
    with pytest.raises(AirflowSkipException, match="BTC: not among the chosen symbols"):
        execute(first, Xcoms(), params=chosen)
    assert exchange.stats()["requests"] == 0
    assert execute(second, Xcoms(), params=chosen)["records_written"] == HOURS
    assert stored(home / "lake" / "bronze") == had(exchange, ETH)
    first, second = tasks(**options)
    day = params(start="2026-01-05T00:00:00Z", end="2026-01-06T00:00:00Z")
    assert execute(first, Xcoms(), params=day)["records_written"] == 24


def test_a_run_takes_its_data_interval_where_no_range_is_said(home, exchange):
    first, _ = tasks(adapter_options={"retention": None}, schedule=CronDataIntervalTimetable("@daily", "UTC"))
    day = START + timedelta(days=1)
    run = {
        "params": {"symbols": None, "start": None, "end": None},
        "data_interval_start": START,
        "data_interval_end": day,
    }
    assert execute(first, Xcoms(), **run)["records_written"] == 24
    assert stored(home / "lake" / "bronze") == had(exchange, BTC, end=day)


def test_a_cron_text_has_intervals_where_no_start_is_said():
    """A cron text is ``CronTriggerTimetable`` by default in Airflow 3: its runs have no interval and would all fail."""
    assert isinstance(builder(schedule="@daily").build().timetable, CronDataIntervalTimetable)
    assert isinstance(builder(schedule="@daily", start=START).build().timetable, CronTriggerTimetable)
    assert isinstance(builder(IncrementalDagBuilder, schedule="@daily").build().timetable, CronTriggerTimetable)


def test_a_subclass_overrides_one_method_of_builder_and_operator():
    class Mine(BackfillOperator):
        def summarize(self, result):
            return {}

    class Builder(BackfillDagBuilder):
        def arguments(self):
            return super().arguments() | {"concurrency": 1}

    assert {type(task) for task in tasks(operator=Mine)} == {Mine}
    task, _ = [
        Builder("mine", **WANTED).build().tasks[0].unmap({"symbols": [name], "timeframes": ["1h"]}) for name in "ab"
    ]
    assert (task.concurrency, task.start) == (1, "{{ params.start }}")

    class Series(IncrementalDagBuilder):
        def add_tasks(self, dag):
            for one in self.series():
                self.operator_class(task_id=f"update_{one['symbols'][0]}", **one, **self._task_options())

    dag = Series("mine", **WANTED, lookback=timedelta(1)).build()
    assert dag.task_ids == ["update_BTC", "update_ETH"]
    assert {type(task) for task in dag.tasks} == {IncrementalOperator}


def test_what_an_authors_method_raised_is_the_cause_of_what_build_raises():
    class Mine(BackfillDagBuilder):
        def add_tasks(self, dag: DAG) -> None:
            {}["no such key"]

    with pytest.raises(InvalidError, match="DAG 'built': KeyError: 'no such key'") as raised:
        builder(Mine).build()
    cause = raised.value.__cause__
    assert isinstance(cause, KeyError)
    assert cause.__traceback__ is not None
    assert errors(Mine) == ["KeyError: 'no such key'"]


def test_a_builder_without_an_operator_is_told_so():
    """validate() raised AttributeError."""
    for given in ({}, {"operator": BackfillOperator}):
        valid, found = BaseDagBuilder("built", **WANTED, **given).validate()
        assert not valid
        assert found == ["BaseDagBuilder names no operator_class or no task_id; use a subclass that does"]
