"""The program of the processes that ``checkpoint_processes`` starts: a function below and its arguments as JSON."""

from __future__ import annotations

import asyncio
import itertools
import json
import select
import sys
import time
from datetime import datetime, timedelta, timezone

from quant_framework.ingestion.checkpoint_stores import open_checkpoint_store

START = datetime(2026, 1, 5, tzinfo=timezone.utc)


def minute(number: int) -> tuple[datetime, datetime]:
    return START + timedelta(minutes=number), START + timedelta(minutes=number + 1)


class Context:
    """The least that a workflow needs."""

    def get_state(self, key: str, task_id: str | None = None) -> None:
        return None

    def set_state(self, key: str, value: object) -> None:
        return None


def say(*words: object) -> None:
    print(*words, flush=True)


def wait_for_go() -> None:
    say("ready", time.time())
    sys.stdin.readline()


def commit(url: str, plan: dict[str, list[int]], turns: int | None) -> None:
    """Each turn commits one minute to every series, which names its first minute and its step; tells what is committed.

    Without ``turns`` until the parent closes the pipe.
    """
    store = open_checkpoint_store(url)
    wait_for_go()
    for turn in itertools.count() if turns is None else range(turns):
        if turns is None and select.select([sys.stdin], [], [], 0)[0]:
            return
        for name, (first, step) in plan.items():
            number = first + turn * step
            store.commit_sync(name, [minute(number)])
            say("committed", name, number)


def backfill(url: str, exchange: str, lake: str, days: int, options: dict[str, object]) -> None:
    """A run over hours in chunks of one day; tells its result."""
    from quant_framework.ingestion.adapters import CoinalyzeAdapter
    from quant_framework.ingestion.chunking import FixedChunkStrategy
    from quant_framework.ingestion.rate_limit import AdaptiveRateLimiter
    from quant_framework.ingestion.writers import BronzeWriter
    from quant_framework.orchestration.workflows import BackfillWorkflow

    workflow = BackfillWorkflow(
        adapter=CoinalyzeAdapter(api_key="offline", base_url=exchange, retention=None),
        writer=BronzeWriter(lake),
        checkpoint_store=open_checkpoint_store(url),
        chunk_strategy=FixedChunkStrategy(24),
        rate_limiter=AdaptiveRateLimiter(10_000, 10_000, 1),
        timeframes=["1h"],
        start=START,
        end=START + timedelta(days=days),
        **options,
    )
    wait_for_go()
    say("result", json.dumps(asyncio.run(workflow.execute(Context()))))


if __name__ == "__main__":
    globals()[sys.argv[1]](*json.loads(sys.argv[2]))
