"""Coverage: what is drawn of real backfills, of holes of every kind, of hostile keys and of many series."""

from __future__ import annotations

import asyncio
import io
import json
import time
from datetime import datetime, timedelta, timezone
from html.parser import HTMLParser
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest

from conftest import END, START, Context
from orchestration_runs import BTC, ETH, HOURS, KEY
from quant_framework.cli import coverage as coverage_cli
from quant_framework.cli import main
from quant_framework.errors import InvalidError, UnavailableError
from quant_framework.ingestion.backfill import LocalCheckpointStore, MemoryCheckpointStore, open_checkpoint_store
from quant_framework.orchestration.coverage import coverage_map, coverage_page, draw_coverage
from quant_framework.orchestration.tasks import detect_gaps
from quant_framework.orchestration.tasks.running import wait_for
from quant_framework.testing import Fault
from test_readme import run_snippets

pytest_plugins = ["checkpoint_fixtures"]

HOUR = timedelta(hours=1)
KINDS = ("no_trade", "outage", "beyond_retention", "not_listed", "unresolved")
VOID = {"meta", "link", "br", "hr", "img", "input"}


def look(store: Any, **options: Any) -> dict[str, Any]:
    return wait_for(coverage_map, store, **options)


def ms(at: datetime) -> int:
    return int(at.timestamp() * 1000)


def hole(start: int, end: int, kind: str, attempts: int = 1) -> dict[str, Any]:
    """In hours."""
    asked = ms(END) if attempts > 1 else None
    span = [ms(START + start * HOUR), ms(START + end * HOUR)]
    return {"range": span, "kind": kind, "attempts": attempts, "first_seen": ms(END), "last_checked": asked}


def remember(store: Any, key: str, holes: list[dict[str, Any]], *, number: int = 1) -> None:
    """The gap ledger of ``key``, as a repair leaves it."""
    store.commit_sync(f"{key}/gaps", cursor=json.dumps({"format": number, "holes": holes}), generation=1)


def spans(row: dict[str, Any]) -> list[tuple[int, int, str]]:
    hour = lambda text: int((datetime.fromisoformat(text) - START) / HOUR)  # noqa: E731
    return [(hour(span["start"]), hour(span["end"]), span["kind"]) for span in row["spans"]]


def put_kinds(store: Any, key: str = KEY) -> None:
    """Ten hours of each kind, data in between, and the last day never asked for."""
    parts = range(10, 10 + 20 * len(KINDS), 20)
    holes = [(start, start + 10, kind) for start, kind in zip(parts, KINDS, strict=True)]
    data = [(START, START + 10 * HOUR), *((START + (end) * HOUR, START + (end + 10) * HOUR) for _, end, _ in holes)]
    empty = [(START + start * HOUR, START + end * HOUR) for start, end, kind in holes if kind != "beyond_retention"]
    store.commit_sync(key, data=data, empty=empty)
    remember(store, key, [hole(start, end, kind, 3) for start, end, kind in holes])


class Page(HTMLParser):
    """A page as its elements; fails where they do not nest."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.texts: list[str] = []
        self.feed(text)
        assert self.open == [], "every element ends"

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.texts.append(data)

    def all(self, tag: str, class_name: str | None = None) -> list[dict[str, str | None]]:
        wanted = lambda found: class_name is None or class_name in (found.get("class") or "").split()  # noqa: E731
        return [found for name, found in self.elements if name == tag and wanted(found)]


def test_a_real_backfill_with_holes_in_it(exchange, make, tmp_path):
    exchange.inject(Fault("bad_ohlc", times=2, symbol=ETH))
    store = LocalCheckpointStore(tmp_path / "checkpoints")
    assert asyncio.run(make(exchange, symbols=[BTC, ETH], concurrency=1).execute(Context()))["status"] == "success"
    eth = KEY.replace(BTC, ETH)
    found = look(store, start=START, end=END)
    assert [row["series"] for row in found["series"]] == [KEY, eth]
    whole, lacking = found["series"]
    assert (whole["bars"], whole["covered"], whole["holes"]) == ({"data": HOURS}, 1.0, 0)
    assert whole["watermark"] == f"{END:%Y-%m-%dT%H:%M:%SZ}"
    told = detect_gaps(eth, START, END, store)
    assert sum(lacking["bars"].values()) == lacking["expected"] == HOURS
    assert lacking["bars"]["data"] == told["bars"] < HOURS
    assert {(gap["start"], gap["end"], gap["kind"], gap["bars"]) for gap in told["gaps"]} == {
        (span["start"], span["end"], span["kind"], span["bars"]) for span in lacking["spans"] if span["kind"] != "data"
    }
    assert found["totals"]["bars"]["data"] == HOURS + told["bars"]


async def test_every_kind_in_every_store(url):
    store = open_checkpoint_store(url)
    await asyncio.to_thread(put_kinds, store)
    keys = await store.list("")
    before = [await store.load(key) for key in keys]
    found = await coverage_map(store, start=START, end=START + 134 * HOUR, columns=67)
    (row,) = found["series"]
    expected = [(start, start + 10, kind) for start, kind in zip(range(10, 110, 20), KINDS, strict=True)]
    data = [(start, start + 10, "data") for start in range(0, 120, 20)]
    assert spans(row) == sorted([*expected, *data, (110, 134, "unknown")])
    assert row["bars"] == dict.fromkeys(KINDS, 10) | {"data": 60, "unknown": 24}
    assert [tuple(cell) for cell in row["cells"]][:2] == [("data", 1.0, 5), ("no_trade", 1.0, 5)]
    assert [span["attempts"] for span in row["spans"] if span["kind"] == "outage"] == [3]
    assert [await store.load(key) for key in keys] == before, "nothing was written"
    assert await store.list("") == keys


class Foreign:
    """A store of an author's own, some of its methods plain."""

    def __init__(self, inner: Any) -> None:
        self.inner = inner

    def load(self, series: str) -> Any:
        return self.inner.load_sync(series)

    async def list(self, prefix: str = "") -> list[str]:
        return await self.inner.list(prefix)

    def commit(self, *arguments: Any, **options: Any) -> None:
        raise AssertionError("a look writes nothing")

    delete = reset = commit


def test_any_store_will_do():
    inner = MemoryCheckpointStore()
    put_kinds(inner)
    options = {"start": START, "end": END}
    own, foreign = look(inner, **options), look(Foreign(inner), **options)
    assert own | {"as_of": None} == foreign | {"as_of": None}


def test_the_same_input_makes_the_same_bytes():
    store = MemoryCheckpointStore()
    put_kinds(store)
    first, second = (look(store, start=START, end=END) for _ in range(2))
    assert first | {"as_of": None} == second | {"as_of": None}
    read = json.loads(json.dumps(first))
    assert coverage_page(read) == coverage_page(first) == coverage_page(first)
    assert draw_coverage(read, width=90) == draw_coverage(first, width=90)


def test_the_page_holds_together_and_says_in_words_what_it_shows_in_colours():
    store = MemoryCheckpointStore()
    put_kinds(store)
    store.commit_sync(f"coinalyze/liquidations/{BTC}/1h", data=[(START, START + HOUR)], empty=[(START + HOUR, END)])
    found = look(store, start=START, end=END)
    text = coverage_page(found, title="Mine & yours")
    page = Page(text)
    assert page.all("html")[0]["lang"] == "en"
    assert "Mine & yours" in page.texts
    assert not page.all("script")
    assert "http://" not in text
    assert "https://" not in text
    assert "@import" not in text
    assert "prefers-color-scheme:dark" in text
    strips = page.all("div", "cells")
    assert [strip["role"] for strip in strips] == ["img", "img"]
    assert f"{BTC} 1h: 17.85 %, 226 never asked, 10 unresolved, 10 outage" in strips[1]["aria-label"]
    cells = [cell for cell in page.all("i") if "title" in cell]
    assert all(cell["title"] for cell in cells)
    assert sum(int(cell["style"].removeprefix("flex:")) for cell in cells) == 2 * 120
    tip = next(cell["title"] for cell in cells if cell["class"].startswith("k-outage"))
    assert tip == "2026-01-06 06:00 to 2026-01-06 16:00: outage, 10 bars, asked 3 times, last 2026-01-19 00:00"
    assert [region["aria-label"] for region in page.all("div", "scroll")] == ["Holes", "Numbers"]
    assert all(head.get("scope") == "col" for head in page.all("th"))


HOSTILE = ("<script>alert(1)</script>", "../x", "'\" onmouseover=x()", "\x1b[31m\x07\n", "x" * 200, "ÄÖÜ漢字")


def test_hostile_names_stay_text():
    store = MemoryCheckpointStore()
    for name in HOSTILE:
        put_kinds(store, f"coinalyze/ohlcv/{quote(name, safe='').replace('..', '%2E.')}/1h")
    keys = [*(row["series"] for row in look(store)["series"]), *HOSTILE, "a/<b>/c/1h"]
    found = look(store, series=keys, start=START, end=END)
    assert (len(found["series"]), found["totals"]["errors"]) == (2 * len(HOSTILE) + 1, len(HOSTILE) + 1)
    text = coverage_page(found)
    page = Page(text)
    assert not page.all("script")
    assert not any(name.startswith("on") for _, found in page.elements for name in found)
    assert "<script>alert(1)</script>" in page.texts
    for ascii in (False, True):
        drawn = draw_coverage(found, width=100, ascii=ascii)
        assert "\x1b" not in drawn
        assert "\x07" not in drawn
        assert len(drawn.splitlines()) < 40
        assert not ascii or drawn.isascii()


def test_one_that_cannot_be_read_is_a_row_and_hides_no_other(tmp_path):
    store = LocalCheckpointStore(tmp_path)
    for symbol in (BTC, ETH, "SOL"):
        put_kinds(store, KEY.replace(BTC, symbol))
    files = {path.relative_to(tmp_path).as_posix(): path for path in tmp_path.rglob("*.json")}
    files[f"{KEY}.json"].write_text("damaged")
    files[f"{KEY.replace(BTC, 'SOL')}/gaps.json"].write_text("damaged")
    found = look(store, start=START, end=END)
    damaged, whole, half = found["series"]
    assert found["totals"]["errors"] == 2
    assert KEY in damaged["error"]
    assert (damaged["cells"], whole["error"]) == ([], None)
    assert half["error"] is not None
    assert half["bars"]["data"] == 60
    assert half["bars"]["unresolved"] == 40, "as the checkpoint has it"
    assert damaged["error"] in Page(coverage_page(found)).texts
    assert "error: " in draw_coverage(found, width=100)
    assert files[f"{KEY}.json"].read_text() == "damaged"


def test_a_store_that_does_not_answer_is_an_error_without_its_password():
    store = open_checkpoint_store("postgresql://me:geheim@127.0.0.1:9/lake")
    with pytest.raises(UnavailableError) as caught:
        look(store, series=[KEY] * 40)
    assert "geheim" not in str(caught.value)


def test_two_thousand_series_of_ten_years_of_minutes_take_seconds():
    """A hundred holes in each: about half a million spans."""
    store = MemoryCheckpointStore()
    minute, first = timedelta(minutes=1), datetime(2016, 1, 1, tzinfo=timezone.utc)
    step, end = 52_560 * minute, datetime(2016, 1, 1, tzinfo=timezone.utc) + 5_256_000 * minute
    data = [(first + part * step, first + (part + 1) * step - minute) for part in range(100)]
    for number in range(2000):
        store.commit_sync(f"coinalyze/ohlcv/S{number:04}/1m", data=data)
    began = time.process_time()
    found = look(store, end=end)
    page, text = coverage_page(found), draw_coverage(found, width=160)
    took = time.process_time() - began
    assert found["totals"]["bars"] == {"data": 2000 * (5_256_000 - 100), "unknown": 2000 * 100}
    assert all(cell[0] == "unknown" or index % 2 == 0 for index, cell in enumerate(found["series"][0]["cells"]))
    assert len(text.splitlines()) > 2000
    assert "there are 199,800 more" in page
    assert len(page) < 60_000_000
    assert took < 60, took


WRONG = {
    "columns": ({"columns": 0}, "columns must be 1 to 2000"),
    "range": ({"start": END, "end": START}, "is not after its start"),
    "naive": ({"start": datetime(2026, 1, 1)}, "start must be an aware datetime"),
    "text": ({"series": KEY}, "series must be a list of keys"),
    "number": ({"series": [1]}, "series must be a list of keys"),
}


@pytest.mark.parametrize("case", WRONG)
def test_what_cannot_be_asked_for_is_told_at_once(case):
    options, says = WRONG[case]
    with pytest.raises(InvalidError, match=says):
        look(MemoryCheckpointStore(), **options)


def test_what_is_no_map_and_no_section_is_told():
    found = look(MemoryCheckpointStore())
    for wrong in ({}, {"series": 1}, found | {"start": "yesterday"}, found | {"columns": None}, []):
        for draw in (coverage_page, draw_coverage):
            with pytest.raises(InvalidError, match="this is no coverage map"):
                draw(wrong)
    for section, says in (
        ({"title": "t"}, "this is no section of a page"),
        ({"title": "t", "columns": ["a"], "rows": [[1, 2]]}, "a row has 2 entries"),
        ({"title": "t", "columns": ["a"], "rows": [[object()]]}, "this is no section of a page"),
    ):
        with pytest.raises(InvalidError, match=says):
            coverage_page(found, sections=[section])


def test_sections_are_escaped_tables():
    link = {"text": "<run>", "href": "/dags/nightly?x=1&y=2"}
    rows = [
        ["<b>", 12_345, 0.5, None, True, link],
        ["", -1, 2.0, None, False, {"text": "no", "href": "javascript:x()"}],
    ]
    section = {"title": "Quota <1>", "columns": list("abcdef"), "rows": rows, "note": "a & b"}
    empty = {"title": "Runs", "columns": ["a"], "rows": []}
    page = Page(coverage_page(look(MemoryCheckpointStore()), sections=[section, empty]))
    assert [found["href"] for found in page.all("a")] == ["/dags/nightly?x=1&y=2"]
    assert {"Quota <1>", "<b>", "12,345", "0.5", "yes", "<run>", "a & b", "no", "Nothing to show."} <= {*page.texts}


class Terminal(io.StringIO):
    """What looks like a terminal."""

    encoding = "utf-8"

    def isatty(self) -> bool:
        return True


@pytest.fixture
def drawn(tmp_path, monkeypatch) -> Path:
    """Checkpoints of two series, where the command line looks for them."""
    monkeypatch.setenv("QUANT_FRAMEWORK_CHECKPOINT", tmp_path.as_uri())
    monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.setenv("TERM", "xterm")
    store = LocalCheckpointStore(tmp_path)
    put_kinds(store)
    store.commit_sync("binance/ohlcv/BTCUSDT/1h", data=[(START, END)])
    return tmp_path


RANGE = ["--start", "2026-01-05", "--end", "2026-01-19"]


def test_the_command_line(drawn, capsys, monkeypatch):
    assert main(["coverage", *RANGE, "--width", "80"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith("2026-01-05 00:00 .. 2026-01-19 00:00 UTC, a cell is ")
    assert "binance/ohlcv/BTCUSDT/1h" in lines[2]
    assert lines[2].endswith("100.00 %")
    assert all(len(line) <= 80 for line in lines)
    assert main(["coverage", *RANGE, "--json", "--source", "coinalyze"]) == 0
    assert [row["series"] for row in json.loads(capsys.readouterr().out)["series"]] == [KEY]
    assert main(["coverage", *RANGE, "--missing-only", "--width", "100", "--fail-on", "no_trade"]) == 1
    assert "binance" not in capsys.readouterr().out
    assert main(["coverage", *RANGE, "--series", "binance/", "--fail-on", "open"]) == 0
    assert main(["coverage", *RANGE, "--fail-on", "open"]) == 1
    (drawn / f"{KEY}.json").write_text("damaged")
    capsys.readouterr()
    assert main(["coverage", *RANGE]) == 1
    assert "rebuild --replace-damaged" in capsys.readouterr().out


def test_the_command_line_writes_a_page(drawn, tmp_path, capsys):
    target = tmp_path / "page.html"
    assert main(["coverage", *RANGE, "--html", str(target), "--json"]) == 0
    said = capsys.readouterr()
    assert said.err == f"wrote {target}\n"
    assert target.read_text() == coverage_page(json.loads(said.out))
    assert not list(tmp_path.glob(".page*"))
    assert main(["coverage", "--html", str(tmp_path / "none" / "page.html")]) == 1
    assert "cannot be written: No such file" in capsys.readouterr().err


def test_colours_and_letters_are_those_of_the_output(drawn, monkeypatch):
    def shown(**more: str) -> str:
        out = Terminal()
        with monkeypatch.context() as patched:
            patched.setattr(coverage_cli.sys, "stdout", out)
            for name, value in more.items():
                patched.setenv(name, value)
            assert main(["coverage", *RANGE]) == 0
        return out.getvalue()

    assert "\x1b[" in shown()
    assert "\x1b[" not in shown(NO_COLOR="1")
    assert "\x1b[" not in shown(TERM="dumb")
    assert not shown().isascii()
    monkeypatch.setattr(Terminal, "encoding", "ascii")
    assert shown().isascii()


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (["--series", "nothing/"], "no series is known whose key begins with 'nothing/'"),
        (["--source", "kraken"], "no series of kraken is known"),
        (["--width", "5"], "--width must be at least 40"),
        (["--start", "2026-01-19", "--end", "2026-01-05"], "is not after its start"),
    ],
)
def test_what_cannot_be_drawn_is_one_line(drawn, capsys, options, says):
    assert main(["coverage", *options]) == 2
    error = capsys.readouterr().err
    assert says in error
    assert error.count("\n") == 1


def test_a_kind_that_is_none_is_refused(drawn, capsys):
    with pytest.raises(SystemExit):
        main(["coverage", "--fail-on", "data"])
    assert "'data' is no kind of hole" in capsys.readouterr().err


def test_the_guide_runs(tmp_path, capsys):
    store = LocalCheckpointStore(tmp_path / "checkpoints")
    put_kinds(store)
    names = run_snippets(
        "docs/coverage.md", 3, CHECKPOINT=(tmp_path / "checkpoints").as_uri(), FOLDER=tmp_path, START=START, END=END
    )
    assert "never asked" in capsys.readouterr().out
    assert Page((tmp_path / "coverage.html").read_text()).all("div", "cells")
    assert names["open_bars"] == 246
