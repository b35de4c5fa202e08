"""The one file that knows where Airflow's versions keep things."""

from __future__ import annotations

from airflow.sdk import DAG, BaseOperator, Param
from airflow.sdk.exceptions import AirflowException, AirflowFailException, AirflowRescheduleException

__all__ = [
    "DAG",
    "AirflowException",
    "AirflowFailException",
    "AirflowRescheduleException",
    "BaseOperator",
    "Param",
]
