"""Plain functions over workflows: inside a running event loop, stopped, and what they raise."""

from __future__ import annotations

import asyncio
import contextvars
import subprocess
import sys
import textwrap
import threading
from datetime import datetime, timezone
from pathlib import Path

import pytest

from conftest import END, START
from orchestration_runs import BTC, adapter, places
from quant_framework.errors import (
    BY_KIND,
    InternalError,
    InvalidError,
    QuantFrameworkError,
    RateLimitedError,
    UnavailableError,
)
from quant_framework.ingestion.backfill import open_checkpoint_store
from quant_framework.ingestion.rate_limit import AdaptiveRateLimiter
from quant_framework.ingestion.writers import BronzeWriter
from quant_framework.orchestration.staged import Staged
from quant_framework.orchestration.tasks import fetch_ohlcv, write_bronze
from quant_framework.orchestration.tasks.fetch_tasks import Stage
from quant_framework.orchestration.tasks.running import Job, blocking, run
from quant_framework.orchestration.workflows import BackfillWorkflow, ValidationWorkflow, WriteWorkflow
from quant_framework.orchestration.workflows.write_workflow import add

pytest_plugins = ["orchestration_fixtures"]

NAME: contextvars.ContextVar[str] = contextvars.ContextVar("NAME", default="none")
UNTIL = datetime(2030, 1, 1, tzinfo=timezone.utc)


class Ended:
    """A workflow that ended so."""

    def __init__(self, **result: object) -> None:
        self.result = result

    async def execute(self, context: object) -> dict:
        return self.result


def failing(kind: str, **more: object) -> Ended:
    return Ended(status="failed", errors=[{"kind": kind, "message": "m", "series": "s", **more}])


async def test_functions_are_just_called_inside_a_running_loop(exchange, unhurried, tmp_path):
    """As in a notebook, whose cells run inside an event loop."""
    asyncio.get_running_loop()
    where = places(tmp_path)
    staged = fetch_ohlcv(BTC, "1h", START, END, adapter(exchange), lake=where["lake"])
    written = write_bronze(staged, **where)
    assert (written["status"], written["records_written"]) == ("success", 336)
    with pytest.raises(InvalidError, match="nonsense"):
        fetch_ohlcv(BTC, "nonsense", START, END, adapter(exchange), lake=where["lake"])


async def test_what_is_blocking_sees_the_context_of_its_caller():
    NAME.set("caller")
    here = threading.get_ident()

    async def look() -> tuple[str, bool]:
        await asyncio.sleep(0)
        return NAME.get(), threading.get_ident() == here

    assert blocking(look()) == ("caller", False)


def test_ctrl_c_in_a_running_loop_cancels_what_is_blocking_and_waits_for_its_end():
    code = """
        import asyncio, os, signal
        from quant_framework.orchestration.tasks.running import blocking

        async def work():
            try:
                os.kill(os.getpid(), signal.SIGINT)
                await asyncio.Event().wait()
            finally:
                await asyncio.sleep(0)
                print("drained", flush=True)

        async def cell():
            blocking(work())

        signal.signal(signal.SIGINT, signal.default_int_handler)
        loop = asyncio.new_event_loop()
        try:
            loop.run_until_complete(cell())
        except KeyboardInterrupt:
            print("interrupted")
    """
    done = subprocess.run([sys.executable, "-c", textwrap.dedent(code)], capture_output=True, text=True, timeout=60)
    assert (done.stdout.split(), done.returncode) == (["drained", "interrupted"], 0), done.stderr


@pytest.mark.parametrize("kind", BY_KIND)
def test_a_failed_run_raises_the_exception_of_its_kind_whatever_an_author_derives(kind):
    class Own(QuantFrameworkError):
        """An author's, of no kind of its own."""

    with pytest.raises(BY_KIND[kind], match=r"^s: m$") as raised:
        run(failing(kind))
    assert type(raised.value) is BY_KIND[kind]
    assert Own("x").kind == InternalError.kind
    assert {known.kind for known in BY_KIND.values()} == set(BY_KIND)


def test_a_refusal_keeps_when_to_ask_again():
    for ended in (failing("rate_limited", until=UNTIL.isoformat()), Ended(status="parked", until=UNTIL.isoformat())):
        with pytest.raises(RateLimitedError) as raised:
            run(ended)
        assert raised.value.until == UNTIL
    with pytest.raises(RateLimitedError) as raised:
        run(failing("rate_limited"))
    assert raised.value.until is None


@pytest.fixture
def staged(exchange, unhurried, tmp_path) -> dict:
    """Two weeks, staged as two ranges."""
    lake = places(tmp_path)["lake"]
    reference = fetch_ohlcv(BTC, "1h", START, END, adapter(exchange), lake=lake)
    (low, high), middle = reference["ranges"][0], (START + (END - START) / 2).isoformat()
    return reference | {"ranges": [[low, middle], [middle, high]]}


def writing(staged: dict, folder: Path, kind: type[WriteWorkflow] = WriteWorkflow) -> WriteWorkflow:
    where = places(folder)
    store = open_checkpoint_store(where["checkpoint"])
    return kind([Staged.parse(staged, "staged")], BronzeWriter(where["lake"]), store, Stage)


async def test_a_write_that_fails_keeps_the_result_of_what_was_written_before(staged, tmp_path):
    class Second(WriteWorkflow):
        runs = 0

        async def _run(self, *arguments):
            self.runs += 1
            if self.runs == 2:
                raise UnavailableError("the lake is away")
            return await super()._run(*arguments)

    result = await writing(staged, tmp_path, Second).execute()
    assert (result["status"], result["records_written"]) == ("partial", 168)
    assert [error["message"] for error in result["errors"]] == ["the lake is away"]
    assert (await writing(staged, tmp_path).execute())["records_written"] == 168


def test_a_write_that_is_parked_says_until_when():
    total = {"status": "success", "records_written": 0}
    for until in ("2030-01-01T00:00:00.5Z", "2030-01-01T00:00:00Z"):
        add(total, {"status": "parked", "until": until, "records_written": 1})
    add(total, {"status": "success", "records_written": 1})
    assert total == {"status": "parked", "until": "2030-01-01T00:00:00.5Z", "records_written": 3}


@pytest.mark.parametrize("kind", ["backfill", "write", "validation"])
async def test_a_cancel_is_for_one_run(kind, staged, exchange, tmp_path):
    """A workflow that was cancelled once answered so for ever."""
    key, where = f"coinalyze/ohlcv/{BTC}/1h", places(tmp_path)
    lake, store = BronzeWriter(where["lake"]), open_checkpoint_store(where["checkpoint"])
    parts = (adapter(exchange), lake, store, AdaptiveRateLimiter(999, 999, 1))
    backfill = BackfillWorkflow(*parts, symbols=[BTC], timeframes=["1h"], start=START, end=END)
    if kind == "backfill":
        job = backfill
    elif kind == "write":
        job = writing(staged, tmp_path)
    else:
        await writing(staged, tmp_path).execute()
        other = f"other/ohlcv/{BTC}/1h"
        asked = []

        def fill(*hole):
            asked.append(hole)

        job = ValidationWorkflow(lake, [key, other], start=START, end=END, backfill=fill)
        job.cancel()
        assert (await job.execute())["holes"]
        assert asked == []
        await job.execute()
        assert len(asked) == 1
        return
    job.cancel()
    assert (await job.execute())["status"] == "cancelled"
    result = await job.execute()
    assert (result["status"], result["records_written"]) == ("success", 336)


def test_a_job_that_is_cancelled_before_it_begins_does_nothing():
    async def work() -> None:
        raise AssertionError("begun")

    job = Job(work())
    job.cancel()
    with pytest.raises(asyncio.CancelledError):
        job.wait()


async def test_a_backfill_without_a_start_says_so(exchange, tmp_path):
    lake, store = BronzeWriter(tmp_path.as_uri()), open_checkpoint_store("memory:")
    result = await BackfillWorkflow(adapter(exchange), lake, store, symbols=[BTC], timeframes=["1h"]).execute()
    assert result["errors"][0]["message"].startswith("start is missing (hint: pass start=")
