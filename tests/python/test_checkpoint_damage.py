"""Checkpoints that cannot be read are never overwritten, and come back from the lake."""

from __future__ import annotations

import json
import zlib
from datetime import timedelta

import pytest

from checkpoint_places import END, HOLED, HOURS, START, WHOLE, LocalPlace, Places, at, key_of, known, spans
from quant_framework.errors import DataError, InvalidError
from quant_framework.ingestion.backfill import Checkpoint, CheckpointManager

pytest_plugins = ["checkpoint_parts"]


def flipped(bit: int):
    def flip(body: bytes) -> bytes:
        at, spoiled = bit % (8 * len(body)), bytearray(body)
        spoiled[at // 8] ^= 1 << at % 8
        return bytes(spoiled)

    return flip


DAMAGES = {
    "empty": lambda body: b"",
    "cut in its head": lambda body: body[:7],
    "cut in half": lambda body: body[: len(body) // 2],
    "without its last byte": lambda body: body[:-1],
    "a bit of its first byte": flipped(2),
    "a bit of its checksum": flipped(8 * 12),
    "a bit of a range": flipped(-8 * 12),
    "zeros": lambda body: bytes(len(body)),
}


@pytest.fixture(params=["local", "s3"])
def place(request, tmp_path):
    return LocalPlace(tmp_path / "checkpoints") if request.param == "local" else Places(request).s3


async def assert_untouched(place, run, error: type[Exception], says: str) -> None:
    """Neither reads nor writes get through to HOLED's bytes, of new stores or of one that knew them before."""
    name, held = f"{HOLED}.json", place.read(f"{HOLED}.json")
    for call in ("load", "commit", "reset"):
        with pytest.raises(error, match=says) as refused:
            await getattr(place.store(), call)(HOLED)
        assert place.path(name) in str(refused.value)
        assert "\n" not in str(refused.value)
    with pytest.raises(error, match=says):
        await place.store().commit(HOLED, spans((0, 1)), generation=99)
    result, requests = await run(place.store())
    assert (result["status"], requests) == ("partial", 0)
    assert [(failure["kind"], failure["series"]) for failure in result["errors"]] == [(error.kind, HOLED)]
    assert place.read(name) == held
    assert await place.store().list() == [HOLED, WHOLE]


@pytest.mark.parametrize("damage", DAMAGES)
async def test_damage_is_found_kept_set_aside_and_made_good(damage, place, run, lake, asks_nothing):
    store = place.store()
    assert (await run(store))[0]["status"] == "success"
    before, name = await store.load(HOLED), f"{HOLED}.json"
    assert len(before.empty) == 7
    spoiled = DAMAGES[damage](place.read(name))
    place.write(name, spoiled)
    await assert_untouched(place, run, DataError, "cannot be read.*quant-framework rebuild")
    with pytest.raises(DataError, match="cannot be read"):
        await store.commit(HOLED, spans((0, 1)))
    manager = CheckpointManager(place.store())
    for options in ({}, {"lake": lake}):
        report = await manager.repair(**options)
        assert [(error["series"], error["kind"]) for error in report["errors"]] == [(HOLED, "data")]
        assert (report["series"], report["set_aside"], report["rebuilt"]) == (2, [], [])
    assert place.read(name) == spoiled

    report = await manager.repair(replace_damaged=True, lake=lake)
    assert (report["set_aside"], report["rebuilt"], report["errors"]) == ([HOLED], [HOLED], [])
    (aside,) = (held for held in place.names() if ".damaged-" in held)
    assert place.read(aside) == spoiled
    assert known(await place.store().load(HOLED)) == known(before)
    await asks_nothing(place.store())
    await store.commit(HOLED, [(END, END + timedelta(hours=1))])
    assert (await place.store().load(HOLED)).data[-1][1] == END + timedelta(hours=1)


async def test_a_damaged_checkpoint_set_aside_alone_is_fetched_again(place, run):
    await run(place.store())
    place.write(f"{WHOLE}.json", b"{}")
    manager = CheckpointManager(place.store())
    assert (await manager.repair("coinalyze/ohlcv/H", replace_damaged=True))["set_aside"] == []
    assert (await manager.repair(replace_damaged=True))["set_aside"] == [WHOLE]
    assert await manager.list() == [HOLED]
    result, requests = await run(place.store())
    assert (result["status"], requests) == ("success", HOURS / 48)


async def test_another_series_under_its_name_is_no_checkpoint(place, run):
    await run(place.store())
    place.write(f"{HOLED}.json", place.read(f"{WHOLE}.json"))
    await assert_untouched(place, run, DataError, f"is of {WHOLE}, not of {HOLED}")


@pytest.mark.parametrize("names_only", [False, True])
async def test_lost_checkpoints_are_rebuilt_from_the_lake(names_only, place, run, lake, asks_nothing):
    store = place.store()
    await run(store)
    before = {key: await store.load(key) for key in (WHOLE, HOLED)}
    for key in before:
        place.delete(f"{key}.json")
    manager = CheckpointManager(place.store())
    assert (await manager.repair("coinalyze/ohlcv/W", lake=lake, names_only=names_only))["rebuilt"] == [WHOLE]
    report = await manager.repair(lake=lake, names_only=names_only)
    assert (report["series"], report["rebuilt"], report["errors"]) == (1, [HOLED], [])
    assert known(await manager.load(WHOLE)) == known(before[WHOLE])
    holed = known(await manager.load(HOLED))
    assert holed == (([(START, END)], [], 0) if names_only else known(before[HOLED]))
    assert (await manager.repair(lake=lake, names_only=names_only))["rebuilt"] == []
    await asks_nothing(place.store())
    assert (await place.store().load(HOLED)).fingerprint is None, "nothing was fetched, nothing was committed"


async def test_a_newer_format_is_refused_and_left_as_it_is(place, run, lake):
    await run(place.store())
    body = b'"format":9,"min_reader":9,"series":"%s","cells":[]}' % HOLED.encode()
    newer = b'{"crc32":"%08x",' % zlib.crc32(body) + body
    place.write(f"{HOLED}.json", newer)
    await assert_untouched(place, run, InvalidError, "format 9.*upgrade quant-framework")
    report = await CheckpointManager(place.store()).repair(replace_damaged=True, lake=lake)
    assert (report["set_aside"], report["rebuilt"]) == ([], [])
    assert [(error["series"], error["kind"]) for error in report["errors"]] == [(HOLED, "invalid")]
    assert place.read(f"{HOLED}.json") == newer


async def test_the_first_format_is_read_and_replaced_by_the_next_commit(place):
    milliseconds = [int(end.timestamp() * 1000) for end in (at(0), at(1), at(2))]
    coverage = {"data": [milliseconds[:2]], "empty": [milliseconds[1:]]}
    first = {"format": 1, "min_reader": 1, "series": WHOLE, "generation": 3, "coverage": coverage, "cursor": "c"}
    await place.store().commit(WHOLE)
    place.write(f"{WHOLE}.json", json.dumps(first).encode())
    assert await place.store().load(WHOLE) == Checkpoint(spans((0, 1)), spans((1, 2)), generation=3, cursor="c")
    await place.store().commit(WHOLE, spans((1, 2)), generation=3)
    assert await place.store().load(WHOLE) == Checkpoint(spans((0, 2)), generation=3, cursor="c")
    assert place.read(f"{WHOLE}.json").startswith(b'{"crc32":')


async def test_a_damaged_object_of_the_lake_is_named_and_stops_no_other_series(place, run, lake, tmp_path):
    await run(place.store())
    before = await place.store().load(WHOLE)
    for key in (WHOLE, HOLED):
        place.delete(f"{key}.json")
    spoiled = sorted((tmp_path / "lake").rglob("symbol=HOLED.R/**/*.parquet"))[1]
    spoiled.write_bytes(spoiled.read_bytes()[:-9])
    report = await CheckpointManager(place.store()).repair(lake=lake)
    assert report["rebuilt"] == [WHOLE]
    assert [(error["series"], error["kind"]) for error in report["errors"]] == [(HOLED, "data")]
    assert spoiled.name in report["errors"][0]["message"]
    assert known(await place.store().load(WHOLE)) == known(before)
    assert await place.store().load(HOLED) is None


async def test_damage_under_a_name_that_was_shortened_is_repaired_too(place):
    """The key of a long name stands inside alone: the listing leaves out what cannot be read."""
    key = key_of("x" * 300)
    await place.store().commit(key, spans((0, 1)))
    (name,) = (held for held in place.names() if held.endswith(".json"))
    place.write(name, place.read(name)[:-1])
    with pytest.raises(DataError, match="cannot be read"):
        await place.store().load(key)
    manager = CheckpointManager(place.store())
    assert len((await manager.repair())["errors"]) == 1
    assert len((await manager.repair(replace_damaged=True))["set_aside"]) == 1
    assert await place.store().load(key) is None
