"""The highest minute of a stream, late events included, and until when minutes were near it."""

from array import array
from bisect import bisect_right

__all__ = ["LATEST_MS", "MINUTE_MS", "SlidingMinute"]

MINUTE_MS = 60_000

LATEST_MS = 300_000
"""An event this much older than the newest is in no minute, as in the metrics."""

_TRIM = 4_096


class SlidingMinute:
    """Looks, at each event, at the 60 s up to it: `(t - 60 s, t]`. Amounts are micro-USD.

    `peak` is the highest minute, which ended at `peak_ms`, `peak_count` the highest count of any. `last_ms` is the
    newest event whose minute held at least half of the highest so far: of the counts if `by_count`, else of the
    amounts. In order an event costs O(1), late O(those in the minute behind it).

    >>> minute = SlidingMinute(by_count=False)
    >>> for at_ms, amount in ((0, 100), (30_000, 100), (100_000, 99), (20_000, 1)): minute.add(at_ms, amount)
    >>> minute.peak, minute.peak_ms, minute.last_ms
    (201, 30000, 30000)
    """

    __slots__ = ("_amounts", "_by_count", "_first", "_sum", "_times", "last_ms", "peak", "peak_count", "peak_ms")

    def __init__(self, *, by_count: bool) -> None:
        self.peak = self.peak_count = self.peak_ms = self.last_ms = 0
        self._by_count = by_count
        self._times = array("q")
        self._amounts: list[int] = []
        self._first = self._sum = 0  # of the newest minute

    @property
    def newest_ms(self) -> int:
        """The time of the newest event; 0 before any."""
        return self._times[-1] if self._times else 0

    def add(self, at_ms: int, amount: int) -> None:
        """Take an event in."""
        times, amounts = self._times, self._amounts
        if times and at_ms < times[-1]:
            self._add_late(at_ms, amount)
            return
        times.append(at_ms)
        amounts.append(amount)
        self._sum += amount
        while times[self._first] <= at_ms - MINUTE_MS:
            self._sum -= amounts[self._first]
            self._first += 1
        self._look(at_ms, self._sum, len(times) - self._first)
        if self._first > _TRIM and times[_TRIM] <= at_ms - LATEST_MS - MINUTE_MS:
            del times[:_TRIM], amounts[:_TRIM]
            self._first -= _TRIM

    def _add_late(self, at_ms: int, amount: int) -> None:
        times, amounts = self._times, self._amounts
        newest_ms = times[-1]
        if at_ms <= newest_ms - LATEST_MS:
            return
        place = bisect_right(times, at_ms)
        times.insert(place, at_ms)
        amounts.insert(place, amount)
        if at_ms > newest_ms - MINUTE_MS:
            self._sum += amount
        else:
            self._first += 1
        first = bisect_right(times, at_ms - MINUTE_MS)
        total = sum(amounts[first:place])
        while place < len(times) and times[place] < at_ms + MINUTE_MS:
            total += amounts[place]
            while times[first] <= times[place] - MINUTE_MS:
                total -= amounts[first]
                first += 1
            self._look(times[place], total, place - first + 1)
            place += 1

    def _look(self, at_ms: int, amount: int, count: int) -> None:
        if amount > self.peak or not self.peak_ms:
            self.peak, self.peak_ms = amount, at_ms
        self.peak_count = max(self.peak_count, count)
        is_near = 2 * count >= self.peak_count if self._by_count or not self.peak else 2 * amount >= self.peak
        if is_near and at_ms > self.last_ms:
            self.last_ms = at_ms
