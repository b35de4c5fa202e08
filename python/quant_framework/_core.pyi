"""The compiled core. Times are aware datetimes, ranges half-open; errors are those of ``quant_framework.errors``."""

from collections.abc import Awaitable, Iterable, Mapping, Sequence
from datetime import datetime
from os import PathLike
from typing import Any, final

from typing_extensions import Self

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
    "SilverWriter",
    "__version__",
    "bars_before",
    "check_config",
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
    "merge",
    "merge_series",
    "quota_states",
    "reconcile_rows",
    "repair_checkpoints",
    "resample",
    "resample_series",
    "split_symbol",
    "validate_rows",
]

__version__: str

def drain_log() -> list[tuple[int, str, str]]: ...
def check_config(
    files: Sequence[tuple[str, str | tuple[int, str]]], environ: dict[str, str], wanted: str | None = None
) -> dict[str, Any]: ...
def config_schema() -> dict[str, Any]: ...
def repair_checkpoints(
    store: Any,
    prefix: str = "",
    *,
    lake: BronzeWriter | None = None,
    replace_damaged: bool = False,
    names_only: bool = False,
) -> Awaitable[dict[str, Any]]: ...
def bars_before(end: datetime, timeframe: str, bars: int) -> datetime: ...
def check_wanted(thresholds: Mapping[str, float] | None = None, checks: Sequence[str] | None = None) -> None: ...
def known_checks() -> tuple[int, list[tuple[str, str, str, str]], list[tuple[str, float]]]: ...
def check_rows(
    rows: Any,
    series: str,
    start: datetime,
    end: datetime,
    *,
    thresholds: Mapping[str, float] | None = None,
    checks: Sequence[str] | None = None,
) -> dict[str, Any]: ...
def restated_rows(series: str, older: Any, newer: Any) -> dict[str, Any]: ...
def validate_rows(
    lake: BronzeWriter,
    series: str,
    start: datetime,
    end: datetime,
    *,
    thresholds: Mapping[str, float] | None = None,
    checks: Sequence[str] | None = None,
    checkpoint_store: Any = None,
    roll_up: str | None = None,
) -> Awaitable[dict[str, Any]]: ...
def reconcile_rows(
    lake: BronzeWriter,
    series: Sequence[str],
    start: datetime,
    end: datetime,
    *,
    tolerance: float = 0.001,
    volume_tolerance: float | None = None,
    thresholds: Mapping[str, float] | None = None,
    checks: Sequence[str] | None = None,
    checkpoint_store: Any = None,
    reports: ReportWriter | None = None,
) -> Awaitable[dict[str, Any]]: ...
def resample(
    rows: Any,
    from_timeframe: str,
    to_timeframe: str,
    *,
    data_type: str | None = None,
    covered: list[_Range] | None = None,
    complete_only: bool = True,
) -> tuple[Batch, list[tuple[datetime, int, int]], list[_Range]]: ...
def merge(
    sources: Sequence[Any], timeframe: str, *, data_type: str | None = None
) -> tuple[Batch, list[int], list[int]]: ...
def split_symbol(
    symbol: str, venue: str = "generic", *, quotes: Sequence[str] | None = None, settle: str | None = None
) -> dict[str, Any]: ...
def format_symbol(symbol: str, venue: str) -> str: ...
def convert_open_interest(
    rows: Any,
    from_unit: str,
    to_unit: str,
    *,
    price: Any = None,
    contract_size: float | None = None,
    contract_unit: str | None = None,
    usd_per_quote: float | None = None,
) -> tuple[Batch, list[datetime]]: ...
def resample_series(
    lake: BronzeWriter,
    series: str,
    to_timeframe: str,
    target: BronzeWriter,
    start: datetime | None = None,
    end: datetime | None = None,
    *,
    into: str | None = None,
    checkpoint: Any = None,
) -> Awaitable[dict[str, Any]]: ...
def merge_series(
    lake: BronzeWriter,
    series: Sequence[str],
    into: str,
    target: BronzeWriter,
    start: datetime | None = None,
    end: datetime | None = None,
) -> Awaitable[dict[str, Any]]: ...
def coverage_map(
    store: Any,
    *,
    series: list[str] | None = None,
    prefix: str = "",
    start: datetime | None = None,
    end: datetime | None = None,
    columns: int = 120,
) -> Awaitable[dict[str, Any]]: ...
def coverage_page(
    map: Mapping[str, Any], *, title: str | None = None, sections: Sequence[Mapping[str, Any]] | None = None
) -> str: ...
def coverage_text(map: Mapping[str, Any], *, width: int = 100, colour: bool = False, ascii: bool = False) -> str: ...
def quota_states(place: str, source: str, *, password: str | None = None) -> Awaitable[list[dict[str, Any]]]: ...
def detect_gaps(store: Any, series: str, start: datetime, end: datetime) -> Awaitable[dict[str, Any]]: ...
def export_checkpoints(store: Any, prefix: str = "") -> Awaitable[str]: ...
def import_checkpoints(store: Any, document: str) -> Awaitable[int]: ...

_Range = tuple[datetime, datetime]

@final
class FetchRequest:
    def __new__(cls, series: str, start: datetime, end: datetime) -> FetchRequest: ...
    @property
    def series(self) -> str: ...
    @property
    def data_type(self) -> str: ...
    @property
    def symbol(self) -> str: ...
    @property
    def timeframe(self) -> str: ...
    @property
    def start(self) -> datetime: ...
    @property
    def end(self) -> datetime: ...

@final
class Batch:
    def __new__(cls, data_type: str, rows: Any) -> Batch: ...
    @property
    def data_type(self) -> str: ...
    def __len__(self) -> int: ...
    def __arrow_c_array__(self, requested_schema: object = None) -> tuple[object, object]: ...
    def __arrow_c_schema__(self) -> object: ...

class NativeAdapter:
    @property
    def quota_scope(self) -> str: ...
    def is_exact(self, symbol: str) -> bool: ...
    @property
    def source(self) -> str: ...
    def capability(self, data_type: str, timeframe: str) -> dict[str, Any]: ...
    def resolve(self, symbol: str) -> Awaitable[str]: ...
    def fetch(self, request: FetchRequest) -> Awaitable[Batch]: ...
    @property
    def fingerprint(self) -> str: ...
    @property
    def lookup(self) -> str: ...
    @property
    def resolve_weight(self) -> int: ...
    def file_delay(self, timeframe: str) -> float | None: ...
    def __copy__(self) -> Self: ...
    def __deepcopy__(self, memo: object) -> Self: ...

class BinanceArchiveAdapter(NativeAdapter):
    limited_as: str
    def __new__(cls, market: str = "spot", base_url: str | None = None) -> BinanceArchiveAdapter: ...

class BinanceAdapter(NativeAdapter):
    def __new__(cls, market: str = "spot", base_url: str | None = None, quote: str | None = None) -> BinanceAdapter: ...

class CoinalyzeAdapter(NativeAdapter):
    def __new__(
        cls,
        api_key: str | None = None,
        base_url: str | None = None,
        *,
        exchange: str | None = None,
        quote: str | None = None,
        retention: int | None = 2000,
        convert_to_usd: bool = False,
    ) -> CoinalyzeAdapter: ...

class BronzeWriter:
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
    ) -> BronzeWriter: ...
    @property
    def url(self) -> str: ...
    def prepare(self) -> Awaitable[None]: ...
    def address(self, series: str) -> str: ...
    def read(self, series: str, start: datetime, end: datetime) -> Awaitable[Batch]: ...
    def first(self, series: str) -> Awaitable[datetime | None]: ...
    def series(self, prefix: str = "") -> Awaitable[list[str]]: ...
    def tidy(self, path: str, oldest: str) -> Awaitable[str | None]: ...
    def write(self, series: str, range: _Range, batch: Any) -> Awaitable[dict[str, Any]]: ...

class SilverWriter:
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
    def url(self) -> str: ...
    def address(self, series: str) -> str: ...
    def compact(
        self, series: str, start: datetime | None = None, end: datetime | None = None
    ) -> Awaitable[dict[str, int]]: ...

class ReportWriter:
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
    def url(self) -> str: ...

@final
class LakeAdapter:
    def __new__(cls, lake: BronzeWriter, source: str, checkpoint: Checkpoint | None = None) -> LakeAdapter: ...
    @property
    def source(self) -> str: ...

@final
class Checkpoint:
    def __new__(
        cls,
        data: list[_Range] | None = None,
        empty: list[_Range] | None = None,
        *,
        generation: int = 0,
        cursor: str | None = None,
        fingerprint: str | None = None,
    ) -> Checkpoint: ...
    @property
    def data(self) -> list[_Range]: ...
    @property
    def empty(self) -> list[_Range]: ...
    @property
    def watermark(self) -> datetime | None: ...
    @property
    def cursor(self) -> str | None: ...
    @property
    def generation(self) -> int: ...
    @property
    def fingerprint(self) -> str | None: ...
    def missing(self, start: datetime, end: datetime) -> list[_Range]: ...
    def __eq__(self, other: object) -> bool: ...

class CheckpointStore:
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
    def load(self, series: str) -> Awaitable[Checkpoint | None]: ...
    def load_sync(self, series: str) -> Checkpoint | None: ...
    def commit(
        self,
        series: str,
        data: list[_Range] | None = None,
        empty: list[_Range] | None = None,
        *,
        generation: int = 0,
        cursor: str | None = None,
        fingerprint: str | None = None,
    ) -> Awaitable[None]: ...
    def commit_sync(
        self,
        series: str,
        data: list[_Range] | None = None,
        empty: list[_Range] | None = None,
        *,
        generation: int = 0,
        cursor: str | None = None,
        fingerprint: str | None = None,
    ) -> None: ...
    def list(self, prefix: str = "") -> Awaitable[list[str]]: ...
    def list_sync(self, prefix: str = "") -> list[str]: ...
    def delete(self, series: str) -> Awaitable[None]: ...
    def delete_sync(self, series: str) -> None: ...
    def reset(self, series: str) -> Awaitable[int]: ...
    def reset_sync(self, series: str) -> int: ...

class FixedChunkStrategy:
    def __new__(cls, bars: int = 1000) -> FixedChunkStrategy: ...
    def generate_chunks(self, start: datetime, end: datetime, timeframe: str) -> list[_Range]: ...

class AdaptiveChunkStrategy:
    def __new__(cls) -> AdaptiveChunkStrategy: ...
    def generate_chunks(self, start: datetime, end: datetime, timeframe: str) -> list[_Range]: ...

class RateLimiter:
    def __new__(
        cls,
        windows: Sequence[tuple[int, float] | tuple[int, float, str]],
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
        self, weight: int = 1, max_wait: float | None = None, priority: str = "backfill"
    ) -> Awaitable[float]: ...
    def acquire_sync(self, weight: int = 1, max_wait: float | None = None, priority: str = "backfill") -> float: ...
    def try_acquire(self, weight: int = 1, priority: str = "backfill") -> bool: ...
    def report(self, event: str, until: datetime | None = None, *, weight: int = 1) -> None: ...
    def report_response(
        self,
        status: int,
        headers: Mapping[str, str] | Iterable[tuple[str, str]] | None = None,
        body: bytes | None = None,
        *,
        weight: int = 1,
    ) -> str: ...
    def stats(self) -> dict[str, Any]: ...
    def least_seconds(self, weight: int) -> float: ...
    def close(self) -> None: ...

@final
class Backfill:
    def __new__(
        cls,
        *,
        adapter: Any,
        writer: Any,
        checkpoint_store: Any,
        chunk_strategy: Any,
        rate_limiter: Any,
        symbols: list[str],
        timeframes: list[str],
        data_types: list[str],
        start: datetime | None,
        end: datetime,
        concurrency: int = 8,
        resume: str = "always",
        max_wait: float | None = None,
        lag: float = 5.0,
        owner: str | None = None,
        lease: float = 60.0,
        priority: str = "backfill",
        overlap: int | None = None,
        series: list[str] | None = None,
        repair: dict[str, Any] | None = None,
    ) -> Backfill: ...
    def run(self) -> Awaitable[dict[str, Any]]: ...
    def plan(self) -> Awaitable[dict[str, Any]]: ...
    def progress(self) -> dict[str, Any]: ...
    def cancel(self) -> None: ...
