"""What a connection of type ``market_data`` says: which source, with which key and options."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any
from urllib.parse import urlsplit

from quant_framework import settings
from quant_framework.airflow.lookup import connection
from quant_framework.errors import InvalidError

__all__ = ["adapter_options", "flag"]

API_PATH = "/v1"
"""Where the protocol lies on a server that is named by host and port."""


def adapter_options(conn_id: str) -> tuple[str, dict[str, Any]]:
    """Source of a market data connection, and the options of its adapter.

    The password is the API key. ``host`` is a whole URL, or a name beside ``port`` and ``schema`` (``https``, the
    default, or ``http``). Extras, which may be texts as in a connection's URI: ``source``, and for Coinalyze ``market``
    (an object), ``retention`` (a number, or ``all``), ``convert_to_usd``; null says nothing. Those of other sources go
    to their adapters as they are.

    Args:
        conn_id: of the connection.

    Raises:
        InvalidError: there is no such connection, or it says something that cannot be.
        UnavailableError: nobody could say whether there is one.

    """
    conn = connection(conn_id)
    extra = {name: value for name, value in conn.extra_dejson.items() if value not in (None, "")}
    source = extra.pop("source", settings.DEFAULT_SOURCE)
    try:
        settings.check_source(source)
    except InvalidError as error:
        raise InvalidError(f"connection {conn_id!r}: {error.message}", error.hint) from None
    if source != settings.DEFAULT_SOURCE:
        return source, extra | address(conn_id, conn, "" if settings.is_built_in(source) else API_PATH)
    unknown = sorted(extra.keys() - READERS.keys())
    if unknown:
        raise InvalidError(
            f"connection {conn_id!r} has no option {unknown[0]!r}", f"its extra knows source, {', '.join(READERS)}"
        )
    return source, {name: READERS[name](extra, name) for name in extra} | address(conn_id, conn)


def address(conn_id: str, conn: Any, path: str = API_PATH) -> dict[str, str]:
    """Key and server of a connection, where it has them."""
    options = {}
    if conn.password:
        options["api_key"] = conn.password
    if conn.host:
        options["base_url"] = base_url(conn_id, conn, path)
    return options


def base_url(conn_id: str, conn: Any, usual: str = API_PATH) -> str:
    """The server of a connection; the protocol lies at ``usual`` unless its host is a whole URL."""
    whole = "://" in conn.host
    url = conn.host if whole else f"{conn.schema or 'https'}://{conn.host}"
    scheme, place, path = urlsplit(url)[:3]
    if scheme not in ("http", "https"):
        raise InvalidError(f"connection {conn_id!r} wants the scheme {scheme!r}", "use https or http")
    if "@" in place:
        raise InvalidError(f"connection {conn_id!r} has a login in its host", "the API key is the password")
    if conn.port and ":" not in place.rpartition("]")[2]:
        place = f"{place}:{conn.port}"
    return f"{scheme}://{place}{path if whole else usual}"


def flag(extra: dict[str, Any], name: str) -> bool | None:
    """A yes or no of an extra, where it is said; the extras of a connection's URI are texts.

    Args:
        extra: of the connection.
        name: of the option.

    Raises:
        InvalidError: neither yes nor no.

    """
    value = extra.get(name)
    known = {"true": True, "1": True, "yes": True, "false": False, "0": False, "no": False}
    if value is not None and str(value).lower() not in known:
        raise InvalidError(f"{name} in the connection's extra must be true or false, not {value!r}")
    return None if value is None else known[str(value).lower()]


def kept_points(extra: dict[str, Any], name: str) -> int | None:
    """A number of points, ``None`` for all."""
    text = str(extra[name])
    if text == "all":
        return None
    if not text.isdecimal() or int(text) == 0:
        raise InvalidError(f'{name} in the connection\'s extra must be a number of points or "all", not {text!r}')
    return int(text)


def choice(extra: dict[str, Any], name: str) -> dict[str, str]:
    """An object, also as JSON text."""
    value = extra[name]
    try:
        value = json.loads(value) if isinstance(value, str) else value
    except ValueError:
        value = None
    if not isinstance(value, dict) or not all(isinstance(part, str) for part in value.values()):
        raise InvalidError(f'{name} in the connection\'s extra must be an object such as {{"quote": "USDT"}}')
    return value


READERS: dict[str, Callable[[dict[str, Any], str], Any]] = {
    "market": choice,
    "retention": kept_points,
    "convert_to_usd": flag,
}
