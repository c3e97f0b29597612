"""The distributions that tests need, where the standard library has none: Student's t, Wilson's interval, sums."""

from collections.abc import Callable, Iterable, Sequence
from math import exp, inf, lgamma, log, log1p, sqrt

__all__ = [
    "poisson_binomial",
    "poisson_interval",
    "student_quantile",
    "student_tail",
    "sum_distribution",
    "wilson_interval",
]

_TINY = 1e-300
_CONVERGED = 1e-15
_MOST_TERMS = 10_000
_Z = 1.959963984540054
_NEGLIGIBLE = 1e-18
_SIDE = 0.025
_MOST_EXACT = 400


def student_tail(t: float, freedom: int) -> float:
    """Return P(T >= t) for Student's t.

    >>> round(student_tail(2.0, 10), 6)
    0.036694
    """
    if abs(t) == inf:
        return 0.0 if t > 0 else 1.0
    square = t * t
    if square < 1:
        half = 0.5 * _incomplete_beta(0.5, 0.5 * freedom, square / (freedom + square))
        return 0.5 - half if t >= 0 else 0.5 + half
    tail = 0.5 * _incomplete_beta(0.5 * freedom, 0.5, freedom / (freedom + square))
    return tail if t >= 0 else 1 - tail


def student_quantile(upper: float, freedom: int) -> float:
    """Return the t that is exceeded with probability `upper`, at most one half.

    >>> round(student_quantile(0.025, 10), 4)
    2.2281
    """
    low, high = 0.0, 1.0
    while student_tail(high, freedom) > upper:
        high *= 2
    for _ in range(200):
        middle = 0.5 * (low + high)
        if middle in {low, high}:
            break
        low, high = (middle, high) if student_tail(middle, freedom) > upper else (low, middle)
    return high


def wilson_interval(part: int, whole: int) -> tuple[float, float]:
    """Return the 95 % interval of a proportion (Wilson 1927).

    >>> [round(end, 3) for end in wilson_interval(49, 76)]
    [0.533, 0.743]
    """
    if not whole:
        return 0.0, 1.0
    share, more = part / whole, _Z * _Z / whole
    centre, reach = share + more / 2, _Z * sqrt(share * (1 - share) / whole + more / (4 * whole))
    low = (centre - reach) / (1 + more) if part else 0.0
    return low, (centre + reach) / (1 + more) if part < whole else 1.0


def poisson_interval(count: int) -> tuple[float, float]:
    """Return the 95 % interval of the mean of a Poisson number of which one was seen (Garwood 1936).

    >>> [round(end, 2) for end in poisson_interval(5)]
    [1.62, 11.67]
    """
    if count > _MOST_EXACT:  # Wilson and Hilferty 1931
        more = count + 1
        low = count * (1 - 1 / (9 * count) - _Z / (3 * sqrt(count))) ** 3
        return low, more * (1 - 1 / (9 * more) + _Z / (3 * sqrt(more))) ** 3
    low = _where(lambda mean: _poisson_at_most(count - 1, mean) < 1 - _SIDE, count) if count else 0.0
    return low, _where(lambda mean: _poisson_at_most(count, mean) < _SIDE, count)


def sum_distribution(one: Sequence[float], other: Sequence[float]) -> list[float]:
    """Return how probable each sum of two independent numbers is.

    >>> sum_distribution([0.5, 0.5], [0.5, 0.5])
    [0.25, 0.5, 0.25]
    """
    weights = [0.0] * (len(one) + len(other) - 1)
    for place, weight in enumerate(one):
        for more, second in enumerate(other):
            weights[place + more] += weight * second
    return weights


def poisson_binomial(probabilities: Iterable[float]) -> list[float]:
    """Return how probable each number of successes is, where each trial has a probability of its own.

    Numbers that weigh nothing are left out at the top.

    >>> poisson_binomial([0.5, 0.5])
    [0.25, 0.5, 0.25]
    """
    weights = [1.0]
    for p in probabilities:
        if p <= 0:
            continue
        weights.append(0.0)
        for place in range(len(weights) - 1, 0, -1):
            weights[place] += (weights[place - 1] - weights[place]) * p
        weights[0] *= 1 - p
        while len(weights) > 1 and weights[-1] < _NEGLIGIBLE:
            weights.pop()
    return weights


def _poisson_at_most(count: int, mean: float) -> float:
    term = total = exp(-mean)
    for k in range(1, count + 1):
        term *= mean / k
        total += term
    return total


def _where(is_beyond: Callable[[float], bool], near: int) -> float:
    """The mean from which on it is so."""
    low, high = 0.0, near + 10 * sqrt(near + 1)
    for _ in range(100):
        middle = 0.5 * (low + high)
        low, high = (low, middle) if is_beyond(middle) else (middle, high)
    return high


def _incomplete_beta(a: float, b: float, x: float) -> float:
    """The regularised incomplete beta function, by its continued fraction (Lentz)."""
    if x <= 0 or x >= 1:
        return 0.0 if x <= 0 else 1.0
    if x > (a + 1) / (a + b + 2):
        return 1 - _incomplete_beta(b, a, 1 - x)
    front = exp(lgamma(a + b) - lgamma(a) - lgamma(b) + a * log(x) + b * log1p(-x)) / a
    c, d = 1.0, 1 / _away(1 - (a + b) * x / (a + 1))
    total = d
    for m in range(1, _MOST_TERMS):
        even = m * (b - m) * x / ((a + 2 * m - 1) * (a + 2 * m))
        odd = -(a + m) * (a + b + m) * x / ((a + 2 * m) * (a + 2 * m + 1))
        for term in (even, odd):
            d = 1 / _away(1 + term * d)
            c = _away(1 + term / c)
            total *= d * c
        if abs(d * c - 1) < _CONVERGED:
            break
    return front * total


def _away(value: float) -> float:
    """The value, away from zero."""
    return value if abs(value) > _TINY else _TINY
