"""What a DAG of the live Airflow has in its lake and its checkpoints, in a folder of its own."""

from __future__ import annotations

from pathlib import Path

import pyarrow.dataset

from quant_framework.ingestion.backfill import Checkpoint, LocalCheckpointStore

SERIES = "coinalyze/ohlcv/BTCUSDT_PERP.A/1h"


def hours_in(held: Checkpoint | None) -> int:
    """Hours with rows that a checkpoint knows of."""
    return sum(int((high - low).total_seconds()) // 3600 for low, high in held.data) if held else 0


def hours(folder: Path) -> int:
    """The same of the checkpoints in ``folder``."""
    return hours_in(LocalCheckpointStore(folder / "checkpoints").load_sync(SERIES))


def rows(lake: Path) -> int:
    """Rows in a lake, none of them twice."""
    ts = pyarrow.dataset.dataset(lake).to_table()["ts"].to_pylist()
    assert len(ts) == len(set(ts))
    return len(ts)
