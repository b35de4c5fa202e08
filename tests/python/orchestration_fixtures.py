"""Fixtures of the tests of operators and builders: an environment that says where everything lies."""

from __future__ import annotations

from pathlib import Path

import pytest

from quant_framework.ingestion.rate_limit import PRESETS


@pytest.fixture
def unhurried(monkeypatch) -> None:
    """The offline exchange has no limit: nobody waits for the documented one."""
    rates = {"windows": ((10_000, 1.0),), "base_rate": 10_000, "max_rate": 10_000}
    monkeypatch.setitem(PRESETS, "coinalyze", PRESETS["coinalyze"] | rates)


@pytest.fixture
def home(exchange, unhurried, tmp_path, monkeypatch) -> Path:
    """Everything by the environment, and nothing of it by arguments."""
    monkeypatch.setenv("COINALYZE_API_KEY", "offline")
    monkeypatch.setenv("QUANT_FRAMEWORK_BASE_URL", exchange.url)
    monkeypatch.setenv("QUANT_FRAMEWORK_BASE_URL_BINANCE_ARCHIVE", exchange.url)
    monkeypatch.setenv("QUANT_FRAMEWORK_HOME", str(tmp_path / "home"))
    return tmp_path / "home"
