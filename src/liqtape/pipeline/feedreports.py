"""What the feeds say of themselves: since when they are live, what they missed, what they are refused."""

from collections.abc import Mapping, Sequence

from liqtape.engine.velocity import VelocityEngine
from liqtape.events import Gap
from liqtape.pipeline.admission import Intake
from liqtape.pipeline.gaps import Outages
from liqtape.pipeline.listener import Listeners

__all__ = ["FeedReports"]


class FeedReports:
    """Turns reports into gaps and coverage, and tells the listeners of both.

    Moments are those of the venue's clock; `our_ms` is when the report came, by our own time.
    """

    def __init__(
        self, engine: VelocityEngine, intake: Intake, listeners: Listeners, max_publish_delay_ms: Mapping[str, int]
    ) -> None:
        self._intake = intake
        self._clock = intake.clock
        self._listeners = listeners
        self.outages = Outages(engine, max_publish_delay_ms, self._tell_gap, intake.clock)

    def begin(self, gap: Gap) -> None:
        """Note a gap that began before the venue was ever live."""
        self.outages.begin(gap)

    def up(self, venue: str, at_ms: int, our_ms: int) -> Gap | None:
        """Note that a venue is live since `at_ms`; return the gap that ended."""
        self._clock.advance(our_ms)
        gap = self.outages.up(venue, at_ms)
        for listener in self._listeners:
            listener.feed_up(venue, at_ms, our_ms)
            listener.covered(venue, at_ms)
        return gap

    def down(self, venue: str, known_until_ms: int, reason: str, our_ms: int) -> None:
        """Note that what a venue sent is known up to `known_until_ms`."""
        self._clock.advance(our_ms)
        from_ms = self.outages.down(venue, known_until_ms, reason)
        for listener in self._listeners:
            listener.feed_down(venue, known_until_ms, reason, our_ms)
            listener.uncovered(venue, from_ms)

    def missed(self, venue: str, from_ms: int, until_ms: int, reason: str, our_ms: int) -> Sequence[Gap]:
        """Note that a venue turned out not to have been live in between; return the gaps that makes."""
        self._clock.advance(our_ms)
        found = self.outages.missed(venue, from_ms, until_ms, reason)
        begin_ms = self.outages.beginning(venue, from_ms)
        for listener in self._listeners:
            listener.feed_missed(venue, from_ms, until_ms, reason, our_ms)
            listener.missed(venue, begin_ms, until_ms)
        return found

    def refused(self, venue: str, at_ms: int, reason: str, our_ms: int) -> None:
        """Note that a living feed lacks what is refused since `at_ms`, for that reason; an empty one: no more.

        Coverage is known by venue only: as long as that lasts, there is none.
        """
        self._clock.advance(our_ms)
        self.outages.refused(venue, at_ms, reason)
        is_open = self.outages.is_open(venue)
        for listener in self._listeners:
            listener.feed_refused(venue, at_ms, reason, our_ms)
            if is_open:
                listener.uncovered(venue, at_ms)
            else:
                listener.covered(venue, at_ms)

    def unsubscribed(self, venue: str, at_ms: int, instruments: Sequence[str], *, is_listed: bool, our_ms: int) -> None:
        """Note that a venue's connections bring all it lists but these; unless `is_listed` there may be more."""
        self._clock.advance(our_ms)
        self.outages.unsubscribed(venue, at_ms, instruments, is_listed=is_listed)
        for listener in self._listeners:
            listener.feed_unsubscribed(venue, at_ms, instruments, is_listed=is_listed, our_ms=our_ms)

    def backfilled(self, gap: Gap, our_ms: int) -> None:
        """Note that all of a gap was got afterwards."""
        self._clock.advance(our_ms)
        self.outages.backfilled(gap)
        for listener in self._listeners:
            listener.gap_backfilled(gap, our_ms)

    def gaps_ahead(self, known_until_ms: Mapping[str, int]) -> dict[str, int]:
        """Return where each gap would begin after a kill, of venues known so far: what waits here is in no log."""
        waiting = self._intake.waiting_from_ms()
        ahead = {}
        for venue, until_ms in known_until_ms.items():
            at_ms = self.outages.beginning(venue, until_ms)
            ahead[venue] = min(at_ms, waiting.get(venue, at_ms + 1) - 1)
        return ahead

    def _tell_gap(self, gap: Gap) -> None:
        for listener in self._listeners:
            listener.gap(gap)
