"""An API server of Airflow alone, with users, passwords and a database in which runs have happened."""

from __future__ import annotations

import json
import os
import secrets
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path
from typing import NamedTuple

from servers import free_port

HERE = Path(__file__).parent
USERS = {"chief": "admin", "worker": "user", "reader": "viewer"}
PREFIX = "/desk"

DAGS = """
from airflow.sdk import DAG, task
from quant_framework.orchestration.dag_builders import BackfillDagBuilder
from quant_framework.orchestration.operators import BackfillOperator, GapDetector, FetchOHLCVOperator

BTC, ETH = "BTCUSDT_PERP.A", "ETHUSDT_PERP.A"
built = BackfillDagBuilder(
    "built", schedule=None, symbols=[BTC, ETH], timeframes=["1h"], start="2026-01-05T00:00:00Z",
    checkpoint="FOLDER_URL/checkpoints", rate_limit="FOLDER_URL/limits",
).build()
places = {
    "covered": {"checkpoint": "FOLDER_URL/checkpoints"},
    "never_run": {"checkpoint": "FOLDER_URL/nothing"},
    "database_down": {"checkpoint": "postgresql://somebody@127.0.0.1:1/nowhere"},
    "database_mute": {"checkpoint": "postgresql://somebody@127.0.0.1:MUTE/nowhere", "rate_limit_conn_id": "nowhere"},
    "bucket_refused": {"checkpoint": "s3://bucket/prefix?endpoint_url=http://127.0.0.1:1"},
    "connection_missing": {"postgres_conn_id": "nowhere"},
    "connection_known": {"postgres_conn_id": "known"},
    "templated": {"checkpoint": "file:///{{ dag.dag_id }}", "rate_limit": "file:///{{ ds }}"},
    "secret_dag": {"checkpoint": "FOLDER_URL/checkpoints"},
    "secret_results": {"checkpoint": "FOLDER_URL/checkpoints"},
}
for name, place in places.items():
    with DAG(name, schedule=None):
        BackfillOperator(task_id="fetch", symbols=[BTC, "ETH", "{{ ds }}"], timeframes=["1h"], **place)
with DAG("several", schedule=None):
    BackfillOperator(task_id="one", symbols=[BTC, ETH], timeframes=["1h"], checkpoint="FOLDER_URL/checkpoints")
    GapDetector(task_id="two", series="coinalyze/ohlcv/SOLUSDT_PERP.A/1h", checkpoint="FOLDER_URL/others")
    FetchOHLCVOperator(task_id="three", symbol="BTC", timeframe="1h")
with DAG("taskflow", schedule=None):
    @task
    def write():
        return {}
    write()
"""
SEED = """
import json, sys
from datetime import datetime, timedelta, timezone
from airflow.dag_processing.dagbag import DagBag, sync_bag_to_db
from airflow.dag_processing.bundles.manager import DagBundlesManager
from airflow.models.serialized_dag import SerializedDagModel
from airflow.models.xcom import XComModel
from airflow.utils.session import create_session
from airflow.utils.state import DagRunState, TaskInstanceState
from airflow.utils.types import DagRunTriggeredByType, DagRunType
from quant_framework.orchestration.checkpoint import open_checkpoint_store

folder, url = sys.argv[1:3]
DagBundlesManager().sync_bundles_to_db()
bag = DagBag(folder + "/dags")
assert not bag.import_errors, bag.import_errors
sync_bag_to_db(bag, "dags-folder", None)

T0, HOUR = datetime(2026, 1, 5, tzinfo=timezone.utc), timedelta(hours=1)
store = open_checkpoint_store(url + "/checkpoints")
for symbol in ("BTCUSDT_PERP.A", "ETHUSDT_PERP.A"):
    key = f"coinalyze/ohlcv/{symbol}/1h"
    store.commit_sync(key, data=[(T0, T0 + 40 * HOUR), (T0 + 50 * HOUR, T0 + 100 * HOUR)])
store.commit_sync("coinalyze/ohlcv/ETHUSDT_PERP.A/1h", empty=[(T0 + 40 * HOUR, T0 + 45 * HOUR)])

def result(*keys, rows=90, requests=3):
    series = [
        {"series": key, "start": T0.isoformat(), "end": (T0 + 100 * HOUR).isoformat(), "rows": rows, "coverage": 0.9,
         "gaps": 1, "missing_bars": 10} for key in keys
    ]
    counts = {"status": "success", "records_written": rows, "requests": requests}
    return {**counts, "series": series, "series_count": len(keys)}

def run(session, dag_id, number, states, results):
    dag = SerializedDagModel.get(dag_id, session=session).dag
    began = T0 + timedelta(days=number)
    made = dag.create_dagrun(
        run_id=f"run_{number}", run_after=began, run_type=DagRunType.MANUAL, triggered_by=DagRunTriggeredByType.TEST,
        state=DagRunState.SUCCESS, start_date=began, session=session,
    )
    made.end_date = began + timedelta(seconds=75)
    for ti in made.get_task_instances(session=session):
        ti.state = states.get(ti.map_index, TaskInstanceState.SUCCESS)
        if ti.state == TaskInstanceState.FAILED:
            ti._rendered_map_index = "<img src=x>"
    session.flush()
    for (task_id, index), value in results.items():
        XComModel.set("return_value", value, dag_id=dag_id, task_id=task_id, run_id=made.run_id, map_index=index,
                      serialize=False, session=session)

BTC, ETH = ("coinalyze/ohlcv/BTCUSDT_PERP.A/1h", "coinalyze/ohlcv/ETHUSDT_PERP.A/1h")
with create_session(scoped=False) as session:
    for number in range(25):
        run(session, "covered", number, {}, {("fetch", -1): result(BTC, ETH)})
    hostile = "coinalyze/ohlcv/<script>alert(1)</script>".replace("/script", "-script") + "/1h"
    run(session, "covered", 30, {}, {("fetch", -1): result(BTC, hostile)})
    run(session, "taskflow", 1, {}, {("write", -1): result(BTC)})
    run(session, "secret_dag", 1, {}, {("fetch", -1): result(BTC)})
    run(session, "built", 1, {1: TaskInstanceState.FAILED}, {("backfill", 0): result(BTC)})
"""


class Answer(NamedTuple):
    """Of the server."""

    status: int
    text: str
    headers: dict[str, str]
    seconds: float


class PluginServer:
    """Two workers of one API server on SQLite, reached below a path."""

    def __init__(self, folder: Path, mute: int) -> None:
        self.folder, self.port = folder, free_port()
        self.url = f"http://127.0.0.1:{self.port}{PREFIX}"
        self.passwords = {name: secrets.token_hex(8) for name in USERS}
        dags = folder / "dags"
        dags.mkdir()
        text = DAGS.replace("FOLDER_URL", folder.as_uri()).replace("MUTE", str(mute))
        (dags / "all.py").write_text(text)
        (folder / "passwords.json").write_text(json.dumps(self.passwords))
        secret = secrets.token_hex(48)
        self.env = os.environ | {
            "AIRFLOW_HOME": str(folder / "home"),
            "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
            "AIRFLOW__CORE__DAGS_FOLDER": str(dags),
            "AIRFLOW__CORE__AUTH_MANAGER": "picky_auth.PickyAuthManager",
            "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_USERS": ",".join(":".join(user) for user in USERS.items()),
            "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_PASSWORDS_FILE": str(folder / "passwords.json"),
            "AIRFLOW__API__BASE_URL": self.url,
            "AIRFLOW__API__SECRET_KEY": secret,
            "AIRFLOW__API_AUTH__JWT_SECRET": secret,
            "AIRFLOW_CONN_KNOWN": "postgresql://somebody:a-secret-of-many@127.0.0.1:1/nowhere",
            "QUANT_FRAMEWORK_CHECKPOINT": f"{folder.as_uri()}/checkpoints",
            "AWS_ACCESS_KEY_ID": "nobody",
            "AWS_SECRET_ACCESS_KEY": "another-secret-of-many",
            "PYTHONPATH": str(HERE),
        }
        self.process: subprocess.Popen | None = None
        self.log = folder / "server.log"

    def __enter__(self) -> PluginServer:
        for command in (["-m", "airflow", "db", "migrate"], ["-c", SEED, str(self.folder), self.folder.as_uri()]):
            done = subprocess.run([sys.executable, *command], env=self.env, capture_output=True, text=True, check=False)
            assert done.returncode == 0, done.stderr[-3000:]
        command = ["api-server", "--host", "127.0.0.1", "--port", str(self.port), "--workers", "2"]
        log = self.log.open("w")
        self.process = subprocess.Popen(
            [sys.executable, "-m", "airflow", *command], env=self.env, stdout=log, stderr=log, start_new_session=True
        )
        deadline = time.monotonic() + 300
        while self.get("/api/v2/version").status != 200:
            assert time.monotonic() < deadline, self.log.read_text()[-3000:]
            time.sleep(0.2)
        return self

    def __exit__(self, *_: object) -> None:
        os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()

    def get(self, path: str, **headers: str) -> Answer:
        """One answer, whatever its status; 0 where there is no server."""
        request = urllib.request.Request(self.url + path, headers=headers)
        began = time.monotonic()
        try:
            with urllib.request.urlopen(request, timeout=60) as answer:
                status, text, head = answer.status, answer.read().decode(), dict(answer.headers)
        except urllib.error.HTTPError as error:
            status, text, head = error.code, error.read().decode(), dict(error.headers)
        except OSError:
            return Answer(0, "", {}, 0)
        return Answer(status, text, {name.lower(): value for name, value in head.items()}, time.monotonic() - began)

    def token(self, user: str) -> str:
        """A token of ``user``."""
        body = json.dumps({"username": user, "password": self.passwords[user]}).encode()
        request = urllib.request.Request(
            f"{self.url}/auth/token", data=body, headers={"Content-Type": "application/json"}
        )
        with urllib.request.urlopen(request, timeout=30) as answer:
            return json.load(answer)["access_token"]
