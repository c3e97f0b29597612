"""How often a stream reached so much: peaks of past episodes, decayed, and the return periods they give.

Definition: metrics 5b. The naive way keeps every peak for a month and sorts. Here a peak is a weight in a bin of a
quarter octave, and everything decays at once by the time that was watched: at most 161 numbers a stream, whatever came.
"""

from collections.abc import Iterable, Iterator, Mapping
from math import exp2, floor, inf, log, log2

from msgspec import Struct

__all__ = ["DAY_MS", "HALF_LIFE_DAYS", "EpisodeHistogram", "StreamState", "bin_of", "combined", "continued"]

DAY_MS = 86_400_000

HALF_LIFE_DAYS = 14.0
"""In watched days: a peak of two watched weeks ago counts half."""

_PER_OCTAVE = 4
_LAST_BIN = 40 * _PER_OCTAVE  # 1.1e12 USD; what is beyond falls into it
_KEPT_WEIGHT = 1e-6


class StreamState(Struct, frozen=True):
    """What is kept of a stream over a restart, decayed to the moment it was taken.

    `days` are decayed watched days, `bins` the weight of each bin that is not empty, `usd` the decayed sum of all USD,
    `largest_usd` the highest peak of 60 s ever seen.
    """

    days: float
    bins: Mapping[int, float]
    usd: float = 0.0
    largest_usd: float = 0.0


def bin_of(usd: float) -> int:
    """Return the number of the bin that holds a peak: a quarter octave wide, limited to 0..160."""
    return min(_LAST_BIN, max(0, floor(_PER_OCTAVE * log2(usd))))


def _centre(number: int) -> float:
    return exp2((number + 0.5) / _PER_OCTAVE)


class EpisodeHistogram:
    """Peaks of past episodes as decayed weights, `days` watched; one episode of `seed_usd` is always among them.

    C(u), the number of episodes that reached u, is linear in ln u between the centres of the bins and goes on as a
    Pareto tail with exponent `tail_exponent` from where it is 1. The return period is T(u) = days / C(u).

    >>> histogram = EpisodeHistogram(seed_usd=3_000.0, tail_exponent=0.8)
    >>> histogram.decay_to(10 * DAY_MS); histogram.add(50_000.0)
    >>> round(histogram.days, 3), round(histogram.return_days(50_000.0), 3)
    (7.887, 7.694)
    """

    __slots__ = ("_decayed_to_ms", "_seed_bin", "_tail_exponent", "days", "usd", "weights")

    def __init__(self, seed_usd: float, tail_exponent: float) -> None:
        self.days = 0.0
        self.usd = 0.0  # all of the stream, decayed alike: for the mean minute
        self.weights: dict[int, float] = {}
        self._seed_bin = bin_of(seed_usd)
        self._tail_exponent = tail_exponent
        self._decayed_to_ms = 0

    def decay_to(self, watched_ms: int) -> None:
        """Decay everything to that much watched time of the stream; backwards is nothing."""
        elapsed_ms = watched_ms - self._decayed_to_ms
        if elapsed_ms <= 0:
            return
        self._decayed_to_ms = watched_ms
        factor = exp2(-elapsed_ms / DAY_MS / HALF_LIFE_DAYS)
        if factor < 1.0:
            for number in self.weights:
                self.weights[number] *= factor
            self.usd *= factor
            self.days = self.days * factor + HALF_LIFE_DAYS / log(2.0) * (1.0 - factor)

    def decayed_at(self, watched_ms: int) -> tuple[float, float]:
        """Return (days, USD) as they would be at that watched time, and change nothing."""
        factor = exp2(-max(0, watched_ms - self._decayed_to_ms) / DAY_MS / HALF_LIFE_DAYS)
        return self.days * factor + HALF_LIFE_DAYS / log(2.0) * (1.0 - factor), self.usd * factor

    def add(self, peak_usd: float) -> None:
        """Count an episode that is over."""
        number = bin_of(peak_usd)
        self.weights[number] = self.weights.get(number, 0.0) + 1.0

    def restore(self, state: StreamState, watched_ms: int) -> None:
        """Go on from a kept state at watched time `watched_ms`: the time between decays nothing."""
        self.days, self.usd, self.weights = state.days, state.usd, dict(state.bins)
        self._decayed_to_ms = watched_ms

    def state(self, largest_usd: float) -> StreamState:
        """Return what is to be kept, as last decayed."""
        kept = {number: weight for number, weight in sorted(self.weights.items()) if weight >= _KEPT_WEIGHT}
        return StreamState(self.days, kept, self.usd, largest_usd)

    def _falling(self) -> Iterator[tuple[float, float, float]]:
        """Yield (u, weight above, weight at or above) of each bin that is not empty, from the highest down."""
        above = 0.0
        for number in sorted(self.weights.keys() | {self._seed_bin}, reverse=True):
            here = above + self.weights.get(number, 0.0) + (number == self._seed_bin)
            if here > above:
                yield _centre(number), above, here
            above = here

    def count_above(self, usd: float) -> float:
        """Return C(u), the decayed number of episodes that reached `usd`."""
        known: float | None = None
        tail: float | None = None
        higher = lowest = 0.0
        for u, above, here in self._falling():
            if known is None and usd >= u:
                known = (
                    above + (here - above) * log(higher / usd) / log(higher / u) if above else float(usd == u) * here
                )
            if tail is None and here >= 1.0:
                from_u, count = _anchor(u, above, here, higher)
                tail = count * (usd / from_u) ** -self._tail_exponent if usd > from_u else 0.0
            higher, lowest = u, here
        if known is None:  # below the lowest centre: the total
            return lowest
        return max(known, tail or 0.0)

    def return_days(self, usd: float) -> float | None:
        """Return T(usd) in days, as last decayed; None before anything was watched, or of nothing."""
        if usd <= 0.0 or self.days <= 0.0:
            return None
        return self.days / max(self.count_above(usd), 1e-12)

    def threshold(self, period_days: float) -> float:
        """Return the smallest u with T(u) >= `period_days`: 0 where all are rarer, inf before anything was watched.

        One pass from the highest bin down:

            C(u)                 . tail: anchor_count (u / anchor)^-exponent
              |       bins     .
              | -----.       .
              |       \\___.   <- wanted count = days / period: the larger of the two crossings
              |           \\_
              +---------------- ln u
        """
        wanted = self.days / period_days
        if wanted <= 0.0:
            return inf
        known: float | None = None
        tail: float | None = None
        higher = 0.0
        for u, above, here in self._falling():
            if known is None and here > wanted:
                known = u * (higher / u) ** ((here - wanted) / (here - above)) if above else u
            if tail is None and here >= 1.0:
                from_u, count = _anchor(u, above, here, higher)
                tail = from_u * (count / wanted) ** (1.0 / self._tail_exponent) if wanted < count else 0.0
            if known is not None and tail is not None:
                return max(known, tail)
            higher = u
        return 0.0


def _anchor(u: float, above: float, here: float, higher: float) -> tuple[float, float]:
    """Return (u, C(u)) from where the tail goes on: where C = 1, or the highest bin if that alone weighs as much."""
    if 0.0 < above < 1.0:
        return u * (higher / u) ** ((here - 1.0) / (here - above)), 1.0
    return u, here


def continued(earlier: StreamState, later: StreamState, watched_days_of_later: float) -> StreamState:
    """Return one state of a stream whose past was learned in two parts, one after the other; teach no span twice."""
    factor = exp2(-watched_days_of_later / HALF_LIFE_DAYS)
    bins = {number: weight * factor for number, weight in earlier.bins.items()}
    for number, weight in later.bins.items():
        bins[number] = bins.get(number, 0.0) + weight
    return StreamState(
        earlier.days * factor + later.days,
        dict(sorted(bins.items())),
        earlier.usd * factor + later.usd,
        max(earlier.largest_usd, later.largest_usd),
    )


def combined(parts: Iterable[StreamState]) -> StreamState:
    """Return a first guess for the sum of streams that has no past of its own: rates add, days are the longest part's.

    Peaks that fall together are higher in truth, so it is a guess from below, until the stream has taught itself.
    """
    states = list(parts)
    days = max((state.days for state in states), default=0.0)
    bins: dict[int, float] = {}
    usd = 0.0
    for state in states:
        scale = days / state.days if state.days > 0.0 else 0.0
        usd += state.usd * scale
        for number, weight in state.bins.items():
            bins[number] = bins.get(number, 0.0) + weight * scale
    largest_usd = max((state.largest_usd for state in states), default=0.0)
    return StreamState(days, dict(sorted(bins.items())), usd, largest_usd)
