"""What a look at stored rows finds, against the same checks written again in pandas, on rows damaged at random."""

from __future__ import annotations

import itertools
import math
import random
import tempfile
from collections import Counter
from datetime import datetime, timedelta
from pathlib import Path

import pandas
import pyarrow
import pyarrow.parquet
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from conftest import START
from quant_framework.ingestion.writers import BronzeWriter
from quant_framework.orchestration.tasks import validate_rows
from test_validation import findings

HOUR = timedelta(hours=1)
NAMES = ("open", "high", "low", "close", "volume")
UNUSUAL = ("spike", "jump", "split", "frozen", "idle")
"""Modelled where the core is tested: src/quality/checks/tests.rs."""
COUNTS = {"taker_buy_volume": pyarrow.float64(), "trade_count": pyarrow.int64(), "taker_buy_trades": pyarrow.int64()}
SCHEMA = pyarrow.schema(
    [
        pyarrow.field("ts", pyarrow.timestamp("ms", "UTC"), nullable=False),
        *(pyarrow.field(name, pyarrow.float64(), nullable=False) for name in NAMES),
        *(pyarrow.field(name, kind) for name, kind in COUNTS.items()),
    ]
)


def modelled(frame: pandas.DataFrame, hours: int) -> Counter:
    """The checks again, in pandas: how many of each."""
    low, high = START, START + hours * HOUR
    found: Counter = Counter()
    found["grid"] = int(((frame["ts"] - pandas.Timestamp(START)) % HOUR != timedelta(0)).sum())
    found["order"] = int((frame["ts"].diff() < timedelta(0)).sum())
    ordered = frame.sort_values("ts", kind="stable").reset_index(drop=True)
    before = ordered.shift(1)
    twice = ordered["ts"] == before["ts"]
    same = (ordered[list(NAMES)] == before[list(NAMES)]).all(axis=1)
    found["repeated"], found["conflicting"] = int((twice & same).sum()), int((twice & ~same).sum())
    top, bottom = frame[["open", "close"]].max(axis=1), frame[["open", "close"]].min(axis=1)
    finite = frame[list(NAMES)].map(math.isfinite).all(axis=1)
    fine = (frame["low"] > 0) & (frame["low"] <= bottom) & (frame["high"] >= top)
    found["finite"], found["values"] = int((~finite).sum()), int((finite & ~fine).sum())
    found["volume"] = int((finite & fine & (frame["volume"] < 0)).sum())
    found["still"] = int(((frame["volume"] == 0) & (frame["high"] != frame["low"])).sum())
    opens = {low + hour * HOUR for hour in range(hours)}
    found["missing"] = len(opens - set(frame["ts"].dt.to_pydatetime()))
    assert frame["ts"].between(low, high, inclusive="left").all()
    return +found


def damaged(seed: int, hours: int) -> list[dict]:
    """Rows with everything that can be wrong with some of them."""
    dice, rows = random.Random(seed), []
    for hour in range(hours):
        row = {"ts": START + hour * HOUR, "open": 2.0, "high": 3.0, "low": 1.0, "close": 2.5, "volume": 7.0}
        fate = dice.randrange(14)
        if fate == 0:
            continue
        if fate == 1:
            row["ts"] += timedelta(seconds=dice.randrange(1, 3599))
        elif fate == 2:
            row[dice.choice(NAMES)] = dice.choice([-1.0, 0.0, 2.2, 50.0])
        rows.append(row)
        if fate in (3, 4):
            rows.append(row | ({"volume": float(dice.randrange(9))} if fate == 4 else {}))
    if dice.random() < 0.5 and len(rows) > 2:
        at = dice.randrange(len(rows) - 1)
        rows[at], rows[at + 1] = rows[at + 1], rows[at]
    return rows


@settings(max_examples=150, deadline=None)
@given(seed=st.integers(0, 2**32), hours=st.integers(1, 60), parts=st.integers(1, 3))
def test_random_damage_is_what_a_model_in_pandas_says(seed, hours, parts):
    rows = damaged(seed, hours)
    # Of a series of which there is nothing at all: test_validation.py.
    assume(any(START <= row["ts"] < START + hours * HOUR for row in rows))
    key = "model/ohlcv/BTC/1h"
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder) / "source=model" / "dataset=ohlcv" / "symbol=BTC" / "timeframe=1h"
        place.mkdir(parents=True)
        template = BronzeWriter(folder)
        for part in range(parts):
            low, high = (START + (hours * cut // parts) * HOUR for cut in (part, part + 1))
            held = [row for row in rows if low <= row["ts"] < high]
            if held:
                path = place / f"{low:%Y%m%dT%H%M%SZ}-{high:%Y%m%dT%H%M%SZ}.parquet"
                pyarrow.parquet.write_table(pyarrow.Table.from_pylist(held, schema=SCHEMA), path)
        report = validate_rows(key, START, START + hours * HOUR, template)
        # Object by object: what order there is in one object.
        split = [[row for row in rows if low <= row["ts"] < high] for low, high in _cuts(hours, parts)]
    frame = pandas.DataFrame([row for part in split for row in part], columns=["ts", *NAMES])
    frame["ts"] = pandas.to_datetime(frame["ts"], utc=True)
    told = Counter({check: count for check, _, count, _ in findings(report) if check not in UNUSUAL})
    assert told == modelled(frame, hours)
    assert report["rows"] == len(rows)
    assert report["ok"] is not bool({"grid", "conflicting", "finite", "values", "volume"} & set(told))


def _cuts(hours: int, parts: int) -> list[tuple[datetime, datetime]]:
    edges = [START + (hours * cut // parts) * HOUR for cut in range(parts + 1)]
    return list(itertools.pairwise(edges))
