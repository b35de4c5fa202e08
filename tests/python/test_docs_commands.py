"""The guides that show a terminal: each command is run, and says what the page says it does."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from datetime import datetime, timedelta, timezone
from pathlib import Path

import pandas
import polars
import pytest

from documents import blocks, pages
from quant_framework.cli import main
from quant_framework.ingestion.adapters import RETENTION, CoinalyzeAdapter, FetchRequest
from quant_framework.orchestration.tasks.running import wait_for
from quant_framework.settings import open_adapter
from quant_framework.testing import OfflineExchange

TIMES = re.compile(r"\b\d+\.\d s$", re.MULTILINE)
"""How long it took."""


PROGRAM = f"""#!{sys.executable}
import sys
from quant_framework.cli import main
from quant_framework.ingestion.adapters import CoinalyzeAdapter
CoinalyzeAdapter.__new__.__defaults__ = {{defaults}}
sys.exit(main())
"""


def keep_what_is_old(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The guides speak of October 2026, of which the source keeps hours for 83 days: here it keeps them for good."""
    made = CoinalyzeAdapter.__new__
    defaults = tuple(None if value == RETENTION else value for value in made.__defaults__)
    monkeypatch.setattr(made, "__defaults__", defaults)
    folder.mkdir()
    program = folder / "quant-framework"
    program.write_text(PROGRAM.format(defaults=defaults))
    program.chmod(0o755)


@pytest.fixture
def terminal(tmp_path, tmp_path_factory, monkeypatch):
    """A folder and an environment as the guides make them."""
    programs = tmp_path_factory.mktemp("programs") / "bin"
    keep_what_is_old(programs, monkeypatch)
    with OfflineExchange() as exchange:
        monkeypatch.chdir(tmp_path)
        monkeypatch.setenv("QUANT_FRAMEWORK_BASE_URL", exchange.url)
        monkeypatch.setenv("COINALYZE_API_KEY", "offline")
        monkeypatch.setenv("QUANT_FRAMEWORK_HOME", str(tmp_path / "market"))
        places = [str(programs), str(Path(sys.executable).parent), os.environ["PATH"]]
        monkeypatch.setenv("PATH", os.pathsep.join(places))
        yield exchange


def sessions(text: str) -> list[tuple[str, str]]:
    """The commands of a console block, each with what it says."""
    parts = re.split(r"^\$ ", text, flags=re.MULTILINE)[1:]
    return [(command, said) for command, _, said in (part.partition("\n") for part in parts)]


def matches(expected: str, said: str) -> bool:
    """Whether ``said`` is as expected; ``...`` stands for anything."""
    pieces = [re.escape(piece) for piece in TIMES.sub("N s", expected).split("...")]
    return re.fullmatch(".*?".join(pieces), TIMES.sub("N s", said), re.DOTALL) is not None


def run_page(page: str, **names: object) -> int:
    """Run the terminal sessions and snippets of ``page`` in order; how many commands there were."""
    count = 0
    for block in blocks(page):
        if block.language == "python":
            exec(block.text, names)
        if block.language != "console":
            continue
        for command, expected in sessions(block.text):
            done = subprocess.run(
                ["bash", "-c", f"{command} 2>&1"], capture_output=True, text=True, timeout=300, check=False
            )
            assert matches(expected, done.stdout), f"{page}:{block.line}: {command}\n{done.stdout}"
            count += 1
    return count


def test_the_first_backfill(terminal, capsys):
    assert run_page("docs/first-backfill.md") == 6
    (said,) = [block.text for block in blocks("docs/first-backfill.md", "text") if "BTCUSDT_PERP.A ┆" in block.text]
    assert capsys.readouterr().out == said
    shown = json.loads(blocks("docs/first-backfill.md", "json")[0].text)
    assert set(shown) > {"status", "series", "series_count"}


def test_every_page_with_a_terminal_is_run():
    run = set(re.findall(r'run_page\("([^"]+)"', Path(__file__).read_text()))
    assert {page for page in pages() if blocks(page, "console")} == run


def test_output_that_differs_is_seen():
    assert matches("a: 1\n... done, 0.9 s\n", "a: 1\nb: 2 done, 1.2 s\n")
    assert not matches("a: 1\n", "a: 2\n")
    assert not matches("a: 1\n", "a: 1\nb: 2\n")


def old_rows(series: str) -> pandas.DataFrame:
    """Two weeks of hours as another program has left them, five of them lost."""
    adapter = open_adapter("coinalyze")
    start = datetime(2026, 10, 1, tzinfo=timezone.utc)
    batch = wait_for(adapter.fetch, FetchRequest(series, start, start + timedelta(days=14)))
    rows = polars.DataFrame(batch).to_pandas()[["ts", "open", "high", "low", "close", "volume"]]
    return rows.rename(columns={"ts": "timestamp"}).drop(range(100, 105))


def test_migrating(terminal, tmp_path):
    old = tmp_path / "old"
    old.mkdir()
    old_rows("coinalyze/ohlcv/BTCUSDT_PERP.A/1h").to_parquet(old / "BTC_1h.parquet")
    (old / "cursors.json").write_text(json.dumps({"ETHUSDT_PERP.A": 1792022400}))
    (old / "known.json").write_text(blocks("docs/migration.md", "json")[0].text)
    terminal.reset()
    assert run_page("docs/migration.md") == 8
    # 120 hours of each in two chunks, and one request for the hole: nothing that was there is asked for again.
    assert terminal.stats()["weight"] == 2 + 1 + 2


def test_operations(terminal):
    what = ["--symbols", "BTCUSDT_PERP.A", "--timeframes", "1h", "--start", "2026-10-01", "--end", "2026-10-15"]
    assert main(["backfill", *what]) == 0
    assert run_page("docs/operations.md") == 14
