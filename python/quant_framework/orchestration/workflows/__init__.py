"""Workflows: validate, execute, report. They run without Airflow too."""

from quant_framework.orchestration.workflows.backfill_workflow import BackfillWorkflow
from quant_framework.orchestration.workflows.base import AirflowWorkflowContext, BaseWorkflow
from quant_framework.orchestration.workflows.incremental_workflow import IncrementalWorkflow
from quant_framework.orchestration.workflows.repair_workflow import RepairWorkflow
from quant_framework.orchestration.workflows.validation_workflow import ValidationWorkflow
from quant_framework.orchestration.workflows.write_workflow import WriteWorkflow

__all__ = [
    "AirflowWorkflowContext",
    "BackfillWorkflow",
    "BaseWorkflow",
    "IncrementalWorkflow",
    "RepairWorkflow",
    "ValidationWorkflow",
    "WriteWorkflow",
]
