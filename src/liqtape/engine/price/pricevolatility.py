"""Volatility of a price while it comes in: the estimators of `volatility`, a grid second at a time.

Naive: keep a day of trades and sum their returns again at each evaluation. Here a second that is over is one float in a
ring of a day, and two sums follow it. Running float sums would leave a residue that a flat day shows as volatility, or
as a negative variance; so squares are added as integers and, when their return leaves the ring, the same integers are
subtracted.
"""

from __future__ import annotations  # array[float] cannot be evaluated before Python 3.12

from array import array
from itertools import groupby
from math import inf, isnan, ldexp, nan

from liqtape.engine.price.volatility import Realised, log_return, realised_of_spells, volatility_factor

__all__ = ["HALF_LIVES_S", "LONG_S", "SHORT_S", "PriceVolatility"]

SHORT_S = 300
LONG_S = 86_400
HALF_LIVES_S = (60, 86_400)
_NEEDED_S = 3_600
_FEW_S = 3_600  # so many seconds are put one by one, at 1.5 us; what is in a whole day is counted anew in 5 ms

# The return of two different floats is at least 2^-53 in size, so its square is a multiple of 2^-160: nothing is lost.
_SCALE_BITS = 160


def _square(r: float) -> int:
    return int(ldexp(r * r, _SCALE_BITS))


class _Horizon:
    """Number and sum of squares of the returns in the last `seconds` grid seconds."""

    __slots__ = ("n", "seconds", "squares")

    def __init__(self, seconds: int) -> None:
        self.seconds = seconds
        self.n = 0
        self.squares = 0

    @property
    def rv(self) -> float:
        return ldexp(float(self.squares), -_SCALE_BITS)


class PriceVolatility:
    """Realised variance of the last 300 s and of the last day, and exponentially weighted, of one price.

    The grid are the whole seconds of the trades' own time, the price at each that of the last trade until then (of
    those of one millisecond, the last to come). A second is over when a trade or an evaluation lies behind it, and does
    not change any more: trades that come later than that are ignored (`late_total`). Silence is a price that does not
    move; call `switched` where it means that nobody knows the price.

    >>> price = PriceVolatility()
    >>> for i in range(4_000):
    ...     price.add(100.0 + i % 2, 1_000 * i)
    >>> round(price.volatility_factor(3_999_000), 12), price.realised(3_999_000).n_returns
    (1.0, 300)
    """

    def __init__(self) -> None:
        self.late_total = 0
        self._returns = array("d", (nan,)) * LONG_S  # of grid second s at s % LONG_S; not a number: none
        self._closed: int | None = None  # the last grid second that is over
        self._at_price: float | None = None  # the price at it
        self._price: float | None = None  # the last trade's
        self._price_ms = 0
        self._short = _Horizon(SHORT_S)
        self._long = _Horizon(LONG_S)
        self._variances: list[float | None] = [None] * len(HALF_LIVES_S)
        self._realised: tuple[int, Realised] | None = None

    def add(self, price: float, event_ms: int) -> None:
        """Take a trade. Raises ValueError for a price that is not a positive number, and changes nothing then."""
        if not 0.0 < price < inf:
            raise ValueError(f"a price is a positive number, not {price}")
        second, closed = -(-event_ms // 1000), self._closed
        if closed is None:
            self._closed = second - 1
        elif second <= closed:
            self.late_total += 1
            return
        elif second > closed + 1:
            self._close(closed, second - 1)
        if self._price is None or event_ms >= self._price_ms:
            self._price, self._price_ms = price, event_ms

    def switched(self) -> None:
        """Begin anew with the trades of another source: there is no return from the last price to the next."""
        self._price = self._at_price = None

    def volatility_factor(self, now_ms: int) -> float | None:
        """Return the volatility of the last 300 s over that of the last day; None before an hour of it is covered."""
        self._advance(now_ms)
        short, long = self._short, self._long
        if long.n < _NEEDED_S:
            return None
        return volatility_factor(short.rv, short.n, long.rv, long.n)

    def long_coverage(self, now_ms: int) -> float:
        """Return the share of the last day's seconds that have a return."""
        self._advance(now_ms)
        return self._long.n / LONG_S

    def realised(self, now_ms: int) -> Realised:
        """Return the realised variance, bipower and jump test over the last 300 grid seconds, once a second."""
        self._advance(now_ms)
        closed = self._closed or 0
        if self._realised is None or self._realised[0] != closed:
            slots = [self._returns[s % LONG_S] for s in range(closed - SHORT_S + 1, closed + 1)]
            spells = [list(spell) for is_gap, spell in groupby(slots, isnan) if not is_gap]
            self._realised = closed, realised_of_spells(spells)
        return self._realised[1]

    def ewma(self, half_life_s: int, now_ms: int) -> float | None:
        """Return the variance per second, weighted with a half-life of 60 or 86,400 s; None before the first return.

        Seconds without a return, as at `switched`, leave it as it is. Raises ValueError for another half-life.
        """
        i = HALF_LIVES_S.index(half_life_s)
        self._advance(now_ms)
        return self._variances[i]

    def _advance(self, now_ms: int) -> None:
        if self._closed is not None and now_ms // 1000 > self._closed:
            self._close(self._closed, now_ms // 1000)

    def _close(self, closed: int, last: int) -> None:
        """Close the grid seconds in (closed, last]: the first may have a return, behind it the price stands still."""
        before, price = self._at_price, self._price
        self._put(closed + 1, nan if before is None or price is None else log_return(before, price))
        self._at_price = price
        if last > closed + 1:
            self._put_quiet(closed + 2, last - closed - 1, nan if price is None else 0.0)
        self._closed = last

    def _put(self, second: int, r: float) -> None:
        returns = self._returns
        square = 0 if isnan(r) else _square(r)
        for horizon in (self._short, self._long):
            left = returns[(second - horizon.seconds) % LONG_S]
            if not isnan(left):
                horizon.n -= 1
                horizon.squares -= _square(left)
            if not isnan(r):
                horizon.n += 1
                horizon.squares += square
        returns[second % LONG_S] = r
        if not isnan(r):
            self._weigh(r * r, 1)

    def _put_quiet(self, first: int, seconds: int, r: float) -> None:
        """Put `r`, which is 0 or none, for so many seconds; never more work than for a day."""
        if seconds < _FEW_S:
            for second in range(first, first + seconds):
                self._put(second, r)
            return
        filled = min(seconds, LONG_S)
        start = (first + seconds - filled) % LONG_S
        before_end = min(filled, LONG_S - start)
        self._returns[start : start + before_end] = array("d", (r,)) * before_end
        self._returns[: filled - before_end] = array("d", (r,)) * (filled - before_end)
        for horizon in (self._short, self._long):
            self._count(horizon, first + seconds)
        if not isnan(r):
            self._weigh(0.0, seconds)

    def _count(self, horizon: _Horizon, end: int) -> None:
        """Count anew what is in the seconds before `end`."""
        returns, start = self._returns, (end - horizon.seconds) % LONG_S
        found = returns[start : start + horizon.seconds]
        found += returns[: horizon.seconds - len(found)]
        horizon.n = sum(1 for r in found if r == r)  # noqa: PLR0124 - unlike nan
        horizon.squares = sum(_square(r) for r in found if r and r == r)  # noqa: PLR0124

    def _weigh(self, x: float, seconds: int) -> None:
        """Do v <- v + (1 - 2^(-dt/half)) (x - v) `seconds` times, which for equal x is once with their sum."""
        for i, half_life_s in enumerate(HALF_LIVES_S):
            last = self._variances[i]
            self._variances[i] = x if last is None else last + (1 - 2.0 ** (-seconds / half_life_s)) * (x - last)
