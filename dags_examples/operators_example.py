"""Operators by hand: fetch two series side by side, look at what came, write it, make silver, and look for gaps.

Airflow looks only into files that hold the words "airflow" and "dag". The fetch tasks stage their rows beside the lake
and hand small references over XCom; the tasks after them find these by themselves. Without a data interval (this DAG
has no schedule) the newest 500 bars are fetched.
"""

from airflow.sdk import DAG

from quant_framework.orchestration.operators import (
    FetchOHLCVOperator,
    FetchOIOperator,
    ValidationOperator,
    WriteBronzeOperator,
    WriteSilverOperator,
)

MARKET = {"symbol": "BTCUSDT_PERP.A", "timeframe": "1h", "bars": 500}

with DAG("operators_example", schedule=None):
    bars = FetchOHLCVOperator(task_id="bars", **MARKET)
    interest = FetchOIOperator(task_id="interest", **MARKET)
    look = ValidationOperator(task_id="look", fail_on="error")
    write = WriteBronzeOperator(task_id="write")
    # The rows as they lie in the lake: here only whether any are missing, and that fails the task.
    complete = ValidationOperator(task_id="complete", checks=["missing"], fail_on="warning")
    [bars, interest] >> look >> write >> [complete, WriteSilverOperator(task_id="silver")]
