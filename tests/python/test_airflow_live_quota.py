"""Mapped tasks that share a quota through PostgreSQL, through a real scheduler and task processes."""

from __future__ import annotations

import pyarrow.dataset
import pytest

pytestmark = [pytest.mark.xdist_group("airflow"), pytest.mark.timeout(1200)]

SYMBOLS = ["BTCUSDT_PERP.A", "ETHUSDT_PERP.A", "SOLUSDT_PERP.A"]
CHUNKS = 10
LIMIT = (10, 12.0)
"""Longer than it takes a busy machine to start the tasks one after the other: one of them finds it used up."""
DAG = f"""
    from datetime import timedelta
    from quant_framework.airflow.connections import database
    from quant_framework.ingestion.chunking import FixedChunkStrategy
    from quant_framework.ingestion.rate_limit import SharedRateLimiter
    from quant_framework.orchestration.dag_builders import BackfillDagBuilder
    from quant_framework.orchestration.operators import BackfillOperator
    class Backfill(BackfillOperator):
        # The connection as in the operator's own; the windows are those of the exchange under test.
        def build_rate_limiter(self, context):
            dsn, password = database(self.rate_limit_conn_id)
            scope = self.build_adapter(context).quota_scope
            return SharedRateLimiter(dsn, scope, windows=[{LIMIT}], password=password)
        def build_chunk_strategy(self, context):
            return FixedChunkStrategy(168)
    dag = BackfillDagBuilder(
        dag_id="sharing", schedule=None, symbols={SYMBOLS}, timeframes=["1h"], operator=Backfill,
        start="2026-01-05T00:00:00Z", end="2026-03-16T00:00:00Z",
        lake="FOLDER/sharing/lake", checkpoint="FOLDER/sharing/checkpoints", rate_limit_conn_id="postgres_default",
        operator_options={{"max_wait": 1, "adapter_options": {{"retention": None}}, "retry_delay": timedelta(0)}},
    ).build()
"""


def test_mapped_tasks_share_the_quota_and_park_without_a_refusal_or_a_retry(airflow):
    exchange = airflow.exchange
    exchange.reset()
    exchange.set_limit(LIMIT)
    try:
        airflow.add("sharing", DAG)
        run = airflow.trigger("sharing")
        path = f"dags/sharing/dagRuns/{run}/taskInstances"
        tasks = lambda: airflow.call("GET", path)["task_instances"]  # noqa: E731
        airflow.wait(lambda: any(task["state"] == "up_for_reschedule" for task in tasks()), 300)
        assert airflow.ended("sharing", run, 300) == "success"
    finally:
        exchange.set_limit(None)
    assert [task["try_number"] for task in tasks()] == [1, 1, 1], "a wait is no failure"
    stats = exchange.stats()
    assert "429" not in stats
    assert stats["weight"] == CHUNKS * len(SYMBOLS)
    rows = pyarrow.dataset.dataset(airflow.folder / "sharing" / "lake").to_table().num_rows
    assert rows == CHUNKS * len(SYMBOLS) * 7 * 24
