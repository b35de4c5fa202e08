"""Sources, stores and lakes from Airflow connections. Read inside ``execute``, never at parse time."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from urllib.parse import quote, urlsplit

from quant_framework import settings
from quant_framework.airflow.config import option
from quant_framework.airflow.lookup import connection
from quant_framework.airflow.market_data import adapter_options, flag
from quant_framework.errors import InvalidError
from quant_framework.ingestion.backfill import (
    CheckpointStore,
    DatabaseCheckpointStore,
    HybridCheckpointStore,
    MinIOCheckpointStore,
    open_checkpoint_store,
)
from quant_framework.ingestion.writers import BronzeWriter, ReportWriter, SilverWriter
from quant_framework.orchestration.ports import IDataAdapter, IRateLimiter
from quant_framework.secret_names import holds_password, secret_values

__all__ = [
    "adapter_options",
    "connection",
    "open_adapter",
    "open_bronze",
    "open_checkpoints",
    "open_limiter",
    "open_reports",
    "open_silver",
    "quota_connection",
    "refuse_password",
    "refuse_secrets",
]


def refuse_password(url: str | None, argument: str) -> None:
    """Refuse a URL that holds a password: arguments of operators are shown in the UI.

    Args:
        url: anything else than a text is fine.
        argument: what it was given as, for the error.

    Raises:
        InvalidError: it holds one.

    """
    if holds_password(url):
        raise InvalidError(f"{argument} holds a password", "use postgres_conn_id or minio_conn_id, or PGPASSWORD")


def refuse_secrets(**arguments: Any) -> None:
    """Refuse arguments of an operator that hold a secret: Airflow keeps and shows them.

    Raises:
        InvalidError: one does.

    """
    for name in ("lake", "silver", "staging", "reports", "checkpoint", "rate_limit"):
        refuse_password(arguments.get(name), name)
    options = arguments.get("adapter_options")
    if isinstance(options, Mapping) and any(secret_values(options)):
        hint = "use market_data_conn_id, or COINALYZE_API_KEY"
        raise InvalidError("adapter_options holds an API key or a password", hint)


def s3_options(conn_id: str) -> dict[str, Any]:
    """What an S3 connection says.

    Login and password are the keys; the server is ``endpoint_url`` in the extra (as in the Amazon provider), or host
    and port (with ``secure`` or a host that begins with ``https://`` over TLS). Other extras: ``region_name, bucket,
    prefix, path_style, ca_file, aws_session_token``.
    """
    conn = connection(conn_id)
    extra = conn.extra_dejson
    service = extra.get("service_config", {}).get("s3", {})
    endpoint = service.get("endpoint_url") or extra.get("endpoint_url") or extra.get("host")
    if not endpoint and conn.host:
        scheme = "" if "://" in conn.host else "https://" if flag(extra, "secure") else "http://"
        endpoint = f"{scheme}{conn.host}{f':{conn.port}' if conn.port else ''}"
    return {
        "endpoint_url": endpoint,
        "access_key": conn.login or extra.get("aws_access_key_id"),
        "secret_key": conn.password or extra.get("aws_secret_access_key"),
        "session_token": extra.get("aws_session_token"),
        "region": extra.get("region_name"),
        "path_style": flag(extra, "path_style"),
        "ca_file": extra.get("ca_file"),
        "bucket": extra.get("bucket") or service.get("bucket_name"),
        "prefix": extra.get("prefix"),
    }


def minio_store(conn_id: str, url: str | None = None, single_writer: bool = False) -> MinIOCheckpointStore:
    """Checkpoints where ``url`` (``s3://bucket/prefix``) or else the connection's extra says."""
    options = s3_options(conn_id)
    bucket, prefix = options.pop("bucket"), options.pop("prefix")
    if url:
        parts = urlsplit(url)
        if parts.scheme != "s3":
            raise InvalidError(f"with minio_conn_id, checkpoint must be s3://bucket/prefix, not {parts.scheme}:...")
        if parts.query:
            raise InvalidError("with minio_conn_id, checkpoint has no options", f"put them into {conn_id}'s extra")
        bucket, prefix = parts.netloc, parts.path.strip("/")
    if not bucket:
        hint = 'pass checkpoint="s3://bucket/prefix", or add "bucket" to its extra'
        raise InvalidError(f"connection {conn_id!r} names no bucket", hint)
    prefix = "checkpoints" if prefix is None else prefix
    return MinIOCheckpointStore(bucket, prefix, single_writer=single_writer, **options)


def database(conn_id: str) -> tuple[str, str | None]:
    """DSN and password of a PostgreSQL connection; ``sslmode`` and ``sslrootcert`` in its extra."""
    conn = connection(conn_id)
    user = f"{quote(conn.login, safe='')}@" if conn.login else ""
    names = ("sslmode", "sslrootcert")
    options = "&".join(f"{name}={quote(value)}" for name in names if (value := conn.extra_dejson.get(name)))
    place = f"{conn.host or 'localhost'}:{conn.port or 5432}/{quote(conn.schema or 'postgres', safe='')}"
    return f"postgresql://{user}{place}{'?' + options if options else ''}", conn.password


def database_store(conn_id: str) -> DatabaseCheckpointStore:
    """Checkpoints in the database of a PostgreSQL connection."""
    dsn, password = database(conn_id)
    return DatabaseCheckpointStore(dsn, password=password)


def open_adapter(
    source: str | None = None, options: dict[str, Any] | None = None, market_data_conn_id: str | None = None
) -> IDataAdapter:
    """The adapter of ``source``, with the connection's key and options; ``options`` go before those.

    Args:
        source: its name; by default the connection's, else Coinalyze.
        options: of the adapter.
        market_data_conn_id: connection with the key and more options.

    Raises:
        InvalidError: no such source or connection, a connection of another source, or options that cannot be.
        UnavailableError: nobody could say whether there is such a connection.

    """
    said: dict[str, Any] = {}
    if market_data_conn_id:
        known, said = adapter_options(market_data_conn_id)
        if source and source != known:
            raise InvalidError(f"connection {market_data_conn_id!r} is of source {known!r}, not {source!r}")
        source = known
    source, said = source or settings.DEFAULT_SOURCE, said | (options or {})
    if settings.is_built_in(source):
        said["base_url"] = said.get("base_url") or option(settings.base_url_option(source))
    return settings.open_adapter(source, **said)


def open_checkpoints(
    checkpoint: str | None = None, minio_conn_id: str | None = None, postgres_conn_id: str | None = None
) -> CheckpointStore:
    """The store of an operator: both connections make a hybrid, one its own kind, none the URL's.

    Args:
        checkpoint: URL of the store; with ``minio_conn_id`` its bucket and prefix. By default the environment's.
        minio_conn_id: connection of an S3 server.
        postgres_conn_id: connection of a PostgreSQL database.

    Raises:
        InvalidError: no such connection, or places that contradict each other.
        UnavailableError: nobody could say whether there is such a connection.

    """
    minio = minio_store(minio_conn_id, checkpoint) if minio_conn_id else None
    database = database_store(postgres_conn_id) if postgres_conn_id else None
    if minio and database:
        return HybridCheckpointStore(minio, database)
    if database and checkpoint:
        raise InvalidError("checkpoint and postgres_conn_id name two places", "leave one out, or add minio_conn_id")
    if store := minio or database:
        return store
    return open_checkpoint_store(checkpoint or option("checkpoint") or settings.checkpoint_url())


def quota_connection(
    rate_limit: str | None = None, rate_limit_conn_id: str | None = None, postgres_conn_id: str | None = None
) -> str | None:
    """The connection of the database where an operator's quota is shared; ``None`` for the place ``rate_limit``.

    Args:
        rate_limit: place that the operator was given.
        rate_limit_conn_id: connection that it was given for its quota.
        postgres_conn_id: connection that it was given for its checkpoints.

    """
    return rate_limit_conn_id or (None if rate_limit else postgres_conn_id)


def open_limiter(
    adapter: IDataAdapter, rate_limit: str | None = None, rate_limit_conn_id: str | None = None
) -> IRateLimiter:
    """The quota of a source, shared in the database of a connection, or at a URL.

    Args:
        adapter: of the source.
        rate_limit: URL of the place; by default the environment's.
        rate_limit_conn_id: instead, connection of a PostgreSQL database.

    Raises:
        InvalidError: no such connection, or two places.
        UnavailableError: nobody could say whether there is such a connection.

    """
    if rate_limit and rate_limit_conn_id:
        raise InvalidError("rate_limit and rate_limit_conn_id name two places", "leave one out")
    if rate_limit_conn_id is None:
        return settings.open_limiter(adapter, rate_limit or option("rate_limit"))
    return settings.open_limiter(adapter, *database(rate_limit_conn_id))


def open_bronze(lake: str | None = None, minio_conn_id: str | None = None) -> BronzeWriter:
    """The bronze lake.

    Args:
        lake: its URL; by default the environment's.
        minio_conn_id: connection with server and keys, where the URL is ``s3://``.

    Raises:
        InvalidError: no such connection, or a URL that is none.
        UnavailableError: nobody could say whether there is such a connection.

    """
    url = lake or option("lake") or settings.lake_url()
    return BronzeWriter(url, **lake_options(url, minio_conn_id))


def open_silver(bronze: BronzeWriter, silver: str | None = None, minio_conn_id: str | None = None) -> SilverWriter:
    """The silver lake that is made of a bronze one.

    Args:
        bronze: the bronze lake.
        silver: URL; by default the environment's, else beside ``bronze``.
        minio_conn_id: as for ``open_bronze``.

    Raises:
        InvalidError: no such connection, or a URL that is none.
        UnavailableError: nobody could say whether there is such a connection.

    """
    url = silver or option("silver") or settings.silver_url(bronze.url)
    return SilverWriter(url, bronze, **lake_options(url, minio_conn_id))


def open_reports(bronze: BronzeWriter, reports: str | None = None, minio_conn_id: str | None = None) -> ReportWriter:
    """The place of reports.

    Args:
        bronze: the bronze lake.
        reports: URL; by default the environment's, else beside ``bronze``.
        minio_conn_id: as for ``open_bronze``.

    Raises:
        InvalidError: no such connection, or a URL that is none.
        UnavailableError: nobody could say whether there is such a connection.

    """
    url = reports or option("reports") or settings.reports_url(bronze.url)
    return ReportWriter(url, **lake_options(url, minio_conn_id))


def lake_options(url: str, minio_conn_id: str | None) -> dict[str, Any]:
    """What opens a lake at ``url``."""
    if minio_conn_id is None or not url.startswith("s3://"):
        return {}
    options = s3_options(minio_conn_id)
    return {name: value for name, value in options.items() if name not in ("bucket", "prefix")}
