"""The documentation: the site builds without a warning, links lead somewhere, commands and YAML are right."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from documents import ROOT, Block, blocks, pages, read
from quant_framework import settings
from quant_framework._core import check_config, config_schema
from quant_framework.cli import main, parser, program

LINK = re.compile(r"(?<!!)\[[^]\n]*\]\(([^)\s]+)\)")
URL = re.compile(r"https?://[^\s`'\"<>)\]},]+")
LOCAL = re.compile(r"(localhost|127\.0\.0\.1|.*\.example\.com|example\.com)(:\d+)?")
"""Places of examples, which may be without TLS."""


def test_the_site_builds_without_a_warning(tmp_path):
    options = ["--conf-dir", "docs", "--fail-on-warning", "--nitpicky", "--keep-going", "--quiet"]
    places = ["--doctree-dir", str(tmp_path / "doctrees"), ".", str(tmp_path / "html")]
    command = [sys.executable, "-m", "sphinx", *options, *places]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-4000:]
    site = tmp_path / "html"
    assert 'url=docs/index.html"' in (site / "index.html").read_text()
    front = (site / "docs" / "index.html").read_text()
    assert not re.search(r'(src|href)="https?://[^"]*\.(js|css|woff2?)"', front), "the site asks nobody else"
    command_page = (site / "docs" / "cli.html").read_text()
    for name in commands():
        assert f'id="{name}"' in command_page, name
    assert "build_chunk_strategy" in (site / "docs" / "api" / "operators.html").read_text()


def anchors(path: Path) -> set[str]:
    """The anchors of a page, as GitHub makes them of its headings."""
    text = re.sub(r"^```.*?^```$", "", path.read_text("utf-8"), flags=re.MULTILINE | re.DOTALL)
    titles = re.findall(r"^#+ (.+)$", text, re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}


@pytest.mark.parametrize("page", pages())
def test_links_inside_the_repository_go_somewhere(page):
    text = re.sub(r"^```.*?^```$", "", read(page), flags=re.MULTILINE | re.DOTALL)
    for target in LINK.findall(text):
        if "://" in target or target.startswith("mailto:"):
            continue
        place, _, anchor = target.partition("#")
        path = (ROOT / page).parent / place if place else ROOT / page
        assert path.exists(), f"{page}: {target}"
        assert path.resolve().is_relative_to(ROOT), f"{page}: {target} leaves the repository"
        if anchor:
            assert anchor in anchors(path), f"{page}: {target}"


@pytest.mark.parametrize("page", pages())
def test_links_outside_are_https_and_whole(page):
    for url in URL.findall(read(page)):
        parts = urlsplit(url.rstrip(".:;"))
        assert parts.hostname, f"{page}: {url}"
        assert parts.scheme == "https" or LOCAL.fullmatch(parts.netloc), f"{page}: {url}"
        assert parts.hostname == "localhost" or "." in parts.hostname, f"{page}: {url}"


def commands() -> list[str]:
    """The commands of ``quant-framework``."""
    (found,) = [one.choices for one in parser()._actions if isinstance(one.choices, dict)]
    return list(found)


def calls(block: Block) -> list[list[str]]:
    """The calls of ``quant-framework`` in a shell block: their arguments."""
    lines = block.text.replace("\\\n", " ").splitlines()
    if block.language == "console":  # the rest is what they said
        lines = [line.removeprefix("$ ") for line in lines if line.startswith("$ ")]
    words = [shlex.split(line, comments=True) for line in lines if re.search(r"(^|[ /])quant-framework ", line)]
    return [line[index(line) + 1 :] for line in words if any(is_command(word) for word in line)]


def is_command(word: str) -> bool:
    return word.rpartition("/")[2] == "quant-framework"


def index(words: list[str]) -> int:
    return next(number for number, word in enumerate(words) if is_command(word))


def test_commands_in_pages_are_what_the_command_line_takes(capsys):
    seen = set()
    for page in pages():
        for block in blocks(page):
            if block.language not in ("sh", "console"):
                continue
            for arguments in calls(block):
                ends = [number for number, word in enumerate(arguments) if word in (">", "|", "&&", ";", "2>")]
                arguments = arguments[: ends[0]] if ends else arguments
                # Square brackets mean that it may be left out.
                arguments = [word.strip("[]") for word in arguments]
                try:
                    parser().parse_args(arguments)
                except SystemExit:
                    pytest.fail(f"{page}:{block.line}: {arguments}: {capsys.readouterr().err}")
                seen.add(arguments[0])
    assert seen >= set(commands()), "every command is shown somewhere"


def test_the_command_line_says_which_commands_it_has():
    said = program.__doc__.partition("``.")[0].partition("``quant-framework ")[2]
    assert sorted(said.replace("\n", " ").replace(" ", "").split("|")) == sorted(commands())


def test_commands_that_find_no_series_end_as_operations_says(tmp_path, capsys):
    (row,) = [line for line in read("docs/operations.md").splitlines() if line.startswith("| 2 |")]
    series = "coinalyze/ohlcv/NONE/1h"
    named = re.findall(r"`(\w+)`", row)
    assert {"gaps", "coverage", "repair", "validate", "forget"} <= set(named)
    for name in named:
        what = [series] if name == "forget" else ["--series", series]
        what += ["--start", "2026-10-01", "--end", "2026-11-01"] if name == "gaps" else []
        places = ["--checkpoint", (tmp_path / "none").as_uri()]
        lake = ["--lake", (tmp_path / "lake").as_uri()] if name in ("validate", "repair") else []
        assert main([name, *what, *places, *lake]) == 2, name
        assert capsys.readouterr().err.startswith("error: "), name


def whole_file(text: str) -> str:
    """A YAML snippet as a whole file: of tasks alone, a DAG of them."""
    if re.search(r"^(dags|defaults):", text, re.MULTILINE):
        return text
    lines = "".join(f"      {line}\n" for line in text.splitlines())
    return f"dags:\n  snippet:\n    schedule: null\n    tasks:\n{lines}"


def test_yaml_in_pages_is_right():
    snippets = [block for page in pages() for block in blocks(page, "yaml")]
    assert len(snippets) >= 4
    for block in snippets:
        checked = check_config([(f"{block.page}:{block.line}", whole_file(block.text))], {})
        assert not checked["problems"], [problem["text"] for problem in checked["problems"]]
        assert checked["dags"]


def test_the_keys_of_builders_are_in_the_table():
    rows = dict(
        re.findall(r"^\| `?(every DAG|backfill|incremental|repair)`? \| (.*) \|$", read("docs/yaml.md"), re.MULTILINE)
    )
    assert len(rows) == 4
    parts = config_schema()["$defs"]
    known = {name: set(parts[name]["properties"]) for name in ("tasks", "backfill", "incremental", "repair")}
    every = known["tasks"]
    for kind, own in (
        ("backfill", known["backfill"] - every),
        ("incremental", known["incremental"] - known["backfill"]),
        ("repair", known["repair"] - known["backfill"]),
    ):
        assert own - set(re.findall(r"[a-z_]+", rows[kind])) == set(), kind


def test_the_variable_of_every_source_is_named():
    page = read("docs/sources.md")
    for source in settings.BUILT_IN:
        assert f"`QUANT_FRAMEWORK_{settings.base_url_option(source.name).upper()}`" in page, source.name


def test_guides_begin_with_what_the_reader_can_do_after_them():
    guides = [page for page in pages() if re.fullmatch(r"docs/[\w-]+\.md", page) and page != "docs/index.md"]
    assert len(guides) > 15
    assert [page for page in guides if not read(page).split("\n\n")[1].startswith("After this page you ")] == []


def test_numbers_that_pages_and_code_share_are_the_same():
    simulated = (ROOT / "tests/rust/quota_simulation.rs").read_text("utf-8").partition("fn a_known_limit_is_used_up")[2]
    least = re.search(r"used >= 0\.(\d\d)", simulated)[1]
    assert f"at least {least} % of what is allowed" in read("README.md")
    most = re.search(r"lines <= (\d+)", (ROOT / "tests/architecture.rs").read_text("utf-8"))[1]
    assert f"a test refuses more than {most}" in read("CONTRIBUTING.md")
    (tried,) = {
        tuple(re.findall(r"Python 3\.(\d+) to 3\.(\d+)", read(page)))
        for page in ("README.md", "docs/first-backfill.md")
    }
    project = (ROOT / "pyproject.toml").read_text("utf-8")
    classified = [int(minor) for minor in re.findall(r":: 3\.(\d+)\"", project)]
    assert tried == ((str(min(classified)), str(max(classified))),)
    makefile = (ROOT / "Makefile").read_text("utf-8")
    assert f"(3, {min(classified)}) <= sys.version_info < (3, {max(classified) + 1})" in makefile


def test_the_first_backfill_installs_what_it_imports():
    page = "docs/first-backfill.md"
    shells = "\n".join(block.text for block in blocks(page, "sh"))
    installed = set(" ".join(re.findall(r"^pip install ([^#\n]+)", shells, re.MULTILINE)).split())
    imported = {
        name for block in blocks(page, "python") for name in re.findall(r"^import (\w+)", block.text, re.MULTILINE)
    }
    assert imported == {"duckdb", "pandas", "polars"}
    assert imported <= installed
    order = [
        shells.index(line)
        for line in ("mkdir -p $AIRFLOW_HOME/dags", "airflow dags reserialize", "airflow dags unpause")
    ]
    assert order == sorted(order), "a DAG can be named once its file has been read"


def test_airflow_takes_the_options_of_the_first_backfill(tmp_path):
    (text,) = [block.text for block in blocks("docs/first-backfill.md", "ini")]
    (tmp_path / "airflow.cfg").write_text(text)
    told = "from quant_framework.airflow.config import option; print(option('lake'), option('checkpoint'))"
    variables = {name: value for name, value in os.environ.items() if not name.startswith(("QUANT_", "AIRFLOW_"))}
    variables |= {"AIRFLOW_HOME": str(tmp_path), "HOME": "/home/reader"}
    done = subprocess.run([sys.executable, "-c", told], env=variables, capture_output=True, text=True, check=True)
    assert done.stdout.split()[-2:] == ["file:///home/reader/market/bronze", "file:///home/reader/market/checkpoints"]


def test_code_for_the_phase_3_layout_is_whole():
    *_, snippet = blocks("docs/migration.md", "python")
    names: dict[str, object] = {}
    exec(snippet.text, names)
    assert "workflow" in names


def test_every_block_says_what_it_is():
    known = {"python", "sh", "console", "yaml", "toml", "ini", "text", "json", "sql"}
    unnamed = [
        f"{block.page}:{block.line}" for page in pages() for block in blocks(page) if block.language not in known
    ]
    assert [one for one in unnamed if not one.startswith("README.md")] == []


def sources() -> str:
    """All code, with what is put into messages left out."""
    files = [*(ROOT / "src").rglob("*.rs"), *(ROOT / "python").rglob("*.py")]
    return re.sub(r"\{[^{}\s]*\}", "{}", " ".join(path.read_text("utf-8") for path in files))


def test_the_messages_of_the_runbook_are_those_of_the_code():
    table = read("docs/operations.md").partition("## When something breaks")[2].partition("###")[0]
    code, rows = sources(), re.findall(r"^\| (`.*?) \|", table, re.MULTILINE)
    assert len(rows) >= 15
    said = re.findall(r"`([^`]+)`", " ".join(rows))
    pieces = {piece.strip() for one in said for piece in re.split(r"\.\.\.|\d+", one)}
    assert [piece for piece in pieces if piece not in code] == []


def test_the_formats_that_operations_names_are_those_of_the_code():
    places = {
        "checkpoint/format.rs": "checkpoints in folders and buckets",
        "checkpoint/postgres/schema.rs": "checkpoints and claims in PostgreSQL",
        "checkpoint/export.rs": "exported documents",
        "quality/ledger.rs": "the gap ledger",
        "quota/scope.rs": "the shared quota",
        "lake/encoding.rs": "objects in the lake",
    }
    page = read("docs/operations.md")
    for file, name in places.items():
        (number,) = re.findall(r"^const FORMAT: \w+ = (\d+);", (ROOT / "src" / file).read_text("utf-8"), re.MULTILINE)
        assert re.search(rf"^\| {name} \| {number}\b", page, re.MULTILINE), name
