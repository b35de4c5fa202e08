"""Where fetched rows are staged: beside the lake, in S3, under any run and task id; what is swept; a real DAG run."""

from __future__ import annotations

import itertools
import json
import os
import subprocess
import sys
from datetime import datetime, timedelta, timezone
from pathlib import Path
from types import SimpleNamespace
from urllib.parse import unquote, urlsplit

import pyarrow.dataset
import pytest
from airflow.sdk import DAG
from airflow.sdk.exceptions import AirflowException, AirflowFailException
from pyarrow.fs import FileSelector, S3FileSystem

from conftest import END, START
from orchestration_runs import BTC, ETH, HOURS, KEY, Xcoms, execute, had, known, run_dag, span, stored
from quant_framework import settings
from quant_framework.airflow.staging import task_stage
from quant_framework.errors import InvalidError, UnavailableError
from quant_framework.ingestion.backfill import MinIOCheckpointStore
from quant_framework.ingestion.writers import BronzeWriter
from quant_framework.orchestration.operators import FetchOHLCVOperator, WriteBronzeOperator
from quant_framework.orchestration.tasks.fetch_tasks import Stage, segment
from quant_framework.testing import OfflineExchange

pytest_plugins = ["orchestration_fixtures"]

BUCKETS = itertools.count(1)


def chain(fetch: dict | None = None, write: dict | None = None) -> DAG:
    with DAG("flow") as dag:
        fetching = FetchOHLCVOperator(task_id="fetch", symbol=BTC, timeframe="1h", **(span() | (fetch or {})))
        fetching >> WriteBronzeOperator(task_id="write", **(write or {}))
    return dag


@pytest.fixture
def files(s3) -> S3FileSystem:
    options = {"endpoint_override": s3.endpoint, "allow_bucket_creation": True, "region": s3.region}
    return S3FileSystem(access_key=s3.access_key, secret_key=s3.secret_key, **options)


@pytest.fixture
def bucket(files) -> str:
    name = f"staging-{os.environ.get('PYTEST_XDIST_WORKER', 'main')}-{os.getpid()}-{next(BUCKETS)}"
    files.create_dir(name)
    return name


@pytest.fixture
def bare(home, monkeypatch) -> None:
    """No keys of an S3 server in the environment."""
    for name in list(os.environ):
        if name.startswith(("AWS_", "MINIO_", "AIRFLOW_CONN_")):
            monkeypatch.delenv(name)


@pytest.fixture(params=["connection", "environment"])
def said(request, bare, s3, monkeypatch) -> dict[str, str]:
    """Arguments of both operators; the server and its keys come from a connection or from the environment."""
    if request.param == "environment":
        monkeypatch.setenv("AWS_ENDPOINT_URL", s3.endpoint)
        monkeypatch.setenv("AWS_ACCESS_KEY_ID", s3.access_key)
        monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", s3.secret_key)
        return {}
    extra = {"endpoint_url": s3.endpoint, "region_name": s3.region}
    conn = {"conn_type": "aws", "login": s3.access_key, "password": s3.secret_key, "extra": extra}
    monkeypatch.setenv("AIRFLOW_CONN_LAKE", json.dumps(conn))
    return {"minio_conn_id": "lake"}


def names(files: S3FileSystem, place: str) -> list[str]:
    found = files.get_file_info(FileSelector(place, recursive=True, allow_not_found=True))
    return sorted(info.path for info in found if info.is_file)


def test_lake_staging_and_checkpoints_in_s3(said, files, bucket, s3, exchange):
    place = f"s3://{bucket}/data"
    options = said | {"lake": f"{place}/bronze", "checkpoint": f"{place}/checkpoints"}
    xcoms = run_dag(chain(options, options))
    assert xcoms["fetch"][-1]["stage"].startswith(f"{place}/staging/staged=")
    assert s3.secret_key not in json.dumps(xcoms)
    table = pyarrow.dataset.dataset(f"{bucket}/data/bronze", filesystem=files).to_table().sort_by("ts")
    columns = [table["ts"].cast("int64").to_pylist(), table["close"].to_pylist()]
    bars = had(exchange, BTC)
    assert list(zip(*columns, strict=True)) == [(row[1], row[5]) for row in bars]
    keys = {"endpoint_url": s3.endpoint, "access_key": s3.access_key, "secret_key": s3.secret_key}
    held = MinIOCheckpointStore(bucket, "data/checkpoints", **keys).load_sync(KEY)
    assert (held.data, held.empty) == ([(START, END)], [])
    asked, before = exchange.stats()["requests"], names(files, bucket)
    again = run_dag(chain(options, options))
    assert (again["write"][-1]["records_written"], exchange.stats()["requests"]) == (0, asked)
    assert names(files, bucket) == before


@pytest.mark.parametrize("gone", ["object", "checkpoint"])
def test_what_is_gone_from_s3_is_an_error(gone, said, files, bucket, exchange):
    options = said | {"lake": f"s3://{bucket}/data/bronze", "checkpoint": f"s3://{bucket}/data/checkpoints"}
    dag, xcoms = chain(options, options), Xcoms()
    fetch, write = dag.topological_sort()
    execute(fetch, xcoms)
    ending = ".parquet" if gone == "object" else "1h.json"
    staged = [name for name in names(files, f"{bucket}/data/staging") if name.endswith(ending)]
    files.delete_file(staged[0])
    with pytest.raises(AirflowException, match=r"gone|nothing is staged any more"):
        execute(write, xcoms)
    if gone == "checkpoint":
        assert names(files, f"{bucket}/data/bronze") == names(files, f"{bucket}/data/checkpoints") == []


def test_a_lake_in_a_bucket_of_its_own_needs_another_place_for_staging(said, files, bucket, home, exchange):
    says = "nothing lies beside the lake s3://{}.*set staging= or QUANT_FRAMEWORK_STAGING"
    for lake in (f"s3://{bucket}", f"s3://{bucket}/"):
        with pytest.raises(AirflowFailException, match=says.format(bucket)):
            run_dag(chain(said | {"lake": lake}))
    assert exchange.stats()["requests"] == 0
    other = f"s3://{bucket}-staging"
    files.create_dir(other.removeprefix("s3://"))
    run_dag(chain(said | {"staging": other}, said | {"lake": f"s3://{bucket}", "checkpoint": f"{other}/checkpoints"}))
    table = pyarrow.dataset.dataset(bucket, filesystem=files).to_table()
    assert table.num_rows == HOURS
    staged = {name.split("/")[1].partition("=")[0] for name in names(files, f"{bucket}-staging")}
    assert staged == {"staged", "checkpoints"}


def test_a_wrong_key_is_said_and_the_key_is_not(bare, s3, bucket, monkeypatch, exchange):
    extra = {"endpoint_url": s3.endpoint}
    conn = {"conn_type": "aws", "login": s3.access_key, "password": "geheimes-wort", "extra": extra}
    monkeypatch.setenv("AIRFLOW_CONN_LAKE", json.dumps(conn))
    options = {"minio_conn_id": "lake", "lake": f"s3://{bucket}/bronze", "checkpoint": f"s3://{bucket}/checkpoints"}
    with pytest.raises(AirflowException) as failed:
        run_dag(chain(options, options))
    assert "geheim" not in str(failed.value) + repr(failed.value.__cause__)
    assert exchange.stats()["requests"] == 0


@pytest.mark.parametrize("url", ["s3://key:geheim@bucket/staging", "https://key:geheim@host/staging"])
def test_a_password_in_the_staging_url_is_refused_at_parse_time(url):
    with pytest.raises(InvalidError, match="staging holds a password") as refused:
        FetchOHLCVOperator(task_id="fetch", symbol=BTC, timeframe="1h", staging=url)
    assert "geheim" not in str(refused.value)


@pytest.mark.parametrize("way", ["argument", "environment", "lake"])
def test_the_staging_place_may_be_said(way, home, exchange, tmp_path, monkeypatch):
    place, options = (tmp_path / "elsewhere").as_uri(), {}
    if way == "argument":
        options = {"staging": "{{ params.place }}"}
    elif way == "environment":
        monkeypatch.setenv("QUANT_FRAMEWORK_STAGING", place + "/")
    else:
        options, place = {"lake": (tmp_path / "other" / "bronze").as_uri()}, (tmp_path / "other" / "staging").as_uri()
    xcoms = run_dag(chain(options), params={"place": place})
    assert xcoms["fetch"][-1]["stage"].startswith(f"{place}/staged=")
    assert not (home / "lake" / "staging").exists()
    assert stored(home / "lake" / "bronze") == had(exchange, BTC)


IDS = [
    "plain",
    "a/b",
    "a_b",
    "..",
    ".",
    "../..",
    "../../../x",
    "a:b+c",
    "a b",
    "ä",
    "ö",
    "staged=2020-01-01",
    "%2e%2e",
    "~",
]
LONG = ["x" * 250, "ü" * 250, "y/" * 125]


def opened(url: str) -> Path:
    """The folder that a URL opens: steps in it are taken."""
    return Path(os.path.normpath(unquote(urlsplit(url).path)))


def stages(root: str, ids: list[str]) -> dict[tuple[str, str], str]:
    run = SimpleNamespace(run_after=datetime.now(timezone.utc))
    found = {}
    for run_id, task_id in itertools.product(ids, ids):
        ti = SimpleNamespace(dag_id=task_id, run_id=run_id, task_id=task_id, map_index=-1)
        found[run_id, task_id] = task_stage(root, {"ti": ti, "dag_run": run}).url
    return found


def test_no_id_leaves_the_staging_place_and_no_two_share_a_folder(home, tmp_path):
    """Airflow allows a task ``..``; the path of a URL is put straight when it is opened."""
    root = tmp_path / "staging"
    found = {ids: opened(url) for ids, url in stages(root.as_uri(), IDS).items()}
    outside = {ids: path for ids, path in found.items() if not path.is_relative_to(root / f"staged={day(0)}")}
    assert not outside
    assert len(set(found.values())) == len(IDS) ** 2


@pytest.mark.parametrize("name", [*IDS, *LONG], ids=lambda name: name[:12])
def test_rows_staged_under_any_id_are_found_again(name, home, exchange):
    xcoms = Xcoms()
    fetch, write = chain({"end": START + timedelta(days=1)}).topological_sort()
    execute(fetch, xcoms, run_id=name)
    assert execute(write, xcoms, run_id=name)["records_written"] == 24
    staged = list((home / "lake" / "staging").rglob("*.parquet"))
    assert len(staged) == 1
    assert not [path for path in home.parent.rglob("*.parquet") if not path.is_relative_to(home)]


@pytest.mark.parametrize(("one", "two"), itertools.combinations(["a/b", "a_b", "a b", "a?b", "a\\b", "ä", "ö", "_"], 2))
def test_segments_do_not_collide(one, two):
    assert segment(one) != segment(two)


@pytest.mark.parametrize("name", ["..", ".", "a/../b", "..."])
def test_a_segment_is_never_a_step(name):
    assert "/" not in segment(name)
    assert segment(name) not in ("", ".", "..")


def files_in(folder: Path) -> set[str]:
    return {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}


def day(days: int) -> str:
    return (datetime.now(timezone.utc).date() - timedelta(days=days)).isoformat()


def test_the_sweep_removes_old_dates_and_nothing_else(home, exchange, tmp_path):
    root = home / "lake" / "staging"
    old = [
        f"staged={day(8)}/dag/run/fetch/-1/x.parquet",
        f"staged={day(400)}/dag/_checkpoints/a/b.json",
        "staged=2020-01-01/x",
    ]
    kept = [
        f"staged={day(7)}/dag/run/x.parquet",
        f"staged={day(-1)}/dag/x",
        "notes.txt",
        "stagedly/x",
        "other/staged=2020-01-01/x",
        "xstaged=2020-01-01/x",
        "staged/x",
    ]
    for name in [*old, *kept]:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text("rows")
    beside = {name for name in files_in(home) if not name.startswith("lake/staging/")}
    run_dag(chain())
    assert not files_in(root) & set(old)
    assert set(kept) <= files_in(root)
    assert beside <= files_in(home)


def test_the_sweep_leaves_an_authors_own_folders_alone(tmp_path, home, exchange):
    """The staging place of an author may lie in a folder of its own date."""
    archive = tmp_path / "archive" / "staged=2020-01-01"
    archive.mkdir(parents=True)
    (archive / "precious.parquet").write_text("rows")
    run_dag(chain({"staging": f"file://{archive}/staging"}))
    assert (archive / "precious.parquet").exists()
    assert stored(home / "lake" / "bronze") == had(exchange, BTC)


def test_a_place_that_cannot_be_listed_costs_nothing(home, exchange, caplog):
    class Blind(BronzeWriter):
        def tidy(self, path, oldest):
            raise UnavailableError("listing is not allowed")

    class Odd(FetchOHLCVOperator):
        def build_stage(self, context):
            return Stage.of((home / "blind").as_uri(), ["a"], Blind)

    fetch = Odd(task_id="fetch", symbol=BTC, timeframe="1h", **span())
    assert execute(fetch, Xcoms())["bars"] == HOURS
    assert "cannot be listed: listing is not allowed" in caplog.text


@pytest.mark.parametrize("url", ["file:///lake/staging", "s3://bucket/x", "", "staged=2026-01-01/x"])
def test_what_is_no_stage_is_named(url):
    with pytest.raises(InvalidError, match="is not the address of staged rows"):
        Stage(url)


def test_the_place_beside_a_lake(monkeypatch):
    monkeypatch.delenv("QUANT_FRAMEWORK_STAGING", raising=False)
    for lake, place in {
        "s3://b/bronze": "s3://b/staging",
        "s3://b/x/bronze/": "s3://b/x/staging",
        "/data/bronze": "/data/staging",
        "file:///data/bronze": "file:///data/staging",
    }.items():
        assert settings.staging_url(lake) == place
    for lake in ("s3://b", "s3://b/", "file:///", "/"):
        with pytest.raises(InvalidError, match="nothing lies beside the lake"):
            settings.staging_url(lake)


PROGRAM = f"""
import json
from airflow.sdk import DAG, task, task_group
from quant_framework.orchestration.operators import FetchOHLCVOperator, WriteBronzeOperator
from quant_framework.orchestration.workflows import AirflowWorkflowContext
SPAN = {{"start": "{START.isoformat()}", "end": "{END.isoformat()}", "adapter_options": {{"retention": None}}}}
class Write(WriteBronzeOperator):
    def summarize(self, result):
        with open("FOLDER/grouped.jsonl", "a") as file:
            print(json.dumps([one["series"] for one in result["series"]]), file=file)
        return super().summarize(result)
def places(name):
    return {{"lake": f"file://FOLDER/{{name}}/bronze", "checkpoint": f"file://FOLDER/{{name}}/checkpoints"}}
def fetch(name, **more):
    options = {{"task_id": "fetch", "timeframe": "1h", **SPAN, **places(name)}} | more
    return FetchOHLCVOperator.partial(**options) if "symbol" not in more else FetchOHLCVOperator(**options)
with DAG("chained", schedule=None) as chained:
    fetch("chained", symbol="BTC") >> WriteBronzeOperator(task_id="write", **places("chained"))
with DAG("mapped", schedule=None) as mapped:
    fetch("mapped").expand(symbol=["BTC", "ETH"]) >> WriteBronzeOperator(task_id="write", **places("mapped"))
with DAG("output", schedule=None) as output:
    fetched = fetch("output").expand(symbol=["BTC", "ETH"])
    WriteBronzeOperator(task_id="write", staged=fetched.output, **places("output"))
with DAG("each", schedule=None) as each:
    WriteBronzeOperator.partial(task_id="write", **places("each")).expand(
        staged=fetch("each").expand(symbol=["BTC", "ETH"]).output
    )
with DAG("grouped", schedule=None) as grouped:
    @task_group
    def one(symbol):
        fetch("grouped", symbol=symbol) >> Write(task_id="write", **places("grouped"))
    one.expand(symbol=["BTC", "ETH"])
with DAG("stateful", schedule=None) as stateful:
    @task
    def keep(number, ti=None):
        context = AirflowWorkflowContext(ti=ti, params={{"number": "param"}})
        states = [context.get_state("number"), AirflowWorkflowContext(ti=ti).get_state("number")]
        context.set_state("number", number)
        states += [context.get_state("number"), AirflowWorkflowContext(ti=ti).get_state("number")]
        with open("FOLDER/stateful.jsonl", "a") as file:
            print(json.dumps(states), file=file)
    @task
    def look(ti=None):
        with open("FOLDER/stateful.jsonl", "a") as file:
            print(json.dumps(list(AirflowWorkflowContext(ti=ti).get_state("number", "keep"))), file=file)
    keep.expand(number=[1, 2]) >> look()
if __name__ == "__main__":
    for dag in (chained, mapped, output, each, grouped, stateful):
        run = dag.test()
        for ti in run.get_task_instances():
            print("ENDED", json.dumps([dag.dag_id, ti.task_id, ti.map_index, ti.state]), flush=True)
"""


@pytest.fixture(scope="module")
def ran(tmp_path_factory) -> tuple[Path, list, OfflineExchange]:
    """Five DAGs through Airflow's own ``dag.test()``, in a process with an Airflow of its own."""
    folder = tmp_path_factory.mktemp("ran")
    (folder / "dags").mkdir()
    program = folder / "dags" / "flows.py"
    program.write_text(PROGRAM.replace("FOLDER", str(folder)))
    with OfflineExchange(limit=None) as exchange:
        environment = os.environ | {
            "AIRFLOW_HOME": str(folder / "airflow"),
            "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
            "AIRFLOW__CORE__DAGS_FOLDER": str(folder / "dags"),
            "QUANT_FRAMEWORK_BASE_URL": exchange.url,
            "COINALYZE_API_KEY": "offline",
        }
        options = {"env": environment, "capture_output": True, "text": True, "check": False, "timeout": 300}
        migrated = subprocess.run([sys.executable, "-m", "airflow", "db", "migrate"], **options)
        assert migrated.returncode == 0, migrated.stderr[-3000:]
        done = subprocess.run([sys.executable, str(program)], **options)
        lines = [json.loads(line[6:]) for line in done.stdout.splitlines() if line.startswith("ENDED ")]
        assert lines, done.stdout[-3000:] + done.stderr[-3000:]
        yield folder, lines, exchange


@pytest.mark.xdist_group("ran")
def test_each_instance_of_a_mapped_task_has_its_own_state(ran):
    folder, lines, _ = ran
    assert {state for dag, *_, state in lines if dag == "stateful"} == {"success"}
    states = [json.loads(line) for line in (folder / "stateful.jsonl").read_text().splitlines()]
    *instances, both = states
    assert sorted(instances, key=str) == [["param", None, 1, 1], ["param", None, 2, 2]], "in any order"
    assert both == [1, 2]


@pytest.mark.xdist_group("ran")
@pytest.mark.parametrize("name", ["chained", "mapped", "output", "each", "grouped"])
def test_airflow_runs_it(name, ran):
    folder, lines, exchange = ran
    assert {state for dag, *_, state in lines if dag == name} == {"success"}
    symbols = [BTC] if name == "chained" else [BTC, ETH]
    assert stored(folder / name / "bronze") == [row for symbol in symbols for row in had(exchange, symbol)]
    for symbol in symbols:
        key = f"coinalyze/ohlcv/{symbol}/1h"
        assert known(folder / name, key).data == [(START, END)]


@pytest.mark.xdist_group("ran")
def test_a_write_in_a_mapped_group_takes_what_its_own_group_has_fetched(ran):
    """All writes of a group wrote what all its fetches had staged: twice the work, and claims that meet."""
    written = [json.loads(line) for line in (ran[0] / "grouped.jsonl").read_text().splitlines()]
    assert sorted(written) == [[f"coinalyze/ohlcv/{BTC}/1h"], [f"coinalyze/ohlcv/{ETH}/1h"]]
