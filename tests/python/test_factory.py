"""DAGs from YAML: as written by hand, wrong ones in sight, and only the one that a worker asks for."""

from __future__ import annotations

import json
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest
from airflow.dag_processing.dagbag import DagBag
from airflow.providers.standard.operators.bash import BashOperator
from airflow.providers.standard.operators.empty import EmptyOperator
from airflow.sdk import DAG, Asset, BaseOperator, CronTriggerTimetable, TaskGroup
from airflow.sdk.exceptions import AirflowFailException
from airflow.serialization.serialized_objects import DagSerialization

from quant_framework import config_files
from quant_framework.orchestration.dag_builders import BackfillDagBuilder, DagFactory
from quant_framework.orchestration.operators import CheckpointReader

EMPTY = f"{EmptyOperator.__module__}.EmptyOperator"
BASH = f"{BashOperator.__module__}.BashOperator"
WANTED = "_AIRFLOW_PARSING_CONTEXT_DAG_ID"
LOADER = """from pathlib import Path  # airflow, dag
from quant_framework.orchestration.dag_builders import DagFactory
DagFactory(Path(__file__).parent / "yaml").register(globals())
"""
SMALL = f"""
  ID:
    tasks:
      a: {{operator: {EMPTY}}}
"""
FAILED = "dags:\n  failed: {type: backfill, symbols: [A], timeframes: [1h], schedule: {timetable: nowhere.Timetable}}\n"
NEVER = "{timetable: airflow.sdk.CronTriggerTimetable, expression: 61 * * * *, timezone: UTC}"
BUILT: list[str] = []


class Counted(BaseOperator):
    """Tells which tasks are made."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        BUILT.append(self.task_id)


def notify(context: Any) -> None:
    """What a callback names."""


def shout(text: str) -> str:
    return text.upper()


def write(folder: Path, name: str, text: str) -> Path:
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, "utf-8")
    return path


def build(folder: Path, text: str, **environ: str) -> dict[str, DAG]:
    return DagFactory(write(folder, "dags.yaml", text), environ=environ).build()


def serialised(dag: DAG) -> dict[str, Any]:
    """A DAG as Airflow keeps it; where it was made is not part of what it is."""
    return {key: value for key, value in DagSerialization.to_dict(dag)["dag"].items() if key != "fileloc"}


def test_a_backfill_is_the_one_of_the_builder(tmp_path):
    text = """
defaults:
  default_args: {retries: 5, retry_delay: 5m}
dags:
  nightly:
    type: backfill
    description: every night
    schedule: "0 2 * * *"
    symbols: [BTC, ETH]
    timeframes: [1h, 4h]
    data_types: [ohlcv, open_interest]
    source: coinalyze
    start: 2026-01-01
    lake: ${LAKE:-s3://bucket/bronze}
    minio_conn_id: minio
    pool: coinalyze
    outlets: [bronze]
    operator: {execution_timeout: 2h, queue: big, concurrency: 4}
    max_active_runs: 1
"""
    by_hand = BackfillDagBuilder(
        "nightly",
        description="every night",
        schedule="0 2 * * *",
        symbols=["BTC", "ETH"],
        timeframes=["1h", "4h"],
        data_types=["ohlcv", "open_interest"],
        source="coinalyze",
        start="2026-01-01T00:00:00Z",
        lake="s3://bucket/bronze",
        minio_conn_id="minio",
        default_args={"retries": 5, "retry_delay": timedelta(minutes=5)},
        operator_options={
            "execution_timeout": timedelta(hours=2),
            "queue": "big",
            "concurrency": 4,
            "pool": "coinalyze",
            "outlets": [Asset("bronze")],
        },
        max_active_runs=1,
    ).build()
    (dag,) = build(tmp_path, text).values()
    assert serialised(dag) == serialised(by_hand)
    (other,) = build(tmp_path, text, LAKE="s3://elsewhere/bronze").values()
    assert other.tasks[0].partial_kwargs["lake"] == "s3://elsewhere/bronze"


TASKS = f"""
dags:
  by_hand:
    schedule: {{timetable: airflow.sdk.CronTriggerTimetable, expression: "0 3 * * *", timezone: UTC}}
    start_date: 2026-01-01T00:00:00+02:00
    dagrun_timeout: PT6H
    tags: [b, a]
    default_args: {{retries: 2, owner: me}}
    on_failure_callback: test_factory.notify
    user_defined_filters: {{shout: test_factory.shout}}
    task_groups:
      checks: {{tooltip: look twice, dependencies: [known]}}
    tasks:
      known: {{operator: CheckpointReader, series: coinalyze/ohlcv/BTC/1h, start: "{{{{ ds }}}}"}}
      begin: {{operator: {EMPTY}, outlets: [s3://bucket/x]}}
      each:
        operator: {BASH}
        expand: {{bash_command: [a, b]}}
        max_active_tis_per_dag: 2
        task_group_name: checks
      end:
        operator: {BASH}
        bash_command: echo {{{{ ds }}}}
        retry_delay: 90s
        trigger_rule: all_done
        dependencies: [begin, checks]
"""


def tasks_by_hand() -> DAG:
    with DAG(
        "by_hand",
        schedule=CronTriggerTimetable("0 3 * * *", timezone="UTC"),
        start_date=datetime(2025, 12, 31, 22, tzinfo=timezone.utc),
        dagrun_timeout=timedelta(hours=6),
        tags=["b", "a"],
        default_args={"retries": 2, "owner": "me"},
        on_failure_callback=notify,
        user_defined_filters={"shout": shout},
    ) as dag:
        known = CheckpointReader(task_id="known", series="coinalyze/ohlcv/BTC/1h", start="{{ ds }}")
        begin = EmptyOperator(task_id="begin", outlets=[Asset("s3://bucket/x")])
        with TaskGroup("checks", tooltip="look twice") as checks:
            BashOperator.partial(task_id="each", max_active_tis_per_dag=2).expand(bash_command=["a", "b"])
        end = BashOperator(
            task_id="end", bash_command="echo {{ ds }}", retry_delay=timedelta(seconds=90), trigger_rule="all_done"
        )
        known >> checks
        [begin, checks] >> end
    return dag


def test_tasks_groups_and_mapping_are_those_written_by_hand(tmp_path):
    (dag,) = build(tmp_path, TASKS).values()
    assert serialised(dag) == serialised(tasks_by_hand())
    assert dag.on_failure_callback is notify


def test_a_list_of_tasks_is_the_same(tmp_path):
    second = f"operator: {EMPTY}, dependencies: [a]"
    listed = f"[{{task_id: a, operator: {EMPTY}}}, {{task_id: b, {second}}}]"
    named = f"{{a: {{operator: {EMPTY}}}, b: {{{second}}}}}"
    first, second = (build(tmp_path, f"dags: {{d: {{tasks: {tasks}}}}}")["d"] for tasks in (listed, named))
    assert serialised(first) == serialised(second)
    assert first.get_task("b").upstream_task_ids == {"a"}


def test_parsed_twice_it_is_serialised_alike(tmp_path):
    texts = {json.dumps(DagSerialization.to_dict(build(tmp_path, TASKS)["by_hand"]), sort_keys=True) for _ in range(3)}
    assert len(texts) == 1


@pytest.mark.parametrize(
    ("schedule", "by_hand"),
    [
        ("null", None),
        ('"@daily"', "@daily"),
        ("{every: 6h}", timedelta(hours=6)),
        ("{assets: [a, s3://b/c]}", [Asset("a"), Asset("s3://b/c")]),
    ],
)
def test_schedules(tmp_path, schedule, by_hand):
    dag = build(tmp_path, f"dags:{SMALL}    schedule: {schedule}\n")["ID"]
    assert serialised(dag)["timetable"] == serialised(DAG("ID", schedule=by_hand))["timetable"]


def test_what_is_wrong_stands_where_the_dag_would_and_hides_nothing(tmp_path):
    folder = tmp_path / "yaml"
    write(folder, "a.yaml", f"dags:{SMALL}  wrong:\n    shedule: null\n    tasks: {{a: {{operator: x.Y}}}}\n")
    write(folder, "sub/b c.yml", "dags: [\n")
    write(folder, "c.yaml", "dags:\n  no_module:\n    tasks: {a: {operator: nowhere.Operator}}\n")
    write(folder, "d.yaml", f"dags:\n  argument:\n    tasks:\n      t: {{operator: {EMPTY}, lenght: 3}}\n")
    write(folder, "e.yaml", FAILED)
    write(folder, "g.yaml", f"dags:{SMALL.replace('ID', 'timetable')}    schedule: {NEVER}\n")
    (folder / "f.yaml").write_bytes(b"dags:\n  \xff: 1\n")
    write(tmp_path, "loader.py", LOADER)
    bag = DagBag(dag_folder=str(tmp_path / "loader.py"))
    assert bag.import_errors == {}
    expected = {
        "wrong": f'{folder}/a.yaml:6:5: unknown key "shedule" in DAG wrong (did you mean "schedule"?)',
        "config_error__b_c": f"{folder}/sub/b c.yml:2:1: ",
        "no_module": f"{folder}/c.yaml:3:13: task a of DAG no_module: ModuleNotFoundError: No module named 'nowhere'",
        "argument": f"{folder}/d.yaml:4:7: task t of DAG argument: TypeError: ",
        "failed": f"{folder}/e.yaml:2:3: DAG failed: ModuleNotFoundError: ",
        "timetable": f"{folder}/g.yaml:2:3: DAG timetable: AirflowTimetableInvalid: ",
        "config_error__f": f"{folder}/f.yaml:2:1: cannot be read: it is not UTF-8",
    }
    assert set(bag.dags) == {"ID", *expected}
    assert bag.dags["ID"].tags == set()
    for dag_id, line in expected.items():
        dag = bag.dags[dag_id]
        assert (dag.tags, dag.schedule) == ({"config-error"}, None)
        assert f"- {line}" in dag.doc_md
        (task,) = dag.tasks
        assert task.retries == 0
        with pytest.raises(AirflowFailException) as failed:
            task.execute({})
        assert line in str(failed.value)
        DagSerialization.to_dict(dag)
    valid, errors = DagFactory(folder).validate()
    assert not valid
    assert all(any(error.startswith(line) for error in errors) for line in expected.values())
    assert len(errors) == len(expected)


def test_a_dag_that_failed_half_way_is_not_registered_beside_its_placeholder(tmp_path, monkeypatch):
    def fail(self: BackfillDagBuilder, dag: DAG) -> None:
        raise ValueError("half way")

    monkeypatch.setattr(BackfillDagBuilder, "add_tasks", fail)
    block = "  dag_{}: {{type: backfill, symbols: [A], timeframes: [1h]}}\n"
    write(tmp_path, "yaml/a.yaml", "dags:\n" + "".join(block.format(number) for number in range(20)))
    bag = DagBag(dag_folder=str(write(tmp_path, "loader.py", LOADER)))
    assert [dag.tags for dag in bag.dags.values()] == [{"config-error"}] * 20
    assert f"{tmp_path}/yaml/a.yaml:3:3: DAG dag_1: ValueError: half way" in bag.dags["dag_1"].doc_md


def test_a_path_that_is_not_there_is_an_error_and_a_dag(tmp_path):
    factory = DagFactory([tmp_path / "nowhere", tmp_path])
    assert factory.validate() == (False, [f"{tmp_path}/nowhere:1:1: cannot be read: No such file or directory"])
    assert set(factory.build()) == {"config_error__nowhere"}
    assert DagFactory(tmp_path).validate() == (True, [])


@pytest.mark.parametrize("layout", ["one file", "many files", "named"])
def test_a_worker_gets_the_dag_it_asks_for_and_nothing_else_is_made(tmp_path, monkeypatch, layout):
    block = "  dag_{0}:\n    tasks: {{t{0}: {{operator: test_factory.Counted}}}}\n"
    write(tmp_path, "defaults.yaml", "defaults:\n  max_active_runs: ${RUNS:-7}\n")
    if layout == "one file":
        write(tmp_path, "all.yaml", "dags:\n" + "".join(block.format(number) for number in range(200)))
    else:
        for number in range(200):
            stem = f"dag_{number}" if layout == "named" else f"file_{number}"
            write(tmp_path, f"{stem}.yaml", "dags:\n" + block.format(number))
    BUILT.clear()
    every = DagFactory(tmp_path).build()
    assert (len(every), len(BUILT)) == (200, 200)
    BUILT.clear()
    opened: list[str] = []
    monkeypatch.setattr(config_files, "_read", lambda name, read=config_files._read: opened.append(name) or read(name))
    monkeypatch.setenv(WANTED, "dag_17")
    namespace: dict[str, Any] = {"__file__": "loader.py"}
    only = DagFactory(tmp_path).register(namespace)
    assert BUILT == ["t17"]
    assert layout != "named" or opened == [f"{tmp_path}/dag_17.yaml", f"{tmp_path}/defaults.yaml"]
    assert list(only) == ["dag_17"]
    assert namespace["dag_dag_17"] is only["dag_17"]
    assert only["dag_17"].max_active_runs == 7
    assert serialised(only["dag_17"]) == serialised(every["dag_17"])
    monkeypatch.setenv(WANTED, "nobody")
    assert DagFactory(tmp_path).build() == {}


def test_a_worker_gets_a_placeholder_too(tmp_path, monkeypatch):
    write(tmp_path, "a.yaml", f"dags:\n  wrong:\n    shedule: null{SMALL}")
    write(tmp_path, "b.yaml", "dags: [\n")
    for dag_id in ("wrong", "config_error__b"):
        monkeypatch.setenv(WANTED, dag_id)
        dags = DagFactory(tmp_path).build()
        assert [(known, dag.task_ids) for known, dag in dags.items()] == [(dag_id, ["config_error"])]


def test_the_environment_is_read_when_a_dag_is_built(tmp_path, monkeypatch):
    factory = DagFactory(write(tmp_path, "a.yaml", f"dags:{SMALL}    max_active_runs: ${{RUNS}}\n"))
    monkeypatch.delenv("RUNS", raising=False)
    assert factory.validate() == (False, [f"{tmp_path}/a.yaml:5:22: environment variable RUNS is not set"])
    monkeypatch.setenv("RUNS", "3")
    assert factory.build()["ID"].max_active_runs == 3


def test_defaults_of_folders_hold_below_them(tmp_path):
    write(
        tmp_path,
        "defaults.yaml",
        "defaults: {max_active_runs: 1, tags: [all], default_args: {owner: me, retries: 1}}\n",
    )
    write(tmp_path, "near/defaults.yaml", "defaults: {default_args: {retries: 2}}\n")
    inner = write(tmp_path, "near/a.yaml", f"defaults: {{tags: [own]}}\ndags:{SMALL}")
    (dag,) = DagFactory(tmp_path).build().values()
    task = dag.get_task("a")
    assert (dag.max_active_runs, dag.tags, task.owner, task.retries) == (1, {"all", "own"}, "me", 2)
    (dag,) = DagFactory(inner).build().values()
    assert (dag.tags, dag.get_task("a").retries) == ({"own"}, 2)


def test_dags_are_where_the_loader_is(tmp_path):
    write(tmp_path, "yaml/a.yaml", f"dags:{SMALL}")
    loader = write(tmp_path, "loader.py", LOADER)
    namespace = {"__file__": str(loader)}
    DagFactory(tmp_path / "yaml").register(namespace)
    assert namespace["dag_ID"].fileloc == str(loader)
