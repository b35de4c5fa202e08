"""The lake and the checkpoints of a plain function: a URL, an object, or the environment's."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal, TypeVar, overload

from quant_framework import settings
from quant_framework.errors import InvalidError
from quant_framework.ingestion.backfill import CheckpointStore, open_checkpoint_store
from quant_framework.ingestion.writers import BronzeWriter
from quant_framework.orchestration.ports import ICheckpointStore, IDataAdapter, IDataWriter, IRateLimiter

Writer = TypeVar("Writer", bound=IDataWriter)


@overload
def open_store(checkpoint: str | CheckpointStore | None, method: Literal["load_sync"] = "load_sync") -> CheckpointStore:
    """A native store, or a subclass of one."""


@overload
def open_store(checkpoint: str | ICheckpointStore | None, method: Literal["load"]) -> ICheckpointStore:
    """Any store."""


def open_store(checkpoint: str | ICheckpointStore | None, method: str = "load_sync") -> ICheckpointStore:
    """The store at a URL, by default the environment's, or itself.

    Args:
        checkpoint: a URL or a store.
        method: what a store must have: ``load_sync`` where the caller does not wait, else ``load``.

    Raises:
        InvalidError: neither a URL nor such a store.

    """
    if checkpoint is None or isinstance(checkpoint, str):
        return open_checkpoint_store(checkpoint or settings.checkpoint_url())
    if not hasattr(checkpoint, method):
        raise InvalidError(f"checkpoint must be a URL or a store, not a {type(checkpoint).__name__}")
    return checkpoint


def open_lake(lake: str | Writer | None) -> BronzeWriter | Writer:
    """The lake at a URL, by default the environment's, or itself.

    Raises:
        InvalidError: neither a URL nor a writer.

    """
    if lake is None or isinstance(lake, str):
        return BronzeWriter(lake or settings.lake_url())
    if not hasattr(lake, "write"):
        raise InvalidError(f"lake must be a URL or a writer, not a {type(lake).__name__}")
    return lake


def open_readable(lake: str | IDataWriter | None, name: str = "lake") -> BronzeWriter:
    """The lake at a URL, or itself, which must be native to be read.

    Raises:
        InvalidError: it is not; called ``name`` there.

    """
    place = open_lake(lake)
    if not isinstance(place, BronzeWriter):
        raise InvalidError(f"a {name} of type {type(place).__name__} cannot be read", "pass a BronzeWriter, or its URL")
    return place


def open_source(source: str | IDataAdapter, options: Mapping[str, Any] | None = None) -> IDataAdapter:
    """The adapter of a source's name, with ``options``, or itself.

    Raises:
        InvalidError: no such source, options that it does not take, or no adapter.

    """
    if isinstance(source, str):
        return settings.open_adapter(source, **(options or {}))
    return settings.check_adapter(source)


def open_quota(adapter: IDataAdapter, rate_limit: str | IRateLimiter | None) -> IRateLimiter:
    """The quota of ``adapter``'s source, shared at a URL, by default the environment's, or a limiter itself."""
    if rate_limit is None or isinstance(rate_limit, str):
        return settings.open_limiter(adapter, rate_limit)
    return rate_limit
