"""The pages, and what stands in them: for the tests of the documentation."""

from __future__ import annotations

import re
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parents[2]
FENCE = re.compile(
    r"^(?P<indent> *)```(?P<language>\w*)[^\n]*\n(?P<text>.*?)^(?P=indent)```$", re.MULTILINE | re.DOTALL
)


class Block(NamedTuple):
    """A fenced block of a page."""

    page: str
    line: int
    language: str
    text: str


def pages() -> list[str]:
    """Every page, as a path from the root."""
    found = [*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")]
    names = (str(path.relative_to(ROOT)) for path in found)
    return sorted(name for name in names if not name.startswith("docs/_build") and name != "NOTES.md")


def read(page: str) -> str:
    """The text of ``page``."""
    return (ROOT / page).read_text("utf-8")


def blocks(page: str, language: str | None = None) -> list[Block]:
    """The fenced blocks of ``page``."""
    text = read(page)
    found = [
        Block(page, text[: fence.start()].count("\n") + 1, fence["language"], fence["text"])
        for fence in FENCE.finditer(text)
    ]
    return [block for block in found if language in (None, block.language)]
