"""The web application behind the tab: who may see a DAG's page, and how it is sent."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping
from html import escape
from http import HTTPStatus
from typing import Annotated

from airflow.api_fastapi.app import get_auth_manager
from airflow.api_fastapi.auth.managers.models.base_user import BaseUser
from airflow.api_fastapi.auth.managers.models.resource_details import DagAccessEntity, DagDetails
from airflow.api_fastapi.core_api.security import get_user
from airflow.models.dag import DagModel
from fastapi import Depends, FastAPI, HTTPException, Query, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import HTMLResponse
from starlette.exceptions import HTTPException as AnyHTTPException

from quant_framework.airflow._server.dags import read
from quant_framework.airflow._server.page import page

__all__ = ["app"]

log = logging.getLogger("quant_framework.airflow")

SHOWN = (None, DagAccessEntity.RUN, DagAccessEntity.TASK_INSTANCE, DagAccessEntity.XCOM)
"""What the page shows of a DAG: itself, its runs, its tasks, and what they returned."""

HEADERS = {
    "Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'; img-src data:; base-uri 'none'; "
    "form-action 'none'; frame-ancestors 'self'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "same-origin",
    "Cache-Control": "no-store",
}

AT_ONCE = 4
"""So many pages are made at a time; the next ones wait, for the sake of what else the API server does."""

app = FastAPI(title="quant_framework", docs_url=None, redoc_url=None, openapi_url=None)
making = asyncio.Semaphore(AT_ONCE)


def readable_dag(
    dag_id: Annotated[str, Query(min_length=1, max_length=250)], user: Annotated[BaseUser, Depends(get_user)]
) -> str:
    """The DAG that is asked for; 401 where nobody is signed in, 403 where the user may not read this very one.

    Airflow's own dependency for this looks at the query in some versions only, and takes ``~`` for any DAG.
    """
    details = DagDetails(id=dag_id, team_name=DagModel.get_team_name(dag_id))
    manager = get_auth_manager()
    for entity in SHOWN:
        if not manager.is_authorized_dag(method="GET", access_entity=entity, details=details, user=user):
            raise HTTPException(HTTPStatus.FORBIDDEN, "You may not read this DAG.")
    return dag_id


@app.get("/coverage", response_class=HTMLResponse)
async def coverage(
    dag_id: Annotated[str, Depends(readable_dag)],
    place: Annotated[int, Query(ge=0, le=999)] = 0,
    framed: bool = False,
) -> HTMLResponse:
    """The page of one DAG; 404 where there is none. In Airflow's frame links to Airflow lead nowhere: it has none."""
    async with making:
        dag = await asyncio.to_thread(read, dag_id)
        if dag is None:
            raise HTTPException(HTTPStatus.NOT_FOUND, f"There is no DAG {dag_id}.")
        return HTMLResponse(await page(dag, place, has_links=not framed))


@app.middleware("http")
async def protect(request: Request, call_next: Callable[[Request], Awaitable[Response]]) -> Response:
    """Every answer with ``HEADERS``; what nobody foresaw becomes one line, and its traceback goes to the log."""
    try:
        response = await call_next(request)
    except Exception:
        log.exception("the page %s could not be made", request.url.path)
        response = plain(HTTPStatus.INTERNAL_SERVER_ERROR, "The page could not be made; the API server's log says why.")
    response.headers.update(HEADERS)
    return response


@app.exception_handler(AnyHTTPException)
async def refuse(_: Request, error: AnyHTTPException) -> Response:
    """An error as a page of one line."""
    return plain(error.status_code, str(error.detail), error.headers)


@app.exception_handler(RequestValidationError)
async def misunderstand(_: Request, error: RequestValidationError) -> Response:
    """A question without a DAG."""
    return plain(HTTPStatus.BAD_REQUEST, "Ask for /coverage?dag_id=...")


def plain(status: int, text: str, headers: Mapping[str, str] | None = None) -> HTMLResponse:
    """A page of one line."""
    style = "color-scheme:light dark;font:14px/1.5 system-ui,sans-serif;margin:2rem"
    body = f'<!doctype html><html lang="en" style="{style}"><title>{status}</title><p>{escape(text)}</p></html>'
    return HTMLResponse(body, int(status), headers)
