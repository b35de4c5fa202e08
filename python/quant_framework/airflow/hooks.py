"""The hook behind connections of type ``market_data``."""

from __future__ import annotations

import inspect
from typing import Any

from quant_framework.airflow.compat import BaseHook
from quant_framework.airflow.connections import adapter_options, open_adapter
from quant_framework.airflow.provider_info import CONNECTION_TYPE
from quant_framework.errors import QuantFrameworkError
from quant_framework.orchestration.ports import IDataAdapter
from quant_framework.orchestration.tasks.running import blocking
from quant_framework.settings import DEFAULT_SOURCE

__all__ = ["MarketDataHook"]

ASKED_FOR = "BTC"
"""A name that every source can resolve."""


class MarketDataHook(BaseHook):
    """Opens the source that a connection names.

    Args:
        market_data_conn_id: password is the API key; server and options as in ``adapter_options``.

    """

    conn_name_attr = "market_data_conn_id"
    default_conn_name = "market_data_default"
    conn_type = "market_data"
    hook_name = "Market data API"

    def __init__(self, market_data_conn_id: str = default_conn_name, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.market_data_conn_id = market_data_conn_id

    @classmethod
    def get_ui_field_behaviour(cls) -> dict[str, Any]:
        """The form for an Airflow before 3.2; later ones read the provider's information."""
        behaviour: Any = CONNECTION_TYPE["ui-field-behaviour"]
        return {name.replace("-", "_"): value for name, value in behaviour.items()}

    def get_conn(self) -> IDataAdapter:
        """The adapter; one for each call."""
        return open_adapter(market_data_conn_id=self.market_data_conn_id)

    def test_connection(self) -> tuple[bool, str]:
        """Ask the source once, whatever market the connection prefers."""
        try:
            source, _ = adapter_options(self.market_data_conn_id)
            anywhere = {"market": None} if source == DEFAULT_SOURCE else None
            adapter = open_adapter(options=anywhere, market_data_conn_id=self.market_data_conn_id)
            found = blocking(_ask(adapter))
        except QuantFrameworkError as error:
            return False, str(error)
        if found is None:
            return True, f"{adapter.source} opened; it looks up no names"
        return True, f"{adapter.source} answers: {ASKED_FOR} is {found}"


async def _ask(adapter: Any) -> str | None:
    """What the source calls ``BTC``; ``None`` of one that looks up no names, which is all that can be asked of any."""
    resolve = getattr(adapter, "resolve", None)
    if resolve is None:
        return None
    found = resolve(ASKED_FOR)
    return str(await found if inspect.isawaitable(found) else found)
