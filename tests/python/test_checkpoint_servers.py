"""S3 servers that stores must refuse or trust: conditions, TLS, and where the address comes from."""

from __future__ import annotations

import asyncio

import pytest

from checkpoint_places import BUCKET, SERIES, Places, S3Place, at, spans
from lying_s3 import LyingS3
from quant_framework._core import drain_log
from quant_framework.errors import InvalidError, UnavailableError
from quant_framework.ingestion.backfill import (
    Checkpoint,
    CheckpointManager,
    HybridCheckpointStore,
    MemoryCheckpointStore,
    MinIOCheckpointStore,
    open_checkpoint_store,
)
from quant_framework.ingestion.chunking import AdaptiveChunkStrategy
from quant_framework.ingestion.rate_limit import CoinalyzeRateLimiter
from quant_framework.orchestration.workflows import AirflowWorkflowContext, BackfillWorkflow
from servers import SeaweedS3


@pytest.fixture
def places(request):
    return Places(request)


class TaskInstance:
    """What a workflow sees of Airflow's."""

    task_id = "backfill"

    def __init__(self, **xcoms: object) -> None:
        self.xcoms = {(self.task_id, key): value for key, value in xcoms.items()}

    def xcom_pull(self, key: str, task_ids: str) -> object:
        return self.xcoms.get((task_ids, key))

    def xcom_push(self, key: str, value: object) -> None:
        self.xcoms[self.task_id, key] = value


# Where the server is


AWS = {
    "AWS_ENDPOINT_URL": "{endpoint}",
    "AWS_ACCESS_KEY_ID": "{access_key}",
    "AWS_SECRET_ACCESS_KEY": "{secret_key}",
    "AWS_DEFAULT_REGION": "{region}",
    "AWS_S3_BUCKET": "{bucket}",
}
MINIO = {
    "MINIO_ENDPOINT": "{host}",
    "MINIO_ACCESS_KEY": "{access_key}",
    "MINIO_SECRET_KEY": "{secret_key}",
    "MINIO_BUCKET": "{bucket}",
}
ROOT = {
    "MINIO_ENDPOINT": "{endpoint}",
    "MINIO_ROOT_USER": "{access_key}",
    "MINIO_ROOT_PASSWORD": "{secret_key}",
    "QUANT_FRAMEWORK_BUCKET": "{bucket}",
    "AWS_S3_BUCKET": "another-bucket",
}


@pytest.fixture
def from_environment(places, s3, monkeypatch):
    """Sets the variables, and answers the place that a store without arguments has then."""

    def set_up(variables: dict[str, str]) -> S3Place:
        place = S3Place(s3, bucket=f"bucket-{places.s3.prefix}", prefix="checkpoints")
        for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
            monkeypatch.delenv(name)
        host = place.endpoint.partition("://")[2]
        for name, value in variables.items():
            text = value.format(endpoint=place.endpoint, host=host, bucket=place.bucket, **place.keys)
            monkeypatch.setenv(name, text)
        return place

    return set_up


@pytest.mark.parametrize("variables", [AWS, MINIO, ROOT], ids=["AWS", "MinIO", "MinIO's root"])
async def test_a_store_without_arguments(variables, from_environment):
    place = from_environment(variables)
    await MinIOCheckpointStore().commit(SERIES, spans((0, 10)))
    assert f"{SERIES}.json" in place.names()
    assert await place.store().load(SERIES) == Checkpoint(spans((0, 10)))


def test_no_bucket_is_an_error_with_a_hint(places):
    with pytest.raises(InvalidError, match=r"no bucket .hint: .*bucket=.*QUANT_FRAMEWORK_BUCKET"):
        MinIOCheckpointStore()
    with pytest.raises(InvalidError, match="question mark"):
        MinIOCheckpointStore("bucket?single_writer=true")
    with pytest.raises(InvalidError, match="go together"):
        MinIOCheckpointStore("bucket", access_key="one")


@pytest.mark.parametrize("given", ["keywords", "params", "xcoms"])
async def test_the_seeds_first_example(given, from_environment, exchange):
    from quant_framework.ingestion.adapters import CoinalyzeAdapter

    place = from_environment(AWS)
    coinalyze_adapter = CoinalyzeAdapter(api_key="offline", base_url=exchange.url, retention=None)
    bronze_writer = place.lake()
    job = {"symbols": ["BTC"], "timeframes": ["1h"], "start": at(0), "end": at(24 * 60)}
    texts = job | {name: job[name].isoformat() for name in ("start", "end")}
    task_instance = TaskInstance(**(texts if given == "xcoms" else {}))
    keywords = job if given == "keywords" else {}
    params = texts if given == "params" else None

    # Create checkpoint manager with MinIO storage
    checkpoint_store = MinIOCheckpointStore()
    checkpoint_manager = CheckpointManager(checkpoint_store)

    # Create workflow
    workflow = BackfillWorkflow(
        adapter=coinalyze_adapter,
        writer=bronze_writer,
        checkpoint_store=checkpoint_manager,
        chunk_strategy=AdaptiveChunkStrategy(),
        rate_limiter=CoinalyzeRateLimiter(),
        **keywords,
    )

    # Execute
    context = AirflowWorkflowContext(ti=task_instance, params=params)
    result = await workflow.execute(context)

    assert (result["status"], result["records_written"]) == ("success", 24), result
    assert result["duration_seconds"] > 0
    key = "coinalyze/ohlcv/BTCUSDT_PERP.A/1h"
    assert (await place.store().load(key)).data == [(at(0), at(24 * 60))]
    assert await checkpoint_manager.pending(key, at(0), at(48 * 60)) == [(at(24 * 60), at(48 * 60))]
    exchange.reset()
    again = BackfillWorkflow(coinalyze_adapter, bronze_writer, MinIOCheckpointStore(), **job)
    assert (await again.execute(context))["chunks_skipped"] == 1
    assert exchange.stats()["requests"] == 0


# Whether it keeps conditions


def lying_store(server: LyingS3, **options: object) -> MinIOCheckpointStore:
    keys = {"access_key": server.access_key, "secret_key": server.secret_key}
    return MinIOCheckpointStore(BUCKET, endpoint_url=server.endpoint, **keys, **options)


async def test_a_server_that_ignores_conditions_is_refused_and_nothing_is_stored(places):
    with LyingS3() as server:
        for store in (lying_store(server), HybridCheckpointStore(lying_store(server), MemoryCheckpointStore())):
            for call in (store.commit(SERIES, spans((0, 10))), store.reset(SERIES)):
                with pytest.raises(InvalidError, match=r"ignores conditional writes.*single_writer=True") as refused:
                    await call
                assert "\n" not in str(refused.value)
            assert await store.load(SERIES) is None
            assert await store.list() == []
        assert server.objects == {}


async def test_a_backfill_into_such_a_server_fails_with_that_line(places, exchange, make, context):
    with LyingS3() as server:
        result = await make(exchange, checkpoint_store=lying_store(server)).execute(context)
        assert result["status"] == "failed"
        assert {error["kind"] for error in result["errors"]} == {"invalid"}
        assert "single_writer=True" in result["errors"][0]["message"]
        assert server.objects == {}


async def test_a_single_writer_may_use_it_and_is_warned(places):
    drain_log()
    with LyingS3() as server:
        store = lying_store(server, single_writer=True)
        await store.commit(SERIES, spans((0, 10)))
        await store.commit(SERIES, spans((10, 20)))
        warnings = [message for level, _, message in drain_log() if level == 30]
        assert [BUCKET in message and "single-writer mode" in message for message in warnings] == [True]
        assert list(server.objects) == [f"{BUCKET}/checkpoints/{SERIES}.json"]
        places.environment.setenv("AWS_ACCESS_KEY_ID", "any")
        places.environment.setenv("AWS_SECRET_ACCESS_KEY", "any")
        url = f"s3://{BUCKET}/checkpoints?endpoint_url={server.endpoint}"
        await open_checkpoint_store(f"{url}&single_writer=true").commit(SERIES, spans((20, 30)))
        await open_checkpoint_store(url, single_writer=True).commit(SERIES, spans((30, 40)))
        assert await open_checkpoint_store(url).load(SERIES) == Checkpoint(spans((0, 40)))
        with pytest.raises(InvalidError, match="ignores conditional writes"):
            await open_checkpoint_store(url).commit(SERIES, spans((30, 40)))


async def test_an_honest_server_is_asked_once(places):
    drain_log()
    with LyingS3(honest=True) as server:
        await lying_store(server).commit(SERIES, spans((0, 10)))
        names = set(server.objects)
        marker = names - {f"{BUCKET}/checkpoints/{SERIES}.json"}
        assert len(names) == 2, "the probe is gone, its verdict is kept"
        await lying_store(server).commit(SERIES, spans((10, 20)))
        server.honest = False
        await lying_store(server).commit(SERIES, spans((20, 30)))
        assert set(server.objects) == names
        for name in marker:
            del server.objects[name]
        with pytest.raises(InvalidError, match="ignores conditional writes"):
            await lying_store(server).commit(SERIES, spans((30, 40)))
        assert await lying_store(server).list() == [SERIES]
        assert await lying_store(server).load(SERIES) == Checkpoint(spans((0, 30)))
    assert drain_log() == []


async def test_stores_that_ask_at_the_same_time_do_not_disturb_each_other(s3):
    """Each of six tasks of one process opens a store of its own: the probes of all had one name."""
    for _ in range(10):
        place = S3Place(s3)
        commits = (place.store().commit(f"a/ohlcv/S{number}/1h", spans((0, 1))) for number in range(6))
        answers = await asyncio.gather(*commits, return_exceptions=True)
        assert [str(answer) for answer in answers if isinstance(answer, Exception)] == []


# TLS


@pytest.fixture(scope="module")
def tls():
    with SeaweedS3(tls=True) as server:
        yield server


async def test_tls_by_a_certificate_authority_that_is_named(tls, places, monkeypatch):
    place = S3Place(tls)
    await place.store(ca_file=str(tls.ca_file)).commit(SERIES, spans((0, 10)))
    places.environment.setenv("AWS_ACCESS_KEY_ID", tls.access_key)
    places.environment.setenv("AWS_SECRET_ACCESS_KEY", tls.secret_key)
    await open_checkpoint_store(f"{place.url}&ca_file={tls.ca_file}").commit(SERIES, spans((10, 20)))
    monkeypatch.setenv("AWS_CA_BUNDLE", str(tls.ca_file))
    assert await place.store().load(SERIES) == Checkpoint(spans((0, 20)))


@pytest.mark.timeout(60)
async def test_tls_without_it_is_one_line(tls, places):
    place = S3Place(tls)
    for call in ("load", "commit"):
        with pytest.raises((UnavailableError, InvalidError), match=f"{BUCKET}.*invalid peer certificate") as refused:
            await getattr(place.store(), call)(SERIES)
        assert "\n" not in str(refused.value)
    with pytest.raises(InvalidError, match="cannot read the certificates"):
        await place.store(ca_file="/nowhere.pem").load(SERIES)
