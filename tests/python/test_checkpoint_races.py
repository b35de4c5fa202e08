"""Many processes on one store, processes that are killed, and a database that goes away: no commit is lost."""

from __future__ import annotations

import time

import pytest

from checkpoint_processes import minute, minutes_in, until
from postgres_server import Postgres
from quant_framework.ingestion.checkpoint_stores import open_checkpoint_store

pytest_plugins = ["checkpoint_fixtures"]

PROCESSES = 32
GROUPS = 8
"""So many series have their own writers; each group of processes shares three."""
COMMON = "races/ohlcv/COMMON/1m"
TURNS = 4


def names_of(group: int) -> list[str]:
    return [f"races/ohlcv/GROUP{group}/{timeframe}" for timeframe in ("1m", "5m", "1h")]


def test_nothing_is_lost_when_thirty_two_processes_commit_at_once(url, spawn):
    # Only 8 on the common series: SeaweedFS makes more than a dozen writers of one key wait for seconds.
    children = []
    for number in range(PROCESSES):
        member, group = divmod(number, GROUPS)
        members = PROCESSES // GROUPS
        plan = {name: [member, members] for name in names_of(group)}
        if member == 0:
            plan[COMMON] = [group, GROUPS]
        children.append(spawn("commit", url, plan, TURNS))
    for child in children:
        child.ready()
    for child in children:
        child.go()
    for child in children:
        child.end()
    store = open_checkpoint_store(url)
    whole = {name: PROCESSES // GROUPS * TURNS for group in range(GROUPS) for name in names_of(group)}
    for name, count in {**whole, COMMON: GROUPS * TURNS}.items():
        told = set().union(*(child.committed(name) for child in children))
        assert told == set(range(count)), name
        assert minutes_in(store.load_sync(name).data) == told, name
    assert store.list_sync("races/") == sorted([*whole, COMMON])


def test_a_process_killed_while_it_commits_takes_nothing_with_it(url, spawn):
    name = "races/ohlcv/KILLED/1m"
    store = open_checkpoint_store(url)
    held, perhaps = set(), set()

    def check() -> None:
        found = minutes_in(store.load_sync(name).data)
        assert held <= found, "what was acknowledged is there"
        assert found <= held | perhaps, "and of the rest only what was on its way"

    for moment, enough in enumerate((1, 2, 3, 5, 8, 13)):
        child = spawn("commit", url, {name: [1000 * moment, 2]}, None).go()
        until(lambda child=child, enough=enough: len(child.committed(name)) >= enough, "commits, right after a kill")
        time.sleep(0.002 * moment)  # another moment of a commit each time
        child.kill()
        told = child.committed(name)
        held.update(told)
        perhaps.add(told[-1] + 2)  # a server may get to it later
        check()
        began = time.monotonic()
        store.commit_sync(name, [minute(told[-1] + 4)])
        assert time.monotonic() - began < 10, "nobody waits for a dead one's lock"
        held.add(told[-1] + 4)
        check()


def test_commits_go_on_while_postgres_crashes_and_restarts(spawn):
    # The server writes its log before it acknowledges, and the crash of a process loses no page cache, so that
    # nothing acknowledged may be gone; ``durable`` only says the same for a power cut.
    with Postgres(durable=True) as server:
        common = "races/ohlcv/COMMON/1m"
        own = [f"races/ohlcv/OWN{number}/1m" for number in range(4)]
        plans = [{name: [0, 1], common: [number, len(own)]} for number, name in enumerate(own)]
        children = [spawn("commit", server.dsn, plan, None).go() for plan in plans]

        def all_commit(more: int) -> None:
            goals = [len(child.said) + more for child in children]
            until(
                lambda: all(len(c.said) >= goal or not c.alive for c, goal in zip(children, goals, strict=True)),
                "every process commits",
            )
            for child in children:
                assert child.alive, child.complaint()

        all_commit(10)
        for immediate in (True, False, True, False):
            server.restart(immediate)
            all_commit(10)
        for child in children:
            child.end()
        store = open_checkpoint_store(server.dsn)
        told = {name: [child.committed(name) for child in children] for name in (*own, common)}
        for name, lists in told.items():
            acknowledged = set().union(*lists)
            assert len(acknowledged) >= 25, "there was load"
            assert minutes_in(store.load_sync(name).data) == acknowledged, name
        log = (server.folder / "log").read_text()
        assert log.count("was not properly shut down") == 2
        assert log.count("received fast shutdown request") >= 2


@pytest.mark.parametrize("url", ["postgres", "hybrid"], indirect=True)
def test_the_first_commits_of_many_make_the_tables_once(url, spawn):
    children = [spawn("commit", url, {f"races/ohlcv/FIRST{number}/1m": [0, 1]}, 1) for number in range(8)]
    for child in children:
        child.ready()
    for child in children:
        child.go()
    for child in children:
        child.end()
    assert len(open_checkpoint_store(url).list_sync("races/")) == len(children)
