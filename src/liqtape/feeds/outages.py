"""The gaps of all venues: intervals in which something may have been missed, told to the windows and to who asks."""

import math
from collections import deque
from collections.abc import Callable, Collection, Iterable, Mapping

from msgspec.structs import replace

from liqtape.engine.velocity import VelocityEngine
from liqtape.events import NO_LIST, Gap

__all__ = ["STARTING", "Outages"]

STARTING = "not live yet"
"""The reason of a gap between a start and the first data."""

_KEPT = 10_000


class Outages:
    """Turns what the feeds tell into gaps, all in the venues' own time; the newest 10,000 are kept.

    `holds_ms` is how long each venue may hold a liquidation back: a gap begins so much before the feed was lost, for
    what was on its way is lost as well, and bears an older stamp. `taps` get each gap when it begins (`until_ms` None),
    when it ends, and when it was filled: venue and `from_ms` are the same each time. No two gaps of a venue overlap,
    whatever is found when, but those without a list, which are no outages.
    """

    def __init__(
        self,
        engine: VelocityEngine,
        holds_ms: Mapping[str, int],
        taps: Iterable[Callable[[Gap], None]] = (),
    ) -> None:
        self.taps = list(taps)
        self.total = 0
        self._engine = engine
        self._holds_ms = holds_ms
        self._live_ms: dict[str, int] = {}  # since when what each venue sent is known
        self._open: dict[str, Gap] = {}
        self._unlisted: dict[str, Gap] = {}
        self._lacking: dict[str, Gap] = {}  # of venues that live, but for what they refuse
        self._past: deque[Gap] = deque(maxlen=_KEPT)

    def gaps(self) -> list[Gap]:
        """The known gaps, those that last still at the end."""
        return [*self._past, *self._open.values(), *self._lacking.values(), *self._unlisted.values()]

    def is_open(self, venue: str) -> bool:
        """Whether the venue has a gap that lasts."""
        return venue in self._open or venue in self._lacking

    def begin(self, gap: Gap) -> None:
        """A gap that began before the feed was ever live."""
        if gap.venue not in self._open:
            self._open[gap.venue] = gap
            self.total += 1
            self._tell(gap)

    def down(self, venue: str, reached_ms: int, reason: str) -> int:
        """What the venue sent is known up to that moment; where the gap begins."""
        at_ms = self.beginning(venue, reached_ms)
        self._engine.feed_down(venue, at_ms)
        self.refused(venue, at_ms, "")
        if venue not in self._open:
            *ended, (from_ms, _) = self._free(venue, at_ms, None)
            for free_ms, until_ms in ended:
                self.total += 1
                self._end(Gap(venue, free_ms, until_ms, reason))
            self.begin(Gap(venue, from_ms, None, reason))
        return at_ms

    def up(self, venue: str, at_ms: int) -> Gap | None:
        """The venue's feed is live since that moment; the gap that ended, if there was one."""
        self._engine.feed_up(venue, at_ms)
        self._live_ms[venue] = at_ms
        gap = self._open.pop(venue, None)
        return None if gap is None else self._end(replace(gap, until_ms=max(gap.from_ms, at_ms)))

    def missed(self, venue: str, from_ms: int, until_ms: int, reason: str) -> list[Gap]:
        """It turned out that the feed had not been live in between: the gaps there that were not known."""
        at_ms = self.beginning(venue, from_ms)
        self._engine.feed_missed(venue, at_ms, until_ms)
        found = [Gap(venue, *span, reason) for span in self._free(venue, at_ms, until_ms)]
        self.total += len(found)
        return [self._end(gap) for gap in found]

    def refused(self, venue: str, at_ms: int, reason: str) -> None:
        """Since that moment the feed lives but lacks what the venue refuses; an empty reason ends that.

        The windows know of it by `unseen`: those of the instruments that do come stay whole.
        """
        gap = self._lacking.get(venue)
        if gap is not None and gap.reason != reason:
            del self._lacking[venue]
            self._end(replace(gap, until_ms=max(gap.from_ms, at_ms)))
        if reason and venue not in self._lacking and venue not in self._open:
            from_ms, _ = self._free(venue, at_ms, None)[-1]
            self._lacking[venue] = gap = Gap(venue, from_ms, None, reason)
            self.total += 1
            self._tell(gap)

    def unseen(self, venue: str, at_ms: int, instruments: Collection[str], *, is_listed: bool) -> None:
        """Since that moment the venue's feed brings all but these instruments; unless `is_listed` others may exist.

        No outage of the others, and their windows stay whole; the gap says when the rest was not seen.
        """
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

    def beginning(self, venue: str, reached_ms: int) -> int:
        """Where a gap begins when what the venue sent is known up to there."""
        at_ms = reached_ms - self._holds_ms.get(venue, 0)
        return min(reached_ms, max(at_ms, self._live_ms.get(venue, reached_ms)))

    def _free(self, venue: str, from_ms: int, until_ms: int | None) -> list[tuple[int, int | None]]:
        """What of that span no known gap has, oldest first; without an end, the last one is what lasts."""
        end_ms: float = math.inf if until_ms is None else until_ms
        known = (gap for gap in self.gaps() if gap.venue == venue and gap.reason != NO_LIST)
        taken = sorted((gap.from_ms, math.inf if gap.until_ms is None else gap.until_ms) for gap in known)
        free: list[tuple[int, int | None]] = []
        at: float = from_ms
        for begin_ms, over in taken:
            if at < min(begin_ms, end_ms):
                free.append((int(at), min(begin_ms, until_ms or begin_ms)))
            at = max(at, over)
            if begin_ms == over == at and until_ms is None:  # an empty gap there: they are told apart by beginning
                at += 1
        if at < end_ms:
            free.append((int(at), until_ms))
        return free

    def _end(self, gap: Gap) -> Gap:
        self._past.append(gap)
        self._tell(gap)
        return gap

    def _tell(self, gap: Gap) -> None:
        for tap in tuple(self.taps):
            tap(gap)
