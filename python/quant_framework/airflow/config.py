"""Options of ``[quant_framework]`` in Airflow's configuration. Read at run time, never at import."""

from __future__ import annotations

import os

__all__ = ["option"]

SECTION = "quant_framework"


def option(name: str) -> str | None:
    """``QUANT_FRAMEWORK_<NAME>``, else ``AIRFLOW__QUANT_FRAMEWORK__<NAME>`` or ``airflow.cfg``; empty is unset.

    Args:
        name: of the option, in lower case.

    """
    said = os.environ.get(f"{SECTION}_{name}".upper())
    if said:
        return said
    from airflow.configuration import conf

    return conf.get(SECTION, name, fallback=None) or None
