"""The offline exchange's limit: as exact, and as unforgiving, as what it stands for."""

from __future__ import annotations

import json
import math
import random
import time
import urllib.error
import urllib.request
from concurrent.futures import ThreadPoolExecutor
from email.utils import parsedate_to_datetime

import pytest

from quant_framework.testing import Fault, Limits, OfflineExchange
from quant_framework.testing.limits import Meter, Window
from quant_framework.testing.quota import refusal, retry_after

NOON = 1_704_110_400
DAY = 86_400
PRICES = ((99, 1), (499, 2), (1000, 5), (1500, 10))


class Clocks:
    """A monotonic and a wall clock that go when told to."""

    def __init__(self) -> None:
        self.monotonic, self.wall = 1000.0, float(NOON)

    def pass_by(self, seconds: float) -> None:
        self.monotonic += seconds
        self.wall += seconds


@pytest.fixture
def clocks() -> Clocks:
    return Clocks()


def meter(clocks: Clocks, limit: object, **rest: object) -> Meter:
    return Meter(Limits(limit, **rest), lambda: clocks.monotonic, lambda: clocks.wall)


def accepted(meter: Meter, weight: int = 1) -> bool:
    return not meter.ask(weight).refused


def test_a_rolling_span_excludes_its_end(clocks):
    limit = meter(clocks, (2, 10))
    assert accepted(limit)
    clocks.pass_by(4)
    assert accepted(limit)
    clocks.pass_by(5.999)
    assert not accepted(limit)
    clocks.pass_by(0.001)
    assert [accepted(limit), accepted(limit)] == [True, False], "the first has left, the second has not"


def test_no_span_ever_holds_more_than_its_weight_and_no_room_is_wasted(clocks):
    windows = (Window(7, 10), Window(20, 60))
    limit, chance, taken = meter(clocks, windows), random.Random(1), []
    for _ in range(2000):
        clocks.pass_by(chance.choice([0, 1, 2, 5]))
        weight, now = chance.randint(1, 4), clocks.monotonic
        fits = all(
            sum(spent for at, spent in taken if at > now - window.seconds) + weight <= window.weight
            for window in windows
        )
        assert accepted(limit, weight) == fits
        if fits:
            taken.append((now, weight))
    total = sum(spent for _, spent in taken)
    assert limit.usage() == [
        {"weight": 7, "seconds": 10, "peak": 7, "accepted": total},
        {"weight": 20, "seconds": 60, "peak": 20, "accepted": total},
    ]


def test_a_fixed_window_begins_with_the_clocks_minute_and_lets_twice_as_much_through_at_its_edge(clocks):
    limit = meter(clocks, (3, 60, "fixed"))
    clocks.pass_by(59)
    assert [accepted(limit, 3), accepted(limit)] == [True, False]
    clocks.pass_by(1)
    assert [accepted(limit, 3), accepted(limit)] == [True, False]
    assert limit.usage()[0]["peak"] == 3


def test_a_wall_clock_set_back_gives_nothing_and_does_not_touch_rolling_windows(clocks):
    limit = meter(clocks, [(1, 60, "fixed"), (2, 10)])
    assert accepted(limit)
    clocks.wall -= 3600
    assert not accepted(limit)
    clocks.wall += 3600 + 60
    assert [accepted(limit), accepted(limit)] == [True, False]


def test_a_request_must_fit_every_window(clocks):
    limit = meter(clocks, [(2, 1), (3, 60)])
    assert [accepted(limit) for _ in range(3)] == [True, True, False]
    clocks.pass_by(1)
    assert [accepted(limit) for _ in range(2)] == [True, False]
    assert [level.left for level in limit.ask(1).levels] == [1, 0]


@pytest.mark.parametrize("limit", [(0, 60), (1, 0), (1, 60, "sliding"), [(1, 60), (-1, 1)]])
def test_senseless_windows_are_refused(limit):
    with pytest.raises(ValueError, match="window"):
        Limits(limit)


def test_senseless_words_are_refused():
    for wrong in ({"retry_after": "soon"}, {"refusals": "no"}, {"quota_headers": "gold"}, {"prices": ((9, 1), (1, 1))}):
        with pytest.raises(ValueError, match=next(iter(wrong))):
            Limits(**wrong)


def test_the_wait_is_until_the_weight_fits_not_until_the_oldest_leaves(clocks):
    limit = meter(clocks, (5, 60))
    for _ in range(5):
        limit.ask(1)
        clocks.pass_by(2)
    assert [limit.ask(weight).wait for weight in (1, 3, 5)] == [50, 54, 58]
    clocks.pass_by(53.999)
    assert not accepted(limit, 3)
    clocks.pass_by(0.001)
    assert accepted(limit, 3)


def test_the_wait_is_that_of_the_slowest_window(clocks):
    limit = meter(clocks, [(2, 10), (3, 60, "fixed")])
    clocks.pass_by(25)
    assert [accepted(limit, 2), limit.ask(1).wait] == [True, 10]
    clocks.pass_by(10)
    assert [accepted(limit), limit.ask(1).wait, limit.ask(2).wait] == [True, 25, 25]


def test_what_never_fits_has_no_time_to_come_back(clocks):
    for limit in ((2, 10), (2, 10, "fixed")):
        verdict = meter(clocks, limit).ask(3)
        assert (verdict.wait, retry_after(verdict)) == (math.inf, {})


@pytest.mark.parametrize(
    ("form", "said"),
    [(True, "8"), ("seconds", "8"), ("float", "7.758"), ("date", "Mon, 01 Jan 2024 12:00:11 GMT"), (False, None)],
)
def test_forms_of_retry_after_round_up(form, said, clocks):
    limit = meter(clocks, (1, 10), retry_after=form)
    limit.ask(1)
    clocks.pass_by(2.2421875)
    clocks.wall += 0.5
    assert retry_after(limit.ask(1)).get("Retry-After") == said


def test_refusals_may_count_and_so_keep_the_impatient_out(clocks):
    patient, impatient = meter(clocks, (2, 10)), meter(clocks, (2, 10), counts_refused=True)
    for limit in (patient, impatient):
        assert [accepted(limit) for _ in range(3)] == [True, True, False]
    clocks.pass_by(9)
    assert [limit.ask(2).wait for limit in (patient, impatient)] == [1, 10]
    clocks.pass_by(1)
    assert [accepted(patient), accepted(impatient)] == [True, False]
    assert [limit.usage()[0]["peak"] for limit in (patient, impatient)] == [2, 2]
    assert impatient.usage()[0]["accepted"] == 2


def test_a_ban_follows_so_many_refusals_in_one_window_and_ends(clocks):
    limit = meter(clocks, (1, 10), ban=(3, 120))
    assert [limit.ask(1).status for _ in range(4)] == [200, 429, 429, 429]
    verdict = limit.ask(1)
    assert (verdict.status, verdict.wait, verdict.banned_until) == (418, 120, NOON + 120)
    clocks.pass_by(119)
    assert (limit.banned(1).wait, limit.ask(1).status) == (1, 418), "what is asked during a ban does not prolong it"
    clocks.pass_by(1)
    assert limit.banned(1) is None
    assert [limit.ask(1).status for _ in range(4)] == [200, 429, 429, 429], "nor is it held against anyone later"


def test_refusals_far_apart_are_no_ban(clocks):
    limit = meter(clocks, [(1, 10), (5, 60)], ban=(2, 120))
    for _ in range(4):
        assert [limit.ask(1).status, limit.ask(9).status] == [200, 429]
        clocks.pass_by(60)
    assert [limit.ask(9).status, limit.ask(9).status, limit.ask(9).status] == [429, 429, 418]


def test_the_refusal_that_starts_a_ban_tells_its_end(clocks):
    limit = meter(clocks, (1, 10), ban=(1, 120), quota_headers="mbx")
    limit.ask(1)
    answer = refusal(limit.ask(1))
    assert (answer.status, answer.headers["Retry-After"]) == (429, "120")
    assert f"IP banned until {NOON + 120}000." in json.loads(answer.body)["msg"]


def test_after_a_ban_shorter_than_the_window_the_wait_is_still_the_windows(clocks):
    limit = meter(clocks, (1, 60), ban=(1, 5))
    assert [limit.ask(1).wait for _ in range(3)] == [0, 60, 60]


def test_a_429_of_a_ban_is_one_however_refusals_are_dressed(clocks):
    limit = meter(clocks, (1, 60), ban=(1, 5), ban_status=429, refusals="retcode")
    assert not limit.ask(1).refused
    assert [refusal(limit.ask(1)).http for _ in range(2)] == [200, None]


def test_a_changed_limit_keeps_what_was_spent(clocks):
    limit = meter(clocks, (4, 60))
    assert accepted(limit, 4)
    limit.change(Limits([(6, 60), (9, 3600, "fixed")]))
    assert [accepted(limit, 3), accepted(limit, 2), accepted(limit)] == [False, True, False]
    limit.change(Limits((5, 60)))
    assert limit.ask(1).wait == 60
    assert limit.usage() == [{"weight": 5, "seconds": 60, "peak": 0, "accepted": 6}]
    clocks.pass_by(60)
    assert accepted(limit, 5)


def ask(exchange: OfflineExchange, symbols: int = 1, bars: int = 5, path: str = "") -> tuple[int, dict, object]:
    names = ",".join(f"{name}USDT_PERP.A" for name in ("BTC", "ETH", "SOL")[:symbols])
    path = path or f"ohlcv-history?symbols={names}&interval=1min&from={NOON}&to={NOON + 60 * (bars - 1)}"
    request = urllib.request.Request(f"{exchange.url}/{path}", headers={"api_key": "offline"})
    try:
        with urllib.request.urlopen(request, timeout=10) as response:
            return response.status, dict(response.headers), json.loads(response.read())
    except urllib.error.HTTPError as error:
        return error.code, dict(error.headers), json.loads(error.read())


def quota(headers: dict) -> dict:
    return {name: value for name, value in headers.items() if "limit" in name.lower() or "mbx" in name.lower()}


def test_used_weight_is_told_for_each_window_on_successes_and_refusals():
    windows = [(5, 60), (90, 90), (100, 3600), (1000, 10 * DAY, "fixed")]
    with OfflineExchange(limit=Limits(windows, quota_headers="mbx")) as exchange:
        for status, used in [(200, "3"), (429, "3")]:
            answer = ask(exchange, symbols=3)
            assert answer[0] == status
            assert quota(answer[1]) == {f"X-MBX-USED-WEIGHT-{unit}": used for unit in ("1M", "90S", "1H", "10D")}
        assert answer[2]["code"] == -1003
        assert "current limit is 5 request weight per 1 MINUTE" in answer[2]["msg"]


def test_ietf_headers_name_their_windows():
    with OfflineExchange(limit=Limits((40, 60), quota_headers="ietf")) as exchange:
        assert quota(ask(exchange, 3)[1]) == {
            "RateLimit-Policy": '"default";q=40;w=60',
            "RateLimit": '"default";r=37;t=60',
        }
        exchange.set_limit([(4, 60), (40, 3600)])
        status, headers, _ = ask(exchange, 2)
        assert (status, quota(headers)["RateLimit-Policy"]) == (429, '"w1";q=4;w=60, "w2";q=40;w=3600')
        assert quota(headers)["RateLimit"].startswith('"w1";r=1;t=')


@pytest.mark.parametrize(
    ("style", "names", "unit", "epoch"),
    [
        ("ratelimit-draft", "RateLimit-{Limit,Remaining,Reset}", 1, False),
        ("x-ratelimit", "X-RateLimit-{Limit,Remaining,Reset}", 1, False),
        ("x-ratelimit-epoch", "X-RateLimit-{Limit,Remaining,Reset}", 1, True),
        ("x-ratelimit-ms", "X-RateLimit-{Limit,Remaining,Reset}", 1000, True),
    ],
)
def test_headers_of_one_window_tell_of_the_tightest(style, names, unit, epoch):
    prefix, _, parts = names.rstrip("}").partition("{")
    limit, remaining, reset = (prefix + part for part in parts.split(","))
    with OfflineExchange(limit=Limits([(400, 10), (4, 3600)], quota_headers=style)) as exchange:
        for status in (200, 429):
            before = time.time()
            answer = ask(exchange, 3)
            assert (answer[0], answer[1][limit], answer[1][remaining]) == (status, "4", "1")
            left = int(answer[1][reset]) / unit - (before if epoch else 0)
            assert 3590 < left <= 3602


def test_bybits_reset_is_the_present_on_a_success_and_the_way_out_on_a_refusal():
    limits = Limits((4, 3600), quota_headers="bapi", refusals="retcode", retry_after=False)
    with OfflineExchange(limit=limits) as exchange:
        for wait, body in [(0, None), (3600, {"retCode": 10006, "retMsg": "Too many visits!"})]:
            status, headers, said = ask(exchange, 3)
            assert (status, headers["X-Bapi-Limit"], headers["X-Bapi-Limit-Status"]) == (200, "4", "1")
            assert abs(int(headers["X-Bapi-Limit-Reset-Timestamp"]) / 1000 - time.time() - wait) < 5
            assert body is None or said == body
        assert "Retry-After" not in headers
        assert [(entry["status"], entry.get("http")) for entry in exchange.ledger] == [(200, None), (429, 200)]
        assert exchange.stats() == {"requests": 2, "weight": 6, "200": 1, "429": 1}


def test_okx_refuses_with_a_code():
    with OfflineExchange(limit=Limits((1, 60), refusals="code")) as exchange:
        ask(exchange)
        status, headers, body = ask(exchange)
        assert (status, body) == (200, {"code": "50011", "msg": "Too Many Requests"})
        assert 55 < int(headers["Retry-After"]) <= 60


def test_no_headers_without_a_style_or_a_limit():
    for limit in ((9, 60), Limits(None, quota_headers="ietf")):
        with OfflineExchange(limit=limit) as exchange:
            assert quota(ask(exchange)[1]) == {}


def test_a_ban_answers_everything_until_it_ends():
    with OfflineExchange(limit=Limits((1, 3.0), ban=(1, 3.0))) as exchange:
        assert [ask(exchange)[0] for _ in range(2)] == [200, 429]
        status, headers, body = ask(exchange, path="exchanges")
        assert (status, headers["Retry-After"], body["code"]) == (418, "3", -1003)
        ends = int(body["msg"].partition("until ")[2].partition(".")[0])
        assert 0 < ends / 1000 - time.time() <= 3.001, "rounded up to whole milliseconds"
        exchange.inject(Fault("500"))
        assert ask(exchange)[0] == 418
        time.sleep(max(0.0, ends / 1000 - time.time()) + 0.01)
        assert [ask(exchange)[0] for _ in range(2)] == [500, 200], "no fault is used up during a ban"
        assert exchange.stats() == {"requests": 6, "weight": 6, "200": 2, "429": 1, "418": 2, "500": 1}


def test_a_ban_may_be_a_403_and_is_forgotten_by_reset():
    limits = Limits((1, 60), ban=(1, 3600), ban_status=403, retry_after="date")
    with OfflineExchange(limit=limits) as exchange:
        answers = [ask(exchange) for _ in range(3)]
        assert [answer[0] for answer in answers] == [200, 429, 403]
        _, headers, body = answers[-1]
        assert body == {"retMsg": "access too frequent"}
        assert abs(parsedate_to_datetime(headers["Retry-After"]).timestamp() - time.time() - 3600) < 5
        exchange.reset()
        assert ask(exchange)[0] == 200


def test_the_price_is_by_bars_and_symbols():
    with OfflineExchange(limit=Limits((1000, 60), prices=PRICES)) as exchange:
        for bars, price in [(1, 1), (99, 1), (100, 2), (499, 2), (500, 5), (1000, 5), (1001, 10), (1500, 10)]:
            assert ask(exchange, symbols=2, bars=bars)[0] == 200
            assert exchange.ledger[-1]["weight"] == 2 * price
        status, _, body = ask(exchange, bars=1501)
        assert (status, body["message"]) == (400, "at most 1500 bars a request")
        assert ask(exchange, path="exchanges")[0] == 200
        assert exchange.usage()[0]["accepted"] == 2 * 36 + 2 == exchange.stats()["weight"]


def test_whoever_waits_as_told_is_served():
    with OfflineExchange(limit=(2, 3.0), retry_after="float") as exchange:
        assert [ask(exchange)[0] for _ in range(2)] == [200, 200]
        status, headers, _ = ask(exchange, symbols=2)
        assert (status, 0 < float(headers["Retry-After"]) <= 3) == (429, True)
        time.sleep(float(headers["Retry-After"]))
        assert ask(exchange, symbols=2)[0] == 200


@pytest.mark.parametrize("kind", ["418", "429"])
def test_injected_refusals_spend_nothing_and_count_for_no_ban(kind):
    limits = Limits((2, 60), ban=(1, 60), counts_refused=True)
    with OfflineExchange(limit=limits, faults=[Fault(kind, times=3, value=7)]) as exchange:
        assert [ask(exchange)[1]["Retry-After"] for _ in range(3)] == ["7"] * 3
        assert exchange.usage() == [{"weight": 2, "seconds": 60, "peak": 0, "accepted": 0}]
        assert [ask(exchange)[0] for _ in range(2)] == [200, 200]


def test_the_limit_changes_under_way():
    with OfflineExchange(limit=Limits((2, 60), refusals="code")) as exchange:
        assert ask(exchange, symbols=2)[0] == 200
        exchange.set_limit([(3, 60), (9, 3600, "fixed")])
        assert exchange.limits.refusals == "code"
        assert [ask(exchange)[2][0]["symbol"], ask(exchange)[2]["code"]] == ["BTCUSDT_PERP.A", "50011"]
        exchange.set_limit(None)
        assert (ask(exchange)[0], exchange.usage()) == (200, [])


def test_clients_at_once_get_exactly_the_limit():
    with OfflineExchange(limit=[(10, 60), (12, 3600)]) as exchange, ThreadPoolExecutor(16) as clients:
        seen = list(clients.map(lambda _: ask(exchange)[0], range(40)))
        assert (seen.count(200), seen.count(429)) == (10, 30)
        assert [(window["peak"], window["accepted"]) for window in exchange.usage()] == [(10, 10), (10, 10)]


def test_spend_goes_on_working():
    with OfflineExchange(limit=(2, 60.0)) as exchange:
        assert exchange.spend(2) is None
        assert 59 < exchange.spend(1) <= 60
