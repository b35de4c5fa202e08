"""Where data lies unless an author says otherwise, and parts from plain values. Read at run time, never at import."""

from __future__ import annotations

import functools
import inspect
import os
from difflib import get_close_matches
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from quant_framework.arguments import RateLimitOptions
from quant_framework.errors import InvalidError, QuantFrameworkError
from quant_framework.orchestration.ports import IDataAdapter, IRateLimiter

SOURCE_GROUP = "quant_framework.sources"
"""Entry points of packages that bring a source: its name, and what makes its adapter of keyword arguments."""

DEFAULT_SOURCE = "coinalyze"

BUILT_IN = tuple(
    EntryPoint(name, f"quant_framework.ingestion.{value}", SOURCE_GROUP)
    for name, value in (
        ("coinalyze", "adapters:CoinalyzeAdapter"),
        ("binance", "adapters:BinanceAdapter"),
        ("binance_usdm", "adapters:binance_usdm"),
        ("binance_archive", "adapters:BinanceArchiveAdapter"),
        ("ccxt", "ccxt_adapter:CcxtAdapter"),
    )
)

STAGED_DAYS = 7
"""Staged rows are kept so long after the run that fetched them."""


def home() -> Path:
    """``QUANT_FRAMEWORK_HOME``, else a folder in Airflow's home."""
    default = Path(os.environ.get("AIRFLOW_HOME") or Path.home() / "airflow") / "quant_framework"
    return Path(os.environ.get("QUANT_FRAMEWORK_HOME") or default)


def lake_url() -> str:
    """``QUANT_FRAMEWORK_LAKE``, else ``lake/bronze`` at home."""
    return os.environ.get("QUANT_FRAMEWORK_LAKE") or (home() / "lake" / "bronze").absolute().as_uri()


def staging_url(lake: str | None = None) -> str:
    """``QUANT_FRAMEWORK_STAGING``, else the folder ``staging`` beside the lake: rows on their way into it."""
    return os.environ.get("QUANT_FRAMEWORK_STAGING") or _beside(lake, "staging")


def silver_url(lake: str | None = None) -> str:
    """``QUANT_FRAMEWORK_SILVER``, else the folder ``silver`` beside the lake."""
    return os.environ.get("QUANT_FRAMEWORK_SILVER") or _beside(lake, "silver")


def derived_url(lake: str | None = None) -> str:
    """``QUANT_FRAMEWORK_DERIVED``, else the folder ``derived`` beside the lake: series made of others."""
    return os.environ.get("QUANT_FRAMEWORK_DERIVED") or _beside(lake, "derived")


def reports_url(lake: str | None = None) -> str:
    """``QUANT_FRAMEWORK_REPORTS``, else the folder ``reports`` beside the lake."""
    return os.environ.get("QUANT_FRAMEWORK_REPORTS") or _beside(lake, "reports")


def _beside(lake: str | None, name: str) -> str:
    lake = (lake or lake_url()).rstrip("/")
    beside, _, last = lake.rpartition("/")
    if not last or not urlsplit(lake).path.strip("/"):
        hint = f"set {name}= or QUANT_FRAMEWORK_{name.upper()}"
        raise InvalidError(f"nothing lies beside the lake {lake}", hint)
    return f"{beside}/{name}"


def checkpoint_url() -> str:
    """``QUANT_FRAMEWORK_CHECKPOINT``, else ``checkpoints`` at home."""
    return os.environ.get("QUANT_FRAMEWORK_CHECKPOINT") or (home() / "checkpoints").absolute().as_uri()


@functools.cache
def sources() -> dict[str, EntryPoint]:
    """Every source by name: the built-in ones, and those of the entry-point group ``quant_framework.sources``."""
    return {entry.name: entry for entry in (*entry_points(group=SOURCE_GROUP), *BUILT_IN)}


def is_built_in(source: str) -> bool:
    """Whether ``source`` comes with this package."""
    return any(entry.name == source for entry in BUILT_IN)


def check_source(source: str) -> None:
    """Look for a source by its name.

    Raises:
        InvalidError: there is no such source; names what was probably meant.

    """
    if not isinstance(source, str):
        raise InvalidError(f"source must be a name, not {source!r}")
    if not is_built_in(source) and source not in sources():
        close = get_close_matches(source, sources(), 1)
        meant = f"did you mean {close[0]!r}? " if close else ""
        hint = f"{meant}use one of {', '.join(sorted(sources()))}, or install the package that brings it"
        raise InvalidError(f"unknown source {source!r}", hint)


def base_url_option(source: str) -> str:
    """What the option is called that names another server for ``source``: of one source it says nothing of others."""
    return "base_url" if source == DEFAULT_SOURCE else f"base_url_{source}"


def takes(source: str, option: str) -> bool:
    """Whether the adapter of ``source`` has ``option``; ``True`` where that cannot be seen."""
    parameters = _parameters(source)
    if parameters is None:
        return True
    return any(parameter.name == option or parameter.kind is parameter.VAR_KEYWORD for parameter in parameters)


def _parameters(source: str) -> list[inspect.Parameter] | None:
    """What the adapter of ``source`` is made with; ``None`` where that cannot be seen."""
    try:
        return list(inspect.signature(sources()[source].load()).parameters.values())
    except (ImportError, AttributeError, TypeError, ValueError):
        return None


def _options(source: str) -> str | None:
    """A hint: the names of the options of ``source``."""
    names = [parameter.name for parameter in _parameters(source) or ()]
    return f"its options are {', '.join(names)}" if names else None


def open_adapter(source: str, **options: Any) -> IDataAdapter:
    """The adapter of ``source``; of a built-in one, ``base_url`` is by default from the environment.

    That is ``QUANT_FRAMEWORK_BASE_URL`` for Coinalyze, and ``QUANT_FRAMEWORK_BASE_URL_BINANCE`` for ``binance``.

    Args:
        source: its name.
        options: of the adapter.

    Raises:
        InvalidError: no such source, options that it does not take, or a package that cannot be loaded.

    """
    check_source(source)
    entry = sources()[source]
    if is_built_in(source):
        usual = os.environ.get(f"QUANT_FRAMEWORK_{base_url_option(source)}".upper())
        options["base_url"] = options.get("base_url") or usual
    where = f"source {source!r} ({entry.value})"
    try:
        adapter = entry.load()(**options)
    except QuantFrameworkError:
        raise
    except TypeError as error:
        raise InvalidError(f"source {source!r} does not take these options: {error}", _options(source)) from error
    except (ImportError, AttributeError) as error:
        raise InvalidError(f"{where} cannot be loaded: {error}") from error
    except Exception as error:
        raise InvalidError(f"{where} cannot be loaded: {type(error).__name__}: {error}") from error
    return check_adapter(adapter, f"{where} adapter")


def check_adapter(adapter: Any, what: str = "adapter") -> IDataAdapter:
    """``adapter``, if it is one.

    Args:
        adapter: an object.
        what: what it is called in an error.

    Raises:
        InvalidError: it lacks ``source`` or ``fetch``.

    """
    if not callable(getattr(adapter, "fetch", None)):
        raise InvalidError(f"{what} {type(adapter).__name__} has no method fetch(request)")
    if not isinstance(getattr(adapter, "source", None), str):
        raise InvalidError(f"{what} {type(adapter).__name__} has no attribute source (a string)")
    checked: IDataAdapter = adapter
    return checked


def rate_limit_url() -> str:
    """``QUANT_FRAMEWORK_RATE_LIMIT``, else ``limits`` at home: shared by the processes of one machine."""
    return os.environ.get("QUANT_FRAMEWORK_RATE_LIMIT") or (home() / "limits").absolute().as_uri()


def open_limiter(adapter: IDataAdapter, place: str | None = None, password: str | None = None) -> IRateLimiter:
    """The documented limit of ``adapter``'s source, shared at ``place`` by all who ask with the same key.

    Documented in ``PRESETS``, or by the adapter itself (``rate_limit``: arguments of ``AdaptiveRateLimiter``). A source
    without a documented limit is paced, by each process on its own.
    """
    from quant_framework.ingestion.rate_limit import AdaptiveRateLimiter, documented

    limits = documented(adapter)
    if not limits.get("windows"):
        return AdaptiveRateLimiter(**limits)
    scope = getattr(adapter, "quota_scope", adapter.source)
    shared: RateLimitOptions = {**limits, "place": place or rate_limit_url(), "scope": scope, "password": password}
    return AdaptiveRateLimiter(**shared)
