"""Plain functions for TaskFlow: ``task(fetch_ohlcv)(symbol=...)``. They import no Airflow."""

from quant_framework.orchestration.tasks.checkpoint_tasks import delete_checkpoint, read_checkpoint, write_checkpoint
from quant_framework.orchestration.tasks.fetch_tasks import fetch_ohlcv, fetch_open_interest
from quant_framework.orchestration.tasks.process_tasks import merge_series, resample_series
from quant_framework.orchestration.tasks.repair_tasks import repair_gaps
from quant_framework.orchestration.tasks.validation_tasks import (
    check_rows,
    detect_gaps,
    reconcile_sources,
    restated_rows,
    validate_rows,
    validate_staged,
)
from quant_framework.orchestration.tasks.write_tasks import compact, write_bronze, write_silver

__all__ = [
    "check_rows",
    "compact",
    "delete_checkpoint",
    "detect_gaps",
    "fetch_ohlcv",
    "fetch_open_interest",
    "merge_series",
    "read_checkpoint",
    "reconcile_sources",
    "repair_gaps",
    "resample_series",
    "restated_rows",
    "validate_rows",
    "validate_staged",
    "write_bronze",
    "write_checkpoint",
    "write_silver",
]
