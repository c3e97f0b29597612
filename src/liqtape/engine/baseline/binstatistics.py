"""What a stream's past says of its counts: sums of final bins, from which mean and Fano factor follow.

Naive: a baseline for each stream, fed bin by bin, silent ones too; ten thousand instruments of which fifty speak then
cost ten thousand updates every ten seconds. Here only bins with events touch their stream. How many bins were watched
is the same for all streams of a venue and is asked of its `LiveIntervals`.
"""

from math import exp2

from liqtape.engine.baseline.liveintervals import LiveIntervals
from liqtape.engine.baseline.surprise import HALF_LIFE_S, SLOT_MS, Expected, expected

__all__ = ["SLOT_MS", "WIDTHS", "BinStatistics"]

WIDTHS = (10, 60, 300)
"""Windows in seconds that have a baseline, each of bins as long as itself."""


class _Bins:
    """Decayed sums over bins of one width; the newest with events is open while more of its slots may follow."""

    __slots__ = ("at", "count", "number", "slots", "squares", "total", "window_s")

    def __init__(self, window_s: int) -> None:
        self.window_s = window_s
        self.slots = 1000 * window_s // SLOT_MS
        self.total = self.squares = 0.0
        self.at = 0  # the sums are as of before this bin
        self.number = -1
        self.count = 0

    def close(self, live: LiveIntervals) -> None:
        """Add the open bin, if it was watched whole: of another nobody knows what it would have held."""
        window_s = self.window_s
        begin_ms = 1000 * window_s * self.number
        if live.covers(begin_ms, begin_ms + 1000 * window_s):
            fade = exp2((self.at - self.number - 1) * window_s / HALF_LIFE_S)
            self.total = self.total * fade + self.count
            self.squares = self.squares * fade + self.count * self.count
            self.at = self.number + 1
        self.count = 0


class BinStatistics:
    """Counts of one stream in bins of 10, 60 and 300 s, half-life 6 h. Slots are fed once, in order, when final.

    The definition is that of `surprise.Baseline`.

    >>> statistics, live = BinStatistics(), LiveIntervals([(0, 36_000_000)])
    >>> for minute in range(595): statistics.feed(6 * minute, 6, live)
    >>> found = statistics.expect(1, 595, live)
    >>> round(found.mean, 3), round(found.fano, 3)
    (5.533, 0.466)
    """

    __slots__ = ("_bins",)

    def __init__(self) -> None:
        self._bins = tuple(map(_Bins, WIDTHS))

    def feed(self, slot: int, count: int, live: LiveIntervals) -> None:
        """Take in `count` events of slot number `slot`, which is newer than those fed before."""
        for bins in self._bins:
            number = slot // bins.slots
            if number != bins.number:
                if bins.count:
                    bins.close(live)
                bins.number = number
            bins.count += count

    def move(self, by_ms: int) -> None:
        """Make the bins so far later by so much, to a whole bin."""
        for bins in self._bins:
            by = round(by_ms / (1000 * bins.window_s))
            bins.at += by
            if bins.number >= 0:
                bins.number += by

    def expect(self, which: int, end: int, live: LiveIntervals) -> Expected:
        """Return what a window of `WIDTHS[which]` seconds brings, from the bins before number `end`.

        `end` is no earlier than what was fed.
        """
        bins = self._bins[which]
        window_s = bins.window_s
        if bins.count and bins.number < end:
            bins.close(live)
        fade = exp2((bins.at - end) * window_s / HALF_LIFE_S)
        return expected(window_s, live.weight(window_s, end), bins.total * fade, bins.squares * fade)
