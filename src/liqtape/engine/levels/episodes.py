"""How often a stream reached so much: peaks of past episodes, decayed, and the return periods they give.

Definition: metrics 5b. The naive way keeps every peak for a month and sorts. Here a peak is a weight in a bin of a
quarter octave, and everything decays at once by the time that was watched: at most 161 numbers a stream, whatever came.
"""

from bisect import bisect_left
from collections.abc import Iterable, Mapping
from math import exp2, floor, inf, log, log2

from msgspec import Struct

__all__ = ["DAY_MS", "HALF_LIFE_DAYS", "EpisodeHistogram", "StreamState", "bin_of", "combined", "continued", "decayed"]

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


def _decay_factor(watched_days: float) -> float:
    return exp2(-watched_days / HALF_LIFE_DAYS)


def _days_after(days: float, factor: float) -> float:
    """Return decayed watched days after a time of watching that decays all else by `factor`."""
    return days * factor + HALF_LIFE_DAYS / log(2.0) * (1.0 - factor)


class EpisodeHistogram:
    """Peaks of past episodes as decayed weights, `days` watched; one episode of `seed_usd` is always among them.

    C(u), the number of episodes that reached u, is linear in ln u between the centres of the bins and goes on as a
    Pareto tail with exponent `tail_exponent` from where it is 1. The return period is T(u) = days / C(u).

    >>> histogram = EpisodeHistogram(seed_usd=3_000.0, tail_exponent=0.8)
    >>> histogram.decay_to(10 * DAY_MS); histogram.add(50_000.0)
    >>> round(histogram.days, 3), round(histogram.return_days(50_000.0), 3)
    (7.887, 7.857)
    """

    __slots__ = ("_decayed_to_ms", "_known_curve", "_seed_bin", "_tail_exponent", "days", "usd", "weights")

    def __init__(self, seed_usd: float, tail_exponent: float) -> None:
        self.days = 0.0
        self.usd = 0.0  # all of the stream, decayed alike: for the mean minute
        self.weights: dict[int, float] = {}
        self._seed_bin = bin_of(seed_usd)
        self._tail_exponent = tail_exponent
        self._decayed_to_ms = 0
        self._known_curve: _Curve | None = None

    @property
    def decayed_to_ms(self) -> int:
        """Return the watched time to which all was last decayed."""
        return self._decayed_to_ms

    def decay_to(self, watched_ms: int) -> None:
        """Decay everything to that much watched time of the stream; backwards is nothing."""
        elapsed_ms = watched_ms - self._decayed_to_ms
        if elapsed_ms <= 0:
            return
        self._decayed_to_ms = watched_ms
        self._known_curve = None
        factor = _decay_factor(elapsed_ms / DAY_MS)
        if factor < 1.0:
            for number in self.weights:
                self.weights[number] *= factor
            self.usd *= factor
            self.days = _days_after(self.days, factor)

    def decayed_at(self, watched_ms: int) -> tuple[float, float]:
        """Return (days, USD) as they would be at that watched time, and change nothing."""
        factor = _decay_factor(max(0, watched_ms - self._decayed_to_ms) / DAY_MS)
        return _days_after(self.days, factor), self.usd * factor

    def add(self, peak_usd: float) -> None:
        """Count an episode that is over."""
        number = bin_of(peak_usd)
        self.weights[number] = self.weights.get(number, 0.0) + 1.0
        self._known_curve = None

    def restore(self, state: StreamState, watched_ms: int) -> None:
        """Go on from a kept state at watched time `watched_ms`: the time between decays nothing."""
        self.days, self.usd, self.weights = state.days, state.usd, dict(state.bins)
        self._decayed_to_ms = watched_ms
        self._known_curve = None

    def state(self, largest_usd: float) -> StreamState:
        """Return what is to be kept, as last decayed."""
        kept = {number: weight for number, weight in sorted(self.weights.items()) if weight >= _KEPT_WEIGHT}
        return StreamState(self.days, kept, self.usd, largest_usd)

    def _curve(self) -> "_Curve":
        """Return C(u) at the centres of the bins that are not empty; it is kept until the weights change."""
        curve = self._known_curve
        if curve is None:
            numbers = sorted(self.weights.keys() | {self._seed_bin}, reverse=True)
            falling: list[tuple[float, float]] = []
            count = 0.0
            for number in numbers:
                weight = self.weights.get(number, 0.0) + (number == self._seed_bin)
                if weight > 0.0:
                    count += weight
                    falling.append((_centre(number), count))
            falling.reverse()
            curve = self._known_curve = _Curve([u for u, _ in falling], [count for _, count in falling])
        return curve

    def count_above(self, usd: float) -> float:
        """Return C(u), the decayed number of episodes that reached `usd`."""
        curve = self._curve()
        us, counts = curve.us, curve.counts
        place = bisect_left(us, usd)
        if place == 0:
            return counts[0]
        known = 0.0
        if place < len(us):
            below, above = us[place - 1], us[place]
            share = log(usd / below) / log(above / below)
            known = counts[place - 1] + (counts[place] - counts[place - 1]) * share
        tail_usd, tail_count = curve.anchor()
        if usd > tail_usd:
            known = max(known, tail_count * (usd / tail_usd) ** -self._tail_exponent)
        return known

    def return_days(self, usd: float) -> float | None:
        """Return T(usd) in days, as last decayed; None before anything was watched, or of nothing."""
        if usd <= 0.0 or self.days <= 0.0:
            return None
        return self.days / max(self.count_above(usd), 1e-12)

    def threshold(self, period_days: float) -> float:
        """Return the smallest u with T(u) >= `period_days`: 0 where all are rarer, inf before anything was watched.

        C(u)
          |____ bins
          |    \\___             wanted = days / period; the larger of the two crossings is returned
          |- - - - -\\_ - . . . . . . .
          |           \\_    ` . tail: anchor_count (u / anchor)^-exponent
          +----------------------------- ln u
        """
        target = self.days / period_days
        if target <= 0.0:
            return inf
        curve = self._curve()
        us, counts = curve.us, curve.counts
        if target >= counts[0]:
            return 0.0
        place = max(place for place, count in enumerate(counts) if count > target)
        known = us[place]
        if place + 1 < len(us):
            share = (counts[place] - target) / (counts[place] - counts[place + 1])
            known *= (us[place + 1] / us[place]) ** share
        tail_usd, tail_count = curve.anchor()
        if target < tail_count:
            known = max(known, tail_usd * (tail_count / target) ** (1.0 / self._tail_exponent))
        return known


class _Curve:
    """C(u) at rising u: `counts` fall."""

    __slots__ = ("_anchor", "counts", "us")

    def __init__(self, us: list[float], counts: list[float]) -> None:
        self.us = us
        self.counts = counts
        self._anchor: tuple[float, float] | None = None

    def anchor(self) -> tuple[float, float]:
        """Return (u, C(u)) where the tail begins: where C = 1, or at the highest bin if that alone weighs as much."""
        if self._anchor is None:
            us, counts = self.us, self.counts
            place = max(place for place, count in enumerate(counts) if count >= 1.0)  # the seed episode weighs 1
            self._anchor = us[place], counts[place]
            if place + 1 < len(us):
                share = (counts[place] - 1.0) / (counts[place] - counts[place + 1])
                self._anchor = us[place] * (us[place + 1] / us[place]) ** share, 1.0
        return self._anchor


def decayed(state: StreamState, watched_days: float) -> StreamState:
    """Return the state after so many watched days without an episode and without USD."""
    factor = _decay_factor(watched_days)
    bins = {number: weight * factor for number, weight in state.bins.items()}
    return StreamState(_days_after(state.days, factor), bins, state.usd * factor, state.largest_usd)


def continued(earlier: StreamState, later: StreamState, watched_days_of_later: float) -> StreamState:
    """Return one state of a stream whose past was learned in two parts, one after the other; teach no span twice."""
    factor = _decay_factor(watched_days_of_later)
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
