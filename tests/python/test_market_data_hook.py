"""Sources from Airflow connections, and their test against a real server."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import textwrap
from urllib.parse import quote

import pytest

from quant_framework.airflow.connections import adapter_options, open_adapter
from quant_framework.airflow.hooks import MarketDataHook
from quant_framework.errors import InvalidError
from quant_framework.orchestration.operators import BackfillOperator
from quant_framework.testing import OfflineExchange
from servers import free_port

KEY = "geheimer-schlüssel/?&@:%"
"""A key that each way of writing a connection has to encode."""


@pytest.fixture(autouse=True)
def bare(monkeypatch):
    """What else the environment says."""
    for name in list(os.environ):
        if name.startswith(("AIRFLOW_CONN_", "QUANT_FRAMEWORK_", "COINALYZE_")):
            monkeypatch.delenv(name)


@pytest.fixture
def connect(monkeypatch):
    """Defines a connection, as a URI or as JSON."""

    def connect(uri: str | None = None, conn_id: str = "exchange", **parts: object) -> str:
        value = uri or json.dumps({"conn_type": "market_data"} | parts)
        monkeypatch.setenv(f"AIRFLOW_CONN_{conn_id.upper()}", value)
        return conn_id

    return connect


@pytest.fixture
def locked():
    with OfflineExchange(limit=None, api_key="geheim-und-lang") as exchange:
        yield exchange


def test_a_connection_as_json_says_everything(connect):
    extra = {"source": "coinalyze", "market": {"exchange": "A"}, "retention": 500, "convert_to_usd": True}
    conn_id = connect(password=KEY, host="https://mirror.example.com:8443/base", extra=extra)
    assert adapter_options(conn_id) == (
        "coinalyze",
        {
            "api_key": KEY,
            "base_url": "https://mirror.example.com:8443/base",
            "market": {"exchange": "A"},
            "retention": 500,
            "convert_to_usd": True,
        },
    )
    assert adapter_options(connect(password=KEY)) == ("coinalyze", {"api_key": KEY})


def test_a_connection_as_a_uri_says_everything(connect):
    extra = "source=coinalyze&retention=all&convert_to_usd=no&market=" + quote('{"quote": "USDC"}')
    server = quote("http://mirror.example.com:8080/base", safe="")
    conn_id = connect(f"market-data://:{quote(KEY, safe='')}@{server}/?{extra}")
    assert adapter_options(conn_id) == (
        "coinalyze",
        {
            "api_key": KEY,
            "base_url": "http://mirror.example.com:8080/base",
            "market": {"quote": "USDC"},
            "retention": None,
            "convert_to_usd": False,
        },
    )


@pytest.mark.parametrize(
    ("parts", "url"),
    [
        ({"host": "mirror"}, "https://mirror/v1"),
        ({"host": "mirror", "port": 8443}, "https://mirror:8443/v1"),
        ({"host": "mirror", "port": 80, "schema": "http"}, "http://mirror:80/v1"),
        ({"host": "http://mirror/api", "port": 8080}, "http://mirror:8080/api"),
        ({"host": "http://mirror:1/api", "port": 8080}, "http://mirror:1/api"),
        ({"host": "[::1]", "port": 8080}, "https://[::1]:8080/v1"),
    ],
)
def test_a_server_is_a_url_or_its_parts(parts, url, connect):
    assert adapter_options(connect(**parts)) == ("coinalyze", {"base_url": url})


def test_null_and_an_empty_text_say_nothing(connect):
    extra = {"source": None, "market": None, "retention": "", "convert_to_usd": None}
    assert adapter_options(connect(extra=extra, host="", password="")) == ("coinalyze", {})


@pytest.mark.parametrize(
    ("parts", "says"),
    [
        ({"extra": {"source": "nope"}}, "unknown source 'nope' .hint: use one of .*coinalyze"),
        ({"extra": {"convert": True}}, "no option 'convert' .hint: .*convert_to_usd"),
        ({"extra": {"retention": "many"}}, "retention .*number of points or \"all\", not 'many'"),
        ({"extra": {"retention": 0}}, "retention .*not '0'"),
        ({"extra": {"convert_to_usd": "perhaps"}}, "convert_to_usd .*true or false"),
        ({"extra": {"market": "BTC"}}, "market .*object"),
        ({"extra": {"market": {"quote": 1}}}, "market .*object"),
        ({"host": "mirror", "schema": "ftp"}, "scheme 'ftp' .hint: use https or http"),
        (
            {"host": f"https://user:{quote(KEY, safe='')}@mirror"},
            "login in its host .hint: the API key is the password",
        ),
        ({"port": "eighty"}, "cannot be read .hint: mend what EnvironmentVariablesBackend has"),
    ],
)
def test_what_a_connection_says_wrongly_is_named(parts, says, connect):
    conn_id = connect(**({"password": KEY} | parts))
    with pytest.raises(InvalidError, match=says) as raised:
        adapter_options(conn_id)
    assert "geheim" not in str(raised.value)
    assert "\n" not in str(raised.value)
    assert MarketDataHook(conn_id).test_connection() == (False, str(raised.value))


def test_a_good_connection_answers(connect, locked):
    hook = MarketDataHook(connect(password="geheim-und-lang", host=locked.url, extra={"market": {"quote": "XYZ"}}))
    assert hook.test_connection() == (True, "coinalyze answers: BTC is BTCUSDT_PERP.A")
    assert locked.stats()["requests"] == 1
    assert repr(hook.get_conn()) == "CoinalyzeAdapter(exchange=any quote=XYZ)"


def test_a_connection_that_cannot_work_says_why_without_the_key(connect, locked):
    away = f"http://127.0.0.1:{free_port()}/v1"
    for parts, says in (
        ({"host": locked.url, "password": "geheim-und-falsch"}, "401"),
        ({"host": away, "password": "geheim-und-lang"}, "Connection refused"),
        ({"host": locked.url}, "needs an API key"),
    ):
        works, message = MarketDataHook(connect(**parts)).test_connection()
        assert not works
        assert says in message
        assert "geheim" not in message
        assert "\n" not in message
    works, message = MarketDataHook("nowhere").test_connection()
    assert (works, message) == (False, "there is no connection 'nowhere' (hint: add it: airflow connections add ...)")


def test_airflow_finds_the_hook_of_a_connection(connect, locked):
    conn_id = connect(password="geheim-und-lang", host=locked.url)
    hook = MarketDataHook.get_hook(conn_id)
    assert isinstance(hook, MarketDataHook)
    assert MarketDataHook.get_connection(conn_id).test_connection()[0]
    # A round trip through the URI, as Airflow's cache and its test button make one.
    again = connect(MarketDataHook.get_connection(conn_id).get_uri(), "again")
    assert adapter_options(again) == adapter_options(conn_id)


def test_what_an_author_says_goes_before_the_connection(connect, locked, monkeypatch):
    conn_id = connect(password="geheim-und-lang", host=locked.url, extra={"market": {"quote": "USDC"}})
    assert repr(open_adapter(None, {"market": {"quote": "USD"}}, conn_id)) == "CoinalyzeAdapter(exchange=any quote=USD)"
    assert repr(open_adapter("coinalyze", None, conn_id)) == "CoinalyzeAdapter(exchange=any quote=USDC)"
    with pytest.raises(InvalidError, match="connection 'exchange' is of source 'coinalyze', not 'other'"):
        open_adapter("other", None, conn_id)
    with pytest.raises(InvalidError, match="unknown source 'other'"):
        open_adapter("other")
    monkeypatch.setenv("COINALYZE_API_KEY", "from-the-environment")
    assert open_adapter().source == "coinalyze"


def test_nothing_keeps_or_tells_the_key(connect, locked):
    hook = MarketDataHook(connect(password="geheim-und-lang", host=locked.url))
    adapter = hook.get_conn()
    assert "geheim" not in repr(vars(hook)) + repr(hook) + repr(adapter) + str(adapter)


WANTED = {"task_id": "secret", "symbols": ["BTC"], "timeframes": ["1h"]}
SECRETS = [
    (
        {"adapter_options": {"api_key": "geheim-und-lang"}},
        "adapter_options holds an API key or a password .hint: use market_data",
    ),
    ({"checkpoint": "postgresql://quant:geheim@db/quant"}, "checkpoint holds a password"),
    ({"lake": "s3://key:geheim@host/lake"}, "lake holds a password"),
    ({"rate_limit": "postgresql://quant@db/quant?password=geheim"}, "rate_limit holds a password"),
]


@pytest.mark.parametrize(("secret", "text"), SECRETS)
@pytest.mark.parametrize("make", [BackfillOperator, BackfillOperator.partial])
def test_a_secret_among_an_operators_arguments_is_refused_when_the_dag_is_parsed(make, secret, text):
    """A mapped task checked its arguments only when it ran: the stored DAG had shown them until then."""
    make(**WANTED, adapter_options={"retention": None, "api_key": None})
    with pytest.raises(InvalidError, match=text) as raised:
        make(**WANTED, **secret)
    assert "geheim" not in str(raised.value)


BACKEND = """
import socket
from airflow.sdk.bases.secrets_backend import BaseSecretsBackend
class Vault(BaseSecretsBackend):
    def get_conn_value(self, conn_id, team_name=None):
        socket.create_connection(("127.0.0.1", PORT), 5)
"""


def test_a_secrets_backend_that_is_away_is_not_a_missing_connection(tmp_path):
    """Cause: Airflow goes on to the next place after any failure, and in the end says that there is none."""
    (tmp_path / "vault.py").write_text(BACKEND.replace("PORT", str(free_port())))
    code = """
        from quant_framework.airflow.connections import connection
        from quant_framework.errors import UnavailableError
        try:
            connection("exchange")
        except UnavailableError as error:
            print(error)
    """
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code)],
        env=os.environ
        | {
            "AIRFLOW_HOME": str(tmp_path),
            "PYTHONPATH": str(tmp_path),
            "AIRFLOW__SECRETS__BACKEND": "vault.Vault",
            "AIRFLOW__WORKERS__SECRETS_BACKEND": "vault.Vault",
        },
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.stdout.strip() == "Vault did not give connection 'exchange' (ConnectionRefusedError)", done.stderr
