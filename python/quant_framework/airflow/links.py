"""Links from a task in Airflow's UI to what it wrote."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Any
from urllib.parse import quote, urlsplit

from quant_framework.airflow.compat import BaseOperatorLink
from quant_framework.airflow.config import option

__all__ = ["LakeLink", "common_folder", "lake_address"]

log: logging.Logger = logging.getLogger("quant_framework.airflow")


class LakeLink(BaseOperatorLink):
    """Where the rows of a task lie, in the browser that the option ``lake_browser`` names.

    Airflow asks in the worker once the task has ended and keeps the answer, so this reads nothing but what the run left
    in ``operator._places``. An operator class declares it: ``operator_extra_links = (LakeLink(),)``.
    """

    @property
    def name(self) -> str:
        """What the UI calls it."""
        return "Lake"

    def get_link(self, operator: Any, *, ti_key: Any) -> str:
        """The address; empty where there is none, and then Airflow shows no link."""
        places = getattr(operator, "_places", None)
        outputs = places.get("outputs") if isinstance(places, dict) else None
        template = option("lake_browser")
        return lake_address(template, outputs) if template and outputs else ""


def lake_address(template: str, outputs: Sequence[str]) -> str:
    """A template filled in with the folder that all outputs share.

    Args:
        template: with ``{bucket}``, ``{prefix}`` or ``{url}``.
        outputs: URLs of what a task wrote.

    Returns:
        Empty where they share none, or the template cannot be filled in.

    """
    url = common_folder(outputs)
    parts = urlsplit(url)
    values = {
        "bucket": quote(parts.netloc, safe=""),
        "prefix": quote(parts.path.strip("/")),
        "url": quote(url, safe=""),
    }
    if not url or ("{bucket}" in template and not parts.netloc):
        return ""
    try:
        return template.format_map(values)
    except (KeyError, IndexError, ValueError, AttributeError):
        log.warning("no link Lake: the option lake_browser knows {bucket}, {prefix} and {url} alone, not %r", template)
        return ""


def common_folder(outputs: Sequence[str]) -> str:
    """The longest folder that holds all of them.

    Args:
        outputs: URLs.

    Returns:
        Empty where they lie in different places.

    """
    split = [output.rstrip("/").split("/") for output in outputs]
    shared = []
    for parts in zip(*split, strict=False):
        if len(set(parts)) > 1:
            break
        shared.append(parts[0])
    # Scheme, nothing, and a bucket; or the root of the file system.
    return "/".join(shared) if len(shared) >= 3 else ""
