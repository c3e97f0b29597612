"""One side of one (instrument, venue): times and USD in order, and cursors that answer windows without rescanning.

Naive: keep the events, count those inside the window each time (O(n) an evaluation). Here times and prefix sums of USD
sit in two compact arrays; a window is the difference of two cursors, and a cursor only walks over events it has not
passed yet, so an event costs the same whatever the window holds. 16 bytes an event.

An event that comes late moves all that are newer. Where these are many it waits in `pending`, and those that wait are
put in their places together when somebody reads the arrays, or when they are as many as may wait.
"""

from __future__ import annotations  # array[int] cannot be evaluated before Python 3.12

from array import array
from bisect import bisect_left, bisect_right
from itertools import accumulate, pairwise, starmap
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

__all__ = ["HEAD", "MINUTE_MS", "MOMENT", "NEVER_MS", "OFFSETS_MS", "RETAIN_MS", "EventColumn"]

OFFSETS_MS = (0, 10_000, 30_000, 60_000, 300_000, 20_000)
"""Cursor k stands behind the last event with time <= now - OFFSETS_MS[k]."""

HEAD = 0
_LARGEST = 4
MOMENT = 5
"""The cursor of the acceleration horizon H = 20 s; between it and HEAD the sum of times is kept."""

_BEGINNING = (0,) * len(OFFSETS_MS)
_TAILS = tuple((k, offset) for k, offset in enumerate(OFFSETS_MS) if k != HEAD)

RETAIN_MS = 302_000
"""Largest window plus the 2 s by which an evaluation may lie before the newest event."""

MINUTE_MS = 60_000
_BEFORE_MS = -(1 << 63)
NEVER_MS = 1 << 63
_NOTHING_SEEN = (NEVER_MS, 0, 0, 0, NEVER_MS)
_SLACK = 256
_NEAR = 64  # of so many newer ones each is moved at once: to wait would cost more
_MOST_PENDING = 4_096  # to settle them takes 40 ns for each that is newer
_DEAD_SHARE = 32  # trim when 1/32 may be dead: keeps an event at 16 x (1 + 1/16 growth + 1/32) < 18 bytes


class EventColumn:
    """Liquidations of one side, oldest first.

    >>> column = EventColumn()
    >>> column.add(1_000, 5); column.add(11_000, 7); column.advance(11_000)
    >>> column.count(1), column.micro(1)
    (1, 7)
    """

    __slots__ = (
        "_cursors",
        "_gone",
        "_gone_micro",
        "_newest_ms",
        "_seen_pending",
        "_sum",
        "minute_at",
        "moment",
        "now_ms",
        "pending",
        "settled_sums",
        "settled_times",
        "trim_at",
    )

    def __init__(self) -> None:
        # As `times` and `micro_sums`, without what is pending; while anything is, they have more than it is older than.
        self.settled_times: array[int] = array("q")
        self.settled_sums: array[int] | list[int] = array("q", (0,))
        self.pending: array[int] = array("q")  # time, micro-USD, time, micro-USD, ... in the order they came
        self._seen_pending = _NOTHING_SEEN  # when it was asked, how many there were, and what `pending_minute` said
        self._cursors = [0] * len(OFFSETS_MS)
        self.moment = 0  # sum of times between cursor MOMENT and cursor HEAD
        self.now_ms = 0  # where the cursors stand
        # The last of each array: to read it there takes 45 ns, twice for every event.
        self._newest_ms = _BEFORE_MS
        self._sum = 0
        self.trim_at = _SLACK
        self.minute_at = 0  # the cursor of `minute`, which moves by itself
        self._gone = self._gone_micro = 0  # what `trim` has forgotten

    def __len__(self) -> int:
        return len(self.settled_times) + len(self.pending) // 2

    @property
    def times(self) -> array[int]:
        """The times of all events."""
        if self.pending:
            self._settle()
        return self.settled_times

    @property
    def micro_sums(self) -> array[int] | list[int]:
        """At i the micro-USD of the first i events, and a constant."""
        if self.pending:
            self._settle()
        return self.settled_sums

    def add(self, event_ms: int, micro: int) -> None:
        """Put an event in its place: O(1) at the end, elsewhere its share of O(n) for some thousand."""
        if event_ms < self._newest_ms:
            self._add_late(event_ms, micro)
            return
        self._newest_ms = event_ms
        self._sum = total = self._sum + micro
        try:
            self.settled_sums.append(total)
        except OverflowError:  # 9.2e12 USD since the sums began: begin them again
            self._keep(_rebased([*self.settled_sums, total]))
        self.settled_times.append(event_ms)

    def _add_late(self, event_ms: int, micro: int) -> None:
        size = len(self.settled_times)
        if size <= _NEAR or self.settled_times[-_NEAR - 1] <= event_ms:
            self._insert([(event_ms, micro)])
            return
        try:
            self.pending += array("q", (event_ms, micro))
        except OverflowError:
            self._insert([(event_ms, micro)])
            return
        if len(self.pending) >= 2 * _MOST_PENDING:
            self._settle()

    def _waiting(self, since: int = 0) -> Iterator[tuple[int, int]]:
        """Return (time, micro-USD) of what is pending, without the first `since`."""
        return zip(self.pending[2 * since :: 2], self.pending[2 * since + 1 :: 2], strict=True)

    def _settle(self) -> None:
        """Put what is pending in its places, behind those of the same time that came before."""
        events = sorted(self._waiting(), key=_time)
        del self.pending[:]
        self._seen_pending = _NOTHING_SEEN
        self._insert(events)

    def _insert(self, events: Sequence[tuple[int, int]]) -> None:
        """Put in events that are in order of time: O(k) when k events are newer than the first."""
        times, sums = self.settled_times, self.settled_sums
        places = [bisect_right(times, event_ms) for event_ms, _ in events]
        self._pass_over(events, places)
        first = done = places[0]
        newer_times, newer_sums, added = array("q"), list[int](), 0
        for place, (event_ms, micro) in zip(places, events, strict=True):
            newer_times += times[done:place]
            newer_times.append(event_ms)
            newer_sums += [s + added for s in sums[done + 1 : place + 1]]
            added += micro
            newer_sums.append(sums[place] + added)
            done = place
        newer_times += times[done:]
        newer_sums += [s + added for s in sums[done + 1 :]]
        times[first:] = newer_times
        self._sum += added
        if isinstance(sums, list):
            sums[first + 1 :] = newer_sums
            return
        try:
            sums[first + 1 :] = array("q", newer_sums)
        except OverflowError:
            self._keep(_rebased([*sums[: first + 1], *newer_sums]))

    def _pass_over(self, events: Sequence[tuple[int, int]], places: Sequence[int]) -> None:
        """Move the cursors by what is put in before them."""
        at = self._cursors
        for place, (event_ms, _) in zip(places, events, strict=True):
            if at[MOMENT] <= place < at[HEAD]:
                self.moment += event_ms
        self._cursors = [passed + bisect_left(places, passed) for passed in at]
        self.minute_at += bisect_left(places, self.minute_at)

    def _keep(self, sums: list[int]) -> None:
        """Store the sums in 64 bits where they fit, as unbounded integers where they do not."""
        self._sum = sums[-1]
        try:
            self.settled_sums = array("q", sums)
        except OverflowError:
            self.settled_sums = sums

    def advance(self, now_ms: int) -> None:
        """Move every cursor to evaluation time `now_ms` (forwards, or back by what is retained)."""
        if self.pending:
            self._settle()
        if now_ms < self.now_ms:
            self._go_back(now_ms)
            return
        self.now_ms = now_ms
        times, at = self.settled_times, self._cursors
        head = at[HEAD]
        if head < len(times) and (first := times[head]) <= now_ms:
            # Nearly always one step; a leap is found in log time.
            head += 1
            if head < len(times) and times[head] <= now_ms:
                head = bisect_right(times, now_ms, head + 1)
                first = sum(times[at[HEAD] : head])
            self.moment += first
            at[HEAD] = head
        for k, offset in _TAILS:
            i = at[k]
            if i < head and (first := times[i]) <= (limit := now_ms - offset):
                j = i + 1
                if j < head and times[j] <= limit:
                    j = bisect_right(times, limit, j + 1, head)
                    if k == MOMENT:
                        first = sum(times[i:j])
                at[k] = j
                if k == MOMENT:
                    self.moment -= first

    def minute(self, now_ms: int) -> tuple[int, int]:
        """Return (micro-USD, events) of the 60 s that end at `now_ms`, without moving the windows: O(1) amortised."""
        times, place, limit = self.settled_times, self.minute_at, now_ms - MINUTE_MS
        size = len(times)
        if place < size and times[place] <= limit:
            place += 1
            if place < size and times[place] <= limit:
                place = bisect_right(times, limit, place + 1)
            self.minute_at = place
        elif place and times[place - 1] > limit:
            self.minute_at = place = bisect_right(times, limit, 0, place)
        end = size if self._newest_ms <= now_ms else bisect_right(times, now_ms)
        sums = self.settled_sums
        if self.pending:
            of_pending, in_pending, _ = self.pending_minute(now_ms)
            return sums[end] - sums[place] + of_pending, end - place + in_pending
        return sums[end] - sums[place], end - place

    def pending_minute(self, now_ms: int) -> tuple[int, int, int]:
        """Return what is pending of `minute`, and the next moment at which that changes by time alone.

        It is asked after each frame, so it looks at what came since, as long as nothing changed by time.
        """
        at_ms, seen, micro, count, change_ms = self._seen_pending
        if not at_ms <= now_ms < change_ms:
            seen = micro = count = 0
            change_ms = NEVER_MS
        limit = now_ms - MINUTE_MS
        for event_ms, event_micro in self._waiting(seen):
            if event_ms > now_ms:
                change_ms = min(change_ms, event_ms)
            elif event_ms > limit:
                micro += event_micro
                count += 1
                change_ms = min(change_ms, event_ms + MINUTE_MS)
        self._seen_pending = now_ms, len(self.pending) // 2, micro, count, change_ms
        return micro, count, change_ms

    def _go_back(self, now_ms: int) -> None:
        """Put every cursor behind the last time <= its limit, `now_ms` less its offset, when that limit went back.

            limit 7   1  4  6 | 9
            limit 5   1  4 | 6  9      it usually goes back, over what is newer than the limit

            limit 7   1  4 | 9         then 5 is added late: `_insert` leaves it behind the cursor,
                      1  4 | 5  9      for the next evaluation to walk over;
            limit 6   1  4  5 | 9      so a cursor may go forwards though its limit went back

        `moment` is the sum of the times between MOMENT and HEAD: HEAD takes in what it passes, MOMENT takes it out.
        """
        times, at = self.settled_times, self._cursors
        self.now_ms = now_ms
        for k, offset in enumerate(OFFSETS_MS):
            i, limit = at[k], now_ms - offset
            if i < len(times) and times[i] <= limit:
                at[k] = bisect_right(times, limit, i + 1)
            elif i and times[i - 1] > limit:
                at[k] = bisect_right(times, limit, 0, i - 1)
            else:
                continue
            if k in {HEAD, MOMENT}:
                change = sum(times[i : at[k]]) - sum(times[at[k] : i])
                self.moment += change if k == HEAD else -change

    def windows(self) -> tuple[int, int, int, int, int, int, int, int]:
        """Return (counts, then micro-USD) of the windows of 10, 30, 60 and 300 s, after `advance`."""
        head, i10, i30, i60, i300, _ = self._cursors
        sums = self.settled_sums
        usd = sums[head]
        return (
            head - i10,
            head - i30,
            head - i60,
            head - i300,
            usd - sums[i10],
            usd - sums[i30],
            usd - sums[i60],
            usd - sums[i300],
        )

    def ever_added(self) -> tuple[int, int]:
        """Return (events, micro-USD) of all there ever were, those that were forgotten included."""
        sums = self.micro_sums
        return self._gone + len(self.times), self._gone_micro + sums[-1] - sums[0]

    def recent(self, behind_ms: int) -> tuple[int, int]:
        """Return (events, sum of their times) of the last 20 s, each time `behind_ms` later, after `advance`."""
        at = self._cursors
        count = at[HEAD] - at[MOMENT]
        return count, self.moment + count * behind_ms

    def most(self) -> tuple[int, int, int]:
        """Return what at most can be in the windows of 10, 60 and 300 s that end later than those of `advance`."""
        _, tail_10s, _, tail_60s, tail_300s, _ = self._cursors
        size = len(self)
        return size - tail_10s, size - tail_60s, size - tail_300s

    def most_recent(self) -> int:
        """Return the same of 20 s."""
        return len(self) - self._cursors[MOMENT]

    def counts_at(self, now_ms: int, *, is_behind: bool) -> tuple[int, int, int, int]:
        """Return (events of 10, 60 and 300 s, micro-USD of 60 s) at `now_ms` without moving the windows: O(log n)
        and what is pending.

        `is_behind`: the windows stand no later than that, so each tail lies somewhere behind its cursor.
        """
        times = self.settled_times
        if not times or times[-1] <= now_ms - 300_000:
            return 0, 0, 0, 0
        end = len(times) if times[-1] <= now_ms else bisect_right(times, now_ms)
        _, tail_10s, _, tail_60s, tail_300s, _ = self._cursors if is_behind else _BEGINNING
        since = bisect_right(times, now_ms - MINUTE_MS, tail_60s)
        of_10s = end - bisect_right(times, now_ms - 10_000, tail_10s)
        of_60s = end - since
        of_300s = end - bisect_right(times, now_ms - 300_000, tail_300s)
        micro = self.settled_sums[end] - self.settled_sums[since]
        if self.pending:
            late = [now_ms - event_ms for event_ms in self.pending[::2] if event_ms <= now_ms]
            of_10s += sum(age < 10_000 for age in late)
            of_300s += sum(age < 300_000 for age in late)
            late_micro, late_60s, _ = self.pending_minute(now_ms)
            return of_10s, of_60s + late_60s, of_300s, micro + late_micro
        return of_10s, of_60s, of_300s, micro

    def first_and_last_ms(self, k: int) -> tuple[int, int] | None:
        """Return the times of the oldest and the newest event in the window of cursor k, after `advance`."""
        start, end = self._cursors[k], self._cursors[HEAD]
        return (self.settled_times[start], self.settled_times[end - 1]) if start < end else None

    def count(self, k: int) -> int:
        """Return the events in the window of cursor k, after `advance`."""
        return self._cursors[HEAD] - self._cursors[k]

    def micro(self, k: int) -> int:
        """Return USD in the window of cursor k, in micro-USD, after `advance`."""
        return self.settled_sums[self._cursors[HEAD]] - self.settled_sums[self._cursors[k]]

    def values(self, k: int) -> list[int]:
        """Return the USD of each event in the window of cursor k, in micro-USD: O(window)."""
        return [b - a for a, b in pairwise(self.settled_sums[self._cursors[k] : self._cursors[HEAD] + 1])]

    def take_out(self, event_ms: int, micro: int) -> bool:
        """Remove one event of that time and amount, O(k) with k newer ones; return whether there was one."""
        times, sums = self.times, self.micro_sums  # settled: the cursors stand
        at = self._cursors
        place = bisect_left(times, event_ms)
        while place < len(times) and times[place] == event_ms and sums[place + 1] - sums[place] != micro:
            place += 1
        if place == len(times) or times[place] != event_ms:
            return False
        if at[MOMENT] <= place < at[HEAD]:
            self.moment -= event_ms
        self._cursors = [passed - (place < passed) for passed in at]
        self.minute_at -= place < self.minute_at
        del times[place]
        self._sum -= micro
        rest = [s - micro for s in sums[place + 2 :]]
        if isinstance(sums, list):
            sums[place + 1 :] = rest
        else:
            sums[place + 1 :] = array("q", rest)
        self._newest_ms = times[-1] if times else _BEFORE_MS
        return True

    def replace(self, gone: Mapping[tuple[int, int], int], come: Iterable[tuple[int, int]]) -> list[int]:
        """Take out so many of each (time, micro-USD), and put in others: O(n log n) at once.

        Return the times of those that were there.
        """
        left = dict(gone)
        taken: list[int] = []
        events: list[tuple[int, int]] = []
        for event in zip(self.times, starmap(_difference, pairwise(self.micro_sums)), strict=True):
            if left.get(event):
                left[event] -= 1
                taken.append(event[0])
            else:
                events.append(event)
        events += come
        events.sort(key=_time)
        self.settled_times = array("q", map(_time, events))
        self._keep([0, *accumulate(micro for _, micro in events)])
        self._newest_ms = events[-1][0] if events else _BEFORE_MS
        self._cursors = [bisect_right(self.times, self.now_ms - offset) for offset in OFFSETS_MS]
        self.moment = sum(self.times[self._cursors[MOMENT] : self._cursors[HEAD]])
        self.minute_at = 0
        return taken

    def move(self, by_ms: int) -> None:
        """Give every event, and the cursors, a time that is later by so much."""
        times = self.times  # settled: the cursors stand
        self.moment += by_ms * (self._cursors[HEAD] - self._cursors[MOMENT])
        self.now_ms += by_ms
        if times:
            self.settled_times = array("q", [event_ms + by_ms for event_ms in times])
            self._newest_ms += by_ms

    def is_mostly_dead(self) -> bool:
        """Return whether more than half of a not quite small column has left every window."""
        gone = self._cursors[_LARGEST]
        return gone > _SLACK and 2 * gone > len(self)

    def trim(self, horizon_ms: int) -> None:
        """Forget events with time <= `horizon_ms`; call when `len(column) >= column.trim_at` or `is_mostly_dead`."""
        dead = bisect_right(self.times, horizon_ms)
        if dead:
            self._gone += dead
            self._gone_micro += self.micro_sums[dead] - self.micro_sums[0]
            first, head = self._cursors[MOMENT], self._cursors[HEAD]
            self.moment -= sum(self.times[min(first, dead) : min(head, dead)])
            self._cursors = [max(0, i - dead) for i in self._cursors]
            self.minute_at = max(0, self.minute_at - dead)
            # A slice is a fresh, exactly sized array: after a burst the memory goes back.
            self.settled_times = self.settled_times[dead:]
            self.settled_sums = self.settled_sums[dead:]
            if isinstance(self.settled_sums, list):
                self._keep(_rebased(self.settled_sums))
            if not self.settled_times:
                self._newest_ms = _BEFORE_MS
        size = len(self.times)
        self.trim_at = size + size // _DEAD_SHARE + _SLACK


def _time(event: tuple[int, int]) -> int:
    return event[0]


def _difference(before: int, after: int) -> int:
    return after - before


def _rebased(sums: array[int] | list[int]) -> list[int]:
    base = sums[0]
    return [s - base for s in sums]
