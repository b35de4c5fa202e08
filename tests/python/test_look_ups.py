"""Look-ups of bare names: one list for all, with patience, and a part in the shared quota no longer than needed."""

from __future__ import annotations

import asyncio
from datetime import datetime, timedelta, timezone

import pytest

from quant_framework.errors import RateLimitedError
from quant_framework.ingestion.adapters import BinanceAdapter
from quant_framework.ingestion.rate_limit import SharedRateLimiter, quota_states
from quant_framework.testing import Fault

NAMES = ["BTC", "ETH", "SOL"]


@pytest.fixture
def run(make, exchange):
    def run(**options) -> dict:
        adapter = BinanceAdapter("spot", base_url=exchange.url)
        return asyncio.run(make(exchange, **{"adapter": adapter, "symbols": NAMES} | options).execute())

    return run


def test_many_names_cost_one_request(run, exchange):
    result = run()
    assert result["status"] == "success", result["errors"]
    asked = [entry["path"] for entry in exchange.ledger]
    assert sum("exchangeInfo" in path for path in asked) == 1
    assert result["requests"] == len(asked), "no permit was paid for nothing"


@pytest.mark.parametrize("fault", [Fault("500", path="exchangeInfo"), Fault("429", path="exchangeInfo", value=1)])
def test_a_look_up_that_fails_is_asked_again_as_a_chunk_is(fault, run, exchange):
    exchange.inject(fault)
    result = run()
    assert result["status"] == "success", result["errors"]


def test_a_look_up_that_would_wait_too_long_parks(run, exchange):
    exchange.inject(Fault("429", path="exchangeInfo", value=900))
    result = run(max_wait=1)
    assert (result["status"], result["records_written"]) == ("parked", 0)


class Named:
    """A source of the author's own that looks names up."""

    source = "mine"

    def is_exact(self, symbol):
        return False

    def resolve(self, symbol):
        return f"{symbol}USDT"

    def fetch(self, request):
        raise RateLimitedError("enough", until=datetime.now(timezone.utc) + timedelta(hours=1))


@pytest.mark.parametrize("how", ["plan", "parked at a look-up", "parked at a chunk"])
def test_nobody_keeps_a_part_of_a_shared_quota_after_the_end(how, make, exchange, tmp_path):
    place = (tmp_path / "limits").as_uri()
    if how == "parked at a look-up":
        hog = SharedRateLimiter(place, "mine", [(4, 60.0)])
        for _ in range(4):
            hog.acquire_sync()
        hog.close()
    limiter = SharedRateLimiter(place, "mine", [(4, 60.0)])
    workflow = make(exchange, adapter=Named(), symbols=["BTC"], rate_limiter=limiter, max_wait=0.1)
    if how == "plan":
        asyncio.run(workflow.plan())
    else:
        assert asyncio.run(workflow.execute())["status"] == "parked"
    [state] = asyncio.run(quota_states(place, "mine"))
    assert (state["workers"], state["waiting"]) == (0, 0)
