"""Checkpoints in S3 and PostgreSQL: each copy comes back from the other, and both from the lake."""

from __future__ import annotations

import asyncio
import zlib
from urllib.parse import urlsplit

import psycopg
import pytest

from checkpoint_places import END, HOLED, START, WHOLE, Places, known, spans
from postgres_server import Postgres
from quant_framework.errors import DataError, InvalidError, UnavailableError
from quant_framework.ingestion.backfill import (
    Checkpoint,
    CheckpointManager,
    DatabaseCheckpointStore,
    HybridCheckpointStore,
)

pytest_plugins = ["checkpoint_parts"]


@pytest.fixture
def places(request):
    return Places(request)


@pytest.fixture
def hybrid(places):
    """A function that opens both copies again."""
    return lambda: HybridCheckpointStore(places.s3.store(), DatabaseCheckpointStore(places.dsn))


async def test_a_damaged_copy_in_s3_is_restored_from_the_database(places, hybrid, run, asks_nothing):
    await run(hybrid())
    before, name = await hybrid().load(HOLED), f"{HOLED}.json"
    spoiled = places.s3.read(name)[:-1]
    places.s3.write(name, spoiled)
    for call in ("load", "commit", "reset"):
        with pytest.raises(DataError, match=rf"{name} cannot be read.*quant-framework rebuild"):
            await getattr(hybrid(), call)(HOLED)
    assert (await run(hybrid()))[0]["status"] == "partial"
    report = await CheckpointManager(hybrid()).repair()
    assert [(error["series"], error["kind"]) for error in report["errors"]] == [(HOLED, "data")]
    assert places.s3.read(name) == spoiled
    report = await CheckpointManager(hybrid()).repair(replace_damaged=True)
    assert (report["series"], report["set_aside"], report["errors"]) == (2, [HOLED], [])
    assert places.s3.read(f"{name}.damaged-{zlib.crc32(spoiled):08x}") == spoiled
    assert await places.s3.store().load(HOLED) == await hybrid().load(HOLED) == before
    await asks_nothing(hybrid())


@pytest.mark.parametrize("by", ["load", "repair"])
async def test_a_database_that_was_lost_is_made_again_from_s3(by, places, hybrid, run, postgres, asks_nothing):
    await run(hybrid())
    before = {key: await hybrid().load(key) for key in (WHOLE, HOLED)}
    postgres.database(urlsplit(places.dsn).path[1:])
    assert await DatabaseCheckpointStore(places.dsn).list() == []
    if by == "load":
        store = hybrid()
        assert {key: await store.load(key) for key in before} == before
    else:
        report = await CheckpointManager(hybrid()).repair()
        assert (report["repaired"], report["errors"]) == ([HOLED, WHOLE], [])
    database = DatabaseCheckpointStore(places.dsn)
    assert {key: await database.load(key) for key in await database.list()} == before
    await asks_nothing(hybrid())


async def test_both_copies_lost_are_rebuilt_from_the_lake(places, hybrid, run, lake, postgres, asks_nothing):
    await run(hybrid())
    before = {key: known(await hybrid().load(key)) for key in (WHOLE, HOLED)}
    postgres.database(urlsplit(places.dsn).path[1:])
    for key in before:
        places.s3.delete(f"{key}.json")
    report = await CheckpointManager(hybrid()).repair(lake=lake)
    assert (report["series"], report["rebuilt"], report["errors"]) == (0, [HOLED, WHOLE], [])
    for store in (hybrid(), places.s3.store(), DatabaseCheckpointStore(places.dsn)):
        assert {key: known(await store.load(key)) for key in await store.list("coinalyze/ohlcv")} == before
    await asks_nothing(hybrid())


async def test_what_only_s3_has_is_seen_by_the_next_run(places, hybrid, run):
    """A run that died between the two writes."""
    await hybrid().commit(WHOLE, spans((0, 1)))
    await places.s3.store().commit(WHOLE, [(START, END)], cursor="c")
    await places.s3.store().commit(HOLED, [(START, END)])
    result, requests = await run(hybrid())
    assert (result["status"], requests) == ("success", 0), result["errors"]
    database = DatabaseCheckpointStore(places.dsn)
    assert await database.load(WHOLE) == await places.s3.store().load(WHOLE)
    assert (await database.load(HOLED)).data == [(START, END)]


@pytest.mark.parametrize("by", ["load", "repair"])
async def test_copies_that_differ_are_both_made_their_merge(by, places, hybrid):
    minio, database = places.s3.store(), DatabaseCheckpointStore(places.dsn)
    await minio.commit(WHOLE, spans((0, 10)), spans((20, 30)), cursor="b")
    await database.commit(WHOLE, spans((5, 25)), cursor="a", fingerprint="f")
    await minio.commit(HOLED, spans((0, 10)))
    await database.reset(HOLED)
    store = hybrid()
    if by == "load":
        assert await store.load(WHOLE) == Checkpoint(spans((0, 25)), spans((25, 30)), cursor="b", fingerprint="f")
        assert await store.load(HOLED) == Checkpoint(generation=1)
    else:
        assert await store.list() == [HOLED, WHOLE]
        assert (await CheckpointManager(store).repair())["repaired"] == [HOLED, WHOLE]
    for key in (WHOLE, HOLED):
        assert await minio.load(key) == await database.load(key) == await hybrid().load(key)
    assert (await CheckpointManager(hybrid()).repair())["repaired"] == []
    await minio.commit(HOLED, spans((0, 10)))
    assert await store.reset(HOLED) == 2
    assert await minio.load(HOLED) == await database.load(HOLED) == Checkpoint(generation=2)


@pytest.mark.parametrize("lost", ["the database", "the schema"])
@pytest.mark.timeout(60)
async def test_a_database_lost_while_in_use_is_one_line_with_a_hint(lost, database, postgres):
    store, name = DatabaseCheckpointStore(database), urlsplit(database).path[1:]
    await store.commit(WHOLE, spans((0, 1)))
    if lost == "the database":
        postgres.drop(name)
    else:
        with psycopg.connect(database, autocommit=True) as connection:
            connection.execute("DROP SCHEMA quant_framework CASCADE")
    for call in ("load", "commit", "reset"):
        with pytest.raises((InvalidError, DataError), match=f"/{name}.*hint:.*quant-framework rebuild") as refused:
            await getattr(store, call)(WHOLE)
        assert "\n" not in str(refused.value)
    postgres.database(name)
    assert await DatabaseCheckpointStore(database).list() == []


async def test_with_the_database_away_nothing_is_lost(places):
    """A commit says that S3 has it; when the database is back, a new store brings it over, and so does the old one."""
    with Postgres() as server:
        old, new = (HybridCheckpointStore(places.s3.store(), DatabaseCheckpointStore(server.dsn)) for _ in range(2))
        for key in (WHOLE, HOLED):
            await old.commit(key, spans((0, 1)))
            assert await old.load(key) == Checkpoint(spans((0, 1)))
        server.stop()
        commits = (old.commit(key, spans((1, 2))) for key in (WHOLE, HOLED))
        for answer in await asyncio.gather(*commits, return_exceptions=True):
            assert isinstance(answer, UnavailableError)
            assert "committed to S3, not to the database" in str(answer)
            assert "nothing is lost" in str(answer)
            assert "\n" not in str(answer)
        assert await places.s3.store().load(WHOLE) == Checkpoint(spans((0, 2)))
        server.start()
        assert await new.load(WHOLE) == Checkpoint(spans((0, 2)))
        assert await DatabaseCheckpointStore(server.dsn).load(WHOLE) == Checkpoint(spans((0, 2)))
        assert await old.load(HOLED) == Checkpoint(spans((0, 2)))
