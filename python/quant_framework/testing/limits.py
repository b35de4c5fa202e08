"""The offline exchange's limit: windows that are enforced to the letter, prices, and bans."""

from __future__ import annotations

import math
import time
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, cast

REFUSED = 429
"""What a refusal means, whatever it is answered with."""

RETRY_AFTER = (True, "seconds", "float", "date", False)
REFUSALS = ("status", "retcode", "code")
QUOTA_HEADERS = (None, "mbx", "ietf", "ratelimit-draft", "x-ratelimit", "x-ratelimit-epoch", "x-ratelimit-ms", "bapi")


WindowGiven = tuple[int, float] | tuple[int, float, str]
"""``(weight, seconds)`` or ``(weight, seconds, kind)``; see ``Window``."""

WindowsGiven = WindowGiven | Iterable[WindowGiven] | None
"""One window, several, or none."""


class Window(NamedTuple):
    """At most ``weight`` in ``seconds``.

    ``rolling``: in any span of that length, its end excluded. ``fixed``: the count is back to zero at multiples of
    ``seconds`` of the UTC clock.
    """

    weight: int
    seconds: float
    kind: str = "rolling"

    @classmethod
    def of(cls, given: Sequence[Any]) -> Window:
        """``(weight, seconds)`` or ``(weight, seconds, kind)``, checked.

        Raises:
            ValueError: another kind, or no weight or seconds above 0.

        """
        window = cls(*given)
        if window.kind not in _COUNTERS:
            raise ValueError(f"unknown window {window.kind!r}; use rolling or fixed")
        if window.weight < 1 or window.seconds <= 0:
            raise ValueError(f"a window needs a weight and seconds, not {window.weight} and {window.seconds}")
        return window


def windows(limit: WindowsGiven) -> tuple[Window, ...]:
    """One window, several, or none."""
    given: list[Any] = [] if limit is None else list(limit)
    if given and isinstance(given[0], (int, float)):
        given = [given]
    return tuple(Window.of(window) for window in given)


@dataclass(frozen=True)
class Limits:
    """What may be asked, and what happens to those who ask more.

    Args:
        windows: one ``(weight, seconds)`` or ``(weight, seconds, "fixed")``, a list of them, or ``None`` (see
            ``Window``); a request must fit all of them.
        prices: ``(bars up to, weight)`` pairs: what a symbol of a history request costs by the bars it asks for.
            More bars than the last one's are a 400; a 400 and a list cost 1 a symbol, as all does without prices.
        retry_after: when a refused request would fit, bans included: ``True`` or ``"seconds"`` (whole, rounded up),
            ``"float"`` (3 decimals), ``"date"``, or ``False``: lost. There is none for a weight that never fits.
        ban: ``(refusals, seconds)``: so many refusals in one span of the longest window, and nothing is answered for
            ``seconds``. What is asked during a ban neither counts nor prolongs it.
        ban_status: what is answered during a ban.
        refusals: a refusal is a 429 (``"status"``), or a 200 with Bybit's (``"retcode"``) or OKX's (``"code"``) body.
        quota_headers: which headers tell what is left, except during a ban: one of ``QUOTA_HEADERS``. Those with room
            for one window tell of the one with the least share left.
        counts_refused: whether a refused request counts too.

    Raises:
        ValueError: a window without weight or length, or an option that cannot be.

    """

    windows: WindowsGiven = ((40, 60.0),)
    prices: Sequence[tuple[int, int]] | None = None
    retry_after: bool | str = True
    ban: tuple[int, float] | None = None
    ban_status: int = 418
    refusals: str = "status"
    quota_headers: str | None = None
    counts_refused: bool = False

    def __post_init__(self) -> None:
        object.__setattr__(self, "windows", windows(self.windows))
        for name, known in [("retry_after", RETRY_AFTER), ("refusals", REFUSALS), ("quota_headers", QUOTA_HEADERS)]:
            if getattr(self, name) not in known:
                raise ValueError(f"unknown {name} {getattr(self, name)!r}; use one of {known}")
        if self.prices is not None and (not self.prices or list(self.prices) != sorted(self.prices)):
            raise ValueError("prices must ascend by bars")

    @property
    def checked(self) -> tuple[Window, ...]:
        """The windows, whatever form they were given in."""
        return cast("tuple[Window, ...]", self.windows)

    @classmethod
    def of(cls, limit: Limits | WindowsGiven, retry_after: bool | str = True) -> Limits:
        """``limit`` itself, or its short form: windows alone."""
        return limit if isinstance(limit, Limits) else cls(limit, retry_after=retry_after)

    @property
    def most_bars(self) -> float:
        """How many bars a request may ask for."""
        return math.inf if self.prices is None else self.prices[-1][0]

    def price(self, bars: int) -> int:
        """What ``bars`` cost a symbol."""
        return next((weight for up_to, weight in self.prices or () if bars <= up_to), 1)


class Level(NamedTuple):
    """What is spent of a window, and the seconds until all of it is back."""

    window: Window
    used: int
    reset: float

    @property
    def left(self) -> int:
        """The weight that is left."""
        return max(0, self.window.weight - self.used)


class Verdict(NamedTuple):
    """What becomes of a request: 200, 429 or the status of a ban, and the seconds until it would be accepted.

    ``at`` and ``banned_until`` are epoch seconds; ``levels`` are after this request, and none during a ban. The
    refusal that starts a ban knows its end already.
    """

    limits: Limits
    status: int
    wait: float
    at: float
    levels: tuple[Level, ...] = ()
    banned_until: float | None = None

    @property
    def refused(self) -> bool:
        """Whether it is not to be answered."""
        return self.status != 200

    @property
    def barred(self) -> bool:
        """Whether a ban of before is why."""
        return self.refused and not self.levels


class _Counter:
    """What one window has counted; ``now`` never goes back.

    Args:
        window: the window.

    """

    def __init__(self, window: Window) -> None:
        self.window = window
        self.used: int = 0
        self.accepted: int = 0
        self.peak: int = 0

    def fits(self, weight: int) -> bool:
        """Whether there is room for ``weight`` now."""
        return self.used + weight <= self.window.weight

    def advance(self, now: float) -> None:
        """Let go of what does not count any more."""
        raise NotImplementedError

    def release(self, weight: int, accepted: int) -> None:
        """Count so much less."""
        self.used -= weight
        self.accepted -= accepted

    def wait(self, now: float, weight: int) -> float:
        """Seconds until ``weight`` would fit; infinite where it never will."""
        raise NotImplementedError

    def reset(self, now: float) -> float:
        """Seconds until nothing counts any more."""
        raise NotImplementedError

    def take(self, now: float, weight: int, accepted: bool) -> None:
        """Count a request of ``now``."""
        self.used += weight
        if accepted:
            self.accepted += weight
            self.peak = max(self.peak, self.accepted)


class Rolling(_Counter):
    """Counts what was taken in the span that ends now, on a monotonic clock."""

    def __init__(self, window: Window) -> None:
        super().__init__(window)
        self._taken: deque[tuple[float, int, bool]] = deque()

    def advance(self, now: float) -> None:
        """Let go of what has left the span."""
        while self._taken and self._taken[0][0] + self.window.seconds <= now:
            _, weight, accepted = self._taken.popleft()
            self.release(weight, weight if accepted else 0)

    def take(self, now: float, weight: int, accepted: bool) -> None:
        """Count a request of ``now``."""
        super().take(now, weight, accepted)
        self._taken.append((now, weight, accepted))

    def wait(self, now: float, weight: int) -> float:
        """Seconds until ``weight`` would fit; infinite where it never will."""
        excess = self.used + weight - self.window.weight
        if excess <= 0:
            return 0.0
        for at, taken, _ in self._taken:
            excess -= taken
            if excess <= 0:
                return at + self.window.seconds - now
        return math.inf

    def reset(self, now: float) -> float:
        """Seconds until the span is empty."""
        return self._taken[-1][0] + self.window.seconds - now if self._taken else 0.0


class Fixed(_Counter):
    """Counts what was taken since the last multiple of the window's seconds, on the UTC clock."""

    def __init__(self, window: Window) -> None:
        super().__init__(window)
        self._index: float = -math.inf

    def advance(self, now: float) -> None:
        """Begin again where a multiple has passed; a clock set back stays in its window."""
        index = now // self.window.seconds
        if index > self._index:
            self._index = index
            self.release(self.used, self.accepted)

    def wait(self, now: float, weight: int) -> float:
        """Seconds until ``weight`` would fit; infinite where it never will."""
        if self.fits(weight):
            return 0.0
        return self.reset(now) if weight <= self.window.weight else math.inf

    def reset(self, now: float) -> float:
        """Seconds until the count is back to zero."""
        return (self._index + 1) * self.window.seconds - now


_COUNTERS: dict[str, type[_Counter]] = {"rolling": Rolling, "fixed": Fixed}


class Meter:
    """Enforces limits; who shares one holds a lock.

    Args:
        limits: what is enforced.
        monotonic: seconds for rolling windows.
        wall: epoch seconds for fixed windows.

    """

    def __init__(
        self, limits: Limits, monotonic: Callable[[], float] = time.monotonic, wall: Callable[[], float] = time.time
    ) -> None:
        self._monotonic, self._wall = monotonic, wall
        self.limits: Limits = limits
        self.reset()

    def reset(self) -> None:
        """Forget what was spent, refusals and bans."""
        self._log: list[tuple[dict[str, float], int, bool]] = []
        self._refused: deque[float] = deque()
        self._ban_ends = {"rolling": -math.inf, "fixed": -math.inf}
        self._total = 0
        self._counters = [_COUNTERS[window.kind](window) for window in self.limits.checked]

    def change(self, limits: Limits) -> None:
        """Enforce ``limits`` from now on, with what was spent before; a window that stays keeps its peak."""
        peaks = {counter.window: counter.peak for counter in self._counters}
        self.limits = limits
        self._counters = [_COUNTERS[window.kind](window) for window in limits.checked]
        for counter in self._counters:
            for clocks, weight, accepted in self._log:
                counter.advance(clocks[counter.window.kind])
                counter.take(clocks[counter.window.kind], weight, accepted)
            counter.peak = peaks.get(counter.window, 0)

    def banned(self, weight: int) -> Verdict | None:
        """The verdict on a request of ``weight`` during a ban; ``None`` when there is none."""
        clocks = self._clocks()
        if clocks["rolling"] >= self._ban_ends["rolling"]:
            return None
        return self._verdict(clocks, self.limits.ban_status, weight)._replace(levels=())

    def ask(self, weight: int) -> Verdict:
        """The verdict on a request of ``weight``, which is counted."""
        verdict = self.banned(weight)
        if verdict is not None:
            return verdict
        clocks = self._clocks()
        accepted = all(counter.fits(weight) for counter in self._counters)
        if accepted or self.limits.counts_refused:
            self._take(clocks, weight, accepted)
        if not accepted:
            self._refuse(clocks)
        return self._verdict(clocks, 200 if accepted else REFUSED, weight)

    def usage(self) -> list[dict[str, float]]:
        """Each window's ``weight`` and ``seconds``, the greatest weight accepted in one, and all that was accepted."""
        return [
            {
                "weight": counter.window.weight,
                "seconds": counter.window.seconds,
                "peak": counter.peak,
                "accepted": self._total,
            }
            for counter in self._counters
        ]

    def _clocks(self) -> dict[str, float]:
        clocks = {"rolling": self._monotonic(), "fixed": self._wall()}
        for counter in self._counters:
            counter.advance(clocks[counter.window.kind])
        return clocks

    def _take(self, clocks: dict[str, float], weight: int, accepted: bool) -> None:
        self._log.append((clocks, weight, accepted))
        self._total += weight if accepted else 0
        for counter in self._counters:
            counter.take(clocks[counter.window.kind], weight, accepted)

    def _refuse(self, clocks: dict[str, float]) -> None:
        if self.limits.ban is None:
            return
        (most, seconds), now = self.limits.ban, clocks["rolling"]
        longest = max(window.seconds for window in self.limits.checked)
        self._refused.append(now)
        while self._refused[0] + longest <= now:
            self._refused.popleft()
        if len(self._refused) >= most:
            self._refused.clear()
            self._ban_ends = {kind: at + seconds for kind, at in clocks.items()}

    def _verdict(self, clocks: dict[str, float], status: int, weight: int) -> Verdict:
        levels = tuple(
            Level(counter.window, counter.used, counter.reset(clocks[counter.window.kind]))
            for counter in self._counters
        )
        if status == 200:
            return Verdict(self.limits, status, 0.0, clocks["fixed"], levels)
        ban = max(0.0, self._ban_ends["rolling"] - clocks["rolling"])
        waits = (counter.wait(clocks[counter.window.kind], weight) for counter in self._counters)
        until = self._ban_ends["fixed"] if ban else None
        return Verdict(self.limits, status, max(ban, *waits, 0.0), clocks["fixed"], levels, until)
