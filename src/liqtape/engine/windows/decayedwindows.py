"""Venue windows that also keep exponentially decayed counts, for the acceleration of that form: four products an
event.
"""

from __future__ import annotations  # array[int] cannot be evaluated before Python 3.12

from bisect import bisect_right
from collections.abc import Iterable, Mapping, Sequence
from math import exp

from liqtape.engine.windows.eventcolumn import EventColumn
from liqtape.engine.windows.venuewindows import ThrottledVenueWindows, VenueWindows
from liqtape.events import Side

__all__ = ["TAU1_S", "TAU2_S", "DecayedCounts", "DecayedVenueWindows", "ThrottledDecayedVenueWindows"]

TAU1_S = 5.0
TAU2_S = 10.0
_TAU1_MS, _TAU2_MS = 1000 * TAU1_S, 1000 * TAU2_S


class DecayedCounts:
    """Sums of exp(-age / tau) over all events there ever were, for both taus, as of the newest.

    >>> decayed = DecayedCounts(); decayed.add(0); decayed.add(5_000); decayed.add(5_000)
    >>> [round(total, 6) for total in decayed.sums([], 5_000)]
    [2.367879, 2.606531]
    """

    __slots__ = ("at_ms", "fast", "slow")

    def __init__(self) -> None:
        self.fast = self.slow = 0.0
        self.at_ms = 0

    def add(self, event_ms: int) -> None:
        """Add one event, in any order."""
        ahead = event_ms - self.at_ms
        if ahead > 0:
            self.fast = self.fast * exp(-ahead / _TAU1_MS) + 1.0
            self.slow = self.slow * exp(-ahead / _TAU2_MS) + 1.0
            self.at_ms = event_ms
        else:
            self.fast += exp(ahead / _TAU1_MS)
            self.slow += exp(ahead / _TAU2_MS)

    def take_out(self, event_ms: int) -> None:
        """Forget one event that was added."""
        self.fast -= exp((event_ms - self.at_ms) / _TAU1_MS)
        self.slow -= exp((event_ms - self.at_ms) / _TAU2_MS)

    def sums(self, columns: Iterable[EventColumn], now_ms: int) -> tuple[float, float]:
        """Return both sums at `now_ms`, without the events of the columns that are newer: O(those)."""
        newer = [
            t - self.at_ms
            for column in columns
            if column.times
            for t in column.times[bisect_right(column.times, now_ms) :]
        ]
        age = self.at_ms - now_ms
        fast = self.fast - sum(exp(t / _TAU1_MS) for t in newer)
        slow = self.slow - sum(exp(t / _TAU2_MS) for t in newer)
        return max(0.0, fast) * exp(age / _TAU1_MS), max(0.0, slow) * exp(age / _TAU2_MS)


class DecayedVenueWindows(VenueWindows):
    """Venue windows with decayed counts. Without slots, so that they go together with the throttled kind."""

    def __init__(self) -> None:
        super().__init__()
        self.decayed = DecayedCounts()

    def add(self, side: Side | None, event_ms: int, micro: int, horizon_ms: int) -> None:
        super().add(side, event_ms, micro, horizon_ms)
        self.decayed.add(event_ms)

    def take_out(self, side: Side | None, event_ms: int, micro: int) -> bool:
        is_out = super().take_out(side, event_ms, micro)
        if is_out:
            self.decayed.take_out(event_ms)
        return is_out

    def replace(
        self, side: Side | None, gone: Mapping[tuple[int, int], int], come: Sequence[tuple[int, int]]
    ) -> list[int]:
        taken = super().replace(side, gone, come)
        for event_ms in taken:
            self.decayed.take_out(event_ms)
        for event_ms, _ in come:
            self.decayed.add(event_ms)
        return taken

    def move(self, by_ms: int) -> None:
        super().move(by_ms)
        self.decayed.at_ms += by_ms


class ThrottledDecayedVenueWindows(DecayedVenueWindows, ThrottledVenueWindows):
    """The same of a throttled venue."""
