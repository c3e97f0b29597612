"""USD and liquidations of the last 60 s of a whole venue, without keeping an event twice.

Naive: sum the windows of all its instruments after each event of any; or keep the venue's events once more, which
doubles the memory of a burst. Here each venue's windows tell their own minute and when that changes by time alone; a
heap has the windows whose minute changes first, so that only what changes is asked again.

    heap   (change at 12:00:41.120, BTCUSDT) (.. :43.007, ETHUSDT) (.. :58.300, SOLUSDT)
             |  time gets there: ask BTCUSDT again, add the difference to the venue's sum, put its next change back
"""

from collections.abc import Collection
from heapq import heapify, heappop, heappush

from liqtape.engine.levels.streamlevel import StreamLevel
from liqtape.engine.windows.venuewindows import VenueWindows

__all__ = ["VenueMinute"]

_NEVER_MS = 1 << 63


class VenueMinute:
    """The exact sum, in micro-USD, of what the venue windows of one venue have in (t - 60 s, t]; `update` those with
    news.

    `all_venue_windows` are all of them, with the series they belong to: they are asked again when time goes back.
    """

    __slots__ = ("_changes", "_count", "_micro", "_now_ms", "_pushed", "_rings", "stream")

    def __init__(self, all_venue_windows: Collection[tuple[object, VenueWindows]]) -> None:
        self.stream: StreamLevel | None = None  # of the venue, from its first look on
        self._rings = all_venue_windows
        self._micro = 0
        self._count = 0
        self._now_ms = -1
        self._changes: list[tuple[int, int, VenueWindows]] = []
        self._pushed = 0  # breaks ties, so that the heap never compares venue windows

    def update(self, venue_windows: VenueWindows, now_ms: int) -> tuple[int, int]:
        """Ask windows again, as after an event; returns their micro-USD and liquidations of 60 s."""
        micro, count, change_ms = venue_windows.minute_and_change(now_ms)
        self._micro += micro - venue_windows.minute_micro
        self._count += count - venue_windows.minute_count
        venue_windows.minute_micro, venue_windows.minute_count = micro, count
        if change_ms != venue_windows.minute_change_ms:
            venue_windows.minute_change_ms = change_ms
            if change_ms is not None:
                self._pushed += 1
                heappush(self._changes, (change_ms, self._pushed, venue_windows))
        return micro, count

    def drop(self, gone: Collection[VenueWindows]) -> None:
        """Leave out these windows, which exist no more."""
        for venue_windows in gone:
            self._micro -= venue_windows.minute_micro
            self._count -= venue_windows.minute_count
            venue_windows.minute_change_ms = None
        self._changes = [change for change in self._changes if change[2].minute_change_ms == change[0]]
        heapify(self._changes)

    def forget(self) -> None:
        """Ask all venue windows again: events were moved, or taken out."""
        self._now_ms = _NEVER_MS

    def at(self, now_ms: int) -> tuple[int, int]:
        """Return (micro-USD, liquidations) of (now - 60 s, now]."""
        changes = self._changes
        if now_ms < self._now_ms:  # what had left may be inside again
            for _, venue_windows in self._rings:
                self.update(venue_windows, now_ms)
        self._now_ms = now_ms
        while changes and changes[0][0] <= now_ms:
            change_ms, _, venue_windows = heappop(changes)
            if change_ms == venue_windows.minute_change_ms:  # else it is asked at another time
                venue_windows.minute_change_ms = None
                self.update(venue_windows, now_ms)
        return self._micro, self._count
