"""A recording played to any moment: what a replay on the page shows of it."""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from liqtape.cascades.cascade import Cascade
from liqtape.engine.correlation.comovement import CorrelatedPair
from liqtape.events import Alert, Gap, Liquidation, VelocityMetrics, VenueHealth
from liqtape.ledger import Ledger
from liqtape.recording.playback import Playback

__all__ = ["RecordedRun"]


class RecordedRun:
    """The recorded run up to `now_ms` of our time then. It goes forward only: to go back, begin another."""

    def __init__(self, path: Path) -> None:
        self._playback = Playback(path)
        self._pipeline = self._playback.open()
        self.now_ms = self._playback.began_ms

    @property
    def as_of_ms(self) -> int:
        """The evaluation time of the recorded run at that moment."""
        return self._pipeline.clock.t_ms(self.now_ms)

    def advance(self, until_ms: int) -> None:
        """Play up to a moment."""
        self._playback.advance(until_ms)
        self.now_ms = max(self.now_ms, until_ms)

    def take(self) -> tuple[Sequence[Liquidation], Sequence[Alert]]:
        """Return what came since the last call."""
        self._playback.take_cascades()  # what is shown of them is asked for
        return self._playback.take()

    def snapshot(self, instruments: Iterable[str]) -> list[VelocityMetrics]:
        """Return the metrics of these instruments now; what was never seen is left out."""
        now, at = self.as_of_ms, self._pipeline.clock.at(self.now_ms)
        rows = (self._pipeline.engine.metrics(instrument, now, at=at) for instrument in instruments)
        return [row for row in rows if row is not None]

    def market(self, venue: str | None = None) -> VelocityMetrics:
        """Return the metrics of all instruments together."""
        return self._pipeline.engine.market(self.as_of_ms, venue, at=self._pipeline.clock.at(self.now_ms))

    def active(self) -> list[str]:
        """Return the instruments with an event in their largest window."""
        return sorted(self._pipeline.active)

    def health(self) -> list[VenueHealth]:
        """Return a record a venue of the recorded run."""
        engine, now, at = self._pipeline.engine, self.as_of_ms, self._pipeline.clock.at(self.now_ms)
        return [
            VenueHealth(
                venue,
                "live" if self._playback.is_live(venue) else "down",
                0,
                None,
                0,
                engine.coverage(venue, now, at),
                "as recorded",
            )
            for venue in self._pipeline.targets
        ]

    def gaps(self) -> list[Gap]:
        """Return intervals in which liquidations may have been missed."""
        return self._pipeline.feeds.outages.gaps()

    def cascades(self) -> list[Cascade]:
        """Return the cascades that go on, and the last that ended."""
        return self._pipeline.cascades.book.known()

    def cascades_total(self) -> int:
        """Return how many cascades began."""
        return self._pipeline.cascades.book.total

    def ledger(self) -> Ledger:
        """Return where every frame and every event went."""
        return self._playback.ledger()

    def ledgers(self) -> list[tuple[str, Ledger]]:
        """Return the same by source: there is one."""
        return [("recording", self.ledger())]

    def correlation(self, most: int | None = None) -> list[CorrelatedPair]:
        """Return how counts move together."""
        return self._pipeline.comovement.pairs(most)

    def hides(self) -> Mapping[str, str]:
        """Return what venues do not show: the page asks by their names."""
        return {}
