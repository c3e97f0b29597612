"""Realised volatility of a price: batch estimators. Metrics definition section 3.

Returns are log returns on a grid of previous ticks: the price at a grid point is that of the last trade until then.
Sources: Barndorff-Nielsen and Shephard 2004 (bipower), Huang and Tauchen 2005 (jump test), Zhang, Mykland and
Ait-Sahalia 2005 (two scales).
"""

from collections.abc import Iterable, Sequence
from itertools import pairwise
from math import fsum, gamma, inf, log, pi, sqrt

from msgspec import Struct

__all__ = [
    "YEAR_S",
    "Realised",
    "TwoScale",
    "ewma_variances",
    "grid_returns",
    "log_return",
    "realised",
    "realised_of",
    "realised_of_spells",
    "sigma_annual",
    "two_scale",
    "volatility_factor",
]

YEAR_S = 31_536_000
_JUMP_SCALE = (pi / 2) ** 2 + pi - 5
_TRIPOWER = 2 ** (2 / 3) * gamma(7 / 6) / gamma(1 / 2)  # E|Z|^(4/3)


class Realised(Struct, frozen=True):
    """Realised variance of a window and what follows from it; None where not defined.

    `rv` is the sum of squared log returns, `bipower` the part of it without jumps, `tripower` the integrated
    quarticity, `jump_z` standard normal without jumps (a jump: above 3.09).
    """

    n_returns: int
    coverage_s: float
    rv: float
    bipower: float | None
    tripower: float | None

    @property
    def sigma_per_sqrt_s(self) -> float | None:
        """Volatility per square root of a second; None without coverage."""
        return sqrt(self.rv / self.coverage_s) if self.coverage_s else None

    @property
    def sigma_annual(self) -> float | None:
        """Volatility per square root of a year of 365 days; None without coverage."""
        return sigma_annual(self.rv / self.coverage_s) if self.coverage_s else None

    @property
    def jump_share(self) -> float | None:
        """max(0, 1 - BV/RV): the share of the variance that came in jumps; None without variance."""
        return max(0.0, 1 - self.bipower / self.rv) if self.rv and self.bipower is not None else None

    @property
    def jump_z(self) -> float | None:
        """(1 - BV/RV) / sqrt(((pi/2)^2 + pi - 5) / n * max(1, TP/BV^2)); None when BV is 0."""
        if not self.rv or not self.bipower or self.tripower is None:
            return None
        spread = _JUMP_SCALE / self.n_returns * max(1.0, self.tripower / self.bipower / self.bipower)
        return (1 - self.bipower / self.rv) / sqrt(spread)


def sigma_annual(variance_per_s: float) -> float:
    """Return the volatility per square root of a year of 365 days.

    >>> round(sigma_annual(1e-8), 4)
    0.5616
    """
    return sqrt(variance_per_s * YEAR_S)


def log_return(before: float, after: float) -> float:
    """Return ln(after / before), also where the quotient leaves the range of floats.

    >>> log_return(2.0, 2.0), round(log_return(1e-300, 1e300), 3)
    (0.0, 1381.551)
    """
    quotient = after / before
    return log(quotient) if 0.0 < quotient < inf else log(after) - log(before)


def grid_returns(trades: Sequence[tuple[int, float]], now_ms: int, seconds: int, grid_ms: int = 1000) -> list[float]:
    """Log returns at the grid points in (now - T, now], as far back as there was a trade before them.

    `trades` are (event time in ms, price) in order of time; grid points lie at now, now - grid, ...

    >>> [round(r, 6) for r in grid_returns([(0, 100.0), (1_500, 101.0)], 3_000, 3)]
    [0.0, 0.00995, 0.0]
    """
    prices: list[float] = []
    last: float | None = None
    i = 0
    for point in range(now_ms - 1000 * seconds // grid_ms * grid_ms, now_ms + 1, grid_ms):
        while i < len(trades) and trades[i][0] <= point:
            last = trades[i][1]
            i += 1
        if last is not None:
            prices.append(last)
    return [log_return(before, after) for before, after in pairwise(prices)]


def realised(trades: Sequence[tuple[int, float]], now_ms: int, seconds: int, grid_ms: int = 1000) -> Realised:
    """Return the realised variance over (now - T, now]."""
    return realised_of(grid_returns(trades, now_ms, seconds, grid_ms), grid_ms / 1000)


def realised_of(returns: Sequence[float], grid_s: float = 1.0) -> Realised:
    """Return the realised variance of returns that follow each other `grid_s` seconds apart.

    RV = sum r^2; BV = (pi/2) (n/(n-1)) sum |r_j||r_{j-1}|; TP = n (n/(n-2)) E|Z|^(4/3)^-3 sum of the products of three
    neighbours to the power 4/3.

    >>> realised_of([0.01, -0.01]).rv
    0.0002
    """
    return realised_of_spells([returns], grid_s)


def realised_of_spells(spells: Iterable[Sequence[float]], grid_s: float = 1.0) -> Realised:
    """Return the realised variance of spells of returns with gaps between them; neighbours are within a spell.

    As `realised_of`, with the number of neighbouring pairs for n - 1 and of triples for n - 2.
    """
    squares: list[float] = []
    pairs: list[float] = []
    triples: list[float] = []
    for returns in spells:
        sizes = [abs(r) for r in returns]
        squares += [r * r for r in returns]
        pairs += [a * b for a, b in pairwise(sizes)]
        triples += [(a * b * c) ** (4 / 3) for a, b, c in zip(sizes, sizes[1:], sizes[2:], strict=False)]
    n = len(squares)
    bipower = pi / 2 * n / len(pairs) * fsum(pairs) if pairs else None
    tripower = n * n / len(triples) * _TRIPOWER**-3 * fsum(triples) if triples else None
    return Realised(n, n * grid_s, fsum(squares), bipower, tripower)


def ewma_variances(trades: Sequence[tuple[int, float]], half_life_s: float) -> list[float]:
    """Return the variance per second after each trade but the first, weighted by elapsed time.

    x = r^2 / dt; v <- v + (1 - 2^(-dt/half)) (x - v), beginning with the first x. Trades of one millisecond count as
    the last of them; `trades` are in order of time.

    >>> ewma_variances([(0, 50_000.0), (1_000, 50_000.0)], 60)
    [0.0]
    """
    variances: list[float] = []
    for (before_ms, before), (at_ms, price) in pairwise(_last_of_each_ms(trades)):
        dt = (at_ms - before_ms) / 1000
        x = log_return(before, price) ** 2 / dt
        last = variances[-1] if variances else x
        variances.append(last + (1 - 2 ** (-dt / half_life_s)) * (x - last))
    return variances


def _last_of_each_ms(trades: Sequence[tuple[int, float]]) -> list[tuple[int, float]]:
    return list(dict(trades).items())


class TwoScale(Struct, frozen=True):
    """Realised variance on all prices and averaged over K sparse grids, and what is left without noise."""

    rv_all: float
    rv_avg: float
    tsrv: float
    noise_variance: float


def two_scale(prices: Sequence[float], k: int) -> TwoScale:
    """Return TSRV = (RV_avg(K) - (nbar/n) RV_all) / (1 - nbar/n), nbar = (n - K + 1)/K; noise RV_all / (2n).

    Only needed on grids below a second. Raises ValueError for fewer than K + 1 prices.
    """
    n = len(prices) - 1
    if not 1 < k <= n:
        raise ValueError(f"two scales need 1 < K <= {n}, not {k}")
    logs = [log(price) for price in prices]
    rv_all = fsum((b - a) ** 2 for a, b in pairwise(logs))
    rv_avg = fsum((b - a) ** 2 for a, b in zip(logs, logs[k:], strict=False)) / k
    share = (n - k + 1) / k / n
    return TwoScale(rv_all, rv_avg, (rv_avg - share * rv_all) / (1 - share), rv_all / (2 * n))


def volatility_factor(rv_short: float, short_s: float, rv_long: float, long_s: float) -> float | None:
    """Return sqrt((RV_short/T_short) / (RV_long/T_long)): 1 as usual, 2 twice; None without variance in the long run.

    >>> volatility_factor(0.0001, 300, 0.0288, 86_400)
    1.0
    """
    if not rv_long or not short_s or not long_s:
        return None
    return sqrt(rv_short / short_s / (rv_long / long_s))
