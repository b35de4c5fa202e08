"""Sources that other packages bring by entry points: found, broken, and in the way."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from orchestration_runs import HOURS, stored

PACKAGE = """
from datetime import timedelta
class Adapter:
    source = "mine"
    def __init__(self, price: float = 2.0):
        if price < 0:
            raise ValueError("price must not be negative")
        self.price = price
    def fetch(self, request):
        count = int((request.end - request.start) / timedelta(hours=1))
        times = [request.start + timedelta(hours=hour) for hour in range(count)]
        return [{"ts": at, "open": self.price, "high": 3.0, "low": 1.0, "close": 2.5, "volume": 7.0} for at in times]
def nothing():
    return None
def halves():
    return object()
"""
ENTRIES = """
[quant_framework.sources]
mine = my_source:Adapter
coinalyze = my_source:Adapter
gone = no_such_module:Adapter
lacking = my_source:NoSuchName
failing = my_broken:Adapter
bad = my_syntax:Adapter
nothing = my_source:nothing
halves = my_source:halves
module = my_source
"""
PROGRAM = """
import json, sys
from datetime import datetime
from types import SimpleNamespace
from quant_framework.orchestration.operators import BackfillOperator, FetchOHLCVOperator
from quant_framework.orchestration.dag_builders import BackfillDagBuilder
from quant_framework import settings
source, options = sys.argv[1], json.loads(sys.argv[2])
said = {"listed": sorted(settings.sources())}
try:
    said["builder"] = BackfillDagBuilder("dag", symbols=["BTC"], timeframes=["1h"], source=source).validate()
    task = BackfillOperator(
        task_id="task", source=source, symbols=["BTC"], timeframes=["1h"], adapter_options=options,
        start="2026-01-05T00:00:00Z", end="2026-01-19T00:00:00Z",
    )
except Exception as error:
    said |= {"at": "parse", "error": type(error).__name__, "text": str(error)}
else:
    try:
        result = task.execute({"ti": SimpleNamespace(task_id="task", xcom_pull=lambda **_: None)})
        said |= {"rows": result["records_written"], "series": result["series"][0]["series"]}
    except BaseException as error:
        said |= {"at": "run", "error": type(error).__name__, "text": str(error)}
print("SAID", json.dumps(said))
"""


@pytest.fixture(scope="module")
def installed(tmp_path_factory) -> Path:
    """A folder in which a package is installed, as pip leaves it."""
    site = tmp_path_factory.mktemp("site")
    info = site / "my_source-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: my-source\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(ENTRIES)
    (info / "RECORD").write_text("my_source.py,,\n")
    (site / "my_source.py").write_text(PACKAGE)
    (site / "my_broken.py").write_text("raise RuntimeError('no licence for this source')\n")
    (site / "my_syntax.py").write_text("def (:\n")
    return site


def ask(site: Path, home: Path, source: str, **options: object) -> dict:
    path = os.pathsep.join(filter(None, [str(site), os.environ.get("PYTHONPATH")]))
    environment = os.environ | {"PYTHONPATH": path, "QUANT_FRAMEWORK_HOME": str(home), "AIRFLOW_HOME": str(home / "a")}
    command = [sys.executable, "-c", PROGRAM, source, json.dumps(options)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False, timeout=300)
    (line,) = [line for line in done.stdout.splitlines() if line.startswith("SAID ")] or [done.stderr[-2000:]]
    return json.loads(line[5:])


def test_a_package_brings_a_source(installed, tmp_path):
    said = ask(installed, tmp_path, "mine", price=2.2)
    assert {"mine", "coinalyze", "gone"} <= set(said["listed"])
    assert said["builder"] == [True, []]
    assert (said["rows"], said["series"]) == (HOURS, "mine/ohlcv/BTC/1h")
    assert {row[2] for row in stored(tmp_path / "lake" / "bronze")} == {2.2}


BROKEN = {
    ("gone", ""): r"source 'gone' \(no_such_module:Adapter\) cannot be loaded: No module named 'no_such_module'",
    ("lacking", ""): r"source 'lacking' \(my_source:NoSuchName\) cannot be loaded: .*NoSuchName",
    ("failing", ""): r"source 'failing' \(my_broken:Adapter\) cannot be loaded: .*no licence for this source",
    ("bad", ""): r"source 'bad' \(my_syntax:Adapter\) cannot be loaded: .*invalid syntax",
    ("nothing", ""): r"source 'nothing' \(my_source:nothing\) .*NoneType",
    ("halves", ""): r"source 'halves' \(my_source:halves\) .*object",
    ("module", ""): "source 'module' does not take these options: 'module' object is not callable",
    ("mine", "cost"): r"source 'mine' does not take these options: .*cost",
    ("mine", "price"): "price must not be negative",
}


@pytest.mark.parametrize(("source", "option"), BROKEN, ids=lambda value: value or "none")
def test_a_source_that_cannot_be_made_is_named_and_not_retried(source, option, installed, tmp_path):
    said = ask(installed, tmp_path, source, **({option: -1} if option else {}))
    assert (said["at"], said["error"]) == ("run", "AirflowFailException"), said["text"]
    assert re.search(BROKEN[source, option], said["text"]), said["text"]
    assert "\n" not in said["text"]


def test_the_built_in_source_is_nobody_elses(installed, tmp_path):
    """A package that names its own source ``coinalyze`` would be given the key."""
    said = ask(installed, tmp_path, "coinalyze", price=2.2)
    assert (said["at"], said["error"]) == ("run", "AirflowFailException")
    assert "does not take these options" in said["text"]
