"""An event file played to any moment: what a replay on the page shows of it."""

from collections.abc import Iterable, Mapping, Sequence

from liqtape.cascades.cascade import Cascade
from liqtape.cascades.choice import CascadeSettings
from liqtape.engine import VelocityEngine
from liqtape.engine.correlation.comovement import Comovement, CorrelatedPair
from liqtape.eventfiles.eventtable import EventTable
from liqtape.events import Alert, Gap, Liquidation, VelocityMetrics, VenueHealth
from liqtape.ledger import Ledger
from liqtape.pipeline.pastwatch import PastWatch
from liqtape.pipeline.rerun import feed_marks

__all__ = ["FileRun"]

_LARGEST_MS = 300_000
_COMPARED_MS = 1_800_000  # correlations forget what is older


class FileRun:
    """The events up to `now_ms`, in an engine. It goes forward only: to go back, begin another.

    Levels are looked at each whole second, as `steps` does, so that a replay tells the same alerts however it is paced.
    """

    def __init__(
        self,
        table: EventTable,
        engine: VelocityEngine,
        coverage: Sequence[tuple[int, int]] = (),
        target_ms: int = 0,
        cascades: CascadeSettings | None = None,
    ) -> None:
        self._table, self._engine = table, engine
        self._order = table.in_order()
        self._comovement = Comovement()
        self._spans = sorted(coverage)
        marks = feed_marks((venue, *span) for venue in table.venues() for span in coverage)
        self._watch = PastWatch(engine, marks, self._all_gaps() if coverage else None, cascades)
        self._place = 0
        self._last_ms = -_LARGEST_MS
        self._active: dict[str, int] = {}  # the newest event of each
        self._compared_from_ms = target_ms - _COMPARED_MS
        self._accepted = 0
        self._events: list[Liquidation] = []
        self._alerts: list[Alert] = []
        self.now_ms = -(-min(table.times_ms, default=0) // 1000) * 1000 - 1000  # the whole second before the first

    def advance(self, until_ms: int) -> None:
        """Play up to a moment."""
        while self.now_ms < until_ms:
            second_ms = (self.now_ms // 1000 + 1) * 1000
            if self._is_quiet():
                second_ms = max(second_ms, -(-self._next_ms(until_ms) // 1000) * 1000)
            self._add(min(second_ms, until_ms))
            if second_ms > until_ms:
                self.now_ms = until_ms
                return
            self._look(second_ms)
            self.now_ms = second_ms

    @property
    def as_of_ms(self) -> int:
        """The evaluation time: a file knows no way that its events took."""
        return self.now_ms

    def take(self) -> tuple[Sequence[Liquidation], Sequence[Alert]]:
        """Return what came since the last call."""
        events, self._events = self._events, []
        alerts, self._alerts = self._alerts, []
        return events, alerts

    def snapshot(self, instruments: Iterable[str]) -> list[VelocityMetrics]:
        """Return the metrics of these instruments now; what was never seen is left out."""
        rows = (self._engine.metrics(instrument, self.now_ms) for instrument in instruments)
        return [row for row in rows if row is not None]

    def market(self, venue: str | None = None) -> VelocityMetrics:
        """Return the metrics of all instruments together."""
        return self._engine.market(self.now_ms, venue)

    def active(self) -> list[str]:
        """Return the instruments with an event in their largest window."""
        since_ms = self.now_ms - _LARGEST_MS
        self._active = {name: at_ms for name, at_ms in self._active.items() if at_ms > since_ms}
        return sorted(self._active)

    def health(self) -> list[VenueHealth]:
        """Return a record a venue of the file."""
        return [
            VenueHealth(venue, "recorded", 0, None, 0, self._engine.coverage(venue, self.now_ms), "from an event file")
            for venue in self._table.venues()
        ]

    def gaps(self) -> list[Gap]:
        """Return where `coverage` says that nobody watched, up to now."""
        return [gap for gap in self._all_gaps() if gap.until_ms is not None and gap.until_ms <= self.now_ms]

    def cascades(self) -> list[Cascade]:
        """Return the cascades that go on, and the last that ended."""
        return self._watch.cascades.book.known()

    def cascades_total(self) -> int:
        """Return how many cascades began."""
        return self._watch.cascades.book.total

    def ledger(self) -> Ledger:
        """Return the counts up to now."""
        ledger = Ledger()
        ledger.events_decoded = ledger.events_accepted = self._accepted
        return ledger

    def ledgers(self) -> list[tuple[str, Ledger]]:
        """Return the same by source: there is one."""
        return [("event file", self.ledger())]

    def correlation(self, most: int | None = None) -> list[CorrelatedPair]:
        """Return how counts move together."""
        return self._comovement.pairs(most)

    def hides(self) -> Mapping[str, str]:
        """Return what venues do not show: a file does not say."""
        return {}

    def _all_gaps(self) -> list[Gap]:
        ends = [until_ms for _, until_ms in self._spans]
        begins = [from_ms for from_ms, _ in self._spans][1:]
        return [
            Gap(venue, end_ms, begin_ms, "not covered")
            for venue in self._table.venues()
            for end_ms, begin_ms in zip(ends, begins, strict=False)
        ]

    def _is_quiet(self) -> bool:
        """Return whether time alone changes nothing."""
        return self.now_ms > self._last_ms + _LARGEST_MS + 1_000 and not self._engine.is_raised()

    def _next_ms(self, until_ms: int) -> int:
        if self._place >= len(self._order):
            return until_ms
        return min(until_ms, self._table.times_ms[self._order[self._place]])

    def _add(self, until_ms: int) -> None:
        times_ms, order = self._table.times_ms, self._order
        while self._place < len(order) and times_ms[order[self._place]] <= until_ms:
            event = self._table.event(order[self._place])
            self._place += 1
            self._watch.add(event)
            self._events.append(event)
            self._active[event.instrument] = self._last_ms = event.event_ms
            self._accepted += 1

    def _look(self, second_ms: int) -> None:
        self._alerts += self._watch.look(second_ms)
        self._watch.cascades.take_news()  # what is shown is asked for
        if second_ms > self._compared_from_ms:
            self._comovement.tick(self._engine, second_ms)
