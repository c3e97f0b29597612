"""What the page and the API read: the source itself, and what is remembered of its news."""

import time
from collections import deque
from collections.abc import Iterable, Sequence
from itertools import islice

from liqtape.cascades.venuelead import VenueLead, first_venue
from liqtape.engine.correlation.comovement import CorrelatedPair
from liqtape.engine.velocity import MARKET
from liqtape.events import Alert, Gap, Level, Liquidation, Trouble, VelocityMetrics
from liqtape.venues import VENUES
from liqtape.web.answers import InstrumentRow
from liqtape.web.eventmemory import EventMemory
from liqtape.web.pricelevels import BtcPrices
from liqtape.web.raisedlevels import RaisedLevels
from liqtape.web.shown import Shown

__all__ = ["MOST_RECENT", "Board", "Fresh", "is_throttled"]

MOST_RECENT = 20_000
"""Liquidations kept whole, for the tape and `/api/v1/events`."""

_MOST_ALERTS = 5_000
_MOST_CHANGED = 10_000
_MARKET_SECONDS = 1.0  # it goes through all active instruments
_PAIRS_SECONDS = 10.0
_PAIRED = 10  # instruments, the busiest: 45 pairs
_LARGEST_MS = 300_000
_SPARK_STEP_MS, _SPARK_STEPS = 5_000, 60


def is_throttled(venue: str) -> bool:
    """Return whether a venue is known to print at most so much a second."""
    return venue in VENUES and VENUES[venue].slot_seconds is not None


class Fresh:
    """What came since the stream was told last."""

    def __init__(self) -> None:
        self.events: list[Liquidation] = []
        self.alerts: list[Alert] = []
        self.gaps: list[Gap] = []
        self.troubles: list[Trouble] = []
        self.changed: dict[str, None] = {}


class Board:
    """One for all clients. `pull` takes in the news of the source; all else reads. On the loop only."""

    def __init__(self, source: Shown) -> None:
        self.source = source
        self.started_ms = source.began_ms
        self.memory = EventMemory(self.started_ms)
        self.recent: deque[Liquidation] = deque(maxlen=MOST_RECENT)
        self.alerts: deque[Alert] = deque(maxlen=_MOST_ALERTS)
        self.btc = BtcPrices()
        self.levels = RaisedLevels()
        self.events_total = self.alerts_total = 0
        self.missed_total = 0
        self.fresh = Fresh()
        self.generation = source.generation
        self.kept_whole_ms = self.started_ms  # from when on `recent` is whole
        self._since: dict[str, int] = {}  # when the level was reached
        self._market: tuple[float, VelocityMetrics] | None = None
        self._pairs: tuple[float, Sequence[CorrelatedPair]] = (-_PAIRS_SECONDS, ())
        self._lead: tuple[Sequence[CorrelatedPair] | None, VenueLead | None] = (None, None)

    def pull(self) -> None:
        """Take in what is new."""
        if self.source.generation != self.generation:
            self._forget()
        news = self.source.take_news()
        self.missed_total += news.missed
        if news.missed:
            self.kept_whole_ms = self.memory.kept_from_ms = self.source.now_ms()
        if news.events:
            self._take(news.events)
        for alert in news.alerts:
            self._note(alert)
        fresh = self.fresh
        fresh.gaps += news.gaps
        fresh.troubles += news.troubles

    def market(self) -> VelocityMetrics:
        """Return the market's row, at most a second old."""
        now = time.monotonic()
        if self._market is None or now - self._market[0] > _MARKET_SECONDS:
            self._market = (now, self.source.market())
        return self._market[1]

    def note_price(self) -> None:
        """Note the price of BTC, which every row bears."""
        for row in self.source.snapshot(self.source.active()[:1]):
            if row.btc_price is not None:
                self.btc.add(round(1000 * row.timestamp), row.btc_price)

    def pairs(self) -> Sequence[CorrelatedPair]:
        """Return what moves together, looked at every ten seconds at most: that takes a while."""
        now = time.monotonic()
        if now - self._pairs[0] > _PAIRS_SECONDS:
            self._pairs = (now, self.source.correlation(_PAIRED))
        return self._pairs[1]

    def lead(self) -> VenueLead | None:
        """Return which venue is first."""
        if self._lead[0] is not self.pairs():
            self._lead = (self._pairs[1], self._find_lead())
        return self._lead[1]

    def market_level(self) -> tuple[Level, int | None]:
        """Return the market's level as told, and since when it is that."""
        return self.levels.level_of(MARKET), self._since.get(MARKET)

    def rows(self, instruments: Iterable[str]) -> list[InstrumentRow]:
        """Return the rows of the table of these instruments."""
        return [self._row(row) for row in self.source.snapshot(instruments)]

    def take_fresh(self) -> Fresh:
        """Return what is new for the stream."""
        fresh, self.fresh = self.fresh, Fresh()
        return fresh

    def _take(self, events: Sequence[Liquidation]) -> None:
        self.memory.add(events)
        overflow = len(self.recent) + len(events) - MOST_RECENT
        if overflow > 0:
            dropped = list(self.recent)[:overflow] or events
            self.kept_whole_ms = max(self.kept_whole_ms, *(event.event_ms for event in dropped))
        self.recent.extend(events)
        self.events_total += len(events)
        self.fresh.events += events
        if len(self.fresh.events) > MOST_RECENT:  # nobody listens
            del self.fresh.events[:-MOST_RECENT]
        for event in events:
            self.fresh.changed[event.instrument] = None
        if len(self.fresh.changed) > _MOST_CHANGED:  # nobody listens, or names of strangers
            for instrument in list(islice(self.fresh.changed, len(self.fresh.changed) - _MOST_CHANGED)):
                del self.fresh.changed[instrument]

    def _note(self, alert: Alert) -> None:
        self.alerts.append(alert)
        self.alerts_total += 1
        if alert.instrument == MARKET:
            self._market = None
        self.fresh.alerts.append(alert)
        if alert.instrument != MARKET:
            self.fresh.changed[alert.instrument] = None
        self.levels.note(alert)
        if alert.level == "NONE":
            self._since.pop(alert.instrument, None)
        else:
            self._since[alert.instrument] = alert.at_ms

    def _find_lead(self) -> VenueLead | None:
        venues = {health.venue for health in self.source.health()}
        return first_venue(self.pairs(), venues, [name for name in venues if is_throttled(name)])

    def _row(self, row: VelocityMetrics) -> InstrumentRow:
        now_ms = round(1000 * row.timestamp)
        columns = self.memory.of(row.symbol)
        return InstrumentRow(
            symbol=row.symbol,
            level=row.level,
            velocity_10s=row.velocity_10s,
            velocity_60s=row.velocity_60s,
            velocity_300s=row.velocity_300s,
            velocity_est_10s=row.velocity_est_10s,
            velocity_est_60s=row.velocity_est_60s,
            acceleration=row.acceleration,
            event_count_10s=row.event_count_10s,
            event_count_60s=row.event_count_60s,
            event_count_300s=row.event_count_300s,
            usd_60s=60 * row.usd_velocity_60s,
            long_usd_60s=row.long_usd_60s,
            short_usd_60s=row.short_usd_60s,
            total_value_usd=row.total_value_usd,
            imbalance_usd_60s=row.imbalance_usd_60s,
            times_usual=row.times_usual,
            return_days=row.return_days,
            is_learning=row.is_learning,
            coverage_10s=row.coverage_10s,
            coverage_60s=row.coverage_60s,
            coverage_300s=row.coverage_300s,
            partial=row.partial,
            saturated=row.saturated,
            late_total=row.late_total,
            timestamp=row.timestamp,
            venues=columns.venues_since(now_ms - _LARGEST_MS),
            spark=columns.spark(now_ms, _SPARK_STEP_MS, _SPARK_STEPS),
        )

    def _forget(self) -> None:
        """The source jumped: what was remembered is of another time."""
        self.generation = self.source.generation
        self.started_ms = self.kept_whole_ms = self.source.began_ms
        self.memory.clear(self.started_ms)
        self.recent.clear()
        self.alerts.clear()
        self.btc.clear()
        self.levels.clear()
        self._since.clear()
        self._market = None
        self.fresh = Fresh()
