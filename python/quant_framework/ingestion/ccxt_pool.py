"""Instances of one ccxt exchange: one for each request in flight, as an instance is of one thread at a time.

ccxt is imported when the first instance is made, never before. A process that was forked makes its own.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any
from urllib.parse import urlsplit


class Pool:
    """Instances that share their markets, which are loaded once.

    Args:
        make: a fresh instance.

    """

    def __init__(self, make: Callable[[], Any]) -> None:
        self._make = make
        self._start()

    def _start(self) -> None:
        self._pid = os.getpid()
        self._lock = threading.Lock()
        self._free: list[Any] = []
        self._loaded: Any = None
        self._plain: Any = None

    def described(self) -> Any:
        """An instance to read facts of; its markets may not be loaded."""
        self._check_fork()
        if self._plain is None:
            self._plain = self._make()
        return self._plain

    @property
    def is_loaded(self) -> bool:
        """Whether the markets are known."""
        self._check_fork()
        return self._loaded is not None

    @contextmanager
    def instance(self) -> Iterator[Any]:
        """An instance that nobody else uses meanwhile; load its markets by ``load``."""
        self._check_fork()
        with self._lock:
            exchange = self._free.pop() if self._free else None
        exchange = exchange or self._make()
        try:
            yield exchange
        finally:
            with self._lock:
                self._free.append(exchange)

    def load(self, exchange: Any) -> None:
        """Give ``exchange`` its markets; the first one asks for them while the others wait."""
        if exchange.markets:
            return
        with self._lock:
            if self._loaded is None:
                exchange.load_markets()
                self._loaded = exchange
        if exchange is not self._loaded:
            exchange.set_markets_from_exchange(self._loaded)

    def _check_fork(self) -> None:
        # Connections and a lock that another thread held are the parent's.
        if self._pid != os.getpid():
            self._start()


def redirect(urls: Any, base_url: str) -> Any:
    """``urls`` (nested dicts of texts) with their servers replaced by ``base_url``; the paths stay."""
    if isinstance(urls, dict):
        return {name: redirect(url, base_url) for name, url in urls.items()}
    if isinstance(urls, str) and "://" in urls:
        return base_url.rstrip("/") + urlsplit(urls.replace("{", "").replace("}", "")).path
    return urls
