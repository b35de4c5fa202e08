"""Series kept up to date: every hour, what is missing of the last thirty days, up to the newest closed bar.

Airflow looks only into files that hold the words "airflow" and "dag". A run that comes late, twice or out of order asks
for nothing that is covered already. Another DAG may follow a series with
`schedule=series_asset("coinalyze/ohlcv/BTCUSDT_PERP.A/1h")` of `quant_framework.airflow.assets`.
"""

from datetime import datetime, timedelta, timezone

from quant_framework.orchestration.dag_builders import IncrementalDagBuilder

dag = (
    IncrementalDagBuilder("incremental_example", description="Hourly bars of BTC and ETH, kept up to date")
    .with_symbols(["BTC", "ETH"])
    .with_timeframes(["1h"])
    .with_source("coinalyze")
    .with_schedule("5 * * * *")
    .with_lookback(timedelta(days=30))
    .with_default_args(retry_delay=timedelta(minutes=1))
    .with_dag_options(start_date=datetime(2026, 1, 1, tzinfo=timezone.utc))
    .build()
)
