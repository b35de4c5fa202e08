"""The tables below the picture: where checkpoints are kept, what limits the requests, the last runs."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timezone
from typing import Any
from urllib.parse import quote, urlencode

from quant_framework.airflow._server.dags import MOST_RESULTS, Dag, Run, series_of
from quant_framework.airflow._server.places import Place, Quota, Remembered
from quant_framework.airflow.plugin import base_path
from quant_framework.orchestration.coverage import Section
from quant_framework.results import QuotaState, WindowStats

__all__ = ["MACHINE", "places_table", "quotas_table", "runs_table"]

MACHINE = "This is a folder of the API server's own machine: it tells of the workers only where they share it."


def places_table(
    dag_id: str,
    found: dict[Place, Remembered],
    places: Sequence[Place],
    chosen: Place | None,
    where: str,
    notes: list[str],
    has_links: bool,
) -> Section:
    """Where checkpoints are kept; with several places, each with a link to what is kept there.

    A frame lets nothing through to Airflow's pages, but it may lead to itself.
    """
    framed = {} if has_links else {"framed": "true"}
    rows: list[list[Any]] = []
    for number, place in enumerate(places):
        href = f"coverage?{urlencode({**framed, 'dag_id': dag_id, 'place': number})}"
        name, link = (where, "shown above") if place == chosen else (str(place), {"text": "show", "href": href})
        rows.append([name, ", ".join(found[place].tasks), len(found[place].keys), link])
    if chosen is None:
        notes = ["No task of this DAG keeps checkpoints of quant_framework, and none has returned a series yet."]
    columns = ["Place", "Tasks", "Series", "Map"]
    return {"title": "Checkpoints", "columns": columns, "rows": rows, "note": " ".join(notes) or None}


def quotas_table(shared: dict[Quota, list[str]], states: dict[Quota, tuple[list[QuotaState] | None, str]]) -> Section:
    """What limits the requests of the tasks, and how much of it is used. A scope is a key's or an address's quota."""
    rows: list[list[Any]] = []
    is_local = False
    for quota, tasks in shared.items():
        is_local = is_local or (not quota.conn_id and str(quota.place).startswith(("file:", "/")))
        scopes, error = states[quota]
        unknown = "known to its adapter alone" if quota.source else "known to a run alone"
        base = [str(quota), ", ".join(tasks)]
        for row in (quota_row(state, window) for state in scopes or () for window in state["windows"] or (None,)):
            rows.append([*row, *base])
        if not scopes:
            told = error or "not used yet"
            rows.append([quota.source, quota.windows or unknown, None, None, None, None, told, *base])
    columns = ["Quota", "Allowed", "Used", "Free", "Waiting", "Workers", "State", "Shared at", "Tasks"]
    note = MACHINE if is_local else None
    return {"title": "Rate limits", "columns": columns, "rows": rows, "note": note}


def quota_row(state: QuotaState, window: WindowStats | None) -> list[Any]:
    """One window of one scope."""
    until = state["blocked_until"]
    told = state["error"] or (f"refused until {until:%Y-%m-%d %H:%M:%S} UTC" if until else "open")
    counts = [state["waiting"], state["workers"], told]
    if window is None:
        return [state["scope"], None, None, None, *counts]
    allowed = f"{window['weight']:,} in {window['seconds']:g} s"
    if window["weight"] < window["most"]:
        allowed += f" (learnt; at most {window['most']:,})"
    return [state["scope"], allowed, window["used"], max(0, window["weight"] - window["used"]), *counts]


def runs_table(dag: Dag, has_links: bool) -> Section:
    """The last runs, newest first."""
    columns = ["Run", "State", "Started (UTC)", "Duration", "Tasks", "Rows", "Requests", "Gaps", "Missing bars"]
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
    series = [one for result in results for one in series_of(result)]
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
