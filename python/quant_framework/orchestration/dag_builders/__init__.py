"""DAGs from a few words, in Python or in YAML. Each builder is imported when it is first used."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from quant_framework.orchestration.dag_builders.backfill_dag_builder import BackfillDagBuilder
    from quant_framework.orchestration.dag_builders.base import BaseDagBuilder
    from quant_framework.orchestration.dag_builders.factory import DagFactory
    from quant_framework.orchestration.dag_builders.incremental_dag_builder import IncrementalDagBuilder
    from quant_framework.orchestration.dag_builders.repair_dag_builder import RepairDagBuilder

__all__ = ["BackfillDagBuilder", "BaseDagBuilder", "DagFactory", "IncrementalDagBuilder", "RepairDagBuilder"]

MODULES = {
    "BackfillDagBuilder": "backfill_dag_builder",
    "BaseDagBuilder": "base",
    "DagFactory": "factory",
    "IncrementalDagBuilder": "incremental_dag_builder",
    "RepairDagBuilder": "repair_dag_builder",
}


def __getattr__(name: str) -> Any:
    if name not in MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{MODULES[name]}"), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
