"""How a quota stands, looked at without taking part in it."""

from __future__ import annotations

import asyncio
from datetime import datetime, timedelta, timezone

import pytest

from quant_framework.errors import InvalidError
from quant_framework.ingestion.rate_limit import SharedRateLimiter, quota_states

WINDOWS = [(40, 60.0), (1000, 3600.0, "fixed")]


def look(place: str, source: str = "coinalyze") -> list[dict]:
    return asyncio.run(quota_states(place, source))


@pytest.fixture(params=["file", "database"])
def place(request, tmp_path) -> str:
    return (tmp_path / "limits").as_uri() if request.param == "file" else request.getfixturevalue("database")


def test_what_is_used_is_what_a_worker_says(place):
    assert look(place) == []
    limiter = SharedRateLimiter(place, "coinalyze:team", WINDOWS)
    for _ in range(7):
        limiter.acquire_sync()
    other = SharedRateLimiter(place, "coinalyzed:team", WINDOWS)
    other.acquire_sync()
    [state] = look(place)
    assert state["windows"] == limiter.stats()["windows"]
    assert (state["scope"], state["error"], state["blocked_until"]) == ("coinalyze:team", None, None)
    assert (state["waiting"], state["workers"]) == (0, 1)
    assert [window["used"] for window in state["windows"]] == [7, 7]
    assert look(place) == [state], "nobody has taken a permit"
    limiter.close()
    assert look(place)[0]["workers"] == 0


def test_a_refusal_shows(place):
    limiter = SharedRateLimiter(place, "coinalyze:team", WINDOWS)
    limiter.acquire_sync()
    until = datetime.now(timezone.utc) + timedelta(seconds=30)
    limiter.report("throttled", until)
    assert not limiter.try_acquire()
    [state] = look(place)
    assert abs(state["blocked_until"] - until) < timedelta(seconds=2)


def test_looking_changes_nothing(tmp_path):
    folder = tmp_path / "limits"
    assert look(folder.as_uri()) == []
    assert not folder.exists()
    SharedRateLimiter(folder.as_uri(), "coinalyze", WINDOWS).acquire_sync()
    [file] = folder.iterdir()
    before = (file.read_bytes(), file.stat().st_mtime_ns)
    assert look(str(folder))[0]["scope"] == "coinalyze"
    assert (file.read_bytes(), file.stat().st_mtime_ns) == before


def test_what_cannot_be_read_is_told(tmp_path):
    SharedRateLimiter(str(tmp_path), "coinalyze:team", WINDOWS).acquire_sync()
    [file] = tmp_path.iterdir()
    file.write_text("{")
    [state] = look(str(tmp_path))
    assert (state["scope"], state["windows"]) == ("coinalyze:team", [])
    assert "damaged" in state["error"]
    with pytest.raises(InvalidError, match="place of a quota must be"):
        look("ftp://nowhere")
