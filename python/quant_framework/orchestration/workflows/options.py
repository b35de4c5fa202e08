"""Types of the keyword arguments that workflows hand on; ``BackfillWorkflow`` describes them."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import TypedDict

from quant_framework.arguments import Priority, Resume
from quant_framework.orchestration.ports import IProgressReporter

__all__ = ["IncrementalOptions", "RepairOptions", "RunOptions", "WriteOptions"]


class RunOptions(TypedDict, total=False):
    """How a run goes about its work."""

    concurrency: int
    resume: Resume
    max_wait: float | None
    owner: str | None
    lease: float
    progress: IProgressReporter | None
    progress_interval: float


class WriteOptions(RunOptions, total=False):
    """What ``WriteWorkflow`` hands on."""

    priority: Priority


class IncrementalOptions(RunOptions, total=False):
    """What ``IncrementalWorkflow`` hands on."""

    symbols: Sequence[str] | None
    timeframes: Sequence[str] | None
    data_types: Sequence[str] | None
    start: datetime | None
    end: datetime | None
    lag: float


class RepairOptions(IncrementalOptions, total=False):
    """What ``RepairWorkflow`` hands on."""

    priority: Priority
