"""A subclassed operator: one method says how chunks are cut, one where the symbols come from.

Airflow looks only into files that hold the words "airflow" and "dag".
"""

from datetime import timedelta

from airflow.sdk import DAG

from quant_framework.ingestion.chunking import FixedChunkStrategy
from quant_framework.orchestration.operators import IncrementalOperator


class WatchList(IncrementalOperator):
    """Updates what a list of ours names."""

    def __init__(self, **kwargs):
        super().__init__(symbols=[], timeframes=["1h"], lookback=timedelta(days=7), **kwargs)

    def wanted(self, context):
        # Read when the task runs: a file, a database, another system.
        return super().wanted(context) | {"symbols": ["BTCUSDT_PERP.A", "SOLUSDT_PERP.A"]}

    def build_chunk_strategy(self, context):
        return FixedChunkStrategy(bars=84)


with DAG("subclass_example", schedule=None):
    WatchList(task_id="update", retries=3)
