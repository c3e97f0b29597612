"""What a running tracker tells its log beside events: prices, feeds, states, and that it lives."""

from collections.abc import Iterable, Mapping

from liqtape.engine.levels.episodes import StreamState
from liqtape.engine.levels.returnperiods import StreamKey
from liqtape.events import PriceTick, VenueHealth
from liqtape.history.log.eventlog import EventLog
from liqtape.history.log.journal import (
    AliveEntry,
    FeedDownEntry,
    FeedMissedEntry,
    FeedUpEntry,
    KnownUntilEntry,
    StateEntry,
)
from liqtape.history.log.levelstates import LevelStateWriter
from liqtape.history.log.pricebars import PriceBars

__all__ = ["LogFeed"]


class LogFeed:
    """Turns what happens into records of the log; times are those of the venues."""

    def __init__(self, log: EventLog, level_states: LevelStateWriter) -> None:
        self._log = log
        self._level_states = level_states
        self._bars = PriceBars()
        self._states: dict[str, str] = {}

    def price(self, tick: PriceTick) -> None:
        """Take a trade of the reference price."""
        bar = self._bars.add(tick)
        if bar is not None:
            self._log.note(bar)

    def feed_up(self, venue: str, at_ms: int) -> None:
        """Note that a venue's feed is live."""
        self._log.note(FeedUpEntry(venue, at_ms))

    def feed_down(self, venue: str, at_ms: int) -> None:
        """Note when a venue's feed was last seen live."""
        self._log.note(FeedDownEntry(venue, at_ms))

    def feed_missed(self, venue: str, from_ms: int, until_ms: int) -> None:
        """Note that a venue's feed turned out not to have been live in between."""
        self._log.note(FeedMissedEntry(venue, from_ms, until_ms))

    def known_until(self, venue: str, at_ms: int) -> None:
        """Note where a gap of the venue begins if nothing more is written; before the pulse that ends it."""
        self._log.note(KnownUntilEntry(venue, at_ms))

    def levels(self, states: Mapping[StreamKey, StreamState], at_ms: int) -> None:
        """Keep these states of the levels' streams."""
        record = self._level_states.record(states, at_ms)
        if record is not None:
            self._log.note(record)

    def pulse(self, at_ms: int, health: Iterable[VenueHealth]) -> None:
        """Write once a second, and last of all, what has changed, and that all events until now were offered."""
        for venue in health:
            if self._states.get(venue.venue) != venue.state:
                self._states[venue.venue] = venue.state
                self._log.note(StateEntry(at_ms, venue.venue, venue.state, venue.detail))
        self._log.note(AliveEntry(at_ms))

    def end(self, at_ms: int, health: Iterable[VenueHealth]) -> None:
        """Write the last pulse, with the bar that was being made."""
        bar = self._bars.end()
        if bar is not None:
            self._log.note(bar)
        self.pulse(at_ms, health)
