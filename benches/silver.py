"""Bronze to silver beside pandas with pyarrow: all objects of a month read, joined, each bar once, sorted, written.

``python benches/silver.py [--rows 3000000] [--rounds 5]`` in an environment with the optimised extension and pandas.
Objects of a day each; every tenth overlaps the one before by an hour, and every ``--restated``th of these says
something else of it (1: all of them, which the product keeps aside and pandas drops). Both must leave the same.
"""

from __future__ import annotations

import argparse
import json
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

KEY = "bench/ohlcv/BTC/1m"
START = datetime(2015, 1, 1, tzinfo=timezone.utc)
DAY, STEP = 1440, 60_000
SHAPE = "%Y%m%dT%H%M%SZ"


def make(folder: Path, rows: int, restated: int = 1) -> None:
    """A bronze lake of a random walk, written by the product's writer."""
    import asyncio

    import numpy as np
    import pyarrow as pa

    from quant_framework.ingestion.writers import BronzeWriter

    dice = np.random.default_rng(7)
    close = 1000 * np.exp(np.cumsum(dice.normal(0, 0.0005, rows)))
    open_ = np.concatenate([[close[0]], close[:-1]])
    high = np.maximum(open_, close) * (1 + np.abs(dice.normal(0, 0.0003, rows)))
    low = np.minimum(open_, close) * (1 - np.abs(dice.normal(0, 0.0003, rows)))
    volume = dice.lognormal(3, 1, rows)
    count = np.maximum(1, (volume / 2).astype("int64"))
    ts = int(START.timestamp() * 1000) + np.arange(rows, dtype="int64") * STEP
    names = ("open", "high", "low", "close", "volume", "taker_buy_volume", "trade_count", "taker_buy_trades")
    columns = dict(zip(names, (open_, high, low, close, volume, volume / 2, count, count // 2), strict=True))
    lake = BronzeWriter(folder.as_uri())

    async def write() -> None:
        for day in range(rows // DAY):
            first, last = day * DAY - (60 if day % 10 == 9 else 0), (day + 1) * DAY
            table = pa.table(
                {"ts": pa.array(ts[first:last], pa.timestamp("ms", "UTC"))}
                | {name: values[first:last] for name, values in columns.items()}
            )
            if first < day * DAY and day // 10 % restated == 0:
                changed = table["high"].to_numpy().copy()
                changed[:60] *= 1.0001
                table = table.set_column(2, "high", pa.array(changed))
            span = (START + timedelta(minutes=first), START + timedelta(minutes=last))
            await lake.write(KEY, span, table)

    asyncio.run(write())


def ours(bronze: Path, silver: Path) -> None:
    from quant_framework.ingestion.writers import BronzeWriter
    from quant_framework.orchestration.tasks import compact

    compact(KEY, lake=BronzeWriter(bronze.as_uri()), silver=silver.as_uri())


def in_pandas(bronze: Path, silver: Path) -> None:
    import pandas as pd
    import pyarrow as pa
    import pyarrow.parquet as pq

    months: dict[str, list[Path]] = defaultdict(list)
    for path in sorted(bronze.rglob("*.parquet")):
        first, last = (datetime.strptime(text, SHAPE) for text in path.stem.split("-"))
        for month in {f"{first:%Y-%m}", f"{last - timedelta(minutes=1):%Y-%m}"}:
            months[month].append(path)
    place = silver / next(iter(bronze.rglob("*.parquet"))).parent.relative_to(bronze)
    place.mkdir(parents=True)
    for month, paths in sorted(months.items()):
        frame = pd.concat([pq.ParquetFile(path).read().to_pandas() for path in paths])
        start = pd.Timestamp(month, tz="UTC")
        frame = frame[(frame["ts"] >= start) & (frame["ts"] < start + pd.DateOffset(months=1))]
        frame = frame.drop_duplicates("ts", keep="last").sort_values("ts")
        top, bottom = frame[["open", "close"]].max(axis=1), frame[["open", "close"]].min(axis=1)
        fine = (frame["low"] > 0) & (frame["low"] <= bottom) & (frame["high"] >= top) & (frame["volume"] >= 0)
        table = pa.Table.from_pandas(frame[fine], preserve_index=False)
        pq.write_table(table, place / f"{month}.parquet", compression="lz4", use_dictionary=False)


def peak_memory() -> float:
    """MiB of this process alone: what ``getrusage`` says counts its parent's before ``exec``."""
    return int(re.search(r"VmHWM:\s+(\d+)", Path("/proc/self/status").read_text()).group(1)) / 1024


CASES = {"quant_framework": ours, "pandas + pyarrow": in_pandas}


def main() -> None:
    """Make the lake, take the rounds, print a table."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--rows", type=int, default=3_000_000)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--restated", type=int, default=20)
    parser.add_argument("--one", nargs=3, metavar=("CASE", "BRONZE", "SILVER"))
    arguments = parser.parse_args()
    if arguments.one:
        case, bronze, silver = arguments.one
        used, began = time.process_time(), time.perf_counter()
        CASES[case](Path(bronze), Path(silver))
        took, cpu = time.perf_counter() - began, time.process_time() - used
        peak = peak_memory()
        print(json.dumps({"took": took, "cpu": cpu, "peak": peak}))
        return
    import pyarrow.dataset as ds

    with tempfile.TemporaryDirectory() as name:
        bronze = Path(name) / "bronze"
        make(bronze, arguments.rows, arguments.restated)
        taken: dict[str, list[dict[str, Any]]] = {case: [] for case in CASES}
        left = {}
        for _ in range(arguments.rounds):
            for case, results in taken.items():
                silver = Path(name) / "silver"
                command = [sys.executable, __file__, "--one", case, str(bronze), str(silver)]
                results.append(json.loads(subprocess.run(command, check=True, capture_output=True).stdout))
                left[case] = ds.dataset(silver).to_table().sort_by("ts").combine_chunks()
                shutil.rmtree(silver)
    first, second = left.values()
    assert all(first[column].equals(second[column].cast(first[column].type)) for column in first.column_names)
    for case, results in taken.items():
        took, cpu, peak = (statistics.median(one[name] for one in results) for name in ("took", "cpu", "peak"))
        pairs = zip(results, taken["quant_framework"], strict=True)
        ratio = statistics.median(one["took"] / mine["took"] for one, mine in pairs)
        print(f"| {case} | {took:.2f} | {arguments.rows / took / 1e6:.1f} | {cpu:.2f} | {peak:.0f} | {ratio:.1f} |")


if __name__ == "__main__":
    main()
