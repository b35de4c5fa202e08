"""Coarser bars side by side: this package and polars make hours and days of the same one-minute candles.

Prints one JSON line per timeframe: the best of five, in seconds. polars is given the rules and nothing to check.
"""

import argparse
import json
import time

import numpy
import polars

from quant_framework._core import Batch
from quant_framework.ingestion.processors import resample

MINUTE = 60_000
BEGIN = 1_577_836_800_000  # 2020-01-01


def candles(rows: int) -> polars.DataFrame:
    random = numpy.random.default_rng(7)
    close = 100.0 + numpy.cumsum(random.normal(0, 0.01, rows))
    columns = {"open": close, "high": close + 1, "low": close - 1, "close": close, "volume": random.random(rows)}
    ts = polars.Series("ts", BEGIN + MINUTE * numpy.arange(rows)).cast(polars.Datetime("ms", "UTC"))
    return polars.DataFrame({"ts": ts, **columns})


def by_polars(frame: polars.DataFrame, timeframe: str) -> polars.DataFrame:
    column = polars.col
    rules = [column("open").first(), column("high").max(), column("low").min(), column("close").last()]
    return frame.group_by_dynamic("ts", every=timeframe).agg(*rules, column("volume").sum(), polars.len())


def best(work) -> float:
    seconds = []
    for _ in range(5):
        began = time.perf_counter()
        work()
        seconds.append(time.perf_counter() - began)
    return round(min(seconds), 3)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--rows", type=int, default=10_000_000)
    frame = candles(parser.parse_args().rows).rechunk()
    batch = Batch("ohlcv", frame)
    for timeframe in ("5m", "1h", "1d"):
        ours = polars.DataFrame(resample(batch, "1m", timeframe, complete_only=False).rows)
        theirs = by_polars(frame, timeframe)
        assert ours["high"].equals(theirs["high"])
        print(
            json.dumps(
                {
                    "timeframe": timeframe,
                    "rows": len(frame),
                    "quant_framework": best(lambda to=timeframe: resample(batch, "1m", to)),
                    "from_polars": best(lambda to=timeframe: resample(frame, "1m", to)),
                    "polars": best(lambda to=timeframe: by_polars(frame, to)),
                }
            )
        )


if __name__ == "__main__":
    main()
