"""What a source answers, and what becomes of the limiter for it: whole runs, and answers one by one."""

from __future__ import annotations

import threading
import time
from datetime import datetime, timedelta, timezone
from email.utils import format_datetime
from itertools import groupby, pairwise

import pyarrow.dataset
import pytest

from conftest import START
from quant_framework.errors import RateLimitedError
from quant_framework.ingestion.adapters import CoinalyzeAdapter
from quant_framework.ingestion.chunking import FixedChunkStrategy
from quant_framework.ingestion.rate_limit import AdaptiveRateLimiter
from quant_framework.testing import Fault, Limits, OfflineExchange
from quant_framework.testing.limits import QUOTA_HEADERS

TRUE = (8, 1.0)
"""What the exchange allows."""
BARS = 24
WIDTH = 4


class Watched(OfflineExchange):
    """Keeps every verdict with its time, in the order of the limit's own account."""

    def __init__(self, **limits: object) -> None:
        super().__init__(limit=Limits(**({"windows": TRUE} | limits)), latency=0.01)
        self.verdicts: list[tuple[float, object]] = []
        self.lowered: dict[int, tuple] = {}
        self.order = threading.Lock()
        self.others: list[int] = []
        """What somebody else spends just before the first request."""

    def _note(self, verdict):
        if verdict is not None:
            self.verdicts.append((time.monotonic(), verdict))
        return verdict

    def banned(self, weight: int, *name: str):
        with self.order:
            while self.others:
                super().ask(self.others.pop(0), *name)
            return self._note(super().banned(weight, *name))

    def ask(self, weight: int, *name: str):
        with self.order:
            verdict = self._note(super().ask(weight, *name))
            if limit := self.lowered.pop(len(self.verdicts), None):
                self.set_limit(limit)
            return verdict

    @property
    def bursts(self) -> list[int]:
        """How many were refused, each time."""
        groups = groupby(self.verdicts, lambda entry: entry[1].refused)
        return [len(list(group)) for refused, group in groups if refused]

    def patient(self) -> bool:
        """Whether nothing came before the end that the first refusal of a burst knew, but what was under way."""
        groups = [list(group) for _, group in groupby(self.verdicts, lambda entry: entry[1].refused)]
        pairs = [(group[0], later[0][0]) for group, later in pairwise(groups)]
        ends = [(at + verdict.wait, next_at) for (at, verdict), next_at in pairs if verdict.refused]
        return all(next_at >= end for end, next_at in ends)


def now() -> datetime:
    return datetime.now(timezone.utc)


@pytest.fixture
def run(make, context, tmp_path):
    """A function that fetches ``chunks`` of a day and checks that each arrived, once."""

    async def run(exchange: Watched, limiter: AdaptiveRateLimiter, chunks: int, **options: object) -> dict:
        end = START + timedelta(hours=BARS * chunks)
        parts = {"rate_limiter": limiter, "chunk_strategy": FixedChunkStrategy(BARS), "concurrency": WIDTH}
        result = await make(exchange, start=START, end=end, **(parts | options)).execute(context)
        assert result["status"] == "success", result
        rows = pyarrow.dataset.dataset(tmp_path / "lake").to_table()["ts"].to_pylist()
        assert len(rows) == len(set(rows)) == result["records_written"] == BARS * chunks
        spans = [entry["from"] for entry in exchange.ledger if entry["status"] == 200]
        assert len(spans) == len(set(spans)) == result["chunks_done"], "nothing is asked for twice"
        return result

    return run


def paced(*windows: tuple, **options: object) -> AdaptiveRateLimiter:
    return AdaptiveRateLimiter(1000, 1000, windows=windows, **options)


@pytest.mark.parametrize("style", QUOTA_HEADERS)
async def test_who_knows_the_limit_is_never_refused(style, run):
    with Watched(quota_headers=style) as exchange:
        limiter = paced(TRUE, slack=0.2)
        await run(exchange, limiter, 14)
        assert exchange.bursts == []
        assert exchange.usage()[0]["peak"] == 8, "and nothing is wasted"
        assert limiter.stats()["windows"][0]["weight"] == 8


@pytest.mark.parametrize("style", [style for style in QUOTA_HEADERS if style not in (None, "mbx")])
async def test_who_is_told_the_limit_by_a_header_is_never_refused(style, run):
    with Watched(quota_headers=style) as exchange:
        limiter = paced((100, 1.0), slack=0.2)
        await run(exchange, limiter, 14)
        assert exchange.bursts == []
        assert limiter.stats()["windows"][0]["weight"] == 8


LOST = {"retry_after": False}
FORMS = {
    "429": {},
    "429 float": {"retry_after": "float"},
    "429 date": {"retry_after": "date"},
    "429 lost": LOST,
    "429 of Binance": {"quota_headers": "mbx"},
    "retCode": {"refusals": "retcode"},
    "retCode of Bybit": {"refusals": "retcode", "quota_headers": "bapi"} | LOST,
    "code": {"refusals": "code"},
    "code of OKX": {"refusals": "code"} | LOST,
    "418": {"ban": (1, 1.0)},
    "418 in words": {"ban": (1, 1.0)} | LOST,
    "403": {"ban": (1, 1.0), "ban_status": 403},
}
SILENT = ("429 lost", "code of OKX")
"""Nobody says when they end: the window's length, or a minute."""


@pytest.mark.parametrize(
    ("form", "known"),
    [(form, known) for form in FORMS for known in ([], [(30, 1.0)]) if known or form not in SILENT],
)
async def test_a_refusal_is_one_burst_and_is_waited_out(form, known, run):
    with Watched(**FORMS[form]) as exchange:
        exchange.others = [8, 1] if "ban" in FORMS[form] else [8]
        limiter = paced(*known)
        await run(exchange, limiter, 8)
        (refused,) = exchange.bursts
        assert 1 <= refused <= WIDTH, "only what was under way"
        assert (limiter.stats()["refused"], limiter.stats()["answered"]) == (refused, 8)
        assert form in SILENT or exchange.patient()
        assert form == "retCode of Bybit" or limiter.stats()["rate"] == 500, "cut once"


async def test_a_window_that_is_too_large_is_found_out_by_one_burst(run):
    with Watched() as exchange:
        limiter = paced((12, 1.0), slack=0.2)
        await run(exchange, limiter, 20)
        assert len(exchange.bursts) == 1
        assert limiter.stats()["windows"][0]["weight"] <= 8


@pytest.mark.parametrize("style", ["ietf", "x-ratelimit", "bapi"])
@pytest.mark.parametrize(("after", "bursts"), [(3, 0), (10, 1)])
async def test_a_limit_that_is_lowered_under_way_is_heeded(style, after, bursts, run):
    with Watched(windows=(16, 1.0), quota_headers=style) as exchange:
        exchange.lowered[after] = (8, 1.0)
        limiter = paced((16, 1.0), slack=0.2)
        await run(exchange, limiter, 20)
        assert len(exchange.bursts) == bursts
        assert limiter.stats()["windows"][0]["weight"] == 8


@pytest.mark.parametrize(("kind", "value", "seconds"), [("418", None, 120), ("429", None, 60), ("429", 900, 900)])
async def test_an_end_that_is_far_parks(kind, value, seconds, exchange, make, context):
    exchange.inject(Fault(kind, value=value))
    began = now()
    result = await make(exchange, max_wait=1, concurrency=1).execute(context)
    assert (result["status"], result["requests"]) == ("parked", 1)
    until = datetime.fromisoformat(result["until"].replace("Z", "+00:00"))
    assert seconds - 1 <= (until - began).total_seconds() < seconds + 10


@pytest.mark.parametrize(("seconds", "least"), [(1e6, 1e6 - 60), (1e12, 50), (1e16, 50), (1e300, 50)])
async def test_an_end_that_is_absurd_parks_until_a_date_that_can_be_read(seconds, least, exchange, make, context):
    """Beyond a year it means nothing; twelve days are twelve days."""
    exchange.inject(Fault("429", value=seconds))
    result = await make(exchange, max_wait=1, concurrency=1).execute(context)
    assert result["status"] == "parked"
    assert datetime.fromisoformat(result["until"].replace("Z", "+00:00")) > now() + timedelta(seconds=least)


BANNED = b'{"code":-1003,"msg":"Way too much; IP banned until %d. Please use the websocket."}'
USED_UP = [("9", 9), (9, 9), (9000, 9), ("50000000", 60), ("tomorrow", 60), ("-9", 60)]
ANSWERS = [
    (200, {}, b"", "answered", None, 0),
    (200, {}, b'{"code":"0"}', "answered", None, 0),
    (404, {}, b"", "failed", None, 0),
    (503, {"Retry-After": "7"}, b"", "failed", None, 0),
    (403, {}, b"forbidden", "failed", None, 0),
    (429, {"retry-after": "7"}, b"", "refused", 7, 0),
    (429, {"Retry-After": "1.5"}, b"", "refused", 1.5, 0),
    (429, {"Retry-After": lambda: format_datetime(now() + timedelta(seconds=9), usegmt=True)}, b"", "refused", 9, 0),
    (429, {"Retry-After": "soon"}, b"", "refused", 60, 0),
    (429, {"Retry-After": "-7"}, b"", "refused", 60, 0),
    (418, {}, b"", "refused", 120, 0),
    (418, {}, lambda: BANNED % int(epoch(9000)), "refused", 9, 0),
    (418, {"Retry-After": "3"}, lambda: BANNED % int(epoch(9000)), "refused", 3, 0),
    (403, {}, b'{"retMsg":"Access too frequent"}', "refused", 600, 0),
    (200, {}, b'{"retCode":10006,"retMsg":"Too many visits!"}', "refused", 60, 0),
    (200, {}, b'{"code": "50011"}', "refused", 60, 0),
    *[(429, {"X-RateLimit-Remaining": "0", "X-RateLimit-Reset": at}, b"", "refused", end, None) for at, end in USED_UP],
    (200, {"X-RateLimit-Limit": "40", "X-RateLimit-Remaining": "17"}, b"", "answered", None, 23),
    (200, {"RateLimit": "limit=40, remaining=17, reset=9"}, b"", "answered", None, 23),
    (200, {"RateLimit-Limit": "40, 40;w=60", "RateLimit-Remaining": "17"}, b"", "answered", None, 23),
    (200, {"RateLimit-Policy": '"a";q=40;w=60', "RateLimit": '"a";r=17;t=9'}, b"", "answered", None, 23),
    (200, {"RateLimit-Policy": '"a";q=9;w=10', "RateLimit": '"a";r=0;t=9'}, b"", "answered", 9, 0),
    (200, {"X-MBX-USED-WEIGHT": "99", "X-MBX-USED-WEIGHT-1M": "23"}, b"", "answered", None, 23),
    (200, {"X-MBX-USED-WEIGHT-1S": "23"}, b"", "answered", None, 0),
]


def epoch(milliseconds: int) -> str:
    """So much later; less than a minute is meant in seconds since 1970."""
    later = round(time.time() * 1000) + milliseconds
    return str(later if milliseconds >= 1000 else round(later / 1000) + milliseconds)


@pytest.mark.parametrize(("status", "headers", "body", "verdict", "blocked", "used"), ANSWERS)
def test_answers_are_understood(status, headers, body, verdict, blocked, used):
    for kind in (dict, list):
        before = now()
        made = {name: value() if callable(value) else value for name, value in headers.items()}
        made = {name: epoch(value) if isinstance(value, int) else value for name, value in made.items()}
        given = made if kind is dict else list(made.items())
        limiter = paced((40, 60.0))
        assert limiter.report_response(status, given, body() if callable(body) else body) == verdict
        until, told = limiter.stats()["blocked_until"], now()
        if blocked is None:
            assert until is None
        else:  # of a time that is told in whole seconds, half a one or a whole one may be lost
            assert (until - before).total_seconds() - blocked > -1.1
            assert (until - told).total_seconds() - blocked < 1.1
        assert limiter.stats()["windows"][0]["used"] == used or used is None


def test_every_window_that_a_header_names_is_corrected():
    limiter = paced((40, 60.0), (500, 3600.0))
    policy = {"RateLimit-Policy": '"long";q=500;w=3600, "short";q=30;w=60'}
    limiter.report_response(200, policy | {"RateLimit": '"short";r=20;t=9, "long";r=1;t=900'})
    assert [(window["weight"], window["used"]) for window in limiter.stats()["windows"]] == [(30, 10), (500, 499)]
    assert limiter.try_acquire()
    with pytest.raises(RateLimitedError) as refused:
        limiter.acquire_sync(max_wait=60)
    assert 895 < (refused.value.until - now()).total_seconds() < 910


@pytest.mark.parametrize(("name", "period"), [("1M", 60), ("1h", 3600)])
def test_what_another_client_spends_is_not_spent_again(name, period):
    """Seen from within one window: the first try may straddle its edge."""
    for _ in range(2):
        limiter, number = paced((2400, period, "fixed"), burst=100), time.time() // period
        assert limiter.try_acquire(4)
        limiter.report_response(200, {f"X-MBX-USED-WEIGHT-{name}": "2390"})
        used = limiter.stats()["windows"][0]["used"]
        left, until = [limiter.try_acquire(11), limiter.try_acquire(10), limiter.try_acquire(1)], None
        try:
            limiter.acquire_sync(max_wait=0)
        except RateLimitedError as refused:
            until = refused.until.timestamp()
        if time.time() // period == number:
            break
    assert (used, left) == (2390, [False, True, False])
    assert 0 <= until - (number + 1) * period < 0.5


PRICES = [[99, 1], [499, 2], [1000, 5], [1500, 10]]


class Priced(CoinalyzeAdapter):
    """The exchange at Binance's prices."""

    def capability(self, data_type: str, timeframe: str) -> dict:
        return {"prices": PRICES}


class PricedPairs(Priced):
    def capability(self, data_type: str, timeframe: str) -> dict:
        return {"prices": [tuple(step) for step in PRICES]}

    async def fetch(self, request):
        return await super().fetch(request)


@pytest.mark.parametrize("adapter", [Priced, PricedPairs])
async def test_pages_are_as_long_as_is_cheapest(adapter, make, context):
    """Only an adapter that had its own ``fetch`` was asked for its prices, and lists were no pairs."""
    limit = Limits(windows=(2400, 60.0), prices=[tuple(step) for step in PRICES])
    with OfflineExchange(limit=limit) as exchange:
        priced = adapter(api_key="offline", base_url=exchange.url, retention=None)
        parts = {"adapter": priced, "rate_limiter": paced((2400, 60.0)), "timeframes": ["1m"]}
        job = make(exchange, **parts, end=START + timedelta(days=5))
        plan = await job.plan()
        assert (await job.execute(context))["records_written"] == 5 * 1440
        weights = [entry["weight"] for entry in exchange.ledger]
        assert plan["weight"] == sum(weights) == exchange.usage()[0]["accepted"]
        assert weights.count(2) >= 5 * 1440 // 499 - 1
        assert set(weights) <= {1, 2}
