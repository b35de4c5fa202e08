"""What stands between a store and its database: TLS, and a pooler that gives each transaction another session."""

from __future__ import annotations

import asyncio
from urllib.parse import quote, urlsplit

import psycopg
import pytest

from certificates import Authority
from checkpoint_places import SERIES, Places, pairs, spans
from postgres_server import PASSWORD, TlsPostgres
from quant_framework._core import drain_log
from quant_framework.errors import InvalidError, QuantFrameworkError
from quant_framework.ingestion.backfill import Checkpoint, DatabaseCheckpointStore

pytest_plugins = ["checkpoint_parts"]


@pytest.fixture(autouse=True)
def places(request):
    return Places(request)


needs_tls = pytest.mark.skipif(not TlsPostgres.available(), reason="no Debian PostgreSQL in /usr/lib/postgresql")


@pytest.fixture(scope="module")
def tls():
    with TlsPostgres() as server:
        yield server


@needs_tls
async def test_tls_that_is_taken(tls, tmp_path):
    spaced = tmp_path / "a folder" / "ca.pem"
    spaced.parent.mkdir()
    spaced.write_bytes(tls.ca_file.read_bytes())
    verified = f"sslmode=verify-full&sslrootcert={quote(str(tls.ca_file), safe='')}"
    localhost = tls.dsn.replace("127.0.0.1", "localhost")
    taken = [
        tls.dsn,
        f"{tls.dsn}?sslmode=require",
        f"{tls.dsn}?{verified}",
        f"{localhost}?{verified}",
        f"{tls.dsn}?sslmode=verify-full&sslrootcert={quote(str(spaced), safe='')}",
        f"{pairs(tls.dsn)} password={PASSWORD} sslmode=verify-full sslrootcert={tls.ca_file}",
    ]
    for number, dsn in enumerate(taken, 1):
        await DatabaseCheckpointStore(dsn).commit(SERIES, spans((0, number)))
        assert await DatabaseCheckpointStore(dsn).load(SERIES) == Checkpoint(spans((0, number))), dsn


@needs_tls
async def test_libpqs_quotes_around_a_value(tls):
    dsn = f"{pairs(tls.dsn)} password={PASSWORD} sslmode = 'verify-full' sslrootcert = '{tls.ca_file}'"
    await DatabaseCheckpointStore(dsn).commit(SERIES, spans((0, 1)))


@needs_tls
@pytest.mark.timeout(30)
@pytest.mark.parametrize("roots", ["none", "system", "another's"])
async def test_a_certificate_that_nobody_vouches_for_fails_at_once(roots, tls, tmp_path):
    option = ""
    if roots == "system":
        option = "&sslrootcert=system"
    elif roots == "another's":
        option = f"&sslrootcert={quote(str(Authority(tmp_path).ca_file), safe='')}"
    store = DatabaseCheckpointStore(f"{tls.dsn}?sslmode=verify-full{option}")
    drain_log()
    with pytest.raises(InvalidError, match=r"certificate.*hint: .*sslrootcert") as refused:
        await store.load(SERIES)
    assert "\n" not in str(refused.value)
    assert drain_log() == [], "it was tried again"


@needs_tls
async def test_a_server_that_wants_tls_and_one_that_has_none(tls, database):
    with pytest.raises(InvalidError, match="no encryption"):
        await DatabaseCheckpointStore(f"{tls.dsn}?sslmode=disable").load(SERIES)
    with pytest.raises(InvalidError, match=r"cannot use the certificates in /nowhere\.pem"):
        await DatabaseCheckpointStore(f"{tls.dsn}?sslmode=verify-full&sslrootcert=/nowhere.pem").load(SERIES)


@pytest.mark.parametrize("dsn", ["{url}?sslmode=require", "{pairs} sslmode = require"])
async def test_a_server_without_tls_is_refused_where_tls_is_required(dsn, database):
    text = dsn.format(url=database, pairs=f"{pairs(database)} password={PASSWORD}")
    with pytest.raises(QuantFrameworkError, match=r"(?i)tls|ssl"):
        await DatabaseCheckpointStore(text).load(SERIES)


@pytest.fixture
def pooled(pooler, database):
    return pooler.dsn(urlsplit(database).path[1:])


async def test_a_backfill_with_claims_through_a_pooler(pooled, database, exchange, make, context):
    """Half of it is claimed by somebody else: that half is left to him, the rest is fetched once."""
    job = {"checkpoint_store": DatabaseCheckpointStore(pooled), "symbols": ["BTCUSDT_PERP.A", "ETHUSDT_PERP.A"]}
    await DatabaseCheckpointStore(pooled).list()
    key = "coinalyze/ohlcv/{}USDT_PERP.A/1h"
    with psycopg.connect(database, autocommit=True) as connection:
        connection.execute(
            "INSERT INTO quant_framework.claims (series, wanted, owner, lease_until)"
            " VALUES (%s, '{[0,9999999999999)}', 'somebody else', now() + interval '1 hour')",
            [key.format("ETH")],
        )
        result = await make(exchange, **job).execute(context)
        assert result["status"] == "partial"
        assert [(error["series"], error["kind"]) for error in result["errors"]] == [(key.format("ETH"), "conflict")]
        assert "somebody else" in result["errors"][0]["message"]
        assert result["records_written"] == 14 * 24
        left = "SELECT series FROM quant_framework.claims"
        assert connection.execute(left).fetchall() == [(key.format("ETH"),)], "its own claim is given back"
        connection.execute("UPDATE quant_framework.claims SET lease_until = now() - interval '1 second'")
        exchange.reset()
        again, other = (make(exchange, **job).execute(context) for _ in range(2))
        results = await asyncio.gather(again, other)
        assert sum(result["records_written"] for result in results) == 14 * 24, "both series, each bar once"
        assert exchange.stats()["requests"] == 2
        assert connection.execute(left).fetchall() == []
    assert await DatabaseCheckpointStore(database).list() == [key.format("BTC"), key.format("ETH")]
