"""Whole checkpoint stores from the command line: status, rebuild, export, import."""

from __future__ import annotations

import asyncio
import io
import json

import pytest

from checkpoint_places import HOLED, START, WHOLE, LocalPlace, Places, at, key_of, known, spans
from postgres_server import PASSWORD
from quant_framework.cli import main
from quant_framework.ingestion.backfill import CheckpointStore, open_checkpoint_store
from servers import ACCESS, SECRET

pytest_plugins = ["checkpoint_parts"]

KINDS = ["local", "path", "s3", "postgresql", "hybrid"]


@pytest.fixture
def places(request):
    return Places(request)


def url_of(places: Places, kind: str) -> str:
    """The password is not in it: it comes from the environment."""
    if kind in ("local", "path"):
        return places.folder.as_uri() if kind == "local" else str(places.folder)
    places.environment.setenv("PGPASSWORD", PASSWORD)
    if kind == "s3":
        return places.s3.url
    dsn = places.dsn.replace(f":{PASSWORD}@", "@")
    return dsn if kind == "postgresql" else f"hybrid:{places.s3.url},{dsn}"


@pytest.fixture(params=KINDS)
def url(request, places):
    return url_of(places, request.param)


@pytest.fixture
def command(capsys):
    """Runs a command; its exit code, output and errors, in which no secret may be."""

    def command(*arguments: str) -> tuple[int, str, str]:
        code = main(arguments)
        said = capsys.readouterr()
        for secret in (ACCESS, SECRET, PASSWORD):
            assert secret not in said.out + said.err
        assert "Traceback" not in said.err
        return code, said.out, said.err

    return command


def fill(store: CheckpointStore) -> None:
    store.commit_sync(WHOLE, spans((0, 60), (120, 180)), spans((60, 120)), cursor="c", fingerprint="f")
    store.commit_sync(HOLED, spans((0, 60)))
    store.reset_sync(HOLED)
    store.commit_sync(key_of("BTC/USDT:USDT"), spans((1, 2)), generation=3)
    store.commit_sync("coinalyze/market/BTC", cursor="BTCUSDT_PERP.A")


def test_status(url, command):
    fill(open_checkpoint_store(url))
    code, out, err = command("status", "--checkpoint", url)
    assert (code, err) == (0, "")
    assert out.splitlines() == [
        f"{HOLED}: nothing, 0 gaps",
        f"{WHOLE}: {at(0).isoformat()} .. {at(180).isoformat()}, 1 gaps (1 empty)",
        f"{key_of('BTC/USDT:USDT')}: {at(1).isoformat()} .. {at(2).isoformat()}, 0 gaps",
    ]
    code, out, _ = command("status", "--checkpoint", url, "--prefix", "coinalyze/ohlcv/W", "--json")
    texts = [at(minute).isoformat() for minute in (0, 60, 120, 180)]
    whole = {"series": WHOLE, "generation": 0, "data": [texts[:2], texts[2:]], "empty": [texts[1:3]], "unknown": []}
    assert (code, json.loads(out)) == (0, [whole])
    assert command("status", "--checkpoint", url, "--prefix", "nothing") == (0, "", "no series is known here\n")
    assert command("status", "--checkpoint", url, "--prefix", "nothing", "--json") == (0, "[]\n", "")


def test_status_counts_what_nobody_asked_for_as_gaps(places, command):
    """A hole of 17 days between two backfills was shown as "0 gaps"."""
    url = url_of(places, "local")
    store = open_checkpoint_store(url)
    store.commit_sync(WHOLE, spans((0, 60), (120, 180)), spans((60, 70)))
    store.commit_sync(HOLED, spans((0, 60), (120, 180)))
    code, out, _ = command("status", "--checkpoint", url)
    assert code == 0
    assert [line.partition(", ")[2] for line in out.splitlines()] == [
        "1 gaps (1 never asked)",
        "2 gaps (1 empty, 1 never asked)",
    ]
    holed, whole = json.loads(command("status", "--checkpoint", url, "--json")[1])
    assert holed["unknown"] == [[at(60).isoformat(), at(120).isoformat()]]
    assert whole["unknown"] == [[at(70).isoformat(), at(120).isoformat()]]


def test_a_store_that_is_new_is_empty(url, command):
    assert command("status", "--checkpoint", url) == (0, "", "no series is known here\n")
    code, out, _ = command("export", "--checkpoint", url)
    assert (code, json.loads(out)["checkpoints"]) == (0, [])
    code, out, _ = command("rebuild", "--checkpoint", url)
    assert (code, out) == (0, "0 checkpoints, 0 repaired, 0 set aside, 0 rebuilt, 0 still wrong\n")


def test_exports_move_from_local_files_to_s3_to_postgresql_and_back(places, command, tmp_path, monkeypatch):
    urls = [url_of(places, kind) for kind in ("local", "s3", "postgresql")]
    fill(open_checkpoint_store(urls[0]))
    _, first, _ = command("export", "--checkpoint", urls[0])
    document, file = first, tmp_path / "export.json"
    for number, url in enumerate(urls[1:]):
        if number == 0:
            file.write_text(document)
            arguments = [str(file)]
        else:
            monkeypatch.setattr("sys.stdin", io.StringIO(document))
            arguments = ["-"]
        assert command("import", *arguments, "--checkpoint", url) == (0, "4 checkpoints merged in\n", "")
        code, document, err = command("export", "--checkpoint", url)
        assert (code, document, err) == (0, first, "")
    file.write_text(document)
    code, out, _ = command("import", str(file), "--checkpoint", (tmp_path / "again").as_uri(), "--json")
    assert (code, json.loads(out)) == (0, {"series": 4})
    stores = [open_checkpoint_store(url) for url in (urls[0], tmp_path / "again")]
    for key in stores[0].list_sync():
        assert stores[0].load_sync(key) == stores[1].load_sync(key)
    part = json.loads(command("export", "--checkpoint", urls[1], "--prefix", "odd/")[1])
    assert [entry["series"] for entry in part["checkpoints"]] == [key_of("BTC/USDT:USDT")]


def test_what_cannot_be_imported(places, command, tmp_path):
    url, file = url_of(places, "local"), tmp_path / "export.json"
    code, _, err = command("import", str(file), "--checkpoint", url)
    assert (code, err) == (2, f"error: cannot read {file}: No such file or directory\n")
    for body in ("{}", "", "[1"):
        file.write_text(body)
        code, _, err = command("import", str(file), "--checkpoint", url)
        assert (code, err.startswith("error: this is no export of checkpoints: "), err.count("\n")) == (2, True, 1)
    assert not places.folder.exists()


def test_a_document_that_is_no_text_is_wrong_usage(places, command, tmp_path):
    file = tmp_path / "export.json"
    file.write_bytes(b"\xff\xfe")
    code, _, err = command("import", str(file), "--checkpoint", url_of(places, "local"))
    assert (code, err.startswith("error: "), err.count("\n")) == (2, True, 1)


def test_repair_from_the_lake(url, command, run, lake_url):
    store = open_checkpoint_store(url)
    asyncio.run(run(store))
    before = {key: known(store.load_sync(key)) for key in (WHOLE, HOLED)}
    where = ["--checkpoint", url, "--lake", lake_url]
    for key in before:
        store.delete_sync(key)
    code, out, _ = command("rebuild", *where, "--prefix", "coinalyze/ohlcv/H", "--names-only", "--json")
    assert code == 0
    assert json.loads(out) == {"series": 0, "repaired": [], "set_aside": [], "rebuilt": [HOLED], "errors": []}
    assert store.load_sync(HOLED).empty == []
    store.delete_sync(HOLED)
    code, out, err = command("rebuild", *where)
    assert (code, err) == (0, "")
    assert out.splitlines() == [
        f"rebuilt: {HOLED}",
        f"rebuilt: {WHOLE}",
        "0 checkpoints, 0 repaired, 0 set aside, 2 rebuilt, 0 still wrong",
    ]
    again = open_checkpoint_store(url)
    assert {key: known(again.load_sync(key)) for key in before} == before


def test_a_lake_without_series_rebuilds_nothing_and_says_so(places, command, tmp_path):
    lake = (tmp_path / "mistyped").as_uri()
    code, out, err = command("rebuild", "--checkpoint", url_of(places, "local"), "--lake", lake)
    assert (code, out) == (2, "")
    assert err == f"error: the lake {lake} has no series whose key begins with ''\n"
    assert not (tmp_path / "mistyped").exists()


@pytest.mark.parametrize("kind", ["local", "s3"])
def test_damage(kind, places, command, run, lake_url):
    url, name = url_of(places, kind), f"{HOLED}.json"
    asyncio.run(run(open_checkpoint_store(url)))
    (LocalPlace(places.folder) if kind == "local" else places.s3).write(name, b"{")
    where = ["--checkpoint", url]
    code, out, err = command("status", *where)
    assert code == 1
    assert [line.partition(":")[0] for line in out.splitlines()] == [WHOLE]
    assert err.startswith("error: the checkpoint ")
    assert f"{name} cannot be read" in err
    assert "hint: restore it, or rebuild it from the lake: quant-framework rebuild" in err
    assert err.count("\n") == 1
    code, out, _ = command("status", *where, "--json")
    assert (code, [entry["series"] for entry in json.loads(out)]) == (1, [WHOLE])
    code, out, err = command("export", *where)
    assert (code, out) == (1, "")
    assert name in err
    for more in ([], ["--lake", lake_url]):
        code, out, err = command("rebuild", *where, *more)
        assert (code, out) == (1, "2 checkpoints, 0 repaired, 0 set aside, 0 rebuilt, 1 still wrong\n")
        assert err.startswith(f"error: {HOLED}: the checkpoint ")
    code, out, err = command("rebuild", *where, "--replace-damaged", "--lake", lake_url)
    assert (code, err) == (0, "")
    assert out.splitlines()[:2] == [f"set aside: {HOLED}", f"rebuilt: {HOLED}"]
    assert command("status", *where)[0] == 0
    assert len(open_checkpoint_store(url).load_sync(HOLED).empty) == 7


def test_copies_are_made_equal(places, command):
    url = url_of(places, "hybrid")
    fill(places.s3.store())
    code, out, _ = command("rebuild", "--checkpoint", url, "--json")
    assert (code, json.loads(out)["repaired"]) == (0, places.s3.store().list_sync())
    _, document, _ = command("export", "--checkpoint", url_of(places, "postgresql"))
    assert document == command("export", "--checkpoint", url_of(places, "s3"))[1]


@pytest.mark.parametrize(
    "url",
    [
        "nonsense",
        "relative/path",
        "mysql://me:SECRET@db/x",
        "s3://",
        "s3://bucket?access_key=SECRET",
        "postgresql://me:SECRET@db:port/x",
        "postgresql://me:SECRET@127.0.0.1/x?sslmode=often",
        "hybrid:s3://bucket",
        "hybrid:postgresql://me:SECRET@db/x,s3://bucket",
    ],
)
@pytest.mark.parametrize("name", ["status", "rebuild", "export", "import"])
def test_a_wrong_url_is_wrong_usage(name, url, places, command, tmp_path):
    document = tmp_path / "export.json"
    document.write_text('{"quant_framework_checkpoints": 1, "checkpoints": []}')
    arguments = [str(document)] if name == "import" else []
    code, out, err = command(name, *arguments, "--checkpoint", url.replace("SECRET", SECRET))
    assert (code, out) == (2, "")
    assert err.startswith("error: ")
    assert err.count("\n") == 1


def test_wrong_credentials_are_wrong_usage_and_are_not_shown(places, command, monkeypatch):
    s3, database = url_of(places, "s3"), url_of(places, "postgresql")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", SECRET[::-1])
    code, _, err = command("status", "--checkpoint", s3)
    assert (code, "access denied" in err, SECRET[::-1] in err) == (2, True, False)
    monkeypatch.setenv("PGPASSWORD", PASSWORD[::-1])
    code, _, err = command("status", "--checkpoint", database)
    assert (code, "password authentication failed" in err, PASSWORD[::-1] in err) == (2, True, False)
    code, _, err = command("status", "--checkpoint", "s3://bucket/prefix?endpoint_url=http://127.0.0.1:1")
    assert (code, err.startswith("error: cannot list s3://bucket/prefix/"), err.count("\n")) == (1, True, 1)


def test_where_it_is_may_come_from_the_environment(places, command, monkeypatch):
    monkeypatch.setenv("QUANT_FRAMEWORK_CHECKPOINT", url_of(places, "local"))
    open_checkpoint_store(places.folder).commit_sync(WHOLE, [(START, at(60 * 24 * 30))])
    assert command("status")[1].startswith(f"{WHOLE}: 2026-01-05")


def test_what_is_known_of_a_series_is_forgotten_with_its_holes(url, command):
    store = open_checkpoint_store(url)
    fill(store)
    ledger = f"{WHOLE}/gaps"
    store.commit_sync(ledger, generation=1, cursor='{"format":1,"holes":[]}')
    before = store.list_sync()
    assert command("forget", WHOLE, "coinalyze/ohlcv/NOBODY.R/1h", "--checkpoint", url)[0] == 2
    assert store.list_sync() == before, "all or none"
    code, said, _ = command("forget", WHOLE, "--checkpoint", url)
    assert (code, said) == (0, f"forgot {WHOLE}; the next run asks for it anew\n")
    assert store.list_sync() == [key for key in before if key not in (WHOLE, ledger)]
    assert json.loads(command("forget", HOLED, "--json", "--checkpoint", url)[1]) == {"forgotten": [HOLED]}
    assert HOLED not in store.list_sync()
