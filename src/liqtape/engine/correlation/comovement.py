"""How the counts of the busiest instruments, and those of the venues, move together; fed once a second."""

from itertools import combinations

from msgspec import Struct

from liqtape.engine.correlation.estimators import PATIENCE_MS, CountCorrelation
from liqtape.engine.velocity import VelocityEngine

__all__ = ["STREAMS", "Comovement", "CorrelatedPair"]

STREAMS = 50
"""Instruments that are compared, the busiest."""

_VENUES = 16
_BIN_MS = 1_000
_BEHIND_MS = 60_000  # of a longer pause the older bins are left out
_RANKED_MS = 60_000


class CorrelatedPair(Struct, frozen=True):
    """Correlation of two streams' counts in seconds: at once, and at the lag where it is greatest.

    `null_band` is what `best_rho`, the greatest of eleven, exceeds in 5 % of cases at most where the streams have
    nothing to do with each other. `best_lag` in seconds is positive where x leads, and None where `best_rho` lies
    inside the band or is not above `rho`, that at once, by as much. What is not defined is None.
    """

    x: str
    y: str
    rho: float | None
    best_lag: int | None
    best_rho: float | None
    null_band: float | None = None


class Comovement:
    """Correlations with lead-lag across instruments and across venues, half-life 300 s. Metrics definition section 4.

    Only the `limit` busiest instruments are followed: of those that had events in the last minute the ones with the
    most, looked at once a minute; one that comes in later counts as silent before.
    """

    def __init__(self, limit: int = STREAMS) -> None:
        self.limit = limit
        self.instruments = self.venues = CountCorrelation(limit=0)
        self._next_ms: int | None = None  # the first bin that was not looked at
        self._ranked_ms = 0

    def tick(self, engine: VelocityEngine, now_ms: int) -> None:
        """Take over the seconds that ended `PATIENCE_MS` ago."""
        end_ms = (now_ms - PATIENCE_MS) // _BIN_MS * _BIN_MS
        if self._next_ms is None:
            self._next_ms = end_ms - _BIN_MS
            self.instruments = CountCorrelation(start_ms=self._next_ms, limit=self.limit)
            self.venues = CountCorrelation(start_ms=self._next_ms, limit=_VENUES)
        begin_ms = max(self._next_ms, end_ms - _BEHIND_MS)
        if end_ms <= begin_ms:
            return
        self._next_ms = end_ms
        if end_ms - self._ranked_ms >= _RANKED_MS:
            self._ranked_ms = end_ms
            self._rank(engine, end_ms)
        for at_ms in range(begin_ms, end_ms, _BIN_MS):
            of_venues: dict[str, int] = {}
            for instrument, counts in engine.counts(at_ms, at_ms + _BIN_MS).items():
                self.instruments.add(instrument, at_ms, sum(counts.values()))
                for venue, count in counts.items():
                    of_venues[venue] = of_venues.get(venue, 0) + count
            for venue, count in of_venues.items():
                self.venues.add(venue, at_ms, count)
        # The events were waited for already.
        self.instruments.advance(end_ms + PATIENCE_MS)
        self.venues.advance(end_ms + PATIENCE_MS)

    def pairs(self, most: int | None = None) -> list[CorrelatedPair]:
        """Return all pairs of followed instruments, then of venues, in which both had 10 events.

        Each pair takes some 70 us; `most` asks for the busiest instruments only.
        """
        return [
            CorrelatedPair(x, y, found.rho[0], found.significant_lag, best_rho, found.null_band)
            for streams in (self.instruments, self.venues)
            for x, y in combinations(streams.shown(most), 2)
            for found in (streams.lead_lag(x, y),)
            for best_rho in (None if found.best_lag is None else found.rho[found.best_lag],)
        ]

    def _rank(self, engine: VelocityEngine, end_ms: int) -> None:
        """Give up followed instruments for busier ones."""
        recent = engine.counts(end_ms - _RANKED_MS, end_ms)
        busy = sorted(recent, key=lambda name: (-sum(recent[name].values()), name))[: self.limit]
        target = set(busy)
        followed = self.instruments.streams()
        free = self.limit - len(followed)
        newcomers = len(target.difference(followed))
        idle = [name for name in followed if name not in target]
        for name in idle[: max(0, newcomers - free)]:
            self.instruments.drop(name)
