"""The page of one DAG: the coverage of its series, its quotas, its last runs.

Everything that is asked of another server has a time limit and a place of its own: where one does not answer, that is
what the page says there, and the rest is as ever.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable
from datetime import datetime, timezone
from typing import Any, TypeVar
from urllib.parse import quote, urlencode

from quant_framework import _core
from quant_framework.airflow.plugin import base_path
from quant_framework.airflow.server.dags import MOST_RESULTS, Dag, Run
from quant_framework.airflow.server.places import Place, Quota, Remembered, checkpoints, quotas, shown
from quant_framework.errors import QuantFrameworkError
from quant_framework.ingestion.backfill import MemoryCheckpointStore

__all__ = ["page"]

log = logging.getLogger("quant_framework.airflow")

PATIENCE = 5.0
"""Who does not answer in so many seconds is not waited for."""
MOST_SERIES = 200
COLUMNS = 120
MACHINE = "This is a folder of the API server's own machine: it tells of the workers only where they share it."

Section = dict[str, Any]
Answer = TypeVar("Answer")


async def page(dag: Dag, place: int = 0, has_links: bool = True) -> str:
    """The whole page as HTML.

    Args:
        dag: what Airflow knows of it.
        place: number of the place whose checkpoints are shown, where the DAG has several.
        has_links: whether to link to Airflow's own pages, which a frame of Airflow's does not let through.

    """
    found, shared = await asyncio.to_thread(lambda: (checkpoints(dag), quotas(dag)))
    places = sorted(found, key=lambda held: (-len(found[held].keys), str(held)))
    chosen = places[place] if place < len(places) else None
    picture, told = await coverage(chosen, found[chosen]) if chosen else (await nothing(), "")
    sections = [*places_section(dag, places, found, chosen, told), quotas_section(shared), runs_section(dag, has_links)]
    return _core.coverage_page(picture, title=dag.dag_id, sections=sections)


async def nothing(reason: str = "", place: str = "") -> dict[str, Any]:
    """A picture without series, or of one reason why there are none."""
    picture = await _core.coverage_map(MemoryCheckpointStore(), series=[], columns=COLUMNS)
    if reason:
        empty = {"dense": True, "expected": 0, "bars": {}, "spans": [], "more_spans": 0, "holes": 0, "cells": []}
        picture["series"] = [{"series": place, "error": reason, **empty}]
    return picture


async def coverage(place: Place, held: Remembered) -> tuple[dict[str, Any], str]:
    """The picture of what is kept at ``place``, and what people should know of it."""
    if place.is_template:
        told = "Named by a template, which only a run can fill in: its checkpoints cannot be shown here."
        return await nothing(told, str(place)), told
    keys = sorted(held.keys)
    asked = keys[:MOST_SERIES]

    async def look() -> tuple[dict[str, Any], str]:
        store = await asyncio.to_thread(place.open)
        return await _core.coverage_map(store, series=asked, columns=COLUMNS), shown(store)

    answer, error = await patiently(look(), f"checkpoints {place}")
    if answer is None:
        return await nothing(error, str(place)), error
    picture, where = answer
    notes = [where]
    if where.startswith("file:"):
        notes.append(MACHINE)
    if where.startswith("memory:"):
        notes.append("Kept in the memory of each task, and gone when it ends.")
    if len(keys) > len(asked):
        notes.append(f"The first {len(asked)} of {len(keys)} series are shown.")
    return picture, " ".join([f"{notes[0]}.", *notes[1:]])


async def patiently(work: Awaitable[Answer], what: str) -> tuple[Answer | None, str]:
    """The answer, or in one line why there is none. What nobody foresaw may hold secrets: it goes to the log alone."""
    try:
        return await asyncio.wait_for(work, PATIENCE), ""
    except asyncio.TimeoutError:
        return None, f"no answer within {PATIENCE:g} s"
    except QuantFrameworkError as error:
        return None, str(error)
    except Exception as error:
        log.exception("%s cannot be shown", what)
        return None, f"cannot be shown ({type(error).__name__}); the API server's log says more"


def places_section(
    dag: Dag, places: list[Place], found: dict[Place, Remembered], chosen: Place | None, told: str
) -> list[Section]:
    """Where checkpoints are kept; with several places, each with a link to what is kept there."""
    if chosen is None:
        note = "No task of this DAG keeps checkpoints of quant_framework, and none has returned a series yet."
        return [{"title": "Checkpoints", "columns": ["Place"], "rows": [], "note": note}]
    rows = []
    for number, place in enumerate(places):
        query = urlencode({"framed": "true", "dag_id": dag.dag_id, "place": number})
        is_chosen = place == chosen
        link: Any = "shown above" if is_chosen else {"text": "show", "href": f"coverage?{query}"}
        rows.append([str(place), ", ".join(found[place].tasks), len(found[place].keys), link])
    columns = ["Place", "Tasks", "Series", ""]
    note = told or None
    if not found[chosen].keys:
        note = f"{told} No series is known yet: they appear after the first run."
    return [{"title": "Checkpoints", "columns": columns, "rows": rows, "note": note}]


def quotas_section(shared: dict[Quota, list[str]]) -> Section:
    """What limits the requests of the tasks."""
    rows, is_local = [], False
    for quota, tasks in shared.items():
        is_local = is_local or (not quota.conn_id and str(quota.place).startswith(("file:", "/")))
        unknown = "known to its adapter alone" if quota.source else "known to a run alone"
        rows.append([quota.source, quota.windows or unknown, str(quota), ", ".join(tasks)])
    note = MACHINE if is_local else None
    return {
        "title": "Rate limits",
        "columns": ["Source", "Allowed", "Shared at", "Tasks"],
        "rows": rows,
        "note": note,
    }


def runs_section(dag: Dag, has_links: bool) -> Section:
    """The last runs, newest first."""
    columns = [
        "Run",
        "State",
        "Started (UTC)",
        "Duration",
        "Tasks",
        "Rows",
        "Requests",
        "Gaps",
        "Missing bars",
        "Failed",
    ]
    rows = [run_row(dag.dag_id, run, has_links) for run in dag.runs]
    note = "Rows, requests and gaps are what the tasks returned that ended well."
    if not rows:
        note = "This DAG has not run yet."
    elif dag.is_cut:
        note += f" More than {MOST_RESULTS} results: the oldest of these runs are not counted in full."
    return {"title": "Last runs", "columns": [*columns, "Failed"], "rows": rows, "note": note}


def run_row(dag_id: str, run: Run, has_links: bool) -> list[Any]:
    """One run."""
    href = f"{base_path()}/dags/{quote(dag_id, safe='')}/runs/{quote(run.run_id, safe='')}"
    results = [result for _, result in run.results]
    series = [one for result in results for one in result["series"] if isinstance(one, dict)] if results else []
    return [
        {"text": run.run_id, "href": href} if has_links else run.run_id,
        run.state,
        run.began and f"{run.began.astimezone(timezone.utc):%Y-%m-%d %H:%M:%S}",
        duration(run),
        ", ".join(f"{count} {state}" for state, count in sorted(run.tasks.items())),
        total(results, "records_written"),
        total(results, "requests"),
        total(series, "gaps"),
        total(series, "missing_bars"),
        ", ".join(run.failed[:5]) + (", ..." if len(run.failed) > 5 else "") or None,
    ]


def total(values: list[dict[str, Any]], name: str) -> int | None:
    """The sum of ``name`` over those that have it; ``None`` where none has."""
    numbers = [value[name] for value in values if isinstance(value.get(name), int)]
    return sum(numbers) if numbers else None


def duration(run: Run) -> str | None:
    """How long a run took, or has taken so far."""
    if run.began is None:
        return None
    seconds = int(((run.ended or datetime.now(timezone.utc)) - run.began).total_seconds())
    hours, minutes = seconds // 3600, seconds // 60 % 60
    return f"{hours} h {minutes} min" if hours else f"{minutes} min {seconds % 60} s" if minutes else f"{seconds} s"
