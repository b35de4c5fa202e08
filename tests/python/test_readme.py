"""The Python of the README and of the guides runs as it stands; guides with a terminal: ``test_docs_commands.py``."""

from __future__ import annotations

import asyncio
import os
import re
import subprocess
import sys
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest

from conftest import END, START, Context
from documents import blocks, pages
from orchestration_runs import Xcoms, execute
from quant_framework._core import known_checks
from quant_framework.errors import RateLimitedError
from quant_framework.ingestion.adapters import Batch
from quant_framework.ingestion.writers import BronzeWriter
from quant_framework.orchestration.tasks.running import wait_for
from quant_framework.testing import Limits, OfflineExchange

ROOT = Path(__file__).parents[2]


@pytest.fixture
def lake_of_hours(exchange, make, tmp_path, monkeypatch) -> BronzeWriter:
    """Two weeks of hours and of open interest, as a backfill leaves them."""
    monkeypatch.setenv("QUANT_FRAMEWORK_CHECKPOINT", (tmp_path / "checkpoints").as_uri())
    lake = BronzeWriter((tmp_path / "lake" / "bronze").as_uri())
    job = {"writer": lake, "data_types": ["ohlcv", "open_interest"]}
    assert asyncio.run(make(exchange, **job).execute(Context()))["status"] == "success"
    return lake


def run_snippets(page: str, count: int, *places: tuple[str, str], **names: Any) -> dict[str, Any]:
    """Run the snippets of ``page``, with other ``places``; only names in capitals are left to the reader."""
    assert [name for name in names if not name.isupper() and name != "__file__"] == []
    snippets = blocks(page, "python")
    assert len(snippets) == count
    for written, place in places:
        assert any(written in snippet.text for snippet in snippets), written
        snippets = [snippet._replace(text=snippet.text.replace(written, place)) for snippet in snippets]
    for snippet in snippets:
        exec(compile(snippet.text, f"{page}:{snippet.line}", "exec"), names)
    return names


def test_every_page_with_python_is_run():
    tests = " ".join(path.read_text() for path in Path(__file__).parent.glob("test_*.py"))
    run = re.findall(r'run_(?:snippets|page)\(\s*"([^"]+)"', tests)
    assert {page for page in pages() if blocks(page, "python")} <= set(run) <= set(pages())


def test_the_snippets_run(exchange, tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("COINALYZE_API_KEY", "offline")
    offline = ("CoinalyzeAdapter()", f"CoinalyzeAdapter(base_url={exchange.url!r})")
    names = run_snippets("README.md", 2, offline, ("/tmp/market", str(tmp_path)))
    assert capsys.readouterr().out == "success\n"
    assert names["dag"].dag_id == "coinalyze_nightly"


def test_the_checkpoint_page_runs(tmp_path, capsys):
    names = run_snippets("docs/checkpoints.md", 2, URL=tmp_path.as_uri(), START=START, END=END)
    assert "page-17" in capsys.readouterr().out
    assert names["backfill"].postgres_conn_id == "checkpoints"
    assert names["forget"].action == "reset"


def test_the_rate_limit_page_runs(tmp_path, capsys):
    names = run_snippets("docs/rate-limits.md", 2, DSN=tmp_path.as_uri(), KEY="key")
    assert "'used': 1" in capsys.readouterr().out
    assert names["scope"].startswith("coinalyze:")
    assert "key" not in names["scope"]


def test_the_processing_page_runs(lake_of_hours, tmp_path, capsys):
    derived = {name: (tmp_path / name.lower()).as_uri() for name in ("MERGED", "DAILY")}
    names = run_snippets("docs/processing.md", 4, LAKE=lake_of_hours.url, START=START, END=END, **derived)
    shown = capsys.readouterr().out.splitlines()
    assert shown[0] == "14 0 0"
    assert shown[1:3] == ["[0, 1, 0] [2, 1]", "BTC/USDT:USDT BTC-USDT-SWAP inverse"]
    assert shown[3:] == ["coinalyze.resampled/ohlcv/BTCUSDT_PERP.A/1d 14 0", "14"]
    assert names["usd"].unpriced == []


def test_the_incremental_page_runs(lake_of_hours, exchange, monkeypatch, capsys):
    monkeypatch.setenv("COINALYZE_API_KEY", "offline")
    monkeypatch.setenv("QUANT_FRAMEWORK_BASE_URL", exchange.url)
    monkeypatch.setenv("QUANT_FRAMEWORK_LAKE", lake_of_hours.url)
    names = run_snippets("docs/incremental.md", 2, START=START, END=END)
    assert capsys.readouterr().out == "0\n0\n"
    assert names["dag"].tasks[0].partial_kwargs["overlap"] == 5
    assert (names["nightly"].attempts, len(names["again"].holes)) == (5, 1)


def test_the_provider_page_runs(exchange, monkeypatch, capsys):
    monkeypatch.setenv("AIRFLOW_CONN_MIRROR", f"market-data://:offline@{quote(exchange.url, safe='')}")
    names = run_snippets("docs/provider.md", 3, CONNECTION="mirror")
    assert capsys.readouterr().out == "True coinalyze answers: BTC is BTCUSDT_PERP.A\n"
    assert names["adapter"].source == "coinalyze"
    [mapped] = names["dag"].tasks
    assert (mapped.operator_name, mapped.is_mapped) == ("@task.quant_backfill", True)
    assert names["lineage"].outputs[0].outputFacets["outputStatistics"].rowCount == 24


def test_the_operators_page_runs():
    names = run_snippets("docs/operators.md", 3)
    assert [task.task_id for task in names["by_hand"].topological_sort()] == ["fetch", "look", "write"]
    assert {task.task_id for task in names["by_tasks"].tasks} == {"fetch_ohlcv", "write_bronze"}
    assert (names["is_valid"], names["errors"]) == (True, [])
    assert len(names["hourly"].tasks[0].expand_input.value) == 2


async def test_the_sources_page_runs(exchange, tmp_path, capsys):
    names = run_snippets("docs/sources.md", 4, BASE_URL=exchange.url, FOLDER=str(tmp_path))
    said = capsys.readouterr().out
    assert "CcxtAdapter('kraken') ccxt_kraken {'prices': [(720, 12)], 'retention_bars': 720}" in said
    assert "0 True" in said
    result = await names["workflow"].execute(Context())
    assert result["status"] == "success"
    # Three markets of 93 bars and 93 rates.
    assert result["records_written"] == 6 * 93


def test_the_validation_page_runs_and_its_table_is_the_code(tmp_path, capsys):
    lake, key = BronzeWriter((tmp_path / "bronze").as_uri()), "coinalyze/ohlcv/BTCUSDT_PERP.A/1h"
    hours = [START + hour * timedelta(hours=1) for hour in range(336)]
    bars = [(at, 2.0, 3.0, 1.0, 2.0, 7.0) for at in hours]
    for one, rows in (
        (key, [*bars[:9], (hours[9], 2.0, 1.0, 1.0, 2.0, 7.0), *bars[10:]]),
        ("other/ohlcv/BTCUSDT/1h", bars),
    ):
        wait_for(lake.write, one, (START, END), Batch("ohlcv", rows))
    places = {"LAKE": lake.url, "CHECKPOINT": (tmp_path / "none").as_uri(), "REPORTS": (tmp_path / "reports").as_uri()}
    names = run_snippets("docs/validation.md", 3, START=START, END=END, SILVER=str(tmp_path / "silver"), **places)
    assert capsys.readouterr().out.startswith("error values P1 1 2026-01-05T09:00:00Z\n")
    assert [one["check"] for one in names["at_hand"]["findings"]] == ["values"]
    assert (len(names["silver"]), len(names["aside"]), names["done"]["quarantined"]) == (335, 1, 1)
    page = (ROOT / "docs" / "validation.md").read_text()
    version, checks, thresholds = known_checks()
    assert re.findall(r"^\| `(\w+)` \| (\w\d) \| (\w+) \|", page, re.MULTILINE) == [
        one[:3] for one in map(tuple, checks)
    ]
    for name, value in thresholds:
        said = re.search(rf"`{name}` (infinite|[0-9.]+[0-9])", page).group(1)
        assert float(said.replace("infinite", "inf")) == value
    assert version == 1


def test_the_adapters_page_runs(tmp_path):
    names = run_snippets("docs/adapters.md", 6, FOLDER=str(tmp_path))
    rows = names["Constant"]().fetch(names["FetchRequest"]("constant/ohlcv/X/1h", START, START + timedelta(hours=2)))
    assert [row[0] for row in rows] == [START, START + timedelta(hours=1)]
    assert names["result"]["throttled_seconds"] > 0, "the second run's limiter is a new one; its pace was waited for"
    for retry_after in ("seconds", "date", False):
        limits = {"binance": Limits(((2, 60.0),), retry_after=retry_after)}
        with OfflineExchange(limits=limits) as strict:
            adapter, now = names["MyExchange"](strict.url), datetime.now(timezone.utc)
            hour = names["FetchRequest"]("my_exchange/ohlcv/BTCUSDT/1h", START, START + timedelta(hours=1))
            assert len(adapter.fetch(hour)) == 1
            with pytest.raises(RateLimitedError) as refused:
                adapter.fetch(hour)
        assert timedelta(seconds=30) < refused.value.until - now < timedelta(seconds=90), retry_after


def test_the_subclassing_page_runs(exchange, lake_of_hours, tmp_path, monkeypatch):
    monkeypatch.setenv("COINALYZE_API_KEY", "offline")
    monkeypatch.setenv("QUANT_FRAMEWORK_BASE_URL", exchange.url)
    monkeypatch.setenv("AIRFLOW_CONN_VENDOR", f"market-data://:offline@{quote(exchange.url, safe='')}")
    names = run_snippets("docs/subclassing.md", 3, LIMITS=(tmp_path / "limits").as_uri())
    (tmp_path / "list").write_text("BTCUSDT_PERP.A\n")
    places = {"lake": lake_of_hours.url, "checkpoint": (tmp_path / "checkpoints").as_uri()}
    asking = places | {"adapter_options": {"retention": None}}
    update = names["WatchList"](task_id="update", path="{{ params.path }}", end=END + timedelta(days=1), **asking)
    result = execute(update, Xcoms(), params={"path": str(tmp_path / "list")})
    assert [one["series"] for one in result["series"]] == ["coinalyze/ohlcv/BTCUSDT_PERP.A/1h"]
    assert result["records_written"] >= 24
    known = names["Watermark"](task_id="known", series="coinalyze/ohlcv/BTCUSDT_PERP.A/1h", **places)
    assert execute(known, Xcoms()).startswith("2026-01-20T00:00:00")
    vendor = {"symbols": ["BTCUSDT_PERP.A"], "timeframes": ["1h"], "start": START, "end": END, **places}
    assert execute(names["FromVendor"](task_id="vendor", **vendor), Xcoms())["records_written"] == 0


def test_the_yaml_page_runs(tmp_path):
    (tmp_path / "yaml").mkdir()
    (tmp_path / "yaml" / "nightly.yaml").write_text(blocks("docs/yaml.md", "yaml")[0].text)
    names = run_snippets("docs/yaml.md", 1, __file__=str(tmp_path / "loader.py"))
    for dag_id in ("nightly", "by_hand"):
        assert "config-error" not in names[f"dag_{dag_id}"].tags


def test_the_testing_page_runs(tmp_path, monkeypatch):
    run_snippets("docs/testing.md", 4, FOLDER=str(tmp_path))
    _, plugins, test, _ = (block.text for block in blocks("docs/testing.md", "python"))
    *_, dag = (block.text for block in blocks("docs/first-backfill.md", "python"))
    for name, text in {"conftest.py": plugins, "test_market.py": test, "dags/market.py": dag}.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)
    folders = {"AIRFLOW_HOME": str(tmp_path / "airflow"), "AIRFLOW__CORE__DAGS_FOLDER": str(tmp_path / "dags")}
    variables = os.environ | folders | {"AIRFLOW__CORE__LOAD_EXAMPLES": "False"}
    options = {"cwd": tmp_path, "env": variables, "capture_output": True, "text": True, "check": False}
    for command in (["airflow", "db", "migrate"], ["pytest", "-q", "-p", "no:cacheprovider", "test_market.py"]):
        done = subprocess.run([sys.executable, "-m", *command], **options)
        assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-4000:]
    assert "1 passed" in done.stdout
