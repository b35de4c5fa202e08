"""DAGs as a DAG processor sees them: the same from parse to parse, and as the examples write them."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest

from quant_framework.orchestration.dag_builders import BackfillDagBuilder

PARSE = """
import hashlib, json, sys
from datetime import datetime, timedelta, timezone
from airflow.models.serialized_dag import SerializedDagModel
from airflow.sdk import DAG
from airflow.serialization.serialized_objects import DagSerialization
from quant_framework.orchestration.dag_builders import BackfillDagBuilder, IncrementalDagBuilder
from quant_framework.orchestration.operators import FetchOHLCVOperator, ValidationOperator, WriteBronzeOperator
START = datetime(2026, 1, 5, tzinfo=timezone.utc)
class Mine:
    source = "mine"
    def fetch(self, request): ...
many = {"symbols": ["BTC", "ETH", "SOL"], "timeframes": ["1h", "4h"], "data_types": ["ohlcv", "open_interest"]}
options = {"pool": "p", "outlets": ["a", "b"], "default_args": {"owner": "me"}, "tags": ["x", "y", "z"]}
dags = {
    "backfill": BackfillDagBuilder("backfill", **many, **options, start=START).build(),
    "incremental": IncrementalDagBuilder("incremental", **many, lookback=timedelta(days=7), schedule="@hourly").build(),
}
for name, adapter in (("chain", "coinalyze"), ("object", Mine())):
    with DAG(name) as dags[name]:
        fetch = FetchOHLCVOperator(task_id="fetch", symbol="BTC", timeframe="1h", adapter=adapter)
        fetch >> ValidationOperator(task_id="look") >> WriteBronzeOperator(task_id="write", staged=fetch.output)
    with DAG(name + "_mapped") as dags[name + "_mapped"]:
        FetchOHLCVOperator.partial(task_id="fetch", timeframe="1h", adapter=adapter).expand(symbol=["BTC", "ETH"])
said = {name: DagSerialization.to_dict(dag) for name, dag in dags.items()}
print("SAID", json.dumps({name: [SerializedDagModel.hash(one), json.dumps(one)] for name, one in said.items()}))
"""


@pytest.fixture(scope="module")
def parsed() -> list[dict[str, list[str]]]:
    """Every DAG as two fresh processes serialise it."""
    found = []
    for seed in ("1", "77"):
        environment = os.environ | {"PYTHONHASHSEED": seed}
        command = [sys.executable, "-c", PARSE]
        done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False, timeout=300)
        (line,) = [line for line in done.stdout.splitlines() if line.startswith("SAID ")] or [done.stderr[-3000:]]
        found.append(json.loads(line[5:]))
    return found


@pytest.mark.parametrize("name", ["backfill", "incremental", "chain", "chain_mapped", "object", "object_mapped"])
def test_a_dag_is_the_same_from_parse_to_parse(name, parsed):
    """Where it is not, Airflow makes a new version of it with every parse."""
    (first, text), (second, _) = (one[name] for one in parsed)
    assert " at 0x" not in text
    assert first == second


def test_example_3_of_the_seed_and_the_fluent_one():
    keyword = BackfillDagBuilder(
        dag_id="coinalyze_backfill",
        description="Historical OHLCV backfill from Coinalyze",
        schedule=None,
        symbols=["BTC", "ETH", "SOL"],
        timeframes=["1h", "4h", "1d"],
        source="coinalyze",
        data_types=["ohlcv", "open_interest"],
    )
    is_valid, found = keyword.validate()
    assert (is_valid, found) == (True, [])
    dag = keyword.build()
    assert (dag.dag_id, len(dag.tasks[0].expand_input.value)) == ("coinalyze_backfill", 18)
    dag = (
        BackfillDagBuilder("backfill_btc")
        .with_symbols(["BTC", "ETH"])
        .with_timeframes(["1h", "4h"])
        .with_source("coinalyze")
        .with_schedule(None)
        .build()
    )
    assert (dag.dag_id, len(dag.tasks[0].expand_input.value)) == ("backfill_btc", 4)
