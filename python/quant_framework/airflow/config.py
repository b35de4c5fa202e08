"""Options of ``[quant_framework]`` in Airflow's configuration, where the environment says nothing."""

from __future__ import annotations


def option(name: str) -> str | None:
    """The option, or ``None``."""
    from airflow.sdk import conf

    return conf.get("quant_framework", name, fallback=None)
