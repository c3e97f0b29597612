"""Counts of accepted liquidations for counters: by venue, side and instrument, and how late each venue is."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence

from liqtape.events import Liquidation
from liqtape.histogram import Histogram
from liqtape.ourtime import our_ms

__all__ = ["OTHER", "EventCounts", "SeriesBudget"]

OTHER = "_other"
"""The label of all instruments that have no series of their own."""

_LAG_SECONDS = (0.0, 0.05, 0.1, 0.25, 0.5, 1.0, 1.5, 2.0, 5.0, 15.0, 60.0)
_WINDOW_SECONDS = (0.001, 0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 5.0)
_NO_SIDE = "unknown"
_MOST_KEYS = 50_000  # instruments beyond are counted as OTHER from the beginning


class EventCounts:
    """Takes every batch that was accepted; a dictionary a liquidation, nothing else until somebody asks.

    Backfilled and repeated liquidations count as events, but say nothing about the delay of a venue.
    """

    def __init__(self) -> None:
        self.events: dict[tuple[str, str, str], int] = {}  # by venue, instrument, side
        self.usd: defaultdict[tuple[str, str], float] = defaultdict(float)  # by venue, side
        self.newest_ms: dict[str, int] = {}  # by instrument: our time when it had an event last
        self.lag: dict[str, Histogram] = {}  # by venue
        self.to_window = Histogram(_WINDOW_SECONDS)

    def accepted(self, liquidations: Sequence[Liquidation], *, is_news: bool = True) -> None:
        """Count a batch that is in the windows."""
        now_ms = our_ms()
        events, newest_ms, usd = self.events, self.newest_ms, self.usd
        for event in liquidations:
            key = event.venue, event.instrument, event.side or _NO_SIDE
            try:
                events[key] += 1
            except KeyError:
                key = self._begin(key)
            newest_ms[key[1]] = now_ms
            if event.notional_usd is not None:
                usd[key[0], key[2]] += event.notional_usd
        if is_news and liquidations and (receive_ms := liquidations[0].receive_ms) is not None:
            self.to_window.observe(max(0, now_ms - receive_ms) / 1000)
            for event in liquidations:
                if event.receive_ms is not None:
                    self._lag_of(event.venue).observe((event.receive_ms - event.event_ms) / 1000)

    def _begin(self, key: tuple[str, str, str]) -> tuple[str, str, str]:
        venue, _, side = key
        if len(self.events) >= _MOST_KEYS:
            key = venue, OTHER, side
        self.events[key] = self.events.get(key, 0) + 1
        return key

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
