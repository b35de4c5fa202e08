"""DAGs from YAML files. A file is checked in Rust, whole; a DAG that is wrong shows up as one that says why."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from quant_framework import config_files
from quant_framework.airflow.compat import DAG, get_parsing_context
from quant_framework.orchestration.dag_builders._placeholder import placeholder
from quant_framework.orchestration.dag_builders._specs import SpecError, dag_from_spec


class DagFactory:
    """Loads DAGs from YAML; docs/yaml.md is the format. A loader is this file.

    ::

        from pathlib import Path  # for Airflow: this file makes a DAG

        from quant_framework.orchestration.dag_builders import DagFactory

        DagFactory(Path(__file__).parent / "yaml").register(globals())

    Args:
        paths: files, and folders with all files ``*.yaml`` and ``*.yml`` in and below them.
        environ: variables that the files may name; by default those of the process when a DAG is built.

    A DAG with mistakes does not hide the others: in its place there is one with the tag ``config-error``, whose
    documentation, and whose only task, say what is wrong. Where Airflow asks for one DAG (in a worker), only that one
    is made.

    """

    def __init__(
        self, paths: config_files.Path | Sequence[config_files.Path], *, environ: Mapping[str, str] | None = None
    ) -> None:
        self.paths: config_files.Path | Sequence[config_files.Path] = paths
        self.environ: Mapping[str, str] | None = environ

    def validate(self) -> tuple[bool, list[str]]:
        """Whether every DAG can be made, and all that is wrong, as ``file:line:column: message``; never raises."""
        _, errors = self._load(None)
        return not errors, errors

    def build(self) -> dict[str, DAG]:
        """The DAGs by id, those included that say what is wrong with a DAG or a file."""
        dags, _ = self._load(get_parsing_context().dag_id)
        return dags

    def register(self, namespace: dict[str, Any]) -> dict[str, DAG]:
        """Put the DAGs where Airflow looks for them, the ``globals()`` of the loader."""
        dags = self.build()
        for dag_id, dag in dags.items():
            dag.fileloc = namespace.get("__file__", dag.fileloc)
            namespace[f"dag_{dag_id}"] = dag
        return dags

    def _load(self, wanted: str | None) -> tuple[dict[str, DAG], list[str]]:
        checked = config_files.check(self.paths, self.environ, wanted)
        errors = [problem["text"] for problem in checked["problems"]]
        dags: dict[str, DAG] = {}
        broken: dict[str, list[str]] = {}
        for spec in checked["dags"]:
            if wanted in (None, spec["dag_id"]):
                try:
                    dags[spec["dag_id"]] = dag_from_spec(spec)
                except SpecError as error:
                    broken[spec["dag_id"]] = [str(error)]
                    errors.append(str(error))
        for each in checked["broken"]:
            lines = broken.setdefault(_id_of(each), [])
            lines += [line for line in each["errors"] if line not in lines]
        dags |= {dag_id: placeholder(dag_id, lines) for dag_id, lines in broken.items() if wanted in (None, dag_id)}
        return dags, errors


def _id_of(broken: dict[str, Any]) -> str:
    """The id under which something wrong shows up."""
    stem = re.sub(r"\.ya?ml$", "", broken["file"].rstrip("/").rpartition("/")[2])
    dag_id = f"config_error__{stem}" if broken["dag_id"] is None else broken["dag_id"]
    return re.sub(r"[^A-Za-z0-9._~-]", "_", dag_id)[:250] or "config_error"
