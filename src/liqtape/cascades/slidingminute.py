"""The highest minute of a stream, late events included, and until when minutes were near it."""

from array import array
from bisect import bisect_left, bisect_right
from collections.abc import Sequence

__all__ = ["LATEST_MS", "MINUTE_MS", "SlidingMinute"]

MINUTE_MS = 60_000

LATEST_MS = 300_000
"""An event this much older than the newest is in no minute, as in the metrics."""

_TRIM = 4_096
_NEAR = 512  # before so many a late event is looked at where it comes
_MOST_PENDING = 4_096


class SlidingMinute:
    """Looks, at each event, at the 60 s up to it: `(t - 60 s, t]`. Amounts are micro-USD.

    `peak` is the highest minute, which ended at `peak_ms`, `peak_count` the highest count of any. `last_ms` is the
    newest event whose minute held at least half of the highest so far: of the counts if `by_count`, else of the
    amounts. In order an event costs O(1), late O(those in the minute behind it); where these are many it waits for the
    next `settle`, and is in no minute before.

    >>> minute = SlidingMinute(by_count=False)
    >>> for at_ms, amount in ((0, 100), (30_000, 100), (100_000, 99), (20_000, 1)): minute.add(at_ms, amount)
    >>> minute.peak, minute.peak_ms, minute.last_ms
    (201, 30000, 30000)
    """

    __slots__ = (
        "_amounts",
        "_by_count",
        "_first",
        "_pending",
        "_sum",
        "_times",
        "last_ms",
        "peak",
        "peak_count",
        "peak_ms",
    )

    def __init__(self, *, by_count: bool) -> None:
        self.peak = self.peak_count = self.peak_ms = self.last_ms = 0
        self._by_count = by_count
        self._times = array("q")
        self._amounts: list[int] = []
        self._first = self._sum = 0  # of the newest minute
        self._pending: list[tuple[int, int]] = []

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
        times = self._times
        if at_ms <= times[-1] - LATEST_MS:
            return
        if len(times) <= _NEAR or times[-_NEAR - 1] <= at_ms:
            self._insert([(at_ms, amount)])
            return
        self._pending.append((at_ms, amount))
        if len(self._pending) >= _MOST_PENDING:
            self.settle()

    def settle(self) -> None:
        """Look at the minutes of late events that wait. When that is done is to follow from the events and the time."""
        if self._pending:
            events, self._pending = sorted(self._pending, key=_time), []
            self._insert(events)

    def _insert(self, events: Sequence[tuple[int, int]]) -> None:
        """Put in events that are in order of time, and look once at each minute that has one of them."""
        times, amounts = self._times, self._amounts
        newest_ms = times[-1]
        places = [bisect_right(times, at_ms) for at_ms, _ in events]
        first = done = places[0]
        newer_times, newer_amounts = array("q"), list[int]()
        for place, (at_ms, amount) in zip(places, events, strict=True):
            newer_times += times[done:place]
            newer_times.append(at_ms)
            newer_amounts += amounts[done:place]
            newer_amounts.append(amount)
            done = place
            if at_ms > newest_ms - MINUTE_MS:
                self._sum += amount
            else:
                self._first += 1
        times[first:] = newer_times + times[done:]
        amounts[first:] = newer_amounts + amounts[done:]
        self._look_from(first, events[-1][0] + MINUTE_MS)

    def _look_from(self, place: int, until_ms: int) -> None:
        """Look at the minutes that end at that place and later, before `until_ms`."""
        times, amounts = self._times, self._amounts
        end = bisect_left(times, until_ms)
        first = bisect_right(times, times[place] - MINUTE_MS)
        total = sum(amounts[first:place])
        at_ms = times[place]
        for number, next_ms in enumerate([*times[place + 1 : end], until_ms], place):
            total += amounts[number]
            if next_ms == at_ms:  # the last of one time has the highest minute of them
                continue
            while times[first] <= at_ms - MINUTE_MS:
                total -= amounts[first]
                first += 1
            if total > self.peak or number - first >= self.peak_count or at_ms > self.last_ms:
                self._look(at_ms, total, number - first + 1)
            at_ms = next_ms

    def _look(self, at_ms: int, amount: int, count: int) -> None:
        if amount > self.peak or not self.peak_ms:
            self.peak, self.peak_ms = amount, at_ms
        self.peak_count = max(self.peak_count, count)
        is_near = 2 * count >= self.peak_count if self._by_count or not self.peak else 2 * amount >= self.peak
        if is_near and at_ms > self.last_ms:
            self.last_ms = at_ms


def _time(event: tuple[int, int]) -> int:
    return event[0]
