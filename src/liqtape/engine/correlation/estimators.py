"""Correlation of streams in time: counts, prices, single events. Metrics definition section 4.

Counts are compared in bins of one second on the scale sqrt(c + 3/8), on which Poisson noise has the same size at every
rate. Sources: Anscombe 1948 (that scale), Hayashi and Yoshida 2005 (prices that do not tick together), Quian Quiroga,
Kreuz and Grassberger 2002 (event synchronisation).
"""

from bisect import bisect_left, bisect_right
from collections.abc import Callable, Sequence
from heapq import nlargest
from itertools import pairwise
from math import exp2, expm1, fsum, log, log1p, sqrt

from msgspec import Struct

from liqtape.engine.correlation.nullband import clustering, effective_bins, null_band

__all__ = [
    "PATIENCE_MS",
    "CountCorrelation",
    "HayashiYoshida",
    "LeadLag",
    "Synchronisation",
    "event_synchronisation",
    "ewma_correlation",
    "hayashi_yoshida",
    "lagged_pearson",
    "pearson",
    "square_root",
]

PATIENCE_MS = 5_000
"""What a bin waits for late events after its end."""

_BIN_MS = 1000
_SHOWN_FROM = 10  # events of each stream
_LN2 = log(2)
_NOISE = 1e-9  # a variance below this share of the mean square is rounding: the sums are good to 1e-13
_REBASE = 256  # half-lives after which the growing weights start anew, far from the largest float


def square_root(count: float) -> float:
    """Return sqrt(c + 3/8): the scale on which the variance of a Poisson count does not depend on its mean."""
    return sqrt(count + 0.375)


class LeadLag(Struct, frozen=True):
    """Correlation at each lag in bins, positive: x leads y; None where not defined.

    `null_band` is what the greatest of them exceeds in 5 % of cases at most where the streams have nothing to do with
    each other; None where that is not known.
    """

    rho: dict[int, float | None]
    null_band: float | None = None

    @property
    def best_lag(self) -> int | None:
        """The lag of the greatest correlation, of equals the one nearest to 0; None when there is none.

        There always is a greatest one: whether it means something says `significant_lag`.
        """
        known = [(rho, -abs(lag), lag) for lag, rho in self.rho.items() if rho is not None]
        return max(known)[2] if known else None

    @property
    def significant_lag(self) -> int | None:
        """Return `best_lag` if its correlation is above the null band, and by as much above that of lag 0; else None.

        The second because streams that swell together correlate at every lag: which is greatest is then chance.
        """
        lag, band = self.best_lag, self.null_band
        rho = None if lag is None else self.rho[lag]
        if lag is None or rho is None or band is None or rho <= band:
            return None
        at_once = self.rho.get(0)
        return lag if not lag or (at_once is not None and rho - at_once > band) else None


def pearson(x: Sequence[float], y: Sequence[float]) -> float | None:
    """Return the plain correlation of two equally long sequences; None when either does not vary.

    >>> pearson([1, 2, 3], [2, 4, 6]), pearson([1, 2], [0, 0])
    (1.0, None)
    """
    if not x or min(x) == max(x) or min(y) == max(y):
        return None
    mean_x, mean_y = fsum(x) / len(x), fsum(y) / len(y)
    dx, dy = [a - mean_x for a in x], [b - mean_y for b in y]
    spread = sqrt(fsum(a * a for a in dx) * fsum(b * b for b in dy))
    return _bounded(fsum(a * b for a, b in zip(dx, dy, strict=True)) / spread)


def lagged_pearson(x: Sequence[float], y: Sequence[float], max_lag: int) -> LeadLag:
    """Return `pearson` of x[i] with y[i + lag] where both exist, for lags up to `max_lag` bins either way.

    >>> lagged_pearson([0, 9, 0, 1, 0, 0], [0, 0, 9, 0, 1, 0], 2).best_lag
    1
    """
    n = len(x)
    lags = range(-max_lag, max_lag + 1)
    return LeadLag({lag: pearson(x[max(0, -lag) : max(0, n - lag)], y[max(0, lag) : max(0, n + lag)]) for lag in lags})


def ewma_correlation(x: Sequence[float], y: Sequence[float], half_life_bins: float) -> float | None:
    """Return the exponentially weighted correlation: d = v - m; C <- s (C + (1 - s) d_x d_y); m <- m + (1 - s) d.

    s = 2^(-1/half-life); means begin at the first bin, variances at 0. None when either does not vary.
    """
    step = -expm1(-_LN2 / half_life_bins)
    mean_x, mean_y = (x[0], y[0]) if x else (0.0, 0.0)
    cxx = cxy = cyy = 0.0
    for a, b in zip(x, y, strict=True):
        dx, dy = a - mean_x, b - mean_y
        cxx = (1 - step) * (cxx + step * dx * dx)
        cxy = (1 - step) * (cxy + step * dx * dy)
        cyy = (1 - step) * (cyy + step * dy * dy)
        mean_x += step * dx
        mean_y += step * dy
    return _bounded(cxy / sqrt(cxx * cyy)) if cxx and cyy else None


class HayashiYoshida(Struct, frozen=True):
    """Covariance of log returns over the whole span, and their correlation; None where not defined."""

    covariance: float | None
    correlation: float | None


def hayashi_yoshida(a: Sequence[tuple[int, float]], b: Sequence[tuple[int, float]]) -> HayashiYoshida:
    """Return sum r_i r_j over all pairs of overlapping intervals (t[i-1], t[i]], and it over sqrt(sum r_i^2 sum r_j^2).

    `a` and `b` are (event time in ms, price) in order of time; trades of one millisecond count as the last of them.
    No grid, hence no bias towards 0 where the two do not trade together; short paths may exceed 1. O(n + m).

    >>> hayashi_yoshida([(0, 100.0), (1000, 101.0)], [(1000, 10.0), (2000, 11.0)])
    HayashiYoshida(covariance=0.0, correlation=0.0)
    """
    left, right = _returns(a), _returns(b)
    if not left or not right:
        return HayashiYoshida(None, None)
    products: list[float] = []
    i = j = 0
    while i < len(left) and j < len(right):
        (from_a, until_a, r_a), (from_b, until_b, r_b) = left[i], right[j]
        if max(from_a, from_b) < min(until_a, until_b):
            products.append(r_a * r_b)
        i, j = i + (until_a <= until_b), j + (until_b <= until_a)
    covariance = fsum(products)
    spread = sqrt(fsum(r * r for _, _, r in left) * fsum(r * r for _, _, r in right))
    return HayashiYoshida(covariance, covariance / spread if spread else None)


def _returns(trades: Sequence[tuple[int, float]]) -> list[tuple[int, int, float]]:
    """Return (from, until, log return) between the last trades of successive milliseconds."""
    return [
        # Of two near prices the difference is exact, the quotient is not.
        (from_ms, until_ms, log1p((after - before) / before) if 0.5 < after / before < 2 else log(after / before))
        for (from_ms, before), (until_ms, after) in pairwise(dict(trades).items())
    ]


class Synchronisation(Struct, frozen=True):
    """How often an event of one stream followed one of the other within tau; a tie counts one half each way."""

    x_after_y: float
    y_after_x: float
    q_total: float | None
    q_x_lags_y: float | None


def event_synchronisation(x_ms: Sequence[int], y_ms: Sequence[int], tau_ms: int = 1000) -> Synchronisation:
    """Return Q = (c(x after y) + c(y after x)) / sqrt(n_x n_y), and q, the same with a minus: positive, x lags.

    Counts are of pairs with 0 < t_x - t_y <= tau. Q is 1 for equal streams whose events are more than tau apart; in
    bursts, where one event has many partners, it exceeds 1. Not defined (None) when either is empty. A venue that
    publishes in slots of 1 s cannot be ordered finer than 1 s against others. Times in order; O((n + m) log m).

    >>> event_synchronisation([1100, 5200, 9100], [1000, 5000, 9000], 500).q_x_lags_y
    1.0
    """
    x_after = _twice_after(x_ms, y_ms, tau_ms)
    y_after = _twice_after(y_ms, x_ms, tau_ms)
    pairs = len(x_ms) * len(y_ms)
    scale = 2 * sqrt(pairs)
    return Synchronisation(
        x_after / 2,
        y_after / 2,
        (x_after + y_after) / scale if pairs else None,
        (x_after - y_after) / scale if pairs else None,
    )


def _twice_after(x_ms: Sequence[int], y_ms: Sequence[int], tau_ms: int) -> int:
    """Return twice the number of pairs in which x follows y, as an integer: ties are halves."""
    return sum(bisect_left(y_ms, t) + bisect_right(y_ms, t) - 2 * bisect_left(y_ms, t - tau_ms) for t in x_ms)


def _bounded(rho: float) -> float:
    return max(-1.0, min(1.0, rho))


class _Mark(Struct, frozen=True, gc=False):
    """Weighted sums of one stream through a bin: of its values and of their squares."""

    number: int
    total: float
    squares: float


_NEVER = _Mark(-1, 0.0, 0.0)


class _Stream:
    __slots__ = ("after", "events", "first", "index", "marks", "name", "since")

    def __init__(self, name: str, index: int) -> None:
        self.name = name
        self.index = index
        self.events = 0
        self.since = -1  # the bin of the first event
        self.first = 0.0  # the value of the bin at which the means begin
        self.marks = [_NEVER]  # newest last, back to the largest lag
        self.after: dict[int, list[float]] = {}  # by stream x: sums of x[bin - lag] * this[bin], lag 0, 1, ...


def _product(stream: _Stream, earlier: _Stream, lag: int) -> float:
    sums = stream.after.get(earlier.index)
    return sums[lag] if sums is not None else 0.0


_Values = list[tuple[_Stream, float]]  # of the streams with events in a bin, relative to a silent bin


class CountCorrelation:
    """Correlation and lead-lag of many streams of events, exponentially weighted, half-life 300 s.

    Values are taken relative to that of a silent bin. Then a covariance is a weighted sum of products, less the product
    of the means, and a silent bin adds nothing to either: weights grow instead of sums decaying, and only streams with
    events in a bin are touched, K (K + 1) / 2 pairs at most (of 2 x `max_lag` + 1 lags each). As in `ewma_correlation`
    the means begin at the first bin: that of `start_ms`, or else of the earliest event.

    A bin is closed `PATIENCE_MS` after its end; later events are left out (`late_total`), and so are those of streams
    beyond `limit` (`ignored_total`).

    >>> streams = CountCorrelation()
    >>> for i in range(0, 600, 7):
    ...     _ = streams.add("BTCUSDT", 1000 * i, 1 + i % 3), streams.add("ETHUSDT", 1000 * i + 2000, 1 + i % 3)
    >>> streams.advance(700_000)
    >>> streams.lead_lag("BTCUSDT", "ETHUSDT").best_lag
    2
    """

    def __init__(
        self,
        half_life_s: float = 300.0,
        start_ms: int | None = None,
        *,
        scale: Callable[[int], float] = square_root,
        max_lag: int = 5,
        limit: int = 64,
    ) -> None:
        self.late_total = 0
        self.ignored_total = 0
        self.max_lag = max_lag
        self.limit = limit
        self._scale = scale
        self._half = 1000 * half_life_s / _BIN_MS
        self._step = -expm1(-_LN2 / self._half)
        self._streams: dict[str, _Stream] = {}
        self._numbered = 0
        self._open: dict[int, dict[str, int]] = {}
        self._recent: dict[int, _Values] = {}  # of closed bins, back to the largest lag
        self._origin = None if start_ms is None else start_ms // _BIN_MS
        self._base = self._next = self._origin or 0  # the bin of weight 1; the first that is not closed
        self._newest = -1

    def add(self, stream: str, event_ms: int, count: int = 1) -> bool:
        """Add `count` events of a stream at that time, in any order within the patience; return False if left out.

        O(1).
        """
        number = event_ms // _BIN_MS
        if number > self._newest:
            self._newest = number
            self.advance(event_ms)
        elif number < self._next:
            self.late_total += count
            return False
        if stream not in self._streams:
            if len(self._streams) >= self.limit:
                self.ignored_total += count
                return False
            self._streams[stream] = _Stream(stream, self._numbered)
            self._numbered += 1
        counts = self._open.get(number)
        if counts is None:
            counts = self._open[number] = {}
        counts[stream] = counts.get(stream, 0) + count
        return True

    def advance(self, now_ms: int) -> None:
        """Close the bins that ended `PATIENCE_MS` before `now_ms`."""
        end = (now_ms - PATIENCE_MS) // _BIN_MS
        if end > self._next:
            for number in sorted(number for number in self._open if number < end):
                self._close(number, self._open.pop(number))
            self._next = end

    def streams(self) -> list[str]:
        """Return the streams that are followed, the earliest first."""
        return list(self._streams)

    def shown(self, most: int | None = None) -> list[str]:
        """Return the streams with enough events for a correlation, or the `most` busiest of them."""
        shown = [name for name, stream in self._streams.items() if stream.events >= _SHOWN_FROM]
        if most is None or len(shown) <= most:
            return shown
        busiest = set(nlargest(most, shown, key=lambda name: self._streams[name].events))
        return [name for name in shown if name in busiest]

    def drop(self, name: str) -> None:
        """Follow a stream no more: its place is free, and what was known of it is forgotten."""
        dropped = self._streams.pop(name)
        for stream in self._streams.values():
            stream.after.pop(dropped.index, None)
        for counts in self._open.values():
            counts.pop(name, None)
        self._recent = {
            number: [pair for pair in values if pair[0] is not dropped] for number, values in self._recent.items()
        }

    def correlation(self, x: str, y: str, lag: int = 0) -> float | None:
        """Return the correlation of x with y `lag` bins later, through the last closed bin.

        None before each had 10 events, and while either does not vary.
        """
        if lag < 0:
            x, y, lag = y, x, -lag
        first, second = self._streams.get(x), self._streams.get(y)
        if first is None or second is None or min(first.events, second.events) < _SHOWN_FROM:
            return None
        last = self._next - 1
        then = next((mark for mark in reversed(first.marks) if mark.number <= last - lag), _NEVER)
        now = second.marks[-1]
        if lag:
            products = _product(second, first, lag)
        elif first is second:
            products = now.squares
        else:
            older, newer = (first, second) if first.index < second.index else (second, first)
            products = _product(newer, older, 0)
        # Weighted means are step * fade * total; one factor step * fade is left out of all three moments.
        fade_now, fade_then = (self._step * exp2((self._base - last + back) / self._half) for back in (0, lag))
        variance_x = then.squares - fade_then * then.total * then.total
        variance_y = now.squares - fade_now * now.total * now.total
        if variance_x <= _NOISE * then.squares or variance_y <= _NOISE * now.squares:
            return None
        covariance = products - fade_then * then.total * now.total
        return _bounded(covariance / sqrt(variance_x * variance_y) * exp2(-lag / self._half / 2))

    def lead_lag(self, x: str, y: str) -> LeadLag:
        """Return `correlation` at all lags, positive: x leads y."""
        rho = {lag: self.correlation(x, y, lag) for lag in range(-self.max_lag, self.max_lag + 1)}
        return LeadLag(rho, None if rho[0] is None else self._null_band(x, y))

    def _null_band(self, x: str, y: str) -> float:
        """Return the null band of two streams that have a correlation at lag 0."""
        older, younger = sorted((self._streams[x], self._streams[y]), key=lambda stream: stream.since)
        end = self._next
        fade = self._step * exp2((self._base - end + 1) / self._half)
        # Both began with a value that counts as if it had always been so, mostly that of silence; until this has
        # decayed they correlate by having begun. `start` is by how much, of both together as `ratio` is of their means.
        ratio, start = 1.0, exp2((older.since - end) / self._half)
        start /= 1 - start
        for stream in (older, younger):
            mark = stream.marks[-1]
            mean = fade * mark.total
            scale = sqrt(fade / (mark.squares - mean * mark.total))  # fade / standard deviation
            ratio *= mark.total * scale
            start *= (mean - stream.first) * (scale / fade if fade else 0.0)
        alike = [
            sum(self.correlation(name, name, lag) or 0.0 for lag in range(1, self.max_lag + 1)) / max(1, self.max_lag)
            for name in (x, y)
        ]
        bins = effective_bins(self._half, end - younger.since)
        return null_band(ratio, bins, clustering(*alike), 2 * self.max_lag + 1) + max(0.0, start)

    def _close(self, number: int, counts: dict[str, int]) -> None:
        if self._origin is None:
            self._origin = self._base = number
        if number - self._base > _REBASE * self._half:
            self._rebase(number)
        weight = exp2((number - self._base) / self._half)
        if number == self._origin:
            weight /= self._step  # the means begin here, as if it had always been so
        values = [(self._streams[name], self._scale(count) - self._scale(0)) for name, count in counts.items()]
        horizon = number - self.max_lag
        for stream, value in values:
            mark = stream.marks[-1]
            total, squares = mark.total + weight * value, mark.squares + weight * value * value
            stream.marks.append(_Mark(number, total, squares))
            while len(stream.marks) > 1 and stream.marks[1].number <= horizon:
                del stream.marks[0]
            stream.events += counts[stream.name]
            if stream.since < 0:
                stream.since = number
                stream.first = value if number == self._origin else 0.0
        self._recent = {statistics: kept for statistics, kept in self._recent.items() if statistics >= horizon}
        self._recent[number] = values
        for lag in range(self.max_lag + 1):
            earlier = self._recent.get(max(number - lag, self._origin))
            if earlier is not None:
                self._couple(weight, values, earlier, lag)

    def _couple(self, weight: float, values: _Values, earlier: _Values, lag: int) -> None:
        """Add the products of all streams of a bin with all of the bin `lag` before; at lag 0 each pair once."""
        for stream, value in values:
            after, weighted = stream.after, weight * value
            for other, before in earlier:
                if not lag and other.index >= stream.index:
                    continue
                sums = after.get(other.index)
                if sums is None:
                    sums = after[other.index] = [0.0] * (self.max_lag + 1)
                sums[lag] += weighted * before

    def _rebase(self, number: int) -> None:
        """Give bin `number` the weight 1; what is far enough in the past vanishes."""
        fade = exp2((self._base - number) / self._half)
        self._base = number
        for stream in self._streams.values():
            stream.marks = [_Mark(mark.number, mark.total * fade, mark.squares * fade) for mark in stream.marks]
            stream.after = {x: [fade * total for total in sums] for x, sums in stream.after.items()} if fade else {}
