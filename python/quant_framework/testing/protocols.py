"""What the offline exchange can speak: one ``Protocol`` per API, found by the beginning of a request's path."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, ClassVar, NamedTuple

from quant_framework.testing.faults import Fault
from quant_framework.testing.limits import Limits, Verdict
from quant_framework.testing.quota import Answer, headers, message, refusal

if TYPE_CHECKING:
    from quant_framework.testing.exchange import OfflineExchange


class BadRequestError(ValueError):
    """What an exchange answers 400 to.

    Args:
        text: why.
        code: its number in the protocol, where it has numbers.

    """

    def __init__(self, text: str, code: int = 0) -> None:
        super().__init__(text)
        self.code = code


class Request(NamedTuple):
    """One GET: the path without its leading slash, the query, and the key where one was sent."""

    path: str
    query: dict[str, str]
    key: str | None


class Protocol:
    """How one API looks to its clients; a subclass overrides what is different."""

    prefixes: ClassVar[tuple[str, ...]] = ("",)
    """Beginnings of the paths that it answers."""

    limits: ClassVar[Mapping[str, Limits]] = {}
    """The limits that it enforces by itself, by name; the exchange's ``limits`` override them."""

    def limit(self, request: Request) -> str:
        """Name of the limit that counts ``request``."""
        raise NotImplementedError

    def weight(self, exchange: OfflineExchange, request: Request) -> int:
        """What ``request`` costs."""
        return 1

    def symbols(self, request: Request) -> list[str]:
        """The symbols that ``request`` names; for faults of one symbol."""
        return []

    def asks_for_rows(self, request: Request) -> bool:
        """Whether ``request`` is for rows, and not for a list or a time; faults concern these unless they say more."""
        return True

    def unauthorised(self, exchange: OfflineExchange, request: Request) -> Answer | None:
        """The answer to a request without the right key; ``None`` where no key is wanted or it is right."""
        return None

    def content(self, exchange: OfflineExchange, request: Request, fault: Fault | None) -> Answer:
        """The answer to an accepted request; ``BadRequestError`` where it is a 400."""
        raise NotImplementedError

    def error(self, status: int, text: str, code: int = 0) -> bytes:
        """A body that says why."""
        return message(text)

    def refusal(self, verdict: Verdict, request: Request) -> Answer:
        """The answer to a request beyond the limit."""
        return refusal(verdict)

    def quota_headers(self, verdict: Verdict, request: Request) -> dict[str, str]:
        """The headers that tell what is left."""
        return headers(verdict)
