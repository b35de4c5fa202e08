"""What ccxt's exceptions mean, in one line and without secrets. Imports no ccxt."""

from __future__ import annotations

import re
import time
from collections.abc import Iterable, Mapping
from typing import Any
from urllib.parse import quote

from quant_framework.errors import (
    DataError,
    InvalidError,
    QuantFrameworkError,
    RateLimitedError,
    UnavailableError,
)

LONGEST = 300
"""As much of an error as a log line can bear."""

SIGNED = re.compile(r"(?i)\b((?:signature|sign|sig|api_?key|secret|token|passphrase|password)=)[^&\s\"']+")
STATUS = re.compile(r"\b(?:GET|POST) \S+ (\d{3})\b|^\w+ (\d{3}) ")
BANNED = re.compile(r"banned until (\d{13})")
BLOCKED = ("403", "451")
WRONG = ("400", "404")
MALFORMED = (TypeError, KeyError, IndexError, ValueError, AttributeError, ArithmeticError)
"""What ccxt's parsers raise where a body is not what it should be."""


def redact(text: str, secrets: Iterable[str] = ()) -> str:
    """``text`` in one line, without ``secrets`` and without what signs a URL."""
    for secret in secrets:
        for form in {secret, quote(secret, safe="")}:
            text = text.replace(form, "***")
    text = " ".join(SIGNED.sub(r"\1***", text).split())
    return text if len(text) <= LONGEST else f"{text[:LONGEST]}..."


def translated(
    error: Exception, what: str, secrets: Iterable[str] = (), headers: Mapping[str, Any] | None = None
) -> QuantFrameworkError:
    """``error`` as one of ours; ``what`` says what was asked, ``headers`` are those of the answer."""
    import ccxt

    said = f"{what}: {type(error).__name__}: {redact(str(error), secrets)}"
    if isinstance(error, (ccxt.RateLimitExceeded, ccxt.DDoSProtection)):
        return RateLimitedError(said, until_ms=_until(headers or {}, str(error)))
    if isinstance(error, (*MALFORMED, ccxt.BadResponse)):
        return DataError(f"{said} (the answer is not what it should be)")
    if not isinstance(error, ccxt.BaseError):
        return UnavailableError(said)
    found = STATUS.search(str(error))
    status = (found.group(1) or found.group(2)) if found else ""
    if status in BLOCKED or isinstance(error, ccxt.RestrictedLocation):
        return InvalidError(said, "the exchange does not serve this address (region or firewall)")
    if isinstance(error, ccxt.AuthenticationError):
        return InvalidError(said, "public market data needs no key; leave it out, or check it")
    if isinstance(error, ccxt.BadSymbol):
        return InvalidError(said, 'use a unified symbol such as "BTC/USDT", or "BTC/USDT:USDT" for a perpetual')
    if isinstance(error, ccxt.OperationFailed) and status not in WRONG:
        return UnavailableError(said)
    return InvalidError(said)


def _until(headers: Mapping[str, Any], text: str) -> int | None:
    """When to come back, in milliseconds since 1970, where the answer says so."""
    now = time.time()
    if banned := BANNED.search(text):
        return max(int(banned.group(1)), int(now * 1000))
    said = next((str(value) for name, value in headers.items() if name.lower() == "retry-after"), "")
    try:
        wait = float(said)
    except ValueError:
        from email.utils import parsedate_to_datetime

        try:
            wait = parsedate_to_datetime(said).timestamp() - now
        except (TypeError, ValueError):
            return None
    return int((now + max(0.0, wait)) * 1000) + 1 if wait < 366 * 86400 else None
