"""Progress where Airflow shows it: a log line, and (Airflow 3.3 or later) the task's state store.

The state store is information for people and other tasks, never the truth: a run resumes from its checkpoint.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any

from quant_framework.orchestration.workflows.backfill_workflow import PROGRESS

__all__ = ["STATE_KEY", "TaskProgress"]

log: logging.Logger = logging.getLogger("quant_framework.airflow")

STATE_KEY = "quant_framework"
INTERVAL = 10.0
"""Seconds between two reports."""


class TaskProgress:
    """Reports a run's counters.

    Args:
        context: the task's context; its ``task_state_store`` is used where there is one.

    """

    def __init__(self, context: Mapping[str, Any]) -> None:
        self.store: Any | None = context.get("task_state_store")
        self.failed: bool = False

    def report(self, progress: Mapping[str, Any]) -> None:
        """Log the counters and mirror them."""
        log.info(PROGRESS, progress)
        self.mirror({**progress, "status": "running"})

    def mirror(self, values: Mapping[str, Any]) -> None:
        """Keep plain ``values`` in the state store; that it fails is logged once and costs nothing."""
        if self.store is None:
            return
        try:
            self.store.set(STATE_KEY, dict(values))
        except Exception as error:
            if not self.failed:
                log.warning("progress is not mirrored to the task's state store: %s", error)
            self.failed = True
