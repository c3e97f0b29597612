"""Our own time: set to the wall clock once, steady from then on.

Naive: ask the wall clock each time. It steps, when somebody sets it or a network time service finds it wrong, and
windows, waits and recordings would step with it.
"""

import sys
import time
from collections.abc import Callable

__all__ = ["SteadyClock", "our_ms", "our_ns", "our_seconds"]


def _steady() -> Callable[[], int]:
    """The clock that goes on while the machine is asleep, where there is one."""
    if hasattr(time, "CLOCK_BOOTTIME"):
        return lambda: time.clock_gettime_ns(time.CLOCK_BOOTTIME)
    if sys.platform == "darwin":  # Python's own stops while the machine is asleep, this one does not
        return lambda: time.clock_gettime_ns(time.CLOCK_MONOTONIC)
    return time.monotonic_ns


class SteadyClock:
    """Nanoseconds of Unix time as the wall clock had it when this was made; later steps of that change nothing."""

    def __init__(self, steady: Callable[[], int] | None = None, wall: Callable[[], int] = time.time_ns) -> None:
        self._steady = _steady() if steady is None else steady
        self._start_ns = wall() - self._steady()

    def ns(self) -> int:
        """Our time now, in ns."""
        return self._start_ns + self._steady()


_OURS = SteadyClock()


def our_ns() -> int:
    """Return our time in ns; the same clock for all of a process, so that receipts and timers can be compared."""
    return _OURS.ns()


def our_ms() -> int:
    """Return our time in ms."""
    return _OURS.ns() // 1_000_000


def our_seconds() -> float:
    """Return our time in seconds."""
    return _OURS.ns() / 1e9
