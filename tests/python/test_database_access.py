"""How the database is reached: addresses, credentials, privileges, TLS, a pooler; and what no message may say."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from urllib.parse import quote, urlsplit

import psycopg
import pytest
from psycopg import sql

from checkpoint_places import SERIES, Places, pairs, spans
from postgres_server import PASSWORD, USER
from quant_framework._core import drain_log
from quant_framework.errors import InvalidError, QuantFrameworkError
from quant_framework.ingestion.backfill import Checkpoint, DatabaseCheckpointStore, open_checkpoint_store

ODD = "p@ss/w:o?r%d  #'x"
"""A password with everything that means something in an address."""


@pytest.fixture(autouse=True)
def places(request):
    return Places(request)


def execute(dsn: str, *statements: str | sql.Composed, **options: str) -> None:
    with psycopg.connect(dsn, autocommit=True, **options) as connection:
        for statement in statements:
            connection.execute(statement)


def address(dsn: str, user: str, password: str) -> str:
    url = urlsplit(dsn)
    return url._replace(netloc=f"{user}:{quote(password, safe='')}@{url.hostname}:{url.port}").geturl()


@pytest.fixture
def user(database):
    """A user who may do nothing, and whose password is odd."""
    name = sql.Identifier(f"user_of_{urlsplit(database).path[1:]}")
    execute(database, sql.SQL("CREATE USER {} PASSWORD {}").format(name, ODD))
    yield name.as_string().strip('"')
    execute(database, sql.SQL("DROP OWNED BY {}").format(name), sql.SQL("DROP USER {}").format(name))


@pytest.fixture
def works(database):
    """Asserts that a store reads what another one wrote."""

    async def works(store) -> None:
        await store.commit(SERIES, spans((0, 10)))
        assert await DatabaseCheckpointStore(database).load(SERIES) == Checkpoint(spans((0, 10)))

    return works


# Addresses


async def test_addresses_as_urls(database, works):
    await works(DatabaseCheckpointStore(database))
    await works(DatabaseCheckpointStore(database.replace("postgresql://", "postgres://")))
    await works(DatabaseCheckpointStore(f"{database}?sslmode=prefer&application_name=mine&connect_timeout=5"))


async def test_addresses_as_pairs(database, works):
    await works(DatabaseCheckpointStore(f"{pairs(database)} password={PASSWORD}"))
    await works(DatabaseCheckpointStore(f"{pairs(database)} password='{PASSWORD}' sslmode=disable connect_timeout=5"))


async def test_the_password_beside_the_address(database, works, monkeypatch):
    bare = database.replace(f":{PASSWORD}@", "@")
    for dsn in (bare, pairs(database)):
        await works(DatabaseCheckpointStore(dsn, password=PASSWORD))
    await works(DatabaseCheckpointStore(database, password="not asked for"))
    monkeypatch.setenv("PGPASSWORD", PASSWORD)
    for dsn in (bare, pairs(database)):
        await works(DatabaseCheckpointStore(dsn))
    await works(open_checkpoint_store(bare))
    monkeypatch.setenv("PGPASSWORD", "not asked for")
    await works(DatabaseCheckpointStore(bare, password=PASSWORD))
    await works(DatabaseCheckpointStore(database))


@pytest.mark.parametrize("form", ["url", "argument", "PGPASSWORD", "pairs"])
async def test_an_odd_password(form, database, user, works, monkeypatch):
    await DatabaseCheckpointStore(database).list()
    grant(database, user)
    bare = address(database, user, "").replace(":@", "@")
    if form == "PGPASSWORD":
        monkeypatch.setenv("PGPASSWORD", ODD)
    quoted = ODD.replace("'", r"\'")
    store = {
        "url": lambda: DatabaseCheckpointStore(address(database, user, ODD)),
        "argument": lambda: DatabaseCheckpointStore(bare, password=ODD),
        "PGPASSWORD": lambda: DatabaseCheckpointStore(bare),
        "pairs": lambda: DatabaseCheckpointStore(f"{pairs(database, user=user)} password='{quoted}'"),
    }[form]()
    await works(store)


# Refusals


@pytest.mark.timeout(30)
async def test_a_wrong_password_and_an_unknown_database_fail_at_once(database):
    wrong = DatabaseCheckpointStore(address(database, USER, "a-wrong-secret"))
    with pytest.raises(InvalidError, match=r"password authentication failed.*hint: check user and password"):
        await wrong.load(SERIES)
    unknown = DatabaseCheckpointStore(urlsplit(database)._replace(path="/no_such_database").geturl())
    with pytest.raises(InvalidError, match=r"no_such_database.*does not exist.*hint: create the database"):
        unknown.commit_sync(SERIES, spans((0, 1)))


def grant(database: str, user: str) -> None:
    """What an administrator gives a user of tables that are there."""
    name = sql.Identifier(user)
    execute(
        database,
        sql.SQL("GRANT USAGE ON SCHEMA quant_framework TO {}").format(name),
        sql.SQL("GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA quant_framework TO {}").format(name),
    )


@pytest.mark.timeout(30)
async def test_a_user_without_privileges_until_an_administrator_comes(database, user, exchange, make, context):
    store = DatabaseCheckpointStore(address(database, user, ODD))
    for _ in range(2):
        with pytest.raises(InvalidError, match=r"permission denied.*hint: grant it, or let an administrator run"):
            await store.commit(SERIES, spans((0, 1)))
    await DatabaseCheckpointStore(database).list()
    with pytest.raises(InvalidError, match=r"permission denied.*hint"):
        await store.load(SERIES)
    grant(database, user)
    result = await make(exchange, checkpoint_store=store).execute(context)
    assert result["status"] == "success", result["errors"]
    key = "coinalyze/ohlcv/BTCUSDT_PERP.A/1h"
    assert await store.list() == [key]
    assert await store.reset(key) == 1
    await store.delete(key)


async def test_a_newer_schema_is_refused_and_left_as_it_is(database):
    before = DatabaseCheckpointStore(database)
    await before.commit(SERIES, spans((0, 1)))
    execute(database, "UPDATE quant_framework.format SET format = 9, min_reader = 9")
    store = DatabaseCheckpointStore(database)
    for call in (store.load, store.commit, store.reset, store.delete):
        with pytest.raises(InvalidError, match=r"format 9, this version reads up to 1.*hint: upgrade"):
            await call(SERIES)
    execute(database, "UPDATE quant_framework.format SET min_reader = 1")
    assert await store.load(SERIES) == Checkpoint(spans((0, 1)))


# The first ones


def test_many_processes_that_come_first_at_the_same_time(database):
    code = """if True:
        import sys
        from quant_framework.ingestion.backfill import DatabaseCheckpointStore
        store = DatabaseCheckpointStore(sys.argv[1])
        print("ready", flush=True)
        sys.stdin.readline()
        store.commit_sync(f"first/ohlcv/S{sys.argv[2]}/1h", cursor="c")
    """
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    command = [sys.executable, "-c", code, database]
    processes = [subprocess.Popen([*command, str(number)], **pipes) for number in range(8)]
    for process in processes:
        assert process.stdout.readline() == "ready\n"
    for process in processes:
        process.stdin.write("\n")
        process.stdin.flush()
    errors = [process.communicate(timeout=300)[1] for process in processes]
    assert errors == [""] * 8
    assert len(DatabaseCheckpointStore(database).list_sync("first/")) == 8


async def test_many_stores_of_one_process_that_come_first(postgres, database):
    name = urlsplit(database).path[1:]
    for _ in range(5):
        commits = (DatabaseCheckpointStore(database).commit(f"first/ohlcv/S{n}/1h") for n in range(8))
        await asyncio.gather(*commits)
        assert len(await DatabaseCheckpointStore(database).list()) == 8
        postgres.database(name)


# What no message may say


HIDDEN = "Geheim-7Q"


async def provoke(text: str, password: str | None = None) -> list[str]:
    """Everything that a store of this address says, until it fails."""
    said = []
    try:
        store = open_checkpoint_store(text) if ":" in text else DatabaseCheckpointStore(text, password=password)
        said.append(repr(store))
        await store.commit(SERIES, spans((0, 1)))
    except QuantFrameworkError as error:
        return [*said, f"{error} {error!r} {error.message} {error.hint} {error.args}"]
    raise AssertionError("it works")


async def test_no_message_repr_or_log_line_has_a_password_in_it(database, user):
    place = urlsplit(database).netloc.rpartition("@")[2]
    execute(database, sql.SQL("ALTER USER {} PASSWORD {}").format(sql.Identifier(user), HIDDEN))
    urls = [
        address(database, "nobody", HIDDEN),
        address(database, USER, HIDDEN),
        address(database, user, HIDDEN),
        f"postgresql://{USER}:{HIDDEN}@{place}/no_such_database",
        f"postgresql://{USER}:{HIDDEN}@{place}/{urlsplit(database).path}?sslmode=require",
        f"postgresql://{USER}:{HIDDEN}@{place}/postgres?sslmode=often",
        f"postgresql://{USER}:{HIDDEN}@127.0.0.1:1/postgres",
        f"postgresql://{USER}:{HIDDEN}@127.0.0.1:port/postgres",
        f"postgresql://{USER}:{HIDDEN}@{place}/postgres?password={HIDDEN}",
        f"postgresql://{USER}@{place}/postgres?password={HIDDEN}",
        f"postgresql://{USER}@{place}/postgres?pasword={HIDDEN}",
        f"postgresql://{USER}:{HIDDEN}%ZZ@{place}/postgres",
        *(f"postgresql://{USER}:1{odd}{HIDDEN}@{place}/postgres" for odd in "@/?#:&= "),
        *(f"postgresql://{USER}:{HIDDEN}{odd}1@{place}/postgres" for odd in "@/?#:&= "),
        f"hybrid:s3://bucket/prefix?endpoint_url=http://127.0.0.1:1,postgresql://{USER}:{HIDDEN}@{place}/postgres",
        f"hybrid:postgresql://{USER}:{HIDDEN}@{place}/postgres",
        f"hybrid:s3://bucket?nonsense=1,postgresql://{USER}:{HIDDEN}@{place}/postgres",
    ]
    facts = [
        f"{pairs(database)} password={HIDDEN}",
        f"{pairs(database)} password='{HIDDEN}",
        f"{pairs(database)} pasword={HIDDEN}",
        f"{pairs(database, port='port')} password={HIDDEN}",
        f"{pairs(database)} password=1 {HIDDEN}",
        f"{pairs(database, host='no/such/host')} password={HIDDEN}",
    ]
    drain_log()
    cases = [(text, None) for text in [*urls, *facts]] + [(text, HIDDEN) for text in facts[1:]]
    said = await asyncio.gather(*(provoke(text, password) for text, password in cases))
    logged = [message for _, _, message in drain_log()]
    assert any("failed, again in" in message for message in logged), "nothing was provoked"
    leaks = [(text, line) for (text, _), lines in zip(cases, said, strict=True) for line in lines if HIDDEN in line]
    assert leaks == []
    assert [line for line in logged if HIDDEN in line] == []
