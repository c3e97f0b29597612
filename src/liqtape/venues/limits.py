"""What a venue allows: so many of something in so many seconds, and how long a connection may live."""

from collections import deque
from collections.abc import Iterable

from msgspec import Struct

__all__ = ["Limits", "RateLimit", "RateLimiter"]


class RateLimit(Struct, frozen=True):
    """At most `count` in any `seconds`."""

    count: int
    seconds: float


class Limits(Struct, frozen=True):
    """What a venue asks of its clients; each figure has its source where the venue states it.

    `connections` are attempts to connect, of all our connections to the venue together; `messages` those that we send
    on one connection. `lifetime` is after how many seconds the venue cuts a connection, `idle` after how many seconds
    without a message from us; None where it does not.
    """

    connections: tuple[RateLimit, ...]
    messages: tuple[RateLimit, ...]
    lifetime: float | None = None
    idle: float | None = None


class RateLimiter:
    """Lets through what the rate limits allow; time is an argument.

    >>> rate_limiter = RateLimiter([RateLimit(2, 1.0)])
    >>> [rate_limiter.passes(at) for at in (0.0, 0.1, 0.2, 1.0)], rate_limiter.next_at(1.0)
    ([True, True, False, True], 1.1)
    """

    __slots__ = ("_passed",)

    def __init__(self, rate_limits: Iterable[RateLimit]) -> None:
        self._passed = [(rate_limit.seconds, deque[float](maxlen=rate_limit.count)) for rate_limit in rate_limits]

    def next_at(self, now: float) -> float:
        """Return when the next one may pass; `now` when it may at once."""
        return max((now, *(past[0] + seconds for seconds, past in self._passed if len(past) == past.maxlen)))

    def passes(self, now: float) -> bool:
        """Return whether one more may pass now; it then has."""
        if self.next_at(now) > now:
            return False
        self._let(now)
        return True

    def reserve(self, now: float) -> float:
        """Return when one more may pass, and take that moment."""
        at = self.next_at(now)
        self._let(at)
        return at

    def _let(self, at: float) -> None:
        for _, past in self._passed:
            past.append(at)
