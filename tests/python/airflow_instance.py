"""A live Airflow: API server, scheduler and DAG processor, each in its own session, on SQLite."""

from __future__ import annotations

import base64
import json
import os
import secrets
import signal
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

from servers import free_port

COMPONENTS = (("api-server", "--apps", "all"), ("scheduler", "--skip-serve-logs"), ("dag-processor",))
ENDED = {"success", "failed"}


class LiveAirflow:
    """Started once per session; DAG files come from ``dags``."""

    def __init__(self, home: Path, dags: Path, **variables: str) -> None:
        self.home, self.port = home, free_port()
        base = f"http://127.0.0.1:{self.port}"
        self.url = f"{base}/api/v2"
        secret = secrets.token_hex(48)
        self.env = os.environ | {
            "AIRFLOW_HOME": str(home),
            "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
            "AIRFLOW__CORE__DAGS_FOLDER": str(dags),
            "AIRFLOW__CORE__EXECUTOR": "LocalExecutor",
            "AIRFLOW__CORE__PARALLELISM": "4",
            "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_ALL_ADMINS": "True",
            "AIRFLOW__CORE__DAGS_ARE_PAUSED_AT_CREATION": "False",
            "AIRFLOW__CORE__FERNET_KEY": base64.urlsafe_b64encode(secrets.token_bytes(32)).decode(),
            "AIRFLOW__CORE__EXECUTION_API_SERVER_URL": f"{base}/execution/",
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
        self.wait(self._healthy, 120)
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

    def trigger(self, dag: str, **conf: str) -> str:
        """Start a run of ``dag`` once it is known; the run's id."""

        def known() -> bool:
            try:
                self.call("GET", f"dags/{dag}")
            except urllib.error.HTTPError:
                return False
            return True

        self.wait(known, 90)
        return self.call("POST", f"dags/{dag}/dagRuns", {"logical_date": None, "conf": conf})["dag_run_id"]

    def task(self, dag: str, run: str) -> dict:
        """The run's one task instance."""
        return self.call("GET", f"dags/{dag}/dagRuns/{run}/taskInstances")["task_instances"][0]

    def ended(self, dag: str, run: str, seconds: float = 120) -> str:
        """How the run ended."""
        state = lambda: self.call("GET", f"dags/{dag}/dagRuns/{run}")["state"]  # noqa: E731
        self.wait(lambda: state() in ENDED, seconds)
        return state()
