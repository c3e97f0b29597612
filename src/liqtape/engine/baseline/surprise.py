"""Surprise: a statistic of a count against the instrument's own past. Metrics definition section 5a.

S = -log10 P(N >= k). N is negative binomial with the mean and the Fano factor (variance / mean) of the instrument's own
past: liquidations come in clusters, which a Poisson distribution does not know. S is no probability all the same: on
steady streams S >= 4 is reached up to 7 times, S >= 6 up to 130 times as often as 10^-S (`python -m benchmarks
calibration`). All tails are summed in logarithms, so S stays right where P is far below the smallest float. Sources:
Loader 2000 (saddle point form of the probabilities), DiDonato and Morris 1992 (continued fraction of the incomplete
beta function).
"""

from collections.abc import Sequence
from copy import copy
from math import exp, exp2, expm1, inf, lgamma, log, log1p, pi

from msgspec import Struct

__all__ = [
    "FINAL_MS",
    "HALF_LIFE_S",
    "PRIOR_BINS",
    "SLOT_MS",
    "Baseline",
    "Expected",
    "Score",
    "Surprise",
    "expected",
    "least_count",
    "least_counts",
    "predictive",
    "surprise",
    "surprise_fano",
]

FINAL_MS = 300_000
"""Age at which a bin is fed: a burst does not feed its own baseline, and late events still find their bin."""

HALF_LIFE_S = 21_600.0

PRIOR_BINS = 30.0
"""What the prior is worth; a baseline is known once as many bins were watched."""

_PRIOR_PER_S = 1 / 3600
_PRIOR_FANO = 3.0
SLOT_MS = 10_000
"""Events are counted in slots of this length, which fit into the bins of all windows."""

_LN10 = log(10)
_LN2 = log(2)
_HALF_LN_2PI = log(2 * pi) / 2
_STIRLING = (1 / 12, -1 / 360, 1 / 1260, -1 / 1680, 1 / 1188)
_DIRECT = 16  # below, lgamma loses nothing; from here on five terms of Stirling's series are exact to a float
_SUMMED = 32  # the same for the three terms of a difference
_WALKED = 500.0  # a larger mean takes too many steps, and the chance of 0 might be below the smallest float
_SUBTRACTED = 9.0  # above, the tail is lost in the rounding of 1
_TINY = 1e-300
_EPS = 1e-16


class Expected(Struct, frozen=True, gc=False):
    """Mean count of a window and its Fano factor (variance / mean), as the past has them."""

    mean: float
    fano: float


def expected(window_s: float, weight: float, total: float, squares: float) -> Expected:
    """Return what a bin of `window_s` should bring, by the number, counts and squares of past bins, and the prior.

    The prior is 1 event/h and F = 3, worth 30 bins, and does not fade.

    >>> expected(60, 0.0, 0.0, 0.0).mean * 60
    1.0
    """
    prior = window_s * _PRIOR_PER_S
    bins = PRIOR_BINS + weight
    mean = (PRIOR_BINS * prior + total) / bins
    square = (PRIOR_BINS * (_PRIOR_FANO * prior + prior * prior) + squares) / bins
    return Expected(mean, max(square / mean - mean, 0.0))


def surprise_fano(count: int, mean: float, fano: float) -> float:
    """Return -log10 P(N >= `count`), N negative binomial with variance mean x fano; Poisson for fano <= 1.

    A statistic: real counts reach S more often than 10^-S. Infinite for a count above a mean of 0.

    >>> round(surprise_fano(12, 0.6, 3), 9), round(surprise_fano(12, 0.6, 1), 9)
    (3.054308497, 11.582648666)
    """
    return -_log_tail(count, mean, max(fano - 1, 0.0)) / _LN10 + 0.0


def surprise(count: int, events: float, seconds: float, window_s: float) -> float:
    """Return -log10 P(N >= `count`) in `window_s` for a Gamma rate (shape `events`, rate `seconds`): Gamma-Poisson.

    Right when history is short, blind to clustering; mean and Fano factor as `predictive` has them.

    >>> round(surprise(5, 1, 3600, 10), 9)
    12.78753601
    """
    return -_log_tail(count, events * window_s / seconds, window_s / seconds) / _LN10 + 0.0


def predictive(events: float, seconds: float, window_s: float) -> Expected:
    """Return what the Gamma-Poisson form expects of `window_s`.

    The mean is events x W / seconds, the Fano factor 1 + W / seconds.
    """
    return Expected(events * window_s / seconds, 1 + window_s / seconds)


def least_count(level: float, mean: float, fano: float, guess: int = 0) -> int:
    """Return the smallest count whose `surprise_fano` is at least `level`: what to compare with on a hot path.

    Found in a few steps near a good guess.

    >>> least_count(3, 0.6, 3), least_count(3, 0.6, 1)
    (12, 5)
    """
    below, reached, step = guess - 1, guess, 1
    while surprise_fano(reached, mean, fano) < level:
        below, reached, step = reached, reached + step, 2 * step
    step = 1
    while below >= 0 and surprise_fano(below, mean, fano) >= level:
        below, reached, step = max(-1, below - step), below, 2 * step
    while reached - below > 1:
        middle = (below + reached) // 2
        if surprise_fano(middle, mean, fano) < level:
            below = middle
        else:
            reached = middle
    return reached


def least_counts(
    levels: Sequence[float], mean: float, fano: float, guesses: Sequence[int] | None = None
) -> Sequence[int]:
    """Return `least_count` for several levels in ascending order, in one pass over the counts: 0.1 us a count.

    Where there are too many to pass over, from `guesses`.

    >>> least_counts((2.0, 3.0, 6.0), 0.6, 3)
    [7, 12, 28]
    """
    if mean > _WALKED or levels[-1] > _SUBTRACTED:
        known = [0] * len(levels) if guesses is None else guesses
        return [least_count(level, mean, fano, guess) for level, guess in zip(levels, known, strict=True)]
    excess = max(fano - 1, 0.0)
    r, share = (mean / excess, excess / (1 + excess)) if excess else (mean, 0.0)
    chance = exp(-r * log1p(excess)) if excess else exp(-mean)
    found: list[int] = []
    tail, k = 1.0, 0  # tail = P(N >= k), chance = P(N = k)
    for level in levels:
        limit = 10**-level
        while tail > limit:
            tail -= chance
            k += 1
            chance *= (share * (r + k - 1) if excess else r) / k
        found.append(k)
    return found


def _log_tail(k: int, mean: float, excess: float) -> float:
    """Return ln P(N >= k) at Fano factor 1 + `excess`.

    P is the incomplete beta function I_x(k, r), r = mean / excess, x = excess / (1 + excess). Its fraction converges
    fast above the mean, that of its complement below; `_log_tail_of_few` takes the corner where neither does.
    """
    if k <= 0:
        return 0.0
    if mean <= 0:
        return -inf
    p, x = 1 / (1 + excess), excess / (1 + excess)
    if excess > mean and k * p <= 1:
        return _log_tail_of_few(k, mean / excess, excess)
    body = _log_probability(k, mean, excess) + log(k)
    if k > mean:
        return body - log(_fraction(1 / k, mean * p, x, k * p))
    return log1p(-exp(body - log(_fraction(excess / mean, k * p, p, mean * p))))


def _log_tail_of_few(k: int, r: float, excess: float) -> float:
    """Return ln P(N >= k) for r < 1 and k below the Fano factor: almost always nothing, seldom very much.

    P(N < k) = p^r prod_{j<k} (1 + r/j) (1 + r sum_n (-1)^n C(k-1, n) p^n / (r + n)) is so near to 1 that 1 - P would
    cancel; its logarithm is a sum of terms of order r.
    """
    p = 1 / (1 + excess)
    term, total = 1.0, 0.0
    for n in range(1, k):
        term *= -(k - n) / n * p
        total += term / (r + n)
        if -_EPS < term < _EPS:
            break
    return log(-expm1(-r * log1p(excess) + _log_rising(r, k) + log1p(r * total)))


def _log_rising(r: float, k: int) -> float:
    """Return sum_{j=1}^{k-1} ln(1 + r/j), relatively exact also for tiny r."""
    total = sum(log1p(r / j) for j in range(1, min(k, _SUMMED)))
    return total + _gamma_step(k, r) - _gamma_step(_SUMMED, r) if k > _SUMMED else total


def _gamma_step(z: int, r: float) -> float:
    """Return ln Gamma(z + r) - ln Gamma(z) for z >= 32, by Stirling's series term by term, each of order r."""
    y = z + r
    steps = -1 / (12 * y * z) + (y * y + y * z + z * z) / (360 * (y * z) ** 3)
    steps -= (y**4 + y**3 * z + y * y * z * z + y * z**3 + z**4) / (1260 * (y * z) ** 5)
    return (z - 0.5) * log1p(r / z) + r * (log(y) - 1 + steps)


def _log_probability(k: int, mean: float, excess: float) -> float:
    """Return ln P(N = k), k >= 1: differences of lgamma would lose six digits at k = 1e5, deviances lose none."""
    p = 1 / (1 + excess)
    value = -_HALF_LN_2PI - log(k) / 2 - _stirling_error(k)
    value -= k * _deviance((k - mean) / k * p, excess * p + mean / k * p)
    r = mean / excess if excess else inf
    if r < 1e17:  # above, a Poisson variable to the last digit
        value += _stirling_error(k + r) - _stirling_error(r) - log1p(k / r) / 2
        value -= r * _deviance((mean - k) / r * p, p + k / r * p)
    return value


def _stirling_error(z: float) -> float:
    """Return ln Gamma(z + 1) - ((z + 1/2) ln z - z + ln(2 pi) / 2)."""
    if z < _DIRECT:
        return lgamma(z + 1) - (z + 0.5) * log(z) + z - _HALF_LN_2PI
    a, b, c, d, e = _STIRLING
    s = 1 / (z * z)
    return (a + s * (b + s * (c + s * (d + s * e)))) / z


def _deviance(e: float, ratio: float) -> float:
    """Return -ln(ratio) - e, where ratio = 1 - e; by its series e^2/2 + e^3/3 + ... where that would cancel."""
    if not -0.1 < e < 0.1:
        return -log(ratio) - e
    total, power, n = 0.0, e, 1
    while True:
        power *= e
        n += 1
        before, total = total, total + power / n
        if total == before:
            return total


def _fraction(inverse_a: float, bx: float, x: float, ay: float) -> float:
    """Return x^a y^b / B(a, b) / I_x(a, b), y = 1 - x, by Lentz's method.

    It goes by 1/a and products that have a Poisson limit.
    """
    value = (ay - bx + 1) / (1 + inverse_a)
    c, d = value, 0.0
    for n in range(1, 100_000):
        odd = 1 + (2 * n - 1) * inverse_a
        left = 1 + (n - 1) * inverse_a
        rest = n * (bx - n * x)
        numerator = left * (left * x + bx * inverse_a) * rest / (odd * odd)
        term = n + rest * inverse_a / odd
        term += (1 + n * inverse_a) * (ay - bx + 1 + n * (2 - x)) / (1 + (2 * n + 1) * inverse_a)
        d = 1 / (term + numerator * d or _TINY)
        c = term + numerator / c or _TINY
        value *= c * d
        if -_EPS < c * d - 1 < _EPS:
            break
    return value


class Baseline:
    """Exponentially weighted mean and variance of counts in W-second bins: half-life 6 h, from `start_ms` on.

    Of each past bin: weight 2^(-age / half-life); on top a prior of 1 event/h and F = 3 worth 30 bins, which does not
    fade. Only bins that ended 300 s ago are fed, so an event up to 300 s late still finds its bin. Time is the newest
    event or what was asked for; a silent stretch costs the same however long it was.

    >>> baseline = Baseline(0)
    >>> for minute in range(600): _ = baseline.add(60_000 * minute, 6)
    >>> expected = baseline.expect(36_000_000)
    >>> round(expected.mean, 3), round(expected.fano, 3)
    (5.533, 0.466)
    """

    __slots__ = (
        "_gaps",
        "_half",
        "_newest_ms",
        "_next",
        "_pending",
        "_squares",
        "_step",
        "_sum",
        "_weight",
        "_width_ms",
    )

    def __init__(self, start_ms: int, window_s: int = 60, half_life_s: float = HALF_LIFE_S) -> None:
        self._width_ms = 1000 * window_s
        self._half = half_life_s / window_s
        self._step = -expm1(-_LN2 / self._half)
        self._next = -(-start_ms // self._width_ms)  # the first whole bin
        self._newest_ms = start_ms
        self._pending: dict[int, int] = {}
        self._gaps: list[tuple[int, int]] = []  # (first bin, bin after the last)
        self._weight = self._sum = self._squares = 0.0

    def add(self, event_ms: int, count: int = 1) -> bool:
        """Add `count` events at that time; return False when their bin was fed already or began before the start.

        O(1).
        """
        number = event_ms // self._width_ms
        if number < self._next:
            return False
        self._pending[number] = self._pending.get(number, 0) + count
        if event_ms > self._newest_ms:
            self._advance(event_ms)
        return True

    def unwatched(self, from_ms: int, until_ms: int) -> None:
        """Leave out the bins of a span in which nothing could be seen. Spans come in order of time; one may grow."""
        first, end = from_ms // self._width_ms, -(-until_ms // self._width_ms)
        if self._gaps and first <= self._gaps[-1][1]:
            first, end = self._gaps[-1][0], max(end, self._gaps.pop()[1])
        self._gaps.append((first, end))

    def expect(self, now_ms: int, live_s: float | None = None) -> Expected:
        """Return what `live_s` (W seconds unless told) should bring; times never go back by more than the 300 s."""
        self._advance(now_ms)
        window_s = self._width_ms / 1000
        whole = expected(window_s, self._weight, self._sum, self._squares)
        share = 1.0 if live_s is None else live_s / window_s
        return Expected(whole.mean * share, whole.fano)

    def foreseen(self, now_ms: int) -> Expected:
        """Return what `expect` would, and stay as it is: asking changes no later answer, not by the last bit."""
        other = copy(self)
        other._pending, other._gaps = dict(self._pending), list(self._gaps)
        return other.expect(now_ms)

    def history(self, now_ms: int) -> tuple[float, float]:
        """Return (events, seconds) seen, weighted and with the prior.

        They are shape and rate of the Gamma-Poisson `surprise`.
        """
        self._advance(now_ms)
        window_s = self._width_ms / 1000
        return PRIOR_BINS * window_s * _PRIOR_PER_S + self._sum, (PRIOR_BINS + self._weight) * window_s

    def _advance(self, now_ms: int) -> None:
        self._newest_ms = max(self._newest_ms, now_ms)
        end = (self._newest_ms - FINAL_MS) // self._width_ms
        if end <= self._next:
            return
        while self._gaps and self._gaps[0][0] < end:
            first, after = self._gaps[0]
            self._observe(first)
            self._decay_to(min(after, end), 0.0)
            if after > end:
                break
            del self._gaps[0]
        self._observe(end)

    def _observe(self, end: int) -> None:
        """Feed the bins before `end`, those without events at once."""
        for number in sorted(number for number in self._pending if number < end):
            if number >= self._next:
                count = self._pending[number]
                self._decay_to(number + 1, 1.0)
                self._sum += count
                self._squares += count * count
            del self._pending[number]
        self._decay_to(end, 1.0)

    def _decay_to(self, end: int, seen: float) -> None:
        """Decay by the bins before `end`; they weigh 1 + s + s^2 + ... if they were seen."""
        if end > self._next:
            lost = -expm1(-_LN2 * (end - self._next) / self._half)
            self._weight += lost * (seen / self._step - self._weight)
            fade = exp2((self._next - end) / self._half)
            self._sum *= fade
            self._squares *= fade
            self._next = end


class Score(Struct, frozen=True, gc=False):
    """A surprise with the mean and the Fano factor it was measured by."""

    surprise: float
    mean: float
    fano: float


class Surprise:
    """Surprise of one instrument's counts in windows of 10, 60 and 300 s, each with a baseline of its own bins.

    Events are counted in slots of 10 s, which fit into all three, and reach the baselines when they are final.

    >>> unusual = Surprise(0)
    >>> for minute in range(600): _ = unusual.add(60_000 * minute)
    >>> score = unusual.score(12, 36_000_000)
    >>> round(score.surprise, 3), round(score.mean, 3)
    (9.465, 0.923)
    """

    __slots__ = ("_baselines", "_limit", "_newest", "_slots")

    def __init__(self, start_ms: int, windows: Sequence[int] = (10, 60, 300)) -> None:
        if any(1000 * window_s % SLOT_MS for window_s in windows):
            raise ValueError(f"windows are multiples of {SLOT_MS // 1000} s, not {list(windows)}")
        self._baselines = {window_s: Baseline(start_ms, window_s) for window_s in windows}
        self._slots: dict[int, int] = {}
        self._newest = self._limit = start_ms // SLOT_MS

    def add(self, event_ms: int, count: int = 1) -> bool:
        """Add `count` events at that time; return False when more than 300 s late. O(1)."""
        slot = event_ms // SLOT_MS
        if slot > self._newest:
            self._newest = slot
            self._finalize(slot - FINAL_MS // SLOT_MS)
        elif slot < self._limit:
            return False
        self._slots[slot] = self._slots.get(slot, 0) + count
        return True

    def unwatched(self, from_ms: int, until_ms: int) -> None:
        """Leave out a span in which nothing could be seen, as `Baseline.unwatched`."""
        for baseline in self._baselines.values():
            baseline.unwatched(from_ms, until_ms)

    def expect(self, now_ms: int, window_s: int = 60, live_s: float | None = None) -> Expected:
        """Return the mean and Fano factor of the window; `live_s` is its live part, all of it unless told."""
        return self._finalized(now_ms, window_s).expect(now_ms, live_s)

    def score(self, count: int, now_ms: int, window_s: int = 60, live_s: float | None = None) -> Score | None:
        """Return the surprise of `count` in (now - W, now], Fano form; None without live time."""
        if live_s is not None and live_s <= 0:
            return None
        expected = self.expect(now_ms, window_s, live_s)
        return Score(surprise_fano(count, expected.mean, expected.fano), expected.mean, expected.fano)

    def gamma_poisson(self, count: int, now_ms: int, window_s: int = 60, live_s: float | None = None) -> float | None:
        """Return the same in the Gamma-Poisson form."""
        live_s = window_s if live_s is None else live_s
        if live_s <= 0:
            return None
        return surprise(count, *self._finalized(now_ms, window_s).history(now_ms), live_s)

    def _finalized(self, now_ms: int, window_s: int) -> Baseline:
        self._finalize((now_ms - FINAL_MS) // SLOT_MS)
        return self._baselines[window_s]

    def _finalize(self, limit: int) -> None:
        """Hand the slots before `limit` to the baselines."""
        if limit <= self._limit:
            return
        self._limit = limit
        for slot in [slot for slot in self._slots if slot < limit]:
            count = self._slots.pop(slot)
            for baseline in self._baselines.values():
                baseline.add(slot * SLOT_MS, count)
