"""Pytest fixtures: ``pytest_plugins = ["quant_framework.testing.fixtures"]`` in the top ``conftest.py``."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from quant_framework.testing.exchange import OfflineExchange


@pytest.fixture
def offline_exchange(monkeypatch: pytest.MonkeyPatch) -> Iterator[OfflineExchange]:
    """An exchange without a limit that is the environment's: DAGs under test need no ``base_url`` and no key."""
    with OfflineExchange(limit=None) as exchange:
        monkeypatch.setenv("QUANT_FRAMEWORK_BASE_URL", exchange.url)
        for source in ("BINANCE", "BINANCE_USDM", "BINANCE_ARCHIVE", "CCXT"):
            monkeypatch.setenv(f"QUANT_FRAMEWORK_BASE_URL_{source}", exchange.url)
        monkeypatch.setenv("COINALYZE_API_KEY", exchange.api_key or "")
        yield exchange
