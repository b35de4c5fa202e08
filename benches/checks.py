"""The checks of stored rows beside the same checks in pandas and polars, each vectorised as its own users would.

``python benches/checks.py [--rows 10000000] [--rounds 5]`` in an environment with the optimised extension, pandas and
polars. All read the same lake: one-minute bars in an object per week, with some defects of each kind; what the three
find must be equal. Each round takes every case in turn, each in a process of its own.
"""

from __future__ import annotations

import argparse
import json
import re
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

KEY = "bench/ohlcv/BTC/1m"
START = datetime(2004, 1, 1, tzinfo=timezone.utc)
WEEK, STEP, WINDOW = 10_080, 60_000, 500
FACTORS = (2, 3, 4, 5, 8, 10, 20, 25, 50, 100, 1000, 10_000)


def make(folder: Path, rows: int) -> None:
    """A lake of a random walk with defects."""
    import numpy as np
    import pyarrow as pa
    import pyarrow.parquet as pq

    dice = np.random.default_rng(7)
    first = int(START.timestamp() * 1000)
    close = 1000 * np.exp(np.cumsum(dice.normal(0, 0.0005, rows)))
    open_ = np.concatenate([[close[0]], close[:-1]])
    high = np.maximum(open_, close) * (1 + np.abs(dice.normal(0, 0.0003, rows)))
    low = np.minimum(open_, close) * (1 - np.abs(dice.normal(0, 0.0003, rows)))
    volume = dice.lognormal(3, 1, rows)
    count = np.maximum(1, (volume / 2).astype("int64"))
    ts = first + np.arange(rows, dtype="int64") * STEP
    keep = np.ones(rows, bool)
    spots = iter(np.sort(dice.choice(rows // 1000, 200, replace=False)) * 1000 + 300)
    for at in [next(spots) for _ in range(60)]:
        keep[at : at + int(dice.integers(1, 9))] = False
    for at in [next(spots) for _ in range(20)]:
        high[at] = low[at] * 0.9
    for at in [next(spots) for _ in range(10)]:
        close[at] = np.nan
    for at in [next(spots) for _ in range(20)]:
        close[at] *= 1.4
        high[at] = close[at]
    for at in [next(spots) for _ in range(20)]:
        volume[at] = -1
    for at in [next(spots) for _ in range(10)]:
        ts[at] += 1000
    for at in [next(spots) for _ in range(10)]:
        run = slice(at, at + 200)
        open_[run] = high[run] = low[run] = close[run] = close[at]
    again = np.array([next(spots) for _ in range(40)])
    order = np.sort(np.concatenate([np.flatnonzero(keep), again]), kind="stable")
    names = ("open", "high", "low", "close", "volume")
    columns = dict(zip(names, (open_, high, low, close, volume), strict=True))
    columns |= {"taker_buy_volume": np.abs(volume) * 0.5, "trade_count": count, "taker_buy_trades": count // 2}
    columns = {name: values[order] for name, values in columns.items()}
    columns["close"][np.searchsorted(order, again[::2], side="right") - 1] *= 1.0001
    columns["taker_buy_volume"][columns["volume"] < 0] = 0
    ts = ts[order]
    place = folder / "source=bench" / "dataset=ohlcv" / "symbol=BTC" / "timeframe=1m"
    place.mkdir(parents=True)
    kinds = {"trade_count": pa.int64(), "taker_buy_trades": pa.int64()}
    needed = ("ts", *names)
    schema = pa.schema(
        [pa.field("ts", pa.timestamp("ms", "UTC"), nullable=False)]
        + [pa.field(name, kinds.get(name, pa.float64()), nullable=name not in needed) for name in columns]
    )
    for week in range(-(-rows // WEEK)):
        low_, high_ = (first + number * WEEK * STEP for number in (week, week + 1))
        rows_ = slice(*np.searchsorted(ts, [low_, high_]))
        parts = [pa.array(ts[rows_], pa.timestamp("ms", "UTC")), *(pa.array(one[rows_]) for one in columns.values())]
        table = pa.Table.from_arrays(parts, schema=schema)
        stamps = [datetime.fromtimestamp(at / 1000, timezone.utc).strftime("%Y%m%dT%H%M%SZ") for at in (low_, high_)]
        encoding = {name: "BYTE_STREAM_SPLIT" for name in columns if name not in kinds}
        encoding |= dict.fromkeys(("ts", *kinds), "DELTA_BINARY_PACKED")
        options = {"use_dictionary": False, "compression": "lz4", "column_encoding": encoding}
        pq.write_table(table, place / f"{'-'.join(stamps)}.parquet", **options)


def ours(folder: Path, end: datetime, memory: bool) -> Callable[[], dict[str, int]]:
    from quant_framework.orchestration.tasks import check_rows, validate_rows

    if memory:
        import pyarrow.dataset as ds

        table = ds.dataset(folder).to_table().combine_chunks()
        return lambda: told(check_rows(table, KEY, START, end))
    return lambda: told(validate_rows(KEY, START, end, folder.as_uri()))


def told(report: dict[str, Any]) -> dict[str, int]:
    return {one["check"]: one["count"] for one in report["findings"]}


def in_pandas(folder: Path, end: datetime, memory: bool) -> Callable[[], dict[str, int]]:
    import pandas as pd

    def read() -> Any:
        return pd.read_parquet(folder, columns=[*COLUMNS]).reset_index(drop=True)

    held = read() if memory else None
    return lambda: pandas_checks(read() if held is None else held, end)


COLUMNS = ("ts", "open", "high", "low", "close", "volume", "taker_buy_volume", "trade_count")
VALUES = COLUMNS[1:6]


def pandas_checks(frame: Any, end: datetime) -> dict[str, int]:
    import numpy as np
    import pandas as pd

    ts = frame["ts"].astype("int64").to_numpy()
    if np.abs(ts).max() > 1e14:
        ts = frame["ts"].to_numpy().astype("datetime64[ms]").astype("int64")
    found: dict[str, int] = {"order": int((np.diff(ts) < 0).sum())}
    if found["order"]:
        frame = frame.sort_values("ts", kind="stable")
    open_, high, low, close, volume = (frame[name].to_numpy() for name in VALUES)
    finite = np.isfinite(open_) & np.isfinite(high) & np.isfinite(low) & np.isfinite(close) & np.isfinite(volume)
    fine = (low > 0) & (low <= np.minimum(open_, close)) & (high >= np.maximum(open_, close))
    found["finite"] = int((~finite).sum())
    found["values"] = int((finite & ~fine).sum())
    found["volume"] = int((finite & fine & (volume < 0)).sum())
    found["still"] = int(((volume == 0) & (high != low)).sum())
    trades = frame["trade_count"].to_numpy()
    found["trades"] = int(((trades == 0) != (volume == 0)).sum())
    found["taker"] = int(((frame["taker_buy_volume"].to_numpy() > volume * (1 + 1e-6)) & (volume >= 0)).sum())
    aligned = ts % STEP == 0
    found["grid"] = int((~aligned).sum())
    again = np.flatnonzero(ts[1:] == ts[:-1]) + 1
    pair = frame.iloc[again].reset_index(drop=True).eq(frame.iloc[again - 1].reset_index(drop=True))
    same = (pair | frame.iloc[again].isna().reset_index(drop=True)).all(axis=1)
    found["repeated"], found["conflicting"] = int(same.sum()), int((~same).sum())
    now = datetime.now(timezone.utc).timestamp() * 1000
    found["future"], found["forming"] = int((ts > now + 60_000).sum()), int(((ts <= now) & (ts + STEP > now)).sum())
    opens = ts[aligned]
    steps = np.diff(np.concatenate([[int(START.timestamp() * 1000) - STEP], opens, [int(end.timestamp() * 1000)]]))
    found["missing"] = int((steps[steps > STEP] // STEP - 1).sum())
    # Unusual ones: possible bars, each once.
    keep = aligned & finite & fine & (volume >= 0)
    keep &= ~pd.Series(ts).where(keep).duplicated().to_numpy() | ~keep
    ts, open_, high, low, close, volume = (one[keep] for one in (ts, open_, high, low, close, volume))
    follows = np.concatenate([[False], np.diff(ts) == STEP])
    before = np.concatenate([[np.nan], close[:-1]])
    idle = volume == 0
    frozen = follows & (high == low) & (close == before) & ~idle
    found["frozen"], found["idle"] = runs(frozen, follows), runs(idle, follows)
    change = np.where(follows, 2 * (close - before) / (close + before), np.nan)
    window = np.arange(len(ts)) // WINDOW
    groups = pd.DataFrame({"w": window, "size": np.abs(change), "range": high - low}).groupby("w", sort=False)
    usual = pd.DataFrame({"size": groups["size"].median(), "range": groups["range"].mean()})
    usual = np.fmax(usual, usual.shift(1))
    size, ranges = usual["size"].to_numpy()[window], usual["range"].to_numpy()[window]
    limit = np.maximum(size * 30, 0.01)
    at = np.flatnonzero(np.abs(change[:-1]) > limit[:-1])
    at = at[follows[at + 1]]
    back = np.abs(close[at + 1] - before[at]) <= 0.5 * np.abs(close[at] - before[at])
    way_back = (np.abs(change[at - 1]) > limit[at]) & (np.sign(change[at - 1]) != np.sign(change[at]))
    found["spike"] = int((back & (~way_back | (np.abs(change[at + 1]) > limit[at]))).sum())
    whole = is_whole(close[at] / before[at], 0.01) & is_whole(close[at + 1] / before[at], 0.1)
    found["split"] = int((~back & whole).sum())
    jump = np.abs(open_ - before)
    found["jump"] = int((follows & (jump > ranges * 20) & (jump > 0.01 * before)).sum())
    return {name: count for name, count in found.items() if count}


def is_whole(ratio: Any, tolerance: float) -> Any:
    import numpy as np

    ratio = np.where(ratio < 1, 1 / ratio, ratio)
    return (np.abs(ratio[:, None] / np.array(FACTORS) - 1) <= tolerance).any(axis=1)


def runs(inside: Any, follows: Any) -> int:
    import numpy as np

    edges = np.flatnonzero(np.diff(np.concatenate([[False], inside, [False]]).astype("int8")) != 0)
    starts, ends = edges[::2], edges[1::2]
    lengths = ends - starts
    return long_runs(lengths)


def long_runs(lengths: Any) -> int:
    import numpy as np

    usual = np.sort(lengths)[int(np.ceil(len(lengths) * 0.999)) - 1] if len(lengths) >= 1000 else 0
    return int(lengths[lengths > max(120, usual)].sum())


def in_polars(folder: Path, end: datetime, memory: bool) -> Callable[[], dict[str, int]]:
    import polars as pl

    lazy = pl.scan_parquet(f"{folder}/**/*.parquet", hive_partitioning=False).select(COLUMNS)
    held = lazy.collect().rechunk() if memory else None
    return lambda: polars_checks(lazy if held is None else held.lazy(), end)


def polars_checks(lazy: Any, end: datetime) -> dict[str, int]:
    import polars as pl

    col = pl.col
    finite = pl.all_horizontal(*(col(name).is_finite() for name in VALUES))
    top, bottom = pl.max_horizontal("open", "close"), pl.min_horizontal("open", "close")
    fine = (col("low") > 0) & (col("low") <= bottom) & (col("high") >= top)
    frame = lazy.with_columns(ts=col("ts").dt.epoch("ms")).collect()
    if not frame["ts"].is_sorted():
        frame = frame.sort("ts", maintain_order=True)
    now = datetime.now(timezone.utc).timestamp() * 1000
    twice = col("ts") == col("ts").shift(1)
    aligned = col("ts") % STEP == 0
    marked = frame.with_columns(aligned=aligned, finite=finite, fine=fine, twice=twice.fill_null(False))
    sums = {
        "order": col("ts").diff() < 0,
        "finite": ~col("finite"),
        "values": col("finite") & ~col("fine"),
        "volume": col("finite") & col("fine") & (col("volume") < 0),
        "still": (col("volume") == 0) & (col("high") != col("low")),
        "trades": (col("trade_count") == 0) != (col("volume") == 0),
        "taker": (col("taker_buy_volume") > col("volume") * (1 + 1e-6)) & (col("volume") >= 0),
        "grid": ~col("aligned"),
        "future": col("ts") > now + 60_000,
        "forming": (col("ts") <= now) & (col("ts") + STEP > now),
    }
    found = marked.select(**{name: wrong.sum() for name, wrong in sums.items()}).row(0, named=True)
    places = marked["twice"].arg_true()
    same = pl.Series([True] * len(places))
    for name in COLUMNS[1:]:
        same &= frame[name].gather(places).eq_missing(frame[name].gather(places - 1))
    found["repeated"], found["conflicting"] = int(same.sum()), int((~same).sum())
    first, last = int(START.timestamp() * 1000), int(end.timestamp() * 1000)
    opens = marked.filter("aligned")["ts"] if found["grid"] else marked["ts"]
    steps = pl.concat([pl.Series([first - STEP]), opens, pl.Series([last])]).diff()
    found["missing"] = int((steps.filter(steps > STEP) // STEP - 1).sum())
    good = marked.filter(col("aligned") & col("finite") & col("fine") & (col("volume") >= 0))
    good = good.filter((col("ts") != col("ts").shift(1)).fill_null(True)).select("ts", *VALUES)
    before = col("close").shift(1)
    follows = (col("ts").diff() == STEP).fill_null(False)
    good = good.with_columns(before=before, follows=follows, w=pl.int_range(pl.len()) // WINDOW)
    good = good.with_columns(
        change=pl.when("follows").then(2 * (col("close") - col("before")) / (col("close") + col("before"))),
        idle=col("volume") == 0,
    )
    good = good.with_columns(
        frozen=col("follows") & (col("high") == col("low")) & (col("close") == col("before")) & ~col("idle")
    )
    for name in ("frozen", "idle"):
        blocks = good[name].rle().struct.unnest()
        found[name] = long_runs(blocks.filter("value")["len"].to_numpy())
    usual = good.group_by("w", maintain_order=True).agg(
        size=col("change").abs().median(), range=(col("high") - col("low")).mean()
    )
    both = (pl.max_horizontal(col(name), col(name).shift(1)).alias(name) for name in ("size", "range"))
    good = good.join(usual.with_columns(*both), on="w", how="left", maintain_order="left")
    limit = pl.max_horizontal(col("size") * 30, pl.lit(0.01))
    jump = (col("open") - col("before")).abs()
    far = col("follows") & (jump > col("range") * 20) & (jump > 0.01 * col("before"))
    found["jump"] = int(good.select(far.sum()).item())
    shifted = good.with_columns(
        limit=limit,
        after=col("close").shift(-1),
        next_change=col("change").shift(-1),
        last_change=col("change").shift(1),
    ).filter((col("change").abs() > col("limit")) & col("next_change").is_not_null())
    rest, move = (col("after") - col("before")).abs(), (col("close") - col("before")).abs()
    turned = (col("last_change").abs() > col("limit")) & (col("last_change").sign() != col("change").sign())
    back = rest <= 0.5 * move
    spike = back & (~turned.fill_null(False) | (col("next_change").abs() > col("limit")))
    found["spike"] = int(shifted.select(spike.sum()).item())
    stay = shifted.filter(~back)
    ratio, later = (stay[name].to_numpy() / stay["before"].to_numpy() for name in ("close", "after"))
    found["split"] = int((is_whole(ratio, 0.01) & is_whole(later, 0.1)).sum())
    return {name: count for name, count in found.items() if count}


def peak_memory() -> float:
    """MiB of this process alone: what ``getrusage`` says counts its parent's before ``exec``."""
    return int(re.search(r"VmHWM:\s+(\d+)", Path("/proc/self/status").read_text()).group(1)) / 1024


CASES = {
    "quant_framework, from Parquet": (ours, False),
    "polars, from Parquet": (in_polars, False),
    "pandas, from Parquet": (in_pandas, False),
    "quant_framework, in memory": (ours, True),
    "polars, in memory": (in_polars, True),
    "pandas, in memory": (in_pandas, True),
}


def one(case: str, folder: Path, rows: int) -> None:
    """One case in this process: seconds, CPU seconds, peak memory, findings."""
    start, memory = CASES[case]
    work = start(folder, START + timedelta(minutes=rows), memory)
    used, began = time.process_time(), time.perf_counter()
    found = work()
    took, cpu = time.perf_counter() - began, time.process_time() - used
    peak = peak_memory()
    print(json.dumps({"took": took, "cpu": cpu, "peak": peak, "found": found}))


def main() -> None:
    """Make the lake, take the rounds, print a table."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--rows", type=int, default=10_000_000)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--one", nargs=2, metavar=("CASE", "FOLDER"))
    arguments = parser.parse_args()
    if arguments.one:
        one(arguments.one[0], Path(arguments.one[1]), arguments.rows)
        return
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name) / "bronze"
        make(folder, arguments.rows)
        taken: dict[str, list[dict[str, Any]]] = {case: [] for case in CASES}
        for _ in range(arguments.rounds):
            for case, results in taken.items():
                command = [sys.executable, __file__, "--rows", str(arguments.rows), "--one", case, str(folder)]
                results.append(json.loads(subprocess.run(command, check=True, capture_output=True).stdout))
    wanted = taken["quant_framework, from Parquet"][0]["found"]
    for case, results in taken.items():
        assert all(one["found"] == wanted for one in results), (case, results[0]["found"], wanted)
    print(f"found: {wanted}")
    for case, results in taken.items():
        kind = case.partition(", ")[2]
        base = [one["took"] for one in taken[f"quant_framework, {kind}"]]
        ratio = statistics.median(one["took"] / mine for one, mine in zip(results, base, strict=True))
        took, cpu, peak = (statistics.median(one[name] for one in results) for name in ("took", "cpu", "peak"))
        print(f"| {case} | {took:.2f} | {arguments.rows / took / 1e6:.1f} | {cpu:.2f} | {peak:.0f} | {ratio:.1f} |")


if __name__ == "__main__":
    main()
