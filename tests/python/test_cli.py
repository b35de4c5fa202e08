"""The command line: output, JSON, exit codes."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from datetime import datetime, timedelta, timezone
from itertools import pairwise

import pytest

from conftest import END, START
from quant_framework._core import Backfill, __version__
from quant_framework.cli import main
from quant_framework.ingestion.backfill import LocalCheckpointStore
from quant_framework.testing import Fault


@pytest.fixture
def job(exchange, tmp_path, monkeypatch):
    monkeypatch.setenv("COINALYZE_API_KEY", "offline")
    monkeypatch.setattr("quant_framework.settings.open_limiter", lambda adapter, place: None)
    where = ["--lake", (tmp_path / "lake").as_uri(), "--checkpoint", (tmp_path / "checkpoints").as_uri()]
    what = ["--symbols", "BTC", "--timeframes", "1h", "--start", "2026-01-05", "--end", "2026-01-19T00:00:00Z"]
    return [*what, "--base-url", exchange.url, "--no-retention", *where]


def test_plan_backfill_and_status(job, capsys, tmp_path):
    assert main(["plan", *job]) == 0
    assert "2 requests of weight 2, 336 bars" in capsys.readouterr().out
    assert main(["backfill", *job, "--json"]) == 0
    result = json.loads(capsys.readouterr().out)
    assert (result["status"], result["records_written"]) == ("success", 336)
    assert main(["backfill", *job]) == 0
    assert "2 covered before, 0 requests" in capsys.readouterr().out
    assert main(["status", "--checkpoint", (tmp_path / "checkpoints").as_uri()]) == 0
    assert "coinalyze/ohlcv/BTCUSDT_PERP.A/1h: 2026-01-05" in capsys.readouterr().out


def test_an_update_goes_before_backfills_and_asks_only_for_what_is_missing(job, capsys, monkeypatch):
    asked = []

    class Limiter:
        def acquire(self, weight=1):
            return 0.0

    monkeypatch.setattr("quant_framework.settings.open_limiter", lambda adapter, place: Limiter())
    monkeypatch.setattr(
        "quant_framework.orchestration.workflows.backfill_workflow.Backfill",
        lambda **options: asked.append(options["priority"]) or Backfill(**options),
    )
    assert main(["backfill", *job]) == 0
    capsys.readouterr()
    assert main(["update", *job, "--end", "2026-01-20T00:00:00Z"]) == 0
    assert "24 rows, 1 chunks done, 2 covered before, 1 requests" in capsys.readouterr().out
    assert asked == ["backfill", "live"]


def test_exit_codes(job, capsys, monkeypatch):
    assert main(["backfill", *job, "--symbols", "NOPE.A"]) == 1
    assert capsys.readouterr().err.count("error:") == 2, "each of two chunks says it once"
    for command in ("plan", "backfill", "update"):
        assert main([command, *job, "--timeframes", "7m"]) == 2
        assert capsys.readouterr().err.count("unknown timeframe") == 1, command
    with pytest.raises(SystemExit) as usage:
        main(["backfill", *job, "--start", "2026-01-05T00:00:00"])
    assert usage.value.code == 2
    assert "no time zone" in capsys.readouterr().err
    monkeypatch.delenv("COINALYZE_API_KEY")
    assert main(["plan", *job]) == 2
    assert "COINALYZE_API_KEY" in capsys.readouterr().err


def test_the_version_is_told(capsys):
    with pytest.raises(SystemExit) as ended:
        main(["--version"])
    assert ended.value.code == 0
    assert capsys.readouterr().out == f"quant-framework {__version__}\n"


def test_a_checkpoint_that_cannot_be_read_does_not_hide_the_others(job, capsys, tmp_path):
    where = ["--checkpoint", (tmp_path / "checkpoints").as_uri()]
    assert main(["status", *where]) == 0
    assert capsys.readouterr() == ("", "no series is known here\n")
    assert main(["backfill", *job, "--symbols", "BTCUSDT_PERP.A,ETHUSDT_PERP.A"]) == 0
    newer = tmp_path / "checkpoints" / "coinalyze" / "ohlcv" / "BTCUSDT_PERP.A" / "1h.json"
    newer.write_text('{"format":9,"min_reader":9}')
    capsys.readouterr()
    assert main(["status", *where]) == 1
    said = capsys.readouterr()
    assert "has format 9, this version reads up to 2" in said.err
    assert said.out.startswith("coinalyze/ohlcv/ETHUSDT_PERP.A/1h: ")


def test_what_one_series_cannot_tell_hides_nothing_of_the_others(job, capsys, tmp_path):
    assert main(["backfill", *job, "--symbols", "BTC, ETH"]) == 0
    lake = ["--lake", (tmp_path / "lake").as_uri()]
    places = [*lake, "--checkpoint", (tmp_path / "checkpoints").as_uri()]
    source = ["--base-url", job[job.index("--base-url") + 1], "--no-retention"]
    span = ["--start", "2026-01-05", "--end", "2026-01-06"]
    store, junk = LocalCheckpointStore(tmp_path / "checkpoints"), "coinalyze/ohlcv/BTC/1H"
    store.commit_sync(junk, [(START, END)])

    def told(*arguments: str) -> tuple[int, str, str]:
        capsys.readouterr()
        code = main(arguments)
        return code, *capsys.readouterr()

    for command in (["gaps", *span, *places[2:]], ["repair", *source, *places]):
        code, out, err = told(*command)
        assert (code, out.count("coinalyze/ohlcv/")) == (1, 2), out + err
        assert f'error: {junk}: unknown timeframe "1H"' in err
    store.delete_sync(junk)
    damaged = min(path for path in (tmp_path / "lake").rglob("*.parquet") if "ETHUSDT" in str(path))
    damaged.write_bytes(damaged.read_bytes()[:50])
    silver = ["--silver", (tmp_path / "silver").as_uri()]
    for command in (["compact", *lake, *silver], ["validate", "--series", "", *span, *lake]):
        code, out, err = told(*command)
        assert (code, "BTCUSDT_PERP.A" in out, "ETHUSDT_PERP.A" in out) == (1, True, False), out + err
        assert "error: " in err
        assert "ETHUSDT_PERP.A" in err


def test_a_misspelt_series_is_not_imported(capsys, tmp_path):
    document = {
        "quant_framework_checkpoints": 1,
        "checkpoints": [{"series": "a/ohlcv/BTC/1H", "data": [], "empty": []}],
    }
    (tmp_path / "export.json").write_text(json.dumps(document))
    store = ["--checkpoint", (tmp_path / "checkpoints").as_uri()]
    assert main(["import", str(tmp_path / "export.json"), *store]) == 2
    assert 'a/ohlcv/BTC/1H: unknown timeframe "1H"' in capsys.readouterr().err


def test_a_prefix_that_no_series_has_is_wrong_usage(job, capsys, tmp_path):
    assert main(["backfill", *job]) == 0
    places = ["--checkpoint", (tmp_path / "checkpoints").as_uri()]
    days = ["--start", "2026-01-05", "--end", "2026-01-19"]
    for command in (["gaps", *days, *places], ["validate", "--lake", (tmp_path / "lake").as_uri()]):
        capsys.readouterr()
        assert main([*command, "--series", "coinalise/"]) == 2
        assert "begins with 'coinalise/'" in capsys.readouterr().err


def test_an_error_names_its_series_once(job, capsys):
    without_start = [*job[:4], *job[6:]]
    assert main(["update", *without_start]) == 1
    assert capsys.readouterr().err.count("coinalyze/ohlcv/BTCUSDT_PERP.A/1h") == 1


def test_a_reader_that_has_had_enough_sees_no_traceback():
    command = f"{sys.executable} -m quant_framework.cli schema | head -c 9"
    done = subprocess.run(command, shell=True, capture_output=True, text=True, check=False)
    assert (len(done.stdout), done.stderr) == (9, "")


@pytest.mark.parametrize(
    ("output", "code", "says"), [("> /dev/full", 1, "error: the output cannot be written: "), (">&-", 0, "")]
)
def test_an_output_that_cannot_be_written_is_one_line(output, code, says):
    command = f"{sys.executable} -m quant_framework.cli schema {output}"
    done = subprocess.run(command, shell=True, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr.startswith(says), done.stderr.count("\n")) == (code, True, bool(says))


def started(*arguments: str) -> subprocess.Popen:
    command = [sys.executable, "-m", "quant_framework.cli", *arguments]
    return subprocess.Popen(
        command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
@pytest.mark.parametrize("command", ["backfill", "repair"])
def test_a_signal_lets_a_run_finish_its_writes(command, number, job, exchange, tmp_path):
    """A repair died of it, with a traceback or without a word."""
    day, start = timedelta(days=1), datetime(2026, 1, 5, tzinfo=timezone.utc)
    key, store = "coinalyze/ohlcv/BTCUSDT_PERP.A/1m", LocalCheckpointStore(tmp_path / "checkpoints")
    holes = [(start + at * 25 * day, start + at * 25 * day + day / 24) for at in range(12)]
    if command == "repair":
        store.commit_sync(key, [(high, low) for (_, high), (low, _) in pairwise(holes)], holes)
        arguments = [*job[8:], "--series", key, "--force"]
    else:
        arguments = [*job, "--timeframes", "1m"]
    exchange.inject(Fault("latency", times=None, value=0.3))
    where = ["--rate-limit", (tmp_path / "limits").as_uri(), "--concurrency", "1", "--json"]
    process = started(command, *arguments, *where)
    deadline = time.monotonic() + 60
    while exchange.stats()["requests"] < 3:
        assert time.monotonic() < deadline
        assert process.poll() is None, process.communicate()
        time.sleep(0.02)
    process.send_signal(number)
    out, err = process.communicate(timeout=60)
    result = json.loads(out)
    assert (process.returncode, result["status"]) == (1, "cancelled"), err
    assert "Traceback" not in err
    assert result["records_written"] > 0, result
    assert result["requests"] < 12
    assert (tmp_path / "lake").is_dir()
    assert sum((high - low) // timedelta(minutes=1) for low, high in store.load_sync(key).data) >= 60


def test_ctrl_c_ends_other_commands_without_a_traceback(tmp_path):
    pipe = tmp_path / "document"
    os.mkfifo(pipe)
    process = started("import", str(pipe), "--checkpoint", (tmp_path / "checkpoints").as_uri())
    with pipe.open("w"):  # opened once the command reads it
        process.send_signal(signal.SIGINT)
        assert process.communicate(timeout=60) == ("", "interrupted\n")
    assert process.returncode == 130


def test_errors_of_a_repair_are_no_output_and_name_their_series_once(job, capsys, tmp_path):
    key, at = "coinalyze/ohlcv/NOPE.A/1h", datetime(2026, 1, 5, tzinfo=timezone.utc)
    LocalCheckpointStore(tmp_path / "checkpoints").commit_sync(key, None, [(at, at + timedelta(days=1))])
    assert main(["repair", *job[6:], "--series", key, "--end", "2026-01-06"]) == 1
    said = capsys.readouterr()
    assert "error" not in said.out
    assert said.err.count(key) == said.err.count("error: ") == 1
