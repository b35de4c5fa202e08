"""Parts written in Python, sync or async, in every shape that rows may have."""

from __future__ import annotations

import asyncio
from datetime import datetime, timedelta, timezone
from typing import ClassVar

import pandas
import polars
import pyarrow
import pyarrow.parquet
import pytest

from conftest import END, START
from quant_framework.errors import RateLimitedError, UnavailableError
from quant_framework.ingestion.adapters import CoinalyzeAdapter, Fetched
from quant_framework.ingestion.backfill import MemoryCheckpointStore
from quant_framework.ingestion.rate_limit import PRESETS, documented
from quant_framework.ingestion.writers import BronzeWriter

NAMES = ["ts", "open", "high", "low", "close", "volume"]


def rows_of(request) -> list[dict]:
    count = int((request.end - request.start) / timedelta(hours=1))
    times = [request.start + timedelta(hours=hour) for hour in range(count)]
    return [dict(zip(NAMES, (at, 2.0, 3.0, 1.0, 2.5, 7.0), strict=True)) for at in times]


SHAPES = {
    "dicts": lambda rows: rows,
    "rows": lambda rows: [list(row.values()) for row in rows],
    "tuples": lambda rows: [tuple(row.values()) for row in rows],
    "columns": lambda rows: {name: [row[name] for row in rows] for name in NAMES},
    "milliseconds": lambda rows: [row | {"ts": int(row["ts"].timestamp() * 1000)} for row in rows],
    "arrow": lambda rows: pyarrow.Table.from_pylist(rows),
    "pandas": lambda rows: pandas.DataFrame(rows),
    "polars": lambda rows: polars.DataFrame(rows),
}


class Adapter:
    source = "mine"

    def __init__(self, shape: str) -> None:
        self.shape = SHAPES[shape]

    def fetch(self, request):
        return self.shape(rows_of(request))


class AsyncAdapter(Adapter):
    async def fetch(self, request):
        await asyncio.sleep(0)
        return super().fetch(request)


class Writer:
    def __init__(self) -> None:
        self.rows: dict[tuple, int] = {}

    def write(self, series, range, batch):
        self.rows[series, range] = pyarrow.record_batch(batch).num_rows
        return {"uri": "memory", "rows": len(batch), "bytes": 1}


class AsyncWriter(Writer):
    async def write(self, series, range, batch):
        return super().write(series, range, batch)


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize(("adapter", "writer"), [(Adapter, Writer), (AsyncAdapter, AsyncWriter)])
async def test_python_adapters_and_writers(shape, adapter, writer, exchange, make, context):
    lake = writer()
    result = await make(exchange, adapter=adapter(shape), writer=lake).execute(context)
    assert result["status"] == "success", result["errors"]
    assert sum(lake.rows.values()) == result["records_written"] == 14 * 24
    assert {series for series, _ in lake.rows} == {"mine/ohlcv/BTCUSDT_PERP.A/1h"}


class Wrong(Adapter):
    def __init__(self, answer) -> None:
        self.answer = answer

    def fetch(self, request):
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer(request)


@pytest.mark.parametrize(
    ("answer", "kind", "says"),
    [
        (lambda request: 5, "data", "int"),
        (lambda request: [{"ts": request.start, "open": 1.0}], "data", "lack the column"),
        (lambda request: pyarrow.table({"ts": [1], "nonsense": [1]}), "data", "nonsense"),
        (lambda request: [dict.fromkeys(NAMES, 1.0) | {"ts": request.start.replace(tzinfo=None)}], "invalid", "aware"),
        (lambda request: [*rows_of(request)[:1], rows_of(request)[0] | {"close": 2.0}], "data", "two different rows"),
        (ValueError("no such market"), "invalid", "no such market"),
        (KeyError("bug"), "internal", "KeyError"),
    ],
)
async def test_wrong_answers_have_a_kind_and_a_line(answer, kind, says, exchange, make, context):
    result = await make(exchange, adapter=Wrong(answer), writer=Writer()).execute(context)
    assert result["status"] == "failed"
    assert result["errors"][0]["kind"] == kind
    assert says in result["errors"][0]["message"]


async def test_own_kinds_pass_through_and_unavailable_is_repeated(exchange, make, context):
    class Flaky(Adapter):
        failures = 2

        def fetch(self, request):
            if self.failures:
                self.failures -= 1
                raise UnavailableError("later") if self.failures else TimeoutError("later")
            return super().fetch(request)

    result = await make(exchange, adapter=Flaky("dicts"), writer=Writer()).execute(context)
    assert (result["status"], result["requests"]) == ("success", 2 + 2)


async def test_a_subclass_of_the_native_adapter_is_called(exchange, make, context):
    class Counting(CoinalyzeAdapter):
        calls = 0

        async def fetch(self, request):
            Counting.calls += 1
            return await super().fetch(request)

    adapter = Counting(api_key="offline", base_url=exchange.url, retention=None)
    result = await make(exchange, adapter=adapter).execute(context)
    assert (result["status"], Counting.calls, result["records_written"]) == ("success", 2, 14 * 24)


async def test_a_plain_override_may_answer_what_its_base_class_answers(exchange, make, context, tmp_path):
    """A native method wanted the running loop when it was called: a plain override runs on a thread without one."""
    seen = []

    class Telling(BronzeWriter):
        def write(self, series, range, batch):
            seen.append(len(batch))
            return super().write(series, range, batch)

    class Asking(CoinalyzeAdapter):
        def fetch(self, request):
            seen.append(request.symbol)
            return super().fetch(request)

    adapter = Asking(api_key="offline", base_url=exchange.url, retention=None)
    result = await make(exchange, writer=Telling((tmp_path / "lake").as_uri()), adapter=adapter).execute(context)
    assert (result["status"], result["records_written"]) == ("success", 14 * 24)
    assert seen.count("BTCUSDT_PERP.A") == 2
    assert sum(rows for rows in seen if isinstance(rows, int)) == 14 * 24


async def test_an_answer_is_awaited_once():
    store = MemoryCheckpointStore()
    waiting = await asyncio.to_thread(store.load, "coinalyze/ohlcv/BTC/1h")
    assert await waiting is None
    with pytest.raises(RuntimeError, match="awaited already"):
        await waiting


async def test_python_stores_limiters_and_strategies(exchange, make, context):
    class Store:
        def __init__(self) -> None:
            self.native, self.commits = MemoryCheckpointStore(), 0

        async def load(self, series):
            return await self.native.load(series)

        async def commit(self, series, data=None, empty=None, **facts):
            self.commits += 1
            await self.native.commit(series, data, empty, **facts)

    class Limiter:
        weight = 0

        def acquire(self, weight=1):
            self.weight += weight
            return 0.0

    class Daily:
        def generate_chunks(self, start, end, timeframe):
            yield start, min(end, start + timedelta(days=1))

    parts = {"checkpoint_store": Store(), "rate_limiter": Limiter(), "chunk_strategy": Daily()}
    result = await make(exchange, **parts).execute(context)
    assert (result["status"], result["chunks_done"]) == ("success", (END - START).days)
    assert parts["rate_limiter"].weight == result["requests"]
    assert parts["checkpoint_store"].commits > 0
    exchange.reset()
    assert (await make(exchange, **parts).execute(context))["requests"] == 0


async def test_a_writer_that_fails_commits_nothing(exchange, make, context, tmp_path):
    class Broken(Writer):
        def write(self, series, range, batch):
            raise OSError("no space left")

    store = MemoryCheckpointStore()
    result = await make(exchange, writer=Broken(), checkpoint_store=store).execute(context)
    assert result["status"] == "failed"
    assert await store.list("coinalyze/ohlcv") == []


async def test_an_answer_may_say_that_it_was_cut_short_and_where_it_came_from(make, exchange, context, tmp_path):
    class Cut(Adapter):
        fingerprint, lookup, resolve_weight = "mine/v2", "mine", 3

        def __init__(self):
            self.asked = []

        def capability(self, data_type, timeframe):
            return {"prices": [(100, 1)]}

        def is_exact(self, symbol):
            return symbol.isupper()

        def resolve(self, symbol):
            return symbol.upper()

        def fetch(self, request):
            rows = rows_of(request)
            self.asked.append((request.start, len(rows)))
            return Fetched(rows[:30], len(rows) > 30, {"endpoint": "somewhere"})

    class Limiter:
        spent: ClassVar[list[int]] = []

        def acquire(self, weight=1):
            self.spent.append(weight)
            return 0.0

    adapter, store = Cut(), MemoryCheckpointStore()
    result = await make(
        exchange, adapter=adapter, checkpoint_store=store, rate_limiter=Limiter(), symbols=["btc"]
    ).execute(context)
    assert (result["status"], result["records_written"]) == ("success", 336)
    assert len(adapter.asked) > 336 / 100 + 1, "what was cut off was asked for again"
    assert Limiter.spent == [3, *[1] * len(adapter.asked)], "the look-up paid its price, each request its own"
    assert store.load_sync("mine/ohlcv/BTC/1h").fingerprint == "mine/v2"
    file = next((tmp_path / "lake").rglob("*.parquet"))
    assert pyarrow.parquet.read_metadata(file).metadata[b"quant_framework.endpoint"] == b"somewhere"


async def fetched(fetch, make, exchange, context, **options) -> dict:
    adapter = type("Mine", (Adapter,), {"fetch": lambda self, request: fetch(request)})("dicts")
    return await make(exchange, **{"adapter": adapter, "symbols": ["X"]} | options).execute(context)


async def test_a_return_that_was_forgotten_settles_nothing(make, exchange, context):
    store = MemoryCheckpointStore()
    result = await fetched(lambda _: None, make, exchange, context, checkpoint_store=store)
    assert result["status"] == "failed"
    assert "fetch returned None" in result["errors"][0]["message"]
    assert store.load_sync("mine/ohlcv/X/1h") is None
    assert (await fetched(rows_of, make, exchange, context, checkpoint_store=store))["records_written"] == 14 * 24


async def test_an_answer_that_says_no_more_than_that_it_was_cut_short(make, exchange, context):
    result = await fetched(lambda asked: Fetched(rows_of(asked)[:50], truncated=True), make, exchange, context)
    assert (result["status"], result["records_written"]) == ("success", 14 * 24)


class Misspelt(Adapter):
    def capability(self, data_type, timeframe):
        return {"rows_per_requests": 10}


async def test_a_misspelt_capability_is_refused(make, exchange, context):
    result = await make(exchange, adapter=Misspelt("dicts"), symbols=["X"]).execute(context)
    assert result["status"] == "failed"
    assert "capability has no field 'rows_per_requests'" in result["errors"][0]["message"]


@pytest.mark.parametrize("shape", SHAPES)
async def test_a_value_that_is_missing_costs_its_row_alone(shape, make, exchange, context):
    def fetch(request):
        rows = rows_of(request)
        rows[7]["close"] = float("nan") if shape == "pandas" else None
        return SHAPES[shape](rows)

    result = await fetched(fetch, make, exchange, context)
    counts = (result["status"], result["records_written"], result["rows_quarantined"])
    assert counts == ("success", 14 * 24 - 2, 2), result["errors"]  # two chunks of a week


@pytest.mark.parametrize("shape", ["dicts", "columns", "arrow", "pandas"])
async def test_a_column_that_nobody_knows_is_an_error(shape, make, exchange, context):
    def fetch(request):
        return SHAPES[shape]([row | {"taker_volume": 1.0} for row in rows_of(request)])

    if shape == "columns":
        fetch = lambda asked: SHAPES[shape](rows_of(asked)) | {"taker_volume": []}  # noqa: E731
    result = await fetched(fetch, make, exchange, context)
    assert result["status"] == "failed"
    assert "taker_volume" in result["errors"][0]["message"]


@pytest.mark.parametrize("value", ["1,234", 1.7])
async def test_a_value_of_another_kind_is_an_error_and_not_a_null(value, make, exchange, context):
    def fetch(request):
        return pandas.DataFrame([row | {"trade_count": value} for row in rows_of(request)])

    result = await fetched(fetch, make, exchange, context)
    assert (result["status"], result["records_written"]) == ("failed", 0)
    assert "trade_count" in result["errors"][0]["message"]


async def test_a_count_that_is_nan_is_missing(make, exchange, context):
    def fetch(request):
        rows = rows_of(request)
        return pyarrow.table(
            {name: [row[name] for row in rows] for name in NAMES} | {"trade_count": [float("nan")] * len(rows)}
        )

    result = await fetched(fetch, make, exchange, context)
    assert (result["status"], result["records_written"]) == ("success", 14 * 24), result["errors"]


async def test_other_data_types_keep_what_cannot_be_true_apart_as_well(make, exchange, context):
    def fetch(request):
        rows = [{"ts": row["ts"], "oi_close": 1.0} for row in rows_of(request)]
        rows[3]["oi_close"], rows[4]["oi_close"] = float("nan"), -1.0
        return rows

    store = MemoryCheckpointStore()
    options = {"data_types": ["open_interest"], "checkpoint_store": store}
    result = await fetched(fetch, make, exchange, context, **options)
    assert (result["status"], result["rows_quarantined"]) == ("success", 4)
    bar = START + timedelta(hours=3)
    assert store.load_sync("mine/open_interest/X/1h").empty[0] == (bar, bar + timedelta(hours=2)), "a gap that is known"


class Limiter:
    """Knows nothing of refusals."""

    def acquire(self, weight):
        return 0.0


async def test_a_refusal_is_heeded_whatever_the_limiter(make, exchange, context):
    asked = []

    def fetch(request):
        asked.append(request)
        raise RateLimitedError("enough", until=datetime.now(timezone.utc) + timedelta(hours=1))

    for limiter in (Limiter(), None):
        asked.clear()
        options = {"rate_limiter": limiter, "max_wait": 5, "concurrency": 1}
        result = await fetched(fetch, make, exchange, context, **options)
        assert (result["status"], len(asked)) == ("parked", 1)


def test_an_authors_own_limits_come_before_those_that_we_know_of():
    own = {"windows": [(2, 60)]}
    named = type("Okx", (Adapter,), {"source": "okx", "rate_limit": own})
    assert documented(named("dicts")) == own
    assert documented(type("Okx", (Adapter,), {"source": "okx"})("dicts")) == PRESETS["okx"]
