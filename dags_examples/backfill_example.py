"""A backfill as an Airflow DAG in one statement: one mapped task per series, chunks inside, resumable.

Airflow looks only into files that hold the words "airflow" and "dag". Set COINALYZE_API_KEY and
trigger it; `make demo` runs one like it against the offline exchange.
"""

from quant_framework.orchestration.dag_builders import BackfillDagBuilder

dag = BackfillDagBuilder(
    dag_id="backfill_example",
    description="Hourly and daily bars of BTC and ETH from Coinalyze",
    symbols=["BTC", "ETH"],
    timeframes=["1h", "1d"],
    data_types=["ohlcv", "open_interest"],
    source="coinalyze",
    start="2026-10-01T00:00:00Z",
).build()
