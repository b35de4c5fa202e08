"""The one file that knows where Airflow's versions keep things."""

from __future__ import annotations

from airflow.sdk import DAG, Asset, AssetAlias, BaseOperator, Connection, Param
from airflow.sdk.exceptions import (
    AirflowException,
    AirflowFailException,
    AirflowNotFoundException,
    AirflowRescheduleException,
    AirflowSkipException,
)

__all__ = [
    "DAG",
    "AirflowException",
    "AirflowFailException",
    "AirflowNotFoundException",
    "AirflowRescheduleException",
    "AirflowSkipException",
    "Asset",
    "AssetAlias",
    "BaseOperator",
    "Connection",
    "Param",
]
