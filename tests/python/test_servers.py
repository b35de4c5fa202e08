"""The servers and the fault proxy that other tests rely on do what their docs say."""

from __future__ import annotations

import http.client
import os
import socket
import ssl
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from pathlib import Path
from urllib.parse import urlsplit

import psycopg
import pytest

from fault_proxy import FaultProxy, Injected
from lying_s3 import LyingS3, etag
from postgres_server import PgBouncer, Postgres, TlsPostgres
from servers import SeaweedS3

BODY = bytes(range(256)) * 400
WRAPPER = Path(__file__).parents[1] / "with_servers.py"
NEW = {"If-None-Match": "*"}


def call(method: str, url: str, body: bytes | None = None, **headers: str) -> tuple[int, bytes]:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    request = urllib.request.Request(url, data=body, headers=named, method=method)
    try:
        with urllib.request.urlopen(request, timeout=30) as answer:
            return answer.status, answer.read()
    except urllib.error.HTTPError as refused:
        return refused.code, refused.read()


def one(dsn: str, statement: str, **options: object) -> object:
    with psycopg.connect(dsn, autocommit=True, **options) as connection:
        cursor = connection.execute(statement)
        return cursor.fetchone()[0] if cursor.description else None


@pytest.fixture
def store():
    with LyingS3(honest=True) as store:
        yield store


@pytest.fixture
def proxy(store: LyingS3):
    with FaultProxy(store.endpoint) as proxy:
        yield proxy


# PostgreSQL


def test_databases_are_fresh_and_passwords_are_checked(postgres, database):
    one(database, "CREATE TABLE kept (id int)")
    name = urlsplit(database).path[1:]
    assert postgres.database(name) == database
    assert one(database, "SELECT to_regclass('kept')") is None
    with pytest.raises(psycopg.OperationalError, match="password authentication failed"):
        one(database, "SELECT 1", password="wrong")


@pytest.mark.parametrize("immediate", [False, True])
def test_a_restart_keeps_what_was_committed_and_ends_sessions(immediate):
    with Postgres(durable=True) as server:
        assert one(server.dsn, "SHOW fsync") == "on"
        one(server.dsn, "CREATE TABLE kept AS SELECT 7 AS id")
        session = psycopg.connect(server.dsn)
        server.restart(immediate)
        with pytest.raises(psycopg.OperationalError):
            session.execute("SELECT 1")
        assert one(server.dsn, "SELECT id FROM kept") == 7
        recovered = "was not properly shut down" in (server.folder / "log").read_text()
        assert recovered == immediate
        server.stop()
        with pytest.raises(psycopg.OperationalError, match="refused"):
            one(server.dsn, "SELECT 1")
        server.start()
        assert one(server.dsn, "SELECT id FROM kept") == 7


@pytest.mark.skipif(not TlsPostgres.available(), reason="no Debian PostgreSQL in /usr/lib/postgresql (it has TLS)")
def test_tls_postgres_takes_verified_connections_only():
    with TlsPostgres() as server:
        verified = {"sslmode": "verify-full", "sslrootcert": str(server.ca_file)}
        encrypted = "SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()"
        assert one(server.database("fresh"), encrypted, **verified) is True
        assert one(server.dsn.replace("127.0.0.1", "localhost"), encrypted, **verified) is True
        with pytest.raises(psycopg.OperationalError, match="no encryption"):
            one(server.dsn, "SELECT 1", sslmode="disable")
        with pytest.raises(psycopg.OperationalError, match="certificate verify failed"):
            one(server.dsn, "SELECT 1", sslmode="verify-full", sslrootcert="system")


@pytest.mark.skipif(not PgBouncer.available(), reason="no pgbouncer on the PATH (Debian's package pgbouncer)")
def test_pgbouncer_gives_a_session_for_one_transaction(postgres, database):
    with PgBouncer(postgres) as pool:
        dsn = pool.dsn(urlsplit(database).path[1:])
        clients = [psycopg.connect(dsn, autocommit=True) for _ in range(8)]
        backends = [client.execute("SELECT pg_backend_pid()").fetchone()[0] for client in clients]
        assert len(set(backends)) < len(clients)
        for client in clients:
            client.close()
        with pytest.raises(psycopg.OperationalError, match="authentication failed"):
            one(dsn, "SELECT 1", password="wrong")


# S3


def test_seaweed_with_tls():
    with SeaweedS3(tls=True) as server:
        trust = ssl.create_default_context(cafile=server.ca_file)
        for endpoint in (server.endpoint, server.endpoint.replace("127.0.0.1", "localhost")):
            with pytest.raises(urllib.error.HTTPError) as refused:
                urllib.request.urlopen(f"{endpoint}/bucket/key", timeout=30, context=trust)
            assert refused.value.code == 403
        with pytest.raises(urllib.error.URLError, match="CERTIFICATE_VERIFY_FAILED"):
            urllib.request.urlopen(server.endpoint, timeout=30, context=ssl.create_default_context())


def test_signatures_hold_through_the_proxy(s3):
    from pyarrow.fs import S3FileSystem

    keys = {"access_key": s3.access_key, "secret_key": s3.secret_key, "region": s3.region}
    with FaultProxy(s3.endpoint) as proxy:
        proxy.script([Injected("status", match="/held", value=503)])
        system = S3FileSystem(endpoint_override=proxy.endpoint, allow_bucket_creation=True, **keys)
        system.create_dir("proxied")
        with system.open_output_stream("proxied/held") as stream:
            stream.write(BODY)
        with system.open_input_stream("proxied/held") as stream:
            assert stream.read() == BODY
        assert proxy.counts()["PUT", "status"] == 1
        assert proxy.counts()["GET", 403] == 0


def test_the_lying_store_takes_conditions_and_ignores_them():
    with LyingS3() as store:
        url = f"{store.endpoint}/bucket/a%20key"
        assert [call("PUT", url, body, **NEW)[0] for body in (b"1", b"2")] == [200, 200]
        assert call("PUT", url, b"3", If_Match='"no"')[0] == 200
        assert store.objects == {"bucket/a key": b"3"}


def test_the_honest_store_keeps_conditions(store):
    url = f"{store.endpoint}/bucket/folder/key"
    assert [call("PUT", url, body, **NEW)[0] for body in (b"1", b"2")] == [200, 412]
    assert [call("PUT", url, b"3", If_Match=etag(body))[0] for body in (b"2", b"1")] == [412, 200]
    assert call("PUT", f"{store.endpoint}/bucket/absent", b"3", If_Match=etag(b"1"))[0] == 404
    assert call("GET", url) == (200, b"3")
    assert call("HEAD", url) == (200, b"")
    listing = call("GET", f"{store.endpoint}/bucket?list-type=2&prefix=fold")[1].decode()
    assert "<Key>folder/key</Key>" in listing
    assert call("DELETE", url)[0] == 204
    assert call("GET", url)[0] == 404
    assert "<Key>" not in call("GET", f"{store.endpoint}/bucket?list-type=2")[1].decode()


# The proxy


def test_requests_of_every_framing_go_through_one_connection(proxy, store):
    address = urlsplit(proxy.endpoint).netloc
    client = http.client.HTTPConnection(address, timeout=30)
    signed = b"3;chunk-signature=0\r\none\r\n0;chunk-signature=1\r\nx-amz-checksum-crc32:AAAA\r\n\r\n"
    requests = [
        ("/bucket/plain", BODY, {}),
        ("/bucket/chunked", iter([b"one", b"two"]), {}),
        ("/bucket/signed", signed, {"Content-Encoding": "aws-chunked"}),
        ("/bucket/both", iter([signed]), {"Content-Encoding": "aws-chunked"}),
        ("/bucket/empty", b"", {}),
    ]
    connections = set()
    for path, body, headers in requests:
        client.request("PUT", path, body, headers)
        with client.getresponse() as answer:
            assert answer.status == 200, path
            assert answer.read() == b""
        connections.add(client.sock.getsockname())
    assert len(connections) == 1
    assert [store.objects[path[1:]] for path, *_ in requests] == [BODY, b"onetwo", b"one", b"one", b""]
    assert proxy.log == [("PUT", path, 200) for path, *_ in requests]
    assert proxy.counts() == {("PUT", 200): 5}


def test_a_body_that_waits_for_100_continue(proxy, store):
    with socket.create_connection(urlsplit(proxy.endpoint).netloc.split(":"), timeout=30) as client:
        stream = client.makefile("rb")
        client.sendall(b"PUT /bucket/key HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\nExpect: 100-continue\r\n\r\n")
        assert stream.readline() == b"HTTP/1.1 100 Continue\r\n"
        assert stream.readline() == b"\r\n"
        client.sendall(b"one")
        assert stream.readline() == b"HTTP/1.1 200 OK\r\n"
    assert store.objects == {"bucket/key": b"one"}


@pytest.mark.parametrize(
    ("status", "code"),
    [
        (409, "ConditionalRequestConflict"),
        (412, "PreconditionFailed"),
        (500, "InternalError"),
        (503, "SlowDown"),
    ],
)
def test_a_status_without_the_server(proxy, store, status, code):
    proxy.script([Injected("status", match="/key", times=2, value=status)])
    url = f"{proxy.endpoint}/bucket/key"
    assert call("PUT", f"{proxy.endpoint}/bucket/other", b"1")[0] == 200
    assert call("GET", url)[0] == 404
    for _ in range(2):
        refused, text = call("PUT", url, b"1")
        assert refused == status
        assert f"<Code>{code}</Code>" in text.decode()
    assert "bucket/key" not in store.objects
    assert call("PUT", url, b"1")[0] == 200
    assert proxy.counts() == {("PUT", 200): 2, ("GET", 404): 1, ("PUT", "status"): 2}


def test_a_lost_answer_is_of_a_write_that_landed(proxy, store):
    proxy.script([Injected("lost")])
    with pytest.raises(http.client.RemoteDisconnected):
        call("PUT", f"{proxy.endpoint}/bucket/key", b"1", **NEW)
    assert store.objects == {"bucket/key": b"1"}
    assert call("PUT", f"{proxy.endpoint}/bucket/key", b"1", **NEW)[0] == 412
    assert [outcome for *_, outcome in proxy.log] == ["lost", 412]


def test_a_dropped_request_never_lands(proxy, store):
    proxy.script([Injected("drop")])
    with pytest.raises(http.client.RemoteDisconnected):
        call("PUT", f"{proxy.endpoint}/bucket/key", b"1")
    assert store.objects == {}
    assert proxy.log == [("PUT", "/bucket/key", "drop")]


def test_a_cut_answer_ends_in_its_middle(proxy, store):
    store.objects["bucket/key"] = BODY
    proxy.script([Injected("cut", method="GET")])
    with pytest.raises(http.client.IncompleteRead) as cut:
        call("GET", f"{proxy.endpoint}/bucket/key")
    assert 0 < len(cut.value.partial) <= len(BODY) / 2
    assert call("GET", f"{proxy.endpoint}/bucket/key") == (200, BODY)


def test_a_slow_answer_comes_in_pieces(proxy, store):
    store.objects["bucket/key"] = BODY
    proxy.script([Injected("slow", method="GET", value=3), Injected("slow", value=0.5)])
    begun = time.monotonic()
    with urllib.request.urlopen(f"{proxy.endpoint}/bucket/key", timeout=30) as answer:
        assert len(answer.read1()) < len(BODY)
        answer.read()
    assert time.monotonic() - begun >= 3
    begun = time.monotonic()
    assert call("PUT", f"{proxy.endpoint}/bucket/key", b"1")[0] == 200
    assert time.monotonic() - begun >= 0.5


def test_a_delayed_request_lands_after_a_later_one(proxy, store):
    proxy.script([Injected("delay", value=600)])
    url = f"{proxy.endpoint}/bucket/key"
    late = threading.Thread(target=call, args=("PUT", url, b"late"))
    late.start()
    while not proxy.log:
        time.sleep(0.01)
    assert call("PUT", url, b"early")[0] == 200
    assert store.objects == {"bucket/key": b"early"}
    proxy.release()
    late.join(30)
    assert store.objects == {"bucket/key": b"late"}
    assert [outcome for *_, outcome in proxy.log] == ["delay", 200]


def test_a_server_that_is_gone(proxy, store):
    store.__exit__()
    with pytest.raises(http.client.RemoteDisconnected):
        call("GET", f"{proxy.endpoint}/bucket/key")
    assert proxy.log == [("GET", "/bucket/key", "unreachable")]


@pytest.mark.parametrize("options", [{"action": "typo"}, {"action": "status"}])
def test_a_fault_that_means_nothing(options):
    with pytest.raises(ValueError, match="action"):
        Injected(**options)


# The wrapper


def wrapped(code: str, **variables: str) -> subprocess.CompletedProcess:
    command = [sys.executable, WRAPPER, sys.executable, "-c", code]
    own = {name: value for name, value in os.environ.items() if not name.startswith("QF_TEST_")}
    return subprocess.run(command, env=own | variables, capture_output=True, text=True, timeout=300)


def test_a_command_with_servers():
    code = (
        "import os, psycopg, urllib.request, urllib.error\n"
        "psycopg.connect(os.environ['QF_TEST_POSTGRES']).close()\n"
        "try: urllib.request.urlopen(os.environ['QF_TEST_S3'])\n"
        "except urllib.error.HTTPError as refused: print(refused.code, os.environ['QF_TEST_S3_ACCESS'])\n"
        "print(os.environ['QF_TEST_POSTGRES'])\n"
        "raise SystemExit(7)\n"
    )
    done = wrapped(code)
    assert done.returncode == 7, done.stderr
    assert done.stdout.splitlines()[0] == "403 test-access-key"
    with pytest.raises(psycopg.OperationalError, match="refused"):
        psycopg.connect(done.stdout.splitlines()[1])


def test_a_command_with_servers_that_are_there():
    show = "import os; print(os.environ['QF_TEST_S3'], os.environ['QF_TEST_POSTGRES'], flush=True)"
    code = f"{show}; os.kill(os.getpid(), 9)"
    done = wrapped(code, QF_TEST_S3="one", QF_TEST_POSTGRES="two")
    assert (done.stdout, done.returncode) == ("one two\n", 137)
