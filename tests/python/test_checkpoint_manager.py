"""The questions an author asks of a store, native or written in Python, and what moves between stores."""

from __future__ import annotations

import importlib
import json
from datetime import timedelta
from types import SimpleNamespace

import pytest

from checkpoint_places import CLASSES, SERIES, Places, at, key_of, spans
from quant_framework.errors import DataError, InvalidError
from quant_framework.ingestion import backfill
from quant_framework.ingestion.backfill import Checkpoint, CheckpointManager, MemoryCheckpointStore

pytest_plugins = ["checkpoint_parts"]

ETH = "coinalyze/ohlcv/ETHUSDT_PERP.A/1m"


class PlainStore:
    """Plain methods, and checkpoints of its own kind."""

    def __init__(self) -> None:
        self.native = MemoryCheckpointStore()

    def load(self, series):
        held = self.native.load_sync(series)
        if held is None:
            return None
        facts = {name: getattr(held, name) for name in ("generation", "cursor", "fingerprint")}
        return SimpleNamespace(data=held.data, empty=tuple(held.empty), **facts)

    def commit(self, series, data=None, empty=None, **facts):
        self.native.commit_sync(series, data, empty, **facts)

    def list(self, prefix):
        return self.native.list_sync(prefix)

    def delete(self, series):
        self.native.delete_sync(series)

    def reset(self, series):
        return self.native.reset_sync(series)


class AsyncStore:
    """``async`` methods over a native store."""

    def __init__(self) -> None:
        self.native = MemoryCheckpointStore()

    async def load(self, series):
        return await self.native.load(series)

    async def commit(self, series, data=None, empty=None, **facts):
        await self.native.commit(series, data, empty, **facts)

    async def list(self, prefix):
        return await self.native.list(prefix)

    async def delete(self, series):
        await self.native.delete(series)

    async def reset(self, series):
        return await self.native.reset(series)


class CountingStore(MemoryCheckpointStore):
    """A native store whose commits are overridden."""

    commits = 0

    async def commit(self, series, *ranges, **facts):
        CountingStore.commits += 1
        await super().commit(series, *ranges, **facts)


FOREIGN = {"plain": PlainStore, "async": AsyncStore, "subclass": CountingStore}


@pytest.fixture(params=[*CLASSES, *FOREIGN])
def store(request):
    return FOREIGN[request.param]() if request.param in FOREIGN else CLASSES[request.param](Places(request))


@pytest.fixture
def manager(store):
    return CheckpointManager(store)


@pytest.mark.parametrize("name", backfill.__all__)
def test_one_object_under_every_name(name):
    modules = {
        "DatabaseCheckpointStore": "database_store",
        "HybridCheckpointStore": "hybrid_store",
        "MinIOCheckpointStore": "minio_store",
    }
    package = importlib.import_module("quant_framework.orchestration.checkpoint")
    inner = importlib.import_module(f"{package.__name__}.{modules.get(name, 'base')}")
    assert getattr(backfill, name) is getattr(package, name) is getattr(inner, name)
    assert set(backfill.__all__) == set(package.__all__)


async def test_questions(manager):
    assert await manager.load(SERIES) is None
    assert await manager.resume_point(SERIES) is None
    assert await manager.cursor(SERIES) is None
    assert await manager.pending(SERIES, at(0), at(10)) == spans((0, 10))
    assert (await manager.progress(SERIES, at(0), at(10)))["covered"] == 0
    await manager.commit(SERIES, spans((0, 10), (20, 30)), spans((30, 40), (-9, -5)), cursor="offset-7")
    await manager.commit(ETH, spans((0, 1)), fingerprint="usd")
    held = await manager.load(SERIES)
    assert isinstance(held, Checkpoint)
    assert held == Checkpoint(spans((0, 10), (20, 30)), spans((30, 40), (-9, -5)), cursor="offset-7")
    assert (await manager.load(ETH)).fingerprint == "usd"
    assert await manager.resume_point(SERIES) == at(-5)
    assert await manager.cursor(SERIES) == "offset-7"
    assert await manager.pending(SERIES, at(-7), at(50)) == spans((-5, 0), (10, 20), (40, 50))
    assert await manager.progress(SERIES, at(0), at(100)) == {
        "series": SERIES,
        "covered": pytest.approx(0.3),
        "pending": spans((10, 20), (40, 100)),
        "empty": spans((30, 40)),
        "watermark": at(-5),
        "generation": 0,
    }
    assert (await manager.progress(SERIES, at(-7), at(35)))["empty"] == spans((-7, -5), (30, 35))
    assert await manager.list() == [SERIES, ETH]
    assert await manager.list("coinalyze/ohlcv/E") == [ETH]


async def test_a_reset_voids_late_commits_and_a_delete_leaves_no_trace(manager):
    await manager.commit(SERIES, spans((0, 10)), cursor="old")
    assert await manager.reset(SERIES) == 1
    await manager.commit(SERIES, spans((0, 10)), cursor="late")
    progress = await manager.progress(SERIES, at(0), at(10))
    assert (progress["covered"], progress["generation"], progress["watermark"]) == (0, 1, None)
    assert await manager.cursor(SERIES) is None
    await manager.commit(SERIES, spans((0, 5)), generation=1)
    assert await manager.resume_point(SERIES) == at(5)
    await manager.delete(SERIES)
    await manager.delete(SERIES)
    assert await manager.load(SERIES) is None
    assert await manager.list() == []


async def fill(manager: CheckpointManager) -> dict[str, Checkpoint]:
    """Commits every kind of fact, and answers what is held then."""
    precise = [(at(0), at(0) + timedelta(milliseconds=1)), (at(-60_000_000), at(-50_000_000))]
    await manager.commit(SERIES, precise, spans((10, 20)), cursor='{"offset": 7}', fingerprint="ü")
    await manager.commit(ETH, spans((0, 1)))
    await manager.reset(ETH)
    await manager.commit(key_of("BTC/USDT:USDT"), spans((0, 1)), generation=3)
    await manager.commit(key_of("x" * 300), spans((2, 3)))
    return {key: await manager.load(key) for key in await manager.list()}


async def test_an_export_merged_into_another_store_equals(manager):
    held = await fill(manager)
    assert len(held) == 4
    document = await manager.export()
    assert [entry["series"] for entry in json.loads(document)["checkpoints"]] == list(held)
    other = CheckpointManager(MemoryCheckpointStore())
    await other.commit(ETH, spans((5, 6)))
    await other.commit(SERIES, spans((15, 25)))
    for _ in range(2):
        assert await other.load_export(document) == 4
        there = {key: await other.load(key) for key in await other.list()}
        before = held[SERIES]
        merged = Checkpoint(
            before.data + spans((15, 25)), spans((10, 15)), cursor=before.cursor, fingerprint=before.fingerprint
        )
        assert there == held | {SERIES: merged}
    part = json.loads(await manager.export("odd/"))["checkpoints"]
    assert [entry["series"] for entry in part] == [key for key in held if key.startswith("odd/")]


async def test_an_import_into_any_store(manager):
    source = CheckpointManager(MemoryCheckpointStore())
    held = await fill(source)
    assert await manager.load_export(await source.export()) == 4
    assert {key: await manager.load(key) for key in await manager.list()} == held
    assert json.loads(await manager.export()) == json.loads(await source.export())


SPAN = ["2026-01-01T00:00:00Z", "2026-01-02T00:00:00Z"]


@pytest.mark.parametrize(
    ("last", "says"),
    [
        ({"data": [SPAN[::-1]]}, "not after its start"),
        ({"data": [["2026-01-01T00:00:00", SPAN[1]]]}, "time zone"),
        ({"empty": [[1, 2]]}, "no export"),
        ({"data": [[*SPAN, SPAN[1]]]}, "no export"),
        ({"generation": -1}, "no export"),
        ({"surprise": 1}, "surprise"),
        ({"series": None}, "no export"),
    ],
)
async def test_a_document_that_is_broken_at_its_end_merges_nothing(last, says):
    await refuses(CheckpointManager(MemoryCheckpointStore()), last, says)


async def test_a_document_whose_last_key_is_none_merges_nothing(manager):
    await refuses(manager, {"series": "../../etc/passwd"}, "series key")


async def refuses(manager: CheckpointManager, last: dict, says: str) -> None:
    entry = {"generation": 0, "data": [SPAN], "empty": []}
    entries = [entry | {"series": SERIES}, entry | {"series": ETH} | last]
    document = json.dumps({"quant_framework_checkpoints": 1, "checkpoints": entries})
    with pytest.raises(InvalidError, match=says) as refused:
        await manager.load_export(document)
    assert "\n" not in str(refused.value)
    assert await manager.list() == []


@pytest.mark.parametrize("document", ["", "[]", "{}", '{"quant_framework_checkpoints": 1}', "\0"])
async def test_what_is_no_export_is_refused(document):
    with pytest.raises(InvalidError, match="no export of checkpoints"):
        await CheckpointManager(MemoryCheckpointStore()).load_export(document)


async def test_an_export_of_a_newer_version_is_refused():
    newer = '{"quant_framework_checkpoints": 9, "checkpoints": []}'
    with pytest.raises(InvalidError, match=r"version 9.*upgrade"):
        await CheckpointManager(MemoryCheckpointStore()).load_export(newer)


async def test_a_repair_of_what_is_well_changes_nothing(manager):
    held = await fill(manager)
    nothing = {"repaired": [], "set_aside": [], "rebuilt": [], "errors": []}
    assert await manager.repair(replace_damaged=True) == nothing | {"series": 4}
    assert await manager.repair("odd/") == nothing | {"series": 2}
    assert {key: await manager.load(key) for key in await manager.list()} == held


async def test_a_repair_of_a_foreign_store_whose_load_fails():
    class Damaged(PlainStore):
        damaged = ETH

        def load(self, series):
            if series == self.damaged:
                raise DataError("the row of ETH is garbled")
            return super().load(series)

        def delete(self, series):
            self.damaged = None
            super().delete(series)

    manager = CheckpointManager(Damaged())
    for key in (SERIES, ETH):
        await manager.commit(key, spans((0, 1)))
    report = await manager.repair()
    assert (report["series"], [error["series"] for error in report["errors"]]) == (2, [ETH])
    assert "garbled" in report["errors"][0]["message"]
    assert await manager.list() == [SERIES, ETH]
    report = await manager.repair(replace_damaged=True)
    assert (report["set_aside"], report["errors"]) == ([ETH], [])
    assert await manager.list() == [SERIES]


async def test_overridden_methods_of_a_native_store_are_called():
    before = CountingStore.commits
    manager = CheckpointManager(CountingStore())
    source = CheckpointManager(MemoryCheckpointStore())
    await fill(source)
    await manager.load_export(await source.export())
    assert CountingStore.commits == before + 4
