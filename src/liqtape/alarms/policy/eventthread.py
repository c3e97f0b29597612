"""One market event: who belongs to it, what it brought, and when it is over.

level of the members
  |      _______
  |     |  ___  |__                       begin: the cause crosses the effective step
  |  ___| |   |    |____                  joined: what rises within 60 s of the last rise
  +--|----|--------|-----------|--> t     end: 300 s after the last one fell below ALERT
   begin  joins   last falls   end
"""

from collections.abc import Iterable, Mapping

from msgspec import Struct

from liqtape.alarms.policy.messages import MemberFacts
from liqtape.alarms.policy.sightings import BREADTH_SCOPE, Sighting
from liqtape.engine.levels.returnperiods import Minute
from liqtape.engine.velocity import MARKET
from liqtape.events import LEVELS, Level, Liquidation

__all__ = ["END_MS", "JOIN_MS", "EventThread", "PriceSpan", "higher"]

JOIN_MS = 60_000
"""What rises within so long of the last rise of an event belongs to it."""

END_MS = 300_000
"""An event is over so long after its last member fell."""

_WHOLE = frozenset({MARKET, BREADTH_SCOPE})


def higher(one: Level, other: Level) -> Level:
    """Return the higher of two levels."""
    return max(one, other, key=LEVELS.index)


class PriceSpan(Struct):
    """First, lowest, highest and last price of a time."""

    first: float
    low: float
    high: float
    last: float

    def add(self, price: float) -> None:
        """Take in a price."""
        self.last = price
        self.low = min(self.low, price)
        self.high = max(self.high, price)


class EventThread(Struct):
    """An open event. It is kept as it is over a restart."""

    id: str
    began_ms: int
    last_rise_ms: int
    members: dict[str, MemberFacts] = {}
    up: set[str] = set()
    last_up_ms: int = 0
    level: Level = "ALERT"
    number: int = 0  # messages so far
    told_ms: int = 0
    told_level: Level = "NONE"
    told_members: set[str] = set()
    told_days: float = 0.0  # the rarest return period that was told
    rarest_days: float = 0.0
    usd: dict[str, float] = {}  # by instrument
    counts: dict[str, int] = {}
    venue_usd: dict[str, dict[str, float]] = {}  # by instrument, by venue
    prices: dict[str, PriceSpan] = {}  # of instruments, as liquidations say
    btc: PriceSpan | None = None
    unwatched_since_ms: int | None = None
    peak_times_usual: float | None = None

    @property
    def is_whole(self) -> bool:
        """Whether the market as a whole is a member: then all instruments count."""
        return not _WHOLE.isdisjoint(self.members)

    def begin(self, minutes: Mapping[tuple[str, str], Minute]) -> None:
        """Count what was liquidated in the minute before."""
        for (venue, instrument), (usd, count) in minutes.items():
            self._count(venue, instrument, usd, count)

    def add(self, events: Iterable[Liquidation]) -> None:
        """Count liquidations."""
        for event in events:
            self._count(event.venue, event.instrument, event.notional_usd or 0.0, 1)
            span = self.prices.get(event.instrument)
            if not event.price > 0.0:
                continue  # some files know no price
            if span is None:
                self.prices[event.instrument] = PriceSpan(*[event.price] * 4)
            else:
                span.add(event.price)

    def price(self, btc_price: float | None) -> None:
        """Take in the reference price."""
        if btc_price is None:
            return
        if self.btc is None:
            self.btc = PriceSpan(*[btc_price] * 4)
        else:
            self.btc.add(btc_price)

    def take(self, sighting: Sighting, wakes_at_days: float | None, at_ms: int) -> None:
        """Take a scope in, or what more it reached."""
        facts = MemberFacts(
            sighting.scope,
            sighting.level,
            sighting.highest,
            sighting.count_60s,
            sighting.return_days,
            sighting.watched_days,
            sighting.is_learning,
            sighting.is_extrapolated,
            sighting.threshold,
            sighting.floor,
            wakes_at_days,
        )
        known = self.members.get(sighting.scope)
        if known is None or sighting.highest > known.highest:
            self.members[sighting.scope] = facts
        if known is None or LEVELS.index(sighting.level) > LEVELS.index(known.level):
            self.last_rise_ms = at_ms
        self.level = higher(self.level, sighting.level)
        self.rarest_days = max(self.rarest_days, sighting.return_days or 0.0)

    def look(self, seen: Iterable[str], at_ms: int, *, is_watched: bool) -> None:
        """Note which members are at ALERT or above now."""
        self.up = self.members.keys() & set(seen)
        if self.up and is_watched:
            self.last_up_ms = at_ms
        if is_watched:
            self.unwatched_since_ms = None
        elif self.unwatched_since_ms is None:
            self.unwatched_since_ms = at_ms

    def is_over(self, at_ms: int) -> bool:
        """Whether all members fell long ago, or nobody has watched for as long."""
        if self.unwatched_since_ms is not None:
            return at_ms - self.unwatched_since_ms >= END_MS
        return at_ms - self.last_up_ms >= END_MS

    def totals(self) -> tuple[float, int, dict[str, float]]:
        """Return USD, liquidations, and USD by venue: of the members, or of all where the market is one."""
        instruments = self.usd.keys() if self.is_whole else self.members.keys() & self.usd.keys()
        venues: dict[str, float] = {}
        for instrument in instruments:
            for venue, usd in self.venue_usd.get(instrument, {}).items():
                venues[venue] = venues.get(venue, 0.0) + usd
        of_venues = dict(sorted(venues.items(), key=lambda item: -item[1]))
        total = sum(self.usd[instrument] for instrument in sorted(instruments))
        return total, sum(self.counts[instrument] for instrument in instruments), of_venues

    def leader(self) -> str | None:
        """Return the instrument of the most USD."""
        instruments = self.usd.keys() if self.is_whole else self.members.keys() & self.usd.keys()
        return max(sorted(instruments), key=lambda instrument: self.usd[instrument], default=None)

    def shift(self, by_ms: int) -> None:
        """Move all moments: the clock took a step."""
        self.last_rise_ms += by_ms
        self.last_up_ms += by_ms
        self.told_ms += by_ms
        if self.unwatched_since_ms is not None:
            self.unwatched_since_ms += by_ms

    def _count(self, venue: str, instrument: str, usd: float, count: int) -> None:
        self.usd[instrument] = self.usd.get(instrument, 0.0) + usd
        self.counts[instrument] = self.counts.get(instrument, 0) + count
        venues = self.venue_usd.setdefault(instrument, {})
        venues[venue] = venues.get(venue, 0.0) + usd
