"""The decorator, the link and the lineage, without a scheduler."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
from datetime import timedelta

import pytest
from airflow.providers.openlineage.extractors import OperatorLineage
from airflow.sdk import DAG, task
from airflow.sdk.exceptions import AirflowFailException, AirflowRescheduleException

from conftest import END, START
from quant_framework.airflow.lineage import dataset_name, facets
from quant_framework.airflow.links import LakeLink
from quant_framework.orchestration.operators import BackfillOperator
from quant_framework.testing import Fault
from test_operator import TaskInstance

FOLDER = "s3://bucket/bronze/source=coinalyze/dataset=ohlcv"
BTC, ETH = (f"{FOLDER}/symbol={name}USDT_PERP.A/timeframe=1h" for name in ("BTC", "ETH"))
STRANGE = f"{FOLDER}/symbol=BTC%2FUSDT/timeframe=1h"
BROWSER = "https://console/browse/{bucket}/{prefix}"


@pytest.fixture(autouse=True)
def environment(exchange, tmp_path, monkeypatch):
    for name in list(os.environ):
        if name.startswith(("QUANT_FRAMEWORK_", "AIRFLOW__QUANT_FRAMEWORK__")):
            monkeypatch.delenv(name)
    monkeypatch.setenv("COINALYZE_API_KEY", "offline")
    monkeypatch.setenv("QUANT_FRAMEWORK_BASE_URL", exchange.url)
    monkeypatch.setenv("QUANT_FRAMEWORK_HOME", str(tmp_path))


def decorated(function, **options):
    """The operator of a decorated function, as a DAG's author makes it."""
    defaults = {"timeframes": ["1h"], "start": START, "end": END, "adapter_options": {"retention": None}}
    with DAG("decorated", schedule=None):
        made = task.quant_backfill(**(defaults | options))(function)()
    return made.operator


def run(operator, **context):
    return operator.execute({"ti": TaskInstance()} | context)


def test_a_function_chooses_and_the_decorator_says_the_rest():
    def choose(params=None):
        return {"symbols": [params["symbol"]], "end": START + timedelta(days=7), "data_types": None}

    operator = decorated(choose)
    assert isinstance(operator, BackfillOperator)
    assert (operator.task_id, operator.task_type) == ("choose", "QuantBackfillDecoratedOperator")
    result = run(operator, params={"symbol": "ETH"})
    assert (result["status"], result["records_written"]) == ("success", 7 * 24)
    assert result["series"][0]["series"] == "coinalyze/ohlcv/ETHUSDT_PERP.A/1h"


def test_a_function_may_choose_nothing():
    assert run(decorated(lambda: {}, symbols=["BTC"], task_id="all"))["records_written"] == 14 * 24


def test_a_decorated_task_parks_and_dies_as_a_backfill_does(exchange):
    exchange.inject(Fault("429", times=1, value=900))
    with pytest.raises(AirflowRescheduleException):
        run(decorated(lambda: {"symbols": ["BTC"]}, task_id="park", max_wait=1))
    operator = decorated(lambda: {"symbols": ["BTC"]}, task_id="die")
    operator.on_kill()
    with pytest.raises(Exception, match="terminated"):
        run(operator)


@pytest.mark.parametrize(
    ("chosen", "says"),
    [
        (None, "choose returned NoneType; @task.quant_backfill wants a dict of symbols, .*, end"),
        (["BTC"], "choose returned list"),
        ({"symbol": "BTC"}, "choose returned the key 'symbol'; use symbols, .*, end"),
        ({"symbols": "BTC"}, "choose returned symbols as str; it must be a list of texts"),
        ({"symbols": ["BTC"], "timeframes": [1]}, "choose returned timeframes as list; it must be a list of texts"),
        ({"symbols": ["BTC"], "start": 5}, "choose returned start as int; it must be a datetime or ISO 8601 text"),
        ({}, "choose chose no symbols, and @task.quant_backfill has none"),
    ],
)
def test_what_a_function_may_not_return_fails_without_retry(chosen, says):
    def choose():
        return chosen

    with pytest.raises(AirflowFailException, match=says):
        run(decorated(choose))


def test_what_cannot_be_decorated_is_refused_when_the_dag_is_parsed():
    async def choose():
        return {}

    with pytest.raises(TypeError, match="wants a plain function"):
        decorated(choose)


def test_the_annotation_of_the_function_does_not_split_the_result():
    def choose() -> dict[str, list[str]]:
        return {"symbols": ["BTC"]}

    assert decorated(choose).multiple_outputs is False


class Linked(BackfillOperator):
    operator_extra_links = (LakeLink(),)


def wrote(*outputs: str) -> Linked:
    """A task that left word of what it wrote."""
    operator = Linked(task_id="wrote", symbols=["BTC"], timeframes=["1h"])
    operator._places = {"outputs": list(outputs)}
    return operator


@pytest.mark.parametrize(
    ("template", "outputs", "link"),
    [
        (BROWSER, [BTC], f"https://console/browse/bucket/{BTC[12:]}".replace("=", "%3D")),
        (BROWSER, [BTC, ETH], f"https://console/browse/bucket/{FOLDER[12:]}".replace("=", "%3D")),
        (BROWSER, [STRANGE], f"https://console/browse/bucket/{STRANGE[12:]}".replace("%", "%25").replace("=", "%3D")),
        (BROWSER, ["s3://one/a", "s3://other/a"], ""),
        (BROWSER, ["file:///lake/a"], ""),
        (BROWSER, [], ""),
        ("https://files/{prefix}", ["file:///lake/a", "file:///lake/b"], "https://files/lake"),
        ("https://files?at={url}", ["s3://bucket/a b"], "https://files?at=s3%3A%2F%2Fbucket%2Fa%20b"),
        ("https://files/{folder}", [BTC], ""),
        ("https://files/{", [BTC], ""),
        (None, [BTC], ""),
    ],
)
def test_the_link_shows_what_all_outputs_share(template, outputs, link, monkeypatch):
    if template:
        monkeypatch.setenv("AIRFLOW__QUANT_FRAMEWORK__LAKE_BROWSER", template)
    [made] = Linked.operator_extra_links
    assert (made.name, made.xcom_key) == ("Lake", "_link_LakeLink")
    assert made.get_link(wrote(*outputs), ti_key=None) == link


def test_a_task_that_wrote_nothing_has_no_link(monkeypatch):
    monkeypatch.setenv("QUANT_FRAMEWORK_LAKE_BROWSER", BROWSER)
    never_ran = BackfillOperator(task_id="never", symbols=["BTC"], timeframes=["1h"])
    assert LakeLink().get_link(never_ran, ti_key=None) == ""


def test_a_template_that_knows_too_much_is_told(monkeypatch, caplog):
    monkeypatch.setenv("QUANT_FRAMEWORK_LAKE_BROWSER", "https://files/{folder}")
    LakeLink().get_link(wrote(BTC), ti_key=None)
    assert "lake_browser knows {bucket}, {prefix} and {url} alone, not 'https://files/{folder}'" in caplog.text


@pytest.mark.parametrize(
    ("url", "name"),
    [
        (BTC, ("s3://bucket", BTC[12:])),
        (STRANGE, ("s3://bucket", STRANGE[12:])),
        ("file:///lake/bronze/", ("file", "/lake/bronze")),
        ("/lake/bronze", ("file", "/lake/bronze")),
        ("https://api.coinalyze.net/v1", ("https://api.coinalyze.net", "v1")),
        ("https://user:geheim@host:8443?key=geheim", ("https://host:8443", "/")),
    ],
)
def test_datasets_have_openlineages_names_and_no_secrets(url, name):
    assert dataset_name(url) == name


def statistics(lineage: OperatorLineage) -> list[tuple[int, int | None] | None]:
    found = [output.outputFacets.get("outputStatistics") for output in lineage.outputs]
    return [facet and (facet.rowCount, facet.size) for facet in found]


def test_outputs_have_the_rows_of_their_series():
    series = [
        {"series": f"coinalyze/ohlcv/{name}USDT_PERP.A/1h", "rows": rows} for name, rows in (("BTC", 5), ("ETH", 7))
    ]
    result = {"status": "success", "records_written": 12, "bytes_written": 900, "series": series, "errors": []}
    lineage = facets(["https://api.coinalyze.net/v1"], [BTC, ETH, "s3://bucket/other"], result)
    assert isinstance(lineage, OperatorLineage)
    assert [(read.namespace, read.name) for read in lineage.inputs] == [("https://api.coinalyze.net", "v1")]
    assert statistics(lineage) == [(5, None), (7, None), None]
    assert lineage.run_facets == {}
    assert statistics(facets([], [ETH], result)) == [(7, None)], "the bytes are those of both"
    assert statistics(facets([], ["s3://bucket/bronze"], result)) == [(12, 900)]
    assert statistics(facets([], [BTC], result | {"series": series[:1], "records_written": 5})) == [(5, 900)]
    assert statistics(facets([], [BTC])) == [None]
    strange = [{"series": "coinalyze/ohlcv/BTC%2FUSDT/1h", "rows": 3}]
    assert statistics(facets([], [STRANGE, BTC], {"series": strange})) == [(3, None), None]


def test_a_run_that_failed_says_why():
    errors = [{"kind": "data", "message": "rows are wrong", "series": BTC}, {"kind": "unavailable", "message": "away"}]
    for status in ("failed", "partial"):
        run_facets = facets([], [], {"status": status, "errors": errors}).run_facets
        assert run_facets["errorMessage"].message == f"{BTC}: rows are wrong; away"
        assert run_facets["errorMessage"].programmingLanguage == "python"
    many = facets([], [], {"status": "failed", "errors": errors * 4}).run_facets["errorMessage"].message
    assert many.endswith("; and 3 more")
    assert "failed" in facets([], [], {"status": "failed"}).run_facets["errorMessage"].message
    for status in ("success", "parked", "cancelled"):
        assert facets([], [], {"status": status, "errors": errors}).run_facets == {}


def test_lineage_is_nothing_where_openlineage_is_not_installed():
    code = """
        import sys
        class Absent:
            def find_spec(self, name, path=None, target=None):
                if name.startswith(("openlineage", "airflow.providers.openlineage")):
                    raise ModuleNotFoundError(name)
        sys.meta_path.insert(0, Absent())
        from quant_framework.airflow.lineage import facets
        print(facets(["https://host"], ["s3://bucket/x"], {"status": "failed"}))
    """
    done = subprocess.run([sys.executable, "-c", textwrap.dedent(code)], capture_output=True, text=True, check=False)
    assert done.stdout.strip() == "None", done.stderr
