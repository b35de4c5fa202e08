"""Which options of a source are secret, by their names, and where a URL holds a password."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any
from urllib.parse import unquote

__all__ = ["holds_password", "is_secret", "secret_values"]

NAMES = re.compile(
    "api_?key|secret|password|passphrase|private_?key|(access_?)?token|uid|login|twofa|(proxy_?)?authorization"
    "|x-mbx-apikey",
    re.IGNORECASE,
)
"""Of our adapters' options, of ccxt's configuration and of HTTP headers."""
QUERY = re.compile("[?&](ssl)?password=")


def is_secret(name: object) -> bool:
    """Whether what is called ``name`` is a secret."""
    return NAMES.fullmatch(str(name)) is not None


def holds_password(url: object) -> bool:
    """Whether ``url`` is a text that has a password: ``scheme://user:password@host``, or in its query.

    Two URLs in one (``hybrid:s3://...,postgres://...``) are looked at one by one.
    """
    if not isinstance(url, str):
        return False
    return any(_login(part)[1] or QUERY.search(part) for part in url.removeprefix("hybrid:").split(",postgres"))


def secret_values(options: Mapping[str, Any]) -> Iterator[str]:
    """Every secret text of ``options``, however deep: by its name, or the password of a URL (also unquoted)."""
    for name, value in options.items():
        if isinstance(value, Mapping):
            yield from secret_values(value)
        elif value and is_secret(name):
            yield str(value)
        elif isinstance(value, str) and (password := _login(value)[1]):
            yield from {password, unquote(password)}


def _login(url: str) -> tuple[str, str]:
    """User and password of a URL; both empty where there are none."""
    place = url.partition("://")[2].rpartition("@")[0]
    user, _, password = place.partition(":")
    return user, password
