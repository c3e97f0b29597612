"""The gaps of all venues: intervals in which something may have been missed, told to the windows and to who asks."""

from collections import deque
from collections.abc import Callable, Collection, Iterable, Mapping

from msgspec.structs import replace

from liqtape.engine.eventtime import EventClock
from liqtape.engine.velocity import VelocityEngine
from liqtape.events import NO_LIST, Gap

__all__ = ["STARTING", "Outages"]

STARTING = "not live yet"
"""The reason of a gap between a start and the first data."""

_KEPT = 10_000


class Outages:
    """Turns what the feeds tell in our time into gaps in the venues' time; the newest 10,000 are kept.

    `holds_ms` is how long each venue may hold a liquidation back: a gap begins so much before the feed was lost, for
    what was on its way is lost as well, and bears an older stamp. `taps` get each gap when it begins (`until_ms` None),
    when it ends, and when it was filled: venue and `from_ms` are the same each time.
    """

    def __init__(
        self,
        engine: VelocityEngine,
        clock: EventClock,
        holds_ms: Mapping[str, int],
        taps: Iterable[Callable[[Gap], None]] = (),
    ) -> None:
        self.taps = list(taps)
        self.total = 0
        self._engine = engine
        self._clock = clock
        self._holds_ms = holds_ms
        self._live_ms: dict[str, int] = {}  # since when what each venue sent is known
        self._open: dict[str, Gap] = {}
        self._unlisted: dict[str, Gap] = {}
        self._past: deque[Gap] = deque(maxlen=_KEPT)

    def gaps(self) -> list[Gap]:
        """The known gaps, those that last still at the end."""
        return [*self._past, *self._open.values(), *self._unlisted.values()]

    def is_open(self, venue: str) -> bool:
        """Whether the venue has a gap that lasts."""
        return venue in self._open

    def begin(self, gap: Gap) -> None:
        """A gap that began before the feed was ever live."""
        if gap.venue not in self._open:
            self._open[gap.venue] = gap
            self.total += 1
            self._tell(gap)

    def down(self, venue: str, wall_ms: int, reason: str) -> int:
        """The venue's feed was last seen live at that moment; where the gap begins."""
        at_ms = self._beginning(venue, wall_ms)
        self._engine.feed_down(venue, at_ms)
        self.begin(Gap(venue, at_ms, None, reason))
        return at_ms

    def up(self, venue: str, wall_ms: int) -> Gap | None:
        """The venue's feed is live since that moment; the gap that ended, if there was one."""
        at_ms = self._clock.at_ms(wall_ms)
        self._engine.feed_up(venue, at_ms)
        self._live_ms[venue] = at_ms
        gap = self._open.pop(venue, None)
        return None if gap is None else self._end(replace(gap, until_ms=max(gap.from_ms, at_ms)))

    def missed(self, venue: str, from_ms: int, until_ms: int, reason: str) -> Gap:
        """It turned out, in wall ms, that the feed had not been live in between."""
        gap = Gap(venue, self._beginning(venue, from_ms), self._clock.at_ms(until_ms), reason)
        self._engine.feed_missed(venue, gap.from_ms, gap.until_ms or gap.from_ms)
        self.total += 1
        return self._end(gap)

    def unseen(self, venue: str, wall_ms: int, instruments: Collection[str], *, is_listed: bool) -> None:
        """Since that moment the venue's feed brings all but these instruments; unless `is_listed` others may exist.

        No outage of the others, and their windows stay whole; the gap says when the rest was not seen.
        """
        at_ms = self._clock.at_ms(wall_ms)
        self._engine.feed_unseen(venue, instruments, at_ms, is_listed=is_listed)
        gap = self._unlisted.get(venue)
        if not is_listed and gap is None:
            # Gaps are told apart by their beginning, and an outage may begin with the life of the feed.
            self._unlisted[venue] = gap = Gap(venue, at_ms + 1, None, NO_LIST)
            self.total += 1
            self._tell(gap)
        elif is_listed and gap is not None:
            del self._unlisted[venue]
            self._end(replace(gap, until_ms=max(gap.from_ms, at_ms)))

    def filled(self, gap: Gap) -> None:
        """Everything of an ended gap was got afterwards."""
        if gap.until_ms is None:
            return
        self._engine.feed_mended(gap.venue, gap.from_ms, gap.until_ms)
        filled = replace(gap, filled=True)
        for place, past in enumerate(self._past):
            if past == gap:
                self._past[place] = filled
                break
        self._tell(filled)

    def _beginning(self, venue: str, wall_ms: int) -> int:
        at_ms = self._clock.at_ms(wall_ms)
        return min(at_ms, max(at_ms - self._holds_ms.get(venue, 0), self._live_ms.get(venue, at_ms)))

    def _end(self, gap: Gap) -> Gap:
        self._past.append(gap)
        self._tell(gap)
        return gap

    def _tell(self, gap: Gap) -> None:
        for tap in tuple(self.taps):
            tap(gap)
