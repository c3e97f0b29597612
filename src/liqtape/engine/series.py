"""All rings of one instrument, and what its settled events taught."""

from bisect import bisect_left, bisect_right
from collections.abc import Iterable

from liqtape.engine.lane import OFFSETS_MS
from liqtape.engine.levels.streamlevel import StreamLevel
from liqtape.engine.past import SLOT_MS, Past
from liqtape.engine.ring import Ring
from liqtape.engine.scope import Counts, Scope

__all__ = ["Series", "Slots", "merged"]

_BEGINNING = [0] * len(OFFSETS_MS)

Slots = dict[int, int]
"""Events by slot number."""


class Series:
    """One instrument. Rings are summed when asked for; `is_idle` while every event was handed to the baselines."""

    __slots__ = (
        "advanced_ms",
        "evaluated_ms",
        "has_news",
        "is_idle",
        "late",
        "pasts",
        "rings",
        "scope",
        "stream",
        "venues",
    )

    def __init__(self, venues: set[str]) -> None:
        self.rings: dict[str, Ring] = {}
        self.venues = venues
        self.advanced_ms = -1  # where the cursors of the rings stand
        self.evaluated_ms = -1  # the latest that was asked for
        self.late: dict[str, int] = {}
        self.is_idle = True
        self.stream: StreamLevel | None = None  # over its venues, from its first look on
        self.has_news = False  # whether an event came that was not looked at
        self.scope = Scope(Past())
        self.pasts: dict[str, Past] = {}  # by venue

    @property
    def late_total(self) -> int:
        """Events that came after an evaluation they belonged to."""
        return sum(self.late.values())

    def advance(self, now_ms: int, horizon_ms: int) -> None:
        """Move all windows to `now_ms`; what is not newer than `horizon_ms` may be forgotten."""
        self.advanced_ms = now_ms
        for ring in self.rings.values():
            ring.advance(now_ms, horizon_ms)

    def judged(self, now_ms: int) -> tuple[Counts, int]:
        """Liquidations in the last 10, 60 and 300 s, and the micro-USD of 60 s, without moving a window: O(log n)."""
        of_10s = of_60s = of_300s = micro = 0
        for ring in self.rings.values():
            for lane in ring.lanes:
                times = lane.times
                if not times or times[-1] <= now_ms - 300_000:
                    continue
                end = len(times) if times[-1] <= now_ms else bisect_right(times, now_ms)
                # A tail only moves forwards, so it is somewhere behind its cursor.
                _, tail_10s, _, tail_60s, tail_300s, _ = lane.at if now_ms >= self.advanced_ms else _BEGINNING
                since = bisect_right(times, now_ms - 60_000, tail_60s)
                of_10s += end - bisect_right(times, now_ms - 10_000, tail_10s)
                of_60s += end - since
                of_300s += end - bisect_right(times, now_ms - 300_000, tail_300s)
                micro += lane.micro_sums[end] - lane.micro_sums[since]
        return (of_10s, of_60s, of_300s), micro

    def slots(self, from_ms: int, until_ms: int) -> dict[str, Slots]:
        """Events by venue and slot in [from, until), which are multiples of a slot."""
        return {venue: found for venue, ring in self.rings.items() if (found := _slots(ring, from_ms, until_ms))}

    def counts(self, from_ms: int, until_ms: int) -> dict[str, int]:
        """Events with from <= time < until, of the venues that have any."""
        found: dict[str, int] = {}
        for venue, ring in self.rings.items():
            for lane in ring.lanes:
                times = lane.times
                if times and times[-1] >= from_ms and times[0] < until_ms:
                    count = bisect_left(times, until_ms) - bisect_left(times, from_ms)
                    if count:
                        found[venue] = found.get(venue, 0) + count
        return found

    def has_since(self, from_ms: int) -> bool:
        """Whether there is an event at `from_ms` or later."""
        return any(lane.times and lane.times[-1] >= from_ms for ring in self.rings.values() for lane in ring.lanes)


def _slots(ring: Ring, from_ms: int, until_ms: int) -> Slots:
    found: Slots = {}
    for lane in ring.lanes:
        times = lane.times
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
    """(slot, events) of all parts, in order of time."""
    total: Slots = {}
    for part in parts:
        for slot, count in part.items():
            total[slot] = total.get(slot, 0) + count
    return sorted(total.items())
