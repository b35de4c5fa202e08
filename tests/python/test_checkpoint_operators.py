"""Checkpoints as functions, TaskFlow tasks and operators: plain values in, small JSON out."""

from __future__ import annotations

import json
import pickle
from datetime import date, datetime, timedelta, timezone

import pytest
from airflow.sdk import DAG, task
from airflow.sdk.exceptions import AirflowFailException
from airflow.serialization.serialized_objects import DagSerialization

from quant_framework.errors import InvalidError, UnavailableError
from quant_framework.ingestion.backfill import LocalCheckpointStore, MemoryCheckpointStore
from quant_framework.orchestration.operators import CheckpointReader, CheckpointWriter
from quant_framework.orchestration.tasks import delete_checkpoint, read_checkpoint, write_checkpoint
from servers import free_port

SERIES = "coinalyze/ohlcv/BTCUSDT_PERP.A/1h"
DAYS = [f"2026-01-0{day}T00:00:00+00:00" for day in range(1, 10)]
FIRST, SECOND, GAP = DAYS[:2], DAYS[4:6], DAYS[2:4]


@pytest.fixture
def store(tmp_path) -> LocalCheckpointStore:
    return LocalCheckpointStore(tmp_path / "checkpoints")


@pytest.fixture(params=["url", "store", "environment"])
def place(request, tmp_path, store, monkeypatch) -> str | LocalCheckpointStore | None:
    """The same place, said in each way that a task may say it."""
    url = (tmp_path / "checkpoints").as_uri()
    monkeypatch.setenv("QUANT_FRAMEWORK_CHECKPOINT", url if request.param == "environment" else "memory:")
    return {"url": url, "store": store, "environment": None}[request.param]


def run(operator):
    """The result as XCom would give it to the next task."""
    return json.loads(json.dumps(operator.execute({})))


def test_functions_take_and_give_plain_values(place, store):
    assert write_checkpoint(SERIES, [FIRST, SECOND], [GAP], "7", checkpoint=place) == {
        "series": SERIES,
        "generation": 0,
    }
    known = read_checkpoint(SERIES, DAYS[0], DAYS[8], place)
    assert json.loads(json.dumps(known)) == {
        "series": SERIES,
        "exists": True,
        "generation": 0,
        "watermark": DAYS[1],
        "cursor": "7",
        "fingerprint": None,
        "data": [FIRST, SECOND],
        "data_ranges": 2,
        "empty": [GAP],
        "empty_ranges": 1,
        "pending": [DAYS[1:3], DAYS[3:5], [DAYS[5], DAYS[8]]],
        "pending_ranges": 3,
    }
    assert store.load_sync(SERIES).cursor == "7"
    delete_checkpoint(SERIES, place)
    assert store.load_sync(SERIES) is None
    assert read_checkpoint(SERIES, checkpoint=place)["exists"] is False


def test_moments_are_texts_or_aware_datetimes(store):
    moment = datetime(2026, 1, 1, tzinfo=timezone.utc)
    ranges = [(moment, moment + timedelta(days=1)), ("2026-01-02T00:00:00Z", "2026-01-03T02:00:00+02:00")]
    write_checkpoint(SERIES, ranges, checkpoint=store)
    assert read_checkpoint(SERIES, checkpoint=store)["data"] == [[DAYS[0], DAYS[2]]]


def test_merge_keeps_and_reset_forgets_in_a_new_generation(store):
    for span, cursor in ((FIRST, "7"), (SECOND, "6")):
        assert write_checkpoint(SERIES, [span], cursor=cursor, checkpoint=store)["generation"] == 0
    known = read_checkpoint(SERIES, checkpoint=store)
    assert (known["data"], known["cursor"]) == ([FIRST, SECOND], "7")
    assert write_checkpoint(SERIES, [GAP], reset=True, checkpoint=store)["generation"] == 1
    assert write_checkpoint(SERIES, [SECOND], checkpoint=store)["generation"] == 1
    known = read_checkpoint(SERIES, checkpoint=store)
    assert (known["data"], known["cursor"], known["generation"]) == ([GAP, SECOND], None, 1)


def test_a_result_stays_small_however_many_ranges_there_are(store):
    moment = datetime(2020, 1, 1, tzinfo=timezone.utc)
    hours = [moment + timedelta(hours=hour) for hour in range(4000)]
    write_checkpoint(SERIES, list(zip(hours[::4], hours[1::4], strict=True)), checkpoint=store)
    known = read_checkpoint(SERIES, hours[0], hours[-1], store)
    assert (known["data_ranges"], len(known["data"])) == (1000, 100)
    assert (known["pending_ranges"], len(known["pending"])) == (1000, 100)
    assert len(json.dumps(known)) < 20_000


PAIRS = [5, None, "2026", {"a": "b"}, [1, 2], [None], ["ab"], [["2026-01-01T00:00:00Z"]], [DAYS[:3]]]
MOMENTS = [5, None, "soon", "two\nlines", "2026-01-01T00:00", datetime(2026, 1, 1), date(2026, 1, 1)]


@pytest.mark.parametrize(
    ("options", "named"),
    [
        *[({"data": pairs}, "data must be a list of pairs") for pairs in PAIRS],
        *[({"empty": pairs}, "empty must be a list of pairs") for pairs in PAIRS],
        *[({"data": [[moment, DAYS[1]]]}, "data: ") for moment in MOMENTS],
        *[({"empty": [[DAYS[0], moment]]}, "empty: ") for moment in MOMENTS],
        ({"data": [[DAYS[1], DAYS[0]]]}, "data: .* is not after 2026-01-02"),
        ({"cursor": 5}, "cursor must be a text"),
        ({"series": 5}, "series must be a text"),
        ({"series": "../outside"}, "is not a series key"),
        ({"checkpoint": 5}, "checkpoint must be a URL or a store"),
        ({"checkpoint": "ftp://somewhere"}, "checkpoint URL ftp:"),
    ],
)
def test_a_wrong_shape_is_named_in_one_line_and_changes_nothing(options, named, store):
    write_checkpoint(SERIES, [FIRST], checkpoint=store)
    before = store.load_sync(SERIES)
    arguments = {"series": SERIES, "checkpoint": store, "data": [SECOND], "reset": True} | options
    with pytest.raises(InvalidError, match=named) as raised:
        write_checkpoint(**arguments)
    assert "\n" not in str(raised.value)
    assert store.load_sync(SERIES) == before


@pytest.mark.parametrize(
    "moments", [(DAYS[0], None), (None, DAYS[0]), ("soon", DAYS[0]), (DAYS[0], "soon"), DAYS[1::-1]]
)
def test_a_wrong_question_is_not_answered(moments, store):
    with pytest.raises(InvalidError, match=r"start|end"):
        read_checkpoint(SERIES, *moments, store)
    for wrong in (read_checkpoint, delete_checkpoint):
        with pytest.raises(InvalidError, match="series must be a text"):
            wrong(None, checkpoint=store)


def test_taskflow_runs_the_same_functions(tmp_path, store):
    url = (tmp_path / "checkpoints").as_uri()
    with DAG("flow", schedule=None) as dag:
        written = task(write_checkpoint)(series=SERIES, data=[FIRST], checkpoint=url)
        known = task(read_checkpoint, task_id="known")(series=SERIES, checkpoint=url)
        written >> known >> task(delete_checkpoint)(series=SERIES, checkpoint=url)
    assert set(dag.task_ids) == {"write_checkpoint", "known", "delete_checkpoint"}
    for operator, result in zip(dag.tasks, ({"series": SERIES, "generation": 0}, [FIRST], None), strict=True):
        answer = operator.execute({"run_id": "a run"})
        assert (answer["data"] if operator.task_id == "known" else answer) == result
    assert store.load_sync(SERIES) is None
    assert task(read_checkpoint).function(SERIES, checkpoint=store)["exists"] is False


@pytest.mark.parametrize("place", ["url", "environment"], indirect=True)
def test_the_writer_merges_resets_and_deletes(place, store):
    options = {"task_id": "write", "series": SERIES, "checkpoint": place}
    assert run(CheckpointWriter(**options, data=[FIRST], empty=[GAP], cursor="7")) == {
        "series": SERIES,
        "generation": 0,
    }
    known = run(CheckpointReader(task_id="read", series=SERIES, checkpoint=place, start=DAYS[0], end=DAYS[1]))
    assert (known["data"], known["empty"], known["cursor"], known["pending"]) == ([FIRST], [GAP], "7", [])
    assert run(CheckpointWriter(**options, action="reset"))["generation"] == 1
    assert store.load_sync(SERIES).data == []
    assert run(CheckpointWriter(**options, action="delete")) is None
    assert store.load_sync(SERIES) is None


def test_templates_are_rendered(tmp_path, store):
    context = {"params": {"symbol": "BTCUSDT_PERP.A", "start": DAYS[0], "end": None, "where": str(tmp_path)}}
    series, place = "coinalyze/ohlcv/{{ params.symbol }}/1h", "{{ params.where }}/checkpoints"
    writer = CheckpointWriter(
        task_id="write", series=series, checkpoint=place, data=[["{{ params.start }}", DAYS[1]]], cursor="{{ 3 + 4 }}"
    )
    reader = CheckpointReader(
        task_id="read", series=series, checkpoint=place, start="{{ params.end }}", end="{{ params.end }}"
    )
    for operator in (writer, reader):
        operator.render_template_fields(context)
    run(writer)
    known = run(reader)
    assert (known["series"], known["data"], known["cursor"]) == (SERIES, [FIRST], "7")
    assert "pending" not in known, "a parameter without a value is none"


def test_a_wrong_action_fails_when_the_dag_is_parsed():
    with pytest.raises(ValueError, match="action must be one of merge, reset, delete, not 'forget'"):
        CheckpointWriter(task_id="write", series=SERIES, action="forget")


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://quant:{}@db/checkpoints",
        "postgresql://quant@db/checkpoints?password={}",
        "postgresql://quant@db/checkpoints?sslmode=require&sslpassword={}",
        "hybrid:s3://bucket/prefix,postgresql://quant:{}@db/checkpoints",
        "s3://key:{}@bucket/prefix",
    ],
)
@pytest.mark.parametrize("operator", [CheckpointReader, CheckpointWriter])
def test_a_password_is_refused_when_the_operator_is_made(operator, url):
    with pytest.raises(InvalidError, match=r"checkpoint holds a password .*postgres_conn_id") as refused:
        operator(task_id="task", series=SERIES, checkpoint=url.format("geheim"))
    assert "geheim" not in str(refused.value)
    operator(task_id="task", series=SERIES, checkpoint="hybrid:s3://bucket/prefix,postgresql://quant@db/checkpoints")


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"series": "no series/at all"}, "is not a series key"),
        ({"start": "soon", "end": DAYS[0]}, "start: 'soon' is not an ISO 8601 time"),
        ({"start": DAYS[0]}, "start and end belong together .*pass both"),
        ({"checkpoint": "ftp://somewhere"}, "use one|is none of memory:"),
        ({"checkpoint": None, "postgres_conn_id": "nowhere"}, "no connection 'nowhere' .*airflow connections add"),
        ({"postgres_conn_id": "nowhere"}, "no connection 'nowhere'"),
    ],
)
def test_what_cannot_work_fails_without_retry(options, says, tmp_path):
    place = (tmp_path / "checkpoints").as_uri()
    with pytest.raises(AirflowFailException, match=says) as failed:
        CheckpointReader(**({"task_id": "read", "series": SERIES, "checkpoint": place} | options)).execute({})
    assert "\n" not in str(failed.value)


def test_wrong_ranges_fail_the_writer_without_retry(tmp_path):
    place = (tmp_path / "checkpoints").as_uri()
    with pytest.raises(AirflowFailException, match="data must be a list of pairs"):
        CheckpointWriter(task_id="write", series=SERIES, checkpoint=place, data=[DAYS[0]]).execute({})


def test_a_server_that_is_away_is_left_to_a_retry(monkeypatch):
    monkeypatch.delenv("PGPASSWORD", raising=False)
    away = f"postgresql://quant@127.0.0.1:{free_port()}/checkpoints"
    with pytest.raises(UnavailableError) as failed:
        CheckpointWriter(task_id="write", series=SERIES, checkpoint=away, data=[FIRST]).execute({})
    assert not isinstance(failed.value, AirflowFailException)


def test_a_subclass_brings_its_own_store():
    memory = MemoryCheckpointStore()

    class Writer(CheckpointWriter):
        def build_checkpoint_store(self, context):
            return memory

    run(Writer(task_id="write", series=SERIES, data=[FIRST]))
    assert read_checkpoint(SERIES, checkpoint=memory)["data"] == [FIRST]


def dag() -> DAG:
    with DAG("checkpoints", schedule=None) as dag:
        reader = CheckpointReader(task_id="read", series=SERIES, minio_conn_id="lake", postgres_conn_id="quant")
        moment = datetime(2026, 1, 1, tzinfo=timezone.utc)
        CheckpointWriter(
            task_id="write", series=SERIES, action="reset", data=[(moment, DAYS[1])], empty=reader.output["empty"]
        )
        CheckpointReader.partial(task_id="each").expand(series=["a/ohlcv/b/1h", "a/ohlcv/c/1h"])
    return dag


def test_operators_are_serialised_alike_from_parse_to_parse():
    texts = {json.dumps(DagSerialization.to_dict(dag()), sort_keys=True) for _ in range(2)}
    assert len(texts) == 1
    assert " at 0x" not in texts.pop()
    for operator in dag().tasks[:2]:
        copied = pickle.loads(pickle.dumps(operator))
        assert vars(copied).keys() == vars(operator).keys()
        names = [name for name in operator.template_fields if name != "empty"]
        assert [getattr(copied, name) for name in names] == [getattr(operator, name) for name in names]
