"""TaskFlow: plain functions as tasks, one mapped over symbols.

Airflow looks only into files that hold the words "airflow" and "dag". The functions import no Airflow: they run in a
test or a notebook as they are.
"""

from datetime import datetime, timedelta, timezone

from airflow.sdk import dag, task

from quant_framework.orchestration.tasks import fetch_ohlcv, validate_rows, write_bronze


@dag(schedule=None)
def taskflow_example():
    @task
    def week() -> dict[str, str]:
        """The last seven whole days."""
        end = datetime.now(timezone.utc).replace(hour=0, minute=0, second=0, microsecond=0)
        return {"start": (end - timedelta(days=7)).isoformat(), "end": end.isoformat()}

    @task
    def judge(written: dict) -> int:
        """How many bars are there; fails where rows cannot be true."""
        reports = [validate_rows(one["series"], one["start"], one["end"]) for one in written["series"]]
        wrong = [report for report in reports if not report["ok"]]
        if wrong:
            raise ValueError(f"{wrong[0]['series']}: {wrong[0]['findings'][0]}")
        return sum(report["rows"] for report in reports)

    span = week()
    fetch = task(fetch_ohlcv).partial(timeframe="1h", start=span["start"], end=span["end"])
    staged = fetch.expand(symbol=["BTCUSDT_PERP.A", "ETHUSDT_PERP.A"])
    judge(task(write_bronze)(staged))


taskflow_example()
