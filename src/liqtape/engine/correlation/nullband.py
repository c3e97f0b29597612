"""How large the best of several lagged correlations gets when two streams have nothing to do with each other.

Naive: 2 / sqrt(n). But of eleven lags the best is taken, the weights fade, events come in clusters, and of rare events
a single coincidence is a correlation of 0.1. So: in n effective bins the sum of products of independent streams has
the mean n m_x m_y and, with B for the clusters, B times the variance of independent bins (Bartlett 1946); a gamma
distribution with these two moments is right for many events, where it is normal, and for few, where coincidences are
counted. The band is its quantile at 1 - 5 % / lags, so that the best lag is above it in 5 % of cases at most. How
often that is was simulated: tests/engine/test_nullband.py.
"""

from math import exp2, expm1, log, sqrt
from statistics import NormalDist

__all__ = ["CHANCE", "clustering", "effective_bins", "null_band"]

CHANCE = 0.05
"""Share of independent pairs whose best lag is above the band."""

_CLUSTER_BINS = 25  # as if events of a cluster were as much alike for so long as in the first five seconds
_LEAST_COINCIDENCES = 2.0  # one alone says nothing, however rare the events


def effective_bins(half_life_bins: float, bins: int) -> float:
    """Return (sum of weights)^2 / sum of squared weights of the last `bins`, of weights s^age, s = 2^(-1/half-life).

    >>> round(effective_bins(300.0, 10**6)), round(effective_bins(300.0, 10), 2)
    (866, 10.0)
    """
    faded = exp2(-bins / half_life_bins)
    s = exp2(-1 / half_life_bins)
    return (1 + s) / -expm1(-log(2) / half_life_bins) * (1 - faded) / (1 + faded)


def clustering(mean_x: float, mean_y: float) -> float:
    """Return Bartlett's factor 1 + 2 sum of rho_x(k) rho_y(k), from the means of the autocorrelations at lags 1 to 5.

    >>> clustering(0.0, 0.3), clustering(0.2, 0.2)
    (1.0, 3.0)
    """
    return 1 + 2 * _CLUSTER_BINS * max(0.0, mean_x) * max(0.0, mean_y)


def null_band(mean_ratio: float, bins: float, factor: float, lags: int) -> float:
    """Return what the best of `lags` correlations of independent streams exceeds in 5 % of cases at most.

    `mean_ratio` is m_x m_y / (sd_x sd_y) of the values relative to a silent bin, above 0; `bins` the effective number
    of them, `factor` that of `clustering`. At most 1, which nothing exceeds: then too little is left of either stream.

    >>> round(null_band(1.0, 866.0, 1.0, 11), 3), round(null_band(0.01, 866.0, 1.0, 11), 3)
    (0.091, 0.221)
    """
    if mean_ratio * bins <= _LEAST_COINCIDENCES / 2:
        return 1.0
    z = NormalDist().inv_cdf(1 - CHANCE / lags)
    shape = mean_ratio * mean_ratio * bins / factor
    # Wilson and Hilferty 1931: the quantile of a gamma distribution of that shape and scale 1
    quantile = shape * max(0.0, 1 - 1 / (9 * shape) + z / (3 * sqrt(shape))) ** 3
    return min(1.0, max(quantile, _LEAST_COINCIDENCES) * factor / (bins * mean_ratio) - mean_ratio)
