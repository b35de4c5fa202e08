"""Import cost, errors, signals, fork, and the end of the interpreter."""

from __future__ import annotations

import inspect
import os
import pickle
import signal
import subprocess
import sys
import textwrap
import time

import pytest

from quant_framework import errors
from quant_framework.ingestion.adapters import CoinalyzeAdapter
from quant_framework.ingestion.rate_limit import AdaptiveRateLimiter
from quant_framework.orchestration.workflows import BackfillWorkflow, IncrementalWorkflow, RepairWorkflow
from quant_framework.testing import Fault


def run(code: str, *arguments: str) -> subprocess.CompletedProcess:
    return subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code), *arguments],
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )


def test_importing_starts_nothing_and_loads_no_airflow():
    done = run(
        """
        import sys, threading, time
        began = time.process_time()
        import quant_framework
        took = time.process_time() - began
        import quant_framework.ingestion.adapters, quant_framework.ingestion.writers, quant_framework.ingestion.backfill
        import quant_framework.orchestration.ports, quant_framework.orchestration.workflows
        heavy = {"airflow", "pyarrow", "pandas", "boto3"} & set(sys.modules)
        import os
        print(len(os.listdir("/proc/self/task")), sorted(heavy), took)
        """
    )
    threads, heavy, took = done.stdout.split(" ")
    assert (threads, heavy) == ("1", "[]"), done.stderr
    # The promise is 50 ms on a quiet machine; this only catches a change of magnitude, whatever else the machine does.
    assert float(took) < 0.5


def test_the_layer_exports_what_its_parts_do_and_loads_airflow_for_those_alone_that_need_it():
    done = run(
        """
        import sys
        import quant_framework.orchestration as layer
        from quant_framework.orchestration import BackfillWorkflow, CheckpointManager, IDataAdapter
        assert "airflow" not in sys.modules
        assert set(layer.__all__) <= set(dir(layer))
        try:
            layer.Nothing
        except AttributeError as error:
            print(error)
        from quant_framework.orchestration import checkpoint, dag_builders, operators, ports, workflows
        for module in (checkpoint, dag_builders, operators, ports, workflows):
            for name in set(module.__all__) - {"Answer"}:
                assert getattr(layer, name) is getattr(module, name), name
        assert set(dag_builders.__all__) <= set(dir(dag_builders))
        """
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout == "module 'quant_framework.orchestration' has no attribute 'Nothing'\n"


@pytest.mark.parametrize("workflow", [BackfillWorkflow, IncrementalWorkflow, RepairWorkflow])
def test_the_parts_of_a_workflow_come_in_the_order_that_was_asked_for(workflow):
    known = inspect.signature(workflow).parameters.values()
    order = ["adapter", "writer", "checkpoint_store", "rate_limiter", "chunk_strategy"]
    assert [one.name for one in known if one.kind is one.POSITIONAL_OR_KEYWORD] == order


def test_each_kind_is_one_picklable_exception_under_one_base():
    classes = [cls for _, cls in inspect.getmembers(errors, inspect.isclass) if cls.__module__ == errors.__name__]
    leaves = [cls for cls in classes if cls is not errors.QuantFrameworkError]
    kinds = {"unavailable", "rate_limited", "conflict", "invalid", "data", "cancelled", "internal"}
    assert sorted(cls.kind for cls in leaves) == sorted(kinds)
    for cls in leaves:
        error = cls("what", "do this", 1_700_000_000_000)
        assert isinstance(error, errors.QuantFrameworkError)
        again = pickle.loads(pickle.dumps(error))
        assert (type(again), str(again), again.until_ms) == (cls, "what (hint: do this)", 1_700_000_000_000)


def test_a_missing_key_is_a_value_error_with_a_hint(monkeypatch):
    monkeypatch.delenv("COINALYZE_API_KEY", raising=False)
    with pytest.raises(ValueError, match=r"needs an API key .hint: .*COINALYZE_API_KEY"):
        CoinalyzeAdapter()
    monkeypatch.setenv("COINALYZE_API_KEY", "the-secret-key")
    adapter = CoinalyzeAdapter()
    assert "the-secret-key" not in repr(adapter)
    with pytest.raises(TypeError):
        pickle.dumps(adapter)


def test_a_blocking_call_obeys_signals_at_once():
    limiter = AdaptiveRateLimiter(1000, 1000, 1, windows=[(1, 60.0)])
    limiter.acquire_sync()

    def handler(*_):
        raise InterruptedError("stop")

    old = signal.signal(signal.SIGALRM, handler)
    signal.setitimer(signal.ITIMER_REAL, 0.3)
    began = time.monotonic()
    try:
        with pytest.raises(InterruptedError):
            limiter.acquire_sync()
    finally:
        signal.signal(signal.SIGALRM, old)
    assert time.monotonic() - began < 30, "long before it would have been had"


BACKFILL = """
import asyncio, os, sys, threading
from datetime import datetime, timedelta, timezone
from quant_framework.ingestion.adapters import CoinalyzeAdapter
from quant_framework.ingestion.backfill import LocalCheckpointStore
from quant_framework.ingestion.rate_limit import AdaptiveRateLimiter
from quant_framework.ingestion.writers import BronzeWriter
from quant_framework.orchestration.workflows import BackfillWorkflow
START = datetime(2026, 1, 5, tzinfo=timezone.utc)
def backfill(url, folder, days=14, **options):
    workflow = BackfillWorkflow(
        adapter=CoinalyzeAdapter(api_key="offline", base_url=url, retention=None),
        writer=BronzeWriter(folder + "/lake"), checkpoint_store=LocalCheckpointStore(folder + "/checkpoints"),
        rate_limiter=AdaptiveRateLimiter(10_000, 10_000, 1), symbols=["BTCUSDT_PERP.A"], timeframes=["1h"],
        start=START, end=START + timedelta(days=days), **options)
    class Context:
        def get_state(self, key, task_id=None): return None
        def set_state(self, key, value): pass
    return workflow, Context()
"""


def test_a_forked_child_works_after_its_parent_has_used_the_runtime(exchange, tmp_path):
    code = BACKFILL + textwrap.dedent(
        """
        url, folder = sys.argv[1:]
        for name in ("parent", "child"):
            if name == "child":
                child = os.fork()
                if child:
                    sys.exit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
            workflow, context = backfill(url, f"{folder}/{name}")
            result = asyncio.run(workflow.execute(context))
            assert result["status"] == "success", result
        """
    )
    done = run(code, exchange.url, str(tmp_path))
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "child" / "lake").is_dir()


def test_an_adapter_goes_on_in_a_forked_child(exchange):
    code = BACKFILL + textwrap.dedent(
        """
        from quant_framework.ingestion.adapters import BinanceAdapter, FetchRequest
        adapter = BinanceAdapter("spot", sys.argv[1])
        async def ask():
            request = FetchRequest("binance/ohlcv/BTCUSDT/1h", START, START + timedelta(hours=9))
            assert len(await asyncio.wait_for(adapter.fetch(request), 30)) == 9
            assert await asyncio.wait_for(adapter.resolve("ETH"), 30) == "ETHUSDT"
        asyncio.run(ask())
        child = os.fork()
        asyncio.run(ask())
        if child:
            sys.exit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
        """
    )
    done = run(code, exchange.url)
    assert done.returncode == 0, done.stderr


def test_a_forked_child_holds_no_lock_of_its_parent(tmp_path):
    code = BACKFILL + textwrap.dedent(
        """
        import threading
        store, commits = LocalCheckpointStore(sys.argv[1]), []
        ended = threading.Event()
        def commit():
            while not ended.is_set():
                at = START + timedelta(hours=2 * len(commits))
                store.commit_sync("a/ohlcv/X/1h", [(at, at + timedelta(hours=1))])
                commits.append(at)
        worker = threading.Thread(target=commit)
        worker.start()
        reader, writer = os.pipe()
        # Enough that one of them is forked while the lock is held; they live until the parent is done.
        for _ in range(50):
            if os.fork() == 0:
                os.close(writer)
                os.read(reader, 1)
                os._exit(0)
            before = len(commits)
            while len(commits) < before + 2:
                pass
        ended.set()
        worker.join()
        os.close(writer)
        """
    )
    done = run(code, str(tmp_path))
    assert done.returncode == 0, done.stderr


def test_short_runs_end_cleanly(exchange, tmp_path):
    code = BACKFILL + textwrap.dedent(
        """
        workflow, context = backfill(sys.argv[1], sys.argv[2])
        assert asyncio.run(workflow.execute(context))["status"] == "success"
        """
    )
    for number in range(10):
        done = run(code, exchange.url, str(tmp_path / str(number)))
        assert (done.returncode, done.stderr) == (0, "")


def test_a_run_killed_by_sigkill_at_random_moments_and_resumed_equals_an_undisturbed_one(exchange, tmp_path):
    code = BACKFILL + textwrap.dedent(
        """
        from quant_framework.ingestion.chunking import FixedChunkStrategy
        chunks = FixedChunkStrategy(168)
        workflow, context = backfill(sys.argv[1], sys.argv[2], days=400, concurrency=4, chunk_strategy=chunks)
        print("started", flush=True)
        result = asyncio.run(workflow.execute(context))
        sys.exit(result["status"] != "success")
        """
    )
    import pyarrow.dataset

    def rows(folder):
        table = pyarrow.dataset.dataset(folder / "lake").to_table()
        return sorted(zip(table["ts"].to_pylist(), table["close"].to_pylist(), strict=True))

    exchange.inject(Fault("latency", times=None, value=0.02))
    assert run(code, exchange.url, str(tmp_path / "calm")).returncode == 0
    kills, exchanged = 0, exchange.stats()["requests"]
    exchange.reset()
    for attempt in range(40):
        command = [sys.executable, "-c", code, exchange.url, str(tmp_path / "killed")]
        with subprocess.Popen(command, stdout=subprocess.PIPE) as process:
            process.stdout.readline()
            try:
                process.wait(0.05 + 0.03 * (attempt % 7))
            except subprocess.TimeoutExpired:
                process.send_signal(signal.SIGKILL)
                kills += 1
            if process.wait() == 0:
                break
    else:  # on a machine so busy that each got next to nothing done
        assert run(code, exchange.url, str(tmp_path / "killed")).returncode == 0
    assert kills >= 1
    assert rows(tmp_path / "killed") == rows(tmp_path / "calm")
    assert exchange.stats()["requests"] <= exchanged + 4 * kills, "only chunks in flight are asked for again"


def test_a_cancelled_await_commits_what_is_written(exchange, tmp_path):
    code = BACKFILL + textwrap.dedent(
        """
        async def main():
            workflow, context = backfill(sys.argv[1], sys.argv[2], days=400, concurrency=2)
            running = asyncio.ensure_future(workflow.execute(context))
            while not (workflow._run and workflow._run.progress()["chunks_done"] >= 3):
                await asyncio.sleep(0.01)
            running.cancel()
            try:
                await running
            except asyncio.CancelledError:
                done = workflow._run.progress()["chunks_done"]
                store = LocalCheckpointStore(sys.argv[2] + "/checkpoints")
                held = await store.load("coinalyze/ohlcv/BTCUSDT_PERP.A/1h")
                hours = sum((high - low).total_seconds() / 3600 for low, high in held.data)
                print(done, hours)
        asyncio.run(main())
        """
    )
    exchange.inject(Fault("latency", times=None, value=0.05))
    done = run(code, exchange.url, str(tmp_path))
    assert done.returncode == 0, done.stderr
    chunks, hours = (float(number) for number in done.stdout.split())
    assert chunks >= 3
    assert hours >= (chunks - 1) * 7 * 24
    assert os.path.isdir(tmp_path / "lake")
