"""Where the rows of one task instance are staged, with a connection's credentials."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from typing import Any

from quant_framework.airflow.connections import minio_store, open_bronze
from quant_framework.orchestration.tasks.fetch_tasks import Stage, open_checkpoints

__all__ = ["open_stage", "task_stage"]


def task_stage(root: str, context: Mapping[str, Any], minio_conn_id: str | None = None) -> Stage:
    """The stage of a task instance: the same for every try.

    Args:
        root: URL of all stages.
        context: of the task.
        minio_conn_id: as for ``open_stage``.

    """
    ti = context["ti"]
    names = [str(getattr(ti, name, None) or "none") for name in ("dag_id", "run_id", "task_id")]
    return Stage.of(root, [*names, str(getattr(ti, "map_index", -1))], *openers(root, minio_conn_id))


def open_stage(url: str, minio_conn_id: str | None = None) -> Stage:
    """The stage at a URL.

    Args:
        url: as a reference names it.
        minio_conn_id: connection with server and keys, where the URL is ``s3://``.

    Raises:
        InvalidError: it names no stage.

    """
    return Stage(url, *openers(url, minio_conn_id))


def openers(url: str, minio_conn_id: str | None) -> tuple[Any, Any]:
    """What opens rows and checkpoints there."""
    if minio_conn_id is None or not url.startswith("s3://"):
        return open_bronze, open_checkpoints
    return (
        functools.partial(open_bronze, minio_conn_id=minio_conn_id),
        functools.partial(minio_store, minio_conn_id, single_writer=True),
    )
