"""The one file that knows where Airflow's versions keep things."""

from __future__ import annotations

import sys
from typing import Any

from airflow.sdk import (
    DAG,
    Asset,
    AssetAlias,
    BaseHook,
    BaseOperator,
    BaseOperatorLink,
    Connection,
    Param,
    TaskGroup,
    get_parsing_context,
)
from airflow.sdk.bases.decorator import DecoratedOperator, task_decorator_factory
from airflow.sdk.definitions.context import context_merge
from airflow.sdk.exceptions import AirflowRuntimeError

try:
    from airflow.sdk import CronDataIntervalTimetable
    from airflow.sdk.bases.decorator import determine_kwargs
    from airflow.sdk.exceptions import (
        AirflowException,
        AirflowFailException,
        AirflowNotFoundException,
        AirflowRescheduleException,
        AirflowSkipException,
    )
except ImportError:  # 3.1
    from airflow.exceptions import (
        AirflowException,
        AirflowFailException,
        AirflowNotFoundException,
        AirflowRescheduleException,
        AirflowSkipException,
    )
    from airflow.timetables.interval import CronDataIntervalTimetable
    from airflow.utils.operator_helpers import determine_kwargs

__all__ = [
    "DAG",
    "AirflowException",
    "AirflowFailException",
    "AirflowNotFoundException",
    "AirflowRescheduleException",
    "AirflowSkipException",
    "Asset",
    "AssetAlias",
    "BaseHook",
    "BaseOperator",
    "BaseOperatorLink",
    "Connection",
    "CronDataIntervalTimetable",
    "DecoratedOperator",
    "Param",
    "TaskGroup",
    "context_merge",
    "determine_kwargs",
    "get_parsing_context",
    "secrets_backends",
    "supervisor_lacks_connection",
    "task_decorator_factory",
]


def secrets_backends() -> list[Any]:
    """Where Airflow looks for connections here, in order; in a task the last one asks the supervisor."""
    from airflow.sdk.execution_time.supervisor import ensure_secrets_backend_loaded

    return ensure_secrets_backend_loaded()


def supervisor_lacks_connection(conn_id: str) -> bool:
    """Whether Airflow's API server says that there is none; false where it gave no answer or has one."""
    from airflow.sdk.execution_time.comms import ErrorResponse, GetConnection

    comms = sys.modules["airflow.sdk.execution_time.task_runner"].SUPERVISOR_COMMS
    try:
        answer = comms.send(GetConnection(conn_id=conn_id))
    except AirflowRuntimeError as error:
        answer = error.error
    return isinstance(answer, ErrorResponse) and answer.error.value == "CONNECTION_NOT_FOUND"
