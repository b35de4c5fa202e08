"""Where the rows of one task instance are staged, with a connection's credentials."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timezone
from typing import Any

from quant_framework.airflow.connections import open_bronze, open_checkpoints
from quant_framework.orchestration.tasks.fetch_tasks import Stage, stage_url

__all__ = ["open_stage", "task_stage"]


def task_stage(root: str, context: Mapping[str, Any]) -> str:
    """The URL of a task instance's stage: the same for every try, under the date of its run."""
    ti = context["ti"]
    began = getattr(context.get("dag_run"), "run_after", None) or datetime.now(timezone.utc)
    names = [str(getattr(ti, name, None) or "none") for name in ("dag_id", "run_id", "task_id")]
    return stage_url(root, began.date(), *names, str(getattr(ti, "map_index", -1)))


def open_stage(url: str, minio_conn_id: str | None = None) -> Stage:
    """The stage at ``url``; where it is ``s3://``, with the connection's server and keys."""
    conn_id = minio_conn_id if url.startswith("s3://") else None
    return Stage(url, lambda url: open_bronze(url, conn_id), lambda url: open_checkpoints(url, conn_id))
