"""Workflows: validate, execute, report. They run without Airflow too."""

from quant_framework.orchestration.workflows.backfill_workflow import BackfillWorkflow
from quant_framework.orchestration.workflows.base import AirflowWorkflowContext, BaseWorkflow

__all__ = ["AirflowWorkflowContext", "BackfillWorkflow", "BaseWorkflow"]
