"""The Python of the README and of the guides runs as it stands."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any
from urllib.parse import quote

from conftest import END, START
from quant_framework.ingestion.adapters import CoinalyzeAdapter

ROOT = Path(__file__).parents[2]


def run_snippets(page: str, count: int, **names: Any) -> dict[str, Any]:
    snippets = re.findall(r"```python\n(.*?)```", (ROOT / page).read_text(), re.DOTALL)
    assert len(snippets) == count
    for snippet in snippets:
        exec(snippet, names)
    return names


def test_the_snippets_run(exchange, tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("COINALYZE_API_KEY", "offline")
    run_snippets("README.md", 5, BASE_URL=exchange.url, FOLDER=str(tmp_path))
    assert capsys.readouterr().out.startswith("success ")


def test_the_checkpoint_page_runs(tmp_path, capsys):
    names = run_snippets("docs/checkpoints.md", 2, URL=tmp_path.as_uri(), START=START, END=END)
    assert "page-17" in capsys.readouterr().out
    assert names["backfill"].postgres_conn_id == "checkpoints"
    assert names["forget"].action == "reset"


def test_the_rate_limit_page_runs(tmp_path, capsys):
    adapter = CoinalyzeAdapter(api_key="key")
    names = run_snippets("docs/rate-limits.md", 2, DSN=tmp_path.as_uri(), adapter=adapter)
    assert "'used': 1" in capsys.readouterr().out
    assert names["scope"].startswith("coinalyze:")
    assert "key" not in names["scope"]


def test_the_provider_page_runs(exchange, monkeypatch, capsys):
    monkeypatch.setenv("AIRFLOW_CONN_MIRROR", f"market-data://:offline@{quote(exchange.url, safe='')}")
    names = run_snippets("docs/provider.md", 3, CONNECTION="mirror")
    assert capsys.readouterr().out == "True coinalyze answers: BTC is BTCUSDT_PERP.A\n"
    assert names["adapter"].source == "coinalyze"
    [mapped] = names["dag"].tasks
    assert (mapped.operator_name, mapped.is_mapped) == ("@task.quant_backfill", True)
    assert names["lineage"].outputs[0].outputFacets["outputStatistics"].rowCount == 24


def test_the_operators_page_runs():
    names = run_snippets("docs/operators.md", 4)
    assert [task.task_id for task in names["by_hand"].topological_sort()] == ["fetch", "look", "write"]
    assert {task.task_id for task in names["by_tasks"].tasks} == {"fetch_ohlcv", "write_bronze"}
    assert (names["is_valid"], names["errors"]) == (True, [])
    assert len(names["hourly"].tasks[0].expand_input.value) == 2
    assert names["Weekly"](task_id="week", symbols=["BTC"], timeframes=["1h"]).build_chunk_strategy({}) is not None
