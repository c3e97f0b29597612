"""USD and liquidations of the last 60 s of a whole venue, without keeping an event twice.

Naive: sum the windows of all its instruments after each event of any; or keep the venue's events once more, which
doubles the memory of a burst. Here each ring tells its own minute and when that changes by time alone; a heap has the
ring whose minute changes first, so that only what changes is asked again.

    heap   (change at 12:00:41.120, BTCUSDT) (.. :43.007, ETHUSDT) (.. :58.300, SOLUSDT)
             |  time gets there: ask BTCUSDT again, add the difference to the venue's sum, put its next change back
"""

from collections.abc import Collection
from heapq import heappop, heappush

from liqtape.engine.levels.streamlevel import StreamLevel
from liqtape.engine.ring import Ring

__all__ = ["VenueMinute"]

_NEVER_MS = 1 << 63


class VenueMinute:
    """The exact sum, in micro-USD, of what the rings of one venue have in (t - 60 s, t]; `update` those with news.

    `rings` are all of them, with the series they belong to: they are asked again when time goes back.
    """

    __slots__ = ("_changes", "_count", "_micro", "_now_ms", "_pushed", "_rings", "stream")

    def __init__(self, rings: Collection[tuple[object, Ring]]) -> None:
        self.stream: StreamLevel | None = None  # of the venue, from its first look on
        self._rings = rings
        self._micro = 0
        self._count = 0
        self._now_ms = -1
        self._changes: list[tuple[int, int, Ring]] = []
        self._pushed = 0  # breaks ties, so that the heap never compares rings

    def update(self, ring: Ring, now_ms: int) -> tuple[int, int]:
        """Ask a ring again, as after an event; returns its micro-USD and liquidations of 60 s."""
        micro, count, change_ms = ring.minute_and_change(now_ms)
        self._micro += micro - ring.minute_micro
        self._count += count - ring.minute_count
        ring.minute_micro, ring.minute_count = micro, count
        if change_ms != ring.minute_change_ms:
            ring.minute_change_ms = change_ms
            if change_ms is not None:
                self._pushed += 1
                heappush(self._changes, (change_ms, self._pushed, ring))
        return micro, count

    def forget(self) -> None:
        """Events were moved, or taken out: all rings are asked again."""
        self._now_ms = _NEVER_MS

    def at(self, now_ms: int) -> tuple[int, int]:
        """Return (micro-USD, liquidations) of (now - 60 s, now]."""
        changes = self._changes
        if now_ms < self._now_ms:  # what had left may be inside again
            for _, ring in self._rings:
                self.update(ring, now_ms)
        self._now_ms = now_ms
        while changes and changes[0][0] <= now_ms:
            change_ms, _, ring = heappop(changes)
            if change_ms == ring.minute_change_ms:  # else it is asked at another time
                ring.minute_change_ms = None
                self.update(ring, now_ms)
        return self._micro, self._count
