"""The liquidations of one instrument on one venue: a column per side, and the seconds that saw a print."""

from __future__ import annotations  # array[int] cannot be evaluated before Python 3.12

from array import array
from bisect import bisect_left, bisect_right, insort
from collections.abc import Mapping, Sequence

from liqtape.engine.levels.streamlevel import StreamLevel
from liqtape.engine.windows.eventcolumn import MINUTE_MS, NEVER_MS, RETAIN_MS, EventColumn
from liqtape.events import Side

__all__ = ["ThrottledVenueWindows", "VenueWindows"]

_SLOTS_KEPT = 2 * RETAIN_MS // 1000
_MOST_PENDING = 256


class VenueWindows:
    """All sides of one (instrument, venue); `unsided` takes what a wrapped stream did not name a side of."""

    __slots__ = (
        "columns",
        "long",
        "minute_change_ms",
        "minute_count",
        "minute_micro",
        "now_ms",
        "short",
        "stream",
        "unsided",
    )

    def __init__(self) -> None:
        # As `VenueMinute` has them in its sum, and when they change by time alone.
        self.minute_micro = self.minute_count = 0
        self.minute_change_ms: int | None = None
        self.stream: StreamLevel | None = None  # of the instrument at this venue, from its first look on
        self.long = EventColumn()
        self.short = EventColumn()
        self.unsided = EventColumn()
        self.now_ms = 0  # where the windows stand
        self.columns = (self.long, self.short, self.unsided)

    def add(self, side: Side | None, event_ms: int, micro: int, horizon_ms: int) -> None:
        """Add an event; what is not newer than `horizon_ms` may be forgotten."""
        column = self.long if side == "long" else self.short if side == "short" else self.unsided
        column.add(event_ms, micro)
        if len(column.settled_times) >= column.trim_at:
            column.trim(horizon_ms)

    def advance(self, now_ms: int, horizon_ms: int) -> None:
        """Move the windows to `now_ms`, and give back memory when most of a column has left them."""
        self.now_ms = now_ms
        for column in self.columns:
            if column.settled_times:
                column.advance(now_ms)
                if column.is_mostly_dead():
                    column.trim(horizon_ms)

    def take_out(self, side: Side | None, event_ms: int, micro: int) -> bool:
        """Remove one such event, which was put in a wrong place; return whether there was one."""
        column = self.long if side == "long" else self.short if side == "short" else self.unsided
        return column.take_out(event_ms, micro)

    def replace(
        self, side: Side | None, gone: Mapping[tuple[int, int], int], come: Sequence[tuple[int, int]]
    ) -> list[int]:
        """Take out many (time, micro-USD) of a side, and put others in; return the times of what was there."""
        column = self.long if side == "long" else self.short if side == "short" else self.unsided
        return column.replace(gone, come)

    def move(self, by_ms: int) -> None:
        """Give every event, and the windows, a time that is later by so much."""
        self.now_ms += by_ms
        for column in self.columns:
            column.move(by_ms)

    def minute(self, now_ms: int) -> tuple[int, int]:
        """Return (micro-USD, events) of the 60 s that end at `now_ms`, without moving the windows."""
        micro = count = 0
        for column in self.columns:
            if column.settled_times:
                of_column = column.minute(now_ms)
                micro += of_column[0]
                count += of_column[1]
        return micro, count

    def minute_and_change(self, now_ms: int) -> tuple[int, int, int | None]:
        """Return the same, and the next moment at which it changes by time alone (None: never)."""
        micro = count = 0
        change_ms: int | None = None
        limit = now_ms - MINUTE_MS
        for column in self.columns:
            times = column.settled_times
            if not times:
                continue
            first, size = column.minute_at, len(times)
            # `column.minute` where nothing left or came back, which is nearly always: 150 ns less, three times an
            # event.
            if first == size or times[first] <= limit or (first and times[first - 1] > limit):
                column.minute(now_ms)
                first = column.minute_at
            end = size if times[-1] <= now_ms else bisect_right(times, now_ms, first)
            sums = column.settled_sums
            micro += sums[end] - sums[first]
            count += end - first
            next_ms = times[first] + MINUTE_MS if first < end else None
            if end < size and (next_ms is None or times[end] < next_ms):
                next_ms = times[end]
            if next_ms is not None and (change_ms is None or next_ms < change_ms):
                change_ms = next_ms
            if column.pending:  # to settle it after each frame would cost what it saves
                of_pending, in_pending, pending_ms = column.pending_minute(now_ms)
                micro += of_pending
                count += in_pending
                if pending_ms < NEVER_MS and (change_ms is None or pending_ms < change_ms):
                    change_ms = pending_ms
        return micro, count, change_ms


class ThrottledVenueWindows(VenueWindows):
    """The windows at a throttled venue, which prints at most one liquidation per symbol and clock second.

    Keeps the distinct seconds that saw a print, so that the number of taken slots of a window is a difference too.
    """

    __slots__ = ("pending", "seconds")

    def __init__(self) -> None:
        super().__init__()
        self.seconds: array[int] = array("q")
        self.pending: array[int] = array("q")

    def add(self, side: Side | None, event_ms: int, micro: int, horizon_ms: int) -> None:
        # As in `VenueWindows`; to call that takes 150 ns more, for every event.
        column = self.long if side == "long" else self.short if side == "short" else self.unsided
        column.add(event_ms, micro)
        if len(column.settled_times) >= column.trim_at:
            column.trim(horizon_ms)
        self.pending.append(event_ms)
        if len(self.pending) >= _MOST_PENDING:
            self._note_seconds(horizon_ms)

    def _note_seconds(self, horizon_ms: int) -> None:
        """Note the seconds of the events added since: many at once, for a fifth of what it costs one by one."""
        for second in sorted({event_ms // 1000 for event_ms in self.pending}):
            seconds = self.seconds
            if not seconds or second > seconds[-1]:
                seconds.append(second)
            elif seconds[bisect_left(seconds, second)] != second:
                insort(seconds, second)
        del self.pending[:]
        if len(self.seconds) > _SLOTS_KEPT:
            self.seconds = self.seconds[bisect_left(self.seconds, horizon_ms // 1000) :]

    def take_out(self, side: Side | None, event_ms: int, micro: int) -> bool:
        is_out = super().take_out(side, event_ms, micro)
        if is_out:
            self._recount()
        return is_out

    def replace(
        self, side: Side | None, gone: Mapping[tuple[int, int], int], come: Sequence[tuple[int, int]]
    ) -> list[int]:
        taken = super().replace(side, gone, come)
        self._recount()
        return taken

    def move(self, by_ms: int) -> None:
        super().move(by_ms)
        self._recount()

    def _recount(self) -> None:
        """Note the seconds anew, from the events that are kept."""
        del self.pending[:]
        self.seconds = array("q", sorted({event_ms // 1000 for column in self.columns for event_ms in column.times}))

    def advance(self, now_ms: int, horizon_ms: int) -> None:
        super().advance(now_ms, horizon_ms)
        if self.pending:
            self._note_seconds(horizon_ms)

    def taken(self, k: int, width_ms: int, now_ms: int) -> int:
        """Return the clock seconds with a print in (now - width, now], after `advance`; k is the window's cursor.

        Seconds wholly inside are counted from the list; the two the window cuts through count when an event of theirs
        lies inside.
        """
        first, last = (now_ms - width_ms) // 1000, now_ms // 1000
        inner = bisect_left(self.seconds, last) - bisect_right(self.seconds, first)
        cut_old = cut_new = False
        for column in self.columns:
            if (ends := column.first_and_last_ms(k)) is not None:
                cut_old |= ends[0] // 1000 == first
                cut_new |= ends[1] // 1000 == last
        return inner + cut_old + cut_new
