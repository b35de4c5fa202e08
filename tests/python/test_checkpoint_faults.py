"""An S3 server that fails, answers late or not at all: a commit returns when it is durable, and nothing is lost."""

from __future__ import annotations

from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from urllib.parse import quote

import pytest

from checkpoint_processes import FAKETIME, FOREVER, checkpoint, minute, minutes_in, until, with_clock
from fault_proxy import Injected
from quant_framework.errors import UnavailableError
from quant_framework.ingestion.checkpoint_stores import MinIOCheckpointStore, open_checkpoint_store

pytest_plugins = ["checkpoint_fixtures"]

ONE_WRITE = {
    "412": [checkpoint("status", 412)],
    "409": [checkpoint("status", 409)],
    "500": [checkpoint("status", 500)],
    "503": [checkpoint("status", 503)],
    "lost": [checkpoint("lost")],
    "cut": [checkpoint("cut")],
    "dropped": [checkpoint("drop")],
}
# A commit reads where it knows nothing, and after every write that did not go well.
ONE_READ = {
    "GET cut": [checkpoint("cut", method="GET")],
    "GET dropped": [checkpoint("drop", method="GET")],
    "GET 500": [checkpoint("status", 500, method="GET")],
    "GET slow": [checkpoint("slow", 0.5, method="GET")],
}
SEVERAL = {
    "412 five times": [checkpoint("status", 412, times=5)],
    "409 five times": [checkpoint("status", 409, times=5)],
    "500 three times": [checkpoint("status", 500, times=3)],
    "503 three times": [checkpoint("status", 503, times=3)],
    "dropped three times": [checkpoint("drop", times=3)],
    "GET cut three times": [checkpoint("cut", times=3, method="GET")],
    "GET 503 three times": [checkpoint("status", 503, times=3, method="GET")],
    "mixed": [checkpoint("status", 412), checkpoint("drop"), checkpoint("status", 503), checkpoint("lost")],
    "lost, then a cut GET": [checkpoint("lost"), checkpoint("cut", method="GET")],
    # Seven failures, one less than the store's patience.
    "503, then six times to a GET": [checkpoint("status", 503), checkpoint("status", 503, times=6, method="GET")],
    "412, then dropped GETs": [checkpoint("status", 412), checkpoint("drop", times=2, method="GET")],
}
CASES = {
    **{f"new, {name}": ("new", faults) for name, faults in (ONE_WRITE | ONE_READ).items()},
    **{f"first, {name}": ("first", faults) for name, faults in (ONE_WRITE | ONE_READ).items()},
    **{f"known, {name}": ("known", faults) for name, faults in ONE_WRITE.items()},
    **{f"overtaken, {name}": ("overtaken", faults) for name, faults in (ONE_WRITE | ONE_READ | SEVERAL).items()},
}


@pytest.mark.parametrize(("state", "faults"), CASES.values(), ids=CASES)
def test_a_commit_returns_and_the_store_holds_exactly_the_merge(state, faults, faulty, direct, proxy, key):
    expected = set()
    if state != "new":
        direct.commit_sync(key, [minute(0), minute(9)], [minute(5)], cursor="a")
        expected = {0, 9}
    if state in ("known", "overtaken"):
        faulty.commit_sync(key, [minute(1)])
        expected.add(1)
    if state == "overtaken":  # its next write is refused, and it reads again
        direct.commit_sync(key, [minute(3)])
        expected.add(3)
    proxy.script(faults)
    faulty.commit_sync(key, [minute(2), minute(5)], [minute(7)], cursor="b", fingerprint="f")
    happened = Counter(outcome for _, _, outcome in proxy.log if isinstance(outcome, str))
    assert happened == sum((Counter({fault.action: fault.times}) for fault in faults), Counter())
    held = direct.load_sync(key)
    assert minutes_in(held.data) == expected | {2, 5}
    assert minutes_in(held.empty) == {7}
    assert (held.cursor, held.fingerprint, held.generation) == ("b", "f", 0)
    faulty.commit_sync(key, [minute(8)])
    assert minutes_in(direct.load_sync(key).data) == expected | {2, 5, 8}


PROBE_WRITES = ("write", "if absent", "if unchanged", "race")


@pytest.mark.parametrize("number", range(len(PROBE_WRITES)), ids=PROBE_WRITES)
@pytest.mark.parametrize("action", ["status", "lost"])
def test_a_first_commit_survives_a_fault_while_the_server_is_probed(action, number, s3, bucket, proxy, key):
    passing = Injected("slow", "PUT", ".probe-", times=number, value=0)
    proxy.script([passing, Injected(action, "PUT", ".probe-", value=503)])
    store = MinIOCheckpointStore(bucket, key, proxy.endpoint, s3.access_key, s3.secret_key, s3.region)
    store.commit_sync(key, [minute(1)])
    assert proxy.counts()["PUT", action] == 1
    assert minutes_in(store.load_sync(key).data) == {1}


def test_a_server_that_stays_away_is_reported_and_the_next_commit_works(faulty, direct, proxy, key):
    direct.commit_sync(key, [minute(0)])
    proxy.script([checkpoint("status", 503, times=1000, method="GET")])
    with pytest.raises(UnavailableError, match=f"{key}.json: 503"):
        faulty.commit_sync(key, [minute(1)])
    assert not [entry for entry in proxy.log if entry[0] == "PUT"], "nothing is written over what was not read"
    proxy.script([checkpoint("status", 503, times=1000)])
    with pytest.raises(UnavailableError, match=f"{key}.json: 503"):  # after 11 to 23 seconds
        faulty.commit_sync(key, [minute(2)])
    proxy.script([])
    assert proxy.counts()["PUT", "status"] == 8
    assert minutes_in(direct.load_sync(key).data) == {0}
    faulty.commit_sync(key, [minute(3)])
    assert minutes_in(direct.load_sync(key).data) == {0, 3}


@pytest.mark.parametrize("state", ["first", "known"])
@pytest.mark.parametrize("answer", ["lost", "cut"])
def test_a_second_writer_between_a_lost_answer_and_the_look_at_what_landed(state, answer, faulty, direct, proxy, key):
    direct.commit_sync(key, [minute(0)])
    if state == "known":
        faulty.commit_sync(key, [minute(1)])
    # Known or not: the first GET of the first state comes before the write, the one to wait for after it.
    before = [checkpoint("slow", 0, method="GET")] if state == "first" else []
    proxy.script([checkpoint(answer), *before, checkpoint("delay", FOREVER, method="GET")])
    writing = ThreadPoolExecutor().submit(faulty.commit_sync, key, [minute(2)], [minute(7)])
    until(lambda: proxy.counts()["GET", "delay"], "it looks at what landed")
    assert minutes_in(direct.load_sync(key).data) >= {0, 2}
    direct.commit_sync(key, [minute(3)], [minute(8)])
    proxy.release()
    writing.result(60)
    held = direct.load_sync(key)
    assert minutes_in(held.data) == {0, 2, 3} | ({1} if state == "known" else set())
    assert minutes_in(held.empty) == {7, 8}


def test_a_second_writer_while_a_write_is_on_its_way(faulty, direct, proxy, key):
    faulty.commit_sync(key, [minute(1)])
    proxy.script([checkpoint("delay", FOREVER)])
    writing = ThreadPoolExecutor().submit(faulty.commit_sync, key, [minute(2)], [minute(7)])
    until(lambda: proxy.counts()["PUT", "delay"], "its write is on its way")
    direct.commit_sync(key, [minute(3)])
    proxy.release()
    writing.result(60)
    assert minutes_in(direct.load_sync(key).data) == {1, 2, 3}


def test_a_deletion_while_a_write_is_on_its_way(faulty, direct, proxy, key):
    faulty.commit_sync(key, [minute(1)])
    proxy.script([checkpoint("delay", FOREVER)])
    writing = ThreadPoolExecutor().submit(faulty.commit_sync, key, [minute(2)])
    until(lambda: proxy.counts()["PUT", "delay"], "its write is on its way")
    direct.delete_sync(key)
    proxy.release()
    writing.result(60)
    assert minutes_in(direct.load_sync(key).data) == {2}, "what was deleted does not come back"


def test_a_reset_after_a_lost_answer_voids_the_commit_and_nothing_comes_back(faulty, direct, proxy, key):
    faulty.commit_sync(key, [minute(1)])
    proxy.script([checkpoint("lost"), checkpoint("delay", FOREVER, method="GET")])
    writing = ThreadPoolExecutor().submit(faulty.commit_sync, key, [minute(2)])
    until(lambda: proxy.counts()["GET", "delay"], "it looks at what landed")
    generation = direct.reset_sync(key)
    direct.commit_sync(key, [minute(5)], generation=generation)
    proxy.release()
    writing.result(60)
    held = direct.load_sync(key)
    assert (held.generation, minutes_in(held.data)) == (generation, {5})


@pytest.mark.skipif(not FAKETIME, reason="no libfaketime (Debian's package faketime)")
@pytest.mark.parametrize("hours", [-1, 1])
def test_a_process_whose_clock_is_an_hour_off_commits(hours, spawn, s3, bucket, proxy, monkeypatch, key):
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", s3.access_key)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", s3.secret_key)
    url = f"s3://{bucket}/{key}?region={s3.region}&endpoint_url={quote(proxy.endpoint, safe='')}"
    child = spawn("commit", url, {key: [0, 1]}, 3, **with_clock(f"{hours:+}h"))
    assert child.hours_off() == hours
    child.go().end()
    assert 403 in [outcome for _, _, outcome in proxy.log], "the server has refused what was signed by that clock"
    assert minutes_in(open_checkpoint_store(url).load_sync(key).data) == {0, 1, 2}
