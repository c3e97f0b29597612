"""How near to critical a stream is, without a fit: from mean and variance of counts in long windows. Metrics 6.

For a stationary Hawkes process variance / mean of long windows is 1 / (1 - n)^2, n its branching ratio.
"""

from collections import deque
from collections.abc import Sequence
from math import sqrt

from msgspec import Struct

__all__ = ["Criticality", "WindowCounts", "criticality"]

_WINDOW_MS = 300_000
_KEPT = 288
"""Windows: a day."""

_LEAST = 12
"""Windows: an hour, before which it says nothing."""


class Criticality(Struct, frozen=True, gc=False):
    """Mean and sample variance of counts, their ratio (`fano`), and the branching ratio that gives."""

    mean: float
    variance: float
    fano: float | None
    branching_ratio: float | None


def criticality(counts: Sequence[int]) -> Criticality | None:
    """Return the moments of counts in windows of 300 s or longer; None of fewer than two.

    >>> criticality([0, 8, 0, 8, 0, 8, 0, 8, 4])
    Criticality(mean=4.0, variance=16.0, fano=4.0, branching_ratio=0.5)
    """
    return _of_sums(len(counts), sum(counts), sum(count * count for count in counts))


def _of_sums(windows: int, total: int, squares: int) -> Criticality | None:
    if windows < 2:
        return None
    mean = total / windows
    variance = (squares * windows - total * total) / (windows * (windows - 1))
    if not total:
        return Criticality(mean, variance, None, None)
    ratio = 1.0 - sqrt(mean / variance) if variance > mean else 0.0
    return Criticality(mean, variance, variance / mean, ratio)


class WindowCounts:
    """Counts of the last day in whole windows of 300 s that were watched; what is silent costs nothing.

    >>> windows = WindowCounts(0)
    >>> for second in range(0, 7_200, 60): windows.add(1_000 * second)
    >>> windows.at(7_200_000)
    Criticality(mean=5.0, variance=0.0, fano=0.0, branching_ratio=0.0)
    """

    __slots__ = ("_counts", "_first", "_gaps", "_squares", "_total")

    def __init__(self, start_ms: int) -> None:
        self._first = -(-start_ms // _WINDOW_MS)
        self._counts: deque[list[int]] = deque()  # [window, its events] where there are any, oldest first
        self._gaps: deque[tuple[int, int]] = deque()  # (first, after the last) window not watched whole
        self._total = self._squares = 0

    def add(self, event_ms: int) -> None:
        """Count an event; one that is older than the newest window with events is left out."""
        number = event_ms // _WINDOW_MS
        counts = self._counts
        if counts and counts[-1][0] == number:
            counts[-1][1] += 1
            return
        if number < self._first or (counts and number < counts[-1][0]):
            return
        if counts:
            self._total += counts[-1][1]
            self._squares += counts[-1][1] ** 2
        counts.append([number, 1])
        self._forget(number)

    def unwatched(self, from_ms: int, until_ms: int) -> None:
        """Leave out the windows of a span in which nothing could be seen. Spans come in order of time."""
        self._gaps.append((from_ms // _WINDOW_MS, -(-until_ms // _WINDOW_MS)))

    def at(self, now_ms: int) -> Criticality | None:
        """Return the moments of the day before the window of `now_ms`; None before an hour was watched."""
        end = now_ms // _WINDOW_MS
        self._forget(end)
        first = max(self._first, end - _KEPT)
        windows = end - first
        total, squares = self._total, self._squares
        if self._counts and first <= self._counts[-1][0] < end:
            total += self._counts[-1][1]
            squares += self._counts[-1][1] ** 2
        for begin, after in self._gaps:
            lost = range(max(first, begin), min(end, after))
            windows -= len(lost)
            for number, count in self._counts:
                if number in lost:
                    total -= count
                    squares -= count * count
        return _of_sums(windows, total, squares) if windows >= _LEAST else None

    def _forget(self, end: int) -> None:
        counts = self._counts
        while len(counts) > 1 and counts[0][0] < end - _KEPT:
            _, count = counts.popleft()
            self._total -= count
            self._squares -= count * count
        while self._gaps and self._gaps[0][1] <= end - _KEPT:
            self._gaps.popleft()
