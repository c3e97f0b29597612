"""What the runner lives by: the time, and how long to wait after a failure. Both can be replaced in tests."""

import asyncio
import random
import time
from contextlib import suppress
from typing import Protocol

from msgspec import Struct

from liqtape.ourtime import our_seconds
from liqtape.venues.limits import RateLimit

__all__ = ["Backoff", "Clock", "SystemClock", "Timeouts"]


class Backoff(Struct, frozen=True):
    """Seconds before the next attempt: evenly drawn up to a limit that doubles from `first` to `cap` (full jitter).

    A connection that brought data for at least `cap` seconds starts it afresh.
    """

    first: float = 0.5
    cap: float = 30.0

    def delay(self, failures: int, rng: random.Random) -> float:
        """Return the wait after the `failures`-th failure in a row."""
        return rng.uniform(0.0, min(self.cap, self.first * 2.0 ** min(failures - 1, 60)))


class Timeouts(Struct, frozen=True):
    """How long connections wait (seconds): for the handshake, for data, and before they try again.

    `silence_limit` and `attempts` replace the venues' own limits, of silence and of connections; None leaves them as
    they are. Other attempts than a venue allows are for simulated ones.
    """

    connect: float = 10.0
    silence_limit: float | None = None
    backoff: Backoff = Backoff()
    attempts: tuple[RateLimit, ...] | None = None


class Clock(Protocol):
    """The time a connection lives by."""

    def wall(self) -> float:
        """Return Unix seconds, steady: see `ourtime`."""

    def now(self) -> float:
        """Return seconds that never go back."""

    async def wait(self, event: asyncio.Event, seconds: float) -> None:
        """Wait until the event is set, for so long at most."""


class SystemClock:
    """The machine's time."""

    wall = staticmethod(our_seconds)
    now = staticmethod(time.monotonic)

    async def wait(self, event: asyncio.Event, seconds: float) -> None:
        """Wait until the event is set, for so long at most."""
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await event.wait()
