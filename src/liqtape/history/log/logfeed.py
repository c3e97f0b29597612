"""What a running service tells its log: events, gaps, prices, feeds, states, and that it lives."""

from collections.abc import Iterable, Mapping, Sequence

from msgspec import json

from liqtape.cascades.cascade import Cascade
from liqtape.engine.levels.episodes import StreamState
from liqtape.engine.levels.returnperiods import ReturnPeriods, StreamKey
from liqtape.events import Gap, Liquidation, PriceTick, VenueHealth
from liqtape.history.log.eventlog import EventLog
from liqtape.history.log.journal import (
    AliveEntry,
    CascadeEntry,
    CascadesSinceEntry,
    FeedDownEntry,
    FeedMissedEntry,
    FeedUpEntry,
    KnownUntilEntry,
    StateEntry,
)
from liqtape.history.log.levelstates import LevelStateWriter, Parts
from liqtape.history.log.pricebars import PriceBars
from liqtape.pipeline.listener import Listener, Pulse

__all__ = ["LogFeed"]


class LogFeed(Listener):
    """Turns what it hears into events and journal entries of the log; times are those of the venues."""

    def __init__(self, log: EventLog, levels: ReturnPeriods | None, target: Parts) -> None:
        self._log = log
        self._offer = log.offer
        self._levels = levels
        self._level_states = LevelStateWriter(levels, target)
        self._bars = PriceBars()
        self._states: dict[str, str] = {}
        self._has_begun = False

    def accepted(self, events: Sequence[Liquidation], *, is_news: bool) -> None:  # noqa: ARG002 - repeats count, too
        """Log events."""
        self._offer(events)

    def gap(self, gap: Gap) -> None:
        """Log a gap as it is known now."""
        self._log.gap(gap, backfilled=gap.backfilled)

    def cascade(self, cascade: Cascade) -> None:
        """Log a cascade as it is known now."""
        record = json.encode(cascade).decode()
        self._log.note(CascadeEntry(cascade.id, cascade.begin_ms, cascade.last_ms, cascade.end_ms, record))

    def price(self, tick: PriceTick) -> None:
        """Take a trade of the reference price."""
        bar = self._bars.add(tick)
        if bar is not None:
            self._log.note(bar)

    def covered(self, venue: str, at_ms: int) -> None:
        """Log that a venue's feed is live."""
        self._log.note(FeedUpEntry(venue, at_ms))

    def uncovered(self, venue: str, at_ms: int) -> None:
        """Log when a venue's feed was last seen live."""
        self._log.note(FeedDownEntry(venue, at_ms))

    def missed(self, venue: str, from_ms: int, until_ms: int) -> None:
        """Log that a venue's feed turned out not to have been live in between."""
        self._log.note(FeedMissedEntry(venue, from_ms, until_ms))

    def pulse(self, pulse: Pulse) -> None:
        """Write once a second, and last of all, what has changed, and that all events until now were offered."""
        if not self._has_begun:
            self._has_begun = True
            self._log.note(CascadesSinceEntry(pulse.now_ms))
        for venue, at_ms in pulse.known_until_ms.items():
            self._log.note(KnownUntilEntry(venue, at_ms))
        if self._levels is not None:
            self._keep(self._levels.take_states(pulse.now_ms), pulse.now_ms)
        self._live(pulse.alive_ms, pulse.health)

    def begin(self, now_ms: int) -> None:
        """Log what levels begin with, so that nothing is learned twice, however this run ends."""
        if self._levels is not None:
            self._keep(self._levels.states(now_ms), now_ms)

    def end(self, now_ms: int, health: Iterable[VenueHealth]) -> None:
        """Write the last pulse, with the bar that was being made."""
        if self._levels is not None:
            self._keep(self._levels.end(now_ms), now_ms)
        bar = self._bars.end()
        if bar is not None:
            self._log.note(bar)
        self._live(now_ms, health)

    def _keep(self, states: Mapping[StreamKey, StreamState], at_ms: int) -> None:
        record = self._level_states.record(states, at_ms)
        if record is not None:
            self._log.note(record)

    def _live(self, at_ms: int, health: Iterable[VenueHealth]) -> None:
        for venue in health:
            if self._states.get(venue.venue) != venue.state:
                self._states[venue.venue] = venue.state
                self._log.note(StateEntry(at_ms, venue.venue, venue.state, venue.detail))
        self._log.note(AliveEntry(at_ms))
