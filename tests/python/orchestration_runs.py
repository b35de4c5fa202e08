"""Tasks run one by one as Airflow would, everything in one folder, and what lies there afterwards."""

from __future__ import annotations

import json
from datetime import datetime, timedelta, timezone
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pyarrow.dataset
from airflow.sdk import DAG
from airflow.sdk.definitions.mappedoperator import MappedOperator

from conftest import END, START
from quant_framework.ingestion.adapters import CoinalyzeAdapter
from quant_framework.ingestion.backfill import Checkpoint, LocalCheckpointStore
from quant_framework.testing import OfflineExchange

BTC, ETH = "BTCUSDT_PERP.A", "ETHUSDT_PERP.A"
KEY = f"coinalyze/ohlcv/{BTC}/1h"
HOURS = int((END - START) / timedelta(hours=1))
RUN = "manual__2026-01-20T00:00:00+00:00"
BEGAN = datetime.now(timezone.utc)
VALUES = ("open", "high", "low", "close", "volume")


class Xcoms(dict):
    """What the tasks of one run returned, by task and map index."""


class Ti:
    """A task instance as an operator sees it; ``xcom_pull`` answers as Airflow's."""

    def __init__(self, xcoms: Xcoms, dag_id: str, task_id: str, map_index: int = -1, run_id: str = RUN) -> None:
        self.xcoms, self.dag_id, self.task_id, self.map_index, self.run_id = xcoms, dag_id, task_id, map_index, run_id

    def xcom_pull(self, task_ids: str | None = None, **_: object) -> Any:
        held = self.xcoms.get(task_ids or self.task_id, {})
        if set(held) <= {-1}:
            return held.get(-1)
        return [held[index] for index in sorted(held)]

    def xcom_push(self, **_: object) -> None:
        return None


def context_of(ti: Ti, **more: object) -> dict[str, Any]:
    run = SimpleNamespace(run_after=BEGAN, run_id=ti.run_id)
    return {"ti": ti, "dag_run": run, "params": {}} | more


def execute(operator: Any, xcoms: Xcoms, map_index: int = -1, **more: object) -> Any:
    """One task instance; its result goes through JSON into ``xcoms``."""
    run_id = more.pop("run_id", RUN)
    dag_id = operator.dag.dag_id if operator.has_dag() else "none"
    ti = Ti(xcoms, dag_id, operator.task_id, map_index, run_id)
    context = context_of(ti, **more)
    operator.render_template_fields(context)
    result = json.loads(json.dumps(operator.execute(context)))
    xcoms.setdefault(operator.task_id, {})[map_index] = result
    return result


def run_dag(dag: DAG, **more: object) -> Xcoms:
    """Every task in order, mapped ones once per value."""
    xcoms = Xcoms()
    for task in dag.topological_sort():
        if not isinstance(task, MappedOperator):
            execute(task, xcoms, **more)
            continue
        (argument, values), *others = task.expand_input.value.items()
        assert not others
        for index, value in enumerate(values):
            execute(task.unmap({argument: value}), xcoms, index, **more)
    return xcoms


def adapter(exchange: OfflineExchange, retention: int | None = None) -> CoinalyzeAdapter:
    return CoinalyzeAdapter(api_key="offline", base_url=exchange.url, retention=retention)


def places(folder: Path) -> dict[str, str]:
    return {"lake": (folder / "lake" / "bronze").as_uri(), "checkpoint": (folder / "checkpoints").as_uri()}


def stored(folder: Path, columns: tuple[str, ...] = VALUES) -> list[tuple]:
    """Every row of a lake in time order."""
    if not any(folder.rglob("*.parquet")):
        return []
    table = pyarrow.dataset.dataset(folder, partitioning="hive").to_table()
    parts = [table["symbol"].to_pylist(), table["ts"].cast("int64").to_pylist()]
    return sorted(zip(*parts, *(table[name].to_pylist() for name in columns), strict=True))


def had(exchange: OfflineExchange, symbol: str, interval: str = "1hour", start=START, end=END) -> list[tuple]:
    """The closed bars of the exchange as ``stored`` shows them."""
    bars = exchange.candles(symbol, interval, int(start.timestamp()), int(end.timestamp()))
    return [(symbol, at * 1000, *values) for at, *values in bars]


def known(folder: Path, key: str = KEY) -> Checkpoint | None:
    return LocalCheckpointStore(folder / "checkpoints").load_sync(key)


def facts(folder: Path, key: str = KEY) -> tuple:
    held = known(folder, key)
    return held.data, held.empty, held.fingerprint, held.generation


def span(**more: object) -> dict[str, Any]:
    return {"start": START, "end": END, "adapter_options": {"retention": None}} | more
