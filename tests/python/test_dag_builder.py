"""Builders, and every DAG of dags_examples/: loaded, serialised alike from parse to parse."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from quant_framework.errors import InvalidError
from quant_framework.orchestration.dag_builders import BackfillDagBuilder

EXAMPLES = Path(__file__).parents[2] / "dags_examples"


def example() -> BackfillDagBuilder:
    return BackfillDagBuilder(
        dag_id="coinalyze_backfill",
        description="Historical OHLCV backfill from Coinalyze",
        schedule=None,
        symbols=["BTC", "ETH", "SOL"],
        timeframes=["1h", "4h", "1d"],
        source="coinalyze",
        data_types=["ohlcv", "open_interest"],
    )


def test_the_example_of_the_seed_builds_one_mapped_task_per_series():
    builder = example()
    assert builder.validate() == (True, [])
    dag = builder.build()
    (task,) = dag.tasks
    assert task.task_id == "backfill"
    assert len(task.expand_input.value) == 18
    assert set(dag.params) == {"symbols", "start", "end"}


def test_fluent_and_keyword_forms_are_the_same():
    from airflow.serialization.serialized_objects import DagSerialization

    fluent = (
        BackfillDagBuilder("coinalyze_backfill", description="Historical OHLCV backfill from Coinalyze")
        .with_symbols(["BTC", "ETH", "SOL"])
        .with_timeframes(["1h", "4h", "1d"])
        .with_source("coinalyze")
        .with_data_types(["ohlcv", "open_interest"])
        .with_schedule(None)
    )
    texts = {
        json.dumps(DagSerialization.to_dict(builder.build()), sort_keys=True)
        for builder in (fluent, example(), example())
    }
    assert len(texts) == 1


def test_validate_names_everything_and_build_raises_it():
    builder = BackfillDagBuilder("broken", symbols=[], timeframes=["7m"], source="nope", data_types=["trades"])
    valid, errors = builder.validate()
    assert not valid
    for part in ("symbols is empty", "unknown source 'nope'", "unknown timeframe", "unknown data type"):
        assert any(part in error for error in errors), part
    with pytest.raises(InvalidError, match=r"broken.*symbols is empty"):
        builder.build()


def test_connections_and_urls_reach_every_task():
    options = {"minio_conn_id": "lake", "postgres_conn_id": "quant", "checkpoint": "s3://bucket/checkpoints"}
    (task,) = BackfillDagBuilder("by_connections", symbols=["BTC"], timeframes=["1h"], **options).build().tasks
    assert {name: task.partial_kwargs[name] for name in options} == options
    mapped = task.unmap(task.expand_input.value[0])
    assert {name: getattr(mapped, name) for name in options} == options
    assert {"minio_conn_id", "postgres_conn_id", "checkpoint"} <= set(mapped.template_fields)


@pytest.mark.parametrize("argument", ["lake", "checkpoint"])
def test_a_password_never_gets_into_a_dag(argument):
    """A mapped task checks its arguments only when it runs: the DAG was shown with the password until then."""
    url = "postgresql://quant:geheim@db/checkpoints"
    with pytest.raises(InvalidError, match=f"{argument} holds a password") as refused:
        BackfillDagBuilder("by_url", symbols=["BTC"], timeframes=["1h"], **{argument: url}).build()
    assert "geheim" not in str(refused.value)


def test_every_example_loads_without_a_connection(monkeypatch):
    from airflow.dag_processing.dagbag import DagBag
    from airflow.sdk import Connection

    monkeypatch.setattr(Connection, "get", lambda conn_id: pytest.fail(f"{conn_id} is read at parse time"))
    bag = DagBag(dag_folder=str(EXAMPLES))
    assert bag.import_errors == {}
    of_yaml = {"yaml_backfill", "yaml_incremental", "yaml_tasks"}
    assert set(bag.dags) == {path.stem for path in EXAMPLES.glob("*.py")} | of_yaml
