"""All venue windows of one instrument, and what its final events add to the baselines."""

from bisect import bisect_left
from collections.abc import Iterable, Mapping

from liqtape.engine.baseline.binstatistics import SLOT_MS, BinStatistics
from liqtape.engine.baseline.currentbaseline import Counts, CurrentBaseline
from liqtape.engine.levels.streamlevel import StreamLevel
from liqtape.engine.windows.venuewindows import VenueWindows

__all__ = ["InstrumentWindows", "Slots", "merged"]


Slots = dict[int, int]
"""Events by slot number."""


class InstrumentWindows:
    """One instrument. Venue windows are summed when asked for; `is_idle` while every event was handed to the
    baselines.
    """

    __slots__ = (
        "advanced_ms",
        "baseline",
        "evaluated_at",
        "evaluated_ms",
        "has_news",
        "is_idle",
        "late",
        "statistics",
        "stream",
        "venue_windows",
        "venues",
    )

    def __init__(self, venues: set[str]) -> None:
        self.venue_windows: dict[str, VenueWindows] = {}
        self.venues = venues
        self.advanced_ms = -1  # where the cursors of the venue windows stand
        self.evaluated_ms = -1  # the latest that was asked for
        self.evaluated_at: dict[str, int] | None = None  # the same by venue, where venues had times of their own
        self.late: dict[str, int] = {}
        self.is_idle = True
        self.stream: StreamLevel | None = None  # over its venues, from its first look on
        self.has_news = False  # whether an event came that was not looked at
        self.baseline = CurrentBaseline(BinStatistics())
        self.statistics: dict[str, BinStatistics] = {}  # by venue

    @property
    def newest_ms(self) -> int:
        """Where the newest event stands that is kept; 0 where none is."""
        columns = (column for venue_windows in self.venue_windows.values() for column in venue_windows.columns)
        return max((column.times[-1] for column in columns if column.times), default=0)

    @property
    def late_total(self) -> int:
        """Events that came after an evaluation they belonged to."""
        return sum(self.late.values())

    def advance(self, now_ms: int, horizon_ms: int, at: Mapping[str, int] | None = None) -> None:
        """Move all windows to `now_ms`, those of the venues in `at` to their own time; what is not newer than
        `horizon_ms` may be forgotten.
        """
        self.advanced_ms = now_ms
        if at is None:
            for venue_windows in self.venue_windows.values():
                venue_windows.advance(now_ms, horizon_ms)
            return
        for venue, venue_windows in self.venue_windows.items():
            venue_ms = at.get(venue, now_ms)
            venue_windows.advance(venue_ms, horizon_ms)
            self.advanced_ms = max(self.advanced_ms, venue_ms)

    def evaluated(self, now_ms: int, at: Mapping[str, int] | None) -> None:
        """Note an evaluation: what comes later and belonged to it is late."""
        known = self.evaluated_at
        if at is not None:
            if known is None:
                known = self.evaluated_at = dict.fromkeys(at, self.evaluated_ms)
            for venue, venue_ms in at.items():
                if venue_ms > known.get(venue, -1):
                    known[venue] = venue_ms
                    self.evaluated_ms = max(self.evaluated_ms, venue_ms)
        elif known is not None:
            self.evaluated_at = {venue: max(venue_ms, now_ms) for venue, venue_ms in known.items()}
        self.evaluated_ms = max(self.evaluated_ms, now_ms)

    def is_late(self, venue: str, event_ms: int) -> bool:
        """Return whether the venue's events of that time were evaluated already."""
        if event_ms > self.evaluated_ms:
            return False
        return self.evaluated_at is None or event_ms <= self.evaluated_at.get(venue, self.evaluated_ms)

    def window_counts(self, now_ms: int, at: Mapping[str, int] | None = None) -> tuple[Counts, int]:
        """Return the liquidations in the last 10, 60 and 300 s, and the micro-USD of 60 s, without moving a window.

        O(log n).
        """
        common_ms, of_10s, of_60s, of_300s, micro = now_ms, 0, 0, 0, 0
        for venue, venue_windows in self.venue_windows.items():
            if at is not None:
                now_ms = at.get(venue, common_ms)
            is_behind = now_ms >= venue_windows.now_ms
            for column in venue_windows.columns:
                if column.settled_times:
                    found = column.counts_at(now_ms, is_behind=is_behind)
                    of_10s += found[0]
                    of_60s += found[1]
                    of_300s += found[2]
                    micro += found[3]
        return (of_10s, of_60s, of_300s), micro

    def move(self, by_ms: int, by_venue: Mapping[str, int]) -> None:
        """Give all evaluations so far a time that is later by so much, and the events of each venue by its own."""
        self.advanced_ms += by_ms
        self.evaluated_ms += by_ms
        self.evaluated_at = (
            None if self.evaluated_at is None else {v: ms + by_ms for v, ms in self.evaluated_at.items()}
        )
        self.baseline.generation = -1
        for statistics in (self.baseline.statistics, *self.statistics.values()):
            statistics.move(by_ms)
        for venue, by_venue_ms in by_venue.items():
            if (venue_windows := self.venue_windows.get(venue)) is not None:
                venue_windows.move(by_venue_ms)

    def slots(self, from_ms: int, until_ms: int) -> dict[str, Slots]:
        """Return the events by venue and slot in [from, until), which are multiples of a slot."""
        return {
            venue: found
            for venue, venue_windows in self.venue_windows.items()
            if (found := _slots(venue_windows, from_ms, until_ms))
        }

    def counts(self, from_ms: int, until_ms: int) -> dict[str, int]:
        """Return the events with from <= time < until, of the venues that have any."""
        found: dict[str, int] = {}
        for venue, venue_windows in self.venue_windows.items():
            for column in venue_windows.columns:
                times = column.times
                if times and times[-1] >= from_ms and times[0] < until_ms:
                    count = bisect_left(times, until_ms) - bisect_left(times, from_ms)
                    if count:
                        found[venue] = found.get(venue, 0) + count
        return found

    def has_since(self, from_ms: int) -> bool:
        """Return whether there is an event at `from_ms` or later."""
        return any(
            column.times and column.times[-1] >= from_ms
            for venue_windows in self.venue_windows.values()
            for column in venue_windows.columns
        )


def _slots(venue_windows: VenueWindows, from_ms: int, until_ms: int) -> Slots:
    found: Slots = {}
    for column in venue_windows.columns:
        times = column.times
        if not times or times[0] >= until_ms or times[-1] < from_ms:
            continue
        at, end = bisect_left(times, from_ms), bisect_left(times, until_ms)
        while at < end:
            slot = times[at] // SLOT_MS
            after = bisect_left(times, (slot + 1) * SLOT_MS, at, end)
            found[slot] = found.get(slot, 0) + after - at
            at = after
    return found


def merged(parts: Iterable[Slots]) -> list[tuple[int, int]]:
    """Return (slot, events) of all parts, in order of time."""
    total: Slots = {}
    for part in parts:
        for slot, count in part.items():
            total[slot] = total.get(slot, 0) + count
    return sorted(total.items())
