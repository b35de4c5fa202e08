"""What every checkpoint store promises, through the Python surface, however it was opened."""

from __future__ import annotations

import asyncio
import pickle
from collections.abc import Callable
from datetime import datetime, timedelta, timezone
from itertools import permutations
from zoneinfo import ZoneInfo

import pytest

from checkpoint_places import CLASSES, SERIES, URLS, Places, at, key_of, spans
from postgres_server import PASSWORD
from quant_framework.errors import InvalidError
from quant_framework.ingestion.backfill import Checkpoint, CheckpointStore
from servers import SECRET

pytest_plugins = ["checkpoint_parts"]


@pytest.fixture(params=CLASSES | URLS)
def reopen(request):
    """A function that opens one place again, in each way; what is in memory stays the same store."""
    return opener(request)


@pytest.fixture(params=CLASSES)
def reopen_class(request):
    """As ``reopen``, by the classes alone: for what costs more."""
    return opener(request)


def opener(request) -> Callable[[], CheckpointStore]:
    places, kind = Places(request), request.param
    if kind in ("Memory", "memory:"):
        store = (CLASSES | URLS)[kind](places)
        return lambda: store
    return lambda: (CLASSES | URLS)[kind](places)


@pytest.fixture(params=["async", "sync"])
def ask(request):
    """Calls a method of a store, or its blocking twin."""

    async def ask(store, method, *arguments, **named):
        if request.param == "async":
            return await getattr(store, method)(*arguments, **named)
        return getattr(store, f"{method}_sync")(*arguments, **named)

    return ask


async def test_the_issues_example(reopen, ask):
    start, end, a, b = at(0), at(10), at(10), at(12)
    store = reopen()
    assert await ask(store, "load", SERIES) is None
    await ask(store, "commit", SERIES, data=[(start, end)], empty=[(a, b)])
    checkpoint = await ask(reopen(), "load", SERIES)
    assert checkpoint.data == [(start, end)]
    assert checkpoint.empty == [(a, b)]
    assert (checkpoint.watermark, checkpoint.cursor, checkpoint.generation) == (b, None, 0)
    assert checkpoint.missing(at(-5), at(20)) == spans((-5, 0), (12, 20))


async def test_listing_deleting_and_generations(reopen, ask):
    store, other = reopen(), "coinalyze/ohlcv/ETHUSDT_PERP.A/1m"
    await ask(store, "delete", SERIES)
    for key in (other, SERIES):
        await ask(store, "commit", key, spans((0, 10)))
    assert await ask(store, "list") == [SERIES, other]
    assert await ask(store, "list", "coinalyze/ohlcv/E") == [other]
    assert await ask(store, "list", "coinalyze_") == []
    assert await ask(store, "reset", SERIES) == 1
    await ask(store, "commit", SERIES, spans((0, 10)), cursor="late", fingerprint="late")
    assert await ask(reopen(), "load", SERIES) == Checkpoint(generation=1)
    await ask(store, "commit", SERIES, spans((1, 2)), generation=1, cursor="c", fingerprint="f")
    assert await ask(reopen(), "reset", SERIES) == 2
    await ask(store, "commit", SERIES, spans((3, 4)), generation=7)
    await ask(store, "commit", SERIES, spans((5, 6)), generation=6)
    assert await ask(reopen(), "load", SERIES) == Checkpoint(spans((3, 4)), generation=7)
    await ask(reopen(), "delete", SERIES)
    assert await ask(store, "load", SERIES) is None
    assert await ask(store, "list") == [other]
    assert await ask(store, "reset", SERIES) == 1, "what was deleted left no generation behind"


async def test_merges_are_the_same_in_any_order_and_twice_is_once(reopen_class):
    parts = [
        {"empty": spans((0, 10)), "cursor": "b", "fingerprint": "x"},
        {"data": spans((5, 20)), "cursor": "c"},
        {"empty": spans((15, 30)), "data": spans((40, 50)), "cursor": "a", "fingerprint": "w"},
        {},
    ]
    merged = Checkpoint(spans((5, 20), (40, 50)), spans((0, 5), (20, 30)), cursor="c", fingerprint="x")
    store = reopen_class()
    for order in permutations(range(4)):
        for part in (*order, order[0]):
            await store.commit(SERIES, **parts[part])
        held = await store.load(SERIES)
        assert held == merged, order
        assert (held.cursor, held.fingerprint, held.watermark) == ("c", "x", at(30))
        await store.delete(SERIES)


CURSORS = ("", "'; DROP TABLE checkpoints; --", '{"a": "\\u0000"}', 'Ω\n\t"', "x" * 100_000)


async def test_cursors_are_opaque(reopen_class):
    store, again = reopen_class(), reopen_class()
    for number, cursor in enumerate(CURSORS):
        await store.commit(SERIES, cursor=cursor, generation=number)
        assert (await again.load(SERIES)).cursor == cursor


async def test_a_zero_in_a_cursor_is_kept_or_refused(reopen_class):
    """PostgreSQL's texts have none: where S3 has it already, the copies can never be made equal."""
    store = reopen_class()
    try:
        await store.commit(SERIES, cursor="a\0b")
    except InvalidError:
        assert await reopen_class().load(SERIES) is None
    else:
        assert (await reopen_class().load(SERIES)).cursor == "a\0b"


async def test_the_watermark_moves_when_the_hole_is_filled(reopen):
    store = reopen()
    await store.commit(SERIES, spans((0, 10), (20, 30)))
    assert (await store.load(SERIES)).watermark == at(10)
    await store.commit(SERIES, empty=spans((10, 20)))
    assert (await reopen().load(SERIES)).watermark == at(30)


async def test_odd_names(reopen):
    long = "x" * 300
    keys = [
        key_of(symbol) for symbol in ("BTC/USDT:USDT", "..", "../x", "Ωμέγα", ".hidden", "a~b_c%", long, long + "y")
    ]
    store = reopen()
    for number, key in enumerate(keys):
        await store.commit(key, spans((0, 1 + number)))
    again = reopen()
    for number, key in enumerate(keys):
        assert await again.load(key) == Checkpoint(spans((0, 1 + number))), key
    assert await again.list("odd/") == sorted(keys)
    assert len(await store.list("odd/ohlcv/%2E")) == 3
    assert await store.list(f"odd/ohlcv/{long}y") == [keys[-1]]


async def test_what_is_no_key_is_refused(reopen):
    store = reopen()
    for key in ("", "a//b", "../x", "/etc/passwd", "a/.b", "a/b c", "a/é", "a/b\0"):
        for call in (store.load, store.delete, store.reset, store.commit):
            with pytest.raises(InvalidError, match="series key"):
                await call(key)
    assert await store.list() == []


async def test_commits_and_deletes_answer_nothing(reopen, ask):
    store = reopen()
    assert await ask(store, "commit", SERIES, spans((0, 1))) is None
    assert await ask(store, "delete", SERIES) is None


async def test_a_hundred_thousand_ranges(reopen_class):
    ranges = spans(*((3 * number, 3 * number + 1) for number in range(100_000)))
    await reopen_class().commit(SERIES, ranges)
    held = await reopen_class().load(SERIES)
    assert held == Checkpoint(ranges)
    assert (len(held.data), held.watermark) == (100_000, at(1))
    await reopen_class().commit(SERIES, empty=spans((1, 3)))
    assert (await reopen_class().load(SERIES)).watermark == at(4)


async def test_times_are_aware_and_come_back_in_utc(reopen, ask):
    store = reopen()
    naive = at(0).replace(tzinfo=None)
    with pytest.raises(InvalidError, match=r"start must be an aware datetime.*hint.*timezone.utc"):
        await ask(store, "commit", SERIES, [(naive, at(1))])
    with pytest.raises(InvalidError, match="end must be an aware datetime"):
        await ask(store, "commit", SERIES, empty=[(at(0), naive)])
    with pytest.raises(InvalidError, match="aware datetime, not int"):
        await ask(store, "commit", SERIES, [(0, 60_000)])
    with pytest.raises(InvalidError, match="not after its start"):
        await ask(store, "commit", SERIES, spans((1, 1)))
    assert await store.load(SERIES) is None
    summer = datetime(2026, 7, 1, tzinfo=ZoneInfo("America/New_York"))
    west = datetime(2026, 1, 1, tzinfo=timezone(timedelta(hours=5, minutes=30)))
    await ask(store, "commit", SERIES, [(west, at(0))], [(summer, summer + timedelta(milliseconds=1))])
    held = await reopen().load(SERIES)
    assert held.data == [(datetime(2025, 12, 31, 18, 30, tzinfo=timezone.utc), at(0))]
    midnight = datetime(2026, 7, 1, 4, tzinfo=timezone.utc)
    assert held.empty == [(midnight, midnight + timedelta(milliseconds=1))]
    assert {end.utcoffset() for span in held.data + held.empty for end in span} == {timedelta(0)}


async def test_concurrent_commits_all_count(reopen_class):
    stores = [reopen_class() for _ in range(4)]
    await stores[0].commit(SERIES)
    commits = (stores[n % 4].commit(SERIES, spans((2 * n, 2 * n + 1)), cursor=f"{n:02}") for n in range(48))
    await asyncio.gather(*commits)
    held = await reopen_class().load(SERIES)
    assert held == Checkpoint(spans(*((2 * n, 2 * n + 1) for n in range(48))), cursor="47")


async def test_concurrent_commits_to_many_series(reopen_class):
    store = reopen_class()
    keys = [f"many/ohlcv/S{number:02}/1h" for number in range(24)]
    await asyncio.gather(*(store.commit(key, spans((part, part + 1))) for key in keys for part in (0, 1)))
    again = reopen_class()
    assert await again.list("many/") == keys
    assert [(await again.load(key)).data for key in keys] == [spans((0, 2))] * len(keys)


async def test_a_cancelled_commit_leaves_old_or_new(reopen_class):
    store, again = reopen_class(), reopen_class()
    old, new = Checkpoint(spans((0, 10))), Checkpoint(spans((0, 20)))
    for turns in range(12):
        key = f"cancelled/ohlcv/S{turns}/1h"
        await store.commit(key, old.data)
        commit = store.commit(key, spans((10, 20)))
        for _ in range(turns**2):
            await asyncio.sleep(0)
        cancelled = commit.cancel()
        (answer,) = await asyncio.gather(commit, return_exceptions=True)
        assert isinstance(answer, asyncio.CancelledError) == cancelled
        assert await store.load(key) in ((old, new) if cancelled else (new,))
        await store.commit(key, spans((10, 20)))
        assert await again.load(key) == new


async def test_a_store_shows_no_secret_and_stays_in_its_process(reopen):
    store = reopen()
    assert "CheckpointStore(" in repr(store)
    for secret in (SECRET, PASSWORD, "test-access-key", "postgres@", "postgres:"):
        assert secret not in repr(store)
    with pytest.raises(TypeError):
        pickle.dumps(store)
