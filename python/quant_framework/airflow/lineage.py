"""What a task read and wrote, as OpenLineage wants it.

From plain data alone: the listener forks the task's process after ``execute`` and asks in the child, where no thread of
the core lives.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import urlsplit

from quant_framework.errors import failure_line

__all__ = ["dataset_name", "facets"]

MOST_ERRORS = 5
HIVE_FOLDERS = ("source", "dataset", "symbol", "timeframe")


def facets(inputs: Sequence[str], outputs: Sequence[str], result: Mapping[str, Any] | None = None) -> Any:
    """The ``OperatorLineage`` of a run; ``None`` where OpenLineage is not installed.

    Args:
        inputs: URLs of what was read.
        outputs: URLs of what was written, such as the folders of series in the lake.
        result: of the workflow, or its summary: rows go to the outputs, errors to the run.

    """
    try:
        from airflow.providers.common.compat.openlineage.facet import (
            ErrorMessageRunFacet,
            InputDataset,
            OutputDataset,
            OutputStatisticsOutputDatasetFacet,
        )
        from airflow.providers.openlineage.extractors import OperatorLineage
    except ImportError:
        return None

    result = result or {}
    read = [InputDataset(namespace=namespace, name=name) for namespace, name in map(dataset_name, inputs)]
    written = []
    for url in outputs:
        namespace, name = dataset_name(url)
        amount = written_to(url, outputs, result)
        statistics: dict[str, Any] = (
            {"outputStatistics": OutputStatisticsOutputDatasetFacet(**amount)} if amount else {}
        )
        written.append(OutputDataset(namespace=namespace, name=name, outputFacets=statistics))
    run: dict[str, Any] = {}
    if message := failure(result):
        run["errorMessage"] = ErrorMessageRunFacet(message=message, programmingLanguage="python")
    return OperatorLineage(inputs=read, outputs=written, run_facets=run)


def dataset_name(url: str) -> tuple[str, str]:
    """Namespace and name by OpenLineage's rules.

    Args:
        url: of the data; a login or an option in it is left out.

    """
    parts = urlsplit(url)
    if parts.scheme in ("", "file"):
        return "file", parts.path.rstrip("/") or "/"
    place = parts.netloc.rpartition("@")[2]
    return f"{parts.scheme}://{place}", parts.path.strip("/") or "/"


def written_to(url: str, outputs: Sequence[str], result: Mapping[str, Any]) -> dict[str, Any]:
    """Rows and bytes that the run wrote to one of its outputs, as far as ``result`` knows."""
    rows = {series["series"]: series["rows"] for series in result.get("series", ()) if "rows" in series}
    series = series_of(url)
    alone = len(outputs) == 1 and len(rows) <= 1
    amount: dict[str, Any] = {}
    if series in rows:
        amount["rowCount"] = rows[series]
    elif len(outputs) == 1 and "records_written" in result:
        amount["rowCount"] = result["records_written"]
    if amount and (alone or series is None) and "bytes_written" in result:
        amount["size"] = result["bytes_written"]
    return amount


def series_of(url: str) -> str | None:
    """The series whose folder ``url`` is, or lies in."""
    folders = dict(part.split("=", 1) for part in urlsplit(url).path.split("/") if "=" in part)
    if not all(name in folders for name in HIVE_FOLDERS):
        return None
    return "/".join(folders[name] for name in HIVE_FOLDERS)


def failure(result: Mapping[str, Any]) -> str | None:
    """What went wrong in a run that failed, in one line."""
    if result.get("status") not in ("failed", "partial"):
        return None
    errors = result.get("errors") or []
    lines = [failure_line(error) for error in errors]
    more = [f"and {len(lines) - MOST_ERRORS} more"] if len(lines) > MOST_ERRORS else []
    return "; ".join([*lines[:MOST_ERRORS], *more]) or result["status"]
