"""When somebody watched, over days: what a baseline may learn from, and how much of a window was seen."""

from bisect import bisect_right
from collections.abc import Iterable
from math import exp2, expm1, log

from liqtape.engine.baseline.surprise import HALF_LIFE_S

__all__ = ["EVER_MS", "LiveIntervals"]

EVER_MS = 1 << 63
"""The end of what has not ended yet."""

_LN2 = log(2)
_FORGOTTEN = 40  # half-lives after which nothing is left: 2^-40


class LiveIntervals:
    """The times at which at least one of some feeds was live, as intervals [from, until), apart and in order.

    `is_known` says whether feeds told that; else somebody watched as long as there were events, and windows are whole.

    At least one, not all: a venue that is away for hours must not blind its instruments, it only makes them quieter.

    >>> live = LiveIntervals([(0, 90_000), (60_000, 200_000), (240_000, EVER_MS)])
    >>> live.intervals[0], live.live_ms(150_000, 250_000), live.covers(60_000, 120_000)
    ((0, 200000), 60000, True)
    """

    __slots__ = ("_begins", "_weights", "intervals", "is_known")

    def __init__(self, live: Iterable[tuple[int, int]], *, is_known: bool = True) -> None:
        self.is_known = is_known
        self.intervals: list[tuple[int, int]] = []
        for begin, end in sorted(live):
            if self.intervals and begin <= self.intervals[-1][1]:
                self.intervals[-1] = self.intervals[-1][0], max(end, self.intervals[-1][1])
            elif begin < end:
                self.intervals.append((begin, end))
        self._begins = [begin for begin, _ in self.intervals]
        self._weights: dict[int, tuple[int, float]] = {}

    def covers(self, from_ms: int, until_ms: int) -> bool:
        """Return whether all of it was watched."""
        place = bisect_right(self._begins, from_ms) - 1
        return place >= 0 and until_ms <= self.intervals[place][1]

    def live_ms(self, from_ms: int, until_ms: int) -> int:
        """Return the milliseconds of (from, until] that were watched."""
        seen = 0
        for begin, end in reversed(self.intervals):
            if end <= from_ms:
                break
            seen += max(0, min(end, until_ms) - max(begin, from_ms))
        return seen

    def weight(self, window_s: int, end: int) -> float:
        """Return the weight of bins of `window_s` before number `end` that were watched whole, the last weighing 1.

        2^(-age / 6 h), summed over a run of bins at once: whatever the silence, one step an interval.
        """
        known = self._weights.get(window_s)
        if known is not None and known[0] == end:
            return known[1]
        width_ms, half = 1000 * window_s, HALF_LIFE_S / window_s
        step = -expm1(-_LN2 / half)
        weight = 0.0
        for begin, until in reversed(self.intervals):
            first, after = -(-begin // width_ms), min(until // width_ms, end)
            if end - after > _FORGOTTEN * half:
                break
            if after > first:
                weight += exp2((after - end) / half) * -expm1(-_LN2 * (after - first) / half) / step
        self._weights[window_s] = end, weight
        return weight
