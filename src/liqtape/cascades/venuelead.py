"""Which venue was first: the counts of venues in seconds against each other, at lags of up to five."""

from collections.abc import Collection, Iterable, Mapping
from itertools import combinations

from msgspec import Struct

from liqtape.engine.correlation.comovement import CorrelatedPair
from liqtape.engine.correlation.estimators import PATIENCE_MS, CountCorrelation

__all__ = ["VenueLead", "first_venue", "lead_among"]

_BIN_MS = 1_000
_HALF_BIN_MS = 500
_SILENT_MS = 60_000  # before it began: what counts are compared with
_MOST_VENUES = 6


class VenueLead(Struct, frozen=True):
    """The venue that is first: by `lead_ms` before `follower`, known to within `error_ms`, at correlation `rho`."""

    venue: str
    follower: str
    lead_ms: int
    error_ms: int
    rho: float


def first_venue(
    pairs: Iterable[CorrelatedPair], venues: Collection[str], throttled: Collection[str] = ()
) -> VenueLead | None:
    """Return the lead of the pair of venues that correlates most where one is ahead beyond doubt, None where none is.

    Counts are of whole seconds; a venue that prints in slots of a second cannot be told finer than that, either.
    """
    best: VenueLead | None = None
    for pair in pairs:
        lag, rho = pair.best_lag, pair.best_rho
        if not lag or rho is None or pair.x not in venues or pair.y not in venues:
            continue
        first, second = (pair.x, pair.y) if lag > 0 else (pair.y, pair.x)
        if best is None or rho > best.rho:
            error_ms = _BIN_MS if pair.x in throttled or pair.y in throttled else _HALF_BIN_MS
            best = VenueLead(first, second, _BIN_MS * abs(lag), error_ms, rho)
    return best


def lead_among(seconds: Mapping[int, Mapping[str, int]], throttled: Collection[str] = ()) -> VenueLead | None:
    """Return the lead in the counts of each second (`event_ms` // 1000) by venue; of silent ones nothing is told."""
    totals: dict[str, int] = {}
    for counts in seconds.values():
        for venue, count in counts.items():
            totals[venue] = totals.get(venue, 0) + count
    venues = sorted(totals, key=lambda venue: (-totals[venue], venue))[:_MOST_VENUES]
    if len(venues) < 2:
        return None
    correlation = CountCorrelation(start_ms=min(seconds) * _BIN_MS - _SILENT_MS, limit=_MOST_VENUES)
    for second in sorted(seconds):
        for venue in venues:
            if venue in seconds[second]:
                correlation.add(venue, second * _BIN_MS, seconds[second][venue])
    correlation.advance((max(seconds) + 1) * _BIN_MS + PATIENCE_MS)
    pairs = [
        CorrelatedPair(x, y, found.rho[0], found.significant_lag, best_rho, found.null_band)
        for x, y in combinations(correlation.shown(), 2)
        for found in (correlation.lead_lag(x, y),)
        for best_rho in (None if found.best_lag is None else found.rho[found.best_lag],)
    ]
    return first_venue(pairs, venues, throttled)
