"""DAGs from YAML through a real DAG processor, scheduler and worker: the good ones run, a broken one says why."""

from __future__ import annotations

import pytest

import live_lake

pytestmark = [pytest.mark.xdist_group("airflow"), pytest.mark.timeout(1200)]

LOADER = """
    from quant_framework.orchestration.dag_builders import DagFactory  # airflow: this makes a dag of each entry
    DagFactory("FOLDER/yaml").register(globals())
"""
DAGS = """
defaults: {default_args: {retries: 2, retry_delay: 0s}}
dags:
  yaml_good:
    schedule: null
    tasks:
      fetch:
        operator: FetchOHLCVOperator
        symbol: BTCUSDT_PERP.A
        timeframe: 1h
        start: 2026-01-05
        end: 2026-01-19
        adapter_options: {retention: null}
        lake: file://FOLDER/yaml_good/bronze
      write:
        operator: WriteBronzeOperator
        lake: file://FOLDER/yaml_good/bronze
        checkpoint: file://FOLDER/yaml_good/checkpoints
        dependencies: [fetch]
  yaml_broken:
    schedule: "@daily"
    tasks: {fetch: {operator: FetchOHLCVOperator, simbol: BTC, timeframe: 1h}}
"""


def test_a_good_dag_runs_beside_a_broken_one_that_says_what_is_wrong(airflow):
    folder = airflow.folder / "yaml"
    folder.mkdir()
    (folder / "all.yaml").write_text(DAGS.replace("FOLDER", str(airflow.folder)))
    airflow.exchange.reset()
    airflow.add("from_yaml", LOADER)
    good, broken = airflow.trigger("yaml_good"), airflow.trigger("yaml_broken")
    assert airflow.ended("yaml_good", good, 300) == "success"
    assert live_lake.rows(airflow.folder / "yaml_good" / "bronze") == 14 * 24
    assert live_lake.hours(airflow.folder / "yaml_good") == 14 * 24
    assert airflow.ended("yaml_broken", broken) == "failed"
    shown = airflow.call("GET", "dags/yaml_broken/details")
    assert [tag["name"] for tag in shown["tags"]] == ["config-error"]
    assert shown["timetable_summary"] is None
    says = 'all.yaml:22:51: unknown key "simbol" in task fetch of DAG yaml_broken (did you mean "symbol"?)'
    assert says in shown["doc_md"]
    task = airflow.task("yaml_broken", broken, "config_error")
    assert (task["state"], task["try_number"]) == ("failed", 1)
    assert says.replace('"', '\\"') in airflow.logs("yaml_broken", broken, "config_error")
