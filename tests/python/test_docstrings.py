"""The docstrings of the public API: there is one everywhere, and what it names exists."""

from __future__ import annotations

import inspect
import re
import typing

import pytest

from documented import REFERENCE, THINGS, Docstring, described, is_error, parameters, resolve
from quant_framework import _core
from quant_framework.ingestion.checkpoint_stores import MinIOCheckpointStore
from quant_framework.ingestion.s3 import s3_settings
from quant_framework.ingestion.writers import BronzeWriter
from quant_framework.orchestration.dag_builders import DagFactory

CALLED = [thing for thing in THINGS if inspect.isclass(thing.object) or inspect.isroutine(thing.object)]
AUTHORS = ("ingestion", "orchestration", "testing", "airflow", "errors", "_core")
"""Packages whose every argument is described."""


def is_plain(thing: type) -> bool:
    """Whether a class is a table of fields, which describe themselves, or a protocol."""
    is_tuple = issubclass(thing, tuple) and hasattr(thing, "_fields")
    return is_tuple or typing.is_typeddict(thing) or getattr(thing, "_is_protocol", False)


def wants_arguments(path: str, thing: object) -> bool:
    """Whether every argument must be described: of constructors, and of functions that modules export."""
    if path.split(".")[1] not in AUTHORS:
        return False
    if inspect.isclass(thing):
        return not is_plain(thing)
    module = inspect.getmodule(thing)
    exported = getattr(module, "__all__", ()) if module else _core.__all__
    return path.rpartition(".")[2] in exported and "_core" not in path


def test_there_is_something_to_check():
    assert len(THINGS) > 400
    assert {"quant_framework._core.Batch", "quant_framework._core.Checkpoint.data"} <= {one.path for one in THINGS}


def test_everything_public_says_what_it_is_in_a_first_line():
    wrong = []
    for thing in THINGS:
        first = thing.text.partition("\n")[0]
        if not first or first[-1] not in ".:" or not (first[0].isupper() or first[0] in "`@"):
            wrong.append(f"{thing.path}: {first!r}")
    assert wrong == []


def test_sections_are_of_one_style():
    style = re.compile(r"^\s*(:param|:returns?:|:raises|Parameters\n\s*---|@param)", re.MULTILINE)
    wrong = [f"{one.path}: {unknown}" for one in THINGS for unknown in Docstring.parse(one.text).unknown]
    assert wrong + [thing.path for thing in THINGS if style.search(thing.text)] == []


def test_only_arguments_that_exist_are_described():
    wrong = []
    for thing in CALLED:
        known = parameters(thing.object)
        takes_all = any(one.kind is one.VAR_KEYWORD for one in known.values())
        inherited = set().union(
            *(parameters(part) for part in getattr(thing.object, "__mro__", ())[1:-1] if not is_plain(part))
        )
        given = set(known) | (inherited if takes_all else set())
        wrong += [f"{thing.path}: {name}" for name in Docstring.parse(thing.text).names("Args") if name not in given]
    assert wrong == []


def test_every_argument_is_described_there_or_where_the_docstring_points():
    wrong = []
    for thing in CALLED:
        if not wants_arguments(thing.path, thing.object):
            continue
        own = {
            name
            for name, one in parameters(thing.object).items()
            if one.kind not in (one.VAR_POSITIONAL, one.VAR_KEYWORD)
        }
        wrong += [f"{thing.path}: {name}" for name in sorted(own - described(thing.object))]
    assert wrong == []


@pytest.mark.parametrize("store", [BronzeWriter, MinIOCheckpointStore])
def test_the_variables_that_stand_in_for_arguments_are_named(store):
    read = set(re.findall(r'"((?:AWS|MINIO)_\w+)"', inspect.getsource(s3_settings)))
    assert len(read) > 10
    assert {name for name in read if f"``{name}``" not in store.__doc__} == set()
    assert "session_token" in Docstring.parse(inspect.cleandoc(store.__doc__)).names("Args")


def test_the_loader_in_the_docstring_of_the_factory_runs(tmp_path):
    code = inspect.cleandoc(DagFactory.__doc__).partition("::\n")[2].partition("Args:")[0]
    (tmp_path / "yaml").mkdir()
    exec(inspect.cleandoc(code), {"__file__": str(tmp_path / "loader.py")})


def test_errors_that_are_named_exist():
    wrong = []
    for thing in CALLED:
        names = Docstring.parse(thing.text).names("Raises")
        wrong += [f"{thing.path}: {name}" for name in names if not is_error(name)]
    assert wrong == []
    assert sum("Raises:" in thing.text for thing in CALLED) > 60


def test_what_docstrings_refer_to_exists():
    named = [(one, name) for one in CALLED for name in REFERENCE.findall(one.text)]
    found = [(one.path, name, one.object) for one, name in named if re.match("[A-Z]+[a-z]", name)]
    assert len(found) > 20
    assert [f"{path}: {name}" for path, name, beside in found if resolve(name, beside) is None] == []


@pytest.mark.parametrize("wrong", ["Args:\n    nothing: it.", "Raises:\n    NoSuchError: never.", "Note:\n    this."])
def test_the_checks_see_what_is_wrong(wrong):
    parsed = Docstring.parse(f"It does.\n\n{wrong}\n")
    assert (
        parsed.names("Args") == ["nothing"]
        or not is_error(*parsed.names("Raises") or ["?"])
        or parsed.unknown == ["Note"]
    )
