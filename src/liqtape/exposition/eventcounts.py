"""Counts of accepted liquidations for counters: by venue, side and instrument, and how late each venue is."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence

from liqtape.engine.velocity import StreamTotals
from liqtape.events import Liquidation
from liqtape.histogram import Histogram
from liqtape.money import MICRO
from liqtape.ourtime import our_ms

__all__ = ["OTHER", "EventCounts", "SeriesBudget"]

OTHER = "_other"
"""The label of all instruments that have no series of their own."""

_LAG_SECONDS = (0.0, 0.05, 0.1, 0.25, 0.5, 1.0, 1.5, 2.0, 5.0, 15.0, 60.0)
_WINDOW_SECONDS = (0.001, 0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 5.0)
_NO_SIDE = "unknown"
_SAMPLED = 16  # of so many batches one is timed
_MOST_KEYS = 50_000  # instruments beyond are counted as OTHER from the beginning


class EventCounts:
    """Counts of what the engine was ever given, taken from it when they are asked for; one batch in 16 is timed.

    Naive: count each liquidation as it comes. That took 10 to 15 % of the path of the events; the engine's columns know
    how many they had. A counter may not go back: what is taken out of a window to be put elsewhere counts on.
    """

    def __init__(self) -> None:
        self.events: dict[tuple[str, str, str], int] = {}  # by venue, instrument, side
        self.usd: dict[tuple[str, str], float] = {}  # by venue, side
        self.newest_ms: dict[str, int] = {}  # by instrument: our time when more of it was seen last
        self.lag: dict[str, Histogram] = {}  # by venue
        self.to_window = Histogram(_WINDOW_SECONDS)
        self._batches = 0

    def accepted(self, liquidations: Sequence[Liquidation], *, is_news: bool = True) -> None:
        """Time one batch in 16 that is in the windows now; what was repeated from the past says nothing about delay."""
        self._batches += 1
        if self._batches % _SAMPLED or not is_news:
            return
        event = liquidations[0]
        if event.receive_ms is not None:
            self.to_window.observe(max(0, our_ms() - event.receive_ms) / 1000)
            self._lag_of(event.venue).observe((event.receive_ms - event.event_ms) / 1000)

    def count(self, totals: Iterable[StreamTotals], now_ms: int) -> None:
        """Take over how much the engine has been given; what it has forgotten meanwhile it gives as `OTHER`."""
        before, self.events = self.events, {}
        known: set[str] = set()
        usd: defaultdict[tuple[str, str], int] = defaultdict(int)
        others: Counter[tuple[str, str, str]] = Counter()
        for stream in totals:
            side = stream.side or _NO_SIDE
            usd[stream.venue, side] += stream.micro_usd
            key = stream.venue, stream.instrument, side
            if stream.instrument == OTHER or (key not in before and len(self.events) >= _MOST_KEYS):
                others[stream.venue, OTHER, side] += stream.events
                continue
            known.add(stream.instrument)
            self.events[key] = max(stream.events, before.get(key, 0))
            if stream.events > before.get(key, 0):
                self.newest_ms[stream.instrument] = now_ms
        for key, count in others.items():
            self.events[key] = max(before.get(key, 0), count)
        self.newest_ms = {name: at_ms for name, at_ms in self.newest_ms.items() if name in known}
        for venue_side, micro in usd.items():
            self.usd[venue_side] = max(self.usd.get(venue_side, 0.0), micro / MICRO)

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
        gone: Counter[str] = Counter()  # which `OTHER` has now
        for (instrument, side), seen in self._seen.items():
            if (instrument, side) not in totals:
                gone[side] += seen
        for (instrument, side), total in totals.items():
            if new := total - self._seen[instrument, side] - (gone[side] if instrument == OTHER else 0):
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
