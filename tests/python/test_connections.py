"""Stores and lakes from Airflow connections, which stand in the environment as Airflow takes them from there."""

from __future__ import annotations

import itertools
import json
import os
from datetime import datetime, timedelta, timezone
from urllib.parse import quote, urlencode, urlsplit

import psycopg
import pyarrow.dataset
import pytest
from airflow.sdk.exceptions import AirflowFailException
from pyarrow.fs import S3FileSystem

from conftest import END, START
from quant_framework.airflow.connections import open_bronze, open_checkpoints
from quant_framework.errors import InvalidError
from quant_framework.ingestion.backfill import (
    CheckpointStore,
    DatabaseCheckpointStore,
    LocalCheckpointStore,
    MinIOCheckpointStore,
)
from quant_framework.orchestration.operators import BackfillOperator, CheckpointReader
from test_operator import TaskInstance

SERIES = "coinalyze/ohlcv/BTCUSDT_PERP.A/1h"
DAY = [(datetime(2026, 1, 5, tzinfo=timezone.utc), datetime(2026, 1, 6, tzinfo=timezone.utc))]
BUCKET = "connection-tests"
PREFIXES = itertools.count(1)
STRANGE = "p@ss:w/rd?&%+ ="
"""A password that each way of writing a connection has to encode."""


@pytest.fixture(autouse=True)
def bare(monkeypatch):
    """What else the environment says of servers."""
    for name in list(os.environ):
        if name.startswith(("AWS_", "MINIO_", "PG", "AIRFLOW_CONN_", "QUANT_FRAMEWORK_")):
            monkeypatch.delenv(name)


@pytest.fixture
def connect(monkeypatch):
    """Defines a connection, as a URI or as JSON."""

    def connect(conn_id: str, uri: str | None = None, **parts: object) -> str:
        monkeypatch.setenv(f"AIRFLOW_CONN_{conn_id.upper()}", uri or json.dumps(parts))
        return conn_id

    return connect


@pytest.fixture
def files(s3) -> S3FileSystem:
    """The server as another client sees it, with the bucket made."""
    options = {"endpoint_override": s3.endpoint, "allow_bucket_creation": True}
    files = S3FileSystem(access_key=s3.access_key, secret_key=s3.secret_key, **options)
    files.create_dir(BUCKET)
    return files


@pytest.fixture
def prefix(files) -> str:
    """A place of this test alone."""
    return f"{os.environ.get('PYTEST_XDIST_WORKER', 'main')}-{os.getpid()}-{next(PREFIXES)}"


@pytest.fixture
def keys(s3) -> dict[str, str]:
    """What every form of the connection says beside the server."""
    return {"login": s3.access_key, "password": s3.secret_key}


@pytest.fixture
def lake(connect, s3, keys) -> str:
    """An S3 connection that names no bucket."""
    return connect("lake", conn_type="aws", **keys, extra={"endpoint_url": s3.endpoint, "region_name": s3.region})


@pytest.fixture
def quant(connect, database) -> str:
    """A PostgreSQL connection; the database's address is Airflow's URI."""
    return connect("quant", database)


@pytest.fixture
def known(s3, prefix):
    """What lies in the bucket, whoever asks."""
    options = {"endpoint_url": s3.endpoint, "access_key": s3.access_key, "secret_key": s3.secret_key}
    return lambda: MinIOCheckpointStore(BUCKET, prefix, **options).load_sync(SERIES)


def s3_forms(s3, keys: dict[str, str], prefix: str) -> dict[str, object]:
    """Every form of an S3 connection; those with a bucket name it in their extra."""
    url, place = urlsplit(s3.endpoint), {"bucket": BUCKET, "prefix": prefix}
    login = f"{quote(s3.access_key, safe='')}:{quote(s3.secret_key, safe='')}"
    texts = urlencode(place | {"endpoint_url": s3.endpoint, "path_style": "True"})
    host = {"host": url.hostname, "port": url.port, "extra": place}
    service = {"service_config": {"s3": {"endpoint_url": s3.endpoint, "bucket_name": BUCKET}}, "prefix": prefix}
    secrets = {"aws_access_key_id": s3.access_key, "aws_secret_access_key": s3.secret_key}
    return {
        "amazon": {"conn_type": "aws", **keys, "extra": place | {"endpoint_url": s3.endpoint}},
        "amazon service": {"conn_type": "aws", **keys, "extra": service},
        "keys in extra": {"conn_type": "aws", "extra": place | secrets | {"endpoint_url": s3.endpoint}},
        "extra as text": {"conn_type": "aws", **keys, "extra": json.dumps(place | {"endpoint_url": s3.endpoint})},
        "host and port": {"conn_type": "minio", **keys, **host},
        "host is a URL": {"conn_type": "minio", **keys, "host": s3.endpoint, "extra": place | {"path_style": True}},
        "uri": f"aws://{login}@/?{texts}",
        "uri with a host": f"minio://{login}@{url.netloc}/?{urlencode(place | {'secure': 'false'})}",
    }


FORMS = [*s3_forms(type("S3", (), dict.fromkeys(("endpoint", "access_key", "secret_key"), "")), {}, "")]


@pytest.mark.parametrize("form", FORMS)
def test_checkpoints_in_s3(form, connect, s3, keys, prefix, known):
    said = s3_forms(s3, keys, prefix)[form]
    conn_id = connect("lake", said) if isinstance(said, str) else connect("lake", **said)
    store = open_checkpoints(minio_conn_id=conn_id)
    store.commit_sync(SERIES, DAY)
    assert store.load_sync(SERIES).data == known().data == DAY
    assert s3.secret_key not in repr(store)


def test_the_url_of_the_checkpoint_goes_before_the_extra(connect, s3, keys, prefix, known):
    extra = {"endpoint_url": s3.endpoint, "bucket": "another", "prefix": "elsewhere"}
    conn_id = connect("lake", conn_type="aws", **keys, extra=extra)
    open_checkpoints(f"s3://{BUCKET}/{prefix}", minio_conn_id=conn_id).commit_sync(SERIES, DAY)
    assert known().data == DAY


def test_checkpoints_in_postgresql(connect, database):
    url = urlsplit(database)
    parts = {"host": url.hostname, "port": url.port, "schema": url.path[1:], "login": url.username}
    json_form = connect("quant", conn_type="postgres", password=url.password, **parts, extra={"sslmode": "disable"})
    uri_form = connect("other", f"{database}?sslmode=prefer")
    open_checkpoints(postgres_conn_id=json_form).commit_sync(SERIES, DAY)
    for conn_id in (json_form, uri_form):
        store = open_checkpoints(postgres_conn_id=conn_id)
        assert store.load_sync(SERIES).data == DAY
        assert url.password not in repr(store)
    assert DatabaseCheckpointStore(database).load_sync(SERIES).data == DAY


@pytest.mark.parametrize(
    ("extra", "says"),
    [({"sslmode": "often"}, "sslmode"), ({"sslmode": "verify-full", "sslrootcert": "/no/such.pem"}, "/no/such.pem")],
)
def test_the_extra_says_how_to_use_tls(extra, says, connect, database):
    conn_id = connect("quant", f"{database}?{urlencode(extra)}")
    with pytest.raises(InvalidError, match=says) as refused:
        open_checkpoints(postgres_conn_id=conn_id).load_sync(SERIES)
    assert urlsplit(database).password not in str(refused.value)


@pytest.mark.parametrize("form", ["uri", "json"])
def test_names_and_passwords_may_hold_anything(form, connect, database):
    url, role = urlsplit(database), f"user@{os.getpid()}/{form}"
    with psycopg.connect(database, autocommit=True) as connection:
        connection.execute(f"CREATE ROLE \"{role}\" LOGIN SUPERUSER PASSWORD '{STRANGE}'")
    try:
        if form == "uri":
            place = f"{url.hostname}:{url.port}{url.path}"
            conn_id = connect("quant", f"postgres://{quote(role, safe='')}:{quote(STRANGE, safe='')}@{place}")
        else:
            parts = {"host": url.hostname, "port": url.port, "schema": url.path[1:]}
            conn_id = connect("quant", conn_type="postgres", login=role, password=STRANGE, **parts)
        store = open_checkpoints(postgres_conn_id=conn_id)
        store.commit_sync(SERIES, DAY)
        assert store.load_sync(SERIES).data == DAY
    finally:
        with psycopg.connect(database, autocommit=True) as connection:
            connection.execute(f'REASSIGN OWNED BY "{role}" TO CURRENT_USER; DROP OWNED BY "{role}"')
            connection.execute(f'DROP ROLE "{role}"')


def test_both_connections_make_a_hybrid(lake, quant, database, prefix, known):
    store = open_checkpoints(f"s3://{BUCKET}/{prefix}", minio_conn_id=lake, postgres_conn_id=quant)
    store.commit_sync(SERIES, DAY, cursor="7")
    assert store.load_sync(SERIES) == known() == DatabaseCheckpointStore(database).load_sync(SERIES)
    assert known().cursor == "7"


def test_without_a_connection_the_url_or_the_environment_says_where(tmp_path, monkeypatch):
    places = [(tmp_path / name).as_uri() for name in ("said", "environment")]
    monkeypatch.setenv("QUANT_FRAMEWORK_CHECKPOINT", places[1])
    for name, said in (("said", places[0]), ("environment", None)):
        open_checkpoints(said).commit_sync(SERIES, DAY)
        assert LocalCheckpointStore(tmp_path / name).load_sync(SERIES).data == DAY


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"minio_conn_id": "lake"}, r"'lake' names no bucket .*checkpoint=.s3://bucket/prefix.*\"bucket\""),
        ({"minio_conn_id": "nowhere"}, "no connection 'nowhere' .*airflow connections add"),
        ({"postgres_conn_id": "nowhere"}, "no connection 'nowhere' .*airflow connections add"),
        ({"minio_conn_id": "lake", "checkpoint": "file:///somewhere"}, "must be s3://bucket/prefix, not file:"),
        ({"minio_conn_id": "lake", "checkpoint": "s3://b/p?region=x"}, "has no options .*extra"),
        ({"minio_conn_id": "odd"}, "path_style .*true or false, not 'perhaps'"),
        ({"postgres_conn_id": "quant", "checkpoint": "file:///somewhere"}, "two places .*minio_conn_id"),
    ],
)
def test_what_does_not_fit_together_says_what_to_do(options, says, connect, lake):
    connect("quant", "postgresql://quant:geheim@127.0.0.1/quant")
    connect("odd", "aws://key:geheim@/?endpoint_url=http%3A%2F%2Flocalhost&bucket=b&path_style=perhaps")
    with pytest.raises(InvalidError, match=says) as raised:
        open_checkpoints(**options)
    assert not any(secret in str(raised.value) for secret in ("geheim", "test-secret-key"))
    with pytest.raises(AirflowFailException, match=says):
        CheckpointReader(task_id="read", series=SERIES, **options).execute({})


def test_a_refused_password_or_key_is_not_told(connect, s3, database, prefix):
    url = urlsplit(database)
    wrong = {"login": url.username, "password": "geheimes-wort", "host": url.hostname, "port": url.port}
    extra = {"endpoint_url": s3.endpoint, "bucket": BUCKET, "prefix": prefix}
    stores: list[CheckpointStore] = [
        open_checkpoints(postgres_conn_id=connect("quant", conn_type="postgres", schema=url.path[1:], **wrong)),
        open_checkpoints(
            minio_conn_id=connect("lake", conn_type="aws", login="nobody", password="geheimes-wort", extra=extra)
        ),
    ]
    for store in stores:
        with pytest.raises(InvalidError) as refused:
            store.commit_sync(SERIES, DAY)
        assert "geheim" not in str(refused.value) + repr(refused.value) + repr(store)


def test_the_bronze_lake_has_the_connections_server_where_it_is_in_s3(lake, tmp_path, monkeypatch):
    local = (tmp_path / "lake").as_uri()
    assert open_bronze(local, lake).url == open_bronze(local).url
    monkeypatch.setenv("QUANT_FRAMEWORK_LAKE", f"s3://{BUCKET}/bronze")
    assert open_bronze(None, lake).url == f"s3://{BUCKET}/bronze"


def test_a_backfill_by_connections(lake, quant, database, prefix, known, exchange, s3, files, monkeypatch):
    monkeypatch.setenv("COINALYZE_API_KEY", "offline")
    monkeypatch.setenv("QUANT_FRAMEWORK_BASE_URL", exchange.url)
    task = BackfillOperator(
        task_id="backfill",
        symbols=["BTC"],
        timeframes=["1h"],
        start=START,
        end=END,
        adapter_options={"retention": None},
        lake=f"s3://{BUCKET}/{prefix}/bronze",
        checkpoint=f"s3://{BUCKET}/{prefix}",
        minio_conn_id=lake,
        postgres_conn_id=quant,
    )
    result = task.execute({"ti": TaskInstance()})
    assert (result["status"], result["records_written"]) == ("success", 14 * 24)
    assert known() == DatabaseCheckpointStore(database).load_sync(SERIES)
    assert known().missing(START, END) == []
    rows = pyarrow.dataset.dataset(f"{BUCKET}/{prefix}/bronze", filesystem=files).to_table()["ts"].to_pylist()
    assert sorted(rows) == [START + timedelta(hours=hour) for hour in range(14 * 24)]
    asked = exchange.stats()["requests"]
    assert task.execute({"ti": TaskInstance()})["records_written"] == 0
    assert exchange.stats()["requests"] == asked
    assert not any(secret in str(vars(task)) for secret in (s3.secret_key, urlsplit(database).password))
