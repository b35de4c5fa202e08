"""A subclass of an operator with a source of its own: any exchange that ccxt knows (pip install quant-framework[ccxt]).

Airflow looks only into files that hold the words "airflow" and "dag". Parsing this file imports no ccxt. The adapter
may also be named: FetchOHLCVOperator(source="ccxt", adapter_options={"exchange_id": "binance"}, ...).
"""

from airflow.sdk import DAG

from quant_framework.orchestration.operators import FetchOHLCVOperator, WriteBronzeOperator
from quant_framework.settings import open_adapter

# As CcxtAdapter("binance"), with another server where QUANT_FRAMEWORK_BASE_URL_CCXT names one.
ccxt_adapter = open_adapter("ccxt", exchange_id="binance")


class FetchBTCOHLCV(FetchOHLCVOperator):
    def __init__(self, **kwargs):
        super().__init__(
            task_id="fetch_btc_ohlcv",
            adapter=ccxt_adapter,
            symbol="BTC/USDT",
            timeframe="1h",
            **kwargs,
        )


with DAG("ccxt_example", schedule=None):
    fetch = FetchBTCOHLCV(bars=500)
    write = WriteBronzeOperator(task_id="write_bronze")
    fetch >> write
