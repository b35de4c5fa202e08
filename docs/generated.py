"""What the code knows better than a page: options of commands, keys of YAML, tables of contents.

A page says where by an HTML comment, which GitHub does not show: ``<!-- generated: command plan -->``. In a page named
``index.md`` the list under each heading is that part of the table of contents.
"""

from __future__ import annotations

import argparse
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from quant_framework import _core
from quant_framework.cli import parser

PLACE = re.compile(r"^<!-- generated: (\w+)(?: ([\w.*/-]+))? -->$", re.MULTILINE)
LINK = re.compile(r"\[([^]\n]*)\]\(([^)#:\n]+)\)")
"""Those to folders are plain text in the site, which has none."""
ITEM = re.compile(r"^- \[([^]]*)\]\(([^)#:]+)\.(?:md|rst)\)", re.MULTILINE)


KINDS = ("tasks", "backfill", "incremental", "repair")
"""Of DAGs. A table leaves out what those of the first two have said."""


def fill(app: Any, page: str, source: list[str]) -> None:
    """Put what is generated into ``page``."""
    path = Path(app.env.doc2path(page))
    if path.suffix != ".md":
        return
    text = PLACE.sub(lambda place: WRITERS[place[1]](place[2]), source[0])
    text = LINK.sub(lambda link: link[1] if (path.parent / link[2]).is_dir() else link[0], text)
    source[0] = text + "".join(contents(text)) if path.name == "index.md" else text


def contents(text: str) -> Iterator[str]:
    """A hidden toctree of the pages that are listed under each heading."""
    for section in re.split(r"^## ", text, flags=re.MULTILINE)[1:]:
        caption, pages = section.partition("\n")[0], ITEM.findall(section)
        if pages:
            yield toctree(*(f"{title} <{page}>" for title, page in pages), hidden="", caption=caption)


def toctree(*pages: str, **options: str) -> str:
    """A toctree of ``pages``."""
    lines = [f":{name}: {value}".rstrip() for name, value in options.items()]
    return "\n".join(["\n\n```{toctree}", *lines, "", *pages, "```\n"])


def glob(pattern: str) -> str:
    """All pages whose names fit ``pattern``."""
    return toctree(pattern, glob="", maxdepth="1")


def command(name: str) -> str:
    """The arguments of a command, as a table."""
    chosen = commands()[name]
    rows = [[argument(action), action.help or "", usual(action)] for action in arguments(chosen)]
    return table(["argument", "meaning", "default"], rows)


def commands() -> dict[str, argparse.ArgumentParser]:
    """The commands of ``quant-framework`` by name."""
    (found,) = [one for one in parser()._actions if isinstance(one, argparse._SubParsersAction)]
    return found.choices


def arguments(chosen: argparse.ArgumentParser) -> list[argparse.Action]:
    """The arguments of a command, but for ``--help``."""
    return [action for action in chosen._actions if not isinstance(action, argparse._HelpAction)]


def argument(action: argparse.Action) -> str:
    """How an argument is written."""
    if action.nargs == 0:
        return f"`{action.option_strings[0]}`{{.nowrap}}"
    value = str(action.metavar or (action.dest.upper() if action.choices is None else "NAME"))
    return f"`{' '.join([*action.option_strings, value])}`{{.nowrap}}"


def usual(action: argparse.Action) -> str:
    """What holds where an argument is not given."""
    if action.choices is not None:
        return " ".join(f"**`{one}`**" if one == action.default else f"`{one}`" for one in action.choices)
    if action.required:
        return "required"
    if action.nargs == 0 or action.default in (None, [], ""):
        return ""
    return f"`{','.join(action.default) if isinstance(action.default, list) else action.default}`"


def table(head: list[str], rows: list[list[str]]) -> str:
    """A table in Markdown."""
    lines = [head, ["---"] * len(head), *[[cell.replace("|", r"\|") for cell in row] for row in rows]]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines) + "\n"


def schema(part: str) -> str:
    """The keys of a part of the JSON Schema of YAML files, as a table."""
    parts = _core.config_schema()["$defs"]
    before = KINDS[: KINDS.index(part)][:2] if part in KINDS else ()
    known = {name: text for kind in before for name, text in described(parts[kind]).items()}
    keys = {name: text for name, text in described(parts[part]).items() if known.get(name) != text}
    return table(["key", "meaning"], [[f"`{name}`", text] for name, text in sorted(keys.items())])


def described(part: dict[str, Any]) -> dict[str, str]:
    """What a part of the schema says of each of its keys."""
    return {name: key.get("description", "") for name, key in part["properties"].items()}


def example(name: str) -> str:
    """A file of ``dags_examples/``."""
    language = "yaml" if name.endswith(".yaml") else "python"
    return f"```{{literalinclude}} /dags_examples/{name}\n:language: {language}\n```\n"


WRITERS = {"glob": glob, "command": command, "schema": schema, "example": example}
