"""DAGs from YAML: for Airflow, this file is a dag; what is in it, dags.yaml beside it says."""

from pathlib import Path

from quant_framework.orchestration.dag_builders import DagFactory

DagFactory(Path(__file__).parent / "dags.yaml").register(globals())
