"""Which venue was first: the counts of venues in seconds against each other, at lags of up to five."""

from collections.abc import Collection, Iterable
from itertools import combinations

from msgspec import Struct

from liqtape.engine.correlation.comovement import CorrelatedPair
from liqtape.engine.correlation.estimators import PATIENCE_MS, CountCorrelation

__all__ = ["LeadCounts", "VenueLead", "first_venue"]

_BIN_MS = 1_000
_HALF_BIN_MS = 500
_SILENT_MS = 60_000  # before it began: what counts are compared with
_MOST_VENUES = 8
_COMPARED = 4  # the busiest


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


class LeadCounts:
    """The counts of one cascade by venue in whole seconds, and what they say of who was first.

    They are compared with a minute of silence before it. A liquidation that is later than correlations wait for is left
    out. Adding costs O(1), and O(venues squared) once a second.
    """

    __slots__ = ("_correlation", "_counts", "_throttled")

    def __init__(self, begin_ms: int, throttled: Collection[str] = ()) -> None:
        self._correlation = CountCorrelation(start_ms=begin_ms - _SILENT_MS, limit=_MOST_VENUES)
        self._counts: dict[str, int] = {}
        self._throttled = throttled

    def add(self, venue: str, at_ms: int) -> None:
        """Count a liquidation."""
        self._counts[venue] = self._counts.get(venue, 0) + 1
        self._correlation.add(venue, at_ms)

    def find(self, until_ms: int | None = None) -> VenueLead | None:
        """Return the lead among the busiest venues, as of the last second known to be whole.

        With `until_ms` nothing comes any more, and all seconds up to then are.
        """
        correlation = self._correlation
        if until_ms is not None:
            correlation.advance(until_ms + _BIN_MS + PATIENCE_MS)
        shown = sorted(correlation.shown(), key=lambda venue: (-self._counts[venue], venue))[:_COMPARED]
        pairs = [
            CorrelatedPair(x, y, found.rho[0], found.significant_lag, best_rho, found.null_band)
            for x, y in combinations(shown, 2)
            for found in (correlation.lead_lag(x, y),)
            for best_rho in (None if found.best_lag is None else found.rho[found.best_lag],)
        ]
        return first_venue(pairs, shown, self._throttled)
