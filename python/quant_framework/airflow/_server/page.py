"""The page of one DAG: the coverage of its series, its quotas, its last runs.

Everything that is asked of another server has a time limit and a place of its own: where one does not answer, that is
what the page says there, and the rest is as ever.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable
from datetime import datetime
from typing import Any, TypeVar

from quant_framework.airflow._server.dags import Dag, series_of
from quant_framework.airflow._server.places import Place, Quota, Remembered, checkpoints, quotas, shown
from quant_framework.airflow._server.tables import MACHINE, places_table, quotas_table, runs_table
from quant_framework.errors import QuantFrameworkError
from quant_framework.ingestion.backfill import MemoryCheckpointStore
from quant_framework.ingestion.rate_limit import quota_states
from quant_framework.orchestration.coverage import coverage_map, coverage_page
from quant_framework.orchestration.staged import is_range, iso_moment
from quant_framework.results import CoverageMap, QuotaState

__all__ = ["page"]

log: logging.Logger = logging.getLogger("quant_framework.airflow")

PATIENCE = 5.0
"""Who does not answer in so many seconds is not waited for."""
MOST_SERIES = 200

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
    picture, where, notes = await coverage(dag, chosen, found[chosen]) if chosen else (await nothing(), "", [])
    states = dict(zip(shared, await asyncio.gather(*map(standing, shared)), strict=True))
    tables = [
        places_table(dag.dag_id, found, places, chosen, where, notes, has_links),
        quotas_table(shared, states),
        runs_table(dag, has_links),
    ]
    return await asyncio.to_thread(coverage_page, picture, title=f"Coverage of {dag.dag_id}", sections=tables)


async def nothing(reason: str = "", place: str = "") -> CoverageMap:
    """A picture without series, or of one reason why there are none."""
    picture = await coverage_map(MemoryCheckpointStore(), series=[])
    if reason:
        row: Any = {"series": place, "error": reason, "dense": True, "expected": 0, "bars": {}}
        picture["series"] = [row | {"spans": [], "more_spans": 0, "holes": 0, "cells": []}]
    return picture


async def coverage(dag: Dag, place: Place, held: Remembered) -> tuple[CoverageMap, str, list[str]]:
    """The picture of what is kept at ``place``, where that is, and what people should know of it."""
    if place.is_template:
        told = "Named by a template, which only a run can fill in: its checkpoints cannot be shown here."
        return await nothing(told, str(place)), str(place), []
    keys = sorted(held.keys)
    asked = keys[:MOST_SERIES]
    end = None if dag.is_periodic else last_wanted(dag)

    async def look() -> tuple[CoverageMap, str]:
        store = await asyncio.to_thread(place.open)
        return await coverage_map(store, series=asked, end=end), shown(store)

    answer, error = await patiently(look(), f"checkpoints {place}")
    if answer is None:
        return await nothing(error, str(place)), str(place), []
    picture, where = answer
    notes = [MACHINE] if where.startswith(("file:", "/")) else []
    if where.startswith("memory:"):
        notes.append("They are kept in the memory of each task, and gone when it ends.")
    if end:
        notes.append(f"Bars are expected up to {end:%Y-%m-%d %H:%M} UTC, the end that the last runs asked for.")
    if len(keys) > len(asked):
        notes.append(f"The first {len(asked)} of {len(keys)} series are shown.")
    if not keys:
        notes.append("No series is known yet: they appear after the first run.")
    return picture, where if place.is_said else f"{place}: {where}", notes


def last_wanted(dag: Dag) -> datetime | None:
    """The latest end that a run of a DAG without a schedule asked for: nothing is expected after it."""
    listed = [one for run in dag.runs for _, result in run.results for one in series_of(result)]
    ends = [iso_moment(one["end"]) for one in listed if is_range((one.get("start"), one.get("end")))]
    return max(ends, default=None)


async def standing(quota: Quota) -> tuple[list[QuotaState] | None, str]:
    """How a quota stands, or in one line why that is not known."""
    if quota.is_template or not quota.source:
        return None, "known to a run alone"

    async def look() -> list[QuotaState]:
        place, password = await asyncio.to_thread(quota.address)
        return await quota_states(place, str(quota.source), password)

    return await patiently(look(), f"quota {quota}")


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
