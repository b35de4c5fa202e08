"""A live Airflow: API server, scheduler and DAG processor, each in its own session, on PostgreSQL."""

from __future__ import annotations

import base64
import json
import os
import secrets
import signal
import subprocess
import sys
import textwrap
import time
import urllib.error
import urllib.request
from pathlib import Path
from urllib.parse import urlsplit

import psutil

from quant_framework.testing import OfflineExchange
from servers import free_port

COMPONENTS = (("api-server", "--apps", "all"), ("scheduler", "--skip-serve-logs"), ("dag-processor",))
ENDED = {"success", "failed"}


class LiveAirflow:
    """Started once per session in ``folder``, with its own ``database``; its tasks ask ``exchange``."""

    def __init__(self, folder: Path, exchange: OfflineExchange, database: str, **variables: str) -> None:
        self.folder, self.exchange, self.port = folder, exchange, free_port()
        self.database = database
        self.home, self.dags = folder / "home", folder / "dags"
        self.home.mkdir()
        self.dags.mkdir()
        base = f"http://127.0.0.1:{self.port}"
        self.url = f"{base}/api/v2"
        secret = secrets.token_hex(48)
        self.env = os.environ | {
            "AIRFLOW_HOME": str(self.home),
            "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
            "AIRFLOW__CORE__DAGS_FOLDER": str(self.dags),
            "AIRFLOW__CORE__EXECUTOR": "LocalExecutor",
            "AIRFLOW__CORE__PARALLELISM": "4",
            "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_ALL_ADMINS": "True",
            "AIRFLOW__CORE__DAGS_ARE_PAUSED_AT_CREATION": "False",
            "AIRFLOW__CORE__FERNET_KEY": base64.urlsafe_b64encode(secrets.token_bytes(32)).decode(),
            "AIRFLOW__CORE__EXECUTION_API_SERVER_URL": f"{base}/execution/",
            "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": urlsplit(database)._replace(scheme="postgresql+psycopg2").geturl(),
            "AIRFLOW__API__HOST": "127.0.0.1",
            "AIRFLOW__API__PORT": str(self.port),
            "AIRFLOW__API__BASE_URL": base,
            "AIRFLOW__API__SECRET_KEY": secret,
            "AIRFLOW__API_AUTH__JWT_SECRET": secret,
            "AIRFLOW__DAG_PROCESSOR__REFRESH_INTERVAL": "5",
            "AIRFLOW__DAG_PROCESSOR__BUNDLE_REFRESH_CHECK_INTERVAL": "1",
            "AIRFLOW__DAG_PROCESSOR__MIN_FILE_PROCESS_INTERVAL": "2",
            "AIRFLOW__DAG_PROCESSOR__PARSING_PROCESSES": "1",
            "AIRFLOW__SCHEDULER__SCHEDULER_IDLE_SLEEP_TIME": "0.2",
            "COINALYZE_API_KEY": "offline",
            "QUANT_FRAMEWORK_BASE_URL": exchange.url,
            "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
            **variables,
        }
        self.processes: list[subprocess.Popen] = []

    def __enter__(self) -> LiveAirflow:
        airflow = [sys.executable, "-m", "airflow"]
        subprocess.run([*airflow, "db", "migrate"], env=self.env, check=True, capture_output=True)
        for component in COMPONENTS:
            log = (self.home / f"{component[0]}.log").open("w")
            command = [*airflow, *component]
            self.processes.append(
                subprocess.Popen(command, env=self.env, stdout=log, stderr=log, start_new_session=True)
            )
        self.wait(self._healthy, 300)
        with urllib.request.urlopen(f"http://127.0.0.1:{self.port}/auth/token", timeout=30) as answer:
            self.token = json.load(answer)["access_token"]
        return self

    def __exit__(self, *_: object) -> None:
        for process in self.processes:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()

    def _healthy(self) -> bool:
        try:
            with urllib.request.urlopen(f"{self.url}/monitor/health", timeout=10) as answer:
                health = json.load(answer)
        except OSError:
            return False
        return all(health[part]["status"] == "healthy" for part in ("metadatabase", "scheduler", "dag_processor"))

    @staticmethod
    def wait(condition, seconds: float):
        """The first true answer of ``condition``."""
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            answer = condition()
            if answer:
                return answer
            time.sleep(0.1)
        raise TimeoutError(f"{condition} was not true within {seconds} s")

    def call(self, method: str, path: str, body: dict | None = None) -> dict:
        """One call of the public API."""
        request = urllib.request.Request(
            f"{self.url}/{path}",
            method=method,
            data=None if body is None else json.dumps(body).encode(),
            headers={"Authorization": f"Bearer {self.token}", "Content-Type": "application/json"},
        )
        with urllib.request.urlopen(request, timeout=60) as answer:
            return json.load(answer)

    def add(self, name: str, text: str) -> None:
        """One more DAG file; ``FOLDER`` in it is ``folder``."""
        (self.dags / f"{name}.py").write_text(textwrap.dedent(text).replace("FOLDER", str(self.folder)))

    def trigger(self, dag: str, **conf: str) -> str:
        """Start a run of ``dag`` once it is known; the run's id."""

        def known() -> bool:
            try:
                self.call("GET", f"dags/{dag}")
            except urllib.error.HTTPError:
                return False
            return True

        self.wait(known, 240)
        return self.call("POST", f"dags/{dag}/dagRuns", {"logical_date": None, "conf": conf})["dag_run_id"]

    def task(self, dag: str, run: str, task: str = "backfill", part: str = "") -> dict:
        """A task instance of the run, or a part of it."""
        return self.call("GET", f"dags/{dag}/dagRuns/{run}/taskInstances/{task}{part}")

    def result(self, dag: str, run: str, task: str) -> object:
        """What the task returned."""
        return self.task(dag, run, task, "/xcomEntries/return_value?stringify=false")["value"]

    def logs(self, dag: str, run: str, task: str = "backfill", number: int = 1) -> str:
        """What the task's try said, as people see it."""
        return json.dumps(self.task(dag, run, task, f"/logs/{number}?full_content=true")["content"])

    def state(self, dag: str, run: str, task: str = "backfill") -> dict[str, object]:
        """What the task keeps in its state store."""
        kept = self.task(dag, run, task, "/state-store")["task_state_store"]
        return {entry["key"]: entry["value"] for entry in kept}

    def task_process(self) -> psutil.Process:
        """The forked process of the one task that runs: the youngest descendant of the scheduler."""
        scheduler = psutil.Process(self.processes[1].pid)
        return max(scheduler.children(recursive=True), key=lambda process: process.create_time())

    @staticmethod
    def gone(process: psutil.Process) -> bool:
        """Whether it has ended, be it buried or not."""
        try:
            return not process.is_running() or process.status() == psutil.STATUS_ZOMBIE
        except psutil.NoSuchProcess:
            return True

    def ended(self, dag: str, run: str, seconds: float = 300) -> str:
        """How the run ended."""
        state = lambda: self.call("GET", f"dags/{dag}/dagRuns/{run}")["state"]  # noqa: E731
        self.wait(lambda: state() in ENDED, seconds)
        return state()
