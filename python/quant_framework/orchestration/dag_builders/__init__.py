"""DAG builders: from a few values to a DAG."""

from quant_framework.orchestration.dag_builders.backfill_dag_builder import BackfillDagBuilder
from quant_framework.orchestration.dag_builders.base import BaseDagBuilder
from quant_framework.orchestration.dag_builders.incremental_dag_builder import IncrementalDagBuilder

__all__ = ["BackfillDagBuilder", "BaseDagBuilder", "IncrementalDagBuilder"]
