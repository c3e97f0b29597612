"""Counts of accepted liquidations for counters: by venue, side and instrument, and how late each venue is."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from itertools import chain
from operator import attrgetter

from liqtape.events import Liquidation
from liqtape.histogram import Histogram
from liqtape.ourtime import our_ms

__all__ = ["OTHER", "EventCounts", "SeriesBudget"]

OTHER = "_other"
"""The label of all instruments that have no series of their own."""

_key = attrgetter("venue", "instrument", "side")
_value = attrgetter("venue", "side", "notional_usd")

_LAG_SECONDS = (0.0, 0.05, 0.1, 0.25, 0.5, 1.0, 1.5, 2.0, 5.0, 15.0, 60.0)
_WINDOW_SECONDS = (0.001, 0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 5.0)
_NO_SIDE = "unknown"
_SAMPLED = 16  # of so many batches one is timed
_MOST_WAITING = 4_096  # batches
_MOST_KEYS = 50_000  # instruments beyond are counted as OTHER from the beginning


class EventCounts:
    """Keeps every batch that was accepted, and counts them all together once a second.

    Naive: count each liquidation as it comes. That took 15 % of the path of the events; many at once take a fraction.
    Backfilled and repeated liquidations count as events, but say nothing about the delay of a venue.
    """

    def __init__(self) -> None:
        self.events: dict[tuple[str, str, str], int] = {}  # by venue, instrument, side
        self.usd: defaultdict[tuple[str, str], float] = defaultdict(float)  # by venue, side
        self.newest_ms: dict[str, int] = {}  # by instrument: our time when events of it were counted last
        self.lag: dict[str, Histogram] = {}  # by venue
        self.to_window = Histogram(_WINDOW_SECONDS)
        self._waiting: list[Sequence[Liquidation]] = []

    def accepted(self, liquidations: Sequence[Liquidation], *, is_news: bool = True) -> None:
        """Keep a batch that is in the windows."""
        waiting = self._waiting
        waiting.append(liquidations)
        if len(waiting) % _SAMPLED:
            return
        if is_news:
            self._time(liquidations[0])
        if len(waiting) >= _MOST_WAITING:
            self.count()

    def _time(self, event: Liquidation) -> None:
        if event.receive_ms is not None:
            self.to_window.observe(max(0, our_ms() - event.receive_ms) / 1000)
            self._lag_of(event.venue).observe((event.receive_ms - event.event_ms) / 1000)

    def count(self) -> None:
        """Count what waits."""
        waiting, self._waiting = self._waiting, []
        now_ms = our_ms()
        for (venue, instrument, side), count in Counter(map(_key, chain.from_iterable(waiting))).items():
            key = venue, instrument, side or _NO_SIDE
            if key not in self.events and len(self.events) >= _MOST_KEYS:
                key = venue, OTHER, key[2]
            self.events[key] = self.events.get(key, 0) + count
            self.newest_ms[key[1]] = now_ms
        usd = self.usd
        for venue, side, notional_usd in map(_value, chain.from_iterable(waiting)):
            if notional_usd is not None:
                usd[venue, side or _NO_SIDE] += notional_usd

    def _lag_of(self, venue: str) -> Histogram:
        histogram = self.lag.get(venue)
        if histogram is None:
            histogram = self.lag[venue] = Histogram(_LAG_SECONDS)
        return histogram

    def by_venue(self) -> Counter[tuple[str, str]]:
        """Sum events by venue and side."""
        total: Counter[tuple[str, str]] = Counter()
        for (venue, _, side), count in self.events.items():
            total[venue, side] += count
        return total

    def by_instrument(self) -> Counter[tuple[str, str]]:
        """Sum events by instrument and side."""
        total: Counter[tuple[str, str]] = Counter()
        for (_, instrument, side), count in self.events.items():
            total[instrument, side] += count
        return total


class SeriesBudget:
    """Chooses the instruments that have series of their own, and keeps counters true for all of them.

    Exposed are those with an event in the last 15 minutes, at most `limit`, those with most events first. A counter
    may not go back: what an instrument counts between two scrapes that both expose it is its own for good, all else is
    `_other`.

        events of X   ----3----|--------2--------|----4----        X is exposed between the bars
        X                      0 ............... 2                 (no series before and after)
        _other           3 ........................... 7
    """

    def __init__(self, limit: int = 100, forget_ms: int = 900_000) -> None:
        self._limit = limit
        self._forget_ms = forget_ms
        self._seen: Counter[tuple[str, str]] = Counter()  # totals at the last choice
        self._own: Counter[tuple[str, str]] = Counter()
        self._other: Counter[str] = Counter()
        self.exposed: tuple[str, ...] = ()

    def choose(self, counts: EventCounts, now_ms: int) -> tuple[str, ...]:
        """Choose anew, by name, and account for the events since the last choice."""
        totals = counts.by_instrument()
        recent = {name for name, at_ms in counts.newest_ms.items() if now_ms - at_ms < self._forget_ms} - {OTHER}
        activity: Counter[str] = Counter()
        for (instrument, _), total in totals.items():
            if instrument in recent:
                activity[instrument] += total
        before = set(self.exposed)
        self.exposed = tuple(sorted(name for name, _ in activity.most_common(self._limit)))
        staying = before.intersection(self.exposed)
        for (instrument, side), total in totals.items():
            if new := total - self._seen[instrument, side]:
                if instrument in staying:
                    self._own[instrument, side] += new
                else:
                    self._other[side] += new
        self._seen = totals
        return self.exposed

    def counters(self) -> Iterable[tuple[tuple[str, str], int]]:
        """Yield (instrument, side) and its count: those exposed, then `_other`."""
        exposed = set(self.exposed)
        for (instrument, side), count in sorted(self._own.items()):
            if instrument in exposed:
                yield (instrument, side), count
        for side, count in sorted(self._other.items()):
            yield (OTHER, side), count
