"""The tab *Coverage* on a DAG's page in Airflow's UI (3.1.3 or later).

Every Airflow process loads its plugins, so this imports nothing that is not there already; what the tab shows is made
by ``quant_framework.airflow._server``, which the API server imports at the first request.
"""

from __future__ import annotations

import asyncio
import importlib
import re
from typing import Any
from urllib.parse import urlsplit

import airflow
from airflow.configuration import conf
from airflow.plugins_manager import AirflowPlugin

from quant_framework.airflow.config import option

__all__ = ["QuantFrameworkPlugin"]

PREFIX = "/quant-framework"
OLDEST = (3, 1, 3)
"""Before it, Airflow's UI takes the cookie away that a page in a frame is signed in with."""


class LateApp:
    """An ASGI application that is imported at its first request."""

    def __init__(self, module: str, name: str) -> None:
        self.module: str = module
        self.name: str = name

    def __repr__(self) -> str:
        return f"<{self.module}.{self.name}>"

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Answer one request."""
        module = await asyncio.to_thread(importlib.import_module, self.module)
        await getattr(module, self.name)(scope, receive, send)


def is_shown(version: str) -> bool:
    """Whether this Airflow can show the tab, and nobody has switched it off."""
    numbers = tuple(map(int, re.findall(r"\d+", version)[:3]))
    return numbers >= OLDEST and (option("coverage_page") or "true").lower() not in ("false", "no", "0", "off")


def base_path() -> str:
    """The path below which Airflow's API server is reached, such as ``/airflow``."""
    return urlsplit(conf.get("api", "base_url", fallback="") or "").path.rstrip("/")


class QuantFrameworkPlugin(AirflowPlugin):
    """What Airflow takes of this package beside the provider."""

    name: str | None = "quant_framework"

    if is_shown(airflow.__version__):
        fastapi_apps: list[Any] = [
            {"app": LateApp("quant_framework.airflow._server.app", "app"), "url_prefix": PREFIX, "name": "Coverage"}
        ]
        external_views: list[Any] = [
            {
                "name": "Coverage",
                "destination": "dag",
                "url_route": "quant-framework-coverage",
                "href": f"{base_path()}{PREFIX}/coverage?framed=true&dag_id={{DAG_ID}}",
            }
        ]
