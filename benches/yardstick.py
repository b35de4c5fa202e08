"""The product as a client of the side-by-side benchmark: one-minute candles of N symbols over D days.

Takes ``--api --dest --symbols --days --concurrency --rate`` and prints one JSON line with ``rows`` and ``inner_s``.
"""

import argparse
import asyncio
import json
import tempfile
import time

BEGAN = time.perf_counter()

from datetime import datetime, timedelta, timezone  # noqa: E402

from quant_framework.ingestion.adapters import CoinalyzeAdapter  # noqa: E402
from quant_framework.ingestion.backfill import open_checkpoint_store  # noqa: E402
from quant_framework.ingestion.chunking import FixedChunkStrategy  # noqa: E402
from quant_framework.ingestion.rate_limit import AdaptiveRateLimiter  # noqa: E402
from quant_framework.ingestion.writers import BronzeWriter  # noqa: E402
from quant_framework.orchestration.workflows import BackfillWorkflow  # noqa: E402

NAMES = ["BTC", "ETH", "SOL", "BNB", "XRP", "DOGE", "ADA", "LINK"]
START = datetime(2024, 1, 1, tzinfo=timezone.utc)


class Context:
    def get_state(self, key, task_id=None):
        return None

    def set_state(self, key, value):
        return None


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--api", required=True)
    parser.add_argument("--dest", required=True)
    for name, default in (("symbols", 8), ("days", 90), ("concurrency", 8), ("rate", 0)):
        parser.add_argument(f"--{name}", type=int, default=default)
    parser.add_argument("--write-only", action="store_true", help="the lake takes PUT and nothing else")
    parser.add_argument(
        "--checkpoint", help="URL or folder; by default beside a local destination, else a temporary one"
    )
    parser.add_argument("--resume", default="always", help="never: the same checkpoints serve every run")
    options = parser.parse_args()
    local = not options.dest.startswith("s3://")
    # The name of a process comes again, and would find the checkpoints of its namesake.
    temporary = tempfile.TemporaryDirectory(prefix="yardstick-")
    folder = options.checkpoint or (f"{options.dest}/_checkpoints" if local else temporary.name)
    rate = options.rate or 1_000_000
    symbols = [f"{NAMES[i]}USDT_PERP.A" if i < len(NAMES) else f"SYM{i:03d}USDT_PERP.A" for i in range(options.symbols)]
    workflow = BackfillWorkflow(
        adapter=CoinalyzeAdapter(api_key="bench", base_url=f"{options.api}/v1", retention=None),
        writer=BronzeWriter(options.dest, write_only=options.write_only),
        checkpoint_store=open_checkpoint_store(folder),
        chunk_strategy=FixedChunkStrategy(1440),
        rate_limiter=AdaptiveRateLimiter(rate, rate, 1, burst=rate),
        symbols=symbols,
        timeframes=["1m"],
        start=START,
        end=START + timedelta(days=options.days),
        concurrency=options.concurrency,
        resume=options.resume,
    )
    result = asyncio.run(workflow.execute(Context()))
    if result["status"] != "success":
        raise SystemExit(f"{result['status']}: {result['errors'][:3]}")
    print(json.dumps({"rows": result["records_written"], "inner_s": round(time.perf_counter() - BEGAN, 4)}))


if __name__ == "__main__":
    main()
