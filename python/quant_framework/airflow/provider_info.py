"""What Airflow reads of this package in every process: plain data, so this imports nothing.

The keys are those of Airflow's ``provider_info.schema.json``; ``ui-field-behaviour`` and ``conn-fields`` make the
connection's form (3.2 or later).
"""

from __future__ import annotations

from typing import Any

__all__ = ["CONNECTION_TYPE", "get_provider_info"]

PACKAGE = "quant-framework"
INTEGRATION = "Market data"
SOURCES_DOCUMENTED = "https://api.coinalyze.net/v1/doc/"

CONNECTION_TYPE = {
    "connection-type": "market_data",
    "hook-class-name": "quant_framework.airflow.hooks.MarketDataHook",
    "hook-name": "Market data API",
    "ui-field-behaviour": {
        "hidden-fields": ["login"],
        "relabeling": {"password": "API key", "host": "Server", "schema": "Scheme"},
        "placeholders": {"host": "https://api.coinalyze.net/v1", "schema": "https"},
    },
    "conn-fields": {
        "source": {
            "label": "Source",
            "description": "Name of the source, also of one that a package brings.",
            "schema": {
                "type": "string",
                # Proposals: packages bring more, and looking for them here would cost every Airflow process.
                "examples": ["coinalyze", "binance", "binance_usdm", "binance_archive", "ccxt"],
                "default": "coinalyze",
            },
        },
        "market": {
            "label": "Market",
            "description": 'Which market a bare name such as BTC means, as {"exchange": "A", "quote": "USDT"}.',
            "schema": {"type": ["object", "null"]},
        },
        "retention": {
            "label": "Retention",
            "description": "Intraday points that the server keeps, or all.",
            "schema": {"type": ["string", "null"], "pattern": "^([1-9][0-9]*|all)$"},
        },
        "convert_to_usd": {
            "label": "Convert to USD",
            "description": "Open interest and liquidations in USD.",
            "schema": {"type": ["boolean", "null"]},
        },
    },
}


def option(description: str, example: str, sensitive: bool = False) -> dict[str, Any]:
    """One option of ``[quant_framework]``; unset unless somebody sets it."""
    return {
        "description": description,
        "version_added": "0.1.0",
        "type": "string",
        "example": example,
        "default": None,
        "sensitive": sensitive,
    }


OPTIONS = {
    "lake": option(
        "URL of the bronze lake, a folder or a bucket; by default a folder in Airflow's home.",
        "s3://market-data/bronze",
    ),
    "silver": option(
        "URL of the silver lake; by default a folder beside the bronze lake.",
        "s3://market-data/silver",
    ),
    "reports": option(
        "URL of the place for reports of comparisons; by default a folder beside the bronze lake.",
        "s3://market-data/reports",
    ),
    "staging": option(
        "URL of the place where rows wait for the task that writes them; by default a folder beside the lake.",
        "s3://market-data/staging",
    ),
    "checkpoint": option(
        "URL of the checkpoint store; by default a folder in Airflow's home.",
        "postgresql://airflow@db/checkpoints",
        sensitive=True,
    ),
    "rate_limit": option(
        "URL of the place where all workers share a source's quota; by default a folder in Airflow's home.",
        "postgresql://airflow@db/limits",
        sensitive=True,
    ),
    "base_url": option(
        "Another server that speaks the source's protocol, where no connection names one.",
        "https://mirror.example.com/v1",
    ),
    "base_url_binance": option(
        "Another server that speaks the protocol of Binance's spot market.", "https://data-api.binance.vision"
    ),
    "base_url_binance_usdm": option(
        "Another server that speaks the protocol of Binance's USD-M futures.", "https://mirror.example.com"
    ),
    "lake_browser": option(
        "Where people look at the lake; {bucket}, {prefix} and {url} are of what a task wrote. Tasks link to it.",
        "https://console.example.com/browser/{bucket}/{prefix}",
    ),
    "coverage_page": option(
        "Whether the page of a DAG in Airflow's UI has the tab Coverage; it has, unless this says false.", "false"
    ),
}


def get_provider_info() -> dict[str, Any]:
    """The entry point ``apache_airflow_provider``."""
    from importlib.metadata import version

    return {
        "package-name": PACKAGE,
        "name": "Quant Framework",
        "description": "Resumable market-data backfills under a shared rate limit.",
        "versions": [version(PACKAGE)],
        "integrations": [
            {"integration-name": INTEGRATION, "external-doc-url": SOURCES_DOCUMENTED, "tags": ["service"]}
        ],
        "operators": [{"integration-name": INTEGRATION, "python-modules": ["quant_framework.orchestration.operators"]}],
        "hooks": [{"integration-name": INTEGRATION, "python-modules": ["quant_framework.airflow.hooks"]}],
        "connection-types": [CONNECTION_TYPE],
        "extra-links": ["quant_framework.airflow.links.LakeLink"],
        "task-decorators": [
            {"name": "quant_backfill", "class-name": "quant_framework.airflow.decorators.quant_backfill_task"}
        ],
        "asset-uris": [{"schemes": ["quant"], "handler": None}],
        "config": {
            "quant_framework": {
                "description": "Where data lies. Environment variables QUANT_FRAMEWORK_<OPTION> go before these.",
                "options": OPTIONS,
            }
        },
    }
