"""Processes that commit to a checkpoint store or run a backfill, and what to compare their work with."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
import uuid
from collections.abc import Callable, Iterable
from datetime import datetime, timedelta
from pathlib import Path

import pyarrow.dataset

from checkpoint_child import START, minute
from fault_proxy import Injected
from servers import S3Address

__all__ = ["START", "minute"]

MINUTE = timedelta(minutes=1)
FOREVER = 600
"""Seconds of a pause that the test itself ends."""
FAKETIME = next(Path("/usr/lib").glob("*/faketime/libfaketimeMT.so.1"), None)
PROGRAM = Path(__file__).with_name("checkpoint_child.py")


def minutes_in(ranges: Iterable[tuple[datetime, datetime]]) -> set[int]:
    """The numbers of the minutes that ``minute`` made and a checkpoint holds."""
    return {
        (low + number * MINUTE - START) // MINUTE for low, high in ranges for number in range((high - low) // MINUTE)
    }


def rows_in(lake: Path) -> list[tuple[str, datetime]]:
    """Symbol and time of every row, sorted; a row that is there twice is here twice."""
    table = pyarrow.dataset.dataset(lake, partitioning="hive").to_table(columns=["symbol", "ts"])
    return sorted(zip(table["symbol"].to_pylist(), table["ts"].to_pylist(), strict=True))


def until(condition: Callable[[], object], what: str, seconds: float = 180) -> None:
    """Returns when ``condition`` holds; fails where it does not in time."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"not within {seconds} s: {what}"
        time.sleep(0.005)


def make_bucket(s3: S3Address) -> str:
    """The name of a new one."""
    from pyarrow.fs import S3FileSystem

    name = f"checkpoints-{uuid.uuid4().hex[:12]}"
    keys = {"access_key": s3.access_key, "secret_key": s3.secret_key, "region": s3.region}
    S3FileSystem(endpoint_override=s3.endpoint, allow_bucket_creation=True, **keys).create_dir(name)
    return name


class Child:
    """A process of ``checkpoint_child``, which waits for ``go`` once it is ready. ``said`` are its lines so far."""

    def __init__(self, function: str, *arguments: object, **environment: str) -> None:
        self.process = subprocess.Popen(
            [sys.executable, PROGRAM, function, json.dumps(arguments)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            env=os.environ | environment,
        )
        self.said: list[str] = []
        self._reading = threading.Thread(target=self._read, daemon=True)
        self._reading.start()

    def _read(self) -> None:
        for line in self.process.stdout:
            if line.endswith("\n"):  # else it was killed while it spoke
                self.said.append(line[:-1])

    @property
    def alive(self) -> bool:
        return self.process.poll() is None

    def ready(self) -> Child:
        until(lambda: self.said or not self.alive, "the process is ready")
        assert self.alive, self.complaint()
        return self

    def hours_off(self) -> float:
        """What its clock was ahead when it was ready."""
        return round((float(self.ready().said[0].removeprefix("ready ")) - time.time()) / 3600, 1)

    def go(self) -> Child:
        """Lets it begin, as soon as it is ready."""
        self.ready()
        self.process.stdin.write("go\n")
        self.process.stdin.flush()
        return self

    def committed(self, series: str) -> list[int]:
        """The minutes that it was told are durable."""
        lines = [line.split(" ") for line in list(self.said)]
        return [int(words[2]) for words in lines if words[:2] == ["committed", series]]

    def complaint(self) -> str:
        self._reading.join()
        return "\n".join([f"exit code {self.process.poll()}", *self.said[-50:]])

    def signal(self, number: int) -> None:
        self.process.send_signal(number)

    def kill(self) -> None:
        """By SIGKILL; all that it has said is known then."""
        self.signal(signal.SIGKILL)
        self.process.wait()
        self._reading.join()

    def end(self, seconds: float = 180) -> Child:
        """Lets it come to its end, which must be a good one."""
        self.process.stdin.close()
        until(lambda: not self.alive, f"it ends; last it said {self.said[-1:]}", seconds)
        assert self.process.returncode == 0, self.complaint()
        self._reading.join()
        return self

    def result(self, seconds: float = 180) -> dict:
        """Of a backfill, at its end."""
        return json.loads(self.end(seconds).said[-1].removeprefix("result "))


def checkpoint(action: str, value: float | None = None, times: int = 1, method: str = "PUT") -> Injected:
    """A fault of requests for checkpoints, not for the marker and the probe of conditional writes."""
    return Injected(action, method, match=".json", times=times, value=value)


def with_clock(setting: str | Path) -> dict[str, str]:
    """The environment of a process whose wall clock is so much ahead, as in ``+1h``; from a file, which may change."""
    name = "FAKETIME_TIMESTAMP_FILE" if isinstance(setting, Path) else "FAKETIME"
    flags = {"FAKETIME_DONT_FAKE_MONOTONIC": "1", "FAKETIME_NO_CACHE": "1"}
    return {"LD_PRELOAD": str(FAKETIME), name: str(setting), **flags}
