"""DAGs from a few words."""

from quant_framework.orchestration.dag_builders.backfill_dag_builder import BackfillDagBuilder
from quant_framework.orchestration.dag_builders.base import BaseDagBuilder

__all__ = ["BackfillDagBuilder", "BaseDagBuilder"]
