"""Every DAG of dags_examples/: loaded, stored alike from parse to parse, and run through Airflow offline."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pyarrow.dataset
import pytest

from quant_framework.ingestion.backfill import LocalCheckpointStore
from quant_framework.testing import OfflineExchange

EXAMPLES = Path(__file__).parents[2] / "dags_examples"
FILES = sorted(path for path in EXAMPLES.rglob("*.py"))
NEED_SERVERS = {"checkpoints_example"}
"""Run by ``test_airflow_live_checkpoints.py``."""

BAG = """
import json, sys
try:
    from airflow.dag_processing.dagbag import DagBag
    from airflow.serialization.serialized_objects import DagSerialization
except ImportError: # Airflow 3.1
    from airflow.models.dagbag import DagBag
    from airflow.serialization.serialized_objects import SerializedDAG as DagSerialization
"""
LIST = (
    BAG
    + """
bag = DagBag(dag_folder=sys.argv[1])
assert not bag.import_errors, bag.import_errors
stored = {dag_id: DagSerialization.to_dict(dag) for dag_id, dag in sorted(bag.dags.items())}
print("STORED", json.dumps(stored, sort_keys=True))
"""
)
RUN = (
    BAG
    + """
bag = DagBag(dag_folder=sys.argv[1])
for dag_id in sys.argv[2:]:
    run = bag.dags[dag_id].test()
    print("ENDED", dag_id, run.state.value)
"""
)


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    """A folder with a migrated Airflow and an exchange that its DAGs ask."""
    folder = tmp_path_factory.mktemp("examples")
    with OfflineExchange(limit=None) as exchange:
        variables = os.environ | {
            "AIRFLOW_HOME": str(folder / "airflow"),
            "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
            "AIRFLOW__CORE__DAGS_FOLDER": str(EXAMPLES),
            "AIRFLOW__LOGGING__LOGGING_LEVEL": "WARNING",
            "QUANT_FRAMEWORK_HOME": str(folder),
            "QUANT_FRAMEWORK_BASE_URL": exchange.url,
            "QUANT_FRAMEWORK_BASE_URL_CCXT": exchange.url,
            "COINALYZE_API_KEY": "offline",
        }
        subprocess.run(
            [sys.executable, "-m", "airflow", "db", "migrate"], env=variables, check=True, capture_output=True
        )
        yield folder, variables, exchange


def python(variables: dict[str, str], program: str, *arguments: str) -> str:
    command = [sys.executable, "-c", program, str(EXAMPLES), *arguments]
    done = subprocess.run(command, env=variables, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-4000:]
    return done.stdout


def stored(variables: dict[str, str], **more: str) -> dict[str, dict]:
    (line,) = [line for line in python(variables | more, LIST).splitlines() if line.startswith("STORED")]
    return json.loads(line.removeprefix("STORED"))


def test_every_file_holds_a_dag_and_is_stored_alike_from_process_to_process(home):
    _, variables, _ = home
    first, second = (stored(variables, PYTHONHASHSEED=seed) for seed in ("1", "2"))
    files = {Path(dag["dag"]["fileloc"]).resolve() for dag in first.values()}
    assert files == {path.resolve() for path in FILES}
    assert first == second


def test_every_dag_runs_and_the_lake_holds_each_row_once(home):
    folder, variables, exchange = home
    wanted = sorted(set(stored(variables)) - NEED_SERVERS)
    ended = [line.split() for line in python(variables, RUN, *wanted).splitlines() if line.startswith("ENDED")]
    assert {dag_id: state for _, dag_id, state in ended} == dict.fromkeys(wanted, "success")
    store = LocalCheckpointStore(folder / "checkpoints")
    keys = [key for key in store.list_sync() if key.count("/") == 3]
    assert len(keys) >= 5
    assert {key.split("/")[0] for key in keys} == {"coinalyze", "ccxt_binance"}
    for key in keys:
        source, dataset, symbol, timeframe = key.split("/")
        place = folder / "lake" / "bronze" / f"source={source}" / f"dataset={dataset}" / f"symbol={symbol}"
        ts = pyarrow.dataset.dataset(place / f"timeframe={timeframe}").to_table()["ts"].to_pylist()
        assert len(ts) == len(set(ts)) > 0, key
    exchange.reset()
    again = [dag_id for dag_id in wanted if dag_id in ("incremental_example", "subclass_example")]
    python(variables, RUN, *again)
    assert exchange.stats()["requests"] <= len(again), "what is covered is not asked for again; a new bar may have come"
