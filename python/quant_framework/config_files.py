"""YAML files of DAGs: found, read and checked. Knows no Airflow, so that it works in an editor or a commit hook."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from quant_framework import _core, settings
from quant_framework.errors import InvalidError

Path = str | os.PathLike[str]

ENDINGS = (".yaml", ".yml")
DEFAULTS = ("defaults.yaml", "defaults.yml")
SIZE = 1 << 16


def check(
    paths: Path | Sequence[Path], environ: Mapping[str, str] | None = None, wanted: str | None = None
) -> dict[str, Any]:
    """What is right (``dags``), what is not (``broken``), and everything that is wrong (``problems``); never raises.

    Args:
        paths: files, and folders with all files ``*.yaml`` and ``*.yml`` in and below them. A file also inherits from
            ``defaults.yaml`` in its own folder; what is above a given path does not count.
        environ: variables that the files may name; by default those of the process, as they are now.
        wanted: id of the one DAG that matters; mistakes elsewhere may stay untold.

    """
    names = sorted({name for path in _listed(paths) for name in _found(os.path.normpath(path))})
    variables = dict(os.environ if environ is None else environ)
    checked = _wanted(names, variables, wanted) if wanted is not None else None
    return _with_sources(checked or _checked(names, variables))


def _with_sources(checked: dict[str, Any]) -> dict[str, Any]:
    """With what is wrong about sources, which packages may bring: the core does not know them."""
    for spec in list(checked["dags"]):
        source = spec["builder"][0].get("source") if spec["builder"] else None
        try:
            settings.check_source(source or settings.DEFAULT_SOURCE)
        except InvalidError as error:
            text = f"{spec['place']}: DAG {spec['dag_id']}: {error}"
            checked["dags"].remove(spec)
            checked["broken"].append({"dag_id": spec["dag_id"], "file": spec["place"], "errors": [text]})
            checked["problems"].append({"text": text})
    return checked


def _wanted(names: list[str], environ: dict[str, str], wanted: str) -> dict[str, Any] | None:
    """The answer from a look at few files: the one that is named like the DAG, or those that hold its id."""
    likely = [name for name in names if name.endswith((f"/{wanted}.yaml", f"/{wanted}.yml", *DEFAULTS))]
    for some in (likely, names):
        checked = _checked(some, environ, wanted)
        if any(each["dag_id"] == wanted for each in checked["dags"] + checked["broken"]):
            return checked | {"files": len(names)}
    return None


def _checked(names: list[str], environ: dict[str, str], wanted: str | None = None) -> dict[str, Any]:
    files: list[tuple[str, str | tuple[int, str]]] = []
    needle = (wanted or "").encode()
    for name in names:
        data = b""
        try:
            data = _read(name)
            if needle in data or name.endswith(DEFAULTS):
                files.append((name, data.decode()))
        except OSError as error:
            files.append((name, (1, f"cannot be read: {error.strerror}")))
        except UnicodeDecodeError as error:
            line = data.count(b"\n", 0, error.start) + 1
            files.append((name, (line, "cannot be read: it is not UTF-8")))
    return _core.check_config(files, environ, wanted) | {"files": len(names)}


def _read(name: str) -> bytes:
    """The bytes of a file. A third of the system calls of ``open``: there may be hundreds of files."""
    descriptor = os.open(name, os.O_RDONLY | os.O_CLOEXEC)
    try:
        parts = [os.read(descriptor, SIZE)]
        while len(parts[-1]) == SIZE:
            parts.append(os.read(descriptor, SIZE))
        return b"".join(parts)
    finally:
        os.close(descriptor)


def _listed(paths: Path | Sequence[Path]) -> Sequence[Path]:
    return [paths] if isinstance(paths, str | os.PathLike) else paths


def _found(path: str) -> Iterator[str]:
    """The files of a path; a path that does not exist as it is. Hidden ones do not count."""
    if not os.path.isdir(path):
        siblings = (os.path.join(os.path.dirname(path), name) for name in DEFAULTS)
        yield from (name for name in siblings if name != path and os.path.isfile(name))
        yield path
        return
    unreadable: list[str] = []
    for folder, below, names in os.walk(path, onerror=lambda error: unreadable.append(error.filename)):
        below[:] = [name for name in below if not name.startswith(".")]
        for name in names:
            if name.endswith(ENDINGS) and not name.startswith("."):
                yield f"{folder.rstrip('/')}/{name}"
    yield from unreadable
