"""``quant-framework validate``: one command for YAML files and for rows."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from conftest import END, START
from orchestration_runs import BTC, HOURS, KEY
from quant_framework.cli import main
from test_validation import change, iso, lake, with_value, without

__all__ = ["lake"]
pytest_plugins = ["orchestration_fixtures"]

SPAN = ["--start", START.isoformat(), "--end", END.isoformat()]
OTHER = f"other/ohlcv/{BTC}/1h"


def copied(lake: Path) -> Path:
    folder = Path(str(lake).replace("source=coinalyze", "source=other"))
    folder.mkdir(parents=True)
    for path in sorted(lake.iterdir()):
        (folder / path.name).write_bytes(path.read_bytes())
    return folder


def test_rows_by_key_and_by_prefix(lake, capsys):
    assert main(["validate", KEY, *SPAN]) == 0
    assert capsys.readouterr().out == f"{KEY}: {HOURS} rows of {HOURS} bars, ok\n"
    copied(lake)
    change(min(lake.iterdir()), with_value([5], high=1.0))
    change(max(lake.iterdir()), without([2, 3]))
    assert main(["validate", "--series", "", *SPAN]) == 1
    out, err = capsys.readouterr()
    assert out.splitlines() == [
        f"{KEY}: {HOURS - 2} rows of {HOURS} bars, not ok",
        f"  error: 1 values (P1), first {iso(5)}",
        f"  warning: 2 missing (G1), first {iso(170)}",
        f"  missing: {iso(170)} .. {iso(172)} (2 bars)",
        f"{OTHER}: {HOURS} rows of {HOURS} bars, ok",
    ]
    assert err == "2 series\n"
    assert main(["validate", "--series", "other/", *SPAN, "--json"]) == 0
    assert [one["series"] for one in json.loads(capsys.readouterr().out)] == [OTHER]
    assert main(["validate", KEY, *SPAN, "--checks", "G1,late"]) == 0
    assert main(["validate", KEY, *SPAN, "--checks", "G1", "--thresholds", "gap_error_seconds=60"]) == 1


def test_without_a_range_everything_up_to_now(lake, capsys):
    assert main(["validate", KEY]) == 1
    out = capsys.readouterr().out
    assert f" missing (G1), first {iso(HOURS)}" in out
    assert "  error: " in out.partition(" late (F1)")[0]


def test_a_checkpoint_tells_gaps_apart(lake, home, capsys):
    change(min(lake.iterdir()), without([7]))
    checkpoint = ["--checkpoint", (home / "checkpoints").as_uri()]
    assert main(["validate", KEY, *SPAN, *checkpoint]) == 1
    assert f"  error: 1 lost (L1), first {iso(7)}" in capsys.readouterr().out


def test_against_another_series(lake, tmp_path, capsys):
    change(min(copied(lake).iterdir()), without([7]))
    compared = ["validate", KEY, "--against", OTHER, *SPAN]
    assert main([*compared, "--report", (tmp_path / "reports").as_uri()]) == 1
    out, err = capsys.readouterr()
    assert f"{OTHER} against {KEY}: 335 bars shared, 1 only in the first, 0 only in the second, 0 differ" in out
    assert err.endswith("the sources do not agree\n")
    assert len(list((tmp_path / "reports").rglob("*.html"))) == 1
    assert main([*compared, "--json"]) == 1
    assert json.loads(capsys.readouterr().out)["holes"][0]["series"] == OTHER


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ([], "neither is named"),
        (["nowhere"], "'nowhere' is neither a file or folder that exists nor the key of a series"),
        (["{path}", KEY], "both are named"),
        (["{path}", "--series", ""], "both are named"),
        ([KEY, "--thresholds", "spike_factor"], "'spike_factor' is not NAME=NUMBER"),
        ([KEY, "--thresholds", "spike=3", *SPAN], "unknown threshold"),
        ([KEY, "--checks", "spikes", *SPAN], "did you mean"),
        ([KEY, KEY, "--against", OTHER, *SPAN], "compares one series"),
        (["a/b/c/d", *SPAN], "unknown data type"),
    ],
)
def test_wrong_usage_is_told(arguments, says, lake, tmp_path, capsys):
    path = tmp_path / "dags.yaml"
    path.write_text("dags: {}\n")
    assert main(["validate", *(one.format(path=path) for one in arguments)]) == 2
    assert says in capsys.readouterr().err
