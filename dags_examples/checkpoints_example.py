"""Checkpoints in S3 and PostgreSQL by Airflow connections, read by a task and used by the next.

Airflow looks only into files that hold the words "airflow" and "dag". This one parses without its connections; to
run it, make the bucket, and let `minio_default` name the S3 server and its keys, `postgres_default` the database.
"""

from datetime import timedelta

from airflow.sdk import DAG, Param, task

from quant_framework.orchestration.operators import BackfillOperator, CheckpointReader

SYMBOL = "BTCUSDT_PERP.A"
WANTED = {"start": "{{ params.start }}", "end": "{{ params.end }}"}
CHECKPOINTS = {
    "checkpoint": "s3://quant-framework/checkpoints",
    "minio_conn_id": "minio_default",
    "postgres_conn_id": "postgres_default",
}


@task
def judge(known: dict) -> str:
    """Plain JSON comes in: exists, generation, watermark, cursor, data, empty, pending."""
    if known["pending"]:
        return f"{known['pending_ranges']} ranges are missing, the first from {known['pending'][0][0]} on"
    return f"complete up to {known['watermark']}"


with DAG(
    dag_id="checkpoints_example",
    schedule=None,
    params={
        "start": Param("2026-10-01T00:00:00Z", type="string", description="ISO 8601 with time zone"),
        "end": Param("2026-10-29T00:00:00Z", type="string", description="exclusive"),
    },
    # Another run that fetches the same range now makes this one fail; it resumes from what the other has fetched.
    default_args={"retries": 5, "retry_delay": timedelta(minutes=1)},
):
    backfill = BackfillOperator(task_id="backfill", symbols=[SYMBOL], timeframes=["1h"], **WANTED, **CHECKPOINTS)
    known = CheckpointReader(task_id="known", series=f"coinalyze/ohlcv/{SYMBOL}/1h", **WANTED, **CHECKPOINTS)
    backfill >> known
    judge(known.output)
