"""The compiled core. Times are aware datetimes, ranges half-open; errors are those of ``quant_framework.errors``."""

from collections.abc import Awaitable, Iterable, Mapping, Sequence
from datetime import datetime
from os import PathLike
from typing import Any, Literal, final

from typing_extensions import Self, disjoint_base

from quant_framework import results
from quant_framework.arguments import Keys, Priority, Range, Ranges, Resume, Rows, Window
from quant_framework.orchestration.ports import (
    ICheckpointStore,
    IChunkStrategy,
    IDataAdapter,
    IDataWriter,
    IRateLimiter,
)

__all__ = [
    "AdaptiveChunkStrategy",
    "Backfill",
    "Batch",
    "BinanceAdapter",
    "BinanceArchiveAdapter",
    "BronzeWriter",
    "Checkpoint",
    "CheckpointStore",
    "CoinalyzeAdapter",
    "FetchRequest",
    "FixedChunkStrategy",
    "LakeAdapter",
    "NativeAdapter",
    "RateLimiter",
    "ReportWriter",
    "SilverWriter",
    "__version__",
    "bars_before",
    "check_config",
    "check_rows",
    "check_wanted",
    "config_schema",
    "convert_open_interest",
    "coverage_map",
    "coverage_page",
    "coverage_text",
    "detect_gaps",
    "drain_log",
    "export_checkpoints",
    "format_symbol",
    "import_checkpoints",
    "known_checks",
    "merge",
    "merge_series",
    "quota_states",
    "reconcile_rows",
    "repair_checkpoints",
    "resample",
    "resample_series",
    "restated_rows",
    "split_symbol",
    "validate_rows",
]
__version__: str

def bars_before(end: datetime, timeframe: str, bars: int) -> datetime:
    """The open time of the bar ``bars`` bars before the one that ``end`` (aware) lies in, or opens."""

def check_config(
    files: Sequence[tuple[str, str | tuple[int, str]]], environ: dict[str, str], wanted: str | None = None
) -> dict[str, Any]:
    """Check YAML texts of DAGs: ``dags`` are right, ``broken`` are not, ``problems`` is everything that is wrong.

    Args:
        files: paths with their texts; in place of a text may stand a line and why the file cannot be read.
        environ: variables that the files may name.
        wanted: id of the one DAG that matters; mistakes elsewhere may stay untold.
    """

def check_rows(
    rows: Rows,
    series: str,
    start: datetime,
    end: datetime,
    *,
    thresholds: dict[str, float] | None = None,
    checks: Sequence[str] | None = None,
) -> results.SeriesValidation:
    """Look at rows that are at hand as if they were stored; see ``quant_framework.orchestration.tasks.check_rows``."""

def check_wanted(thresholds: dict[str, float] | None = None, checks: Sequence[str] | None = None) -> None:
    """Check names and values of thresholds, and names of checks.

    Raises:
        InvalidError: there is no such threshold or check, or a threshold cannot be so.
    """

def config_schema() -> dict[str, Any]:
    """The JSON Schema of a file."""

def convert_open_interest(
    rows: Rows,
    from_unit: str,
    to_unit: str,
    *,
    price: Rows | float | None = None,
    contract_size: float | None = None,
    contract_unit: str | None = None,
    usd_per_quote: float | None = None,
) -> tuple[Batch, list[datetime]]:
    """Open interest in another unit, and the bars without a price; see ``quant_framework.ingestion.normalizers``."""

def coverage_map(
    store: ICheckpointStore,
    *,
    series: Sequence[str] | None = None,
    prefix: str = "",
    start: datetime | None = None,
    end: datetime | None = None,
    columns: int = 120,
) -> Awaitable[results.CoverageMap]:
    """Look at what is known of series; see ``quant_framework.orchestration.coverage.coverage_map``."""

def coverage_page(
    map: Mapping[str, Any], *, title: str | None = None, sections: Sequence[Mapping[str, Any]] | None = None
) -> str:
    """The map as a page; see ``quant_framework.orchestration.coverage.coverage_page``."""

def coverage_text(map: Mapping[str, Any], *, width: int = 100, colour: bool = False, ascii: bool = False) -> str:
    """The map as lines; see ``quant_framework.orchestration.coverage.draw_coverage``."""

def detect_gaps(
    store: ICheckpointStore, series: str, start: datetime, end: datetime
) -> Awaitable[results.SeriesReport]:
    """What the checkpoint of ``series`` (its key) in ``store`` says is missing of ``[start, end)``."""

def drain_log() -> list[tuple[int, str, str]]:
    """The lines of the core's log since the last call, oldest first: level as in ``logging``, logger, message."""

def export_checkpoints(store: ICheckpointStore, prefix: str = "") -> Awaitable[str]:
    """The checkpoints whose keys start with ``prefix``, as one JSON document."""

def format_symbol(symbol: str, venue: str) -> str:
    """What ``venue`` calls the market that the common form ``symbol`` names.

    Args:
        symbol: the common form, such as ``BTC/USDT:USDT``.
        venue: one of those that ``quant_framework.ingestion.normalizers`` lists.

    Raises:
        InvalidError: no such venue, a symbol in another form, or a market that the venue cannot name.
    """

def import_checkpoints(store: ICheckpointStore, document: str) -> Awaitable[int]:
    """Merge an exported document into ``store``; the number of its series.

    Raises:
        InvalidError: no such document; nothing was merged.
    """

def known_checks() -> tuple[int, list[tuple[str, str, str, str]], list[tuple[str, float]]]:
    """Version of the checks; every check as id, code, severity, text; and every threshold with its default."""

def merge(
    sources: Sequence[Rows], timeframe: str, *, data_type: str | None = None
) -> tuple[Batch, list[int], list[int]]:
    """Several sources as one; see ``quant_framework.ingestion.processors.merge``.

    Returns:
        Rows, the place of the source of each, and how many came from each source.
    """

def merge_series(
    lake: BronzeWriter,
    series: Sequence[str],
    into: str,
    target: BronzeWriter,
    start: datetime | None = None,
    end: datetime | None = None,
) -> Awaitable[results.Derived]:
    """Make one series of several stored ones, in a lake for derived ones.

    Args:
        lake: that holds the series.
        series: keys, the most trusted first.
        into: key of the derived series, whose source is none of theirs.
        target: the lake of derived series.
        start: of the periods to make, aware; with ``end``. By default all that the lake holds.
        end: exclusive.

    Raises:
        InvalidError: series that do not fit together, or half a range.
        DataError: stored rows that cannot be read.
    """

def reconcile_rows(
    lake: BronzeWriter,
    series: Sequence[str],
    start: datetime,
    end: datetime,
    *,
    tolerance: float = 0.001,
    volume_tolerance: float | None = None,
    thresholds: dict[str, float] | None = None,
    checks: Sequence[str] | None = None,
    checkpoint_store: ICheckpointStore | None = None,
    reports: ReportWriter | None = None,
) -> Awaitable[results.Reconciled]:
    """Compare two or more series in ``lake`` with the first.

    See ``quant_framework.orchestration.workflows.ValidationWorkflow``.
    """

def quota_states(place: str, source: str, *, password: str | None = None) -> Awaitable[list[dict[str, Any]]]:
    """How the quotas of `source` at `place` stand, as a list of dicts, see `ScopeStats`. Nothing is written."""

def repair_checkpoints(
    store: ICheckpointStore,
    prefix: str = "",
    *,
    lake: BronzeWriter | None = None,
    replace_damaged: bool = False,
    names_only: bool = False,
) -> Awaitable[results.CheckpointRepair]:
    """Make checkpoints right again; see ``quant_framework.ingestion.backfill.CheckpointManager.repair``."""

def resample(
    rows: Rows,
    from_timeframe: str,
    to_timeframe: str,
    *,
    data_type: str | None = None,
    covered: Ranges | None = None,
    complete_only: bool = True,
) -> tuple[Batch, list[tuple[datetime, int, int]], Ranges]:
    """Coarser bars; see ``quant_framework.ingestion.processors.resample``.

    Returns:
        Rows, incomplete bars (open, known, expected) and gaps.
    """

def resample_series(
    lake: BronzeWriter,
    series: str,
    to_timeframe: str,
    target: BronzeWriter,
    start: datetime | None = None,
    end: datetime | None = None,
    *,
    into: str | None = None,
    checkpoint: ICheckpointStore | None = None,
) -> Awaitable[results.Derived]:
    """Make coarser bars of a stored series, in a lake for derived ones.

    Args:
        lake: that holds the series.
        series: key.
        to_timeframe: made of whole bars of it.
        target: the lake of derived series.
        start: of the periods to make, aware; with ``end``. By default all that the lake holds.
        end: exclusive.
        into: key of the derived series; by default of the source ``<source>.resampled``.
        checkpoint: store that tells bars that the source did not have from those that nobody asked for.

    Raises:
        InvalidError: timeframes that do not nest, or half a range.
        DataError: stored rows that cannot be read.
    """

def restated_rows(series: str, older: Rows, newer: Rows) -> results.Restatement:
    """Compare ``newer`` rows of one series (its key) with ``older`` ones."""

def split_symbol(
    symbol: str, venue: str = "generic", *, quotes: Sequence[str] | None = None, settle: str | None = None
) -> results.SymbolParts:
    """What a venue's name of a market means; see ``quant_framework.ingestion.normalizers.split_symbol``."""

def validate_rows(
    lake: BronzeWriter,
    series: str,
    start: datetime,
    end: datetime,
    *,
    thresholds: dict[str, float] | None = None,
    checks: Sequence[str] | None = None,
    checkpoint_store: ICheckpointStore | None = None,
    roll_up: str | None = None,
    is_expected: bool = False,
) -> Awaitable[results.SeriesValidation]:
    """Look at the rows of a series in ``lake``; see ``quant_framework.orchestration.tasks.validate_rows``."""

@disjoint_base
class AdaptiveChunkStrategy:
    """Chunks of a day (below 1h), a week (below 1d) or 30 days, then as the source's answers suggest."""

    def __new__(cls) -> Self: ...
    def generate_chunks(self, start: datetime, end: datetime, timeframe: str) -> Ranges:
        """The chunks of ``[start, end)`` as the strategy cuts now, in order."""

@final
class Backfill:
    """One run of the pipeline: plan, then per chunk permit, fetch, check, write, commit, report.

    ``quant_framework.orchestration.workflows.BackfillWorkflow`` describes what the arguments mean.

    Args:
        adapter: the source, native or any object with ``source`` and ``fetch(request)``.
        writer: the lake.
        checkpoint_store: what is remembered.
        chunk_strategy: how ranges are cut.
        rate_limiter: the source's quota; ``None`` for none.
        symbols: the source's own names, or names that it can resolve.
        timeframes: ``1m`` to ``1M``.
        data_types: such as ``ohlcv``.
        start: first bar, aware; ``None``, with ``overlap`` or ``repair``, where each checkpoint begins.
        end: end (exclusive), aware.
        concurrency: requests in flight.
        resume: ``always`` or ``never``.
        max_wait: a longer wait for quota, in seconds, parks the run; ``None`` waits.
        lag: a bar counts as closed so many seconds after its end.
        owner: who claims what is fetched; by default unique.
        lease: seconds after which a run that stands still loses its claims.
        priority: ``live`` or ``backfill``.
        overlap: so many known bars before the newest missing ones are asked for again.
        series: keys beside or instead of the products of symbols, timeframes and data types.
        repair: holes to ask for again: ``attempts``, ``pause`` (seconds), ``force``, ``only`` (tuples of key, start,
            end).

    Raises:
        InvalidError: an argument that cannot be, or a part that lacks a method.
    """

    def __new__(
        cls,
        *,
        adapter: IDataAdapter | LakeAdapter,
        writer: IDataWriter,
        checkpoint_store: ICheckpointStore,
        chunk_strategy: IChunkStrategy,
        rate_limiter: IRateLimiter | None,
        symbols: Sequence[str],
        timeframes: Sequence[str],
        data_types: Sequence[str],
        start: datetime | None,
        end: datetime,
        concurrency: int = 8,
        resume: Resume = "always",
        max_wait: float | None = None,
        lag: float = 5.0,
        owner: str | None = None,
        lease: float = 60.0,
        priority: Priority = "backfill",
        overlap: int | None = None,
        series: Sequence[str] | None = None,
        repair: dict[str, Any] | None = None,
    ) -> Self: ...
    def run(self) -> Awaitable[results.BackfillReport]:
        """Run to the end. What fails is in the report; only what makes the run pointless is raised.

        Raises:
            QuantFrameworkError: of any kind; the store or the lake cannot be used at all.
        """

    def plan(self) -> Awaitable[results.Plan]:
        """What ``run`` would do. Reads checkpoints and looks names up, but asks the source for no rows."""

    def progress(self) -> results.Progress:
        """Counters of the run so far; may be called from any thread."""

    def cancel(self) -> None:
        """Let the run finish its writes, commit and return ``cancelled``. A signal handler may call this."""

@final
class Batch:
    """Rows of one series, for ``pyarrow.record_batch(batch)`` or ``polars.DataFrame(batch)``.

    Speaks the Arrow PyCapsule interface, so that nothing is copied. The first column is
    ``ts``, the open time, ``timestamp[ms, UTC]``; the others are those of the data type.

    Args:
        data_type: such as ``ohlcv``; says which columns there are.
        rows: Arrow data, a dict of columns, or a list of dicts or of rows in schema order.

    Raises:
        InvalidError: no such data type, or a naive time.
        DataError: rows of another shape, a column that is absent or unknown, a null where there must be a value.
    """

    def __new__(cls, data_type: str, rows: Rows) -> Self: ...
    @property
    def data_type(self) -> str:
        """Name of the data type."""

    def __len__(self) -> int: ...
    def __arrow_c_array__(self, requested_schema: object | None = None) -> tuple[object, object]:
        """The PyCapsules of an Arrow C schema and array; rows are not copied."""

    def __arrow_c_schema__(self) -> object:
        """The PyCapsule of the schema."""

@disjoint_base
class NativeAdapter:
    """What every native adapter is; made by its subclasses alone. Safe to share between threads; copies share it."""

    @property
    def source(self) -> str:
        """Name of the source."""

    @property
    def quota_scope(self) -> str:
        """What the source limits: who shares one quota, as a name without secrets."""

    @property
    def fingerprint(self) -> str:
        """What determines the rows beside their series; kept in checkpoints."""

    @property
    def lookup(self) -> str:
        """What determines the meaning of a bare name such as ``BTC``."""

    @property
    def resolve_weight(self) -> int:
        """What looking a name up costs of the quota; 0 where it is known already."""

    def capability(self, data_type: str, timeframe: str) -> results.Capability:
        """What one request for a data type and timeframe gives and costs.

        Raises:
            InvalidError: the source has no such data.
        """

    def fetch(self, request: FetchRequest) -> Awaitable[Batch]:
        """Ask the source once, without retries and without a limiter.

        Raises:
            InvalidError: another source's series, or one that the source does not have; a wrong key.
            UnavailableError: the source did not answer as it should.
            RateLimitedError: the source refused.
            DataError: the answer cannot be read.
        """

    def file_delay(self, timeframe: str) -> float | None:
        """Of a source of files: seconds after a bar's end within which its file comes; of any other source ``None``."""

    def is_exact(self, symbol: str) -> bool:
        """Whether ``symbol`` is the source's own name, so that it need not be looked up."""

    def resolve(self, symbol: str) -> Awaitable[str]:
        """The source's own name for one such as ``BTC``; an exact one passes through.

        Raises:
            InvalidError: the source has no such market.
            UnavailableError: the source did not answer as it should.
            RateLimitedError: the source refused.
        """

    def __copy__(self) -> Self:
        """Copies of a task share their adapter."""

    def __deepcopy__(self, _memo: object) -> Self:
        """Copies of a task share their adapter."""

class BinanceAdapter(NativeAdapter):
    """Binance's public REST API, native; see ``quant_framework.ingestion.adapters.BinanceAdapter``.

    Args:
        market: ``spot`` or ``usdm``.
        base_url: another server that speaks the protocol.
        quote: the quote asset that a bare name means.

    Raises:
        InvalidError: no such market, or a wrong URL.
    """

    def __new__(
        cls, market: Literal["spot", "usdm"] = "spot", base_url: str | None = None, quote: str | None = None
    ) -> Self: ...

class BinanceArchiveAdapter(NativeAdapter):
    """Binance's public archive, native; see ``quant_framework.ingestion.adapters.BinanceArchiveAdapter``.

    Args:
        market: ``spot`` or ``usdm``.
        base_url: another server that has the archive's files.

    Raises:
        InvalidError: no such market, or a wrong URL.
    """

    limited_as: str

    def __new__(cls, market: Literal["spot", "usdm"] = "spot", base_url: str | None = None) -> Self: ...

@disjoint_base
class BronzeWriter:
    """One typed, compressed Parquet object per chunk under ``url``.

    See ``quant_framework.ingestion.writers.BronzeWriter``, which reads the environment.

    Args:
        url: ``file:///lake/bronze``, an absolute path, or ``s3://bucket/prefix``.
        endpoint_url: an S3 server other than AWS.
        access_key: together with ``secret_key``; by default the SDK's usual chain (environment, profile, role).
        secret_key: see ``access_key``.
        session_token: beside temporary keys.
        region: by default ``us-east-1``.
        path_style: the bucket in the path, not in the host name; by default with an endpoint.
        ca_file: PEM file of certificates to trust beside the system's.
        compression: ``lz4``, ``zstd``, ``zstd1`` to ``zstd22``, ``snappy`` or ``none``; by default ``lz4``.
        write_only: for credentials that may put objects and nothing else.

    Raises:
        InvalidError: a URL or a compression that is none.
    """

    def __new__(
        cls,
        url: str,
        *,
        endpoint_url: str | None = None,
        access_key: str | None = None,
        secret_key: str | None = None,
        session_token: str | None = None,
        region: str | None = None,
        path_style: bool | None = None,
        ca_file: str | PathLike[str] | None = None,
        compression: str | None = None,
        write_only: bool = False,
    ) -> Self: ...
    @property
    def url(self) -> str:
        """Where the lake lies."""

    def address(self, series: str) -> str:
        """The address of the folder that holds the rows of ``series`` (its key)."""

    def first(self, series: str) -> Awaitable[datetime | None]:
        """When the first object of ``series`` (its key) begins, UTC; ``None`` where there is none. Reads names only."""

    def prepare(self) -> Awaitable[None]:
        """Check that the lake can be written.

        Raises:
            InvalidError: wrong credentials, no such bucket, or a folder that may not be written.
            UnavailableError: a server or a disk did not answer as it should.
        """

    def read(self, series: str, start: datetime, end: datetime) -> Awaitable[Batch]:
        """The rows of ``series`` (its key) that open in ``[start, end)``, in time order.

        Raises:
            DataError: an object that cannot be read.
            UnavailableError: a server or a disk did not answer as it should.
        """

    def read_sync(self, series: str, start: datetime, end: datetime) -> Batch:
        """As ``read``, blocking."""

    def series(self, prefix: str = "") -> Awaitable[list[str]]:
        """The keys of the series that have rows here and begin with ``prefix``, in order."""

    def tidy(self, path: str, oldest: str) -> Awaitable[str | None]:
        """Of a root of stages: delete those from before ``oldest`` (``2026-01-31``).

        Returns:
            The date of the newest stage at ``path``, or ``None``.
        """

    def write(self, series: str, range: Range, batch: Rows | None) -> Awaitable[results.WriteReceipt]:
        """Write the rows of one chunk durably; twice is once.

        Args:
            series: its key.
            range: of the chunk, which names the object.
            batch: rows of the series' data type, in time order.

        Raises:
            DataError: rows of another shape.
            UnavailableError: a server or a disk did not answer as it should.
        """

@final
class Checkpoint:
    """What is known of one series: ranges with rows, and ranges for which the source had none.

    Args:
        data: ranges with rows, pairs of aware datetimes in any order.
        empty: ranges for which the source had nothing; where both meet, rows count.
        generation: raised by a reset; what is committed to an older one changes nothing.
        cursor: opaque text of a stream; the greater wins.
        fingerprint: what determines the data beside the series.

    Raises:
        InvalidError: a naive time, or a range that ends before it starts.
    """

    def __new__(
        cls,
        data: Ranges | None = None,
        empty: Ranges | None = None,
        *,
        generation: int = 0,
        cursor: str | None = None,
        fingerprint: str | None = None,
    ) -> Self: ...
    @property
    def data(self) -> Ranges:
        """Ranges with rows, ascending, UTC."""

    @property
    def empty(self) -> Ranges:
        """Ranges for which the source had nothing, ascending, UTC."""

    @property
    def watermark(self) -> datetime | None:
        """End of the unbroken coverage from the first known moment on; ``None`` where nothing is known."""

    @property
    def cursor(self) -> str | None:
        """What a stream has committed; opaque to the store."""

    @property
    def generation(self) -> int:
        """Raised by a reset, from 0."""

    @property
    def fingerprint(self) -> str | None:
        """What determines the data beside the series."""

    def missing(self, start: datetime, end: datetime) -> Ranges:
        """The parts of ``[start, end)`` of which nothing is known."""

    def __eq__(self, value: object, /) -> bool: ...
    def __ne__(self, value: object, /) -> bool: ...

@disjoint_base
class CheckpointStore:
    """Checkpoints under a URL; every method ``async``, with a blocking ``*_sync`` twin that obeys signals.

    ``quant_framework.ingestion.backfill.open_checkpoint_store`` and the subclasses read the environment. Opens
    nothing yet: what is wrong with a server shows at the first call.

    Args:
        url: ``memory:``, ``file:///folder``, ``s3://bucket/prefix``, ``postgresql://user@host/name``, or
            ``hybrid:`` with an ``s3:`` and a ``postgresql:`` URL, separated by a comma.
        endpoint_url: an S3 server other than AWS.
        access_key: together with ``secret_key``; by default the SDK's usual chain (environment, profile, role).
        secret_key: see ``access_key``.
        session_token: beside temporary keys.
        region: by default ``us-east-1``.
        path_style: the bucket in the path, not in the host name; by default with an endpoint.
        ca_file: PEM file of certificates to trust beside the system's.
        single_writer: accept an S3 server that ignores conditional writes; then one process may commit at a time.
        password: of the database.
        timeout: seconds after which a statement of the database is cancelled; by default 30.
        minio: with ``database``, a hybrid over both.
        database: see ``minio``.

    Raises:
        InvalidError: a URL that is none of these; at the first call: wrong credentials, no such bucket or database.
    """

    def __new__(
        cls,
        url: str = "hybrid:",
        *,
        endpoint_url: str | None = None,
        access_key: str | None = None,
        secret_key: str | None = None,
        session_token: str | None = None,
        region: str | None = None,
        path_style: bool | None = None,
        ca_file: str | PathLike[str] | None = None,
        single_writer: bool = False,
        password: str | None = None,
        timeout: float | None = None,
        minio: CheckpointStore | None = None,
        database: CheckpointStore | None = None,
    ) -> Self: ...
    def load(self, series: str) -> Awaitable[Checkpoint | None]:
        """What is known of ``series`` (its key), or ``None``.

        Raises:
            UnavailableError: a server or a disk did not answer as it should.
            DataError: what is stored cannot be read.
        """

    def load_sync(self, series: str) -> Checkpoint | None:
        """As ``load``, blocking."""

    def commit(
        self,
        series: str,
        data: Ranges | None = None,
        empty: Ranges | None = None,
        *,
        generation: int = 0,
        cursor: str | None = None,
        fingerprint: str | None = None,
    ) -> Awaitable[None]:
        """Merge ranges in; durable on return.

        Args:
            series: its key.
            data: ranges with rows, pairs of aware datetimes.
            empty: ranges for which the source had nothing.
            generation: lower than what is stored changes nothing.
            cursor: the greater text wins.
            fingerprint: what determines the data.

        Raises:
            UnavailableError: a server or a disk did not answer as it should.
            DataError: what is stored cannot be read.
        """

    def commit_sync(
        self,
        series: str,
        data: Ranges | None = None,
        empty: Ranges | None = None,
        *,
        generation: int = 0,
        cursor: str | None = None,
        fingerprint: str | None = None,
    ) -> None:
        """As ``commit``, blocking."""

    def list(self, prefix: str = "") -> Awaitable[Keys]:
        """The keys that start with ``prefix``, sorted."""

    def list_sync(self, prefix: str = "") -> Keys:
        """As ``list``, blocking."""

    def delete(self, series: str) -> Awaitable[None]:
        """Forget ``series`` and what is known of its holes; no error where it is absent."""

    def delete_sync(self, series: str) -> None:
        """As ``delete``, blocking."""

    def reset(self, series: str) -> Awaitable[int]:
        """Start an empty new generation of ``series``; its number."""

    def reset_sync(self, series: str) -> int:
        """As ``reset``, blocking."""

class CoinalyzeAdapter(NativeAdapter):
    """Coinalyze API v1, native; see ``quant_framework.ingestion.adapters.CoinalyzeAdapter``.

    Args:
        api_key: sent as a header.
        base_url: another server that speaks the protocol.
        exchange: Coinalyze's code of the exchange that a bare name means, such as ``A`` for Binance.
        quote: the quote asset that a bare name means.
        retention: intraday points that the server keeps; ``None`` for one that keeps everything.
        convert_to_usd: open interest and liquidations in USD.

    Raises:
        InvalidError: no key, or a wrong URL.
    """

    def __new__(
        cls,
        api_key: str | None = None,
        base_url: str | None = None,
        *,
        exchange: str | None = None,
        quote: str | None = None,
        retention: int | None = 2000,
        convert_to_usd: bool = False,
    ) -> Self: ...

@final
class FetchRequest:
    """One request to a source: the bars of one series that open in ``[start, end)``.

    Args:
        series: key, ``source/data_type/symbol/timeframe``.
        start: open time of the first bar, aware.
        end: end (exclusive), aware.

    Raises:
        InvalidError: no such key, a naive time, or an end that is not after the start.
    """

    def __new__(cls, series: str, start: datetime, end: datetime) -> Self: ...
    @property
    def series(self) -> str:
        """Key of the series."""

    @property
    def data_type(self) -> str:
        """Name of the data type, such as ``ohlcv``."""

    @property
    def symbol(self) -> str:
        """The source's own name of the market."""

    @property
    def timeframe(self) -> str:
        """Such as ``1m``."""

    @property
    def start(self) -> datetime:
        """Open time of the first bar, UTC."""

    @property
    def end(self) -> datetime:
        """End (exclusive), UTC."""

@disjoint_base
class FixedChunkStrategy:
    """Chunks of a fixed number of bars, on a grid that does not depend on where a range starts.

    Args:
        bars: of each chunk; a source that answers fewer at once gets smaller ones.

    Raises:
        InvalidError: ``bars`` is below 1.
    """

    def __new__(cls, bars: int = 1000) -> Self: ...
    def generate_chunks(self, start: datetime, end: datetime, timeframe: str) -> Ranges:
        """The chunks of ``[start, end)``, in order."""

@final
class LakeAdapter:
    """The rows of ``source`` that lie in ``lake``, as an adapter for the core.

    What was staged goes through the same checks, writes and commits as what is fetched.

    Args:
        lake: that holds the rows.
        source: name of the source that they came from.
        checkpoint: what should be there, and which adapter fetched it.
    """

    def __new__(cls, lake: BronzeWriter, source: str, checkpoint: Checkpoint | None = None) -> Self: ...
    @property
    def source(self) -> str:
        """Name of the source that the rows came from."""

@disjoint_base
class RateLimiter:
    """A hard budget of exact windows, and a pacer at an adaptive rate.

    See ``quant_framework.ingestion.rate_limit.AdaptiveRateLimiter``, which has other defaults and reads ``PGPASSWORD``.

    Args:
        windows: ``(weight, seconds)`` or ``(weight, seconds, "fixed")``.
        base_rate: at the start, requests a second; ``None``: no pace, only windows.
        max_rate: never faster; by default ``base_rate``.
        min_rate: never slower; by default ``base_rate``.
        backoff_factor: a refusal divides the rate, and what a window is thought to allow, by this.
        burst: so many requests at once after a pause.
        share: the part of every window that this limiter may use, above 0 and at most 1.
        slack: seconds by which the source may count a request earlier or later than it was sent.
        assume_full: count every window as full at the start.
        place: where the windows are shared, ``postgresql://user@host/name`` or ``file:///folder``.
        scope: with ``place``, what the source limits.
        password: of the database.

    Raises:
        InvalidError: rates out of order, a window without weight or length, a place that is none.
    """

    def __new__(
        cls,
        windows: Iterable[Window],
        *,
        base_rate: float | None = None,
        max_rate: float | None = None,
        min_rate: float | None = None,
        backoff_factor: float = 2.0,
        burst: int = 1,
        share: float = 1.0,
        slack: float | None = None,
        assume_full: bool = False,
        place: str | None = None,
        scope: str | None = None,
        password: str | None = None,
    ) -> Self: ...
    def acquire(
        self, weight: int = 1, max_wait: float | None = None, priority: Priority = "backfill"
    ) -> Awaitable[float]:
        """Wait for a permit; the seconds waited.

        Args:
            weight: what the request costs of every window.
            max_wait: seconds; a wait that would be longer is refused at once.
            priority: ``live`` goes before ``backfill``.

        Raises:
            RateLimitedError: the wait would be longer than ``max_wait``; ``until`` says when to come back.
            InvalidError: a weight that fits into no window.
            ConflictError: other workers share the scope with other windows.
            UnavailableError: the place where the windows are shared does not answer.
        """

    def acquire_sync(self, weight: int = 1, max_wait: float | None = None, priority: Priority = "backfill") -> float:
        """As ``acquire``, blocking; obeys signals."""

    def try_acquire(self, weight: int = 1, priority: Priority = "backfill") -> bool:
        """Take a permit of ``weight`` if there is one now; a shared limiter may have to ask its place."""

    def report(self, event: Literal["success", "throttled"], until: datetime | None = None, *, weight: int = 1) -> None:
        """Say what the source answered: the limits are learned from it.

        Args:
            event: ``success`` or ``throttled``.
            until: with ``throttled``, the aware time after which to ask again, where the source says so.
            weight: of the request.
        """

    def report_response(
        self,
        status: int,
        headers: Mapping[str, str] | Iterable[tuple[str, str]] | None = None,
        body: bytes | None = None,
        *,
        weight: int = 1,
    ) -> Literal["answered", "refused", "failed"]:
        """Say what an HTTP answer says about quota; more than ``report``, as headers tell what is left.

        Args:
            status: of the answer.
            headers: a mapping or pairs, in any case: Retry-After and those that tell what is left.
            body: the first bytes, where refusals are told by a code.
            weight: of the request.

        Returns:
            ``answered``, ``refused`` or ``failed``.
        """

    def stats(self) -> results.LimiterStats:
        """How the limiter stands."""

    def least_seconds(self, weight: int) -> float:
        """The least seconds from now until requests of weight 1 that weigh ``weight`` together are sent."""

    def close(self) -> None:
        """Tell those who share the quota that this worker ends; a limiter that is used again takes part again."""

@disjoint_base
class ReportWriter:
    """A place for reports of comparisons under ``url``; see ``quant_framework.ingestion.writers.ReportWriter``.

    Args:
        url: ``file:///lake/reports``, an absolute path, or ``s3://bucket/prefix``.
        endpoint_url: an S3 server other than AWS.
        access_key: together with ``secret_key``; by default the SDK's usual chain (environment, profile, role).
        secret_key: see ``access_key``.
        session_token: beside temporary keys.
        region: by default ``us-east-1``.
        path_style: the bucket in the path, not in the host name; by default with an endpoint.
        ca_file: PEM file of certificates to trust beside the system's.

    Raises:
        InvalidError: a URL that is none of these.
    """

    def __new__(
        cls,
        url: str,
        *,
        endpoint_url: str | None = None,
        access_key: str | None = None,
        secret_key: str | None = None,
        session_token: str | None = None,
        region: str | None = None,
        path_style: bool | None = None,
        ca_file: str | PathLike[str] | None = None,
    ) -> Self: ...
    @property
    def url(self) -> str:
        """Where the reports lie."""

@disjoint_base
class SilverWriter:
    """One sorted Parquet object per series and period under ``url``, made of what ``bronze`` holds.

    See ``quant_framework.ingestion.writers.SilverWriter``, which reads the environment.

    Args:
        url: ``file:///lake/silver``, an absolute path, or ``s3://bucket/prefix``.
        bronze: the lake that it is made of.
        endpoint_url: an S3 server other than AWS.
        access_key: together with ``secret_key``; by default the SDK's usual chain (environment, profile, role).
        secret_key: see ``access_key``.
        session_token: beside temporary keys.
        region: by default ``us-east-1``.
        path_style: the bucket in the path, not in the host name; by default with an endpoint.
        ca_file: PEM file of certificates to trust beside the system's.
        compression: ``lz4``, ``zstd``, ``zstd1`` to ``zstd22``, ``snappy`` or ``none``; by default ``lz4``.

    Raises:
        InvalidError: a URL or a compression that is none.
    """

    def __new__(
        cls,
        url: str,
        bronze: BronzeWriter,
        *,
        endpoint_url: str | None = None,
        access_key: str | None = None,
        secret_key: str | None = None,
        session_token: str | None = None,
        region: str | None = None,
        path_style: bool | None = None,
        ca_file: str | PathLike[str] | None = None,
        compression: str | None = None,
    ) -> Self: ...
    @property
    def url(self) -> str:
        """Where the lake lies."""

    def address(self, series: str) -> str:
        """The address of the folder that holds the rows of ``series`` (its key)."""

    def compact(
        self, series: str, start: datetime | None = None, end: datetime | None = None
    ) -> Awaitable[results.Compaction]:
        """Make the periods of ``series`` (its key) that ``[start, end)`` touches, all where neither is given.

        Raises:
            InvalidError: half a range, or no such key.
            DataError: an object of bronze that cannot be read.
            UnavailableError: a server or a disk did not answer as it should.
        """
