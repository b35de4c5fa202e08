"""The page behind the tab Coverage, through a real API server: who may see it, what it says, what it costs others."""

from __future__ import annotations

import json
import os
import socket
import statistics
import subprocess
import sys
import textwrap
import threading
from pathlib import Path

import psutil
import pytest

from browser import chromium, opened
from plugin_server import PREFIX, Answer, PluginServer
from quant_framework.airflow._server.dags import Task, expanded, keys_of
from quant_framework.airflow._server.places import Place, Quota, named
from quant_framework.airflow.plugin import is_shown

__all__ = ["chromium"]
pytestmark = pytest.mark.timeout(1200)

PAGE = "/quant-framework/coverage"
BTC = "coinalyze/ohlcv/BTCUSDT_PERP.A/1h"
SERVED = pytest.mark.xdist_group("plugin")


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    """Started once; a server that accepts and never answers stands in for a database that hangs."""
    with (
        socket.create_server(("127.0.0.1", 0)) as mute,
        PluginServer(tmp_path_factory.mktemp("server"), mute.getsockname()[1]) as server,
    ):
        server.idle = native_threads(server)
        server.tokens = {user: server.token(user) for user in server.passwords}
        yield server


def native_threads(server: PluginServer) -> dict[int, bool]:
    """Which processes of the server have threads of the core."""

    def name(thread: Path) -> str:
        try:
            return thread.read_text()
        except OSError:  # it has just ended
            return ""

    workers = psutil.Process(server.process.pid).children(recursive=True)
    threads = {worker.pid: list(Path(f"/proc/{worker.pid}/task").glob("*/comm")) for worker in workers}
    return {pid: any(name(one).startswith("quant-framework") for one in held) for pid, held in threads.items()}


def get(server: PluginServer, dag_id: str, user: str | None = "reader", options: str = "") -> Answer:
    headers = {"Authorization": f"Bearer {server.tokens[user]}"} if user else {}
    return server.get(f"{PAGE}?dag_id={dag_id}{options}", **headers)


def fresh(tmp_path: Path, *command: str, **variables: str) -> subprocess.CompletedProcess:
    environment = os.environ | {"AIRFLOW_HOME": str(tmp_path), "AIRFLOW__CORE__LOAD_EXAMPLES": "False"} | variables
    done = subprocess.run(
        [sys.executable, *command], env=environment, capture_output=True, text=True, timeout=300, check=False
    )
    assert done.returncode == 0, done.stderr
    return done


IMPORTED = textwrap.dedent(
    """
    import json, sys, threading, time
    import airflow.plugins_manager
    known, threads, began = set(sys.modules), threading.active_count(), time.process_time()
    from quant_framework.airflow.plugin import QuantFrameworkPlugin as plugin
    took = time.process_time() - began
    print(json.dumps({
        "modules": sorted(name for name in set(sys.modules) - known), "took": took,
        "threads": threading.active_count() - threads, "views": plugin.external_views, "apps": len(plugin.fastapi_apps),
        "core": "quant_framework._core" in sys.modules,
    }))
    """
)


def test_loading_the_plugin_costs_next_to_nothing(tmp_path):
    """Measured: 0.8 ms. Every Airflow process does it, each command too."""
    seen = json.loads(fresh(tmp_path, "-c", IMPORTED).stdout)
    ours = {"quant_framework", "quant_framework.errors", "quant_framework.airflow"}
    ours |= {f"quant_framework.airflow.{name}" for name in ("config", "plugin")}
    assert set(seen["modules"]) <= ours
    assert (seen["core"], seen["threads"], seen["apps"]) == (False, 0, 1)
    assert seen["took"] < 0.25


def test_it_can_be_switched_off(tmp_path):
    off = json.loads(fresh(tmp_path, "-c", IMPORTED, AIRFLOW__QUANT_FRAMEWORK__COVERAGE_PAGE="False").stdout)
    assert (off["views"], off["apps"]) == ([], 0)


def test_an_older_airflow_gets_nothing():
    versions = ("2.11.2", "3.0.6", "3.1.0", "3.1.2", "3.1.3", "3.1.8", "3.2.0rc1", "3.3.2", "3.4.0b2", "4.0.0")
    assert [version for version in versions if not is_shown(version)] == ["2.11.2", "3.0.6", "3.1.0", "3.1.2"]


@pytest.mark.parametrize("lazy", ["True", "False"])
def test_airflow_lists_it_once_whatever_it_reads_of_providers(tmp_path, lazy):
    done = fresh(tmp_path, "-m", "airflow", "plugins", "-o", "json", AIRFLOW__CORE__LAZY_DISCOVER_PROVIDERS=lazy)
    listed = json.loads(done.stdout[done.stdout.index("[") :])
    [ours] = [row for row in listed if row["name"] == "quant_framework"]
    assert "quant-framework==" in ours["source"]
    assert "'quant_framework' already registered" not in done.stdout + done.stderr


@SERVED
def test_nobody_without_a_token_sees_anything(server):
    for answer in (get(server, "covered", None), get(server, "nowhere", None), get(server, "secret_dag", None)):
        assert (answer.status, "Not authenticated" in answer.text) == (401, True)
    wrong = server.get(f"{PAGE}?dag_id=covered", Authorization="Bearer nonsense")
    assert (wrong.status, "covered" in wrong.text) == (403, False)


@SERVED
@pytest.mark.parametrize("user", ["chief", "worker", "reader"])
def test_who_may_read_the_dag_sees_it_with_token_or_cookie(server, user):
    cookie = server.get(f"{PAGE}?dag_id=covered", Cookie=f"_token={server.tokens[user]}")
    for answer in (get(server, "covered", user), cookie):
        assert (answer.status, BTC in answer.text) == (200, True)


@SERVED
@pytest.mark.parametrize("user", ["worker", "reader"])
def test_rights_are_those_of_the_very_dag(server, user):
    assert get(server, "secret_dag", "chief").status == 200
    for dag_id in ("secret_dag", "secret_results", "covered&dag_id=secret_dag"):
        answer = get(server, dag_id, user)
        assert (answer.status, "PERP" in answer.text) == (403, False), dag_id
    last = get(server, "secret_dag&dag_id=covered", user)
    assert (last.status, "Coverage of covered" in last.text, "secret_dag" in last.text) == (200, True, False)


@SERVED
def test_questions_without_an_answer(server):
    hostile = get(server, "%3Cscript%3Ealert(1)%3C/script%3E")
    assert (hostile.status, "<script" in hostile.text, "&lt;script&gt;" in hostile.text) == (404, False, True)
    assert [get(server, dag_id).status for dag_id in ("nowhere", "~", "", "x" * 251)] == [404, 404, 400, 400]
    headers = {"Authorization": f"Bearer {server.tokens['reader']}"}
    assert server.get(PAGE, **headers).status == 400
    assert [server.get(f"/quant-framework/{path}", **headers).status for path in ("", "docs", "openapi.json")] == [
        404
    ] * 3


@SERVED
@pytest.mark.parametrize(("dag_id", "status"), [("covered", 200), ("secret_dag", 403), ("nowhere", 404), ("", 400)])
def test_every_answer_is_protected(server, dag_id, status):
    answer = get(server, dag_id)
    assert answer.status == status
    policy = answer.headers["content-security-policy"]
    assert policy.startswith("default-src 'none'; style-src 'unsafe-inline'; img-src data:;")
    assert "frame-ancestors 'self'" in policy
    assert "script-src" not in policy
    assert answer.headers["cache-control"] == "no-store"
    assert answer.headers["x-content-type-options"] == "nosniff"


@SERVED
def test_series_holes_and_the_last_runs(server):
    text = get(server, "covered").text
    assert "2026-01-05 00:00 to 2026-01-09 04:00 UTC" in text, (
        "without a schedule nothing is expected after the last run"
    )
    for wanted in (BTC, "unresolved", "never asked", "40 in 60 s", "run_30", "1 min 15 s", "1 success"):
        assert wanted in text
    assert text.count("run_") == 2 * 20, "each with a link"
    assert f'href="{PREFIX}/dags/covered/runs/run_30"' in text
    assert "/dags/" not in get(server, "covered", options="&framed=true").text


@SERVED
def test_what_tasks_returned_is_text(server):
    """Keys of series and labels of mapped tasks may hold anything."""
    for dag_id in ("covered", "built"):
        text = get(server, dag_id).text
        assert [tag for tag in ("<script", "<img") if tag in text] == []
    assert "&lt;img src=x&gt;" in text
    assert "1 failed, 1 success" in text


@SERVED
@pytest.mark.parametrize(
    ("dag_id", "said"),
    [
        ("database_down", "no answer within 5 s"),
        ("database_mute", "no answer within 5 s"),
        ("connection_known", "no answer within 5 s"),
        ("bucket_refused", "Connection refused"),
        ("connection_missing", "there is no connection &#39;nowhere&#39;"),
        ("templated", "Named by a template, which only a run can fill in"),
    ],
)
def test_a_place_that_cannot_be_read_costs_only_its_own_part(server, dag_id, said):
    answer = get(server, dag_id)
    assert answer.status == 200
    assert answer.seconds < 20
    assert said in answer.text
    for section in ("Checkpoints", "Rate limits", "Last runs", "This DAG has not run yet."):
        assert section in answer.text
    assert "secret-of-many" not in answer.text
    assert "secret-of-many" not in server.log.read_text()


@SERVED
def test_nobody_else_waits_for_a_database_that_hangs(server):
    pages = [threading.Thread(target=get, args=(server, "database_mute")) for _ in range(6)]
    for page in pages:
        page.start()
    quick = []
    while any(page.is_alive() for page in pages):
        quick.append(server.get("/api/v2/version"))
    for page in pages:
        page.join()
    assert {answer.status for answer in quick} == {200}
    # Each would take five seconds; on a busy machine a few may take some.
    assert statistics.median(answer.seconds for answer in quick) < 4


@SERVED
def test_each_worker_starts_the_core_at_its_first_page(server):
    assert not any(server.idle.values()), "nothing runs before somebody asks"
    for _ in range(300):
        assert get(server, "several").status == 200
        if sum(native_threads(server).values()) == 2:
            return
    pytest.fail(f"not both workers: {native_threads(server)}")


@SERVED
def test_a_dag_that_has_not_run_and_one_that_is_not_ours(server):
    text = get(server, "never_run").text
    assert BTC in text, "a name that is exact is known before a run"
    assert "This DAG has not run yet." in text
    flow = get(server, "taskflow").text
    assert BTC in flow
    assert "the default of the API server: file:///" in flow


@SERVED
def test_several_places_each_have_their_own_map(server):
    first, second = (get(server, "several", options=f"&framed=true&place={place}").text for place in (0, 1))
    assert ("SOLUSDT_PERP.A" in first, "SOLUSDT_PERP.A" in second) == (False, True)
    assert 'href="coverage?framed=true&amp;dag_id=several&amp;place=1"' in first
    assert "SOL" not in get(server, "several", options="&place=9").text


@SERVED
def test_with_a_password_in_a_browser(server, chromium):
    """Nothing before signing in, then the page of one DAG, and not that of another."""
    with opened(chromium) as (page, seen):
        assert page.goto(f"{server.url}{PAGE}?dag_id=covered").status == 401
        page.goto(f"{server.url}/dags/covered")
        page.wait_for_url("**/auth/login**")
        page.get_by_label("Username").fill("reader")
        page.locator("input[type=password]").fill(server.passwords["reader"])
        page.locator("button[type=submit]").click()
        page.wait_for_url("**/dags/covered**")
        page.get_by_role("link", name="Coverage").click()
        frame = page.frame_locator("iframe[title=Coverage]")
        frame.get_by_role("heading", name="Coverage of covered").wait_for()
        assert page.goto(f"{server.url}{PAGE}?dag_id=secret_dag").status == 403
        assert page.locator("body").inner_text() == "You may not read this DAG."
        assert seen.foreign(f"http://127.0.0.1:{server.port}") == []


def task(**arguments) -> tuple[Task, dict]:
    """A task that is not mapped, and its arguments."""
    return Task("t", frozenset(arguments), (arguments,), False), arguments


def test_names_are_keys_only_where_the_source_looks_nothing_up():
    asked = {"symbols": ["BTCUSDT_PERP.A", "BTC", "{{ ds }}"], "timeframes": ["1h"], "data_types": ["ohlcv"]}
    assert list(named(*task(**asked))) == [BTC]
    assert list(named(*task(**asked, source="ccxt"))) == []
    spot = {"symbols": ["BTCUSDT"], "timeframes": ["1d"], "source": "binance"}
    assert list(named(*task(**spot))) == [], "Airflow does not keep which market it is"
    mapped = Task("t", frozenset(spot), (spot,), True)
    assert list(named(mapped, spot)) == ["binance/ohlcv/BTCUSDT/1d"]
    assert list(named(*task(series=BTC))) == list(named(*task(series=[BTC, "a/b"]))) == [BTC]


def test_mapped_arguments_are_those_that_are_written_down():
    assert list(expanded([{"a": 1}, {"a": 2}])) == [{"a": 1}, {"a": 2}]
    assert list(expanded({"a": [1, 2], "b": [3], "c": object()})) == [{"a": 1, "b": 3}, {"a": 2, "b": 3}]
    assert list(expanded(object())) == [{}]


def test_results_name_series_in_several_ways():
    assert keys_of({"series": BTC}) == keys_of({"series": [BTC]}) == keys_of({"series": [{"series": BTC}]}) == [BTC]
    assert [keys_of({"series": said}) for said in (None, 7, "BTC", [None, {}], {"series": BTC})] == [[]] * 5


def test_places_are_shown_without_secrets():
    assert str(Place("postgresql://me:secret@db:5432/name?password=x")) == "postgresql://db:5432/name"
    assert str(Place("s3://bucket/prefix", "minio", "pg")) == "s3://bucket/prefix, connection minio, connection pg"
    assert str(Place()) == "the default of the API server"
    assert str(Quota("coinalyze", "postgresql://me:secret@db/limits", None, False)) == "postgresql://db/limits"
    assert Quota("binance", None, "pg", False).windows == "6,000 in 60 s of the clock"
